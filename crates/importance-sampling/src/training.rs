//! One training run (Algorithm 1 and what it is compared with), with an account of what it cost.
//!
//! Every update draws its own streams, so methods of one seed see the same images in the same order: a pre-sample begins
//! with the uniform batch of the same update.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use candle_core::{Device, Tensor};
use cpu_time::ThreadTime;
use rand::RngExt;
use retrial_core::Seed;
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::Weights;
use retrial_core::train::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::analysis;
use crate::config::{Budget, Config, Method, Score, TaskConfig};
use crate::control_variates::Snapshot;
use crate::history::{Ranks, annealed_weights, priorities};
use crate::learner::{CHUNK, Learner};
use crate::sampling::{Distribution, Switch, TRAINED};
use crate::task::Task;

/// What a run has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Updates of the weights.
    pub updates: u64,
    /// Samples passed forward only.
    pub scored: u64,
    /// Samples passed forward and back.
    pub trained: u64,
}

impl Account {
    /// Forward equivalents.
    pub fn forwards(&self) -> f64 {
        self.scored as f64 + TRAINED * self.trained as f64
    }

    fn share(&self, budget: Budget) -> f64 {
        match budget {
            Budget::Updates(n) => self.updates as f64 / n as f64,
            Budget::Forwards(f) => self.forwards() / f,
        }
    }
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.updates += other.updates;
        self.scored += other.scored;
        self.trained += other.trained;
    }
}

/// One row of `epochs.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Share of the budget that is spent.
    pub share: f64,
    /// Updates so far.
    pub updates: u64,
    /// Samples passed forward and back so far.
    pub trained: u64,
    /// Forward equivalents so far.
    pub forwards: f64,
    /// Learning rate of the next update.
    pub rate: f64,
    /// Mean (weighted) loss of the updates since the last row.
    pub step_loss: Option<f64>,
    /// Plain loss on a fixed part of the training set.
    pub train_loss: f64,
    /// Error there.
    pub train_error: f64,
    /// Plain loss on the test samples.
    pub test_loss: f64,
    /// Error there.
    pub test_error: f64,
    /// The moving average of tau.
    pub tau: f64,
    /// tau of the last update's scores.
    pub tau_latest: f64,
    /// Share of the updates since the last row that sampled by score.
    pub active: Option<f64>,
}

/// What remains of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// What it spent.
    pub account: Account,
    /// The first update that sampled by score.
    pub switched_on: Option<u64>,
    /// The share of the budget at that moment.
    pub switched_on_share: Option<f64>,
    /// At the end.
    pub train_loss: f64,
    /// At the end.
    pub test_loss: f64,
    /// At the end.
    pub test_error: f64,
    /// Mean over the last tenth of the rows.
    pub tail_test_error: f64,
    /// Processor seconds of training, evaluation left out, at each row.
    pub seconds: Vec<f64>,
    /// Processor seconds of a sample passed forward only.
    pub seconds_scored: Option<f64>,
    /// Processor seconds of a sample passed forward and back.
    pub seconds_trained: Option<f64>,
}

/// What training carries from row to row beside weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Progress {
    account: Account,
    switch: Switch,
    switched_on: Option<u64>,
    switched_on_share: Option<f64>,
    rows: u32,
    test_errors: Vec<f64>,
    seconds: Vec<f64>,
    clock: Clock,
}

/// Processor seconds of training, by kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Clock {
    all: f64,
    scoring: f64,
    scored: u64,
    stepping: f64,
    trained: u64,
}

/// Since the last row.
#[derive(Default)]
struct Recent {
    updates: u64,
    active: u64,
    loss: f64,
}

/// What a method remembers from update to update.
enum Memory {
    Nothing,
    Losses { known: Vec<f32>, ranks: Option<Ranks> },
    Snapshot(Box<Snapshot>),
}

