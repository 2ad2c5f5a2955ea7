//! `ExInterlockedXxxList`: producers take spare nodes and put them at the end of a queue, and consumers
//! and DPCs take them from its beginning and give them back.
//!
//! What one of them has taken nobody else has. A consumer gets what one producer has put in in that order.
//! At the end every node is in one of the lists, once.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pinned_init::{pin_data, try_pin_init};
use syncstress_protocol::{Primitive, Role};
use wdk_sync::{AtMost, Dispatch, InterlockedList, Irql, NonPagedArc, Passive, SpinLock, Status};

use super::{
    Crew, Scenario, Stage,
    contenders::{AtDpcLevel, torture_with_dpcs},
    harness::Torture,
    ledger::Ledger,
    nodes::{Element, PassesOn, Places, Stamp, Stamps, nodes},
    violation::Violation,
    worker::Worker,
};
use crate::{
    settings::{Parameter, ParameterId, parameters},
    thread_state::ThreadState,
};

pub static SCENARIO: Scenario = Scenario {
    id: 25,
    name: "interlocked-list",
    primitive: Primitive::InterlockedList,
    flags: 0,
    summary: "Producers, consumers and DPCs pass nodes round by two ExInterlockedXxxLists.",
    parameters: parameters![
        Parameter::threads_beside(1, 4),
        Parameter::readers(1, 4),
        Parameter::nodes(64),
        Parameter::dpcs(),
    ],
    crew: |settings| {
        Crew::of(Role::Producer, settings.count(ParameterId::Threads))
            .with(Role::Consumer, settings.count(ParameterId::Readers))
            .with_dpcs(settings.count(ParameterId::Dpcs))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let settings = stage.settings();
    let count = settings.count(ParameterId::Nodes) as usize;
    let producers = settings.count(ParameterId::Threads) as usize;
    let consumers = settings.count(ParameterId::Readers) as usize;
    let subject = NonPagedArc::pin_init(try_pin_init!(Lists {
        spare <- InterlockedList::new(),
        sent <- InterlockedList::new(),
        places: Places::new(count)?,
        stamps: Stamps::new(producers)?,
        producers,
        seen: unseen(producers.saturating_mul(consumers))?,
        told: SpinLock::new(Ledger::new()),
    }? Status))?;
    for node in nodes(count)? {
        subject.spare.push_front(node);
    }
    let result = torture_with_dpcs(stage, irql, &subject);
    for list in [&subject.spare, &subject.sent] {
        while let Some(node) = list.pop_front() {
            stage.log.fail_on(subject.places.found(node.number));
        }
    }
    stage.log.fail_on(subject.places.lost());
    result.map(|()| 0)
}

fn unseen(count: usize) -> Result<Vec<AtomicU64>, Status> {
    let mut seen = Vec::new();
    seen.try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    seen.resize_with(count, || AtomicU64::new(0));
    Ok(seen)
}

#[pin_data]
struct Lists {
    /// Last in, first out.
    #[pin]
    spare: InterlockedList<Element>,
    /// First in, first out.
    #[pin]
    sent: InterlockedList<Element>,
    places: Places,
    stamps: Stamps,
    producers: usize,
    /// Of every consumer, one after the other, up to which of every producer's it has seen.
    seen: Vec<AtomicU64>,
    /// What DPCs change after they had a node, so that they can tell.
    told: SpinLock<Ledger>,
}

impl Torture for Lists {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        self.work_at_some_level(irql, worker);
    }
}

impl PassesOn for Lists {
    fn work<L: AtMost<Dispatch>>(
        &self,
        irql: &Irql<'_, L>,
        state: ThreadState,
        worker: &mut Worker<'_>,
    ) -> bool {
        let produces = worker.role() == Role::Producer;
        let from = if produces { &self.spare } else { &self.sent };
        let Some(mut node) = from.pop_front() else {
            return false;
        };
        let index = worker.index();
        worker.owns(irql, state, |halfway| {
            let result = node.passes_through(&self.places, halfway);
            if produces {
                node.stamp = self.stamps.next(index);
                self.sent.push_back(node);
                return result;
            }
            let in_order = node.stamp.map_or(Ok(()), |stamp| self.sees(index, stamp));
            self.spare.push_front(node);
            result.and(in_order)
        });
        true
    }
}

impl AtDpcLevel for Lists {
    fn before(&self, _irql: &mut Irql<'_, Dispatch>) -> Result<(), Violation> {
        let Some(mut node) = self.sent.pop_front() else {
            return Ok(());
        };
        let result = node.passes_through(&self.places, || {});
        self.spare.push_front(node);
        result
    }

    fn at_dpc_level(&self, irql: &mut Irql<'_, Dispatch>, f: impl FnOnce(&mut Ledger)) {
        f(&mut self.told.lock_at_dpc_level(irql));
    }
}

impl Lists {
    /// A consumer has seen what has this stamp.
    fn sees(&self, consumer: usize, Stamp { by, before }: Stamp) -> Result<(), Violation> {
        let row = consumer.saturating_sub(self.producers);
        let place = row.saturating_mul(self.producers).saturating_add(by);
        let Some(seen) = self.seen.get(place) else {
            return Ok(());
        };
        let first = seen.swap(before.saturating_add(1), Ordering::Relaxed);
        if first <= before {
            return Ok(());
        }
        Err(Violation::Order {
            first: first.saturating_sub(1),
            second: before,
        })
    }
}
