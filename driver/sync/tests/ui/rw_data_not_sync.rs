//! Data that two readers cannot look at together, behind an EX_SPIN_LOCK.

use core::cell::Cell;
use wdk_sync::RwSpinLock;

fn shared<T: Sync>(_: &T) {}

fn main() {
    shared(&RwSpinLock::new(Cell::new(1)));
}
