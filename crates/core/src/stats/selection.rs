//! Choosing between models of one curve.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor};

use super::{Error, Result, check, check_equal, mean, rmse};

/// Information criteria of a fit with known variances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criteria {
    /// Number of fitted parameters k.
    pub parameters: usize,
    /// Number of points L.
    pub points: usize,
    /// Weighted sum of squared residuals.
    pub chi2: f64,
    /// AICc = χ² + 2k + 2k(k+1)/(L-k-1). None for L ≤ k + 1, where the correction has no meaning.
    pub aicc: Option<f64>,
    /// BIC = χ² + k ln L.
    pub bic: f64,
}

/// AICc and BIC of a fit of `parameters` parameters to `points` points. Fails on a chi2 that is negative or not finite
/// and on no points.
pub fn information_criteria(chi2: f64, parameters: usize, points: usize) -> Result<Criteria> {
    let what = "an information criterion";
    check(what, &[chi2], 1)?;
    if chi2 < 0.0 || points == 0 {
        return Err(Error::Invalid { what, problem: format!("chi2 = {chi2} from {points} points") });
    }
    let (k, l) = (parameters as f64, points as f64);
    let aicc = (points > parameters + 1).then(|| chi2 + 2.0 * k + 2.0 * k * (k + 1.0) / (l - k - 1.0));
    Ok(Criteria { parameters, points, chi2, aicc, bic: chi2 + k * l.ln() })
}

/// A model beside the best one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// AICc above the least AICc of all models; none where the model has no AICc.
    pub delta_aicc: Option<f64>,
    /// exp(-Δ/2), scaled to sum to 1 over the models that have an AICc; none for the others.
    pub akaike_weight: Option<f64>,
    /// BIC above the least BIC of all models.
    pub delta_bic: f64,
}

/// Compares models fitted to the same points, in the order given. Fails on no models and on different numbers of
/// points.
pub fn compare(models: &[Criteria]) -> Result<Vec<Comparison>> {
    let what = "a comparison of models";
    let Some(first) = models.first() else {
        return Err(Error::TooFew { what, needed: 1, got: 0 });
    };
    for model in models {
        check_equal(what, first.points, model.points)?;
    }
    let best_aicc = models.iter().filter_map(|m| m.aicc).fold(f64::INFINITY, f64::min);
    let best_bic = models.iter().map(|m| m.bic).fold(f64::INFINITY, f64::min);
    let likelihood = |delta: f64| (-delta / 2.0).exp();
    let total: f64 = models.iter().filter_map(|m| m.aicc).map(|aicc| likelihood(aicc - best_aicc)).sum();
    Ok(models
        .iter()
        .map(|m| {
            let delta_aicc = m.aicc.map(|aicc| aicc - best_aicc);
            let akaike_weight = delta_aicc.map(|delta| likelihood(delta) / total);
            Comparison { delta_aicc, akaike_weight, delta_bic: m.bic - best_bic }
        })
        .collect())
}

/// Lack-of-fit F test against pure error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LackOfFit {
    /// The statistic.
    pub f: f64,
    /// Degrees of freedom of the lack of fit, L - k.
    pub df_model: usize,
    /// Degrees of freedom of the pure error, N - L.
    pub df_error: usize,
    /// p value: small where the means lie off the curve by more than replicates scatter.
    pub p: f64,
}

