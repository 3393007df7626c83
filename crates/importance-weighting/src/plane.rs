//! Points in the plane, where theory says what must happen.
//!
//! On separable data gradient descent balances w₊e^(−m₊) against w₋e^(−m₋), m± being the smallest signed logits of the two
//! classes. So m₊ − m₋ tends to ln R, and the boundary of a linear classifier stands ln R / (2 m̄) margins from the middle
//! of the widest strip, m̄ = (m₊ + m₋)/2, towards the light class. As m̄ grows like ln t the shift fades like 1 / ln t.

use std::f64::consts::{PI, SQRT_2};

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use retrial_core::Seed;
use retrial_core::experiment::{CellError, CellRun};
use serde::{Deserialize, Serialize};

use crate::config::{Plane, PlaneModel, Points};
use crate::geometry::{Point, Separator, dot, max_margin, norm};
use crate::weighting::{CAT, Convention, DOG, Loss, Weighting};

/// Test points of each class.
const TEST: usize = 500;
/// Pixels along a side of a picture of the decision regions.
pub const SIDE: usize = 48;
/// Epochs of the pictures.
pub const PICTURES: [usize; 5] = [1, 10, 100, 1000, 10_000];

/// One row of `epochs.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Counted from 1.
    pub epoch: usize,
    /// Weighted mean loss of the training points.
    pub loss: f64,
    /// Share of training points on their side.
    pub accuracy: f64,
    /// Share of balanced test points called positive.
    pub fraction: f64,
    /// Smallest signed logit of a positive training point.
    pub margin_positive: f64,
    /// Smallest signed logit of a negative training point.
    pub margin_negative: f64,
    /// Signed distance of the middle of the widest strip from the boundary, in margins: positive where the positive class
    /// gains ground. Linear models on separable points only.
    pub offset: Option<f64>,
    /// Angle between the model's normal and the widest strip's, in degrees.
    pub angle: Option<f64>,
}

/// Decision regions at an epoch; a row of `regions.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Region {
    /// Counted from 1.
    pub epoch: usize,
    /// Row by row from the top, `1` where positive.
    pub pixels: String,
}

/// What remains of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Epochs trained.
    pub epochs: usize,
    /// Half the width of the widest strip between the classes; none if no line separates them.
    pub margin: Option<f64>,
    /// The first epoch after which every row has all training points on their side.
    pub separated_at: Option<usize>,
    /// Edges of the pictures: left, right, bottom, top.
    pub view: [f64; 4],
    /// The last epoch.
    pub last: Row,
}

/// Points of both classes, positives first.
pub struct Sample {
    /// The points.
    pub points: Vec<Point>,
    /// [`DOG`] for positive, [`CAT`] for negative.
    pub labels: Vec<u32>,
}

impl Sample {
    /// `n` points of each class from the stream of `usage`.
    pub fn draw(points: Points, n: usize, seed: Seed, usage: &str) -> Self {
        let mut stream = seed.stream(usage);
        let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
        let (mut positives, mut negatives) = (vec![], vec![]);
        match points {
            Points::Gaussians { centre, radius } => {
                while positives.len() < n {
                    let x = [normal(), normal()];
                    if norm(x) <= radius {
                        positives.push([centre + x[0], -centre + x[1]]);
                    }
                }
                negatives = positives.iter().map(|x| [-x[0], -x[1]]).collect();
            }
            Points::Moons { noise, gap } => {
                for i in 0..n {
                    let angle = PI * (i as f64 + 0.5) / n as f64;
                    let mut jitter = |x: f64| x + noise * normal();
                    positives.push([jitter(angle.cos()), jitter(angle.sin() + gap)]);
                    negatives.push([jitter(1. - angle.cos()), jitter(0.5 - angle.sin() - gap)]);
                }
            }
        }
        let labels = [vec![DOG; n], vec![CAT; n]].concat();
        positives.append(&mut negatives);
        Self { points: positives, labels }
    }

    /// The widest strip between the classes.
    pub fn separator(&self) -> Option<Separator> {
        let (positives, negatives) = self.points.split_at(self.points.len() / 2);
        max_margin(positives, negatives)
    }
}

/// A model with its parameters in one vector.
pub struct Model {
    kind: PlaneModel,
    /// Linear: w, b. MLP: for each unit its two weights, its bias and its output weight; then the output bias.
    theta: Vec<f64>,
    /// Activations of the last forward pass.
    active: Vec<f64>,
    gradient: Vec<f64>,
}

