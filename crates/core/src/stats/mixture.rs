//! A mixture of two normal distributions on a line.

use std::f64::consts::PI;

use super::{Error, Result, quantile};

/// Least variance of a component.
const FLOOR: f64 = 1e-6;

/// Two normal components, that of the smaller mean first.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GaussianMixture {
    /// Means.
    pub mean: [f64; 2],
    /// Variances.
    pub variance: [f64; 2],
    /// Shares.
    pub weight: [f64; 2],
}

impl GaussianMixture {
    /// Maximum likelihood by `iterations` rounds of EM, from means at the quartiles and the pooled variance. Variances do
    /// not fall below 1e-6. Fails on fewer than 2 values and on non-finite ones.
    pub fn fit(xs: &[f64], iterations: usize) -> Result<Self> {
        if xs.len() < 2 {
            return Err(Error::TooFew { what: "values", needed: 2, got: xs.len() });
        }
        let n = xs.len() as f64;
        let mean = xs.iter().sum::<f64>() / n;
        let pooled = (xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).max(FLOOR);
        let mut fit =
            Self { mean: [quantile(xs, 0.25)?, quantile(xs, 0.75)?], variance: [pooled; 2], weight: [0.5; 2] };
        for _ in 0..iterations {
            let second: Vec<f64> = xs.iter().map(|&x| fit.posterior(x)).collect();
            for k in 0..2 {
                let share = |r: f64| if k == 1 { r } else { 1. - r };
                let total: f64 = second.iter().map(|&r| share(r)).sum();
                if total <= 0. {
                    continue;
                }
                let mean = xs.iter().zip(&second).map(|(x, &r)| share(r) * x).sum::<f64>() / total;
                let spread = xs.iter().zip(&second).map(|(x, &r)| share(r) * (x - mean).powi(2)).sum::<f64>() / total;
                (fit.mean[k], fit.variance[k], fit.weight[k]) = (mean, spread.max(FLOOR), total / n);
            }
        }
        if fit.mean[0] > fit.mean[1] {
            fit.mean.reverse();
            fit.variance.reverse();
            fit.weight.reverse();
        }
        Ok(fit)
    }

    fn log_terms(&self, x: f64) -> [f64; 2] {
        [0, 1].map(|k| {
            let z = (x - self.mean[k]).powi(2) / self.variance[k];
            self.weight[k].ln() - 0.5 * (z + (2. * PI * self.variance[k]).ln())
        })
    }

    /// Probability density.
    pub fn density(&self, x: f64) -> f64 {
        self.log_terms(x).iter().map(|t| t.exp()).sum()
    }

    /// Probability that `x` came from the component with the larger mean.
    pub fn posterior(&self, x: f64) -> f64 {
        let [first, second] = self.log_terms(x);
        1. / (1. + (first - second).exp())
    }

    /// Distribution function.
    pub fn cdf(&self, x: f64) -> f64 {
        let normal = |k: usize| 0.5 * statrs::function::erf::erfc(-(x - self.mean[k]) / (2. * self.variance[k]).sqrt());
        self.weight[0] * normal(0) + self.weight[1] * normal(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups far apart: each component is its group's mean, variance and share.
    #[test]
    fn separate_groups_are_found() {
        let xs: Vec<f64> = (0..100).map(|i| if i < 70 { i as f64 * 1e-3 } else { 5. + i as f64 * 1e-3 }).collect();
        let fit = GaussianMixture::fit(&xs, 10).unwrap();
        let variance = |n: f64| (n * n - 1.) / 12. * 1e-6;
        for (k, (mean, variance, weight)) in
            [(0.0345, variance(70.), 0.7), (5.0845, variance(30.), 0.3)].into_iter().enumerate()
        {
            assert!((fit.mean[k] - mean).abs() < 1e-9 && (fit.weight[k] - weight).abs() < 1e-9, "{fit:?}");
            assert!((fit.variance[k] - variance).abs() < 1e-9, "{fit:?}");
        }
        assert!(fit.posterior(0.) < 1e-9 && fit.posterior(5.) > 1. - 1e-9);
        assert!((fit.cdf(2.) - 0.7).abs() < 1e-9);
    }

    #[test]
    fn density_integrates_to_one() {
        let fit = GaussianMixture { mean: [0.2, 0.7], variance: [0.01, 0.02], weight: [0.4, 0.6] };
        let sum: f64 = (-1000..3000).map(|i| fit.density((f64::from(i) + 0.5) * 1e-3) * 1e-3).sum();
        assert!((sum - 1.).abs() < 1e-6);
        assert!(GaussianMixture::fit(&[1.], 10).is_err());
    }
}
