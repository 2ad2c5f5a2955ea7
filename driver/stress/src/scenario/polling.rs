//! The polling thread, as many a driver has one: it waits for a timer or for the event that ends it,
//! whichever comes first.
//!
//! Workers are in pairs. The one polls until it is told to end; the other one lets it poll for a while,
//! tells it, and measures how long it takes to end. After that it must not have polled again.

use alloc::vec::Vec;
use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use pinned_init::{pin_data, pin_init};
use syncstress_protocol::{Primitive, Role, Unit};
use wdk_sync::{
    DueTime, Event, Instant, Irql, NonPaged, NonPagedArc, Passive, Period, Signal, Status, Timeout,
    WaitAny, WaitStatus, Waitable, WaitableTimer, sleep, wait_any,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    semaphore::END_IS_SEEN_WITHIN,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, Settings};

pub static SCENARIO: Scenario = Scenario {
    id: 22,
    name: "polling-thread",
    primitive: Primitive::MultipleWait,
    flags: 0,
    summary: "Threads poll by a KTIMER until a KEVENT ends them, and must end then.",
    parameters: &[
        Parameter::new(ParameterId::Threads, 1, 128, 2),
        Parameter::seconds(),
        Parameter::milliseconds(),
        Parameter::new(ParameterId::Period, 1, 1_000, 1),
        Parameter::new(ParameterId::Due, 0, 1_000_000, 5_000),
        Parameter::stutter(),
        Parameter::limit(),
        Parameter::shuffle(),
        Parameter::boost(),
        Parameter::measure(),
        Parameter::sample(),
    ],
    crew,
    run,
};

/// How long after it was told a thread that has not ended has not seen it.
const PATIENCE: Duration = Duration::from_secs(10);

/// First those who tell, then those who poll.
fn crew(settings: &Settings) -> Crew {
    let pairs = settings.count(ParameterId::Threads);
    Crew::of(Role::Canceller, pairs).with(Role::Setter, pairs)
}

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let mut pairs = Vec::new();
    for _ in 0..stage.settings().count(ParameterId::Threads) {
        let pair = NonPaged::pin_init(pin_init!(Pair {
            begin <- Event::new(Signal::Synchronization, false),
            kill <- Event::new(Signal::Synchronization, false),
            ended <- Event::new(Signal::Synchronization, false),
            timer <- WaitableTimer::new(Signal::Synchronization),
            polls: AtomicU64::new(0),
        }))?;
        pairs
            .try_reserve(1)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        pairs.push(pair);
    }
    let subject = NonPagedArc::new(Pairs(pairs))?;
    let result = torture(stage, irql, &subject);
    let polls = subject
        .0
        .iter()
        .map(|pair| pair.polls.load(Ordering::Relaxed));
    let polls = polls.fold(0, u64::saturating_add);
    stage.metrics.count("polls", Unit::Count, polls);
    result.map(|()| 0)
}

struct Pairs(Vec<NonPaged<Pair>>);

/// Two workers.
#[pin_data]
struct Pair {
    /// The one that polls may begin.
    #[pin]
    begin: Event,
    /// It is to end.
    #[pin]
    kill: Event,
    /// It has ended.
    #[pin]
    ended: Event,
    #[pin]
    timer: WaitableTimer,
    /// How often it has polled.
    polls: AtomicU64,
}

impl Torture for Pairs {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let index = worker.index() % self.0.len().max(1);
        let Some(pair) = self.0.get(index) else {
            return;
        };
        if worker.role() == Role::Setter {
            pair.poll(irql, worker);
        } else {
            pair.tell(irql, worker);
        }
    }
}

impl Pair {
    /// Polls until it is told to end.
    fn poll(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        if self.begin.wait(irql, END_IS_SEEN_WITHIN) != WaitStatus::Acquired {
            return;
        }
        let period = worker.settings().count(ParameterId::Period);
        let due = DueTime::After(Duration::from_millis(period.into()));
        self.timer.set(irql, due, Period::from_millis(period));
        loop {
            let objects: [&dyn Waitable; 2] = [&self.kill, &self.timer];
            match wait_any(irql, objects, Timeout::Never) {
                WaitAny::Satisfied(0) => break,
                WaitAny::Satisfied(_) => {
                    self.polls.fetch_add(1, Ordering::Relaxed);
                    worker.acted();
                }
                _ => {
                    worker.found(Violation::LostWakeUp);
                    break;
                }
            }
        }
        self.timer.cancel(irql);
        self.ended.set(irql);
    }

    /// Lets the other one poll for a while, and tells it to end.
    fn tell(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        self.begin.set(irql);
        let micros = worker.below(worker.settings().get(ParameterId::Due).saturating_add(1));
        sleep(irql, Duration::from_micros(micros));
        let (asked, since) = (Instant::now(), worker.waits());
        self.kill.set(irql);
        while self.ended.wait(irql, END_IS_SEEN_WITHIN) != WaitStatus::Acquired {
            if self.begin.wait(irql, Timeout::ZERO) == WaitStatus::Acquired {
                // The other one has not begun: the run is over, or it has done what it was to do.
                self.kill.clear(irql);
                return worker.gave_up();
            }
            if asked.elapsed() > PATIENCE {
                return worker.found(Violation::LostWakeUp);
            }
        }
        worker.waited(since);
        let polls = self.polls.load(Ordering::Relaxed);
        let expected = worker.before();
        worker.owns(irql, expected, |halfway| {
            halfway();
            match self.polls.load(Ordering::Relaxed) {
                same if same == polls => Ok(()),
                actual => Err(Violation::Count {
                    what: "polls after a thread was told to end",
                    expected: polls,
                    actual,
                }),
            }
        });
    }
}
