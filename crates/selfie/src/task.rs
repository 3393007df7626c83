//! Samples with noisy labels: what every method of this paper trains and is tested on.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use rand::RngExt;
use retrial_core::Seed;
use retrial_core::data::{Dataset, FolderSet, Inputs, Normalisation, Split, order};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::InputShape;
use retrial_core::noise::{NoisyLabels, corrupt};

use crate::config::{Config, Draw, Source, TaskConfig};

/// Training samples with given labels beside the true ones, and samples with true labels to judge by.
pub struct Task {
    /// What is trained on.
    pub train: Split,
    /// Its labels.
    pub noisy: NoisyLabels,
    /// Chooses an epoch; may be empty.
    pub validation: Split,
    /// What errors are measured on.
    pub test: Split,
    /// k.
    pub classes: usize,
    /// Shape of one input.
    pub shape: InputShape,
}

impl Task {
    /// Draws the samples and their labels of one seed: the same for every method, and nested flips over noise rates.
    pub fn new(config: &Config, run: &CellRun) -> Result<Self, CellError> {
        let TaskConfig { source, train, validation, test, halved } = config.task;
        let seed = Seed(config.seed);
        let data = dataset(source, run)?;
        let balanced = |split: &Split, count: usize, usage: &str| -> Result<Vec<u32>, CellError> {
            match count {
                0 => Ok((0..split.len() as u32).collect()),
                count => Ok(split.balanced_subset(count, seed.derive(usage))?),
            }
        };
        let chosen = balanced(&data.train, train, "train")?;
        let rest = match validation {
            0 => vec![],
            _ => {
                let mut free = vec![true; data.train.len()];
                chosen.iter().for_each(|&i| free[i as usize] = false);
                let free: Vec<u32> = (0..data.train.len() as u32).filter(|&i| free[i as usize]).collect();
                let rest = data.train.select(&free).balanced_subset(validation, seed.derive("validation"))?;
                rest.into_iter().map(|i| free[i as usize]).collect()
            }
        };
        let take = |split: &Split, indices: &[u32]| {
            let split = split.select(indices);
            if halved { halve(&split) } else { split }
        };
        let train = take(&data.train, &chosen);
        // The same test images for every seed.
        let tested = match test {
            0 => (0..data.test.len() as u32).collect(),
            count => data.test.balanced_subset(count, Seed(0))?,
        };
        let noisy = corrupt(&train.labels, &config.noise, config.level, data.classes, seed, "train");
        Ok(Self {
            noisy: noisy.map_err(CellError::other)?,
            validation: take(&data.train, &rest),
            test: take(&data.test, &tested),
            classes: data.classes,
            shape: InputShape::from(&train.inputs),
            train,
        })
    }

    /// N.
    pub fn len(&self) -> usize {
        self.train.len()
    }

    /// Whether there is nothing to train on.
    pub fn is_empty(&self) -> bool {
        self.train.is_empty()
    }

    /// Given labels of samples.
    pub fn given(&self, samples: &[u32]) -> Vec<u32> {
        samples.iter().map(|&x| self.noisy.given[x as usize]).collect()
    }
}

/// Inputs of samples, each image standardised by itself.
pub fn batch(split: &Split, samples: &[u32], device: &Device) -> candle_core::Result<Tensor> {
    split.batch(samples, &Normalisation::PerImage, device)
}

/// Data sets read from folders.
type Known = HashMap<(FolderSet, PathBuf), Arc<Dataset>>;

fn dataset(source: Source, run: &CellRun) -> Result<Arc<Dataset>, CellError> {
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    match source {
        Source::Images(id) => run.dataset(id),
        Source::Folder(set) => {
            let Some(folder) = run.data_folder() else {
                let problem = "is not ours to fetch: name the folder that holds it with --data DIR";
                return Err(CellError::Other(format!("{} {problem}", set.folder())));
            };
            let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get_or_insert_default();
            let key = (set, folder.to_path_buf());
            if let Some(data) = known.get(&key) {
                return Ok(data.clone());
            }
            let data = Arc::new(set.load(folder)?);
            known.insert(key, data.clone());
            Ok(data)
        }
    }
}

