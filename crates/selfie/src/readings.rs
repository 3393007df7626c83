//! Finished cells arranged by study, method and seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use retrial_core::data::{DatasetId, FolderSet};
use retrial_core::experiment::Profile;
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::results::{Finished, Results};

use crate::config::{Config, Method, Selfie, Source};
use crate::experiments::{HEAVY, history};
use crate::paper::Song2019;
use crate::train::{Run, Summary};

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

    /// Name of the model in the paper's numbers that this study is compared with.
    pub fn reported(self) -> (&'static str, &'static str) {
        match self {
            Study::Vgg(CIFAR_100) => ("CIFAR-100", "VGG-19"),
            Study::Vgg(_) => ("CIFAR-10", "VGG-19"),
            Study::DenseNet(CIFAR_100) => ("CIFAR-100", "DenseNet-25-12"),
            _ => ("CIFAR-10", "DenseNet-25-12"),
        }
    }

    /// Digits are learnt within the first epochs, before any method sets in: their lowest error tells nothing of it.
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

/// A method with its usual constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// One run.
    Default,
    /// beta = 0.2.
    ActiveBias,
    /// T_k a tenth of the epochs.
    CoTeaching,
    /// Not in the paper.
    SelectOnly,
    /// Not in the paper.
    RelabelAll,
    /// The first run: r = 0.
    Selfie,
}

impl Arm {
    /// In the order of figures.
    pub const ALL: [Arm; 6] =
        [Arm::Default, Arm::ActiveBias, Arm::CoTeaching, Arm::SelectOnly, Arm::RelabelAll, Arm::Selfie];
    /// What the paper compares SELFIE with.
    pub const RIVALS: [Arm; 3] = [Arm::Default, Arm::ActiveBias, Arm::CoTeaching];

    /// As in figures and in the paper's numbers.
    pub fn name(self) -> &'static str {
        match self {
            Arm::Default => "Default",
            Arm::ActiveBias => "ActiveBias",
            Arm::CoTeaching => "Co-teaching",
            Arm::SelectOnly => "SelectOnly",
            Arm::RelabelAll => "RelabelAll",
            Arm::Selfie => "SELFIE",
        }
    }

    /// Whether a cell is of this arm.
    pub fn is(self, config: &Config) -> bool {
        match (self, &config.method) {
            (Arm::Default, Method::Default { runs }) => *runs == 1,
            (Arm::ActiveBias, Method::ActiveBias { smoothing }) => *smoothing == 0.2,
            (Arm::CoTeaching, Method::CoTeaching { ramp }) => *ramp == (config.epochs / 10).max(1) as u64,
            (Arm::SelectOnly, Method::SelectOnly) => true,
            (Arm::RelabelAll, Method::RelabelAll { .. }) => true,
            (Arm::Selfie, Method::Selfie(selfie)) => {
                standard(config).is_some_and(|s| s == Selfie { restarts: 0, ..selfie.clone() })
            }
            _ => false,
        }
    }
}

/// The paper's SELFIE for a cell's schedule.
pub fn standard(config: &Config) -> Option<Selfie> {
    Some(Selfie::paper(history(config.warm_up), 0))
}

/// A finished cell.
pub type Cell = Arc<Finished<Song2019>>;
/// Cells of one method by seed.
pub type BySeed = BTreeMap<u64, Cell>;

/// The finished cells of a study.
pub struct Cells {
    /// What they are trained on.
    pub study: Study,
    cells: Vec<Cell>,
}

