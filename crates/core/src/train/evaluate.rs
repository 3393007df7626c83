//! Evaluation, without a tape.

use candle_core::{Result, Tensor, bail};
use retrial_kernels::Graph;

use super::loss::{Softmax, arg_max, check_labels, host};
use crate::model::Model;

/// What a network says about some samples, each in the order of the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Cross-entropy of each sample against its label, in nats.
    pub losses: Vec<f32>,
    /// Class with the largest logit; the first of equal ones.
    pub predictions: Vec<u32>,
}

impl Evaluation {
    /// From logits `[n, c]` and `n` labels.
    ///
    /// # Errors
    /// If the numbers of rows and labels differ, or a label is no class.
    pub fn of(logits: &Tensor, labels: &[u32]) -> Result<Self> {
        let (rows, classes) = logits.dims2()?;
        check_labels(labels, rows, classes)?;
        let logits = host(logits)?;
        let rows = || logits.chunks_exact(classes);
        Ok(Self {
            losses: rows().zip(labels).map(|(z, &y)| Softmax::of(z).loss(z[y as usize]) as f32).collect(),
            predictions: rows().map(|z| arg_max(z) as u32).collect(),
        })
    }

    /// Mean loss; not a number without samples.
    pub fn mean_loss(&self) -> f64 {
        self.losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / self.losses.len() as f64
    }
}

/// Logits `[n, classes]` of the samples `indices`, in inference mode: running statistics, no dropout, no tape.
///
/// `inputs` gives the batch of some of these indices, `[b, h, w, c]` or `[b, features]`.
///
/// # Errors
/// If there are no samples, or what `inputs` or the network reports.
pub fn logits(
    model: &Model,
    indices: &[u32],
    batch_size: usize,
    mut inputs: impl FnMut(&[u32]) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut parts = vec![];
    for batch in indices.chunks(batch_size.max(1)) {
        let x = inputs(batch)?;
        if x.dim(0)? != batch.len() {
            bail!("a batch of {} samples has {} rows", batch.len(), x.dim(0)?)
        }
        parts.push(model.forward(&mut Graph::inference(), &x)?.tensor().clone());
    }
    if parts.is_empty() {
        bail!("there are no samples to evaluate")
    }
    Tensor::cat(&parts, 0)
}

/// Losses and predictions of the samples `indices`, whose labels are `labels` in the same order. See [`logits`].
///
/// # Errors
/// As [`logits`], and if a label is missing or no class.
pub fn evaluate(
    model: &Model,
    indices: &[u32],
    labels: &[u32],
    batch_size: usize,
    inputs: impl FnMut(&[u32]) -> Result<Tensor>,
) -> Result<Evaluation> {
    Evaluation::of(&logits(model, indices, batch_size, inputs)?, labels)
}

/// Share of predictions that equal the label; not a number without samples.
pub fn accuracy(predictions: &[u32], labels: &[u32]) -> f64 {
    accuracy_where(predictions, labels, |_| true)
}

/// [`accuracy`] over the samples whose position `chosen` accepts: the flipped ones, say.
pub fn accuracy_where(predictions: &[u32], labels: &[u32], chosen: impl Fn(usize) -> bool) -> f64 {
    assert_eq!(predictions.len(), labels.len(), "a prediction for each label");
    let (mut right, mut count) = (0usize, 0usize);
    for i in (0..labels.len()).filter(|&i| chosen(i)) {
        count += 1;
        right += usize::from(predictions[i] == labels[i]);
    }
    right as f64 / count as f64
}
