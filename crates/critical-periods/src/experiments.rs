//! The grid at each profile: the protocol's stages at small scale, the paper's own runs at its scale.
//!
//! Scaling rule: a control of E epochs stands for the paper's 160. Removal epochs and windows shrink by 160 / E, and the
//! rate falls by 0.97^(160 / E) an epoch, so it ends at the paper's 0.76 % of its start.

use retrial_core::data::{Augmentation, Crop, DatasetId, Fill};
use retrial_core::experiment::{Experiment, Profile};
use retrial_core::model::Architecture;
use retrial_core::train::{OptimiserConfig, Schedule};

use crate::config::{Arm, Config, Measure, Probe, TaskConfig};
use crate::course::{epochs, plan};
use crate::deficit::Deficit;

/// Epochs of the paper's control, and the factor of its rate at each.
const PAPER_EPOCHS: f64 = 160.;
const PAPER_FACTOR: f64 = 0.97;

/// Removal curve of the main network (Fig. 1A), with the controls that start late (C1), restart the rate (C3) or train
/// longer (C4).
pub const BLUR: &str = "blur";
/// C1 of the same.
pub const LATE: &str = "late-start";
/// Sliding windows (Fig. 1C).
pub const WINDOWS: &str = "windows";
/// Vertical flip, permuted labels, noise.
pub const OTHERS: [(&str, Deficit); 3] =
    [("flip", Deficit::Flip), ("permuted-labels", Deficit::PermutedLabels), ("noise", Deficit::Noise)];
/// Removal at a fixed rate (C2).
pub const FIXED: &str = "fixed-rate";
/// Removal with Adam.
pub const ADAM: &str = "adam";
/// Removal on digits.
pub const DIGITS: &str = "digits";
/// Removal with a pre-activation ResNet-18 (the identities carry the opened input), as in later code of the authors.
pub const RESNET: &str = "resnet";
/// Removal for each depth.
pub const DEPTHS: [&str; 3] = ["depth-1", "depth-2", "depth-3"];
/// Deficits that the paper calls harmless, with Adam, where no falling rate hides what they do.
pub const ADAM_OTHERS: [&str; 2] = ["adam-flip", "adam-permuted-labels"];
/// Ends the name of an experiment that holds the late starts (C1) and restarts (C3) of another.
const CONTROLS: &str = "-controls";

/// The experiment with the late starts (C1) and restarts (C3) that `experiment` lacks.
pub fn controls_of(experiment: &str) -> String {
    format!("{experiment}{CONTROLS}")
}

/// The experiment that has the clean control of `experiment`, if it has none itself.
pub fn control_of(experiment: &str) -> &str {
    match experiment.strip_suffix(CONTROLS).unwrap_or(experiment) {
        name if ADAM_OTHERS.contains(&name) => ADAM,
        name if name.starts_with("blur") || name == experiment => BLUR,
        name => name,
    }
}

/// Windows without, with less and with more weight decay than the main network.
pub const DECAYS: [(&str, f64); 2] = [("decay-none", 0.), ("decay-more", 0.003)];

/// Sizes of a profile.
struct Scale {
    seeds: usize,
    photos: TaskConfig,
    width: usize,
    batch: usize,
    rate: f64,
    /// E: epochs of the control, and after every removal.
    clean: usize,
    removals: &'static [usize],
    /// Removal epochs of the other deficits.
    other_removals: &'static [usize],
    /// Length of the windows, and a second one (Fig. 4).
    windows: &'static [usize],
    onsets: &'static [usize],
    end: usize,
    /// What is trained at a fixed rate, which reaches a plateau late: images, E, rate and removal epochs.
    fixed: TaskConfig,
    fixed_clean: usize,
    fixed_rate: f64,
    fixed_removals: &'static [usize],
    measure: Measure,
    probe: Probe,
    padding: usize,
    /// How many times longer the clean training of C4 is.
    longer: &'static [usize],
    digits: TaskConfig,
    digits_widths: &'static [usize],
    digits_clean: usize,
    digits_removals: &'static [usize],
    /// Channels of the first stage of the ResNet-18, its rate and its removal epochs.
    resnet_width: usize,
    resnet_rate: f64,
    resnet_removals: &'static [usize],
    /// Removal epochs with Adam and of the depths.
    adam_removals: &'static [usize],
    /// E of the depths, of which the deepest is the slowest.
    depth_clean: usize,
    depth_removals: &'static [usize],
    depth_width: usize,
    depth_constant: bool,
    /// ResNet-18, depth, Adam, weight decay and variants of the deficits, which a short profile leaves out.
    wide: bool,
}

