//! IS6 to IS10, IS13 and IS15: training loss and test error at equal cost.

use retrial_core::experiment::Profile;
use retrial_core::results::{Claim, Verdict, not_tested, open};
use retrial_core::stats::FEWEST_SEEDS;

use super::{Pair, account, at_both_costs, decided, gate, pair, percent, uniform_and_bound};
use crate::config::{Config, Method, Score};
use crate::readings::{Arm, Currency, ERROR, LOSS, arm, gain, gain_at, is_importance, is_uniform, label, log_ratio};

/// Relative gain in test error of the official log, .0866 to .0787.
const LOGGED_GAIN: f64 = 0.091;

pub(super) fn lower_error(arms: &[(Config, Arm)], ablation: &[(Config, Arm)], scope: &str) -> Claim {
    const LEAST: f64 = 0.03;
    let claim = open(
        "IS6a",
        "CIFAR-10 at equal time: lower test error than uniform sampling",
        "Fig 3, section 4.2",
        "lower in >= 80 % of seeds, mean relative gain >= 3 % and beyond one paired standard error, and above uniform in \
         processor seconds too; refuted: the whole 95 % interval below 3 %",
        "8 % (from memory); 9.1 % in the official log",
    );
    let found = match uniform_and_bound(arms) {
        Ok(found) => found,
        Err(why) => return not_tested(claim, why),
    };
    let Pair { uniform, importance: bound, config } = found;
    let gains = gain(uniform, bound, ERROR);
    let seconds = gain_at(uniform, bound, Currency::Seconds, ERROR);
    let better = gains.values.iter().filter(|g| **g > 0.).count() as f64 / gains.values.len() as f64;
    let supported = better >= 0.8 && gains.mean() >= LEAST && gains.is_above();
    let refuted = gains.interval().is_some_and(|i| i.below(LEAST));
    let others: Vec<String> = arms
        .iter()
        .filter(|(c, arm)| !is_uniform(&c.method) && !std::ptr::eq(arm, bound))
        .map(|(c, arm)| format!("{} {:+.1} %", label(c), 100. * gain(uniform, arm, ERROR).mean()))
        .collect();
    // Fewer candidates at the same threshold, from the ablation.
    let three = arm(ablation, is_importance(Score::UpperBound, config.batch, Some(3), Some(1.5)));
    let three = three.zip(arm(ablation, is_uniform)).map_or(String::new(), |(three, uniform)| {
        let gains = gain(uniform, three, ERROR);
        format!(
            " With B = 3b at the same threshold (R5) {:+.1} %, standard error {:.1} %, and {:+.1} % in seconds.",
            100. * gains.mean(),
            100. * gains.standard_error(),
            100. * gain_at(uniform, three, Currency::Seconds, ERROR).mean()
        )
    });
    let reason = format!(
        "Relative gain in test error at equal forward equivalents (last tenth of training). {}{three} Training loss \
         {:.2} times uniform's. Others: {}.",
        account(arms, &found, ERROR, Some(LOGGED_GAIN)),
        log_ratio(uniform, bound, LOSS).mean().exp(),
        others.join(", "),
    );
    decided(claim, at_both_costs(Verdict::of(supported, refuted), &seconds), &gains.values, scope, reason)
}

pub(super) fn order_of_magnitude(profile: Profile, arms: &[(Config, Arm)], scope: &str) -> Claim {
    let claim = open(
        "IS6b",
        "CIFAR-10 at equal time: training loss more than ten times lower",
        "abstract, Fig 3",
        "ratio >= 8 on the loss without penalty, at the paper's scale",
        "> 10 (from memory); 1.9 with penalty in the official log",
    );
    let found = match pair(arms, Score::UpperBound) {
        Ok(found) => found,
        Err(why) => return not_tested(claim, why),
    };
    let logs = log_ratio(found.importance, found.uniform, LOSS);
    let Some(interval) = logs.interval() else { return not_tested(claim, "the losses are no numbers") };
    let found = match profile {
        Profile::Paper => Verdict::of(interval.low >= 8f64.ln(), interval.high < 8f64.ln()),
        _ => Verdict::NotTested(
            "an order of magnitude needs the paper's set and hours of training; a small set says nothing of it.".into(),
        ),
    };
    Claim {
        verdict: found,
        estimate: Some(interval.estimate.exp()),
        interval: Some((interval.low.exp(), interval.high.exp())),
        seeds: logs.values.len(),
        scope: scope.into(),
        reason: "The estimate is uniform sampling's loss over the bound's here.".into(),
        ..claim
    }
}

