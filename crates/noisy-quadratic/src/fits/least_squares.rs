//! Weighted least squares of the laws, made to be repeated: weights stay fixed while means are resampled.

use crate::laws::{Law, MAX_PARAMETERS, MAX_VOTES, Plurality, Scale, Setting};

type Parameters = [f64; MAX_PARAMETERS];

/// A law fitted to the means of a curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// In the order of [`Law::parameters`].
    pub parameters: Vec<f64>,
    /// Weighted sum of squared residuals.
    pub chi2: f64,
    /// The fitted curve at the levels.
    pub fitted: Vec<f64>,
}

/// Fits one law to values at given levels with given variances, as often as wanted.
pub struct Fitter {
    law: Law,
    setting: Setting,
    scale: Scale,
    levels: Vec<f64>,
    weights: Vec<f64>,
    method: Method,
}

enum Method {
    /// Closed form, one for each value of a whole-number parameter (k of the vote); else just one.
    Linear(Vec<Linear>),
    /// Levenberg-Marquardt in all parameters. The first ones, this many, are linear.
    Curved(usize),
}

/// y = offset + rows · θ with the weighted least-squares solution θ = inverse · (y − offset).
struct Linear {
    offset: Vec<f64>,
    rows: Vec<Parameters>,
    inverse: Vec<Parameters>,
    /// Diagonal of the hat matrix: how much a fitted value follows its own observation.
    leverage: Vec<f64>,
}

/// Least and greatest value of the parameters that are not linear, from number `linear` on.
pub fn bounds(law: Law) -> &'static [(f64, f64)] {
    match law {
        Law::Sharpened => &[(0.05, 50.0)],
        Law::Logistic => &[(-1.0, 2.0), (0.01, 5.0)],
        Law::Decay => &[(0.01, 50.0)],
        _ => &[],
    }
}

/// Where the search for those parameters starts.
fn starts(law: Law) -> Vec<Vec<f64>> {
    match law {
        Law::Sharpened => [0.3, 0.6, 0.85, 1.0, 1.2, 1.6, 2.5, 5.0, 12.0].iter().map(|&x| vec![x]).collect(),
        Law::Decay => [0.05, 0.3, 1.0, 2.0, 4.0, 8.0].iter().map(|&x| vec![x]).collect(),
        Law::Logistic => {
            let widths = [0.04, 0.1, 0.2, 0.5];
            (0..6).flat_map(|i| widths.map(|width| vec![-0.2 + 0.2 * f64::from(i), width])).collect()
        }
        _ => Vec::new(),
    }
}

impl Fitter {
    /// Prepares the fit. `None` where there are fewer levels than parameters, where the law does not speak of the scale,
    /// and where the levels do not determine its parameters.
    pub fn new(law: Law, setting: Setting, scale: Scale, levels: &[f64], variances: &[f64]) -> Option<Self> {
        if levels.len() < law.parameters().len() || !law.speaks_of(setting, scale) {
            return None;
        }
        let weights: Vec<f64> = variances.iter().map(|v| 1.0 / v).collect();
        let linear = law.parameters().len() - bounds(law).len();
        let method = match law {
            Law::Vote => {
                let alternatives: Option<Vec<Linear>> = Plurality::up_to(setting, MAX_VOTES)
                    .iter()
                    .map(|votes| {
                        // The vote's curve is affine in a₀: two points give it.
                        let q: Vec<(f64, f64)> =
                            levels.iter().map(|&x| (votes.probability(x), votes.probability(1.0 - x))).collect();
                        let at = |a0: f64| -> Vec<f64> {
                            let value = |(&x, &(own, mirror)): (&f64, &(f64, f64))| match scale {
                                Scale::Clean => setting.leak(own, a0),
                                Scale::Noisy => {
                                    setting.noisy_accuracy(x, setting.leak(own, a0), setting.leak(mirror, a0))
                                }
                            };
                            levels.iter().zip(&q).map(value).collect()
                        };
                        let (offset, one) = (at(0.0), at(1.0));
                        let rows = one.iter().zip(&offset).map(|(one, zero)| [one - zero, 0.0, 0.0, 0.0]).collect();
                        Linear::new(offset, rows, 1, &weights)
                    })
                    .collect();
                Method::Linear(alternatives?)
            }
            _ if bounds(law).is_empty() => {
                let curve = law.with(setting, &vec![0.0; linear]);
                let at = levels.iter().map(|&x| curve.at(scale, x)).collect::<Option<Vec<_>>>()?;
                let (offset, rows) = at.into_iter().unzip();
                Method::Linear(vec![Linear::new(offset, rows, linear, &weights)?])
            }
            _ => Method::Curved(linear),
        };
        Some(Fitter { law, setting, scale, levels: levels.to_vec(), weights, method })
    }

