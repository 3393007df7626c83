//! A paper as a grid of cells, and what runs it.

use serde::{Serialize, de::DeserializeOwned};

use crate::chart::Figure;
use crate::results::{Claim, Results, Table};

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Every experiment's code path, in seconds.
    Smoke,
    /// An honest small test of each headline claim: five minutes on two cores.
    Quick,
    /// Enough seeds and epochs for a verdict wherever small scale can give one: 80 minutes on two cores.
    Standard,
    /// The paper's own data, architecture, schedule and seeds: a GPU.
    Paper,
}

/// A named group of cells that answers one question.
pub struct Experiment<C> {
    /// Short name, as given to `--only`: `S1`, `table-4`.
    pub name: String,
    /// What it asks, in one line for `list`.
    pub question: String,
    /// Configs of its cells. Two experiments may share a cell: it is trained once.
    pub cells: Vec<C>,
}

/// A paper on trial. `main.rs` hands an implementation to [`crate::cli::run`].
pub trait Paper: Sync {
    /// Everything that determines a cell's result, and nothing else (no worker count, no folder).
    type Config: Serialize + DeserializeOwned + Clone + Send + Sync;
    /// What remains of a finished cell beside its rows.
    type Summary: Serialize + DeserializeOwned + Send + Sync;

    /// Name of the binary, the results folder and the reported numbers: `noisy-quadratic`.
    fn id(&self) -> &'static str;
    /// Authors, year and title of the paper in one line.
    fn title(&self) -> &'static str;
    /// Part of every cell id; raised when a change of the method makes earlier cells incomparable.
    fn protocol(&self) -> u32;
    /// The experiments of a profile; `seeds` replaces the profile's number of seeds.
    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Self::Config>>;
    /// The readable half of a cell's id: `s1-symmetric-0.4-seed2`.
    fn cell_name(&self, config: &Self::Config) -> String;
    /// Rough seconds of a cell on one core of a laptop, for `list` and the first ETA.
    fn expected_seconds(&self, config: &Self::Config) -> f64;
    /// Trains one cell.
    fn train(&self, config: &Self::Config, run: &mut CellRun) -> Result<Self::Summary, CellError>;
    /// Tables derived from finished cells.
    fn tables(&self, results: &Results<Self>) -> Result<Vec<Table>, crate::results::Error>
    where
        Self: Sized;
    /// Figures drawn from finished cells, by file stem.
    fn figures(&self, results: &Results<Self>) -> Result<Vec<(String, Figure)>, crate::results::Error>
    where
        Self: Sized;
    /// A verdict on each claim of the paper.
    fn claims(&self, results: &Results<Self>) -> Result<Vec<Claim>, crate::results::Error>
    where
        Self: Sized;
}

/// Why a cell has no result. (Runner helper defines it.)
pub struct CellError;
/// What a cell is trained with. (Runner helper defines it.)
pub struct CellRun;
