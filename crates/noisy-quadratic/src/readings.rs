//! Finished cells arranged as curves: seeds by noise ratios.

use std::collections::{BTreeMap, BTreeSet};

use retrial_core::Seed;
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::results::{Finished, Results};
use retrial_core::train::OptimiserConfig;

use crate::co_teaching::Outcome;
use crate::config::{Config, Memorise, Method, Noise, Weights};
use crate::fits::{self, DRAWS, Gate, PairedCurves, Statistics};
use crate::incv;
use crate::laws::Setting;
use crate::memorise::{self, MEMORISED, Reading};
use crate::paper::{NoisyQuadratic, Summary};

/// Seed of every resampling: figures and verdicts are the same each time they are made.
pub const RESAMPLING: Seed = Seed(2019);

/// Which epoch of a run is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The last.
    Last,
    /// The best on noisy validation labels.
    Best,
}

/// Runs that differ in noise ratio and seed only, complete: every seed at every level.
#[derive(Clone)]
pub struct Sweep {
    /// Noise ratios, ascending.
    pub levels: Vec<f64>,
    /// `[seed][level]`.
    pub runs: Vec<Vec<memorise::Summary>>,
    /// Seeds that lack a level and are left out.
    pub incomplete: usize,
    /// Noise and number of classes.
    pub setting: Setting,
    /// Held-out samples of a run.
    pub held_out: usize,
    /// Training samples of a run.
    pub train: usize,
    /// Whether noise is symmetric or pair, so that the laws speak of it.
    pub matrix_known: bool,
}

impl Sweep {
    /// The runs of an experiment whose config `wanted` accepts. Seeds that lack a level are left out.
    pub fn of(results: &Results<NoisyQuadratic>, experiment: &str, wanted: impl Fn(&Memorise) -> bool) -> Option<Self> {
        let mut by_seed: BTreeMap<u64, BTreeMap<u64, memorise::Summary>> = BTreeMap::new();
        let mut levels = BTreeSet::new();
        let (mut setting, mut held_out, mut train, mut matrix_known) = (None, 0, 0, false);
        for cell in results.finished(experiment) {
            let (Config::Memorise(config), Summary::Memorise(summary)) = (&cell.config, &cell.summary) else {
                continue;
            };
            if !wanted(config) {
                continue;
            }
            let level = (config.level * 1e6).round() as u64;
            levels.insert(level);
            by_seed.entry(config.seed).or_default().insert(level, summary.clone());
            (held_out, train) = (config.task.held_out, config.task.train);
            matrix_known = matches!(config.noise, Noise::Class(NoiseKind::Symmetric | NoiseKind::Pair));
            let classes = summary.last.confusion.len();
            setting = Some(match config.noise {
                Noise::Class(NoiseKind::Pair) => Setting::pair(classes),
                _ => Setting::symmetric(classes),
            });
        }
        let seeds = by_seed.len();
        let runs: Vec<Vec<memorise::Summary>> = by_seed
            .into_values()
            .filter(|runs| runs.len() == levels.len())
            .map(|runs| runs.into_values().collect())
            .collect();
        let levels = levels.into_iter().map(|level| level as f64 / 1e6).collect();
        let incomplete = seeds - runs.len();
        (!runs.is_empty()).then_some(Self {
            levels,
            runs,
            incomplete,
            setting: setting?,
            held_out,
            train,
            matrix_known,
        })
    }

    /// A number of every run, `[seed][level]`.
    pub fn map<T>(&self, value: impl Fn(&memorise::Summary) -> T) -> Vec<Vec<T>> {
        self.runs.iter().map(|runs| runs.iter().map(&value).collect()).collect()
    }

    /// The curves m and A read at one time.
    pub fn curves(&self, when: When) -> PairedCurves {
        let read = |value: fn(&Reading) -> f64| Some(self.map(|run| value(reading(run, when))));
        PairedCurves {
            setting: self.setting,
            levels: self.levels.clone(),
            clean: read(|r| r.clean_accuracy),
            noisy: read(|r| r.noisy_accuracy_expected.unwrap_or(r.noisy_accuracy)),
            noisy_exact: true,
            test_size: Some(self.held_out),
        }
    }

