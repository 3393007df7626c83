//! Gives every part of a figure its place: the texts that stand outside the plotting areas are measured first, the
//! plotting areas share what is left.

use super::axis::{Axis, Extent, Scale, Tick, Ticks, superscript};
use super::canvas::{Align, Canvas, Font, Rect, Stroke};
use super::image::Image;
use super::layer::{HeatMap, Mark, extents};
use super::legend::Legend;
use super::marks::{Frame, draw_fills, draw_grid, draw_ground, draw_lines};
use super::style::Color;
use super::{Figure, Panel, Share, Thumbnail};

const MARGIN: f64 = 14.0;
const COLUMN_GAP: f64 = 20.0;
const ROW_GAP: f64 = 18.0;
/// Between a plotting area and its tick labels.
const TICK_GAP: f64 = 7.0;
const TICK_LENGTH: f64 = 4.0;
/// Between tick labels and the name of the axis.
const LABEL_GAP: f64 = 6.0;
const COLOR_BAR: f64 = 12.0;

const TITLE: Font = Font::bold(17.0);
const SUBTITLE: Font = Font::plain(12.5);
const PANEL_TITLE: Font = Font::bold(12.5);
const LABEL: Font = Font::plain(12.0);
const TICK: Font = Font::plain(11.0);
const CAPTION: Font = Font::plain(11.0);

/// A panel's axes, resolved.
struct Cell<'a> {
    panel: &'a Panel,
    row: usize,
    column: usize,
    x: Scale,
    y: Scale,
    empty: bool,
    x_ticks: bool,
    y_ticks: bool,
    x_label: bool,
    y_label: bool,
    /// Nothing stands below it, so its tick labels may reach into the next row.
    overhangs: bool,
}

pub(super) fn draw(figure: &Figure) -> String {
    let mut canvas = Canvas::new();
    let legend = Legend::of(&figure.panels);
    let inner = figure.width - 2.0 * MARGIN;
    let mut y = MARGIN;
    y = paragraph(&mut canvas, &figure.title, TITLE, Color::INK, y, inner, 3.0);
    y = paragraph(&mut canvas, &figure.subtitle, SUBTITLE, Color::SOFT_INK, y, inner, 3.0);
    let legend_height = legend.height(inner);
    if legend_height > 0.0 {
        legend.draw(&mut canvas, MARGIN, y + 5.0, inner);
        y += legend_height + 12.0;
    }
    y = draw_panels(&mut canvas, figure, &legend, y + 8.0);
    y = paragraph(&mut canvas, &figure.caption, CAPTION, Color::SOFT_INK, y + 10.0, inner, 0.0);
    canvas.finish(figure.width, (y + MARGIN - 4.0).ceil(), &figure.title)
}

/// Writes wrapped text below `top`, and gives the y where the next thing may start.
fn paragraph(canvas: &mut Canvas, text: &str, font: Font, color: Color, top: f64, width: f64, gap: f64) -> f64 {
    let lines = font.wrap(text, width);
    if lines.is_empty() {
        return top;
    }
    for (i, line) in lines.iter().enumerate() {
        let baseline = top + font.line_height() * i as f64 + font.size;
        canvas.text((MARGIN, baseline), line, font, color, Align::Left);
    }
    top + font.line_height() * lines.len() as f64 + gap
}

