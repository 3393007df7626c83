//! A verdict on each claim. Every rule stands here in code and follows a protocol that was written before the runs;
//! accuracies are fractions, points are hundredths.
//!
//! Gates come first, seed by seed: a seed that misses one is counted and not averaged in, and a claim of which fewer than
//! three seeds are left is not tested.

use std::collections::BTreeSet;

use retrial_core::results::{Claim, Error, Reported, Results, Verdict, decided, not_tested, open};
use retrial_core::stats::{FEWEST_SEEDS, Interval, mean_t_interval, over_seeds};

use crate::paper::LossCorrection;
use crate::readings::{Arm, Run, Runs};
use crate::train::{Early, Fitness};

/// Memorisation: share of noisy labels that plain training must fit in the end at 50 %, and points that it must lose by it,
/// before anything is said of noise fitting.
const MEMORISED: f64 = 0.9;
const LOST: f64 = 0.05;
/// Separation: AUC of the loss at the end of the warm-up, before anything is said of weights that follow it.
const SEPARATED: f64 = 0.8;
/// mixup must lose so much from its best epoch to its last before others are praised for losing less.
const DROP: f64 = 0.01;
/// A network that gives one class more than this share of its predictions has collapsed.
const COLLAPSED: f64 = 0.5;
/// So near to guessing, as a multiple of its accuracy, nothing has been learnt.
const NEAR_CHANCE: f64 = 1.5;
/// Batches below this are too small for the regulariser, which takes the mean prediction from them.
const LEAST_BATCH: usize = 64;

/// The numbers that the paper reports.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/loss-correction.csv";
    Ok(Reported::parse(FILE, include_str!("../../../data/reported/loss-correction.csv"))?.trusted())
}

/// Best and last test accuracy of a method at a level in Table 4, in per cent.
pub fn reported_accuracy(reported: &Reported, data: &str, method: &str, level: f64) -> Option<(f64, f64)> {
    let rows = reported.method(method).filter(|n| n.dataset == data && n.item == "Table 4");
    let at = |metric: &str| Some(rows.metric(metric).at(100. * level)?.value);
    Some((at("best_test_acc_pct")?, at("last_test_acc_pct")?))
}

