//! Final training: Co-teaching on the selected samples, later with candidates as well, and the baselines that share
//! its schedule.

use candle_core::{Device, Tensor};
use retrial_core::Seed;
use retrial_core::data::{Augmentation, order};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::Architecture;
use retrial_core::train::co_teaching::{forget_rate, small_loss};
use retrial_core::train::{Checkpoint, Optimiser, OptimiserConfig, cross_entropy};
use retrial_kernels::Graph;
use serde::{Deserialize, Serialize};

use crate::config::{Baseline, CoTeaching, Method, Noise, Weights};
use crate::incv::{Epoch, Progress, Selector};
use crate::learner::{Learner, scalar};
use crate::task::Task;

/// Names in checkpoints of Co-teaching's two networks.
const PAIR: [&str; 2] = ["first", "second"];
/// Name in checkpoints of the network of plain training.
const SINGLE: &str = "final";

/// Candidates join a batch in proportion to their number, up to this many.
const MOST_CANDIDATES: usize = 64;

/// What Co-teaching is given.
pub struct Samples {
    /// S.
    pub selected: Vec<u32>,
    /// C.
    pub candidates: Vec<u32>,
    /// Expected share of wrong labels in S: the final forget rate.
    pub noise_ratio: f64,
    /// Pair noise or an estimated ratio above 0.6: candidates wait longer.
    pub hard: bool,
}

/// The two networks and how they see images.
pub struct Networks<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// The optimiser, without its rate.
    pub optimiser: &'a OptimiserConfig,
    /// Random changes of training images.
    pub augmentation: &'a Augmentation,
    /// Samples in a batch.
    pub batch: usize,
    /// Seed of every stream.
    pub seed: Seed,
}

/// Accuracy on the clean held-out samples at the end of the final training; of Co-teaching's two networks the mean.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// After the last epoch.
    pub last: f64,
    /// Mean of the last tenth of the epochs.
    pub mean_of_last: f64,
    /// The best epoch, chosen on the very samples it is measured on.
    pub best: f64,
    /// Samples trained on.
    pub samples: usize,
}

impl Outcome {
    fn from_curve(curve: &[f64], samples: usize) -> Self {
        let tail = &curve[curve.len() - curve.len().div_ceil(10)..];
        Self {
            last: curve.last().copied().unwrap_or(f64::NAN),
            mean_of_last: tail.iter().sum::<f64>() / tail.len() as f64,
            best: curve.iter().copied().fold(f64::NAN, f64::max),
            samples,
        }
    }
}

/// Trains two networks, each on the samples of smallest loss under the other, from where an interrupted run stood.
pub fn train(
    samples: &Samples,
    networks: &Networks,
    training: &CoTeaching,
    task: &Task,
    (mut progress, saved): (Progress, &Checkpoint),
    run: &mut CellRun,
) -> Result<Outcome, CellError> {
    let Networks { architecture, optimiser, augmentation, batch, seed } = *networks;
    let device: Device = run.device().clone();
    let mut pair = [
        Learner::new(architecture, optimiser, task, seed.derive("co-teaching/1"), &device)?,
        Learner::new(architecture, optimiser, task, seed.derive("co-teaching/2"), &device)?,
    ];
    if !progress.curve.is_empty() {
        for (name, learner) in PAIR.into_iter().zip(&mut pair) {
            saved.restore_part(name, &learner.model, &mut learner.optimiser).map_err(CellError::other)?;
        }
    }
    let (selected, candidates) = (&samples.selected, &samples.candidates);
    if selected.is_empty() {
        return Err(CellError::other("the selection is empty: nothing to train on"));
    }
    let warm_up = if samples.hard { training.warm_up_hard } else { training.warm_up };
    let per_batch = (candidates.len() * batch / selected.len()).min(MOST_CANDIDATES);
    for epoch in progress.curve.len() + 1..=training.epochs {
        let time = epoch as u64;
        let rate = training.schedule.rate((epoch - 1) as f64);
        if epoch > 1 && rate != training.schedule.rate((epoch - 2) as f64) {
            // As published: the optimiser starts anew at each change of the rate.
            for learner in &mut pair {
                learner.optimiser = Optimiser::new(optimiser.clone());
            }
        }
        let forget = forget_rate(samples.noise_ratio, time - 1, training.ramp);
        let mut augment = seed.stream_at("co-teaching/augment", time);
        let waiting = order(candidates.len(), seed.derive("co-teaching/candidates"), time);
        let mut waiting = waiting.iter().cycle();
        let (mut loss_sum, mut kept, mut kept_right, mut seen) = (0., 0, 0, 0);
        for (step, chunk) in order(selected.len(), seed.derive("co-teaching/order"), time).chunks(batch).enumerate() {
            let mut pool: Vec<u32> = chunk.iter().map(|&i| selected[i as usize]).collect();
            let keep = (chunk.len() as f64 * (1. - forget)).round() as usize;
            if epoch > warm_up {
                pool.extend(waiting.by_ref().take(per_batch).map(|&i| candidates[i as usize]));
            }
            let given: Vec<u32> = pool.iter().map(|&i| task.train.given()[i as usize]).collect();
            let x = task.batch(&task.train.split, &pool, augmentation, &mut augment, &device)?;
            let mut choice = Vec::with_capacity(2);
            for learner in &pair {
                let mut graph = Graph::inference();
                let logits = learner.model.forward(&mut graph, &x)?;
                let losses = cross_entropy(logits.tensor(), &given)?.to_vec1::<f32>()?;
                choice.push(small_loss(&losses, keep.max(1)));
            }
            for (learner, picks) in pair.iter_mut().zip(choice.iter().rev()) {
                let labels: Vec<u32> = picks.iter().map(|&i| given[i]).collect();
                let picked = Tensor::from_iter(picks.iter().map(|&i| i as u32), &device)?;
                let mut graph = Graph::training();
                let logits = learner.model.forward(&mut graph, &x.index_select(&picked, 0)?)?;
                let loss = cross_entropy(&graph.output(&logits)?, &labels)?.mean_all()?;
                loss_sum += f64::from(scalar(&loss, step)?) * picks.len() as f64;
                learner.optimiser.step(&learner.model.parameters, &graph.backward(&loss)?, rate)?;
                kept += picks.len();
                kept_right += picks.iter().filter(|&&i| !task.train.noisy.flipped[pool[i] as usize]).count();
            }
            seen += 2 * pool.len();
        }
        let mut held_out = 0.;
        for learner in &pair {
            held_out += learner.clean_accuracy(task)? / 2.;
        }
        progress.curve.push(held_out);
        run.epoch(&Epoch {
            phase: "co-teaching".into(),
            epoch,
            loss: loss_sum / kept as f64,
            held_out_clean: Some(held_out),
            kept: Some(kept as f64 / seen as f64),
            kept_right: Some(kept_right as f64 / kept as f64),
            ..Epoch::default()
        })?;
        if run.checkpoint_due() {
            progress.save(&[(PAIR[0], &pair[0]), (PAIR[1], &pair[1])], run)?;
        }
    }
    Ok(Outcome::from_curve(&progress.curve, selected.len()))
}

