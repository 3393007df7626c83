//! Samples with noisy labels: what every study of this paper trains and reads on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use retrial_core::Seed;
use retrial_core::data::{Augmentation, Dataset, DatasetId, Gaussians, Inputs, Normalisation, Split};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::InputShape;
use retrial_core::noise::{NoisyLabels, TransitionMatrix, corrupt, corrupt_low_margins};

use crate::config::{Noise, Source, TaskConfig};

/// Samples of a task with true and given labels.
pub struct Part {
    /// Inputs and true labels.
    pub split: Split,
    /// Labels as given, beside the mask of wrong ones.
    pub noisy: NoisyLabels,
}

impl Part {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.split.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every sample's index.
    pub fn indices(&self) -> Vec<u32> {
        (0..self.len() as u32).collect()
    }

    /// True classes.
    pub fn truth(&self) -> &[u32] {
        &self.split.labels
    }

    /// Given labels.
    pub fn given(&self) -> &[u32] {
        &self.noisy.given
    }
}

/// Training, validation and held-out samples, disjoint, each with an independent draw of the same noise.
pub struct Task {
    /// What networks are trained on.
    pub train: Part,
    /// Chooses the best epoch by its noisy labels. May be empty.
    pub validation: Part,
    /// What predictions are read on, against both true and given labels.
    pub held_out: Part,
    /// Number of classes c.
    pub classes: usize,
    /// Shape of one input.
    pub shape: InputShape,
    /// How labels are drawn, in words.
    pub convention: String,
    /// The matrix T that labels were drawn from; none where noise depends on the input.
    pub matrix: Option<TransitionMatrix>,
    normalisation: Normalisation,
}

impl Task {
    /// Draws the samples and their labels of one seed. The same seed gives the same samples at every noise level, and
    /// nested flips.
    pub fn new(config: &TaskConfig, noise: &Noise, level: f64, seed: Seed, run: &CellRun) -> Result<Self, CellError> {
        let data = source(&config.source, config, seed, run)?;
        let per_class = seed.stream("subset");
        let order = balanced_order(&data.train.labels, data.classes, per_class);
        let needed = config.train + config.validation;
        let spare = config.held_out.saturating_sub(data.test.len());
        if order.len() < needed + spare {
            return Err(CellError::Other(format!(
                "the task asks for {needed} training and {} held-out samples, but {} has {} and {}",
                config.held_out,
                data.name,
                order.len(),
                data.test.len()
            )));
        }
        let train = data.train.select(&order[..config.train]);
        let validation = data.train.select(&order[config.train..needed]);
        let from_test: Vec<u32> = (0..config.held_out.min(data.test.len()) as u32).collect();
        let held_out = data.test.select(&from_test).followed_by(&data.train.select(&order[needed..needed + spare]));

        let means = matches!(noise, Noise::LowMargin).then(|| class_means(&train, data.classes));
        let label = |split: Split, usage: &str| -> Result<Part, CellError> {
            let noisy = match noise {
                Noise::Class(kind) => corrupt(&split.labels, kind, level, data.classes, seed, usage),
                Noise::LowMargin => {
                    let margins = margins(&split, means.as_deref().unwrap_or_default());
                    corrupt_low_margins(&split.labels, &margins, level, data.classes, seed, usage)
                }
            };
            let noisy = noisy.map_err(CellError::other)?;
            Ok(Part { split, noisy })
        };
        let matrix = match noise {
            Noise::Class(kind) => Some(kind.matrix(data.classes, level).map_err(CellError::other)?),
            Noise::LowMargin => None,
        };
        let convention = match noise {
            Noise::Class(kind) => kind.convention().to_string(),
            Noise::LowMargin => "lowest margins flipped to any other class".to_string(),
        };
        Ok(Self {
            convention,
            train: label(train, "train")?,
            validation: label(validation, "validation")?,
            held_out: label(held_out, "held-out")?,
            classes: data.classes,
            shape: InputShape::from(&data.train.inputs),
            matrix,
            normalisation: match config.source {
                Source::UnitImages(_) => Normalisation::UnitInterval,
                _ => data.normalisation.clone(),
            },
        })
    }

