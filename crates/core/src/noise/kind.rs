//! Conventions of label noise by name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::matrix::check_level;
use super::{Error, Result, TransitionMatrix};
use crate::Seed;

/// A convention of label noise. "20 % symmetric noise" means two different things in the literature: each is a kind of
/// its own here, and [`NoiseKind::convention`] goes into every result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum NoiseKind {
    /// Given labels are the true ones, whatever the level.
    Clean,
    /// To one of the other classes, all as likely; the level is the share of wrong labels.
    Symmetric,
    /// Drawn anew over all classes, the true one included; the level is the share of samples drawn anew.
    SymmetricInclusive,
    /// Class i to i + 1 (mod c); the level is the share of wrong labels.
    Pair,
    /// CIFAR-10 only: truck to automobile, bird to airplane, deer to horse, cat and dog to each other; the level is the
    /// share of wrong labels within these five classes.
    CifarAsymmetric,
    /// To the other classes in random proportions of each class; the level is the share of wrong labels.
    ClassConditional {
        /// Seed of the proportions, apart from that of the draws: several seeds of draws share one matrix.
        matrix_seed: u64,
    },
    /// A matrix from a CSV file without header; the level is the share of samples that go through it, 1 for the matrix
    /// as it is.
    Matrix {
        /// The file.
        path: PathBuf,
    },
}

impl NoiseKind {
    /// The transition matrix at a level in [0, 1]. Fails on other levels, on a number of classes that the kind cannot
    /// have, and on an unreadable file.
    pub fn matrix(&self, classes: usize, level: f64) -> Result<TransitionMatrix> {
        check_level(level)?;
        match self {
            NoiseKind::Clean => TransitionMatrix::identity(classes),
            NoiseKind::Symmetric => TransitionMatrix::symmetric(classes, level),
            NoiseKind::SymmetricInclusive => TransitionMatrix::symmetric_inclusive(classes, level),
            NoiseKind::Pair => TransitionMatrix::pair(classes, level),
            NoiseKind::CifarAsymmetric => TransitionMatrix::cifar_asymmetric(classes, level),
            NoiseKind::ClassConditional { matrix_seed } => {
                TransitionMatrix::class_conditional(classes, level, Seed(*matrix_seed))
            }
            NoiseKind::Matrix { path } => {
                let matrix = TransitionMatrix::read_csv(path)?;
                if matrix.classes() != classes {
                    let problem = format!("{} classes, but the data have {classes}", matrix.classes());
                    return Err(Error::File { path: path.clone(), line: None, problem });
                }
                matrix.diluted(level)
            }
        }
    }

    /// The convention in words, for the column of that name in every result.
    pub fn convention(&self) -> String {
        match self {
            NoiseKind::Clean => "clean".into(),
            NoiseKind::Symmetric => "symmetric over the other classes".into(),
            NoiseKind::SymmetricInclusive => "symmetric over all classes".into(),
            NoiseKind::Pair => "pair".into(),
            NoiseKind::CifarAsymmetric => "CIFAR-10 asymmetric".into(),
            NoiseKind::ClassConditional { matrix_seed } => format!("class-conditional (matrix seed {matrix_seed})"),
            NoiseKind::Matrix { path } => format!("matrix {}", path.display()),
        }
    }
}
