//! Waiting for dispatcher objects, and what a wait can come to.

use crate::{Irql, Passive, Status, Timeout, irql::Apc, irql::AtMost, nt};

/// How a wait ended. All of these are success codes of NT, which is why no wait here returns a bare
/// status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only `Acquired` and `Abandoned` mean that the wait was satisfied"]
pub enum WaitStatus {
    /// `STATUS_SUCCESS`: the object was signaled, and what the wait does to it is done.
    Acquired,
    /// `STATUS_ABANDONED`: a mutex was acquired whose owner ended without releasing it.
    Abandoned,
    /// `STATUS_TIMEOUT`.
    TimedOut,
    /// `STATUS_ALERTED`: the wait was [`Alertable::Yes`] and the thread was alerted.
    Alerted,
    /// `STATUS_USER_APC`.
    UserApc,
}

impl WaitStatus {
    /// Whether the object was acquired.
    #[must_use]
    pub const fn is_satisfied(self) -> bool {
        matches!(self, Self::Acquired | Self::Abandoned)
    }
}

/// Whether an alert ends a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alertable {
    /// Only the object and the time-out do.
    #[default]
    No,
    /// An alert does, too.
    Yes,
}

/// `KeWaitForSingleObject` in kernel mode.
///
/// # Safety
///
/// `object` is an initialised dispatcher object in resident memory, and stays so while the call
/// lasts. The IRQL is `<= APC_LEVEL`, or `<= DISPATCH_LEVEL` if the time-out is zero.
pub unsafe fn wait_for(object: nt::PVOID, timeout: Timeout, alertable: Alertable) -> WaitStatus {
    let status = timeout.with_raw(|timeout| {
        // SAFETY: The caller vouches for object and IRQL; `timeout` is null or points to a value
        // that lives through the call.
        unsafe {
            nt::KeWaitForSingleObject(
                object,
                nt::_KWAIT_REASON::Executive,
                nt::KERNEL_MODE,
                nt::BOOLEAN::from(alertable == Alertable::Yes),
                timeout,
            )
        }
    });
    match Status::from_raw(status) {
        Status::SUCCESS => WaitStatus::Acquired,
        Status::ABANDONED => WaitStatus::Abandoned,
        Status::ALERTED => WaitStatus::Alerted,
        Status::USER_APC => WaitStatus::UserApc,
        // STATUS_TIMEOUT; an error would mean a bad object, and must not pass for an acquisition.
        _ => WaitStatus::TimedOut,
    }
}

/// Lets the current thread sleep.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeDelayExecutionThread`.
///
/// ```
/// # wdk_sync::testing::at_passive_level(|irql| {
/// use core::time::Duration;
/// wdk_sync::sleep(irql, Duration::from_millis(2));
/// # });
/// ```
pub fn sleep<L: AtMost<Apc>>(_irql: &mut Irql<'_, L>, duration: core::time::Duration) {
    Timeout::After(duration).with_raw(|interval| {
        // SAFETY: The token says that the IRQL is at most APC_LEVEL, and the interval is not null,
        // because the time-out is not `Never`.
        let _success = unsafe { nt::KeDelayExecutionThread(nt::KERNEL_MODE, nt::FALSE, interval) };
    });
}

/// Gives the processor to other threads for a moment.
///
/// Page: `KeDelayExecutionThread` with an interval of zero.
pub fn yield_now(irql: &mut Irql<'_, Passive>) {
    sleep(irql, core::time::Duration::ZERO);
}
