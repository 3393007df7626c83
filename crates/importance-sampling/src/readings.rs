//! Finished cells arranged as arms of paired comparisons.

use std::collections::BTreeMap;

use retrial_core::data::DatasetId;
use retrial_core::results::{Error, Results};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::analysis::{Probabilities, Snapshot};
use crate::config::{Config, ControlVariate, Method, Score};
use crate::paper::ImportanceSampling;
use crate::sampling::TRAINED;
use crate::training::{Row, Summary};

/// A number of a row.
pub type Value = fn(&Row) -> f64;

/// Plain loss on a fixed part of the training set.
pub const LOSS: Value = |row| row.train_loss;
/// Share of wrong predictions on the test samples.
pub const ERROR: Value = |row| row.test_error;

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was.
    pub config: Config,
    /// Its rows.
    pub rows: Vec<Row>,
    /// What remained.
    pub summary: Summary,
}

/// What a comparison holds equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Currency {
    /// Forward passes, where a sample trained on costs so many of one scored.
    Forwards(f64),
    /// Processor seconds of training.
    Seconds,
    /// Updates of the weights.
    Updates,
}

impl Run {
    /// What has been spent at each row.
    pub fn spent(&self, currency: Currency) -> Vec<f64> {
        match currency {
            Currency::Seconds => self.summary.seconds.clone(),
            Currency::Updates => self.rows.iter().map(|row| row.updates as f64).collect(),
            Currency::Forwards(kappa) => {
                self.rows.iter().map(|row| row.forwards + (kappa - TRAINED) * row.trained as f64).collect()
            }
        }
    }

    /// A number of the rows at the moment when so much is spent, between rows on a line.
    pub fn at(&self, currency: Currency, moment: f64, value: Value) -> f64 {
        let points: Vec<(f64, f64)> = self.spent(currency).into_iter().zip(self.rows.iter().map(value)).collect();
        match points.iter().position(|(at, _)| *at >= moment) {
            None => points.last().map_or(f64::NAN, |p| p.1),
            Some(0) => points[0].1,
            Some(i) => {
                let ((a, u), (b, v)) = (points[i - 1], points[i]);
                u + (v - u) * (moment - a) / (b - a)
            }
        }
    }

    /// Mean over the last tenth of what has been spent at `end`, at as many moments as that tenth has rows.
    pub fn tail_at(&self, currency: Currency, end: f64, value: Value) -> f64 {
        let step = end / (self.rows.len().max(2) - 1) as f64;
        let moments = 0..self.rows.len().div_ceil(10);
        let n = moments.len() as f64;
        moments.map(|j| self.at(currency, end - j as f64 * step, value)).sum::<f64>() / n
    }

    /// Mean over the last tenth of the rows.
    pub fn tail(&self, value: Value) -> f64 {
        let rows = &self.rows[self.rows.len() - self.rows.len().div_ceil(10)..];
        rows.iter().map(value).sum::<f64>() / rows.len() as f64
    }

    /// Learning rate of the update that comes to so many updates.
    pub fn rate_before(&self, updates: f64) -> f64 {
        let row = self.rows.iter().rev().find(|row| (row.updates as f64) < updates).or(self.rows.first());
        row.map_or(f64::NAN, |row| row.rate)
    }

    /// The last row's number.
    pub fn end(&self, value: Value) -> f64 {
        self.rows.last().map_or(f64::NAN, value)
    }

    /// Whether the network predicts no better than chance at the end, by its training loss.
    pub fn has_collapsed(&self) -> bool {
        let task = &self.config.task;
        let all = if task.source == DatasetId::Cifar100 { 100 } else { 10 };
        let classes = task.classes.map_or(all, |(from, to)| to - from);
        self.summary.train_loss >= 0.97 * f64::from(classes).ln()
    }
}

/// Runs of one method by seed.
#[derive(Clone, Debug, Default)]
pub struct Arm {
    /// By seed.
    pub runs: BTreeMap<u64, Run>,
    /// Runs whose network ended at chance: they are counted and not averaged in.
    pub collapsed: BTreeMap<u64, Run>,
}

