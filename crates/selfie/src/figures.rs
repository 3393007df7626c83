//! Tables and figures, from finished cells alone.

use std::collections::BTreeMap;

use retrial_core::chart::{Axis, Color, Dash, Figure, Layer, Panel, Share};
use retrial_core::results::{Error, Reported, Results, Table};
use retrial_core::stats::{FEWEST_SEEDS, mean_t_interval};
use serde::Serialize;

use crate::claims::reported;
use crate::config::{Method, NoiseRate, Reuse, Selfie};
use crate::paper::Song2019;
use crate::readings::{
    Arm, BySeed, Cells, Column, Gates, Metric, Noise, PAIR, SYMMETRIC, Study, Values, errors, gaps, in_words, mean,
    read,
};
use crate::train::{Epoch, Run, Summary};

/// One method under one noise; a row of `methods.csv`. Errors in per cent, shares in [0, 1], means over the seeds that
/// verdicts rest on.
#[derive(Serialize)]
struct MethodRow {
    study: String,
    noise: &'static str,
    noise_rate: f64,
    method: &'static str,
    seeds: usize,
    seeds_left_out: usize,
    best_error: f64,
    last_error: f64,
    chosen_error: Option<f64>,
    gain_on_default_best: Option<f64>,
    gain_on_default_last: Option<f64>,
    used_at_the_end: f64,
    used_labels_right: Option<f64>,
    given_labels_fitted: Option<f64>,
    refurbished: Option<f64>,
    refurbished_right: Option<f64>,
    changed: Option<f64>,
    changed_right: Option<f64>,
    wrong_recovered: Option<f64>,
}

/// A variant of SELFIE under heavy pair noise; a row of `variants.csv`. Above the paper's: paired over seeds, with a 95 %
/// interval.
#[derive(Serialize)]
struct VariantRow {
    study: String,
    variant: String,
    seeds: usize,
    seeds_left_out: usize,
    best_error: f64,
    best_above_paper: Option<f64>,
    best_above_paper_low: Option<f64>,
    best_above_paper_high: Option<f64>,
    last_error: f64,
    last_above_paper: Option<f64>,
    last_above_paper_low: Option<f64>,
    last_above_paper_high: Option<f64>,
    refurbished: Option<f64>,
    changed_right: Option<f64>,
}

/// The preconditions of a seed; a row of `gates.csv`.
#[derive(Serialize)]
struct GateRow {
    study: String,
    noise: &'static str,
    seed: u64,
    p1_given_labels_fitted: f64,
    p2_last_minus_best_error: f64,
    p2_best_minus_best_without_noise: Option<f64>,
    p3_wrong_labels_predicted_at_warm_up: f64,
    p4_refurbished_at_half: f64,
    failures: String,
}

/// The same in every figure.
fn color(arm: Arm) -> Color {
    match arm {
        Arm::Default => Color::BLACK,
        Arm::ActiveBias | Arm::ActiveBiasOf2019 => Color::GREEN,
        Arm::CoTeaching | Arm::CoTeachingOf2020 => Color::BLUE,
        Arm::SelectOnly => Color::PURPLE,
        Arm::RelabelAll => Color::ORANGE,
        Arm::Selfie => Color::VERMILLION,
    }
}

/// The same wherever a figure's lines cross.
fn dash(arm: Arm) -> Dash {
    match arm {
        Arm::Default | Arm::Selfie => Dash::Solid,
        Arm::ActiveBias | Arm::ActiveBiasOf2019 => Dash::Dashed,
        Arm::CoTeaching | Arm::CoTeachingOf2020 => Dash::DashDot,
        Arm::SelectOnly => Dash::Dotted,
        Arm::RelabelAll => Dash::LongDash,
    }
}

fn studies(results: &Results<Song2019>) -> Result<Vec<Cells>, Error> {
    let mut studies = vec![];
    for study in Study::all(results.profile) {
        let cells = Cells::of(results, study)?;
        if !cells.is_empty() {
            studies.push(cells);
        }
    }
    Ok(studies)
}

