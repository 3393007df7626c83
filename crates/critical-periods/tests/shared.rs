//! A branch is the run without sharing, bit for bit; and the first epochs as recorded.

use critical_periods::CriticalPeriods;
use critical_periods::config::{Arm, Config};
use critical_periods::deficit::Deficit;
use critical_periods::trial::Epoch;
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};

fn base() -> Config {
    let grid = CriticalPeriods.grid(Profile::Smoke, Some(1));
    grid.into_iter().find(|e| e.name == "blur").expect("there").cells.remove(0)
}

/// Rows of `epochs.csv` and of `fisher.csv`.
fn train(config: &Config) -> (Vec<Epoch>, String) {
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, CriticalPeriods.id());
    let cell = train_cell(&CriticalPeriods, config, &folder, &Options::default()).expect("the cell trains");
    assert!(cell.report.is_complete(), "{:?}", cell.report);
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    let rows = reader.deserialize().map(|row| row.expect("a row")).collect();
    (rows, std::fs::read_to_string(cell.folder.join("fisher.csv")).unwrap_or_default())
}

/// Loss and accuracy as bits.
fn bits(row: &Epoch) -> (usize, bool, u64, u64) {
    (row.epoch, row.deficit, row.loss.to_bits(), row.rate.to_bits())
}

#[test]
fn a_branch_equals_the_course_trained_by_itself() {
    for deficit in [Deficit::Blur, Deficit::Noise, Deficit::ShuffledLabels] {
        let arms = vec![
            Arm::Removal { removal: 0, clean: 3 },
            Arm::Removal { removal: 1, clean: 3 },
            Arm::Removal { removal: 2, clean: 3 },
            Arm::Restart { removal: 2, clean: 3 },
            Arm::Removal { removal: 2, clean: 4 },
            Arm::Window { onset: 1, length: 1, end: 4 },
            Arm::LateStart { start: 2, clean: 3 },
        ];
        let shared = Config { deficit, probe: None, arms: arms.clone(), ..base() };
        let (together, _) = train(&shared);
        for arm in arms {
            let (alone, _) = train(&Config { arms: vec![arm], ..shared.clone() });
            assert_eq!(alone.len(), arm.steps().len());
            // Epochs that only this course has are its own in both.
            let own: Vec<&Epoch> = together.iter().filter(|row| row.arm == arm.to_string()).collect();
            assert!(!own.is_empty(), "{arm}");
            for row in own {
                let same = &alone[row.epoch - 1];
                assert_eq!(bits(row), bits(same), "{deficit:?} {arm}");
                if let (Some(a), Some(b)) = (row.test_accuracy, same.test_accuracy) {
                    assert_eq!(a.to_bits(), b.to_bits(), "{deficit:?} {arm}");
                }
            }
        }
    }
}
