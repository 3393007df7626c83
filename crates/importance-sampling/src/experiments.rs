//! The grid at each profile: stages R1 to R9 of the reduced protocol, and sections 4.1 to 4.5 at the paper's scale.

use retrial_core::data::{Augmentation, Crop, DatasetId, Fill};
use retrial_core::experiment::{Experiment, Profile};
use retrial_core::model::Architecture;
use retrial_core::train::{OptimiserConfig, Schedule};

use crate::config::{Analysis, Budget, Config, ControlVariate, Method, Pretraining, Score, TaskConfig};
use crate::sampling::{TRAINED, threshold};

fn experiment(name: &str, question: &str, cells: Vec<Config>) -> Experiment<Config> {
    Experiment { name: name.into(), question: question.into(), cells }
}

/// The published drops: divided by five at 50 % and at 80 % of the budget.
fn drops(rate: f64) -> Schedule {
    Schedule::MultiStep { rate, steps: vec![(0.5, 0.2), (0.8, 0.2)] }
}

/// Mirrored, and shifted by up to a tenth of the side with the edge repeated.
fn augmentation(side: usize) -> Augmentation {
    Augmentation { flip: true, crop: Some(Crop { padding: side.div_ceil(10), fill: Fill::Edge }) }
}

fn task(source: DatasetId, train: usize, test: usize, shrink: usize) -> TaskConfig {
    TaskConfig {
        source,
        train,
        test,
        shrink,
        augmentation: Augmentation::NONE,
        classes: None,
        label_noise: 0.,
        copies: 0,
        permuted: false,
    }
}

/// The budget of so many uniform updates of `batch` samples.
fn of_updates(updates: u64, batch: usize) -> Budget {
    Budget::Forwards(TRAINED * (updates * batch as u64) as f64)
}

/// Algorithm 1 with a threshold of its own, or the published formula's.
pub fn importance(score: Score, batch: usize, presample: usize, tau_th: Option<f64>) -> Method {
    Method::Importance { score, presample, threshold: tau_th.unwrap_or_else(|| threshold(presample, batch, TRAINED)) }
}

/// Every method on a base config, for so many seeds.
fn sweep(base: &Config, methods: &[Method], seeds: usize) -> Vec<Config> {
    let cell = |method: Method, seed: u64| Config { method, seed, ..base.clone() };
    methods.iter().flat_map(|&method| (0..seeds as u64).map(move |seed| cell(method, seed))).collect()
}

/// Sizes of the small protocol.
struct Scale {
    digits: usize,
    digits_test: usize,
    digits_epochs: u64,
    digits_evaluations: u32,
    digits_seeds: usize,
    /// Also run importance sampling for as many updates as uniform sampling, as in the published log.
    digits_by_updates: bool,
    photos: (DatasetId, usize, usize, usize),
    photos_classes: Option<(u32, u32)>,
    photos_network: Architecture,
    photos_batch: usize,
    photos_rate: f64,
    photos_updates: u64,
    photos_evaluations: u32,
    photos_seeds: usize,
    histories: usize,
    ten_seeds: usize,
    hard: Option<DatasetId>,
    /// Ten classes: images, shrinking, channels of the stem, batch, updates.
    ten: (usize, usize, usize, usize, u64),
    analysis: Analysis,
    analysis_snapshots: u32,
    analysis_seeds: usize,
    ratios: &'static [usize],
    ablation_seeds: usize,
    pretraining: u64,
    fine_tuning: u64,
    fine_tuning_seeds: usize,
    sequence_shrink: usize,
    sequence_train: usize,
    sequence_units: usize,
    sequence_updates: u64,
    sequence_seeds: usize,
    variates_train: usize,
    variates_updates: u64,
    variates_rates: &'static [f64],
    variates_inner: &'static [u64],
    variates_seeds: usize,
    limits_updates: u64,
    limits_seeds: usize,
}

