//! Axes: what they show, from where to where, and round ticks that fit.

/// One side of a panel.
#[derive(Clone, Debug)]
pub struct Axis {
    pub(super) label: String,
    pub(super) kind: Kind,
    low: Option<f64>,
    high: Option<f64>,
    ticks: Vec<f64>,
    whole: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Linear,
    /// Equal distances are equal ratios; ticks are powers of the base.
    Log(u32),
    /// Category `i` lies at `i`.
    Categories(Vec<String>),
}

impl Axis {
    fn new(label: &str, kind: Kind) -> Self {
        Self { label: label.to_owned(), kind, low: None, high: None, ticks: Vec::new(), whole: false }
    }

    /// A linear axis. The label names the quantity and its unit: `"test error (%)"`.
    pub fn linear(label: &str) -> Self {
        Self::new(label, Kind::Linear)
    }

    /// A logarithmic axis with ticks at powers of ten. Values that are not positive are left out.
    pub fn log(label: &str) -> Self {
        Self::new(label, Kind::Log(10))
    }

    /// A logarithmic axis with ticks at powers of two: `1/4`, `1`, `4`.
    pub fn log2(label: &str) -> Self {
        Self::new(label, Kind::Log(2))
    }

    /// One place per name, the `i`-th at `i`: from left to right, or from top to bottom.
    pub fn categories<S: Into<String>>(label: &str, names: impl IntoIterator<Item = S>) -> Self {
        Self::new(label, Kind::Categories(names.into_iter().map(Into::into).collect()))
    }

    /// Shows exactly this range; data outside it are not drawn.
    pub fn range(self, low: f64, high: f64) -> Self {
        self.from(low).to(high)
    }

    /// Starts exactly here.
    #[allow(clippy::should_implement_trait, reason = "reads as a sentence: `Axis::linear(..).from(0.0)`")]
    pub fn from(mut self, low: f64) -> Self {
        self.low = Some(low);
        self
    }

    /// Ends exactly here.
    pub fn to(mut self, high: f64) -> Self {
        self.high = Some(high);
        self
    }

    /// Puts ticks at these values instead of round ones.
    pub fn ticks(mut self, at: impl IntoIterator<Item = f64>) -> Self {
        self.ticks = at.into_iter().collect();
        self
    }

    /// Ticks at whole numbers only: epochs, iterations, counts.
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    pub(super) fn is_categorical(&self) -> bool {
        matches!(self.kind, Kind::Categories(_))
    }

    /// The scale that shows `data`, with `padding` (a share of the range) on the sides that are not fixed.
    pub(super) fn scale(&self, data: Extent, padding: f64) -> Scale {
        if let Kind::Categories(names) = &self.kind {
            return Scale { kind: self.kind.clone(), low: -0.5, high: names.len().max(1) as f64 - 0.5 };
        }
        let fixed = |end: Option<f64>| end.and_then(|v| transform(&self.kind, v));
        let (fixed_low, fixed_high) = match (fixed(self.low), fixed(self.high)) {
            (Some(a), Some(b)) if a > b => (Some(b), Some(a)),
            ends => ends,
        };
        let data = match (transform(&self.kind, data.low), transform(&self.kind, data.high)) {
            (Some(low), Some(high)) => Extent { low, high },
            _ => Extent { low: 0.0, high: 1.0 },
        };
        let (mut low, mut high) = (fixed_low.unwrap_or(data.low), fixed_high.unwrap_or(data.high));
        if high - low <= NEGLIGIBLE * low.abs().max(high.abs()).max(SMALLEST) {
            // A single value, or ends that contradict each other: make room around what is fixed.
            let middle = fixed_low.or(fixed_high).unwrap_or((low + high) / 2.0);
            let room = match self.kind {
                Kind::Linear if middle.abs() > SMALLEST => 0.1 * middle.abs(),
                _ => 1.0,
            };
            let neither_or_both = fixed_low.is_some() == fixed_high.is_some();
            low = if fixed_low.is_none() || neither_or_both { middle - room } else { middle };
            high = if fixed_high.is_none() || neither_or_both { middle + room } else { middle };
        } else {
            let room = padding * (high - low);
            if fixed_low.is_none() {
                // Padding never invents values of another sign.
                low = if self.kind == Kind::Linear && low >= 0.0 { (low - room).max(0.0) } else { low - room };
            }
            if fixed_high.is_none() {
                high = if self.kind == Kind::Linear && high <= 0.0 { (high + room).min(0.0) } else { high + room };
            }
        }
        Scale { kind: self.kind.clone(), low, high }
    }

