//! Batch, layer and group norm with their gradients, each followed by an optional ReLU.
//!
//! Sums over a batch are taken of differences from a shift near the mean, so that a mean far from zero does not cancel
//! them away; in f32 over a few thousand elements, and over those in f64.

use std::{ops::Range, sync::Arc};

use pulp::{MemMask, Simd as Vectors, WithSimd};

use super::{
    memory::{Shared, scratch, written},
    simd::{self, Simd, multiply_add},
    threads,
};

/// Elements of one task.
const CHUNK: usize = 1 << 13;

/// Number of parts that `rows` of `c` elements are handled in.
fn parts(rows: usize, c: usize) -> usize {
    (rows * c).div_ceil(CHUNK).min(rows)
}

/// The columns from `at` on, some vectors wide, of which a loop over rows keeps constants and sums in registers.
struct Columns<S: Vectors> {
    simd: S,
    at: usize,
    mask: MemMask<S::m32s>,
}

impl<S: Vectors> Columns<S> {
    /// `V` whole vectors, or one that is masked (`RAGGED`, then `V` is 1).
    ///
    /// # Safety
    /// `data` must hold the columns from `at`.
    #[inline(always)]
    unsafe fn load<const V: usize, const RAGGED: bool>(&self, data: *const f32) -> [S::f32s; V] {
        let mut out = [self.simd.splat_f32s(0.); V];
        for (v, out) in out.iter_mut().enumerate() {
            // SAFETY: as the caller promises; masked lanes are not touched.
            *out = unsafe {
                if RAGGED {
                    self.simd.mask_load_ptr_f32s(self.mask, data.add(self.at))
                } else {
                    data.add(self.at + v * S::F32_LANES).cast::<S::f32s>().read_unaligned()
                }
            };
        }
        out
    }

    /// # Safety
    /// As for `load`.
    #[inline(always)]
    unsafe fn store<const V: usize, const RAGGED: bool>(&self, data: *mut f32, values: [S::f32s; V]) {
        for (v, value) in values.into_iter().enumerate() {
            // SAFETY: as the caller promises; masked lanes are not touched.
            unsafe {
                if RAGGED {
                    self.simd.mask_store_ptr_f32s(self.mask, data.add(self.at), value)
                } else {
                    data.add(self.at + v * S::F32_LANES).cast::<S::f32s>().write_unaligned(value)
                }
            }
        }
    }
}

/// A loop over rows, for some columns.
trait RowLoop {
    /// # Safety
    /// The slices must hold rows of as many columns as `stripes` was called with.
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, columns: &Columns<S>);
}

/// Runs a loop for all columns, a few vectors at a time.
///
/// # Safety
/// The loop's slices must hold rows of `c` elements.
#[inline(always)]
unsafe fn stripes<S: Vectors>(simd: S, c: usize, body: &mut impl RowLoop) {
    let lanes = S::F32_LANES;
    let mut columns = Columns { simd, at: 0, mask: simd::first_lanes(simd, c % lanes) };
    // SAFETY: the columns from `at` on are below `c`.
    unsafe {
        while columns.at + 4 * lanes <= c {
            body.columns::<S, 4, false>(&columns);
            columns.at += 4 * lanes;
        }
        if columns.at + 2 * lanes <= c {
            body.columns::<S, 2, false>(&columns);
            columns.at += 2 * lanes;
        }
        if columns.at + lanes <= c {
            body.columns::<S, 1, false>(&columns);
            columns.at += lanes;
        }
        if columns.at < c {
            body.columns::<S, 1, true>(&columns);
        }
    }
}

/// Sums of `d` and of `d²` over rows, `d = x - shift`.
struct Moments<'a> {
    x: &'a [f32],
    shift: &'a [f32],
    sums: &'a mut [f32],
    squares: &'a mut [f32],
}

impl WithSimd for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(mut self, simd: S) {
        let c = self.shift.len();
        assert!(self.x.len().is_multiple_of(c) && self.sums.len() == c && self.squares.len() == c);
        // SAFETY: checked above.
        unsafe { stripes(simd, c, &mut self) }
    }
}

