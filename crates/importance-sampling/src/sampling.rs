//! Resampling by score, its weights, and when it pays (section 3.3).

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Share of the old average that tau keeps at each update.
pub const TAU_KEPT: f64 = 0.9;
/// Forward equivalents of a sample trained on: a backward pass counts as two forward passes.
pub const TRAINED: f64 = 3.;

/// Probabilities `g_i = s_i / sum s` over a pre-sample.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// g.
    pub probabilities: Vec<f64>,
    /// All scores were zero, so the distribution is uniform.
    pub fell_back: bool,
    cumulative: Vec<f64>,
}

impl Distribution {
    /// From scores that are finite and not negative. Where all are zero nothing is known, and all are equally likely.
    pub fn new(scores: &[f64]) -> Self {
        let total: f64 = scores.iter().sum();
        if total.is_infinite() {
            let largest = scores.iter().copied().fold(0., f64::max);
            return Self::new(&scores.iter().map(|s| s / largest).collect::<Vec<f64>>());
        }
        let fell_back = total <= 0.;
        let probability = |s: &f64| if fell_back { 1. / scores.len() as f64 } else { s / total };
        let probabilities: Vec<f64> = scores.iter().map(probability).collect();
        let mut sum = 0.;
        let mut add = |g: &f64| {
            sum += g;
            sum
        };
        let cumulative = probabilities.iter().map(&mut add).collect();
        Self { probabilities, fell_back, cumulative }
    }

    /// `w_i = 1 / (B g_i)`, which keeps the mean of weighted gradients unbiased. Infinite for what is never drawn.
    pub fn weight(&self, i: usize) -> f64 {
        1. / (self.probabilities.len() as f64 * self.probabilities[i])
    }

    /// `count` places, independent, with replacement.
    pub fn draw(&self, count: usize, stream: &mut impl Rng) -> Vec<usize> {
        let total = self.cumulative.last().copied().unwrap_or(0.);
        // The last place with a probability, should rounding point behind it.
        let last = self.probabilities.iter().rposition(|&g| g > 0.).unwrap_or(0);
        let mut place = || {
            let at = stream.random::<f64>() * total;
            self.cumulative.partition_point(|&c| c <= at).min(last)
        };
        (0..count).map(|_| place()).collect()
    }
}

/// `tau = [1 - ||g - u||^2 / sum g^2]^(-1/2)`, which is `sqrt(B sum g^2)` exactly: how many times larger a uniform batch
/// would have to be, by the published argument, for the same variance. 1 for equal scores, at most `sqrt(B)`.
pub fn tau(probabilities: &[f64]) -> f64 {
    (probabilities.len() as f64 * probabilities.iter().map(|g| g * g).sum::<f64>()).sqrt()
}

/// The tau above which an update of importance sampling is said to pay: `(B + kappa b) / (kappa b)`, with kappa the cost
/// of a sample trained on over that of a sample scored (3 in the paper).
pub fn threshold(presample: usize, batch: usize, kappa: f64) -> f64 {
    let trained = kappa * batch as f64;
    (presample as f64 + trained) / trained
}

/// Variance of a two-stage gradient over that of a uniform batch of the same size `b`, when B are pre-sampled:
/// `b / B + (1 - 1 / B) rho`, where `rho` is the ratio that resampling alone would give. The first term is the pre-sample's
/// own variance, which the paper's tau leaves out.
pub fn variance_ratio(presample: usize, batch: usize, rho: f64) -> f64 {
    let presample = presample as f64;
    batch as f64 / presample + (1. - 1. / presample) * rho
}

/// Variance times cost of importance sampling over that of uniform sampling: below 1 it pays.
pub fn variance_times_cost(presample: usize, batch: usize, rho: f64, kappa: f64) -> f64 {
    variance_ratio(presample, batch, rho) * threshold(presample, batch, kappa)
}

/// The tau from which on [`variance_times_cost`] is below 1 where the mean gradient is small, so that `rho = 1 / tau^2`;
/// none where no tau is enough.
pub fn break_even(presample: usize, batch: usize, kappa: f64) -> Option<f64> {
    let (b, size) = (batch as f64, presample as f64);
    let rho = (1. / threshold(presample, batch, kappa) - b / size) / (1. - 1. / size);
    (rho > 0.).then(|| rho.powf(-0.5))
}

/// Algorithm 1's switch: a moving average of tau, started at zero and not corrected for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    /// The average.
    pub tau: f64,
    /// The last tau that went into it.
    pub latest: f64,
}

impl Switch {
    /// Before the first update.
    pub const START: Self = Self { tau: 0., latest: 0. };

