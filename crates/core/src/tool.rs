//! What the papers' tools for the user's own numbers share: how a file is read and results are written, and how each thing
//! that can go wrong is said in one line.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Arg, value_parser};

use crate::chart;
use crate::experiment::replace_file;

/// Why a tool has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line cannot be used.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header being line 1.
        line: u64,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The lines together cannot be used.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A result cannot be written.
    #[error("{}: cannot be written: {source}; name another folder with --out", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The figure cannot be saved.
    #[error(transparent)]
    Chart(#[from] chart::Error),
}

/// The argument `file`: the user's own numbers.
pub fn file(name: &'static str, help: &'static str) -> Arg {
    Arg::new("file").value_name(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
}

/// The option `--out`: the folder for `what`, the current one if none is named.
pub fn out(what: &str) -> Arg {
    let folder = Arg::new("out").long("out").value_name("DIR").default_value(".");
    folder.value_parser(value_parser!(PathBuf)).help(format!("Folder for {what}"))
}

/// The text of the user's file.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })
}

/// Writes a result whole or not at all; its folder is made if need be.
///
/// # Errors
/// If folder or file cannot be written.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.into(), source })?;
    let path = folder.join(name);
    replace_file(&path, bytes).map_err(|source| Error::Write { path, source })
}

/// Prints the answer. A reader that has seen enough is no failure.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let absent = read(&folder.path().join("none.csv")).unwrap_err().to_string();
        assert!(absent.contains("none.csv: cannot be read"), "{absent}");
        let out = folder.path().join("a/b");
        write(&out, "x.csv", b"1\n").unwrap();
        assert_eq!(read(&out.join("x.csv")).unwrap(), "1\n");
        // A file where the folder should be.
        let error = write(&out.join("x.csv"), "y.csv", b"").unwrap_err().to_string();
        assert!(error.contains("x.csv: cannot be written") && error.ends_with("with --out"), "{error}");
    }
}
