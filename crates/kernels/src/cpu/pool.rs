//! Maximum and average over windows, which may overlap.

use super::{elementwise::rows, simd::Simd};
use crate::Pool2d;

/// Sizes of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) pool: Pool2d,
}

impl Sizes {
    fn out(&self, n: usize) -> usize {
        (n + 2 * self.pool.padding - self.pool.size) / self.pool.stride + 1
    }

    pub(crate) fn out_h(&self) -> usize {
        self.out(self.h)
    }

    pub(crate) fn out_w(&self) -> usize {
        self.out(self.w)
    }

    fn image(&self) -> usize {
        self.h * self.w * self.c
    }

    fn out_image(&self) -> usize {
        self.out_h() * self.out_w() * self.c
    }

    /// The places of one window that lie inside the image, row by row: number in the window, and pixel.
    #[inline(always)]
    fn window(&self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self { h, w, pool: Pool2d { size, stride, padding }, .. } = *self;
        (0..size * size).filter_map(move |k| {
            let (y, x) = ((y * stride + k / size).wrapping_sub(padding), (x * stride + k % size).wrapping_sub(padding));
            (y < h && x < w).then_some((k, y * w + x))
        })
    }

    /// Calls `f`, which must be `#[inline(always)]`, with each output pixel's number and place.
    #[inline(always)]
    fn for_each_output(&self, mut f: impl FnMut(usize, usize, usize)) {
        let (oh, ow) = (self.out_h(), self.out_w());
        for y in 0..oh {
            for x in 0..ow {
                f(y * ow + x, y, x);
            }
        }
    }
}

/// Largest element of each window of each channel. The first of several, and NaN before all.
pub(crate) fn max_forward(simd: Simd, sizes: Sizes, x: &[f32]) -> Vec<f32> {
    let (c, image) = (sizes.c, sizes.image());
    let mut out = vec![f32::NEG_INFINITY; x.len() / image * sizes.out_image()];
    rows(&mut out, sizes.out_image(), |i, out| {
        let x = &x[i * image..(i + 1) * image];
        simd.plain(
            #[inline(always)]
            || {
                sizes.for_each_output(
                    #[inline(always)]
                    |pixel, oy, ox| {
                        let out = &mut out[pixel * c..(pixel + 1) * c];
                        for (_, at) in sizes.window(oy, ox) {
                            for (out, x) in out.iter_mut().zip(&x[at * c..(at + 1) * c]) {
                                *out = if exceeds(*x, *out) { *x } else { *out };
                            }
                        }
                    },
                )
            },
        );
    });
    out
}

/// Whether `x` takes the place of the maximum so far.
#[inline(always)]
fn exceeds(x: f32, max: f32) -> bool {
    x > max || x.is_nan() && !max.is_nan()
}

/// Gradient of [`max_forward`]: to the first element of the window that equals the maximum.
pub(crate) fn max_backward(simd: Simd, sizes: Sizes, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (c, image, out_image) = (sizes.c, sizes.image(), sizes.out_image());
    let mut dx = vec![0f32; x.len()];
    rows(&mut dx, image, |i, dx| {
        let (x, dy) = (&x[i * image..(i + 1) * image], &dy[i * out_image..(i + 1) * out_image]);
        let mut max = vec![0f32; c];
        let mut place = vec![0u32; c];
        simd.plain(
            #[inline(always)]
            || {
                sizes.for_each_output(
                    #[inline(always)]
                    |pixel, oy, ox| {
                        max.fill(f32::NEG_INFINITY);
                        // A window of minus infinities has its first element as the maximum.
                        let first = sizes.window(oy, ox).next().map_or(u32::MAX, |(k, _)| k as u32);
                        place.fill(first);
                        for (k, at) in sizes.window(oy, ox) {
                            let x = &x[at * c..(at + 1) * c];
                            for ((max, place), x) in max.iter_mut().zip(place.iter_mut()).zip(x) {
                                let larger = exceeds(*x, *max);
                                *max = if larger { *x } else { *max };
                                *place = if larger { k as u32 } else { *place };
                            }
                        }
                        let dy = &dy[pixel * c..(pixel + 1) * c];
                        for (k, at) in sizes.window(oy, ox) {
                            let dx = &mut dx[at * c..(at + 1) * c];
                            for ((dx, dy), place) in dx.iter_mut().zip(dy).zip(&place) {
                                *dx += if *place == k as u32 { *dy } else { 0. };
                            }
                        }
                    },
                )
            },
        );
    });
    dx
}

/// Mean of each window, borders counting as zeros.
pub(crate) fn avg_forward(simd: Simd, sizes: Sizes, x: &[f32]) -> Vec<f32> {
    let (c, image) = (sizes.c, sizes.image());
    let scale = 1. / (sizes.pool.size * sizes.pool.size) as f32;
    let mut out = vec![0f32; x.len() / image * sizes.out_image()];
    rows(&mut out, sizes.out_image(), |i, out| {
        let x = &x[i * image..(i + 1) * image];
        simd.plain(
            #[inline(always)]
            || {
                sizes.for_each_output(
                    #[inline(always)]
                    |pixel, oy, ox| {
                        let out = &mut out[pixel * c..(pixel + 1) * c];
                        for (_, at) in sizes.window(oy, ox) {
                            for (out, x) in out.iter_mut().zip(&x[at * c..(at + 1) * c]) {
                                *out += x;
                            }
                        }
                        out.iter_mut().for_each(|v| *v *= scale);
                    },
                )
            },
        );
    });
    out
}

/// Gradient of [`avg_forward`].
pub(crate) fn avg_backward(simd: Simd, sizes: Sizes, dy: &[f32]) -> Vec<f32> {
    let (c, image, out_image) = (sizes.c, sizes.image(), sizes.out_image());
    let scale = 1. / (sizes.pool.size * sizes.pool.size) as f32;
    let mut dx = vec![0f32; dy.len() / out_image * image];
    rows(&mut dx, image, |i, dx| {
        let dy = &dy[i * out_image..(i + 1) * out_image];
        simd.plain(
            #[inline(always)]
            || {
                sizes.for_each_output(
                    #[inline(always)]
                    |pixel, oy, ox| {
                        let dy = &dy[pixel * c..(pixel + 1) * c];
                        for (_, at) in sizes.window(oy, ox) {
                            for (dx, dy) in dx[at * c..(at + 1) * c].iter_mut().zip(dy) {
                                *dx += dy * scale;
                            }
                        }
                    },
                )
            },
        );
    });
    dx
}
