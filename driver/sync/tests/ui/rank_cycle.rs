//! An order that is none.

use wdk_sync::lock_ranks;

lock_ranks! {
    Table after Journal;
    Entry after Table;
    Journal after Entry;
}

fn main() {}
