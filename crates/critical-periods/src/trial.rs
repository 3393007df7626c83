//! Trains the courses of a cell (section 2): each with full-length clean training after its deficit, one after another,
//! starting where it leaves an earlier one.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use retrial_core::Seed;
use retrial_core::data::order;
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::{Model, NormSettings, Weights};
use retrial_core::train::{Checkpoint, Optimiser, accuracy, cross_entropy, evaluate, finite};
use retrial_kernels::Graph;
use serde::{Deserialize, Serialize};

use crate::config::{Arm, Config, Probe};
use crate::course::{Run, Step, epochs, plan};
use crate::deficit::Lens;
use crate::fisher::Fisher;
use crate::task::Task;

/// Images in a batch when nothing is trained.
const EVALUATION_BATCH: usize = 250;
/// Images in a batch when statistics of batch norm are taken anew.
const STATISTICS_BATCH: usize = 50;

/// One row of `epochs.csv`. Courses that share an epoch have it once, under the first of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// Course, as [`Arm`] writes itself.
    pub arm: String,
    /// Epochs of the course that are done.
    pub epoch: usize,
    /// Whether the deficit was on.
    pub deficit: bool,
    /// Learning rate.
    pub rate: f64,
    /// Mean cross-entropy over the epoch's batches, of what the network was shown.
    pub loss: f64,
    /// On clean test images, with statistics of batch norm taken anew on clean training images.
    pub test_accuracy: Option<f64>,
    /// The same with the statistics as training left them, while the deficit is on.
    pub stale_accuracy: Option<f64>,
}

/// One row of `fisher.csv`: one layer at one epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FisherRow {
    /// Course, as [`Arm`] writes itself.
    pub arm: String,
    /// Epochs of the course that are done.
    pub epoch: usize,
    /// The layer.
    pub layer: String,
    /// Its number of weights.
    pub weights: usize,
    /// Trace over them.
    pub trace: f64,
    /// Its Monte-Carlo standard error.
    pub standard_error: Option<f64>,
    /// Squared norm of the layer's weights.
    pub square_norm: f64,
    /// Mean predictive entropy of the network in nats.
    pub entropy: f64,
}

/// How a course ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The course.
    pub arm: Arm,
    /// Mean test accuracy over its last epochs.
    pub accuracy: f64,
}

/// What remains of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// In the order in which courses were trained.
    pub outcomes: Vec<Outcome>,
    /// Epochs trained, shared ones once.
    pub epochs: usize,
}

/// Where training stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Place {
    /// Course in the plan.
    run: usize,
    /// Epochs of it that are done.
    depth: usize,
    /// Test accuracies of its last epochs.
    last: Vec<f64>,
    outcomes: Vec<Outcome>,
}

/// A network in training.
struct Learner<'a> {
    config: &'a Config,
    task: Task,
    lens: Lens,
    /// Labels while the deficit is on.
    spoilt: Vec<u32>,
    model: Model,
    optimiser: Optimiser,
    seed: Seed,
    device: Device,
}

