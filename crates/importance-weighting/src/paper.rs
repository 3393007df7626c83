//! The paper as the shared command line sees it.

use retrial_core::chart::Figure;
use retrial_core::experiment::{CellError, CellRun, Experiment, Paper, Profile};
use retrial_core::model::Architecture;
use retrial_core::results::{Claim, Error, Results, Table};
use serde::{Deserialize, Serialize};

use crate::config::{Config, PlaneModel, Points};
use crate::weighting::{Convention, Loss};
use crate::{claims, experiments, figures, images, label_shift, plane, tables};

/// Byrd and Lipton 2019.
pub struct ImportanceWeighting;

/// What remains of a finished cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "study", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "a few hundred of them at most")]
pub enum Summary {
    /// See [`plane`].
    Plane(plane::Summary),
    /// See [`images`].
    Images(images::Summary),
    /// See [`label_shift`].
    LabelShift(label_shift::Summary),
}

impl Paper for ImportanceWeighting {
    type Config = Config;
    type Summary = Summary;

    fn id(&self) -> &'static str {
        "importance-weighting"
    }

    fn title(&self) -> &'static str {
        "Byrd and Lipton 2019: the effect of importance weighting fades in deep networks"
    }

    fn protocol(&self) -> u32 {
        1
    }

    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
        experiments::grid(profile, seeds)
    }

    fn cell_name(&self, config: &Config) -> String {
        match config {
            Config::Plane(c) => {
                let points = match c.points {
                    Points::Gaussians { centre, .. } => format!("gaussians{centre}"),
                    Points::Moons { .. } => "moons".into(),
                };
                let model = match c.model {
                    PlaneModel::Linear => "line",
                    PlaneModel::Mlp { .. } => "mlp",
                };
                let penalty = if c.lambda > 0. { format!("-l2-{}", c.lambda) } else { String::new() };
                format!("{points}-{model}{penalty}-{}-seed{}", ratio_name(c.ratio), c.seed)
            }
            Config::LabelShift(c) => format!("label-shift-{}-seed{}", c.dog_share, c.network.seed),
            Config::Images(c) => {
                let mut name = match &c.architecture {
                    Architecture::TwoStageCnn { norm, dropout, .. } => {
                        format!(
                            "cnn{}{}",
                            if *norm { "-norm" } else { "" },
                            if *dropout > 0. { "-dropout" } else { "" }
                        )
                    }
                    Architecture::Mlp { .. } => "mlp".into(),
                    _ => "net".into(),
                };
                name += &format!("-{}cats-{}dogs", c.counts[0] * c.copies[0], c.counts[1] * c.copies[1]);
                if c.lambda > 0. {
                    name += &format!("-l2-{}", c.lambda);
                }
                if let Loss::Polynomial { .. } = c.loss {
                    name += "-tail";
                }
                name += match c.convention {
                    Convention::Plain => "-plain",
                    Convention::Batch => "",
                    Convention::Global => "-global",
                };
                format!("{name}-{}-seed{}", ratio_name(c.ratio), c.seed)
            }
        }
    }

    fn expected_seconds(&self, config: &Config) -> f64 {
        experiments::expected_seconds(config)
    }

    fn train(&self, config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
        Ok(match config {
            Config::Plane(c) => Summary::Plane(plane::train(c, run)?),
            Config::Images(c) => Summary::Images(images::train(c, run)?),
            Config::LabelShift(c) => Summary::LabelShift(label_shift::train(c, run)?),
        })
    }

    fn tables(&self, results: &Results<Self>) -> Result<Vec<Table>, Error> {
        tables::tables(results)
    }

    fn figures(&self, results: &Results<Self>) -> Result<Vec<(String, Figure)>, Error> {
        figures::figures(results)
    }

    fn claims(&self, results: &Results<Self>) -> Result<Vec<Claim>, Error> {
        claims::claims(results)
    }
}

/// `16:1`, `1:16`: dogs (or positives) first.
pub fn ratio_text(ratio: f64) -> String {
    if ratio >= 1. { format!("{}:1", round(ratio)) } else { format!("1:{}", round(1. / ratio)) }
}

/// The same for a file name.
fn ratio_name(ratio: f64) -> String {
    ratio_text(ratio).replace(':', "to")
}

fn round(x: f64) -> f64 {
    (x * 100.).round() / 100.
}
