//! The first epochs of every method, as recorded: whoever changes a kernel, a stream or a method sees the drift here.
//! The rows come from cells of profile smoke.

use importance_weighting::ImportanceWeighting;
use importance_weighting::config::{Config, Images, Plane, PlaneModel};
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};
use retrial_core::model::Architecture;

/// Losses of `epochs.csv` of the first smoke cell that is `wanted`.
fn losses(wanted: impl Fn(&Config) -> bool) -> Vec<f64> {
    let experiments = ImportanceWeighting.grid(Profile::Smoke, Some(1));
    let config = experiments.into_iter().flat_map(|e| e.cells).find(wanted).expect("a smoke cell");
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, ImportanceWeighting.id());
    let cell = train_cell(&ImportanceWeighting, &config, &folder, &Options::default()).expect("the cell trains");
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    reader.records().map(|record| record.expect("a row")[1].parse().expect("a number")).collect()
}

/// Losses agree to a thousandth: other processors round otherwise.
fn assert_losses(wanted: impl Fn(&Config) -> bool, expected: &[f64]) {
    let losses = losses(wanted);
    assert!(losses.len() >= expected.len() && !expected.is_empty(), "{losses:?}, recorded {expected:?}");
    for (found, expected) in losses.iter().zip(expected) {
        assert!((found / expected - 1.).abs() < 1e-3, "{losses:?}, recorded {expected}");
    }
}

fn images(wanted: impl Fn(&Images) -> bool) -> impl Fn(&Config) -> bool {
    move |config| matches!(config, Config::Images(c) if c.ratio == 8. && wanted(c))
}

fn plane(wanted: impl Fn(&Plane) -> bool) -> impl Fn(&Config) -> bool {
    move |config| matches!(config, Config::Plane(c) if c.ratio == 16. && c.lambda == 0. && wanted(c))
}

#[test]
fn networks() {
    let cnn = |norm: bool, dropped: bool| {
        move |c: &Images| {
            let kind = |a: &Architecture| matches!(a, Architecture::TwoStageCnn { norm: n, dropout, .. } if *n == norm && (*dropout > 0.) == dropped);
            kind(&c.architecture)
        }
    };
    assert_losses(images(|c| cnn(false, false)(c) && c.lambda == 0.), &[0.71925, 0.64356, 0.58555, 0.54087]);
    assert_losses(images(|c| cnn(false, false)(c) && c.lambda > 0.), &[0.71925, 0.64366, 0.58591, 0.54155]);
    assert_losses(images(cnn(false, true)), &[0.74354, 0.70277, 0.64442, 0.63618]);
    assert_losses(images(cnn(true, false)), &[0.73197, 0.58860, 0.45202, 0.36074]);
}

#[test]
fn the_plane() {
    assert_losses(plane(|c| c.model == PlaneModel::Linear), &[0.056732, 0.034335, 0.025689, 0.018092]);
    assert_losses(plane(|c| c.model != PlaneModel::Linear), &[0.024708, 0.013877, 0.009824, 0.006395]);
}
