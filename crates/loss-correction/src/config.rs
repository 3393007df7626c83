//! What determines a cell's result.

use std::ops::RangeInclusive;

use retrial_core::data::{Augmentation, DatasetId};
use retrial_core::model::Architecture;
use retrial_core::train::{OptimiserConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::mixture::{Family, Rule};

/// How two images become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixing {
    /// They stay two.
    None,
    /// One share for the batch, from Beta(32, 32).
    Static,
    /// Each pair by how likely its labels are right.
    Dynamic,
}

/// What is done to the given label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Nothing.
    None,
    /// Reed et al. 2015: a twentieth of the network's distribution.
    StaticSoft,
    /// Reed et al. 2015: a fifth of its prediction.
    StaticHard,
    /// The network's distribution, as much as the label is likely wrong.
    Soft,
    /// The network's prediction, as much as the label is likely wrong.
    Hard,
    /// With dynamic mixing: the network's distribution at a falling temperature, whatever the label.
    SoftToHard,
}

/// Where the probability comes from that a label is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// A mixture on the losses.
    Mixture {
        /// Of which densities.
        family: Family,
    },
    /// Control: the normalised loss itself.
    Loss,
    /// Upper bound: 1 where the label is wrong, 0 elsewhere.
    Oracle,
}

/// A way of training with wrong labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// How images are mixed.
    pub mixing: Mixing,
    /// How labels are corrected.
    pub correction: Correction,
    /// Weight of the pull towards a uniform mean prediction, while labels are corrected.
    pub regulariser: f64,
    /// Whence the probability of a wrong label.
    pub weighting: Weighting,
}

const BETA: Weighting = Weighting::Mixture { family: Family::Beta };

impl Method {
    const fn new(mixing: Mixing, correction: Correction, regulariser: f64) -> Self {
        Self { mixing, correction, regulariser, weighting: BETA }
    }

    /// Cross-entropy.
    pub const CE: Self = Self::new(Mixing::None, Correction::None, 0.);
    /// Static soft bootstrapping.
    pub const ST_S: Self = Self::new(Mixing::None, Correction::StaticSoft, 0.);
    /// Static hard bootstrapping.
    pub const ST_H: Self = Self::new(Mixing::None, Correction::StaticHard, 0.);
    /// Dynamic soft bootstrapping.
    pub const DY_S: Self = Self::new(Mixing::None, Correction::Soft, 0.);
    /// Dynamic hard bootstrapping.
    pub const DY_H: Self = Self::new(Mixing::None, Correction::Hard, 0.);
    /// mixup.
    pub const M: Self = Self::new(Mixing::Static, Correction::None, 0.);
    /// mixup and dynamic hard bootstrapping without the regulariser.
    pub const M_DY_H: Self = Self::new(Mixing::Static, Correction::Hard, 0.);
    /// mixup, dynamic soft bootstrapping, regulariser.
    pub const M_DYR_S: Self = Self::new(Mixing::Static, Correction::Soft, 1.);
    /// mixup, dynamic hard bootstrapping, regulariser: the paper's method.
    pub const M_DYR_H: Self = Self::new(Mixing::Static, Correction::Hard, 1.);
    /// Dynamic mixup, dynamic hard bootstrapping, regulariser.
    pub const MD_DYR_H: Self = Self::new(Mixing::Dynamic, Correction::Hard, 1.);
    /// Dynamic mixup, bootstrapping from soft to hard, regulariser: for extreme noise.
    pub const MD_DYR_SH: Self = Self::new(Mixing::Dynamic, Correction::SoftToHard, 1.);

    /// The same with another source of weights.
    pub const fn weighted_by(self, weighting: Weighting) -> Self {
        Self { weighting, ..self }
    }

    /// Whether training follows what the losses say of labels.
    pub fn weighs_by_loss(&self) -> bool {
        let weighs = matches!(self.correction, Correction::Soft | Correction::Hard) || self.mixing == Mixing::Dynamic;
        weighs && self.weighting != Weighting::Oracle
    }

    /// As the paper writes it, with what differs from it after a plus.
    pub fn name(&self) -> String {
        let mixing = match self.mixing {
            Mixing::None => "",
            Mixing::Static => "M-",
            Mixing::Dynamic => "MD-",
        };
        let dynamic = if self.regulariser > 0. { "DYR" } else { "DY" };
        let correction = match self.correction {
            Correction::None if self.mixing == Mixing::None => "CE".to_string(),
            Correction::None if self.regulariser > 0. => "R".to_string(),
            Correction::None => String::new(),
            Correction::StaticSoft => "ST-S".into(),
            Correction::StaticHard => "ST-H".into(),
            Correction::Soft => format!("{dynamic}-S"),
            Correction::Hard => format!("{dynamic}-H"),
            Correction::SoftToHard => format!("{dynamic}-SH"),
        };
        let weighting = match self.weighting {
            Weighting::Mixture { family: Family::Beta } => "",
            Weighting::Mixture { family: Family::Gaussian } => "+gaussian",
            Weighting::Loss => "+loss",
            Weighting::Oracle => "+oracle",
        };
        format!("{}{weighting}", format!("{mixing}{correction}").trim_end_matches('-'))
    }
}

