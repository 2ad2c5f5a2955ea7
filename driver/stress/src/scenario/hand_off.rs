//! KEVENT: a token goes round from thread to thread, by one synchronization event each.
//!
//! Whoever is woken has the token, and nobody else. Whether a wake-up was lost is told by the books
//! and not by a clock: a sender counts after it has signaled, so a thread that has waited in vain,
//! finds that it was counted for, and then still finds no signal, has lost one.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pinned_init::{pin_data, pin_init};
use syncstress_protocol::{ItemFlags, Primitive, Role};
use wdk_sync::{
    Event, Irql, NonPaged, NonPagedArc, Passive, Signal, SpinLock, Status, Timeout, WaitStatus,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    semaphore::END_IS_SEEN_WITHIN,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, Settings, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 13,
    name: "event",
    primitive: Primitive::Event,
    flags: 0,
    summary: "A token goes round from thread to thread, handed on by synchronization KEVENTs.",
    parameters: parameters![Parameter::threads(2, 4)],
    crew,
    run: |stage, irql| run(stage, irql, false),
};

pub static BUSTED: Scenario = Scenario {
    id: 102,
    name: "busted-wake-up",
    primitive: Primitive::Event,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a hand-over that is sometimes not signaled. It must be reported.",
    parameters: parameters![Parameter::threads(2, 4)],
    crew,
    run: |stage, irql| run(stage, irql, true),
};

fn crew(settings: &Settings) -> Crew {
    Crew::of(Role::Writer, settings.count(ParameterId::Threads))
}

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>, forgets: bool) -> Result<u64, Status> {
    let mut seats = Vec::new();
    for index in 0..stage.run.tallies().len() {
        let seat = NonPaged::pin_init(pin_init!(Seat {
            // The first one has the token.
            woken <- Event::new(Signal::Synchronization, index == 0),
            sent: AtomicU64::new(u64::from(index == 0)),
            got: AtomicU64::new(0),
        }))?;
        seats
            .try_reserve(1)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        seats.push(seat);
    }
    let subject = NonPagedArc::new(Round {
        seats,
        ledger: SpinLock::new(Ledger::new()),
        forgets,
    })?;
    torture(stage, irql, &subject).map(|()| 0)
}

struct Round {
    seats: Vec<NonPaged<Seat>>,
    ledger: SpinLock<Ledger>,
    /// Whether a sender sometimes forgets to signal.
    forgets: bool,
}

/// One thread's place.
#[pin_data]
struct Seat {
    #[pin]
    woken: Event,
    /// How often it was signaled, counted after that.
    sent: AtomicU64,
    /// How often its thread was woken.
    got: AtomicU64,
}

impl Torture for Round {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let next = (worker.index() + 1) % self.seats.len().max(1);
        let (Some(seat), Some(next)) = (self.seats.get(worker.index()), self.seats.get(next))
        else {
            return;
        };
        if !seat.wait(irql, worker) {
            return;
        }
        seat.got.fetch_add(1, Ordering::Relaxed);
        let expected = worker.before();
        worker.owns(irql, expected, |halfway| {
            halfway();
            Ok(())
        });
        // Nobody else has the token, so the lock is free.
        let changed = irql.at_dispatch_level(|irql| {
            let ledger = self.ledger.try_lock_at_dpc_level(irql);
            ledger.map_or(Err(Violation::TwoWriters), |mut it| it.change(|| {}))
        });
        if let Err(violation) = changed {
            worker.found(violation);
        }
        if !(self.forgets && worker.below(16) == 0) {
            next.woken.set(irql);
        }
        next.sent.fetch_add(1, Ordering::Release);
    }
}

impl Seat {
    /// Waits for the token. A wake-up that was lost counts as one all the same, so that the token
    /// goes on.
    fn wait(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) -> bool {
        let since = worker.waits_untried();
        while worker.goes_on() {
            if self.woken.wait(irql, END_IS_SEEN_WITHIN) == WaitStatus::Acquired {
                worker.waited_untried(since);
                return true;
            }
            let due = self.sent.load(Ordering::Acquire) > self.got.load(Ordering::Relaxed);
            if due {
                if self.woken.wait(irql, Timeout::ZERO) != WaitStatus::Acquired {
                    worker.found(Violation::LostWakeUp);
                }
                return true;
            }
        }
        false
    }
}
