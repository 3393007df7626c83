//! Every rule on inputs made for it.

use retrial_core::experiment::Profile;
use retrial_core::results::{Claim, Verdict, open};

use super::documented::documented;
use super::theory::{Population, Switched};
use super::{Documented, LoggedEpoch, at_both_costs, in_words, speed, supplement, theory};
use crate::analysis::{Probabilities, Snapshot};
use crate::config::{Config, ControlVariate, Method, Score};
use crate::readings::{Analysed, Arm, Paired, made};
use crate::training::Row;

const BOUND: Method = Method::Importance { score: Score::UpperBound, presample: 80, threshold: 1.5 };
const LOSS: Method = Method::Importance { score: Score::Loss, presample: 80, threshold: 1.5 };
const RANKS: Method = Method::LoshchilovHutter { first: 10., last: 1., sort_every: 300, recompute_every: 600 };
const PRIORITIES: Method = Method::Schaul { alpha: 1., beta: 1., recompute_every: 600 };

/// An arm with these test errors and a loss below chance; an error of one half is a collapse.
fn errors(method: Method, errors: &[f64]) -> (Config, Arm) {
    let with_loss: Vec<(f64, f64)> = errors.iter().map(|e| (if *e >= 0.5 { 0.69 } else { 0.3 }, *e)).collect();
    made::arm(method, &with_loss)
}

fn losses(method: Method, losses: &[f64]) -> (Config, Arm) {
    made::arm(method, &losses.iter().map(|l| (*l, 0.1)).collect::<Vec<_>>())
}

/// All runs of an arm take so many times as long.
fn slower((config, mut arm): (Config, Arm), factor: f64) -> (Config, Arm) {
    arm.runs.values_mut().for_each(|run| run.summary.seconds.iter_mut().for_each(|s| *s *= factor));
    (config, arm)
}

/// What every row of an arm says, changed by its place.
fn along((config, mut arm): (Config, Arm), change: impl Fn(usize, &mut Row)) -> (Config, Arm) {
    arm.runs.values_mut().for_each(|run| run.rows.iter_mut().enumerate().for_each(|(i, row)| change(i, row)));
    (config, arm)
}

/// No run of an arm ever switched on.
fn idle((config, mut arm): (Config, Arm)) -> (Config, Arm) {
    arm.runs.values_mut().for_each(|run| (run.summary.switched_on, run.summary.switched_on_share) = (None, None));
    (config, arm)
}

#[track_caller]
fn assert_untested(claim: &Claim, word: &str) {
    assert!(matches!(&claim.verdict, Verdict::NotTested(why) if why.contains(word)), "{claim:?}");
}

const THREE: [f64; 3] = [0.1, 0.1, 0.1];

#[test]
fn a_lower_error_is_refuted_only_where_the_whole_interval_is() {
    let of = |uniform: &[f64], bound: &[f64]| {
        speed::lower_error(&[errors(Method::Uniform, uniform), errors(BOUND, bound)], &[], "")
    };
    assert_eq!(of(&THREE, &[0.09, 0.091, 0.089]).verdict, Verdict::Supported);
    // -4 % with an interval that holds the 3 % that are asked for.
    assert_eq!(of(&THREE, &[0.11, 0.1, 0.102]).verdict, Verdict::Inconclusive);
    // Below zero by more than a standard error, and yet open.
    assert_eq!(of(&THREE, &[0.112, 0.101, 0.101]).verdict, Verdict::Inconclusive);
    assert_eq!(of(&THREE, &[0.1, 0.1005, 0.0995]).verdict, Verdict::Refuted);
    assert_untested(&of(&THREE[..2], &THREE[..2]), "3 seeds");
    assert_untested(&of(&THREE, &[0.09, 0.5, 0.09]), "1 of 3 runs of importance sampling ended at chance");
    assert_untested(&of(&[0.1, 0.5, 0.1], &THREE), "1 of 3 runs of uniform sampling ended at chance");
    assert_untested(
        &speed::lower_error(&[errors(Method::Uniform, &THREE), idle(errors(BOUND, &THREE))], &[], ""),
        "switch",
    );
}

