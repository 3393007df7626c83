//! Iterative noisy cross-validation: Algorithm 2 of the paper, with the constants of the published code where the
//! algorithm is silent.

use candle_core::Device;
use rand::seq::SliceRandom;
use retrial_core::Seed;
use retrial_core::data::Augmentation;
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::train::{Checkpoint, Evaluation, OptimiserConfig, Schedule, accuracy};
use serde::{Deserialize, Serialize};

use crate::co_teaching::{self, Outcome};
use crate::config::{Incv, Noise, Weights};
use crate::laws::{Setting, scan_noise_ratio, selected_noise};
use crate::learner::Learner;
use crate::task::Task;

/// One row of `epochs.csv` of an INCV or baseline cell. Accuracies are fractions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// `incv` while selecting, then `co-teaching` or `cross-entropy`.
    pub phase: String,
    /// Iteration of INCV, from 1; 0 afterwards.
    pub iteration: usize,
    /// Which half was trained on (1 or 2); 0 afterwards.
    pub half: usize,
    /// Epoch of this network, from 1.
    pub epoch: usize,
    /// Mean cross-entropy over the samples trained on.
    pub loss: f64,
    /// INCV: agreement with the given labels of the other half.
    pub validation_noisy: Option<f64>,
    /// INCV: agreement with the true labels of the other half.
    pub validation_clean: Option<f64>,
    /// Final training: accuracy on the clean held-out samples (mean of the two networks under Co-teaching).
    pub held_out_clean: Option<f64>,
    /// Co-teaching: share of the batch that a network is updated on.
    pub kept: Option<f64>,
    /// Co-teaching: share of right labels among these.
    pub kept_right: Option<f64>,
}

/// State of the selection after one iteration; a row of `iterations.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Counted from 1.
    pub iteration: usize,
    /// |S|.
    pub selected: usize,
    /// |C|.
    pub candidates: usize,
    /// Samples thrown away so far.
    pub removed: usize,
    /// LP: share of right labels in S.
    pub label_precision: f64,
    /// LR: share of the rightly labelled samples that are in S.
    pub label_recall: f64,
}

/// Where a training sample stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    Candidate,
    Selected,
    Removed,
}

/// What the selection carries from network to network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Selection {
    standing: Vec<Standing>,
    iteration: usize,
    half: usize,
    /// Picked and thrown away in the half already done of this iteration.
    pending: Vec<(u32, Standing)>,
    /// Noise ratio estimated from the first network, by the weights the rule chose.
    pub estimate: Option<f64>,
    /// The same from that network's best and from its last epoch.
    pub estimate_best: Option<f64>,
    /// See [`Self::estimate_best`].
    pub estimate_last: Option<f64>,
    /// One entry an iteration.
    pub iterations: Vec<Iteration>,
}

impl Selection {
    /// S, in index order.
    pub fn selected(&self) -> Vec<u32> {
        self.having(Standing::Selected)
    }

    /// C, in index order.
    pub fn candidates(&self) -> Vec<u32> {
        self.having(Standing::Candidate)
    }

    fn having(&self, wanted: Standing) -> Vec<u32> {
        (0..self.standing.len() as u32).filter(|&i| self.standing[i as usize] == wanted).collect()
    }
}

/// Where an INCV or baseline cell stands: what its checkpoint carries beside networks.
#[derive(Default, Serialize, Deserialize)]
pub struct Progress {
    /// The selection so far.
    selection: Option<Selection>,
    /// Held-out accuracy after each epoch of the final training.
    pub curve: Vec<f64>,
}

impl Progress {
    /// That of an interrupted cell and the checkpoint with its networks; the start where there is none.
    pub fn resume(run: &mut CellRun) -> Result<(Self, Checkpoint), CellError> {
        let Some(bytes) = run.resume()? else {
            return Ok((Self::default(), Checkpoint::new(0, serde_json::Value::Null)));
        };
        let saved = Checkpoint::from_bytes(&bytes).map_err(CellError::other)?;
        let progress = serde_json::from_value(saved.extra().clone()).map_err(CellError::other)?;
        Ok((progress, saved))
    }

    /// Saves it with these networks, each under its name.
    pub fn save(&self, networks: &[(&str, &Learner)], run: &mut CellRun) -> Result<(), CellError> {
        let extra = serde_json::to_value(self).map_err(CellError::other)?;
        let mut checkpoint = Checkpoint::new(self.curve.len() as u64, extra);
        for (name, learner) in networks {
            checkpoint = checkpoint.with(name, &learner.model, &learner.optimiser).map_err(CellError::other)?;
        }
        run.save_checkpoint(&checkpoint.to_bytes().map_err(CellError::other)?)
    }
}

/// Name in checkpoints of the network whose moments the next one inherits.
const PREVIOUS: &str = "previous";

