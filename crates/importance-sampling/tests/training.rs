//! What a run must be like whatever it learns: the same samples for methods of one seed, and an account that adds up.

use importance_sampling::ImportanceSampling;
use importance_sampling::config::{Budget, Config, Method, Score};
use importance_sampling::training::{Row, Summary};
use retrial_core::experiment::{Folder, Options, Paper, Profile, train_cell};
use retrial_core::results::Results;

/// A smoke cell of CIFAR-10 with two classes, with another method.
fn config(method: Method) -> Config {
    let grid = ImportanceSampling.grid(Profile::Smoke, Some(1));
    let cells = grid.into_iter().find(|e| e.name == "R3").expect("R3").cells;
    Config { method, ..cells.into_iter().next().expect("a cell") }
}

fn bound(threshold: f64) -> Method {
    Method::Importance { score: Score::UpperBound, presample: 80, threshold }
}

fn trained(config: &Config) -> (Vec<Row>, Summary) {
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, ImportanceSampling.id());
    let cell = train_cell(&ImportanceSampling, config, &folder, &Options::default()).expect("the cell trains");
    let mut reader = csv::Reader::from_path(cell.folder.join("epochs.csv")).expect("rows");
    let rows = reader.deserialize().collect::<Result<_, _>>().expect("rows");
    let text = std::fs::read_to_string(cell.folder.join("summary.json")).expect("a summary");
    let whole: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    (rows, serde_json::from_value(whole["summary"].clone()).expect("a summary"))
}

/// Below its threshold the method is uniform sampling, sample by sample: the same losses to the last bit.
#[test]
fn below_the_threshold_it_is_uniform_sampling() {
    let (uniform, _) = trained(&config(Method::Uniform));
    let (idle, summary) = trained(&config(bound(1e9)));
    let losses = |rows: &[Row]| rows.iter().map(|row| (row.train_loss, row.step_loss, row.tau)).collect::<Vec<_>>();
    assert_eq!(losses(&uniform), losses(&idle));
    assert_eq!((summary.switched_on, summary.account.scored, summary.seconds_scored), (None, 0, None));
}

/// On from the second update, since the average starts at zero: 80 scored and 16 trained on in each from there.
#[test]
fn every_forward_pass_is_charged() {
    let (rows, summary) = trained(&config(bound(0.)));
    let account = summary.account;
    assert_eq!((summary.switched_on, account.trained), (Some(1), 16 * account.updates));
    assert_eq!(account.scored, 80 * (account.updates - 1));
    let last = rows.last().expect("a row");
    assert_eq!(last.forwards, account.forwards());
    assert_eq!(account.forwards(), (account.scored + 3 * account.trained) as f64);
    // The last update is the one that reaches the budget.
    let Budget::Forwards(budget) = config(bound(0.)).budget else { panic!("a budget of forward equivalents") };
    assert!(account.forwards() >= budget && account.forwards() - 128. < budget);
    // Seconds of training at every row, and of both kinds of work.
    assert_eq!(summary.seconds.len(), rows.len());
    assert!(summary.seconds.is_sorted() && summary.seconds_scored.is_some() && summary.seconds_trained.is_some());
}

/// A larger uniform batch costs as much as sampling by score: 16 + 80 / 3 samples.
#[test]
fn a_larger_uniform_batch_is_charged_for_its_size() {
    let (_, summary) = trained(&config(Method::UniformAtEqualCost { presample: 80 }));
    assert_eq!((summary.account.trained, summary.account.scored), (43 * summary.account.updates, 0));
}

/// A constant score draws uniformly and weighs by one: the loss of an update is that of a plain batch of as many.
#[test]
fn weights_of_a_constant_score_are_one() {
    let constant = Method::Importance { score: Score::Constant, presample: 80, threshold: 0. };
    let (rows, _) = trained(&config(constant));
    let (uniform, _) = trained(&config(Method::Uniform));
    // Two classes: a step's loss stands near ln 2, as uniform's does; a wrong weight would scale it by 5 or by 1 / 5.
    let first = |rows: &[Row]| rows[1].step_loss.expect("a loss");
    assert!((first(&rows) / first(&uniform) - 1.).abs() < 0.3, "{} {}", first(&rows), first(&uniform));
}

/// Where nothing has been trained nothing is claimed.
#[test]
fn without_cells_there_is_no_verdict() {
    let results = tempfile::tempdir().expect("a folder");
    let folder = Folder::new(results.path(), Profile::Smoke, ImportanceSampling.id());
    let empty = Results::load(&ImportanceSampling, Profile::Smoke, Some(1), &folder).expect("no cells");
    let claims = ImportanceSampling.claims(&empty).expect("verdicts");
    assert!(claims.len() > 15 && claims.iter().all(|claim| claim.estimate.is_none()));
    assert!(ImportanceSampling.figures(&empty).expect("no figures").is_empty());
    assert!(ImportanceSampling.tables(&empty).expect("no tables").is_empty());
}
