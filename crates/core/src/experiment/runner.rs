//! Trains the cells of a grid.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use candle_core::Device;

use super::cell::{CellError, CellRun, Shared, Spent};
use super::folder::{Folder, remove_if_there, replace_file};
use super::progress::{CellProgress, Progress};
use super::record::{ConfigFile, Record, RecordOf, Status, cell_id, parse_record, read_record, seed_of};
use super::{Experiment, Paper, device_name, io_error_text};

/// With what cells are trained. None of it may change a result.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cells at a time.
    pub workers: NonZeroUsize,
    /// Threads of each cell.
    pub threads: NonZeroUsize,
    /// Where tensors live.
    pub device: Device,
    /// A folder with the full data sets.
    pub data: Option<PathBuf>,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
}

impl Options {
    /// Checkpoints every 20 s lose little and cost nothing.
    pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(20);
}

/// One cell at a time on one thread of the CPU, with the embedded data.
impl Default for Options {
    fn default() -> Self {
        Self {
            workers: NonZeroUsize::MIN,
            threads: NonZeroUsize::MIN,
            device: Device::Cpu,
            data: None,
            checkpoint_every: Self::CHECKPOINT_EVERY,
        }
    }
}

/// Why no (further) cell could be trained.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process trains in the same folder.
    #[error("{}: another process is training there; wait until it ends, or name another folder with --results", folder.display())]
    FolderInUse {
        /// The paper's folder.
        folder: PathBuf,
    },
    /// Another process trains the same cell.
    #[error("{id}: another process is training this cell; wait until it ends")]
    CellInUse {
        /// The cell.
        id: String,
    },
    /// The disk refused.
    #[error("{}", io_error_text(path, source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no threads.
    #[error("no thread could be started for the cell {id}: {reason}")]
    Threads {
        /// The cell.
        id: String,
        /// What the system said.
        reason: String,
    },
}

/// What came out of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Cells trained now to their end.
    pub trained: usize,
    /// Cells that were done before.
    pub kept: usize,
    /// Cells that diverged, now or before: their ids, and at which step what became infinite or NaN.
    pub diverged: Vec<(String, String)>,
    /// Cells that failed: their ids, and why. The next run tries them again.
    pub failed: Vec<(String, String)>,
}

impl Report {
    /// Whether every cell has a result.
    pub fn is_complete(&self) -> bool {
        self.diverged.is_empty() && self.failed.is_empty()
    }
}

/// How [`train_cell`] found or left its cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainedCell {
    /// The cell's id.
    pub id: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The report of a run of this one cell.
    pub report: Report,
}

/// The distinct cells of some experiments, in their order, by id.
pub fn distinct_cells<P: Paper>(paper: &P, experiments: &[Experiment<P::Config>]) -> Vec<(String, P::Config)> {
    let mut seen = HashSet::new();
    let all = experiments.iter().flat_map(|e| &e.cells).map(|c| (cell_id(paper, c), c.clone()));
    all.filter(|(id, _)| seen.insert(id.clone())).collect()
}

/// Trains every cell of some experiments that is not finished yet: the longest first, several at a time.
///
/// # Errors
/// If another process trains in this folder, or the disk refuses to take results. A cell that diverges or fails is no
/// error: the others go on, and the report tells.
pub fn run<P: Paper>(
    paper: &P,
    experiments: &[Experiment<P::Config>],
    folder: &Folder,
    options: &Options,
) -> Result<Report, RunError> {
    let _lock = folder.lock_for_run()?;
    train_all(paper, distinct_cells(paper, experiments), folder, options)
}

/// Trains one cell, unless it is finished. Other processes may train other cells of the same folder meanwhile.
///
/// # Errors
/// As for [`run`], and if another process trains this cell.
pub fn train_cell<P: Paper>(
    paper: &P,
    config: &P::Config,
    folder: &Folder,
    options: &Options,
) -> Result<TrainedCell, RunError> {
    let id = cell_id(paper, config);
    let _locks = folder.lock_for_cell(&id)?;
    let report = train_all(paper, vec![(id.clone(), config.clone())], folder, options)?;
    Ok(TrainedCell { folder: folder.cell(&id), id, report })
}

