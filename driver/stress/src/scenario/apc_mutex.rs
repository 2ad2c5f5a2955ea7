//! `FAST_MUTEX` and `KGUARDED_MUTEX` under contention, by both functions that wait for one.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{
    Apc, ApcAcquisition, ApcMutex, ApcMutexGuard, FastMutex, Functions, GuardedMutex, Irql, Level,
    NonPagedArc, Passive, Status,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, Settings, parameters};

/// Of the `FAST_MUTEX`.
pub static FAST: Scenario = Scenario {
    id: 5,
    name: "fast-mutex",
    primitive: Primitive::FastMutex,
    flags: 0,
    summary: "Threads contend for a FAST_MUTEX, raising to APC_LEVEL or already there.",
    parameters: PARAMETERS,
    crew,
    run: run_fast,
};

/// Of the `KGUARDED_MUTEX`.
pub static GUARDED: Scenario = Scenario {
    id: 9,
    name: "guarded-mutex",
    primitive: Primitive::GuardedMutex,
    flags: 0,
    summary: "Threads contend for a KGUARDED_MUTEX, raising to APC_LEVEL or already there.",
    parameters: PARAMETERS,
    crew,
    run: run_guarded,
};

const PARAMETERS: &[Parameter] = parameters![
    Parameter::threads(1, 8),
    Parameter::percent(ParameterId::Try, 10),
];

fn crew(settings: &Settings) -> Crew {
    Crew::of(Role::Writer, settings.count(ParameterId::Threads))
}

fn run_fast(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(FastMutex::new(Ledger::new()))?;
    torture(stage, irql, &subject).map(|()| 0)
}

fn run_guarded(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(GuardedMutex::new(irql, Ledger::new()))?;
    torture(stage, irql, &subject).map(|()| 0)
}

impl<F: Functions + 'static> Torture for ApcMutex<F, Ledger> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        if worker.tries_first() {
            if let Some(guard) = self.try_lock(irql) {
                return work(guard, worker);
            }
            if worker.found_taken() {
                return;
            }
        }
        let since = worker.waits_tried();
        let acquired = if worker.below(2) == 0 {
            self.lock(irql).map(|guard| {
                worker.waited(since);
                work(guard, worker);
            })
        } else {
            irql.at_apc_level(|irql| {
                self.lock_at_apc_level(irql).map(|guard| {
                    worker.waited(since);
                    work(guard, worker);
                })
            })
        };
        if acquired.is_err() {
            worker.found(Violation::WrongOwner);
        }
    }
}

fn work<F: Functions, A: ApcAcquisition>(
    mut guard: ApcMutexGuard<'_, F, Ledger, A>,
    worker: &mut Worker<'_>,
) {
    let expected = worker.before().raised_to(Apc::IRQL);
    let (ledger, irql) = guard.parts();
    worker.owns(irql, expected, |halfway| ledger.change(halfway));
}
