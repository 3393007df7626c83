//! Chen et al. 2019 on trial.

use std::process::ExitCode;

use noisy_quadratic::{NoisyQuadratic, fit_tool, predict_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let fit = Tool::from_command(fit_tool::command(), fit_tool::run);
    let predict = Tool::from_command(predict_tool::command(), predict_tool::run);
    cli::main(NoisyQuadratic, vec![fit, predict])
}
