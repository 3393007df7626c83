//! Byrd and Lipton 2019 on trial.

use std::process::ExitCode;

use importance_weighting::{ImportanceWeighting, equivalence_tool};
use retrial_core::cli::{self, Tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let equivalence = Tool::from_command(equivalence_tool::command(), equivalence_tool::run);
    cli::main(ImportanceWeighting, vec![equivalence])
}