/// Trains one network.
pub fn train(config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
    let seed = Seed(config.seed);
    let device: Device = run.device().clone();
    let task = Task::new(&config.task, seed, run)?;
    let mut learner = Learner::new(config, &task, seed, &device)?;
    let mut memory = Memory::new(config, &task, &learner, seed, &device)?;
    let mut progress = Progress {
        account: Account::default(),
        switch: Switch::START,
        switched_on: None,
        switched_on_share: None,
        rows: 0,
        test_errors: vec![],
        seconds: vec![],
        clock: Clock::default(),
    };
    match run.resume()? {
        Some(saved) => {
            let saved = Checkpoint::from_bytes(&saved).map_err(CellError::other)?;
            saved.restore(&learner.model, &mut learner.optimiser).map_err(CellError::other)?;
            memory.restore(&saved)?;
            progress = serde_json::from_value(saved.extra().clone()).map_err(CellError::other)?;
        }
        None => {
            pretrain(config, &mut learner, seed, run)?;
            if let Memory::Snapshot(_) = memory {
                memory = Memory::new(config, &task, &learner, seed, &device)?;
            }
        }
    }
    run.expect_epochs(config.evaluations as usize + 1);
    let test: Vec<u32> = (0..task.test.len() as u32).collect();
    let evaluated: Vec<u32> = (0..config.evaluated.min(task.train.len()) as u32).collect();
    let mut recent = Recent::default();
    loop {
        let share = progress.account.share(config.budget);
        let due = if progress.rows > config.evaluations {
            2.
        } else {
            f64::from(progress.rows) / f64::from(config.evaluations)
        };
        if share >= due - 1e-9 {
            let (fitted, seen) =
                (learner.read(&task, &task.train, &evaluated)?, learner.read(&task, &task.test, &test)?);
            let of = |sum: f64| (recent.updates > 0).then(|| sum / recent.updates as f64);
            run.epoch(&Row {
                share,
                updates: progress.account.updates,
                trained: progress.account.trained,
                forwards: progress.account.forwards(),
                rate: config.schedule.rate(share),
                step_loss: of(recent.loss),
                train_loss: fitted.loss,
                train_error: fitted.error,
                test_loss: seen.loss,
                test_error: seen.error,
                tau: progress.switch.tau,
                tau_latest: progress.switch.latest,
                active: of(recent.active as f64),
            })?;
            if let Some(analysis) = &config.analysis {
                analysis::snapshot(analysis, &learner.model, &task, progress.account.updates, seed, run)?;
            }
            recent = Recent::default();
            progress.test_errors.push(seen.error);
            progress.seconds.push((progress.clock.all * 1e4).round() / 1e4);
            // A costly update may pass several rows at once.
            while progress.rows <= config.evaluations
                && share >= f64::from(progress.rows) / f64::from(config.evaluations) - 1e-9
            {
                progress.rows += 1;
            }
            if run.checkpoint_due() {
                let extra = serde_json::to_value(&progress).map_err(CellError::other)?;
                let saved = Checkpoint::capture(progress.account.updates, &learner.model, &learner.optimiser, extra);
                let saved = memory.save(saved.map_err(CellError::other)?)?;
                run.save_checkpoint(&saved.to_bytes().map_err(CellError::other)?)?;
            }
            if fitted.loss.is_nan() || seen.loss.is_nan() {
                return Err(CellError::Diverged { step: progress.account.updates, what: "a loss is NaN".into() });
            }
        }
        if share >= 1. - 1e-9 {
            return summary(&learner, &task, &progress, &evaluated, &test);
        }
        let started = ThreadTime::now();
        update(config, &task, &mut learner, &mut memory, &mut progress, &mut recent, seed, &device)?;
        progress.clock.all += started.elapsed().as_secs_f64();
    }
}

fn summary(
    learner: &Learner,
    task: &Task,
    progress: &Progress,
    evaluated: &[u32],
    test: &[u32],
) -> Result<Summary, CellError> {
    let (fitted, seen) = (learner.read(task, &task.train, evaluated)?, learner.read(task, &task.test, test)?);
    let errors = &progress.test_errors;
    let tail = &errors[errors.len() - errors.len().div_ceil(10)..];
    let per = |seconds: f64, samples: u64| (samples > 0).then(|| seconds / samples as f64);
    Ok(Summary {
        account: progress.account,
        switched_on: progress.switched_on,
        switched_on_share: progress.switched_on_share,
        train_loss: fitted.loss,
        test_loss: seen.loss,
        test_error: seen.error,
        tail_test_error: tail.iter().sum::<f64>() / tail.len() as f64,
        seconds: progress.seconds.clone(),
        seconds_scored: per(progress.clock.scoring, progress.clock.scored),
        seconds_trained: per(progress.clock.stepping, progress.clock.trained),
    })
}

