//! What keeps the effect: L2 (IW4, IW12) and batch norm (IW6).

use std::collections::BTreeMap;

use retrial_core::results::{Claim, Verdict, not_tested, open};
use retrial_core::stats::{Alternative, FEWEST_SEEDS, Interval, holm, over_seeds, t_test};

use super::{FLAT, Network, STEEP, column_means, gates, judged, last, last_fraction, rises, scope_of};
use crate::paper::ratio_text;
use crate::readings::{Arm, Run, by_seed, distinct, mean, regulariser, slopes};

/// How far from 1 a shift of logits over ln R still is the one of Bayes.
const BAYES: f64 = 0.25;

const UNTRAINED: &str = "this network is penalised at profile standard only";
const NONE_TRAINS: &str = "at no lambda do three seeds train at every ratio";

/// λ and the β of each seed of L2 arms in which three seeds or more still train at every ratio.
pub fn penalty_slopes<'a>(penalised: impl IntoIterator<Item = &'a Arm>) -> Vec<(f64, BTreeMap<u64, f64>)> {
    let of = |arm: &Arm| (arm.config().lambda, slopes(&arm.runs, last_fraction));
    penalised.into_iter().map(of).filter(|(_, slopes)| slopes.len() >= FEWEST_SEEDS).collect()
}

/// f at each ratio, mean over the seeds that count at every ratio.
fn mean_fractions(runs: &[Run], ratios: &[f64]) -> Vec<f64> {
    column_means(&by_seed(runs, ratios, Run::counts, last_fraction))
}

fn penalised_scope(network: &Network) -> String {
    scope_of(network.penalised.iter().flat_map(|arm| &arm.runs), network.profile)
}

pub(super) fn penalty(network: &Network) -> Claim {
    let claim = open(
        &format!("IW4{}", network.suffix),
        "L2 regularisation keeps some of the effect",
        "abstract",
        "at some lambda with balanced training accuracy >= 0.8: beta's interval above 0.01 (Holm over the lambdas) and mean f \
         monotone in R; refuted: below 0.003 at every such lambda",
        "R1: f .33 and .66 at 1:16 and 16:1; R2: .25 to .76 from 1:32 to 32:1",
    );
    if network.penalised.is_empty() {
        return not_tested(claim, UNTRAINED);
    }
    let mut of_lambdas: Vec<(&Arm, Interval, f64, usize)> = vec![];
    for &arm in &network.penalised {
        let betas: Vec<f64> = slopes(&arm.runs, last_fraction).into_values().collect();
        if let (Some(beta), Ok(test)) = (over_seeds(&betas), t_test(&betas, STEEP, Alternative::Greater)) {
            of_lambdas.push((arm, beta, test.p, betas.len()));
        }
    }
    let largest = of_lambdas.iter().max_by(|a, b| a.1.estimate.total_cmp(&b.1.estimate));
    let (Some(&(arm, beta, _, n)), Ok(adjusted)) =
        (largest, holm(&of_lambdas.iter().map(|(_, _, p, _)| *p).collect::<Vec<_>>()))
    else {
        return not_tested(claim, NONE_TRAINS);
    };
    let keeps = |(i, (arm, ..)): (usize, &(&Arm, Interval, f64, usize))| {
        // One side of a 95 % interval.
        adjusted[i] < 0.025 && rises(&mean_fractions(&arm.runs, &arm.ratios()))
    };
    let verdict =
        Verdict::of(of_lambdas.iter().enumerate().any(keeps), of_lambdas.iter().all(|(_, beta, ..)| beta.below(FLAT)));
    let shown = arm.ratios().into_iter().zip(mean_fractions(&arm.runs, &arm.ratios()));
    let shown: Vec<String> = shown.map(|(ratio, f)| format!("{} {f:.2}", ratio_text(ratio))).collect();
    let reason = format!(
        "Largest beta of {} lambdas that train, at lambda {}. Mean f: {}.",
        of_lambdas.len(),
        arm.config().lambda,
        shown.join(", ")
    );
    judged(claim, verdict, beta, n, &penalised_scope(network), reason)
}

