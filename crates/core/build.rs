//! Which commit the binaries come from, for the `code_version` of every result.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    // The log of HEAD grows with every commit, checkout and merge. Without git there is none, and no version either.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    if let Some(version) = git(&["describe", "--always", "--dirty", "--tags"]) {
        println!("cargo::rustc-env=RETRIAL_GIT_DESCRIBE={version}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_string()).filter(|s| !s.is_empty())
}