/// One update of the weights.
#[allow(clippy::too_many_arguments)]
fn update(
    config: &Config,
    task: &Task,
    learner: &mut Learner,
    memory: &mut Memory,
    progress: &mut Progress,
    recent: &mut Recent,
    seed: Seed,
    device: &Device,
) -> Result<(), CellError> {
    let (time, share) = (progress.account.updates, progress.account.share(config.budget));
    let rate = config.schedule.rate(share);
    let n = task.train.len();
    let b = config.batch;
    let uniformly = |count: usize| -> Vec<u32> {
        let mut stream = seed.stream_at("batch", time);
        // A share of 2^32 rather than `random_range`, which draws again now and then: a longer draw begins with a shorter.
        (0..count).map(|_| ((u64::from(stream.random::<u32>()) * n as u64) >> 32) as u32).collect()
    };
    let mut spent = Account { updates: 1, scored: 0, trained: b as u64 };
    let mut scores: Option<Vec<f64>> = None;
    let mut loss = None;
    let mut step = |learner: &mut Learner, x: &Tensor, labels: &[u32], weights: Option<Vec<f64>>, clock: &mut Clock| {
        let started = ThreadTime::now();
        let pass = Learner::gradients(&learner.model, x, labels, |_| weights)?;
        loss = Some(pass.loss);
        let readout = learner.step(pass, rate, time)?;
        clock.stepping += started.elapsed().as_secs_f64();
        clock.trained += labels.len() as u64;
        Ok::<_, CellError>(readout)
    };
    match config.method {
        Method::Uniform => {
            let chosen = uniformly(b);
            let x = task.batch(&chosen, seed, time, device)?;
            scores = Some(step(learner, &x, &task.labels(&chosen), None, &mut progress.clock)?.bounds);
        }
        Method::UniformAtEqualCost { presample } => {
            let count = b + (presample as f64 / TRAINED).round() as usize;
            let chosen = uniformly(count);
            let x = task.batch(&chosen, seed, time, device)?;
            scores = Some(step(learner, &x, &task.labels(&chosen), None, &mut progress.clock)?.bounds);
            spent.trained = count as u64;
        }
        Method::Importance { score, presample, threshold } => {
            let value = |readout: crate::scores::Readout| match score {
                Score::UpperBound => readout.bounds,
                Score::Loss => readout.losses,
                Score::Constant => vec![1.; readout.losses.len()],
            };
            if progress.switch.is_on(threshold) {
                let candidates = uniformly(presample);
                let (x, labels) = (task.batch(&candidates, seed, time, device)?, task.labels(&candidates));
                let started = ThreadTime::now();
                let s = value(learner.score(&x, &labels)?);
                progress.clock.scoring += started.elapsed().as_secs_f64();
                progress.clock.scored += presample as u64;
                if let Some(bad) = s.iter().find(|s| !s.is_finite()) {
                    return Err(CellError::Diverged { step: time, what: format!("a score is {bad}") });
                }
                let g = Distribution::new(&s);
                let drawn = g.draw(b, &mut seed.stream_at("resample", time));
                let rows: Vec<u32> = drawn.iter().map(|&i| i as u32).collect();
                // The same tensor that was scored: another augmentation would break the weights.
                let x = x.index_select(&Tensor::new(rows, device)?, 0)?;
                let labels: Vec<u32> = drawn.iter().map(|&i| labels[i]).collect();
                let weights = drawn.iter().map(|&i| g.weight(i)).collect();
                step(learner, &x, &labels, Some(weights), &mut progress.clock)?;
                spent.scored = presample as u64;
                scores = Some(s);
                recent.active += 1;
                if progress.switched_on.is_none() {
                    (progress.switched_on, progress.switched_on_share) = (Some(time), Some(share));
                }
            } else {
                let chosen = uniformly(b);
                let x = task.batch(&chosen, seed, time, device)?;
                // Scores of the batch come with its forward pass.
                scores = Some(value(step(learner, &x, &task.labels(&chosen), None, &mut progress.clock)?));
            }
        }
        Method::LoshchilovHutter { first, last, sort_every, recompute_every } => {
            let Memory::Losses { known, ranks } = memory else { unreachable!("made for this method") };
            if time.is_multiple_of(recompute_every) {
                spent.scored += recompute(learner, task, known, device)?;
            }
            if time.is_multiple_of(sort_every) || ranks.is_none() {
                *ranks = Some(Ranks::of(known));
            }
            let stream = &mut seed.stream_at("resample", time);
            let pressure = Ranks::pressure(first, last, share);
            let chosen = ranks.as_ref().map_or(vec![], |ranks| ranks.draw(b, pressure, stream));
            let x = task.batch(&chosen, seed, time, device)?;
            let readout = step(learner, &x, &task.labels(&chosen), None, &mut progress.clock)?;
            chosen.iter().zip(&readout.losses).for_each(|(&i, &loss)| known[i as usize] = loss as f32);
        }
        Method::Schaul { alpha, beta, recompute_every } => {
            let Memory::Losses { known, .. } = memory else { unreachable!("made for this method") };
            if time.is_multiple_of(recompute_every) && time > 0 {
                spent.scored += recompute(learner, task, known, device)?;
            }
            let p = priorities(known, alpha);
            let chosen: Vec<u32> =
                p.draw(b, &mut seed.stream_at("resample", time)).into_iter().map(|i| i as u32).collect();
            let raw: Vec<f64> = chosen.iter().map(|&i| p.weight(i as usize)).collect();
            let (x, labels) = (task.batch(&chosen, seed, time, device)?, task.labels(&chosen));
            let pass = Learner::gradients(&learner.model, &x, &labels, |seen| {
                Some(annealed_weights(&raw, &seen.losses, beta))
            })?;
            loss = Some(pass.loss);
            let readout = learner.step(pass, rate, time)?;
            chosen.iter().zip(&readout.losses).for_each(|(&i, &loss)| known[i as usize] = loss as f32);
        }
        Method::ControlVariate { .. } => {
            let Memory::Snapshot(snapshot) = memory else { unreachable!("made for this method") };
            let chosen = uniformly(b);
            let (found, trained) = snapshot.step(learner, task, &chosen, (seed, time, rate), device)?;
            loss = Some(found);
            spent.trained = trained as u64;
        }
    }
    if let Some(scores) = scores {
        progress.switch.update(&Distribution::new(&scores));
    }
    progress.account += spent;
    recent.updates += 1;
    recent.loss += loss.unwrap_or(0.);
    Ok(())
}

