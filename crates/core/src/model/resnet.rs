//! Residual networks as Chen et al. 2019 trained them, in Keras: a bias in every convolution, batch norm with momentum
//! 0.99 (here 0.01) and epsilon 1e-3.
//!
//! One difference is left: where a 3 x 3 convolution has stride 2 on an even side, Keras pads below and to the right
//! only, we pad all around (as PyTorch does), so the windows stand one pixel further up and left.

use candle_core::Result;
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Value};

use super::{BatchNorm, Builder, Conv2d, Init, LayerInit, Linear, Network, NormSettings};

/// `conv`, then `norm`.
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(
        b: &mut Builder,
        size: usize,
        inputs: usize,
        outputs: usize,
        stride: usize,
        init: LayerInit,
    ) -> Result<Self> {
        Ok(Self {
            conv: same_conv(&mut b.at("conv"), size, inputs, outputs, stride, init)?,
            norm: BatchNorm::new(&mut b.at("norm"), outputs, NormSettings::KERAS)?,
        })
    }

    fn forward(&self, graph: &mut Graph, x: &Value, activation: Activation) -> Result<Value> {
        let x = self.conv.forward(graph, x, Activation::Identity)?;
        self.norm.forward(graph, &x, activation)
    }
}

/// A convolution that keeps the side at stride 1 and halves an even one at stride 2; `size` is odd.
fn same_conv(
    b: &mut Builder,
    size: usize,
    inputs: usize,
    outputs: usize,
    stride: usize,
    init: LayerInit,
) -> Result<Conv2d> {
    Conv2d::new(b, size, inputs, outputs, Geometry { stride, padding: size / 2 }, init)
}

/// Post-activation basic blocks (version 1): stages of 16, 32 and 64 channels.
///
/// `stem`, `stage1.block1.first`, `stage1.block1.second`, `stage2.block1.shortcut`, ..., `output`.
pub(super) struct ResNetV1 {
    stem: ConvNorm,
    blocks: Vec<BasicBlock>,
    output: Linear,
}

/// conv, norm, ReLU, conv, norm, plus the input (through a 1 x 1 convolution and a norm where its shape changes), ReLU.
struct BasicBlock {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl ResNetV1 {
    pub(super) fn new(b: &mut Builder, channels: usize, blocks_per_stage: usize, classes: usize) -> Result<Self> {
        let init = LayerInit::KERAS;
        let stem = ConvNorm::new(&mut b.at("stem"), 3, channels, 16, 1, init)?;
        let mut width = 16;
        let mut blocks = vec![];
        for (stage, next) in [16, 32, 64].into_iter().enumerate() {
            for block in 0..blocks_per_stage {
                let mut b = b.at(&format!("stage{}.block{}", stage + 1, block + 1));
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let shortcut = if width == next {
                    None
                } else {
                    Some(ConvNorm::new(&mut b.at("shortcut"), 1, width, next, stride, init)?)
                };
                blocks.push(BasicBlock {
                    first: ConvNorm::new(&mut b.at("first"), 3, width, next, stride, init)?,
                    second: ConvNorm::new(&mut b.at("second"), 3, next, next, 1, init)?,
                    shortcut,
                });
                width = next;
            }
        }
        Ok(Self { stem, blocks, output: Linear::new(&mut b.at("output"), width, classes, init)? })
    }
}

impl Network for ResNetV1 {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = self.stem.forward(graph, x, Activation::Relu)?;
        for BasicBlock { first, second, shortcut } in &self.blocks {
            let y = first.forward(graph, &x, Activation::Relu)?;
            let y = second.forward(graph, &y, Activation::Identity)?;
            if let Some(shortcut) = shortcut {
                x = shortcut.forward(graph, &x, Activation::Identity)?;
            }
            x = graph.add(&x, &y, Activation::Relu)?;
        }
        let x = graph.global_avg_pool(&x)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}

/// Pre-activation bottleneck blocks (version 2): stages of 64, 128 and 256 channels around 16, 64 and 128.
///
/// `stem`, `stage1.block1.reduce`, `.middle`, `.expand`, `.shortcut`, ..., `norm`, `output`.
pub(super) struct ResNetV2 {
    stem: ConvNorm,
    blocks: Vec<Bottleneck>,
    norm: BatchNorm,
    output: Linear,
}

/// 1 x 1, 3 x 3 and 1 x 1 convolutions, plus the raw input (through a 1 x 1 convolution in the first block of a stage).
struct Bottleneck {
    reduce: NormConv,
    middle: NormConv,
    expand: NormConv,
    shortcut: Option<Conv2d>,
}

/// `norm` and ReLU, then `conv`. The very first block has no norm and no ReLU before its first convolution.
struct NormConv {
    norm: Option<BatchNorm>,
    conv: Conv2d,
}

impl NormConv {
    fn new(b: &mut Builder, size: usize, inputs: usize, outputs: usize, stride: usize, norm: bool) -> Result<Self> {
        Ok(Self {
            norm: if norm { Some(BatchNorm::new(&mut b.at("norm"), inputs, NormSettings::KERAS)?) } else { None },
            conv: same_conv(&mut b.at("conv"), size, inputs, outputs, stride, HE_NORMAL)?,
        })
    }

    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        match &self.norm {
            None => self.conv.forward(graph, x, Activation::Identity),
            Some(norm) => {
                let x = norm.forward(graph, x, Activation::Relu)?;
                self.conv.forward(graph, &x, Activation::Identity)
            }
        }
    }
}

