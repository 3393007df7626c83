//! Figures, from finished cells alone. Their names F1 to F10 are those of the protocol.

use retrial_core::Seed;
use retrial_core::chart::{Axis, Color, Dash, Figure, Image, Layer, Marker, Panel, Share};
use retrial_core::results::{Error, Reported, ReportedNumber, Results};
use retrial_core::stats::{FEWEST_SEEDS, over_seeds, sup_t_band};

use crate::claims::{FLAT, Imbalance, penalty_slopes, reported};
use crate::config::Config;
use crate::equivalence;
use crate::experiments::{MOONS, NARROW, Remedy};
use crate::geometry::Separator;
use crate::images::VALIDATION;
use crate::paper::{ImportanceWeighting, ratio_text};
use crate::plane::{self, Region, SIDE};
use crate::readings::{
    Arm, Classifier, Run, arms, by_seed, classifiers, distinct, equivalence, mean, network, regulariser, runs,
};
use crate::tables::{Fraction, SETS, by_exponent};
use crate::weighting::Convention;

/// Fewer seeds are shown one by one: a band of five that jump between 0 and 1 covers everything.
const ENOUGH_FOR_BANDS: usize = 8;
/// Resamples of a simultaneous band.
const DRAWS: usize = 500;

/// Another reproduction of the CNN at full size, not the paper: whose numbers and how they are drawn.
struct Other {
    paper: &'static str,
    name: &'static str,
    /// Epochs that it trained.
    epochs: f64,
    marker: Marker,
}

const OTHERS: [Other; 2] = [
    Other { paper: "nyu-replication-R1", name: "R1", epochs: 1000., marker: Marker::Triangle },
    Other { paper: "vo-2025-replication-R2", name: "R2", epochs: 500., marker: Marker::InvertedTriangle },
];
/// Words by which the reported numbers tell the sets of images apart, in the order of [`SETS`].
const CONDITIONS: [&str; 3] = ["cat+dog", "other", "noise"];
const CAPTION: &str = "The paper's own numbers are not known. R1 and R2 are other reproductions: the full CNN on 10,000 images, 1000 \
                       epochs and one seed (R1), 500 epochs with momentum 0.9 (R2).";

