//! The two inner loops that every convolution and every matrix product runs on.
//!
//! [`Rows`] computes a few output pixels at a time from rows of the input and a packed block of weights; [`Outer`] sums
//! outer products of input and gradient over pixels, which is the weight gradient. Both keep a tile of sums in
//! registers. Neither knows about images: tables of offsets say where each pixel's numbers lie.

use pulp::{Simd as Vectors, WithSimd};

use super::simd::{Simd, first_lanes, multiply_add, relu};

/// Neighbouring columns of a matrix: `vectors` whole vectors wide once packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// First column.
    pub(crate) first: usize,
    /// Columns, at most `vectors` times the lanes.
    pub(crate) columns: usize,
    /// Vectors.
    pub(crate) vectors: usize,
}

impl Block {
    /// Floats in a packed row.
    pub(crate) fn width(self, simd: Simd) -> usize {
        self.vectors * simd.lanes()
    }

    /// Where the block's rows start in a packed matrix of that many rows.
    pub(crate) fn offset(self, rows: usize) -> usize {
        self.first * rows
    }
}

/// Columns rounded up to whole vectors.
pub(crate) fn padded(simd: Simd, columns: usize) -> usize {
    columns.next_multiple_of(simd.lanes())
}

/// Cuts columns into blocks of nearly equal width.
pub(crate) fn blocks(simd: Simd, columns: usize) -> Vec<Block> {
    let vectors = columns.div_ceil(simd.lanes());
    let count = vectors.div_ceil(simd.block());
    let mut first = 0;
    (0..count)
        .map(|i| {
            let vectors = vectors / count + usize::from(i < vectors % count);
            let block = Block { first, columns: (columns - first).min(vectors * simd.lanes()), vectors };
            first += block.columns;
            block
        })
        .collect()
}

/// Packs a block of a row-major matrix whose rows lie `stride` apart.
pub(crate) fn pack(simd: Simd, block: Block, matrix: &[f32], stride: usize, packed: &mut [f32]) {
    /// Divides the lanes of every instruction set.
    const PIECE: usize = 4;
    let width = block.width(simd);
    let rows = matrix.chunks(stride).zip(packed.chunks_exact_mut(width));
    if block.columns < width {
        for (row, packed) in rows {
            packed[..block.columns].copy_from_slice(&row[block.first..block.first + block.columns]);
            packed[block.columns..].fill(0.);
        }
        return;
    }
    for (row, packed) in rows {
        // In pieces of a length that the compiler knows: a call for each row would take as long as its copy.
        let row = row[block.first..block.first + width].as_chunks::<PIECE>().0;
        packed.as_chunks_mut::<PIECE>().0.iter_mut().zip(row).for_each(|(packed, row)| *packed = *row);
    }
}

/// Packs a block of the transpose of a row-major matrix whose rows lie `stride` apart: its columns are that matrix's rows.
pub(crate) fn pack_transposed(simd: Simd, block: Block, matrix: &[f32], stride: usize, packed: &mut [f32]) {
    /// Rows handled together: their lines stay in the first cache, and those read are long enough to be foreseen.
    const TILE: usize = 128;
    let width = block.width(simd);
    for (tile, packed) in packed.chunks_mut(TILE * width).enumerate() {
        let rows = packed.len() / width;
        let source = |column: usize| &matrix[(block.first + column) * stride + tile * TILE..][..rows];
        let mut column = 0;
        while column + 4 <= block.columns {
            let (a, b, c, d) = (source(column), source(column + 1), source(column + 2), source(column + 3));
            for (row, packed) in packed.chunks_exact_mut(width).enumerate() {
                packed[column..column + 4].copy_from_slice(&[a[row], b[row], c[row], d[row]]);
            }
            column += 4;
        }
        for column in column..block.columns {
            for (packed, value) in packed.chunks_exact_mut(width).zip(source(column)) {
                packed[column] = *value;
            }
        }
        if block.columns < width {
            for row in packed.chunks_exact_mut(width) {
                row[block.columns..].fill(0.);
            }
        }
    }
}

/// A stretch of a pixel's input that lies contiguous in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Distance from the pixel's offset.
    pub(crate) offset: usize,
    /// Floats.
    pub(crate) len: usize,
}

/// For each pixel: `out = activation(bias + sum over runs and k of input[run.offset + k] * weights[row])`, the rows of
/// the packed block taken in the order of the runs.
pub(crate) struct Rows<'a> {
    pub(crate) input: &'a [f32],
    /// Offset of each pixel's input.
    pub(crate) from: &'a [usize],
    pub(crate) runs: &'a [Run],
    pub(crate) weights: &'a [f32],
    pub(crate) block: Block,
    /// As long as the block is wide.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) relu: bool,
    /// Start of the output.
    pub(crate) out: *mut f32,
    /// Offset of each pixel's output, to which the block's first column is added.
    pub(crate) to: &'a [usize],
}

