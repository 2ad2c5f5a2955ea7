//! `bench host`: what nthost costs, beside `parking_lot` and beside Wine.
//!
//! One kernel is one process: each part runs in a process of its own, with the verifier on or off.

mod driver;
mod locks;
mod peer;
mod report;
mod start;
mod usage;
mod wine;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Serialize, de::DeserializeOwned};

use crate::machine::machine;
use driver::Bench;
use locks::Locks;
use start::Start;
use usage::{Memory, Threads};
use wine::Wine;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How often each lock is measured; what takes longer, a tenth as often
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..))]
    rounds: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    images: Images,
    /// Measure one part, and print what came of it
    #[arg(long, hide = true)]
    part: Option<Part>,
    /// With this verifier
    #[arg(long, hide = true)]
    verifier: bool,
}

/// What else there is to run.
#[derive(clap::Args)]
struct Images {
    /// syncstress.sys
    #[arg(long, hide = true)]
    syncstress: PathBuf,
    /// WDFLDR.SYS
    #[arg(long, hide = true)]
    wdfldr: PathBuf,
    /// The program that starts the driver in Wine and asks it
    #[arg(long, hide = true)]
    ask: PathBuf,
}

/// What a process measures.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Locks,
    Threads,
    Memory,
}

/// A figure that must not be more than another.
#[derive(Serialize)]
struct Bound {
    what: &'static str,
    /// The median.
    measured: f64,
    limit: f64,
    passed: bool,
}

impl Bound {
    fn new(what: &'static str, measured: f64, limit: f64) -> Self {
        Self {
            what,
            measured,
            limit,
            passed: measured <= limit,
        }
    }
}

/// What was measured, and where.
#[derive(Serialize)]
struct Report {
    machine: String,
    rounds: u32,
    passed: bool,
    bounds: Vec<Bound>,
    verifier_off: Locks,
    verifier_on: Locks,
    wine: Option<Wine>,
    start: Start,
    threads: Threads,
    memory: Memory,
}

/// Measures, prints, and tells whether all bounds are kept.
pub fn run(driver: &Path, arguments: &Arguments) -> Result<bool> {
    if let Some(part) = arguments.part {
        return run_part(driver, arguments, part).map(|()| true);
    }
    let report = Report::measure(driver, arguments)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report::text(&report));
    }
    Ok(report.passed)
}

fn run_part(driver: &Path, arguments: &Arguments, part: Part) -> Result<()> {
    let bench = Bench::load(driver, arguments.verifier)?;
    let text = match part {
        Part::Locks => serde_json::to_string(&locks::measure(&bench, arguments.rounds)?)?,
        Part::Threads => serde_json::to_string(&usage::threads(&bench)?)?,
        Part::Memory => serde_json::to_string(&usage::memory(&bench)?)?,
    };
    bench.unload()?;
    println!("{text}");
    Ok(())
}

impl Report {
    fn measure(driver: &Path, arguments: &Arguments) -> Result<Self> {
        let few = arguments.rounds / 10;
        let verifier_off: Locks = measured(Part::Locks, false)?;
        let verifier_on: Locks = measured(Part::Locks, true)?;
        let start = start::measure(&arguments.images, few)?;
        let folder = driver.parent().context("the driver is in no folder")?;
        let wine = wine::find()
            .map(|wine| wine.measure(driver, &arguments.images.ask, folder, few.min(3)))
            .transpose()?;
        let bounds = vec![
            Bound::new(
                "KSPIN_LOCK / parking_lot, verifier off",
                spin_lock_ratio(&verifier_off)?,
                4.0,
            ),
            Bound::new(
                "KSPIN_LOCK / parking_lot, verifier on",
                spin_lock_ratio(&verifier_on)?,
                10.0,
            ),
            Bound::new(
                "ms from the start to the first request",
                start.whole_run.median,
                50.0,
            ),
        ];
        Ok(Self {
            machine: machine(),
            rounds: arguments.rounds,
            passed: bounds.iter().all(|bound| bound.passed),
            bounds,
            verifier_off,
            verifier_on,
            wine,
            start,
            threads: measured(Part::Threads, true)?,
            memory: measured(Part::Memory, true)?,
        })
    }
}

/// How many times as long as `parking_lot`'s mutex a spin lock takes that nobody contends for.
fn spin_lock_ratio(locks: &Locks) -> Result<f64> {
    let first = locks.alone.first().and_then(|lock| lock.ratio);
    Ok(first.context("no spin lock was measured")?.median)
}

/// What this program says of a part, in a process of its own.
fn measured<T: DeserializeOwned>(part: Part, verifier: bool) -> Result<T> {
    let name = part.to_possible_value().context("no such part")?;
    let mut command = Command::new(env::current_exe()?);
    command
        .args(env::args_os().skip(1))
        .arg("--part")
        .arg(name.get_name())
        .stderr(Stdio::inherit());
    if verifier {
        command.arg("--verifier");
    }
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{}: {}",
        name.get_name(),
        output.status
    );
    match serde_json::from_slice(&output.stdout) {
        Ok(measured) => Ok(measured),
        Err(error) => bail!("{}: {error}", name.get_name()),
    }
}
