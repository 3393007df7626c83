//! Does the prediction matrix equal the transition matrix?

use retrial_core::Seed;
use retrial_core::noise::TransitionMatrix;
use retrial_core::stats::{self, ChiSquare, Interval};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::laws::leaked_matrix;

/// Total variation of a row beyond the natural error 1 − a₀ up to which M passes for T.
const ROW_TOLERANCE: f64 = 0.05;

/// Step 9: the prediction matrix M against the transition matrix T, and against T leaked by the noise-free error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixTest {
    /// M over all seeds, rows true classes.
    pub predicted: Vec<Vec<f64>>,
    /// Against T.
    pub literal: MatrixDistance,
    /// Against a₀T + (1 − a₀)(1 − T)/(c − 1).
    pub leaked: MatrixDistance,
    /// Mean over classes of Mᵢᵢ − Tᵢᵢ with its t interval over seeds; none with one seed. Above 0: fewer wrong labels are
    /// repeated than were learnt.
    pub diagonal_excess: Option<Interval>,
    /// 0.05 + (1 − a₀): what the total variation of every row from T may be.
    pub tolerance: f64,
    /// Whether every row keeps to it.
    pub within: bool,
}

/// Distance of M from one reference, row by row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixDistance {
    /// Total variation of each row.
    pub rows: Vec<f64>,
    /// Their mean, with the bootstrap interval over seeds (only the estimate with fewer than 2).
    pub mean: f64,
    /// Interval of the mean; it lies high, since resampling adds scatter and scatter only adds distance.
    pub mean_interval: Option<Interval>,
    /// The greatest.
    pub worst: f64,
    /// Its interval.
    pub worst_interval: Option<Interval>,
    /// Mean total variation to be expected from the finite number of predictions if M were the reference.
    pub chance: f64,
    /// Pearson's test of each row; none where the reference excludes what was predicted.
    pub pearson: Vec<Option<ChiSquare>>,
    /// Least p of the rows after Holm's correction; 0 where a row predicts what the reference excludes.
    pub pearson_p: f64,
}

/// Tests predictions counted by true and predicted class, `counts[seed][true][predicted]`, against a transition matrix.
/// `a0` is the accuracy of the same learner without noise.
pub fn matrix_test(
    counts: &[Vec<Vec<u64>>],
    transition: &TransitionMatrix,
    a0: f64,
    draws: usize,
    seed: Seed,
) -> Result<MatrixTest, Error> {
    let classes = transition.classes();
    let whole = |m: &Vec<Vec<u64>>| m.len() == classes && m.iter().all(|row| row.len() == classes);
    if counts.is_empty() || !counts.iter().all(whole) {
        return Err(Error::Curves(format!("prediction counts do not match a transition matrix of {classes} classes")));
    }
    if let Some(class) = (0..classes).find(|&i| counts.iter().any(|m| m[i].iter().sum::<u64>() == 0)) {
        return Err(Error::Curves(format!("no prediction for samples of class {class}")));
    }
    let rows = |matrix: &TransitionMatrix| matrix.rows().map(<[f64]>::to_vec).collect::<Vec<Vec<f64>>>();
    let leaked = rows(&leaked_matrix(transition, a0)?);
    let transition = &rows(transition)[..];
    let all: Vec<usize> = (0..counts.len()).collect();
    let predicted = pooled(counts, &all);
    let mut sample = None;
    if counts.len() >= 2 {
        let statistic = |seeds: &[usize]| {
            let m = pooled(counts, seeds);
            let (a, b) = (distances(&m, transition), distances(&m, &leaked));
            vec![mean(&a), worst(&a), mean(&b), worst(&b)]
        };
        sample = Some(stats::bootstrap(counts.len(), draws, &mut seed.stream("fits/matrix"), statistic)?);
    }
    let interval = |component: usize| sample.as_ref().and_then(|s| s.interval(component, 0.95).ok());
    let distance = |reference: &[Vec<f64>], first: usize| -> Result<MatrixDistance, Error> {
        let rows = distances(&predicted, reference);
        let mut pearson = Vec::new();
        let mut chance = 0.0;
        for (i, row) in reference.iter().enumerate() {
            let observed: Vec<f64> = (0..classes).map(|j| counts.iter().map(|m| m[i][j] as f64).sum::<f64>()).collect();
            let n: f64 = observed.iter().sum();
            let spread = |p: &f64| (2.0 * p * (1.0 - p) / (std::f64::consts::PI * n)).sqrt();
            chance += 0.5 * row.iter().map(spread).sum::<f64>() / classes as f64;
            pearson.push(match stats::goodness_of_fit(&observed, row) {
                Ok(test) => Some(test),
                Err(stats::Error::Undefined { .. } | stats::Error::TooFew { .. }) => None,
                Err(error) => return Err(error.into()),
            });
        }
        let ps: Vec<f64> = pearson.iter().map(|test| test.map_or(0.0, |test| test.p.clamp(0.0, 1.0))).collect();
        let pearson_p = stats::holm(&ps)?.into_iter().fold(1.0, f64::min);
        Ok(MatrixDistance {
            mean: mean(&rows),
            mean_interval: interval(first),
            worst: worst(&rows),
            worst_interval: interval(first + 1),
            rows,
            chance,
            pearson,
            pearson_p,
        })
    };
    let literal = distance(transition, 0)?;
    let leaked = distance(&leaked, 2)?;
    let excess: Vec<f64> = (0..counts.len())
        .map(|s| {
            let m = pooled(counts, &[s]);
            (0..classes).map(|i| m[i][i] - transition[i][i]).sum::<f64>() / classes as f64
        })
        .collect();
    let diagonal_excess = if excess.len() < 2 { None } else { Some(stats::mean_t_interval(&excess, 0.95)?) };
    let tolerance = ROW_TOLERANCE + (1.0 - a0);
    let within = literal.worst <= tolerance;
    Ok(MatrixTest { predicted, literal, leaked, diagonal_excess, tolerance, within })
}

fn pooled(counts: &[Vec<Vec<u64>>], seeds: &[usize]) -> Vec<Vec<f64>> {
    let classes = counts[0].len();
    (0..classes)
        .map(|i| {
            let row: Vec<f64> =
                (0..classes).map(|j| seeds.iter().map(|&s| counts[s][i][j] as f64).sum::<f64>()).collect();
            let n: f64 = row.iter().sum();
            row.into_iter().map(|x| x / n).collect()
        })
        .collect()
}

fn distances(m: &[Vec<f64>], reference: &[Vec<f64>]) -> Vec<f64> {
    m.iter().zip(reference).map(|(p, q)| 0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>()).collect()
}

fn mean(xs: &[f64]) -> f64 {
    xs.iter().sum::<f64>() / xs.len() as f64
}

fn worst(xs: &[f64]) -> f64 {
    xs.iter().fold(0.0, |worst, x| x.max(worst))
}