fn train_all<P: Paper>(
    paper: &P,
    cells: Vec<(String, P::Config)>,
    folder: &Folder,
    options: &Options,
) -> Result<Report, RunError> {
    let total = cells.len();
    let mut report = Report::default();
    let mut warnings = vec![];
    let mut pending = vec![];
    for (id, config) in cells {
        match finished(paper, &id, &folder.cell(&id), &mut warnings)? {
            Some(record) if record.status == Status::Diverged => report.diverged.push((id, divergence(&record))),
            Some(_) => report.kept += 1,
            None => pending.push((paper.expected_seconds(&config), id, config)),
        }
    }
    pending.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let seconds = pending.iter().map(|(seconds, ..)| seconds).sum();
    let progress = Progress::new(total - pending.len(), total, seconds, options.workers.get());
    warnings.iter().for_each(|line| progress.line(line));

    let shared = Arc::new(Shared::new(options.device.clone(), options.data.clone(), options.checkpoint_every));
    let worker = Worker { paper, folder, options, shared };
    let next = AtomicUsize::new(0);
    // What all workers add to: the report, and the error that ends the run.
    let outcome = Mutex::new((report, None));
    let stopped = |error| {
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.1.get_or_insert(error);
        next.store(pending.len(), Ordering::Relaxed);
    };
    silence_panics_of_cells();
    std::thread::scope(|scope| {
        for _ in 0..options.workers.get().min(pending.len()) {
            scope.spawn(|| {
                while let Some((seconds, id, config)) = pending.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended = match worker.train(id, config, progress.begin(id, *seconds)) {
                        Ok(ended) => ended,
                        Err(error) => return stopped(error),
                    };
                    let (report, _) = &mut *outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    match ended {
                        Ended::Done => report.trained += 1,
                        Ended::Diverged(text) => report.diverged.push((id.clone(), text)),
                        Ended::Failed(text) => report.failed.push((id.clone(), text)),
                    }
                }
            });
        }
    });
    progress.finish();
    let (mut report, error) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.diverged.sort();
    report.failed.sort();
    error.map_or(Ok(report), Err)
}

/// The record of a cell that need not be trained. One that cannot be read is set aside, with a line that says so.
fn finished<P: Paper>(
    paper: &P,
    id: &str,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> Result<Option<RecordOf<P>>, RunError> {
    let path = folder.join("summary.json");
    match read_record(paper, id, folder).map_err(io_at(&path))? {
        Some(Ok(record)) if record.status != Status::Failed => {
            // A process killed right after the summary leaves it behind.
            let checkpoint = folder.join("checkpoint");
            remove_if_there(&checkpoint).map_err(io_at(&checkpoint))?;
            Ok(Some(record))
        }
        Some(Ok(_)) | None => Ok(None),
        Some(Err(message)) => {
            let aside = folder.join("summary.json.corrupt");
            fs::rename(&path, &aside).map_err(io_at(&path))?;
            warnings.push(format!(
                "{}: {message}; it was set aside as summary.json.corrupt and the cell is trained again",
                path.display()
            ));
            Ok(None)
        }
    }
}

fn divergence<C, S>(record: &Record<C, S>) -> String {
    let what = record.reason.as_deref().unwrap_or("the loss is infinite or NaN");
    format!("at step {}: {what}", record.step.unwrap_or(0))
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::Io { path: path.to_path_buf(), source }
}

enum Ended {
    Done,
    Diverged(String),
    Failed(String),
}

struct Worker<'a, P> {
    paper: &'a P,
    folder: &'a Folder,
    options: &'a Options,
    shared: Arc<Shared>,
}

