//! Tables and figures, from finished cells alone.

use retrial_core::chart::{Axis, Color, Figure, Layer, Panel, Share};
use retrial_core::noise::{NoiseKind, TransitionMatrix};
use retrial_core::results::{Error, Reported, Results, Table};
use retrial_core::stats::{Interval, mean_t_interval, summary};
use serde::Serialize;

use crate::claims::{LEARNERS, Primary, reported};
use crate::config::{Config, Method, Weights};
use crate::fits::{self, CurveStatistics, DRAWS, PairedCurves};
use crate::incv::Iteration;
use crate::laws::{Curve, Law, Selection, Setting, scan_noise_ratio};
use crate::memorise::{self, Epoch};
use crate::paper::NoisyQuadratic;
use crate::readings::{
    RESAMPLING, Sweep, When, control, final_accuracies, incv_cells, memorise_cell, reading, regimes,
};

const MEMORISED: &str = "memorised network";
const BAND: &str = "simultaneous 95 % band of its mean";
const STOPPED: &str = "same network, stopped early";
const NEIGHBOUR: &str = "1-nearest neighbour";
const NEIGHBOURS: &str = "15-nearest neighbours";
const LITERAL: &str = "Eq. 4 as printed";
const SCALED: &str = "Eq. 4 from the noise-free accuracy (M1)";
const SHARPENED: &str = "sharpened vote fitted (M5)";

/// One level of one sweep; a row of `curves.csv`.
#[derive(Serialize)]
struct CurveRow {
    experiment: String,
    noise_ratio: f64,
    seeds: usize,
    memorised: usize,
    train_accuracy: f64,
    clean_accuracy: f64,
    clean_accuracy_sd: Option<f64>,
    noisy_accuracy: f64,
    noisy_accuracy_formula: f64,
    clean_accuracy_stopped_early: f64,
    label_precision: Option<f64>,
    label_recall: Option<f64>,
}

/// A rival law fitted to a primary cell; a row of `models.csv`.
#[derive(Serialize)]
struct ModelRow {
    experiment: String,
    law: &'static str,
    k: usize,
    parameters: String,
    chi2: f64,
    aicc: Option<f64>,
    delta_aicc: Option<f64>,
    loo_rmse_clean: Option<f64>,
    loo_rmse_noisy: Option<f64>,
}

/// LP and LR of the selected set; a row of `incv.csv`.
#[derive(Serialize)]
struct IncvRow {
    noise: &'static str,
    noise_ratio: f64,
    weights: &'static str,
    iteration: usize,
    seeds: usize,
    label_precision: f64,
    label_recall: f64,
    estimate: f64,
}

/// Clean accuracy after the final training; a row of `methods.csv`.
#[derive(Serialize)]
struct MethodRow {
    noise: &'static str,
    noise_ratio: f64,
    method: &'static str,
    seeds: usize,
    last: f64,
    last_sd: Option<f64>,
    mean_of_last_tenth: f64,
    best: f64,
}

/// One level of a variant of the learner; a row of `scope.csv`.
#[derive(Serialize)]
struct ScopeRow {
    regime: String,
    noise_ratio: f64,
    seeds: usize,
    memorised: usize,
    clean_accuracy: f64,
    noisy_accuracy: f64,
    noisy_accuracy_formula: f64,
    clean_accuracy_stopped_early: f64,
    departure_from_line: Option<f64>,
    exponent: Option<f64>,
}

/// One number of section 7.4 of the protocol; a row of `statistics.csv`.
#[derive(Serialize)]
struct StatisticRow {
    /// The learner's sweep, or a control's.
    experiment: String,
    statistic: &'static str,
    /// Of which law, degree or noise ratio.
    of: String,
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    p: Option<f64>,
}

