//! Where one class is rare: weights, copies and sub-sampling. IW8, IW11 and IW14.

use std::collections::BTreeMap;

use retrial_core::results::{Claim, Verdict, not_tested, open};
use retrial_core::stats::{FEWEST_SEEDS, Interval, mean_t_interval, over_seeds};

use super::{gates, judged, last, last_fraction, scope_of};
use crate::equivalence::MARGIN;
use crate::experiments::{Remedy, remedy_of};
use crate::paper::ratio_text;
use crate::readings::{Run, mean};

/// What a remedy ends with for each rare class and factor, by seed; and the balanced run of the seed.
pub struct Imbalance {
    /// f and balanced accuracy of every remedy: (remedy, rare class, k, seed).
    pub cells: BTreeMap<(Remedy, usize, usize, u64), (f64, f64)>,
    /// f and balanced accuracy of the balanced run, by seed.
    pub balanced: BTreeMap<u64, (f64, f64)>,
    /// Factors.
    pub rarity: Vec<usize>,
}

impl Imbalance {
    /// From the runs of the experiment that count.
    pub fn of(runs: &[Run]) -> Self {
        let full = runs.iter().map(|r| r.config.counts[0].max(r.config.counts[1])).max().unwrap_or(0);
        let epochs = runs.iter().map(|r| r.config.epochs).min().unwrap_or(0);
        let (mut cells, mut balanced, mut rarity) = (BTreeMap::new(), BTreeMap::new(), vec![]);
        for run in runs.iter().filter(|r| r.counts()) {
            let value = (last_fraction(run), last(run).balanced_accuracy());
            match remedy_of(&run.config, full, epochs) {
                None => _ = balanced.insert(run.config.seed, value),
                Some((remedy, rare, k)) => {
                    if !rarity.contains(&k) {
                        rarity.push(k);
                    }
                    let cut = matches!(remedy, Remedy::Cut | Remedy::CutSameSteps);
                    for class in if cut { vec![0, 1] } else { vec![rare] } {
                        cells.insert((remedy, class, k, run.config.seed), value);
                    }
                }
            }
        }
        rarity.sort_unstable();
        Self { cells, balanced, rarity }
    }

    /// f and balanced accuracy of a remedy, one of each seed, where `class` is `k` times as rare.
    pub fn ends(&self, remedy: Remedy, class: usize, k: usize) -> Vec<(f64, f64)> {
        let of = self.cells.iter().filter(|((r, c, factor, _), _)| (*r, *c, *factor) == (remedy, class, k));
        of.map(|(_, value)| *value).collect()
    }

    /// Mean f where nothing is done about the imbalance, by dogs to a cat, rising.
    fn untreated(&self) -> Vec<(f64, f64)> {
        let fractions = |ends: Vec<(f64, f64)>| mean(&ends.iter().map(|v| v.0).collect::<Vec<_>>());
        let mut by_share = vec![(1., fractions(self.balanced.values().copied().collect()))];
        for &k in &self.rarity {
            by_share.push((k as f64, fractions(self.ends(Remedy::Nothing, 0, k))));
            by_share.push((1. / k as f64, fractions(self.ends(Remedy::Nothing, 1, k))));
        }
        by_share.sort_by(|a, b| a.0.total_cmp(&b.0));
        by_share
    }

    /// Some function of the values of remedies, by seed, averaged over the two rare classes and all factors; only seeds
    /// that have all of them.
    fn by_seed<const N: usize>(
        &self,
        remedies: [Remedy; N],
        of: impl Fn(usize, f64, [(f64, f64); N]) -> f64,
    ) -> Vec<f64> {
        let mut values = vec![];
        for (&seed, &(balanced, _)) in &self.balanced {
            let mut sum = vec![];
            for &k in &self.rarity {
                for rare in [0, 1] {
                    let found = remedies.map(|remedy| self.cells.get(&(remedy, rare, k, seed)).copied());
                    if found.iter().all(Option::is_some) {
                        sum.push(of(rare, balanced, found.map(Option::unwrap_or_default)));
                    }
                }
            }
            if !sum.is_empty() && sum.len() == 2 * self.rarity.len() {
                values.push(mean(&sum));
            }
        }
        values
    }
}

/// Away from the rare class, whichever it is.
fn towards_common(rare: usize, difference: f64) -> f64 {
    if rare == 1 { -difference } else { difference }
}

fn too_few(claim: Claim, runs: &[Run]) -> Claim {
    not_tested(claim, format!("fewer than three seeds have every setting past the gates. {}", gates(runs)))
}

