//! The real binary, run as a user runs it.

mod binary;

use binary::{Binary, assert_done};

const BINARY: Binary = Binary {
    path: env!("CARGO_BIN_EXE_loss-correction"),
    paper: "loss-correction",
    only: &["bootstrapping", "extreme", "controls"],
};

#[test]
fn rows_do_not_depend_on_workers_nor_on_being_killed() {
    BINARY.assert_repeatable(&[300, 700, 1100]);
}

#[test]
fn figures_and_claims_are_made_from_files_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims: Vec<String> = (1..=13).map(|k| format!("LC{k}")).collect();
    let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
    let paper = BINARY.assert_read_from_files(folder.path(), &claims);
    assert!(paper.join("tables/accuracies.csv").exists());
    assert!(paper.join("figures/losses.svg").exists() && paper.join("figures/mixtures.png").exists());
}

#[test]
fn the_tool_takes_the_users_own_losses() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (folder.path().join("losses.csv"), folder.path().join("out"));
    let (file_name, out_name) = (file.to_str().expect("a name"), out.to_str().expect("a name"));
    let write = |text: &str| std::fs::write(&file, text).expect("a file");

    let low = (0..300).map(|i| (0.3 * (f64::from(i) / 300.).powi(2), 0));
    let high = (0..200).map(|i| (2. + f64::from(i) / 100., 1));
    let rows: String = low.chain(high).map(|(loss, mark)| format!("{loss},{mark}\n")).collect();
    write(&format!("loss,mislabelled\n{rows}"));
    for mixture in ["beta", "gaussian"] {
        let output = BINARY.tool(&["fit", file_name, "--mixture", mixture, "--out", out_name]);
        assert_done(&output);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("AUC of the loss 1.000") && text.contains("200 are wrong"), "{text}");
    }
    let posterior = std::fs::read_to_string(out.join("posterior.csv")).expect("posterior.csv");
    assert!(posterior.starts_with("row,loss,normalised,p_mislabelled\n1,"), "{posterior}");
    assert!(std::fs::read_to_string(out.join("mixture.json")).expect("mixture.json").contains("\"weight\""));
    assert!(out.join("fit.svg").exists() && out.join("fit.png").exists());

    let refused = |text: &str, words: &[&str]| {
        write(text);
        BINARY.assert_refused(&BINARY.tool(&["fit", file_name, "--out", out_name]), 1, words);
    };
    refused("loss\n0.5\nhalf\n", &["line 3", "half"]);
    refused("loss\n0.5\n-1\n", &["line 3", "-1"]);
    refused("loss\n0.5\nNaN\n", &["line 3", "NaN"]);
    refused("loss,mislabelled\n0.5,2\n", &["line 2", "0 or 1"]);
    refused("loss\n", &["no rows"]);
    refused("loss\n0.5\n", &["at least two"]);
    refused("loss\n0.5\n0.5\n0.5\n", &["equal"]);
    refused("error\n0.5\n", &["no column `loss`"]);
    BINARY.assert_refused(&BINARY.tool(&["fit", "/nonexistent.csv"]), 1, &["/nonexistent.csv"]);
}
