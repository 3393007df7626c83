//! Finished cells arranged by study, method and seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use retrial_core::data::{DatasetId, FolderSet};
use retrial_core::experiment::Profile;
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::results::{Error, Reported, Results};
use retrial_core::stats::FEWEST_SEEDS;

use crate::config::{Config, Method, NoiseRate, Normaliser, Padding, Reuse, Selfie, Source};
use crate::experiments::{self, HEAVY, history};
use crate::history::{Rule, rule};
use crate::paper::Song2019;
use crate::train::{Epoch, Run, Summary};

/// A noise under which methods are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    /// In words.
    pub name: &'static str,
    /// In the paper's numbers.
    pub reported: &'static str,
    /// How labels are spoilt.
    pub kind: NoiseKind,
    /// tau.
    pub level: f64,
}

/// Heavy pair noise.
pub static PAIR: Noise = Noise { name: "pair", reported: "pair", kind: NoiseKind::Pair, level: HEAVY };
/// Heavy symmetric noise.
pub static SYMMETRIC: Noise =
    Noise { name: "symmetric", reported: "symmetric", kind: NoiseKind::Symmetric, level: HEAVY };
/// Labels that come wrong (SF7).
pub static NATURAL: Noise = Noise { name: "natural", reported: "real-world", kind: NoiseKind::Clean, level: 0.08 };

/// Data and network that verdicts speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Study {
    /// MNIST, MLP.
    Digits,
    /// CIFAR-10 at half size, small CNN.
    Photos,
    /// The paper's DenseNet on this data.
    DenseNet(Source),
    /// The paper's VGG-19 on this data.
    Vgg(Source),
}

const CIFAR_10: Source = Source::Images(DatasetId::Cifar10);
const CIFAR_100: Source = Source::Images(DatasetId::Cifar100);
/// The paper's largest margin stands here (SF4).
pub const CIFAR_100_DENSENET: Study = Study::DenseNet(CIFAR_100);
/// Natural noise (SF7).
pub const ANIMALS: [Study; 2] =
    [Study::DenseNet(Source::Folder(FolderSet::Animal10n)), Study::Vgg(Source::Folder(FolderSet::Animal10n))];
/// The other network (SF5).
pub const VGGS: [Study; 2] = [Study::Vgg(CIFAR_10), Study::Vgg(CIFAR_100)];

impl Study {
    /// What a profile judges, with the letter that its claims carry.
    pub fn of(profile: Profile) -> [(&'static str, Study); 2] {
        match profile {
            Profile::Paper => [("c", Study::DenseNet(CIFAR_10)), ("d", CIFAR_100_DENSENET)],
            _ => [("a", Study::Digits), ("b", Study::Photos)],
        }
    }

    /// Everything that a profile trains on.
    pub fn all(profile: Profile) -> Vec<Study> {
        let mut all = Self::of(profile).map(|(_, study)| study).to_vec();
        if profile == Profile::Paper {
            all.extend(VGGS);
            all.extend(ANIMALS);
            let tiny = Source::Folder(FolderSet::TinyImagenet);
            all.extend([Study::DenseNet(tiny), Study::Vgg(tiny)]);
        }
        all
    }

    fn holds(self, config: &Config) -> bool {
        let source = config.task.source;
        match self {
            Study::Digits => source == Source::Images(DatasetId::Mnist),
            Study::Photos => source == Source::Images(DatasetId::Cifar10Subset),
            Study::DenseNet(data) => source == data && config.architecture == Architecture::DenseNet2512,
            Study::Vgg(data) => source == data && config.architecture == Architecture::Vgg19,
        }
    }

    /// In the name of a file.
    pub fn stem(self) -> String {
        match self {
            Study::Digits => "digits".into(),
            Study::Photos => "photos".into(),
            _ => self.name().replace(", ", "-").to_lowercase(),
        }
    }

    /// In a title.
    pub fn name(self) -> String {
        let data = |source: Source| match source {
            Source::Images(id) => id.to_string(),
            Source::Folder(set) => set.folder().to_string(),
        };
        match self {
            Study::Digits => "MNIST digits, MLP".into(),
            Study::Photos => "CIFAR-10 photos at 16 x 16, small CNN".into(),
            Study::DenseNet(source) => format!("{}, DenseNet-25-12", data(source)),
            Study::Vgg(source) => format!("{}, VGG-19", data(source)),
        }
    }

    /// Noises under which this study compares all methods.
    pub fn noises(self) -> Vec<&'static Noise> {
        if ANIMALS.contains(&self) { vec![&NATURAL] } else { vec![&PAIR, &SYMMETRIC] }
    }

