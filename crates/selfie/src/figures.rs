//! Tables and figures, from finished cells alone.

use retrial_core::chart::{Axis, Color, Dash, Figure, Layer, Panel, Share};
use retrial_core::noise::NoiseKind;
use retrial_core::results::{Error, Reported, Results, Table};
use retrial_core::stats::mean_t_interval;
use serde::Serialize;

use crate::claims::reported;
use crate::config::{Method, NoiseRate, Normaliser, Padding, Reuse, Selfie};
use crate::experiments::HEAVY;
use crate::history::{Rule, rule};
use crate::paper::Song2019;
use crate::readings::{Arm, BySeed, Cells, Gates, Metric, Study, errors, gaps, mean, read};
use crate::train::{Epoch, Summary};

const NOISES: [(&str, NoiseKind); 2] = [("pair", NoiseKind::Pair), ("symmetric", NoiseKind::Symmetric)];

/// One method under one noise; a row of `methods.csv`. Errors in per cent, shares in [0, 1], means over seeds.
#[derive(Serialize)]
struct MethodRow {
    study: String,
    noise: &'static str,
    noise_rate: f64,
    method: &'static str,
    seeds: usize,
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

/// A variant of SELFIE under heavy pair noise; a row of `variants.csv`.
#[derive(Serialize)]
struct VariantRow {
    study: String,
    variant: String,
    seeds: usize,
    best_error: f64,
    last_error: f64,
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
        Arm::ActiveBias => Color::GREEN,
        Arm::CoTeaching => Color::BLUE,
        Arm::SelectOnly => Color::PURPLE,
        Arm::RelabelAll => Color::ORANGE,
        Arm::Selfie => Color::VERMILLION,
    }
}

fn studies(results: &Results<Song2019>) -> Vec<Cells> {
    let all = Study::all(results.profile).into_iter().map(|study| Cells::of(results, study));
    all.filter(|cells| !cells.is_empty()).collect()
}

