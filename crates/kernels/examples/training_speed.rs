//! How fast networks train: `training_speed MODEL [--threads N] [--steps N] [--batch N]` prints one line of CSV, medians
//! over the steps of a run on random images and the memory at its peak. `training_speed --table FILE` runs every model,
//! on one and on two threads and as two processes side by side, each in a process of its own, and writes a table.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{Activation, Conv2d, Graph, Pool2d, RunningStatistics, Sgd, Value, softmax_cross_entropy};

use Activation::{Identity, Relu};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MODELS: [&str; 7] = ["mlp", "cnn", "resnet", "allcnn", "wrn", "densenet", "lstm"];
const HEADER: &str = "model,threads,batch,images_per_second,step_ms,forward_ms,backward_ms,update_ms,peak_mb,\
                      faults_per_step,parameters,loss";

/// Parameters in the order in which the first forward pass asks for them.
struct Parameters {
    random: ChaCha8Rng,
    vars: Vec<Var>,
    running: Vec<RunningStatistics>,
    next: usize,
    next_norm: usize,
}

impl Parameters {
    fn get(&mut self, dims: &[usize], spread: f32) -> Result<Var> {
        if self.next == self.vars.len() {
            let n = dims.iter().product();
            // Uniform with the deviation asked for, around 0 for weights and 1 for the scale of norms.
            let centre = if spread == 0. { 1. } else { 0. };
            let width = spread * 3f32.sqrt();
            let draw = |random: &mut ChaCha8Rng| centre + width * (2. * random.random::<f32>() - 1.);
            let data: Vec<f32> = (0..n).map(|_| draw(&mut self.random)).collect();
            self.vars.push(Var::from_tensor(&Tensor::from_vec(data, dims, &Device::Cpu)?)?);
        }
        self.next += 1;
        Ok(self.vars[self.next - 1].clone())
    }

    fn zeros(&mut self, n: usize) -> Result<Var> {
        self.get(&[n], 1e-9)
    }

    fn running(&mut self, n: usize) -> Result<RunningStatistics> {
        if self.next_norm == self.running.len() {
            let var = |v: f32| Var::from_tensor(&Tensor::full(v, n, &Device::Cpu)?);
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

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A number that Linux tells of this process; NaN elsewhere.
fn proc(file: &str, find: impl Fn(&str) -> Option<f64>) -> f64 {
    std::fs::read_to_string(file).ok().as_deref().and_then(find).unwrap_or(f64::NAN)
}

fn peak_megabytes() -> f64 {
    proc("/proc/self/status", |s| {
        let line = s.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.)
    })
}

fn page_faults() -> f64 {
    proc("/proc/self/stat", |s| s.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok())
}

fn run(model: &str, steps: usize, batch: usize, threads: usize) -> Result<()> {
    const WARM_UP: usize = 3;
    let mut parameters =
        Parameters { random: ChaCha8Rng::seed_from_u64(0), vars: vec![], running: vec![], next: 0, next_norm: 0 };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let dims: &[usize] = match model {
        "mlp" => &[batch, 784],
        "lstm" => &[batch, 784, 1],
        _ => &[batch, 32, 32, 3],
    };
    let pixels: Vec<f32> = (0..dims.iter().product()).map(|_| random.random_range(-1.7..1.7)).collect();
    let x = Tensor::from_vec(pixels, dims, &Device::Cpu)?;
    let targets = Tensor::from_vec((0..batch as u32).map(|i| i % 10).collect::<Vec<_>>(), batch, &Device::Cpu)?;
    let sgd = Sgd { rate: 0.01, momentum: 0.9, nesterov: false, weight_decay: 0. };
    let mut velocities: Vec<Option<Tensor>> = vec![];
    let (mut total, mut forward, mut backward, mut update) = (vec![], vec![], vec![], vec![]);
    let (mut loss, mut faults) = (0., 0.);
    for step in 0..WARM_UP + steps {
        if step == WARM_UP {
            faults = page_faults();
        }
        let start = Instant::now();
        (parameters.next, parameters.next_norm) = (0, 0);
        let mut pass = Pass { graph: Graph::training(), parameters: &mut parameters };
        let logits = pass.forward(model, &x)?;
        let mut graph = pass.graph;
        let mean = softmax_cross_entropy(&graph.output(&logits)?, &targets, None)?.mean_all()?;
        drop(logits);
        let ran = Instant::now();
        let gradients = graph.backward(&mean)?;
        let back = Instant::now();
        velocities.resize(parameters.vars.len(), None);
        for (var, velocity) in parameters.vars.iter().zip(&mut velocities) {
            if let Some(gradient) = gradients.get(var) {
                sgd.step(var, gradient, velocity)?;
            }
        }
        drop(gradients);
        loss = mean.to_scalar::<f32>()?;
        let end = Instant::now();
        if step >= WARM_UP {
            total.push((end - start).as_secs_f64());
            forward.push((ran - start).as_secs_f64());
            backward.push((back - ran).as_secs_f64());
            update.push((end - back).as_secs_f64());
        }
    }
    let faults = (page_faults() - faults) / steps as f64;
    let step = median(&mut total);
    println!(
        "{model},{threads},{batch},{:.1},{:.3},{:.3},{:.3},{:.3},{:.1},{faults:.0},{},{loss:.6}",
        batch as f64 / step,
        step * 1e3,
        median(&mut forward) * 1e3,
        median(&mut backward) * 1e3,
        median(&mut update) * 1e3,
        peak_megabytes(),
        parameters.vars.iter().map(|v| v.elem_count()).sum::<usize>(),
    );
    Ok(())
}

/// Runs itself for every model and way, and writes the table row by row.
fn table(path: &str, steps: Option<usize>) -> std::io::Result<()> {
    let this = std::env::current_exe()?;
    let start = |model: &str, threads: usize| -> std::io::Result<Child> {
        let steps = steps.unwrap_or(if model == "mlp" { 100 } else { 10 });
        let mut command = Command::new(&this);
        command.args([model, "--threads", &threads.to_string(), "--steps", &steps.to_string()]);
        command.stdout(Stdio::piped()).spawn()
    };
    let line = |child: Child| -> std::io::Result<String> {
        Ok(String::from_utf8_lossy(&child.wait_with_output()?.stdout).trim().to_owned())
    };
    let mut rows = format!("way,{HEADER}\n");
    for model in MODELS {
        for (way, threads) in [("one thread", 1), ("two threads", 2)] {
            rows += &format!("{way},{}\n", line(start(model, threads)?)?);
        }
        // Both rows stay: each process's own speed while the other runs.
        let pair = [start(model, 1)?, start(model, 1)?];
        for child in pair {
            rows += &format!("side by side,{}\n", line(child)?);
        }
        std::fs::write(path, &rows)?;
        eprintln!("{model} done");
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut model, mut steps, mut batch, mut threads) = (None, None, None, 1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{argument} N"));
        match argument.as_str() {
            "--steps" => steps = Some(number()),
            "--batch" => batch = Some(number()),
            "--threads" => threads = number(),
            "--table" => {
                let path = arguments.next().expect("--table FILE");
                return Ok(table(&path, steps)?);
            }
            _ => model = Some(argument),
        }
    }
    let Some(model) = model else {
        println!("{HEADER}");
        return Ok(());
    };
    let batch = batch.unwrap_or(if model == "lstm" { 32 } else { 128 });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| run(&model, steps.unwrap_or(20), batch, threads))
}
