//! Small convolutional networks.

use candle_core::{Result, bail};
use retrial_kernels::{Activation, Conv2d as Geometry, Graph, Pool2d, Value};

use super::{BatchNorm, Builder, Conv2d, LayerInit, Linear, Network, NormSettings};

/// `conv1`, `norm1`, ..., `output`. The norm has a shift of its own, so the convolutions carry no bias.
pub(super) struct SmallCnn {
    layers: Vec<(Conv2d, BatchNorm)>,
    output: Linear,
}

impl SmallCnn {
    pub(super) fn new(b: &mut Builder, channels: usize, widths: &[usize], classes: usize) -> Result<Self> {
        let mut width = channels;
        let mut layers = vec![];
        for (i, &next) in widths.iter().enumerate() {
            let geometry = Geometry { stride: if i == 0 { 1 } else { 2 }, padding: 1 };
            let init = LayerInit::PYTORCH.without_bias();
            layers.push((
                Conv2d::new(&mut b.at(&format!("conv{}", i + 1)), 3, width, next, geometry, init)?,
                BatchNorm::new(&mut b.at(&format!("norm{}", i + 1)), next, NormSettings::PYTORCH)?,
            ));
            width = next;
        }
        Ok(Self { layers, output: Linear::new(&mut b.at("output"), width, classes, LayerInit::PYTORCH)? })
    }
}

impl Network for SmallCnn {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for (conv, norm) in &self.layers {
            x = conv.forward(graph, &x, Activation::Identity)?;
            x = norm.forward(graph, &x, Activation::Relu)?;
        }
        let x = graph.global_avg_pool(&x)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}

/// `conv1`, `norm1`, ..., `linear`, `output`: halves the image with each convolution, and keeps where things are.
pub(super) struct StridedCnn {
    layers: Vec<(Conv2d, BatchNorm)>,
    linear: Linear,
    output: Linear,
}

impl StridedCnn {
    pub(super) fn new(
        b: &mut Builder,
        (mut height, mut width, channels): (usize, usize, usize),
        widths: &[usize],
        hidden: usize,
        classes: usize,
    ) -> Result<Self> {
        let (mut from, mut layers) = (channels, vec![]);
        for (i, &to) in widths.iter().enumerate() {
            let (geometry, init) = (Geometry { stride: 2, padding: 1 }, LayerInit::PYTORCH.without_bias());
            layers.push((
                Conv2d::new(&mut b.at(&format!("conv{}", i + 1)), 3, from, to, geometry, init)?,
                BatchNorm::new(&mut b.at(&format!("norm{}", i + 1)), to, NormSettings::PYTORCH)?,
            ));
            (from, height, width) = (to, height.div_ceil(2), width.div_ceil(2));
        }
        Ok(Self {
            layers,
            linear: Linear::new(&mut b.at("linear"), height * width * from, hidden, LayerInit::PYTORCH)?,
            output: Linear::new(&mut b.at("output"), hidden, classes, LayerInit::PYTORCH)?,
        })
    }
}

impl Network for StridedCnn {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for (conv, norm) in &self.layers {
            x = conv.forward(graph, &x, Activation::Identity)?;
            x = norm.forward(graph, &x, Activation::Relu)?;
        }
        let x = graph.flatten(&x)?;
        let x = self.linear.forward(graph, &x, Activation::Relu)?;
        self.output.forward(graph, &x, Activation::Identity)
    }
}

/// `conv1`, `conv2`, `linear1`, `linear2`, `output`.
pub(super) struct LeNet {
    convs: [Conv2d; 2],
    linears: [Linear; 2],
    output: Linear,
}

impl LeNet {
    pub(super) fn new(b: &mut Builder, image: (usize, usize, usize), classes: usize) -> Result<Self> {
        let (height, width, channels) = image;
        let padding = if height < 32 || width < 32 { 2 } else { 0 };
        // A 5 x 5 convolution takes four pixels off the side, a pool halves it.
        let after = |side: usize| ((side + 2 * padding).saturating_sub(4) / 2).saturating_sub(4) / 2;
        let features = after(height) * after(width) * 16;
        if features == 0 {
            bail!("LeNet needs images of at least 12 x 12 pixels, not {height} x {width}")
        }
        let init = LayerInit::PYTORCH;
        Ok(Self {
            convs: [
                Conv2d::new(&mut b.at("conv1"), 5, channels, 6, Geometry { stride: 1, padding }, init)?,
                Conv2d::new(&mut b.at("conv2"), 5, 6, 16, Geometry { stride: 1, padding: 0 }, init)?,
            ],
            linears: [
                Linear::new(&mut b.at("linear1"), features, 120, init)?,
                Linear::new(&mut b.at("linear2"), 120, 84, init)?,
            ],
            output: Linear::new(&mut b.at("output"), 84, classes, init)?,
        })
    }
}

impl Network for LeNet {
    fn forward(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for conv in &self.convs {
            x = conv.forward(graph, &x, Activation::Relu)?;
            x = graph.max_pool2d(&x, Pool2d { size: 2, stride: 2, padding: 0 })?;
        }
        x = graph.flatten(&x)?;
        for linear in &self.linears {
            x = linear.forward(graph, &x, Activation::Relu)?;
        }
        self.output.forward(graph, &x, Activation::Identity)
    }
}