/// Shares called dog at the end of training that one of them reports, by ratio.
fn shares(reported: &Reported, other: &Other, set: usize, keep: impl Fn(&ReportedNumber) -> bool) -> Vec<(f64, f64)> {
    let of = reported.metric("fraction classified dog").filter(|n| {
        n.paper == other.paper && n.item != "sub-sampling" && n.condition.contains(CONDITIONS[set]) && keep(n)
    });
    let mut points: Vec<(f64, f64)> = of.numbers.iter().filter_map(|n| Some((level(&n.level)?, n.value))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn is_plain(n: &ReportedNumber) -> bool {
    n.model == "CNN" && n.method == "IW, no regularisation"
}

/// The figures for which there are finished cells, by file stem.
pub fn figures(results: &Results<ImportanceWeighting>) -> Result<Vec<(String, Figure)>, Error> {
    let (reported, arms) = (reported()?, arms(results)?);
    let mut figures = vec![];
    let mut add = |stem: &str, figure: Option<Figure>| figures.extend(figure.map(|figure| (stem.to_string(), figure)));
    for (stem, moons) in [("boundaries", false), ("boundaries-moons", true)] {
        add(stem, boundaries(results, moons)?);
    }
    for (stem, experiment) in [("over-time", "ratios"), ("over-time-mlp", "ratios-mlp"), ("over-time-norm", "norm")] {
        add(stem, arms.iter().find(|arm| arm.experiment == experiment).and_then(|arm| over_time(arm, &reported)));
    }
    add("end-fraction", end_fraction(&arms, &reported));
    add("batch-norm", batch_norm(&arms, &reported));
    add("imbalance", imbalance(&runs(results, "imbalance")?, &reported));
    add("dose", dose(&arms));
    add("mechanism", mechanism(&classifiers(results, "plane")?));
    add("equivalence", equivalences(&arms));
    add("tails", tails(&runs(results, "tail")?, &reported));
    add("settling", settling(&arms, &reported));
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
fn curve(of: &[&Run], value: Fraction) -> Vec<(f64, f64, f64, f64)> {
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

/// F2: the share predicted dog over training, of runs that count.
fn over_time(arm: &Arm, reported: &Reported) -> Option<Figure> {
    let ratios = arm.ratios();
    let of_ratio =
        |ratio: f64| arm.runs.iter().filter(|r| r.config.ratio == ratio && r.counts()).collect::<Vec<&Run>>();
    let kept: Vec<usize> = ratios.iter().map(|&ratio| of_ratio(ratio).len()).collect();
    let bands = kept.iter().all(|&n| n >= ENOUGH_FOR_BANDS);
    if kept.iter().sum::<usize>() == 0 {
        return None;
    }
    // R1 and R2 trained no other network than this one without regularisation.
    let compared = arm.name() == "CNN";
    let mut panels = vec![];
    for (set, (images, _, value)) in SETS.into_iter().enumerate() {
        let mut panel =
            Panel::new().title(images).x(Axis::log("epoch")).y(Axis::linear("share predicted dog").range(0., 1.));
        for &ratio in ratios.iter().rev() {
            let of = of_ratio(ratio);
            let (name, color) = (format!("dog : cat = {}", ratio_text(ratio)), ratio_color(ratio, &ratios));
            let points = curve(&of, value);
            if bands {
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
        for other in OTHERS.iter().filter(|_| compared) {
            let ends = shares(reported, other, set, is_plain);
            if !ends.is_empty() {
                let name = format!("{} at its end, one point a ratio", other.name);
                let points = ends.into_iter().map(|(_, share)| (other.epochs, share)).collect::<Vec<_>>();
                panel = panel.layer(Layer::points(&name, points).color(Color::BLACK).marker(other.marker));
            }
        }
        panels.push(panel);
    }
    let figure = Figure::new("Do class weights still matter late in training?")
        .subtitle(&format!(
            "{} on {} cats and dogs; the {} of {} runs that passed the gates; {}",
            arm.name(),
            arm.config().counts[0] + arm.config().counts[1],
            kept.iter().sum::<usize>(),
            arm.runs.len(),
            if bands { "bands hold the whole mean curve with 95 %" } else { "thin: single seeds" }
        ))
        .panels(panels)
        .columns(3)
        .width(1000.)
        .heights([260.])
        .share_x(Share::All)
        .share_y(Share::All);
    Some(if compared { figure.caption(CAPTION) } else { figure })
}

/// Level of a ratio as the reported numbers write it, `16:1`.
fn level(text: &str) -> Option<f64> {
    let (a, b) = text.split_once(':')?;
    Some(a.trim().parse::<f64>().ok()? / b.trim().parse::<f64>().ok()?)
}

/// f at the end of the runs of an arm that count, with 95 % intervals, at ratios with at least three of them: the interval
/// of two seeds would cover the panel.
fn ends(arm: &Arm, value: Fraction) -> Vec<(f64, f64, f64, f64)> {
    let point = |&ratio: &f64| {
        let of = arm.runs.iter().filter(|r| r.config.ratio == ratio && r.counts());
        let of: Vec<f64> = of.map(|r| value(&r.summary.last)).collect();
        let i = over_seeds(&of)?;
        Some((ratio, i.estimate, i.low.max(0.), i.high.min(1.)))
    };
    arm.ratios().iter().filter_map(point).collect()
}

/// F3: what is left of the effect at the end, by regulariser; the CNN above, the MLP below.
fn end_fraction(arms: &[Arm], reported: &Reported) -> Option<Figure> {
    let mut panels = vec![];
    for net in ["CNN", "MLP"] {
        let of_net: Vec<&Arm> = arms
            .iter()
            .filter(|arm| network(arm.config()) == net && arm.config().convention == Convention::Batch)
            .filter(|arm| !ends(arm, SETS[0].2).is_empty())
            .collect();
        for (set, (images, _, value)) in SETS.into_iter().enumerate().filter(|_| !of_net.is_empty()) {
            let mut panel = Panel::new()
                .title(&format!("{net}, {images}"))
                .x(Axis::log2("weight ratio, dog : cat"))
                .y(Axis::linear("share predicted dog").range(0., 1.));
            for arm in &of_net {
                let name = regulariser(arm.config());
                let name = if name.is_empty() { "no regularisation" } else { &name };
                panel = panel.layer(Layer::band(name, ends(arm, value)));
            }
            for other in OTHERS.iter().filter(|_| net == "CNN") {
                let l2 = |n: &ReportedNumber| n.method == "IW + L2";
                for (points, what, color) in [
                    (shares(reported, other, set, is_plain), "no regularisation", Color::BLACK),
                    (shares(reported, other, set, l2), "L2", Color(150, 150, 150)),
                ] {
                    if !points.is_empty() {
                        let name = format!("{}, {what}", other.name);
                        panel = panel.layer(Layer::points(&name, points).color(color).marker(other.marker));
                    }
                }
            }
            panels.push(panel);
        }
    }
    (!panels.is_empty()).then(|| {
        Figure::new("Which regulariser keeps the effect of the weights?")
            .subtitle(
                "last epoch; ratios at which three seeds passed the gates (with L2: still train); bands are 95 % intervals over seeds",
            )
            .caption(CAPTION)
            .panels(panels)
            .columns(3)
            .width(1000.)
            .heights([260.])
            .share_x(Share::All)
            .share_y(Share::All)
    })
}

/// F4: single runs with and without batch norm, those that missed the gates told from those that passed.
fn batch_norm(arms: &[Arm], reported: &Reported) -> Option<Figure> {
    let of = |experiment: &str| arms.iter().find(|arm| arm.experiment == experiment);
    if of("norm").is_none() && of("resnet").is_none() {
        return None;
    }
    let shown: Vec<&Arm> = ["ratios", "norm", "resnet"].into_iter().filter_map(of).collect();
    let mut panels = vec![];
    for (set, (images, _, value)) in SETS.into_iter().enumerate().take(2) {
        for arm in &shown {
            let mut panel = Panel::new()
                .title(&arm.name())
                .x(Axis::log2("weight ratio, dog : cat"))
                .y(Axis::linear(&format!("share predicted dog, {images}")));
            for (name, counts, color, marker) in [
                ("missed the gates", false, Color::ORANGE, Marker::Cross),
                ("passed the gates", true, Color::BLUE, Marker::Circle),
            ] {
                let runs = arm.runs.iter().filter(|r| r.counts() == counts);
                let points: Vec<(f64, f64)> = runs.map(|r| (r.config.ratio, value(&r.summary.last))).collect();
                if !points.is_empty() {
                    panel = panel.layer(Layer::points(name, points).color(color).marker(marker));
                }
            }
            let r1 = &OTHERS[0];
            let norm = |n: &ReportedNumber| n.item == "fig6";
            // A constant answer is a failed run, not an effect.
            let no_norm = |n: &ReportedNumber| n.item == "fig8" && !n.note.contains("collapsed");
            let layers = match arm.experiment {
                "ratios" => vec![(shares(reported, r1, set, is_plain), "R1, CNN", r1.marker)],
                "resnet" => vec![
                    (shares(reported, r1, set, norm), "R1, ResNet with batch norm", Marker::InvertedTriangle),
                    (shares(reported, r1, set, no_norm), "R1, ResNet without, three collapsed", Marker::Square),
                ],
                _ => vec![],
            };
            for (points, name, marker) in layers {
                panel = panel.layer(Layer::points(name, points).color(Color::BLACK).marker(marker));
            }
            panels.push(panel);
        }
    }
    Some(
        Figure::new("Does batch norm keep the effect of the weights?")
            .subtitle("one point a run, last epoch; a run that missed the gates says nothing about the end of training")
            .caption(
                "No ResNet was trained without batch norm. R1 is another reproduction: full-size networks, one seed, 1000 epochs.",
            )
            .panels(panels)
            .columns(shown.len())
            .width(1000.)
            .heights([280.])
            .share_x(Share::All)
            .share_y(Share::Line),
    )
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
    let nets: Vec<f64> = distinct(classifiers(results, net)?.iter().map(|c| c.config.ratio));
    let sample = plane::Sample::draw(points, 512, Seed(0), "points");
    let separator = sample.separator();
    let mut panels = vec![];
    let (mut columns, mut last_line) = (0, 0);
    for &ratio in nets.iter().rev() {
        let (Some((regions, view)), lines) = (find(net, ratio)?, find(line, ratio)?) else { continue };
        columns = regions.len();
        last_line = lines.iter().flat_map(|(r, _)| r).map(|r| r.epoch).fold(last_line, usize::max);
        for region in &regions {
            let boundary = lines.as_ref().and_then(|(r, _)| r.iter().find(|r| r.epoch == region.epoch));
            let [left, right, bottom, top] = view;
            let shown = |label: u32| {
                let of = sample.points.iter().zip(&sample.labels).step_by(4);
                of.filter(move |(_, y)| **y == label).map(|(x, _)| (x[0], x[1])).collect::<Vec<_>>()
            };
            let mut panel = Panel::new()
                .title(&format!("{}, epoch {}", ratio_text(ratio), region.epoch))
                .x(Axis::linear("x₁").range(left, right))
                .y(Axis::linear("x₂").range(bottom, top))
                .aspect(1.)
                .layer(Layer::image(regions_image(region, boundary), (left, right), (bottom, top)))
                .layer(Layer::points("positive points", shown(1)).color(Color::BLUE).faint())
                .layer(Layer::points("negative points", shown(0)).color(Color::VERMILLION).faint());
            if let Some(separator) = &separator {
                let line = Layer::theory("middle of the widest strip (SVM)", middle_line(separator, view));
                panel = panel.layer(line.color(Color(200, 0, 140)).dash(Dash::Dashed));
            }
            panels.push(panel);
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
            .caption(&format!("Logistic regression was trained for {last_line} epochs."))
            .panels(panels)
            .columns(columns)
            .width(1000.)
            .share_x(Share::All)
            .share_y(Share::All),
    ))
}

/// The line through the middle of the widest strip, where it crosses a frame.
fn middle_line(separator: &Separator, [left, right, bottom, top]: [f64; 4]) -> Vec<(f64, f64)> {
    let ([nx, ny], [mx, my]) = (separator.normal, separator.middle);
    let at_y = |y: f64| (mx - ny * (y - my) / nx, y);
    let at_x = |x: f64| (x, my - nx * (x - mx) / ny);
    let mut ends = vec![at_x(left), at_x(right), at_y(bottom), at_y(top)];
    let inside = |v: f64, low: f64, high: f64| v >= low - 1e-9 && v <= high + 1e-9;
    ends.retain(|&(x, y)| inside(x, left, right) && inside(y, bottom, top));
    ends
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
fn mechanism(cells: &[Classifier]) -> Option<Figure> {
    if cells.is_empty() {
        return None;
    }
    let ratios = distinct(cells.iter().map(|c| c.config.ratio));
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
        let rows: Vec<&Vec<plane::Row>> = cells.iter().filter(|c| c.config.ratio == ratio).map(|c| &c.rows).collect();
        let name = format!("R = {}", ratio_text(ratio));
        let color = ratio_color(ratio, &ratios);
        let ends = rows.iter().filter_map(|r| r.last());
        let points = ends.filter_map(|r| Some((ratio.ln() / (r.margin_positive + r.margin_negative), r.offset?)));
        offset = offset.layer(Layer::points(&name, points.collect::<Vec<_>>()).color(color));
        if ratio > 1. {
            let epochs = rows.first().map_or(0, |rows| rows.len());
            let line = (0..epochs).map(|i| {
                let of: Vec<f64> =
                    rows.iter().map(|r| (r[i].margin_positive - r[i].margin_negative) / ratio.ln()).collect();
                (rows[0][i].epoch as f64, mean(&of))
            });
            balance = balance.layer(Layer::line(&name, line.collect::<Vec<_>>()).color(color).markers(false));
        }
    }
    Some(
        Figure::new("Does a separating line forget its weights as theory says?")
            .subtitle("logistic regression on separable points in the plane; right: one point a draw")
            .panel(balance)
            .panel(offset)
            .columns(2)
            .width(1000.)
            .heights([280.]),
    )
}

/// F8: differences to 1:1 with their intervals.
fn equivalences(arms: &[Arm]) -> Option<Figure> {
    let mut panels = vec![];
    let shown = arms.iter().filter(|arm| arm.config().lambda == 0. && arm.config().convention == Convention::Batch);
    for arm in shown {
        for (images, margin, value) in SETS {
            let rows = equivalence(&arm.runs, margin, |r| value(&r.summary.last));
            if !rows.is_empty() {
                let panel = equivalence::panel(&rows, margin).title(&format!("{}, {images}", arm.name()));
                panels.push(
                    panel.x(Axis::log2("weight ratio, dog : cat")).y(Axis::linear("share called dog, minus 1:1")),
                );
            }
        }
    }
    (!panels.is_empty()).then(|| {
        Figure::new("Are predictions under weights equivalent to those without?")
            .subtitle(
                "difference to the 1:1 run of the same seed, last epoch, ratios with three pairs past the gates; 90 % intervals \
                 against the margin of equivalence",
            )
            .panels(panels)
            .columns(SETS.len())
            .width(1100.)
            .heights([190.])
    })
}

/// F6: slope of f on log₂ R against λ.
fn dose(arms: &[Arm]) -> Option<Figure> {
    let mut panel = Panel::new()
        .x(Axis::log("λ of the penalty (λ/2)‖θ‖²"))
        .y(Axis::linear("β: share predicted dog per doubling of R"))
        .layer(Layer::y_span(&format!("no effect: ±{FLAT}"), -FLAT, FLAT));
    let mut any = false;
    for (experiment, name) in [("l2", "CNN"), ("l2-mlp", "MLP")] {
        let points: Vec<_> = penalty_slopes(arms.iter().filter(|arm| arm.experiment == experiment))
            .into_iter()
            .filter_map(|(lambda, betas)| {
                let i = over_seeds(&betas.into_values().collect::<Vec<_>>())?;
                Some((lambda, i.estimate, i.low, i.high))
            })
            .collect();
        any |= !points.is_empty();
        if !points.is_empty() {
            panel = panel.layer(Layer::band(name, points));
        }
    }
    any.then(|| {
        Figure::new("Does λ, not the weight, set the size of the effect?")
            .subtitle(
                "λ at which three seeds keep a balanced training accuracy of 0.8 at every ratio; bands are 95 % intervals over seeds",
            )
            .panel(panel)
            .heights([260.])
    })
}

/// F5: what each remedy does to predictions where one class is rare.
fn imbalance(all: &[Run], reported: &Reported) -> Option<Figure> {
    let study = Imbalance::of(all);
    let balanced: Vec<f64> = study.balanced.values().map(|v| v.0).collect();
    let mut panel = Panel::new()
        .x(Axis::log2("dogs : cats in the training images, before anything is done about it"))
        .y(Axis::linear("share of a balanced test set called dog").range(0., 1.));
    for remedy in Remedy::ALL {
        let mut points = vec![];
        let mut add = |dogs: f64, of: Vec<f64>| {
            if let Some(i) = over_seeds(&of) {
                points.push((dogs, i.estimate, i.low.max(0.), i.high.min(1.)));
            }
        };
        for (class, k) in study.rarity.iter().flat_map(|&k| [(0, k), (1, k)]) {
            let dogs = if class == 0 { k as f64 } else { 1. / k as f64 };
            add(dogs, study.ends(remedy, class, k).into_iter().map(|v| v.0).collect());
        }
        // Where nothing is rare there is nothing to do, so all remedies meet.
        add(1., balanced.clone());
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if points.len() > 1 {
            panel = panel.layer(Layer::band(remedy.name(), points));
        }
    }
    if study.cells.is_empty() {
        return None;
    }
    let r2 = reported.item("sub-sampling").condition("value taken at epoch index 110; cat+dog");
    let r2: Vec<(f64, f64)> = r2.numbers.iter().filter_map(|n| Some((level(&n.level)?, n.value))).collect();
    Some(
        Figure::new("Rare classes: what moves predictions, weights or the data?")
            .subtitle("MLP, last epoch, runs that passed the gates (with L2: still train); bands are 95 % intervals over seeds")
            .caption("R2 is another reproduction, with the full CNN; its half with more dogs than cats is the artefact of a bug.")
            .panel(panel.layer(Layer::points("R2, nothing done", r2).color(Color::BLACK).marker(OTHERS[1].marker)))
            .width(1000.)
            .heights([340.]),
    )
}

/// F9: balanced accuracy of both losses against the power of the weights, at the end and where early stopping would stop.
fn tails(all: &[Run], reported: &Reported) -> Option<Figure> {
    if all.is_empty() {
        return None;
    }
    let wang = |loss: &str, stopped: bool| -> Vec<(f64, f64)> {
        let end = if stopped { "early stopped" } else { "interpolating" };
        let methods =
            [("no weights".to_string(), 0.), (format!("IW, {end}"), 1.), (format!("IW exponent 1.5, {end}"), 1.5)];
        let of_loss = reported.item("fig3-fig4").condition(loss).metric("balanced test accuracy");
        let point =
            |(method, exponent): &(String, f64)| Some((*exponent, of_loss.method(method).numbers.first()?.value));
        // Nobody stopped the runs without weights early.
        methods.iter().filter(|m| !stopped || m.1 > 0.).filter_map(point).collect()
    };
    let mut panels = vec![];
    for (title, stopped) in [("last epoch", false), ("least weighted validation loss", true)] {
        let mut panel = Panel::new()
            .title(title)
            .x(Axis::linear("e: dogs weigh 10 to the power e times as much as cats")
                .range(-0.1, 1.6)
                .ticks([0., 1., 1.5]))
            .y(Axis::linear("balanced accuracy"))
            .layer(Layer::horizontal("chance", 0.5));
        for (name, polynomial, condition) in
            [("cross-entropy", false, "Cross Entropy"), ("polynomial tail", true, "Poly-tailed Loss")]
        {
            let of_exponent = |(exponent, of): (f64, Vec<&Run>)| {
                let row = |r: &&Run| if stopped { r.summary.stopped.clone() } else { r.summary.last.clone() };
                let of: Vec<f64> = of.iter().map(|r| row(r).balanced_accuracy()).collect();
                let i = over_seeds(&of)?;
                Some((exponent, i.estimate, i.low, i.high))
            };
            let points: Vec<_> = by_exponent(all, polynomial).into_iter().filter_map(of_exponent).collect();
            let wang = Layer::line(&format!("Wang et al. 2022, {name}"), wang(condition, stopped));
            panel = panel.layer(Layer::band(name, points)).layer(wang.like(name).dash(Dash::Dotted));
        }
        panels.push(panel);
    }
    let config = &all[0].config;
    Some(
        Figure::new("Do weights help after separation where the loss has a heavier tail?")
            .subtitle(&format!(
                "{}, {} cats and {} dogs, weights by convention C; bands are 95 % intervals over seeds",
                network(config),
                config.counts[0],
                config.counts[1]
            ))
            .caption(&format!(
                "Wang et al. trained the full CNN on 4000 cats and 400 dogs. Early stopping here reads {} validation images.",
                2 * VALIDATION
            ))
            .panels(panels)
            .columns(2)
            .width(1000.)
            .heights([280.])
            .share_y(Share::All),
    )
}

/// F10: when the effect has settled.
fn settling(arms: &[Arm], reported: &Reported) -> Option<Figure> {
    let mut panel =
        Panel::new().x(Axis::log2("weight ratio, heavy : light")).y(Axis::log("epoch after which f stays within 0.03"));
    let mut any = false;
    for (experiment, name) in [("ratios", "CNN"), ("ratios-mlp", "MLP")] {
        let Some(arm) = arms.iter().find(|arm| arm.experiment == experiment) else { continue };
        let points: Vec<(f64, f64)> = arm
            .ratios()
            .into_iter()
            .filter(|&ratio| ratio >= 1.)
            .filter_map(|ratio| {
                let of = by_seed(&arm.runs, &[ratio, 1. / ratio], Run::separated, |r| r.settling_epoch() as f64);
                let values: Vec<f64> = of.iter().map(|(_, v)| mean(v)).collect();
                (values.len() >= FEWEST_SEEDS).then(|| (ratio, mean(&values)))
            })
            .collect();
        any |= !points.is_empty();
        if !points.is_empty() {
            panel = panel.layer(Layer::line(name, points));
        }
    }
    let line = [1., 2., 4., 8., 16., 32., 64., 128., 256.].map(|r| (r, 40. + 2.2 * r));
    panel = panel.layer(Layer::theory("40 + 2.2 R, fitted to R1", line));
    for (other, metric) in OTHERS.iter().zip(["epoch after which fraction stays within 0.03", "epoch of settling"]) {
        let of = reported.filter(|n| n.paper == other.paper && is_plain(n) && n.metric.starts_with(metric));
        let points = of.numbers.iter().filter_map(|n| level(&n.level).map(|r| (r.max(1. / r), n.value)));
        let layer = Layer::points(other.name, points.collect::<Vec<_>>());
        panel = panel.layer(layer.color(Color::BLACK).marker(other.marker));
    }
    any.then(|| {
        Figure::new("Do extreme weights take longer to be forgotten?")
            .subtitle(
                "mean over seeds and both directions of a ratio; our data sets are smaller than those of R1 and R2",
            )
            .caption(CAPTION)
            .panel(panel)
            .heights([260.])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_numbers_are_found_for_every_overlay() {
        let reported = reported().unwrap();
        let count = |other: usize, set: usize| shares(&reported, &OTHERS[other], set, is_plain).len();
        assert_eq!([count(0, 0), count(0, 1), count(0, 2)], [9, 9, 0]);
        assert_eq!([count(1, 0), count(1, 1), count(1, 2)], [6, 7, 7]);
        let l2 = |n: &ReportedNumber| n.method == "IW + L2";
        assert_eq!(OTHERS.each_ref().map(|other| shares(&reported, other, 0, l2).len()), [4, 7]);
        let r1 = shares(&reported, &OTHERS[0], 0, is_plain);
        assert_eq!((r1[0].0, r1[8].0), (1. / 256., 256.));
    }

    #[test]
    fn the_middle_line_crosses_the_frame() {
        let separator = Separator { normal: [0.6, -0.8], middle: [0., 0.5], margin: 1. };
        let ends = middle_line(&separator, [-1., 1., -1., 2.]);
        assert_eq!(ends.len(), 2);
        for (x, y) in ends {
            assert!((0.6 * x - 0.8 * (y - 0.5)).abs() < 1e-12 && x.abs() <= 1. && (-1. ..=2.).contains(&y));
        }
    }
}