impl Cells {
    /// Those of a study, of all experiments.
    pub fn of(results: &Results<Song2019>, study: Study) -> Self {
        let all = results.experiments.iter().flat_map(|e| &e.finished);
        Self { study, cells: all.filter(|cell| study.holds(&cell.config)).cloned().collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Cells under some noise whose config is `wanted`. Without noise the kind does not matter.
    pub fn by(&self, noise: &NoiseKind, level: f64, wanted: impl Fn(&Config) -> bool) -> BySeed {
        let fits = |c: &Config| (c.noise == *noise || level == 0.) && c.level == level && wanted(c);
        self.cells.iter().filter(|cell| fits(&cell.config)).map(|cell| (cell.config.seed, cell.clone())).collect()
    }

    /// Cells of an arm.
    pub fn arm(&self, noise: &NoiseKind, level: f64, arm: Arm) -> BySeed {
        self.by(noise, level, |config| arm.is(config))
    }

    /// Every distinct SELFIE under some noise, each with the paper's for its schedule.
    pub fn variants(&self, noise: &NoiseKind, level: f64) -> Vec<(Selfie, Selfie)> {
        let mut found: Vec<(Selfie, Selfie)> = vec![];
        for cell in self.cells.iter().filter(|cell| cell.config.noise == *noise && cell.config.level == level) {
            if let (Method::Selfie(s), Some(standard)) = (&cell.config.method, standard(&cell.config))
                && found.iter().all(|(known, _)| known != s)
            {
                found.push((s.clone(), standard));
            }
        }
        found
    }

    /// Noise rates at which an arm has finished.
    pub fn levels(&self, noise: &NoiseKind, arm: Arm) -> Vec<f64> {
        let fits = |c: &Config| (c.noise == *noise || c.level == 0.) && arm.is(c);
        let mut levels: Vec<f64> =
            self.cells.iter().filter(|cell| fits(&cell.config)).map(|cell| cell.config.level).collect();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        levels
    }

    /// Data, network and scale, in words.
    pub fn scope(&self, profile: Profile) -> String {
        let size = self.cells.first().map_or(String::new(), |cell| {
            let images = cell.config.task.train;
            let images = if images == 0 { String::new() } else { format!(", {images} training images") };
            format!("{images}, {} epochs", cell.config.epochs)
        });
        format!("{}{size}, profile {}", self.study.name(), profile.name())
    }
}

/// A number of every seed.
pub fn read(cells: &BySeed, value: impl Fn(&Summary) -> Option<f64>) -> BTreeMap<u64, f64> {
    cells.iter().filter_map(|(seed, cell)| Some((*seed, value(&cell.summary)?))).collect()
}

/// Error of the first run of every seed, in per cent.
pub fn errors(cells: &BySeed, metric: Metric) -> BTreeMap<u64, f64> {
    read(cells, |summary| metric.of(summary.runs.first()?))
}

/// `a - b` of the seeds that have both.
pub fn gaps(a: &BTreeMap<u64, f64>, b: &BTreeMap<u64, f64>) -> Vec<f64> {
    a.iter().filter_map(|(seed, a)| Some(a - b.get(seed)?)).collect()
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
    /// Of heavy noise of one kind, by seed.
    pub fn by_seed(cells: &Cells, noise: &NoiseKind) -> BTreeMap<u64, Self> {
        let default = cells.arm(noise, HEAVY, Arm::Default);
        let selfie = cells.arm(noise, HEAVY, Arm::Selfie);
        let of = |(&seed, cell): (&u64, &Cell)| {
            let run = cell.summary.runs.first()?;
            let ours = selfie.get(&seed)?.summary.runs.first()?;
            // Only the same network tells what the noise costs.
            let same = |c: &Config| {
                Arm::Default.is(c) && c.architecture == cell.config.architecture && c.seed == cell.config.seed
            };
            let clean = read(&cells.by(noise, 0., same), |summary| Metric::Best.of(summary.runs.first()?));
            let gates = Self {
                fitted: run.last.train_accuracy?,
                overfitting: 100. * (run.last.test_error - run.best),
                damage: clean.get(&seed).map(|clean| 100. * run.best - clean),
                wrong_at_warm_up: ours.warm.wrong_fitted?,
                refurbished_at_half: ours.half.refurbished?,
                level: HEAVY,
            };
            Some((seed, gates))
        };
        default.iter().filter_map(of).collect()
    }

    /// The seeds that hold all of them.
    pub fn passing(gates: &BTreeMap<u64, Self>) -> BTreeSet<u64> {
        gates.iter().filter(|(_, gates)| gates.failures().is_empty()).map(|(seed, _)| *seed).collect()
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
mod tests {
    use super::*;

    #[test]
    fn a_seed_passes_if_every_gate_holds() {
        let good = Gates {
            fitted: 0.8,
            overfitting: 3.,
            damage: None,
            wrong_at_warm_up: 0.4,
            refurbished_at_half: 0.5,
            level: HEAVY,
        };
        assert!(good.failures().is_empty());
        let seeds = [
            good.clone(),
            Gates { fitted: 0.74, ..good.clone() },
            Gates { overfitting: 1., ..good.clone() },
            Gates { overfitting: 1., damage: Some(6.), ..good.clone() },
            Gates { wrong_at_warm_up: 0.5, ..good.clone() },
            Gates { refurbished_at_half: 0., ..good },
        ];
        for (seed, gate) in seeds.iter().enumerate().filter(|(seed, _)| ![0, 3].contains(seed)) {
            assert_eq!(gate.failures().len(), 1, "seed {seed}");
        }
        assert_eq!(Gates::passing(&(0..).zip(seeds).collect()), BTreeSet::from([0, 3]));
    }

    #[test]
    fn gaps_are_paired_by_seed() {
        let of = |values: &[(u64, f64)]| values.iter().copied().collect::<BTreeMap<u64, f64>>();
        assert_eq!(gaps(&of(&[(0, 5.), (1, 7.), (2, 9.)]), &of(&[(2, 4.), (0, 3.)])), [2., 5.]);
    }
}
