//! Whether another run came out the same.

use std::path::{Path, PathBuf};

use retrial_core::experiment::Profile;

use crate::{Error, PAPERS};

/// One paper and profile that two results folders hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// `quick/selfie`.
    pub name: String,
    /// Cells that are in both folders.
    pub cells: usize,
    /// Rows of the second folder that are not the first's, byte for byte.
    pub different: Vec<PathBuf>,
}

/// Compares the rows (`epochs.csv`) of all finished cells that two results folders share: one seed, the same bytes.
///
/// # Errors
/// If they share none, or if a file cannot be read.
pub fn compare(results: &Path, other: &Path) -> Result<Vec<Comparison>, Error> {
    let mut found = vec![];
    for profile in [Profile::Smoke, Profile::Quick, Profile::Standard, Profile::Paper] {
        for paper in PAPERS {
            let name = format!("{}/{}", profile.name(), paper.id);
            let [ours, theirs] = [results, other].map(|folder| folder.join(&name).join("cells"));
            if !ours.exists() || !theirs.exists() {
                continue;
            }
            let mut comparison = Comparison { name, cells: 0, different: vec![] };
            let io = |source| Error::Io { path: theirs.clone(), source };
            for entry in std::fs::read_dir(&theirs).map_err(io)? {
                let cell = entry.map_err(io)?.file_name();
                let [ours, theirs] = [&ours, &theirs].map(|folder| folder.join(&cell));
                // A summary is written last, so that a cell without one is not finished.
                if [&ours, &theirs].iter().any(|cell| !cell.join("summary.json").exists()) {
                    continue;
                }
                let read = |cell: &Path| {
                    let path = cell.join("epochs.csv");
                    std::fs::read(&path).map_err(|source| Error::Io { path, source })
                };
                comparison.cells += 1;
                if read(&ours)? != read(&theirs)? {
                    comparison.different.push(theirs.join("epochs.csv"));
                }
            }
            comparison.different.sort();
            found.push(comparison);
        }
    }
    if found.iter().all(|comparison| comparison.cells == 0) {
        return Err(Error::NothingShared(results.into(), other.into()));
    }
    Ok(found)
}