    /// Curves of the last epoch, of the runs that memorised their labels only, and how many did.
    pub fn memorised(&self) -> Result<(PairedCurves, Gate), fits::Error> {
        // The gate asks for three epochs in a row; one that grazes the threshold at the end has not passed.
        let fitted = self.map(|run| if run.memorised { run.last.train_accuracy } else { 0. });
        fits::gate(&self.curves(When::Last), &fitted, MEMORISED)
    }

    /// All statistics of the memorised runs.
    pub fn statistics(&self) -> Result<(Statistics, Gate), fits::Error> {
        let (curves, gate) = self.memorised()?;
        let mut statistics = fits::analyse(&curves, DRAWS, RESAMPLING)?;
        statistics.gate = Some(gate.clone());
        Ok((statistics, gate))
    }

    /// Mean confusion matrix over seeds at one level, rows summing to one.
    pub fn confusion(&self, level: f64) -> Option<Vec<Vec<f64>>> {
        let at = self.levels.iter().position(|&l| (l - level).abs() < 1e-9)?;
        let classes = self.setting.classes;
        let mut mean = vec![vec![0.; classes]; classes];
        for runs in &self.runs {
            for (row, counts) in mean.iter_mut().zip(&runs[at].last.confusion) {
                let total = f64::from(counts.iter().sum::<u32>().max(1));
                for (cell, &count) in row.iter_mut().zip(counts) {
                    *cell += f64::from(count) / total / self.runs.len() as f64;
                }
            }
        }
        Some(mean)
    }
}

/// A run's reading; the last epoch stands in where there was no validation.
pub fn reading(run: &memorise::Summary, when: When) -> &Reading {
    match when {
        When::Last => &run.last,
        When::Best => run.best.as_ref().unwrap_or(&run.last),
    }
}

/// A finished memorisation cell with its config.
pub fn memorise_cell(cell: &Finished<NoisyQuadratic>) -> Option<(&Memorise, &memorise::Summary)> {
    match (&cell.config, &cell.summary) {
        (Config::Memorise(config), Summary::Memorise(summary)) => Some((config, summary)),
        _ => None,
    }
}

/// Curves of the nearest-neighbour control for one k.
pub fn control(results: &Results<NoisyQuadratic>, experiment: &str, k: usize) -> Option<PairedCurves> {
    let mut levels = vec![];
    let (mut clean, mut noisy, mut held_out) = (vec![], vec![], 0);
    for cell in results.finished(experiment) {
        let (Config::Neighbours(config), Summary::Neighbours(summary)) = (&cell.config, &cell.summary) else {
            continue;
        };
        let votes: Vec<_> = summary.votes.iter().filter(|v| v.k == k).collect();
        levels = votes.iter().map(|v| v.level).collect();
        clean.push(votes.iter().map(|v| v.clean_accuracy).collect());
        noisy.push(votes.iter().map(|v| v.noisy_accuracy_expected.unwrap_or(v.noisy_accuracy)).collect());
        held_out = config.task.held_out;
    }
    (!clean.is_empty() && !levels.is_empty()).then(|| PairedCurves {
        setting: Setting::symmetric(10),
        levels,
        clean: Some(clean),
        noisy: Some(noisy),
        noisy_exact: true,
        test_size: Some(held_out),
    })
}

/// INCV runs by noise (pair or symmetric) and noise ratio.
pub fn incv_cells(results: &Results<NoisyQuadratic>, weights: Weights) -> Vec<((bool, f64), Vec<incv::Summary>)> {
    let mut found: Vec<((bool, f64), Vec<incv::Summary>)> = vec![];
    for cell in ["S6", "X5"].into_iter().flat_map(|name| results.finished(name)) {
        let (Config::Incv(config), Summary::Incv(summary)) = (&cell.config, &cell.summary) else { continue };
        if config.weights != weights {
            continue;
        }
        let key = (config.noise == NoiseKind::Pair, config.level);
        match found.iter_mut().find(|(k, _)| *k == key) {
            Some((_, runs)) => runs.push(summary.clone()),
            None => found.push((key, vec![summary.clone()])),
        }
    }
    found
}

/// Noise (pair or symmetric) and noise ratio in per cent.
pub type Setup = (bool, u32);

