//! Given labels beside true ones.

use rand::RngExt;

use super::matrix::{check_labels, check_level, need_two};
use super::{Error, NoiseKind, Result};
use crate::Seed;

/// Labels after noise, with the true ones beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisyLabels {
    /// True classes.
    pub truth: Vec<u32>,
    /// Labels as the learner sees them.
    pub given: Vec<u32>,
    /// Where the two differ.
    pub flipped: Vec<bool>,
    /// The level asked for, in the convention of the kind.
    pub requested: f64,
    /// Share of wrong labels that this level means for these classes, in the mean over draws.
    pub expected: f64,
    /// Share of wrong labels in this draw; 0 for no samples.
    pub realised: f64,
}

impl NoisyLabels {
    fn new(truth: &[u32], given: Vec<u32>, requested: f64, expected: f64) -> NoisyLabels {
        let flipped: Vec<bool> = truth.iter().zip(&given).map(|(t, g)| t != g).collect();
        let flips = flipped.iter().filter(|f| **f).count();
        let realised = flips as f64 / truth.len().max(1) as f64;
        NoisyLabels { truth: truth.to_vec(), given, flipped, requested, expected, realised }
    }
}

/// Draws noisy labels. `usage` keeps the streams of a seed apart: `"train"` and `"held-out"` are independent draws of
/// the same noise.
///
/// Draws are nested: where a sample is flipped at one level it is flipped to the same class at every higher level.
/// Symmetric noise over all classes at p is, label for label, symmetric noise over the others at p (c-1)/c. Fails on a
/// level outside [0, 1], labels outside the classes, and as [`NoiseKind::matrix`].
pub fn corrupt(
    labels: &[u32],
    kind: &NoiseKind,
    level: f64,
    classes: usize,
    seed: Seed,
    usage: &str,
) -> Result<NoisyLabels> {
    let matrix = kind.matrix(classes, level)?;
    let given = matrix.draw(labels, &mut seed.stream(&stream_name(usage)))?;
    let expected = labels.iter().map(|i| 1.0 - matrix.get(*i as usize, *i as usize)).sum::<f64>();
    Ok(NoisyLabels::new(labels, given, level, expected / labels.len().max(1) as f64))
}

/// Noise that depends on the instance: the share `level` of samples with the lowest margins is flipped to one of the
/// other classes, all as likely. At equal rate it breaks the assumption that noise depends on the class only, a control
/// for laws that rest on it. Exactly round(level · n) labels flip; equal margins flip in order of index. Nested across
/// levels. Fails on a level outside [0, 1], fewer than 2 classes, labels outside them, unequal lengths and NaN margins.
pub fn corrupt_low_margins(
    labels: &[u32],
    margins: &[f64],
    level: f64,
    classes: usize,
    seed: Seed,
    usage: &str,
) -> Result<NoisyLabels> {
    check_level(level)?;
    need_two("instance-dependent", classes)?;
    check_labels(labels, classes)?;
    if labels.len() != margins.len() {
        return Err(Error::Unequal { what: "margins", left: labels.len(), right: margins.len() });
    }
    if let Some(index) = margins.iter().position(|m| m.is_nan()) {
        return Err(Error::Margin(index));
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|a, b| margins[*a].total_cmp(&margins[*b]));
    order.truncate((level * labels.len() as f64).round() as usize);
    let mut stream = seed.stream(&stream_name(usage));
    let others: Vec<u32> = labels
        .iter()
        .map(|class| {
            let (_, choice): (f64, f64) = (stream.random(), stream.random());
            let other = ((choice * (classes - 1) as f64) as u32).min(classes as u32 - 2);
            other + u32::from(other >= *class)
        })
        .collect();
    let mut given = labels.to_vec();
    order.iter().for_each(|k| given[*k] = others[*k]);
    let expected = order.len() as f64 / labels.len().max(1) as f64;
    Ok(NoisyLabels::new(labels, given, level, expected))
}

/// Name of the stream of a use; part of every stored result.
fn stream_name(usage: &str) -> String {
    format!("noise/{usage}")
}

/// Share of each class among labels. Fails on no labels and labels outside the classes.
pub fn class_frequencies(labels: &[u32], classes: usize) -> Result<Vec<f64>> {
    check_labels(labels, classes)?;
    if labels.is_empty() {
        return Err(Error::Frequencies { classes, problem: "there are no labels".into() });
    }
    let mut counts = vec![0usize; classes];
    labels.iter().for_each(|label| counts[*label as usize] += 1);
    Ok(counts.into_iter().map(|count| count as f64 / labels.len() as f64).collect())
}
