//! The grid at each profile: digits and photos at small scale, the paper's own data and networks at profile paper.

use retrial_core::data::{DatasetId, FolderSet};
use retrial_core::experiment::{Experiment, Profile};
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::train::{OptimiserConfig, Schedule};

use crate::config::{
    Config, Draw, Method, NoiseRate, Normaliser, Padding, Reuse, Selfie, Source, TaskConfig, WarmUpLabels,
};

/// Learning rate of the digits' MLP, low so that it fits few wrong labels before the warm-up ends (precondition P3).
const DIGITS_RATE: f64 = 0.005;

/// Dropout of the digits' MLP.
const DIGITS_DROPOUT: f64 = 0.2;

/// Noise rate of the headline comparisons.
pub const HEAVY: f64 = 0.4;

/// q at small scale: as many predictions as keep the published share (15 of 25) of the warm-up's visits.
pub fn history(warm_up: usize) -> usize {
    ((warm_up * 3 + 2) / 5).max(1)
}

/// The published optimiser: Nesterov momentum 0.9 and 5e-4 on every parameter, added to the gradient.
fn published() -> OptimiserConfig {
    OptimiserConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 }
}

/// A rate that is divided by 5 at half and at three quarters of the epochs.
fn steps(rate: f64, epochs: usize) -> Schedule {
    let at = |share: f64| (share * epochs as f64).round();
    Schedule::MultiStep { rate, steps: vec![(at(0.5), 0.2), (at(0.75), 0.2)] }
}

/// Sizes of a small-scale study.
struct Scale {
    train: usize,
    validation: usize,
    test: usize,
    /// Learning rate at the start. Digits have no batch norm: the published 0.1 is too large for them.
    rate: f64,
    /// Widths of the network's layers.
    widths: &'static [usize],
    /// The same under symmetric noise, which is harder to memorise (precondition P1).
    symmetric_widths: &'static [usize],
    epochs: usize,
    warm_up: usize,
    seeds: usize,
    /// Noise rates between 0 and the heavy one.
    between: &'static [f64],
    /// Restarts r, budget-matched Default, rules, versions and misjudged noise rates.
    variants: bool,
    /// Correction of everything and of nothing.
    ablations: bool,
    /// Both constants of ActiveBias and of Co-teaching.
    constants: bool,
    /// The noise-free and the intermediate rates.
    rates: bool,
    active_bias: bool,
}

fn digits(scale: &Scale) -> Config {
    let Scale { train, validation, test, epochs, warm_up, .. } = *scale;
    Config {
        task: TaskConfig { source: Source::Images(DatasetId::Mnist), train, validation, test, halved: false },
        noise: NoiseKind::Pair,
        level: HEAVY,
        method: Method::Default { runs: 1 },
        architecture: Architecture::Mlp { widths: scale.widths.to_vec(), dropout: DIGITS_DROPOUT },
        optimiser: published(),
        schedule: steps(scale.rate, epochs),
        batch: 64,
        draw: Draw::Independent,
        epochs,
        warm_up,
        seed: 0,
    }
}

/// The same with a network that can memorise symmetric noise.
fn symmetric(base: &Config, scale: &Scale) -> Config {
    let widths = scale.symmetric_widths.to_vec();
    let architecture = match base.architecture.clone() {
        Architecture::Mlp { dropout, .. } => Architecture::Mlp { widths, dropout },
        Architecture::PooledCnn { dropout, .. } => Architecture::PooledCnn { widths, dropout },
        other => other,
    };
    Config { architecture, ..base.clone() }
}

fn photos(scale: &Scale) -> Config {
    let Scale { train, validation, test, .. } = *scale;
    let source = Source::Images(DatasetId::Cifar10Subset);
    Config {
        task: TaskConfig { source, train, validation, test, halved: true },
        architecture: Architecture::PooledCnn { widths: scale.widths.to_vec(), dropout: 0.2 },
        ..digits(scale)
    }
}

fn experiment(name: &str, question: &str, cells: Vec<Config>) -> Experiment<Config> {
    Experiment { name: name.into(), question: question.into(), cells }
}

