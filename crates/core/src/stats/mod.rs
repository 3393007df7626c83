//! Statistics fixed in advance: what turns rows of results into an estimate, an interval and a verdict.
//!
//! Plain `f64` throughout. The unit of replication is the seed, paired across the arms of a comparison, so most
//! functions take one value, or one whole curve, per seed. No function panics on data: too few values, a NaN, an
//! infinity or an undefined quantity come back as an [`Error`] that says which, never as a NaN in the result.
//! What is random draws from a stream the caller passes (see [`crate::Seed`]).

mod association;
mod bootstrap;
mod describe;
mod least_squares;
mod mixture;
mod nonlinear;
mod selection;
mod tests_of_mean;

use serde::{Deserialize, Serialize};

pub use association::{Correlation, auc, ks_distance, ks_distance_to, pearson, spearman};
pub use bootstrap::{Band, Bootstrap, bootstrap, sup_t_band};
pub use describe::{
    RunsTest, Summary, column, lag1_autocorrelation, mean_curve, quantile, rmse, runs_test, summary, total_variation,
};
pub use least_squares::{LinearFit, contrast, least_squares, orthogonal_polynomials, polynomial_design};
pub use mixture::GaussianMixture;
pub use nonlinear::{Bounds, CurveFit, fit_curve};
pub use selection::{
    ChiSquare, Comparison, Criteria, LackOfFit, LeaveOneOut, compare, goodness_of_fit, information_criteria,
    lack_of_fit, leave_one_out,
};
pub use tests_of_mean::{
    Alternative, Equivalence, FEWEST_SEEDS, SignFlip, TTest, Tost, differences, holm, mean_t_interval, over_seeds,
    paired_t_test, sign_flip, t_test, tost,
};

/// Why a statistic has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Fewer values than the statistic is defined for.
    #[error("{what} needs at least {needed} values, got {got}")]
    TooFew {
        /// The statistic.
        what: &'static str,
        /// The least number of values.
        needed: usize,
        /// The number given.
        got: usize,
    },
    /// A NaN or an infinity among the values.
    #[error("{what}: value {index} is {value}, not a finite number")]
    NotFinite {
        /// The statistic.
        what: &'static str,
        /// Position of the first such value, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// Two inputs that belong together differ in length.
    #[error("{what}: {left} values beside {right}")]
    Unequal {
        /// The statistic.
        what: &'static str,
        /// Length of the first input.
        left: usize,
        /// Length of the input that differs from it.
        right: usize,
    },
    /// A parameter outside its range: a level of 1.2, a margin turned round, a start outside its bounds.
    #[error("{what}: {problem}")]
    Invalid {
        /// The statistic.
        what: &'static str,
        /// What is wrong with the parameter.
        problem: String,
    },
    /// The values are fine and the statistic has no value for them: a correlation with a constant, a singular design.
    #[error("{what} is undefined: {why}")]
    Undefined {
        /// The statistic.
        what: &'static str,
        /// The reason.
        why: String,
    },
}

/// The result of a statistic.
pub type Result<T> = std::result::Result<T, Error>;

/// An estimate and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The point estimate.
    pub estimate: f64,
    /// Lower limit.
    pub low: f64,
    /// Upper limit.
    pub high: f64,
    /// Confidence level, for example 0.95.
    pub level: f64,
}

impl Interval {
    /// Whether `value` lies between the limits, limits included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Whether the whole interval lies in `[low, high]`.
    pub fn within(&self, low: f64, high: f64) -> bool {
        low <= self.low && self.high <= high
    }

    /// Whether the whole interval lies above `value`.
    pub fn above(&self, value: f64) -> bool {
        self.low > value
    }

    /// Whether the whole interval lies below `value`.
    pub fn below(&self, value: f64) -> bool {
        self.high < value
    }
}

/// Rejects short and non-finite input.
fn check(what: &'static str, xs: &[f64], needed: usize) -> Result<()> {
    if xs.len() < needed {
        return Err(Error::TooFew { what, needed, got: xs.len() });
    }
    match xs.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: xs[index] }),
        None => Ok(()),
    }
}

/// Rejects two inputs of different length.
fn check_equal(what: &'static str, left: usize, right: usize) -> Result<()> {
    if left == right { Ok(()) } else { Err(Error::Unequal { what, left, right }) }
}

/// Rejects a confidence level outside (0, 1).
fn check_level(what: &'static str, level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(Error::Invalid { what, problem: format!("the confidence level must lie between 0 and 1, got {level}") })
    }
}

/// Rejects curves of different lengths; gives the number of points of each.
fn check_curves(what: &'static str, curves: &[Vec<f64>], needed: usize) -> Result<usize> {
    if curves.len() < needed {
        return Err(Error::TooFew { what, needed, got: curves.len() });
    }
    let points = curves.first().map_or(0, Vec::len);
    for curve in curves {
        check_equal(what, points, curve.len())?;
        check(what, curve, 1)?;
    }
    Ok(points)
}

/// Mean, exact for constant values: with seeds that agree to the last bit the spread must be zero and not 1e-17.
fn mean(xs: &[f64]) -> f64 {
    let first = xs[0];
    first + xs.iter().map(|x| x - first).sum::<f64>() / xs.len() as f64
}

/// Standard deviation with divisor n - 1.
fn deviation(xs: &[f64], mean: f64) -> f64 {
    (xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (xs.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests;
