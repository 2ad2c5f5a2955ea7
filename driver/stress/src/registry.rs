//! The runs of all sessions, for those who look at a run that another session started.

use alloc::vec::Vec;

use syncstress_protocol::{Phase, RunInfo};
use wdk_sync::{AlreadyOwned, Irql, Mutex, NonPagedArc, Passive, Status};

use crate::{limits::RUNS, run::Run};

/// The runs that were not forgotten, in the order in which they began.
///
/// It owns them as their sessions do, so that one can be looked at while its session ends. A run does
/// not own the registry.
pub struct Registry {
    runs: NonPagedArc<Mutex<Vec<NonPagedArc<Run>>>>,
}

impl Registry {
    /// None, with room for as many as there may be.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted.
    pub fn new() -> Result<Self, Status> {
        let mut runs = Vec::new();
        runs.try_reserve_exact(RUNS as usize)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let runs = NonPagedArc::pin_init(Mutex::new(runs))?;
        Ok(Self { runs })
    }

    /// The same one, for another session.
    pub fn share(&self) -> Self {
        Self {
            runs: self.runs.clone(),
        }
    }

    /// Adds a run that begins.
    ///
    /// # Errors
    ///
    /// [`Status::QUOTA_EXCEEDED`] if there is no room for it.
    pub fn add(&self, irql: &mut Irql<'_, Passive>, run: &NonPagedArc<Run>) -> Result<(), Status> {
        self.with(irql, |runs| {
            if runs.len() == runs.capacity() {
                return Err(Status::QUOTA_EXCEEDED);
            }
            runs.push(run.clone());
            Ok(())
        })?
    }

    /// Lets go of the runs that their sessions forgot.
    pub fn sweep(&self, irql: &mut Irql<'_, Passive>) {
        // The lock cannot be owned already: nothing is called under it that could come back here.
        let _ = self.with(irql, |runs| runs.retain(|run| !run.is_forgotten()));
    }

    /// Lets `f` look at the runs that there are; not all of them [go on](Run::is_under_way).
    ///
    /// # Errors
    ///
    /// Those of `f`.
    pub fn look<R>(
        &self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&[NonPagedArc<Run>]) -> Result<R, Status>,
    ) -> Result<R, Status> {
        self.with(irql, |runs| f(runs))?
    }

    fn with<R>(
        &self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Vec<NonPagedArc<Run>>) -> R,
    ) -> Result<R, Status> {
        self.runs
            .with(irql, |runs, _irql| f(runs))
            .map_err(|AlreadyOwned| Status::INVALID_DEVICE_STATE)
    }
}

impl Run {
    /// Whether its workers have not all ended, and its session is there.
    pub fn is_under_way(&self) -> bool {
        !self.is_forgotten() && self.phase() != Phase::Finished
    }

    /// As those see it who did not start it.
    pub fn info(&self) -> RunInfo {
        RunInfo {
            run: self.number(),
            item: self.item_id(),
            workers: u32::try_from(self.tallies().len()).unwrap_or(u32::MAX),
            progress: self.progress(),
        }
    }
}
