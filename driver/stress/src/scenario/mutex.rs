//! KMUTEX under contention, with tries and time-outs.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Irql, Mutex, MutexGuard, NonPagedArc, Passive, Status, Timeout, Wait};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 2,
    name: "mutex",
    primitive: Primitive::Mutex,
    flags: 0,
    summary: "Threads contend for a KMUTEX; some give up at once or after a time-out.",
    parameters: parameters![
        Parameter::threads(1, 8),
        Parameter::percent(ParameterId::Try, 10),
        Parameter::percent(ParameterId::TimedWait, 20),
        Parameter::timeout(1),
    ],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(Mutex::new(Ledger::new()))?;
    torture(stage, irql, &subject).map(|()| 0)
}

impl Torture for Mutex<Ledger> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        if worker.tries_first() {
            if let Some(guard) = self.try_lock(irql) {
                return work(guard, worker);
            }
            if worker.found_taken() {
                return;
            }
        }
        let timeout = if worker.happens(ParameterId::TimedWait) {
            Timeout::After(worker.settings().millis(ParameterId::Timeout))
        } else {
            Timeout::Never
        };
        let since = worker.waits_tried();
        match self.wait(irql, timeout) {
            Wait::Acquired(guard) => {
                worker.waited(since);
                work(guard, worker);
            }
            Wait::TimedOut if timeout != Timeout::Never => worker.gave_up(),
            // No thread ends, is alerted or owns the mutex twice.
            _ => worker.found(Violation::WrongOwner),
        }
    }
}

fn work(mut guard: MutexGuard<'_, Ledger, Passive>, worker: &mut Worker<'_>) {
    let expected = worker.before().without_normal_apcs();
    let (ledger, irql) = guard.parts();
    worker.owns(irql, expected, |halfway| ledger.change(halfway));
}
