//! A branch is the run without sharing, bit for bit: its epochs, its Fisher readings and its end.

use critical_periods::CriticalPeriods;
use critical_periods::config::{Arm, Config, Measure};
use critical_periods::deficit::Deficit;
use critical_periods::trial::{Epoch, FisherRow, Outcome, Summary};
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};

fn base() -> Config {
    let grid = CriticalPeriods.grid(Profile::Smoke, Some(1));
    grid.into_iter().find(|e| e.name == "blur").expect("there").cells.remove(0)
}

/// A trained cell: rows of `epochs.csv` and of `fisher.csv`, and how each course ended.
struct Trained {
    epochs: Vec<Epoch>,
    fisher: Vec<FisherRow>,
    outcomes: Vec<Outcome>,
}

fn train(config: &Config) -> Trained {
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, CriticalPeriods.id());
    let cell = train_cell(&CriticalPeriods, config, &folder, &Options::default()).expect("the cell trains");
    assert!(cell.report.is_complete(), "{:?}", cell.report);
    let rows = |name: &str| csv::Reader::from_path(cell.folder.join(name));
    let record = std::fs::read_to_string(cell.folder.join("summary.json")).expect("a summary");
    let record: serde_json::Value = serde_json::from_str(&record).expect("json");
    let summary: Summary = serde_json::from_value(record["summary"].clone()).expect("a summary");
    Trained {
        epochs: rows("epochs.csv").expect("rows").deserialize().map(|row| row.expect("a row")).collect(),
        fisher: rows("fisher.csv").map_or(vec![], |mut r| r.deserialize().map(|row| row.expect("a row")).collect()),
        outcomes: summary.outcomes,
    }
}

/// Loss and rate as bits.
fn bits(row: &Epoch) -> (usize, bool, u64, u64) {
    (row.epoch, row.deficit, row.loss.to_bits(), row.rate.to_bits())
}

/// Trace, error, norm and entropy of a layer as bits.
fn fisher_bits(row: &FisherRow) -> (&str, [u64; 4]) {
    let error = row.standard_error.unwrap_or(-1.);
    (&row.layer, [row.trace, error, row.square_norm, row.entropy].map(f64::to_bits))
}

#[test]
fn a_branch_equals_the_course_trained_by_itself() {
    for (deficit, last) in [(Deficit::Blur, 2), (Deficit::Noise, 1), (Deficit::ShuffledLabels, 1)] {
        let mut arms = vec![
            Arm::Removal { removal: 0, clean: 3 },
            Arm::Removal { removal: 1, clean: 3 },
            Arm::Removal { removal: 2, clean: 3 },
            // The same epochs under another name.
            Arm::Window { onset: 0, length: 2, end: 5 },
            Arm::Restart { removal: 2, clean: 3 },
            Arm::Window { onset: 1, length: 1, end: 4 },
            Arm::LateStart { start: 2, clean: 3 },
        ];
        if last == 1 {
            arms.push(Arm::Removal { removal: 2, clean: 4 });
        }
        let base = base();
        let measure = Measure { last, ..base.measure };
        let probe = base.probe.filter(|_| deficit == Deficit::Blur);
        let shared = Config { deficit, probe, measure, arms: arms.clone(), ..base };
        let together = train(&shared);
        assert_eq!(together.outcomes.len(), arms.len());
        for arm in arms {
            let alone = train(&Config { arms: vec![arm], ..shared.clone() });
            assert_eq!(alone.epochs.len(), arm.steps().len());
            // Epochs that only this course has are its own in both.
            let name = arm.to_string();
            let own: Vec<&Epoch> = together.epochs.iter().filter(|row| row.arm == name).collect();
            assert!(
                !own.is_empty() || matches!(arm, Arm::Window { onset: 0, .. } | Arm::Removal { removal: 2, .. }),
                "{arm}"
            );
            for row in own {
                let same = &alone.epochs[row.epoch - 1];
                assert_eq!(bits(row), bits(same), "{deficit:?} {arm}");
                if let (Some(a), Some(b)) = (row.test_accuracy, same.test_accuracy) {
                    assert_eq!(a.to_bits(), b.to_bits(), "{deficit:?} {arm}");
                }
            }
            let own: Vec<&FisherRow> = together.fisher.iter().filter(|row| row.arm == name).collect();
            for row in &own {
                let same = alone.fisher.iter().find(|r| r.epoch == row.epoch && r.layer == row.layer);
                assert_eq!(Some(fisher_bits(row)), same.map(fisher_bits), "{arm} epoch {}", row.epoch);
            }
            assert!(probe.is_none() || !alone.fisher.is_empty(), "{arm}");
            let end = |trained: &Trained| trained.outcomes.iter().find(|o| o.arm == arm).map(|o| o.accuracy.to_bits());
            assert_eq!(end(&together), end(&alone), "{deficit:?} {arm}");
        }
        assert_eq!(probe.is_none(), together.fisher.is_empty());
    }
}

/// With two last epochs, courses of 5 and 6 epochs share one of the shorter's that the longer would count.
#[test]
fn courses_that_part_within_their_last_epochs_are_refused() {
    let base = base();
    let measure = Measure { last: 2, ..base.measure };
    let arms = [3, 4].map(|clean| Arm::Removal { removal: 2, clean }).to_vec();
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, CriticalPeriods.id());
    let config = Config { measure, arms, ..base };
    let cell = train_cell(&CriticalPeriods, &config, &folder, &Options::default());
    assert!(!cell.is_ok_and(|cell| cell.report.is_complete()));
}
