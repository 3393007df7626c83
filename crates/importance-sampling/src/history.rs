//! Baselines that remember the last known loss of every training sample.

use rand::{Rng, RngExt};

use crate::sampling::Distribution;

/// Online batch selection: probabilities fall geometrically with the rank of the loss, the largest loss first;
/// `p_i` is proportional to `exp(-ln(s) rank_i / N)`, so that the largest is about `s` times the smallest.
#[derive(Clone, Debug)]
pub struct Ranks {
    order: Vec<u32>,
}

impl Ranks {
    /// Samples by falling loss; equal losses in the order of samples.
    pub fn of(losses: &[f32]) -> Self {
        let mut order: Vec<u32> = (0..losses.len() as u32).collect();
        order.sort_by(|&a, &b| losses[b as usize].total_cmp(&losses[a as usize]));
        Self { order }
    }

    /// From what [`Self::order`] told.
    pub fn in_order(order: Vec<u32>) -> Self {
        Self { order }
    }

    /// Samples by rank.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The probability of a rank at selection pressure `s`, of `n` samples.
    pub fn probability(rank: usize, n: usize, s: f64) -> f64 {
        let fall = (-s.ln() / n as f64).exp();
        let total = if s == 1. { n as f64 } else { (1. - 1. / s) / (1. - fall) };
        fall.powi(rank as i32) / total
    }

    /// `count` samples, with replacement.
    pub fn draw(&self, count: usize, s: f64, stream: &mut impl Rng) -> Vec<u32> {
        let n = self.order.len();
        let rank = |u: f64| {
            // Inverse of the distribution function (1 - fall^(rank + 1)) / (1 - 1 / s).
            let rank = if s == 1. { u * n as f64 } else { -(1. - u * (1. - 1. / s)).ln() * n as f64 / s.ln() };
            (rank as usize).min(n - 1)
        };
        (0..count).map(|_| self.order[rank(stream.random())]).collect()
    }

    /// The pressure at a share of training: geometrically from `first` to `last`.
    pub fn pressure(first: f64, last: f64, share: f64) -> f64 {
        first * (last / first).powf(share.clamp(0., 1.))
    }
}

/// Proportional prioritisation: samples never seen count with the mean of the known losses.
pub fn priorities(losses: &[f32], alpha: f64) -> Distribution {
    let known: Vec<f64> = losses.iter().filter(|l| l.is_finite()).map(|&l| f64::from(l)).collect();
    let mean = if known.is_empty() { 1. } else { known.iter().sum::<f64>() / known.len() as f64 };
    let power = |loss: &f32| if loss.is_finite() { f64::from(*loss).powf(alpha) } else { mean.powf(alpha) };
    Distribution::new(&losses.iter().map(power).collect::<Vec<f64>>())
}

/// `(1 / (N p_i))^beta`, scaled so that the weighted losses of the batch keep the sum that unbiased weights give them: at
/// `beta = 1` nothing is changed. As the authors' code has it.
pub fn annealed_weights(weights: &[f64], losses: &[f64], beta: f64) -> Vec<f64> {
    let raw: Vec<f64> = weights.iter().map(|w| w.powf(beta)).collect();
    let weighted: f64 = raw.iter().zip(losses).map(|(w, l)| w * l).sum();
    let unbiased: f64 = weights.iter().zip(losses).map(|(w, l)| w * l).sum();
    let scale = if weighted > 0. { unbiased / weighted } else { 1. };
    raw.iter().map(|w| w * scale).collect()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use retrial_core::Seed;

    use super::*;

    #[test]
    fn rank_probabilities_sum_to_one_and_span_the_pressure() {
        for s in [1., 10., 100.] {
            let p: Vec<f64> = (0..1000).map(|rank| Ranks::probability(rank, 1000, s)).collect();
            assert_relative_eq!(p.iter().sum::<f64>(), 1., max_relative = 1e-9);
            assert_relative_eq!(p[0] / p[999], s, max_relative = 0.01);
        }
        assert_relative_eq!(Ranks::pressure(100., 1., 0.5), 10., max_relative = 1e-12);
    }

    #[test]
    fn ranks_are_drawn_by_their_probability() {
        let ranks = Ranks::of(&[0.1, 3., 0.5, 2.]);
        assert_eq!(ranks.order, [1, 3, 2, 0]);
        let draws = ranks.draw(100_000, 20., &mut Seed(1).stream("test"));
        for (rank, sample) in ranks.order.iter().enumerate() {
            let share = draws.iter().filter(|&d| d == sample).count() as f64 / 1e5;
            assert!((share - Ranks::probability(rank, 4, 20.)).abs() < 0.006, "{rank}: {share}");
        }
        let flat = ranks.draw(40_000, 1., &mut Seed(2).stream("test"));
        assert!((flat.iter().filter(|&&d| d == 0).count() as f64 / 4e4 - 0.25).abs() < 0.01);
    }

    #[test]
    fn unseen_samples_count_with_the_mean_and_weights_keep_the_sum() {
        let p = priorities(&[1., f32::NAN, 3.], 1.).probabilities;
        assert_relative_eq!(p[1], 1. / 3.);
        assert_eq!(priorities(&[f32::NAN, f32::NAN], 0.5).probabilities, [0.5, 0.5]);
        let losses = [1., 2., 4.];
        // The unbiased sum is 4 + 2 + 1 = 7 by chance that of the losses, so a second triple: 4 + 2 + 4 = 10.
        let w = annealed_weights(&[4., 1., 0.25], &losses, 0.5);
        assert_relative_eq!(w.iter().zip(losses).map(|(w, l)| w * l).sum::<f64>(), 7., max_relative = 1e-12);
        let flat = annealed_weights(&[4., 1., 1.], &losses, 0.5);
        assert_relative_eq!(flat.iter().zip(losses).map(|(w, l)| w * l).sum::<f64>(), 10., max_relative = 1e-12);
        assert_eq!(annealed_weights(&[4., 1., 1.], &losses, 1.), [4., 1., 1.]);
        assert_relative_eq!(w[0] / w[2], 4., max_relative = 1e-12);
    }
}
