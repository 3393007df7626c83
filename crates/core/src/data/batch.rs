//! From bytes in memory to a normalised tensor: once for each batch of a training, so every step works on whole rows.

use candle_core::{Device, Result, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Inputs, Split, shuffled};
use crate::Seed;

/// How pixels `0..=255` become numbers. Vectors pass unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// `x / 255`.
    UnitInterval,
    /// `(x / 255 - mean) / deviation`, a pair (mean, deviation) for each channel.
    PerChannel(Vec<(f32, f32)>),
    /// `(x - m) / max(s, 1 / sqrt(n))`, with mean m and deviation s of the n values of the image itself (TensorFlow's
    /// `per_image_standardization`).
    PerImage,
}

/// Random changes of training images. Of each image three numbers are drawn, whatever is turned on, so two
/// augmentations of one seed agree in what they share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Mirror left and right with probability one half.
    pub flip: bool,
    /// Shift by a crop of the padded image.
    pub crop: Option<Crop>,
}

/// A crop, at a uniformly random place, of an image padded on all four sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// Pixels on each side: the image shifts by `-padding..=padding` along each axis.
    pub padding: usize,
    /// What the padding holds.
    pub fill: Fill,
}

/// What surrounds an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// Black, before normalisation.
    Zero,
    /// The nearest pixel of the image.
    Edge,
}

impl Augmentation {
    /// None.
    pub const NONE: Augmentation = Augmentation { flip: false, crop: None };
    /// The usual one for CIFAR: mirror, and crop after padding by four black pixels.
    pub const FLIP_AND_CROP: Augmentation =
        Augmentation { flip: true, crop: Some(Crop { padding: 4, fill: Fill::Zero }) };
}

/// Changes of one image: the crop's corner in the padded image, and whether it is mirrored.
#[derive(Clone, Copy)]
struct Change {
    top: usize,
    left: usize,
    flip: bool,
}

impl Augmentation {
    fn draw(self, n: usize, stream: &mut ChaCha8Rng) -> Vec<Change> {
        let span = self.crop.map_or(0, |crop| 2 * crop.padding as u64) + 1;
        // A share of 2^32 rather than `random_range`, which draws again now and then and so would shift later images.
        let mut below = |n: u64| ((u64::from(stream.random::<u32>()) * n) >> 32) as usize;
        let change = |_| {
            let (top, left, flip) = (below(span), below(span), below(2));
            Change { top, left, flip: self.flip && flip == 1 }
        };
        (0..n).map(change).collect()
    }

    /// Writes the changed plane of `height` rows of `width` pixels to `out`.
    fn apply(self, change: Change, plane: &[u8], width: usize, out: &mut [u8]) {
        let height = plane.len() / width;
        let (padding, fill) = self.crop.map_or((0, Fill::Zero), |crop| (crop.padding, crop.fill));
        // Column x of the result is column x + left - padding of the image.
        let before = padding.saturating_sub(change.left).min(width);
        let after = change.left.saturating_sub(padding).min(width);
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let row = (y + change.top).checked_sub(padding).filter(|&row| row < height);
            let row = match (row, fill) {
                (Some(row), _) => row,
                (None, Fill::Edge) if y + change.top < padding => 0,
                (None, Fill::Edge) => height - 1,
                (None, Fill::Zero) => {
                    out.fill(0);
                    continue;
                }
            };
            let row = &plane[row * width..][..width];
            let (left, right) = match fill {
                Fill::Zero => (0, 0),
                Fill::Edge => (row[0], row[width - 1]),
            };
            out[..before].fill(left);
            out[before..width - after].copy_from_slice(&row[after..width - before]);
            out[width - after..].fill(right);
            if change.flip {
                out.reverse();
            }
        }
    }
}

impl Split {
    /// The samples at `indices` for evaluation: f32 `[b, height, width, channels]` or `[b, dim]`.
    ///
    /// # Panics
    /// If an index is not below [`Split::len`].
    pub fn batch(&self, indices: &[u32], normalisation: &Normalisation, device: &Device) -> Result<Tensor> {
        self.assemble(indices, normalisation, None, device)
    }