impl Rows<'_> {
    /// # Safety
    /// `out` plus each offset in `to` plus the block's columns must be this call's alone to write.
    pub(crate) unsafe fn run(self, simd: Simd) {
        assert_eq!(self.from.len(), self.to.len());
        let Some(furthest) = self.from.iter().max() else { return };
        let reach = self.runs.iter().map(|r| r.offset + r.len).max().unwrap_or(0);
        assert!(reach == 0 || furthest + reach <= self.input.len());
        let rows: usize = self.runs.iter().map(|r| r.len).sum();
        assert!(rows * self.block.width(simd) <= self.weights.len());
        assert!(self.bias.is_none_or(|b| b.len() >= self.block.width(simd)));
        simd.run(self);
    }
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(self, simd: S) {
        // SAFETY: `run`, the only caller, has checked the input, the weights and the bias against the tables, and its
        // caller promises the output.
        unsafe {
            if S::REGISTER_COUNT >= 32 {
                match self.block.vectors {
                    1 => self.tiles::<S, 16, 8, 1>(simd),
                    2 => self.tiles::<S, 12, 6, 2>(simd),
                    _ => self.tiles::<S, 8, 4, 3>(simd),
                }
            } else {
                match self.block.vectors {
                    1 => self.tiles::<S, 12, 6, 1>(simd),
                    2 => self.tiles::<S, 6, 2, 2>(simd),
                    _ => self.tiles::<S, 4, 2, 3>(simd),
                }
            }
        }
    }
}

impl Rows<'_> {
    /// All pixels, `P` at a time and `Q` at a time at the end. The last tile repeats its last pixel.
    ///
    /// # Safety
    /// See [`Rows::run`].
    #[inline(always)]
    unsafe fn tiles<S: Vectors, const P: usize, const Q: usize, const V: usize>(&self, simd: S) {
        let count = self.from.len();
        let mut pixel = 0;
        // SAFETY: as the caller promises.
        unsafe {
            while pixel + Q < count {
                self.tile::<S, P, V>(simd, pixel);
                pixel += P;
            }
            if pixel < count {
                self.tile::<S, Q, V>(simd, pixel);
            }
        }
    }

    /// # Safety
    /// See [`Rows::run`].
    #[inline(always)]
    // Loops over a constant number of places, so that the sums stay in registers: iterators would put them in memory.
    #[allow(clippy::needless_range_loop)]
    unsafe fn tile<S: Vectors, const P: usize, const V: usize>(&self, simd: S, pixel: usize) {
        let lanes = S::F32_LANES;
        let last = self.from.len() - 1;
        let mut sums = [[simd.splat_f32s(0.); V]; P];
        let mut inputs = [self.input.as_ptr(); P];
        let mut weights = self.weights.as_ptr();
        // SAFETY: `run` has checked that every offset of `from` plus every run lies in `input` (wrapping_add because an
        // empty list of runs leaves the offsets unchecked and unread), that the weights hold as many rows as the runs
        // have floats, and that the bias is as wide as the block. The output is the caller's promise.
        unsafe {
            if let Some(bias) = self.bias {
                for v in 0..V {
                    let b = bias.as_ptr().add(v * lanes).cast::<S::f32s>().read_unaligned();
                    for p in 0..P {
                        sums[p][v] = b;
                    }
                }
            }
            for (p, input) in inputs.iter_mut().enumerate() {
                *input = input.wrapping_add(self.from[(pixel + p).min(last)]);
            }
            for run in self.runs {
                let mut at = inputs;
                for a in &mut at {
                    *a = a.add(run.offset);
                }
                for k in 0..run.len {
                    let mut w = [simd.splat_f32s(0.); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        *w = weights.add(v * lanes).cast::<S::f32s>().read_unaligned();
                    }
                    weights = weights.add(V * lanes);
                    for p in 0..P {
                        let x = simd.splat_f32s(*at[p].add(k));
                        for v in 0..V {
                            sums[p][v] = multiply_add(simd, x, w[v], sums[p][v]);
                        }
                    }
                }
            }
            let ragged = self.block.columns - (V - 1) * lanes;
            let mask = first_lanes(simd, ragged);
            for p in 0..P {
                let out = self.out.add(self.to[(pixel + p).min(last)] + self.block.first);
                for v in 0..V {
                    let value = if self.relu { relu(simd, sums[p][v]) } else { sums[p][v] };
                    if v + 1 < V || ragged == lanes {
                        out.add(v * lanes).cast::<S::f32s>().write_unaligned(value);
                    } else {
                        simd.mask_store_ptr_f32s(mask, out.add(v * lanes), value);
                    }
                }
            }
        }
    }
}