impl Model {
    /// Near zero (linear), or uniform in ±1/√fan-in (MLP).
    pub fn new(kind: PlaneModel, seed: Seed) -> Self {
        let mut stream = seed.stream("init");
        let theta: Vec<f64> = match kind {
            PlaneModel::Linear => (0..3).map(|_| 0.01 * stream.random_range(-1.0..1.0)).collect(),
            PlaneModel::Mlp { hidden } => {
                let (first, second) = (1. / SQRT_2, 1. / (hidden as f64).sqrt());
                let mut theta: Vec<f64> = (0..4 * hidden)
                    .map(|i| if i % 4 == 3 { second } else { first } * stream.random_range(-1.0..1.0))
                    .collect();
                theta.push(second * stream.random_range(-1.0..1.0));
                theta
            }
        };
        Self { kind, active: vec![0.; theta.len() / 4], gradient: vec![0.; theta.len()], theta }
    }

    /// z = f(x), positive for the positive class.
    pub fn logit(&mut self, x: Point) -> f64 {
        match self.kind {
            PlaneModel::Linear => self.theta[0] * x[0] + self.theta[1] * x[1] + self.theta[2],
            PlaneModel::Mlp { .. } => {
                let (units, bias) = self.theta.split_at(self.theta.len() - 1);
                let mut z = bias[0];
                for (unit, active) in units.chunks_exact(4).zip(&mut self.active) {
                    *active = (unit[0] * x[0] + unit[1] * x[1] + unit[2]).max(0.);
                    z += unit[3] * *active;
                }
                z
            }
        }
    }

    /// Adds `slope` ∂z/∂θ at `x`, whose logit was computed last, to the gradient.
    fn add(&mut self, x: Point, slope: f64) {
        match self.kind {
            PlaneModel::Linear => {
                for (g, d) in self.gradient.iter_mut().zip([x[0], x[1], 1.]) {
                    *g += slope * d;
                }
            }
            PlaneModel::Mlp { .. } => {
                let last = self.theta.len() - 1;
                self.gradient[last] += slope;
                let units = self.theta[..last].chunks_exact(4).zip(self.gradient[..last].chunks_exact_mut(4));
                for ((unit, g), &active) in units.zip(&self.active) {
                    let below = if active > 0. { slope * unit[3] } else { 0. };
                    g[0] += below * x[0];
                    g[1] += below * x[1];
                    g[2] += below;
                    g[3] += slope * active;
                }
            }
        }
    }

    fn is_bias(&self, i: usize) -> bool {
        match self.kind {
            PlaneModel::Linear => i == 2,
            PlaneModel::Mlp { .. } => i % 4 == 2 || i == self.theta.len() - 1,
        }
    }

    /// One pass of SGD over the sample in the order of this epoch, weights entering by convention B.
    fn epoch(&mut self, config: &Plane, sample: &Sample, weighting: &Weighting, seed: Seed, epoch: usize) {
        let mut order: Vec<usize> = (0..sample.points.len()).collect();
        order.shuffle(&mut seed.stream_at("order", epoch as u64));
        let mut labels = Vec::with_capacity(config.batch);
        for batch in order.chunks(config.batch) {
            labels.clear();
            labels.extend(batch.iter().map(|&i| sample.labels[i]));
            self.gradient.fill(0.);
            for (&i, c) in batch.iter().zip(weighting.coefficients(&labels)) {
                let (x, y) = (sample.points[i], sign(sample.labels[i]));
                let slope = Loss::Logistic.at(y * self.logit(x)).1;
                self.add(x, c * y * slope);
            }
            for i in 0..self.theta.len() {
                let decay = if self.is_bias(i) { 0. } else { config.lambda * self.theta[i] };
                self.theta[i] -= config.rate * (self.gradient[i] + decay);
            }
        }
    }
}

fn sign(label: u32) -> f64 {
    if label == DOG { 1. } else { -1. }
}

/// Whether a row or a picture is due after this epoch: 1, 2, 3, 5, 10, 20, 30, 50, ...
fn is_read(epoch: usize, epochs: usize) -> bool {
    let power = 10usize.pow(epoch.ilog10());
    epoch == epochs || (epoch.is_multiple_of(power) && matches!(epoch / power, 1 | 2 | 3 | 5))
}