/// What INCV needs to know: the part of [`Incv`] that selects, shared with one-round noisy cross-validation.
pub struct Selector<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// The optimiser, without its rate.
    pub optimiser: &'a OptimiserConfig,
    /// Learning rate over epochs.
    pub schedule: &'a Schedule,
    /// Random changes of training images.
    pub augmentation: &'a Augmentation,
    /// Samples in a batch.
    pub batch: usize,
    /// Iterations N.
    pub iterations: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// Weights that predictions are made with.
    pub weights: Weights,
    /// As published: one start for every network, moments inherited.
    pub reuse_start: bool,
    /// Throw away high-loss samples (symmetric noise only, as published).
    pub remove: bool,
    /// How labels are spoilt.
    pub noise: &'a NoiseKind,
    /// Seed of every stream.
    pub seed: Seed,
}

impl Selector<'_> {
    /// Runs the iterations from where `progress` stands, and keeps the selection there too. `saved` has the networks of
    /// an interrupted run.
    pub fn run(
        &self,
        task: &Task,
        progress: &mut Progress,
        saved: &Checkpoint,
        run: &mut CellRun,
    ) -> Result<Selection, CellError> {
        let device = run.device().clone();
        let begun = progress.selection.is_some();
        let mut so_far = progress.selection.take().unwrap_or_else(|| Selection {
            standing: vec![Standing::Candidate; task.train.len()],
            iteration: 1,
            half: 1,
            pending: vec![],
            estimate: None,
            estimate_best: None,
            estimate_last: None,
            iterations: vec![],
        });
        let mut previous: Option<Learner> = None;
        if self.reuse_start && begun && so_far.iteration <= self.iterations {
            let mut learner = self.network(task, &so_far, None, &device)?;
            saved.restore_part(PREVIOUS, &learner.model, &mut learner.optimiser).map_err(CellError::other)?;
            previous = Some(learner);
        }
        while so_far.iteration <= self.iterations {
            let mut candidates = so_far.candidates();
            candidates.shuffle(&mut self.seed.stream_at("incv/halves", so_far.iteration as u64));
            let (first, second) = candidates.split_at(candidates.len() / 2);
            let (own, other) = if so_far.half == 1 { (first, second) } else { (second, first) };

            let mut training = so_far.selected();
            training.extend_from_slice(own);
            let mut learner = self.network(task, &so_far, previous.take(), &device)?;
            let seen = self.train_and_predict(&mut learner, task, &training, other, &mut so_far, run)?;

            let given: Vec<u32> = other.iter().map(|&i| task.train.given()[i as usize]).collect();
            let estimate = self.remove.then(|| so_far.estimate.unwrap_or(0.));
            so_far.pending.extend(decide(other, &given, &seen, estimate));

            if so_far.half == 1 {
                so_far.half = 2;
            } else {
                so_far.close_iteration(task);
            }
            progress.selection = Some(so_far);
            let carried = if self.reuse_start { vec![(PREVIOUS, &learner)] } else { vec![] };
            progress.save(&carried, run)?;
            so_far = progress.selection.take().expect("just put there");
            previous = Some(learner);
        }
        progress.selection = Some(so_far.clone());
        Ok(so_far)
    }

    /// The network of one half: fresh, or (as published) from the same initial weights with the optimiser's moments of
    /// the network before.
    fn network(
        &self,
        task: &Task,
        so_far: &Selection,
        previous: Option<Learner>,
        device: &Device,
    ) -> Result<Learner, CellError> {
        let part = format!("incv/{}/{}", so_far.iteration, so_far.half);
        let mut seed = self.seed.derive(&part);
        if self.reuse_start {
            seed = self.seed.derive("incv");
        }
        let mut learner = Learner::new(self.architecture, self.optimiser, task, seed, device)?;
        if let (true, Some(previous)) = (self.reuse_start, previous) {
            learner.optimiser = previous.optimiser;
        }
        Ok(learner)
    }

    /// Trains on S and one half, and predicts the other half with the weights of the epoch that the rule names.
    fn train_and_predict(
        &self,
        learner: &mut Learner,
        task: &Task,
        training: &[u32],
        other: &[u32],
        so_far: &mut Selection,
        run: &mut CellRun,
    ) -> Result<Evaluation, CellError> {
        let given: Vec<u32> = other.iter().map(|&i| task.train.given()[i as usize]).collect();
        let truth: Vec<u32> = other.iter().map(|&i| task.train.truth()[i as usize]).collect();
        let mut best: Option<(f64, Evaluation)> = None;
        let mut last = None;
        for epoch in 0..self.epochs {
            let rate = self.schedule.rate(epoch as f64);
            let loss = learner.epoch(task, training, epoch, rate, self.batch, self.augmentation)?;
            let seen = learner.predict(task, &task.train, other)?;
            let noisy = accuracy(&seen.predictions, &given);
            run.epoch(&Epoch {
                phase: "incv".into(),
                iteration: so_far.iteration,
                half: so_far.half,
                epoch: epoch + 1,
                loss,
                validation_noisy: Some(noisy),
                validation_clean: Some(accuracy(&seen.predictions, &truth)),
                ..Epoch::default()
            })?;
            if best.as_ref().is_none_or(|(value, _)| noisy > *value) {
                best = Some((noisy, seen.clone()));
            }
            last = Some((noisy, seen));
        }
        let (Some(best), Some(last)) = (best, last) else {
            return Err(CellError::other("INCV needs at least one epoch a network"));
        };
        let use_best = match self.weights {
            Weights::Best => true,
            Weights::Last => false,
            Weights::Published => so_far.iteration <= self.last_iteration_with_best(so_far.estimate),
        };
        let chosen = if use_best { &best } else { &last };
        if so_far.estimate.is_none() {
            // The published code inverts the symmetric formula for pair noise too.
            let estimate = |agreement: f64| scan_noise_ratio(agreement, task.classes as f64);
            so_far.estimate = Some(estimate(chosen.0));
            so_far.estimate_best = Some(estimate(best.0));
            so_far.estimate_last = Some(estimate(last.0));
        }
        Ok(if use_best { best.1 } else { last.1 })
    }

    /// The published rule's last iteration with best-epoch weights. Before there is an estimate it is the first.
    fn last_iteration_with_best(&self, estimate: Option<f64>) -> usize {
        match estimate {
            None => 1,
            Some(_) if *self.noise == NoiseKind::Pair => 1,
            Some(e) if e > 0.6 => 1,
            Some(e) if e > 0.3 => 2,
            Some(_) => 4,
        }
    }
}