impl Scale {
    fn smoke() -> Self {
        Self {
            digits: 600,
            digits_test: 200,
            digits_epochs: 6,
            digits_evaluations: 4,
            digits_seeds: 2,
            digits_by_updates: true,
            photos: (DatasetId::Cifar10Subset, 200, 100, 4),
            photos_classes: Some((0, 2)),
            photos_network: Architecture::WideResNet { depth: 10, widen: 1, base: 4 },
            photos_batch: 16,
            photos_rate: 0.1,
            photos_updates: 40,
            photos_evaluations: 4,
            photos_seeds: 2,
            histories: 4,
            ten_seeds: 2,
            hard: Some(DatasetId::Cifar10Subset),
            ten: (200, 4, 4, 16, 40),
            analysis: Analysis { set: 32, batch: 8, repeats: 3 },
            analysis_snapshots: 3,
            analysis_seeds: 2,
            ratios: &[2, 5],
            ablation_seeds: 2,
            pretraining: 10,
            fine_tuning: 20,
            fine_tuning_seeds: 2,
            sequence_shrink: 4,
            sequence_train: 200,
            sequence_units: 6,
            sequence_updates: 40,
            sequence_seeds: 2,
            variates_train: 200,
            variates_updates: 40,
            variates_rates: &[0.1],
            variates_inner: &[10],
            variates_seeds: 2,
            limits_updates: 20,
            limits_seeds: 2,
        }
    }

    fn quick() -> Self {
        Self {
            digits: 60_000,
            digits_test: 10_000,
            digits_epochs: 5,
            digits_evaluations: 10,
            digits_seeds: 3,
            digits_by_updates: false,
            photos: (DatasetId::Cifar10Subset, 2000, 500, 4),
            photos_classes: Some((0, 2)),
            photos_network: Architecture::WideResNet { depth: 10, widen: 1, base: 8 },
            photos_batch: 32,
            photos_rate: 0.1,
            photos_updates: 2500,
            photos_evaluations: 20,
            photos_seeds: 4,
            histories: 2,
            ten_seeds: 0,
            hard: None,
            ten: (1000, 4, 8, 32, 5000),
            analysis: Analysis { set: 512, batch: 64, repeats: 10 },
            analysis_snapshots: 10,
            analysis_seeds: 3,
            ratios: &[2, 3, 5, 8],
            ablation_seeds: 4,
            pretraining: 600,
            fine_tuning: 500,
            fine_tuning_seeds: 2,
            sequence_shrink: 4,
            sequence_train: 10_000,
            sequence_units: 32,
            sequence_updates: 2500,
            sequence_seeds: 2,
            variates_train: 5000,
            variates_updates: 1000,
            variates_rates: &[0.1, 0.5, 1., 2.],
            variates_inner: &[100],
            variates_seeds: 3,
            limits_updates: 1200,
            limits_seeds: 3,
        }
    }

    fn standard() -> Self {
        Self {
            digits: 60_000,
            digits_test: 10_000,
            digits_epochs: 10,
            digits_evaluations: 20,
            digits_seeds: 5,
            digits_by_updates: true,
            photos: (DatasetId::Cifar10Subset, 2000, 500, 2),
            photos_classes: Some((0, 2)),
            photos_network: Architecture::WideResNet { depth: 10, widen: 1, base: 8 },
            photos_batch: 32,
            photos_rate: 0.1,
            photos_updates: 5000,
            photos_evaluations: 40,
            photos_seeds: 5,
            histories: 4,
            ten_seeds: 5,
            hard: Some(DatasetId::Cifar100),
            ten: (10_000, 2, 8, 64, 6000),
            analysis: Analysis { set: 1024, batch: 128, repeats: 10 },
            analysis_snapshots: 16,
            analysis_seeds: 3,
            ratios: &[2, 3, 4, 5, 8],
            ablation_seeds: 5,
            pretraining: 3000,
            fine_tuning: 6000,
            fine_tuning_seeds: 5,
            sequence_shrink: 4,
            sequence_train: 60_000,
            sequence_units: 64,
            sequence_updates: 20_000,
            sequence_seeds: 5,
            variates_train: 10_000,
            variates_updates: 4000,
            variates_rates: &[0.02, 0.1, 0.5, 1., 2.],
            variates_inner: &[100, 400],
            variates_seeds: 3,
            limits_updates: 3000,
            limits_seeds: 5,
        }
    }
}

/// The experiments of a profile.
pub fn grid(profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    match profile {
        Profile::Smoke => small(&Scale::smoke(), seeds),
        Profile::Quick => small(&Scale::quick(), seeds),
        Profile::Standard => small(&Scale::standard(), seeds),
        Profile::Paper => paper(seeds),
    }
}

