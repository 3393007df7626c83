//! What determines a cell's result.

use retrial_core::data::{Augmentation, DatasetId};
use retrial_core::model::Architecture;
use retrial_core::train::{OptimiserConfig, Schedule};
use serde::{Deserialize, Serialize};

/// One cell of the grid: one network trained with one way to choose samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Samples.
    pub task: TaskConfig,
    /// The network.
    pub architecture: Architecture,
    /// The optimiser, without its rate.
    pub optimiser: OptimiserConfig,
    /// Learning rate over the share of the budget that is spent, 0 to 1: drops come at the same cost for every method.
    pub schedule: Schedule,
    /// Largest norm of a step's gradient; it is scaled down to this.
    pub clip: Option<f64>,
    /// b: samples of an update.
    pub batch: usize,
    /// How they are chosen.
    pub method: Method,
    /// When training ends.
    pub budget: Budget,
    /// Rows of `epochs.csv`, at equal distances along the budget; one more before the first update.
    pub evaluations: u32,
    /// Training samples whose plain, unweighted loss is read at each row.
    pub evaluated: usize,
    /// Updates on other classes before; then the last layer starts afresh.
    pub pretraining: Option<Pretraining>,
    /// The variance analysis of section 4.1 at each row.
    pub analysis: Option<Analysis>,
    /// Seed of every stream.
    pub seed: u64,
}

/// Where samples come from and how many are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// The data set.
    pub source: DatasetId,
    /// Class-balanced training samples.
    pub train: usize,
    /// Test samples, the first of the test set.
    pub test: usize,
    /// Blocks of so many by so many pixels are averaged into one; 1 leaves images as they are.
    pub shrink: usize,
    /// Random changes of training images.
    pub augmentation: Augmentation,
    /// Classes `from..to` only, renumbered from 0.
    pub classes: Option<(u32, u32)>,
    /// Share of training labels that are replaced by another class, chosen uniformly.
    pub label_noise: f64,
    /// Further copies of the first training image: the positive control.
    pub copies: usize,
    /// Pixels in one fixed random order.
    pub permuted: bool,
}

/// When training ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// After so many updates.
    Updates(u64),
    /// After so many forward equivalents: 1 for a sample scored, 3 for a sample trained on.
    Forwards(f64),
}

/// Training on other classes before the cell's own (the fine-tuning analogue).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// Classes `from..to`.
    pub classes: (u32, u32),
    /// Uniform updates.
    pub updates: u64,
    /// Their learning rate.
    pub rate: f64,
}

/// How exactly the gradient of a set is estimated from a resampled part of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// Samples in the set.
    pub set: usize,
    /// Samples drawn from it.
    pub batch: usize,
    /// Times that is done.
    pub repeats: usize,
}

/// What a sample's probability is proportional to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// The norm of the loss gradient at the last pre-activations: the paper's bound.
    UpperBound,
    /// The loss.
    Loss,
    /// The same for all: a control that pays for scores and learns nothing from them.
    Constant,
}

/// How the samples of an update are chosen and weighted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// Uniformly, with replacement.
    Uniform,
    /// Uniformly, so many that an update costs as much as importance sampling with this pre-sample.
    UniformAtEqualCost {
        /// B of the method that it is matched to.
        presample: usize,
    },
    /// Algorithm 1: b of B by score while tau exceeds the threshold, uniformly otherwise.
    Importance {
        /// What probabilities are proportional to.
        score: Score,
        /// B.
        presample: usize,
        /// tau_th; 0 is always on.
        threshold: f64,
    },
    /// Online batch selection (Loshchilov and Hutter 2015): by the rank of the last known loss, without weights.
    LoshchilovHutter {
        /// Largest over smallest probability at the start.
        first: f64,
        /// The same at the end, reached geometrically.
        last: f64,
        /// Updates between two sortings.
        sort_every: u64,
        /// Updates between two recomputations of all losses.
        recompute_every: u64,
    },
    /// Proportional prioritisation (Schaul et al. 2015) of the last known loss.
    Schaul {
        /// Power of the loss in the probability.
        alpha: f64,
        /// Power of `1 / (N p)` in the weight.
        beta: f64,
        /// Updates between two recomputations of all losses.
        recompute_every: u64,
    },
    /// A control variate from a snapshot of the weights.
    ControlVariate {
        /// Which method.
        variant: ControlVariate,
        /// Updates between two snapshots.
        inner: u64,
    },
}

/// Stochastic variance reduced gradients and its relatives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "variant", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlVariate {
    /// Johnson and Zhang 2013: the snapshot's gradient over the whole training set.
    Svrg,
    /// Lei et al. 2017: over a random part that grows.
    Scsg {
        /// Samples of the first snapshot's gradient.
        first: usize,
        /// Factor from one snapshot to the next.
        growth: f64,
    },
    /// Allen-Zhu 2017 with both momenta 0.5.
    Katyusha {
        /// With the exchanged signs of the published code, `g(x) + g(snapshot) - mean`.
        published_sign: bool,
    },
}
