//! What the curves of paired runs say about the laws: the tests fixed in advance, in their order.
//!
//! The unit is the curve of a seed over all levels. 1. gate ([`gate`]); 2. straightness of m; 3. exponent of the vote;
//! 4. lack of fit; 5. information criteria; 6. prediction of levels left out, and two extrapolations; 7. residuals;
//! 8. bootstrap over seeds and a simultaneous band; 9. matrix test ([`matrix_test`]). 10. Levels near ε* never count
//! ([`Setting::counts`]): there every learner shows the same A.

mod least_squares;
mod matrix;
mod verdict;

use std::collections::HashMap;
use std::sync::Mutex;

use rand_distr::{ChiSquared, Distribution, StandardNormal};
use retrial_core::Seed;
use retrial_core::stats::{
    self, Alternative, Band, Criteria, FEWEST_SEEDS, Interval, LackOfFit, RunsTest, SignFlip, TTest, Tost,
};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

pub use least_squares::{Fit, Fitter, bounds};
pub use matrix::{MatrixDistance, MatrixTest, matrix_test};
pub use verdict::{Outcome, Verdict, verdict};

use crate::laws::{Law, Noise, Scale, Setting};

/// A bend of m within this of 0, averaged over levels, is no bend that matters.
pub const MARGIN: f64 = 0.02;
/// An exponent of the vote within this range is practically 1.
pub const PRACTICALLY_ONE: (f64, f64) = (0.9, 1.1);
/// Only a difference in AICc beyond this counts.
pub const DECISIVE: f64 = 6.0;
/// Training accuracy on the noisy labels from which a run counts as memorised.
pub const MEMORISED: f64 = 0.999;
/// Resamples of the bootstrap.
pub const DRAWS: usize = 10_000;
/// Fewest levels that count for which a statistic is worth its name.
const FEWEST_LEVELS: usize = 3;
/// Least m(1 − m) where the test size is unknown: an accuracy of 1 is not known without error.
const LEAST_BINOMIAL: f64 = 0.01 * 0.99;

/// Why there are no statistics.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The curves do not fit together.
    #[error("{0}")]
    Curves(String),
    /// Too few levels that count.
    #[error(
        "{counted} of the noise ratios count (0 to {highest:.2}, none within 0.1 of {blind:.2}); at least {FEWEST_LEVELS} are needed"
    )]
    Levels {
        /// Levels that count.
        counted: usize,
        /// Highest noise ratio that can count.
        highest: f64,
        /// The noise ratio at which all learners look alike.
        blind: f64,
    },
    /// A statistic has no value.
    #[error(transparent)]
    Statistics(#[from] stats::Error),
    /// A transition matrix cannot be used.
    #[error(transparent)]
    Noise(#[from] retrial_core::noise::Error),
}

/// Accuracies of paired runs: every seed at every level, on one scale or both.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedCurves {
    /// Noise and classes.
    pub setting: Setting,
    /// Noise ratios, ascending.
    pub levels: Vec<f64>,
    /// m, `[seed][level]`.
    pub clean: Option<Vec<Vec<f64>>>,
    /// A, `[seed][level]`.
    pub noisy: Option<Vec<Vec<f64>>>,
    /// Whether A was computed from the predictions and the transition matrix, free of the error of drawing labels.
    pub noisy_exact: bool,
    /// Number of test samples behind each accuracy.
    pub test_size: Option<usize>,
}

impl PairedCurves {
    fn check(&self) -> Result<usize, Error> {
        let problem = |text: String| Err(Error::Curves(text));
        if self.setting.classes < 2 {
            return problem(format!("{} classes: at least 2 are needed", self.setting.classes));
        }
        if self.levels.iter().any(|x| !(0.0..=1.0).contains(x)) || self.levels.windows(2).any(|w| w[0] >= w[1]) {
            return problem(format!("noise ratios {:?} do not ascend within 0 to 1", self.levels));
        }
        let given: Vec<&Vec<Vec<f64>>> = [&self.clean, &self.noisy].into_iter().flatten().collect();
        let Some(first) = given.first() else { return problem("no accuracies".into()) };
        let seeds = first.len();
        for curves in &given {
            if curves.len() != seeds || seeds == 0 {
                return problem(format!("{} and {seeds} seeds on the two scales", curves.len()));
            }
            for (seed, curve) in curves.iter().enumerate() {
                if curve.len() != self.levels.len() {
                    let (got, levels) = (curve.len(), self.levels.len());
                    return problem(format!("seed number {seed} has {got} accuracies at {levels} noise ratios"));
                }
                if let Some(x) = curve.iter().find(|x| !(0.0..=1.0).contains(*x)) {
                    return problem(format!("seed number {seed} has accuracy {x}, outside 0 to 1"));
                }
            }
        }
        Ok(seeds)
    }

    /// The curves at some of the levels and seeds, by position.
    fn select(&self, seeds: &[usize], levels: &[usize]) -> PairedCurves {
        let part = |curves: &Option<Vec<Vec<f64>>>| {
            curves.as_ref().map(|curves| {
                seeds.iter().map(|&s| levels.iter().map(|&l| curves[s][l]).collect()).collect::<Vec<Vec<f64>>>()
            })
        };
        PairedCurves {
            setting: self.setting,
            levels: levels.iter().map(|&l| self.levels[l]).collect(),
            clean: part(&self.clean),
            noisy: part(&self.noisy),
            noisy_exact: self.noisy_exact,
            test_size: self.test_size,
        }
    }
}

/// Which runs had memorised their noisy labels. The rest says nothing about the law and takes no part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Training accuracy that had to be reached.
    pub threshold: f64,
    /// Runs in all.
    pub runs: usize,
    /// Runs that reached it.
    pub memorised: usize,
    /// Noise ratios at which more than half of the seeds did not.
    pub dropped_levels: Vec<f64>,
    /// Positions of seeds that did not at one of the remaining noise ratios.
    pub dropped_seeds: Vec<usize>,
}

