//! What a reading of the Fisher information costs: 500 probe images against one training pass over the same images, in turn.
//! `fisher_cost FILE` writes a CSV, a row for the small All-CNN of each profile; `RAYON_NUM_THREADS=1` as in a cell.

use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use critical_periods::fisher::Fisher;
use retrial_core::Seed;
use retrial_core::model::{Architecture, InputShape};
use retrial_core::train::{Optimiser, OptimiserConfig, cross_entropy};
use retrial_kernels::Graph;

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

const IMAGES: usize = 500;
const SIDE: usize = 16;
const ROUNDS: usize = 9;
/// Profile, width, images in a training batch, images in a batch of the probe: as in `experiments.rs`.
const PROFILES: [(&str, usize, usize, usize); 2] = [("quick", 8, 25, 10), ("standard", 16, 32, 5)];

fn row((profile, width, batch, probe): (&str, usize, usize, usize)) -> Result<String> {
    let shape = InputShape::Image { channels: 3, height: SIDE, width: SIDE };
    let model = Architecture::AllCnn { width }.build(&shape, 10, Seed(0), &Device::Cpu)?;
    let mut optimiser = Optimiser::new(OptimiserConfig::sgd(0.9, 1e-3));
    let x = Tensor::randn(0f32, 1., (IMAGES, SIDE, SIDE, 3), &Device::Cpu)?;
    let labels: Vec<u32> = (0..IMAGES as u32).map(|i| i % 10).collect();
    let mut train = || -> Result<f64> {
        let start = Instant::now();
        for from in (0..IMAGES).step_by(batch) {
            let length = batch.min(IMAGES - from);
            let mut graph = Graph::training();
            let logits = model.forward(&mut graph, &x.narrow(0, from, length)?)?;
            let loss = cross_entropy(&graph.output(&logits)?, &labels[from..from + length])?.mean_all()?;
            optimiser.step(&model.parameters, &graph.backward(&loss)?, 1e-3)?;
        }
        Ok(start.elapsed().as_secs_f64())
    };
    let read = || -> Result<f64> {
        let mut stream = Seed(1).stream("labels");
        let start = Instant::now();
        Fisher::read(&model, IMAGES, probe, &mut stream, |range| x.narrow(0, range.start, range.len()))?;
        Ok(start.elapsed().as_secs_f64())
    };
    // Nothing is counted before both have run once.
    train()?;
    read()?;
    let mut pairs = (0..ROUNDS).map(|_| Ok((train()?, read()?))).collect::<Result<Vec<_>>>()?;
    pairs.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let ratio = |i: usize| pairs[i].1 / pairs[i].0;
    let (pass, reading) = pairs[ROUNDS / 2];
    Ok(format!(
        "{profile},{width},{IMAGES},{batch},{probe},{ROUNDS},{:.1},{:.1},{:.2},{:.2},{:.2}\n",
        pass * 1e3,
        reading * 1e3,
        ratio(ROUNDS / 2),
        ratio(0),
        ratio(ROUNDS - 1)
    ))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: fisher_cost FILE")?;
    let header = "profile,width,images,training_batch,probe_batch,rounds,training_pass_ms,reading_ms,ratio,ratio_min,ratio_max\n";
    let rows = PROFILES.into_iter().map(row).collect::<Result<String>>()?;
    std::fs::write(&path, format!("{header}{rows}")).map_err(|error| format!("{path}: {error}"))?;
    print!("{header}{rows}");
    Ok(())
}
