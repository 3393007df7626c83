//! `tau`: would importance sampling pay off for the user's own scores?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use retrial_core::results::Table;
use retrial_core::tool::{self, Error};
use serde::Serialize;

use crate::sampling::{Distribution, break_even, tau, threshold, variance_ratio, variance_times_cost};
use crate::scores::softmax;

/// The command line of `tau`.
pub fn command() -> Command {
    Command::new("tau")
        .about("Say whether importance sampling would pay off for scores of your own")
        .long_about(
            "Say whether importance sampling would pay off for scores of your own.\n\nFILE is a CSV file, one row for each \
             sample of a pre-sample: a column `score` (an upper bound on the gradient norm, or anything else that is not \
             negative), or columns `logit_0`, `logit_1`, ... and `label`, from which the bound is computed.",
        )
        .arg(tool::file("FILE", "Scores or logits"))
        .arg(
            Arg::new("batch")
                .long("batch")
                .value_name("b")
                .required(true)
                .value_parser(value_parser!(u32).range(1..))
                .help("Samples of an update"),
        )
        .arg(
            Arg::new("cost-ratio")
                .long("cost-ratio")
                .value_name("c")
                .default_value("3")
                .value_parser(positive)
                .help("Cost of training on a sample over that of scoring it"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Write sampling.csv (row,score,probability,weight) there"),
        )
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (1e-3..=1e6).contains(&value) => Ok(value),
        Ok(_) => Err("must be from 0.001 to 1000000".into()),
        Err(_) => Err("not a number".into()),
    }
}

