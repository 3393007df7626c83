//! Training ops for candle tensors whose gradients can be trusted.
//!
//! A network is written once against [`Graph`]: it runs forward op by op on [`Value`]s, remembers what the backward
//! pass needs, and gives the gradient of every parameter from a loss that is any candle expression of the network's
//! outputs. Activations are channels-last: `[batch, height, width, channels]` for images, `[batch, features]` for
//! vectors. Convolution weights are `[kernel height, kernel width, in, out]`, linear weights `[in, out]`.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use retrial_kernels::{Activation, Graph};
//! # fn main() -> candle_core::Result<()> {
//! let weight = Var::from_tensor(&Tensor::new(&[[1f32, -1.], [2., 0.5]], &Device::Cpu)?)?;
//! let x = Tensor::new(&[[3f32, 1.]], &Device::Cpu)?;
//!
//! let mut graph = Graph::training();
//! let x = graph.input(&x);
//! let w = graph.parameter(&weight);
//! let y = graph.linear(&x, &w, None, Activation::Relu)?;
//! let loss = graph.output(&y)?.sum_all()?; // any candle expression
//! let gradients = graph.backward(&loss)?;
//! assert_eq!(gradients.get(&weight).unwrap().to_vec2::<f32>()?, [[3., 0.], [1., 0.]]);
//! # Ok(())
//! # }
//! ```

#[allow(unsafe_code)] // The one place for it: each block says why it is sound.
mod cpu;
mod expressions;
mod graph;
mod late;
mod loss;
mod ops;
mod update;

#[cfg(feature = "allocator")]
pub use cpu::allocator::Allocator;
pub use cpu::peak::peak_flops;
pub use cpu::simd::Simd;
pub use graph::{Gradients, Graph, Value};
pub use loss::softmax_cross_entropy;
pub use ops::{Activation, Conv2d, Pool2d, RunningStatistics};
pub use update::{Adam, AdamState, Sgd};
