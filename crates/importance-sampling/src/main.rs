//! Katharopoulos and Fleuret 2018 on trial.

use std::process::ExitCode;

use importance_sampling::{ImportanceSampling, tau_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let tau = Tool { command: tau_tool::command(), run: Box::new(|arguments| Ok(tau_tool::run(arguments)?)) };
    cli::main(ImportanceSampling, vec![tau])
}
