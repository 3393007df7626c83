//! Small pictures: thumbnails, decision regions, heat maps.

use super::style::Color;

/// An RGB picture. Row 0 is the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<u8>,
}

impl Image {
    /// A picture whose pixel in column `x` and row `y` has the colour `color(x, y)`.
    pub fn new(width: usize, height: usize, mut color: impl FnMut(usize, usize) -> Color) -> Self {
        let mut rgb = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                let Color(r, g, b) = color(x, y);
                rgb.extend([r, g, b]);
            }
        }
        Self { width, height, rgb }
    }

    /// A picture stored plane by plane, `[1, height, width]` (grey) or `[3, height, width]` (RGB), as data sets keep
    /// them. Pixels that are missing are black.
    pub fn from_planes(width: usize, height: usize, planes: &[u8]) -> Self {
        let area = width * height;
        let at = |i: usize| planes.get(i).copied().unwrap_or(0);
        let step = if planes.len() >= 3 * area { area } else { 0 };
        Self::new(width, height, |x, y| {
            let i = y * width + x;
            Color(at(i), at(i + step), at(i + 2 * step))
        })
    }

    /// The bytes of a PNG file.
    pub(super) fn png(&self) -> Vec<u8> {
        encode_png(self.width as u32, self.height as u32, &self.rgb)
    }
}

/// An 8-bit RGB PNG file.
pub(super) fn encode_png(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(rgb))
        .expect("a picture with at least one pixel always encodes into memory");
    file
}

/// The colour of a share between 0 and 1: white to dark blue, monotone in lightness.
pub(super) fn sequential(share: f64) -> Color {
    const STOPS: [Color; 4] = [Color(248, 250, 252), Color(140, 195, 228), Color::BLUE, Color(4, 40, 82)];
    gradient(&STOPS, share)
}

/// The colour of a share between 0 and 1 with a neutral middle: vermillion, near white, blue.
pub(super) fn diverging(share: f64) -> Color {
    const STOPS: [Color; 5] =
        [Color(150, 55, 0), Color(232, 150, 85), Color(248, 248, 248), Color(95, 165, 210), Color(0, 70, 125)];
    gradient(&STOPS, share)
}

fn gradient(stops: &[Color], share: f64) -> Color {
    let last = stops.len() - 1;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = (place.floor() as usize).min(last - 1);
    stops[below].mix(stops[below + 1], place - below as f64)
}
