use approx::assert_abs_diff_eq;
use rand::Rng;
use retrial_core::noise::TransitionMatrix;
use retrial_core::stats::{Bounds, fit_curve, least_squares, polynomial_design, rmse};

use super::*;
use crate::laws::published::*;

const TEN: Setting = Setting { classes: 10, noise: Noise::Symmetric };
const TEN_PAIR: Setting = Setting { classes: 10, noise: Noise::Pair };

fn normal(stream: &mut impl Rng) -> f64 {
    StandardNormal.sample(stream)
}

/// Curves of a law with seeds that differ (`sd`) and a finite test set; flips and test samples are those of each cell.
fn simulate(
    (law, theta): (Law, &[f64]),
    setting: Setting,
    levels: &[f64],
    seeds: usize,
    sd: f64,
    n: usize,
    seed: u64,
) -> PairedCurves {
    let mut stream = Seed(seed).stream("simulate");
    let curve = law.with(setting, theta);
    let mut clean = Vec::new();
    let mut noisy = Vec::new();
    for _ in 0..seeds {
        // Both errors vanish where an accuracy is 0 or 1.
        let mut draw = |p: f64| {
            let binomial = (p * (1.0 - p)).max(0.0).sqrt();
            let error = 2.0 * sd * normal(&mut stream) + normal(&mut stream) / (n as f64).sqrt();
            (p + binomial * error).clamp(0.0, 1.0)
        };
        let m: Vec<f64> = levels.iter().map(|&x| draw(curve.clean(x).unwrap_or(0.0))).collect();
        let a = match setting.noise {
            Noise::Symmetric => levels.iter().zip(&m).map(|(&x, &m)| setting.noisy_accuracy(x, m, 0.0)).collect(),
            Noise::Pair => {
                let s: Vec<f64> = levels.iter().map(|&x| draw(curve.clean(1.0 - x).unwrap_or(0.0))).collect();
                (0..levels.len()).map(|l| setting.noisy_accuracy(levels[l], m[l], s[l])).collect()
            }
        };
        clean.push(m);
        noisy.push(a);
    }
    PairedCurves {
        setting,
        levels: levels.to_vec(),
        clean: Some(clean),
        noisy: Some(noisy),
        noisy_exact: true,
        test_size: Some(n),
    }
}

/// Root mean square of the residuals and of the leave-one-out errors of an unweighted fit.
fn errors(law: Law, setting: Setting, scale: Scale, levels: &[f64], y: &[f64]) -> (f64, f64, Vec<f64>) {
    let fitter = Fitter::new(law, setting, scale, levels, &vec![1.0; levels.len()]).unwrap();
    let fit = fitter.fit(y);
    let loo = fitter.leave_one_out(y).unwrap();
    (rms(y.iter().zip(&fit.fitted).map(|(y, f)| y - f)), rms(loo), fit.parameters)
}

/// Fits to the eleven published points of A, unweighted. Computed once with SciPy 1.17 (`np.polyfit`,
/// `least_squares` of the residuals of A with tolerances of 1e-14, each also without one point at a time).
#[test]
fn fits_to_the_published_plot() {
    let expected = [
        (Law::Literal, 0.037044, 0.037044),
        (Law::Line, 0.085826, 0.112849),
        (Law::FreeQuadratic, 0.008283, 0.013519),
        (Law::Cubic, 0.005111, 0.012542),
        (Law::Scaled, 0.009356, 0.013021),
        (Law::Sharpened, 0.005356, 0.007997),
    ];
    for (law, residual, left_out) in expected {
        let (r, l, _) = errors(law, TEN, Scale::Noisy, &LEVELS, &NOISY);
        assert_abs_diff_eq!(r, residual, epsilon = 2e-6);
        assert_abs_diff_eq!(l, left_out, epsilon = 2e-6);
    }
    let (_, _, scaled) = errors(Law::Scaled, TEN, Scale::Noisy, &LEVELS, &NOISY);
    assert_abs_diff_eq!(scaled[0], 0.922239, epsilon = 1e-6);
    let (_, _, sharpened) = errors(Law::Sharpened, TEN, Scale::Noisy, &LEVELS, &NOISY);
    assert_abs_diff_eq!(sharpened[0], 0.906157, epsilon = 1e-6);
    assert_abs_diff_eq!(sharpened[1], 1.048368, epsilon = 1e-6);
    // Pair noise: a quadratic misses what a polynomial of degree 4 describes.
    let (quadratic, ..) = errors(Law::FreeQuadratic, TEN_PAIR, Scale::Noisy, &LEVELS, &PAIR_NOISY);
    assert_abs_diff_eq!(quadratic, 0.012322, epsilon = 1e-6);
    let quartic = least_squares(&polynomial_design(&LEVELS, 4), &PAIR_NOISY, &[1.0; 11]).unwrap();
    assert_abs_diff_eq!(rmse(&PAIR_NOISY, &quartic.fitted).unwrap(), 0.002700, epsilon = 1e-6);
}

