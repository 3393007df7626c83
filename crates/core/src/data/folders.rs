//! Data sets that come as folders of image files and are not ours to fetch: ANIMAL-10N and Tiny-ImageNet, in the layout
//! in which their authors publish them.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Dataset, Error, Flaw, Inputs, Normalisation, Split};

/// A data set in a folder that the user names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderSet {
    /// 50,000 + 5,000 animals of ten look-alike classes, 64 x 64, about 8 % of the training labels wrong (Song et al.
    /// 2019): `training/LABEL_NUMBER.jpg` and `testing/LABEL_NUMBER.jpg`.
    #[serde(rename = "animal-10n")]
    Animal10n,
    /// 100,000 + 10,000 images of 200 classes, 64 x 64: `wnids.txt`, `train/WNID/images/*.JPEG`, `val/images/*.JPEG` and
    /// `val/val_annotations.txt`. The validation images are the test split, as everywhere.
    TinyImagenet,
}

/// What to do about a file that is wrong.
const REMEDY: &str = "unpack the published archive again";

impl FolderSet {
    /// Name of the folder below the one that the user names; the images may also lie in that one itself.
    pub fn folder(self) -> &'static str {
        match self {
            FolderSet::Animal10n => "animal-10n",
            FolderSet::TinyImagenet => "tiny-imagenet-200",
        }
    }

    /// Reads all images, in the order of their names.
    ///
    /// # Errors
    /// If a part of the layout is missing, a file is no image of the size of the others, or a label is no class.
    pub fn load(self, folder: &Path) -> Result<Dataset, Error> {
        let below = folder.join(self.folder());
        let root = if below.is_dir() { below } else { folder.to_path_buf() };
        let (classes, train, test) = match self {
            FolderSet::Animal10n => (10, by_prefix(&root.join("training"))?, by_prefix(&root.join("testing"))?),
            FolderSet::TinyImagenet => tiny_imagenet(&root)?,
        };
        let (train, test) = (read_all(&train)?, read_all(&test)?);
        if train.input_shape() != test.input_shape() {
            return Err(Error::Invalid(format!(
                "{}: training images are {:?}, test images {:?} (height, width, channels); {REMEDY}",
                root.display(),
                train.input_shape(),
                test.input_shape()
            )));
        }
        Ok(Dataset { name: self.folder().into(), classes, train, test, normalisation: Normalisation::PerImage })
    }
}

/// Image files with their classes.
type Listed = Vec<(PathBuf, u32)>;

/// `LABEL_NUMBER.jpg`.
fn by_prefix(folder: &Path) -> Result<Listed, Error> {
    let mut listed = vec![];
    for path in jpegs(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let label = name.split_once('_').and_then(|(label, _)| label.parse::<u32>().ok()).filter(|&label| label < 10);
        let Some(label) = label else {
            return Err(invalid(&path, "its name must start with a class from 0 to 9 and `_`"));
        };
        listed.push((path, label));
    }
    Ok(listed)
}

fn tiny_imagenet(root: &Path) -> Result<(usize, Listed, Listed), Error> {
    let names = text(&root.join("wnids.txt"))?;
    let mut names: Vec<&str> = names.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let class = |name: &str| names.binary_search(&name).ok().map(|class| class as u32);
    let mut train = vec![];
    for (class, name) in names.iter().enumerate() {
        let images = jpegs(&root.join("train").join(name).join("images"))?;
        train.extend(images.into_iter().map(|path| (path, class as u32)));
    }
    let annotations = root.join("val/val_annotations.txt");
    let mut test = vec![];
    for (row, line) in text(&annotations)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut columns = line.split_whitespace();
        let (file, name) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
        let Some(class) = class(name) else {
            let problem = format!("line {}: `{name}` is no class of wnids.txt", row + 1);
            return Err(invalid(&annotations, &problem));
        };
        test.push((root.join("val/images").join(file), class));
    }
    test.sort();
    Ok((names.len(), train, test))
}

fn invalid(path: &Path, problem: &str) -> Error {
    Error::Invalid(format!("{}: {problem}; {REMEDY}", path.display()))
}

fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

/// The JPEG files of a folder by name, at least one.
fn jpegs(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: folder.to_path_buf(), source };
    let mut paths = vec![];
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if ["jpg", "jpeg"].contains(&extension.as_str()) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(invalid(folder, "there is no .jpg or .jpeg file"));
    }
    paths.sort();
    Ok(paths)
}

fn read_all(listed: &Listed) -> Result<Split, Error> {
    let images: Vec<(usize, usize, Vec<u8>)> =
        listed.par_iter().map(|(path, _)| read_jpeg(path)).collect::<Result<_, _>>()?;
    let (width, height) = images.first().map_or((0, 0), |(width, height, _)| (*width, *height));
    let mut pixels = Vec::with_capacity(images.len() * width * height * 3);
    for ((w, h, image), (path, _)) in images.iter().zip(listed) {
        if (*w, *h) != (width, height) {
            let flaw = Flaw::Shape { expected: (height, width), found: (*h, *w) };
            return Err(Error::Altered { path: path.clone(), flaw, remedy: REMEDY.into() });
        }
        pixels.extend(super::cifar::planar(image));
    }
    let labels = listed.iter().map(|(_, class)| *class).collect();
    Ok(Split { inputs: Inputs::Images { pixels, channels: 3, height, width }, labels })
}

