//! A verdict on each claim. Every rule stands here in code and was fixed before the runs it judges.
//!
//! Differences of errors are in percentage points, paired over seeds, with a t interval of 95 %. Claims come once for each
//! study: `a` digits, `b` photos, and at profile paper `c` CIFAR-10 and `d` CIFAR-100 with the DenseNet. SELFIE is read
//! after its first run (r = 0) unless the claim is about restarts.

use std::collections::BTreeMap;

use retrial_core::experiment::Profile;
use retrial_core::noise::NoiseKind;
use retrial_core::results::{Claim, Error, Reported, Results, Verdict, decided, judge_above, not_tested, open, short};
use retrial_core::stats::{Interval, least_squares, mean_t_interval};

use crate::config::{Config, Method, Reuse, Selfie};
use crate::experiments::HEAVY;
use crate::paper::Song2019;
use crate::readings::{
    ANIMALS, Arm, BySeed, CIFAR_100_DENSENET, Cells, Gates, Metric, Study, VGGS, errors, gaps, mean, read, standard,
};
use crate::train::Epoch;

/// Points within which an error counts as no worse.
const MARGIN: f64 = 1.0;

/// The numbers that the paper's authors report.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/selfie.csv";
    Ok(Reported::parse(FILE, include_str!("../../../data/reported/selfie.csv"))?.trusted())
}

/// All must be supported; one refutes.
fn all_of(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let verdicts: Vec<Verdict> = verdicts.into_iter().collect();
    if verdicts.contains(&Verdict::Refuted) {
        Verdict::Refuted
    } else if !verdicts.is_empty() && verdicts.iter().all(|v| *v == Verdict::Supported) {
        Verdict::Supported
    } else {
        Verdict::Inconclusive
    }
}

fn interval(values: &[f64]) -> Option<Interval> {
    mean_t_interval(values, 0.95).ok()
}

fn words(name: &str, interval: &Interval) -> String {
    format!("{name} {} [{}, {}]", short(interval.estimate), short(interval.low), short(interval.high))
}

/// How many seeds miss a precondition, and how the first of them does.
fn missed(gates: &BTreeMap<u64, Gates>) -> String {
    let failures: Vec<Vec<String>> = gates.values().map(Gates::failures).filter(|f| !f.is_empty()).collect();
    let first = failures.first().map_or(String::new(), |f| f.join("; "));
    format!("{} of {} seeds miss a precondition (the first: {first}).", failures.len(), gates.len())
}

/// Cells of a study, or why there is nothing to judge.
struct Judge<'a> {
    suffix: &'a str,
    cells: Cells,
    scope: String,
}

impl Judge<'_> {
    fn id(&self, claim: &str) -> String {
        format!("{claim}{}", self.suffix)
    }

    fn metric(&self) -> Metric {
        self.cells.study.metric()
    }

    /// Why heavy noise of this kind cannot be judged, if so: fewer than two seeds hold the preconditions.
    fn closed(&self, noise: &NoiseKind) -> Option<String> {
        let gates = Gates::by_seed(&self.cells, noise);
        match (gates.len(), Gates::passing(&gates).len()) {
            (0, _) => Some(self.absent()),
            (_, 0 | 1) => Some(missed(&gates)),
            _ => None,
        }
    }

    /// Cells of an arm under heavy noise whose seeds hold the preconditions.
    fn heavy(&self, noise: &NoiseKind, arm: Arm) -> BySeed {
        self.passing(noise, self.cells.arm(noise, HEAVY, arm))
    }

    fn passing(&self, noise: &NoiseKind, mut cells: BySeed) -> BySeed {
        let seeds = Gates::passing(&Gates::by_seed(&self.cells, noise));
        cells.retain(|seed, _| seeds.contains(seed));
        cells
    }

    /// A verdict under heavy noise, with the seeds that were left out.
    fn decided(
        &self,
        claim: Claim,
        verdict: Verdict,
        interval: Interval,
        seeds: usize,
        (noises, mut reason): (&[NoiseKind], String),
    ) -> Claim {
        for noise in noises {
            let gates = Gates::by_seed(&self.cells, noise);
            if gates.len() > Gates::passing(&gates).len() {
                reason = format!("{reason} Left out: {}", missed(&gates)).trim_start().into();
            }
        }
        decided(claim, verdict, interval, seeds, &self.scope, reason)
    }

    fn absent(&self) -> String {
        match self.cells.study {
            Study::Digits | Study::Photos => {
                "These cells have not been trained; they belong to profile standard.".into()
            }
            _ => "The paper's own scale needs a GPU; these cells have not been trained.".into(),
        }
    }

    /// Error of one arm minus that of SELFIE under heavy noise.
    fn margin(&self, noise: &NoiseKind, arm: Arm, metric: Metric) -> Vec<f64> {
        let of = |arm: Arm| errors(&self.heavy(noise, arm), metric);
        gaps(&of(arm), &of(Arm::Selfie))
    }

    fn pair(&self, selfie: impl Fn(&Selfie, &Selfie) -> bool) -> BySeed {
        let wanted = |config: &Config| match (&config.method, standard(config)) {
            (Method::Selfie(s), Some(standard)) => selfie(s, &standard),
            _ => false,
        };
        self.passing(&NoiseKind::Pair, self.cells.by(&NoiseKind::Pair, HEAVY, wanted))
    }
}

