//! The positive control: nearest neighbours on the same samples. One neighbour is the law's own mechanism, so the
//! scaled law must fit it; more neighbours vote and bend the line.

use retrial_core::Seed;
use retrial_core::experiment::{CellError, CellRun};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::memorise::Reading;
use crate::neighbours::Neighbours;
use crate::task::Task;

/// One k at one level; a row of `epochs.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// Noise ratio asked for.
    pub level: f64,
    /// Number of neighbours.
    pub k: usize,
    /// Share of wrong labels drawn for the training samples.
    pub realised: f64,
    /// m: agreement with the true held-out labels.
    pub clean_accuracy: f64,
    /// A as sampled.
    pub noisy_accuracy: f64,
    /// A as expected over the held-out noise.
    pub noisy_accuracy_expected: Option<f64>,
}

/// What remains of a nearest-neighbour cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// How labels were drawn.
    pub convention: String,
    /// Every k at every level.
    pub votes: Vec<Vote>,
}

/// Finds the neighbours once; only the labels change with the level.
pub fn train(config: &config::Neighbours, run: &mut CellRun) -> Result<Summary, CellError> {
    let seed = Seed(config.seed);
    let most = config.k.iter().copied().max().unwrap_or(1);
    let (mut found, mut votes, mut convention) = (None, vec![], String::new());
    run.expect_epochs(config.levels.len() * config.k.len());
    for &level in &config.levels {
        let task = Task::new(&config.task, &config.noise, level, seed, run)?;
        let neighbours = match &found {
            Some(neighbours) => neighbours,
            None => found.insert(
                Neighbours::find(&task.train.split.inputs, &task.held_out.split.inputs, most)
                    .map_err(CellError::other)?,
            ),
        };
        for &k in &config.k {
            let predictions = neighbours.vote(task.train.given(), task.classes, k).map_err(CellError::other)?;
            let reading = Reading::from_predictions(&task, &predictions, 0, 1.);
            let vote = Vote {
                level,
                k,
                realised: task.train.noisy.realised,
                clean_accuracy: reading.clean_accuracy,
                noisy_accuracy: reading.noisy_accuracy,
                noisy_accuracy_expected: reading.noisy_accuracy_expected,
            };
            run.epoch(&vote)?;
            votes.push(vote);
        }
        convention = task.convention.clone();
    }
    Ok(Summary { convention, votes })
}
