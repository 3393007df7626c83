//! Claims that are not the paper's: polynomial tails (IW15) and label shift (IW16).

use std::collections::BTreeMap;

use retrial_core::results::{Claim, Verdict, not_tested, open};
use retrial_core::stats::over_seeds;

use super::{gates, judged, last, scope_of};
use crate::config::LabelShift;
use crate::images::VALIDATION;
use crate::label_shift::{self, TARGET};
use crate::readings::{Run, mean, network};
use crate::weighting::Loss;

/// Balanced accuracy with weights of ratio `weights` minus without, by seed, of runs with one of the two losses.
fn gains(runs: &[Run], polynomial: bool, weights: f64) -> BTreeMap<u64, f64> {
    let of = |ratio: f64| -> BTreeMap<u64, f64> {
        let of_loss = runs.iter().filter(|r| matches!(r.config.loss, Loss::Polynomial { .. }) == polynomial);
        let of_ratio = of_loss.filter(|r| (r.config.ratio / ratio - 1.).abs() < 1e-9);
        of_ratio.map(|r| (r.config.seed, last(r).balanced_accuracy())).collect()
    };
    let plain = of(1.);
    of(weights).into_iter().filter_map(|(seed, with)| Some((seed, with - plain.get(&seed)?))).collect()
}

pub(super) fn tails(runs: &[Run], profile: &str) -> Claim {
    let claim = open(
        "IW15",
        "Extension (Wang et al. 2022): with a polynomially tailed loss weights do help after separation",
        "not in the paper",
        "balanced accuracy with weights minus without, at 10 cats to a dog, polynomial loss minus cross-entropy: supported above 0, \
         refuted below 0",
        "+.040 for the polynomial loss, -.027 for cross-entropy",
    );
    let difference = |weights: f64| -> Vec<f64> {
        let plain = gains(runs, false, weights);
        let tail = gains(runs, true, weights);
        tail.iter().filter_map(|(seed, gain)| Some(gain - plain.get(seed)?)).collect()
    };
    let differences = difference(10.);
    let Some(i) = over_seeds(&differences) else { return not_tested(claim, "fewer than three seeds have finished") };
    let gain =
        |polynomial: bool, weights: f64| mean(&gains(runs, polynomial, weights).into_values().collect::<Vec<_>>());
    let heavier = 10f64.powf(1.5);
    let reason = format!(
        "Gain {:.3} with the polynomial loss, {:.3} with cross-entropy; with weights to the power 1.5 {:.3} and {:.3}. {}",
        gain(true, 10.),
        gain(false, 10.),
        gain(true, heavier),
        gain(false, heavier),
        gates(runs)
    );
    judged(claim, Verdict::of(i.above(0.), i.below(0.)), i, differences.len(), &scope_of(runs, profile), reason)
}

pub(super) fn shift(cells: &[(LabelShift, label_shift::Summary)], profile: &str) -> Claim {
    let claim = open(
        "IW16",
        "Extension: under label shift, adding ln of the estimated weights to the logits is better than retraining with them",
        "not in the paper",
        "accuracy on the target with shifted logits minus retrained, mean over all target shares: supported above 0, refuted below 0",
        "",
    );
    let Some((first, _)) = cells.first() else { return not_tested(claim, "belongs to profile standard") };
    let mut by_seed: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (config, summary) in cells {
        by_seed.entry(config.network.seed).or_default().push(summary.offset - summary.retrained);
    }
    let means: Vec<f64> = by_seed.values().map(|gains| mean(gains)).collect();
    let Some(i) = over_seeds(&means) else { return not_tested(claim, "fewer than three seeds have finished") };
    let of = |value: fn(&label_shift::Summary) -> f64| mean(&cells.iter().map(|(_, s)| value(s)).collect::<Vec<_>>());
    let reason = format!(
        "Accuracy on the target {:.3} without correction, {:.3} retrained, {:.3} with shifted logits. Black-box shift estimation \
         from {} validation images misses the true ratio by a factor of {:.2} on (geometric) average.",
        of(|s| s.unweighted),
        of(|s| s.retrained),
        of(|s| s.offset),
        2 * VALIDATION,
        of(|s| (s.estimated_ratio / s.true_ratio).ln().abs()).exp()
    );
    let mut shares: Vec<f64> = cells.iter().map(|(c, _)| c.dog_share).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    let shares: Vec<String> = shares.iter().map(f64::to_string).collect();
    let c = &first.network;
    let scope = format!(
        "CIFAR-10 cat against dog{}, {}, {} training images, {} epochs, convention {}, targets of {TARGET} images with shares of dogs \
         {}, profile {profile}",
        if c.halved { ", 16 x 16 pixels" } else { "" },
        network(c),
        c.counts[0] + c.counts[1],
        c.epochs,
        c.convention.letter(),
        shares.join(", ")
    );
    judged(claim, Verdict::of(i.above(0.), i.below(0.)), i, means.len(), &scope, reason)
}