    /// Data and network of the paper's numbers that this study is compared with: its own, or CIFAR-10 and the DenseNet.
    pub fn reported(self) -> (&'static str, &'static str) {
        let data = |source: Source| match source {
            Source::Images(DatasetId::Cifar100) => "CIFAR-100",
            Source::Folder(FolderSet::TinyImagenet) => "Tiny-ImageNet",
            Source::Folder(FolderSet::Animal10n) => "ANIMAL-10N",
            _ => "CIFAR-10",
        };
        match self {
            Study::Vgg(source) => (data(source), "VGG-19"),
            Study::DenseNet(source) => (data(source), "DenseNet-25-12"),
            Study::Digits | Study::Photos => ("CIFAR-10", "DenseNet-25-12"),
        }
    }

    /// The paper's best test errors that this study is compared with.
    pub fn reported_errors(self, reported: &Reported, noise: &Noise) -> Reported {
        let (set, model) = self.reported();
        let errors = reported.metric("best test error (%)").condition(noise.reported);
        // A superseded draft of one figure stands in the file too.
        errors.filter(|n| n.dataset == set && n.model == model && !n.item.contains("superseded"))
    }

    /// On digits plain training may be at its best before the other methods set in: its lowest error tells little of them.
    pub fn metric(self) -> Metric {
        if self == Study::Digits { Metric::Last } else { Metric::Best }
    }
}

/// Which error of a run is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The lowest of all epochs on the test images themselves: the paper's.
    Best,
    /// After the last epoch.
    Last,
    /// At the epoch with the lowest validation error.
    Chosen,
}

impl Metric {
    /// Test error of a run in per cent; none where no validation images chose an epoch.
    pub fn of(self, run: &Run) -> Option<f64> {
        let error = match self {
            Metric::Best => run.best,
            Metric::Last => run.last.test_error,
            Metric::Chosen => run.chosen?,
        };
        Some(100. * error)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Best => "best epoch",
            Metric::Last => "last epoch",
            Metric::Chosen => "epoch chosen on validation images",
        }
    }
}

/// A method with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// One run.
    Default,
    /// beta = 0.2.
    ActiveBias,
    /// beta = 0.02.
    ActiveBiasOf2019,
    /// T_k a tenth of the epochs.
    CoTeaching,
    /// T_k 15 % of the epochs.
    CoTeachingOf2020,
    /// Not in the paper.
    SelectOnly,
    /// Not in the paper.
    RelabelAll,
    /// The first run: r = 0.
    Selfie,
}

impl Arm {
    /// In the order of figures.
    pub const ALL: [Arm; 8] = [
        Arm::Default,
        Arm::ActiveBias,
        Arm::ActiveBiasOf2019,
        Arm::CoTeaching,
        Arm::CoTeachingOf2020,
        Arm::SelectOnly,
        Arm::RelabelAll,
        Arm::Selfie,
    ];
    /// What the paper compares SELFIE with.
    pub const RIVALS: [Arm; 3] = [Arm::Default, Arm::ActiveBias, Arm::CoTeaching];

