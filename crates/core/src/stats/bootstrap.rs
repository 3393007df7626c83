//! Resampling whole units: seeds with all their levels, so that pairing and correlation across levels survive.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::describe::quantile_of_sorted;
use super::tests_of_mean::t_quantile;
use super::{Error, Interval, Result, check_curves, check_level, column, deviation, mean};

/// The statistic of the sample and of its resamples.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The statistic of the units as they are.
    pub estimate: Vec<f64>,
    /// The statistic of each resample, in the order drawn. Components may be NaN or infinite where a refit failed.
    pub draws: Vec<Vec<f64>>,
}

/// Draws `draws` resamples of `units` units with replacement and computes `statistic` on the indices of each, on all
/// cores; the result does not depend on their number. `statistic` may return a NaN for what it cannot compute and must
/// return the same number of components each time.
///
/// With few units the percentile interval is too short: about 84 % instead of 95 % for the mean of 5 normal values.
/// Prefer [`super::mean_t_interval`] where the statistic is a mean.
///
/// Fails on fewer than 2 units, on no draws and on a changing number of components.
pub fn bootstrap(
    units: usize,
    draws: usize,
    stream: &mut impl Rng,
    statistic: impl Fn(&[usize]) -> Vec<f64> + Sync,
) -> Result<Bootstrap> {
    let what = "a bootstrap";
    if units < 2 {
        return Err(Error::TooFew { what, needed: 2, got: units });
    }
    if draws == 0 {
        return Err(Error::TooFew { what: "a bootstrap's number of draws", needed: 1, got: 0 });
    }
    let estimate = statistic(&(0..units).collect::<Vec<_>>());
    let resamples: Vec<Vec<usize>> =
        (0..draws).map(|_| (0..units).map(|_| stream.random_range(0..units)).collect()).collect();
    let draws: Vec<Vec<f64>> = resamples.par_iter().map(|indices| statistic(indices)).collect();
    match draws.iter().find(|draw| draw.len() != estimate.len()) {
        Some(draw) => Err(Error::Unequal { what, left: estimate.len(), right: draw.len() }),
        None => Ok(Bootstrap { estimate, draws }),
    }
}

impl Bootstrap {
    /// Percentile interval of one component. Draws in which it is not finite are left out; where they are more than one
    /// in twenty the interval would be a choice of the successes and is refused.
    pub fn interval(&self, component: usize, level: f64) -> Result<Interval> {
        let what = "a bootstrap interval";
        check_level(what, level)?;
        let Some(estimate) = self.estimate.get(component).copied() else {
            let problem = format!("component {component} of {}", self.estimate.len());
            return Err(Error::Invalid { what, problem });
        };
        if !estimate.is_finite() {
            return Err(Error::Undefined { what, why: "the estimate itself is not finite".into() });
        }
        let mut values: Vec<f64> = self.draws.iter().map(|draw| draw[component]).filter(|x| x.is_finite()).collect();
        let failed = self.draws.len() - values.len();
        if 20 * failed > self.draws.len() {
            let why = format!("{failed} of {} resamples gave no finite value", self.draws.len());
            return Err(Error::Undefined { what, why });
        }
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        let (low, high) = (quantile_of_sorted(&values, tail), quantile_of_sorted(&values, 1.0 - tail));
        Ok(Interval { estimate, low, high, level })
    }

    /// Share of the resamples for which `holds` is true, for example "this model has the least AICc".
    pub fn share(&self, holds: impl Fn(&[f64]) -> bool) -> f64 {
        self.draws.iter().filter(|draw| holds(draw)).count() as f64 / self.draws.len() as f64
    }
}

/// A mean curve with simultaneous confidence limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Mean at each level.
    pub mean: Vec<f64>,
    /// Lower limit at each level.
    pub low: Vec<f64>,
    /// Upper limit at each level.
    pub high: Vec<f64>,
    /// Probability that the whole mean curve lies inside.
    pub level: f64,
    /// Half-width in standard errors of the mean, the same at every level.
    pub critical: f64,
}

impl Band {
    /// Whether `curve` lies inside at every level. False for a curve of another length.
    pub fn contains(&self, curve: &[f64]) -> bool {
        curve.len() == self.mean.len() && curve.iter().enumerate().all(|(l, y)| self.low[l] <= *y && *y <= self.high[l])
    }
}

/// Simultaneous band for the mean of curves `curves[seed][level]` by the sup-t method: mean ± c · s.e. with one c for
/// all levels, the `level` quantile of the greatest |t| over levels.
///
/// That quantile is simulated: each draw makes as many Gaussian curves as there are seeds, with the covariance of the
/// observed ones, and studentises them by their own standard errors. Resampling the seeds themselves, as with hundreds
/// of curves, covers 45 to 58 % instead of 95 % with 5 seeds and 9 levels; this covers 93 to 94 %. The quantile is kept
/// between that of a single t interval and Bonferroni's, between which it must lie.
///
/// Levels at which all curves agree have a band of no width. Fails on fewer than 3 curves, unequal, empty or non-finite
/// ones, a level outside (0, 1) and no draws.
pub fn sup_t_band(curves: &[Vec<f64>], level: f64, draws: usize, stream: &mut impl Rng) -> Result<Band> {
    let what = "a simultaneous band";
    check_level(what, level)?;
    let levels = check_curves(what, curves, 3)?;
    if draws == 0 {
        return Err(Error::TooFew { what: "a band's number of draws", needed: 1, got: 0 });
    }
    let n = curves.len();
    let df = (n - 1) as f64;
    let means: Vec<f64> = (0..levels).map(|l| mean(&column(curves, l))).collect();
    let sds: Vec<f64> = (0..levels).map(|l| deviation(&column(curves, l), means[l])).collect();
    // Standardised deviations of the levels that vary: `deviations[l][seed]`.
    let deviations: Vec<Vec<f64>> = (0..levels)
        .filter(|l| sds[*l] > 0.0)
        .map(|l| curves.iter().map(|curve| (curve[l] - means[l]) / sds[l]).collect())
        .collect();
    let single = t_quantile(0.5 + level / 2.0, df);
    let critical = if deviations.len() <= 1 {
        single
    } else {
        let mut greatest: Vec<f64> = (0..draws)
            .map(|_| {
                let multipliers: Vec<f64> = (0..n * n).map(|_| stream.sample(StandardNormal)).collect();
                deviations.iter().map(|deviations| simulated_t(deviations, &multipliers)).fold(0.0, f64::max)
            })
            .collect();
        greatest.sort_by(f64::total_cmp);
        let bonferroni = t_quantile(1.0 - (1.0 - level) / 2.0 / deviations.len() as f64, df);
        quantile_of_sorted(&greatest, level).clamp(single, bonferroni)
    };
    let half: Vec<f64> = sds.iter().map(|sd| critical * sd / (n as f64).sqrt()).collect();
    Ok(Band {
        low: means.iter().zip(&half).map(|(m, h)| m - h).collect(),
        high: means.iter().zip(&half).map(|(m, h)| m + h).collect(),
        mean: means,
        level,
        critical,
    })
}

/// |t| of n values, each a Gaussian mixture of the n deviations (`multipliers[n * n]`, shared by all levels so that
/// their correlation is kept). The scale of the deviations drops out.
fn simulated_t(deviations: &[f64], multipliers: &[f64]) -> f64 {
    let n = deviations.len();
    let values: Vec<f64> =
        multipliers.chunks_exact(n).map(|row| row.iter().zip(deviations).map(|(g, d)| g * d).sum()).collect();
    let mean = mean(&values);
    mean.abs() * (n as f64).sqrt() / deviation(&values, mean)
}
