//! A lock without a rank does not make the token forget the rank that is held.

use wdk_sync::{Irql, Mutex, Passive, SpinLock, lock_ranks};

lock_ranks! {
    Table;
    Journal after Table;
}

fn through_an_unranked_lock(
    table: &SpinLock<u32, Table>,
    unranked: &Mutex<u32>,
    journal: &Mutex<u32, Journal>,
    irql: &mut Irql<'_, Passive>,
) {
    let mut journal = journal.lock(irql).unwrap();
    let mut unranked = unranked.lock(journal.irql()).unwrap();
    unranked.irql().at_dispatch_level(|irql| {
        let table = table.lock_at_dpc_level(irql);
    });
}

fn main() {}
