//! The grid at each profile: stages S0-S7 at small scale, X1, X2 and X6 at the paper's.

use retrial_core::data::{Augmentation, Crop, DatasetId, Fill};
use retrial_core::experiment::{Experiment, Profile};
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::train::{OptimiserConfig, Schedule};

use crate::config::{
    Baseline, CoTeaching, Config, Incv, Memorise, Method, Neighbours, Noise, Source, Stop, TaskConfig, Weights,
};

/// Where symmetric noise of ten classes carries information, plus total noise.
const ALL_LEVELS: [f64; 10] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0];
const PAIR_LEVELS: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

fn symmetric() -> Noise {
    Noise::Class(NoiseKind::Symmetric)
}

fn pair() -> Noise {
    Noise::Class(NoiseKind::Pair)
}

fn adam() -> OptimiserConfig {
    OptimiserConfig::adam(0.0)
}

/// Rate 1e-3, multiplied from each epoch on by its factor.
fn steps(steps: &[(usize, f64)]) -> Schedule {
    Schedule::MultiStep { rate: 1e-3, steps: steps.iter().map(|&(epoch, factor)| (epoch as f64, factor)).collect() }
}

fn mlp(width: usize) -> Architecture {
    Architecture::Mlp { widths: vec![width], dropout: 0.0 }
}

/// A network that is trained until it has memorised its labels (regime R1): constant Adam 1e-3, batch 128, nothing
/// that regularises.
fn interpolating(task: &TaskConfig, noise: &Noise, architecture: Architecture, epochs: usize) -> Memorise {
    Memorise {
        task: task.clone(),
        noise: noise.clone(),
        level: 0.0,
        architecture,
        optimiser: adam(),
        schedule: Schedule::Constant { rate: 1e-3 },
        augmentation: Augmentation::NONE,
        batch: 128,
        epochs,
        stop: Stop::Memorised,
        seed: 0,
    }
}

/// One cell for each level and seed.
fn sweep(base: &Memorise, levels: &[f64], seeds: usize) -> Vec<Config> {
    let cell = |level: f64, seed: u64| Config::Memorise(Memorise { level, seed, ..base.clone() });
    levels.iter().flat_map(|&level| (0..seeds as u64).map(move |seed| cell(level, seed))).collect()
}

/// One nearest-neighbour cell a seed, over all levels.
fn neighbours(task: &TaskConfig, noise: &Noise, levels: &[f64], seeds: usize) -> Vec<Config> {
    let cell = |seed| {
        let (task, noise, levels) = (task.clone(), noise.clone(), levels.to_vec());
        Config::Neighbours(Neighbours { task, noise, levels, k: vec![1, 5, 15], seed })
    };
    (0..seeds as u64).map(cell).collect()
}

fn experiment(name: &str, question: &str, cells: Vec<Config>) -> Experiment<Config> {
    Experiment { name: name.into(), question: question.into(), cells }
}

/// The experiments of a profile.
pub fn grid(profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    match profile {
        Profile::Smoke => small(&Scale::SMOKE, seeds),
        Profile::Quick => small(&Scale::QUICK, seeds),
        Profile::Standard => small(&Scale::STANDARD, seeds),
        Profile::Paper => paper(seeds),
    }
}

/// Sizes of the small-scale protocol.
struct Scale {
    gaussian: TaskConfig,
    gaussian_seeds: usize,
    digits: TaskConfig,
    digits_width: usize,
    digits_levels: &'static [f64],
    digits_seeds: usize,
    pair_levels: &'static [f64],
    photos: TaskConfig,
    photos_levels: &'static [f64],
    photos_seeds: usize,
    seeds: usize,
    cap: usize,
    incv_task: TaskConfig,
    incv_width: usize,
    incv_settings: &'static [(bool, f64)],
    incv_epochs: usize,
    incv_seeds: usize,
    final_epochs: usize,
    /// Stages that only the standard profile has.
    scope: bool,
    methods: bool,
}

const fn task(source: Source, train: usize, validation: usize, held_out: usize) -> TaskConfig {
    TaskConfig { source, train, validation, held_out }
}

const MNIST: Source = Source::Images(DatasetId::Mnist);
const CIFAR_PCA: Source = Source::Pca { dataset: DatasetId::Cifar10Subset, components: 256 };