impl RowLoop for Moments<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c) = (at.simd, self.shift.len());
        // SAFETY: every slice holds whole rows.
        unsafe {
            let shift = at.load::<V, RAGGED>(self.shift.as_ptr());
            // Two rows at a time hide the latency of the additions.
            let mut sums = [[simd.splat_f32s(0.); V]; 2];
            let mut squares = sums;
            let pairs = self.x.chunks_exact(2 * c);
            let odd = pairs.remainder();
            for pair in pairs {
                for r in 0..2 {
                    let x = at.load::<V, RAGGED>(pair.as_ptr().add(r * c));
                    for v in 0..V {
                        let d = simd.sub_f32s(x[v], shift[v]);
                        sums[r][v] = simd.add_f32s(sums[r][v], d);
                        squares[r][v] = multiply_add(simd, d, d, squares[r][v]);
                    }
                }
            }
            if !odd.is_empty() {
                let x = at.load::<V, RAGGED>(odd.as_ptr());
                for v in 0..V {
                    let d = simd.sub_f32s(x[v], shift[v]);
                    sums[0][v] = simd.add_f32s(sums[0][v], d);
                    squares[0][v] = multiply_add(simd, d, d, squares[0][v]);
                }
            }
            for v in 0..V {
                sums[0][v] = simd.add_f32s(sums[0][v], sums[1][v]);
                squares[0][v] = simd.add_f32s(squares[0][v], squares[1][v]);
            }
            at.store::<V, RAGGED>(self.sums.as_mut_ptr(), sums[0]);
            at.store::<V, RAGGED>(self.squares.as_mut_ptr(), squares[0]);
        }
    }
}

/// Mean and biased variance of each column of `[rows, c]`.
pub(crate) fn moments(simd: Simd, x: &[f32], c: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = x.len() / c;
    // The first row as the shift: some value of the column, so that what is summed is of the size of its spread.
    let shift = &x[..c];
    let parts = parts(rows, c);
    let sums = threads::map(parts, |part| {
        let rows = threads::part(part, parts, rows);
        let mut sums = vec![0f32; 2 * c];
        let (first, second) = sums.split_at_mut(c);
        simd.run(Moments { x: &x[rows.start * c..rows.end * c], shift, sums: first, squares: second });
        sums
    });
    let count = rows as f64;
    let of = |j: usize| sums.iter().map(|s| f64::from(s[j])).sum::<f64>() / count;
    (0..c)
        .map(|j| {
            let (mean, square) = (of(j), of(c + j));
            let variance = square - mean * mean;
            // Rounding may leave a small negative number; NaN must stay.
            ((f64::from(shift[j]) + mean) as f32, if variance < 0. { 0. } else { variance as f32 })
        })
        .unzip()
}

/// What a norm does to each channel: `(x - mean) scale + beta`, `scale = gamma inverse`, and perhaps a ReLU.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
    scale: Vec<f32>,
    beta: Vec<f32>,
    relu: bool,
}

impl Affine {
    pub(crate) fn new(mean: Vec<f32>, variance: &[f32], gamma: &[f32], beta: &[f32], epsilon: f64, relu: bool) -> Self {
        let c = mean.len();
        assert!(variance.len() == c && gamma.len() == c && beta.len() == c);
        let inverse: Vec<f32> = variance.iter().map(|v| (1. / (f64::from(*v) + epsilon).sqrt()) as f32).collect();
        let scale = gamma.iter().zip(&inverse).map(|(g, i)| g * i).collect();
        Self { mean, inverse, scale, beta: beta.to_vec(), relu }
    }

    fn channels(&self) -> usize {
        self.mean.len()
    }
}

/// Some neighbouring channels of a norm's input, that lie in memory on their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'a> {
    /// Rows of `channels` numbers.
    pub(crate) x: &'a [f32],
    pub(crate) channels: usize,
    /// Their first channel within the whole.
    pub(crate) first: usize,
}

impl Side<'_> {
    fn rows(&self, rows: &Range<usize>) -> &[f32] {
        &self.x[rows.start * self.channels..rows.end * self.channels]
    }
}

/// A norm's input with what the norm does to it.
#[derive(Clone, Copy)]
pub(crate) struct Normal<'a> {
    sides: &'a [Side<'a>],
    affine: &'a Affine,
    rows: usize,
}

impl<'a> Normal<'a> {
    /// # Panics
    /// If the sides do not make up the channels in their order, as rows of one number: what follows relies on it.
    pub(crate) fn new(sides: &'a [Side<'a>], affine: &'a Affine) -> Self {
        let mut channels = 0;
        let rows = sides.first().map_or(0, |side| side.x.len() / side.channels);
        for side in sides {
            assert!(side.first == channels && side.x.len() == rows * side.channels);
            channels += side.channels;
        }
        assert_eq!(channels, affine.channels());
        Self { sides, affine, rows }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows * self.affine.channels()
    }

    /// Number of parts that the rows are handled in.
    fn parts(&self) -> usize {
        parts(self.rows, self.affine.channels())
    }

    fn part(&self, part: usize) -> Range<usize> {
        threads::part(part, self.parts(), self.rows)
    }
}

