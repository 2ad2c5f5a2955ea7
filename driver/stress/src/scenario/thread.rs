//! System threads: workers start threads and wait for their end, at once or with a time-out before.
//!
//! A thread runs once. When a wait for it is satisfied it has done so, and what it returned is what its
//! worker asked for. That its object and its handle are given back is for whoever counts what the driver
//! left behind.

use alloc::vec::Vec;
use core::time::Duration;

use syncstress_protocol::{ItemFlags, Primitive, Role};
use wdk_sync::{Event, Irql, NonPagedArc, Passive, Signal, Status, Thread, Timeout};

use super::{
    Crew, Scenario, Stage,
    account::{self, Account},
    harness::{Torture, torture},
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::settings::{Parameter, ParameterId, Settings, parameters_of_starters};

pub static SCENARIO: Scenario = Scenario {
    id: 28,
    name: "thread",
    primitive: Primitive::Thread,
    flags: 0,
    summary: "Threads start system threads and wait for their end; each runs once and returns its number.",
    parameters: parameters_of_starters![Parameter::threads(1, 4)],
    crew,
    run: |stage, irql| run(stage, irql, false),
};

pub static BUSTED: Scenario = Scenario {
    id: 108,
    name: "busted-thread",
    primitive: Primitive::Thread,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a wait for a thread that is sometimes satisfied before its end. It must be reported.",
    parameters: parameters_of_starters![Parameter::threads(1, 4)],
    crew,
    run: |stage, irql| run(stage, irql, true),
};

/// One wait in so many that a broken one does not make.
const SKIPS_EVERY: u64 = 16;

/// How long the waits are that have a time-out.
const SOME_TIME: Timeout = Timeout::After(Duration::from_millis(1));

fn crew(settings: &Settings) -> Crew {
    Crew::of(Role::Writer, settings.count(ParameterId::Threads))
}

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>, skips: bool) -> Result<u64, Status> {
    let threads = stage.settings().count(ParameterId::Threads);
    let subject = NonPagedArc::new(Starters {
        accounts: NonPagedArc::new(account::several(threads)?)?,
        skips,
    })?;
    torture(stage, irql, &subject).map(|()| 0)
}

struct Starters {
    /// The books of the threads that each worker has started.
    accounts: NonPagedArc<Vec<Account>>,
    /// Whether a wait at times is none.
    skips: bool,
}

impl Torture for Starters {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let (index, number) = (worker.index(), worker.below(u64::MAX));
        let Some(account) = self.accounts.get(index) else {
            return;
        };
        let Ok(gate) = self.gate(worker) else {
            return worker.gave_up();
        };
        account.queued();
        let busy = worker.settings().micros(ParameterId::Hold);
        let Ok(thread) = self.start(irql, index, number, busy, gate.clone()) else {
            // There is no memory for one more.
            account.taken_out();
            return worker.gave_up();
        };
        let since = worker.waits();
        // A wait that is none says that a thread has ended which its gate keeps from that.
        let ran = if gate.is_some() || wait(irql, worker, &thread) {
            check_runs(account)
        } else {
            Ok(())
        };
        if let Some(gate) = gate {
            gate.set(irql);
        }
        let returned = thread.join(irql);
        worker.waited(since);
        let expected = worker.before();
        worker.owns(irql, expected, |_halfway| {
            ran.and_then(|()| check_runs(account))
                .and_then(|()| check(number, returned))
        });
    }
}

impl Starters {
    /// What keeps a thread from its end while the wait for it is none; mostly nothing.
    fn gate(&self, worker: &mut Worker<'_>) -> Result<Option<NonPagedArc<Event>>, Status> {
        if !self.skips || worker.below(SKIPS_EVERY) != 0 {
            return Ok(None);
        }
        NonPagedArc::pin_init(Event::new(Signal::Notification, false)).map(Some)
    }

    /// Starts a thread for worker `index` that is busy for a while and returns `number`.
    fn start(
        &self,
        irql: &mut Irql<'_, Passive>,
        index: usize,
        number: u64,
        busy: Duration,
        gate: Option<NonPagedArc<Event>>,
    ) -> Result<Thread<u64>, Status> {
        let accounts = self.accounts.clone();
        Thread::spawn(irql, move |irql| {
            if let Some(gate) = gate {
                let _opened = gate.wait(irql, Timeout::Never);
            }
            stay_busy(busy);
            if let Some(account) = accounts.get(index) {
                account.runs();
            }
            number
        })
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

/// Each thread that the worker has started, and waited for, has run.
fn check_runs(account: &Account) -> Result<(), Violation> {
    match account.due_and_ran() {
        (started, ran) if started == ran => Ok(()),
        (started, ran) => Err(Violation::Threads { started, ran }),
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
