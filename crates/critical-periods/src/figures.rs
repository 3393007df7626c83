//! Tables and figures, from finished cells alone.

use retrial_core::Seed;
use retrial_core::chart::{Axis, Color, Figure, Image, Layer, Panel, Share, Thumbnail};
use retrial_core::data::{Dataset, DatasetId};
use retrial_core::results::{Error, Table};
use retrial_core::stats::{Interval, mean_t_interval};
use serde::Serialize;

use crate::claims::{Gate, reported};
use crate::config::{Arm, TaskConfig};
use crate::deficit::{Deficit, Lens};
use crate::experiments::{ADAM, BLUR, DEPTHS, DIGITS, FIXED, OTHERS, RESNET, WINDOWS, control_of};
use crate::readings::{
    Curve, PaperResults, at_removal, fisher, learning_curve, plateau, scale_free_error, scale_free_trace, shares,
    trace, trace_error, with_controls,
};
use crate::task::Task;
use crate::trial::FisherRow;

/// Epochs of the paper's control.
const PAPER_EPOCHS: f64 = 160.;

const BLURRED: &str = "blur until N, then clean";
const LATE_START: &str = "no blur, late start (C1)";

/// Accuracy of one course; a row of `courses.csv`.
#[derive(Serialize)]
struct CourseRow {
    experiment: String,
    course: String,
    seeds: usize,
    accuracy: f64,
    ci95_low: Option<f64>,
    ci95_high: Option<f64>,
    drop: Option<f64>,
    drop_ci95_low: Option<f64>,
    drop_ci95_high: Option<f64>,
}

/// Fisher information of one course, mean over seeds; a row of `fisher.csv`.
#[derive(Serialize)]
struct TraceRow {
    experiment: String,
    course: String,
    epoch: usize,
    seeds: usize,
    trace: f64,
    /// Monte-Carlo standard error of one seed's trace, an upper bound.
    standard_error: Option<f64>,
    scale_free_trace: f64,
    entropy: f64,
}

/// Fisher information of one layer at the end of a course, mean over seeds; a row of `layers.csv`.
#[derive(Serialize)]
struct LayerRow {
    experiment: String,
    course: String,
    layer: String,
    weights: usize,
    trace: f64,
    standard_error: Option<f64>,
    trace_per_weight: f64,
    square_norm: f64,
    share: f64,
}

/// Control C5: what new statistics of batch norm alone bring back at the end of a deficit; a row of `statistics.csv`.
#[derive(Serialize)]
struct StatisticsRow {
    experiment: String,
    course: String,
    seeds: usize,
    /// Test accuracy with the statistics that training left.
    stale: f64,
    /// With statistics of clean images.
    renewed: f64,
    gain: f64,
    gain_ci95_low: Option<f64>,
    gain_ci95_high: Option<f64>,
    /// After the clean epochs.
    trained: f64,
}