impl Selection {
    /// Applies what both halves decided, and starts the next iteration.
    fn close_iteration(&mut self, task: &Task) {
        for (i, standing) in std::mem::take(&mut self.pending) {
            self.standing[i as usize] = standing;
        }
        let selected = self.selected();
        let right = |i: &&u32| !task.train.noisy.flipped[**i as usize];
        let right_selected = selected.iter().filter(right).count() as f64;
        let all_right = task.train.noisy.flipped.iter().filter(|&&f| !f).count() as f64;
        self.iterations.push(Iteration {
            iteration: self.iteration,
            selected: selected.len(),
            candidates: self.having(Standing::Candidate).len(),
            removed: self.having(Standing::Removed).len(),
            label_precision: right_selected / selected.len() as f64,
            label_recall: right_selected / all_right,
        });
        self.iteration += 1;
        self.half = 1;
    }
}

/// What a network says of the samples that it was not trained on: those whose given label it predicts are selected, and
/// of symmetric noise, whose ratio is `estimate`, those of highest loss are thrown away.
fn decide(samples: &[u32], given: &[u32], seen: &Evaluation, estimate: Option<f64>) -> Vec<(u32, Standing)> {
    let agrees = |&(n, _): &(usize, &u32)| seen.predictions[n] == given[n];
    let picked: Vec<u32> = samples.iter().enumerate().filter(agrees).map(|(_, &i)| i).collect();
    let mut decisions = vec![];
    if let Some(estimate) = estimate {
        // r = min(2, e / (1 - e)): as many wrong labels as the estimate expects beside the picked.
        let ratio = (estimate / (1. - estimate)).min(2.);
        let count = (ratio * picked.len() as f64).floor() as usize;
        decisions.extend(highest(samples, &seen.losses, count).into_iter().map(|i| (i, Standing::Removed)));
    }
    // After the thrown away, so that a sample that is both stays picked.
    decisions.extend(picked.into_iter().map(|i| (i, Standing::Selected)));
    decisions
}

/// The `count` samples with the highest loss; equal losses in the order given.
fn highest(samples: &[u32], losses: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by(|&a, &b| losses[b].total_cmp(&losses[a]));
    order.iter().take(count).map(|&i| samples[i]).collect()
}

/// What remains of an INCV cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Share of wrong labels drawn for the training samples.
    pub realised: f64,
    /// How labels were drawn.
    pub convention: String,
    /// Noise ratio estimated with the weights that the rule chose.
    pub estimate: f64,
    /// The same with best-epoch weights.
    pub estimate_best: f64,
    /// The same with last-epoch weights.
    pub estimate_last: f64,
    /// LP, LR and sizes after each iteration.
    pub iterations: Vec<Iteration>,
    /// Co-teaching on what was selected.
    pub outcome: Option<Outcome>,
}

