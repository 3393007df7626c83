//! `fit`: the mixture on the losses of the user's own network.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use clap::Args;
use retrial_core::chart::{Axis, Bins, Color, Figure, Layer, Panel};
use retrial_core::stats::auc;
use retrial_core::tool::{self, Error};
use serde::{Deserialize, Serialize};

use crate::mixture::{self, Family, ITERATIONS, Mixture, Posterior, Rule};
use crate::train::{calibration, log_loss};

/// Fit a mixture to your own training losses: which labels are probably wrong?
#[derive(Args)]
struct Arguments {
    /// Column loss (cross-entropy of each sample against its given label, in nats), and if known mislabelled (0 or 1)
    #[arg(value_name = "LOSSES.csv")]
    file: PathBuf,
    /// Densities of the two components
    #[arg(long, value_enum, default_value = "beta")]
    mixture: Family,
    /// Normalisation and posterior as in the published code, or as in the paper
    #[arg(long, value_enum, default_value = "code")]
    rule: Rule,
    /// Rounds of EM
    #[arg(long, value_name = "N", default_value_t = ITERATIONS as u64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    iterations: u64,
    /// Where mixture.json, posterior.csv, fit.svg and fit.png go
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// The command line of `fit`.
pub fn command() -> clap::Command {
    Arguments::augment_args(clap::Command::new("fit"))
        .about("Fit a mixture to your own training losses: which labels are probably wrong?")
        .long_about(
            "Fit a mixture to your own training losses: which labels are probably wrong?\n\nMeasure the losses of all training \
             samples in evaluation mode, against the labels as given, while the learning rate is still high and wrong labels \
             are not yet fitted. The component of high losses then stands for wrong labels.",
        )
}

/// Reads the file, fits, writes the results and prints what was found.
pub fn run(arguments: &clap::ArgMatches) -> Result<(), Error> {
    let arguments = <Arguments as clap::FromArgMatches>::from_arg_matches(arguments).expect("clap has checked them");
    let losses = Losses::read(&arguments.file, &tool::read(&arguments.file)?)?;
    let report =
        Report::new(&arguments.file, losses, arguments.mixture, arguments.rule, arguments.iterations as usize)?;
    report.save(&arguments.out)?;
    tool::say(&report.text(&arguments.out));
    Ok(())
}

/// Losses of samples, and which labels are wrong where that is known.
pub struct Losses {
    /// In the order of the file.
    pub losses: Vec<f64>,
    /// In the same order.
    pub mislabelled: Option<Vec<bool>>,
}

#[derive(Deserialize)]
struct Row {
    loss: f64,
    mislabelled: Option<String>,
}

impl Losses {
    /// Reads the text of a file; `path` names it in messages.
    ///
    /// # Errors
    /// With the line, if a loss is missing, negative or not finite, or a mark is neither 0 nor 1; if there is no loss.
    pub fn read(path: &Path, text: &str) -> Result<Self, Error> {
        let refused = |line: u64, problem: String| Error::Line { path: path.into(), line, problem };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|e| refused(1, e.to_string()))?.clone();
        if !header.iter().any(|name| name == "loss") {
            return Err(refused(1, "no column `loss`; the header needs loss and, if known, mislabelled".into()));
        }
        for name in ["loss", "mislabelled"] {
            let columns = header.iter().filter(|column| *column == name).count();
            if columns > 1 {
                return Err(refused(1, format!("{columns} columns `{name}`; keep the one that is meant")));
            }
        }
        let marked = header.iter().any(|name| name == "mislabelled");
        let (mut losses, mut marks) = (vec![], vec![]);
        let mut record = csv::StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {}
                Err(e) => return Err(refused(tool::line(text, e.position()), short(&e))),
            }
            let line = tool::line(text, record.position());
            let row: Row = record.deserialize(Some(&header)).map_err(|_| {
                refused(line, format!("{:?} is no loss; write a number of nats", field(&record, &header)))
            })?;
            if !(row.loss.is_finite() && row.loss >= 0.) {
                return Err(refused(
                    line,
                    format!("a loss of {}; cross-entropies are finite and not negative", row.loss),
                ));
            }
            losses.push(row.loss);
            if marked {
                marks.push(match row.mislabelled.as_deref() {
                    Some("0") => false,
                    Some("1") => true,
                    other => {
                        let problem = format!("mislabelled is {:?}; write 0 or 1", other.unwrap_or_default());
                        return Err(refused(line, problem));
                    }
                });
            }
        }
        if losses.is_empty() {
            let problem = "has a header and no rows; write one row for each training sample".into();
            return Err(Error::Content { path: path.into(), problem });
        }
        Ok(Self { losses, mislabelled: marked.then_some(marks) })
    }
}

