//! The networks that are measured, written once for every measurement.

#![allow(dead_code)] // Each measurement uses a part.

pub mod drift;

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{
    Activation, Conv2d, Gradients, Graph, Pool2d, RunningStatistics, Sgd, Value, softmax_cross_entropy,
};

use Activation::{Identity, Relu};

/// The allocator that the papers' binaries have.
#[cfg(feature = "allocator")]
#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

#[cfg(not(feature = "allocator"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub const MODELS: [&str; 7] = ["mlp", "cnn", "resnet", "allcnn", "wrn", "densenet", "lstm"];

/// Parameters in the order in which the first forward pass asks for them.
pub struct Parameters {
    dtype: DType,
    random: ChaCha8Rng,
    pub vars: Vec<Var>,
    running: Vec<RunningStatistics>,
    next: usize,
    next_norm: usize,
}

impl Parameters {
    pub fn new(dtype: DType) -> Self {
        let random = ChaCha8Rng::seed_from_u64(0);
        Self { dtype, random, vars: vec![], running: vec![], next: 0, next_norm: 0 }
    }

    /// The next pass asks from the first on again.
    pub fn rewind(&mut self) {
        (self.next, self.next_norm) = (0, 0);
    }

    pub fn count(&self) -> usize {
        self.vars.iter().map(|v| v.elem_count()).sum()
    }

    /// All of them in one row.
    pub fn flat(&self) -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(self.count());
        for var in &self.vars {
            all.extend(var.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        }
        Ok(all)
    }

    pub fn get(&mut self, dims: &[usize], spread: f32) -> Result<Var> {
        if self.next == self.vars.len() {
            let n = dims.iter().product();
            // Uniform with the deviation asked for, around 0 for weights and 1 for the scale of norms.
            let centre = if spread == 0. { 1. } else { 0. };
            let width = spread * 3f32.sqrt();
            let draw = |random: &mut ChaCha8Rng| centre + width * (2. * random.random::<f32>() - 1.);
            let data: Vec<f32> = (0..n).map(|_| draw(&mut self.random)).collect();
            let numbers = Tensor::from_vec(data, dims, &Device::Cpu)?.to_dtype(self.dtype)?;
            self.vars.push(Var::from_tensor(&numbers)?);
        }
        self.next += 1;
        Ok(self.vars[self.next - 1].clone())
    }

    pub fn zeros(&mut self, n: usize) -> Result<Var> {
        self.get(&[n], 1e-9)
    }

    pub fn running(&mut self, n: usize) -> Result<RunningStatistics> {
        if self.next_norm == self.running.len() {
            let var = |v: f32| Var::from_tensor(&Tensor::full(v, n, &Device::Cpu)?.to_dtype(self.dtype)?);
            self.running.push(RunningStatistics { mean: var(0.)?, variance: var(1.)?, momentum: 0.1 });
        }
        self.next_norm += 1;
        Ok(self.running[self.next_norm - 1].clone())
    }
}

/// A forward pass.
struct Pass<'a> {
    graph: Graph,
    parameters: &'a mut Parameters,
}

