//! Layers, and the builder that names and draws their parameters.

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, RunningStatistics, Value};

use super::{Fans, Init, Parameter, Parameters};
use crate::Seed;

/// Collects the parameters of a network while its layers are made.
pub struct Builder<'a> {
    parameters: &'a mut Parameters,
    seed: Seed,
    device: &'a Device,
    dtype: DType,
    path: String,
}

impl<'a> Builder<'a> {
    /// Adds to `parameters`; numbers are `f32`.
    pub fn new(parameters: &'a mut Parameters, seed: Seed, device: &'a Device) -> Self {
        Self { parameters, seed, device, dtype: DType::F32, path: String::new() }
    }

    /// Numbers of another type: the gradient checks run in `f64`.
    pub fn with_dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// The builder of a part, whose names start with `part` and a dot.
    pub fn at(&mut self, part: &str) -> Builder<'_> {
        let path = self.name(part);
        Builder { parameters: self.parameters, seed: self.seed, device: self.device, dtype: self.dtype, path }
    }

    fn name(&self, part: &str) -> String {
        if self.path.is_empty() { part.to_owned() } else { format!("{}.{part}", self.path) }
    }

    fn draw(&mut self, part: &str, shape: &Shape, fans: Fans, init: Init) -> Result<(String, Var)> {
        let name = self.name(part);
        if self.parameters.trainable.contains_key(&name) || self.parameters.buffers.contains_key(&name) {
            bail!("two parameters of the network are called {name}")
        }
        let values = init.draw(shape.elem_count(), fans, &mut self.seed.stream(&format!("init/{name}")));
        let tensor = match self.dtype {
            DType::F64 => Tensor::from_vec(values, shape, self.device)?,
            dtype => {
                let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
                Tensor::from_vec(values, shape, self.device)?.to_dtype(dtype)?
            }
        };
        Ok((name, Var::from_tensor(&tensor)?))
    }

    /// A trainable parameter; weight decay applies to it.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn parameter(&mut self, part: &str, shape: impl Into<Shape>, fans: Fans, init: Init) -> Result<Var> {
        let (name, var) = self.draw(part, &shape.into(), fans, init)?;
        self.parameters.trainable.insert(name, Parameter { var: var.clone(), decay: true, frozen: false });
        Ok(var)
    }

    /// A running statistic, which no optimiser touches.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn buffer(&mut self, part: &str, shape: impl Into<Shape>, init: Init) -> Result<Var> {
        let shape = shape.into();
        let fans = Fans { fan_in: shape.elem_count(), fan_out: shape.elem_count() };
        let (name, var) = self.draw(part, &shape, fans, init)?;
        self.parameters.buffers.insert(name, var.clone());
        Ok(var)
    }
}

/// How the weight and the bias of a layer start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerInit {
    /// The weight.
    pub weight: Init,
    /// The bias; none for a layer without.
    pub bias: Option<Init>,
}

impl LayerInit {
    /// PyTorch's default: weight and bias uniform in `+-1 / sqrt(fan_in)`.
    pub const PYTORCH: Self = Self { weight: Init::PYTORCH, bias: Some(Init::FanInUniform) };
    /// Keras's default: Glorot-uniform weight, zero bias.
    pub const KERAS: Self = Self { weight: Init::GlorotUniform, bias: Some(Init::Zeros) };

    /// With another weight.
    pub const fn weight(self, weight: Init) -> Self {
        Self { weight, ..self }
    }

    /// Without a bias.
    pub const fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// Draws `weight` of this shape and, where there is one, `bias` of its last dimension.
    fn draw(self, builder: &mut Builder, shape: &[usize]) -> Result<(Var, Option<Var>)> {
        let fans = Fans::of(shape);
        let weight = builder.parameter("weight", shape, fans, self.weight)?;
        let outputs = shape[shape.len() - 1];
        let bias = self.bias.map(|init| builder.parameter("bias", outputs, fans, init)).transpose()?;
        Ok((weight, bias))
    }
}

/// `x w + b`, with `weight` `[in, out]` and `bias` `[out]`.
pub struct Linear {
    weight: Var,
    bias: Option<Var>,
}

impl Linear {
    /// From `inputs` to `outputs` features.
    pub fn new(builder: &mut Builder, inputs: usize, outputs: usize, init: LayerInit) -> Result<Self> {
        let (weight, bias) = init.draw(builder, &[inputs, outputs])?;
        Ok(Self { weight, bias })
    }

    /// `[n, in]` to `[n, out]`.
    pub fn forward(&self, graph: &mut Graph, x: &Value, activation: Activation) -> Result<Value> {
        let weight = graph.parameter(&self.weight);
        let bias = self.bias.as_ref().map(|bias| graph.parameter(bias));
        graph.linear(x, &weight, bias.as_ref(), activation)
    }
}

/// A convolution with square windows, `weight` `[size, size, in, out]` and `bias` `[out]`.
pub struct Conv2d {
    weight: Var,
    bias: Option<Var>,
    geometry: Geometry,
}

impl Conv2d {
    /// From `inputs` to `outputs` channels, over windows of `size` x `size`.
    pub fn new(
        builder: &mut Builder,
        size: usize,
        inputs: usize,
        outputs: usize,
        geometry: Geometry,
        init: LayerInit,
    ) -> Result<Self> {
        let (weight, bias) = init.draw(builder, &[size, size, inputs, outputs])?;
        Ok(Self { weight, bias, geometry })
    }

    /// `[n, h, w, in]` to `[n, h', w', out]`.
    pub fn forward(&self, graph: &mut Graph, x: &Value, activation: Activation) -> Result<Value> {
        let weight = graph.parameter(&self.weight);
        let bias = self.bias.as_ref().map(|bias| graph.parameter(bias));
        graph.conv2d(x, &weight, bias.as_ref(), self.geometry, activation)
    }
}

/// Constants of a batch norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSettings {
    /// Weight of a new batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}

impl NormSettings {
    /// PyTorch's defaults.
    pub const PYTORCH: Self = Self { momentum: 0.1, epsilon: 1e-5 };
    /// Keras's defaults (there, momentum 0.99 is the weight of the old statistics).
    pub const KERAS: Self = Self { momentum: 0.01, epsilon: 1e-3 };
}

/// Batch norm over all but the last dimension: `gamma` (1) and `beta` (0), and as buffers `running_mean` (0) and
/// `running_variance` (1).
pub struct BatchNorm {
    gamma: Var,
    beta: Var,
    running: RunningStatistics,
    epsilon: f64,
}

impl BatchNorm {
    /// Over `channels` channels.
    pub fn new(builder: &mut Builder, channels: usize, settings: NormSettings) -> Result<Self> {
        let fans = Fans { fan_in: channels, fan_out: channels };
        Ok(Self {
            gamma: builder.parameter("gamma", channels, fans, Init::Ones)?,
            beta: builder.parameter("beta", channels, fans, Init::Zeros)?,
            running: RunningStatistics {
                mean: builder.buffer("running_mean", channels, Init::Zeros)?,
                variance: builder.buffer("running_variance", channels, Init::Ones)?,
                momentum: settings.momentum,
            },
            epsilon: settings.epsilon,
        })
    }

    /// Of the shape of `x`.
    pub fn forward(&self, graph: &mut Graph, x: &Value, activation: Activation) -> Result<Value> {
        let (gamma, beta) = (graph.parameter(&self.gamma), graph.parameter(&self.beta));
        graph.batch_norm(x, &gamma, &beta, &self.running, self.epsilon, activation)
    }
}
