//! Tables and figures, drawn from finished runs alone.

use retrial_core::chart::{Axis, Color, Figure, Layer, Panel, Share};
use retrial_core::results::{Error, Results, Table};
use retrial_core::stats::mean_t_interval;
use serde::Serialize;

use crate::claims::{reported, reported_accuracy};
use crate::paper::LossCorrection;
use crate::readings::Runs;
use crate::train::{Bin, Calibration, Epoch};

/// Methods in the order of tables, with their colours in every figure.
const METHODS: [(&str, Color); 5] = [
    ("CE", Color::BLACK),
    ("DY-H", Color::GREEN),
    ("M", Color::ORANGE),
    ("M-DYR-H", Color::BLUE),
    ("MD-DYR-SH", Color::VERMILLION),
];

fn digits(results: &Results<LossCorrection>) -> Runs {
    Runs::of(results, |name| name != "photos")
}

fn photos(results: &Results<LossCorrection>) -> Runs {
    Runs::of(results, |name| name == "photos")
}

#[derive(Serialize)]
struct AccuracyRow {
    data: &'static str,
    method: String,
    level: f64,
    wrong_labels: f64,
    seeds: usize,
    best: f64,
    last: f64,
    mean_of_last_5: f64,
    last_low: Option<f64>,
    last_high: Option<f64>,
    given_labels_fitted: f64,
    largest_class: f64,
    auc_high_rate: Option<f64>,
    auc_warm_up: Option<f64>,
    noisy_share: Option<f64>,
    fits_with_warnings: f64,
    paper_best: Option<f64>,
    paper_last: Option<f64>,
}

/// `accuracies`: every method at every level, means over seeds, beside the paper's CIFAR-10 numbers.
pub fn tables(results: &Results<LossCorrection>) -> Result<Vec<Table>, Error> {
    let reported = reported()?;
    let mut rows = vec![];
    for (data, runs) in [("digits", digits(results)), ("photos", photos(results))] {
        let mut names: Vec<String> =
            results.experiments.iter().flat_map(|e| e.finished.iter().map(|c| c.config.method.name())).collect();
        names.sort();
        names.dedup();
        for method in names {
            for level in runs.levels(&method) {
                let of = |value: &dyn Fn(&crate::train::Summary) -> f64| {
                    let values = runs.values(&method, level, value);
                    values.iter().sum::<f64>() / values.len() as f64
                };
                let some = |x: f64| x.is_finite().then_some(x);
                let interval = runs.interval(&method, level, |s| s.last);
                let printed = match method.as_str() {
                    "M" => "Zhang2018-mixup",
                    "ST-H" => "Reed2015-static-bootstrapping",
                    other => other,
                };
                let paper = reported_accuracy(&reported, printed, level);
                rows.push(AccuracyRow {
                    data,
                    level,
                    wrong_labels: of(&|s| s.realised),
                    seeds: runs.cells(&method, level).len(),
                    best: of(&|s| s.best),
                    last: of(&|s| s.last),
                    mean_of_last_5: of(&|s| s.mean_of_last),
                    last_low: interval.as_ref().map(|i| i.low),
                    last_high: interval.as_ref().map(|i| i.high),
                    given_labels_fitted: of(&|s| s.given_accuracy),
                    largest_class: of(&|s| s.largest_class),
                    auc_high_rate: some(of(&|s| s.auc_high.unwrap_or(f64::NAN))),
                    auc_warm_up: some(of(&|s| s.auc_warm_up.unwrap_or(f64::NAN))),
                    noisy_share: some(of(&|s| s.noisy_share.unwrap_or(f64::NAN))),
                    fits_with_warnings: of(&|s| s.warnings as f64),
                    paper_best: paper.map(|p| p.0 / 100.),
                    paper_last: paper.map(|p| p.1 / 100.),
                    method: method.clone(),
                });
            }
        }
    }
    Ok(vec![Table::from_rows("accuracies", &rows)?])
}

/// Every figure that the finished runs allow.
pub fn figures(results: &Results<LossCorrection>) -> Result<Vec<(String, Figure)>, Error> {
    let runs = digits(results);
    let mut figures = vec![];
    let mut add = |name: &str, figure: Option<Figure>| {
        if let Some(figure) = figure {
            figures.push((name.to_string(), figure));
        }
    };
    add("losses", losses(&runs)?);
    add("mixtures", mixtures(&runs)?);
    add("auc", auc(&runs)?);
    add("accuracy", accuracy(&runs)?);
    add("accuracy-photos", accuracy(&photos(results))?);
    add("levels", levels(&runs)?);
    add("controls", controls(&runs));
    add("calibration", calibration(&runs)?);
    Ok(figures)
}

