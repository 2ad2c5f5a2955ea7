//! `cargo xtask`: sets the machine up, builds the images, checks and runs them.

mod arch;
mod bench;
mod build;
mod c_driver;
mod campaign;
mod definition;
mod exe;
mod fuzz;
mod image;
mod kit;
mod kit_cargo;
mod lint;
mod llvm;
mod package;
mod process;
mod reproduce;
mod rust;
mod setup;
mod stress;
mod test;
mod wine;
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
    /// Install what the builds need and this machine lacks
    Setup,
    /// Build syncstress.sys and WDFLDR.SYS with the open kit, or syncstress.exe
    Build(build::Arguments),
    /// Check finished images: headers, checksum, flags, imports
    CheckImage(image::Arguments),
    /// Make the package for a Windows test machine: driver, INF, catalog, program, certificate
    Package(package::Arguments),
    /// Build the driver twice, in two folders, and compare
    Reproduce(reproduce::Arguments),
    /// Format all sources
    Fmt(lint::Format),
    /// Run clippy on all crates, the driver crates for their own target
    Clippy,
    /// Build the documentation of all crates, the driver crates for their own target
    Doc,
    /// Run all tests: formatting, clippy, unit tests, images, end to end
    Test,
    /// Measure and disassemble the locks of wdk-sync beside the raw calls
    Bench(bench::Arguments),
    /// Install the package under Wine, drive it there, and remove it
    Wine,
    /// Send random requests to the driver's image in nthost: no bug check, no leak, no wrong success
    Campaign(campaign::Arguments),
    /// Fuzz the driver's dispatch in process, guided by coverage
    Fuzz(fuzz::Arguments),
    /// Build everything, then run every behaviour test and one stress scenario per primitive
    Stress(stress::Arguments),
}

fn main() -> ExitCode {
    if let Some(code) = wrapper::run_if_asked().or_else(fuzz::compile_if_asked) {
        return code;
    }
    let outcome = match Cli::parse().command {
        Command::Setup => setup::run(),
        Command::Build(arguments) => build::run(&arguments),
        Command::CheckImage(arguments) => image::run(&arguments),
        Command::Package(arguments) => package::run(&arguments),
        Command::Reproduce(arguments) => reproduce::run(&arguments),
        Command::Fmt(arguments) => lint::fmt(&arguments),
        Command::Clippy => lint::clippy(),
        Command::Doc => lint::doc(),
        Command::Test => test::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Wine => wine::run(),
        Command::Campaign(arguments) => campaign::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Stress(arguments) => stress::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