impl Arm {
    /// A number of every run.
    pub fn values(&self, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.runs.values().map(value).collect()
    }

    /// Mean of a number over the runs.
    pub fn mean(&self, value: impl Fn(&Run) -> f64) -> f64 {
        let values = self.values(value);
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Runs that ended, also those that ended at chance, which a claim of being better must count.
    pub fn with_collapsed(&self) -> Self {
        let all = self.runs.iter().chain(&self.collapsed).map(|(seed, run)| (*seed, run.clone()));
        Self { runs: all.collect(), collapsed: BTreeMap::new() }
    }

    /// Runs that sampled by score at least once.
    pub fn switched_on(&self) -> usize {
        self.runs.values().filter(|run| run.summary.switched_on.is_some()).count()
    }
}

/// The arms of an experiment by method. Runs that diverged are left out, those that collapsed stand apart.
pub fn arms(results: &Results<ImportanceSampling>, experiment: &str) -> Result<Vec<(Config, Arm)>, Error> {
    let mut arms: Vec<(Config, Arm)> = vec![];
    for cell in results.finished(experiment) {
        let run = Run { config: cell.config.clone(), rows: cell.epochs()?, summary: cell.summary.clone() };
        let plain = Config { seed: 0, ..cell.config.clone() };
        let index = arms.iter().position(|(config, _)| *config == plain).unwrap_or_else(|| {
            arms.push((plain, Arm::default()));
            arms.len() - 1
        });
        let arm = &mut arms[index].1;
        let own = if run.has_collapsed() { &mut arm.collapsed } else { &mut arm.runs };
        own.insert(cell.config.seed, run);
    }
    Ok(arms)
}

/// The arm of a method.
pub fn arm(arms: &[(Config, Arm)], wanted: impl Fn(&Method) -> bool) -> Option<&Arm> {
    arms.iter().find(|(config, _)| wanted(&config.method)).map(|(_, arm)| arm)
}

/// Plain uniform sampling.
pub fn is_uniform(method: &Method) -> bool {
    *method == Method::Uniform
}

/// Algorithm 1 with this score, switched by tau; `ratio` is B / b and `tau_th` its threshold, where they matter.
pub fn is_importance(
    score: Score,
    batch: usize,
    ratio: Option<usize>,
    tau_th: Option<f64>,
) -> impl Fn(&Method) -> bool {
    move |method| match *method {
        Method::Importance { score: s, presample, threshold } => {
            s == score
                && ratio.is_none_or(|k| presample == k * batch)
                && tau_th.map_or(threshold > 0., |t| (threshold - t).abs() < 1e-9)
        }
        _ => false,
    }
}

/// A method in a legend.
pub fn label(config: &Config) -> String {
    match config.method {
        Method::Uniform => "uniform".into(),
        Method::UniformAtEqualCost { .. } => "uniform, larger batch".into(),
        Method::Importance { score, presample, threshold } => {
            let score = match score {
                Score::UpperBound => "bound",
                Score::Loss => "loss",
                Score::Constant => "constant score",
            };
            let ratio = presample / config.batch;
            if threshold > 0. {
                format!("{score}, B = {ratio}b, τ > {threshold:.1}")
            } else {
                format!("{score}, always on")
            }
        }
        Method::LoshchilovHutter { first, .. } => format!("ranks (L&H), s = {first}"),
        Method::Schaul { alpha, beta, .. } => format!("priorities, a = {alpha}, β = {beta}"),
        Method::ControlVariate { variant, .. } => match variant {
            ControlVariate::Svrg => "SVRG".into(),
            ControlVariate::Scsg { .. } => "SCSG".into(),
            ControlVariate::Katyusha { published_sign: false } => "Katyusha".into(),
            ControlVariate::Katyusha { published_sign: true } => "Katyusha, published sign".into(),
        },
    }
}

/// A paired comparison over the seeds that both arms have.
#[derive(Clone, Debug)]
pub struct Paired {
    /// A number of each pair.
    pub values: Vec<f64>,
}

impl Paired {
    /// `value(a, b)` of every seed.
    pub fn of(a: &Arm, b: &Arm, value: impl Fn(&Run, &Run) -> f64) -> Self {
        let pair = |(seed, a): (&u64, &Run)| b.runs.get(seed).map(|b| value(a, b));
        Self { values: a.runs.iter().filter_map(pair).filter(|v| v.is_finite()).collect() }
    }

