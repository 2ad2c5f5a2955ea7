//! `KSPIN_LOCK` under contention, by all three functions that acquire it.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Dispatch, Irql, Level, NonPagedArc, Passive, SpinLock, Status};

use super::{
    Crew, Scenario, Stage,
    contenders::{AtDpcLevel, torture_with_dpcs},
    harness::Torture,
    ledger::Ledger,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 1,
    name: "spinlock",
    primitive: Primitive::SpinLock,
    flags: 0,
    summary: "Threads contend for a KSPIN_LOCK, raising to DISPATCH_LEVEL or already there.",
    parameters: parameters![
        Parameter::threads(1, 8),
        Parameter::percent(ParameterId::Try, 10),
        Parameter::dpcs(),
    ],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with_dpcs(settings.count(ParameterId::Dpcs))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::new(Subject(SpinLock::new(Ledger::new())))?;
    torture_with_dpcs(stage, irql, &subject).map(|()| 0)
}

struct Subject(SpinLock<Ledger>);

impl Torture for Subject {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        if worker.tries_first() {
            let acquired = irql.at_dispatch_level(|irql| self.try_at_dpc_level(irql, worker));
            if acquired || worker.found_taken() {
                return;
            }
        }
        let since = worker.waits_tried();
        if worker.below(2) == 0 {
            let mut ledger = self.0.lock(irql);
            worker.waited(since);
            let (ledger, irql) = ledger.parts();
            work(ledger, irql, worker);
        } else {
            irql.at_dispatch_level(|irql| {
                let mut ledger = self.0.lock_at_dpc_level(irql);
                worker.waited(since);
                let (ledger, irql) = ledger.parts();
                work(ledger, irql, worker);
            });
        }
    }
}

impl AtDpcLevel for Subject {
    fn at_dpc_level(&self, irql: &mut Irql<'_, Dispatch>, f: impl FnOnce(&mut Ledger)) {
        f(&mut self.0.lock_at_dpc_level(irql));
    }
}

impl Subject {
    fn try_at_dpc_level(&self, irql: &mut Irql<'_, Dispatch>, worker: &mut Worker<'_>) -> bool {
        let Some(mut ledger) = self.0.try_lock_at_dpc_level(irql) else {
            return false;
        };
        let (ledger, irql) = ledger.parts();
        work(ledger, irql, worker);
        true
    }
}

fn work(ledger: &mut Ledger, irql: &Irql<'_, Dispatch>, worker: &mut Worker<'_>) {
    let expected = worker.before().raised_to(Dispatch::IRQL);
    worker.owns(irql, expected, |halfway| ledger.change(halfway));
}
