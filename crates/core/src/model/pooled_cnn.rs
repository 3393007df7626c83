//! A small convolutional network with pools, batch norm and dropout: what the DenseNet of Song et al. 2019 shrinks to.

use candle_core::Result;
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Pool2d, Value};

use super::{BatchNorm, Builder, Conv2d, Init, LayerInit, Linear, Network, NormSettings};

/// `conv1`, `norm1`, ..., `output`. The norm has a shift of its own, so the convolutions carry no bias.
pub(super) struct PooledCnn {
    layers: Vec<(Conv2d, BatchNorm)>,
    dropout: f32,
    output: Linear,
}

impl PooledCnn {
    pub(super) fn new(
        b: &mut Builder,
        channels: usize,
        widths: &[usize],
        dropout: f32,
        classes: usize,
    ) -> Result<Self> {
        let mut width = channels;
        let mut layers = vec![];
        let init = LayerInit { weight: Init::FanOutNormal, bias: None };
        for (i, &next) in widths.iter().enumerate() {
            let same = Geometry { stride: 1, padding: 1 };
            layers.push((
                Conv2d::new(&mut b.at(&format!("conv{}", i + 1)), 3, width, next, same, init)?,
                BatchNorm::new(&mut b.at(&format!("norm{}", i + 1)), next, NormSettings::PYTORCH)?,
            ));
            width = next;
        }
        let init = LayerInit::KERAS.weight(Init::HeNormal);
        Ok(Self { layers, dropout, output: Linear::new(&mut b.at("output"), width, classes, init)? })
    }
}

impl Network for PooledCnn {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for (i, (conv, norm)) in self.layers.iter().enumerate() {
            x = conv.forward(graph, &x, Activation::Identity)?;
            x = norm.forward(graph, &x, Activation::Relu)?;
            if i + 2 >= self.layers.len() {
                x = graph.dropout(&x, self.dropout)?;
            }
            if i < 2 && i + 1 < self.layers.len() {
                x = graph.max_pool2d(&x, Pool2d { size: 2, stride: 2, padding: 0 })?;
            }
        }
        let x = graph.global_avg_pool(&x)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}
