//! Matrix products of a fully connected layer.

use super::{
    memory::{Shared, scratch, written},
    multiply::{Block, Outer, Rows, Run, blocks, pack, pack_transposed},
    simd::Simd,
    threads,
};

/// Rows that one task handles when there are too few blocks of columns to share out.
const ROWS: usize = 64;

/// Sizes of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Rows of the input: the batch.
    pub(crate) n: usize,
    /// Inputs.
    pub(crate) input: usize,
    /// Outputs.
    pub(crate) output: usize,
}

/// `activation(x w + b)`.
pub(crate) fn forward(simd: Simd, sizes: Sizes, x: &[f32], w: &[f32], bias: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let Sizes { n, input, output } = sizes;
    assert_eq!((x.len(), w.len()), (n * input, input * output));
    product(simd, n, input, output, x, bias, relu, |block, packed| pack(simd, block, w, output, packed))
}

/// Gradient of the input: `dy wᵀ`.
pub(crate) fn input_gradient(simd: Simd, sizes: Sizes, w: &[f32], dy: &[f32]) -> Vec<f32> {
    let Sizes { n, input, output } = sizes;
    assert_eq!((dy.len(), w.len()), (n * output, input * output));
    product(simd, n, output, input, dy, None, false, |block, packed| pack_transposed(simd, block, w, output, packed))
}

/// `[n, inner] x [inner, columns]`, the second factor packed block by block where it is used.
#[allow(clippy::too_many_arguments)]
fn product(
    simd: Simd,
    n: usize,
    inner: usize,
    columns: usize,
    x: &[f32],
    bias: Option<&[f32]>,
    relu: bool,
    pack: impl Fn(Block, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let blocks = blocks(simd, columns);
    let parts = if blocks.len() < 4 { n.div_ceil(ROWS) } else { 1 };
    let from: Vec<usize> = (0..n).map(|i| i * inner).collect();
    let to: Vec<usize> = (0..n).map(|i| i * columns).collect();
    let runs = [Run { offset: 0, len: inner }];
    let fill = |out: Shared| {
        threads::for_each(blocks.len() * parts, |task| {
            let (block, rows) = (blocks[task / parts], threads::part(task % parts, parts, n));
            let width = block.width(simd);
            scratch((inner + 1) * width, |space| {
                let (packed_bias, packed) = space.split_at_mut(width);
                pack(block, packed);
                if let Some(bias) = bias {
                    packed_bias[..block.columns].copy_from_slice(&bias[block.first..block.first + block.columns]);
                    packed_bias[block.columns..].fill(0.);
                }
                let rows = Rows {
                    input: x,
                    from: &from[rows.clone()],
                    runs: &runs,
                    weights: packed,
                    block,
                    bias: bias.map(|_| &*packed_bias),
                    relu,
                    // SAFETY: the start of the output.
                    out: unsafe { out.at(0) },
                    to: &to[rows],
                };
                // SAFETY: `to` points at rows inside the output; no other task has these rows and columns.
                unsafe { rows.run(simd) };
            });
        });
    };
    // SAFETY: the tasks cover all rows and all columns.
    unsafe { written(n * columns, |out| fill(Shared::new(out))) }
}

/// Gradient of the weights: `xᵀ dy`.
pub(crate) fn weight_gradient(simd: Simd, sizes: Sizes, x: &[f32], dy: &[f32]) -> Vec<f32> {
    /// Rows of the batch whose gradients are packed together: a block of them fits the first cache.
    const BATCH: usize = 128;
    let Sizes { n, input, output } = sizes;
    assert_eq!((x.len(), dy.len()), (n * input, n * output));
    let blocks = blocks(simd, output);
    // Each task sums over the whole batch, for its own rows and columns of the result.
    let parts = if blocks.len() < 4 { input.div_ceil(ROWS).min(4) } else { 1 };
    let x_at: Vec<usize> = (0..n).map(|i| i * input).collect();
    let fill = |out: Shared| {
        threads::for_each(blocks.len() * parts, |task| {
            let (block, rows) = (blocks[task / parts], threads::part(task % parts, parts, input));
            let width = block.width(simd);
            let dy_at: Vec<usize> = (0..n.min(BATCH)).map(|i| i * width).collect();
            // What is summed in one go and has no idle lanes is written where it belongs.
            let direct = n <= BATCH && n > 0 && block.columns == width;
            scratch(BATCH * width + if direct { 0 } else { rows.len() * width }, |space| {
                let (packed, sums) = space.split_at_mut(BATCH * width);
                // SAFETY: inside the result. No other task writes these columns of these rows.
                let own = unsafe { out.at(rows.start * output + block.first) };
                let (sums_at, stride) = if direct { (own, output) } else { (sums.as_mut_ptr(), width) };
                for first in (0..n).step_by(BATCH) {
                    let count = BATCH.min(n - first);
                    pack(simd, block, &dy[first * output..(first + count) * output], output, packed);
                    let outer = Outer {
                        x: &x[rows.start..],
                        x_at: &x_at[first..first + count],
                        rows: rows.len(),
                        dy: packed,
                        dy_at: &dy_at[..count],
                        vectors: block.vectors,
                        out: sums_at,
                        stride,
                        accumulate: first > 0,
                    };
                    // SAFETY: either the rows' columns, which are whole vectors, or as much scratch space.
                    unsafe { outer.run(simd) };
                }
                if n == 0 {
                    sums.fill(0.);
                }
                if !direct {
                    for (row, sums) in sums.chunks_exact(width).take(rows.len()).enumerate() {
                        // SAFETY: inside the row; no other task has this row and these columns.
                        unsafe { own.add(row * output).copy_from_nonoverlapping(sums.as_ptr(), block.columns) };
                    }
                }
            });
        });
    };
    // SAFETY: the tasks cover all rows and all columns.
    unsafe { written(input * output, |out| fill(Shared::new(out))) }
}
