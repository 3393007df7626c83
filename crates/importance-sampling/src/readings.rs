//! Finished cells arranged as arms of paired comparisons.

use std::collections::BTreeMap;

use retrial_core::data::DatasetId;
use retrial_core::results::{Error, Results};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::analysis::{Probabilities, Snapshot};
use crate::config::{Config, ControlVariate, Method, Score};
use crate::paper::ImportanceSampling;
use crate::training::{Row, Summary};

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

impl Run {
    /// A number of the rows at a moment given in processor seconds of training, between rows on a line.
    pub fn at_seconds(&self, seconds: f64, value: fn(&Row) -> f64) -> f64 {
        let points: Vec<(f64, f64)> = self.summary.seconds.iter().copied().zip(self.rows.iter().map(value)).collect();
        match points.iter().position(|(at, _)| *at >= seconds) {
            None => points.last().map_or(f64::NAN, |p| p.1),
            Some(0) => points[0].1,
            Some(i) => {
                let ((a, u), (b, v)) = (points[i - 1], points[i]);
                u + (v - u) * (seconds - a) / (b - a)
            }
        }
    }

    /// Whether the network predicts no better than chance at the end, by its training loss.
    pub fn has_collapsed(&self) -> bool {
        let task = &self.config.task;
        let all = if task.source == DatasetId::Cifar100 { 100 } else { 10 };
        let classes = task.classes.map_or(all, |(from, to)| to - from);
        self.summary.train_loss >= 0.97 * f64::from(classes).ln()
    }

    /// The last row's number.
    pub fn end(&self, value: fn(&Row) -> f64) -> f64 {
        self.rows.last().map_or(f64::NAN, value)
    }

    fn end_seconds(&self) -> f64 {
        self.summary.seconds.last().copied().unwrap_or(f64::NAN)
    }
}

/// Runs of one method by seed.
#[derive(Clone, Debug, Default)]
pub struct Arm {
    /// By seed.
    pub runs: BTreeMap<u64, Run>,
    /// Runs whose network ended at chance: they are counted and not averaged in.
    pub collapsed: usize,
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

    /// Runs that sampled by score at least once.
    pub fn switched_on(&self) -> usize {
        self.runs.values().filter(|run| run.summary.switched_on.is_some()).count()
    }
}

/// The arms of an experiment by method; runs that diverged or collapsed are left out.
pub fn arms(results: &Results<ImportanceSampling>, experiment: &str) -> Result<Vec<(Config, Arm)>, Error> {
    let mut arms: Vec<(Config, Arm)> = vec![];
    for cell in results.finished(experiment) {
        let run = Run { config: cell.config.clone(), rows: cell.epochs()?, summary: cell.summary.clone() };
        let plain = Config { seed: 0, ..cell.config.clone() };
        let index = arms.iter().position(|(config, _)| *config == plain).unwrap_or_else(|| {
            arms.push((plain, Arm::default()));
            arms.len() - 1
        });
        match run.has_collapsed() {
            true => arms[index].1.collapsed += 1,
            false => _ = arms[index].1.runs.insert(cell.config.seed, run),
        }
    }
    arms.retain(|(_, arm)| !arm.runs.is_empty());
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
        mean_t_interval(&self.values, 0.95).ok()
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

/// `1 - b / a`, the share by which `b` is below `a`: at the end of the budget, averaged over the last tenth of its rows.
pub fn gain(a: &Arm, b: &Arm, value: fn(&Run) -> f64) -> Paired {
    Paired::of(a, b, |a, b| 1. - value(b) / value(a))
}

/// The same at the moment when the faster of the two has spent its budget, in processor seconds.
pub fn gain_in_seconds(a: &Arm, b: &Arm, value: fn(&Row) -> f64) -> Paired {
    Paired::of(a, b, |a, b| {
        let seconds = a.end_seconds().min(b.end_seconds());
        1. - b.at_seconds(seconds, value) / a.at_seconds(seconds, value)
    })
}

/// Test error averaged over the last tenth of the rows.
pub fn tail_error(run: &Run) -> f64 {
    run.summary.tail_test_error
}

/// Training loss averaged over the last tenth of the rows.
pub fn tail_loss(run: &Run) -> f64 {
    let rows = &run.rows[run.rows.len() - run.rows.len().div_ceil(10)..];
    rows.iter().map(|row| row.train_loss).sum::<f64>() / rows.len() as f64
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
