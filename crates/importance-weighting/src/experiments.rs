//! The grid at each profile.

use retrial_core::data::DatasetId;
use retrial_core::experiment::{Experiment, Profile};
use retrial_core::model::Architecture;

use crate::config::{Config, Images, LabelShift, Plane, PlaneModel, Points};
use crate::weighting::{Convention, Loss};

/// Separable, with a strip so narrow that weights show in the predictions.
pub const NARROW: Points = Points::Gaussians { centre: 1.5, radius: 2. };
/// Separable by so wide a strip that no weighting can show: a negative control.
pub const WIDE: Points = Points::Gaussians { centre: 3., radius: 4. };
/// No line separates them.
pub const MOONS: Points = Points::Moons { noise: 0.1, gap: 0. };

/// Nine ratios by factors of four.
const ALL_RATIOS: [f64; 9] = [1. / 256., 1. / 64., 1. / 16., 1. / 4., 1., 4., 16., 64., 256.];

/// Sizes of a profile.
struct Scale {
    plane_epochs: usize,
    plane_ratios: &'static [f64],
    draws: u64,
    mlp_epochs: usize,
    moon_draws: u64,
    images: Images,
    cnn: Architecture,
    ratios: &'static [f64],
    seeds: u64,
    /// The second network, without convolutions.
    mlp: Architecture,
    mlp_epochs_images: usize,
    mlp_ratios: &'static [f64],
    mlp_seeds: u64,
    lambdas: &'static [f64],
    l2_ratios: &'static [f64],
    /// Whether the CNN is penalised, too.
    l2_on_cnn: bool,
    /// Ratios and epochs of the dropout and the batch-norm arm.
    variant_ratios: &'static [f64],
    /// Dropout in the CNN, or in the network without convolutions.
    dropout_on_cnn: bool,
    dropout_epochs: usize,
    norm_epochs: usize,
    /// Channels of the first stage of a residual network with batch norm, and its epochs.
    resnet: Option<(usize, usize)>,
    /// Factors by which one class is rarer than the other.
    rarity: &'static [usize],
    imbalance_seeds: u64,
    /// The other conventions, and label shift.
    extensions: bool,
}

fn cnn(width: usize, padding: usize) -> Architecture {
    let (widths, dense) = ([width, 2 * width], [8 * width, 2 * width]);
    Architecture::TwoStageCnn { widths, dense, padding, dropout: 0., norm: false }
}

fn mlp(widths: &[usize]) -> Architecture {
    Architecture::Mlp { widths: widths.to_vec(), dropout: 0. }
}

/// Settings of the paper as far as they are known; sizes are those of the full data set.
fn base() -> Images {
    Images {
        dataset: DatasetId::Cifar10,
        halved: false,
        counts: [5000, 5000],
        copies: [1, 1],
        held_out: 1000,
        others: 1000,
        noise: 1000,
        ratio: 1.,
        convention: Convention::Batch,
        loss: Loss::Logistic,
        architecture: cnn(64, 0),
        lambda: 0.,
        rate: 0.1,
        momentum: 0.,
        batch: 16,
        epochs: 1000,
        every: 10,
        seed: 0,
    }
}

/// The embedded part of CIFAR-10.
fn subset(per_class: usize, halved: bool, epochs: usize, every: usize) -> Images {
    Images {
        dataset: DatasetId::Cifar10Subset,
        halved,
        counts: [per_class; 2],
        held_out: 500,
        others: 125,
        noise: 500,
        epochs,
        every,
        ..base()
    }
}