/// A gain that takes three times as long is none at equal seconds, where the error still falls.
#[test]
fn equal_time_asks_for_seconds_too() {
    let falling = |i: usize, row: &mut Row| row.test_error *= 2. - i as f64 / 10.;
    let bound = along(errors(BOUND, &[0.09, 0.091, 0.089]), falling);
    let uniform = || along(errors(Method::Uniform, &THREE), falling);
    assert_eq!(speed::lower_error(&[uniform(), bound.clone()], &[], "").verdict, Verdict::Supported);
    assert_eq!(speed::lower_error(&[uniform(), slower(bound, 3.)], &[], "").verdict, Verdict::Inconclusive);
}

#[test]
fn the_reason_names_fewer_candidates_at_the_same_threshold() {
    let arms = [errors(Method::Uniform, &THREE), errors(BOUND, &[0.11, 0.1, 0.102])];
    let fewer = Method::Importance { score: Score::UpperBound, presample: 48, threshold: 1.5 };
    let ablation = [errors(Method::Uniform, &THREE), errors(fewer, &[0.09, 0.095, 0.1])];
    let reason = speed::lower_error(&arms, &ablation, "").reason;
    assert!(reason.contains("B = 3b at the same threshold (R5) +5.0 %, standard error 2.9 %"), "{reason}");
    // 16 trained on at 2e-5 and 80 scored at 1e-5 seconds: the ratio is 2, the condition (80 + 32) / 32.
    assert!(reason.contains("Measured cost ratio 2.00") && reason.contains("B = 5b") && reason.contains("tau > 3.50"));
}

#[test]
fn an_order_of_magnitude_is_judged_at_the_papers_scale() {
    let of = |profile, bound: &[f64]| {
        let arms = [losses(Method::Uniform, &[0.5, 0.5, 0.5]), losses(BOUND, bound)];
        speed::order_of_magnitude(profile, &arms, "")
    };
    assert_eq!(of(Profile::Paper, &[0.05, 0.051, 0.049]).verdict, Verdict::Supported);
    assert_eq!(of(Profile::Paper, &[0.25, 0.26, 0.24]).verdict, Verdict::Refuted);
    assert_eq!(of(Profile::Paper, &[0.04, 0.1, 0.06]).verdict, Verdict::Inconclusive);
    let standard = of(Profile::Standard, &[0.05, 0.05, 0.05]);
    assert_untested(&standard, "order of magnitude");
    assert!((standard.estimate.unwrap() - 10.).abs() < 1e-9);
}

#[test]
fn a_rival_as_good_as_the_bound_is_no_support_on_the_harder_task() {
    let of = |bound: &[f64], rival: &[f64]| {
        let arms = [errors(Method::Uniform, &[0.3, 0.3, 0.3]), errors(BOUND, bound), errors(LOSS, rival)];
        speed::harder_task(&arms, "").verdict
    };
    let good = [0.28, 0.281, 0.279];
    assert_eq!(of(&good, &[0.3, 0.31, 0.32]), Verdict::Supported);
    assert_eq!(of(&good, &[0.29, 0.3, 0.298]), Verdict::Inconclusive);
    assert_eq!(of(&good, &good), Verdict::Refuted);
    assert_eq!(of(&[0.32, 0.321, 0.319], &[0.3, 0.31, 0.32]), Verdict::Refuted);
    // The bound worse by a standard error only.
    assert_eq!(of(&[0.3, 0.302, 0.31], &[0.3, 0.31, 0.32]), Verdict::Inconclusive);
    // A rival that collapsed is not better.
    assert_eq!(of(&good, &[0.5, 0.28, 0.5]), Verdict::Supported);
    assert_untested(&speed::without_the_harder_task(), "CIFAR-100");
}

#[test]
fn collapsed_rivals_count_for_the_bound() {
    let of = |ranks: &[f64], priorities: &[f64]| {
        let two = [errors(Method::Uniform, &THREE), errors(BOUND, &[0.09, 0.1, 0.11]), errors(LOSS, &[0.1, 0.1, 0.11])];
        speed::ordering(&two, &[errors(RANKS, ranks), errors(PRIORITIES, priorities)], "")
    };
    let worse = [0.12, 0.13, 0.12];
    // Two of three at chance, the third better than any: worse in the mean, and no evidence against the bound.
    let collapsed = of(&worse, &[0.5, 0.05, 0.5]);
    assert_eq!(collapsed.verdict, Verdict::Supported);
    assert!(collapsed.reason.contains("n = 3, 2 at chance"), "{}", collapsed.reason);
    // Ahead of the bound by 4 % with a standard error of 2: at that rate one rival in five is so by chance.
    assert_eq!(of(&worse, &[0.086, 0.1, 0.104]).verdict, Verdict::Inconclusive);
    assert_eq!(of(&worse, &[0.045, 0.05, 0.055]).verdict, Verdict::Refuted);
    // Fewer than three runs say nothing, for or against.
    assert_eq!(of(&worse, &[0.045, 0.05]).verdict, Verdict::Supported);
    let two = [errors(Method::Uniform, &THREE), errors(BOUND, &THREE), errors(LOSS, &THREE)];
    assert_untested(&speed::ordering(&two, &[], ""), "no rival");
    assert_untested(&speed::ordering(&two[..2], &[errors(RANKS, &worse)], ""), "loss");
}

