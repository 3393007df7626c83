//! Achille et al. 2019 on trial.

use std::process::ExitCode;

use critical_periods::{CriticalPeriods, sensitivity_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let sensitivity =
        Tool { command: sensitivity_tool::command(), run: Box::new(|arguments| Ok(sensitivity_tool::run(arguments)?)) };
    cli::main(CriticalPeriods, vec![sensitivity])
}