impl Scale {
    fn of(profile: Profile) -> Self {
        match profile {
            Profile::Smoke => Self {
                plane_epochs: 20,
                plane_ratios: &[1. / 16., 1., 16.],
                draws: 2,
                mlp_epochs: 10,
                moon_draws: 2,
                images: Images { held_out: 100, others: 10, noise: 20, ..subset(16, true, 8, 4) },
                cnn: cnn(4, 1),
                ratios: &[1. / 8., 1., 8.],
                seeds: 2,
                mlp: mlp(&[16]),
                mlp_epochs_images: 8,
                mlp_ratios: &[1. / 8., 1., 8.],
                mlp_seeds: 2,
                lambdas: &[0.01],
                l2_ratios: &[1. / 8., 1., 8.],
                l2_on_cnn: true,
                variant_ratios: &[1. / 8., 1., 8.],
                dropout_on_cnn: true,
                dropout_epochs: 8,
                norm_epochs: 8,
                resnet: Some((4, 8)),
                rarity: &[4],
                imbalance_seeds: 2,
                extensions: true,
            },
            Profile::Quick => Self {
                plane_epochs: 10_000,
                plane_ratios: &ALL_RATIOS,
                draws: 10,
                mlp_epochs: 3000,
                moon_draws: 3,
                images: subset(100, true, 500, 25),
                cnn: cnn(8, 1),
                ratios: &[1. / 8., 1., 8.],
                seeds: 5,
                mlp: mlp(&[64]),
                mlp_epochs_images: 400,
                mlp_ratios: &[1. / 64., 1. / 16., 1. / 4., 1., 4., 16., 64.],
                mlp_seeds: 10,
                lambdas: &[0.003, 0.01, 0.03],
                l2_ratios: &[1. / 16., 1., 16.],
                l2_on_cnn: false,
                variant_ratios: &[1. / 8., 1., 8.],
                dropout_on_cnn: false,
                dropout_epochs: 1200,
                norm_epochs: 200,
                resnet: None,
                rarity: &[4],
                imbalance_seeds: 5,
                extensions: false,
            },
            Profile::Standard => Self {
                plane_epochs: 10_000,
                plane_ratios: &ALL_RATIOS,
                draws: 10,
                mlp_epochs: 10_000,
                moon_draws: 5,
                images: subset(400, true, 400, 20),
                cnn: cnn(8, 1),
                ratios: &[1. / 32., 1. / 8., 1., 8., 32.],
                seeds: 10,
                mlp: mlp(&[128, 32]),
                mlp_epochs_images: 400,
                mlp_ratios: &ALL_RATIOS,
                mlp_seeds: 10,
                lambdas: &[0.001, 0.003, 0.01],
                l2_ratios: &[1. / 32., 1. / 8., 1., 8., 32.],
                l2_on_cnn: true,
                variant_ratios: &[1. / 32., 1. / 8., 1., 8., 32.],
                dropout_on_cnn: true,
                dropout_epochs: 400,
                norm_epochs: 150,
                resnet: Some((8, 100)),
                rarity: &[4, 16],
                imbalance_seeds: 5,
                extensions: true,
            },
            Profile::Paper => Self {
                plane_epochs: 10_000,
                plane_ratios: &ALL_RATIOS,
                draws: 10,
                mlp_epochs: 10_000,
                moon_draws: 10,
                images: base(),
                cnn: cnn(64, 0),
                ratios: &ALL_RATIOS,
                seeds: 10,
                mlp: mlp(&[512, 128]),
                mlp_epochs_images: 1000,
                mlp_ratios: &ALL_RATIOS,
                mlp_seeds: 10,
                lambdas: &[1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
                l2_ratios: &ALL_RATIOS,
                l2_on_cnn: true,
                variant_ratios: &ALL_RATIOS,
                dropout_on_cnn: true,
                dropout_epochs: 1000,
                norm_epochs: 1000,
                resnet: Some((64, 1000)),
                rarity: &[4, 8, 16],
                imbalance_seeds: 10,
                extensions: true,
            },
        }
    }
}

fn with(architecture: &Architecture, change: impl Fn(&mut f64, &mut bool)) -> Architecture {
    let mut changed = architecture.clone();
    match &mut changed {
        Architecture::TwoStageCnn { dropout, norm, .. } => change(dropout, norm),
        Architecture::Mlp { dropout, .. } => change(dropout, &mut false),
        _ => {}
    }
    changed
}

/// The experiments of a profile.
pub fn grid(profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let scale = Scale::of(profile);
    let count = |default: u64| seeds.map_or(default, |n| n as u64);
    let mut grid = plane(&scale, &count);
    let mut add = |name: &str, question: &str, cells: Vec<Images>| {
        let cells = cells.into_iter().map(Config::Images).collect();
        grid.push(Experiment { name: name.into(), question: question.into(), cells });
    };
    let sweep = |base: &Images, ratios: &[f64], seeds: u64| -> Vec<Images> {
        let cell = |ratio: f64, seed: u64| Images { ratio, seed, ..base.clone() };
        ratios.iter().flat_map(|&ratio| (0..seeds).map(move |seed| cell(ratio, seed))).collect()
    };
    let plain = Images { architecture: scale.cnn.clone(), ..scale.images.clone() };
    let flat = Images { architecture: scale.mlp.clone(), epochs: scale.mlp_epochs_images, ..scale.images.clone() };
    let seeds = count(scale.seeds);
    add("ratios", "CNN, no regularisation: do weights still matter at the end?", sweep(&plain, scale.ratios, seeds));
    add(
        "ratios-mlp",
        "The same for a network without convolutions",
        sweep(&flat, scale.mlp_ratios, count(scale.mlp_seeds)),
    );
    let penalised = |base: &Images| -> Vec<Images> {
        let cells = scale.lambdas.iter().map(|&lambda| Images { lambda, ..base.clone() });
        cells.flat_map(|base| sweep(&base, scale.l2_ratios, seeds)).collect()
    };
    if scale.l2_on_cnn {
        add("l2", "CNN with an L2 penalty: does it keep the effect of the weights?", penalised(&plain));
    }
    add("l2-mlp", "The same for the network without convolutions", penalised(&flat));
    let dropped = if scale.dropout_on_cnn { &plain } else { &flat };
    let dropped = Images {
        architecture: with(&dropped.architecture, |dropout, _| *dropout = 0.5),
        rate: dropped.rate / 2.,
        epochs: scale.dropout_epochs,
        ..dropped.clone()
    };
    add("dropout", "Dropout 0.5: does it keep the effect?", sweep(&dropped, scale.variant_ratios, seeds));
    let normed =
        Images { architecture: with(&scale.cnn, |_, norm| *norm = true), epochs: scale.norm_epochs, ..plain.clone() };
    add("norm", "CNN with batch norm: does it keep the effect?", sweep(&normed, scale.variant_ratios, seeds));
    if let Some((width, epochs)) = scale.resnet {
        let residual = Images { architecture: Architecture::PreActResNet18 { width }, epochs, ..plain.clone() };
        add(
            "resnet",
            "Residual network with batch norm: does it keep the effect?",
            sweep(&residual, scale.variant_ratios, seeds),
        );
    }
    add(
        "imbalance",
        "Rare classes: do weights, copies or sub-sampling move predictions?",
        imbalance(&flat, scale.rarity, count(scale.imbalance_seeds)),
    );
    add(
        "tail",
        "Does a loss with a polynomial tail obey the weights where cross-entropy does not?",
        tails(&flat, count(scale.seeds)),
    );
    if scale.extensions {
        let cells = [Convention::Global, Convention::Plain].into_iter().flat_map(|convention| {
            let base = Images { convention, ..flat.clone() };
            sweep(&base, &[scale.ratios[0], 1., 1. / scale.ratios[0]], count(scale.imbalance_seeds))
        });
        add("conventions", "Do other ways to scale the weights in a batch change the answer?", cells.collect());
    }
    let shifts = [0.1, 0.3, 0.5, 0.7, 0.9].into_iter().flat_map(|dog_share| {
        let network = flat.clone();
        (0..count(scale.imbalance_seeds))
            .map(move |seed| Config::LabelShift(LabelShift { network: Images { seed, ..network.clone() }, dog_share }))
    });
    if scale.extensions {
        grid.push(Experiment {
            name: "label-shift".into(),
            question: "Weights estimated from an unlabelled target: retrain, or shift the logits?".into(),
            cells: shifts.collect(),
        });
    }
    grid
}

fn plane(scale: &Scale, count: &dyn Fn(u64) -> u64) -> Vec<Experiment<Config>> {
    let cells = |points: Points, model: PlaneModel, lambda: f64, epochs: usize, ratios: &[f64], draws: u64| {
        let cell = |ratio: f64, seed: u64| {
            let (per_class, rate, batch) = (512, 0.1, 16);
            Config::Plane(Plane { points, per_class, model, ratio, lambda, rate, batch, epochs, seed })
        };
        let draws = count(draws);
        ratios.iter().flat_map(|&ratio| (0..draws).map(move |seed| cell(ratio, seed))).collect::<Vec<_>>()
    };
    let experiment =
        |name: &str, question: &str, cells| Experiment { name: name.into(), question: question.into(), cells };
    let (line, net) = (PlaneModel::Linear, PlaneModel::Mlp { hidden: 64 });
    let (long, short) = (scale.plane_epochs, scale.mlp_epochs);
    let (few, tens) = ([1. / 16., 1., 16.], [0.1, 1., 10.]);
    let (draws, moons) = (scale.draws, scale.moon_draws);
    vec![
        experiment(
            "plane",
            "Separable points: does a line forget its weights as theory says?",
            cells(NARROW, line, 0., long, scale.plane_ratios, draws),
        ),
        experiment(
            "plane-wide",
            "Negative control: a strip so wide that no weighting can show",
            cells(WIDE, line, 0., long, &[1. / 256., 1., 256.], moons),
        ),
        experiment(
            "plane-l2",
            "Separable points with an L2 penalty: does the shift stay?",
            cells(NARROW, line, 0.01, long / 10, &few, draws),
        ),
        experiment(
            "plane-mlp",
            "Separable points, MLP: does it forget its weights too?",
            cells(NARROW, net, 0., short, &few, moons),
        ),
        experiment(
            "moons",
            "Moons, which no line separates: does the effect stay?",
            cells(MOONS, line, 0., long / 10, &tens, moons),
        ),
        experiment(
            "moons-mlp",
            "Moons, MLP that can separate them: does the effect go?",
            cells(MOONS, net, 0., short, &tens, moons),
        ),
    ]
}

/// What is done about a class that is `k` times as rare as the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Nothing.
    Nothing,
    /// Weights k : 1 for the rare class.
    Weights,
    /// As [`Remedy::Weights`], with an L2 penalty.
    WeightsAndPenalty,
    /// The rare class repeated k times.
    Copies,
    /// The common class cut down to the size of the rare one.
    Cut,
    /// As [`Remedy::Cut`], with as many steps as the others instead of as many epochs.
    CutSameSteps,
}

