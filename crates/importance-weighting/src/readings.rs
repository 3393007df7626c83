//! What tables, figures and verdicts read from finished cells.

use std::collections::BTreeMap;

use retrial_core::results::{Error, Results};

use crate::config::{Config, Images, LabelShift, Plane};
use crate::equivalence::{self, Observation};
use crate::images::{self, Row};
use crate::paper::{ImportanceWeighting, Summary};
use crate::{label_shift, plane};

/// Epochs at the end of which training accuracy must be 100 %.
const HELD: usize = 20;
/// Median training gap that counts as separated, in nats; |ln R| where that is more.
const LEAST_GAP: f64 = 4.;
/// Largest change of f over the last tenth of the epochs.
const SETTLED: f64 = 0.01;

/// Whether a run says anything about the end of training (section 3.5 of the protocol's gates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// All training images right for the last epochs, by a wide gap, and f has settled.
    Separated,
    /// Not so yet.
    NotYet,
    /// One answer for every training image.
    Collapsed,
}

impl Gate {
    /// Of a run with these rows.
    pub fn of(rows: &[Row], ratio: f64) -> Self {
        let Some(last) = rows.last() else { return Gate::NotYet };
        let accuracies = [last.train_accuracy_cat, last.train_accuracy_dog];
        if accuracies == [0., 1.] || accuracies == [1., 0.] {
            return Gate::Collapsed;
        }
        // From the last row at or before the start of the stretch on.
        let from = |epoch: usize| rows.iter().rposition(|r| r.epoch <= epoch).unwrap_or(0);
        let right = |r: &Row| r.train_accuracy_cat == 1. && r.train_accuracy_dog == 1.;
        let held = rows[from(last.epoch.saturating_sub(HELD))..].iter().all(right);
        let wide = last.gap_median >= LEAST_GAP.max(ratio.ln().abs());
        let before = &rows[from(last.epoch - last.epoch.div_ceil(10))];
        let settled = (last.fraction - before.fraction).abs() <= SETTLED + 1e-9;
        if held && wide && settled { Gate::Separated } else { Gate::NotYet }
    }
}

/// A finished network.
pub struct Run {
    /// What it was trained with.
    pub config: Images,
    /// What came out.
    pub summary: images::Summary,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Whether it counts.
    pub gate: Gate,
}

impl Run {
    pub fn separated(&self) -> bool {
        self.gate == Gate::Separated
    }

    /// Whether the training images are still told apart, as an L2 arm must: balanced accuracy of at least 0.8.
    pub fn trains(&self) -> bool {
        self.summary.last.balanced_train_accuracy() >= 0.8
    }

    /// The epoch after which f stays within 0.03 of its final value.
    pub fn settling_epoch(&self) -> usize {
        let near = |r: &Row| (r.fraction - self.summary.last.fraction).abs() <= 0.03;
        self.rows.iter().rposition(|r| !near(r)).map_or(1, |i| self.rows[(i + 1).min(self.rows.len() - 1)].epoch)
    }
}

/// The finished networks of an experiment.
pub fn runs(results: &Results<ImportanceWeighting>, experiment: &str) -> Result<Vec<Run>, Error> {
    let mut runs = vec![];
    for cell in results.finished(experiment) {
        if let (Config::Images(config), Summary::Images(summary)) = (&cell.config, &cell.summary) {
            let rows: Vec<Row> = cell.epochs()?;
            let gate = Gate::of(&rows, config.ratio);
            runs.push(Run { config: config.clone(), summary: summary.clone(), rows, gate });
        }
    }
    Ok(runs)
}

/// The finished classifiers of the plane.
pub fn plane_cells(results: &Results<ImportanceWeighting>, experiment: &str) -> Vec<(Plane, plane::Summary)> {
    let cells = results.finished(experiment).iter();
    cells
        .filter_map(|cell| match (&cell.config, &cell.summary) {
            (Config::Plane(config), Summary::Plane(summary)) => Some((config.clone(), summary.clone())),
            _ => None,
        })
        .collect()
}

/// The finished cells of the label-shift study.
pub fn label_shifts(results: &Results<ImportanceWeighting>) -> Vec<(LabelShift, label_shift::Summary)> {
    let cells = results.finished("label-shift").iter();
    cells
        .filter_map(|cell| match (&cell.config, &cell.summary) {
            (Config::LabelShift(config), Summary::LabelShift(summary)) => Some((config.clone(), summary.clone())),
            _ => None,
        })
        .collect()
}

/// The distinct values of a number, rising.
pub fn distinct(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// A value of the kept runs at each of some ratios, for every seed that has all of them: `(seed, values)`.
pub fn by_seed(
    runs: &[Run],
    ratios: &[f64],
    keep: impl Fn(&Run) -> bool,
    value: impl Fn(&Run) -> f64,
) -> Vec<(u64, Vec<f64>)> {
    let mut found: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| keep(run)) {
        found.entry(run.config.seed).or_default().insert(run.config.ratio.to_bits(), value(run));
    }
    let complete = found.into_iter().filter_map(|(seed, values)| {
        let values: Option<Vec<f64>> = ratios.iter().map(|ratio| values.get(&ratio.to_bits()).copied()).collect();
        Some((seed, values?))
    });
    complete.collect()
}

