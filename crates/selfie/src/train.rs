//! Training of one network by any of the methods, and what is measured on the way.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use retrial_core::Seed;
use retrial_core::data::{FolderSet, Split};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::Model;
use retrial_core::train::{Checkpoint, Evaluation, Optimiser, accuracy, cross_entropy, evaluate, finite};
use retrial_kernels::Graph;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::active_bias::Wavering;
use crate::co_teaching;
use crate::config::{Config, Method, NoiseRate, Normaliser, Padding, Reuse, Selfie, Source, WarmUpLabels};
use crate::refurbish::Refurbisher;
use crate::task::{Task, batch, batches};

/// Samples per batch when nothing is trained.
const EVALUATION_BATCH: usize = 500;

/// One row of `epochs.csv`. All numbers are shares in [0, 1] but the loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Run, counted from 1: SELFIE restarts, Default repeats.
    pub run: usize,
    /// Epoch of this run, counted from 1.
    pub epoch: usize,
    /// Mean loss of the samples trained on, against the labels they were trained with.
    pub loss: f64,
    /// Share of test images that are misjudged; of Co-teaching's two networks the mean.
    pub test_error: f64,
    /// The same of the validation images.
    pub validation_error: Option<f64>,
    /// Share of the batch that is trained on.
    pub used: f64,
    /// Share of true labels among those trained with.
    pub used_right: Option<f64>,
    /// Share of training images whose given label is predicted, in evaluation; at the end of the warm-up and of the run.
    pub train_accuracy: Option<f64>,
    /// Share of wrongly labelled training images whose wrong label is predicted, at the same times.
    pub wrong_fitted: Option<f64>,
    /// |R| / |M|.
    pub in_r: Option<f64>,
    /// Share of samples that have a refurbished label; of RelabelAll: a vote.
    pub refurbished: Option<f64>,
    /// Share of true ones among these labels.
    pub refurbished_right: Option<f64>,
    /// Share of samples whose refurbished label differs from the given one.
    pub changed: Option<f64>,
    /// Share of true ones among these labels.
    pub changed_right: Option<f64>,
    /// Share of wrongly labelled samples whose refurbished label is true.
    pub wrong_recovered: Option<f64>,
}

/// One run of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Lowest test error of all epochs, chosen on the very images it is measured on: the paper's metric.
    pub best: f64,
    /// Its epoch.
    pub best_epoch: usize,
    /// Test error at the epoch with the lowest validation error.
    pub chosen: Option<f64>,
    /// The row at the end of the warm-up.
    pub warm: Epoch,
    /// The row at half of the epochs.
    pub half: Epoch,
    /// The last row.
    pub last: Epoch,
}

/// What remains of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Share of wrong labels drawn for the training samples.
    pub realised: f64,
    /// How labels were drawn.
    pub convention: String,
    /// In the order they were made.
    pub runs: Vec<Run>,
}

impl Run {
    /// The runs of a cell's rows.
    pub fn all(config: &Config, rows: &[Epoch]) -> Vec<Self> {
        let of = |rows: &[Epoch]| {
            let best = rows.iter().min_by(|a, b| a.test_error.total_cmp(&b.test_error)).expect("a run has epochs");
            let validated = rows.iter().filter(|row| row.validation_error.is_some());
            let chosen = validated.min_by(|a, b| {
                let error = |row: &Epoch| row.validation_error.unwrap_or(1.);
                error(a).total_cmp(&error(b))
            });
            let at = |epoch: usize| rows[epoch.clamp(1, rows.len()) - 1].clone();
            Self {
                best: best.test_error,
                best_epoch: best.epoch,
                chosen: chosen.map(|row| row.test_error),
                warm: at(config.warm_up),
                half: at(rows.len().div_ceil(2)),
                last: at(rows.len()),
            }
        };
        rows.chunk_by(|a, b| a.run == b.run).map(of).collect()
    }
}

impl Summary {
    /// Of the rows of a finished cell.
    pub fn of(task: &Task, config: &Config, rows: &[Epoch]) -> Self {
        let convention = match config.level {
            0. => "clean".into(),
            _ => config.noise.convention(),
        };
        Self { realised: task.noisy.realised, convention, runs: Run::all(config, rows) }
    }
}

/// A network in training.
pub struct Learner {
    /// The network.
    pub model: Model,
    /// Its optimiser.
    pub optimiser: Optimiser,
    device: Device,
    seed: Seed,
}

