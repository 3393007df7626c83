//! Data sets from the Hugging Face hub, through candle-datasets.
//!
//! `candle_datasets::vision::cifar::load` hands out images with height and width swapped (it reads rows first and names
//! them columns first), knows no CIFAR-100 and passes over rows that it cannot read. So only its access to the hub is
//! used: the images inside the parquet files are decoded here, row by row as PNG stores them.

use std::path::Path;

use candle_datasets::hub::{FileReader, from_hub};
use hf_hub::HFClient;
use parquet::record::{Field, Row};

use super::DatasetId;
use super::cifar::{self, Records};
use super::official::{Files, Official};

/// The repository of a data set on the hub.
fn repository(id: DatasetId) -> &'static str {
    match id {
        DatasetId::Mnist => "ylecun/mnist",
        DatasetId::FashionMnist => "zalando-datasets/fashion_mnist",
        DatasetId::Cifar10 | DatasetId::Cifar10Subset => "uoft-cs/cifar10",
        DatasetId::Cifar100 => "uoft-cs/cifar100",
    }
}

/// About what a download transfers, for the progress bar.
pub(super) fn expected_bytes(id: DatasetId) -> u64 {
    match id {
        DatasetId::Mnist => 18_200_000,
        DatasetId::FashionMnist => 36_100_000,
        DatasetId::Cifar10 | DatasetId::Cifar10Subset => 143_600_000,
        DatasetId::Cifar100 => 142_400_000,
    }
}

/// Downloads a data set below `cache` and returns it as its official files, not yet verified.
///
/// The hub's address is taken from the environment variable `HF_ENDPOINT` where that is set.
pub(super) fn read(set: &Official, cache: &Path) -> Result<Files, String> {
    let client = HFClient::builder().cache_dir(cache).build_sync().map_err(|error| error.to_string())?;
    splits(&client, set.id).map(|splits| set.files_of(splits))
}

/// Training and test split of a data set on the hub that `client` speaks to.
fn splits(client: &hf_hub::HFClientSync, id: DatasetId) -> Result<[Records; 2], String> {
    let repository = repository(id);
    let readers =
        from_hub(client, repository.to_string()).map_err(|error| format!("the hub's {repository}: {error}"))?;
    let mut splits = Vec::new();
    for reader in &readers {
        let rows = reader.get_row_iter(None).map_err(|error| error.to_string())?;
        let mut records = Records::default();
        for row in rows {
            read_row(&row.map_err(|error| error.to_string())?, id, &mut records)
                .map_err(|error| format!("the hub's {repository}, row {}: {error}", records.labels.len()))?;
        }
        splits.push(records);
    }
    // The files come without their names; every one of these sets trains on the larger one.
    splits.sort_by_key(|records| std::cmp::Reverse(records.labels.len()));
    splits.try_into().map_err(|splits: Vec<Records>| {
        format!("the hub's {repository}: expected two parquet files, train and test, found {}", splits.len())
    })
}

fn read_row(row: &Row, id: DatasetId, records: &mut Records) -> Result<(), String> {
    for (name, field) in row.get_column_iter() {
        match field {
            Field::Group(image) => {
                let png = image.get_column_iter().find_map(|(_, field)| match field {
                    Field::Bytes(bytes) => Some(bytes.data()),
                    _ => None,
                });
                read_image(png.ok_or("no image")?, id, &mut records.pixels)?;
            }
            Field::Long(label) => {
                let label = u8::try_from(*label).map_err(|_| format!("label {label} is no class"))?;
                if name.contains("coarse") { records.coarse.push(label) } else { records.labels.push(label) }
            }
            other => return Err(format!("column {name} holds {other}, expected an image or a label")),
        }
    }
    Ok(())
}

/// Appends one PNG image as planes `[channels, height, width]`.
fn read_image(bytes: &[u8], id: DatasetId, pixels: &mut Vec<u8>) -> Result<(), String> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .map_err(|error| format!("not a PNG image: {error}"))?;
    let (expected, side) = match id {
        DatasetId::Mnist | DatasetId::FashionMnist => (png::ColorType::Grayscale, 28),
        _ => (png::ColorType::Rgb, cifar::SIDE as u32),
    };
    let (color, (width, height)) = (reader.output_color_type(), reader.info().size());
    if color != (expected, png::BitDepth::Eight) || (width, height) != (side, side) {
        return Err(format!(
            "expected a {expected:?} image of {side} x {side}, found {:?}, {width} x {height}",
            color.0
        ));
    }
    let mut image = Vec::new();
    while let Some(row) = reader.next_row().map_err(|error| format!("not a PNG image: {error}"))? {
        image.extend(row.data());
    }
    match expected {
        png::ColorType::Grayscale => pixels.extend(image),
        _ => pixels.extend(cifar::planar(&image)),
    }
    Ok(())
}
