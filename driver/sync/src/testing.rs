//! For tests and examples on a host that is not Windows.

use std::{panic, thread};

use crate::{Irql, Passive};

/// Runs `f` at `PASSIVE_LEVEL` on a new thread of `nthost`'s kernel, and gives what it gives. A panic
/// in `f` goes on in the caller.
///
/// # Panics
///
/// If `f` does.
pub fn at_passive_level<R: Send>(f: impl FnOnce(&mut Irql<'_, Passive>) -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: A thread that nthost has not seen yet is at PASSIVE_LEVEL, and no token of it
            // exists.
            let mut irql = unsafe { Irql::assume() };
            f(&mut irql)
        });
        thread
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}
