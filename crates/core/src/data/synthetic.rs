//! A task of Gaussian classes whose noise-free accuracy is set beforehand.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

use super::{Dataset, Error, Inputs, Normalisation, Split};
use crate::Seed;

/// Classes with unit covariance, whose means lie on one axis each, all at the same distance from one another: like the
/// vertices of a regular simplex, so that no two classes are easier to confuse than any other two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gaussians {
    /// Number of classes, at least two.
    pub classes: usize,
    /// Dimension of an input, at least `classes`.
    pub dim: usize,
    /// Distance between two class means, in standard deviations within a class.
    pub separation: f64,
    /// Training samples; classes take turns.
    pub train: usize,
    /// Test samples; classes take turns.
    pub test: usize,
}

impl Gaussians {
    /// This task with the separation at which the best possible classifier has the given accuracy.
    pub fn with_bayes_accuracy(self, accuracy: f64) -> Result<Gaussians, Error> {
        self.solve(accuracy, |task| task.bayes_accuracy())
    }

    /// This task with the separation at which the nearest of its `train` samples gives the right class with the given
    /// probability. The probability is that on 2,000 test samples drawn for this purpose: a standard error of at most
    /// 0.011, of one seed always the same.
    pub fn with_nearest_neighbour_accuracy(self, accuracy: f64, seed: Seed) -> Result<Gaussians, Error> {
        self.check()?;
        let mut stream = seed.stream("gaussians/calibration");
        let points = |n: usize, stream: &mut ChaCha8Rng| -> Vec<f32> {
            (0..n * self.dim).map(|_| stream.sample(StandardNormal)).collect()
        };
        let (train, test) = (points(self.train, &mut stream), points(2_000, &mut stream));
        // Squared distances of the noise alone; shifting the means adds terms that are cheap to redo.
        let distances: Vec<f32> = test
            .chunks_exact(self.dim)
            .flat_map(|x| {
                train.chunks_exact(self.dim).map(|y| x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum::<f32>())
            })
            .collect();
        let accuracy_at = |task: Gaussians| {
            let mean = task.mean() as f32;
            let right = test.chunks_exact(self.dim).zip(distances.chunks_exact(self.train)).enumerate();
            let right = right.filter(|(i, (x, distances))| {
                let class = i % self.classes;
                let with_means = train.chunks_exact(self.dim).zip(*distances).enumerate().map(|(j, (y, &distance))| {
                    let other = j % self.classes;
                    let apart = if class == other {
                        0.0
                    } else {
                        2.0 * mean * ((x[class] - y[class]) - (x[other] - y[other]) + mean)
                    };
                    (distance + apart, other)
                });
                let nearest = with_means.min_by(|a, b| a.0.total_cmp(&b.0)).expect("at least one training sample");
                nearest.1 == class
            });
            right.count() as f64 / 2_000.0
        };
        self.solve(accuracy, accuracy_at)
    }

    /// Accuracy of the best possible classifier: the probability that the coordinate with the class mean exceeds the
    /// `classes - 1` others.
    pub fn bayes_accuracy(&self) -> f64 {
        let (mean, others) = (self.mean(), self.classes as i32 - 1);
        let density = |z: f64| {
            let normal = (-0.5 * (z - mean) * (z - mean)).exp() / (2.0 * std::f64::consts::PI).sqrt();
            normal * (0.5 * erfc(-z * std::f64::consts::FRAC_1_SQRT_2)).powi(others)
        };
        // Beyond nine deviations lies less than 1e-18; for so smooth a function the trapezoid rule is exact.
        const STEPS: usize = 1_000;
        let width = 18.0 / STEPS as f64;
        (0..=STEPS).map(|i| density(mean - 9.0 + i as f64 * width)).sum::<f64>() * width
    }

    /// Draws the task.
    pub fn dataset(&self, seed: Seed) -> Result<Dataset, Error> {
        self.check()?;
        let split = |n: usize, usage: &str| {
            let mut stream = seed.stream(usage);
            let mut values: Vec<f32> = (0..n * self.dim).map(|_| stream.sample(StandardNormal)).collect();
            let labels: Vec<u32> = (0..n).map(|i| (i % self.classes) as u32).collect();
            for (x, &class) in values.chunks_exact_mut(self.dim).zip(&labels) {
                x[class as usize] += self.mean() as f32;
            }
            Split { inputs: Inputs::Vectors { values, dim: self.dim }, labels }
        };
        Ok(Dataset {
            name: format!("gaussians-{}x{}-{:.4}", self.classes, self.dim, self.separation),
            classes: self.classes,
            train: split(self.train, "gaussians/train"),
            test: split(self.test, "gaussians/test"),
            normalisation: Normalisation::UnitInterval,
        })
    }

    /// The coordinate of a class mean on its own axis.
    fn mean(&self) -> f64 {
        self.separation * std::f64::consts::FRAC_1_SQRT_2
    }

    fn check(&self) -> Result<(), Error> {
        if self.classes < 2 || self.dim < self.classes {
            return Err(Error::Invalid(format!(
                "Gaussian classes need an axis each: {} classes in {} dimensions are not possible; take at least 2 \
                 classes and as many dimensions",
                self.classes, self.dim
            )));
        }
        if self.train < self.classes || self.test < self.classes {
            return Err(Error::Invalid(format!(
                "{} training and {} test samples are too few for {} Gaussian classes; take one of each at least",
                self.train, self.test, self.classes
            )));
        }
        Ok(())
    }