fn cells(figure: &Figure) -> Vec<Cell<'_>> {
    let columns = figure.columns;
    let panels = &figure.panels;
    let own: Vec<(Extent, Extent)> = panels.iter().map(|p| extents(&p.layers, &p.x.kind, &p.y.kind)).collect();
    let group = |i: usize, j: usize, share: Share, same_line: bool| match share {
        Share::Own => i == j,
        Share::Line => same_line,
        Share::All => true,
    };
    let same_column = |i: usize, j: usize| i % columns == j % columns;
    let same_row = |i: usize, j: usize| i / columns == j / columns;
    let joined =
        |i: usize, share: Share, same_line: &dyn Fn(usize, usize) -> bool, pick: fn(&(Extent, Extent)) -> Extent| {
            (0..panels.len())
                .filter(|&j| panels[j].sheet.is_none() && group(i, j, share, same_line(i, j)))
                .fold(Extent::EMPTY, |extent, j| extent.join(pick(&own[j])))
        };
    let mut cells: Vec<Cell> = Vec::new();
    for (i, panel) in panels.iter().enumerate() {
        let tight = panel.layers.iter().any(|layer| layer.is_tight());
        let (x_padding, y_padding) = if tight { (0.0, 0.0) } else { (0.03, 0.05) };
        let below = panels.get(i + columns).filter(|p| p.sheet.is_none());
        let before = (i % columns > 0).then(|| &panels[i - 1]).filter(|p| p.sheet.is_none());
        let last_row = i / columns == (panels.len() - 1) / columns;
        let share_x = figure.share_x != Share::Own && below.is_some();
        let share_y = figure.share_y != Share::Own && before.is_some();
        cells.push(Cell {
            panel,
            row: i / columns,
            column: i % columns,
            x: panel.x.scale(joined(i, figure.share_x, &same_column, |e| e.0), x_padding),
            y: panel.y.scale(joined(i, figure.share_y, &same_row, |e| e.1), y_padding),
            empty: panel.sheet.is_none()
                && (own[i].0.is_empty() && !panel.x.is_categorical()
                    || own[i].1.is_empty() && !panel.y.is_categorical()),
            x_ticks: !share_x,
            y_ticks: !share_y,
            x_label: true,
            y_label: true,
            overhangs: !last_row && panels.get(i + columns).is_none(),
        });
    }
    // A name that the next panel repeats is written once.
    let names: Vec<_> = cells.iter().map(|c| (axis_name(&c.panel.x, &c.x), axis_name(&c.panel.y, &c.y))).collect();
    for i in 0..cells.len() {
        let named = |j: usize| cells.get(j).is_some_and(|cell| cell.panel.sheet.is_none());
        let below = named(i + columns) && names[i + columns].0 == names[i].0;
        let before = i % columns > 0 && named(i - 1) && names[i - 1].1 == names[i].1;
        (cells[i].x_label, cells[i].y_label) = (!below, !before);
    }
    cells
}

/// Labels of an axis, broken into lines.
struct Labels {
    ticks: Ticks,
    lines: Vec<Vec<String>>,
    /// Too wide to stand side by side: they read upwards.
    upright: bool,
}

impl Labels {
    fn x(axis: &Axis, scale: &Scale, length: f64) -> Self {
        let fits = |ticks: &[Tick]| {
            ticks.windows(2).all(|pair| {
                let room = (pair[1].place - pair[0].place) * length;
                room >= (TICK.width(&pair[0].label) + TICK.width(&pair[1].label)) / 2.0 + 9.0
            })
        };
        let ticks = axis.place_ticks(scale, ((length / 40.0) as usize).clamp(2, 8), fits);
        let slot = length / ticks.marks.len().max(1) as f64 - 6.0;
        let words = |tick: &Tick| tick.label.split_whitespace().map(|w| TICK.width(w)).fold(0.0, f64::max);
        let upright = axis.is_categorical() && ticks.marks.iter().any(|tick| words(tick) > slot);
        let width = if upright { 130.0 } else { slot };
        let lines = ticks
            .marks
            .iter()
            .map(|t| if axis.is_categorical() { TICK.wrap(&t.label, width) } else { vec![t.label.clone()] })
            .collect();
        Self { ticks, lines, upright }
    }

    fn y(axis: &Axis, scale: &Scale, length: f64, most_width: f64) -> Self {
        let ticks = axis.place_ticks(scale, ((length / 28.0) as usize).clamp(2, 6), |_| true);
        let lines = ticks
            .marks
            .iter()
            .map(|t| if axis.is_categorical() { TICK.wrap(&t.label, most_width) } else { vec![t.label.clone()] })
            .collect();
        Self { ticks, lines, upright: false }
    }

    fn width(&self) -> f64 {
        self.lines.iter().flatten().map(|line| TICK.width(line)).fold(0.0, f64::max)
    }

    fn height(&self) -> f64 {
        if self.upright {
            return self.width();
        }
        self.lines.iter().map(Vec::len).max().unwrap_or(0) as f64 * TICK.line_height()
    }

