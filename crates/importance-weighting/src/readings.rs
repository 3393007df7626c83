//! What tables, figures and verdicts read from finished cells.

use std::collections::BTreeMap;

use rand::RngExt;
use retrial_core::Seed;
use retrial_core::model::Architecture;
use retrial_core::results::{Error, Results};
use retrial_core::stats::{FEWEST_SEEDS, quantile};

use crate::config::{Config, Images, LabelShift, Plane};
use crate::equivalence::{self, Observation};
use crate::images::{self, Row};
use crate::paper::{ImportanceWeighting, Summary};
use crate::weighting::Convention;
use crate::{label_shift, plane};

/// Epochs at the end of which training accuracy must be 100 %.
const HELD: usize = 20;
/// Median training gap that counts as separated, in nats; |ln R| where that is more.
const LEAST_GAP: f64 = 4.;
/// Largest change of f over the last tenth of the epochs.
const SETTLED: f64 = 0.01;

/// Whether a run says anything about the end of training (section 3.5 of the protocol's gates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// All training images right for the last epochs, by a wide gap, and f has settled.
    Separated,
    /// Not so yet.
    NotYet,
    /// One answer for every training image.
    Collapsed,
}

impl Gate {
    /// Of a run with these rows.
    pub fn of(rows: &[Row], ratio: f64) -> Self {
        let Some(last) = rows.last() else { return Gate::NotYet };
        let accuracies = [last.train_accuracy_cat, last.train_accuracy_dog];
        if accuracies == [0., 1.] || accuracies == [1., 0.] {
            return Gate::Collapsed;
        }
        // From the last row at or before the start of the stretch on.
        let from = |epoch: usize| rows.iter().rposition(|r| r.epoch <= epoch).unwrap_or(0);
        let right = |r: &Row| r.train_accuracy_cat == 1. && r.train_accuracy_dog == 1.;
        let held = rows[from(last.epoch.saturating_sub(HELD))..].iter().all(right);
        let wide = last.gap_median >= LEAST_GAP.max(ratio.ln().abs());
        let before = &rows[from(last.epoch - last.epoch.div_ceil(10))];
        let settled = (last.fraction - before.fraction).abs() <= SETTLED + 1e-9;
        if held && wide && settled { Gate::Separated } else { Gate::NotYet }
    }
}

/// A finished network.
#[derive(Clone)]
pub struct Run {
    /// What it was trained with.
    pub config: Images,
    /// What came out.
    pub summary: images::Summary,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Whether it counts.
    pub gate: Gate,
}

impl Run {
    pub fn separated(&self) -> bool {
        self.gate == Gate::Separated
    }

    /// Whether the training images are still told apart, as an L2 arm must: balanced accuracy of at least 0.8.
    pub fn trains(&self) -> bool {
        self.summary.last.balanced_train_accuracy() >= 0.8
    }

    /// Whether the end of training is read from it: past the gates, or with a penalty still training.
    pub fn counts(&self) -> bool {
        if self.config.lambda > 0. { self.trains() } else { self.separated() }
    }

    /// The epoch after which f stays within 0.03 of its final value.
    pub fn settling_epoch(&self) -> usize {
        let near = |r: &Row| (r.fraction - self.summary.last.fraction).abs() <= 0.03;
        self.rows.iter().rposition(|r| !near(r)).map_or(1, |i| self.rows[(i + 1).min(self.rows.len() - 1)].epoch)
    }
}

/// What the network of a cell is called.
pub fn network(config: &Images) -> &'static str {
    match config.architecture {
        Architecture::Mlp { .. } => "MLP",
        Architecture::TwoStageCnn { .. } => "CNN",
        _ => "ResNet",
    }
}

/// What regularises the network of a cell; empty if nothing does.
pub fn regulariser(config: &Images) -> String {
    match config.architecture {
        _ if config.lambda > 0. => format!("L2 {}", config.lambda),
        Architecture::TwoStageCnn { dropout, .. } | Architecture::Mlp { dropout, .. } if dropout > 0. => {
            format!("dropout {dropout}")
        }
        Architecture::TwoStageCnn { norm: true, .. } | Architecture::PreActResNet18 { .. } => "batch norm".into(),
        _ => String::new(),
    }
}

/// Networks that differ in ratio and seed alone.
pub struct Arm {
    /// The experiment that they belong to.
    pub experiment: &'static str,
    /// At least one, past the gates or not.
    pub runs: Vec<Run>,
}