/// Accuracies and drops of every course, Fisher readings, and what statistics of batch norm do.
///
/// # Errors
/// If a table of a cell cannot be read.
pub fn tables(results: &PaperResults) -> Result<Vec<Table>, Error> {
    let (mut courses, mut traces, mut last, mut statistics) = (vec![], vec![], vec![], vec![]);
    for experiment in &results.experiments {
        let curve = Curve::of(results, &experiment.name);
        // One clean control serves several deficits, late starts and restarts.
        let base = Curve::of(results, control_of(&experiment.name));
        let shortest = curve.window_lengths().first().copied();
        let control = match shortest.and_then(|length| curve.windows(length)) {
            Some((control, _)) => control,
            None => curve.removal(0),
        };
        let controls = if curve.0.contains_key(&control) { curve.clone() } else { base.clone().and(curve.clone()) };
        let control = if curve.0.contains_key(&control) { control } else { base.removal(0) };
        for (&arm, seeds) in &curve.0 {
            let values: Vec<f64> = seeds.values().copied().collect();
            let interval = mean_t_interval(&values, 0.95).ok();
            let drop = controls.difference(control, arm);
            courses.push(CourseRow {
                experiment: experiment.name.clone(),
                course: arm.to_string(),
                seeds: values.len(),
                accuracy: values.iter().sum::<f64>() / values.len() as f64,
                ci95_low: interval.map(|i| i.low),
                ci95_high: interval.map(|i| i.high),
                drop: drop.map(|i| i.estimate),
                drop_ci95_low: drop.map(|i| i.low),
                drop_ci95_high: drop.map(|i| i.high),
            });
            statistics.extend(statistics_row(results, &experiment.name, arm, &curve)?);
            let read = readings(results, &experiment.name, arm)?;
            if let Some(rows) = read.values().last() {
                last.extend(layer_rows(&experiment.name, &arm.to_string(), rows));
            }
            for (epoch, rows) in read {
                let n = rows.len() as f64;
                traces.push(TraceRow {
                    experiment: experiment.name.clone(),
                    course: arm.to_string(),
                    epoch,
                    seeds: rows.len(),
                    trace: rows.iter().map(|r| trace(r)).sum::<f64>() / n,
                    standard_error: rows.iter().map(|r| trace_error(r)).sum::<Option<f64>>().map(|e| e / n),
                    scale_free_trace: rows.iter().map(|r| scale_free_trace(r)).sum::<f64>() / n,
                    entropy: rows.iter().map(|r| r[0].entropy).sum::<f64>() / n,
                });
            }
        }
    }
    Ok(vec![
        Table::from_rows("courses", &courses)?,
        Table::from_rows("fisher", &traces)?,
        Table::from_rows("layers", &last)?,
        Table::from_rows("statistics", &statistics)?,
    ])
}

fn statistics_row(
    results: &PaperResults,
    experiment: &str,
    arm: Arm,
    curve: &Curve,
) -> Result<Option<StatisticsRow>, Error> {
    let pairs = results.finished(experiment).iter().map(|cell| at_removal(cell, arm));
    let pairs: Vec<(f64, f64)> = pairs.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let gains: Vec<f64> = pairs.iter().map(|(stale, renewed)| renewed - stale).collect();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let interval = mean_t_interval(&gains, 0.95).ok();
    Ok(Some(StatisticsRow {
        experiment: experiment.into(),
        course: arm.to_string(),
        seeds: pairs.len(),
        stale: mean(pairs.iter().map(|p| p.0).collect()),
        renewed: mean(pairs.iter().map(|p| p.1).collect()),
        gain: mean(gains),
        gain_ci95_low: interval.map(|i| i.low),
        gain_ci95_high: interval.map(|i| i.high),
        trained: mean(curve.seeds(arm).into_values().collect()),
    }))
}

fn layer_rows(experiment: &str, course: &str, seeds: &[Vec<FisherRow>]) -> Vec<LayerRow> {
    let n = seeds.len() as f64;
    let mean = |of: &dyn Fn(&[FisherRow]) -> f64| seeds.iter().map(|rows| of(rows)).sum::<f64>() / n;
    let row = |(i, first): (usize, &FisherRow)| LayerRow {
        experiment: experiment.into(),
        course: course.into(),
        layer: first.layer.clone(),
        weights: first.weights,
        trace: mean(&|rows| rows[i].trace),
        standard_error: seeds.iter().map(|rows| rows[i].standard_error).sum::<Option<f64>>().map(|e| e / n),
        trace_per_weight: mean(&|rows| rows[i].trace / rows[i].weights as f64),
        square_norm: mean(&|rows| rows[i].square_norm),
        share: mean(&|rows| shares(rows)[i]),
    };
    seeds.first().into_iter().flatten().enumerate().map(row).collect()
}

