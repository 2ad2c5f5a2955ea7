//! Looks at lockbench.sys, which has each lock of wdk-sync beside the raw calls: measures the two in
//! nthost, or compares their instructions. `cargo xtask bench` builds the driver and starts this.

mod asm;
#[cfg(not(windows))]
mod host;
#[cfg(not(windows))]
mod locks;
mod style;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// What the locks of wdk-sync cost beside the raw calls.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Cli {
    /// The image of lockbench.sys
    #[arg(long, hide = true)]
    driver: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure: raw call, wdk-sync and wdk-mutex, alternating in one run
    #[cfg(not(windows))]
    Locks(locks::Arguments),
    /// Compare the instructions of raw call and wdk-sync
    Asm(asm::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome: Result<bool> = match &cli.command {
        #[cfg(not(windows))]
        Command::Locks(arguments) => locks::run(&cli.driver, arguments),
        Command::Asm(arguments) => asm::run(&cli.driver, arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
