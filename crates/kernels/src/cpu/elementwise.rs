//! Loops over single elements and over rows, left to the compiler to vectorise.

use std::{mem::MaybeUninit, ops::Range};

use super::{
    memory::{Shared, written},
    norm::Side,
    simd::Simd,
    threads,
};

/// Elements of one task.
const CHUNK: usize = 1 << 15;

/// `f` of each element.
pub(crate) fn map(simd: Simd, x: &[f32], f: impl Fn(f32) -> f32 + Sync + Send + Copy) -> Vec<f32> {
    chunks(
        simd,
        x.len(),
        #[inline(always)]
        |range, out| {
            for (out, x) in out.iter_mut().zip(&x[range]) {
                out.write(f(*x));
            }
        },
    )
}

/// `f` of each pair of elements.
pub(crate) fn zip(simd: Simd, a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync + Send + Copy) -> Vec<f32> {
    assert_eq!(a.len(), b.len());
    chunks(
        simd,
        a.len(),
        #[inline(always)]
        |range, out| {
            for ((out, a), b) in out.iter_mut().zip(&a[range.clone()]).zip(&b[range]) {
                out.write(f(*a, *b));
            }
        },
    )
}

/// `max(x, 0)` that keeps NaN.
#[inline(always)]
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0. { 0. } else { x }
}

/// The gradient below a ReLU with result `y`. Where the result is NaN the gradient passes, so that it shows.
#[inline(always)]
pub(crate) fn relu_gradient(y: f32, dy: f32) -> f32 {
    if y <= 0. { 0. } else { dy }
}

/// Calls `f`, which must be `#[inline(always)]`, for chunks of vectors of equal length, and their place.
pub(crate) fn update<const N: usize>(
    simd: Simd,
    data: [&mut [f32]; N],
    f: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync + Send,
) {
    let n = data[0].len();
    assert!(data.iter().all(|d| d.len() == n));
    let data = data.map(Shared::of);
    threads::for_each(n.div_ceil(CHUNK), |i| {
        let range = i * CHUNK..((i + 1) * CHUNK).min(n);
        // SAFETY: chunks are disjoint and inside the slices, which are distinct because they were borrowed for writing.
        let parts = data.map(|d| unsafe { std::slice::from_raw_parts_mut(d.at(range.start), range.len()) });
        simd.run(
            #[inline(always)]
            || f(range, parts),
        );
    });
}

