//! The networks that a config can name.

use candle_core::{DType, Device, Result, bail};
use serde::{Deserialize, Serialize};

use super::all_cnn::{self, AllCnn};
use super::cnn::{LeNet, SmallCnn, StridedCnn};
use super::dense_net::DenseNet;
use super::lstm::Lstm;
use super::mlp::Mlp;
use super::norm_mlp::NormMlp;
use super::pooled_cnn::PooledCnn;
use super::preact::PreActResNet;
use super::resnet::{ResNetV1, ResNetV2};
use super::two_stage_cnn::{Shape, TwoStageCnn};
use super::vgg::{self, Vgg};
use super::wide_resnet::WideResNet;
use super::{Builder, LayerInit, Model, Network, Parameters};
use crate::Seed;
use crate::data::Inputs;

/// Shape of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputShape {
    /// Batches are `[n, height, width, channels]`.
    Image {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Colours.
        channels: usize,
    },
    /// Batches are `[n, dim]`.
    Vector {
        /// Features.
        dim: usize,
    },
}

impl InputShape {
    /// Numbers in a sample.
    pub fn elements(&self) -> usize {
        match *self {
            Self::Image { height, width, channels } => height * width * channels,
            Self::Vector { dim } => dim,
        }
    }
}

impl From<&Inputs> for InputShape {
    fn from(inputs: &Inputs) -> Self {
        match *inputs {
            Inputs::Images { channels, height, width, .. } => Self::Image { height, width, channels },
            Inputs::Vectors { dim, .. } => Self::Vector { dim },
        }
    }
}

