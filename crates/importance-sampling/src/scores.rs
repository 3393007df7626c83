//! The upper bound on a sample's gradient norm (section 3.2, eq. 20): the norm of the loss gradient at the last
//! pre-activations. The Lipschitz-like factor in front is common to all samples, so probabilities need only this.

use candle_core::{DType, Result, Tensor, bail};

/// Loss and bound of softmax cross-entropy for pre-activations `z` and class `y`: `-ln p_y` and
/// `||softmax(z) - onehot(y)||`. The gradient itself is written to `gradient`, of the length of `z`.
pub fn softmax(z: &[f64], y: usize, gradient: &mut [f64]) -> (f64, f64) {
    let largest = z.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    for (g, z) in gradient.iter_mut().zip(z) {
        *g = (z - largest).exp();
    }
    let sum: f64 = gradient.iter().sum();
    gradient.iter_mut().for_each(|g| *g /= sum);
    let loss = sum.ln() + largest - z[y];
    // p_y - 1 without cancellation where p_y is nearly 1.
    gradient[y] = 0.;
    gradient[y] = -gradient.iter().sum::<f64>();
    (loss, gradient.iter().map(|g| g * g).sum::<f64>().sqrt())
}

/// The bound for a logistic output: `|sigma(z) - y|`, `y` 0 or 1.
pub fn sigmoid(z: f64, y: f64) -> f64 {
    let e = (-z.abs()).exp();
    let (one, other) = (1. / (1. + e), e / (1. + e));
    // sigma(z) - y as a difference of small numbers on either side.
    if z >= 0. { (one * (1. - y) - other * y).abs() } else { (other * (1. - y) - one * y).abs() }
}

/// What a batch of logits says of its samples: losses, bounds, and the gradient at the logits.
pub struct Readout {
    /// Cross-entropy in nats.
    pub losses: Vec<f64>,
    /// The upper bounds.
    pub bounds: Vec<f64>,
    /// Whether the largest logit, the first of equal ones, is the label's.
    pub right: Vec<bool>,
    gradients: Vec<f64>,
    classes: usize,
}

impl Readout {
    /// From logits `[n, classes]` and `n` classes.
    ///
    /// # Errors
    /// If the numbers of rows and labels differ or a label is no class.
    pub fn of(logits: &Tensor, labels: &[u32]) -> Result<Self> {
        let (n, classes) = logits.dims2()?;
        if n != labels.len() || labels.iter().any(|&y| y as usize >= classes) {
            bail!("{} labels for {n} rows of {classes} logits", labels.len())
        }
        let values = logits.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let mut gradients = vec![0.; values.len()];
        let (mut losses, mut bounds, mut right) = (vec![], vec![], vec![]);
        for ((z, &y), gradient) in values.chunks_exact(classes).zip(labels).zip(gradients.chunks_exact_mut(classes)) {
            let (loss, bound) = softmax(z, y as usize, gradient);
            losses.push(loss);
            bounds.push(bound);
            right.push((0..classes).fold(0, |top, k| if z[k] > z[top] { k } else { top }) == y as usize);
        }
        Ok(Self { losses, bounds, right, gradients, classes })
    }

    /// The loss of a sample labelled `y`, also where [`Self::losses`] rounds it to zero: `-ln(1 - q)` from `q = 1 - p_y`,
    /// which the gradient has without cancellation. Otherwise the same to rounding.
    pub fn small_loss(&self, i: usize, y: u32) -> f64 {
        let q = -self.gradients[i * self.classes + y as usize];
        if q < 0.5 { -(-q).ln_1p() } else { self.losses[i] }
    }

    /// Gradient at the logits of `(1 / n) sum w_i L_i`, of the type and device of `like`.
    pub fn gradient(&self, weights: Option<&[f64]>, like: &Tensor) -> Result<Tensor> {
        let n = self.losses.len();
        let weight = |i: usize| weights.map_or(1., |w| w[i]) / n as f64;
        let rows = self.gradients.chunks_exact(self.classes).enumerate();
        let values: Vec<f32> = rows.flat_map(|(i, row)| row.iter().map(move |g| (weight(i) * g) as f32)).collect();
        Tensor::from_vec(values, (n, self.classes), like.device())?.to_dtype(like.dtype())
    }

