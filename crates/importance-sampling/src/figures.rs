//! Tables and figures, from finished cells alone.

use retrial_core::chart::{Axis, Dash, Figure, Layer, Panel, Share};
use retrial_core::results::{Error, Results, Table};
use retrial_core::stats::over_seeds;
use serde::Serialize;

use crate::analysis::Snapshot;
use crate::claims::{Documented, LoggedEpoch, best_control_variates, setting};
use crate::config::{Config, Method, Score};
use crate::paper::ImportanceSampling;
use crate::readings::{
    Analysed, Arm, Currency, ERROR, LOSS, Run, Value, analysed, arm, arms, gain, gain_at, is_importance, is_uniform,
    label, measured_cost_ratio,
};
use crate::sampling::{TRAINED, variance_times_cost};
use crate::training::Row;

/// Experiments in which methods are compared at equal cost.
const COMPARED: [(&str, &str); 10] = [
    ("R1", "MNIST, documented run"),
    ("R3", "CIFAR-10, two classes"),
    ("R3-histories", "CIFAR-10, two classes"),
    ("R5", "CIFAR-10, two classes"),
    ("R3-ten", "CIFAR-10"),
    ("R4", "CIFAR-100"),
    ("R6", "fine-tuning"),
    ("R7", "LSTM, permuted pixels"),
    ("R9-noise", "20 % wrong labels"),
    ("R9-copies", "one image repeated"),
];

/// One arm; a row of `methods.csv`.
#[derive(Serialize)]
struct MethodRow {
    experiment: String,
    method: String,
    seeds: usize,
    collapsed: usize,
    updates: f64,
    samples_backpropagated: f64,
    forward_equivalents: f64,
    processor_seconds: f64,
    train_loss: Option<f64>,
    test_error: Option<f64>,
    test_error_sd: Option<f64>,
    switched_on: usize,
    switched_on_share: Option<f64>,
    gain_at_equal_forwards: Option<f64>,
    gain_at_equal_seconds: Option<f64>,
    seconds_scored: Option<f64>,
    seconds_trained: Option<f64>,
}

/// A method against uniform sampling in every currency; a row of `costs.csv`. Gains are relative, means over paired seeds of
/// the last tenth, with their 95 % interval at cost ratio 3; at equal updates both stand at the learning rates given there,
/// which differ where drops are tied to cost.
#[derive(Serialize)]
struct CostRow {
    experiment: String,
    method: String,
    seeds: usize,
    measured_cost_ratio: Option<f64>,
    loss_gain_at_cost_ratio_3: Option<f64>,
    loss_gain_low: Option<f64>,
    loss_gain_high: Option<f64>,
    loss_gain_at_measured_ratio: Option<f64>,
    loss_gain_at_equal_seconds: Option<f64>,
    loss_gain_at_equal_updates: Option<f64>,
    error_gain_at_cost_ratio_3: Option<f64>,
    error_gain_low: Option<f64>,
    error_gain_high: Option<f64>,
    error_gain_at_measured_ratio: Option<f64>,
    error_gain_at_equal_seconds: Option<f64>,
    error_gain_at_equal_updates: Option<f64>,
    equal_updates: f64,
    uniform_rate_there: f64,
    method_rate_there: f64,
    median_ms_per_update: Option<f64>,
    median_us_per_sample_scored: Option<f64>,
    median_us_per_sample_trained: Option<f64>,
}

/// An epoch of the official log beside ours, range over seeds; a row of `documented.csv`. The published training loss has
/// the penalty on weights in it and ours has not.
#[derive(Serialize)]
struct DocumentedRow {
    method: &'static str,
    epoch: usize,
    updates: u64,
    published_seconds: f64,
    published_train_loss_with_penalty: f64,
    published_test_error: f64,
    seeds: usize,
    processor_seconds: f64,
    running_train_loss_without_penalty: Option<f64>,
    test_error: f64,
    test_error_low: f64,
    test_error_high: f64,
}

