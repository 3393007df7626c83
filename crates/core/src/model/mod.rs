//! Networks, their parameters and how these start.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};
use retrial_kernels::{Graph, Value};

/// A trainable parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub var: Var,
    /// False for biases and norm parameters where a paper exempts them from weight decay.
    pub decay: bool,
}

/// Everything that a network learns or tracks, by name: `conv1.weight`, `norm1.running_mean`.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pub trainable: BTreeMap<String, Parameter>,
    /// Running statistics: saved with a checkpoint, never optimised.
    pub buffers: BTreeMap<String, Var>,
}

/// The forward pass of an architecture.
pub trait Network: Send + Sync {
    /// `x`: `[n, h, w, c]` or `[n, features]`; the result: logits `[n, classes]`.
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value>;
}

/// A network with its parameters.
pub struct Model {
    pub network: Box<dyn Network>,
    pub parameters: Parameters,
    pub device: Device,
}

impl Model {
    /// Logits `[n, classes]` of a batch.
    pub fn forward(&self, graph: &mut Graph, x: &Tensor) -> Result<Value> {
        let x = graph.input(x);
        self.network.forward(graph, &x)
    }
}
