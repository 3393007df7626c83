//! What is drawn inside a panel.

use super::axis::{Extent, Kind};
use super::image::Image;
use super::style::{Color, Dash, Marker, Role, Wish};

/// One thing drawn in a panel. Layers of one name are one series: they share colour, dash and marker throughout the
/// figure, and one entry of its legend. A layer without a name has no entry.
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) wish: Wish,
    pub(super) mark: Mark,
}

#[derive(Clone, Debug)]
pub(super) enum Mark {
    /// Points joined in order, with gaps where a value is missing; the interval is a band.
    Line(Vec<Point>),
    /// Points on their own; the interval is an error bar along y, or along x in a forest plot.
    Points {
        points: Vec<Point>,
        along_x: bool,
    },
    /// Bars from zero; the interval is an error bar.
    Bars(Vec<Point>),
    /// Densities between edges.
    Histogram {
        edges: Vec<f64>,
        heights: Vec<f64>,
    },
    /// Stacked on the areas that come before it in the panel.
    Area(Vec<(f64, f64)>),
    HeatMap(HeatMap),
    Image {
        image: Image,
        x: (f64, f64),
        y: (f64, f64),
    },
    Horizontal(f64),
    Vertical(f64),
    Diagonal,
    XSpan(f64, f64),
    YSpan(f64, f64),
    Note {
        x: f64,
        y: f64,
        text: String,
    },
    /// Nothing but an entry of the legend.
    Swatch,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    /// NaN where there is no interval.
    pub low: f64,
    pub high: f64,
}

#[derive(Clone, Debug)]
pub(super) struct HeatMap {
    /// `rows[i][j]` lies at `y = i`, `x = j`; NaN is missing.
    pub rows: Vec<Vec<f64>>,
    pub range: Option<(f64, f64)>,
    pub diverging: bool,
    /// Decimals of the number printed in each cell.
    pub numbers: Option<usize>,
}

/// Equal bins of a histogram.
#[derive(Clone, Copy, Debug)]
pub struct Bins {
    /// Left end of the first bin.
    pub low: f64,
    /// Right end of the last bin.
    pub high: f64,
    /// Number of bins.
    pub count: usize,
}

fn points(items: impl IntoIterator<Item = (f64, f64)>) -> Vec<Point> {
    items.into_iter().map(|(x, y)| Point { x, y, low: f64::NAN, high: f64::NAN }).collect()
}

fn with_intervals(items: impl IntoIterator<Item = (f64, f64, f64, f64)>) -> Vec<Point> {
    items.into_iter().map(|(x, y, low, high)| Point { x, y, low, high }).collect()
}

impl Layer {
    fn new(name: &str, role: Role, mark: Mark) -> Self {
        Self { name: name.to_owned(), role, wish: Wish::default(), mark }
    }

