//! The style of every series, and the one legend of a figure.

use super::canvas::{Align, Canvas, Font, Rect, Stroke};
use super::layer::{Layer, Mark};
use super::style::{Color, Dash, Look, Role, Wish};
use super::{Panel, Thumbnail};

const FONT: Font = Font::plain(12.0);
const KEY_GAP: f64 = 7.0;
const ENTRY_GAP: f64 = 20.0;

/// A series as the reader knows it.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    role: Role,
    look: Look,
    shows: Shows,
}

impl Entry {
    fn is(&self, name: &str, role: Role) -> bool {
        self.name == name && self.role == role
    }
}

/// The marks that a series is made of anywhere in the figure.
#[derive(Clone, Copy, Debug, Default)]
struct Shows {
    line: bool,
    marker: bool,
    band: bool,
    fill: bool,
    histogram: bool,
    upright: bool,
    frame: bool,
}

impl Shows {
    fn of(layer: &Layer) -> Option<Self> {
        let none = Self::default();
        let shows = match &layer.mark {
            Mark::Line(points) => Self {
                line: true,
                marker: layer.shows_markers(),
                band: points.iter().any(|p| p.low.is_finite() && p.high.is_finite()),
                ..none
            },
            Mark::Points { .. } => Self { marker: true, ..none },
            Mark::Bars(_) | Mark::Area(_) | Mark::Swatch => Self { fill: true, ..none },
            Mark::Histogram { .. } => Self { histogram: true, ..none },
            Mark::Horizontal(_) | Mark::Diagonal => Self { line: true, ..none },
            Mark::Vertical(_) => Self { upright: true, ..none },
            Mark::XSpan(..) | Mark::YSpan(..) => Self { band: true, ..none },
            Mark::HeatMap(_) | Mark::Image { .. } | Mark::Note { .. } => return None,
        };
        Some(shows)
    }

    fn join(self, other: Self) -> Self {
        Self {
            line: self.line || other.line,
            marker: self.marker || other.marker,
            band: self.band || other.band,
            fill: self.fill || other.fill,
            histogram: self.histogram || other.histogram,
            upright: self.upright || other.upright,
            frame: self.frame || other.frame,
        }
    }

    /// Width of the key in the legend.
    fn width(self) -> f64 {
        if self.line || self.band {
            26.0
        } else if self.fill || self.histogram || self.frame {
            16.0
        } else if self.marker {
            10.0
        } else {
            6.0
        }
    }
}

/// All series of a figure in order of appearance, theory, the paper and references last.
#[derive(Debug, Default)]
pub(super) struct Legend {
    entries: Vec<Entry>,
}

impl Legend {
    pub fn of(panels: &[Panel]) -> Self {
        let mut legend = Self::default();
        let mut wishes: Vec<Wish> = Vec::new();
        for panel in panels {
            for layer in &panel.layers {
                let Some(shows) = Shows::of(layer) else { continue };
                match legend.entries.iter().position(|e| e.is(&layer.name, layer.role)) {
                    Some(known) => {
                        legend.entries[known].shows = legend.entries[known].shows.join(shows);
                        wishes[known] = wishes[known].or(&layer.wish);
                    }
                    None => {
                        let look = Look::nth(layer.role, 0, 0, 0);
                        legend.entries.push(Entry { name: layer.name.clone(), role: layer.role, look, shows });
                        wishes.push(layer.wish.clone());
                    }
                }
            }
        }
        legend.choose_looks(&wishes);
        for (name, color) in panels.iter().flat_map(Panel::thumbnails).filter_map(|t| t.frame.as_ref()) {
            if !legend.entries.iter().any(|e| e.is(name, Role::Reference)) {
                let frames = legend.entries.iter().filter(|e| e.shows.frame).count();
                let dash = [Dash::Solid, Dash::Dashed, Dash::Dotted][frames % 3];
                let look = Look { color: *color, dash, ..Look::nth(Role::Reference, 0, 0, 0) };
                let shows = Shows { frame: true, ..Shows::default() };
                legend.entries.push(Entry { name: name.clone(), role: Role::Reference, look, shows });
            }
        }
        legend.entries.sort_by_key(|entry| entry.role as usize);
        legend
    }

    /// Gives each series the next colour, dash and marker of its role, except where its author wished otherwise.
    fn choose_looks(&mut self, wishes: &[Wish]) {
        let (mut colors, mut dashes, mut markers) = ([0; 4], [0; 4], [0; 4]);
        let next = |counters: &mut [usize; 4], role: Role| {
            counters[role as usize] += 1;
            counters[role as usize] - 1
        };
        // Where the author chooses dashes, they mean something, and no other series may take one by chance.
        let dashed_by_hand = self.entries.iter().zip(wishes).any(|(e, w)| e.role == Role::Series && w.dash.is_some());
        for (entry, wish) in self.entries.iter_mut().zip(wishes).filter(|(_, wish)| wish.like.is_none()) {
            let Entry { role, shows, .. } = *entry;
            let color = if wish.color.is_none() { next(&mut colors, role) } else { 0 };
            // The dash tells lines apart where no markers do.
            let plain = role == Role::Series && (shows.marker || dashed_by_hand);
            let lined = shows.line || shows.upright;
            let dash = if lined && !plain && wish.dash.is_none() { next(&mut dashes, role) } else { 0 };
            let marker = if shows.marker && wish.marker.is_none() { next(&mut markers, role) } else { 0 };
            entry.look = Look::nth(role, color, dash, marker);
        }
        for (i, wish) in wishes.iter().enumerate() {
            let role = self.entries[i].role;
            if let Some(other) = wish.like.as_ref().and_then(|name| self.find(name, Role::Series))
                && role != Role::Paper
            {
                self.entries[i].look = other.look;
            }
            // The paper's own entry is the same in every figure, whatever its points look like in one panel.
            if role != Role::Paper {
                self.entries[i].look = wish.on(self.entries[i].look);
            }
        }
    }

