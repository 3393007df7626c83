//! The file that a killed cell goes on from.
//!
//! One line of JSON (the header) and the paper's own bytes. The header knows how long each growing table was, and the
//! hash of everything, so that a checkpoint either takes the cell back to exactly that moment or is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::replace_file;
use super::provenance::hex;

const FORMAT: &str = "retrial checkpoint 1";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    pub cell: String,
    /// Growing tables at that moment, by name.
    pub tables: BTreeMap<String, Extent>,
    /// Rows of `epochs.csv` at that moment.
    pub epochs: u64,
    pub wall_seconds: f64,
    pub cpu_seconds: Option<f64>,
    /// The builds that trained the cell so far.
    pub code_versions: Vec<String>,
    payload: Extent,
}

/// A number of bytes, and their SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub bytes: u64,
    pub sha256: String,
}

impl Extent {
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
    }
}

impl Header {
    pub fn new(cell: &str) -> Self {
        Self {
            format: FORMAT.into(),
            cell: cell.into(),
            tables: BTreeMap::new(),
            epochs: 0,
            wall_seconds: 0.0,
            cpu_seconds: None,
            code_versions: vec![],
            payload: Extent::of(b""),
        }
    }

    pub fn write(mut self, path: &Path, payload: &[u8]) -> io::Result<()> {
        self.payload = Extent::of(payload);
        let mut bytes = serde_json::to_vec(&self).map_err(io::Error::other)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(payload);
        replace_file(path, &bytes)
    }
}

/// Header and payload, or why they cannot be trusted.
pub(super) type Checked = Result<(Header, Vec<u8>), String>;

/// The checkpoint of a cell; none if there is none.
///
/// # Errors
/// The disk's.
pub(super) fn read(path: &Path, cell: &str) -> io::Result<Option<Checked>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(parse(bytes, cell))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(mut bytes: Vec<u8>, cell: &str) -> Checked {
    let end = bytes.iter().position(|&b| b == b'\n').ok_or("its header is incomplete")?;
    let header: Header =
        serde_json::from_slice(&bytes[..end]).map_err(|e| format!("its header cannot be read ({e})"))?;
    if header.format != FORMAT {
        return Err(format!("its format is `{}`, not `{FORMAT}`", header.format));
    }
    if header.cell != cell {
        return Err(format!("it belongs to the cell {}", header.cell));
    }
    let payload = bytes.split_off(end + 1);
    if Extent::of(&payload) != header.payload {
        let (found, expected) = (payload.len(), header.payload.bytes);
        return Err(format!("its content has changed ({found} bytes, {expected} were written)"));
    }
    Ok((header, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        assert!(read(&path, "a").unwrap().is_none());
        Header::new("a").write(&path, b"weights\nand more").unwrap();
        let (_, payload) = read(&path, "a").unwrap().unwrap().unwrap();
        assert_eq!(payload, b"weights\nand more");
        assert!(read(&path, "b").unwrap().unwrap().unwrap_err().contains("belongs to the cell a"));

        let good = fs::read(&path).unwrap();
        let body = good.iter().position(|&b| b == b'\n').unwrap();
        for i in body..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            parse(bad, "a").unwrap_err();
            parse(good[..i].to_vec(), "a").unwrap_err();
        }
        parse(good, "a").unwrap();
    }
}