pub(super) fn dose(network: &Network) -> Claim {
    let claim = open(
        &format!("IW12{}", network.suffix),
        "With the same weights the size of the effect is set by lambda: L2 is the wrong control knob",
        "abstract",
        "beta at the strongest lambda minus 3 times beta at the weakest, among those that train, seed by seed: supported above 0 if \
         at no lambda the logits shift by ln R at every R (mean within 25 %), refuted if the strongest is below 1.5 times the weakest",
        "",
    );
    if network.penalised.is_empty() {
        return not_tested(claim, UNTRAINED);
    }
    let slopes = penalty_slopes(network.penalised.iter().copied());
    let (Some((weak, of_weak)), Some((strong, of_strong))) = (slopes.first(), slopes.last()) else {
        return not_tested(claim, NONE_TRAINS);
    };
    if slopes.len() < 2 {
        return not_tested(
            claim,
            format!("three seeds train at every ratio at lambda {weak} alone; two lambdas are needed"),
        );
    }
    let pairs: Vec<(f64, f64)> =
        of_weak.iter().filter_map(|(seed, weak)| Some((*weak, *of_strong.get(seed)?))).collect();
    let against =
        |factor: f64| over_seeds(&pairs.iter().map(|(weak, strong)| strong - factor * weak).collect::<Vec<_>>());
    let (Some(three), Some(flat)) = (against(3.), against(1.5)) else {
        return not_tested(
            claim,
            format!("fewer than three seeds train at every ratio at both lambda {weak} and {strong}"),
        );
    };
    let shifts = bayes_shifts(&network.penalised);
    let bayes = shifts.iter().find(|(_, shifts)| shifts.iter().all(|s| (s - 1.).abs() <= BAYES));
    let shift_words: Vec<String> = shifts
        .iter()
        .map(|(lambda, shifts)| {
            let (low, high) = shifts.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &s| (l.min(s), h.max(s)));
            format!("{low:.2} to {high:.2} at lambda {lambda}")
        })
        .collect();
    let mean_of = |side: fn(&(f64, f64)) -> f64| mean(&pairs.iter().map(side).collect::<Vec<_>>());
    let reason = format!(
        "beta is {:.4} at lambda {weak} and {:.4} at lambda {strong}. Shift of the logits over the ln R of Bayes, over all R: {}.",
        mean_of(|pair| pair.0),
        mean_of(|pair| pair.1),
        shift_words.join(", ")
    );
    let verdict = Verdict::of(three.above(0.) && bayes.is_none(), flat.below(0.));
    judged(claim, verdict, three, pairs.len(), &penalised_scope(network), reason)
}

/// For each λ with three seeds or more that train at every ratio: the mean shift of held-out logits against 1:1, over
/// ln R, at each other R. Bayes' rule for a changed prior wants 1 everywhere.
fn bayes_shifts(penalised: &[&Arm]) -> Vec<(f64, Vec<f64>)> {
    let mut found = vec![];
    for arm in penalised {
        let ratios = arm.ratios();
        let Some(plain) = ratios.iter().position(|&ratio| ratio == 1.) else { continue };
        let logits = by_seed(&arm.runs, &ratios, Run::counts, |r| last(r).logit_shift);
        if logits.len() >= FEWEST_SEEDS {
            let logits = column_means(&logits);
            let others = ratios.iter().zip(&logits).filter(|(ratio, _)| **ratio != 1.);
            let shifts = others.map(|(ratio, logit)| (logit - logits[plain]) / ratio.ln());
            found.push((arm.config().lambda, shifts.collect()));
        }
    }
    found
}

pub(super) fn norm(id: &str, normed: &[Run], plain: &[Run], profile: &str) -> Claim {
    let claim = open(
        id,
        "Batch norm keeps some of the effect",
        "abstract",
        "supported: with batch norm mean f monotone in R and beta's interval above 0, without it beta's interval holds 0; refuted: \
         with batch norm beta's interval within ±0.003",
        "R1: f .56 to .43 with batch norm (ResNet), beta +0.008; without, -0.001 (CNN)",
    );
    let betas = |runs: &[Run], f: fn(&Run) -> f64| slopes(runs, f).into_values().collect::<Vec<_>>();
    let with_norm = betas(normed, last_fraction);
    let (Some(with), Some(without)) = (over_seeds(&with_norm), over_seeds(&betas(plain, last_fraction))) else {
        let why = "fewer than three seeds have every ratio past the gates, with or without batch norm";
        return not_tested(claim, format!("{why}. With: {} Without: {}", gates(normed), gates(plain)));
    };
    let ratios = distinct(normed.iter().map(|r| r.config.ratio));
    let monotone = rises(&mean_fractions(normed, &ratios));
    let verdict = Verdict::of(monotone && with.above(0.) && without.contains(0.), with.within(-FLAT, FLAT));
    let of_batch = betas(normed, |r| last(r).fraction_batch_statistics.unwrap_or(f64::NAN));
    let reason = format!(
        "Not the paper's ResNet. The CNN without norms has a beta of {:.4}; with {} that uses the statistics of the evaluated \
         images it is {:.4}. {}",
        without.estimate,
        regulariser(&normed[0].config),
        mean(&of_batch),
        gates(normed)
    );
    judged(claim, verdict, with, with_norm.len(), &scope_of(normed, profile), reason)
}

#[cfg(test)]
mod tests {
    use retrial_core::results::Verdict::{self, Inconclusive, Refuted, Supported};

    use super::*;
    use crate::readings::{Gate, made};

    const RATIOS: [f64; 5] = [1. / 32., 1. / 8., 1., 8., 32.];