/// One snapshot, mean over seeds; a row of `variance.csv`.
#[derive(Serialize)]
struct VarianceRow {
    experiment: &'static str,
    updates: u64,
    seeds: usize,
    /// Empty where a sample with a gradient has a loss of zero and is never drawn: the error has no bound there.
    error_loss: Option<f64>,
    error_bound: f64,
    error_norm: f64,
    drawn_loss: f64,
    drawn_bound: f64,
    drawn_norm: f64,
    tau_bound: f64,
    tau_norm: f64,
    spread: f64,
    rho_bound: f64,
    cost_times_variance_3b: f64,
    cost_times_variance_5b: f64,
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, n) = values.into_iter().fold((0., 0), |(sum, n), v| (sum + v, n + 1));
    sum / f64::from(n)
}

fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// The arms whose uniform runs an experiment is compared with: its own, or those of the same setting elsewhere.
fn reference(
    results: &Results<ImportanceSampling>,
    experiment: &str,
    own: &[(Config, Arm)],
) -> Result<Vec<(Config, Arm)>, Error> {
    match experiment {
        "R3-histories" => arms(results, "R3"),
        "R1-updates" => arms(results, "R1"),
        _ => Ok(own.to_vec()),
    }
}

/// The numbers that figures and verdicts rest on.
pub fn tables(results: &Results<ImportanceSampling>) -> Result<Vec<Table>, Error> {
    let (mut methods, mut costs) = (vec![], vec![]);
    for experiment in results.experiments.iter().filter(|e| !e.name.starts_with("R2")) {
        let own = arms(results, &experiment.name)?;
        let reference = reference(results, &experiment.name, &own)?;
        let uniform = arm(&reference, is_uniform);
        let kappa = measured_cost_ratio(&own);
        for (config, arm) in &own {
            let errors = arm.values(|run| run.tail(ERROR));
            let n = errors.len() as f64;
            let average = mean(errors.iter().copied());
            let variance = errors.iter().map(|e| (e - average).powi(2)).sum::<f64>() / (n - 1.);
            let known = |value: fn(&Run) -> Option<f64>| {
                let values: Vec<f64> = arm.runs.values().filter_map(value).collect();
                (!values.is_empty()).then(|| mean(values))
            };
            let method = match config.method {
                Method::ControlVariate { inner, .. } => {
                    format!("{}, m = {inner}, rate {}", label(config), config.schedule.rate(0.))
                }
                _ => label(config),
            };
            let ended = if arm.runs.is_empty() { &arm.collapsed } else { &arm.runs };
            let spent = |value: &dyn Fn(&Run) -> f64| mean(ended.values().map(value));
            let gain_by = |currency: Currency, value: Value| {
                uniform.and_then(|u| finite(gain_at(u, arm, currency, value).mean()))
            };
            let own_gain = |value: Value| uniform.and_then(|u| finite(gain(u, arm, value).mean()));
            methods.push(MethodRow {
                experiment: experiment.name.clone(),
                method: method.clone(),
                seeds: arm.runs.len(),
                collapsed: arm.collapsed.len(),
                updates: spent(&|run| run.summary.account.updates as f64),
                samples_backpropagated: spent(&|run| run.summary.account.trained as f64),
                forward_equivalents: spent(&|run| run.summary.account.forwards()),
                processor_seconds: spent(&|run| run.summary.seconds.last().copied().unwrap_or(f64::NAN)),
                train_loss: finite(arm.mean(|run| run.tail(LOSS))),
                test_error: finite(average),
                test_error_sd: (n > 1.).then(|| variance.sqrt()),
                switched_on: arm.switched_on(),
                switched_on_share: known(|run| run.summary.switched_on_share),
                gain_at_equal_forwards: own_gain(ERROR),
                gain_at_equal_seconds: gain_by(Currency::Seconds, ERROR),
                seconds_scored: known(|run| run.summary.seconds_scored),
                seconds_trained: known(|run| run.summary.seconds_trained),
            });
            let Some(uniform) = uniform.filter(|_| !is_uniform(&config.method) && !arm.runs.is_empty()) else {
                continue;
            };
            let last = |arm: &Arm| arm.mean(|run| run.summary.account.updates as f64);
            let equal_updates = last(uniform).min(last(arm));
            let rate = |arm: &Arm| arm.mean(|run| run.rate_before(equal_updates));
            let median = |value: fn(&Run) -> Option<f64>, scale: f64| {
                let values: Vec<f64> = arm.runs.values().filter_map(value).collect();
                retrial_core::stats::quantile(&values, 0.5).ok().map(|m| m * scale)
            };
            let own_interval = |value: Value| gain(uniform, arm, value).interval();
            let at_measured = |value: Value| kappa.and_then(|kappa| gain_by(Currency::Forwards(kappa), value));
            costs.push(CostRow {
                experiment: experiment.name.clone(),
                method,
                seeds: arm.runs.keys().filter(|seed| uniform.runs.contains_key(seed)).count(),
                measured_cost_ratio: kappa,
                loss_gain_at_cost_ratio_3: own_gain(LOSS),
                loss_gain_low: own_interval(LOSS).map(|i| i.low),
                loss_gain_high: own_interval(LOSS).map(|i| i.high),
                loss_gain_at_measured_ratio: at_measured(LOSS),
                loss_gain_at_equal_seconds: gain_by(Currency::Seconds, LOSS),
                loss_gain_at_equal_updates: gain_by(Currency::Updates, LOSS),
                error_gain_at_cost_ratio_3: own_gain(ERROR),
                error_gain_low: own_interval(ERROR).map(|i| i.low),
                error_gain_high: own_interval(ERROR).map(|i| i.high),
                error_gain_at_measured_ratio: at_measured(ERROR),
                error_gain_at_equal_seconds: gain_by(Currency::Seconds, ERROR),
                error_gain_at_equal_updates: gain_by(Currency::Updates, ERROR),
                equal_updates,
                uniform_rate_there: rate(uniform),
                method_rate_there: rate(arm),
                median_ms_per_update: median(
                    |run| Some(run.summary.seconds.last()? / run.summary.account.updates as f64),
                    1e3,
                ),
                median_us_per_sample_scored: median(|run| run.summary.seconds_scored, 1e6),
                median_us_per_sample_trained: median(|run| run.summary.seconds_trained, 1e6),
            });
        }
    }
    let mut variance = vec![];
    for experiment in ["R2", "R2-digits"] {
        let runs = analysed(results, experiment)?;
        for updates in moments(&runs) {
            let at = |value: fn(&Snapshot) -> f64| mean(snapshots(&runs, updates).map(value));
            variance.push(VarianceRow {
                experiment,
                updates,
                seeds: snapshots(&runs, updates).count(),
                error_loss: finite(at(|s| s.rms_loss)),
                error_bound: at(|s| s.rms_bound),
                error_norm: at(|s| s.rms_norm),
                drawn_loss: at(|s| s.drawn_loss),
                drawn_bound: at(|s| s.drawn_bound),
                drawn_norm: at(|s| s.drawn_norm),
                tau_bound: at(|s| s.tau_bound),
                tau_norm: at(|s| s.tau_norm),
                spread: at(|s| s.spread),
                rho_bound: at(|s| s.rho_bound),
                cost_times_variance_3b: at(|s| variance_times_cost(3000, 1000, s.rho_bound, TRAINED)),
                cost_times_variance_5b: at(|s| variance_times_cost(5000, 1000, s.rho_bound, TRAINED)),
            });
        }
    }
    let mut tables = vec![];
    if !methods.is_empty() {
        tables.push(Table::from_rows("methods", &methods)?);
    }
    if !costs.is_empty() {
        tables.push(Table::from_rows("costs", &costs)?);
    }
    if !variance.is_empty() {
        tables.push(Table::from_rows("variance", &variance)?);
    }
    let documented = documented_rows(results)?;
    if !documented.is_empty() {
        tables.push(Table::from_rows("documented", &documented)?);
    }
    Ok(tables)
}

