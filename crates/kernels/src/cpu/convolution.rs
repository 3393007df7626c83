//! Direct channels-last convolution: forward, and both gradients.
//!
//! A few images at a time are copied between borders of zeros, so that the inner loops know no edges. The weights, as
//! `[kh, kw, in, out]`, are a matrix of `kh kw in` rows; one output pixel is a product of that matrix with `kh`
//! contiguous runs of the bordered image. The gradient of the input is a convolution of the output's gradient, one for
//! each remainder of the pixel's place by the stride.

use std::ops::Range;

use super::{
    memory::{Shared, scratch, written},
    multiply::{Block, Outer, Rows, Run, blocks, pack, pack_transposed, padded},
    norm::Normal,
    simd::Simd,
    threads,
    winograd::{self, Source, Taps},
};

/// Pixels of a group of images at least, so that small images fill the register tiles.
const GROUP: usize = 128;
/// Pixels over which one outer product sums before the next: few enough to stay in the first cache.
const SPAN: usize = 128;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) input: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) output: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Sizes {
    pub(crate) fn out_h(&self) -> usize {
        (self.h + 2 * self.padding - self.kh) / self.stride + 1
    }

    pub(crate) fn out_w(&self) -> usize {
        (self.w + 2 * self.padding - self.kw) / self.stride + 1
    }

    fn pixels(&self) -> usize {
        self.out_h() * self.out_w()
    }

    fn rows(&self) -> usize {
        self.kh * self.kw * self.input
    }

    /// Images in a group; depends on the sizes alone.
    fn group(&self) -> usize {
        GROUP.div_ceil(self.pixels()).min(self.n).max(1)
    }

    /// The bordered input.
    fn bordered(&self) -> Plane {
        Plane {
            h: self.h,
            w: self.w,
            channels: self.input,
            top: self.padding,
            left: self.padding,
            bottom: self.padding,
            right: self.padding,
            spread: self.input,
        }
    }

    /// Whether Winograd's way can and should be gone, both for the result and for the gradient of the input.
    fn winograd(&self, simd: Simd) -> bool {
        let small = (self.kh, self.kw, self.stride) == (3, 3, 1) && self.padding <= 2;
        small && winograd::pays(simd, self.input, self.output, self.out_h(), self.out_w())
    }

    /// Offset of the first element under the window of each output pixel, for `images` images.
    fn windows(&self, images: usize) -> Vec<usize> {
        let plane = self.bordered();
        let (oh, ow) = (self.out_h(), self.out_w());
        (0..images * oh * ow)
            .map(|i| {
                let (image, y, x) = (i / (oh * ow), i / ow % oh, i % ow);
                image * plane.len() + plane.at(y * self.stride, x * self.stride)
            })
            .collect()
    }
}

/// An image between borders of zeros.
#[derive(Clone, Copy, Debug)]
struct Plane {
    h: usize,
    w: usize,
    channels: usize,
    top: usize,
    left: usize,
    bottom: usize,
    right: usize,
    /// Distance between pixels: the channels, perhaps followed by zeros.
    spread: usize,
}

impl Plane {
    fn width(&self) -> usize {
        self.left + self.w + self.right
    }

    /// As Winograd's tiles see it, from a pixel counted from the corner of the border.
    fn source(&self, y: usize, x: usize) -> Source {
        Source { image: self.len(), row: self.at(1, 0), pixel: self.spread, first: self.at(y, x) }
    }

    fn len(&self) -> usize {
        (self.top + self.h + self.bottom) * self.width() * self.spread
    }

    /// Offset of a pixel counted from the corner of the border.
    fn at(&self, y: usize, x: usize) -> usize {
        (y * self.width() + x) * self.spread
    }

    /// Whether an image lies in memory like this without being copied.
    fn is_bare(&self) -> bool {
        self.len() == self.h * self.w * self.channels
    }