    /// Mean and 95 % t interval.
    pub fn interval(&self) -> Option<Interval> {
        self.interval_of(1)
    }

    /// The same where it is one of so many comparisons, all of which are to hold (Bonferroni).
    pub fn interval_of(&self, comparisons: usize) -> Option<Interval> {
        mean_t_interval(&self.values, 1. - 0.05 / comparisons as f64).ok()
    }

    /// Mean.
    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// Standard error of the mean; infinite for fewer than two pairs.
    pub fn standard_error(&self) -> f64 {
        let n = self.values.len() as f64;
        let mean = self.mean();
        if n < 2. {
            return f64::INFINITY;
        }
        (self.values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.) / n).sqrt()
    }

    /// Whether the mean is above zero by more than one standard error.
    pub fn is_above(&self) -> bool {
        self.values.len() >= 2 && self.mean() > self.standard_error()
    }

    /// Whether it is below zero by more than one standard error.
    pub fn is_below(&self) -> bool {
        self.values.len() >= 2 && -self.mean() > self.standard_error()
    }
}

/// `1 - b / a`, the share by which `b` is below `a`, averaged over the last tenth of the rows.
pub fn gain(a: &Arm, b: &Arm, value: Value) -> Paired {
    Paired::of(a, b, |a, b| 1. - b.tail(value) / a.tail(value))
}

/// The same by the last row alone.
pub fn gain_at_end(a: &Arm, b: &Arm, value: Value) -> Paired {
    Paired::of(a, b, |a, b| 1. - b.end(value) / a.end(value))
}

/// The last tenth before the moment when the cheaper of the two has spent its budget.
pub fn gain_at(a: &Arm, b: &Arm, currency: Currency, value: Value) -> Paired {
    Paired::of(a, b, |a, b| {
        let end = |run: &Run| run.spent(currency).last().copied().unwrap_or(f64::NAN);
        let end = end(a).min(end(b));
        1. - b.tail_at(currency, end, value) / a.tail_at(currency, end, value)
    })
}

/// `b / a` of a number's mean over the last tenth of the rows, as a logarithm.
pub fn log_ratio(a: &Arm, b: &Arm, value: Value) -> Paired {
    Paired::of(a, b, |a, b| (b.tail(value) / a.tail(value)).ln())
}

/// Cost of a sample trained on over that of a sample scored, by processor seconds, over all runs that did both.
pub fn measured_cost_ratio(arms: &[(Config, Arm)]) -> Option<f64> {
    let ratios: Vec<f64> = arms
        .iter()
        .flat_map(|(_, arm)| arm.runs.values())
        .filter(|run| run.summary.account.scored > 10_000)
        .filter_map(|run| Some(run.summary.seconds_trained? / run.summary.seconds_scored?))
        .filter(|r| r.is_finite())
        .collect();
    retrial_core::stats::quantile(&ratios, 0.5).ok()
}

/// The variance analysis of one run.
#[derive(Clone, Debug)]
pub struct Analysed {
    /// Its seed.
    pub seed: u64,
    /// Updates in all.
    pub updates: u64,
    /// After the first update, by time.
    pub snapshots: Vec<Snapshot>,
    /// The same moments.
    pub probabilities: Vec<Probabilities>,
}

