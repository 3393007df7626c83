//! The first epochs of every method, as recorded, and two identities between methods: whoever changes a kernel, a stream
//! or a method sees the drift here. The rows come from cells of profile smoke.

use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};
use retrial_core::noise::NoiseKind;
use selfie::Song2019;
use selfie::config::{Config, Method, Padding, Reuse, Selfie};
use selfie::train::Epoch;

/// A cell of the digits under heavy pair noise.
fn cell(method: Method) -> Config {
    let experiments = Song2019.grid(Profile::Smoke, Some(1));
    let pair = experiments.into_iter().find(|e| e.name == "digits-pair").expect("an experiment");
    Config { method, ..pair.cells[0].clone() }
}

fn rows(config: &Config) -> Vec<Epoch> {
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, Song2019.id());
    let cell = train_cell(&Song2019, config, &folder, &Options::default()).expect("the cell trains");
    assert!(cell.report.is_complete(), "{:?}", cell.report);
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

/// Losses agree to a thousandth (other processors round otherwise), shares to a few samples.
#[test]
fn first_epochs_of_every_method() {
    let recorded: [(Method, [f64; 3], f64); 6] = [
        (Method::Default { runs: 1 }, [2.33946, 1.83328, 1.70031], 1.0000),
        (Method::ActiveBias { smoothing: 0.2 }, [2.33946, 1.83328, 1.63675], 1.0000),
        (Method::CoTeaching { ramp: 1 }, [2.26177, 1.26412, 1.12112], 0.6094),
        (Method::SelectOnly, [2.33946, 1.83328, 1.32431], 0.6094),
        (Method::RelabelAll { history: 2 }, [2.33946, 1.83328, 1.43698], 1.0000),
        (Method::Selfie(Selfie::paper(2, 0)), [2.33946, 1.83328, 1.33652], 0.8906),
    ];
    for (method, losses, used) in recorded {
        let rows = rows(&cell(method.clone()));
        let found: Vec<f64> = [0, 3, 5].iter().map(|&i| rows[i].loss).collect();
        for (found, expected) in found.iter().zip(losses) {
            assert!((found / expected - 1.).abs() < 1e-3, "{method:?}: losses {found:?}, recorded {expected}");
        }
        assert!((rows[5].used - used).abs() < 0.02, "{method:?}: {} of the batch used", rows[5].used);
    }
}

/// Without noise and without refurbishing the small-loss set is the whole batch: SelectOnly and a SELFIE with a negative
/// threshold are Default, step for step.
#[test]
fn nothing_to_select_is_default_step_for_step() {
    let clean = |method: Method| Config { level: 0., noise: NoiseKind::Pair, ..cell(method) };
    let losses = |method: Method| -> Vec<(f64, f64)> {
        rows(&clean(method)).iter().map(|row| (row.loss, row.test_error)).collect()
    };
    let default = losses(Method::Default { runs: 1 });
    assert_eq!(losses(Method::SelectOnly), default);
    assert_eq!(losses(Method::Selfie(Selfie { epsilon: -1., ..Selfie::paper(2, 0) })), default);
}

/// Up to the end of the warm-up every single-network method is Default; a restart starts anew and keeps its labels.
#[test]
fn methods_share_the_warm_up_and_restarts_keep_labels() {
    let default = rows(&cell(Method::Default { runs: 3 }));
    let selfie =
        rows(&cell(Method::Selfie(Selfie { padding: Padding::None, reuse: Reuse::Always, ..Selfie::paper(2, 2) })));
    let all = rows(&cell(Method::RelabelAll { history: 2 }));
    let epochs = default.len() / 3;
    for run in 0..3 {
        for epoch in 0..4 {
            let i = run * epochs + epoch;
            assert_eq!(default[i].loss, selfie[i].loss, "run {run}, epoch {epoch}");
        }
    }
    assert!((0..4).all(|i| default[i].loss == all[i].loss));
    assert_ne!(default[5].loss, selfie[5].loss);
    assert_eq!(default[3].run, 1);
    // Never forgotten: the share of refurbished samples does not fall over all three runs.
    let shares: Vec<f64> = selfie.iter().map(|row| row.refurbished.expect("a share")).collect();
    assert!(shares.windows(2).all(|w| w[0] <= w[1]) && shares[epochs - 1] > 0., "{shares:?}");
}

/// One batch of all samples an epoch, no warm-up, q = 1: after the first epoch each sample has one prediction.
fn whole(method: Method) -> Vec<Epoch> {
    let cell = cell(method);
    rows(&Config { batch: cell.task.train, warm_up: 0, epochs: 2, ..cell })
}

/// R is what the history said before this visit: nothing in the first epoch, where C alone is trained on, and every sample
/// in the second.
#[test]
fn a_visit_counts_only_for_the_next_one() {
    let rows = whole(Method::Selfie(Selfie::paper(1, 0)));
    assert_eq!((rows[0].in_r, rows[0].refurbished, rows[0].used), (Some(0.), Some(0.), 0.6));
    assert_eq!((rows[1].in_r, rows[1].refurbished, rows[1].used), (Some(1.), Some(1.), 1.));
    assert_eq!(rows[1].used_right, rows[1].refurbished_right, "trained with the refurbished labels");
}

/// Without a vote a sample has its given label; then that of its history, right as often as the votes were.
#[test]
fn relabel_all_trains_with_the_votes_before_this_visit() {
    let rows = whole(Method::RelabelAll { history: 1 });
    let default = whole(Method::Default { runs: 1 });
    assert_eq!((rows[0].used_right, rows[0].used), (default[0].used_right, 1.));
    assert_eq!(rows[1].used_right, rows[0].refurbished_right);
    assert_ne!(rows[1].used_right, default[1].used_right);
}
