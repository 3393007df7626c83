//! The paper as the shared command line sees it.

use retrial_core::chart::Figure;
use retrial_core::experiment::{CellError, CellRun, Experiment, Paper, Profile};
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::results::{Claim, Error, Results, Table};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Method, Noise, Source, TaskConfig, Weights};
use crate::{claims, co_teaching, controls, experiments, figures, incv, memorise};

/// Chen et al. 2019.
pub struct NoisyQuadratic;

/// What remains of a finished cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "study", rename_all = "kebab-case")]
pub enum Summary {
    /// See [`memorise`].
    Memorise(memorise::Summary),
    /// See [`controls`].
    Neighbours(controls::Summary),
    /// See [`incv`].
    Incv(incv::Summary),
    /// See [`co_teaching::baseline`].
    Baseline(co_teaching::Summary),
}

impl Paper for NoisyQuadratic {
    type Config = Config;
    type Summary = Summary;

    fn id(&self) -> &'static str {
        "noisy-quadratic"
    }

    fn title(&self) -> &'static str {
        "Chen et al. 2019: test accuracy is quadratic in the noise ratio; iterative noisy cross-validation"
    }

    fn protocol(&self) -> u32 {
        1
    }

    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
        experiments::grid(profile, seeds)
    }

    fn cell_name(&self, config: &Config) -> String {
        match config {
            Config::Memorise(c) => {
                let (task, noise) = (task_name(&c.task), noise_name(&c.noise));
                format!("{task}-{}-{noise}-{}-seed{}", network_name(&c.architecture), c.level, c.seed)
            }
            Config::Neighbours(c) => {
                format!("{}-neighbours-{}-seed{}", task_name(&c.task), noise_name(&c.noise), c.seed)
            }
            Config::Incv(c) => {
                let weights = match c.weights {
                    Weights::Published => "published",
                    Weights::Best => "best",
                    Weights::Last => "last",
                };
                format!("{}-incv-{weights}-{}-{}-seed{}", task_name(&c.task), kind_name(&c.noise), c.level, c.seed)
            }
            Config::Baseline(c) => {
                let method = match c.method {
                    Method::CrossEntropy => "cross-entropy",
                    Method::CoTeaching => "co-teaching",
                    Method::Oracle => "oracle",
                    Method::NcvOnce => "ncv-once",
                };
                format!("{}-{method}-{}-{}-seed{}", task_name(&c.task), kind_name(&c.noise), c.level, c.seed)
            }
        }
    }

    fn expected_seconds(&self, config: &Config) -> f64 {
        experiments::expected_seconds(config)
    }

    fn train(&self, config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
        Ok(match config {
            Config::Memorise(c) => Summary::Memorise(memorise::train(c, run)?),
            Config::Neighbours(c) => Summary::Neighbours(controls::train(c, run)?),
            Config::Incv(c) => Summary::Incv(incv::train(c, run)?),
            Config::Baseline(c) => Summary::Baseline(co_teaching::baseline(c, run)?),
        })
    }

    fn tables(&self, results: &Results<Self>) -> Result<Vec<Table>, Error> {
        figures::tables(results)
    }

    fn figures(&self, results: &Results<Self>) -> Result<Vec<(String, Figure)>, Error> {
        figures::figures(results)
    }

    fn claims(&self, results: &Results<Self>) -> Result<Vec<Claim>, Error> {
        claims::claims(results)
    }
}

fn task_name(task: &TaskConfig) -> String {
    let source = match task.source {
        Source::Images(id) | Source::UnitImages(id) => id.to_string(),
        Source::Pca { dataset, components } => format!("{dataset}-pca{components}"),
        Source::Gaussians { .. } => "gaussians".into(),
    };
    format!("{source}-{}", task.train)
}

fn noise_name(noise: &Noise) -> String {
    match noise {
        Noise::Class(kind) => kind_name(kind),
        Noise::LowMargin => "low-margin".into(),
    }
}

fn kind_name(kind: &NoiseKind) -> String {
    match kind {
        NoiseKind::Clean => "clean".into(),
        NoiseKind::Symmetric => "symmetric".into(),
        NoiseKind::SymmetricInclusive => "symmetric-inclusive".into(),
        NoiseKind::Pair => "pair".into(),
        NoiseKind::CifarAsymmetric => "cifar-asymmetric".into(),
        NoiseKind::ClassConditional { matrix_seed } => format!("class-conditional{matrix_seed}"),
        NoiseKind::Matrix { .. } => "matrix".into(),
    }
}

fn network_name(architecture: &Architecture) -> String {
    match architecture {
        Architecture::Linear => "linear".into(),
        Architecture::Mlp { widths, dropout } => {
            let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
            let dropout = if *dropout > 0. { "-dropout" } else { "" };
            format!("mlp{}{dropout}", widths.join("x"))
        }
        Architecture::SmallCnn { .. } => "cnn".into(),
        Architecture::LeNet => "lenet".into(),
        Architecture::ResNet32 => "resnet32".into(),
        Architecture::ResNet110V2 => "resnet110v2".into(),
        other => format!("{other:?}").split([' ', '{']).next().unwrap_or_default().to_lowercase(),
    }
}