/// `out[r][..] (+)= sum over pixels of x[x_at[pixel] + r] * dy[dy_at[pixel] ..]`.
pub(crate) struct Outer<'a> {
    pub(crate) x: &'a [f32],
    /// Offset of each pixel's input.
    pub(crate) x_at: &'a [usize],
    /// Rows of the result: neighbouring floats of the input.
    pub(crate) rows: usize,
    pub(crate) dy: &'a [f32],
    /// Offset of each pixel's gradient.
    pub(crate) dy_at: &'a [usize],
    /// Width of the result, in vectors.
    pub(crate) vectors: usize,
    /// Where the result starts.
    pub(crate) out: *mut f32,
    /// Distance of its rows.
    pub(crate) stride: usize,
    /// Adds to what `out` holds instead of overwriting it.
    pub(crate) accumulate: bool,
}

impl Outer<'_> {
    /// # Safety
    /// `out` must be good for `rows` rows of `vectors` whole vectors that are this call's alone to write.
    pub(crate) unsafe fn run(self, simd: Simd) {
        let width = self.vectors * simd.lanes();
        assert_eq!(self.x_at.len(), self.dy_at.len());
        if let (Some(x), Some(dy)) = (self.x_at.iter().max(), self.dy_at.iter().max()) {
            assert!(x + self.rows <= self.x.len() && dy + width <= self.dy.len());
        }
        simd.run(self);
    }

    /// # Safety
    /// The slices must hold what the tables ask for, as `run` checks.
    #[inline(always)]
    unsafe fn all<S: Vectors, const P: usize, const V: usize>(&mut self, simd: S) {
        let mut row = 0;
        // SAFETY: each call covers rows below `self.rows`.
        unsafe {
            while row + P <= self.rows {
                self.tile::<S, P, V>(simd, row);
                row += P;
            }
            if P > 8 && row + 8 <= self.rows {
                self.tile::<S, 8, V>(simd, row);
                row += 8;
            }
            if P > 4 && row + 4 <= self.rows {
                self.tile::<S, 4, V>(simd, row);
                row += 4;
            }
            if row + 2 <= self.rows {
                self.tile::<S, 2, V>(simd, row);
                row += 2;
            }
            while row < self.rows {
                self.tile::<S, 1, V>(simd, row);
                row += 1;
            }
        }
    }

    /// # Safety
    /// As for `all`, with `row + P <= rows`.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // See `Rows::tile`.
    unsafe fn tile<S: Vectors, const P: usize, const V: usize>(&mut self, simd: S, row: usize) {
        let lanes = S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.); V]; P];
        // SAFETY: `run` has checked the furthest pixel and the last row against the slices.
        unsafe {
            let out = self.out.add(row * self.stride);
            if self.accumulate {
                for p in 0..P {
                    for v in 0..V {
                        sums[p][v] = out.add(p * self.stride + v * lanes).cast::<S::f32s>().read_unaligned();
                    }
                }
            }
            let x = self.x.as_ptr().add(row);
            for (x_at, dy_at) in self.x_at.iter().zip(self.dy_at) {
                let x = x.add(*x_at);
                let dy = self.dy.as_ptr().add(*dy_at);
                let mut d = [simd.splat_f32s(0.); V];
                for (v, d) in d.iter_mut().enumerate() {
                    *d = dy.add(v * lanes).cast::<S::f32s>().read_unaligned();
                }
                for p in 0..P {
                    let x = simd.splat_f32s(*x.add(p));
                    for v in 0..V {
                        sums[p][v] = multiply_add(simd, x, d[v], sums[p][v]);
                    }
                }
            }
            for p in 0..P {
                for v in 0..V {
                    out.add(p * self.stride + v * lanes).cast::<S::f32s>().write_unaligned(sums[p][v]);
                }
            }
        }
    }
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(mut self, simd: S) {
        // SAFETY: `run`, the only caller, has checked the slices.
        unsafe {
            if S::REGISTER_COUNT >= 32 {
                match self.vectors {
                    1 => self.all::<S, 16, 1>(simd),
                    2 => self.all::<S, 12, 2>(simd),
                    _ => self.all::<S, 8, 3>(simd),
                }
            } else {
                match self.vectors {
                    1 => self.all::<S, 8, 1>(simd),
                    2 => self.all::<S, 6, 2>(simd),
                    _ => self.all::<S, 4, 3>(simd),
                }
            }
        }
    }
}