#[test]
fn fine_tuning_needs_ten_per_cent() {
    let of = |bound: &[f64]| {
        let arms = [errors(Method::Uniform, &[0.3, 0.3, 0.3]), errors(BOUND, bound), errors(LOSS, &[0.29, 0.29, 0.29])];
        speed::fine_tuning(&arms, "").verdict
    };
    assert_eq!(of(&[0.25, 0.251, 0.249]), Verdict::Supported);
    assert_eq!(of(&[0.29, 0.291, 0.289]), Verdict::Refuted);
    assert_eq!(of(&[0.25, 0.3, 0.28]), Verdict::Inconclusive);
}

#[test]
fn the_sequence_needs_both_halves() {
    let of = |bound: &[f64], loss: &[f64]| {
        let arms = [losses(Method::Uniform, &[0.3, 0.3, 0.3]), losses(BOUND, bound), losses(LOSS, loss)];
        speed::sequence(Profile::Standard, &arms, "").verdict
    };
    let (better, worse) = ([0.25, 0.251, 0.249], [0.35, 0.351, 0.349]);
    assert_eq!(of(&better, &worse), Verdict::Supported);
    assert_eq!(of(&worse, &worse), Verdict::Refuted);
    assert_eq!(of(&better, &better), Verdict::Refuted);
    assert_eq!(of(&[0.3, 0.301, 0.305], &worse), Verdict::Inconclusive);
}

#[test]
fn two_parts_must_fall_before_the_whole_does() {
    let part = |id: &str, verdict: Verdict| Claim { verdict, ..open(id, "", "", "", "") };
    let of = |verdicts: [Verdict; 4]| {
        let parts: Vec<Claim> =
            ["IS6a", "IS7", "IS9", "IS10"].into_iter().zip(verdicts).map(|(i, v)| part(i, v)).collect();
        speed::overall(&parts)
    };
    let untested = || Verdict::NotTested("no".into());
    use Verdict::{Inconclusive, Refuted, Supported};
    assert_eq!(of([Supported, Supported, untested(), untested()]).verdict, Supported);
    assert_eq!(of([Refuted, Inconclusive, untested(), untested()]).verdict, Inconclusive);
    assert_eq!(of([Refuted, Refuted, Supported, Supported]).verdict, Refuted);
    assert_eq!(of([Supported, Inconclusive, untested(), untested()]).verdict, Inconclusive);
    let one = of([Refuted, untested(), untested(), untested()]);
    assert_untested(&one, "fewer than two");
    assert!(one.reason.contains("IS6a refuted, IS7 not tested"), "{}", one.reason);
}

#[test]
fn label_noise_is_judged_by_its_gain() {
    let of = |bound: &[f64]| {
        let noisy = [errors(Method::Uniform, &[0.3, 0.3, 0.3]), errors(BOUND, bound)];
        speed::label_noise(&noisy, &noisy, "").verdict
    };
    assert_eq!(of(&[0.28, 0.281, 0.279]), Verdict::Supported);
    assert_eq!(of(&[0.32, 0.321, 0.319]), Verdict::Refuted);
    assert_eq!(of(&[0.3, 0.302, 0.31]), Verdict::Inconclusive);
    let idle = [errors(Method::Uniform, &THREE), idle(errors(BOUND, &THREE))];
    assert_untested(&speed::label_noise(&idle, &idle, ""), "switch");
}

