//! Row-stochastic matrices: of noise (T) and of predictions (M).

use std::fs;
use std::path::Path;

use rand::{Rng, RngExt};
use rand_distr::Exp1;

use super::{Error, Result};
use crate::Seed;

/// Probabilities of a label given the true class: row i holds P(label j | class i). Entries lie in [0, 1] and each row
/// sums to 1 within 1e-9. A confusion matrix with normalised rows is one as well.
#[derive(Clone, Debug, PartialEq)]
pub struct TransitionMatrix {
    classes: usize,
    /// Row-major.
    entries: Vec<f64>,
}

/// How far from 1 a row may sum.
const TOLERANCE: f64 = 1e-9;

impl TransitionMatrix {
    /// A matrix from `classes * classes` entries, row by row. Fails on another number of entries, no classes, entries
    /// outside [0, 1] and rows that do not sum to 1.
    pub fn new(classes: usize, entries: Vec<f64>) -> Result<TransitionMatrix> {
        if classes == 0 || Some(entries.len()) != classes.checked_mul(classes) {
            return Err(Error::Shape { classes, got: entries.len().to_string() });
        }
        for (row, values) in entries.chunks_exact(classes).enumerate() {
            check_row(values).map_err(|problem| Error::Row { row, problem })?;
        }
        Ok(TransitionMatrix { classes, entries })
    }