/// The documentation's MNIST run: MLP 784-512-512-10, l2(1e-5), RMSprop, b = 128.
fn digits(train: usize, test: usize, budget: Budget, evaluations: u32) -> Config {
    Config {
        task: task(DatasetId::Mnist, train, test, 1),
        architecture: Architecture::KerasMlp { widths: vec![512, 512] },
        optimiser: OptimiserConfig::rms_prop(2e-5),
        schedule: Schedule::Constant { rate: 1e-3 },
        clip: None,
        batch: 128,
        method: Method::Uniform,
        budget,
        evaluations,
        evaluated: 5000,
        pretraining: None,
        analysis: None,
        seed: 0,
    }
}

fn photos(scale: &Scale) -> Config {
    let (source, train, test, shrink) = scale.photos;
    let mut task = task(source, train, test, shrink);
    task.classes = scale.photos_classes;
    task.augmentation = augmentation(32 / shrink);
    Config {
        task,
        architecture: scale.photos_network.clone(),
        optimiser: OptimiserConfig::sgd(0.9, 5e-4),
        schedule: drops(scale.photos_rate),
        clip: None,
        batch: scale.photos_batch,
        method: Method::Uniform,
        budget: of_updates(scale.photos_updates, scale.photos_batch),
        evaluations: scale.photos_evaluations,
        evaluated: train.min(1000),
        pretraining: None,
        analysis: None,
        seed: 0,
    }
}

/// All ten classes.
fn ten_classes(scale: &Scale) -> Config {
    let (train, shrink, base, batch, updates) = scale.ten;
    let mut config = photos(scale);
    config.task.classes = None;
    (config.task.train, config.task.test, config.task.shrink) = (train, 1000.min(train), shrink);
    config.task.augmentation = augmentation(32 / shrink);
    config.architecture = Architecture::WideResNet { depth: 10, widen: 1, base };
    config.batch = batch;
    config.budget = of_updates(updates, batch);
    config.evaluated = train.min(1000);
    config
}

/// A small MLP on digits with SGD and momentum: what methods of variance reduction are tuned on.
fn variates(scale: &Scale) -> Config {
    let budget = of_updates(scale.variates_updates, 64);
    Config {
        architecture: Architecture::KerasMlp { widths: vec![128] },
        optimiser: OptimiserConfig::sgd(0.9, 0.),
        schedule: drops(0.1),
        evaluated: 2000.min(scale.variates_train),
        batch: 64,
        ..digits(scale.variates_train, scale.digits_test.min(2000), budget, 10)
    }
}

/// The rivals of section 4.2: at the published thresholds, and the controls of section 6.
fn rivals(b: usize) -> Vec<Method> {
    vec![
        Method::Uniform,
        importance(Score::UpperBound, b, 5 * b, Some(1.5)),
        importance(Score::UpperBound, b, 3 * b, None),
        importance(Score::Loss, b, 5 * b, Some(1.5)),
        Method::UniformAtEqualCost { presample: 5 * b },
        importance(Score::Constant, b, 5 * b, Some(0.)),
        importance(Score::UpperBound, b, 5 * b, Some(0.)),
    ]
}

fn histories() -> Vec<Method> {
    let mut methods = vec![];
    for first in [10., 100.] {
        methods.push(Method::LoshchilovHutter { first, last: 1., sort_every: 300, recompute_every: 600 });
    }
    for (alpha, beta) in [(0.5, 0.5), (1., 1.)] {
        methods.push(Method::Schaul { alpha, beta, recompute_every: 600 });
    }
    methods
}

fn control_variates(inner: u64, batch: usize) -> Vec<Method> {
    let of = |variant| Method::ControlVariate { variant, inner };
    vec![
        of(ControlVariate::Svrg),
        of(ControlVariate::Scsg { first: 10 * batch, growth: 1.2 }),
        of(ControlVariate::Katyusha { published_sign: false }),
        of(ControlVariate::Katyusha { published_sign: true }),
    ]
}