impl Scale {
    const SMOKE: Self = Self {
        gaussian: task(Source::Gaussians { bayes_accuracy: 0.97 }, 300, 0, 300),
        gaussian_seeds: 2,
        digits: task(MNIST, 200, 50, 200),
        digits_width: 32,
        digits_levels: &[0.0, 0.4, 0.8],
        digits_seeds: 2,
        pair_levels: &[0.0, 0.4, 0.6],
        photos: task(Source::Pca { dataset: DatasetId::Cifar10Subset, components: 16 }, 200, 50, 200),
        photos_levels: &[0.0, 0.4],
        photos_seeds: 2,
        seeds: 2,
        cap: 4,
        incv_task: task(MNIST, 300, 0, 200),
        incv_width: 32,
        incv_settings: &[(false, 0.5), (true, 0.4)],
        incv_epochs: 2,
        incv_seeds: 2,
        final_epochs: 5,
        scope: true,
        methods: true,
    };

    const QUICK: Self = Self {
        gaussian: task(Source::Gaussians { bayes_accuracy: 0.97 }, 2000, 0, 2000),
        gaussian_seeds: 20,
        digits: task(MNIST, 3000, 1000, 10_000),
        digits_width: 256,
        digits_levels: &[0.0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8],
        digits_seeds: 3,
        pair_levels: &[0.0, 0.2, 0.4, 0.6, 0.8],
        photos: task(CIFAR_PCA, 3000, 1000, 5000),
        photos_levels: &[0.0, 0.2, 0.4, 0.6, 0.8],
        photos_seeds: 3,
        seeds: 3,
        cap: 150,
        incv_task: task(MNIST, 10_000, 0, 10_000),
        incv_width: 256,
        incv_settings: &[(false, 0.2), (false, 0.5)],
        incv_epochs: 15,
        incv_seeds: 3,
        final_epochs: 0,
        scope: false,
        methods: false,
    };

    const STANDARD: Self = Self {
        gaussian: task(Source::Gaussians { bayes_accuracy: 0.97 }, 5000, 0, 5000),
        gaussian_seeds: 20,
        digits: task(MNIST, 5000, 1000, 10_000),
        digits_width: 512,
        digits_levels: &ALL_LEVELS,
        digits_seeds: 5,
        pair_levels: &PAIR_LEVELS,
        photos: task(CIFAR_PCA, 5000, 1000, 5000),
        photos_levels: &[0.0, 0.1, 0.2, 0.4, 0.6, 0.8],
        // Three were planned, and left open whether the line is straight.
        photos_seeds: 10,
        seeds: 3,
        cap: 150,
        incv_task: task(MNIST, 10_000, 0, 10_000),
        incv_width: 512,
        incv_settings: &[(false, 0.2), (false, 0.5), (false, 0.8), (true, 0.4)],
        incv_epochs: 15,
        incv_seeds: 3,
        final_epochs: 60,
        scope: true,
        methods: true,
    };
}

fn small(scale: &Scale, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let count = |default: usize| seeds.unwrap_or(default);
    let digits = |noise: &Noise| interpolating(&scale.digits, noise, mlp(scale.digits_width), scale.cap);
    let mut grid = vec![
        experiment(
            "S0",
            "Does 1-NN on Gaussian classes follow the scaled law, as theory says it must?",
            neighbours(&scale.gaussian, &symmetric(), &ALL_LEVELS, count(scale.gaussian_seeds)),
        ),
        experiment(
            "control",
            "Does 1-NN on the digits follow the scaled law (positive control), and k-NN bend away from it?",
            neighbours(&scale.digits, &symmetric(), &ALL_LEVELS, count(scale.digits_seeds)),
        ),
        experiment(
            "S1",
            "Digits, symmetric noise, memorised: is clean accuracy a straight line in the noise ratio?",
            sweep(&digits(&symmetric()), scale.digits_levels, count(scale.digits_seeds)),
        ),
        experiment(
            "S1-blind",
            "What does a network predict where noisy labels tell nothing of the class (0.9) or are all wrong (1.0)?",
            sweep(&digits(&symmetric()), &[0.9, 1.0], count(scale.seeds)),
        ),
        experiment(
            "S3",
            "Digits, pair noise, memorised: is noisy-label accuracy U-shaped and symmetric about one half?",
            sweep(&digits(&pair()), scale.pair_levels, count(scale.seeds)),
        ),
        experiment(
            "S4",
            "CIFAR-10 features, symmetric noise, memorised: does the law hold where accuracy is far from 1?",
            sweep(
                &interpolating(&scale.photos, &symmetric(), mlp(512), scale.cap),
                scale.photos_levels,
                count(scale.photos_seeds),
            ),
        ),
        experiment(
            "S4-control",
            "1-NN on the same CIFAR-10 features",
            neighbours(&scale.photos, &symmetric(), &ALL_LEVELS, count(scale.photos_seeds)),
        ),
    ];
    if scale.scope {
        grid.extend(scope(scale, count(scale.seeds), count(scale.photos_seeds)));
    }
    grid.extend(selection(scale, count(scale.incv_seeds)));
    grid
}