    fn find(&self, name: &str, role: Role) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is(name, role))
    }

    /// How a layer is drawn.
    pub fn look(&self, layer: &Layer) -> Look {
        let mut look = self.find(&layer.name, layer.role).map_or(Look::nth(layer.role, 0, 0, 0), |entry| entry.look);
        if let Some(other) = layer.wish.like.as_ref().and_then(|name| self.find(name, Role::Series)) {
            look.color = other.look.color;
        }
        layer.wish.on(look)
    }

    /// The stroke around a thumbnail.
    pub fn frame(&self, thumbnail: &Thumbnail) -> Option<Stroke> {
        let (name, color) = thumbnail.frame.as_ref()?;
        let dash = self.find(name, Role::Reference).map_or(Dash::Solid, |entry| entry.look.dash);
        Some(Stroke { dash, ..Stroke::solid(*color, 2.4) })
    }

    /// The entries in rows of at most `width`, and the height of all rows.
    fn place(&self, width: f64) -> (Vec<Placed<'_>>, f64) {
        let mut placed = Vec::new();
        let (mut x, mut y, mut row_height) = (0.0, 0.0, 0.0);
        for entry in self.entries.iter().filter(|entry| !entry.name.trim().is_empty()) {
            let lines = FONT.wrap(&entry.name, width - entry.shows.width() - KEY_GAP);
            let text = lines.iter().map(|line| FONT.width(line)).fold(0.0, f64::max);
            let entry_width = entry.shows.width() + KEY_GAP + text;
            if x > 0.0 && x + entry_width > width {
                (x, y) = (0.0, y + row_height + 3.0);
                row_height = 0.0;
            }
            row_height = f64::max(row_height, lines.len() as f64 * FONT.line_height());
            placed.push(Placed { x, y, lines, entry });
            x += entry_width + ENTRY_GAP;
        }
        (placed, y + row_height)
    }

    pub fn height(&self, width: f64) -> f64 {
        self.place(width).1
    }

    pub fn draw(&self, canvas: &mut Canvas, left: f64, top: f64, width: f64) {
        for Placed { x, y, lines, entry } in self.place(width).0 {
            let (x, y) = (left + x, top + y);
            draw_key(canvas, entry, x, y + FONT.line_height() / 2.0);
            for (i, line) in lines.iter().enumerate() {
                let baseline = y + FONT.line_height() * (i as f64 + 0.5) + 0.36 * FONT.size;
                canvas.text((x + entry.shows.width() + KEY_GAP, baseline), line, FONT, Color::INK, Align::Left);
            }
        }
    }
}

/// An entry at its top left corner, its name broken into lines.
struct Placed<'a> {
    x: f64,
    y: f64,
    lines: Vec<String>,
    entry: &'a Entry,
}

fn draw_key(canvas: &mut Canvas, entry: &Entry, left: f64, middle: f64) {
    let Entry { role, look, shows, .. } = entry;
    let key_width = shows.width();
    let key = |width: f64, height: f64| Rect {
        left: left + (key_width - width) / 2.0,
        top: middle - height / 2.0,
        width,
        height,
    };
    if shows.fill {
        canvas.rect(key(16.0, 11.0), look.color, 1.0);
    }
    if shows.histogram {
        canvas.rect(key(16.0, 11.0), look.color, super::marks::HISTOGRAM_ALPHA);
        canvas.frame(key(16.0, 11.0), Stroke::solid(look.color, 1.3));
    }
    if shows.frame {
        canvas.frame(key(14.0, 11.0), Stroke { dash: look.dash, ..Stroke::solid(look.color, 2.2) });
    }
    if shows.band {
        let alpha = if *role == Role::Reference { super::marks::SPAN_ALPHA } else { super::marks::BAND_ALPHA };
        canvas.rect(key(key_width, 11.0), look.color, alpha);
    }
    let stroke = super::marks::line_stroke(*role, *look);
    if shows.line {
        canvas.path(&[(left, middle), (left + key_width, middle)], stroke);
    }
    if shows.upright {
        let x = left + key_width / 2.0;
        canvas.path(&[(x, middle - 7.0), (x, middle + 7.0)], stroke);
    }
    if shows.marker {
        let center = (left + key_width / 2.0, middle);
        canvas.marker(look.marker, center, super::marks::MARKER_RADIUS, *role == Role::Paper, look.color, 1.0);
    }
}

#[cfg(test)]
impl Legend {
    /// Names in the order in which they are drawn.
    pub fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.name.as_str()).filter(|name| !name.is_empty()).collect()
    }
}