/// Fisher readings of a course at each epoch: one entry a seed.
fn readings(
    results: &PaperResults,
    experiment: &str,
    arm: Arm,
) -> Result<std::collections::BTreeMap<usize, Vec<Vec<FisherRow>>>, Error> {
    let mut of = std::collections::BTreeMap::new();
    for cell in results.finished(experiment) {
        for (epoch, rows) in fisher(cell, arm)? {
            of.entry(epoch).or_insert_with(Vec::new).push(rows);
        }
    }
    Ok(of)
}

/// All figures that there are cells for.
///
/// # Errors
/// If a table of a cell or the embedded images cannot be read.
pub fn figures(results: &PaperResults) -> Result<Vec<(String, Figure)>, Error> {
    let mut figures = vec![];
    let mut add = |name: &str, figure: Option<Figure>| figures.extend(figure.map(|f| (name.to_string(), f)));
    add("removal", removal(results)?);
    add("sensitivity", sensitivity(results)?);
    add("deficits", deficits(results)?);
    add("controls", controls(results)?);
    add("depth", depth(results)?);
    add("fisher", fisher_over_time(results)?);
    add("trace-and-sensitivity", trace_and_sensitivity(results)?);
    add("layers", layers(results)?);
    Ok(figures)
}

fn band(points: &[(f64, Option<Interval>)]) -> Vec<(f64, f64, f64, f64)> {
    points.iter().filter_map(|(x, i)| i.map(|i| (*x, i.estimate, i.low, i.high))).collect()
}

/// What the runs of an experiment are, for subtitles.
fn setting(results: &PaperResults, experiment: &str) -> String {
    let cells = results.finished(experiment);
    let Some(cell) = cells.first() else { return String::new() };
    let t = cell.config.task;
    format!("{}, {} images of {} x {} pixels, {} seeds", t.dataset, t.train, t.side, t.side, cells.len())
}

/// Fig. 1A, in the paper's epochs.
fn removal(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let curve = with_controls(results, BLUR);
    let (Some(clean), [_, _, ..]) = (curve.clean(), &curve.removals()[..]) else { return Ok(None) };
    let scale = PAPER_EPOCHS / clean as f64;
    let points = |arm: &dyn Fn(usize) -> Arm| -> Vec<(f64, Option<Interval>)> {
        curve.removals().into_iter().map(|n| (n as f64 * scale, curve.accuracy(arm(n)))).collect()
    };
    let late = |n: usize| if n == 0 { curve.removal(0) } else { Arm::LateStart { start: n, clean } };
    let learning: Vec<(usize, f64)> = learning_curve(results, BLUR)?;
    let reported = reported()?;
    let (solid, dashed) = (reported.item("Fig1A solid").points(), reported.item("Fig1A dashed").points());
    let x = || Axis::linear("epoch N, in the paper's epochs (control: 160)").range(0., 160.);
    let mut ours = Panel::new()
        .title("here")
        .x(x())
        .y(Axis::linear("final test accuracy (%)"))
        .layer(Layer::theory("control while it trains", learning.iter().map(|&(e, a)| (e as f64 * scale, a))))
        .layer(Layer::band(BLURRED, band(&points(&|n| curve.removal(n)))).color(Color::VERMILLION))
        .layer(Layer::band(LATE_START, band(&points(&late))).color(Color::BLUE));
    if let Some(flat) = plateau(&learning) {
        ours = ours.layer(Layer::vertical("control flat from here", flat as f64 * scale));
    }
    let paper = Panel::new()
        .title("paper (All-CNN, full CIFAR-10)")
        .x(x())
        .y(Axis::linear("final test accuracy (%)"))
        .layer(Layer::theory("control while it trains", dashed))
        .layer(Layer::paper(solid));
    Ok(Some(
        Figure::new("Does early blur lower accuracy for good?")
            .subtitle(&format!("{}; bands are 95 % intervals", setting(results, BLUR)))
            .panel(ours)
            .panel(paper)
            .columns(2)
            .share_y(Share::All)
            .heights([330.])
            .caption("Every course trains as many clean epochs as the control, but at the rate that is left by then."),
    ))
}