impl Arm {
    /// What they have in common; ratio and seed are those of one of them.
    pub fn config(&self) -> &Images {
        &self.runs[0].config
    }

    /// `CNN`, `MLP with L2 0.01`, `MLP, convention C`.
    pub fn name(&self) -> String {
        let (network, regulariser) = (network(self.config()), regulariser(self.config()));
        let with = if regulariser.is_empty() { String::new() } else { format!(" with {regulariser}") };
        match self.config().convention {
            Convention::Batch => format!("{network}{with}"),
            other => format!("{network}{with}, convention {}", other.letter()),
        }
    }

    /// Their ratios, rising.
    pub fn ratios(&self) -> Vec<f64> {
        distinct(self.runs.iter().map(|r| r.config.ratio))
    }
}

/// The arms of the experiments that compare ratios on cats and dogs, by experiment, convention and rising λ.
pub fn arms(results: &Results<ImportanceWeighting>) -> Result<Vec<Arm>, Error> {
    let mut arms = vec![];
    for experiment in ["ratios", "ratios-mlp", "l2", "l2-mlp", "dropout", "norm", "resnet", "conventions"] {
        arms.extend(split(experiment, runs(results, experiment)?));
    }
    Ok(arms)
}

fn split(experiment: &'static str, runs: Vec<Run>) -> Vec<Arm> {
    let mut arms: Vec<Arm> = vec![];
    for run in runs {
        let common = |c: &Images| (c.convention, c.lambda);
        match arms.iter_mut().find(|arm| common(arm.config()) == common(&run.config)) {
            Some(arm) => arm.runs.push(run),
            None => arms.push(Arm { experiment, runs: vec![run] }),
        }
    }
    arms.sort_by(|a, b| a.config().lambda.total_cmp(&b.config().lambda));
    arms
}

/// The finished networks of an experiment.
pub fn runs(results: &Results<ImportanceWeighting>, experiment: &str) -> Result<Vec<Run>, Error> {
    let mut runs = vec![];
    for cell in results.finished(experiment) {
        if let (Config::Images(config), Summary::Images(summary)) = (&cell.config, &cell.summary) {
            let rows: Vec<Row> = cell.epochs()?;
            let gate = Gate::of(&rows, config.ratio);
            runs.push(Run { config: config.clone(), summary: summary.clone(), rows, gate });
        }
    }
    Ok(runs)
}

/// A finished classifier of the plane.
pub struct Classifier {
    /// What it was trained with.
    pub config: Plane,
    /// Its rows, at least one.
    pub rows: Vec<plane::Row>,
}

impl Classifier {
    pub fn last(&self) -> &plane::Row {
        &self.rows[self.rows.len() - 1]
    }

    /// The row of an epoch.
    pub fn at(&self, epoch: usize) -> Option<&plane::Row> {
        self.rows.iter().find(|r| r.epoch == epoch)
    }
}

/// The finished classifiers of an experiment in the plane.
pub fn classifiers(results: &Results<ImportanceWeighting>, experiment: &str) -> Result<Vec<Classifier>, Error> {
    let mut classifiers = vec![];
    for cell in results.finished(experiment) {
        if let Config::Plane(config) = &cell.config {
            let rows: Vec<plane::Row> = cell.epochs()?;
            if !rows.is_empty() {
                classifiers.push(Classifier { config: config.clone(), rows });
            }
        }
    }
    Ok(classifiers)
}

/// The finished cells of the label-shift study.
pub fn label_shifts(results: &Results<ImportanceWeighting>) -> Vec<(LabelShift, label_shift::Summary)> {
    let cells = results.finished("label-shift").iter();
    cells
        .filter_map(|cell| match (&cell.config, &cell.summary) {
            (Config::LabelShift(config), Summary::LabelShift(summary)) => Some((config.clone(), summary.clone())),
            _ => None,
        })
        .collect()
}

/// The distinct values of a number, rising.
pub fn distinct(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// A value of the kept runs at each of some ratios, for every seed that has all of them: `(seed, values)`.
pub fn by_seed(
    runs: &[Run],
    ratios: &[f64],
    keep: impl Fn(&Run) -> bool,
    value: impl Fn(&Run) -> f64,
) -> Vec<(u64, Vec<f64>)> {
    let mut found: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| keep(run)) {
        found.entry(run.config.seed).or_default().insert(run.config.ratio.to_bits(), value(run));
    }
    let complete = found.into_iter().filter_map(|(seed, values)| {
        let values: Option<Vec<f64>> = ratios.iter().map(|ratio| values.get(&ratio.to_bits()).copied()).collect();
        Some((seed, values?))
    });
    complete.collect()
}

