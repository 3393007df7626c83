//! An SVG page drawn by plotters, and the PNG rendered from it.
//!
//! plotters' SVG backend counts in whole units, knows no dashes, no clipping and no rasters. So the page has ten units
//! to a pixel, and what the backend cannot say stands in groups around its marks. No element has an id: several figures
//! may stand inline in one HTML page.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use plotters::prelude::{DrawingBackend, FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{ShapeStyle, TextStyle, register_font};
use resvg::{tiny_skia, usvg};

use super::Error;
use super::image::{Image, encode_png};
use super::style::{Color, Dash, Marker};

/// Units to a pixel.
const UNITS: f64 = 10.0;
/// Pixels of the PNG to a pixel of the SVG: sharp on dense screens.
const PNG_SCALE: f32 = 2.0;
/// DejaVu Sans measures the text and draws the PNG; a browser without it takes the next of nearly equal widths.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// plotters' SVG backend writes a font size 1.24 times smaller than the one it is given.
const PLOTTERS_FONT: f64 = 1.24;

#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    pub color: Color,
    pub alpha: f64,
    pub width: f64,
    pub dash: Dash,
}

impl Stroke {
    pub fn solid(color: Color, width: f64) -> Self {
        Self { color, alpha: 1.0, width, dash: Dash::Solid }
    }
}

/// Size in pixels and weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    pub size: f64,
    pub bold: bool,
}

impl Font {
    pub const fn plain(size: f64) -> Self {
        Self { size, bold: false }
    }

    pub const fn bold(size: f64) -> Self {
        Self { size, bold: true }
    }

    /// Distance between baselines.
    pub fn line_height(self) -> f64 {
        (self.size * 1.32).ceil()
    }

    fn desc(self, size: f64) -> FontDesc<'static> {
        static REGISTERED: OnceLock<()> = OnceLock::new();
        REGISTERED.get_or_init(|| {
            let regular = register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular());
            let bold = register_font(FAMILY, FontStyle::Bold, dejavu::sans::bold());
            assert!(regular.is_ok() && bold.is_ok(), "the embedded fonts are valid");
        });
        FontDesc::new(FontFamily::Name(FAMILY), size, if self.bold { FontStyle::Bold } else { FontStyle::Normal })
    }

    /// Width of a text in pixels.
    pub fn width(self, text: &str) -> f64 {
        // plotters takes the size for the font's ascent plus descent, which is 2384/2048 em in DejaVu Sans, and gives
        // whole pixels: ask for an em of a thousand.
        let ((left, _), (right, _)) =
            self.desc(1000.0 * 2384.0 / 2048.0).layout_box(text).expect("the embedded fonts are registered");
        f64::from(right - left) / 1000.0 * self.size
    }

    /// Breaks a text into lines no wider than `width`; a word that is too long is broken inside.
    pub fn wrap(self, text: &str, width: f64) -> Vec<String> {
        let mut lines = Vec::new();
        for paragraph in text.lines() {
            let mut line = String::new();
            for word in paragraph.split_whitespace() {
                let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
                if self.width(&longer) <= width {
                    line = longer;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                for letter in word.chars() {
                    if !line.is_empty() && self.width(&format!("{line}{letter}")) > width {
                        lines.push(std::mem::take(&mut line));
                    }
                    line.push(letter);
                }
            }
            if !line.is_empty() {
                lines.push(line);
            }
        }
        lines
    }
}

/// Where a text stands relative to its x.
#[derive(Clone, Copy, Debug)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub fn right(self) -> f64 {
        self.left + self.width
    }

    pub fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// A page on which everything is in pixels from the top left corner.
pub(super) struct Canvas {
    body: String,
}

fn unit(pixels: f64) -> i32 {
    (pixels * UNITS).round() as i32
}

fn rgba(color: Color, alpha: f64) -> RGBAColor {
    RGBAColor(color.0, color.1, color.2, alpha)
}

fn corner((x, y): (f64, f64)) -> (i32, i32) {
    (unit(x), unit(y))
}

impl Canvas {
    pub fn new() -> Self {
        Self { body: String::new() }
    }

