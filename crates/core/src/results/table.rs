//! Tables of text, and counts of cells.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Error;
use crate::experiment::replace_file;

/// A table derived from finished cells, stored as `tables/<name>.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// File stem.
    pub name: String,
    /// Column names.
    pub header: Vec<String>,
    /// One text per column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of structs: the fields are the columns.
    ///
    /// # Errors
    /// If a row is no flat struct.
    pub fn from_rows<R: Serialize>(name: &str, rows: &[R]) -> Result<Self, Error> {
        let bytes = csv_bytes(rows).map_err(|e| Error::Other(format!("table {name}: {e}")))?;
        let mut lines = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]).into_records();
        let mut next = || {
            let record = lines.next()?.map_err(|e| Error::Other(format!("table {name}: {e}")));
            Some(record.map(|r| r.iter().map(str::to_string).collect()))
        };
        let header = next().transpose()?.unwrap_or_default();
        let rows = std::iter::from_fn(next).collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), header, rows })
    }

    /// The file's content.
    pub fn to_csv(&self) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(vec![]);
        for row in std::iter::once(&self.header).chain(&self.rows) {
            writer.write_record(row).expect("memory takes every record");
        }
        writer.into_inner().expect("memory takes every record")
    }

    /// Writes `<folder>/<name>.csv`, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, Error> {
        let path = folder.join(format!("{}.csv", self.name));
        std::fs::create_dir_all(folder)
            .and_then(|()| replace_file(&path, &self.to_csv()))
            .map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(path)
    }
}

/// Structs as CSV with a header.
pub(crate) fn csv_bytes<R: Serialize>(rows: &[R]) -> Result<Vec<u8>, String> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for row in rows {
        writer.serialize(row).map_err(|e| e.to_string())?;
    }
    writer.into_inner().map_err(|e| e.to_string())
}

/// How many cells came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Trained to their end.
    pub finished: usize,
    /// Left the finite numbers.
    pub diverged: usize,
    /// Ended with an error.
    pub failed: usize,
    /// Not trained, or not to an end.
    pub missing: usize,
}

impl Counts {
    /// Cells in all.
    pub fn total(&self) -> usize {
        self.finished + self.diverged + self.failed + self.missing
    }
}

/// `42 of 45 cells finished, 1 diverged, 2 missing`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {} cells finished", self.finished, self.total())?;
        for (count, what) in [(self.diverged, "diverged"), (self.failed, "failed"), (self.missing, "missing")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        value: Option<f64>,
    }

    #[test]
    fn structs_become_columns() {
        let rows = [Row { name: "a, b", value: Some(0.1) }, Row { name: "c", value: None }];
        let table = Table::from_rows("t", &rows).unwrap();
        assert_eq!(table.header, ["name", "value"]);
        assert_eq!(table.rows, [["a, b", "0.1"], ["c", ""]]);
        assert_eq!(table.to_csv(), b"name,value\n\"a, b\",0.1\nc,\n");
    }

    #[test]
    fn counts_name_only_what_there_is() {
        assert_eq!(Counts { finished: 3, ..Counts::default() }.to_string(), "3 of 3 cells finished");
        let some = Counts { finished: 42, diverged: 1, failed: 0, missing: 2 };
        assert_eq!(some.to_string(), "42 of 45 cells finished, 1 diverged, 2 missing");
    }
}