/// Every run of an experiment that was analysed; the untrained network is left out, as in the paper.
pub fn analysed(results: &Results<ImportanceSampling>, experiment: &str) -> Result<Vec<Analysed>, Error> {
    let of = |cell: &retrial_core::results::Finished<ImportanceSampling>| -> Result<Analysed, Error> {
        let mut snapshots: Vec<Snapshot> = cell.table("variance")?;
        let mut probabilities: Vec<Probabilities> = cell.table("probabilities")?;
        snapshots.retain(|s| s.updates > 0);
        probabilities.retain(|p| p.updates > 0);
        Ok(Analysed { seed: cell.config.seed, updates: cell.summary.account.updates, snapshots, probabilities })
    };
    results.finished(experiment).iter().map(|cell| of(cell)).collect()
}

#[cfg(test)]
pub mod made {
    //! Runs made by hand.

    use retrial_core::experiment::Profile;

    use super::*;
    use crate::training::Account;

    /// A run of eleven rows with the same loss and error at each, two samples of training for one of scoring where it
    /// scores.
    pub fn run(method: Method, seed: u64, loss: f64, error: f64) -> Run {
        let mut grid = crate::experiments::grid(Profile::Smoke, Some(1)).into_iter();
        let config = grid.find(|e| e.name == "R3").unwrap().cells.remove(0);
        let config = Config { method, seed, ..config };
        let b = config.batch as u64;
        let scored = if let Method::Importance { presample, .. } = method { presample as u64 } else { 0 };
        let row = |i: u64| Row {
            share: i as f64 / 10.,
            updates: 100 * i,
            trained: 100 * i * b,
            forwards: (100 * i * (3 * b + scored)) as f64,
            rate: if i < 5 { 0.1 } else { 0.02 },
            step_loss: None,
            train_loss: loss,
            train_error: error,
            test_loss: loss,
            test_error: error,
            tau: 2.,
            tau_latest: 2.,
            active: Some(1.),
        };
        let on = (scored > 0).then_some(100);
        let summary = Summary {
            account: Account { updates: 1000, scored: 1000 * scored, trained: 1000 * b },
            switched_on: on,
            switched_on_share: on.map(|update| update as f64 / 1000.),
            train_loss: loss,
            test_loss: loss,
            test_error: error,
            tail_test_error: error,
            seconds: (0..=10).map(f64::from).collect(),
            seconds_scored: (scored > 0).then_some(1e-5),
            seconds_trained: Some(2e-5),
        };
        Run { config, rows: (0..=10).map(row).collect(), summary }
    }

