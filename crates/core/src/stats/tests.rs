//! Reference values: Python 3.11, NumPy 2.4.6, SciPy 1.17.1, statsmodels 0.15.0, with
//!
//! ```python
//! import itertools, numpy as np, statsmodels.api as sm
//! from scipy import stats, optimize
//! x = np.array([0.021, -0.004, 0.013, 0.008, 0.030, -0.011, 0.017])
//! y = np.array([0.011, 0.002, 0.001, 0.009, 0.012, -0.003, 0.004])
//! e = np.array([0, .1, .2, .3, .4, .5, .6, .7, .8])
//! m = np.array([.903, .836, .762, .669, .571, .465, .350, .276, .192])
//! v = np.array([.004, .005, .006, .005, .007, .009, .008, .007, .006]) ** 2
//! ```
//!
//! and the lines above each test.

use approx::{assert_abs_diff_eq, assert_relative_eq};
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::*;
use crate::Seed;

const X: [f64; 7] = [0.021, -0.004, 0.013, 0.008, 0.030, -0.011, 0.017];
const Y: [f64; 7] = [0.011, 0.002, 0.001, 0.009, 0.012, -0.003, 0.004];
const LEVELS: [f64; 9] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
const M: [f64; 9] = [0.903, 0.836, 0.762, 0.669, 0.571, 0.465, 0.350, 0.276, 0.192];
const SIGMA: [f64; 9] = [0.004, 0.005, 0.006, 0.005, 0.007, 0.009, 0.008, 0.007, 0.006];

fn variances() -> Vec<f64> {
    SIGMA.iter().map(|s| s * s).collect()
}

fn stream(usage: &str) -> ChaCha8Rng {
    Seed(7).stream(usage)
}

fn normals(n: usize, stream: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n).map(|_| stream.sample(StandardNormal)).collect()
}

fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert_relative_eq!(*g, *w, max_relative = tolerance, epsilon = 1e-14);
    }
}

// x.mean(), x.std(ddof=1), stats.sem(x); np.quantile(x, [0, .1, .25, .5, .9, 1])
#[test]
fn summary_and_quantiles() {
    let s = summary(&X).unwrap();
    assert_close(
        &[s.mean, s.sd.unwrap(), s.se.unwrap()],
        &[0.010571428571428574, 0.014246135649795735, 0.00538453315329301],
        1e-13,
    );
    let quantiles: Vec<f64> = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0].iter().map(|p| quantile(&X, *p).unwrap()).collect();
    assert_close(&quantiles, &[-0.011, -0.006799999999999999, 0.002, 0.013, 0.024600000000000004, 0.03], 1e-12);
    let one = summary(&[0.7]).unwrap();
    assert_eq!((one.n, one.mean, one.sd, one.se), (1, 0.7, None, None));
    // Constant values have no spread at all, although 0.1 * 3 / 3 is not 0.1.
    assert_eq!(summary(&[0.1; 3]).unwrap().sd, Some(0.0));
}

// stats.t.interval(.95, 6, x.mean(), stats.sem(x)), the same at .9; stats.t.ppf([.95, .975, .995, .6], [1, 2, 4, 9])
#[test]
fn t_intervals() {
    let i = mean_t_interval(&X, 0.95).unwrap();
    assert_close(&[i.low, i.high], &[-0.0026040494142471338, 0.02374690655710428], 1e-12);
    let i = mean_t_interval(&X, 0.9).unwrap();
    assert_close(&[i.low, i.high], &[0.00010830992816870076, 0.02103454721468844], 1e-10);
    for (p, df, want) in [
        (0.95, 1.0, 6.313751514675037),
        (0.975, 2.0, 4.302652729749462),
        (0.995, 4.0, 4.604094871349992),
        (0.6, 9.0, 0.260955336473911),
    ] {
        assert_relative_eq!(tests_of_mean::t_quantile(p, df), want, max_relative = 1e-12);
        assert_relative_eq!(tests_of_mean::t_quantile(1.0 - p, df), -want, max_relative = 1e-12);
    }
    assert_eq!(over_seeds(&X), mean_t_interval(&X, 0.95).ok());
    assert_eq!(over_seeds(&X[..FEWEST_SEEDS - 1]), None);
    let constant = mean_t_interval(&[0.1; 4], 0.95).unwrap();
    assert_eq!((constant.low, constant.high), (0.1, 0.1));
}

// stats.ttest_1samp(x, 0, alternative=a) for each a; stats.ttest_rel(x, y); stats.ttest_1samp(x + .5, 0)
#[test]
fn t_tests() {
    for (alternative, p) in [
        (Alternative::TwoSided, 0.09724988490539557),
        (Alternative::Greater, 0.048624942452697786),
        (Alternative::Less, 0.9513750575473022),
    ] {
        let test = t_test(&X, 0.0, alternative).unwrap();
        assert_close(&[test.t, test.df, test.p], &[1.9632952886478972, 6.0, p], 1e-12);
    }
    let paired = paired_t_test(&X, &Y, Alternative::TwoSided).unwrap();
    assert_close(&[paired.t, paired.p], &[1.399747990499139, 0.21111314444648], 1e-12);
    let far = t_test(&X.map(|x| x + 0.5), 0.0, Alternative::TwoSided).unwrap();
    assert_relative_eq!(far.p, 9.270273401213174e-11, max_relative = 1e-9);
    let same = t_test(&[0.3; 5], 0.3, Alternative::TwoSided).unwrap();
    assert_eq!((same.t, same.p), (0.0, 1.0));
    let other = t_test(&[0.3; 5], 0.2, Alternative::TwoSided).unwrap();
    assert_eq!((other.t, other.p), (f64::INFINITY, 0.0));
    assert_eq!(t_test(&[0.3; 5], 0.2, Alternative::Less).unwrap().p, 1.0);
}

