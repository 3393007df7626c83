//! One training run, from noise to the last epoch (sections 3.1 to 3.8 of the paper and its published code).

use candle_core::{Device, Tensor};
use rand::RngExt;
use retrial_core::Seed;
use retrial_core::data::{Dataset, DatasetId, Normalisation, Split, order};
use retrial_core::experiment::{CellError, CellRun};
use retrial_core::model::{InputShape, Model};
use retrial_core::noise::{NoiseKind, TransitionMatrix, corrupt};
use retrial_core::stats::{auc, ks_distance_to, quantile};
use retrial_core::train::{Checkpoint, Evaluation, Mixup, Optimiser, accuracy, evaluate, finite, mix};
use retrial_kernels::Graph;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Correction, Mixing, Noise, Weighting};
use crate::method::{corrected, dynamic_shares, loss, mixed, one_hot, own_word, regulariser, temperature, trust};
use crate::mixture::{BetaMixture, Family, ITERATIONS, Mixture, Posterior, Rule, Scale};

/// Samples per batch when nothing is trained.
const EVALUATION_BATCH: usize = 500;
/// Bins of the histogram of normalised losses, and of the calibration of posteriors.
const BINS: usize = 40;
const CALIBRATION_BINS: usize = 10;

/// One row of `epochs.csv`. Losses are of training samples in evaluation mode, against the given labels, after the epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean training loss with all its parts.
    pub loss: f64,
    /// Accuracy on clean test samples.
    pub test_accuracy: f64,
    /// Share of training samples whose given label is predicted.
    pub given_accuracy: f64,
    /// Learning rate.
    pub rate: f64,
    /// Temperature of soft-to-hard bootstrapping.
    pub temperature: Option<f64>,
    /// Mean of the regulariser, where it is on.
    pub regulariser: Option<f64>,
    /// Quartiles of the losses of samples with right labels.
    pub right_q25: f64,
    /// See [`Self::right_q25`].
    pub right_median: f64,
    /// See [`Self::right_q25`].
    pub right_q75: f64,
    /// Quartiles of the losses of samples with wrong labels; none without any.
    pub wrong_q25: Option<f64>,
    /// See [`Self::wrong_q25`].
    pub wrong_median: Option<f64>,
    /// See [`Self::wrong_q25`].
    pub wrong_q75: Option<f64>,
    /// AUC of the loss as a detector of wrong labels.
    pub auc: Option<f64>,
    /// The mixture: first parameters (means of a Gaussian one).
    pub first_0: Option<f64>,
    /// Second parameters (variances).
    pub second_0: Option<f64>,
    /// See [`Self::first_0`].
    pub first_1: Option<f64>,
    /// See [`Self::second_0`].
    pub second_1: Option<f64>,
    /// Share of the component of high losses.
    pub noisy_share: Option<f64>,
    /// Entry of the table from which it is constant.
    pub flat_from: Option<usize>,
    /// What kept the fit from telling anything: `swapped`, `flat`, or why there is none (the one before stays).
    pub warning: String,
    /// Mean posterior of samples with right labels.
    pub w_right: Option<f64>,
    /// Mean posterior of samples with wrong labels.
    pub w_wrong: Option<f64>,
    /// Log-loss of the posterior as a forecast of a wrong label, in nats.
    pub w_log_loss: Option<f64>,
    /// Largest share of the test predictions that one class takes.
    pub largest_class: f64,
}

impl Epoch {
    /// The beta mixture of this epoch, of a run whose weights come from one.
    pub fn beta(&self) -> Option<BetaMixture> {
        let share = self.noisy_share?;
        Some(BetaMixture {
            alpha: [self.first_0?, self.first_1?],
            beta: [self.second_0?, self.second_1?],
            weight: [1. - share, share],
        })
    }
}