/// β of each seed: least-squares slope of a value on log₂ R, over seeds whose every ratio is kept.
pub fn slopes(runs: &[Run], keep: impl Fn(&Run) -> bool, value: impl Fn(&Run) -> f64) -> Vec<f64> {
    let ratios = distinct(runs.iter().map(|run| run.config.ratio));
    let x: Vec<f64> = ratios.iter().map(|ratio| ratio.log2()).collect();
    by_seed(runs, &ratios, keep, value).iter().map(|(_, y)| slope(&x, y)).collect()
}

/// Least-squares slope.
pub fn slope(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let sxy: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    sxy / x.iter().map(|x| (x - mx) * (x - mx)).sum::<f64>()
}

/// Equivalence of each ratio with 1:1, over pairs of runs that are both kept.
pub fn equivalence(
    runs: &[Run],
    margin: f64,
    keep: impl Fn(&Run) -> bool,
    value: impl Fn(&Run) -> f64,
) -> Vec<equivalence::Row> {
    let observe = |run: &Run| Observation { seed: run.config.seed, ratio: run.config.ratio, fraction: value(run) };
    let observations: Vec<Observation> = runs.iter().filter(|run| keep(run)).map(observe).collect();
    equivalence::analyse(&observations, margin)
}

/// Largest spread of f over the ratios at one of the first five epochs, by seed.
pub fn early_spread(runs: &[Run]) -> Vec<f64> {
    let ratios = distinct(runs.iter().map(|run| run.config.ratio));
    let mut best: BTreeMap<u64, f64> = BTreeMap::new();
    for epoch in 1..=5 {
        let at = |run: &Run| run.rows.iter().find(|r| r.epoch == epoch).map_or(f64::NAN, |r| r.fraction);
        for (seed, values) in by_seed(runs, &ratios, |run| at(run).is_finite(), at) {
            let entry = best.entry(seed).or_insert(0.);
            *entry = entry.max(spread(&values));
        }
    }
    best.into_values().collect()
}

/// Largest minus smallest.
pub fn spread(values: &[f64]) -> f64 {
    values.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b)) - values.iter().fold(f64::INFINITY, |a, &b| a.min(b))
}

/// Share of held-out images on which two runs differ.
pub fn disagreement(a: &Run, b: &Run) -> f64 {
    let (a, b) = (a.summary.predictions.bytes(), b.summary.predictions.bytes());
    let n = a.len().max(1) as f64;
    a.zip(b).filter(|(a, b)| a != b).count() as f64 / n
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    fn row(epoch: usize, accuracy: f64, gap: f64, fraction: f64) -> Row {
        Row {
            epoch,
            loss: 0.,
            train_accuracy_cat: accuracy,
            train_accuracy_dog: 1.,
            gap_cat: gap,
            gap_dog: gap,
            gap_median: gap,
            norm: 1.,
            fraction,
            fraction_cat: fraction,
            fraction_dog: fraction,
            fraction_other: fraction,
            fraction_noise: fraction,
            fraction_gaussian: fraction,
            fraction_batch_statistics: None,
            logit_shift: 0.,
            validation_loss: 1.,
        }
    }

    #[test]
    fn gates_by_hand() {
        let good = [row(60, 1., 9., 0.5), row(80, 1., 9., 0.5), row(100, 1., 9., 0.505)];
        assert_eq!(Gate::of(&good, 16.), Gate::Separated);
        let gate = |change: &dyn Fn(&mut Vec<Row>)| {
            let mut rows = good.to_vec();
            change(&mut rows);
            Gate::of(&rows, 16.)
        };
        assert_eq!(gate(&|rows| rows[1].train_accuracy_cat = 0.99), Gate::NotYet);
        assert_eq!(gate(&|rows| rows[0].train_accuracy_cat = 0.99), Gate::Separated);
        assert_eq!(gate(&|rows| rows[2].fraction = 0.52), Gate::NotYet);
        assert_eq!(gate(&|rows| rows[2].gap_median = 3.9), Gate::NotYet);
        assert_eq!(Gate::of(&[row(100, 1., 5., 0.5)], 256.), Gate::NotYet);
        assert_eq!(gate(&|rows| rows[2].train_accuracy_cat = 0.), Gate::Collapsed);
    }

    #[test]
    fn slopes_by_hand() {
        assert_abs_diff_eq!(slope(&[-3., 0., 3.], &[0.2, 0.5, 0.8]), 0.1, epsilon = 1e-15);
        assert_abs_diff_eq!(spread(&[0.2, 0.9, 0.4]), 0.7, epsilon = 1e-15);
    }
}
