//! Convolutions of 3 x 3 taps and stride 1 by Winograd's F(2 x 2, 3 x 3) (Lavin and Gray 2016): tiles of 4 x 4 pixels are
//! transformed, multiplied channel by channel for each of their 16 places, and transformed back to 2 x 2 results: 16
//! multiplications where the direct way takes 36.

use pulp::{Simd as Vectors, WithSimd};

use super::{
    memory::scratch,
    multiply::{Block, Rows, Run, blocks, pack},
    simd::{Simd, relu},
};

/// Places of a transformed tile.
const PLACES: usize = 16;
/// Floats of transformed tiles and their products that are in work together: they stay in the second cache.
const WORK: usize = 1 << 17;
/// Fewer channels than this do not pay for the transformations.
const CHANNELS: usize = 32;

/// Where images with their borders lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Floats from image to image.
    pub(crate) image: usize,
    /// Floats from row to row.
    pub(crate) row: usize,
    /// Floats from pixel to pixel.
    pub(crate) pixel: usize,
    /// Of the first pixel under the first window.
    pub(crate) first: usize,
}

/// Whether a convolution from `input` to `output` channels with results of `h` by `w` pixels can and should go this way.
pub(crate) fn pays(simd: Simd, input: usize, output: usize, h: usize, w: usize) -> bool {
    let whole = |n: usize| n.is_multiple_of(simd.lanes()) && n >= CHANNELS;
    whole(input) && whole(output) && h.is_multiple_of(2) && w.is_multiple_of(2) && h > 0 && w > 0
}

/// Transformed taps, packed for multiplication.
pub(crate) struct Taps {
    input: usize,
    output: usize,
    blocks: Vec<Block>,
    /// `PLACES` matrices, each in its blocks.
    packed: Vec<f32>,
}

impl Taps {
    /// Of `weight(tap, input)`, the `output` numbers of a tap (row by row) and an input channel, written to the slice.
    pub(crate) fn new(simd: Simd, input: usize, output: usize, weight: impl Fn(usize, usize, &mut [f32])) -> Self {
        let blocks = blocks(simd, output);
        let matrix = input * output;
        let mut transformed = vec![0f32; PLACES * matrix];
        let mut taps = vec![0f32; 9 * output];
        for i in 0..input {
            for (tap, taps) in taps.chunks_exact_mut(output).enumerate() {
                weight(tap, i, taps);
            }
            for o in 0..output {
                let g = |y: usize, x: usize| taps[(y * 3 + x) * output + o];
                // G g Gᵗ with G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1].
                let line = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
                let columns = [0, 1, 2].map(|x| line(g(0, x), g(1, x), g(2, x)));
                for y in 0..4 {
                    for (x, value) in line(columns[0][y], columns[1][y], columns[2][y]).into_iter().enumerate() {
                        transformed[(y * 4 + x) * matrix + i * output + o] = value;
                    }
                }
            }
        }
        let mut packed = vec![0.; PLACES * matrix];
        for (matrix, packed) in transformed.chunks_exact(matrix).zip(packed.chunks_exact_mut(matrix)) {
            for block in &blocks {
                let length = input * block.width(simd);
                pack(simd, *block, matrix, output, &mut packed[block.offset(input)..][..length]);
            }
        }
        Self { input, output, blocks, packed }
    }

    /// Convolves `images` images to results of `h` by `w` pixels, which are written to `out` one image after the other.
    ///
    /// # Safety
    /// `out` must be good for `images h w output` floats that are this call's alone to write.
    #[allow(clippy::too_many_arguments)]
    pub(crate) unsafe fn convolve(
        &self,
        simd: Simd,
        x: &[f32],
        source: Source,
        images: usize,
        (h, w): (usize, usize),
        bias: Option<&[f32]>,
        relu: bool,
        out: *mut f32,
    ) {
        let Self { input, output, .. } = *self;
        assert!(pays(simd, input, output, h, w) && bias.is_none_or(|b| b.len() >= output));
        let (down, across) = (h / 2, w / 2);
        let last = source.first + (images - 1) * source.image + (h + 1) * source.row + (w + 1) * source.pixel + input;
        assert!(last <= x.len());
        let tiles = images * down * across;
        let at_once = (WORK / (PLACES * (input + output))).clamp(16, tiles.max(16));
        let from: Vec<usize> = (0..at_once).map(|t| t * input).collect();
        let to: Vec<usize> = (0..at_once).map(|t| t * output).collect();
        let runs = [Run { offset: 0, len: input }];
        // Of each tile, its first pixel in the source and its first result.
        let places: Vec<(usize, usize)> = (0..tiles)
            .map(|t| {
                let (image, y, x) = (t / (down * across), t / across % down * 2, t % across * 2);
                let start = source.first + image * source.image + y * source.row + x * source.pixel;
                (start, ((image * h + y) * w + x) * output)
            })
            .collect();
        scratch(PLACES * at_once * (input + output), |space| {
            let (spread, products) = space.split_at_mut(PLACES * at_once * input);
            for places in places.chunks(at_once) {
                let count = places.len();
                simd.run(Open { x, source, places, input, stride: at_once * input, out: spread });
                for place in 0..PLACES {
                    for block in &self.blocks {
                        let rows = Rows {
                            input: &spread[place * at_once * input..],
                            from: &from[..count],
                            runs: &runs,
                            weights: &self.packed[place * input * output + block.offset(input)..],
                            block: *block,
                            bias: None,
                            relu: false,
                            out: products[place * at_once * output..][..count * output].as_mut_ptr(),
                            to: &to[..count],
                        };
                        // SAFETY: the rows of the table lie in the slice that `out` was taken from.
                        unsafe { rows.run(simd) };
                    }
                }
                let stride = at_once * output;
                simd.run(Close { products, stride, places, output, row: w * output, bias, relu, out });
            }
        });
    }
}

