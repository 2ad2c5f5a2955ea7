//! KMUTEX under contention, acquired several times by its owner.

use core::cell::RefCell;

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Irql, NonPagedArc, Passive, RecursiveMutex, RecursiveMutexGuard, Status};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 3,
    name: "recursive-mutex",
    primitive: Primitive::Mutex,
    flags: 0,
    summary: "Threads contend for a KMUTEX that each owner acquires again, to a random depth.",
    parameters: parameters![
        Parameter::threads(1, 8),
        Parameter::percent(ParameterId::Try, 10),
        // Each level is a stack frame, and a kernel stack is small.
        Parameter::new(ParameterId::Depth, 1, 16, 4),
    ],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(RecursiveMutex::new(RefCell::new(Ledger::new())))?;
    torture(stage, irql, &subject).map(|()| 0)
}

type Subject = RecursiveMutex<RefCell<Ledger>>;

impl Torture for Subject {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let most = worker.settings().count(ParameterId::Depth);
        let depth = u32::try_from(worker.below(most.into())).map_or(1, |below| below + 1);
        if worker.tries_first() {
            if let Some(guard) = self.try_lock(irql) {
                return work(self, guard, worker, 1, depth);
            }
            if worker.found_taken() {
                return;
            }
        }
        let since = worker.waits_tried();
        match self.lock(irql) {
            Ok(guard) => {
                worker.waited(since);
                work(self, guard, worker, 1, depth);
            }
            Err(_) => worker.found(Violation::WrongOwner),
        }
    }
}

/// Changes the data at level `level` of the recursion and at all those below, down to `depth`.
fn work(
    mutex: &Subject,
    mut guard: RecursiveMutexGuard<'_, RefCell<Ledger>, Passive>,
    worker: &mut Worker<'_>,
    level: u32,
    depth: u32,
) {
    if RecursiveMutexGuard::depth(&guard) != level {
        worker.found(Violation::WrongOwner);
    }
    let expected = worker.before().without_normal_apcs();
    let (ledger, irql) = guard.parts();
    let change = |halfway: &dyn Fn()| {
        let mut ledger = ledger.try_borrow_mut().map_err(|_| Violation::TwoWriters)?;
        ledger.change(halfway)
    };
    if level == 1 {
        worker.owns(irql, expected, change);
    } else {
        worker.owns_again(irql, expected, change);
    }
    if level < depth {
        match mutex.lock(irql) {
            Ok(inner) => work(mutex, inner, worker, level + 1, depth),
            Err(_) => worker.found(Violation::WrongOwner),
        }
    }
}
