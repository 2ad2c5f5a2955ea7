//! The deadly embrace: two KMUTEXes that are taken in both orders, so that threads come to wait for
//! each other. Time-outs get them out again.
//!
//! Waits with a time-out are what gets a driver out of such a state; the better way is one order. A
//! driver that watches its locks (feature `lockdep`) leaves this scenario out, since it would report
//! it, and it has a negative control of its own.

use core::sync::atomic::{AtomicU64, Ordering};

use pinned_init::{pin_data, pin_init};
use syncstress_protocol::{Primitive, Role, Unit};
use wdk_sync::{Irql, Mutex, NonPagedArc, Passive, Status, Timeout, Wait, yield_now};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 18,
    name: "embrace",
    primitive: Primitive::Mutex,
    flags: 0,
    summary: "Threads take two KMUTEXes in both orders, and out of the embrace by time-outs.",
    parameters: parameters![Parameter::threads(2, 4), Parameter::timeout(5)],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(pin_init!(Pair {
        one <- Mutex::new(Ledger::new()),
        other <- Mutex::new(Ledger::new()),
        ended: AtomicU64::new(0),
    }))?;
    let result = torture(stage, irql, &subject);
    let ended = subject.ended.load(Ordering::Relaxed);
    stage
        .metrics
        .count("embraces ended by a time-out", Unit::Count, ended);
    result.map(|()| 0)
}

#[pin_data]
struct Pair {
    #[pin]
    one: Mutex<Ledger>,
    #[pin]
    other: Mutex<Ledger>,
    /// How often a thread that had one mutex got the other one not in time.
    ended: AtomicU64,
}

impl Torture for Pair {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let (first, second) = if worker.index().is_multiple_of(2) {
            (&self.one, &self.other)
        } else {
            (&self.other, &self.one)
        };
        let expected = worker.before().without_normal_apcs();
        let timeout = Timeout::After(worker.settings().millis(ParameterId::Timeout));
        let since = worker.waits();
        let mut first = match first.wait(irql, timeout) {
            Wait::Acquired(guard) => guard,
            Wait::TimedOut => return worker.gave_up(),
            // No thread ends, is alerted or owns the mutex twice.
            _ => return worker.found(Violation::WrongOwner),
        };
        let (ledger, irql) = first.parts();
        if worker.below(16) == 0 {
            // The other thread has time to take what this one asks for next.
            yield_now(irql);
        }
        match second.wait(irql, timeout) {
            Wait::Acquired(mut second) => {
                worker.waited(since);
                let (other, irql) = second.parts();
                worker.owns(irql, expected, |halfway| {
                    ledger.change(halfway)?;
                    other.change(|| {})
                });
            }
            Wait::TimedOut => {
                self.ended.fetch_add(1, Ordering::Relaxed);
                worker.gave_up();
            }
            _ => worker.found(Violation::WrongOwner),
        }
    }
}