    /// A batch for training.
    pub fn batch(
        &self,
        split: &Split,
        indices: &[u32],
        augmentation: &Augmentation,
        stream: &mut ChaCha8Rng,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        split.augmented_batch(indices, &self.normalisation, *augmentation, stream, device)
    }

    /// A batch of inputs as they are.
    pub fn plain_batch(&self, split: &Split, indices: &[u32], device: &Device) -> candle_core::Result<Tensor> {
        split.batch(indices, &self.normalisation, device)
    }
}

/// Class-balanced random order: any prefix holds each class as evenly as it can.
fn balanced_order(labels: &[u32], classes: usize, mut stream: ChaCha8Rng) -> Vec<u32> {
    let mut by_class: Vec<Vec<u32>> = vec![vec![]; classes];
    for (i, &label) in labels.iter().enumerate() {
        by_class[label as usize].push(i as u32);
    }
    for members in &mut by_class {
        members.shuffle(&mut stream);
    }
    let longest = by_class.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|rank| by_class.iter().filter_map(move |members| members.get(rank).copied())).collect()
}

/// Data sets reduced to so many components.
type Reduced = HashMap<(DatasetId, usize), Arc<Dataset>>;

/// The data set that a task draws from. Principal components are the same for every seed and computed once.
fn source(source: &Source, config: &TaskConfig, seed: Seed, run: &CellRun) -> Result<Arc<Dataset>, CellError> {
    static COMPONENTS: Mutex<Option<Reduced>> = Mutex::new(None);
    match *source {
        Source::Images(id) | Source::UnitImages(id) => run.dataset(id),
        Source::Gaussians { bayes_accuracy } => {
            let train = config.train + config.validation;
            let task = Gaussians { classes: 10, dim: 20, separation: 1., train, test: config.held_out };
            Ok(Arc::new(task.with_bayes_accuracy(bayes_accuracy)?.dataset(seed)?))
        }
        Source::Pca { dataset, components } => {
            let mut known = COMPONENTS.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get_or_insert_default();
            if let Some(data) = known.get(&(dataset, components)) {
                return Ok(data.clone());
            }
            let data = Arc::new(run.dataset(dataset)?.reduced(components)?);
            known.insert((dataset, components), data.clone());
            Ok(data)
        }
    }
}

/// Mean input of each class, by true label.
fn class_means(split: &Split, classes: usize) -> Vec<Vec<f64>> {
    let size = InputShape::from(&split.inputs).elements();
    let (mut means, mut counts) = (vec![vec![0f64; size]; classes], vec![0usize; classes]);
    for (i, &label) in split.labels.iter().enumerate() {
        counts[label as usize] += 1;
        for (mean, value) in means[label as usize].iter_mut().zip(values(split, i, size)) {
            *mean += value;
        }
    }
    for (mean, count) in means.iter_mut().zip(counts) {
        mean.iter_mut().for_each(|m| *m /= count.max(1) as f64);
    }
    means
}

/// The numbers of one sample.
fn values(split: &Split, i: usize, size: usize) -> Box<dyn Iterator<Item = f64> + '_> {
    let range = i * size..(i + 1) * size;
    match &split.inputs {
        Inputs::Images { pixels, .. } => Box::new(pixels[range].iter().map(|&p| f64::from(p) / 255.)),
        Inputs::Vectors { values, .. } => Box::new(values[range].iter().map(|&v| f64::from(v))),
    }
}

/// How much farther each sample lies from the nearest other class's mean than from that of its own class.
fn margins(split: &Split, means: &[Vec<f64>]) -> Vec<f64> {
    let size = InputShape::from(&split.inputs).elements();
    let distance = |i: usize, mean: &[f64]| -> f64 {
        values(split, i, size).zip(mean).map(|(v, m)| (v - m) * (v - m)).sum::<f64>().sqrt()
    };
    let margin = |(i, &own): (usize, &u32)| {
        let others = means.iter().enumerate().filter(|(class, _)| *class != own as usize);
        let nearest = others.map(|(_, mean)| distance(i, mean)).fold(f64::INFINITY, f64::min);
        nearest - distance(i, &means[own as usize])
    };
    split.labels.iter().enumerate().map(margin).collect()
}