/// A network by name, as it stands in a cell's config: `{"kind": "mlp", "widths": [256]}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Architecture {
    /// Multinomial logistic regression: one linear layer on the flattened input.
    Linear,
    /// Linear layers with ReLU between them, on the flattened input. PyTorch's default initial values.
    Mlp {
        /// Units of each hidden layer.
        widths: Vec<usize>,
        /// Probability to drop a hidden unit.
        #[serde(default)]
        dropout: f64,
    },
    /// 3 x 3 convolutions, each with batch norm and ReLU, the first of stride 1 and the others of stride 2; global
    /// average pool; linear. PyTorch's default initial values.
    SmallCnn {
        /// Channels of each convolution.
        #[serde(default = "small_cnn_widths")]
        widths: Vec<usize>,
    },
    /// LeNet-5 of LeCun et al. 1998 in today's form: 5 x 5 convolutions of 6 and 16 channels, each with ReLU and a 2 x 2
    /// max pool, then linear layers of 120, 84 and `classes` units. Made for 32 x 32 pixels; a smaller image gets a
    /// border of two zeros, so that 28 x 28 fits.
    #[serde(rename = "lenet")]
    LeNet,
    /// The ResNet-32 of Chen et al. 2019: He et al. 2016 for CIFAR, in Keras. 468,138 parameters on colour images of ten
    /// classes. Weight decay only on the kernels of blocks and shortcuts.
    #[serde(rename = "resnet-32")]
    ResNet32,
    /// The pre-activation bottleneck ResNet-110 of Chen et al. 2019, in Keras: 12 blocks a stage. 3,302,442 parameters on
    /// colour images of ten classes.
    #[serde(rename = "resnet-110-v2")]
    ResNet110V2,
    /// The all-convolutional network of Achille et al. 2019: nine convolutions, eight of them with batch norm and ReLU, the
    /// third and the sixth of stride 2, no linear layer. 1,617,312 convolution weights at width 96 on colour images of ten
    /// classes. PyTorch's default initial values.
    #[serde(rename = "all-cnn")]
    AllCnn {
        /// Channels of the first two convolutions; the later ones have twice as many.
        width: usize,
    },
    /// The depth family of Achille et al. 2019: `2 stages + 4` convolutions, one of stride 2 in each stage.
    #[serde(rename = "all-cnn-family")]
    AllCnnFamily {
        /// Channels of the first convolution.
        width: usize,
        /// Stages.
        stages: usize,
        /// Whether all stages have this width; it doubles at each stage otherwise.
        constant: bool,
    },
    /// Linear layers, each with batch norm and ReLU, on the flattened input: the digits network of Achille et al. 2019.
    /// PyTorch's default initial values.
    NormMlp {
        /// Units of each hidden layer.
        widths: Vec<usize>,
    },
    /// 3 x 3 convolutions of stride 2, each with batch norm and ReLU; flattened; a hidden linear layer with ReLU; linear.
    /// PyTorch's default initial values. Small, and memorises thousands of images.
    StridedCnn {
        /// Channels of each convolution.
        widths: Vec<usize>,
        /// Units of the hidden layer.
        hidden: usize,
    },
    /// The pre-activation ResNet-18 of Arazo et al. 2019, whose identities carry the opened input and which ends without
    /// a norm. Width 64 is the paper's: 11,171,274 parameters on colour images of ten classes.
    #[serde(rename = "preact-resnet-18")]
    PreActResNet18 {
        /// Channels of the first stage; the others have 2, 4 and 8 times as many.
        width: usize,
    },
    /// As [`Self::Mlp`] without dropout, with Keras's default initial values. Weight decay on the weights only.
    KerasMlp {
        /// Units of each hidden layer.
        widths: Vec<usize>,
    },
    /// The wide residual network of Katharopoulos and Fleuret 2018, with layer norm: WRN-`depth`-`widen`. Depth 28 and
    /// widening 2 are the paper's, 1,465,827 parameters on colour images of ten classes. Weight decay on all kernels but
    /// those of the shortcuts.
    #[serde(rename = "wide-resnet")]
    WideResNet {
        /// 10, 16, 22, 28, ...
        depth: usize,
        /// Widening factor k: groups have `base k`, `2 base k` and `4 base k` channels.
        widen: usize,
        /// Channels of the stem; the paper's are 16.
        #[serde(default = "stem_channels")]
        base: usize,
    },
    /// A long short-term memory that reads the flattened sample one number at a time; linear on its last state. Katharopoulos
    /// and Fleuret 2018 take 128 units. Keras's initial values.
    #[serde(rename = "lstm")]
    Lstm {
        /// Hidden units.
        units: usize,
    },
    /// 3 x 3 convolutions, each with batch norm and ReLU, a 2 x 2 max pool after each of the first two (not after the
    /// last), dropout after the last two; global average pool; linear.
    PooledCnn {
        /// Channels of each convolution.
        widths: Vec<usize>,
        /// Probability to drop an activation.
        #[serde(default)]
        dropout: f64,
    },
    /// The DenseNet-25-12 of Song et al. 2019: seven layers in each of three blocks, growth 12, dropout 0.2. 362,242
    /// parameters on colour images of ten classes, 386,452 for a hundred, 413,352 for two hundred.
    #[serde(rename = "densenet-25-12")]
    DenseNet2512,
    /// The VGG-19 of Song et al. 2019, with batch norm and two hidden layers of 4,096 units, dropout 0.5. 38,975,306
    /// parameters on colour images of 32 x 32 pixels and ten classes.
    #[serde(rename = "vgg-19")]
    Vgg19,
    /// The CNN of Byrd and Lipton 2019: two, then three 3 x 3 convolutions with ReLU, a 2 x 2 max pool after each stage,
    /// two dense layers with ReLU. As published: widths 64 and 128, dense 512 and 128, no padding, 1,522,754 parameters
    /// on colour images of 32 x 32 pixels and two classes. PyTorch's default initial values.
    TwoStageCnn {
        /// Channels of the first and of the second stage.
        widths: [usize; 2],
        /// Units of the two dense layers.
        dense: [usize; 2],
        /// Border of zeros of every convolution: 0 as published, 1 keeps the size of small images.
        #[serde(default)]
        padding: usize,
        /// Probability to drop a unit of a dense layer.
        #[serde(default)]
        dropout: f64,
        /// Batch norm after every convolution.
        #[serde(default)]
        norm: bool,
    },
}

fn stem_channels() -> usize {
    16
}

fn small_cnn_widths() -> Vec<usize> {
    vec![32, 64, 128]
}

impl Architecture {
    /// The network with its initial values.
    ///
    /// # Errors
    /// If it needs images and gets vectors, if an image is too small for it, or if a width or the number of classes is 0.
    pub fn build(&self, input: &InputShape, classes: usize, seed: Seed, device: &Device) -> Result<Model> {
        self.build_as(DType::F32, input, classes, seed, device)
    }