/// The published run number by number: as many updates an epoch for both methods, as its log has it.
fn documented_rows(results: &Results<ImportanceSampling>) -> Result<Vec<DocumentedRow>, Error> {
    let (by_cost, by_updates) = (arms(results, "R1")?, arms(results, "R1-updates")?);
    let log = Documented::read()?;
    let mut rows = vec![];
    for (method, found) in
        [("uniform", arm(&by_cost, is_uniform)), ("upper-bound", by_updates.first().map(|(_, arm)| arm))]
    {
        let Some(first) = found.and_then(|arm| arm.runs.values().next()) else { continue };
        let arm = found.expect("has a run");
        let epoch = first.config.task.train.div_ceil(first.config.batch) as u64;
        for logged in log.epochs(method) {
            let updates = logged.epoch as u64 * epoch;
            // Rows stand at shares of the budget, to a few updates.
            let Some(at) = first.rows.iter().position(|row| row.updates.abs_diff(updates) * 50 < epoch) else {
                continue;
            };
            let before = first.rows.iter().position(|row| row.updates.abs_diff(updates - epoch) * 50 < epoch);
            let mean_loss = |run: &Run| {
                let losses: Option<Vec<f64>> = run.rows[before? + 1..=at].iter().map(|row| row.step_loss).collect();
                losses.map(mean)
            };
            let losses: Option<Vec<f64>> = arm.runs.values().map(mean_loss).collect();
            let (test_error, test_error_low, test_error_high) = range(arm.values(|run| run.rows[at].test_error));
            rows.push(DocumentedRow {
                method,
                epoch: logged.epoch,
                updates,
                published_seconds: logged.seconds,
                published_train_loss_with_penalty: logged.train_loss,
                published_test_error: logged.test_error,
                seeds: arm.runs.len(),
                processor_seconds: arm.mean(|run| run.summary.seconds[at]),
                running_train_loss_without_penalty: losses.map(mean),
                test_error,
                test_error_low,
                test_error_high,
            });
        }
    }
    Ok(rows)
}