#[test]
fn control_variates_at_the_edge_of_their_rates_decide_nothing() {
    let of = |settings: &[(f64, f64)], seeds: usize| {
        let mut arms = vec![losses(Method::Uniform, &vec![0.1; seeds])];
        for (rate, loss) in settings {
            let method = Method::ControlVariate { variant: ControlVariate::Svrg, inner: 100 };
            let (mut config, arm) = losses(method, &vec![*loss; seeds]);
            config.schedule = retrial_core::train::Schedule::Constant { rate: *rate };
            arms.push((config, arm));
        }
        let rates = settings.iter().map(|s| s.0).collect();
        supplement::control_variates(&supplement::Variates { arms, rates, diverged: 0 }, "")
    };
    let inside = of(&[(0.1, 0.4), (0.5, 0.3), (1., 0.35)], 3);
    assert_eq!(inside.verdict, Verdict::Supported);
    assert!((inside.estimate.unwrap() - 3.).abs() < 1e-9);
    assert_eq!(of(&[(0.1, 0.09), (0.5, 0.05), (1., 0.2)], 3).verdict, Verdict::Refuted);
    let edge = of(&[(0.1, 0.4), (0.5, 0.35), (1., 0.3)], 3);
    assert_eq!(edge.verdict, Verdict::Inconclusive);
    assert!(edge.reason.contains("edge of those tried (0.1 to 1)"), "{}", edge.reason);
    assert_untested(&of(&[(0.1, 0.4), (0.5, 0.3), (1., 0.35)], 2), "3 seeds");
}

#[test]
fn a_best_number_of_candidates_beats_its_neighbours_and_uniform() {
    let of = |uniform: f64, by_ratio: [f64; 4]| {
        let around = |loss: f64| [loss, loss * 1.01, loss * 0.99];
        let mut arms = vec![losses(Method::Uniform, &around(uniform))];
        for (k, loss) in [2, 3, 5, 8].into_iter().zip(by_ratio) {
            let method = Method::Importance { score: Score::UpperBound, presample: 16 * k, threshold: 1.5 };
            arms.push(losses(method, &around(loss)));
        }
        supplement::candidates(&arms, "")
    };
    let best = of(0.2, [0.18, 0.15, 0.16, 0.19]);
    assert_eq!(best.verdict, Verdict::Supported);
    // The nearest neighbour decides: .15 is 6.25 % below .16.
    assert!((best.estimate.unwrap() - 0.0625).abs() < 1e-3, "{best:?}");
    // Uniform sampling is the left end.
    assert_eq!(of(0.1, [0.18, 0.15, 0.16, 0.19]).verdict, Verdict::Refuted);
    assert_eq!(of(0.15, [0.18, 0.15, 0.16, 0.19]).verdict, Verdict::Inconclusive);
    assert_eq!(of(0.2, [0.18, 0.16, 0.15, 0.1]).verdict, Verdict::Refuted);
    assert_eq!(of(0.2, [0.15, 0.15, 0.16, 0.19]).verdict, Verdict::Inconclusive);
}

#[test]
fn the_documented_run_is_judged_by_the_last_row_too() {
    let uniform = || made::arm(Method::Uniform, &[(0.2, 0.1), (0.2, 0.1), (0.2, 0.1)]);
    let of = |bound: (Config, Arm)| documented(&[uniform(), bound], "").unwrap().verdict;
    let bound = || made::arm(BOUND, &[(0.1, 0.09), (0.1, 0.091), (0.1, 0.089)]);
    assert_eq!(of(bound()), Verdict::Supported);
    // As good in the last tenth but for the very last row.
    let falls_back = |i: usize, row: &mut Row| row.test_error *= if i == 10 { 1.15 } else { 0.8 };
    assert_eq!(of(along(bound(), falls_back)), Verdict::Inconclusive);
    assert_eq!(of(made::arm(BOUND, &[(0.1, 0.12), (0.1, 0.121), (0.1, 0.119)])), Verdict::Refuted);
}

fn snapshot(updates: u64) -> Snapshot {
    Snapshot {
        updates,
        rms_loss: 0.9,
        rms_bound: 0.82,
        rms_norm: 0.8,
        drawn_loss: 0.9,
        drawn_bound: 0.82,
        drawn_norm: 0.8,
        tau_bound: 1.2,
        tau_norm: 1.22,
        spread: 0.3,
        rho_bound: 0.6,
        mean_share: 0.1,
    }
}

