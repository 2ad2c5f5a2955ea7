//! The negative control: a lock that locks nothing. A run of it that passes means that the checks
//! are worth nothing.

use core::sync::atomic::{AtomicU64, Ordering};

use syncstress_protocol::{ItemFlags, Primitive, Role};
use wdk_sync::{Irql, NonPagedArc, Passive, Status, yield_now};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::word_of,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 100,
    name: "busted",
    primitive: Primitive::SpinLock,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a lock that excludes nobody. It must be reported as failed.",
    parameters: parameters![Parameter::threads(2, 4),],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::new(Unprotected::new())?;
    torture(stage, irql, &subject).map(|()| 0)
}

const WORDS: usize = 4;

/// The record of a [`Ledger`](super::ledger::Ledger) without a lock around it. Its words are atomic,
/// each for itself, because this one is really used by several threads at once: what tears is the
/// relation between them, as it does in plain memory.
struct Unprotected {
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Unprotected {
    fn new() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            words: core::array::from_fn(|index| AtomicU64::new(word_of(0, index))),
        }
    }

    /// Makes one change, with `between` after each word but the last.
    fn change(&self, mut between: impl FnMut()) -> Result<(), Violation> {
        let found = self.verify();
        let sequence = self.sequence.load(Ordering::Relaxed).wrapping_add(1);
        self.sequence.store(sequence, Ordering::Relaxed);
        for (index, word) in self.words.iter().enumerate() {
            between();
            word.store(word_of(sequence, index), Ordering::Relaxed);
        }
        found.and_then(|()| self.verify())
    }

    fn verify(&self) -> Result<(), Violation> {
        let sequence = self.sequence.load(Ordering::Relaxed);
        for (index, word) in self.words.iter().enumerate() {
            let (expected, actual) = (word_of(sequence, index), word.load(Ordering::Relaxed));
            if actual != expected {
                return Err(Violation::TornRecord {
                    word: index,
                    expected,
                    actual,
                });
            }
        }
        Ok(())
    }
}

impl Torture for Unprotected {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        // A thread that keeps its processor for the whole change would hide what is missing where
        // there is but one processor.
        let gives_way = worker.below(8) == 0;
        let changed = self.change(|| {
            if gives_way {
                yield_now(irql);
            }
        });
        let expected = worker.before();
        worker.owns(irql, expected, |halfway| {
            halfway();
            changed
        });
    }
}