    /// At most `most` ticks, fewer until `fits` is content with them.
    pub(super) fn place_ticks(&self, scale: &Scale, most: usize, fits: impl Fn(&[Tick]) -> bool) -> Ticks {
        if let Kind::Categories(names) = &scale.kind {
            let marks = names.iter().enumerate().filter_map(|(i, name)| scale.tick(i as f64, name.clone())).collect();
            return Ticks { marks, minor: Vec::new() };
        }
        if !self.ticks.is_empty() {
            return scale.plain_ticks(&self.ticks);
        }
        let mut ticks = Ticks::default();
        for target in (2..=most.max(2)).rev() {
            ticks = match scale.kind {
                Kind::Log(base) => scale.log_ticks(base, target),
                _ => scale.plain_ticks(&round_values(scale.low, scale.high, target, self.whole)),
            };
            if fits(&ticks.marks) {
                break;
            }
        }
        ticks
    }
}

impl Default for Axis {
    fn default() -> Self {
        Self::linear("")
    }
}

/// Ranges narrower than this share of their values are drawn as a single value.
const NEGLIGIBLE: f64 = 1e-6;
/// Magnitudes outside `SMALLEST..LARGEST` are taken as zero and as missing: their differences may leave f64.
const SMALLEST: f64 = 1e-150;
const LARGEST: f64 = 1e150;

/// Value on the scale where equal distances are drawn equal; `None` where the value cannot be drawn.
fn transform(kind: &Kind, value: f64) -> Option<f64> {
    if value.is_nan() || value.abs() > LARGEST {
        return None;
    }
    match kind {
        Kind::Log(_) => (value >= SMALLEST).then(|| value.ln()),
        _ => Some(value),
    }
}

/// The smallest interval that holds some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent {
    pub low: f64,
    pub high: f64,
}

impl Extent {
    pub const EMPTY: Self = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };

    /// Takes in a value, if an axis of this kind can show it.
    pub fn take(&mut self, kind: &Kind, value: f64) {
        if transform(kind, value).is_some() {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        }
    }

    pub fn join(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    pub fn is_empty(self) -> bool {
        self.low > self.high
    }
}

/// A resolved axis: maps values to places between 0 (start) and 1 (end).
#[derive(Clone, Debug)]
pub(super) struct Scale {
    kind: Kind,
    /// Ends, as `transform` gives them.
    low: f64,
    high: f64,
}

/// A labelled place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub place: f64,
    pub label: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ticks {
    pub marks: Vec<Tick>,
    pub minor: Vec<f64>,
}

impl Scale {
    /// A linear scale between two values.
    pub fn linear(low: f64, high: f64) -> Self {
        Self { kind: Kind::Linear, low, high }
    }

    /// Place of a value, outside 0..1 where the value is out of range.
    pub fn place(&self, value: f64) -> Option<f64> {
        let value = transform(&self.kind, value)?;
        // Far outside is far enough: pixel positions stay in the range of an i32.
        Some(((value - self.low) / (self.high - self.low)).clamp(-1e4, 1e4))
    }

    /// Value at a place.
    pub fn value(&self, place: f64) -> f64 {
        let value = self.low + place * (self.high - self.low);
        if matches!(self.kind, Kind::Log(_)) { value.exp() } else { value }
    }

    fn tick(&self, value: f64, label: String) -> Option<Tick> {
        let place = self.place(value)?;
        (-1e-9..=1.0 + 1e-9).contains(&place).then(|| Tick { place: place.clamp(0.0, 1.0), label })
    }

    /// Ticks at the given values, all with the same number of decimals, in units of a power of ten where the values
    /// are very large or very small.
    fn plain_ticks(&self, values: &[f64]) -> Ticks {
        let power = self.power();
        let scaled: Vec<f64> = values.iter().map(|v| v / 10f64.powi(power)).collect();
        let decimals = decimals(&scaled);
        let marks =
            values.iter().zip(&scaled).filter_map(|(&v, &s)| self.tick(v, format_number(s, decimals))).collect();
        Ticks { marks, minor: Vec::new() }
    }