const fn photos(dataset: DatasetId, train: usize, test: usize, side: usize) -> TaskConfig {
    TaskConfig { dataset, train, test, side }
}

const SMOKE: Scale = Scale {
    seeds: 2,
    photos: photos(DatasetId::Cifar10Subset, 60, 50, 16),
    width: 4,
    batch: 20,
    rate: 0.05,
    clean: 3,
    removals: &[0, 1, 2],
    other_removals: &[2],
    windows: &[1],
    onsets: &[0, 2],
    end: 4,
    fixed: photos(DatasetId::Cifar10Subset, 60, 50, 16),
    fixed_clean: 3,
    fixed_rate: 0.01,
    fixed_removals: &[0, 2],
    measure: Measure { every: 2, last: 1, re_estimate: 50 },
    probe: Probe { images: 20, batch: 5, every: 1 },
    padding: 2,
    longer: &[2],
    digits: photos(DatasetId::Mnist, 60, 50, 32),
    digits_widths: &[20, 10],
    digits_clean: 2,
    digits_removals: &[0, 2],
    resnet_width: 4,
    resnet_rate: 0.1,
    resnet_removals: &[0, 2],
    adam_removals: &[0, 2],
    depth_clean: 3,
    depth_removals: &[0, 2],
    depth_width: 4,
    depth_constant: true,
    wide: true,
};

const QUICK: Scale = Scale {
    // The gate holds for each seed, a verdict needs three, and small controls are not all flat in time.
    seeds: 5,
    photos: photos(DatasetId::Cifar10Subset, 2_000, 2_000, 16),
    width: 8,
    batch: 25,
    rate: 0.05,
    clean: 16,
    removals: &[0, 4, 8, 12, 15],
    other_removals: &[15],
    windows: &[4],
    onsets: &[0, 4, 8, 12],
    end: 30,
    fixed: photos(DatasetId::Cifar10Subset, 2_000, 2_000, 16),
    fixed_clean: 16,
    fixed_rate: 0.01,
    fixed_removals: &[0, 15],
    measure: Measure { every: 8, last: 2, re_estimate: 500 },
    probe: Probe { images: 250, batch: 10, every: 3 },
    padding: 2,
    longer: &[2],
    digits: photos(DatasetId::Mnist, 500, 1_000, 32),
    digits_widths: &[100, 80, 60, 40],
    digits_clean: 20,
    digits_removals: &[0, 20],
    wide: false,
    ..SMOKE
};

const STANDARD: Scale = Scale {
    seeds: 3,
    photos: photos(DatasetId::Cifar10Subset, 5_000, 2_500, 16),
    width: 16,
    batch: 32,
    // The paper's 0.05 and 0.1 at a batch of 128, scaled to 32: at the unscaled rates the control has no plateau.
    rate: 0.0125,
    clean: 32,
    removals: &[0, 8, 16, 24, 30],
    other_removals: &[16, 30],
    windows: &[8, 12],
    onsets: &[0, 4, 8, 16, 24],
    end: 60,
    fixed: photos(DatasetId::Cifar10Subset, 2_500, 2_500, 16),
    fixed_clean: 80,
    fixed_removals: &[0, 40, 72],
    measure: Measure { every: 4, last: 5, re_estimate: 1_000 },
    probe: Probe { images: 500, batch: 5, every: 2 },
    longer: &[2, 3],
    digits: photos(DatasetId::Mnist, 5_000, 10_000, 32),
    digits_widths: &[500, 400, 300, 200, 100],
    digits_clean: 36,
    digits_removals: &[0, 16, 32, 56, 88],
    resnet_width: 8,
    resnet_rate: 0.025,
    resnet_removals: &[0, 16, 30],
    adam_removals: &[0, 72],
    depth_clean: 112,
    depth_removals: &[0, 100],
    depth_width: 16,
    wide: true,
    ..QUICK
};

