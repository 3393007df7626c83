//! A verdict on each claim. Every rule stands here in code and was fixed before the runs it judges; accuracies are
//! fractions, points are hundredths.

use retrial_core::experiment::Profile;
use retrial_core::results::{Claim, Error, Reported, Results, Verdict, decided, not_tested, open};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::paper::LossCorrection;
use crate::readings::Runs;
use crate::train::Summary;

/// Share of noisy labels that plain training must fit in the end, and points that it must lose by it, before anything is
/// said of noise fitting.
const MEMORISED: f64 = 0.9;
const LOST: f64 = 0.05;
/// AUC of the loss after the last epoch at the high rate, before anything is said of weights.
const SEPARATED: f64 = 0.8;
/// mixup must lose so much from its best epoch to its last before others are praised for losing less.
const DROP: f64 = 0.01;

/// The numbers that the paper reports.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/loss-correction.csv";
    Ok(Reported::parse(FILE, include_str!("../../../data/reported/loss-correction.csv"))?.trusted())
}

/// Best and last test accuracy of a method on CIFAR-10 at a level, in per cent.
pub fn reported_accuracy(reported: &Reported, method: &str, level: f64) -> Option<(f64, f64)> {
    let rows = reported.method(method).filter(|n| n.dataset == "CIFAR-10" && n.item == "Table 4");
    let at = |metric: &str| Some(rows.metric(metric).at(100. * level)?.value);
    Some((at("best_test_acc_pct")?, at("last_test_acc_pct")?))
}