/// β of each seed: least-squares slope of a value on log₂ R, for seeds whose every ratio counts.
pub fn slopes(runs: &[Run], value: impl Fn(&Run) -> f64) -> BTreeMap<u64, f64> {
    let ratios = distinct(runs.iter().map(|run| run.config.ratio));
    let x: Vec<f64> = ratios.iter().map(|ratio| ratio.log2()).collect();
    by_seed(runs, &ratios, Run::counts, value).into_iter().map(|(seed, y)| (seed, slope(&x, &y))).collect()
}

/// Least-squares slope.
pub fn slope(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let sxy: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    sxy / x.iter().map(|x| (x - mx) * (x - mx)).sum::<f64>()
}

/// Equivalence of each ratio with 1:1, over pairs of runs that both count.
pub fn equivalence(runs: &[Run], margin: f64, value: impl Fn(&Run) -> f64) -> Vec<equivalence::Row> {
    let observe = |run: &Run| Observation { seed: run.config.seed, ratio: run.config.ratio, fraction: value(run) };
    let observations: Vec<Observation> = runs.iter().filter(|run| run.counts()).map(observe).collect();
    equivalence::analyse(&observations, margin)
}

/// Largest spread of f over the ratios at one of the first five epochs, by seed.
pub fn early_spread(runs: &[Run]) -> Vec<f64> {
    let ratios = distinct(runs.iter().map(|run| run.config.ratio));
    let mut best: BTreeMap<u64, f64> = BTreeMap::new();
    for epoch in 1..=5 {
        let at = |run: &Run| run.rows.iter().find(|r| r.epoch == epoch).map_or(f64::NAN, |r| r.fraction);
        for (seed, values) in by_seed(runs, &ratios, |run| at(run).is_finite(), at) {
            let entry = best.entry(seed).or_insert(0.);
            *entry = entry.max(spread(&values));
        }
    }
    best.into_values().collect()
}

/// Largest minus smallest.
pub fn spread(values: &[f64]) -> f64 {
    values.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b)) - values.iter().fold(f64::INFINITY, |a, &b| a.min(b))
}

/// Mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether equal shares are equal answers, on held-out images that all seeds share.
pub struct Sameness {
    /// Mean over the ratios of d(R), the share of images on which a network and the 1:1 network of its seed differ.
    pub ratios: f64,
    /// d₀, the same between the 1:1 networks of two seeds. They differ in their training images, too.
    pub seeds: f64,
    /// Upper 95 % limit of d(R) − d₀ at the ratio where it is greatest: all ratios must pass.
    pub excess: f64,
}