impl Remedy {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nothing, Self::Weights, Self::WeightsAndPenalty, Self::Copies, Self::Cut, Self::CutSameSteps];

    /// In figures and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing done",
            Self::Weights => "corrective weights",
            Self::WeightsAndPenalty => "corrective weights and L2",
            Self::Copies => "rare class repeated",
            Self::Cut => "common class sub-sampled",
            Self::CutSameSteps => "common class sub-sampled, same steps",
        }
    }

    /// The cell of a base in which class `rare` is `k` times as rare.
    pub fn apply(self, base: &Images, rare: usize, k: usize) -> Images {
        let mut cell = base.clone();
        cell.counts[rare] = base.counts[rare] / k;
        match self {
            Self::Nothing => {}
            Self::Weights | Self::WeightsAndPenalty => {
                cell.ratio = if rare == 1 { k as f64 } else { 1. / k as f64 };
                if self == Self::WeightsAndPenalty {
                    cell.lambda = IMBALANCE_LAMBDA;
                }
            }
            Self::Copies => cell.copies[rare] = k,
            Self::Cut | Self::CutSameSteps => {
                cell.counts = [cell.counts[rare]; 2];
                if self == Self::CutSameSteps {
                    // n/k + n images against 2n/k.
                    cell.epochs = base.epochs * (k + 1) / 2;
                    cell.every = base.every * (k + 1) / 2;
                }
            }
        }
        cell
    }
}

