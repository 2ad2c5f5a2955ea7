//! Data that must stay on its thread, behind a lock that is shared.

use std::rc::Rc;
use wdk_sync::SpinLock;

fn shared<T: Sync>(_: &T) {}

fn main() {
    shared(&SpinLock::new(Rc::new(1)));
}