/// CIFAR-10 images as they are, as many as the features of stage S4.
fn photos(scale: &Scale) -> TaskConfig {
    TaskConfig { source: Source::Images(DatasetId::Cifar10Subset), ..scale.photos.clone() }
}

/// Stages S2 and S5: where does the law end?
fn scope(scale: &Scale, seeds: usize, photos_seeds: usize) -> Vec<Experiment<Config>> {
    let levels = [0.0, 0.2, 0.5, 0.7];
    let base = interpolating(&scale.digits, &symmetric(), mlp(scale.digits_width), scale.cap);
    let variant = |change: &dyn Fn(&mut Memorise)| {
        let mut changed = base.clone();
        change(&mut changed);
        sweep(&changed, &levels, seeds)
    };
    let widths = [32, 128, 2048].map(|w| if scale.cap < 10 { w.min(64) } else { w });
    let sizes = [1000, 20_000].map(|n| if scale.cap < 10 { n / 100 } else { n });
    vec![
        experiment(
            "S2-regularised",
            "Does dropout 0.5 or weight decay 5e-4 bend the line?",
            [
                variant(&|c| {
                    c.architecture = Architecture::Mlp { widths: vec![scale.digits_width], dropout: 0.5 };
                    c.stop = Stop::Epochs;
                    c.epochs = c.epochs.min(60);
                }),
                variant(&|c| {
                    c.optimiser = OptimiserConfig::adam(5e-4);
                    c.stop = Stop::Epochs;
                    c.epochs = c.epochs.min(60);
                }),
            ]
            .concat(),
        ),
        experiment(
            "S2-width",
            "Does the width of the network matter?",
            widths.into_iter().flat_map(|w| variant(&|c| c.architecture = mlp(w))).collect(),
        ),
        experiment(
            "S2-size",
            "Does the number of training samples matter?",
            sizes.into_iter().flat_map(|n| variant(&|c| c.task.train = n)).collect(),
        ),
        experiment(
            "S2-instance",
            "Negative control: does the formula fail when noise depends on the image?",
            variant(&|c| c.noise = Noise::LowMargin),
        ),
        experiment(
            "S2-classwise",
            "Random class-conditional noise: does the sum of squared transition probabilities predict it?",
            (1..=3)
                .flat_map(|m| {
                    let mut changed = base.clone();
                    changed.noise = Noise::Class(NoiseKind::ClassConditional { matrix_seed: m });
                    sweep(&changed, &[0.2, 0.5], seeds)
                })
                .collect(),
        ),
        experiment("S5", "CIFAR-10 images, convolutional network: does convolution change the verdict?", {
            let architecture = Architecture::StridedCnn { widths: vec![32, 64], hidden: 256 };
            let cnn = interpolating(&photos(scale), &symmetric(), architecture, scale.cap);
            sweep(&cnn, &[0.0, 0.2, 0.4, 0.5, 0.6, 0.8], photos_seeds)
        }),
        experiment(
            "S5-control",
            "1-NN on the same CIFAR-10 images",
            neighbours(&photos(scale), &symmetric(), &ALL_LEVELS, photos_seeds),
        ),
        experiment("S5-pooled", "A convolutional network that pools over the image: does it memorise?", {
            let architecture = Architecture::SmallCnn { widths: vec![32, 64, 128] };
            let cnn = interpolating(&photos(scale), &symmetric(), architecture, scale.cap.min(60));
            sweep(&cnn, &[0.0, 0.2, 0.4, 0.6, 0.8], seeds)
        }),
    ]
}