fn moments(runs: &[Analysed]) -> Vec<u64> {
    runs.first().map_or(vec![], |run| run.snapshots.iter().map(|s| s.updates).collect())
}

fn snapshots(runs: &[Analysed], updates: u64) -> impl Iterator<Item = &Snapshot> {
    runs.iter().flat_map(move |run| run.snapshots.iter().find(|s| s.updates == updates))
}

/// The figures for which there are finished cells, by file stem.
pub fn figures(results: &Results<ImportanceSampling>) -> Result<Vec<(String, Figure)>, Error> {
    let drawn = [
        ("gradient-error", gradient_error(results)?),
        ("probabilities", probabilities(results)?),
        ("training", training(results)?),
        ("documented", documented(results)?),
        ("switch", switch(results)?),
        ("candidates", candidates(results)?),
        ("gains", gains(results)?),
        ("control-variates", control_variates(results)?),
        ("sequence", sequence(results)?),
    ];
    Ok(drawn.into_iter().filter_map(|(name, figure)| Some((name.to_string(), figure?))).collect())
}

/// Mean, least and largest.
fn range(values: Vec<f64>) -> (f64, f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (mean(values), low, high)
}

/// An arm's number along its rows, as a band over the seeds.
fn curve(name: &str, arm: &Arm, x: impl Fn(&Run, usize) -> f64, y: fn(&Row) -> f64) -> Layer {
    let rows = arm.runs.values().map(|run| run.rows.len()).min().unwrap_or(0);
    Layer::band(
        name,
        (0..rows).map(|i| {
            let (middle, low, high) = range(arm.values(|run| y(&run.rows[i])));
            (arm.mean(|run| x(run, i)), middle, low, high)
        }),
    )
    .markers(false)
}

fn seeds(arm: &Arm) -> String {
    format!("{} seeds", arm.runs.len())
}

