//! Do weights matter early and fade late? IW1, IW2, IW3, IW5, IW7, IW10 and IW13.

use retrial_core::results::{Claim, Verdict, not_tested, open};
use retrial_core::stats::{FEWEST_SEEDS, Interval, over_seeds};

use super::{FLAT, Network, STEEP, gates, judged, last, last_fraction, scope_of};
use crate::equivalence::{self, MARGIN, WIDE_MARGIN};
use crate::paper::ratio_text;
use crate::readings::{Run, by_seed, distinct, early_spread, equivalence, mean, same_function, slopes, spread};

/// Resamples behind the comparison of answers.
const DRAWS: usize = 1000;

pub(super) fn early(network: &Network) -> Claim {
    let claim = open(
        &format!("IW1{}", network.suffix),
        "Weights matter strongly in the first epochs",
        "abstract",
        "spread of f over the ratios, largest of epochs 1 to 5: supported above 0.8, refuted below 0.3; needs R >= 16",
        "R1, R2: f is exactly 0 or 1 from 32:1 on",
    );
    let largest = network.runs.iter().map(|r| r.config.ratio).fold(0., f64::max);
    if largest < 16. {
        return not_tested(claim, format!("the largest ratio of this arm is {largest}, not at least 16"));
    }
    let spreads = early_spread(network.runs);
    match over_seeds(&spreads) {
        None => not_tested(claim, "fewer than three seeds have every ratio"),
        Some(i) => {
            let reason =
                format!("f is the share of held-out cats and dogs called dog; ratios up to {}.", ratio_text(largest));
            let scope = scope_of(network.runs, network.profile);
            judged(claim, Verdict::of(i.above(0.8), i.below(0.3)), i, spreads.len(), &scope, reason)
        }
    }
}

/// What is left of the weights at the end of training on one set of images.
struct Fading {
    /// Seeds whose every ratio passed the gates.
    seeds: usize,
    /// Slope of f on log₂ R.
    beta: Interval,
    /// Largest minus smallest f over the ratios.
    spread: Interval,
    /// Each ratio against 1:1.
    rows: Vec<equivalence::Row>,
    /// IW2's tests pass: every ratio but the extreme pair is equivalent to 1:1, β's interval holds 0 and lies in ±[`FLAT`].
    faded: bool,
}

impl Fading {
    /// None unless three seeds have every ratio past the gates.
    fn of(runs: &[Run], margin: f64, f: impl Fn(&Run) -> f64) -> Option<Self> {
        let ratios = distinct(runs.iter().map(|r| r.config.ratio));
        let complete = by_seed(runs, &ratios, Run::separated, &f);
        let spread = over_seeds(&complete.iter().map(|(_, values)| spread(values)).collect::<Vec<_>>())?;
        let beta = over_seeds(&slopes(runs, &f).into_values().collect::<Vec<_>>())?;
        let rows = equivalence(runs, margin, f);
        // The extreme pair may fail only where there are ratios between it and 1:1.
        let inner = |ratio: f64| ratios.len() <= 3 || (ratio != ratios[0] && ratio != ratios[ratios.len() - 1]);
        let passing = rows.iter().filter(|r| inner(r.ratio)).all(|r| r.verdict == "equivalent");
        let faded = passing && beta.contains(0.) && beta.within(-FLAT, FLAT);
        Some(Self { seeds: complete.len(), beta, spread, rows, faded })
    }

    /// The margin at which every ratio would be equivalent to 1:1.
    fn smallest_margin(&self) -> f64 {
        self.rows.iter().map(|r| r.smallest_margin).fold(0., f64::max)
    }
}

pub(super) fn fades(network: &Network) -> Claim {
    let claim = open(
        &format!("IW2{}", network.suffix),
        "Once a network without regularisation separates its data, class weights no longer change its predictions",
        "abstract",
        "supported: every ratio but the extreme pair within 0.05 of 1:1 (TOST), beta's interval holds 0 and lies in ±0.003; \
         refuted: beta's interval beyond ±0.003, or the spread above 0.15",
        "R1: spread .07 over 1:256 to 256:1 at epoch 1000, without order; beta -0.001",
    );
    let refuted = |f: &Fading| f.beta.above(FLAT) || f.beta.below(-FLAT) || f.spread.above(0.15);
    faded_or_not(claim, network.runs, network.profile, refuted)
}

