//! Processors.

use core::time::Duration;

use crate::{Status, nt};

/// How many processors are active, over all groups.
///
/// IRQL: any. Page: `KeQueryActiveProcessorCountEx`.
///
/// ```
/// assert_ne!(wdk_sync::active_processors(), 0);
/// ```
#[must_use]
pub fn active_processors() -> u32 {
    /// `ALL_PROCESSOR_GROUPS`.
    const ALL_GROUPS: u16 = 0xFFFF;
    // SAFETY: The function has no preconditions.
    unsafe { nt::KeQueryActiveProcessorCountEx(ALL_GROUPS) }
}

/// The group and number of a processor, by its index over all groups. Any IRQL.
///
/// Page: `KeGetProcessorNumberFromIndex`.
pub fn processor_number(index: u32) -> Result<nt::PROCESSOR_NUMBER, Status> {
    let mut number = nt::PROCESSOR_NUMBER::default();
    // SAFETY: The number is a place to write to.
    let status = unsafe { nt::KeGetProcessorNumberFromIndex(index, &raw mut number) };
    Status::from_raw(status).ok()?;
    Ok(number)
}

/// Keeps the processor busy for `duration`, in steps of 1 us that are rounded up.
///
/// Nothing of the level or below it runs on this processor meanwhile: the page asks for less than
/// 50 us. Threads have [`sleep`](crate::sleep).
///
/// IRQL: any. Page: `KeStallExecutionProcessor`.
///
/// ```
/// use core::time::Duration;
/// use wdk_sync::{Instant, stall};
///
/// let start = Instant::now();
/// stall(Duration::from_micros(20));
/// assert!(start.elapsed() >= Duration::from_micros(20));
/// ```
pub fn stall(duration: Duration) {
    let microseconds = duration.as_nanos().div_ceil(1000);
    // SAFETY: The function has no preconditions.
    unsafe { nt::KeStallExecutionProcessor(u32::try_from(microseconds).unwrap_or(u32::MAX)) };
}
