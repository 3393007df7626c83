//! A long short-term memory over a whole sequence.
//!
//! Rows of the batch never meet before the sums of weight gradients, so that a part of the batch runs through all of time
//! on its own: one multiplication by packed weights a step and no meeting of threads.

use super::{
    elementwise, linear,
    memory::Shared,
    multiply::{Block, Rows, Run, blocks, pack, pack_transposed},
    simd::Simd,
    threads,
};

/// Rows of the batch that go through time together.
const PART: usize = 16;

/// Sizes of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Sequences.
    pub(crate) n: usize,
    /// Steps of each.
    pub(crate) steps: usize,
    /// Numbers in a step.
    pub(crate) input: usize,
    /// Units.
    pub(crate) hidden: usize,
}

impl Sizes {
    fn parts(self) -> usize {
        self.n.div_ceil(PART)
    }

    fn rows(self, part: usize) -> std::ops::Range<usize> {
        threads::part(part, self.parts(), self.n)
    }

    /// Width of what a step multiplies: its input beside the state before it.
    fn joint(self) -> usize {
        self.input + self.hidden
    }
}

/// What a part of the batch remembers of every step, step by step.
pub(crate) struct Part {
    /// `[steps, rows, input + hidden]`: the input beside the hidden state before it.
    joint: Vec<f32>,
    /// `[steps, rows, 4 hidden]`: input, forget, candidate and output gates after their functions.
    gates: Vec<f32>,
    /// `[steps + 1, rows, hidden]`: the cell, from zero.
    cells: Vec<f32>,
    /// `[steps, rows, hidden]`: tanh of the cell after the step.
    squashed: Vec<f32>,
}

/// A matrix cut into packed blocks of columns.
struct Packed {
    inner: usize,
    columns: usize,
    blocks: Vec<(Block, Vec<f32>)>,
}

impl Packed {
    fn new(simd: Simd, inner: usize, columns: usize, pack: impl Fn(Block, &mut [f32])) -> Self {
        let blocks = blocks(simd, columns).into_iter().map(|block| {
            let mut packed = vec![0.; inner * block.width(simd)];
            pack(block, &mut packed);
            (block, packed)
        });
        Self { inner, columns, blocks: blocks.collect() }
    }

    /// `out = bias + x m` for rows of `x` that lie `inner` apart. The bias is as long as a row of the result.
    fn multiply(&self, simd: Simd, x: &[f32], from: &[usize], to: &[usize], bias: Option<&[f32]>, out: &mut [f32]) {
        assert!(to.iter().all(|to| to + self.columns <= out.len()));
        let out = out.as_mut_ptr();
        for (block, weights) in &self.blocks {
            let bias = bias.map(|bias| {
                let mut padded = bias[block.first..block.first + block.columns].to_vec();
                padded.resize(block.width(simd), 0.);
                padded
            });
            let runs = [Run { offset: 0, len: self.inner }];
            let (bias, block) = (bias.as_deref(), *block);
            let rows = Rows { input: x, from, runs: &runs, weights, block, bias, relu: false, out, to };
            // SAFETY: every row of the result lies in `out`, which is borrowed for writing.
            unsafe { rows.run(simd) };
        }
    }
}

/// The hidden state after the last step, `[n, hidden]`, and what the backward pass needs if it is wanted.
/// `x` `[n, steps, input]`, `w` `[input, 4 hidden]`, `u` `[hidden, 4 hidden]`, `b` `[4 hidden]`.
pub(crate) fn forward(
    simd: Simd,
    sizes: Sizes,
    x: &[f32],
    [w, u, b]: [&[f32]; 3],
    remember: bool,
) -> (Vec<f32>, Vec<Part>) {
    let Sizes { n, steps, input, hidden } = sizes;
    let wide = 4 * hidden;
    assert_eq!((x.len(), w.len()), (n * steps * input, input * wide));
    assert_eq!((u.len(), b.len()), (hidden * wide, wide));
    let both = [w, u].concat();
    let packed = Packed::new(simd, sizes.joint(), wide, |block, packed| pack(simd, block, &both, wide, packed));
    let mut last = vec![0f32; n * hidden];
    let out = Shared::of(&mut last);
    let parts = threads::map(sizes.parts(), |part| {
        let rows = sizes.rows(part);
        // SAFETY: the rows of this part, which are no other part's.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(rows.start * hidden), rows.len() * hidden) };
        forward_part(simd, sizes, rows, x, &packed, b, remember, out)
    });
    (last, parts)
}

