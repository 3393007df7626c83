//! Arazo et al. 2019 on trial.

use std::process::ExitCode;

use loss_correction::{LossCorrection, fit_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let fit = Tool::from_command(fit_tool::command(), fit_tool::run);
    cli::main(LossCorrection, vec![fit])
}