/// Fig. 1C, in the paper's epochs.
fn sensitivity(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let (curve, clean) = (Curve::of(results, WINDOWS), Curve::of(results, BLUR).clean());
    let shortest = curve.window_lengths().first().and_then(|&length| curve.windows(length));
    let (Some((control, list)), Some(clean)) = (shortest, clean) else { return Ok(None) };
    let scale = PAPER_EPOCHS / clean as f64;
    let drops: Vec<(f64, Option<Interval>)> =
        list.iter().map(|&(onset, arm)| (onset as f64 * scale, curve.difference(control, arm))).collect();
    let length = match list.first() {
        Some((_, Arm::Window { length, .. })) => *length as f64 * scale,
        _ => 0.,
    };
    let panel = Panel::new()
        .x(Axis::linear("onset of the window, in the paper's epochs").range(-5., 150.))
        .y(Axis::linear("loss of final accuracy (percentage points)"))
        .layer(Layer::horizontal("no loss", 0.))
        .layer(Layer::band("here", band(&drops)).color(Color::VERMILLION))
        .layer(Layer::paper(reported()?.item("Fig1C solid").points()));
    Ok(Some(
        Figure::new("When does a window of blur hurt most?")
            .subtitle(&format!("{}; windows of {length:.0} epochs, band: 95 % interval", setting(results, WINDOWS)))
            .panel(panel)
            .heights([360.])
            .caption("Paper: windows of 40 epochs, All-CNN, full CIFAR-10, read from Fig. 1C."),
    ))
}

/// Final accuracy after each deficit beside the late start, and the images themselves.
fn deficits(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let late = with_controls(results, BLUR);
    let all: Vec<(&str, Curve)> = std::iter::once(("blur", Curve::of(results, BLUR)))
        .chain(OTHERS.iter().map(|(name, _)| (*name, Curve::of(results, name))))
        .filter(|(_, curve)| !curve.0.is_empty())
        .collect();
    let Some((_, blur)) = all.first() else { return Ok(None) };
    let (Some(clean), Some(&at)) = (blur.clean(), blur.removals().last()) else { return Ok(None) };
    let mut rows = vec![("control".to_string(), blur.accuracy(blur.removal(0)))];
    rows.push(("late start (C1)".into(), late.accuracy(Arm::LateStart { start: at, clean })));
    rows.extend(all.iter().map(|(name, curve)| (name.replace('-', " "), curve.accuracy(curve.removal(at)))));
    let rows: Vec<(String, Interval)> = rows.into_iter().filter_map(|(name, i)| Some((name, i?))).collect();
    let panel = Panel::new()
        .y(Axis::categories("", rows.iter().map(|(name, _)| name.clone())))
        .x(Axis::linear("final test accuracy (%)"))
        .layer(
            Layer::forest("mean and 95 % interval", rows.iter().map(|(_, i)| (i.estimate, i.low, i.high)))
                .color(Color::BLUE),
        );
    let title = format!("Which deficits leave a trace? Deficit until epoch {at} of {clean}");
    let mut figure = Figure::new(&title)
        .subtitle(&format!("{}; then {clean} clean epochs", setting(results, BLUR)))
        .panel(panel)
        .caption("Photos are shown at 32 x 32 pixels; labels permuted leave them as they are.");
    let mut heights = vec![42. * rows.len() as f64 + 40.];
    // With more than one removal epoch, each deficit has a curve.
    if all.iter().any(|(name, curve)| *name != "blur" && curve.removals().len() > 1) {
        let mut over_n = Panel::new()
            .x(Axis::linear("epoch N at which the deficit goes").whole())
            .y(Axis::linear("final test accuracy (%)"));
        let control = (0., blur.accuracy(blur.removal(0)));
        let colors = [Color::VERMILLION, Color::GREEN, Color::ORANGE, Color::PURPLE];
        for ((name, curve), color) in all.iter().zip(colors) {
            let own =
                curve.removals().into_iter().filter(|n| *n > 0).map(|n| (n as f64, curve.accuracy(curve.removal(n))));
            let points: Vec<(f64, Option<Interval>)> = std::iter::once(control).chain(own).collect();
            over_n = over_n.layer(Layer::band(&name.replace('-', " "), band(&points)).color(color));
        }
        let starts = blur.removals().into_iter().filter(|n| *n > 0);
        let starts = starts.map(|start| (start as f64, late.accuracy(Arm::LateStart { start, clean })));
        let points: Vec<(f64, Option<Interval>)> = std::iter::once(control).chain(starts).collect();
        figure = figure.panel(over_n.layer(Layer::band("late start (C1)", band(&points)).color(Color::BLUE)));
        heights.push(300.);
    }
    heights.push(190.);
    Ok(Some(figure.panel(images()?).heights(heights)))
}

