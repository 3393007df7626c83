//! What determines a cell's result.

use retrial_core::data::{DatasetId, FolderSet};
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::train::{OptimiserConfig, Schedule};
use serde::{Deserialize, Serialize};

/// One cell: one method on one draw of noisy labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Samples.
    pub task: TaskConfig,
    /// How labels are spoilt; [`NoiseKind::Clean`] for data whose own labels are wrong.
    pub noise: NoiseKind,
    /// tau: share of wrong labels, injected, or known of data that come with them. SELFIE and Co-teaching are told it.
    pub level: f64,
    /// What is done about it.
    pub method: Method,
    /// The network.
    pub architecture: Architecture,
    /// The optimiser, without its rate.
    pub optimiser: OptimiserConfig,
    /// Learning rate over the epochs of one run.
    pub schedule: Schedule,
    /// |M|: samples in a batch.
    pub batch: usize,
    /// How batches are drawn.
    pub draw: Draw,
    /// Epochs of one run.
    pub epochs: usize,
    /// gamma: epochs of a run before its method sets in. Not used by Default and Co-teaching.
    pub warm_up: usize,
    /// Seed of every stream.
    pub seed: u64,
}

/// Where samples come from and how many are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// The data set.
    pub source: Source,
    /// Training samples, class-balanced; 0 for all.
    pub train: usize,
    /// Further training samples, with true labels, that only choose an epoch.
    pub validation: usize,
    /// Test samples, class-balanced; 0 for all.
    pub test: usize,
    /// Each 2 x 2 pixels averaged to one.
    pub halved: bool,
}

/// A data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// One that is embedded or fetched.
    Images(DatasetId),
    /// One in the folder that the user names with `--data`.
    Folder(FolderSet),
}

/// How batches are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Draw {
    /// As published: each batch is drawn from all samples, whatever came before, so that an epoch leaves out about 37 %.
    Independent,
    /// A fresh order for every epoch.
    Shuffled,
}

/// A method on trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// Cross-entropy on the labels as given.
    Default {
        /// Fresh independent runs: SELFIE's budget with restarts. Only the first draws its streams as the other methods do.
        runs: usize,
    },
    /// Weights from the variance of the predicted probability of the given label (Chang et al. 2017).
    ActiveBias {
        /// beta: added to every standard deviation (0.02 in the code of May 2019, 0.2 in that of 2020).
        smoothing: f64,
    },
    /// Two networks that choose each other's samples (Han et al. 2018).
    CoTeaching {
        /// T_k: epochs over which the forget rate rises (10 in the code of May 2019, 15 in that of 2020).
        ramp: u64,
    },
    /// The small-loss samples only: SELFIE that refurbishes nothing. Not in the paper.
    SelectOnly,
    /// After the warm-up every sample takes the majority vote of its history, and none is left out: correction of
    /// everything. Not in the paper.
    RelabelAll {
        /// q.
        history: usize,
    },
    /// The paper's.
    Selfie(Selfie),
}

/// SELFIE with every point on which paper and published code, or two versions of the code, differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selfie {
    /// q: predictions of a sample that are remembered.
    pub history: usize,
    /// epsilon: largest uncertainty of a refurbishable sample.
    pub epsilon: f64,
    /// r: further runs that start anew and keep the refurbished labels (2 in the README, 3 in the script).
    pub restarts: usize,
    /// What becomes of a sample that was refurbished once and is uncertain now.
    pub reuse: Reuse,
    /// Labels in the warm-up of later runs.
    pub warm_up_labels: WarmUpLabels,
    /// tau of later runs.
    pub noise_rate: NoiseRate,
    /// What the summed loss is divided by.
    pub normaliser: Normaliser,
    /// What counts as the history of a sample that was visited less than q times.
    pub padding: Padding,
    /// Added to the noise rate that the method is told: 0.1 if it is told too much.
    pub misjudged: f64,
}

/// What becomes of a sample that was refurbished once and is uncertain now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// V1 (May 2019): it is trained with its refurbished label if its loss is small, and else left out.
    SmallLoss,
    /// V2 (July 2019, most likely the paper's Algorithm 1): it stays in R with that label.
    Always,
}

/// Labels in the warm-up of later runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmUpLabels {
    /// As given (2019).
    Given,
    /// Refurbished where there is one (2020).
    Corrected,
}

/// tau of later runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseRate {
    /// As told (2019).
    Fixed,
    /// At most the share of samples that no run has refurbished (2020).
    Lowered,
}

/// What the summed loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normaliser {
    /// |R u C| (code, and the equation as published).
    Used,
    /// |M| (the equation of the first README).
    Batch,
}

/// What counts as the history of a sample that was visited less than q times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// Nothing: it is not refurbishable yet.
    None,
    /// Votes for class 0, as published.
    ClassZero,
}

impl Selfie {
    /// The paper's, with q and the number of restarts.
    pub fn paper(history: usize, restarts: usize) -> Self {
        Self {
            history,
            epsilon: 0.05,
            restarts,
            reuse: Reuse::Always,
            warm_up_labels: WarmUpLabels::Given,
            noise_rate: NoiseRate::Fixed,
            normaliser: Normaliser::Used,
            padding: Padding::None,
            misjudged: 0.,
        }
    }
}

impl Method {
    /// As in figures and tables.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Default { .. } => "Default",
            Self::ActiveBias { .. } => "ActiveBias",
            Self::CoTeaching { .. } => "Co-teaching",
            Self::SelectOnly => "SelectOnly",
            Self::RelabelAll { .. } => "RelabelAll",
            Self::Selfie(_) => "SELFIE",
        }
    }
}
