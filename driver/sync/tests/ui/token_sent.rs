//! A token sent to another thread, of whose level it knows nothing.

use wdk_sync::{Irql, Passive};

fn send<T: Send>(_value: T) {}

fn send_token(irql: &mut Irql<'_, Passive>) {
    send(irql);
}

fn main() {}