fn harder_task_claim() -> Claim {
    open(
        "IS7",
        "CIFAR-100 at equal time: the bound beats uniform, and no other score or history does",
        "Fig 3, section 4.2",
        "bound better than uniform and each rival not better, by one paired standard error of test error; refuted if the \
         95 % interval has the bound worse, or (Bonferroni over rivals) a rival better",
        ".34 to .32, 5 % (from memory)",
    )
}

pub(super) fn without_the_harder_task() -> Claim {
    not_tested(harder_task_claim(), "CIFAR-100 is not among the embedded images; profile standard trains on it")
}

pub(super) fn harder_task(arms: &[(Config, Arm)], scope: &str) -> Claim {
    let claim = harder_task_claim();
    let found = match uniform_and_bound(arms) {
        Ok(found) => found,
        Err(why) => return not_tested(claim, why),
    };
    let Pair { uniform, importance: bound, .. } = found;
    let gains = gain(uniform, bound, ERROR);
    // A larger uniform batch is a control of ours, no score and no history. Runs that ended at chance count as they are.
    let rival = |c: &Config, arm: &Arm| {
        !is_uniform(&c.method) && !matches!(c.method, Method::UniformAtEqualCost { .. }) && !std::ptr::eq(arm, bound)
    };
    let rivals: Vec<_> = arms.iter().filter(|(c, arm)| rival(c, arm)).collect();
    let of = |arm: &Arm| gain(uniform, &arm.with_collapsed(), ERROR);
    let better: Vec<String> = rivals.iter().filter(|(_, arm)| of(arm).is_above()).map(|(c, _)| label(c)).collect();
    let surely = |arm: &Arm| of(arm).interval_of(rivals.len()).is_some_and(|i| i.above(0.));
    let refuted = gains.interval().is_some_and(|i| i.below(0.)) || rivals.iter().any(|(_, arm)| surely(arm));
    let seconds = gain_at(uniform, bound, Currency::Seconds, ERROR);
    let found_verdict = Verdict::of(gains.is_above() && better.is_empty(), refuted);
    let named = if better.is_empty() { "no rival".into() } else { better.join(", ") };
    let reason = format!(
        "Relative gain of the bound. {} Better than uniform by a standard error among {} rivals: {named}.",
        account(arms, &found, ERROR, None),
        rivals.len()
    );
    decided(claim, at_both_costs(found_verdict, &seconds), &gains.values, scope, reason)
}