/// Everything that the figures and verdicts rest on, as numbers.
pub fn tables(results: &Results<Song2019>) -> Result<Vec<Table>, Error> {
    let (mut methods, mut variants, mut gates) = (vec![], vec![], vec![]);
    for cells in studies(results)? {
        let study = cells.study.name();
        for noise in cells.study.noises() {
            for (seed, found) in Gates::by_seed(&cells, noise) {
                gates.push(GateRow {
                    study: study.clone(),
                    noise: noise.name,
                    seed,
                    p1_given_labels_fitted: found.fitted,
                    p2_last_minus_best_error: found.overfitting,
                    p2_best_minus_best_without_noise: found.damage,
                    p3_wrong_labels_predicted_at_warm_up: found.wrong_at_warm_up,
                    p4_refurbished_at_half: found.refurbished_at_half,
                    failures: found.failures().join("; "),
                });
            }
            for arm in Arm::ALL {
                for level in cells.levels(&noise.kind, arm) {
                    // Without noise its kind does not matter.
                    if level > 0. || *noise == PAIR {
                        methods.extend(method_row(&cells, &study, noise, level, arm));
                    }
                }
            }
        }
        for (selfie, paper) in cells.variants() {
            let all = cells.selfie(|s, _| *s == selfie);
            let found = cells.judged(&PAIR, all.clone());
            let run = |s: &Summary| compared_run(&selfie, s).cloned();
            let at_the_end = |value: Column| mean(read(&found, |s| value(&run(s)?.last)).into_values());
            let error = |metric: Metric| mean(read(&found, |s| metric.of(&run(s)?)).into_values()).unwrap_or(f64::NAN);
            let (best, last) = [Metric::Best, Metric::Last].map(|m| above_paper(&cells, &selfie, m)).into();
            variants.push(VariantRow {
                study: study.clone(),
                variant: in_words(&selfie, &paper),
                seeds: found.len(),
                seeds_left_out: all.len() - found.len(),
                best_error: error(Metric::Best),
                best_above_paper: best.map(|b| b.0),
                best_above_paper_low: best.map(|b| b.1),
                best_above_paper_high: best.map(|b| b.2),
                last_error: error(Metric::Last),
                last_above_paper: last.map(|l| l.0),
                last_above_paper_low: last.map(|l| l.1),
                last_above_paper_high: last.map(|l| l.2),
                refurbished: at_the_end(|row| row.refurbished),
                changed_right: at_the_end(|row| row.changed_right),
            });
        }
    }
    let mut tables = vec![];
    if !methods.is_empty() {
        tables.push(Table::from_rows("methods", &methods)?);
    }
    if !variants.is_empty() {
        tables.push(Table::from_rows("variants", &variants)?);
    }
    if !gates.is_empty() {
        tables.push(Table::from_rows("gates", &gates)?);
    }
    Ok(tables)
}

/// The run of a variant that is compared: the first, or the last of the code of 2020, which differs after a restart only.
fn compared_run<'a>(selfie: &Selfie, summary: &'a Summary) -> Option<&'a Run> {
    if selfie.noise_rate == NoiseRate::Lowered { summary.runs.last() } else { summary.runs.first() }
}

/// Points by which a variant errs more than the paper's SELFIE, in the same run.
fn above_paper(cells: &Cells, selfie: &Selfie, metric: Metric) -> Option<(f64, f64, f64)> {
    let error = |found: BySeed| read(&cells.judged(&PAIR, found), |s| metric.of(compared_run(selfie, s)?));
    let own = error(cells.selfie(|s, _| s == selfie));
    let paper = error(cells.arm(&PAIR, Arm::Selfie));
    with_interval(gaps(&own, &paper).into_values())
}

fn method_row(cells: &Cells, study: &str, noise: &Noise, level: f64, arm: Arm) -> Option<MethodRow> {
    let judged = |cells: &Cells, found: BySeed| if level > 0. { cells.judged(noise, found) } else { found };
    let all = cells.at(noise, level, arm);
    let found = judged(cells, all.clone());
    let default = judged(cells, cells.at(noise, level, Arm::Default));
    let first = |value: Column| mean(read(&found, |s| s.runs.first().and_then(|run| value(&run.last))).into_values());
    let error = |metric| mean(errors(&found, metric).into_values());
    let gain = |metric| mean(gaps(&errors(&default, metric), &errors(&found, metric)).into_values());
    Some(MethodRow {
        study: study.into(),
        noise: noise.name,
        noise_rate: level,
        method: arm.name(),
        seeds: found.len(),
        seeds_left_out: all.len() - found.len(),
        best_error: error(Metric::Best)?,
        last_error: error(Metric::Last)?,
        chosen_error: error(Metric::Chosen),
        gain_on_default_best: gain(Metric::Best),
        gain_on_default_last: gain(Metric::Last),
        used_at_the_end: first(|row| Some(row.used))?,
        used_labels_right: first(|row| row.used_right),
        given_labels_fitted: first(|row| row.train_accuracy),
        refurbished: first(|row| row.refurbished),
        refurbished_right: first(|row| row.refurbished_right),
        changed: first(|row| row.changed),
        changed_right: first(|row| row.changed_right),
        wrong_recovered: first(|row| row.wrong_recovered),
    })
}

