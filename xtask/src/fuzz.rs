//! `cargo xtask fuzz`: the driver's dispatch in process, fuzzed with coverage.
//!
//! The compiler of the toolchain that is pinned counts edges and shows what is compared, by LLVM's pass
//! for that; libFuzzer comes with its crate. So no nightly is needed, and no sanitizer there is.

mod beside_blind;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{llvm::Llvm, process, process::outer_cargo, setup, workspace::fuzz_folder, wrapper};

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
    /// Show what cases reach that are guided, beside as many that are not; fails if that is no more
    #[arg(long, conflicts_with_all = ["seconds", "runs", "anew", "files"])]
    beside_blind: bool,
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

/// What is looked at: the driver. Threads of nthost take other ways each time, by which the corpus would
/// fill up with cases that show nothing of the driver.
const COVERED: [&str; 3] = ["syncstress_protocol", "syncstress_stress", "wdk_sync"];

/// Set for cargo when the fuzzer is built: this program is its `RUSTC_WRAPPER` then.
const COVERS: &str = "SYNCSTRESS_FUZZ_COVERS";

/// Runs the compiler in cargo's stead if cargo started this program for that.
pub fn compile_if_asked() -> Option<ExitCode> {
    env::var_os(COVERS)?;
    let mut arguments = env::args_os().skip(1);
    let compiler = arguments.next()?;
    let mut arguments: Vec<OsString> = arguments.collect();
    if is_covered(&arguments) {
        arguments.extend(COVERAGE.map(Into::into));
    }
    Some(wrapper::compile(&compiler, arguments))
}

fn is_covered(arguments: &[OsString]) -> bool {
    let name = arguments
        .iter()
        .position(|argument| argument == "--crate-name")
        .and_then(|at| arguments.get(at + 1));
    name.is_some_and(|name| COVERED.iter().any(|covered| name == covered))
}

/// How libFuzzer tries cases. How often an edge was taken is up to the threads of the runs, and would fill
/// the corpus with what shows nothing.
const ENGINE: [&str; 5] = [
    "-max_len=2048",
    "-len_control=0",
    "-use_counters=0",
    "-timeout=30",
    "-artifact_prefix=target/",
];

/// Builds the fuzzer and lets it look. What it finds is in a file that it names, which, given as an
/// argument, shows it again.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[setup::Purpose::Images(crate::arch::Arch::X64)])?;
    let fuzzer = build()?;
    if arguments.beside_blind {
        return beside_blind::show(&fuzzer);
    }
    let mut command = Command::new(&fuzzer);
    command.current_dir(fuzz_folder());
    if arguments.files.is_empty() {
        command.arg(corpus(&fuzzer, arguments.anew)?);
        command.arg(format!("-max_total_time={}", arguments.seconds));
        command.args(ENGINE).arg("-print_final_stats=1");
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
    command.env(COVERS, "1");
    command.env("RUSTC_WRAPPER", env::current_exe()?);
    command.env("CXX", llvm.tool("clang++"));
    command.env("CARGO_TARGET_DIR", target());
    process::run("the fuzzer", &mut command)?;
    Ok(target().join(TARGET).join("release/syncstress-fuzz"))
}

fn target() -> PathBuf {
    fuzz_folder().join("target")
}

/// The folder of what was found to be worth keeping, which begins with the seeds.
fn corpus(fuzzer: &Path, anew: bool) -> Result<PathBuf> {
    let corpus = target().join("corpus");
    if anew && corpus.exists() {
        fs::remove_dir_all(&corpus)?;
    }
    if !corpus.exists() {
        fs::create_dir_all(&corpus)?;
        let mut seeds = Command::new(fuzzer);
        seeds.env("SYNCSTRESS_FUZZ_SEEDS", &corpus);
        process::run_quietly("the seeds", &mut seeds)?;
    }
    Ok(corpus)
}