/// The paper's own: appendix A as far as it is known. Momentum is not stated there; 0.9 is what later code of the authors
/// has.
const PAPER: Scale = Scale {
    seeds: 3,
    photos: photos(DatasetId::Cifar10, 50_000, 10_000, 32),
    width: 96,
    batch: 128,
    rate: 0.05,
    clean: 160,
    removals: &[0, 20, 40, 60, 80, 100, 120, 140, 150],
    other_removals: &[20, 40, 60, 80, 100, 120, 140, 150],
    windows: &[40, 60],
    onsets: &[0, 20, 40, 60, 80, 100, 120, 140],
    end: 300,
    fixed: photos(DatasetId::Cifar10, 50_000, 10_000, 32),
    fixed_clean: 160,
    fixed_rate: 0.001,
    fixed_removals: &[0, 40, 80, 120, 160, 200, 240, 280],
    measure: Measure { every: 5, last: 5, re_estimate: 50_000 },
    probe: Probe { images: 1_000, batch: 5, every: 5 },
    padding: 4,
    longer: &[2, 3],
    digits: photos(DatasetId::Mnist, 60_000, 10_000, 32),
    digits_widths: &[2_500, 2_000, 1_500, 1_000, 500],
    digits_clean: 180,
    digits_removals: &[0, 40, 80, 120, 160, 200, 240, 280, 320, 360, 400, 440],
    resnet_width: 64,
    resnet_rate: 0.1,
    resnet_removals: &[0, 20, 40, 60, 80, 100, 120, 140, 150],
    adam_removals: &[0, 20, 40, 60, 80, 100, 120, 140, 150],
    depth_clean: 160,
    depth_removals: &[0, 40, 80, 120, 160, 200, 240, 280],
    depth_width: 96,
    depth_constant: false,
    wide: true,
};

/// The experiments of a profile.
pub fn grid(profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
    let scale = match profile {
        Profile::Smoke => &SMOKE,
        Profile::Quick => &QUICK,
        Profile::Standard => &STANDARD,
        Profile::Paper => &PAPER,
    };
    experiments(scale, seeds.unwrap_or(scale.seeds) as u64)
}