/// A verdict on each of the paper's claims.
pub fn claims(results: &Results<Song2019>) -> Result<Vec<Claim>, Error> {
    let mut claims = vec![];
    let judges = Study::of(results.profile).map(|(suffix, study)| {
        let cells = Cells::of(results, study);
        let scope = cells.scope(results.profile);
        Judge { suffix, cells, scope }
    });
    for judge in &judges {
        claims.push(against_default(judge, &NoiseKind::Pair));
        claims.push(against_rivals(judge, &NoiseKind::Pair));
        claims.push(against_default(judge, &NoiseKind::Symmetric));
        claims.push(against_rivals(judge, &NoiseKind::Symmetric));
        claims.push(slope(judge));
        claims.push(without_noise(judge));
        claims.push(precision(judge));
        claims.push(usable_samples(judge)?);
        claims.push(restarts(judge));
        claims.push(rules(judge));
        claims.push(selective(judge));
        claims.push(re_use(judge));
        claims.push(active_bias(judge));
    }
    claims.push(largest_margin(results));
    claims.push(vgg(results));
    claims.push(natural_noise(results));
    claims.sort_by_key(|claim| {
        let digits: String = claim.id.chars().skip(2).take_while(char::is_ascii_digit).collect();
        (digits.parse::<u32>().unwrap_or(0), claim.id.clone())
    });
    Ok(claims)
}

fn against_default(judge: &Judge, noise: &NoiseKind) -> Claim {
    let pair = *noise == NoiseKind::Pair;
    let digits = judge.metric() == Metric::Last;
    let claim = open(
        &judge.id(if pair { "SF1" } else { "SF2" }),
        if pair {
            "Pair noise 0.4: SELFIE errs less than Default"
        } else {
            "Symmetric noise 0.4: SELFIE errs less than Default"
        },
        if pair { "Fig. 4" } else { "figure after Fig. 4" },
        if digits {
            "Default - SELFIE > 0 at the last epoch (on digits the best epoch comes before SELFIE sets in)"
        } else {
            "Default - SELFIE > 0 at the best epoch"
        },
        if pair { "18.4 v 13.2 (CIFAR-10, DenseNet)" } else { "17.4 v 13.5 (CIFAR-10, DenseNet)" },
    );
    if let Some(why) = judge.closed(noise) {
        return not_tested(claim, why);
    }
    let values = judge.margin(noise, Arm::Default, judge.metric());
    let Some(best) = interval(&values) else { return not_tested(claim, "A verdict needs two seeds.") };
    let verdict = judge_above(&best, 0.);
    let mut reason = String::new();
    for metric in [Metric::Best, Metric::Last, Metric::Chosen].into_iter().filter(|m| *m != judge.metric()) {
        if let Some(other) = interval(&judge.margin(noise, Arm::Default, metric)) {
            if metric == Metric::Last && verdict == Verdict::Supported && !other.above(0.) {
                reason += "Holds under the paper's metric only. ";
            }
            reason += &format!("{}. ", words(&format!("At the {}:", metric.name()), &other));
        }
    }
    judge.decided(claim, verdict, best, values.len(), (std::slice::from_ref(noise), reason.trim_end().into()))
}

