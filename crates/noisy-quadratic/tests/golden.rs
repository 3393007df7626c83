//! The first epochs of every method, as recorded: whoever changes a kernel, a stream or a method sees the drift here.
//! The rows come from cells of profile smoke.

use noisy_quadratic::NoisyQuadratic;
use noisy_quadratic::config::{Config, Method};
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};

/// `epochs.csv` of the first smoke cell that is `wanted`.
fn rows(wanted: impl Fn(&Config) -> bool) -> Vec<csv::StringRecord> {
    let experiments = NoisyQuadratic.grid(Profile::Smoke, Some(1));
    let config = experiments.into_iter().flat_map(|e| e.cells).find(wanted).expect("a smoke cell");
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, NoisyQuadratic.id());
    let cell = train_cell(&NoisyQuadratic, &config, &folder, &Options::default()).expect("the cell trains");
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    reader.records().map(|record| record.expect("a row")).collect()
}

/// Losses agree to a thousandth (other processors round otherwise), accuracies to two samples of 200.
fn assert_rows(rows: &[csv::StringRecord], columns: [usize; 2], expected: &[(usize, f64, f64)]) {
    for &(row, loss, accuracy) in expected {
        let read = |column: usize| -> f64 { rows[row][column].parse().expect("a number") };
        let found = (read(columns[0]), read(columns[1]));
        assert!((found.0 / loss - 1.).abs() < 1e-3, "row {row}: loss {found:?}, recorded {loss}");
        assert!((found.1 - accuracy).abs() <= 0.0101, "row {row}: accuracy {found:?}, recorded {accuracy}");
    }
}

#[test]
fn memorisation() {
    let rows = rows(|c| matches!(c, Config::Memorise(c) if c.level == 0.4));
    assert_rows(&rows, [1, 2], &[(0, 2.36834, 0.16), (1, 2.22725, 0.295), (2, 2.14795, 0.325), (3, 2.06663, 0.365)]);
}

/// The two networks of the first iteration; which samples a later one sees may hang on a rounding.
#[test]
fn incv() {
    let rows = rows(|c| matches!(c, Config::Incv(c) if c.then.is_some()));
    let expected = [(0, 2.35556, 0.0733), (1, 2.28118, 0.08), (2, 2.36263, 0.12), (3, 2.28338, 0.1133)];
    assert_rows(&rows, [4, 5], &expected);
}

#[test]
fn baselines() {
    let expected = [
        (Method::CrossEntropy, [(0, 2.32365, 0.195), (1, 2.20617, 0.28), (2, 2.14048, 0.285)]),
        (Method::CoTeaching, [(0, 2.32254, 0.1975), (1, 2.17260, 0.3125), (2, 2.05522, 0.35)]),
        (Method::Oracle, [(0, 2.33258, 0.19), (1, 2.11779, 0.28), (2, 1.97476, 0.275)]),
    ];
    for (method, expected) in expected {
        let rows = rows(|c| matches!(c, Config::Baseline(c) if c.method == method));
        assert_rows(&rows, [4, 7], &expected);
    }
    // One round of selection is INCV's first iteration.
    let once = rows(|c| matches!(c, Config::Baseline(c) if c.method == Method::NcvOnce));
    assert_rows(&once, [4, 5], &[(0, 2.35556, 0.0733), (1, 2.28118, 0.08), (2, 2.36263, 0.12), (3, 2.28338, 0.1133)]);
}
