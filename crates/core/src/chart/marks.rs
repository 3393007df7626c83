//! Draws the layers of a panel into its frame.

use super::axis::{Scale, format_number};
use super::canvas::{Align, Canvas, Font, Rect, Stroke};
use super::image::{Image, diverging, sequential};
use super::layer::{HeatMap, Layer, Mark, Point, stacks};
use super::legend::Legend;
use super::style::{Color, Look, Marker, Role};

pub(super) const BAND_ALPHA: f64 = 0.18;
pub(super) const SPAN_ALPHA: f64 = 0.13;
pub(super) const HISTOGRAM_ALPHA: f64 = 0.32;
pub(super) const MARKER_RADIUS: f64 = 3.7;

const NOTE: Font = Font::plain(11.0);
/// Room that the bars of one category take of the distance between two.
const BAR_SHARE: f64 = 0.76;
/// The same for points beside each other.
const POINT_SHARE: f64 = 0.5;

/// The plotting area of a panel, and what its sides mean.
pub(super) struct Frame {
    pub plot: Rect,
    pub x: Scale,
    pub y: Scale,
    /// The places of the x axis are categories, so its series stand side by side.
    pub x_categories: bool,
    /// The places of the y axis are categories, from top to bottom.
    pub y_categories: bool,
}

impl Frame {
    fn x_at(&self, place: f64) -> f64 {
        self.plot.left + place * self.plot.width
    }

    /// Pixel of a place on the y axis: categories run down, numbers run up.
    pub fn y_at(&self, place: f64) -> f64 {
        self.plot.top + self.plot.height * if self.y_categories { place } else { 1.0 - place }
    }

    fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.x_at(self.x.place(x)?), self.y_at(self.y.place(y)?)))
    }

    /// Place of a bound, or of the edge where the bound is infinite or not on the scale.
    fn bound(scale: &Scale, value: f64, edge: f64) -> f64 {
        scale.place(value).map_or(edge, |place| place.clamp(0.0, 1.0))
    }

    fn holds(&self, (x, y): (f64, f64)) -> bool {
        let Rect { left, top, .. } = self.plot;
        (left - 0.01..=self.plot.right() + 0.01).contains(&x) && (top - 0.01..=self.plot.bottom() + 0.01).contains(&y)
    }
}

/// The stroke of a line of some role.
pub(super) fn line_stroke(role: Role, look: Look) -> Stroke {
    let width = match role {
        Role::Series | Role::Paper => 2.0,
        Role::Theory => 1.6,
        Role::Reference => 1.3,
    };
    Stroke { color: look.color, alpha: 1.0, width, dash: look.dash }
}

/// What lies under the grid.
pub(super) fn draw_ground(canvas: &mut Canvas, frame: &Frame, layers: &[Layer], legend: &Legend) {
    for layer in layers {
        let color = legend.look(layer).color;
        match &layer.mark {
            Mark::XSpan(low, high) => {
                let (a, b) = (Frame::bound(&frame.x, *low, 0.0), Frame::bound(&frame.x, *high, 1.0));
                let (left, right) = (frame.x_at(a.min(b)), frame.x_at(a.max(b)));
                canvas.rect(Rect { left, width: right - left, ..frame.plot }, color, SPAN_ALPHA);
            }
            Mark::YSpan(low, high) => {
                let a = frame.y_at(Frame::bound(&frame.y, *low, 0.0));
                let b = frame.y_at(Frame::bound(&frame.y, *high, 1.0));
                canvas.rect(Rect { top: a.min(b), height: (a - b).abs(), ..frame.plot }, color, SPAN_ALPHA);
            }
            _ => {}
        }
    }
}

/// Data that cover an area. The axes are drawn over them, everything else over the axes.
pub(super) fn draw_fills(canvas: &mut Canvas, frame: &Frame, layers: &[Layer], legend: &Legend) {
    canvas.clip(frame.plot, |canvas| {
        for (layer, stack) in layers.iter().zip(stacks(layers)) {
            let look = legend.look(layer);
            match &layer.mark {
                Mark::Image { image, x, y } => draw_image(canvas, frame, image, *x, *y),
                Mark::HeatMap(map) => draw_heat_map(canvas, frame, map),
                Mark::Bars(points) => draw_bars(canvas, frame, layers, layer, points, look),
                Mark::Histogram { edges, heights } => draw_histogram(canvas, frame, edges, heights, look),
                _ => {}
            }
            if let Some((lower, upper)) = stack {
                draw_area(canvas, frame, &lower, &upper, look);
            }
        }
    });
}

