//! Critical regions and guarded regions: code that APCs do not interrupt.

use crate::{
    Irql, Level,
    irql::{Apc, AtMost, Dispatch},
    nt,
};

/// A critical region: normal kernel APCs and user APCs are not delivered to the thread until it is
/// dropped. Special kernel APCs still are.
///
/// Regions nest. A thread must leave them all before its dispatch routine returns.
///
/// IRQL: `<= APC_LEVEL`, unchanged. Pages: `KeEnterCriticalRegion`, `KeLeaveCriticalRegion`.
///
/// ```
/// use wdk_sync::{CriticalRegion, are_apcs_disabled};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let mut region = CriticalRegion::enter(irql);
/// assert!(are_apcs_disabled(region.irql()));
/// # });
/// ```
#[must_use = "the region is left as soon as the guard is dropped"]
#[derive(Debug)]
pub struct CriticalRegion<'a, L: Level>(Irql<'a, L>);

impl<'a, L: AtMost<Apc>> CriticalRegion<'a, L> {
    /// Enters a critical region.
    pub fn enter(_irql: &'a mut Irql<'_, L>) -> Self {
        // SAFETY: The token says that the IRQL is at most APC_LEVEL.
        unsafe { nt::KeEnterCriticalRegion() };
        Self(Irql::new())
    }
}

impl<'a, L: Level> CriticalRegion<'a, L> {
    /// The token, for what is to be done in the region.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.0
    }
}

impl<L: Level> Drop for CriticalRegion<'_, L> {
    fn drop(&mut self) {
        // SAFETY: The region was entered on this thread and is left once; the IRQL is what it was
        // then, since whatever raised it borrowed the token.
        unsafe { nt::KeLeaveCriticalRegion() };
    }
}

/// A guarded region: no APC at all is delivered to the thread until it is dropped.
///
/// IRQL: `<= APC_LEVEL`, unchanged. Pages: `KeEnterGuardedRegion`, `KeLeaveGuardedRegion`.
///
/// ```
/// use wdk_sync::{GuardedRegion, are_all_apcs_disabled};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let mut region = GuardedRegion::enter(irql);
/// assert!(are_all_apcs_disabled(region.irql()));
/// # });
/// ```
#[must_use = "the region is left as soon as the guard is dropped"]
#[derive(Debug)]
pub struct GuardedRegion<'a, L: Level>(Irql<'a, L>);

impl<'a, L: AtMost<Apc>> GuardedRegion<'a, L> {
    /// Enters a guarded region.
    pub fn enter(_irql: &'a mut Irql<'_, L>) -> Self {
        // SAFETY: The token says that the IRQL is at most APC_LEVEL.
        unsafe { nt::KeEnterGuardedRegion() };
        Self(Irql::new())
    }
}

impl<'a, L: Level> GuardedRegion<'a, L> {
    /// The token, for what is to be done in the region.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.0
    }
}

impl<L: Level> Drop for GuardedRegion<'_, L> {
    fn drop(&mut self) {
        // SAFETY: As for a critical region.
        unsafe { nt::KeLeaveGuardedRegion() };
    }
}

/// Whether normal kernel APCs are off for the current thread, by a critical or guarded region or an
/// owned mutex. The IRQL does not count.
///
/// A system thread starts inside a critical region.
///
/// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAreApcsDisabled`.
///
/// ```
/// use wdk_sync::{CriticalRegion, are_all_apcs_disabled, are_apcs_disabled};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let mut region = CriticalRegion::enter(irql);
/// assert!(are_apcs_disabled(region.irql()));
/// assert!(!are_all_apcs_disabled(region.irql()), "those of the kernel itself still come");
/// # });
/// ```
#[must_use]
pub fn are_apcs_disabled<L: AtMost<Dispatch>>(_irql: &Irql<'_, L>) -> bool {
    // SAFETY: The token says that the IRQL is at most DISPATCH_LEVEL.
    unsafe { nt::KeAreApcsDisabled() != 0 }
}

/// Whether no APC at all is delivered to the current thread: in a guarded region or at
/// `APC_LEVEL` and above.
///
/// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAreAllApcsDisabled`.
#[must_use]
pub fn are_all_apcs_disabled<L: AtMost<Dispatch>>(_irql: &Irql<'_, L>) -> bool {
    // SAFETY: The token says that the IRQL is at most DISPATCH_LEVEL.
    unsafe { nt::KeAreAllApcsDisabled() != 0 }
}

/// Enters the critical region that an acquisition needs.
#[inline]
pub fn enter_critical_region<L: AtMost<Apc>>(_irql: &mut Irql<'_, L>) {
    // SAFETY: The token says that the IRQL is at most APC_LEVEL.
    unsafe { nt::KeEnterCriticalRegion() };
}

/// Leaves the critical region of an acquisition that came to nothing, or of a guard.
#[inline]
pub fn leave_critical_region() {
    // SAFETY: Called, in this crate alone, by the ends of acquisitions that entered a region on this
    // thread; the IRQL is what it was then.
    unsafe { nt::KeLeaveCriticalRegion() };
}
