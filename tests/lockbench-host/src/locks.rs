//! `bench locks`: how long an acquisition and release takes, in each way, in nthost.

mod measure;
mod report;

use std::path::Path;

use anyhow::{Result, ensure};
use nthost::{Config, Kernel};
use serde::Serialize;

use crate::machine::machine;
use measure::{Bench, Lock};

/// How to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How often each way is measured; every round measures each lock in every way
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(20..))]
    rounds: u32,
    /// How long one measurement takes, about
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    microseconds: u32,
    /// Measure with the verifier of nthost on, which costs more than the locks
    #[arg(long)]
    verifier: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What was measured, and where.
#[derive(Serialize)]
struct Report {
    host: String,
    machine: String,
    rounds: u32,
    /// From when on wdk-sync / raw is a failure, beyond the noise.
    limit: f64,
    passed: bool,
    allocations: Vec<measure::Allocations>,
    locks: Vec<Lock>,
}

/// wdk-sync / raw is at most this, at the median.
const LIMIT: f64 = 1.01;

/// Measures, prints, and tells whether wdk-sync costs nothing.
pub fn run(driver: &Path, arguments: &Arguments) -> Result<bool> {
    let kernel = Kernel::boot(Config {
        verifier: arguments.verifier,
        ..Config::default()
    })?;
    let empty = kernel.leaks();
    let loaded = kernel.load(driver)?;
    ensure!(
        loaded.missing_imports().is_empty(),
        "nthost lacks {}",
        loaded.missing_imports().join(", ")
    );
    let allocations = measure::allocations(&kernel.leaks());
    let file = kernel.open(r"\\.\Lockbench")?;
    let locks = Bench::new(&file, arguments.rounds, arguments.microseconds).run()?;
    file.close()?;
    loaded.unload()?;
    ensure!(kernel.leaks() == empty, "the driver left something behind");

    let verifier = if arguments.verifier { "on" } else { "off" };
    let report = Report {
        host: format!("nthost, not Windows, verifier {verifier}"),
        machine: machine(),
        rounds: arguments.rounds,
        limit: LIMIT,
        passed: !locks.iter().any(Lock::is_too_slow),
        allocations,
        locks,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report::text(&report));
    }
    Ok(report.passed)
}
