//! What determines a cell's result.

use retrial_core::data::{Augmentation, DatasetId};
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::train::{OptimiserConfig, Schedule};
use serde::{Deserialize, Serialize};

/// One cell of the grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "study", rename_all = "kebab-case")]
pub enum Config {
    /// A network trained on noisy labels and read on held-out samples: the theory check.
    Memorise(Memorise),
    /// Nearest neighbours on the same task at every level: the positive control.
    Neighbours(Neighbours),
    /// Iterative noisy cross-validation, and Co-teaching on what it selects.
    Incv(Incv),
    /// What INCV is compared with.
    Baseline(Baseline),
}

impl Config {
    /// The seed that every stream of the cell hangs on.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Memorise(c) => c.seed,
            Self::Neighbours(c) => c.seed,
            Self::Incv(c) => c.seed,
            Self::Baseline(c) => c.seed,
        }
    }
}

/// Where samples come from and how many are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// The data set.
    pub source: Source,
    /// Training samples, drawn class-balanced by the seed.
    pub train: usize,
    /// Further training samples with noisy labels that only choose the best epoch.
    pub validation: usize,
    /// Held-out samples: the test split first, then training samples used for nothing else.
    pub held_out: usize,
}

/// A data set, or vectors made from one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The images themselves, centred and scaled by the channels' mean and deviation.
    Images(DatasetId),
    /// The images with pixels between 0 and 1 and no other scaling, as in the published code.
    UnitImages(DatasetId),
    /// The leading principal components of the training images, scaled to unit variance.
    Pca {
        /// Where the images come from.
        dataset: DatasetId,
        /// Number of components.
        components: usize,
    },
    /// Ten Gaussian classes in 20 dimensions whose Bayes accuracy is `bayes_accuracy` (stage S0).
    Gaussians {
        /// Accuracy of the best possible classifier.
        bayes_accuracy: f64,
    },
}

/// How wrong labels arise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// Independent of the input, given the class: what the theory assumes.
    Class(NoiseKind),
    /// The share `level` of samples that lie nearest to another class's mean is flipped to that class: the negative
    /// control, which breaks the assumption and keeps the rate.
    LowMargin,
}

/// When training ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// After `epochs`, whatever happened.
    Epochs,
    /// Once the noisy training labels are fitted at 99.9 % on three epochs running, at the latest after `epochs`.
    Memorised,
}

/// A network trained on noisy labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memorise {
    /// Samples.
    pub task: TaskConfig,
    /// How labels are spoilt.
    pub noise: Noise,
    /// Noise ratio.
    pub level: f64,
    /// The network.
    pub architecture: Architecture,
    /// The optimiser, without its rate.
    pub optimiser: OptimiserConfig,
    /// Learning rate over epochs.
    pub schedule: Schedule,
    /// Random changes of training images.
    pub augmentation: Augmentation,
    /// Samples in a batch.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// When training ends.
    pub stop: Stop,
    /// Seed of every stream.
    pub seed: u64,
}

/// k-nearest-neighbour votes at every level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// Samples.
    pub task: TaskConfig,
    /// How labels are spoilt.
    pub noise: Noise,
    /// Noise ratios.
    pub levels: Vec<f64>,
    /// Numbers of neighbours that vote.
    pub k: Vec<usize>,
    /// Seed of every stream.
    pub seed: u64,
}

/// Which weights INCV predicts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// The published rule: best epoch on noisy validation labels until an iteration that depends on the estimated
    /// noise ratio, the last epoch afterwards.
    Published,
    /// Always the best epoch.
    Best,
    /// Always the last epoch, where Eq. 4's premise can hold.
    Last,
}

/// Iterative noisy cross-validation (Algorithm 2) with the constants of the published code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incv {
    /// Samples.
    pub task: TaskConfig,
    /// How labels are spoilt.
    pub noise: NoiseKind,
    /// Noise ratio.
    pub level: f64,
    /// The network.
    pub architecture: Architecture,
    /// The optimiser, without its rate.
    pub optimiser: OptimiserConfig,
    /// Learning rate over epochs.
    pub schedule: Schedule,
    /// Random changes of training images.
    pub augmentation: Augmentation,
    /// Samples in a batch.
    pub batch: usize,
    /// Iterations N.
    pub iterations: usize,
    /// Epochs E of each network.
    pub epochs: usize,
    /// Weights that predictions are made with.
    pub weights: Weights,
    /// As published: every network starts from the same weights and inherits the optimiser's moments.
    pub reuse_start: bool,
    /// Co-teaching on the selected samples, and later on the candidates too.
    pub then: Option<CoTeaching>,
    /// Seed of every stream.
    pub seed: u64,
}

/// Two networks that choose each other's samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoTeaching {
    /// Epochs to train.
    pub epochs: usize,
    /// Learning rate over epochs.
    pub schedule: Schedule,
    /// T_k: epochs over which the forget rate rises.
    pub ramp: u64,
    /// E_w: epochs before candidates join; pair noise or an estimated ratio above 0.6 takes `warm_up_hard`.
    pub warm_up: usize,
    /// The same for hard noise.
    pub warm_up_hard: usize,
}

/// A method that INCV + Co-teaching is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Cross-entropy on all labels as given.
    CrossEntropy,
    /// Co-teaching on all samples, told the true noise ratio.
    CoTeaching,
    /// Cross-entropy on the correctly labelled samples only: what perfect selection would give.
    Oracle,
    /// One round of noisy cross-validation, then cross-entropy on what it selects.
    NcvOnce,
}

/// One baseline run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The method.
    pub method: Method,
    /// Samples.
    pub task: TaskConfig,
    /// How labels are spoilt.
    pub noise: NoiseKind,
    /// Noise ratio.
    pub level: f64,
    /// The network.
    pub architecture: Architecture,
    /// The optimiser, without its rate.
    pub optimiser: OptimiserConfig,
    /// Of the selection networks (NCV only).
    pub selection_schedule: Schedule,
    /// Epochs of each selection network.
    pub selection_epochs: usize,
    /// Random changes of training images.
    pub augmentation: Augmentation,
    /// Samples in a batch.
    pub batch: usize,
    /// Schedule of the final training.
    pub training: CoTeaching,
    /// Seed of every stream.
    pub seed: u64,
}