/// The published m bends a little, in an S: above the line at small noise, on it or below at large.
#[test]
fn straightness_of_the_published_plot() {
    let curves = PairedCurves {
        setting: TEN,
        levels: LEVELS[..10].to_vec(),
        clean: Some(vec![CLEAN.to_vec()]),
        noisy: None,
        noisy_exact: false,
        test_size: Some(25_000),
    };
    let statistics = analyse(&curves, 200, Seed(0)).unwrap();
    assert_eq!(statistics.levels, &LEVELS[..9]);
    assert_eq!(statistics.uncounted.len(), 1);
    let curve = statistics.clean.as_ref().unwrap();
    assert_eq!(curve.spread, Spread::Binomial);
    let straightness = curve.straightness.as_ref().unwrap();
    assert_abs_diff_eq!(straightness.bend.estimate, 0.0136, epsilon = 1e-4);
    assert!(straightness.bend.low > 0.0 && straightness.equivalent);
    assert!(curve.contrasts[1].size.estimate > 0.0);
    let z = &curve.residuals.iter().find(|r| r.law == Law::Scaled).unwrap().z;
    assert!(z[2] > 3.0 && z[6] < 0.0, "{z:?}");
}

/// K of A is K of the m that A implies.
#[test]
fn bend_is_the_same_on_both_scales() {
    let curves = simulate((Law::Sharpened, &[0.93, 1.3]), TEN, &LEVELS[..9], 4, 0.01, 5000, 3);
    let statistics = analyse(&curves, 50, Seed(0)).unwrap();
    let (clean, noisy) = (statistics.clean.unwrap(), statistics.noisy.unwrap());
    let (a, b) = (clean.straightness.as_ref().unwrap(), noisy.straightness.as_ref().unwrap());
    for (a, b) in a.per_seed.iter().zip(&b.per_seed) {
        assert_abs_diff_eq!(a, b, epsilon = 1e-12);
    }
    assert_abs_diff_eq!(clean.contrasts[0].size.estimate, noisy.contrasts[0].size.estimate, epsilon = 1e-12);
    // The same information, so the same fits.
    for (a, b) in clean.models.iter().zip(&noisy.models) {
        assert_eq!(a.law, b.law);
        if a.law != Law::Logistic {
            assert_abs_diff_eq!(a.chi2, b.chi2, epsilon = 1e-5 * (1.0 + a.chi2));
        }
    }
    assert_abs_diff_eq!(
        clean.model(Law::Sharpened).unwrap().loo_noisy.unwrap(),
        noisy.model(Law::Sharpened).unwrap().loo_noisy.unwrap(),
        epsilon = 1e-6
    );
}

fn wavy(levels: &[f64], seed: u64) -> Vec<f64> {
    let mut stream = Seed(seed).stream("wavy");
    levels.iter().map(|x| 0.1 + 0.85 * (-2.2 * x).exp() + 0.01 * normal(&mut stream)).collect()
}

