//! Tables and figures, from finished cells alone.

use retrial_core::Seed;
use retrial_core::chart::{Axis, Color, Figure, Image, Layer, Panel, Share};
use retrial_core::results::{Error, Reported, Results, Table};
use retrial_core::stats::{mean_t_interval, sup_t_band};
use serde::Serialize;

use crate::claims::{FLAT, Imbalance, penalty_slopes, reported};
use crate::config::Config;
use crate::equivalence::{self, MARGIN, WIDE_MARGIN};
use crate::experiments::{MOONS, NARROW, Remedy};
use crate::images::Row;
use crate::paper::{ImportanceWeighting, ratio_text};
use crate::plane::{self, Region, SIDE};
use crate::readings::{Gate, Run, by_seed, distinct, equivalence, plane_cells, runs, slopes};

/// What the figures of R1 are called: another reproduction, not the paper.
const R1: &str = "R1 (another reproduction, full size)";
/// Fewer seeds are shown one by one: a band of five that jump between 0 and 1 covers everything.
const ENOUGH_FOR_BANDS: usize = 8;
/// Resamples of a simultaneous band.
const DRAWS: usize = 500;
const IMAGE_ARMS: [(&str, &str); 7] = [
    ("ratios", "CNN"),
    ("ratios-mlp", "MLP"),
    ("l2", "CNN with L2"),
    ("l2-mlp", "MLP with L2"),
    ("dropout", "dropout 0.5"),
    ("norm", "CNN with batch norm"),
    ("resnet", "ResNet with batch norm"),
];