impl<P: Paper> Worker<'_, P> {
    fn train(&self, id: &str, config: &P::Config, progress: CellProgress) -> Result<Ended, RunError> {
        let folder = self.folder.cell(id);
        fs::create_dir_all(&folder).map_err(io_at(&folder))?;
        let summary_path = folder.join("summary.json");
        remove_if_there(&summary_path).map_err(io_at(&summary_path))?;
        self.write_config(config, &folder.join("config.json"))?;

        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.options.threads.get())
            .thread_name(|_| CELL_THREAD.into())
            .stack_size(8 << 20)
            .build()
            .map_err(|e| RunError::Threads { id: id.into(), reason: e.to_string() })?;
        let (result, mut run, spent) = pool.install(|| {
            let mut run = CellRun::new(id, &folder, self.shared.clone(), progress);
            let result = catch_unwind(AssertUnwindSafe(|| self.paper.train(config, &mut run)));
            let result = result.unwrap_or_else(|panic| Err(CellError::Other(panic_text(&*panic))));
            let spent = run.spent();
            (result, run, spent)
        });

        let (status, step, reason, summary) = match result.and_then(|summary| run.finish().map(|()| summary)) {
            Ok(summary) => (Status::Done, None, None, Some(summary)),
            Err(CellError::Diverged { step, what }) => {
                run.finish().map_err(cell_io)?;
                (Status::Diverged, Some(step), Some(one_line(&what)), None)
            }
            Err(error @ CellError::Io { .. }) => return Err(cell_io(error)),
            Err(error) => (Status::Failed, None, Some(one_line(&error.to_string())), None),
        };
        let mut record = self.record(id, config, &run, spent);
        (record.status, record.step, record.reason, record.summary) = (status, step, reason, summary);
        if let Err(message) = self.write_record(&record, &folder)? {
            record.summary = None;
            (record.status, record.reason) = (Status::Failed, Some(message));
            self.write_record(&record, &folder)?
                .map_err(|message| RunError::Io { path: summary_path.clone(), source: io::Error::other(message) })?;
        }
        let ended = match record.status {
            Status::Done => Ended::Done,
            Status::Diverged => Ended::Diverged(divergence(&record)),
            Status::Failed => Ended::Failed(record.reason.unwrap_or_default()),
        };
        if !matches!(ended, Ended::Failed(_)) {
            let checkpoint = folder.join("checkpoint");
            remove_if_there(&checkpoint).map_err(io_at(&checkpoint))?;
        }
        run.into_progress().end(&match &ended {
            Ended::Done => "done".to_string(),
            Ended::Diverged(text) => format!("diverged {text}"),
            Ended::Failed(text) => format!("failed: {text}"),
        });
        Ok(ended)
    }

    fn write_config(&self, config: &P::Config, path: &Path) -> Result<(), RunError> {
        let (paper, protocol) = (self.paper.id().to_string(), self.paper.protocol());
        let mut bytes = serde_json::to_vec_pretty(&ConfigFile { paper, protocol, config })
            .map_err(|e| RunError::Io { path: path.into(), source: io::Error::other(e) })?;
        bytes.push(b'\n');
        if fs::read(path).is_ok_and(|present| present == bytes) {
            return Ok(());
        }
        replace_file(path, &bytes).map_err(io_at(path))
    }

    fn record(&self, id: &str, config: &P::Config, run: &CellRun, spent: Spent) -> RecordOf<P> {
        let milliseconds = |seconds: f64| (seconds * 1e3).round() / 1e3;
        Record {
            paper: self.paper.id().into(),
            protocol: self.paper.protocol(),
            cell: id.into(),
            status: Status::Failed,
            step: None,
            reason: None,
            config: config.clone(),
            seed: seed_of(config),
            code_version: run.code_versions().join(", then "),
            device: device_name(&self.options.device),
            threads: self.options.threads.get(),
            wall_seconds: milliseconds(spent.wall),
            cpu_seconds: spent.cpu.map(milliseconds),
            summary: None,
        }
    }

    /// Writes `summary.json`; the inner error says why it could not be read back.
    fn write_record(&self, record: &RecordOf<P>, folder: &Path) -> Result<Result<(), String>, RunError> {
        let path = folder.join("summary.json");
        let bytes = serde_json::to_vec_pretty(record).map_err(|e| e.to_string()).and_then(|mut bytes| {
            // JSON has no NaN: better noticed now than when the figures are drawn.
            parse_record(self.paper, &record.cell, &bytes).map_err(|e| format!("{e} (a NaN, which JSON has not?)"))?;
            bytes.push(b'\n');
            Ok(bytes)
        });
        match bytes {
            Ok(bytes) => replace_file(&path, &bytes).map_err(io_at(&path)).map(Ok),
            Err(message) => Ok(Err(format!("its summary cannot be stored: {message}"))),
        }
    }
}