pub(super) fn dropout(runs: &[Run], profile: &str) -> Claim {
    let claim = open(
        "IW5",
        "Dropout does not bring the effect back",
        "abstract",
        "supported: every ratio but the extreme pair within 0.05 of 1:1 (TOST), beta's interval holds 0 and lies in ±0.003; \
         refuted: beta above 0.01 and its interval above 0",
        "R1: f in .455 to .53 but for 1:256",
    );
    faded_or_not(claim, runs, profile, |f| f.beta.estimate > STEEP && f.beta.above(0.))
}

fn faded_or_not(claim: Claim, runs: &[Run], profile: &str, refuted: impl Fn(&Fading) -> bool) -> Claim {
    let Some(fading) = Fading::of(runs, MARGIN, last_fraction) else {
        let why = format!("fewer than {FEWEST_SEEDS} seeds have every ratio past the gates.");
        return not_tested(claim, format!("{why} {}", gates(runs)));
    };
    let equivalent: Vec<String> =
        fading.rows.iter().filter(|r| r.verdict == "equivalent").map(|r| ratio_text(r.ratio)).collect();
    let reason = format!(
        "The estimate is beta, the slope of f on log2 R. Equivalent to 1:1: {}; all would be at a margin of {:.3}. Mean \
         spread {:.3}. {}{}",
        if equivalent.is_empty() { "none".into() } else { equivalent.join(", ") },
        fading.smallest_margin(),
        fading.spread.estimate,
        gates(runs),
        same_answers(runs),
    );
    let verdict = Verdict::of(fading.faded, refuted(&fading));
    judged(claim, verdict, fading.beta, fading.seeds, &scope_of(runs, profile), reason)
}

/// Whether equal shares mean equal answers. It decides nothing: no claim says so.
fn same_answers(runs: &[Run]) -> String {
    let Some(same) = same_function(runs, DRAWS) else { return String::new() };
    format!(
        " On test images that all seeds share, weighted and unweighted runs of a seed differ on {:.1} %, two unweighted seeds (their \
         training images differ, too) on {:.1} %; no further apart than two seeds by d(R) - d0 <= 0.05: {} (limit {:.3} at the worst R).",
        100. * same.ratios,
        100. * same.seeds,
        if same.excess <= 0.05 { "yes" } else { "no" },
        same.excess
    )
}

pub(super) fn slow(network: &Network) -> Claim {
    let claim = open(
        &format!("IW3{}", network.suffix),
        "The more extreme the weights, the longer until their effect is gone",
        "text, second-hand",
        "settling epoch at the largest ratio over that at the smallest above 1, apart by a factor F: supported above F^(1/6), \
         refuted below",
        "R1: 16:1 after 16 to 65 epochs, 64:1 after 145, 256:1 after 525 to 625",
    );
    let ratios = distinct(network.runs.iter().map(|r| r.config.ratio));
    let above: Vec<f64> = ratios.iter().copied().filter(|&r| r > 1. && ratios.contains(&(1. / r))).collect();
    let (Some(&least), Some(&most)) = (above.first(), above.last()) else {
        return not_tested(claim, "no ratios");
    };
    if above.len() < 2 {
        return not_tested(claim, "this arm has one ratio above 1; two are needed");
    }
    let four = [least, 1. / least, most, 1. / most];
    let times = by_seed(network.runs, &four, Run::separated, |run| run.settling_epoch() as f64);
    let quotients: Vec<f64> = times.iter().map(|(_, t)| ((t[2] + t[3]) / (t[0] + t[1])).ln()).collect();
    let Some(log) = over_seeds(&quotients) else {
        let why = "fewer than three seeds have these ratios past the gates.";
        return not_tested(claim, format!("{why} {}", gates(network.runs)));
    };
    let i = Interval { estimate: log.estimate.exp(), low: log.low.exp(), high: log.high.exp(), level: log.level };
    let bound = (most / least).powf(1. / 6.);
    let reason = format!(
        "{} against {}: F^(1/6) is {bound:.2}. Both directions of a ratio are averaged.",
        ratio_text(most),
        ratio_text(least)
    );
    let scope = scope_of(network.runs, network.profile);
    judged(claim, Verdict::of(i.above(bound), i.below(bound)), i, quotients.len(), &scope, reason)
}

