//! The program that brings the data, run as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

fn retrial_data(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_retrial-data")).args(arguments).output().unwrap()
}

fn embedded() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/embedded")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_second_fetch_does_nothing() {
    let to = tempfile::tempdir().unwrap();
    let (from, to) = (embedded(), to.path().to_str().unwrap().to_string());
    let arguments = ["fetch", "--from", from.to_str().unwrap(), "--to", &to, "mnist"];
    let first = retrial_data(&arguments);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).starts_with("mnist: verified and written to "));
    let second = retrial_data(&arguments);
    assert!(second.status.success());
    assert_eq!(text(&second.stdout), "mnist: already there, verified\n");
}

#[test]
fn verify_names_every_data_set() {
    let output = retrial_data(&["verify"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("data/embedded: 8 files as the manifest says"), "{said}");
    assert!(said.contains("mnist: 60000 + 10000 images, verified"), "{said}");
    assert!(said.contains("cifar10-subset: 10000 + 2500 images, verified"), "{said}");
}

#[test]
fn what_cannot_be_done_is_one_line_and_a_status() {
    let empty = tempfile::tempdir().unwrap();
    let nowhere = empty.path().join("nowhere");
    let output =
        retrial_data(&["fetch", "--from", nowhere.to_str().unwrap(), "--to", nowhere.to_str().unwrap(), "mnist"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.lines().count() == 1 && said.contains("nowhere: there is no such folder"), "{said}");
    let output = retrial_data(&["embed", "--from", empty.path().to_str().unwrap(), "--to", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("mnist is missing: expected train-images-idx3-ubyte"));
    assert!(!nowhere.exists(), "nothing is written");
    let output = retrial_data(&["fetch", "mnits"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("fashion-mnist"), "the names are listed");
}