/// Against the general fitter with numeric derivatives and many starts.
#[test]
fn curved_fits_agree_with_the_general_fitter() {
    let levels = &LEVELS[..9];
    let free = Bounds::FREE;
    let cases = [
        (Law::Sharpened, vec![free, Bounds::between(0.05, 50.0)], vec![vec![0.9, 1.0], vec![0.9, 2.0], vec![0.9, 0.5]]),
        (
            Law::Decay,
            vec![free, free, Bounds::between(0.01, 50.0)],
            vec![vec![0.1, 0.8, 2.0], vec![0.0, 1.0, 0.5], vec![0.2, 0.7, 6.0]],
        ),
        (
            Law::Logistic,
            vec![free, free, Bounds::between(-1.0, 2.0), Bounds::between(0.01, 5.0)],
            vec![
                vec![0.1, 1.0, 0.3, 0.2],
                vec![0.1, 2.0, 0.0, 0.3],
                vec![0.1, 0.8, 0.5, 0.1],
                vec![0.0, 8.0, -0.8, 0.4],
            ],
        ),
    ];
    let mut compared = 0;
    for seed in 0..20 {
        let y = wavy(levels, seed);
        let variances: Vec<f64> = y.iter().map(|p| p * (1.0 - p) / 1000.0).collect();
        for (law, bounds, starts) in &cases {
            let fit = Fitter::new(*law, TEN, Scale::Noisy, levels, &variances).unwrap().fit(&y);
            let predict = |theta: &[f64]| levels.iter().map(|&x| law.with(TEN, theta).noisy(x)).collect::<Vec<f64>>();
            let general = fit_curve(predict, &y, &variances, bounds, starts).unwrap();
            compared += 1;
            assert!(fit.chi2 <= general.chi2 * (1.0 + 1e-5), "{law:?} {seed}: {} > {}", fit.chi2, general.chi2);
        }
    }
    assert_eq!(compared, 60);
}

/// The short cuts of leave-one-out and of refitting, against fitting anew.
#[test]
fn short_cuts_agree_with_fitting_anew() {
    let levels = &LEVELS[..9];
    for seed in 0..5 {
        let y = wavy(levels, seed);
        let variances: Vec<f64> = y.iter().map(|p| p * (1.0 - p) / 1000.0).collect();
        for law in Law::ALL {
            let fitter = Fitter::new(law, TEN, Scale::Noisy, levels, &variances).unwrap();
            let fit = fitter.fit(&y);
            let again = fitter.refit(&y, &fit);
            assert_abs_diff_eq!(fit.chi2, again.chi2, epsilon = 1e-6 * fit.chi2);
            let errors = fitter.leave_one_out(&y).unwrap();
            for out in 0..levels.len() {
                let kept = |values: &[f64]| -> Vec<f64> {
                    (0..levels.len()).filter(|l| *l != out).map(|l| values[l]).collect()
                };
                let anew =
                    Fitter::new(law, TEN, Scale::Noisy, &kept(levels), &kept(&variances)).unwrap().fit(&kept(&y));
                let error = y[out] - law.with(TEN, &anew.parameters).noisy(levels[out]);
                assert_abs_diff_eq!(errors[out], error, epsilon = 2e-4);
            }
        }
    }
}

/// Errors to first order, as resamples use them, are close where the law fits.
#[test]
fn first_order_leave_one_out_is_close_where_the_law_fits() {
    let levels = &LEVELS[..9];
    for (law, theta) in [(Law::Sharpened, vec![0.9, 1.3]), (Law::Decay, vec![0.02, 0.9, 2.5]), (Law::Scaled, vec![0.9])]
    {
        let mut stream = Seed(4).stream("near");
        let y: Vec<f64> =
            levels.iter().map(|&x| law.with(TEN, &theta).noisy(x) + 0.003 * normal(&mut stream)).collect();
        let fitter = Fitter::new(law, TEN, Scale::Noisy, levels, &[1e-5; 9]).unwrap();
        let exact = fitter.leave_one_out(&y).unwrap();
        let near = fitter.leave_one_out_near(&y, &fitter.fit(&y)).unwrap();
        for (near, exact) in near.iter().zip(&exact) {
            assert_abs_diff_eq!(*near, *exact, epsilon = 0.05 * exact.abs() + 1e-4);
        }
    }
}