pub(super) fn off_manifold(network: &Network) -> Claim {
    let claim = open(
        &format!("IW7{}", network.suffix),
        "The effect fades on images of classes never trained on and on noise, too",
        "evaluation sets as in the paper, second-hand",
        "supported: on both, every ratio but the extreme pair within 0.10 of 1:1 (TOST), beta's interval holds 0 and lies in \
         ±0.003; refuted: beta's interval on the other classes above 0.003 although IW2's tests pass on cats and dogs",
        "R1: spread .124 on the other classes against .074 on cats and dogs",
    );
    let runs = network.runs;
    let (Some(inside), Some(other), Some(noise)) = (
        Fading::of(runs, MARGIN, last_fraction),
        Fading::of(runs, WIDE_MARGIN, |r| last(r).fraction_other),
        Fading::of(runs, WIDE_MARGIN, |r| last(r).fraction_noise),
    ) else {
        let why = format!("fewer than {FEWEST_SEEDS} seeds have every ratio past the gates.");
        return not_tested(claim, format!("{why} {}", gates(runs)));
    };
    let verdict = Verdict::of(other.faded && noise.faded, inside.faded && other.beta.above(FLAT));
    let mut reason = format!(
        "The estimate is beta on the other eight classes; on uniform noise it is {:.4} [{:.4}, {:.4}]. All ratios would be \
         equivalent at margins of {:.3} (other classes) and {:.3} (noise).",
        noise.beta.estimate,
        noise.beta.low,
        noise.beta.high,
        other.smallest_margin(),
        noise.smallest_margin()
    );
    if !inside.faded {
        reason +=
            " IW2's tests do not pass on cats and dogs either, so there is nothing that fades there and stays here.";
    }
    judged(claim, verdict, other.beta, other.seeds, &scope_of(runs, network.profile), reason)
}

pub(super) fn early_stopping(network: &Network) -> Claim {
    let claim = open(
        &format!("IW10{}", network.suffix),
        "The effect survives only with early stopping",
        "conclusions, second-hand",
        "D = f at the largest ratio minus f at its inverse: supported if D at the least weighted validation loss is above 0.2 and \
         D at the end below half of its early peak; refuted if D at the end is no less than its early peak",
        "",
    );
    let ratios = distinct(network.runs.iter().map(|r| r.config.ratio));
    let (Some(&low), Some(&high)) = (ratios.first(), ratios.last()) else { return not_tested(claim, "no runs") };
    // The same seeds in the same order, whatever is read.
    let d = |value: &dyn Fn(&Run) -> f64| -> Vec<f64> {
        by_seed(network.runs, &[low, high], Run::separated, value).into_iter().map(|(_, v)| v[1] - v[0]).collect()
    };
    let (stopped, end) = (d(&|r| r.summary.stopped.fraction), d(&last_fraction));
    let mut peak = vec![f64::NEG_INFINITY; end.len()];
    for epoch in 1..=5 {
        let at = |r: &Run| r.rows.iter().find(|row| row.epoch == epoch).map_or(f64::NAN, |row| row.fraction);
        peak.iter_mut().zip(d(&at)).for_each(|(peak, d)| *peak = peak.max(d));
    }
    let from_peak = |share: f64| peak.iter().zip(&end).map(|(peak, end)| share * peak - end).collect::<Vec<_>>();
    let (Some(stop), Some(left), Some(lost)) =
        (over_seeds(&stopped), over_seeds(&from_peak(0.5)), over_seeds(&from_peak(1.)))
    else {
        let why = "fewer than three seeds have both extremes past the gates.";
        return not_tested(claim, format!("{why} {}", gates(network.runs)));
    };
    let reason = format!(
        "The estimate is D where early stopping would stop, {} against {}; early peak {:.2}, end {:.3}.",
        ratio_text(high),
        ratio_text(low),
        mean(&peak),
        mean(&end)
    );
    let verdict = Verdict::of(stop.above(0.2) && left.above(0.), lost.below(0.));
    judged(claim, verdict, stop, stopped.len(), &scope_of(network.runs, network.profile), reason)
}

