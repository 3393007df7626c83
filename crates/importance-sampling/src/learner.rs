//! A network with its optimiser: gradients of weighted batches, and readings without a graph.

use candle_core::{Device, Tensor};
use retrial_core::Seed;
use retrial_core::data::Split;
use retrial_core::experiment::CellError;
use retrial_core::model::Model;
use retrial_core::train::Optimiser;
use retrial_kernels::{Gradients, Graph};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::scores::Readout;
use crate::task::Task;

/// Samples in a pass that trains nothing.
pub const CHUNK: usize = 256;

/// A network in training.
pub struct Learner {
    /// The network.
    pub model: Model,
    /// Its optimiser.
    pub optimiser: Optimiser,
    device: Device,
    clip: Option<f64>,
}

/// Means over some samples, unweighted and without the penalty on weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of wrong predictions.
    pub error: f64,
}

impl Learner {
    /// A fresh network whose initial values come from `seed`.
    pub fn new(config: &Config, task: &Task, seed: Seed, device: &Device) -> Result<Self, CellError> {
        let model = config.architecture.build(&task.shape, task.classes, seed, device)?;
        let optimiser = Optimiser::new(config.optimiser.clone());
        Ok(Self { model, optimiser, device: device.clone(), clip: config.clip })
    }

    /// A forward pass that records nothing, in chunks.
    pub fn score(&self, x: &Tensor, labels: &[u32]) -> Result<Readout, CellError> {
        let n = labels.len();
        let mut parts = vec![];
        for start in (0..n).step_by(CHUNK) {
            let chunk = x.narrow(0, start, CHUNK.min(n - start))?;
            parts.push(self.model.forward(&mut Graph::inference(), &chunk)?.tensor().clone());
        }
        Ok(Readout::of(&Tensor::cat(&parts, 0)?, labels)?)
    }

    /// Gradients of `(1 / n) sum w_i L_i`; `weights` sees what the forward pass says of the samples.
    pub fn gradients(
        model: &Model,
        x: &Tensor,
        labels: &[u32],
        weights: impl FnOnce(&Readout) -> Option<Vec<f64>>,
    ) -> Result<Pass, CellError> {
        let mut graph = Graph::training();
        let logits = model.forward(&mut graph, x)?;
        let readout = Readout::of(logits.tensor(), labels)?;
        let weights = weights(&readout);
        let gradient = readout.gradient(weights.as_deref(), logits.tensor())?;
        let loss = readout.loss(weights.as_deref());
        Ok(Pass { loss, gradients: graph.backward_from(&logits, &gradient)?, readout })
    }

    /// One optimiser step, after clipping.
    pub fn step(&mut self, mut pass: Pass, rate: f64, update: u64) -> Result<Readout, CellError> {
        if !pass.loss.is_finite() {
            return Err(CellError::Diverged { step: update, what: format!("the loss is {}", pass.loss) });
        }
        if let Some(most) = self.clip {
            clip(&self.model, &mut pass.gradients, most)?;
        }
        self.optimiser.step(&self.model.parameters, &pass.gradients, rate)?;
        Ok(pass.readout)
    }

    /// Reads the network on samples of a split, as they are.
    pub fn read(&self, task: &Task, split: &Split, indices: &[u32]) -> Result<Reading, CellError> {
        let (mut loss, mut wrong) = (0., 0usize);
        for chunk in indices.chunks(CHUNK) {
            let labels: Vec<u32> = chunk.iter().map(|&i| split.labels[i as usize]).collect();
            let readout = self.score(&task.plain(split, chunk, &self.device)?, &labels)?;
            loss += readout.losses.iter().sum::<f64>();
            wrong += readout.right.iter().filter(|&&right| !right).count();
        }
        let n = indices.len() as f64;
        Ok(Reading { loss: loss / n, error: wrong as f64 / n })
    }
}

/// What a training pass gives.
pub struct Pass {
    /// The weighted mean loss.
    pub loss: f64,
    /// Its gradients.
    pub gradients: Gradients,
    /// Losses and bounds of the samples, unweighted.
    pub readout: Readout,
}

/// Sum of squares over all trainable parameters.
pub fn squared_norm(model: &Model, gradients: &Gradients) -> Result<f64, CellError> {
    let mut sum = 0.;
    for parameter in model.parameters.trainable.values() {
        if let Some(gradient) = gradients.get(&parameter.var) {
            sum += gradient.flatten_all()?.to_vec1::<f32>()?.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
        }
    }
    Ok(sum)
}

fn clip(model: &Model, gradients: &mut Gradients, most: f64) -> Result<(), CellError> {
    let norm = squared_norm(model, gradients)?.sqrt();
    if norm <= most {
        return Ok(());
    }
    for parameter in model.parameters.trainable.values() {
        if let Some(gradient) = gradients.get(&parameter.var) {
            let scaled = (gradient * (most / norm))?;
            gradients.set(&parameter.var, scaled)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use retrial_core::model::{Architecture, InputShape};

    use super::*;
    use crate::sampling::Distribution;

    /// The weighted gradient of one drawn sample, averaged over what may be drawn, is that of the whole pre-sample.
    #[test]
    fn weights_leave_the_gradient_unbiased() {
        let x: Vec<f32> = (0..20).map(|i| ((i * 7 % 11) as f32 - 5.) / 4.).collect();
        let x = Tensor::from_vec(x, (4, 5), &Device::Cpu).unwrap();
        let labels = [0, 2, 1, 1];
        let model = Architecture::KerasMlp { widths: vec![6] }
            .build(&InputShape::Vector { dim: 5 }, 3, Seed(1), &Device::Cpu)
            .unwrap();
        let of = |pass: Pass| -> Vec<f64> {
            let gradients = model.parameters.trainable.values().filter_map(|p| pass.gradients.get(&p.var));
            gradients.flat_map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap()).map(f64::from).collect()
        };
        let whole = Learner::gradients(&model, &x, &labels, |_| None).unwrap();
        let g = Distribution::new(&whole.readout.bounds);
        let whole = of(whole);
        let mut mean = vec![0.; whole.len()];
        for i in 0..4 {
            let weight = g.weight(i);
            let one = Learner::gradients(&model, &x.narrow(0, i, 1).unwrap(), &labels[i..=i], |_| Some(vec![weight]));
            mean.iter_mut().zip(of(one.unwrap())).for_each(|(m, part)| *m += g.probabilities[i] * part);
        }
        assert!(mean.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-6), "{mean:?} {whole:?}");
        assert!(whole.iter().any(|w| w.abs() > 1e-3));
    }
}
