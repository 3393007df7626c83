//! All-convolutional networks (Springenberg et al. 2015) in the form of Achille et al. 2019: convolutions with batch norm
//! and ReLU, a 1 x 1 convolution to the classes, and the mean over pixels.

use candle_core::Result;
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Value};

use super::{BatchNorm, Builder, Conv2d, LayerInit, Network, NormSettings};

/// One convolution: window side, output channels, stride.
type Layer = (usize, usize, usize);

/// `conv1`, `norm1`, ..., `output`. Norms have a shift of their own, so only the output has a bias.
pub(super) struct AllCnn {
    layers: Vec<(Conv2d, BatchNorm)>,
    output: Conv2d,
}

/// The nine blocks of the main network; the last one is the output.
pub(super) fn main_layers(width: usize) -> Vec<Layer> {
    let (narrow, wide) = (width, 2 * width);
    vec![
        (3, narrow, 1),
        (3, narrow, 1),
        (3, wide, 2),
        (3, wide, 1),
        (3, wide, 1),
        (3, wide, 2),
        (3, wide, 1),
        (1, wide, 1),
    ]
}

/// The depth family: `2 stages + 4` convolutions with the output. Width doubles at each stage unless it is constant.
pub(super) fn family_layers(width: usize, stages: usize, constant: bool) -> Vec<Layer> {
    let at = |stage: usize| if constant { width } else { width << stage };
    let mut layers = vec![(3, width, 1)];
    for stage in 1..=stages {
        layers.extend([(3, at(stage - 1), 1), (3, at(stage), 2)]);
    }
    layers.extend([(3, at(stages), 1), (1, at(stages), 1)]);
    layers
}

impl AllCnn {
    pub(super) fn new(b: &mut Builder, channels: usize, layers: &[Layer], classes: usize) -> Result<Self> {
        let mut width = channels;
        let mut built = vec![];
        for (i, &(size, next, stride)) in layers.iter().enumerate() {
            let geometry = Geometry { stride, padding: size / 2 };
            let init = LayerInit::PYTORCH.without_bias();
            built.push((
                Conv2d::new(&mut b.at(&format!("conv{}", i + 1)), size, width, next, geometry, init)?,
                BatchNorm::new(&mut b.at(&format!("norm{}", i + 1)), next, NormSettings::PYTORCH)?,
            ));
            width = next;
        }
        let geometry = Geometry { stride: 1, padding: 0 };
        let output = Conv2d::new(&mut b.at("output"), 1, width, classes, geometry, LayerInit::PYTORCH)?;
        Ok(Self { layers: built, output })
    }
}

impl Network for AllCnn {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for (conv, norm) in &self.layers {
            x = conv.forward(graph, &x, Activation::Identity)?;
            x = norm.forward(graph, &x, Activation::Relu)?;
        }
        let x = self.output.forward(graph, &x, Activation::Identity)?;
        graph.global_avg_pool(&x)
    }
}