/// What a caption says of gates that these experiments miss.
fn gates_missed(results: &PaperResults, experiments: &[&str]) -> Result<String, Error> {
    let mut missed = String::new();
    for experiment in experiments {
        if let Some(why) = Gate::of(results, &[experiment])?.missed {
            missed += &format!(" No verdict, {why}");
        }
    }
    Ok(missed)
}

/// Loss and ratio of errors for each depth (Fig. 3, right).
fn depth(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let (mut names, mut drops, mut ratios) = (vec![], vec![], vec![]);
    let mut latest = 0;
    for (i, experiment) in DEPTHS.into_iter().enumerate() {
        let curve = Curve::of(results, experiment);
        let Some(&at) = curve.removals().last() else { continue };
        let (control, blurred) = (curve.removal(0), curve.removal(at));
        let after = curve.seeds(blurred);
        let ratio: Vec<f64> = curve
            .seeds(control)
            .into_iter()
            .filter_map(|(seed, before)| Some((100. - after.get(&seed)?) / (100. - before)))
            .collect();
        let (Some(drop), Ok(ratio)) = (curve.difference(control, blurred), mean_t_interval(&ratio, 0.95)) else {
            continue;
        };
        names.push(format!("{} convolutions", 2 * (i + 1) + 4));
        drops.push((drop.estimate, drop.low, drop.high));
        ratios.push((ratio.estimate, ratio.low, ratio.high));
        latest = at;
    }
    if names.len() < 2 {
        return Ok(None);
    }
    let missed = gates_missed(results, &DEPTHS)?;
    let panel = |label: &str, zero: f64, rows: Vec<(f64, f64, f64)>| {
        Panel::new()
            .x(Axis::linear(label))
            .y(Axis::categories("", names.clone()))
            .layer(Layer::vertical("no loss", zero))
            .layer(Layer::forest("mean and 95 % interval", rows).color(Color::VERMILLION))
    };
    Ok(Some(
        Figure::new("Do deeper networks lose more?")
            .subtitle(&format!("{}; blur until epoch {latest}, fixed rate", setting(results, DEPTHS[0])))
            .panel(panel("loss of final accuracy (percentage points)", 0., drops))
            .panel(panel("error after blur / error of the control", 1., ratios))
            .columns(2)
            .heights([42. * names.len() as f64 + 60.])
            .caption(&format!(
                "One width at every depth. Paper: larger with depth (Fig. 3, right; no numbers known).{missed}"
            )),
    ))
}

