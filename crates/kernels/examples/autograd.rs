//! Does the tape earn its place? The same kernels as custom ops under candle's autograd, and on the tape: `autograd
//! [MODEL ...] [--threads N] [--rounds N] [--seconds S] [--out FILE]`.
//!
//! Both train one network from one start in one process with one allocator, a few steps in turn. Under autograd every
//! gradient starts as zeros that are added to, activations live until the backward pass is over, and what a kernel
//! computes must be in memory before the next one reads it: the tape may leave a batch norm to the convolution that reads
//! it. The ratio is milliseconds of a step under autograd over those on the tape; a tape that earns its place has 1.15.

#[allow(unsafe_code, dead_code)] // The kernels themselves: what they have in public runs on the tape.
#[path = "../src/cpu/mod.rs"]
mod cpu;
mod networks;

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, InplaceOp1, Layout, Result, Shape, Tensor, bail,
};
use cpu::convolution::{self, Input};
use cpu::memory::{Floats, tensor};
use cpu::norm::{self, Affine, Normal, Side, Target};
use cpu::{elementwise, linear, simd::Simd};
use networks::{Parameters, Training, median, peak_megabytes, samples};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{Conv2d, Graph, Pool2d, RunningStatistics, Sgd, softmax_cross_entropy};

const MODELS: [&str; 3] = ["mlp", "cnn", "resnet"];
const BATCH: usize = 128;
const HEADER: &str = "model,threads,batch,rounds,tape_ms,custom_ops_ms,ratio,ratio_min,ratio_max,tape_peak_mb,\
                      custom_ops_peak_mb\n";

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((start, end))) => Ok(&all[start..end]),
        _ => bail!("expected contiguous f32"),
    }
}

fn result(data: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(data), shape.into()))
}

/// The numbers of a gradient that candle lets go of after the op: taken, not copied.
fn take(gradient: &Tensor) -> Result<Vec<f32>> {
    struct Take(Mutex<Vec<f32>>);
    impl InplaceOp1 for Take {
        fn name(&self) -> &'static str {
            "take"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let (CpuStorage::F32(all), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
                bail!("expected a contiguous f32 gradient")
            };
            let whole = (start, end) == (0, all.len());
            *self.0.lock().expect("one thread") = if whole { std::mem::take(all) } else { all[start..end].to_vec() };
            Ok(())
        }
    }
    let taken = Take(Mutex::new(vec![]));
    gradient.contiguous()?.inplace_op1(&taken)?;
    Ok(taken.0.into_inner().expect("one thread"))
}

/// `x` by `w`, without bias or activation.
struct Convolution(Conv2d);

impl Convolution {
    fn sizes(&self, x: &Shape, w: &Shape) -> Result<convolution::Sizes> {
        let ((n, h, width, input), (kh, kw, _, output)) = (x.dims4()?, w.dims4()?);
        let Conv2d { stride, padding } = self.0;
        Ok(convolution::Sizes { n, h, w: width, input, kh, kw, output, stride, padding })
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let sizes = self.sizes(xl.shape(), wl.shape())?;
        let y = convolution::forward(Simd::current(), sizes, Input::Plain(floats(x, xl)?), floats(w, wl)?, None, false);
        result(y, (sizes.n, sizes.out_h(), sizes.out_w(), sizes.output))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let sizes = self.sizes(x.shape(), w.shape())?;
        let wanted = convolution::Wanted { input: x.track_op(), bias: false };
        let (xf, wf, dy) = (Floats::of(x)?, Floats::of(w)?, Floats::of(&dy)?);
        let found = convolution::backward(Simd::current(), sizes, Input::Plain(&xf), &wf, None, &dy, wanted);
        let input = found.input.map(|dx| tensor(dx, x.shape())).transpose()?;
        Ok((input, Some(tensor(found.weights, w.shape())?)))
    }
}

/// Batch norm and ReLU.
struct NormRelu {
    running: RunningStatistics,
    affine: Mutex<Option<Affine>>,
}