fn against_rivals(judge: &Judge, noise: &NoiseKind) -> Claim {
    let pair = *noise == NoiseKind::Pair;
    let claim = open(
        &judge.id(if pair { "SF1-rivals-" } else { "SF2-rivals-" }),
        if pair {
            "Pair noise 0.4: SELFIE errs less than each of Default, ActiveBias and Co-teaching"
        } else {
            "Symmetric noise 0.4: SELFIE errs less than Default and ActiveBias, and no more than Co-teaching"
        },
        if pair { "Fig. 4" } else { "figure after Fig. 4" },
        if pair {
            "every rival - SELFIE > 0"
        } else {
            "Default and ActiveBias - SELFIE > 0; Co-teaching - SELFIE > -1"
        },
        if pair { "18.4 / 17.6 / 15.3 v 13.2" } else { "17.4 / 15.7 / 14.1 v 13.5; 0.6 is below resolution here" },
    );
    if let Some(why) = judge.closed(noise) {
        return not_tested(claim, why);
    }
    let mut judged = vec![];
    for rival in Arm::RIVALS {
        let values = judge.margin(noise, rival, judge.metric());
        if let Some(gap) = interval(&values) {
            let least = if !pair && rival == Arm::CoTeaching { -MARGIN } else { 0. };
            judged.push((rival, judge_above(&gap, least), gap, values.len()));
        }
    }
    let Some((_, _, worst, seeds)) = judged.iter().min_by(|a, b| a.2.estimate.total_cmp(&b.2.estimate)).cloned() else {
        return not_tested(claim, judge.absent());
    };
    let mut verdict = all_of(judged.iter().map(|j| j.1.clone()));
    let absent: Vec<&str> =
        Arm::RIVALS.iter().filter(|arm| judged.iter().all(|j| j.0 != **arm)).map(|arm| arm.name()).collect();
    let mut reason = judged.iter().map(|j| words(&format!("{} -", j.0.name()), &j.2)).collect::<Vec<_>>().join("; ");
    reason += &format!(", {}.", judge.metric().name());
    if !absent.is_empty() {
        reason += &format!(" Not trained at this profile: {}.", absent.join(", "));
        if verdict == Verdict::Supported {
            verdict = Verdict::Inconclusive;
        }
    }
    judge.decided(claim, verdict, worst, seeds, (std::slice::from_ref(noise), reason))
}

/// Slope of a line through (x, y), by least squares.
fn slope_of(points: &[(f64, f64)]) -> Option<f64> {
    let design: Vec<Vec<f64>> = points.iter().map(|(x, _)| vec![1., *x]).collect();
    let y: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    least_squares(&design, &y, &vec![1.; y.len()]).ok().map(|fit| fit.coefficients[1])
}