// statsmodels.stats.weightstats.DescrStatsW(x).ttost_mean(-.02, .02)[0]
#[test]
fn equivalence() {
    let test = tost(&X, -0.02, 0.02).unwrap();
    assert_relative_eq!(test.p, 0.06525071968054232, max_relative = 1e-11);
    assert_eq!(test.verdict(), Equivalence::Inconclusive);
    assert_eq!(tost(&X, -0.03, 0.03).unwrap().verdict(), Equivalence::Equivalent);
    assert_eq!(tost(&X, -0.03, -0.01).unwrap().verdict(), Equivalence::Different);
    assert_eq!(tost(&[0.0; 5], -0.02, 0.02).unwrap().verdict(), Equivalence::Equivalent);
    let margin = test.smallest_margin();
    assert_relative_eq!(tost(&X, -margin, margin).unwrap().p, 0.05, max_relative = 1e-9);
    assert!(matches!(tost(&X, 0.02, -0.02), Err(Error::Invalid { .. })));
}

// stats.permutation_test((x,), np.mean, permutation_type='samples', alternative=a, n_resamples=np.inf).pvalue
#[test]
fn sign_flips_exact() {
    for (alternative, p) in
        [(Alternative::TwoSided, 0.109375), (Alternative::Greater, 0.0546875), (Alternative::Less, 0.953125)]
    {
        let test = sign_flip(&X, alternative, 0, &mut stream("flip")).unwrap();
        assert_eq!((test.p, test.exact, test.patterns), (p, true, 128));
    }
    // Flipping the first three leaves the sum at 0.5, but for its last bit: 5 of the 16 patterns reach it.
    let tied = [0.1, 0.2, -0.3, 0.5];
    assert_eq!(sign_flip(&tied, Alternative::Greater, 0, &mut stream("flip")).unwrap().p, 5.0 / 16.0);
}

// 2 * stats.binom.sf(14, 21, .5): values of size 1, 15 of them positive
#[test]
fn sign_flips_drawn() {
    let values: Vec<f64> = (0..21).map(|i| if i < 15 { 1.0 } else { -1.0 }).collect();
    let test = sign_flip(&values, Alternative::TwoSided, 100_000, &mut stream("flip")).unwrap();
    assert!(!test.exact);
    // Four standard deviations of 100,000 draws.
    assert_abs_diff_eq!(test.p, 0.078354, epsilon = 0.0034);
    assert_eq!(test, sign_flip(&values, Alternative::TwoSided, 100_000, &mut stream("flip")).unwrap());
    assert_eq!(sign_flip(&[1.0; 40], Alternative::Greater, 999, &mut stream("flip")).unwrap().p, 0.001);
    assert!(sign_flip(&[1.0; 40], Alternative::Greater, 0, &mut stream("flip")).is_err());
}

// statsmodels.stats.multitest.multipletests([.01, .04, .03, .005, .5], method='holm')[1]
#[test]
fn holm_adjustment() {
    assert_close(&holm(&[0.01, 0.04, 0.03, 0.005, 0.5]).unwrap(), &[0.04, 0.09, 0.09, 0.025, 0.5], 1e-14);
    assert_eq!(holm(&[]).unwrap(), Vec::<f64>::new());
    assert!(holm(&[0.1, 1.5]).is_err());
    assert!(holm(&[0.1, f64::NAN]).is_err());
}

// stats.pearsonr(x, y)
// Spearman up to 9 pairs: ranks ra, rb by stats.rankdata, centred A, B;
//   p = (abs(np.array(list(itertools.permutations(B))) @ A) >= abs(A @ B) - 1e-9).mean()
// beyond: stats.spearmanr(range(1, 13), [2, 1, 4, 3, 3, 7, 5, 9, 8, 12, 10, 10])
#[test]
fn correlations() {
    let c = pearson(&X, &Y).unwrap();
    assert_close(&[c.r, c.p], &[0.8057202113781197, 0.028691798860821148], 1e-11);
    let removal = [0.0, 8.0, 16.0, 24.0, 32.0, 40.0, 48.0, 56.0];
    let accuracy = [0.81, 0.80, 0.81, 0.77, 0.74, 0.70, 0.71, 0.62];
    let c = spearman(&removal, &accuracy).unwrap();
    assert_close(&[c.r, c.p], &[-0.934148484292342, 0.0016865079365079366], 1e-13);
    let c = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 3.0, 5.0, 7.0, 11.0]).unwrap();
    assert_close(&[c.r, c.p], &[1.0, 2.0 / 120.0], 1e-14);
    let xs: Vec<f64> = (1..=12).map(f64::from).collect();
    let c = spearman(&xs, &[2.0, 1.0, 4.0, 3.0, 3.0, 7.0, 5.0, 9.0, 8.0, 12.0, 10.0, 10.0]).unwrap();
    assert_close(&[c.r, c.p], &[0.9333390787439302, 9.262635287659791e-06], 1e-10);
    assert!(matches!(pearson(&[1.0; 4], &X[..4]), Err(Error::Undefined { .. })));
    assert!(matches!(spearman(&X, &Y[..5]), Err(Error::Unequal { .. })));
}

