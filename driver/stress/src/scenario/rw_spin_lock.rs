//! `EX_SPIN_LOCK` under contention: writers, readers, and readers that become writers.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{Dispatch, Irql, Level, NonPagedArc, Passive, RwSpinLock, Status};

use super::{
    Crew, Scenario, Stage,
    contenders::{AtDpcLevel, torture_with_dpcs},
    harness::Torture,
    ledger::Ledger,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 8,
    name: "rw-spinlock",
    primitive: Primitive::RwSpinLock,
    flags: 0,
    summary: "Writers and readers contend for an EX_SPIN_LOCK; readers try to become writers.",
    parameters: parameters![
        Parameter::threads(1, 4),
        Parameter::readers(0, 8),
        Parameter::dpcs(),
        Parameter::percent(ParameterId::Convert, 20),
    ],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with(Role::Reader, settings.count(ParameterId::Readers))
            .with_dpcs(settings.count(ParameterId::Dpcs))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::new(Subject(RwSpinLock::new(Ledger::new())))?;
    torture_with_dpcs(stage, irql, &subject).map(|()| 0)
}

struct Subject(RwSpinLock<Ledger>);

impl Torture for Subject {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let raises = worker.below(2) == 0;
        let since = worker.waits_untried();
        if worker.role() == Role::Writer {
            let mut work = |ledger: &mut Ledger, irql: &mut Irql<'_, Dispatch>| {
                worker.waited_untried(since);
                change(ledger, irql, worker);
            };
            if raises {
                self.0.with_exclusive(irql, work);
            } else {
                irql.at_dispatch_level(|irql| {
                    let mut guard = self.0.exclusive_at_dpc_level(irql);
                    let (ledger, irql) = guard.parts();
                    work(ledger, irql);
                });
            }
        } else if raises {
            self.0.with_shared(irql, |ledger, irql| {
                worker.waited_untried(since);
                inspect(ledger, irql, worker);
            });
        } else {
            irql.at_dispatch_level(|irql| self.read_and_convert(irql, worker, since));
        }
    }
}

impl Subject {
    /// Reads, and sometimes tries to go on as a writer.
    fn read_and_convert(
        &self,
        irql: &mut Irql<'_, Dispatch>,
        worker: &mut Worker<'_>,
        since: Option<crate::measure::Ticks>,
    ) {
        let mut guard = self.0.shared_at_dpc_level(irql);
        worker.waited_untried(since);
        let (ledger, irql) = guard.parts();
        inspect(ledger, irql, worker);
        if !worker.happens(ParameterId::Convert) {
            return;
        }
        match guard.try_upgrade() {
            Ok(mut guard) => {
                let (ledger, irql) = guard.parts();
                change(ledger, irql, worker);
            }
            Err(_still_shared) => worker.gave_up(),
        }
    }
}

impl AtDpcLevel for Subject {
    fn at_dpc_level(&self, irql: &mut Irql<'_, Dispatch>, f: impl FnOnce(&mut Ledger)) {
        f(&mut self.0.exclusive_at_dpc_level(irql));
    }
}

fn change(ledger: &mut Ledger, irql: &Irql<'_, Dispatch>, worker: &mut Worker<'_>) {
    let expected = worker.before().raised_to(Dispatch::IRQL);
    worker.owns(irql, expected, |halfway| ledger.change(halfway));
}

fn inspect(ledger: &Ledger, irql: &Irql<'_, Dispatch>, worker: &mut Worker<'_>) {
    let expected = worker.before().raised_to(Dispatch::IRQL);
    worker.owns(irql, expected, |halfway| ledger.inspect(halfway));
}