/// Lines and points, the paper's points on top.
pub(super) fn draw_lines(canvas: &mut Canvas, frame: &Frame, layers: &[Layer], legend: &Legend) {
    // Wide enough that a line along the edge keeps its width.
    let Rect { left, top, width, height } = frame.plot;
    let lines = Rect { left: left - 1.5, top: top - 1.5, width: width + 3.0, height: height + 3.0 };
    canvas.clip(lines, |canvas| {
        for layer in layers {
            if let Mark::Line(points) = &layer.mark {
                draw_band(canvas, frame, points, legend.look(layer));
            }
        }
        for layer in layers {
            draw_reference(canvas, frame, layer, legend.look(layer));
        }
        for faint in [true, false] {
            for layer in layers.iter().filter(|layer| layer.wish.faint == faint) {
                if let Mark::Line(points) = &layer.mark {
                    draw_line(canvas, frame, points, layer, legend.look(layer));
                }
            }
        }
    });
    for paper in [false, true] {
        for faint in [true, false] {
            for layer in layers.iter().filter(|l| (l.role == Role::Paper, l.wish.faint) == (paper, faint)) {
                draw_points(canvas, frame, layers, layer, legend.look(layer));
            }
        }
    }
    for layer in layers {
        if let Mark::Note { x, y, text } = &layer.mark {
            draw_note(canvas, frame, *x, *y, text);
        }
    }
}

/// Draws the runs of neighbouring points that are all there.
fn runs<T>(items: impl IntoIterator<Item = Option<T>>, mut draw: impl FnMut(&[T])) {
    let mut run = Vec::new();
    for item in items.into_iter().chain([None]) {
        match item {
            Some(item) => run.push(item),
            None if !run.is_empty() => {
                draw(&run);
                run.clear();
            }
            None => {}
        }
    }
}

fn draw_line(canvas: &mut Canvas, frame: &Frame, points: &[Point], layer: &Layer, look: Look) {
    let mut stroke = line_stroke(layer.role, look);
    if layer.wish.faint {
        stroke = Stroke { alpha: 0.35, ..Stroke::solid(look.color, 1.0) };
    }
    runs(points.iter().map(|p| frame.at(p.x, p.y)), |run| match run {
        // A value between two gaps would not be seen as a line.
        [alone] => canvas.marker(Marker::Circle, *alone, stroke.width, false, look.color, stroke.alpha),
        _ => canvas.path(run, stroke),
    });
}

fn draw_band(canvas: &mut Canvas, frame: &Frame, points: &[Point], look: Look) {
    let edges = points.iter().map(|p| {
        // On a logarithmic axis an interval may reach below what can be drawn.
        let low = frame.at(p.x, p.low).or_else(|| p.low.is_finite().then(|| frame.at(p.x, frame.y.value(0.0)))?)?;
        Some((low, frame.at(p.x, p.high)?))
    });
    runs(edges, |run| match run {
        [(low, high)] => {
            canvas.path(&[*low, *high], Stroke { alpha: BAND_ALPHA, ..Stroke::solid(look.color, 5.0) });
        }
        _ => {
            let around: Vec<_> = run.iter().map(|e| e.0).chain(run.iter().rev().map(|e| e.1)).collect();
            canvas.polygon(&around, look.color, BAND_ALPHA);
        }
    });
}

fn draw_area(canvas: &mut Canvas, frame: &Frame, lower: &[(f64, f64)], upper: &[(f64, f64)], look: Look) {
    let floor = |x: f64, y: f64| frame.at(x, y).or_else(|| frame.at(x, frame.y.value(0.0)));
    let edges = lower.iter().zip(upper).map(|(l, u)| Some((floor(l.0, l.1)?, floor(u.0, u.1)?)));
    runs(edges, |run| {
        let around: Vec<_> = run.iter().map(|e| e.0).chain(run.iter().rev().map(|e| e.1)).collect();
        canvas.polygon(&around, look.color, 1.0);
        let top: Vec<_> = run.iter().map(|e| e.1).collect();
        canvas.path(&top, Stroke::solid(Color::WHITE, 1.0));
    });
}