fn gradient_error(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let digits = analysed(results, "R2-digits")?;
    let unbounded = digits.iter().flat_map(|run| &run.snapshots).any(|s| s.rms_loss.is_infinite());
    let mut figure = Figure::new("How much gradient error is left when samples are drawn by score?")
        .subtitle("A batch resampled from a set, against one resampled uniformly; bands span the seeds")
        .columns(2)
        .heights([230.])
        .share_y(Share::All)
        .caption(&format!(
            "1 is uniform sampling. Exact expectations over all draws. 1/τ is what the method, which sees only the \
             bound, expects at most; on digits it is often exceeded. The learning rate falls at 50 % and 80 % of each \
             run.{}",
            if unbounded {
                " The line of the loss leaves out runs in which a loss rounds to zero: their error has no \
            bound."
            } else {
                ""
            }
        ));
    let mut any = false;
    for (experiment, title) in [("R2", "CIFAR"), ("R2-digits", "MNIST, MLP")] {
        let runs = analysed(results, experiment)?;
        let times = moments(&runs);
        if times.is_empty() {
            continue;
        }
        any = true;
        let title = match results.finished(experiment).first() {
            Some(cell) if experiment == "R2" => {
                let photos = setting(&cell.config);
                photos.split(',').next().map_or(title.to_string(), |name| format!("{name}, wide residual network"))
            }
            _ => title.to_string(),
        };
        let band = |name: &str, value: fn(&Snapshot) -> f64| {
            let at = |&updates: &u64| {
                // Without the runs in which a loss of zero leaves the error without a bound.
                let known = snapshots(&runs, updates).map(value).filter(|v| v.is_finite());
                let (middle, low, high) = range(known.collect());
                (updates as f64, middle, low, high)
            };
            Layer::band(name, times.iter().map(at).collect::<Vec<_>>())
        };
        figure = figure.panel(
            Panel::new()
                .title(&title)
                .x(Axis::linear("updates"))
                .y(Axis::linear("error / uniform").range(0., 1.1))
                .layer(Layer::horizontal("uniform", 1.))
                .layer(band("loss", |s| s.rms_loss))
                .layer(band("upper bound", |s| s.rms_bound))
                .layer(band("true gradient norm", |s| s.rms_norm))
                .layer(Layer::theory(
                    "1/τ",
                    times.iter().map(|&u| (u as f64, mean(snapshots(&runs, u).map(|s| 1. / s.tau_bound)))),
                )),
        );
    }
    Ok(any.then_some(figure))
}

fn probabilities(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let runs = analysed(results, "R2")?;
    let Some(run) = runs.first().filter(|run| !run.probabilities.is_empty()) else { return Ok(None) };
    let set = run.probabilities.iter().take_while(|p| p.updates == run.probabilities[0].updates).count();
    let step = run.probabilities.len().div_ceil(1500);
    let some: Vec<_> = run.probabilities.iter().step_by(step).collect();
    let scale = set as f64;
    let panel = |name: &str, value: fn(&crate::analysis::Probabilities) -> f64| {
        Panel::new()
            .title(name)
            .x(Axis::linear("by true gradient norm, times set size").range(0., 6.))
            .y(Axis::linear("by score, times set size").range(0., 6.))
            .aspect(1.)
            .layer(Layer::diagonal("equal"))
            .layer(Layer::points(name, some.iter().map(|p| (p.norm * scale, value(p) * scale))).faint())
    };
    Ok(Some(
        Figure::new("Does the bound give the probabilities of the true gradient norm?")
            .subtitle(&format!(
                "{} of {} probabilities, all snapshots of one run (seed {}); 1 is uniform",
                some.len(),
                run.probabilities.len(),
                run.seed
            ))
            .columns(2)
            .share_y(Share::All)
            .panel(panel("loss", |p| p.loss))
            .panel(panel("upper bound", |p| p.bound)),
    ))
}

/// Training loss and test error against both currencies.
fn four_panels(figure: Figure, curves: &[(String, &Arm)]) -> Figure {
    type Along = fn(&Run, usize) -> f64;
    let forwards: Along = |run, i| run.rows[i].forwards / 1e3;
    let seconds: Along = |run, i| run.summary.seconds[i];
    type Quantity = fn(&Row) -> f64;
    let quantities: [(Axis, Quantity); 2] =
        [(Axis::log("training loss (nats)"), |row| row.train_loss), (Axis::log2("test error"), |row| row.test_error)];
    let mut figure = figure.columns(2).heights([190.]).share_y(Share::Line);
    for (axis, value) in quantities {
        for (label, x) in [("forward equivalents (thousands)", forwards), ("processor seconds of training", seconds)] {
            let layers = curves.iter().map(|(name, arm)| curve(name, arm, x, value));
            figure = figure.panel(Panel::new().x(Axis::linear(label).from(0.)).y(axis.clone()).layers(layers));
        }
    }
    figure
}

