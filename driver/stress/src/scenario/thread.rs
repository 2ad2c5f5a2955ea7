//! System threads: workers start threads and wait for their end, at once or with a time-out before.
//!
//! A thread runs once. When a wait for it is satisfied it has done so, and what it returned is what its
//! worker asked for.

use alloc::vec::Vec;
use core::time::Duration;

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Irql, NonPagedArc, Passive, Status, Thread, Timeout};

use super::{
    Crew, Scenario, Stage,
    account::{self, Account},
    harness::{Torture, torture},
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::settings::{Parameter, ParameterId, parameters_of_starters};

pub static SCENARIO: Scenario = Scenario {
    id: 28,
    name: "thread",
    primitive: Primitive::Thread,
    flags: 0,
    summary: "Threads start system threads and wait for their end; each runs once and returns its number.",
    parameters: parameters_of_starters![Parameter::threads(1, 4)],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

/// How long the waits are that have a time-out.
const SOME_TIME: Timeout = Timeout::After(Duration::from_millis(1));

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let threads = stage.settings().count(ParameterId::Threads);
    let subject = NonPagedArc::new(Starters {
        accounts: NonPagedArc::new(account::several(threads)?)?,
    })?;
    torture(stage, irql, &subject).map(|()| 0)
}

/// The books of the threads that each worker has started.
struct Starters {
    accounts: NonPagedArc<Vec<Account>>,
}

impl Torture for Starters {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let (index, number) = (worker.index(), worker.below(u64::MAX));
        let Some(account) = self.accounts.get(index) else {
            return;
        };
        let (accounts, busy) = (
            self.accounts.clone(),
            worker.settings().micros(ParameterId::Hold),
        );
        account.queued();
        let thread = Thread::spawn(irql, move |_irql| {
            stay_busy(busy);
            if let Some(account) = accounts.get(index) {
                account.runs();
            }
            number
        });
        let Ok(thread) = thread else {
            // There is no memory for one more.
            account.taken_out();
            return worker.gave_up();
        };
        let since = worker.waits();
        let ran = if wait(irql, worker, &thread) {
            account.balance()
        } else {
            Ok(())
        };
        let returned = thread.join(irql);
        worker.waited(since);
        let expected = worker.before();
        worker.owns(irql, expected, |_halfway| {
            ran.and_then(|()| account.balance())
                .and_then(|()| check(number, returned))
        });
    }
}

/// Waits for the thread in one of three ways, and tells whether it has ended.
fn wait(irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>, thread: &Thread<u64>) -> bool {
    match worker.below(4) {
        0 => thread.has_ended(irql),
        1 => thread.wait(irql, SOME_TIME).is_satisfied(),
        _ => false,
    }
}

fn check(number: u64, returned: Option<u64>) -> Result<(), Violation> {
    if returned == Some(number) {
        return Ok(());
    }
    Err(Violation::Count {
        what: "what a thread returned",
        expected: number,
        actual: returned.unwrap_or_default(),
    })
}
