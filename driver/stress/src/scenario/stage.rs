//! What a scenario has to run on.

use core::time::Duration;

use wdk_sync::NonPagedArc;

use crate::{
    log::Log,
    run::{Metrics, Run},
    settings::Settings,
};

/// A run of a scenario, as its supervisor has it.
pub struct Stage<'a> {
    /// The run.
    pub run: &'a NonPagedArc<Run>,
    /// What it says.
    pub log: &'a mut Log,
    /// What it tells about itself as a whole.
    pub metrics: &'a mut Metrics,
}

impl<'a> Stage<'a> {
    /// The stage of `run`.
    pub const fn new(
        run: &'a NonPagedArc<Run>,
        log: &'a mut Log,
        metrics: &'a mut Metrics,
    ) -> Self {
        Self { run, log, metrics }
    }

    /// The values of the run's parameters.
    pub fn settings(&self) -> &Settings {
        self.run.settings()
    }

    /// How long the run takes.
    pub fn duration(&self) -> Duration {
        self.settings().duration()
    }
}
