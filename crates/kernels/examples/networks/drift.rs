//! How far trainings of one network that differ by rounding alone drift apart.

use std::fmt::Write;

use candle_core::{D, DType, Device, Result, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrial_kernels::{Graph, Simd};

use super::{Training, samples};

/// The columns of [`compare`]'s rows.
pub const HEADER: &str = "model,batch,step,loss,drift_f32_expressions,drift_nudged,drift_kernels,\
                      drift_kernels_scalar,loss_difference_f32_expressions,loss_difference_kernels,explained\n";

/// How much more than f32 expressions the kernels may drift: two roundings of one size take different ways.
const ALLOWED: f64 = 3.;

/// Batches that the training goes round: few enough to be learnt, more than one.
const BATCHES: usize = 8;

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
    let mut at = vec![];
    for step in 1..=looks.iter().copied().max().unwrap_or(0) {
        let (x, targets) = &batches[(step - 1) % BATCHES];
        let loss = match way {
            Way::Nudged => nudged_step(&mut training, graph(), x, targets, &mut random)?,
            _ => training.step(graph(), x, targets)?.loss,
        };
        if looks.contains(&step) {
            at.push((loss, training.parameters.flat()?));
        }
    }
    Ok(Run { start, at })
}

/// A step whose gradient is taken not where the parameters are but a rounding away.
///
/// A sum of `n` products in f32 is off by about `sqrt(n)` roundings of its terms (Higham 2002, section 2.8), so each
/// weight is off by up to that, `n` being the inputs that are summed over.
fn nudged_step(
    training: &mut Training,
    graph: Graph,
    x: &Tensor,
    targets: &Tensor,
    random: &mut ChaCha8Rng,
) -> Result<f64> {
    let exact =
        training.parameters.vars.iter().map(|var| var.as_detached_tensor().copy()).collect::<Result<Vec<_>>>()?;
    for (var, exact) in training.parameters.vars.iter().zip(&exact) {
        let terms = if var.rank() > 1 { var.elem_count() / var.dim(D::Minus1)? } else { 1 };
        let most = f64::from(f32::EPSILON) / 2. * (terms as f64).sqrt();
        let factors: Vec<f64> = (0..var.elem_count()).map(|_| 1. + random.random_range(-most..most)).collect();
        var.set(&(exact * Tensor::from_vec(factors, var.dims(), &Device::Cpu)?)?)?;
    }
    let (step, gradients) = training.gradients(graph, x, targets)?;
    for (var, exact) in training.parameters.vars.iter().zip(&exact) {
        var.set(exact)?;
    }
    training.update(gradients)?;
    Ok(step.loss)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The rows of a model, and whether all of its drift is explained.
pub fn compare(model: &str, batch: usize, looks: &[usize]) -> Result<(String, bool)> {
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
    // Drift comes in jumps, where rounding shuts a ReLU or opens it: what has been seen up to a step counts.
    let (mut explicable, mut seen) = (0f64, 0f64);
    for (i, step) in looks.iter().enumerate() {
        let (loss, reference) = &exact.at[i];
        let moved = distance(reference, &exact.start);
        let drift = |run: &Run| distance(&run.at[i].1, reference) / moved;
        let (single_drift, nudged_drift) = (drift(&single), drift(&nudged));
        let (fastest_drift, scalar_drift) = (drift(&fastest), drift(&scalar));
        explicable = explicable.max(single_drift).max(nudged_drift);
        seen = seen.max(fastest_drift).max(scalar_drift);
        // Not a number is not explained.
        let explained = seen <= ALLOWED * explicable && fastest_drift.is_finite() && scalar_drift.is_finite();
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
