//! The verdicts that lie below a results folder.

use std::path::{Path, PathBuf};

use retrial_core::experiment::Profile;
use retrial_core::results::{read_csv, short};
use serde::Deserialize;

use crate::Error;

/// A paper on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Name of its binary and folder.
    pub id: &'static str,
    /// Authors, year and title.
    pub citation: &'static str,
}

/// In the order in which they are told.
pub const PAPERS: [Paper; 6] = [
    Paper {
        id: "noisy-quadratic",
        citation: "Chen et al. 2019, Understanding and Utilizing Deep Neural Networks Trained with Noisy Labels",
    },
    Paper {
        id: "loss-correction",
        citation: "Arazo et al. 2019, Unsupervised Label Noise Modeling and Loss Correction",
    },
    Paper {
        id: "importance-weighting",
        citation: "Byrd & Lipton 2019, What is the Effect of Importance Weighting in Deep Learning?",
    },
    Paper { id: "selfie", citation: "Song et al. 2019, SELFIE: Refurbishing Unclean Samples for Robust Deep Learning" },
    Paper {
        id: "critical-periods",
        citation: "Achille et al. 2019, Critical Learning Periods in Deep Neural Networks",
    },
    Paper {
        id: "importance-sampling",
        citation: "Katharopoulos & Fleuret 2018, Not All Samples Are Created Equal: Deep Learning with Importance Sampling",
    },
];

/// A row of `claims.csv`.
#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    /// `NQ2`.
    pub id: String,
    /// What is claimed.
    pub statement: String,
    /// Its place in the paper.
    pub r#where: String,
    /// `supported`, `refuted`, `inconclusive` or `not tested at this scale`.
    pub verdict: String,
    /// The number that decides.
    pub estimate: Option<f64>,
    /// Lower end of its interval.
    pub ci_low: Option<f64>,
    /// Upper end of its interval.
    pub ci_high: Option<f64>,
    /// The rule, fixed before the run.
    pub threshold: String,
    /// Independent repetitions.
    pub seeds: usize,
    /// What the verdict speaks of.
    pub scope: String,
    /// The paper's own number.
    pub reported: String,
    /// Why this verdict.
    pub reason: String,
}

impl Verdict {
    /// `0.014 [0.002, 0.026]`, or nothing.
    pub fn measured(&self) -> String {
        let interval = self.ci_low.zip(self.ci_high).map(|(low, high)| format!("[{}, {}]", short(low), short(high)));
        [self.estimate.map(short), interval].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// A paper at one profile.
#[derive(Debug)]
pub struct Trial {
    /// The paper.
    pub paper: Paper,
    /// The profile.
    pub profile: Profile,
    /// Its verdicts, in the order of `claims.csv`.
    pub verdicts: Vec<Verdict>,
    /// Vector files of its figures, by name.
    pub figures: Vec<PathBuf>,
    /// Processor minutes that its cells took, where `tables/time.csv` tells.
    pub cpu_minutes: Option<f64>,
}

impl Trial {
    /// How many claims got this verdict.
    pub fn count(&self, verdict: &str) -> usize {
        self.verdicts.iter().filter(|v| v.verdict == verdict).count()
    }
}

/// The trials below a results folder, by paper and then from the largest profile to the smallest.
///
/// # Errors
/// If a file is there but cannot be read, or if there is none at all.
pub fn trials(results: &Path) -> Result<Vec<Trial>, Error> {
    let mut found = vec![];
    for paper in PAPERS {
        for profile in [Profile::Paper, Profile::Standard, Profile::Quick] {
            let folder = results.join(profile.name()).join(paper.id);
            let claims = folder.join("claims.csv");
            if !claims.exists() {
                continue;
            }
            let verdicts = read_csv(&claims)?;
            let (figures, cpu_minutes) = (figures(&folder)?, cpu_minutes(&folder)?);
            found.push(Trial { paper, profile, verdicts, figures, cpu_minutes });
        }
    }
    if found.is_empty() { Err(Error::Nothing(results.into())) } else { Ok(found) }
}

fn figures(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = folder.join("figures");
    if !folder.exists() {
        return Ok(vec![]);
    }
    let io = |source| Error::Io { path: folder.clone(), source };
    let mut figures = vec![];
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            figures.push(path);
        }
    }
    figures.sort();
    Ok(figures)
}

#[derive(Deserialize)]
struct Time {
    experiment: String,
    cpu_seconds: Option<f64>,
}

fn cpu_minutes(folder: &Path) -> Result<Option<f64>, Error> {
    let path = folder.join("tables/time.csv");
    if !path.exists() {
        return Ok(None);
    }
    let rows: Vec<Time> = read_csv(&path)?;
    Ok(rows.into_iter().find(|row| row.experiment == "all").and_then(|row| row.cpu_seconds).map(|s| s / 60.))
}