/// Tests a fitted curve against the scatter of replicates: F = [SS_LOF / (L-k)] / [SS_PE / (N-L)], where SS_LOF sums n
/// (level mean - fitted)² and SS_PE the squares about the level means. `replicates[level]` holds the values of one
/// level, not necessarily as many at each, `fitted[level]` the model with `parameters` fitted parameters. Supposes the
/// same variance at every level and independent levels: with seeds paired across levels the p value is a guide.
///
/// Fails on empty levels, unequal lengths, non-finite values, no degrees of freedom (L ≤ k or no level with two values)
/// and replicates that do not scatter at all.
pub fn lack_of_fit(replicates: &[Vec<f64>], fitted: &[f64], parameters: usize) -> Result<LackOfFit> {
    let what = "a lack-of-fit test";
    check_equal(what, replicates.len(), fitted.len())?;
    check(what, fitted, 1)?;
    let levels = replicates.len();
    let (mut lack, mut error, mut values) = (0.0, 0.0, 0);
    for (level, fitted) in replicates.iter().zip(fitted) {
        check(what, level, 1)?;
        let mean = mean(level);
        lack += level.len() as f64 * (mean - fitted).powi(2);
        error += level.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        values += level.len();
    }
    if levels <= parameters || values == levels {
        let why = format!("{parameters} parameters, {levels} levels and {values} values leave no degrees of freedom");
        return Err(Error::Undefined { what, why });
    }
    if error == 0.0 {
        return Err(Error::Undefined { what, why: "replicates do not differ at any level".into() });
    }
    let (df_model, df_error) = (levels - parameters, values - levels);
    let f = (lack / df_model as f64) / (error / df_error as f64);
    let p = FisherSnedecor::new(df_model as f64, df_error as f64).expect("positive degrees of freedom").sf(f);
    Ok(LackOfFit { f, df_model, df_error, p })
}

/// A Pearson chi-square test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChiSquare {
    /// The statistic X².
    pub x2: f64,
    /// Degrees of freedom.
    pub df: usize,
    /// p value.
    pub p: f64,
}

/// Pearson's test of counts against given probabilities. Cells of probability 0 must be empty and take no part. The
/// probabilities are scaled to the sum of the counts and must sum to 1 within 1e-6. Fails on unequal lengths,
/// non-finite or negative values, no counts, fewer than two possible cells, and a count where the probability is 0.
pub fn goodness_of_fit(counts: &[f64], probabilities: &[f64]) -> Result<ChiSquare> {
    let what = "a goodness-of-fit test";
    check_equal(what, counts.len(), probabilities.len())?;
    check(what, counts, 2)?;
    check(what, probabilities, 2)?;
    let (n, total): (f64, f64) = (counts.iter().sum(), probabilities.iter().sum());
    let negative = counts.iter().chain(probabilities).any(|x| *x < 0.0);
    if negative || n <= 0.0 || (total - 1.0).abs() > 1e-6 {
        let problem = format!("counts sum to {n}, probabilities to {total}, any below zero: {negative}");
        return Err(Error::Invalid { what, problem });
    }
    let (mut x2, mut cells) = (0.0, 0usize);
    for (i, (count, p)) in counts.iter().zip(probabilities).enumerate() {
        if *p > 0.0 {
            x2 += (count - n * p).powi(2) / (n * p);
            cells += 1;
        } else if *count > 0.0 {
            return Err(Error::Undefined { what, why: format!("cell {i} has probability 0 and a count of {count}") });
        }
    }
    if cells < 2 {
        return Err(Error::TooFew { what: "a goodness-of-fit test's possible cells", needed: 2, got: cells });
    }
    let df = cells - 1;
    let p = ChiSquared::new(df as f64).expect("positive degrees of freedom").sf(x2);
    Ok(ChiSquare { x2, df, p })
}

/// Prediction of each point by a fit to the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaveOneOut {
    /// Prediction of each point by the fit that has not seen it.
    pub predictions: Vec<f64>,
    /// Root mean squared error of these predictions.
    pub rmse: f64,
}

/// Leaves out one point (level) after another. `fit_and_predict` gets the indices kept and the index left out, fits to
/// the former and predicts the latter; None says that the fit failed. Fails on fewer than 2 points, non-finite values,
/// and when any fit fails: a score over the levels that happened to work would flatter.
pub fn leave_one_out(
    y: &[f64],
    mut fit_and_predict: impl FnMut(&[usize], usize) -> Option<f64>,
) -> Result<LeaveOneOut> {
    let what = "a leave-one-out error";
    check(what, y, 2)?;
    let mut predictions = Vec::with_capacity(y.len());
    for left_out in 0..y.len() {
        let kept: Vec<usize> = (0..y.len()).filter(|i| *i != left_out).collect();
        match fit_and_predict(&kept, left_out).filter(|p| p.is_finite()) {
            Some(prediction) => predictions.push(prediction),
            None => return Err(Error::Undefined { what, why: format!("the fit without point {left_out} failed") }),
        }
    }
    let rmse = rmse(y, &predictions)?;
    Ok(LeaveOneOut { predictions, rmse })
}