fn slope(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF3"),
        "The advantage over Default grows with the rate of pair noise",
        "Fig. 4",
        "slope of Default - SELFIE over the noise rate > 0",
        "2.3 / 3.4 / 7.7 / 11.9 points at 0.1 / 0.2 / 0.3 / 0.4 (CIFAR-100, DenseNet): 33 per unit of noise",
    );
    let pair = NoiseKind::Pair;
    let levels = judge.cells.levels(&pair, Arm::Default);
    if levels.len() < 3 {
        return not_tested(claim, judge.absent());
    }
    if let Some(why) = judge.closed(&pair) {
        return not_tested(claim, why);
    }
    let mut points: BTreeMap<u64, Vec<(f64, f64)>> = Default::default();
    for &level in &levels {
        let of = |arm: Arm| errors(&judge.cells.arm(&pair, level, arm), judge.metric());
        let selfie = of(Arm::Selfie);
        for (seed, error) in of(Arm::Default) {
            if let Some(ours) = selfie.get(&seed) {
                points.entry(seed).or_default().push((level, error - ours));
            }
        }
    }
    let seeds = Gates::passing(&Gates::by_seed(&judge.cells, &pair));
    points.retain(|seed, _| seeds.contains(seed));
    let slopes: Vec<f64> = points.values().filter(|p| p.len() == levels.len()).filter_map(|p| slope_of(p)).collect();
    let Some(found) = interval(&slopes) else { return not_tested(claim, "A verdict needs two seeds.") };
    let reason = format!("Points per unit of noise rate, {}, {} noise rates.", judge.metric().name(), levels.len());
    judge.decided(claim, judge_above(&found, 0.), found, slopes.len(), (&[pair], reason))
}

fn without_noise(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF6"),
        "Without noise SELFIE costs little",
        "left-most points of Fig. 4",
        "SELFIE - Default <= 1.0, upper end of the interval",
        "-0.1 and +0.1 in two figures (CIFAR-10, DenseNet)",
    );
    let of = |arm: Arm| errors(&judge.cells.arm(&NoiseKind::Pair, 0., arm), judge.metric());
    let values = gaps(&of(Arm::Selfie), &of(Arm::Default));
    let Some(cost) = interval(&values) else { return not_tested(claim, judge.absent()) };
    let verdict = match judge_above(&cost, MARGIN) {
        Verdict::Supported => Verdict::Refuted,
        Verdict::Refuted => Verdict::Supported,
        other => other,
    };
    decided(claim, verdict, cost, values.len(), &judge.scope, format!("At the {}.", judge.metric().name()))
}

fn precision(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF8"),
        "Refurbished labels are right with high precision",
        "abstract",
        "changed labels: SELFIE - RelabelAll > 0 and SELFIE's precision > 0.5; all refurbished labels: precision above 1 - tau; \
         under each kind of noise that can be judged",
        "no number found",
    );
    let mut judged = vec![];
    let (mut parts, mut noises) = (vec![], vec![]);
    for (name, noise) in [("pair", NoiseKind::Pair), ("symmetric", NoiseKind::Symmetric)] {
        if let Some(why) = judge.closed(&noise) {
            parts.push(format!("{name} noise not judged: {}", why.trim_end_matches('.')));
            continue;
        }
        let of = |arm: Arm, value: fn(&Epoch) -> Option<f64>| {
            read(&judge.heavy(&noise, arm), |s| s.runs.first().and_then(|run| value(&run.last)))
        };
        let (ours, theirs) = (of(Arm::Selfie, |row| row.changed_right), of(Arm::RelabelAll, |row| row.changed_right));
        let values = gaps(&ours, &theirs);
        let all = |values: BTreeMap<u64, f64>| interval(&values.into_values().collect::<Vec<_>>());
        let (own, whole) = (all(ours), all(of(Arm::Selfie, |row| row.refurbished_right)));
        let (Some(gap), Some(own), Some(whole)) = (interval(&values), own, whole) else {
            return not_tested(claim, judge.absent());
        };
        parts.push(format!(
            "{name}: {} of changed and {} of all refurbished labels are right; {}",
            short(own.estimate),
            short(whole.estimate),
            words("gap", &gap)
        ));
        // Where the precision itself refutes, it is the number to show.
        let deciding = if own.below(0.5) { own } else { gap };
        let rules = [judge_above(&gap, 0.), judge_above(&own, 0.5), judge_above(&whole, 1. - HEAVY)];
        judged.push((all_of(rules), deciding, values.len()));
        noises.push(noise);
    }
    let verdict = all_of(judged.iter().map(|j| j.0.clone()));
    let reason = format!("At the last epoch. {}.", parts.join(". "));
    match judged.into_iter().min_by(|a, b| a.1.estimate.total_cmp(&b.1.estimate)) {
        None => not_tested(claim, parts.join(". ") + "."),
        Some((_, worst, seeds)) => judge.decided(claim, verdict, worst, seeds, (&noises, reason)),
    }
}

