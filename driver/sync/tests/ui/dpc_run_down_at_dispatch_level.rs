//! The rundown of a DPC at DISPATCH_LEVEL, where it cannot be waited for.

use wdk_sync::{Dispatch, Dpc, DpcCallback, Irql, NonPaged};

fn end<F: DpcCallback>(dpc: NonPaged<Dpc<F>>, irql: &mut Irql<'_, Dispatch>) {
    Dpc::run_down(dpc, irql);
}

fn main() {}