    /// An arm of runs by `(loss, error)`, seeds from 0; a loss of chance or more is a collapse.
    pub fn arm(method: Method, results: &[(f64, f64)]) -> (Config, Arm) {
        let mut arm = Arm::default();
        for (seed, (loss, error)) in results.iter().enumerate() {
            let run = run(method, seed as u64, *loss, *error);
            let own = if run.has_collapsed() { &mut arm.collapsed } else { &mut arm.runs };
            own.insert(seed as u64, run);
        }
        (Config { seed: 0, ..run(method, 0, 0., 0.).config }, arm)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    const BOUND: Method = Method::Importance { score: Score::UpperBound, presample: 80, threshold: 1.5 };

    /// Seed 1 is missing on one side and seed 2 has collapsed on the other: only seeds 0 and 3 are compared.
    #[test]
    fn pairs_are_the_seeds_that_both_have() {
        let (_, mut uniform) = made::arm(Method::Uniform, &[(0.2, 0.1), (0.2, 0.1), (0.2, 0.2), (0.4, 0.2)]);
        let (_, bound) = made::arm(BOUND, &[(0.1, 0.08), (0.1, 0.08), (0.69, 0.5), (0.1, 0.19)]);
        uniform.runs.remove(&1);
        assert_eq!(bound.collapsed.keys().collect::<Vec<_>>(), [&2]);
        let gains = gain(&uniform, &bound, LOSS).values;
        assert_relative_eq!(gains[0], 0.5);
        assert_relative_eq!(gains[1], 0.75);
        assert_eq!(gains.len(), 2);
        // Counted, the collapsed run is a loss.
        let all = gain(&uniform, &bound.with_collapsed(), ERROR).values;
        assert_relative_eq!(all[1], 1. - 0.5 / 0.2);
        assert_eq!(bound.switched_on(), 3);
    }

    /// A falling loss read between rows, in each currency.
    #[test]
    fn a_number_is_read_at_the_moment_when_so_much_is_spent() {
        let mut run = made::run(BOUND, 0, 0.5, 0.1);
        run.rows.iter_mut().enumerate().for_each(|(i, row)| row.train_loss = 1. - i as f64 / 10.);
        run.summary.seconds = (0..=10).map(|i| f64::from(i * i)).collect();
        // Between 4 s (row 2, loss .8) and 9 s (row 3, loss .7).
        assert_relative_eq!(run.at(Currency::Seconds, 5., LOSS), 0.78, max_relative = 1e-12);
        assert_relative_eq!(run.at(Currency::Updates, 250., LOSS), 0.75, max_relative = 1e-12);
        assert_relative_eq!(run.at(Currency::Seconds, 1e9, LOSS), 0., epsilon = 1e-12);
        assert_relative_eq!(run.at(Currency::Seconds, 0., LOSS), 1.);
        // 16 samples trained on and 80 scored an update: 128 forward equivalents at 3, 112 at 2.
        let end = |kappa| *run.spent(Currency::Forwards(kappa)).last().unwrap();
        assert_eq!((end(3.), end(2.)), (128e3, 112e3));
        // Eleven rows have two in their last tenth: at the end and a tenth of the way before.
        assert_relative_eq!(run.tail(LOSS), 0.05, epsilon = 1e-12);
        assert_relative_eq!(run.tail_at(Currency::Updates, 1000., LOSS), 0.05, epsilon = 1e-12);
        assert_relative_eq!(run.tail_at(Currency::Updates, 500., LOSS), (0.5 + 0.55) / 2., max_relative = 1e-12);
        assert_relative_eq!(run.end(LOSS), 0., epsilon = 1e-12);
        assert_eq!((run.rate_before(500.), run.rate_before(501.), run.rate_before(1000.)), (0.1, 0.02, 0.02));
    }

    /// The slower one is read when the faster one has ended.
    #[test]
    fn gains_in_seconds_stop_with_the_faster() {
        let (_, uniform) = made::arm(Method::Uniform, &[(0.4, 0.2)]);
        let (_, mut bound) = made::arm(BOUND, &[(0.2, 0.1)]);
        let slow = bound.runs.get_mut(&0).unwrap();
        slow.summary.seconds.iter_mut().for_each(|s| *s *= 2.);
        slow.rows.iter_mut().enumerate().for_each(|(i, row)| row.train_loss = 1. - i as f64 / 20.);
        // At 10 s the slow run is at row 5, loss .75, and at 9 s half-way before: .775.
        let expected = 1. - (0.75 + 0.775) / 2. / 0.4;
        assert_relative_eq!(
            gain_at(&uniform, &bound, Currency::Seconds, LOSS).values[0],
            expected,
            max_relative = 1e-12
        );
    }

    #[test]
    fn one_standard_error_and_intervals() {
        let gains = Paired { values: vec![0.1, 0.2, 0.3] };
        assert_relative_eq!(gains.standard_error(), 0.1 / 3f64.sqrt(), max_relative = 1e-12);
        assert!(gains.is_above() && !gains.is_below());
        assert!(!Paired { values: vec![1.] }.is_above() && !Paired { values: vec![-0.1, 0.12] }.is_above());
        // t of 4.303 at 95 %; of four comparisons 98.75 %, t = 8.860.
        assert_relative_eq!(gains.interval().unwrap().low, 0.2 - 4.302_65 * 0.057_735, max_relative = 1e-4);
        assert_relative_eq!(gains.interval_of(4).unwrap().high, 0.2 + 8.860 * 0.057_735, max_relative = 1e-3);
    }
}
