//! Losses of single samples.
//!
//! Each has its value and its gradient at the logits in closed form, computed here in double precision: exact where the
//! usual chain of tensor ops cancels (`softmax - 1` of a memorised sample) or overflows. The result is a plain candle
//! tensor, so a paper weights, masks and adds as it likes before it takes the mean.

use candle_core::{D, DType, Result, Shape, Tensor, bail};

/// The loss is no longer a finite number.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the loss became {loss} at step {step}")]
pub struct Diverged {
    /// Step, counted as the caller does.
    pub step: u64,
    /// NaN or an infinity.
    pub loss: f32,
}

/// The loss of a step, if it is a finite number.
pub fn finite(loss: f32, step: u64) -> std::result::Result<f32, Diverged> {
    if loss.is_finite() { Ok(loss) } else { Err(Diverged { step, loss }) }
}

/// Cross-entropy `-ln softmax(z)[y]` in nats, `[b]`.
///
/// `logits`: `[b, c]`; `labels`: `b` classes.
///
/// # Errors
/// If the numbers of rows and labels differ, or a label is no class.
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    check_labels(labels, rows, classes)?;
    let logits_host = host(logits)?;
    let (mut losses, mut gradient) = (Vec::with_capacity(rows), Vec::with_capacity(rows * classes));
    for (z, &label) in logits_host.chunks_exact(classes).zip(labels) {
        let label = label as usize;
        let softmax = Softmax::of(z);
        losses.push(softmax.loss(z[label]));
        let start = gradient.len();
        gradient.extend(z.iter().map(|&z| softmax.probability(z)));
        // p - 1, without cancellation when p is nearly 1.
        let p = &mut gradient[start..];
        p[label] = 0.;
        p[label] = -p.iter().sum::<f64>();
    }
    closed_form(logits, losses, gradient)
}

/// Cross-entropy `-sum_j t_j ln softmax(z)[j]` with soft targets, `[b]`.
///
/// `logits` and `targets`: `[b, c]`. Rows of targets need not sum to one; no gradient flows into them.
///
/// # Errors
/// If the shapes differ.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    if targets.dims() != logits.dims() {
        bail!("soft targets are {:?}, logits {:?}", targets.dims(), logits.dims())
    }
    let (logits_host, targets_host) = (host(logits)?, host(targets)?);
    let (mut losses, mut gradient) = (Vec::with_capacity(rows), Vec::with_capacity(rows * classes));
    for (z, t) in logits_host.chunks_exact(classes).zip(targets_host.chunks_exact(classes)) {
        let softmax = Softmax::of(z);
        // A class without weight adds nothing, even at an infinite loss.
        losses.push(z.iter().zip(t).map(|(&z, &t)| if t == 0. { 0. } else { t * softmax.loss(z) }).sum());
        let total: f64 = t.iter().sum();
        gradient.extend(z.iter().zip(t).map(|(&z, &t)| total * softmax.probability(z) - t));
    }
    closed_form(logits, losses, gradient)
}

/// Binary cross-entropy `-y ln s(z) - (1 - y) ln s(-z)` with the logistic function `s`, of the shape of `logits`.
///
/// `logits`: `[b]` or `[b, 1]`; `targets`: `b` probabilities of the positive class.
///
/// # Errors
/// If the numbers of logits and targets differ, or a target is not in `[0, 1]`.
pub fn binary_cross_entropy(logits: &Tensor, targets: &[f32]) -> Result<Tensor> {
    if targets.len() != logits.elem_count() {
        bail!("{} targets for {} logits", targets.len(), logits.elem_count())
    }
    if let Some(row) = targets.iter().position(|y| !(0. ..=1.).contains(y)) {
        bail!("target {} of row {row} is no probability", targets[row])
    }
    let logits_host = host(logits)?;
    let pairs = || logits_host.iter().zip(targets).map(|(&z, &y)| (z, f64::from(y)));
    let losses = pairs().map(|(z, y)| (1. - y) * softplus(z) + y * softplus(-z)).collect();
    let gradient = pairs().map(|(z, y)| (1. - y) * logistic(z) - y * logistic(-z)).collect();
    let zero = zero_with_slope(logits, gradient)?;
    zero + tensor(losses, logits.shape(), logits)?
}

/// Numbers and labels that belong together.
pub(super) fn check_labels(labels: &[u32], rows: usize, classes: usize) -> Result<()> {
    if labels.len() != rows {
        bail!("{} labels for {rows} rows", labels.len())
    }
    match labels.iter().position(|&y| y as usize >= classes) {
        Some(row) => bail!("label {} of row {row} is none of {classes} classes", labels[row]),
        None => Ok(()),
    }
}

/// What the softmax of a row needs: its largest logit, and the logarithm of `sum_j exp(z_j - largest)`.
pub(super) struct Softmax {
    largest: f64,
    ln_sum: f64,
}

impl Softmax {
    pub(super) fn of(z: &[f64]) -> Self {
        let top = arg_max(z);
        let rest: f64 = z.iter().enumerate().map(|(j, zj)| if j == top { 0. } else { (zj - z[top]).exp() }).sum();
        Self { largest: z[top], ln_sum: rest.ln_1p() }
    }

    /// `-ln softmax` of a class with this logit.
    pub(super) fn loss(&self, z: f64) -> f64 {
        (self.largest - z) + self.ln_sum
    }

    fn probability(&self, z: f64) -> f64 {
        (-self.loss(z)).exp()
    }
}

/// Index of the largest number; the first of equal ones. NaN is never the largest.
pub(super) fn arg_max(z: &[f64]) -> usize {
    (0..z.len()).fold(0, |top, j| if z[j] > z[top] || z[top].is_nan() && !z[j].is_nan() { j } else { top })
}

/// `ln(1 + exp(z))`.
fn softplus(z: f64) -> f64 {
    z.max(0.) + (-z.abs()).exp().ln_1p()
}

/// `1 / (1 + exp(-z))`, exact to the last digits on both sides.
fn logistic(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z >= 0. { 1. / (1. + e) } else { e / (1. + e) }
}

/// The numbers of a tensor, row-major.
pub(super) fn host(tensor: &Tensor) -> Result<Vec<f64>> {
    let flat = tensor.detach().flatten_all()?;
    match flat.dtype() {
        DType::F64 => flat.to_vec1(),
        _ => Ok(flat.to_dtype(DType::F32)?.to_vec1::<f32>()?.into_iter().map(f64::from).collect()),
    }
}

/// The type and device of `like`.
fn tensor(values: Vec<f64>, shape: &Shape, like: &Tensor) -> Result<Tensor> {
    match like.dtype() {
        DType::F64 => Tensor::from_vec(values, shape, like.device()),
        dtype => {
            let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
            Tensor::from_vec(values, shape, like.device())?.to_dtype(dtype)
        }
    }
}

/// Zeros of the shape of `z` whose derivative by `z` is `gradient`.
fn zero_with_slope(z: &Tensor, gradient: Vec<f64>) -> Result<Tensor> {
    (z - z.detach())? * tensor(gradient, z.shape(), z)?
}

/// Losses `[b]` that depend on `logits` `[b, c]` with this gradient, row-major.
fn closed_form(logits: &Tensor, losses: Vec<f64>, gradient: Vec<f64>) -> Result<Tensor> {
    let rows = losses.len().into();
    zero_with_slope(logits, gradient)?.sum(D::Minus1)? + tensor(losses, &rows, logits)?
}
