//! Training and test images of a cell, at the side the config asks for.

use candle_core::{Device, Tensor};
use retrial_core::Seed;
use retrial_core::data::{Dataset, Inputs, Normalisation, Split};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::InputShape;

use crate::config::TaskConfig;

/// Samples of a cell.
pub struct Task {
    /// What is trained on.
    pub train: Split,
    /// What is never trained on.
    pub test: Split,
    /// Shape of an image.
    pub shape: InputShape,
    /// Pixels of a side.
    pub side: usize,
    /// Colours.
    pub channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// How pixels are scaled.
    pub normalisation: Normalisation,
}

impl Task {
    /// Draws the samples of a seed.
    ///
    /// # Errors
    /// If the data set is missing or too small, or its images cannot have the side.
    pub fn new(config: &TaskConfig, seed: Seed, run: &CellRun) -> Result<Self, CellError> {
        Self::of(&*run.dataset(config.dataset)?, config, seed)
    }

    /// The same of a data set in memory.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn of(data: &Dataset, config: &TaskConfig, seed: Seed) -> Result<Self, CellError> {
        // All of a split, which need not be balanced, or a balanced part.
        let chosen = |split: &Split, count: usize, seed: Seed| match count == split.len() {
            true => Ok((0..count as u32).collect()),
            false => split.balanced_subset(count, seed),
        };
        let train = data.train.select(&chosen(&data.train, config.train, seed)?);
        let test = data.test.select(&chosen(&data.test, config.test, Seed(0))?);
        let (train, test) = (resized(&train, config.side)?, resized(&test, config.side)?);
        let &[_, _, channels] = &train.input_shape()[..] else { unreachable!("resized images") };
        Ok(Self {
            shape: InputShape::from(&train.inputs),
            train,
            test,
            side: config.side,
            channels,
            classes: data.classes,
            normalisation: data.normalisation.clone(),
        })
    }

    /// Images of a split as they are.
    pub fn batch(&self, split: &Split, chosen: &[u32], device: &Device) -> candle_core::Result<Tensor> {
        split.batch(chosen, &self.normalisation, device)
    }
}

/// Images padded with black to 32 pixels and then averaged, in bytes, over squares.
fn resized(split: &Split, side: usize) -> Result<Split, CellError> {
    let Inputs::Images { pixels, channels, height, width } = &split.inputs else {
        return Err(CellError::Other("this paper needs images, not vectors".into()));
    };
    let (from, border) = (32usize, 32usize.saturating_sub(*height) / 2);
    if height != width || height + 2 * border != from || side == 0 || !from.is_multiple_of(side) {
        let problem = format!("images of {height} x {width} pixels cannot have a side of {side}: it must divide 32");
        return Err(CellError::Other(problem));
    }
    let (step, area) = (from / side, (from / side).pow(2) as u32);
    let mut out = Vec::with_capacity(split.len() * channels * side * side);
    for plane in pixels.chunks_exact(height * width) {
        for y in 0..side {
            for x in 0..side {
                let mut sum = 0u32;
                for (dy, dx) in (0..step).flat_map(|dy| (0..step).map(move |dx| (dy, dx))) {
                    let (y, x) = ((y * step + dy).wrapping_sub(border), (x * step + dx).wrapping_sub(border));
                    sum += if y < *height && x < *width { u32::from(plane[y * width + x]) } else { 0 };
                }
                out.push(((sum + area / 2) / area) as u8);
            }
        }
    }
    let inputs = Inputs::Images { pixels: out, channels: *channels, height: side, width: side };
    Ok(Split { inputs, labels: split.labels.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_padded_and_photos_averaged() {
        let bytes = |split: &Split| match &split.inputs {
            Inputs::Images { pixels, .. } => pixels.clone(),
            Inputs::Vectors { .. } => unreachable!(),
        };
        let digit = vec![255; 784];
        let inputs = Inputs::Images { pixels: digit, channels: 1, height: 28, width: 28 };
        let padded = resized(&Split { inputs, labels: vec![3] }, 32).unwrap();
        let pixels = bytes(&padded);
        assert_eq!((pixels.len(), pixels[0], pixels[2 * 32 + 1], pixels[2 * 32 + 2]), (1024, 0, 0, 255));
        assert_eq!(pixels.iter().filter(|&&p| p == 255).count(), 784);

        let photo: Vec<u8> = (0..3072).map(|i| (i % 32 + i / 32 % 32) as u8).collect();
        let inputs = Inputs::Images { pixels: photo, channels: 3, height: 32, width: 32 };
        let split = Split { inputs, labels: vec![3] };
        assert_eq!(resized(&split, 32).unwrap(), split);
        // Pixels 0, 1, 1, 2 have the mean 1; every step right or down adds 2.
        let small = bytes(&resized(&split, 16).unwrap());
        assert_eq!((small.len(), small[0], small[1], small[16], small[255], small[256]), (768, 1, 3, 3, 61, 1));
        assert!(resized(&split, 12).unwrap_err().to_string().contains("must divide 32"));
    }
}
