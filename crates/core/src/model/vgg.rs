//! The VGG-19 of Song et al. 2019: Simonyan and Zisserman 2015 with batch norm after every convolution and hidden layer.

use candle_core::{Result, bail};
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Pool2d, Value};

use super::{BatchNorm, Builder, Conv2d, Init, LayerInit, Linear, Network, NormSettings};

/// Groups of VGG-19: number of convolutions, and their channels.
pub(super) const VGG_19: [(usize, usize); 5] = [(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)];
/// Units of each of the two hidden layers.
pub(super) const HIDDEN: usize = 4096;
/// Share of hidden units that is dropped.
const DROPOUT: f32 = 0.5;

/// `group1.layer1.conv`, `group1.layer1.norm`, ..., `hidden1.linear`, `hidden1.norm`, `hidden2.linear`, ..., `output`.
pub(super) struct Vgg {
    groups: Vec<Vec<(Conv2d, BatchNorm)>>,
    hidden: Vec<(Linear, BatchNorm)>,
    output: Linear,
}

impl Vgg {
    /// For an image of height, width and channels, which each group halves.
    pub(super) fn new(
        b: &mut Builder,
        image: (usize, usize, usize),
        widths: &[(usize, usize)],
        hidden: usize,
        classes: usize,
    ) -> Result<Self> {
        let (height, width, mut channels) = image;
        let shrunk = |side: usize| side >> widths.len();
        if shrunk(height) == 0 || shrunk(width) == 0 {
            let least = 1 << widths.len();
            bail!("this network needs images of at least {least} x {least} pixels, not {height} x {width}")
        }
        let wide = LayerInit { weight: Init::FanOutNormal, bias: Some(Init::Zeros) };
        let mut groups = vec![];
        for (g, &(layers, next)) in widths.iter().enumerate() {
            let mut group = vec![];
            for layer in 1..=layers {
                let mut b = b.at(&format!("group{}.layer{layer}", g + 1));
                let same = Geometry { stride: 1, padding: 1 };
                group.push((
                    Conv2d::new(&mut b.at("conv"), 3, channels, next, same, wide)?,
                    BatchNorm::new(&mut b.at("norm"), next, NormSettings::PYTORCH)?,
                ));
                channels = next;
            }
            groups.push(group);
        }
        let init = LayerInit::KERAS.weight(Init::HeNormal);
        let mut features = shrunk(height) * shrunk(width) * channels;
        let mut layers = vec![];
        for layer in 1..=2 {
            let mut b = b.at(&format!("hidden{layer}"));
            layers.push((
                Linear::new(&mut b.at("linear"), features, hidden, init)?,
                BatchNorm::new(&mut b.at("norm"), hidden, NormSettings::PYTORCH)?,
            ));
            features = hidden;
        }
        Ok(Self { groups, hidden: layers, output: Linear::new(&mut b.at("output"), hidden, classes, init)? })
    }
}

impl Network for Vgg {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for group in &self.groups {
            for (conv, norm) in group {
                x = conv.forward(graph, &x, Activation::Identity)?;
                x = norm.forward(graph, &x, Activation::Relu)?;
            }
            x = graph.max_pool2d(&x, Pool2d { size: 2, stride: 2, padding: 0 })?;
        }
        x = graph.flatten(&x)?;
        for (linear, norm) in &self.hidden {
            x = linear.forward(graph, &x, Activation::Identity)?;
            x = norm.forward(graph, &x, Activation::Relu)?;
            x = graph.dropout(&x, DROPOUT)?;
        }
        self.output.forward(graph, &x, Activation::Identity)
    }
}