/// One ratio of an arm at the end of training; a row of `fractions.csv`.
#[derive(Serialize)]
struct FractionRow {
    experiment: &'static str,
    lambda: f64,
    ratio: f64,
    runs: usize,
    separated: usize,
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

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Which runs of an arm the end is read from: those past the gates, or with a penalty those that still train.
fn counts(run: &Run) -> bool {
    if run.config.lambda > 0. { run.trains() } else { run.separated() }
}

type Of = fn(&Row) -> f64;
const SETS: [(&str, f64, Of); 3] = [
    ("cats and dogs", MARGIN, |r| r.fraction),
    ("other eight classes", WIDE_MARGIN, |r| r.fraction_other),
    ("uniform noise", WIDE_MARGIN, |r| r.fraction_noise),
];

/// Of the arms of one figure.
const COLORS: [Color; 8] = [
    Color::BLUE,
    Color::VERMILLION,
    Color::GREEN,
    Color::PURPLE,
    Color::ORANGE,
    Color::SKY,
    Color(120, 80, 50),
    Color(110, 110, 110),
];

/// Everything that the figures and verdicts rest on, as numbers.
pub fn tables(results: &Results<ImportanceWeighting>) -> Result<Vec<Table>, Error> {
    let (mut fractions, mut tests, mut betas) = (vec![], vec![], vec![]);
    for (experiment, _) in IMAGE_ARMS {
        let all = runs(results, experiment)?;
        for lambda in distinct(all.iter().map(|r| r.config.lambda)) {
            for ratio in distinct(all.iter().map(|r| r.config.ratio)) {
                let of: Vec<&Run> =
                    all.iter().filter(|r| r.config.lambda == lambda && r.config.ratio == ratio).collect();
                if of.is_empty() {
                    continue;
                }
                let last = |value: &dyn Fn(&Row) -> f64| of.iter().map(|r| value(&r.summary.last)).collect::<Vec<_>>();
                let count = |gate: Gate| of.iter().filter(|r| r.gate == gate).count();
                let f = last(&|r| r.fraction);
                let interval = mean_t_interval(&f, 0.95).ok();
                let shifts: Vec<f64> = of
                    .iter()
                    .filter_map(|r| {
                        let plain = all.iter().find(|p| {
                            p.config.ratio == 1. && p.config.lambda == lambda && p.config.seed == r.config.seed
                        })?;
                        Some((r.summary.last.logit_shift - plain.summary.last.logit_shift) / ratio.ln())
                    })
                    .collect();
                fractions.push(FractionRow {
                    experiment,
                    lambda,
                    ratio,
                    runs: of.len(),
                    separated: count(Gate::Separated),
                    collapsed: count(Gate::Collapsed),
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
            for (images, margin, value) in SETS {
                let keep = |r: &Run| r.config.lambda == lambda && counts(r);
                let f = |r: &Run| value(&r.summary.last);
                tests.extend(equivalence(&all, margin, keep, f).into_iter().map(|row| EquivalenceRow {
                    experiment,
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
                }));
                let of_seeds = slopes(&all, keep, f);
                if let Ok(i) = mean_t_interval(&of_seeds, 0.95) {
                    let (beta, low, high) = (i.estimate, i.low, i.high);
                    betas.push(SlopeRow { experiment, lambda, images, seeds: of_seeds.len(), beta, low, high });
                }
            }
        }
    }
    let mut plane_rows = vec![];
    for experiment in ["plane", "plane-wide", "plane-l2", "plane-mlp", "moons", "moons-mlp"] {
        let cells = plane_cells(results, experiment);
        for ratio in distinct(cells.iter().map(|(c, _)| c.ratio)) {
            let of: Vec<&plane::Summary> = cells.iter().filter(|(c, _)| c.ratio == ratio).map(|(_, s)| s).collect();
            let column =
                |value: &dyn Fn(&plane::Row) -> f64| mean(&of.iter().map(|s| value(&s.last)).collect::<Vec<_>>());
            let known = |value: &dyn Fn(&plane::Row) -> Option<f64>| {
                let values: Option<Vec<f64>> = of.iter().map(|s| value(&s.last)).collect();
                values.map(|v| mean(&v))
            };
            plane_rows.push(PlaneRow {
                experiment,
                ratio,
                draws: of.len(),
                epochs: of[0].epochs,
                accuracy: column(&|r| r.accuracy),
                fraction: column(&|r| r.fraction),
                balance: column(&|r| r.margin_positive - r.margin_negative),
                log_ratio: ratio.ln(),
                offset: known(&|r| r.offset),
                predicted_offset: column(&|r| ratio.ln() / (r.margin_positive + r.margin_negative)),
                angle: known(&|r| r.angle),
            });
        }
    }
    let rare = runs(results, "imbalance")?;
    let mut imbalance = vec![];
    if !rare.is_empty() {
        let study = Imbalance::of(&rare);
        let full = rare.iter().map(|r| r.config.counts[0].max(r.config.counts[1])).max().unwrap_or(0);
        let settings = study.rarity.iter().flat_map(|&k| [(0, k), (1, k)]);
        for (class, k) in settings {
            for remedy in Remedy::ALL {
                let of: Vec<(f64, f64)> = study
                    .cells
                    .iter()
                    .filter(|((r, c, factor, _), _)| (*r, *c, *factor) == (remedy, class, k))
                    .map(|(_, value)| *value)
                    .collect();
                let mut counts = [full; 2];
                counts[class] = full / k;
                if !of.is_empty() {
                    imbalance.push(ImbalanceRow {
                        remedy: remedy.name(),
                        cats: counts[0],
                        dogs: counts[1],
                        seeds: of.len(),
                        fraction: mean(&of.iter().map(|v| v.0).collect::<Vec<_>>()),
                        balanced_accuracy: mean(&of.iter().map(|v| v.1).collect::<Vec<_>>()),
                    });
                }
            }
        }
    }
    let mut tables = vec![];
    if !fractions.is_empty() {
        tables.push(Table::from_rows("fractions", &fractions)?);
    }
    if !tests.is_empty() {
        tables.push(Table::from_rows("equivalence", &tests)?);
    }
    if !betas.is_empty() {
        tables.push(Table::from_rows("slopes", &betas)?);
    }
    if !plane_rows.is_empty() {
        tables.push(Table::from_rows("plane", &plane_rows)?);
    }
    if !imbalance.is_empty() {
        tables.push(Table::from_rows("imbalance", &imbalance)?);
    }
    Ok(tables)
}

/// The figures for which there are finished cells, by file stem.
pub fn figures(results: &Results<ImportanceWeighting>) -> Result<Vec<(String, Figure)>, Error> {
    let reported = reported()?;
    let mut figures = vec![];
    let mut add = |stem: &str, figure: Option<Figure>| figures.extend(figure.map(|figure| (stem.to_string(), figure)));
    for (stem, experiment, name) in [("over-time", "ratios", "CNN"), ("over-time-mlp", "ratios-mlp", "MLP")] {
        add(stem, over_time(&runs(results, experiment)?, name));
    }
    add("end-fraction", end_fraction(results, &reported)?);
    for (stem, moons) in [("boundaries", false), ("boundaries-moons", true)] {
        add(stem, boundaries(results, moons)?);
    }
    add("mechanism", mechanism(results)?);
    add("equivalence", equivalences(results)?);
    add("dose", dose(results)?);
    add("imbalance", imbalance(&runs(results, "imbalance")?));
    add("settling", settling(results)?);
    Ok(figures)
}

/// Blue where dogs are heavy, vermillion where cats are, grey in between.
fn ratio_color(ratio: f64, ratios: &[f64]) -> Color {
    let most = ratios.iter().map(|r| r.log2().abs()).fold(1., f64::max);
    let share = ratio.log2() / most;
    let middle = Color(150, 150, 150);
    if share >= 0. { middle.mix(Color::BLUE, share) } else { middle.mix(Color::VERMILLION, -share) }
}

/// Mean over seeds at each epoch with a band that holds the whole curve.
fn curve(of: &[&Run], value: Of) -> Vec<(f64, f64, f64, f64)> {
    let epochs: Vec<f64> = of.first().map_or(vec![], |r| r.rows.iter().map(|row| row.epoch as f64).collect());
    let curves: Vec<Vec<f64>> = of.iter().map(|r| r.rows.iter().map(value).collect()).collect();
    let band = sup_t_band(&curves, 0.95, DRAWS, &mut Seed(0).stream("bands")).ok();
    let point = |(i, &epoch): (usize, &f64)| match &band {
        Some(b) => (epoch, b.mean[i], b.low[i].max(0.), b.high[i].min(1.)),
        None => {
            let m = mean(&curves.iter().filter_map(|c| c.get(i).copied()).collect::<Vec<_>>());
            (epoch, m, m, m)
        }
    };
    epochs.iter().enumerate().map(point).collect()
}

/// F2: the share predicted dog over training.
fn over_time(all: &[Run], name: &str) -> Option<Figure> {
    let first = all.first()?;
    let ratios = distinct(all.iter().map(|r| r.config.ratio));
    let seeds = distinct(all.iter().map(|r| r.config.seed as f64)).len();
    let mut panels = vec![];
    for (images, _, value) in SETS {
        let mut panel =
            Panel::new().title(images).x(Axis::log("epoch")).y(Axis::linear("share predicted dog").range(0., 1.));
        for &ratio in ratios.iter().rev() {
            let of: Vec<&Run> = all.iter().filter(|r| r.config.ratio == ratio).collect();
            let (name, color) = (format!("dog : cat = {}", ratio_text(ratio)), ratio_color(ratio, &ratios));
            let points = curve(&of, value);
            if seeds >= ENOUGH_FOR_BANDS {
                panel = panel.layer(Layer::band(&name, points).color(color).markers(false));
                continue;
            }
            let line = points.into_iter().map(|(x, y, ..)| (x, y)).collect::<Vec<_>>();
            panel = panel.layer(Layer::line(&name, line).color(color).markers(false));
            for run in of {
                let line = run.rows.iter().map(|row| (row.epoch as f64, value(row))).collect::<Vec<_>>();
                panel = panel.layer(Layer::line("", line).color(color).faint());
            }
        }
        panels.push(panel);
    }
    let images = first.config.counts[0] + first.config.counts[1];
    Some(
        Figure::new("Do class weights still matter late in training?")
            .subtitle(&format!(
                "{name} on {images} cats and dogs, no regularisation, mean of {seeds} seeds; {}",
                if seeds >= ENOUGH_FOR_BANDS {
                    "bands hold the whole mean curve with 95 %"
                } else {
                    "thin: single seeds"
                }
            ))
            .panels(panels)
            .columns(3)
            .width(1000.)
            .heights([260.])
            .share_y(Share::All),
    )
}

/// Level of a ratio as the reported numbers write it, `16:1`.
fn level(text: &str) -> Option<f64> {
    let (a, b) = text.split_once(':')?;
    Some(a.trim().parse::<f64>().ok()? / b.trim().parse::<f64>().ok()?)
}

/// Points of R1's figure 1 (CNN, nothing that regularises) on one of the sets of images.
fn r1_points(reported: &Reported, condition: &str) -> Vec<(f64, f64)> {
    let of = reported.filter(|n| n.paper.starts_with("nyu") && n.item == "fig1" && n.condition.contains(condition));
    let mut points: Vec<(f64, f64)> = of.numbers.iter().filter_map(|n| Some((level(&n.level)?, n.value))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// F3: what is left of the effect at the end, by regulariser.
fn end_fraction(results: &Results<ImportanceWeighting>, reported: &Reported) -> Result<Option<Figure>, Error> {
    let mut arms = vec![];
    for (experiment, name) in IMAGE_ARMS {
        let all = runs(results, experiment)?;
        for lambda in distinct(all.iter().map(|r| r.config.lambda)) {
            let name = if lambda > 0. { format!("{name} {lambda}") } else { name.to_string() };
            let keep = |r: &&Run| r.config.lambda == lambda && counts(r);
            let points = |value: Of| -> Vec<(f64, f64, f64, f64)> {
                let point = |&ratio: &f64| {
                    let of: Vec<f64> = all
                        .iter()
                        .filter(keep)
                        .filter(|r| r.config.ratio == ratio)
                        .map(|r| value(&r.summary.last))
                        .collect();
                    // The interval of two seeds would cover the panel.
                    if of.len() < 3 {
                        return None;
                    }
                    let m = mean(&of);
                    Some(
                        mean_t_interval(&of, 0.95)
                            .map_or((ratio, m, m, m), |i| (ratio, m, i.low.max(0.), i.high.min(1.))),
                    )
                };
                distinct(all.iter().map(|r| r.config.ratio)).iter().filter_map(point).collect()
            };
            arms.push((name, SETS.map(|(_, _, value)| points(value))));
        }
    }
    arms.retain(|(_, points)| !points[0].is_empty());
    if arms.is_empty() {
        return Ok(None);
    }
    let panels = SETS.iter().enumerate().map(|(i, (images, ..))| {
        let mut panel = Panel::new()
            .title(images)
            .x(Axis::log2("weight ratio, dog : cat"))
            .y(Axis::linear("share predicted dog at the end").range(0., 1.));
        for (k, (name, points)) in arms.iter().enumerate() {
            panel = panel.layer(Layer::band(name, points[i].clone()).color(COLORS[k % COLORS.len()]));
        }
        let condition = ["2000 cat+dog", "8000 other", "no such images"][i];
        let points = r1_points(reported, condition);
        if points.is_empty() { panel } else { panel.layer(Layer::points(R1, points).color(Color::BLACK)) }
    });
    Ok(Some(
        Figure::new("Which regulariser keeps the effect of the weights?")
            .subtitle("last epoch; ratios at which three seeds passed the gates (with L2: still train); bands are 95 % intervals over seeds")
            .caption("The paper's own numbers are not known. R1 trained the full CNN on 10,000 images for 1000 epochs, one seed.")
            .panels(panels)
            .columns(3)
            .width(1000.)
            .heights([280.])
            .share_x(Share::All)
            .share_y(Share::All),
    ))
}

/// F1: decision regions of the MLP and the boundary of the line.
fn boundaries(results: &Results<ImportanceWeighting>, moons: bool) -> Result<Option<Figure>, Error> {
    let (line, net) = if moons { ("moons", "moons-mlp") } else { ("plane", "plane-mlp") };
    let points = if moons { MOONS } else { NARROW };
    type Pictures = Option<(Vec<Region>, [f64; 4])>;
    let find = |experiment: &str, ratio: f64| -> Result<Pictures, Error> {
        for cell in results.finished(experiment) {
            if let (Config::Plane(c), crate::paper::Summary::Plane(s)) = (&cell.config, &cell.summary)
                && c.ratio == ratio
                && c.seed == 0
                && c.points == points
            {
                return Ok(Some((cell.table("regions")?, s.view)));
            }
        }
        Ok(None)
    };
    let nets: Vec<f64> = distinct(plane_cells(results, net).iter().map(|(c, _)| c.ratio));
    let mut panels = vec![];
    let mut columns = 0;
    for &ratio in nets.iter().rev() {
        let (Some((regions, view)), lines) = (find(net, ratio)?, find(line, ratio)?) else { continue };
        let sample = plane::Sample::draw(points, 512, Seed(0), "points");
        columns = regions.len();
        for region in &regions {
            let boundary = lines.as_ref().and_then(|(r, _)| r.iter().find(|r| r.epoch == region.epoch));
            let [left, right, bottom, top] = view;
            let shown = |label: u32| {
                let of = sample.points.iter().zip(&sample.labels).step_by(4);
                of.filter(move |(_, y)| **y == label).map(|(x, _)| (x[0], x[1])).collect::<Vec<_>>()
            };
            panels.push(
                Panel::new()
                    .title(&format!("{}, epoch {}", ratio_text(ratio), region.epoch))
                    .x(Axis::linear("x₁").range(left, right))
                    .y(Axis::linear("x₂").range(bottom, top))
                    .aspect(1.)
                    .layer(Layer::image(regions_image(region, boundary), (left, right), (bottom, top)))
                    .layer(Layer::points("positive points", shown(1)).color(Color::BLUE).faint())
                    .layer(Layer::points("negative points", shown(0)).color(Color::VERMILLION).faint()),
            );
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    panels[0] = panels[0]
        .clone()
        .layer(Layer::swatch("MLP says positive", Color::BLUE.pale()))
        .layer(Layer::swatch("MLP says negative", Color::VERMILLION.pale()))
        .layer(Layer::swatch("boundary of logistic regression", Color::BLACK));
    let title = if moons {
        "Moons: does the effect of weights stay where a model cannot separate?"
    } else {
        "Weights on separable points: do boundaries forget them?"
    };
    Ok(Some(
        Figure::new(title)
            .subtitle("rows: weight of positive : negative points; columns: epochs; one draw of 1024 points, every fourth shown")
            .panels(panels)
            .columns(columns)
            .width(1000.)
            .share_x(Share::All)
            .share_y(Share::All),
    ))
}

/// Regions of the MLP, and in black where the line's regions meet.
fn regions_image(net: &Region, line: Option<&Region>) -> Image {
    // Each pixel as four by four, so that the boundary is thin.
    const FINE: usize = 4;
    let at = |r: &Region, x: usize, y: usize| r.pixels.as_bytes().get(y * SIDE + x).copied() == Some(b'1');
    Image::new(FINE * SIDE, FINE * SIDE, |x, y| {
        let (cx, cy) = (x / FINE, y / FINE);
        let edge = line.is_some_and(|line| {
            let own = at(line, cx, cy);
            (cx + 1 < SIDE && x % FINE == FINE - 1 && at(line, cx + 1, cy) != own)
                || (cy + 1 < SIDE && y % FINE == FINE - 1 && at(line, cx, cy + 1) != own)
        });
        match (edge, at(net, cx, cy)) {
            (true, _) => Color::BLACK,
            (_, true) => Color::BLUE.pale(),
            _ => Color::VERMILLION.pale(),
        }
    })
}

/// F7: the boundary's shift against its prediction, at every epoch and ratio; and the balance of margins.
fn mechanism(results: &Results<ImportanceWeighting>) -> Result<Option<Figure>, Error> {
    let cells = results.finished("plane");
    if cells.is_empty() {
        return Ok(None);
    }
    let ratios = distinct(plane_cells(results, "plane").iter().map(|(c, _)| c.ratio));
    let mut balance = Panel::new()
        .title("difference of the two classes' smallest logits")
        .x(Axis::log("epoch"))
        .y(Axis::linear("(m₊ − m₋) / ln R").range(0., 2.))
        .layer(Layer::horizontal("theory", 1.));
    let mut offset = Panel::new()
        .title("shift of the boundary at the end")
        .x(Axis::linear("predicted: ln R / 2m̄ (margins)"))
        .y(Axis::linear("measured (margins)"))
        .layer(Layer::diagonal("theory"));
    for &ratio in &ratios {
        let mut rows: Vec<Vec<plane::Row>> = vec![];
        for cell in cells {
            if let Config::Plane(c) = &cell.config
                && c.ratio == ratio
            {
                rows.push(cell.epochs()?);
            }
        }
        let name = format!("R = {}", ratio_text(ratio));
        let color = ratio_color(ratio, &ratios);
        let ends = rows.iter().filter_map(|r| r.last());
        let points = ends.filter_map(|r| Some((ratio.ln() / (r.margin_positive + r.margin_negative), r.offset?)));
        offset = offset.layer(Layer::points(&name, points.collect::<Vec<_>>()).color(color));
        if ratio > 1. {
            let epochs = rows.first().map_or(0, Vec::len);
            let line = (0..epochs).map(|i| {
                let of: Vec<f64> =
                    rows.iter().map(|r| (r[i].margin_positive - r[i].margin_negative) / ratio.ln()).collect();
                (rows[0][i].epoch as f64, mean(&of))
            });
            balance = balance.layer(Layer::line(&name, line.collect::<Vec<_>>()).color(color).markers(false));
        }
    }
    Ok(Some(
        Figure::new("Does a separating line forget its weights as theory says?")
            .subtitle("logistic regression on separable points in the plane; right: one point a draw")
            .panel(balance)
            .panel(offset)
            .columns(2)
            .width(1000.)
            .heights([280.]),
    ))
}

/// F8: differences to 1:1 with their intervals.
fn equivalences(results: &Results<ImportanceWeighting>) -> Result<Option<Figure>, Error> {
    let mut panels = vec![];
    for (experiment, name) in IMAGE_ARMS.into_iter().filter(|(experiment, _)| !experiment.starts_with("l2")) {
        let all = runs(results, experiment)?;
        for (images, margin, value) in &SETS[..2] {
            let rows = equivalence(&all, *margin, counts, |r| value(&r.summary.last));
            if !rows.is_empty() {
                let panel = equivalence::panel(&rows, *margin).title(&format!("{name}, {images}"));
                panels.push(
                    panel.x(Axis::log2("weight ratio, dog : cat")).y(Axis::linear("share called dog, minus 1:1")),
                );
            }
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        Figure::new("Are predictions under weights equivalent to those without?")
            .subtitle("difference to the 1:1 run of the same seed, last epoch; 90 % intervals against the margin of equivalence")
            .panels(panels)
            .columns(2)
            .width(900.)
            .heights([190.]),
    ))
}

/// F6: slope of f on log₂ R against λ.
fn dose(results: &Results<ImportanceWeighting>) -> Result<Option<Figure>, Error> {
    let mut panel = Panel::new()
        .x(Axis::log("λ of the penalty (λ/2)‖θ‖²"))
        .y(Axis::linear("β: share predicted dog per doubling of R"))
        .layer(Layer::y_span(&format!("no effect: ±{FLAT}"), -FLAT, FLAT));
    let mut any = false;
    for (experiment, name) in [("l2", "CNN"), ("l2-mlp", "MLP")] {
        let of = penalty_slopes(&runs(results, experiment)?);
        let points: Vec<_> = of
            .iter()
            .filter_map(|(lambda, b)| mean_t_interval(b, 0.95).ok().map(|i| (*lambda, i.estimate, i.low, i.high)))
            .collect();
        any |= !points.is_empty();
        if !points.is_empty() {
            panel = panel.layer(Layer::band(name, points));
        }
    }
    Ok(any.then(|| {
        Figure::new("Does λ, not the weight, set the size of the effect?")
            .subtitle("runs with balanced training accuracy of at least 0.8; bands are 95 % intervals over seeds")
            .panel(panel)
            .heights([260.])
    }))
}

/// F5: what each remedy does to predictions where one class is rare.
fn imbalance(all: &[Run]) -> Option<Figure> {
    if all.is_empty() {
        return None;
    }
    let study = Imbalance::of(all);
    let balanced: Vec<f64> = study.balanced.values().map(|v| v.0).collect();
    let mut panels = vec![];
    for &k in &study.rarity {
        for (class, name) in [(0, "cats"), (1, "dogs")] {
            let bars: Vec<(&str, f64, f64, f64)> = Remedy::ALL
                .iter()
                .filter_map(|&remedy| {
                    let cells = study.cells.iter().filter(|((r, c, f, _), _)| (*r, *c, *f) == (remedy, class, k));
                    let of: Vec<f64> = cells.map(|(_, value)| value.0).collect();
                    let m = mean(&of);
                    let (low, high) = mean_t_interval(&of, 0.95).map_or((m, m), |i| (i.low, i.high));
                    (!of.is_empty()).then(|| (remedy.name(), m, low, high))
                })
                .collect();
            if bars.is_empty() {
                continue;
            }
            let mut panel = Panel::new()
                .title(&format!("{name} {k} times as rare"))
                .x(Axis::linear("share of a balanced test set called dog").range(0., 1.))
                .y(Axis::categories("", bars.iter().map(|b| b.0.to_string())))
                .layer(Layer::forest("mean and 95 % interval over seeds", bars.iter().map(|b| (b.1, b.2, b.3))));
            if !balanced.is_empty() {
                panel = panel.layer(Layer::vertical("trained on balanced classes", mean(&balanced)));
            }
            panels.push(panel);
        }
    }
    (!panels.is_empty()).then(|| {
        Figure::new("Rare classes: what moves predictions, weights or the data?")
            .subtitle("MLP, last epoch, runs that separated their data")
            .panels(panels)
            .columns(2)
            .width(1000.)
            .heights([200.])
            .share_y(Share::Line)
    })
}

/// F10: when the effect has settled.
fn settling(results: &Results<ImportanceWeighting>) -> Result<Option<Figure>, Error> {
    let mut panel =
        Panel::new().x(Axis::log2("weight ratio, heavy : light")).y(Axis::log("epoch after which f stays within 0.03"));
    let mut any = false;
    for (experiment, name) in [("ratios", "CNN"), ("ratios-mlp", "MLP")] {
        let all = runs(results, experiment)?;
        let ratios: Vec<f64> = distinct(all.iter().map(|r| r.config.ratio)).into_iter().filter(|&r| r >= 1.).collect();
        let points: Vec<(f64, f64)> = ratios
            .iter()
            .filter_map(|&ratio| {
                let of = by_seed(&all, &[ratio, 1. / ratio], Run::separated, |r| r.settling_epoch() as f64);
                let values: Vec<f64> = of.iter().map(|(_, v)| mean(v)).collect();
                (!values.is_empty()).then(|| (ratio, mean(&values)))
            })
            .collect();
        any |= !points.is_empty();
        if !points.is_empty() {
            panel = panel.layer(Layer::line(name, points));
        }
    }
    let line = [1., 2., 4., 8., 16., 32., 64., 128., 256.].map(|r| (r, 40. + 2.2 * r));
    panel = panel.layer(Layer::theory("40 + 2.2 R, which fits R1 (full size)", line));
    Ok(any.then(|| {
        Figure::new("Do extreme weights take longer to be forgotten?")
            .subtitle("mean over seeds and both directions of a ratio; our data sets are smaller than R1's")
            .panel(panel)
            .heights([260.])
    }))
}
