//! The same driver in Wine, where there is one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    driver::{Outcome, Run, Subject},
    locks::{ALONE, CONTENDED, CONTENTION},
    usage::{PASSES, THREADS},
};
use crate::spread::Spread;

/// What Wine manages.
#[derive(Serialize)]
pub struct Wine {
    /// What it says it is.
    pub version: String,
    /// Nanoseconds for a pass on one thread.
    pub alone: Vec<(Subject, Spread)>,
    /// Passes in a second, of so many threads.
    pub contended: Vec<(Subject, u32, Spread)>,
    /// Milliseconds for the creation of the threads.
    pub creation: Spread,
    /// Milliseconds until they have done their passes and have ended.
    pub work: Spread,
}

/// Where Debian has the program that takes 64-bit images.
const DEBIAN: &str = "/usr/lib/wine/wine64";

/// The Wine of this machine.
pub struct Installed {
    program: PathBuf,
    version: String,
}

/// Looks for Wine.
pub fn find() -> Option<Installed> {
    let search = env::var_os("PATH").unwrap_or_default();
    let programs = env::split_paths(&search).map(|folder| folder.join("wine64"));
    let program = programs
        .chain([DEBIAN.into()])
        .find(|program| program.is_file())?;
    let output = Command::new(&program).arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Some(Installed { program, version })
}

impl Installed {
    /// Runs the driver in a new prefix in `folder`, by the program that starts it and asks it.
    pub fn measure(self, driver: &Path, ask: &Path, folder: &Path, rounds: u32) -> Result<Wine> {
        let prefix = folder.join("wine");
        fs::create_dir_all(&prefix)?;
        let runs = runs();
        let mut command = in_prefix(&self.program, &prefix);
        command.arg(ask).arg(windows_path(driver)?);
        for _ in 0..rounds {
            command.args(runs.iter().flat_map(|run| run.words()));
        }
        let output = command.output().context("cannot start Wine");
        // Whatever came of it, nothing of Wine is to stay.
        end(&prefix);
        fs::remove_dir_all(&prefix)?;
        Self::read(self.version, &runs, &output?)
    }

    fn read(version: String, runs: &[Run], output: &Output) -> Result<Wine> {
        let text = String::from_utf8_lossy(&output.stdout);
        let outcomes: Vec<Outcome> = text.lines().map_while(outcome).collect();
        ensure!(
            output.status.success() && !outcomes.is_empty(),
            "Wine did not run the driver to its end: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let spread = |index: usize, figure: fn(Outcome) -> f64| {
            let rounds = outcomes.chunks_exact(runs.len());
            Spread::of(rounds.map(|round| figure(round[index])))
        };
        let alone = (0..).zip(ALONE);
        let contended = (ALONE.len()..).zip(CONTENDED);
        let last = runs.len() - 1;
        Ok(Wine {
            version,
            alone: alone
                .map(|(index, subject)| {
                    let time = spread(index, |outcome| outcome.pace().nanoseconds());
                    (subject, time)
                })
                .collect(),
            contended: contended
                .map(|(index, (subject, threads))| {
                    let rate = spread(index, |outcome| outcome.pace().rate());
                    (subject, threads, rate)
                })
                .collect(),
            creation: spread(last, |outcome| outcome.creation().as_secs_f64() * 1e3),
            work: spread(last, |outcome| outcome.pace().time.as_secs_f64() * 1e3),
        })
    }
}

/// A program of Wine, for the prefix.
fn in_prefix(program: &Path, prefix: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("WINEPREFIX", prefix)
        .env("WINEDEBUG", "-all")
        .env("WINEDLLOVERRIDES", "mscoree,mshtml,winemenubuilder.exe=");
    command
}

/// Ends what runs in the prefix.
fn end(prefix: &Path) {
    for option in ["-k", "-w"] {
        // Wine ends by itself when nobody needs it; this only does not wait for that.
        let _ = in_prefix(Path::new("wineserver"), prefix)
            .arg(option)
            .output();
    }
}

/// All runs of a round: those on one thread, those on several, the threads.
fn runs() -> Vec<Run> {
    let alone = ALONE.map(|subject| Run::alone(subject, passes(subject)));
    let contended =
        CONTENDED.map(|(subject, threads)| Run::contended(subject, threads, CONTENTION));
    let threads = Run::each(Subject::FastMutex, THREADS, PASSES);
    alone
        .into_iter()
        .chain(contended)
        .chain([threads])
        .collect()
}

/// Enough to be measured; an event is another process' work in Wine.
const fn passes(subject: Subject) -> u32 {
    match subject {
        Subject::Event => 100,
        _ => 20_000,
    }
}

/// Where Wine finds a file of the host.
fn windows_path(path: &Path) -> Result<String> {
    let path = path.canonicalize()?;
    let path = path.to_str().context("the path is no text")?;
    Ok(format!("Z:{}", path.replace('/', "\\")))
}

fn outcome(line: &str) -> Option<Outcome> {
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    Some(Outcome::new(numbers.try_into().ok()?))
}
