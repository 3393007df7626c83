//! Softmax cross-entropy and its gradient.

use super::{elementwise::rows, simd::Simd};

/// What the rows of logits should have been.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Targets<'a> {
    /// One class per row.
    Classes(&'a [u32]),
    /// A share of each class per row.
    Shares(&'a [f32]),
}

impl Targets<'_> {
    /// The share of each class in row `i`.
    #[inline(always)]
    fn share(&self, row: usize, class: usize, classes: usize) -> f32 {
        match self {
            Self::Classes(all) => f32::from(u8::from(all[row] as usize == class)),
            Self::Shares(all) => all[row * classes + class],
        }
    }
}

/// Largest element; NaN if there is one.
fn largest(row: &[f32]) -> f32 {
    row.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m || v.is_nan() { v } else { m })
}

/// Cross-entropy of each row.
pub(crate) fn losses(simd: Simd, logits: &[f32], classes: usize, targets: Targets) -> Vec<f32> {
    let mut losses = vec![0f32; logits.len() / classes];
    rows(&mut losses, 1, |i, loss| {
        simd.plain(
            #[inline(always)]
            || {
                let row = &logits[i * classes..(i + 1) * classes];
                let max = largest(row);
                let log_sum = row.iter().map(|v| (v - max).exp()).sum::<f32>().ln();
                loss[0] = match targets {
                    Targets::Classes(all) => log_sum - (row[all[i] as usize] - max),
                    Targets::Shares(all) => all[i * classes..(i + 1) * classes]
                        .iter()
                        .zip(row)
                        // 0 log 0 is 0, even where the logit is minus infinity.
                        .map(|(t, v)| if *t == 0. { 0. } else { t * (log_sum - (v - max)) })
                        .sum(),
                };
                // A row with NaN has no loss, even where its target's logit is sound.
                if max.is_nan() {
                    loss[0] = f32::NAN;
                }
            },
        );
    });
    losses
}

/// Gradient of the losses, each times its `dy`, with respect to the logits.
pub(crate) fn gradient(simd: Simd, logits: &[f32], classes: usize, targets: Targets, dy: &[f32]) -> Vec<f32> {
    let mut gradient = vec![0f32; logits.len()];
    rows(&mut gradient, classes, |i, out| {
        simd.plain(
            #[inline(always)]
            || {
                let row = &logits[i * classes..(i + 1) * classes];
                let max = largest(row);
                let mut sum = 0.;
                for (out, v) in out.iter_mut().zip(row) {
                    *out = (v - max).exp();
                    sum += *out;
                }
                // Shares need not sum to one.
                let mass: f32 = match targets {
                    Targets::Classes(_) => 1.,
                    Targets::Shares(all) => all[i * classes..(i + 1) * classes].iter().sum(),
                };
                let scale = mass / sum;
                for (class, out) in out.iter_mut().enumerate() {
                    *out = dy[i] * (*out * scale - targets.share(i, class, classes));
                }
            },
        );
    });
    gradient
}