/// `87.1/77.6 at 50 %`.
fn in_words(reported: &Reported, data: &str, method: &str, levels: &[f64]) -> String {
    let words = levels.iter().filter_map(|&level| {
        let (best, last) = reported_accuracy(reported, data, method, level)?;
        Some(format!("{best}/{last} at {} %", 100. * level))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn last(run: &Run) -> f64 {
    run.summary.last
}

fn gap(run: &Run) -> f64 {
    run.summary.best - run.summary.last
}

/// Whether one class takes the predictions at the end.
pub fn has_collapsed(run: &Run) -> bool {
    run.summary.largest_class > COLLAPSED
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn points(x: f64) -> String {
    format!("{:.1} points", 100. * x)
}

/// `0.56 to 0.79`.
fn range(values: impl IntoIterator<Item = f64>, words: impl Fn(f64) -> String) -> String {
    let (low, high) = values.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
    if low > high {
        return "unknown".into();
    }
    let (low, high) = (words(low), words(high));
    if low == high { low } else { format!("{low} to {high}") }
}

fn per_cent(x: f64) -> String {
    format!("{:.1}", 100. * x)
}

/// Paired differences: their mean with its 95 % interval, and how many standard errors it lies from zero.
struct Difference {
    interval: Interval,
    errors: f64,
}

impl Difference {
    fn of(values: &[f64]) -> Option<Self> {
        let interval = mean_t_interval(values, 0.95).ok()?;
        let n = values.len() as f64;
        let spread = values.iter().map(|v| (v - interval.estimate).powi(2)).sum::<f64>() / (n - 1.);
        let errors =
            if spread > 0. { interval.estimate / (spread / n).sqrt() } else { interval.estimate * f64::INFINITY };
        Some(Self { interval, errors: if errors.is_nan() { 0. } else { errors } })
    }

    /// Above zero by two paired standard errors: supported; not above zero at all: refuted.
    fn above(&self) -> Verdict {
        Verdict::of(self.errors > 2., self.interval.estimate <= 0.)
    }

    /// Where the claim is of an order: two paired standard errors above zero or below it.
    fn sign(&self) -> Verdict {
        Verdict::of(self.errors > 2., self.errors < -2.)
    }

    /// `+2.63 points [1.05, 4.28] (more than two standard errors)`.
    fn in_words(&self) -> String {
        let (i, clear) = (&self.interval, self.errors.abs() > 2.);
        let errors = if clear { "more than two standard errors" } else { "within two standard errors" };
        format!("{:+.2} points [{:.2}, {:.2}] ({errors})", 100. * i.estimate, 100. * i.low, 100. * i.high)
    }
}

/// All must be supported; one refuted refutes. The estimate shown is the least favourable.
fn all_above(differences: &[Difference]) -> Option<(Verdict, Interval)> {
    let worst = differences.iter().min_by(|a, b| a.interval.estimate.total_cmp(&b.interval.estimate))?;
    let verdicts: Vec<Verdict> = differences.iter().map(Difference::above).collect();
    let verdict = if verdicts.contains(&Verdict::Refuted) {
        Verdict::Refuted
    } else if verdicts.iter().all(|v| *v == Verdict::Supported) {
        Verdict::Supported
    } else {
        Verdict::Inconclusive
    };
    Some((verdict, worst.interval))
}

/// The memorisation gate for a seed.
fn memorises(runs: &Runs, seed: u64) -> bool {
    let plain = runs.run("CE", 0.5, seed);
    plain.is_some_and(|run| run.summary.given_accuracy > MEMORISED && gap(run) >= LOST)
}

/// The separation gate for a run. It holds for methods that weigh by the loss; without wrong labels there is nothing to
/// separate.
fn separates(run: &Run) -> bool {
    let (method, s) = (&run.config.method, &run.summary);
    !method.weighs_by_loss() || s.realised == 0. || s.auc_warm_up.is_some_and(|auc| auc > SEPARATED)
}

/// `5 of 5 seeds passed the gates`, and what those show that did not.
fn gates_in_words(runs: &Runs, arms: &[Arm], finished: &BTreeSet<u64>, passed: &BTreeSet<u64>) -> String {
    let mut words = format!("{} of {} seeds passed the gates", passed.len(), finished.len());
    if !finished.iter().all(|&seed| memorises(runs, seed)) {
        let plain = || finished.iter().filter_map(|&seed| runs.run("CE", 0.5, seed));
        words += &match plain().count() {
            0 => "; no run of plain training at 50 % has finished".to_string(),
            _ => format!(
                "; plain training at 50 % fits {} % of the noisy labels and loses {} points from best to last",
                range(plain().map(|run| run.summary.given_accuracy), per_cent),
                range(plain().map(gap), per_cent)
            ),
        };
    }
    let mixed = |&(method, level): &Arm| {
        let own = || finished.iter().filter_map(|&seed| runs.run(method, level, seed));
        let areas = || range(own().map(|run| run.summary.auc_warm_up.unwrap_or(f64::NAN)), |x| format!("{x:.2}"));
        (!own().all(separates)).then(|| format!("{} ({method} at {} %)", areas(), 100. * level))
    };
    let mixed: Vec<String> = arms.iter().filter_map(mixed).collect();
    if !mixed.is_empty() {
        words += &format!("; AUC of the loss at the end of the warm-up: {}", mixed.join(", "));
    }
    words
}

/// The claim judged by `rule` on the seeds that finished all `arms` and passed the gates; `seen` tells in numbers what the
/// runs show, judged or not. A rule returns why it cannot judge.
fn judge(
    claim: Claim,
    runs: &Runs,
    arms: &[Arm],
    seen: impl Fn(&Runs) -> String,
    rule: impl FnOnce(&Runs) -> Result<(Verdict, Interval), String>,
) -> Claim {
    let finished = runs.seeds(arms);
    if finished.is_empty() {
        let arms: Vec<String> = arms.iter().map(|(method, level)| format!("{method} at {} %", 100. * level)).collect();
        return not_tested(claim, format!("no seed has finished all of {}", arms.join(", ")));
    }
    let memorised = finished.iter().copied().filter(|&seed| memorises(runs, seed));
    let passed: BTreeSet<u64> = memorised
        .filter(|&seed| arms.iter().all(|&(method, level)| runs.run(method, level, seed).is_some_and(separates)))
        .collect();
    let gates = gates_in_words(runs, arms, &finished, &passed);
    if passed.len() < FEWEST_SEEDS {
        let missed = if passed.len() < finished.len() { "gate missed: " } else { "" };
        let seen = seen(&runs.only(&finished));
        return not_tested(claim, format!("{missed}{gates}. A verdict needs {FEWEST_SEEDS}. Seen, not judged: {seen}"));
    }
    let left = runs.only(&passed);
    match rule(&left) {
        Ok((verdict, interval)) => {
            decided(claim, verdict, interval, passed.len(), &runs.scope(), format!("{} {gates}.", seen(&left)))
        }
        Err(why) => not_tested(claim, format!("{why}; {gates}")),
    }
}

/// A verdict on each of the paper's claims, on the first data set of the profile; the headline again on the others.
pub fn claims(results: &Results<LossCorrection>) -> Result<Vec<Claim>, Error> {
    let (reported, groups) = (reported()?, Runs::groups(results)?);
    let Some((runs, others)) = groups.split_first() else { return Ok(vec![]) };
    let others: Vec<(&Runs, String)> =
        others.iter().filter(|g| g.methods().contains("M")).map(|g| (g, format!("-{}", g.name()))).collect();
    let mut claims = vec![
        early_separation(runs),
        beta_fits_better(runs),
        static_fails(runs, &reported),
        dynamic_helps(runs),
        both_beat_mixup("LC5", runs, &reported),
    ];
    claims.extend(others.iter().map(|(g, suffix)| both_beat_mixup(&format!("LC5{suffix}"), g, &reported)));
    claims.push(no_degradation("LC6", runs, &reported));
    claims.extend(others.iter().map(|(g, suffix)| no_degradation(&format!("LC6{suffix}"), g, &reported)));
    claims.extend([
        hard_beats_soft(runs),
        regulariser_needed(runs),
        extreme(runs, &reported),
        price_when_clean(runs, &reported),
        not_tested(
            open(
                "LC11",
                "State of the art with a common network and 300 epochs",
                "Table 4",
                "",
                "false at 20 % for best: mixup 95.6, M-DYR-H 94.0",
            ),
            if runs.is_full_scale() {
                "forward correction, one of the table's methods, is not among ours"
            } else {
                "accuracies of small runs cannot be compared with the table; only order and shape can"
            },
        ),
        not_tested(
            open(
                "LC12",
                "The approach transfers to TinyImageNet and other architectures",
                "abstract; Tables 5, 6",
                "",
                String::new(),
            ),
            "neither the numbers nor the settings are available",
        ),
        noise_rate_unused(runs),
    ]);
    Ok(claims)
}

fn early_separation(runs: &Runs) -> Claim {
    // AUC that is enough and AUC that is not, and how many times larger the median loss of wrong labels must be.
    let (least, most, times) = if runs.is_full_scale() { (0.85, 0.7, 1.5) } else { (SEPARATED, 0.65, 1.) };
    let claim = open(
        "LC1",
        "While training is young, losses on wrong labels are larger; later both vanish",
        "section 3; Fig. 1",
        &format!(
            "80 % noise: AUC of the loss, mean over the published epochs 5 to 25 of 300 in proportion, above {least} and \
             lower at the end; refuted below {most}"
        ),
        "AUC not reported",
    );
    let of = |runs: &Runs, value: fn(&Run) -> f64| mean(&runs.values("CE", 0.8, value));
    let seen = |runs: &Runs| {
        let young = runs.of("CE", 0.8)[0].config.young();
        format!(
            "AUC {:.3} on average over epochs {} to {}, where the median loss of wrong labels is {:.2} times that of right \
             ones; {:.3} at the end, where both medians are below {:.2} nats.",
            of(runs, young_auc),
            young.start(),
            young.end(),
            of(runs, young_ratio),
            of(runs, last_auc),
            (100. * of(runs, last_wrong_median)).ceil() / 100.,
        )
    };
    judge(claim, runs, &[("CE", 0.8)], seen, |runs| {
        let young = runs.interval("CE", 0.8, young_auc).ok_or("an epoch has no AUC")?;
        let falls = of(runs, last_auc) < young.estimate;
        let verdict = Verdict::of(young.above(least) && falls && of(runs, young_ratio) >= times, young.estimate < most);
        Ok((verdict, young))
    })
}

/// Mean AUC of the loss while training is young.
fn young_auc(run: &Run) -> f64 {
    let young = run.config.young();
    let own = run.epochs.iter().filter(|row| young.contains(&row.epoch));
    mean(&own.map(|row| row.auc.unwrap_or(f64::NAN)).collect::<Vec<_>>())
}

/// Median loss of wrong labels over that of right ones, mean while training is young.
fn young_ratio(run: &Run) -> f64 {
    let young = run.config.young();
    let own = run.epochs.iter().filter(|row| young.contains(&row.epoch));
    mean(&own.map(|row| row.wrong_median.unwrap_or(f64::NAN) / row.right_median).collect::<Vec<_>>())
}

fn last_auc(run: &Run) -> f64 {
    run.summary.auc_last.unwrap_or(f64::NAN)
}

fn last_wrong_median(run: &Run) -> f64 {
    run.epochs.last().and_then(|row| row.wrong_median).unwrap_or(f64::NAN)
}

/// Judged where the paper compares mixtures, so the gate on separation is of the losses there. Noise need not be fitted yet.
fn beta_fits_better(runs: &Runs) -> Claim {
    let claim = open(
        "LC2",
        "A beta mixture describes the losses better than a Gaussian mixture",
        "section 3.1; Fig. 2",
        "50 % noise, the published epoch 10 of 300 in proportion, samples not fitted: log-likelihood higher and log-loss of the posterior lower in every seed; refuted if the reverse holds in every seed",
        "not reported as numbers",
    );
    let all = runs.of("CE", 0.5);
    let early: Vec<Early> = all.iter().filter_map(|run| run.summary.early).collect();
    let Some(epoch) = early.first().map(|e| e.epoch).filter(|_| early.len() >= FEWEST_SEEDS) else {
        let (n, all) = (early.len(), all.len());
        let why = format!(
            "{n} of {all} runs of plain training at 50 % hold both fits of the early epoch where the paper compares them; a \
             verdict needs {FEWEST_SEEDS}, trained since these fits are kept"
        );
        return not_tested(claim, why);
    };
    let separated = |e: &&Early| e.auc.is_some_and(|auc| auc > SEPARATED);
    let fitted: Vec<_> = early.iter().filter(separated).filter_map(|e| Some((e.beta?, e.gaussian?))).collect();
    let told: Vec<_> = fitted.iter().copied().filter(|(beta, _)| !beta.is_flat && !beta.is_identity).collect();
    let gates = format!(
        "{} of {} seeds passed the gates at epoch {epoch}: AUC of the loss {}, the beta posterior is flat in {} and the \
         normalised loss itself in {}",
        told.len(),
        early.len(),
        range(early.iter().map(|e| e.auc.unwrap_or(f64::NAN)), |x| format!("{x:.2}")),
        fitted.iter().filter(|(beta, _)| beta.is_flat).count(),
        fitted.iter().filter(|(beta, _)| beta.is_identity).count(),
    );
    let seen = |fits: &[(Fitness, Fitness)]| {
        let both = |value: fn(&Fitness) -> f64| {
            let of = |fit: fn(&(Fitness, Fitness)) -> &Fitness| fits.iter().map(fit).map(value).collect::<Vec<_>>();
            [mean(&of(|pair| &pair.0)), mean(&of(|pair| &pair.1))]
        };
        let [likely, loss, ks, right] =
            [|f: &Fitness| f.log_likelihood, |f: &Fitness| f.log_loss, |f: &Fitness| f.ks, |f: &Fitness| f.accuracy]
                .map(both);
        format!(
            "log-likelihood {:.3} (beta) and {:.3} nats a sample (Gaussian), log-loss of the posterior {:.3} and {:.3}, \
             Kolmogorov-Smirnov distance {:.3} and {:.3}, labels told rightly at one half {:.1} % and {:.1} %.",
            likely[0],
            likely[1],
            loss[0],
            loss[1],
            ks[0],
            ks[1],
            100. * right[0],
            100. * right[1],
        )
    };
    let gains: Vec<f64> = told.iter().map(|(beta, gaussian)| beta.log_likelihood - gaussian.log_likelihood).collect();
    let Some(gain) = over_seeds(&gains) else {
        let why = format!("gate missed: {gates}. A verdict needs {FEWEST_SEEDS}. Seen, not judged: {}", seen(&fitted));
        return not_tested(claim, why);
    };
    let better = told.iter().all(|(b, g)| b.log_likelihood > g.log_likelihood && b.log_loss < g.log_loss);
    let worse = told.iter().all(|(b, g)| b.log_likelihood < g.log_likelihood && b.log_loss > g.log_loss);
    let verdict = Verdict::of(better, worse);
    let reason = format!("The estimate is the gain in log-likelihood. On samples not fitted: {} {gates}.", seen(&told));
    decided(claim, verdict, gain, told.len(), &runs.scope(), reason)
}

fn static_fails(runs: &Runs, reported: &Reported) -> Claim {
    let claim = open(
        "LC3",
        "Static bootstrapping does not stop noise fitting",
        "section 3.2; Tables 1, 4",
        "last accuracy of hard static bootstrapping within 3 points of plain training at 50 and 80 %; refuted if 8 points better at one",
        in_words(reported, runs.in_paper(), "Reed2015-static-bootstrapping", &[0.5, 0.8]),
    );
    let gain = |runs: &Runs, level: f64| runs.differences("ST-H", "CE", level, last);
    let seen = |runs: &Runs| {
        format!(
            "{:+.1} points at 50 %, {:+.1} at 80 % against plain training; it still falls by {} from best to last at 80 %.",
            100. * mean(&gain(runs, 0.5)),
            100. * mean(&gain(runs, 0.8)),
            points(mean(&runs.values("ST-H", 0.8, gap)))
        )
    };
    let arms = [("ST-H", 0.5), ("CE", 0.5), ("ST-H", 0.8), ("CE", 0.8)];
    judge(claim, runs, &arms, seen, |runs| {
        let gains = [0.5, 0.8].map(|level| mean_t_interval(&gain(runs, level), 0.95));
        let [Ok(middle), Ok(high)] = gains else { return Err("an accuracy is no number".into()) };
        let size = |i: &Interval| i.estimate.abs();
        let verdict = Verdict::of(size(&middle).max(size(&high)) <= 0.03, middle.estimate.max(high.estimate) > 0.08);
        Ok((verdict, if size(&middle) > size(&high) { middle } else { high }))
    })
}

fn dynamic_helps(runs: &Runs) -> Claim {
    let claim = open(
        "LC4",
        "Dynamic hard bootstrapping beats plain training and static bootstrapping at the end",
        "Table 1",
        "last accuracy higher by two paired standard errors than both, at 50 and 80 %; refuted if not higher somewhere",
        "numbers not available",
    );
    let pairs = [("CE", 0.5), ("CE", 0.8), ("ST-H", 0.5), ("ST-H", 0.8)];
    let seen = |runs: &Runs| {
        let over = |&(other, level): &Arm| {
            format!(
                "{} over {other} at {} %",
                points(mean(&runs.differences("DY-H", other, level, last))),
                100. * level
            )
        };
        let mut words = pairs.iter().map(over).collect::<Vec<_>>().join(", ");
        let soft = [0.5, 0.8].map(|level| mean(&runs.differences("DY-H", "DY-S", level, last)));
        if soft.iter().all(|d| d.is_finite()) {
            let [middle, high] = soft.map(|d| 100. * d);
            words +=
                &format!("; the hard form has {middle:+.1} points against the soft one at 50 %, {high:+.1} at 80 %");
        }
        words + "."
    };
    let arms = [("DY-H", 0.5), ("DY-H", 0.8), pairs[0], pairs[1], pairs[2], pairs[3]];
    judge(claim, runs, &arms, seen, |runs| {
        let over = |&(other, level): &Arm| Difference::of(&runs.differences("DY-H", other, level, last));
        let differences: Option<Vec<Difference>> = pairs.iter().map(over).collect();
        all_above(&differences.ok_or("an accuracy is no number")?).ok_or("nothing to compare".into())
    })
}

fn both_beat_mixup(id: &str, runs: &Runs, reported: &Reported) -> Claim {
    // At the paper's own scale 20 points on CIFAR-10.
    let least = if runs.is_full_scale() && runs.in_paper() == "CIFAR-10" { 0.2 } else { 0. };
    let claim = open(
        id,
        "mixup with dynamic hard bootstrapping and regulariser far exceeds mixup alone at high noise",
        "Tables 2, 4",
        &format!(
            "last accuracy higher by two paired standard errors at 80 %; refuted if not higher{}",
            if least > 0. { " by 20 points" } else { "" }
        ),
        format!(
            "mixup {}; M-DYR-H {}",
            in_words(reported, runs.in_paper(), "Zhang2018-mixup", &[0.8]),
            in_words(reported, runs.in_paper(), "M-DYR-H", &[0.8])
        ),
    );
    let against = |runs: &Runs, one: &str, level: f64| Difference::of(&runs.differences(one, "M-DYR-H", level, last));
    let seen = |runs: &Runs| {
        let mut words = format!(
            "{} at 80 %, {} at 50 %; mixup alone loses {} from best to last at 80 %.",
            points(mean(&runs.differences("M-DYR-H", "M", 0.8, last))),
            points(mean(&runs.differences("M-DYR-H", "M", 0.5, last))),
            points(mean(&runs.values("M", 0.8, gap)))
        );
        let weights = [
            ("M-DYR-H+loss", "the normalised loss itself"),
            ("M-DYR-H+gaussian", "a Gaussian mixture"),
            ("M-DYR-H+oracle", "the truth"),
        ];
        let others: Vec<String> = weights
            .iter()
            .filter_map(|(method, name)| Some(format!("{name} {}", against(runs, method, 0.8)?.in_words())))
            .collect();
        if !others.is_empty() {
            words += &format!(" Other weights than the beta mixture's at 80 %: {}.", others.join(", "));
        }
        words
    };
    judge(claim, runs, &[("M", 0.8), ("M-DYR-H", 0.8)], seen, |runs| {
        let drop = mean(&runs.values("M", 0.8, gap));
        if drop < DROP {
            return Err(format!("mixup alone loses only {} from best to last at 80 %", points(drop)));
        }
        let gain = Difference::of(&runs.differences("M-DYR-H", "M", 0.8, last)).ok_or("an accuracy is no number")?;
        let enough = gain.interval.estimate >= least;
        Ok((if enough { gain.above() } else { Verdict::Refuted }, gain.interval))
    })
}

fn no_degradation(id: &str, runs: &Runs, reported: &Reported) -> Claim {
    let claim = open(
        id,
        "The method does not degrade: last is close to best",
        "Table 2",
        "best minus last at most a third of mixup's, at 50 and 80 %; refuted if larger than mixup's at one",
        in_words(reported, runs.in_paper(), "M-DYR-H", &[0.5, 0.8]),
    );
    let of = |runs: &Runs, method: &str, level: f64| mean(&runs.values(method, level, gap));
    let seen = |runs: &Runs| {
        let words = [0.5, 0.8].map(|level| {
            let (own, mixup) = (of(runs, "M-DYR-H", level), of(runs, "M", level));
            format!("{} at {} % against mixup's {}", points(own), 100. * level, points(mixup))
        });
        format!("Best minus last: {}.", words.join(", "))
    };
    let arms = [("M", 0.5), ("M-DYR-H", 0.5), ("M", 0.8), ("M-DYR-H", 0.8)];
    judge(claim, runs, &arms, seen, |runs| {
        if let Some(level) = [0.5, 0.8].into_iter().find(|&level| of(runs, "M", level) < DROP) {
            return Err(format!("mixup alone loses only {} at {} %", points(of(runs, "M", level)), 100. * level));
        }
        let share = |level: f64| of(runs, "M-DYR-H", level) / of(runs, "M", level);
        let worst = if share(0.5) > share(0.8) { 0.5 } else { 0.8 };
        let verdict = match share(worst) {
            share if share > 1. => Verdict::Refuted,
            share if share <= 1. / 3. => Verdict::Supported,
            _ => Verdict::Inconclusive,
        };
        Ok((verdict, runs.interval("M-DYR-H", worst, gap).ok_or("an accuracy is no number")?))
    })
}

fn hard_beats_soft(runs: &Runs) -> Claim {
    let claim = open(
        "LC7",
        "With mixup, hard bootstrapping beats soft",
        "Table 2",
        "last accuracy of M-DYR-H above that of M-DYR-S by two paired standard errors at 50 and 80 %; refuted if not above at both",
        "soft not available; hard 92.0/91.9 at 50 %, 86.8/86.6 at 80 %",
    );
    let of = |runs: &Runs, level: f64| runs.differences("M-DYR-H", "M-DYR-S", level, last);
    let seen =
        |runs: &Runs| format!("{} at 50 %, {} at 80 %.", points(mean(&of(runs, 0.5))), points(mean(&of(runs, 0.8))));
    let arms = [("M-DYR-H", 0.5), ("M-DYR-S", 0.5), ("M-DYR-H", 0.8), ("M-DYR-S", 0.8)];
    judge(claim, runs, &arms, seen, |runs| {
        let [Some(middle), Some(high)] = [0.5, 0.8].map(|level| Difference::of(&of(runs, level))) else {
            return Err("an accuracy is no number".into());
        };
        let verdict = match (middle.above(), high.above()) {
            (Verdict::Supported, Verdict::Supported) => Verdict::Supported,
            (Verdict::Refuted, Verdict::Refuted) => Verdict::Refuted,
            _ => Verdict::Inconclusive,
        };
        Ok((verdict, high.interval))
    })
}

fn regulariser_needed(runs: &Runs) -> Claim {
    let claim = open(
        "LC8",
        "At high noise the network predicts one class unless the regulariser is there",
        "section 3.3",
        "80 %, without R: one class has more than half of the predictions, or accuracy is near chance, in most seeds; with R in none; largest share higher by two paired standard errors. Refuted if the share is less than 1 point higher",
        "not reported",
    );
    let fell = |run: &Run| has_collapsed(run) || last(run) < NEAR_CHANCE * runs.chance();
    let count = |runs: &Runs, method: &str| runs.of(method, 0.8).into_iter().filter(|run| fell(run)).count();
    let largest = |run: &Run| run.summary.largest_class;
    let seen = |runs: &Runs| {
        let n = runs.seeds(&[("M-DY-H", 0.8), ("M-DYR-H", 0.8)]).len();
        let mut words = format!(
            "Largest share {} without it; {} of {n} seeds collapse without it, {} with it; with it the last accuracy is {} \
             higher",
            range(runs.values("M-DY-H", 0.8, largest), |x| format!("{x:.2}")),
            count(runs, "M-DY-H"),
            count(runs, "M-DYR-H"),
            points(mean(&runs.differences("M-DYR-H", "M-DY-H", 0.8, last))),
        );
        let alone = mean(&runs.differences("M-R", "M", 0.8, last));
        if alone.is_finite() {
            words += &format!("; the regulariser alone gives mixup {}", points(alone));
        }
        words + "."
    };
    judge(claim, runs, &[("M-DY-H", 0.8), ("M-DYR-H", 0.8)], seen, |runs| {
        let batch = runs.of("M-DY-H", 0.8)[0].config.batch;
        if batch < LEAST_BATCH {
            return Err(format!("batches of {batch} are too small for a mean prediction"));
        }
        let more = runs.differences("M-DY-H", "M-DYR-H", 0.8, largest);
        let more = Difference::of(&more).ok_or("a share is no number")?;
        let most = count(runs, "M-DY-H") * 2 > runs.of("M-DY-H", 0.8).len();
        let verdict =
            Verdict::of(most && count(runs, "M-DYR-H") == 0 && more.errors > 2., more.interval.estimate < 0.01);
        Ok((verdict, more.interval))
    })
}

fn extreme(runs: &Runs, reported: &Reported) -> Claim {
    let full = runs.is_full_scale();
    let claim = open(
        "LC9",
        "At 90 % the method fails, and dynamic mixup with soft-to-hard bootstrapping repairs it",
        "Tables 3, 4",
        &format!(
            "last accuracy of MD-DYR-SH above that of M-DYR-H by two paired standard errors at 90 %; refuted if below by as \
             much{}",
            if full { ", if M-DYR-H ends above 50 %, or if MD-DYR-SH ends below" } else { "" }
        ),
        format!(
            "M-DYR-H {}; MD-DYR-SH {}",
            in_words(reported, runs.in_paper(), "M-DYR-H", &[0.9]),
            in_words(reported, runs.in_paper(), "MD-DYR-SH", &[0.9])
        ),
    );
    let of = |runs: &Runs, method: &str| mean(&runs.values(method, 0.9, last));
    let seen = |runs: &Runs| {
        format!(
            "Last accuracy {:.1} % (M-DYR-H), {:.1} % (MD-DYR-SH), {:.1} % (mixup); one class takes more than half of \
             MD-DYR-SH's predictions in {} of {} seeds.",
            100. * of(runs, "M-DYR-H"),
            100. * of(runs, "MD-DYR-SH"),
            100. * of(runs, "M"),
            runs.of("MD-DYR-SH", 0.9).into_iter().filter(|run| has_collapsed(run)).count(),
            runs.of("MD-DYR-SH", 0.9).len(),
        )
    };
    judge(claim, runs, &[("M-DYR-H", 0.9), ("MD-DYR-SH", 0.9)], seen, |runs| {
        let (own, other) = (of(runs, "M-DYR-H"), of(runs, "MD-DYR-SH"));
        if own.max(other) < NEAR_CHANCE * runs.chance() {
            return Err("both are at chance: too few right labels are left".into());
        }
        let gain = runs.differences("MD-DYR-SH", "M-DYR-H", 0.9, last);
        let gain = Difference::of(&gain).ok_or("an accuracy is no number")?;
        let verdict = if full && (own > 0.5 || other < 0.5) { Verdict::Refuted } else { gain.sign() };
        Ok((verdict, gain.interval))
    })
}

fn price_when_clean(runs: &Runs, reported: &Reported) -> Claim {
    let claim = open(
        "LC10",
        "With clean labels the method loses to mixup alone",
        "Table 4",
        "last accuracy of M-DYR-H below mixup's by two paired standard errors at 0 %; refuted if above by as much",
        format!(
            "mixup {}; M-DYR-H {}",
            in_words(reported, runs.in_paper(), "Zhang2018-mixup", &[0.]),
            in_words(reported, runs.in_paper(), "M-DYR-H", &[0.])
        ),
    );
    let seen = |runs: &Runs| {
        let mut words = "The estimate is what mixup alone has more.".to_string();
        let other = runs.of("MD-DYR-SH", 0.);
        if !other.is_empty() {
            words += &format!(
                " The variant for extreme noise, MD-DYR-SH, ends at {} % after {} % at its best: in {} of {} seeds one class \
                 takes more than half of the predictions.",
                range(other.iter().map(|run| last(run)), per_cent),
                range(other.iter().map(|run| run.summary.best), per_cent),
                other.iter().filter(|run| has_collapsed(run)).count(),
                other.len(),
            );
        }
        words
    };
    judge(claim, runs, &[("M", 0.), ("M-DYR-H", 0.)], seen, |runs| {
        let price = Difference::of(&runs.differences("M", "M-DYR-H", 0., last)).ok_or("an accuracy is no number")?;
        Ok((price.sign(), price.interval))
    })
}

/// Judged seed by seed over the levels whose runs passed the gates, three at least.
fn noise_rate_unused(runs: &Runs) -> Claim {
    const LEVELS: usize = 3;
    const METHOD: &str = "M-DYR-H";
    let claim = open(
        "LC13",
        "The noise rate need not be known: the mixture's share of high losses follows it",
        "section 3.1",
        "in every seed the share after the last epoch at the high rate rises with every noise level, of three at least; refuted if it spans less than 0.05 in every seed",
        "not reported",
    );
    let levels = runs.levels(METHOD);
    let all: Vec<&Run> = levels.iter().flat_map(|&level| runs.of(METHOD, level)).collect();
    let gated = |run: &Run| !memorises(runs, run.config.seed) || !separates(run);
    let (missed, left): (Vec<&Run>, Vec<&Run>) = all.iter().partition(|run| gated(run));
    let (empty, told): (Vec<&Run>, Vec<&Run>) = left.into_iter().partition(|run| says_nothing(run));
    let mut missed_levels: Vec<String> = missed.iter().map(|run| format!("{} %", 100. * run.config.level)).collect();
    missed_levels.dedup();
    let mut gates = format!(
        "Of {} runs {} missed a gate{}, and the posterior of {} was the normalised loss itself.",
        all.len(),
        missed.len(),
        if missed.is_empty() { String::new() } else { format!(" (at {})", missed_levels.join(", ")) },
        empty.len(),
    );
    let separated = missed.iter().filter(|run| !separates(run)).map(|run| run.summary.auc_warm_up.unwrap_or(f64::NAN));
    if separated.clone().count() > 0 {
        let areas = range(separated, |x| format!("{x:.2}"));
        gates += &format!(" AUC of the loss of those at the end of the warm-up: {areas}.");
    }
    let seeds: BTreeSet<u64> = told.iter().map(|run| run.config.seed).collect();
    // The shares of each seed, by rising level.
    let share = |run: &&&Run| run.summary.noisy_share.unwrap_or(f64::NAN);
    let of = |seed: u64| -> Vec<f64> { told.iter().filter(|run| run.config.seed == seed).map(|r| share(&r)).collect() };
    let by_seed: Vec<Vec<f64>> = seeds.into_iter().map(of).filter(|shares| shares.len() >= LEVELS).collect();
    if by_seed.len() < FEWEST_SEEDS {
        let n = by_seed.len();
        return not_tested(
            claim,
            format!("{n} seeds have {LEVELS} levels to compare, {FEWEST_SEEDS} are needed. {gates}"),
        );
    }
    let spans: Vec<f64> = by_seed.iter().map(|shares| shares[shares.len() - 1] - shares[0]).collect();
    let Ok(span) = mean_t_interval(&spans, 0.95) else { return not_tested(claim, "a share is no number") };
    let rises = |shares: &&Vec<f64>| shares.windows(2).all(|pair| pair[1] > pair[0]);
    let wide = |shares: &[f64]| {
        let (low, high) = shares.iter().fold((1f64, 0f64), |(l, h), &x| (l.min(x), h.max(x)));
        high - low >= 0.05
    };
    let rising = by_seed.iter().filter(rises).count();
    let all_rise = rising == by_seed.len();
    let verdict = Verdict::of(all_rise, !all_rise && !by_seed.iter().any(|shares| wide(shares)));
    let at = |&level: &f64| {
        let own: Vec<&&Run> = told.iter().filter(|run| run.config.level == level).collect();
        let of = |value: fn(&Run) -> f64| mean(&own.iter().map(|run| value(run)).collect::<Vec<_>>());
        let (share, w) =
            (of(|r| r.summary.noisy_share.unwrap_or(f64::NAN)), of(|r| r.summary.mean_posterior.unwrap_or(f64::NAN)));
        (!own.is_empty()).then(|| format!("{share:.2} ({w:.2}) for {:.2}", of(|r| r.summary.realised)))
    };
    let reason = format!(
        "It rises in {rising} of {} seeds; the estimate is the rise from the lowest to the highest level left. Share of high \
         losses (mean posterior) for the realised share of wrong labels: {}. {gates}",
        by_seed.len(),
        levels.iter().filter_map(at).collect::<Vec<_>>().join(", "),
    );
    decided(claim, verdict, span, by_seed.len(), &runs.scope(), reason)
}

/// Whether the posterior was the normalised loss itself after the last epoch at the high rate.
fn says_nothing(run: &Run) -> bool {
    let row = run.epochs.iter().find(|row| row.epoch == run.config.phases.high);
    row.and_then(|row| row.beta()).is_some_and(|beta| beta.is_identity(run.config.rule))
}

#[cfg(test)]
mod tests {
    use retrial_core::data::DatasetId;
    use retrial_core::experiment::Profile;

    use super::*;
    use crate::config::{Config, Method, Noise, Weighting};
    use crate::train::{Epoch, Summary};

    /// A run of digits whose loss separates and that loses 20 points from best to last.
    fn run(method: Method, level: f64, seed: u64, last: f64) -> Run {
        let some = crate::experiments::grid(Profile::Standard, Some(1))[0].cells[0].clone();
        let config = Config { method, level, seed, ..some };
        let row = |epoch: usize| {
            let auc = if config.young().contains(&epoch) { 0.9 } else { 0.6 };
            Epoch { epoch, auc: Some(auc), right_median: 1., wrong_median: Some(2.), ..Epoch::default() }
        };
        let summary = Summary {
            realised: 0.9 * level,
            steps: 1,
            best: last + 0.2,
            last,
            mean_of_last: last,
            given_accuracy: 1.,
            auc_high: Some(0.9),
            auc_warm_up: Some(0.9),
            auc_last: Some(0.6),
            noisy_share: Some(0.1 + 0.5 * level),
            mean_posterior: Some(0.1 + 0.5 * level),
            early: None,
            largest_class: 0.12,
            warnings: 0,
        };
        let epochs = (1..=config.epochs).map(row).collect();
        Run { config, summary, epochs, histogram: vec![], calibration: vec![] }
    }

    /// Last accuracies of arms by seed, beside plain training that memorises.
    fn made<const N: usize>(arms: &[(Method, f64, [f64; N])]) -> Runs {
        let mut runs = Runs::new(DatasetId::Mnist, Noise::AllClasses, Profile::Standard);
        let plain = [(Method::CE, 0.5, [0.5; N])];
        for (method, level, values) in plain.iter().chain(arms) {
            for (seed, last) in values.iter().enumerate() {
                runs.insert(run(*method, *level, seed as u64, *last));
            }
        }
        runs
    }

    /// The same with something changed in every run of an arm.
    fn changed(runs: &Runs, method: &str, level: f64, change: impl Fn(&mut Run)) -> Runs {
        let mut runs = runs.clone();
        let own: Vec<Run> = runs.of(method, level).into_iter().cloned().collect();
        for mut run in own {
            change(&mut run);
            runs.insert(run);
        }
        runs
    }

    fn is_open(claim: &Claim, words: &str) -> bool {
        matches!(&claim.verdict, Verdict::NotTested(why) if why.contains(words))
    }

    #[test]
    fn the_papers_numbers_are_there() {
        let reported = reported().unwrap();
        assert_eq!(reported_accuracy(&reported, "CIFAR-10", "M-DYR-H", 0.9), Some((40.8, 9.9)));
        assert_eq!(reported_accuracy(&reported, "CIFAR-100", "M-DYR-H", 0.9), Some((12.5, 8.6)));
        let words = in_words(&reported, "CIFAR-10", "Zhang2018-mixup", &[0.5, 0.8]);
        assert_eq!(words, "87.1/77.6 at 50 %, 71.6/46.7 at 80 %");
        // From memory: must not be among them.
        assert_eq!(reported.method("M-DYR-S").numbers.len(), 0);
    }

    #[test]
    fn two_standard_errors_decide() {
        let above = |values: &[f64]| Difference::of(values).unwrap().above();
        let sign = |values: &[f64]| Difference::of(values).unwrap().sign();
        assert_eq!(above(&[0.1, 0.12, 0.11]), Verdict::Supported);
        assert_eq!(above(&[-0.1, 0.02, 0.01]), Verdict::Refuted);
        assert_eq!(above(&[0.3, -0.1, 0.05]), Verdict::Inconclusive);
        assert_eq!((above(&[0., 0.]), sign(&[0., 0.])), (Verdict::Refuted, Verdict::Inconclusive));
        assert_eq!(sign(&[0.1, 0.12, 0.11]), Verdict::Supported);
        assert_eq!(sign(&[-0.1, 0.02, 0.01]), Verdict::Inconclusive);
        assert_eq!(sign(&[-0.1, -0.12, -0.11]), Verdict::Refuted);
        assert!(Difference::of(&[0.1]).is_none());
    }

    /// The fourth seed would turn the verdict, and has not memorised: it is counted and left out.
    #[test]
    fn seeds_that_do_not_memorise_are_left_out() {
        let arms = [(Method::M, 0., [0.96, 0.97, 0.96, 0.5]), (Method::M_DYR_H, 0., [0.94, 0.95, 0.95, 0.9])];
        let (runs, reported) = (made(&arms), reported().unwrap());
        let of = |runs: &Runs| price_when_clean(runs, &reported);
        assert_eq!(of(&runs).verdict, Verdict::Inconclusive);
        let missing = |from: u64, fitted: f64, lost: f64| {
            changed(&runs, "CE", 0.5, |run| {
                if run.config.seed >= from {
                    (run.summary.given_accuracy, run.summary.best) = (fitted, run.summary.last + lost);
                }
            })
        };
        for (fitted, lost) in [(0.89, 0.2), (1., 0.04)] {
            let claim = of(&missing(3, fitted, lost));
            assert_eq!((&claim.verdict, claim.seeds), (&Verdict::Supported, 3));
            assert!(claim.reason.contains("3 of 4 seeds passed the gates"), "{}", claim.reason);
            assert!(is_open(
                &of(&missing(2, fitted, lost)),
                "gate missed: 2 of 4 seeds passed the gates; plain training"
            ));
        }
        assert_eq!(of(&missing(3, 0.91, 0.06)).verdict, Verdict::Inconclusive);
    }

    /// Only methods that weigh by the loss need it to separate, each at its own level.
    #[test]
    fn runs_whose_loss_does_not_separate_are_left_out() {
        let arms = [0.5, 0.8].map(|level| {
            [(Method::CE, [0.2, 0.21, 0.2]), (Method::ST_H, [0.2, 0.2, 0.21]), (Method::DY_H, [0.4, 0.41, 0.42])]
                .map(|(method, values)| (method, level, values))
        });
        let runs = made(&arms.concat());
        let at = |method: &str, auc: Option<f64>| {
            dynamic_helps(&changed(&runs, method, 0.8, |run| run.summary.auc_warm_up = auc))
        };
        assert_eq!(at("CE", Some(0.5)).verdict, Verdict::Supported);
        assert_eq!(at("DY-H", Some(0.81)).verdict, Verdict::Supported);
        let missed = at("DY-H", Some(0.79));
        assert!(is_open(&missed, "0 of 3 seeds passed the gates; AUC of the loss at"), "{missed:?}");
        assert!(
            is_open(&missed, "0.79 (DY-H at 80 %)")
                && is_open(&missed, "Seen, not judged: 20.7 points over CE at 50 %")
        );
        assert!(is_open(&at("DY-H", None), "gate missed"));
        // The truth weighs whatever the loss is, and clean labels have nothing to separate.
        let oracle = Method::M_DYR_H.weighted_by(Weighting::Oracle);
        let blind = |method, level| {
            let mut run = run(method, level, 0, 0.5);
            run.summary.auc_warm_up = None;
            separates(&run)
        };
        assert!(blind(oracle, 0.8) && blind(Method::M_DYR_H, 0.) && !blind(Method::M_DYR_H, 0.8));
    }

    /// No claim is judged on a part of its arms, or on fewer than three paired seeds.
    #[test]
    fn every_arm_and_three_seeds_are_needed() {
        let reported = reported().unwrap();
        let half = [Method::CE, Method::ST_H, Method::DY_H, Method::M, Method::M_DYR_H, Method::M_DYR_S];
        let half = made(&half.map(|method| (method, 0.8, [0.5, 0.6, 0.7])));
        let claims = [
            static_fails(&half, &reported),
            dynamic_helps(&half),
            no_degradation("LC6", &half, &reported),
            hard_beats_soft(&half),
        ];
        for claim in claims {
            assert!(is_open(&claim, "no seed has finished all of") && is_open(&claim, "at 50 %"), "{claim:?}");
        }
        let two = made(&[(Method::M, 0.8, [0.5, 0.6]), (Method::M_DYR_H, 0.8, [0.8, 0.9])]);
        assert!(is_open(&both_beat_mixup("LC5", &two, &reported), "2 of 2 seeds passed the gates. A verdict needs 3."));
    }

    #[test]
    fn lc1_reads_the_young_epochs() {
        let runs = made(&[(Method::CE, 0.8, [0.3; 3])]);
        let young = |auc: f64| {
            let set = |run: &mut Run| {
                let (young, seed) = (run.config.young(), run.config.seed as f64);
                let own = run.epochs.iter_mut().filter(|row| young.contains(&row.epoch));
                own.for_each(|row| row.auc = Some(auc + 0.01 * seed));
            };
            early_separation(&changed(&runs, "CE", 0.8, set))
        };
        assert_eq!(young(0.85).verdict, Verdict::Supported);
        assert_eq!(young(0.75).verdict, Verdict::Inconclusive);
        assert_eq!(young(0.6).verdict, Verdict::Refuted);
        assert!((young(0.85).estimate.unwrap() - 0.86).abs() < 1e-12);
        // It must fall.
        let late = changed(&runs, "CE", 0.8, |run| run.summary.auc_last = Some(0.95));
        assert_eq!(early_separation(&late).verdict, Verdict::Inconclusive);
        // What later epochs say does not matter.
        let noise = changed(&runs, "CE", 0.8, |run| run.epochs[3].auc = Some(0.));
        assert_eq!(early_separation(&noise).estimate, early_separation(&runs).estimate);
    }

    #[test]
    fn lc2_needs_fits_that_tell_something() {
        let runs = made(&[(Method::CE, 0.5, [0.5; 3])]);
        assert!(is_open(&beta_fits_better(&runs), "0 of 3 runs"));
        let fit = |log_likelihood, log_loss| Fitness {
            log_likelihood,
            ks: 0.1,
            log_loss,
            accuracy: 0.9,
            is_identity: false,
            is_flat: false,
        };
        let with = |change: &dyn Fn(u64, &mut Early)| {
            beta_fits_better(&changed(&runs, "CE", 0.5, |run| {
                let (beta, gaussian) = (Some(fit(1. + 0.1 * run.config.seed as f64, 0.2)), Some(fit(0.5, 0.3)));
                let mut early = Early { epoch: 1, auc: Some(0.95), beta, gaussian };
                change(run.config.seed, &mut early);
                run.summary.early = Some(early);
            }))
        };
        let verdict = |change: &dyn Fn(u64, &mut Early)| with(change).verdict;
        assert_eq!(verdict(&|_, _| ()), Verdict::Supported);
        // One seed with the reverse opens it, every seed refutes it.
        let reverse = |e: &mut Early| std::mem::swap(&mut e.beta, &mut e.gaussian);
        assert_eq!(
            verdict(&|seed, e| if seed == 0 {
                reverse(e)
            }),
            Verdict::Inconclusive
        );
        assert_eq!(verdict(&|_, e| reverse(e)), Verdict::Refuted);
        // A better density whose posterior forecasts worse.
        let half = |e: &mut Early| e.beta = Some(fit(1., 0.4));
        assert_eq!(verdict(&|_, e| half(e)), Verdict::Inconclusive);
        assert!(is_open(
            &with(&|seed, e| if seed == 1 {
                e.auc = Some(0.79)
            }),
            "2 of 3 seeds passed"
        ));
        let flat = |e: &mut Early| e.beta = Some(Fitness { is_flat: true, ..fit(1., 0.2) });
        assert!(is_open(
            &with(&|seed, e| if seed == 1 {
                flat(e)
            }),
            "the beta posterior is flat in 1"
        ));
        let same = |e: &mut Early| e.beta = Some(Fitness { is_identity: true, ..fit(1., 0.2) });
        assert!(is_open(
            &with(&|seed, e| if seed == 1 {
                same(e)
            }),
            "normalised loss itself in 1"
        ));
    }

    #[test]
    fn lc3_is_within_three_points_either_way() {
        let reported = reported().unwrap();
        let of = |gain: f64| {
            let arms = [0.5, 0.8].map(|level| {
                let more = if level == 0.8 { gain } else { 0. };
                [(Method::CE, level, [0.5, 0.51, 0.49]), (Method::ST_H, level, [0.5, 0.51, 0.49].map(|x| x + more))]
            });
            static_fails(&made(&arms.concat()), &reported)
        };
        assert_eq!(of(0.02).verdict, Verdict::Supported);
        assert_eq!(of(-0.02).verdict, Verdict::Supported);
        assert_eq!(of(0.05).verdict, Verdict::Inconclusive);
        assert_eq!(of(-0.05).verdict, Verdict::Inconclusive);
        assert_eq!(of(0.09).verdict, Verdict::Refuted);
        assert!((of(-0.05).estimate.unwrap() + 0.05).abs() < 1e-12);
    }

    #[test]
    fn lc4_must_win_everywhere() {
        let of = |dynamic: [f64; 3]| {
            let arms = [0.5, 0.8].map(|level| {
                [(Method::CE, [0.3, 0.31, 0.29]), (Method::ST_H, [0.3; 3]), (Method::DY_S, [0.41; 3])]
                    .map(|(method, values)| (method, level, values))
            });
            let own = [(Method::DY_H, 0.5, [0.4, 0.42, 0.41]), (Method::DY_H, 0.8, dynamic)];
            dynamic_helps(&made(&[arms.concat(), own.to_vec()].concat()))
        };
        let good = of([0.35, 0.36, 0.35]);
        assert_eq!(good.verdict, Verdict::Supported);
        assert!(good.reason.contains("+0.0 points against the soft one at 50 %, -5.7 at 80 %"), "{}", good.reason);
        assert_eq!(of([0.3, 0.2, 0.5]).verdict, Verdict::Inconclusive);
        assert_eq!(of([0.3; 3]).verdict, Verdict::Refuted);
    }

    #[test]
    fn lc5_and_lc6_need_a_mixup_that_falls() {
        let reported = reported().unwrap();
        let arms = [0.5, 0.8]
            .map(|level| [(Method::M, level, [0.5, 0.52, 0.51]), (Method::M_DYR_H, level, [0.8, 0.85, 0.82])])
            .concat();
        let runs = made(&arms);
        let good = changed(&changed(&runs, "M-DYR-H", 0.5, steady(0.01)), "M-DYR-H", 0.8, steady(0.06));
        assert_eq!(both_beat_mixup("LC5", &good, &reported).verdict, Verdict::Supported);
        assert_eq!(no_degradation("LC6", &good, &reported).verdict, Verdict::Supported);
        // A third of 20 points is 6.7.
        let more = changed(&good, "M-DYR-H", 0.8, steady(0.08));
        assert_eq!(no_degradation("LC6", &more, &reported).verdict, Verdict::Inconclusive);
        let worse = changed(&good, "M-DYR-H", 0.5, steady(0.21));
        assert_eq!(no_degradation("LC6", &worse, &reported).verdict, Verdict::Refuted);
        let firm = changed(&good, "M", 0.8, steady(0.005));
        assert!(is_open(&both_beat_mixup("LC5", &firm, &reported), "loses only 0.5 points"));
        assert!(is_open(&no_degradation("LC6", &firm, &reported), "loses only 0.5 points"));
        let equal = changed(&good, "M-DYR-H", 0.8, |run| run.summary.last = 0.4);
        assert_eq!(both_beat_mixup("LC5", &equal, &reported).verdict, Verdict::Refuted);
    }

    fn steady(gap: f64) -> impl Fn(&mut Run) {
        move |run| run.summary.best = run.summary.last + gap
    }

    #[test]
    fn lc7_asks_both_levels() {
        let of = |middle: [f64; 3], high: [f64; 3]| {
            let soft = [0.5, 0.8].map(|level| (Method::M_DYR_S, level, [0.7, 0.71, 0.72]));
            let hard = [(Method::M_DYR_H, 0.5, middle), (Method::M_DYR_H, 0.8, high)];
            hard_beats_soft(&made(&[soft, hard].concat())).verdict
        };
        assert_eq!(of([0.8, 0.82, 0.81], [0.8, 0.81, 0.83]), Verdict::Supported);
        assert_eq!(of([0.6, 0.62, 0.61], [0.8, 0.81, 0.83]), Verdict::Inconclusive);
        assert_eq!(of([0.6, 0.62, 0.61], [0.6, 0.61, 0.63]), Verdict::Refuted);
    }

    #[test]
    fn lc8_needs_a_collapse() {
        let runs = made(&[(Method::M_DY_H, 0.8, [0.6; 3]), (Method::M_DYR_H, 0.8, [0.8; 3])]);
        let of = |without: [f64; 3], with: [f64; 3]| {
            let set =
                |shares: [f64; 3]| move |run: &mut Run| run.summary.largest_class = shares[run.config.seed as usize];
            regulariser_needed(&changed(&changed(&runs, "M-DY-H", 0.8, set(without)), "M-DYR-H", 0.8, set(with)))
        };
        let calm = [0.12, 0.13, 0.12];
        assert_eq!(of([0.6, 0.7, 0.45], calm).verdict, Verdict::Supported);
        // Larger shares, and no collapse in most seeds.
        assert_eq!(of([0.46, 0.45, 0.47], calm).verdict, Verdict::Inconclusive);
        assert_eq!(of([0.6, 0.45, 0.47], calm).verdict, Verdict::Inconclusive);
        // One with it.
        assert_eq!(of([0.9, 0.95, 0.92], [0.12, 0.13, 0.6]).verdict, Verdict::Inconclusive);
        assert_eq!(of(calm, calm).verdict, Verdict::Refuted);
        // Near chance is a collapse too, whatever the shares.
        let lost = changed(&runs, "M-DY-H", 0.8, |run| {
            run.summary.last = 0.11;
            run.summary.largest_class = 0.3 + 0.01 * run.config.seed as f64;
        });
        assert_eq!(regulariser_needed(&lost).verdict, Verdict::Supported);
        let small = changed(&runs, "M-DY-H", 0.8, |run| run.config.batch = 32);
        assert!(is_open(&regulariser_needed(&small), "batches of 32"));
    }

    #[test]
    fn lc9_and_lc10_are_of_an_order() {
        let reported = reported().unwrap();
        let nine = |own: [f64; 3], other: [f64; 3]| {
            extreme(&made(&[(Method::M_DYR_H, 0.9, own), (Method::MD_DYR_SH, 0.9, other)]), &reported)
        };
        assert_eq!(nine([0.2, 0.21, 0.2], [0.5, 0.52, 0.5]).verdict, Verdict::Supported);
        assert_eq!(nine([0.2, 0.21, 0.2], [0.1, 0.11, 0.12]).verdict, Verdict::Refuted);
        assert_eq!(nine([0.2, 0.3, 0.2], [0.2, 0.2, 0.28]).verdict, Verdict::Inconclusive);
        assert!(is_open(&nine([0.1, 0.11, 0.1], [0.14, 0.14, 0.13]), "both are at chance"));
        let ten = |own: [f64; 3]| {
            let arms =
                [(Method::M, 0., [0.96, 0.962, 0.964]), (Method::M_DYR_H, 0., own), (Method::MD_DYR_SH, 0., [0.1; 3])];
            let runs = changed(&made(&arms), "MD-DYR-SH", 0., |run| run.summary.largest_class = 1.);
            price_when_clean(&runs, &reported)
        };
        assert_eq!(ten([0.96, 0.964, 0.962]).verdict, Verdict::Inconclusive);
        assert_eq!(ten([0.94, 0.944, 0.942]).verdict, Verdict::Supported);
        let better = ten([0.98, 0.984, 0.982]);
        assert_eq!(better.verdict, Verdict::Refuted);
        assert!(
            better.reason.contains("ends at 10.0 % after 30.0 % at its best: in 3 of 3 seeds"),
            "{}",
            better.reason
        );
    }

    #[test]
    fn lc13_is_judged_seed_by_seed() {
        let levels = [0., 0.2, 0.5, 0.8, 0.9];
        let runs = made(&levels.map(|level| (Method::M_DYR_H, level, [0.8; 3])));
        let spread = |runs: &Runs, share: &dyn Fn(f64, u64) -> f64| {
            levels.iter().fold(runs.clone(), |runs, &level| {
                changed(&runs, "M-DYR-H", level, |run| run.summary.noisy_share = Some(share(level, run.config.seed)))
            })
        };
        let rising = spread(&runs, &|level, seed| 0.1 + 0.5 * level + 0.01 * seed as f64);
        let claim = noise_rate_unused(&rising);
        assert_eq!((&claim.verdict, claim.seeds), (&Verdict::Supported, 3));
        assert!((claim.estimate.unwrap() - 0.45).abs() < 1e-12);
        // The mean still rises, one seed does not.
        let bent = spread(&runs, &|level, seed| 0.1 + 0.5 * level - if level == 0.9 && seed == 1 { 0.2 } else { 0. });
        assert_eq!(noise_rate_unused(&bent).verdict, Verdict::Inconclusive);
        // That run misses the gate: it is counted, and the seed judged on the rest.
        let gated = changed(&bent, "M-DYR-H", 0.9, |run| run.summary.auc_warm_up = Some(0.7));
        let claim = noise_rate_unused(&gated);
        assert_eq!(claim.verdict, Verdict::Supported);
        assert!(claim.reason.contains("Of 15 runs 3 missed a gate (at 90 %)"), "{}", claim.reason);
        let flat = spread(&runs, &|level, _| if level == 0.5 { 0.34 } else { 0.3 });
        assert_eq!(noise_rate_unused(&flat).verdict, Verdict::Refuted);
        // A posterior that is the normalised loss tells no share: start values leave it so.
        let start = |run: &mut Run| {
            let row = &mut run.epochs[run.config.phases.high - 1];
            (row.first_0, row.second_0, row.first_1, row.second_1) = (Some(1.), Some(2.), Some(2.), Some(1.));
            row.noisy_share = Some(0.5);
        };
        let empty = [0., 0.2, 0.5].iter().fold(rising, |runs, &level| changed(&runs, "M-DYR-H", level, start));
        assert!(is_open(&noise_rate_unused(&empty), "the posterior of 9 was the normalised loss"));
    }

    /// CIFAR-10 and CIFAR-100, and both ways to spoil the latter, have runs of one method, level and seed.
    #[test]
    fn data_sets_and_kinds_of_noise_stay_apart() {
        let kinds = [
            (DatasetId::Cifar10, Noise::AllClasses, 0.9),
            (DatasetId::Cifar100, Noise::AllClasses, 0.5),
            (DatasetId::Cifar100, Noise::FirstTen, 0.3),
        ];
        let runs = kinds.map(|(dataset, noise, last)| {
            let run = run(Method::M_DYR_H, 0.8, 0, last);
            Run { config: Config { dataset, noise, ..run.config.clone() }, ..run }
        });
        let groups = Runs::apart(Profile::Paper, runs.to_vec());
        let found: Vec<(String, Vec<f64>)> =
            groups.iter().map(|g| (g.name(), g.values("M-DYR-H", 0.8, last))).collect();
        let expected = [("cifar10", 0.9), ("cifar100", 0.5), ("cifar100-first-ten", 0.3)];
        assert_eq!(found, expected.map(|(name, last)| (name.to_string(), vec![last])));
        // Each is held against its own row of the table, and by its own rule.
        let reported = reported().unwrap();
        let [ten, hundred] = [0, 1].map(|g| both_beat_mixup("LC5", &groups[g], &reported));
        assert!(ten.threshold.contains("20 points") && ten.reported.starts_with("mixup 71.6/46.7"), "{ten:?}");
        assert_eq!(hundred.reported, "mixup 30.8/17.6 at 80 %; M-DYR-H 48.2/47.6 at 80 %");
        assert!(!hundred.threshold.contains("20 points"), "{hundred:?}");
    }
}
