//! Label noise: how a true class becomes a given label.
//!
//! Noise depends on the class only: a [`TransitionMatrix`] T holds the probability T_ij that a sample of class i is
//! given label j. A [`NoiseKind`] names a convention of the literature, [`corrupt`] draws the labels. Two uniform
//! numbers belong to each sample of a seed, whatever the kind and the level: the first decides whether its label flips,
//! the second what to. So flips at a low level are a subset of those at a higher one, and all methods of a seed see the
//! same.

mod kind;
mod labels;
mod matrix;

use std::path::PathBuf;

pub use kind::NoiseKind;
pub use labels::{NoisyLabels, class_frequencies, corrupt, corrupt_low_margins};
pub use matrix::TransitionMatrix;

/// Why there is no noise, matrix or accuracy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A matrix that is not square, or not of the wanted size.
    #[error("a transition matrix of {classes} classes needs {classes} x {classes} entries, got {got}")]
    Shape {
        /// Number of classes.
        classes: usize,
        /// What was given.
        got: String,
    },
    /// A row that is no distribution.
    #[error("row {} of the transition matrix: {problem}", row + 1)]
    Row {
        /// Row, from 0.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A matrix file that cannot be read, written or understood.
    #[error("{}{}: {problem}", path.display(), line.map_or(String::new(), |line| format!(", line {line}")))]
    File {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1, where the trouble is in one line.
        line: Option<usize>,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A level that is no probability.
    #[error("a noise level must lie in [0, 1], got {0}")]
    Level(f64),
    /// A kind of noise for another number of classes.
    #[error("{kind} noise needs {needed} classes, got {got}")]
    Classes {
        /// The kind.
        kind: &'static str,
        /// What it needs.
        needed: &'static str,
        /// Number of classes given.
        got: usize,
    },
    /// A label or a prediction outside the classes.
    #[error("label {label} of sample {index} is outside the {classes} classes")]
    Label {
        /// Position of the sample, from 0.
        index: usize,
        /// The label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// Labels and what belongs to them differ in number.
    #[error("{left} labels beside {right} {what}")]
    Unequal {
        /// What stands beside the labels.
        what: &'static str,
        /// Number of labels.
        left: usize,
        /// Number of the other.
        right: usize,
    },
    /// Class frequencies that are no distribution over the classes.
    #[error("class frequencies must be {classes} numbers in [0, 1] that sum to 1: {problem}")]
    Frequencies {
        /// Number of classes.
        classes: usize,
        /// What is wrong with them.
        problem: String,
    },
    /// A class without samples, where each needs some.
    #[error("class {0} has no samples")]
    EmptyClass(usize),
    /// A margin that is NaN.
    #[error("the margin of sample {0} is NaN")]
    Margin(usize),
}

/// The result of a function of this module.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests;
