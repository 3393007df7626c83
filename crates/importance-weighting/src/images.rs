//! Cats against dogs: a network trained with class weights, and what it says of images it has never seen.

use candle_core::{Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use retrial_core::Seed;
use retrial_core::data::{Dataset, DatasetId, Inputs, Normalisation, Split, order};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::{Architecture, InputShape, Model};
use retrial_core::train::{Checkpoint, Optimiser, OptimiserConfig};
use retrial_kernels::Graph;
use serde::{Deserialize, Serialize};

use crate::config::Images;
use crate::weighting::{CAT, DOG, Weighting};

/// Classes of CIFAR-10.
const CIFAR_CAT: u32 = 3;
const CIFAR_DOG: u32 = 5;
/// The constants that the protocol chose; the paper's are unknown.
const MEAN_AND_DEVIATION: [(f32, f32); 3] = [(0.4914, 0.247), (0.4822, 0.243), (0.4465, 0.261)];
/// Epochs after each of which the network is read.
const EARLY: usize = 5;
/// Images in a batch when nothing is trained.
const EVALUATION_BATCH: usize = 250;
/// Validation cats and dogs, of each: they choose the epoch at which early stopping would have stopped.
pub const VALIDATION: usize = 100;

/// How many predictions at the start of [`Summary::predictions`] are of images that all seeds hold out: those of the test
/// split. What `held_out` asks beyond them comes from training images that the seed did not choose.
pub fn shared(config: &Images) -> usize {
    2 * config.held_out.min(tests_of_class(config.dataset))
}

/// Images of each class in the test split.
fn tests_of_class(dataset: DatasetId) -> usize {
    if dataset == DatasetId::Cifar10Subset { 250 } else { 1000 }
}

/// One row of `epochs.csv`: evaluation mode, the larger logit wins, no weights. Fractions are shares predicted dog.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean weighted loss of the epoch's batches.
    pub loss: f64,
    /// Share of training cats that are called cats.
    pub train_accuracy_cat: f64,
    /// Share of training dogs that are called dogs.
    pub train_accuracy_dog: f64,
    /// Smallest signed logit gap of a training cat.
    pub gap_cat: f64,
    /// Smallest signed logit gap of a training dog.
    pub gap_dog: f64,
    /// Median signed logit gap of the training images.
    pub gap_median: f64,
    /// ‖θ‖.
    pub norm: f64,
    /// f on held-out cats and dogs.
    pub fraction: f64,
    /// f on held-out cats.
    pub fraction_cat: f64,
    /// f on held-out dogs.
    pub fraction_dog: f64,
    /// f on the other eight classes.
    pub fraction_other: f64,
    /// f on images of uniform noise.
    pub fraction_noise: f64,
    /// f on images that are Gaussian noise after normalisation.
    pub fraction_gaussian: f64,
    /// f on held-out cats and dogs with the norms' statistics of these images themselves; none without norms.
    pub fraction_batch_statistics: Option<f64>,
    /// Mean logit of dog minus logit of cat on held-out cats and dogs.
    pub logit_shift: f64,
    /// Weighted loss of the validation cats and dogs.
    pub validation_loss: f64,
}

impl Row {
    /// Mean of the two classes' training accuracies.
    pub fn balanced_train_accuracy(&self) -> f64 {
        (self.train_accuracy_cat + self.train_accuracy_dog) / 2.
    }

    /// Mean of the two classes' held-out accuracies.
    pub fn balanced_accuracy(&self) -> f64 {
        (1. - self.fraction_cat + self.fraction_dog) / 2.
    }
}

/// What remains of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Epochs trained.
    pub epochs: usize,
    /// The first epoch from which on all rows have every training image right.
    pub separated_at: Option<usize>,
    /// The row with the least weighted validation loss.
    pub stopped: Row,
    /// The last row.
    pub last: Row,
    /// Share predicted dog of each of the other eight classes at the end.
    pub others: Vec<f64>,
    /// Last prediction of each held-out cat and dog, `1` for dog.
    pub predictions: String,
}

/// Images of one cell, normalised.
struct Task {
    train: Tensor,
    labels: Vec<u32>,
    validation: Tensor,
    validation_labels: Vec<u32>,
    held_out: Tensor,
    held_out_labels: Vec<u32>,
    /// Class by class.
    others: Vec<Tensor>,
    noise: Tensor,
    gaussian: Tensor,
    shape: InputShape,
}

