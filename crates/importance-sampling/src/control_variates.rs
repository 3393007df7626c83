//! SVRG, SCSG and Katyusha: gradients corrected by a snapshot's. They reduce variance without choosing samples.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::RngExt;
use retrial_core::Seed;
use retrial_core::experiment::CellError;
use retrial_core::model::{Model, Weights};
use retrial_core::train::Checkpoint;
use retrial_kernels::Gradients;

use crate::config::{Config, ControlVariate};
use crate::learner::{CHUNK, Learner, Pass};
use crate::task::Task;

/// Both momenta of Katyusha.
const TAU: f64 = 0.5;

/// The snapshot and what belongs to it.
pub struct Snapshot {
    variant: ControlVariate,
    inner: u64,
    /// The network at the snapshot's weights.
    model: Model,
    /// Its mean gradient, by parameter.
    mean: Weights,
    /// Samples of the next snapshot's mean gradient (SCSG).
    size: f64,
    katyusha: Option<Katyusha>,
}

/// The sequences of Katyusha beside the one that is read; `x = (z + snapshot) / 2` with both momenta one half.
struct Katyusha {
    z: Weights,
    /// Sum of the iterates y since the snapshot, whose mean is the next one.
    sum: Weights,
    count: u64,
}

impl Snapshot {
    /// Before the first update.
    pub fn new(
        config: &Config,
        variant: ControlVariate,
        inner: u64,
        task: &Task,
        learner: &Learner,
        seed: Seed,
        device: &Device,
    ) -> Result<Self, CellError> {
        let model = config.architecture.build(&task.shape, task.classes, seed, device)?;
        let weights = learner.model.parameters.weights()?;
        let size =
            if let ControlVariate::Scsg { first, .. } = variant { first as f64 } else { task.train.len() as f64 };
        let katyusha = matches!(variant, ControlVariate::Katyusha { .. });
        let katyusha = katyusha.then(|| Katyusha { z: weights, sum: Weights::new(), count: 0 });
        Ok(Self { variant, inner: inner.max(1), model, mean: Weights::new(), size, katyusha })
    }

    /// One update on the samples `indices`. Returns the pass at the new point and the samples passed forward and back.
    pub fn step(
        &mut self,
        learner: &mut Learner,
        task: &Task,
        indices: &[u32],
        (seed, update, rate): (Seed, u64, f64),
        device: &Device,
    ) -> Result<(f64, usize), CellError> {
        let mut trained = 2 * indices.len();
        if update.is_multiple_of(self.inner) {
            trained += self.refresh(learner, task, seed, update, device)?;
        }
        if let Some(katyusha) = &self.katyusha {
            let x = combine(&katyusha.z, TAU, &self.model.parameters.weights()?, 1. - TAU)?;
            learner.model.parameters.set_weights(&x)?;
        }
        let (x, labels) = (task.batch(indices, seed, update, device)?, task.labels(indices));
        let mut here = Learner::gradients(&learner.model, &x, &labels, |_| None)?;
        let there = Learner::gradients(&self.model, &x, &labels, |_| None)?;
        self.correct(&learner.model, &mut here, &there.gradients)?;
        let loss = here.loss;
        match &mut self.katyusha {
            None => {
                learner.step(here, rate, update)?;
            }
            Some(katyusha) => {
                // The step is z's; the point that is read moves half as far from x.
                let x = learner.model.parameters.weights()?;
                learner.model.parameters.set_weights(&katyusha.z)?;
                learner.step(here, rate, update)?;
                let z = learner.model.parameters.weights()?;
                let y = combine(&x, 1., &combine(&z, TAU, &katyusha.z, -TAU)?, 1.)?;
                learner.model.parameters.set_weights(&y)?;
                katyusha.sum = if katyusha.count == 0 { y } else { combine(&katyusha.sum, 1., &y, 1.)? };
                katyusha.count += 1;
                katyusha.z = z;
            }
        }
        Ok((loss, trained))
    }

