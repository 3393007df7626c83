//! Where a paper's results lie, how files get there whole, and who may write them.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Profile, RunError};

/// The folder of one paper at one profile: `results/<profile>/<paper>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Nothing is created yet.
    pub fn new(results: &Path, profile: Profile, paper: &str) -> Self {
        Self { path: results.join(profile.name()).join(paper) }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a cell.
    pub fn cell(&self, id: &str) -> PathBuf {
        self.path.join("cells").join(id)
    }

    /// Tables derived from cells.
    pub fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    /// Figures drawn from cells.
    pub fn figures(&self) -> PathBuf {
        self.path.join("figures")
    }

    /// The verdicts.
    pub fn claims(&self) -> PathBuf {
        self.path.join("claims.csv")
    }

    /// Creates the folder and keeps every other process from training in it while the lock lives.
    pub(crate) fn lock_for_run(&self) -> Result<Lock, RunError> {
        create_folder(&self.path)?;
        Lock::take(&self.path, File::try_lock)?.ok_or_else(|| RunError::FolderInUse { folder: self.path.clone() })
    }

    /// Creates the folder of a cell; others may train other cells beside it, but not this one, and no `run` may start.
    pub(crate) fn lock_for_cell(&self, id: &str) -> Result<[Lock; 2], RunError> {
        create_folder(&self.path)?;
        let shared = Lock::take(&self.path, File::try_lock_shared)?
            .ok_or_else(|| RunError::FolderInUse { folder: self.path.clone() })?;
        let cell = self.cell(id);
        create_folder(&cell)?;
        let own = Lock::take(&cell, File::try_lock)?.ok_or_else(|| RunError::CellInUse { id: id.to_string() })?;
        Ok([shared, own])
    }
}

/// A locked `.lock` file. The system lets go of it when the process ends, however it ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// None if another process has it.
    fn take(folder: &Path, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<Option<Self>, RunError> {
        let path = folder.join(".lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        match lock(&file) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(RunError::Io { path, source }),
        }
    }
}

fn create_folder(path: &Path) -> Result<(), RunError> {
    fs::create_dir_all(path).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::Io { path: path.to_path_buf(), source }
}

/// Writes a file whole or not at all, also through a power cut: to a temporary name, to the disk, and renamed.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_folder(folder));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename is durable enough.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What happened to a file, and what to do about it, in one line.
pub(crate) fn io_error_text(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{path}: no space left on this disk; free some and run again (finished cells are kept)")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("{path}: {error}; change its permissions or name another folder with --results")
        }
        _ => format!("{path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        replace_file(&path, b"old").unwrap();
        replace_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A folder cannot be replaced by a file: the error is told and nothing stays behind.
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/inside"), b"").unwrap();
        replace_file(&folder.path().join("b"), b"new").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_run_excludes_everybody_and_cells_exclude_only_themselves() {
        let results = tempfile::tempdir().unwrap();
        let folder = Folder::new(results.path(), Profile::Smoke, "paper");
        let run = folder.lock_for_run().unwrap();
        assert!(matches!(folder.lock_for_run(), Err(RunError::FolderInUse { .. })));
        assert!(matches!(folder.lock_for_cell("a"), Err(RunError::FolderInUse { .. })));
        drop(run);
        let _a = folder.lock_for_cell("a").unwrap();
        let _b = folder.lock_for_cell("b").unwrap();
        assert!(matches!(folder.lock_for_cell("a"), Err(RunError::CellInUse { .. })));
        assert!(matches!(folder.lock_for_run(), Err(RunError::FolderInUse { .. })));
    }
}