/// Trains a cell.
///
/// # Errors
/// If data are missing, the config cannot be, a loss is no longer finite, or a file cannot be written.
pub fn train(config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
    check(config)?;
    let plan = plan(&config.arms);
    let mut learner = Learner::new(config, run)?;
    let mut place = Place::default();
    // Networks at the places where later courses leave, by number of epochs; the untrained one at 0.
    let mut forks = BTreeMap::from([(0, learner.capture(0)?)]);
    if let Some(saved) = run.resume()? {
        let (now, saved_forks) = unpack(&saved)?;
        now.restore(&learner.model, &mut learner.optimiser).map_err(CellError::other)?;
        place = serde_json::from_value(now.extra().clone()).map_err(CellError::other)?;
        forks = saved_forks;
    }
    run.expect_epochs(epochs(&plan));
    while let Some(course) = plan.get(place.run) {
        if place.depth == 0 {
            // A course begins: back to where it leaves an earlier one.
            forks.retain(|&at, _| at <= course.shared);
            let start = forks.get(&course.shared).ok_or_else(|| CellError::other("a fork was not remembered"))?;
            start.restore(&learner.model, &mut learner.optimiser).map_err(CellError::other)?;
            place.depth = course.shared;
        }
        if place.depth < course.steps.len() {
            let step = course.steps[place.depth];
            let loss = learner.epoch(step)?;
            place.depth += 1;
            learner.record(course, &mut place, step, loss, run)?;
            if course.forks.contains(&place.depth) {
                forks.insert(place.depth, learner.capture(place.depth)?);
            }
        } else if course.shared == course.steps.len() {
            // The same epochs as the course before under another name: the same end.
            let before = place.outcomes.last().ok_or_else(|| CellError::other("a course before was not trained"))?;
            place.last = vec![before.accuracy];
        }
        if place.depth == course.steps.len() {
            let accuracy = place.last.iter().sum::<f64>() / place.last.len() as f64;
            place.outcomes.push(Outcome { arm: course.arm, accuracy });
            place = Place { run: place.run + 1, outcomes: place.outcomes, ..Place::default() };
        }
        if run.checkpoint_due() {
            let extra = serde_json::to_value(&place).map_err(CellError::other)?;
            let now = Checkpoint::capture(place.depth as u64, &learner.model, &learner.optimiser, extra);
            run.save_checkpoint(&pack(&now.map_err(CellError::other)?, &forks)?)?;
        }
    }
    Ok(Summary { outcomes: place.outcomes, epochs: epochs(&plan) })
}

/// What no course could be trained with.
fn check(config: &Config) -> Result<(), CellError> {
    let measure = config.measure;
    // Its last epochs would be those of another course in part, and tested only where that one is.
    let parts_late = |run: &Run| run.shared < run.steps.len() && run.shared + measure.last > run.steps.len();
    let faults = [
        (config.batch == 0, "`batch` must be at least 1"),
        (config.arms.is_empty(), "`arms` names no course"),
        (config.arms.iter().any(|arm| arm.steps().is_empty()), "a course of `arms` has no epochs"),
        (
            measure.every == 0 || measure.last == 0 || measure.re_estimate == 0,
            "`measure.every`, `measure.last` and `measure.re_estimate` must be at least 1",
        ),
        (
            plan(&config.arms).iter().any(parts_late),
            "two courses of `arms` part within their last `measure.last` epochs",
        ),
        (
            config.probe.is_some_and(|p| p.every == 0 || p.batch == 0 || p.images > config.task.train),
            "`probe` needs `every` and `batch` of at least 1 and no more images than there are training samples",
        ),
        (!config.task.side.is_multiple_of(crate::deficit::FACTOR), "`task.side` must be a multiple of 4"),
    ];
    match faults.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, what)) => Err(CellError::Other(what.into())),
        None => Ok(()),
    }
}

impl<'a> Learner<'a> {
    fn new(config: &'a Config, run: &CellRun) -> Result<Self, CellError> {
        let (seed, device) = (Seed(config.seed), run.device().clone());
        let task = Task::new(&config.task, seed, run)?;
        let lens = Lens::new(config.deficit, task.side, task.channels, seed);
        Ok(Self {
            spoilt: lens.labels(&task.train.labels, task.classes),
            model: config.architecture.build(&task.shape, task.classes, seed, &device)?,
            optimiser: Optimiser::new(config.optimiser.clone()),
            config,
            task,
            lens,
            seed,
            device,
        })
    }

    fn capture(&self, depth: usize) -> Result<Checkpoint, CellError> {
        let none = serde_json::Value::Null;
        Checkpoint::capture(depth as u64, &self.model, &self.optimiser, none).map_err(CellError::other)
    }