/// A family of densities on the losses of one epoch, fitted to half of the samples and judged on the other half.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Fitness {
    /// Mean log-density of normalised losses that were not fitted.
    pub log_likelihood: f64,
    /// Kolmogorov-Smirnov distance from them.
    pub ks: f64,
    /// Log-loss of the posterior as a forecast of a wrong label, in nats.
    pub log_loss: f64,
    /// Share of samples on the right side of a posterior of one half.
    pub accuracy: f64,
    /// Whether the posterior is the normalised loss itself, within 0.05: the fit has added nothing.
    pub is_identity: bool,
    /// Whether the posterior is the same for every loss: the fit tells nothing apart.
    pub is_flat: bool,
}

/// What the losses of [`Config::early`] hold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Early {
    /// The epoch.
    pub epoch: usize,
    /// AUC of the loss then.
    pub auc: Option<f64>,
    /// The beta mixture; none where it could not be fitted.
    pub beta: Option<Fitness>,
    /// The Gaussian one.
    pub gaussian: Option<Fitness>,
}

/// What remains of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Share of wrong labels drawn.
    pub realised: f64,
    /// Optimiser steps in all.
    pub steps: usize,
    /// Test accuracy of the best epoch, chosen on the test set as the paper does.
    pub best: f64,
    /// Test accuracy after the last epoch.
    pub last: f64,
    /// Mean test accuracy of the last five epochs.
    pub mean_of_last: f64,
    /// Share of given labels predicted at the end.
    pub given_accuracy: f64,
    /// AUC of the loss after the last epoch at the high rate.
    pub auc_high: Option<f64>,
    /// AUC of the loss at the end of the warm-up, before labels are corrected.
    pub auc_warm_up: Option<f64>,
    /// AUC of the loss at the end.
    pub auc_last: Option<f64>,
    /// Share of the component of high losses after the last epoch at the high rate.
    pub noisy_share: Option<f64>,
    /// Mean posterior then.
    pub mean_posterior: Option<f64>,
    /// Both mixtures where the paper compares them; none in runs from before this was kept.
    #[serde(default)]
    pub early: Option<Early>,
    /// Largest share of test predictions of one class at the end.
    pub largest_class: f64,
    /// Epochs whose fit came with a warning.
    pub warnings: usize,
}

/// A bin of `histogram.csv`: normalised losses of one epoch by group, with both densities at its middle.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Bin {
    /// Epoch.
    pub epoch: usize,
    /// Middle of the bin.
    pub x: f64,
    /// Density of samples with right labels, as a part of all.
    pub right: f64,
    /// Density of samples with wrong labels, as a part of all.
    pub wrong: f64,
    /// Density of the beta mixture; none where there is no fit.
    pub beta: Option<f64>,
    /// Density of the Gaussian mixture.
    pub gaussian: Option<f64>,
}

/// A row of `calibration.csv`: samples whose posterior falls into one tenth.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// Epoch.
    pub epoch: usize,
    /// Mean posterior.
    pub forecast: f64,
    /// Share of wrong labels among them.
    pub wrong: f64,
    /// Samples.
    pub samples: usize,
}

/// What training carries from epoch to epoch beside the weights.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SoFar {
    curve: Vec<f64>,
    posterior: Option<Posterior>,
    steps: usize,
    warnings: usize,
    given_accuracy: f64,
    largest_class: f64,
    auc_high: Option<f64>,
    auc_warm_up: Option<f64>,
    auc_last: Option<f64>,
    noisy_share: Option<f64>,
    mean_posterior: Option<f64>,
    early: Option<Early>,
    histogram: Vec<Bin>,
    calibration: Vec<Calibration>,
}

/// Samples with given labels, and what the network is tested on.
struct Task {
    train: Split,
    given: Vec<u32>,
    wrong: Vec<bool>,
    test: Split,
    classes: usize,
    normalisation: Normalisation,
}

