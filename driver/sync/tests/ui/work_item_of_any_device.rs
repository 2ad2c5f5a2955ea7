//! A work item of a device that nobody vouches for.

use wdk_sync::{Irql, Passive, WorkItem};

fn make(irql: &mut Irql<'_, Passive>) {
    let _ = WorkItem::new(irql, core::ptr::null_mut(), |_, _| {});
}

fn main() {}