/// From this many seeds on a band is an interval: that of two is wider than any figure.
const SEEDS_OF_AN_INTERVAL: usize = 3;

/// Mean over seeds of a column, epoch by epoch, with its 95 % interval, or the range of fewer seeds.
fn curve(
    runs: &Runs,
    method: &str,
    level: f64,
    value: impl Fn(&Epoch) -> Option<f64>,
) -> Result<Vec<(f64, f64, f64, f64)>, Error> {
    let mut by_epoch: Vec<Vec<f64>> = vec![];
    for cell in runs.cells(method, level) {
        for (i, row) in cell.epochs::<Epoch>()?.iter().enumerate() {
            by_epoch.resize(by_epoch.len().max(i + 1), vec![]);
            by_epoch[i].extend(value(row));
        }
    }
    let point = |(i, values): (usize, &Vec<f64>)| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let range = || (values.iter().copied().fold(mean, f64::min), values.iter().copied().fold(mean, f64::max));
        let interval = mean_t_interval(values, 0.95).ok().filter(|_| values.len() >= SEEDS_OF_AN_INTERVAL);
        let (low, high) = interval.map_or_else(range, |ci| (ci.low, ci.high));
        ((i + 1) as f64, mean, low, high)
    };
    Ok(by_epoch.iter().enumerate().filter(|(_, values)| !values.is_empty()).map(point).collect())
}

/// Figure 1 of the paper: losses of right and wrong labels over epochs.
fn losses(runs: &Runs) -> Result<Option<Figure>, Error> {
    let mut figure = Figure::new("Does the loss tell wrong labels, and for how long?")
        .subtitle(&format!("80 % noise; median loss, band from quartile to quartile, mean over seeds. {}", runs.scope))
        .columns(2)
        .share_y(Share::All);
    let mut found = false;
    for (method, title) in [("CE", "plain cross-entropy"), ("M-DYR-H", "mixup, bootstrapping, regulariser (M-DYR-H)")] {
        let mut panel =
            Panel::new().title(title).x(Axis::linear("epoch").whole()).y(Axis::linear("cross-entropy (nats)").from(0.));
        type Quartile = fn(&Epoch) -> Option<f64>;
        let groups: [(&str, Color, [Quartile; 3]); 2] = [
            ("right labels", Color::BLUE, [|r| Some(r.right_median), |r| Some(r.right_q25), |r| Some(r.right_q75)]),
            ("wrong labels", Color::VERMILLION, [|r| r.wrong_median, |r| r.wrong_q25, |r| r.wrong_q75]),
        ];
        for (name, color, [median, low, high]) in groups {
            let (median, low, high) =
                (curve(runs, method, 0.8, median)?, curve(runs, method, 0.8, low)?, curve(runs, method, 0.8, high)?);
            found |= !median.is_empty();
            let band = median.iter().zip(&low).zip(&high).map(|((m, l), h)| (m.0, m.1, l.1, h.1));
            panel = panel.layer(Layer::band(name, band).color(color));
        }
        figure = figure.panel(panel);
    }
    Ok(found.then_some(figure))
}

/// Figure 2: the histogram of losses with both mixtures, at several epochs, under plain training and under the method.
fn mixtures(runs: &Runs) -> Result<Option<Figure>, Error> {
    let mut panels = vec![];
    for method in ["CE", "M-DYR-H"] {
        let Some(cell) = runs.cells(method, 0.5).first().copied() else { continue };
        let bins: Vec<Bin> = cell.table("histogram")?;
        let mut epochs: Vec<usize> = bins.iter().map(|b| b.epoch).collect();
        epochs.dedup();
        let phases = cell.config.phases;
        panels.extend(epochs.into_iter().map(|epoch| {
            let own = || bins.iter().filter(move |b| b.epoch == epoch);
            let when = match epoch {
                e if e == phases.high => "high rate",
                e if e + 1 == phases.correct => "end of the warm-up",
                _ => "end",
            };
            // Steps: a histogram that the densities can be held against.
            let steps = |value: fn(&Bin) -> f64| {
                let half = 0.5 / own().count() as f64;
                own().flat_map(|b| [(b.x - half, value(b)), (b.x + half, value(b))]).collect::<Vec<_>>()
            };
            let line =
                |value: fn(&Bin) -> Option<f64>| own().filter_map(|b| Some((b.x, value(b)?))).collect::<Vec<_>>();
            Panel::new()
                .title(&format!("{method}, epoch {epoch}, {when}"))
                .x(Axis::linear("normalised loss"))
                .y(Axis::linear("density").range(0., 8.))
                .layer(Layer::area("right labels", steps(|b| b.right)).color(Color::SKY))
                .layer(Layer::area("wrong labels", steps(|b| b.wrong)).color(Color::ORANGE))
                .layer(Layer::line("beta mixture", line(|b| b.beta)).color(Color::BLUE).markers(false))
                .layer(Layer::line("Gaussian mixture", line(|b| b.gaussian)).color(Color::VERMILLION).markers(false))
        }));
    }
    let any = !panels.is_empty();
    let figure = Figure::new("Which mixture fits the losses?")
        .subtitle(&format!("50 % noise, seed 0; groups stacked, bars may go on above. {}", runs.scope))
        .panels(panels)
        .columns(3)
        .share_y(Share::All);
    Ok(any.then_some(figure))
}