impl Pass<'_> {
    fn parameter(&mut self, dims: &[usize], spread: f32) -> Result<Value> {
        let var = self.parameters.get(dims, spread)?;
        Ok(self.graph.parameter(&var))
    }

    fn conv(&mut self, x: &Value, out: usize, size: usize, stride: usize) -> Result<Value> {
        let input = *x.dims().last().unwrap();
        let w = self.parameter(&[size, size, input, out], (2. / (size * size * input) as f32).sqrt())?;
        self.graph.conv2d(x, &w, None, Conv2d { stride, padding: size / 2 }, Identity)
    }

    fn conv_bias_relu(&mut self, x: &Value, out: usize, size: usize, stride: usize, padding: usize) -> Result<Value> {
        let input = *x.dims().last().unwrap();
        let w = self.parameter(&[size, size, input, out], (2. / (size * size * input) as f32).sqrt())?;
        let b = self.parameters.zeros(out)?;
        let b = self.graph.parameter(&b);
        self.graph.conv2d(x, &w, Some(&b), Conv2d { stride, padding }, Relu)
    }

    fn norm_relu(&mut self, x: &Value) -> Result<Value> {
        let c = *x.dims().last().unwrap();
        let gamma = self.parameter(&[c], 0.)?;
        let beta = self.parameters.zeros(c)?;
        let beta = self.graph.parameter(&beta);
        let running = self.parameters.running(c)?;
        self.graph.batch_norm(x, &gamma, &beta, &running, 1e-5, Relu)
    }

    fn linear(&mut self, x: &Value, out: usize, activation: Activation) -> Result<Value> {
        let input = *x.dims().last().unwrap();
        let w = self.parameter(&[input, out], (1. / input as f32).sqrt())?;
        let b = self.parameters.zeros(out)?;
        let b = self.graph.parameter(&b);
        self.graph.linear(x, &w, Some(&b), activation)
    }

    /// Pooled features to ten logits.
    fn head(&mut self, x: &Value) -> Result<Value> {
        let x = self.graph.global_avg_pool(x)?;
        self.linear(&x, 10, Identity)
    }

    fn mlp(&mut self, x: &Value) -> Result<Value> {
        let x = self.linear(x, 1024, Relu)?;
        let x = self.linear(&x, 1024, Relu)?;
        self.linear(&x, 10, Identity)
    }

    fn cnn(&mut self, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for (out, stride) in [(32, 1), (64, 2), (128, 2)] {
            x = self.conv(&x, out, 3, stride)?;
            x = self.norm_relu(&x)?;
        }
        self.head(&x)
    }

    /// Pre-activation residual network: groups of blocks of the given widths, the first of all but the first group
    /// halving the image.
    fn resnet(&mut self, x: &Value, widths: &[usize], blocks: usize) -> Result<Value> {
        let mut x = self.conv(x, 16, 3, 1)?;
        for (group, &width) in widths.iter().enumerate() {
            for block in 0..blocks {
                let stride = if group > 0 && block == 0 { 2 } else { 1 };
                let open = self.norm_relu(&x)?;
                let y = self.conv(&open, width, 3, stride)?;
                let y = self.norm_relu(&y)?;
                let y = self.conv(&y, width, 3, 1)?;
                let skip = if stride == 2 { self.conv(&open, width, 1, 2)? } else { x };
                x = self.graph.add(&y, &skip, Identity)?;
            }
        }
        let x = self.norm_relu(&x)?;
        self.head(&x)
    }

    fn all_cnn(&mut self, x: &Value) -> Result<Value> {
        let mut x = x.clone();
        for (out, size, stride, padding) in [
            (96, 3, 1, 1),
            (96, 3, 1, 1),
            (96, 3, 2, 1),
            (192, 3, 1, 1),
            (192, 3, 1, 1),
            (192, 3, 2, 1),
            (192, 3, 1, 0),
            (192, 1, 1, 0),
            (10, 1, 1, 0),
        ] {
            x = self.conv_bias_relu(&x, out, size, stride, padding)?;
        }
        self.graph.global_avg_pool(&x)
    }

    fn dense_net(&mut self, x: &Value) -> Result<Value> {
        let mut x = self.conv(x, 16, 3, 1)?;
        for block in 0..3 {
            for _ in 0..7 {
                let y = self.norm_relu(&x)?;
                let y = self.conv(&y, 12, 3, 1)?;
                x = self.graph.concat(&x, &y)?;
            }
            if block < 2 {
                let y = self.norm_relu(&x)?;
                let y = self.conv(&y, *x.dims().last().unwrap(), 1, 1)?;
                x = self.graph.avg_pool2d(&y, Pool2d { size: 2, stride: 2, padding: 0 })?;
            }
        }
        let x = self.norm_relu(&x)?;
        self.head(&x)
    }

    /// 128 units over the pixels, one a step.
    fn lstm(&mut self, x: &Value) -> Result<Value> {
        const HIDDEN: usize = 128;
        let w = self.parameter(&[1, 4 * HIDDEN], 0.06)?;
        let u = self.parameter(&[HIDDEN, 4 * HIDDEN], 0.06)?;
        let b = self.parameters.zeros(4 * HIDDEN)?;
        let b = self.graph.parameter(&b);
        let last = self.graph.lstm(x, &w, &u, &b)?;
        self.linear(&last, 10, Identity)
    }

    fn forward(&mut self, model: &str, x: &Tensor) -> Result<Value> {
        let x = self.graph.input(x);
        match model {
            "mlp" => self.mlp(&x),
            "cnn" => self.cnn(&x),
            "resnet" => self.resnet(&x, &[16, 32, 64, 128], 2),
            "wrn" => self.resnet(&x, &[16, 32, 64], 2),
            "allcnn" => self.all_cnn(&x),
            "densenet" => self.dense_net(&x),
            "lstm" => self.lstm(&x),
            _ => candle_core::bail!("no model {model}: {}", MODELS.join(", ")),
        }
    }
}

