//! Which vector instructions the kernels run on, found out at run time.

use std::{any::TypeId, cell::Cell, sync::OnceLock};

use pulp::{MemMask, Scalar128b, Simd as Vectors, WithSimd};

/// An instruction set. Results of two sets differ by rounding; results of one set do not depend on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Simd {
    /// Plain Rust over four lanes, on any machine.
    Scalar,
    /// 64-bit ARM.
    Neon,
    /// x86-64 with 256-bit vectors and fused multiply-add.
    Avx2,
    /// x86-64 with 512-bit vectors.
    Avx512,
}

thread_local! {
    static FORCED: Cell<Option<Simd>> = const { Cell::new(None) };
}

impl Simd {
    /// What this machine has, slowest first. Never empty.
    pub fn available() -> Vec<Self> {
        [Self::Scalar, Self::Neon, Self::Avx2, Self::Avx512].into_iter().filter(|s| s.exists()).collect()
    }

    /// What ops called on this thread use: the fastest set of the machine unless [`Self::force`] says otherwise.
    pub fn current() -> Self {
        static FASTEST: OnceLock<Simd> = OnceLock::new();
        FORCED
            .get()
            .unwrap_or_else(|| *FASTEST.get_or_init(|| Self::available().pop().expect("plain Rust runs everywhere")))
    }

    /// Makes every op that `f` calls on this thread use this set (for tests and measurements).
    ///
    /// # Panics
    /// If the machine lacks it.
    pub fn force<R>(self, f: impl FnOnce() -> R) -> R {
        assert!(self.exists(), "this machine has no {self:?}");
        /// Puts the old choice back even if `f` panics.
        struct Restore(Option<Simd>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        let _restore = Restore(FORCED.replace(Some(self)));
        f()
    }

    fn exists(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// Floats in one vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Scalar | Self::Neon => 4,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }

    /// Vectors that one block of output channels spans at most: what the registers hold beside the broadcasts.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::Scalar => 2,
            Self::Neon | Self::Avx2 | Self::Avx512 => 3,
        }
    }

    /// Runs an operation compiled for this set.
    #[inline]
    pub(crate) fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                if let Some(simd) = pulp::x86::V4::try_new() {
                    return Vectors::vectorize(simd, op);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                if let Some(simd) = pulp::x86::V3::try_new() {
                    return Vectors::vectorize(simd, op);
                }
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => {
                if let Some(simd) = pulp::aarch64::Neon::try_new() {
                    return Vectors::vectorize(simd, op);
                }
            }
            _ => {}
        }
        Vectors::vectorize(Scalar128b, op)
    }

    /// Runs plain Rust that is compiled for this set, loops as vectors; the compiler does not fuse, so that results are
    /// those of any other set. `f` must be `#[inline(always)]`.
    #[inline]
    pub(crate) fn plain<R>(self, f: impl FnMut() -> R) -> R {
        /// Not a closure by itself: those are run as `FnOnce`, through a function of their own that may not be inlined,
        /// and is then compiled for the plainest of machines.
        struct Plain<F>(F);

        impl<R, F: FnMut() -> R> WithSimd for Plain<F> {
            type Output = R;

            #[inline(always)]
            fn with_simd<S: Vectors>(mut self, _simd: S) -> R {
                (self.0)()
            }
        }

        self.run(Plain(f))
    }
}

/// `a * b + c`, fused where the instruction set fuses.
#[inline(always)]
pub(crate) fn multiply_add<S: Vectors>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // Plain Rust would call the C library for every fused multiply-add. The comparison is made by the compiler.
    if TypeId::of::<S>() == TypeId::of::<Scalar128b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_e_f32s(a, b, c)
    }
}

/// The first `count` lanes.
#[inline(always)]
pub(crate) fn first_lanes<S: Vectors>(simd: S, count: usize) -> MemMask<S::m32s> {
    let mask = simd.mask_between_m32s(0, count as u32);
    // With 512 bits masked instructions are quicker than the calls that pulp makes for each load and store.
    if S::F32_LANES == 16 { MemMask::new(mask.mask()) } else { mask }
}

/// `max(x, 0)` that keeps NaN.
#[inline(always)]
pub(crate) fn relu<S: Vectors>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}
