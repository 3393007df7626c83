//! The paper as the shared command line sees it.

use retrial_core::chart::Figure;
use retrial_core::experiment::{CellError, CellRun, Experiment, Paper, Profile};
use retrial_core::model::Architecture;
use retrial_core::noise::NoiseKind;
use retrial_core::results::{Claim, Error, Results, Table};

use crate::config::{Config, Method, NoiseRate, Normaliser, Padding, Reuse, Source, WarmUpLabels};
use crate::train::Summary;
use crate::{claims, experiments, figures, train};

/// Song, Kim and Lee 2019.
pub struct Song2019;

impl Paper for Song2019 {
    type Config = Config;
    type Summary = Summary;

    fn id(&self) -> &'static str {
        "selfie"
    }

    fn title(&self) -> &'static str {
        "Song et al. 2019: SELFIE, refurbishing unclean samples for robust deep learning"
    }

    fn protocol(&self) -> u32 {
        1
    }

    fn grid(&self, profile: Profile, seeds: Option<usize>) -> Vec<Experiment<Config>> {
        experiments::grid(profile, seeds)
    }

    fn cell_name(&self, config: &Config) -> String {
        let set = match config.task.source {
            Source::Images(id) => id.to_string(),
            Source::Folder(set) => set.folder().into(),
        };
        let network = match config.architecture {
            Architecture::DenseNet2512 => "-densenet",
            Architecture::Vgg19 => "-vgg",
            _ => "",
        };
        let noise = match config.noise {
            NoiseKind::Pair => "pair",
            NoiseKind::Symmetric => "symmetric",
            NoiseKind::Clean => "natural",
            _ => "other",
        };
        let method = method_name(&config.method);
        format!("{set}{network}-{noise}-{}-{method}-seed{}", config.level, config.seed)
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

/// The method, and how it departs from the paper's constants.
fn method_name(method: &Method) -> String {
    match method {
        Method::Default { runs: 1 } => "default".into(),
        Method::Default { runs } => format!("default-x{runs}"),
        Method::ActiveBias { smoothing } => format!("activebias-{smoothing}"),
        Method::CoTeaching { ramp } => format!("co-teaching-{ramp}"),
        Method::SelectOnly => "select-only".into(),
        Method::RelabelAll { history } => format!("relabel-all-q{history}"),
        Method::Selfie(s) => {
            let mut name = format!("selfie-q{}-e{}-r{}", s.history, s.epsilon, s.restarts);
            let mut add = |differs: bool, text: &str| {
                if differs {
                    name.push('-');
                    name.push_str(text);
                }
            };
            add(s.reuse == Reuse::SmallLoss, "v1");
            add(s.warm_up_labels == WarmUpLabels::Corrected, "corrected");
            add(s.noise_rate == NoiseRate::Lowered, "lowered");
            add(s.normaliser == Normaliser::Batch, "draft");
            add(s.padding == Padding::ClassZero, "padded");
            add(s.misjudged != 0., &format!("told{:+}", s.misjudged).replace('+', "more"));
            name
        }
    }
}