    /// Writes images and their borders. `row` writes one row of pixels, given its number.
    fn fill(&self, out: &mut [f32], row: impl Fn(usize, &mut [f32])) {
        for (image, out) in out.chunks_exact_mut(self.len()).enumerate() {
            let first = self.at(self.top, self.left);
            out[..first].fill(0.);
            for y in 0..self.h {
                let start = first + self.at(y, 0);
                let end = start + self.w * self.spread;
                row(image * self.h + y, &mut out[start..end]);
                let next = (end + (self.right + self.left) * self.spread).min(out.len());
                out[end..next].fill(0.);
            }
            let end = self.at(self.top + self.h, 0);
            out[end..].fill(0.);
        }
    }
}

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// Images in memory.
    Plain(&'a [f32]),
    /// Images that are normalised on the way.
    Normal(Normal<'a>),
}

impl<'a> Input<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Plain(x) => x.len(),
            Self::Normal(normal) => normal.len(),
        }
    }

    /// Whether the images can be read where they lie.
    fn lies_ready(&self, plane: &Plane) -> bool {
        matches!(self, Self::Plain(_)) && plane.is_bare()
    }

    /// Some images, their borders around them; in `space` unless they lie ready. Further floats may follow.
    fn place<'s>(&self, simd: Simd, plane: &Plane, images: Range<usize>, space: &'s mut [f32]) -> &'s [f32]
    where
        'a: 's,
    {
        let line = plane.w * plane.channels;
        let first = images.start * plane.h;
        match *self {
            Self::Plain(x) if plane.is_bare() => &x[first * line..images.end * plane.h * line],
            Self::Plain(x) => {
                let own = &mut space[..images.len() * plane.len()];
                plane.fill(own, |row, out| out.copy_from_slice(&x[(first + row) * line..][..line]));
                space
            }
            Self::Normal(normal) => {
                let own = &mut space[..images.len() * plane.len()];
                plane.fill(own, |row, out| {
                    let pixels = (first + row) * plane.w..(first + row + 1) * plane.w;
                    assert_eq!(out.len(), pixels.len() * plane.channels);
                    // SAFETY: that is the place needed.
                    unsafe { normal.apply_rows(simd, pixels, out.as_mut_ptr()) };
                });
                space
            }
        }
    }
}

/// All blocks of a matrix of weights, packed one after the other.
fn pack_all(simd: Simd, columns: usize, rows: usize, pack: impl Fn(Block, &mut [f32])) -> (Vec<Block>, Vec<f32>) {
    let blocks = blocks(simd, columns);
    let mut packed = vec![0.; rows * padded(simd, columns)];
    for block in &blocks {
        pack(*block, &mut packed[block.offset(rows)..][..rows * block.width(simd)]);
    }
    (blocks, packed)
}

/// `activation(x * w + b)`.
pub(crate) fn forward(simd: Simd, sizes: Sizes, x: Input, w: &[f32], bias: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let Sizes { n, input, output, .. } = sizes;
    let (rows, pixels, group) = (sizes.rows(), sizes.pixels(), sizes.group());
    assert_eq!((x.len(), w.len()), (n * sizes.h * sizes.w * input, rows * output));
    let plane = sizes.bordered();
    let winograd = sizes.winograd(simd).then(|| {
        Taps::new(simd, input, output, |tap, i, out| out.copy_from_slice(&w[(tap * input + i) * output..][..output]))
    });
    let (blocks, packed) = match winograd {
        Some(_) => (vec![], vec![]),
        None => pack_all(simd, output, rows, |block, packed| pack(simd, block, w, output, packed)),
    };
    let mut padded_bias = vec![0.; padded(simd, output)];
    if let Some(bias) = bias {
        padded_bias[..output].copy_from_slice(bias);
    }
    let runs: Vec<Run> = (0..sizes.kh).map(|y| Run { offset: plane.at(y, 0), len: sizes.kw * input }).collect();
    let from = sizes.windows(group);
    let to: Vec<usize> = (0..group * pixels).map(|i| i * output).collect();
    let fill = |out: Shared| {
        threads::for_each(n.div_ceil(group), |task| {
            let images = task * group..((task + 1) * group).min(n);
            let count = images.len() * pixels;
            scratch(if x.lies_ready(&plane) { 0 } else { images.len() * plane.len() }, |space| {
                let source = x.place(simd, &plane, images.clone(), space);
                if let Some(taps) = &winograd {
                    let (size, bias) = ((sizes.out_h(), sizes.out_w()), bias.map(|_| &*padded_bias));
                    // SAFETY: the results of the task's images, which no other task has.
                    unsafe {
                        let out = out.at(images.start * pixels * output);
                        taps.convolve(simd, source, plane.source(0, 0), images.len(), size, bias, relu, out);
                    }
                }
                for block in &blocks {
                    let rows = Rows {
                        input: source,
                        from: &from[..count],
                        runs: &runs,
                        weights: &packed[block.offset(rows)..],
                        block: *block,
                        bias: bias.map(|_| &padded_bias[block.first..]),
                        relu,
                        // SAFETY: the first pixel of the task's first image.
                        out: unsafe { out.at(images.start * pixels * output) },
                        to: &to[..count],
                    };
                    // SAFETY: the table points at the pixels of the task's images, which no other task has.
                    unsafe { rows.run(simd) };
                }
            });
        });
    };
    // SAFETY: the tasks cover all images, the blocks all channels.
    unsafe { written(n * pixels * output, |out| fill(Shared::new(out))) }
}