/// Three runs of four snapshots, the last at 1000 updates.
fn analysed(change: impl Fn(&mut Snapshot)) -> Vec<Analysed> {
    let of = |seed| {
        let mut snapshots: Vec<Snapshot> = (1..=4).map(|i| snapshot(250 * i)).collect();
        snapshots.iter_mut().for_each(&change);
        let probabilities = vec![];
        Analysed { seed, updates: 1000, snapshots, probabilities }
    };
    (0..3).map(of).collect()
}

#[test]
fn the_order_of_errors_is_read_after_the_drop() {
    let of = |change: &dyn Fn(&mut Snapshot)| theory::gradient_error(&analysed(change), "").verdict;
    // At the half no update has been made at the lower rate.
    assert_eq!(of(&|s| s.rms_bound = if s.updates <= 500 { 0.95 } else { 0.82 }), Verdict::Supported);
    assert_eq!(of(&|s| s.rms_bound = if s.updates <= 750 { 0.95 } else { 0.82 }), Verdict::Inconclusive);
    assert_eq!(of(&|s| s.rms_bound = 0.95), Verdict::Refuted);
    assert_eq!(of(&|s| s.rms_bound = 0.89), Verdict::Inconclusive);
    assert_untested(&theory::gradient_error(&analysed(|_| ())[..2], ""), "three");
}

#[test]
fn probabilities_are_compared_pooled() {
    let with = |bound: fn(f64) -> f64, loss: fn(f64) -> f64| {
        let mut runs = analysed(|_| ());
        for run in &mut runs {
            let norms = [0.1, 0.2, 0.3, 0.4];
            run.probabilities =
                norms.map(|norm| Probabilities { updates: 250, norm, bound: bound(norm), loss: loss(norm) }).into();
        }
        theory::probabilities(&runs, "").verdict
    };
    assert_eq!(with(|p| p + 0.01, |_| 0.25), Verdict::Supported);
    // Close, but no closer than the loss.
    assert_eq!(with(|p| p + 0.01, |p| p - 0.01), Verdict::Refuted);
    assert_eq!(with(|p| 0.5 - p, |_| 0.25), Verdict::Refuted);
}

#[test]
fn the_common_constant_is_read_at_the_worst_snapshot() {
    let of = |spread: f64| {
        theory::common_constant(&analysed(|s| s.spread = if s.updates == 500 { spread } else { 0.1 }), "")
    };
    assert_eq!(of(0.45).verdict, Verdict::Supported);
    assert_eq!(of(0.6).verdict, Verdict::Refuted);
}

#[test]
fn tau_is_held_to_what_the_method_sees_and_to_when_it_switches() {
    let switched = |updates: [u64; 3]| Switched {
        experiment: "R1".into(),
        threshold: 1.5,
        at: updates.map(|u| (u, u as f64 / 1000.)).into(),
        drop: Some(0.5),
    };
    // tau rises with time, and the error falls as 1 / tau or a little below.
    let tells = |factor: f64| {
        move |s: &mut Snapshot| {
            s.tau_bound = 1. + s.updates as f64 / 1000.;
            s.rms_bound = factor / s.tau_bound;
        }
    };
    let of = |factor: f64, at: [u64; 3]| {
        theory::tau_tells(&analysed(tells(factor)), &analysed(tells(factor)), &[switched(at)], "")
    };
    assert_eq!(of(0.99, [100, 200, 600]).verdict, Verdict::Supported);
    // The bound's error above 1 / tau, though the true norm's never is.
    let above = of(1.05, [100, 200, 600]);
    assert_eq!(above.verdict, Verdict::Inconclusive);
    assert!(above.reason.contains("at 12 of 12 of digits"), "{}", above.reason);
    // As soon as the moving average lets it: one run, most runs.
    assert_eq!(of(0.99, [13, 200, 600]).verdict, Verdict::Inconclusive);
    let early = of(0.99, [13, 20, 600]);
    assert_eq!(early.verdict, Verdict::Refuted);
    assert!(early.reason.contains("tau > 1.50: R1 at updates 13 to 600"), "{}", early.reason);
    let backwards = analysed(|s| (s.tau_bound, s.rms_bound) = (1. + s.updates as f64 / 1e3, s.updates as f64 / 1e4));
    assert_eq!(theory::tau_tells(&backwards, &[], &[switched([100; 3])], "").verdict, Verdict::Refuted);
}