fn draw_histogram(canvas: &mut Canvas, frame: &Frame, edges: &[f64], heights: &[f64], look: Look) {
    let floor = frame.y_at(Frame::bound(&frame.y, 0.0, 0.0));
    let mut outline = Vec::new();
    for (pair, height) in edges.windows(2).zip(heights) {
        let top = frame.y.place(*height).map_or(floor, |place| frame.y_at(place));
        if let (Some(a), Some(b)) = (frame.x.place(pair[0]), frame.x.place(pair[1])) {
            outline.extend([(frame.x_at(a), top), (frame.x_at(b), top)]);
        }
    }
    if let (Some(&(first, _)), Some(&(last, _))) = (outline.first(), outline.last()) {
        outline.insert(0, (first, floor));
        outline.push((last, floor));
        canvas.polygon(&outline, look.color, HISTOGRAM_ALPHA);
        canvas.path(&outline, Stroke::solid(look.color, 1.3));
    }
}

/// How far a layer stands from its place on a categorical axis, because other series of its kind stand there too, and
/// the width that is its own, both in units of the distance between two categories.
fn dodge(layers: &[Layer], layer: &Layer, share: f64, most: f64, same: fn(&Mark) -> bool) -> Option<(f64, f64)> {
    let mut names: Vec<&str> = Vec::new();
    for other in layers.iter().filter(|l| l.role != Role::Paper && same(&l.mark)) {
        if !names.contains(&other.name.as_str()) {
            names.push(&other.name);
        }
    }
    let name = layer.wish.like.as_ref().filter(|_| layer.role == Role::Paper).unwrap_or(&layer.name);
    let index = names.iter().position(|n| n == name)?;
    let width = (share / names.len() as f64).min(most);
    Some(((index as f64 - (names.len() as f64 - 1.0) / 2.0) * width, width))
}

fn dodge_bars(layers: &[Layer], layer: &Layer) -> Option<(f64, f64)> {
    dodge(layers, layer, BAR_SHARE, 1.0, |mark| matches!(mark, Mark::Bars(_)))
}

fn draw_bars(canvas: &mut Canvas, frame: &Frame, layers: &[Layer], layer: &Layer, points: &[Point], look: Look) {
    let (shift, width) = dodge_bars(layers, layer).unwrap_or((0.0, BAR_SHARE));
    let along_x = frame.y_categories;
    let (across, along) = if along_x { (&frame.y, &frame.x) } else { (&frame.x, &frame.y) };
    let at = |across: f64, along: f64| {
        if along_x { (frame.x_at(along), frame.y_at(across)) } else { (frame.x_at(across), frame.y_at(along)) }
    };
    let floor = Frame::bound(along, 0.0, 0.0);
    if 0.0 < floor && floor < 1.0 {
        canvas.path(&[at(0.0, floor), at(1.0, floor)], Stroke::solid(Color::AXIS, 1.0));
    }
    for point in points {
        let middle = point.x + shift;
        let sides = (across.place(middle - 0.46 * width), across.place(middle + 0.46 * width));
        let (Some(left), Some(right), Some(top)) = (sides.0, sides.1, along.place(point.y)) else { continue };
        canvas.polygon(&[at(left, floor), at(right, floor), at(right, top), at(left, top)], look.color, 1.0);
        if let (Some(middle), Some(low), Some(high)) =
            (across.place(middle), along.place(point.low), along.place(point.high))
        {
            draw_error_bar(canvas, at(middle, low), at(middle, high), Stroke::solid(Color::INK, 1.3));
        }
    }
}

fn draw_error_bar(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
    const CAP: f64 = 3.0;
    canvas.path(&[from, to], stroke);
    let (dx, dy) = if (from.0 - to.0).abs() > (from.1 - to.1).abs() { (0.0, CAP) } else { (CAP, 0.0) };
    for (x, y) in [from, to] {
        canvas.path(&[(x - dx, y - dy), (x + dx, y + dy)], stroke);
    }
}