#[allow(clippy::too_many_arguments)]
fn forward_part(
    simd: Simd,
    sizes: Sizes,
    rows: std::ops::Range<usize>,
    x: &[f32],
    packed: &Packed,
    bias: &[f32],
    remember: bool,
    last: &mut [f32],
) -> Part {
    let Sizes { steps, input, hidden, .. } = sizes;
    let (count, joint_width, wide) = (rows.len(), sizes.joint(), 4 * hidden);
    // Without a backward pass one step's place is enough.
    let kept = if remember { steps } else { 1 };
    let mut part = Part {
        joint: vec![0.; kept * count * joint_width],
        gates: vec![0.; kept * count * wide],
        cells: vec![0.; (kept + 1) * count * hidden],
        squashed: vec![0.; kept * count * hidden],
    };
    let from: Vec<usize> = (0..count).map(|r| r * joint_width).collect();
    let to: Vec<usize> = (0..count).map(|r| r * wide).collect();
    for step in 0..steps {
        let at = if remember { step } else { 0 };
        let joint = &mut part.joint[at * count * joint_width..][..count * joint_width];
        for (r, row) in joint.chunks_exact_mut(joint_width).enumerate() {
            row[..input].copy_from_slice(&x[((rows.start + r) * steps + step) * input..][..input]);
            row[input..].copy_from_slice(&last[r * hidden..][..hidden]);
        }
        let gates = &mut part.gates[at * count * wide..][..count * wide];
        packed.multiply(simd, joint, &from, &to, Some(bias), gates);
        let (before, after) = part.cells[at * count * hidden..].split_at_mut(count * hidden);
        let squashed = &mut part.squashed[at * count * hidden..][..count * hidden];
        let after = &mut after[..count * hidden];
        simd.plain(
            #[inline(always)]
            || {
                for r in 0..count {
                    let own = r * hidden..(r + 1) * hidden;
                    let gates = &mut gates[r * wide..(r + 1) * wide];
                    let (before, after) = (&before[own.clone()], &mut after[own.clone()]);
                    let (squashed, last) = (&mut squashed[own.clone()], &mut last[own]);
                    let whole = hidden - hidden % LANES;
                    for at in (0..whole).step_by(LANES) {
                        open_gates::<LANES>(at, hidden, gates, before, after, squashed, last);
                    }
                    for at in whole..hidden {
                        open_gates::<1>(at, hidden, gates, before, after, squashed, last);
                    }
                }
            },
        );
        if !remember {
            part.cells.copy_within(count * hidden.., 0);
        }
    }
    part
}

/// Units that are handled together: loops of a length known when they are compiled become vectors as they are.
const LANES: usize = 16;

#[inline(always)]
fn read<const L: usize>(x: &[f32], at: usize) -> [f32; L] {
    let mut out = [0f32; L];
    out.copy_from_slice(&x[at..at + L]);
    out
}

/// The gates' functions (tanh for the candidate, the logistic function for the others), the cells after them and the
/// output, for some units of one sample.
#[inline(always)]
fn open_gates<const L: usize>(
    at: usize,
    hidden: usize,
    gates: &mut [f32],
    before: &[f32],
    after: &mut [f32],
    squashed: &mut [f32],
    last: &mut [f32],
) {
    let [mut i, mut f, mut g, mut o] = [0, 1, 2, 3].map(|gate| read::<L>(gates, gate * hidden + at));
    let before = read::<L>(before, at);
    let (mut cell, mut out, mut seen) = ([0f32; L], [0f32; L], [0f32; L]);
    for k in 0..L {
        i[k] = 0.5 * tanh(0.5 * i[k]) + 0.5;
        f[k] = 0.5 * tanh(0.5 * f[k]) + 0.5;
        g[k] = tanh(g[k]);
        o[k] = 0.5 * tanh(0.5 * o[k]) + 0.5;
        cell[k] = f[k] * before[k] + i[k] * g[k];
        out[k] = tanh(cell[k]);
        seen[k] = o[k] * out[k];
    }
    for (gate, values) in [i, f, g, o].iter().enumerate() {
        gates[gate * hidden + at..][..L].copy_from_slice(values);
    }
    after[at..at + L].copy_from_slice(&cell);
    squashed[at..at + L].copy_from_slice(&out);
    last[at..at + L].copy_from_slice(&seen);
}

