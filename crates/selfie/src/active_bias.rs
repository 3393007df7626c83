//! ActiveBias (Chang et al. 2017) as the paper's authors coded it: samples on which the network has wavered weigh more.

/// Every probability that the network gave to the given label of a sample, as count, mean and sum of squared deviations.
#[derive(Clone, Debug, PartialEq)]
pub struct Wavering {
    moments: Vec<[f64; 3]>,
    smoothing: f64,
}

impl Wavering {
    /// Nothing seen yet of `n` samples; `smoothing` is beta.
    pub fn new(n: usize, smoothing: f64) -> Self {
        Self { moments: vec![[0.; 3]; n], smoothing }
    }

    /// Appends p(given label) of a visit.
    pub fn push(&mut self, sample: u32, probability: f64) {
        let [n, mean, squares] = &mut self.moments[sample as usize];
        *n += 1.;
        let gap = probability - *mean;
        *mean += gap / *n;
        *squares += gap * (probability - *mean);
    }

    /// s = sqrt(v + v^2 / (n - 1)) + beta, with the population variance v of n values; beta alone for fewer than two.
    fn spread(&self, sample: u32) -> f64 {
        let [n, _, squares] = self.moments[sample as usize];
        if n < 2. {
            return self.smoothing;
        }
        let v = squares / n;
        (v + v * v / (n - 1.)).sqrt() + self.smoothing
    }

    /// Weights of a batch; their mean is 1.
    pub fn weights(&self, samples: &[u32]) -> Vec<f32> {
        let spreads: Vec<f64> = samples.iter().map(|&x| self.spread(x)).collect();
        let mean = spreads.iter().sum::<f64>() / samples.len() as f64;
        // Without smoothing and history there is nothing to prefer.
        spreads.iter().map(|s| if mean > 0. { (s / mean) as f32 } else { 1. }).collect()
    }

    /// The moments, for a checkpoint.
    pub fn state(&self) -> &[[f64; 3]] {
        &self.moments
    }

    /// Takes back what [`Self::state`] gave.
    pub fn set_state(&mut self, moments: Vec<[f64; 3]>) -> bool {
        let fits = moments.len() == self.moments.len();
        if fits {
            self.moments = moments;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    /// By hand: 0.2, 0.6, 0.7 have mean 0.5 and population variance 0.14 / 3.
    #[test]
    fn spread_of_three_visits() {
        let mut wavering = Wavering::new(2, 0.02);
        for p in [0.2, 0.6, 0.7] {
            wavering.push(0, p);
        }
        let v: f64 = 0.14 / 3.;
        assert_relative_eq!(wavering.spread(0), (v + v * v / 2.).sqrt() + 0.02, max_relative = 1e-12);
        assert_eq!(wavering.spread(1), 0.02);
        wavering.push(1, 0.9);
        assert_eq!(wavering.spread(1), 0.02, "n - 1 = 0 must not divide");
    }

    proptest! {
        #[test]
        fn weights_average_one(seen in prop::collection::vec((0u32..6, 0f64..1.), 0..60), smoothing in 0f64..0.3) {
            let mut wavering = Wavering::new(6, smoothing);
            for &(sample, p) in &seen {
                wavering.push(sample, p);
            }
            let weights = wavering.weights(&[0, 1, 2, 3, 4, 5]);
            let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / 6.;
            prop_assert!((mean - 1.).abs() < 1e-5);
            prop_assert!(weights.iter().all(|w| *w >= 0. && w.is_finite()));
        }
    }
}
