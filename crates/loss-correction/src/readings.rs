//! Finished runs by method, level and seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use retrial_core::results::{Finished, Results};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::paper::LossCorrection;
use crate::train::Summary;

type Key = (String, u64);
type Cell = Arc<Finished<LossCorrection>>;

/// Runs on one data set, over all experiments of a profile.
pub struct Runs {
    cells: BTreeMap<Key, BTreeMap<u64, Cell>>,
    /// Data, network, length and profile, for captions and verdicts.
    pub scope: String,
}

fn key(method: &str, level: f64) -> Key {
    (method.to_string(), (level * 1e6).round() as u64)
}

impl Runs {
    /// The runs of the experiments that `wanted` names.
    pub fn of(results: &Results<LossCorrection>, wanted: impl Fn(&str) -> bool) -> Self {
        let mut cells: BTreeMap<Key, BTreeMap<u64, Cell>> = BTreeMap::new();
        let mut scope = String::new();
        for experiment in results.experiments.iter().filter(|e| wanted(&e.name)) {
            for cell in &experiment.finished {
                let c = &cell.config;
                let steps = c.train.div_ceil(c.batch) * c.epochs;
                let (data, profile) = (c.dataset, results.profile);
                scope = format!("{data}, {} images, {} epochs ({steps} steps), profile {profile}", c.train, c.epochs);
                cells.entry(key(&c.method.name(), c.level)).or_default().insert(c.seed, cell.clone());
            }
        }
        Self { cells, scope }
    }

    /// Finished runs of a method at a level, by seed.
    pub fn cells(&self, method: &str, level: f64) -> Vec<&Cell> {
        self.cells.get(&key(method, level)).into_iter().flat_map(BTreeMap::values).collect()
    }

    /// Levels at which a method was run.
    pub fn levels(&self, method: &str) -> Vec<f64> {
        self.cells.keys().filter(|(name, _)| name == method).map(|(_, level)| *level as f64 / 1e6).collect()
    }

    /// A number of each run.
    pub fn values(&self, method: &str, level: f64, value: impl Fn(&Summary) -> f64) -> Vec<f64> {
        self.cells(method, level).into_iter().map(|cell| value(&cell.summary)).collect()
    }

    /// Mean and 95 % interval over seeds.
    pub fn interval(&self, method: &str, level: f64, value: impl Fn(&Summary) -> f64) -> Option<Interval> {
        mean_t_interval(&self.values(method, level, value), 0.95).ok()
    }

    /// `value` of one method minus that of another, seed by seed.
    pub fn differences(&self, one: &str, other: &str, level: f64, value: impl Fn(&Summary) -> f64) -> Vec<f64> {
        let empty = BTreeMap::new();
        let of = |method: &str| self.cells.get(&key(method, level)).unwrap_or(&empty);
        let pairs = of(one).iter().filter_map(|(seed, a)| Some((a, of(other).get(seed)?)));
        pairs.map(|(a, b)| value(&a.summary) - value(&b.summary)).collect()
    }
}
