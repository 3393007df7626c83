//! What determines a cell's result.

use retrial_core::data::DatasetId;
use retrial_core::model::Architecture;
use serde::{Deserialize, Serialize};

use crate::weighting::{Convention, Loss};

/// One cell of the grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "study", rename_all = "kebab-case")]
pub enum Config {
    /// Points in the plane: theory with closed forms beside it.
    Plane(Plane),
    /// Cats against dogs.
    Images(Images),
    /// Another share of dogs in the target than in training.
    LabelShift(LabelShift),
}

/// Where points of the plane come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Points {
    /// Unit Gaussians around ±(c, −c), redrawn beyond `radius` of the centre; negatives mirror the positives.
    Gaussians {
        /// c.
        centre: f64,
        /// Where the Gaussian is cut.
        radius: f64,
    },
    /// Two interleaved half circles with Gaussian noise, moved apart by `gap` each.
    Moons {
        /// Standard deviation.
        noise: f64,
        /// Shift of each moon away from the other, along the second axis.
        gap: f64,
    },
}

/// A model of the plane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaneModel {
    /// Logistic regression with bias.
    Linear,
    /// One hidden layer of ReLU units.
    Mlp {
        /// Their number.
        hidden: usize,
    },
}

/// One classifier of points in the plane, in double precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plane {
    /// The points.
    pub points: Points,
    /// Training points of each class.
    pub per_class: usize,
    /// The model.
    pub model: PlaneModel,
    /// R: weight of the positive class over that of the negative class.
    pub ratio: f64,
    /// λ of the penalty (λ/2)‖w‖², on weights and not on biases.
    pub lambda: f64,
    /// Learning rate.
    pub rate: f64,
    /// Points in a batch.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// Seed of every stream.
    pub seed: u64,
}

/// A network that tells cats from dogs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// Where the images come from: ten classes, of which 3 is cat and 5 is dog.
    pub dataset: DatasetId,
    /// Means of 2 x 2 pixels: a quarter of the work, and not what the paper trained on.
    pub halved: bool,
    /// Training cats and dogs.
    pub counts: [usize; 2],
    /// How often each of them is repeated.
    pub copies: [usize; 2],
    /// Held-out cats and dogs, of each.
    pub held_out: usize,
    /// Images of each of the other eight classes.
    pub others: usize,
    /// Noise images, of each kind.
    pub noise: usize,
    /// R: weight of dogs over that of cats.
    pub ratio: f64,
    /// How weights enter a batch.
    pub convention: Convention,
    /// The loss.
    pub loss: Loss,
    /// The network.
    pub architecture: Architecture,
    /// λ of the penalty (λ/2)‖θ‖² on all parameters.
    pub lambda: f64,
    /// Learning rate of plain SGD, constant.
    pub rate: f64,
    /// Momentum, 0 in the paper.
    pub momentum: f64,
    /// Images in a batch.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// After the first five epochs the network is read every so many epochs.
    pub every: usize,
    /// Seed of every stream.
    pub seed: u64,
}

/// A network under label shift: its weights come from unlabelled images of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelShift {
    /// The network, trained without weights first.
    pub network: Images,
    /// q: share of dogs in the target.
    pub dog_share: f64,
}
