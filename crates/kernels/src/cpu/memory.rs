//! Floats of candle tensors, results that are written once, and scratch space that stays with its thread.

use std::{cell::RefCell, mem::MaybeUninit, ops::Deref};

use candle_core::{CpuStorage, Device, Result, Shape, Storage, StorageRef, Tensor, bail};

/// The elements of a contiguous f32 tensor on the CPU, locked for reading.
pub(crate) struct Floats<'a> {
    storage: StorageRef<'a>,
    start: usize,
    end: usize,
}

impl<'a> Floats<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("expected a contiguous tensor") };
        let Storage::Cpu(CpuStorage::F32(_)) = &*storage else { bail!("expected f32 on the CPU") };
        Ok(Self { storage, start, end })
    }
}

impl Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(all)) => &all[self.start..self.end],
            _ => unreachable!("checked when it was locked"),
        }
    }
}

/// A tensor that owns `data`.
pub(crate) fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape.into(), &Device::Cpu)
}

/// `n` floats without a first pass of zeros.
///
/// # Safety
/// `write` must set each of them.
pub(crate) unsafe fn written(n: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut data = Vec::with_capacity(n);
    write(&mut data.spare_capacity_mut()[..n]);
    // SAFETY: the capacity is at least n and the caller promises that `write` has set n elements.
    unsafe { data.set_len(n) };
    data
}

/// A pointer that parts of a job write through, each to places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: a raw address; whoever writes through it promises disjoint places (see `at`).
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(slice: &mut [MaybeUninit<f32>]) -> Self {
        Self(slice.as_mut_ptr().cast())
    }

    pub(crate) fn of(slice: &mut [f32]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// A slice that is only read through this.
    pub(crate) fn reading(slice: &[f32]) -> Self {
        Self(slice.as_ptr().cast_mut())
    }

    /// # Safety
    /// `offset` must lie inside the slice, and no two parts may use one place.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: inside the allocation, by the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// Runs `f` with `n` floats of scratch space, whose content is whatever an earlier call left (but always initialised).
/// Calls may nest.
pub(crate) fn scratch<R>(n: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(vec![]) };
    }
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < n {
        buffer.clear();
        buffer.resize(n, 0.);
    }
    let result = f(&mut buffer[..n]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}
