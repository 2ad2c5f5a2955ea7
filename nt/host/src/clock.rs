//! The clocks of the kernel: interrupt time since it booted and system time since 1601, both in units
//! of 100 ns.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nt_abi::LONGLONG;

use crate::{dispatcher::Deadline, explore, fault};

/// 100 ns units per second.
pub const UNITS_PER_SECOND: u64 = 10_000_000;

/// From 1 January 1601 to 1 January 1970, in seconds.
pub const UNIX_EPOCH_SECONDS: u64 = 11_644_473_600;

static BOOT: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A span in units of 100 ns.
pub const fn from_units(units: u64) -> Duration {
    Duration::new(
        units / UNITS_PER_SECOND,
        (units % UNITS_PER_SECOND) as u32 * 100,
    )
}

fn to_units(span: Duration) -> u64 {
    span.as_secs() * UNITS_PER_SECOND + u64::from(span.subsec_nanos()) / 100
}

/// The interrupt time: how long ago the kernel booted.
pub fn interrupt_time() -> u64 {
    explore::now().unwrap_or_else(|| to_units(BOOT.elapsed()))
}

/// The interrupt time at a moment of the host's clock: what [`instant_at`] was given.
pub fn units_at(instant: Instant) -> u64 {
    to_units(instant.saturating_duration_since(*BOOT))
}

/// The moment of the host's clock at which the interrupt time is `units`.
pub fn instant_at(units: u64) -> Instant {
    *BOOT + from_units(units)
}

/// The system time: UTC since the beginning of 1601.
pub fn system_time() -> u64 {
    /// When schedules begin: 1 January 2000.
    const BEGINNING: u64 = 125_911_584_000_000_000;
    if let Some(now) = explore::now() {
        return BEGINNING + now;
    }
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UNIX_EPOCH_SECONDS * UNITS_PER_SECOND + to_units(since_1970)
}

/// The interrupt time at which a time-out ends that a driver gives: an interval if it is negative, a
/// system time otherwise.
pub fn due_time(timeout: LONGLONG) -> u64 {
    let now = interrupt_time();
    if timeout <= 0 {
        now.saturating_add(timeout.unsigned_abs())
    } else {
        now.saturating_add(timeout.unsigned_abs().saturating_sub(system_time()))
    }
}

/// When a wait with a time-out ends; `None` is a wait without one.
pub fn deadline(timeout: Option<LONGLONG>) -> Deadline {
    match timeout {
        None => Deadline::Never,
        Some(0) => Deadline::Now,
        Some(units) => deadline_at(fault::stretch(due_time(units))),
    }
}

/// The end of a wait that lasts until the interrupt time is `due`.
pub fn deadline_at(due: u64) -> Deadline {
    /// Further off than any process lives, and near enough for the host's clock.
    const FOREVER: u64 = 100 * 366 * 86_400 * UNITS_PER_SECOND;
    if due > FOREVER {
        Deadline::Never
    } else {
        Deadline::At(instant_at(due))
    }
}
