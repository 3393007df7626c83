//! The first epochs of every deficit, as recorded: whoever changes a kernel, a stream or a method sees the drift here. The
//! rows come from cells of profile smoke.

use candle_core::Device;
use critical_periods::CriticalPeriods;
use critical_periods::config::TaskConfig;
use critical_periods::deficit::{Deficit, Lens};
use critical_periods::task::Task;
use critical_periods::trial::{Epoch, FisherRow};
use retrial_core::Seed;
use retrial_core::data::{Dataset, DatasetId};
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};

/// `epochs.csv` and, where there is one, `fisher.csv` of the first smoke cell of an experiment.
fn rows(experiment: &str) -> (Vec<Epoch>, Vec<FisherRow>) {
    let grid = CriticalPeriods.grid(Profile::Smoke, Some(1));
    let config = grid.into_iter().find(|e| e.name == experiment).expect("there").cells.remove(0);
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, CriticalPeriods.id());
    let cell = train_cell(&CriticalPeriods, &config, &folder, &Options::default()).expect("the cell trains");
    let open = |name: &str| csv::Reader::from_path(cell.folder.join(name));
    let epochs = open("epochs.csv").expect("rows").deserialize().map(|row| row.expect("a row")).collect();
    let fisher = open("fisher.csv").map(|mut r| r.deserialize().map(|row| row.expect("a row")).collect());
    (epochs, fisher.unwrap_or_default())
}

/// Losses agree to a thousandth: other processors round otherwise.
#[test]
fn losses() {
    let expected: [(&str, &str, [f64; 3]); 6] = [
        ("blur", "control-3", [2.332294, 2.295787, 2.303650]),
        ("blur", "removal-1-3", [2.338375, 2.304785, 2.304346]),
        ("noise", "removal-2-3", [2.339431, 2.338401, 2.333003]),
        ("permuted-labels", "removal-2-3", [2.343983, 2.313769, 2.303051]),
        ("flip", "removal-2-3", [2.335471, 2.290216, 2.289236]),
        ("digits", "removal-2-2", [2.391984, 2.328650, 2.347592]),
    ];
    for (experiment, arm, losses) in expected {
        let (rows, _) = rows(experiment);
        let found: Vec<f64> = rows.iter().filter(|row| row.arm == arm).map(|row| row.loss).collect();
        for (found, recorded) in found.iter().zip(losses) {
            assert!((found / recorded - 1.).abs() < 1e-3, "{experiment} {arm}: loss {found}, recorded {recorded}");
        }
        assert!(found.len() >= losses.len(), "{experiment} {arm}");
    }
}

/// Output and seventh layer of the control after one epoch, to a hundredth.
#[test]
fn fisher_trace() {
    let (_, rows) = rows("blur");
    for (layer, recorded) in [("output", 1.157740), ("conv7", 8.851678)] {
        let row = rows.iter().find(|r| r.arm == "control-3" && r.epoch == 1 && r.layer == layer).expect("read");
        assert!((row.trace / recorded - 1.).abs() < 1e-2, "{layer}: {}, recorded {recorded}", row.trace);
    }
}

/// One photo, and one image by formula: a bright square on a ramp, so that every deficit shows.
fn pictures() -> [Vec<f32>; 2] {
    let data = Dataset::load(DatasetId::Cifar10Subset, None).expect("embedded");
    let config = TaskConfig { dataset: DatasetId::Cifar10Subset, train: 10, test: 10, side: 32 };
    let task = Task::of(&data, &config, Seed(1)).expect("ten photos");
    let x = task.batch(&task.train, &[1], &Device::Cpu).expect("a batch");
    let square = |x: usize, y: usize| (5..14).contains(&x) && (3..8).contains(&y);
    let pixel = |x: usize, y: usize, c: usize| if square(x, y) { 1.8 } else { (x + (c + 1) * y) as f32 / 40. - 1.5 };
    let drawn = (0..3072).map(|i| pixel(i / 3 % 32, i / 96, i % 3)).collect();
    [x.flatten_all().and_then(|x| x.to_vec1()).expect("numbers"), drawn]
}

/// Both pictures, each clean and under every deficit of images, side by side as bytes: a binary PPM that viewers open.
fn sheet() -> Vec<u8> {
    let deficits = [
        None,
        Some(Deficit::Blur),
        Some(Deficit::BlurAliased),
        Some(Deficit::Flip),
        Some(Deficit::Noise),
        Some(Deficit::FixedNoise),
    ];
    let shown = |picture: &Vec<f32>| {
        deficits.map(|deficit| {
            let mut pixels = picture.clone();
            if let Some(deficit) = deficit {
                Lens::new(deficit, 32, 3, Seed(1)).spoil(&mut pixels, &[1], 0, 0);
            }
            pixels
        })
    };
    // -3 to 3 in normalised units are 0 to 255.
    let byte = |x: f32| ((x + 3.) / 6. * 255.).round().clamp(0., 255.) as u8;
    let mut ppm = format!("P6\n{} 64\n255\n", 32 * deficits.len()).into_bytes();
    for row in pictures().iter().map(shown) {
        for y in 0..32 {
            ppm.extend(row.iter().flat_map(|pixels| &pixels[y * 96..][..96]).map(|&x| byte(x)));
        }
    }
    ppm
}

/// Whole images under each deficit against those that were looked at: golden/deficits.ppm, columns clean, blur,
/// blur-aliased, flip, noise, fixed noise. To the byte but for one grey level of rounding.
#[test]
fn images() {
    let (found, recorded) = (sheet(), include_bytes!("golden/deficits.ppm"));
    assert_eq!(found.len(), recorded.len());
    for (i, (found, recorded)) in found.iter().zip(recorded).enumerate() {
        assert!(found.abs_diff(*recorded) <= 1, "byte {i}: {found}, recorded {recorded}");
    }
}

/// Writes the sheet anew, after a change that is meant.
#[test]
#[ignore = "writes a file"]
fn record_images() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/deficits.ppm");
    std::fs::write(path, sheet()).expect("the sheet is written");
}

/// The permutation and the deal of seed 1.
#[test]
fn labels() {
    let classes: Vec<u32> = (0..10).collect();
    let permuted = Lens::new(Deficit::PermutedLabels, 32, 3, Seed(1)).labels(&classes, 10);
    assert_eq!(permuted, PERMUTED);
    let dealt = Lens::new(Deficit::ShuffledLabels, 32, 3, Seed(1)).labels(&classes, 10);
    assert_eq!(dealt, DEALT);
}

const PERMUTED: [u32; 10] = [6, 5, 2, 8, 9, 0, 4, 1, 7, 3];
const DEALT: [u32; 10] = [4, 6, 1, 3, 9, 0, 8, 5, 2, 7];