pub(super) fn imbalance(runs: &[Run], profile: &str) -> Claim {
    let claim = open(
        "IW8",
        "Weights do not undo an imbalance of the training set; its class shares move predictions",
        "conclusions, second-hand",
        "share of the gap to the balanced run that corrective weights close at the end: supported below 0.25 if mean f without \
         weights rises with the share of dogs, refuted above 0.75; needs a gap above 0.03",
        "R2: f .06, .16, .28, .465 at 1, 2, 4, 16 dogs to 16 cats (1:16, 1:8, 1:4, 1:1)",
    );
    let study = Imbalance::of(runs);
    // Of each seed: the gap that imbalance opens, and how much of it weights close.
    let gaps = study.by_seed([Remedy::Nothing, Remedy::Weights], |rare, balanced, [nothing, _]| {
        towards_common(rare, nothing.0 - balanced)
    });
    let closed = study.by_seed([Remedy::Nothing, Remedy::Weights], |rare, _, [nothing, weights]| {
        towards_common(rare, nothing.0 - weights.0)
    });
    let Some(gap) = over_seeds(&gaps) else { return too_few(claim, runs) };
    let scope = scope_of(runs, profile);
    if !gap.above(0.03) {
        let reason = format!("The estimate is the gap that imbalance opens: not clearly above 0.03. {}", gates(runs));
        return judged(claim, Verdict::Inconclusive, gap, gaps.len(), &scope, reason);
    }
    let shares: Vec<f64> = closed.iter().zip(&gaps).map(|(closed, gap)| closed / gap).collect();
    let Some(share) = over_seeds(&shares) else { return too_few(claim, runs) };
    let by_share = study.untreated();
    let rises = super::rises(&by_share.iter().map(|(_, f)| *f).collect::<Vec<_>>());
    let words: Vec<String> = by_share.iter().map(|(dogs, f)| format!("{f:.3} at {}", ratio_text(*dogs))).collect();
    let reason = format!(
        "The gap that imbalance opens is {:.3} on average. Mean f by dogs to cats: {}. {}",
        gap.estimate,
        words.join(", "),
        gates(runs)
    );
    let verdict = Verdict::of(share.below(0.25) && rises, share.above(0.75));
    judged(claim, verdict, share, shares.len(), &scope, reason)
}

pub(super) fn copies(runs: &[Run], profile: &str) -> Claim {
    let claim = open(
        "IW11",
        "Where the points lie decides, not how many: repeating a class is weighting it, deleting examples is not",
        "conclusions, second-hand",
        "f with the rare class repeated minus f with weights: 90 % interval within ±0.05, and sub-sampling differs from repeating; \
         refuted: repeating is equivalent to sub-sampling and not to weights",
        "",
    );
    let study = Imbalance::of(runs);
    let difference = |a: Remedy, b: Remedy| study.by_seed([a, b], |rare, _, [a, b]| towards_common(rare, a.0 - b.0));
    let with_weights = difference(Remedy::Copies, Remedy::Weights);
    let with_cut = difference(Remedy::Copies, Remedy::CutSameSteps);
    let ninety = |values: &[f64]| mean_t_interval(values, 0.90).ok().filter(|_| values.len() >= FEWEST_SEEDS);
    let (Some(near), Some(cut)) = (ninety(&with_weights), ninety(&with_cut)) else { return too_few(claim, runs) };
    let same = |i: &Interval| i.within(-MARGIN, MARGIN);
    let verdict = Verdict::of(same(&near) && !cut.contains(0.), same(&cut) && !same(&near));
    let reason = format!(
        "Differences count away from the rare class; the interval is of 90 %. Repeating minus sub-sampling: {:.3} [{:.3}, {:.3}].",
        cut.estimate, cut.low, cut.high
    );
    judged(claim, verdict, near, with_weights.len().min(with_cut.len()), &scope_of(runs, profile), reason)
}

pub(super) fn cutting(runs: &[Run], profile: &str) -> Claim {
    let claim = open(
        "IW14",
        "For deep networks sub-sampling is to be preferred to weighting",
        "conclusions, second-hand",
        "balanced accuracy with sub-sampling minus with weights, at the end: supported above -0.02, refuted below 0",
        "Wang et al. 2022, 4000 cats and 400 dogs: .585 sub-sampled, .578 weighted, .605 nothing done",
    );
    let study = Imbalance::of(runs);
    let gains = study.by_seed([Remedy::Cut, Remedy::Weights], |_, _, [cut, weights]| cut.1 - weights.1);
    let Some(gain) = over_seeds(&gains) else { return too_few(claim, runs) };
    let verdict = Verdict::of(gain.above(-0.02), gain.below(0.));
    judged(claim, verdict, gain, gains.len(), &scope_of(runs, profile), gates(runs))
}

