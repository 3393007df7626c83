//! `refurbish`: SELFIE's rule on the user's own prediction history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use retrial_core::tool::{self, Error};

use crate::history::{Rule, majority, rule, uncertainty};

/// The command line of `refurbish`.
pub fn command() -> Command {
    Command::new("refurbish")
        .about("Say which labels your own network's prediction history would refurbish")
        .long_about(
            "Say which labels your own network's prediction history would refurbish.\n\nThe file has a header and the columns \
             sample, visit and prediction, in any order, and given if wanted: one row for each time that the network \
             predicted a sample while it was trained. Visits are numbers that grow with time; classes count from 0. The last \
             --history visits of a sample decide. A sample with fewer visits is not refurbishable yet. Written is \
             refurbished.csv with sample, visits, uncertainty, refurbishable, label (the majority vote) and changed \
             (whether it differs from the given label).",
        )
        .arg(tool::file("HISTORY.csv", "Columns sample,visit,prediction[,given]"))
        .arg(
            Arg::new("classes")
                .long("classes")
                .value_name("K")
                .required(true)
                .value_parser(value_parser!(u64).range(2..=65_536))
                .help("Number of classes"),
        )
        .arg(
            Arg::new("history")
                .long("history")
                .value_name("Q")
                .default_value("15")
                .value_parser(value_parser!(u64).range(1..=10_000))
                .help("Visits that count, the last ones"),
        )
        .arg(
            Arg::new("epsilon")
                .long("epsilon")
                .value_name("E")
                .default_value("0.05")
                .allow_negative_numbers(true)
                .value_parser(threshold)
                .help("Largest uncertainty of a refurbishable sample, 0 to 1"),
        )
        .arg(tool::out("refurbished.csv"))
}

fn threshold(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0. ..=1.).contains(&value) => Ok(value),
        Ok(_) => Err("outside 0 to 1; 0.05 is the published threshold".into()),
        Err(_) => Err("not a number; write one from 0 to 1".into()),
    }
}

/// Reads the history, writes the labels and prints the rule.
pub fn run(arguments: &ArgMatches) -> Result<(), Error> {
    let path: &PathBuf = arguments.get_one("file").expect("required");
    let out: &PathBuf = arguments.get_one("out").expect("has a default");
    let number = |name: &str| *arguments.get_one::<u64>(name).expect("required or has a default") as usize;
    let (classes, q) = (number("classes"), number("history"));
    let epsilon = *arguments.get_one::<f64>("epsilon").expect("has a default");
    let samples = read(path, &tool::read(path)?, classes)?;
    let judged: Vec<Judged> = samples.iter().map(|(name, s)| Judged::of(name, s, classes, q, epsilon)).collect();

    tool::write(out, "refurbished.csv", &csv_of(&judged))?;
    let target = out.join("refurbished.csv");
    tool::say(&format!("{}\n{}\nwritten to {}\n", in_words(classes, q, epsilon), tally(&judged, q), target.display()));
    Ok(())
}

/// A sample of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Predictions by visit.
    pub visits: BTreeMap<u64, u32>,
    /// The label that it came with.
    pub given: Option<u32>,
}

