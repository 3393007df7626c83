//! Data sets: where their bytes come from, and batches of them.
//!
//! Images stay bytes `[n, channels, height, width]` in memory and become normalised f32 `[b, height, width, channels]`
//! batch by batch. A data set is found in the folder that the user names, in `data/full` or in `data/embedded`; it is
//! the same data wherever it comes from, for every file is verified against a published checksum.

use std::fmt;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Seed;

mod batch;
mod cifar;
pub mod embedded;
mod error;
mod fetch;
mod folders;
#[cfg(feature = "hub")]
pub mod hub;
mod idx;
mod official;
mod pca;
mod synthetic;

pub use batch::{Augmentation, Crop, Fill, Normalisation, order, targets};
pub use error::{Error, Flaw};
pub use fetch::{FETCHABLE, Fetched, fetch};
pub use folders::FolderSet;
pub use pca::Pca;
pub use synthetic::Gaussians;

/// A data set by name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetId {
    /// 60,000 + 10,000 digits, 28 x 28, embedded.
    Mnist,
    /// 60,000 + 10,000 garments, 28 x 28; `make data`.
    FashionMnist,
    /// 10,000 + 2,500 class-balanced images of CIFAR-10, 32 x 32 x 3, embedded.
    Cifar10Subset,
    /// 50,000 + 10,000 images, 32 x 32 x 3; `make data`.
    Cifar10,
    /// 50,000 + 10,000 images of 100 classes, 32 x 32 x 3; `make data`.
    Cifar100,
}

impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            DatasetId::Mnist => "mnist",
            DatasetId::FashionMnist => "fashion-mnist",
            DatasetId::Cifar10Subset => "cifar10-subset",
            DatasetId::Cifar10 => "cifar10",
            DatasetId::Cifar100 => "cifar100",
        })
    }
}

/// Inputs of samples: images as bytes, or vectors.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Inputs {
    /// `[n, channels, height, width]`, row-major.
    Images { pixels: Vec<u8>, channels: usize, height: usize, width: usize },
    /// `[n, dim]`, row-major.
    Vectors { values: Vec<f32>, dim: usize },
}

/// Inputs with their true labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// What a network sees.
    pub inputs: Inputs,
    /// True classes, `0..classes`.
    pub labels: Vec<u32>,
}

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name for messages and results.
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// What is trained on.
    pub train: Split,
    /// What is never trained on.
    pub test: Split,
    /// How its pixels are scaled unless a paper says otherwise: by mean and deviation of each channel.
    pub normalisation: Normalisation,
}

impl Dataset {
    /// Loads and verifies a data set.
    ///
    /// It is looked for in `folder` (official files, plain or gzipped, in the usual folders, or the official archive),
    /// then in `data/full`, then in `data/embedded`. `data` is found from the current folder upwards, then from the
    /// program's own folder upwards. A file that is there and wrong is an error: nothing is passed over in silence.
    pub fn load(id: DatasetId, folder: Option<&Path>) -> Result<Dataset, Error> {
        if let Some(path) = folder.filter(|folder| !folder.is_dir()) {
            return Err(Error::NoFolder { path: path.to_path_buf() });
        }
        let data = folder_of_data();
        let embedded = data.as_ref().map(|data| data.join("embedded"));
        let subset = embedded.as_ref().map(|embedded| embedded.join(embedded::SUBSET));
        if let (DatasetId::Cifar10Subset, Some(subset)) = (id, subset.filter(|subset| subset.is_dir())) {
            return embedded::read_subset(&subset);
        }

        let mut places = Vec::new();
        if let Some(folder) = folder {
            places.push((folder.to_path_buf(), "replace it with the official file, or name another folder"));
        }
        if let Some(data) = &data {
            places.push((data.join("full"), "run `make data`, which replaces it"));
            places.push((data.join("embedded"), embedded::REMEDY));
        }
        let set = official::of(id);
        for (place, remedy) in &places {
            if let Some(files) = set.read(place, remedy)? {
                let data = set.dataset(&files);
                return Ok(if id == DatasetId::Cifar10Subset { embedded::subset_of(&data) } else { data });
            }
        }
        let mut looked: Vec<String> = places.iter().map(|(place, _)| place.display().to_string()).collect();
        if data.is_none() {
            looked.push("every folder `data` above the current folder and above the program".to_string());
        }
        Err(Error::Missing {
            set: id,
            expected: set.expected(),
            looked: looked.join(", "),
            remedy: "run `make data`, or name the folder that holds it with --data DIR".to_string(),
        })
    }

