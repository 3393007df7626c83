//! What a paper sees while it trains a cell.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::Device;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::checkpoint::{self, Extent, Header};
use super::folder::{remove_if_there, replace_file};
use super::io_error_text;
use super::progress::CellProgress;
use super::provenance::{code_version, hex, pool_cpu_seconds};
use crate::data::{Dataset, DatasetId};

/// Why a cell has no result.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// Training left the finite numbers. This is a result: it is recorded, counted, and not tried again.
    #[error("diverged at step {step}: {what}")]
    Diverged {
        /// The step, counted from 0.
        step: u64,
        /// What became infinite or NaN, in words: `the loss is NaN`.
        what: String,
    },
    /// A file could not be read or written; it ends the whole run, since the next cell would meet the same disk.
    #[error("{}", io_error_text(path, source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A data set is missing or damaged.
    #[error(transparent)]
    Data(#[from] crate::data::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl CellError {
    /// Any other error, by its message.
    pub fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

/// What all cells of a process share.
pub(super) struct Shared {
    pub device: Device,
    pub data: Option<PathBuf>,
    pub checkpoint_every: Duration,
    datasets: Mutex<HashMap<DatasetId, Arc<Dataset>>>,
}

impl Shared {
    pub fn new(device: Device, data: Option<PathBuf>, checkpoint_every: Duration) -> Self {
        Self { device, data, checkpoint_every, datasets: Mutex::default() }
    }
}

/// Seconds spent on a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub wall: f64,
    pub cpu: Option<f64>,
}

/// A cell in training: what it is trained on, where its rows go, and how it survives being killed.
///
/// Its tables start empty, or where the checkpoint left them once [`Self::resume`] has been called.
pub struct CellRun {
    id: String,
    folder: PathBuf,
    shared: Arc<Shared>,
    progress: CellProgress,
    /// Whether the folder is in the state that training starts from.
    ready: bool,
    growing: BTreeMap<String, GrowingTable>,
    epochs: u64,
    /// Spent before the checkpoint that was resumed.
    before: Spent,
    started: Instant,
    cpu_at_start: Option<f64>,
    code_versions: Vec<String>,
    last_row: Instant,
    last_checkpoint: Instant,
}

#[derive(Serialize)]
struct TimingRow {
    row: u64,
    seconds: f64,
}

impl CellRun {
    /// To be called in the rayon pool that the cell is trained in.
    pub(super) fn new(id: &str, folder: &Path, shared: Arc<Shared>, progress: CellProgress) -> Self {
        let now = Instant::now();
        Self {
            id: id.into(),
            folder: folder.into(),
            shared,
            progress,
            ready: false,
            growing: BTreeMap::new(),
            epochs: 0,
            before: Spent { wall: 0.0, cpu: Some(0.0) },
            started: now,
            cpu_at_start: pool_cpu_seconds(),
            code_versions: vec![],
            last_row: now,
            last_checkpoint: now,
        }
    }

    /// Where tensors live.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// Processor seconds that this cell has taken so far, over all parts of an interrupted training; none where the system
    /// does not tell. For accounts of cost, never for what rows hold.
    pub fn cpu_seconds(&self) -> Option<f64> {
        self.spent().cpu
    }