/// Where new labels of spoilt samples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// Drawn anew over all classes, the true one among them: the paper's convention.
    AllClasses,
    /// Drawn anew over the first ten classes, whatever the data set: what the published code does on CIFAR-100.
    FirstTen,
    /// Over the other classes: the convention of the comparisons with other papers.
    OtherClasses,
}

/// Epochs at which training changes, each the first of its kind, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// The last with the high rate.
    pub high: usize,
    /// Labels are corrected (dynamic mixing starts).
    pub correct: usize,
    /// Dynamic mixing corrects labels too; the temperature begins to fall.
    pub soften: usize,
    /// The temperature is at its floor.
    pub hard: usize,
}

impl Phases {
    /// The published epochs 106, 111 and 199 of 300, in proportion, with a delay of two epochs at least after the first
    /// drop of the rate.
    pub fn of(epochs: usize) -> Self {
        let at = |epoch: usize| epoch * epochs / 300;
        let correct = at(100) + at(5).max(2) + 1;
        let soften = correct + at(5).max(2);
        Self { high: at(100), correct, soften, hard: at(199).max(soften + 1) }
    }
}

/// Where the published code does not do what the paper says, or has changed since it was published. All off: the code as it
/// is now, with its class count mended and today's initial values of batch norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variants {
    /// Soft bootstrapping shares the two labels of a mixed image by halves, as the code did until July 2020, and not as the
    /// images are shared.
    pub soft_halves: bool,
    /// Soft bootstrapping's regulariser counts ten classes whatever the data set, as in the code.
    pub ten_class_regulariser: bool,
    /// Dynamic mixing shares labels by mixup's draw throughout, as the paper says, and not by halves once they are corrected.
    pub dynamic_draws: bool,
    /// Scales of batch norms start uniform in (0, 1), as in the library of that time, and not at 1.
    pub uniform_norm_scales: bool,
}

impl Variants {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data set.
    pub dataset: DatasetId,
    /// Training samples, drawn class-balanced by the seed; all of them if more.
    pub train: usize,
    /// Test samples, the first of the test set.
    pub test: usize,
    /// How labels are spoilt.
    pub noise: Noise,
    /// Share of samples whose label is drawn anew.
    pub level: f64,
    /// How it is trained.
    pub method: Method,
    /// Whose rules the fit follows.
    pub rule: Rule,
    /// Other readings of the method.
    #[serde(default, skip_serializing_if = "Variants::is_default")]
    pub variants: Variants,
    /// Rounds of EM.
    pub iterations: usize,
    /// mixup's alpha.
    pub alpha: f64,
    /// When training changes.
    pub phases: Phases,
    /// The network.
    pub architecture: Architecture,
    /// The optimiser, without its rate.
    pub optimiser: OptimiserConfig,
    /// Learning rate over epochs, counted from 0.
    pub schedule: Schedule,
    /// Random changes of training images, also while losses are measured.
    pub augmentation: Augmentation,
    /// Samples in a batch.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// Seed of every stream.
    pub seed: u64,
}

impl Config {
    /// The published epochs 5 to 25 of 300, in proportion: training is young, and losses separate (Fig. 1).
    pub fn young(&self) -> RangeInclusive<usize> {
        let first = (5 * self.epochs / 300).max(1);
        first..=(25 * self.epochs / 300).max(first)
    }

    /// The published epoch 10 of 300, in proportion: where the paper compares mixtures (Fig. 2).
    pub fn early(&self) -> usize {
        (10 * self.epochs / 300).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_papers() {
        let names = [
            (Method::CE, "CE"),
            (Method::ST_S, "ST-S"),
            (Method::ST_H, "ST-H"),
            (Method::DY_S, "DY-S"),
            (Method::DY_H, "DY-H"),
            (Method::M, "M"),
            (Method::M_DYR_S, "M-DYR-S"),
            (Method::M_DYR_H, "M-DYR-H"),
            (Method::M_DY_H, "M-DY-H"),
            (Method::MD_DYR_H, "MD-DYR-H"),
            (Method::MD_DYR_SH, "MD-DYR-SH"),
            (Method::M_DYR_H.weighted_by(Weighting::Loss), "M-DYR-H+loss"),
        ];
        for (method, name) in names {
            assert_eq!(method.name(), name);
        }
    }

    #[test]
    fn phases_are_the_published_ones_at_their_length() {
        assert_eq!(Phases::of(300), Phases { high: 100, correct: 106, soften: 111, hard: 199 });
        assert_eq!(Phases::of(60), Phases { high: 20, correct: 23, soften: 25, hard: 39 });
        let some = crate::experiments::grid(retrial_core::experiment::Profile::Smoke, Some(1))[0].cells[0].clone();
        let places = |epochs| {
            let c = Config { epochs, ..some.clone() };
            (c.young(), c.early())
        };
        assert_eq!(places(300), (5..=25, 10));
        assert_eq!(places(45), (1..=3, 1));
        assert_eq!(places(9), (1..=1, 1));
    }

    #[test]
    fn methods_that_weigh_by_the_loss() {
        let weigh = [Method::DY_S, Method::M_DYR_H, Method::MD_DYR_SH, Method::M_DYR_H.weighted_by(Weighting::Loss)];
        assert!(weigh.iter().all(Method::weighs_by_loss));
        let others = [Method::CE, Method::ST_H, Method::M, Method::M_DYR_H.weighted_by(Weighting::Oracle)];
        assert!(!others.iter().any(Method::weighs_by_loss));
    }
}
