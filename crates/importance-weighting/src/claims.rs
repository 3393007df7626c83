//! A verdict on each claim. Every rule stands here in code and was fixed before the runs it judges.
//!
//! The paper's own numbers are not known (only its abstract could be read), so what stands beside ours comes from two
//! independent re-implementations, R1 (New York University students, one seed) and R2 (Vo and Truong 2025).

use std::collections::BTreeMap;

use retrial_core::model::Architecture;
use retrial_core::results::{Claim, Error, Reported, Results, Verdict, decided, not_tested, open};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::config::Images;
use crate::equivalence::{MARGIN, WIDE_MARGIN};
use crate::experiments::{Remedy, remedy_of};
use crate::paper::{ImportanceWeighting, ratio_text};
use crate::readings::{
    Gate, Run, by_seed, disagreement, distinct, early_spread, equivalence, label_shifts, plane_cells, runs, slopes,
    spread,
};
use crate::weighting::Loss;

/// Fewer paired seeds allow no verdict.
const LEAST_SEEDS: usize = 5;
/// β within this is no effect: 0.05 over the whole range from 1:256 to 256:1.
pub const FLAT: f64 = 0.003;
/// β beyond this is an effect.
const STEEP: f64 = 0.01;

/// The numbers of others that stand beside ours; see the note of each.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/importance-weighting.csv";
    Ok(Reported::parse(FILE, include_str!("../../../data/reported/importance-weighting.csv"))?.trusted())
}

fn interval(values: &[f64]) -> Option<Interval> {
    mean_t_interval(values, 0.95).ok()
}

fn three_way(supported: bool, refuted: bool) -> Verdict {
    match (supported, refuted) {
        (_, true) => Verdict::Refuted,
        (true, _) => Verdict::Supported,
        _ => Verdict::Inconclusive,
    }
}

/// A network of the image study, with its runs.
struct Arm {
    suffix: &'static str,
    runs: Vec<Run>,
    penalised: Vec<Run>,
    scope: String,
}

fn scope_of(runs: &[Run], what: &str, profile: &str) -> String {
    let Some(run) = runs.first() else { return String::new() };
    let c = &run.config;
    let what = match (what, &c.architecture) {
        ("dropout 0.5", Architecture::Mlp { .. }) => "MLP with dropout 0.5",
        ("dropout 0.5", _) => "CNN with dropout 0.5",
        _ => what,
    };
    let size = if c.halved { ", 16 x 16 pixels" } else { "" };
    format!(
        "CIFAR-10 cat against dog{size}, {what}, {} training images, {} epochs, weights by convention B, profile {profile}",
        c.counts[0] + c.counts[1],
        c.epochs
    )
}

fn gates(runs: &[Run]) -> String {
    let count = |gate: Gate| runs.iter().filter(|r| r.gate == gate).count();
    let (separated, collapsed) = (count(Gate::Separated), count(Gate::Collapsed));
    format!("{separated} of {} runs separated their data and settled, {collapsed} collapsed.", runs.len())
}

/// A verdict on each of the paper's claims. Claims about a network come twice: `a` for the CNN, `b` for the MLP.
pub fn claims(results: &Results<ImportanceWeighting>) -> Result<Vec<Claim>, Error> {
    let profile = results.profile.name();
    let arm = |suffix, experiment: &str, penalty: &str, what: &str| -> Result<Arm, Error> {
        let runs = runs(results, experiment)?;
        let penalised = self::runs(results, penalty)?;
        Ok(Arm { suffix, scope: scope_of(&runs, what, profile), runs, penalised })
    };
    let arms = [arm("a", "ratios", "l2", "CNN")?, arm("b", "ratios-mlp", "l2-mlp", "MLP")?];
    let mut claims = vec![];
    for arm in &arms {
        claims.push(early(arm));
        claims.push(fades("IW2", IN, arm));
        claims.push(slow(arm));
        claims.push(penalty(arm));
        claims.push(off_manifold(arm));
        claims.push(early_stopping(arm));
        claims.push(dose(arm));
    }
    let dropout = Arm {
        suffix: "",
        runs: runs(results, "dropout")?,
        penalised: vec![],
        scope: scope_of(&runs(results, "dropout")?, "dropout 0.5", profile),
    };
    claims.push(fades("IW5", DROPOUT, &dropout));
    for (id, experiment, what) in [("IW6", "norm", "CNN with batch norm"), ("IW6b", "resnet", "ResNet with batch norm")]
    {
        if id == "IW6" || results.experiment(experiment).is_some() {
            claims.push(norm(id, what, &runs(results, experiment)?, &arms[0].runs, profile));
        }
    }
    let rare = runs(results, "imbalance")?;
    let scope = scope_of(&rare, "MLP", profile);
    claims.push(imbalance(&rare, &scope));
    claims.push(theory(results));
    claims.push(copies(&rare, &scope));
    claims.push(cutting(&rare, &scope));
    claims.push(architectures(&claims));
    claims.push(tails(&runs(results, "tail")?, &scope));
    claims.push(shift(results, &scope));
    let order = |claim: &Claim| -> (u32, String) {
        let digits: String = claim.id.chars().filter(char::is_ascii_digit).collect();
        (digits.parse().unwrap_or(0), claim.id.clone())
    };
    claims.sort_by_key(order);
    Ok(claims)
}

