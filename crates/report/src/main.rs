//! Writes the report page and the tables of the README from `results/`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use retrial_core::experiment::replace_file;
use retrial_report::{Error, compare, page, readme, trials};

/// Verdicts and figures of all papers on one self-contained HTML page, and the tables of a README
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder of all results
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// The page [default: report.html in the results folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also fill the blocks of these READMEs anew
    #[arg(long, value_name = "FILE", num_args = 1..)]
    readme: Vec<PathBuf>,
    /// Write nothing; fail if a README's blocks are not what the results say
    #[arg(long, requires = "readme")]
    check: bool,
    /// Write nothing; compare the rows of another results folder with these, byte for byte, and fail if any differ
    #[arg(long, value_name = "DIR", conflicts_with_all = ["readme", "out"])]
    compare: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Error> {
    if let Some(other) = &arguments.compare {
        return same(&arguments.results, other);
    }
    let trials = trials(&arguments.results)?;
    if !arguments.check {
        let out = arguments.out.clone().unwrap_or_else(|| arguments.results.join("report.html"));
        write(&out, &page::page(&trials)?)?;
        println!("{}", out.display());
    }
    let mut right = true;
    for path in &arguments.readme {
        let old = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let new = readme::filled(path, &old, &trials, &arguments.results)?;
        if old == new {
            continue;
        }
        if arguments.check {
            let line = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count() + 1;
            eprintln!("error: {}, line {line}: not what the results say; `make report` rewrites it", path.display());
            right = false;
        } else {
            write(path, &new)?;
            println!("{}", path.display());
        }
    }
    Ok(right)
}

fn same(results: &Path, other: &Path) -> Result<bool, Error> {
    let mut same = true;
    for comparison in compare(results, other)? {
        let (cells, different) = (comparison.cells, comparison.different.len());
        println!("{:<32} {cells:>4} cells in both, {different} with other rows", comparison.name);
        for path in comparison.different.iter().take(3) {
            println!("    {}", path.display());
        }
        same &= different == 0;
    }
    Ok(same)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    replace_file(path, text.as_bytes()).map_err(|source| Error::Io { path: path.into(), source })
}