/// From the verdicts on IW2.
pub(super) fn architectures(claims: &[Claim]) -> Claim {
    let claim = open(
        "IW13",
        "The finding holds over architectures, tasks and data sets",
        "abstract; contributions second-hand",
        "refuted if IW2 is refuted for any network that separates its data; support would need a text task as well",
        "",
    );
    let fades: Vec<&Claim> = claims.iter().filter(|c| c.id.starts_with("IW2")).collect();
    if let Some(refuted) = fades.iter().find(|c| c.verdict == Verdict::Refuted) {
        let mut claim = claim;
        claim.verdict = Verdict::Refuted;
        (claim.estimate, claim.interval) = (refuted.estimate, refuted.interval);
        (claim.seeds, claim.scope) = (refuted.seeds, refuted.scope.clone());
        claim.reason = format!("By {}: a network that separates its data and still follows the weights.", refuted.id);
        return claim;
    }
    not_tested(
        claim,
        "a text task (the paper is said to have fine-tuned BERT on MRPC, with settings nobody has recorded) needs pretrained weights \
         that are out of reach here",
    )
}

#[cfg(test)]
mod tests {
    use Verdict::{Inconclusive, Refuted, Supported};

    use super::*;
    use crate::readings::{Gate, made};

    const RATIOS: [f64; 5] = [1. / 32., 1. / 8., 1., 8., 32.];