impl Task {
    fn new(config: &Config, seed: Seed, run: &CellRun) -> Result<Self, CellError> {
        let data = run.dataset(config.dataset)?;
        // Class by class in a random order: any number of first samples is balanced.
        let mut by_class = vec![vec![]; data.classes];
        for i in order(data.train.labels.len(), seed.derive("subset"), 0) {
            by_class[data.train.labels[i as usize] as usize].push(i);
        }
        let longest = by_class.iter().map(Vec::len).max().unwrap_or(0);
        let balanced = (0..longest).flat_map(|rank| by_class.iter().filter_map(move |class| class.get(rank).copied()));
        let chosen: Vec<u32> = balanced.take(config.train).collect();
        let first: Vec<u32> = (0..config.test.min(data.test.labels.len()) as u32).collect();
        let (train, test) = (data.train.select(&chosen), data.test.select(&first));
        let given = match config.noise {
            Noise::AllClasses | Noise::OtherClasses => {
                let all = config.noise == Noise::AllClasses;
                let kind = if all { NoiseKind::SymmetricInclusive } else { NoiseKind::Symmetric };
                corrupt(&train.labels, &kind, config.level, data.classes, seed, "train")
                    .map_err(CellError::other)?
                    .given
            }
            Noise::FirstTen => {
                let classes = data.classes;
                let entry = |i: usize, j: usize| {
                    let stays = if i == j { 1. - config.level } else { 0. };
                    stays + if j < 10 { config.level / classes.min(10) as f64 } else { 0. }
                };
                let rows: Vec<Vec<f64>> = (0..classes).map(|i| (0..classes).map(|j| entry(i, j)).collect()).collect();
                let matrix = TransitionMatrix::from_rows(&rows).map_err(CellError::other)?;
                matrix.draw(&train.labels, &mut seed.stream("noise/train")).map_err(CellError::other)?
            }
        };
        let wrong = given.iter().zip(&train.labels).map(|(given, truth)| given != truth).collect();
        let (classes, normalisation) = (data.classes, normalisation(config.dataset, &data));
        Ok(Self { train, given, wrong, test, classes, normalisation })
    }
}

/// The published code scales both CIFAR sets by these means and deviations; other data by their own.
fn normalisation(id: DatasetId, data: &Dataset) -> Normalisation {
    match id {
        DatasetId::Cifar10 | DatasetId::Cifar100 => {
            Normalisation::PerChannel(vec![(0.4914, 0.2023), (0.4822, 0.1994), (0.4465, 0.2010)])
        }
        _ => data.normalisation.clone(),
    }
}

/// Trains one network and reads it.
pub fn train(config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
    let seed = Seed(config.seed);
    let device: Device = run.device().clone();
    let task = Task::new(config, seed, run)?;
    let shape = InputShape::from(&task.train.inputs);
    let model = config.architecture.build(&shape, task.classes, seed, &device)?;
    if config.variants.uniform_norm_scales {
        draw_norm_scales(&model, seed)?;
    }
    let mut optimiser = Optimiser::new(config.optimiser.clone());
    let mut so_far = SoFar::default();
    if let Some(bytes) = run.resume()? {
        let saved = Checkpoint::from_bytes(&bytes).map_err(CellError::other)?;
        saved.restore(&model, &mut optimiser).map_err(CellError::other)?;
        so_far = serde_json::from_value(saved.extra().clone()).map_err(CellError::other)?;
    }
    run.expect_epochs(config.epochs);
    for epoch in so_far.curve.len() + 1..=config.epochs {
        let rate = config.schedule.rate((epoch - 1) as f64);
        let mut row = Epoch { epoch, rate, ..Epoch::default() };
        train_epoch(config, &task, &model, &mut optimiser, &mut so_far, &mut row, &device)?;
        track(config, &task, &model, &mut so_far, &mut row, &device)?;
        run.epoch(&row)?;
        if run.checkpoint_due() {
            let extra = serde_json::to_value(&so_far).map_err(CellError::other)?;
            let saved = Checkpoint::capture(epoch as u64, &model, &optimiser, extra).and_then(|saved| saved.to_bytes());
            run.save_checkpoint(&saved.map_err(CellError::other)?)?;
        }
    }
    run.table("histogram", &so_far.histogram)?;
    run.table("calibration", &so_far.calibration)?;
    let tail = &so_far.curve[so_far.curve.len().saturating_sub(5)..];
    Ok(Summary {
        realised: task.wrong.iter().filter(|w| **w).count() as f64 / task.wrong.len() as f64,
        steps: so_far.steps,
        best: so_far.curve.iter().copied().fold(0., f64::max),
        last: so_far.curve.last().copied().unwrap_or(0.),
        mean_of_last: tail.iter().sum::<f64>() / tail.len().max(1) as f64,
        given_accuracy: so_far.given_accuracy,
        auc_high: so_far.auc_high,
        auc_warm_up: so_far.auc_warm_up,
        auc_last: so_far.auc_last,
        noisy_share: so_far.noisy_share,
        mean_posterior: so_far.mean_posterior,
        early: so_far.early,
        largest_class: so_far.largest_class,
        warnings: so_far.warnings,
    })
}