/// The experiments of a profile.
pub fn grid(profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let studies = match profile {
        Profile::Smoke => [
            Scale {
                train: 160,
                validation: 40,
                test: 100,
                rate: 0.02,
                widths: &[32],
                symmetric_widths: &[32],
                epochs: 8,
                warm_up: 4,
                seeds: 2,
                between: &[0.2],
                variants: true,
                ablations: true,
                constants: true,
                rates: true,
                active_bias: true,
            },
            Scale {
                train: 160,
                validation: 40,
                test: 100,
                rate: 0.1,
                widths: &[4, 4, 8, 8],
                symmetric_widths: &[4, 4, 8, 8],
                epochs: 4,
                warm_up: 2,
                seeds: 2,
                between: &[],
                variants: false,
                ablations: true,
                constants: false,
                rates: false,
                active_bias: false,
            },
        ],
        Profile::Quick => [
            Scale {
                train: 3000,
                validation: 500,
                test: 2000,
                rate: DIGITS_RATE,
                widths: &[256],
                symmetric_widths: &[256],
                epochs: 24,
                warm_up: 6,
                seeds: 3,
                between: &[0.2],
                variants: true,
                ablations: true,
                constants: false,
                rates: true,
                active_bias: true,
            },
            Scale {
                train: 2000,
                validation: 400,
                test: 1000,
                rate: 0.1,
                widths: &[16, 32, 32, 32],
                symmetric_widths: &[16, 32, 32, 32],
                epochs: 32,
                warm_up: 8,
                seeds: 3,
                between: &[],
                variants: false,
                ablations: true,
                constants: false,
                rates: false,
                active_bias: false,
            },
        ],
        Profile::Standard => [
            Scale {
                train: 6000,
                validation: 1000,
                test: 8_000,
                rate: DIGITS_RATE,
                widths: &[256],
                symmetric_widths: &[512],
                epochs: 40,
                warm_up: 10,
                seeds: 5,
                between: &[0.1, 0.2, 0.3],
                variants: true,
                ablations: true,
                constants: true,
                rates: true,
                active_bias: true,
            },
            Scale {
                train: 5000,
                validation: 1000,
                test: 2500,
                rate: 0.1,
                widths: &[16, 32, 64, 64],
                symmetric_widths: &[16, 32, 64, 64],
                epochs: 60,
                warm_up: 15,
                seeds: 5,
                between: &[0.2],
                variants: true,
                ablations: true,
                constants: false,
                rates: true,
                active_bias: true,
            },
        ],
        Profile::Paper => return paper(seeds.unwrap_or(3)),
    };
    let [digits_scale, photos_scale] = &studies;
    let mut grid = small("digits", &digits(digits_scale), digits_scale, seeds);
    grid.extend(small("photos", &photos(photos_scale), photos_scale, seeds));
    grid
}

/// One cell for each method, noise, level and seed.
fn cells(base: &Config, methods: &[Method], noise: &NoiseKind, levels: &[f64], seeds: usize) -> Vec<Config> {
    let mut cells = vec![];
    for method in methods {
        for &level in levels {
            let (noise, method) = (noise.clone(), method.clone());
            let cell = Config { noise, level, method, ..base.clone() };
            cells.extend((0..seeds as u64).map(|seed| Config { seed, ..cell.clone() }));
        }
    }
    cells
}