    /// A line through `(x, y)`, broken where a value is NaN. Short lines show their points.
    pub fn line(name: &str, values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, Role::Series, Mark::Line(points(values)))
    }

    /// A line through `(x, y, low, high)` with a translucent band from `low` to `high`.
    pub fn band(name: &str, values: impl IntoIterator<Item = (f64, f64, f64, f64)>) -> Self {
        Self::new(name, Role::Series, Mark::Line(with_intervals(values)))
    }

    /// A curve that follows from theory or was fitted: dark grey and dashed in every figure.
    pub fn theory(name: &str, values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, Role::Theory, Mark::Line(points(values))).markers(false)
    }

    /// Points at `(x, y)`.
    pub fn points(name: &str, values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, Role::Series, Mark::Points { points: points(values), along_x: false })
    }

    /// Points at `(x, y)` with error bars from `low` to `high`.
    pub fn intervals(name: &str, values: impl IntoIterator<Item = (f64, f64, f64, f64)>) -> Self {
        Self::new(name, Role::Series, Mark::Points { points: with_intervals(values), along_x: false })
    }

    /// A forest plot: `(estimate, low, high)` of row 0, 1, 2… along x, with the rows named by the y axis.
    pub fn forest(name: &str, rows: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        let points =
            rows.into_iter().enumerate().map(|(i, (x, low, high))| Point { x, y: i as f64, low, high }).collect();
        Self::new(name, Role::Series, Mark::Points { points, along_x: true })
    }

    /// The paper's own numbers: hollow black diamonds named "paper" in every figure.
    pub fn paper(values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new("paper", Role::Paper, Mark::Points { points: points(values), along_x: false })
    }

    /// The paper's own numbers `(x, y, low, high)` with the spread or the reading error that belongs to them.
    pub fn paper_intervals(values: impl IntoIterator<Item = (f64, f64, f64, f64)>) -> Self {
        Self::new("paper", Role::Paper, Mark::Points { points: with_intervals(values), along_x: false })
    }

    /// Bars of category 0, 1, 2…, side by side with the other series of bars in the panel.
    pub fn bars(name: &str, values: impl IntoIterator<Item = f64>) -> Self {
        Self::new(name, Role::Series, Mark::Bars(points(values.into_iter().enumerate().map(|(i, v)| (i as f64, v)))))
    }

    /// Bars with error bars, `(value, low, high)` of category 0, 1, 2…
    pub fn bar_intervals(name: &str, values: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        let values = values.into_iter().enumerate().map(|(i, (v, low, high))| (i as f64, v, low, high));
        Self::new(name, Role::Series, Mark::Bars(with_intervals(values)))
    }

    /// A histogram as a density: each bin's share of `total`, divided by its width. With `total` the number of values
    /// of all groups, the groups together have area one. Values outside the bins are not drawn.
    pub fn histogram(name: &str, values: &[f64], bins: Bins, total: usize) -> Self {
        let width = (bins.high - bins.low) / bins.count.max(1) as f64;
        let mut counts = vec![0usize; bins.count];
        for value in values {
            let bin = ((value - bins.low) / width).floor();
            // The last bin includes its right end.
            let bin = if *value == bins.high { bins.count as f64 - 1.0 } else { bin };
            if bin >= 0.0 && bin < bins.count as f64 {
                counts[bin as usize] += 1;
            }
        }
        let edges = (0..=bins.count).map(|i| bins.low + width * i as f64).collect();
        let heights = counts.into_iter().map(|n| n as f64 / (total.max(1) as f64 * width)).collect();
        Self::new(name, Role::Series, Mark::Histogram { edges, heights })
    }

    /// An area of `(x, height)` stacked on the areas before it in the same panel, point by point.
    pub fn area(name: &str, values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, Role::Series, Mark::Area(values.into_iter().collect()))
    }

    /// Coloured cells: `rows[i][j]` at `y = i`, `x = j`, row 0 on top where the y axis has categories. The name labels
    /// the colour bar, which stands beside the panel unless the cells show their [`numbers`](Self::numbers).
    pub fn heat_map(name: &str, rows: Vec<Vec<f64>>) -> Self {
        let map = HeatMap { rows, range: None, diverging: false, numbers: None };
        Self::new(name, Role::Series, Mark::HeatMap(map))
    }

    /// A picture stretched over a rectangle of the panel, its top row at the larger `y`: decision regions.
    pub fn image(image: Image, x: (f64, f64), y: (f64, f64)) -> Self {
        Self::new("", Role::Series, Mark::Image { image, x, y })
    }

    /// A horizontal reference line.
    pub fn horizontal(name: &str, y: f64) -> Self {
        Self::new(name, Role::Reference, Mark::Horizontal(y))
    }

    /// A vertical reference line.
    pub fn vertical(name: &str, x: f64) -> Self {
        Self::new(name, Role::Reference, Mark::Vertical(x))
    }

    /// The line y = x.
    pub fn diagonal(name: &str) -> Self {
        Self::new(name, Role::Reference, Mark::Diagonal)
    }

    /// A shaded range of x; an infinite end reaches to the edge.
    pub fn x_span(name: &str, low: f64, high: f64) -> Self {
        Self::new(name, Role::Reference, Mark::XSpan(low, high))
    }

    /// A shaded range of y; an infinite end reaches to the edge.
    pub fn y_span(name: &str, low: f64, high: f64) -> Self {
        Self::new(name, Role::Reference, Mark::YSpan(low, high))
    }

    /// A few words at a point. Choose a place without data.
    pub fn note(text: &str, x: f64, y: f64) -> Self {
        Self::new("", Role::Reference, Mark::Note { x, y, text: text.to_owned() })
    }

    /// An entry of the legend for a colour that something else shows, such as the regions of an [`image`](Self::image).
    pub fn swatch(name: &str, color: Color) -> Self {
        Self::new(name, Role::Reference, Mark::Swatch).color(color)
    }

    /// This colour instead of the palette's next one.
    pub fn color(mut self, color: Color) -> Self {
        self.wish.color = Some(color);
        self
    }

    /// The colour and marker of another series: best beside last, the paper's points of one method among several.
    pub fn like(mut self, name: &str) -> Self {
        self.wish.like = Some(name.to_owned());
        self
    }

    /// This dash instead of the next one.
    pub fn dash(mut self, dash: Dash) -> Self {
        self.wish.dash = Some(dash);
        self
    }

    /// This marker instead of the next one.
    pub fn marker(mut self, marker: Marker) -> Self {
        self.wish.marker = Some(marker);
        self
    }

    /// Whether a line shows its points; a long line shows every tenth part of it, to be told from others.
    pub fn markers(mut self, show: bool) -> Self {
        self.wish.markers = Some(show);
        self
    }

    /// Thin and translucent: single seeds behind their mean, clouds of many points.
    pub fn faint(mut self) -> Self {
        self.wish.faint = true;
        self
    }

    /// Prints the value in each cell of a heat map, which then needs no colour bar.
    pub fn numbers(mut self, decimals: usize) -> Self {
        if let Mark::HeatMap(map) = &mut self.mark {
            map.numbers = Some(decimals);
        }
        self
    }

    /// Range of a heat map's colours, so that several maps can be compared.
    pub fn colors(mut self, low: f64, high: f64) -> Self {
        if let Mark::HeatMap(map) = &mut self.mark {
            map.range = Some((low, high));
        }
        self
    }

    /// Colours a heat map by sign, zero in the middle.
    pub fn diverging(mut self) -> Self {
        if let Mark::HeatMap(map) = &mut self.mark {
            map.diverging = true;
        }
        self
    }

    /// Whether a line is short enough to show its points unasked.
    pub(super) fn shows_markers(&self) -> bool {
        match &self.mark {
            Mark::Points { .. } => true,
            Mark::Line(points) => self.wish.markers.unwrap_or(points.len() <= 15 && !self.wish.faint),
            _ => false,
        }
    }

    /// Whether it covers its rectangle of the panel.
    pub(super) fn is_picture(&self) -> bool {
        matches!(self.mark, Mark::HeatMap(_) | Mark::Image { .. })
    }

    /// Whether the axes should end where this layer ends.
    pub(super) fn is_tight(&self) -> bool {
        self.is_picture() || matches!(self.mark, Mark::Area(_))
    }
}

