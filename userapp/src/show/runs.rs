//! Runs as they end, and all together.

use anstyle::Style;

use super::{
    screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW},
    table,
    units::seconds,
};
use crate::record::{Outcome, RunRecord};

impl Screen {
    /// The result of one behaviour test, with its log if it failed.
    pub fn test(self, run: &RunRecord) {
        let style = style_of(run.outcome);
        let time = seconds(run.elapsed_seconds);
        let word = run.outcome.word();
        self.line(format_args!(
            "  {style}{word:7}{style:#} {DIM}{time:>9}{DIM:#}  {}",
            run.name
        ));
        self.log(run);
    }

    /// How many behaviour tests of each primitive passed, and those that did not.
    pub fn tests_in_short(self, runs: &[RunRecord]) {
        let mut primitives: Vec<&str> = Vec::new();
        for run in runs {
            if !primitives.contains(&&*run.primitive) {
                primitives.push(&run.primitive);
            }
        }
        let of = |name: &&str| {
            let of_it = runs.iter().filter(|run| run.primitive == *name);
            let passed = of_it
                .clone()
                .filter(|run| run.outcome == Outcome::Passed)
                .count();
            format!("{name} {passed}/{}", of_it.count())
        };
        let parts: Vec<String> = primitives.iter().map(of).collect();
        self.line(format_args!(
            "{BOLD}behaviour tests{BOLD:#}: {}",
            parts.join(", ")
        ));
        for run in runs
            .iter()
            .filter(|run| self.verbose || run.outcome != Outcome::Passed)
        {
            self.test(run);
        }
    }

    /// The table of stress results, and the logs of what failed.
    pub fn scenarios(self, runs: &[RunRecord]) {
        if self.is_silent() || runs.is_empty() {
            return;
        }
        let colours =
            anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
        self.line(format_args!("\n{BOLD}stress scenarios{BOLD:#}"));
        self.line(table::scenarios(runs, self.verbose, colours).trim_end());
        for run in runs {
            if self.shows_log(run) {
                self.line(format_args!("{BOLD}{}{BOLD:#}", run.name));
                self.log(run);
            }
            self.negative_control(run);
        }
    }

    fn negative_control(self, run: &RunRecord) {
        if run.is_blind() {
            self.line(format_args!(
                "{RED}{} is a negative control, a lock that is broken on purpose, and passed: \
                 the checks do not see it{RED:#}",
                run.name
            ));
        } else if run.negative_control && run.outcome == Outcome::Failed {
            self.line(format_args!(
                "{YELLOW}{} is a negative control, a lock that is broken on purpose: it has to \
                 fail, and it did{YELLOW:#}",
                run.name
            ));
        }
    }

    const fn shows_log(self, run: &RunRecord) -> bool {
        self.verbose || !run.outcome.is_good()
    }

    fn log(self, run: &RunRecord) {
        if !self.shows_log(run) {
            return;
        }
        if let Some(status) = run.status {
            self.line(format_args!("          {status}"));
        }
        for text in run.log.lines() {
            self.line(format_args!("          {DIM}|{DIM:#} {text}"));
        }
        if run.log_bytes_lost > 0 {
            self.line(format_args!(
                "          {DIM}| and {} bytes more{DIM:#}",
                run.log_bytes_lost
            ));
        }
    }
}

const fn style_of(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Passed => GREEN,
        Outcome::Stopped => YELLOW,
        Outcome::Failed | Outcome::Overran | Outcome::Error => RED,
    }
}
