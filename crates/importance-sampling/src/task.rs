//! Samples as this paper's runs see them.

use candle_core::{Device, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use retrial_core::Seed;
use retrial_core::data::{Augmentation, DatasetId, Inputs, Normalisation, Split};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::InputShape;

use crate::config::TaskConfig;

/// Training and test samples.
pub struct Task {
    /// What is trained on; its labels may be noisy.
    pub train: Split,
    /// What is never trained on.
    pub test: Split,
    /// Number of classes.
    pub classes: usize,
    /// Shape of an input.
    pub shape: InputShape,
    normalisation: Normalisation,
    augmentation: Augmentation,
}

impl Task {
    /// The samples of one seed.
    pub fn new(config: &TaskConfig, seed: Seed, run: &CellRun) -> Result<Self, CellError> {
        let data = run.dataset(config.source)?;
        let (mut train, mut test, mut classes) = (data.train.clone(), data.test.clone(), data.classes);
        if let Some((from, to)) = config.classes {
            if from >= to || to as usize > classes {
                return Err(CellError::other(format!("classes {from}..{to} of a data set with {classes}")));
            }
            (train, test) = (of_classes(&train, from, to), of_classes(&test, from, to));
            classes = (to - from) as usize;
        }
        let mut train = if config.train == train.len() {
            train
        } else {
            train.select(&train.balanced_subset(config.train, seed).map_err(CellError::Data)?)
        };
        let first: Vec<u32> = (0..config.test.min(test.len()) as u32).collect();
        let mut test = test.select(&first);
        if config.shrink != 1 {
            (train, test) = (shrink(&train, config.shrink)?, shrink(&test, config.shrink)?);
        }
        if config.permuted {
            // One order for all seeds.
            let mut order: Vec<usize> = (0..InputShape::from(&train.inputs).elements()).collect();
            order.shuffle(&mut Seed(0).stream("pixels"));
            permute(&mut train, &order);
            permute(&mut test, &order);
        }
        if config.label_noise > 0. {
            let mut stream = seed.stream("noise");
            for label in &mut train.labels {
                let (u, shift) = (stream.random::<f64>(), stream.random_range(1..classes as u32));
                if u < config.label_noise {
                    *label = (*label + shift) % classes as u32;
                }
            }
        }
        if config.copies > 0 {
            let copies = train.select(&vec![0; config.copies]);
            train = train.followed_by(&copies);
        }
        let digits = matches!(config.source, DatasetId::Mnist | DatasetId::FashionMnist);
        Ok(Self {
            shape: InputShape::from(&train.inputs),
            normalisation: if digits { Normalisation::UnitInterval } else { data.normalisation.clone() },
            augmentation: config.augmentation,
            train,
            test,
            classes,
        })
    }

    /// Given samples as they are, in training and test, for tests of what uses them.
    #[cfg(test)]
    pub fn of(samples: Split, classes: usize) -> Self {
        Self {
            shape: InputShape::from(&samples.inputs),
            normalisation: Normalisation::UnitInterval,
            augmentation: Augmentation::NONE,
            test: samples.clone(),
            train: samples,
            classes,
        }
    }

    /// Training images as update `time` sees them. Of one seed and time, a shorter list of indices gives the same first
    /// images.
    pub fn batch(&self, indices: &[u32], seed: Seed, time: u64, device: &Device) -> candle_core::Result<Tensor> {
        let stream = &mut seed.stream_at("augment", time);
        self.train.augmented_batch(indices, &self.normalisation, self.augmentation, stream, device)
    }

    /// Images of a split as they are.
    pub fn plain(&self, split: &Split, indices: &[u32], device: &Device) -> candle_core::Result<Tensor> {
        split.batch(indices, &self.normalisation, device)
    }

    /// Labels of training samples.
    pub fn labels(&self, indices: &[u32]) -> Vec<u32> {
        indices.iter().map(|&i| self.train.labels[i as usize]).collect()
    }
}

fn of_classes(split: &Split, from: u32, to: u32) -> Split {
    let inside = |i: &u32| (from..to).contains(&split.labels[*i as usize]);
    let kept: Vec<u32> = (0..split.len() as u32).filter(inside).collect();
    let mut split = split.select(&kept);
    split.labels.iter_mut().for_each(|label| *label -= from);
    split
}

/// Averages blocks of `factor` x `factor` pixels.
fn shrink(split: &Split, factor: usize) -> Result<Split, CellError> {
    let Inputs::Images { pixels, channels, height, width } = &split.inputs else {
        return Err(CellError::other("only images can be shrunk"));
    };
    if factor == 0 || height % factor != 0 || width % factor != 0 {
        return Err(CellError::other(format!("images of {height} x {width} pixels cannot be shrunk by {factor}")));
    }
    let (h, w, area) = (height / factor, width / factor, (factor * factor) as u32);
    let mut small = Vec::with_capacity(split.len() * channels * h * w);
    for plane in pixels.chunks_exact(height * width) {
        for y in 0..h {
            for x in 0..w {
                let block = (0..factor).flat_map(|i| {
                    plane[(y * factor + i) * width + x * factor..][..factor].iter().map(|&p| u32::from(p))
                });
                small.push(((block.sum::<u32>() + area / 2) / area) as u8);
            }
        }
    }
    let inputs = Inputs::Images { pixels: small, channels: *channels, height: h, width: w };
    Ok(Split { inputs, labels: split.labels.clone() })
}

fn permute(split: &mut Split, order: &[usize]) {
    if let Inputs::Images { pixels, .. } = &mut split.inputs {
        for image in pixels.chunks_exact_mut(order.len()) {
            let before = image.to_vec();
            for (out, &from) in image.iter_mut().zip(order) {
                *out = before[from];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_averages_blocks_and_permuting_moves_pixels() {
        let inputs = Inputs::Images { pixels: vec![0, 4, 8, 8, 2, 3, 8, 9], channels: 1, height: 2, width: 4 };
        let mut split = Split { inputs, labels: vec![0] };
        let small = shrink(&split, 2).unwrap();
        assert_eq!(small.inputs, Inputs::Images { pixels: vec![2, 8], channels: 1, height: 1, width: 2 });
        assert!(shrink(&split, 3).unwrap_err().to_string().contains("2 x 4"));
        permute(&mut split, &[7, 6, 5, 4, 3, 2, 1, 0]);
        let Inputs::Images { pixels, .. } = split.inputs else { unreachable!() };
        assert_eq!(pixels, [9, 8, 3, 2, 8, 8, 4, 0]);
    }

    #[test]
    fn classes_are_cut_out_and_renumbered() {
        let split =
            Split { inputs: Inputs::Vectors { values: vec![0., 1., 2., 3.], dim: 1 }, labels: vec![5, 0, 6, 7] };
        let part = of_classes(&split, 5, 7);
        assert_eq!(part.labels, [0, 1]);
        assert_eq!(part.inputs, Inputs::Vectors { values: vec![0., 2.], dim: 1 });
    }
}