/// `87.1/77.6 at 50 %`.
fn in_words(reported: &Reported, method: &str, levels: &[f64]) -> String {
    let words = levels.iter().filter_map(|&level| {
        let (best, last) = reported_accuracy(reported, method, level)?;
        Some(format!("{best}/{last} at {} %", 100. * level))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Paired differences: their mean with its 95 % interval, and how many standard errors it lies from zero.
struct Difference {
    interval: Interval,
    errors: f64,
    seeds: usize,
}

impl Difference {
    fn of(values: &[f64]) -> Option<Self> {
        let interval = mean_t_interval(values, 0.95).ok()?;
        let n = values.len() as f64;
        let spread = values.iter().map(|v| (v - interval.estimate).powi(2)).sum::<f64>() / (n - 1.);
        let errors =
            if spread > 0. { interval.estimate / (spread / n).sqrt() } else { interval.estimate * f64::INFINITY };
        Some(Self { interval, errors: if errors.is_nan() { 0. } else { errors }, seeds: values.len() })
    }

    /// Above zero by two paired standard errors: supported; not above zero at all: refuted.
    fn verdict(&self) -> Verdict {
        match (self.errors > 2., self.interval.estimate <= 0.) {
            (true, _) => Verdict::Supported,
            (_, true) => Verdict::Refuted,
            _ => Verdict::Inconclusive,
        }
    }
}

/// All must be supported; one refuted refutes. The estimate shown is the least favourable.
fn all(differences: &[Difference]) -> Option<(Verdict, &Difference)> {
    let worst = differences.iter().min_by(|a, b| a.interval.estimate.total_cmp(&b.interval.estimate))?;
    let verdicts: Vec<Verdict> = differences.iter().map(Difference::verdict).collect();
    let verdict = if verdicts.contains(&Verdict::Refuted) {
        Verdict::Refuted
    } else if verdicts.iter().all(|v| *v == Verdict::Supported) {
        Verdict::Supported
    } else {
        Verdict::Inconclusive
    };
    Some((verdict, worst))
}

fn last(s: &Summary) -> f64 {
    s.last
}

fn gap(s: &Summary) -> f64 {
    s.best - s.last
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn points(x: f64) -> String {
    format!("{:.1} points", 100. * x)
}

/// Whether plain training fits noise here at all; if not, why nothing follows.
fn memorisation_gate(runs: &Runs) -> Result<String, String> {
    let fitted = runs.values("CE", 0.5, |s| s.given_accuracy);
    if fitted.is_empty() {
        return Err("no run of plain cross-entropy at 50 % has finished".into());
    }
    let (least, lost) = (fitted.iter().copied().fold(1., f64::min), mean(&runs.values("CE", 0.5, gap)));
    let words = format!(
        "plain training fits {:.1} % of the noisy labels at least and loses {} from best to last at 50 %",
        100. * least,
        points(lost)
    );
    if least > MEMORISED && lost >= LOST { Ok(words) } else { Err(format!("gate missed: {words}")) }
}

/// Whether losses separate wrong from right labels before labels are corrected.
fn separation_gate(runs: &Runs, method: &str, level: f64) -> Result<f64, String> {
    let areas: Vec<f64> = runs.cells(method, level).iter().filter_map(|c| c.summary.auc_high).collect();
    match areas.iter().copied().fold(f64::INFINITY, f64::min) {
        least if areas.is_empty() => Err(format!("no run of {method} at this level has finished ({least})")),
        least if least > SEPARATED => Ok(mean(&areas)),
        least => Err(format!("gate missed: the AUC of the loss is {least:.2} at the end of the high rate ({method})")),
    }
}

/// A verdict on each of the paper's claims.
pub fn claims(results: &Results<LossCorrection>) -> Result<Vec<Claim>, Error> {
    let reported = reported()?;
    if results.profile == Profile::Paper {
        let why = "judging the paper's own scale needs a GPU run of this profile, which has not been made";
        return Ok((1..=13)
            .map(|k| not_tested(open(&format!("LC{k}"), "see the small profiles", "", "", String::new()), why))
            .collect());
    }
    let runs = Runs::of(results, |name| name != "photos");
    let photos = Runs::of(results, |name| name == "photos");
    let memorised = memorisation_gate(&runs);
    let mut claims = vec![
        early_separation(&runs),
        beta_fits_better(&runs),
        static_fails(&runs, &memorised, &reported),
        dynamic_helps(&runs, &memorised),
        both_beat_mixup("LC5", &runs, &memorised, &reported),
        no_degradation("LC6", &runs, &memorised, &reported),
        hard_beats_soft(&runs, &memorised),
        regulariser_needed(&runs, &memorised),
        extreme(&runs, &memorised, &reported),
        price_when_clean(&runs, &memorised, &reported),
    ];
    if !photos.levels("M").is_empty() {
        let gate = memorisation_gate(&photos);
        claims.insert(5, both_beat_mixup("LC5-photos", &photos, &gate, &reported));
        claims.insert(7, no_degradation("LC6-photos", &photos, &gate, &reported));
    }
    claims.push(not_tested(
        open(
            "LC11",
            "State of the art with a common network and 300 epochs",
            "Table 4",
            "",
            "false at 20 % for best: mixup 95.6, M-DYR-H 94.0",
        ),
        "accuracies of small runs cannot be compared with the table; only order and shape can",
    ));
    claims.push(not_tested(
        open(
            "LC12",
            "The approach transfers to TinyImageNet and other architectures",
            "abstract; Tables 5, 6",
            "",
            String::new(),
        ),
        "neither the numbers nor the settings are available",
    ));
    claims.push(noise_rate_unused(&runs, &memorised));
    Ok(claims)
}

fn early_separation(runs: &Runs) -> Claim {
    let claim = open(
        "LC1",
        "While training is young, losses on wrong labels are larger; later both vanish",
        "section 3; Fig. 1",
        "80 % noise: AUC of the loss above 0.8 after the last epoch at the high rate and lower at the end; refuted below 0.65",
        "AUC not reported",
    );
    if let Err(why) = memorisation_gate(runs) {
        return not_tested(claim, why);
    }
    let Some(early) = runs.interval("CE", 0.8, |s| s.auc_high.unwrap_or(f64::NAN)) else {
        return not_tested(claim, "no runs of plain cross-entropy at 80 %");
    };
    let late = mean(&runs.values("CE", 0.8, |s| s.auc_last.unwrap_or(f64::NAN)));
    let verdict = match (early.above(SEPARATED) && late < early.estimate, early.estimate < 0.65) {
        (true, _) => Verdict::Supported,
        (_, true) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let reason =
        format!("AUC {:.3} after the last epoch at the high rate, {late:.3} at the end of training.", early.estimate);
    decided(claim, verdict, early, runs.cells("CE", 0.8).len(), &runs.scope, reason)
}

fn beta_fits_better(runs: &Runs) -> Claim {
    let claim = open(
        "LC2",
        "A beta mixture describes the losses better than a Gaussian mixture",
        "section 3.1; Fig. 2",
        "50 % noise, held-out samples: log-likelihood higher and log-loss of the posterior lower in every seed; refuted if the reverse holds in every seed",
        "not reported as numbers",
    );
    if let Err(why) = separation_gate(runs, "CE", 0.5) {
        return not_tested(claim, why);
    }
    let pairs: Vec<_> =
        runs.cells("CE", 0.5).iter().filter_map(|c| Some((c.summary.beta?, c.summary.gaussian?))).collect();
    let gains: Vec<f64> = pairs.iter().map(|(b, g)| b.log_likelihood - g.log_likelihood).collect();
    let Ok(gain) = mean_t_interval(&gains, 0.95) else { return not_tested(claim, "fewer than two fits") };
    if pairs.iter().filter(|(b, _)| b.is_identity).count() * 2 > pairs.len() {
        return not_tested(claim, "the beta posterior is the normalised loss itself: the mixture adds nothing here");
    }
    let better = pairs.iter().filter(|(b, g)| b.log_likelihood > g.log_likelihood && b.log_loss < g.log_loss).count();
    let worse = pairs.iter().filter(|(b, g)| b.log_likelihood < g.log_likelihood && b.log_loss > g.log_loss).count();
    let verdict = match (better == pairs.len(), worse == pairs.len()) {
        (true, _) => Verdict::Supported,
        (_, true) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let of = |value: &dyn Fn(usize) -> f64| mean(&(0..pairs.len()).map(value).collect::<Vec<_>>());
    let reason = format!(
        "The estimate is the gain in log-likelihood (nats a sample). Log-loss of the posterior {:.3} (beta) and {:.3} \
         (Gaussian), Kolmogorov-Smirnov distance {:.3} and {:.3}, labels told rightly at one half {:.1} % and {:.1} %.",
        of(&|i| pairs[i].0.log_loss),
        of(&|i| pairs[i].1.log_loss),
        of(&|i| pairs[i].0.ks),
        of(&|i| pairs[i].1.ks),
        100. * of(&|i| pairs[i].0.accuracy),
        100. * of(&|i| pairs[i].1.accuracy),
    );
    decided(claim, verdict, gain, pairs.len(), &runs.scope, reason)
}

fn static_fails(runs: &Runs, gate: &Result<String, String>, reported: &Reported) -> Claim {
    let claim = open(
        "LC3",
        "Static bootstrapping does not stop noise fitting",
        "section 3.2; Tables 1, 4",
        "last accuracy of hard static bootstrapping within 3 points of plain training at 50 and 80 %; refuted if 8 points better at one",
        in_words(reported, "Reed2015-static-bootstrapping", &[0.5, 0.8]),
    );
    let differences: Vec<Difference> =
        [0.5, 0.8].iter().filter_map(|&l| Difference::of(&runs.differences("ST-H", "CE", l, last))).collect();
    let Some(largest) = differences.iter().max_by(|a, b| a.interval.estimate.total_cmp(&b.interval.estimate)) else {
        return not_tested(claim, "no paired runs of static bootstrapping and plain training");
    };
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    let gain = largest.interval.estimate;
    let verdict = match (gain <= 0.03, gain > 0.08) {
        (true, _) => Verdict::Supported,
        (_, true) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let falls = mean(&runs.values("ST-H", 0.8, gap));
    let reason = format!("It still falls by {} from best to last at 80 %.", points(falls));
    decided(claim, verdict, largest.interval, largest.seeds, &runs.scope, reason)
}

fn dynamic_helps(runs: &Runs, gate: &Result<String, String>) -> Claim {
    let claim = open(
        "LC4",
        "Dynamic hard bootstrapping beats plain training and static bootstrapping at the end",
        "Table 1",
        "last accuracy higher by two paired standard errors than both, at 50 and 80 %; refuted if not higher somewhere",
        "numbers not available",
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    let pairs = [("CE", 0.5), ("CE", 0.8), ("ST-H", 0.5), ("ST-H", 0.8)];
    let differences: Vec<Difference> =
        pairs.iter().filter_map(|(m, l)| Difference::of(&runs.differences("DY-H", m, *l, last))).collect();
    let Some((verdict, worst)) = all(&differences) else { return not_tested(claim, "no paired runs") };
    let soft = mean(&runs.differences("DY-H", "DY-S", 0.8, last));
    let words: Vec<String> = pairs
        .iter()
        .zip(&differences)
        .map(|((m, l), d)| format!("{} over {m} at {} %", points(d.interval.estimate), 100. * l))
        .collect();
    let mut reason = format!("{}.", words.join(", "));
    if !soft.is_nan() {
        reason += &format!(" The hard form is {} above the soft one at 80 %.", points(soft));
    }
    decided(claim, verdict, worst.interval, worst.seeds, &runs.scope, reason)
}

fn both_beat_mixup(id: &str, runs: &Runs, gate: &Result<String, String>, reported: &Reported) -> Claim {
    let claim = open(
        id,
        "mixup with dynamic hard bootstrapping and regulariser far exceeds mixup alone at high noise",
        "Tables 2, 4",
        "last accuracy higher by two paired standard errors at 80 %; refuted if not higher",
        format!(
            "mixup {}; M-DYR-H {}",
            in_words(reported, "Zhang2018-mixup", &[0.8]),
            in_words(reported, "M-DYR-H", &[0.8])
        ),
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    let drop = mean(&runs.values("M", 0.8, gap));
    if drop.is_nan() || drop < DROP {
        return not_tested(claim, format!("mixup alone loses only {} from best to last here", points(drop)));
    }
    let Some(gain) = Difference::of(&runs.differences("M-DYR-H", "M", 0.8, last)) else {
        return not_tested(claim, "no paired runs");
    };
    let middle = mean(&runs.differences("M-DYR-H", "M", 0.5, last));
    let own = mean(&runs.differences("M-DYR-H", "M-DYR-H+loss", 0.8, last));
    let oracle = mean(&runs.differences("M-DYR-H+oracle", "M-DYR-H", 0.8, last));
    let mut reason = format!(
        "At 50 % the gain is {}; mixup alone loses {} from best to last at 80 %.",
        points(middle),
        points(drop)
    );
    if !own.is_nan() {
        let gaussian = mean(&runs.differences("M-DYR-H+gaussian", "M-DYR-H", 0.8, last));
        reason += &format!(
            " Other weights at 80 %: the normalised loss itself {:+.1} points, a Gaussian mixture {:+.1}, the truth {:+.1}.",
            -100. * own,
            100. * gaussian,
            100. * oracle
        );
    }
    decided(claim, gain.verdict(), gain.interval, gain.seeds, &runs.scope, reason)
}

fn no_degradation(id: &str, runs: &Runs, gate: &Result<String, String>, reported: &Reported) -> Claim {
    let claim = open(
        id,
        "The method does not degrade: last is close to best",
        "Table 2",
        "best minus last at most a third of mixup's, at 50 and 80 %; refuted if larger than mixup's at one",
        in_words(reported, "M-DYR-H", &[0.5, 0.8]),
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    let gaps: Vec<(f64, Interval, f64)> = [0.5, 0.8]
        .iter()
        .filter_map(|&l| Some((l, runs.interval("M-DYR-H", l, gap)?, mean(&runs.values("M", l, gap)))))
        .filter(|(_, _, mixup)| *mixup >= DROP)
        .collect();
    let Some((level, worst, _)) = gaps.iter().max_by(|a, b| (a.1.estimate / a.2).total_cmp(&(b.1.estimate / b.2)))
    else {
        return not_tested(claim, "mixup alone loses nothing from best to last here");
    };
    let verdict = if gaps.iter().any(|(_, own, mixup)| own.estimate > *mixup) {
        Verdict::Refuted
    } else if gaps.iter().all(|(_, own, mixup)| own.estimate <= mixup / 3.) {
        Verdict::Supported
    } else {
        Verdict::Inconclusive
    };
    let words: Vec<String> = gaps
        .iter()
        .map(|(l, own, mixup)| format!("{} at {} % against mixup's {}", points(own.estimate), 100. * l, points(*mixup)))
        .collect();
    let seeds = runs.cells("M-DYR-H", *level).len();
    decided(claim, verdict, *worst, seeds, &runs.scope, format!("Best minus last: {}.", words.join(", ")))
}

fn hard_beats_soft(runs: &Runs, gate: &Result<String, String>) -> Claim {
    let claim = open(
        "LC7",
        "With mixup, hard bootstrapping beats soft",
        "Table 2",
        "last accuracy of M-DYR-H above that of M-DYR-S by two paired standard errors at 50 and 80 %; refuted if not above at both",
        "soft not available; hard 92.0/91.9 at 50 %, 86.8/86.6 at 80 %",
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    if let Err(why) = separation_gate(runs, "M", 0.5) {
        return not_tested(claim, why);
    }
    let differences: Vec<Difference> =
        [0.5, 0.8].iter().filter_map(|&l| Difference::of(&runs.differences("M-DYR-H", "M-DYR-S", l, last))).collect();
    let [middle, high] = &differences[..] else { return not_tested(claim, "no paired runs") };
    let verdict = match (middle.verdict(), high.verdict()) {
        (Verdict::Supported, Verdict::Supported) => Verdict::Supported,
        (Verdict::Refuted, Verdict::Refuted) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let reason = format!("{} at 50 %, {} at 80 %.", points(middle.interval.estimate), points(high.interval.estimate));
    decided(claim, verdict, high.interval, high.seeds, &runs.scope, reason)
}

fn regulariser_needed(runs: &Runs, gate: &Result<String, String>) -> Claim {
    let claim = open(
        "LC8",
        "At high noise the network predicts one class unless the regulariser is there",
        "section 3.3",
        "80 %: largest share of predictions of one class higher without R by two paired standard errors and 5 points; refuted below 1 point",
        "not reported",
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    let Some(more) = Difference::of(&runs.differences("M-DY-H", "M-DYR-H", 0.8, |s| s.largest_class)) else {
        return not_tested(claim, "no paired runs with and without the regulariser");
    };
    let share = more.interval.estimate;
    let verdict = match (more.errors > 2. && share >= 0.05, share < 0.01) {
        (true, _) => Verdict::Supported,
        (_, true) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let gain = mean(&runs.differences("M-DYR-H", "M-DY-H", 0.8, last));
    let largest = mean(&runs.values("M-DY-H", 0.8, |s| s.largest_class));
    let alone = mean(&runs.differences("M-R", "M", 0.8, last));
    let reason = format!(
        "Largest share {largest:.2} without it; with it the last accuracy is {} higher; the regulariser alone gives mixup {}.",
        points(gain),
        points(alone)
    );
    decided(claim, verdict, more.interval, more.seeds, &runs.scope, reason)
}

fn extreme(runs: &Runs, gate: &Result<String, String>, reported: &Reported) -> Claim {
    let claim = open(
        "LC9",
        "At 90 % the method fails, and dynamic mixup with soft-to-hard bootstrapping repairs it",
        "Tables 3, 4",
        "last accuracy of MD-DYR-SH above that of M-DYR-H by two paired standard errors at 90 %; refuted if not above",
        format!(
            "M-DYR-H {}; MD-DYR-SH {}",
            in_words(reported, "M-DYR-H", &[0.9]),
            in_words(reported, "MD-DYR-SH", &[0.9])
        ),
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    let Some(gain) = Difference::of(&runs.differences("MD-DYR-SH", "M-DYR-H", 0.9, last)) else {
        return not_tested(claim, "no paired runs at 90 %");
    };
    let [own, other] = ["M-DYR-H", "MD-DYR-SH"].map(|m| mean(&runs.values(m, 0.9, last)));
    if own < 0.15 && other < 0.15 {
        return not_tested(claim, "both are at chance: too few right labels are left");
    }
    let plain = mean(&runs.values("M", 0.9, last));
    let reason = format!(
        "Last accuracy {:.1} % (M-DYR-H), {:.1} % (MD-DYR-SH), {:.1} % (mixup).",
        100. * own,
        100. * other,
        100. * plain
    );
    decided(claim, gain.verdict(), gain.interval, gain.seeds, &runs.scope, reason)
}

fn price_when_clean(runs: &Runs, gate: &Result<String, String>, reported: &Reported) -> Claim {
    let claim = open(
        "LC10",
        "With clean labels the method loses to mixup alone",
        "Table 4",
        "last accuracy of M-DYR-H below mixup's by two paired standard errors at 0 %; refuted if not below",
        format!(
            "mixup {}; M-DYR-H {}",
            in_words(reported, "Zhang2018-mixup", &[0.]),
            in_words(reported, "M-DYR-H", &[0.])
        ),
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    match Difference::of(&runs.differences("M", "M-DYR-H", 0., last)) {
        None => not_tested(claim, "no paired runs with clean labels"),
        Some(price) => {
            let reason = "The estimate is what mixup alone has more.".to_string();
            decided(claim, price.verdict(), price.interval, price.seeds, &runs.scope, reason)
        }
    }
}

fn noise_rate_unused(runs: &Runs, gate: &Result<String, String>) -> Claim {
    let claim = open(
        "LC13",
        "The noise rate need not be known: the mixture's share of high losses follows it",
        "section 3.1",
        "the share after the last epoch at the high rate rises with every noise level; refuted if it spans less than 0.05",
        "not reported",
    );
    if let Err(why) = gate {
        return not_tested(claim, why.clone());
    }
    let levels = runs.levels("M-DYR-H");
    let share = |level: f64| runs.interval("M-DYR-H", level, |s| s.noisy_share.unwrap_or(f64::NAN));
    let shares: Vec<(f64, Interval, f64)> =
        levels.iter().filter_map(|&l| Some((l, share(l)?, mean(&runs.values("M-DYR-H", l, |s| s.realised))))).collect();
    if shares.len() < 3 {
        return not_tested(claim, "fewer than three noise levels have two finished seeds");
    }
    let rises = shares.windows(2).all(|w| w[1].1.estimate > w[0].1.estimate);
    let span = shares.iter().map(|s| s.1.estimate).fold(f64::NEG_INFINITY, f64::max)
        - shares.iter().map(|s| s.1.estimate).fold(f64::INFINITY, f64::min);
    let verdict = match (rises, span < 0.05) {
        (true, _) => Verdict::Supported,
        (_, true) => Verdict::Refuted,
        _ => Verdict::Inconclusive,
    };
    let words: Vec<String> =
        shares.iter().map(|(_, share, wrong)| format!("{:.2} for {wrong:.2}", share.estimate)).collect();
    let middle = &shares[shares.len() / 2];
    let reason = format!("Share of high losses for the realised share of wrong labels: {}.", words.join(", "));
    decided(claim, verdict, middle.1, runs.cells("M-DYR-H", middle.0).len(), &runs.scope, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_numbers_are_there() {
        let reported = reported().unwrap();
        assert_eq!(reported_accuracy(&reported, "M-DYR-H", 0.9), Some((40.8, 9.9)));
        assert_eq!(reported_accuracy(&reported, "MD-DYR-SH", 0.9), Some((69.1, 68.7)));
        assert_eq!(in_words(&reported, "Zhang2018-mixup", &[0.5, 0.8]), "87.1/77.6 at 50 %, 71.6/46.7 at 80 %");
        // From memory: must not be among them.
        assert_eq!(reported.method("M-DYR-S").numbers.len(), 0);
    }

    #[test]
    fn two_standard_errors_decide() {
        let verdict = |values: &[f64]| Difference::of(values).unwrap().verdict();
        assert_eq!(verdict(&[0.1, 0.12, 0.11]), Verdict::Supported);
        assert_eq!(verdict(&[-0.1, 0.02, 0.01]), Verdict::Refuted);
        assert_eq!(verdict(&[0.3, -0.1, 0.05]), Verdict::Inconclusive);
        assert_eq!(verdict(&[0., 0.]), Verdict::Refuted);
        assert!(Difference::of(&[0.1]).is_none());
    }
}
