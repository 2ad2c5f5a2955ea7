//! `cargo xtask`: sets the machine up, builds the images, checks and runs them.

mod arch;
mod build;
mod kit;
mod kit_cargo;
mod llvm;
mod process;
mod rust;
mod workspace;
mod wrapper;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Setup, build, test and stress of syncstress.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build syncstress.sys with the open kit
    Build(build::Arguments),
}

fn main() -> ExitCode {
    if let Some(code) = wrapper::run_if_asked() {
        return code;
    }
    let outcome = match Cli::parse().command {
        Command::Build(arguments) => build::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