/// The values that a panel's axes must show.
pub(super) fn extents(layers: &[Layer], x_kind: &Kind, y_kind: &Kind) -> (Extent, Extent) {
    let (mut x_extent, mut y_extent) = (Extent::EMPTY, Extent::EMPTY);
    let mut x = |values: &[f64]| values.iter().for_each(|v| x_extent.take(x_kind, *v));
    let mut y = |values: &[f64]| values.iter().for_each(|v| y_extent.take(y_kind, *v));
    let upright = !matches!(y_kind, Kind::Categories(_));
    // A picture decides what is seen; lines across it may go on outside.
    let pictured = layers.iter().any(|layer| layer.is_picture());
    for layer in layers.iter().filter(|layer| layer.is_picture() || !pictured) {
        match &layer.mark {
            Mark::Line(points) | Mark::Points { points, along_x: false } => points.iter().for_each(|p| {
                x(&[p.x]);
                y(&[p.y, p.low, p.high]);
            }),
            Mark::Points { points, along_x: true } => points.iter().for_each(|p| {
                x(&[p.x, p.low, p.high]);
                y(&[p.y]);
            }),
            Mark::Bars(points) => points.iter().for_each(|p| {
                if upright {
                    x(&[p.x - 0.5, p.x + 0.5]);
                    y(&[0.0, p.y, p.low, p.high]);
                } else {
                    x(&[0.0, p.y, p.low, p.high]);
                }
            }),
            Mark::Histogram { edges, heights } => {
                x(edges);
                y(heights);
                y(&[0.0]);
            }
            Mark::HeatMap(map) => {
                let columns = map.rows.iter().map(Vec::len).max().unwrap_or(0);
                x(&[-0.5, columns as f64 - 0.5]);
                y(&[-0.5, map.rows.len() as f64 - 0.5]);
            }
            Mark::Image { x: (a, b), y: (c, d), .. } => {
                x(&[*a, *b]);
                y(&[*c, *d]);
            }
            Mark::Horizontal(v) => y(&[*v]),
            Mark::Vertical(v) => x(&[*v]),
            Mark::XSpan(a, b) => {
                x(&[*a, *b]);
            }
            Mark::YSpan(a, b) => {
                y(&[*a, *b]);
            }
            Mark::Note { x: a, y: b, .. } => {
                x(&[*a]);
                y(&[*b]);
            }
            Mark::Area(_) | Mark::Diagonal | Mark::Swatch => {}
        }
    }
    for (base, top) in stacks(layers).into_iter().flatten() {
        base.iter().chain(&top).for_each(|&(a, b)| {
            x(&[a]);
            y(&[b]);
        });
    }
    (x_extent, y_extent)
}

/// Lower and upper edge.
pub(super) type Ribbon = (Vec<(f64, f64)>, Vec<(f64, f64)>);

/// Lower and upper edge of every area among the layers; `None` for the other layers.
pub(super) fn stacks(layers: &[Layer]) -> Vec<Option<Ribbon>> {
    let mut base: Vec<f64> = Vec::new();
    let mut stack = |values: &[(f64, f64)]| {
        base.resize(base.len().max(values.len()), 0.0);
        let lower = values.iter().zip(&base).map(|(&(x, _), &b)| (x, b)).collect();
        let mut upper = Vec::new();
        for (&(x, height), base) in values.iter().zip(&mut base) {
            *base += if height.is_finite() { height } else { 0.0 };
            upper.push((x, *base));
        }
        (lower, upper)
    };
    layers.iter().map(|layer| if let Mark::Area(values) = &layer.mark { Some(stack(values)) } else { None }).collect()
}
