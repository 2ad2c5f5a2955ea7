//! `KSPIN_LOCK` under contention, by queue handles: who came first goes first.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Dispatch, Irql, Level, NonPagedArc, Passive, QueuedSpinLock, Status};

use super::{
    Crew, Scenario, Stage,
    contenders::{AtDpcLevel, torture_with_dpcs},
    harness::Torture,
    ledger::Ledger,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 7,
    name: "queued-spinlock",
    primitive: Primitive::QueuedSpinLock,
    flags: 0,
    summary: "Threads queue up for a KSPIN_LOCK, raising to DISPATCH_LEVEL or already there.",
    parameters: parameters![Parameter::threads(1, 8), Parameter::dpcs()],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with_dpcs(settings.count(ParameterId::Dpcs))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::new(Subject(QueuedSpinLock::new(Ledger::new())))?;
    torture_with_dpcs(stage, irql, &subject).map(|()| 0)
}

struct Subject(QueuedSpinLock<Ledger>);

impl Torture for Subject {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let raises = worker.below(2) == 0;
        let since = worker.waits_untried();
        let work = |ledger: &mut Ledger, irql: &mut Irql<'_, Dispatch>| {
            worker.waited_untried(since);
            let expected = worker.before().raised_to(Dispatch::IRQL);
            worker.owns(irql, expected, |halfway| ledger.change(halfway));
        };
        if raises {
            self.0.with(irql, work);
        } else {
            irql.at_dispatch_level(|irql| self.0.with_at_dpc_level(irql, work));
        }
    }
}

impl AtDpcLevel for Subject {
    fn at_dpc_level(&self, irql: &mut Irql<'_, Dispatch>, f: impl FnOnce(&mut Ledger)) {
        self.0.with_at_dpc_level(irql, |ledger, _irql| f(ledger));
    }
}
