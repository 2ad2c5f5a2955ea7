//! `KeWaitForMultipleObjects`: threads wait for any one of four semaphores of one, or for two of them
//! at once. Who got one has what belongs to it alone.

use pinned_init::{pin_data, try_pin_init};
use syncstress_protocol::{Primitive, Role};
use wdk_sync::{
    Irql, NonPagedArc, Passive, Semaphore, SpinLock, Status, WaitAny, WaitStatus, wait_all,
    wait_any,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    semaphore::END_IS_SEEN_WITHIN,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 14,
    name: "wait-multiple",
    primitive: Primitive::MultipleWait,
    flags: 0,
    summary: "Threads wait for any one of four KSEMAPHOREs, or for two neighbours at once.",
    parameters: parameters![
        Parameter::threads(1, 8),
        Parameter::percent(ParameterId::All, 50),
    ],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

const FORKS: usize = 4;

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let token = &*irql;
    let subject = NonPagedArc::pin_init(try_pin_init!(Table {
        first <- Semaphore::new(token, 1, 1),
        second <- Semaphore::new(token, 1, 1),
        third <- Semaphore::new(token, 1, 1),
        fourth <- Semaphore::new(token, 1, 1),
        ledgers: core::array::from_fn(|_| SpinLock::new(Ledger::new())),
    }? Status))?;
    torture(stage, irql, &subject)?;
    for (index, fork) in subject.forks().into_iter().enumerate() {
        let count = u64::from(fork.count(irql));
        if count != 1 {
            let violation = Violation::Count {
                what: "the count of a semaphore that everyone gave back",
                expected: 1,
                actual: count,
            };
            stage
                .log
                .fail(format_args!("semaphore {index}: {violation}"));
        }
    }
    Ok(0)
}

#[pin_data]
struct Table {
    #[pin]
    first: Semaphore,
    #[pin]
    second: Semaphore,
    #[pin]
    third: Semaphore,
    #[pin]
    fourth: Semaphore,
    ledgers: [SpinLock<Ledger>; FORKS],
}

impl Table {
    const fn forks(&self) -> [&Semaphore; FORKS] {
        [&self.first, &self.second, &self.third, &self.fourth]
    }

    /// What its owner does with a fork: the lock of the ledger is free, since nobody else has it. The second
    /// one of a pair came with the same wait as the first.
    fn use_fork(
        &self,
        irql: &mut Irql<'_, Passive>,
        worker: &mut Worker<'_>,
        index: usize,
        is_second: bool,
    ) {
        let (Some(ledger), Some(fork)) =
            (self.ledgers.get(index), self.forks().get(index).copied())
        else {
            return;
        };
        let changed = irql.at_dispatch_level(|irql| {
            let ledger = ledger.try_lock_at_dpc_level(irql);
            ledger.map_or(Err(Violation::TwoWriters), |mut it| it.change(|| {}))
        });
        let expected = worker.before();
        let use_it = |halfway: &dyn Fn()| {
            halfway();
            changed
        };
        if is_second {
            worker.owns_again(irql, expected, use_it);
        } else {
            worker.owns(irql, expected, use_it);
        }
        if fork.release(irql, 1).is_err() {
            worker.found(Violation::Count {
                what: "the count of a semaphore that was given back",
                expected: 1,
                actual: 2,
            });
        }
    }
}

impl Torture for Table {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let forks = self.forks();
        let since = worker.waits_untried();
        if worker.happens(ParameterId::All) {
            let left = usize::try_from(worker.below(FORKS as u64)).unwrap_or(0);
            let right = (left + 1) % FORKS;
            let (Some(one), Some(other)) = (forks.get(left), forks.get(right)) else {
                return;
            };
            let pair = [*one as &dyn wdk_sync::Waitable, *other];
            if wait_all(irql, pair, END_IS_SEEN_WITHIN) == WaitStatus::Acquired {
                worker.waited_untried(since);
                self.use_fork(irql, worker, left, false);
                self.use_fork(irql, worker, right, true);
            } else {
                worker.gave_up();
            }
        } else {
            match wait_any(irql, forks.map(|it| it as _), END_IS_SEEN_WITHIN) {
                WaitAny::Satisfied(index) => {
                    worker.waited_untried(since);
                    self.use_fork(irql, worker, index, false);
                }
                _ => worker.gave_up(),
            }
        }
    }
}
