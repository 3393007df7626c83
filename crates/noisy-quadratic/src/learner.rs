//! A network with its optimiser: one epoch of plain cross-entropy training, and predictions without a graph.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use retrial_core::Seed;
use retrial_core::data::{Augmentation, order};
use retrial_core::experiment::CellError;
use retrial_core::model::{Architecture, Model};
use retrial_core::train::{Evaluation, Optimiser, OptimiserConfig, accuracy, cross_entropy, evaluate, finite};
use retrial_kernels::Graph;

use crate::task::{Part, Task};

/// Samples per batch when nothing is trained.
const EVALUATION_BATCH: usize = 500;

/// A network in training.
pub struct Learner {
    /// The network.
    pub model: Model,
    /// Its optimiser.
    pub optimiser: Optimiser,
    device: Device,
    seed: Seed,
}

impl Learner {
    /// A fresh network whose initial weights come from `seed`.
    pub fn new(
        architecture: &Architecture,
        optimiser: &OptimiserConfig,
        task: &Task,
        seed: Seed,
        device: &Device,
    ) -> Result<Self, CellError> {
        let model = architecture.build(&task.shape, task.classes, seed, device)?;
        Ok(Self { model, optimiser: Optimiser::new(optimiser.clone()), device: device.clone(), seed })
    }

    /// One pass over `samples` (indices into the task's training part) in a fresh random order. Returns the mean loss.
    pub fn epoch(
        &mut self,
        task: &Task,
        samples: &[u32],
        epoch: usize,
        rate: f64,
        batch: usize,
        augmentation: &Augmentation,
    ) -> Result<f64, CellError> {
        let time = epoch as u64;
        let mut augment = self.seed.stream_at("augment", time);
        let mut dropout = self.seed.stream_at("dropout", time);
        let mut total = 0.;
        for (step, chosen) in order(samples.len(), self.seed, time).chunks(batch).enumerate() {
            let chosen: Vec<u32> = chosen.iter().map(|&i| samples[i as usize]).collect();
            let given: Vec<u32> = chosen.iter().map(|&i| task.train.given()[i as usize]).collect();
            let x = task.batch(&task.train.split, &chosen, augmentation, &mut augment, &self.device)?;
            let mut graph = Graph::training().with_dropout(ChaCha8Rng::from_rng(&mut dropout));
            let logits = self.model.forward(&mut graph, &x)?;
            let loss = cross_entropy(&graph.output(&logits)?, &given)?.mean_all()?;
            total += f64::from(scalar(&loss, step)?) * chosen.len() as f64;
            self.optimiser.step(&self.model.parameters, &graph.backward(&loss)?, rate)?;
        }
        Ok(total / samples.len() as f64)
    }

    /// Predictions and losses against the given labels of `samples` (indices into `part`), on inputs as they are.
    pub fn predict(&self, task: &Task, part: &Part, samples: &[u32]) -> Result<Evaluation, CellError> {
        let given: Vec<u32> = samples.iter().map(|&i| part.given()[i as usize]).collect();
        Ok(evaluate(&self.model, samples, &given, EVALUATION_BATCH, |chosen| {
            task.plain_batch(&part.split, chosen, &self.device)
        })?)
    }

    /// Accuracy on the true labels of the held-out samples.
    pub fn clean_accuracy(&self, task: &Task) -> Result<f64, CellError> {
        let seen = self.predict(task, &task.held_out, &task.held_out.indices())?;
        Ok(accuracy(&seen.predictions, task.held_out.truth()))
    }
}

/// The loss of a step, which must be finite.
pub fn scalar(loss: &Tensor, step: usize) -> Result<f32, CellError> {
    let step = step as u64;
    finite(loss.to_scalar::<f32>()?, step)
        .map_err(|d| CellError::Diverged { step, what: format!("the loss is {}", d.loss) })
}
