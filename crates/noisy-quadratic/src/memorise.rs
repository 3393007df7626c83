//! The theory check: train a network on noisy labels, then ask how its predictions on unseen samples relate to the
//! noise. One run gives two readings: the last epoch, which the theory speaks of once the labels are memorised, and
//! the epoch with the best noisy validation accuracy, which it does not.

use candle_core::Device;
use retrial_core::Seed;
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::stats::auc;
use retrial_core::train::{Checkpoint, accuracy};
use serde::{Deserialize, Serialize};

use crate::config::{Memorise, Stop};
use crate::learner::Learner;
use crate::task::Task;

/// Training accuracy on the given labels from which on they count as memorised.
pub const MEMORISED: f64 = 0.999;
/// Epochs in a row that this accuracy must hold.
pub const MEMORISED_EPOCHS: usize = 3;

/// One row of `epochs.csv`. Accuracies are fractions; all training figures are taken on un-augmented samples in
/// inference mode.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean cross-entropy over the epoch's batches.
    pub loss: f64,
    /// Agreement with the given training labels.
    pub train_accuracy: f64,
    /// Agreement with the given labels where these are right.
    pub train_accuracy_right: f64,
    /// Agreement with the given labels where these are wrong.
    pub train_accuracy_wrong: Option<f64>,
    /// Area under the ROC curve of the training loss as a detector of wrong labels.
    pub loss_auc: Option<f64>,
    /// Agreement with the given labels of the validation samples.
    pub validation_noisy: Option<f64>,
    /// Agreement with the true labels of the validation samples.
    pub validation_clean: Option<f64>,
}

/// What a network's predictions on the held-out samples say, at one epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reading {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Agreement with the given training labels.
    pub train_accuracy: f64,
    /// m: agreement with the true held-out labels.
    pub clean_accuracy: f64,
    /// A as sampled: agreement with the given held-out labels.
    pub noisy_accuracy: f64,
    /// A as expected over the held-out noise, `mean of T[y, prediction]`; none where noise depends on the input.
    pub noisy_accuracy_expected: Option<f64>,
    /// LP: share of right labels among held-out samples whose given label is predicted.
    pub label_precision: Option<f64>,
    /// LR: share of rightly labelled held-out samples whose given label is predicted.
    pub label_recall: Option<f64>,
    /// Counts of held-out samples, `[true class][predicted class]`.
    pub confusion: Vec<Vec<u32>>,
}

impl Reading {
    /// Reads a network on the held-out samples.
    pub fn take(learner: &Learner, task: &Task, epoch: usize, train_accuracy: f64) -> Result<Self, CellError> {
        let held_out = &task.held_out;
        let predictions = learner.predict(task, held_out, &held_out.indices())?.predictions;
        Ok(Self::from_predictions(task, &predictions, epoch, train_accuracy))
    }

    /// The same from predictions already made (nearest neighbours).
    pub fn from_predictions(task: &Task, predictions: &[u32], epoch: usize, train_accuracy: f64) -> Self {
        let held_out = &task.held_out;
        let (truth, given) = (held_out.truth(), held_out.given());
        let mut confusion = vec![vec![0u32; task.classes]; task.classes];
        let (mut selected, mut selected_right, mut right) = (0u32, 0u32, 0u32);
        for ((&y, &g), &p) in truth.iter().zip(given).zip(predictions) {
            confusion[y as usize][p as usize] += 1;
            right += u32::from(g == y);
            selected += u32::from(p == g);
            selected_right += u32::from(p == g && g == y);
        }
        let share = |part: u32, whole: u32| (whole > 0).then(|| f64::from(part) / f64::from(whole));
        Self {
            epoch,
            train_accuracy,
            clean_accuracy: accuracy(predictions, truth),
            noisy_accuracy: accuracy(predictions, given),
            noisy_accuracy_expected: task
                .matrix
                .as_ref()
                .map(|t| t.expected_accuracy(truth, predictions).unwrap_or(f64::NAN)),
            label_precision: share(selected_right, selected),
            label_recall: share(selected_right, right),
            confusion,
        }
    }
}

/// What remains of a memorisation cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Whether the gate was passed: 99.9 % of the given training labels on three epochs running, at the end.
    pub memorised: bool,
    /// Epochs trained.
    pub epochs: usize,
    /// Share of wrong labels drawn for the training samples.
    pub realised_train: f64,
    /// Share of wrong labels drawn for the held-out samples.
    pub realised_held_out: f64,
    /// How labels were drawn.
    pub convention: String,
    /// The last epoch.
    pub last: Reading,
    /// The epoch with the best noisy validation accuracy; none without validation samples.
    pub best: Option<Reading>,
}