    /// Bisects for the separation.
    fn solve(self, accuracy: f64, accuracy_at: impl Fn(Gaussians) -> f64) -> Result<Gaussians, Error> {
        self.check()?;
        let at = |separation| Gaussians { separation, ..self };
        let (mut low, mut high) = (0.0, 100.0);
        let chance = 1.0 / self.classes as f64;
        if !(accuracy > chance && accuracy < 1.0) {
            return Err(Error::Invalid(format!(
                "an accuracy of {accuracy} cannot be had with {} classes; take one between {chance:.3} and 1",
                self.classes
            )));
        }
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if accuracy_at(at(middle)) < accuracy { low = middle } else { high = middle }
        }
        Ok(at(0.5 * (low + high)))
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    use super::*;

    const TASK: Gaussians = Gaussians { classes: 10, dim: 20, separation: 0.0, train: 1_000, test: 1_000 };

    fn vectors(split: &Split) -> &[f32] {
        match &split.inputs {
            Inputs::Vectors { values, .. } => values,
            Inputs::Images { .. } => unreachable!("Gaussians are vectors"),
        }
    }

    // import numpy as np; from scipy.integrate import quad; from scipy.stats import norm
    // for c, s in [(2, 1.0), (3, 2.0), (10, 3.0), (10, 6.0)]:
    //     m = s / np.sqrt(2)
    //     print(quad(lambda z: norm.pdf(z - m) * norm.cdf(z) ** (c - 1), m - 12, m + 12, epsabs=1e-13)[0])
    #[test]
    fn bayes_accuracy_is_the_integral() {
        for (classes, separation, expected) in [
            (2, 1.0, 0.6914624612740131),
            (3, 2.0, 0.7452035868467494),
            (10, 3.0, 0.710011636592295),
            (10, 6.0, 0.9899363722677366),
        ] {
            let task = Gaussians { classes, separation, ..TASK };
            assert_abs_diff_eq!(task.bayes_accuracy(), expected, epsilon = 1e-10);
        }
        // Two classes: the probability that a normal number is below half the distance. `erfc` is good to about 1e-11.
        let two = Gaussians { classes: 2, separation: 1.7, ..TASK };
        assert_abs_diff_eq!(two.bayes_accuracy(), 0.5 * erfc(-0.85 * std::f64::consts::FRAC_1_SQRT_2), epsilon = 1e-10);
    }

    proptest! {
        #[test]
        fn the_wanted_bayes_accuracy_is_met(classes in 2usize..20, accuracy in 0.55f64..0.999) {
            let task = Gaussians { classes, ..TASK }.with_bayes_accuracy(accuracy).unwrap();
            prop_assert!((task.bayes_accuracy() - accuracy).abs() < 1e-9);
        }
    }

    #[test]
    fn a_sample_has_the_accuracy_that_was_asked_for() {
        let task = Gaussians { test: 20_000, ..TASK }.with_bayes_accuracy(0.8).unwrap();
        let data = task.dataset(Seed(3)).unwrap();
        let right = vectors(&data.test).chunks_exact(20).zip(&data.test.labels).filter(|(x, label)| {
            let best = (0..10).max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap();
            best == **label as usize
        });
        // Four standard errors.
        assert_abs_diff_eq!(right.count() as f64 / 20_000.0, 0.8, epsilon = 0.0114);
    }

    #[test]
    fn nearest_neighbours_have_the_accuracy_that_was_asked_for() {
        let task = Gaussians { test: 4_000, ..TASK }.with_nearest_neighbour_accuracy(0.9, Seed(1)).unwrap();
        let data = task.dataset(Seed(2)).unwrap();
        let train = vectors(&data.train);
        let right = vectors(&data.test).chunks_exact(20).zip(&data.test.labels).filter(|(x, label)| {
            let distance = |y: &[f32]| x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            let nearest = train.chunks_exact(20).map(distance).enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            data.train.labels[nearest.0] == **label
        });
        // Four standard errors of calibration and test together.
        assert_abs_diff_eq!(right.count() as f64 / 4_000.0, 0.9, epsilon = 0.033);
    }

    #[test]
    fn one_seed_gives_one_task_and_what_cannot_be_is_refused() {
        let task = Gaussians { separation: 4.0, ..TASK };
        let (a, b, c) = (task.dataset(Seed(1)), task.dataset(Seed(1)), task.dataset(Seed(2)));
        let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
        assert_eq!((&a.train, &a.test), (&b.train, &b.test));
        assert_ne!(a.train, c.train);
        assert_ne!(vectors(&a.train), vectors(&a.test));
        assert!(Gaussians { dim: 9, ..TASK }.dataset(Seed(1)).is_err());
        assert!(Gaussians { test: 3, ..TASK }.dataset(Seed(1)).is_err());
        assert!(TASK.with_bayes_accuracy(0.1).is_err());
        assert!(TASK.with_bayes_accuracy(1.0).is_err());
    }
}
