//! Katharopoulos and Fleuret 2018 on trial.

use std::process::ExitCode;

use importance_sampling::{ImportanceSampling, tau_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let tau = Tool::from_command(tau_tool::command(), tau_tool::run);
    cli::main(ImportanceSampling, vec![tau])
}