impl Learner {
    /// A fresh network; `seed` keys its initial weights and its dropout.
    pub fn new(config: &Config, task: &Task, seed: Seed, device: &Device) -> Result<Self, CellError> {
        let model = config.architecture.build(&task.shape, task.classes, seed, device)?;
        Ok(Self { model, optimiser: Optimiser::new(config.optimiser.clone()), device: device.clone(), seed })
    }

    /// A stream of dropout masks for the passes of one kind in an epoch.
    pub fn masks(&self, usage: &str, epoch: usize) -> ChaCha8Rng {
        self.seed.stream_at(usage, epoch as u64)
    }

    /// Losses against `labels` and predictions in training mode: dropout on, statistics of the batch, running averages
    /// left alone, nothing recorded.
    pub fn look(&self, x: &Tensor, labels: &[u32], masks: &mut ChaCha8Rng) -> Result<Evaluation, CellError> {
        let mut graph = Graph::training().without_gradients().with_batch_statistics();
        graph = graph.with_dropout(ChaCha8Rng::from_rng(masks));
        Ok(Evaluation::of(self.model.forward(&mut graph, x)?.tensor(), labels)?)
    }

    /// A step along the gradient of the weighted sum of losses over `divisor`. Returns this number, and the logits.
    pub fn step(
        &mut self,
        x: &Tensor,
        targets: &Targets,
        rate: f64,
        masks: &mut ChaCha8Rng,
        step: usize,
    ) -> Result<(f64, Tensor), CellError> {
        let mut graph = Graph::training().with_dropout(ChaCha8Rng::from_rng(masks));
        let value = self.model.forward(&mut graph, x)?;
        let logits = value.tensor().clone();
        let mut losses = cross_entropy(&graph.output(&value)?, &targets.labels)?;
        if let Some(weights) = &targets.weights {
            losses = (losses * Tensor::from_slice(weights, weights.len(), &self.device)?)?;
        }
        let loss = (losses.sum_all()? / targets.divisor as f64)?;
        let size = finite(loss.to_scalar::<f32>()?, step as u64)
            .map_err(|d| CellError::Diverged { step: step as u64, what: format!("the loss is {}", d.loss) })?;
        self.optimiser.step(&self.model.parameters, &graph.backward(&loss)?, rate)?;
        Ok((f64::from(size), logits))
    }

    /// Predictions in evaluation mode.
    pub fn predict(&self, split: &Split) -> Result<Vec<u32>, CellError> {
        let all: Vec<u32> = (0..split.len() as u32).collect();
        let seen =
            evaluate(&self.model, &all, &split.labels, EVALUATION_BATCH, |chosen| batch(split, chosen, &self.device))?;
        Ok(seen.predictions)
    }

    /// Share of misjudged samples; none of no samples.
    pub fn error(&self, split: &Split) -> Result<Option<f64>, CellError> {
        if split.is_empty() {
            return Ok(None);
        }
        Ok(Some(1. - accuracy(&self.predict(split)?, &split.labels)))
    }
}

/// What one step trains on.
pub struct Targets {
    /// Positions in the batch; none for all of it.
    pub rows: Option<Vec<usize>>,
    /// A label for each of them.
    pub labels: Vec<u32>,
    /// A weight for each of them; none for 1.
    pub weights: Option<Vec<f32>>,
    /// What the summed loss is divided by.
    pub divisor: usize,
}

impl Targets {
    /// The whole batch, each sample with this label.
    pub fn all(labels: Vec<u32>) -> Self {
        Self { rows: None, divisor: labels.len(), labels, weights: None }
    }
}

/// The rows of a batch; the batch itself if all are taken.
pub fn rows_of(x: &Tensor, rows: Option<&[usize]>) -> candle_core::Result<Tensor> {
    match rows {
        Some(rows) if rows.len() < x.dim(0)? => {
            x.index_select(&Tensor::from_iter(rows.iter().map(|&i| i as u32), x.device())?, 0)
        }
        _ => Ok(x.clone()),
    }
}

/// What a method remembers of the samples.
enum Memory {
    Nothing,
    Wavering(Wavering),
    Refurbisher(Refurbisher),
}

