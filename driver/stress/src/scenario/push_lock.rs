//! `EX_PUSH_LOCK` under contention: writers and readers.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Irql, NonPagedArc, Passive, PushLock, Status};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 10,
    name: "push-lock",
    primitive: Primitive::PushLock,
    flags: 0,
    summary: "Writers and readers contend for an EX_PUSH_LOCK.",
    parameters: parameters![Parameter::threads(1, 4), Parameter::readers(0, 8)],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with(Role::Reader, settings.count(ParameterId::Readers))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(PushLock::new(Ledger::new()))?;
    torture(stage, irql, &subject).map(|()| 0)
}

impl Torture for PushLock<Ledger> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let expected = worker.before().without_normal_apcs();
        let since = worker.waits_untried();
        if worker.role() == Role::Writer {
            self.with_exclusive(irql, |ledger, irql| {
                worker.waited_untried(since);
                worker.owns(irql, expected, |halfway| ledger.change(halfway));
            });
        } else {
            self.with_shared(irql, |ledger, irql| {
                worker.waited_untried(since);
                worker.owns(irql, expected, |halfway| ledger.inspect(halfway));
            });
        }
    }
}