/// Gradients before the gates' functions, in place of the gates, and those of the cells before, for some units of one
/// sample.
#[inline(always)]
fn gate_gradients<const L: usize>(
    at: usize,
    hidden: usize,
    gates: &mut [f32],
    before: &[f32],
    squashed: &[f32],
    dh: &[f32],
    dc: &mut [f32],
) {
    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| read::<L>(gates, gate * hidden + at));
    let [before, squashed, dh, mut dc_here] = [before, squashed, dh, &*dc].map(|x| read::<L>(x, at));
    let mut changed = [[0f32; L]; 4];
    for k in 0..L {
        let through = dc_here[k] + dh[k] * o[k] * (1. - squashed[k] * squashed[k]);
        changed[0][k] = through * g[k] * i[k] * (1. - i[k]);
        changed[1][k] = through * before[k] * f[k] * (1. - f[k]);
        changed[2][k] = through * i[k] * (1. - g[k] * g[k]);
        changed[3][k] = dh[k] * squashed[k] * o[k] * (1. - o[k]);
        dc_here[k] = through * f[k];
    }
    for (gate, values) in changed.iter().enumerate() {
        gates[gate * hidden + at..][..L].copy_from_slice(values);
    }
    dc[at..at + L].copy_from_slice(&dc_here);
}

/// Gradients of an LSTM.
pub(crate) struct Gradients {
    /// `[n, steps, input]`, if it was wanted.
    pub(crate) x: Option<Vec<f32>>,
    pub(crate) w: Vec<f32>,
    pub(crate) u: Vec<f32>,
    pub(crate) b: Vec<f32>,
}

/// From the gradient of the last hidden state. What was remembered is used up.
pub(crate) fn backward(
    simd: Simd,
    sizes: Sizes,
    parts: Vec<Part>,
    [w, u]: [&[f32]; 2],
    dy: &[f32],
    wants_input: bool,
) -> Gradients {
    let Sizes { n, steps, input, hidden } = sizes;
    let (joint, wide) = (sizes.joint(), 4 * hidden);
    assert_eq!(dy.len(), n * hidden);
    let back = Packed::new(simd, wide, hidden, |block, packed| pack_transposed(simd, block, u, wide, packed));
    let parts: Vec<std::sync::Mutex<Option<Part>>> =
        parts.into_iter().map(|p| std::sync::Mutex::new(Some(p))).collect();
    let found = threads::map(parts.len(), |index| {
        let part = parts[index].lock().expect("no part panicked").take().expect("each part is taken once");
        let rows = sizes.rows(index);
        let (joint_rows, dz) = backward_part(simd, sizes, part, &back, &dy[rows.start * hidden..rows.end * hidden]);
        let weights = linear::Sizes { n: steps * rows.len(), input: joint, output: wide };
        let both = linear::weight_gradient(simd, weights, &joint_rows, &dz);
        let bias = elementwise::column_sums(simd, &dz, wide);
        let x = wants_input.then(|| {
            linear::input_gradient(simd, linear::Sizes { n: steps * rows.len(), input, output: wide }, w, &dz)
        });
        (both, bias, x)
    });
    let mut x = wants_input.then(|| vec![0f32; n * steps * input]);
    let mut sums: Option<(Vec<f32>, Vec<f32>)> = None;
    for (index, (both, bias, part_x)) in found.into_iter().enumerate() {
        if let (Some(x), Some(part_x)) = (&mut x, part_x) {
            let rows = sizes.rows(index);
            for (at, from) in part_x.chunks_exact(input).enumerate() {
                let (step, row) = (at / rows.len(), rows.start + at % rows.len());
                x[(row * steps + step) * input..][..input].copy_from_slice(from);
            }
        }
        match &mut sums {
            None => sums = Some((both, bias)),
            Some((all, all_bias)) => {
                all.iter_mut().zip(&both).for_each(|(all, own)| *all += own);
                all_bias.iter_mut().zip(&bias).for_each(|(all, own)| *all += own);
            }
        }
    }
    let (mut w, b) = sums.unwrap_or_else(|| (vec![0.; joint * wide], vec![0.; wide]));
    let u = w.split_off(input * wide);
    Gradients { x, w, u, b }
}

