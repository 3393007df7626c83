//! Song et al. 2019 on trial.

use std::process::ExitCode;

use retrial_core::cli::{self, Tool};
use selfie::{Song2019, refurbish_tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let refurbish = Tool::from_command(refurbish_tool::command(), refurbish_tool::run);
    cli::main(Song2019, vec![refurbish])
}
