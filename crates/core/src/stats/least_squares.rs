//! Linear least squares with known variances, and contrasts of curves.

use serde::{Deserialize, Serialize};

use super::{Error, Result, check, check_equal};

/// A linear model fitted by weighted least squares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearFit {
    /// One coefficient for each column of the design.
    pub coefficients: Vec<f64>,
    /// Their covariance `(XᵀWX)⁻¹`, the variances of the points taken as known.
    pub covariance: Vec<Vec<f64>>,
    /// Weighted sum of squared residuals.
    pub chi2: f64,
    /// Fitted value of each point.
    pub fitted: Vec<f64>,
}

impl LinearFit {
    /// Standard errors of the coefficients, the variances of the points taken as known.
    pub fn standard_errors(&self) -> Vec<f64> {
        standard_errors(&self.covariance)
    }

    /// `chi2` by degrees of freedom. Where only the ratios of the variances are known (all 1, say), the covariance
    /// times this is that of ordinary least squares. None without degrees of freedom.
    pub fn reduced_chi2(&self) -> Option<f64> {
        let df = self.fitted.len().checked_sub(self.coefficients.len()).filter(|df| *df > 0)?;
        Some(self.chi2 / df as f64)
    }
}

pub(super) fn standard_errors(covariance: &[Vec<f64>]) -> Vec<f64> {
    covariance.iter().enumerate().map(|(i, row)| row[i].sqrt()).collect()
}

/// Fits `y = design · coefficients` with weights `1 / variances`, through a Householder QR decomposition.
/// `design[point]` is one row; for an unweighted fit let all variances be 1. Fails on fewer points than columns, no
/// columns, unequal lengths, non-finite values, a variance that is not positive, and columns that depend on one
/// another.
pub fn least_squares(design: &[Vec<f64>], y: &[f64], variances: &[f64]) -> Result<LinearFit> {
    let what = "a least-squares fit";
    check_equal(what, design.len(), y.len())?;
    let columns = design.first().map_or(0, Vec::len);
    if columns == 0 {
        return Err(Error::Invalid { what, problem: "the design has no columns".into() });
    }
    check(what, y, columns)?;
    let sigmas = sigmas(what, y.len(), variances)?;
    for row in design {
        check_equal(what, columns, row.len())?;
        check(what, row, 1)?;
    }
    let weighted: Vec<Vec<f64>> =
        design.iter().zip(&sigmas).map(|(row, s)| row.iter().map(|x| x / s).collect()).collect();
    let rhs = y.iter().zip(&sigmas).map(|(y, s)| y / s).collect();
    let Some(qr) = Qr::new(&weighted, rhs) else {
        return Err(Error::Undefined { what, why: "the columns of the design depend on one another".into() });
    };
    let coefficients = qr.solution();
    let fitted: Vec<f64> = design.iter().map(|row| contrast(row, &coefficients)).collect();
    let chi2 = fitted.iter().zip(y).zip(&sigmas).map(|((f, y), s)| ((y - f) / s).powi(2)).sum();
    Ok(LinearFit { covariance: qr.covariance(), coefficients, chi2, fitted })
}

/// Square roots of the variances of `points` points. All must be positive and finite.
pub(super) fn sigmas(what: &'static str, points: usize, variances: &[f64]) -> Result<Vec<f64>> {
    check_equal(what, points, variances.len())?;
    check(what, variances, 1)?;
    if let Some(i) = variances.iter().position(|v| *v <= 0.0) {
        return Err(Error::Invalid { what, problem: format!("the variance of point {i} is {}", variances[i]) });
    }
    Ok(variances.iter().map(|v| v.sqrt()).collect())
}

/// Rows `[1, x, x², …, x^degree]` of a polynomial's design.
pub fn polynomial_design(xs: &[f64], degree: usize) -> Vec<Vec<f64>> {
    xs.iter().map(|x| (0..=degree).map(|d| x.powi(d as i32)).collect()).collect()
}

