//! What a cell is, and what remains of it: its id, `config.json` and `summary.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::provenance::hex;
use super::{Paper, io_error_text};

/// A cell's config file: JSON, or TOML when written by hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile<C> {
    /// [`Paper::id`].
    pub paper: String,
    /// [`Paper::protocol`].
    pub protocol: u32,
    /// The paper's own config.
    pub config: C,
}

/// Why a config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}", io_error_text(path, source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a config of this paper.
    #[error("{}: {message}; compare it with the config.json of a finished cell", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and, where known, in which line.
        message: String,
    },
    /// It belongs to another paper.
    #[error("{}: a config of the paper `{found}`, but this is `{expected}`", path.display())]
    OtherPaper {
        /// The file.
        path: PathBuf,
        /// The paper named there.
        found: String,
        /// This paper.
        expected: String,
    },
    /// It belongs to another version of the paper's method.
    #[error("{}: written for protocol {found} of this paper, which is now at {expected}; if the settings still mean the same, change `protocol` there", path.display())]
    OtherProtocol {
        /// The file.
        path: PathBuf,
        /// The protocol named there.
        found: u32,
        /// The present protocol.
        expected: u32,
    },
}

impl<C: DeserializeOwned> ConfigFile<C> {
    /// Reads a config file for a paper: TOML if its name ends so, otherwise JSON.
    ///
    /// # Errors
    /// With the file and, where a value is wrong, its line.
    pub fn read<P: Paper<Config = C>>(paper: &P, path: &Path) -> Result<C, ConfigError> {
        let path = path.to_path_buf();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ConfigError::Io { path, source }),
        };
        let parsed = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) {
            toml::from_str(&text).map_err(|e: toml::de::Error| {
                let line = e.span().map(|s| text[..s.start].matches('\n').count() + 1);
                format!("{}{}", line.map_or(String::new(), |l| format!("line {l}: ")), e.message().replace('\n', " "))
            })
        } else {
            serde_json::from_str(&text).map_err(|e| e.to_string())
        };
        let file: Self = match parsed {
            Ok(file) => file,
            Err(message) => return Err(ConfigError::Malformed { path, message }),
        };
        if file.paper != paper.id() {
            return Err(ConfigError::OtherPaper { path, found: file.paper, expected: paper.id().into() });
        }
        if file.protocol != paper.protocol() {
            return Err(ConfigError::OtherProtocol { path, found: file.protocol, expected: paper.protocol() });
        }
        Ok(file.config)
    }
}

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Trained to its end.
    Done,
    /// The loss became infinite or NaN: a result, which training again would only repeat.
    Diverged,
    /// An error or a panic: the next run tries again.
    Failed,
}

/// A cell's `summary.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record<C, S> {
    /// [`Paper::id`].
    pub paper: String,
    /// [`Paper::protocol`].
    pub protocol: u32,
    /// The cell's id.
    pub cell: String,
    /// How it ended.
    pub status: Status,
    /// The step at which it diverged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// What became infinite or NaN, or why the cell failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it was trained with.
    pub config: C,
    /// The seed in the config, if there is one of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Commit and build; several, if a checkpoint of one build was resumed by another.
    pub code_version: String,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Threads that the cell had.
    pub threads: usize,
    /// Wall time in seconds, over all parts of an interrupted training.
    pub wall_seconds: f64,
    /// Processor time in seconds; none where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// The paper's own summary of a cell that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<S>,
}

/// A [`Record`] as a paper's cells have it.
pub(crate) type RecordOf<P> = Record<<P as Paper>::Config, <P as Paper>::Summary>;

/// The record in a cell's folder; none if there is no `summary.json`.
///
/// # Errors
/// The outer one is the disk's, the inner one says why the file cannot be this cell's record.
pub(crate) fn read_record<P: Paper>(
    paper: &P,
    id: &str,
    folder: &Path,
) -> io::Result<Option<Result<RecordOf<P>, String>>> {
    match fs::read(folder.join("summary.json")) {
        Ok(bytes) => Ok(Some(parse_record(paper, id, &bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn parse_record<P: Paper>(paper: &P, id: &str, bytes: &[u8]) -> Result<RecordOf<P>, String> {
    let record: RecordOf<P> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if record.cell != id || cell_id(paper, &record.config) != id {
        return Err(format!("it belongs to another cell, {}", record.cell));
    }
    if record.status == Status::Done && record.summary.is_none() {
        return Err("it has no field `summary`".into());
    }
    Ok(record)
}

/// The id of a cell: its readable name, and the first eight hexadecimal digits of the SHA-256 of paper, protocol and
/// config as JSON with sorted keys.
pub fn cell_id<P: Paper>(paper: &P, config: &P::Config) -> String {
    let identity = serde_json::json!({ "paper": paper.id(), "protocol": paper.protocol(), "config": json(config) });
    let mut canonical = String::new();
    write_canonical(&identity, &mut canonical);
    let name: String = paper
        .cell_name(config)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    format!("{name}-{}", &hex(&Sha256::digest(canonical))[..8])
}

/// The config's field `seed`, if it has one.
pub(crate) fn seed_of(config: &impl Serialize) -> Option<u64> {
    json(config).get("seed").and_then(Value::as_u64)
}

fn json(config: &impl Serialize) -> Value {
    serde_json::to_value(config).expect("a config is plain data: numbers, text, lists, maps with text keys")
}

/// JSON without spaces, keys sorted: the same text whatever order a struct or map has them in.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        leaf => out.push_str(&leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let mut text = String::new();
        let value: Value = serde_json::from_str(r#"{"b": [1, {"d": null, "c": 0.1}], "a": "x\"y"}"#).unwrap();
        write_canonical(&value, &mut text);
        assert_eq!(text, r#"{"a":"x\"y","b":[1,{"c":0.1,"d":null}]}"#);
    }

    /// A config read back from its file must be the same cell: every float has to survive the text.
    #[test]
    fn floats_survive_json_exactly() {
        use rand::RngExt;
        let mut random = crate::Seed(0).stream("floats");
        for _ in 0..10_000 {
            let x = f64::from_bits(random.random::<u64>());
            if x.is_finite() {
                let back: f64 = serde_json::from_str(&serde_json::to_string(&x).unwrap()).unwrap();
                assert_eq!(x.to_bits(), back.to_bits(), "{x:e}");
            }
        }
    }
}