/// What remains of a baseline cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Share of wrong labels drawn for the training samples.
    pub realised: f64,
    /// How labels were drawn.
    pub convention: String,
    /// The final training.
    pub outcome: Outcome,
}

/// Runs one of the methods that INCV + Co-teaching is compared with.
pub fn baseline(config: &Baseline, run: &mut CellRun) -> Result<Summary, CellError> {
    let seed = Seed(config.seed);
    let task = Task::new(&config.task, &Noise::Class(config.noise.clone()), config.level, seed, run)?;
    let everything = task.train.indices();
    let networks = Networks {
        architecture: &config.architecture,
        optimiser: &config.optimiser,
        augmentation: &config.augmentation,
        batch: config.batch,
        seed,
    };
    let (mut progress, saved) = Progress::resume(run)?;
    let outcome = match config.method {
        Method::CoTeaching => {
            run.expect_epochs(config.training.epochs);
            let noise_ratio = task.train.noisy.requested;
            let samples = Samples { selected: everything, candidates: vec![], noise_ratio, hard: false };
            train(&samples, &networks, &config.training, &task, (progress, &saved), run)?
        }
        Method::CrossEntropy => {
            run.expect_epochs(config.training.epochs);
            cross_entropy_on(&everything, &networks, &config.training, &task, (progress, &saved), run)?
        }
        Method::Oracle => {
            run.expect_epochs(config.training.epochs);
            let right: Vec<u32> = everything.into_iter().filter(|&i| !task.train.noisy.flipped[i as usize]).collect();
            cross_entropy_on(&right, &networks, &config.training, &task, (progress, &saved), run)?
        }
        Method::NcvOnce => {
            run.expect_epochs(2 * config.selection_epochs + config.training.epochs);
            let selector = Selector {
                architecture: &config.architecture,
                optimiser: &config.optimiser,
                schedule: &config.selection_schedule,
                augmentation: &config.augmentation,
                batch: config.batch,
                iterations: 1,
                epochs: config.selection_epochs,
                weights: Weights::Best,
                reuse_start: false,
                remove: false,
                noise: &config.noise,
                seed,
            };
            let selected = selector.run(&task, &mut progress, &saved, run)?.selected();
            cross_entropy_on(&selected, &networks, &config.training, &task, (progress, &saved), run)?
        }
    };
    Ok(Summary { realised: task.train.noisy.realised, convention: task.convention.clone(), outcome })
}

/// One network on a fixed set of samples, with Co-teaching's schedule.
fn cross_entropy_on(
    samples: &[u32],
    networks: &Networks,
    training: &CoTeaching,
    task: &Task,
    (mut progress, saved): (Progress, &Checkpoint),
    run: &mut CellRun,
) -> Result<Outcome, CellError> {
    let Networks { architecture, optimiser, augmentation, batch, seed } = *networks;
    let device: Device = run.device().clone();
    let mut learner = Learner::new(architecture, optimiser, task, seed.derive("final"), &device)?;
    if !progress.curve.is_empty() {
        saved.restore_part(SINGLE, &learner.model, &mut learner.optimiser).map_err(CellError::other)?;
    }
    for epoch in progress.curve.len() + 1..=training.epochs {
        let rate = training.schedule.rate((epoch - 1) as f64);
        let loss = learner.epoch(task, samples, epoch - 1, rate, batch, augmentation)?;
        let held_out = learner.clean_accuracy(task)?;
        progress.curve.push(held_out);
        run.epoch(&Epoch {
            phase: "cross-entropy".into(),
            epoch,
            loss,
            held_out_clean: Some(held_out),
            ..Epoch::default()
        })?;
        if run.checkpoint_due() {
            progress.save(&[(SINGLE, &learner)], run)?;
        }
    }
    Ok(Outcome::from_curve(&progress.curve, samples.len()))
}