    /// `(1 / n) sum w_i L_i`.
    pub fn loss(&self, weights: Option<&[f64]>) -> f64 {
        let weight = |i: usize| weights.map_or(1., |w| w[i]);
        self.losses.iter().enumerate().map(|(i, loss)| weight(i) * loss).sum::<f64>() / self.losses.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    /// Protocol section 3.2, natural logarithms.
    #[test]
    fn softmax_bounds_are_the_published_ones() {
        let vectors: [(&[f64], usize, f64, f64); 5] = [
            (&[0.; 10], 3, 10f64.ln(), 0.948683),
            (&[2., 1., 0.], 0, 0.407606, 0.424336),
            (&[2., 1., 0.], 2, 2.407606, 1.153465),
            (&[10., 0., 0.], 0, 9.07957e-5, 1.11197e-4),
            (&[0., 10., 0.], 0, 10.000091, 1.414117),
        ];
        for (z, y, loss, bound) in vectors {
            let found = softmax(z, y, &mut vec![0.; z.len()]);
            assert_relative_eq!(found.0, loss, max_relative = 1e-5);
            assert_relative_eq!(found.1, bound, max_relative = 1e-5);
        }
    }

    #[test]
    fn sigmoid_bounds() {
        assert_eq!(sigmoid(0., 1.), 0.5);
        assert_relative_eq!(sigmoid(2., 0.), 0.880_797_077_977_882_4, max_relative = 1e-12);
        assert_relative_eq!(sigmoid(-2., 1.), 0.880_797_077_977_882_4, max_relative = 1e-12);
        // Far on the right side the bound is tiny but not rounded away.
        assert_relative_eq!(sigmoid(40., 1.), (-40f64).exp(), max_relative = 1e-12);
    }

    proptest! {
        /// The bound is the norm of the derivative of the loss, below the root of 2, and does not see a common shift.
        #[test]
        fn bounds_are_norms_of_derivatives(z in prop::collection::vec(-8.0..8.0f64, 2..12), pick in 0usize..100) {
            let y = pick % z.len();
            let mut gradient = vec![0.; z.len()];
            let (_, bound) = softmax(&z, y, &mut gradient);
            let h = 1e-5;
            let mut squares = 0.;
            for k in 0..z.len() {
                let at = |side: f64| {
                    let mut moved = z.clone();
                    moved[k] += side * h;
                    softmax(&moved, y, &mut vec![0.; z.len()]).0
                };
                let slope = (at(1.) - at(-1.)) / (2. * h);
                prop_assert!((slope - gradient[k]).abs() < 1e-8);
                squares += slope * slope;
            }
            prop_assert!((squares.sqrt() - bound).abs() < 1e-7);
            prop_assert!(bound < 2f64.sqrt() + 1e-12);
            let shifted: Vec<f64> = z.iter().map(|z| z + 100.).collect();
            prop_assert!((softmax(&shifted, y, &mut gradient).1 - bound).abs() < 1e-12);
        }
    }

    /// At a margin of 50 nats the loss is exp(-50), where `ln(1 + exp(-50))` rounds to zero.
    #[test]
    fn a_loss_that_rounds_to_zero_is_still_known() {
        let logits = Tensor::new(&[[50f32, 0.], [1., 0.], [0., 3.]], &Device::Cpu).unwrap();
        let readout = Readout::of(&logits, &[0, 0, 0]).unwrap();
        assert_eq!(readout.losses[0], 0.);
        assert_relative_eq!(readout.small_loss(0, 0), (-50f64).exp(), max_relative = 1e-12);
        for i in [1, 2] {
            assert_relative_eq!(readout.small_loss(i, 0), readout.losses[i], max_relative = 1e-12);
        }
    }

    #[test]
    fn a_readout_is_the_gradient_of_the_weighted_mean() {
        let logits = Tensor::new(&[[2f32, 1., 0.], [0., 10., 0.]], &Device::Cpu).unwrap();
        let readout = Readout::of(&logits, &[0, 0]).unwrap();
        assert_eq!(readout.right, [true, false]);
        assert_relative_eq!(
            readout.loss(Some(&[2., 0.5])),
            (2. * 0.407606 + 0.5 * 10.000091) / 2.,
            max_relative = 1e-5
        );
        let gradient = readout.gradient(Some(&[2., 0.5]), &logits).unwrap().to_vec2::<f32>().unwrap();
        let norm = |row: &[f32]| row.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        assert_relative_eq!(norm(&gradient[0]), 0.424336, max_relative = 1e-5);
        assert_relative_eq!(norm(&gradient[1]), 0.25 * 1.414117, max_relative = 1e-5);
        assert!(Readout::of(&logits, &[0]).is_err() && Readout::of(&logits, &[0, 3]).is_err());
    }
}