/// Drops what was not memorised: first the levels at which more than half of the seeds fail, then the seeds that fail at a
/// level that is left, since only whole curves are compared. `train_accuracy[seed][level]` is measured on the noisy labels of
/// the training set. Fails where nothing is left.
pub fn gate(curves: &PairedCurves, train_accuracy: &[Vec<f64>], threshold: f64) -> Result<(PairedCurves, Gate), Error> {
    let seeds = curves.check()?;
    let levels = curves.levels.len();
    if train_accuracy.len() != seeds || train_accuracy.iter().any(|row| row.len() != levels) {
        return Err(Error::Curves("training accuracies do not match the curves".into()));
    }
    let passed = |s: usize, l: usize| train_accuracy[s][l] >= threshold;
    let (kept_levels, lost_levels): (Vec<usize>, Vec<usize>) =
        (0..levels).partition(|&l| 2 * (0..seeds).filter(|&s| !passed(s, l)).count() <= seeds);
    let (kept_seeds, lost_seeds): (Vec<usize>, Vec<usize>) =
        (0..seeds).partition(|&s| kept_levels.iter().all(|&l| passed(s, l)));
    if kept_levels.is_empty() || kept_seeds.is_empty() {
        return Err(Error::Curves(format!("no whole curve reached training accuracy {threshold}")));
    }
    let gate = Gate {
        threshold,
        runs: seeds * levels,
        memorised: (0..seeds).map(|s| (0..levels).filter(|&l| passed(s, l)).count()).sum(),
        dropped_levels: lost_levels.into_iter().map(|l| curves.levels[l]).collect(),
        dropped_seeds: lost_seeds,
    };
    Ok((curves.select(&kept_seeds, &kept_levels), gate))
}

/// Everything that the curves say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Noise and classes.
    pub setting: Setting,
    /// Number of seeds.
    pub seeds: usize,
    /// Number of test samples behind each accuracy.
    pub test_size: Option<usize>,
    /// Noise ratios that count.
    pub levels: Vec<f64>,
    /// The gate, where it was applied ([`gate`] gives it).
    pub gate: Option<Gate>,
    /// Statistics of m.
    pub clean: Option<CurveStatistics>,
    /// Statistics of A.
    pub noisy: Option<CurveStatistics>,
    /// What only pair noise shows.
    pub pair: Option<PairStatistics>,
    /// Levels that do not count, beside what the scaled law expects there.
    pub uncounted: Vec<Uncounted>,
}

impl Statistics {
    /// The statistics that decide: of m where it was measured, else of A.
    pub fn primary(&self) -> &CurveStatistics {
        self.clean.as_ref().or(self.noisy.as_ref()).expect("curves have at least one scale")
    }
}

/// How the variance of a mean accuracy was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Proportional to p(1 − p), with one factor for all levels: the greater of the spread between seeds and the binomial
    /// error of the test set.
    SeedsAndBinomial,
    /// The same from the spread between seeds alone.
    Seeds,
    /// One seed: the binomial variance of the test set. Differences between trainings are not in it.
    Binomial,
    /// One seed, unknown test size: proportional to the binomial variance, with the factor from the residuals of the best law.
    Residuals,
}

impl Spread {
    /// The assumption in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Spread::SeedsAndBinomial => {
                "errors: the greater of the spread between seeds, pooled over levels in proportion to p(1 - p), and the \
                 binomial error of the test set"
            }
            Spread::Seeds => {
                "errors: from the spread between seeds, pooled over levels in proportion to p(1 - p); the size of the test \
                 set is not known"
            }
            Spread::Binomial => {
                "errors: binomial error of the test set alone, since there is one run at each noise ratio; differences \
                 between trainings are not in it"
            }
            Spread::Residuals => {
                "errors: estimated from what the best law leaves over, in proportion to p(1 - p), since there is one run at \
                 each noise ratio and the size of the test set is not known"
            }
        }
    }
}

/// A mean accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelMean {
    /// ε.
    pub level: f64,
    /// Mean over seeds.
    pub mean: f64,
    /// Standard deviation between seeds.
    pub sd: Option<f64>,
    /// Standard error of the mean that fits are weighted with.
    pub se: f64,
}

/// Statistics of one curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveStatistics {
    /// Which curve.
    pub scale: Scale,
    /// Where standard errors come from.
    pub spread: Spread,
    /// Means at the levels that count.
    pub means: Vec<LevelMean>,
    /// Step 2. None without a noise-free level or without a level between.
    pub straightness: Option<Straightness>,
    /// Step 2, second check.
    pub contrasts: Vec<Contrast>,
    /// Step 3.
    pub exponent: Exponent,
    /// Step 4, for M0, M1, M2 and M5; empty with one seed.
    pub lack_of_fit: Vec<(Law, LackOfFit)>,
    /// Steps 5 and 6, for every law that speaks of the curve and has fewer parameters than there are levels.
    pub models: Vec<ModelRow>,
    /// Step 7, for M0, M1 and M2.
    pub residuals: Vec<Residuals>,
    /// Step 8.
    pub resampling: Resampling,
    /// Step 8: simultaneous 95 % band of the mean curve, from 3 seeds on.
    pub band: Option<Band>,
    /// Step 8: whether the curves of M0 and M1 lie inside the band at every level.
    pub inside_band: Vec<(Law, bool)>,
}

impl CurveStatistics {
    /// The row of a law, if it was fitted.
    pub fn model(&self, law: Law) -> Option<&ModelRow> {
        self.models.iter().find(|row| row.law == law)
    }

    /// The law with the least AICc.
    pub fn best(&self) -> &ModelRow {
        self.models.iter().find(|row| row.delta_aicc == Some(0.0)).unwrap_or(&self.models[0])
    }
}

