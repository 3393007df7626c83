//! IS14: the MNIST run of the official documentation, and its log.

use retrial_core::results::{Claim, Error, Reported, Verdict, not_tested, open};

use super::{Pair, account, decided, percent, reported, uniform_and_bound};
use crate::config::Config;
use crate::readings::{Arm, Currency, ERROR, LOSS, Paired, Run, gain, gain_at, gain_at_end};
use crate::sampling::TRAINED;

/// The log of the official documentation's MNIST run.
pub struct Documented {
    log: Reported,
}

/// An epoch of that log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedEpoch {
    /// From 1.
    pub epoch: usize,
    /// Since the start.
    pub seconds: f64,
    /// Running mean over the epoch, penalty included.
    pub train_loss: f64,
    /// Of the test images.
    pub test_error: f64,
}

impl Documented {
    /// From the embedded numbers.
    pub fn read() -> Result<Self, Error> {
        Ok(Self { log: reported()?.item("docs MNIST MLP") })
    }

    /// Epochs of `uniform` or `upper-bound`.
    pub fn epochs(&self, method: &str) -> Vec<LoggedEpoch> {
        let log = self.log.method(method);
        let number = |epoch: usize, metric: &str| {
            let found =
                log.numbers.iter().find(|n| n.level == format!("epoch {epoch}") && n.metric.starts_with(metric))?;
            let seconds = found.condition.split("cumulative ").nth(1)?.split(' ').next()?.parse().ok()?;
            Some((found.value, seconds))
        };
        let read = |epoch: usize| {
            let ((train_loss, seconds), (test_error, _)) = (number(epoch, "train loss")?, number(epoch, "test error")?);
            Some(LoggedEpoch { epoch, seconds, train_loss, test_error })
        };
        (1..).map_while(read).collect()
    }

    /// Test errors of uniform sampling after so many epochs and, at the same second, of the bound, on a line between its
    /// epochs.
    pub fn gain(&self, epochs: usize) -> Option<(f64, f64)> {
        let uniform = *self.epochs("uniform").get(epochs.checked_sub(1)?)?;
        let bound = self.epochs("upper-bound");
        let after = bound.iter().position(|e| e.seconds >= uniform.seconds)?;
        let (b, a) = (bound.get(after)?, bound.get(after.checked_sub(1)?)?);
        let share = (uniform.seconds - a.seconds) / (b.seconds - a.seconds);
        Some((uniform.test_error, a.test_error + share * (b.test_error - a.test_error)))
    }
}

pub(super) fn documented(arms: &[(Config, Arm)], scope: &str) -> Result<Claim, Error> {
    let claim = open(
        "IS14",
        "The documented MNIST run: lower training loss and test error than uniform sampling in the same time",
        "official documentation",
        "gains in training loss and test error at equal forward equivalents, and in test error at equal processor \
         seconds, each by the mean of the last tenth and by the last row, all beyond one paired standard error; refuted \
         if for one of the three both readings are losses, 95 % intervals",
        "test error 1.76 against 2.01 % at 30 s, training loss .0258 against .0305",
    );
    let found = match uniform_and_bound(arms) {
        Ok(found) => found,
        Err(why) => return Ok(not_tested(claim, why)),
    };
    let Pair { uniform, importance: bound, .. } = found;
    let at_end = |u: &Arm, b: &Arm| {
        Paired::of(u, b, |u, b| {
            let end = |run: &Run| run.spent(Currency::Seconds).last().copied().unwrap_or(f64::NAN);
            let end = end(u).min(end(b));
            1. - b.at(Currency::Seconds, end, ERROR) / u.at(Currency::Seconds, end, ERROR)
        })
    };
    let error = [gain(uniform, bound, ERROR), gain_at_end(uniform, bound, ERROR)];
    let readings = [
        [gain(uniform, bound, LOSS), gain_at_end(uniform, bound, LOSS)],
        error.clone(),
        [gain_at(uniform, bound, Currency::Seconds, ERROR), at_end(uniform, bound)],
    ];
    let supported = readings.iter().flatten().all(Paired::is_above);
    let lost = |gains: &Paired| gains.interval().is_some_and(|i| i.below(0.));
    let refuted = readings.iter().any(|both| both.iter().all(lost));
    // The log is read at our budget, counted in epochs of uniform training.
    let epochs = uniform
        .runs
        .values()
        .next()
        .map_or(0., |run| run.end(|row| row.forwards) / (TRAINED * run.config.task.train as f64));
    let published = Documented::read()?.gain(epochs.round() as usize);
    let log = published.map_or(String::new(), |(uniform, bound)| {
        format!("; the log has {:.2} against {:.2} % at that cost", 100. * bound, 100. * uniform)
    });
    let both =
        |[tail, end]: &[Paired; 2]| format!("{} by the last tenth, {} by the last row", percent(tail), percent(end));
    let reason = format!(
        "The estimate is the relative gain in test error by the last tenth; {} by the last row. In training loss {}. {} \
         At equal processor seconds {} by the last row. Ours, last tenth at the cost of {epochs:.0} epochs of uniform \
         training: test error {:.2} against {:.2} %{log}.",
        percent(&error[1]),
        both(&readings[0]),
        account(arms, &found, ERROR, published.map(|(uniform, bound)| 1. - bound / uniform)),
        percent(&readings[2][1]),
        100. * bound.mean(|run| run.tail(ERROR)),
        100. * uniform.mean(|run| run.tail(ERROR)),
    );
    Ok(decided(claim, Verdict::of(supported, refuted), &error[0].values, scope, reason))
}
