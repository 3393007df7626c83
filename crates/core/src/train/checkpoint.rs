//! The state of a training run as bytes: a safetensors file with a header of our own in its metadata.

use std::collections::{BTreeMap, HashMap};

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Optimiser, OptimiserConfig};
use crate::model::{Model, Weights};

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not written by this program, or by a version with another layout.
    #[error("not a checkpoint of this version of retrial ({0}): remove it, and the cell starts afresh")]
    Foreign(String),
    /// Cut short or altered.
    #[error("the checkpoint is damaged ({0}): remove it, and the cell starts afresh")]
    Damaged(String),
    /// Of another network, optimiser or set of parts.
    #[error("the checkpoint does not fit this cell ({0}): remove it, and the cell starts afresh")]
    Misfit(String),
    /// From candle: memory, or a device.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

type Result<T> = std::result::Result<T, CheckpointError>;

/// Key of the header in the file's metadata. Its value: SHA-256 of header and tensors in hexadecimal, a space, the header
/// as JSON.
const KEY: &str = "retrial-checkpoint";
const VERSION: u32 = 2;
/// Part that [`Checkpoint::capture`] writes and [`Checkpoint::restore`] reads.
const MAIN: &str = "model";

/// Weights, running statistics and optimiser state of one or more networks after an epoch, and what else the paper needs
/// to go on.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    header: Header,
    /// `PART/weights/NAME`, `PART/optimiser/NAME/first`, `PART/tensors/NAME`; all on the CPU.
    tensors: BTreeMap<String, Tensor>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    epoch: u64,
    optimisers: BTreeMap<String, OptimiserConfig>,
    extra: serde_json::Value,
}

impl Checkpoint {
    /// After `epoch`, without a network yet. `extra` is the paper's own.
    pub fn new(epoch: u64, extra: serde_json::Value) -> Self {
        let header = Header { version: VERSION, epoch, optimisers: BTreeMap::new(), extra };
        Self { header, tensors: BTreeMap::new() }
    }

    /// After `epoch`, of one network and its optimiser.
    pub fn capture(epoch: u64, model: &Model, optimiser: &Optimiser, extra: serde_json::Value) -> Result<Self> {
        Self::new(epoch, extra).with(MAIN, model, optimiser)
    }

    /// Adds a network and its optimiser under a name of its own.
    pub fn with(mut self, part: &str, model: &Model, optimiser: &Optimiser) -> Result<Self> {
        self.header.optimisers.insert(part.to_owned(), optimiser.config().clone());
        self.insert(&format!("{part}/weights"), &model.parameters.weights()?)?;
        self.insert(&format!("{part}/optimiser"), &optimiser.state()?)?;
        Ok(self)
    }

    /// Adds tensors under a name of their own: the best weights so far, say.
    pub fn with_tensors(mut self, part: &str, tensors: &Weights) -> Result<Self> {
        self.insert(&format!("{part}/tensors"), tensors)?;
        Ok(self)
    }

    fn insert(&mut self, prefix: &str, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in tensors {
            let copy = tensor.to_device(&Device::Cpu)?.force_contiguous()?;
            self.tensors.insert(format!("{prefix}/{name}"), copy);
        }
        Ok(())
    }

    /// The last epoch that is done.
    pub fn epoch(&self) -> u64 {
        self.header.epoch
    }

    /// The paper's own.
    pub fn extra(&self) -> &serde_json::Value {
        &self.header.extra
    }

    /// Puts what [`Self::capture`] saw back into an equal network and optimiser; returns the last epoch that is done.
    ///
    /// # Errors
    /// If network or optimiser differ; then the network is unchanged.
    pub fn restore(&self, model: &Model, optimiser: &mut Optimiser) -> Result<u64> {
        self.restore_part(MAIN, model, optimiser)
    }

    /// [`Self::restore`] for what [`Self::with`] added.
    pub fn restore_part(&self, part: &str, model: &Model, optimiser: &mut Optimiser) -> Result<u64> {
        match self.header.optimisers.get(part) {
            None => return Err(CheckpointError::Misfit(format!("it has no part {part}"))),
            Some(config) if config != optimiser.config() => {
                let (theirs, ours) = (json(config), json(optimiser.config()));
                return Err(CheckpointError::Misfit(format!("its optimiser is {theirs}, ours {ours}")));
            }
            Some(_) => {}
        }
        let misfit = |error: candle_core::Error| CheckpointError::Misfit(format!("{part}: {}", first_line(&error)));
        let weights = self.below(&format!("{part}/weights/"));
        optimiser.set_state(self.below(&format!("{part}/optimiser/")), &model.parameters).map_err(misfit)?;
        model.parameters.set_weights(&weights).map_err(misfit)?;
        Ok(self.header.epoch)
    }

    /// What [`Self::with_tensors`] added, on the CPU; empty if nothing was.
    pub fn tensors(&self, part: &str) -> Weights {
        self.below(&format!("{part}/tensors/"))
    }

    fn below(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let named = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
        self.tensors.iter().filter_map(named).collect()
    }

    /// As a safetensors file. The same state gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = json(&self.header);
        // One key only: the file format keeps metadata in a map without order.
        let plain = |seal: &str| {
            let metadata = HashMap::from([(KEY.to_owned(), format!("{seal} {header}"))]);
            safetensors::serialize(self.tensors.iter(), Some(metadata))
        };
        let unusable = |error| CheckpointError::Damaged(format!("it cannot be written: {error}"));
        let unsealed = plain("").map_err(unusable)?;
        let content = SafeTensors::deserialize(&unsealed).map_err(unusable)?;
        plain(&seal(&header, &content)).map_err(unusable)
    }

    /// From what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are something else, were cut short, or any bit of header or tensors changed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = |error: safetensors::SafeTensorError| CheckpointError::Damaged(error.to_string());
        let foreign = |what: &str| CheckpointError::Foreign(what.to_owned());
        let content = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let sealed = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| foreign("no header"))?;
        let (digest, header) = sealed.split_once(' ').ok_or_else(|| foreign("no checksum"))?;
        if digest != seal(header, &content) {
            return Err(CheckpointError::Damaged("its checksum does not match".to_owned()));
        }
        let version = serde_json::from_str::<serde_json::Value>(header).ok().and_then(|h| h["version"].as_u64());
        if version != Some(u64::from(VERSION)) {
            return Err(foreign("another layout"));
        }
        let header: Header = serde_json::from_str(header).map_err(|error| foreign(&error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in content.iter() {
            tensors.insert(name.to_owned(), view.load(&Device::Cpu)?);
        }
        Ok(Self { header, tensors })
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("maps have string keys and nothing else can fail")
}

/// Candle's errors may carry a backtrace; a person wants the line.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// SHA-256 over the header and every tensor's name, type, shape and bytes.
fn seal(header: &str, content: &SafeTensors) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(header.as_bytes());
    let tensors: BTreeMap<_, _> = content.iter().collect();
    for (name, view) in tensors {
        add(name.as_bytes());
        add(format!("{:?} {:?}", view.dtype(), view.shape()).as_bytes());
        add(view.data());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