/// Straightness, contrasts, exponent, lack of fit, extrapolation, residuals, resampling and the band of one curve, in order.
fn statistic_rows(experiment: &str, curve: &CurveStatistics) -> Vec<StatisticRow> {
    let row = |statistic: &'static str, of: &str, value: Option<f64>| StatisticRow {
        experiment: experiment.into(),
        statistic,
        of: of.into(),
        value,
        low: None,
        high: None,
        p: None,
    };
    let spanned = |statistic: &'static str, of: &str, i: Interval| StatisticRow {
        low: Some(i.low),
        high: Some(i.high),
        ..row(statistic, of, Some(i.estimate))
    };
    let mut rows = vec![];
    if let Some(s) = &curve.straightness {
        rows.push(StatisticRow { p: s.t.map(|t| t.p), ..spanned("departure K, t interval 95 %", "", s.bend) });
        rows.push(spanned("departure K, interval 90 %", "", s.ninety));
        rows.extend(s.sign_flip.map(|f| StatisticRow { p: Some(f.p), ..row("departure K, sign-flip test", "", None) }));
    }
    for c in &curve.contrasts {
        let p = c.t.map(|t| t.p);
        rows.push(StatisticRow { p, ..spanned("polynomial contrast of m", &format!("degree {}", c.degree), c.size) });
    }
    rows.extend(curve.exponent.gamma.map(|i| spanned("exponent of the vote, bootstrap", "", i)));
    rows.extend(curve.exponent.across_seeds.map(|i| spanned("exponent of the vote, t interval over seeds", "", i)));
    for (law, test) in &curve.lack_of_fit {
        rows.push(StatisticRow { p: Some(test.p), ..row("lack of fit F", law.name(), Some(test.f)) });
    }
    for model in &curve.models {
        rows.push(row("error at levels above .5, fitted up to .5", model.law.name(), model.extrapolate_up));
        rows.push(row("error at levels below .3, fitted from .3 on", model.law.name(), model.extrapolate_down));
    }
    for r in &curve.residuals {
        rows.push(row("greatest |z| of the residuals", r.law.name(), Some(r.worst)));
        rows.push(row("lag-1 autocorrelation of the residuals", r.law.name(), r.lag1));
        let runs = r.runs.map(|test| test.runs as f64);
        rows.push(StatisticRow { p: r.runs.map(|test| test.p_few), ..row("runs of equal sign", r.law.name(), runs) });
    }
    for m in &curve.resampling.models {
        rows.extend(m.aicc_over_scaled.map(|i| spanned("AICc above M1's, bootstrap", m.law.name(), i)));
        rows.extend(m.loo_over_scaled.map(|i| spanned("leave-level-out error above M1's, bootstrap", m.law.name(), i)));
        rows.push(row("share of resamples won by AICc", m.law.name(), Some(m.wins)));
        rows.push(row("share of resamples won by leaving levels out", m.law.name(), Some(m.wins_loo)));
    }
    if let Some(band) = &curve.band {
        for (l, mean) in curve.means.iter().enumerate() {
            let (low, high) = (Some(band.low[l]), Some(band.high[l]));
            let of = format!("noise ratio {}", mean.level);
            rows.push(StatisticRow { low, high, ..row("simultaneous 95 % band", &of, Some(band.mean[l])) });
        }
    }
    for (law, inside) in &curve.inside_band {
        rows.push(row("inside the band at every level", law.name(), Some(f64::from(u8::from(*inside)))));
    }
    rows
}

fn kind(pair: bool) -> &'static str {
    if pair { "pair" } else { "symmetric" }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A number of something.
type Of<T> = fn(&T) -> f64;

const METHODS: [(&str, Option<Method>); 5] = [
    ("INCV + Co-teaching", None),
    ("cross-entropy", Some(Method::CrossEntropy)),
    ("Co-teaching, told the noise ratio", Some(Method::CoTeaching)),
    ("NCV once, then cross-entropy", Some(Method::NcvOnce)),
    ("right labels only (oracle)", Some(Method::Oracle)),
];

