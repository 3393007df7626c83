//! `predict`: what a memorising network would score under the user's own noise.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use retrial_core::noise::{self, TransitionMatrix};
use retrial_core::tool;

use crate::laws::leaked_matrix;

/// Why there is no prediction.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The matrix cannot be used.
    #[error(transparent)]
    Matrix(#[from] noise::Error),
}

/// The command line of `predict`.
pub fn command() -> Command {
    Command::new("predict")
        .about("Predict the accuracy on noisy labels of a network that memorises noise of your own")
        .long_about(
            "Predict the accuracy on noisy labels of a network that memorises its noisy training labels.\n\nThe matrix is a CSV \
             file without a header: row i holds the probabilities of the given labels of class i. Classes are taken to be \
             equally frequent.",
        )
        .arg(
            Arg::new("matrix")
                .long("matrix")
                .value_name("T.csv")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Transition matrix, one row for each class"),
        )
        .arg(
            Arg::new("accuracy")
                .long("accuracy")
                .value_name("a0")
                .default_value("1")
                .value_parser(share)
                .help("Accuracy of the network when trained without noise, 0 to 1"),
        )
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        Ok(value) if value > 1.0 && value <= 100.0 => Err("outside 0 to 1; write a share, not percent".into()),
        Ok(_) => Err("outside 0 to 1".into()),
        Err(_) => Err("not a number".into()),
    }
}

/// Reads the matrix and prints the prediction.
pub fn run(arguments: &ArgMatches) -> Result<(), Error> {
    let path: &PathBuf = arguments.get_one("matrix").expect("required");
    let a0 = *arguments.get_one::<f64>("accuracy").expect("has a default");
    let matrix = TransitionMatrix::read_csv(path)?;
    if matrix.classes() < 2 {
        let problem = "holds one class; write one row of probabilities for each of at least two".into();
        return Err(noise::Error::File { path: path.clone(), line: None, problem }.into());
    }
    let prediction = Prediction::new(&matrix, a0)?;
    tool::say(&format!("{}: {prediction}", path.display()));
    Ok(())
}

/// What the theory expects of a network under some noise, classes equally frequent.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Accuracy without noise.
    pub a0: f64,
    /// Share of wrong labels.
    pub flipped: f64,
    /// A of a network that repeats the noise: Σᵢ πᵢ Σⱼ Tᵢⱼ Mᵢⱼ with M = a₀T + (1 − a₀)(1 − T)/(c − 1).
    pub memoriser: f64,
    /// Its m.
    pub memoriser_clean: f64,
    /// A of a network that resists all noise and keeps its accuracy a₀ on clean labels.
    pub robust: f64,
    /// A of the memoriser by class.
    pub by_class: Vec<f64>,
}

impl Prediction {
    /// Fails on a matrix of one class.
    pub fn new(transition: &TransitionMatrix, a0: f64) -> Result<Self, Error> {
        let classes = transition.classes();
        let memoriser = leaked_matrix(transition, a0)?;
        let robust = leaked_matrix(&TransitionMatrix::identity(classes)?, a0)?;
        let frequencies = vec![1.0 / classes as f64; classes];
        let by_class = transition.rows().zip(memoriser.rows());
        Ok(Prediction {
            a0,
            flipped: transition.flip_rate(&frequencies)?,
            memoriser: transition.noisy_accuracy(&frequencies, &memoriser)?,
            memoriser_clean: 1.0 - memoriser.flip_rate(&frequencies)?,
            robust: transition.noisy_accuracy(&frequencies, &robust)?,
            by_class: by_class.map(|(t, m)| t.iter().zip(m).map(|(t, m)| t * m).sum()).collect(),
        })
    }
}

impl std::fmt::Display for Prediction {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let mut text = format!("{} classes, {:.4} of the labels wrong\n", self.by_class.len(), self.flipped);
        let _ = writeln!(text, "a memorising network with accuracy {} without noise scores", self.a0);
        let _ = writeln!(text, "  {:.4} on noisy labels", self.memoriser);
        let _ = writeln!(text, "  {:.4} on clean labels", self.memoriser_clean);
        let _ = writeln!(text, "one that resisted all noise would score {:.4} and {:.4}", self.robust, self.a0);
        let (worst, best) = self.by_class.iter().enumerate().fold((0, 0), |(worst, best), (i, a)| {
            (if *a < self.by_class[worst] { i } else { worst }, if *a > self.by_class[best] { i } else { best })
        });
        if self.by_class[best] - self.by_class[worst] > 1e-9 {
            let _ = writeln!(
                text,
                "by class, on noisy labels: from {:.4} (class {worst}) to {:.4} (class {best})",
                self.by_class[worst], self.by_class[best]
            );
        }
        f.write_str(&text)
    }
}