    /// The best fit to values at the levels.
    pub fn fit(&self, y: &[f64]) -> Fit {
        match &self.method {
            Method::Linear(alternatives) => self.best_alternative(alternatives, y),
            Method::Curved(_) => self.fit_of(self.search(y, None), y),
        }
    }

    /// The fit to values near those of an earlier fit: for resamples.
    pub fn refit(&self, y: &[f64], near: &Fit) -> Fit {
        match &self.method {
            Method::Linear(alternatives) => self.best_alternative(alternatives, y),
            Method::Curved(_) => self.fit_of(self.descend(filled(&near.parameters), y, None).1, y),
        }
    }

    /// For every level: its value minus the prediction by the fit to the other levels. `None` where these do not
    /// determine the parameters.
    pub fn leave_one_out(&self, y: &[f64]) -> Option<Vec<f64>> {
        if y.len() <= self.law.parameters().len() {
            return None;
        }
        let errors: Vec<f64> = match &self.method {
            Method::Linear(alternatives) => {
                // (χ² without the level, error at the level) of each alternative; the least χ² is what a fit would choose.
                let mut best = vec![(f64::INFINITY, f64::NAN); y.len()];
                for linear in alternatives {
                    let residuals = linear.residuals(y);
                    let chi2: f64 = residuals.iter().zip(&self.weights).map(|(r, w)| w * r * r).sum();
                    for (i, best) in best.iter_mut().enumerate() {
                        let error = residuals[i] / (1.0 - linear.leverage[i]);
                        let without = chi2 - self.weights[i] * residuals[i] * error;
                        if without < best.0 {
                            *best = (without, error);
                        }
                    }
                }
                best.into_iter().map(|(_, error)| error).collect()
            }
            Method::Curved(_) => {
                (0..y.len()).map(|i| y[i] - self.value(&self.search(y, Some(i)), self.levels[i])).collect()
            }
        };
        errors.iter().all(|e| e.is_finite()).then_some(errors)
    }

    /// As [`Fitter::leave_one_out`] from a fit at hand, for resamples: exact for laws that are linear, to first order in
    /// the change of the parameters for the others.
    pub fn leave_one_out_near(&self, y: &[f64], fit: &Fit) -> Option<Vec<f64>> {
        let Method::Curved(linear) = self.method else { return self.leave_one_out(y) };
        let curve = self.law.with(self.setting, &fit.parameters);
        let at = self.levels.iter().map(|&x| curve.at(self.scale, x)).collect::<Option<Vec<_>>>()?;
        let (_, rows): (Vec<f64>, Vec<Parameters>) = at.into_iter().unzip();
        // A curved parameter at its bound may be without effect; then only the linear ones give way.
        let tangent = |columns| Linear::new(vec![0.0; y.len()], rows.clone(), columns, &self.weights);
        let tangent = tangent(fit.parameters.len()).or_else(|| tangent(linear))?;
        let left_out = |i: usize| (y[i] - fit.fitted[i]) / (1.0 - tangent.leverage[i]);
        let errors: Vec<f64> = (0..y.len()).map(left_out).collect();
        (y.len() > fit.parameters.len() && errors.iter().all(|e| e.is_finite())).then_some(errors)
    }

    fn best_alternative(&self, alternatives: &[Linear], y: &[f64]) -> Fit {
        let mut best: Option<Fit> = None;
        for (i, linear) in alternatives.iter().enumerate() {
            let residuals = linear.residuals(y);
            let chi2 = residuals.iter().zip(&self.weights).map(|(r, w)| w * r * r).sum();
            // A larger k must fit better by more than rounding: k = 1 and k = 2 are the same law.
            if best.as_ref().is_none_or(|best| chi2 < best.chi2 * (1.0 - 1e-9)) {
                let mut theta = linear.solve(y);
                if alternatives.len() > 1 {
                    theta[1] = (i + 1) as f64;
                }
                let parameters = theta[..self.law.parameters().len()].to_vec();
                let fitted = y.iter().zip(&residuals).map(|(y, r)| y - r).collect();
                best = Some(Fit { parameters, chi2, fitted });
            }
        }
        best.expect("at least one alternative")
    }