/// Everything that the figures and verdicts rest on, as numbers.
pub fn tables(results: &Results<NoisyQuadratic>) -> Result<Vec<Table>, Error> {
    let mut curves = vec![];
    for experiment in ["S1", "S3", "S4", "S5", "S5-pooled", "X1", "X1-plain", "X2"] {
        let Some(sweep) = Sweep::of(results, experiment, |_| true) else { continue };
        let law = Law::Literal.with(sweep.setting, &[]);
        for (l, &level) in sweep.levels.iter().enumerate() {
            let column = |value: &dyn Fn(&memorise::Summary) -> f64| -> Vec<f64> {
                sweep.runs.iter().map(|runs| value(&runs[l])).collect()
            };
            let clean = column(&|run| run.last.clean_accuracy);
            let share = |value: fn(&memorise::Reading) -> Option<f64>| {
                let known: Vec<f64> = sweep.runs.iter().filter_map(|runs| value(&runs[l].last)).collect();
                (!known.is_empty()).then(|| mean(&known))
            };
            curves.push(CurveRow {
                experiment: experiment.into(),
                noise_ratio: level,
                seeds: sweep.runs.len(),
                memorised: sweep.runs.iter().filter(|runs| runs[l].memorised).count(),
                train_accuracy: mean(&column(&|run| run.last.train_accuracy)),
                clean_accuracy: mean(&clean),
                clean_accuracy_sd: summary(&clean).ok().and_then(|s| s.sd),
                noisy_accuracy: mean(&column(&|run| run.last.noisy_accuracy)),
                noisy_accuracy_formula: law.noisy(level),
                clean_accuracy_stopped_early: mean(&column(&|run| reading(run, When::Best).clean_accuracy)),
                label_precision: share(|r| r.label_precision),
                label_recall: share(|r| r.label_recall),
            });
        }
    }
    let mut models = vec![];
    for learner in &LEARNERS {
        let Ok(primary) = Primary::load(results, learner) else { continue };
        models.extend(primary.statistics.primary().models.iter().map(|row| ModelRow {
            experiment: learner.experiment.into(),
            law: row.law.name(),
            k: row.k,
            parameters: row.parameters.iter().map(|p| format!("{p:.4}")).collect::<Vec<_>>().join(" "),
            chi2: row.chi2,
            aicc: row.aicc,
            delta_aicc: row.delta_aicc,
            loo_rmse_clean: row.loo_clean,
            loo_rmse_noisy: row.loo_noisy,
        }));
    }
    let mut statistics = vec![];
    for learner in &LEARNERS {
        let Ok(primary) = Primary::load(results, learner) else { continue };
        statistics.extend(statistic_rows(learner.experiment, primary.statistics.primary()));
    }
    for experiment in ["S0", "control", "S4-control", "S5-control"] {
        for k in [1, 5, 15] {
            let analysed = control(results, experiment, k).and_then(|c| fits::analyse(&c, DRAWS, RESAMPLING).ok());
            let name = format!("{experiment}, {k}-nearest neighbours");
            statistics.extend(analysed.iter().flat_map(|s| statistic_rows(&name, s.primary())));
        }
    }
    let mut incv = vec![];
    for (weights, name) in [(Weights::Published, "published"), (Weights::Last, "last")] {
        for ((pair, level), runs) in incv_cells(results, weights) {
            for i in 0..runs.iter().map(|run| run.iterations.len()).min().unwrap_or(0) {
                let column = |value: &dyn Fn(&crate::incv::Summary) -> f64| -> f64 {
                    mean(&runs.iter().map(value).collect::<Vec<_>>())
                };
                incv.push(IncvRow {
                    noise: kind(pair),
                    noise_ratio: level,
                    weights: name,
                    iteration: i + 1,
                    seeds: runs.len(),
                    label_precision: column(&|run| run.iterations[i].label_precision),
                    label_recall: column(&|run| run.iterations[i].label_recall),
                    estimate: column(&|run| run.estimate),
                });
            }
        }
    }
    let mut methods = vec![];
    for (name, method) in METHODS {
        for ((pair, level), seeds) in final_accuracies(results, method) {
            let last: Vec<f64> = seeds.values().map(|o| o.last).collect();
            methods.push(MethodRow {
                noise: kind(pair),
                noise_ratio: f64::from(level) / 100.,
                method: name,
                seeds: seeds.len(),
                last: mean(&last),
                last_sd: summary(&last).ok().and_then(|s| s.sd),
                mean_of_last_tenth: mean(&seeds.values().map(|o| o.mean_of_last).collect::<Vec<_>>()),
                best: mean(&seeds.values().map(|o| o.best).collect::<Vec<_>>()),
            });
        }
    }
    let mut scope = vec![];
    for regime in regimes(results) {
        let statistics = regime.statistics.as_ref().filter(|_| regime.sweep.matrix_known).map(|s| s.primary());
        for (l, &level) in regime.sweep.levels.iter().enumerate() {
            let runs: Vec<&memorise::Summary> = regime.sweep.runs.iter().map(|runs| &runs[l]).collect();
            let of =
                |value: &dyn Fn(&memorise::Summary) -> f64| mean(&runs.iter().map(|r| value(r)).collect::<Vec<_>>());
            scope.push(ScopeRow {
                regime: regime.name.clone(),
                noise_ratio: level,
                seeds: runs.len(),
                memorised: runs.iter().filter(|run| run.memorised).count(),
                clean_accuracy: of(&|run| run.last.clean_accuracy),
                noisy_accuracy: of(&|run| run.last.noisy_accuracy),
                noisy_accuracy_formula: regime.formula(level),
                clean_accuracy_stopped_early: of(&|run| reading(run, When::Best).clean_accuracy),
                departure_from_line: statistics.and_then(|s| Some(s.straightness.as_ref()?.bend.estimate)),
                exponent: statistics.and_then(|s| Some(s.exponent.gamma?.estimate)),
            });
        }
    }
    let mut tables = vec![];
    if !scope.is_empty() {
        tables.push(Table::from_rows("scope", &scope)?);
    }
    if !curves.is_empty() {
        tables.push(Table::from_rows("curves", &curves)?);
    }
    if !models.is_empty() {
        tables.push(Table::from_rows("models", &models)?);
    }
    if !statistics.is_empty() {
        tables.push(Table::from_rows("statistics", &statistics)?);
    }
    if !incv.is_empty() {
        tables.push(Table::from_rows("incv", &incv)?);
    }
    if !methods.is_empty() {
        tables.push(Table::from_rows("methods", &methods)?);
    }
    Ok(tables)
}