fn small(scale: &Scale, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let count = |default: usize| seeds.unwrap_or(default);
    let mut grid = vec![];

    let epoch = (scale.digits as u64).div_ceil(128);
    let base =
        digits(scale.digits, scale.digits_test, of_updates(scale.digits_epochs * epoch, 128), scale.digits_evaluations);
    let bound = importance(Score::UpperBound, 128, 640, None);
    grid.push(experiment(
        "R1",
        "MNIST as in the official documentation: does the bound lower the loss at equal cost?",
        sweep(&base, &[Method::Uniform, bound], count(scale.digits_seeds)),
    ));
    if scale.digits_by_updates {
        let by_updates = Config { budget: Budget::Updates(scale.digits_epochs * epoch), ..base };
        grid.push(experiment(
            "R1-updates",
            "The same for as many updates, as the published log has it",
            sweep(&by_updates, &[bound], count(scale.digits_seeds)),
        ));
    }

    let photos = photos(scale);
    let b = scale.photos_batch;
    let ten = ten_classes(scale);
    let analysed = |base: &Config| {
        let base = Config { analysis: Some(scale.analysis), evaluations: scale.analysis_snapshots, ..base.clone() };
        sweep(&base, &[Method::Uniform], count(scale.analysis_seeds))
    };
    grid.push(experiment(
        "R2",
        "CIFAR-10: how well do bound and loss stand in for the gradient norm, over training?",
        analysed(&ten),
    ));
    let variates = variates(scale);
    grid.push(experiment(
        "R2-digits",
        "The same on MNIST, where tau grows beyond every threshold",
        analysed(&variates),
    ));
    grid.push(experiment(
        "R3",
        "CIFAR-10, two classes, at equal cost: does any way to choose samples beat uniform sampling?",
        sweep(&photos, &rivals(b), count(scale.photos_seeds)),
    ));
    if let Some(step) = 4usize.checked_div(scale.histories) {
        let some: Vec<Method> = histories().into_iter().step_by(step).collect();
        grid.push(experiment(
            "R3-histories",
            "Do the rivals that remember losses?",
            sweep(&photos, &some, count(scale.photos_seeds)),
        ));
    }
    let selected = |b: usize| {
        [
            Method::Uniform,
            importance(Score::UpperBound, b, 5 * b, Some(1.5)),
            importance(Score::Loss, b, 5 * b, Some(1.5)),
        ]
    };
    if scale.ten_seeds > 0 {
        let cells = sweep(&ten, &selected(ten.batch), count(scale.ten_seeds));
        grid.push(experiment("R3-ten", "CIFAR-10, all classes, at equal cost", cells));
    }
    if let Some(source) = scale.hard {
        let mut hard = ten.clone();
        hard.task.source = source;
        hard.task.classes = (source == DatasetId::Cifar100).then_some((0, 20));
        let mut cells = sweep(&hard, &selected(hard.batch), count(scale.ten_seeds));
        cells.extend(sweep(&hard, &histories()[1..3], count(scale.ten_seeds)));
        grid.push(experiment("R4", "CIFAR-100, 20 classes: is the bound alone better than uniform?", cells));
    }
    let ablation: Vec<Method> =
        scale.ratios.iter().map(|k| importance(Score::UpperBound, b, k * b, Some(1.5))).collect();
    let mut cells = sweep(&photos, &[Method::Uniform], count(scale.ablation_seeds));
    cells.extend(sweep(&photos, &ablation, count(scale.ablation_seeds)));
    grid.push(experiment("R5", "How many candidates B for a batch of b?", cells));

    let mut fine = ten.clone();
    fine.task.classes = Some((5, 10));
    fine.task.train /= 2;
    fine.task.test /= 2;
    fine.evaluated = fine.evaluated.min(fine.task.train);
    fine.pretraining = Some(Pretraining { classes: (0, 5), updates: scale.pretraining, rate: scale.photos_rate / 2. });
    fine.schedule = Schedule::Constant { rate: 1e-3 };
    fine.optimiser = OptimiserConfig::sgd(0.9, 0.);
    fine.batch = 16;
    fine.budget = of_updates(scale.fine_tuning, 16);
    let methods =
        [Method::Uniform, importance(Score::UpperBound, 16, 48, Some(2.)), importance(Score::Loss, 16, 48, Some(2.))];
    grid.push(experiment(
        "R6",
        "A new head on five other classes: does fine-tuning gain?",
        sweep(&fine, &methods, count(scale.fine_tuning_seeds)),
    ));

    let sequence = sequence(scale.sequence_train, scale.sequence_shrink, scale.sequence_units, scale.sequence_updates);
    let methods = sequence_methods();
    grid.push(experiment(
        "R7",
        "An LSTM on permuted pixels: does the bound help and the loss hurt?",
        sweep(&sequence, &methods, count(scale.sequence_seeds)),
    ));

    grid.push(experiment("R8", "Do SVRG, SCSG or Katyusha reach the loss of SGD with momentum?", {
        let base = variates;
        let bound = importance(Score::UpperBound, 64, 320, Some(1.5));
        let mut cells = sweep(&base, &[Method::Uniform, bound], count(scale.variates_seeds));
        for &rate in scale.variates_rates {
            for &inner in scale.variates_inner {
                let tuned = Config { schedule: drops(rate), optimiser: OptimiserConfig::sgd(0., 0.), ..base.clone() };
                cells.extend(sweep(&tuned, &control_variates(inner, 64), count(scale.variates_seeds)));
            }
        }
        cells
    }));

    let limits = Config { budget: of_updates(scale.limits_updates, b), ..photos };
    let methods = selected(b);
    let mut noisy = limits.clone();
    noisy.task.label_noise = 0.2;
    grid.push(experiment(
        "R9-noise",
        "A fifth of the labels wrong: does choosing hard samples still help?",
        sweep(&noisy, &methods, count(scale.limits_seeds)),
    ));
    let mut copies = limits;
    copies.task.train /= 5;
    copies.evaluated = copies.evaluated.min(copies.task.train);
    copies.task.copies = 4 * copies.task.train;
    grid.push(experiment(
        "R9-copies",
        "Positive control: most of the training set is one image again and again",
        sweep(&copies, &methods, count(scale.limits_seeds)),
    ));
    grid
}

