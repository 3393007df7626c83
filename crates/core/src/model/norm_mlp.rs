//! A multi-layer perceptron with batch norm.

use candle_core::Result;
use retrial_kernels::{Activation, Graph, Value};

use super::{BatchNorm, Builder, LayerInit, Linear, Network, NormSettings};

/// `hidden1`, `norm1` with ReLU, `hidden2`, ..., then `output`. Only the output has a bias: norms have a shift.
pub(super) struct NormMlp {
    hidden: Vec<(Linear, BatchNorm)>,
    output: Linear,
}

impl NormMlp {
    pub(super) fn new(b: &mut Builder, inputs: usize, widths: &[usize], classes: usize) -> Result<Self> {
        let mut width = inputs;
        let mut hidden = vec![];
        for (i, &next) in widths.iter().enumerate() {
            let init = LayerInit::PYTORCH.without_bias();
            hidden.push((
                Linear::new(&mut b.at(&format!("hidden{}", i + 1)), width, next, init)?,
                BatchNorm::new(&mut b.at(&format!("norm{}", i + 1)), next, NormSettings::PYTORCH)?,
            ));
            width = next;
        }
        Ok(Self { hidden, output: Linear::new(&mut b.at("output"), width, classes, LayerInit::PYTORCH)? })
    }
}

impl Network for NormMlp {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = graph.flatten(x)?;
        for (linear, norm) in &self.hidden {
            x = linear.forward(graph, &x, Activation::Identity)?;
            x = norm.forward(graph, &x, Activation::Relu)?;
        }
        self.output.forward(graph, &x, Activation::Identity)
    }
}