/// The figures for which there are finished cells, by file stem.
pub fn figures(results: &Results<NoisyQuadratic>) -> Result<Vec<(String, Figure)>, Error> {
    let reported = reported()?;
    let mut figures = vec![];
    for learner in &LEARNERS {
        if let Ok(primary) = Primary::load(results, learner) {
            let neighbours = [1, 15].map(|k| learner.control.and_then(|name| control(results, name, k)));
            figures.push((learner.figure.into(), sceptic(&primary, &neighbours, &reported, learner.what)));
        }
    }
    if let Some(figure) = headline(results, &reported) {
        figures.push(("headline".into(), figure));
    }
    if let Some(figure) = confusion(results) {
        figures.push(("confusion".into(), figure));
    }
    if let Some(figure) = epochs(results)? {
        figures.push(("epochs".into(), figure));
    }
    if let Some(figure) = incv(results, &reported) {
        figures.push(("incv".into(), figure));
    }
    if let Some(figure) = noise_ratio(results, &reported) {
        figures.push(("noise-ratio".into(), figure));
    }
    if let Some(figure) = methods(results) {
        figures.push(("methods".into(), figure));
    }
    if let Some(figure) = final_epochs(results)? {
        figures.push(("final-epochs".into(), figure));
    }
    if let Some(figure) = exponents(results) {
        figures.push(("exponents".into(), figure));
    }
    Ok(figures)
}

/// Mean and 95 % interval over seeds at each level; with one seed the value alone.
fn intervals(levels: &[f64], values: &[Vec<f64>]) -> Vec<(f64, f64, f64, f64)> {
    levels
        .iter()
        .enumerate()
        .map(|(l, &level)| {
            let column: Vec<f64> = values.iter().map(|seed| seed[l]).collect();
            match mean_t_interval(&column, 0.95) {
                Ok(i) => (level, i.estimate, i.low, i.high),
                Err(_) => (level, mean(&column), mean(&column), mean(&column)),
            }
        })
        .collect()
}

fn means(levels: &[f64], values: &[Vec<f64>]) -> Vec<(f64, f64)> {
    intervals(levels, values).into_iter().map(|(x, y, ..)| (x, y)).collect()
}

fn grid() -> impl Iterator<Item = f64> {
    (0..=90).map(|i| f64::from(i) / 100.)
}

/// The published points of a metric under symmetric or pair noise, on CIFAR-10.
fn published(reported: &Reported, pair: bool, metric: &str) -> Vec<(f64, f64)> {
    let condition = if pair { "asymmetric-pair" } else { "symmetric" };
    reported.item("vs noise ratio").condition(condition).filter(|n| n.metric.starts_with(metric)).points()
}

