//! Finished runs by data set, method, level and seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use retrial_core::data::DatasetId;
use retrial_core::experiment::Profile;
use retrial_core::model::Architecture;
use retrial_core::results::{Error, Results};
use retrial_core::stats::{Interval, mean_t_interval};

use crate::config::{Config, Noise};
use crate::experiments;
use crate::paper::LossCorrection;
use crate::train::{Bin, Calibration, Epoch, Summary};

/// A method at a level.
pub type Arm = (&'static str, f64);

/// A finished run: everything that it left.
#[derive(Clone, Debug)]
pub struct Run {
    pub config: Config,
    pub summary: Summary,
    pub epochs: Vec<Epoch>,
    pub histogram: Vec<Bin>,
    pub calibration: Vec<Calibration>,
}

type Key = (String, u64);

fn key(method: &str, level: f64) -> Key {
    (method.to_string(), (level * 1e6).round() as u64)
}

/// Finished runs on one data set whose labels were spoilt in one way, over all experiments of a profile.
#[derive(Clone)]
pub struct Runs {
    dataset: DatasetId,
    noise: Noise,
    profile: Profile,
    runs: BTreeMap<Key, BTreeMap<u64, Arc<Run>>>,
}

impl Runs {
    /// None so far.
    pub fn new(dataset: DatasetId, noise: Noise, profile: Profile) -> Self {
        Self { dataset, noise, profile, runs: BTreeMap::new() }
    }

    /// The runs of a profile, apart by data set and by how labels were spoilt, in the order of the grid: the first is what
    /// the claims are judged on.
    ///
    /// # Errors
    /// If a file of a run cannot be read.
    pub fn groups(results: &Results<LossCorrection>) -> Result<Vec<Self>, Error> {
        let mut runs = vec![];
        for cell in results.experiments.iter().flat_map(|e| &e.finished) {
            let (config, summary) = (cell.config.clone(), cell.summary.clone());
            let (epochs, histogram, calibration) =
                (cell.epochs()?, cell.table("histogram")?, cell.table("calibration")?);
            runs.push(Run { config, summary, epochs, histogram, calibration });
        }
        Ok(Self::apart(results.profile, runs))
    }

    /// See [`Self::groups`].
    pub fn apart(profile: Profile, runs: Vec<Run>) -> Vec<Self> {
        let mut groups: Vec<Self> = vec![];
        let mut kind = |c: &Config| {
            let known = groups.iter().position(|g| g.dataset == c.dataset && g.noise == c.noise);
            let at = known.unwrap_or(groups.len());
            if known.is_none() {
                groups.push(Self::new(c.dataset, c.noise, profile));
            }
            at
        };
        for c in experiments::grid(profile, Some(1)).iter().flat_map(|e| &e.cells) {
            kind(c);
        }
        let places: Vec<usize> = runs.iter().map(|run| kind(&run.config)).collect();
        for (run, at) in runs.into_iter().zip(places) {
            groups[at].insert(run);
        }
        groups
    }

    /// Adds a run; two experiments may share one.
    pub fn insert(&mut self, run: Run) {
        let c = &run.config;
        self.runs.entry(key(&c.method.name(), c.level)).or_default().insert(c.seed, Arc::new(run));
    }

    /// The runs of some seeds.
    pub fn only(&self, seeds: &BTreeSet<u64>) -> Self {
        let mut left = self.clone();
        left.runs.values_mut().for_each(|runs| runs.retain(|seed, _| seeds.contains(seed)));
        left
    }

    /// What tables, figures and claims call this data: `digits`, `photos`, `cifar100-first-ten`.
    pub fn name(&self) -> String {
        let data = match self.dataset {
            DatasetId::Mnist => "digits".to_string(),
            DatasetId::Cifar10Subset => "photos".to_string(),
            other => other.to_string(),
        };
        match self.noise {
            Noise::AllClasses => data,
            Noise::FirstTen => format!("{data}-first-ten"),
            Noise::OtherClasses => format!("{data}-others"),
        }
    }

    /// How labels were spoilt.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Whether this is the paper's own scale.
    pub fn is_full_scale(&self) -> bool {
        self.profile == Profile::Paper
    }

    /// The data set of the paper that stands beside this one.
    pub fn in_paper(&self) -> &'static str {
        if self.dataset == DatasetId::Cifar100 { "CIFAR-100" } else { "CIFAR-10" }
    }

    /// Accuracy of guessing.
    pub fn chance(&self) -> f64 {
        if self.dataset == DatasetId::Cifar100 { 0.01 } else { 0.1 }
    }

    /// Data, network, length and profile, for captions and verdicts.
    pub fn scope(&self) -> String {
        let Some(run) = self.runs.values().flat_map(BTreeMap::values).next() else { return String::new() };
        let c = &run.config;
        let network = match &c.architecture {
            Architecture::StridedCnn { widths, hidden } => {
                let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
                format!("convolutions of {} channels and {hidden} hidden units", widths.join(" and "))
            }
            Architecture::PreActResNet18 { width } => format!("PreAct ResNet-18 of width {width}"),
            _ => "another network".into(),
        };
        let (steps, epochs) = (c.train.div_ceil(c.batch) * c.epochs, c.epochs);
        let (data, train, profile) = (self.dataset, c.train, self.profile);
        format!("{data}, {train} images, {network}, {epochs} epochs ({steps} steps), profile {profile}")
    }

    /// Methods that were run, by name.
    pub fn methods(&self) -> BTreeSet<&str> {
        self.runs.iter().filter(|(_, runs)| !runs.is_empty()).map(|((name, _), _)| name.as_str()).collect()
    }

    /// Levels at which a method was run.
    pub fn levels(&self, method: &str) -> Vec<f64> {
        let own = self.runs.iter().filter(|((name, _), runs)| name == method && !runs.is_empty());
        own.map(|((_, level), _)| *level as f64 / 1e6).collect()
    }

    /// Finished runs of a method at a level, by seed.
    pub fn of(&self, method: &str, level: f64) -> Vec<&Run> {
        self.runs.get(&key(method, level)).into_iter().flat_map(BTreeMap::values).map(Arc::as_ref).collect()
    }

    /// The run of a seed.
    pub fn run(&self, method: &str, level: f64, seed: u64) -> Option<&Run> {
        self.runs.get(&key(method, level))?.get(&seed).map(Arc::as_ref)
    }

    /// Seeds of which all these arms have finished.
    pub fn seeds(&self, arms: &[Arm]) -> BTreeSet<u64> {
        let of = |&(method, level): &Arm| -> BTreeSet<u64> {
            self.of(method, level).into_iter().map(|run| run.config.seed).collect()
        };
        arms.iter().map(of).reduce(|all, own| &all & &own).unwrap_or_default()
    }

    /// A number of each run, by seed.
    pub fn values(&self, method: &str, level: f64, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.of(method, level).into_iter().map(value).collect()
    }

    /// Mean and 95 % interval over seeds.
    pub fn interval(&self, method: &str, level: f64, value: impl Fn(&Run) -> f64) -> Option<Interval> {
        mean_t_interval(&self.values(method, level, value), 0.95).ok()
    }

    /// `value` of one method minus that of another, seed by seed.
    pub fn differences(&self, one: &str, other: &str, level: f64, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        let pairs = self.of(one, level).into_iter().filter_map(|a| Some((a, self.run(other, level, a.config.seed)?)));
        pairs.map(|(a, b)| value(a) - value(b)).collect()
    }
}
