//! The token of a raised level, kept for when the level is lowered again.

use wdk_sync::{Dispatch, Irql, Passive};

fn keep(irql: &mut Irql<'_, Passive>) {
    let mut kept: Option<&mut Irql<'_, Dispatch>> = None;
    irql.at_dispatch_level(|irql| kept = Some(irql));
}

fn main() {}