/// Orthogonal polynomials on `levels` (any spacing), degrees 1 to `degree`, one row for each: every row sums to 0, has
/// length 1, is orthogonal to the others, and has a positive leading coefficient. [`contrast`] with the row of degree 2
/// is 0 for a straight line, whatever its slope; divided by the root of the number of levels it is the root mean square
/// of the bend, in the units of the curve. Fails on fewer than `degree + 1` distinct levels and non-finite ones.
pub fn orthogonal_polynomials(levels: &[f64], degree: usize) -> Result<Vec<Vec<f64>>> {
    let what = "orthogonal polynomials";
    check(what, levels, degree + 1)?;
    let centre = super::mean(levels);
    let scale = levels.iter().map(|x| (x - centre).abs()).fold(0.0, f64::max);
    let dependent = || Error::Undefined { what, why: format!("fewer than {} distinct levels", degree + 1) };
    if scale == 0.0 && degree > 0 {
        return Err(dependent());
    }
    let mut basis = vec![vec![1.0 / (levels.len() as f64).sqrt(); levels.len()]];
    for d in 1..=degree {
        let mut row: Vec<f64> = levels.iter().map(|x| ((x - centre) / scale).powi(d as i32)).collect();
        let before = contrast(&row, &row).sqrt();
        // Twice is enough (Kahan, Parlett): the second pass removes what rounding left in the first.
        for _ in 0..2 {
            for earlier in &basis {
                let share = contrast(&row, earlier);
                row.iter_mut().zip(earlier).for_each(|(r, e)| *r -= share * e);
            }
        }
        let length = contrast(&row, &row).sqrt();
        if length <= 1e-10 * before {
            return Err(dependent());
        }
        row.iter_mut().for_each(|r| *r /= length);
        basis.push(row);
    }
    basis.remove(0);
    Ok(basis)
}

/// Sum of products of a curve with weights of the same length.
pub fn contrast(curve: &[f64], weights: &[f64]) -> f64 {
    curve.iter().zip(weights).map(|(y, w)| y * w).sum()
}

/// Householder QR of a tall matrix with the right-hand side carried along.
pub(super) struct Qr {
    /// Columns of R (entries below the diagonal are rounding), then Qᵀ · right-hand side.
    columns: Vec<Vec<f64>>,
}

impl Qr {
    /// None where the columns depend on one another to working precision or are not finite. `rows` has at least as many
    /// rows as columns.
    pub(super) fn new(rows: &[Vec<f64>], rhs: Vec<f64>) -> Option<Qr> {
        let k = rows[0].len();
        let mut columns: Vec<Vec<f64>> = (0..k).map(|j| rows.iter().map(|row| row[j]).collect()).collect();
        columns.push(rhs);
        for j in 0..k {
            let whole = contrast(&columns[j], &columns[j]).sqrt();
            let mut v = columns[j][j..].to_vec();
            let norm = contrast(&v, &v).sqrt();
            // Reflections keep lengths: `whole` is the length of the original column.
            if norm.is_nan() || norm <= 1e-12 * whole {
                return None;
            }
            v[0] += norm.copysign(v[0]);
            let scale = 2.0 / contrast(&v, &v);
            for column in &mut columns[j..] {
                let share = scale * contrast(&v, &column[j..]);
                column[j..].iter_mut().zip(&v).for_each(|(x, v)| *x -= share * v);
            }
        }
        Some(Qr { columns })
    }

    /// The least-squares solution.
    pub(super) fn solution(&self) -> Vec<f64> {
        self.back_substitute(&self.columns[self.columns.len() - 1])
    }

    /// `(AᵀA)⁻¹ = R⁻¹ R⁻ᵀ`.
    pub(super) fn covariance(&self) -> Vec<Vec<f64>> {
        let k = self.columns.len() - 1;
        let unit = |j: usize| (0..k).map(|i| if i == j { 1.0 } else { 0.0 }).collect::<Vec<_>>();
        // Columns of R⁻¹.
        let inverse: Vec<Vec<f64>> = (0..k).map(|j| self.back_substitute(&unit(j))).collect();
        (0..k).map(|a| (0..k).map(|b| inverse.iter().map(|column| column[a] * column[b]).sum()).collect()).collect()
    }

    fn back_substitute(&self, rhs: &[f64]) -> Vec<f64> {
        let k = self.columns.len() - 1;
        let mut x = vec![0.0; k];
        for i in (0..k).rev() {
            let known: f64 = (i + 1..k).map(|j| self.columns[j][i] * x[j]).sum();
            x[i] = (rhs[i] - known) / self.columns[i][i];
        }
        x
    }
}