impl Memory {
    fn new(method: &Method, task: &Task) -> Self {
        let (n, k) = (task.len(), task.classes);
        match method {
            Method::Default { .. } | Method::CoTeaching { .. } => Self::Nothing,
            Method::ActiveBias { smoothing } => Self::Wavering(Wavering::new(n, *smoothing)),
            // No uncertainty is below zero: nothing is refurbished.
            Method::SelectOnly => Self::Refurbisher(Refurbisher::new(n, k, 1, Padding::None, -1., Reuse::SmallLoss)),
            Method::RelabelAll { history } => {
                Self::Refurbisher(Refurbisher::new(n, k, *history, Padding::None, -1., Reuse::SmallLoss))
            }
            Method::Selfie(s) => Self::Refurbisher(Refurbisher::new(n, k, s.history, s.padding, s.epsilon, s.reuse)),
        }
    }

    /// A visit of each of these samples: losses against the given labels, and predictions.
    fn observe(&mut self, samples: &[u32], seen: &Evaluation) {
        for ((&x, &loss), &prediction) in samples.iter().zip(&seen.losses).zip(&seen.predictions) {
            match self {
                Self::Nothing => {}
                Self::Wavering(wavering) => wavering.push(x, f64::from(-loss).exp()),
                Self::Refurbisher(refurbisher) => refurbisher.history.push(x, prediction),
            }
        }
    }

    fn save(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Wavering(wavering) => json!(wavering.state()),
            Self::Refurbisher(r) => json!({"history": r.history.state(), "corrected": r.corrected}),
        }
    }

    fn restore(&mut self, value: &Value) -> Result<(), CellError> {
        fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, CellError> {
            serde_json::from_value(value.clone()).map_err(CellError::other)
        }
        let fits = match self {
            Self::Nothing => true,
            Self::Wavering(wavering) => wavering.set_state(read(value)?),
            Self::Refurbisher(r) => {
                let (slots, visits) = read(&value["history"])?;
                r.corrected = read(&value["corrected"])?;
                r.history.set_state(slots, visits) && r.corrected.len() == visits_len(value)
            }
        };
        if fits { Ok(()) } else { Err(CellError::other("the checkpoint is of other samples: remove it")) }
    }
}

fn visits_len(value: &Value) -> usize {
    value["history"][1].as_array().map_or(0, Vec::len)
}

/// Where training stands between two epochs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// All rows so far.
    pub rows: Vec<Epoch>,
    /// tau of this run.
    pub tau: f64,
}

/// Trains one cell.
pub fn train(config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
    let task = Task::new(config, run)?;
    if config.epochs == 0 || config.batch == 0 {
        return Err(CellError::other("epochs and batch must be at least 1"));
    }
    if matches!(&config.method, Method::Selfie(Selfie { history: 0, .. }) | Method::RelabelAll { history: 0 }) {
        return Err(CellError::other("a history must hold at least 1 prediction"));
    }
    let rows = match config.method {
        Method::CoTeaching { ramp } => co_teaching::train(config, ramp, &task, run)?,
        _ => train_one(config, &task, run)?,
    };
    Ok(Summary::of(&task, config, &rows))
}

/// A seed for each run: the first run of every method draws alike.
fn run_seed(seed: Seed, index: usize) -> Seed {
    if index == 0 { seed } else { seed.derive(&format!("run/{index}")) }
}

