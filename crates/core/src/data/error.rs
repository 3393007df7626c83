//! What can be wrong with data, in one line each.

use std::fmt;
use std::path::PathBuf;

use super::DatasetId;

/// Why a data set could not be read, written or built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No place holds the data set.
    #[error("{set} is missing: expected {expected}; looked in {looked}; {remedy}")]
    Missing {
        /// The data set.
        set: DatasetId,
        /// Its files.
        expected: String,
        /// The folders that were searched.
        looked: String,
        /// What to run.
        remedy: String,
    },
    /// A file is there but is not what it should be.
    #[error("{}: {flaw}; {remedy}", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
        /// What to run.
        remedy: String,
    },
    /// A folder that the user named does not exist.
    #[error("{}: there is no such folder; name the folder that holds the data sets, or leave it out", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file that exists cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file or its folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No source could deliver the data set.
    #[error("{set} could not be fetched: {reasons}")]
    NoSource {
        /// The data set.
        set: DatasetId,
        /// What each source answered.
        reasons: String,
    },
    /// More samples are asked for than there are.
    #[error("{wanted} samples{class} are asked for, but there are {available}; ask for fewer")]
    TooFew {
        /// How many are asked for.
        wanted: usize,
        /// How many there are.
        available: usize,
        /// Empty, or ` of class 3`.
        class: String,
    },
    /// A synthetic task or a reduction is asked for that cannot be built.
    #[error("{0}")]
    Invalid(String),
    /// Arithmetic on tensors failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// What is wrong with the bytes of a file: what was expected, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Flaw {
    /// The first four bytes name another format.
    Magic { expected: u32, found: u32 },
    /// Too short (truncated) or too long, in bytes.
    Size { expected: u64, found: u64 },
    /// Another number of images or labels.
    Count { expected: usize, found: usize },
    /// Images of another size: height and width.
    Shape { expected: (usize, usize), found: (usize, usize) },
    /// A label that is no class; rows count from 0.
    Label { row: usize, label: u8, classes: usize },
    /// Well-formed, but not the published bytes.
    Checksum { expected: String, found: String },
    /// A member that an archive should hold.
    NoMember(String),
    /// Compression, image or text that cannot be decoded.
    Undecodable(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Flaw::Magic { expected, found } => {
                write!(f, "wrong format: expected the magic number {expected:#010x}, found {found:#010x}")
            }
            Flaw::Size { expected, found } if found < expected => {
                write!(f, "truncated: expected {expected} bytes, found {found}")
            }
            Flaw::Size { expected, found } => write!(f, "too long: expected {expected} bytes, found {found}"),
            Flaw::Count { expected, found } => write!(f, "expected {expected} samples, found {found}"),
            Flaw::Shape { expected: (eh, ew), found: (h, w) } => {
                write!(f, "expected images of {eh} x {ew}, found {h} x {w}")
            }
            Flaw::Label { row, label, classes } => {
                write!(f, "label {label} in row {row} is no class: expected 0 to {}", classes - 1)
            }
            Flaw::Checksum { expected, found } => {
                write!(f, "altered: expected the checksum {expected}, found {found}")
            }
            Flaw::NoMember(name) => write!(f, "expected a member {name} in this archive, found none"),
            Flaw::Undecodable(why) => write!(f, "cannot be decoded: {why}"),
        }
    }
}
