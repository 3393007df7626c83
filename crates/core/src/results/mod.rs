//! Finished cells read back from disk, the numbers that a paper reports, and the verdicts on its claims.
//!
//! Nothing here trains or remembers: tables, figures and verdicts are functions of files.

mod claim;
mod reported;
mod table;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use claim::{
    Claim, Verdict, claims_csv, claims_markdown, claims_text, decided, judge_above, judge_within, not_tested, open,
    short, worst,
};
pub use reported::{Reported, ReportedNumber};
pub use table::{Counts, Table};

pub(crate) use table::csv_bytes;

use crate::experiment::{Folder, Paper, Profile, Status, cell_id, io_error_text, read_record};

/// Why results cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{}", io_error_text(path, source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A row of a table is not what it should be.
    #[error("{}, line {line}: {message}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header being line 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// A `summary.json` cannot be this cell's.
    #[error("{}: {message}; `run` sets it aside and trains the cell again", path.display())]
    Summary {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A figure cannot be drawn or stored.
    #[error(transparent)]
    Chart(#[from] crate::chart::Error),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Any other error, by its message.
    pub fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

/// A cell with an outcome: `summary` is the paper's own for a finished one, [`Divergence`] for a diverged one.
#[derive(Clone, Debug)]
pub struct Cell<C, S> {
    /// Its id, which is its folder's name.
    pub id: String,
    /// What it was trained with.
    pub config: C,
    /// What came out.
    pub summary: S,
    /// Wall time of its training in seconds.
    pub wall_seconds: f64,
    /// Processor time of its training in seconds, where the system told.
    pub cpu_seconds: Option<f64>,
    /// `cpu` or `cuda:0`.
    pub device: String,
    folder: PathBuf,
}

impl<C, S> Cell<C, S> {
    /// The rows of `epochs.csv`.
    ///
    /// # Errors
    /// With file, line and column, if a row is not an `R`.
    pub fn epochs<R: DeserializeOwned>(&self) -> Result<Vec<R>, Error> {
        self.table("epochs")
    }

    /// The rows of another of the cell's tables.
    ///
    /// # Errors
    /// As for [`Self::epochs`].
    pub fn table<R: DeserializeOwned>(&self, name: &str) -> Result<Vec<R>, Error> {
        read_csv(&self.folder.join(format!("{name}.csv")))
    }
}

/// When and how a cell left the finite numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The step, counted from 0.
    pub step: u64,
    /// What became infinite or NaN.
    pub what: String,
}

/// A finished cell of a paper.
pub type Finished<P> = Cell<<P as Paper>::Config, <P as Paper>::Summary>;
/// A diverged cell of a paper.
pub type Diverged<P> = Cell<<P as Paper>::Config, Divergence>;

/// The cells of one experiment, by outcome, each list in the order of the grid.
pub struct ExperimentResults<P: Paper> {
    /// As in [`crate::experiment::Experiment`].
    pub name: String,
    /// As in [`crate::experiment::Experiment`].
    pub question: String,
    /// Trained to their end.
    pub finished: Vec<Arc<Finished<P>>>,
    /// Left the finite numbers: counted and shown, never averaged in.
    pub diverged: Vec<Arc<Diverged<P>>>,
    /// Ids of cells that ended with an error.
    pub failed: Vec<String>,
    /// Ids of cells that have not been trained to an end.
    pub missing: Vec<String>,
}

impl<P: Paper> ExperimentResults<P> {
    /// How many cells came to which end.
    pub fn counts(&self) -> Counts {
        Counts {
            finished: self.finished.len(),
            diverged: self.diverged.len(),
            failed: self.failed.len(),
            missing: self.missing.len(),
        }
    }
}

enum Outcome<P: Paper> {
    Finished(Arc<Finished<P>>),
    Diverged(Arc<Diverged<P>>),
    Failed,
    Missing,
}

/// All that is known of a paper at one profile.
pub struct Results<P: Paper> {
    /// The profile.
    pub profile: Profile,
    /// In the order of the grid.
    pub experiments: Vec<ExperimentResults<P>>,
    counts: Counts,
}

impl<P: Paper> Results<P> {
    /// Reads the cells of the grid `paper.grid(profile, seeds)` from a folder.
    ///
    /// # Errors
    /// If a file is there but cannot be read; a cell that is not there is counted as missing.
    pub fn load(paper: &P, profile: Profile, seeds: Option<usize>, folder: &Folder) -> Result<Self, Error> {
        let mut known: BTreeMap<String, Outcome<P>> = BTreeMap::new();
        let mut counts = Counts::default();
        let mut experiments = vec![];
        for experiment in paper.grid(profile, seeds) {
            let (name, question) = (experiment.name, experiment.question);
            let mut group = ExperimentResults {
                name,
                question,
                finished: vec![],
                diverged: vec![],
                failed: vec![],
                missing: vec![],
            };
            let mut seen = HashSet::new();
            for id in experiment.cells.iter().map(|config| cell_id(paper, config)) {
                if !seen.insert(id.clone()) {
                    continue;
                }
                if !known.contains_key(&id) {
                    let outcome = read_cell(paper, &id, &folder.cell(&id))?;
                    match outcome {
                        Outcome::Finished(_) => counts.finished += 1,
                        Outcome::Diverged(_) => counts.diverged += 1,
                        Outcome::Failed => counts.failed += 1,
                        Outcome::Missing => counts.missing += 1,
                    }
                    known.insert(id.clone(), outcome);
                }
                match &known[&id] {
                    Outcome::Finished(cell) => group.finished.push(cell.clone()),
                    Outcome::Diverged(cell) => group.diverged.push(cell.clone()),
                    Outcome::Failed => group.failed.push(id),
                    Outcome::Missing => group.missing.push(id),
                }
            }
            experiments.push(group);
        }
        Ok(Self { profile, experiments, counts })
    }

    /// An experiment of this profile's grid.
    pub fn experiment(&self, name: &str) -> Option<&ExperimentResults<P>> {
        self.experiments.iter().find(|e| e.name == name)
    }

    /// The finished cells of an experiment; none if this profile does not have it.
    pub fn finished(&self, experiment: &str) -> &[Arc<Finished<P>>] {
        self.experiment(experiment).map_or(&[], |e| &e.finished)
    }

    /// How many distinct cells of the whole grid came to which end.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What training took: the table `time` with `experiment,cells,wall_seconds,cpu_seconds`, seconds summed over the
    /// cells that ended. A cell of two experiments counts in the first; the last row is the whole grid.
    ///
    /// # Errors
    /// As for [`Table::from_rows`].
    pub fn time_table(&self) -> Result<Table, Error> {
        #[derive(serde::Serialize)]
        struct Row {
            experiment: String,
            cells: usize,
            wall_seconds: f64,
            cpu_seconds: Option<f64>,
        }
        // The sum of nothing is -0.
        let round = |seconds: f64| (seconds * 10.).round() / 10. + 0.;
        let row = |experiment: &str, seconds: &[(f64, Option<f64>)]| Row {
            experiment: experiment.into(),
            cells: seconds.len(),
            wall_seconds: round(seconds.iter().map(|s| s.0).sum()),
            cpu_seconds: seconds.iter().map(|s| s.1).sum::<Option<f64>>().map(round),
        };
        let (mut seen, mut all, mut rows) = (HashSet::new(), vec![], vec![]);
        for experiment in &self.experiments {
            let finished = experiment.finished.iter().map(|c| (&c.id, (c.wall_seconds, c.cpu_seconds)));
            let diverged = experiment.diverged.iter().map(|c| (&c.id, (c.wall_seconds, c.cpu_seconds)));
            let own: Vec<_> = finished.chain(diverged).filter(|(id, _)| seen.insert(*id)).map(|(_, s)| s).collect();
            rows.push(row(&experiment.name, &own));
            all.extend(own);
        }
        rows.push(row("all", &all));
        Table::from_rows("time", &rows)
    }
}

fn read_cell<P: Paper>(paper: &P, id: &str, folder: &Path) -> Result<Outcome<P>, Error> {
    let path = folder.join("summary.json");
    let record = match read_record(paper, id, folder) {
        Err(source) => return Err(Error::Io { path, source }),
        Ok(Some(Err(message))) => return Err(Error::Summary { path, message }),
        Ok(None) => return Ok(Outcome::Missing),
        Ok(Some(Ok(record))) => record,
    };
    let (id, folder) = (id.to_string(), folder.to_path_buf());
    let (config, device) = (record.config, record.device);
    let (wall_seconds, cpu_seconds) = (record.wall_seconds, record.cpu_seconds);
    Ok(match (record.status, record.summary) {
        (Status::Done, Some(summary)) => {
            Outcome::Finished(Arc::new(Cell { id, config, summary, wall_seconds, cpu_seconds, device, folder }))
        }
        (Status::Diverged, _) => {
            let summary = Divergence { step: record.step.unwrap_or(0), what: record.reason.unwrap_or_default() };
            Outcome::Diverged(Arc::new(Cell { id, config, summary, wall_seconds, cpu_seconds, device, folder }))
        }
        (Status::Done | Status::Failed, _) => Outcome::Failed,
    })
}

/// The rows of a CSV file.
///
/// # Errors
/// With file, line and column, if a row is not an `R`.
pub fn read_csv<R: DeserializeOwned>(path: &Path) -> Result<Vec<R>, Error> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    parse_csv(path, file)
}