/// K: how far the curve lies above the straight line between its forced end points, averaged over the levels between.
///
/// The line of a seed runs from (0, its accuracy without noise) to (ε*, 1/c). Of A under symmetric noise, m is taken by the
/// identity. Of m under pair noise, departures beyond ε = 1/2 count with the sign turned, since there the wrong class is the
/// majority. Of A alone under pair noise, K is the departure from M1's parabola through the seed's noise-free accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Straightness {
    /// K of every seed.
    pub per_seed: Vec<f64>,
    /// Mean and 95 % interval: t over seeds; with one seed, from the standard errors of the values.
    pub bend: Interval,
    /// Its 90 % interval: within [`MARGIN`] of 0 K is equivalent to 0, at 5 %.
    pub ninety: Interval,
    /// t test against 0; none with one seed or without any spread between seeds.
    pub t: Option<TTest>,
    /// Sign-flip permutation test against 0; none with one seed.
    pub sign_flip: Option<SignFlip>,
    /// Test of equivalence with 0 within [`MARGIN`]; none with one seed.
    pub equivalence: Option<Tost>,
    /// Whether K is shown to lie within [`MARGIN`] of 0: by that test or, with one seed, by the 90 % interval.
    pub equivalent: bool,
}

/// A polynomial component of the curve: root mean square over levels, signed, in accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// Degree of the component.
    pub degree: usize,
    /// Mean and 95 % interval, as for [`Straightness::bend`].
    pub size: Interval,
    /// t test against 0; none with one seed or without any spread between seeds.
    pub t: Option<TTest>,
    /// Test of equivalence with 0 within [`MARGIN`]; none with one seed.
    pub equivalence: Option<Tost>,
}

/// The exponent γ of the sharpened vote M5: 1 is one neighbour, more is averaging of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exponent {
    /// Estimate and 95 % interval of the bootstrap.
    pub gamma: Option<Interval>,
    /// γ fitted to the curve of every seed; empty with one seed.
    pub per_seed: Vec<f64>,
    /// Mean of these with its t interval: with few seeds the honest width, where the bootstrap is too narrow.
    pub across_seeds: Option<Interval>,
    /// Whether all intervals lie within [`PRACTICALLY_ONE`].
    pub practically_one: bool,
}

impl Exponent {
    fn new(gamma: Option<Interval>, per_seed: Vec<f64>, across_seeds: Option<Interval>) -> Self {
        let within = |i: &Interval| i.within(PRACTICALLY_ONE.0, PRACTICALLY_ONE.1);
        let practically_one = gamma.is_some_and(|i| within(&i)) && across_seeds.is_none_or(|i| within(&i));
        Exponent { gamma, per_seed, across_seeds, practically_one }
    }
}

/// A fitted law beside the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// The law.
    pub law: Law,
    /// Number of parameters.
    pub k: usize,
    /// Fitted parameters, in the order of [`Law::parameters`].
    pub parameters: Vec<f64>,
    /// Weighted sum of squared residuals. Under [`Spread::Residuals`] in units in which that of the best law is its degrees
    /// of freedom.
    pub chi2: f64,
    /// AICc; none where the levels are too few for it.
    pub aicc: Option<f64>,
    /// AICc above the least.
    pub delta_aicc: Option<f64>,
    /// BIC.
    pub bic: f64,
    /// Akaike weight.
    pub akaike_weight: Option<f64>,
    /// Root mean squared error in predicting m at a level left out; none where the levels left cannot fit the law, or
    /// where m does not follow from A.
    pub loo_clean: Option<f64>,
    /// The same for A.
    pub loo_noisy: Option<f64>,
    /// Root mean squared error at levels above 0.5 of the fit to those up to 0.5.
    pub extrapolate_up: Option<f64>,
    /// Root mean squared error at levels below 0.3 of the fit to those from 0.3 on.
    pub extrapolate_down: Option<f64>,
}

impl ModelRow {
    /// Leave-one-level-out error on a scale.
    pub fn loo(&self, scale: Scale) -> Option<f64> {
        match scale {
            Scale::Clean => self.loo_clean,
            Scale::Noisy => self.loo_noisy,
        }
    }
}

/// Whether what a law leaves over looks like chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// The law.
    pub law: Law,
    /// Residuals in standard errors, by level.
    pub z: Vec<f64>,
    /// Test of the runs of equal sign; none where all residuals are 0.
    pub runs: Option<RunsTest>,
    /// Autocorrelation of neighbouring levels; none for constant residuals.
    pub lag1: Option<f64>,
    /// Greatest |z|.
    pub worst: f64,
}

/// What happens to the fits when the data are drawn again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// Whether seeds were drawn again (from 3 on); else values about the sharpened vote's curve with their standard errors.
    pub of_seeds: bool,
    /// Number of resamples.
    pub draws: usize,
    /// a₀ of the scaled law M1.
    pub scaled_a0: Option<Interval>,
    /// a₀ of the sharpened vote M5.
    pub sharpened_a0: Option<Interval>,
    /// k of the vote M6.
    pub votes: Option<Interval>,
    /// K.
    pub bend: Option<Interval>,
    /// Of every law, in the order of [`CurveStatistics::models`].
    pub models: Vec<ResampledModel>,
}

/// A law in the resamples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResampledModel {
    /// The law.
    pub law: Law,
    /// AICc above that of the scaled law M1: below 0 the law is better than M1.
    pub aicc_over_scaled: Option<Interval>,
    /// Leave-one-level-out error above that of M1.
    pub loo_over_scaled: Option<Interval>,
    /// Share of the resamples in which its AICc is the least.
    pub wins: f64,
    /// Share of the resamples in which its leave-one-level-out error is the least.
    pub wins_loo: f64,
}

