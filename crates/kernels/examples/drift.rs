//! Do the kernels train the same network as plain candle ops, up to the rounding of f32? `drift [MODEL ...] [--steps N]
//! [--batch N] [--out FILE]`.
//!
//! From one start and on the same batches each network is trained five times: by candle expressions in f64 (the
//! reference), by candle expressions in f32, by the kernels on the fastest instruction set and on plain Rust (another
//! order of sums), and in f64 from a start that is off by one rounding to f32. The distance of the parameters from the
//! reference, relative to how far the reference has moved, is the drift. What rounding explains is what expressions in
//! f32 or the nudged start show: the kernels pass if theirs is never more than `ALLOWED` times the larger of the two.

mod networks;

use std::fmt::Write;

use candle_core::{DType, Device, Result, Tensor, Var};
use networks::{MODELS, Training, samples};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{Graph, Simd};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much more than f32 expressions the kernels may drift: two roundings of one size take different ways.
const ALLOWED: f64 = 3.;

/// Batches that the training goes round: few enough to be learnt, more than one.
const BATCHES: usize = 8;

const HEADER: &str = "model,batch,step,loss,drift_f32_expressions,drift_nudged_start,drift_kernels,\
                      drift_kernels_scalar,loss_difference_f32_expressions,loss_difference_kernels,explained\n";

/// The way a network is trained.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Exact,
    Nudged,
    Expressions,
    Kernels(Simd),
}

/// Loss and parameters at the steps that are looked at.
struct Run {
    start: Vec<f64>,
    at: Vec<(f64, Vec<f64>)>,
}

fn train(model: &str, way: Way, batch: usize, looks: &[usize]) -> Result<Run> {
    let dtype = if matches!(way, Way::Exact | Way::Nudged) { DType::F64 } else { DType::F32 };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let x = samples(model, batch, dtype, &mut random)?;
        let classes: Vec<u32> = (0..batch).map(|_| random.random_range(0..10)).collect();
        batches.push((x, Tensor::from_vec(classes, batch, &Device::Cpu)?));
    }
    let graph = || match way {
        Way::Kernels(_) => Graph::training(),
        _ => Graph::training().with_expressions(),
    };
    let mut training = Training::new(model, dtype);
    // A step of no length makes the parameters.
    let sgd = training.sgd;
    training.sgd.rate = 0.;
    training.sgd.momentum = 0.;
    training.step(graph(), &batches[0].0, &batches[0].1)?;
    training.sgd = sgd;
    let start = training.parameters.flat()?;
    if way == Way::Nudged {
        for var in &training.parameters.vars {
            nudge(var, &mut random)?;
        }
    }
    let mut at = vec![];
    for step in 1..=looks.iter().copied().max().unwrap_or(0) {
        let (x, targets) = &batches[(step - 1) % BATCHES];
        let took = training.step(graph(), x, targets)?;
        if looks.contains(&step) {
            at.push((took.loss, training.parameters.flat()?));
        }
    }
    Ok(Run { start, at })
}

/// Moves each number by as much as rounding it to f32 would at most.
fn nudge(var: &Var, random: &mut ChaCha8Rng) -> Result<()> {
    let half = f64::from(f32::EPSILON) / 2.;
    let factors: Vec<f64> = (0..var.elem_count()).map(|_| 1. + random.random_range(-half..half)).collect();
    var.set(&(var.as_detached_tensor() * Tensor::from_vec(factors, var.dims(), &Device::Cpu)?)?)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The rows of a model, and whether all of its drift is explained.
fn compare(model: &str, batch: usize, looks: &[usize]) -> Result<(String, bool)> {
    let run = |way| match way {
        Way::Kernels(simd) => simd.force(|| train(model, way, batch, looks)),
        _ => train(model, way, batch, looks),
    };
    let exact = run(Way::Exact)?;
    let single = run(Way::Expressions)?;
    let nudged = run(Way::Nudged)?;
    let fastest = run(Way::Kernels(Simd::current()))?;
    let scalar = run(Way::Kernels(Simd::Scalar))?;
    let (mut rows, mut all) = (String::new(), true);
    for (i, step) in looks.iter().enumerate() {
        let (loss, reference) = &exact.at[i];
        let moved = distance(reference, &exact.start);
        let drift = |run: &Run| distance(&run.at[i].1, reference) / moved;
        let (single_drift, nudged_drift) = (drift(&single), drift(&nudged));
        let (fastest_drift, scalar_drift) = (drift(&fastest), drift(&scalar));
        // Not a number is not explained.
        let explained = fastest_drift.max(scalar_drift) <= ALLOWED * single_drift.max(nudged_drift);
        let explained = explained && fastest_drift.is_finite() && scalar_drift.is_finite();
        all &= explained;
        let apart = |run: &Run| (run.at[i].0 - loss).abs();
        writeln!(
            rows,
            "{model},{batch},{step},{loss:.6},{single_drift:.3e},{nudged_drift:.3e},{fastest_drift:.3e},\
             {scalar_drift:.3e},{:.3e},{:.3e},{explained}",
            apart(&single),
            apart(&fastest),
        )
        .expect("a string takes it");
    }
    Ok((rows, all))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut models, mut steps, mut batch, mut out) = (vec![], 200, 8, None);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{argument} N"));
        match argument.as_str() {
            "--steps" => steps = number(),
            "--batch" => batch = number(),
            "--out" => out = Some(arguments.next().expect("--out FILE")),
            _ => models.push(argument),
        }
    }
    if models.is_empty() {
        models = MODELS.map(str::to_owned).to_vec();
    }
    let looks: Vec<usize> = [1, 10, 50, 100, 150].into_iter().filter(|s| *s < steps).chain([steps]).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let (mut table, mut all) = (HEADER.to_owned(), true);
    // Rows of models that are not asked for stay.
    if let Some(known) = out.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) {
        let keep = |line: &&str| !models.iter().any(|m| line.split(',').next() == Some(m));
        known.lines().skip(1).filter(keep).for_each(|line| table += &format!("{line}\n"));
    }
    print!("{HEADER}");
    for model in &models {
        let (rows, explained) = pool.install(|| compare(model, batch, &looks))?;
        print!("{rows}");
        table += &rows;
        all &= explained;
        if let Some(path) = &out {
            std::fs::write(path, &table)?;
        }
    }
    if !all {
        eprintln!("error: some drift is more than rounding explains");
        std::process::exit(1);
    }
    Ok(())
}