fn small(name: &str, base: &Config, scale: &Scale, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let seeds = seeds.unwrap_or(scale.seeds);
    let q = history(scale.warm_up);
    let selfie = |restarts: usize| Method::Selfie(Selfie::paper(q, restarts));
    let restarts = if scale.variants { 2 } else { 0 };
    let mut methods = vec![Method::Default { runs: 1 }];
    if scale.active_bias {
        methods.push(Method::ActiveBias { smoothing: 0.2 });
    }
    methods.push(Method::CoTeaching { ramp: (base.epochs / 10).max(1) as u64 });
    if scale.constants {
        methods.push(Method::ActiveBias { smoothing: 0.02 });
        methods.push(Method::CoTeaching { ramp: (base.epochs * 3 / 20).max(1) as u64 });
    }
    if scale.ablations {
        methods.extend([Method::SelectOnly, Method::RelabelAll { history: q }]);
    }
    let with = |method: Method| [methods.clone(), vec![method]].concat();
    let mut grid = vec![
        experiment(
            &format!("{name}-pair"),
            "Heavy pair noise: does SELFIE err less than Default, its rivals and its own halves?",
            cells(base, &with(selfie(restarts)), &NoiseKind::Pair, &[HEAVY], seeds),
        ),
        experiment(
            &format!("{name}-symmetric"),
            "Heavy symmetric noise: the same",
            cells(&symmetric(base, scale), &with(selfie(0)), &NoiseKind::Symmetric, &[HEAVY], seeds),
        ),
    ];
    if scale.rates {
        let two = [Method::Default { runs: 1 }, selfie(0)];
        let levels = [&[0.], scale.between].concat();
        grid.push(experiment(
            &format!("{name}-rates"),
            "Does the advantage grow with the noise rate, and does it cost anything without noise?",
            cells(base, &two, &NoiseKind::Pair, &levels, seeds),
        ));
    }
    if scale.variants {
        let paper = Selfie::paper(q, 0);
        let pair = |variants: Vec<Selfie>| {
            let methods: Vec<Method> = variants.into_iter().map(Method::Selfie).collect();
            cells(base, &methods, &NoiseKind::Pair, &[HEAVY], seeds)
        };
        let repeated = [Method::Default { runs: restarts + 1 }];
        grid.push(experiment(
            &format!("{name}-budget"),
            "Do restarts beat as many fresh runs of Default?",
            cells(base, &repeated, &NoiseKind::Pair, &[HEAVY], seeds),
        ));
        grid.push(experiment(
            &format!("{name}-rules"),
            "Which rule is best: unanimity, one dissenter, two; a short history or a long one?",
            pair(vec![
                Selfie { epsilon: threshold(10, q, 1), ..paper.clone() },
                Selfie { epsilon: threshold(10, q, 2), ..paper.clone() },
                Selfie { history: (q * 2 / 3).max(1), ..paper.clone() },
                Selfie { history: scale.warm_up, ..paper.clone() },
            ]),
        ));
        grid.push(experiment(
            &format!("{name}-versions"),
            "Do the versions of the published code differ, and does a misjudged noise rate hurt?",
            pair(vec![
                Selfie { reuse: Reuse::SmallLoss, ..paper.clone() },
                Selfie {
                    restarts,
                    warm_up_labels: WarmUpLabels::Corrected,
                    noise_rate: NoiseRate::Lowered,
                    ..paper.clone()
                },
                Selfie { misjudged: 0.1, ..paper.clone() },
                Selfie { misjudged: -0.1, ..paper.clone() },
            ]),
        ));
        if scale.constants {
            grid.push(experiment(
                &format!("{name}-drafts"),
                "Do the published padding of short histories and the draft's normaliser matter?",
                pair(vec![
                    Selfie { padding: Padding::ClassZero, ..paper.clone() },
                    Selfie { normaliser: Normaliser::Batch, ..paper },
                ]),
            ));
        }
    }
    grid
}

/// A threshold that so many dissenters among `q` votes pass, however scattered, rounded up to two digits.
fn threshold(classes: usize, q: usize, dissenters: usize) -> f64 {
    let mut votes = vec![0; classes];
    let dissenters = dissenters.min(q / 2);
    votes[0] = (q - dissenters) as u32;
    (0..dissenters).for_each(|d| votes[1 + d] = 1);
    (crate::history::uncertainty(&votes) * 100.).ceil() / 100.
}

