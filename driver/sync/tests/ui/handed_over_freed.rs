//! A resource freed while access to it is handed over to another thread.

use wdk_sync::{Irql, NonPaged, Passive, Resource};

fn free(resource: NonPaged<Resource<u32>>, irql: &mut Irql<'_, Passive>) {
    let data = resource.exclusive_handed_over(irql).unwrap();
    drop(resource);
    drop(data);
}

fn main() {}