    /// How far the first and the last label reach over the ends of an x axis of some length.
    fn overhangs(&self, length: f64) -> (f64, f64) {
        let over = |tick: Option<&Tick>, lines: Option<&Vec<String>>, room: fn(f64) -> f64| match (tick, lines) {
            (Some(tick), Some(lines)) if !self.upright => {
                let width = lines.iter().map(|line| TICK.width(line)).fold(0.0, f64::max);
                (width / 2.0 - room(tick.place) * length).max(0.0)
            }
            _ => 0.0,
        };
        let marks = &self.ticks.marks;
        (over(marks.first(), self.lines.first(), |p| p), over(marks.last(), self.lines.last(), |p| 1.0 - p))
    }

    fn places(&self) -> Vec<f64> {
        self.ticks.marks.iter().map(|tick| tick.place).collect()
    }
}

/// Name of an axis, with the power of ten that its ticks leave out.
fn axis_name(axis: &Axis, scale: &Scale) -> String {
    match (scale.power(), axis.label.is_empty()) {
        (0, _) => axis.label.clone(),
        (power, true) => format!("×10{}", superscript(power)),
        (power, false) => format!("{} (×10{})", axis.label, superscript(power)),
    }
}

/// The colour scale beside a heat map.
struct ColorBar<'a> {
    map: &'a HeatMap,
    labels: Labels,
    name: Vec<String>,
}

impl<'a> ColorBar<'a> {
    fn of(panel: &'a Panel, height: f64) -> Option<Self> {
        let (layer, map) = panel.layers.iter().find_map(|layer| match &layer.mark {
            Mark::HeatMap(map) if map.numbers.is_none() => Some((layer, map)),
            _ => None,
        })?;
        let (low, high) = map.color_range();
        let axis = Axis::linear(&layer.name);
        let scale = Scale::linear(low, high);
        let labels = Labels::y(&axis, &scale, height, f64::INFINITY);
        let name = LABEL.wrap(&axis_name(&axis, &scale), height.max(60.0));
        Some(Self { map, labels, name })
    }

    fn width(&self) -> f64 {
        let name = if self.name.is_empty() { 0.0 } else { LABEL_GAP + self.name.len() as f64 * LABEL.line_height() };
        10.0 + COLOR_BAR + 5.0 + self.labels.width() + name
    }

    fn draw(&self, canvas: &mut Canvas, plot: Rect) {
        const STEPS: usize = 100;
        let image = Image::new(1, STEPS, |_, y| self.map.color(1.0 - (y as f64 + 0.5) / STEPS as f64));
        let bar = Rect { left: plot.right() + 10.0, width: COLOR_BAR, ..plot };
        canvas.image(&image, bar);
        for tick in &self.labels.ticks.marks {
            let y = plot.top + plot.height * (1.0 - tick.place);
            canvas.path(&[(bar.right(), y), (bar.right() + 3.0, y)], Stroke::solid(Color::AXIS, 1.0));
            let at = (bar.right() + 5.0, y + 0.36 * TICK.size);
            canvas.text(at, &tick.label, TICK, Color::SOFT_INK, Align::Left);
        }
        for (i, line) in self.name.iter().enumerate() {
            let x = bar.right() + 5.0 + self.labels.width() + LABEL_GAP + LABEL.line_height() * i as f64 + LABEL.size;
            canvas.vertical_text((x, plot.top + plot.height / 2.0), line, LABEL, Color::INK);
        }
    }
}

