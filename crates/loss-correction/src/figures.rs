//! Tables and figures, drawn from finished runs alone.

use retrial_core::chart::{Axis, Color, Figure, Layer, Panel, Share};
use retrial_core::results::{Error, Results, Table};
use retrial_core::stats::{FEWEST_SEEDS, over_seeds};
use serde::Serialize;

use crate::claims::{has_collapsed, reported, reported_accuracy};
use crate::config::Noise;
use crate::paper::LossCorrection;
use crate::readings::{Run, Runs};
use crate::train::{Bin, Epoch};

/// Methods in the order of tables, with their colours in every figure.
const METHODS: [(&str, Color); 5] = [
    ("CE", Color::BLACK),
    ("DY-H", Color::GREEN),
    ("M", Color::ORANGE),
    ("M-DYR-H", Color::BLUE),
    ("MD-DYR-SH", Color::VERMILLION),
];

#[derive(Serialize)]
struct AccuracyRow {
    data: String,
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
    collapsed_seeds: usize,
    auc_high_rate: Option<f64>,
    auc_warm_up: Option<f64>,
    noisy_share: Option<f64>,
    fits_with_warnings: f64,
    paper_best: Option<f64>,
    paper_last: Option<f64>,
}

/// `accuracies`: every method at every level, means over seeds, beside the paper's numbers: CIFAR-100's beside CIFAR-100,
/// CIFAR-10's beside all other data.
pub fn tables(results: &Results<LossCorrection>) -> Result<Vec<Table>, Error> {
    let reported = reported()?;
    let mut rows = vec![];
    for runs in Runs::groups(results)? {
        for method in runs.methods() {
            for level in runs.levels(method) {
                let of = |value: &dyn Fn(&Run) -> f64| {
                    let values = runs.values(method, level, value);
                    values.iter().sum::<f64>() / values.len() as f64
                };
                let some = |x: f64| x.is_finite().then_some(x);
                let interval = runs.interval(method, level, |r| r.summary.last);
                let printed = match method {
                    "M" => "Zhang2018-mixup",
                    "ST-H" => "Reed2015-static-bootstrapping",
                    other => other,
                };
                let paper = reported_accuracy(&reported, runs.in_paper(), printed, level);
                let paper = paper.filter(|_| runs.noise() == Noise::AllClasses);
                let own = runs.of(method, level);
                rows.push(AccuracyRow {
                    data: runs.name(),
                    method: method.to_string(),
                    level,
                    wrong_labels: of(&|r| r.summary.realised),
                    seeds: own.len(),
                    best: of(&|r| r.summary.best),
                    last: of(&|r| r.summary.last),
                    mean_of_last_5: of(&|r| r.summary.mean_of_last),
                    last_low: interval.as_ref().map(|i| i.low),
                    last_high: interval.as_ref().map(|i| i.high),
                    given_labels_fitted: of(&|r| r.summary.given_accuracy),
                    largest_class: of(&|r| r.summary.largest_class),
                    collapsed_seeds: own.into_iter().filter(|run| has_collapsed(run)).count(),
                    auc_high_rate: some(of(&|r| r.summary.auc_high.unwrap_or(f64::NAN))),
                    auc_warm_up: some(of(&|r| r.summary.auc_warm_up.unwrap_or(f64::NAN))),
                    noisy_share: some(of(&|r| r.summary.noisy_share.unwrap_or(f64::NAN))),
                    fits_with_warnings: of(&|r| r.summary.warnings as f64),
                    paper_best: paper.map(|p| p.0 / 100.),
                    paper_last: paper.map(|p| p.1 / 100.),
                });
            }
        }
    }
    Ok(vec![Table::from_rows("accuracies", &rows)?])
}

/// Every figure that the finished runs allow: all of the first data set, accuracies of the others.
pub fn figures(results: &Results<LossCorrection>) -> Result<Vec<(String, Figure)>, Error> {
    let mut figures = vec![];
    for (i, runs) in Runs::groups(results)?.iter().enumerate() {
        let name = |figure: &str| if i == 0 { figure.to_string() } else { format!("{figure}-{}", runs.name()) };
        let mut own = vec![("accuracy", accuracy(runs))];
        if runs.levels("M-DYR-H").len() > 2 {
            own.push(("levels", levels(runs)?));
        }
        if i == 0 {
            own.extend([
                ("losses", losses(runs)),
                ("mixtures", mixtures(runs)),
                ("auc", auc(runs)),
                ("controls", controls(runs)),
                ("calibration", calibration(runs)),
            ]);
        }
        figures.extend(own.into_iter().filter_map(|(figure, drawn)| Some((name(figure), drawn?))));
    }
    Ok(figures)
}