/// The shape of one sample of a network, channels last.
pub fn sample(model: &str) -> &'static [usize] {
    match model {
        "mlp" => &[784],
        "lstm" => &[784, 1],
        _ => &[32, 32, 3],
    }
}

/// Random samples, the same numbers whatever the type.
pub fn samples(model: &str, batch: usize, dtype: DType, random: &mut ChaCha8Rng) -> Result<Tensor> {
    let dims: Vec<usize> = [batch].into_iter().chain(sample(model).iter().copied()).collect();
    let pixels: Vec<f32> = (0..dims.iter().product()).map(|_| random.random_range(-1.7..1.7)).collect();
    Tensor::from_vec(pixels, dims, &Device::Cpu)?.to_dtype(dtype)
}

/// A network in training by SGD with momentum.
pub struct Training {
    model: String,
    pub parameters: Parameters,
    pub sgd: Sgd,
    velocities: Vec<Option<Tensor>>,
}

/// What a step took, and the loss before it.
pub struct Step {
    pub forward: Duration,
    pub backward: Duration,
    pub update: Duration,
    pub loss: f64,
}

impl Training {
    pub fn new(model: &str, dtype: DType) -> Self {
        let sgd = Sgd { rate: 0.01, momentum: 0.9, nesterov: false, weight_decay: 0. };
        Self { model: model.to_owned(), parameters: Parameters::new(dtype), sgd, velocities: vec![] }
    }

    /// One step in a new training graph.
    pub fn step(&mut self, graph: Graph, x: &Tensor, targets: &Tensor) -> Result<Step> {
        let (mut step, gradients) = self.gradients(graph, x, targets)?;
        let start = Instant::now();
        self.update(gradients)?;
        step.update = start.elapsed();
        Ok(step)
    }

    /// Loss and gradients of a batch.
    pub fn gradients(&mut self, graph: Graph, x: &Tensor, targets: &Tensor) -> Result<(Step, Gradients)> {
        let start = Instant::now();
        self.parameters.rewind();
        let mut pass = Pass { graph, parameters: &mut self.parameters };
        let logits = pass.forward(&self.model, x)?;
        let mut graph = pass.graph;
        let mean = softmax_cross_entropy(&graph.output(&logits)?, targets, None)?.mean_all()?;
        drop(logits);
        let loss = mean.to_dtype(DType::F64)?.to_scalar()?;
        let ran = Instant::now();
        let gradients = graph.backward(&mean)?;
        let step = Step { forward: ran - start, backward: ran.elapsed(), update: Duration::ZERO, loss };
        Ok((step, gradients))
    }

    /// Moves the parameters.
    pub fn update(&mut self, gradients: Gradients) -> Result<()> {
        self.velocities.resize(self.parameters.vars.len(), None);
        for (var, velocity) in self.parameters.vars.iter().zip(&mut self.velocities) {
            if let Some(gradient) = gradients.get(var) {
                self.sgd.step(var, gradient, velocity)?;
            }
        }
        Ok(())
    }
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A number that Linux tells of this process; NaN elsewhere.
fn proc(file: &str, find: impl Fn(&str) -> Option<f64>) -> f64 {
    std::fs::read_to_string(file).ok().as_deref().and_then(find).unwrap_or(f64::NAN)
}

/// The most memory that this process has held.
pub fn peak_megabytes() -> f64 {
    proc("/proc/self/status", |s| {
        let line = s.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.)
    })
}

pub fn page_faults() -> f64 {
    proc("/proc/self/stat", |s| s.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok())
}
