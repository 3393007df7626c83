//! Networks, their parameters and how these start.
//!
//! An [`Architecture`] is the part of a config that names a network; [`Architecture::build`] turns it into a [`Model`].
//! A network is a struct of [`Linear`], [`Conv2d`] and [`BatchNorm`] layers, each made by a [`Builder`] that names its
//! parameters by path (`block2.conv1.weight`) and draws each from a random stream of that name. So the order in which
//! layers are built does not matter, and an added layer leaves the others' initial values alone.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use retrial_core::Seed;
//! use retrial_core::model::{Architecture, InputShape};
//! use retrial_kernels::Graph;
//! # fn main() -> candle_core::Result<()> {
//! let input = InputShape::Image { height: 28, width: 28, channels: 1 };
//! let model = Architecture::Mlp { widths: vec![256], dropout: 0. }.build(&input, 10, Seed(1), &Device::Cpu)?;
//! assert_eq!(model.parameters.count(), 784 * 256 + 256 + 256 * 10 + 10);
//!
//! let x = Tensor::zeros((2, 28, 28, 1), candle_core::DType::F32, &Device::Cpu)?;
//! let logits = model.forward(&mut Graph::inference(), &x)?;
//! assert_eq!(logits.dims(), [2, 10]);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var, bail};
use retrial_kernels::{Graph, Value};

mod all_cnn;
mod architecture;
mod cnn;
mod dense_net;
mod init;
mod layers;
mod lstm;
mod mlp;
mod norm_mlp;
mod pooled_cnn;
mod preact;
mod resnet;
mod two_stage_cnn;
mod vgg;
mod wide_resnet;

pub use architecture::{Architecture, InputShape};
pub use init::{Fans, Init};
pub use layers::{BatchNorm, Builder, Conv2d, LayerInit, Linear, NormSettings};

/// A trainable parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its value.
    pub var: Var,
    /// Whether weight decay pulls it to zero. True for all, as in PyTorch, unless the architecture's paper exempts it.
    pub decay: bool,
    /// Frozen parameters are left alone by the optimiser and need no gradient.
    pub frozen: bool,
}

/// Copies of parameters and running statistics by name.
pub type Weights = BTreeMap<String, Tensor>;

/// Everything that a network learns or tracks, by name: `conv1.weight`, `norm1.running_mean`.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// What an optimiser moves.
    pub trainable: BTreeMap<String, Parameter>,
    /// Running statistics: saved with a checkpoint, never optimised.
    pub buffers: BTreeMap<String, Var>,
}

impl Parameters {
    /// Number of trainable numbers.
    pub fn count(&self) -> usize {
        self.trainable.values().map(|p| p.var.elem_count()).sum()
    }

    /// Weight decay on the parameters whose name `chosen` accepts, and on no others.
    pub fn decay_only(&mut self, chosen: impl Fn(&str) -> bool) {
        for (name, parameter) in &mut self.trainable {
            parameter.decay = chosen(name);
        }
    }

    /// Freezes the parameters whose name `chosen` accepts, and no others.
    pub fn freeze_only(&mut self, chosen: impl Fn(&str) -> bool) {
        for (name, parameter) in &mut self.trainable {
            parameter.frozen = chosen(name);
        }
    }

    /// Every variable, trainable or tracked, by name.
    fn all(&self) -> impl Iterator<Item = (&String, &Var)> {
        self.trainable.iter().map(|(name, p)| (name, &p.var)).chain(&self.buffers)
    }

    /// A copy of every parameter and running statistic, which later steps leave alone.
    pub fn weights(&self) -> Result<Weights> {
        self.all().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// Writes back what [`Self::weights`] of this or an equal network copied.
    ///
    /// # Errors
    /// If a name is missing, unknown, or of another shape or type; then nothing was written.
    pub fn set_weights(&self, weights: &Weights) -> Result<()> {
        let count = self.trainable.len() + self.buffers.len();
        for (name, var) in self.all() {
            match weights.get(name) {
                None => bail!("{name} is missing"),
                Some(new) if (new.dims(), new.dtype()) != (var.dims(), var.dtype()) => {
                    let (new_dtype, dtype) = (new.dtype(), var.dtype());
                    bail!("{name} is {new_dtype:?} {:?}, not {dtype:?} {:?}", new.dims(), var.dims())
                }
                Some(_) => {}
            }
        }
        if weights.len() != count {
            let known = |name: &str| self.trainable.contains_key(name) || self.buffers.contains_key(name);
            let stranger = weights.keys().find(|name| !known(name));
            bail!("{} is no part of this network", stranger.map_or("a name", String::as_str))
        }
        for (name, var) in self.all() {
            var.set(&weights[name].to_device(var.device())?)?;
        }
        Ok(())
    }
}

/// The forward pass of an architecture.
pub trait Network: Send + Sync {
    /// `x`: `[n, h, w, c]` or `[n, features]`; the result: logits `[n, classes]`.
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value>;
}

/// A network with its parameters.
pub struct Model {
    /// The forward pass.
    pub network: Box<dyn Network>,
    /// What it learns or tracks.
    pub parameters: Parameters,
    /// Where both live.
    pub device: Device,
}

impl Model {
    /// Logits `[n, classes]` of a batch `[n, h, w, c]` or `[n, features]`.
    pub fn forward(&self, graph: &mut Graph, x: &Tensor) -> Result<Value> {
        let x = graph.input(x);
        self.network.forward(graph, &x)
    }
}

#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
mod tests;
