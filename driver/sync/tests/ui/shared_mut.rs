//! `&mut T` from shared access.

use wdk_sync::{Irql, Passive, Resource};

fn change(resource: &Resource<u32>, irql: &mut Irql<'_, Passive>) {
    let guard = resource.shared(irql).unwrap();
    *guard = 1;
}

fn main() {}