fn early(arm: &Arm) -> Claim {
    let claim = open(
        &format!("IW1{}", arm.suffix),
        "Weights matter strongly in the first epochs",
        "abstract",
        "spread of f over the ratios, largest of epochs 1 to 5: supported above 0.8, refuted below 0.3; needs R >= 16",
        "R1, R2: f is exactly 0 or 1 from 32:1 on",
    );
    let largest = arm.runs.iter().map(|r| r.config.ratio).fold(0., f64::max);
    if largest < 16. {
        return not_tested(claim, format!("the largest ratio of this arm is {largest}, not at least 16"));
    }
    let spreads = early_spread(&arm.runs);
    match interval(&spreads) {
        None => not_tested(claim, "a verdict needs at least two seeds with every ratio"),
        Some(i) => {
            let reason =
                format!("f is the share of held-out cats and dogs called dog; ratios up to {}.", ratio_text(largest));
            decided(claim, three_way(i.above(0.8), i.below(0.3)), i, spreads.len(), &arm.scope, reason)
        }
    }
}

/// Where a claim that the effect fades stands, and what is known of it.
type Words = (&'static str, &'static str, &'static str);

const IN: Words = (
    "Once a network without regularisation separates its data, class weights no longer change its predictions",
    "abstract",
    "R1: spread .07 over 1:256 to 256:1 at epoch 1000, without order; beta -0.001",
);
const DROPOUT: Words = ("Dropout does not bring the effect back", "abstract", "R1: f in .455 to .53 but for 1:256");

/// IW2 and IW5: every ratio equivalent to 1:1 and no slope.
fn fades(id: &str, (statement, place, reference): Words, arm: &Arm) -> Claim {
    let claim = open(
        &format!("{id}{}", arm.suffix),
        statement,
        place,
        "supported: every ratio but the extreme pair within 0.05 of 1:1 (TOST), beta's interval holds 0 and lies in ±0.003; \
         refuted: beta's interval beyond ±0.003, or the spread above 0.15",
        reference,
    );
    let (runs, keep) = (&arm.runs, Run::separated);
    let f = |run: &Run| run.summary.last.fraction;
    let ratios = distinct(runs.iter().map(|r| r.config.ratio));
    let complete = by_seed(runs, &ratios, keep, f);
    if complete.len() < LEAST_SEEDS {
        let why = format!("{} of {LEAST_SEEDS} seeds needed have every ratio past the gates.", complete.len());
        return not_tested(claim, format!("{why} {}", gates(runs)));
    }
    let rows = equivalence(runs, MARGIN, keep, f);
    let (Some(beta), Some(spreads)) = (
        interval(&slopes(runs, keep, f)),
        interval(&complete.iter().map(|(_, values)| spread(values)).collect::<Vec<_>>()),
    ) else {
        return not_tested(claim, "no slope can be computed");
    };
    // The extreme pair may fail only where there are ratios between it and 1:1.
    let inner = |ratio: f64| ratios.len() <= 3 || (ratio != ratios[0] && ratio != ratios[ratios.len() - 1]);
    let passing = rows.iter().filter(|r| inner(r.ratio)).all(|r| r.verdict == "equivalent");
    let verdict = three_way(
        passing && beta.contains(0.) && beta.within(-FLAT, FLAT),
        beta.above(FLAT) || beta.below(-FLAT) || spreads.above(0.15),
    );
    let equivalent: Vec<String> =
        rows.iter().filter(|r| r.verdict == "equivalent").map(|r| ratio_text(r.ratio)).collect();
    let margin = rows.iter().map(|r| r.smallest_margin).fold(0., f64::max);
    let reason = format!(
        "The estimate is beta, the slope of f on log2 R. Equivalent to 1:1: {}; all would be at a margin of {margin:.3}. Mean \
         spread {:.3}. {}{}",
        if equivalent.is_empty() { "none".into() } else { equivalent.join(", ") },
        spreads.estimate,
        gates(runs),
        same_function(runs),
    );
    decided(claim, verdict, beta, complete.len(), &arm.scope, reason)
}

/// Whether equal shares mean equal answers: disagreement with the 1:1 run of the seed, against that between seeds.
fn same_function(runs: &[Run]) -> String {
    let plain: Vec<&Run> = runs.iter().filter(|r| r.config.ratio == 1. && r.separated()).collect();
    let weighted = runs.iter().filter(|r| r.config.ratio != 1. && r.separated());
    let with_partner: Vec<f64> = weighted
        .filter_map(|r| Some(disagreement(r, plain.iter().find(|p| p.config.seed == r.config.seed)?)))
        .collect();
    let mut between = vec![];
    for (i, a) in plain.iter().enumerate() {
        between.extend(plain[..i].iter().map(|b| disagreement(a, b)));
    }
    if with_partner.is_empty() || between.is_empty() {
        return String::new();
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    format!(
        " Weighted and unweighted runs of a seed differ on {:.1} % of the images, two seeds on {:.1} %.",
        100. * mean(&with_partner),
        100. * mean(&between)
    )
}

fn slow(arm: &Arm) -> Claim {
    let claim = open(
        &format!("IW3{}", arm.suffix),
        "The more extreme the weights, the longer until their effect is gone",
        "text, second-hand",
        "settling epoch at the largest ratio over that at the smallest above 1, apart by a factor F: supported above F^(1/6), \
         refuted below",
        "R1: 16:1 after 16 to 65 epochs, 64:1 after 145, 256:1 after 525 to 625",
    );
    let ratios = distinct(arm.runs.iter().map(|r| r.config.ratio));
    let above: Vec<f64> = ratios.iter().copied().filter(|&r| r > 1. && ratios.contains(&(1. / r))).collect();
    let (Some(&least), Some(&most)) = (above.first(), above.last()) else {
        return not_tested(claim, "no ratios");
    };
    if above.len() < 2 {
        return not_tested(claim, "this arm has one ratio above 1; two are needed");
    }
    let four = [least, 1. / least, most, 1. / most];
    let times = by_seed(&arm.runs, &four, Run::separated, |run| run.settling_epoch() as f64);
    let quotients: Vec<f64> = times.iter().map(|(_, t)| ((t[2] + t[3]) / (t[0] + t[1])).ln()).collect();
    let Some(log) = interval(&quotients) else {
        return not_tested(
            claim,
            format!("fewer than two seeds have these ratios past the gates. {}", gates(&arm.runs)),
        );
    };
    let i = Interval { estimate: log.estimate.exp(), low: log.low.exp(), high: log.high.exp(), level: log.level };
    let bound = (most / least).powf(1. / 6.);
    let reason = format!(
        "{} against {}: F^(1/6) is {bound:.2}. Both directions of a ratio are averaged.",
        ratio_text(most),
        ratio_text(least)
    );
    decided(claim, three_way(i.above(bound), i.below(bound)), i, quotients.len(), &arm.scope, reason)
}

/// λ and β of the L2 runs that still train, by rising λ.
pub fn penalty_slopes(penalised: &[Run]) -> Vec<(f64, Vec<f64>)> {
    let of = |lambda: f64| slopes(penalised, |r| r.config.lambda == lambda && r.trains(), |r| r.summary.last.fraction);
    let lambdas = distinct(penalised.iter().map(|r| r.config.lambda));
    lambdas.into_iter().map(|lambda| (lambda, of(lambda))).filter(|(_, slopes)| slopes.len() >= 2).collect()
}

fn penalty(arm: &Arm) -> Claim {
    let claim = open(
        &format!("IW4{}", arm.suffix),
        "L2 regularisation keeps some of the effect",
        "abstract",
        "at some lambda with balanced training accuracy >= 0.8: beta's interval above 0.01 and mean f monotone in R; refuted: \
         below 0.003 at every such lambda",
        "R1: f .33 and .66 at 1:16 and 16:1; R2: .25 to .76 from 1:32 to 32:1",
    );
    if arm.penalised.is_empty() {
        return not_tested(claim, "this network is penalised at profile standard only");
    }
    let slopes = penalty_slopes(&arm.penalised);
    let intervals: Vec<(f64, Interval, usize)> =
        slopes.iter().filter_map(|(lambda, b)| Some((*lambda, interval(b)?, b.len()))).collect();
    let Some(&(lambda, beta, n)) = intervals.iter().max_by(|a, b| a.1.estimate.total_cmp(&b.1.estimate)) else {
        return not_tested(claim, "at no lambda do two seeds train at every ratio");
    };
    let ratios = distinct(arm.penalised.iter().map(|r| r.config.ratio));
    let keep = |r: &Run| r.config.lambda == lambda && r.trains();
    let means = column_means(&by_seed(&arm.penalised, &ratios, keep, |r| r.summary.last.fraction));
    let monotone = means.windows(2).all(|w| w[0] < w[1]);
    let verdict = three_way(beta.above(STEEP) && monotone, intervals.iter().all(|(_, b, _)| b.below(FLAT)));
    let shown: Vec<String> = ratios.iter().zip(&means).map(|(r, f)| format!("{} {f:.2}", ratio_text(*r))).collect();
    let reason = format!(
        "Largest beta of {} lambdas that train, at lambda {lambda}. Mean f: {}.",
        intervals.len(),
        shown.join(", ")
    );
    decided(claim, verdict, beta, n, &arm.scope, reason)
}

fn column_means(rows: &[(u64, Vec<f64>)]) -> Vec<f64> {
    let columns = rows.first().map_or(0, |(_, values)| values.len());
    (0..columns).map(|i| rows.iter().map(|(_, v)| v[i]).sum::<f64>() / rows.len() as f64).collect()
}

fn off_manifold(arm: &Arm) -> Claim {
    let claim = open(
        &format!("IW7{}", arm.suffix),
        "The effect fades on images of classes never trained on and on noise, too",
        "evaluation sets as in the paper, second-hand",
        "supported: every ratio but the extreme pair within 0.10 of 1:1 (TOST) on both, beta's interval on the other classes \
         holds 0; refuted: that interval beyond ±0.003",
        "R1: spread .124 on the other classes against .074 on cats and dogs",
    );
    let (runs, keep) = (&arm.runs, Run::separated);
    let other = |run: &Run| run.summary.last.fraction_other;
    let noise = |run: &Run| run.summary.last.fraction_noise;
    let ratios = distinct(runs.iter().map(|r| r.config.ratio));
    let betas = slopes(runs, keep, other);
    if betas.len() < LEAST_SEEDS {
        return not_tested(
            claim,
            format!("{} of {LEAST_SEEDS} seeds needed have every ratio past the gates.", betas.len()),
        );
    }
    let Some(beta) = interval(&betas) else { return not_tested(claim, "no slope can be computed") };
    let inner = |ratio: f64| ratios.len() <= 3 || (ratio != ratios[0] && ratio != ratios[ratios.len() - 1]);
    let rows = [equivalence(runs, WIDE_MARGIN, keep, other), equivalence(runs, WIDE_MARGIN, keep, noise)];
    let passing = rows.iter().all(|rows| rows.iter().filter(|r| inner(r.ratio)).all(|r| r.verdict == "equivalent"));
    let verdict = three_way(passing && beta.contains(0.), beta.above(FLAT) || beta.below(-FLAT));
    let margins = rows.map(|rows| rows.iter().map(|r| r.smallest_margin).fold(0., f64::max));
    let noise_beta = interval(&slopes(runs, keep, noise)).map_or(f64::NAN, |i| i.estimate);
    let reason = format!(
        "The estimate is beta on the other eight classes; on uniform noise it is {noise_beta:.4}. All ratios would be equivalent \
         at margins of {:.3} (other classes) and {:.3} (noise).",
        margins[0], margins[1]
    );
    decided(claim, verdict, beta, betas.len(), &arm.scope, reason)
}

fn early_stopping(arm: &Arm) -> Claim {
    let claim = open(
        &format!("IW10{}", arm.suffix),
        "The effect survives only with early stopping",
        "conclusions, second-hand",
        "D = f at the largest ratio minus f at its inverse: supported if D at the least weighted validation loss is above 0.2 and \
         D at the end below half of its early peak; refuted if D at the end is no less than its early peak",
        "",
    );
    let ratios = distinct(arm.runs.iter().map(|r| r.config.ratio));
    let (Some(&low), Some(&high)) = (ratios.first(), ratios.last()) else { return not_tested(claim, "no runs") };
    let d = |value: &dyn Fn(&Run) -> f64| -> BTreeMap<u64, f64> {
        let pairs = by_seed(&arm.runs, &[low, high], Run::separated, value);
        pairs.into_iter().map(|(seed, v)| (seed, v[1] - v[0])).collect()
    };
    let stopped: Vec<f64> = d(&|r| r.summary.stopped.fraction).into_values().collect();
    let end: Vec<f64> = d(&|r| r.summary.last.fraction).into_values().collect();
    let mut peak: BTreeMap<u64, f64> = BTreeMap::new();
    for epoch in 1..=5 {
        for (seed, value) in d(&|r| r.rows.iter().find(|row| row.epoch == epoch).map_or(f64::NAN, |row| row.fraction)) {
            let entry = peak.entry(seed).or_insert(f64::NEG_INFINITY);
            *entry = entry.max(value);
        }
    }
    let left: Vec<f64> = peak.values().zip(&end).map(|(peak, end)| peak / 2. - end).collect();
    let lost: Vec<f64> = peak.values().zip(&end).map(|(peak, end)| peak - end).collect();
    let (Some(stop), Some(left), Some(lost)) = (interval(&stopped), interval(&left), interval(&lost)) else {
        return not_tested(
            claim,
            format!("fewer than two seeds have both extremes past the gates. {}", gates(&arm.runs)),
        );
    };
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let reason = format!(
        "The estimate is D where early stopping would stop, {} against {}; early peak {:.2}, end {:.3}.",
        ratio_text(high),
        ratio_text(low),
        peak.values().sum::<f64>() / peak.len() as f64,
        mean(&end)
    );
    decided(
        claim,
        three_way(stop.above(0.2) && left.above(0.), lost.below(0.)),
        stop,
        stopped.len(),
        &arm.scope,
        reason,
    )
}

fn dose(arm: &Arm) -> Claim {
    let claim = open(
        &format!("IW12{}", arm.suffix),
        "With the same weights the size of the effect is set by lambda: L2 is the wrong control knob",
        "abstract",
        "beta at the strongest lambda minus 3 times beta at the weakest, among those that train: supported above 0 if at no lambda \
         the logits shift by ln R at every R (mean within 25 %), refuted if the strongest is below 1.5 times the weakest",
        "",
    );
    if arm.penalised.is_empty() {
        return not_tested(claim, "this network is penalised at profile standard only");
    }
    let slopes = penalty_slopes(&arm.penalised);
    let (Some((weak, a)), Some((strong, b))) = (slopes.first(), slopes.last()) else {
        return not_tested(claim, "at no lambda do two seeds train at every ratio");
    };
    if slopes.len() < 2 || a.len() != b.len() {
        return not_tested(claim, "fewer than two lambdas train at every ratio for the same seeds");
    }
    let against = |factor: f64| interval(&a.iter().zip(b).map(|(a, b)| b - factor * a).collect::<Vec<_>>());
    let (Some(three), Some(flat)) = (against(3.), against(1.5)) else { return not_tested(claim, "no slopes") };
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let shifts = bayes_shifts(&arm.penalised);
    let bayes = shifts.iter().find(|(_, shifts)| shifts.iter().all(|s| (s - 1.).abs() <= BAYES));
    let shift_words: Vec<String> = shifts
        .iter()
        .map(|(lambda, shifts)| {
            let (low, high) = shifts.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &s| (l.min(s), h.max(s)));
            format!("{low:.2} to {high:.2} at lambda {lambda}")
        })
        .collect();
    let reason = format!(
        "beta is {:.4} at lambda {weak} and {:.4} at lambda {strong}. Shift of the logits over the ln R of Bayes, over all R: {}.",
        mean(a),
        mean(b),
        shift_words.join(", ")
    );
    decided(claim, three_way(three.above(0.) && bayes.is_none(), flat.below(0.)), three, a.len(), &arm.scope, reason)
}

/// For each lambda with two seeds or more that train at every ratio: the mean shift of held-out logits against 1:1, over
/// ln R, at each other R. Bayes' rule for a changed prior wants 1 everywhere.
fn bayes_shifts(penalised: &[Run]) -> Vec<(f64, Vec<f64>)> {
    let ratios = distinct(penalised.iter().map(|r| r.config.ratio));
    let Some(plain) = ratios.iter().position(|&ratio| ratio == 1.) else { return vec![] };
    let of = |lambda: f64| {
        let keep = |r: &Run| r.config.lambda == lambda && r.trains();
        let shifts: Vec<(u64, Vec<f64>)> = by_seed(penalised, &ratios, keep, |r| r.summary.last.logit_shift)
            .into_iter()
            .map(|(seed, logits)| {
                let others = ratios.iter().zip(&logits).filter(|(ratio, _)| **ratio != 1.);
                (seed, others.map(|(ratio, logit)| (logit - logits[plain]) / ratio.ln()).collect())
            })
            .collect();
        if shifts.len() < 2 { vec![] } else { column_means(&shifts) }
    };
    let lambdas = distinct(penalised.iter().map(|r| r.config.lambda));
    lambdas.into_iter().map(|lambda| (lambda, of(lambda))).filter(|(_, shifts)| !shifts.is_empty()).collect()
}

fn norm(id: &str, what: &str, normed: &[Run], plain: &[Run], profile: &str) -> Claim {
    let claim = open(
        id,
        "Batch norm keeps some of the effect",
        "abstract",
        "supported: with batch norm mean f monotone in R and beta's interval above 0, without it beta's interval holds 0; refuted: \
         with batch norm beta's interval within ±0.003",
        "R1: f .56 to .43 with batch norm (ResNet), beta +0.008; without, -0.001 (CNN)",
    );
    let f = |run: &Run| run.summary.last.fraction;
    let ratios = distinct(normed.iter().map(|r| r.config.ratio));
    let complete = by_seed(normed, &ratios, Run::separated, f);
    let (Some(with), Some(without)) =
        (interval(&slopes(normed, Run::separated, f)), interval(&slopes(plain, Run::separated, f)))
    else {
        let why = "fewer than two seeds have every ratio past the gates, with or without batch norm";
        return not_tested(claim, format!("{why}. With: {} Without: {}", gates(normed), gates(plain)));
    };
    let monotone = column_means(&complete).windows(2).all(|w| w[0] < w[1]);
    let verdict = three_way(
        monotone && with.above(0.) && without.contains(0.) && complete.len() >= LEAST_SEEDS,
        with.within(-FLAT, FLAT),
    );
    let batch = slopes(normed, Run::separated, |r| r.summary.last.fraction_batch_statistics.unwrap_or(f64::NAN));
    let reason = format!(
        "{what}; not the paper's ResNet. The CNN without norms has a beta of {:.4}; with norms that use the statistics of the \
         evaluated images it is {:.4}. {}",
        without.estimate,
        interval(&batch).map_or(f64::NAN, |i| i.estimate),
        gates(normed)
    );
    decided(claim, verdict, with, complete.len(), &scope_of(normed, what, profile), reason)
}

/// How far from 1 a shift of logits over ln R still is the one of Bayes.
const BAYES: f64 = 0.25;

/// What a remedy ends with for each rare class and factor, by seed; and the balanced run of the seed.
pub struct Imbalance {
    /// The last row of every remedy: (remedy, rare class, k, seed).
    pub cells: BTreeMap<(Remedy, usize, usize, u64), (f64, f64)>,
    /// (f, balanced accuracy) of the balanced run, by seed.
    pub balanced: BTreeMap<u64, (f64, f64)>,
    /// Factors.
    pub rarity: Vec<usize>,
}

impl Imbalance {
    /// From the runs of the experiment; runs that miss the gates are left out, except the penalised ones.
    pub fn of(runs: &[Run]) -> Self {
        let full = runs.iter().map(|r| r.config.counts[0].max(r.config.counts[1])).max().unwrap_or(0);
        let epochs = runs.iter().map(|r| r.config.epochs).min().unwrap_or(0);
        let (mut cells, mut balanced, mut rarity) = (BTreeMap::new(), BTreeMap::new(), vec![]);
        for run in runs.iter().filter(|r| r.separated() || r.config.lambda > 0.) {
            let value = (run.summary.last.fraction, run.summary.last.balanced_accuracy());
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

    /// Mean f where nothing is done about the imbalance, by dogs to a cat, rising.
    fn untreated(&self) -> Vec<(f64, f64)> {
        let mut by_share: Vec<(f64, Vec<f64>)> = vec![(1., self.balanced.values().map(|v| v.0).collect())];
        for &k in &self.rarity {
            for (rare, dogs) in [(0, k as f64), (1, 1. / k as f64)] {
                let of = |(&(remedy, class, factor, _), v): (&(Remedy, usize, usize, u64), &(f64, f64))| {
                    (remedy == Remedy::Nothing && class == rare && factor == k).then_some(v.0)
                };
                by_share.push((dogs, self.cells.iter().filter_map(of).collect()));
            }
        }
        by_share.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        by_share.into_iter().map(|(dogs, values)| (dogs, mean(values))).collect()
    }

    /// Some function of the values of remedies, by seed, averaged over the two rare classes and all factors; only seeds
    /// and settings that have all of them.
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
            if sum.len() == 2 * self.rarity.len() {
                values.push(sum.iter().sum::<f64>() / sum.len() as f64);
            }
        }
        values
    }
}

/// Away from the rare class, whichever it is.
fn towards_common(rare: usize, difference: f64) -> f64 {
    if rare == 1 { -difference } else { difference }
}

fn imbalance(runs: &[Run], scope: &str) -> Claim {
    let claim = open(
        "IW8",
        "Weights do not undo an imbalance of the training set; its class shares move predictions",
        "conclusions, second-hand",
        "share of the gap to the balanced run that corrective weights close at the end: supported below 0.25 if mean f without \
         weights rises with the share of dogs, refuted above 0.75; needs a gap above 0.03",
        "R2: f .06, .16, .28, .465 at 1, 2, 4, 16 dogs to 16 cats (1:16, 1:8, 1:4, 1:1)",
    );
    let study = Imbalance::of(runs);
    let gaps = study.by_seed([Remedy::Nothing, Remedy::Weights], |rare, balanced, [nothing, _]| {
        towards_common(rare, nothing.0 - balanced)
    });
    let closed = study.by_seed([Remedy::Nothing, Remedy::Weights], |rare, _, [nothing, weights]| {
        towards_common(rare, nothing.0 - weights.0)
    });
    let Some(gap) = interval(&gaps) else {
        return not_tested(claim, format!("fewer than two seeds have every setting past the gates. {}", gates(runs)));
    };
    if !gap.above(0.03) {
        let mut claim = decided(claim, Verdict::Inconclusive, gap, gaps.len(), scope, String::new());
        claim.reason = format!("The estimate is the gap that imbalance opens: not clearly above 0.03. {}", gates(runs));
        return claim;
    }
    let shares: Vec<f64> = closed.iter().zip(&gaps).map(|(closed, gap)| closed / gap).collect();
    let Some(share) = interval(&shares) else { return not_tested(claim, "no shares") };
    let by_share = study.untreated();
    let rises = by_share.windows(2).all(|w| w[0].1 < w[1].1);
    let words: Vec<String> = by_share.iter().map(|(dogs, f)| format!("{f:.3} at {}", ratio_text(*dogs))).collect();
    let reason = format!(
        "The gap that imbalance opens is {:.3} on average. Mean f by dogs to cats: {}. {}",
        gap.estimate,
        words.join(", "),
        gates(runs)
    );
    decided(claim, three_way(share.below(0.25) && rises, share.above(0.75)), share, shares.len(), scope, reason)
}

fn copies(runs: &[Run], scope: &str) -> Claim {
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
    let (Ok(near), Ok(cut)) = (mean_t_interval(&with_weights, 0.90), mean_t_interval(&with_cut, 0.90)) else {
        return not_tested(claim, format!("fewer than two seeds have every setting past the gates. {}", gates(runs)));
    };
    let same = |i: &Interval| i.within(-MARGIN, MARGIN);
    let verdict = three_way(same(&near) && !cut.contains(0.), same(&cut) && !same(&near));
    let reason = format!(
        "Differences count away from the rare class; the interval is of 90 %. Repeating minus sub-sampling: {:.3} [{:.3}, {:.3}].",
        cut.estimate, cut.low, cut.high
    );
    decided(claim, verdict, near, with_weights.len(), scope, reason)
}

fn cutting(runs: &[Run], scope: &str) -> Claim {
    let claim = open(
        "IW14",
        "For deep networks sub-sampling is to be preferred to weighting",
        "conclusions, second-hand",
        "balanced accuracy with sub-sampling minus with weights, at the end: supported above -0.02, refuted below 0",
        "Wang et al. 2022, 4000 cats and 400 dogs: .585 sub-sampled, .578 weighted, .605 nothing done",
    );
    let study = Imbalance::of(runs);
    let gains = study.by_seed([Remedy::Cut, Remedy::Weights], |_, _, [cut, weights]| cut.1 - weights.1);
    let Some(gain) = interval(&gains) else {
        return not_tested(claim, format!("fewer than two seeds have every setting past the gates. {}", gates(runs)));
    };
    let verdict = three_way(gain.above(-0.02), gain.below(0.));
    decided(claim, verdict, gain, gains.len(), scope, gates(runs))
}

/// The plane: what theory says, and what it says of data that a model cannot separate.
fn theory(results: &Results<ImportanceWeighting>) -> Claim {
    let claim = open(
        "IW9",
        "On separable points every weighting ends at the widest strip; where a model cannot separate, the effect stays",
        "abstract; synthetic data second-hand",
        "(m+ - m-)/ln R within 0.10 of 1 up to 64:1 and offset over ln R/(2 m) within 0.20; angle shrinks; moons: f at 10:1 minus 1:10 \
         at least 0.2 for a line, at most 0.05 for an MLP; refuted: the angle grows, or the balance's interval misses 1 by 0.10",
        "R2, moons: .32 (line) and .01 (MLP) after 10,000 epochs",
    );
    let cells = plane_cells(results, "plane");
    let weighted = || cells.iter().filter(|(c, _)| c.ratio != 1. && c.ratio.ln().abs() < 4.2);
    let seeds = distinct(weighted().map(|(c, _)| c.seed as f64));
    // One value a draw: the mean over its ratios.
    let by_draw = |of: &dyn Fn(&crate::config::Plane, &crate::plane::Row) -> Option<f64>| -> Vec<f64> {
        let mean = |seed: f64| {
            let of_draw = weighted().filter(|(c, _)| c.seed as f64 == seed);
            let values: Vec<f64> = of_draw.filter_map(|(c, s)| of(c, &s.last)).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        seeds.iter().map(|&seed| mean(seed)).collect()
    };
    let balances = by_draw(&|c, row| Some((row.margin_positive - row.margin_negative) / c.ratio.ln()));
    let offsets = by_draw(&|c, row| Some(row.offset? * (row.margin_positive + row.margin_negative) / c.ratio.ln()));
    let (Some(balance), Some(offset)) = (interval(&balances), interval(&offsets)) else {
        return not_tested(claim, "fewer than two draws have finished");
    };
    let mut narrowing = vec![];
    for cell in results.finished("plane") {
        let rows: Vec<crate::plane::Row> = cell.epochs().unwrap_or_default();
        let angle = |epoch: usize| rows.iter().find(|r| r.epoch == epoch).and_then(|r| r.angle);
        if let (Some(early), Some(late)) = (angle(10), rows.last().and_then(|r| r.angle)) {
            narrowing.push(early - late);
        }
    }
    let Some(narrowing) = interval(&narrowing) else { return not_tested(claim, "no angle can be read") };
    let moons = |experiment: &str| {
        let cells = plane_cells(results, experiment);
        let f = |ratio: f64| {
            cells.iter().filter(|(c, _)| c.ratio == ratio).map(|(_, s)| s.last.fraction).collect::<Vec<_>>()
        };
        let differences: Vec<f64> = f(10.).iter().zip(f(0.1)).map(|(a, b)| a - b).collect();
        differences.iter().sum::<f64>() / differences.len().max(1) as f64
    };
    let (line, mlp) = (moons("moons"), moons("moons-mlp"));
    let holds =
        balance.within(0.9, 1.1) && offset.within(0.8, 1.2) && narrowing.above(0.) && line >= 0.2 && mlp <= 0.05;
    let verdict = three_way(holds, narrowing.below(0.) || balance.below(0.9) || balance.above(1.1));
    let wide = plane_cells(results, "plane-wide");
    let wide_spread = spread(&wide.iter().map(|(_, s)| s.last.fraction).collect::<Vec<_>>());
    let epochs = cells.first().map_or(0, |(c, _)| c.epochs);
    let reason = format!(
        "The estimate is (m+ - m-)/ln R. Offset over its prediction {:.3} [{:.3}, {:.3}]. The angle to the widest strip narrows by \
         {:.1} degrees from epoch 10 on. Moons, f at 10:1 minus 1:10: line {line:.3}, MLP {mlp:.3}. Negative control, wide strip: f \
         varies by {wide_spread:.3}.",
        offset.estimate, offset.low, offset.high, narrowing.estimate
    );
    let scope = format!(
        "points in the plane, logistic regression in f64, {epochs} epochs, weights by convention B, profile {}",
        results.profile.name()
    );
    decided(claim, verdict, balance, balances.len(), &scope, reason)
}

fn architectures(claims: &[Claim]) -> Claim {
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

fn tails(runs: &[Run], scope: &str) -> Claim {
    let claim = open(
        "IW15",
        "Extension (Wang et al. 2022): with a polynomially tailed loss weights do help after separation",
        "not in the paper",
        "balanced accuracy with weights minus without, at 10 cats to a dog, polynomial loss minus cross-entropy: supported above 0, \
         refuted below 0",
        "+.040 for the polynomial loss, -.027 for cross-entropy",
    );
    if runs.is_empty() {
        return not_tested(claim, "belongs to profile standard");
    }
    let gain = |polynomial: bool| -> BTreeMap<u64, f64> {
        let of_loss: Vec<&Run> =
            runs.iter().filter(|r| matches!(r.config.loss, Loss::Polynomial { .. }) == polynomial).collect();
        let accuracy = |config: &Images, ratio: f64| {
            let run = of_loss.iter().find(|r| r.config.seed == config.seed && (r.config.ratio - ratio).abs() < 1e-9)?;
            Some(run.summary.last.balanced_accuracy())
        };
        let pairs =
            of_loss.iter().filter_map(|r| Some((r.config.seed, accuracy(&r.config, 10.)? - accuracy(&r.config, 1.)?)));
        pairs.collect()
    };
    let (tail, plain) = (gain(true), gain(false));
    let differences: Vec<f64> = tail.iter().filter_map(|(seed, gain)| Some(gain - plain.get(seed)?)).collect();
    match interval(&differences) {
        None => not_tested(claim, "fewer than two seeds have finished"),
        Some(i) => {
            let mean = |m: &BTreeMap<u64, f64>| m.values().sum::<f64>() / m.len() as f64;
            let reason =
                format!("Gain {:.3} with the polynomial loss, {:.3} with cross-entropy.", mean(&tail), mean(&plain));
            decided(claim, three_way(i.above(0.), i.below(0.)), i, differences.len(), scope, reason)
        }
    }
}

fn shift(results: &Results<ImportanceWeighting>, scope: &str) -> Claim {
    let claim = open(
        "IW16",
        "Extension: under label shift, adding ln of the estimated weights to the logits is better than retraining with them",
        "not in the paper",
        "accuracy on the target with shifted logits minus retrained, mean over target shares of .1, .3, .7 and .9: supported above 0, \
         refuted below 0",
        "",
    );
    let cells = label_shifts(results);
    let mut gains: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (config, summary) in cells.iter().filter(|(c, _)| c.dog_share != 0.5) {
        gains.entry(config.network.seed).or_default().push(summary.offset - summary.retrained);
    }
    let means: Vec<f64> = gains.values().map(|v| v.iter().sum::<f64>() / v.len() as f64).collect();
    match interval(&means) {
        None => not_tested(claim, "belongs to profile standard"),
        Some(i) => {
            let mean = |of: &dyn Fn(&crate::label_shift::Summary) -> f64| {
                let values = cells.iter().filter(|(c, _)| c.dog_share != 0.5).map(|(_, s)| of(s));
                let values: Vec<f64> = values.collect();
                values.iter().sum::<f64>() / values.len() as f64
            };
            let error = mean(&|s| (s.estimated_ratio / s.true_ratio).ln().abs().exp());
            let reason = format!(
                "Accuracy on the target {:.3} without correction, {:.3} retrained, {:.3} with shifted logits; the ratio is estimated \
                 within a factor of {error:.2} on average.",
                mean(&|s| s.unweighted),
                mean(&|s| s.retrained),
                mean(&|s| s.offset)
            );
            decided(claim, three_way(i.above(0.), i.below(0.)), i, means.len(), scope, reason)
        }
    }
}