    /// One pass over the training samples. Returns the mean loss.
    fn epoch(&mut self, step: Step) -> Result<f64, CellError> {
        let (task, time) = (&self.task, step.time as u64);
        let rate = self.config.schedule.rate(step.rate as f64);
        let mut augment = self.seed.stream_at("augment", time);
        let mut total = 0.;
        for (draw, chosen) in order(task.train.len(), self.seed, time).chunks(self.config.batch).enumerate() {
            let (normalisation, augmentation) = (&task.normalisation, self.config.augmentation);
            let mut x = task.train.augmented_batch(chosen, normalisation, augmentation, &mut augment, &Device::Cpu)?;
            let labels = if step.deficit { &self.spoilt } else { &task.train.labels };
            if step.deficit {
                let shape = x.dims().to_vec();
                let mut pixels = x.flatten_all()?.to_vec1::<f32>()?;
                self.lens.spoil(&mut pixels, chosen, time, draw as u64);
                x = Tensor::from_vec(pixels, shape, &Device::Cpu)?;
            }
            let labels: Vec<u32> = chosen.iter().map(|&i| labels[i as usize]).collect();
            let mut graph = Graph::training();
            let logits = self.model.forward(&mut graph, &x.to_device(&self.device)?)?;
            let loss = cross_entropy(&graph.output(&logits)?, &labels)?.mean_all()?;
            let value = finite(loss.to_scalar::<f32>()?, draw as u64).map_err(|d| CellError::Diverged {
                step: time * task.train.len().div_ceil(self.config.batch) as u64 + draw as u64,
                what: format!("the loss is {}", d.loss),
            })?;
            total += f64::from(value) * chosen.len() as f64;
            self.optimiser.step(&self.model.parameters, &graph.backward(&loss)?, rate)?;
        }
        Ok(total / task.train.len() as f64)
    }

    /// Tests after an epoch, where one is due, and writes the rows.
    fn record(
        &self,
        course: &Run,
        place: &mut Place,
        step: Step,
        loss: f64,
        run: &mut CellRun,
    ) -> Result<(), CellError> {
        let (depth, measure) = (place.depth, self.config.measure);
        let last = depth + measure.last > course.steps.len();
        let removed = step.deficit && course.steps.get(depth).is_some_and(|next| !next.deficit);
        let due = last || removed || course.arm.is_control() || depth.is_multiple_of(measure.every);
        let stale = if due && step.deficit { Some(self.accuracy()?) } else { None };
        let test = if due { Some(self.test()?) } else { None };
        if last {
            place.last.extend(test);
        }
        let rate = self.config.schedule.rate(step.rate as f64);
        let arm = course.arm.to_string();
        run.epoch(&Epoch {
            arm: arm.clone(),
            epoch: depth,
            deficit: step.deficit,
            rate,
            loss,
            test_accuracy: test,
            stale_accuracy: stale,
        })?;
        if let Some(probe) = self.config.probe.filter(|p| depth.is_multiple_of(p.every) || depth == course.steps.len())
        {
            let fisher = self.clean_statistics(|| self.fisher(probe, step.time))?;
            for layer in fisher.layers {
                run.append(
                    "fisher",
                    &FisherRow {
                        arm: arm.clone(),
                        epoch: depth,
                        layer: layer.layer,
                        weights: layer.weights,
                        trace: layer.trace,
                        standard_error: layer.standard_error,
                        square_norm: layer.square_norm,
                        entropy: fisher.entropy,
                    },
                )?;
            }
        }
        Ok(())
    }

    fn fisher(&self, probe: Probe, time: usize) -> Result<Fisher, CellError> {
        // The same images and the same draws for every course.
        let images = order(self.task.train.len(), self.seed.derive("probe"), 0);
        let mut labels = self.seed.stream_at("fisher labels", time as u64);
        Ok(Fisher::read(&self.model, probe.images, probe.batch, &mut labels, |range| {
            self.task.batch(&self.task.train, &images[range], &self.device)
        })?)
    }

    /// Test accuracy with statistics of batch norm taken anew from clean images.
    fn test(&self) -> Result<f64, CellError> {
        self.clean_statistics(|| self.accuracy())
    }

    /// Does something with statistics of batch norm taken anew from clean training images; training is unmoved by it.
    fn clean_statistics<T>(&self, then: impl FnOnce() -> Result<T, CellError>) -> Result<T, CellError> {
        let before: Weights = self.model.parameters.weights()?;
        let images = order(self.task.train.len(), self.seed.derive("statistics"), 0);
        let images = &images[..self.config.measure.re_estimate.min(images.len())];
        if !self.model.parameters.buffers.is_empty() {
            renew_statistics(&self.model, images.chunks(STATISTICS_BATCH), |chosen| {
                self.task.batch(&self.task.train, chosen, &self.device)
            })?;
        }
        let result = then()?;
        self.model.parameters.set_weights(&before)?;
        Ok(result)
    }