/// Transforms tiles: `Bᵗ d B` with `Bᵗ = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]`.
struct Open<'a> {
    x: &'a [f32],
    source: Source,
    places: &'a [(usize, usize)],
    input: usize,
    /// Floats from one place's tiles to the next place's.
    stride: usize,
    out: &'a mut [f32],
}

impl WithSimd for Open<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // Constant places, so that they stay in registers.
    fn with_simd<S: Vectors>(self, simd: S) {
        assert!(self.input.is_multiple_of(S::F32_LANES) && self.places.len() * self.input <= self.stride);
        assert!(PLACES * self.stride <= self.out.len());
        let line = |a: S::f32s, b: S::f32s, c: S::f32s, d: S::f32s| {
            [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
        };
        for (tile, &(start, _)) in self.places.iter().enumerate() {
            for channel in (0..self.input).step_by(S::F32_LANES) {
                // SAFETY: `convolve` has checked that the last tile's last pixel lies in `x`; the results by the
                // assertions above.
                unsafe {
                    let x = self.x.as_ptr().add(start + channel);
                    let mut columns = [[simd.splat_f32s(0.); 4]; 4];
                    for (k, column) in columns.iter_mut().enumerate() {
                        let at = |y: usize| {
                            x.add(y * self.source.row + k * self.source.pixel).cast::<S::f32s>().read_unaligned()
                        };
                        *column = line(at(0), at(1), at(2), at(3));
                    }
                    let out = self.out.as_mut_ptr().add(tile * self.input + channel);
                    for y in 0..4 {
                        let row = line(columns[0][y], columns[1][y], columns[2][y], columns[3][y]);
                        for (x, value) in row.into_iter().enumerate() {
                            out.add((y * 4 + x) * self.stride).cast::<S::f32s>().write_unaligned(value);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms products back: `Aᵗ m A` with `Aᵗ = [1 1 1 0; 0 1 -1 -1]`, then bias and activation.
struct Close<'a> {
    products: &'a [f32],
    /// Floats from one place's products to the next place's.
    stride: usize,
    places: &'a [(usize, usize)],
    output: usize,
    /// Floats from row to row of the result.
    row: usize,
    bias: Option<&'a [f32]>,
    relu: bool,
    out: *mut f32,
}

impl WithSimd for Close<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // Constant places, so that they stay in registers.
    fn with_simd<S: Vectors>(self, simd: S) {
        assert!(self.output.is_multiple_of(S::F32_LANES) && self.places.len() * self.output <= self.stride);
        assert!(PLACES * self.stride <= self.products.len());
        let line = |a: S::f32s, b: S::f32s, c: S::f32s, d: S::f32s| {
            let (sum, difference) = (simd.add_f32s(b, c), simd.sub_f32s(b, c));
            [simd.add_f32s(a, sum), simd.sub_f32s(difference, d)]
        };
        for (tile, &(_, start)) in self.places.iter().enumerate() {
            for channel in (0..self.output).step_by(S::F32_LANES) {
                // SAFETY: the products by the assertions above; the bias is at least as long as the output (checked by
                // `convolve`); the results by `convolve`'s caller.
                unsafe {
                    let m = self.products.as_ptr().add(tile * self.output + channel);
                    let mut columns = [[simd.splat_f32s(0.); 2]; 4];
                    for (x, column) in columns.iter_mut().enumerate() {
                        let at = |y: usize| m.add((y * 4 + x) * self.stride).cast::<S::f32s>().read_unaligned();
                        *column = line(at(0), at(1), at(2), at(3));
                    }
                    let bias = match self.bias {
                        Some(bias) => bias.as_ptr().add(channel).cast::<S::f32s>().read_unaligned(),
                        None => simd.splat_f32s(0.),
                    };
                    let out = self.out.add(start + channel);
                    for y in 0..2 {
                        let row = line(columns[0][y], columns[1][y], columns[2][y], columns[3][y]);
                        for (x, value) in row.into_iter().enumerate() {
                            let value = if self.bias.is_some() { simd.add_f32s(value, bias) } else { value };
                            let value = if self.relu { relu(simd, value) } else { value };
                            out.add(y * self.row + x * self.output).cast::<S::f32s>().write_unaligned(value);
                        }
                    }
                }
            }
        }
    }
}