/// Reads the scores, prints the answer and writes the probabilities.
pub fn run(arguments: &ArgMatches) -> Result<(), Error> {
    let path: &PathBuf = arguments.get_one("file").expect("required");
    let batch = *arguments.get_one::<u32>("batch").expect("required") as usize;
    let cost_ratio = *arguments.get_one::<f64>("cost-ratio").expect("has a default");
    let scores = read(path)?;
    if scores.len() < batch {
        let problem =
            format!("{} scores cannot fill a batch of {batch}; give a smaller --batch or more rows", scores.len());
        return Err(Error::Content { path: path.clone(), problem });
    }
    let answer = Answer::new(&scores, batch, cost_ratio);
    tool::say(&answer.to_string());
    if let Some(folder) = arguments.get_one::<PathBuf>("out") {
        write(folder, &scores)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Line {
    row: usize,
    score: f64,
    probability: f64,
    weight: Option<f64>,
}

fn write(folder: &Path, scores: &[f64]) -> Result<(), Error> {
    let distribution = Distribution::new(scores);
    let line = |(i, &score): (usize, &f64)| {
        let probability = distribution.probabilities[i];
        // What is too small for a finite weight is never drawn.
        Line { row: i + 1, score, probability, weight: Some(distribution.weight(i)).filter(|w| w.is_finite()) }
    };
    let lines: Vec<Line> = scores.iter().enumerate().map(line).collect();
    let table = Table::from_rows("sampling", &lines)
        .map_err(|error| Error::Content { path: folder.join("sampling.csv"), problem: error.to_string() })?;
    tool::write(folder, "sampling.csv", &table.to_csv())
}

/// Scores from a file: as they stand, or from logits and labels.
pub fn read(path: &Path) -> Result<Vec<f64>, Error> {
    let text = tool::read(path)?;
    if text.trim().is_empty() {
        let problem = "the file is empty; give a header with `score`, or with `logit_0`, `logit_1`, ... and `label`, and \
                       one row for each sample";
        return Err(Error::Content { path: path.into(), problem: problem.into() });
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let wrong_row = |line: u64, problem: String| Error::Line { path: path.into(), line, problem };
    let unreadable = |error: csv::Error| {
        let line = tool::line(&text, error.position());
        let message = match error.into_kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!(
                    "{len} columns where the header has {expected_len}; give this row a value for each, or remove it"
                )
            }
            other => format!("{other:?}"),
        };
        wrong_row(line, message)
    };
    let header = reader.headers().map_err(unreadable)?.clone();
    let column = |name: &str| header.iter().position(|h| h == name);
    let columns = |message: &str| Error::Content { path: path.into(), problem: message.into() };
    let logits: Vec<usize> = (0..).map_while(|k| column(&format!("logit_{k}"))).collect();
    if let Some((i, name)) = header.iter().enumerate().find(|(i, name)| header.iter().take(*i).any(|h| h == *name)) {
        return Err(columns(&format!("column {} is a second `{name}`; remove one", i + 1)));
    }
    if let Some(name) = header.iter().filter(|name| name.starts_with("logit_")).nth(logits.len()) {
        let missing = format!("logit_{}", logits.len());
        return Err(columns(&format!(
            "there is a column `{name}` but none `{missing}`; number the logits from 0 without gaps"
        )));
    }
    if column("score").is_some() && !logits.is_empty() {
        return Err(columns("there are scores and logits; keep one of them"));
    }
    enum Kind {
        Score(usize),
        Logits(Vec<usize>, usize),
    }
    let kind = match (column("score"), column("label")) {
        (Some(score), _) => Kind::Score(score),
        (None, Some(label)) if logits.len() > 1 => Kind::Logits(logits, label),
        (None, Some(_)) => return Err(columns("logits need the columns `logit_0`, `logit_1`, ... beside `label`")),
        _ => {
            return Err(columns(
                "the header has neither `score` nor `logit_0`, `logit_1`, ... with `label`; name the columns so",
            ));
        }
    };
    let mut scores = vec![];
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = tool::line(&text, record.position());
        let wrong = |message: String| wrong_row(line, message);
        let number = |column: usize| -> Result<f64, Error> {
            let text = record.get(column).unwrap_or_default();
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(value),
                _ => Err(wrong(format!(
                    "`{}` is `{text}`, not a finite number; correct it or remove the row",
                    &header[column]
                ))),
            }
        };
        scores.push(match &kind {
            Kind::Score(column) => match number(*column)? {
                score if score < 0. => {
                    return Err(wrong(format!(
                        "a score of {score}; scores must not be negative: correct it, give its size, or remove the row"
                    )));
                }
                score => score,
            },
            Kind::Logits(logits, label) => {
                let z: Vec<f64> = logits.iter().map(|&c| number(c)).collect::<Result<_, _>>()?;
                let text = record.get(*label).unwrap_or_default();
                // Some programs write whole numbers as 1.0.
                match text.parse::<f64>() {
                    Ok(y) if y >= 0. && y.fract() == 0. && y < z.len() as f64 => {
                        softmax(&z, y as usize, &mut vec![0.; z.len()]).1
                    }
                    _ => {
                        return Err(wrong(format!(
                            "label `{text}` is none of the classes 0 to {}; number them as the columns of logits are",
                            z.len() - 1
                        )));
                    }
                }
            }
        });
    }
    if scores.is_empty() {
        return Err(columns("there are no rows below the header; give one for each sample"));
    }
    Ok(scores)
}

/// What the scores of a pre-sample say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Scores.
    pub presample: usize,
    /// Samples of an update.
    pub batch: usize,
    /// Cost of training on a sample over that of scoring it.
    pub cost_ratio: f64,
    /// tau of these scores.
    pub tau: f64,
    /// All were zero.
    pub fell_back: bool,
}

impl Answer {
    /// Of scores that are finite and not negative.
    pub fn new(scores: &[f64], batch: usize, cost_ratio: f64) -> Self {
        let distribution = Distribution::new(scores);
        Self {
            presample: scores.len(),
            batch,
            cost_ratio,
            tau: tau(&distribution.probabilities),
            fell_back: distribution.fell_back,
        }
    }

    /// The published condition.
    pub fn pays(&self) -> bool {
        self.tau > threshold(self.presample, self.batch, self.cost_ratio)
    }

