//! Tables, from finished cells alone: everything that figures and verdicts rest on, as numbers.

use retrial_core::results::{Error, Results, Table};
use retrial_core::stats::over_seeds;
use serde::Serialize;

use crate::claims::Imbalance;
use crate::config::LabelShift;
use crate::equivalence::{MARGIN, WIDE_MARGIN};
use crate::experiments::Remedy;
use crate::images::Row;
use crate::label_shift;
use crate::paper::ImportanceWeighting;
use crate::plane;
use crate::readings::{
    Arm, Classifier, Gate, Run, arms, classifiers, distinct, equivalence, label_shifts, mean, runs, slopes,
};
use crate::weighting::Loss;

/// f of a row.
pub type Fraction = fn(&Row) -> f64;
/// The sets of images on which f is read, each with its margin of equivalence.
pub const SETS: [(&str, f64, Fraction); 3] = [
    ("cats and dogs", MARGIN, |r| r.fraction),
    ("other eight classes", WIDE_MARGIN, |r| r.fraction_other),
    ("uniform noise", WIDE_MARGIN, |r| r.fraction_noise),
];

/// The runs of an arm and ratio that passed the gates at the end of training, or those that missed them (with L2: that
/// still train, or do not); a row of `fractions.csv`.
#[derive(Serialize)]
struct FractionRow {
    experiment: &'static str,
    convention: char,
    lambda: f64,
    ratio: f64,
    gates: &'static str,
    runs: usize,
    collapsed: usize,
    train_accuracy: f64,
    fraction: f64,
    fraction_low: Option<f64>,
    fraction_high: Option<f64>,
    fraction_cat: f64,
    fraction_dog: f64,
    fraction_other: f64,
    fraction_noise: f64,
    fraction_gaussian: f64,
    /// Mean logit shift against 1:1 over ln R: 1 is the full effect of the weights, 0 none.
    shift_over_log_ratio: Option<f64>,
    settling_epoch: f64,
}

/// One ratio against 1:1; a row of `equivalence.csv`.
#[derive(Serialize)]
struct EquivalenceRow {
    experiment: &'static str,
    convention: char,
    lambda: f64,
    images: &'static str,
    margin: f64,
    ratio: f64,
    n: usize,
    mean_difference: f64,
    ci90_low: f64,
    ci90_high: f64,
    p_tost: f64,
    smallest_margin: f64,
    verdict: &'static str,
}

/// β of an arm; a row of `slopes.csv`.
#[derive(Serialize)]
struct SlopeRow {
    experiment: &'static str,
    convention: char,
    lambda: f64,
    images: &'static str,
    seeds: usize,
    beta: f64,
    low: f64,
    high: f64,
}

/// One setting of the plane, at the end; a row of `plane.csv`.
#[derive(Serialize)]
struct PlaneRow {
    experiment: &'static str,
    ratio: f64,
    draws: usize,
    epochs: usize,
    accuracy: f64,
    fraction: f64,
    balance: f64,
    log_ratio: f64,
    offset: Option<f64>,
    predicted_offset: f64,
    angle: Option<f64>,
}

/// One remedy; a row of `imbalance.csv`.
#[derive(Serialize)]
struct ImbalanceRow {
    remedy: &'static str,
    cats: usize,
    dogs: usize,
    seeds: usize,
    fraction: f64,
    balanced_accuracy: f64,
}

/// One loss under weights of cats : dogs to some power; a row of `tails.csv`.
#[derive(Serialize)]
struct TailRow {
    loss: &'static str,
    exponent: f64,
    runs: usize,
    past_gates: usize,
    fraction: f64,
    balanced_accuracy: f64,
    low: Option<f64>,
    high: Option<f64>,
    early_stopped: f64,
}

/// One target; a row of `label-shift.csv`.
#[derive(Serialize)]
struct ShiftRow {
    dog_share: f64,
    runs: usize,
    true_ratio: f64,
    /// Geometric means over runs.
    estimated_ratio: f64,
    error_factor: f64,
    accuracy_unweighted: f64,
    accuracy_retrained: f64,
    accuracy_shifted_logits: f64,
}