    /// A matrix from its rows. Fails as [`TransitionMatrix::new`].
    pub fn from_rows(rows: &[Vec<f64>]) -> Result<TransitionMatrix> {
        if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != rows.len()) {
            let got = format!("{} rows, row {} with {} entries", rows.len(), i + 1, row.len());
            return Err(Error::Shape { classes: rows.len(), got });
        }
        TransitionMatrix::new(rows.len(), rows.concat())
    }

    /// No noise.
    pub fn identity(classes: usize) -> Result<TransitionMatrix> {
        from_entries(classes, |i, j| if i == j { 1.0 } else { 0.0 })
    }

    /// Symmetric over the *other* classes: a label is kept with 1 - ε, else each of the c - 1 others is as likely. The
    /// share of wrong labels is ε.
    pub fn symmetric(classes: usize, level: f64) -> Result<TransitionMatrix> {
        check_level(level)?;
        need_two("symmetric", classes)?;
        let other = level / (classes - 1) as f64;
        from_entries(classes, |i, j| if i == j { 1.0 - level } else { other })
    }

    /// Symmetric over *all* classes: with probability p the label is drawn anew, the true class included. The share of
    /// wrong labels is p (c-1)/c.
    pub fn symmetric_inclusive(classes: usize, level: f64) -> Result<TransitionMatrix> {
        check_level(level)?;
        need_two("symmetric", classes)?;
        TransitionMatrix::symmetric(classes, level * (classes - 1) as f64 / classes as f64)
    }

    /// Class i becomes i + 1 (mod c) with probability ε.
    pub fn pair(classes: usize, level: f64) -> Result<TransitionMatrix> {
        check_level(level)?;
        need_two("pair", classes)?;
        flips(classes, level, |i| Some((i + 1) % classes))
    }

    /// The class-dependent noise of CIFAR-10 (Patrini et al. 2017): with probability ε truck becomes automobile, bird
    /// airplane, deer horse, and cat and dog change places. The other five classes stay clean, so half the labels are
    /// exposed.
    pub fn cifar_asymmetric(classes: usize, level: f64) -> Result<TransitionMatrix> {
        check_level(level)?;
        if classes != 10 {
            return Err(Error::Classes { kind: "CIFAR-10's asymmetric", needed: "10", got: classes });
        }
        flips(classes, level, |i| match i {
            9 => Some(1),
            2 => Some(0),
            4 => Some(7),
            3 => Some(5),
            5 => Some(3),
            _ => None,
        })
    }

    /// A random matrix: each class keeps 1 - ε and spreads ε over the others in proportions drawn uniformly from the
    /// simplex. The proportions depend on the seed alone, not on the level.
    pub fn class_conditional(classes: usize, level: f64, seed: Seed) -> Result<TransitionMatrix> {
        check_level(level)?;
        need_two("class-conditional", classes)?;
        let mut stream = seed.stream("transition matrix");
        let mut entries = Vec::with_capacity(classes * classes);
        for i in 0..classes {
            // Exponential numbers over their sum are uniform on the simplex.
            let mut row: Vec<f64> = (0..classes).map(|_| stream.sample(Exp1)).collect();
            row[i] = 0.0;
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|x| *x *= level / sum);
            row[i] = 1.0 - level;
            entries.extend(row);
        }
        TransitionMatrix::new(classes, entries)
    }

    /// Row-normalised counts of `labels` by true class: the realised noise of given labels, or the confusion matrix of
    /// predictions. Fails on unequal lengths, labels outside the classes and classes without samples.
    pub fn estimate(truth: &[u32], labels: &[u32], classes: usize) -> Result<TransitionMatrix> {
        if truth.len() != labels.len() {
            return Err(Error::Unequal { what: "true classes", left: labels.len(), right: truth.len() });
        }
        check_labels(truth, classes)?;
        check_labels(labels, classes)?;
        let mut entries = vec![0.0; classes * classes];
        for (i, j) in truth.iter().zip(labels) {
            entries[*i as usize * classes + *j as usize] += 1.0;
        }
        for (class, row) in entries.chunks_exact_mut(classes.max(1)).enumerate() {
            let count: f64 = row.iter().sum();
            if count == 0.0 {
                return Err(Error::EmptyClass(class));
            }
            row.iter_mut().for_each(|x| *x /= count);
        }
        TransitionMatrix::new(classes, entries)
    }

    /// A share `level` of the samples goes through this matrix, the rest keep their class: (1 - level) I + level T.
    pub fn diluted(&self, level: f64) -> Result<TransitionMatrix> {
        check_level(level)?;
        from_entries(self.classes, |i, j| level * self.get(i, j) + if i == j { 1.0 - level } else { 0.0 })
    }

    /// Reads a matrix: one row a line, entries between commas, no header; empty lines and those that begin with `#` are
    /// skipped.
    pub fn read_csv(path: &Path) -> Result<TransitionMatrix> {
        let wrong = |line: Option<usize>, problem: String| Error::File { path: path.to_owned(), line, problem };
        let text = fs::read_to_string(path).map_err(|e| wrong(None, format!("cannot be read: {e}")))?;
        let mut rows = Vec::new();
        // A line of numbers needs no quoting; read line by line, a message can name the line that an editor shows.
        for (line, text) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let line = Some(line + 1);
            let parse = |(column, entry): (usize, &str)| {
                let entry = entry.trim();
                let problem =
                    || format!("entry {} is `{entry}`, not a number; write numbers only, no header", column + 1);
                entry.parse::<f64>().map_err(|_| wrong(line, problem()))
            };
            let row = text.split(',').enumerate().map(parse).collect::<Result<Vec<f64>>>()?;
            check_row(&row).map_err(|problem| wrong(line, problem))?;
            rows.push((line, row));
        }
        let classes = rows.len();
        if classes == 0 {
            return Err(wrong(None, "is empty; write one row of probabilities for each class".into()));
        }
        if let Some((line, row)) = rows.iter().find(|(_, row)| row.len() != classes) {
            let problem = format!("{} entries in a file of {classes} rows; the matrix must be square", row.len());
            return Err(wrong(*line, problem));
        }
        Ok(TransitionMatrix { classes, entries: rows.into_iter().flat_map(|(_, row)| row).collect() })
    }

    /// Writes the matrix in the form that [`TransitionMatrix::read_csv`] reads back to the last bit. The file appears
    /// whole or not at all.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let text: String =
            self.rows().map(|row| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n").collect();
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        fs::write(&name, text).and_then(|()| fs::rename(&name, path)).map_err(|e| {
            // Nothing is left behind; a failure to remove what may not exist adds nothing to the message.
            let _ = fs::remove_file(&name);
            Error::File { path: path.to_owned(), line: None, problem: format!("cannot be written: {e}") }
        })
    }

    /// Number of classes c.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// P(label `j` | class `i`). Both must be classes.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.row(i)[j]
    }

    /// The distribution of the label of class `i`, which must be a class.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.entries[i * self.classes..(i + 1) * self.classes]
    }

    /// All rows, in order of the classes.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.entries.chunks_exact(self.classes)
    }

    /// One label for each true class, drawn from its row. Two numbers are taken from the stream for each sample, in
    /// order: the label flips iff the first is below 1 - T_ii, and the second chooses among the other classes. Fails on
    /// labels outside the classes.
    pub fn draw(&self, truth: &[u32], stream: &mut impl Rng) -> Result<Vec<u32>> {
        check_labels(truth, self.classes)?;
        Ok(truth
            .iter()
            .map(|class| {
                let (flip, choice): (f64, f64) = (stream.random(), stream.random());
                let i = *class as usize;
                if flip < 1.0 - self.get(i, i) { self.replacement(i, choice) } else { *class }
            })
            .collect())
    }

    /// The other class at which the cumulated probabilities of the others pass `choice`, in [0, 1), of their sum.
    fn replacement(&self, i: usize, choice: f64) -> u32 {
        let others = || self.row(i).iter().enumerate().filter(|(j, p)| *j != i && **p > 0.0);
        let target = choice * others().map(|(_, p)| p).sum::<f64>();
        let mut passed = 0.0;
        let mut chosen = i;
        for (j, p) in others() {
            passed += p;
            chosen = j;
            if target < passed {
                break;
            }
        }
        chosen as u32
    }

    /// Expected share of wrong labels, Σ_i π_i (1 - T_ii), for class frequencies π.
    pub fn flip_rate(&self, frequencies: &[f64]) -> Result<f64> {
        self.check_frequencies(frequencies)?;
        Ok(frequencies.iter().enumerate().map(|(i, p)| p * (1.0 - self.get(i, i))).sum())
    }

    /// Expected accuracy against noisy labels of a learner that repeats the noise, M = T: Σ_i π_i Σ_j T_ij², the
    /// probability that two independent draws agree.
    pub fn memoriser_accuracy(&self, frequencies: &[f64]) -> Result<f64> {
        self.noisy_accuracy(frequencies, self)
    }

    /// Expected accuracy against noisy labels of a learner with confusion matrix M, Σ_i π_i Σ_j T_ij M_ij. Exact for
    /// any learner, since the noise of held-out labels does not depend on the prediction given the class.
    pub fn noisy_accuracy(&self, frequencies: &[f64], confusion: &TransitionMatrix) -> Result<f64> {
        self.check_frequencies(frequencies)?;
        self.check_same_size(confusion)?;
        let agreement = |(t, m): (&[f64], &[f64])| -> f64 { t.iter().zip(m).map(|(t, m)| t * m).sum() };
        Ok(frequencies.iter().zip(self.rows().zip(confusion.rows()).map(agreement)).map(|(p, a)| p * a).sum())
    }

    /// Expected accuracy of predictions against noisy labels, (1/n) Σ_k T[y_k, ŷ_k]: what the agreement with sampled
    /// labels has as its mean, without the sampling. 0 for no samples. Fails on unequal lengths and labels outside the
    /// classes.
    pub fn expected_accuracy(&self, truth: &[u32], predictions: &[u32]) -> Result<f64> {
        if truth.len() != predictions.len() {
            return Err(Error::Unequal { what: "predictions", left: truth.len(), right: predictions.len() });
        }
        check_labels(truth, self.classes)?;
        check_labels(predictions, self.classes)?;
        let sum: f64 = truth.iter().zip(predictions).map(|(y, p)| self.get(*y as usize, *p as usize)).sum();
        Ok(if truth.is_empty() { 0.0 } else { sum / truth.len() as f64 })
    }

    /// Total variation distance of each row from the same row of another matrix.
    pub fn total_variations(&self, other: &TransitionMatrix) -> Result<Vec<f64>> {
        self.check_same_size(other)?;
        let half_l1 = |(p, q): (&[f64], &[f64])| 0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>();
        Ok(self.rows().zip(other.rows()).map(half_l1).collect())
    }

    fn check_same_size(&self, other: &TransitionMatrix) -> Result<()> {
        if self.classes == other.classes {
            Ok(())
        } else {
            Err(Error::Shape { classes: self.classes, got: format!("{0} x {0}", other.classes) })
        }
    }

    fn check_frequencies(&self, frequencies: &[f64]) -> Result<()> {
        let wrong = |problem| Err(Error::Frequencies { classes: self.classes, problem });
        if frequencies.len() != self.classes {
            return wrong(format!("got {} numbers", frequencies.len()));
        }
        match check_row(frequencies) {
            Ok(()) => Ok(()),
            Err(problem) => wrong(problem),
        }
    }
}