/// Width, height and interleaved colours; grey images become coloured ones.
fn read_jpeg(path: &Path) -> Result<(usize, usize, Vec<u8>), Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
    let altered = |flaw: String| Error::Altered {
        path: path.to_path_buf(),
        flaw: Flaw::Undecodable(flaw),
        remedy: REMEDY.into(),
    };
    let pixels = decoder.decode().map_err(|error| altered(error.to_string()))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| altered("it has no size".into()))?;
    Ok((width, height, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey baseline JPEG of 8 x 8 pixels, all of brightness 128 + 8 `dc` / 8: one block, one coefficient. Made by
    /// hand after ITU-T T.81: quantisation all 1 (so the DC coefficient is 8 times the offset), Huffman tables with the
    /// two or three codes that are needed.
    fn grey_jpeg(offset: i32) -> Vec<u8> {
        assert!((1..=7).contains(&offset), "the DC coefficient 8 x offset must have 4 to 6 bits");
        let dc = 8 * offset;
        let size = 32 - (dc as u32).leading_zeros();
        let mut bytes = vec![0xff, 0xd8];
        bytes.extend([0xff, 0xdb, 0, 67, 0]);
        bytes.extend([1u8; 64]);
        bytes.extend([0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
        // DC: the code 0 of one bit is the size of the coefficient. AC: the code 0 of one bit is the end of block.
        for (class, symbol) in [(0x00u8, size as u8), (0x10, 0)] {
            bytes.extend([0xff, 0xc4, 0, 20, class, 1]);
            bytes.extend([0u8; 15]);
            bytes.push(symbol);
        }
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        // 0, the coefficient, 0, and ones to fill.
        let used = 1 + size + 1;
        let bits = (dc as u32) << 1;
        let filled = (bits << (16 - used)) | ((1 << (16 - used)) - 1);
        for byte in (filled as u16).to_be_bytes() {
            bytes.push(byte);
            if byte == 0xff {
                bytes.push(0);
            }
        }
        bytes.extend([0xff, 0xd9]);
        bytes
    }

    fn write(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Brightness of each image, which must be one colour.
    fn brightness(split: &Split) -> Vec<u8> {
        let Inputs::Images { pixels, channels: 3, height: 8, width: 8 } = &split.inputs else { panic!("no images") };
        let image = |image: &[u8]| {
            assert!(image.iter().all(|p| *p == image[0]));
            image[0]
        };
        pixels.chunks_exact(192).map(image).collect()
    }

    #[test]
    fn animal_10n_is_read_in_its_official_layout() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("animal-10n");
        for (path, offset) in [("training/3_2.jpg", 1), ("training/0_7.jpg", 2), ("testing/9_1.jpg", 5)] {
            write(&root, path, &grey_jpeg(offset));
        }
        for named in [folder.path(), &root] {
            let data = FolderSet::Animal10n.load(named).unwrap();
            assert_eq!((data.classes, data.input_shape()), (10, vec![8, 8, 3]));
            assert_eq!((data.train.labels.clone(), brightness(&data.train)), (vec![0, 3], vec![130, 129]));
            assert_eq!((data.test.labels.clone(), brightness(&data.test)), (vec![9], vec![133]));
            assert_eq!(data.normalisation, Normalisation::PerImage);
        }
        write(&root, "training/12_2.jpg", &grey_jpeg(1));
        let said = FolderSet::Animal10n.load(&root).unwrap_err().to_string();
        assert!(said.contains("12_2.jpg") && said.contains("0 to 9"), "{said}");
        fs::remove_file(root.join("training/12_2.jpg")).unwrap();
        write(&root, "training/1_2.jpg", b"no picture");
        let said = FolderSet::Animal10n.load(&root).unwrap_err().to_string();
        assert!(said.contains("1_2.jpg") && said.contains("unpack"), "{said}");
        let said = FolderSet::Animal10n.load(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(said.contains("training"), "{said}");
    }

    #[test]
    fn tiny_imagenet_is_read_in_its_official_layout() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tiny-imagenet-200");
        write(&root, "wnids.txt", b"n02\nn01\n");
        for (path, offset) in [
            ("train/n01/images/n01_0.JPEG", 1),
            ("train/n02/images/n02_1.JPEG", 3),
            ("train/n02/images/n02_0.JPEG", 2),
            ("val/images/val_0.JPEG", 4),
            ("val/images/val_1.JPEG", 5),
        ] {
            write(&root, path, &grey_jpeg(offset));
        }
        write(&root, "val/val_annotations.txt", b"val_1.JPEG\tn01\t0\t0\t9\t9\nval_0.JPEG\tn02\t0\t0\t9\t9\n");
        let data = FolderSet::TinyImagenet.load(folder.path()).unwrap();
        assert_eq!((data.classes, data.train.labels.clone()), (2, vec![0, 1, 1]));
        assert_eq!(brightness(&data.train), [129, 130, 131]);
        assert_eq!((data.test.labels.clone(), brightness(&data.test)), (vec![1, 0], vec![132, 133]));
        write(&root, "val/val_annotations.txt", b"val_1.JPEG\tn01\nval_0.JPEG\tn07\n");
        let said = FolderSet::TinyImagenet.load(folder.path()).unwrap_err().to_string();
        assert!(said.contains("line 2") && said.contains("n07"), "{said}");
    }
}