    /// Whether the next update samples by score.
    pub fn is_on(&self, threshold: f64) -> bool {
        self.tau > threshold
    }

    /// Takes in the scores of an update. All-zero scores say nothing.
    pub fn update(&mut self, distribution: &Distribution) {
        if !distribution.fell_back {
            self.latest = tau(&distribution.probabilities);
            self.tau = TAU_KEPT * self.tau + (1. - TAU_KEPT) * self.latest;
        }
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;
    use rand_distr_free::normals;
    use retrial_core::Seed;

    use super::*;

    /// Protocol section 3.3.
    #[test]
    fn tau_and_weights_are_the_published_ones() {
        let cases: [(&[f64], f64, &[f64]); 4] = [
            (&[1., 1., 1., 1.], 1., &[1., 1., 1., 1.]),
            (&[1., 2., 3., 4.], 1.0954451, &[2.5, 1.25, 0.83333333, 0.625]),
            (&[0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 1.], 2.9024774, &[10.9, 10.9]),
            (&[0., 0., 0., 1.], 2., &[f64::INFINITY, f64::INFINITY, f64::INFINITY, 0.25]),
        ];
        for (scores, expected, weights) in cases {
            let distribution = Distribution::new(scores);
            assert_relative_eq!(tau(&distribution.probabilities), expected, max_relative = 1e-7);
            for (i, &w) in weights.iter().enumerate() {
                assert_relative_eq!(distribution.weight(i), w, max_relative = 1e-7);
            }
        }
        assert_relative_eq!(
            Distribution::new(&[0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 1.]).weight(9),
            0.109
        );
    }

    #[test]
    fn thresholds_are_those_of_the_table() {
        for (b, presample, expected) in
            [(128, 384, 2.), (128, 640, 2.667), (128, 1024, 3.667), (32, 128, 2.333), (16, 48, 2.)]
        {
            assert_relative_eq!(threshold(presample, b, 3.), expected, max_relative = 2e-4);
        }
    }

    /// Protocol section 3.4.
    #[test]
    fn break_even_taus() {
        for (k, expected) in [(2, 3.16), (3, 2.45), (4, 2.37), (5, 2.39), (6, 2.45), (8, 2.60)] {
            assert_relative_eq!(break_even(100 * k, 100, 3.).unwrap(), expected, max_relative = 3e-3);
        }
        assert_eq!(break_even(100, 100, 3.), None);
        assert_eq!(break_even(1, 1, 3.), None);
    }

    /// The tau at which it says that sampling breaks even is where variance times cost is 1, at any size.
    #[test]
    fn break_even_is_where_variance_times_cost_is_one() {
        for (presample, batch, kappa) in [(10, 2, 3.), (48, 16, 3.), (640, 128, 2.7), (100_000, 20_000, 2.2)] {
            let tau = break_even(presample, batch, kappa).unwrap();
            assert_relative_eq!(variance_times_cost(presample, batch, tau.powi(-2), kappa), 1., max_relative = 1e-12);
        }
        // Ten scores, b = 2: 1 / tau^2 = (3 / 8 - 1 / 5) / (9 / 10).
        assert_relative_eq!(break_even(10, 2, 3.).unwrap(), (0.9f64 / 0.175).sqrt(), max_relative = 1e-12);
    }

    #[test]
    fn zero_scores_fall_back_to_uniform_and_leave_tau_alone() {
        let distribution = Distribution::new(&[0., 0.]);
        assert!(distribution.fell_back && distribution.probabilities == [0.5, 0.5]);
        let mut switch = Switch { tau: 1.7, latest: 2. };
        switch.update(&distribution);
        assert_eq!(switch.tau, 1.7);
    }

    /// 14 updates for a threshold of 1.5 at a constant tau of 2, 27 at 1.6; and it works both ways.
    #[test]
    fn the_switch_turns_after_the_published_number_of_updates() {
        let of = |tau: f64| {
            // Two scores 1 and x have tau^2 = 2 (1 + x^2) / (1 + x)^2; four, one of them larger, reach 2.
            let x = (1..100_000).map(|i| f64::from(i) / 1e5).find(|x| {
                let scores = [*x, *x, *x, 1.];
                super::tau(&Distribution::new(&scores).probabilities) <= tau
            });
            x.map_or(Distribution::new(&[0., 0., 0., 1.]), |x| Distribution::new(&[x, x, x, 1.]))
        };
        for (tau, updates) in [(1.999_95, 14), (1.6, 27)] {
            let mut switch = Switch::START;
            let distribution = of(tau);
            let first = (1..).find(|_| {
                switch.update(&distribution);
                switch.is_on(1.5)
            });
            assert_eq!(first, Some(updates));
            let flat = Distribution::new(&[1., 1., 1., 1.]);
            (0..30).for_each(|_| switch.update(&flat));
            assert!(!switch.is_on(1.5));
        }
    }

    proptest! {
        /// tau is the root of one plus the squared coefficient of variation, between 1 and the root of B.
        #[test]
        fn tau_is_an_identity_of_the_coefficient_of_variation(scores in prop::collection::vec(0.0..5.0f64, 2..40)) {
            prop_assume!(scores.iter().sum::<f64>() > 0.);
            let n = scores.len() as f64;
            let mean = scores.iter().sum::<f64>() / n;
            let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
            let g = Distribution::new(&scores).probabilities;
            let found = tau(&g);
            prop_assert!((found - (1. + variance / mean.powi(2)).sqrt()).abs() < 1e-9 * found);
            prop_assert!(found >= 1. - 1e-12 && found <= n.sqrt() + 1e-9);
            let distance: f64 = g.iter().map(|g| (g - 1. / n).powi(2)).sum();
            let published = (1. - distance / g.iter().map(|g| g * g).sum::<f64>()).powf(-0.5);
            prop_assert!((found - published).abs() < 1e-6 * found);
        }

        /// What has no probability is never drawn, and the weighted mean of ones is 1 in expectation.
        #[test]
        fn draws_follow_the_probabilities(scores in prop::collection::vec(0.0..5.0f64, 2..12), seed in 0u64..1000) {
            let scores: Vec<f64> = scores.iter().map(|s| if *s < 1. { 0. } else { *s }).collect();
            prop_assume!(scores.iter().any(|s| *s > 0.));
            let distribution = Distribution::new(&scores);
            let draws = distribution.draw(20_000, &mut Seed(seed).stream("test"));
            let mut counts = vec![0usize; scores.len()];
            draws.iter().for_each(|&i| counts[i] += 1);
            for (count, g) in counts.iter().zip(&distribution.probabilities) {
                let expected = 20_000. * g;
                prop_assert!((*count as f64 - expected).abs() <= 5. * (expected * (1. - g)).sqrt() + 1e-9);
            }
        }
    }

    /// Monte Carlo on the whole scheme, one dimension with a heavy tail: the two-stage estimator is unbiased, and its
    /// variance over that of uniform batches is R; with constant scores it is `1 + (b - 1) / B`, worse than uniform.
    #[test]
    fn the_two_stage_scheme_is_unbiased_and_has_the_predicted_variance() {
        let mut stream = Seed(7).stream("population");
        let population: Vec<f64> = normals(4000, &mut stream).iter().map(|z| z.powi(3) + 0.2).collect();
        let n = population.len() as f64;
        let mean = population.iter().sum::<f64>() / n;
        let second = population.iter().map(|x| x * x).sum::<f64>() / n;
        let first = population.iter().map(|x| x.abs()).sum::<f64>() / n;
        let (b, presample) = (10, 50);
        let exact = (first * first - mean * mean) / (second - mean * mean);
        for (constant, predicted) in
            [(false, variance_ratio(presample, b, exact)), (true, 1. + (b as f64 - 1.) / presample as f64)]
        {
            let mut sums = [0., 0.];
            let rounds = 60_000;
            for _ in 0..rounds {
                let set: Vec<f64> =
                    (0..presample).map(|_| population[stream.random_range(0..population.len())]).collect();
                let scores: Vec<f64> = set.iter().map(|x| if constant { 1. } else { x.abs() }).collect();
                let g = Distribution::new(&scores);
                let estimate = g.draw(b, &mut stream).iter().map(|&i| g.weight(i) * set[i]).sum::<f64>() / b as f64;
                sums[0] += estimate;
                sums[1] += (estimate - mean).powi(2);
            }
            let rounds = f64::from(rounds);
            let uniform = (second - mean * mean) / b as f64;
            let variance = sums[1] / rounds;
            assert!((sums[0] / rounds - mean).abs() < 4. * (variance / rounds).sqrt(), "biased");
            assert!((variance / uniform / predicted - 1.).abs() < 0.06, "{} not {predicted}", variance / uniform);
        }
    }

    /// Standard normal numbers without a further dependency.
    mod rand_distr_free {
        use rand::{Rng, RngExt};

        pub fn normals(n: usize, stream: &mut impl Rng) -> Vec<f64> {
            let mut one = || {
                let (u, v): (f64, f64) = (stream.random(), stream.random());
                (-2. * (1. - u).ln()).sqrt() * (2. * std::f64::consts::PI * v).cos()
            };
            (0..n).map(|_| one()).collect()
        }
    }
}
