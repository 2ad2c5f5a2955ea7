//! Priority inversion: a thread of high priority waits for a KMUTEX that one of low priority has, which
//! threads of a priority between them keep from its processor. All of them are on one processor.
//!
//! How long the one of high priority waits is measured, and how often longer than the mutex was to be
//! held; no wait is too long to pass. nthost keeps priorities and does not schedule by them.

use core::sync::atomic::{AtomicU64, Ordering};

use pinned_init::{pin_data, pin_init};
use syncstress_protocol::{Primitive, Role, Unit};
use wdk_sync::{
    AtPriority, Event, Instant, Irql, Mutex, NonPagedArc, OnProcessor, Passive, Priority, Signal,
    Status, WaitStatus, yield_now,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    semaphore::END_IS_SEEN_WITHIN,
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::settings::{Parameter, ParameterId};

pub static SCENARIO: Scenario = Scenario {
    id: 17,
    name: "priority-inversion",
    primitive: Primitive::Mutex,
    flags: 0,
    summary: "A high priority waits for a KMUTEX of a low one, which spinners keep from running.",
    parameters: &[
        Parameter::seconds(),
        Parameter::milliseconds(),
        Parameter::new(ParameterId::Hold, 1, 1_000, 100),
        // At the priority of the other threads of the system, so that these get on as well.
        Parameter::new(ParameterId::Spinners, 0, 8, 2),
        Parameter::new(ParameterId::Busy, 0, 10_000, 1_000),
        Parameter::think(0),
        Parameter::limit(),
        Parameter::measure(),
        Parameter::sample(),
    ],
    crew: |settings| {
        Crew::of(Role::Writer, 2).with(Role::Spinner, settings.count(ParameterId::Spinners))
    },
    run,
};

/// The worker that has the mutex when it is asked for.
const LOW: usize = 0;

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(pin_init!(Inversion {
        mutex <- Mutex::new(Ledger::new()),
        taken <- Event::new(Signal::Synchronization, false),
        longest: AtomicU64::new(0),
        inverted: AtomicU64::new(0),
    }))?;
    let result = torture(stage, irql, &subject);
    let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let (longest, inverted) = (figure(&subject.longest), figure(&subject.inverted));
    stage
        .metrics
        .count("longest wait, high", Unit::Nanoseconds, longest);
    stage
        .metrics
        .count("waits over twice the hold", Unit::Count, inverted);
    result.map(|()| 0)
}

#[pin_data]
struct Inversion {
    #[pin]
    mutex: Mutex<Ledger>,
    /// Signaled when the one of low priority has the mutex.
    #[pin]
    taken: Event,
    /// The longest wait of the one of high priority, in nanoseconds.
    longest: AtomicU64,
    /// Its waits that took more than twice as long as the mutex was to be held.
    inverted: AtomicU64,
}

impl Torture for Inversion {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let priority = match (worker.role(), worker.index()) {
            (Role::Spinner, _) => 8,
            (_, LOW) => 4,
            _ => 12,
        };
        let mut pinned = OnProcessor::enter(irql, 0);
        let (Some(pinned), Some(priority)) = (&mut pinned, Priority::new(priority)) else {
            // The first processor is always there, and so are these priorities.
            return;
        };
        let mut here = AtPriority::enter(pinned.irql(), priority);
        let irql = here.irql();
        match (worker.role(), worker.index()) {
            (Role::Spinner, _) => {
                stay_busy(worker.settings().micros(ParameterId::Busy));
                yield_now(irql);
            }
            (_, LOW) => self.take_first(irql, worker),
            _ => self.wait_for_it(irql, worker),
        }
    }
}

impl Inversion {
    /// The one of low priority.
    fn take_first(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let expected = worker.before().without_normal_apcs();
        let since = worker.waits();
        let Ok(mut guard) = self.mutex.lock(irql) else {
            return worker.found(Violation::WrongOwner);
        };
        worker.waited(since);
        let (ledger, irql) = guard.parts();
        self.taken.set(irql);
        worker.owns(irql, expected, |halfway| ledger.change(halfway));
    }

    /// The one of high priority, which asks when the other one has the mutex.
    fn wait_for_it(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        if self.taken.wait(irql, END_IS_SEEN_WITHIN) != WaitStatus::Acquired {
            return worker.gave_up();
        }
        let expected = worker.before().without_normal_apcs();
        let (asked, since) = (Instant::now(), worker.waits());
        let Ok(mut guard) = self.mutex.lock(irql) else {
            return worker.found(Violation::WrongOwner);
        };
        worker.waited(since);
        let waited = asked.elapsed();
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.longest.fetch_max(nanos, Ordering::Relaxed);
        if waited
            > worker
                .settings()
                .micros(ParameterId::Hold)
                .saturating_mul(2)
        {
            self.inverted.fetch_add(1, Ordering::Relaxed);
        }
        let (ledger, irql) = guard.parts();
        worker.owns(irql, expected, |halfway| ledger.change(halfway));
    }
}
