//! An allocator for training.

use std::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_int,
    sync::Once,
};

use libmimalloc_sys::mi_option_set_default;
use mimalloc::MiMalloc;

/// mimalloc that never gives freed memory back: a training step asks for what the step before it freed, and pages that went
/// to the system in between have to be cleared again. The environment's `MIMALLOC_PURGE_DELAY` (milliseconds) goes before.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

/// mimalloc's number for the delay after which freed pages go back; its Rust interface names only some options.
const PURGE_DELAY: c_int = 15;

impl Allocator {
    #[inline]
    fn keep_memory() {
        static KEEP: Once = Once::new();
        KEEP.call_once(|| {
            // SAFETY: sets a number in a table, here before the program's first allocation and so before its second thread.
            unsafe { mi_option_set_default(PURGE_DELAY, -1) };
        });
    }
}

// SAFETY: mimalloc's own allocator, after a setting that changes no promise of it.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::keep_memory();
        // SAFETY: the caller's promises are passed on, here and below.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::keep_memory();
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs itself with the environment's setting, which shows that the number is that option's, and without.
    #[test]
    fn the_purge_delay_is_set_unless_the_environment_sets_it() {
        const WANTED: &str = "RETRIAL_TEST_PURGE_DELAY";
        if let Ok(wanted) = std::env::var(WANTED) {
            let layout = Layout::new::<u64>();
            // SAFETY: of a size that is not zero, and freed with the same layout.
            let delay = unsafe {
                let pointer = Allocator.alloc(layout);
                Allocator.dealloc(pointer, layout);
                libmimalloc_sys::mi_option_get(PURGE_DELAY)
            };
            assert_eq!(delay.to_string(), wanted);
            return;
        }
        let run = |delay: Option<&str>| {
            let mut this = std::process::Command::new(std::env::current_exe().unwrap());
            this.arg("the_purge_delay_is_set").env(WANTED, delay.unwrap_or("-1")).env_remove("MIMALLOC_PURGE_DELAY");
            if let Some(delay) = delay {
                this.env("MIMALLOC_PURGE_DELAY", delay);
            }
            let output = this.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        };
        run(None);
        run(Some("77"));
    }
}