    pub(super) fn build_as(
        &self,
        dtype: DType,
        input: &InputShape,
        classes: usize,
        seed: Seed,
        device: &Device,
    ) -> Result<Model> {
        let mut parameters = Parameters::default();
        let mut b = Builder::new(&mut parameters, seed, device).with_dtype(dtype);
        if classes == 0 || input.elements() == 0 || self.widths().iter().any(|widths| widths.contains(&0)) {
            bail!("{self:?} from {input:?} to {classes} classes: each of these numbers must be at least 1")
        }
        let image = || match *input {
            InputShape::Image { height, width, channels } => Ok((height, width, channels)),
            InputShape::Vector { dim } => bail!("{self:?} needs images, not vectors of {dim} numbers"),
        };
        let network: Box<dyn Network> = match self {
            Self::Linear => Box::new(Mlp::new(&mut b, input.elements(), &[], 0., classes, LayerInit::PYTORCH)?),
            Self::KerasMlp { widths } => {
                Box::new(Mlp::new(&mut b, input.elements(), widths, 0., classes, LayerInit::KERAS)?)
            }
            Self::Lstm { units: 0 } => bail!("an LSTM needs at least one unit"),
            Self::Lstm { units } => Box::new(Lstm::new(&mut b, *units, classes)?),
            Self::WideResNet { depth, widen, base } => {
                if [*depth, *widen, *base].contains(&0) {
                    bail!("{self:?}: each of these numbers must be at least 1")
                }
                Box::new(WideResNet::new(&mut b, image()?.2, [*depth, *widen, *base], classes)?)
            }
            Self::Mlp { widths, dropout } => {
                if !(0. ..1.).contains(dropout) {
                    bail!("a dropout of {dropout} is not in [0, 1)")
                }
                Box::new(Mlp::new(&mut b, input.elements(), widths, *dropout as f32, classes, LayerInit::PYTORCH)?)
            }
            Self::SmallCnn { widths } => Box::new(SmallCnn::new(&mut b, image()?.2, widths, classes)?),
            Self::LeNet => Box::new(LeNet::new(&mut b, image()?, classes)?),
            Self::ResNet32 => Box::new(ResNetV1::new(&mut b, image()?.2, 5, classes)?),
            Self::ResNet110V2 => Box::new(ResNetV2::new(&mut b, image()?.2, 12, classes)?),
            Self::AllCnn { width } => {
                Box::new(AllCnn::new(&mut b, image()?.2, &all_cnn::main_layers(*width), classes)?)
            }
            Self::AllCnnFamily { width, stages, constant } => {
                let layers = all_cnn::family_layers(*width, *stages, *constant);
                Box::new(AllCnn::new(&mut b, image()?.2, &layers, classes)?)
            }
            Self::NormMlp { widths } => Box::new(NormMlp::new(&mut b, input.elements(), widths, classes)?),
            Self::StridedCnn { widths, hidden } => {
                Box::new(StridedCnn::new(&mut b, image()?, widths, *hidden, classes)?)
            }
            Self::PreActResNet18 { width } => Box::new(PreActResNet::new(&mut b, image()?.2, *width, classes)?),
            Self::PooledCnn { widths, dropout } => {
                if !(0. ..1.).contains(dropout) {
                    bail!("a dropout of {dropout} is not in [0, 1)")
                }
                Box::new(PooledCnn::new(&mut b, image()?.2, widths, *dropout as f32, classes)?)
            }
            Self::DenseNet2512 => Box::new(DenseNet::new(&mut b, image()?.2, 7, 12, classes)?),
            Self::Vgg19 => Box::new(Vgg::new(&mut b, image()?, &vgg::VGG_19, vgg::HIDDEN, classes)?),
            &Self::TwoStageCnn { widths, dense, padding, dropout, norm } => {
                if !(0. ..1.).contains(&dropout) {
                    bail!("a dropout of {dropout} is not in [0, 1)")
                }
                let shape = Shape { widths, dense, padding, dropout: dropout as f32, norm };
                Box::new(TwoStageCnn::new(&mut b, image()?, &shape, classes)?)
            }
        };
        if let Self::ResNet32 = self {
            parameters.decay_only(|name| name.starts_with("stage") && name.ends_with(".conv.weight"));
        }
        if let Self::KerasMlp { .. } = self {
            parameters.decay_only(|name| name.ends_with(".weight"));
        }
        if let Self::WideResNet { .. } = self {
            parameters.decay_only(WideResNet::decays);
        }
        Ok(Model { network, parameters, device: device.clone() })
    }

    fn widths(&self) -> [&[usize]; 2] {
        match self {
            Self::Mlp { widths, .. }
            | Self::SmallCnn { widths }
            | Self::KerasMlp { widths }
            | Self::NormMlp { widths }
            | Self::StridedCnn { widths, .. }
            | Self::PooledCnn { widths, .. } => [widths, &[]],
            Self::PreActResNet18 { width } | Self::AllCnn { width } | Self::AllCnnFamily { width, .. } => {
                [std::slice::from_ref(width), &[]]
            }
            Self::TwoStageCnn { widths, dense, .. } => [widths, dense],
            _ => [&[], &[]],
        }
    }
}
