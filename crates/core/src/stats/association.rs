//! Two series, or two samples, against each other.

use serde::{Deserialize, Serialize};

use super::tests_of_mean::upper_tail;
use super::{Error, Result, check, check_equal, mean};

/// A correlation coefficient with its test against 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// The coefficient, in [-1, 1].
    pub r: f64,
    /// Two-sided p value.
    pub p: f64,
    /// Number of pairs.
    pub n: usize,
}

/// Pearson's product-moment correlation; p by the t distribution with n - 2 degrees of freedom. Fails on fewer than 3
/// pairs, unequal lengths, non-finite values and a constant series.
pub fn pearson(xs: &[f64], ys: &[f64]) -> Result<Correlation> {
    let what = "a Pearson correlation";
    check_equal(what, xs.len(), ys.len())?;
    check(what, xs, 3)?;
    check(what, ys, 3)?;
    let r = coefficient(what, xs, ys)?;
    Ok(Correlation { r, p: p_by_t(r, xs.len()), n: xs.len() })
}

/// Spearman's rank correlation, ties at their mean rank. p is exact up to 9 pairs (all orders of the ranks, ties kept)
/// and by the t distribution with n - 2 degrees of freedom beyond: with few points a perfect order is not p = 0.
/// Fails on fewer than 3 pairs, unequal lengths, non-finite values and a constant series.
pub fn spearman(xs: &[f64], ys: &[f64]) -> Result<Correlation> {
    let what = "a Spearman correlation";
    check_equal(what, xs.len(), ys.len())?;
    check(what, xs, 3)?;
    check(what, ys, 3)?;
    let (xs, mut ys) = (ranks(xs), ranks(ys));
    let n = xs.len();
    let r = coefficient(what, &xs, &ys)?;
    let p = if n <= 9 { exact_p(&xs, &mut ys) } else { p_by_t(r, n) };
    Ok(Correlation { r, p, n })
}

fn coefficient(what: &'static str, xs: &[f64], ys: &[f64]) -> Result<f64> {
    let (mx, my) = (mean(xs), mean(ys));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in xs.iter().zip(ys) {
        xx += (x - mx) * (x - mx);
        yy += (y - my) * (y - my);
        xy += (x - mx) * (y - my);
    }
    if xx == 0.0 || yy == 0.0 {
        return Err(Error::Undefined { what, why: "all values of a series are equal".into() });
    }
    Ok((xy / xx.sqrt() / yy.sqrt()).clamp(-1.0, 1.0))
}

fn p_by_t(r: f64, n: usize) -> f64 {
    let df = (n - 2) as f64;
    2.0 * upper_tail(r.abs() * (df / ((1.0 - r) * (1.0 + r))).sqrt(), df)
}

/// Share of the orders of `ys` whose correlation with `xs` is at least as far from 0 as that of the order given.
/// With the ranks doubled everything is a whole number, so ties are exact. Walks the orders by Heap's algorithm.
fn exact_p(xs: &[f64], ys: &mut [f64]) -> f64 {
    let n = ys.len();
    let centre = (n + 1) as f64;
    let xs: Vec<i64> = xs.iter().map(|x| (2.0 * x - centre) as i64).collect();
    let mut ys: Vec<i64> = ys.iter().map(|y| (2.0 * y - centre) as i64).collect();
    let product = |ys: &[i64]| xs.iter().zip(ys).map(|(x, y)| x * y).sum::<i64>().abs();
    let observed = product(&ys);
    let (mut hits, mut orders) = (1u64, 1u64);
    let mut counters = vec![0; n];
    let mut i = 1;
    while i < n {
        if counters[i] < i {
            ys.swap(if i % 2 == 0 { 0 } else { counters[i] }, i);
            orders += 1;
            hits += u64::from(product(&ys) >= observed);
            counters[i] += 1;
            i = 1;
        } else {
            counters[i] = 0;
            i += 1;
        }
    }
    hits as f64 / orders as f64
}

/// Ranks from 1, ties at their mean rank. Values are finite.
fn ranks(xs: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..xs.len()).collect();
    order.sort_by(|a, b| xs[*a].total_cmp(&xs[*b]));
    let mut ranks = vec![0.0; xs.len()];
    for tied in order.chunk_by(|a, b| xs[*a] == xs[*b]).scan(0, |start, tied| {
        *start += tied.len();
        Some((*start - tied.len(), tied))
    }) {
        let (start, tied) = tied;
        for index in tied {
            ranks[*index] = start as f64 + (tied.len() + 1) as f64 / 2.0;
        }
    }
    ranks
}

/// Area under the ROC curve: the probability that a sample with `positive` set has the greater score than one without,
/// half for ties (Mann-Whitney). For "does the loss find the wrong labels", `scores` are losses and `positive` marks
/// the flipped samples. Fails on unequal lengths, a NaN score (infinite ones are ordered) and when one group is empty.
pub fn auc(scores: &[f64], positive: &[bool]) -> Result<f64> {
    let what = "an AUC";
    check_equal(what, scores.len(), positive.len())?;
    if let Some(index) = scores.iter().position(|s| s.is_nan()) {
        return Err(Error::NotFinite { what, index, value: scores[index] });
    }
    let positives = positive.iter().filter(|p| **p).count();
    let negatives = positive.len() - positives;
    if positives == 0 || negatives == 0 {
        let why = format!("{positives} positive and {negatives} negative samples");
        return Err(Error::Undefined { what, why });
    }
    let sum: f64 = ranks(scores).iter().zip(positive).filter(|(_, p)| **p).map(|(rank, _)| rank).sum();
    let (positives, negatives) = (positives as f64, negatives as f64);
    Ok((sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Two-sample Kolmogorov-Smirnov distance: the greatest difference of the empirical distribution functions. Fails on
/// an empty or non-finite sample.
pub fn ks_distance(xs: &[f64], ys: &[f64]) -> Result<f64> {
    let what = "a Kolmogorov-Smirnov distance";
    check(what, xs, 1)?;
    check(what, ys, 1)?;
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (xs, ys) = (sorted(xs), sorted(ys));
    let (mut i, mut j, mut distance) = (0, 0, 0.0f64);
    while i < xs.len() && j < ys.len() {
        let at = xs[i].min(ys[j]);
        while i < xs.len() && xs[i] <= at {
            i += 1;
        }
        while j < ys.len() && ys[j] <= at {
            j += 1;
        }
        distance = distance.max((i as f64 / xs.len() as f64 - j as f64 / ys.len() as f64).abs());
    }
    Ok(distance)
}

/// One-sample Kolmogorov-Smirnov distance from a continuous distribution function. Fails on an empty or non-finite
/// sample and where `cdf` leaves [0, 1].
pub fn ks_distance_to(xs: &[f64], cdf: impl Fn(f64) -> f64) -> Result<f64> {
    let what = "a Kolmogorov-Smirnov distance";
    check(what, xs, 1)?;
    let mut sorted = xs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let mut distance = 0.0f64;
    for (i, x) in sorted.iter().enumerate() {
        let f = cdf(*x);
        if !(0.0..=1.0).contains(&f) {
            return Err(Error::Invalid { what, problem: format!("the distribution function is {f} at {x}") });
        }
        distance = distance.max(f - i as f64 / n).max((i + 1) as f64 / n - f);
    }
    Ok(distance)
}
