//! What is done to training images while a deficit is on (section 2, appendix A). Test images are never touched.
//!
//! Images are cropped and mirrored first and spoilt then. Blur has rows that sum to one, so blurring normalised values is
//! normalising blurred ones.

use rand_distr::{Distribution, StandardNormal};
use retrial_core::Seed;
use serde::{Deserialize, Serialize};

/// What is wrong with the training samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deficit {
    /// Down to a quarter of the side and up again, bilinear; going down averages over all pixels (antialiased).
    Blur,
    /// The same, but going down reads only the two nearest pixels along each axis.
    BlurAliased,
    /// Upside down.
    Flip,
    /// Classes renamed by one fixed random permutation.
    PermutedLabels,
    /// Labels dealt anew to the images, once.
    ShuffledLabels,
    /// White noise in place of every image, drawn anew at each epoch, and the true label.
    Noise,
    /// White noise in place of every image, the same at each epoch.
    FixedNoise,
}

impl Deficit {
    /// In figures and cell names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blur => "blur",
            Self::BlurAliased => "blur-aliased",
            Self::Flip => "vertical-flip",
            Self::PermutedLabels => "permuted-labels",
            Self::ShuffledLabels => "shuffled-labels",
            Self::Noise => "noise",
            Self::FixedNoise => "fixed-noise",
        }
    }
}

/// Factor by which blur reduces the side of an image.
pub const FACTOR: usize = 4;

/// Blur of a side as a matrix `B = U D`, `[side, side]` row-major: a channel `X` becomes `B X B^T`.
///
/// `D` reduces: cell i weighs pixel k by `max(0, 1 - |k + 0.5 - (f i + f / 2)| / f)` with the factor f (antialiased), or
/// takes half of each of the two pixels at its middle. `U` enlarges: pixel j weighs cell i by
/// `max(0, 1 - |i + 0.5 - (j + 0.5) / f|)`. Rows are scaled to sum to 1.
///
/// # Panics
/// If the side is no multiple of the factor.
pub fn blur_matrix(side: usize, antialiased: bool) -> Vec<f32> {
    assert!(side > 0 && side.is_multiple_of(FACTOR), "a side of {side} cannot be reduced by {FACTOR}");
    let (cells, f) = (side / FACTOR, FACTOR as f64);
    let rows = |n: usize, m: usize, weight: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        let row = |i: usize| {
            let row: Vec<f64> = (0..m).map(|k| weight(i, k)).collect();
            let sum: f64 = row.iter().sum();
            row.into_iter().map(|w| w / sum).collect()
        };
        (0..n).map(row).collect()
    };
    let down = rows(cells, side, &|i, k| {
        let distance = (k as f64 + 0.5 - (f * i as f64 + f / 2.)).abs();
        if antialiased { (1. - distance / f).max(0.) } else { f64::from(u8::from(distance < 1.)) }
    });
    let up = rows(side, cells, &|j, i| (1. - (i as f64 + 0.5 - (j as f64 + 0.5) / f).abs()).max(0.));
    let cell = |j: usize, k: usize| (0..cells).map(|i| up[j][i] * down[i][k]).sum::<f64>() as f32;
    (0..side * side).map(|at| cell(at / side, at % side)).collect()
}

/// A deficit made ready for images `[side, side, channels]` of some training samples.
pub struct Lens {
    deficit: Deficit,
    side: usize,
    channels: usize,
    seed: Seed,
    blur: Vec<f32>,
}

impl Lens {
    /// # Panics
    /// If blur cannot reduce the side.
    pub fn new(deficit: Deficit, side: usize, channels: usize, seed: Seed) -> Self {
        let blur = match deficit {
            Deficit::Blur => blur_matrix(side, true),
            Deficit::BlurAliased => blur_matrix(side, false),
            _ => vec![],
        };
        Self { deficit, side, channels, seed, blur }
    }

    /// The labels to train on while the deficit is on.
    pub fn labels(&self, truth: &[u32], classes: usize) -> Vec<u32> {
        use rand::seq::SliceRandom;
        match self.deficit {
            Deficit::PermutedLabels => {
                let mut names: Vec<u32> = (0..classes as u32).collect();
                names.shuffle(&mut self.seed.stream("permuted labels"));
                truth.iter().map(|&y| names[y as usize]).collect()
            }
            Deficit::ShuffledLabels => {
                let mut dealt = truth.to_vec();
                dealt.shuffle(&mut self.seed.stream("shuffled labels"));
                dealt
            }
            _ => truth.to_vec(),
        }
    }

