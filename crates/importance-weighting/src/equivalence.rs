//! Are predictions under weights those without? Paired two one-sided tests of each ratio against 1:1.

use std::collections::BTreeMap;

use retrial_core::chart::{Axis, Color, Figure, Layer, Panel};
use retrial_core::stats::{Equivalence, FEWEST_SEEDS, tost};
use serde::Serialize;

/// Largest difference of the share predicted dog on cats and dogs that counts as none: a tenth of the early effect.
pub const MARGIN: f64 = 0.05;
/// The same on images of other classes and on noise.
pub const WIDE_MARGIN: f64 = 0.10;

/// The share that a run of some seed and ratio predicts positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Runs of one seed are paired.
    pub seed: u64,
    /// Weight of the positive class over that of the negative one.
    pub ratio: f64,
    /// From 0 to 1.
    pub fraction: f64,
}

/// One ratio against 1:1; a row of `equivalence.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// R.
    pub ratio: f64,
    /// Paired seeds.
    pub n: usize,
    /// Mean over seeds of f_R − f_1.
    pub mean_difference: f64,
    /// Lower end of its 90 % t interval.
    pub ci90_low: f64,
    /// Upper end.
    pub ci90_high: f64,
    /// The greater p of the two one-sided tests.
    pub p_tost: f64,
    /// The smallest margin at which the test would pass.
    pub smallest_margin: f64,
    /// `equivalent`, `different` or `inconclusive`.
    pub verdict: &'static str,
}

/// f_R − f_1 of every seed that has both, for each ratio other than 1, by rising ratio.
pub fn paired(observations: &[Observation]) -> Vec<(f64, Vec<f64>)> {
    let of_seed: BTreeMap<u64, f64> =
        observations.iter().filter(|o| o.ratio == 1.).map(|o| (o.seed, o.fraction)).collect();
    let mut differences: BTreeMap<u64, (f64, Vec<f64>)> = BTreeMap::new();
    for o in observations.iter().filter(|o| o.ratio != 1.) {
        if let Some(unweighted) = of_seed.get(&o.seed) {
            // Bits of positive numbers sort as the numbers do.
            differences.entry(o.ratio.to_bits()).or_insert((o.ratio, vec![])).1.push(o.fraction - unweighted);
        }
    }
    differences.into_values().collect()
}

/// Rows of the ratios other than 1 that at least [`FEWEST_SEEDS`] seeds have beside their run at 1:1, by rising ratio.
pub fn analyse(observations: &[Observation], margin: f64) -> Vec<Row> {
    let row = |(ratio, d): (f64, Vec<f64>)| {
        let test = tost(&d, -margin, margin).ok()?;
        Some(Row {
            ratio,
            n: d.len(),
            mean_difference: test.interval.estimate,
            ci90_low: test.interval.low,
            ci90_high: test.interval.high,
            p_tost: test.p,
            smallest_margin: test.smallest_margin(),
            verdict: match test.verdict() {
                Equivalence::Equivalent => "equivalent",
                Equivalence::Different => "different",
                Equivalence::Inconclusive => "inconclusive",
            },
        })
    };
    paired(observations).into_iter().filter(|(_, d)| d.len() >= FEWEST_SEEDS).filter_map(row).collect()
}

/// The equivalence plot: differences with 90 % intervals between the margins.
pub fn panel(rows: &[Row], margin: f64) -> Panel {
    let points = |verdict: &'static str| {
        let of = rows.iter().filter(move |r| r.verdict == verdict);
        of.map(|r| (r.ratio, r.mean_difference, r.ci90_low, r.ci90_high)).collect::<Vec<_>>()
    };
    let mut panel = Panel::new()
        .x(Axis::log2("weight ratio R, positive : negative"))
        .y(Axis::linear("share predicted positive, minus 1:1"))
        .layer(Layer::y_span(&format!("equivalent: within ±{margin}"), -margin, margin))
        .layer(Layer::horizontal("", 0.));
    for (verdict, color) in
        [("equivalent", Color::GREEN), ("inconclusive", Color::ORANGE), ("different", Color::VERMILLION)]
    {
        let points = points(verdict);
        if !points.is_empty() {
            panel = panel.layer(Layer::intervals(verdict, points).color(color));
        }
    }
    panel
}

/// The plot of one set of rows.
pub fn figure(rows: &[Row], margin: f64, subtitle: &str) -> Figure {
    Figure::new("Do weights still change predictions? Difference to 1:1 with 90 % intervals")
        .subtitle(subtitle)
        .panel(panel(rows, margin))
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    fn observations(ratio: f64, fractions: &[f64]) -> Vec<Observation> {
        fractions.iter().zip(0..).map(|(&fraction, seed)| Observation { seed, ratio, fraction }).collect()
    }

    /// Against SciPy: `d = [.01, -.02, .03, .00, .02]`; `t.interval(0.9, 4, mean(d), sem(d))` is (-0.010339, 0.026339), and
    /// `1 - t.cdf((mean(d) + .05) / sem(d), 4)` and `t.cdf((mean(d) - .05) / sem(d), 4)` have the maximum 0.0040733.
    #[test]
    fn reference() {
        let mut all = observations(1., &[0.5, 0.5, 0.5, 0.5, 0.5]);
        all.extend(observations(8., &[0.51, 0.48, 0.53, 0.50, 0.52]));
        all.push(Observation { seed: 77, ratio: 8., fraction: 0. }); // no partner
        let rows = analyse(&all, 0.05);
        assert_eq!((rows.len(), rows[0].n, rows[0].verdict), (1, 5, "equivalent"));
        assert_abs_diff_eq!(rows[0].mean_difference, 0.008, epsilon = 1e-12);
        assert_abs_diff_eq!(rows[0].ci90_low, -0.010_339, epsilon = 1e-6);
        assert_abs_diff_eq!(rows[0].smallest_margin, 0.026_339, epsilon = 1e-6);
        assert_abs_diff_eq!(rows[0].p_tost, 0.004_073_3, epsilon = 1e-6);
    }

    #[test]
    fn verdicts_are_three_way() {
        let mut all = observations(1., &[0.5, 0.52, 0.48]);
        all.extend(observations(16., &[0.9, 0.93, 0.9]));
        all.extend(observations(1. / 16., &[0.3, 0.55, 0.5]));
        let rows = analyse(&all, 0.05);
        assert_eq!(rows.iter().map(|r| r.verdict).collect::<Vec<_>>(), ["inconclusive", "different"]);
    }

    #[test]
    fn two_seeds_say_nothing() {
        let mut all = observations(1., &[0.5, 0.5, 0.5]);
        all.extend(observations(16., &[0.5, 0.5]));
        assert!(analyse(&all, 0.05).is_empty());
        assert_eq!(paired(&all), [(16., vec![0., 0.])]);
        all.push(Observation { seed: 2, ratio: 16., fraction: 0.5 });
        assert_eq!(analyse(&all, 0.05)[0].verdict, "equivalent");
    }
}