/// Mean of seeds with its 95 % interval, or with the range of fewer seeds.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let range = || (mean, values.iter().copied().fold(mean, f64::min), values.iter().copied().fold(mean, f64::max));
    over_seeds(values).map_or_else(range, |ci| (mean, ci.low, ci.high))
}

/// `Mean and 95 % interval over 5 seeds`, from the number of runs of each mean.
fn drawn_over(seeds: impl IntoIterator<Item = usize>) -> String {
    let (low, high) = seeds.into_iter().filter(|n| *n > 0).fold((usize::MAX, 0), |(l, h), n| (l.min(n), h.max(n)));
    let band = if high < FEWEST_SEEDS { "range" } else { "95 % interval" };
    let counted = match (low, high) {
        (1, 1) => return "One seed".into(),
        (low, high) if low < high => format!("{low} to {high}"),
        _ => high.to_string(),
    };
    format!("Mean and {band} over {counted} seeds")
}

/// Mean over seeds of a column, epoch by epoch, with its band.
fn curve(runs: &Runs, method: &str, level: f64, value: impl Fn(&Epoch) -> Option<f64>) -> Vec<(f64, f64, f64, f64)> {
    let mut by_epoch: Vec<Vec<f64>> = vec![];
    for run in runs.of(method, level) {
        for (i, row) in run.epochs.iter().enumerate() {
            by_epoch.resize(by_epoch.len().max(i + 1), vec![]);
            by_epoch[i].extend(value(row));
        }
    }
    let point = |(i, values): (usize, &Vec<f64>)| {
        let (mean, low, high) = spread(values);
        ((i + 1) as f64, mean, low, high)
    };
    by_epoch.iter().enumerate().filter(|(_, values)| !values.is_empty()).map(point).collect()
}

/// Figure 1 of the paper: losses of right and wrong labels over epochs.
fn losses(runs: &Runs) -> Option<Figure> {
    let methods = [("CE", "plain cross-entropy"), ("M-DYR-H", "mixup, bootstrapping, regulariser (M-DYR-H)")];
    let seeds = methods.map(|(method, _)| runs.of(method, 0.8).len());
    if seeds == [0, 0] {
        return None;
    }
    let of_seeds = seeds[0].max(seeds[1]);
    let mut figure = Figure::new("Does the loss tell wrong labels, and for how long?")
        .subtitle(&format!(
            "80 % noise; median loss of training samples, band from quartile to quartile, means over {of_seeds} seeds"
        ))
        .caption(&runs.scope())
        .columns(2)
        .share_y(Share::All);
    for (method, title) in methods {
        let mut panel =
            Panel::new().title(title).x(Axis::linear("epoch").whole()).y(Axis::linear("cross-entropy (nats)").from(0.));
        type Quartile = fn(&Epoch) -> Option<f64>;
        let groups: [(&str, Color, [Quartile; 3]); 2] = [
            ("right labels", Color::BLUE, [|r| Some(r.right_median), |r| Some(r.right_q25), |r| Some(r.right_q75)]),
            ("wrong labels", Color::VERMILLION, [|r| r.wrong_median, |r| r.wrong_q25, |r| r.wrong_q75]),
        ];
        for (name, color, quartiles) in groups {
            let [median, low, high] = quartiles.map(|quartile| curve(runs, method, 0.8, quartile));
            let band = median.iter().zip(&low).zip(&high).map(|((m, l), h)| (m.0, m.1, l.1, h.1));
            panel = panel.layer(Layer::band(name, band).color(color));
        }
        figure = figure.panel(panel);
    }
    Some(figure)
}

