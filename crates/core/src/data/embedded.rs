//! Data that the repository carries: MNIST, and a class-balanced subset of CIFAR-10.
//!
//! MNIST lies there as its official files, gzipped. The subset lies there as two contact sheets, which any image viewer
//! opens: PNG's filters pack small photographs better than a general compressor does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Cursor, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};

use super::cifar::{PIXELS, Records, SIDE};
use super::official::{self, Checksum, Official, sha256};
use super::{Dataset, DatasetId, Error, Flaw, Normalisation, idx};

/// Folder of the subset inside `data/embedded`.
pub(super) const SUBSET: &str = "cifar-10-subset";
/// What tells the user how to get a damaged embedded file back.
pub(super) const REMEDY: &str = "restore it with `git checkout -- data/embedded`";
/// Images of each class in the training and the test split: the first ones of CIFAR-10, in file order.
const PER_CLASS: [usize; 2] = [1_000, 250];
/// Images in a row of a contact sheet.
const COLUMNS: usize = 100;

/// One split of the subset and what its content must be.
struct Part {
    sheet: &'static str,
    labels: &'static str,
    /// SHA-256 of pixels `[n, 3, 32, 32]`.
    pixels_sha256: &'static str,
    labels_sha256: &'static str,
}

static PARTS: [Part; 2] = [
    Part {
        sheet: "train.png",
        labels: "train-labels-idx1-ubyte",
        pixels_sha256: "b298395fa948784e1e73351bbd6c34e68d9af64538043a8eb071ba23ca0ecbe8",
        labels_sha256: "c48dd114744b9f3299cb76e5e88e51d4eb6053678aefc6dfb3ba17410781c233",
    },
    Part {
        sheet: "test.png",
        labels: "test-labels-idx1-ubyte",
        pixels_sha256: "541e05801e5a03f93088839fe3da7ea4614b34d10d9977b14e2ad08049acd929",
        labels_sha256: "11d9173270c88c6afcc8da49b33c19c4ce1fa38298c7341d779169fe627d3920",
    },
];

/// Reads and verifies the subset in `folder` (`data/embedded/cifar-10-subset`).
pub(super) fn read_subset(folder: &Path) -> Result<Dataset, Error> {
    // Decoding is most of the time of a start: one thread for each sheet.
    let (train, test) = rayon::join(|| read_part(folder, 0), || read_part(folder, 1));
    Ok(subset([train?, test?]))
}

fn subset(splits: [Records; 2]) -> Dataset {
    let [train, test] = splits.map(|split| official::images(split.pixels, &split.labels, (3, SIDE, SIDE)));
    let full = official::of(DatasetId::Cifar10);
    Dataset {
        name: DatasetId::Cifar10Subset.to_string(),
        classes: full.classes,
        train,
        test,
        normalisation: Normalisation::PerChannel(full.normalisation.to_vec()),
    }
}

/// The subset cut from the full data set.
pub(super) fn subset_of(full: &Dataset) -> Dataset {
    let cut = |split: &super::Split, per_class: usize| {
        let mut room = vec![per_class; full.classes];
        let first = (0..split.len() as u32).filter(|&i| {
            let room = &mut room[split.labels[i as usize] as usize];
            let fits = *room > 0;
            *room -= usize::from(fits);
            fits
        });
        split.select(&first.collect::<Vec<_>>())
    };
    Dataset {
        name: DatasetId::Cifar10Subset.to_string(),
        train: cut(&full.train, PER_CLASS[0]),
        test: cut(&full.test, PER_CLASS[1]),
        ..full.clone()
    }
}

fn read_part(folder: &Path, index: usize) -> Result<Records, Error> {
    let (part, expected) = (&PARTS[index], 10 * PER_CLASS[index]);
    let pixels = read_file(&folder.join(part.sheet), part.pixels_sha256, |bytes| read_sheet(bytes, expected))?;
    let labels = read_file(&folder.join(part.labels), part.labels_sha256, |bytes| {
        let labels = idx::read_labels(bytes, 10)?;
        if labels.len() == expected { Ok(labels.to_vec()) } else { Err(Flaw::Count { expected, found: labels.len() }) }
    })?;
    Ok(Records { pixels, labels, coarse: Vec::new() })
}

/// The decoded content of a file, whose SHA-256 must be `checksum`.
fn read_file(path: &Path, checksum: &str, decode: impl Fn(&[u8]) -> Result<Vec<u8>, Flaw>) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let content = decode(&bytes).and_then(|content| match sha256(&content) {
        found if found == checksum => Ok(content),
        found => Err(Flaw::Checksum { expected: checksum.to_string(), found }),
    });
    content.map_err(|flaw| Error::Altered { path: path.to_path_buf(), flaw, remedy: REMEDY.to_string() })
}