/// Compares the answers of runs of every seed whose every ratio counts; the limit comes from resampling both seeds and
/// images. None with fewer than [`FEWEST_SEEDS`] such seeds.
pub fn same_function(runs: &[Run], draws: usize) -> Option<Sameness> {
    let images = images::shared(&runs.first()?.config);
    let ratios = distinct(runs.iter().map(|r| r.config.ratio));
    let answers = |seed: u64, ratio: f64| -> Option<&[u8]> {
        let run = runs.iter().find(|r| r.counts() && (r.config.seed, r.config.ratio) == (seed, ratio))?;
        run.summary.predictions.as_bytes().get(..images)
    };
    let differ = |(a, b): (&[u8], &[u8])| -> Vec<bool> { a.iter().zip(b).map(|(a, b)| a != b).collect() };
    let seeds: Vec<u64> = by_seed(runs, &ratios, Run::counts, |_| 0.).into_iter().map(|(seed, _)| seed).collect();
    let plain: Vec<&[u8]> = seeds.iter().map(|&seed| answers(seed, 1.)).collect::<Option<_>>()?;
    let mut with_plain = vec![];
    for &ratio in ratios.iter().filter(|&&ratio| ratio != 1.) {
        let others: Vec<&[u8]> = seeds.iter().map(|&seed| answers(seed, ratio)).collect::<Option<_>>()?;
        with_plain.push(others.into_iter().zip(plain.iter().copied()).map(differ).collect::<Vec<_>>());
    }
    let n = seeds.len();
    if n < FEWEST_SEEDS || with_plain.is_empty() {
        return None;
    }
    let between: Vec<Vec<Vec<bool>>> = (0..n).map(|i| (0..n).map(|j| differ((plain[i], plain[j]))).collect()).collect();
    // d(R) for each ratio, and d₀ over pairs of different seeds, for some choice of seeds and images.
    let distances = |seeds: &[usize], chosen: &[usize]| -> (Vec<f64>, f64) {
        let share = |differ: &[bool]| chosen.iter().filter(|&&i| differ[i]).count() as f64 / chosen.len() as f64;
        let of_ratio = |of: &Vec<Vec<bool>>| mean(&seeds.iter().map(|&s| share(&of[s])).collect::<Vec<_>>());
        let pairs = seeds.iter().enumerate().flat_map(|(k, &a)| seeds[..k].iter().map(move |&b| (a, b)));
        let apart: Vec<f64> = pairs.filter(|(a, b)| a != b).map(|(a, b)| share(&between[a][b])).collect();
        (with_plain.iter().map(of_ratio).collect(), mean(&apart))
    };
    let all = |count: usize| (0..count).collect::<Vec<_>>();
    let (ratios, seeds) = distances(&all(n), &all(images));
    let mut stream = Seed(0).stream("same-function");
    let mut excesses: Vec<Vec<f64>> = vec![vec![]; ratios.len()];
    for _ in 0..draws {
        let mut draw = |count: usize| (0..count).map(|_| stream.random_range(0..count)).collect::<Vec<usize>>();
        let (of_ratios, of_seeds) = distances(&draw(n), &draw(images));
        // A resample of one seed alone has no pair.
        if of_seeds.is_finite() {
            excesses.iter_mut().zip(of_ratios).for_each(|(of, d)| of.push(d - of_seeds));
        }
    }
    let limits: Option<Vec<f64>> = excesses.iter().map(|of| quantile(of, 0.95).ok()).collect();
    let excess = limits?.into_iter().fold(f64::NEG_INFINITY, f64::max);
    Some(Sameness { ratios: mean(&ratios), seeds, excess })
}

/// Runs made by hand, for tests of rules.
#[cfg(test)]
pub mod made {
    use retrial_core::experiment::Profile;

    use super::*;

    /// The CNN of profile standard.
    pub fn images() -> Images {
        let experiments = crate::experiments::grid(Profile::Standard, Some(1));
        let cells = experiments.into_iter().flat_map(|e| e.cells);
        let mut images = cells.filter_map(|c| if let Config::Images(images) = c { Some(images) } else { None });
        Images { held_out: 4, ratio: 1., ..images.next().unwrap() }
    }

    /// f on every set of images from a function of the epoch.
    pub fn row(epoch: usize, fraction: f64) -> Row {
        Row {
            epoch,
            loss: 0.,
            train_accuracy_cat: 1.,
            train_accuracy_dog: 1.,
            gap_cat: 9.,
            gap_dog: 9.,
            gap_median: 9.,
            norm: 1.,
            fraction,
            fraction_cat: fraction,
            fraction_dog: fraction,
            fraction_other: fraction,
            fraction_noise: fraction,
            fraction_gaussian: fraction,
            fraction_batch_statistics: None,
            logit_shift: 0.,
            validation_loss: 1.,
        }
    }

    /// A run past the gates that ends at `end` and answers each held-out image with dog.
    pub fn run(ratio: f64, seed: u64, end: f64) -> Run {
        let early = if ratio > 1. { 1. } else { 0. };
        let mut rows: Vec<Row> = [1, 2, 5].map(|epoch| row(epoch, early)).to_vec();
        rows.extend([100, 360, 380, 400].map(|epoch| row(epoch, end)));
        let last = row(400, end);
        let summary = images::Summary {
            epochs: 400,
            separated_at: Some(100),
            stopped: rows[0].clone(),
            last,
            others: vec![],
            predictions: "1".repeat(8),
        };
        Run { config: Images { ratio, seed, ..images() }, summary, rows, gate: Gate::Separated }
    }

    /// Runs of some seeds at some ratios, ending at `end(ratio, seed)`.
    pub fn sweep(ratios: &[f64], seeds: u64, end: impl Fn(f64, u64) -> f64) -> Vec<Run> {
        let cells = ratios.iter().flat_map(|&ratio| (0..seeds).map(move |seed| (ratio, seed)));
        cells.map(|(ratio, seed)| run(ratio, seed, end(ratio, seed))).collect()
    }

