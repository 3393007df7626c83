//! Kernels over f32 slices for the CPU.

#[cfg(feature = "allocator")]
pub(crate) mod allocator;
pub(crate) mod convolution;
pub(crate) mod elementwise;
pub(crate) mod linear;
pub(crate) mod lstm;
pub(crate) mod memory;
pub(crate) mod multiply;
pub(crate) mod norm;
pub(crate) mod peak;
pub(crate) mod pool;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod threads;
pub(crate) mod winograd;
