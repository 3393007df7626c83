//! The first epochs of every deficit, as recorded: whoever changes a kernel, a stream or a method sees the drift here. The
//! rows come from cells of profile smoke.

use critical_periods::CriticalPeriods;
use critical_periods::trial::{Epoch, FisherRow};
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
    for (layer, recorded) in [("output", 0.011811085), ("conv7", 0.0024865998)] {
        let row = rows.iter().find(|r| r.arm == "control-3" && r.epoch == 1 && r.layer == layer).expect("read");
        assert!((row.trace / recorded - 1.).abs() < 1e-2, "{layer}: {}, recorded {recorded}", row.trace);
    }
}