fn usable_samples(judge: &Judge) -> Result<Claim, Error> {
    let claim = open(
        &judge.id("SF9"),
        "The number of usable samples grows during training",
        "abstract; drawing of the key idea",
        "share of the batch trained on and share refurbished, last epoch minus first after the warm-up: both rise in all seeds, \
         and the first ends above 1 - tau; refuted: one rises in none; under each kind of noise that can be judged",
        "no number found",
    );
    let mut judged = vec![];
    let (mut parts, mut noises) = (vec![], vec![]);
    for (name, noise) in [("pair", NoiseKind::Pair), ("symmetric", NoiseKind::Symmetric)] {
        if let Some(why) = judge.closed(&noise) {
            parts.push(format!("{name} noise not judged: {}", why.trim_end_matches('.')));
            continue;
        }
        let (mut rises, mut ends, mut grown) = (vec![], vec![], vec![]);
        for cell in judge.heavy(&noise, Arm::Selfie).values() {
            let rows: Vec<Epoch> = cell.epochs()?;
            let rows: Vec<_> = rows.into_iter().filter(|row| row.run == 1 && row.epoch > cell.config.warm_up).collect();
            if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
                rises.push(last.used - first.used);
                ends.push(last.used - (1. - HEAVY));
                grown.push(last.refurbished.unwrap_or(0.) - first.refurbished.unwrap_or(0.));
            }
        }
        let (Some(rise), Some(end)) = (interval(&rises), interval(&ends)) else {
            return Ok(not_tested(claim, judge.absent()));
        };
        parts.push(format!(
            "{name}: {} of the batch at the end, share of refurbished samples {} higher",
            short(end.estimate + 1. - HEAVY),
            mean(grown.clone()).map_or("unknown".into(), short)
        ));
        judged.push((all_of([in_all(&rises), in_all(&grown), in_all(&ends)]), rise, rises.len()));
        noises.push(noise);
    }
    let verdict = all_of(judged.iter().map(|j| j.0.clone()));
    let reason = format!("{}.", parts.join("; "));
    Ok(match judged.into_iter().min_by(|a, b| a.1.estimate.total_cmp(&b.1.estimate)) {
        None => not_tested(claim, reason),
        Some((_, worst, seeds)) => judge.decided(claim, verdict, worst, seeds, (&noises, reason)),
    })
}

/// Whether all seeds are above 0, or none.
fn in_all(values: &[f64]) -> Verdict {
    match (values.iter().all(|v| *v > 0.), values.iter().any(|v| *v > 0.)) {
        (true, true) => Verdict::Supported,
        (_, false) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    }
}

fn restarts(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF10"),
        "Restarting helps",
        "README, r = 2",
        "run 1 - mean of the later runs > 0, and Default with as many fresh runs - SELFIE > 0",
        "no number found",
    );
    let metric = judge.metric();
    if let Some(why) = judge.closed(&NoiseKind::Pair) {
        return not_tested(claim, why);
    }
    let restarted = judge.pair(|s, standard| *s == Selfie { restarts: 2, ..standard.clone() });
    let repeated = judge.cells.by(&NoiseKind::Pair, HEAVY, |c| c.method == Method::Default { runs: 3 });
    let lowest =
        |summary: &crate::train::Summary| summary.runs.iter().filter_map(|run| metric.of(run)).min_by(f64::total_cmp);
    // The better of two would gain without any effect.
    let own = read(&restarted, |s| {
        Some(metric.of(s.runs.first()?)? - mean(s.runs.get(1..)?.iter().filter_map(|run| metric.of(run)))?)
    });
    let own: Vec<f64> = own.into_values().collect();
    let budget = gaps(&read(&repeated, lowest), &read(&restarted, lowest));
    let (Some(gain), Some(beyond)) = (interval(&own), interval(&budget)) else {
        return not_tested(claim, judge.absent());
    };
    let verdict = all_of([judge_above(&gain, 0.), judge_above(&beyond, 0.)]);
    let reason = format!(
        "{}, lowest of three runs each; {}. The estimate is run 1 minus the mean of runs 2 and 3.",
        words("Default x 3 - SELFIE x 3", &beyond),
        metric.name(),
    );
    judge.decided(claim, verdict, gain, own.len(), (&[NoiseKind::Pair], reason))
}