fn field(record: &csv::StringRecord, header: &csv::StringRecord) -> String {
    let column = header.iter().position(|name| name == "loss").unwrap_or(0);
    record.get(column).unwrap_or_default().to_string()
}

fn short(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} columns where the header has {expected_len}")
        }
        _ => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// `mixture.json`.
#[derive(Debug, Serialize)]
pub struct MixtureFile {
    /// `beta` or `gaussian`.
    pub family: Family,
    /// Whose rules.
    pub rule: Rule,
    /// Beta: first parameters, low losses first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<[f64; 2]>,
    /// Beta: second parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<[f64; 2]>,
    /// Gaussian: means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f64; 2]>,
    /// Gaussian: variances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variance: Option<[f64; 2]>,
    /// Shares.
    pub weight: [f64; 2],
    /// Loss that counts as 0.
    pub lo: f64,
    /// Loss that counts as 1.
    pub hi: f64,
    /// Rounds of EM.
    pub iterations: usize,
    /// What makes the fit doubtful.
    pub warnings: Vec<String>,
}

/// A row of `posterior.csv`.
#[derive(Debug, Serialize)]
pub struct PosteriorRow {
    /// Row of the file, from 1, the header not counted.
    pub row: usize,
    /// As given.
    pub loss: f64,
    /// Between 0 and 1.
    pub normalised: f64,
    /// Probability that the label is wrong.
    pub p_mislabelled: f64,
}

/// The fit of one file.
pub struct Report {
    name: String,
    losses: Losses,
    /// Rows of `posterior.csv`.
    pub rows: Vec<PosteriorRow>,
    /// Content of `mixture.json`.
    pub file: MixtureFile,
    fit: Posterior,
}

impl Report {
    /// Fits; `path` names the file in messages.
    ///
    /// # Errors
    /// If the losses do not spread.
    pub fn new(path: &Path, losses: Losses, family: Family, rule: Rule, iterations: usize) -> Result<Self, Error> {
        let fit = Posterior::fit(&losses.losses, family, rule, iterations).map_err(|error| {
            let remedy = match error {
                mixture::Error::TooFew(_) | mixture::Error::FewInside { .. } => {
                    "; give one row for each training sample"
                }
                mixture::Error::Constant => "; are these really the losses of single samples?",
                mixture::Error::Collapsed(..) => "; fewer --iterations, or --mixture gaussian, may still work",
            };
            Error::Content { path: path.into(), problem: format!("{error}{remedy}") }
        })?;
        let mut warnings = vec![];
        if fit.is_flat() {
            warnings.push("the posterior is the same for every loss: the fit tells nothing apart".to_string());
        }
        if fit.is_identity() {
            warnings.push("the posterior is the normalised loss itself: the mixture has added nothing".into());
        }
        let (mut alpha, mut beta, mut mean, mut variance) = (None, None, None, None);
        let weight = match &fit.mixture {
            Mixture::Beta(m) => {
                if m.is_swapped() {
                    warnings.push("the components have changed places: the second has the lower losses".into());
                }
                (alpha, beta) = (Some(m.alpha), Some(m.beta));
                m.weight
            }
            Mixture::Gaussian(m) => {
                (mean, variance) = (Some(m.mean), Some(m.variance));
                m.weight
            }
        };
        let (lo, hi) = (fit.scale.lo, fit.scale.hi);
        let row = |(i, &loss): (usize, &f64)| {
            let normalised = fit.scale.apply(loss);
            PosteriorRow { row: i + 1, loss, normalised, p_mislabelled: fit.of_normalised(normalised) }
        };
        let rows = losses.losses.iter().enumerate().map(row).collect();
        let file = MixtureFile { family, rule, alpha, beta, mean, variance, weight, lo, hi, iterations, warnings };
        Ok(Self { name: path.display().to_string(), losses, rows, file, fit })
    }