fn draw_points(canvas: &mut Canvas, frame: &Frame, layers: &[Layer], layer: &Layer, look: Look) {
    let (points, along_x, own) = match &layer.mark {
        Mark::Points { points, along_x } => (points, *along_x, true),
        Mark::Line(points) if layer.shows_markers() => (points, false, false),
        _ => return,
    };
    let categorical = frame.x_categories || frame.y_categories;
    let shift = if own && categorical {
        dodge(layers, layer, POINT_SHARE, 0.22, |mark| matches!(mark, Mark::Points { .. }))
            .or_else(|| dodge_bars(layers, layer))
            .map_or(0.0, |(shift, _)| shift)
    } else {
        0.0
    };
    // Side by side, the place says which series the paper's points belong to.
    let black = layer.role == Role::Paper && categorical && layer.wish.color.is_none();
    let color = if black { Color::BLACK } else { look.color };
    let (dx, dy) = match (frame.y_categories, frame.x_categories) {
        (true, false) => (0.0, shift),
        _ => (shift, 0.0),
    };
    let (radius, alpha) = if layer.wish.faint { (2.0, 0.4) } else { (MARKER_RADIUS, 1.0) };
    let (first, step) = match points.len() {
        long @ 31.. if !own => (look.marker as usize * (long / 10) / 6, long / 10),
        _ => (0, 1),
    };
    for point in points.iter().skip(first).step_by(step) {
        let Some((x, y)) = frame.at(point.x + dx, point.y + dy) else { continue };
        if !frame.holds((x, y)) {
            continue;
        }
        let scale = if along_x { &frame.x } else { &frame.y };
        if own && point.low.is_finite() && point.high.is_finite() {
            let (low, high) = (Frame::bound(scale, point.low, 0.0), Frame::bound(scale, point.high, 1.0));
            let (from, to) = if along_x {
                ((frame.x_at(low), y), (frame.x_at(high), y))
            } else {
                ((x, frame.y_at(low)), (x, frame.y_at(high)))
            };
            draw_error_bar(canvas, from, to, Stroke { alpha, ..Stroke::solid(color, 1.5) });
        }
        canvas.marker(look.marker, (x, y), radius, layer.role == Role::Paper, color, alpha);
    }
}

fn draw_reference(canvas: &mut Canvas, frame: &Frame, layer: &Layer, look: Look) {
    let stroke = line_stroke(layer.role, look);
    let plot = frame.plot;
    match layer.mark {
        Mark::Horizontal(y) => {
            if let Some(y) = frame.y.place(y).map(|place| frame.y_at(place)) {
                canvas.path(&[(plot.left, y), (plot.right(), y)], stroke);
            }
        }
        Mark::Vertical(x) => {
            if let Some(x) = frame.x.place(x).map(|place| frame.x_at(place)) {
                canvas.path(&[(x, plot.bottom()), (x, plot.top)], stroke);
            }
        }
        Mark::Diagonal => {
            // Many points: where only one axis is logarithmic, y = x is a curve.
            let line = (0..=64).filter_map(|i| {
                let x = frame.x.value(f64::from(i) / 64.0);
                frame.at(x, x)
            });
            canvas.path(&line.collect::<Vec<_>>(), stroke);
        }
        _ => {}
    }
}

fn draw_image(canvas: &mut Canvas, frame: &Frame, image: &Image, x: (f64, f64), y: (f64, f64)) {
    if let (Some((left, bottom)), Some((right, top))) =
        (frame.at(x.0.min(x.1), y.0.min(y.1)), frame.at(x.0.max(x.1), y.0.max(y.1)))
    {
        let rect = Rect { left, top: top.min(bottom), width: right - left, height: (bottom - top).abs() };
        canvas.image(image, rect);
    }
}

impl HeatMap {
    /// The values of the first and the last colour.
    pub fn color_range(&self) -> (f64, f64) {
        let finite = || self.rows.iter().flatten().copied().filter(|v| v.is_finite());
        let (low, high) = match self.range {
            Some((a, b)) if a.is_finite() && b.is_finite() => (a.min(b), a.max(b)),
            _ => (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max)),
        };
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        if self.diverging {
            let most = low.abs().max(high.abs());
            let most = if most > 0.0 { most } else { 1.0 };
            (-most, most)
        } else if low == high {
            (low - 0.5, high + 0.5)
        } else {
            (low, high)
        }
    }

    /// Colour of a share of the range.
    pub fn color(&self, share: f64) -> Color {
        if self.diverging { diverging(share) } else { sequential(share) }
    }
}

