//! `EX_RUNDOWN_REF`: users come and go while others run the data down and open it again.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Irql, NonPagedArc, Passive, Rundown, Status, yield_now};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 11,
    name: "rundown",
    primitive: Primitive::Rundown,
    flags: 0,
    summary: "Users acquire an EX_RUNDOWN_REF while others run it down and open it again.",
    parameters: parameters![Parameter::threads_beside(1, 2), Parameter::readers(1, 8)],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with(Role::Reader, settings.count(ParameterId::Readers))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(Rundown::new(irql, Ledger::new()))?;
    torture(stage, irql, &subject).map(|()| 0)
}

impl Torture for Rundown<Ledger> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let expected = worker.before();
        if worker.role() == Role::Reader {
            if let Some(ledger) = self.acquire(irql) {
                return worker.owns(irql, expected, |halfway| ledger.inspect(halfway));
            }
            worker.gave_up();
            // Whoever runs it down needs a processor to end that.
            return yield_now(irql);
        }
        let since = worker.waits_untried();
        if let Some(mut ledger) = self.run_down(irql) {
            worker.waited_untried(since);
            worker.owns(irql, expected, |halfway| ledger.change(halfway));
            return ledger.reinitialize(irql);
        }
        worker.gave_up();
        // As does whoever runs it down already.
        yield_now(irql);
    }
}