    fn accuracy(&self) -> Result<f64, CellError> {
        let test = &self.task.test;
        let all: Vec<u32> = (0..test.len() as u32).collect();
        let seen = evaluate(&self.model, &all, &test.labels, EVALUATION_BATCH, |chosen| {
            self.task.batch(test, chosen, &self.device)
        })?;
        Ok(accuracy(&seen.predictions, &test.labels))
    }
}

/// Replaces the running statistics of batch norm by those of `batches`: nothing of the old ones is left.
///
/// Training passes blend a batch into the old statistics. From zero on, K of them leave a weighted mean of the K batches
/// times 1 - (1 - m)^K, which is divided out.
fn renew_statistics<B>(
    model: &Model,
    batches: impl Iterator<Item = B>,
    batch: impl Fn(B) -> Result<Tensor, candle_core::Error>,
) -> Result<(), candle_core::Error> {
    for buffer in model.parameters.buffers.values() {
        buffer.set(&buffer.zeros_like()?)?;
    }
    let mut old = 1.;
    for chosen in batches {
        model.forward(&mut Graph::training().without_gradients(), &batch(chosen)?)?;
        old *= 1. - NormSettings::PYTORCH.momentum;
    }
    for buffer in model.parameters.buffers.values() {
        buffer.set(&(buffer.as_detached_tensor() / (1. - old))?)?;
    }
    Ok(())
}

/// The network as it is and those at the forks, each after its length.
fn pack(now: &Checkpoint, forks: &BTreeMap<usize, Checkpoint>) -> Result<Vec<u8>, CellError> {
    let mut bytes = vec![];
    for checkpoint in std::iter::once(now).chain(forks.values()) {
        let part = checkpoint.to_bytes().map_err(CellError::other)?;
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    Ok(bytes)
}

/// What [`pack`] was given.
fn unpack(mut bytes: &[u8]) -> Result<(Checkpoint, BTreeMap<usize, Checkpoint>), CellError> {
    let cut_short = || CellError::other("the checkpoint is cut short: remove it, and the cell starts afresh");
    let mut parts = vec![];
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut_short)?;
        let (part, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or_else(cut_short)?;
        parts.push(Checkpoint::from_bytes(part).map_err(CellError::other)?);
        bytes = rest;
    }
    let mut parts = parts.into_iter();
    let now = parts.next().ok_or_else(cut_short)?;
    Ok((now, parts.map(|part| (part.epoch() as usize, part)).collect()))
}

#[cfg(test)]
mod tests {
    use retrial_core::model::{Architecture, InputShape};

    use super::*;

    #[test]
    fn renewed_statistics_hold_nothing_of_the_old_ones() {
        let shape = InputShape::Image { height: 8, width: 8, channels: 3 };
        let model = Architecture::AllCnn { width: 4 }.build(&shape, 10, Seed(0), &Device::Cpu).unwrap();
        let images = |i: usize| Tensor::randn(0f32, 1. + i as f32, (6, 8, 8, 3), &Device::Cpu);
        let images: Vec<Tensor> = (0..3).map(|i| images(i).unwrap()).collect();
        let renewed = |stale: f64| {
            for buffer in model.parameters.buffers.values() {
                buffer.set(&(buffer.ones_like().unwrap() * stale).unwrap()).unwrap();
            }
            renew_statistics(&model, images.iter(), |image| Ok(image.clone())).unwrap();
            model.parameters.weights().unwrap()
        };
        let (a, b) = (renewed(1.), renewed(1e6));
        for name in model.parameters.buffers.keys() {
            let numbers = |weights: &Weights| weights[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(numbers(&a), numbers(&b), "{name}");
            assert!(!name.ends_with("variance") || numbers(&a).iter().all(|v| *v > 0.), "{name}");
        }
        // Of one batch they are its own: the same whether it is shown once or thrice.
        let shown = |times: usize| {
            renew_statistics(&model, vec![&images[0]; times].into_iter(), |image| Ok(image.clone())).unwrap();
            model.parameters.weights().unwrap()
        };
        let (once, thrice) = (shown(1), shown(3));
        for name in model.parameters.buffers.keys() {
            let numbers = |weights: &Weights| weights[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (x, y) in numbers(&once).into_iter().zip(numbers(&thrice)) {
                assert!((x - y).abs() <= 1e-5 * x.abs().max(1e-3), "{name}: {x} and {y}");
            }
        }
    }
}
