//! KTIMER: how long after its due time the DPC of a timer runs.
//!
//! Each thread sets its own timer, waits for it, and looks when its DPC ran: none for the first time
//! before the timer was due by more than a clock tick, since due times are counted from the last one.

use core::time::Duration;

use alloc::vec::Vec;

use syncstress_protocol::{Primitive, Role, Unit};
use wdk_sync::{
    Dispatch, DueTime, Irql, NonPaged, NonPagedArc, Passive, Signal, SpinLock, Status, Timeout,
    Timer, TimerCallback, WaitStatus,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    violation::Violation,
    worker::Worker,
};
use crate::{
    measure::Ticks,
    run::{Count, Run},
    settings::{Parameter, ParameterId},
};

pub static SCENARIO: Scenario = Scenario {
    id: 16,
    name: "timer-accuracy",
    primitive: Primitive::Timer,
    flags: 0,
    summary: "Each thread sets a KTIMER and measures how late its DPC runs.",
    parameters: &[
        Parameter::new(ParameterId::Threads, 1, 128, 4),
        Parameter::seconds(),
        Parameter::milliseconds(),
        Parameter::new(ParameterId::Due, 0, 1_000_000, 2_000),
        Parameter::tolerance(),
        Parameter::think(0),
        Parameter::stutter(),
        Parameter::limit(),
    ],
    crew: |settings| {
        let timers = settings.count(ParameterId::Threads);
        Crew::of(Role::Setter, timers).with_dpcs(timers)
    },
    run,
};

/// No clock interrupt of NT is further from the next one.
const CLOCK_TICK: Duration = Duration::from_millis(16);

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let threads = stage.settings().count(ParameterId::Threads);
    let mut clocks = Vec::new();
    for _ in 0..threads {
        clocks
            .try_reserve(1)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        clocks.push(clock()?);
    }
    let subject = NonPagedArc::new(Clocks {
        run: stage.run.clone(),
        all: clocks,
        early: SpinLock::new(Early::default()),
    })?;
    let result = torture(stage, irql, &subject);
    let Early { times, most } = *subject.early.lock(irql);
    stage.metrics.count("early expiries", Unit::Count, times);
    stage
        .metrics
        .count("earliest expiry", Unit::Nanoseconds, most);
    result.map(|()| 0)
}

/// A timer, and where its DPC leaves the time at which it ran.
struct Clock<F> {
    timer: NonPaged<Timer<F>>,
    ran: NonPagedArc<SpinLock<Option<Ticks>>>,
}

fn clock() -> Result<Clock<impl TimerCallback>, Status> {
    let ran = NonPagedArc::new(SpinLock::new(None))?;
    let theirs = ran.clone();
    let timer = Timer::new(
        Signal::Synchronization,
        move |_timer: &_, irql: &mut Irql<'_, Dispatch>| {
            *theirs.lock_at_dpc_level(irql) = Some(Ticks::now());
        },
    );
    Ok(Clock {
        timer: NonPaged::pin_init(timer)?,
        ran,
    })
}

struct Clocks<F> {
    run: NonPagedArc<Run>,
    all: Vec<Clock<F>>,
    early: SpinLock<Early>,
}

/// Expiries before the due time.
#[derive(Clone, Copy, Default)]
struct Early {
    times: u64,
    /// By how many nanoseconds, at most.
    most: u64,
}

impl<F: TimerCallback> Torture for Clocks<F> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let (Some(clock), Some(tally)) = (
            self.all.get(worker.index()),
            self.run
                .tallies()
                .get(self.all.len().saturating_add(worker.index())),
        ) else {
            return;
        };
        let micros = worker.below(worker.settings().get(ParameterId::Due).saturating_add(1));
        let due = Duration::from_micros(micros);
        *clock.ran.lock(irql) = None;
        let set = Ticks::now();
        let tolerance = worker.settings().millis(ParameterId::Tolerance);
        // Without a tolerance it is set as by KeSetTimerEx.
        clock
            .timer
            .set_coalescable(irql, DueTime::After(due), None, tolerance);
        worker.acted();
        // The timer is signaled before its DPC runs, perhaps on another processor.
        let patience = Timeout::After(due.saturating_add(Duration::from_secs(10)));
        if clock.timer.wait(irql, patience) != WaitStatus::Acquired {
            return worker.found(Violation::LostWakeUp);
        }
        let ran = loop {
            if let Some(ran) = *clock.ran.lock(irql) {
                break ran;
            }
            if !worker.goes_on() {
                return;
            }
        };
        let scale = self.run.clock().scale();
        let took = Duration::from_nanos(scale.nanos(ran.since(set)));
        tally.count(Count::Passes);
        tally.count(Count::Acquisitions);
        if let Some(by) = due.checked_sub(took).filter(|by| !by.is_zero()) {
            self.was_early(irql, worker, by);
        }
        let late = u64::try_from(took.saturating_sub(due).as_nanos()).unwrap_or(u64::MAX);
        tally.waits().record(scale.ticks(late));
    }
}

impl<F> Clocks<F> {
    fn was_early(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        {
            let mut early = self.early.lock(irql);
            early.times = early.times.saturating_add(1);
            early.most = early.most.max(nanos);
        }
        if by > CLOCK_TICK {
            worker.found(Violation::Count {
                what: "nanoseconds by which a timer expired early",
                expected: 0,
                actual: nanos,
            });
        }
    }
}