/// Scales of batch norms anew, each uniform in (0, 1).
fn draw_norm_scales(model: &Model, seed: Seed) -> Result<(), CellError> {
    for (name, parameter) in &model.parameters.trainable {
        if name.ends_with(".gamma") {
            let mut stream = seed.stream(&format!("norm scales/{name}"));
            let scales: Vec<f32> = (0..parameter.var.elem_count()).map(|_| stream.random()).collect();
            parameter.var.set(&Tensor::from_vec(scales, parameter.var.shape(), parameter.var.device())?)?;
        }
    }
    Ok(())
}

/// Classes that the regulariser counts.
fn counted_classes(config: &Config, classes: usize) -> usize {
    let ten = config.variants.ten_class_regulariser && config.method.correction == Correction::Soft;
    if ten { 10 } else { classes }
}

/// One pass over the training samples.
fn train_epoch(
    config: &Config,
    task: &Task,
    model: &Model,
    optimiser: &mut Optimiser,
    so_far: &mut SoFar,
    row: &mut Epoch,
    device: &Device,
) -> Result<(), CellError> {
    let (seed, time, phases) = (Seed(config.seed), row.epoch as u64, &config.phases);
    let (method, variants) = (&config.method, &config.variants);
    let counted = counted_classes(config, task.classes);
    let correcting = row.epoch >= phases.correct;
    let mixing = if !correcting && method.mixing == Mixing::Dynamic { Mixing::Static } else { method.mixing };
    // Dynamic mixing starts with labels as they are.
    let correction = match method.correction {
        _ if !correcting || (mixing == Mixing::Dynamic && row.epoch < phases.soften) => Correction::None,
        correction => correction,
    };
    let pulls = method.regulariser > 0. && correcting && (mixing != Mixing::Dynamic || row.epoch >= phases.soften);
    row.temperature = (correction == Correction::SoftToHard).then(|| temperature(phases, row.epoch));
    let degree = row.temperature.unwrap_or(1.);
    let needs_word = correction != Correction::None;
    let needs_weights = matches!(correction, Correction::Soft | Correction::Hard) || mixing == Mixing::Dynamic;
    let mut augment = seed.stream_at("augment", time);
    let mut mixes = seed.stream_at("mixup", time);
    let (mut total, mut pull_total, mut batches) = (0., 0., 0);
    for chosen in order(task.given.len(), seed, time).chunks(config.batch) {
        let given: Vec<u32> = chosen.iter().map(|&i| task.given[i as usize]).collect();
        let x = task.train.augmented_batch(chosen, &task.normalisation, config.augmentation, &mut augment, device)?;
        let labels = one_hot(&given, task.classes);
        // Beta draws of every step come from the stream, whether they are used or not: methods of one seed stay paired.
        let draw = Mixup::draw(config.alpha, chosen.len(), &mut mixes)?;
        let label_draw = Mixup::draw(config.alpha, chosen.len(), &mut mixes)?;

        // What the network says of the images as they are: in training mode where images are mixed, so that this pass
        // counts for the running statistics too; without mixing the pass that is trained on says it.
        let plain = if mixing != Mixing::None && needs_word {
            Some(model.forward(&mut Graph::training().without_gradients(), &x)?.tensor().clone())
        } else {
            None
        };
        let weigh = |so_far: &SoFar| -> Result<Vec<f64>, CellError> {
            if needs_weights {
                weights(config, task, model, so_far, chosen, &given, &x)
            } else {
                Ok(vec![0.; chosen.len()])
            }
        };
        // As published: the hard form weighs after its pass on mixed images, which moves the running statistics; the
        // others weigh before.
        let late = mixing != Mixing::Dynamic && correction == Correction::Hard;
        let early = if late { vec![] } else { weigh(so_far)? };
        let shares: Vec<f64> = match mixing {
            Mixing::None => vec![1.],
            Mixing::Static => vec![f64::from(draw.share)],
            Mixing::Dynamic => dynamic_shares(&early, &draw.partner),
        };
        let seen = if mixing == Mixing::None {
            x.clone()
        } else {
            let shares: Vec<f32> = shares.iter().map(|&s| s as f32).collect();
            mix(&x, &draw.partner, &shares)?
        };
        let mut graph = Graph::training();
        let logits = model.forward(&mut graph, &seen)?;
        let output = graph.output(&logits)?;
        let w = if late { weigh(so_far)? } else { early };

        let targets = if needs_word {
            let own = own_word(plain.as_ref().unwrap_or(logits.tensor()), correction, degree)?;
            corrected(&labels, &own, &trust(correction, &w))
        } else {
            labels
        };
        let targets = match mixing {
            Mixing::None => targets,
            Mixing::Static if variants.soft_halves && correction == Correction::Soft => {
                mixed(&targets, &draw.partner, &[0.5])
            }
            Mixing::Static => mixed(&targets, &draw.partner, &shares),
            // Labels are shared apart from images: by a draw of their own, later by halves.
            Mixing::Dynamic if !needs_word || variants.dynamic_draws => {
                mixed(&targets, &draw.partner, &[f64::from(label_draw.share)])
            }
            Mixing::Dynamic => mixed(&targets, &draw.partner, &[0.5]),
        };
        let mut objective = loss(&output, &targets)?;
        if pulls {
            let pull = regulariser(&output, counted)?;
            pull_total += f64::from(pull.to_scalar::<f32>()?);
            objective = (objective + (pull * method.regulariser)?)?;
        }
        let value = objective.to_scalar::<f32>()?;
        let step = so_far.steps as u64;
        finite(value, step).map_err(|d| CellError::Diverged { step, what: format!("the loss is {}", d.loss) })?;
        total += f64::from(value);
        batches += 1;
        optimiser.step(&model.parameters, &graph.backward(&objective)?, row.rate)?;
        so_far.steps += 1;
    }
    row.loss = total / f64::from(batches);
    row.regulariser = pulls.then(|| pull_total / f64::from(batches));
    Ok(())
}

