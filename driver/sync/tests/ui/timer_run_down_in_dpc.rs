//! The rundown of a timer at DISPATCH_LEVEL, where its DPC cannot be waited for.

use wdk_sync::{Dispatch, Irql, NonPaged, Timer, TimerCallback};

fn end<F: TimerCallback>(timer: NonPaged<Timer<F>>, irql: &mut Irql<'_, Dispatch>) {
    Timer::run_down(timer, irql);
}

fn main() {}