impl CustomOp3 for NormRelu {
    fn name(&self) -> &'static str {
        "norm-relu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        gamma: &CpuStorage,
        gl: &Layout,
        beta: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gamma, beta) = (floats(x, xl)?, floats(gamma, gl)?, floats(beta, bl)?);
        let (simd, channels) = (Simd::current(), gamma.len());
        let (mean, variance) = norm::moments(simd, x, channels);
        // As the tape moves them.
        let count = (x.len() / channels) as f64;
        let blend = |old: &candle_core::Var, new: Tensor| {
            let momentum = self.running.momentum;
            old.set(&((old.as_detached_tensor() * (1. - momentum))? + (new * momentum)?)?)
        };
        blend(&self.running.mean, tensor(mean.clone(), channels)?)?;
        blend(&self.running.variance, (tensor(variance.clone(), channels)? * (count / (count - 1.)))?)?;
        let affine = Affine::new(mean, &variance, gamma, beta, 1e-5, true);
        let y = Normal::new(&[Side { x, channels, first: 0 }], &affine).apply(simd);
        *self.affine.lock().expect("one thread") = Some(affine);
        result(y, xl.shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (simd, channels) = (Simd::current(), gamma.elem_count());
        let Some(affine) = self.affine.lock().expect("one thread").take() else { bail!("backward before forward") };
        let dy = take(dy)?;
        let xf = Floats::of(x)?;
        let sides = [Side { x: &xf, channels, first: 0 }];
        let normal = Normal::new(&sides, &affine);
        let found = normal.parameter_gradients(simd, &dy);
        let dx = normal.input_gradients(simd, &found, true, Arc::new(dy), vec![Target::New]).pop().flatten();
        let dx = dx.map(|dx| tensor(dx, x.shape())).transpose()?;
        Ok((dx, Some(tensor(found.gamma(), channels)?), Some(tensor(found.beta(), channels)?)))
    }
}

/// `x w + b`, perhaps with ReLU.
struct Linear {
    relu: bool,
}

fn linear_sizes(x: &Shape, w: &Shape) -> Result<linear::Sizes> {
    let ((n, input), (_, output)) = (x.dims2()?, w.dims2()?);
    Ok(linear::Sizes { n, input, output })
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = linear_sizes(xl.shape(), wl.shape())?;
        let (x, w, b) = (floats(x, xl)?, floats(w, wl)?, floats(b, bl)?);
        let y = linear::forward(Simd::current(), sizes, x, w, Some(b), self.relu);
        result(y, (sizes.n, sizes.output))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (simd, sizes) = (Simd::current(), linear_sizes(x.shape(), w.shape())?);
        let mut dy = take(dy)?;
        if self.relu {
            elementwise::update_with(simd, &mut dy, &Floats::of(y)?, |dy, y| elementwise::relu_gradient(y, dy));
        }
        let db = tensor(elementwise::column_sums(simd, &dy, sizes.output), b.shape())?;
        let dw = tensor(linear::weight_gradient(simd, sizes, &Floats::of(x)?, &dy), w.shape())?;
        let dx = match x.track_op() {
            true => Some(tensor(linear::input_gradient(simd, sizes, &Floats::of(w)?, &dy), x.shape())?),
            false => None,
        };
        Ok((dx, Some(dw), Some(db)))
    }
}

/// Sum of two branches.
struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, a: &CpuStorage, al: &Layout, b: &CpuStorage, bl: &Layout) -> Result<(CpuStorage, Shape)> {
        result(elementwise::zip(Simd::current(), floats(a, al)?, floats(b, bl)?, |a, b| a + b), al.shape())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(dy.clone()), Some(dy.clone())))
    }
}

/// Mean over the pixels.
struct Pool;

impl CustomOp1 for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, _, _, c) = xl.shape().dims4()?;
        result(elementwise::mean_over_pixels(Simd::current(), floats(x, xl)?, n, c), (n, c))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, h, w, c) = x.dims4()?;
        let dy = dy.contiguous()?;
        Ok(Some(tensor(elementwise::spread_over_pixels(Simd::current(), &Floats::of(&dy)?, h * w, c), x.shape())?))
    }
}