/// Figure 2: the histogram of losses with both mixtures, where the paper draws it (where runs hold it), at the end of the
/// warm-up and at the end, under plain training and under the method.
fn mixtures(runs: &Runs) -> Option<Figure> {
    let (mut panels, mut seeds) = (vec![], vec![]);
    for method in ["CE", "M-DYR-H"] {
        let Some(&run) = runs.of(method, 0.5).first() else { continue };
        seeds.push(run.config.seed);
        let (c, phases) = (&run.config, run.config.phases);
        let is_held = |epoch: usize| run.histogram.iter().any(|bin| bin.epoch == epoch);
        let first = if is_held(c.early()) { (c.early(), "as in Fig. 2") } else { (phases.high, "high rate") };
        for (epoch, when) in [first, (phases.correct - 1, "warmed up"), (c.epochs, "end")] {
            let own = || run.histogram.iter().filter(move |b| b.epoch == epoch);
            // Steps: a histogram that the densities can be held against.
            let steps = |value: fn(&Bin) -> f64| {
                let half = 0.5 / own().count() as f64;
                own().flat_map(|b| [(b.x - half, value(b)), (b.x + half, value(b))]).collect::<Vec<_>>()
            };
            let line =
                |value: fn(&Bin) -> Option<f64>| own().filter_map(|b| Some((b.x, value(b)?))).collect::<Vec<_>>();
            panels.push(
                Panel::new()
                    .title(&format!("{method}, epoch {epoch}, {when}"))
                    .x(Axis::linear("normalised loss"))
                    .y(Axis::linear("density").range(0., 8.))
                    .layer(Layer::area("right labels", steps(|b| b.right)).color(Color::SKY))
                    .layer(Layer::area("wrong labels", steps(|b| b.wrong)).color(Color::ORANGE))
                    .layer(Layer::line("beta mixture", line(|b| b.beta)).color(Color::BLUE).markers(false))
                    .layer(
                        Layer::line("Gaussian mixture", line(|b| b.gaussian)).color(Color::VERMILLION).markers(false),
                    ),
            );
        }
    }
    seeds.dedup();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let figure = Figure::new("Which mixture fits the losses?")
        .subtitle(&format!(
            "50 % noise, seed {}; groups stacked; the axis ends at 8, some bars go on",
            seeds.join(" and ")
        ))
        .caption(&runs.scope())
        .columns(3)
        .share_y(Share::All);
    (!panels.is_empty()).then(|| figure.panels(panels))
}

/// How well the loss finds wrong labels, over epochs.
fn auc(runs: &Runs) -> Option<Figure> {
    over_epochs(runs, "How well does the loss find wrong labels?", "AUC of the loss", &[0.5, 0.8], |row| row.auc)
}

/// Test accuracy over epochs.
fn accuracy(runs: &Runs) -> Option<Figure> {
    over_epochs(runs, "Who keeps what was learnt?", "test accuracy", &[0.5, 0.8, 0.9], |row| Some(row.test_accuracy))
}

fn over_epochs(
    runs: &Runs,
    title: &str,
    label: &str,
    levels: &[f64],
    value: fn(&Epoch) -> Option<f64>,
) -> Option<Figure> {
    let (mut panels, mut seeds) = (vec![], vec![]);
    for &level in levels {
        let mut panel = Panel::new()
            .title(&format!("{} % noise", 100. * level))
            .x(Axis::linear("epoch").whole())
            .y(Axis::linear(label));
        let present: Vec<(&str, Color)> =
            METHODS.into_iter().filter(|(method, _)| !runs.of(method, level).is_empty()).collect();
        for (i, (method, color)) in present.iter().enumerate() {
            let own = runs.of(method, level);
            if i == 0 {
                panel = panel.layer(Layer::vertical("correction begins", own[0].config.phases.correct as f64));
            }
            seeds.push(own.len());
            let points = curve(runs, method, level, value);
            panel = panel.layer(Layer::band(method, points).color(*color).markers(false));
        }
        if !present.is_empty() {
            panels.push(panel);
        }
    }
    let columns = panels.len();
    let figure = Figure::new(title).subtitle(&drawn_over(seeds)).caption(&runs.scope()).share_y(Share::All);
    (columns > 0).then(|| figure.panels(panels).columns(columns))
}