fn training(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let arms = arms(results, "R3")?;
    let mut curves: Vec<(String, &Arm)> = vec![];
    for (config, arm) in &arms {
        let shown = match config.method {
            Method::Uniform | Method::UniformAtEqualCost { .. } => true,
            Method::Importance { score, threshold, presample } => {
                score != Score::Constant && threshold > 0. && presample == 5 * config.batch
            }
            _ => false,
        };
        if shown {
            curves.push((label(config), arm));
        }
    }
    let Some((config, first)) = arms.first().map(|(config, arm)| (config, arm)) else { return Ok(None) };
    Ok(Some(four_panels(
        Figure::new("At equal cost, does any way to choose samples beat uniform sampling?")
            .subtitle(&format!("{}; {}; bands span the seeds", setting(config), seeds(first)))
            .caption("The learning rate falls at 50 % and 80 % of the forward budget, for every method."),
        &curves,
    )))
}

fn sequence(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let arms = arms(results, "R7")?;
    let Some((config, first)) = arms.first() else { return Ok(None) };
    let curves: Vec<(String, &Arm)> = arms.iter().map(|(config, arm)| (label(config), arm)).collect();
    let on = arms.iter().map(|(_, arm)| arm.switched_on()).sum::<usize>();
    let caption = if on == 0 {
        "No run reached its threshold: all three are uniform sampling, with the same images in the same order."
    } else {
        ""
    };
    Ok(Some(four_panels(
        Figure::new("An LSTM on permuted pixels: does the bound help and the loss hurt?")
            .subtitle(&format!("{}; {}; bands span the seeds", setting(config), seeds(first)))
            .caption(caption),
        &curves,
    )))
}

/// The documentation's MNIST run beside ours, cost in epochs of uniform training.
fn documented(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let arms = arms(results, "R1")?;
    let (Some(uniform), Some((config, bound))) =
        (arm(&arms, is_uniform), arms.iter().find(|(c, _)| matches!(c.method, Method::Importance { .. })))
    else {
        return Ok(None);
    };
    let log = Documented::read()?;
    // One epoch of the published uniform run took 3.1 seconds.
    let published = |method: &str, value: fn(&LoggedEpoch) -> f64| -> Vec<(f64, f64)> {
        log.epochs(method).iter().map(|e| (e.seconds / 3.1, value(e))).collect()
    };
    let epoch = config.task.train as f64 * TRAINED;
    let last = uniform.runs.values().next().and_then(|run| run.rows.last()).map_or(10., |row| row.forwards / epoch);
    let panel = |title: &str, axis: Axis, theirs: fn(&LoggedEpoch) -> f64, value: fn(&Row) -> f64| {
        let mut panel = Panel::new()
            .title(title)
            .x(Axis::linear("cost, in epochs of uniform training").range(0., last.max(10.) + 0.5))
            .y(axis);
        for (name, key, arm) in [("uniform", "uniform", uniform), ("upper bound, B = 640", "upper-bound", bound)] {
            let layer = curve(name, arm, |run, i| run.rows[i].forwards / epoch, value);
            let official = published(key, theirs).into_iter().filter(|(x, _)| *x <= last.max(10.) + 0.5);
            panel = panel.layer(layer).layer(Layer::paper(official).like(name));
        }
        panel
    };
    Ok(Some(
        Figure::new("Does the MNIST run of the official documentation come out the same?")
            .subtitle(&format!(
                "Ours beside the published log; MLP 784-512-512-10, RMSprop, b = 128, {}; bands span the seeds",
                seeds(bound)
            ))
            .columns(2)
            .heights([240.])
            .caption(
                "Ours against forward equivalents; the published points, single runs, against their seconds over 3.1 s \
                 an epoch. Published training losses are running means over an epoch and include the penalty; ours are \
                 not and do not.",
            )
            .panel(panel(
                "training loss",
                Axis::log("training loss (nats)").range(0.002, 2.5),
                |e| e.train_loss,
                |row| row.train_loss,
            ))
            .panel(panel(
                "test error",
                Axis::linear("test error").range(0., 0.08),
                |e| e.test_error,
                |row| row.test_error,
            )),
    ))
}