    /// Moves the snapshot and computes its mean gradient; returns the samples that took.
    fn refresh(
        &mut self,
        learner: &Learner,
        task: &Task,
        seed: Seed,
        update: u64,
        device: &Device,
    ) -> Result<usize, CellError> {
        let weights = match &mut self.katyusha {
            Some(k) if k.count > 0 => {
                let mean = combine(&k.sum, 1. / k.count as f64, &k.sum, 0.)?;
                (k.sum, k.count) = (Weights::new(), 0);
                mean
            }
            _ => learner.model.parameters.weights()?,
        };
        self.model.parameters.set_weights(&weights)?;
        let n = task.train.len();
        let samples: Vec<u32> = match self.variant {
            ControlVariate::Scsg { growth, .. } => {
                let size = (self.size as usize).clamp(1, n);
                self.size *= growth;
                let mut stream = seed.stream_at("snapshot", update);
                (0..size).map(|_| stream.random_range(0..n as u32)).collect()
            }
            _ => (0..n as u32).collect(),
        };
        self.mean.clear();
        for (part, chunk) in samples.chunks(CHUNK).enumerate() {
            // Each chunk has its own augmentation.
            let x = task.batch(chunk, seed.derive("snapshot").derive(&part.to_string()), update, device)?;
            let pass = Learner::gradients(&self.model, &x, &task.labels(chunk), |_| None)?;
            let share = chunk.len() as f64 / samples.len() as f64;
            for (name, parameter) in &self.model.parameters.trainable {
                let Some(gradient) = pass.gradients.get(&parameter.var) else { continue };
                let part = (gradient * share)?;
                let sum = match self.mean.remove(name) {
                    Some(sum) => (sum + part)?,
                    None => part,
                };
                self.mean.insert(name.clone(), sum.detach());
            }
        }
        Ok(samples.len())
    }

    /// `g - g_snapshot + mean`; as published for Katyusha, `g + g_snapshot - mean`.
    fn correct(&self, model: &Model, here: &mut Pass, there: &Gradients) -> Result<(), CellError> {
        let sign = if let ControlVariate::Katyusha { published_sign: true } = self.variant { -1. } else { 1. };
        for (name, parameter) in &model.parameters.trainable {
            let at_snapshot = there.get(&self.model.parameters.trainable[name].var);
            let (Some(g), Some(s), Some(mean)) = (here.gradients.get(&parameter.var), at_snapshot, self.mean.get(name))
            else {
                continue;
            };
            let corrected = (g + ((mean - s)? * sign)?)?;
            here.gradients.set(&parameter.var, corrected)?;
        }
        Ok(())
    }

    /// Adds all of it to a checkpoint.
    pub fn save(&self, checkpoint: Checkpoint) -> Result<Checkpoint, CellError> {
        let add = |checkpoint: Checkpoint, part: &str, tensors: &Weights| {
            checkpoint.with_tensors(part, tensors).map_err(CellError::other)
        };
        let mut saved = add(checkpoint, "snapshot", &self.model.parameters.weights()?)?;
        saved = add(saved, "mean", &self.mean)?;
        let size = Tensor::new(self.size, &Device::Cpu)?;
        saved = add(saved, "size", &BTreeMap::from([("size".to_string(), size)]))?;
        if let Some(katyusha) = &self.katyusha {
            saved = add(saved, "z", &katyusha.z)?;
            saved = add(saved, "sum", &katyusha.sum)?;
            let count = Tensor::new(katyusha.count as u32, &Device::Cpu)?;
            saved = add(saved, "count", &BTreeMap::from([("count".to_string(), count)]))?;
        }
        Ok(saved)
    }

    /// Takes back what [`Self::save`] added.
    pub fn restore(&mut self, saved: &Checkpoint) -> Result<(), CellError> {
        self.model.parameters.set_weights(&saved.tensors("snapshot"))?;
        let device = self.model.device.clone();
        let here = |part: &str| -> candle_core::Result<Weights> {
            saved.tensors(part).into_iter().map(|(name, t)| Ok((name, t.to_device(&device)?))).collect()
        };
        self.mean = here("mean")?;
        if let Some(size) = saved.tensors("size").get("size") {
            self.size = size.to_scalar()?;
        }
        if let Some(katyusha) = &mut self.katyusha {
            (katyusha.z, katyusha.sum) = (here("z")?, here("sum")?);
            if let Some(count) = saved.tensors("count").get("count") {
                katyusha.count = u64::from(count.to_scalar::<u32>()?);
            }
        }
        Ok(())
    }
}

