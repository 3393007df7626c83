//! Chen et al. 2019 on trial.

use std::process::ExitCode;

use noisy_quadratic::{NoisyQuadratic, fit_tool, predict_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let fit = Tool { command: fit_tool::command(), run: Box::new(|arguments| Ok(fit_tool::run(arguments)?)) };
    let predict =
        Tool { command: predict_tool::command(), run: Box::new(|arguments| Ok(predict_tool::run(arguments)?)) };
    cli::main(NoisyQuadratic, vec![fit, predict])
}
