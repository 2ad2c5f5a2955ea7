//! Processors.

use crate::nt;

/// How many processors are active, over all groups.
///
/// IRQL: any. Page: `KeQueryActiveProcessorCountEx`.
#[must_use]
pub fn active_processors() -> u32 {
    /// `ALL_PROCESSOR_GROUPS`.
    const ALL_GROUPS: u16 = 0xFFFF;
    // SAFETY: The function has no preconditions.
    unsafe { nt::KeQueryActiveProcessorCountEx(ALL_GROUPS) }
}