const HE_NORMAL: LayerInit = LayerInit::KERAS.weight(Init::HeNormal);

impl ResNetV2 {
    pub(super) fn new(b: &mut Builder, channels: usize, blocks_per_stage: usize, classes: usize) -> Result<Self> {
        let stem = ConvNorm::new(&mut b.at("stem"), 3, channels, 16, 1, HE_NORMAL)?;
        let mut width = 16;
        let mut blocks = vec![];
        for (stage, (inner, outer)) in [(16, 64), (64, 128), (128, 256)].into_iter().enumerate() {
            for block in 0..blocks_per_stage {
                let mut b = b.at(&format!("stage{}.block{}", stage + 1, block + 1));
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let shortcut = if block == 0 {
                    Some(same_conv(&mut b.at("shortcut.conv"), 1, width, outer, stride, HE_NORMAL)?)
                } else {
                    None
                };
                let norm = (stage, block) != (0, 0);
                blocks.push(Bottleneck {
                    reduce: NormConv::new(&mut b.at("reduce"), 1, width, inner, stride, norm)?,
                    middle: NormConv::new(&mut b.at("middle"), 3, inner, inner, 1, true)?,
                    expand: NormConv::new(&mut b.at("expand"), 1, inner, outer, 1, true)?,
                    shortcut,
                });
                width = outer;
            }
        }
        Ok(Self {
            stem,
            blocks,
            norm: BatchNorm::new(&mut b.at("norm"), width, NormSettings::KERAS)?,
            output: Linear::new(&mut b.at("output"), width, classes, HE_NORMAL)?,
        })
    }
}

impl Network for ResNetV2 {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = self.stem.forward(graph, x, Activation::Relu)?;
        for Bottleneck { reduce, middle, expand, shortcut } in &self.blocks {
            let y = reduce.forward(graph, &x)?;
            let y = middle.forward(graph, &y)?;
            let y = expand.forward(graph, &y)?;
            if let Some(shortcut) = shortcut {
                x = shortcut.forward(graph, &x, Activation::Identity)?;
            }
            x = graph.add(&x, &y, Activation::Identity)?;
        }
        let x = self.norm.forward(graph, &x, Activation::Relu)?;
        let x = graph.global_avg_pool(&x)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}