/// Stages S6 and S7: noisy cross-validation, and training on what it selects.
fn selection(scale: &Scale, seeds: usize) -> Vec<Experiment<Config>> {
    let noise = |pair: bool| if pair { NoiseKind::Pair } else { NoiseKind::Symmetric };
    let incv = |weights: Weights, then: Option<CoTeaching>| -> Vec<Config> {
        let cell = |(pair, level): (bool, f64), seed: u64| {
            Config::Incv(Incv {
                task: scale.incv_task.clone(),
                noise: noise(pair),
                level,
                architecture: mlp(scale.incv_width),
                optimiser: adam(),
                schedule: selection_schedule(scale.incv_epochs),
                augmentation: Augmentation::NONE,
                batch: 128,
                iterations: 4,
                epochs: scale.incv_epochs,
                weights,
                reuse_start: false,
                then: then.clone(),
                seed,
            })
        };
        scale.incv_settings.iter().flat_map(|&s| (0..seeds as u64).map(move |seed| cell(s, seed))).collect()
    };
    let training = co_teaching(scale.final_epochs);
    let then = scale.methods.then(|| training.clone());
    let mut grid = vec![experiment(
        "S6",
        "INCV: does it recover the noise ratio, and does label recall rise over its iterations?",
        [incv(Weights::Published, then), incv(Weights::Last, None)].concat(),
    )];
    if scale.methods {
        let methods = [Method::CrossEntropy, Method::CoTeaching, Method::Oracle, Method::NcvOnce];
        let cell = |method: Method, (pair, level): (bool, f64), seed: u64| {
            Config::Baseline(Baseline {
                method,
                task: scale.incv_task.clone(),
                noise: noise(pair),
                level,
                architecture: mlp(scale.incv_width),
                optimiser: adam(),
                selection_schedule: selection_schedule(scale.incv_epochs),
                selection_epochs: scale.incv_epochs,
                augmentation: Augmentation::NONE,
                batch: 128,
                training: training.clone(),
                seed,
            })
        };
        let mut cells = vec![];
        for method in methods {
            for &setting in scale.incv_settings {
                cells.extend((0..seeds as u64).map(|seed| cell(method, setting, seed)));
            }
        }
        grid.push(experiment(
            "S7",
            "Does INCV + Co-teaching beat its rivals on clean labels, without late collapse?",
            cells,
        ));
    }
    grid
}

/// The published rates of the selection networks (1e-3, 5e-4 from epoch 21, 2.5e-4 from 31, 1e-4 from 41 of 50), scaled.
fn selection_schedule(epochs: usize) -> Schedule {
    let at = |epoch: usize| epoch * epochs / 50;
    steps(&[(at(21), 0.5), (at(31), 0.5), (at(41), 0.4)])
}

/// The published final training (200 epochs: x 0.1 at 80, 120 and 160, x 0.5 at 180; T_k = 10, E_w = 40 or 80), scaled.
/// T_k stays ten epochs.
fn co_teaching(epochs: usize) -> CoTeaching {
    let at = |epoch: usize| epoch * epochs / 200;
    CoTeaching {
        epochs,
        schedule: steps(&[(at(80), 0.1), (at(120), 0.1), (at(160), 0.1), (at(180), 0.5)]),
        ramp: 10,
        warm_up: if epochs == 200 { 40 } else { epochs / 3 },
        warm_up_hard: if epochs == 200 { 80 } else { epochs * 2 / 3 },
    }
}

