//! IS11 and IS12: control variates, and the number of candidates.

use std::collections::BTreeMap;

use retrial_core::results::{Claim, Error, Results, Verdict, not_tested, open};
use retrial_core::stats::FEWEST_SEEDS;

use super::{decided, gate};
use crate::config::{Config, ControlVariate, Method};
use crate::paper::ImportanceSampling;
use crate::readings::{Arm, LOSS, Paired, arm, arms, gain, is_uniform, label, log_ratio};

/// The grid of the control variates.
pub(super) struct Variates {
    /// Also SGD with momentum and importance sampling.
    pub arms: Vec<(Config, Arm)>,
    /// Learning rates that were tried to an end, lowest first.
    pub rates: Vec<f64>,
    /// Cells that left the finite numbers.
    pub diverged: usize,
}

impl Variates {
    /// Profile paper has two data sets there; the first is judged.
    pub fn read(results: &Results<ImportanceSampling>) -> Result<Self, Error> {
        let mut arms = arms(results, "R8")?;
        let first = arms.first().map(|(config, _)| config.task.source);
        arms.retain(|(config, _)| Some(config.task.source) == first);
        let experiment = results.experiment("R8");
        let diverged: Vec<&Config> = experiment
            .map_or(vec![], |e| e.diverged.iter().map(|cell| &cell.config).collect())
            .into_iter()
            .filter(|config| Some(config.task.source) == first)
            .collect();
        let ended = arms.iter().map(|(config, _)| config).chain(diverged.iter().copied());
        let of_variates = ended.filter(|config| matches!(config.method, Method::ControlVariate { .. }));
        let mut rates: Vec<f64> = of_variates.map(|config| config.schedule.rate(0.)).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let diverged = diverged.len();
        Ok(Self { arms, rates, diverged })
    }
}

/// The best setting of every control variate, by mean training loss over its seeds; settings that lost a seed are out.
pub fn best_control_variates(arms: &[(Config, Arm)]) -> BTreeMap<String, (&Config, &Arm)> {
    let mut best: BTreeMap<String, (&Config, &Arm)> = BTreeMap::new();
    let most = arms.iter().map(|(_, arm)| arm.runs.len()).max().unwrap_or(0);
    let loss = |arm: &Arm| arm.mean(|run| run.tail(LOSS));
    for (config, arm) in arms {
        if !matches!(config.method, Method::ControlVariate { .. }) || arm.runs.len() < most || !loss(arm).is_finite() {
            continue;
        }
        if best.get(&label(config)).is_none_or(|(_, other)| loss(arm) < loss(other)) {
            best.insert(label(config), (config, arm));
        }
    }
    best
}

pub(super) fn control_variates(variates: &Variates, scope: &str) -> Claim {
    let claim = open(
        "IS11",
        "SVRG, SCSG and Katyusha end with a higher training loss than SGD with momentum",
        "supplement, Fig 6",
        "best of each grid (rate x m), right signs: ratio to uniform SGD above 1, 95 % interval; refuted if below; open \
         while the best rate of one of them is the highest or lowest tried",
        "> 10 times importance sampling's loss (from memory)",
    );
    let Variates { arms, rates, diverged } = variates;
    let Some(uniform) = arm(arms, is_uniform) else { return not_tested(claim, "SGD has not been run") };
    let best = best_control_variates(arms);
    let right = |config: &Config| {
        let published = ControlVariate::Katyusha { published_sign: true };
        !matches!(config.method, Method::ControlVariate { variant, .. } if variant == published)
    };
    let loss = |arm: &Arm| arm.mean(|run| run.tail(LOSS));
    let judged = || best.values().filter(|(config, _)| right(config));
    let Some((config, winner)) = judged().min_by(|a, b| loss(a.1).total_cmp(&loss(b.1))) else {
        return not_tested(claim, "no control variate has finished every seed");
    };
    let ratios = log_ratio(uniform, winner, LOSS);
    let Some(interval) = ratios.interval().filter(|_| ratios.values.len() >= FEWEST_SEEDS) else {
        let seeds = ratios.values.len();
        return not_tested(claim, format!("a verdict needs {FEWEST_SEEDS} seeds, and there are {seeds}"));
    };
    let rate = |config: &Config| config.schedule.rate(0.);
    let at_edge: Vec<String> = judged()
        .filter(|(config, _)| rates.first() == Some(&rate(config)) || rates.last() == Some(&rate(config)))
        .map(|(config, _)| label(config))
        .collect();
    let inside = at_edge.is_empty();
    let edge = match inside {
        true => String::new(),
        false => format!(
            " The best rate of {} is at the edge of those tried ({} to {}), so a better one may lie beyond.",
            at_edge.join(", "),
            rates.first().unwrap_or(&f64::NAN),
            rates.last().unwrap_or(&f64::NAN)
        ),
    };
    let each: Vec<String> = best
        .iter()
        .map(|(name, (config, arm))| {
            let Method::ControlVariate { inner, .. } = config.method else { return String::new() };
            format!("{name} {:.2} (rate {}, m = {inner})", loss(arm) / loss(uniform), rate(config))
        })
        .collect();
    let bound = arms.iter().find(|(c, _)| matches!(c.method, Method::Importance { .. }));
    let to_bound = bound.map_or(String::new(), |(_, bound)| {
        format!(" The best has {:.1} times the loss of importance sampling.", loss(winner) / loss(bound))
    });
    Claim {
        verdict: Verdict::of(inside && interval.low > 0., inside && interval.high < 0.),
        estimate: Some(interval.estimate.exp()),
        interval: Some((interval.low.exp(), interval.high.exp())),
        seeds: ratios.values.len(),
        scope: scope.into(),
        reason: format!(
            "The best is {}. Loss over that of SGD with momentum, best setting of each: {}.{edge}{to_bound} {diverged} \
             cells diverged.",
            label(config),
            each.join(", "),
        ),
        ..claim
    }
}