fn read(
    model: &mut Model,
    epoch: usize,
    sample: &Sample,
    test: &Sample,
    weighting: &Weighting,
    separator: Option<&Separator>,
) -> Row {
    let mut margins = [f64::INFINITY; 2];
    let (mut right, mut losses) = (0usize, vec![]);
    for (&x, &label) in sample.points.iter().zip(&sample.labels) {
        let v = sign(label) * model.logit(x);
        margins[label as usize] = margins[label as usize].min(v);
        right += usize::from(v > 0.);
        losses.push(Loss::Logistic.at(v).0 as f32);
    }
    let positive = test.points.iter().filter(|&&x| model.logit(x) > 0.).count();
    let line = separator.filter(|_| matches!(model.kind, PlaneModel::Linear)).map(|s| {
        let w = [model.theta[0], model.theta[1]];
        let length = norm(w);
        let offset = (dot(w, s.middle) + model.theta[2]) / length / s.margin;
        (offset, (dot(w, s.normal) / length).clamp(-1., 1.).acos().to_degrees())
    });
    Row {
        epoch,
        loss: weighting.weighted_mean(&sample.labels, &losses),
        accuracy: right as f64 / sample.points.len() as f64,
        fraction: positive as f64 / test.points.len() as f64,
        margin_positive: margins[DOG as usize],
        margin_negative: margins[CAT as usize],
        offset: line.map(|(offset, _)| offset),
        angle: line.map(|(_, angle)| angle),
    }
}

fn picture(model: &mut Model, epoch: usize, view: [f64; 4]) -> Region {
    let [left, right, bottom, top] = view;
    let at = |i: usize, low: f64, high: f64| low + (high - low) * (i as f64 + 0.5) / SIDE as f64;
    let pixels = (0..SIDE * SIDE).map(|i| {
        let x = [at(i % SIDE, left, right), at(SIDE - 1 - i / SIDE, bottom, top)];
        if model.logit(x) > 0. { '1' } else { '0' }
    });
    Region { epoch, pixels: pixels.collect() }
}

/// The picture's frame: all training points with a little air.
fn view(sample: &Sample) -> [f64; 4] {
    let range = |axis: usize| {
        let values = || sample.points.iter().map(|x| x[axis]);
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let air = 0.05 * (high - low);
        [low - air, high + air]
    };
    let ([left, right], [bottom, top]) = (range(0), range(1));
    [left, right, bottom, top]
}

/// What a killed cell needs to go on.
#[derive(Serialize, Deserialize)]
struct Saved {
    epoch: usize,
    theta: Vec<f64>,
    separated_at: Option<usize>,
    last: Option<Row>,
}

