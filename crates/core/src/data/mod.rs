//! Data sets: where their bytes come from, and batches of them.

use candle_core::{Device, Tensor};

/// A data set by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetId {
    /// 60,000 + 10,000 digits, 28 x 28, embedded.
    Mnist,
    /// 60,000 + 10,000 garments, 28 x 28; `make data`.
    FashionMnist,
    /// 10,000 + 2,500 class-balanced images of CIFAR-10, 32 x 32 x 3, embedded.
    Cifar10Subset,
    /// 50,000 + 10,000 images, 32 x 32 x 3; `make data`.
    Cifar10,
    /// 50,000 + 10,000 images of 100 classes, 32 x 32 x 3; `make data`.
    Cifar100,
}

/// Inputs of samples: images as bytes, or vectors.
#[derive(Clone, Debug, PartialEq)]
pub enum Inputs {
    /// `[n, channels, height, width]`, row-major.
    Images { pixels: Vec<u8>, channels: usize, height: usize, width: usize },
    /// `[n, dim]`, row-major.
    Vectors { values: Vec<f32>, dim: usize },
}

/// Inputs with their true labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    pub inputs: Inputs,
    /// True classes, `0..classes`.
    pub labels: Vec<u32>,
}

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub name: String,
    pub classes: usize,
    pub train: Split,
    pub test: Split,
    /// Per-channel mean and standard deviation of the training pixels in `[0, 1]`.
    pub normalisation: Vec<(f32, f32)>,
}

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Dataset {
    /// Reads a data set.
    pub fn load(id: DatasetId, _folder: Option<&std::path::Path>) -> Result<Self, Error> {
        Err(Error(format!("{id:?} is missing; run `make data`")))
    }
}