/// `(x - mean) scale + beta`, the same operations in the same order in both directions: the backward pass decides from
/// it where the ReLU was shut.
#[inline(always)]
fn normalise<S: Vectors>(simd: S, x: S::f32s, mean: S::f32s, scale: S::f32s, beta: S::f32s) -> S::f32s {
    multiply_add(simd, simd.sub_f32s(x, mean), scale, beta)
}

struct Apply<'a> {
    side: Side<'a>,
    rows: Range<usize>,
    affine: &'a Affine,
    /// Where the first of the rows goes; rows of all channels.
    out: *mut f32,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(mut self, simd: S) {
        // SAFETY: `Normal` has checked the side, the caller of `apply_rows` promises the output.
        unsafe { stripes(simd, self.side.channels, &mut self) }
    }
}

impl RowLoop for Apply<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c, affine) = (at.simd, self.affine.channels(), self.affine);
        let Side { channels, first, .. } = self.side;
        let x = self.side.rows(&self.rows).as_ptr();
        // SAFETY: every slice holds whole rows, the affine map all channels.
        unsafe {
            let mean = at.load::<V, RAGGED>(affine.mean.as_ptr().add(first));
            let scale = at.load::<V, RAGGED>(affine.scale.as_ptr().add(first));
            let beta = at.load::<V, RAGGED>(affine.beta.as_ptr().add(first));
            for row in 0..self.rows.len() {
                let mut y = at.load::<V, RAGGED>(x.add(row * channels));
                for v in 0..V {
                    y[v] = normalise(simd, y[v], mean[v], scale[v], beta[v]);
                    if affine.relu {
                        y[v] = simd::relu(simd, y[v]);
                    }
                }
                at.store::<V, RAGGED>(self.out.add(row * c + first), y);
            }
        }
    }
}

impl Normal<'_> {
    /// Some rows of [`Self::apply`].
    ///
    /// # Safety
    /// `out` must have place for as many rows of all channels.
    pub(crate) unsafe fn apply_rows(&self, simd: Simd, range: Range<usize>, out: *mut f32) {
        assert!(range.end <= self.rows);
        for side in self.sides {
            simd.run(Apply { side: *side, rows: range.clone(), affine: self.affine, out });
        }
    }

    /// `activation((x - mean) scale + beta)`, the sides beside each other.
    pub(crate) fn apply(&self, simd: Simd) -> Vec<f32> {
        let c = self.affine.channels();
        let fill = |out: Shared| {
            threads::for_each(self.parts(), |part| {
                let rows = self.part(part);
                // SAFETY: the rows of the part, which no other part has.
                unsafe { self.apply_rows(simd, rows.clone(), out.at(rows.start * c)) };
            });
        };
        // SAFETY: the parts cover all rows, the sides all columns.
        unsafe { written(self.len(), |out| fill(Shared::new(out))) }
    }
}

/// The gradient that passes the ReLU, if there was one and it was open.
#[inline(always)]
fn open<S: Vectors>(simd: S, relu: bool, y: S::f32s, dy: S::f32s) -> S::f32s {
    if !relu {
        return dy;
    }
    let zero = simd.splat_f32s(0.);
    // Where the result is NaN the gradient passes, so that it shows.
    simd.select_f32s(simd.less_than_or_equal_f32s(y, zero), zero, dy)
}

/// Sums over rows of `g` and of `g (x - mean)`, `g` the gradient that passes the ReLU.
struct GradientSums<'a> {
    side: Side<'a>,
    rows: Range<usize>,
    affine: &'a Affine,
    /// Rows of all channels.
    dy: &'a [f32],
    /// Of all channels, both.
    sums: &'a mut [f32],
    products: &'a mut [f32],
}

impl WithSimd for GradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(mut self, simd: S) {
        // SAFETY: `parameter_gradients` and `Normal` have checked the side and the gradient.
        unsafe { stripes(simd, self.side.channels, &mut self) }
    }
}

