//! What all papers found, on one page and in the README: a function of the files below `results/`. Trains nothing.

mod compare;
pub mod page;
pub mod readme;
mod verdicts;

use std::io;
use std::path::PathBuf;

pub use compare::{Comparison, compare};
pub use verdicts::{PAPERS, Paper, Trial, Verdict, trials};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A results file is not what it should be.
    #[error(transparent)]
    Results(#[from] retrial_core::results::Error),
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No paper has a `claims.csv`.
    #[error("{}: no verdicts there; run a paper first (`make reproduce-all`)", .0.display())]
    Nothing(PathBuf),
    /// Two results folders have no finished cell in common.
    #[error("{} and {}: no finished cell is in both; run a paper first (`make reproduce-all`)", .0.display(), .1.display())]
    NothingShared(PathBuf, PathBuf),
    /// A block of the README cannot be filled.
    #[error("{}, line {line}: {message}", path.display())]
    Block {
        /// The README.
        path: PathBuf,
        /// Of the block's first line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}
