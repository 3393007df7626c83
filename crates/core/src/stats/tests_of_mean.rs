//! Intervals and tests for the mean of a few values, one per seed.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Error, Interval, Result, check, check_equal, check_level, deviation, mean};

/// Which departures from the null value count as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alternative {
    /// The mean differs.
    TwoSided,
    /// The mean is greater.
    Greater,
    /// The mean is less.
    Less,
}

/// A t test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// Mean of the values (of the differences in a paired test).
    pub mean: f64,
    /// The statistic. Infinite where values without spread differ from the null value.
    pub t: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// p value.
    pub p: f64,
}

/// The distribution of t; `df` is at least 1 at every call.
fn student(df: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, df).expect("positive degrees of freedom")
}

/// The `p`-quantile of Student's t for `p` in (0, 1), polished: the library's own is good to about nine digits.
pub(super) fn t_quantile(p: f64, df: f64) -> f64 {
    use statrs::distribution::Continuous;
    let t = student(df);
    let mut x = t.inverse_cdf(p);
    for _ in 0..2 {
        // The smaller tail keeps its relative precision.
        let error = if x > 0.0 { (1.0 - p) - t.sf(x) } else { t.cdf(x) - p };
        let step = error / t.pdf(x);
        if step.is_finite() {
            x -= step;
        }
    }
    x
}

/// Mean with its t interval. Without any spread the interval is the single value. Fails on fewer than 2 values, on
/// non-finite ones and on a level outside (0, 1).
pub fn mean_t_interval(xs: &[f64], level: f64) -> Result<Interval> {
    let what = "a t interval";
    check(what, xs, 2)?;
    check_level(what, level)?;
    let estimate = mean(xs);
    let half =
        t_quantile(0.5 + level / 2.0, (xs.len() - 1) as f64) * deviation(xs, estimate) / (xs.len() as f64).sqrt();
    Ok(Interval { estimate, low: estimate - half, high: estimate + half, level })
}

/// Fewer seeds decide nothing: the t interval of two rests on a single difference and is wider than any figure.
pub const FEWEST_SEEDS: usize = 3;

/// Mean of a value per seed with its 95 % t interval. Nothing of fewer than [`FEWEST_SEEDS`], or if a value is not finite.
pub fn over_seeds(values: &[f64]) -> Option<Interval> {
    mean_t_interval(values, 0.95).ok().filter(|_| values.len() >= FEWEST_SEEDS)
}

/// One-sample t test of the mean against `null`. Values without any spread decide by themselves: t is 0 where they
/// equal `null` and infinite otherwise. Fails on fewer than 2 values and on non-finite ones.
pub fn t_test(xs: &[f64], null: f64, alternative: Alternative) -> Result<TTest> {
    let what = "a t test";
    check(what, xs, 2)?;
    check(what, &[null], 1)?;
    let mean = mean(xs);
    let df = (xs.len() - 1) as f64;
    let se = deviation(xs, mean) / (xs.len() as f64).sqrt();
    let t = if mean == null { 0.0 } else { (mean - null) / se };
    let p = match alternative {
        Alternative::TwoSided => 2.0 * upper_tail(t.abs(), df),
        Alternative::Greater => upper_tail(t, df),
        Alternative::Less => upper_tail(-t, df),
    };
    Ok(TTest { mean, t, df, p: p.min(1.0) })
}

/// P(T > t) for finite and infinite t.
pub(super) fn upper_tail(t: f64, df: f64) -> f64 {
    if t == f64::INFINITY {
        0.0
    } else if t == f64::NEG_INFINITY {
        1.0
    } else {
        student(df).sf(t)
    }
}

/// Paired t test: a one-sample test of `xs - ys` against 0. Fails as [`t_test`] and on unequal lengths.
pub fn paired_t_test(xs: &[f64], ys: &[f64], alternative: Alternative) -> Result<TTest> {
    t_test(&differences(xs, ys)?, 0.0, alternative)
}

/// `xs - ys`, seed by seed. Fails on unequal lengths.
pub fn differences(xs: &[f64], ys: &[f64]) -> Result<Vec<f64>> {
    check_equal("a paired comparison", xs.len(), ys.len())?;
    Ok(xs.iter().zip(ys).map(|(x, y)| x - y).collect())
}

