//! The command line.

use std::fmt::Write as _;

use clap::{Args, Parser, Subcommand};

use crate::{exit::Exit, manage::Manage, parameters::Setting, transport::HostArguments};

const EXAMPLES: &str = "\
Examples:
  syncstress list                                   what the driver can run
  syncstress test                                   every behaviour test
  syncstress test resource 'mutex.*'                those of two primitives
  syncstress stress                                 every behaviour test, then every scenario
  syncstress stress resource --threads 8 --readers 24 --seconds 30
  syncstress lockdep '*' --seconds 1                the order of the driver's locks, after that
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
#[derive(Clone, Copy, Debug, Args)]
pub struct Display {
    /// Print one JSON document and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// Show the logs of runs that passed too, and the counts of each role
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the driver's version, its limits, and on what it runs
    Info,
    /// List the behaviour tests and stress scenarios with their parameters
    List,
    /// Run behaviour tests: documented behaviours of the primitives, each checked once
    Test {
        /// Names, beginnings of names, or globs such as 'resource.*'; all if none is given
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Run stress scenarios: many threads on one primitive, its invariant checked on every pass
    Stress(Stress),
    /// Show the order in which the driver takes its locks, and what is wrong with it: exit code 1 if
    /// something is. Needs a driver of `cargo xtask build --lockdep`
    Lockdep(Watched),
    /// Show how often and for how long the driver's locks are wanted and held. Needs a driver of
    /// `cargo xtask build --lockdep`
    LockStat(Watched),
    /// The driver on this Windows
    #[command(flatten)]
    Manage(Manage),
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
    /// The parameter `seconds` of every scenario that takes it
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

impl Watched {
    /// What to run first, if anything.
    pub fn stress(&self) -> Option<Stress> {
        (!self.names.is_empty()).then(|| Stress {
            names: self.names.clone(),
            threads: self.threads,
            readers: None,
            seconds: self.seconds,
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
    /// The parameter `seconds` of every scenario that takes it
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Any parameter that `syncstress list` shows, for every scenario that takes it
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<Setting>,
}

impl Stress {
    /// Every parameter that was set, in one list.
    pub fn settings(&self) -> Vec<Setting> {
        let named = [
            ("threads", self.threads),
            ("readers", self.readers),
            ("seconds", self.seconds),
        ];
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
            "--seconds",
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
        assert_eq!(settings, [("seconds", 3), ("hold", 7)]);
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
