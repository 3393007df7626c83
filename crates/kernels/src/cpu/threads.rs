//! Work split into parts that depend on its size alone, so that results are the same bits on any number of threads.

use rayon::prelude::*;

/// Calls `f` for every part, on the current rayon pool; in order and without rayon if that has one thread.
pub(crate) fn for_each(parts: usize, f: impl Fn(usize) + Sync + Send) {
    if parts < 2 || rayon::current_num_threads() == 1 {
        (0..parts).for_each(f);
    } else {
        (0..parts).into_par_iter().for_each(f);
    }
}

/// As [`for_each`], with the results in the order of the parts.
pub(crate) fn map<T: Send>(parts: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    if parts < 2 || rayon::current_num_threads() == 1 {
        (0..parts).map(f).collect()
    } else {
        (0..parts).into_par_iter().map(f).collect()
    }
}

/// The range of part `i` of `n` items in `parts` nearly equal parts.
pub(crate) fn part(i: usize, parts: usize, n: usize) -> std::ops::Range<usize> {
    i * n / parts..(i + 1) * n / parts
}

/// The sum of what `f` writes for each part into vectors of `len` zeros, added in the order of the parts.
pub(crate) fn sum(parts: usize, len: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
    let of = |part| {
        let mut sums = vec![0f32; len];
        f(part, &mut sums);
        sums
    };
    let add = |mut total: Vec<f32>, part: Vec<f32>| {
        total.iter_mut().zip(&part).for_each(|(total, part)| *total += part);
        total
    };
    if parts < 2 || rayon::current_num_threads() == 1 {
        // One part at a time needs no memory for all of them.
        return (0..parts).map(of).reduce(add).unwrap_or_else(|| vec![0.; len]);
    }
    map(parts, of).into_iter().reduce(add).unwrap_or_else(|| vec![0.; len])
}
