//! Threads that set and cancel timers of one sort, whose DPCs contend for a spin lock.
//!
//! While only one-shot timers are set, the books must balance: a timer expires as often as it was
//! set, less the settings that were displaced by another one and those that were cancelled. Its DPC
//! runs at most that often, because one that is queued is not queued again, and at least once if the
//! timer expired at all.

use alloc::vec::Vec;
use core::time::Duration;

use syncstress_protocol::Role;
use wdk_sync::{Irql, NonPagedArc, Passive, Status, TimerWas};

use super::{
    Crew, Stage,
    dpcs::{COUNTED_DPCS, Dpcs},
    harness::{Torture, torture},
    violation::Violation,
    worker::Worker,
};
use crate::settings::{ParameterId, Settings};

/// A timer whose callback calls [`Dpcs::runs`].
pub trait StormTimer: Send + Sync + 'static {
    /// Sets it to expire at a moment that `worker` chooses.
    fn set(&self, irql: &Irql<'_, Passive>, worker: &mut Worker<'_>) -> TimerWas;

    /// Cancels it.
    fn cancel(&self, irql: &Irql<'_, Passive>) -> TimerWas;

    /// What else a worker does now and then: the life of a timer of its own.
    fn live(_irql: &mut Irql<'_, Passive>, _worker: &mut Worker<'_>) {}
}

/// The parameters of a storm: after the threads which timers there are, and at the end what else is told
/// of how they are set.
macro_rules! parameters_of_timers {
    ([$($which:expr),*] [$($set:expr),*]) => {
        &[
            $crate::settings::Parameter::threads(1, 4),
            $($which,)*
            $crate::settings::Parameter::seconds(),
            $crate::settings::Parameter::milliseconds(),
            $crate::settings::Parameter::hold(),
            $crate::settings::Parameter::think(10),
            $crate::settings::Parameter::measure(),
            $crate::settings::Parameter::sample(),
            $crate::settings::Parameter::new(
                $crate::settings::ParameterId::Due, 0, 1_000_000, 500,
            ),
            $crate::settings::Parameter::new(
                $crate::settings::ParameterId::Period, 0, 1_000, 0,
            ),
            $($set,)*
        ]
    };
}
pub(super) use parameters_of_timers;

/// How long a DPC has the lock: with more timers a part of what was asked for, so that thousands of
/// them keep the processors no longer from everything else than a few do.
fn hold(settings: &Settings) -> Duration {
    let timers = settings.count(ParameterId::Timers).max(1);
    let hold = settings.micros(ParameterId::Hold);
    hold * COUNTED_DPCS.min(timers) / timers
}

/// Every second thread cancels.
pub fn crew(settings: &Settings) -> Crew {
    let threads = settings.count(ParameterId::Threads);
    let cancellers = threads / 2;
    Crew::of(Role::Setter, threads.saturating_sub(cancellers))
        .with(Role::Canceller, cancellers)
        .with_dpcs(settings.count(ParameterId::Timers).min(COUNTED_DPCS))
}

/// Lets the run's workers loose on timers that `make` gives, each with its number.
///
/// # Errors
///
/// Those of `make`, and the status with which something could not be started.
pub fn storm<T: StormTimer>(
    stage: &mut Stage<'_>,
    irql: &mut Irql<'_, Passive>,
    make: impl Fn(NonPagedArc<Dpcs>, usize) -> Result<T, Status>,
) -> Result<u64, Status> {
    let settings = stage.settings();
    let count = settings.count(ParameterId::Timers);
    let dpcs = NonPagedArc::new(Dpcs::new(stage.run, count, hold(settings))?)?;
    let mut timers = Vec::new();
    timers
        .try_reserve_exact(dpcs.accounts().len())
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for index in 0..dpcs.accounts().len() {
        timers.push(make(dpcs.clone(), index)?);
    }
    let subject = NonPagedArc::new(Storm {
        timers,
        dpcs: dpcs.clone(),
    })?;
    let result = torture(stage, irql, &subject);
    for index in 0..subject.timers.len() {
        subject.cancel(irql, index);
    }
    // The last owner: the timers are run down here, and no DPC runs afterwards.
    drop(subject);
    settle(&dpcs, stage, irql);
    result.map(|()| 0)
}

/// The timers, and what their DPCs share.
struct Storm<T> {
    timers: Vec<T>,
    dpcs: NonPagedArc<Dpcs>,
}

impl<T: StormTimer> Torture for Storm<T> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let index = usize::try_from(worker.below(self.timers.len() as u64)).unwrap_or(0);
        if worker.role() == Role::Setter {
            self.set(irql, index, worker);
        } else {
            self.cancel(irql, index);
        }
        worker.acted();
        match worker.below(8) {
            0 => self.dpcs.visit(irql, worker),
            1 => T::live(irql, worker),
            _ => {}
        }
    }
}

impl<T: StormTimer> Storm<T> {
    fn set(&self, irql: &Irql<'_, Passive>, index: usize, worker: &mut Worker<'_>) {
        let (Some(timer), Some(account)) =
            (self.timers.get(index), self.dpcs.accounts().get(index))
        else {
            return;
        };
        let was = timer.set(irql, worker);
        account.queued();
        if was == TimerWas::Queued {
            account.taken_out();
        }
    }

    fn cancel(&self, irql: &Irql<'_, Passive>, index: usize) {
        let (Some(timer), Some(account)) =
            (self.timers.get(index), self.dpcs.accounts().get(index))
        else {
            return;
        };
        if timer.cancel(irql) == TimerWas::Queued {
            account.taken_out();
        }
    }
}

/// Closes the books. Nothing sets a timer or runs as a DPC any more.
fn settle(dpcs: &Dpcs, stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) {
    dpcs.tell(stage, irql);
    if stage.settings().get(ParameterId::Period) != 0 {
        // How often a periodic timer has expired cannot be told from outside.
        return;
    }
    for (index, account) in dpcs.accounts().iter().enumerate() {
        let (expiries, runs) = account.due_and_ran();
        if runs > expiries || (expiries > 0 && runs == 0) {
            let violation = Violation::TimerAccount { expiries, runs };
            stage.log.fail(format_args!("timer {index}: {violation}"));
        }
    }
}
