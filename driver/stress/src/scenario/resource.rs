//! ERESOURCE under contention: writers and readers, by every way to acquire it.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{
    AlreadyOwned, ExclusiveGuard, Irql, NonPagedArc, Passive, Resource, SharedGuard, Status,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 4,
    name: "resource",
    primitive: Primitive::Resource,
    flags: 0,
    summary: "Writers and readers contend for an ERESOURCE, which each shares in its own way.",
    parameters: parameters![
        Parameter::threads(1, 4),
        Parameter::readers(0, 8),
        Parameter::percent(ParameterId::Try, 10),
        Parameter::percent(ParameterId::Starve, 10),
        Parameter::percent(ParameterId::Yield, 10),
        Parameter::percent(ParameterId::Convert, 20),
    ],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with(Role::Reader, settings.count(ParameterId::Readers))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(Resource::new(Ledger::new()))?;
    torture(stage, irql, &subject)?;
    Ok(subject.contention_count().into())
}

impl Torture for Resource<Ledger> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let result = if worker.role() == Role::Writer {
            write(self, irql, worker)
        } else {
            read(self, irql, worker)
        };
        if result == Err(AlreadyOwned) {
            // Each pass begins without the resource.
            worker.found(Violation::WrongOwner);
        }
    }
}

fn write(
    resource: &Resource<Ledger>,
    irql: &mut Irql<'_, Passive>,
    worker: &mut Worker<'_>,
) -> Result<(), AlreadyOwned> {
    if worker.tries_first() {
        if let Some(guard) = resource.try_exclusive(irql) {
            change(resource, guard, worker);
            return Ok(());
        }
        if worker.found_taken() {
            return Ok(());
        }
    }
    let since = worker.waits_tried();
    let guard = resource.exclusive(irql)?;
    worker.waited(since);
    change(resource, guard, worker);
    Ok(())
}

fn change(
    resource: &Resource<Ledger>,
    mut guard: ExclusiveGuard<'_, Ledger, Passive>,
    worker: &mut Worker<'_>,
) {
    let expected = worker.before().without_normal_apcs();
    let (ledger, irql) = guard.parts();
    if !resource.is_exclusive(irql) || resource.acquisitions(irql) != 1 {
        worker.found(Violation::WrongOwner);
    }
    worker.owns(irql, expected, |halfway| ledger.change(halfway));
    if worker.happens(ParameterId::Convert) {
        inspect(resource, guard.downgrade(), worker);
    }
}

/// How a reader treats those who wait for exclusive access.
#[derive(Clone, Copy)]
enum Manners {
    /// `ExAcquireResourceSharedLite`.
    Usual,
    /// `ExAcquireSharedStarveExclusive`.
    Starve,
    /// `ExAcquireSharedWaitForExclusive`.
    Yield,
}

impl Manners {
    fn of(worker: &mut Worker<'_>) -> Self {
        if worker.happens(ParameterId::Starve) {
            Self::Starve
        } else if worker.happens(ParameterId::Yield) {
            Self::Yield
        } else {
            Self::Usual
        }
    }
}

fn read(
    resource: &Resource<Ledger>,
    irql: &mut Irql<'_, Passive>,
    worker: &mut Worker<'_>,
) -> Result<(), AlreadyOwned> {
    let manners = Manners::of(worker);
    if worker.tries_first() {
        let guard = match manners {
            Manners::Usual => resource.try_shared(irql),
            Manners::Starve => resource.try_shared_starve_exclusive(irql),
            Manners::Yield => resource.try_shared_wait_for_exclusive(irql),
        };
        if let Some(guard) = guard {
            inspect(resource, guard, worker);
            return Ok(());
        }
        if worker.found_taken() {
            return Ok(());
        }
    }
    let since = worker.waits_tried();
    let guard = match manners {
        Manners::Usual => resource.shared(irql),
        Manners::Starve => resource.shared_starve_exclusive(irql),
        Manners::Yield => resource.shared_wait_for_exclusive(irql),
    }?;
    worker.waited(since);
    inspect(resource, guard, worker);
    Ok(())
}

fn inspect(
    resource: &Resource<Ledger>,
    mut guard: SharedGuard<'_, Ledger, Passive>,
    worker: &mut Worker<'_>,
) {
    let expected = worker.before().without_normal_apcs();
    let (ledger, irql) = guard.parts();
    if resource.is_exclusive(irql) || resource.acquisitions(irql) != 1 {
        worker.found(Violation::WrongOwner);
    }
    worker.owns(irql, expected, |halfway| ledger.inspect(halfway));
}
