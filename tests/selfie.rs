//! The real binary, run as a user runs it.

mod binary;

use binary::{Binary, assert_done};

/// Small experiments that cover every method, restarts among them.
const BINARY: Binary = Binary {
    path: env!("CARGO_BIN_EXE_selfie"),
    paper: "selfie",
    only: &["digits-pair", "digits-versions", "photos-symmetric"],
};

#[test]
fn rows_do_not_depend_on_workers_nor_on_being_killed() {
    BINARY.assert_repeatable(&[300, 600, 900]);
}

#[test]
fn figures_and_claims_are_made_from_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims = ["SF1a", "SF1b", "SF1-rivals-a", "SF2b", "SF3a", "SF4", "SF5", "SF6a", "SF7", "SF8a", "SF9b", "SF10a"];
    let paper =
        BINARY.assert_read_from_files(folder.path(), &[&claims[..], &["SF11a", "SF12b", "SF13a", "SF14a"]].concat());
    assert!(paper.join("tables/methods.csv").exists() && paper.join("tables/gates.csv").exists());
    assert!(paper.join("figures/headline.svg").exists() && paper.join("figures/headline.png").exists());
}

#[test]
fn wrong_usage_is_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = BINARY.command(folder.path(), arguments).output().expect("it starts");
        BINARY.assert_refused(&output, code, words);
    };
    refused(&["run", "--profile", "smoke", "--only", "E99"], 2, &["E99", "digits-pair"]);
    // Data that cannot be fetched need a folder.
    let animals = ["run", "--profile", "paper", "--only", "animal10n-densenet", "--seeds", "1", "--workers", "1"];
    refused(&animals, 1, &["animal-10n", "--data"]);
}

#[test]
fn refurbish_takes_the_users_own_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.csv");
    let out = folder.path().join("out");
    let (file_name, out_name) = (file.to_str().expect("a name"), out.to_str().expect("a name"));
    let tool = |extra: &[&str]| {
        BINARY.tool(&[&["refurbish", file_name, "--classes", "3", "--history", "2", "--out", out_name], extra].concat())
    };
    let rows =
        "visit,sample,prediction,given\n1,cat7,2,0\n2,cat7,2,0\n3,cat7,2,0\n1,dog1,1,1\n2,dog1,0,1\n1,dog2,1,1\n";
    std::fs::write(&file, rows).expect("a file");
    let output = tool(&[]);
    assert_done(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("all 2 agree") && said.contains("1 refurbishable") && said.contains("1 have fewer"),
        "{said}"
    );
    let written = std::fs::read_to_string(out.join("refurbished.csv")).expect("refurbished.csv");
    assert_eq!(
        written,
        "sample,visits,uncertainty,refurbishable,label,changed\ncat7,3,0.000000,true,2,true\n\
         dog1,2,0.630930,false,0,false\ndog2,1,0.000000,false,1,false\n"
    );

    for (rows, words) in [
        ("sample,visit,prediction\na,1,3\n", ["line 2", "`3`"]),
        ("sample,visit,prediction\na,1,1\na,1,2\n", ["line 3", "visit 1"]),
        ("sample,prediction\na,1\n", ["line 1", "`visit`"]),
    ] {
        std::fs::write(&file, rows).expect("a file");
        BINARY.assert_refused(&tool(&[]), 1, &words);
    }
    BINARY.assert_refused(&tool(&["--epsilon", "1.5"]), 2, &["0 to 1"]);
}
