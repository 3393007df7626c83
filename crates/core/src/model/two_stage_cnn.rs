//! The convolutional network of Byrd and Lipton 2019.

use candle_core::{Result, bail};
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Pool2d, Value};

use super::{BatchNorm, Builder, Conv2d, LayerInit, Linear, Network, NormSettings};

/// Convolutions of the first and of the second stage.
const STAGES: [usize; 2] = [2, 3];

/// `conv1` to `conv5` (with `norm1` to `norm5`), a max pool after `conv2` and after `conv5`, `dense1`, `dense2`, `output`.
pub(super) struct TwoStageCnn {
    stages: Vec<Vec<(Conv2d, Option<BatchNorm>)>>,
    dense: Vec<Linear>,
    output: Linear,
    dropout: f32,
}

/// What tells the variants of the network apart.
pub(super) struct Shape {
    pub widths: [usize; 2],
    pub dense: [usize; 2],
    pub padding: usize,
    pub dropout: f32,
    pub norm: bool,
}

impl TwoStageCnn {
    pub(super) fn new(
        b: &mut Builder,
        (height, width, channels): (usize, usize, usize),
        shape: &Shape,
        classes: usize,
    ) -> Result<Self> {
        let after = |side: usize| {
            STAGES.iter().fold(side, |side, convs| (side + 2 * convs * shape.padding).saturating_sub(2 * convs) / 2)
        };
        let features = after(height) * after(width) * shape.widths[1];
        if features == 0 {
            bail!("this network needs images of at least 24 x 24 pixels (4 x 4 with padding), not {height} x {width}")
        }
        let geometry = Geometry { stride: 1, padding: shape.padding };
        // A norm has a shift of its own, so the convolution before it carries no bias.
        let init = if shape.norm { LayerInit::PYTORCH.without_bias() } else { LayerInit::PYTORCH };
        let (mut inputs, mut layer) = (channels, 0);
        let mut stages = vec![];
        for (convs, outputs) in STAGES.into_iter().zip(shape.widths) {
            let mut stage = vec![];
            for _ in 0..convs {
                layer += 1;
                let conv = Conv2d::new(&mut b.at(&format!("conv{layer}")), 3, inputs, outputs, geometry, init)?;
                let norm = match shape.norm {
                    true => Some(BatchNorm::new(&mut b.at(&format!("norm{layer}")), outputs, NormSettings::PYTORCH)?),
                    false => None,
                };
                stage.push((conv, norm));
                inputs = outputs;
            }
            stages.push(stage);
        }
        let dense = vec![
            Linear::new(&mut b.at("dense1"), features, shape.dense[0], LayerInit::PYTORCH)?,
            Linear::new(&mut b.at("dense2"), shape.dense[0], shape.dense[1], LayerInit::PYTORCH)?,
        ];
        let output = Linear::new(&mut b.at("output"), shape.dense[1], classes, LayerInit::PYTORCH)?;
        Ok(Self { stages, dense, output, dropout: shape.dropout })
    }
}

impl Network for TwoStageCnn {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for stage in &self.stages {
            for (conv, norm) in stage {
                x = match norm {
                    None => conv.forward(graph, &x, Activation::Relu)?,
                    Some(norm) => {
                        let y = conv.forward(graph, &x, Activation::Identity)?;
                        norm.forward(graph, &y, Activation::Relu)?
                    }
                };
            }
            x = graph.max_pool2d(&x, Pool2d { size: 2, stride: 2, padding: 0 })?;
        }
        x = graph.flatten(&x)?;
        for dense in &self.dense {
            x = dense.forward(graph, &x, Activation::Relu)?;
            x = graph.dropout(&x, self.dropout)?;
        }
        self.output.forward(graph, &x, Activation::Identity)
    }
}