impl RowLoop for GradientSums<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c, affine) = (at.simd, self.affine.channels(), self.affine);
        let Side { channels, first, .. } = self.side;
        let x = self.side.rows(&self.rows).as_ptr();
        let dy = self.dy[self.rows.start * c..].as_ptr();
        // SAFETY: every slice holds whole rows, the affine map and the sums all channels.
        unsafe {
            let mean = at.load::<V, RAGGED>(affine.mean.as_ptr().add(first));
            let scale = at.load::<V, RAGGED>(affine.scale.as_ptr().add(first));
            let beta = at.load::<V, RAGGED>(affine.beta.as_ptr().add(first));
            let mut sums = [simd.splat_f32s(0.); V];
            let mut products = sums;
            for row in 0..self.rows.len() {
                let x = at.load::<V, RAGGED>(x.add(row * channels));
                let dy = at.load::<V, RAGGED>(dy.add(row * c + first));
                for v in 0..V {
                    let g = open(simd, affine.relu, normalise(simd, x[v], mean[v], scale[v], beta[v]), dy[v]);
                    sums[v] = simd.add_f32s(sums[v], g);
                    products[v] = multiply_add(simd, g, simd.sub_f32s(x[v], mean[v]), products[v]);
                }
            }
            at.store::<V, RAGGED>(self.sums.as_mut_ptr().add(first), sums);
            at.store::<V, RAGGED>(self.products.as_mut_ptr().add(first), products);
        }
    }
}

/// Gradients of a norm's `gamma` and `beta`, from which that of its input follows.
pub(crate) struct ParameterGradients {
    gamma: Vec<f64>,
    beta: Vec<f64>,
}

impl ParameterGradients {
    pub(crate) fn gamma(&self) -> Vec<f32> {
        self.gamma.iter().map(|v| *v as f32).collect()
    }

    pub(crate) fn beta(&self) -> Vec<f32> {
        self.beta.iter().map(|v| *v as f32).collect()
    }
}

impl Normal<'_> {
    /// Gradients of the parameters of [`Self::apply`].
    pub(crate) fn parameter_gradients(&self, simd: Simd, dy: &[f32]) -> ParameterGradients {
        let (c, affine) = (self.affine.channels(), self.affine);
        assert_eq!(dy.len(), self.len());
        let sums = threads::map(self.parts(), |part| {
            let mut sums = vec![0f32; 2 * c];
            let (first, second) = sums.split_at_mut(c);
            for side in self.sides {
                let rows = self.part(part);
                simd.run(GradientSums { side: *side, rows, affine, dy, sums: first, products: second });
            }
            sums
        });
        let sum = |j: usize| sums.iter().map(|s| f64::from(s[j])).sum::<f64>();
        ParameterGradients {
            beta: (0..c).map(sum).collect(),
            gamma: (0..c).map(|j| sum(c + j) * f64::from(affine.inverse[j])).collect(),
        }
    }
}

/// `scale g + slope (x - mean) + offset`, perhaps added to what is there.
struct InputGradient<'a> {
    side: Side<'a>,
    rows: Range<usize>,
    affine: &'a Affine,
    slope: &'a [f32],
    offset: &'a [f32],
    /// The first row of all; rows of all channels.
    dy: *const f32,
    /// The first row of all; rows of the side's channels. May be `dy` if those are all.
    out: *mut f32,
    accumulate: bool,
}

impl WithSimd for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(mut self, simd: S) {
        // SAFETY: `input_gradients` and `Normal` have checked the side, the gradient and the output.
        unsafe { stripes(simd, self.side.channels, &mut self) }
    }
}

impl RowLoop for InputGradient<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c, affine) = (at.simd, self.affine.channels(), self.affine);
        let Side { channels, first, .. } = self.side;
        let x = self.side.rows(&self.rows).as_ptr();
        // SAFETY: every slice holds whole rows, the affine map, slope and offset all channels. Each vector of the gradient
        // is read before one is written in its place.
        unsafe {
            let mean = at.load::<V, RAGGED>(affine.mean.as_ptr().add(first));
            let scale = at.load::<V, RAGGED>(affine.scale.as_ptr().add(first));
            let beta = at.load::<V, RAGGED>(affine.beta.as_ptr().add(first));
            let slope = at.load::<V, RAGGED>(self.slope.as_ptr().add(first));
            let offset = at.load::<V, RAGGED>(self.offset.as_ptr().add(first));
            for row in 0..self.rows.len() {
                let x = at.load::<V, RAGGED>(x.add(row * channels));
                let mut dx = at.load::<V, RAGGED>(self.dy.add((self.rows.start + row) * c + first));
                let out = self.out.add((self.rows.start + row) * channels);
                for v in 0..V {
                    let g = open(simd, affine.relu, normalise(simd, x[v], mean[v], scale[v], beta[v]), dx[v]);
                    let d = simd.sub_f32s(x[v], mean[v]);
                    dx[v] = multiply_add(simd, scale[v], g, multiply_add(simd, slope[v], d, offset[v]));
                }
                if self.accumulate {
                    let before = at.load::<V, RAGGED>(out);
                    for v in 0..V {
                        dx[v] = simd.add_f32s(before[v], dx[v]);
                    }
                }
                at.store::<V, RAGGED>(out, dx);
            }
        }
    }
}