/// Permuted pixels in an LSTM: Adam, b = 32, gradients clipped to norm 1.
fn sequence(train: usize, shrink: usize, units: usize, updates: u64) -> Config {
    let side = 28 / shrink;
    // All test images at the paper's scale.
    let test = match (train, shrink) {
        (_, 1) => 10_000,
        (..1000, _) => 100,
        _ => 2000,
    };
    let mut config = digits(train, test, of_updates(updates, 32), 15);
    config.task.shrink = shrink;
    config.task.permuted = true;
    config.architecture = Architecture::Lstm { units };
    config.optimiser = OptimiserConfig::adam(0.);
    config.clip = Some(1.);
    config.batch = 32;
    config.evaluated = train.min(if side > 14 { 5000 } else { 2000 });
    config
}

fn sequence_methods() -> [Method; 3] {
    [Method::Uniform, importance(Score::UpperBound, 32, 128, Some(1.8)), importance(Score::Loss, 32, 128, Some(1.8))]
}

/// The paper's own scale. The fine-tuning of an ImageNet network is replaced by its analogue.
fn paper(seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let seeds = seeds.unwrap_or(3);
    let wide = Architecture::WideResNet { depth: 28, widen: 2, base: 16 };
    let photos = |source: DatasetId| {
        let mut task = task(source, 50_000, 10_000, 1);
        task.augmentation = augmentation(32);
        Config {
            task,
            architecture: wide.clone(),
            optimiser: OptimiserConfig::sgd(0.9, 5e-4),
            schedule: Schedule::MultiStep { rate: 0.1, steps: vec![(0.4, 0.2), (0.8, 0.2)] },
            clip: None,
            batch: 128,
            method: Method::Uniform,
            budget: of_updates(50_000, 128),
            evaluations: 50,
            evaluated: 10_000,
            pretraining: None,
            analysis: None,
            seed: 0,
        }
    };
    let (ten, hundred) = (photos(DatasetId::Cifar10), photos(DatasetId::Cifar100));
    let selection = [
        vec![
            Method::Uniform,
            importance(Score::UpperBound, 128, 640, Some(1.5)),
            importance(Score::Loss, 128, 640, Some(1.5)),
            Method::UniformAtEqualCost { presample: 640 },
        ],
        histories(),
    ]
    .concat();
    // 16 snapshots, one every 3,000 updates.
    let variance = Config {
        analysis: Some(Analysis { set: 1024, batch: 128, repeats: 10 }),
        budget: of_updates(48_000, 128),
        evaluations: 16,
        ..hundred.clone()
    };
    let documented = digits(60_000, 10_000, of_updates(4690, 128), 10);
    let bound = importance(Score::UpperBound, 128, 640, None);
    let by_updates = Config { budget: Budget::Updates(4690), ..documented.clone() };
    let mut ablation = sweep(&ten, &[Method::Uniform], seeds);
    for presample in [256, 384, 512, 640, 1024] {
        ablation.extend(sweep(&ten, &[importance(Score::UpperBound, 128, presample, Some(1.5))], seeds));
    }
    let mut fine = hundred.clone();
    fine.task.classes = Some((50, 100));
    fine.task.train = 25_000;
    fine.task.test = 5000;
    fine.pretraining = Some(Pretraining { classes: (0, 50), updates: 20_000, rate: 0.05 });
    fine.schedule = Schedule::Constant { rate: 1e-3 };
    fine.batch = 16;
    fine.budget = of_updates(10_000, 16);
    let fine_methods =
        [Method::Uniform, importance(Score::UpperBound, 16, 48, Some(2.)), importance(Score::Loss, 16, 48, Some(2.))];
    let variates = |base: &Config| {
        let bound = importance(Score::UpperBound, 128, 640, Some(1.5));
        let mut cells = sweep(base, &[Method::Uniform, bound], seeds);
        for rate in [0.01, 0.03, 0.1] {
            for inner in [500, 1000] {
                let tuned = Config { schedule: drops(rate), optimiser: OptimiserConfig::sgd(0., 5e-4), ..base.clone() };
                cells.extend(sweep(&tuned, &control_variates(inner, 128), seeds));
            }
        }
        cells
    };
    vec![
        experiment(
            "R1",
            "MNIST as in the official documentation",
            sweep(&documented, &[Method::Uniform, bound], seeds),
        ),
        experiment("R1-updates", "The same for as many updates", sweep(&by_updates, &[bound], seeds)),
        experiment("R2", "CIFAR-100, WRN-28-2: Fig. 1 and 2", sweep(&variance, &[Method::Uniform], seeds)),
        experiment("R3", "CIFAR-10, WRN-28-2: Fig. 3", sweep(&ten, &selection, seeds)),
        experiment("R4", "CIFAR-100, WRN-28-2: Fig. 3", sweep(&hundred, &selection, seeds)),
        experiment("R5", "The ablation on B", ablation),
        experiment(
            "R6",
            "Fine-tuning on the other half of CIFAR-100: analogue of Fig. 4",
            sweep(&fine, &fine_methods, seeds),
        ),
        experiment(
            "R7",
            "LSTM-128 on 784 permuted pixels: Fig. 5",
            sweep(&sequence(60_000, 1, 128, 20_000), &sequence_methods(), seeds),
        ),
        experiment("R8", "SVRG, SCSG and Katyusha: Fig. 6", [variates(&ten), variates(&hundred)].concat()),
    ]
}

