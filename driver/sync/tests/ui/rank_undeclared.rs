//! An order with a rank that is not declared together with the others, which could make a cycle.

use wdk_sync::lock_ranks;

lock_ranks! {
    Table;
}

lock_ranks! {
    Entry after Table;
}

fn main() {}
