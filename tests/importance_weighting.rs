//! The real binary, run as a user runs it.

mod binary;

use binary::{Binary, assert_done};

/// A line in the plane and three networks: plain, with dropout and with batch norm.
const BINARY: Binary = Binary {
    path: env!("CARGO_BIN_EXE_importance-weighting"),
    paper: "importance-weighting",
    only: &["plane-l2", "dropout", "norm"],
};

#[test]
fn rows_do_not_depend_on_workers_nor_on_being_killed() {
    BINARY.assert_repeatable(&[200, 400, 700]);
}

#[test]
fn figures_and_claims_are_made_from_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims =
        ["IW1a", "IW2a", "IW3b", "IW4a", "IW5", "IW6", "IW7a", "IW8", "IW9", "IW10a", "IW11", "IW12a", "IW13", "IW14"];
    let paper = BINARY.assert_read_from_files(folder.path(), &claims);
    assert!(paper.join("tables/fractions.csv").exists() && paper.join("tables/plane.csv").exists());
}

#[test]
fn wrong_usage_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = BINARY.command(folder.path(), arguments).output().expect("it starts");
        BINARY.assert_refused(&output, 2, words);
    };
    refused(&["run", "--profile", "smoke", "--only", "nothing"], &["nothing", "plane", "imbalance"]);
}

#[test]
fn the_tool_takes_the_users_own_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (folder.path().join("mine.csv"), folder.path().join("out"));
    let (file_name, out_name) = (file.to_str().expect("a name"), out.to_str().expect("a name"));
    let rows: String = (0..6).map(|s| format!("{s},1,0.5\n{s},16,0.5{s}\n{s},256,0.9{s}\n")).collect();
    std::fs::write(&file, format!("seed,ratio,fraction\n{rows}")).expect("a file");
    let output = BINARY.tool(&["equivalence", file_name, "--out", out_name, "--margin", "0.06"]);
    assert_done(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 of 2 ratios predict within 0.06"));
    let table = std::fs::read_to_string(out.join("equivalence.csv")).expect("equivalence.csv");
    assert!(
        table.starts_with("ratio,n,mean_difference,ci90_low,ci90_high,p_tost,smallest_margin,verdict\n16.0,6,0.025"),
        "{table}"
    );
    assert!(out.join("equivalence.png").exists());

    std::fs::write(&file, "seed,ratio,fraction\n3,1,0.5\n4,16,0.5\n").expect("a file");
    BINARY.assert_refused(&BINARY.tool(&["equivalence", file_name]), 1, &["line 3", "seed 4", "ratio 1"]);
}
