//! The IDX format of MNIST and Fashion-MNIST: big-endian magic number and dimensions, then bytes.

use super::Flaw;

/// Unsigned bytes, three dimensions.
const IMAGES: u32 = 0x0803;
/// Unsigned bytes, one dimension.
const LABELS: u32 = 0x0801;

fn word(bytes: &[u8], index: usize) -> Result<u32, Flaw> {
    match bytes.get(4 * index..4 * index + 4) {
        Some(word) => Ok(u32::from_be_bytes(word.try_into().expect("four bytes"))),
        None => Err(Flaw::Size { expected: 4 * (index as u64 + 1), found: bytes.len() as u64 }),
    }
}

fn body(bytes: &[u8], magic: u32, dimensions: usize) -> Result<(Vec<usize>, &[u8]), Flaw> {
    let found = word(bytes, 0)?;
    if found != magic {
        return Err(Flaw::Magic { expected: magic, found });
    }
    let shape = (1..=dimensions).map(|i| Ok(word(bytes, i)? as usize)).collect::<Result<Vec<_>, _>>()?;
    let header = 4 * (1 + dimensions);
    // In 128 bits no header, however wrong, can overflow.
    let expected = header as u128 + shape.iter().map(|&d| d as u128).product::<u128>();
    if expected != bytes.len() as u128 {
        return Err(Flaw::Size { expected: expected.min(u64::MAX.into()) as u64, found: bytes.len() as u64 });
    }
    Ok((shape, &bytes[header..]))
}

/// Height, width and pixels `[n, height, width]` of an image file.
pub fn read_images(bytes: &[u8]) -> Result<(usize, usize, &[u8]), Flaw> {
    let (shape, pixels) = body(bytes, IMAGES, 3)?;
    Ok((shape[1], shape[2], pixels))
}

/// Labels of a label file, each below `classes`.
pub fn read_labels(bytes: &[u8], classes: usize) -> Result<&[u8], Flaw> {
    let (_, labels) = body(bytes, LABELS, 1)?;
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(row) => Err(Flaw::Label { row, label: labels[row], classes }),
        None => Ok(labels),
    }
}

fn write(magic: u32, shape: &[usize], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + 4 * shape.len() + body.len());
    bytes.extend(magic.to_be_bytes());
    for &dimension in shape {
        bytes.extend((dimension as u32).to_be_bytes());
    }
    bytes.extend(body);
    bytes
}

/// An image file of pixels `[n, height, width]`.
pub fn write_images(pixels: &[u8], height: usize, width: usize) -> Vec<u8> {
    write(IMAGES, &[pixels.len() / (height * width), height, width], pixels)
}

/// A label file.
pub fn write_labels(labels: &[u8]) -> Vec<u8> {
    write(LABELS, &[labels.len()], labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(pixels in prop::collection::vec(any::<u8>(), 0..600), width in 1usize..7, height in 1usize..5) {
            let pixels = &pixels[..pixels.len() / (width * height) * (width * height)];
            let bytes = write_images(pixels, height, width);
            prop_assert_eq!(read_images(&bytes), Ok((height, width, pixels)));
            let labels: Vec<u8> = pixels.iter().map(|p| p % 10).collect();
            let bytes = write_labels(&labels);
            prop_assert_eq!(read_labels(&bytes, 10), Ok(&labels[..]));
        }

        #[test]
        fn any_cut_is_noticed(pixels in prop::collection::vec(any::<u8>(), 6..60), cut in any::<prop::sample::Index>()) {
            let bytes = write_images(&pixels[..pixels.len() / 6 * 6], 2, 3);
            let short = &bytes[..cut.index(bytes.len())];
            let noticed = matches!(read_images(short), Err(Flaw::Size { expected, found }) if found < expected);
            prop_assert!(noticed);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read_images(&bytes);
            let _ = read_labels(&bytes, 10);
        }
    }

    #[test]
    fn magic_length_and_labels_are_checked() {
        let labels = write_labels(&[3, 9, 4]);
        assert_eq!(read_images(&labels), Err(Flaw::Magic { expected: 0x0803, found: 0x0801 }));
        assert_eq!(read_labels(&labels, 9), Err(Flaw::Label { row: 1, label: 9, classes: 9 }));
        let long = [labels, vec![0]].concat();
        assert_eq!(read_labels(&long, 10), Err(Flaw::Size { expected: 11, found: 12 }));
        // Dimensions whose product does not fit 64 bits.
        let mut huge = 0x0803u32.to_be_bytes().to_vec();
        huge.extend([0xff; 12]);
        assert_eq!(read_images(&huge), Err(Flaw::Size { expected: u64::MAX, found: 16 }));
    }
}