fn switch(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let mut above = Panel::new()
        .title("tau, moving average")
        .x(Axis::linear("share of the budget").range(0., 1.))
        .y(Axis::log2("τ").from(0.9))
        .layer(Layer::horizontal("threshold 1.5", 1.5).dash(Dash::Dotted))
        .layer(Layer::horizontal("1.8", 1.8).dash(Dash::Dashed))
        .layer(Layer::horizontal("2.0", 2.0).dash(Dash::DashDot))
        .layer(Layer::horizontal("2.67", 2.667).dash(Dash::Solid));
    let mut below = Panel::new()
        .title("share of updates that sample by score")
        .x(Axis::linear("share of the budget").range(0., 1.))
        .y(Axis::linear("active").range(0., 1.02));
    let mut any = false;
    for (experiment, name) in [
        ("R1", "MNIST, MLP, formula"),
        ("R3", "CIFAR-10, two classes, 1.5"),
        ("R3-ten", "CIFAR-10, 1.5"),
        ("R4", "CIFAR-100, 1.5"),
        ("R6", "fine-tuning, 2.0"),
        ("R7", "LSTM, 1.8"),
    ] {
        let arms = arms(results, experiment)?;
        let Some((config, _)) = arms.first() else { continue };
        let exact = is_importance(Score::UpperBound, config.batch, Some(5), Some(1.5));
        let found =
            arm(&arms, exact).or_else(|| arm(&arms, is_importance(Score::UpperBound, config.batch, None, None)));
        let Some(arm) = found else { continue };
        any = true;
        // The untrained network has no tau.
        let skip = |layer_of: fn(&Row) -> f64| {
            let rows = arm.runs.values().map(|run| run.rows.len()).min().unwrap_or(0);
            let at = |i: usize| {
                let (middle, low, high) = range(arm.values(|run| layer_of(&run.rows[i])));
                (arm.mean(|run| run.rows[i].share), middle, low, high)
            };
            Layer::band(name, (1..rows).map(at).collect::<Vec<_>>()).markers(false)
        };
        above = above.layer(skip(|row| row.tau));
        below = below.layer(skip(|row| row.active.unwrap_or(0.)));
    }
    let figure = Figure::new("When does importance sampling turn itself on?")
        .subtitle("Runs with the upper bound; each is named with its own threshold; bands span the seeds")
        .columns(2)
        .heights([250.])
        .panel(above)
        .panel(below);
    Ok(any.then_some(figure))
}