/// A network of custom ops; its parameters come in the order of [`networks::Pass`].
struct CustomOps<'a>(&'a mut Parameters);

impl CustomOps<'_> {
    fn parameter(&mut self, dims: &[usize], spread: f32) -> Result<Tensor> {
        Ok(self.0.get(dims, spread)?.as_tensor().clone())
    }

    fn conv(&mut self, x: &Tensor, out: usize, size: usize, stride: usize) -> Result<Tensor> {
        let input = x.dim(3)?;
        let w = self.parameter(&[size, size, input, out], (2. / (size * size * input) as f32).sqrt())?;
        x.apply_op2(&w, Convolution(Conv2d { stride, padding: size / 2 }))
    }

    fn norm_relu(&mut self, x: &Tensor) -> Result<Tensor> {
        let c = x.dim(3)?;
        let gamma = self.parameter(&[c], 0.)?;
        let beta = self.0.zeros(c)?.as_tensor().clone();
        let op = NormRelu { running: self.0.running(c)?, affine: Mutex::new(None) };
        x.apply_op3(&gamma, &beta, op)
    }

    fn linear(&mut self, x: &Tensor, out: usize, relu: bool) -> Result<Tensor> {
        let input = x.dim(1)?;
        let w = self.parameter(&[input, out], (1. / input as f32).sqrt())?;
        let b = self.0.zeros(out)?.as_tensor().clone();
        x.apply_op3(&w, &b, Linear { relu })
    }

    fn forward(&mut self, model: &str, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        match model {
            "mlp" => {
                x = self.linear(&x, 1024, true)?;
                x = self.linear(&x, 1024, true)?;
                return self.linear(&x, 10, false);
            }
            "cnn" => {
                for (out, stride) in [(32, 1), (64, 2), (128, 2)] {
                    x = self.conv(&x, out, 3, stride)?;
                    x = self.norm_relu(&x)?;
                }
            }
            "resnet" => {
                x = self.conv(&x, 16, 3, 1)?;
                for (group, width) in [16, 32, 64, 128].into_iter().enumerate() {
                    for block in 0..2 {
                        let stride = if group > 0 && block == 0 { 2 } else { 1 };
                        let open = self.norm_relu(&x)?;
                        let y = self.conv(&open, width, 3, stride)?;
                        let y = self.norm_relu(&y)?;
                        let y = self.conv(&y, width, 3, 1)?;
                        let skip = if stride == 2 { self.conv(&open, width, 1, 2)? } else { x };
                        x = y.apply_op2(&skip, Add)?;
                    }
                }
                x = self.norm_relu(&x)?;
            }
            _ => bail!("no model {model}: {}", MODELS.join(", ")),
        }
        let x = x.apply_op1(Pool)?;
        self.linear(&x, 10, false)
    }
}

/// One network, trained both ways.
struct Pair {
    model: String,
    x: Tensor,
    targets: Tensor,
    tape: Training,
    custom: (Parameters, Vec<Option<Tensor>>),
    sgd: Sgd,
}

impl Pair {
    fn new(model: &str) -> Result<Self> {
        let tape = Training::new(model, DType::F32);
        let classes: Vec<u32> = (0..BATCH as u32).map(|i| i % 10).collect();
        Ok(Self {
            model: model.to_owned(),
            x: samples(model, BATCH, DType::F32, &mut ChaCha8Rng::seed_from_u64(1))?,
            targets: Tensor::from_vec(classes, BATCH, &Device::Cpu)?,
            sgd: tape.sgd,
            tape,
            custom: (Parameters::new(DType::F32), vec![]),
        })
    }

    fn tape(&mut self) -> Result<f64> {
        Ok(self.tape.step(Graph::training(), &self.x, &self.targets)?.loss)
    }

    fn custom(&mut self) -> Result<f64> {
        let (parameters, velocities) = &mut self.custom;
        parameters.rewind();
        let logits = CustomOps(parameters).forward(&self.model, &self.x)?;
        let mean = softmax_cross_entropy(&logits, &self.targets, None)?.mean_all()?;
        drop(logits);
        let gradients = mean.backward()?;
        velocities.resize(parameters.vars.len(), None);
        for (var, velocity) in parameters.vars.iter().zip(velocities) {
            if let Some(gradient) = gradients.get(var) {
                self.sgd.step(var, gradient, velocity)?;
            }
        }
        Ok(f64::from(mean.to_scalar::<f32>()?))
    }