    /// The least χ² of descents from the best of many starts, with one level left out or none.
    fn search(&self, y: &[f64], without: Option<usize>) -> Parameters {
        let Method::Curved(linear) = self.method else { unreachable!("other laws have a closed form") };
        let mut found: Vec<(f64, Parameters)> = starts(self.law)
            .into_iter()
            .filter_map(|start| {
                let start = self.with_linear_solved(linear, &start, y)?;
                Some((self.chi2(&start, y, without)?, start))
            })
            .collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let descents = found.iter().take(3).map(|(_, start)| self.descend(*start, y, without));
        descents.min_by(|a, b| a.0.total_cmp(&b.0)).map_or([0.5; MAX_PARAMETERS], |(_, theta)| theta)
    }

    fn value(&self, theta: &Parameters, x: f64) -> f64 {
        let curve = self.law.with(self.setting, &theta[..self.law.parameters().len()]);
        curve.at(self.scale, x).map_or(f64::NAN, |(value, _)| value)
    }

    fn fit_of(&self, theta: Parameters, y: &[f64]) -> Fit {
        let fitted: Vec<f64> = self.levels.iter().map(|&x| self.value(&theta, x)).collect();
        let chi2 = fitted.iter().zip(y).zip(&self.weights).map(|((f, y), w)| w * (y - f).powi(2)).sum();
        Fit { parameters: theta[..self.law.parameters().len()].to_vec(), chi2, fitted }
    }

    /// Starting values: the given curved parameters, and the linear ones that suit them best.
    fn with_linear_solved(&self, linear: usize, curved: &[f64], y: &[f64]) -> Option<Parameters> {
        let mut theta = [0.0; MAX_PARAMETERS];
        theta[linear..linear + curved.len()].copy_from_slice(curved);
        let curve = self.law.with(self.setting, &theta[..linear + curved.len()]);
        let at = self.levels.iter().map(|&x| curve.at(self.scale, x)).collect::<Option<Vec<_>>>()?;
        let (offset, rows) = at.into_iter().unzip();
        let solved = Linear::new(offset, rows, linear, &self.weights)?.solve(y);
        theta[..linear].copy_from_slice(&solved[..linear]);
        Some(theta)
    }

    fn chi2(&self, theta: &Parameters, y: &[f64], without: Option<usize>) -> Option<f64> {
        let term = |i: usize| self.weights[i] * (y[i] - self.value(theta, self.levels[i])).powi(2);
        let chi2: f64 = (0..y.len()).filter(|i| Some(*i) != without).map(term).sum();
        chi2.is_finite().then_some(chi2)
    }

    /// Levenberg-Marquardt with analytic derivatives; parameters stay within their bounds, and one that stands at a
    /// bound and would leave is held. Gives χ² and the parameters.
    fn descend(&self, start: Parameters, y: &[f64], without: Option<usize>) -> (f64, Parameters) {
        let count = self.law.parameters().len();
        let first_bound = count - bounds(self.law).len();
        let mut theta = start;
        let Some(mut chi2) = self.chi2(&theta, y, without) else { return (f64::INFINITY, theta) };
        let mut damping = 1e-4;
        for _ in 0..200 {
            let curve = self.law.with(self.setting, &theta[..count]);
            let mut gram = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
            let mut slope = [0.0; MAX_PARAMETERS];
            for i in (0..y.len()).filter(|i| Some(*i) != without) {
                let Some((value, gradient)) = curve.at(self.scale, self.levels[i]) else { continue };
                for a in 0..count {
                    slope[a] += self.weights[i] * gradient[a] * (y[i] - value);
                    for b in 0..count {
                        gram[a][b] += self.weights[i] * gradient[a] * gradient[b];
                    }
                }
            }
            for (a, (low, high)) in (first_bound..).zip(bounds(self.law)) {
                if (theta[a] <= *low && slope[a] < 0.0) || (theta[a] >= *high && slope[a] > 0.0) {
                    slope[a] = 0.0;
                    gram[a] = [0.0; MAX_PARAMETERS];
                    gram.iter_mut().for_each(|row| row[a] = 0.0);
                }
            }
            let before = chi2;
            while damping < 1e12 {
                let mut damped = gram;
                for (a, row) in damped.iter_mut().enumerate().take(count) {
                    row[a] = row[a] * (1.0 + damping) + f64::MIN_POSITIVE.max(1e-12 * damping);
                }
                let mut next = theta;
                if let Some(inverse) = invert(&damped, count) {
                    for a in 0..count {
                        next[a] += (0..count).map(|b| inverse[a][b] * slope[b]).sum::<f64>();
                    }
                    for (a, (low, high)) in (first_bound..).zip(bounds(self.law)) {
                        next[a] = next[a].clamp(*low, *high);
                    }
                    if let Some(better) = self.chi2(&next, y, without).filter(|next| *next < chi2) {
                        (chi2, theta) = (better, next);
                        damping = (damping / 10.0).max(1e-10);
                        break;
                    }
                }
                damping *= 10.0;
            }
            if before - chi2 <= 1e-10 * before {
                break;
            }
        }
        (chi2, theta)
    }
}