/// What only pair noise shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairStatistics {
    /// A(ε) − A(1 − ε) for ε < 1/2 where both were measured; 0 for any of the laws.
    pub asymmetry: Vec<(f64, f64)>,
    /// γ by level from the true class and the flip target, where m and A were measured.
    pub exponents: Vec<(f64, f64)>,
    /// d − s by level, true class less flip target; 1 − 2ε for the published law.
    pub lead: Vec<(f64, f64)>,
}

/// A level that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uncounted {
    /// ε.
    pub level: f64,
    /// Mean m.
    pub clean: Option<f64>,
    /// Mean A; at ε* 1/c whatever the learner.
    pub noisy: Option<f64>,
    /// m of the scaled law M1 as fitted to the levels that count.
    pub scaled_clean: Option<f64>,
    /// Its A.
    pub scaled_noisy: Option<f64>,
}

/// All statistics of the curves with `draws` resamples ([`DRAWS`]). The same seed gives the same result.
pub fn analyse(curves: &PairedCurves, draws: usize, seed: Seed) -> Result<Statistics, Error> {
    let seeds = curves.check()?;
    let setting = curves.setting;
    let (counted, others): (Vec<usize>, Vec<usize>) =
        (0..curves.levels.len()).partition(|&l| setting.counts(curves.levels[l]));
    if counted.len() < FEWEST_LEVELS {
        let blind = setting.blind_level();
        let highest = if setting.noise == Noise::Pair { 1.0 } else { blind - 0.1 };
        return Err(Error::Levels { counted: counted.len(), highest, blind });
    }
    let all: Vec<usize> = (0..seeds).collect();
    let part = curves.select(&all, &counted);
    let on = |scale: Scale, values: &Option<Vec<Vec<f64>>>| {
        values.as_ref().map(|values| Analysis::new(&part, scale, values)?.run(draws, seed)).transpose()
    };
    let clean = on(Scale::Clean, &part.clean)?;
    let noisy = on(Scale::Noisy, &part.noisy)?;
    let scaled = clean.as_ref().or(noisy.as_ref()).and_then(|c| c.model(Law::Scaled)).map(|row| row.parameters.clone());
    let mean = |values: &Option<Vec<Vec<f64>>>, l: usize| {
        values.as_ref().map(|curves| curves.iter().map(|c| c[l]).sum::<f64>() / seeds as f64)
    };
    let uncounted = others
        .into_iter()
        .map(|l| {
            let level = curves.levels[l];
            let law = scaled.as_ref().map(|parameters| Law::Scaled.with(setting, parameters));
            Uncounted {
                level,
                clean: mean(&curves.clean, l),
                noisy: mean(&curves.noisy, l),
                scaled_clean: law.as_ref().and_then(|law| law.clean(level)),
                scaled_noisy: law.as_ref().map(|law| law.noisy(level)),
            }
        })
        .collect();
    let pair = (setting.noise == Noise::Pair).then(|| {
        let at = |l: usize| Some((mean(&curves.clean, l)?, mean(&curves.noisy, l)?));
        let mut pair = PairStatistics { asymmetry: Vec::new(), exponents: Vec::new(), lead: Vec::new() };
        for (l, &x) in curves.levels.iter().enumerate() {
            let mirror = curves.levels.iter().position(|other| (other - (1.0 - x)).abs() < 1e-9);
            if let (true, Some(a), Some(b)) =
                (x < 0.5 - 1e-9, mean(&curves.noisy, l), mirror.and_then(|m| mean(&curves.noisy, m)))
            {
                pair.asymmetry.push((x, a - b));
            }
            let Some((d, a)) = at(l) else { continue };
            let Some(s) = setting.flip_target_from(x, d, a) else { continue };
            pair.lead.push((x, d - s));
            pair.exponents.extend(setting.pair_exponent(x, d, s).map(|gamma| (x, gamma)));
        }
        pair
    });
    Ok(Statistics {
        setting,
        seeds,
        test_size: curves.test_size,
        levels: part.levels.clone(),
        gate: None,
        clean,
        noisy,
        pair,
        uncounted,
    })
}

/// A linear functional of the curves: of each seed, its mean with a 95 % interval, and the tests that need several seeds.
struct Functional {
    per_seed: Vec<f64>,
    mean: Interval,
    t: Option<TTest>,
    equivalence: Option<Tost>,
}

/// One curve on its way through the steps.
struct Analysis<'a> {
    setting: Setting,
    scale: Scale,
    levels: &'a [f64],
    /// `[seed][level]`
    curves: &'a [Vec<f64>],
    mean: Vec<f64>,
    spread: Spread,
    /// Of the means; under [`Spread::Residuals`] up to a factor.
    variances: Vec<f64>,
    /// Binomial variance of a single test sample, by level: the shape of the error.
    single: Vec<f64>,
    /// Degrees of freedom behind the variances where they come from residuals.
    freedom: Option<f64>,
}