    /// Median seconds of some steps.
    fn time(&mut self, steps: usize, step: fn(&mut Self) -> Result<f64>) -> Result<f64> {
        let mut seconds = Vec::with_capacity(steps);
        for _ in 0..steps {
            let start = Instant::now();
            step(self)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(median(&mut seconds))
    }

    /// Whether they are the same network: parameters, and losses of the first steps.
    fn check(&mut self) -> Result<()> {
        for step in 0..4 {
            let (tape, custom) = (self.tape()?, self.custom()?);
            if (tape - custom).abs() > 1e-4 * tape.abs() {
                bail!("{}: in step {step} the loss is {tape} on the tape, {custom} under autograd", self.model)
            }
        }
        let (tape, custom) = (self.tape.parameters.count(), self.custom.0.count());
        if tape != custom {
            bail!("{}: {tape} parameters on the tape, {custom} under autograd", self.model)
        }
        Ok(())
    }
}

/// Peak of a process that only trains one way.
fn peak(model: &str, way: &str, threads: usize) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([model, "--threads", &threads.to_string(), "--peak", way]);
    let said = command.output()?.stdout;
    String::from_utf8_lossy(&said).trim().parse().map_err(candle_core::Error::wrap)
}

fn compare(model: &str, threads: usize, rounds: usize, seconds: f64) -> Result<String> {
    let mut pair = Pair::new(model)?;
    pair.check()?;
    let steps = ((seconds / pair.time(2, Pair::tape)?) as usize).max(2);
    let (mut tape, mut custom, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        // Whoever comes first in a round comes second in the next.
        let (a, b) = if round % 2 == 0 {
            let a = pair.time(steps, Pair::tape)?;
            (a, pair.time(steps, Pair::custom)?)
        } else {
            let b = pair.time(steps, Pair::custom)?;
            (pair.time(steps, Pair::tape)?, b)
        };
        tape.push(1e3 * a);
        custom.push(1e3 * b);
        ratios.push(b / a);
    }
    let (tape, custom, ratio) = (median(&mut tape), median(&mut custom), median(&mut ratios));
    Ok(format!(
        "{model},{threads},{BATCH},{rounds},{tape:.3},{custom:.3},{ratio:.3},{:.3},{:.3},{:.1},{:.1}\n",
        ratios[0],
        ratios[rounds - 1],
        peak(model, "tape", threads)?,
        peak(model, "custom", threads)?,
    ))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut models, mut threads, mut rounds, mut seconds) = (vec![], None, 7, 1.);
    let (mut out, mut alone) = (None, None);
    while let Some(argument) = arguments.next() {
        let mut text = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
        match argument.as_str() {
            "--threads" => threads = Some(text().parse().expect("--threads N")),
            "--rounds" => rounds = text().parse().expect("--rounds N"),
            "--seconds" => seconds = text().parse().expect("--seconds S"),
            "--out" => out = Some(text()),
            "--peak" => alone = Some(text()),
            _ => models.push(argument),
        }
    }
    if models.is_empty() {
        models = MODELS.map(str::to_owned).to_vec();
    }
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    if let Some(way) = alone {
        let step = if way == "tape" { Pair::tape } else { Pair::custom };
        pool(threads.unwrap_or(1)).install(|| Pair::new(&models[0])?.time(4, step))?;
        println!("{}", peak_megabytes());
        return Ok(());
    }
    let mut table = HEADER.to_owned();
    print!("{HEADER}");
    for threads in threads.map_or(vec![1, 2], |n| vec![n]) {
        for model in &models {
            let row = pool(threads).install(|| compare(model, threads, rounds, seconds))?;
            print!("{row}");
            table += &row;
            if let Some(path) = &out {
                std::fs::write(path, &table)?;
            }
        }
    }
    Ok(())
}