#[test]
fn the_condition_is_judged_at_the_measured_cost_ratio() {
    let digits = |rho: f64| analysed(move |s| (s.tau_bound, s.rho_bound) = (2.9, rho));
    let photos = analysed(|_| ());
    let of = |rho: f64, kappa: Option<f64>| {
        let digits = digits(rho);
        let population = |name, runs| Population { name, runs, kappa };
        theory::guarantee(&population("photos", &photos), &population("digits", &digits), &[], "")
    };
    // (1/3 + rho) 2 and (1/5 + rho) 8/3 at 3, (1/3 + rho) 2.5 at 2, where 5b needs tau above 3.5.
    let three = of(0.12, None);
    assert_eq!((three.verdict.clone(), three.seeds), (Verdict::Supported, 3));
    assert!((three.estimate.unwrap() - 2. * (1. / 3. + 0.12)).abs() < 1e-3);
    assert_eq!(of(0.12, Some(2.)).verdict, Verdict::Refuted);
    assert_eq!(of(0.06, Some(2.)).verdict, Verdict::Supported);
    assert!(three.reason.contains("photos: none above a threshold"), "{}", three.reason);
    let none = Population { name: "digits", runs: &photos, kappa: None };
    assert_untested(&theory::guarantee(&none, &none, &[], ""), "too few");
}

#[test]
fn the_official_log_is_read_epoch_by_epoch() {
    let log = Documented::read().unwrap();
    let (uniform, bound) = (log.epochs("uniform"), log.epochs("upper-bound"));
    assert_eq!((uniform.len(), bound.len()), (10, 10));
    let last = LoggedEpoch { epoch: 10, seconds: 107., train_loss: 0.0130, test_error: 0.0142 };
    assert_eq!(bound[9], last);
    // Ten uniform epochs take 31 seconds; the bound stands between 1.76 % at 30 and 1.77 % at 41 then.
    let (u, b) = log.gain(10).unwrap();
    assert!(u == 0.0201 && (b - 0.0176).abs() < 1e-4, "{u} {b}");
    assert!(log.gain(11).is_none() && log.gain(1).is_none());
}

#[test]
fn the_words_need_both_costs_and_a_size_only_where_it_is_known() {
    let of = |values: &[f64]| Paired { values: values.to_vec() };
    let (gain, none) = (of(&[0.08, 0.1, 0.09]), of(&[-0.1, 0.1, 0.]));
    assert_eq!(in_words(&gain, &gain, Some(0.08)), "reproduced");
    assert!(in_words(&gain, &gain, Some(0.5)).starts_with("direction only"));
    assert!(in_words(&gain, &gain, None).starts_with("reproduced in its sign"));
    assert!(in_words(&gain, &none, Some(0.08)).starts_with("reproduced in forward equivalents only"));
    assert_eq!(in_words(&none, &none, None), "not reproduced");
    assert_eq!(at_both_costs(Verdict::Supported, &gain), Verdict::Supported);
    assert_eq!(at_both_costs(Verdict::Supported, &none), Verdict::Inconclusive);
    assert_eq!(at_both_costs(Verdict::Refuted, &none), Verdict::Refuted);
}

/// A claim that no cell of a profile could decide would be silently untested there.
#[test]
fn the_papers_grid_has_the_arms_that_claims_look_up() {
    let grid = crate::experiments::grid(Profile::Paper, None);
    let has = |experiment: &str, wanted: &dyn Fn(&Config) -> bool| {
        let cells = &grid.iter().find(|e| e.name == experiment).expect(experiment).cells;
        assert!(cells.iter().any(wanted), "{experiment}");
    };
    let importance =
        |score: Score| move |c: &Config| matches!(c.method, Method::Importance { score: s, .. } if s == score);
    for experiment in ["R1", "R3", "R4", "R5", "R6", "R7", "R8"] {
        has(experiment, &|c| c.method == Method::Uniform);
        has(experiment, &importance(Score::UpperBound));
    }
    for experiment in ["R3", "R4", "R6", "R7"] {
        has(experiment, &importance(Score::Loss));
    }
    for experiment in ["R3", "R4"] {
        has(experiment, &|c| matches!(c.method, Method::Schaul { .. }));
        has(experiment, &|c| matches!(c.method, Method::LoshchilovHutter { .. }));
    }
    has("R2", &|c| c.analysis.is_some());
    has("R7", &|c| c.task.test == 10_000);
}