    /// Writes `mixture.json`, `posterior.csv`, `fit.svg` and `fit.png`.
    ///
    /// # Errors
    /// If the folder takes no file.
    pub fn save(&self, out: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(&self.file).expect("numbers and words become JSON");
        tool::write(out, "mixture.json", format!("{json}\n").as_bytes())?;
        let mut table = csv::Writer::from_writer(vec![]);
        for row in &self.rows {
            table.serialize(row).expect("memory takes every row");
        }
        tool::write(out, "posterior.csv", &table.into_inner().expect("memory takes every row"))?;
        self.figure().save(&out.join("fit"))?;
        Ok(())
    }

    /// What is printed.
    pub fn text(&self, out: &Path) -> String {
        let pair = |name: &str, values: Option<[f64; 2]>| {
            values.map_or(String::new(), |[a, b]| format!("  {name:9}{a:>12.6}{b:>12.6}\n"))
        };
        let f = &self.file;
        let mut text = format!(
            "{}: {} losses, {:?} mixture, {} rounds\n\n  {:9}{:>12}{:>12}\n{}{}{}{}{}",
            self.name,
            self.rows.len(),
            f.family,
            f.iterations,
            "",
            "low losses",
            "high losses",
            pair("alpha", f.alpha),
            pair("beta", f.beta),
            pair("mean", f.mean),
            pair("variance", f.variance),
            pair("weight", Some(f.weight)),
        );
        let likely = self.rows.iter().filter(|row| row.p_mislabelled > 0.5).count();
        text += &format!("\n{likely} of {} labels are more likely wrong than right.\n", self.rows.len());
        if let Some(marks) = &self.losses.mislabelled {
            let w: Vec<f64> = self.rows.iter().map(|row| row.p_mislabelled).collect();
            let hits = w.iter().zip(marks).filter(|(w, wrong)| **w > 0.5 && **wrong).count();
            let wrong = marks.iter().filter(|m| **m).count();
            let share = |of: usize| match of {
                0 => "undefined".to_string(),
                of => format!("{:.3}", hits as f64 / of as f64),
            };
            let area = auc(&self.losses.losses, marks).map_or("undefined".into(), |a| format!("{a:.3}"));
            text += &format!(
                "Against the marks: AUC of the loss {area}, precision {}, recall {}, log-loss {:.3} nats; {wrong} are \
                 wrong.\n  mean posterior   share wrong   samples\n",
                share(likely),
                share(wrong),
                log_loss(&w, marks),
            );
            for bin in calibration(0, &w, marks) {
                text += &format!("  {:>14.3}{:>14.3}{:>10}\n", bin.forecast, bin.wrong, bin.samples);
            }
        }
        for warning in &f.warnings {
            text += &format!("warning: {warning}\n");
        }
        text + &format!("{}\n", out.join("posterior.csv").display())
    }

