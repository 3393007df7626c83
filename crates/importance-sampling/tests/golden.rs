//! The first updates of every method, as recorded: whoever changes a kernel, a stream or a method sees the drift here. The
//! rows come from cells of profile smoke.

use importance_sampling::ImportanceSampling;
use importance_sampling::config::{Config, ControlVariate, Method, Score};
use importance_sampling::training::Row;
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};

/// The last row of the first smoke cell of an experiment that is `wanted`.
fn last(experiment: &str, wanted: impl Fn(&Config) -> bool) -> Row {
    let experiments = ImportanceSampling.grid(Profile::Smoke, Some(1));
    let own = experiments.into_iter().find(|e| e.name == experiment).expect("an experiment");
    let config = own.cells.into_iter().find(wanted).expect("a smoke cell");
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, ImportanceSampling.id());
    let cell = train_cell(&ImportanceSampling, &config, &folder, &Options::default()).expect("the cell trains");
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    reader.deserialize().last().expect("a row").expect("a row")
}

/// Updates exactly; training loss and tau to a thousandth, since other processors round otherwise.
fn assert_rows(found: &[Row], expected: &[(u64, f64, f64)]) {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-3 * b.abs() + 1e-9;
    let holds =
        |(row, e): (&Row, &(u64, f64, f64))| row.updates == e.0 && close(row.train_loss, e.1) && close(row.tau, e.2);
    let listed: Vec<String> =
        found.iter().map(|row| format!("({}, {:.6}, {:.6})", row.updates, row.train_loss, row.tau)).collect();
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(holds), "found {}", listed.join(", "));
}

#[test]
fn documented_run() {
    let uniform = last("R1", |c| c.method == Method::Uniform);
    let bound = last("R1-updates", |c| matches!(c.method, Method::Importance { .. }));
    assert_rows(&[uniform, bound], &[(30, 0.256470, 1.546046), (30, 0.256470, 1.546046)]);
}

/// Uniform at equal cost; the bound always on; the constant score; the loss; ranks; priorities.
#[test]
fn rivals() {
    let importance = |wanted: Score, always: bool| {
        move |c: &Config| match c.method {
            Method::Importance { score, threshold, .. } => score == wanted && (threshold == 0.) == always,
            _ => false,
        }
    };
    let found = [
        last("R3", |c| matches!(c.method, Method::UniformAtEqualCost { .. })),
        last("R3", importance(Score::UpperBound, true)),
        last("R3", importance(Score::Constant, true)),
        last("R3", importance(Score::Loss, false)),
        last("R3-histories", |c| matches!(c.method, Method::LoshchilovHutter { .. })),
        last("R3-histories", |c| matches!(c.method, Method::Schaul { .. })),
    ];
    assert_rows(
        &found,
        &[
            (15, 0.600562, 0.857333),
            (16, 0.727895, 0.869832),
            (16, 0.599517, 0.814698),
            (40, 0.697423, 1.032417),
            (36, 0.689853, 0.),
            (40, 0.584918, 0.),
        ],
    );
}

/// Pre-training and a new head; an LSTM with Adam and clipped gradients.
#[test]
fn fine_tuning_and_sequence() {
    let found = ["R6", "R7"].map(|experiment| last(experiment, |c| c.method == Method::Uniform));
    assert_rows(&found, &[(20, 1.619081, 0.882153), (40, 2.297469, 0.985230)]);
}

/// SVRG, SCSG, Katyusha with the right and with the published sign.
#[test]
fn control_variates() {
    let variants = [
        ControlVariate::Svrg,
        ControlVariate::Scsg { first: 640, growth: 1.2 },
        ControlVariate::Katyusha { published_sign: false },
        ControlVariate::Katyusha { published_sign: true },
    ];
    let found = variants
        .map(|wanted| last("R8", |c| matches!(c.method, Method::ControlVariate { variant, .. } if variant == wanted)));
    assert_rows(&found, &[(17, 1.447412, 0.), (17, 1.518793, 0.), (17, 1.714772, 0.), (17, 1.764703, 0.)]);
}