    /// The condition on variance times cost, the pre-sample's own variance included and the mean gradient neglected.
    pub fn pays_in_full(&self) -> bool {
        variance_times_cost(self.presample, self.batch, self.tau.powi(-2), self.cost_ratio) < 1.
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { presample, batch, cost_ratio, tau, fell_back } = *self;
        let rho = tau.powi(-2);
        let mut text = String::new();
        if fell_back {
            let _ = writeln!(text, "all scores are zero: falling back to uniform probabilities");
        }
        let _ = writeln!(text, "tau            {tau:.4}   ({presample} scores, batch {batch})");
        let _ = writeln!(
            text,
            "threshold      {:.4}   (B + {cost_ratio} b) / ({cost_ratio} b)",
            threshold(presample, batch, cost_ratio)
        );
        let _ = writeln!(
            text,
            "variance       {rho:.4}   of a uniform batch's, given these {presample} samples (at most, for true gradient \
             norms)"
        );
        let _ = writeln!(
            text,
            "               {:.4}   with the variance of drawing them",
            variance_ratio(presample, batch, rho)
        );
        let product = variance_times_cost(presample, batch, rho, cost_ratio);
        let _ = writeln!(text, "variance x cost {product:.4}  of uniform sampling's");
        match break_even(presample, batch, cost_ratio) {
            Some(tau) => _ = writeln!(text, "break-even tau {tau:.4}   for variance x cost, mean gradient neglected"),
            None => _ = writeln!(text, "break-even tau none: no scores pay at this B, b and cost ratio"),
        }
        let sentence = match (self.pays(), self.pays_in_full()) {
            (true, true) => "Sampling by these scores would pay off, by the paper's rule and by variance x cost.",
            (true, false) => "The paper's rule would sample by score; by variance x cost it would not pay off.",
            (false, true) => "The paper's rule would stay uniform, though variance x cost says that sampling pays off.",
            (false, false) => "Sampling by these scores would not pay off: stay uniform.",
        };
        let _ = writeln!(text, "{sentence}");
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.csv");
        std::fs::write(&path, content).unwrap();
        read(&path).unwrap_err().to_string()
    }

    /// Each message says where, what, and after a semicolon or colon what to do.
    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let cases: [(&[u8], &[&str]); 9] = [
            (b"", &["is empty; give a header with `score`"]),
            (b"\n \n", &["is empty; give a header"]),
            (b"score\n", &["no rows below the header; give one for each sample"]),
            (b"score\n1\nNaN\n", &["line 3", "`NaN`", "correct it or remove the row"]),
            (b"score\n-2\n", &["line 2", "-2", "correct it"]),
            (b"logit_0,logit_1,label\n1,2,2\n", &["line 2", "label `2`", "0 to 1; number them"]),
            (b"score,id\n1,2\n3\n", &["line 3", "1 columns where the header has 2; give"]),
            (b"points\n1\n", &["neither `score` nor `logit_0`", "name the columns so"]),
            (b"score\n1\n\xff\n", &["line 3", "no UTF-8", "save the file as UTF-8"]),
        ];
        for (content, words) in cases {
            let message = refusal(content);
            assert!(words.iter().all(|word| message.contains(word)) && !message.contains('\n'), "{message}");
        }
    }

    /// Ten scores for a batch of two, at the break-even tau: both sentences about variance x cost agree.
    #[test]
    fn the_two_statements_on_break_even_agree() {
        let mut scores = [1.; 10];
        let of = |scores: &[f64]| Answer::new(scores, 2, 3.);
        let even = break_even(10, 2, 3.).unwrap();
        for largest in 1..200 {
            scores[9] = f64::from(largest);
            let answer = of(&scores);
            assert_eq!(answer.pays_in_full(), answer.tau > even, "{largest}");
        }
        assert!(of(&scores).pays_in_full() && !of(&[1.; 10]).pays_in_full());
    }
}