    fn network(runs: &[Run]) -> Network<'_> {
        Network { suffix: "a", runs, penalised: vec![], profile: "test" }
    }

    /// Runs whose f at the end is 0.5 + slope · log₂ R and a little of every seed and ratio.
    fn ending(slope: f64, scatter: f64) -> Vec<Run> {
        made::sweep(&RATIOS, 5, |ratio, seed| {
            let own = made::scatter(seed + ratio.log2().abs() as u64);
            0.5 + slope * ratio.log2() + scatter * own + 0.01 * made::scatter(seed)
        })
    }

    #[test]
    fn early_weights_matter() {
        let mut runs = ending(0., 0.001);
        assert_eq!(early(&network(&runs)).verdict, Supported);
        for run in &mut runs {
            run.rows.iter_mut().for_each(|row| row.fraction = 0.5);
        }
        assert_eq!(early(&network(&runs)).verdict, Refuted);
        for run in runs.iter_mut().filter(|r| r.config.ratio == 32.) {
            run.rows[0].fraction = 0.9 + 0.1 * made::scatter(run.config.seed);
        }
        assert_eq!(early(&network(&runs)).verdict, Inconclusive);
        runs.retain(|r| r.config.ratio < 16.);
        assert!(matches!(early(&network(&runs)).verdict, Verdict::NotTested(_)));
    }

    #[test]
    fn an_effect_fades_or_stays() {
        assert_eq!(fades(&network(&ending(0., 0.001))).verdict, Supported);
        assert_eq!(fades(&network(&ending(0.01, 0.001))).verdict, Refuted);
        assert_eq!(fades(&network(&ending(-0.01, 0.001))).verdict, Refuted);
        // A slope of 0.002 lies within ±0.003, but its interval does not hold 0.
        let slight = fades(&network(&ending(0.002, 0.001)));
        assert_eq!(slight.verdict, Inconclusive);
        assert!((slight.estimate.unwrap() - 0.002).abs() < 1e-3, "{slight:?}");
        // No slope, but 1:8 and 8:1 both stand apart from 1:1.
        let mut bent = ending(0., 0.001);
        let bend = |r: &&mut Run| (r.config.ratio.log2().abs() - 3.).abs() < 1e-9;
        bent.iter_mut().filter(bend).for_each(|r| r.summary.last.fraction += 0.07);
        assert_eq!(fades(&network(&bent)).verdict, Inconclusive);
    }

    #[test]
    fn runs_that_miss_the_gates_do_not_count() {
        let mut runs = ending(0., 0.001);
        let missed = |runs: &mut Vec<Run>, seed: u64| {
            let run = runs.iter_mut().find(|r| (r.config.ratio, r.config.seed) == (8., seed)).unwrap();
            run.gate = Gate::NotYet;
            // What it says must not be read.
            run.summary.last.fraction = 1.;
        };
        missed(&mut runs, 0);
        let four = fades(&network(&runs));
        assert_eq!((&four.verdict, four.seeds), (&Inconclusive, 4));
        missed(&mut runs, 1);
        missed(&mut runs, 2);
        assert!(matches!(fades(&network(&runs)).verdict, Verdict::NotTested(_)));
    }

    /// IW5 has its own rule: 0.005 refutes IW2 and leaves IW5 open.
    #[test]
    fn dropout_is_refuted_by_a_steep_slope_alone() {
        assert_eq!(dropout(&ending(0., 0.001), "test").verdict, Supported);
        assert_eq!(dropout(&ending(0.005, 0.001), "test").verdict, Inconclusive);
        assert_eq!(fades(&network(&ending(0.005, 0.001))).verdict, Refuted);
        assert_eq!(dropout(&ending(0.02, 0.001), "test").verdict, Refuted);
    }

    #[test]
    fn noise_images_must_fade_as_well() {
        let with = |inside: f64, other: f64, noise: f64| {
            let mut runs = ending(inside, 0.001);
            for run in &mut runs {
                let x = run.config.ratio.log2();
                let own = made::scatter(run.config.seed + x.abs() as u64);
                let at = |slope: f64| 0.4 + slope * x + 0.001 * own;
                (run.summary.last.fraction_other, run.summary.last.fraction_noise) = (at(other), at(noise));
            }
            off_manifold(&network(&runs)).verdict
        };
        assert_eq!(with(0., 0., 0.), Supported);
        assert_eq!(with(0., 0., -0.002), Inconclusive, "within the margin, but beta's interval misses 0");
        assert_eq!(with(0., 0.01, 0.), Refuted);
        assert_eq!(with(0., -0.01, 0.), Inconclusive);
        assert_eq!(with(0.01, 0.01, 0.), Inconclusive, "nothing faded on cats and dogs");
    }

    #[test]
    fn extreme_weights_take_longer() {
        let settling = |most: usize| {
            let mut runs = ending(0., 0.);
            for run in &mut runs {
                let (extreme, end) = (run.config.ratio.log2().abs() > 4., last_fraction(run));
                let until = if extreme { most } else { 40 };
                let f = |epoch: usize| if epoch < until { 1. } else { end };
                run.rows = (1..=40).map(|i| made::row(10 * i, f(10 * i))).collect();
            }
            slow(&network(&runs)).verdict
        };
        // Apart by a factor of 4, whose sixth root is 1.26.
        assert_eq!(settling(80), Supported);
        assert_eq!(settling(50), Refuted);
    }

    #[test]
    fn an_effect_that_early_stopping_keeps() {
        let with = |stopped: f64, end: f64| {
            let mut runs = ending(end / 10., 0.);
            for run in &mut runs {
                let sign = run.config.ratio.log2().signum();
                run.summary.stopped.fraction = 0.5 + sign * stopped / 2.;
            }
            early_stopping(&network(&runs)).verdict
        };
        assert_eq!(with(0.5, 0.1), Supported);
        assert_eq!(with(0.1, 0.1), Inconclusive);
        assert_eq!(with(0.5, 0.7), Inconclusive);
        assert_eq!(with(0.5, 1.1), Refuted);
    }

    #[test]
    fn one_network_that_remembers_refutes_generality() {
        let faded = fades(&network(&ending(0., 0.001)));
        assert!(matches!(architectures(std::slice::from_ref(&faded)).verdict, Verdict::NotTested(_)));
        let kept = Claim { id: "IW2b".into(), ..fades(&network(&ending(0.02, 0.001))) };
        let claim = architectures(&[faded, kept]);
        assert!(claim.verdict == Refuted && claim.reason.contains("IW2b"));
    }
}
