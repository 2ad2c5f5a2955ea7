//! What each file handle has: one run at a time.

use syncstress_protocol::{HeldObject, Metric, Phase, Progress};
use wdk_sync::{AlreadyOwned, Irql, Mutex, NonPaged, NonPagedArc, Passive, Status, Thread};

use crate::{
    Device,
    catalog::Item,
    engine::{Share, Shared},
    limits::THREADS_PER_RUN,
    log::Log,
    message::Reply,
    registry::Registry,
    run::{self, Outcome, Run},
    settings::Settings,
};

/// A session: the runs of one file handle, one at a time.
///
/// Dropping it ends its run and waits for its threads, at `IRQL <= APC_LEVEL`;
/// [`close`](Self::close) does so sooner after the run was told.
pub struct Session {
    engine: NonPagedArc<Shared>,
    pub(crate) registry: Registry,
    slot: NonPaged<Mutex<Slot>>,
    device: Device,
}

/// Under the mutex of a session. Nothing that takes long is done under it.
struct Slot {
    closed: bool,
    current: Option<Current>,
}

/// The run of a session.
struct Current {
    run: NonPagedArc<Run>,
    state: State,
}

enum State {
    Going(Thread<Outcome>),
    Finished(Outcome),
    /// Its supervisor ended without an outcome.
    Lost,
}

impl Session {
    pub(crate) fn new(
        engine: NonPagedArc<Shared>,
        registry: Registry,
        device: Device,
    ) -> Result<Self, Status> {
        let slot = NonPaged::pin_init(Mutex::new(Slot {
            closed: false,
            current: None,
        }))?;
        Ok(Self {
            engine,
            registry,
            slot,
            device,
        })
    }

    /// Ends the session's run, waits for its threads, and refuses new ones.
    ///
    /// IRQL: `PASSIVE_LEVEL`. Waits for as long as the workers need to see that they are to end.
    pub fn close(&self, irql: &mut Irql<'_, Passive>) {
        let current = self.with_slot(irql, |slot, _irql| {
            slot.closed = true;
            Ok(slot.current.take())
        });
        if let Ok(Some(current)) = current {
            current.run.request_stop(irql);
            drop(current);
            self.registry.sweep(irql);
        }
    }

    pub(crate) fn driver_version(&self) -> [u16; 3] {
        self.engine.driver_version
    }

    /// Starts a run of `item` and gives its number.
    pub(crate) fn start(
        &self,
        irql: &mut Irql<'_, Passive>,
        item: Item,
        settings: &Settings,
    ) -> Result<u64, Status> {
        self.with_slot(irql, |slot, irql| {
            if slot.closed {
                return Err(Status::INVALID_DEVICE_STATE);
            }
            if slot.current.is_some() {
                return Err(Status::DEVICE_BUSY);
            }
            let current = Current::start(self, irql, item, settings)?;
            let number = current.run.number();
            slot.current = Some(current);
            Ok(number)
        })
    }

    /// How far run `number` has come.
    pub(crate) fn progress(
        &self,
        irql: &mut Irql<'_, Passive>,
        number: u64,
    ) -> Result<Progress, Status> {
        self.with_run(irql, number, |current, irql| {
            current.look(irql);
            Ok(match &current.state {
                State::Finished(outcome) => current.run.final_progress(outcome),
                State::Going(_) | State::Lost => current.run.progress(),
            })
        })
    }

    /// Lets `f` look at run `number`, and at its figures, of which there are none before its end.
    pub(crate) fn inspect<R>(
        &self,
        irql: &mut Irql<'_, Passive>,
        number: u64,
        f: impl FnOnce(&Run, &[Metric]) -> Result<R, Status>,
    ) -> Result<R, Status> {
        self.with_run(irql, number, |current, irql| {
            current.look(irql);
            let metrics = match &current.state {
                State::Finished(outcome) => outcome.metrics.as_slice(),
                State::Going(_) | State::Lost => &[],
            };
            f(&current.run, metrics)
        })
    }

    /// What run `number` holds.
    pub(crate) fn held(
        &self,
        irql: &mut Irql<'_, Passive>,
        number: u64,
    ) -> Result<HeldObject, Status> {
        self.with_run(irql, number, |current, irql| current.run.held(irql))
    }

    /// Asks run `number` to end.
    pub(crate) fn stop(&self, irql: &mut Irql<'_, Passive>, number: u64) -> Result<(), Status> {
        self.with_run(irql, number, |current, irql| {
            current.run.request_stop(irql);
            Ok(())
        })
    }

    /// Writes the result of run `number` and forgets it, if all of it fits.
    pub(crate) fn collect(
        &self,
        irql: &mut Irql<'_, Passive>,
        number: u64,
        reply: &mut Reply<'_>,
    ) -> Result<(), Status> {
        self.with_slot(irql, |slot, irql| {
            let current = find(slot, number)?;
            current.look(irql);
            match &current.state {
                State::Going(_) => return Err(Status::DEVICE_BUSY),
                State::Finished(outcome) => current.run.write_result(outcome, reply)?,
                State::Lost => return Err(Status::INVALID_DEVICE_STATE),
            }
            slot.current = None;
            self.registry.sweep(irql);
            Ok(())
        })
    }

    fn with_run<R>(
        &self,
        irql: &mut Irql<'_, Passive>,
        number: u64,
        f: impl FnOnce(&mut Current, &mut Irql<'_, Passive>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        self.with_slot(irql, |slot, irql| f(find(slot, number)?, irql))
    }

    fn with_slot<R>(
        &self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Slot, &mut Irql<'_, Passive>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        self.slot
            .with(irql, f)
            .unwrap_or_else(|AlreadyOwned| Err(Status::INVALID_DEVICE_STATE))
    }
}

fn find(slot: &mut Slot, number: u64) -> Result<&mut Current, Status> {
    slot.current
        .as_mut()
        .filter(|current| current.run.number() == number)
        .ok_or(Status::NOT_FOUND)
}

impl Current {
    fn start(
        session: &Session,
        irql: &mut Irql<'_, Passive>,
        item: Item,
        settings: &Settings,
    ) -> Result<Self, Status> {
        let threads = run::threads_of(item, settings);
        if threads > THREADS_PER_RUN {
            return Err(Status::QUOTA_EXCEEDED);
        }
        let Session {
            engine,
            registry,
            device,
            ..
        } = session;
        // Sessions that were dropped unclosed have left theirs.
        registry.sweep(irql);
        let place = Share::of_runs(engine)?;
        let threads = Share::of_threads(engine, threads)?;
        let log = Log::new()?;
        let run = Run::new(engine.next_run(), item, settings, *device, place)?;
        let theirs = run.clone();
        let supervisor = Thread::spawn(irql, move |irql| {
            run::supervise(&theirs, irql, log, threads)
        })?;
        let current = Self {
            run,
            state: State::Going(supervisor),
        };
        registry.add(irql, &current.run)?;
        Ok(current)
    }

    /// Takes the outcome over from the supervisor once the run is finished. The wait is for its last
    /// instructions.
    fn look(&mut self, irql: &mut Irql<'_, Passive>) {
        if !matches!(self.state, State::Going(_)) || self.run.phase() != Phase::Finished {
            return;
        }
        let going = core::mem::replace(&mut self.state, State::Lost);
        if let State::Going(supervisor) = going
            && let Some(outcome) = supervisor.join(irql)
        {
            self.state = State::Finished(outcome);
        }
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // Then the supervisor is joined, by the drop of its thread.
        self.run.abandon();
        self.run.forget();
    }
}