fn candidates(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let arms = arms(results, "R5")?;
    let mut points = vec![];
    let mut taus = vec![];
    for (config, arm) in &arms {
        let Method::Importance { presample, .. } = config.method else { continue };
        if arm.runs.is_empty() {
            continue;
        }
        let (middle, low, high) = range(arm.values(|run| run.tail(LOSS)));
        points.push(((presample / config.batch) as f64, middle, low, high));
        taus.extend(arm.runs.values().map(|run| run.end(|row| row.tau)));
    }
    if points.is_empty() {
        return Ok(None);
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let uniform = arm(&arms, is_uniform);
    let mut losses = Panel::new()
        .title("measured: final training loss")
        .x(Axis::linear("candidates per sample trained on, B / b").range(1.5, 8.5).whole())
        .y(Axis::linear("training loss (nats)"));
    if let Some(uniform) = uniform {
        let (middle, low, high) = range(uniform.values(|run| run.tail(LOSS)));
        let across = [1.5, 8.5].map(|k| (k, middle, low, high));
        losses = losses.layer(Layer::band("uniform sampling", across).markers(false).dash(Dash::Dashed));
    }
    losses = losses.layer(Layer::band("upper bound, τ > 1.5", points).markers(true));
    let ks = || (0..=65).map(|i| 1.5 + f64::from(i) * 0.1);
    let product = |tau: f64| {
        move |k: f64| {
            let (presample, batch) = ((k * 1000.).round() as usize, 1000);
            (k, variance_times_cost(presample, batch, tau.powi(-2), TRAINED))
        }
    };
    let measured = mean(taus);
    let mut predicted = Panel::new()
        .title("predicted: variance × cost over uniform's")
        .x(Axis::linear("candidates per sample trained on, B / b").range(1.5, 8.5).whole())
        .y(Axis::linear("variance × cost").from(0.))
        .layer(Layer::horizontal("break-even", 1.));
    for (name, tau) in [
        ("τ = 1.5".to_string(), 1.5),
        (format!("τ = {measured:.2}, as measured at the end"), measured),
        ("τ = 3".to_string(), 3.),
    ] {
        predicted = predicted.layer(Layer::theory(&name, ks().map(product(tau))));
    }
    let config = &arms[0].0;
    Ok(Some(
        Figure::new("How many candidates B for a batch of b, at equal cost?")
            .subtitle(&format!("{}; bands span the seeds", setting(config)))
            .columns(2)
            .heights([230.])
            .caption(
                "Right: (b/B + 1/τ²)(1 + B/3b), with the variance of drawing candidates counted and the mean gradient \
                 neglected; below 1 sampling by score pays. The paper recommends 2 < B/b < 6.",
            )
            .panel(losses)
            .panel(predicted),
    ))
}

/// Relative gain over uniform sampling, one panel for each currency.
fn gains(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let mut names: Vec<String> = vec![];
    let mut left_out: Vec<String> = vec![];
    let (mut forwards, mut seconds) = (vec![], vec![]);
    for (experiment, title) in COMPARED {
        let own = arms(results, experiment)?;
        let reference = reference(results, experiment, &own)?;
        let Some(uniform) = arm(&reference, is_uniform) else { continue };
        for (config, arm) in &own {
            let idle = matches!(config.method, Method::Importance { .. }) && arm.switched_on() == 0;
            // B = 5b stands in R3 already.
            let known = experiment == "R5"
                && matches!(config.method, Method::Importance { presample, .. } if presample == 5 * config.batch);
            if is_uniform(&config.method) || idle || known {
                continue;
            }
            // What is left of an arm that lost runs would flatter it.
            if !arm.collapsed.is_empty() {
                let all = arm.collapsed.len() + arm.runs.len();
                left_out.push(format!("{} ({} of {all} runs)", label(config), arm.collapsed.len()));
                continue;
            }
            let bar = |paired: crate::readings::Paired| {
                let mean = paired.mean();
                let (low, high) = over_seeds(&paired.values).map_or((mean, mean), |i| (i.low, i.high));
                (100. * mean, 100. * low, 100. * high)
            };
            names.push(format!("{title}: {}", label(config)));
            forwards.push(bar(gain(uniform, arm, ERROR)));
            seconds.push(bar(gain_at(uniform, arm, Currency::Seconds, ERROR)));
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    let panel = |title: &str, name: &str, rows: &[(f64, f64, f64)]| {
        Panel::new()
            .title(title)
            .x(Axis::linear("lower test error than uniform (%)"))
            .y(Axis::categories("", names.clone()))
            .layer(Layer::vertical("uniform sampling", 0.))
            .layer(Layer::forest(name, rows.iter().copied()))
    };
    Ok(Some(
        Figure::new("Does choosing samples lower the test error at equal cost?")
            .subtitle("Relative gain over uniform sampling, paired seeds; bars are 95 % intervals")
            .columns(2)
            .width(1000.)
            .heights([34. * names.len() as f64 + 20.])
            .share_y(Share::Line)
            .caption(&format!(
                "Right of zero is better than uniform sampling. Methods that never switched on are uniform sampling and \
                 left out.{}",
                match left_out.is_empty() {
                    true => String::new(),
                    false => format!(" Left out because runs ended at chance: {}.", left_out.join("; ")),
                }
            ))
            .panel(panel("at equal forward equivalents", "gain", &forwards))
            .panel(panel("at equal processor seconds", "gain", &seconds)),
    ))
}

fn control_variates(results: &Results<ImportanceSampling>) -> Result<Option<Figure>, Error> {
    let arms = arms(results, "R8")?;
    let best = best_control_variates(&arms);
    if best.is_empty() {
        return Ok(None);
    }
    let plain = arms.iter().filter(|(c, _)| !matches!(c.method, Method::ControlVariate { .. }));
    let mut curves: Vec<(String, &Arm)> = plain
        .map(|(config, arm)| {
            let name = if is_uniform(&config.method) { "SGD with momentum".into() } else { label(config) };
            (name, arm)
        })
        .collect();
    curves.extend(best.iter().map(|(name, (_, arm))| (name.clone(), *arm)));
    let config = &arms[0].0;
    Ok(Some(four_panels(
        Figure::new("Do control variates reach the loss of SGD with momentum?").subtitle(&format!(
            "{}; best learning rate and snapshot interval of each; bands span the seeds",
            setting(config)
        )),
        &curves,
    )))
}