/// The figures for which there are finished cells, by file stem.
pub fn figures(results: &Results<Song2019>) -> Result<Vec<(String, Figure)>, Error> {
    let reported = reported()?;
    let studies = studies(results)?;
    let mut figures = vec![];
    figures.extend(headline(&studies, &reported).map(|figure| ("headline".into(), figure)));
    for cells in &studies {
        let found = [
            ("rates", rates(cells, &reported)),
            ("precision", precision(cells)),
            ("used", used(cells)),
            ("epochs", epochs(cells)),
            ("variants", variants(cells)),
        ];
        for (name, figure) in found {
            figures.extend(figure.map(|figure| (format!("{name}-{}", cells.study.stem()), figure)));
        }
    }
    Ok(figures)
}

/// Mean and 95 % interval; the value alone of one seed.
fn with_interval(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64, f64)> {
    let values: Vec<f64> = values.into_iter().collect();
    match mean_t_interval(&values, 0.95) {
        Ok(i) => Some((i.estimate, i.low, i.high)),
        Err(_) => mean(values).map(|m| (m, m, m)),
    }
}

/// Data and their number.
fn data_in_words(cells: &Cells) -> String {
    let size = cells.arm(cells.study.noises()[0], Arm::Default).into_values().next();
    let size = size.map_or(String::new(), |cell| match cell.config.task.train {
        0 => String::new(),
        n => format!(", {n} training images"),
    });
    format!("{}{size}", cells.study.name())
}

/// `pair noise 0.4, 3 seeds`.
fn title(cells: &Cells, noise: &Noise) -> String {
    let seeds = cells.judged(noise, cells.arm(noise, Arm::Selfie)).len();
    let missed = if cells.passing(noise).len() < FEWEST_SEEDS { ", precondition missed" } else { "" };
    format!("{} noise {}, {seeds} seeds{missed}", noise.name, noise.level)
}

/// Under figures whose seeds are those of the verdicts.
const LEFT_OUT: &str =
    "Seeds that miss a precondition are left out, as in the verdicts; all are shown where too few hold it.";

/// Points that each method gains on Default under heavy noise, beside the paper's.
fn headline(studies: &[Cells], reported: &Reported) -> Option<Figure> {
    studies.first()?;
    let mut panels = vec![];
    for cells in studies {
        for noise in cells.study.noises() {
            let judged = |arm: Arm| cells.judged(noise, cells.arm(noise, arm));
            let arms: Vec<Arm> =
                Arm::ALL.into_iter().filter(|&arm| arm != Arm::Default && !judged(arm).is_empty()).collect();
            if arms.is_empty() {
                continue;
            }
            let gains = |metric: Metric| -> Vec<(f64, f64, f64)> {
                let gain = |arm: &Arm| {
                    let values = gaps(&errors(&judged(Arm::Default), metric), &errors(&judged(*arm), metric));
                    with_interval(values.into_values()).unwrap_or((f64::NAN, f64::NAN, f64::NAN))
                };
                arms.iter().map(gain).collect()
            };
            let theirs = cells.study.reported_errors(reported, noise);
            let at = |arm: Arm| theirs.method(arm.name()).at(noise.level).map(|n| n.value);
            let paper = arms.iter().enumerate().filter_map(|(i, &arm)| Some((at(Arm::Default)? - at(arm)?, i as f64)));
            panels.push(
                Panel::new()
                    .title(&format!("{}: {}", cells.study.name(), title(cells, noise)))
                    // Named by study, or it would be written under the last row only.
                    .x(Axis::linear(&format!("points of test error below Default, {}", cells.study.stem())))
                    .y(Axis::categories("", arms.iter().map(|arm| arm.name())))
                    .layer(Layer::vertical("", 0.))
                    .layer(Layer::forest("last epoch", gains(Metric::Last)).color(Color::VERMILLION))
                    .layer(Layer::forest("best epoch", gains(Metric::Best)).color(Color::BLUE))
                    .layer(Layer::paper(paper)),
            );
        }
    }
    Some(
        Figure::new("Which method makes training robust to 40 % wrong labels?")
            .subtitle("Bars are 95 % intervals of the paired difference; right of the line is better")
            .caption(&format!(
                "paper: best epoch on the full data with its own network, read from its figures. SelectOnly and RelabelAll \
                 are ours. ActiveBias has β 0.2 and Co-teaching a ramp T of 10 % of the epochs where nothing is said. \
                 {LEFT_OUT}"
            ))
            .panels(panels)
            .columns(2)
            .heights([170.]),
    )
}

