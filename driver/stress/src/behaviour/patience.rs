//! Waiting for what another thread does, with an end: a test that waits for ever tells nothing.

use core::time::Duration;

use wdk_sync::{Apc, AtMost, Instant, Irql, Passive, sleep};

/// Long enough for a thread to get its turn on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough at `DISPATCH_LEVEL`, and short enough for the DPC watchdog.
const PATIENCE_AT_DISPATCH: Duration = Duration::from_secs(5);

/// Sleeps until `condition` holds, and tells whether it does.
pub fn eventually(
    irql: &mut Irql<'_, Passive>,
    mut condition: impl FnMut(&mut Irql<'_, Passive>) -> bool,
) -> bool {
    let start = Instant::now();
    while !condition(irql) {
        if start.elapsed() > PATIENCE {
            return false;
        }
        sleep(irql, Duration::from_millis(1));
    }
    true
}

/// Spins, at any IRQL, until `condition` holds, and tells whether it does.
pub fn spin_until(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > PATIENCE_AT_DISPATCH {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Gives others time to do what they should not do, or what nobody can see them do.
pub fn let_things_happen<L: AtMost<Apc>>(irql: &mut Irql<'_, L>) {
    sleep(irql, Duration::from_millis(30));
}
