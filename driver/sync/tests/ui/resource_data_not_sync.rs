//! Data that two readers cannot look at together, behind an ERESOURCE.

use core::cell::Cell;
use wdk_sync::{NonPaged, Resource};

fn shared<T: Sync>(_: &T) {}

fn share(resource: &NonPaged<Resource<Cell<u32>>>) {
    shared(resource);
}

fn main() {}
