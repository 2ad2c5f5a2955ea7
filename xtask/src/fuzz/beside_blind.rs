//! What guided cases reach, beside as many that are not guided.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{ENGINE, target};
use crate::{process, workspace::fuzz_folder};

/// How many cases a guided search tries before it is looked at what it has reached.
const ROUND: u32 = 20_000;
/// In so many rounds it has to have started a run, which takes a request with four fields right.
const ROUNDS: u32 = 10;

/// What cases of one sort reached, a line for each thing.
struct Reached {
    name: &'static str,
    lines: BTreeSet<String>,
    took: Duration,
}

impl Reached {
    const fn nothing(name: &'static str) -> Self {
        Self {
            name,
            lines: BTreeSet::new(),
            took: Duration::ZERO,
        }
    }

    /// Adds what `cases` cases reach that `command` tries.
    fn add(&mut self, cases: u32, mut command: Command) -> Result<()> {
        let path = target().join("reached");
        let asked = format!("{cases} {}", path.display());
        command.env("SYNCSTRESS_FUZZ_REACHED", asked);
        let start = Instant::now();
        process::run_quietly(self.name, &mut command)?;
        self.took += start.elapsed();
        let text = fs::read_to_string(&path).context("it did not tell what it reached")?;
        fs::remove_file(&path)?;
        self.lines.extend(text.lines().map(str::to_owned));
        Ok(())
    }

    /// How many things of this sort were reached, and not by `other`.
    fn alone(&self, sort: &str, other: &Self) -> usize {
        let alone = self.lines.difference(&other.lines);
        alone.filter(|line| line.starts_with(sort)).count()
    }

    /// How many things of this sort were reached.
    fn count(&self, sort: &str) -> usize {
        self.alone(sort, &Self::nothing(""))
    }
}

/// Shows both, and fails if guided cases reach no more than others.
pub fn show(fuzzer: &Path) -> Result<()> {
    let (guided, cases) = guided(fuzzer)?;
    let blind = [
        blind(fuzzer, "blind, any requests", "requests", cases)?,
        blind(fuzzer, "blind, any bytes", "bytes", cases)?,
    ];
    println!("after {cases} cases      edges  codes with success  refusals  items started    time");
    for it in blind.iter().chain([&guided]) {
        println!(
            "{:20} {:10} {:19} {:9} {:14} {:5.1} s",
            it.name,
            it.count("edge"),
            it.count("success"),
            it.count("refusal"),
            it.count("started"),
            it.took.as_secs_f64()
        );
    }
    for other in &blind {
        let edges = guided.alone("edge", other);
        println!(
            "of the guided alone, beside {}: {edges} edges; {} edges the other way round",
            other.name,
            other.alone("edge", &guided)
        );
        ensure!(
            guided.alone("started", other) > 0 && guided.count("edge") > other.count("edge"),
            "guided cases reach no more than {}",
            other.name
        );
    }
    Ok(())
}

/// Begins with nothing and goes on until a run was started, for two rounds at least. Gives how many cases it
/// tried, too.
fn guided(fuzzer: &Path) -> Result<(Reached, u32)> {
    let corpus = target().join("from-nothing");
    if corpus.exists() {
        fs::remove_dir_all(&corpus)?;
    }
    fs::create_dir_all(&corpus)?;
    let mut reached = Reached::nothing("guided, from nothing");
    for round in 1..=ROUNDS {
        let mut command = Command::new(fuzzer);
        command.current_dir(fuzz_folder()).arg(&corpus).args(ENGINE);
        command.args([format!("-seed={round}"), format!("-runs={ROUND}")]);
        reached.add(ROUND, command)?;
        if round > 1 && reached.count("started") > 0 {
            return Ok((reached, round * ROUND));
        }
    }
    bail!("guided cases started no run in {ROUNDS} rounds")
}

fn blind(fuzzer: &Path, name: &'static str, made_of: &str, cases: u32) -> Result<Reached> {
    let mut reached = Reached::nothing(name);
    let mut command = Command::new(fuzzer);
    command.env("SYNCSTRESS_FUZZ_BLIND", made_of);
    reached.add(cases, command)?;
    Ok(reached)
}
