//! The rundown of a timer of the executive at DISPATCH_LEVEL, where its callback cannot be waited for.

use wdk_sync::{Dispatch, ExTimer, ExTimerCallback, HighResolution, Irql, NonPaged};

fn end<F: ExTimerCallback<HighResolution>>(
    timer: NonPaged<ExTimer<F, HighResolution>>,
    irql: &mut Irql<'_, Dispatch>,
) {
    ExTimer::run_down(timer, irql);
}

fn main() {}