/// The paper's own scale: 100 epochs of |M| = 128, gamma = 25, q = 15, r = 2.
fn paper(seeds: usize) -> Vec<Experiment<Config>> {
    let base = |source: Source, architecture: Architecture, halved: bool| Config {
        task: TaskConfig { source, train: 0, validation: 0, test: 0, halved },
        noise: NoiseKind::Pair,
        level: 0.,
        method: Method::Default { runs: 1 },
        architecture,
        optimiser: published(),
        schedule: steps(0.1, 100),
        batch: 128,
        draw: Draw::Independent,
        epochs: 100,
        warm_up: 25,
        seed: 0,
    };
    let four = [
        Method::Default { runs: 1 },
        Method::ActiveBias { smoothing: 0.2 },
        Method::CoTeaching { ramp: 10 },
        Method::Selfie(Selfie::paper(15, 2)),
    ];
    let levels = [0., 0.1, 0.2, 0.3, 0.4];
    let mut grid = vec![];
    let sets = [("cifar10", DatasetId::Cifar10), ("cifar100", DatasetId::Cifar100)];
    for (network, architecture) in [("densenet", Architecture::DenseNet2512), ("vgg", Architecture::Vgg19)] {
        for (set, id) in sets {
            let base = base(Source::Images(id), architecture.clone(), false);
            for (kind, noise) in [("pair", NoiseKind::Pair), ("symmetric", NoiseKind::Symmetric)] {
                grid.push(experiment(
                    &format!("{set}-{network}-{kind}"),
                    "Best test error of four methods against the noise rate (Figs. 4 and 11, and their symmetric twins)",
                    cells(&base, &four, &noise, &levels, seeds),
                ));
            }
        }
    }
    let cifar = base(Source::Images(DatasetId::Cifar10), Architecture::DenseNet2512, false);
    let paper = Selfie::paper(15, 0);
    let mut further: Vec<Method> = [
        Selfie { epsilon: 0.15, ..paper.clone() },
        Selfie { epsilon: 0.2, ..paper.clone() },
        Selfie { history: 10, ..paper.clone() },
        Selfie { history: 20, ..paper.clone() },
        Selfie { reuse: Reuse::SmallLoss, ..paper },
    ]
    .map(Method::Selfie)
    .to_vec();
    further.extend([Method::SelectOnly, Method::RelabelAll { history: 15 }, Method::Default { runs: 3 }]);
    grid.push(experiment(
        "cifar10-densenet-further",
        "Rules, versions and ablations on CIFAR-10 with heavy pair noise",
        cells(&cifar, &further, &NoiseKind::Pair, &[HEAVY], seeds),
    ));
    for (network, architecture) in [("densenet", Architecture::DenseNet2512), ("vgg", Architecture::Vgg19)] {
        // The published DenseNet takes 32 x 32 pixels only, of both sets.
        let animals = base(Source::Folder(FolderSet::Animal10n), architecture.clone(), network == "densenet");
        grid.push(experiment(
            &format!("animal10n-{network}"),
            "Natural noise near 8 % (README Fig. 6.2); needs --data DIR with animal-10n/",
            cells(&animals, &four, &NoiseKind::Clean, &[0.08], seeds),
        ));
        let tiny = base(Source::Folder(FolderSet::TinyImagenet), architecture, network == "densenet");
        for (kind, noise) in [("pair", NoiseKind::Pair), ("symmetric", NoiseKind::Symmetric)] {
            grid.push(experiment(
                &format!("tiny-imagenet-{network}-{kind}"),
                "Best test error on Tiny-ImageNet; needs --data DIR with tiny-imagenet-200/",
                cells(&tiny, &four, &noise, &levels, seeds),
            ));
        }
    }
    grid
}

/// Rough seconds of a cell on one core of a laptop.
pub fn expected_seconds(config: &Config) -> f64 {
    let passes = match &config.method {
        Method::Default { runs } => *runs as f64,
        Method::ActiveBias { .. } | Method::RelabelAll { .. } => 1.,
        Method::CoTeaching { .. } => 2.2,
        Method::SelectOnly => 1.1,
        Method::Selfie(selfie) => 1.3 * (selfie.restarts + 1) as f64,
    };
    // Microseconds of an image, trained and judged.
    let each = match &config.architecture {
        Architecture::Mlp { widths, .. } => 0.08 * widths.first().copied().unwrap_or(0) as f64,
        Architecture::DenseNet2512 => 12_000.,
        Architecture::Vgg19 => 50_000.,
        _ if config.task.halved => 150.,
        _ => 1200.,
    };
    let images = if config.task.train == 0 { 50_000 } else { config.task.train };
    passes * each * 1e-6 * (images * config.epochs) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Embedded images are asked for in balanced parts: of the rarest digit there are 892 to test on and 5,421 to train on, of
    /// each photo 250 and 1,000.
    #[test]
    fn no_profile_asks_for_more_embedded_images_than_there_are() {
        for profile in [Profile::Smoke, Profile::Quick, Profile::Standard] {
            for config in grid(profile, None).into_iter().flat_map(|e| e.cells) {
                let TaskConfig { source, train, validation, test, .. } = config.task;
                let (to_train, to_test) = match source {
                    Source::Images(DatasetId::Mnist) => (5_421, 892),
                    Source::Images(DatasetId::Cifar10Subset) => (1_000, 250),
                    _ => continue,
                };
                assert!(
                    (train + validation).div_ceil(10) <= to_train && test.div_ceil(10) <= to_test,
                    "{:?}",
                    config.task
                );
            }
        }
    }
}