fn train_one(config: &Config, task: &Task, run: &mut CellRun) -> Result<Vec<Epoch>, CellError> {
    let device = run.device().clone();
    let seed = Seed(config.seed);
    let runs = match &config.method {
        Method::Default { runs } => *runs,
        Method::Selfie(selfie) => selfie.restarts + 1,
        _ => 1,
    };
    let told = match &config.method {
        Method::Selfie(selfie) => (config.level + selfie.misjudged).clamp(0., 1.),
        _ => config.level,
    };
    let mut progress = Progress { tau: told, ..Progress::default() };
    let mut memory = Memory::new(&config.method, task);
    let mut saved = None;
    if let Some(bytes) = run.resume()? {
        let checkpoint = Checkpoint::from_bytes(&bytes).map_err(CellError::other)?;
        progress = serde_json::from_value(checkpoint.extra()["progress"].clone()).map_err(CellError::other)?;
        memory.restore(&checkpoint.extra()["memory"])?;
        saved = Some(checkpoint);
    }
    run.expect_epochs(runs * config.epochs);
    for index in progress.rows.len() / config.epochs..runs {
        let mut learner = Learner::new(config, task, run_seed(seed, index), &device)?;
        match saved.take() {
            Some(checkpoint) => {
                checkpoint.restore(&learner.model, &mut learner.optimiser).map_err(CellError::other)?;
            }
            None => restart(config, task, index, told, &mut memory, &mut progress),
        }
        for epoch in progress.rows.len() - index * config.epochs..config.epochs {
            let mut row = train_epoch(config, task, &mut learner, &mut memory, progress.tau, (index, epoch))?;
            (row.run, row.epoch) = (index + 1, epoch + 1);
            row.test_error = learner.error(&task.test)?.unwrap_or(1.);
            row.validation_error = learner.error(&task.validation)?;
            if row.epoch == config.warm_up || row.epoch == config.epochs {
                (row.train_accuracy, row.wrong_fitted) = fitted(&learner, task)?;
            }
            measure(&config.method, &mut memory, task, &mut row);
            // Nobody knows which labels of ANIMAL-10N are right.
            if config.task.source == Source::Folder(FolderSet::Animal10n) {
                (row.used_right, row.refurbished_right, row.changed_right) = (None, None, None);
                (row.wrong_fitted, row.wrong_recovered) = (None, None);
            }
            run.epoch(&row)?;
            progress.rows.push(row);
            // At the end of a run there is nothing to go on from: the next one starts anew.
            if run.checkpoint_due() && epoch + 1 < config.epochs {
                let extra = json!({"progress": progress, "memory": memory.save()});
                let rows = progress.rows.len() as u64;
                let saved = Checkpoint::capture(rows, &learner.model, &learner.optimiser, extra);
                run.save_checkpoint(&saved.and_then(|saved| saved.to_bytes()).map_err(CellError::other)?)?;
            }
        }
    }
    Ok(progress.rows)
}

/// What a run finds when it starts: everything fresh but the refurbished labels.
fn restart(config: &Config, task: &Task, index: usize, told: f64, memory: &mut Memory, progress: &mut Progress) {
    if index == 0 {
        return;
    }
    let mut fresh = Memory::new(&config.method, task);
    if let (Memory::Refurbisher(fresh), Memory::Refurbisher(old)) = (&mut fresh, &mut *memory) {
        fresh.corrected = std::mem::take(&mut old.corrected);
        if let Method::Selfie(Selfie { noise_rate: NoiseRate::Lowered, .. }) = config.method {
            progress.tau = fresh.lowered(told);
        }
    }
    *memory = fresh;
}

/// Agreement with the given labels of all training samples, and of the wrongly labelled ones.
pub fn fitted(learner: &Learner, task: &Task) -> Result<(Option<f64>, Option<f64>), CellError> {
    let predictions = learner.predict(&task.train)?;
    let NoisyLabels { given, flipped, .. } = &task.noisy;
    let wrong = retrial_core::train::accuracy_where(&predictions, given, |i| flipped[i]);
    Ok((Some(accuracy(&predictions, given)), Some(wrong).filter(|share| share.is_finite())))
}

use retrial_core::noise::NoisyLabels;

