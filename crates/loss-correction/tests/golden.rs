//! The first epochs of every method, as recorded: whoever changes a kernel, a stream or a method sees the drift here.
//! The rows come from cells of profile smoke: epoch 1, the first corrected one (6) and the last (9).

use loss_correction::LossCorrection;
use loss_correction::config::{Config, Variants};
use loss_correction::mixture::{Family, Mixture, Posterior, Rule};
use loss_correction::train::Epoch;
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};

fn cell(method: &str, level: f64) -> Config {
    let experiments = LossCorrection.grid(Profile::Smoke, Some(1));
    let mut cells = experiments.into_iter().flat_map(|e| e.cells);
    cells.find(|c| c.method.name() == method && c.level == level).expect("a smoke cell")
}

fn rows(method: &str, level: f64) -> Vec<Epoch> {
    rows_of(&cell(method, level))
}

fn rows_of(config: &Config) -> Vec<Epoch> {
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, LossCorrection.id());
    let cell = train_cell(&LossCorrection, config, &folder, &Options::default()).expect("the cell trains");
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

/// Losses agree to half a hundredth (other processors round otherwise, and predictions are targets here), accuracies to
/// four samples of 200.
#[test]
fn early_epochs_are_those_recorded() {
    let expected = [
        ("CE", 0.5, [(2.31651, 0.135), (2.13501, 0.195), (2.05713, 0.22)]),
        ("ST-H", 0.5, [(2.31651, 0.135), (2.05919, 0.195), (1.97609, 0.18)]),
        ("DY-S", 0.5, [(2.31651, 0.135), (2.07681, 0.2), (2.01218, 0.2)]),
        ("DY-H", 0.5, [(2.31651, 0.135), (1.80933, 0.155), (0.97738, 0.08)]),
        ("M", 0.5, [(2.31502, 0.14), (2.23603, 0.17), (2.20708, 0.18)]),
        ("M-DYR-S", 0.5, [(2.31502, 0.14), (2.21529, 0.165), (2.20218, 0.17)]),
        ("M-DYR-H", 0.5, [(2.31502, 0.14), (2.0009, 0.125), (1.5065, 0.08)]),
        ("MD-DYR-SH", 0.5, [(2.31502, 0.14), (2.22217, 0.17), (1.96659, 0.175)]),
        ("MD-DYR-H", 0.9, [(2.31925, 0.08), (2.2736, 0.08), (2.13152, 0.08)]),
    ];
    for (method, level, recorded) in expected {
        let rows = rows(method, level);
        for (epoch, (loss, accuracy)) in [1, 6, 9].into_iter().zip(recorded) {
            let row = &rows[epoch - 1];
            let found = (row.loss, row.test_accuracy);
            assert!((row.loss / loss - 1.).abs() < 5e-3, "{method}, epoch {epoch}: {found:?}, recorded {loss}");
            assert!((row.test_accuracy - accuracy).abs() <= 0.0201, "{method}, epoch {epoch}: {found:?}, {accuracy}");
        }
    }
}

/// Before labels are corrected, methods that mix alike are one.
#[test]
fn methods_part_when_correction_begins() {
    let [mixup, method] = ["M", "M-DYR-H"].map(|name| rows(name, 0.5));
    for epoch in 0..5 {
        assert_eq!(mixup[epoch].loss.to_bits(), method[epoch].loss.to_bits(), "epoch {}", epoch + 1);
    }
    assert_ne!(mixup[5].loss.to_bits(), method[5].loss.to_bits());
}

/// Every switch moves training from its own epoch on and leaves alone what it does not name.
#[test]
fn variants_move_what_they_name() {
    let off = Variants::default();
    let parts = |variants: Variants, method: &str, level: f64| -> Option<usize> {
        let config = cell(method, level);
        let (plain, changed) = (rows_of(&config), rows_of(&Config { variants, ..config }));
        (0..plain.len()).find(|&i| plain[i].loss.to_bits() != changed[i].loss.to_bits()).map(|i| i + 1)
    };
    // Labels are corrected from epoch 6 on and, with dynamic mixing, from 8.
    let halves = Variants { soft_halves: true, ..off };
    assert_eq!((parts(halves, "M-DYR-S", 0.5), parts(halves, "M-DYR-H", 0.5)), (Some(6), None));
    let draws = Variants { dynamic_draws: true, ..off };
    assert_eq!((parts(draws, "MD-DYR-SH", 0.5), parts(draws, "M-DYR-H", 0.5)), (Some(8), None));
    assert_eq!(parts(Variants { uniform_norm_scales: true, ..off }, "CE", 0.5), Some(1));
}

/// The published algorithm written again from its description, in plain Python on double precision:
///
/// ```text
/// losses = [.05 + 1.2*((i+.5)/700)**2 for i in range(700)] + [1.5 + 2.5*((j+.5)/500)**.5 for j in range(500)]
/// a, b = percentile(losses, 5), percentile(losses, 95)          # linear interpolation
/// lo = a + 1e-5; x = [(l-lo)/(b-lo+1e-6) for l in losses if a <= l <= b]; >= 1 -> .999, <= 0 -> .001
/// clip to [1e-4, 1-1e-4]; alpha, beta, lam = [1,2], [2,1], [.5,.5]
/// ten times: q_k = max(lam_k * betapdf(x, alpha_k, beta_k), 1e-12); r = q / sum q; weighted mean m and variance v;
///            alpha = m*(m*(1-m)/v - 1); beta = alpha*(1-m)/m; lam = mean r
/// table: t = linspace(1e-12, 1-1e-12, 100); q_1/(q_0+q_1+1e-12); constant from its first maximum on
/// ```
#[test]
fn the_code_rule_is_the_published_algorithm() {
    let low = (0..700).map(|i| 0.05 + 1.2 * ((f64::from(i) + 0.5) / 700.).powi(2));
    let high = (0..500).map(|j| 1.5 + 2.5 * ((f64::from(j) + 0.5) / 500.).sqrt());
    let losses: Vec<f64> = low.chain(high).collect();
    let fit = Posterior::fit(&losses, Family::Beta, Rule::Code, 10).expect("a fit");
    let Mixture::Beta(m) = fit.mixture else { panic!("a beta mixture") };
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-8, "{found}, expected {expected}");
    close(fit.scale.lo, 0.058959184);
    close(fit.scale.hi, 3.844008247);
    for (found, expected) in [
        (m.alpha, [0.380517649, 1.181122118]),
        (m.beta, [1.790608148, 0.504507213]),
        (m.weight, [0.590470983, 0.409529017]),
    ] {
        close(found[0], expected[0]);
        close(found[1], expected[1]);
    }
    let table = fit.table.expect("a table");
    assert_eq!(table.flat_from, 99);
    for (j, entry) in [(20, 0.223402398), (35, 0.371191359), (40, 0.421752159), (50, 0.525456967), (60, 0.632148988)] {
        close(table.entries[j], entry);
    }
}