// stats.mannwhitneyu(s[f], s[~f]).statistic / (f.sum() * (~f).sum())
#[test]
fn area_under_the_curve() {
    let scores = [0.1, 0.4, 0.35, 0.8, 0.4, 0.7, 0.2, 0.9, 0.4];
    let flipped = [false, false, true, true, true, false, false, true, false];
    assert_relative_eq!(auc(&scores, &flipped).unwrap(), 0.75, max_relative = 1e-14);
    assert_eq!(auc(&[0.0, 1.0, f64::INFINITY], &[false, true, true]).unwrap(), 1.0);
    assert!(matches!(auc(&scores, &[true; 9]), Err(Error::Undefined { .. })));
    assert!(matches!(auc(&[f64::NAN, 1.0], &[true, false]), Err(Error::NotFinite { index: 0, .. })));
    assert!(auc(&[], &[]).is_err());
}

// stats.ks_2samp(x, y).statistic; stats.ks_2samp([1, 2, 2, 3], [2, 3, 3, 4, 5]).statistic
// stats.kstest(x, stats.norm(.01, .01).cdf).statistic
#[test]
fn kolmogorov_smirnov() {
    use statrs::distribution::{ContinuousCDF, Normal};
    assert_relative_eq!(ks_distance(&X, &Y).unwrap(), 0.5714285714285714, max_relative = 1e-14);
    let tied = ks_distance(&[1.0, 2.0, 2.0, 3.0], &[2.0, 3.0, 3.0, 4.0, 5.0]).unwrap();
    assert_relative_eq!(tied, 0.55, max_relative = 1e-14);
    let normal = Normal::new(0.01, 0.01).unwrap();
    let distance = ks_distance_to(&X, |x| normal.cdf(x)).unwrap();
    assert_relative_eq!(distance, 0.20495762648051463, max_relative = 1e-9);
    assert!(ks_distance_to(&X, |_| f64::NAN).is_err());
}

// sm.tsa.acf(x, nlags=1)[1]
// Runs: over all itertools.combinations(range(n), positives), the share with at most / at least the observed runs.
#[test]
fn order_of_residuals() {
    assert_relative_eq!(lag1_autocorrelation(&X).unwrap(), -0.6580579204933968, max_relative = 1e-12);
    let runs = |signs: &[i32]| {
        let test = runs_test(&signs.iter().map(|s| f64::from(*s)).collect::<Vec<_>>()).unwrap();
        (test.runs, test.p_few, test.p)
    };
    for (signs, r, few, p) in [
        (&[1, 1, 1, 1, -1, -1, -1, 1, 1, 1, -1][..], 4, 0.14242424242424243, 0.28484848484848485),
        (&[-1, 1, -1, 1, 0, -1, 1, -1, 1, -1, -1], 9, 1.0, 0.047619047619047616),
        (&[1, 1, 1, 1, 1, -1, -1, -1, -1], 2, 0.015873015873015872, 0.031746031746031744),
        (&[-1, -1, -1], 1, 1.0, 1.0),
    ] {
        let got = runs(signs);
        assert_eq!(got.0, r);
        assert_close(&[got.1, got.2], &[few, p], 1e-11);
    }
    assert!(runs_test(&[0.0, 0.0]).is_err());
    assert!(lag1_autocorrelation(&[1.0, 1.0, 1.0]).is_err());
}

// r = sm.WLS(m, np.vander(e, 3, increasing=True), weights=1 / v).fit()
// r.params, r.normalized_cov_params, (r.resid ** 2 / v).sum(); the same with sm.OLS: params, bse
#[test]
fn linear_fits() {
    let design = polynomial_design(&LEVELS, 2);
    let fit = least_squares(&design, &M, &variances()).unwrap();
    assert_close(&fit.coefficients, &[0.9096259211971874, -0.7706902171182257, -0.17989998908565497], 1e-11);
    assert_close(
        &fit.covariance.concat(),
        &[
            1.2636985093066597e-05,
            -6.424881321733813e-05,
            6.423260550266831e-05,
            -6.424881321733813e-05,
            0.0006240796708494431,
            -0.0007553567651658506,
            6.423260550266831e-05,
            -0.0007553567651658506,
            0.0009947261894171528,
        ],
        1e-10,
    );
    assert_relative_eq!(fit.chi2, 36.15061633169342, max_relative = 1e-11);
    let ordinary = least_squares(&design, &M, &[1.0; 9]).unwrap();
    let scale = ordinary.reduced_chi2().unwrap().sqrt();
    let errors: Vec<f64> = ordinary.standard_errors().iter().map(|e| e * scale).collect();
    assert_close(&errors, &[0.01321187950716867, 0.07701258795594725, 0.09262281354356444], 1e-10);
    // As many points as columns: through every point, no degrees of freedom.
    let through = least_squares(&polynomial_design(&[0.0, 1.0, 3.0], 2), &[1.0, 0.0, 4.0], &[1.0; 3]).unwrap();
    assert_abs_diff_eq!(through.chi2, 0.0, epsilon = 1e-20);
    assert_eq!(through.reduced_chi2(), None);

    let twice: Vec<Vec<f64>> = LEVELS.iter().map(|x| vec![*x, 2.0 * x]).collect();
    assert!(matches!(least_squares(&twice, &M, &variances()), Err(Error::Undefined { .. })));
    assert!(matches!(least_squares(&design[..2], &M[..2], &[1.0; 2]), Err(Error::TooFew { .. })));
    assert!(matches!(least_squares(&design, &M, &[0.0; 9]), Err(Error::Invalid { .. })));
    assert!(matches!(least_squares(&[], &[], &[]), Err(Error::Invalid { .. })));
    let ragged = vec![vec![1.0, 2.0], vec![1.0]];
    assert!(matches!(least_squares(&ragged, &[1.0, 2.0], &[1.0; 2]), Err(Error::Unequal { .. })));
}

