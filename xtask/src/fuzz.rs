//! `cargo xtask fuzz`: the driver's dispatch in process, fuzzed with coverage.
//!
//! The compiler of the toolchain that is pinned counts edges and shows what is compared, by LLVM's pass
//! for that; libFuzzer comes with its crate. So no nightly is needed, and no sanitizer there is.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{llvm::Llvm, process, process::outer_cargo, setup, workspace::fuzz_folder};

/// How long, and with what.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many seconds to look for what goes wrong
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// How many cases to try at most; 0: as many as there is time for
    #[arg(long, default_value_t = 0)]
    runs: u32,
    /// Begin with no corpus but the seeds
    #[arg(long)]
    anew: bool,
    /// Try this file, or these, and nothing else
    files: Vec<PathBuf>,
}

const TARGET: &str = "x86_64-unknown-linux-gnu";

const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Builds the fuzzer and lets it look. What it finds is in a file that it names, which, given as an
/// argument, shows it again.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[setup::Purpose::Images(crate::arch::Arch::X64)])?;
    let fuzzer = build()?;
    let mut command = Command::new(fuzzer);
    command.current_dir(fuzz_folder());
    if arguments.files.is_empty() {
        command.arg(corpus(&command, arguments.anew)?);
        command.arg(format!("-max_total_time={}", arguments.seconds));
        command.args(["-max_len=2048", "-print_final_stats=1", "-timeout=30"]);
        command.arg("-artifact_prefix=target/");
        if arguments.runs > 0 {
            command.arg(format!("-runs={}", arguments.runs));
        }
    }
    process::run("fuzzing", command.args(&arguments.files))
}

fn build() -> Result<PathBuf> {
    let llvm = Llvm::find().context("there is no clang")?;
    let mut command = outer_cargo();
    command.current_dir(fuzz_folder());
    command.args(["build", "--locked", "--release", "--target", TARGET]);
    // With a target named, these are not for build scripts and macros, which have no libFuzzer.
    command.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1F"));
    command.env("CXX", llvm.tool("clang++"));
    command.env("CARGO_TARGET_DIR", fuzz_folder().join("target"));
    process::run("the fuzzer", &mut command)?;
    Ok(fuzz_folder()
        .join("target")
        .join(TARGET)
        .join("release/syncstress-fuzz"))
}

/// The folder of what was found to be worth keeping, which begins with the seeds.
fn corpus(fuzzer: &Command, anew: bool) -> Result<PathBuf> {
    let corpus = fuzz_folder().join("target/corpus");
    if anew && corpus.exists() {
        fs::remove_dir_all(&corpus)?;
    }
    if !corpus.exists() {
        fs::create_dir_all(&corpus)?;
        let mut seeds = Command::new(fuzzer.get_program());
        seeds.env("SYNCSTRESS_FUZZ_SEEDS", &corpus);
        process::run_quietly("the seeds", &mut seeds)?;
    }
    Ok(corpus)
}
