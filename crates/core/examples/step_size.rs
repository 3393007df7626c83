//! The smallest paper: gradient descent on `w²/2` with a noisy gradient settles if its step size is below 2 and
//! diverges above. It shows the shape that every paper has, and the tests of the runner run it as a binary, which is
//! why one of its experiments panics.
//!
//! ```text
//! cargo run --release --example step_size -- list
//! cargo run --release --example step_size
//! ```

use std::process::ExitCode;
use std::time::Duration;

use rand::RngExt;
use retrial_core::Seed;
use retrial_core::chart::Figure;
use retrial_core::cli::{self, Tool};
use retrial_core::experiment::{CellError, CellRun, Experiment, Paper, Profile};
use retrial_core::results::{Claim, Error, Results, Table, Verdict};
use serde::{Deserialize, Serialize};

/// A descent takes a while, as training does.
const PAUSE: Duration = Duration::from_millis(4);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    step_size: f64,
    seed: u64,
    epochs: u64,
    /// The epoch at which to panic, for the tests.
    panic_at: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    final_loss: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    epoch: u64,
    weight: f64,
    train_loss: f64,
}

struct StepSize;

impl Paper for StepSize {
    type Config = Config;
    type Summary = Summary;

    fn id(&self) -> &'static str {
        "step-size"
    }

    fn title(&self) -> &'static str {
        "Gradient descent on a parabola: which step sizes settle?"
    }

    fn protocol(&self) -> u32 {
        1
    }

    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
        let seeds = seeds.unwrap_or(if profile == Profile::Smoke { 1 } else { 3 }) as u64;
        let cells = |sizes: &[f64], epochs: u64| -> Vec<Config> {
            let with_seeds =
                |&step_size| (0..seeds).map(move |seed| Config { step_size, seed, epochs, panic_at: None });
            sizes.iter().flat_map(with_seeds).collect()
        };
        let experiment =
            |name: &str, question: &str, cells| Experiment { name: name.into(), question: question.into(), cells };
        let mut grid = vec![
            experiment("small", "Does it settle below 1?", cells(&[0.1, 0.5], 40)),
            // Shares its first cells with the experiment above.
            experiment("edge", "Does it settle right below 2?", cells(&[0.5, 1.9], 40)),
        ];
        if profile > Profile::Quick {
            grid.push(experiment("large", "Does it diverge above 2?", cells(&[4.0], 2000)));
            let broken = Config { step_size: 0.1, seed: 0, epochs: 10, panic_at: Some(3) };
            grid.push(experiment("broken", "Does a panic spare the other cells?", vec![broken]));
        }
        grid
    }

    fn cell_name(&self, config: &Config) -> String {
        format!("step-{}-seed{}", config.step_size, config.seed)
    }

    fn expected_seconds(&self, config: &Config) -> f64 {
        config.epochs as f64 * 1.2 * PAUSE.as_secs_f64()
    }

    fn train(&self, config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
        run.expect_epochs(config.epochs as usize);
        let (mut first, mut weight) = (0, 1.0);
        if let Some(saved) = run.resume()? {
            let saved: [u8; 16] = saved.try_into().map_err(|_| CellError::other("the checkpoint has not 16 bytes"))?;
            first = u64::from_le_bytes(saved[..8].try_into().map_err(CellError::other)?) + 1;
            weight = f64::from_le_bytes(saved[8..].try_into().map_err(CellError::other)?);
        }
        for epoch in first..config.epochs {
            if config.panic_at == Some(epoch) {
                panic!("told to panic at epoch {epoch}");
            }
            let noise: f64 = Seed(config.seed).stream_at("gradient", epoch).random_range(-0.1..0.1);
            weight -= config.step_size * (weight + noise);
            let train_loss = weight * weight / 2.0;
            if !train_loss.is_finite() {
                return Err(CellError::Diverged { step: epoch, what: format!("the loss is {train_loss}") });
            }
            run.epoch(&Row { epoch, weight, train_loss })?;
            if run.checkpoint_due() {
                run.save_checkpoint(&[epoch.to_le_bytes(), weight.to_le_bytes()].concat())?;
            }
            if config.epochs < 100 {
                std::thread::sleep(PAUSE);
            }
        }
        let final_loss = weight * weight / 2.0;
        run.table("final", &[Summary { final_loss }])?;
        Ok(Summary { final_loss })
    }

    fn tables(&self, results: &Results<Self>) -> Result<Vec<Table>, Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            cell: &'a str,
            step_size: f64,
            final_loss: f64,
            worst_loss: f64,
        }
        let mut lines = vec![];
        for cell in results.finished("small").iter().chain(results.finished("edge")) {
            let losses = cell.epochs::<Row>()?.into_iter().map(|row| row.train_loss);
            let worst_loss = losses.fold(0.0, f64::max);
            let final_loss = cell.table::<Summary>("final")?[0].final_loss;
            lines.push(Line { cell: &cell.id, step_size: cell.config.step_size, final_loss, worst_loss });
        }
        Ok(vec![Table::from_rows("losses", &lines)?])
    }

    fn figures(&self, _: &Results<Self>) -> Result<Vec<(String, Figure)>, Error> {
        Ok(vec![])
    }

    fn claims(&self, results: &Results<Self>) -> Result<Vec<Claim>, Error> {
        let cells: Vec<_> = results.finished("small").iter().chain(results.finished("edge")).collect();
        let worst = cells.iter().map(|c| c.summary.final_loss).fold(0.0, f64::max);
        let large = results.experiment("large").map(|e| e.counts()).unwrap_or_default();
        let claim = |id: &str, statement: &str, verdict| Claim {
            id: id.into(),
            statement: statement.into(),
            where_in_paper: "Theorem 1".into(),
            verdict,
            estimate: None,
            interval: None,
            threshold: String::new(),
            seeds: 0,
            scope: format!("one weight, profile {}", results.profile),
            reported: String::new(),
            reason: String::new(),
        };
        let settles = Claim {
            estimate: Some(worst),
            threshold: "largest final loss < 1".into(),
            seeds: cells.len(),
            reported: "0".into(),
            reason: format!("The largest final loss is {worst:.3}."),
            ..claim("SS1", "Below 2 it settles", if worst < 1.0 { Verdict::Supported } else { Verdict::Refuted })
        };
        let verdict = match (large.finished, large.diverged) {
            (0, 0) => Verdict::NotTested("No cell of the experiment `large` has been trained.".into()),
            (0, _) => Verdict::Supported,
            _ => Verdict::Refuted,
        };
        Ok(vec![settles, Claim { seeds: large.diverged, ..claim("SS2", "Above 2 it diverges", verdict) }])
    }
}

/// The user's own numbers.
#[derive(clap::Args)]
struct Predict {
    /// Step size
    step_size: f64,
}

fn main() -> ExitCode {
    let predict = Tool::new("predict", "Say whether a step size settles", |arguments: Predict| {
        if !arguments.step_size.is_finite() {
            return Err(format!("step size {}: must be a finite number", arguments.step_size).into());
        }
        println!("{}", if (0.0..2.0).contains(&arguments.step_size) { "settles" } else { "diverges" });
        Ok(())
    });
    cli::main(StepSize, vec![predict])
}