#[cfg(test)]
mod tests {
    use retrial_core::results::Verdict::{self, Inconclusive, Refuted, Supported};

    use super::*;
    use crate::readings::made;

    /// Balanced accuracy 0.5 without weights; with them what each loss gains.
    fn losses(polynomial: f64, logistic: f64) -> Vec<Run> {
        let mut runs = vec![];
        for (loss, gain) in [(Loss::Logistic, logistic), (Loss::Polynomial { alpha: 1. }, polynomial)] {
            for mut run in made::sweep(&[1., 10., 10f64.powf(1.5)], 5, |_, _| 0.5) {
                let own = 0.01 * made::scatter(run.config.seed);
                let gained = if run.config.ratio == 1. { 0. } else { gain };
                // The seed's own part cancels in a gain but for a little.
                let accuracy = 0.5 + own + gained * (1. + own);
                (run.summary.last.fraction_cat, run.summary.last.fraction_dog) = (0., 2. * accuracy - 1.);
                run.config.loss = loss;
                runs.push(run);
            }
        }
        runs
    }

    #[test]
    fn a_tail_helps_or_does_not() {
        assert_eq!(tails(&losses(0.04, -0.02), "test").verdict, Supported);
        assert_eq!(tails(&losses(-0.04, 0.02), "test").verdict, Refuted);
        assert_eq!(tails(&losses(0., 0.), "test").verdict, Inconclusive);
        let claim = tails(&losses(0.04, -0.02), "test");
        assert!((claim.estimate.unwrap() - 0.06).abs() < 1e-6, "{claim:?}");
        let two: Vec<Run> = losses(0.04, -0.02).into_iter().filter(|r| r.config.seed < 2).collect();
        assert!(matches!(tails(&two, "test").verdict, Verdict::NotTested(_)));
    }

    /// Gains of shifted logits at q = 0.1, 0.5 and 0.9, the middle one where there is nothing to correct.
    fn targets(gains: [f64; 3]) -> Vec<(LabelShift, label_shift::Summary)> {
        let mut cells = vec![];
        for (dog_share, gain) in [0.1, 0.5, 0.9].into_iter().zip(gains) {
            for seed in 0..5 {
                let network = crate::config::Images { seed, ..made::images() };
                let (true_ratio, retrained) = (dog_share / (1. - dog_share), 0.6);
                let offset = retrained + gain + 0.001 * made::scatter(seed);
                // Off by a factor of 4, up and down: its mean as a factor is 4.
                let estimated_ratio = true_ratio * if seed % 2 == 0 { 4. } else { 0.25 };
                let summary = label_shift::Summary { true_ratio, estimated_ratio, unweighted: 0.5, retrained, offset };
                cells.push((LabelShift { network, dog_share }, summary));
            }
        }
        cells
    }

    #[test]
    fn every_target_counts() {
        let claim = shift(&targets([0.02, 0.02, 0.02]), "test");
        assert_eq!(claim.verdict, Supported);
        assert!(claim.reason.contains("factor of 4.00") && claim.reason.contains("200 validation"), "{claim:?}");
        assert!(claim.scope.contains("0.1, 0.5, 0.9"), "{claim:?}");
        assert_eq!(shift(&targets([0.02, -0.04, 0.02]), "test").verdict, Inconclusive);
        assert_eq!(shift(&targets([0.02, -0.09, 0.02]), "test").verdict, Refuted);
        assert!(matches!(shift(&[], "test").verdict, Verdict::NotTested(_)));
    }
}
