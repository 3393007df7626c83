//! The binary layout of CIFAR-10 and CIFAR-100: one record an image, label bytes first, then 1,024 red, 1,024 green and
//! 1,024 blue pixels, each plane row by row.

use super::Flaw;

/// Height and width of an image.
pub const SIDE: usize = 32;
/// Bytes of an image.
pub const PIXELS: usize = 3 * SIDE * SIDE;

/// Which labels stand before the pixels of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One byte, ten classes.
    Cifar10,
    /// The coarse label (of 20), then the fine one (of 100).
    Cifar100,
}

impl Layout {
    /// Number of classes of each label byte; the last one is the label that is learnt.
    fn classes(self) -> &'static [usize] {
        match self {
            Layout::Cifar10 => &[10],
            Layout::Cifar100 => &[20, 100],
        }
    }

    fn record(self) -> usize {
        self.classes().len() + PIXELS
    }
}

/// Records of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// `[n, 3, 32, 32]`.
    pub pixels: Vec<u8>,
    /// The classes to learn (of CIFAR-100: the fine ones).
    pub labels: Vec<u8>,
    /// The coarse labels of CIFAR-100, otherwise empty.
    pub coarse: Vec<u8>,
}

/// Checks that `bytes` are whole records with labels in range.
pub fn check(bytes: &[u8], layout: Layout) -> Result<(), Flaw> {
    let size = layout.record();
    if !bytes.len().is_multiple_of(size) {
        let expected = bytes.len().div_ceil(size) * size;
        return Err(Flaw::Size { expected: expected as u64, found: bytes.len() as u64 });
    }
    for (row, record) in bytes.chunks_exact(size).enumerate() {
        for (&label, &classes) in record.iter().zip(layout.classes()) {
            if label as usize >= classes {
                return Err(Flaw::Label { row, label, classes });
            }
        }
    }
    Ok(())
}

/// Appends the records of one file to `records`.
pub fn read(bytes: &[u8], layout: Layout, records: &mut Records) -> Result<(), Flaw> {
    check(bytes, layout)?;
    let size = layout.record();
    records.pixels.reserve(bytes.len() / size * PIXELS);
    for record in bytes.chunks_exact(size) {
        let (labels, pixels) = record.split_at(size - PIXELS);
        let (&label, coarse) = labels.split_last().expect("at least one label");
        records.labels.push(label);
        records.coarse.extend(coarse);
        records.pixels.extend(pixels);
    }
    Ok(())
}

/// The bytes of a file that holds `records`; whether it has coarse labels decides the layout.
pub fn write(records: &Records) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.pixels.len() + 2 * records.labels.len());
    for (i, pixels) in records.pixels.chunks_exact(PIXELS).enumerate() {
        bytes.extend(records.coarse.get(i));
        bytes.push(records.labels[i]);
        bytes.extend(pixels);
    }
    bytes
}

/// Planes `[3, 32, 32]` of interleaved pixels `[32, 32, 3]`, as image files and hubs hold them.
pub fn planar(interleaved: &[u8]) -> impl Iterator<Item = u8> + '_ {
    (0..3).flat_map(move |channel| interleaved.iter().skip(channel).step_by(3).copied())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(n: usize, salt: u8, coarse: bool) -> Records {
        let byte = |i: usize| (i as u8).wrapping_mul(31).wrapping_add(salt);
        Records {
            pixels: (0..n * PIXELS).map(byte).collect(),
            labels: (0..n).map(|i| byte(i) % 10).collect(),
            coarse: if coarse { (0..n).map(|i| byte(i) % 20).collect() } else { Vec::new() },
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(n in 0usize..5, salt in any::<u8>(), coarse in any::<bool>()) {
            let original = records(n, salt, coarse);
            let layout = if coarse { Layout::Cifar100 } else { Layout::Cifar10 };
            let mut back = Records::default();
            read(&write(&original), layout, &mut back).unwrap();
            prop_assert_eq!(back, original);
        }

        #[test]
        fn any_cut_inside_a_record_is_noticed(cut in 1usize..3073) {
            let bytes = write(&records(2, 0, false));
            let flaw = read(&bytes[..bytes.len() - cut], Layout::Cifar10, &mut Records::default());
            prop_assert_eq!(flaw, Err(Flaw::Size { expected: 6146, found: (6146 - cut) as u64 }));
        }
    }

    #[test]
    fn a_label_outside_the_classes_is_named() {
        let mut bytes = write(&records(3, 0, false));
        bytes[2 * 3073] = 10;
        let flaw = read(&bytes, Layout::Cifar10, &mut Records::default());
        assert_eq!(flaw, Err(Flaw::Label { row: 2, label: 10, classes: 10 }));
        let mut bytes = write(&records(3, 0, true));
        bytes[3074] = 20;
        let flaw = read(&bytes, Layout::Cifar100, &mut Records::default());
        assert_eq!(flaw, Err(Flaw::Label { row: 1, label: 20, classes: 20 }));
    }

    #[test]
    fn planes_follow_one_another() {
        assert_eq!(planar(&[1, 2, 3, 4, 5, 6]).collect::<Vec<_>>(), [1, 4, 2, 5, 3, 6]);
    }
}