/// Where the gradient of a side goes.
pub(crate) enum Target {
    /// Nobody wants it.
    None,
    /// Into new memory.
    New,
    /// Onto this gradient, which is added to.
    Sum(Vec<f32>),
}

impl Normal<'_> {
    /// Gradients of the input of [`Self::apply`], side by side; `through_statistics` if mean and deviation were those of
    /// `x`. A gradient `dy` that nobody else needs is written over where it has the shape of what is wanted.
    pub(crate) fn input_gradients(
        &self,
        simd: Simd,
        found: &ParameterGradients,
        through_statistics: bool,
        mut dy: Arc<Vec<f32>>,
        targets: Vec<Target>,
    ) -> Vec<Option<Vec<f32>>> {
        let (c, affine, sides) = (self.affine.channels(), self.affine, self.sides);
        assert!(dy.len() == self.len() && targets.len() == sides.len());
        let count = if through_statistics { self.rows as f64 } else { f64::INFINITY };
        let term = |j: usize, of: &[f64]| f64::from(affine.scale[j]) * of[j] / count;
        let slope: Vec<f32> = (0..c).map(|j| (-term(j, &found.gamma) * f64::from(affine.inverse[j])) as f32).collect();
        let offset: Vec<f32> = (0..c).map(|j| -term(j, &found.beta) as f32).collect();
        let run = |dy: Shared, places: &[Option<(Shared, bool)>]| {
            threads::for_each(self.parts(), |part| {
                for (side, place) in sides.iter().zip(places) {
                    let Some((out, accumulate)) = *place else { continue };
                    let (rows, slope, offset) = (self.part(part), &slope, &offset);
                    // SAFETY: the starts of both. The kernel touches the rows of the part alone, which no other part has.
                    let (dy, out) = unsafe { (dy.at(0).cast_const(), out.at(0)) };
                    simd.run(InputGradient { side: *side, rows, affine, slope, offset, dy, out, accumulate });
                }
            });
        };
        if let ([Target::New], Some(own)) = (&targets[..], Arc::get_mut(&mut dy)) {
            let over = Shared::of(own);
            run(over, &[Some((over, false))]);
            return vec![Some(Arc::unwrap_or_clone(dy))];
        }
        let mut all: Vec<Option<(Vec<f32>, bool)>> = targets
            .into_iter()
            .zip(sides)
            .map(|(target, side)| match target {
                Target::None => None,
                Target::New => Some((Vec::with_capacity(side.x.len()), false)),
                Target::Sum(sum) => {
                    assert_eq!(sum.len(), side.x.len());
                    Some((sum, true))
                }
            })
            .collect();
        let place = |(data, accumulate): &mut (Vec<f32>, bool)| {
            let shared = if *accumulate { Shared::of(data) } else { Shared::new(data.spare_capacity_mut()) };
            (shared, *accumulate)
        };
        let places: Vec<Option<(Shared, bool)>> = all.iter_mut().map(|one| one.as_mut().map(place)).collect();
        run(Shared::reading(&dy), &places);
        all.into_iter()
            .zip(sides)
            .map(|(one, side)| {
                let (mut data, _) = one?;
                // SAFETY: the capacity is there, and every row of a side that is wanted was written.
                unsafe { data.set_len(side.x.len()) };
                Some(data)
            })
            .collect()
    }
}

/// Gradients of a layer or group norm.
pub(crate) struct GroupGradients {
    pub(crate) input: Vec<f32>,
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
}

/// Layer norm and group norm: what is normalised together is, within one sample, a group of neighbouring channels over
/// all pixels. Layer norm over the last dimension has one pixel and one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grouping {
    /// Pixels of a sample.
    pub(crate) pixels: usize,
    /// Channels.
    pub(crate) c: usize,
    /// Channels of a group.
    pub(crate) width: usize,
}

impl Grouping {
    fn groups(&self) -> usize {
        self.c / self.width
    }

    fn sample(&self) -> usize {
        self.pixels * self.c
    }

    /// Adds up each group over the pixels of a sample, in f64.
    #[inline(always)]
    fn totals(&self, sample: &[f32], totals: &mut [f64]) {
        totals.fill(0.);
        for pixel in sample.chunks_exact(self.c) {
            for (total, channels) in totals.iter_mut().zip(pixel.chunks_exact(self.width)) {
                *total += strands(channels);
            }
        }
    }

    /// Hands the number of each group on to its channels.
    #[inline(always)]
    fn spread(&self, groups: &[f32], channels: &mut [f32]) {
        for (channels, value) in channels.chunks_exact_mut(self.width).zip(groups) {
            channels.fill(*value);
        }
    }
}