/// What training carries from epoch to epoch beside the weights.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SoFar {
    train_accuracy: f64,
    memorised_epochs: usize,
    best_validation: f64,
    best: Option<Reading>,
}

/// One held-out sample after the last epoch; a row of `predictions.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// True class.
    pub truth: u32,
    /// Class as labelled, with noise.
    pub given: u32,
    /// Class that the network says.
    pub predicted: u32,
}

/// Trains and reads one network.
pub fn train(config: &Memorise, run: &mut CellRun) -> Result<Summary, CellError> {
    let seed = Seed(config.seed);
    let task = Task::new(&config.task, &config.noise, config.level, seed, run)?;
    let device: Device = run.device().clone();
    let mut learner = Learner::new(&config.architecture, &config.optimiser, &task, seed, &device)?;
    let everything = task.train.indices();

    let (mut done, mut so_far) = (0, SoFar::default());
    if let Some(saved) = run.resume()? {
        let saved = Checkpoint::from_bytes(&saved).map_err(CellError::other)?;
        done = saved.restore(&learner.model, &mut learner.optimiser).map_err(CellError::other)? as usize;
        so_far = serde_json::from_value(saved.extra().clone()).map_err(CellError::other)?;
    }
    run.expect_epochs(config.epochs);
    while done < config.epochs {
        let rate = config.schedule.rate(done as f64);
        let loss = learner.epoch(&task, &everything, done, rate, config.batch, &config.augmentation)?;
        done += 1;

        let fitted = learner.predict(&task, &task.train, &everything)?;
        let wrong = &task.train.noisy.flipped;
        let hit = |among_wrong: bool| {
            let hits: Vec<bool> = (0..task.train.len())
                .filter(|&i| wrong[i] == among_wrong)
                .map(|i| fitted.predictions[i] == task.train.given()[i])
                .collect();
            (!hits.is_empty()).then(|| hits.iter().filter(|&&h| h).count() as f64 / hits.len() as f64)
        };
        let train_accuracy = accuracy(&fitted.predictions, task.train.given());
        let losses: Vec<f64> = fitted.losses.iter().map(|&loss| f64::from(loss)).collect();
        let mut row = Epoch {
            epoch: done,
            loss,
            train_accuracy,
            train_accuracy_right: hit(false).unwrap_or(f64::NAN),
            train_accuracy_wrong: hit(true),
            loss_auc: auc(&losses, wrong).ok(),
            validation_noisy: None,
            validation_clean: None,
        };
        if !task.validation.is_empty() {
            let seen = learner.predict(&task, &task.validation, &task.validation.indices())?.predictions;
            let noisy = accuracy(&seen, task.validation.given());
            row.validation_noisy = Some(noisy);
            row.validation_clean = Some(accuracy(&seen, task.validation.truth()));
            if so_far.best.is_none() || noisy > so_far.best_validation {
                so_far.best_validation = noisy;
                so_far.best = Some(Reading::take(&learner, &task, done, train_accuracy)?);
            }
        }
        run.epoch(&row)?;

        so_far.train_accuracy = train_accuracy;
        so_far.memorised_epochs = if train_accuracy >= MEMORISED { so_far.memorised_epochs + 1 } else { 0 };
        if config.stop == Stop::Memorised && so_far.memorised_epochs >= MEMORISED_EPOCHS {
            break;
        }
        if run.checkpoint_due() {
            let extra = serde_json::to_value(&so_far).map_err(CellError::other)?;
            let saved = Checkpoint::capture(done as u64, &learner.model, &learner.optimiser, extra);
            let bytes = saved.and_then(|saved| saved.to_bytes()).map_err(CellError::other)?;
            run.save_checkpoint(&bytes)?;
        }
    }

    let held_out = &task.held_out;
    let predicted = learner.predict(&task, held_out, &held_out.indices())?.predictions;
    let rows = held_out.truth().iter().zip(held_out.given()).zip(&predicted);
    let rows: Vec<Prediction> =
        rows.map(|((&truth, &given), &predicted)| Prediction { truth, given, predicted }).collect();
    run.table("predictions", &rows)?;

    Ok(Summary {
        memorised: so_far.memorised_epochs >= MEMORISED_EPOCHS,
        epochs: done,
        realised_train: task.train.noisy.realised,
        realised_held_out: task.held_out.noisy.realised,
        convention: task.convention.clone(),
        last: Reading::from_predictions(&task, &predicted, done, so_far.train_accuracy),
        best: so_far.best,
    })
}
