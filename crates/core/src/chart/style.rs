//! How a series looks: colour-blind-safe colours, and dashes and markers as a second channel.

/// An sRGB colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color(pub u8, pub u8, pub u8);

/// The Okabe-Ito palette, in which readers with any common colour blindness tell the entries apart, and greys.
impl Color {
    /// Okabe-Ito blue.
    pub const BLUE: Self = Self(0, 114, 178);
    /// Okabe-Ito vermillion.
    pub const VERMILLION: Self = Self(213, 94, 0);
    /// Okabe-Ito bluish green.
    pub const GREEN: Self = Self(0, 158, 115);
    /// Okabe-Ito reddish purple.
    pub const PURPLE: Self = Self(204, 121, 167);
    /// Okabe-Ito orange.
    pub const ORANGE: Self = Self(230, 159, 0);
    /// Okabe-Ito sky blue.
    pub const SKY: Self = Self(86, 180, 233);
    /// Black, kept for the paper's own numbers.
    pub const BLACK: Self = Self(0, 0, 0);
    /// White.
    pub const WHITE: Self = Self(255, 255, 255);

    pub(super) const INK: Self = Self(38, 38, 38);
    pub(super) const SOFT_INK: Self = Self(90, 90, 90);
    pub(super) const THEORY: Self = Self(70, 70, 70);
    pub(super) const REFERENCE: Self = Self(120, 120, 120);
    pub(super) const AXIS: Self = Self(150, 150, 150);
    pub(super) const GRID: Self = Self(232, 232, 232);
    pub(super) const MISSING: Self = Self(196, 196, 196);

    /// The colours that series get in order of appearance. Yellow is left out: it vanishes on white.
    pub(super) const SERIES: [Self; 6] =
        [Self::BLUE, Self::VERMILLION, Self::GREEN, Self::PURPLE, Self::ORANGE, Self::SKY];

    /// The colour mixed with another: all of `self` at 0, all of `other` at 1.
    pub fn mix(self, other: Self, share: f64) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        let channel = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u8;
        Self(channel(self.0, other.0), channel(self.1, other.1), channel(self.2, other.2))
    }

    /// A pale version for filled regions that lie under data.
    pub fn pale(self) -> Self {
        self.mix(Self::WHITE, 0.65)
    }

    /// Whether white text reads better on this colour than black.
    pub(super) fn is_dark(self) -> bool {
        0.299 * f64::from(self.0) + 0.587 * f64::from(self.1) + 0.114 * f64::from(self.2) < 140.0
    }
}

/// A line's pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Dash {
    Solid,
    Dashed,
    Dotted,
    DashDot,
    LongDash,
    DashDotDot,
}

impl Dash {
    const SERIES: [Self; 6] =
        [Self::Solid, Self::Dashed, Self::DashDot, Self::Dotted, Self::LongDash, Self::DashDotDot];
    const THEORY: [Self; 4] = [Self::Dashed, Self::DashDot, Self::Dotted, Self::LongDash];
    const REFERENCE: [Self; 4] = [Self::Dotted, Self::DashDot, Self::LongDash, Self::Solid];

    /// Lengths of strokes and gaps in pixels; empty for a solid line.
    pub(super) fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[6.0, 3.5],
            Self::Dotted => &[1.8, 2.6],
            Self::DashDot => &[7.0, 2.8, 1.8, 2.8],
            Self::LongDash => &[11.0, 4.0],
            Self::DashDotDot => &[7.0, 2.5, 1.8, 2.5, 1.8, 2.5],
        }
    }
}

/// A point's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Marker {
    Circle,
    Square,
    Triangle,
    InvertedTriangle,
    Pentagon,
    Cross,
    /// Kept for the paper's own numbers.
    Diamond,
}

impl Marker {
    const SERIES: [Self; 6] =
        [Self::Circle, Self::Square, Self::Triangle, Self::InvertedTriangle, Self::Pentagon, Self::Cross];
}

/// What the author of a figure asked for; everything left open is chosen by order of appearance.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub color: Option<Color>,
    pub like: Option<String>,
    pub dash: Option<Dash>,
    pub marker: Option<Marker>,
    pub markers: Option<bool>,
    pub faint: bool,
}

impl Wish {
    /// These wishes, and those of another layer of the series where there are none.
    pub fn or(&self, other: &Self) -> Self {
        Self {
            color: self.color.or(other.color),
            like: self.like.clone().or(other.like.clone()),
            dash: self.dash.or(other.dash),
            marker: self.marker.or(other.marker),
            ..*self
        }
    }

    /// A style with the wishes fulfilled.
    pub fn on(&self, look: Look) -> Look {
        Look {
            color: self.color.unwrap_or(look.color),
            dash: self.dash.unwrap_or(look.dash),
            marker: self.marker.unwrap_or(look.marker),
        }
    }
}

/// What a layer stands for. It decides which style it gets when its author asked for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Our own numbers: the palette's next colour.
    Series,
    /// A curve that was computed, not measured: dark grey and dashed.
    Theory,
    /// A number that the paper reports: a hollow black diamond.
    Paper,
    /// Chance level, identity, a moment in time: thin and grey.
    Reference,
}

/// A resolved style.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub color: Color,
    pub dash: Dash,
    pub marker: Marker,
}

impl Look {
    /// The style of a role with the given places in its lists of colours, dashes and markers.
    pub fn nth(role: Role, color: usize, dash: usize, marker: usize) -> Self {
        let (colors, dashes): (&[Color], &[Dash]) = match role {
            Role::Series => (&Color::SERIES, &Dash::SERIES),
            Role::Theory => (&[Color::THEORY], &Dash::THEORY),
            Role::Paper => (&[Color::BLACK], &[Dash::Solid]),
            Role::Reference => (&[Color::REFERENCE], &Dash::REFERENCE),
        };
        // In a second round through the colours the other lists are shifted, so that no pair comes back soon.
        let shift = |i: usize| i + i / Color::SERIES.len();
        Self {
            color: colors[color % colors.len()],
            dash: dashes[shift(dash) % dashes.len()],
            marker: if role == Role::Paper { Marker::Diamond } else { Marker::SERIES[shift(marker) % 6] },
        }
    }
}
