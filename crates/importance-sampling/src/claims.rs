//! A verdict on each claim. Every rule stands here in code, in the words of the protocol where it has a rule, and was fixed
//! before the runs it judges but for the exceptions that the README lists.

mod documented;
mod speed;
mod supplement;
mod theory;

#[cfg(test)]
mod tests;

use retrial_core::experiment::Profile;
use retrial_core::results::{Claim, Error, Reported, Results, Verdict};
use retrial_core::stats::{FEWEST_SEEDS, mean_t_interval};

use crate::config::{Config, Method, Score};
use crate::paper::ImportanceSampling;
use crate::readings::{
    Arm, Currency, Paired, Value, analysed, arm, arms, gain, gain_at, gain_at_end, is_importance, is_uniform,
    measured_cost_ratio,
};
use crate::sampling::{break_even, threshold};

pub use documented::{Documented, LoggedEpoch};
pub use supplement::best_control_variates;

/// The numbers that the authors report, and those of others; the paper's own were partly written down from memory.
pub fn reported() -> Result<Reported, Error> {
    const FILE: &str = "data/reported/importance-sampling.csv";
    Reported::parse(FILE, include_str!("../../../data/reported/importance-sampling.csv"))
}

/// A verdict on each of the paper's claims, and on the run in the official documentation.
pub fn claims(results: &Results<ImportanceSampling>) -> Result<Vec<Claim>, Error> {
    let profile = results.profile.name();
    let scope = |experiment: &str| {
        let data = results.finished(experiment).first().map_or(String::new(), |cell| setting(&cell.config));
        format!("{data}, profile {profile}")
    };
    let snapshots = format!("{}, snapshots of uniform training", scope("R2"));
    let (photos, digits) = (analysed(results, "R2")?, analysed(results, "R2-digits")?);
    let [documented, two, histories, ablation] =
        [arms(results, "R1")?, arms(results, "R3")?, arms(results, "R3-histories")?, arms(results, "R5")?];
    let variates = supplement::Variates::read(results)?;

    let mut claims = vec![
        theory::gradient_error(&photos, &snapshots),
        theory::probabilities(&photos, &snapshots),
        theory::common_constant(&photos, &snapshots),
        theory::tau_tells(&photos, &digits, &theory::switches(results)?, &snapshots),
        theory::guarantee(
            &theory::Population { name: "photos", runs: &photos, kappa: measured_cost_ratio(&two) },
            &theory::Population { name: "digits", runs: &digits, kappa: measured_cost_ratio(&variates.arms) },
            &variates.arms,
            &format!("snapshots of R2 and R2-digits, profile {profile}"),
        ),
        speed::lower_error(&two, &ablation, &scope("R3")),
        speed::order_of_magnitude(results.profile, &two, &scope("R3")),
        if results.profile == Profile::Quick {
            speed::without_the_harder_task()
        } else {
            speed::harder_task(&arms(results, "R4")?, &scope("R4"))
        },
        speed::ordering(&two, &histories, &scope("R3")),
        speed::fine_tuning(&arms(results, "R6")?, &scope("R6")),
        speed::sequence(results.profile, &arms(results, "R7")?, &scope("R7")),
        supplement::control_variates(&variates, &scope("R8")),
        supplement::candidates(&ablation, &scope("R5")),
    ];
    claims.push(speed::overall(&claims));
    claims.push(documented::documented(&documented, &scope("R1"))?);
    claims.push(speed::label_noise(&arms(results, "R9-noise")?, &arms(results, "R9-copies")?, &scope("R9-noise")));
    Ok(claims)
}

/// `cifar10-subset, 2 classes, 2000 images of 8 x 8, wide-resnet`.
pub fn setting(config: &Config) -> String {
    let task = &config.task;
    let classes = task.classes.map_or(String::new(), |(from, to)| format!(", {} classes", to - from));
    let side = match task.source {
        retrial_core::data::DatasetId::Mnist | retrial_core::data::DatasetId::FashionMnist => 28,
        _ => 32,
    } / task.shrink;
    let network = serde_json::to_value(&config.architecture).ok();
    let network = network.and_then(|n| Some(n.get("kind")?.as_str()?.to_string())).unwrap_or_default();
    format!("{}{classes}, {} images of {side} x {side}, {network}", task.source, task.train)
}

fn decided(claim: Claim, verdict: Verdict, values: &[f64], scope: &str, reason: String) -> Claim {
    let interval = mean_t_interval(values, 0.95).ok();
    Claim {
        verdict,
        estimate: interval.map(|i| i.estimate).or_else(|| values.first().copied()),
        interval: interval.map(|i| (i.low, i.high)),
        seeds: values.len(),
        scope: scope.into(),
        reason,
        ..claim
    }
}

/// Uniform sampling and importance sampling of one task.
struct Pair<'a> {
    uniform: &'a Arm,
    importance: &'a Arm,
    /// Of importance sampling.
    config: &'a Config,
}