/// Trace of the control beside its accuracy and the sensitivity to windows of blur (Fig. 4, left).
fn trace_and_sensitivity(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let (blur, windows) = (Curve::of(results, BLUR), Curve::of(results, WINDOWS));
    let of = readings(results, BLUR, blur.removal(0))?;
    if of.is_empty() || windows.window_lengths().is_empty() {
        return Ok(None);
    }
    let end = blur.clean().unwrap_or(0) as f64;
    let x = || Axis::linear("epoch").range(0., end).whole();
    let at = |(&epoch, rows): (&usize, &Vec<Vec<FisherRow>>)| {
        let logs: Vec<f64> = rows.iter().map(|r| trace(r).ln()).collect();
        let interval = mean_t_interval(&logs, 0.95).ok();
        interval.map(|i| (epoch as f64, i.estimate.exp(), i.low.exp(), i.high.exp()))
    };
    let traces = Panel::new()
        .title("Fisher trace of the control")
        .x(x())
        .y(Axis::log("trace of F"))
        .layer(Layer::band("control", of.iter().filter_map(at)).color(Color::BLACK));
    let learning = learning_curve(results, BLUR)?;
    let accuracy =
        Panel::new().title("its test accuracy").x(x()).y(Axis::linear("test accuracy (%)")).layer(
            Layer::line("control", learning.iter().map(|&(e, a)| (e as f64, a))).color(Color::BLACK).markers(false),
        );
    let mut sensitivity = Panel::new()
        .title("loss from a window of blur that opens here")
        .x(x())
        .y(Axis::linear("percentage points"))
        .layer(Layer::horizontal("no loss", 0.));
    for (length, color) in windows.window_lengths().into_iter().zip([Color::VERMILLION, Color::BLUE]) {
        let Some((control, list)) = windows.windows(length) else { continue };
        let drops: Vec<(f64, Option<Interval>)> =
            list.iter().map(|&(onset, arm)| (onset as f64, windows.difference(control, arm))).collect();
        sensitivity = sensitivity.layer(Layer::band(&format!("window of {length} epochs"), band(&drops)).color(color));
    }
    Ok(Some(
        Figure::new("Does sensitivity to blur follow the Fisher information?")
            .subtitle(&format!("{}; bands are 95 % intervals over seeds", setting(results, BLUR)))
            .panels([traces, accuracy, sensitivity])
            .columns(3)
            .heights([280.])
            .caption("Paper: both rise and fall together (Fig. 4, left; no numbers known)."),
    ))
}

/// Three photos as a network sees them under each deficit.
pub fn images() -> Result<Panel, Error> {
    let data = Dataset::load(DatasetId::Cifar10Subset, None).map_err(Error::other)?;
    let config = TaskConfig { dataset: DatasetId::Cifar10Subset, train: 10, test: 10, side: 32 };
    let task = Task::of(&data, &config, Seed(1)).map_err(Error::other)?;
    let samples = [1, 8];
    let x = task.batch(&task.train, &samples, &candle_core::Device::Cpu).map_err(Error::other)?;
    let clean: Vec<f32> = x.flatten_all().and_then(|x| x.to_vec1()).map_err(Error::other)?;
    let retrial_core::data::Normalisation::PerChannel(scale) = &task.normalisation else {
        return Err(Error::other("photos are normalised by channel"));
    };
    let deficits = [None, Some(Deficit::Blur), Some(Deficit::BlurAliased), Some(Deficit::Flip), Some(Deficit::Noise)];
    let mut thumbnails = vec![];
    for row in 0..samples.len() {
        for deficit in deficits {
            let mut pixels = clean.clone();
            if let Some(deficit) = deficit {
                Lens::new(deficit, 32, 3, Seed(1)).spoil(&mut pixels, &samples, 0, 0);
            }
            let image = &pixels[row * 3072..][..3072];
            let byte = |x: usize, y: usize, c: usize| {
                let (mean, deviation) = scale[c];
                (255. * (image[(y * 32 + x) * 3 + c] * deviation + mean)).round().clamp(0., 255.) as u8
            };
            let image = Image::new(32, 32, |x, y| Color(byte(x, y, 0), byte(x, y, 1), byte(x, y, 2)));
            thumbnails.push(Thumbnail::new(image, deficit.map_or("clean", Deficit::name)));
        }
    }
    Ok(Panel::sheet(deficits.len(), thumbnails))
}

