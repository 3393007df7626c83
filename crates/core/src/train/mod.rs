//! Optimisers, schedules, losses, evaluation, checkpoints.
//!
//! A paper's training loop stands in that paper and is made of these pieces:
//!
//! ```
//! # use candle_core::{Device, Tensor};
//! # use retrial_core::Seed;
//! # use retrial_core::model::{Architecture, InputShape};
//! use retrial_core::train::{Optimiser, OptimiserConfig, Schedule, accuracy, cross_entropy, evaluate, finite};
//! # use retrial_kernels::Graph;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let labels = [0, 1, 1];
//! # let x = Tensor::new(&[[-1f32, 0.2], [1., 0.1], [2., -0.3]], &Device::Cpu)?;
//! # let model = Architecture::Linear.build(&InputShape::Vector { dim: 2 }, 2, Seed(3), &Device::Cpu)?;
//! let mut optimiser = Optimiser::new(OptimiserConfig::sgd(0.9, 1e-4));
//! let schedule = Schedule::MultiStep { rate: 0.1, steps: vec![(20., 0.1)] };
//! for epoch in 0..30 {
//!     let rate = schedule.rate(epoch as f64);
//!     let mut graph = Graph::training();
//!     let logits = model.forward(&mut graph, &x)?;
//!     let losses = cross_entropy(&graph.output(&logits)?, &labels)?; // one a sample; weights go here
//!     let loss = losses.mean_all()?;
//!     finite(loss.to_scalar()?, epoch)?;
//!     optimiser.step(&model.parameters, &graph.backward(&loss)?, rate)?;
//! }
//! let evaluation = evaluate(&model, &[0, 1, 2], &labels, 2, |rows| {
//!     x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)
//! })?;
//! assert_eq!(accuracy(&evaluation.predictions, &labels), 1.);
//! # Ok(())
//! # }
//! ```

mod checkpoint;
pub mod co_teaching;
mod evaluate;
mod loss;
mod mixup;
mod optimiser;
mod schedule;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use evaluate::{Evaluation, accuracy, accuracy_where, evaluate, logits};
pub use loss::{Diverged, binary_cross_entropy, cross_entropy, finite, soft_cross_entropy};
pub use mixup::{Mixup, mix};
pub use optimiser::{Optimiser, OptimiserConfig};
pub use schedule::Schedule;

#[cfg(test)]
mod tests;