fn rules(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF11"),
        "Unanimity, which the published threshold means, is no worse than looser rules",
        "Sec. 4.5 by the README",
        "looser rule - unanimity > -1.0 for one dissenter and for the rule that lets two differ (or more that agree)",
        "epsilon = 0.05 and q = 15 best of a grid",
    );
    if let Some(why) = judge.closed(&NoiseKind::Pair) {
        return not_tested(claim, why);
    }
    let metric = judge.metric();
    let paper = errors(&judge.pair(|s, standard| Selfie { restarts: 0, ..s.clone() } == *standard), metric);
    let mut judged = vec![];
    let looser = |(s, standard): (Selfie, Selfie)| {
        (s.epsilon > standard.epsilon && Selfie { epsilon: standard.epsilon, ..s.clone() } == standard)
            .then_some(s.epsilon)
    };
    let mut epsilons: Vec<f64> = judge.cells.variants(&NoiseKind::Pair, HEAVY).into_iter().filter_map(looser).collect();
    epsilons.sort_by(f64::total_cmp);
    for epsilon in epsilons {
        let looser = judge.pair(|s, standard| *s == Selfie { epsilon, ..standard.clone() });
        let values = gaps(&errors(&looser, metric), &paper);
        if let Some(gap) = interval(&values) {
            judged.push((epsilon, judge_above(&gap, -MARGIN), gap, values.len()));
        }
    }
    let Some((_, _, worst, seeds)) = judged.iter().min_by(|a, b| a.2.estimate.total_cmp(&b.2.estimate)).cloned() else {
        return not_tested(claim, judge.absent());
    };
    let reason = judged.iter().map(|j| words(&format!("epsilon {}:", j.0), &j.2)).collect::<Vec<_>>().join("; ");
    let verdict = all_of(judged.iter().map(|j| j.1.clone()));
    judge.decided(claim, verdict, worst, seeds, (&[NoiseKind::Pair], reason + "."))
}

fn selective(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF12"),
        "Correcting selectively is better than correcting nothing and than correcting everything",
        "abstract, by its design argument",
        "SelectOnly - SELFIE > 0 and RelabelAll - SELFIE > 0, pair noise 0.4",
        "no number found",
    );
    if let Some(why) = judge.closed(&NoiseKind::Pair) {
        return not_tested(claim, why);
    }
    let mut judged = vec![];
    for arm in [Arm::SelectOnly, Arm::RelabelAll] {
        let values = judge.margin(&NoiseKind::Pair, arm, judge.metric());
        if let Some(gap) = interval(&values) {
            judged.push((arm, judge_above(&gap, 0.), gap, values.len()));
        }
    }
    if judged.len() < 2 {
        return not_tested(claim, judge.absent());
    }
    let (_, _, worst, seeds) =
        judged.iter().min_by(|a, b| a.2.estimate.total_cmp(&b.2.estimate)).cloned().expect("two");
    let mut reason = judged.iter().map(|j| words(&format!("{} -", j.0.name()), &j.2)).collect::<Vec<_>>().join("; ");
    reason += &format!(", {}.", judge.metric().name());
    if judged.iter().filter(|j| j.1 == Verdict::Supported).count() == 1 {
        reason += " The claim holds only partly.";
    }
    let verdict = all_of(judged.iter().map(|j| j.1.clone()));
    judge.decided(claim, verdict, worst, seeds, (&[NoiseKind::Pair], reason))
}