fn draw_heat_map(canvas: &mut Canvas, frame: &Frame, map: &HeatMap) {
    let columns = map.rows.iter().map(Vec::len).max().unwrap_or(0);
    let rows = map.rows.len();
    let scale = {
        let (low, high) = map.color_range();
        Scale::linear(low, high)
    };
    let value = |row: usize, column: usize| map.rows[row].get(column).copied().unwrap_or(f64::NAN);
    let color = |value: f64| scale.place(value).map_or(Color::MISSING, |share| map.color(share));
    let (Some((left, first)), Some((right, last))) =
        (frame.at(-0.5, -0.5), frame.at(columns as f64 - 0.5, rows as f64 - 0.5))
    else {
        return;
    };
    if rows == 0 || columns == 0 {
        return;
    }
    let top = first.min(last);
    let (width, height) = ((right - left) / columns as f64, (first - last).abs() / rows as f64);
    // Without categories the y axis runs up, and so do the rows.
    let image_row = |row: usize| if first < last { row } else { rows - 1 - row };
    let image = Image::new(columns, rows, |x, y| color(value(image_row(y), x)));
    canvas.image(&image, Rect { left, top, width: right - left, height: (first - last).abs() });
    if width > 12.0 && height > 12.0 {
        let gap = Stroke::solid(Color::WHITE, 1.0);
        for i in 1..columns {
            let x = left + width * i as f64;
            canvas.path(&[(x, top), (x, first.max(last))], gap);
        }
        for i in 1..rows {
            let y = top + height * i as f64;
            canvas.path(&[(left, y), (right, y)], gap);
        }
    }
    let Some(decimals) = map.numbers else { return };
    let mut texts = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let v = value(row, column);
            let text = if v.is_finite() { format_number(v, decimals) } else { "–".to_owned() };
            texts.push((row, column, text, color(v).is_dark()));
        }
    }
    let widest = texts.iter().map(|t| Font::plain(1.0).width(&t.2)).fold(0.5, f64::max);
    let size = f64::min(11.5, f64::min((width - 4.0) / widest, height * 0.75));
    if size < 6.0 {
        return;
    }
    for (row, column, text, dark) in texts {
        let x = left + width * (column as f64 + 0.5);
        let y = top + height * (image_row(row) as f64 + 0.5);
        let ink = if dark { Color::WHITE } else { Color::INK };
        canvas.text((x, y + 0.36 * size), &text, Font::plain(size), ink, Align::Middle);
    }
}

fn draw_note(canvas: &mut Canvas, frame: &Frame, x: f64, y: f64, text: &str) {
    let Some((x, y)) = frame.at(x, y) else { return };
    let plot = frame.plot;
    let lines = NOTE.wrap(text, 0.45 * plot.width);
    let width = lines.iter().map(|line| NOTE.width(line)).fold(0.0, f64::max);
    let height = lines.len() as f64 * NOTE.line_height();
    // To the right of the point, or to its left where the frame ends; always inside.
    let left = if x + width + 4.0 <= plot.right() { x + 2.0 } else { x - width - 2.0 };
    let left = left.min(plot.right() - width - 2.0).max(plot.left + 2.0);
    let top = (y - height / 2.0).min(plot.bottom() - height - 2.0).max(plot.top + 2.0);
    canvas.rect(Rect { left: left - 2.0, top: top - 1.0, width: width + 4.0, height: height + 2.0 }, Color::WHITE, 0.8);
    for (i, line) in lines.iter().enumerate() {
        let baseline = top + NOTE.line_height() * (i as f64 + 0.5) + 0.36 * NOTE.size;
        canvas.text((left, baseline), line, NOTE, Color::SOFT_INK, Align::Left);
    }
}

/// The grid under the data.
pub(super) fn draw_grid(canvas: &mut Canvas, frame: &Frame, x_places: &[f64], y_places: &[f64]) {
    let (plot, stroke) = (frame.plot, Stroke::solid(Color::GRID, 1.0));
    for x in x_places.iter().map(|place| frame.x_at(*place)) {
        canvas.path(&[(x, plot.top), (x, plot.bottom())], stroke);
    }
    for y in y_places.iter().map(|place| frame.y_at(*place)) {
        canvas.path(&[(plot.left, y), (plot.right(), y)], stroke);
    }
}