/// The sharpened vote M5 of the protocol, ten classes.
fn sharpened_vote(parameters: &[f64]) -> Vec<f64> {
    let (a0, gamma) = (parameters[0], parameters[1]);
    LEVELS
        .iter()
        .map(|e| {
            let (kept, lost) = ((1.0 - e).powf(gamma), 9.0 * (e / 9.0).powf(gamma));
            let q = kept / (kept + lost);
            a0 * q + (1.0 - a0) * (1.0 - q) / 9.0
        })
        .collect()
}

// k = (1 - e) ** g; o = 9 * (e / 9) ** g; q = k / (k + o); M5 = a0 * q + (1 - a0) * (1 - q) / 9
// optimize.curve_fit(M5, e, m, p0=[.9, 1], sigma=np.sqrt(v), absolute_sigma=True, xtol=1e-15, ftol=1e-15, gtol=1e-15)
#[test]
fn nonlinear_fit_of_the_sharpened_vote() {
    let bounds = [Bounds::between(0.0, 1.0), Bounds::between(0.05, 20.0)];
    let starts = [vec![0.9, 1.0], vec![0.5, 5.0], vec![0.2, 0.1], vec![1.0, 20.0]];
    for start in &starts {
        let fit = fit_curve(sharpened_vote, &M, &variances(), &bounds, std::slice::from_ref(start)).unwrap();
        assert!(fit.converged, "from {start:?}");
        assert_close(&fit.parameters, &[0.9078855616330687, 1.0410094564725973], 1e-8);
        assert_relative_eq!(fit.chi2, 35.66433270120921, max_relative = 1e-12);
        assert_close(
            &fit.covariance.unwrap().concat(),
            &[1.3404881092320393e-05, -1.9101493445185857e-05, -1.9101493445185857e-05, 5.579160611477207e-05],
            2e-6,
        );
    }
}

// lg = lambda e, a, k, x0, s: a + k / (1 + np.exp((e - x0) / s)); curve_fit as above with p0=[0, .9, .5, .2]
#[test]
fn nonlinear_fit_of_a_logistic() {
    let logistic =
        |p: &[f64]| LEVELS.iter().map(|e| p[0] + p[1] / (1.0 + ((e - p[2]) / p[3]).exp())).collect::<Vec<f64>>();
    let bounds = [Bounds::FREE, Bounds::FREE, Bounds::FREE, Bounds::at_least(1e-3)];
    let starts = [vec![0.0, 0.9, 0.5, 0.2], vec![0.5, 0.1, 0.2, 1.0]];
    let fit = fit_curve(logistic, &M, &variances(), &bounds, &starts).unwrap();
    assert!(fit.converged);
    let want = [-0.039760094109069034, 1.115616591608032, 0.44699308638722635, 0.2646456632941479];
    assert_close(&fit.parameters, &want, 1e-5);
    assert_relative_eq!(fit.chi2, 3.5013337987866695, max_relative = 1e-11);
    let errors = [0.05261188949834676, 0.0838563165473978, 0.01619160494527649, 0.025418146586938372];
    assert_close(&fit.standard_errors().unwrap(), &errors, 1e-4);
}

// r = optimize.least_squares(lambda p: (M5(e, *p) - m) / np.sqrt(v), [.85, 1], bounds=([0, .5], [.88, 3]), ...)
// r.x, 2 * r.cost
#[test]
fn nonlinear_fit_at_a_bound() {
    let bounds = [Bounds::between(0.0, 0.88), Bounds::between(0.5, 3.0)];
    let fit = fit_curve(sharpened_vote, &M, &variances(), &bounds, &[vec![0.85, 1.0], vec![0.88, 3.0]]).unwrap();
    assert!(fit.converged);
    assert_eq!(fit.parameters[0], 0.88);
    assert_eq!(fit.at_bound, [true, false]);
    assert_eq!(fit.covariance, None);
    assert_relative_eq!(fit.parameters[1], 1.081372932938349, max_relative = 1e-7);
    assert_relative_eq!(fit.chi2, 96.14427014258371, max_relative = 1e-10);
}

#[test]
fn nonlinear_fit_of_an_exact_curve_converges() {
    let y = sharpened_vote(&[0.97, 1.3]);
    let bounds = [Bounds::between(0.0, 1.0), Bounds::between(0.05, 20.0)];
    let fit = fit_curve(sharpened_vote, &y, &variances(), &bounds, &[vec![0.5, 1.0]]).unwrap();
    assert!(fit.converged);
    assert_close(&fit.parameters, &[0.97, 1.3], 1e-9);
}

#[test]
fn nonlinear_standard_errors_are_the_spread_of_the_estimates() {
    let bounds = [Bounds::between(0.0, 1.0), Bounds::between(0.05, 20.0)];
    let truth = sharpened_vote(&[0.95, 1.2]);
    let mut stream = stream("coverage");
    let covered = (0..2_000)
        .filter(|_| {
            let y: Vec<f64> =
                truth.iter().zip(SIGMA).map(|(m, s)| m + s * stream.sample::<f64, _>(StandardNormal)).collect();
            let fit = fit_curve(sharpened_vote, &y, &variances(), &bounds, &[vec![0.8, 1.0]]).unwrap();
            assert!(fit.converged);
            (fit.parameters[1] - 1.2).abs() <= 1.96 * fit.standard_errors().unwrap()[1]
        })
        .count();
    assert_abs_diff_eq!(covered as f64 / 2_000.0, 0.95, epsilon = 0.02);
}