/// The figure for the sceptic: clean accuracy is a line at best, noisy-label accuracy a parabola at best.
fn sceptic(p: &Primary, neighbours: &[Option<PairedCurves>; 2], reported: &Reported, what: &str) -> Figure {
    let setting = p.curves.setting;
    let levels = &p.curves.levels;
    let (clean, noisy) = (p.curves.clean.clone().unwrap_or_default(), p.curves.noisy.clone().unwrap_or_default());
    let statistics = p.statistics.primary();
    let fitted = |law: Law| statistics.model(law).map(|row| law.with(setting, &row.parameters));
    let (literal, sharpened) = (Law::Literal.with(setting, &[]), fitted(Law::Sharpened));
    // From the measured noise-free accuracy, as K is measured: nothing is fitted.
    let scaled = (levels.first() == Some(&0.)).then(|| {
        let a0 = mean(&clean.iter().map(|seed| seed[0]).collect::<Vec<_>>());
        Law::Scaled.with(setting, &[a0])
    });
    let stopped = p.sweep.curves(When::Best);

    let curve = |law: &Curve, on_clean: bool| -> Vec<(f64, f64)> {
        grid().filter_map(|e| Some((e, if on_clean { law.clean(e)? } else { law.noisy(e) }))).collect()
    };
    let mut panels = vec![];
    for on_clean in [true, false] {
        let (ours, early) = if on_clean { (&clean, &stopped.clean) } else { (&noisy, &stopped.noisy) };
        let mut panel = Panel::new()
            .title(if on_clean {
                "scored on clean labels: a straight line at best"
            } else {
                "scored on noisy labels: a parabola at best"
            })
            .x(Axis::linear("noise ratio ε").range(0., 1.))
            .y(Axis::linear("held-out accuracy").range(0., 1.))
            .layer(Layer::theory(LITERAL, curve(&literal, on_clean)));
        if let Some(law) = &scaled {
            panel = panel.layer(Layer::line(SCALED, curve(law, on_clean)).color(Color::SKY));
        }
        if let Some(law) = &sharpened {
            panel = panel.layer(Layer::line(SHARPENED, curve(law, on_clean)).color(Color::VERMILLION));
        }
        if let Some(band) = statistics.band.as_ref().filter(|_| on_clean) {
            let rows = statistics.means.iter().zip(band.low.iter().zip(&band.high));
            let band = rows.map(|(m, (&low, &high))| (m.level, m.mean, low, high));
            panel = panel.layer(Layer::band(BAND, band).color(Color::BLUE));
        }
        panel = panel.layer(Layer::intervals(MEMORISED, intervals(levels, ours)).color(Color::BLUE));
        if let Some(early) = early {
            panel = panel.layer(Layer::points(STOPPED, means(&stopped.levels, early)).color(Color::ORANGE));
        }
        for (n, (name, color)) in neighbours.iter().zip([(NEIGHBOUR, Color::GREEN), (NEIGHBOURS, Color::PURPLE)]) {
            let Some(n) = n else { continue };
            let values = if on_clean { &n.clean } else { &n.noisy };
            let points = means(&n.levels, values.as_deref().unwrap_or_default());
            panel = panel.layer(Layer::points(name, points).color(color));
        }
        let metric = if on_clean { "label recall" } else { "held-out accuracy w.r.t. noisy" };
        panels.push(panel.layer(Layer::paper(published(reported, false, metric))));
    }
    for on_clean in [true, false] {
        let (ours, label) =
            if on_clean { (&clean, "clean accuracy − M1") } else { (&noisy, "noisy accuracy − M1") };
        let base =
            |e: f64| scaled.as_ref().map_or(0., |law| if on_clean { law.clean(e).unwrap_or(0.) } else { law.noisy(e) });
        let gap = |law: &Curve| -> Vec<(f64, f64)> {
            curve(law, on_clean).into_iter().map(|(e, y)| (e, y - base(e))).collect()
        };
        let blind = setting.blind_level();
        let mut panel = Panel::new()
            .x(Axis::linear("noise ratio ε").range(0., 1.))
            .y(Axis::linear(label))
            .layer(Layer::x_span("too near the level where all classifiers score 1/10", blind - 0.1, 1.0));
        if scaled.is_some() {
            panel = panel.layer(Layer::line(SCALED, grid().map(|e| (e, 0.))).color(Color::SKY));
        }
        if let Some(law) = &sharpened {
            panel = panel.layer(Layer::line(SHARPENED, gap(law)).color(Color::VERMILLION));
        }
        let residuals = intervals(levels, ours)
            .into_iter()
            .map(|(e, y, low, high)| (e, y - base(e), low - base(e), high - base(e)));
        panels.push(panel.layer(Layer::intervals(MEMORISED, residuals).color(Color::BLUE)));
    }
    let gamma = statistics.exponent.across_seeds.or(statistics.exponent.gamma);
    let gamma = gamma.map_or(String::new(), |g| {
        format!("; exponent of the vote {:.2} [{:.2}, {:.2}], 1 is Eq. 4", g.estimate, g.low, g.high)
    });
    Figure::new("Is test accuracy quadratic in the noise ratio?")
        .subtitle(&format!(
            "{what}, {} training images, symmetric noise, {} seeds, bars 95 %{gamma}",
            p.sweep.train,
            clean.len()
        ))
        .panels(panels)
        .columns(2)
        .share_x(Share::Line)
        .heights([330., 200.])
        .caption(&format!("{} Paper: CIFAR-10, ResNet-110.", p.verdict().sentence))
}

