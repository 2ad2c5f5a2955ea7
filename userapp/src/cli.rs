//! The command line.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::{
    examples, exit::Exit, length::Length, manage::Manage, numbers::Numbers, parameters::Setting,
    save::Target, transport::HostArguments,
};

const EXAMPLES: &str = "\
Examples:
  syncstress list                                   what the driver can run
  syncstress test                                   every behaviour test
  syncstress test resource 'mutex.*'                those of two primitives
  syncstress stress                                 every behaviour test, then every scenario
  syncstress stress resource --threads 8 --readers 24 --seconds 30
  syncstress hold resource.waiters                  for `!locks` in WinDbg; `hold list` has more
  syncstress lockdep '*' --seconds 1                the order of the driver's locks, after that
  syncstress stress --profile smoke --save result.html --save result.json
  syncstress sweep spinlock queued-spinlock --threads 1..8 --save sweep.html
  syncstress soak --hours 2                         rounds of every scenario, and what they use
  syncstress serve /run/syncstress                  a kernel for several tools, off Windows
  syncstress watch --at /run/syncstress             what another tool runs there
  syncstress bench overhead                         what measuring costs
  syncstress compare before.json after.json         ratios; fails on a regression
  syncstress --json stress > result.json            one JSON document, nothing else";

/// Drives the syncstress driver: behaviour tests and stress runs of the locks of the NT kernel.
#[derive(Debug, Parser)]
#[command(name = "syncstress", version, after_help = after_help())]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// On what the driver runs.
    #[command(flatten)]
    pub host: HostArguments,
    /// How results are shown.
    #[command(flatten)]
    pub display: Display,
}

/// How results are shown.
#[derive(Clone, Debug, Args)]
pub struct Display {
    /// Print one JSON document and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// Show the logs of runs that passed too, and the counts of each role
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Write the result into a file: .json, .html, .xml for build servers, .csv, or .svg for the
    /// throughput of a sweep; may be given several times
    #[arg(long, global = true, value_name = "FILE")]
    pub save: Vec<Target>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the driver's version, its limits, and on what it runs
    Info,
    /// List the behaviour tests and stress scenarios with their parameters
    List,
    /// Run behaviour tests: documented behaviours of the primitives, each checked once
    #[command(after_help = examples::TEST)]
    Test {
        /// Names, beginnings of names, or globs such as 'resource.*'; all if none is given
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Run stress scenarios: many threads on one primitive, its invariant checked on every pass
    #[command(after_help = examples::STRESS)]
    Stress(Stress),
    /// Hold locks and timers in known states, for whoever looks at them in a kernel debugger, and show
    /// what it must show. With --json, that is a document of its own, printed when they are held
    #[command(after_help = examples::HOLD)]
    Hold(Hold),
    /// Show the order in which the driver takes its locks, and what is wrong with it: exit code 1 if
    /// something is. Needs a driver of `cargo xtask build --lockdep`
    #[command(after_help = examples::LOCKS)]
    Lockdep(Watched),
    /// Show how often and for how long the driver's locks are wanted and held. Needs a driver of
    /// `cargo xtask build --lockdep`
    #[command(after_help = examples::LOCKS)]
    LockStat(Watched),
    /// Show the driver's locks: the runs of all tools, which locks are held now and by whom, and, of a
    /// driver that counts, how often each was waited for
    #[command(after_help = examples::LOCKS)]
    Locks(Watched),
    /// The driver on this Windows
    #[command(flatten)]
    Manage(Manage),
    /// Run scenarios with every combination of threads, share of readers and hold time
    #[command(after_help = examples::SWEEP)]
    Sweep(Sweep),
    /// Run every scenario again and again, and watch what the process uses
    #[command(after_help = examples::SOAK)]
    Soak(Soak),
    /// Watch a run that another process started, until there is none
    #[command(after_help = examples::WATCH)]
    Watch {
        /// How many seconds to wait for a run, at first and after each
        #[arg(long, value_name = "N", default_value_t = 3)]
        patience: u64,
    },
    /// Offer the driver's device to other processes, who come with `--at SOCKET`, until Ctrl-C. Where
    /// the kernel is Windows, its device is there for all
    #[command(after_help = examples::SERVE)]
    Serve {
        /// The Unix socket to make
        #[arg(value_name = "SOCKET")]
        socket: PathBuf,
    },
    /// Measure the measurement
    #[command(after_help = examples::BENCH)]
    Bench {
        /// What to measure
        #[command(subcommand)]
        what: Bench,
    },
    /// Show or convert a result that was saved as JSON
    #[command(after_help = examples::REPORT)]
    Report {
        /// The result
        #[arg(value_name = "RESULT.json")]
        result: PathBuf,
    },
    /// Compare two results that were saved as JSON; fails if throughput was lost past the bound
    #[command(after_help = examples::COMPARE)]
    Compare(Compare),
    /// Print the JSON schema of results
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

impl Command {
    /// Its name, for the result.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::List => "list",
            Self::Test { .. } => "test",
            Self::Stress(_) => "stress",
            Self::Hold(_) => "hold",
            Self::Lockdep(_) => "lockdep",
            Self::LockStat(_) => "lock-stat",
            Self::Locks(_) => "locks",
            Self::Sweep(_) => "sweep",
            Self::Soak(_) => "soak",
            Self::Watch { .. } => "watch",
            Self::Serve { .. } => "serve",
            Self::Bench { .. } => "bench overhead",
            Self::Report { .. } => "report",
            Self::Compare(_) => "compare",
            Self::Schema => "schema",
            Self::Completions { .. } => "completions",
            Self::Man => "man",
            Self::Manage(_) => "manage",
        }
    }
}