/// Sum of up to a few thousand elements: sixteen strands in f32, those in f64 and in their order.
#[inline(always)]
fn strands(x: &[f32]) -> f64 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut total = 0f64;
    if chunks.is_empty() {
        // The other strands are zeros.
        for x in rest {
            total += f64::from(*x);
        }
        return total;
    }
    let mut sums = [0f32; 16];
    for chunk in chunks {
        for k in 0..16 {
            sums[k] += chunk[k];
        }
    }
    for k in 0..rest.len() {
        sums[k] += rest[k];
    }
    for sum in sums {
        total += f64::from(sum);
    }
    total
}

/// Mean and one over the deviation of each group of each sample.
pub(crate) struct GroupStatistics {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

/// `(x - mean)²` of the pixels of a sample.
struct Squares<'a> {
    x: &'a [f32],
    /// Of each channel, as are all constants below.
    mean: &'a [f32],
    out: &'a mut [f32],
}

impl RowLoop for Squares<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c) = (at.simd, self.mean.len());
        // SAFETY: every slice holds whole rows.
        unsafe {
            let mean = at.load::<V, RAGGED>(self.mean.as_ptr());
            for row in (0..self.x.len()).step_by(c) {
                let mut d = at.load::<V, RAGGED>(self.x.as_ptr().add(row));
                for v in 0..V {
                    d[v] = simd.sub_f32s(d[v], mean[v]);
                    d[v] = simd.mul_f32s(d[v], d[v]);
                }
                at.store::<V, RAGGED>(self.out.as_mut_ptr().add(row), d);
            }
        }
    }
}

/// `activation((x - mean) inverse gamma + beta)` of the pixels of a sample.
struct GroupApply<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    inverse: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    relu: bool,
    out: *mut f32,
}

impl RowLoop for GroupApply<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c) = (at.simd, self.mean.len());
        // SAFETY: every slice holds whole rows, and so does the output.
        unsafe {
            let [mean, inverse, gamma, beta] =
                [self.mean, self.inverse, self.gamma, self.beta].map(|k| at.load::<V, RAGGED>(k.as_ptr()));
            for row in (0..self.x.len()).step_by(c) {
                let mut y = at.load::<V, RAGGED>(self.x.as_ptr().add(row));
                for v in 0..V {
                    let normal = simd.mul_f32s(simd.sub_f32s(y[v], mean[v]), inverse[v]);
                    y[v] = simd.add_f32s(simd.mul_f32s(normal, gamma[v]), beta[v]);
                    if self.relu {
                        y[v] = simd::relu(simd, y[v]);
                    }
                }
                at.store::<V, RAGGED>(self.out.add(row), y);
            }
        }
    }
}

/// One sample of [`group_forward`].
struct GroupForward<'a> {
    grouping: Grouping,
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f64,
    relu: bool,
    /// Of each group.
    mean: &'a mut [f32],
    inverse: &'a mut [f32],
    /// Place for the sample.
    out: *mut f32,
    scratch: &'a mut [f32],
    totals: &'a mut [f64],
}

impl WithSimd for GroupForward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(self, simd: S) {
        let Self { grouping, x, gamma, beta, epsilon, relu, mean, inverse, out, scratch, totals } = self;
        let (c, count) = (grouping.c, (grouping.pixels * grouping.width) as f64);
        let (means, scratch) = scratch.split_at_mut(c);
        let (inverses, squares) = scratch.split_at_mut(c);
        assert!(x.len() == grouping.sample() && squares.len() == x.len() && gamma.len() == c && beta.len() == c);
        grouping.totals(x, totals);
        for (mean, total) in mean.iter_mut().zip(&*totals) {
            *mean = (total / count) as f32;
        }
        grouping.spread(mean, means);
        // SAFETY: checked above.
        unsafe { stripes(simd, c, &mut Squares { x, mean: means, out: squares }) };
        grouping.totals(squares, totals);
        for (inverse, total) in inverse.iter_mut().zip(&*totals) {
            *inverse = (1. / (total / count + epsilon).sqrt()) as f32;
        }
        grouping.spread(inverse, inverses);
        // SAFETY: as above; the caller has made place for the sample.
        unsafe { stripes(simd, c, &mut GroupApply { x, mean: means, inverse: inverses, gamma, beta, relu, out }) };
    }
}

