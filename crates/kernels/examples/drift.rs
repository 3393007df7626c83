//! Do the kernels train the same network as plain candle ops, up to the rounding of f32? `drift [MODEL ...] [--steps N]
//! [--batch N] [--out FILE]`.
//!
//! From one start and on the same batches each network is trained five times: by candle expressions in f64 (the
//! reference), by candle expressions in f32, by the kernels on the fastest instruction set and on plain Rust (another
//! order of sums), and in f64 with gradients taken a rounding to f32 away from the parameters. The distance of the
//! parameters from the reference, relative to how far the reference has moved, is the drift. What rounding explains is
//! what expressions in f32 or the nudged gradients show: the kernels pass if theirs is never more than three times the
//! larger of the two.

mod networks;

use candle_core::Result;
use networks::MODELS;
use networks::drift::{HEADER, compare};

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
