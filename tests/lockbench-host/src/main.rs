//! Looks at lockbench.sys, which has each lock of wdk-sync beside the raw calls: measures the two in
//! nthost, or compares their instructions. And measures nthost itself, with hostbench.sys. `cargo xtask
//! bench` builds the drivers and starts this.

mod asm;
#[cfg(not(windows))]
mod host;
#[cfg(not(windows))]
mod locks;
#[cfg(not(windows))]
mod machine;
#[cfg(not(windows))]
mod spread;
mod style;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// What the locks of wdk-sync cost beside the raw calls, and what nthost costs.
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Cli {
    /// The image of lockbench.sys, or of hostbench.sys
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
    /// Measure nthost: its locks beside those of others and of Wine, its start, its threads, its memory
    #[cfg(not(windows))]
    Host(host::Arguments),
    /// Compare the instructions of raw call and wdk-sync
    Asm(asm::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome: Result<bool> = match &cli.command {
        #[cfg(not(windows))]
        Command::Locks(arguments) => locks::run(&cli.driver, arguments),
        #[cfg(not(windows))]
        Command::Host(arguments) => host::run(&cli.driver, arguments),
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