/// Table 4 as a picture: best and last accuracy over noise levels.
fn levels(runs: &Runs) -> Result<Option<Figure>, Error> {
    let reported = reported()?;
    let methods = [("CE", ""), ("M", "Zhang2018-mixup"), ("M-DYR-H", "M-DYR-H"), ("MD-DYR-SH", "MD-DYR-SH")];
    let (mut panels, mut seeds) = (vec![], vec![]);
    for (method, printed) in methods.into_iter().filter(|(method, _)| !runs.levels(method).is_empty()) {
        seeds.extend(runs.levels(method).iter().map(|&level| runs.of(method, level).len()));
        let line = |value: fn(&Run) -> f64| {
            let point = |level: f64| {
                let (mean, low, high) = spread(&runs.values(method, level, value));
                (100. * level, mean, low, high)
            };
            runs.levels(method).into_iter().map(point).collect::<Vec<_>>()
        };
        let paper = |last: bool| {
            let point = |level: f64| {
                let (best, end) = reported_accuracy(&reported, runs.in_paper(), printed, level)?;
                Some((100. * level, if last { end / 100. } else { best / 100. }))
            };
            [0., 0.2, 0.5, 0.8, 0.9].into_iter().filter_map(point).collect::<Vec<_>>()
        };
        panels.push(
            Panel::new()
                .title(method)
                .x(Axis::linear("labels drawn anew (%)"))
                .y(Axis::linear("test accuracy").range(0., 1.))
                .layer(Layer::band("best epoch", line(|r| r.summary.best)).color(Color::SKY))
                .layer(Layer::band("last epoch", line(|r| r.summary.last)).color(Color::BLUE))
                .layer(Layer::paper(paper(false)).like("best epoch"))
                .layer(Layer::paper(paper(true)).like("last epoch")),
        );
    }
    let compare = if runs.is_full_scale() { "" } else { "; only order and shape can be compared" };
    let paper = format!("Paper: {}, PreAct ResNet-18, 300 epochs, one run{compare}.", runs.in_paper());
    let figure = Figure::new("How much noise does each method bear?")
        .subtitle(&drawn_over(seeds))
        .caption(&format!("{}. {paper}", runs.scope()))
        .columns(4)
        .share_x(Share::All)
        .share_y(Share::All);
    Ok((!panels.is_empty()).then(|| figure.panels(panels)))
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
        ("M-DYR-S", "all three, soft bootstrapping"),
        ("M-DYR-H", "all three, hard: the method"),
        ("M-DYR-H+loss", "… weights: the loss itself"),
        ("M-DYR-H+gaussian", "… weights: Gaussian mixture"),
        ("M-DYR-H+oracle", "… weights: the truth"),
    ];
    let present: Vec<(&str, &str)> = rows.into_iter().filter(|(m, _)| !runs.of(m, 0.8).is_empty()).collect();
    let forest = |value: fn(&Run) -> f64| -> Vec<(f64, f64, f64)> {
        present.iter().map(|(method, _)| spread(&runs.values(method, 0.8, value))).collect()
    };
    let panel = Panel::new()
        .x(Axis::linear("test accuracy"))
        .y(Axis::categories("", present.iter().map(|(_, name)| *name)))
        .layer(Layer::forest("best epoch", forest(|r| r.summary.best)).color(Color::SKY))
        .layer(Layer::forest("last epoch", forest(|r| r.summary.last)).color(Color::BLUE));
    (!present.is_empty()).then(|| {
        Figure::new("What is it that helps at 80 % noise?")
            .subtitle(&drawn_over(present.iter().map(|(method, _)| runs.of(method, 0.8).len())))
            .caption(&runs.scope())
            .heights([380.])
            .panel(panel)
    })
}

/// Forecast and outcome of the posterior.
fn calibration(runs: &Runs) -> Option<Figure> {
    let (mut panels, mut seeds) = (vec![], 0);
    for level in [0.5, 0.8] {
        for method in ["CE", "M-DYR-H"] {
            let own = runs.of(method, level);
            seeds = seeds.max(own.len());
            let Some(c) = own.first().map(|run| &run.config) else { continue };
            let mut panel = Panel::new()
                .title(&format!("{method}, {} % noise", 100. * level))
                .x(Axis::linear("posterior").range(0., 1.))
                .y(Axis::linear("share of wrong labels").range(0., 1.))
                .layer(Layer::diagonal("calibrated"));
            for (name, epoch, color) in
                [("end of the warm-up", c.phases.correct - 1, Color::ORANGE), ("last epoch", c.epochs, Color::BLUE)]
            {
                let rows = own.iter().flat_map(|run| &run.calibration).filter(|row| row.epoch == epoch);
                panel = panel.layer(Layer::points(name, rows.map(|row| (row.forecast, row.wrong))).color(color));
            }
            panels.push(panel);
        }
    }
    let figure = Figure::new("Is the posterior a probability?")
        .subtitle(&format!(
            "Training samples by tenths of the posterior; a point for each tenth and each of {seeds} seeds"
        ))
        .caption(&runs.scope())
        .columns(4)
        .share_y(Share::All);
    (!panels.is_empty()).then(|| figure.panels(panels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_say_what_they_are() {
        assert_eq!(drawn_over([5, 5]), "Mean and 95 % interval over 5 seeds");
        assert_eq!(drawn_over([2, 5, 0]), "Mean and 95 % interval over 2 to 5 seeds");
        assert_eq!(drawn_over([2]), "Mean and range over 2 seeds");
        assert_eq!(drawn_over([1]), "One seed");
        assert_eq!(spread(&[0.2, 0.4]), (0.30000000000000004, 0.2, 0.4));
        let (mean, low, high) = spread(&[0.2, 0.3, 0.4]);
        assert!((mean - 0.3).abs() < 1e-12 && low < 0.2 && high > 0.4);
    }
}