/// What to hold.
#[derive(Debug, Args)]
pub struct Hold {
    /// Names, beginnings of names, or globs, of patterns; `list` lists them
    #[arg(value_name = "PATTERN", required = true)]
    pub names: Vec<String>,
    /// For how long [default: until Ctrl-C, a day at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,
}

/// What to measure of the measurement.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// What full measurement costs against none, per pass, in one run of one thread
    Overhead {
        /// Scenarios [default: every lock's]
        #[arg(value_name = "SCENARIO")]
        names: Vec<String>,
        /// How long each runs
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// The most that it may cost, in nanoseconds
        #[arg(long, value_name = "NS", default_value_t = 15.0, value_parser = finite)]
        bound: f64,
    },
}

/// What to vary.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Names, beginnings of names, or globs
    #[arg(value_name = "SCENARIO", required = true)]
    pub names: Vec<String>,
    /// Workers in all: a number, a range A..B whose numbers double, or a list A,B,C [default: 1..8]
    #[arg(long, value_name = "LIST", value_parser = Numbers::threads)]
    pub threads: Option<Numbers>,
    /// Readers of a hundred workers, where a scenario has readers: a number or a list [default: 50]
    #[arg(long = "read-share", value_name = "LIST", value_parser = Numbers::percentages)]
    pub read_share: Option<Numbers>,
    /// Hold times in microseconds: a number or a list [default: 0]
    #[arg(long, value_name = "LIST")]
    pub hold: Option<Numbers>,
    /// How many seconds each run takes, such as 3 or 0.25
    #[arg(long, value_name = "N", default_value = "1")]
    pub seconds: Length,
}

/// How long to go on.
#[derive(Debug, Args)]
pub struct Soak {
    /// How many hours, such as 2 or 0.5; the last round is run to its end, and there is one at least
    #[arg(long, value_name = "N", default_value = "1", value_parser = hours)]
    pub hours: Duration,
    /// How many seconds each scenario runs in a round
    #[arg(long, value_name = "N", default_value = "10")]
    pub seconds: Length,
}

/// A number that others can be compared with.
fn finite(typed: &str) -> Result<f64, String> {
    let number = typed.parse::<f64>().ok().filter(|it| it.is_finite());
    number.ok_or_else(|| "it is no number, such as 15 or 7.5".to_owned())
}

fn hours(typed: &str) -> Result<Duration, String> {
    typed
        .parse::<f64>()
        .ok()
        .and_then(|hours| Duration::try_from_secs_f64(hours * 3600.0).ok())
        .ok_or_else(|| "it is no number of hours, such as 2 or 0.5".to_owned())
}

/// What to compare.
#[derive(Debug, Args)]
pub struct Compare {
    /// The result to compare with
    #[arg(value_name = "BEFORE.json")]
    pub before: PathBuf,
    /// The result that is compared
    #[arg(value_name = "AFTER.json")]
    pub after: PathBuf,
    /// How many parts of a hundred of the throughput may be lost
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(..=100))]
    pub bound: u8,
}

