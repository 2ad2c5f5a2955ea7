//! A rank that comes before the one that is held, through a rank between them.

use wdk_sync::{FastMutex, Irql, Passive, SpinLock, lock_ranks};

lock_ranks! {
    Table;
    Entry after Table;
    Journal after Entry;
}

fn table_under_journal(
    table: &SpinLock<u32, Table>,
    journal: &FastMutex<u32, Journal>,
    irql: &mut Irql<'_, Passive>,
) {
    let mut journal = journal.lock(irql).unwrap();
    let table = table.lock(journal.irql());
}

fn main() {}