/// Data of every law are recognised: no other law is decisively better, and none that is simpler or wrong comes near
/// where the law is distinct.
#[test]
fn every_law_is_recognised_in_its_own_data() {
    let cases: [(Law, &[f64]); 12] = [
        (Law::Literal, &[]),
        (Law::Scaled, &[0.85]),
        (Law::Affine, &[0.8, -0.5]),
        (Law::FreeQuadratic, &[0.85, -1.3, 0.48]),
        (Law::Line, &[0.9, -0.95]),
        (Law::Robust, &[0.95]),
        (Law::Bent, &[0.9, -0.2, -0.6]),
        (Law::Cubic, &[0.9, -1.2, 0.1, 0.25]),
        (Law::Sharpened, &[0.9, 1.5]),
        (Law::Vote, &[0.95, 5.0]),
        (Law::Logistic, &[0.1, 0.8, 0.35, 0.1]),
        (Law::Decay, &[0.02, 0.9, 2.5]),
    ];
    for (law, theta) in cases {
        for (setting, top) in [(TEN, 9), (TEN_PAIR, 11)] {
            if !law.speaks_of(setting, Scale::Clean) || (setting == TEN_PAIR && matches!(law, Law::Affine | Law::Bent))
            {
                continue;
            }
            let mut won = 0;
            for seed in 0..6 {
                let curves = simulate((law, theta), setting, &LEVELS[..top], 5, 0.002, 10_000, seed);
                let statistics = analyse(&curves, 20, Seed(0)).unwrap();
                let curve = statistics.primary();
                let own = curve.model(law).unwrap().delta_aicc.unwrap();
                won += usize::from(own <= DECISIVE);
            }
            assert!(won >= 5, "{law:?} with {setting:?}: {won} of 6");
        }
    }
}

#[test]
fn exponent_and_votes_are_recovered() {
    let curves = simulate((Law::Sharpened, &[0.95, 1.4]), TEN, &LEVELS[..9], 6, 0.005, 10_000, 1);
    let statistics = analyse(&curves, 2000, Seed(5)).unwrap();
    let curve = statistics.primary();
    let gamma = curve.exponent.gamma.unwrap();
    let width = gamma.high - gamma.low;
    assert!((gamma.estimate - 1.4).abs() < width && width < 0.1, "{gamma:?}");
    assert!(!curve.exponent.practically_one);
    let a0 = curve.resampling.sharpened_a0.unwrap();
    assert!((a0.estimate - 0.95).abs() < 0.01, "{a0:?}");
    let curves = simulate((Law::Vote, &[0.95, 5.0]), TEN, &LEVELS[..9], 6, 0.005, 10_000, 1);
    let statistics = analyse(&curves, 500, Seed(5)).unwrap();
    assert_eq!(statistics.primary().resampling.votes.unwrap().estimate, 5.0);
    // Pair noise: level by level, from d and s.
    let curves = simulate((Law::Sharpened, &[0.99, 1.3]), TEN_PAIR, &LEVELS, 5, 0.002, 10_000, 1);
    let statistics = analyse(&curves, 200, Seed(5)).unwrap();
    let pair = statistics.pair.as_ref().unwrap();
    for (x, gamma) in &pair.exponents {
        assert!((gamma - 1.3).abs() < 0.2, "{x}: {gamma}");
    }
    assert_eq!(pair.exponents.len(), 8);
    assert_eq!(pair.asymmetry.len(), 5);
    assert!(pair.asymmetry.iter().all(|(_, a)| a.abs() < 0.02));
    assert_eq!(statistics.uncounted[0].level, 0.5);
    let noisy = statistics.noisy.as_ref().unwrap();
    assert!(noisy.straightness.as_ref().unwrap().bend.low > 0.0);
    assert!((noisy.exponent.gamma.unwrap().estimate - 1.3).abs() < 0.02);
}