    fn figure(&self) -> Figure {
        let bins = Bins { low: 0., high: 1., count: 40 };
        let normalised: Vec<f64> = self.fit.scale.fitted(&self.losses.losses);
        let mut panel = Panel::new().x(Axis::linear("normalised loss")).y(Axis::linear("density").from(0.));
        match &self.losses.mislabelled {
            Some(marks) => {
                for (name, which, color) in [("right", false, Color::BLUE), ("wrong", true, Color::ORANGE)] {
                    let group: Vec<f64> =
                        self.losses.losses.iter().zip(marks).filter(|(_, m)| **m == which).map(|(l, _)| *l).collect();
                    let group = self.fit.scale.fitted(&group);
                    panel = panel.layer(Layer::histogram(name, &group, bins, normalised.len()).color(color));
                }
            }
            None => panel = panel.layer(Layer::histogram("losses", &normalised, bins, normalised.len())),
        }
        let xs = || (1..200).map(|i| f64::from(i) / 200.);
        panel = panel.layer(Layer::theory("mixture", xs().map(|x| (x, self.fit.mixture.density(x)))));
        let posterior = Panel::new()
            .x(Axis::linear("normalised loss"))
            .y(Axis::linear("probability that the label is wrong").range(0., 1.))
            .layer(Layer::line("posterior", xs().map(|x| (x, self.fit.of_normalised(x)))).markers(false));
        Figure::new("Which labels are probably wrong?")
            .subtitle(&format!("{} losses, {:?} mixture", self.rows.len(), self.file.family))
            .panel(panel)
            .panel(posterior)
            .columns(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: &[(f64, &str)], rule: Rule) -> Result<Report, Error> {
        let rows: String = rows.iter().map(|(loss, mark)| format!("{loss},{mark}\n")).collect();
        let losses = Losses::read(Path::new("losses.csv"), &format!("loss,mislabelled\n{rows}"))?;
        Report::new(Path::new("losses.csv"), losses, Family::Beta, rule, ITERATIONS)
    }

    /// Losses of one beta law leave the mixture where it started, and both rules must say so.
    #[test]
    fn a_mixture_that_adds_nothing_is_told_by_both_rules() {
        // Its first parameter is one half, then two: at 0 the densities are infinite, then 0.
        let one_law = |power: f64| -> Vec<(f64, &str)> {
            (0..1000).map(|i| (((f64::from(i) + 0.5) / 1000.).powf(power), if i < 500 { "0" } else { "1" })).collect()
        };
        let two_groups: Vec<(f64, &str)> = (0..500)
            .map(|i| (0.3 * (f64::from(i) / 500.).powi(2), "0"))
            .chain((0..500).map(|i| (2. + f64::from(i) / 500., "1")))
            .collect();
        for rule in [Rule::Code, Rule::Paper] {
            for power in [2., 0.5] {
                let warnings = report(&one_law(power), rule).unwrap().file.warnings;
                let told = warnings.iter().any(|w| w.contains("the normalised loss itself"));
                assert!(told, "{rule:?}, power {power}: {warnings:?}");
            }
            let warnings = report(&two_groups, rule).unwrap().file.warnings;
            assert!(warnings.is_empty(), "{rule:?}: {warnings:?}");
        }
    }

    #[test]
    fn what_is_undefined_is_said_so() {
        // Nobody is likely wrong, nobody is wrong.
        let calm: Vec<(f64, &str)> =
            (0..200).map(|i| (0.01 + f64::from(i % 20) * 1e-4, "0")).chain([(9., "0")]).collect();
        let text = report(&calm, Rule::Paper).unwrap().text(Path::new("."));
        assert!(text.contains("recall undefined") && text.contains("AUC of the loss undefined"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn doubtful_files_are_refused_with_the_reason() {
        let refused = |text: &str| match Losses::read(Path::new("losses.csv"), text) {
            Ok(_) => panic!("taken: {text}"),
            Err(error) => error.to_string(),
        };
        assert!(refused("loss,loss\n1,2\n").contains("line 1: 2 columns `loss`"));
        assert!(refused("loss,mislabelled,mislabelled\n1,0,1\n").contains("2 columns `mislabelled`"));
        let few = report(&[(1., "0"), (2., "1")], Rule::Code).err().expect("two rows are too few").to_string();
        assert!(few.contains("only 0 of 2 losses lie between") && few.contains("one row for each"), "{few}");
    }
}