    /// The same method with each of the constants of the published code, the usual one first.
    pub fn constants(self) -> &'static [Arm] {
        match self {
            Arm::Default => &[Arm::Default],
            Arm::ActiveBias | Arm::ActiveBiasOf2019 => &[Arm::ActiveBias, Arm::ActiveBiasOf2019],
            Arm::CoTeaching | Arm::CoTeachingOf2020 => &[Arm::CoTeaching, Arm::CoTeachingOf2020],
            Arm::SelectOnly => &[Arm::SelectOnly],
            Arm::RelabelAll => &[Arm::RelabelAll],
            Arm::Selfie => &[Arm::Selfie],
        }
    }

    /// As in figures and in the paper's numbers, which know one constant of each method.
    pub fn name(self) -> &'static str {
        match self {
            Arm::Default => "Default",
            Arm::ActiveBias => "ActiveBias",
            Arm::ActiveBiasOf2019 => "ActiveBias, β 0.02",
            Arm::CoTeaching => "Co-teaching",
            Arm::CoTeachingOf2020 => "Co-teaching, T 15 %",
            Arm::SelectOnly => "SelectOnly",
            Arm::RelabelAll => "RelabelAll",
            Arm::Selfie => "SELFIE",
        }
    }

    /// Whether a cell is of this arm.
    pub fn is(self, config: &Config) -> bool {
        let tenth = (config.epochs / 10).max(1) as u64;
        match (self, &config.method) {
            (Arm::Default, Method::Default { runs }) => *runs == 1,
            (Arm::ActiveBias, Method::ActiveBias { smoothing }) => *smoothing == 0.2,
            (Arm::ActiveBiasOf2019, Method::ActiveBias { smoothing }) => *smoothing == 0.02,
            (Arm::CoTeaching, Method::CoTeaching { ramp }) => *ramp == tenth,
            (Arm::CoTeachingOf2020, Method::CoTeaching { ramp }) => {
                *ramp != tenth && *ramp == (config.epochs * 3 / 20) as u64
            }
            (Arm::SelectOnly, Method::SelectOnly) => true,
            (Arm::RelabelAll, Method::RelabelAll { .. }) => true,
            (Arm::Selfie, Method::Selfie(selfie)) => Selfie { restarts: 0, ..selfie.clone() } == standard(config),
            _ => false,
        }
    }
}

/// The paper's SELFIE for a cell's schedule.
pub fn standard(config: &Config) -> Selfie {
    Selfie::paper(history(config.warm_up), 0)
}

/// How a variant differs from the paper's SELFIE.
pub fn in_words(s: &Selfie, paper: &Selfie) -> String {
    let mut parts = vec![];
    if s.epsilon != paper.epsilon {
        let dissenters = |n: usize| match n {
            0 => "unanimity".to_string(),
            1 => "one dissenter".into(),
            n => format!("{n} dissenters"),
        };
        parts.push(match rule(10, s.history, s.epsilon) {
            Some(Rule { dissenters: d, together }) if d == together => dissenters(d),
            Some(Rule { dissenters: d, together }) => format!("{}, or {together} that agree", dissenters(d)),
            None => "nothing refurbished".into(),
        });
    }
    if s.history != paper.history {
        parts.push(format!("q = {}", s.history));
    }
    if s.reuse == Reuse::SmallLoss {
        parts.push("re-use only in C (V1)".into());
    }
    if s.noise_rate == NoiseRate::Lowered {
        parts.push("code of 2020, third run".into());
    }
    if s.normaliser == Normaliser::Batch {
        parts.push("divided by |M|".into());
    }
    if s.padding == Padding::ClassZero {
        parts.push("padded with class 0".into());
    }
    if s.misjudged != 0. {
        parts.push(format!("told tau {:+}", s.misjudged));
    }
    if parts.is_empty() { format!("paper (unanimity, q = {})", s.history) } else { parts.join(", ") }
}

/// A finished cell.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What was trained.
    pub config: Config,
    /// What remains of it.
    pub summary: Summary,
    /// All its epochs.
    pub rows: Vec<Epoch>,
}

/// Cells of one method by seed.
pub type BySeed = BTreeMap<u64, Arc<Cell>>;
/// A column of an epoch's row.
pub type Column = fn(&Epoch) -> Option<f64>;
/// A number of every seed.
pub type Values = BTreeMap<u64, f64>;

/// The cells of a study.
pub struct Cells {
    /// What they are trained on.
    pub study: Study,
    finished: Vec<Arc<Cell>>,
    diverged: Vec<Config>,
    /// The whole grid.
    planned: Vec<Config>,
}

impl Cells {
    /// Those of a study, of all experiments.
    pub fn of(results: &Results<Song2019>, study: Study) -> Result<Self, Error> {
        let mut cells = Self::planned(study, results.profile);
        let mut known = BTreeSet::new();
        for experiment in &results.experiments {
            for cell in experiment.finished.iter().filter(|cell| study.holds(&cell.config)) {
                if known.insert(&cell.id) {
                    let (config, summary) = (cell.config.clone(), cell.summary.clone());
                    cells.finished.push(Arc::new(Cell { config, summary, rows: cell.epochs()? }));
                }
            }
            for cell in experiment.diverged.iter().filter(|cell| study.holds(&cell.config)) {
                if known.insert(&cell.id) {
                    cells.diverged.push(cell.config.clone());
                }
            }
        }
        Ok(cells)
    }