/// Which gradients [`backward`] computes beside that of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) input: bool,
    pub(crate) bias: bool,
}

/// Gradients of a convolution's inputs.
pub(crate) struct Gradients {
    pub(crate) input: Option<Vec<f32>>,
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
}

/// Pixels of the input whose places leave the same remainder by the stride: their gradient is one convolution.
struct Class {
    /// Offset of each pixel's first element of the gradient of the output, for a group of images.
    from: Vec<usize>,
    /// Offset of each pixel in the input.
    to: Vec<usize>,
    runs: Vec<Run>,
    /// The taps of `runs`, in their order.
    taps: Vec<usize>,
}

/// Where a tap finds the gradient of the output: `shift` pixels behind the place of the input pixel divided by the
/// stride. None if the stride jumps over it.
fn shift(place: usize, tap: usize, sizes: &Sizes) -> Option<isize> {
    let distance = (place + sizes.padding) as isize - tap as isize;
    let stride = sizes.stride as isize;
    (distance.rem_euclid(stride) == 0).then(|| distance.div_euclid(stride))
}

/// Zeros needed before and after the `out` places of one dimension of the gradient.
fn border(size: usize, kernel: usize, out: usize, sizes: &Sizes) -> (usize, usize) {
    let (mut before, mut after) = (0, 0);
    for place in 0..sizes.stride.min(size) {
        let count = (size - place).div_ceil(sizes.stride) as isize;
        for shift in (0..kernel).filter_map(|tap| shift(place, tap, sizes)) {
            before = before.max(-shift);
            after = after.max(shift + count - out as isize);
        }
    }
    (before as usize, after as usize)
}

fn classes(sizes: &Sizes, plane: &Plane, images: usize) -> Vec<Class> {
    let Sizes { h, w, input, kh, kw, output, stride, .. } = *sizes;
    let mut classes = vec![];
    for first_y in 0..stride.min(h) {
        for first_x in 0..stride.min(w) {
            let (rows, columns) = ((h - first_y).div_ceil(stride), (w - first_x).div_ceil(stride));
            let (mut from, mut to) = (vec![], vec![]);
            for image in 0..images {
                for y in 0..rows {
                    for x in 0..columns {
                        from.push(image * plane.len() + plane.at(y, x));
                        to.push((image * h * w + (first_y + y * stride) * w + first_x + x * stride) * input);
                    }
                }
            }
            let mut taps: Vec<(usize, usize)> = vec![];
            for ky in 0..kh {
                let Some(y) = shift(first_y, ky, sizes) else { continue };
                for kx in 0..kw {
                    let Some(x) = shift(first_x, kx, sizes) else { continue };
                    let (y, x) = (y + plane.top as isize, x + plane.left as isize);
                    taps.push((plane.at(y as usize, x as usize), ky * kw + kx));
                }
            }
            // In the order of memory, so that neighbours join.
            taps.sort_unstable();
            let mut runs: Vec<Run> = vec![];
            for (offset, _) in &taps {
                match runs.last_mut() {
                    Some(run) if run.offset + run.len == *offset => run.len += output,
                    _ => runs.push(Run { offset: *offset, len: output }),
                }
            }
            classes.push(Class { from, to, runs, taps: taps.into_iter().map(|(_, tap)| tap).collect() });
        }
    }
    classes
}