const IMBALANCE_LAMBDA: f64 = 0.01;

/// What was done in a cell about which rare class: the remedy, the rare class and k. `full` is the size of a class that is
/// not rare, `epochs` what a cell is trained for unless its steps are matched.
pub fn remedy_of(cell: &Images, full: usize, epochs: usize) -> Option<(Remedy, usize, usize)> {
    let base = Images { counts: [full; 2], copies: [1, 1], ratio: 1., lambda: 0., epochs, ..cell.clone() };
    for rare in [0, 1] {
        let k = full / cell.counts[rare].max(1);
        if k < 2 {
            continue;
        }
        for remedy in Remedy::ALL {
            // How often a network is read is no part of what was done.
            if (Images { every: cell.every, ..remedy.apply(&base, rare, k) }) == *cell {
                return Some((remedy, rare, k));
            }
        }
    }
    None
}

fn imbalance(base: &Images, rarity: &[usize], seeds: u64) -> Vec<Images> {
    let mut cells = vec![];
    for seed in 0..seeds {
        let base = Images { seed, ..base.clone() };
        cells.push(base.clone());
        for &k in rarity {
            for rare in [0, 1] {
                for remedy in Remedy::ALL {
                    cells.push(remedy.apply(&base, rare, k));
                }
            }
        }
    }
    cells
}

