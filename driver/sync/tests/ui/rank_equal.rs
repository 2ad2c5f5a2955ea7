//! Two locks of one rank: another thread could take them the other way round.

use wdk_sync::{Irql, Passive, SpinLock, lock_ranks};

lock_ranks! {
    Entry;
}

fn two_entries(
    one: &SpinLock<u32, Entry>,
    other: &SpinLock<u32, Entry>,
    irql: &mut Irql<'_, Passive>,
) {
    let mut one = one.lock(irql);
    let other = other.lock(one.irql());
}

fn main() {}
