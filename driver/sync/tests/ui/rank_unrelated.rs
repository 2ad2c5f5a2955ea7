//! Two ranks between which no order is declared.

use wdk_sync::{Irql, Passive, Resource, lock_ranks};

lock_ranks! {
    Devices;
    Queue after Devices;
    Statistics after Devices;
}

fn both(
    queue: &Resource<u32, Queue>,
    statistics: &Resource<u32, Statistics>,
    irql: &mut Irql<'_, Passive>,
) {
    let mut queue = queue.shared(irql).unwrap();
    let statistics = statistics.shared(queue.irql()).unwrap();
}

fn main() {}