/// Rough seconds of a cell on one core of a laptop.
pub fn expected_seconds(config: &Config) -> f64 {
    let forwards = match (config.budget, config.method) {
        (Budget::Forwards(f), _) => f,
        (Budget::Updates(n), Method::Importance { presample, .. }) => n as f64 * (3 * config.batch + presample) as f64,
        (Budget::Updates(n), _) => n as f64 * 3. * config.batch as f64,
    };
    let read = f64::from(config.evaluations + 1) * (config.evaluated + config.task.test) as f64;
    let analysed = config.analysis.map_or(0., |a| f64::from(config.evaluations + 1) * 6. * a.set as f64);
    let before = config.pretraining.as_ref().map_or(0., |p| p.updates as f64 * 192.);
    (forwards + read + analysed + before) * forward_seconds(config) + 0.2
}

/// Seconds of a sample's forward pass.
fn forward_seconds(config: &Config) -> f64 {
    let side = |full: usize| (full / config.task.shrink.max(1)) as f64;
    let digits = matches!(config.task.source, DatasetId::Mnist | DatasetId::FashionMnist);
    let pixels = side(if digits { 28 } else { 32 }).powi(2);
    let multiply_adds = match &config.architecture {
        Architecture::KerasMlp { widths } | Architecture::Mlp { widths, .. } => {
            widths.iter().fold((0., pixels), |(sum, from), &to| (sum + from * to as f64, to as f64)).0
        }
        Architecture::WideResNet { depth, widen, base } => {
            let blocks = (depth - 4) as f64 / 6.;
            pixels * 50. * blocks * ((widen * base) as f64).powi(2)
        }
        Architecture::Lstm { units } => pixels * 4. * (*units as f64 + 10.) * *units as f64,
        _ => 1e6,
    };
    let products = matches!(config.architecture, Architecture::KerasMlp { .. } | Architecture::Mlp { .. });
    2. * multiply_adds / if products { 1e11 } else { 3e10 } + 1e-6
}