/// Normalises each group of each sample, then `gamma`, `beta` and the activation.
pub(crate) fn group_forward(
    simd: Simd,
    grouping: Grouping,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f64,
    relu: bool,
) -> (Vec<f32>, GroupStatistics) {
    let (size, groups) = (grouping.sample(), grouping.groups());
    let n = x.len() / size;
    let mut statistics = vec![];
    let mut fill = |out: Shared| {
        let parts = n.div_ceil((CHUNK / size).max(1));
        statistics = threads::map(parts, |part| {
            let samples = threads::part(part, parts, n);
            let mut statistics = (vec![0f32; samples.len() * groups], vec![0f32; samples.len() * groups]);
            let mut totals = vec![0f64; groups];
            let (means, inverses) = (statistics.0.chunks_exact_mut(groups), statistics.1.chunks_exact_mut(groups));
            scratch(2 * grouping.c + size, |scratch| {
                for (i, (mean, inverse)) in samples.zip(means.zip(inverses)) {
                    let x = &x[i * size..(i + 1) * size];
                    // SAFETY: the sample's elements, which no other part has.
                    let out = unsafe { out.at(i * size) };
                    let (scratch, totals) = (&mut *scratch, &mut *totals);
                    simd.run(GroupForward {
                        grouping,
                        x,
                        gamma,
                        beta,
                        epsilon,
                        relu,
                        mean,
                        inverse,
                        out,
                        scratch,
                        totals,
                    });
                }
            });
            statistics
        });
    };
    // SAFETY: all samples are written, and all columns of each.
    let y = unsafe { written(x.len(), |out| fill(Shared::new(out))) };
    let (mean, inverse): (Vec<_>, Vec<_>) = statistics.into_iter().unzip();
    (y, GroupStatistics { mean: mean.concat(), inverse: inverse.concat() })
}

/// The gradient of the normalised values of a sample, its product with them, and sums for the gradients of gamma and beta.
struct GroupSums<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    /// Result of the ReLU, if there was one.
    y: Option<&'a [f32]>,
    mean: &'a [f32],
    inverse: &'a [f32],
    gamma: &'a [f32],
    gradient: &'a mut [f32],
    product: &'a mut [f32],
    gammas: &'a mut [f32],
    betas: &'a mut [f32],
}

impl RowLoop for GroupSums<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c) = (at.simd, self.mean.len());
        // SAFETY: every slice holds whole rows.
        unsafe {
            let [mean, inverse, gamma] =
                [self.mean, self.inverse, self.gamma].map(|k| at.load::<V, RAGGED>(k.as_ptr()));
            let mut gammas = at.load::<V, RAGGED>(self.gammas.as_ptr());
            let mut betas = at.load::<V, RAGGED>(self.betas.as_ptr());
            for row in (0..self.x.len()).step_by(c) {
                let mut normal = at.load::<V, RAGGED>(self.x.as_ptr().add(row));
                let mut g = at.load::<V, RAGGED>(self.dy.as_ptr().add(row));
                let y = self.y.map_or(g, |y| at.load::<V, RAGGED>(y.as_ptr().add(row)));
                for v in 0..V {
                    normal[v] = simd.mul_f32s(simd.sub_f32s(normal[v], mean[v]), inverse[v]);
                    g[v] = open(simd, self.y.is_some(), y[v], g[v]);
                    gammas[v] = simd.add_f32s(gammas[v], simd.mul_f32s(g[v], normal[v]));
                    betas[v] = simd.add_f32s(betas[v], g[v]);
                    g[v] = simd.mul_f32s(g[v], gamma[v]);
                    normal[v] = simd.mul_f32s(g[v], normal[v]);
                }
                at.store::<V, RAGGED>(self.gradient.as_mut_ptr().add(row), g);
                at.store::<V, RAGGED>(self.product.as_mut_ptr().add(row), normal);
            }
            at.store::<V, RAGGED>(self.gammas.as_mut_ptr(), gammas);
            at.store::<V, RAGGED>(self.betas.as_mut_ptr(), betas);
        }
    }
}

/// The gradient of a sample, from that of its normalised values and the means of both it and its product with them.
struct GroupInput<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    mean: &'a [f32],
    inverse: &'a [f32],
    first: &'a [f32],
    second: &'a [f32],
    out: *mut f32,
}

impl RowLoop for GroupInput<'_> {
    #[inline(always)]
    unsafe fn columns<S: Vectors, const V: usize, const RAGGED: bool>(&mut self, at: &Columns<S>) {
        let (simd, c) = (at.simd, self.mean.len());
        // SAFETY: every slice holds whole rows, and so does the output.
        unsafe {
            let [mean, inverse, first, second] =
                [self.mean, self.inverse, self.first, self.second].map(|k| at.load::<V, RAGGED>(k.as_ptr()));
            for row in (0..self.x.len()).step_by(c) {
                let x = at.load::<V, RAGGED>(self.x.as_ptr().add(row));
                let mut g = at.load::<V, RAGGED>(self.gradient.as_ptr().add(row));
                for v in 0..V {
                    let normal = simd.mul_f32s(simd.sub_f32s(x[v], mean[v]), inverse[v]);
                    g[v] = simd.sub_f32s(simd.sub_f32s(g[v], first[v]), simd.mul_f32s(normal, second[v]));
                    g[v] = simd.mul_f32s(inverse[v], g[v]);
                }
                at.store::<V, RAGGED>(self.out.add(row), g);
            }
        }
    }
}