/// Ten cats to a dog: no weights, corrective weights, and these to the power 1.5, for both losses.
fn tails(base: &Images, seeds: u64) -> Vec<Images> {
    let mut cells = vec![];
    for loss in [Loss::Logistic, Loss::Polynomial { alpha: 1. }] {
        for exponent in [0., 1., 1.5] {
            for seed in 0..seeds {
                let counts = [base.counts[0], base.counts[1] / 10];
                let (ratio, convention) = (10f64.powf(exponent), Convention::Global);
                // At the rate of the other arms the polynomial loss diverges under its heavier weights.
                let rate = base.rate / 10.;
                cells.push(Images { loss, ratio, counts, convention, rate, seed, ..base.clone() });
            }
        }
    }
    cells
}

/// Rough seconds of a cell on one core of a laptop.
pub fn expected_seconds(config: &Config) -> f64 {
    match config {
        Config::Plane(c) => {
            let each = match c.model {
                PlaneModel::Linear => 1.5e-8,
                PlaneModel::Mlp { hidden } => 3e-9 * hidden as f64,
            };
            each * (c.epochs * 2 * c.per_class) as f64
        }
        Config::LabelShift(c) => 2. * expected_seconds(&Config::Images(c.network.clone())),
        Config::Images(c) => {
            let side = if c.halved { 16. } else { 32. };
            let work = match &c.architecture {
                Architecture::TwoStageCnn { widths, .. } => side * side * (widths[0] * widths[1]) as f64 * 12.,
                Architecture::Mlp { widths, .. } => side * side * 3. * widths[0] as f64,
                Architecture::PreActResNet18 { width } => side * side * (width * width) as f64 * 132.,
                _ => side * side * 1e4,
            };
            let trained = (c.counts[0] * c.copies[0] + c.counts[1] * c.copies[1]) * c.epochs;
            let read = (2 * c.held_out + 8 * c.others + 2 * c.noise) * (5 + c.epochs / c.every.max(1)) / 3;
            let rate = if matches!(c.architecture, Architecture::Mlp { .. }) { 1e11 } else { 3.2e10 };
            (trained + read) as f64 * (6. * work / rate + 1e-6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_told_from_their_cells() {
        let base = subset(96, true, 30, 25);
        for k in [4, 8, 16] {
            for rare in [0, 1] {
                for remedy in Remedy::ALL {
                    let told = remedy_of(&remedy.apply(&base, rare, k), 96, 30).unwrap();
                    // Sub-sampling treats both classes alike, so the first one is told.
                    let cut = matches!(remedy, Remedy::Cut | Remedy::CutSameSteps);
                    assert_eq!(told, (remedy, if cut { 0 } else { rare }, k), "{remedy:?}");
                }
            }
        }
        assert_eq!(remedy_of(&base, 96, 30), None);
    }

    #[test]
    fn corrective_weights_favour_the_rare_class() {
        let base = subset(96, true, 30, 10);
        let dogs_rare = Remedy::Weights.apply(&base, 1, 4);
        assert_eq!((dogs_rare.counts, dogs_rare.ratio), ([96, 24], 4.));
        assert_eq!(Remedy::Weights.apply(&base, 0, 4).ratio, 0.25);
    }
}
