//! Runs as lines, where there is no terminal.

use std::time::Duration;

use super::model::Model;
use crate::{
    record::RunRecord,
    show::units::{percent, plural, rate, seconds},
};

/// A run that goes on gets a line each time that so much of it is over.
const EVERY: Duration = Duration::from_secs(5);

/// When the last line was.
#[derive(Default)]
pub struct Lines {
    run: usize,
    told: Duration,
}

impl Lines {
    /// The line that is due, if one is.
    pub fn due(&mut self, model: &Model) -> Option<String> {
        let run = model.run.as_ref()?;
        if model.number != self.run {
            *self = Self {
                run: model.number,
                told: Duration::ZERO,
            };
        }
        if run.elapsed < self.told + EVERY {
            return None;
        }
        self.told = run.elapsed;
        Some(format!(
            "  {:18} {:>9} of {:<9} {}, {}/s, {} contended, {}, {}",
            run.name,
            seconds(run.elapsed.as_secs_f64()),
            seconds(run.planned.as_secs_f64()),
            plural(run.alive, "worker"),
            rate(run.per_second),
            percent(run.contention),
            plural(run.acquisitions, "acquisition"),
            plural(run.failures, "failure"),
        ))
    }
}

/// The line of a run that has ended.
pub fn ended(run: &RunRecord) -> String {
    format!(
        "  {:18} {:>9} in {:<9} {}, {}/s, {} contended, {}, {}",
        run.name,
        run.outcome.word(),
        seconds(run.elapsed_seconds),
        plural(run.totals.worker_count, "worker"),
        rate(run.acquisitions_per_second),
        percent(run.totals.contention),
        plural(run.totals.acquisitions, "acquisition"),
        plural(run.failures, "failure"),
    )
}