/// All tables for which there are rows.
pub fn tables(results: &Results<ImportanceWeighting>) -> Result<Vec<Table>, Error> {
    let arms = arms(results)?;
    let mut tables = vec![];
    add(&mut tables, "fractions", arms.iter().flat_map(fractions).collect())?;
    add(&mut tables, "equivalence", arms.iter().flat_map(equivalences).collect())?;
    add(&mut tables, "slopes", arms.iter().flat_map(betas).collect())?;
    let mut plane_rows = vec![];
    for experiment in ["plane", "plane-wide", "plane-l2", "plane-mlp", "moons", "moons-mlp"] {
        plane_rows.extend(plane_settings(experiment, &classifiers(results, experiment)?));
    }
    add(&mut tables, "plane", plane_rows)?;
    add(&mut tables, "imbalance", remedies(&runs(results, "imbalance")?))?;
    add(&mut tables, "tails", tails(&runs(results, "tail")?))?;
    add(&mut tables, "label-shift", targets(&label_shifts(results)))?;
    Ok(tables)
}

fn add(tables: &mut Vec<Table>, name: &str, rows: Vec<impl Serialize>) -> Result<(), Error> {
    if !rows.is_empty() {
        tables.push(Table::from_rows(name, &rows)?);
    }
    Ok(())
}

/// Runs past the gates and runs that missed them are never averaged together.
fn fractions(arm: &Arm) -> Vec<FractionRow> {
    let mut rows = vec![];
    for ratio in arm.ratios() {
        for (gates, counts) in [("passed", true), ("missed", false)] {
            let group = |of: f64| arm.runs.iter().filter(move |r| r.config.ratio == of && r.counts() == counts);
            let of: Vec<&Run> = group(ratio).collect();
            if of.is_empty() {
                continue;
            }
            let last = |value: &dyn Fn(&Row) -> f64| of.iter().map(|r| value(&r.summary.last)).collect::<Vec<_>>();
            let f = last(&|r| r.fraction);
            let interval = over_seeds(&f);
            let shift = |r: &&Run| {
                let plain = group(1.).find(|p| p.config.seed == r.config.seed)?;
                Some((r.summary.last.logit_shift - plain.summary.last.logit_shift) / ratio.ln())
            };
            let shifts: Vec<f64> = of.iter().filter_map(shift).collect();
            rows.push(FractionRow {
                experiment: arm.experiment,
                convention: arm.config().convention.letter(),
                lambda: arm.config().lambda,
                ratio,
                gates,
                runs: of.len(),
                collapsed: of.iter().filter(|r| r.gate == Gate::Collapsed).count(),
                train_accuracy: mean(&last(&Row::balanced_train_accuracy)),
                fraction: mean(&f),
                fraction_low: interval.map(|i| i.low),
                fraction_high: interval.map(|i| i.high),
                fraction_cat: mean(&last(&|r| r.fraction_cat)),
                fraction_dog: mean(&last(&|r| r.fraction_dog)),
                fraction_other: mean(&last(&|r| r.fraction_other)),
                fraction_noise: mean(&last(&|r| r.fraction_noise)),
                fraction_gaussian: mean(&last(&|r| r.fraction_gaussian)),
                shift_over_log_ratio: (ratio != 1. && !shifts.is_empty()).then(|| mean(&shifts)),
                settling_epoch: mean(&of.iter().map(|r| r.settling_epoch() as f64).collect::<Vec<_>>()),
            });
        }
    }
    rows
}