fn filled(parameters: &[f64]) -> Parameters {
    let mut theta = [0.0; MAX_PARAMETERS];
    theta[..parameters.len()].copy_from_slice(parameters);
    theta
}

impl Linear {
    /// `None` where the columns depend on one another.
    fn new(offset: Vec<f64>, rows: Vec<Parameters>, columns: usize, weights: &[f64]) -> Option<Self> {
        let mut gram = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
        for (row, w) in rows.iter().zip(weights) {
            for a in 0..columns {
                for b in 0..columns {
                    gram[a][b] += w * row[a] * row[b];
                }
            }
        }
        let covariance = invert(&gram, columns)?;
        let inverse: Vec<Parameters> = rows
            .iter()
            .zip(weights)
            .map(|(row, w)| {
                let mut column = [0.0; MAX_PARAMETERS];
                for a in 0..columns {
                    column[a] = w * (0..columns).map(|b| covariance[a][b] * row[b]).sum::<f64>();
                }
                column
            })
            .collect();
        let leverage = rows.iter().zip(&inverse).map(|(row, column)| dot(row, column)).collect();
        Some(Linear { offset, rows, inverse, leverage })
    }

    fn solve(&self, y: &[f64]) -> Parameters {
        let mut theta = [0.0; MAX_PARAMETERS];
        for ((y, offset), column) in y.iter().zip(&self.offset).zip(&self.inverse) {
            for (t, c) in theta.iter_mut().zip(column) {
                *t += c * (y - offset);
            }
        }
        theta
    }

    fn residuals(&self, y: &[f64]) -> Vec<f64> {
        let theta = self.solve(y);
        y.iter().zip(&self.offset).zip(&self.rows).map(|((y, offset), row)| y - offset - dot(row, &theta)).collect()
    }
}

fn dot(a: &Parameters, b: &Parameters) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Inverse of the leading `n` rows and columns of a positive definite matrix, scaled to a unit diagonal first.
fn invert(matrix: &[Parameters; MAX_PARAMETERS], n: usize) -> Option<[Parameters; MAX_PARAMETERS]> {
    let mut scale = [0.0; MAX_PARAMETERS];
    for i in 0..n {
        if matrix[i][i].is_nan() || matrix[i][i] <= 0.0 {
            return None;
        }
        scale[i] = matrix[i][i].sqrt();
    }
    // Gauss-Jordan on [A | 1]; no pivoting is needed for a positive definite matrix.
    let mut left = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
    let mut right = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
    for i in 0..n {
        right[i][i] = 1.0;
        for j in 0..n {
            left[i][j] = matrix[i][j] / (scale[i] * scale[j]);
        }
    }
    for i in 0..n {
        let pivot = left[i][i];
        if pivot.is_nan() || pivot <= 1e-13 {
            return None;
        }
        for j in 0..n {
            left[i][j] /= pivot;
            right[i][j] /= pivot;
        }
        for k in (0..n).filter(|k| *k != i) {
            let factor = left[k][i];
            for j in 0..n {
                left[k][j] -= factor * left[i][j];
                right[k][j] -= factor * right[i][j];
            }
        }
    }
    for i in 0..n {
        for j in 0..n {
            right[i][j] /= scale[i] * scale[j];
        }
    }
    Some(right)
}
