//! The steps of the test command: each is taken whatever became of the ones before.

use std::{
    io::{Read as _, Seek as _},
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::process;

/// The steps so far, and how each ended.
#[derive(Default)]
pub struct Steps {
    taken: Vec<Step>,
    /// They are taken beside others, which have the terminal.
    aside: bool,
}

struct Step {
    name: &'static str,
    passed: bool,
    took: Duration,
}

impl Steps {
    /// Takes a step. A failure is shown and counted, and the next step is taken all the same.
    pub fn take<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let start = Instant::now();
        let result = if self.aside {
            aside(name, work)
        } else {
            eprintln!("\n== {name}");
            work()
        };
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        self.taken.push(Step {
            name,
            passed: result.is_ok(),
            took: start.elapsed(),
        });
        result.ok()
    }

    /// Takes two rows of steps at once. The second has its own thread, and what its steps write is shown as
    /// each ends.
    pub fn side_by_side<T, U: Send>(
        &mut self,
        here: impl FnOnce(&mut Self) -> T,
        aside: impl FnOnce(&mut Self) -> U + Send,
    ) -> (T, U) {
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut steps = Self {
                    taken: Vec::new(),
                    aside: true,
                };
                let result = aside(&mut steps);
                (result, steps.taken)
            });
            let result = here(self);
            eprintln!("\n== waiting for the steps beside");
            let (other, taken) = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            self.taken.extend(taken);
            (result, other)
        })
    }

    /// A line for each, as the result.
    pub fn table(&self) -> String {
        let width = self
            .taken
            .iter()
            .map(|step| step.name.len())
            .max()
            .unwrap_or_default();
        let line = |step: &Step| {
            let result = if step.passed { "ok" } else { "FAILED" };
            format!(
                "{:width$}  {result:6}  {:7.1} s\n",
                step.name,
                step.took.as_secs_f64()
            )
        };
        self.taken.iter().map(line).collect()
    }

    /// How many have failed.
    pub fn failures(&self) -> usize {
        self.taken.iter().filter(|step| !step.passed).count()
    }

    /// How many there were.
    pub const fn count(&self) -> usize {
        self.taken.len()
    }
}

/// Does the work of a step and shows then what it wrote.
fn aside<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut log = tempfile::tempfile().context("cannot keep what a step writes")?;
    let result = process::logging_to(log.try_clone()?, work);
    let mut text = Vec::new();
    log.rewind()?;
    log.read_to_end(&mut text)?;
    eprintln!("\n== {name}\n{}", String::from_utf8_lossy(&text).trim_end());
    result
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::Barrier};

    use super::Steps;
    use crate::process;

    #[test]
    fn a_failure_is_counted_and_shown_and_stops_nothing() {
        let mut steps = Steps::default();
        assert_eq!(steps.take("one", || Ok(1)), Some(1));
        assert_eq!(
            steps.take("another", || anyhow::bail!("broken")),
            None::<()>
        );
        assert_eq!(steps.take("the third", || Ok(3)), Some(3));
        assert_eq!(steps.failures(), 1);
        let table = steps.table();
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[0].starts_with("one        ok"), "{table}");
        assert!(lines[1].starts_with("another    FAILED"), "{table}");
        assert!(lines[2].starts_with("the third  ok"), "{table}");
    }

    #[test]
    fn two_rows_of_steps_are_taken_at_once_and_counted_in_turn() {
        let (first, second) = (Barrier::new(2), Barrier::new(2));
        let mut steps = Steps::default();
        let results = steps.side_by_side(
            |steps| {
                first.wait();
                steps.take("here", || Ok(second.wait().is_leader()))
            },
            |steps| {
                steps.take("aside", || {
                    first.wait();
                    second.wait();
                    process::run("aside", Command::new("cargo").arg("--no-such-option"))
                })
            },
        );
        assert!(results.0.is_some());
        assert_eq!(results.1, None);
        assert_eq!((steps.count(), steps.failures()), (2, 1));
        let table = steps.table();
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[0].starts_with("here   ok"), "{table}");
        assert!(lines[1].starts_with("aside  FAILED"), "{table}");
    }
}
