//! The real binary, run as a user runs it.

mod binary;

use binary::{Binary, assert_done};
use noisy_quadratic::NoisyQuadratic;
use noisy_quadratic::config::{Config, Incv};
use retrial_core::experiment::{Paper, Profile};

/// Small experiments that cover plain training, nearest neighbours and INCV with Co-teaching.
const BINARY: Binary =
    Binary { path: env!("CARGO_BIN_EXE_noisy-quadratic"), paper: "noisy-quadratic", only: &["S1", "S4-control", "S6"] };

#[test]
fn rows_do_not_depend_on_workers_nor_on_being_killed() {
    BINARY.assert_repeatable(&[300, 700, 1100]);
}

/// INCV whose networks inherit the moments of the one before must carry them over a kill.
#[test]
fn inherited_moments_survive_being_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = NoisyQuadratic
        .grid(Profile::Smoke, Some(1))
        .into_iter()
        .filter(|experiment| experiment.name == "S6")
        .flat_map(|experiment| experiment.cells)
        .find_map(|cell| match cell {
            Config::Incv(incv) if incv.then.is_some() => {
                Some(Config::Incv(Incv { reuse_start: true, epochs: 6, ..incv }))
            }
            _ => None,
        })
        .expect("a cell with Co-teaching");
    let file = folder.path().join("config.json");
    let protocol = NoisyQuadratic.protocol();
    let config = serde_json::json!({"paper": NoisyQuadratic.id(), "protocol": protocol, "config": config});
    std::fs::write(&file, config.to_string()).expect("a file");
    let cell = |name: &str| {
        let results = folder.path().join(name);
        BINARY.command(&results, &["cell", file.to_str().expect("a name"), "--checkpoint-seconds", "0"])
    };
    assert_done(&cell("whole").output().expect("it starts"));
    for milliseconds in [150, 250, 350] {
        let mut child = cell("killed").stderr(std::process::Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    assert_done(&cell("killed").output().expect("it starts"));
    let rows = |name: &str| {
        let mut cells = std::fs::read_dir(folder.path().join(name).join("quick/noisy-quadratic/cells")).expect("cells");
        std::fs::read(cells.next().expect("one").expect("a cell").path().join("epochs.csv")).expect("rows")
    };
    assert_eq!(rows("whole"), rows("killed"));
}

#[test]
fn figures_and_claims_are_made_from_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims =
        ["NQ1a", "NQ1b", "NQ2a", "NQ3a", "NQ4", "NQ5", "NQ6", "NQ7", "NQ8", "NQ9a", "NQ10", "NQ11", "NQ12", "NQ13"];
    let paper = BINARY.assert_read_from_files(folder.path(), &claims);
    assert!(paper.join("tables/incv.csv").exists());
    assert!(paper.join("figures/incv.svg").exists() && paper.join("figures/incv.png").exists());
}

#[test]
fn wrong_usage_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = BINARY.command(folder.path(), arguments).output().expect("it starts");
        BINARY.assert_refused(&output, 2, words);
    };
    refused(&["run", "--profile", "smoke", "--only", "S99"], &["S99", "S1", "S6"]);
    refused(&["run", "--workers", "0"], &["--workers"]);
    refused(&["run", "--profile", "smoke", "--data", "/nonexistent"], &["/nonexistent"]);
}

#[test]
fn the_tools_take_the_users_own_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.csv");
    let out = folder.path().join("out");
    let (file_name, out_name) = (file.to_str().expect("a name"), out.to_str().expect("a name"));

    let rows: String = (0..=8)
        .map(|i| {
            let e = f64::from(i) / 10.;
            format!("{e},{}\n", (1. - e) * (1. - e) + e * e / 9.)
        })
        .collect();
    std::fs::write(&file, format!("noise_ratio,accuracy\n{rows}")).expect("a file");
    let output = BINARY.tool(&["fit", file_name, "--classes", "10", "--out", out_name]);
    assert_done(&output);
    let header = std::fs::read_to_string(out.join("fit.csv")).expect("fit.csv");
    assert!(header.starts_with("model,k,parameters,chi2,aicc,delta_aicc,bic,akaike_weight,loo_rmse"));

    std::fs::write(&file, "noise_ratio,accuracy\n0.1,0.9\n0.2,nine\n").expect("a file");
    let output = BINARY.tool(&["fit", file_name]);
    BINARY.assert_refused(&output, 1, &["line 3", "nine"]);

    let matrix = folder.path().join("matrix.csv");
    std::fs::write(&matrix, "0.9,0.1\n0.2,0.8\n").expect("a file");
    let output = BINARY.tool(&["predict", "--matrix", matrix.to_str().expect("a name")]);
    assert_done(&output);
    // (0.9^2 + 0.1^2 + 0.2^2 + 0.8^2) / 2
    assert!(String::from_utf8_lossy(&output.stdout).contains("0.75"));
}