    /// The labels are in units of ten to this power: not 0 where the values are very large or very small.
    pub fn power(&self) -> i32 {
        if matches!(self.kind, Kind::Categories(_)) || self.powers().is_some() {
            return 0;
        }
        let largest = self.value(0.0).abs().max(self.value(1.0).abs());
        let exponent = if largest > 0.0 { (largest * (1.0 + 1e-9)).log10().floor() as i32 } else { 0 };
        if (-3..6).contains(&exponent) { 0 } else { exponent }
    }

    /// First and last exponent of the base on a logarithmic scale that holds two of its powers or more.
    fn powers(&self) -> Option<(i32, i32)> {
        let Kind::Log(base) = self.kind else { return None };
        let base = f64::from(base).ln();
        let (first, last) = ((self.low / base - 1e-9).ceil() as i32, (self.high / base + 1e-9).floor() as i32);
        (last > first).then_some((first, last))
    }

    fn log_ticks(&self, base: u32, target: usize) -> Ticks {
        let base = f64::from(base);
        let Some((first, last)) = self.powers() else {
            // Less than two powers in sight: round values beside them.
            let (low, high) = (self.value(0.0), self.value(1.0));
            let decade = low.log10().floor() as i32;
            let inside: Vec<f64> = (decade..decade + 3)
                .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
                .filter(|&v| low * (1.0 - 1e-9) <= v && v <= high * (1.0 + 1e-9))
                .collect();
            return if (2..=target).contains(&inside.len()) {
                self.plain_ticks(&inside)
            } else {
                self.plain_ticks(&round_values(low, high, target, false))
            };
        };
        let least = ((last - first) as usize / target + 1) as i32;
        let step = [1, 2, 3, 5, 10, 20, 30, 50, 100].into_iter().find(|step| *step >= least).unwrap_or(least);
        // Multiples of the step, so that one (the zeroth power) is among them.
        let exponents: Vec<i32> = (first..=last).filter(|e| e.rem_euclid(step) == 0).collect();
        let plain = exponents.iter().all(|e| (-3..=4).contains(e));
        let label = |e: i32| match (base as u32, e) {
            (2, e) if (-10..0).contains(&e) => format!("1/{}", 1u32 << -e),
            (2, e) if (0..=13).contains(&e) => format_number(f64::from(1u32 << e), 0),
            (10, e) if plain => format_number(10f64.powi(e), e.min(0).unsigned_abs() as usize),
            (base, e) => format!("{base}{}", superscript(e)),
        };
        let marks = exponents.iter().filter_map(|&e| self.tick(base.powi(e), label(e))).collect();
        let minor = if base == 10.0 && step == 1 {
            (first - 1..=last)
                .flat_map(|e| (2..10).map(move |m| f64::from(m) * 10f64.powi(e)))
                .filter_map(|v| self.place(v))
                .filter(|p| (0.0..=1.0).contains(p))
                .collect()
        } else {
            Vec::new()
        };
        Ticks { marks, minor }
    }
}

/// Multiples of a round step inside a range, at most about `target` of them.
fn round_values(low: f64, high: f64, target: usize, whole: bool) -> Vec<f64> {
    let least = (high - low) / target.max(1) as f64;
    let magnitude = 10f64.powi(least.log10().floor() as i32);
    let mut step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * magnitude)
        .find(|step| (high / step + 1e-9).floor() - (low / step - 1e-9).ceil() < target as f64)
        .unwrap_or(20.0 * magnitude);
    if whole {
        step = step.ceil().max(1.0);
    }
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).clamp(-1.0, 50.0) as i64;
    (0..=count).map(|i| (first + i as f64) * step).collect()
}

/// The fewest decimals (at most 7) that show all values.
fn decimals(values: &[f64]) -> usize {
    let finest = values.windows(2).map(|w| (w[1] - w[0]).abs()).fold(f64::INFINITY, f64::min);
    let tolerance = 1e-3 * if finest.is_finite() && finest > 0.0 { finest } else { 1e-3 };
    (0..7)
        .find(|&d| {
            let unit = 10f64.powi(d as i32);
            values.iter().all(|v| ((v * unit).round() / unit - v).abs() <= tolerance)
        })
        .unwrap_or(7)
}