/// Each element of `a` becomes `f` of it and its partner in `b`.
pub(crate) fn update_with(simd: Simd, a: &mut [f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync + Send + Copy) {
    assert_eq!(a.len(), b.len());
    update(
        simd,
        [a],
        #[inline(always)]
        |range, [a]| {
            for (a, b) in a.iter_mut().zip(&b[range]) {
                *a = f(*a, *b);
            }
        },
    );
}

/// A vector of `n` elements filled chunk by chunk by `f`, which must be `#[inline(always)]`.
fn chunks(simd: Simd, n: usize, f: impl Fn(Range<usize>, &mut [MaybeUninit<f32>]) + Sync + Send) -> Vec<f32> {
    let fill = |out: Shared| {
        threads::for_each(n.div_ceil(CHUNK), |i| {
            let range = i * CHUNK..((i + 1) * CHUNK).min(n);
            // SAFETY: chunks are disjoint and inside the vector.
            let part = unsafe { std::slice::from_raw_parts_mut(out.at(range.start).cast(), range.len()) };
            simd.run(
                #[inline(always)]
                || f(range, part),
            );
        });
    };
    // SAFETY: the chunks cover the vector and every closure above writes each element of its chunk.
    unsafe { written(n, |out| fill(Shared::new(out))) }
}

/// Sum of each column of `[rows, columns]`.
pub(crate) fn column_sums(simd: Simd, x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len() / columns;
    // A few hundred rows summed in f32, the sums of those in f64.
    let parts = rows.div_ceil(256);
    let sums = threads::map(parts, |i| {
        let rows = threads::part(i, parts, rows);
        let mut sums = vec![0f32; columns];
        simd.plain(
            #[inline(always)]
            || {
                for row in x[rows.start * columns..rows.end * columns].chunks_exact(columns) {
                    for (sum, x) in sums.iter_mut().zip(row) {
                        *sum += x;
                    }
                }
            },
        );
        sums
    });
    total(&sums, columns)
}

/// Sum of vectors, in f64 and in their order.
pub(crate) fn total(parts: &[Vec<f32>], n: usize) -> Vec<f32> {
    (0..n).map(|j| parts.iter().map(|p| f64::from(p[j])).sum::<f64>() as f32).collect()
}

/// `[n, pixels, c]` to the means `[n, c]`.
pub(crate) fn mean_over_pixels(simd: Simd, x: &[f32], n: usize, c: usize) -> Vec<f32> {
    let pixels = x.len() / (n * c).max(1);
    let mut out = vec![0f32; n * c];
    let scale = 1. / pixels as f32;
    rows(&mut out, c, |i, out| {
        simd.plain(
            #[inline(always)]
            || {
                for row in x[i * pixels * c..(i + 1) * pixels * c].chunks_exact(c) {
                    for (out, x) in out.iter_mut().zip(row) {
                        *out += x;
                    }
                }
                out.iter_mut().for_each(|v| *v *= scale);
            },
        );
    });
    out
}

/// Gradient of [`mean_over_pixels`].
pub(crate) fn spread_over_pixels(simd: Simd, dy: &[f32], pixels: usize, c: usize) -> Vec<f32> {
    let scale = 1. / pixels as f32;
    let n = dy.len() / c;
    let fill = |out: Shared| {
        threads::for_each(n, |i| {
            // SAFETY: image i's pixels, inside the vector and nobody else's.
            let out: &mut [MaybeUninit<f32>] =
                unsafe { std::slice::from_raw_parts_mut(out.at(i * pixels * c).cast(), pixels * c) };
            simd.plain(
                #[inline(always)]
                || {
                    for out in out.chunks_exact_mut(c) {
                        for (out, dy) in out.iter_mut().zip(&dy[i * c..(i + 1) * c]) {
                            out.write(dy * scale);
                        }
                    }
                },
            );
        });
    };
    // SAFETY: all pixels of all images are written.
    unsafe { written(n * pixels * c, |out| fill(Shared::new(out))) }
}

/// Rows of all sides beside each other.
pub(crate) fn join(sides: &[Side]) -> Vec<f32> {
    let columns = sides.iter().map(|side| side.channels).sum::<usize>();
    let rows = sides.first().map_or(0, |side| side.x.len() / side.channels);
    let parts = (rows * columns).div_ceil(CHUNK);
    let fill = |out: Shared| {
        threads::for_each(parts, |i| {
            for side in sides {
                for row in threads::part(i, parts, rows) {
                    let source = &side.x[row * side.channels..(row + 1) * side.channels];
                    // SAFETY: the row lies inside the result, and is this task's alone.
                    unsafe {
                        out.at(row * columns + side.first).copy_from_nonoverlapping(source.as_ptr(), side.channels);
                    }
                }
            }
        });
    };
    // SAFETY: all columns of all rows are written.
    unsafe { written(rows * columns, |out| fill(Shared::new(out))) }
}

/// Columns `first..first + count` of `[rows, columns]`.
pub(crate) fn cut(x: &[f32], columns: usize, first: usize, count: usize) -> Vec<f32> {
    let rows = x.len() / columns;
    assert!(first + count <= columns);
    let parts = (rows * count).div_ceil(CHUNK);
    let fill = |out: Shared| {
        threads::for_each(parts, |i| {
            for row in threads::part(i, parts, rows) {
                // SAFETY: the row lies inside both, and is this task's alone.
                unsafe {
                    let out = out.at(row * count);
                    out.copy_from_nonoverlapping(x[row * columns + first..].as_ptr(), count);
                }
            }
        });
    };
    // SAFETY: all rows are written.
    unsafe { written(rows * count, |out| fill(Shared::new(out))) }
}

/// Calls `f` for each row of `columns` elements.
pub(crate) fn rows(data: &mut [f32], columns: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    use rayon::prelude::*;
    if rayon::current_num_threads() == 1 {
        data.chunks_exact_mut(columns).enumerate().for_each(|(i, row)| f(i, row));
    } else {
        data.par_chunks_exact_mut(columns).enumerate().for_each(|(i, row)| f(i, row));
    }
}