/// `a x + b y`, name by name.
fn combine(x: &Weights, a: f64, y: &Weights, b: f64) -> Result<Weights, CellError> {
    let sum = |(name, x): (&String, &Tensor)| Ok((name.clone(), ((x * a)? + (&y[name] * b)?)?));
    Ok(x.iter().map(sum).collect::<candle_core::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use retrial_core::data::{Inputs, Split};
    use retrial_core::experiment::Profile;
    use retrial_core::model::{Architecture, InputShape};
    use retrial_core::train::OptimiserConfig;

    use super::*;

    const SAMPLES: usize = 12;
    const BATCH: usize = 3;

    struct Set {
        x: Tensor,
        labels: Vec<u32>,
        model: Model,
        snapshot: Snapshot,
    }

    fn gradient(model: &Model, x: &Tensor, labels: &[u32]) -> Weights {
        let pass = Learner::gradients(model, x, labels, |_| None).unwrap();
        let named = |(name, p): (&String, &retrial_core::model::Parameter)| {
            Some((name.clone(), pass.gradients.get(&p.var)?.detach()))
        };
        model.parameters.trainable.iter().filter_map(named).collect()
    }

    /// A network at a distance `moved` from its snapshot, whose mean gradient is known.
    fn set(variant: ControlVariate, moved: f64) -> Set {
        let mut stream = Seed(3).stream("test");
        let mut numbers = |count: usize| (0..count).map(|_| stream.random::<f32>() * 2. - 1.).collect::<Vec<f32>>();
        let x = Tensor::from_vec(numbers(SAMPLES * 5), (SAMPLES, 5), &Device::Cpu).unwrap();
        let labels: Vec<u32> = (0..SAMPLES as u32).map(|i| i * 7 % 3).collect();
        let build = || {
            let architecture = Architecture::KerasMlp { widths: vec![6] };
            architecture.build(&InputShape::Vector { dim: 5 }, 3, Seed(1), &Device::Cpu).unwrap()
        };
        let (model, old) = (build(), build());
        let weights = model.parameters.weights().unwrap();
        let step: Weights = weights
            .iter()
            .map(|(name, w)| {
                let by = Tensor::from_vec(numbers(w.elem_count()), w.dims(), &Device::Cpu).unwrap();
                (name.clone(), by)
            })
            .collect();
        model.parameters.set_weights(&combine(&weights, 1., &step, moved).unwrap()).unwrap();
        let mean = gradient(&old, &x, &labels);
        Set { snapshot: Snapshot { variant, inner: 1, model: old, mean, size: 1., katyusha: None }, x, labels, model }
    }

    /// Corrected gradients of the batches that make up the set.
    fn corrected(set: &Set) -> Vec<Weights> {
        let of = |start: usize| {
            let x = set.x.narrow(0, start, BATCH).unwrap();
            let labels = &set.labels[start..start + BATCH];
            let mut here = Learner::gradients(&set.model, &x, labels, |_| None).unwrap();
            let there = Learner::gradients(&set.snapshot.model, &x, labels, |_| None).unwrap();
            set.snapshot.correct(&set.model, &mut here, &there.gradients).unwrap();
            let named = |(name, p): (&String, &retrial_core::model::Parameter)| {
                Some((name.clone(), here.gradients.get(&p.var)?.detach()))
            };
            set.model.parameters.trainable.iter().filter_map(named).collect()
        };
        (0..SAMPLES).step_by(BATCH).map(of).collect()
    }

    fn square_distance(a: &Weights, b: &Weights) -> f64 {
        let difference = combine(a, 1., b, -1.).unwrap();
        difference.values().map(|d| f64::from(d.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())).sum()
    }

    const RIGHT: ControlVariate = ControlVariate::Svrg;
    const PUBLISHED: ControlVariate = ControlVariate::Katyusha { published_sign: true };

    /// Where nothing has moved, every batch gives the mean gradient; with the published sign twice its own less the mean.
    #[test]
    fn at_the_snapshot_every_batch_has_the_mean_gradient() {
        let right = set(RIGHT, 0.);
        for batch in corrected(&right) {
            assert!(square_distance(&batch, &right.snapshot.mean) < 1e-12);
        }
        let published = set(PUBLISHED, 0.);
        for (i, batch) in corrected(&published).into_iter().enumerate() {
            let x = published.x.narrow(0, i * BATCH, BATCH).unwrap();
            let own = gradient(&published.model, &x, &published.labels[i * BATCH..][..BATCH]);
            let expected = combine(&own, 2., &published.snapshot.mean, -1.).unwrap();
            assert!(square_distance(&batch, &expected) < 1e-12);
        }
    }

    /// Both signs are unbiased; only the right one lowers the variance near the snapshot.
    #[test]
    fn the_correction_is_unbiased_and_its_sign_matters() {
        let spread = |variant: Option<ControlVariate>| {
            let set = set(variant.unwrap_or(RIGHT), 0.05);
            let full = gradient(&set.model, &set.x, &set.labels);
            let own = |i: usize| {
                let x = set.x.narrow(0, i * BATCH, BATCH).unwrap();
                gradient(&set.model, &x, &set.labels[i * BATCH..][..BATCH])
            };
            let batches: Vec<Weights> = match variant {
                Some(_) => corrected(&set),
                None => (0..SAMPLES / BATCH).map(own).collect(),
            };
            let n = batches.len() as f64;
            let zero = combine(&full, 0., &full, 0.).unwrap();
            let mean = batches.iter().fold(zero, |sum, b| combine(&sum, 1., b, 1. / n).unwrap());
            assert!(square_distance(&mean, &full) < 1e-12, "{variant:?} is biased");
            batches.iter().map(|b| square_distance(b, &full)).sum::<f64>() / n
        };
        let (plain, right, published) = (spread(None), spread(Some(RIGHT)), spread(Some(PUBLISHED)));
        assert!(right < 0.1 * plain, "{right} of {plain}");
        assert!(published > 3. * plain, "{published} of {plain}");
    }

    /// Twelve images of four pixels, SGD without momentum, and a snapshot that moves every `inner` updates.
    fn trained(variant: ControlVariate, inner: u64) -> (Learner, Task, Snapshot) {
        let pixels = (0..SAMPLES as u32 * 4).map(|i| (i * 37 % 251) as u8).collect();
        let inputs = Inputs::Images { pixels, channels: 1, height: 2, width: 2 };
        let task = Task::of(Split { inputs, labels: (0..SAMPLES as u32).map(|i| i * 7 % 3).collect() }, 3);
        let cells = crate::experiments::grid(Profile::Smoke, Some(1)).into_iter().flat_map(|e| e.cells);
        let mut config = cells.into_iter().next().unwrap();
        config.architecture = Architecture::KerasMlp { widths: vec![6] };
        config.optimiser = OptimiserConfig::sgd(0., 0.);
        let learner = Learner::new(&config, &task, Seed(1), &Device::Cpu).unwrap();
        let snapshot = Snapshot::new(&config, variant, inner, &task, &learner, Seed(1), &Device::Cpu).unwrap();
        (learner, task, snapshot)
    }

    /// 4, then 6, 9, and 13.5 of which the set has 12: the samples that the snapshot's gradient is taken over.
    #[test]
    fn the_part_of_scsg_grows_up_to_the_whole_set() {
        let (learner, task, mut snapshot) = trained(ControlVariate::Scsg { first: 4, growth: 1.5 }, 1);
        let sizes = (0..5).map(|update| snapshot.refresh(&learner, &task, Seed(1), update, &Device::Cpu).unwrap());
        assert_eq!(sizes.collect::<Vec<_>>(), [4, 6, 9, 12, 12]);
    }

    /// The first update in closed form, `y = x - rate mean / 2`, since at the snapshot every batch gives the mean gradient
    /// and `z` moves by `rate mean`; at the next refresh the snapshot is the mean of the iterates, and `x` lies half-way
    /// to `z`.
    #[test]
    fn katyusha_moves_its_snapshot_to_the_mean_of_the_iterates() {
        let rate = 0.2;
        let (mut learner, task, mut snapshot) = trained(ControlVariate::Katyusha { published_sign: false }, 2);
        let start = learner.model.parameters.weights().unwrap();
        let (all, batch): (Vec<u32>, [u32; 3]) = ((0..SAMPLES as u32).collect(), [1, 5, 8]);
        let step = |learner: &mut Learner, snapshot: &mut Snapshot, update: u64| {
            let (_, trained) = snapshot.step(learner, &task, &batch, (Seed(1), update, rate), &Device::Cpu).unwrap();
            (trained, learner.model.parameters.weights().unwrap())
        };
        let whole = task.batch(&all, Seed(1), 0, &Device::Cpu).unwrap();
        let mean = gradient(&learner.model, &whole, &task.labels(&all));
        let (trained, first) = step(&mut learner, &mut snapshot, 0);
        assert_eq!(trained, 2 * batch.len() + SAMPLES);
        let closed = combine(&start, 1., &mean, -rate / 2.).unwrap();
        assert!(square_distance(&first, &closed) < 1e-12);
        let z = snapshot.katyusha.as_ref().unwrap().z.clone();
        assert!(square_distance(&z, &combine(&start, 1., &mean, -rate).unwrap()) < 1e-12);

        let (trained, second) = step(&mut learner, &mut snapshot, 1);
        assert_eq!(trained, 2 * batch.len());
        snapshot.refresh(&learner, &task, Seed(1), 2, &Device::Cpu).unwrap();
        let middle = combine(&first, 0.5, &second, 0.5).unwrap();
        assert!(square_distance(&snapshot.model.parameters.weights().unwrap(), &middle) < 1e-12);
        assert!(square_distance(&snapshot.mean, &gradient(&snapshot.model, &whole, &task.labels(&all))) < 1e-10);
        assert_eq!(snapshot.katyusha.as_ref().unwrap().count, 0);
    }
}