/// Means of 2 x 2 pixels, rounded.
fn halve(split: Split) -> Split {
    let Inputs::Images { pixels, channels, height, width } = split.inputs else { return split };
    let (h, w) = (height / 2, width / 2);
    let mut halved = Vec::with_capacity(pixels.len() / 4);
    for plane in pixels.chunks_exact(height * width) {
        for i in 0..h * w {
            let at = |dy: usize, dx: usize| u32::from(plane[(2 * (i / w) + dy) * width + 2 * (i % w) + dx]);
            halved.push(((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4) as u8);
        }
    }
    Split { inputs: Inputs::Images { pixels: halved, channels, height: h, width: w }, labels: split.labels }
}

impl Task {
    /// The training cats of one seed are the same whatever the counts, ratio or architecture; fewer are part of more.
    fn new(config: &Images, data: &Dataset, seed: Seed, device: &Device) -> Result<Self, CellError> {
        let normalisation = Normalisation::PerChannel(MEAN_AND_DEVIATION.to_vec());
        let tensor = |split: Split| -> Result<Tensor, CellError> {
            let split = if config.halved { halve(split) } else { split };
            let all: Vec<u32> = (0..split.len() as u32).collect();
            Ok(split.batch(&all, &normalisation, device)?)
        };
        let members = |split: &Split, class: u32| -> Vec<u32> {
            (0..split.len() as u32).filter(|&i| split.labels[i as usize] == class).collect()
        };
        let (mut train, mut labels) = (vec![], vec![]);
        let (mut validation, mut test, mut more) = (vec![], vec![], vec![]);
        for (label, class) in [(CAT, CIFAR_CAT), (DOG, CIFAR_DOG)] {
            let pool = members(&data.train, class);
            let shuffled: Vec<u32> = order(pool.len(), seed.derive("choice"), u64::from(label))
                .into_iter()
                .map(|i| pool[i as usize])
                .collect();
            let (count, tests) = (config.counts[label as usize], members(&data.test, class));
            // What the test split lacks comes from training images used for nothing else.
            let lacking = config.held_out.saturating_sub(tests.len());
            if count + VALIDATION + lacking > shuffled.len() || count * config.copies[label as usize] == 0 {
                return Err(CellError::other(format!(
                    "{}: {} images of class {class} do not hold {count} for training, {VALIDATION} for validation and \
                     {lacking} held out; lower `counts` or `held_out`",
                    data.name,
                    shuffled.len()
                )));
            }
            for _ in 0..config.copies[label as usize] {
                train.extend(&shuffled[..count]);
                labels.extend(vec![label; count]);
            }
            // From the far end, so that they do not depend on the counts.
            let (rest, chosen) = shuffled.split_at(shuffled.len() - VALIDATION);
            validation.extend(chosen);
            test.extend(tests.iter().take(config.held_out));
            more.extend(&rest[rest.len() - lacking..]);
        }
        let of_both = |n: usize| [vec![CAT; n / 2], vec![DOG; n / 2]].concat();
        let held_out_labels = [of_both(test.len()), of_both(more.len())].concat();
        let held_out = data.test.select(&test).followed_by(&data.train.select(&more));
        let other = |class: u32| {
            let chosen: Vec<u32> = members(&data.test, class).into_iter().take(config.others).collect();
            tensor(data.test.select(&chosen))
        };
        let others =
            (0..10).filter(|class| ![CIFAR_CAT, CIFAR_DOG].contains(class)).map(other).collect::<Result<_, _>>()?;
        let held_out = tensor(held_out)?;
        let dims = [&[config.noise], &held_out.dims()[1..]].concat();
        let count: usize = dims.iter().product();
        // The same noise images in every cell.
        let mut stream = Seed(0).stream("noise-images");
        let uniform = (0..count).map(|i| {
            let (mean, deviation) = MEAN_AND_DEVIATION[i % 3];
            (stream.random::<f32>() - mean) / deviation
        });
        let noise = Tensor::from_vec(uniform.collect::<Vec<f32>>(), &dims[..], device)?;
        let mut stream = Seed(0).stream("gaussian-images");
        let normal: Vec<f32> = (0..count).map(|_| StandardNormal.sample(&mut stream)).collect();
        let gaussian = Tensor::from_vec(normal, &dims[..], device)?;
        let (_, height, width, channels) = held_out.dims4()?;
        Ok(Self {
            train: tensor(data.train.select(&train))?,
            validation_labels: of_both(validation.len()),
            validation: tensor(data.train.select(&validation))?,
            labels,
            held_out,
            held_out_labels,
            others,
            noise,
            gaussian,
            shape: InputShape::Image { height, width, channels },
        })
    }
}

/// Logit of dog minus logit of cat of every image.
fn gaps(model: &Model, images: &Tensor, graph: fn() -> Graph) -> Result<Vec<f32>, CellError> {
    let mut gaps = vec![];
    let n = images.dim(0)?;
    for start in (0..n).step_by(EVALUATION_BATCH) {
        let x = images.narrow(0, start, EVALUATION_BATCH.min(n - start))?.contiguous()?;
        let logits = model.forward(&mut graph(), &x)?.tensor().to_vec2::<f32>()?;
        gaps.extend(logits.iter().map(|z| z[DOG as usize] - z[CAT as usize]));
    }
    Ok(gaps)
}

/// Share of positive gaps; 0 where there are no images.
fn share(gaps: &[f32]) -> f64 {
    gaps.iter().filter(|&&gap| gap > 0.).count() as f64 / gaps.len().max(1) as f64
}

/// Gaps signed so that right is positive.
fn signed(gaps: &[f32], labels: &[u32]) -> Vec<f64> {
    gaps.iter().zip(labels).map(|(&gap, &y)| if y == DOG { f64::from(gap) } else { -f64::from(gap) }).collect()
}

fn of_class<T: Copy>(values: &[T], labels: &[u32], class: u32) -> Vec<T> {
    values.iter().zip(labels).filter(|(_, y)| **y == class).map(|(v, _)| *v).collect()
}

/// A network in training, with its images.
pub struct Learner<'a> {
    config: &'a Images,
    task: Task,
    weighting: Weighting,
    model: Model,
    optimiser: Optimiser,
    seed: Seed,
}