    /// The samples at `indices` for training: as [`Split::batch`], images changed at random by `augmentation`.
    ///
    /// # Panics
    /// If an index is not below [`Split::len`].
    pub fn augmented_batch(
        &self,
        indices: &[u32],
        normalisation: &Normalisation,
        augmentation: Augmentation,
        stream: &mut ChaCha8Rng,
        device: &Device,
    ) -> Result<Tensor> {
        if augmentation == Augmentation::NONE || matches!(self.inputs, Inputs::Vectors { .. }) {
            return self.batch(indices, normalisation, device);
        }
        let changes = augmentation.draw(indices.len(), stream);
        self.assemble(indices, normalisation, Some((augmentation, &changes)), device)
    }

    fn assemble(
        &self,
        indices: &[u32],
        normalisation: &Normalisation,
        augmentation: Option<(Augmentation, &[Change])>,
        device: &Device,
    ) -> Result<Tensor> {
        let (pixels, channels, height, width) = match &self.inputs {
            Inputs::Vectors { values, dim } => {
                let rows = indices.iter().flat_map(|&i| &values[i as usize * dim..][..*dim]).copied();
                return Tensor::from_vec(rows.collect::<Vec<f32>>(), (indices.len(), *dim), device);
            }
            Inputs::Images { pixels, channels, height, width } => (pixels, *channels, *height, *width),
        };
        let mut tables = Tables::new(normalisation, channels)?;
        let (plane, size) = (height * width, channels * height * width);
        let mut changed = vec![0u8; size];
        let mut batch = vec![0f32; indices.len() * size];
        for (row, (&index, out)) in indices.iter().zip(batch.chunks_exact_mut(size)).enumerate() {
            let mut image = &pixels[index as usize * size..][..size];
            if let Some((augmentation, changes)) = augmentation {
                for (plane_in, plane_out) in image.chunks_exact(plane).zip(changed.chunks_exact_mut(plane)) {
                    augmentation.apply(changes[row], plane_in, width, plane_out);
                }
                image = &changed;
            }
            tables.write(image, channels, out);
        }
        Tensor::from_vec(batch, (indices.len(), height, width, channels), device)
    }
}

/// Normalised value of each byte, by channel.
struct Tables {
    tables: Vec<[f32; 256]>,
    per_image: bool,
}

impl Tables {
    fn new(normalisation: &Normalisation, channels: usize) -> Result<Tables> {
        let scaled =
            |mean: f64, deviation: f64| std::array::from_fn(|byte| ((byte as f64 / 255.0 - mean) / deviation) as f32);
        let tables = match normalisation {
            Normalisation::PerChannel(constants) if constants.len() != channels => candle_core::bail!(
                "normalisation by channel has {} pairs for images of {channels} channels",
                constants.len()
            ),
            Normalisation::PerChannel(constants) => {
                constants.iter().map(|&(mean, deviation)| scaled(mean.into(), deviation.into())).collect()
            }
            // One table that all channels share.
            Normalisation::UnitInterval | Normalisation::PerImage => vec![scaled(0.0, 1.0); channels],
        };
        Ok(Tables { tables, per_image: *normalisation == Normalisation::PerImage })
    }

    /// Channels last: `image` is `[channels, height, width]`, `out` is `[height, width, channels]`.
    fn write(&mut self, image: &[u8], channels: usize, out: &mut [f32]) {
        if self.per_image {
            let table = standardised(image);
            self.tables.fill(table);
        }
        let plane = image.len() / channels;
        match (&self.tables[..], channels) {
            ([table], 1) => {
                for (out, &byte) in out.iter_mut().zip(image) {
                    *out = table[byte as usize];
                }
            }
            ([red, green, blue], 3) => {
                let (r, rest) = image.split_at(plane);
                let (g, b) = rest.split_at(plane);
                for (out, ((&r, &g), &b)) in out.chunks_exact_mut(3).zip(r.iter().zip(g).zip(b)) {
                    (out[0], out[1], out[2]) = (red[r as usize], green[g as usize], blue[b as usize]);
                }
            }
            (tables, _) => {
                for (channel, (table, plane)) in tables.iter().zip(image.chunks_exact(plane)).enumerate() {
                    for (out, &byte) in out.iter_mut().skip(channel).step_by(channels).zip(plane) {
                        *out = table[byte as usize];
                    }
                }
            }
        }
    }
}

/// The table of one image standardised by itself. Sums of bytes are exact, so the order of pixels does not matter.
fn standardised(image: &[u8]) -> [f32; 256] {
    let (sum, squares) = image.iter().fold((0u64, 0u64), |(sum, squares), &byte| {
        let byte = u64::from(byte);
        (sum + byte, squares + byte * byte)
    });
    let n = image.len() as f64;
    let mean = sum as f64 / n;
    let deviation = (squares as f64 / n - mean * mean).max(0.0).sqrt().max(1.0 / n.sqrt());
    std::array::from_fn(|byte| ((byte as f64 - mean) / deviation) as f32)
}