fn experiments(scale: &Scale, seeds: u64) -> Vec<Experiment<Config>> {
    let clean = scale.clean;
    let last = |removals: &[usize]| removals.iter().copied().max().unwrap_or(0);
    let removals = |removals: &[usize], clean: usize| -> Vec<Arm> {
        removals.iter().map(|&removal| Arm::Removal { removal, clean }).collect()
    };
    let windows = |lengths: &[usize]| -> Vec<Arm> {
        let end = scale.end;
        let control = Arm::Removal { removal: 0, clean: end };
        let window = |&length: &usize| scale.onsets.iter().map(move |&onset| Arm::Window { onset, length, end });
        std::iter::once(control).chain(lengths.iter().flat_map(window)).collect()
    };
    let base = Config {
        task: scale.photos,
        architecture: Architecture::AllCnn { width: scale.width },
        optimiser: OptimiserConfig::sgd(0.9, 1e-3),
        schedule: Schedule::Exponential { rate: scale.rate, factor: PAPER_FACTOR.powf(PAPER_EPOCHS / clean as f64) },
        augmentation: Augmentation { flip: true, crop: Some(Crop { padding: scale.padding, fill: Fill::Zero }) },
        batch: scale.batch,
        deficit: Deficit::Blur,
        arms: vec![],
        measure: scale.measure,
        probe: None,
        seed: 0,
    };
    let with = |name: &str, question: &str, change: &dyn Fn(&mut Config)| {
        let cell = |seed| {
            let mut config = Config { seed, ..base.clone() };
            change(&mut config);
            config
        };
        Experiment { name: name.into(), question: question.into(), cells: (0..seeds).map(cell).collect() }
    };

    let mut grid = vec![
        with(BLUR, "Blur from the start until epoch N, then clean images: is accuracy lost for good?", &|c| {
            let latest = last(scale.removals);
            c.arms = removals(scale.removals, clean);
            c.arms.push(Arm::Restart { removal: latest, clean });
            c.arms.extend(scale.longer.iter().map(|&k| Arm::Removal { removal: latest, clean: k * clean }));
            c.probe = Some(scale.probe);
        }),
        with(LATE, "Control C1: a fresh network at the rates that are left after epoch N", &|c| {
            let late = |&start: &usize| Arm::LateStart { start, clean };
            c.arms = scale.removals.iter().filter(|&&n| n > 0).map(late).collect();
        }),
        with(WINDOWS, "A window of blur that opens at each epoch: when does it hurt most?", &|c| {
            c.arms = windows(scale.windows);
            c.probe = None;
        }),
    ];
    for (name, deficit) in OTHERS {
        let question = "Does a deficit that leaves fine detail alone, or shows nothing at all, leave a trace?";
        grid.push(with(name, question, &|c| {
            c.deficit = deficit;
            c.arms = removals(scale.other_removals, clean);
            c.probe = (deficit == Deficit::Flip).then_some(scale.probe);
        }));
    }
    grid.push(with(FIXED, "Control C2: blur at a fixed rate, which cannot starve a late network", &|c| {
        c.task = scale.fixed;
        c.schedule = Schedule::Constant { rate: scale.fixed_rate };
        c.arms = removals(scale.fixed_removals, scale.fixed_clean);
    }));
    grid.push(with(DIGITS, "Fully connected network on digits at a fixed rate: does blur leave a trace?", &|c| {
        c.task = scale.digits;
        c.architecture = Architecture::NormMlp { widths: scale.digits_widths.to_vec() };
        c.optimiser = OptimiserConfig::sgd(0.9, 0.);
        c.schedule = Schedule::Constant { rate: 0.005 };
        c.augmentation.crop = Some(Crop { padding: 4, fill: Fill::Zero });
        c.arms = removals(scale.digits_removals, scale.digits_clean);
    }));
    if scale.wide {
        grid.push(with(ADAM, "Adam: does blur leave a trace?", &|c| {
            c.task = scale.fixed;
            c.optimiser = OptimiserConfig::adam(1e-4);
            c.schedule = Schedule::Constant { rate: 1e-3 };
            c.arms = removals(scale.adam_removals, scale.fixed_clean);
        }));
        grid.push(with(RESNET, "ResNet-18: does blur leave a trace?", &|c| {
            let factor = PAPER_FACTOR.powf(PAPER_EPOCHS / clean as f64);
            c.architecture = Architecture::PreActResNet18 { width: scale.resnet_width };
            c.optimiser = OptimiserConfig::sgd(0.9, 5e-4);
            c.schedule = Schedule::Exponential { rate: scale.resnet_rate, factor };
            c.arms = removals(scale.resnet_removals, clean);
            c.arms.push(Arm::LateStart { start: last(scale.resnet_removals), clean });
        }));
        for (i, name) in DEPTHS.into_iter().enumerate() {
            grid.push(with(name, "Does a deeper network lose more?", &|c| {
                let (width, constant) = (scale.depth_width, scale.depth_constant);
                c.task = scale.fixed;
                c.architecture = Architecture::AllCnnFamily { width, stages: i + 1, constant };
                c.schedule = Schedule::Constant { rate: scale.fixed_rate };
                c.arms = removals(scale.depth_removals, scale.depth_clean);
            }));
        }
        for (name, decay) in DECAYS {
            grid.push(with(name, "Does weight decay change when a window of blur hurts?", &|c| {
                c.optimiser = OptimiserConfig::sgd(0.9, decay);
                c.arms = windows(&scale.windows[..1]);
            }));
        }
        for deficit in [Deficit::BlurAliased, Deficit::ShuffledLabels, Deficit::FixedNoise] {
            grid.push(with(deficit.name(), "The other reading of a deficit: does it matter?", &|c| {
                c.deficit = deficit;
                c.arms = removals(&[last(scale.removals)], clean);
            }));
        }
        grid.push(with("no-momentum", "Blur without momentum, which the paper does not state", &|c| {
            c.optimiser = OptimiserConfig::sgd(0., 1e-3);
            c.arms = removals(&[0, last(scale.removals)], clean);
        }));
        for (name, (_, deficit)) in ADAM_OTHERS.into_iter().zip(OTHERS) {
            grid.push(with(name, "A harmless deficit at a constant rate: does it leave a trace?", &|c| {
                c.task = scale.fixed;
                c.optimiser = OptimiserConfig::adam(1e-4);
                c.schedule = Schedule::Constant { rate: 1e-3 };
                c.deficit = deficit;
                c.arms = removals(&[last(scale.adam_removals)], scale.fixed_clean);
            }));
        }
    }
    let beside: Vec<Experiment<Config>> = grid.iter().filter_map(controls).collect();
    grid.extend(beside);
    grid
}