#[cfg(test)]
mod tests {
    use Verdict::{Inconclusive, Refuted, Supported};

    use super::*;
    use crate::readings::{Gate, made};

    /// Five seeds of the balanced run and every remedy at k = 4; `end` gives how far f ends from 0.5 towards the common
    /// class, and balanced accuracy.
    fn study(end: impl Fn(Remedy) -> (f64, f64)) -> Vec<Run> {
        let base = made::images();
        let mut runs = vec![];
        for seed in 0..5 {
            let own = 0.001 * made::scatter(seed);
            let mut add = |config: crate::config::Images, f: f64, accuracy: f64| {
                let mut run = made::run(1., seed, f);
                // Balanced accuracy is (1 − f of cats + f of dogs) / 2.
                (run.summary.last.fraction_cat, run.summary.last.fraction_dog) = (0., 2. * (accuracy + own) - 1.);
                run.config = crate::config::Images { seed, ..config };
                runs.push(run);
            };
            add(base.clone(), 0.5 + own, 0.6);
            for remedy in Remedy::ALL {
                let ((away, accuracy), cut) = (end(remedy), matches!(remedy, Remedy::Cut | Remedy::CutSameSteps));
                for rare in if cut { vec![0] } else { vec![0, 1] } {
                    let f = if rare == 1 { 0.5 - away } else { 0.5 + away };
                    add(remedy.apply(&base, rare, 4), f + 2. * own, accuracy);
                }
            }
        }
        runs
    }

    fn remedies(weights: f64, copies: f64, cut: f64) -> Vec<Run> {
        study(|remedy| match remedy {
            Remedy::Nothing => (0.4, 0.55),
            Remedy::Weights | Remedy::WeightsAndPenalty => (weights, 0.56),
            Remedy::Copies => (copies, 0.56),
            Remedy::Cut | Remedy::CutSameSteps => (cut, 0.58),
        })
    }

    #[test]
    fn weights_close_the_gap_or_do_not() {
        assert_eq!(imbalance(&remedies(0.38, 0.38, 0.), "test").verdict, Supported);
        assert_eq!(imbalance(&remedies(0.02, 0.02, 0.), "test").verdict, Refuted);
        let half = imbalance(&remedies(0.2, 0.2, 0.), "test");
        assert_eq!(half.verdict, Inconclusive);
        assert!((half.estimate.unwrap() - 0.5).abs() < 1e-6, "{half:?}");
        // f falls with the share of dogs: no gap in the sense of the claim.
        assert_eq!(imbalance(&study(|_| (-0.4, 0.6)), "test").verdict, Inconclusive);
    }

    #[test]
    fn copies_act_as_weights_or_as_cutting() {
        assert_eq!(copies(&remedies(0.38, 0.38, 0.), "test").verdict, Supported);
        assert_eq!(copies(&remedies(0.38, 0.01, 0.), "test").verdict, Refuted);
        assert_eq!(copies(&remedies(0.38, 0.2, 0.), "test").verdict, Inconclusive);
    }

    #[test]
    fn cutting_is_better_or_worse() {
        let of = |cut: f64| {
            let accuracy = |remedy: Remedy| if remedy == Remedy::Cut { cut } else { 0.56 };
            cutting(&study(|remedy| (0.1, accuracy(remedy))), "test").verdict
        };
        assert_eq!(of(0.58), Supported);
        assert_eq!(of(0.555), Refuted, "also above the margin, but clearly worse");
        assert_eq!(of(0.5), Refuted);
    }

    #[test]
    fn three_seeds_must_have_every_setting() {
        let mut runs = remedies(0.38, 0.38, 0.);
        for run in runs.iter_mut().filter(|r| r.config.seed > 1 && r.config.ratio != 1.) {
            run.gate = Gate::NotYet;
        }
        for claim in [imbalance(&runs, "test"), copies(&runs, "test"), cutting(&runs, "test")] {
            assert!(matches!(claim.verdict, Verdict::NotTested(_)), "{claim:?}");
        }
        assert_eq!(Imbalance::of(&runs).ends(Remedy::Weights, 0, 4).len(), 2);
    }
}