    /// A data set; read once per process.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn dataset(&self, id: DatasetId) -> Result<Arc<Dataset>, CellError> {
        // A panic while another cell was reading left the map as it was.
        let mut datasets = self.shared.datasets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dataset) = datasets.get(&id) {
            return Ok(dataset.clone());
        }
        let dataset = Arc::new(Dataset::load(id, self.shared.data.as_deref())?);
        datasets.insert(id, dataset.clone());
        Ok(dataset)
    }

    /// The folder that the user named for data sets (`--data`): where those lie that are not ours to fetch.
    pub fn data_folder(&self) -> Option<&Path> {
        self.shared.data.as_deref()
    }

    /// How many rows [`Self::epoch`] will write in all, for the progress bar and the ETA.
    pub fn expect_epochs(&mut self, epochs: usize) {
        self.progress.expect(epochs as u64);
    }

    /// What the last [`Self::save_checkpoint`] of an interrupted training was given; the tables are cut back to that
    /// moment. None if the cell starts from its beginning, also where a damaged checkpoint had to be set aside.
    ///
    /// To be called before the first row is written.
    ///
    /// # Errors
    /// If a file cannot be read or changed.
    pub fn resume(&mut self) -> Result<Option<Vec<u8>>, CellError> {
        if self.ready {
            return Err(CellError::Other("resume() was called after the first row of the cell".into()));
        }
        let path = self.folder.join("checkpoint");
        let refused = match checkpoint::read(&path, &self.id).map_err(io_at(&path))? {
            None => return self.start().map(|()| None),
            Some(Ok((header, payload))) => match self.take_back(&header)? {
                Ok(()) => {
                    self.progress.line(&format!("{}: goes on after row {} of epochs.csv", self.id, self.epochs));
                    self.progress.resumed(self.epochs);
                    return Ok(Some(payload));
                }
                Err(message) => message,
            },
            Some(Err(message)) => message,
        };
        let aside = self.folder.join("checkpoint.corrupt");
        fs::rename(&path, &aside).map_err(io_at(&path))?;
        self.progress.line(&format!(
            "{}: {refused}; it was set aside as {} and the cell starts again",
            path.display(),
            aside.file_name().unwrap_or_default().to_string_lossy()
        ));
        self.start().map(|()| None)
    }

    /// Adds one row to `epochs.csv` and shows it: a bar per row, with the columns whose names end in `loss` and in
    /// `accuracy` (the first of each). A row holds no clock, so that the same cell gives the same bytes; the seconds
    /// since the last row go to `timing.csv`.
    ///
    /// # Errors
    /// If the row cannot be written, is no flat struct, or has other columns than the one before.
    pub fn epoch(&mut self, row: &impl Serialize) -> Result<(), CellError> {
        let [header, record] = self.grow("epochs", row)?;
        self.epochs += 1;
        let seconds = (self.last_row.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        self.last_row = Instant::now();
        self.grow("timing", &TimingRow { row: self.epochs - 1, seconds })?;
        self.progress.row(self.epochs, &shown_columns(&header, &record));
        Ok(())
    }

    /// Adds one row to `<name>.csv`, for rows that come more or less often than epochs.
    ///
    /// # Errors
    /// As for [`Self::epoch`].
    pub fn append(&mut self, name: &str, row: &impl Serialize) -> Result<(), CellError> {
        self.check_name(name)?;
        self.grow(name, row).map(|_| ())
    }

    /// Writes `<name>.csv` at once, for what is known only at the end (a confusion matrix).
    ///
    /// # Errors
    /// If it cannot be written, or a row is no flat struct.
    pub fn table<R: Serialize>(&mut self, name: &str, rows: &[R]) -> Result<(), CellError> {
        self.check_name(name)?;
        if self.growing.contains_key(name) {
            return Err(CellError::Other(format!("{name}.csv is written row by row in this cell")));
        }
        self.begin()?;
        let path = self.csv(name);
        let bytes = crate::results::csv_bytes(rows).map_err(|e| CellError::Other(format!("{name}.csv: {e}")))?;
        replace_file(&path, &bytes).map_err(io_at(&path))
    }

    /// Whether enough time has passed since the last checkpoint. Results must not depend on the answer.
    pub fn checkpoint_due(&self) -> bool {
        self.last_checkpoint.elapsed() >= self.shared.checkpoint_every
    }

    /// Remembers everything that training needs to go on from here: `payload`, and the tables as they are.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_checkpoint(&mut self, payload: &[u8]) -> Result<(), CellError> {
        self.begin()?;
        self.sync_tables()?;
        let spent = self.spent();
        let mut header = Header::new(&self.id);
        header.tables = self.growing.iter().map(|(name, table)| (name.clone(), table.extent())).collect();
        header.epochs = self.epochs;
        (header.wall_seconds, header.cpu_seconds) = (spent.wall, spent.cpu);
        header.code_versions = self.code_versions();
        let path = self.folder.join("checkpoint");
        header.write(&path, payload).map_err(io_at(&path))?;
        self.last_checkpoint = Instant::now();
        Ok(())
    }

    /// Everything is on the disk when this returns.
    pub(super) fn finish(&mut self) -> Result<(), CellError> {
        self.begin()?;
        self.sync_tables()
    }

    pub(super) fn spent(&self) -> Spent {
        let cpu = match (self.before.cpu, pool_cpu_seconds(), self.cpu_at_start) {
            (Some(before), Some(now), Some(start)) => Some(before + now - start),
            _ => None,
        };
        Spent { wall: self.before.wall + self.started.elapsed().as_secs_f64(), cpu }
    }

    /// The builds that trained this cell.
    pub(super) fn code_versions(&self) -> Vec<String> {
        let mut versions = self.code_versions.clone();
        if versions.last().map(String::as_str) != Some(code_version()) {
            versions.push(code_version().into());
        }
        versions
    }

    pub(super) fn into_progress(self) -> CellProgress {
        self.progress
    }

    /// Starts from the beginning unless [`Self::resume`] has already decided.
    fn begin(&mut self) -> Result<(), CellError> {
        if self.ready { Ok(()) } else { self.start() }
    }

    /// Removes what an earlier training left.
    fn start(&mut self) -> Result<(), CellError> {
        for entry in fs::read_dir(&self.folder).map_err(io_at(&self.folder))? {
            let path = entry.map_err(io_at(&self.folder))?.path();
            let extension = path.extension().and_then(|e| e.to_str());
            if path.ends_with("checkpoint") || matches!(extension, Some("csv" | "tmp")) {
                remove_if_there(&path).map_err(io_at(&path))?;
            }
        }
        self.growing.clear();
        self.ready = true;
        Ok(())
    }

    /// Cuts the tables back to a checkpoint; the inner error says why they do not fit it.
    fn take_back(&mut self, header: &Header) -> Result<Result<(), String>, CellError> {
        let mut tables = BTreeMap::new();
        for (name, extent) in &header.tables {
            let path = self.csv(name);
            match GrowingTable::reopen(&path, extent).map_err(io_at(&path))? {
                Ok(table) => tables.insert(name.clone(), table),
                Err(message) => return Ok(Err(format!("it does not fit {name}.csv, which {message}"))),
            };
        }
        self.growing = tables;
        self.epochs = header.epochs;
        self.before = Spent { wall: header.wall_seconds, cpu: header.cpu_seconds };
        self.code_versions = header.code_versions.clone();
        self.ready = true;
        Ok(Ok(()))
    }

    /// Adds a row to a growing table; returns its header and record as CSV text.
    fn grow(&mut self, name: &str, row: &impl Serialize) -> Result<[Vec<u8>; 2], CellError> {
        self.begin()?;
        let path = self.csv(name);
        let bytes = crate::results::csv_bytes(&[row]).map_err(|e| CellError::Other(format!("{name}.csv: {e}")))?;
        let lines = bytes.iter().position(|&b| b == b'\n').map(|i| bytes.split_at(i + 1));
        let Some((header, record)) = lines.filter(|(_, record)| !record.is_empty()) else {
            return Err(CellError::Other(format!("{name}.csv: a row must be a struct with named fields")));
        };
        let table = match self.growing.get_mut(name) {
            Some(table) if table.header == header => table,
            Some(_) => return Err(CellError::Other(format!("{name}.csv: this row has other columns than the first"))),
            None => {
                let table = GrowingTable::create(&path, header).map_err(io_at(&path))?;
                self.growing.entry(name.into()).or_insert(table)
            }
        };
        table.write(record).map_err(io_at(&path))?;
        Ok([header.to_vec(), record.to_vec()])
    }

    fn sync_tables(&self) -> Result<(), CellError> {
        for (name, table) in &self.growing {
            table.file.sync_all().map_err(io_at(&self.csv(name)))?;
        }
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), CellError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) || name == "epochs" || name == "timing" {
            return Err(CellError::Other(format!("`{name}` cannot be the name of a cell's table")));
        }
        Ok(())
    }

    fn csv(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.csv"))
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> CellError {
    move |source| CellError::Io { path: path.to_path_buf(), source }
}

/// `loss 0.123, accuracy 0.980`: the first column of each name.
fn shown_columns(header: &[u8], record: &[u8]) -> String {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(header.chain(record));
    let lines: Vec<csv::StringRecord> = reader.records().filter_map(Result::ok).collect();
    let [names, values] = &lines[..] else { return String::new() };
    let shown = ["loss", "accuracy"].iter().filter_map(|wanted| {
        let column = names.iter().position(|n| n.ends_with(wanted))?;
        let value: f64 = values.get(column)?.parse().ok()?;
        Some(format!("{wanted} {}", crate::results::short(value)))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// A CSV file that grows by whole rows, and what has been written to it so far.
struct GrowingTable {
    file: File,
    header: Vec<u8>,
    bytes: u64,
    hash: Sha256,
}

impl GrowingTable {
    fn create(path: &Path, header: &[u8]) -> io::Result<Self> {
        let mut table = Self { file: File::create(path)?, header: header.to_vec(), bytes: 0, hash: Sha256::new() };
        table.write(header)?;
        Ok(table)
    }

    /// Opens the file, checks that it begins with what a checkpoint knows of, and cuts off the rest.
    fn reopen(path: &Path, extent: &Extent) -> io::Result<Result<Self, String>> {
        let mut file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("is missing".into())),
            Err(error) => return Err(error),
        };
        let mut known = vec![];
        (&mut file).take(extent.bytes).read_to_end(&mut known)?;
        if (known.len() as u64) < extent.bytes {
            return Ok(Err(format!("has {} bytes of {}", known.len(), extent.bytes)));
        }
        let hash = Sha256::new_with_prefix(&known);
        if hex(&hash.clone().finalize()) != extent.sha256 {
            return Ok(Err("has changed".into()));
        }
        file.set_len(extent.bytes)?;
        file.seek(SeekFrom::End(0))?;
        let header = known.iter().position(|&b| b == b'\n').map_or(vec![], |i| known[..=i].to_vec());
        Ok(Ok(Self { file, header, bytes: extent.bytes, hash }))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(())
    }

    fn extent(&self) -> Extent {
        Extent { bytes: self.bytes, sha256: hex(&self.hash.clone().finalize()) }
    }
}