fn draw_panels(canvas: &mut Canvas, figure: &Figure, legend: &Legend, top: f64) -> f64 {
    if figure.panels.is_empty() {
        return top;
    }
    let cells = cells(figure);
    let columns = figure.columns.min(figure.panels.len());
    let rows = cells.len().div_ceil(figure.columns);
    let inner = figure.width - 2.0 * MARGIN;
    let slot = (inner - COLUMN_GAP * (columns as f64 - 1.0)) / columns as f64;

    let given = |row: usize| figure.heights.get(row).or(figure.heights.last()).copied();
    let row_height = |row: usize, width: f64| {
        given(row).unwrap_or_else(|| {
            let aspects = cells.iter().filter(|cell| cell.row == row).filter_map(|cell| cell.panel.aspect);
            let square = aspects.fold(0.0, f64::max) * width;
            if square > 0.0 { square.min(460.0) } else { (0.62 * width).clamp(140.0, 360.0) }
        })
    };
    let y_labels = |cell: &Cell, height: f64| Labels::y(&cell.panel.y, &cell.y, height, 0.32 * slot);
    // Room left and right of a plotting area of some width.
    let beside = |cell: &Cell, width: f64| {
        if cell.panel.sheet.is_some() {
            return (0.0, 0.0);
        }
        let height = row_height(cell.row, width);
        let labels = y_labels(cell, height);
        let name = LABEL.wrap(&axis_name(&cell.panel.y, &cell.y), height.max(60.0)).len() as f64;
        let name = if cell.y_label && name > 0.0 { name * LABEL.line_height() + LABEL_GAP } else { 0.0 };
        let ticks = if cell.y_ticks { labels.width() + TICK_GAP } else { 0.0 };
        let x_labels = Labels::x(&cell.panel.x, &cell.x, width);
        let (before, after) = if cell.x_ticks { x_labels.overhangs(width) } else { (0.0, 0.0) };
        let bar = ColorBar::of(cell.panel, height).map_or(0.0, |bar| bar.width());
        (before.max(ticks + name), after.max(bar))
    };
    // Labels depend on the size of the plotting area, and its size on theirs: it settles in a few rounds. The heights
    // are those of the width for which the labels were measured last.
    let (mut lefts, mut rights) = (vec![0.0; columns], vec![0.0; columns]);
    let mut width = (slot - 60.0).max(30.0);
    let mut measured = width;
    for _ in 0..4 {
        measured = width;
        (lefts, rights) = (vec![0.0; columns], vec![0.0; columns]);
        for cell in &cells {
            let (left, right) = beside(cell, measured);
            lefts[cell.column] = f64::max(lefts[cell.column], left);
            rights[cell.column] = f64::max(rights[cell.column], right);
        }
        let margins = lefts.iter().chain(&rights).sum::<f64>() + COLUMN_GAP * (columns as f64 - 1.0);
        width = ((inner - margins) / columns as f64).max(30.0);
    }

    let mut y = top;
    for row in 0..rows {
        let in_row = || cells.iter().filter(|cell| cell.row == row);
        let heights = in_row().map(|cell| match &cell.panel.sheet {
            Some((columns, thumbnails)) => Sheet::new(*columns, thumbnails, width).height(),
            None => row_height(row, measured),
        });
        let height = heights.fold(0.0, f64::max);
        let title = |cell: &Cell| PANEL_TITLE.wrap(&cell.panel.title, width + rights[cell.column]);
        let title_height = |cell: &Cell| {
            let lines = title(cell).len() as f64;
            if lines > 0.0 { lines * PANEL_TITLE.line_height() + 4.0 } else { 0.0 }
        };
        let above = in_row().map(title_height).fold(0.0, f64::max);
        let mut below = 0.0;
        for cell in in_row() {
            let left = MARGIN
                + (0..cell.column).map(|c| lefts[c] + width + rights[c] + COLUMN_GAP).sum::<f64>()
                + lefts[cell.column];
            let mut plot = Rect { left, top: y + above, width, height };
            for (i, line) in title(cell).iter().enumerate() {
                let baseline = y + above - title_height(cell) + PANEL_TITLE.line_height() * i as f64 + PANEL_TITLE.size;
                canvas.text((left, baseline), line, PANEL_TITLE, Color::INK, Align::Left);
            }
            if let Some((columns, thumbnails)) = &cell.panel.sheet {
                Sheet::new(*columns, thumbnails, width).draw(canvas, legend, left, y + above);
                continue;
            }
            if let Some(aspect) = cell.panel.aspect {
                plot.width = (plot.height / aspect).min(plot.width);
                plot.height = plot.width * aspect;
            }
            let used = draw_panel(canvas, cell, legend, plot, &y_labels(cell, plot.height));
            if !cell.overhangs {
                below = f64::max(below, used);
            }
        }
        y += above + height + below + if row + 1 < rows { ROW_GAP } else { 0.0 };
    }
    y
}