fn re_use(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF13"),
        "Always re-using earlier refurbished labels (V2) costs error",
        "comment in the code of 2020",
        "V2 - V1 > 0",
        "about 0.3 points",
    );
    if let Some(why) = judge.closed(&NoiseKind::Pair) {
        return not_tested(claim, why);
    }
    let metric = judge.metric();
    let always = errors(&judge.pair(|s, standard| Selfie { restarts: 0, ..s.clone() } == *standard), metric);
    let small = judge.pair(|s, standard| *s == Selfie { reuse: Reuse::SmallLoss, ..standard.clone() });
    let values = gaps(&always, &errors(&small, metric));
    let Some(cost) = interval(&values) else { return not_tested(claim, judge.absent()) };
    let size = if cost.contains(0.3) { "may be" } else { "is not" };
    let reason = format!("At the {}; the size {size} the 0.3 points of the comment.", metric.name());
    judge.decided(claim, judge_above(&cost, 0.), cost, values.len(), (&[NoiseKind::Pair], reason))
}

fn active_bias(judge: &Judge) -> Claim {
    let claim = open(
        &judge.id("SF14"),
        "ActiveBias helps little at heavy pair noise",
        "Fig. 4",
        "Default - ActiveBias < 2 points, whole interval",
        "18.4 to 17.6 (CIFAR-10, DenseNet)",
    );
    if matches!(judge.cells.study, Study::Digits | Study::Photos) {
        let why = "A statement on the size of an effect with the paper's networks does not carry over to small ones.";
        return not_tested(claim, why);
    }
    let of = |arm: Arm| errors(&judge.cells.arm(&NoiseKind::Pair, HEAVY, arm), Metric::Best);
    let values = gaps(&of(Arm::Default), &of(Arm::ActiveBias));
    let Some(gain) = interval(&values) else { return not_tested(claim, judge.absent()) };
    let verdict = match judge_above(&gain, 2.) {
        Verdict::Supported => Verdict::Refuted,
        Verdict::Refuted => Verdict::Supported,
        other => other,
    };
    decided(claim, verdict, gain, values.len(), &judge.scope, String::new())
}

/// Smallest margin of SELFIE over some arms, best epoch of all its runs, as the paper reads it.
fn published_margin(cells: &Cells, noise: &NoiseKind, level: f64, rivals: &[Arm]) -> Option<(Interval, usize)> {
    let lowest = |cells: &BySeed| read(cells, |s| s.runs.iter().map(|r| 100. * r.best).min_by(f64::total_cmp));
    let ours = lowest(&cells.arm(noise, level, Arm::Selfie));
    let margins = rivals.iter().filter_map(|&rival| {
        let values = gaps(&lowest(&cells.arm(noise, level, rival)), &ours);
        Some((interval(&values)?, values.len()))
    });
    let margins: Vec<_> = margins.collect();
    (margins.len() == rivals.len()).then(|| margins.into_iter().min_by(|a, b| a.0.estimate.total_cmp(&b.0.estimate)))?
}

/// Why claims on the paper's own data cannot be judged.
fn paper_only(profile: Profile, needs: &str) -> String {
    if profile == Profile::Paper { format!("Needs {needs} on a GPU, not trained.") } else { format!("Needs {needs}.") }
}

fn largest_margin(results: &Results<Song2019>) -> Claim {
    let claim = open(
        "SF4",
        "The largest reduction of error against a robust method is about 10.5 points",
        "abstract",
        "Co-teaching - SELFIE, CIFAR-100, DenseNet, pair noise 0.4: interval holds 10.5",
        "10.5; 51.8 - 41.3 from Fig. 4",
    );
    let cells = Cells::of(results, CIFAR_100_DENSENET);
    match published_margin(&cells, &NoiseKind::Pair, HEAVY, &[Arm::CoTeaching]) {
        None => not_tested(claim, paper_only(results.profile, "CIFAR-100 and the DenseNet, profile paper")),
        Some((margin, seeds)) => {
            let verdict = if margin.contains(10.5) { Verdict::Supported } else { Verdict::Refuted };
            decided(claim, verdict, margin, seeds, &cells.scope(results.profile), String::new())
        }
    }
}