/// Gradients of `activation(x * w + b)`. `result` is the activation's result if that was a ReLU.
pub(crate) fn backward(
    simd: Simd,
    sizes: Sizes,
    x: Input,
    w: &[f32],
    result: Option<&[f32]>,
    dy: &[f32],
    wanted: Wanted,
) -> Gradients {
    let Sizes { n, h, w: width, input, kh, kw, output, .. } = sizes;
    let (rows, pixels, group) = (sizes.rows(), sizes.pixels(), sizes.group());
    let (oh, ow) = (sizes.out_h(), sizes.out_w());
    let (image, out_image) = (h * width * input, pixels * output);
    assert_eq!((x.len(), w.len(), dy.len()), (n * image, rows * output, n * out_image));
    assert!(result.is_none_or(|y| y.len() == dy.len()));

    let x_plane = sizes.bordered();
    let ((top, bottom), (left, right)) =
        if wanted.input { (border(h, kh, oh, &sizes), border(width, kw, ow, &sizes)) } else { ((0, 0), (0, 0)) };
    let spread = padded(simd, output);
    let dy_plane = Plane { h: oh, w: ow, channels: output, top, left, bottom, right, spread };
    let copies_dy = !dy_plane.is_bare() || result.is_some();

    let x_at = sizes.windows(group);
    let dy_at: Vec<usize> = (0..group * pixels)
        .map(|i| {
            let (image, y, x) = (i / pixels, i / ow % oh, i % ow);
            image * dy_plane.len() + dy_plane.at(y + top, x + left)
        })
        .collect();
    // The outer products that sum to the weights' gradient have the outputs along the vectors, or where that leaves fewer
    // lanes idle, a row of taps. Its last vector reads beyond the row: where the images lie ready there may be nothing.
    let run = kw * input;
    let wide = padded(simd, run);
    let flipped = output * kh * wide < rows * spread && (wide == run || !x.lies_ready(&x_plane));
    let sums_len = if flipped { output * kh * wide } else { rows * spread };
    let columns = blocks(simd, if flipped { run } else { output });
    // The gradient of the input is a convolution by the taps turned round, if its size is even too.
    let back = (wanted.input && sizes.winograd(simd) && winograd::pays(simd, output, input, h, width)).then(|| {
        Taps::new(simd, output, input, |tap, o, out| {
            let tap = &w[(8 - tap) * input * output..][..input * output];
            out.iter_mut().zip(tap.iter().skip(o).step_by(output)).for_each(|(out, w)| *out = *w);
        })
    });
    let classes = if wanted.input && back.is_none() { classes(&sizes, &dy_plane, group) } else { vec![] };
    let transposed: Vec<(Vec<Block>, Vec<f32>)> = classes
        .iter()
        .map(|class| {
            pack_all(simd, input, class.taps.len() * output, |block, packed| {
                let tap_len = output * block.width(simd);
                for (tap, packed) in class.taps.iter().zip(packed.chunks_exact_mut(tap_len)) {
                    pack_transposed(simd, block, &w[tap * input * output..][..input * output], output, packed);
                }
            })
        })
        .collect();

    let groups = n.div_ceil(group);
    // Parts of the batch that sum weight gradients of their own. Their number must depend on the sizes alone.
    let parts = if rows * spread > 1 << 15 { 4 } else { 8 };
    let parts = parts.min(groups);
    let sums = |part: usize, sums: &mut [f32], dx: Option<Shared>| {
        let (weight_sums, bias_sums) = sums.split_at_mut(sums_len);
        let x_len = if x.lies_ready(&x_plane) { 0 } else { group * x_plane.len() + simd.lanes() };
        let dy_len = if copies_dy { group * dy_plane.len() } else { 0 };
        scratch(x_len + dy_len, |space| {
            let (x_space, dy_space) = space.split_at_mut(x_len);
            let range = threads::part(part, parts, groups);
            for task in range.clone() {
                let images = task * group..((task + 1) * group).min(n);
                let count = images.len() * pixels;
                let x = x.place(simd, &x_plane, images.clone(), x_space);
                let dy = &dy[images.start * out_image..images.end * out_image];
                let dy = if copies_dy {
                    let out = &mut dy_space[..images.len() * dy_plane.len()];
                    let y = result.map(|y| &y[images.start * out_image..]);
                    simd.plain(
                        #[inline(always)]
                        || {
                            dy_plane.fill(out, |row, out| {
                                let at = row * ow * output;
                                let dy = &dy[at..at + ow * output];
                                match y {
                                    None => spread_row(dy, out, output, spread, |_, dy| dy),
                                    Some(y) => spread_row(dy, out, output, spread, |i, dy| {
                                        super::elementwise::relu_gradient(y[at + i], dy)
                                    }),
                                }
                            })
                        },
                    );
                    &*dy_space
                } else {
                    dy
                };
                if wanted.bias {
                    let mut sums = vec![0f32; spread];
                    simd.plain(
                        #[inline(always)]
                        || {
                            for at in &dy_at[..count] {
                                for (sum, dy) in sums.iter_mut().zip(&dy[*at..*at + spread]) {
                                    *sum += dy;
                                }
                            }
                        },
                    );
                    bias_sums.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum);
                }
                if let (Some(dx), Some(taps)) = (dx, &back) {
                    // The first window of the gradient lies two minus the padding before the first pixel.
                    let source = dy_plane.source(top + sizes.padding - 2, left + sizes.padding - 2);
                    // SAFETY: the task's images, which no other task has.
                    unsafe {
                        let out = dx.at(images.start * image);
                        taps.convolve(simd, dy, source, images.len(), (h, width), None, false, out);
                    }
                } else if let Some(dx) = dx {
                    for (class, (blocks, packed)) in classes.iter().zip(&transposed) {
                        let tap_rows = class.taps.len() * output;
                        let count = class.from.len() / group * images.len();
                        for block in blocks {
                            let rows = Rows {
                                input: dy,
                                from: &class.from[..count],
                                runs: &class.runs,
                                weights: &packed[block.offset(tap_rows)..],
                                block: *block,
                                bias: None,
                                relu: false,
                                // SAFETY: the first element of the task's first image.
                                out: unsafe { dx.at(images.start * image) },
                                to: &class.to[..count],
                            };
                            // SAFETY: the table points at pixels of the task's images, which no other task has.
                            unsafe { rows.run(simd) };
                        }
                    }
                }
                for first in (0..count).step_by(SPAN) {
                    let span = first..(first + SPAN).min(count);
                    let (x_at, dy_at) = (&x_at[span.clone()], &dy_at[span]);
                    let accumulate = task > range.start || first > 0;
                    for block in &columns {
                        for ky in 0..kh {
                            let x = &x[x_plane.at(ky, 0)..];
                            let vectors = block.vectors;
                            let outer = if flipped {
                                let out = weight_sums[ky * wide + block.first..].as_mut_ptr();
                                let (x, rows, stride) = (&x[block.first..], output, kh * wide);
                                Outer { x: dy, x_at: dy_at, rows, dy: x, dy_at: x_at, vectors, out, stride, accumulate }
                            } else {
                                let out = weight_sums[ky * run * spread + block.first..].as_mut_ptr();
                                let (dy, rows, stride) = (&dy[block.first..], run, spread);
                                Outer { x, x_at, rows, dy, dy_at, vectors, out, stride, accumulate }
                            };
                            // SAFETY: the sums are this part's own: `output` rows of `kh` times `wide` or `kh` times
                            // `run` rows of `spread`, whole vectors both, of which the blocks are columns.
                            unsafe { outer.run(simd) };
                        }
                    }
                }
            }
        });
    };
    let len = sums_len + spread;
    let mut total = vec![];
    let mut fill = |dx: Option<Shared>| total = threads::sum(parts, len, |part, space| sums(part, space, dx));
    let dx = if wanted.input {
        // SAFETY: the parts cover all images, the classes all pixels, the blocks all channels.
        Some(unsafe { written(n * image, |out| fill(Some(Shared::new(out)))) })
    } else {
        fill(None);
        None
    };
    let bias = wanted.bias.then(|| total[sums_len..][..output].to_vec());
    let weights = if flipped {
        let row = |row: usize| total[row / run * wide + row % run..sums_len].iter().step_by(kh * wide);
        (0..rows).flat_map(row).copied().collect()
    } else if spread == output {
        total.truncate(rows * output);
        total
    } else {
        total[..sums_len].chunks_exact(spread).flat_map(|row| &row[..output]).copied().collect()
    };
    Gradients { input: dx, weights, bias }
}

/// Copies pixels of `channels` elements to places `spread` apart, through `f`.
#[inline(always)]
fn spread_row(source: &[f32], out: &mut [f32], channels: usize, spread: usize, f: impl Fn(usize, f32) -> f32) {
    if channels == spread {
        for (i, (out, v)) in out.iter_mut().zip(source).enumerate() {
            *out = f(i, *v);
        }
        return;
    }
    for (x, (source, out)) in source.chunks_exact(channels).zip(out.chunks_exact_mut(spread)).enumerate() {
        for (c, (out, v)) in out.iter_mut().zip(source).enumerate() {
            *out = f(x * channels + c, *v);
        }
        out[channels..].fill(0.);
    }
}