pub(super) fn ordering(two: &[(Config, Arm)], histories: &[(Config, Arm)], scope: &str) -> Claim {
    let claim = open(
        "IS8",
        "CIFAR-10: the bound is at least as good as the loss, and the loss as the rivals that remember losses",
        "section 4.2",
        "test error: bound <= loss <= {ranks, priorities} in the mean over all runs, those that ended at chance \
         included; refuted if one of them beats the bound, 95 % interval (Bonferroni over rivals)",
        "ordering only; the author grants that ranks are worse than uniform",
    );
    // At profile paper they stand in R3 itself.
    let remembers = |c: &Config| matches!(c.method, Method::LoshchilovHutter { .. } | Method::Schaul { .. });
    let remembering = histories.iter().chain(two.iter().filter(|(c, _)| remembers(c)));
    let batch = two.first().map_or(1, |(config, _)| config.batch);
    let by_loss = |(c, _): &&(Config, Arm)| {
        is_importance(Score::Loss, batch, Some(5), Some(1.5))(&c.method)
            || is_importance(Score::Loss, batch, None, None)(&c.method)
    };
    let bound = match uniform_and_bound(two) {
        Ok(found) => found.importance,
        Err(why) => return not_tested(claim, why),
    };
    let rivals: Vec<(String, &Arm, Arm)> = two
        .iter()
        .filter(by_loss)
        .take(1)
        .chain(remembering)
        .map(|(config, arm)| (label(config), arm, arm.with_collapsed()))
        .filter(|(_, _, all)| all.runs.len() >= FEWEST_SEEDS)
        .collect();
    let Some((_, _, loss)) = rivals.first().filter(|(name, ..)| name.starts_with("loss")) else {
        return not_tested(claim, "sampling by the loss has not been run on three seeds");
    };
    if rivals.len() < 2 {
        return not_tested(claim, "no rival that remembers losses has been run on three seeds");
    }
    let ahead = |all: &Arm| gain(bound, all, ERROR);
    let beaten_by: Vec<&str> = rivals
        .iter()
        .filter(|(.., all)| ahead(all).interval_of(rivals.len()).is_some_and(|i| i.above(0.)))
        .map(|(name, ..)| &name[..])
        .collect();
    let mean = |arm: &Arm| arm.mean(|run| run.tail(ERROR));
    let ordered = mean(bound) <= mean(loss) && rivals[1..].iter().all(|(.., rival)| mean(loss) <= mean(rival));
    let listed: Vec<String> = rivals
        .iter()
        .map(|(name, arm, all)| {
            let collapsed = match arm.collapsed.len() {
                0 => String::new(),
                n => format!(", {n} at chance"),
            };
            format!("{name} {:.3} (n = {}{collapsed})", mean(all), all.runs.len())
        })
        .collect();
    let closer: Vec<String> = rivals
        .iter()
        .filter(|(.., all)| ahead(all).is_above())
        .map(|(name, _, all)| format!("{name} ({})", percent(&ahead(all))))
        .collect();
    let named = |names: &[String]| if names.is_empty() { "none".into() } else { names.join(", ") };
    let reason = format!(
        "The estimate is how far the bound is below the loss. Mean test errors: bound {:.3} (n = {}), {}. Better than \
         the bound by the interval over {} rivals: {}; by one standard error, which chance alone gives about one rival \
         in five: {}.",
        mean(bound),
        bound.runs.len(),
        listed.join(", "),
        rivals.len(),
        named(&beaten_by.iter().map(|name| (*name).to_string()).collect::<Vec<_>>()),
        named(&closer)
    );
    decided(
        claim,
        Verdict::of(ordered && beaten_by.is_empty(), !beaten_by.is_empty()),
        &gain(loss, bound, ERROR).values,
        scope,
        reason,
    )
}

pub(super) fn fine_tuning(arms: &[(Config, Arm)], scope: &str) -> Claim {
    let claim = open(
        "IS9",
        "Fine-tuning a pre-trained network: much lower test error at a fixed early budget",
        "Fig 4, section 4.3",
        "bound at least 10 % (relative) below uniform, in the mean and beyond one paired standard error, also in \
         processor seconds, and below the loss; refuted: 95 % interval below 10 %; analogue: other classes of one data set",
        "33.74 to 28.06 %, 17 % (from memory)",
    );
    let found = match uniform_and_bound(arms) {
        Ok(found) => found,
        Err(why) => return not_tested(claim, why),
    };
    let Pair { uniform, importance: bound, .. } = found;
    let gains = gain(uniform, bound, ERROR);
    let mean = |arm: &Arm| arm.mean(|run| run.tail(ERROR));
    let below_loss = pair(arms, Score::Loss).is_ok_and(|p| mean(bound) < mean(p.importance));
    let seconds = gain_at(uniform, bound, Currency::Seconds, ERROR);
    let supported = gains.mean() >= 0.1 && gains.is_above() && below_loss;
    let refuted = gains.interval().is_some_and(|i| i.below(0.1));
    let reason = format!("An analogue only: no ImageNet network is used. {}", account(arms, &found, ERROR, None));
    decided(claim, at_both_costs(Verdict::of(supported, refuted), &seconds), &gains.values, scope, reason)
}