    /// Spoils a batch `[b, side, side, channels]` of normalised images. `samples` are their numbers in the training set,
    /// `draw` counts batches within an epoch, `time` epochs.
    pub fn spoil(&self, batch: &mut [f32], samples: &[u32], time: u64, draw: u64) {
        let image = self.side * self.side * self.channels;
        match self.deficit {
            Deficit::Blur | Deficit::BlurAliased => {
                let mut scratch = vec![0.; image];
                for image in batch.chunks_exact_mut(image) {
                    self.blur_image(image, &mut scratch);
                }
            }
            Deficit::Flip => {
                let row = self.side * self.channels;
                for image in batch.chunks_exact_mut(image) {
                    for y in 0..self.side / 2 {
                        let (above, below) = image.split_at_mut((self.side - 1 - y) * row);
                        above[y * row..][..row].swap_with_slice(&mut below[..row]);
                    }
                }
            }
            Deficit::Noise => {
                let mut stream = self.seed.derive(&format!("white noise of epoch {time}")).stream_at("batch", draw);
                batch.iter_mut().for_each(|x| *x = StandardNormal.sample(&mut stream));
            }
            Deficit::FixedNoise => {
                for (image, &sample) in batch.chunks_exact_mut(image).zip(samples) {
                    let mut stream = self.seed.stream_at("fixed noise", sample.into());
                    image.iter_mut().for_each(|x| *x = StandardNormal.sample(&mut stream));
                }
            }
            Deficit::PermutedLabels | Deficit::ShuffledLabels => {}
        }
    }

