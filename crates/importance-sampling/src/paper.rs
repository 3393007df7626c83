//! The paper as the shared command line sees it.

use retrial_core::chart::Figure;
use retrial_core::experiment::{CellError, CellRun, Experiment, Paper, Profile};
use retrial_core::results::{Claim, Error, Results, Table};

use crate::config::{Config, ControlVariate, Method, Score};
use crate::training::Summary;
use crate::{claims, experiments, figures, training};

/// Katharopoulos and Fleuret 2018.
pub struct ImportanceSampling;

impl Paper for ImportanceSampling {
    type Config = Config;
    type Summary = Summary;

    fn id(&self) -> &'static str {
        "importance-sampling"
    }

    fn title(&self) -> &'static str {
        "Katharopoulos and Fleuret 2018: sampling by a bound on the gradient norm, switched on when it pays"
    }

    fn protocol(&self) -> u32 {
        1
    }

    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
        experiments::grid(profile, seeds)
    }

    fn cell_name(&self, config: &Config) -> String {
        let task = &config.task;
        let analysed = if config.analysis.is_some() { "-analysed" } else { "" };
        format!("{}-{}-{}{analysed}-seed{}", task.source, task.train, method_name(config), config.seed)
    }

    fn expected_seconds(&self, config: &Config) -> f64 {
        experiments::expected_seconds(config)
    }

    fn train(&self, config: &Config, run: &mut CellRun) -> Result<Summary, CellError> {
        training::train(config, run)
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

/// A method in a file name: `bound-B160-tau1.5`.
pub fn method_name(config: &Config) -> String {
    match config.method {
        Method::Uniform => "uniform".into(),
        Method::UniformAtEqualCost { .. } => "uniform-equal-cost".into(),
        Method::Importance { score, presample, threshold } => {
            let score = match score {
                Score::UpperBound => "bound",
                Score::Loss => "loss",
                Score::Constant => "constant",
            };
            format!("{score}-B{presample}-tau{:.3}", threshold)
        }
        Method::LoshchilovHutter { first, .. } => format!("ranks-s{first}"),
        Method::Schaul { alpha, beta, .. } => format!("priorities-a{alpha}-b{beta}"),
        Method::ControlVariate { variant, inner } => {
            let variant = match variant {
                ControlVariate::Svrg => "svrg",
                ControlVariate::Scsg { .. } => "scsg",
                ControlVariate::Katyusha { published_sign: false } => "katyusha",
                ControlVariate::Katyusha { published_sign: true } => "katyusha-published",
            };
            format!("{variant}-m{inner}-rate{}", config.schedule.rate(0.))
        }
    }
}
