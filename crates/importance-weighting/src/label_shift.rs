//! Label shift, our extension: the target holds another share of dogs than the training set. Black-box shift estimation
//! (Lipton et al. 2018) finds the weights from unlabelled target images; then retraining with them is compared with adding
//! their logarithm to the logits of the network that there already is.

use retrial_core::Seed;
use retrial_core::experiment::{CellError, CellRun};
use serde::{Deserialize, Serialize};

use crate::config::{Images, LabelShift};
use crate::images::{Learner, gaps_of_held_out};
use crate::weighting::{CAT, DOG};

/// Unlabelled images of the target.
pub const TARGET: usize = 500;
/// Least weight of a class: an estimate may come out negative.
const LEAST_WEIGHT: f64 = 0.01;

/// One network; a row of `epochs.csv`.
#[derive(Serialize)]
struct Row {
    epoch: usize,
    ratio: f64,
    loss: f64,
}

/// What remains of a cell. Accuracies are those expected on the target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// q / (1 − q): what the weights should be.
    pub true_ratio: f64,
    /// What black-box shift estimation says.
    pub estimated_ratio: f64,
    /// Of the network trained without weights.
    pub unweighted: f64,
    /// Of one trained with the estimated weights.
    pub retrained: f64,
    /// Of the first network, with ln of the estimated ratio added to the logit of dog.
    pub offset: f64,
}

/// The ratio of the two classes' weights, ŵ = C⁻¹ μ̂: `joint[i][j]` is the held-out share with prediction i and class j,
/// `predicted` the share of the target that is called dog. None if predictions do not depend on the class.
pub fn estimate_ratio(joint: [[f64; 2]; 2], predicted: f64) -> Option<f64> {
    let [[a, b], [c, d]] = joint;
    let determinant = a * d - b * c;
    if determinant.abs() < 1e-9 {
        return None;
    }
    let (mu_cat, mu_dog) = (1. - predicted, predicted);
    let cat = (d * mu_cat - b * mu_dog) / determinant;
    let dog = (a * mu_dog - c * mu_cat) / determinant;
    Some(dog.max(LEAST_WEIGHT) / cat.max(LEAST_WEIGHT))
}

/// Trains twice. A killed cell starts afresh: it is short.
pub fn train(config: &LabelShift, run: &mut CellRun) -> Result<Summary, CellError> {
    let q = config.dog_share;
    if !(0. < q && q < 1.) {
        return Err(CellError::other("`dog_share` must be above 0 and below 1"));
    }
    run.expect_epochs(2 * config.network.epochs);
    let first = fit(&config.network, run)?;
    let (validation, validation_labels) = first.validation_gaps()?;
    let n = validation.len() as f64;
    let joint = [CAT, DOG].map(|predicted| {
        [CAT, DOG].map(|class| {
            let of = validation.iter().zip(validation_labels);
            of.filter(|(gap, y)| (u32::from(**gap > 0.), **y) == (predicted, class)).count() as f64 / n
        })
    });
    let [cats, dogs] = gaps_of_held_out(&first)?;
    let wanted = [(TARGET as f64 * (1. - q)).round() as usize, (TARGET as f64 * q).round() as usize];
    let target: Vec<f32> = cats.iter().take(wanted[0]).chain(dogs.iter().take(wanted[1])).copied().collect();
    let predicted = target.iter().filter(|&&gap| gap > 0.).count() as f64 / target.len() as f64;
    let estimated_ratio = estimate_ratio(joint, predicted).unwrap_or(1.);
    let accuracy = |[cats, dogs]: &[Vec<f32>; 2], offset: f64| {
        let called_dog =
            |gaps: &[f32]| gaps.iter().filter(|&&gap| f64::from(gap) + offset > 0.).count() as f64 / gaps.len() as f64;
        (1. - q) * (1. - called_dog(cats)) + q * called_dog(dogs)
    };
    let both = [cats, dogs];
    let weighted = Images { ratio: estimated_ratio, ..config.network.clone() };
    let second = fit(&weighted, run)?;
    Ok(Summary {
        true_ratio: q / (1. - q),
        estimated_ratio,
        unweighted: accuracy(&both, 0.),
        retrained: accuracy(&gaps_of_held_out(&second)?, 0.),
        offset: accuracy(&both, estimated_ratio.ln()),
    })
}

fn fit<'a>(config: &'a Images, run: &mut CellRun) -> Result<Learner<'a>, CellError> {
    let data = run.dataset(config.dataset)?;
    let mut learner = Learner::new(config, &data, Seed(config.seed), run.device())?;
    for epoch in 0..config.epochs {
        let loss = learner.epoch(epoch)?;
        run.epoch(&Row { epoch: epoch + 1, ratio: config.ratio, loss })?;
    }
    Ok(learner)
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    /// A classifier that finds 80 % of cats and 70 % of dogs, in a target with 90 % dogs: exact frequencies give the exact
    /// ratio back.
    #[test]
    fn exact_frequencies_give_the_exact_ratio() {
        let joint = [[0.5 * 0.8, 0.5 * 0.3], [0.5 * 0.2, 0.5 * 0.7]];
        let predicted = 0.1 * 0.2 + 0.9 * 0.7;
        assert_abs_diff_eq!(estimate_ratio(joint, predicted).unwrap(), 9., epsilon = 1e-12);
        assert_eq!(estimate_ratio([[0.25, 0.25], [0.25, 0.25]], 0.5), None);
        assert!(estimate_ratio(joint, 1.).unwrap() > 9.);
    }
}
