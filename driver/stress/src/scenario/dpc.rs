//! KDPC: threads queue DPCs, take them out again, and change their importance and their processor, while
//! the DPCs contend for a spin lock and queue themselves again.
//!
//! A DPC runs once for each time that it was queued and not taken out.

use alloc::vec::Vec;

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{
    Dispatch, Dpc, DpcCallback, DpcControl, DpcWas, Importance, Irql, NonPaged, NonPagedArc,
    Passive, Status, active_processors,
};

use super::{
    Crew, Scenario, Stage,
    dpcs::{AGAIN_EVERY, Dpcs},
    harness::{Torture, torture},
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters_of_starters};

pub static SCENARIO: Scenario = Scenario {
    id: 27,
    name: "dpc",
    primitive: Primitive::Dpc,
    flags: 0,
    summary: "Threads queue KDPCs on all processors and take them out; each runs as often as it is queued.",
    parameters: parameters_of_starters![
        Parameter::threads(1, 4),
        Parameter::new(ParameterId::Dpcs, 1, 64, 8),
    ],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with_dpcs(settings.count(ParameterId::Dpcs))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let settings = stage.settings();
    let count = settings.count(ParameterId::Dpcs);
    let hold = settings.micros(ParameterId::Hold);
    let shared = NonPagedArc::new(Dpcs::new(stage.run, count, hold)?)?;
    let mut dpcs = Vec::new();
    dpcs.try_reserve_exact(count as usize)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for index in 0..count as usize {
        dpcs.push(dpc(shared.clone(), index)?);
    }
    let subject = NonPagedArc::new(Storm {
        dpcs,
        shared: shared.clone(),
    })?;
    let result = torture(stage, irql, &subject);
    shared.close(irql);
    for index in 0..subject.dpcs.len() {
        subject.remove(index);
    }
    // The last owner: the DPCs are run down here, and none runs afterwards.
    drop(subject);
    shared.tell(stage, irql);
    for (index, account) in shared.accounts().iter().enumerate() {
        if let Err(violation) = account.balance() {
            stage.log.fail(format_args!("DPC {index}: {violation}"));
        }
    }
    result.map(|()| 0)
}

/// A DPC that tells that it runs, and at times queues itself again.
fn dpc(shared: NonPagedArc<Dpcs>, index: usize) -> Result<NonPaged<Dpc<impl DpcCallback>>, Status> {
    NonPaged::pin_init(Dpc::new(
        move |control: &DpcControl, irql: &mut Irql<'_, Dispatch>| {
            shared.runs(irql, index, |time| {
                if time.is_multiple_of(AGAIN_EVERY) {
                    queue(control, &shared, index);
                }
            });
        },
    ))
}

fn queue(dpc: &DpcControl, shared: &Dpcs, index: usize) {
    if dpc.queue() == DpcWas::Idle
        && let Some(account) = shared.accounts().get(index)
    {
        account.queued();
    }
}

struct Storm<F> {
    dpcs: Vec<NonPaged<Dpc<F>>>,
    shared: NonPagedArc<Dpcs>,
}

impl<F: DpcCallback> Torture for Storm<F> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let index = usize::try_from(worker.below(self.dpcs.len() as u64)).unwrap_or(0);
        let Some(dpc) = self.dpcs.get(index) else {
            return;
        };
        match worker.below(16) {
            0..4 => self.remove(index),
            4 => dpc.set_importance(importance(worker)),
            5 => {
                let processor = worker.below(active_processors().into());
                // There is one of this number, as long as none goes away.
                let _ = dpc.set_target(u32::try_from(processor).unwrap_or(0));
            }
            6 => return self.shared.visit(irql, worker),
            _ => queue(dpc, &self.shared, index),
        }
        worker.acted();
    }
}

impl<F> Storm<F> {
    fn remove(&self, index: usize) {
        if let (Some(dpc), Some(account)) =
            (self.dpcs.get(index), self.shared.accounts().get(index))
            && dpc.remove() == DpcWas::Queued
        {
            account.taken_out();
        }
    }
}

const fn importance(worker: &mut Worker<'_>) -> Importance {
    match worker.below(4) {
        0 => Importance::Low,
        1 => Importance::Medium,
        2 => Importance::MediumHigh,
        _ => Importance::High,
    }
}