/// Uniform sampling and a score with the published lower threshold, or with that of the formula, if both are there.
fn pair(arms: &[(Config, Arm)], score: Score) -> Result<Pair<'_>, String> {
    let uniform = arm(arms, is_uniform).ok_or("uniform sampling has not been run")?;
    let batch = arms.first().map_or(1, |(config, _)| config.batch);
    let lower = is_importance(score, batch, Some(5), Some(1.5));
    let any = is_importance(score, batch, None, None);
    let found = arms.iter().find(|(c, _)| lower(&c.method)).or_else(|| arms.iter().find(|(c, _)| any(&c.method)));
    let (config, importance) = found.ok_or("importance sampling has not been run")?;
    for (name, arm, other) in [("importance", importance, "it"), ("uniform", uniform, "uniform sampling")] {
        if !arm.collapsed.is_empty() {
            return Err(format!(
                "{} of {} runs of {name} sampling ended at chance; the rest would flatter {other}",
                arm.collapsed.len(),
                arm.collapsed.len() + arm.runs.len()
            ));
        }
    }
    let pairs = uniform.runs.keys().filter(|seed| importance.runs.contains_key(seed)).count();
    if pairs < FEWEST_SEEDS {
        return Err(format!("a verdict needs {FEWEST_SEEDS} seeds of both methods, and there are {pairs}"));
    }
    Ok(Pair { uniform, importance, config })
}

/// Uniform sampling and the bound, if both are there and the switch turned on.
fn uniform_and_bound(arms: &[(Config, Arm)]) -> Result<Pair<'_>, String> {
    let pair = pair(arms, Score::UpperBound)?;
    gate(pair.importance)?;
    Ok(pair)
}

/// Whether the switch turned on in most runs; if not, why nothing follows.
fn gate(importance: &Arm) -> Result<(), String> {
    if 2 * importance.switched_on() > importance.runs.len() {
        return Ok(());
    }
    let tau = importance.runs.values().flat_map(|run| &run.rows).map(|row| row.tau).fold(0., f64::max);
    Err(format!(
        "the switch turned on in {} of {} runs (largest tau {tau:.2}), so there is nothing to compare: training ends before \
         the network fits most samples",
        importance.switched_on(),
        importance.runs.len()
    ))
}

/// `reproduced`, `reproduced in FE only`, ... in the words of the protocol. Without a number of the paper that could be
/// verified, the size is left out.
fn in_words(forwards: &Paired, seconds: &Paired, paper: Option<f64>) -> &'static str {
    match (forwards.is_above(), seconds.is_above(), paper) {
        (true, true, Some(paper)) if forwards.mean() < paper / 2. || forwards.mean() > paper * 2. => {
            "direction only: the size is beyond a factor of two of the paper's"
        }
        (true, true, Some(_)) => "reproduced",
        (true, true, None) => "reproduced in its sign; the paper's size is known from memory only",
        (true, false, _) => "reproduced in forward equivalents only: this machine's overhead eats it",
        (false, true, _) => "gained in seconds only",
        (false, false, _) => "not reproduced",
    }
}

/// "At equal time" asks for both currencies: what is gained in forward equivalents alone is no support.
fn at_both_costs(verdict: Verdict, seconds: &Paired) -> Verdict {
    match verdict {
        Verdict::Supported if !seconds.is_above() => Verdict::Inconclusive,
        other => other,
    }
}

/// `+3.1 % [-2.0, +8.2]`, the t interval.
fn percent(gains: &Paired) -> String {
    match gains.interval() {
        Some(i) => format!("{:+.1} % [{:+.1}, {:+.1}]", 100. * i.estimate, 100. * i.low, 100. * i.high),
        None => format!("{:+.1} %", 100. * gains.mean()),
    }
}

/// A gain in the other currencies and at the last row, and what the measured cost ratio means for the arm that is judged.
fn account(arms: &[(Config, Arm)], pair: &Pair, value: Value, paper: Option<f64>) -> String {
    let &Pair { uniform, importance, config } = pair;
    let gains = gain(uniform, importance, value);
    let seconds = gain_at(uniform, importance, Currency::Seconds, value);
    let mut text = format!(
        "At equal processor seconds {} (last tenth): {}. By the last row alone {:+.1} %.",
        percent(&seconds),
        in_words(&gains, &seconds, paper),
        100. * gain_at_end(uniform, importance, value).mean()
    );
    let (Some(kappa), Method::Importance { presample, .. }) = (measured_cost_ratio(arms), config.method) else {
        return text;
    };
    let even = break_even(presample, config.batch, kappa).map_or("at no tau".into(), |tau| format!("at tau {tau:.2}"));
    text += &format!(
        " Measured cost ratio {kappa:.2} (the paper's is 3): at equal cost by it {:+.1} %; at B = {}b the published \
         condition becomes tau > {:.2}, and variance x cost breaks even {even}.",
        100. * gain_at(uniform, importance, Currency::Forwards(kappa), value).mean(),
        presample / config.batch,
        threshold(presample, config.batch, kappa),
    );
    text
}