/// Error against the noise rate, and the paired difference, which intervals of single methods do not show.
fn rates(cells: &Cells, reported: &Reported) -> Option<Figure> {
    let full = matches!(cells.study, Study::DenseNet(_) | Study::Vgg(_));
    let mut panels = vec![];
    for noise in [&PAIR, &SYMMETRIC] {
        let levels = cells.levels(&noise.kind, Arm::Selfie);
        if levels.len() < 3 {
            continue;
        }
        let errors_at = |level: f64, arm: Arm, metric: Metric| -> Values {
            errors(&cells.judged(noise, cells.at(noise, level, arm)), metric)
        };
        let at = |level: f64, values: Values| {
            with_interval(values.into_values()).map(|(y, low, high)| (level, y, low, high))
        };
        let theirs = cells.study.reported_errors(reported, noise);
        let rate = || Axis::linear(&format!("rate of {} noise", noise.name));
        for metric in [Metric::Best, Metric::Last] {
            let mut panel = Panel::new().title(metric.name()).x(rate()).y(Axis::linear("test error, %"));
            for arm in Arm::ALL {
                let points: Vec<_> =
                    levels.iter().filter_map(|&level| at(level, errors_at(level, arm, metric))).collect();
                // A single point is in the headline.
                if points.len() > 1 {
                    panel = panel.layer(Layer::band(arm.name(), points).color(color(arm)));
                }
            }
            if full && metric == Metric::Best {
                for arm in [Arm::Default, Arm::Selfie] {
                    panel = panel.layer(Layer::paper(theirs.method(arm.name()).points()));
                }
            }
            panels.push(panel);
        }
        for metric in [Metric::Best, Metric::Last] {
            let gap =
                |level: f64| gaps(&errors_at(level, Arm::Default, metric), &errors_at(level, Arm::Selfie, metric));
            let points: Vec<_> = levels.iter().filter_map(|&level| at(level, gap(level))).collect();
            let mut panel = Panel::new()
                .title(&format!("difference within a seed, {}", metric.name()))
                .x(rate())
                .y(Axis::linear("Default − SELFIE, points"))
                .layer(Layer::horizontal("", 0.))
                .layer(Layer::band("Default − SELFIE", points).color(Color::BLUE));
            if full && metric == Metric::Best {
                let (default, selfie) = (theirs.method(Arm::Default.name()), theirs.method(Arm::Selfie.name()));
                let paper = default.points().into_iter();
                panel = panel.layer(Layer::paper(paper.filter_map(|(x, y)| Some((x, y - selfie.at(x)?.value)))));
            }
            panels.push(panel);
        }
    }
    if panels.is_empty() {
        return None;
    }
    Some(
        Figure::new("Does SELFIE's advantage grow with the noise?")
            .subtitle(&format!("{}; bands are 95 % intervals", data_in_words(cells)))
            .caption(LEFT_OUT)
            .panels(panels)
            .columns(2)
            .share_y(Share::Line)
            .heights([250.]),
    )
}

/// A column of the first run's rows: mean and interval over seeds at each epoch.
fn curve(cells: &BySeed, value: impl Fn(&Epoch) -> Option<f64>) -> Vec<(f64, f64, f64, f64)> {
    let mut by_epoch: BTreeMap<usize, Vec<f64>> = Default::default();
    for row in cells.values().flat_map(|cell| &cell.rows).filter(|row| row.run == 1) {
        if let Some(value) = value(row) {
            by_epoch.entry(row.epoch).or_default().push(value);
        }
    }
    let points = by_epoch.into_iter().filter_map(|(epoch, values)| {
        let (y, low, high) = with_interval(values)?;
        Some((epoch as f64, y, low.max(0.), high.min(1.)))
    });
    points.collect()
}

fn warm_up(cells: &BySeed) -> f64 {
    cells.values().next().map_or(0., |cell| cell.config.warm_up as f64)
}

