//! Nonlinear least squares with known variances, for models with a few parameters.

use serde::{Deserialize, Serialize};

use super::least_squares::{Qr, sigmas, standard_errors};
use super::{Error, Result, check, check_equal};

/// The range of a parameter, limits included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Lower limit, or minus infinity.
    pub low: f64,
    /// Upper limit, or infinity.
    pub high: f64,
}

impl Bounds {
    /// Any number.
    pub const FREE: Bounds = Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// From `low` to `high`.
    pub const fn between(low: f64, high: f64) -> Bounds {
        Bounds { low, high }
    }

    /// From `low` upwards.
    pub const fn at_least(low: f64) -> Bounds {
        Bounds { low, high: f64::INFINITY }
    }
}

/// A model fitted by nonlinear weighted least squares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveFit {
    /// The best parameters found.
    pub parameters: Vec<f64>,
    /// Their covariance by linearisation, the variances of the points taken as known. None where a parameter stands at
    /// a bound or the data do not determine all of them: take a bootstrap interval there.
    pub covariance: Option<Vec<Vec<f64>>>,
    /// Weighted sum of squared residuals.
    pub chi2: f64,
    /// Fitted value of each point.
    pub fitted: Vec<f64>,
    /// Whether the search ended at a minimum. A fit that did not converge decides nothing.
    pub converged: bool,
    /// Which parameters stand at a bound.
    pub at_bound: Vec<bool>,
}

impl CurveFit {
    /// Standard errors of the parameters, where there is a covariance.
    pub fn standard_errors(&self) -> Option<Vec<f64>> {
        self.covariance.as_deref().map(standard_errors)
    }
}

/// Fits `y ≈ predict(parameters)` with weights `1 / variances` by the projected Levenberg-Marquardt method (Kanzow,
/// Yamashita, Fukushima 2004) with numeric derivatives, from each of `starts`, and keeps the best minimum.
///
/// `predict` gives one value for each point. It may return NaN or infinity for impossible parameters: such steps are
/// refused. It is never called outside `bounds`.
///
/// Fails on fewer points than parameters, no parameters, no starts, unequal lengths, non-finite data, variances that
/// are not positive, starts outside the bounds, a prediction of another length, and when no start gives a finite
/// prediction. A search that does not end is no error: see [`CurveFit::converged`].
pub fn fit_curve(
    predict: impl Fn(&[f64]) -> Vec<f64>,
    y: &[f64],
    variances: &[f64],
    bounds: &[Bounds],
    starts: &[Vec<f64>],
) -> Result<CurveFit> {
    let what = "a curve fit";
    if bounds.is_empty() || starts.is_empty() {
        let problem = format!("{} parameters and {} starts", bounds.len(), starts.len());
        return Err(Error::Invalid { what, problem });
    }
    check(what, y, bounds.len())?;
    let sigmas = sigmas(what, y.len(), variances)?;
    if let Some(b) = bounds.iter().find(|b| b.low.is_nan() || b.high.is_nan() || b.low >= b.high) {
        return Err(Error::Invalid { what, problem: format!("a parameter from {} to {}", b.low, b.high) });
    }
    for start in starts {
        check_equal(what, bounds.len(), start.len())?;
        check(what, start, 1)?;
        if let Some((i, (p, b))) = start.iter().zip(bounds).enumerate().find(|(_, (p, b))| **p < b.low || **p > b.high)
        {
            let problem = format!("start {p} of parameter {i} lies outside {} to {}", b.low, b.high);
            return Err(Error::Invalid { what, problem });
        }
        check_equal(what, y.len(), predict(start).len())?;
    }
    let problem = Problem { predict: &predict, y, sigmas: &sigmas, bounds };
    let mut best: Option<Minimum> = None;
    for minimum in starts.iter().filter_map(|start| problem.search(start)) {
        // Of two starts that end in the same place up to rounding, the one that knows it has arrived.
        let better = best.as_ref().is_none_or(|best| {
            minimum.point.chi2 < best.point.chi2 * (1.0 - 1e-9)
                || (minimum.converged && !best.converged && minimum.point.chi2 <= best.point.chi2 * (1.0 + 1e-9))
        });
        if better {
            best = Some(minimum);
        }
    }
    let Some(Minimum { point, converged }) = best else {
        return Err(Error::Undefined { what, why: "no start gives a finite prediction".into() });
    };
    let at_bound: Vec<bool> = point.parameters.iter().zip(bounds).map(|(p, b)| *p == b.low || *p == b.high).collect();
    let covariance = if at_bound.contains(&true) {
        None
    } else {
        problem
            .jacobian(&point, &scales(&point.parameters, &point.parameters))
            .and_then(|rows| Qr::new(&rows, vec![0.0; y.len()]))
            .map(|qr| qr.covariance())
    };
    let fitted = predict(&point.parameters);
    Ok(CurveFit { parameters: point.parameters, covariance, chi2: point.chi2, fitted, converged, at_bound })
}

struct Problem<'a, F> {
    predict: &'a F,
    y: &'a [f64],
    sigmas: &'a [f64],
    bounds: &'a [Bounds],
}

/// Parameters with their weighted residuals `(prediction - y) / sigma`.
#[derive(Clone)]
struct Point {
    parameters: Vec<f64>,
    residuals: Vec<f64>,
    chi2: f64,
}

struct Minimum {
    point: Point,
    converged: bool,
}

/// Typical size of each parameter, for difference steps.
fn scales(parameters: &[f64], start: &[f64]) -> Vec<f64> {
    let size = |p: f64, s: f64| Some(p.abs().max(s.abs())).filter(|x| *x > 0.0).unwrap_or(1.0);
    parameters.iter().zip(start).map(|(p, s)| size(*p, *s)).collect()
}