/// The published panels: accuracy, label precision and label recall against the noise ratio.
fn headline(results: &Results<NoisyQuadratic>, reported: &Reported) -> Option<Figure> {
    let mut panels = vec![];
    let (mut memorised, mut runs) = (0, 0);
    for (experiment, pair) in [("S1", false), ("S3", true)] {
        let sweep = Sweep::of(results, experiment, |_| true)?;
        memorised += sweep.runs.iter().flatten().filter(|run| run.memorised).count();
        runs += sweep.runs.iter().flatten().count();
        let setting = sweep.setting;
        let literal = Law::Literal.with(setting, &[]);
        let parts: [(&str, &str, Of<memorise::Reading>); 3] = [
            ("accuracy, noisy labels", "held-out accuracy w.r.t. noisy", |r| r.noisy_accuracy),
            ("label precision", "label precision", |r| r.label_precision.unwrap_or(f64::NAN)),
            ("label recall", "label recall", |r| r.label_recall.unwrap_or(f64::NAN)),
        ];
        for (i, (name, metric, value)) in parts.into_iter().enumerate() {
            let theory = (0..=100).map(|e| {
                let e = f64::from(e) / 100.;
                let selection = Selection::literal(setting, e);
                (e, [literal.noisy(e), selection.precision, selection.recall][i])
            });
            let ours = sweep.map(|run| value(&run.last));
            panels.push(
                Panel::new()
                    .title(&format!("{}: {name}", kind(pair)))
                    .x(Axis::linear("noise ratio ε").range(0., 1.))
                    .y(Axis::linear("share").range(0., 1.))
                    .layer(Layer::theory(LITERAL, theory))
                    .layer(Layer::intervals(MEMORISED, intervals(&sweep.levels, &ours)).color(Color::BLUE))
                    .layer(Layer::paper(published(reported, pair, metric))),
            );
        }
    }
    Some(
        Figure::new("Do accuracy, precision and recall on noisy labels follow the formulae?")
            .subtitle(&format!(
                "MNIST, MLPs at their last epoch ({memorised} of {runs} runs memorised their labels), mean and 95 % interval \
                 over seeds"
            ))
            .panels(panels)
            .columns(3)
            .share_x(Share::All)
            .share_y(Share::All)
            .caption("Paper: CIFAR-10, ResNet-110, points read off the published plot."),
    )
}

/// Prediction matrices beside the transition matrix.
fn confusion(results: &Results<NoisyQuadratic>) -> Option<Figure> {
    let mut panels = vec![];
    for (experiment, level, name) in [
        ("S3", 0.4, "pair 0.4"),
        ("S1", 0.8, "symmetric 0.8"),
        ("S1-blind", 0.9, "symmetric 0.9"),
        ("S1-blind", 1.0, "symmetric 1.0"),
    ] {
        let sweep = Sweep::of(results, experiment, |_| true)?;
        let classes = sweep.setting.classes;
        let matrix = match experiment {
            "S3" => TransitionMatrix::pair(classes, level),
            _ => TransitionMatrix::symmetric(classes, level),
        };
        let transition: Vec<Vec<f64>> = matrix.ok()?.rows().map(<[f64]>::to_vec).collect();
        let axis = |label: &str| Axis::categories(label, (0..classes).map(|c| c.to_string()));
        for (title, rows) in [("T", transition), ("M", sweep.confusion(level)?)] {
            panels.push(
                Panel::new()
                    .title(&format!("{name}: {title}"))
                    .x(axis("given or predicted class"))
                    .y(axis("true class"))
                    .layer(Layer::heat_map("share of the true class", rows).colors(0., 1.)),
            );
        }
    }
    Some(
        Figure::new("Do predictions on unseen images repeat the label noise?")
            .subtitle("T: how labels were drawn; M: what the networks predict. MNIST, last epoch of memorising MLPs, mean over seeds; rows sum to 1")
            .panels(panels)
            .columns(4),
    )
}

/// Training and held-out accuracy over epochs at the highest informative level.
fn epochs(results: &Results<NoisyQuadratic>) -> Result<Option<Figure>, Error> {
    let level = 0.5;
    let Some(cell) = results
        .finished("S1")
        .iter()
        .find(|cell| memorise_cell(cell).is_some_and(|(config, _)| config.level == level && config.seed == 0))
    else {
        return Ok(None);
    };
    let rows: Vec<Epoch> = cell.epochs()?;
    let line = |name: &str, value: fn(&Epoch) -> Option<f64>| {
        Layer::line(name, rows.iter().filter_map(|row| Some((row.epoch as f64, value(row)?))))
    };
    let literal = Law::Literal.with(Setting::symmetric(10), &[]).noisy(level);
    let panel = Panel::new()
        .x(Axis::linear("epoch").whole())
        .y(Axis::linear("share").range(0., 1.))
        .layer(line("right training labels fitted", |row| Some(row.train_accuracy_right)))
        .layer(line("wrong training labels fitted", |row| row.train_accuracy_wrong))
        .layer(line("accuracy on clean validation labels", |row| row.validation_clean))
        .layer(line("accuracy on noisy validation labels", |row| row.validation_noisy))
        .layer(line("AUC of the loss as a detector of wrong labels", |row| row.loss_auc))
        .layer(Layer::horizontal("Eq. 4 for noisy labels", literal));
    Ok(Some(
        Figure::new("Are right labels learnt before wrong ones?")
            .subtitle("MNIST, MLP, symmetric noise 0.5, one seed")
            .panel(panel)
            .heights([380.]),
    ))
}