#[test]
fn nonlinear_fit_refuses_bad_input() {
    let bounds = [Bounds::between(0.0, 1.0), Bounds::at_least(0.05)];
    let fit = |y: &[f64], v: &[f64], starts: &[Vec<f64>]| fit_curve(sharpened_vote, y, v, &bounds, starts);
    assert!(matches!(fit(&M, &variances(), &[]), Err(Error::Invalid { .. })));
    assert!(matches!(fit(&M, &variances(), &[vec![1.5, 1.0]]), Err(Error::Invalid { .. })));
    assert!(matches!(fit(&M, &variances(), &[vec![0.5]]), Err(Error::Unequal { .. })));
    assert!(matches!(fit(&M[..8], &variances()[..8], &[vec![0.5, 1.0]]), Err(Error::Unequal { .. })));
    assert!(matches!(fit(&M, &[-1.0; 9], &[vec![0.5, 1.0]]), Err(Error::Invalid { .. })));
    assert!(matches!(fit(&[f64::NAN; 9], &variances(), &[vec![0.5, 1.0]]), Err(Error::NotFinite { .. })));
    let nowhere = fit_curve(|_| vec![f64::NAN; 9], &M, &variances(), &bounds, &[vec![0.5, 1.0]]);
    assert!(matches!(nowhere, Err(Error::Undefined { .. })));
    // A parameter without influence: a minimum, and no covariance.
    let flat = fit_curve(|p| vec![p[0]; 9], &M, &variances(), &bounds, &[vec![0.5, 1.0]]).unwrap();
    assert!(flat.converged);
    assert_eq!(flat.covariance, None);
}

// q, r = np.linalg.qr(np.vander(l - l.mean(), d + 1, increasing=True)); (q * np.sign(np.diag(r)))[:, 1:].T
// for l = [.1, .2, …, .8], d = 3 (the values of R's contr.poly(8)) and l = [0, .2, .5, .6, 1], d = 2
#[test]
fn orthogonal_contrasts() {
    let even = orthogonal_polynomials(&LEVELS.map(|x| x + 0.1)[..8], 3).unwrap();
    let want = [
        [-0.5400617248673216, -0.38575837490522974, -0.23145502494313788, -0.07715167498104591],
        [0.5400617248673215, 0.07715167498104605, -0.23145502494313755, -0.38575837490522963],
        [-0.43082021842766444, 0.3077287274483314, 0.43082021842766466, 0.1846372364689994],
    ];
    for (degree, half) in want.iter().enumerate() {
        let sign = if degree % 2 == 0 { -1.0 } else { 1.0 };
        assert_close(&even[degree][..4], half, 1e-12);
        assert_close(&even[degree][4..], &half.iter().rev().map(|x| sign * x).collect::<Vec<_>>(), 1e-12);
    }
    let uneven = orthogonal_polynomials(&[0.0, 0.2, 0.5, 0.6, 1.0], 2).unwrap();
    assert_close(
        &uneven[0],
        &[-0.5978565316465418, -0.3379189091915236, 0.05198752449100369, 0.18195633571851275, 0.7018315806285491],
        1e-12,
    );
    assert_close(
        &uneven[1],
        &[0.5192406271042289, -0.12482533749954386, -0.48455174775534054, -0.4427612080673095, 0.5328976662179647],
        1e-12,
    );
    assert!(orthogonal_polynomials(&[0.5; 4], 1).is_err());
    assert!(orthogonal_polynomials(&[0.0, 0.0, 1.0, 1.0], 2).is_err());
    assert!(orthogonal_polynomials(&[0.0, 1.0], 2).is_err());
}

// chi2 + 2 * k + 2 * k * (k + 1) / (L - k - 1), chi2 + k * np.log(L) for (chi2, k, L) = (12.5, 2, 9), (7.25, 4, 9)
#[test]
fn criteria() {
    let two = information_criteria(12.5, 2, 9).unwrap();
    let four = information_criteria(7.25, 4, 9).unwrap();
    assert_close(&[two.aicc.unwrap(), two.bic], &[18.5, 16.89444915467244], 1e-14);
    assert_close(&[four.aicc.unwrap(), four.bic], &[25.25, 16.03889830934488], 1e-14);
    // L = k + 1 would divide by zero, L < k + 1 would reward parameters.
    assert_eq!(information_criteria(1.0, 8, 9).unwrap().aicc, None);
    assert_eq!(information_criteria(1.0, 9, 9).unwrap().aicc, None);
    assert!(information_criteria(1.0, 7, 9).unwrap().aicc.is_some());

    let saturated = information_criteria(0.0, 9, 9).unwrap();
    let table = compare(&[two, saturated, four]).unwrap();
    assert_eq!(table[0].delta_aicc, Some(0.0));
    assert_relative_eq!(table[2].delta_aicc.unwrap(), 6.75, max_relative = 1e-14);
    assert_eq!((table[1].delta_aicc, table[1].akaike_weight), (None, None));
    assert_relative_eq!(table[0].akaike_weight.unwrap(), 1.0 / (1.0 + (-3.375f64).exp()), max_relative = 1e-14);
    assert_relative_eq!(table[0].akaike_weight.unwrap() + table[2].akaike_weight.unwrap(), 1.0, max_relative = 1e-14);
    assert_eq!(table[2].delta_bic, 0.0);
    assert!(compare(&[]).is_err());
    assert!(compare(&[two, information_criteria(1.0, 1, 8).unwrap()]).is_err());
    assert!(information_criteria(f64::NAN, 1, 8).is_err());
    // No model with an AICc: weights of none, no NaN.
    assert_eq!(compare(&[saturated]).unwrap()[0].akaike_weight, None);
}