impl<'a> Analysis<'a> {
    fn new(part: &'a PairedCurves, scale: Scale, curves: &'a [Vec<f64>]) -> Result<Self, Error> {
        let setting = part.setting;
        let levels = &part.levels;
        let seeds = curves.len() as f64;
        let mean = stats::mean_curve(curves)?;
        let clean_mean = part.clean.as_ref().map(|clean| stats::mean_curve(clean)).transpose()?;
        let least = part.test_size.map_or(LEAST_BINOMIAL, |n| 0.5 / n as f64);
        let binomial = |p: f64| (p * (1.0 - p)).max(least);
        let single: Vec<f64> = (0..levels.len())
            .map(|l| {
                let x = levels[l];
                if scale == Scale::Clean || !part.noisy_exact {
                    return binomial(mean[l]);
                }
                // A from predictions and transition matrix: what varies is which class each prediction is.
                match (setting.noise, &clean_mean) {
                    (Noise::Symmetric, _) => {
                        let m = setting.clean_from_noisy(x, mean[l]).unwrap_or(mean[l]).clamp(0.0, 1.0);
                        setting.signal(x).powi(2) * binomial(m)
                    }
                    (Noise::Pair, Some(clean)) => {
                        let (d, s) = (clean[l], setting.flip_target_from(x, clean[l], mean[l]).unwrap_or(0.0));
                        let square = d * (1.0 - x).powi(2) + s * x * x;
                        (square - mean[l] * mean[l]).max(least * (1.0 - 2.0 * x).powi(2)).max(1e-9)
                    }
                    (Noise::Pair, None) => binomial(mean[l]),
                }
            })
            .collect();
        // Spread between seeds in units of the binomial variance, pooled over levels: weights from the few seeds of each
        // level alone would favour levels at which these happen to agree, and make every interval too narrow.
        let mut factor = 0.0;
        for (l, single) in single.iter().enumerate() {
            let sd = stats::summary(&stats::column(curves, l))?.sd.unwrap_or(0.0);
            factor += sd * sd / single / levels.len() as f64;
        }
        let (spread, factor) = match (curves.len(), part.test_size) {
            (1, None) => (Spread::Residuals, 1.0),
            (1, Some(n)) => (Spread::Binomial, 1.0 / n as f64),
            (_, Some(n)) => (Spread::SeedsAndBinomial, factor.max(1.0 / n as f64) / seeds),
            (_, None) if factor > 0.0 => (Spread::Seeds, factor / seeds),
            (_, None) => {
                let text = "the seeds agree in every digit at every noise ratio: give one of them, or different runs";
                return Err(Error::Curves(text.into()));
            }
        };
        let variances = single.iter().map(|v| factor * v).collect();
        Ok(Analysis { setting, scale, levels, curves, mean, spread, variances, single, freedom: None })
    }

    fn run(mut self, draws: usize, seed: Seed) -> Result<CurveStatistics, Error> {
        let laws: Vec<(Law, Fitter)> = Law::ALL
            .into_iter()
            .filter(|law| law.parameters().len() < self.levels.len())
            .filter_map(|law| Some((law, self.fitter(law, &self.variances)?)))
            .collect();
        let fits: Vec<Fit> = laws.iter().map(|(_, fitter)| fitter.fit(&self.mean)).collect();
        let models = self.models(&laws, &fits)?;
        if self.spread == Spread::Residuals {
            // Only now is the scale of the errors known. The law with the least AICc of so many flatters, so that of the
            // sharpened vote, about which values are drawn again, must not be smaller.
            let best = models.iter().position(|row| row.delta_aicc == Some(0.0)).unwrap_or(0);
            let scale = |i: usize| self.error_scale(fits[i].chi2, models[i].k);
            let vote = laws.iter().position(|(law, _)| *law == Law::Sharpened).unwrap_or(best);
            let (factor, law) = if scale(vote) > scale(best) { (scale(vote), vote) } else { (scale(best), best) };
            self.variances.iter_mut().for_each(|v| *v *= factor);
            self.freedom = Some((self.levels.len() - models[law].k).max(1) as f64);
        }
        let straightness = self.straightness(seed)?;
        let contrasts = self.contrasts()?;
        let lack_of_fit = self.lack_of_fit()?;
        let residuals = self.residuals(&laws, &fits);
        let (gamma, resampling) = self.resample(&laws, &fits, draws, seed)?;
        let exponent = self.exponent(&laws, &fits, gamma)?;
        let band = if self.curves.len() < FEWEST_SEEDS {
            None
        } else {
            Some(stats::sup_t_band(self.curves, 0.95, draws, &mut seed.stream("fits/band"))?)
        };
        let inside_band = [Law::Literal, Law::Scaled]
            .into_iter()
            .filter_map(|law| {
                let position = laws.iter().position(|(other, _)| *other == law)?;
                Some((law, band.as_ref()?.contains(&fits[position].fitted)))
            })
            .collect();
        let means = (0..self.levels.len())
            .map(|l| LevelMean {
                level: self.levels[l],
                mean: self.mean[l],
                sd: stats::summary(&stats::column(self.curves, l)).ok().and_then(|s| s.sd),
                se: self.variances[l].sqrt(),
            })
            .collect();
        Ok(CurveStatistics {
            scale: self.scale,
            spread: self.spread,
            means,
            straightness,
            contrasts,
            exponent,
            lack_of_fit,
            models,
            residuals,
            resampling,
            band,
            inside_band,
        })
    }

    fn fitter(&self, law: Law, variances: &[f64]) -> Option<Fitter> {
        Fitter::new(law, self.setting, self.scale, self.levels, variances)
    }

    /// The values of a curve in which a memoriser is straight: m, taken from A by the identity if need be. A itself for
    /// pair noise, where m does not follow.
    fn straightened(&self, y: &[f64]) -> Vec<f64> {
        let value = |(&x, &y): (&f64, &f64)| match self.scale {
            Scale::Clean => y,
            Scale::Noisy => self.setting.clean_from_noisy(x, y).unwrap_or(y),
        };
        self.levels.iter().zip(y).map(value).collect()
    }

    /// K as a sum over levels of a weight times the accuracy there, plus a constant; see [`Straightness`]. None without a
    /// noise-free level or without levels between.
    fn bend_weights(&self) -> Option<(Vec<f64>, f64)> {
        let zero = self.levels.iter().position(|x| *x == 0.0)?;
        let between: Vec<usize> =
            (0..self.levels.len()).filter(|l| self.levels[*l] > 0.0 && self.levels[*l] < 1.0).collect();
        if between.is_empty() {
            return None;
        }
        let share = 1.0 / between.len() as f64;
        let mut weights = vec![0.0; self.levels.len()];
        let mut constant = 0.0;
        for l in between {
            let x = self.levels[l];
            // The scaled law through the noise-free accuracy a is affine in a.
            let at = |a0: f64| {
                let law = Law::Scaled.with(self.setting, &[a0]);
                let straight_in_m = self.scale == Scale::Clean || self.setting.noise == Noise::Symmetric;
                if straight_in_m { law.clean(x).expect("stated for m") } else { law.noisy(x) }
            };
            let mut weight = share;
            if self.scale == Scale::Clean && self.setting.noise == Noise::Pair && x > 0.5 {
                weight = -share;
            }
            constant -= weight * at(0.0);
            weights[zero] -= weight * (at(1.0) - at(0.0));
            if self.scale == Scale::Noisy && self.setting.noise == Noise::Symmetric {
                let signal = self.setting.signal(x);
                weights[l] += weight / signal;
                constant -= weight * x / (self.setting.classes as f64 - 1.0) / signal;
            } else {
                weights[l] += weight;
            }
        }
        Some((weights, constant))
    }

