//! `SLIST_HEADER`: threads and DPCs take nodes from two lists and put them into one of them.
//!
//! What one of them has taken nobody else has. Of what a thread takes all at once, those that it put in
//! itself come in the opposite order. At the end every node is in one of the lists, once.

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{AtMost, Dispatch, Irql, ListNode, NonPagedArc, Passive, SList, SpinLock, Status};

use super::{
    Crew, Scenario, Stage,
    contenders::{AtDpcLevel, torture_with_dpcs},
    harness::Torture,
    ledger::Ledger,
    nodes::{Element, PassesOn, Places, Stamps, nodes},
    violation::Violation,
    worker::Worker,
};
use crate::{
    settings::{Parameter, ParameterId, parameters},
    thread_state::ThreadState,
};

pub static SCENARIO: Scenario = Scenario {
    id: 24,
    name: "s-list",
    primitive: Primitive::SList,
    flags: 0,
    summary: "Threads and DPCs pop nodes from sequenced lists, flush them, and push nodes.",
    parameters: parameters![
        Parameter::threads(1, 8),
        Parameter::nodes(16),
        Parameter::percent(ParameterId::Flush, 5),
        Parameter::dpcs(),
    ],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with_dpcs(settings.count(ParameterId::Dpcs))
    },
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let count = stage.settings().count(ParameterId::Nodes) as usize;
    let subject = NonPagedArc::new(Lists {
        both: [SList::new(), SList::new()],
        places: Places::new(count)?,
        stamps: Stamps::new(stage.run.tallies().len())?,
        told: SpinLock::new(Ledger::new()),
    })?;
    for node in nodes(count)? {
        subject.list(node.number).push(node);
    }
    let result = torture_with_dpcs(stage, irql, &subject);
    for node in subject.both.iter().flat_map(SList::take_all) {
        stage.log.fail_on(subject.places.found(node.number));
    }
    stage.log.fail_on(subject.places.lost());
    result.map(|()| 0)
}

struct Lists {
    both: [SList<Element>; 2],
    places: Places,
    stamps: Stamps,
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
        let number = usize::from(worker.below(2) == 0);
        let (from, to) = (self.list(number), usize::from(worker.below(2) == 0));
        if worker.happens(ParameterId::Flush) {
            return self.flush(irql, state, worker, from, to);
        }
        let Some(node) = from.pop() else {
            return false;
        };
        self.pass_on(irql, state, worker, node, to, true);
        true
    }
}

impl AtDpcLevel for Lists {
    fn before(&self, _irql: &mut Irql<'_, Dispatch>) -> Result<(), Violation> {
        let [first, second] = &self.both;
        let Some(mut node) = first.pop() else {
            return Ok(());
        };
        node.stamp = None;
        let result = node.passes_through(&self.places, || {});
        second.push(node);
        result
    }

    fn at_dpc_level(&self, irql: &mut Irql<'_, Dispatch>, f: impl FnOnce(&mut Ledger)) {
        f(&mut self.told.lock_at_dpc_level(irql));
    }
}

impl Lists {
    const fn list(&self, number: usize) -> &SList<Element> {
        let [even, odd] = &self.both;
        if number.is_multiple_of(2) { even } else { odd }
    }

    /// Takes all there is, and puts it back one by one.
    fn flush<L: AtMost<Dispatch>>(
        &self,
        irql: &Irql<'_, L>,
        state: ThreadState,
        worker: &mut Worker<'_>,
        from: &SList<Element>,
        to: usize,
    ) -> bool {
        let mut found = false;
        let mut later: Option<u64> = None;
        let all = from.take_all();
        for node in all {
            if let Some(stamp) = node.stamp.filter(|it| it.by == worker.index()) {
                // The one above it was put in after it.
                if let Some(after) = later.filter(|after| *after <= stamp.before) {
                    worker.found(Violation::Order {
                        first: after,
                        second: stamp.before,
                    });
                }
                later = Some(stamp.before);
            }
            self.pass_on(irql, state, worker, node, to, !found);
            found = true;
        }
        found
    }

    /// Holds a node for a while, if it is the first of those that were taken at once: thousands of holds would
    /// keep the processor at `DISPATCH_LEVEL` for seconds.
    fn pass_on<L: AtMost<Dispatch>>(
        &self,
        irql: &Irql<'_, L>,
        state: ThreadState,
        worker: &mut Worker<'_>,
        mut node: ListNode<Element>,
        to: usize,
        is_first: bool,
    ) {
        node.stamp = self.stamps.next(worker.index());
        let use_data = |halfway: &dyn Fn()| {
            let result = node.passes_through(&self.places, || {
                if is_first {
                    halfway();
                }
            });
            self.list(to).push(node);
            result
        };
        if is_first {
            worker.owns(irql, state, use_data);
        } else {
            worker.owns_again(irql, state, use_data);
        }
    }
}