/// Pixels `[n, 3, 32, 32]` of a contact sheet: images in file order, from left to right and from top to bottom.
fn read_sheet(bytes: &[u8], expected: usize) -> Result<Vec<u8>, Flaw> {
    let undecodable = |error: png::DecodingError| Flaw::Undecodable(error.to_string());
    let mut reader = png::Decoder::new(BufReader::new(Cursor::new(bytes))).read_info().map_err(undecodable)?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    let shape = (expected / COLUMNS * SIDE, COLUMNS * SIDE);
    if (height, width) != shape {
        return Err(Flaw::Shape { expected: shape, found: (height, width) });
    }
    if reader.output_color_type() != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(Flaw::Undecodable("expected red, green and blue of 8 bits".to_string()));
    }
    let mut pixels = vec![0; expected * PIXELS];
    for y in 0..height {
        let Some(row) = reader.next_row().map_err(undecodable)? else {
            return Err(Flaw::Count { expected: height, found: y });
        };
        let images = &mut pixels[y / SIDE * COLUMNS * PIXELS..][..COLUMNS * PIXELS];
        for (piece, image) in row.data().chunks_exact(3 * SIDE).zip(images.chunks_exact_mut(PIXELS)) {
            let start = y % SIDE * SIDE;
            let (red, rest) = image.split_at_mut(SIDE * SIDE);
            let (green, blue) = rest.split_at_mut(SIDE * SIDE);
            let planes = red[start..].iter_mut().zip(&mut green[start..]).zip(&mut blue[start..]);
            for (pixel, ((r, g), b)) in piece.chunks_exact(3).zip(planes) {
                (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
            }
        }
    }
    Ok(pixels)
}

/// The contact sheet of pixels `[n, 3, 32, 32]`, n a multiple of 100.
fn write_sheet(pixels: &[u8]) -> Vec<u8> {
    let (height, width) = (pixels.len() / PIXELS / COLUMNS * SIDE, COLUMNS * SIDE);
    let mut sheet = vec![0; pixels.len()];
    for (i, image) in pixels.chunks_exact(PIXELS).enumerate() {
        let corner = (i / COLUMNS * SIDE * width + i % COLUMNS * SIDE) * 3;
        for (offset, &value) in image.iter().enumerate() {
            let (channel, y, x) = (offset / (SIDE * SIDE), offset / SIDE % SIDE, offset % SIDE);
            sheet[corner + (y * width + x) * 3 + channel] = value;
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::Adaptive);
    let mut writer = encoder.write_header().expect("memory takes every byte");
    writer.write_image_data(&sheet).expect("memory takes every byte");
    writer.finish().expect("memory takes every byte");
    bytes
}

/// Gzip without file name and time stamp, so that the same content gives the same bytes.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(content).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}

/// What the repository says of its data sets: `data/embedded/manifest.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Data sets whose files lie beside the manifest.
    pub embedded: Vec<Entry>,
    /// Data sets that `make data` brings, with the checksums of their official files.
    pub full: Vec<Entry>,
}

/// A data set in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The data set.
    pub name: DatasetId,
    /// Authors and where the files are from.
    pub origin: String,
    /// Under what terms they are passed on.
    pub licence: String,
    /// What vouches for the content.
    pub verified_by: String,
    /// Content by split; empty where it was never at hand.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, Content>,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// Content of a split, however it is packed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Number of images.
    pub images: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Of bytes `[n, channels, height, width]`.
    pub pixels_sha256: String,
    /// Of one byte a label.
    pub labels_sha256: String,
}

/// A file in the manifest: its path inside its folder, and the checksum of its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path inside the folder.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Checksum of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Checksum of the file where no SHA-256 is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
}

fn contents(data: &Dataset) -> BTreeMap<String, Content> {
    let content = |split: &super::Split| {
        let super::Inputs::Images { pixels, channels, height, width } = &split.inputs else {
            unreachable!("published data sets hold images");
        };
        let labels: Vec<u8> = split.labels.iter().map(|&label| label as u8).collect();
        Content {
            images: split.len(),
            classes: data.classes,
            shape: [*channels, *height, *width],
            pixels_sha256: sha256(pixels),
            labels_sha256: sha256(&labels),
        }
    };
    BTreeMap::from([("train".to_string(), content(&data.train)), ("test".to_string(), content(&data.test))])
}

fn entry(set: &Official) -> Entry {
    let files = set.files.iter().map(|file| {
        let (sha256, md5) = match file.checksum {
            Checksum::Sha256(digest) => (Some(digest.to_string()), None),
            Checksum::Md5(digest) => (None, Some(digest.to_string())),
        };
        FileEntry { path: format!("{}/{}", set.folders[0], file.name), bytes: file.bytes, sha256, md5 }
    });
    Entry {
        name: set.id,
        origin: set.origin.to_string(),
        licence: set.licence.to_string(),
        verified_by: set.verified_by.to_string(),
        splits: BTreeMap::new(),
        files: files.collect(),
    }
}