impl<'a> Learner<'a> {
    /// A fresh network.
    pub fn new(config: &'a Images, data: &Dataset, seed: Seed, device: &Device) -> Result<Self, CellError> {
        let task = Task::new(config, data, seed, device)?;
        let counts = [0, 1].map(|class| config.counts[class] * config.copies[class]);
        let model = config.architecture.build(&task.shape, 2, seed, device)?;
        let optimiser = Optimiser::new(OptimiserConfig::sgd(config.momentum, config.lambda));
        let weighting = Weighting::new(config.ratio, config.convention, counts);
        Ok(Self { config, task, weighting, model, optimiser, seed })
    }

    /// Gaps and labels of the validation images.
    pub fn validation_gaps(&self) -> Result<(Vec<f32>, &[u32]), CellError> {
        Ok((gaps(&self.model, &self.task.validation, Graph::inference)?, &self.task.validation_labels))
    }

    /// One pass over the training images in a fresh random order; the mean weighted loss of its batches.
    pub fn epoch(&mut self, epoch: usize) -> Result<f64, CellError> {
        let time = epoch as u64;
        let mut dropout = self.seed.stream_at("dropout", time);
        let (mut total, mut steps) = (0., 0);
        let device = self.model.device.clone();
        for batch in order(self.task.labels.len(), self.seed, time).chunks(self.config.batch) {
            let labels: Vec<u32> = batch.iter().map(|&i| self.task.labels[i as usize]).collect();
            let x = self.task.train.index_select(&Tensor::new(batch, &device)?, 0)?;
            let mut graph = Graph::training().with_dropout(ChaCha8Rng::from_rng(&mut dropout));
            let logits = self.model.forward(&mut graph, &x)?;
            let z = logits.tensor().to_vec2::<f32>()?;
            // Σ c ℓ(v), v the signed gap: its gradient at the two logits in closed form.
            let (mut loss, mut gradient) = (0., Vec::with_capacity(2 * labels.len()));
            for ((z, &y), c) in z.iter().zip(&labels).zip(self.weighting.coefficients(&labels)) {
                let sign = if y == DOG { 1. } else { -1. };
                let (value, slope) = self.config.loss.at(sign * (f64::from(z[1]) - f64::from(z[0])));
                loss += c * value;
                let slope = (c * sign * slope) as f32;
                gradient.extend([-slope, slope]);
            }
            if !loss.is_finite() {
                let step = (epoch * self.task.labels.len().div_ceil(self.config.batch) + steps) as u64;
                return Err(CellError::Diverged { step, what: format!("the loss is {loss}") });
            }
            let gradient = Tensor::from_vec(gradient, (labels.len(), 2), &device)?;
            let gradients = graph.backward_from(&logits, &gradient)?;
            self.optimiser.step(&self.model.parameters, &gradients, self.config.rate)?;
            total += loss;
            steps += 1;
        }
        Ok(total / steps as f64)
    }

