//! How well a resampled batch estimates the gradient of a set (section 4.1, Fig. 1 and 2), for a network as it stands.
//!
//! With all per-sample gradients known, the error of resampling with any probabilities has a closed form,
//! `E ||(1/b) sum w G - mean||^2 = (1/b) [(1/B^2) sum ||G_i||^2 / p_i - ||mean||^2]`, so nothing needs to be drawn; the
//! paper's ten resamplings are done as well.

use candle_core::Tensor;
use rand::seq::SliceRandom;
use retrial_core::Seed;
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::Model;
use serde::{Deserialize, Serialize};

use crate::config::Analysis;
use crate::learner::Learner;
use crate::sampling::{Distribution, tau};
use crate::task::Task;

/// One snapshot; a row of `variance.csv`. Ratios are to uniform resampling of the same set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Updates of the network.
    pub updates: u64,
    /// Expected root mean square distance with the loss as score.
    pub rms_loss: f64,
    /// With the upper bound.
    pub rms_bound: f64,
    /// With the true gradient norm.
    pub rms_norm: f64,
    /// Mean distance over the resamplings with the loss as score, over the mean of uniform ones: the paper's y axis.
    pub drawn_loss: f64,
    /// With the upper bound.
    pub drawn_bound: f64,
    /// With the true gradient norm.
    pub drawn_norm: f64,
    /// tau from the bounds, as the method sees it.
    pub tau_bound: f64,
    /// tau from the true norms.
    pub tau_norm: f64,
    /// Standard deviation over mean of `||G_i|| / bound_i`.
    pub spread: f64,
    /// Ratio of variances with the bound as score, for the population that the set was drawn from: the rho of section 3.4.
    pub rho_bound: f64,
    /// Length of the mean gradient over the root mean square length of single ones, noise corrected; 0 where negative.
    pub mean_share: f64,
}

/// The probabilities of one sample of one snapshot; a row of `probabilities.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probabilities {
    /// Updates of the network.
    pub updates: u64,
    /// By true gradient norm.
    pub norm: f64,
    /// By upper bound.
    pub bound: f64,
    /// By loss.
    pub loss: f64,
}

/// Analyses the network as it is; adds rows to `variance.csv` and `probabilities.csv`.
pub fn snapshot(
    config: &Analysis,
    model: &Model,
    task: &Task,
    updates: u64,
    seed: Seed,
    run: &mut CellRun,
) -> Result<(), CellError> {
    let device = run.device().clone();
    let mut all: Vec<u32> = (0..task.train.len() as u32).collect();
    all.shuffle(&mut seed.stream_at("analysis", updates));
    all.truncate(config.set);
    let x = task.batch(&all, seed.derive("analysis"), updates, &device)?;
    let labels = task.labels(&all);
    let gradient = |i: usize| -> Result<(Vec<f32>, f64, f64), CellError> {
        let pass = Learner::gradients(model, &x.narrow(0, i, 1)?, &labels[i..=i], |_| None)?;
        let mut flat = vec![];
        for parameter in model.parameters.trainable.values() {
            let part = pass.gradients.get(&parameter.var).map(Tensor::flatten_all).transpose()?;
            flat.extend(part.map(|g| g.to_vec1::<f32>()).transpose()?.unwrap_or_default());
        }
        // A loss of zero is never drawn, and where its gradient is not zero the error would have no bound.
        Ok((flat, pass.readout.small_loss(0, labels[i]), pass.readout.bounds[0]))
    };

    let n = all.len();
    let (mut squares, mut losses, mut bounds) = (vec![], vec![], vec![]);
    let mut mean: Vec<f64> = vec![];
    for i in 0..n {
        let (g, loss, bound) = gradient(i)?;
        mean.resize(g.len(), 0.);
        mean.iter_mut().zip(&g).for_each(|(m, g)| *m += f64::from(*g) / n as f64);
        squares.push(g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>());
        losses.push(loss);
        bounds.push(bound);
    }
    let norms: Vec<f64> = squares.iter().map(|s| s.sqrt()).collect();
    let scores: [&[f64]; 4] = [&vec![1.; n], &losses, &bounds, &norms];
    let distributions = scores.map(Distribution::new);

    // The paper's way: draw, and measure the distance. Gradients are computed a second time, since keeping those of a large
    // network does not fit in memory.
    let mut stream = seed.stream_at("analysis/resample", updates);
    let mut share = vec![vec![0f64; n]; 4 * config.repeats];
    for (k, row) in share.iter_mut().enumerate() {
        let g = &distributions[k / config.repeats];
        g.draw(config.batch, &mut stream).into_iter().for_each(|i| row[i] += g.weight(i) / config.batch as f64);
    }
    let mut gaps = vec![mean.iter().map(|m| -m).collect::<Vec<f64>>(); share.len()];
    for i in (0..n).filter(|&i| share.iter().any(|row| row[i] > 0.)) {
        let (g, ..) = gradient(i)?;
        for (gap, row) in gaps.iter_mut().zip(&share).filter(|(_, row)| row[i] > 0.) {
            gap.iter_mut().zip(&g).for_each(|(gap, g)| *gap += row[i] * f64::from(*g));
        }
    }
    let distance: Vec<f64> = gaps.iter().map(|gap| gap.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    let drawn: Vec<f64> = distance.chunks(config.repeats.max(1)).map(|d| d.iter().sum()).collect();
    let drawn = |k: usize| drawn.get(k).map_or(f64::NAN, |d| d / drawn[0]);

    let moments = Moments::of(&squares, mean.iter().map(|m| m * m).sum());
    let uniform = moments.error(&distributions[0]);
    let rms = |k: usize| (moments.error(&distributions[k]) / uniform).max(0.).sqrt();
    run.append(
        "variance",
        &Snapshot {
            updates,
            rms_loss: rms(1),
            rms_bound: rms(2),
            rms_norm: rms(3),
            drawn_loss: drawn(1),
            drawn_bound: drawn(2),
            drawn_norm: drawn(3),
            tau_bound: tau(&distributions[2].probabilities),
            tau_norm: tau(&distributions[3].probabilities),
            spread: spread(norms.iter().zip(&bounds).filter(|(_, b)| **b > 0.).map(|(n, b)| n / b)),
            rho_bound: moments.rho(&distributions[2]),
            mean_share: (moments.population_mean().max(0.) / moments.second).sqrt(),
        },
    )?;
    let short = |p: f64| (p * 1e8).round() / 1e8;
    for i in 0..n {
        let [_, loss, bound, norm] = [0, 1, 2, 3].map(|k| short(distributions[k].probabilities[i]));
        run.append("probabilities", &Probabilities { updates, norm, bound, loss })?;
    }
    Ok(())
}

/// Squared lengths of a set's gradients, and of their mean.
pub struct Moments<'a> {
    squares: &'a [f64],
    /// Mean squared length.
    second: f64,
    /// Squared length of the mean.
    mean: f64,
}