/// Draws a panel around its plotting area, and gives the height that it needs below.
fn draw_panel(canvas: &mut Canvas, cell: &Cell, legend: &Legend, plot: Rect, y_labels: &Labels) -> f64 {
    let panel = cell.panel;
    let x_labels = Labels::x(&panel.x, &cell.x, plot.width);
    let frame = Frame {
        plot,
        x: cell.x.clone(),
        y: cell.y.clone(),
        x_categories: panel.x.is_categorical(),
        y_categories: panel.y.is_categorical(),
    };
    let pictured = panel.layers.iter().any(|layer| layer.is_picture());
    draw_ground(canvas, &frame, &panel.layers, legend);
    if !pictured {
        let grid = |axis: &Axis, labels: &Labels| if axis.is_categorical() { Vec::new() } else { labels.places() };
        draw_grid(canvas, &frame, &grid(&panel.x, &x_labels), &grid(&panel.y, y_labels));
    }
    draw_fills(canvas, &frame, &panel.layers, legend);
    let axis = Stroke::solid(Color::AXIS, 1.0);
    canvas.path(&[(plot.left, plot.top), (plot.left, plot.bottom()), (plot.right(), plot.bottom())], axis);
    let used = draw_x_axis(canvas, cell, plot, &x_labels, axis);
    draw_y_axis(canvas, cell, &frame, y_labels, axis);
    draw_lines(canvas, &frame, &panel.layers, legend);
    if cell.empty {
        let middle = (plot.left + plot.width / 2.0, plot.top + plot.height / 2.0 + 0.36 * LABEL.size);
        canvas.text(middle, "no data", LABEL, Color::REFERENCE, Align::Middle);
    }
    if let Some(bar) = ColorBar::of(panel, plot.height) {
        bar.draw(canvas, plot);
    }
    used
}

fn draw_x_axis(canvas: &mut Canvas, cell: &Cell, plot: Rect, labels: &Labels, stroke: Stroke) -> f64 {
    let axis = &cell.panel.x;
    let mut used = 0.0;
    let x_at = |place: f64| plot.left + place * plot.width;
    if !axis.is_categorical() {
        for tick in &labels.ticks.marks {
            let x = x_at(tick.place);
            canvas.path(&[(x, plot.bottom()), (x, plot.bottom() + TICK_LENGTH)], stroke);
        }
        for x in labels.ticks.minor.iter().map(|place| x_at(*place)) {
            canvas.path(&[(x, plot.bottom()), (x, plot.bottom() + TICK_LENGTH / 2.0)], stroke);
        }
        used = TICK_LENGTH;
    }
    if cell.x_ticks {
        let top = plot.bottom() + TICK_GAP;
        for (tick, lines) in labels.ticks.marks.iter().zip(&labels.lines) {
            let x = x_at(tick.place);
            for (i, line) in lines.iter().enumerate() {
                if labels.upright {
                    let block = lines.len() as f64 * TICK.line_height();
                    let baseline = x - block / 2.0 + TICK.line_height() * (i as f64 + 0.5) + 0.36 * TICK.size;
                    let middle = top + TICK.width(line) / 2.0;
                    canvas.vertical_text((baseline, middle), line, TICK, Color::SOFT_INK);
                } else {
                    let baseline = top + TICK.line_height() * i as f64 + 0.82 * TICK.size;
                    canvas.text((x, baseline), line, TICK, Color::SOFT_INK, Align::Middle);
                }
            }
        }
        used = TICK_GAP + labels.height();
    }
    if cell.x_label {
        let lines = LABEL.wrap(&axis_name(axis, &cell.x), plot.width + 20.0);
        for line in lines {
            let middle = plot.left + plot.width / 2.0;
            canvas.text((middle, plot.bottom() + used + LABEL.size), &line, LABEL, Color::INK, Align::Middle);
            used += LABEL.line_height();
        }
    }
    used
}