pub(super) fn sequence(profile: Profile, arms: &[(Config, Arm)], scope: &str) -> Claim {
    let claim = open(
        "IS10",
        "LSTM on permuted pixels: the bound lowers the training loss, sampling by the loss hurts",
        "Fig 5, section 4.4",
        "training loss: bound < uniform < loss, each by one paired standard error; refuted if a 95 % interval has one of \
         the two the other way round",
        ".1055 against .1139 test error, 20 % lower loss (from memory)",
    );
    let found = match uniform_and_bound(arms) {
        Ok(found) => found,
        Err(why) => return not_tested(claim, why),
    };
    let Pair { uniform, importance: bound, .. } = found;
    let Ok(Pair { importance: loss, .. }) = pair(arms, Score::Loss) else {
        return not_tested(claim, "the loss has not been run");
    };
    let (gains, by_loss) = (gain(uniform, bound, LOSS), gain(uniform, loss, LOSS));
    let seconds = gain_at(uniform, bound, Currency::Seconds, LOSS);
    let refuted = gains.interval().is_some_and(|i| i.below(0.)) || by_loss.interval().is_some_and(|i| i.above(0.));
    let shorter = match profile {
        Profile::Paper => "",
        _ => "; shorter sequences than the paper's",
    };
    let reason = format!(
        "Relative gain in training loss; sampling by the loss {}. In test error the bound has {}. {}",
        percent(&by_loss),
        percent(&gain(uniform, bound, ERROR)),
        account(arms, &found, LOSS, None),
    );
    let supported = gains.is_above() && by_loss.is_below();
    let found_verdict = at_both_costs(Verdict::of(supported, refuted), &seconds);
    decided(claim, found_verdict, &gains.values, &format!("{scope}{shorter}"), reason)
}

pub(super) fn overall(claims: &[Claim]) -> Claim {
    let claim = open(
        "IS13",
        "Overall: lower training loss and 5 to 17 % lower test error in the same time (the factor of ten is IS6b)",
        "abstract",
        "IS6a, IS7, IS9 and IS10 together: supported if all tested ones are and at least two were tested; refuted if at \
         least two are refuted",
        "1 order of magnitude; 5 and 17 %",
    );
    let parts: Vec<&Claim> = claims.iter().filter(|c| ["IS6a", "IS7", "IS9", "IS10"].contains(&&c.id[..])).collect();
    let count = |verdict: &Verdict| parts.iter().filter(|c| c.verdict == *verdict).count();
    let tested = parts.iter().filter(|c| !matches!(c.verdict, Verdict::NotTested(_))).count();
    let listed: Vec<String> = parts.iter().map(|c| format!("{} {}", c.id, c.verdict)).collect();
    let reason = format!("{}.", listed.join(", "));
    if tested < 2 {
        return not_tested(Claim { reason, ..claim }, "fewer than two of its parts could be tested:");
    }
    let verdict = Verdict::of(count(&Verdict::Supported) == tested, count(&Verdict::Refuted) >= 2);
    Claim { verdict, reason, ..claim }
}

pub(super) fn label_noise(noisy: &[(Config, Arm)], copies: &[(Config, Arm)], scope: &str) -> Claim {
    let claim = open(
        "IS15",
        "Limits: the gain in test error survives wrong labels (not claimed by the paper)",
        "",
        "with a fifth of the labels wrong: gain of the bound above 0 by one paired standard error, in seconds too; \
         refuted: 95 % interval below 0",
        "",
    );
    let found = match pair(noisy, Score::UpperBound) {
        Ok(found) => found,
        Err(why) => return not_tested(claim, why),
    };
    let control = pair(copies, Score::UpperBound).map_or(String::new(), |p| {
        format!(
            " Positive control, four fifths of the set one image: gain in test error {}, training loss {:.2} times \
             uniform's.",
            percent(&gain(p.uniform, p.importance, ERROR)),
            log_ratio(p.uniform, p.importance, LOSS).mean().exp()
        )
    });
    if let Err(why) = gate(found.importance) {
        return not_tested(Claim { reason: control.trim_start().into(), ..claim }, format!("{why}."));
    }
    let gains = gain(found.uniform, found.importance, ERROR);
    let seconds = gain_at(found.uniform, found.importance, Currency::Seconds, ERROR);
    let verdict = Verdict::of(gains.is_above(), gains.interval().is_some_and(|i| i.below(0.)));
    let reason = format!("Relative gain in test error; at equal processor seconds {}.{control}", percent(&seconds));
    decided(claim, at_both_costs(verdict, &seconds), &gains.values, scope, reason)
}
