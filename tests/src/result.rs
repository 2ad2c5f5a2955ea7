//! What came out of a run of the program.

use std::{
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;

use crate::Host;

/// How many seconds a scenario runs of which no more is expected than what it does all the time.
pub const SHORT: &str = "0.25";
/// The same in milliseconds, as the results tell it.
pub const SHORT_MILLISECONDS: u32 = 250;

/// No test runs the program for so long: it hangs, and is ended.
const HANGS_AFTER: Duration = Duration::from_mins(4);

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Finished {
    /// Runs a program to its end.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn of(command: Command) -> Self {
        let output = assert_cmd::Command::from_std(command)
            .timeout(HANGS_AFTER)
            .output();
        Self::new(&output.expect("the program runs"))
    }

    /// The end of a program.
    #[must_use]
    pub fn new(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Insists on an exit code.
    ///
    /// # Panics
    /// If it is another one.
    #[must_use]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard output as one JSON document.
    ///
    /// # Panics
    /// If it is something else.
    #[must_use]
    pub fn json(&self) -> Value {
        let document: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        assert_eq!(
            document["exit_code"].as_i64(),
            self.code.map(i64::from),
            "{document:#}"
        );
        document
    }
}

/// What the driver says that it can run.
pub struct Items(Vec<Value>);

impl Items {
    /// Asks the program.
    ///
    /// # Panics
    /// If it does not tell.
    #[must_use]
    pub fn of(host: Host) -> Self {
        let document = host.json(&["list"]);
        Self(document["items"].as_array().expect("a list").clone())
    }

    /// The names of the behaviour tests.
    #[must_use]
    pub fn tests(&self) -> Vec<&str> {
        self.names(|item| item["kind"] == "behaviour test")
    }

    /// The names of the scenarios that have to pass.
    #[must_use]
    pub fn scenarios(&self) -> Vec<&str> {
        self.names(|item| item["kind"] == "stress scenario" && item["negative_control"] == false)
    }

    /// The names of the negative controls.
    #[must_use]
    pub fn negative_controls(&self) -> Vec<&str> {
        self.names(|item| item["negative_control"] == true)
    }

    /// The names of the hold patterns.
    #[must_use]
    pub fn hold_patterns(&self) -> Vec<&str> {
        self.names(|item| item["kind"] == "hold pattern")
    }

    /// The names of the scenarios whose parameter `name` goes up to `value`.
    #[must_use]
    pub fn scenarios_that_take(&self, name: &str, value: u64) -> Vec<&str> {
        let takes = |item: &Value| {
            let parameters = item["parameters"].as_array();
            parameters.is_some_and(|parameters| {
                parameters
                    .iter()
                    .any(|it| it["name"] == name && it["maximum"].as_u64() >= Some(value))
            })
        };
        self.names(|item| item["negative_control"] == false && takes(item))
    }

    /// What the items of these names are about, each once.
    #[must_use]
    pub fn primitives(&self, names: &[&str]) -> Vec<&str> {
        let wanted = self
            .0
            .iter()
            .filter(|item| names.iter().any(|name| item["name"] == *name));
        let mut primitives: Vec<&str> = wanted
            .filter_map(|item| item["primitive"].as_str())
            .collect();
        primitives.sort_unstable();
        primitives.dedup();
        primitives
    }

    fn names(&self, wanted: impl Fn(&Value) -> bool) -> Vec<&str> {
        let items = self.0.iter().filter(|item| wanted(item));
        items.filter_map(|item| item["name"].as_str()).collect()
    }
}
