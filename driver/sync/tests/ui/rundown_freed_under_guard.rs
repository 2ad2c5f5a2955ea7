//! Data freed while a user has it: its rundown is not over.

use wdk_sync::{Irql, NonPaged, Passive, Rundown};

fn free(data: NonPaged<Rundown<u32>>, irql: &mut Irql<'_, Passive>) {
    let guard = data.acquire(irql);
    drop(data);
    drop(guard);
}

fn main() {}