// r = [[.90, .91, .905], [.76, .77], [.57, .58, .56, .575], [.35, .36, .34], [.19, .20, .185]]; l = [0, .2, .4, .6, .8]
// sm.OLS(values, one column a level).fit().compare_f_test(sm.OLS(values, [1, level]).fit()); params of the line
#[test]
fn lack_of_fit_against_nested_models() {
    let replicates = [
        vec![0.90, 0.91, 0.905],
        vec![0.76, 0.77],
        vec![0.57, 0.58, 0.56, 0.575],
        vec![0.35, 0.36, 0.34],
        vec![0.19, 0.20, 0.185],
    ];
    let line: Vec<f64> = [0.0, 0.2, 0.4, 0.6, 0.8].iter().map(|e| 0.9225 - 0.9165322580645162 * e).collect();
    let test = lack_of_fit(&replicates, &line, 2).unwrap();
    assert_eq!((test.df_model, test.df_error), (3, 10));
    assert_relative_eq!(test.f, 24.873964392737697, max_relative = 1e-10);
    assert_relative_eq!(test.p, 5.923107422779001e-05, max_relative = 1e-9);
    assert!(lack_of_fit(&replicates, &line, 5).is_err());
    assert!(lack_of_fit(&replicates, &line[..4], 2).is_err());
    assert!(lack_of_fit(&[vec![1.0], vec![2.0]], &[1.0, 2.0], 1).is_err());
    assert!(lack_of_fit(&[vec![1.0; 2], vec![2.0; 2]], &[1.0, 2.0], 1).is_err());
}

// stats.chisquare([55, 30, 15], [50, 35, 15])
#[test]
fn chi_square() {
    let test = goodness_of_fit(&[55.0, 30.0, 15.0, 0.0], &[0.5, 0.35, 0.15, 0.0]).unwrap();
    assert_eq!(test.df, 2);
    assert_close(&[test.x2, test.p], &[1.2142857142857144, 0.5449055200013081], 1e-11);
    assert!(goodness_of_fit(&[1.0, 1.0], &[1.0, 0.0]).is_err());
    assert!(goodness_of_fit(&[0.0, 0.0], &[0.5, 0.5]).is_err());
    assert!(goodness_of_fit(&[1.0, 1.0], &[0.5, 0.6]).is_err());
}

// i = sm.OLS(m, np.vander(e, 2, increasing=True)).fit().get_influence(); np.sqrt((i.resid_press ** 2).mean())
#[test]
fn leave_one_level_out() {
    let score = leave_one_out(&M, |kept, left_out| {
        let design: Vec<Vec<f64>> = kept.iter().map(|i| vec![1.0, LEVELS[*i]]).collect();
        let y: Vec<f64> = kept.iter().map(|i| M[*i]).collect();
        let fit = least_squares(&design, &y, &vec![1.0; y.len()]).ok()?;
        Some(fit.coefficients[0] + fit.coefficients[1] * LEVELS[left_out])
    })
    .unwrap();
    assert_relative_eq!(score.rmse, 0.020262265261651636, max_relative = 1e-11);
    assert!(leave_one_out(&M, |_, left_out| (left_out != 3).then_some(0.5)).is_err());
    assert!(leave_one_out(&M[..1], |_, _| Some(0.5)).is_err());
}

#[test]
fn distances() {
    assert_relative_eq!(total_variation(&[0.6, 0.4, 0.0], &[0.5, 0.3, 0.2]).unwrap(), 0.2, max_relative = 1e-14);
    assert_relative_eq!(rmse(&[1.0, 2.0], &[4.0, 6.0]).unwrap(), 12.5f64.sqrt(), max_relative = 1e-14);
    assert!(total_variation(&[], &[]).is_err());
    assert!(rmse(&[1.0], &[]).is_err());
}

#[test]
fn empty_and_non_finite_values_are_refused() {
    type Statistic = fn(&[f64]) -> Option<Error>;
    let statistics: [(&str, Statistic); 11] = [
        ("summary", |x| summary(x).err()),
        ("quantile", |x| quantile(x, 0.5).err()),
        ("interval", |x| mean_t_interval(x, 0.95).err()),
        ("t test", |x| t_test(x, 0.0, Alternative::TwoSided).err()),
        ("tost", |x| tost(x, -1.0, 1.0).err()),
        ("sign flip", |x| sign_flip(x, Alternative::TwoSided, 9, &mut stream("flip")).err()),
        ("spearman", |x| spearman(x, &vec![1.0; x.len()]).err()),
        ("ks", |x| ks_distance(x, &[1.0]).err()),
        ("runs", |x| runs_test(x).err()),
        ("autocorrelation", |x| lag1_autocorrelation(x).err()),
        ("band", |x| sup_t_band(&[x.to_vec(), x.to_vec(), x.to_vec()], 0.95, 9, &mut stream("band")).err()),
    ];
    for (name, statistic) in statistics {
        assert!(matches!(statistic(&[]), Some(Error::TooFew { .. })), "{name} of nothing");
        for bad in [f64::NAN, f64::INFINITY] {
            let error = statistic(&[1.0, 3.0, bad, 2.0]);
            assert!(matches!(error, Some(Error::NotFinite { index: 2, .. })), "{name} with {bad}: {error:?}");
        }
    }
    assert!(mean_t_interval(&X, 1.0).is_err());
    assert!(quantile(&X, -0.1).is_err());
}

#[test]
fn t_intervals_cover_as_often_as_they_say() {
    let mut stream = stream("coverage");
    let covered =
        (0..20_000).filter(|_| mean_t_interval(&normals(5, &mut stream), 0.95).unwrap().contains(0.0)).count();
    // Four binomial standard deviations.
    assert_abs_diff_eq!(covered as f64 / 20_000.0, 0.95, epsilon = 0.0062);
}

