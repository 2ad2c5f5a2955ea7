//! `syncstress.exe` in the prefix, and what it answers.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::prefix::{Finished, Prefix, Started};

/// No command takes so many seconds, unless it does not end.
const SECONDS: u32 = 45;
/// The exit code for a command that the program does not understand.
const USAGE: Option<i32> = Some(2);

/// The program, in a prefix.
pub struct Program<'a> {
    /// The prefix.
    pub prefix: &'a Prefix,
    /// Its path.
    pub path: PathBuf,
}

/// A test or scenario.
#[derive(Debug)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// It is a scenario.
    pub is_scenario: bool,
    /// It can be told how many threads to run.
    pub takes_threads: bool,
    /// Failing is what it is for.
    pub is_negative_control: bool,
}

/// How an item came out.
#[derive(Debug)]
pub struct Outcome {
    /// The item's name.
    pub name: String,
    /// The program's word for it.
    pub word: String,
    /// What the run wrote.
    pub log: String,
}

impl Program<'_> {
    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished> {
        self.prefix.run(&self.path, arguments, SECONDS)
    }

    /// Runs a command that has to succeed.
    pub fn succeed(&self, arguments: &[&str]) -> Result<Finished> {
        let finished = self.run(arguments)?;
        ensure!(
            finished.code == Some(0),
            "syncstress.exe {}: {finished}",
            arguments.join(" ")
        );
        Ok(finished)
    }

    /// Everything that the driver can run but hold patterns, which are for a debugger of the kernel.
    pub fn items(&self) -> Result<Vec<Item>> {
        let answer = json(&self.succeed(&["--json", "list"])?)?;
        let items = answer["items"].as_array().context("a list has items")?;
        Ok(items
            .iter()
            .filter(|item| item["kind"] != "hold pattern")
            .map(|item| Item {
                name: text(&item["name"]),
                is_scenario: item["kind"] == "stress scenario",
                takes_threads: parameters(item).any(|name| name == "threads"),
                is_negative_control: item["negative_control"] == true,
            })
            .collect())
    }

    /// Runs items, tests or scenarios, one after the other.
    pub fn outcomes(&self, items: &[&Item]) -> Result<Vec<Outcome>> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = command(items);
        let mut finished = self.run(&arguments)?;
        if finished.code.is_none() {
            // Wine's timers deadlock at times, on their own. What hangs by itself does so again.
            println!(
                "it did not end, and is run once more: {}",
                arguments.join(" ")
            );
            self.prefix.end_server();
            finished = self.run(&arguments)?;
        }
        ensure!(
            finished.code != USAGE,
            "{}: {finished}",
            arguments.join(" ")
        );
        let answer =
            json(&finished).with_context(|| format!("{}: {finished}", arguments.join(" ")))?;
        let runs = answer["runs"].as_array().context("a result has runs")?;
        Ok(runs
            .iter()
            .map(|run| Outcome {
                name: text(&run["name"]),
                word: text(&run["outcome"]),
                log: text(&run["log"]),
            })
            .collect())
    }

    /// Starts to run an item, and does not wait for its end.
    pub fn start(&self, item: &Item) -> Result<Started> {
        self.prefix.start(&self.path, &command(&[item]), SECONDS)
    }
}

/// Scenarios run for a second, with two threads where they take that parameter: a spin lock is no place
/// to wait at on a machine that has fewer processors than it has threads.
fn command<'a>(items: &[&'a Item]) -> Vec<&'a str> {
    let mut arguments = vec!["--json"];
    if items.iter().any(|item| item.is_scenario) {
        arguments.extend(["stress", "--seconds", "1"]);
    } else {
        arguments.push("test");
    }
    if items.iter().any(|item| item.takes_threads) {
        arguments.extend(["--threads", "2"]);
    }
    arguments.extend(items.iter().map(|item| &*item.name));
    arguments
}

fn parameters(item: &Value) -> impl Iterator<Item = &str> {
    let list = item["parameters"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(|parameter| parameter["name"].as_str())
}

fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).context("the program printed no JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
