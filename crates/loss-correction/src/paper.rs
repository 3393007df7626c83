//! The paper as the shared command line sees it.

use retrial_core::chart::Figure;
use retrial_core::experiment::{CellError, CellRun, Experiment, Paper, Profile};
use retrial_core::model::Architecture;
use retrial_core::results::{Claim, Error, Results, Table};

use crate::config::{Config, Noise};
use crate::mixture::Rule;
use crate::train::{self, Summary};
use crate::{claims, experiments, figures};

/// Arazo et al. 2019.
pub struct LossCorrection;

impl Paper for LossCorrection {
    type Config = Config;
    type Summary = Summary;

    fn id(&self) -> &'static str {
        "loss-correction"
    }

    fn title(&self) -> &'static str {
        "Arazo et al. 2019: beta mixtures on training losses, dynamic bootstrapping, mixup"
    }

    fn protocol(&self) -> u32 {
        1
    }

    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
        experiments::grid(profile, seeds)
    }

    fn cell_name(&self, c: &Config) -> String {
        let network = match c.architecture {
            Architecture::StridedCnn { .. } => "cnn".to_string(),
            Architecture::PreActResNet18 { width } => format!("preact{width}"),
            _ => "net".into(),
        };
        let noise = match c.noise {
            Noise::AllClasses => "",
            Noise::FirstTen => "-first-ten",
            Noise::OtherClasses => "-others",
        };
        let rule = if c.rule == Rule::Paper { "-paper-rule" } else { "" };
        let method = c.method.name().to_lowercase().replace('+', "-");
        format!("{}-{}-{network}-{method}{rule}{noise}-{}-seed{}", c.dataset, c.train, c.level, c.seed)
    }

    fn expected_seconds(&self, config: &Config) -> f64 {
        experiments::expected_seconds(config)
    }

    fn train(&self, config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
        train::train(config, run)
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