/// Trains and reads one classifier.
pub fn train(config: &Plane, run: &mut CellRun) -> Result<Summary, CellError> {
    let seed = Seed(config.seed);
    let sample = Sample::draw(config.points, config.per_class, seed, "points");
    let test = Sample::draw(config.points, TEST, seed, "test-points");
    let separator = sample.separator();
    let weighting = Weighting::new(config.ratio, Convention::Batch, [config.per_class; 2]);
    let mut model = Model::new(config.model, seed);
    let view = view(&sample);

    let mut state = Saved { epoch: 0, theta: vec![], separated_at: None, last: None };
    if let Some(bytes) = run.resume()? {
        state = serde_json::from_slice(&bytes).map_err(CellError::other)?;
        if state.theta.len() != model.theta.len() {
            return Err(CellError::other("the checkpoint is of another model: remove it"));
        }
        model.theta.clone_from(&state.theta);
    }
    run.expect_epochs((1..=config.epochs).filter(|&e| is_read(e, config.epochs)).count());
    while state.epoch < config.epochs {
        model.epoch(config, &sample, &weighting, seed, state.epoch);
        state.epoch += 1;
        if model.theta.iter().any(|x| !x.is_finite()) {
            return Err(CellError::Diverged { step: state.epoch as u64, what: "a weight is not finite".into() });
        }
        if is_read(state.epoch, config.epochs) {
            let row = read(&mut model, state.epoch, &sample, &test, &weighting, separator.as_ref());
            run.epoch(&row)?;
            state.separated_at = (row.accuracy == 1.).then(|| state.separated_at.unwrap_or(row.epoch));
            state.last = Some(row);
        }
        // One draw is shown.
        if config.seed == 0 && PICTURES.contains(&state.epoch) {
            run.append("regions", &picture(&mut model, state.epoch, view))?;
        }
        if run.checkpoint_due() {
            state.theta.clone_from(&model.theta);
            run.save_checkpoint(&serde_json::to_vec(&state).map_err(CellError::other)?)?;
        }
    }
    let last = state.last.ok_or_else(|| CellError::other("a cell of no epochs has nothing to read"))?;
    Ok(Summary {
        epochs: state.epoch,
        margin: separator.map(|s| s.margin),
        separated_at: state.separated_at,
        view,
        last,
    })
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    const NARROW: Points = Points::Gaussians { centre: 1.5, radius: 2. };

    fn config(model: PlaneModel, ratio: f64) -> Plane {
        let (per_class, lambda, rate, batch, epochs, seed) = (512, 0., 0.1, 16, 1000, 3);
        Plane { points: NARROW, per_class, model, ratio, lambda, rate, batch, epochs, seed }
    }

    #[test]
    fn gradients_are_derivatives() {
        for kind in [PlaneModel::Linear, PlaneModel::Mlp { hidden: 5 }] {
            let mut model = Model::new(kind, Seed(1));
            let x = [0.7, -1.3];
            model.logit(x);
            model.add(x, 1.);
            for i in 0..model.theta.len() {
                let at = |model: &mut Model, h: f64| {
                    model.theta[i] += h;
                    let z = model.logit(x);
                    model.theta[i] -= h;
                    z
                };
                let numeric = (at(&mut model, 1e-6) - at(&mut model, -1e-6)) / 2e-6;
                assert_abs_diff_eq!(model.gradient[i], numeric, epsilon = 1e-8);
            }
        }
    }

    /// Margins balance to ln R and the boundary stands where theory says; 1/R mirrors R.
    #[test]
    fn a_separating_line_forgets_its_weights_as_theory_says() {
        let end = |ratio: f64| {
            let config = config(PlaneModel::Linear, ratio);
            let (seed, mut model) = (Seed(config.seed), Model::new(config.model, Seed(config.seed)));
            let sample = Sample::draw(config.points, config.per_class, seed, "points");
            let weighting = Weighting::new(ratio, Convention::Batch, [512; 2]);
            let separator = sample.separator().unwrap();
            let mut rows = vec![];
            for epoch in 0..config.epochs {
                model.epoch(&config, &sample, &weighting, seed, epoch);
                if epoch == 9 || epoch == config.epochs - 1 {
                    rows.push(read(&mut model, epoch + 1, &sample, &sample, &weighting, Some(&separator)));
                }
            }
            rows
        };
        let (heavy, light) = (end(16.), end(1. / 16.));
        let (early, last) = (&heavy[0], &heavy[1]);
        let balance = last.margin_positive - last.margin_negative;
        assert_abs_diff_eq!(balance, 16f64.ln(), epsilon = 0.2 * 16f64.ln());
        let expected = 16f64.ln() / (last.margin_positive + last.margin_negative);
        assert!((last.offset.unwrap() / expected - 1.).abs() < 0.25, "{last:?}, expected offset {expected}");
        assert!(last.offset < early.offset);
        // The order of the points is not mirrored, so a single draw is so only roughly.
        assert!((light[1].offset.unwrap() + last.offset.unwrap()).abs() < 0.3, "{:?}", light[1]);
    }

    #[test]
    fn heavy_positives_are_predicted_first() {
        let config = config(PlaneModel::Linear, 256.);
        let (seed, mut model) = (Seed(3), Model::new(config.model, Seed(3)));
        let sample = Sample::draw(config.points, 512, seed, "points");
        let weighting = Weighting::new(256., Convention::Batch, [512; 2]);
        model.epoch(&config, &sample, &weighting, seed, 0);
        let row = read(&mut model, 1, &sample, &sample, &weighting, None);
        assert!(row.fraction > 0.5 && row.margin_positive > row.margin_negative, "{row:?}");
    }

    #[test]
    fn rows_are_read_at_round_epochs() {
        let read: Vec<usize> = (1..=120).filter(|&e| is_read(e, 120)).collect();
        assert_eq!(read, [1, 2, 3, 5, 10, 20, 30, 50, 100, 120]);
    }
}
