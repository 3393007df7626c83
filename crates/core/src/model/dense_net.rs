//! The DenseNet of Song et al. 2019: Huang et al. 2017 without bottleneck and compression, for small images.
//!
//! A transition has a second ReLU after its 1 x 1 convolution, and a layer puts its new channels before the old ones:
//! both as in the published code. No convolution has a bias.

use candle_core::Result;
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Pool2d, Value};

use super::{BatchNorm, Builder, Conv2d, Init, LayerInit, Linear, Network, NormSettings};

/// Channels of the stem.
const STEM: usize = 16;
/// Share of activations that a layer or a transition drops.
const DROPOUT: f32 = 0.2;
/// Three by three kernels: normal, variance 2 / (9 out).
const WIDE: LayerInit = LayerInit { weight: Init::FanOutNormal, bias: None };

/// norm, ReLU, convolution, dropout.
struct Layer {
    norm: BatchNorm,
    conv: Conv2d,
}

/// `stem`, `block1.layer1.norm`, `block1.layer1.conv`, ..., `transition1.norm`, ..., `norm`, `output`.
pub(super) struct DenseNet {
    stem: Conv2d,
    /// The layers of a block, and the transition that follows all blocks but the last.
    blocks: Vec<(Vec<Layer>, Option<Layer>)>,
    norm: BatchNorm,
    output: Linear,
}

impl DenseNet {
    /// Three blocks of `layers` layers that add `growth` channels each.
    pub(super) fn new(b: &mut Builder, channels: usize, layers: usize, growth: usize, classes: usize) -> Result<Self> {
        let same = Geometry { stride: 1, padding: 1 };
        let stem = Conv2d::new(&mut b.at("stem"), 3, channels, STEM, same, WIDE)?;
        let mut width = STEM;
        let mut blocks = vec![];
        for block in 1..=3 {
            let mut dense = vec![];
            for layer in 1..=layers {
                let mut b = b.at(&format!("block{block}.layer{layer}"));
                dense.push(Layer {
                    norm: BatchNorm::new(&mut b.at("norm"), width, NormSettings::PYTORCH)?,
                    conv: Conv2d::new(&mut b.at("conv"), 3, width, growth, same, WIDE)?,
                });
                width += growth;
            }
            let transition = if block == 3 {
                None
            } else {
                let mut b = b.at(&format!("transition{block}"));
                let init = LayerInit { weight: Init::HeNormal, bias: None };
                let point = Geometry { stride: 1, padding: 0 };
                Some(Layer {
                    norm: BatchNorm::new(&mut b.at("norm"), width, NormSettings::PYTORCH)?,
                    conv: Conv2d::new(&mut b.at("conv"), 1, width, width, point, init)?,
                })
            };
            blocks.push((dense, transition));
        }
        let norm = BatchNorm::new(&mut b.at("norm"), width, NormSettings::PYTORCH)?;
        let init = LayerInit::KERAS.weight(Init::HeNormal);
        Ok(Self { stem, blocks, norm, output: Linear::new(&mut b.at("output"), width, classes, init)? })
    }
}

impl Network for DenseNet {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = self.stem.forward(graph, x, Activation::Identity)?;
        for (layers, transition) in &self.blocks {
            for Layer { norm, conv } in layers {
                let y = norm.forward(graph, &x, Activation::Relu)?;
                let y = conv.forward(graph, &y, Activation::Identity)?;
                let y = graph.dropout(&y, DROPOUT)?;
                x = graph.concat(&y, &x)?;
            }
            if let Some(Layer { norm, conv }) = transition {
                let y = norm.forward(graph, &x, Activation::Relu)?;
                let y = conv.forward(graph, &y, Activation::Relu)?;
                let y = graph.dropout(&y, DROPOUT)?;
                x = graph.avg_pool2d(&y, Pool2d { size: 2, stride: 2, padding: 0 })?;
            }
        }
        let x = self.norm.forward(graph, &x, Activation::Relu)?;
        let x = graph.global_avg_pool(&x)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}