/// Builds the embedded files from the full MNIST and CIFAR-10 in `from`: relative paths and bytes, the manifest last.
///
/// The same content gives the same bytes. About twenty seconds.
pub fn build(from: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let full = |id| {
        let set = official::of(id);
        let files = super::fetch::from_folder(set, from)?;
        let files = files.ok_or_else(|| Error::Missing {
            set: id,
            expected: set.expected(),
            looked: from.display().to_string(),
            remedy: "name a folder that holds it with --from DIR".to_string(),
        })?;
        let data = set.dataset(&files);
        Ok::<_, Error>((set, files, data))
    };
    let (mnist, mnist_files, digits) = full(DatasetId::Mnist)?;
    let (cifar, _, photographs) = full(DatasetId::Cifar10)?;
    let cut = subset_of(&photographs);

    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (file, bytes) in mnist.files.iter().zip(&mnist_files) {
        files.push((format!("{}/{}.gz", mnist.folders[0], file.name), gzip(bytes)));
    }
    for (part, split) in PARTS.iter().zip([&cut.train, &cut.test]) {
        let super::Inputs::Images { pixels, .. } = &split.inputs else { unreachable!("CIFAR-10 holds images") };
        let labels: Vec<u8> = split.labels.iter().map(|&label| label as u8).collect();
        files.push((format!("{SUBSET}/{}", part.sheet), write_sheet(pixels)));
        files.push((format!("{SUBSET}/{}", part.labels), idx::write_labels(&labels)));
    }

    let packed = |below: &str| {
        let inside = files.iter().filter(|(path, _)| path.starts_with(below));
        inside
            .map(|(path, bytes)| FileEntry {
                path: path.clone(),
                bytes: bytes.len() as u64,
                sha256: Some(sha256(bytes)),
                md5: None,
            })
            .collect()
    };
    let subset_entry = Entry {
        name: DatasetId::Cifar10Subset,
        verified_by: "SHA-256 of pixels and labels, below: cut from the full data set after its files were verified"
            .to_string(),
        origin: format!(
            "the first {} training and {} test images of each class, in file order, of: {}",
            PER_CLASS[0], PER_CLASS[1], cifar.origin
        ),
        splits: contents(&cut),
        files: packed(SUBSET),
        ..entry(cifar)
    };
    let manifest = Manifest {
        embedded: vec![
            Entry { splits: contents(&digits), files: packed(mnist.folders[0]), ..entry(mnist) },
            subset_entry,
        ],
        full: official::ALL
            .iter()
            .map(|&set| match set.id {
                DatasetId::Mnist => Entry { splits: contents(&digits), ..entry(set) },
                DatasetId::Cifar10 => Entry { splits: contents(&photographs), ..entry(set) },
                _ => entry(set),
            })
            .collect(),
    };
    let text = toml::to_string(&manifest).expect("the manifest is plain text and numbers");
    files.push(("manifest.toml".to_string(), format!("# Written by `retrial-data embed`.\n\n{text}").into_bytes()));
    Ok(files)
}

/// Writes one of the files of [`build`] under a temporary name and renames it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    super::fetch::write_file(path, bytes, &indicatif::ProgressBar::hidden())
}

/// Checks every file that the manifest in `folder` (`data/embedded`) lists against its size and checksum.
pub fn verify(folder: &Path) -> Result<Manifest, Error> {
    let path = folder.join("manifest.toml");
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let altered = |path, flaw| Error::Altered { path, flaw, remedy: REMEDY.to_string() };
    let manifest: Manifest =
        toml::from_str(&text).map_err(|error| altered(path, Flaw::Undecodable(error.message().to_string())))?;
    for file in manifest.embedded.iter().flat_map(|entry| &entry.files) {
        let path = folder.join(&file.path);
        let bytes = fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        if bytes.len() as u64 != file.bytes {
            return Err(altered(path, Flaw::Size { expected: file.bytes, found: bytes.len() as u64 }));
        }
        let (expected, found) = (file.sha256.clone().unwrap_or_default(), sha256(&bytes));
        if expected != found {
            return Err(altered(path, Flaw::Checksum { expected, found }));
        }
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smaller half of what `retrial-data embed` does; the larger half takes the same two functions.
    #[test]
    fn rebuilding_gives_the_same_bytes() {
        let folder = super::super::folder_of_data().unwrap().join("embedded");
        let sheet = fs::read(folder.join(SUBSET).join("test.png")).unwrap();
        let pixels = read_sheet(&sheet, 2_500).unwrap();
        assert!(write_sheet(&pixels) == sheet);
        let set = official::of(DatasetId::Mnist);
        let files = set.read(&folder, "").unwrap().unwrap();
        for (file, bytes) in set.files.iter().zip(&files).skip(1) {
            let packed = fs::read(folder.join("mnist").join(format!("{}.gz", file.name))).unwrap();
            assert!(gzip(bytes) == packed, "{}", file.name);
        }
    }
}
