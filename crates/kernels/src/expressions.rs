//! Every op as a candle expression: the way on other devices than the CPU and for other types than f32, and what the
//! kernels are tested against.

use candle_core::{D, Result, Tensor};

use crate::ops::{Activation, Conv2d, Pool2d};

pub(crate) fn activate(x: Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(x),
        // Candle's own relu has derivative 1 at 0. NaN is not below 0, so it stays.
        Activation::Relu => x.detach().le(0f64)?.where_cond(&x.zeros_like()?.detach(), &x),
    }
}

fn with_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

pub(crate) fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
    activate(with_bias(x.matmul(w)?, bias)?, activation)
}

pub(crate) fn lstm(x: &Tensor, w: &Tensor, u: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ((n, steps, _), hidden) = (x.dims3()?, u.dim(0)?);
    let zeros = Tensor::zeros((n, hidden), x.dtype(), x.device())?;
    let (mut h, mut c) = (zeros.clone(), zeros);
    // As a half of a tanh: exact on both sides, and one function to differentiate.
    let logistic = |z: Tensor| ((z * 0.5)?.tanh()? * 0.5)? + 0.5;
    for step in 0..steps {
        let x = x.narrow(1, step, 1)?.squeeze(1)?.contiguous()?;
        let z = (x.matmul(w)? + h.matmul(u)?)?.broadcast_add(b)?;
        let gate = |k: usize| z.narrow(1, k * hidden, hidden)?.contiguous();
        let (i, f, g, o) = (logistic(gate(0)?)?, logistic(gate(1)?)?, gate(2)?.tanh()?, logistic(gate(3)?)?);
        c = ((f * c)? + (i * g)?)?;
        h = (o * c.tanh()?)?;
    }
    Ok(h)
}

pub(crate) fn conv2d(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    geometry: Conv2d,
    activation: Activation,
) -> Result<Tensor> {
    let Conv2d { stride, padding } = geometry;
    let ((_, height, width, _), (kh, kw, _, _)) = (x.dims4()?, w.dims4()?);
    let left_over = |n: usize, k: usize| (n + 2 * padding - k) % stride;
    // Candle takes the shape of the gradient of both dimensions from the first.
    let y = if kh == kw && left_over(height, kh) == left_over(width, kw) {
        let nchw = x.permute((0, 3, 1, 2))?.contiguous()?;
        let oihw = w.permute((3, 2, 0, 1))?.contiguous()?;
        nchw.conv2d(&oihw, padding, stride, 1, 1)?.permute((0, 2, 3, 1))?.contiguous()?
    } else {
        tap_by_tap(x, w, geometry)?
    };
    activate(with_bias(y, bias)?, activation)
}

/// A convolution as a sum of products with one tap of the kernel each.
fn tap_by_tap(x: &Tensor, w: &Tensor, geometry: Conv2d) -> Result<Tensor> {
    let (kh, kw, input, output) = w.dims4()?;
    let taps = w.reshape((kh * kw, input, output))?;
    let shifted = shifts(x, (kh, kw), geometry.stride, geometry.padding, 0.)?;
    let (n, oh, ow, _) = shifted[0].dims4()?;
    let mut sum: Option<Tensor> = None;
    for (tap, x) in shifted.iter().enumerate() {
        let product = x.reshape((n * oh * ow, input))?.matmul(&taps.get(tap)?)?;
        sum = Some(match sum {
            None => product,
            Some(sum) => (sum + product)?,
        });
    }
    sum.expect("a kernel has taps").reshape((n, oh, ow, output))
}

/// `(x - mean) / sqrt(variance + epsilon)` along a dimension, with the biased variance.
pub(crate) fn standardise(x: &Tensor, dim: usize, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(dim)?)?;
    let variance = centred.sqr()?.mean_keepdim(dim)?;
    centred.broadcast_div(&(variance + epsilon)?.sqrt()?)
}

pub(crate) fn layer_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    activation: Activation,
) -> Result<Tensor> {
    let normal = standardise(x, x.rank() - 1, epsilon)?;
    activate(normal.broadcast_mul(gamma)?.broadcast_add(beta)?, activation)
}

pub(crate) fn group_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    groups: usize,
    epsilon: f64,
    activation: Activation,
) -> Result<Tensor> {
    let (n, h, w, c) = x.dims4()?;
    let grouped = x.reshape((n, h * w, groups, c / groups))?.transpose(1, 2)?.contiguous()?;
    let normal = standardise(&grouped.flatten_from(2)?, 2, epsilon)?;
    let normal =
        normal.reshape((n, groups, h * w, c / groups))?.transpose(1, 2)?.contiguous()?.reshape((n, h, w, c))?;
    activate(normal.broadcast_mul(gamma)?.broadcast_add(beta)?, activation)
}

pub(crate) fn max_pool2d(x: &Tensor, pool: Pool2d) -> Result<Tensor> {
    let windows = windows(x, pool, f64::NEG_INFINITY)?;
    let first = windows.detach().argmax_keepdim(0)?;
    windows.gather(&first, 0)?.squeeze(0)
}

pub(crate) fn avg_pool2d(x: &Tensor, pool: Pool2d) -> Result<Tensor> {
    windows(x, pool, 0.)?.mean(0)
}

/// The elements of each window stacked along a new first dimension: `[size * size, n, h', w', c]`.
fn windows(x: &Tensor, pool: Pool2d, border: f64) -> Result<Tensor> {
    Tensor::stack(&shifts(x, (pool.size, pool.size), pool.stride, pool.padding, border)?, 0)
}

/// For each place in a window, that place's element of every window: `[n, h', w', c]` each.
fn shifts(x: &Tensor, size: (usize, usize), stride: usize, padding: usize, border: f64) -> Result<Vec<Tensor>> {
    let (mut x, (_, h, w, _)) = (x.clone(), x.dims4()?);
    if padding > 0 {
        for dim in [1, 2] {
            let mut dims = x.dims().to_vec();
            dims[dim] = padding;
            let edge = Tensor::full(border, dims, x.device())?.to_dtype(x.dtype())?;
            x = Tensor::cat(&[&edge, &x, &edge], dim)?;
        }
    }
    let out = |n: usize, size: usize| (n + 2 * padding - size) / stride + 1;
    let places = |first: usize, n: usize| {
        Tensor::from_vec((0..n).map(|i| (first + i * stride) as u32).collect::<Vec<_>>(), n, x.device())
    };
    let mut parts = Vec::with_capacity(size.0 * size.1);
    for dy in 0..size.0 {
        let rows = x.index_select(&places(dy, out(h, size.0))?, 1)?;
        for dx in 0..size.1 {
            parts.push(rows.index_select(&places(dx, out(w, size.1))?, 2)?);
        }
    }
    Ok(parts)
}

pub(crate) fn concat(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[a, b], D::Minus1)
}
