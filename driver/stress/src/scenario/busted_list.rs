//! A negative control: a list that gives out what it keeps.

use alloc::vec::Vec;

use syncstress_protocol::{ItemFlags, Primitive, Role};
use wdk_sync::{Irql, NonPagedArc, Passive, SpinLock, Status, yield_now};

use super::{
    Crew, Scenario,
    harness::{Torture, torture},
    nodes::Places,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 106,
    name: "busted-list",
    primitive: Primitive::SList,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a list that gives a node out and sometimes keeps it. It must be reported.",
    parameters: parameters![Parameter::threads(2, 4), Parameter::nodes(4)],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run: |stage, irql| {
        let count = stage.settings().count(ParameterId::Nodes) as usize;
        let mut numbers = Vec::new();
        numbers
            .try_reserve_exact(count)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        numbers.extend(0..count);
        let subject = NonPagedArc::new(Keeps {
            numbers: SpinLock::new(numbers),
            places: Places::new(count)?,
        })?;
        torture(stage, irql, &subject).map(|()| 0)
    },
};

/// A stack of numbers, in place of nodes: what is given out twice must not be memory.
struct Keeps {
    numbers: SpinLock<Vec<usize>>,
    places: Places,
}

impl Torture for Keeps {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let keeps = worker.below(16) == 0;
        let number = {
            let mut numbers = self.numbers.lock(irql);
            if keeps {
                numbers.last().copied()
            } else {
                numbers.pop()
            }
        };
        let Some(number) = number else {
            worker.gave_up();
            return yield_now(irql);
        };
        let taken = self.places.taken(number);
        // Others have time to take it, too, even where there is but one processor.
        yield_now(irql);
        let expected = worker.before();
        worker.owns(irql, expected, |halfway| {
            halfway();
            taken
        });
        self.places.given(number);
        let mut numbers = self.numbers.lock(irql);
        if numbers.len() < numbers.capacity() {
            numbers.push(number);
        }
    }
}