fn draw_y_axis(canvas: &mut Canvas, cell: &Cell, frame: &Frame, labels: &Labels, stroke: Stroke) {
    let axis = &cell.panel.y;
    let plot = frame.plot;
    if !axis.is_categorical() {
        for tick in &labels.ticks.marks {
            let y = frame.y_at(tick.place);
            canvas.path(&[(plot.left - TICK_LENGTH, y), (plot.left, y)], stroke);
        }
        for y in labels.ticks.minor.iter().map(|place| frame.y_at(*place)) {
            canvas.path(&[(plot.left - TICK_LENGTH / 2.0, y), (plot.left, y)], stroke);
        }
    }
    let mut left = plot.left;
    if cell.y_ticks {
        for (tick, lines) in labels.ticks.marks.iter().zip(&labels.lines) {
            let top = frame.y_at(tick.place) - lines.len() as f64 * TICK.line_height() / 2.0;
            for (i, line) in lines.iter().enumerate() {
                let baseline = top + TICK.line_height() * (i as f64 + 0.5) + 0.36 * TICK.size;
                canvas.text((plot.left - TICK_GAP, baseline), line, TICK, Color::SOFT_INK, Align::Right);
            }
        }
        left -= TICK_GAP + labels.width();
    }
    if cell.y_label {
        let lines = LABEL.wrap(&axis_name(axis, &cell.y), plot.height.max(60.0));
        for (i, line) in lines.iter().rev().enumerate() {
            let baseline = left - LABEL_GAP - LABEL.line_height() * i as f64 - 2.0;
            canvas.vertical_text((baseline, plot.top + plot.height / 2.0), line, LABEL, Color::INK);
        }
    }
}

/// Thumbnails in rows, each row as high as its longest caption asks.
struct Sheet<'a> {
    side: f64,
    rows: Vec<(&'a [Thumbnail], Vec<Vec<String>>)>,
}

impl<'a> Sheet<'a> {
    const GAP: f64 = 10.0;
    const FONT: Font = Font::plain(10.0);

    fn new(columns: usize, thumbnails: &'a [Thumbnail], width: f64) -> Self {
        let side = ((width - Self::GAP * (columns as f64 - 1.0)) / columns as f64).clamp(10.0, 160.0);
        let rows = thumbnails
            .chunks(columns)
            .map(|row| (row, row.iter().map(|t| Self::FONT.wrap(&t.caption, side + Self::GAP - 4.0)).collect()))
            .collect();
        Self { side, rows }
    }

    fn row_height(&self, captions: &[Vec<String>]) -> f64 {
        let lines = captions.iter().map(Vec::len).max().unwrap_or(0);
        self.side + Self::GAP + if lines > 0 { 2.0 + lines as f64 * Self::FONT.line_height() } else { 0.0 }
    }

    fn height(&self) -> f64 {
        self.rows.iter().map(|(_, captions)| self.row_height(captions)).sum::<f64>()
    }

    fn draw(&self, canvas: &mut Canvas, legend: &Legend, left: f64, top: f64) {
        let mut y = top;
        let framed = self.rows.iter().flat_map(|row| row.0).any(|thumbnail| thumbnail.frame.is_some());
        for (thumbnails, captions) in &self.rows {
            for (i, (thumbnail, lines)) in thumbnails.iter().zip(captions).enumerate() {
                let cell = Rect {
                    left: left + (self.side + Self::GAP) * i as f64,
                    top: y,
                    width: self.side,
                    height: self.side,
                };
                let Image { width, height, .. } = thumbnail.image;
                let room = self.side - if framed { 7.0 } else { 0.0 };
                let zoom = room / width.max(height).max(1) as f64;
                let (width, height) = (width as f64 * zoom, height as f64 * zoom);
                let picture = Rect {
                    left: cell.left + (self.side - width) / 2.0,
                    top: cell.top + (self.side - height) / 2.0,
                    width,
                    height,
                };
                canvas.image(&thumbnail.image, picture);
                if let Some(stroke) = legend.frame(thumbnail) {
                    let (out, both) = (stroke.width / 2.0 + 0.5, stroke.width + 1.0);
                    let around = Rect {
                        left: picture.left - out,
                        top: picture.top - out,
                        width: picture.width + both,
                        height: picture.height + both,
                    };
                    canvas.frame(around, stroke);
                }
                for (i, line) in lines.iter().enumerate() {
                    let baseline = cell.bottom() + 4.0 + Self::FONT.line_height() * i as f64 + Self::FONT.size;
                    let middle = cell.left + self.side / 2.0;
                    canvas.text((middle, baseline), line, Self::FONT, Color::SOFT_INK, Align::Middle);
                }
            }
            y += self.row_height(captions);
        }
    }
}