/// Label precision and recall over the iterations of INCV.
fn incv(results: &Results<NoisyQuadratic>, reported: &Reported) -> Option<Figure> {
    let cells = incv_cells(results, Weights::Published);
    if cells.is_empty() {
        return None;
    }
    let mut panels = vec![];
    for (name, metric, value) in [
        ("label precision", "label precision", (|i| i.label_precision) as Of<Iteration>),
        ("label recall", "label recall", |i| i.label_recall),
    ] {
        let mut panel = Panel::new()
            .title(name)
            .x(Axis::linear("iteration").ticks([1., 2., 3., 4.]).range(0.8, 4.2))
            .y(Axis::linear("share").to(1.));
        for ((pair, level), runs) in &cells {
            let series = format!("{} {level}", kind(*pair));
            let count = runs.iter().map(|run| run.iterations.len()).min().unwrap_or(0);
            let values: Vec<Vec<f64>> =
                runs.iter().map(|run| run.iterations[..count].iter().map(value).collect()).collect();
            let at: Vec<f64> = (1..=count).map(|i| i as f64).collect();
            panel = panel.layer(Layer::line(&series, means(&at, &values)));
            let condition = if *pair { "asymmetric-pair" } else { "symmetric" };
            let rows =
                reported.item("vs iteration").condition(condition).metric(metric).filter(|n| n.level() == Some(*level));
            let points = (1..=4).filter_map(|i| {
                let row = rows.method(&format!("INCV iteration {i}"));
                Some((f64::from(i), row.numbers.first()?.value))
            });
            panel = panel.layer(Layer::paper(points).like(&series));
        }
        panels.push(panel);
    }
    Some(
        Figure::new("Does INCV find more right labels at each iteration?")
            .subtitle("MNIST, MLP, published rule for weights, mean over seeds")
            .panels(panels)
            .columns(2)
            .share_y(Share::All)
            .heights([330.])
            .caption("Paper: CIFAR-10, ResNet-32."),
    )
}

/// The noise ratio estimated by inverting Eq. 4.
fn noise_ratio(results: &Results<NoisyQuadratic>, reported: &Reported) -> Option<Figure> {
    let sweep = Sweep::of(results, "S1", |_| true)?;
    let classes = sweep.setting.classes as f64;
    let memorised = sweep.runs.iter().flatten().filter(|run| run.memorised).count();
    let runs = sweep.runs.iter().flatten().count();
    let estimates = |when: When| sweep.map(|run| scan_noise_ratio(reading(run, when).noisy_accuracy, classes));
    let points = reported.condition("symmetric").metric("implied estimated noise ratio").points();
    let panel = Panel::new()
        .x(Axis::linear("noise ratio ε").range(0., 1.))
        .y(Axis::linear("estimated noise ratio").range(0., 1.))
        .layer(Layer::diagonal("perfect estimate"))
        .layer(Layer::intervals("last epoch", intervals(&sweep.levels, &estimates(When::Last))).color(Color::BLUE))
        .layer(Layer::intervals("best epoch", intervals(&sweep.levels, &estimates(When::Best))).color(Color::ORANGE))
        .layer(Layer::paper(points));
    Some(
        Figure::new("Does inverting Eq. 4 recover the noise ratio?")
            .subtitle(&format!(
                "MNIST, MLP, symmetric noise, {} seeds, mean and 95 % interval; {memorised} of {runs} runs memorised their labels",
                sweep.runs.len()
            ))
            .panel(panel)
            .heights([420.])
            .caption("Paper: derived from the published INCV plot (best-epoch weights)."),
    )
}