fn equivalences(arm: &Arm) -> Vec<EquivalenceRow> {
    let of_set = |(images, margin, value): (&'static str, f64, Fraction)| {
        let rows = equivalence(&arm.runs, margin, |r| value(&r.summary.last));
        rows.into_iter().map(move |row| EquivalenceRow {
            experiment: arm.experiment,
            convention: arm.config().convention.letter(),
            lambda: arm.config().lambda,
            images,
            margin,
            ratio: row.ratio,
            n: row.n,
            mean_difference: row.mean_difference,
            ci90_low: row.ci90_low,
            ci90_high: row.ci90_high,
            p_tost: row.p_tost,
            smallest_margin: row.smallest_margin,
            verdict: row.verdict,
        })
    };
    SETS.into_iter().flat_map(of_set).collect()
}

fn betas(arm: &Arm) -> Vec<SlopeRow> {
    let of_set = |(images, _, value): (&'static str, f64, Fraction)| {
        let of_seeds: Vec<f64> = slopes(&arm.runs, |r| value(&r.summary.last)).into_values().collect();
        let i = over_seeds(&of_seeds)?;
        Some(SlopeRow {
            experiment: arm.experiment,
            convention: arm.config().convention.letter(),
            lambda: arm.config().lambda,
            images,
            seeds: of_seeds.len(),
            beta: i.estimate,
            low: i.low,
            high: i.high,
        })
    };
    SETS.into_iter().filter_map(of_set).collect()
}

fn plane_settings(experiment: &'static str, cells: &[Classifier]) -> Vec<PlaneRow> {
    let mut rows = vec![];
    for ratio in distinct(cells.iter().map(|c| c.config.ratio)) {
        let of: Vec<&Classifier> = cells.iter().filter(|c| c.config.ratio == ratio).collect();
        let column = |value: &dyn Fn(&plane::Row) -> f64| mean(&of.iter().map(|c| value(c.last())).collect::<Vec<_>>());
        let known = |value: &dyn Fn(&plane::Row) -> Option<f64>| {
            let values: Option<Vec<f64>> = of.iter().map(|c| value(c.last())).collect();
            values.map(|v| mean(&v))
        };
        rows.push(PlaneRow {
            experiment,
            ratio,
            draws: of.len(),
            epochs: of[0].config.epochs,
            accuracy: column(&|r| r.accuracy),
            fraction: column(&|r| r.fraction),
            balance: column(&|r| r.margin_positive - r.margin_negative),
            log_ratio: ratio.ln(),
            offset: known(&|r| r.offset),
            predicted_offset: column(&|r| ratio.ln() / (r.margin_positive + r.margin_negative)),
            angle: known(&|r| r.angle),
        });
    }
    rows
}

fn remedies(rare: &[Run]) -> Vec<ImbalanceRow> {
    let study = Imbalance::of(rare);
    let full = rare.iter().map(|r| r.config.counts[0].max(r.config.counts[1])).max().unwrap_or(0);
    let mut rows = vec![];
    for (class, k) in study.rarity.iter().flat_map(|&k| [(0, k), (1, k)]) {
        for remedy in Remedy::ALL {
            let ends = study.ends(remedy, class, k);
            let mut counts = [full; 2];
            counts[class] = full / k;
            if !ends.is_empty() {
                rows.push(ImbalanceRow {
                    remedy: remedy.name(),
                    cats: counts[0],
                    dogs: counts[1],
                    seeds: ends.len(),
                    fraction: mean(&ends.iter().map(|v| v.0).collect::<Vec<_>>()),
                    balanced_accuracy: mean(&ends.iter().map(|v| v.1).collect::<Vec<_>>()),
                });
            }
        }
    }
    rows
}

/// The runs of the study of tails with one loss, by the power to which ten cats to a dog are weighed.
pub fn by_exponent(runs: &[Run], polynomial: bool) -> Vec<(f64, Vec<&Run>)> {
    let of_loss = || runs.iter().filter(|r| matches!(r.config.loss, Loss::Polynomial { .. }) == polynomial);
    let ratios = distinct(of_loss().map(|r| r.config.ratio));
    let exponent = |ratio: f64| (1000. * ratio.log10()).round() / 1000.;
    ratios.iter().map(|&ratio| (exponent(ratio), of_loss().filter(|r| r.config.ratio == ratio).collect())).collect()
}