    /// Draws with plotters, inside a group where attributes are given.
    fn draw<E: std::fmt::Debug>(&mut self, attributes: &str, marks: impl FnOnce(&mut SVGBackend) -> Result<(), E>) {
        let mut page = String::new();
        let mut backend = SVGBackend::with_string(&mut page, (1, 1));
        marks(&mut backend).expect("writing to a string cannot fail");
        drop(backend);
        // Only what stands between the page's own tags is wanted.
        let inner = page.split_once(">\n").and_then(|(_, rest)| rest.strip_suffix("</svg>\n")).unwrap_or_default();
        if attributes.is_empty() {
            self.body.push_str(inner);
        } else {
            self.body.push_str(&format!("<g {attributes}>\n{inner}</g>\n"));
        }
    }

    pub fn path(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let style = ShapeStyle {
            color: rgba(stroke.color, stroke.alpha),
            filled: false,
            stroke_width: unit(stroke.width).max(1) as u32,
        };
        let pattern: Vec<String> = stroke.dash.pattern().iter().map(|length| unit(*length).to_string()).collect();
        let attributes =
            if pattern.is_empty() { String::new() } else { format!("stroke-dasharray=\"{}\"", pattern.join(" ")) };
        self.draw(&attributes, |page| page.draw_path(points.iter().copied().map(corner), &style));
    }

    pub fn polygon(&mut self, points: &[(f64, f64)], color: Color, alpha: f64) {
        self.draw("", |page| page.fill_polygon(points.iter().copied().map(corner), &rgba(color, alpha)));
    }

    pub fn rect(&mut self, rect: Rect, color: Color, alpha: f64) {
        let (from, to) = ((rect.left, rect.top), (rect.right(), rect.bottom()));
        self.draw("", |page| page.draw_rect(corner(from), corner(to), &rgba(color, alpha), true));
    }

    pub fn frame(&mut self, rect: Rect, stroke: Stroke) {
        let (l, t, r, b) = (rect.left, rect.top, rect.right(), rect.bottom());
        // From the middle of a side, so that all corners are joined.
        let m = (l + r) / 2.0;
        self.path(&[(m, t), (r, t), (r, b), (l, b), (l, t), (m, t)], stroke);
    }

    /// A marker of about `radius`; a hollow one shows what lies under it.
    pub fn marker(&mut self, marker: Marker, (x, y): (f64, f64), radius: f64, hollow: bool, color: Color, alpha: f64) {
        let ring = |corners: usize, turn: f64, radius: f64| -> Vec<(f64, f64)> {
            (0..=corners)
                .map(|i| (turn + i as f64 / corners as f64) * std::f64::consts::TAU)
                .map(|angle| (x + radius * angle.sin(), y - radius * angle.cos()))
                .collect()
        };
        let outline = match marker {
            Marker::Circle if !hollow => {
                let center = corner((x, y));
                // A thin white rim keeps overlapping markers apart.
                return self.draw("", |page| {
                    if alpha == 1.0 {
                        page.draw_circle(center, unit(radius + 0.7) as u32, &rgba(Color::WHITE, 1.0), true)?;
                    }
                    page.draw_circle(center, unit(radius) as u32, &rgba(color, alpha), true)
                });
            }
            Marker::Circle => ring(24, 0.0, radius),
            Marker::Square => ring(4, 0.125, radius * 1.25),
            Marker::Triangle => ring(3, 0.0, radius * 1.3),
            Marker::InvertedTriangle => ring(3, 0.5, radius * 1.3),
            Marker::Pentagon => ring(5, 0.0, radius * 1.15),
            Marker::Diamond => ring(4, 0.0, radius * 1.35),
            Marker::Cross => {
                let d = radius * 0.85;
                let stroke = Stroke { alpha, ..Stroke::solid(color, 1.8) };
                self.path(&[(x - d, y - d), (x + d, y + d)], stroke);
                return self.path(&[(x - d, y + d), (x + d, y - d)], stroke);
            }
        };
        if hollow {
            // The white rim keeps it visible on any ground.
            self.path(&outline, Stroke { alpha, ..Stroke::solid(Color::WHITE, 2.5) });
            self.path(&outline, Stroke { alpha, ..Stroke::solid(color, 1.5) });
        } else {
            if alpha == 1.0 {
                self.path(&outline, Stroke::solid(Color::WHITE, 1.4));
            }
            self.polygon(&outline, color, alpha);
        }
    }