/// A number with a true minus sign and, from ten thousand on, thin spaces between groups of three digits.
pub(super) fn format_number(value: f64, decimals: usize) -> String {
    let digits = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut text = String::new();
    if value < 0.0 && digits.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        text.push('−');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && whole.len() > 4 && (whole.len() - i).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text + fraction
}

/// An exponent in raised digits.
pub(super) fn superscript(exponent: i32) -> String {
    let raised = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
    };
    exponent.to_string().chars().map(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis, low: f64, high: f64, most: usize) -> Vec<String> {
        let scale = axis.scale(Extent { low, high }, 0.0);
        axis.place_ticks(&scale, most, |_| true).marks.into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn linear_ticks_are_round_with_equal_decimals() {
        let axis = Axis::linear("");
        assert_eq!(labels(&axis, 0.0, 1.0, 6), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&axis, 0.0, 1.0, 5), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(&axis, -2.0, 2.0, 5), ["−2", "−1", "0", "1", "2"]);
        assert_eq!(
            labels(&axis, 0.0, 40_000.0, 5),
            ["0", "10\u{2009}000", "20\u{2009}000", "30\u{2009}000", "40\u{2009}000"]
        );
        assert_eq!(labels(&Axis::linear("").whole(), 0.0, 2.0, 6), ["0", "1", "2"]);
    }

    #[test]
    fn large_and_small_values_go_into_a_power() {
        let axis = Axis::linear("");
        let scale = axis.scale(Extent { low: 0.0, high: 3e9 }, 0.0);
        let ticks = axis.place_ticks(&scale, 4, |_| true);
        assert_eq!(scale.power(), 9);
        assert_eq!(ticks.marks.iter().map(|t| t.label.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    }

    #[test]
    fn log_ticks_are_powers() {
        assert_eq!(labels(&Axis::log(""), 0.01, 100.0, 6), ["0.01", "0.1", "1", "10", "100"]);
        assert_eq!(labels(&Axis::log(""), 1e-9, 1.0, 5), ["10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]);
        assert_eq!(labels(&Axis::log(""), 1.0, 6.0, 5), ["1", "2", "5"]);
        assert_eq!(labels(&Axis::log2(""), 0.25, 4.0, 5), ["1/4", "1/2", "1", "2", "4"]);
    }

    #[test]
    fn padding_keeps_the_sign_and_fixed_ends() {
        let scale = Axis::linear("").scale(Extent { low: 0.01, high: 1.0 }, 0.05);
        assert_eq!(scale.low, 0.0);
        let scale = Axis::linear("").range(0.0, 1.0).scale(Extent { low: -3.0, high: 3.0 }, 0.05);
        assert_eq!((scale.low, scale.high), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn any_range_gives_few_ordered_ticks_inside(
            a in proptest::num::f64::ANY, b in proptest::num::f64::ANY,
            low in proptest::option::of(proptest::num::f64::ANY), high in proptest::option::of(proptest::num::f64::ANY),
            kind in 0..4, most in 0usize..12,
        ) {
            let mut axis = match kind { 0 => Axis::linear(""), 1 => Axis::linear("").whole(), 2 => Axis::log(""), _ => Axis::log2("") };
            if let Some(v) = low { axis = axis.from(v) }
            if let Some(v) = high { axis = axis.to(v) }
            let mut data = Extent::EMPTY;
            data.take(&axis.kind, a);
            data.take(&axis.kind, b);
            let scale = axis.scale(data, 0.05);
            prop_assert!(scale.low < scale.high);
            let ticks = axis.place_ticks(&scale, most, |_| true).marks;
            prop_assert!(ticks.len() <= most.max(2) + 2, "{:?}", ticks);
            prop_assert!(ticks.iter().all(|t| (0.0..=1.0).contains(&t.place) && !t.label.is_empty()));
            prop_assert!(ticks.windows(2).all(|w| w[0].place < w[1].place));
        }
    }
}
