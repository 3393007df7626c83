//! The real binary, run as a user runs it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Small experiments that cover plain training, nearest neighbours and INCV with Co-teaching.
const ONLY: [&str; 6] = ["--only", "S1", "--only", "S4-control", "--only", "S6"];

fn noisy_quadratic(results: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noisy-quadratic"));
    command.args(arguments).arg("--results").arg(results);
    command
}

fn run(results: &Path, extra: &[&str]) -> Output {
    let arguments = [&["run", "--profile", "smoke"], &ONLY[..], extra].concat();
    noisy_quadratic(results, &arguments).output().expect("the binary starts")
}

/// Every cell's rows, by cell id.
fn rows(results: &Path) -> BTreeMap<String, Vec<u8>> {
    let cells = results.join("smoke/noisy-quadratic/cells");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let id = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(path.join("summary.json").exists(), "{id} did not finish");
        (id, std::fs::read(path.join("epochs.csv")).expect("rows"))
    };
    std::fs::read_dir(cells).expect("cells").map(read).collect()
}

fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn rows_do_not_depend_on_workers_nor_on_being_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two, killed] = ["one", "two", "killed"].map(|name| folder.path().join(name));
    assert_done(&run(&one, &["--workers", "1"]));
    assert_done(&run(&two, &["--workers", "2"]));
    let expected = rows(&one);
    assert!(expected.len() > 10);
    assert_eq!(expected, rows(&two));

    // Killed without warning at several moments, each time going on from the checkpoints of the time before.
    for milliseconds in [300, 700, 1100] {
        let arguments = [&["run", "--profile", "smoke", "--checkpoint-seconds", "0"], &ONLY[..]].concat();
        let mut child = noisy_quadratic(&killed, &arguments).stderr(Stdio::null()).spawn().expect("the binary starts");
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    assert_done(&run(&killed, &[]));
    assert_eq!(expected, rows(&killed));
}

#[test]
fn figures_and_claims_are_made_from_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path();
    assert_done(&run(results, &[]));
    let paper = results.join("smoke/noisy-quadratic");
    let claims = || std::fs::read_to_string(paper.join("claims.csv")).expect("claims");
    for command in ["figures", "claims"] {
        assert_done(&noisy_quadratic(results, &[command, "--profile", "smoke"]).output().expect("it starts"));
    }
    let first = claims();
    for id in
        ["NQ1a", "NQ1b", "NQ2a", "NQ3a", "NQ4", "NQ5", "NQ6", "NQ7", "NQ8", "NQ9a", "NQ10", "NQ11", "NQ12", "NQ13"]
    {
        assert!(first.contains(&format!("\n{id},")), "{id} has no verdict");
    }
    let epochs = rows(results);
    assert_done(&noisy_quadratic(results, &["claims", "--profile", "smoke"]).output().expect("it starts"));
    assert_eq!(first, claims());
    assert_eq!(epochs, rows(results));
    assert!(paper.join("tables/incv.csv").exists());
    assert!(paper.join("figures/incv.svg").exists() && paper.join("figures/incv.png").exists());
}

#[test]
fn wrong_usage_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = noisy_quadratic(folder.path(), arguments).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is missing in: {text}");
        }
    };
    refused(&["run", "--profile", "smoke", "--only", "S99"], 2, &["S99", "S1", "S6"]);
    refused(&["run", "--workers", "0"], 2, &["--workers"]);
    refused(&["run", "--profile", "smoke", "--data", "/nonexistent"], 2, &["/nonexistent"]);
}

#[test]
fn the_tools_take_the_users_own_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.csv");
    let out = folder.path().join("out");
    let tool = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_noisy-quadratic")).args(arguments).output().expect("it starts")
    };
    let (file_name, out_name) = (file.to_str().expect("a name"), out.to_str().expect("a name"));

    let rows: String = (0..=8)
        .map(|i| {
            let e = f64::from(i) / 10.;
            format!("{e},{}\n", (1. - e) * (1. - e) + e * e / 9.)
        })
        .collect();
    std::fs::write(&file, format!("noise_ratio,accuracy\n{rows}")).expect("a file");
    let output = tool(&["fit", file_name, "--classes", "10", "--out", out_name]);
    assert_done(&output);
    let header = std::fs::read_to_string(out.join("fit.csv")).expect("fit.csv");
    assert!(header.starts_with("model,k,parameters,chi2,aicc,delta_aicc,bic,akaike_weight,loo_rmse"));

    std::fs::write(&file, "noise_ratio,accuracy\n0.1,0.9\n0.2,nine\n").expect("a file");
    let output = tool(&["fit", file_name]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("line 3") && text.contains("nine"), "{text}");

    let matrix = folder.path().join("matrix.csv");
    std::fs::write(&matrix, "0.9,0.1\n0.2,0.8\n").expect("a file");
    let output = tool(&["predict", "--matrix", matrix.to_str().expect("a name")]);
    assert_done(&output);
    // (0.9^2 + 0.1^2 + 0.2^2 + 0.8^2) / 2
    assert!(String::from_utf8_lossy(&output.stdout).contains("0.75"));
}
