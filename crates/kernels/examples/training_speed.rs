//! How fast networks train: `training_speed MODEL [--threads N] [--steps N] [--batch N]` prints one line of CSV, medians
//! over the steps of a run on random images and the memory at its peak. `training_speed --table FILE` runs every model,
//! on one and on two threads and as two processes side by side, each in a process of its own, and writes a table.

mod networks;

use std::process::{Child, Command, Stdio};

use candle_core::{DType, Device, Result, Tensor};
use networks::{MODELS, Training, median, page_faults, peak_megabytes, samples};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{Graph, Simd};

const HEADER: &str = "model,threads,batch,images_per_second,step_ms,forward_ms,backward_ms,update_ms,peak_mb,\
                      faults_per_step,parameters,loss";

fn run(model: &str, steps: usize, batch: usize, threads: usize) -> Result<()> {
    const WARM_UP: usize = 3;
    let mut training = Training::new(model, DType::F32);
    let x = samples(model, batch, DType::F32, &mut ChaCha8Rng::seed_from_u64(1))?;
    let targets = Tensor::from_vec((0..batch as u32).map(|i| i % 10).collect::<Vec<_>>(), batch, &Device::Cpu)?;
    let (mut total, mut forward, mut backward, mut update) = (vec![], vec![], vec![], vec![]);
    let (mut loss, mut faults) = (0., 0.);
    for step in 0..WARM_UP + steps {
        if step == WARM_UP {
            faults = page_faults();
        }
        let took = training.step(Graph::training(), &x, &targets)?;
        loss = took.loss;
        if step >= WARM_UP {
            total.push((took.forward + took.backward + took.update).as_secs_f64());
            forward.push(took.forward.as_secs_f64());
            backward.push(took.backward.as_secs_f64());
            update.push(took.update.as_secs_f64());
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
        training.parameters.count(),
    );
    Ok(())
}

/// The processor by its name, without commas.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).replace(',', " ")
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
    let (processor, simd) = (processor(), Simd::current());
    let row = |way: &str, line: String| format!("{way},{line},{processor},{simd:?}\n");
    let mut rows = format!("way,{HEADER},processor,instructions\n");
    for model in MODELS {
        for (way, threads) in [("one thread", 1), ("two threads", 2)] {
            rows += &row(way, line(start(model, threads)?)?);
        }
        // Both rows stay: each process's own speed while the other runs.
        let pair = [start(model, 1)?, start(model, 1)?];
        for child in pair {
            rows += &row("side by side", line(child)?);
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