/// How right refurbished and changed labels are.
fn precision(cells: &Cells) -> Option<Figure> {
    let mut panels = vec![];
    for noise in cells.study.noises() {
        let judged = |arm: Arm| cells.judged(noise, cells.arm(noise, arm));
        let (selfie, all) = (judged(Arm::Selfie), judged(Arm::RelabelAll));
        if curve(&selfie, |row| row.refurbished_right).is_empty() {
            continue;
        }
        let start = warm_up(&selfie);
        let mut panel = Panel::new()
            .title(&title(cells, noise))
            .x(Axis::linear("epoch").whole())
            .y(Axis::linear("share").range(0., 1.))
            .layer(Layer::horizontal("given labels that are right, 1 − τ", 1. - noise.level))
            .layer(Layer::horizontal("one half, which changed labels must exceed", 0.5).color(Color::PURPLE));
        let own: [(&str, Color, Column); 3] = [
            ("refurbished labels that are right", Color::BLUE, |row| row.refurbished_right),
            ("changed labels that are right", Color::VERMILLION, |row| row.changed_right),
            ("wrong labels put right", Color::GREEN, |row| row.wrong_recovered),
        ];
        for (name, color, value) in own {
            panel = panel.layer(Layer::band(name, curve(&selfie, value)).color(color));
        }
        let mut others = curve(&all, |row| row.changed_right);
        others.retain(|(epoch, ..)| *epoch >= start);
        if !others.is_empty() {
            let name = "changed labels that are right, RelabelAll";
            panel = panel.layer(Layer::band(name, others).color(Color::BLACK).dash(Dash::Dotted).markers(false));
        }
        panels.push(panel);
    }
    if panels.is_empty() {
        return None;
    }
    Some(
        Figure::new("Are refurbished labels right?")
            .subtitle(&format!("{}, SELFIE's first run; bands are 95 % intervals", data_in_words(cells)))
            .caption(LEFT_OUT)
            .panels(panels)
            .columns(2)
            .share_y(Share::Line)
            .heights([300.]),
    )
}

/// How much of the batch is trained on.
fn used(cells: &Cells) -> Option<Figure> {
    let mut panels = vec![];
    for noise in cells.study.noises() {
        let selfie = cells.judged(noise, cells.arm(noise, Arm::Selfie));
        if selfie.is_empty() {
            continue;
        }
        let mut panel = Panel::new()
            .title(&title(cells, noise))
            .x(Axis::linear("epoch").whole())
            .y(Axis::linear("share").range(0., 1.))
            .layer(Layer::horizontal("1 − τ: small losses alone", 1. - noise.level));
        let columns: [(&str, Color, Column); 3] = [
            ("share of the batch trained on, |R ∪ C| / |M|", Color::BLUE, |row| Some(row.used)),
            ("true labels among those trained with", Color::GREEN, |row| row.used_right),
            ("share of all samples refurbished so far", Color::VERMILLION, |row| row.refurbished),
        ];
        for (name, color, value) in columns {
            panel = panel.layer(Layer::band(name, curve(&selfie, value)).color(color));
        }
        let v1 = cells.judged(
            noise,
            cells.by(&noise.kind, noise.level, |c| match &c.method {
                Method::Selfie(s) => s.reuse == Reuse::SmallLoss,
                _ => false,
            }),
        );
        let now = curve(&v1, |row| row.in_r.filter(|_| row.epoch as f64 > warm_up(&v1)));
        if !now.is_empty() {
            let name = "refurbishable at this moment, |R| / |M| under V1";
            panel = panel.layer(Layer::band(name, now).color(Color::BLACK));
        }
        panels.push(panel);
    }
    if panels.is_empty() {
        return None;
    }
    Some(
        Figure::new("Does SELFIE use more samples as training goes on?")
            .subtitle(&format!("{}, first run; bands are 95 % intervals", data_in_words(cells)))
            .caption(&format!("What was refurbished once stays so: only |R| under V1 can fall. {LEFT_OUT}"))
            .panels(panels)
            .columns(2)
            .share_y(Share::Line)
            .heights([300.]),
    )
}

/// Test error over all epochs of all runs: mean, lowest and highest of the seeds.
fn error_curve(cells: &BySeed) -> Vec<(f64, f64, f64, f64)> {
    let curves: Vec<Vec<f64>> =
        cells.values().map(|cell| cell.rows.iter().map(|row| 100. * row.test_error).collect()).collect();
    let length = curves.iter().map(Vec::len).min().unwrap_or(0);
    let at = |epoch: usize| {
        let errors = || curves.iter().map(|curve| curve[epoch]);
        let (low, high) = (errors().fold(f64::INFINITY, f64::min), errors().fold(f64::NEG_INFINITY, f64::max));
        Some((epoch as f64 + 1., mean(errors())?, low, high))
    };
    (0..length).filter_map(at).collect()
}