    /// Before anything has finished.
    pub fn planned(study: Study, profile: Profile) -> Self {
        let mut planned: Vec<Config> = vec![];
        for config in experiments::grid(profile, None).into_iter().flat_map(|e| e.cells) {
            if study.holds(&config) && !planned.contains(&config) {
                planned.push(config);
            }
        }
        Self { study, finished: vec![], diverged: vec![], planned }
    }

    /// Adds a finished cell.
    #[cfg(test)]
    pub fn push(&mut self, config: Config, rows: Vec<Epoch>) {
        let summary = Summary { realised: config.level, convention: String::new(), runs: Run::all(&config, &rows) };
        self.finished.push(Arc::new(Cell { config, summary, rows }));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    /// Seeds of the whole grid.
    pub fn planned_seeds(&self) -> usize {
        self.planned.iter().map(|config| config.seed).collect::<BTreeSet<_>>().len()
    }

    /// How many cells of the grid under some noise have not finished, and how many diverged.
    pub fn lacking(&self, noise: &Noise) -> (usize, usize) {
        let of = |config: &&Config| config.noise == noise.kind && config.level == noise.level;
        let done = |config: &Config| self.finished.iter().any(|cell| cell.config == *config);
        let diverged = self.diverged.iter().filter(of).count();
        let lacking = self.planned.iter().filter(of).filter(|config| !done(config)).count();
        (lacking.saturating_sub(diverged), diverged)
    }

    /// Cells under some noise whose config is `wanted`. Without noise the kind does not matter.
    pub fn by(&self, kind: &NoiseKind, level: f64, wanted: impl Fn(&Config) -> bool) -> BySeed {
        let fits = |c: &Config| (c.noise == *kind || level == 0.) && c.level == level && wanted(c);
        self.finished.iter().filter(|cell| fits(&cell.config)).map(|cell| (cell.config.seed, cell.clone())).collect()
    }

    /// Cells of an arm.
    pub fn arm(&self, noise: &Noise, arm: Arm) -> BySeed {
        self.at(noise, noise.level, arm)
    }

    /// Cells of an arm under this kind of noise at another rate.
    pub fn at(&self, noise: &Noise, level: f64, arm: Arm) -> BySeed {
        self.by(&noise.kind, level, |config| arm.is(config))
    }

    /// Cells of SELFIE under heavy pair noise, by what they are and what the paper's is.
    pub fn selfie(&self, wanted: impl Fn(&Selfie, &Selfie) -> bool) -> BySeed {
        self.by(&PAIR.kind, PAIR.level, |config| match &config.method {
            Method::Selfie(selfie) => wanted(selfie, &standard(config)),
            _ => false,
        })
    }

    /// Every distinct SELFIE under heavy pair noise, each with the paper's for its schedule.
    pub fn variants(&self) -> Vec<(Selfie, Selfie)> {
        let mut found: Vec<(Selfie, Selfie)> = vec![];
        let heavy = |c: &Config| c.noise == PAIR.kind && c.level == PAIR.level;
        for cell in self.finished.iter().filter(|cell| heavy(&cell.config)) {
            if let Method::Selfie(s) = &cell.config.method
                && found.iter().all(|(known, _)| known != s)
            {
                found.push((s.clone(), standard(&cell.config)));
            }
        }
        found
    }

    /// Noise rates at which an arm has finished.
    pub fn levels(&self, kind: &NoiseKind, arm: Arm) -> Vec<f64> {
        let fits = |c: &Config| (c.noise == *kind || c.level == 0.) && arm.is(c);
        let mut levels: Vec<f64> =
            self.finished.iter().filter(|cell| fits(&cell.config)).map(|cell| cell.config.level).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        levels
    }

    /// Seeds that hold the preconditions. Of natural noise only P4 can be asked: nobody knows the true labels, and at so
    /// few wrong ones no network can fit more than 1 - tau + 0.15.
    pub fn passing(&self, noise: &Noise) -> BTreeSet<u64> {
        if noise.kind == NoiseKind::Clean {
            let refurbished = read(&self.arm(noise, Arm::Selfie), |s| s.runs.first()?.half.refurbished);
            return refurbished.into_iter().filter(|(_, share)| *share > 0.).map(|(seed, _)| seed).collect();
        }
        let gates = Gates::by_seed(self, noise);
        gates.into_iter().filter(|(_, gates)| gates.failures().is_empty()).map(|(seed, _)| seed).collect()
    }

    /// Of some cells those that verdicts under this noise rest on: all of them where too few seeds hold the preconditions
    /// and there is no verdict.
    pub fn judged(&self, noise: &Noise, mut cells: BySeed) -> BySeed {
        let seeds = self.passing(noise);
        if seeds.len() >= FEWEST_SEEDS {
            cells.retain(|seed, _| seeds.contains(seed));
        }
        cells
    }

    /// Data, network and scale, in words.
    pub fn scope(&self, profile: Profile) -> String {
        let size = self.finished.first().map_or(String::new(), |cell| {
            let images = cell.config.task.train;
            let images = if images == 0 { String::new() } else { format!(", {images} training images") };
            format!("{images}, {} epochs", cell.config.epochs)
        });
        format!("{}{size}, profile {}", self.study.name(), profile.name())
    }
}

/// A number of every seed.
pub fn read(cells: &BySeed, value: impl Fn(&Summary) -> Option<f64>) -> Values {
    cells.iter().filter_map(|(seed, cell)| Some((*seed, value(&cell.summary)?))).collect()
}

/// Error of the first run of every seed, in per cent.
pub fn errors(cells: &BySeed, metric: Metric) -> Values {
    read(cells, |summary| metric.of(summary.runs.first()?))
}

/// `a - b` of the seeds that have both.
pub fn gaps(a: &Values, b: &Values) -> Values {
    a.iter().filter_map(|(seed, a)| Some((*seed, a - b.get(seed)?))).collect()
}

/// Mean; none of nothing.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// What must hold in a run before it says anything of heavy noise.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    /// P1: share of the given training labels that Default fits at the end; at least 1 - tau + 0.15.
    pub fitted: f64,
    /// P2: points by which Default's last error exceeds its best; at least 2, or `damage` at least 5.
    pub overfitting: f64,
    /// P2: points by which Default's best error exceeds its best without noise.
    pub damage: Option<f64>,
    /// P3: share of wrongly labelled samples predicted as labelled at the end of SELFIE's warm-up; below one half.
    pub wrong_at_warm_up: f64,
    /// P4: share of samples refurbished at half of the epochs; above 0.
    pub refurbished_at_half: f64,
    /// tau.
    pub level: f64,
}

