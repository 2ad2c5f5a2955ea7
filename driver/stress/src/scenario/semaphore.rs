//! KSEMAPHORE: producers and consumers over a buffer of a few places.
//!
//! One semaphore counts free places, another one taken ones. What is in the buffer has numbers in a
//! row, so what is lost, doubled or overtaken is seen; a producer that finds no room, or a consumer
//! that finds nothing, was let in by a wrong count.

use core::time::Duration;

use pinned_init::{pin_data, try_pin_init};
use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Irql, NonPagedArc, Passive, Semaphore, SpinLock, Status, Timeout, WaitStatus};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 12,
    name: "semaphore",
    primitive: Primitive::Semaphore,
    flags: 0,
    summary: "Producers and consumers meet at a buffer whose places two KSEMAPHOREs count.",
    parameters: parameters![Parameter::threads_beside(1, 4), Parameter::readers(1, 4)],
    crew: |settings| {
        Crew::of(Role::Producer, settings.count(ParameterId::Threads))
            .with(Role::Consumer, settings.count(ParameterId::Readers))
    },
    run,
};

const PLACES: u32 = 8;

/// How long a worker can be blind to the end of the run.
pub const END_IS_SEEN_WITHIN: Timeout = Timeout::After(Duration::from_millis(50));

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let token = &*irql;
    let subject = NonPagedArc::pin_init(try_pin_init!(Market {
        free <- Semaphore::new(token, PLACES, PLACES),
        taken <- Semaphore::new(token, 0, PLACES),
        buffer: SpinLock::new(Buffer::default()),
        ledger: SpinLock::new(Ledger::new()),
    }? Status))?;
    torture(stage, irql, &subject)?;
    let in_buffer = subject.buffer.lock(irql).in_buffer();
    let counted = u64::from(subject.taken.count(irql));
    if in_buffer != counted {
        let violation = Violation::Count {
            what: "taken places, as the semaphore counts them",
            expected: in_buffer,
            actual: counted,
        };
        stage.log.fail(format_args!("{violation}"));
    }
    Ok(0)
}

/// A buffer and its semaphores.
#[pin_data]
struct Market {
    #[pin]
    free: Semaphore,
    #[pin]
    taken: Semaphore,
    buffer: SpinLock<Buffer>,
    /// What every worker that got a place changes.
    ledger: SpinLock<Ledger>,
}

/// Numbers in a row.
#[derive(Default)]
struct Buffer {
    places: [Option<u64>; PLACES as usize],
    put: u64,
    taken: u64,
}

impl Buffer {
    const fn in_buffer(&self) -> u64 {
        self.put.saturating_sub(self.taken)
    }

    fn put(&mut self) -> Result<(), Violation> {
        let number = self.put;
        match self.places.get_mut(place_of(number)) {
            Some(place @ None) => *place = Some(number),
            _ => return Err(self.wrong("places taken", u64::from(PLACES) - 1)),
        }
        self.put = number.wrapping_add(1);
        Ok(())
    }

    fn take(&mut self) -> Result<(), Violation> {
        let number = self.taken;
        let place = self.places.get_mut(place_of(number));
        if place.and_then(Option::take) != Some(number) {
            return Err(self.wrong("places free", u64::from(PLACES) - 1));
        }
        self.taken = number.wrapping_add(1);
        Ok(())
    }

    const fn wrong(&self, what: &'static str, expected: u64) -> Violation {
        Violation::Count {
            what,
            expected,
            actual: self.in_buffer(),
        }
    }
}

fn place_of(number: u64) -> usize {
    usize::try_from(number % u64::from(PLACES)).unwrap_or(0)
}

impl Torture for Market {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let produces = worker.role() == Role::Producer;
        let (from, to) = if produces {
            (&self.free, &self.taken)
        } else {
            (&self.taken, &self.free)
        };
        if !take(from, irql, worker) {
            return;
        }
        let expected = worker.before();
        worker.owns(irql, expected, |halfway| {
            halfway();
            Ok(())
        });
        let moved = {
            let mut buffer = self.buffer.lock(irql);
            if produces {
                buffer.put()
            } else {
                buffer.take()
            }
        };
        let changed = self.ledger.lock(irql).change(|| {});
        for violation in [moved, changed].into_iter().filter_map(Result::err) {
            worker.found(violation);
        }
        if to.release(irql, 1).is_err() {
            worker.found(Violation::Count {
                what: "places, beyond the limit of the semaphore",
                expected: u64::from(PLACES),
                actual: u64::from(PLACES) + 1,
            });
        }
    }
}

/// Takes one from a semaphore, at once or after a wait that sees the end of the run.
pub fn take(from: &Semaphore, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) -> bool {
    if worker.tries_first() {
        if from.try_acquire(irql) {
            return true;
        }
        if worker.found_taken() {
            return false;
        }
    }
    let since = worker.waits_tried();
    while worker.goes_on() {
        if from.wait(irql, END_IS_SEEN_WITHIN) == WaitStatus::Acquired {
            worker.waited(since);
            return true;
        }
    }
    false
}