    /// The sum over levels of a weight times the accuracy there, plus a constant; with one seed the interval rests on the
    /// standard errors.
    fn functional(&self, weights: &[f64], constant: f64) -> Result<Functional, Error> {
        let per_seed: Vec<f64> = self.curves.iter().map(|y| stats::contrast(y, weights) + constant).collect();
        if per_seed.len() > 1 {
            let mean = stats::mean_t_interval(&per_seed, 0.95)?;
            let t = stats::t_test(&per_seed, 0.0, Alternative::TwoSided)?;
            let equivalence = stats::tost(&per_seed, -MARGIN, MARGIN)?;
            // Without any spread t is infinite, which no file could hold.
            let t = Some(t).filter(|t| t.t.is_finite());
            return Ok(Functional { per_seed, mean, t, equivalence: Some(equivalence) });
        }
        let estimate = per_seed[0];
        let se = weights.iter().zip(&self.variances).map(|(w, v)| w * w * v).sum::<f64>().sqrt();
        let half = self.quantile(0.975) * se;
        let mean = Interval { estimate, low: estimate - half, high: estimate + half, level: 0.95 };
        Ok(Functional { per_seed, mean, t: None, equivalence: None })
    }

    /// Quantile of an error in standard errors, with one seed.
    fn quantile(&self, p: f64) -> f64 {
        match self.freedom {
            Some(freedom) => StudentsT::new(0.0, 1.0, freedom).expect("positive degrees of freedom").inverse_cdf(p),
            None => Normal::standard().inverse_cdf(p),
        }
    }

    fn straightness(&self, seed: Seed) -> Result<Option<Straightness>, Error> {
        let Some((weights, constant)) = self.bend_weights() else { return Ok(None) };
        let Functional { per_seed, mean: bend, t, equivalence } = self.functional(&weights, constant)?;
        let sign_flip = (per_seed.len() > 1)
            .then(|| {
                let mut stream = seed.stream("fits/sign-flip");
                stats::sign_flip(&per_seed, Alternative::TwoSided, DRAWS as u64, &mut stream)
            })
            .transpose()?;
        let ninety = match equivalence {
            Some(tost) => tost.interval,
            None => {
                let half = (bend.high - bend.estimate) * self.quantile(0.95) / self.quantile(0.975);
                let (low, high) = (bend.estimate - half, bend.estimate + half);
                Interval { estimate: bend.estimate, low, high, level: 0.9 }
            }
        };
        let equivalent = ninety.within(-MARGIN, MARGIN);
        Ok(Some(Straightness { per_seed, bend, ninety, t, sign_flip, equivalence, equivalent }))
    }

    fn contrasts(&self) -> Result<Vec<Contrast>, Error> {
        // A of pair noise is a parabola for a memoriser; everything else is looked at where it is a line.
        let curved = self.scale == Scale::Noisy && self.setting.noise == Noise::Pair;
        let degrees = if curved { 3..=4 } else { 2..=3 };
        let levels = self.levels.len();
        let highest = (*degrees.end()).min(levels - 1);
        let polynomials = stats::orthogonal_polynomials(self.levels, highest)?;
        let shift = self.straightened(&vec![0.0; levels]);
        let mut contrasts = Vec::new();
        for degree in degrees.filter(|degree| *degree <= highest) {
            let root = (levels as f64).sqrt();
            let polynomial: Vec<f64> = polynomials[degree - 1].iter().map(|p| p / root).collect();
            // As weights of the accuracies themselves.
            let straightened_unit = self.straightened(&vec![1.0; levels]);
            let weights: Vec<f64> = (0..levels).map(|l| polynomial[l] * (straightened_unit[l] - shift[l])).collect();
            let Functional { mean: size, t, equivalence, .. } =
                self.functional(&weights, stats::contrast(&shift, &polynomial))?;
            contrasts.push(Contrast { degree, size, t, equivalence });
        }
        Ok(contrasts)
    }