#[test]
fn equivalence_is_claimed_at_a_margin_one_time_in_twenty() {
    let mut stream = stream("coverage");
    let claimed = (0..20_000)
        .filter(|_| {
            let values: Vec<f64> = normals(8, &mut stream).iter().map(|x| x + 3.0).collect();
            tost(&values, -3.0, 3.0).unwrap().verdict() == Equivalence::Equivalent
        })
        .count();
    assert_abs_diff_eq!(claimed as f64 / 20_000.0, 0.05, epsilon = 0.0062);
}

#[test]
fn lack_of_fit_keeps_its_level() {
    let mut stream = stream("coverage");
    let rejected = (0..4_000)
        .filter(|_| {
            let replicates: Vec<Vec<f64>> = (0..6).map(|_| normals(4, &mut stream)).collect();
            let grand = replicates.concat().iter().sum::<f64>() / 24.0;
            lack_of_fit(&replicates, &[grand; 6], 1).unwrap().p < 0.05
        })
        .count();
    assert_abs_diff_eq!(rejected as f64 / 4_000.0, 0.05, epsilon = 0.014);
}

/// Curves with a correlation of 0.5 between neighbouring levels, 0.25 at a distance of 2, and so on.
fn curves(seeds: usize, levels: usize, stream: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    (0..seeds)
        .map(|_| {
            let mut curve = normals(levels, stream);
            for l in 1..levels {
                curve[l] = 0.5 * curve[l - 1] + 0.75f64.sqrt() * curve[l];
            }
            curve
        })
        .collect()
}

#[test]
fn bands_cover_whole_curves() {
    let mut data = stream("coverage");
    let mut draws = stream("band");
    for (seeds, least) in [(5, 0.905), (10, 0.92)] {
        let covered = (0..600)
            .filter(|_| sup_t_band(&curves(seeds, 9, &mut data), 0.95, 400, &mut draws).unwrap().contains(&[0.0; 9]))
            .count() as f64
            / 600.0;
        assert!((least..0.975).contains(&covered), "{covered} with {seeds} seeds");
    }
}

#[test]
fn a_band_of_one_level_is_the_t_interval() {
    let mut data = stream("coverage");
    let mut samples = curves(6, 1, &mut data);
    let interval = mean_t_interval(&column(&samples, 0), 0.9).unwrap();
    let band = sup_t_band(&samples, 0.9, 100, &mut stream("band")).unwrap();
    assert_close(&[band.low[0], band.high[0]], &[interval.low, interval.high], 1e-13);
    // A level without spread costs nothing.
    samples.iter_mut().for_each(|curve| curve.push(0.1));
    let band = sup_t_band(&samples, 0.9, 100, &mut stream("band")).unwrap();
    assert_close(&band.low, &[interval.low, 0.1], 1e-13);
    assert!(band.contains(&[interval.estimate, 0.1]));
    assert!(!band.contains(&[interval.estimate, 0.2]));
    assert!(!band.contains(&[interval.estimate]));
}

#[test]
fn the_bootstrap_does_not_depend_on_threads() {
    let curves = curves(6, 3, &mut stream("coverage"));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            bootstrap(6, 500, &mut stream("bootstrap"), |indices| {
                mean_curve(&indices.iter().map(|i| curves[*i].clone()).collect::<Vec<_>>()).unwrap()
            })
            .unwrap()
        })
    };
    let one = run(1);
    assert_eq!(one, run(3));
    assert_eq!(one.estimate, mean_curve(&curves).unwrap());
}

/// The bootstrap distribution of the mean has the population's standard deviation over the root of n.
#[test]
fn the_bootstrap_of_a_mean_spreads_as_it_must() {
    let n = X.len() as f64;
    let result = bootstrap(X.len(), 20_000, &mut stream("bootstrap"), |indices| {
        vec![indices.iter().map(|i| X[*i]).sum::<f64>() / n]
    })
    .unwrap();
    let sd = summary(&column(&result.draws, 0)).unwrap().sd.unwrap();
    let want = summary(&X).unwrap().sd.unwrap() * ((n - 1.0) / n).sqrt() / n.sqrt();
    assert_relative_eq!(sd, want, max_relative = 0.02);
    let interval = result.interval(0, 0.95).unwrap();
    assert_relative_eq!(interval.estimate, 0.010571428571428574, max_relative = 1e-12);
    assert_relative_eq!(interval.high - interval.low, 2.0 * 1.96 * want, max_relative = 0.04);
    assert_relative_eq!(result.share(|draw| draw[0] > 0.010571428571428574), 0.5, epsilon = 0.03);
}

#[test]
fn failed_resamples_are_few_or_refused() {
    let run = |fails: fn(&[usize]) -> bool| {
        bootstrap(7, 2_000, &mut stream("bootstrap"), move |indices| {
            vec![if fails(indices) { f64::NAN } else { X[indices[0]] }]
        })
        .unwrap()
        .interval(0, 0.95)
    };
    // 7 / 7^7 of the resamples have one unit only; one in seven starts with unit 3.
    assert!(run(|indices| indices.iter().all(|i| *i == indices[0])).is_ok());
    assert!(matches!(run(|indices| indices[0] == 3), Err(Error::Undefined { .. })));
    assert!(matches!(run(|indices| indices[0] == 0), Err(Error::Undefined { .. })));
    assert!(bootstrap(1, 10, &mut stream("bootstrap"), |_| vec![0.0]).is_err());
    assert!(bootstrap(5, 0, &mut stream("bootstrap"), |_| vec![0.0]).is_err());
    let changing = bootstrap(5, 50, &mut stream("bootstrap"), |indices| vec![0.0; indices[0]]);
    assert!(matches!(changing, Err(Error::Unequal { .. })));
    let fine = bootstrap(5, 50, &mut stream("bootstrap"), |_| vec![0.0]).unwrap();
    assert!(fine.interval(1, 0.95).is_err());
}