/// As [`read_csv`], from any reader; `path` is what errors call it.
pub(crate) fn parse_csv<R: DeserializeOwned>(path: &Path, source: impl io::Read) -> Result<Vec<R>, Error> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(source);
    let header = reader.headers().map_err(|e| csv_error(path, e, None))?.clone();
    reader.deserialize().map(|row| row.map_err(|e| csv_error(path, e, Some(&header)))).collect()
}

fn csv_error(path: &Path, error: csv::Error, header: Option<&csv::StringRecord>) -> Error {
    let path = path.to_path_buf();
    let line = error.position().map_or(1, |p| p.line());
    let message = match error.into_kind() {
        csv::ErrorKind::Io(source) => return Error::Io { path, source },
        csv::ErrorKind::Deserialize { err, .. } => {
            let column = err.field().and_then(|i| header?.get(i as usize)).map(|name| format!("column `{name}`: "));
            format!("{}{}", column.unwrap_or_default(), err.kind())
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} columns where the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".into(),
        other => format!("{other:?}"),
    };
    Error::Row { path, line, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Row {
        epoch: u64,
        loss: f64,
    }

    #[test]
    fn a_bad_row_is_told_with_line_and_column() {
        let read = |text: &str| parse_csv::<Row>(Path::new("epochs.csv"), text.as_bytes());
        let rows = read("epoch,loss\n0,0.5\n1,NaN\n").unwrap();
        assert_eq!((rows[0].epoch, rows[0].loss), (0, 0.5));
        assert!(rows[1].loss.is_nan());
        let message = |text| read(text).unwrap_err().to_string();
        assert_eq!(message("epoch,loss\n0,0.5\n1,x\n"), "epochs.csv, line 3: column `loss`: invalid float literal");
        assert_eq!(message("epoch,loss\n0\n"), "epochs.csv, line 2: 1 columns where the header has 2");
        assert_eq!(message("epoch\n0\n"), "epochs.csv, line 2: missing field `loss`");
    }
}