    /// Runs with this slope, with or without some penalty.
    fn sloping(lambda: f64, slope: f64) -> Vec<Run> {
        let mut runs = made::sweep(&RATIOS, 6, |ratio, seed| {
            0.5 + (slope + 0.0005 * made::scatter(seed)) * ratio.log2() + 0.0001 * made::scatter(seed)
        });
        runs.iter_mut().for_each(|run| run.config.lambda = lambda);
        runs
    }

    fn arm(lambda: f64, slope: f64) -> Arm {
        Arm { experiment: "l2", runs: sloping(lambda, slope) }
    }

    fn network<'a>(arms: &'a [Arm]) -> Network<'a> {
        Network { suffix: "b", runs: &[], penalised: arms.iter().collect(), profile: "test" }
    }

    #[test]
    fn a_penalty_keeps_the_effect_or_does_not() {
        let verdict = |arms: &[Arm]| penalty(&network(arms)).verdict;
        assert_eq!(verdict(&[arm(0.001, 0.), arm(0.01, 0.03)]), Supported);
        assert_eq!(verdict(&[arm(0.001, 0.), arm(0.01, 0.001)]), Refuted);
        assert_eq!(verdict(&[arm(0.001, 0.), arm(0.01, 0.007)]), Inconclusive);
        // Steep, but f at 8:1 is below f at 1:1.
        let mut bent = arm(0.01, 0.03);
        bent.runs.iter_mut().filter(|r| r.config.ratio == 8.).for_each(|r| r.summary.last.fraction -= 0.15);
        assert_eq!(verdict(&[bent]), Inconclusive);
        // At this lambda nothing trains any more, so its slope does not count.
        let mut dead = arm(0.03, 0.03);
        dead.runs.iter_mut().for_each(|r| r.summary.last.train_accuracy_cat = 0.5);
        assert_eq!(verdict(&[arm(0.001, 0.), dead]), Refuted);
        assert!(matches!(verdict(&[]), Verdict::NotTested(_)));
    }

    #[test]
    fn the_scope_names_the_penalty() {
        let claim = penalty(&network(&[arm(0.001, 0.), arm(0.01, 0.03)]));
        assert!(claim.scope.contains("CNN with L2 0.001, 0.01,"), "{}", claim.scope);
    }

    #[test]
    fn lambdas_are_compared_seed_by_seed() {
        let verdict = |arms: &[Arm]| dose(&network(arms)).verdict;
        assert_eq!(verdict(&[arm(0.001, 0.005), arm(0.01, 0.04)]), Supported);
        assert_eq!(verdict(&[arm(0.001, 0.02), arm(0.01, 0.02)]), Refuted);
        assert_eq!(verdict(&[arm(0.001, 0.01), arm(0.01, 0.02)]), Inconclusive);
        assert!(matches!(verdict(&[arm(0.001, 0.01)]), Verdict::NotTested(_)));
        // One seed that fails at the stronger lambda leaves the five others, not a comparison of unlike seeds.
        let mut strong = arm(0.01, 0.04);
        assert_eq!(strong.runs[1].config.seed, 1);
        strong.runs[1].summary.last.train_accuracy_cat = 0.5;
        let claim = dose(&network(&[arm(0.001, 0.005), strong]));
        assert_eq!((&claim.verdict, claim.seeds), (&Supported, 5));
        // 0.04 + s − 3 (0.005 + s), s being 0.0005 (−2, 0, 1, 2, −2) of the seeds that are left, with mean −0.0001.
        assert!((claim.estimate.unwrap() - 0.0252).abs() < 1e-9, "{claim:?}");
    }

    #[test]
    fn a_shift_as_bayes_wants_it_is_no_wrong_knob() {
        let mut arms = [arm(0.001, 0.005), arm(0.01, 0.04)];
        for run in &mut arms[1].runs {
            run.summary.last.logit_shift = 0.3 + 0.9 * run.config.ratio.ln();
        }
        let shifts = bayes_shifts(&arms.iter().collect::<Vec<_>>());
        assert!(shifts[1].1.iter().all(|s| (s - 0.9).abs() < 1e-12), "{shifts:?}");
        assert_eq!(dose(&network(&arms)).verdict, Inconclusive);
    }

    #[test]
    fn batch_norm_keeps_the_effect_or_does_not() {
        let verdict = |normed: &[Run], plain: &[Run]| norm("IW6", normed, plain, "test").verdict;
        assert_eq!(verdict(&sloping(0., 0.01), &sloping(0., 0.)), Supported);
        assert_eq!(verdict(&sloping(0., 0.), &sloping(0., 0.)), Refuted);
        assert_eq!(verdict(&sloping(0., 0.01), &sloping(0., 0.01)), Inconclusive);
        let mut few = sloping(0., 0.01);
        few.iter_mut().filter(|r| r.config.seed > 1).for_each(|r| r.gate = Gate::NotYet);
        assert!(matches!(verdict(&few, &sloping(0., 0.)), Verdict::NotTested(_)));
    }
}