fn check_row(row: &[f64]) -> std::result::Result<(), String> {
    if let Some((column, value)) = row.iter().enumerate().find(|(_, p)| !(0.0..=1.0).contains(*p)) {
        return Err(format!("entry {} is {value}; probabilities lie in [0, 1]", column + 1));
    }
    let sum: f64 = row.iter().sum();
    if (sum - 1.0).abs() > TOLERANCE {
        return Err(format!("sums to {sum}; make it sum to 1 within {TOLERANCE}"));
    }
    Ok(())
}

pub(super) fn check_level(level: f64) -> Result<()> {
    if (0.0..=1.0).contains(&level) { Ok(()) } else { Err(Error::Level(level)) }
}

pub(super) fn check_labels(labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|label| *label as usize >= classes) {
        Some(index) => Err(Error::Label { index, label: labels[index], classes }),
        None => Ok(()),
    }
}

pub(super) fn need_two(kind: &'static str, classes: usize) -> Result<()> {
    if classes >= 2 { Ok(()) } else { Err(Error::Classes { kind, needed: "at least 2", got: classes }) }
}

fn from_entries(classes: usize, entry: impl Fn(usize, usize) -> f64) -> Result<TransitionMatrix> {
    let entries = (0..classes).flat_map(|i| (0..classes).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).collect();
    TransitionMatrix::new(classes, entries)
}

/// Each class keeps 1 - ε and gives ε to its target, or keeps everything.
fn flips(classes: usize, level: f64, target: impl Fn(usize) -> Option<usize>) -> Result<TransitionMatrix> {
    from_entries(classes, |i, j| match target(i) {
        Some(target) if j == target => level,
        Some(_) if i == j => 1.0 - level,
        None if i == j => 1.0,
        _ => 0.0,
    })
}