/// The losses of all training samples as they are; returns how many that took.
fn recompute(learner: &Learner, task: &Task, known: &mut [f32], device: &Device) -> Result<u64, CellError> {
    let all: Vec<u32> = (0..known.len() as u32).collect();
    for chunk in all.chunks(CHUNK) {
        let readout = learner.score(&task.plain(&task.train, chunk, device)?, &task.labels(chunk))?;
        for (&i, &loss) in chunk.iter().zip(&readout.losses) {
            known[i as usize] = loss as f32;
        }
    }
    Ok(known.len() as u64)
}

/// Trains on other classes first and keeps all but the last layer.
fn pretrain(config: &Config, learner: &mut Learner, seed: Seed, run: &CellRun) -> Result<(), CellError> {
    let Some(pretraining) = &config.pretraining else { return Ok(()) };
    let device = run.device().clone();
    let task = Task::new(&TaskConfig { classes: Some(pretraining.classes), ..config.task.clone() }, seed, run)?;
    let before_seed = seed.derive("pretraining");
    let mut before = Learner::new(config, &task, before_seed, &device)?;
    let n = task.train.len() as u32;
    for time in 0..pretraining.updates {
        let mut stream = before_seed.stream_at("batch", time);
        let chosen: Vec<u32> = (0..64).map(|_| stream.random_range(0..n)).collect();
        let x = task.batch(&chosen, before_seed, time, &device)?;
        let pass = Learner::gradients(&before.model, &x, &task.labels(&chosen), |_| None)?;
        before.step(pass, pretraining.rate, time)?;
    }
    let mut weights = learner.model.parameters.weights()?;
    let learnt = before.model.parameters.weights()?;
    weights.extend(learnt.into_iter().filter(|(name, _)| !name.starts_with("output.")));
    Ok(learner.model.parameters.set_weights(&weights)?)
}

impl Memory {
    fn new(config: &Config, task: &Task, learner: &Learner, seed: Seed, device: &Device) -> Result<Self, CellError> {
        Ok(match config.method {
            Method::LoshchilovHutter { .. } | Method::Schaul { .. } => {
                Self::Losses { known: vec![f32::NAN; task.train.len()], ranks: None }
            }
            Method::ControlVariate { variant, inner } => {
                Self::Snapshot(Box::new(Snapshot::new(config, variant, inner, task, learner, seed, device)?))
            }
            _ => Self::Nothing,
        })
    }

    fn save(&self, checkpoint: Checkpoint) -> Result<Checkpoint, CellError> {
        match self {
            Self::Nothing => Ok(checkpoint),
            Self::Snapshot(snapshot) => snapshot.save(checkpoint),
            Self::Losses { known, ranks } => {
                let mut tensors: Weights = BTreeMap::from([("known".into(), Tensor::new(&known[..], &Device::Cpu)?)]);
                if let Some(ranks) = ranks {
                    tensors.insert("ranks".into(), Tensor::new(ranks.order(), &Device::Cpu)?);
                }
                checkpoint.with_tensors("losses", &tensors).map_err(CellError::other)
            }
        }
    }

    fn restore(&mut self, saved: &Checkpoint) -> Result<(), CellError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Snapshot(snapshot) => snapshot.restore(saved),
            Self::Losses { known, ranks } => {
                let tensors = saved.tensors("losses");
                if let Some(losses) = tensors.get("known") {
                    *known = losses.to_vec1()?;
                }
                *ranks = tensors.get("ranks").map(|r| r.to_vec1().map(Ranks::in_order)).transpose()?;
                Ok(())
            }
        }
    }
}
