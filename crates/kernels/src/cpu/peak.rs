//! What a core's vectors can do at most.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Simd as Vectors, WithSimd};

use super::simd::{Simd, multiply_add};

/// Sums that are kept going at once: more than a multiply-add takes cycles times the units that do them.
const SUMS: usize = 12;
const STEPS: usize = 1 << 20;

/// Floating-point operations a second of the calling core at multiply-adds in registers, the best of ten runs of a few
/// milliseconds: what kernels are measured against.
pub fn peak_flops() -> f64 {
    let simd = Simd::current();
    let run = |_| {
        let start = Instant::now();
        let operations = simd.run(Spin);
        operations as f64 / start.elapsed().as_secs_f64()
    };
    (0..10).map(run).fold(0., f64::max)
}

struct Spin;

impl WithSimd for Spin {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Vectors>(self, simd: S) -> usize {
        let factor = simd.splat_f32s(black_box(0.999));
        let mut sums = [simd.splat_f32s(black_box(1.)); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = multiply_add(simd, *sum, factor, factor);
            }
        }
        for sum in sums {
            black_box(simd.reduce_sum_f32s(sum));
        }
        2 * STEPS * SUMS * S::F32_LANES
    }
}