fn train_epoch(
    config: &Config,
    task: &Task,
    learner: &mut Learner,
    memory: &mut Memory,
    tau: f64,
    (index, epoch): (usize, usize),
) -> Result<Epoch, CellError> {
    let rate = config.schedule.rate(epoch as f64);
    let device = learner.device.clone();
    let mut masks = learner.masks("dropout", epoch);
    let mut selection_masks = learner.masks("selection/dropout", epoch);
    let mut sums = Sums::default();
    let drawn = batches(config.draw, task.len(), config.batch, run_seed(Seed(config.seed), index), epoch);
    let steps = drawn.len();
    for (i, samples) in drawn.into_iter().enumerate() {
        let x = batch(&task.train, &samples, &device)?;
        let given = task.given(&samples);
        let warm = epoch < config.warm_up;
        // The predictions of this visit, where they come from a pass of their own.
        let mut looked = None;
        let mut in_r = 0;
        let targets = match (&config.method, &mut *memory) {
            (Method::Selfie(selfie), Memory::Refurbisher(refurbisher)) if warm => {
                let label = |(&x, &given): (&u32, &u32)| match selfie.warm_up_labels {
                    WarmUpLabels::Given => given,
                    WarmUpLabels::Corrected => refurbisher.corrected[x as usize].unwrap_or(given),
                };
                Targets::all(samples.iter().zip(&given).map(label).collect())
            }
            (Method::Selfie(_) | Method::SelectOnly, Memory::Refurbisher(refurbisher)) if !warm => {
                let seen = learner.look(&x, &given, &mut selection_masks)?;
                let chosen = refurbisher.choose(&samples, &given, &seen.losses, tau);
                in_r = chosen.refurbished;
                looked = Some(seen);
                let divisor = match &config.method {
                    Method::Selfie(Selfie { normaliser: Normaliser::Batch, .. }) => samples.len(),
                    _ => chosen.rows.len(),
                };
                Targets { rows: Some(chosen.rows), labels: chosen.labels, weights: None, divisor }
            }
            (Method::RelabelAll { .. }, Memory::Refurbisher(refurbisher)) if !warm => {
                let label = |(&x, &given): (&u32, &u32)| refurbisher.history.vote(x).unwrap_or(given);
                Targets::all(samples.iter().zip(&given).map(label).collect())
            }
            (Method::ActiveBias { .. }, Memory::Wavering(wavering)) if !warm => {
                Targets { weights: Some(wavering.weights(&samples)), ..Targets::all(given.clone()) }
            }
            _ => Targets::all(given.clone()),
        };
        sums.batch(task, &samples, &targets, in_r);
        if !targets.labels.is_empty() {
            let x = rows_of(&x, targets.rows.as_deref())?;
            let step = (index * config.epochs + epoch) * steps + i;
            let (loss, logits) = learner.step(&x, &targets, rate, &mut masks, step)?;
            sums.loss += loss * targets.divisor as f64;
            if looked.is_none() {
                looked = Some(Evaluation::of(&logits, &given)?);
            }
        }
        if let Some(seen) = looked {
            memory.observe(&samples, &seen);
        }
    }
    Ok(sums.row())
}

/// Counts over the batches of an epoch.
#[derive(Default)]
pub struct Sums {
    /// Summed losses.
    pub loss: f64,
    drawn: usize,
    used: usize,
    right: usize,
    in_r: usize,
}

impl Sums {
    /// Counts a batch and what of it is trained on.
    pub fn batch(&mut self, task: &Task, samples: &[u32], targets: &Targets, in_r: usize) {
        self.drawn += samples.len();
        self.used += targets.labels.len();
        self.in_r += in_r;
        let row = |i: usize| targets.rows.as_ref().map_or(i, |rows| rows[i]);
        let truth = |i: usize| task.noisy.truth[samples[row(i)] as usize];
        self.right += targets.labels.iter().enumerate().filter(|&(i, &label)| label == truth(i)).count();
    }

    /// The columns that are known so far.
    pub fn row(self) -> Epoch {
        let share = |part: usize, whole: usize| part as f64 / whole as f64;
        Epoch {
            loss: self.loss / self.used.max(1) as f64,
            used: share(self.used, self.drawn),
            used_right: (self.used > 0).then(|| share(self.right, self.used)),
            in_r: Some(share(self.in_r, self.drawn)),
            ..Epoch::default()
        }
    }
}

/// Precision and recall of the labels that a method has made so far.
fn measure(method: &Method, memory: &mut Memory, task: &Task, row: &mut Epoch) {
    let Memory::Refurbisher(refurbisher) = memory else {
        row.in_r = None;
        return;
    };
    let made: Vec<Option<u32>> = match method {
        Method::Selfie(_) => refurbisher.corrected.clone(),
        Method::RelabelAll { .. } => (0..task.len() as u32).map(|x| refurbisher.history.vote(x)).collect(),
        _ => {
            row.in_r = None;
            return;
        }
    };
    if matches!(method, Method::RelabelAll { .. }) {
        row.in_r = None;
    }
    let NoisyLabels { truth, given, flipped, .. } = &task.noisy;
    let labels = || made.iter().enumerate().filter_map(|(x, label)| Some((x, (*label)?)));
    let changed = || labels().filter(|&(x, label)| label != given[x]);
    let right = |&(x, label): &(usize, u32)| label == truth[x];
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    row.refurbished = share(labels().count(), task.len());
    row.refurbished_right = share(labels().filter(right).count(), labels().count());
    row.changed = share(changed().count(), task.len());
    row.changed_right = share(changed().filter(right).count(), changed().count());
    let wrong = flipped.iter().filter(|f| **f).count();
    row.wrong_recovered = share(labels().filter(right).filter(|&(x, _)| flipped[x]).count(), wrong);
}