/// How much to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// 20 seconds, shared among all that runs
    Smoke,
    /// 3 minutes, shared among all that runs
    Standard,
}

impl Profile {
    /// How long all of it takes.
    pub const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Smoke => 20,
            Self::Standard => 180,
        })
    }
}

/// What the driver is to have run before it is asked.
#[derive(Debug, Args)]
pub struct Watched {
    /// Scenarios to run first, named as for `stress`; without one, the driver tells what it has seen
    /// since it was loaded
    #[arg(value_name = "SCENARIO")]
    names: Vec<String>,
    /// The parameter `threads` of every scenario that takes it
    #[arg(long, value_name = "N")]
    threads: Option<u64>,
    /// How many seconds every scenario runs, such as 3 or 0.25
    #[arg(long, value_name = "N")]
    seconds: Option<Length>,
}

impl Watched {
    /// What to run first, if anything.
    pub fn stress(&self) -> Option<Stress> {
        (!self.names.is_empty()).then(|| Stress {
            names: self.names.clone(),
            threads: self.threads,
            readers: None,
            seconds: self.seconds,
            profile: None,
            repeat: 1,
            params: Vec::new(),
        })
    }
}

/// What to stress, and how hard.
#[derive(Debug, Args)]
pub struct Stress {
    /// Names, beginnings of names, or globs; if none is given, every behaviour test and then every
    /// scenario that is not a negative control
    #[arg(value_name = "SCENARIO")]
    pub names: Vec<String>,
    /// The parameter `threads` of every scenario that takes it: those who contend, or write
    #[arg(long, value_name = "N")]
    threads: Option<u64>,
    /// The parameter `readers` of every scenario that takes it
    #[arg(long, value_name = "N")]
    readers: Option<u64>,
    /// How many seconds every scenario runs, such as 3 or 0.25
    #[arg(long, value_name = "N")]
    pub seconds: Option<Length>,
    /// How much to run in all, in place of --seconds
    #[arg(long, value_name = "PROFILE", conflicts_with = "seconds")]
    pub profile: Option<Profile>,
    /// How many times every scenario runs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Any parameter that `syncstress list` shows, for every scenario that takes it
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<Setting>,
}

impl Stress {
    /// Every parameter that was set by its name, in one list.
    pub fn settings(&self) -> Vec<Setting> {
        let named = [("threads", self.threads), ("readers", self.readers)];
        let named = named.into_iter().filter_map(|(name, value)| {
            value.map(|value| Setting {
                name: name.to_owned(),
                value,
            })
        });
        named.chain(self.params.iter().cloned()).collect()
    }
}

fn after_help() -> String {
    let mut text = format!("{EXAMPLES}\n\nExit codes:\n");
    for exit in Exit::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}  {}", exit.code(), exit.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::iter;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn named_parameters_and_others_are_one_list() {
        let line = [
            "syncstress",
            "stress",
            "--threads",
            "3",
            "--param",
            "hold=7",
        ];
        let Command::Stress(stress) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not the stress command");
        };
        let settings = stress.settings();
        let settings: Vec<_> = settings
            .iter()
            .map(|it| (it.name.as_str(), it.value))
            .collect();
        assert_eq!(settings, [("threads", 3), ("hold", 7)]);
    }

    /// Each is parsed as it stands there, so none goes out of date.
    #[test]
    fn every_example_is_a_command_line() {
        let command = Cli::command();
        let helps = command
            .get_subcommands()
            .filter_map(|it| it.get_after_help());
        let helps: Vec<String> = helps.map(ToString::to_string).collect();
        assert_eq!(helps.len(), 13, "every command that takes arguments");
        for example in helps
            .iter()
            .chain([&EXAMPLES.to_owned()])
            .flat_map(|it| it.lines())
        {
            let Some(example) = example.strip_prefix("  syncstress ") else {
                continue;
            };
            let typed = example.split("  ").next().unwrap_or_default();
            let typed = typed
                .split(" > ")
                .next()
                .unwrap_or_default()
                .replace('\'', "");
            let line = iter::once("syncstress").chain(typed.split_whitespace());
            if let Err(error) = Cli::try_parse_from(line) {
                panic!("{typed}: {error}");
            }
        }
    }

    #[test]
    fn help_names_every_exit_code() {
        let help = after_help();
        assert!(
            Exit::ALL.iter().all(|exit| help.contains(exit.meaning())),
            "{help}"
        );
    }
}