    /// `B X B^T` for each channel.
    fn blur_image(&self, image: &mut [f32], scratch: &mut [f32]) {
        let (side, row) = (self.side, self.side * self.channels);
        scratch.fill(0.);
        for (j, out) in scratch.chunks_exact_mut(row).enumerate() {
            for (k, from) in image.chunks_exact(row).enumerate() {
                let weight = self.blur[j * side + k];
                if weight != 0. {
                    out.iter_mut().zip(from).for_each(|(out, x)| *out += weight * x);
                }
            }
        }
        image.fill(0.);
        for (out, from) in image.chunks_exact_mut(row).zip(scratch.chunks_exact(row)) {
            for (j, out) in out.chunks_exact_mut(self.channels).enumerate() {
                for (k, from) in from.chunks_exact(self.channels).enumerate() {
                    let weight = self.blur[j * side + k];
                    if weight != 0. {
                        out.iter_mut().zip(from).for_each(|(out, x)| *out += weight * x);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By hand for a side of 8 and a factor of 4: cell 0 has its middle at 2 and weighs pixels 0..=5 (middles 0.5 to 5.5)
    /// by 0.625, 0.875, 0.875, 0.625, 0.375, 0.125 before scaling (sum 3.5), so pixel 0 of the blurred row, all cell 0, is
    /// 0.625/3.5, 0.25, 0.25, ...
    #[test]
    fn blur_of_a_short_row_is_as_by_hand() {
        let b = blur_matrix(8, true);
        for (k, w) in [0.625, 0.875, 0.875, 0.625, 0.375, 0.125, 0., 0.].into_iter().enumerate() {
            assert!((b[k] - w / 3.5).abs() < 1e-6, "{k}: {}", b[k]);
        }
        // Pixel 3 (middle 3.5, at 0.875 of a cell): cell 0 weighs 0.625, cell 1 0.375.
        let aliased = blur_matrix(8, false);
        for (k, w) in [0., 0.3125, 0.3125, 0., 0., 0.1875, 0.1875, 0.].into_iter().enumerate() {
            assert!((aliased[3 * 8 + k] - w).abs() < 1e-6, "{k}: {}", aliased[3 * 8 + k]);
        }
    }

    /// A bright pixel at (row 5, column 9) of a 32 x 32 image, against the bilinear reduction and enlargement of Pillow
    /// 11 in its 32-bit mode:
    ///
    /// ```python
    /// a = numpy.zeros((32, 32), "f4"); a[5, 9] = 1
    /// i = PIL.Image.fromarray(a).resize((8, 8), 2).resize((32, 32), 2)
    /// ```
    #[test]
    fn blur_is_that_of_an_image_library() {
        let lens = Lens::new(Deficit::Blur, 32, 1, Seed(0));
        let mut image = vec![0.; 1024];
        image[5 * 32 + 9] = 1.;
        lens.spoil(&mut image, &[0], 0, 0);
        for ((y, x), expected) in PILLOW {
            assert!((image[y * 32 + x] - expected).abs() < 1e-6, "({y}, {x}): {}", image[y * 32 + x]);
        }
    }

    const PILLOW: [((usize, usize), f32); 5] = [
        ((5, 9), 0.038_255_963),
        ((4, 8), 0.022_282_192),
        ((7, 7), 0.013_885_498),
        ((9, 12), 0.002_243_042),
        ((0, 13), 0.000_976_562_5),
    ];

    proptest! {
        /// Rows sum to one, so a constant stays, and blurring is linear: the mean of two images blurs to the mean.
        #[test]
        fn blur_keeps_constants(quarters in 1usize..9, antialiased: bool, level in -3f32..3.) {
            let side = FACTOR * quarters;
            let deficit = if antialiased { Deficit::Blur } else { Deficit::BlurAliased };
            let mut image = vec![level; 2 * side * side * 3];
            Lens::new(deficit, side, 3, Seed(1)).spoil(&mut image, &[0, 1], 0, 0);
            prop_assert!(image.iter().all(|x| (x - level).abs() < 1e-5));
        }

        #[test]
        fn flip_twice_is_nothing(seed: u64) {
            let start: Vec<f32> = (0..2 * 6 * 6 * 3).map(|i| (i * 37 % 101) as f32 + seed as f32 % 7.).collect();
            let lens = Lens::new(Deficit::Flip, 6, 3, Seed(seed));
            let mut image = start.clone();
            lens.spoil(&mut image, &[0, 1], 0, 0);
            // Row 0 has become row 5.
            prop_assert_eq!(&image[..18], &start[5 * 18..6 * 18]);
            lens.spoil(&mut image, &[0, 1], 0, 0);
            prop_assert_eq!(image, start);
        }

        /// Permuting renames classes, and not each to itself; shuffling keeps their counts and hardly any sample its label.
        #[test]
        fn labels_are_permuted_or_dealt(seed: u64) {
            let truth: Vec<u32> = (0..200).map(|i| i % 10).collect();
            let permuted = Lens::new(Deficit::PermutedLabels, 4, 1, Seed(seed)).labels(&truth, 10);
            for i in 0..200 {
                prop_assert_eq!(permuted[i], permuted[i % 10]);
            }
            let mut names = permuted[..10].to_vec();
            // One seed in 3,628,800 would keep every name.
            prop_assert_ne!(&names, &(0..10).collect::<Vec<u32>>());
            names.sort_unstable();
            prop_assert_eq!(names, (0..10).collect::<Vec<u32>>());
            let shuffled = Lens::new(Deficit::ShuffledLabels, 4, 1, Seed(seed)).labels(&truth, 10);
            let mut counts = [0; 10];
            shuffled.iter().for_each(|&y| counts[y as usize] += 1);
            prop_assert_eq!(counts, [20; 10]);
            let kept = shuffled.iter().zip(&truth).filter(|(a, b)| a == b).count();
            prop_assert!(kept < 60, "{}", kept);
        }
    }

    #[test]
    fn noise_is_fresh_or_fixed_and_has_unit_variance() {
        let fresh = Lens::new(Deficit::Noise, 8, 3, Seed(3));
        let draw = |time, batch| {
            let mut image = vec![9.; 2 * 192];
            fresh.spoil(&mut image, &[4, 5], time, batch);
            image
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(2, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        let fixed = Lens::new(Deficit::FixedNoise, 8, 3, Seed(3));
        let of = |samples: &[u32], time| {
            let mut image = vec![9.; 192 * samples.len()];
            fixed.spoil(&mut image, samples, time, 0);
            image
        };
        assert_eq!(of(&[4, 5], 1), of(&[4, 5], 2));
        assert_eq!(of(&[4, 5], 1)[192..], of(&[5], 9));
        let many = of(&(0..200).collect::<Vec<u32>>(), 0);
        let n = many.len() as f64;
        let mean = many.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = many.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
        // Four standard errors: 1 / sqrt(n) and sqrt(2 / n).
        assert!(mean.abs() < 4. / n.sqrt() && (variance - 1.).abs() < 4. * (2. / n).sqrt());
    }
}
