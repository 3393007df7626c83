//! `equivalence`: the paper's question asked of the user's own runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use retrial_core::results::{Table, short};
use retrial_core::stats::FEWEST_SEEDS;
use retrial_core::tool::{self, Error};
use serde::Deserialize;

use crate::equivalence::{MARGIN, Observation, Row, analyse, figure, paired};
use crate::paper::ratio_text;

/// What the file must hold.
const COLUMNS: &str = "seed,ratio,fraction";

/// The command line of `equivalence`.
pub fn command() -> Command {
    Command::new("equivalence")
        .about("Test whether your own weighted runs predict as your unweighted runs do")
        .long_about(
            "Test, ratio by ratio, whether runs with class weights predict the positive class as often as runs of the same \
             seed without (ratio 1).\n\nThe file has a header and the columns seed, ratio (weight of the positive class over \
             that of the negative one) and fraction (share predicted positive, 0 to 1). Each ratio is compared with ratio 1 by \
             a paired equivalence test (two one-sided t tests, 5 % each), which needs three seeds and is worth little with \
             fewer than five. Written: equivalence.csv, equivalence.svg and equivalence.png.",
        )
        .arg(tool::file("FILE.csv", "Columns seed,ratio,fraction"))
        .arg(
            Arg::new("margin")
                .long("margin")
                .value_name("D")
                .default_value("0.05")
                .value_parser(margin)
                .help("Largest mean difference that counts as none, above 0 and below 1"),
        )
        .arg(tool::out("equivalence.csv, equivalence.svg and equivalence.png"))
}

fn margin(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        Ok(_) => Err("not between 0 and 1; write a share, not percent".into()),
        Err(_) => Err("not a number".into()),
    }
}

/// Reads the file, tests, writes the results and prints them.
pub fn run(arguments: &ArgMatches) -> Result<(), Error> {
    let path: &PathBuf = arguments.get_one("file").expect("required");
    let out: &PathBuf = arguments.get_one("out").expect("has a default");
    let margin = *arguments.get_one::<f64>("margin").unwrap_or(&MARGIN);
    let text = tool::read(path).map_err(|error| match error {
        Error::Read { path, source } => {
            let problem = format!("cannot be read: {source}; name a CSV file with the columns {COLUMNS}");
            Error::Content { path, problem }
        }
        other => other,
    })?;
    let observations = read(path, &text)?;
    let rows = analyse(&observations, margin);
    if rows.is_empty() {
        let problem = format!(
            "no ratio but 1 has {FEWEST_SEEDS} seeds that also have a run at ratio 1; add seeds{}",
            if paired(&observations).is_empty() { ", and runs with weights" } else { "" }
        );
        return Err(Error::Content { path: path.clone(), problem });
    }
    let table = Table::from_rows("equivalence", &rows)
        .map_err(|error| Error::Content { path: path.clone(), problem: error.to_string() })?;
    tool::write(out, "equivalence.csv", &table.to_csv())?;
    let subtitle =
        format!("{}: paired by seed; a ratio is equivalent if its interval lies in the band", path.display());
    figure(&rows, margin, &subtitle).save(&out.join("equivalence"))?;
    tool::say(&text_of(&observations, &rows, margin, out));
    Ok(())
}

fn text_of(observations: &[Observation], rows: &[Row], margin: f64, out: &Path) -> String {
    let mut text = String::new();
    for (ratio, differences) in paired(observations).into_iter().filter(|(_, d)| d.len() < FEWEST_SEEDS) {
        let _ = writeln!(
            text,
            "{:>8}  left out: {} of the {FEWEST_SEEDS} seeds that a test needs; add seeds",
            ratio_text(ratio),
            differences.len()
        );
    }
    for row in rows {
        let _ = writeln!(
            text,
            "{:>8}  {:>9} [{}, {}] over {} seeds: {}; equivalent from a margin of {} on",
            ratio_text(row.ratio),
            short(row.mean_difference),
            short(row.ci90_low),
            short(row.ci90_high),
            row.n,
            row.verdict,
            short(row.smallest_margin)
        );
    }
    let equivalent = rows.iter().filter(|r| r.verdict == "equivalent").count();
    let _ = writeln!(
        text,
        "{equivalent} of {} ratios predict within {margin} of 1:1. Written to {}.",
        rows.len(),
        out.display()
    );
    text
}