/// The error that ends a run, from a cell's.
fn cell_io(error: CellError) -> RunError {
    match error {
        CellError::Io { path, source } => RunError::Io { path, source },
        other => RunError::Io { path: PathBuf::new(), source: io::Error::other(other.to_string()) },
    }
}

/// The first line: a message of candle's may go on with a backtrace.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given").to_string()
}

/// Name of the threads that train cells.
const CELL_THREAD: &str = "cell";

thread_local! {
    static PANIC_PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic in a cell is told in the run's own words, once, where bars do not overwrite it. With `RUST_BACKTRACE` set,
/// the usual report is printed too.
fn silence_panics_of_cells() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some(CELL_THREAD) {
                let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
                PANIC_PLACE.set(place);
                if std::env::var("RUST_BACKTRACE").map_or(true, |value| value == "0") {
                    return;
                }
            }
            usual(info);
        }));
    });
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().map(|s| s.to_string());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into());
    format!("panicked{}: {}", PANIC_PLACE.take(), one_line(&message))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::chart::Figure;
    use crate::experiment::Profile;
    use crate::results::{self, Claim, Results, Table};

    /// A paper that does what its config says, for what a healthy one does not show.
    struct Odd;

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    enum Oddity {
        NanInSummary,
        OtherColumns,
        ReservedName,
        ResumesLate,
        TwoKindsOfTable,
        NoStruct,
        /// Two tables, a checkpoint after three rows, and an end after five the first time.
        Steps,
    }

    #[derive(Serialize)]
    struct Row {
        step: u32,
    }

    #[derive(Serialize)]
    struct Other {
        loss: f64,
    }

    impl Paper for Odd {
        type Config = Oddity;
        type Summary = f64;

        fn id(&self) -> &'static str {
            "odd"
        }
        fn title(&self) -> &'static str {
            "Odd"
        }
        fn protocol(&self) -> u32 {
            1
        }
        fn grid(&self, _: Profile, _: Option<usize>) -> Vec<Experiment<Oddity>> {
            vec![]
        }
        fn cell_name(&self, config: &Oddity) -> String {
            format!("{config:?}/é")
        }
        fn expected_seconds(&self, _: &Oddity) -> f64 {
            1.0
        }
        fn train(&self, config: &Oddity, run: &mut CellRun) -> Result<f64, CellError> {
            match config {
                Oddity::NanInSummary => return Ok(f64::NAN),
                Oddity::OtherColumns => {
                    run.append("steps", &Row { step: 0 })?;
                    run.append("steps", &Other { loss: 0.5 })?;
                }
                Oddity::ReservedName => run.append("timing", &Row { step: 0 })?,
                Oddity::ResumesLate => {
                    run.epoch(&Row { step: 0 })?;
                    run.resume()?;
                }
                Oddity::TwoKindsOfTable => {
                    run.append("steps", &Row { step: 0 })?;
                    run.table("steps", &[Row { step: 0 }])?;
                }
                Oddity::NoStruct => run.epoch(&(1, 2))?,
                Oddity::Steps => {
                    let saved = run.resume()?;
                    let first = saved.as_ref().map_or(0, |bytes| u32::from(bytes[0]));
                    for step in first..6 {
                        run.append("steps", &Row { step })?;
                        run.epoch(&Row { step })?;
                        if step == 2 {
                            run.save_checkpoint(&[3])?;
                        }
                        if step == 4 && saved.is_none() {
                            return Err(CellError::other("stopped"));
                        }
                    }
                }
            }
            Ok(1.0)
        }
        fn tables(&self, _: &Results<Self>) -> Result<Vec<Table>, results::Error> {
            Ok(vec![])
        }
        fn figures(&self, _: &Results<Self>) -> Result<Vec<(String, Figure)>, results::Error> {
            Ok(vec![])
        }
        fn claims(&self, _: &Results<Self>) -> Result<Vec<Claim>, results::Error> {
            Ok(vec![])
        }
    }

    fn options() -> Options {
        let one = NonZeroUsize::MIN;
        Options { workers: one, threads: one, device: Device::Cpu, data: None, checkpoint_every: Duration::MAX }
    }

    #[test]
    fn misuse_fails_the_cell_and_says_how() {
        let results = tempfile::tempdir().unwrap();
        let folder = Folder::new(results.path(), Profile::Smoke, "odd");
        let cases = [
            (Oddity::NanInSummary, "its summary cannot be stored"),
            (Oddity::OtherColumns, "steps.csv: this row has other columns than the first"),
            (Oddity::ReservedName, "`timing` cannot be the name of a cell's table"),
            (Oddity::ResumesLate, "resume() was called after the first row"),
            (Oddity::TwoKindsOfTable, "steps.csv is written row by row"),
            (Oddity::NoStruct, "epochs.csv: a row must be a struct with named fields"),
        ];
        for (config, reason) in cases {
            let cell = train_cell(&Odd, &config, &folder, &options()).unwrap();
            assert!(cell.id.starts_with(&format!("{config:?}---")), "{}", cell.id);
            let [(_, found)] = &cell.report.failed[..] else { panic!("{:?}", cell.report) };
            assert!(found.contains(reason), "{found}");
            // It is recorded as failed, so that readers count it.
            let record = read_record(&Odd, &cell.id, &cell.folder).unwrap().unwrap().unwrap();
            assert_eq!((record.status, record.reason.as_ref()), (Status::Failed, Some(found)));
        }
    }

    #[test]
    fn every_growing_table_is_cut_back_and_every_build_is_named() {
        let results = tempfile::tempdir().unwrap();
        let folder = Folder::new(results.path(), Profile::Smoke, "odd");
        let cell = train_cell(&Odd, &Oddity::Steps, &folder, &options()).unwrap();
        assert_eq!(cell.report.failed[0].1, "stopped");
        let read = |name: &str| fs::read_to_string(cell.folder.join(name)).unwrap();
        assert_eq!(read("steps.csv"), "step\n0\n1\n2\n3\n4\n");

        // The checkpoint was another build's.
        let path = cell.folder.join("checkpoint");
        let this = crate::experiment::provenance::code_version();
        let other = read("checkpoint").replace(&format!("[\"{this}\"]"), "[\"earlier\"]");
        fs::write(&path, other).unwrap();
        let again = train_cell(&Odd, &Oddity::Steps, &folder, &options()).unwrap();
        assert_eq!(again.report, Report { trained: 1, ..Report::default() });
        for name in ["steps.csv", "epochs.csv"] {
            assert_eq!(read(name), "step\n0\n1\n2\n3\n4\n5\n");
        }
        assert_eq!(read("timing.csv").lines().count(), 7);
        assert!(!path.exists());
        let record = read_record(&Odd, &cell.id, &cell.folder).unwrap().unwrap().unwrap();
        assert_eq!(record.code_version, format!("earlier, then {this}"));
    }
}