/// What is left of the loss when the controls are taken into account.
fn controls(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let blur = with_controls(results, BLUR);
    let (Some(clean), Some(&at)) = (blur.clean(), blur.removals().last()) else { return Ok(None) };
    let (control, blurred) = (blur.removal(0), blur.removal(at));
    let longer = blur
        .0
        .keys()
        .copied()
        .filter(|arm| matches!(arm, Arm::Removal { removal, clean: own } if *removal == at && *own > clean))
        .max();
    let late = Arm::LateStart { start: at, clean };
    let mut rows = vec![
        ("as described: control - blur".to_string(), blur.difference(control, blurred)),
        ("late start alone (C1): control - C1".into(), blur.difference(control, late)),
        ("beyond a late start: C1 - blur".into(), blur.difference(late, blurred)),
        ("rate restarted (C3): control - C3".into(), blur.difference(control, Arm::Restart { removal: at, clean })),
        ("longer training (C4): control - C4".into(), longer.and_then(|arm| blur.difference(control, arm))),
    ];
    let others = [
        ("Adam, constant rate", ADAM),
        ("fixed rate (C2)", FIXED),
        ("digits, fixed rate", DIGITS),
        ("ResNet-18", RESNET),
    ];
    let mut until = vec![];
    for (name, experiment) in others {
        let curve = with_controls(results, experiment);
        let Some(&last) = curve.removals().last().filter(|n| **n > 0) else { continue };
        let late = Arm::LateStart { start: last, clean: curve.clean().unwrap_or(0) };
        let gate = if Gate::of(results, &[experiment])?.missed.is_some() { " (gate missed)" } else { "" };
        rows.push((format!("{name}{gate}: control - blur"), curve.difference(curve.removal(0), curve.removal(last))));
        rows.push((format!("{name}{gate}: C1 - blur"), curve.difference(late, curve.removal(last))));
        until.push(format!("{name} {last}"));
    }
    let rows: Vec<(String, Interval)> = rows.into_iter().filter_map(|(name, i)| Some((name, i?))).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let missed = gates_missed(results, &others.map(|(_, experiment)| experiment))?;
    let panel = Panel::new()
        .y(Axis::categories("", rows.iter().map(|(name, _)| name.clone())))
        .x(Axis::linear("loss of final accuracy (percentage points)"))
        .layer(Layer::vertical("no loss", 0.))
        .layer(
            Layer::forest("mean and 95 % interval", rows.iter().map(|(_, i)| (i.estimate, i.low, i.high)))
                .color(Color::VERMILLION),
        );
    Ok(Some(
        Figure::new("Is it the blur, or the learning rate that is left after it?")
            .subtitle(&format!("{}; blur until epoch {at} of {clean}", setting(results, BLUR)))
            .panel(panel)
            .heights([34. * rows.len() as f64 + 40.])
            .caption(&format!("Other learners are blurred until epoch: {}.{missed}", until.join(", "))),
    ))
}

