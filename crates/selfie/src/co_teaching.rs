//! Co-teaching (Han et al. 2018) as the paper's authors coded it: both networks see the same batches, and each trains on
//! the samples that the other finds easy.

use retrial_core::Seed;
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::train::Checkpoint;
use retrial_core::train::co_teaching::{forget_rate, small_loss};

use crate::config::Config;
use crate::refurbish::small_loss_count;
use crate::task::{Task, batch, batches};
use crate::train::{Epoch, Learner, Progress, Sums, Targets, fitted, rows_of};

/// Names of the two networks in checkpoints.
const NAMES: [&str; 2] = ["first", "second"];

/// What each network trains on: the `keep` samples that the other one finds easiest, in the order of the batch.
fn exchanged(losses: [&[f32]; 2], keep: usize) -> [Vec<usize>; 2] {
    let [first, second] = losses.map(|losses| {
        let mut easy = small_loss(losses, keep);
        easy.sort_unstable();
        easy
    });
    [second, first]
}

/// Trains both networks. The first starts as every other method's network does.
pub(crate) fn train(config: &Config, ramp: u64, task: &Task, run: &mut CellRun) -> Result<Vec<Epoch>, CellError> {
    let device = run.device().clone();
    let seed = Seed(config.seed);
    let mut pair = [
        Learner::new(config, task, seed, &device)?,
        Learner::new(config, task, seed.derive("co-teaching/second"), &device)?,
    ];
    let mut progress = Progress::default();
    if let Some(bytes) = run.resume()? {
        let saved = Checkpoint::from_bytes(&bytes).map_err(CellError::other)?;
        progress = serde_json::from_value(saved.extra().clone()).map_err(CellError::other)?;
        for (name, learner) in NAMES.into_iter().zip(&mut pair) {
            saved.restore_part(name, &learner.model, &mut learner.optimiser).map_err(CellError::other)?;
        }
    }
    run.expect_epochs(config.epochs);
    for epoch in progress.rows.len()..config.epochs {
        let rate = config.schedule.rate(epoch as f64);
        let forget = forget_rate(config.level, epoch as u64, ramp);
        let mut masks = NAMES.map(|_| vec![]);
        for (learner, masks) in pair.iter().zip(&mut masks) {
            masks.extend([learner.masks("selection/dropout", epoch), learner.masks("dropout", epoch)]);
        }
        let mut sums = Sums::default();
        let drawn = batches(config.draw, task.len(), config.batch, seed, epoch);
        let steps = drawn.len();
        for (i, samples) in drawn.into_iter().enumerate() {
            let x = batch(&task.train, &samples, &device)?;
            let given = task.given(&samples);
            let keep = small_loss_count(samples.len(), forget);
            let first = pair[0].look(&x, &given, &mut masks[0][0])?;
            let second = pair[1].look(&x, &given, &mut masks[1][0])?;
            let chosen = exchanged([&first.losses, &second.losses], keep);
            for ((learner, masks), rows) in pair.iter_mut().zip(&mut masks).zip(chosen) {
                let labels: Vec<u32> = rows.iter().map(|&row| given[row]).collect();
                let targets = Targets { divisor: labels.len(), rows: Some(rows), labels, weights: None };
                sums.batch(task, &samples, &targets, 0);
                if targets.labels.is_empty() {
                    continue;
                }
                let x = rows_of(&x, targets.rows.as_deref())?;
                let (loss, _) = learner.step(&x, &targets, rate, &mut masks[1], epoch * steps + i)?;
                sums.loss += loss * targets.divisor as f64;
            }
        }
        let mut row = Epoch { run: 1, epoch: epoch + 1, in_r: None, ..sums.row() };
        let mean = |read: &dyn Fn(&Learner) -> Result<Option<f64>, CellError>| -> Result<Option<f64>, CellError> {
            let [first, second] = [read(&pair[0])?, read(&pair[1])?];
            Ok(first.zip(second).map(|(first, second)| (first + second) / 2.))
        };
        row.test_error = mean(&|learner| learner.error(&task.test))?.unwrap_or(1.);
        row.validation_error = mean(&|learner| learner.error(&task.validation))?;
        if row.epoch == config.warm_up || row.epoch == config.epochs {
            row.train_accuracy = mean(&|learner| Ok(fitted(learner, task)?.0))?;
            row.wrong_fitted = mean(&|learner| Ok(fitted(learner, task)?.1))?;
        }
        run.epoch(&row)?;
        progress.rows.push(row);
        if run.checkpoint_due() {
            let extra = serde_json::to_value(&progress).map_err(CellError::other)?;
            let mut saved = Checkpoint::new(progress.rows.len() as u64, extra);
            for (name, learner) in NAMES.into_iter().zip(&pair) {
                saved = saved.with(name, &learner.model, &learner.optimiser).map_err(CellError::other)?;
            }
            run.save_checkpoint(&saved.to_bytes().map_err(CellError::other)?)?;
        }
    }
    Ok(progress.rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trains_on_what_the_other_finds_easy() {
        let [first, second] = exchanged([&[0.9, 0.1, 0.8, 0.2], &[0.1, 0.9, 0.7, 0.2]], 2);
        assert_eq!((first, second), (vec![0, 3], vec![1, 3]));
    }
}
