//! The real binary, run as a user runs it.

mod binary;

use binary::{Binary, assert_done};

const BINARY: Binary = Binary {
    path: env!("CARGO_BIN_EXE_critical-periods"),
    paper: "critical-periods",
    only: &["blur", "windows", "late-start"],
};

#[test]
fn rows_do_not_depend_on_workers_nor_on_being_killed() {
    BINARY.assert_repeatable(&[250, 450, 700]);
}

#[test]
fn figures_and_claims_are_made_from_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims = [
        "CP1", "CP1b", "CP2", "CP3", "CP3b", "CP4", "CP4b", "CP5", "CP5b", "CP6", "CP7a", "CP7b", "CP7c", "CP8a",
        "CP8b", "CP9", "CP10", "CP11", "CP12", "CP13", "CP14", "CP15", "CP16", "CP17", "CP18",
    ];
    let paper = BINARY.assert_read_from_files(folder.path(), &claims);
    assert!(paper.join("tables/courses.csv").exists());
    assert!(paper.join("figures/removal.svg").exists() && paper.join("figures/removal.png").exists());
}

#[test]
fn the_tool_takes_the_users_own_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (folder.path().join("runs.csv"), folder.path().join("out"));
    let (file_name, out_name) = (file.to_str().expect("a name"), out.to_str().expect("a name"));
    std::fs::write(&file, "seed,onset,window,accuracy\n1,,,0.9\n1,0,40,0.8\n1,20,40,0.85\n").expect("a file");
    assert_done(&BINARY.tool(&["sensitivity", file_name, "--out", out_name]));
    let csv = std::fs::read_to_string(out.join("sensitivity.csv")).expect("sensitivity.csv");
    assert!(csv.starts_with("onset,window,n,mean_drop,ci95_low,ci95_high\n0,40,1,"));
    assert!(out.join("sensitivity.png").exists());
    std::fs::write(&file, "seed,onset,window,accuracy\n1,0,40,0.8\n").expect("a file");
    BINARY.assert_refused(&BINARY.tool(&["sensitivity", file_name]), 1, &["line 2", "no control"]);
}
