//! The pre-activation ResNet-18 of the label-noise literature, at any width.

use candle_core::Result;
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Value};

use super::{BatchNorm, Builder, Conv2d, LayerInit, Linear, Network, NormSettings};

const INIT: LayerInit = LayerInit::PYTORCH.without_bias();

fn conv(b: &mut Builder, part: &str, size: usize, from: usize, to: usize, stride: usize) -> Result<Conv2d> {
    Conv2d::new(&mut b.at(part), size, from, to, Geometry { stride, padding: size / 2 }, INIT)
}

/// Norm and ReLU before each of two 3 x 3 convolutions. The identity carries the opened input, not the input itself.
struct Block {
    norm1: BatchNorm,
    conv1: Conv2d,
    norm2: BatchNorm,
    conv2: Conv2d,
    skip: Option<Conv2d>,
}

/// `stem`, `norm`, `stage1.block1.conv1`, ..., `output`: stages of two blocks with widths 1, 2, 4 and 8 times the first,
/// no norm after the last block.
pub(super) struct PreActResNet {
    stem: Conv2d,
    norm: BatchNorm,
    blocks: Vec<Block>,
    output: Linear,
}

impl PreActResNet {
    pub(super) fn new(b: &mut Builder, channels: usize, width: usize, classes: usize) -> Result<Self> {
        let stem = conv(b, "stem", 3, channels, width, 1)?;
        let norm = BatchNorm::new(&mut b.at("norm"), width, NormSettings::PYTORCH)?;
        let (mut from, mut blocks) = (width, vec![]);
        for stage in 0..4 {
            let to = width << stage;
            for block in 0..2 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let b = &mut b.at(&format!("stage{}", stage + 1));
                let b = &mut b.at(&format!("block{}", block + 1));
                blocks.push(Block {
                    norm1: BatchNorm::new(&mut b.at("norm1"), from, NormSettings::PYTORCH)?,
                    conv1: conv(b, "conv1", 3, from, to, stride)?,
                    norm2: BatchNorm::new(&mut b.at("norm2"), to, NormSettings::PYTORCH)?,
                    conv2: conv(b, "conv2", 3, to, to, 1)?,
                    skip: if stride == 2 { Some(conv(b, "skip", 1, from, to, stride)?) } else { None },
                });
                from = to;
            }
        }
        Ok(Self { stem, norm, blocks, output: Linear::new(&mut b.at("output"), from, classes, LayerInit::PYTORCH)? })
    }
}

impl Network for PreActResNet {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let x = self.stem.forward(graph, x, Activation::Identity)?;
        let mut x = self.norm.forward(graph, &x, Activation::Relu)?;
        for block in &self.blocks {
            let open = block.norm1.forward(graph, &x, Activation::Relu)?;
            let y = block.conv1.forward(graph, &open, Activation::Identity)?;
            let y = block.norm2.forward(graph, &y, Activation::Relu)?;
            let y = block.conv2.forward(graph, &y, Activation::Identity)?;
            let skip = match &block.skip {
                Some(skip) => skip.forward(graph, &open, Activation::Identity)?,
                None => open,
            };
            x = graph.add(&y, &skip, Activation::Identity)?;
        }
        let x = graph.global_avg_pool(&x)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}