/// Probabilities that the labels of a batch are wrong, by the network as it is now (section 3.5): losses in evaluation
/// mode on unmixed images, and the last epoch's fit.
fn weights(
    config: &Config,
    task: &Task,
    model: &Model,
    so_far: &SoFar,
    chosen: &[u32],
    given: &[u32],
    x: &Tensor,
) -> Result<Vec<f64>, CellError> {
    if config.method.weighting == Weighting::Oracle {
        return Ok(chosen.iter().map(|&i| f64::from(u8::from(task.wrong[i as usize]))).collect());
    }
    // Without any fit so far every label counts as right.
    let Some(posterior) = &so_far.posterior else { return Ok(vec![0.; chosen.len()]) };
    let logits = model.forward(&mut Graph::inference(), x)?;
    let losses = Evaluation::of(logits.tensor(), given)?.losses;
    let weight = |&loss: &f32| {
        let x = posterior.scale.apply(f64::from(loss));
        if config.method.weighting == Weighting::Loss { x } else { posterior.of_normalised(x) }
    };
    Ok(losses.iter().map(weight).collect())
}

/// After the epoch: losses of all training samples in evaluation mode under the training augmentation, the fit, and the
/// test accuracy.
fn track(
    config: &Config,
    task: &Task,
    model: &Model,
    so_far: &mut SoFar,
    row: &mut Epoch,
    device: &Device,
) -> Result<(), CellError> {
    let seed = Seed(config.seed);
    let mut augment = seed.stream_at("augment/track", row.epoch as u64);
    let all: Vec<u32> = (0..task.given.len() as u32).collect();
    let seen = evaluate(model, &all, &task.given, EVALUATION_BATCH, |chosen| {
        task.train.augmented_batch(chosen, &task.normalisation, config.augmentation, &mut augment, device)
    })?;
    row.given_accuracy = accuracy(&seen.predictions, &task.given);
    let losses: Vec<f64> = seen.losses.iter().map(|&l| f64::from(l)).collect();
    if let Some(bad) = losses.iter().find(|l| !l.is_finite()) {
        return Err(CellError::Diverged { step: so_far.steps as u64, what: format!("a sample's loss is {bad}") });
    }
    let group = |wrong: bool| -> Vec<f64> {
        losses.iter().zip(&task.wrong).filter(|(_, w)| **w == wrong).map(|(l, _)| *l).collect()
    };
    let (right, wrong) = (group(false), group(true));
    let at = |values: &[f64], p: f64| quantile(values, p).ok();
    (row.right_q25, row.right_median, row.right_q75) = (
        at(&right, 0.25).unwrap_or(f64::NAN),
        at(&right, 0.5).unwrap_or(f64::NAN),
        at(&right, 0.75).unwrap_or(f64::NAN),
    );
    (row.wrong_q25, row.wrong_median, row.wrong_q75) = (at(&wrong, 0.25), at(&wrong, 0.5), at(&wrong, 0.75));
    row.auc = auc(&losses, &task.wrong).ok();

    let family = match config.method.weighting {
        Weighting::Mixture { family } => family,
        Weighting::Loss | Weighting::Oracle => Family::Beta,
    };
    match Posterior::fit(&losses, family, config.rule, config.iterations) {
        Ok(fit) => {
            let swapped = matches!(fit.mixture, Mixture::Beta(m) if m.is_swapped());
            row.warning = if fit.is_flat() { "flat" } else { ["", "swapped"][usize::from(swapped)] }.to_string();
            so_far.posterior = Some(fit);
        }
        Err(error) => row.warning = error.to_string(),
    }
    so_far.warnings += usize::from(!row.warning.is_empty());
    if let Some(fit) = &so_far.posterior {
        let w: Vec<f64> = losses.iter().map(|&l| fit.of_loss(l)).collect();
        let mean = |wrong: bool| {
            let of: Vec<f64> = w.iter().zip(&task.wrong).filter(|(_, k)| **k == wrong).map(|(w, _)| *w).collect();
            (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
        };
        (row.w_right, row.w_wrong) = (mean(false), mean(true));
        row.w_log_loss = Some(log_loss(&w, &task.wrong));
        row.noisy_share = Some(fit.mixture.noisy_share());
        row.flat_from = fit.table.as_ref().map(|t| t.flat_from);
        let (first, second) = match &fit.mixture {
            Mixture::Beta(m) => (m.alpha, m.beta),
            Mixture::Gaussian(m) => (m.mean, m.variance),
        };
        (row.first_0, row.second_0, row.first_1, row.second_1) =
            (Some(first[0]), Some(second[0]), Some(first[1]), Some(second[1]));
        let warm = config.phases.correct - 1;
        if [config.early(), config.phases.high, warm, config.epochs].contains(&row.epoch) {
            so_far.histogram.extend(histogram(row.epoch, &losses, &task.wrong, config));
            so_far.calibration.extend(calibration(row.epoch, &w, &task.wrong));
        }
        if row.epoch == warm {
            so_far.auc_warm_up = row.auc;
        }
        if row.epoch == config.phases.high {
            so_far.auc_high = row.auc;
            so_far.noisy_share = row.noisy_share;
            so_far.mean_posterior = Some(w.iter().sum::<f64>() / w.len() as f64);
        }
    }
    if row.epoch == config.early() {
        let [beta, gaussian] = [Family::Beta, Family::Gaussian]
            .map(|family| fitness(&losses, &task.wrong, task.classes, family, config.rule));
        so_far.early = Some(Early { epoch: row.epoch, auc: row.auc, beta, gaussian });
    }
    so_far.auc_last = row.auc;

    let tested: Vec<u32> = (0..task.test.labels.len() as u32).collect();
    let test = evaluate(model, &tested, &task.test.labels, EVALUATION_BATCH, |chosen| {
        task.test.batch(chosen, &task.normalisation, device)
    })?;
    row.test_accuracy = accuracy(&test.predictions, &task.test.labels);
    let mut counts = vec![0usize; task.classes];
    test.predictions.iter().for_each(|&p| counts[p as usize] += 1);
    row.largest_class = counts.into_iter().max().unwrap_or(0) as f64 / tested.len() as f64;
    so_far.curve.push(row.test_accuracy);
    (so_far.given_accuracy, so_far.largest_class) = (row.given_accuracy, row.largest_class);
    Ok(())
}

/// Mean log-loss of forecasts in nats; forecasts are kept a ten-thousandth from 0 and 1.
pub fn log_loss(forecast: &[f64], happened: &[bool]) -> f64 {
    let of = |(w, h): (&f64, &bool)| {
        let w = w.clamp(1e-4, 1. - 1e-4);
        -if *h { w.ln() } else { (1. - w).ln() }
    };
    forecast.iter().zip(happened).map(of).sum::<f64>() / forecast.len().max(1) as f64
}

/// The fit's half of the samples, or the half that it is judged on. Samples lie in rounds over all classes ([`Task::new`]),
/// so every other round, not every other sample: both halves have every class.
fn half<T: Copy>(values: &[T], classes: usize, judged: bool) -> Vec<T> {
    values.chunks(classes).skip(usize::from(judged)).step_by(2).flatten().copied().collect()
}

/// Fits one half of the losses and judges on the other; its density only on those that the rule does not leave out.
fn fitness(losses: &[f64], wrong: &[bool], classes: usize, family: Family, rule: Rule) -> Option<Fitness> {
    let fit = Posterior::fit(&half(losses, classes, false), family, rule, ITERATIONS).ok()?;
    let (losses, wrong) = (half(losses, classes, true), half(wrong, classes, true));
    let held_out = fit.scale.fitted(&losses);
    let w: Vec<f64> = losses.iter().map(|&l| fit.of_loss(l)).collect();
    let hits = w.iter().zip(&wrong).filter(|(w, k)| (**w > 0.5) == **k).count();
    let sum: f64 = held_out.iter().map(|&x| fit.mixture.density(x).max(1e-300).ln()).sum();
    Some(Fitness {
        log_likelihood: sum / held_out.len() as f64,
        ks: ks_distance_to(&held_out, |x| fit.mixture.cdf(x).clamp(0., 1.)).ok()?,
        log_loss: log_loss(&w, &wrong),
        accuracy: hits as f64 / w.len() as f64,
        is_identity: fit.is_identity(),
        is_flat: fit.is_flat(),
    })
}

fn histogram(epoch: usize, losses: &[f64], wrong: &[bool], config: &Config) -> Vec<Bin> {
    let Ok(scale) = Scale::of(losses, config.rule) else { return vec![] };
    let xs = scale.fitted(losses);
    let fit = |family| Mixture::fit(&xs, family, config.iterations).ok();
    let (beta, gaussian) = (fit(Family::Beta), fit(Family::Gaussian));
    let mut counts = [[0usize; 2]; BINS];
    let fitted = |loss: &f64| scale.fitted(std::slice::from_ref(loss)).first().copied();
    for (loss, wrong) in losses.iter().zip(wrong) {
        if let Some(x) = fitted(loss) {
            counts[((x * BINS as f64) as usize).min(BINS - 1)][usize::from(*wrong)] += 1;
        }
    }
    let density = |count: usize| count as f64 * BINS as f64 / xs.len() as f64;
    let bin = |(i, [right, wrong]): (usize, &[usize; 2])| {
        let x = (i as f64 + 0.5) / BINS as f64;
        let at = |m: &Option<Mixture>| m.as_ref().map(|m| m.density(x));
        Bin { epoch, x, right: density(*right), wrong: density(*wrong), beta: at(&beta), gaussian: at(&gaussian) }
    };
    counts.iter().enumerate().map(bin).collect()
}

/// Posteriors by tenths beside the share of wrong labels; tenths without samples are left out.
pub fn calibration(epoch: usize, w: &[f64], wrong: &[bool]) -> Vec<Calibration> {
    let tenth = |w: f64| ((w * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
    let of = |bin: usize| {
        let members: Vec<(f64, bool)> =
            w.iter().copied().zip(wrong.iter().copied()).filter(|(w, _)| tenth(*w) == bin).collect();
        let n = members.len() as f64;
        (!members.is_empty()).then(|| Calibration {
            epoch,
            forecast: members.iter().map(|m| m.0).sum::<f64>() / n,
            wrong: members.iter().filter(|m| m.1).count() as f64 / n,
            samples: members.len(),
        })
    };
    (0..CALIBRATION_BINS).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variants;

    #[test]
    fn both_halves_have_every_class() {
        let classes: Vec<usize> = (0..60).map(|i| i % 10).collect();
        for judged in [false, true] {
            let own = half(&classes, 10, judged);
            assert_eq!(own.len(), 30);
            assert!((0..10).all(|class| own.iter().filter(|c| **c == class).count() == 3), "{own:?}");
        }
        let rounds: Vec<usize> = (0..60).map(|i| i / 10).collect();
        assert!(half(&rounds, 10, false).iter().all(|round| round % 2 == 0));
    }

    /// Losses of right labels skewed towards zero: the beta mixture fits samples that it has not seen better.
    #[test]
    fn families_are_judged_on_samples_that_they_have_not_seen() {
        let skewed = |i: usize| 2. * ((i as f64 * 0.618).fract()).powi(4) + 1e-3;
        let around = |i: usize| 3. + (i as f64 * 0.382).fract();
        let wrong: Vec<bool> = (0..2000).map(|i| (i / 10) % 5 > 2).collect();
        let losses: Vec<f64> = wrong.iter().enumerate().map(|(i, w)| if *w { around(i) } else { skewed(i) }).collect();
        let of = |family, losses: &[f64]| fitness(losses, &wrong, 10, family, Rule::Code).unwrap();
        let (beta, gaussian) = (of(Family::Beta, &losses), of(Family::Gaussian, &losses));
        assert!(beta.log_likelihood > gaussian.log_likelihood && beta.ks < gaussian.ks, "{beta:?}, {gaussian:?}");
        assert!(beta.accuracy > 0.99 && !beta.is_flat && !beta.is_identity, "{beta:?}");
        // What is fitted does not depend on the other half.
        let mut changed = losses.clone();
        changed.chunks_mut(10).skip(1).step_by(2).for_each(|round| round.fill(2.5));
        assert_ne!(of(Family::Beta, &changed).log_loss, beta.log_loss);
        let [all, half_changed] = [&losses, &changed]
            .map(|l| Posterior::fit(&half(l, 10, false), Family::Beta, Rule::Code, ITERATIONS).unwrap());
        assert_eq!(all, half_changed);
    }

    #[test]
    fn classes_that_the_regulariser_counts() {
        use retrial_core::experiment::Profile;
        let cells = crate::experiments::grid(Profile::Paper, Some(1)).into_iter().flat_map(|e| e.cells);
        let counted = |c: Config, ten| {
            let variants = Variants { ten_class_regulariser: ten, ..c.variants };
            counted_classes(&Config { variants, ..c }, 100)
        };
        for c in cells {
            assert_eq!(counted(c.clone(), false), 100);
            assert_eq!(counted(c.clone(), true), if c.method.correction == Correction::Soft { 10 } else { 100 });
        }
    }

    /// Summaries written before early fits were kept are still read.
    #[test]
    fn old_summaries_are_read() {
        let old = r#"{"realised": 0.7, "steps": 10, "best": 0.5, "last": 0.4, "mean_of_last": 0.4, "given_accuracy": 1.0,
            "auc_high": 0.7, "auc_warm_up": 0.7, "auc_last": 0.6, "noisy_share": 0.3, "mean_posterior": 0.3,
            "beta": null, "gaussian": null, "largest_class": 0.1, "warnings": 0}"#;
        let summary: Summary = serde_json::from_str(old).unwrap();
        assert!(summary.early.is_none());
    }
}