fn vgg(results: &Results<Song2019>) -> Claim {
    let claim = open(
        "SF5",
        "The same ranking with VGG-19",
        "supplement, Fig. 11 and next",
        "every rival - SELFIE > 0, pair noise 0.4, CIFAR-10 and CIFAR-100",
        "21.5 / 20.7 / > 24 v 19.7 and 54.7 / 50.5 / > 59 v 49.3",
    );
    let margins: Vec<_> = VGGS
        .iter()
        .filter_map(|&study| published_margin(&Cells::of(results, study), &NoiseKind::Pair, HEAVY, &Arm::RIVALS))
        .collect();
    if margins.len() < VGGS.len() {
        return not_tested(claim, paper_only(results.profile, "VGG-19, profile paper"));
    }
    let verdict = all_of(margins.iter().map(|m| judge_above(&m.0, 0.)));
    let (worst, seeds) = margins.into_iter().min_by(|a, b| a.0.estimate.total_cmp(&b.0.estimate)).expect("two");
    decided(claim, verdict, worst, seeds, "CIFAR-10 and CIFAR-100, VGG-19, profile paper", String::new())
}

fn natural_noise(results: &Results<Song2019>) -> Claim {
    let claim = open(
        "SF7",
        "Natural noise: SELFIE is best with both networks",
        "README Fig. 6.2",
        "every rival - SELFIE > 0 on ANIMAL-10N with both networks",
        "17.90 / 17.62 / 17.46 v 16.98 (DenseNet); 20.62 / 19.47 / 19.81 v 18.40 (VGG-19)",
    );
    let margins: Vec<_> = ANIMALS
        .iter()
        .filter_map(|&study| published_margin(&Cells::of(results, study), &NoiseKind::Clean, 0.08, &Arm::RIVALS))
        .collect();
    if margins.len() < ANIMALS.len() {
        let needs = "ANIMAL-10N, which is given out on request only, and both networks of profile paper";
        return not_tested(claim, paper_only(results.profile, needs));
    }
    let verdict = all_of(margins.iter().map(|m| judge_above(&m.0, 0.)));
    let (worst, seeds) = margins.into_iter().min_by(|a, b| a.0.estimate.total_cmp(&b.0.estimate)).expect("two");
    decided(claim, verdict, worst, seeds, "ANIMAL-10N, both networks, profile paper", String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_refutes_and_all_must_support() {
        use Verdict::{Inconclusive, Refuted, Supported};
        assert_eq!(all_of([Supported, Supported]), Supported);
        assert_eq!(all_of([Supported, Inconclusive]), Inconclusive);
        assert_eq!(all_of([Inconclusive, Refuted, Supported]), Refuted);
        assert_eq!(all_of([]), Inconclusive);
        assert_eq!(
            (in_all(&[0.1, 0.2]), in_all(&[0.1, -0.2]), in_all(&[-0.1, 0.])),
            (Supported, Inconclusive, Refuted)
        );
    }

    #[test]
    fn the_papers_margins_have_the_slope_that_is_named() {
        let slope = slope_of(&[(0.1, 2.3), (0.2, 3.4), (0.3, 7.7), (0.4, 11.9)]).unwrap();
        assert!((slope - 33.1).abs() < 0.05, "{slope}");
    }

    #[test]
    fn missed_seeds_are_counted() {
        let gate = |fitted| Gates {
            fitted,
            overfitting: 3.,
            damage: None,
            wrong_at_warm_up: 0.4,
            refurbished_at_half: 0.5,
            level: HEAVY,
        };
        let said = missed(&BTreeMap::from([(0, gate(0.8)), (1, gate(0.7))]));
        assert_eq!(
            said,
            "1 of 2 seeds miss a precondition (the first: P1: Default fits 0.70 of the given labels, less than 0.75)."
        );
    }
}
