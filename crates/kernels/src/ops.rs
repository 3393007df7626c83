//! The ops of a network.

use candle_core::{D, IndexOp, Result, Tensor, Var};
use rand::RngExt;

use crate::graph::{Graph, Statistics, Value};

/// What follows an op, fused into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`, derivative 0 at 0 (as in PyTorch).
    Relu,
}

impl Activation {
    fn apply(self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x),
            // Candle's relu has derivative 1 at 0; a mask of x > 0 has 0.
            Self::Relu => {
                let on = x.detach().gt(0f32)?.to_dtype(x.dtype())?;
                // NaN must stay NaN: 0 * NaN is NaN.
                x * on
            }
        }
    }
}

/// Geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Step between windows, the same in both directions.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
}

/// Geometry of a pool: square windows, which may overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Window side.
    pub size: usize,
    /// Step between windows.
    pub stride: usize,
    /// Border on each side: never the maximum, and counted as zeros by the average (as PyTorch does).
    pub padding: usize,
}

/// Running mean and variance of a batch norm, moved by training passes and used by inference.
#[derive(Clone, Debug)]
pub struct RunningStatistics {
    /// Mean, `[channels]`.
    pub mean: Var,
    /// Variance (unbiased), `[channels]`.
    pub variance: Var,
    /// Weight of a new batch: 0.1 is PyTorch's default; Keras's `momentum` is one minus this.
    pub momentum: f64,
}

impl RunningStatistics {
    fn update(&self, mean: &Tensor, biased_variance: &Tensor, count: usize) -> Result<()> {
        let unbiased = (biased_variance * (count as f64 / (count.max(2) - 1) as f64))?;
        let blend = |old: &Var, new: &Tensor| -> Result<()> {
            old.set(&((old.as_detached_tensor() * (1. - self.momentum))? + (new.detach() * self.momentum)?)?)
        };
        blend(&self.mean, mean)?;
        blend(&self.variance, &unbiased)
    }
}

impl Graph {
    /// `activation(x w + b)`: `x` `[n, in]`, `w` `[in, out]`, `b` `[out]`.
    pub fn linear(&mut self, x: &Value, w: &Value, b: Option<&Value>, activation: Activation) -> Result<Value> {
        let inputs: Vec<&Value> = [x, w].into_iter().chain(b).collect();
        self.candle(&inputs, |t| {
            let y = t[0].matmul(&t[1])?;
            activation.apply(match t.get(2) {
                Some(b) => y.broadcast_add(b)?,
                None => y,
            })
        })
    }

    /// `activation(x * w + b)`: `x` `[n, h, w, in]`, `w` `[kh, kw, in, out]`, `b` `[out]`.
    pub fn conv2d(
        &mut self,
        x: &Value,
        w: &Value,
        b: Option<&Value>,
        geometry: Conv2d,
        activation: Activation,
    ) -> Result<Value> {
        let inputs: Vec<&Value> = [x, w].into_iter().chain(b).collect();
        self.candle(&inputs, |t| {
            let nchw = t[0].permute((0, 3, 1, 2))?.contiguous()?;
            let oihw = t[1].permute((3, 2, 0, 1))?.contiguous()?;
            let y = nchw.conv2d(&oihw, geometry.padding, geometry.stride, 1, 1)?;
            let y = y.permute((0, 2, 3, 1))?.contiguous()?;
            activation.apply(match t.get(2) {
                Some(b) => y.broadcast_add(b)?,
                None => y,
            })
        })
    }

    /// Batch norm over all but the last dimension, then the activation; `gamma` and `beta` are `[channels]`.
    pub fn batch_norm(
        &mut self,
        x: &Value,
        gamma: &Value,
        beta: &Value,
        running: &RunningStatistics,
        epsilon: f64,
        activation: Activation,
    ) -> Result<Value> {
        let channels = gamma.tensor().elem_count();
        let dims = x.dims().to_vec();
        let statistics = self.statistics;
        if let Statistics::Batch { update: true } = statistics {
            let flat = x.tensor().reshape(((), channels))?;
            let mean = flat.mean_keepdim(0)?;
            let variance = flat.broadcast_sub(&mean)?.sqr()?.mean(0)?;
            running.update(&mean.squeeze(0)?, &variance, flat.dim(0)?)?;
        }
        let (mean, variance) = (running.mean.as_detached_tensor(), running.variance.as_detached_tensor());
        self.candle(&[x, gamma, beta], |t| {
            let flat = t[0].reshape(((), channels))?;
            let normal = match statistics {
                Statistics::Batch { .. } => standardise(&flat, 0, epsilon)?,
                Statistics::Running => {
                    flat.broadcast_sub(&mean)?.broadcast_div(&(&variance + epsilon)?.sqrt()?)?
                }
            };
            let y = normal.broadcast_mul(&t[1])?.broadcast_add(&t[2])?;
            activation.apply(y.reshape(dims.as_slice())?)
        })
    }