/// Late starts (C1) and restarts (C3) beside every course of `experiment` that is blurred until N, as far as neither it nor
/// the experiment [`LATE`] has them. At a constant rate a restart is the course itself.
fn controls(experiment: &Experiment<Config>) -> Option<Experiment<Config>> {
    let first = experiment.cells.first()?;
    if !matches!(first.deficit, Deficit::Blur | Deficit::BlurAliased) {
        return None;
    }
    // Clean courses do not depend on the way of blurring.
    let late_elsewhere = [BLUR, Deficit::BlurAliased.name()].contains(&experiment.name.as_str());
    let constant = matches!(first.schedule, Schedule::Constant { .. });
    let clean = first.arms.iter().filter_map(Arm::clean_after_removal).min()?;
    let removals = first.arms.iter().filter_map(|arm| match *arm {
        Arm::Removal { removal, clean: own } if removal > 0 && own == clean => Some(removal),
        _ => None,
    });
    let both = |n: usize| {
        let late = (!late_elsewhere).then_some(Arm::LateStart { start: n, clean });
        let restart = (!constant).then_some(Arm::Restart { removal: n, clean });
        late.into_iter().chain(restart)
    };
    let arms: Vec<Arm> = removals.flat_map(both).filter(|arm| !first.arms.contains(arm)).collect();
    let cell = |config: &Config| Config { arms: arms.clone(), probe: None, ..config.clone() };
    (!arms.is_empty()).then(|| Experiment {
        name: controls_of(&experiment.name),
        question: format!("Controls C1 and C3 of `{}`: a late start, a restarted rate", experiment.name),
        cells: experiment.cells.iter().map(cell).collect(),
    })
}

