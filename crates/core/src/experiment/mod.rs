//! A paper as a grid of cells, and what runs it.
//!
//! A *cell* is one training run, named by everything that determines its result (its config). [`run`] trains the
//! cells of a grid that are not finished yet, several at a time; [`train_cell`] trains one. What a cell leaves behind
//! is a folder of small files:
//!
//! ```text
//! results/<profile>/<paper>/cells/<name>-<hash of the config>/
//!     config.json     what it is; copied and edited, it makes a new cell
//!     epochs.csv      one row per epoch, without a clock: same cell, same bytes
//!     timing.csv      seconds of each of these rows
//!     <table>.csv     further rows, just as repeatable
//!     checkpoint      while it runs
//!     summary.json    written last: its outcome, and what it was trained with
//! ```

mod cell;
mod checkpoint;
mod folder;
mod progress;
mod provenance;
mod record;
mod runner;

use candle_core::Device;
use serde::{Serialize, de::DeserializeOwned};

pub use cell::{CellError, CellRun};
pub use folder::{Folder, replace_file};
pub use record::{ConfigError, ConfigFile, Record, Status, cell_id};
pub use runner::{Options, Report, RunError, TrainedCell, distinct_cells, run, train_cell};

pub(crate) use folder::io_error_text;
pub(crate) use progress::duration;
pub(crate) use record::read_record;

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

impl Profile {
    /// As on the command line and in folder names.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Smoke => "smoke",
            Profile::Quick => "quick",
            Profile::Standard => "standard",
            Profile::Paper => "paper",
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A named group of cells that answers one question.
#[derive(Clone, Debug)]
pub struct Experiment<C> {
    /// Short name, as given to `--only`: `S1`, `table-4`.
    pub name: String,
    /// What it asks, in one line for `list`.
    pub question: String,
    /// Configs of its cells. Two experiments may share a cell: it is trained once.
    pub cells: Vec<C>,
}

/// A paper on trial. `main.rs` hands an implementation to [`crate::cli::main`].
pub trait Paper: Sync + Sized {
    /// Everything that determines a cell's result, and nothing else (no worker count, no folder). It must survive
    /// JSON unchanged; a field `seed` at its top is repeated in `summary.json`. `deny_unknown_fields` makes the typing
    /// errors of people who edit a config visible.
    type Config: Serialize + DeserializeOwned + Clone + Send + Sync;
    /// What remains of a finished cell beside its rows. It must survive JSON, which has no NaN: use `Option` for
    /// numbers that may be undefined.
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
    /// Rough seconds of a cell on one core of a laptop, for `list`, the order of cells and the first ETA.
    fn expected_seconds(&self, config: &Self::Config) -> f64;
    /// Trains one cell.
    ///
    /// # Errors
    /// [`CellError::Diverged`] ends this cell and is recorded as its outcome; any other error leaves it to be trained
    /// again by the next run.
    fn train(&self, config: &Self::Config, run: &mut CellRun) -> Result<Self::Summary, CellError>;
    /// Tables derived from finished cells.
    ///
    /// # Errors
    /// When a file of a cell or of the reported numbers cannot be read.
    fn tables(&self, results: &Results<Self>) -> Result<Vec<Table>, crate::results::Error>;
    /// Figures drawn from finished cells, by file stem.
    ///
    /// # Errors
    /// As for [`Self::tables`], or when a chart cannot be drawn.
    fn figures(&self, results: &Results<Self>) -> Result<Vec<(String, Figure)>, crate::results::Error>;
    /// A verdict on each claim of the paper.
    ///
    /// # Errors
    /// As for [`Self::tables`].
    fn claims(&self, results: &Results<Self>) -> Result<Vec<Claim>, crate::results::Error>;
}

/// `cpu` or `cuda:0`, as given to `--device`.
pub fn device_name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}
