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

/// Six pixels (green) of the second embedded photo under each deficit, in units of the normalised image, and its mean. The
/// images themselves are in the figure `deficits`.
#[test]
fn images() {
    let expected: [(Deficit, [f32; 6], f32); 5] = [
        (Deficit::Blur, [1.754486, 1.6081, 1.245151, 0.230339, 0.208840, -0.844145], 0.888829),
        (Deficit::BlurAliased, [1.748902, 1.635852, 1.334072, 0.388973, 0.318639, -0.909309], 0.923220),
        (Deficit::Flip, [-0.724097, 1.675549, -0.482522, 0.612618, 1.611129, 1.739969], 0.886547),
        (Deficit::Noise, [1.93019, -1.127907, -0.282046, -1.962907, 0.192872, 0.246292], 0.002221),
        (Deficit::FixedNoise, [1.816426, 1.393193, 1.019046, 0.270575, -0.163574, -0.896338], 0.019990),
    ];
    let data = Dataset::load(DatasetId::Cifar10Subset, None).expect("embedded");
    let config = TaskConfig { dataset: DatasetId::Cifar10Subset, train: 10, test: 10, side: 32 };
    let task = Task::of(&data, &config, Seed(1)).expect("ten photos");
    let x = task.batch(&task.train, &[1], &Device::Cpu).expect("a batch");
    let clean: Vec<f32> = x.flatten_all().and_then(|x| x.to_vec1()).expect("numbers");
    for (deficit, pixels, mean) in expected {
        let mut found = clean.clone();
        Lens::new(deficit, 32, 3, Seed(1)).spoil(&mut found, &[1], 0, 0);
        let at = |(y, x): (usize, usize)| found[(y * 32 + x) * 3 + 1];
        let seen = [(2, 3), (5, 28), (12, 16), (17, 9), (24, 20), (30, 1)].map(at);
        let total = found.iter().sum::<f32>() / found.len() as f32;
        for (seen, recorded) in seen.into_iter().zip(pixels).chain([(total, mean)]) {
            assert!((seen - recorded).abs() < 1e-3, "{deficit:?}: {seen}, recorded {recorded}");
        }
    }
}