/// The rows of a file, `text`; `path` names it in messages.
fn read(path: &Path, text: &str) -> Result<Vec<Observation>, Error> {
    #[derive(Deserialize)]
    struct Line {
        seed: u64,
        ratio: f64,
        fraction: f64,
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let bad = |line: u64, problem: String| Error::Line { path: path.to_owned(), line, problem };
    let headers = reader.headers().map_err(|e| bad(1, e.to_string()))?.clone();
    if let Some(missing) = ["seed", "ratio", "fraction"].into_iter().find(|name| !headers.iter().any(|h| h == *name)) {
        return Err(bad(1, format!("there is no column `{missing}`; write the header {COLUMNS}")));
    }
    let (mut seen, mut observations) = (BTreeMap::new(), vec![]);
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let problem = "has not as many fields as the header; write one value for each column".into();
                return Err(bad(tool::line(text, error.position()), problem));
            }
        }
        let line = tool::line(text, record.position());
        let Line { seed, ratio, fraction } = record.deserialize(Some(&headers)).map_err(|error| {
            let field = match error.kind() {
                csv::ErrorKind::Deserialize { err, .. } => {
                    err.field().and_then(|i| headers.get(i as usize)).map(String::from)
                }
                _ => None,
            };
            let field = field.unwrap_or_else(|| "the row".into());
            let shown = headers.iter().position(|h| h == field).and_then(|i| record.get(i)).unwrap_or("").to_string();
            let wanted = if field == "seed" { "a whole number" } else { "a decimal number" };
            if shown.is_empty() {
                return bad(line, format!("column {field} is empty; write {wanted} or remove the row"));
            }
            bad(line, format!("`{shown}` in column {field} is not {wanted}; correct it or remove the row"))
        })?;
        if !(ratio > 0. && ratio.is_finite()) {
            return Err(bad(
                line,
                format!("the ratio {ratio} is not above 0; write the weight of positives over that of negatives"),
            ));
        }
        if !(0. ..=1.).contains(&fraction) {
            return Err(bad(line, format!("the fraction {fraction} is outside 0 to 1; write a share, not percent")));
        }
        if let Some(before) = seen.insert((seed, ratio.to_bits()), line) {
            return Err(bad(line, format!("seed {seed} has ratio {ratio} on line {before} already; keep one of them")));
        }
        observations.push((line, Observation { seed, ratio, fraction }));
    }
    if observations.is_empty() {
        let problem = "has a header and no rows; write one row for each seed and ratio".into();
        return Err(Error::Content { path: path.to_owned(), problem });
    }
    if let Some((line, lonely)) = observations.iter().find(|(_, o)| !seen.contains_key(&(o.seed, 1f64.to_bits()))) {
        return Err(bad(*line, format!("seed {} has no row with ratio 1 to compare with; add it", lonely.seed)));
    }
    Ok(observations.into_iter().map(|(_, o)| o).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_rows_are_told_with_their_line() {
        for (text, line, words) in [
            ("seed,ratio,fraction\n0,1,0.5\n0,8,1.5\n", "line 3", "1.5"),
            ("seed,ratio,fraction\n0,1,0.5\n0,1,0.6\n", "line 3", "line 2"),
            ("seed,ratio,fraction\n0,8,0.5\n", "line 2", "seed 0 has no row with ratio 1"),
            ("seed,ratio,fraction\n0,-1,0.5\n", "line 2", "not above 0"),
            ("seed,ratio,fraction\n0,one,0.5\n", "line 2", "`one` in column ratio is not a decimal number; correct it"),
            ("seed,ratio,fraction\n0.5,1,0.5\n", "line 2", "`0.5` in column seed is not a whole number"),
            ("seed,ratio,fraction\n0,1,\n", "line 2", "column fraction is empty"),
            ("seed,ratio,fraction\n0,1\n", "line 2", "one value for each column"),
            ("seed,weight,fraction\n0,1,0.5\n", "line 1", "`ratio`"),
            ("seed,ratio,fraction\n", "mine.csv", "no rows"),
        ] {
            let error = read(Path::new("mine.csv"), text).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(words) && !error.contains('\n'), "{error}");
        }
        let rows = read(Path::new("mine.csv"), "fraction, seed, ratio\n0.5, 3, 1\n0.6, 3, 2\n").unwrap();
        assert_eq!(rows[1], Observation { seed: 3, ratio: 2., fraction: 0.6 });
    }

    fn tested(text: &str) -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.csv");
        std::fs::write(&file, text).unwrap();
        let arguments = [Path::new("equivalence"), &file, Path::new("--out"), folder.path()];
        run(&command().get_matches_from(arguments))
    }

    #[test]
    fn two_seeds_are_too_few() {
        let seeds = |n: u64| -> String { (0..n).map(|s| format!("{s},1,0.5\n{s},8,0.5{s}\n")).collect() };
        let error = tested(&format!("seed,ratio,fraction\n{}", seeds(2))).unwrap_err().to_string();
        assert!(error.contains("3 seeds") && error.ends_with("add seeds"), "{error}");
        let error = tested("seed,ratio,fraction\n0,1,0.5\n").unwrap_err().to_string();
        assert!(error.contains("runs with weights"), "{error}");
        tested(&format!("seed,ratio,fraction\n{}0,16,0.5\n", seeds(3))).unwrap();
        let all = read(Path::new("mine.csv"), &format!("seed,ratio,fraction\n{}0,16,0.5\n", seeds(3))).unwrap();
        let text = text_of(&all, &analyse(&all, 0.05), 0.05, Path::new("."));
        assert!(text.contains("16:1  left out: 1 of the 3 seeds") && text.contains("1 of 1 ratios"), "{text}");
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_what_to_do() {
        let arguments = ["equivalence", "no/such/file.csv"];
        let error = run(&command().get_matches_from(arguments)).unwrap_err().to_string();
        assert!(
            error.starts_with("no/such/file.csv: cannot be read") && error.contains("seed,ratio,fraction"),
            "{error}"
        );
    }
}