impl Gates {
    /// Of a noise, by seed.
    pub fn by_seed(cells: &Cells, noise: &Noise) -> BTreeMap<u64, Self> {
        let default = cells.arm(noise, Arm::Default);
        let selfie = cells.arm(noise, Arm::Selfie);
        let of = |(&seed, cell): (&u64, &Arc<Cell>)| {
            let run = cell.summary.runs.first()?;
            let ours = selfie.get(&seed)?.summary.runs.first()?;
            // Only the same network tells what the noise costs.
            let same = |c: &Config| {
                Arm::Default.is(c) && c.architecture == cell.config.architecture && c.seed == cell.config.seed
            };
            let clean = read(&cells.by(&noise.kind, 0., same), |summary| Metric::Best.of(summary.runs.first()?));
            let gates = Self {
                fitted: run.last.train_accuracy?,
                overfitting: 100. * (run.last.test_error - run.best),
                damage: clean.get(&seed).map(|clean| 100. * run.best - clean),
                wrong_at_warm_up: ours.warm.wrong_fitted?,
                refurbished_at_half: ours.half.refurbished?,
                level: noise.level,
            };
            Some((seed, gates))
        };
        default.iter().filter_map(of).collect()
    }

    /// What failed, in words; empty if all hold.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = vec![];
        let least = 1. - self.level + 0.15;
        if self.fitted < least {
            failures.push(format!("P1: Default fits {:.2} of the given labels, less than {least:.2}", self.fitted));
        }
        if self.overfitting < 2. && self.damage.is_none_or(|damage| damage < 5.) {
            let lost = self.overfitting;
            failures.push(format!("P2: Default loses {lost:.1} points from its best epoch to its last, less than 2"));
        }
        if self.wrong_at_warm_up >= 0.5 {
            let share = self.wrong_at_warm_up;
            failures.push(format!("P3: {share:.2} of the wrong labels are predicted at the end of the warm-up"));
        }
        if self.refurbished_at_half <= 0. {
            failures.push("P4: nothing is refurbished by the middle of training".into());
        }
        failures
    }
}

