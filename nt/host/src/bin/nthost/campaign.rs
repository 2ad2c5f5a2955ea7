//! Runs that start others: one for every allocation, in which that one fails (`--fault alloc=each`), or one for
//! every schedule (`--schedules`).

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use crate::arguments::Run;

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// What came of the runs.
#[derive(Default, Serialize)]
struct Campaign {
    exit_code: u8,
    /// How many allocations a run has in which none fails.
    allocations: u64,
    /// In how many runs one of them failed.
    runs: u64,
    /// The functions that failed, and in how many runs.
    functions: BTreeMap<String, u64>,
    /// The runs in which the driver did not take it well.
    findings: Vec<Finding>,
}

/// A run that ended in a bug check, left something behind, or hung.
#[derive(Serialize)]
struct Finding {
    /// Which allocation failed; 0 if none was to.
    allocation: u64,
    /// The function that was asked for it, if the run could tell.
    function: Option<String>,
    what: String,
    document: Value,
}

/// Runs one schedule after the other until one goes wrong, and says how to see that again.
pub fn schedules(run: &Run) -> ExitCode {
    let mut search = Search::default();
    for seed in run.seed..run.seed.saturating_add(run.schedules) {
        let finished = match one_run(&["--schedules", "1", "--seed", &seed.to_string()]) {
            Ok(finished) => finished,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        };
        search.schedules += 1;
        if let Some((what, document)) = finished.what() {
            search.seed = Some(seed);
            search.what = Some(what);
            search.document = document;
            search.exit_code = 1;
            break;
        }
    }
    // Nobody reads what a pipe was closed to.
    let _ = search.print(run.json);
    ExitCode::from(search.exit_code)
}

/// What came of a search among schedules.
#[derive(Default, Serialize)]
struct Search {
    exit_code: u8,
    /// How many were tried.
    schedules: u64,
    /// The seed of the one that went wrong.
    seed: Option<u64>,
    what: Option<String>,
    document: Value,
}

impl Search {
    fn print(&self, json: bool) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut output, self)?;
            return writeln!(output);
        }
        let tried = self.schedules;
        match (self.seed, &self.what) {
            (Some(seed), Some(what)) => writeln!(
                output,
                "schedule {tried}: {what}\nto see it again: --seed {seed} --schedules 1"
            ),
            _ => writeln!(output, "{tried} schedules: nothing went wrong"),
        }
    }
}

/// Does one run for each allocation, or for as many as may be, and shows what came of them.
pub fn allocations(run: &Run) -> ExitCode {
    let campaign = match Campaign::of(run) {
        Ok(campaign) => campaign,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Nobody reads what a pipe was closed to.
    let _ = campaign.print(run.json);
    ExitCode::from(campaign.exit_code)
}

impl Campaign {
    /// Has the allocations fail that a run has in which none does. A run is never quite like another: it may end
    /// before the allocation that is to fail in it, and goes uncounted then.
    fn of(run: &Run) -> io::Result<Self> {
        let mut campaign = Self::default();
        let whole = one_run(&["--fail-allocation", "0"])?;
        let allocations = whole.document["allocations"].as_u64().unwrap_or_default();
        campaign.allocations = allocations;
        campaign.note(0, whole);
        let runs = run
            .most_runs
            .map_or(allocations, |most| most.min(allocations));
        for number in 0..runs {
            let allocation = 1 + number * allocations / runs;
            let finished = one_run(&["--fail-allocation", &allocation.to_string()])?;
            campaign.note(allocation, finished);
        }
        campaign.exit_code = u8::from(!campaign.findings.is_empty());
        Ok(campaign)
    }

    fn note(&mut self, allocation: u64, finished: Finished) {
        let function = finished.document["failed_function"].as_str();
        let function = function.map(str::to_owned);
        if let Some(function) = &function {
            self.runs += 1;
            *self.functions.entry(function.clone()).or_default() += 1;
        }
        let finding = finished.what().map(|(what, document)| Finding {
            allocation,
            function,
            what,
            document,
        });
        self.findings.extend(finding);
    }

    fn print(&self, json: bool) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut output, self)?;
            return writeln!(output);
        }
        for finding in &self.findings {
            match &finding.function {
                Some(function) => write!(output, "allocation {} ({function})", finding.allocation)?,
                None if finding.allocation == 0 => write!(output, "no allocation failed")?,
                None => write!(output, "allocation {}", finding.allocation)?,
            }
            writeln!(output, ": {}", finding.what)?;
        }
        for (function, runs) in &self.functions {
            writeln!(output, "{function} failed in {runs} runs")?;
        }
        let (runs, findings) = (self.runs, self.findings.len());
        writeln!(
            output,
            "{runs} runs, each with one of {} allocations that fails: {findings} findings",
            self.allocations
        )
    }
}

/// A run that is over, or was ended.
struct Finished {
    hangs: bool,
    document: Value,
}

impl Finished {
    /// What went wrong, if something did that a driver must not let happen.
    fn what(self) -> Option<(String, Value)> {
        let left = self.document["left_behind"]["entries"].as_array();
        let rule = self.document["bug_check"]["rule"].as_str();
        let what = if self.hangs {
            format!("it hangs: no end after {} s", PATIENCE.as_secs())
        } else if let Some(rule) = rule {
            format!("bug check: {rule}")
        } else if self.document.is_null() {
            "the program died".to_owned()
        } else {
            let left = left.filter(|left| !left.is_empty())?;
            format!("left behind: {}", Value::from(left.clone()))
        };
        Some((what, self.document))
    }
}

/// Runs this program with the same arguments, and others that come before them in force.
fn one_run(others: &[&str]) -> io::Result<Finished> {
    let arguments = env::args_os().skip(1);
    let arguments = arguments.filter(|argument| argument != "--json");
    let mut child = Command::new(env::current_exe()?)
        .args(arguments)
        .arg("--json")
        .args(others)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let pipe = child.stdout.take();
    let reader = thread::spawn(move || pipe.map(io::read_to_string).transpose());
    let hangs = !ends(&mut child)?;
    let text = reader
        .join()
        .map_err(|_| io::Error::other("the output was not read"))??;
    let document = serde_json::from_str(&text.unwrap_or_default()).unwrap_or(Value::Null);
    Ok(Finished { hangs, document })
}

/// Whether a child ends by itself; it has ended in any case afterwards.
fn ends(child: &mut Child) -> io::Result<bool> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
}