    /// A little of its own for every seed, with mean 0 over five.
    pub fn scatter(seed: u64) -> f64 {
        [-2., -1., 0., 1., 2.][seed as usize % 5]
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;

    fn row(epoch: usize, accuracy: f64, gap: f64, fraction: f64) -> Row {
        Row { train_accuracy_cat: accuracy, gap_median: gap, ..made::row(epoch, fraction) }
    }

    #[test]
    fn gates_by_hand() {
        let good = [row(60, 1., 9., 0.5), row(80, 1., 9., 0.5), row(100, 1., 9., 0.505)];
        assert_eq!(Gate::of(&good, 16.), Gate::Separated);
        let gate = |change: &dyn Fn(&mut Vec<Row>)| {
            let mut rows = good.to_vec();
            change(&mut rows);
            Gate::of(&rows, 16.)
        };
        assert_eq!(gate(&|rows| rows[1].train_accuracy_cat = 0.99), Gate::NotYet);
        assert_eq!(gate(&|rows| rows[0].train_accuracy_cat = 0.99), Gate::Separated);
        assert_eq!(gate(&|rows| rows[2].fraction = 0.52), Gate::NotYet);
        assert_eq!(gate(&|rows| rows[2].gap_median = 3.9), Gate::NotYet);
        assert_eq!(Gate::of(&[row(100, 1., 5., 0.5)], 256.), Gate::NotYet);
        assert_eq!(gate(&|rows| rows[2].train_accuracy_cat = 0.), Gate::Collapsed);
    }

    #[test]
    fn slopes_by_hand() {
        assert_abs_diff_eq!(slope(&[-3., 0., 3.], &[0.2, 0.5, 0.8]), 0.1, epsilon = 1e-15);
        assert_abs_diff_eq!(spread(&[0.2, 0.9, 0.4]), 0.7, epsilon = 1e-15);
    }

    #[test]
    fn slopes_are_of_seeds_whose_every_ratio_counts() {
        let mut runs = made::sweep(&[0.125, 1., 8.], 3, |ratio, seed| 0.5 + 0.01 * (seed + 1) as f64 * ratio.log2());
        runs[0].gate = Gate::NotYet;
        let found = slopes(&runs, |r| r.summary.last.fraction);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_abs_diff_eq!(found[&2], 0.03, epsilon = 1e-12);
        assert_eq!(equivalence(&runs, 0.05, |r| r.summary.last.fraction).len(), 1, "1:8 has two pairs, 8:1 three");
    }

    #[test]
    fn arms_have_one_convention_and_one_lambda() {
        let mut runs = made::sweep(&[1., 8.], 2, |_, _| 0.5);
        runs[1].config.lambda = 0.01;
        runs[2].config.convention = Convention::Plain;
        let arms = split("l2", runs);
        let names: Vec<String> = arms.iter().map(Arm::name).collect();
        assert_eq!(names, ["CNN", "CNN, convention A", "CNN with L2 0.01"]);
        assert_eq!(arms[0].ratios(), [1., 8.]);
    }

    /// Eight shared images. The 1:1 networks of seeds 0 and 1 differ on two of them, of 0 and 2 on four, of 1 and 2 on
    /// four: d₀ = 10/24. At 8:1 one answer changes in each seed: d = 1/8.
    #[test]
    fn answers_are_compared_on_shared_images_alone() {
        let mut runs = made::sweep(&[1., 8.], 3, |_, _| 0.5);
        let plain = ["00000000", "11000000", "10111000"];
        for run in &mut runs {
            let mut answers = plain[run.config.seed as usize].to_string();
            if run.config.ratio == 8. {
                answers.replace_range(7.., "1");
            }
            // Beyond the shared ones each seed has its own images.
            run.summary.predictions = answers + &format!("{}", run.config.seed % 2);
        }
        let same = same_function(&runs, 400).unwrap();
        assert_abs_diff_eq!(same.seeds, 10. / 24., epsilon = 1e-12);
        assert_abs_diff_eq!(same.ratios, 0.125, epsilon = 1e-12);
        assert!(same.excess > -0.29 && same.excess < 0.3, "{}", same.excess);
        for run in runs.iter_mut().filter(|r| r.config.ratio == 8.) {
            let turned = run.summary.predictions.chars().map(|c| if c == '0' { '1' } else { '0' });
            run.summary.predictions = turned.collect();
        }
        assert!(same_function(&runs, 400).unwrap().excess > 0.5);
        runs.retain(|r| r.config.seed < 2);
        assert!(same_function(&runs, 400).is_none());
    }
}