/// Two one-sided tests of equivalence (Schuirmann 1987), each at 5 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tost {
    /// Lower margin.
    pub low: f64,
    /// Upper margin.
    pub high: f64,
    /// The greater p value of the two one-sided tests.
    pub p: f64,
    /// The 90 % t interval of the mean: equivalence at 5 % is the same as this interval lying inside the margins.
    pub interval: Interval,
}

/// What a comparison with a margin shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Equivalence {
    /// The 90 % interval lies inside the margins.
    Equivalent,
    /// The 90 % interval lies outside the margins: the mean is beyond one of them, at 5 %.
    Different,
    /// Neither: the interval holds a margin.
    Inconclusive,
}

impl Tost {
    /// The three-way verdict.
    pub fn verdict(&self) -> Equivalence {
        if self.interval.within(self.low, self.high) {
            Equivalence::Equivalent
        } else if self.interval.above(self.high) || self.interval.below(self.low) {
            Equivalence::Different
        } else {
            Equivalence::Inconclusive
        }
    }

    /// The smallest margin D for which the test against [-D, D] would show equivalence.
    pub fn smallest_margin(&self) -> f64 {
        self.interval.low.abs().max(self.interval.high.abs())
    }
}

/// Tests whether the mean lies between `low` and `high`; for a paired comparison pass [`differences`]. Fails on fewer
/// than 2 values, on non-finite ones and on `low >= high`.
pub fn tost(xs: &[f64], low: f64, high: f64) -> Result<Tost> {
    let what = "an equivalence test";
    check(what, xs, 2)?;
    check(what, &[low, high], 2)?;
    if low >= high {
        return Err(Error::Invalid { what, problem: format!("the margins are turned round: {low} and {high}") });
    }
    let above_low = t_test(xs, low, Alternative::Greater)?.p;
    let below_high = t_test(xs, high, Alternative::Less)?.p;
    Ok(Tost { low, high, p: above_low.max(below_high), interval: mean_t_interval(xs, 0.9)? })
}

/// A sign-flip permutation test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignFlip {
    /// p value. Never below one over the number of sign patterns (or over draws + 1).
    pub p: f64,
    /// Whether every pattern of signs was counted.
    pub exact: bool,
    /// Number of patterns counted or drawn.
    pub patterns: u64,
}

/// Tests whether values (paired differences) are symmetric about 0, by flipping their signs and comparing the mean.
/// Exact for up to 20 values; beyond that `draws` random patterns, counting the observed one among them. Fails on an
/// empty or non-finite input, and on no draws where draws are needed.
pub fn sign_flip(xs: &[f64], alternative: Alternative, draws: u64, stream: &mut impl Rng) -> Result<SignFlip> {
    let what = "a sign-flip test";
    check(what, xs, 1)?;
    let observed: f64 = xs.iter().sum();
    // Sums of the same numbers in another order differ by rounding: equal sums must count as equal.
    let slack = 1e-12 * xs.iter().map(|x| x.abs()).sum::<f64>();
    let counts = |sum: f64| match alternative {
        Alternative::TwoSided => sum.abs() >= observed.abs() - slack,
        Alternative::Greater => sum >= observed - slack,
        Alternative::Less => sum <= observed + slack,
    };
    if xs.len() <= 20 {
        let patterns = 1u64 << xs.len();
        let hits = (0..patterns)
            .filter(|pattern| {
                counts(xs.iter().enumerate().map(|(i, x)| if pattern >> i & 1 == 1 { -x } else { *x }).sum())
            })
            .count();
        return Ok(SignFlip { p: hits as f64 / patterns as f64, exact: true, patterns });
    }
    if draws == 0 {
        return Err(Error::Invalid { what, problem: "more than 20 values need random draws, got 0".into() });
    }
    let hits = (0..draws).filter(|_| counts(xs.iter().map(|x| if stream.random() { -x } else { *x }).sum())).count();
    Ok(SignFlip { p: (hits as f64 + 1.0) / (draws as f64 + 1.0), exact: false, patterns: draws })
}

/// p values adjusted for their number by Holm's step-down rule (1979), in the order given. Fails on values outside [0,
/// 1].
pub fn holm(ps: &[f64]) -> Result<Vec<f64>> {
    let what = "Holm's adjustment";
    check(what, ps, 0)?;
    if let Some(p) = ps.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Error::Invalid { what, problem: format!("a p value of {p}") });
    }
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut adjusted = vec![0.0; ps.len()];
    let mut running = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        running = running.max(((ps.len() - rank) as f64 * ps[index]).min(1.0));
        adjusted[index] = running;
    }
    Ok(adjusted)
}