/// Selects, then trains on the selection if the cell asks for it.
pub fn train(config: &Incv, run: &mut CellRun) -> Result<Summary, CellError> {
    let seed = Seed(config.seed);
    let task = Task::new(&config.task, &Noise::Class(config.noise.clone()), config.level, seed, run)?;
    let selector = Selector {
        architecture: &config.architecture,
        optimiser: &config.optimiser,
        schedule: &config.schedule,
        augmentation: &config.augmentation,
        batch: config.batch,
        iterations: config.iterations,
        epochs: config.epochs,
        weights: config.weights,
        reuse_start: config.reuse_start,
        remove: config.noise != NoiseKind::Pair,
        noise: &config.noise,
        seed,
    };
    let final_epochs = config.then.as_ref().map_or(0, |t| t.epochs);
    run.expect_epochs(2 * config.iterations * config.epochs + final_epochs);
    let (mut progress, saved) = Progress::resume(run)?;
    let selection = selector.run(&task, &mut progress, &saved, run)?;
    let estimate = selection.estimate.unwrap_or(0.);
    let outcome = match &config.then {
        None => None,
        Some(training) => {
            let pair = config.noise == NoiseKind::Pair;
            let setting = if pair { Setting::pair(task.classes) } else { Setting::symmetric(task.classes) };
            let samples = co_teaching::Samples {
                selected: selection.selected(),
                candidates: selection.candidates(),
                noise_ratio: selected_noise(setting, estimate),
                hard: pair || estimate > 0.6,
            };
            let net = co_teaching::Networks {
                architecture: &config.architecture,
                optimiser: &config.optimiser,
                augmentation: &config.augmentation,
                batch: config.batch,
                seed,
            };
            Some(co_teaching::train(&samples, &net, training, &task, (progress, &saved), run)?)
        }
    };
    Ok(Summary {
        realised: task.train.noisy.realised,
        convention: task.convention.clone(),
        estimate,
        estimate_best: selection.estimate_best.unwrap_or(0.),
        estimate_last: selection.estimate_last.unwrap_or(0.),
        iterations: selection.iterations,
        outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing_after(decisions: &[(u32, Standing)]) -> Vec<Standing> {
        let mut standing = vec![Standing::Candidate; 10];
        decisions.iter().for_each(|&(i, to)| standing[i as usize] = to);
        standing
    }

    /// Samples 3, 5, 8 and 9; the network agrees with the labels of 3 and 5. At an estimate of 0.5 as many are thrown
    /// away as were picked: 9 and 5 have the highest losses, but 5 was picked and stays.
    #[test]
    fn decisions_worked_by_hand() {
        use Standing::{Candidate, Removed, Selected};
        let seen = Evaluation { predictions: vec![0, 1, 1, 0], losses: vec![0.1, 2., 0.5, 3.] };
        let after = |estimate| {
            let standing = standing_after(&decide(&[3, 5, 8, 9], &[0, 1, 0, 2], &seen, estimate));
            [3, 5, 8, 9].map(|i: usize| standing[i])
        };
        assert_eq!(after(Some(0.5)), [Selected, Selected, Candidate, Removed]);
        // 0.9 / 0.1 = 9 is cut to 2: four are thrown away, all that were not picked.
        assert_eq!(after(Some(0.9)), [Selected, Selected, Removed, Removed]);
        // 0.2 / 0.8 of two picked: none.
        assert_eq!(after(Some(0.2)), [Selected, Selected, Candidate, Candidate]);
        // Pair noise throws nothing away.
        assert_eq!(after(None), [Selected, Selected, Candidate, Candidate]);
    }

    /// Best-epoch weights: in every iteration up to a noise ratio of 0.3, in two up to 0.6, then (and for pair noise) in
    /// the first only.
    #[test]
    fn weights_by_estimate() {
        let (architecture, optimiser) = (Architecture::Linear, OptimiserConfig::adam(0.));
        let (schedule, augmentation) = (Schedule::Constant { rate: 1e-3 }, Augmentation::NONE);
        let last = |noise: &NoiseKind, estimate: Option<f64>| {
            let selector = Selector {
                architecture: &architecture,
                optimiser: &optimiser,
                schedule: &schedule,
                augmentation: &augmentation,
                batch: 1,
                iterations: 4,
                epochs: 1,
                weights: Weights::Published,
                reuse_start: false,
                remove: false,
                noise,
                seed: Seed(0),
            };
            selector.last_iteration_with_best(estimate)
        };
        let symmetric = [None, Some(0.2), Some(0.3), Some(0.31), Some(0.6), Some(0.61)];
        assert_eq!(symmetric.map(|e| last(&NoiseKind::Symmetric, e)), [1, 4, 4, 2, 2, 1]);
        assert_eq!(last(&NoiseKind::Pair, Some(0.2)), 1);
    }
}