fn tails(runs: &[Run]) -> Vec<TailRow> {
    let mut rows = vec![];
    for (loss, polynomial) in [("cross-entropy", false), ("polynomial tail", true)] {
        for (exponent, of) in by_exponent(runs, polynomial) {
            let end: Vec<f64> = of.iter().map(|r| r.summary.last.balanced_accuracy()).collect();
            let interval = over_seeds(&end);
            rows.push(TailRow {
                loss,
                exponent,
                runs: of.len(),
                past_gates: of.iter().filter(|r| r.counts()).count(),
                fraction: mean(&of.iter().map(|r| r.summary.last.fraction).collect::<Vec<_>>()),
                balanced_accuracy: mean(&end),
                low: interval.map(|i| i.low),
                high: interval.map(|i| i.high),
                early_stopped: mean(&of.iter().map(|r| r.summary.stopped.balanced_accuracy()).collect::<Vec<_>>()),
            });
        }
    }
    rows
}

fn targets(cells: &[(LabelShift, label_shift::Summary)]) -> Vec<ShiftRow> {
    let mut rows = vec![];
    for dog_share in distinct(cells.iter().map(|(c, _)| c.dog_share)) {
        let of = || cells.iter().filter(|(c, _)| c.dog_share == dog_share).map(|(_, s)| s);
        let column = |value: fn(&label_shift::Summary) -> f64| mean(&of().map(value).collect::<Vec<_>>());
        rows.push(ShiftRow {
            dog_share,
            runs: of().count(),
            true_ratio: column(|s| s.true_ratio),
            estimated_ratio: column(|s| s.estimated_ratio.ln()).exp(),
            error_factor: column(|s| (s.estimated_ratio / s.true_ratio).ln().abs()).exp(),
            accuracy_unweighted: column(|s| s.unweighted),
            accuracy_retrained: column(|s| s.retrained),
            accuracy_shifted_logits: column(|s| s.offset),
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;
    use crate::readings::made;

    #[test]
    fn runs_past_the_gates_are_not_mixed_with_those_that_missed_them() {
        let mut arm = Arm { experiment: "ratios", runs: made::sweep(&[1., 8.], 4, |_, seed| 0.1 * seed as f64) };
        for run in &mut arm.runs {
            run.summary.last.logit_shift = run.config.ratio;
            if (run.config.ratio, run.config.seed) == (8., 3) {
                run.gate = Gate::Collapsed;
            }
        }
        let rows = fractions(&arm);
        let shown: Vec<(f64, &str, usize, usize)> =
            rows.iter().map(|r| (r.ratio, r.gates, r.runs, r.collapsed)).collect();
        assert_eq!(shown, [(1., "passed", 4, 0), (8., "passed", 3, 0), (8., "missed", 1, 1)]);
        assert_abs_diff_eq!(rows[1].fraction, 0.1, epsilon = 1e-12);
        assert_abs_diff_eq!(rows[1].shift_over_log_ratio.unwrap(), 7. / 8f64.ln(), epsilon = 1e-12);
        // The 1:1 run of seed 3 passed, so it is no partner of the one that missed.
        assert_eq!((rows[2].fraction_low, rows[2].shift_over_log_ratio), (None, None));
    }

    #[test]
    fn tails_by_exponent() {
        let mut runs = made::sweep(&[1., 10f64.powf(1.5)], 3, |_, _| 0.5);
        runs[5].config.loss = Loss::Polynomial { alpha: 1. };
        let rows = tails(&runs);
        let shown: Vec<(&str, f64, usize)> = rows.iter().map(|r| (r.loss, r.exponent, r.runs)).collect();
        assert_eq!(shown, [("cross-entropy", 0., 3), ("cross-entropy", 1.5, 2), ("polynomial tail", 1.5, 1)]);
    }
}
