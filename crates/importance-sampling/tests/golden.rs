//! The first updates of every method, as recorded: whoever changes a kernel, a stream or a method sees the drift here. The
//! rows come from cells of profile smoke.

use importance_sampling::ImportanceSampling;
use importance_sampling::config::{Config, ControlVariate, Method, Score};
use importance_sampling::training::Row;
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};

/// The first smoke cell of an experiment that is `wanted`.
fn cell(experiment: &str, wanted: impl Fn(&Config) -> bool) -> Config {
    let experiments = ImportanceSampling.grid(Profile::Smoke, Some(1));
    let own = experiments.into_iter().find(|e| e.name == experiment).expect("an experiment");
    own.cells.into_iter().find(wanted).expect("a smoke cell")
}

/// The same with a threshold that its few updates pass: uniform at first, by score then.
fn switching(experiment: &str, wanted: Score, tau_th: f64) -> Config {
    let mut config = cell(
        experiment,
        |c| matches!(c.method, Method::Importance { score, threshold, .. } if score == wanted && threshold > 0.),
    );
    if let Method::Importance { threshold, .. } = &mut config.method {
        *threshold = tau_th;
    }
    config
}

fn trained(config: &Config) -> Row {
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, ImportanceSampling.id());
    let cell = train_cell(&ImportanceSampling, config, &folder, &Options::default()).expect("the cell trains");
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    reader.deserialize().last().expect("a row").expect("a row")
}

/// The last row of a smoke cell.
fn last(experiment: &str, wanted: impl Fn(&Config) -> bool) -> Row {
    trained(&cell(experiment, wanted))
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
    let bound = trained(&switching("R1-updates", Score::UpperBound, 1.2));
    assert_rows(&[uniform, bound], &[(30, 0.256470, 1.546046), (30, 0.276526, 1.594301)]);
}

/// Uniform at equal cost; the bound always on; the constant score; the loss, switched; ranks; priorities.
#[test]
fn rivals() {
    let always = |wanted: Score| {
        move |c: &Config| match c.method {
            Method::Importance { score, threshold, .. } => score == wanted && threshold == 0.,
            _ => false,
        }
    };
    let found = [
        last("R3", |c| matches!(c.method, Method::UniformAtEqualCost { .. })),
        last("R3", always(Score::UpperBound)),
        last("R3", always(Score::Constant)),
        trained(&switching("R3", Score::Loss, 0.9)),
        last("R3-histories", |c| matches!(c.method, Method::LoshchilovHutter { .. })),
        last("R3-histories", |c| matches!(c.method, Method::Schaul { .. })),
    ];
    assert_rows(
        &found,
        &[
            (15, 0.600562, 0.857333),
            (16, 0.727895, 0.869832),
            (16, 0.599517, 0.814698),
            (24, 0.623538, 1.046891),
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

/// The same with scores on, by the bound and by the loss.
#[test]
fn fine_tuning_and_sequence_by_score() {
    let found = [
        trained(&switching("R6", Score::UpperBound, 0.5)),
        trained(&switching("R6", Score::Loss, 0.5)),
        trained(&switching("R7", Score::UpperBound, 0.5)),
        trained(&switching("R7", Score::Loss, 0.5)),
    ];
    assert!(found.iter().all(|row| row.active == Some(1.)));
    assert_rows(
        &found,
        &[(14, 1.641496, 0.774871), (14, 1.643985, 0.792203), (22, 2.299094, 0.901532), (22, 2.299128, 0.901665)],
    );
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
