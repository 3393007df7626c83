//! What determines a cell's result.

use std::fmt;

use retrial_core::data::{Augmentation, DatasetId};
use retrial_core::model::Architecture;
use retrial_core::train::{OptimiserConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::deficit::Deficit;

/// One cell: a family of training courses of one seed that differ in when the deficit is on. What courses have in common
/// is trained once; the result is that of training each by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Samples.
    pub task: TaskConfig,
    /// The network.
    pub architecture: Architecture,
    /// The optimiser, without its rate.
    pub optimiser: OptimiserConfig,
    /// Learning rate over epochs, counted from the start of a course and not from the removal of a deficit.
    pub schedule: Schedule,
    /// Random changes of training images, before the deficit.
    pub augmentation: Augmentation,
    /// Samples in a batch.
    pub batch: usize,
    /// What is wrong with the training images.
    pub deficit: Deficit,
    /// The courses.
    pub arms: Vec<Arm>,
    /// How often and how long accuracy is taken.
    pub measure: Measure,
    /// Fisher information, where it is taken.
    pub probe: Option<Probe>,
    /// Seed of every stream.
    pub seed: u64,
}

/// Where samples come from and how many are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// The data set.
    pub dataset: DatasetId,
    /// Training samples, drawn class-balanced by the seed.
    pub train: usize,
    /// Test samples, the same for every seed.
    pub test: usize,
    /// Side of the images: 28 x 28 digits are padded to 32, and 32 is averaged down to 16 over 2 x 2 pixels.
    pub side: usize,
}

/// One course of training. Epochs are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Arm {
    /// The deficit until epoch `removal`, then `clean` epochs without. With `removal` 0 the control.
    Removal {
        /// Epochs with the deficit.
        removal: usize,
        /// Epochs after it.
        clean: usize,
    },
    /// Clean until `onset`, the deficit for `length` epochs, clean until `end`.
    Window {
        /// First epoch with the deficit.
        onset: usize,
        /// Epochs with the deficit.
        length: usize,
        /// Epochs in all.
        end: usize,
    },
    /// Control C1: a fresh network on clean images, `clean` epochs at the rates from epoch `start` on. What is lost here is
    /// owed to the learning rate, not to what was seen before.
    LateStart {
        /// Epoch of the schedule that training starts at.
        start: usize,
        /// Epochs.
        clean: usize,
    },
    /// Control C3: as `Removal`, but the schedule starts again when the deficit goes.
    Restart {
        /// Epochs with the deficit.
        removal: usize,
        /// Epochs after it.
        clean: usize,
    },
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Removal { removal: 0, clean } => write!(f, "control-{clean}"),
            Self::Removal { removal, clean } => write!(f, "removal-{removal}-{clean}"),
            Self::Window { onset, length, end } => write!(f, "window-{onset}-{length}-{end}"),
            Self::LateStart { start, clean } => write!(f, "late-start-{start}-{clean}"),
            Self::Restart { removal, clean } => write!(f, "restart-{removal}-{clean}"),
        }
    }
}

/// How accuracy is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Test accuracy at every epoch that is a multiple of this; controls are tested at each.
    pub every: usize,
    /// Final accuracy is the mean over this many last epochs.
    pub last: usize,
    /// Clean training images, from which the running statistics of batch norm are taken anew before a test.
    pub re_estimate: usize,
}

/// How the Fisher information of the weights is taken: at every epoch that is a multiple of `every`, over `images` clean
/// training images, with labels drawn from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Images.
    pub images: usize,
    /// Images whose scores are averaged before they are squared.
    pub batch: usize,
    /// Epochs between readings.
    pub every: usize,
}
