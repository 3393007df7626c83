//! How class weights enter a batch, and the losses that they multiply.
//!
//! The paper minimises J(θ) = (1/n) Σ w(yᵢ) ℓ(f(xᵢ), yᵢ) and does not say how the weights are scaled within a batch, which
//! decides the size of a step. Three readings are in use; [`Convention::Batch`] is ours unless a cell says otherwise.

use serde::{Deserialize, Serialize};

/// The class that a weight of `1 : R` makes light.
pub const CAT: u32 = 0;
/// The class that a weight of `R : 1` makes heavy.
pub const DOG: u32 = 1;

/// How the loss of a batch is made of weighted losses of its examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// A: (1/B) Σ w(yᵢ) ℓᵢ with w = (1, R). A step of the heavy class is R times as large.
    Plain,
    /// B: Σ w(yᵢ) ℓᵢ / Σ w(yᵢ) over the batch, a convex combination of the examples' losses.
    Batch,
    /// C: (1/B) Σ w̃(yᵢ) ℓᵢ with the mean of w̃ over the training set equal to 1.
    Global,
}

impl Convention {
    /// Its letter in the protocol and in texts.
    pub fn letter(self) -> char {
        match self {
            Convention::Plain => 'A',
            Convention::Batch => 'B',
            Convention::Global => 'C',
        }
    }
}

/// Weights of the two classes, and how they enter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighting {
    /// w(cat), w(dog), before any scaling by the batch.
    weights: [f64; 2],
    convention: Convention,
}

impl Weighting {
    /// Weights with w(dog) / w(cat) = `ratio` for a training set of `counts` cats and dogs.
    pub fn new(ratio: f64, convention: Convention, counts: [usize; 2]) -> Self {
        let mut weights = [1.0, ratio];
        if convention == Convention::Global {
            let [cats, dogs] = counts.map(|n| n as f64);
            let mean = (cats + ratio * dogs) / (cats + dogs);
            weights = weights.map(|w| w / mean);
        }
        Self { weights, convention }
    }

    /// The factor of each example's loss in the loss of a batch with these labels.
    pub fn coefficients(&self, labels: &[u32]) -> Vec<f64> {
        let of = |&label: &u32| self.weights[label as usize];
        let whole = match self.convention {
            Convention::Batch => labels.iter().map(of).sum(),
            Convention::Plain | Convention::Global => labels.len() as f64,
        };
        labels.iter().map(|label| of(label) / whole).collect()
    }

    /// Σ w(yᵢ) ℓᵢ / Σ w(yᵢ) of losses outside training, whatever the convention.
    pub fn weighted_mean(&self, labels: &[u32], losses: &[f32]) -> f64 {
        let weights = labels.iter().map(|&label| self.weights[label as usize]);
        let (sum, whole) = weights.zip(losses).fold((0., 0.), |(s, t), (w, &l)| (s + w * f64::from(l), t + w));
        sum / whole
    }
}

/// The loss of an example as a function of its signed logit gap v, positive on the right side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// ln(1 + e⁻ᵛ): cross-entropy of two logits.
    Logistic,
    /// ln(1 + e⁻ᵛ) / ln(1 + e⁻¹) up to v = 1, v^−α beyond (Wang et al. 2022): a tail that weights can act on.
    Polynomial {
        /// Exponent of the tail.
        alpha: f64,
    },
}

impl Loss {
    /// ℓ(v) and ℓ'(v), right at any v.
    pub fn at(self, v: f64) -> (f64, f64) {
        // ln(1 + e⁻ᵛ) without overflow, and −1 / (1 + eᵛ) without cancellation.
        let softplus = (-v).max(0.) + (-v.abs()).exp().ln_1p();
        let tail = (-v.abs()).exp();
        let slope = if v >= 0. { -tail / (1. + tail) } else { -1. / (1. + tail) };
        match self {
            Loss::Logistic => (softplus, slope),
            Loss::Polynomial { alpha } if v > 1. => (v.powf(-alpha), -alpha * v.powf(-alpha - 1.)),
            Loss::Polynomial { .. } => {
                let unit = (-1f64).exp().ln_1p();
                (softplus / unit, slope / unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::{assert_abs_diff_eq, assert_relative_eq};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conventions_by_hand() {
        let labels = [DOG, CAT, DOG, DOG];
        let of = |convention| Weighting::new(4., convention, [2, 6]).coefficients(&labels);
        assert_eq!(of(Convention::Plain), [1., 0.25, 1., 1.]);
        assert_eq!(of(Convention::Batch), [4. / 13., 1. / 13., 4. / 13., 4. / 13.]);
        // Mean weight of the training set (2 + 24) / 8 = 3.25.
        let c = of(Convention::Global);
        assert_abs_diff_eq!(c[0], 4. / 3.25 / 4., epsilon = 1e-15);
        assert_abs_diff_eq!(c[1], 1. / 3.25 / 4., epsilon = 1e-15);
    }

    /// References from an independent high-precision computation (Python's `decimal`, 50 digits: `(1 + exp(-v)).ln()`).
    #[test]
    fn losses_are_right_at_any_logit() {
        for (v, loss) in [
            (0., std::f64::consts::LN_2),
            (40., 4.248_354_255_291_589e-18),
            (-40., 40.),
            (700., 9.859_676_543_759_77e-305),
            (-1e6, 1e6),
        ] {
            assert_relative_eq!(Loss::Logistic.at(v).0, loss, max_relative = 1e-12);
        }
        let tail = Loss::Polynomial { alpha: 2. };
        assert_abs_diff_eq!(tail.at(1.).0, 1., epsilon = 1e-15);
        assert_abs_diff_eq!(tail.at(1. + 1e-12).0, 1., epsilon = 1e-11);
        assert_abs_diff_eq!(tail.at(10.).0, 0.01, epsilon = 1e-15);
    }

    proptest! {
        /// A batch's coefficients under B sum to one, and dogs weigh R times as much as cats under all three.
        #[test]
        fn coefficients(ratio in 0.001f64..1000., labels in prop::collection::vec(0u32..2, 1..40)) {
            let dogs = labels.iter().filter(|&&y| y == DOG).count();
            for convention in [Convention::Plain, Convention::Batch, Convention::Global] {
                let c = Weighting::new(ratio, convention, [7, 5]).coefficients(&labels);
                if convention == Convention::Batch {
                    prop_assert!((c.iter().sum::<f64>() - 1.).abs() < 1e-12);
                }
                if dogs > 0 && dogs < labels.len() {
                    let first = |class| c[labels.iter().position(|&y| y == class).unwrap()];
                    prop_assert!((first(DOG) / first(CAT) / ratio - 1.).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn slopes_are_derivatives(v in -30f64..30., alpha in 0.5f64..3.) {
            prop_assume!((v - 1.).abs() > 1e-3);
            for loss in [Loss::Logistic, Loss::Polynomial { alpha }] {
                let h = 1e-5;
                let numeric = (loss.at(v + h).0 - loss.at(v - h).0) / (2. * h);
                prop_assert!((numeric - loss.at(v).1).abs() < 1e-6 * (1. + numeric.abs()));
            }
        }
    }
}
