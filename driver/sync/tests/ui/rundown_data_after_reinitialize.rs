//! Exclusive access to data that was run down, kept after others may use it again.

use wdk_sync::{Irql, Passive, Rundown};

fn keep(data: &Rundown<u32>, irql: &mut Irql<'_, Passive>) {
    let mut owned = data.run_down(irql).unwrap();
    owned.reinitialize(irql);
    *owned = 1;
}

fn main() {}
