//! The ops of a network.

use std::sync::Arc;

use candle_core::{Result, Tensor, Var, bail};
use rand::RngExt;

use crate::{
    cpu::{
        convolution, elementwise, linear, lstm,
        memory::{Floats, tensor},
        norm, pool,
        simd::Simd,
    },
    expressions,
    graph::{Gradient, Graph, Statistics, Value},
    late::{Part, Source},
};

/// What follows an op, fused into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`, derivative 0 at 0 (as in PyTorch).
    Relu,
}

impl Activation {
    fn is_relu(self) -> bool {
        self == Self::Relu
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
    /// Whether the kernels can do an op on these inputs: contiguous f32 on the CPU.
    fn has_kernel(&self, inputs: &[&Value]) -> bool {
        !self.expressions && inputs.iter().all(|v| v.is_plain())
    }

    /// `activation(x w + b)`: `x` `[n, in]`, `w` `[in, out]`, `b` `[out]`.
    pub fn linear(&mut self, x: &Value, w: &Value, b: Option<&Value>, activation: Activation) -> Result<Value> {
        let inputs: Vec<&Value> = [x, w].into_iter().chain(b).collect();
        let ((n, input), (rows, output)) = (x.tensor().dims2()?, w.tensor().dims2()?);
        if rows != input || b.is_some_and(|b| b.dims() != [output]) {
            bail!("linear of {:?} by {:?}, bias {:?}", x.dims(), w.dims(), b.map(Value::dims))
        }
        if !self.has_kernel(&inputs) {
            return self.candle(&inputs, |t| expressions::linear(&t[0], &t[1], t.get(2), activation));
        }
        let (simd, sizes) = (Simd::current(), linear::Sizes { n, input, output });
        let bias = b.map(|b| Floats::of(b.tensor())).transpose()?;
        let relu = activation.is_relu();
        let y = linear::forward(simd, sizes, &Floats::of(x.tensor())?, &Floats::of(w.tensor())?, bias.as_deref(), relu);
        let y = tensor(y, (n, output))?;
        drop(bias);
        if !self.records(&inputs) {
            return Ok(self.constant(y));
        }
        let (x, w, b, result) = (x.clone(), w.clone(), b.and_then(|b| b.node), relu.then(|| y.clone()));
        Ok(self.push(y, move |dy, gradients| {
            let dy = below_relu(simd, result.as_ref(), dy)?;
            gradients.give(b, || Ok(elementwise::column_sums(simd, &dy, output).into()))?;
            gradients
                .give(w.node, || Ok(linear::weight_gradient(simd, sizes, &Floats::of(x.tensor())?, &dy).into()))?;
            gradients.give(x.node, || Ok(linear::input_gradient(simd, sizes, &Floats::of(w.tensor())?, &dy).into()))
        }))
    }

    /// A long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000): the hidden
    /// state after the last step, `[n, hidden]`, from zero states. `x` `[n, steps, in]`, `w` `[in, 4 hidden]`, `u`
    /// `[hidden, 4 hidden]`, `b` `[4 hidden]`; columns are those of the input gate, the forget gate, the candidate (tanh)
    /// and the output gate.
    pub fn lstm(&mut self, x: &Value, w: &Value, u: &Value, b: &Value) -> Result<Value> {
        let ((n, steps, input), (hidden, wide)) = (x.tensor().dims3()?, u.tensor().dims2()?);
        if wide != 4 * hidden || hidden == 0 || input == 0 || w.dims() != [input, wide] || b.dims() != [wide] {
            bail!("LSTM of {:?} with w {:?}, u {:?}, b {:?}", x.dims(), w.dims(), u.dims(), b.dims())
        }
        let inputs = [x, w, u, b];
        if !self.has_kernel(&inputs) {
            return self.candle(&inputs, |t| expressions::lstm(&t[0], &t[1], &t[2], &t[3]));
        }
        let (simd, sizes) = (Simd::current(), lstm::Sizes { n, steps, input, hidden });
        let (y, parts) = {
            let (x, w) = (Floats::of(x.tensor())?, Floats::of(w.tensor())?);
            let (u, b) = (Floats::of(u.tensor())?, Floats::of(b.tensor())?);
            lstm::forward(simd, sizes, &x, [&w, &u, &b], self.records(&inputs))
        };
        let y = tensor(y, (n, hidden))?;
        if !self.records(&inputs) {
            return Ok(self.constant(y));
        }
        let (x, b) = (x.node, b.node);
        let (w, u) = (w.clone(), u.clone());
        Ok(self.push(y, move |dy, gradients| {
            let dy = dy.floats()?;
            let found = {
                let (w, u) = (Floats::of(w.tensor())?, Floats::of(u.tensor())?);
                lstm::backward(simd, sizes, parts, [&w, &u], &dy, x.is_some())
            };
            if let Some(gradient) = found.x {
                gradients.give(x, || Ok(gradient.into()))?;
            }
            gradients.give(w.node, || Ok(found.w.into()))?;
            gradients.give(u.node, || Ok(found.u.into()))?;
            gradients.give(b, || Ok(found.b.into()))
        }))
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
        let (n, h, width, input) = image_dims(x)?;
        let (kh, kw, rows, output) = w.tensor().dims4()?;
        let Conv2d { stride, padding } = geometry;
        let fits = rows == input && kh <= h + 2 * padding && kw <= width + 2 * padding && stride > 0;
        if !fits || b.is_some_and(|b| b.dims() != [output]) {
            bail!("{geometry:?} of {:?} by {:?}, bias {:?}", x.dims(), w.dims(), b.map(Value::dims))
        }
        if !self.has_kernel(&inputs) {
            return self.candle(&inputs, |t| expressions::conv2d(&t[0], &t[1], t.get(2), geometry, activation));
        }
        let simd = Simd::current();
        let sizes = convolution::Sizes { n, h, w: width, input, kh, kw, output, stride, padding };
        let relu = activation.is_relu();
        let y = {
            let bias = b.map(|b| Floats::of(b.tensor())).transpose()?;
            let w = Floats::of(w.tensor())?;
            with_input(x, |x| convolution::forward(simd, sizes, x, &w, bias.as_deref(), relu))?
        };
        let y = tensor(y, (n, sizes.out_h(), sizes.out_w(), output))?;
        if !self.records(&inputs) {
            return Ok(self.constant(y));
        }
        let (x, w, b, result) = (x.clone(), w.clone(), b.and_then(|b| b.node), relu.then(|| y.clone()));
        Ok(self.push(y, move |dy, gradients| {
            let dy = dy.floats()?;
            let wanted = convolution::Wanted { input: x.needs_gradient(), bias: b.is_some() };
            let found = {
                let result = result.as_ref().map(Floats::of).transpose()?;
                let w = Floats::of(w.tensor())?;
                with_input(&x, |x| convolution::backward(simd, sizes, x, &w, result.as_deref(), &dy, wanted))?
            };
            drop(dy);
            if let Some(gradient) = found.bias {
                gradients.give(b, || Ok(gradient.into()))?;
            }
            gradients.give(w.node, || Ok(found.weights.into()))?;
            match found.input {
                Some(gradient) => gradients.give(x.node, || Ok(gradient.into())),
                None => Ok(()),
            }
        }))
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
        if x.dims().last() != Some(&channels) || x.len() == 0 || beta.dims() != [channels] {
            bail!("batch norm of {:?} with gamma {:?} and beta {:?}", x.dims(), gamma.dims(), beta.dims())
        }
        let inputs = [x, gamma, beta];
        let count = x.len() / channels;
        let statistics = self.statistics;
        if !self.has_kernel(&inputs) {
            let dims = x.dims().to_vec();
            if let Statistics::Batch { update: true } = statistics {
                let flat = x.tensor().reshape(((), channels))?;
                let mean = flat.mean_keepdim(0)?;
                let variance = flat.broadcast_sub(&mean)?.sqr()?.mean(0)?;
                running.update(&mean.squeeze(0)?, &variance, count)?;
            }
            let (mean, variance) = (running.mean.as_detached_tensor(), running.variance.as_detached_tensor());
            return self.candle(&inputs, |t| {
                let flat = t[0].reshape(((), channels))?;
                let normal = match statistics {
                    Statistics::Batch { .. } => expressions::standardise(&flat, 0, epsilon)?,
                    Statistics::Running => flat.broadcast_sub(&mean)?.broadcast_div(&(&variance + epsilon)?.sqrt()?)?,
                };
                let y = normal.broadcast_mul(&t[1])?.broadcast_add(&t[2])?;
                expressions::activate(y.reshape(dims.as_slice())?, activation)
            });
        }
        let source = Source::joined(Simd::current(), parts(x));
        let batch = statistics != Statistics::Running;
        let (mean, variance) = if batch {
            source.moments()?
        } else {
            (running.mean.to_vec1::<f32>()?, running.variance.to_vec1::<f32>()?)
        };
        if let Statistics::Batch { update: true } = statistics {
            running.update(&tensor(mean.clone(), channels)?, &tensor(variance.clone(), channels)?, count)?;
        }
        let affine = {
            let (gamma, beta) = (Floats::of(gamma.tensor())?, Floats::of(beta.tensor())?);
            norm::Affine::new(mean, &variance, &gamma, &beta, epsilon, activation.is_relu())
        };
        let source = Arc::new(source.normalised(affine));
        let (of_backward, parameters) = (Arc::clone(&source), [gamma.node, beta.node]);
        Ok(self.push_late(source, x.dims().to_vec(), self.records(&inputs), move |dy, gradients| {
            of_backward.back_through_norm(dy, parameters, batch, gradients)
        }))
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
        let c = gamma.tensor().elem_count();
        let grouping = norm::Grouping { pixels: 1, c, width: c };
        self.group(x, gamma, beta, epsilon, activation, grouping, |t| {
            expressions::layer_norm(&t[0], &t[1], &t[2], epsilon, activation)
        })
    }

    /// Group norm: `x` `[n, h, w, c]`, normalised within each sample over all pixels and `c / groups` neighbouring
    /// channels; `gamma` and `beta` are `[c]`.
    pub fn group_norm(
        &mut self,
        x: &Value,
        gamma: &Value,
        beta: &Value,
        groups: usize,
        epsilon: f64,
        activation: Activation,
    ) -> Result<Value> {
        let (_, h, w, c) = x.tensor().dims4()?;
        if groups == 0 || !c.is_multiple_of(groups) {
            bail!("{c} channels cannot be split in {groups} groups")
        }
        let grouping = norm::Grouping { pixels: h * w, c, width: c / groups };
        self.group(x, gamma, beta, epsilon, activation, grouping, |t| {
            expressions::group_norm(&t[0], &t[1], &t[2], groups, epsilon, activation)
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn group(
        &mut self,
        x: &Value,
        gamma: &Value,
        beta: &Value,
        epsilon: f64,
        activation: Activation,
        grouping: norm::Grouping,
        expression: impl Fn(&[Tensor]) -> Result<Tensor>,
    ) -> Result<Value> {
        let inputs = [x, gamma, beta];
        let c = grouping.c;
        if x.dims().last() != Some(&c) || gamma.dims() != [c] || beta.dims() != [c] {
            bail!("norm of {:?} with gamma {:?} and beta {:?}", x.dims(), gamma.dims(), beta.dims())
        }
        if !self.has_kernel(&inputs) {
            return self.candle(&inputs, expression);
        }
        let (simd, relu) = (Simd::current(), activation.is_relu());
        let (y, statistics) = {
            let (x, gamma, beta) = (Floats::of(x.tensor())?, Floats::of(gamma.tensor())?, Floats::of(beta.tensor())?);
            norm::group_forward(simd, grouping, &x, &gamma, &beta, epsilon, relu)
        };
        let y = tensor(y, x.dims())?;
        if !self.records(&inputs) {
            return Ok(self.constant(y));
        }
        let (x, gamma, beta, result) = (x.clone(), gamma.clone(), beta.node, relu.then(|| y.clone()));
        Ok(self.push(y, move |dy, gradients| {
            let dy = dy.floats()?;
            let found = {
                let result = result.as_ref().map(Floats::of).transpose()?;
                let (x, gamma) = (Floats::of(x.tensor())?, Floats::of(gamma.tensor())?);
                norm::group_backward(simd, grouping, &x, &gamma, &statistics, result.as_deref(), &dy)
            };
            gradients.give(gamma.node, || Ok(found.gamma.into()))?;
            gradients.give(beta, || Ok(found.beta.into()))?;
            gradients.give(x.node, || Ok(found.input.into()))
        }))
    }

    /// Largest value of each window: `[n, h, w, c]` to `[n, h', w', c]`. The first of equal maxima takes the gradient.
    pub fn max_pool2d(&mut self, x: &Value, pool: Pool2d) -> Result<Value> {
        self.pool(x, pool, true)
    }

    /// Mean of each window: `[n, h, w, c]` to `[n, h', w', c]`.
    pub fn avg_pool2d(&mut self, x: &Value, pool: Pool2d) -> Result<Value> {
        self.pool(x, pool, false)
    }

    fn pool(&mut self, x: &Value, pool: Pool2d, max: bool) -> Result<Value> {
        let (n, h, w, c) = image_dims(x)?;
        let Pool2d { size, stride, padding } = pool;
        if size == 0 || stride == 0 || 2 * padding > size || size > h + 2 * padding || size > w + 2 * padding {
            bail!("{pool:?} of {:?}", x.dims())
        }
        if !self.has_kernel(&[x]) || x.len() == 0 {
            return self.candle(&[x], |t| match max {
                true => expressions::max_pool2d(&t[0], pool),
                false => expressions::avg_pool2d(&t[0], pool),
            });
        }
        let (simd, sizes) = (Simd::current(), pool::Sizes { h, w, c, pool });
        let forward = if max { pool::max_forward } else { pool::avg_forward };
        let y = forward(simd, sizes, &Floats::of(x.tensor())?);
        let y = tensor(y, (n, sizes.out_h(), sizes.out_w(), c))?;
        if !max {
            return self.unary(x, y, move |dy| Ok(pool::avg_backward(simd, sizes, &dy).into()));
        }
        let input = x.clone();
        self.unary(x, y, move |dy| Ok(pool::max_backward(simd, sizes, &Floats::of(input.tensor())?, &dy).into()))
    }

    /// Puts the result of an op with one input on the tape; `backward` takes the gradient of the result.
    fn unary(
        &mut self,
        x: &Value,
        y: Tensor,
        backward: impl FnOnce(Arc<Vec<f32>>) -> Result<Gradient> + 'static,
    ) -> Result<Value> {
        if !self.records(&[x]) {
            return Ok(self.constant(y));
        }
        let x = x.node;
        Ok(self.push(y, move |dy, gradients| {
            let dy = dy.floats()?;
            gradients.give(x, || backward(dy))
        }))
    }

    /// Mean over height and width: `[n, h, w, c]` to `[n, c]`.
    pub fn global_avg_pool(&mut self, x: &Value) -> Result<Value> {
        let (n, h, w, c) = image_dims(x)?;
        if !self.has_kernel(&[x]) || x.len() == 0 {
            return self.candle(&[x], |t| t[0].mean(2)?.mean(1));
        }
        let simd = Simd::current();
        let y = tensor(elementwise::mean_over_pixels(simd, &Floats::of(x.tensor())?, n, c), (n, c))?;
        self.unary(x, y, move |dy| Ok(elementwise::spread_over_pixels(simd, &dy, h * w, c).into()))
    }

    /// `activation(x)`.
    pub fn activate(&mut self, x: &Value, activation: Activation) -> Result<Value> {
        if activation == Activation::Identity {
            return Ok(x.clone());
        }
        if !self.has_kernel(&[x]) {
            return self.candle(&[x], |t| expressions::activate(t[0].clone(), activation));
        }
        let simd = Simd::current();
        let y = tensor(elementwise::map(simd, &Floats::of(x.tensor())?, elementwise::relu), x.dims())?;
        let result = y.clone();
        self.unary(x, y, move |dy| Ok(below_relu(simd, Some(&result), dy.into())?.into()))
    }

    /// `activation(a + b)`, of equal shape.
    pub fn add(&mut self, a: &Value, b: &Value, activation: Activation) -> Result<Value> {
        if a.dims() != b.dims() {
            bail!("cannot add {:?} and {:?}", a.dims(), b.dims())
        }
        if !self.has_kernel(&[a, b]) {
            return self.candle(&[a, b], |t| expressions::activate((&t[0] + &t[1])?, activation));
        }
        let simd = Simd::current();
        let relu = activation.is_relu();
        let y = {
            let (a, b) = (Floats::of(a.tensor())?, Floats::of(b.tensor())?);
            if relu {
                elementwise::zip(simd, &a, &b, |a, b| elementwise::relu(a + b))
            } else {
                elementwise::zip(simd, &a, &b, |a, b| a + b)
            }
        };
        let y = tensor(y, a.dims())?;
        if !self.records(&[a, b]) {
            return Ok(self.constant(y));
        }
        let (a, b, result) = (a.node, b.node, relu.then(|| y.clone()));
        Ok(self.push(y, move |dy, gradients| {
            let dy = Gradient::from(below_relu(simd, result.as_ref(), dy)?);
            gradients.give(a, || Ok(dy.clone()))?;
            gradients.give(b, || Ok(dy))
        }))
    }

    /// All but the first dimension as one: `[n, h, w, c]` to `[n, h w c]`.
    pub fn flatten(&mut self, x: &Value) -> Result<Value> {
        let y = x.tensor().flatten_from(1)?;
        if !self.records(&[x]) {
            return Ok(self.constant(y));
        }
        let (x, dims) = (x.node, x.dims().to_vec());
        Ok(self.push(y, move |dy, gradients| {
            gradients.give(x, || match dy {
                Gradient::Floats(_) => Ok(dy),
                Gradient::Tensor(dy) => Ok(dy.reshape(dims)?.into()),
            })
        }))
    }

    /// Channels of `a` followed by those of `b`.
    pub fn concat(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let (Some((a_c, a_rest)), Some((b_c, b_rest))) = (a.dims().split_last(), b.dims().split_last()) else {
            bail!("cannot join scalars")
        };
        if a_rest != b_rest {
            bail!("cannot join {:?} and {:?}", a.dims(), b.dims())
        }
        if !self.has_kernel(&[a, b]) || a.len() * b.len() == 0 {
            return self.candle(&[a, b], |t| expressions::concat(&t[0], &t[1]));
        }
        let dims: Vec<usize> = a_rest.iter().copied().chain([a_c + b_c]).collect();
        let joined = parts(a).into_iter().chain(parts(b)).collect();
        let source = Arc::new(Source::joined(Simd::current(), joined));
        let of_backward = Arc::clone(&source);
        Ok(self.push_late(source, dims, self.records(&[a, b]), move |dy, gradients| of_backward.split(dy, gradients)))
    }

    /// Sets each element to zero with probability `p` and scales the others by `1 / (1 - p)`. The identity unless the
    /// graph was given a dropout stream.
    pub fn dropout(&mut self, x: &Value, p: f32) -> Result<Value> {
        let Some(stream) = self.dropout.as_mut().filter(|_| p > 0.) else { return Ok(x.clone()) };
        let keep = 1. / (1. - p);
        let mask: Vec<f32> = (0..x.len()).map(|_| if stream.random::<f32>() < p { 0. } else { keep }).collect();
        if !self.has_kernel(&[x]) {
            let mask = Tensor::from_vec(mask, x.dims(), x.tensor().device())?.to_dtype(x.tensor().dtype())?;
            return self.candle(&[x], |t| &t[0] * &mask);
        }
        let simd = Simd::current();
        let y = tensor(elementwise::zip(simd, &Floats::of(x.tensor())?, &mask, |x, m| x * m), x.dims())?;
        self.unary(x, y, move |dy| Ok(elementwise::zip(simd, &dy, &mask, |dy, m| dy * m).into()))
    }
}

/// Dimensions of images, `[n, h, w, c]`.
fn image_dims(x: &Value) -> Result<(usize, usize, usize, usize)> {
    match x.dims() {
        &[n, h, w, c] => Ok((n, h, w, c)),
        dims => bail!("expected images as [n, h, w, c], found {dims:?}"),
    }
}

/// A value's parts side by side: those of a join, else the value itself.
fn parts(x: &Value) -> Vec<Arc<Part>> {
    match x.late() {
        Some(source) if !source.is_normalised() => source.parts().to_vec(),
        _ => vec![Part::new(x.tensor().clone(), x.node)],
    }
}

/// Calls `f` with what a convolution reads: the numbers, or what they are normalised from.
fn with_input<R>(x: &Value, f: impl FnOnce(convolution::Input) -> R) -> Result<R> {
    match x.late() {
        Some(source) if source.is_normalised() => source.with_input(f),
        _ => Ok(f(convolution::Input::Plain(&Floats::of(x.tensor())?))),
    }
}

/// The gradient of what a ReLU took, given that of its result `y`; without a ReLU the gradient as it is.
fn below_relu(simd: Simd, y: Option<&Tensor>, dy: Gradient) -> Result<Arc<Vec<f32>>> {
    let mut dy = dy.floats()?;
    if let Some(y) = y {
        let y = Floats::of(y)?;
        match Arc::get_mut(&mut dy) {
            Some(own) => elementwise::update_with(simd, own, &y, |dy, y| elementwise::relu_gradient(y, dy)),
            None => dy = Arc::new(elementwise::zip(simd, &y, &dy, elementwise::relu_gradient)),
        }
    }
    Ok(dy)
}
