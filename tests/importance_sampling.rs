//! The real binary, run as a user runs it.

mod binary;

use binary::{Binary, assert_done};

/// Small experiments that cover importance sampling, the analysis, remembered losses, pre-training, the LSTM and control
/// variates.
const BINARY: Binary = Binary {
    path: env!("CARGO_BIN_EXE_importance-sampling"),
    paper: "importance-sampling",
    only: &["R1", "R2", "R3-histories", "R6", "R7", "R8"],
};

#[test]
fn rows_do_not_depend_on_workers_nor_on_being_killed() {
    BINARY.assert_repeatable(&[200, 500, 900]);
}

#[test]
fn figures_and_claims_are_made_from_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims = [
        "IS1", "IS2", "IS3", "IS4", "IS5", "IS6a", "IS6b", "IS7", "IS8", "IS9", "IS10", "IS11", "IS12", "IS13", "IS14",
        "IS15",
    ];
    let paper = BINARY.assert_read_from_files(folder.path(), &claims);
    assert!(paper.join("tables/methods.csv").exists() && paper.join("tables/variance.csv").exists());
    for figure in ["gradient-error", "probabilities", "documented", "switch", "control-variates"] {
        let file = |extension: &str| paper.join("figures").join(format!("{figure}.{extension}"));
        assert!(file("svg").exists() && file("png").exists(), "{figure}");
    }
}

#[test]
fn wrong_usage_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = BINARY.command(folder.path(), arguments).output().expect("it starts");
        BINARY.assert_refused(&output, 2, words);
    };
    refused(&["run", "--profile", "smoke", "--only", "S99"], &["S99", "R1", "R8"]);
    refused(&["run", "--workers", "0"], &["--workers"]);
    refused(&["run", "--profile", "smoke", "--data", "/nonexistent"], &["/nonexistent"]);
}

#[test]
fn the_tool_takes_the_users_own_scores() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.csv");
    let out = folder.path().join("out");
    let (name, out_name) = (file.to_str().expect("a name"), out.to_str().expect("a name"));
    let tau = |content: &str, batch: &str| {
        std::fs::write(&file, content).expect("a file");
        BINARY.tool(&["tau", name, "--batch", batch, "--out", out_name])
    };

    let output = tau("score\n1\n2\n3\n4\n", "2");
    assert_done(&output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // sqrt(4 * 30 / 100), and (4 + 6) / 6.
    assert!(text.contains("1.0954") && text.contains("1.6667") && text.contains("would not pay off"), "{text}");
    let rows = std::fs::read_to_string(out.join("sampling.csv")).expect("sampling.csv");
    assert_eq!(
        rows,
        "row,score,probability,weight\n1,1.0,0.1,2.5\n2,2.0,0.2,1.25\n3,3.0,0.3,0.8333333333333334\n4,4.0,0.4,0.625\n"
    );

    let output = tau("logit_0,logit_1,logit_2,label\n2,1,0,0\n2,1,0,2\n", "1");
    assert_done(&output);
    let rows = std::fs::read_to_string(out.join("sampling.csv")).expect("sampling.csv");
    assert!(rows.contains("1,0.4243") && rows.contains("2,1.1534"), "{rows}");

    // Sums beyond the largest number, scores too small for a weight, labels as some programs write them.
    for content in ["score\n1e308\n1e308\n1e308\n", "score\n1e-320\n1\n", "logit_0,logit_1,label\n1,2,1.0\n"] {
        assert_done(&tau(content, "1"));
        let rows = std::fs::read_to_string(out.join("sampling.csv")).expect("sampling.csv");
        assert!(!rows.contains("inf") && !rows.contains("NaN"), "{rows}");
    }

    let output = tau("score\n0\n0\n", "1");
    assert_done(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("falling back to uniform"));

    for (content, batch, words) in [
        ("score\n1\n-0.5\n", "1", ["line 3", "-0.5"]),
        ("score\n1\nNaN\n", "1", ["line 3", "NaN"]),
        ("score\n1\n", "3", ["--batch", "1 scores"]),
        ("logit_0,logit_1,label\n1,2,0\n1,2,7\n", "1", ["line 3", "label `7`"]),
        ("points\n1\n", "1", ["`score`", "`label`"]),
        ("logit_0,logit_1,logit_3,label\n1,2,3,0\n", "1", ["`logit_3`", "`logit_2`"]),
        ("score,logit_0,logit_1,label\n1,2,3,0\n", "1", ["scores and logits", "keep one"]),
        ("score,score\n1,2\n", "1", ["column 2", "`score`"]),
        ("score\r\n1\r\n\r\n-1\r\n", "1", ["line 4", "-1"]),
    ] {
        BINARY.assert_refused(&tau(content, batch), 1, &words);
    }
    BINARY.assert_refused(&BINARY.tool(&["tau", "/nonexistent.csv", "--batch", "1"]), 1, &["/nonexistent.csv"]);
}
