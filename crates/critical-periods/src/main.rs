//! Achille et al. 2019 on trial.

use std::process::ExitCode;

use critical_periods::{CriticalPeriods, sensitivity_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let sensitivity = Tool::from_command(sensitivity_tool::command(), sensitivity_tool::run);
    cli::main(CriticalPeriods, vec![sensitivity])
}