impl<'a> Moments<'a> {
    /// Of per-sample squared lengths and the squared length of the mean gradient.
    pub fn of(squares: &'a [f64], mean: f64) -> Self {
        Self { squares, second: squares.iter().sum::<f64>() / squares.len() as f64, mean }
    }

    /// `b` times the expected squared distance of a resampled batch of `b` from the set's mean.
    pub fn error(&self, p: &Distribution) -> f64 {
        self.weighted_second(p) - self.mean
    }

    /// `E ||w G||^2` under the probabilities.
    fn weighted_second(&self, p: &Distribution) -> f64 {
        let n = self.squares.len() as f64;
        let terms = self.squares.iter().zip(&p.probabilities).filter(|(s, _)| **s > 0.);
        terms.map(|(s, p)| s / p).sum::<f64>() / (n * n)
    }

    /// The squared length of the population's mean gradient, without the bias that the set's own variance adds.
    fn population_mean(&self) -> f64 {
        let n = self.squares.len() as f64;
        (n * self.mean - self.second) / (n - 1.)
    }

    /// The population's ratio of variances: these probabilities over uniform ones.
    pub fn rho(&self, p: &Distribution) -> f64 {
        let mean = self.population_mean();
        (self.weighted_second(p) - mean) / (self.second - mean)
    }
}

/// Standard deviation over mean.
fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt() / mean
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    /// Four gradients in the plane; the expectation over every draw of two, term by term.
    #[test]
    fn the_closed_form_is_the_expectation_over_all_draws() {
        let gradients = [[1., 0.], [0., 2.], [-1., 1.], [3., 1.]];
        let squares: Vec<f64> = gradients.iter().map(|g| g[0] * g[0] + g[1] * g[1]).collect();
        let mean = [0, 1].map(|d| gradients.iter().map(|g| g[d]).sum::<f64>() / 4.);
        let moments = Moments::of(&squares, mean[0] * mean[0] + mean[1] * mean[1]);
        for scores in [[1., 1., 1., 1.], [1., 2., 3., 4.], [1., 2., 1.4, 3.2]] {
            let p = Distribution::new(&scores);
            let mut expected = 0.;
            for i in 0..4 {
                for j in 0..4 {
                    let at = |d: usize| (p.weight(i) * gradients[i][d] + p.weight(j) * gradients[j][d]) / 2. - mean[d];
                    expected += p.probabilities[i] * p.probabilities[j] * (at(0).powi(2) + at(1).powi(2));
                }
            }
            assert_relative_eq!(moments.error(&p) / 2., expected, max_relative = 1e-12);
        }
    }

    /// With the true norms as scores, the ratio of root mean square errors is at most 1 / tau (section 3.4).
    #[test]
    fn true_norms_are_bounded_by_one_over_tau() {
        let squares = [1., 4., 2., 10., 0.01];
        let norms: Vec<f64> = squares.iter().map(|s: &f64| s.sqrt()).collect();
        let moments = Moments::of(&squares, 0.4);
        let (p, u) = (Distribution::new(&norms), Distribution::new(&[1.; 5]));
        let ratio = (moments.error(&p) / moments.error(&u)).sqrt();
        assert!(ratio <= 1. / tau(&p.probabilities) && ratio > 0.);
    }
}