#[cfg(test)]
pub(crate) mod made {
    //! Made cells: nothing is trained.

    use super::*;

    /// The rows of a run of photos whose test error falls from 0.9 to `error` at the end of the warm-up and stays there:
    /// all preconditions hold of Default and of SELFIE.
    pub fn rows(config: &Config, error: f64) -> Vec<Epoch> {
        let row = |epoch: usize| {
            let done = epoch > config.warm_up;
            Epoch {
                run: 1,
                epoch,
                test_error: if done { error } else { 0.9 },
                used: 1.,
                train_accuracy: Some(0.9),
                wrong_fitted: Some(0.2),
                refurbished: Some(if done { 0.5 } else { 0. }),
                ..Epoch::default()
            }
        };
        let mut rows: Vec<Epoch> = (1..=config.epochs).map(row).collect();
        // Default forgets what it knew.
        if matches!(config.method, Method::Default { .. }) {
            rows[config.epochs - 1].test_error += 0.03;
        }
        rows
    }

    /// Photos of profile standard with heavy noise in which each arm has an error; SELFIE's varies by `spread` over seeds.
    pub fn photos(noise: &Noise, arms: &[(Arm, f64)], spread: f64) -> Cells {
        let mut cells = Cells::planned(Study::Photos, Profile::Standard);
        add(&mut cells, noise, arms, spread);
        cells
    }

    /// Adds arms under a noise.
    pub fn add(cells: &mut Cells, noise: &Noise, arms: &[(Arm, f64)], spread: f64) {
        for &(arm, error) in arms {
            let spread = if arm == Arm::Selfie { spread } else { 0. };
            for config in configs(cells, noise, |c| arm.is(c)) {
                let rows = rows(&config, error + spread * (config.seed as f64 - 2.));
                cells.push(config, rows);
            }
        }
    }

