//! The wide residual network of Katharopoulos and Fleuret 2018: pre-activation blocks with layer norm in place of batch
//! norm, so that a sample's gradient does not depend on the others of its batch.

use candle_core::{Result, Var, bail};
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Value};

use super::{Builder, Conv2d, Fans, Init, LayerInit, Linear, Network};

/// Keras's constant inside the square root.
const EPSILON: f64 = 1e-3;

/// Layer norm over all pixels and channels of a sample, with one `gain` for all channels and a `bias` for each: as the
/// authors' code has it, which the published parameter count confirms.
struct SampleNorm {
    gain: Var,
    bias: Var,
}

impl SampleNorm {
    fn new(b: &mut Builder, channels: usize) -> Result<Self> {
        let fans = Fans { fan_in: channels, fan_out: channels };
        Ok(Self {
            gain: b.parameter("gain", 1, fans, Init::Ones)?,
            bias: b.parameter("bias", channels, fans, Init::Zeros)?,
        })
    }

    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let (gain, bias) = (graph.parameter(&self.gain), graph.parameter(&self.bias));
        let channels = bias.tensor().elem_count();
        let gains = graph.candle(&[&gain], |t| t[0].broadcast_as(channels)?.contiguous())?;
        graph.group_norm(x, &gains, &bias, 1, EPSILON, Activation::Relu)
    }
}

/// norm, ReLU, 3 x 3 convolution, twice; plus the block's input, through a 1 x 1 convolution where its shape changes.
struct Block {
    norms: [SampleNorm; 2],
    convs: [Conv2d; 2],
    shortcut: Option<Conv2d>,
}

/// `stem`, `group1.block1.conv1`, ..., `norm`, `output`; no convolution has a bias.
pub(super) struct WideResNet {
    stem: Conv2d,
    blocks: Vec<Block>,
    norm: SampleNorm,
    output: Linear,
}

impl WideResNet {
    /// Three groups of `(depth - 4) / 6` blocks, of `base k`, `2 base k` and `4 base k` channels.
    pub(super) fn new(b: &mut Builder, channels: usize, [depth, k, base]: [usize; 3], classes: usize) -> Result<Self> {
        if depth < 10 || !(depth - 4).is_multiple_of(6) {
            bail!("a wide residual network has 10, 16, 22, 28, ... layers, not {depth}")
        }
        let init = LayerInit::KERAS.without_bias();
        let conv = |b: &mut Builder, size: usize, from: usize, to: usize, stride: usize| {
            Conv2d::new(b, size, from, to, Geometry { stride, padding: size / 2 }, init)
        };
        let stem = conv(&mut b.at("stem"), 3, channels, base, 1)?;
        let (mut width, mut blocks) = (base, vec![]);
        for (group, next) in [base * k, 2 * base * k, 4 * base * k].into_iter().enumerate() {
            for block in 0..(depth - 4) / 6 {
                let mut b = b.at(&format!("group{}.block{}", group + 1, block + 1));
                let stride = if group > 0 && block == 0 { 2 } else { 1 };
                let shortcut = if width == next && stride == 1 {
                    None
                } else {
                    Some(conv(&mut b.at("shortcut"), 1, width, next, stride)?)
                };
                blocks.push(Block {
                    norms: [SampleNorm::new(&mut b.at("norm1"), width)?, SampleNorm::new(&mut b.at("norm2"), next)?],
                    convs: [
                        conv(&mut b.at("conv1"), 3, width, next, stride)?,
                        conv(&mut b.at("conv2"), 3, next, next, 1)?,
                    ],
                    shortcut,
                });
                width = next;
            }
        }
        Ok(Self {
            stem,
            blocks,
            norm: SampleNorm::new(&mut b.at("norm"), width)?,
            output: Linear::new(&mut b.at("output"), width, classes, LayerInit::KERAS)?,
        })
    }

    /// The kernels that the authors' code penalises: all but those of the shortcuts.
    pub(super) fn decays(name: &str) -> bool {
        name.ends_with(".weight") && !name.contains("shortcut")
    }
}

impl Network for WideResNet {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = self.stem.forward(graph, x, Activation::Identity)?;
        for Block { norms, convs, shortcut } in &self.blocks {
            let mut y = x.clone();
            for (norm, conv) in norms.iter().zip(convs) {
                y = norm.forward(graph, &y)?;
                y = conv.forward(graph, &y, Activation::Identity)?;
            }
            if let Some(shortcut) = shortcut {
                x = shortcut.forward(graph, &x, Activation::Identity)?;
            }
            x = graph.add(&x, &y, Activation::Identity)?;
        }
        let x = self.norm.forward(graph, &x)?;
        let x = graph.global_avg_pool(&x)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}