/// The paper's own scale: CIFAR-10 halves, ResNet-110 v2 for the theory, ResNet-32 for INCV, 200 epochs, augmentation.
fn paper(seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let halves = task(Source::UnitImages(DatasetId::Cifar10), 25_000, 0, 25_000);
    // Keras shifts by up to four pixels and repeats the edge.
    let shifts = Augmentation { flip: true, crop: Some(Crop { padding: 4, fill: Fill::Edge }) };
    let theory = Memorise {
        task: halves,
        noise: symmetric(),
        level: 0.0,
        architecture: Architecture::ResNet110V2,
        optimiser: adam(),
        schedule: steps(&[(81, 0.1), (121, 0.1), (161, 0.1), (181, 0.5)]),
        augmentation: shifts,
        batch: 128,
        epochs: 200,
        stop: Stop::Epochs,
        seed: 0,
    };
    let plain = Memorise { augmentation: Augmentation::NONE, ..theory.clone() };
    let whole = task(Source::UnitImages(DatasetId::Cifar10), 50_000, 0, 10_000);
    // Keras's l2(1e-4) is a decay of 2e-4; the published one leaves out the first and the last layer, ours does not.
    let decayed = OptimiserConfig::adam(2e-4);
    let settings = [(false, 0.2), (false, 0.5), (false, 0.8), (true, 0.4)];
    let kind = |pair: bool| if pair { NoiseKind::Pair } else { NoiseKind::Symmetric };
    let seeds_table = seeds.unwrap_or(5) as u64;
    let seeds_theory = seeds.unwrap_or(3);
    let incv = settings.iter().flat_map(|&(pair, level)| {
        let (task, decayed) = (whole.clone(), decayed.clone());
        (0..seeds_table).map(move |seed| {
            Config::Incv(Incv {
                task: task.clone(),
                noise: kind(pair),
                level,
                architecture: Architecture::ResNet32,
                optimiser: decayed.clone(),
                schedule: selection_schedule(50),
                augmentation: shifts,
                batch: 128,
                iterations: 4,
                epochs: 50,
                weights: Weights::Published,
                reuse_start: true,
                then: Some(co_teaching(200)),
                seed,
            })
        })
    });
    let methods = [Method::CrossEntropy, Method::CoTeaching, Method::Oracle, Method::NcvOnce];
    let mut rivals = vec![];
    for method in methods {
        for (pair, level) in settings {
            rivals.extend((0..seeds_table).map(|seed| {
                Config::Baseline(Baseline {
                    method,
                    task: whole.clone(),
                    noise: kind(pair),
                    level,
                    architecture: Architecture::ResNet32,
                    optimiser: decayed.clone(),
                    selection_schedule: selection_schedule(50),
                    selection_epochs: 50,
                    augmentation: shifts,
                    batch: 128,
                    training: co_teaching(200),
                    seed,
                })
            }));
        }
    }
    vec![
        experiment(
            "X1",
            "ResNet-110 v2, symmetric noise, the published recipe",
            sweep(&theory, &PAIR_LEVELS, seeds_theory),
        ),
        experiment(
            "X1-plain",
            "The same without augmentation: is the bend due to it?",
            sweep(&plain, &PAIR_LEVELS, seeds_theory),
        ),
        experiment("X2", "ResNet-110 v2, pair noise", {
            sweep(&Memorise { noise: pair(), ..theory }, &PAIR_LEVELS, seeds_theory)
        }),
        experiment("X5", "INCV and Co-teaching with ResNet-32", incv.collect()),
        experiment("X6", "Its rivals", rivals),
    ]
}

/// Rough seconds of a cell on one core: samples passed through the network times its cost, from timings of the small
/// networks.
pub fn expected_seconds(config: &Config) -> f64 {
    match config {
        Config::Memorise(c) => {
            let epochs = if c.stop == Stop::Memorised { c.epochs as f64 / 3. } else { c.epochs as f64 };
            epochs * (c.task.train as f64 * 4. + c.task.validation as f64) * sample_cost(&c.architecture, &c.task) / 3.
        }
        Config::Neighbours(c) => 1e-9 * c.task.train as f64 * c.task.held_out as f64 * 50. + 1.,
        Config::Incv(c) => {
            let selection = (2 * c.iterations * c.epochs) as f64 * c.task.train as f64;
            let training = c.then.as_ref().map_or(0., |t| (4 * t.epochs) as f64 * c.task.train as f64);
            (selection + training) * sample_cost(&c.architecture, &c.task)
        }
        Config::Baseline(c) => {
            let networks = if c.method == Method::CoTeaching { 4. } else { 2. };
            c.training.epochs as f64 * networks * c.task.train as f64 * sample_cost(&c.architecture, &c.task)
        }
    }
}

/// Seconds for one training sample, forward and backward, at 80 GFLOP/s.
fn sample_cost(architecture: &Architecture, task: &TaskConfig) -> f64 {
    let inputs = match task.source {
        Source::Pca { components, .. } => components,
        Source::Gaussians { .. } => 20,
        Source::Images(DatasetId::Mnist | DatasetId::FashionMnist) => 784,
        Source::Images(_) | Source::UnitImages(_) => 3072,
    };
    let multiply_adds = match architecture {
        Architecture::Mlp { widths, .. } => {
            widths.iter().fold((0, inputs), |(sum, from), &to| (sum + from * to, to)).0 as f64
        }
        Architecture::Linear => inputs as f64 * 10.,
        Architecture::LeNet => 4e5,
        Architecture::SmallCnn { .. } => 1e7,
        Architecture::ResNet32 => 7e7,
        Architecture::ResNet110V2 => 2.5e8,
        // None of this paper's.
        _ => 1e7,
    };
    6. * multiply_adds / 8e10
}
