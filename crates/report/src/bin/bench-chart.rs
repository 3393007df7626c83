//! The chart of `results/bench`: training speed and memory, ours beside PyTorch's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use retrial_core::chart::{Axis, Figure, Layer, Panel};
use retrial_core::results::{Error, read_csv};
use serde::Deserialize;

/// Draws training speed and peak memory from the tables that `make bench` and `make bench-pytorch` write
#[derive(Parser)]
struct Arguments {
    /// Folder with speed.csv and, where PyTorch was run too, pytorch.csv
    #[arg(default_value = "results/bench")]
    folder: PathBuf,
}

/// A row of `speed.csv`.
#[derive(Deserialize)]
struct Speed {
    way: String,
    model: String,
    forward_ms: f64,
    backward_ms: f64,
    update_ms: f64,
}

/// A row of `pytorch.csv`.
#[derive(Deserialize)]
struct Ratio {
    model: String,
    threads: usize,
    rounds: usize,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
    ours_peak_mb: f64,
    pytorch_peak_mb: f64,
}

/// In the order in which they are shown.
const MODELS: [(&str, &str); 7] = [
    ("mlp", "MLP"),
    ("cnn", "small CNN"),
    ("resnet", "ResNet-18 / 4"),
    ("allcnn", "All-CNN"),
    ("wrn", "WRN-16-1"),
    ("densenet", "DenseNet-25"),
    ("lstm", "LSTM-128"),
];

fn main() -> ExitCode {
    let folder = Arguments::parse().folder;
    match draw(&folder) {
        Ok(()) => {
            println!("{}", folder.join("speed.png").display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(folder: &Path) -> Result<(), Error> {
    let speed: Vec<Speed> = read_csv(&folder.join("speed.csv"))?;
    let names = || MODELS.map(|(_, name)| name);
    let one = |model: &str| speed.iter().find(|row| row.model == model && row.way == "one thread");
    let part = |of: fn(&Speed) -> f64| MODELS.map(|(model, _)| one(model).map_or(f64::NAN, of));
    let mut figure = Figure::new("Does training on the CPU keep up with PyTorch?")
        .subtitle("SGD steps of 128 images (32 sequences for the LSTM), f32; PyTorch eager, the better of its layouts");
    let pytorch = folder.join("pytorch.csv");
    if pytorch.exists() {
        let ratios: Vec<Ratio> = read_csv(&pytorch)?;
        let rounds = ratios.iter().map(|r| r.rounds).min().unwrap_or(0);
        let mut panel = Panel::new()
            .title("images/s, ours over PyTorch's")
            .x(Axis::linear(&format!("ratio of medians, bars from least to most of {rounds} interleaved rounds")))
            .y(Axis::categories("", names()))
            .layer(Layer::vertical("as fast as PyTorch", 1.));
        for (threads, name) in [(1, "one thread"), (2, "two threads")] {
            let of = |(model, _): (&str, &str)| {
                let row = ratios.iter().find(|r| r.model == model && r.threads == threads);
                row.map_or((f64::NAN, f64::NAN, f64::NAN), |r| (r.ratio, r.ratio_min, r.ratio_max))
            };
            panel = panel.layer(Layer::forest(name, MODELS.map(of)));
        }
        let memory = |of: fn(&Ratio) -> f64| {
            MODELS.map(|(model, _)| {
                ratios.iter().find(|r| r.model == model && r.threads == 1).map_or(f64::NAN, |r| of(r) / 1000.)
            })
        };
        figure = figure.panel(panel).panel(
            Panel::new()
                .title("peak memory of the process")
                .x(Axis::linear("GB").from(0.))
                .y(Axis::categories("", names()))
                .layer(Layer::bars("ours", memory(|r| r.ours_peak_mb)))
                .layer(Layer::bars("PyTorch", memory(|r| r.pytorch_peak_mb))),
        );
    }
    figure = figure.panel(
        Panel::new()
            .title("where our time goes, one thread")
            .x(Axis::log("ms of a step"))
            .y(Axis::categories("", names()))
            .layer(Layer::bars("forward", part(|s| s.forward_ms)))
            .layer(Layer::bars("backward", part(|s| s.backward_ms)))
            .layer(Layer::bars("update", part(|s| s.update_ms))),
    );
    figure.columns(if pytorch.exists() { 3 } else { 1 }).save(&folder.join("speed"))?;
    Ok(())
}