    /// Weighted so that replicates scatter alike at every level, which the test supposes.
    fn lack_of_fit(&self) -> Result<Vec<(Law, LackOfFit)>, Error> {
        let mut tests = Vec::new();
        if self.curves.len() < 2 {
            return Ok(tests);
        }
        let unit: Vec<f64> = self.single.iter().map(|v| v.sqrt()).collect();
        let replicates: Vec<Vec<f64>> =
            (0..self.levels.len()).map(|l| self.curves.iter().map(|curve| curve[l] / unit[l]).collect()).collect();
        for law in [Law::Literal, Law::Scaled, Law::Affine, Law::Sharpened] {
            let Some(fitter) = self.fitter(law, &self.single) else { continue };
            let fitted: Vec<f64> = fitter.fit(&self.mean).fitted.iter().zip(&unit).map(|(f, u)| f / u).collect();
            match stats::lack_of_fit(&replicates, &fitted, law.parameters().len()) {
                Ok(test) => tests.push((law, test)),
                // No degrees of freedom, or replicates without any scatter: nothing to test against.
                Err(stats::Error::Undefined { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(tests)
    }

    /// Factor by which variances of 1 · m(1 − m) must be multiplied, from the best law's χ². Accuracies are rarely given
    /// to more than four digits.
    fn error_scale(&self, chi2: f64, k: usize) -> f64 {
        let rounding: f64 = self.single.iter().map(|v| 1e-9 / v).sum::<f64>() / self.single.len() as f64;
        (chi2 / (self.levels.len() - k).max(1) as f64).max(rounding)
    }

    fn criteria(&self, chi2: f64, k: usize) -> Result<Criteria, Error> {
        let points = self.levels.len();
        if self.spread != Spread::Residuals {
            return Ok(stats::information_criteria(chi2, k, points)?);
        }
        // Unknown variance: -2 ln L = L ln(RSS/L), and the variance is one more parameter.
        let (l, k1) = (points as f64, k as f64 + 1.0);
        let rounding = self.single.iter().map(|v| 1e-9 / v).sum::<f64>() / l;
        let deviance = l * (chi2 / l).max(rounding).ln();
        let aicc = (points > k + 2).then(|| deviance + 2.0 * k1 + 2.0 * k1 * (k1 + 1.0) / (l - k1 - 1.0));
        Ok(Criteria { parameters: k, points, chi2, aicc, bic: deviance + k1 * l.ln() })
    }

    fn models(&self, laws: &[(Law, Fitter)], fits: &[Fit]) -> Result<Vec<ModelRow>, Error> {
        let criteria: Vec<Criteria> = laws
            .iter()
            .zip(fits)
            .map(|((law, _), fit)| self.criteria(fit.chi2, law.parameters().len()))
            .collect::<Result<_, _>>()?;
        let compared = stats::compare(&criteria)?;
        let scale = match self.spread {
            Spread::Residuals => {
                let best = compared.iter().position(|c| c.delta_aicc == Some(0.0)).unwrap_or(0);
                self.error_scale(criteria[best].chi2, criteria[best].parameters)
            }
            _ => 1.0,
        };
        let mut rows = Vec::new();
        for (i, (law, fitter)) in laws.iter().enumerate() {
            let (loo_clean, loo_noisy) = self.loo(fitter.leave_one_out(&self.mean));
            rows.push(ModelRow {
                law: *law,
                k: law.parameters().len(),
                parameters: fits[i].parameters.clone(),
                chi2: fits[i].chi2 / scale,
                aicc: criteria[i].aicc,
                delta_aicc: compared[i].delta_aicc,
                bic: criteria[i].bic,
                akaike_weight: compared[i].akaike_weight,
                loo_clean,
                loo_noisy,
                extrapolate_up: self.extrapolate(*law, |x| x <= 0.5 + 1e-9, |x| x > 0.5 + 1e-9),
                extrapolate_down: self.extrapolate(*law, |x| x >= 0.3 - 1e-9, |x| x < 0.3 - 1e-9),
            });
        }
        Ok(rows)
    }

    /// Root mean squares of errors at the levels on the two scales.
    fn loo(&self, errors: Option<Vec<f64>>) -> (Option<f64>, Option<f64>) {
        let Some(errors) = errors else { return (None, None) };
        let root = |errors: &[f64]| (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
        let own = Some(root(&errors));
        let signals = self.levels.iter().map(|&x| self.setting.signal(x));
        match (self.scale, self.setting.noise) {
            (Scale::Clean, Noise::Symmetric) => {
                let moved: Vec<f64> = errors.iter().zip(signals).map(|(e, signal)| e * signal).collect();
                (own, Some(root(&moved)))
            }
            (Scale::Noisy, Noise::Symmetric) => {
                let moved: Vec<f64> = errors.iter().zip(signals).map(|(e, signal)| e / signal).collect();
                (Some(root(&moved)), own)
            }
            (Scale::Clean, Noise::Pair) => (own, None),
            (Scale::Noisy, Noise::Pair) => (None, own),
        }
    }

    fn extrapolate(&self, law: Law, from: impl Fn(f64) -> bool, to: impl Fn(f64) -> bool) -> Option<f64> {
        let seen: Vec<usize> = (0..self.levels.len()).filter(|l| from(self.levels[*l])).collect();
        let unseen: Vec<usize> = (0..self.levels.len()).filter(|l| to(self.levels[*l])).collect();
        if unseen.is_empty() || seen.is_empty() {
            return None;
        }
        let pick = |values: &[f64]| seen.iter().map(|&l| values[l]).collect::<Vec<f64>>();
        let fitter = Fitter::new(law, self.setting, self.scale, &pick(self.levels), &pick(&self.variances))?;
        let curve = law.with(self.setting, &fitter.fit(&pick(&self.mean)).parameters);
        let mut squares = 0.0;
        for &l in &unseen {
            squares += (self.mean[l] - curve.at(self.scale, self.levels[l])?.0).powi(2);
        }
        Some((squares / unseen.len() as f64).sqrt())
    }

    fn residuals(&self, laws: &[(Law, Fitter)], fits: &[Fit]) -> Vec<Residuals> {
        let tested = [Law::Literal, Law::Scaled, Law::Affine];
        laws.iter()
            .zip(fits)
            .filter(|((law, _), _)| tested.contains(law))
            .map(|((law, _), fit)| {
                let z: Vec<f64> =
                    (0..self.levels.len()).map(|l| (self.mean[l] - fit.fitted[l]) / self.variances[l].sqrt()).collect();
                Residuals {
                    law: *law,
                    runs: stats::runs_test(&z).ok(),
                    lag1: stats::lag1_autocorrelation(&z).ok(),
                    worst: z.iter().fold(0.0, |worst, z| z.abs().max(worst)),
                    z,
                }
            })
            .collect()
    }

    fn exponent(&self, laws: &[(Law, Fitter)], fits: &[Fit], gamma: Option<Interval>) -> Result<Exponent, Error> {
        let Some(position) = laws.iter().position(|(law, _)| *law == Law::Sharpened) else {
            return Ok(Exponent::new(None, Vec::new(), None));
        };
        if self.curves.len() < 2 {
            return Ok(Exponent::new(gamma, Vec::new(), None));
        }
        let fitter = &laws[position].1;
        let per_seed: Vec<f64> =
            self.curves.iter().map(|curve| fitter.refit(curve, &fits[position]).parameters[1]).collect();
        let across = stats::mean_t_interval(&per_seed, 0.95)?;
        Ok(Exponent::new(gamma, per_seed, Some(across)))
    }

    /// Step 8; also gives the interval of γ.
    fn resample(
        &self,
        laws: &[(Law, Fitter)],
        fits: &[Fit],
        draws: usize,
        seed: Seed,
    ) -> Result<(Option<Interval>, Resampling), Error> {
        let position = |law: Law| laws.iter().position(|(other, _)| *other == law);
        let (scaled, sharpened, vote) = (position(Law::Scaled), position(Law::Sharpened), position(Law::Vote));
        let bend = self.bend_weights();
        // K, a₀ of M1, a₀ and γ of M5, k of M6; then AICc of each law, then its leave-one-out error.
        const LEADING: usize = 5;
        let refit = |y: &[f64]| -> Vec<f64> {
            let again: Vec<Fit> = laws.iter().zip(fits).map(|((_, fitter), fit)| fitter.refit(y, fit)).collect();
            let parameter = |law: Option<usize>, i: usize| law.map_or(f64::NAN, |law| again[law].parameters[i]);
            let mut row = vec![
                bend.as_ref().map_or(f64::NAN, |(weights, constant)| stats::contrast(y, weights) + constant),
                parameter(scaled, 0),
                parameter(sharpened, 0),
                parameter(sharpened, 1),
                parameter(vote, 1),
            ];
            row.extend(laws.iter().zip(&again).map(|((law, _), fit)| {
                self.criteria(fit.chi2, law.parameters().len()).ok().and_then(|c| c.aicc).unwrap_or(f64::NAN)
            }));
            row.extend(laws.iter().zip(&again).map(|((_, fitter), fit)| {
                let (clean, noisy) = self.loo(fitter.leave_one_out_near(y, fit));
                let own = if self.scale == Scale::Clean { clean } else { noisy };
                own.unwrap_or(f64::NAN)
            }));
            row
        };
        let seeds = self.curves.len();
        let of_seeds = seeds >= FEWEST_SEEDS;
        let mut stream = seed.stream("fits/resample");
        let mut sample = if of_seeds {
            // With few seeds the same ones are often drawn together: they are fitted once.
            let known: Mutex<HashMap<Vec<usize>, Vec<f64>>> = Mutex::new(HashMap::new());
            stats::bootstrap(seeds, draws, &mut stream, |indices| {
                let mut key = indices.to_vec();
                key.sort_unstable();
                if let Some(row) = known.lock().expect("no panic inside").get(&key) {
                    return row.clone();
                }
                let mut y = vec![0.0; self.levels.len()];
                for &s in &key {
                    for (y, value) in y.iter_mut().zip(&self.curves[s]) {
                        *y += value / seeds as f64;
                    }
                }
                let row = refit(&y);
                known.lock().expect("no panic inside").insert(key, row.clone());
                row
            })?
        } else {
            let center = sharpened.or(scaled).map_or(&self.mean, |law| &fits[law].fitted);
            let drawn = (0..draws)
                .map(|_| {
                    // Where the scale of the errors is itself an estimate, it is drawn again too.
                    let stretch = self.freedom.map_or(1.0, |freedom| {
                        let chi2: f64 =
                            ChiSquared::new(freedom).expect("positive degrees of freedom").sample(&mut stream);
                        (freedom / chi2).sqrt()
                    });
                    let shifted = center.iter().zip(&self.variances).map(|(center, v)| {
                        let z: f64 = StandardNormal.sample(&mut stream);
                        center + stretch * v.sqrt() * z
                    });
                    refit(&shifted.collect::<Vec<f64>>())
                })
                .collect();
            stats::Bootstrap { estimate: refit(&self.mean), draws: drawn }
        };
        let aicc = |row: &[f64], law: usize| row[LEADING + law];
        let loo = |row: &[f64], law: usize| row[LEADING + laws.len() + law];
        let least = |row: &[f64], law: usize, of: &dyn Fn(&[f64], usize) -> f64| {
            let own = of(row, law);
            own.is_finite() && (0..laws.len()).all(|other| of(row, other).is_nan() || own <= of(row, other))
        };
        let wins: Vec<(f64, f64)> = (0..laws.len())
            .map(|law| (sample.share(|row| least(row, law, &aicc)), sample.share(|row| least(row, law, &loo))))
            .collect();
        // Intervals are of differences from the scaled law.
        if let Some(scaled) = scaled {
            for row in sample.draws.iter_mut().chain([&mut sample.estimate]) {
                let reference = (aicc(row, scaled), loo(row, scaled));
                for law in 0..laws.len() {
                    row[LEADING + law] -= reference.0;
                    row[LEADING + laws.len() + law] -= reference.1;
                }
            }
        }
        let interval = |component: usize| sample.interval(component, 0.95).ok();
        let difference = |component: usize| scaled.and_then(|_| interval(component));
        let models = laws
            .iter()
            .zip(&wins)
            .enumerate()
            .map(|(i, ((law, _), (wins, wins_loo)))| ResampledModel {
                law: *law,
                aicc_over_scaled: difference(LEADING + i),
                loo_over_scaled: difference(LEADING + laws.len() + i),
                wins: *wins,
                wins_loo: *wins_loo,
            })
            .collect();
        let resampling = Resampling {
            of_seeds,
            draws,
            scaled_a0: interval(1),
            sharpened_a0: interval(2),
            votes: interval(4),
            bend: interval(0),
            models,
        };
        Ok((interval(3), resampling))
    }
}

#[cfg(test)]
mod tests;
