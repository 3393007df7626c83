//! The paper as the shared command line sees it.

use retrial_core::chart::Figure;
use retrial_core::experiment::{CellError, CellRun, Experiment, Paper, Profile};
use retrial_core::model::Architecture;
use retrial_core::results::{Claim, Error, Results, Table};
use retrial_core::train::{OptimiserConfig, Schedule};

use crate::config::{Arm, Config};
use crate::{claims, experiments, figures, trial};

/// Achille et al. 2019.
pub struct CriticalPeriods;

impl Paper for CriticalPeriods {
    type Config = Config;
    type Summary = trial::Summary;

    fn id(&self) -> &'static str {
        "critical-periods"
    }

    fn title(&self) -> &'static str {
        "Achille et al. 2019: critical learning periods in deep networks"
    }

    fn protocol(&self) -> u32 {
        2
    }

    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
        experiments::grid(profile, seeds)
    }

    fn cell_name(&self, config: &Config) -> String {
        let network = match &config.architecture {
            Architecture::AllCnn { width } => format!("all-cnn{width}"),
            Architecture::AllCnnFamily { width, stages, constant } => {
                format!("family{width}-{}{}", 2 * stages + 4, if *constant { "-constant" } else { "" })
            }
            Architecture::NormMlp { widths } => format!("mlp{}", widths.len() + 1),
            _ => "network".into(),
        };
        let optimiser = match &config.optimiser {
            OptimiserConfig::Sgd { .. } => "sgd",
            OptimiserConfig::Adam { .. } => "adam",
            OptimiserConfig::AdamW { .. } => "adamw",
            OptimiserConfig::RmsProp { .. } => "rmsprop",
        };
        let rate = if matches!(config.schedule, Schedule::Constant { .. }) { "-fixed" } else { "" };
        let courses = match config.arms.first() {
            _ if config.arms.iter().any(|arm| matches!(arm, Arm::Window { .. })) => "windows",
            Some(Arm::LateStart { .. }) if config.arms.iter().any(|arm| matches!(arm, Arm::Restart { .. })) => {
                "controls"
            }
            Some(Arm::LateStart { .. }) => "late-starts",
            Some(Arm::Restart { .. }) => "restarts",
            _ => "removals",
        };
        let deficit = config.deficit.name();
        format!("{}-{network}-{optimiser}{rate}-{deficit}-{courses}-seed{}", config.task.dataset, config.seed)
    }

    fn expected_seconds(&self, config: &Config) -> f64 {
        experiments::expected_seconds(config)
    }

    fn train(&self, config: &Config, run: &mut CellRun) -> Result<trial::Summary, CellError> {
        trial::train(config, run)
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