    /// Configs of the grid under a noise.
    pub fn configs(cells: &Cells, noise: &Noise, wanted: impl Fn(&Config) -> bool) -> Vec<Config> {
        let fits = |c: &&Config| c.noise == noise.kind && c.level == noise.level && wanted(c);
        cells.planned.iter().filter(fits).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates() -> Gates {
        Gates {
            fitted: 0.8,
            overfitting: 3.,
            damage: None,
            wrong_at_warm_up: 0.4,
            refurbished_at_half: 0.5,
            level: HEAVY,
        }
    }

    #[test]
    fn each_gate_can_fail() {
        let good = gates();
        assert!(good.failures().is_empty());
        assert!(Gates { overfitting: 1., damage: Some(6.), ..good.clone() }.failures().is_empty());
        for (gate, name) in [
            (Gates { fitted: 0.74, ..good.clone() }, "P1"),
            (Gates { overfitting: 1., ..good.clone() }, "P2"),
            (Gates { overfitting: 1., damage: Some(4.), ..good.clone() }, "P2"),
            (Gates { wrong_at_warm_up: 0.5, ..good.clone() }, "P3"),
            (Gates { refurbished_at_half: 0., ..good }, "P4"),
        ] {
            let failures = gate.failures();
            assert!(failures.len() == 1 && failures[0].starts_with(name), "{name}: {failures:?}");
        }
    }

    /// Each number comes from the run that it should come from, and a seed without SELFIE has no gates.
    #[test]
    fn gates_are_read_from_default_and_selfie_of_a_seed() {
        let mut cells = made::photos(&PAIR, &[(Arm::Default, 0.6)], 0.);
        let ours = made::configs(&cells, &PAIR, |c| Arm::Selfie.is(c));
        for config in ours.iter().filter(|c| c.seed < 4) {
            let mut rows = made::rows(config, 0.5);
            rows[config.warm_up - 1].wrong_fitted = Some(if config.seed == 3 { 0.6 } else { 0.3 });
            cells.push(config.clone(), rows);
        }
        // Without noise Default's lowest error is 0.4, and another network's does not count.
        let default = made::configs(&cells, &PAIR, |c| Arm::Default.is(c) && c.seed == 0).remove(0);
        let clean = Config { level: 0., ..default };
        cells.push(clean.clone(), made::rows(&clean, 0.4));
        let wider = Architecture::PooledCnn { widths: vec![1], dropout: 0. };
        let other = Config { architecture: wider, seed: 1, ..clean };
        cells.push(other.clone(), made::rows(&other, 0.4));

        let found = Gates::by_seed(&cells, &PAIR);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
        let first = &found[&0];
        assert!((first.overfitting - 3.).abs() < 1e-9 && first.fitted == 0.9 && first.wrong_at_warm_up == 0.3);
        assert!((first.damage.unwrap() - 20.).abs() < 1e-9 && found[&1].damage.is_none());
        assert_eq!(first.refurbished_at_half, 0.5);
        assert_eq!(cells.passing(&PAIR), BTreeSet::from([0, 1, 2]));
        let all = cells.arm(&PAIR, Arm::Default);
        assert_eq!((all.len(), cells.judged(&PAIR, all.clone()).len()), (5, 3));
        // Under symmetric noise nothing has finished, so nothing is left out.
        assert_eq!(cells.judged(&SYMMETRIC, all).len(), 5);
    }

    /// Every cell of the grid is of one arm at most, and each arm of digits has one cell a seed.
    #[test]
    fn arms_do_not_overlap() {
        let mut cells = Cells::planned(Study::Digits, Profile::Standard);
        for config in cells.planned.clone() {
            let arms: Vec<_> = Arm::ALL.into_iter().filter(|arm| arm.is(&config)).collect();
            assert!(arms.len() <= 1, "{arms:?}: {config:?}");
            let rows = made::rows(&config, 0.1);
            cells.push(config, rows);
        }
        for arm in Arm::ALL {
            assert_eq!(cells.arm(&PAIR, arm).len(), 5, "{arm:?}");
            assert_eq!(cells.arm(&SYMMETRIC, arm).len(), 5, "{arm:?}");
        }
        let wanted = |s: &Selfie, standard: &Selfie| *s == Selfie { reuse: Reuse::SmallLoss, ..standard.clone() };
        assert_eq!(cells.selfie(wanted).len(), 5);
        assert_eq!(cells.levels(&PAIR.kind, Arm::Selfie), [0., 0.1, 0.2, 0.3, 0.4]);
        assert_eq!(cells.lacking(&PAIR), (0, 0));
    }

    #[test]
    fn without_noise_the_kind_does_not_matter() {
        let mut cells = Cells::planned(Study::Photos, Profile::Standard);
        let all = cells.planned.clone();
        let clean = all.iter().find(|c| c.level == 0. && Arm::Default.is(c)).unwrap();
        cells.push(clean.clone(), made::rows(clean, 0.4));
        assert_eq!(cells.by(&NoiseKind::Symmetric, 0., |c| Arm::Default.is(c)).len(), 1);
        assert_eq!(cells.by(&NoiseKind::Symmetric, 0., |c| Arm::Selfie.is(c)).len(), 0);
        assert_eq!(cells.by(&NoiseKind::Symmetric, HEAVY, |_| true).len(), 0);
        let (lacking, diverged) = cells.lacking(&PAIR);
        assert!(lacking > 5 && diverged == 0);
    }

    #[test]
    fn gaps_are_paired_by_seed() {
        let of = |values: &[(u64, f64)]| values.iter().copied().collect::<Values>();
        assert_eq!(gaps(&of(&[(0, 5.), (1, 7.), (2, 9.)]), &of(&[(2, 4.), (0, 3.)])), of(&[(0, 2.), (2, 5.)]));
    }

    /// Each data set is compared with its own numbers.
    #[test]
    fn studies_know_the_papers_numbers() {
        let reported = crate::claims::reported().unwrap();
        for study in Study::all(Profile::Paper) {
            for noise in study.noises() {
                let found = study.reported_errors(&reported, noise);
                assert!(found.method("SELFIE").at(noise.level).is_some(), "{study:?} {noise:?}");
            }
        }
        assert_eq!(Study::Digits.reported_errors(&reported, &PAIR).method("SELFIE").at(0.4).unwrap().value, 13.2);
    }
}