/// Images of half the height and width: each 2 x 2 pixels averaged, to the nearest.
fn halve(split: &Split) -> Split {
    let Inputs::Images { pixels, channels, height, width } = &split.inputs else { return split.clone() };
    let (h, w) = (height / 2, width / 2);
    let mut halved = Vec::with_capacity(pixels.len() / 4);
    for plane in pixels.chunks_exact(height * width) {
        for y in 0..h {
            for x in 0..w {
                let at = |dy: usize, dx: usize| u32::from(plane[(2 * y + dy) * width + 2 * x + dx]);
                halved.push(((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    let inputs = Inputs::Images { pixels: halved, channels: *channels, height: h, width: w };
    Split { inputs, labels: split.labels.clone() }
}

/// The batches of one epoch: ceil(n / size) of them.
pub fn batches(draw: Draw, n: usize, size: usize, seed: Seed, epoch: usize) -> Vec<Vec<u32>> {
    let size = size.min(n);
    match draw {
        Draw::Shuffled => order(n, seed, epoch as u64).chunks(size).map(<[u32]>::to_vec).collect(),
        Draw::Independent => {
            let mut stream = seed.stream_at("draw", epoch as u64);
            let mut pool: Vec<u32> = (0..n as u32).collect();
            (0..n.div_ceil(size))
                .map(|_| {
                    // A partial shuffle: whatever the order of the pool, its first part is a uniform draw.
                    for i in 0..size {
                        let j = i + ((u64::from(stream.random::<u32>()) * (n - i) as u64) >> 32) as usize;
                        pool.swap(i, j);
                    }
                    pool[..size].to_vec()
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_averages_squares() {
        let pixels = vec![1, 2, 10, 10, 3, 4, 10, 11, 0, 0, 0, 0, 0, 255, 0, 0];
        let inputs = Inputs::Images { pixels, channels: 1, height: 4, width: 4 };
        let halved = halve(&Split { inputs, labels: vec![7] });
        let expected = Inputs::Images { pixels: vec![3, 10, 64, 0], channels: 1, height: 2, width: 2 };
        assert_eq!(halved, Split { inputs: expected, labels: vec![7] });
    }

    /// Of 200 samples in batches of 32, an epoch has 7 of them; over 300 epochs each sample comes as often as any other.
    #[test]
    fn independent_batches_are_uniform_and_leave_samples_out() {
        let (n, size, epochs) = (200, 32, 300);
        let mut visits = vec![0u32; n];
        let mut missed = 0;
        for epoch in 0..epochs {
            let batches = batches(Draw::Independent, n, size, Seed(3), epoch);
            assert_eq!(batches.len(), 7);
            let mut seen = vec![false; n];
            for batch in &batches {
                let mut distinct = batch.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), size, "a batch holds no sample twice");
                for &x in batch {
                    visits[x as usize] += 1;
                    seen[x as usize] = true;
                }
            }
            missed += seen.iter().filter(|s| !**s).count();
        }
        // (1 - 32 / 200)^7 = 0.2951.
        assert!((missed as f64 / (n * epochs) as f64 - 0.2951).abs() < 0.01);
        let expected = (7 * size * epochs) as f64 / n as f64;
        let chi2: f64 = visits.iter().map(|&v| (f64::from(v) - expected).powi(2) / expected).sum();
        assert!(chi2 < 270., "{chi2} with 199 degrees of freedom");
        assert_eq!(batches(Draw::Independent, n, size, Seed(3), 5), batches(Draw::Independent, n, size, Seed(3), 5));
        let shuffled = batches(Draw::Shuffled, n, size, Seed(3), 0).concat();
        assert_eq!(shuffled.len(), n);
    }
}