/// How well the loss finds wrong labels, over epochs.
fn auc(runs: &Runs) -> Result<Option<Figure>, Error> {
    over_epochs(
        runs,
        "How well does the loss find wrong labels?",
        "AUC of the loss for \"the label is wrong\"",
        &[0.5, 0.8],
        |row| row.auc,
    )
}

/// Test accuracy over epochs.
fn accuracy(runs: &Runs) -> Result<Option<Figure>, Error> {
    over_epochs(runs, "Who keeps what was learnt?", "accuracy on clean test images", &[0.5, 0.8, 0.9], |row| {
        Some(row.test_accuracy)
    })
}

fn over_epochs(
    runs: &Runs,
    title: &str,
    label: &str,
    levels: &[f64],
    value: fn(&Epoch) -> Option<f64>,
) -> Result<Option<Figure>, Error> {
    let (mut panels, mut seeds) = (vec![], 0);
    for &level in levels {
        let mut panel = Panel::new()
            .title(&format!("{} % noise", 100. * level))
            .x(Axis::linear("epoch").whole())
            .y(Axis::linear(label));
        let mut any = false;
        for (method, color) in METHODS {
            seeds = seeds.max(runs.cells(method, level).len());
            let points = curve(runs, method, level, value)?;
            if let Some(cell) = runs.cells(method, level).first().filter(|_| !any) {
                panel = panel.layer(Layer::vertical("correction begins", cell.config.phases.correct as f64));
            }
            if !points.is_empty() {
                any = true;
                panel = panel.layer(Layer::band(method, points).color(color).markers(false));
            }
        }
        if any {
            panels.push(panel);
        }
    }
    let any = !panels.is_empty();
    let columns = panels.len().max(1);
    let band = if seeds < SEEDS_OF_AN_INTERVAL { "range" } else { "95 % interval" };
    let figure = Figure::new(title)
        .subtitle(&format!("Mean and {band} over seeds. {}", runs.scope))
        .panels(panels)
        .columns(columns)
        .share_y(Share::All);
    Ok(any.then_some(figure))
}

/// Table 4 as a picture: best and last accuracy over noise levels.
fn levels(runs: &Runs) -> Result<Option<Figure>, Error> {
    let reported = reported()?;
    let methods = [("CE", ""), ("M", "Zhang2018-mixup"), ("M-DYR-H", "M-DYR-H"), ("MD-DYR-SH", "MD-DYR-SH")];
    let panels = methods.into_iter().filter(|(method, _)| !runs.levels(method).is_empty()).map(|(method, printed)| {
        let line = |value: fn(&crate::train::Summary) -> f64| {
            let point = |level: f64| {
                let values = runs.values(method, level, value);
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let (low, high) = mean_t_interval(&values, 0.95).map_or((mean, mean), |ci| (ci.low, ci.high));
                (100. * level, mean, low, high)
            };
            runs.levels(method).into_iter().map(point).collect::<Vec<_>>()
        };
        let paper = |last: bool| {
            let point = |level: f64| {
                let (best, end) = reported_accuracy(&reported, printed, level)?;
                Some((100. * level, if last { end / 100. } else { best / 100. }))
            };
            [0., 0.2, 0.5, 0.8, 0.9].into_iter().filter_map(point).collect::<Vec<_>>()
        };
        Panel::new()
            .title(method)
            .x(Axis::linear("labels drawn anew (%)"))
            .y(Axis::linear("test accuracy").range(0., 1.))
            .layer(Layer::band("best epoch", line(|s| s.best)).color(Color::SKY))
            .layer(Layer::band("last epoch", line(|s| s.last)).color(Color::BLUE))
            .layer(Layer::paper(paper(false)).like("best epoch"))
            .layer(Layer::paper(paper(true)).like("last epoch"))
    });
    let panels: Vec<Panel> = panels.collect();
    let any = !panels.is_empty();
    let figure = Figure::new("How much noise does each method bear?")
        .subtitle(&format!("Mean and 95 % interval over seeds. {}", runs.scope))
        .caption("Paper: CIFAR-10, PreAct ResNet-18, 300 epochs, one run; only order and shape can be compared.")
        .panels(panels)
        .columns(4)
        .share_x(Share::All)
        .share_y(Share::All);
    Ok(any.then_some(figure))
}