/// Reads the rows of a file, `text`; `path` names it in messages. Samples keep the order in which they first appear.
pub fn read(path: &Path, text: &str, classes: usize) -> Result<Vec<(String, Sample)>, Error> {
    let fail = |line: u64, problem: String| Error::Line { path: path.to_path_buf(), line, problem };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| fail(1, e.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    if header.is_empty() {
        return Err(fail(
            1,
            "the file is empty; write the columns sample,visit,prediction and a row for each visit".into(),
        ));
    }
    let need = |name: &str| {
        let found: Vec<&str> = header.iter().collect();
        let problem = format!("there is no column `{name}` (found {}); add it to the header", found.join(", "));
        column(name).ok_or_else(|| fail(1, problem))
    };
    let (sample, visit, prediction) = (need("sample")?, need("visit")?, need("prediction")?);
    let given = column("given");
    let names: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
    if let Some(name) =
        ["sample", "visit", "prediction", "given"].iter().find(|n| names.iter().filter(|h| h == *n).count() > 1)
    {
        return Err(fail(1, format!("there are two columns `{name}`; remove one")));
    }
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    let mut samples: Vec<(String, Sample)> = vec![];
    for record in reader.records() {
        let record = record.map_err(|e| {
            let line = tool::line(text, e.position());
            let problem = match e.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
                    "{len} columns where the header has {expected_len}; leave an unknown given label empty, and quote a \
                     name with a comma"
                ),
                _ => e.to_string(),
            };
            fail(line, problem)
        })?;
        let line = tool::line(text, record.position());
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let class = |column: usize, what: &str| {
            let text = cell(column);
            let problem = format!(
                "{what} `{text}` is no class; classes are 0 to {}: count from 0, or raise --classes",
                classes - 1
            );
            text.parse::<u32>().ok().filter(|&c| (c as usize) < classes).ok_or_else(|| fail(line, problem))
        };
        let name = cell(sample);
        if name.is_empty() {
            return Err(fail(line, "the sample has no name; give each sample a name or a number".into()));
        }
        let time = cell(visit).parse::<u64>().map_err(|_| {
            fail(line, format!("visit `{}` is no whole number; number the visits of a sample by time", cell(visit)))
        })?;
        let predicted = class(prediction, "prediction")?;
        let index = *order.entry(name.into()).or_insert(samples.len());
        if index == samples.len() {
            samples.push((name.into(), Sample::default()));
        }
        let entry = &mut samples[index].1;
        if entry.visits.insert(time, predicted).is_some() {
            return Err(fail(line, format!("visit {time} of sample {name} stands here a second time; keep one")));
        }
        if let Some(given) = given.filter(|&column| !cell(column).is_empty()) {
            let label = class(given, "given label")?;
            if entry.given.is_some_and(|known| known != label) {
                let known = entry.given.unwrap_or_default();
                return Err(fail(line, format!("sample {name} is given {label} here and {known} before; keep one")));
            }
            entry.given = Some(label);
        }
    }
    if samples.is_empty() {
        let problem = "has a header and no rows; write one row for each sample and visit".into();
        return Err(Error::Content { path: path.to_path_buf(), problem });
    }
    Ok(samples)
}

/// What the rule says of a sample; a row of `refurbished.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Its name.
    pub sample: String,
    /// Visits in the file.
    pub visits: usize,
    /// F of the last q of them.
    pub uncertainty: f64,
    /// q visits, and F <= epsilon.
    pub refurbishable: bool,
    /// Their majority vote.
    pub label: u32,
    /// Whether a refurbished label differs from the given one; none without a given one.
    pub changed: Option<bool>,
}

impl Judged {
    /// By the last `q` visits.
    pub fn of(name: &str, sample: &Sample, classes: usize, q: usize, epsilon: f64) -> Self {
        let mut votes = vec![0; classes];
        for &prediction in sample.visits.values().rev().take(q) {
            votes[prediction as usize] += 1;
        }
        let (f, label) = (uncertainty(&votes), majority(&votes));
        let refurbishable = sample.visits.len() >= q && f <= epsilon;
        Self {
            sample: name.into(),
            visits: sample.visits.len(),
            uncertainty: f,
            refurbishable,
            label,
            changed: sample.given.map(|given| refurbishable && given != label),
        }
    }
}

fn csv_of(judged: &[Judged]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(vec![]);
    let header = ["sample", "visits", "uncertainty", "refurbishable", "label", "changed"];
    writer.write_record(header).expect("memory takes every record");
    for j in judged {
        let row = [
            j.sample.clone(),
            j.visits.to_string(),
            format!("{:.6}", j.uncertainty),
            j.refurbishable.to_string(),
            j.label.to_string(),
            j.changed.map_or(String::new(), |changed| changed.to_string()),
        ];
        writer.write_record(row).expect("memory takes every record");
    }
    writer.into_inner().expect("memory takes every record")
}

/// What epsilon means in votes.
pub fn in_words(classes: usize, q: usize, epsilon: f64) -> String {
    let predictions = if q == 1 { "prediction".into() } else { format!("{q} predictions") };
    let what = format!("uncertainty <= {epsilon} of the last {predictions} among {classes} classes");
    match rule(classes, q, epsilon) {
        None => format!("{what}: nothing passes"),
        Some(Rule { dissenters, .. }) if dissenters == q - q.div_ceil(classes) => format!("{what}: everything passes"),
        Some(Rule { together: 0, .. }) => format!("{what} means: all {q} agree"),
        Some(Rule { dissenters, together }) if dissenters == together => {
            format!("{what} means: at most {dissenters} of {q} differ from the majority")
        }
        Some(Rule { dissenters, together }) => {
            // More than half cannot agree among themselves: they would be the majority.
            let how =
                if 2 * together <= q { "agree among themselves" } else { "fall on as few other classes as can be" };
            format!(
                "{what} means: at most {dissenters} of {q} differ from the majority however they scatter, up to {together} \
                 if they {how}"
            )
        }
    }
}

