//! Progress bars: on a terminal only, on standard error, gone when the results are there.

use std::{cell::RefCell, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use syncstress_protocol::Progress;

use super::units::{count, rate};
use crate::{
    fairness::ratio,
    record::{RunRecord, units_of_100ns},
};

/// The bars of one command.
pub struct Bars {
    all: MultiProgress,
    /// Bars that are full and still shown: the terminal forgets those that are dropped.
    full: RefCell<Vec<ProgressBar>>,
}

impl Bars {
    /// Bars that draw on a terminal, or, with `silent`, nowhere.
    pub fn new(silent: bool) -> Self {
        let target = if silent {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self {
            all: MultiProgress::with_draw_target(target),
            full: RefCell::default(),
        }
    }

    /// A bar that counts behaviour tests.
    pub fn tests(&self, total: usize) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(total as u64));
        bar.set_style(style(
            "  behaviour tests {bar:30.green/dim} {pos}/{len}  {msg:.dim}",
        ));
        bar
    }

    /// A bar that follows the time of one scenario.
    pub fn scenario(&self, name: &str) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(0));
        bar.set_style(style("  {prefix:18} {bar:30.cyan/dim} {msg}"));
        bar.set_prefix(name.to_owned());
        bar
    }

    /// Keeps the bar of a scenario that has ended, with what came out.
    pub fn keep(&self, bar: ProgressBar, run: &RunRecord) {
        bar.abandon_with_message(format!(
            "{}, {} acquisitions, {}/s, {} failures",
            run.outcome.word(),
            count(run.totals.acquisitions),
            rate(run.acquisitions_per_second),
            count(run.failures),
        ));
        self.full.borrow_mut().push(bar);
    }

    /// Prints lines above the bars.
    pub fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Takes the bars off the terminal.
    pub fn clear(&self) {
        // A terminal that cannot be cleared does no harm.
        let _ = self.all.clear();
    }
}

/// Moves a scenario's bar to where the run is.
pub fn follow(bar: &ProgressBar, progress: &Progress) {
    let elapsed = units_of_100ns(progress.elapsed_100ns);
    let planned = units_of_100ns(progress.planned_100ns);
    bar.set_length(millis(planned.max(elapsed)));
    bar.set_position(millis(elapsed));
    let per_second = ratio(progress.acquisitions.saturating_mul(1000), millis(elapsed));
    bar.set_message(format!(
        "{:.1}/{:.0} s, {} workers, {} acquisitions, {}/s, {} failures",
        elapsed.as_secs_f64(),
        planned.as_secs_f64(),
        progress.workers,
        count(progress.acquisitions),
        rate(per_second),
        count(progress.failures),
    ));
}

fn style(template: &str) -> ProgressStyle {
    // A template that does not parse is a slip in this file: the default bar shows it.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