/// What helps, at 80 % noise.
fn controls(runs: &Runs) -> Option<Figure> {
    let rows = [
        ("CE", "cross-entropy"),
        ("ST-H", "static bootstrapping, hard"),
        ("DY-S", "dynamic bootstrapping, soft"),
        ("DY-H", "dynamic bootstrapping, hard"),
        ("M", "mixup"),
        ("M-R", "mixup + regulariser"),
        ("M-DY-H", "mixup + hard bootstrapping"),
        ("M-DYR-S", "both, soft bootstrapping"),
        ("M-DYR-H", "both, hard: the method"),
        ("M-DYR-H+loss", "… weights: the loss itself"),
        ("M-DYR-H+gaussian", "… weights: Gaussian mixture"),
        ("M-DYR-H+oracle", "… weights: the truth"),
    ];
    let present: Vec<(&str, &str)> = rows.into_iter().filter(|(m, _)| !runs.cells(m, 0.8).is_empty()).collect();
    let forest = |value: fn(&crate::train::Summary) -> f64| {
        present
            .iter()
            .map(|(method, _)| {
                let values = runs.values(method, 0.8, value);
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                mean_t_interval(&values, 0.95).map_or((mean, mean, mean), |ci| (ci.estimate, ci.low, ci.high))
            })
            .collect::<Vec<_>>()
    };
    let panel = Panel::new()
        .x(Axis::linear("test accuracy"))
        .y(Axis::categories("", present.iter().map(|(_, name)| *name)))
        .layer(Layer::forest("best epoch", forest(|s| s.best)).color(Color::SKY))
        .layer(Layer::forest("last epoch", forest(|s| s.last)).color(Color::BLUE));
    (!present.is_empty()).then(|| {
        Figure::new("What is it that helps at 80 % noise?")
            .subtitle(&format!("Mean and 95 % interval over seeds. {}", runs.scope))
            .heights([380.])
            .panel(panel)
    })
}

/// Forecast and outcome of the posterior.
fn calibration(runs: &Runs) -> Result<Option<Figure>, Error> {
    let mut panels = vec![];
    for level in [0.5, 0.8] {
        for (method, title) in [("CE", "plain"), ("M-DYR-H", "M-DYR-H")] {
            let cells = runs.cells(method, level);
            let Some(first) = cells.first() else { continue };
            let (warm, end) = (first.config.phases.correct - 1, first.config.epochs);
            let mut panel = Panel::new()
                .title(&format!("{title}, {} %", 100. * level))
                .x(Axis::linear("posterior").range(0., 1.))
                .y(Axis::linear("share of wrong labels").range(0., 1.))
                .layer(Layer::diagonal("calibrated"));
            for (name, epoch, color) in [("end of the warm-up", warm, Color::ORANGE), ("last epoch", end, Color::BLUE)]
            {
                let mut points = vec![];
                for cell in &cells {
                    let rows: Vec<Calibration> = cell.table("calibration")?;
                    points.extend(rows.iter().filter(|r| r.epoch == epoch).map(|r| (r.forecast, r.wrong)));
                }
                panel = panel.layer(Layer::points(name, points).color(color));
            }
            panels.push(panel);
        }
    }
    let any = !panels.is_empty();
    let figure = Figure::new("Is the posterior a probability?")
        .subtitle(&format!("Training samples by tenths of the posterior, one point a tenth and seed. {}", runs.scope))
        .panels(panels)
        .columns(4)
        .share_y(Share::All);
    Ok(any.then_some(figure))
}