pub(super) fn candidates(arms: &[(Config, Arm)], scope: &str) -> Claim {
    let claim = open(
        "IS12",
        "At equal cost there is a best number of candidates, 2 < B / b < 6",
        "supplement, ablation on B",
        "lowest mean training loss at a B / b in [2, 6], below that of uniform sampling (B / b = 1), of the largest B \
         and of the nearest B tried on either side, each by one paired standard error; refuted if uniform sampling or \
         the largest B is below it, 95 % interval (Bonferroni over the two)",
        "B = 384 first to reach 0.6, 1024 wasteful early (from memory)",
    );
    let ratio = |config: &Config| match config.method {
        Method::Importance { presample, .. } => Some(presample / config.batch),
        // Uniform sampling trains on all of its candidates.
        Method::Uniform => Some(1),
        _ => None,
    };
    let of_ratio: BTreeMap<usize, &Arm> = arms.iter().filter_map(|(config, arm)| Some((ratio(config)?, arm))).collect();
    let loss = |arm: &Arm| arm.mean(|run| run.tail(LOSS));
    let inside = of_ratio.iter().filter(|(k, _)| (2..=6).contains(*k));
    let Some((&k, &best)) = inside.min_by(|a, b| loss(a.1).total_cmp(&loss(b.1))) else {
        return not_tested(claim, "the ablation has not been run");
    };
    let (Some(&uniform), Some((&largest, &last))) = (of_ratio.get(&1), of_ratio.last_key_value()) else {
        return not_tested(claim, "uniform sampling has not been run beside it");
    };
    if largest <= 6 || [uniform, best, last].iter().any(|arm| arm.runs.len() < FEWEST_SEEDS) {
        return not_tested(claim, "a verdict needs three seeds and one B above 6b");
    }
    if let Err(why) = gate(best) {
        return not_tested(claim, why);
    }
    let name = |k: usize| if k == 1 { "uniform".into() } else { format!("B = {k}b") };
    let left = of_ratio.range(..k).next_back();
    let right = of_ratio.range(k + 1..).next();
    let mut rivals: BTreeMap<usize, &Arm> = BTreeMap::from([(1, uniform), (largest, last)]);
    rivals.extend(left.into_iter().chain(right).map(|(k, arm)| (*k, *arm)));
    let below = |arm: &Arm| gain(arm, best, LOSS);
    let ends = [below(uniform), below(last)];
    let refuted = ends.iter().any(|gains| gains.interval_of(ends.len()).is_some_and(|i| i.below(0.)));
    let margin = |gains: &Paired| gains.mean() / gains.standard_error();
    let Some((&against, decisive)) = rivals.iter().min_by(|a, b| margin(&below(a.1)).total_cmp(&margin(&below(b.1))))
    else {
        return not_tested(claim, "the ablation has not been run");
    };
    let supported = rivals.values().all(|arm| below(arm).is_above());
    let listed: Vec<String> = of_ratio.iter().map(|(k, arm)| format!("{}: {:.4}", name(*k), loss(arm))).collect();
    let margins: Vec<String> = rivals
        .iter()
        .map(|(k, arm)| {
            let gains = below(arm);
            format!(
                "{:+.1} % (standard error {:.1}) below {}",
                100. * gains.mean(),
                100. * gains.standard_error(),
                name(*k)
            )
        })
        .collect();
    let reason = format!(
        "The estimate is how far the loss at B = {k}b is below that of {}, the comparison that decides. Final training \
         loss: {}. The best inside is {}. At equal updates these runs say nothing: the rate falls at shares of the cost, \
         so at one update the arms stand at different rates.",
        name(against),
        listed.join(", "),
        margins.join(", "),
    );
    decided(claim, Verdict::of(supported, refuted), &below(decisive).values, scope, reason)
}
