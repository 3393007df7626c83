//! Song et al. 2019 on trial.

use std::process::ExitCode;

use retrial_core::cli::{self, Tool};
use selfie::{Song2019, refurbish_tool};

#[global_allocator]
static ALLOCATOR: retrial_kernels::Allocator = retrial_kernels::Allocator;

fn main() -> ExitCode {
    let refurbish =
        Tool { command: refurbish_tool::command(), run: Box::new(|arguments| Ok(refurbish_tool::run(arguments)?)) };
    cli::main(Song2019, vec![refurbish])
}