/// Indices `0..n` in the order in which `epoch` visits them.
pub fn order(n: usize, seed: Seed, epoch: u64) -> Vec<u32> {
    shuffled(n, &mut seed.stream_at("order", epoch))
}

/// The labels at `indices`: u32 `[b]`. `labels` are the ones that are trained on, true or given.
///
/// # Panics
/// If an index is not below the number of labels.
pub fn targets(labels: &[u32], indices: &[u32], device: &Device) -> Result<Tensor> {
    let chosen: Vec<u32> = indices.iter().map(|&i| labels[i as usize]).collect();
    Tensor::from_vec(chosen, indices.len(), device)
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    use super::*;

    /// Distinct-looking bytes `[n, channels, height, width]`.
    fn split(n: usize, channels: usize, height: usize, width: usize) -> Split {
        let pixels = (0..n * channels * height * width).map(|i| (i * 89 % 251) as u8).collect();
        Split { inputs: Inputs::Images { pixels, channels, height, width }, labels: vec![0; n] }
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn pixel(split: &Split, image: usize, channel: usize, y: usize, x: usize) -> u8 {
        let Inputs::Images { pixels, channels, height, width } = &split.inputs else { unreachable!() };
        pixels[((image * channels + channel) * height + y) * width + x]
    }

    #[test]
    fn batches_are_channels_last_and_normalised() {
        for channels in [1, 2, 3] {
            let split = split(4, channels, 5, 6);
            let constants: Vec<(f32, f32)> =
                (0..channels).map(|c| (0.1 + 0.2 * c as f32, 0.5 - 0.1 * c as f32)).collect();
            let unit = split.batch(&[2, 0], &Normalisation::UnitInterval, &Device::Cpu).unwrap();
            let scaled = split.batch(&[2, 0], &Normalisation::PerChannel(constants.clone()), &Device::Cpu).unwrap();
            assert_eq!(unit.dims(), [2, 5, 6, channels]);
            let (unit, scaled) = (values(&unit), values(&scaled));
            for (row, image) in [2, 0].into_iter().enumerate() {
                for (y, x, c) in (0..5).flat_map(|y| (0..6).flat_map(move |x| (0..channels).map(move |c| (y, x, c)))) {
                    let at = ((row * 5 + y) * 6 + x) * channels + c;
                    let expected = f32::from(pixel(&split, image, c, y, x)) / 255.0;
                    assert_eq!(unit[at], expected);
                    assert_abs_diff_eq!(scaled[at], (expected - constants[c].0) / constants[c].1, epsilon = 1e-6);
                }
            }
        }
    }

    #[test]
    fn images_are_standardised_by_themselves() {
        let split = split(3, 3, 8, 8);
        let batch = values(&split.batch(&[0, 1, 2], &Normalisation::PerImage, &Device::Cpu).unwrap());
        for image in batch.chunks_exact(192) {
            let mean = image.iter().sum::<f32>() / 192.0;
            let variance = image.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 192.0;
            assert_abs_diff_eq!(mean, 0.0, epsilon = 1e-5);
            assert_abs_diff_eq!(variance, 1.0, epsilon = 1e-5);
        }
        // One bright pixel: the deviation, 2 / sqrt(192) * sqrt(191 / 192), is above the floor of 1 / sqrt(192). A
        // constant image is below it and becomes zero.
        let mut pixels = vec![7; 384];
        pixels[0] = 9;
        let inputs = Inputs::Images { pixels, channels: 3, height: 8, width: 8 };
        let batch =
            Split { inputs, labels: vec![0; 2] }.batch(&[0, 1], &Normalisation::PerImage, &Device::Cpu).unwrap();
        let batch = values(&batch);
        assert_abs_diff_eq!(batch[0], 191f32.sqrt(), epsilon = 1e-4);
        assert!(batch[192..].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn constants_must_fit_the_channels() {
        let batch = split(1, 3, 4, 4).batch(&[0], &Normalisation::PerChannel(vec![(0.0, 1.0)]), &Device::Cpu);
        assert!(batch.unwrap_err().to_string().contains("1 pairs for images of 3 channels"));
    }

    #[test]
    fn vectors_pass_unchanged() {
        let inputs = Inputs::Vectors { values: vec![1.0, -2.0, 300.0, 4.0], dim: 2 };
        let split = Split { inputs, labels: vec![0, 1] };
        let mut stream = Seed(0).stream("augment");
        let all = Augmentation::FLIP_AND_CROP;
        let batch = split.augmented_batch(&[1, 0], &Normalisation::PerImage, all, &mut stream, &Device::Cpu).unwrap();
        assert_eq!(batch.to_vec2::<f32>().unwrap(), [[300.0, 4.0], [1.0, -2.0]]);
    }

    proptest! {
        /// Row copies against the definition, pixel by pixel.
        #[test]
        fn a_crop_is_a_window_of_the_padded_image(
            (height, width, padding) in (1usize..7, 1usize..7, 0usize..9),
            (top, left) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            (flip, edge) in (any::<bool>(), any::<bool>()),
        ) {
            let plane: Vec<u8> = (1..=(height * width) as u8).collect();
            let (top, left) = (top.index(2 * padding + 1), left.index(2 * padding + 1));
            let augmentation =
                Augmentation { flip, crop: Some(Crop { padding, fill: if edge { Fill::Edge } else { Fill::Zero } }) };
            let mut out = vec![0xaa; plane.len()];
            augmentation.apply(Change { top, left, flip }, &plane, width, &mut out);
            for y in 0..height {
                for x in 0..width {
                    let column = if flip { width - 1 - x } else { x };
                    let (row, column) = ((y + top) as i64 - padding as i64, (column + left) as i64 - padding as i64);
                    let inside = (0..height as i64).contains(&row) && (0..width as i64).contains(&column);
                    let expected = if inside || edge {
                        plane[row.clamp(0, height as i64 - 1) as usize * width + column.clamp(0, width as i64 - 1) as usize]
                    } else {
                        0
                    };
                    prop_assert_eq!(out[y * width + x], expected);
                }
            }
        }
    }

    #[test]
    fn offsets_reach_both_ends_and_half_the_images_are_mirrored() {
        let changes = Augmentation::FLIP_AND_CROP.draw(9_000, &mut Seed(5).stream("augment"));
        for offset in 0..=8 {
            let rows = changes.iter().filter(|change| change.top == offset).count();
            let columns = changes.iter().filter(|change| change.left == offset).count();
            // A thousand each; five standard deviations.
            assert!((850..1_150).contains(&rows) && (850..1_150).contains(&columns), "{offset}: {rows}, {columns}");
        }
        let mirrored = changes.iter().filter(|change| change.flip).count();
        assert!((4_260..4_740).contains(&mirrored), "{mirrored}");
    }

    #[test]
    fn what_two_augmentations_share_is_drawn_alike() {
        let both = Augmentation::FLIP_AND_CROP;
        let draw = |augmentation: Augmentation| augmentation.draw(100, &mut Seed(5).stream("augment"));
        let (both, crop, flip) =
            (draw(both), draw(Augmentation { flip: false, ..both }), draw(Augmentation { crop: None, ..both }));
        for i in 0..100 {
            assert_eq!((both[i].top, both[i].left), (crop[i].top, crop[i].left));
            assert_eq!(both[i].flip, flip[i].flip);
        }
    }

    #[test]
    fn one_stream_gives_one_batch() {
        let split = split(20, 3, 32, 32);
        let indices: Vec<u32> = (0..20).collect();
        let batch = |epoch: u64| {
            let mut stream = Seed(1).stream_at("augment", epoch);
            let all = Augmentation::FLIP_AND_CROP;
            let unit = Normalisation::UnitInterval;
            values(&split.augmented_batch(&indices, &unit, all, &mut stream, &Device::Cpu).unwrap())
        };
        assert_eq!(batch(0), batch(0));
        assert_ne!(batch(0), batch(1));
    }

    #[test]
    fn an_order_visits_all_once_and_differs_by_epoch_and_seed() {
        let first = order(1_000, Seed(1), 0);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_000).collect::<Vec<u32>>());
        assert_eq!(first, order(1_000, Seed(1), 0));
        assert_ne!(first, order(1_000, Seed(1), 1));
        assert_ne!(first, order(1_000, Seed(2), 0));
    }

    #[test]
    fn targets_are_the_labels_at_the_indices() {
        let batch = targets(&[5, 6, 7], &[2, 0], &Device::Cpu).unwrap();
        assert_eq!(batch.to_vec1::<u32>().unwrap(), [7, 5]);
    }
}
