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

/// The text of the user's file, with line ends of any system turned into `\n` and without a byte order mark.
///
/// # Errors
/// If it cannot be read, or is no UTF-8 text.
pub fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let text = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let lines = |end: u8| text.iter().filter(|&&byte| byte == end).count();
        let line = 1 + lines(b'\n').max(lines(b'\r')) as u64;
        Error::Line { path: path.into(), line, problem: "bytes that are no UTF-8 text; save the file as UTF-8".into() }
    })?;
    let text = text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text);
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

/// Line of a record or error of the `csv` crate in a text from [`read`], counted from 1. A record's position stands before
/// the blank lines that the reader skips ahead of it.
pub fn line(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 1 };
    let rest = text.as_bytes().get(position.byte() as usize..).unwrap_or_default();
    position.line() + rest.iter().take_while(|&&byte| byte == b'\n').count() as u64
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

    /// The bad record stands on line 5, whatever ends the lines.
    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let folder = tempfile::tempdir().unwrap();
        for end in ["\n", "\r\n", "\r"] {
            let file = ["\u{feff}a,b", "1,2", "", "", "3", ""].join(end);
            write(folder.path(), "x.csv", file.as_bytes()).unwrap();
            let text = read(&folder.path().join("x.csv")).unwrap();
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
            assert_eq!(reader.headers().unwrap(), &csv::StringRecord::from(vec!["a", "b"]));
            let lines: Vec<u64> = reader.records().map(|r| line(&text, r.unwrap().position())).collect();
            assert_eq!(lines, [2, 5], "{end:?}");
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let error = reader.records().find_map(Result::err).unwrap();
            assert_eq!(line(&text, error.position()), 5, "{end:?}");
        }
    }

    #[test]
    fn files_are_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for end in ["\n", "\r\n", "\r"] {
            let bytes = [format!("a{end}1{end}").as_bytes(), b"\xff2"].concat();
            write(folder.path(), "latin.csv", &bytes).unwrap();
            let broken = read(&folder.path().join("latin.csv")).unwrap_err().to_string();
            assert!(broken.contains("latin.csv, line 3: ") && broken.ends_with("save the file as UTF-8"), "{broken}");
        }
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
