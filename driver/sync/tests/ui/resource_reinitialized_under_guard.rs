//! A resource made new while a guard is out.

use wdk_sync::{Irql, NonPaged, Passive, Resource};

fn renew(mut resource: NonPaged<Resource<u32>>, irql: &mut Irql<'_, Passive>) {
    let mut guard = resource.shared(irql).unwrap();
    Resource::reinitialize(&mut resource, guard.irql());
}

fn main() {}