    fn read(&self, epoch: usize, loss: f64) -> Result<Row, CellError> {
        let (model, task) = (&self.model, &self.task);
        let train = signed(&gaps(model, &task.train, Graph::inference)?, &task.labels);
        let accuracy = |class: u32| {
            let of = of_class(&train, &task.labels, class);
            (
                of.iter().filter(|&&v| v > 0.).count() as f64 / of.len() as f64,
                of.into_iter().fold(f64::INFINITY, f64::min),
            )
        };
        let ((train_accuracy_cat, gap_cat), (train_accuracy_dog, gap_dog)) = (accuracy(CAT), accuracy(DOG));
        let held_out = gaps(model, &task.held_out, Graph::inference)?;
        let validation = signed(&gaps(model, &task.validation, Graph::inference)?, &task.validation_labels);
        let losses: Vec<f32> = validation.iter().map(|&v| self.config.loss.at(v).0 as f32).collect();
        let mut others = vec![];
        for images in &task.others {
            others.extend(gaps(model, images, Graph::inference)?);
        }
        let mut squares = 0.;
        for parameter in model.parameters.trainable.values() {
            squares += f64::from(parameter.var.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let mixed = || Graph::training().with_batch_statistics().without_gradients();
        let fraction_batch_statistics = match has_norm(&self.config.architecture) {
            // Batches of both classes: cats and dogs stand one after the other in the tensor.
            true => Some(share(&gaps(model, &interleave(&task.held_out, &task.held_out_labels)?, mixed)?)),
            false => None,
        };
        Ok(Row {
            epoch,
            loss,
            train_accuracy_cat,
            train_accuracy_dog,
            gap_cat,
            gap_dog,
            gap_median: retrial_core::stats::quantile(&train, 0.5).map_err(CellError::other)?,
            norm: squares.sqrt(),
            fraction: share(&held_out),
            fraction_cat: share(&of_class(&held_out, &task.held_out_labels, CAT)),
            fraction_dog: share(&of_class(&held_out, &task.held_out_labels, DOG)),
            fraction_other: share(&others),
            fraction_noise: share(&gaps(model, &task.noise, Graph::inference)?),
            fraction_gaussian: share(&gaps(model, &task.gaussian, Graph::inference)?),
            fraction_batch_statistics,
            logit_shift: held_out.iter().map(|&g| f64::from(g)).sum::<f64>() / held_out.len() as f64,
            validation_loss: self.weighting.weighted_mean(&task.validation_labels, &losses),
        })
    }
}

/// Gaps of the held-out cats, and of the held-out dogs.
pub fn gaps_of_held_out(learner: &Learner) -> Result<[Vec<f32>; 2], CellError> {
    let all = gaps(&learner.model, &learner.task.held_out, Graph::inference)?;
    Ok([CAT, DOG].map(|class| of_class(&all, &learner.task.held_out_labels, class)))
}

fn has_norm(architecture: &Architecture) -> bool {
    use Architecture::{PreActResNet18, SmallCnn, TwoStageCnn};
    matches!(architecture, SmallCnn { .. } | TwoStageCnn { norm: true, .. } | PreActResNet18 { .. })
}

/// The images in an order in which cats and dogs alternate.
fn interleave(images: &Tensor, labels: &[u32]) -> Result<Tensor, CellError> {
    let all: Vec<u32> = (0..labels.len() as u32).collect();
    let (cats, dogs) = (of_class(&all, labels, CAT), of_class(&all, labels, DOG));
    let mixed: Vec<u32> = cats.into_iter().zip(dogs).flat_map(|(c, d)| [c, d]).collect();
    Ok(images.index_select(&Tensor::new(mixed, images.device())?, 0)?)
}

/// Whether the network is read after this epoch.
fn is_read(config: &Images, epoch: usize) -> bool {
    epoch <= EARLY || epoch.is_multiple_of(config.every) || epoch == config.epochs
}

/// What training carries from epoch to epoch beside the weights.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SoFar {
    separated_at: Option<usize>,
    stopped: Option<Row>,
    last: Option<Row>,
}

/// Trains and reads one network.
pub fn train(config: &Images, run: &mut CellRun) -> Result<Summary, CellError> {
    if config.every == 0 || config.batch == 0 || config.epochs == 0 {
        return Err(CellError::other("`every`, `batch` and `epochs` must be at least 1"));
    }
    let (seed, device) = (Seed(config.seed), run.device().clone());
    let data = run.dataset(config.dataset)?;
    let mut learner = Learner::new(config, &data, seed, &device)?;

    let (mut done, mut so_far) = (0, SoFar::default());
    if let Some(saved) = run.resume()? {
        let saved = Checkpoint::from_bytes(&saved).map_err(CellError::other)?;
        done = saved.restore(&learner.model, &mut learner.optimiser).map_err(CellError::other)? as usize;
        so_far = serde_json::from_value(saved.extra().clone()).map_err(CellError::other)?;
    }
    run.expect_epochs((1..=config.epochs).filter(|&e| is_read(config, e)).count());
    while done < config.epochs {
        let loss = learner.epoch(done)?;
        done += 1;
        if is_read(config, done) {
            let row = learner.read(done, loss)?;
            run.epoch(&row)?;
            let separated = row.train_accuracy_cat == 1. && row.train_accuracy_dog == 1.;
            so_far.separated_at = separated.then(|| so_far.separated_at.unwrap_or(done));
            if so_far.stopped.as_ref().is_none_or(|best| row.validation_loss < best.validation_loss) {
                so_far.stopped = Some(row.clone());
            }
            so_far.last = Some(row);
        }
        if run.checkpoint_due() {
            let extra = serde_json::to_value(&so_far).map_err(CellError::other)?;
            let saved = Checkpoint::capture(done as u64, &learner.model, &learner.optimiser, extra);
            run.save_checkpoint(&saved.and_then(|saved| saved.to_bytes()).map_err(CellError::other)?)?;
        }
    }
    let held_out = gaps(&learner.model, &learner.task.held_out, Graph::inference)?;
    let mut others = vec![];
    for images in &learner.task.others {
        others.push(share(&gaps(&learner.model, images, Graph::inference)?));
    }
    let (Some(stopped), Some(last)) = (so_far.stopped, so_far.last) else {
        return Err(CellError::other("the last epoch was not read"));
    };
    Ok(Summary {
        epochs: done,
        separated_at: so_far.separated_at,
        stopped,
        last,
        others,
        predictions: held_out.iter().map(|&gap| if gap > 0. { '1' } else { '0' }).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_takes_means_of_four() {
        let pixels = vec![0, 4, 8, 8, 2, 2, 8, 9, 255, 255, 0, 0, 255, 255, 0, 1];
        let split = Split { inputs: Inputs::Images { pixels, channels: 1, height: 4, width: 4 }, labels: vec![0] };
        let Inputs::Images { pixels, height, .. } = halve(split).inputs else { unreachable!() };
        assert_eq!((pixels, height), (vec![2, 8, 255, 0], 2));
    }

    #[test]
    fn shares_and_signs() {
        let gaps = [2., -1., 3., -4.];
        let labels = [DOG, CAT, CAT, DOG];
        assert_eq!(share(&gaps), 0.5);
        assert_eq!(signed(&gaps, &labels), [2., 1., -3., -4.]);
        assert_eq!(of_class(&gaps, &labels, CAT), [-1., 3.]);
    }

    /// The shared images come first: cats and dogs of the test split, then what each seed adds.
    #[test]
    fn seeds_share_the_first_held_out_images() {
        let data = Dataset::load(DatasetId::Cifar10Subset, None).unwrap();
        let of_class = |class: u32| data.test.labels.iter().filter(|&&y| y == class).count();
        assert_eq!([CIFAR_CAT, CIFAR_DOG].map(of_class), [tests_of_class(DatasetId::Cifar10Subset); 2]);
        let config = Images { held_out: 260, counts: [8; 2], others: 1, noise: 1, ..crate::readings::made::images() };
        let task = |seed: u64| Task::new(&config, &data, Seed(seed), &Device::Cpu).unwrap();
        let (a, b) = (task(0), task(1));
        let rows = |task: &Task, from: usize, count: usize| -> Vec<f32> {
            task.held_out.narrow(0, from, count).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let n = shared(&config);
        assert_eq!(n, 500);
        assert_eq!(rows(&a, 0, n), rows(&b, 0, n));
        assert_ne!(rows(&a, n, 10), rows(&b, n, 10));
        assert_eq!(a.held_out_labels[..n].iter().sum::<u32>(), 250);
    }
}