fn tally(judged: &[Judged], q: usize) -> String {
    let count = |wanted: &dyn Fn(&Judged) -> bool| judged.iter().filter(|j| wanted(j)).count();
    let mut text = format!("{} samples, {} refurbishable", judged.len(), count(&|j| j.refurbishable));
    if judged.iter().any(|j| j.changed.is_some()) {
        text += &format!(", {} of these to another label than the given one", count(&|j| j.changed == Some(true)));
    }
    let short = count(&|j| j.visits < q);
    if short > 0 {
        text += &format!("; {short} have fewer than {q} visits, which is too few to tell");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, classes: usize, q: usize, epsilon: f64) -> Result<Vec<Judged>, String> {
        let samples = read(Path::new("h.csv"), text, classes).map_err(|e| e.to_string())?;
        Ok(samples.iter().map(|(name, s)| Judged::of(name, s, classes, q, epsilon)).collect())
    }

    #[test]
    fn the_last_visits_decide_whatever_the_order_of_rows_and_columns() {
        let text = "prediction,given,visit,sample\n1,0,3,b\n1,0,2,b\n0,0,1,b\n2,,1,a\n";
        let judged = judge(text, 3, 2, 0.05).unwrap();
        assert_eq!((judged[0].sample.as_str(), judged[0].visits, judged[0].label), ("b", 3, 1));
        assert_eq!((judged[0].refurbishable, judged[0].changed), (true, Some(true)));
        assert_eq!((judged[1].refurbishable, judged[1].changed), (false, None), "one visit of two");
        let judged = judge(text, 3, 3, 0.05).unwrap();
        assert!(!judged[0].refurbishable && judged[0].changed == Some(false));
        assert!((judged[0].uncertainty - 0.579_380).abs() < 1e-6, "entropy of 2:1 over ln 3");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let header = "sample,visit,prediction,given\n";
        for (text, words) in [
            ("sample,visit\na,1\n".to_string(), ["line 1", "prediction"]),
            (format!("{header}a,1,0,0\na,2,7,0\n"), ["line 3", "`7`"]),
            (format!("{header}a,1,0,0\na,1,0,0\n"), ["line 3", "visit 1"]),
            (format!("{header}a,one,0,0\n"), ["line 2", "one"]),
            (format!("{header}a,1,0,0\na,2,0,1\n"), ["line 3", "given 1"]),
            (format!("{header}a,1,0\n"), ["line 2", "3 columns where the header has 4"]),
            (format!("{header}a,1,0,0,0\n"), ["line 2", "5 columns where the header has 4"]),
            (format!("{header},1,0,0\n"), ["line 2", "give each sample a name"]),
            (header.to_string(), ["h.csv", "no rows"]),
        ] {
            let said = judge(&text, 3, 2, 0.05).unwrap_err();
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
            assert!(!said.contains('\n'));
        }
    }

    #[test]
    fn the_rule_is_said_in_votes() {
        assert!(in_words(10, 15, 0.05).ends_with("all 15 agree"));
        assert!(in_words(200, 15, 0.05).ends_with("at most 1 of 15 differ from the majority"));
        assert!(in_words(10, 15, 0.2).ends_with(
            "at most 1 of 15 differ from the majority however they scatter, up to 2 if they agree among themselves"
        ));
        // Thirteen dissenters of fifteen leave a majority of two: they cannot agree.
        assert!(in_words(10, 15, 0.9).ends_with("up to 13 if they fall on as few other classes as can be"));
        assert!(
            in_words(10, 15, 1.).ends_with("everything passes") && in_words(5, 5, 1.).ends_with("everything passes")
        );
        assert!(in_words(10, 1, 0.05).ends_with("of the last prediction among 10 classes: everything passes"));
    }

    #[test]
    fn thresholds_outside_their_range_are_refused() {
        let parse = |epsilon: &str| {
            command().try_get_matches_from(["refurbish", "h.csv", "--classes", "3", "--epsilon", epsilon])
        };
        assert!(parse("0").is_ok() && parse("1").is_ok());
        for epsilon in ["-0.1", "1.5", "NaN", "small"] {
            let said = parse(epsilon).unwrap_err().to_string();
            assert!(said.contains("0 to 1"), "{said}");
        }
    }
}
