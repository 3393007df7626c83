//! Describing one series of values.

use serde::{Deserialize, Serialize};
use statrs::function::factorial::ln_binomial;

use super::{Error, Result, check, check_curves, check_equal, deviation, mean};

/// Number, mean and spread of values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation with divisor n - 1; none for a single value.
    pub sd: Option<f64>,
    /// Standard error of the mean; none for a single value.
    pub se: Option<f64>,
}

/// Summarises values. Fails on an empty or non-finite input.
pub fn summary(xs: &[f64]) -> Result<Summary> {
    check("a summary", xs, 1)?;
    let mean = mean(xs);
    let sd = (xs.len() > 1).then(|| deviation(xs, mean));
    Ok(Summary { n: xs.len(), mean, sd, se: sd.map(|sd| sd / (xs.len() as f64).sqrt()) })
}

/// Mean curve of curves of equal length (`curves[seed][level]`). Fails on no curve, on empty, unequal or non-finite
/// ones.
pub fn mean_curve(curves: &[Vec<f64>]) -> Result<Vec<f64>> {
    let points = check_curves("a mean curve", curves, 1)?;
    Ok((0..points).map(|point| mean(&column(curves, point))).collect())
}

/// The values of all curves at one point. Curves that are too short are left out.
pub fn column(curves: &[Vec<f64>], point: usize) -> Vec<f64> {
    curves.iter().filter_map(|curve| curve.get(point).copied()).collect()
}

/// The `p`-quantile by linear interpolation of the order statistics (type 7 of Hyndman and Fan 1996, the default of R
/// and NumPy). Fails on an empty or non-finite input and on `p` outside `[0, 1]`.
pub fn quantile(xs: &[f64], p: f64) -> Result<f64> {
    check("a quantile", xs, 1)?;
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::Invalid { what: "a quantile", problem: format!("p must lie in [0, 1], got {p}") });
    }
    let mut sorted = xs.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(quantile_of_sorted(&sorted, p))
}

/// Type 7 quantile of sorted, finite, non-empty values.
pub(super) fn quantile_of_sorted(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// Root mean squared difference. Fails on empty, unequal or non-finite inputs.
pub fn rmse(observed: &[f64], predicted: &[f64]) -> Result<f64> {
    let what = "a root mean squared error";
    check_equal(what, observed.len(), predicted.len())?;
    check(what, observed, 1)?;
    check(what, predicted, 1)?;
    let squares: f64 = observed.iter().zip(predicted).map(|(o, p)| (o - p) * (o - p)).sum();
    Ok((squares / observed.len() as f64).sqrt())
}

/// Total variation distance of two distributions over the same outcomes, half the sum of absolute differences: the
/// distance of a row of a confusion matrix from the same row of a transition matrix. Fails on empty, unequal or
/// non-finite inputs; sums are not checked.
pub fn total_variation(p: &[f64], q: &[f64]) -> Result<f64> {
    let what = "a total variation distance";
    check_equal(what, p.len(), q.len())?;
    check(what, p, 1)?;
    check(what, q, 1)?;
    Ok(0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>())
}

/// Autocorrelation at lag 1 with the usual divisor: the sum of products of neighbours' deviations over the sum of
/// squared deviations. Fails on fewer than 3 values, non-finite ones and constant ones.
pub fn lag1_autocorrelation(xs: &[f64]) -> Result<f64> {
    let what = "a lag-1 autocorrelation";
    check(what, xs, 3)?;
    let mean = mean(xs);
    let total: f64 = xs.iter().map(|x| (x - mean) * (x - mean)).sum();
    if total == 0.0 {
        return Err(Error::Undefined { what, why: "all values are equal".into() });
    }
    Ok(xs.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>() / total)
}

/// Wald-Wolfowitz test of the number of runs in a series of signs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunsTest {
    /// Number of runs of equal sign.
    pub runs: usize,
    /// Number of positive values.
    pub positive: usize,
    /// Number of negative values.
    pub negative: usize,
    /// Probability of so few runs or fewer: small when residuals of one sign stand together, as those of a wrong curve
    /// do.
    pub p_few: f64,
    /// Two-sided p value, twice the smaller tail.
    pub p: f64,
}

/// Tests whether the signs of `residuals` follow one another at random, given how many there are of each sign. Exact
/// for every size. Zeros carry no sign and are left out; with one sign only there is one possible number of runs and p
/// is 1. Fails when no signed value remains and on non-finite values.
pub fn runs_test(residuals: &[f64]) -> Result<RunsTest> {
    let what = "a runs test";
    check(what, residuals, 1)?;
    let signs: Vec<bool> = residuals.iter().filter(|r| **r != 0.0).map(|r| *r > 0.0).collect();
    if signs.is_empty() {
        return Err(Error::Undefined { what, why: "all residuals are zero".into() });
    }
    let positive = signs.iter().filter(|s| **s).count();
    let negative = signs.len() - positive;
    let runs = 1 + signs.windows(2).filter(|w| w[0] != w[1]).count();
    if positive == 0 || negative == 0 {
        return Ok(RunsTest { runs, positive, negative, p_few: 1.0, p: 1.0 });
    }
    let p_few: f64 = (2..=runs).map(|r| runs_probability(r, positive, negative)).sum::<f64>().min(1.0);
    let p_many: f64 = (runs..=signs.len()).map(|r| runs_probability(r, positive, negative)).sum();
    Ok(RunsTest { runs, positive, negative, p_few, p: (2.0 * p_few.min(p_many)).min(1.0) })
}

/// Probability of exactly `r` runs among all orders of `a` and `b` signs: the signs of each kind are cut into
/// r/2 groups (or, for odd r, one kind into one more).
fn runs_probability(r: usize, a: usize, b: usize) -> f64 {
    let cuts = |n: usize, groups: usize| -> f64 {
        if groups == 0 || groups > n { f64::NEG_INFINITY } else { ln_binomial(n as u64 - 1, groups as u64 - 1) }
    };
    let all = ln_binomial((a + b) as u64, a as u64);
    let ways = |i: usize, j: usize| (cuts(a, i) + cuts(b, j) - all).exp();
    if r.is_multiple_of(2) { 2.0 * ways(r / 2, r / 2) } else { ways(r / 2 + 1, r / 2) + ways(r / 2, r / 2 + 1) }
}
