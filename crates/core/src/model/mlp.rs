//! The multi-layer perceptron.

use candle_core::Result;
use retrial_kernels::{Activation, Graph, Value};

use super::{Builder, LayerInit, Linear, Network};

/// `hidden1`, `hidden2`, ... with ReLU and dropout, then `output`.
pub(super) struct Mlp {
    hidden: Vec<Linear>,
    output: Linear,
    dropout: f32,
}

impl Mlp {
    pub(super) fn new(
        b: &mut Builder,
        inputs: usize,
        widths: &[usize],
        dropout: f32,
        classes: usize,
        init: LayerInit,
    ) -> Result<Self> {
        let mut width = inputs;
        let mut hidden = vec![];
        for (i, &next) in widths.iter().enumerate() {
            hidden.push(Linear::new(&mut b.at(&format!("hidden{}", i + 1)), width, next, init)?);
            width = next;
        }
        Ok(Self { hidden, output: Linear::new(&mut b.at("output"), width, classes, init)?, dropout })
    }
}

impl Network for Mlp {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = graph.flatten(x)?;
        for layer in &self.hidden {
            x = layer.forward(graph, &x, Activation::Relu)?;
            x = graph.dropout(&x, self.dropout)?;
        }
        self.output.forward(graph, &x, Activation::Identity)
    }
}