/// Clean accuracy of the final training.
fn methods(results: &Results<NoisyQuadratic>) -> Option<Figure> {
    let ours = final_accuracies(results, None);
    if ours.is_empty() {
        return None;
    }
    let settings: Vec<(bool, u32)> = ours.keys().copied().collect();
    let names = settings.iter().map(|(pair, level)| format!("{} {:.1}", kind(*pair), f64::from(*level) / 100.));
    let mut panel =
        Panel::new()
            .x(Axis::categories("label noise", names))
            .y(Axis::linear("accuracy on clean labels, last epoch").from(0.).to(1.));
    for (name, method) in METHODS {
        let found = final_accuracies(results, method);
        let bars = settings.iter().map(|setting| {
            let last: Vec<f64> = found.get(setting).map_or(vec![], |seeds| seeds.values().map(|o| o.last).collect());
            match mean_t_interval(&last, 0.95) {
                Ok(i) => (i.estimate, i.low, i.high),
                Err(_) => (f64::NAN, f64::NAN, f64::NAN),
            }
        });
        panel = panel.layer(Layer::bar_intervals(name, bars));
    }
    Some(
        Figure::new("Does training on what INCV selects beat its rivals?")
            .subtitle("MNIST, 10,000 training images, MLP, mean and 95 % interval over seeds")
            .panel(panel)
            .heights([400.]),
    )
}

/// Clean accuracy over the epochs of the final training, one panel a setting.
fn final_epochs(results: &Results<NoisyQuadratic>) -> Result<Option<Figure>, Error> {
    type Curves<'a> = Vec<((String, &'a str), Vec<Vec<f64>>)>;
    // Setting, method, then the curve of every seed.
    let mut curves: Curves = vec![];
    for cell in ["S6", "S7"].into_iter().flat_map(|name| results.finished(name)) {
        let (noise, level, method) = match &cell.config {
            Config::Incv(c) if c.then.is_some() => (&c.noise, c.level, None),
            Config::Baseline(c) => (&c.noise, c.level, Some(c.method)),
            _ => continue,
        };
        let Some((name, _)) = METHODS.iter().find(|(_, m)| *m == method) else { continue };
        let rows: Vec<crate::incv::Epoch> = cell.epochs()?;
        let curve: Vec<f64> = rows.iter().filter_map(|row| row.held_out_clean).collect();
        let key = (format!("{} {level}", kind(*noise == NoiseKind::Pair)), *name);
        match curves.iter_mut().find(|(k, _)| *k == key) {
            Some((_, seeds)) => seeds.push(curve),
            None => curves.push((key, vec![curve])),
        }
    }
    let mut settings: Vec<String> = curves.iter().map(|((setting, _), _)| setting.clone()).collect();
    settings.dedup();
    settings.sort();
    settings.dedup();
    if settings.is_empty() {
        return Ok(None);
    }
    let panels = settings.iter().map(|setting| {
        let mut panel = Panel::new().title(setting).x(Axis::linear("epoch").whole()).y(Axis::linear("clean accuracy"));
        for (name, _) in METHODS {
            let Some((_, seeds)) = curves.iter().find(|((s, m), _)| s == setting && *m == name) else { continue };
            let epochs = seeds.iter().map(Vec::len).min().unwrap_or(0);
            let at: Vec<f64> = (1..=epochs).map(|e| e as f64).collect();
            panel = panel.layer(Layer::line(name, means(&at, seeds)));
        }
        panel
    });
    Ok(Some(
        Figure::new("Does accuracy collapse late in training?")
            .subtitle("MNIST, 10,000 training images, MLP, final training, mean over seeds")
            .panels(panels)
            .columns(2)
            .share_x(Share::All),
    ))
}

/// The exponent of the vote for every variant of the learner: 1 is the published law.
fn exponents(results: &Results<NoisyQuadratic>) -> Option<Figure> {
    let mut rows = vec![];
    for regime in regimes(results) {
        let gamma =
            regime.statistics.as_ref().filter(|_| regime.sweep.matrix_known).and_then(|s| s.primary().exponent.gamma);
        if let Some(gamma) = gamma {
            let runs = regime.sweep.runs.iter().flatten();
            let memorised = runs.clone().filter(|run| run.memorised).count();
            rows.push((format!("{} ({memorised}/{} memorised)", regime.name, runs.count()), gamma));
        }
    }
    if rows.is_empty() {
        return None;
    }
    let panel = Panel::new()
        .y(Axis::categories("", rows.iter().map(|(name, _)| name.clone())))
        .x(Axis::linear("exponent γ of the sharpened vote").range(0., 3.))
        .layer(Layer::vertical("Eq. 4: one neighbour's vote", 1.))
        .layer(
            Layer::forest("fitted, 95 % interval", rows.iter().map(|(_, g)| (g.estimate, g.low, g.high)))
                .color(Color::BLUE),
        );
    Some(
        Figure::new("How much do networks average the noisy labels?")
            .subtitle("last epoch; 1 repeats every wrong label, more averages labels")
            .panel(panel)
            .heights([40. * rows.len() as f64 + 60.]),
    )
}