fn values(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    // Whole numbers, so that ties happen.
    prop::collection::vec((-20i32..20).prop_map(f64::from), n)
}

proptest! {
    #[test]
    fn intervals_move_with_the_data(xs in values(2..12), shift in -5.0..5.0f64, scale in 0.1..9.0f64) {
        let i = mean_t_interval(&xs, 0.95).unwrap();
        let moved = mean_t_interval(&xs.iter().map(|x| scale * x + shift).collect::<Vec<_>>(), 0.95).unwrap();
        assert_abs_diff_eq!(moved.low, scale * i.low + shift, epsilon = 1e-8 * (1.0 + i.low.abs()) * scale);
        assert_abs_diff_eq!(moved.high, scale * i.high + shift, epsilon = 1e-8 * (1.0 + i.high.abs()) * scale);
    }

    #[test]
    fn rank_statistics_see_order_only(xs in values(4..8), ys in values(8..9)) {
        let ys = &ys[..xs.len()];
        let cubed: Vec<f64> = xs.iter().map(|x| x.powi(3)).collect();
        prop_assert_eq!(spearman(&xs, ys), spearman(&cubed, ys));
        if let Ok(c) = spearman(&xs, ys) {
            let mirrored: Vec<f64> = xs.iter().map(|x| -x).collect();
            let other = spearman(&mirrored, ys).unwrap();
            prop_assert!((c.r + other.r).abs() < 1e-12 && c.p == other.p && c.p > 0.0);
        }
    }

    #[test]
    fn auc_counts_pairs(scores in values(2..30), mask in prop::collection::vec(any::<bool>(), 30)) {
        let mask = &mask[..scores.len()];
        let (mut won, mut pairs) = (0.0, 0.0);
        for (s, _) in scores.iter().zip(mask).filter(|(_, p)| **p) {
            for (t, _) in scores.iter().zip(mask).filter(|(_, p)| !**p) {
                pairs += 1.0;
                won += if s > t { 1.0 } else if s == t { 0.5 } else { 0.0 };
            }
        }
        match auc(&scores, mask) {
            Ok(area) => prop_assert!((area - won / pairs).abs() < 1e-12),
            Err(_) => prop_assert_eq!(pairs, 0.0),
        }
    }

    #[test]
    fn holm_keeps_order_and_never_helps(ps in prop::collection::vec(0.0..1.0f64, 1..9)) {
        let adjusted = holm(&ps).unwrap();
        for (i, p) in ps.iter().enumerate() {
            prop_assert!(adjusted[i] >= *p && adjusted[i] <= 1.0);
            for (j, q) in ps.iter().enumerate() {
                prop_assert!(p > q || adjusted[i] <= adjusted[j]);
            }
        }
    }

    #[test]
    fn runs_are_as_likely_as_counting_says(signs in prop::collection::vec(any::<bool>(), 2..11)) {
        let n = signs.len();
        let positive = signs.iter().filter(|s| **s).count();
        let count = |s: &[bool]| 1 + s.windows(2).filter(|w| w[0] != w[1]).count();
        let orders: Vec<usize> = (0u32..1 << n)
            .filter(|bits| bits.count_ones() as usize == positive)
            .map(|bits| count(&(0..n).map(|i| bits >> i & 1 == 1).collect::<Vec<_>>()))
            .collect();
        let few = orders.iter().filter(|r| **r <= count(&signs)).count() as f64 / orders.len() as f64;
        let residuals: Vec<f64> = signs.iter().map(|s| if *s { 0.3 } else { -2.0 }).collect();
        prop_assert!((runs_test(&residuals).unwrap().p_few - few).abs() < 1e-10);
    }

    #[test]
    fn residuals_are_orthogonal_to_the_design(ys in values(6..7), weights in prop::collection::vec(0.1..4.0f64, 6)) {
        let design = polynomial_design(&LEVELS[..6], 2);
        let fit = least_squares(&design, &ys, &weights).unwrap();
        for column in 0..3 {
            let residual = |i: usize| (ys[i] - fit.fitted[i]) / weights[i];
            let product: f64 = design.iter().enumerate().map(|(i, row)| row[column] * residual(i)).sum();
            prop_assert!(product.abs() < 1e-8, "{product}");
        }
        // Straight lines have no quadratic contrast.
        let contrasts = orthogonal_polynomials(&LEVELS[..6], 2).unwrap();
        let line: Vec<f64> = LEVELS[..6].iter().map(|x| ys[0] + ys[1] * x).collect();
        prop_assert!(contrast(&line, &contrasts[1]).abs() < 1e-11);
    }

    /// A linear model through the nonlinear search ends where the linear solver does.
    #[test]
    fn the_two_solvers_agree(ys in values(6..7), weights in prop::collection::vec(0.1..4.0f64, 6)) {
        let design = polynomial_design(&LEVELS[..6], 2);
        let linear = least_squares(&design, &ys, &weights).unwrap();
        let predict = |p: &[f64]| design.iter().map(|row| contrast(row, p)).collect::<Vec<_>>();
        let searched = fit_curve(predict, &ys, &weights, &[Bounds::FREE; 3], &[vec![1.0, 1.0, 1.0]]).unwrap();
        prop_assert!(searched.converged);
        prop_assert!((searched.chi2 - linear.chi2).abs() <= 1e-8 * (1.0 + linear.chi2));
        for (s, l) in searched.parameters.iter().zip(&linear.coefficients) {
            prop_assert!((s - l).abs() < 1e-4 * (1.0 + l.abs()), "{s} {l}");
        }
    }
}