    /// A line of text on a baseline.
    pub fn text(&mut self, (x, baseline): (f64, f64), text: &str, font: Font, color: Color, align: Align) {
        // The backend moves a text that hangs from its top down by 0.76 em.
        self.write(text, font, color, align, (x, baseline - 0.76 * font.size), FontTransform::None);
    }

    /// A line of text that reads upwards, with its baseline at x and its middle at y.
    pub fn vertical_text(&mut self, (baseline, y): (f64, f64), text: &str, font: Font, color: Color) {
        let at = (baseline - 0.76 * font.size, y);
        self.write(text, font, color, Align::Middle, at, FontTransform::Rotate270);
    }

    fn write(&mut self, text: &str, font: Font, color: Color, align: Align, at: (f64, f64), transform: FontTransform) {
        let side = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let text: String = text.chars().map(|c| if is_legal(c) { c } else { ' ' }).collect();
        let color = rgba(color, 1.0);
        let desc = font.desc(font.size * UNITS * PLOTTERS_FONT).transform(transform);
        let style = TextStyle::from(desc).color(&color).pos(Pos::new(side, VPos::Top));
        self.draw("", |page| page.draw_text(&text, &style, corner(at)));
    }

    /// A picture stretched over a rectangle, its pixels kept square-edged.
    pub fn image(&mut self, image: &Image, rect: Rect) {
        if image.width == 0 || image.height == 0 {
            return;
        }
        let (left, top) = corner((rect.left, rect.top));
        let (right, bottom) = corner((rect.right(), rect.bottom()));
        let data = base64::engine::general_purpose::STANDARD.encode(image.png());
        self.body.push_str(&format!(
            "<image x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>\n",
            right - left,
            bottom - top,
        ));
    }

    /// Draws what is inside a rectangle only.
    pub fn clip(&mut self, rect: Rect, draw: impl FnOnce(&mut Self)) {
        let mut inner = Self::new();
        draw(&mut inner);
        if inner.body.is_empty() {
            return;
        }
        let (x, y) = corner((rect.left, rect.top));
        let (w, h) = corner((rect.width, rect.height));
        self.body.push_str(&format!(
            "<svg x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" viewBox=\"{x} {y} {w} {h}\">\n{}</svg>\n",
            inner.body
        ));
    }

    /// The whole page as an SVG document on white.
    pub fn finish(self, width: f64, height: f64, description: &str) -> String {
        let (w, h) = corner((width, height));
        let mut escaped = String::new();
        for c in description.chars() {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                c => escaped.push(if is_legal(c) { c } else { ' ' }),
            }
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {w} {h}\" \
             role=\"img\" aria-label=\"{escaped}\">\n<rect width=\"{w}\" height=\"{h}\" fill=\"#FFFFFF\"/>\n\
             <g stroke-linejoin=\"round\">\n{}</g>\n</svg>\n",
            self.body
        )
    }
}

/// Whether XML allows the character: one that it forbids would make the whole page unreadable.
fn is_legal(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// The PNG picture of an SVG document, drawn with the embedded fonts alone.
pub(super) fn render_png(svg: &str) -> Result<Vec<u8>, Error> {
    static FONTS: OnceLock<Arc<usvg::fontdb::Database>> = OnceLock::new();
    let fonts = FONTS.get_or_init(|| {
        let mut fonts = usvg::fontdb::Database::new();
        fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(dejavu::sans::regular())));
        fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(dejavu::sans::bold())));
        fonts.set_sans_serif_family("DejaVu Sans");
        Arc::new(fonts)
    });
    let options = usvg::Options { fontdb: fonts.clone(), font_family: "DejaVu Sans".into(), ..Default::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| Error::Render(e.to_string()))?;
    let size = tree.size();
    let (width, height) = ((size.width() * PNG_SCALE).ceil() as u32, (size.height() * PNG_SCALE).ceil() as u32);
    let mut pixels = tiny_skia::Pixmap::new(width, height)
        .ok_or_else(|| Error::Render(format!("{width} x {height} pixels are too many")))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE), &mut pixels.as_mut());
    // The page is white and opaque, so the fourth channel says nothing.
    let rgb: Vec<u8> = pixels.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    Ok(encode_png(width, height, &rgb))
}