/// Error over epochs, restarts marked.
fn epochs(cells: &Cells) -> Option<Figure> {
    let (mut panels, mut restarted) = (vec![], false);
    for noise in cells.study.noises() {
        let judged = |arm: Arm| cells.judged(noise, cells.arm(noise, arm));
        let selfie = judged(Arm::Selfie);
        let Some(sample) = selfie.values().next() else { continue };
        let (runs, length) = (sample.summary.runs.len(), sample.config.epochs);
        restarted |= runs > 1;
        let runs_in_words = match runs {
            1 => "one run, no restart".to_string(),
            n => format!("{} restarts", n - 1),
        };
        let mut panel = Panel::new()
            .title(&format!("{}, {runs_in_words}", title(cells, noise)))
            .x(Axis::linear("epoch").whole())
            .y(Axis::linear("test error, %"));
        for run in 0..runs {
            let start = (run * length) as f64 + 0.5;
            if run > 0 {
                panel = panel.layer(Layer::vertical("restart", start));
            }
            let name = "end of the warm-up";
            panel = panel.layer(Layer::vertical(name, start + warm_up(&selfie)).dash(Dash::Dashed).color(Color::SKY));
        }
        let repeated =
            cells.judged(noise, cells.by(&noise.kind, noise.level, |c| c.method == Method::Default { runs }));
        for arm in Arm::ALL.into_iter().filter(|arm| arm.constants()[0] == *arm) {
            let (name, found) = match arm {
                Arm::Default if runs > 1 && !repeated.is_empty() => {
                    (format!("Default, {runs} fresh runs"), repeated.clone())
                }
                arm => (arm.name().to_string(), judged(arm)),
            };
            let points = error_curve(&found);
            if !points.is_empty() {
                panel = panel.layer(Layer::band(&name, points).color(color(arm)).dash(dash(arm)).markers(false));
            }
        }
        panels.push(panel);
    }
    if panels.is_empty() {
        return None;
    }
    Some(
        Figure::new(if restarted { "Do restarts help?" } else { "When does the error rise again?" })
            .subtitle(&format!("{}; means over seeds, bands from the lowest seed to the highest", data_in_words(cells)))
            .caption(LEFT_OUT)
            .panels(panels)
            .columns(1)
            .heights([260.]),
    )
}

/// Errors of SELFIE's variants: rules, versions of the code, misjudged noise rates.
fn variants(cells: &Cells) -> Option<Figure> {
    let found = cells.variants();
    let is_paper = |(s, standard): &&(Selfie, Selfie)| Selfie { restarts: 0, ..s.clone() } == *standard;
    let q = found.iter().find(is_paper)?.0.history;
    let others: Vec<&(Selfie, Selfie)> = found.iter().filter(|pair| !is_paper(pair)).collect();
    if others.is_empty() {
        return None;
    }
    let gain = |metric: Metric| -> Vec<(f64, f64, f64)> {
        let nothing = (f64::NAN, f64::NAN, f64::NAN);
        others.iter().map(|(selfie, _)| above_paper(cells, selfie, metric).unwrap_or(nothing)).collect()
    };
    let panel = Panel::new()
        .x(Axis::linear("points of test error above the paper's rule"))
        .y(Axis::categories("", others.iter().map(|(s, standard)| in_words(s, standard))))
        .layer(Layer::vertical("", 0.))
        .layer(Layer::forest("last epoch", gain(Metric::Last)).color(Color::VERMILLION))
        .layer(Layer::forest("best epoch", gain(Metric::Best)).color(Color::BLUE));
    Some(
        Figure::new("Do the rule and the version of SELFIE matter?")
            .subtitle(&format!("{}, {}; bars are 95 % intervals", data_in_words(cells), title(cells, &PAIR)))
            .caption(&format!(
                "The paper's rule here: all of q = {q} predictions agree. First runs are compared, third runs where it says \
                 so. tau is 0.4; \"told tau\" rows are told 0.5 or 0.3. {LEFT_OUT}"
            ))
            .panel(panel)
            .heights([34. * others.len() as f64 + 40.]),
    )
}
