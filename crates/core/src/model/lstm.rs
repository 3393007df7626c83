//! A long short-term memory that reads a sample number by number, as Katharopoulos and Fleuret 2018 read the pixels of
//! digits.

use candle_core::{Device, Result, Tensor, Var};
use retrial_kernels::{Activation, Graph, Value};

use super::{Builder, Fans, Init, LayerInit, Linear, Network};

/// `lstm.kernel` `[1, 4 u]`, `lstm.recurrent` `[u, 4 u]`, `lstm.bias` `[4 u]`, then `output` on the last hidden state. Starts
/// as Keras starts it: Glorot-uniform kernel, orthogonal recurrent kernel, bias 1 in the forget gate and 0 elsewhere.
pub(super) struct Lstm {
    kernel: Var,
    recurrent: Var,
    bias: Var,
    output: Linear,
}

impl Lstm {
    pub(super) fn new(b: &mut Builder, units: usize, classes: usize) -> Result<Self> {
        let fans = |fan_in| Fans { fan_in, fan_out: 4 * units };
        let mut lstm = b.at("lstm");
        let kernel = lstm.parameter("kernel", (1, 4 * units), fans(1), Init::GlorotUniform)?;
        let recurrent = lstm.parameter("recurrent", (units, 4 * units), fans(units), Init::Orthogonal)?;
        let bias = lstm.parameter("bias", 4 * units, fans(units), Init::Zeros)?;
        // Gates stand in the order input, forget, cell, output.
        let start: Vec<f64> = (0..4 * units).map(|i| f64::from(u8::from(i / units == 1))).collect();
        let start = Tensor::new(start, &Device::Cpu)?.to_dtype(bias.dtype())?;
        bias.set(&start.to_device(bias.device())?)?;
        Ok(Self {
            kernel,
            recurrent,
            bias,
            output: Linear::new(&mut b.at("output"), units, classes, LayerInit::KERAS)?,
        })
    }
}

impl Network for Lstm {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let x = graph.flatten(x)?;
        // The input needs no gradient, so it may leave the tape and come back as a sequence of single numbers.
        let sequence = graph.input(&x.tensor().unsqueeze(2)?);
        let [kernel, recurrent, bias] = [&self.kernel, &self.recurrent, &self.bias].map(|var| graph.parameter(var));
        let last = graph.lstm(&sequence, &kernel, &recurrent, &bias)?;
        self.output.forward(graph, &last, Activation::Identity)
    }
}