    /// Layer norm over the last dimension; `gamma` and `beta` have its size.
    pub fn layer_norm(
        &mut self,
        x: &Value,
        gamma: &Value,
        beta: &Value,
        epsilon: f64,
        activation: Activation,
    ) -> Result<Value> {
        self.candle(&[x, gamma, beta], |t| {
            let normal = standardise(&t[0], t[0].rank() - 1, epsilon)?;
            activation.apply(normal.broadcast_mul(&t[1])?.broadcast_add(&t[2])?)
        })
    }

    /// Largest value of each window: `[n, h, w, c]` to `[n, h', w', c]`. The first of equal maxima takes the gradient.
    pub fn max_pool2d(&mut self, x: &Value, pool: Pool2d) -> Result<Value> {
        self.candle(&[x], |t| {
            let windows = windows(&t[0], pool, f64::NEG_INFINITY)?;
            let first = windows.detach().argmax_keepdim(0)?;
            windows.gather(&first, 0)?.squeeze(0)
        })
    }

    /// Mean of each window: `[n, h, w, c]` to `[n, h', w', c]`.
    pub fn avg_pool2d(&mut self, x: &Value, pool: Pool2d) -> Result<Value> {
        self.candle(&[x], |t| windows(&t[0], pool, 0.)?.mean(0))
    }

    /// Mean over height and width: `[n, h, w, c]` to `[n, c]`.
    pub fn global_avg_pool(&mut self, x: &Value) -> Result<Value> {
        self.candle(&[x], |t| t[0].mean(2)?.mean(1))
    }

    /// `activation(x)`.
    pub fn activate(&mut self, x: &Value, activation: Activation) -> Result<Value> {
        self.candle(&[x], |t| activation.apply(t[0].clone()))
    }

    /// `activation(a + b)`, of equal shape.
    pub fn add(&mut self, a: &Value, b: &Value, activation: Activation) -> Result<Value> {
        self.candle(&[a, b], |t| activation.apply((&t[0] + &t[1])?))
    }

    /// All but the first dimension as one: `[n, h, w, c]` to `[n, h w c]`.
    pub fn flatten(&mut self, x: &Value) -> Result<Value> {
        self.candle(&[x], |t| t[0].flatten_from(1))
    }

    /// Channels of `a` followed by those of `b`.
    pub fn concat(&mut self, a: &Value, b: &Value) -> Result<Value> {
        self.candle(&[a, b], |t| Tensor::cat(&[&t[0], &t[1]], D::Minus1))
    }

    /// Sets each element to zero with probability `p` and scales the others by `1 / (1 - p)`. The identity unless the
    /// graph was given a dropout stream.
    pub fn dropout(&mut self, x: &Value, p: f32) -> Result<Value> {
        let Some(stream) = self.dropout.as_mut().filter(|_| p > 0.) else { return Ok(x.clone()) };
        let keep = 1. / (1. - p);
        let mask: Vec<f32> =
            (0..x.tensor().elem_count()).map(|_| if stream.random::<f32>() < p { 0. } else { keep }).collect();
        let mask = Tensor::from_vec(mask, x.dims(), x.tensor().device())?;
        self.candle(&[x], |t| &t[0] * &mask)
    }
}

/// `(x - mean) / sqrt(variance + epsilon)` along a dimension, with the biased variance.
fn standardise(x: &Tensor, dim: usize, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(dim)?)?;
    let variance = centred.sqr()?.mean_keepdim(dim)?;
    centred.broadcast_div(&(variance + epsilon)?.sqrt()?)
}

/// The elements of each window stacked along a new first dimension: `[size * size, n, h', w', c]`.
fn windows(x: &Tensor, pool: Pool2d, border: f64) -> Result<Tensor> {
    let Pool2d { size, stride, padding } = pool;
    let (mut x, (_, h, w, _)) = (x.clone(), x.dims4()?);
    if padding > 0 {
        for dim in [1, 2] {
            let mut dims = x.dims().to_vec();
            dims[dim] = padding;
            let edge = Tensor::full(border as f32, dims, x.device())?.to_dtype(x.dtype())?;
            x = Tensor::cat(&[&edge, &x, &edge], dim)?;
        }
    }
    let out = |n: usize| (n + 2 * padding - size) / stride + 1;
    let places = |first: usize, n: usize| {
        Tensor::from_vec((0..n).map(|i| (first + i * stride) as u32).collect::<Vec<_>>(), n, x.device())
    };
    let mut parts = Vec::with_capacity(size * size);
    for dy in 0..size {
        let rows = x.index_select(&places(dy, out(h))?, 1)?;
        for dx in 0..size {
            parts.push(rows.index_select(&places(dx, out(w))?, 2)?);
        }
    }
    Tensor::stack(&parts, 0)?.i(..)
}