/// Rates of false alarms of the tests on data of the scaled law, and the power of the primary one.
#[test]
fn error_rates_are_what_they_should_be() {
    let runs = 400;
    let rate = |gamma: f64| {
        let (mut straight, mut lack, mut equivalent, mut covered) = (0, 0, 0, 0);
        for run in 0..runs {
            let mut curves = simulate((Law::Sharpened, &[0.97, gamma]), TEN, &LEVELS[..9], 5, 0.01, 10_000, 1000 + run);
            curves.noisy = None;
            let part = curves.select(&[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
            let analysis = Analysis::new(&part, Scale::Clean, part.clean.as_ref().unwrap()).unwrap();
            let straightness = analysis.straightness(Seed(run)).unwrap().unwrap();
            straight += u64::from(straightness.t.unwrap().p < 0.05);
            equivalent += u64::from(straightness.equivalent);
            let tests = analysis.lack_of_fit().unwrap();
            let vote = analysis.fitter(Law::Sharpened, &analysis.variances).unwrap();
            let near = vote.fit(&analysis.mean);
            let exponents: Vec<f64> = analysis.curves.iter().map(|y| vote.refit(y, &near).parameters[1]).collect();
            covered += u64::from(stats::mean_t_interval(&exponents, 0.95).unwrap().contains(gamma));
            lack += u64::from(tests.iter().find(|(law, _)| *law == Law::Scaled).unwrap().1.p < 0.05);
        }
        [straight, lack, equivalent, covered].map(|n| n as f64 / runs as f64)
    };
    let [false_alarm, false_lack, equivalent, covered] = rate(1.0);
    println!(
        "gamma 1: straightness {false_alarm}, lack of fit {false_lack}, equivalent {equivalent}, covered {covered}"
    );
    assert!((0.02..0.085).contains(&false_alarm), "{false_alarm}");
    assert!((0.01..0.12).contains(&false_lack), "{false_lack}");
    assert!(equivalent > 0.9, "{equivalent}");
    let [power, lack, equivalent, covered_bent] = rate(1.1);
    println!("gamma 1.1: straightness {power}, lack of fit {lack}, equivalent {equivalent}, covered {covered_bent}");
    assert!((0.91..=0.985).contains(&covered) && (0.91..=0.985).contains(&covered_bent), "{covered} {covered_bent}");
    assert!(power > 0.97, "{power}");
    assert!(equivalent < 0.05, "{equivalent}");
}

#[test]
fn same_seed_same_statistics() {
    let curves = simulate((Law::Sharpened, &[0.95, 1.2]), TEN, &LEVELS, 4, 0.005, 5000, 1);
    let json = |seed| serde_json::to_string(&analyse(&curves, 300, Seed(seed)).unwrap()).unwrap();
    assert_eq!(json(1), json(1));
    assert_ne!(json(1), json(2));
    let statistics = analyse(&curves, 300, Seed(1)).unwrap();
    let read: Statistics = serde_json::from_str(&json(1)).unwrap();
    assert_eq!(read.levels, statistics.levels);
    assert_eq!(read.uncounted.len(), 2);
}

/// `cargo test --release -- --ignored --nocapture duration`
#[test]
#[ignore = "measures"]
fn duration_of_ten_thousand_draws() {
    for seeds in [1, 5, 10] {
        let curves = simulate((Law::Sharpened, &[0.95, 1.2]), TEN, &LEVELS[..9], seeds, 0.005, 5000, 1);
        let start = std::time::Instant::now();
        analyse(&curves, DRAWS, Seed(1)).unwrap();
        println!("{seeds} seeds: {:?}", start.elapsed());
    }
}

#[test]
fn one_run_a_level_says_what_it_assumes() {
    let mut curves = simulate((Law::Scaled, &[0.9]), TEN, &LEVELS, 1, 0.0, 10_000, 2);
    curves.clean = None;
    let statistics = analyse(&curves, 500, Seed(1)).unwrap();
    let curve = statistics.primary();
    assert_eq!((curve.scale, curve.spread), (Scale::Noisy, Spread::Binomial));
    assert!(!curve.resampling.of_seeds && curve.band.is_none() && curve.lack_of_fit.is_empty());
    assert!(curve.exponent.gamma.unwrap().contains(1.0), "{:?}", curve.exponent);
    assert!(curve.straightness.as_ref().unwrap().bend.contains(0.0));
    curves.test_size = None;
    curves.noisy_exact = false;
    let curve = analyse(&curves, 500, Seed(1)).unwrap().noisy.unwrap();
    assert_eq!(curve.spread, Spread::Residuals);
    assert!(curve.model(Law::Scaled).unwrap().delta_aicc.unwrap() < DECISIVE);
    assert_abs_diff_eq!(curve.best().chi2, (curve.means.len() - curve.best().k) as f64, epsilon = 1e-9);
    let weights: f64 = curve.models.iter().filter_map(|row| row.akaike_weight).sum();
    assert_abs_diff_eq!(weights, 1.0, epsilon = 1e-12);
    // Values that follow a law to the last digit are no reason to divide by zero.
    let exact: Vec<f64> = LEVELS.iter().map(|&x| Law::Scaled.with(TEN, &[0.9]).noisy(x)).collect();
    curves.noisy = Some(vec![exact]);
    let statistics = analyse(&curves, 100, Seed(1)).unwrap();
    assert_eq!(statistics.primary().best().law, Law::Scaled);
}

/// With one run and nothing else known, intervals rest on what the laws leave over; they still cover.
#[test]
fn intervals_from_residuals_cover() {
    let (mut gamma, mut bend) = (0, 0);
    for seed in 0..60 {
        let mut curves = simulate((Law::Scaled, &[0.9]), TEN, &LEVELS, 1, 0.0, 3_000, seed);
        (curves.noisy, curves.test_size) = (None, None);
        let curve = analyse(&curves, 200, Seed(seed)).unwrap().clean.unwrap();
        gamma += usize::from(curve.exponent.gamma.unwrap().contains(1.0));
        bend += usize::from(curve.straightness.unwrap().bend.contains(0.0));
    }
    assert!(gamma >= 52 && bend >= 52, "{gamma} and {bend} of 60");
}

#[test]
fn few_levels_still_work() {
    for levels in [&LEVELS[..3], &LEVELS[..4], &LEVELS[1..5]] {
        for seeds in [1, 2, 3] {
            let curves = simulate((Law::Scaled, &[0.9]), TEN, levels, seeds, 0.003, 2000, 2);
            let statistics = analyse(&curves, 50, Seed(1)).unwrap();
            assert_eq!(statistics.primary().straightness.is_some(), levels[0] == 0.0);
            if levels[0] > 0.0 {
                assert_eq!(verdict(&statistics, None, &[]).outcomes, [Outcome::Undecided]);
            }
            serde_json::to_string(&statistics).unwrap();
        }
    }
}

#[test]
fn unusable_curves_are_named() {
    let good = simulate((Law::Scaled, &[0.9]), TEN, &LEVELS, 3, 0.003, 2000, 2);
    let problem = |change: &dyn Fn(&mut PairedCurves)| {
        let mut curves = good.clone();
        change(&mut curves);
        analyse(&curves, 10, Seed(0)).unwrap_err().to_string()
    };
    assert_eq!(problem(&|c| c.setting.classes = 1), "1 classes: at least 2 are needed");
    assert!(problem(&|c| c.levels[3] = 0.2).contains("do not ascend"));
    assert!(problem(&|c| c.levels[3] = f64::NAN).contains("do not ascend"));
    assert!(problem(&|c| c.clean.as_mut().unwrap()[1][2] = 1.2).contains("seed number 1 has accuracy 1.2"));
    assert!(problem(&|c| c.clean.as_mut().unwrap()[1][2] = f64::NAN).contains("outside 0 to 1"));
    assert!(problem(&|c| c.noisy.as_mut().unwrap()[1].truncate(10)).contains("10 accuracies at 11 noise ratios"));
    assert!(problem(&|c| c.noisy.as_mut().unwrap().truncate(2)).contains("2 and 3 seeds"));
    assert_eq!(problem(&|c| (c.clean, c.noisy) = (None, None)), "no accuracies");
    let few = problem(&|c| {
        *c = c.select(&[0, 1, 2], &[0, 1, 9, 10]);
    });
    assert_eq!(few, "2 of the noise ratios count (0 to 0.80, none within 0.1 of 0.90); at least 3 are needed");
    let same = problem(&|c| {
        c.test_size = None;
        c.noisy = None;
        let first = c.clean.as_ref().unwrap()[0].clone();
        c.clean = Some(vec![first.clone(), first]);
    });
    assert!(same.contains("agree in every digit"), "{same}");
}

#[test]
fn gate_drops_levels_before_seeds() {
    let curves = simulate((Law::Scaled, &[0.9]), TEN, &LEVELS[..9], 5, 0.003, 2000, 2);
    let mut train = vec![vec![1.0; 9]; 5];
    for row in train.iter_mut().take(4) {
        row[8] = 0.99;
    }
    train[2][3] = 0.9;
    let (kept, gate) = gate(&curves, &train, MEMORISED).unwrap();
    assert_eq!((gate.runs, gate.memorised), (45, 40));
    assert_eq!(gate.dropped_levels, [0.8]);
    assert_eq!(gate.dropped_seeds, [2]);
    assert_eq!(kept.levels, &LEVELS[..8]);
    assert_eq!(kept.clean.as_ref().unwrap().len(), 4);
    assert_eq!(kept.clean.unwrap()[2][1], curves.clean.as_ref().unwrap()[3][1]);
    let none = super::gate(&curves, &vec![vec![0.5; 9]; 5], MEMORISED).unwrap_err();
    assert_eq!(none.to_string(), "no whole curve reached training accuracy 0.999");
    assert!(super::gate(&curves, &train[..4], MEMORISED).is_err());
}

/// Predictions drawn from a matrix, counted.
fn counts(matrix: &TransitionMatrix, per_class: usize, seeds: u64) -> Vec<Vec<Vec<u64>>> {
    let classes = matrix.classes();
    (0..seeds)
        .map(|seed| {
            let truth: Vec<u32> = (0..classes * per_class).map(|i| (i / per_class) as u32).collect();
            let mut counts = vec![vec![0; classes]; classes];
            for (i, j) in truth.iter().zip(matrix.draw(&truth, &mut Seed(seed).stream("counts")).unwrap()) {
                counts[*i as usize][j as usize] += 1;
            }
            counts
        })
        .collect()
}

#[test]
fn matrix_test_tells_leaked_from_literal_and_from_averaging() {
    let t = TransitionMatrix::pair(10, 0.4).unwrap();
    let literal = matrix_test(&counts(&t, 1000, 5), &t, 0.99, 300, Seed(0)).unwrap();
    assert!(literal.within && literal.literal.mean < 0.02, "{literal:?}");
    assert!(literal.literal.pearson_p > 0.01);
    assert!(literal.literal.mean_interval.unwrap().high < 0.03);
    assert!(literal.diagonal_excess.unwrap().estimate.abs() < 0.02);
    let leaked = crate::laws::leaked_matrix(&t, 0.8).unwrap();
    let test = matrix_test(&counts(&leaked, 1000, 5), &t, 0.8, 300, Seed(0)).unwrap();
    assert!(test.leaked.mean < 0.03 && test.leaked.pearson_p > 0.01, "{:?}", test.leaked);
    assert!(test.leaked.mean < 3.0 * test.leaked.chance);
    assert_eq!(test.literal.pearson_p, 0.0);
    assert!(test.within && test.literal.mean > 0.1);
    // Averaging: as if the noise were 0.25.
    let averaging = TransitionMatrix::pair(10, 0.25).unwrap();
    let averaging = matrix_test(&counts(&averaging, 1000, 5), &t, 0.99, 300, Seed(0)).unwrap();
    assert!(!averaging.within);
    assert!(averaging.diagonal_excess.unwrap().low > 0.1);
    assert!(matrix_test(&counts(&t, 10, 1), &t, 0.9, 10, Seed(0)).unwrap().diagonal_excess.is_none());
    assert!(matrix_test(&[], &t, 0.9, 10, Seed(0)).is_err());
    let five = TransitionMatrix::identity(5).unwrap();
    assert!(matrix_test(&counts(&five, 10, 2), &t, 0.9, 10, Seed(0)).is_err());
    assert!(matrix_test(&[vec![vec![0; 10]; 10]], &t, 0.9, 10, Seed(0)).is_err());
    assert!(matrix_test(&counts(&t, 10, 2), &t, 1.2, 10, Seed(0)).is_err());
}

fn statistics(law: Law, theta: &[f64], sd: f64, n: usize) -> Statistics {
    analyse(&simulate((law, theta), TEN, &LEVELS, 5, sd, n, 7), 300, Seed(1)).unwrap()
}

#[test]
fn verdicts_follow_the_table() {
    let literal = statistics(Law::Literal, &[], 0.002, 10_000);
    let scaled = statistics(Law::Scaled, &[0.6], 0.002, 10_000);
    let averaging = statistics(Law::Vote, &[0.97, 5.0], 0.002, 10_000);
    let below = statistics(Law::Sharpened, &[0.97, 0.7], 0.002, 10_000);
    let vague = statistics(Law::Scaled, &[0.8], 0.1, 500);
    let mut missing = simulate((Law::Scaled, &[0.8]), TEN, &LEVELS, 5, 0.002, 10_000, 7);
    for curve in missing.clean.as_mut().unwrap() {
        for (accuracy, level) in curve.iter_mut().zip(&LEVELS) {
            *accuracy = (*accuracy - 0.12 * level).max(0.0);
        }
    }
    missing.noisy = None;
    let missing = analyse(&missing, 300, Seed(1)).unwrap();
    let one = |s: &Statistics| verdict(s, None, &[]);
    let cases = [
        (one(&literal), vec![Outcome::Literal]),
        (one(&scaled), vec![Outcome::Shape]),
        (one(&averaging), vec![Outcome::Averages]),
        (one(&below), vec![Outcome::BelowLine]),
        (one(&vague), vec![Outcome::Undecided]),
        (one(&missing), vec![Outcome::OtherLine]),
        (verdict(&scaled, Some(&averaging), &[]), vec![Outcome::PipelineFault]),
        (verdict(&scaled, Some(&scaled), &[("a straight one", &scaled)]), vec![Outcome::Shape]),
        (
            verdict(
                &scaled,
                Some(&scaled),
                &[("early stopping", &averaging), ("dropout", &averaging), ("width 32", &scaled)],
            ),
            vec![Outcome::Shape, Outcome::InterpolationOnly],
        ),
    ];
    for (verdict, outcomes) in &cases {
        assert_eq!(verdict.outcomes, *outcomes, "{}", verdict.text);
        if outcomes[0] != Outcome::PipelineFault {
            assert!(verdict.text.contains("clean labels (a line at best)"), "{}", verdict.text);
            assert!(verdict.text.contains("noisy labels (a parabola at best)"), "{}", verdict.text);
            assert!(verdict.text.starts_with(&verdict.sentence));
        }
    }
    assert!(cases[1].0.text.contains("a0 = 0.6"), "{}", cases[1].0.text);
    assert!(cases[2].0.text.contains("a vote of about 5 neighbours"), "{}", cases[2].0.text);
    assert!(cases[8].0.text.contains("bends for early stopping and dropout"), "{}", cases[8].0.text);
    assert!(cases[1].0.text.contains("9 noise ratios from 0 to 0.8, symmetric noise, 10 classes, 5 seeds"));
}

/// A learner that resists noise gives a straight A; scored roughly on noisy labels it passes for a quadratic.
#[test]
fn a_bend_that_noisy_scoring_hides_is_said_to_be_an_artefact() {
    let mut curves = simulate((Law::Sharpened, &[0.9, 1.25]), TEN, &LEVELS, 5, 0.003, 10_000, 7);
    // Rough labels: A is measured with far more error than m.
    let mut stream = Seed(1).stream("rough");
    for row in curves.noisy.as_mut().unwrap() {
        for a in row.iter_mut() {
            *a = (*a + 0.1 * normal(&mut stream)).clamp(0.0, 1.0);
        }
    }
    curves.noisy_exact = false;
    let statistics = analyse(&curves, 100, Seed(1)).unwrap();
    let verdict = verdict(&statistics, None, &[]);
    assert_eq!(verdict.outcomes, [Outcome::Averages, Outcome::Artefact], "{}", verdict.text);
}

#[test]
fn pair_noise_scored_on_noisy_labels_only() {
    let mut curves = simulate((Law::Sharpened, &[0.95, 1.6]), TEN_PAIR, &LEVELS, 5, 0.003, 10_000, 7);
    curves.clean = None;
    let statistics = analyse(&curves, 100, Seed(1)).unwrap();
    let verdict = verdict(&statistics, None, &[]);
    assert_eq!(verdict.outcomes[0], Outcome::Averages, "{}", verdict.text);
    assert!(verdict.text.contains("under pair noise it does not follow"), "{}", verdict.text);
    assert!(statistics.primary().models.iter().any(|row| row.law == Law::Cubic));
}