/// One sample of [`group_backward`].
struct GroupBackward<'a> {
    grouping: Grouping,
    x: &'a [f32],
    dy: &'a [f32],
    y: Option<&'a [f32]>,
    gamma: &'a [f32],
    /// Of each group.
    mean: &'a [f32],
    inverse: &'a [f32],
    gammas: &'a mut [f32],
    betas: &'a mut [f32],
    /// Place for the sample.
    out: *mut f32,
    scratch: &'a mut [f32],
    totals: &'a mut [f64],
}

impl WithSimd for GroupBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vectors>(self, simd: S) {
        let Self { grouping, x, dy, y, gamma, mean, inverse, gammas, betas, out, scratch, totals } = self;
        let (c, size, count) = (grouping.c, grouping.sample(), (grouping.pixels * grouping.width) as f64);
        let (constants, scratch) = scratch.split_at_mut(4 * c);
        let (gradient, product) = scratch.split_at_mut(size);
        let mut constants = constants.chunks_exact_mut(c);
        let [means, inverses, first, second] = [(); 4].map(|()| constants.next().expect("four were made"));
        assert!(x.len() == size && dy.len() == size && y.is_none_or(|y| y.len() == size) && product.len() == size);
        assert!(gamma.len() == c && gammas.len() == c && betas.len() == c);
        grouping.spread(mean, means);
        grouping.spread(inverse, inverses);
        // SAFETY: checked above.
        unsafe {
            let (gradient, product) = (&mut *gradient, &mut *product);
            let mut sums =
                GroupSums { x, dy, y, mean: means, inverse: inverses, gamma, gradient, product, gammas, betas };
            stripes(simd, c, &mut sums);
        }
        for (terms, means) in [(&*gradient, &mut *first), (product, second)] {
            grouping.totals(terms, totals);
            for (channels, total) in means.chunks_exact_mut(grouping.width).zip(&*totals) {
                channels.fill((total / count) as f32);
            }
        }
        // SAFETY: as above; the caller has made place for the sample.
        unsafe {
            stripes(simd, c, &mut GroupInput { x, gradient, mean: means, inverse: inverses, first, second, out });
        }
    }
}

/// Gradients of [`group_forward`]. `result` is the activation's result if that was a ReLU.
#[allow(clippy::too_many_arguments)]
pub(crate) fn group_backward(
    simd: Simd,
    grouping: Grouping,
    x: &[f32],
    gamma: &[f32],
    statistics: &GroupStatistics,
    result: Option<&[f32]>,
    dy: &[f32],
) -> GroupGradients {
    let (c, size, groups) = (grouping.c, grouping.sample(), grouping.groups());
    let n = x.len() / size;
    // Samples whose parameter gradients are summed in f32 before they are in f64.
    let parts = n.div_ceil(32);
    let mut sums = vec![];
    let mut fill = |out: Shared| {
        sums = threads::map(parts, |part| {
            let mut sums = vec![0f32; 2 * c];
            let mut totals = vec![0f64; groups];
            let (gammas, betas) = sums.split_at_mut(c);
            scratch(4 * c + 2 * size, |scratch| {
                for i in threads::part(part, parts, n) {
                    let range = i * size..(i + 1) * size;
                    simd.run(GroupBackward {
                        grouping,
                        x: &x[range.clone()],
                        dy: &dy[range.clone()],
                        y: result.map(|y| &y[range]),
                        gamma,
                        mean: &statistics.mean[i * groups..(i + 1) * groups],
                        inverse: &statistics.inverse[i * groups..(i + 1) * groups],
                        gammas: &mut *gammas,
                        betas: &mut *betas,
                        // SAFETY: the sample's elements, which no other part has.
                        out: unsafe { out.at(i * size) },
                        scratch: &mut *scratch,
                        totals: &mut totals,
                    });
                }
            });
            sums
        });
    };
    // SAFETY: all samples are written, and all columns of each.
    let dx = unsafe { written(x.len(), |out| fill(Shared::new(out))) };
    let mut gamma = super::elementwise::total(&sums, 2 * c);
    let beta = gamma.split_off(c);
    GroupGradients { input: dx, gamma, beta }
}