/// Everything that the figures and verdicts rest on, as numbers.
pub fn tables(results: &Results<Song2019>) -> Result<Vec<Table>, Error> {
    let (mut methods, mut variants, mut gates) = (vec![], vec![], vec![]);
    for cells in studies(results) {
        let study = cells.study.name();
        for (noise, kind) in NOISES {
            for (seed, found) in Gates::by_seed(&cells, &kind) {
                gates.push(GateRow {
                    study: study.clone(),
                    noise,
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
                for level in cells.levels(&kind, arm) {
                    if level == 0. && noise == "symmetric" {
                        continue;
                    }
                    methods.extend(method_row(&cells, &study, (noise, &kind), level, arm));
                }
            }
        }
        for (selfie, paper) in cells.variants(&NoiseKind::Pair, HEAVY) {
            let found = cells.by(&NoiseKind::Pair, HEAVY, |c| c.method == Method::Selfie(selfie.clone()));
            // The code of 2020 differs after a restart only.
            let late = selfie.noise_rate == NoiseRate::Lowered;
            let run = |s: &Summary| if late { s.runs.last() } else { s.runs.first() }.cloned();
            let first = |value: fn(&Epoch) -> Option<f64>| {
                mean(read(&found, |s| run(s).and_then(|run| value(&run.last))).into_values())
            };
            let error = |metric: Metric| mean(read(&found, |s| metric.of(&run(s)?)).into_values()).unwrap_or(f64::NAN);
            variants.push(VariantRow {
                study: study.clone(),
                variant: in_words(&selfie, &paper),
                seeds: found.len(),
                best_error: error(Metric::Best),
                last_error: error(Metric::Last),
                refurbished: first(|row| row.refurbished),
                changed_right: first(|row| row.changed_right),
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

fn method_row(
    cells: &Cells,
    study: &str,
    (noise, kind): (&'static str, &NoiseKind),
    level: f64,
    arm: Arm,
) -> Option<MethodRow> {
    let found = cells.arm(kind, level, arm);
    let default = cells.arm(kind, level, Arm::Default);
    let first = |value: fn(&Epoch) -> Option<f64>| {
        mean(read(&found, |s| s.runs.first().and_then(|run| value(&run.last))).into_values())
    };
    let error = |metric| mean(errors(&found, metric).into_values());
    let gain = |metric| mean(gaps(&errors(&default, metric), &errors(&found, metric)));
    Some(MethodRow {
        study: study.into(),
        noise,
        noise_rate: level,
        method: arm.name(),
        seeds: found.len(),
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

/// How a variant differs from the paper's SELFIE.
fn in_words(s: &Selfie, paper: &Selfie) -> String {
    let mut parts = vec![];
    if s.epsilon != paper.epsilon {
        let dissenters = |n: usize| match n {
            0 => "unanimity".to_string(),
            1 => "one dissenter".into(),
            n => format!("{n} dissenters"),
        };
        parts.push(match rule(10, s.history, s.epsilon) {
            Some(Rule { dissenters: d, together }) if d == together => dissenters(d),
            Some(Rule { dissenters: d, together }) => format!("{}, or {together} that agree", dissenters(d)),
            None => "nothing refurbished".into(),
        });
    }
    if s.history != paper.history {
        parts.push(format!("q = {}", s.history));
    }
    if s.reuse == Reuse::SmallLoss {
        parts.push("re-use only in C (V1)".into());
    }
    if s.noise_rate == NoiseRate::Lowered {
        parts.push("code of 2020, third run".into());
    }
    if s.normaliser == Normaliser::Batch {
        parts.push("divided by |M|".into());
    }
    if s.padding == Padding::ClassZero {
        parts.push("padded with class 0".into());
    }
    if s.misjudged != 0. {
        parts.push(format!("told tau {:+}", s.misjudged));
    }
    if parts.is_empty() { format!("paper (unanimity, q = {})", s.history) } else { parts.join(", ") }
}

/// The figures for which there are finished cells, by file stem.
pub fn figures(results: &Results<Song2019>) -> Result<Vec<(String, Figure)>, Error> {
    let reported = reported()?;
    let studies = studies(results);
    let mut figures = vec![];
    if let Some(figure) = headline(&studies, &reported) {
        figures.push(("headline".into(), figure));
    }
    for cells in &studies {
        let stem = |name: &str| format!("{name}-{}", cells.study.stem());
        if let Some(figure) = rates(cells, &reported) {
            figures.push((stem("rates"), figure));
        }
        if let Some(figure) = precision(cells)? {
            figures.push((stem("precision"), figure));
        }
        if let Some(figure) = used(cells)? {
            figures.push((stem("used"), figure));
        }
        if let Some(figure) = epochs(cells)? {
            figures.push((stem("epochs"), figure));
        }
        if let Some(figure) = variants(cells) {
            figures.push((stem("variants"), figure));
        }
    }
    Ok(figures)
}

/// Mean and 95 % interval; the value alone of one seed.
fn with_interval(values: &[f64]) -> Option<(f64, f64, f64)> {
    match mean_t_interval(values, 0.95) {
        Ok(i) => Some((i.estimate, i.low, i.high)),
        Err(_) => mean(values.iter().copied()).map(|m| (m, m, m)),
    }
}

fn seeds_in_words(cells: &Cells) -> String {
    let seeds = cells.arm(&NoiseKind::Pair, HEAVY, Arm::Default).len();
    let size = cells.arm(&NoiseKind::Pair, HEAVY, Arm::Default).into_values().next();
    let size = size.map_or(String::new(), |cell| match cell.config.task.train {
        0 => String::new(),
        n => format!(", {n} training images"),
    });
    format!("{}{size}, {seeds} seeds", cells.study.name())
}

/// Points that each method gains on Default under heavy noise, beside the paper's.
fn headline(studies: &[Cells], reported: &Reported) -> Option<Figure> {
    let arms: Vec<Arm> = Arm::ALL.into_iter().filter(|arm| *arm != Arm::Default).collect();
    let mut panels = vec![];
    for cells in studies {
        for (noise, kind) in NOISES {
            let passing = Gates::passing(&Gates::by_seed(cells, &kind));
            let open = passing.len() >= 2;
            let gains = |metric: Metric| -> Vec<(f64, f64, f64)> {
                let mut default = errors(&cells.arm(&kind, HEAVY, Arm::Default), metric);
                // What misses a precondition is shown only where nothing else is there.
                if open {
                    default.retain(|seed, _| passing.contains(seed));
                }
                let gain = |arm: &Arm| {
                    let values = gaps(&default, &errors(&cells.arm(&kind, HEAVY, *arm), metric));
                    with_interval(&values).unwrap_or((f64::NAN, f64::NAN, f64::NAN))
                };
                arms.iter().map(gain).collect()
            };
            let (set, model) = cells.study.reported();
            let theirs = reported.item("").condition(noise).filter(|n| n.dataset == set && n.model == model);
            let at = |arm: Arm| theirs.method(arm.name()).at(HEAVY).map(|n| n.value);
            let paper = arms.iter().enumerate().filter_map(|(i, &arm)| Some((at(Arm::Default)? - at(arm)?, i as f64)));
            panels.push(
                Panel::new()
                    .title(&format!(
                        "{}, {noise} noise 0.4, {}",
                        cells.study.name(),
                        if open { format!("{} seeds", passing.len()) } else { "precondition missed".into() }
                    ))
                    .x(Axis::linear("points of test error below Default"))
                    .y(Axis::categories("", arms.iter().map(|arm| arm.name())))
                    .layer(Layer::vertical("", 0.))
                    .layer(Layer::forest("last epoch", gains(Metric::Last)).color(Color::VERMILLION))
                    .layer(Layer::forest("best epoch", gains(Metric::Best)).color(Color::BLUE))
                    .layer(Layer::paper(paper)),
            );
        }
    }
    studies.first()?;
    Some(
        Figure::new("Which method makes training robust to 40 % wrong labels?")
            .subtitle("Bars are 95 % intervals of the paired difference; right of the line is better")
            .caption(
                "paper: best epoch on the full data with its own network, read from its figures. SelectOnly and RelabelAll are ours. \
                 Seeds that miss a precondition are left out.",
            )
            .panels(panels)
            .columns(2)
            .heights([150.]),
    )
}

/// Error against the noise rate.
fn rates(cells: &Cells, reported: &Reported) -> Option<Figure> {
    let pair = NoiseKind::Pair;
    if cells.levels(&pair, Arm::Selfie).len() < 2 {
        return None;
    }
    let full = matches!(cells.study, Study::DenseNet(_) | Study::Vgg(_));
    let panels = [Metric::Best, Metric::Last].map(|metric| {
        let mut panel =
            Panel::new().title(metric.name()).x(Axis::linear("rate of pair noise")).y(Axis::linear("test error, %"));
        for arm in Arm::ALL {
            let points: Vec<_> = cells
                .levels(&pair, arm)
                .into_iter()
                .filter_map(|level| {
                    let values: Vec<f64> = errors(&cells.arm(&pair, level, arm), metric).into_values().collect();
                    with_interval(&values).map(|(y, low, high)| (level, y, low, high))
                })
                .collect();
            // A single point is in the headline.
            if points.len() > 1 {
                panel = panel.layer(Layer::band(arm.name(), points).color(color(arm)));
            }
        }
        if full && metric == Metric::Best {
            let (set, model) = cells.study.reported();
            let theirs = reported.condition("pair").filter(|n| n.dataset == set && n.model == model);
            for arm in [Arm::Default, Arm::Selfie] {
                panel = panel.layer(Layer::paper(theirs.method(arm.name()).points()));
            }
        }
        panel
    });
    Some(
        Figure::new("Does SELFIE's advantage grow with the noise?")
            .subtitle(&format!("{}; bands are 95 % intervals", seeds_in_words(cells)))
            .panels(panels)
            .columns(2)
            .share_y(Share::Line)
            .heights([300.]),
    )
}

/// A column of the first run's rows: mean and interval over seeds at each epoch from the warm-up on.
fn curve(cells: &BySeed, value: impl Fn(&Epoch) -> Option<f64>) -> Result<Vec<(f64, f64, f64, f64)>, Error> {
    let mut by_epoch: std::collections::BTreeMap<usize, Vec<f64>> = Default::default();
    for cell in cells.values() {
        for row in cell.epochs::<Epoch>()?.iter().filter(|row| row.run == 1) {
            if let Some(value) = value(row) {
                by_epoch.entry(row.epoch).or_default().push(value);
            }
        }
    }
    Ok(by_epoch
        .into_iter()
        .filter_map(|(epoch, values)| {
            let (y, low, high) = with_interval(&values)?;
            Some((epoch as f64, y, low.max(0.), high.min(1.)))
        })
        .collect())
}

fn warm_up(cells: &BySeed) -> f64 {
    cells.values().next().map_or(0., |cell| cell.config.warm_up as f64)
}

/// How right refurbished and changed labels are.
fn precision(cells: &Cells) -> Result<Option<Figure>, Error> {
    let mut panels = vec![];
    for (noise, kind) in NOISES {
        let (selfie, all) = (cells.arm(&kind, HEAVY, Arm::Selfie), cells.arm(&kind, HEAVY, Arm::RelabelAll));
        if selfie.is_empty() {
            continue;
        }
        let start = warm_up(&selfie);
        let mut panel = Panel::new()
            .title(&format!("{noise} noise 0.4"))
            .x(Axis::linear("epoch").whole())
            .y(Axis::linear("share").range(0., 1.))
            .layer(Layer::horizontal("given labels that are right", 1. - HEAVY))
            .layer(
                Layer::band("refurbished labels that are right", curve(&selfie, |row| row.refurbished_right)?)
                    .color(Color::BLUE),
            )
            .layer(
                Layer::band("changed labels that are right", curve(&selfie, |row| row.changed_right)?)
                    .color(Color::VERMILLION),
            )
            .layer(
                Layer::band("wrong labels put right", curve(&selfie, |row| row.wrong_recovered)?).color(Color::GREEN),
            );
        let others: Vec<(f64, f64)> = curve(&all, |row| row.changed_right)?
            .into_iter()
            .filter(|(epoch, ..)| *epoch >= start)
            .map(|(x, y, ..)| (x, y))
            .collect();
        if !others.is_empty() {
            let name = "changed labels that are right, RelabelAll";
            panel = panel.layer(Layer::line(name, others).color(Color::BLACK).dash(Dash::Dotted).markers(false));
        }
        panels.push(panel);
    }
    if panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        Figure::new("Are refurbished labels right?")
            .subtitle(&format!("{}, SELFIE's first run; bands are 95 % intervals", seeds_in_words(cells)))
            .panels(panels)
            .columns(2)
            .share_y(Share::Line)
            .heights([300.]),
    ))
}

/// How much of the batch is trained on.
fn used(cells: &Cells) -> Result<Option<Figure>, Error> {
    let mut panels = vec![];
    for (noise, kind) in NOISES {
        let selfie = cells.arm(&kind, HEAVY, Arm::Selfie);
        if selfie.is_empty() {
            continue;
        }
        panels.push(
            Panel::new()
                .title(&format!("{noise} noise 0.4"))
                .x(Axis::linear("epoch").whole())
                .y(Axis::linear("share").range(0., 1.))
                .layer(Layer::horizontal("1 − τ: small losses alone", 1. - HEAVY))
                .layer(
                    Layer::band("share of the batch trained on, |R ∪ C| / |M|", curve(&selfie, |row| Some(row.used))?)
                        .color(Color::BLUE),
                )
                .layer(
                    Layer::band("true labels among those trained with", curve(&selfie, |row| row.used_right)?)
                        .color(Color::GREEN),
                )
                .layer(
                    Layer::band("share of all samples refurbished so far", curve(&selfie, |row| row.refurbished)?)
                        .color(Color::VERMILLION),
                ),
        );
    }
    if panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        Figure::new("Does SELFIE use more samples as training goes on?")
            .subtitle(&format!("{}, first run; bands are 95 % intervals", seeds_in_words(cells)))
            .panels(panels)
            .columns(2)
            .share_y(Share::Line)
            .heights([300.]),
    ))
}

/// Mean test error over all epochs of all runs.
fn error_curve(cells: &BySeed) -> Result<Vec<(f64, f64)>, Error> {
    let mut curves: Vec<Vec<f64>> = vec![];
    for cell in cells.values() {
        curves.push(cell.epochs::<Epoch>()?.iter().map(|row| 100. * row.test_error).collect());
    }
    let length = curves.iter().map(Vec::len).min().unwrap_or(0);
    Ok((0..length).filter_map(|e| Some((e as f64 + 1., mean(curves.iter().map(|curve| curve[e]))?))).collect())
}

/// Error over epochs, restarts marked.
fn epochs(cells: &Cells) -> Result<Option<Figure>, Error> {
    let (mut panels, mut restarted) = (vec![], false);
    for (noise, kind) in NOISES {
        let selfie = cells.arm(&kind, HEAVY, Arm::Selfie);
        let Some(sample) = selfie.values().next() else { continue };
        let (runs, length) = (sample.summary.runs.len(), sample.config.epochs);
        restarted |= runs > 1;
        let title = if runs > 1 { format!("{noise} noise 0.4, two restarts") } else { format!("{noise} noise 0.4") };
        let mut panel = Panel::new().title(&title).x(Axis::linear("epoch").whole()).y(Axis::linear("test error, %"));
        for run in 1..runs {
            panel = panel.layer(Layer::vertical("restart", (run * length) as f64 + 0.5));
        }
        let mut arms = Arm::ALL.map(|arm| (arm, cells.arm(&kind, HEAVY, arm)));
        if runs > 1 {
            let repeated = cells.by(&kind, HEAVY, |c| c.method == Method::Default { runs });
            if !repeated.is_empty() {
                arms[0].1 = repeated;
            }
        }
        for (arm, found) in arms {
            let points = error_curve(&found)?;
            if !points.is_empty() {
                panel = panel.layer(Layer::line(arm.name(), points).color(color(arm)).markers(false));
            }
        }
        panels.push(panel);
    }
    if panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        Figure::new(if restarted { "Do restarts help?" } else { "When does the error rise again?" })
            .subtitle(&format!("{}; means over seeds", seeds_in_words(cells)))
            .panels(panels)
            .columns(1)
            .heights([260.]),
    ))
}

/// Errors of SELFIE's variants: rules, versions of the code, misjudged noise rates.
fn variants(cells: &Cells) -> Option<Figure> {
    let found = cells.variants(&NoiseKind::Pair, HEAVY);
    if found.len() < 2 {
        return None;
    }
    // The code of 2020 differs after a restart only: its last run is read, beside the paper's last run.
    let error = |selfie: &Selfie, late: bool, metric: Metric| {
        let cells = cells.by(&NoiseKind::Pair, HEAVY, |c| c.method == Method::Selfie(selfie.clone()));
        read(&cells, |s| metric.of(if late { s.runs.last() } else { s.runs.first() }?))
    };
    let paper = found.iter().find(|(s, standard)| Selfie { restarts: 0, ..s.clone() } == *standard)?.0.clone();
    let others: Vec<&(Selfie, Selfie)> = found.iter().filter(|(s, _)| *s != paper).collect();
    let gain = |metric: Metric| -> Vec<(f64, f64, f64)> {
        let gap = |(s, _): &&(Selfie, Selfie)| {
            let late = s.noise_rate == NoiseRate::Lowered;
            let found = gaps(&error(s, late, metric), &error(&paper, late, metric));
            with_interval(&found).unwrap_or((f64::NAN, f64::NAN, f64::NAN))
        };
        others.iter().map(gap).collect()
    };
    let panel = Panel::new()
        .x(Axis::linear("points of test error above the paper's rule"))
        .y(Axis::categories("", others.iter().map(|(s, standard)| in_words(s, standard))))
        .layer(Layer::vertical("", 0.))
        .layer(Layer::forest("last epoch", gain(Metric::Last)).color(Color::VERMILLION))
        .layer(Layer::forest("best epoch", gain(Metric::Best)).color(Color::BLUE));
    Some(
        Figure::new("Do the rule and the version of SELFIE matter?")
            .subtitle(&format!("{}, pair noise 0.4, first run; bars are 95 % intervals", seeds_in_words(cells)))
            .caption(&format!(
                "The paper's rule here: all of q = {} predictions agree. tau is 0.4; \"told tau\" rows are told 0.5 or 0.3.",
                paper.history
            ))
            .panel(panel)
            .heights([34. * others.len() as f64 + 40.]),
    )
}