/// Rough seconds of a cell on one core of a laptop.
pub fn expected_seconds(config: &Config) -> f64 {
    let pixels = (config.task.side * config.task.side) as f64;
    let w = |width: usize| (width * width) as f64;
    let multiply_adds = match &config.architecture {
        Architecture::AllCnn { width } => 36.7 * pixels * w(*width) + 27. * pixels * *width as f64,
        Architecture::AllCnnFamily { width, stages, .. } => 20. * pixels * w(*width) * (*stages as f64).sqrt(),
        Architecture::PreActResNet18 { width } => 132. * pixels * w(*width),
        Architecture::NormMlp { widths } => {
            widths.iter().fold((0, pixels as usize), |(sum, from), &to| (sum + from * to, to)).0 as f64
        }
        _ => 1e7,
    };
    let images = epochs(&plan(&config.arms)) as f64 * config.task.train as f64;
    images * (6. * multiply_adds / 1e11 + 1.5e-5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [Profile; 4] = [Profile::Smoke, Profile::Quick, Profile::Standard, Profile::Paper];

    fn cells(profile: Profile) -> Vec<(String, Config)> {
        let cells = |e: Experiment<Config>| e.cells.into_iter().map(move |c| (e.name.clone(), c));
        grid(profile, None).into_iter().flat_map(cells).collect()
    }

    #[test]
    fn the_rate_ends_where_the_papers_does() {
        for profile in PROFILES {
            let (_, config) = cells(profile).into_iter().find(|(name, _)| name == BLUR).unwrap();
            let clean = config.arms.iter().map(|arm| arm.steps().len()).min().unwrap();
            let ratio = config.schedule.rate(clean as f64) / config.schedule.rate(0.);
            assert!((ratio / PAPER_FACTOR.powf(PAPER_EPOCHS) - 1.).abs() < 1e-9, "{ratio}");
        }
    }

    /// A profile that asks for images that are not there would fail only after hours.
    #[test]
    fn digits_of_every_profile_are_there() {
        let data = retrial_core::data::Dataset::load(DatasetId::Mnist, None).unwrap();
        for profile in PROFILES {
            for (_, config) in cells(profile).iter().filter(|(name, c)| name == DIGITS && c.seed == 0) {
                crate::task::Task::of(&data, &config.task, retrial_core::Seed(0)).unwrap();
            }
        }
    }

    /// Every removal has the control's number of clean epochs, and every late start the same rates as its removal.
    #[test]
    fn courses_are_matched_in_clean_epochs_and_rates() {
        for profile in PROFILES {
            let all = cells(profile);
            let of = |wanted: &str| &all.iter().find(|(name, _)| name == wanted).unwrap().1;
            let (blur, late) = (of(BLUR), of(LATE));
            assert_eq!(blur.schedule, late.schedule);
            for arm in &late.arms {
                let Arm::LateStart { start, clean } = *arm else { panic!("{arm}") };
                let removal = Arm::Removal { removal: start, clean };
                assert!(blur.arms.contains(&removal), "{removal}");
                assert_eq!(removal.steps()[start..], arm.steps());
            }
            // Beside every course that is blurred until N stand a late start and, where the rate falls, a restart.
            for (name, config) in all.iter().filter(|(_, c)| c.seed == 0) {
                let blurred = matches!(config.deficit, Deficit::Blur | Deficit::BlurAliased);
                let constant = matches!(config.schedule, Schedule::Constant { .. });
                let clean = config.arms.iter().filter_map(Arm::clean_after_removal).min();
                for arm in config.arms.iter().filter(|_| blurred) {
                    let Arm::Removal { removal: n @ 1.., clean: own } = *arm else { continue };
                    if Some(own) != clean {
                        continue;
                    }
                    let has = |wanted: Arm| {
                        let same = |c: &Config| {
                            (c.architecture.clone(), c.optimiser.clone(), c.schedule.clone(), c.task, c.batch)
                        };
                        let late = matches!(wanted, Arm::LateStart { .. });
                        let found = |(_, c): &(String, Config)| {
                            same(c) == same(config) && (late || c.deficit == config.deficit) && c.arms.contains(&wanted)
                        };
                        all.iter().any(found)
                    };
                    assert!(has(Arm::LateStart { start: n, clean: own }), "{name}: no late start at {n}");
                    assert!(constant || has(Arm::Restart { removal: n, clean: own }), "{name}: no restart at {n}");
                }
            }
            for (name, config) in &all {
                let json = serde_json::to_string(config).unwrap();
                assert_eq!(&serde_json::from_str::<Config>(&json).unwrap(), config, "{name}");
            }
        }
    }
}