impl<F: Fn(&[f64]) -> Vec<f64>> Problem<'_, F> {
    /// None where the prediction is not finite.
    fn evaluate(&self, parameters: Vec<f64>) -> Option<Point> {
        let prediction = (self.predict)(&parameters);
        if prediction.len() != self.y.len() {
            return None;
        }
        let residuals: Vec<f64> =
            prediction.iter().zip(self.y).zip(self.sigmas).map(|((f, y), s)| (f - y) / s).collect();
        let chi2: f64 = residuals.iter().map(|r| r * r).sum();
        chi2.is_finite().then_some(Point { parameters, residuals, chi2 })
    }

    /// Derivatives of the residuals, one row for each point: central differences, and second-order one-sided ones where
    /// a bound is near. None where a neighbour is not finite.
    fn jacobian(&self, at: &Point, scales: &[f64]) -> Option<Vec<Vec<f64>>> {
        let mut rows = vec![vec![0.0; at.parameters.len()]; at.residuals.len()];
        for (j, b) in self.bounds.iter().enumerate() {
            let p = at.parameters[j];
            let h = (6e-6 * scales[j]).min((b.high - b.low) / 4.0);
            let residuals = |offset: f64| {
                let mut moved = at.parameters.clone();
                moved[j] += offset;
                self.evaluate(moved).map(|point| point.residuals)
            };
            // Weights of the residuals at two neighbours and at the point itself.
            let (first, second, weights) = if p + h > b.high {
                (-h, -2.0 * h, [-4.0, 1.0, 3.0])
            } else if p - h < b.low {
                (h, 2.0 * h, [4.0, -1.0, -3.0])
            } else {
                (h, -h, [1.0, -1.0, 0.0])
            };
            let (first, second) = (residuals(first)?, residuals(second)?);
            for (i, row) in rows.iter_mut().enumerate() {
                row[j] = (weights[0] * first[i] + weights[1] * second[i] + weights[2] * at.residuals[i]) / (2.0 * h);
            }
        }
        Some(rows)
    }

    fn search(&self, start: &[f64]) -> Option<Minimum> {
        let mut point = self.evaluate(start.to_vec())?;
        let k = start.len();
        // Residuals that are all rounding: the model goes through every point.
        let exact = self.y.iter().zip(self.sigmas).map(|(y, s)| (8.0 * f64::EPSILON * y / s).powi(2)).sum::<f64>();
        let mut damping = 1e-3;
        let mut widest = vec![0.0f64; k];
        for _ in 0..300 {
            if point.chi2 <= exact {
                return Some(Minimum { point, converged: true });
            }
            let Some(jacobian) = self.jacobian(&point, &scales(&point.parameters, start)) else {
                return Some(Minimum { point, converged: false });
            };
            let norms: Vec<f64> =
                (0..k).map(|j| jacobian.iter().map(|row| row[j].powi(2)).sum::<f64>().sqrt()).collect();
            let gradient: Vec<f64> =
                (0..k).map(|j| jacobian.iter().zip(&point.residuals).map(|(row, r)| row[j] * r).sum()).collect();
            widest.iter_mut().zip(&norms).for_each(|(w, n)| *w = w.max(*n));
            // A parameter at a bound that wants to leave is held.
            let free: Vec<usize> = (0..k)
                .filter(|j| {
                    let (p, b) = (point.parameters[*j], self.bounds[*j]);
                    !(p <= b.low && gradient[*j] > 0.0 || p >= b.high && gradient[*j] < 0.0)
                })
                .collect();
            // Cosine of the angle between residuals and each column: 0 at a minimum.
            let cosine = free
                .iter()
                .map(|j| if norms[*j] > 0.0 { gradient[*j].abs() / norms[*j] / point.chi2.sqrt() } else { 0.0 })
                .fold(0.0, f64::max);
            if cosine < 1e-9 {
                return Some(Minimum { point, converged: true });
            }
            let Some(next) = self.descend(&point, &jacobian, &free, &widest, &mut damping) else {
                // No step is better to the last bit; that is a minimum only if the gradient agrees.
                return Some(Minimum { point, converged: cosine < 1e-5 });
            };
            point = next;
        }
        Some(Minimum { point, converged: false })
    }

    /// The first damped step that lowers chi2, more and more damped; none where no step does.
    fn descend(
        &self,
        point: &Point,
        jacobian: &[Vec<f64>],
        free: &[usize],
        widest: &[f64],
        damping: &mut f64,
    ) -> Option<Point> {
        while *damping < 1e16 {
            let mut rows: Vec<Vec<f64>> = jacobian.iter().map(|row| free.iter().map(|j| row[*j]).collect()).collect();
            let mut rhs: Vec<f64> = point.residuals.iter().map(|r| -r).collect();
            for (position, j) in free.iter().enumerate() {
                let mut row = vec![0.0; free.len()];
                row[position] = damping.sqrt() * if widest[*j] > 0.0 { widest[*j] } else { 1.0 };
                rows.push(row);
                rhs.push(0.0);
            }
            if let Some(qr) = Qr::new(&rows, rhs) {
                let mut parameters = point.parameters.clone();
                for (j, step) in free.iter().zip(qr.solution()) {
                    parameters[*j] = (parameters[*j] + step).clamp(self.bounds[*j].low, self.bounds[*j].high);
                }
                if let Some(next) = self.evaluate(parameters).filter(|next| next.chi2 < point.chi2) {
                    *damping = (*damping / 10.0).max(1e-12);
                    return Some(next);
                }
            }
            *damping *= 10.0;
        }
        None
    }
}