/// Trace of the Fisher information over time, raw and with the scale of the weights taken out.
fn fisher_over_time(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let curve = Curve::of(results, BLUR);
    let removals = curve.removals();
    if removals.len() < 2 {
        return Ok(None);
    }
    let colors = [Color::BLACK, Color::BLUE, Color::GREEN, Color::PURPLE, Color::VERMILLION, Color::ORANGE, Color::SKY];
    let mut panels = vec![];
    type Reading = fn(&[FisherRow]) -> f64;
    type Bound = fn(&[FisherRow]) -> Option<f64>;
    for (title, label, of, error) in [
        ("trace", "trace of F", trace as Reading, trace_error as Bound),
        (
            "trace times squared weights, by layer",
            "sum of |w|² tr F",
            scale_free_trace as Reading,
            scale_free_error as Bound,
        ),
    ] {
        let mut panel = Panel::new().title(title).x(Axis::linear("epoch").whole()).y(Axis::log(label));
        for (&n, &color) in removals.iter().zip(colors.iter().cycle()) {
            let name = if n == 0 { "control".to_string() } else { format!("blur until {n}") };
            let point = |(epoch, rows): (usize, Vec<Vec<FisherRow>>)| {
                let count = rows.len() as f64;
                let mean = (rows.iter().map(|r| of(r).ln()).sum::<f64>() / count).exp();
                // Of the mean over seeds, which draw their labels independently.
                let squares = rows.iter().map(|r| error(r).map(|e| (e / of(r)).powi(2))).sum::<Option<f64>>();
                let spread = squares.map_or(f64::NAN, |s| 2. * s.sqrt() / count);
                (epoch as f64, mean, mean * (-spread).exp(), mean * spread.exp())
            };
            let points: Vec<(f64, f64, f64, f64)> =
                readings(results, BLUR, curve.removal(n))?.into_iter().map(point).collect();
            if !points.is_empty() {
                panel = panel.layer(Layer::band(&name, points).color(color).markers(true));
            }
        }
        for n in removals.iter().filter(|n| **n > 0) {
            panel = panel.layer(Layer::vertical("blur goes", *n as f64));
        }
        panels.push(panel);
    }
    Ok(Some(
        Figure::new("Does blur raise the Fisher information of the weights?")
            .subtitle(&format!(
                "{}; geometric mean over seeds, bands: two Monte-Carlo standard errors",
                setting(results, BLUR)
            ))
            .panels(panels)
            .columns(2)
            .heights([330.])
            .caption(
                "Labels drawn from the network, clean training images; errors of layers added up, an upper bound. Paper \
                 (Fig. 4, right): the trace is higher after blur; no numbers known.",
            ),
    ))
}

/// Share of each layer in the trace over time.
fn layers(results: &PaperResults) -> Result<Option<Figure>, Error> {
    let (blur, flip) = (Curve::of(results, BLUR), Curve::of(results, OTHERS[0].0));
    let (Some(&at), Some(clean)) = (blur.removals().last(), blur.clean()) else { return Ok(None) };
    // Pairs of layers share a hue, as the claims do: 1 and 2, 3 and 4, 5, 6 and 7, the last two.
    let hues = [Color::BLUE, Color::GREEN, Color::ORANGE, Color::VERMILLION, Color::PURPLE];
    let tint = |layer: usize| match layer % 9 {
        layer @ 0..4 => (hues[layer / 2], layer % 2 == 1),
        4 => (hues[2], false),
        layer => (hues[3 + (layer - 5) / 2], layer % 2 == 0),
    };
    let mut panels = vec![];
    for (title, experiment, arm, gone) in [
        ("control".to_string(), BLUR, blur.removal(0), None),
        (format!("blur until {at}"), BLUR, blur.removal(at), Some(at)),
        (format!("upside down until {at}"), OTHERS[0].0, flip.removal(at), Some(at)),
    ] {
        let of = readings(results, experiment, arm)?;
        let Some(names) = of.values().next().map(|rows| rows[0].iter().map(|l| l.layer.clone()).collect::<Vec<_>>())
        else {
            continue;
        };
        let mut panel = Panel::new()
            .title(&title)
            .x(Axis::linear("epoch").range(0., (at + clean) as f64).whole())
            .y(Axis::linear("share of the trace").range(0., 1.));
        for (i, name) in names.iter().enumerate() {
            let at = |(&epoch, rows): (&usize, &Vec<Vec<FisherRow>>)| {
                (epoch as f64, rows.iter().map(|r| shares(r)[i]).sum::<f64>() / rows.len() as f64)
            };
            let (hue, pale) = tint(i);
            let color = if pale { hue.mix(Color::WHITE, 0.5) } else { hue };
            panel = panel.layer(Layer::area(name, of.iter().map(at)).color(color));
        }
        if let Some(gone) = gone {
            panel = panel.layer(Layer::vertical("the deficit goes", gone as f64));
        }
        panels.push(panel);
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let columns = panels.len();
    Ok(Some(
        Figure::new("Which layers hold the Fisher information?")
            .subtitle(&format!("{}; mean over seeds, first layer at the bottom", setting(results, BLUR)))
            .panels(panels)
            .columns(columns)
            .share_y(Share::All)
            .heights([300.]),
    ))
}