    /// Shape of one input: `[height, width, channels]` or `[dim]`.
    pub fn input_shape(&self) -> Vec<usize> {
        self.train.input_shape()
    }
}

/// The folder `data` of this project, from the current folder upwards, then from the program's folder upwards.
pub fn folder_of_data() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    let starts = [std::env::current_dir().ok(), program.as_deref().and_then(Path::parent).map(Path::to_path_buf)];
    let above = starts.iter().flatten().flat_map(|start| start.ancestors());
    above.map(|folder| folder.join("data")).find(|data| data.join("embedded").is_dir() || data.join("full").is_dir())
}

impl Split {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Shape of one input: `[height, width, channels]` or `[dim]`.
    pub fn input_shape(&self) -> Vec<usize> {
        match self.inputs {
            Inputs::Images { channels, height, width, .. } => vec![height, width, channels],
            Inputs::Vectors { dim, .. } => vec![dim],
        }
    }

    /// The samples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`Split::len`].
    pub fn select(&self, indices: &[u32]) -> Split {
        fn rows<T: Copy>(values: &[T], row: usize, indices: &[u32]) -> Vec<T> {
            indices.iter().flat_map(|&i| &values[i as usize * row..][..row]).copied().collect()
        }
        let inputs = match &self.inputs {
            Inputs::Images { pixels, channels, height, width } => Inputs::Images {
                pixels: rows(pixels, channels * height * width, indices),
                channels: *channels,
                height: *height,
                width: *width,
            },
            Inputs::Vectors { values, dim } => Inputs::Vectors { values: rows(values, *dim, indices), dim: *dim },
        };
        Split { inputs, labels: rows(&self.labels, 1, indices) }
    }

    /// These samples, then those of another split of the same shape.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn followed_by(mut self, other: &Split) -> Split {
        assert_eq!(self.input_shape(), other.input_shape(), "samples of different shapes");
        match (&mut self.inputs, &other.inputs) {
            (Inputs::Images { pixels, .. }, Inputs::Images { pixels: more, .. }) => pixels.extend_from_slice(more),
            (Inputs::Vectors { values, .. }, Inputs::Vectors { values: more, .. }) => values.extend_from_slice(more),
            _ => unreachable!("equal shapes are of one kind"),
        }
        self.labels.extend_from_slice(&other.labels);
        self
    }

    /// Indices of `n` samples drawn without replacement, in ascending order.
    ///
    /// Of one seed, a smaller subset is part of every larger one.
    pub fn random_subset(&self, n: usize, seed: Seed) -> Result<Vec<u32>, Error> {
        let available = self.len();
        if n > available {
            return Err(Error::TooFew { wanted: n, available, class: String::new() });
        }
        let mut indices = shuffled(available, &mut seed.stream("subset"));
        indices.truncate(n);
        indices.sort_unstable();
        Ok(indices)
    }

    /// Indices of `n` samples drawn without replacement, each class as often as the others (where `n` is no multiple of
    /// their number, the first classes once more), in ascending order.
    ///
    /// Of one seed, a smaller subset is part of every larger one.
    pub fn balanced_subset(&self, n: usize, seed: Seed) -> Result<Vec<u32>, Error> {
        let classes = self.labels.iter().max().map_or(0, |&label| label as usize + 1);
        let mut of_class = vec![Vec::new(); classes];
        for i in shuffled(self.len(), &mut seed.stream("subset")) {
            of_class[self.labels[i as usize] as usize].push(i);
        }
        if classes == 0 && n > 0 {
            return Err(Error::TooFew { wanted: n, available: 0, class: String::new() });
        }
        let mut indices = Vec::with_capacity(n);
        for (class, members) in of_class.iter().enumerate() {
            let wanted = n / classes + usize::from(class < n % classes);
            let Some(members) = members.get(..wanted) else {
                return Err(Error::TooFew { wanted, available: members.len(), class: format!(" of class {class}") });
            };
            indices.extend(members);
        }
        indices.sort_unstable();
        Ok(indices)
    }
}

/// `0..n` in random order.
fn shuffled(n: usize, stream: &mut ChaCha8Rng) -> Vec<u32> {
    let mut indices: Vec<u32> = (0..n as u32).collect();
    indices.shuffle(stream);
    indices
}

#[cfg(test)]
mod tests;