/// Outcome of the final training by setup and seed: of INCV + Co-teaching (`None`) or of a baseline.
pub fn final_accuracies(
    results: &Results<NoisyQuadratic>,
    method: Option<Method>,
) -> BTreeMap<Setup, BTreeMap<u64, Outcome>> {
    let mut found: BTreeMap<Setup, BTreeMap<u64, Outcome>> = BTreeMap::new();
    for cell in ["S6", "S7", "X5", "X6"].into_iter().flat_map(|name| results.finished(name)) {
        let (noise, level, seed, outcome) = match (&cell.config, &cell.summary, method) {
            (Config::Incv(c), Summary::Incv(s), None) if c.weights == Weights::Published => match &s.outcome {
                Some(outcome) => (&c.noise, c.level, c.seed, outcome),
                None => continue,
            },
            (Config::Baseline(c), Summary::Baseline(s), Some(method)) if c.method == method => {
                (&c.noise, c.level, c.seed, &s.outcome)
            }
            _ => continue,
        };
        let setup = (*noise == NoiseKind::Pair, (level * 100.).round() as u32);
        found.entry(setup).or_default().insert(seed, outcome.clone());
    }
    found
}

/// A variant of the digits' learner: another width, training size, regulariser or noise.
pub struct Regime {
    /// What differs, in words.
    pub name: String,
    /// The noise of its labels; symmetric in place of noise that depends on the input.
    pub noise: NoiseKind,
    /// Its runs.
    pub sweep: Sweep,
    /// Statistics of its last epoch, memorised or not; none where the levels are too few.
    pub statistics: Option<Statistics>,
}

impl Regime {
    /// A of a network that repeats the noise and errs in nothing else, with equally frequent classes: the sum over classes
    /// i, j of T_ij^2 / c. Where noise depends on the input, Eq. 4 at the same rate, which should fail.
    pub fn formula(&self, level: f64) -> f64 {
        let classes = self.sweep.setting.classes;
        match self.noise.matrix(classes, level) {
            Ok(t) => t.rows().flatten().map(|p| p * p).sum::<f64>() / classes as f64,
            Err(_) => f64::NAN,
        }
    }
}

/// The variants of stage S2 and S5 that have finished, in the order of the grid.
pub fn regimes(results: &Results<NoisyQuadratic>) -> Vec<Regime> {
    let mut found: Vec<Memorise> = vec![];
    let mut regimes = vec![];
    for experiment in ["S2-regularised", "S2-width", "S2-size", "S2-instance", "S2-classwise", "S5", "S5-pooled"] {
        for cell in results.finished(experiment) {
            let Some((config, _)) = memorise_cell(cell) else { continue };
            let like = |c: &Memorise| Memorise { level: 0., seed: 0, ..c.clone() };
            if found.contains(&like(config)) {
                continue;
            }
            found.push(like(config));
            let Some(sweep) = Sweep::of(results, experiment, |c| like(c) == like(config)) else { continue };
            let statistics = fits::analyse(&sweep.curves(When::Last), DRAWS, RESAMPLING).ok();
            let noise = match &config.noise {
                Noise::Class(kind) => kind.clone(),
                Noise::LowMargin => NoiseKind::Symmetric,
            };
            regimes.push(Regime { name: regime_name(config), noise, sweep, statistics });
        }
    }
    regimes
}

/// What makes a variant different.
fn regime_name(config: &Memorise) -> String {
    let network = match &config.architecture {
        Architecture::Mlp { widths, dropout } => {
            let width = widths.first().copied().unwrap_or(0);
            if *dropout > 0. { format!("dropout {dropout}") } else { format!("width {width}") }
        }
        Architecture::SmallCnn { .. } => "pooling CNN on CIFAR-10".into(),
        Architecture::StridedCnn { .. } => "CNN on CIFAR-10".into(),
        other => format!("{other:?}"),
    };
    let decay = match config.optimiser {
        OptimiserConfig::Adam { weight_decay, .. } if weight_decay > 0. => format!(", weight decay {weight_decay}"),
        _ => String::new(),
    };
    let noise = match &config.noise {
        Noise::LowMargin => ", noise on low margins".into(),
        Noise::Class(NoiseKind::ClassConditional { matrix_seed }) => format!(", class-conditional noise {matrix_seed}"),
        Noise::Class(_) => String::new(),
    };
    format!("{network}{decay}{noise}, {} images", config.task.train)
}