/// A part's joint inputs and the gradient before the gates' functions, `[steps, rows, ..]` both.
fn backward_part(simd: Simd, sizes: Sizes, part: Part, back: &Packed, dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let Sizes { steps, hidden, .. } = sizes;
    let wide = 4 * hidden;
    let count = dy.len() / hidden;
    let Part { joint, mut gates, cells, squashed } = part;
    let mut dh = dy.to_vec();
    let mut dc = vec![0f32; count * hidden];
    let from: Vec<usize> = (0..count).map(|r| r * wide).collect();
    let to: Vec<usize> = (0..count).map(|r| r * hidden).collect();
    for step in (0..steps).rev() {
        let gates = &mut gates[step * count * wide..][..count * wide];
        let before = &cells[step * count * hidden..][..count * hidden];
        let squashed = &squashed[step * count * hidden..][..count * hidden];
        simd.plain(
            #[inline(always)]
            || {
                for r in 0..count {
                    let own = r * hidden..(r + 1) * hidden;
                    let gates = &mut gates[r * wide..(r + 1) * wide];
                    let (before, squashed) = (&before[own.clone()], &squashed[own.clone()]);
                    let (dh, dc) = (&dh[own.clone()], &mut dc[own]);
                    let whole = hidden - hidden % LANES;
                    for at in (0..whole).step_by(LANES) {
                        gate_gradients::<LANES>(at, hidden, gates, before, squashed, dh, dc);
                    }
                    for at in whole..hidden {
                        gate_gradients::<1>(at, hidden, gates, before, squashed, dh, dc);
                    }
                }
            },
        );
        if step > 0 {
            back.multiply(simd, gates, &from, &to, None, &mut dh);
        }
    }
    (joint, gates)
}

/// Hyperbolic tangent to a few units in the last place: the rational function of degrees 13 and 6 that is in common use
/// for single precision. NaN stays.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    // Beyond it the function is one to single precision.
    const BOUND: f32 = 7.998_811_7;
    let x = if x > BOUND { BOUND } else { x };
    let x = if x < -BOUND { -BOUND } else { x };
    let s = x * x;
    let p = -2.760_768_5e-16 * s + 2.000_188e-13;
    let p = p * s - 8.604_672e-11;
    let p = p * s + 5.122_297e-8;
    let p = p * s + 1.485_722_3e-5;
    let p = p * s + 6.372_619_3e-4;
    let p = p * s + 4.893_524_6e-3;
    let q = 1.198_258_4e-6 * s + 1.185_347_1e-4;
    let q = q * s + 2.268_434_6e-3;
    let q = q * s + 4.893_525e-3;
    x * p / q
}

#[cfg(test)]
mod tests {
    #[test]
    fn tanh_is_that_of_the_library() {
        for k in -100_000..=100_000 {
            let x = k as f32 * 1e-4;
            let exact = f64::from(x).tanh();
            let error = (f64::from(super::tanh(x)) - exact).abs();
            assert!(error <= 4e-7 * exact.abs() + 1e-30, "tanh({x}) is off by {error:e}");
        }
        assert!(super::tanh(f32::NAN).is_nan());
        assert!((super::tanh(f32::INFINITY) - 1.).abs() <= 4e-7);
    }
}
