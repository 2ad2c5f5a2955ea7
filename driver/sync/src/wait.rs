//! Waiting for dispatcher objects, and what a wait can come to.

use crate::{
    Irql, NonPaged, NonPagedArc, Status, Timeout,
    dispatcher::DispatcherObject,
    irql::{Apc, AtMost},
    nt,
};

/// How a wait ended. All of these are success codes of NT, which is why no wait here returns a bare
/// status.
///
/// ```
/// use wdk_sync::{Event, NonPaged, Signal, Timeout, WaitStatus};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let event = NonPaged::pin_init(Event::new(Signal::Synchronization, false))?;
/// assert!(!event.wait(irql, Timeout::ZERO).is_satisfied());
/// event.set(irql);
/// match event.wait(irql, Timeout::ZERO) {
///     WaitStatus::Acquired => {}
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
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

    /// What the status of a wait for one object, or for all of several, means.
    #[inline]
    pub(crate) const fn from_status(status: Status) -> Self {
        match status {
            Status::SUCCESS => Self::Acquired,
            Status::ABANDONED => Self::Abandoned,
            Status::ALERTED => Self::Alerted,
            Status::USER_APC => Self::UserApc,
            // STATUS_TIMEOUT; an error would mean a bad object, and must not pass for an
            // acquisition.
            _ => Self::TimedOut,
        }
    }
}

/// Whether an alert ends a wait.
///
/// ```
/// use core::time::Duration;
/// use wdk_sync::{Alertable, Event, NonPaged, Signal, Timeout, WaitStatus};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let event = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
/// let timeout = Timeout::After(Duration::from_micros(1));
/// // Nobody alerts this thread, so the time runs out.
/// assert_eq!(event.wait_alertable(irql, timeout, Alertable::Yes), WaitStatus::TimedOut);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alertable {
    /// Only the object and the time-out do.
    #[default]
    No,
    /// An alert does, too.
    Yes,
}

impl Alertable {
    /// The `Alertable` argument of `KeWaitForXxx`.
    #[inline]
    pub(crate) fn raw(self) -> nt::BOOLEAN {
        nt::BOOLEAN::from(self == Self::Yes)
    }
}

/// A dispatcher object that any thread may wait for: an event, a semaphore, a timer or a thread.
///
/// A mutex is none, because whoever has waited for it owns it: that takes a guard
/// ([`lock_any`](crate::lock_any), [`lock_all`](crate::lock_all)).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be waited for like this",
    note = "events, semaphores, timers and threads can, by reference; a mutex by `lock_any` and \
            `lock_all`, which give a guard"
)]
pub trait Waitable: DispatcherObject {}

// SAFETY: The value in the storage is borrowed for as long as the storage is.
unsafe impl<W: Waitable> DispatcherObject for NonPaged<W> {
    fn object(&self) -> nt::PVOID {
        (**self).object()
    }
}

impl<W: Waitable> Waitable for NonPaged<W> {}

// SAFETY: As above.
unsafe impl<W: Waitable> DispatcherObject for NonPagedArc<W> {
    fn object(&self) -> nt::PVOID {
        (**self).object()
    }
}

impl<W: Waitable> Waitable for NonPagedArc<W> {}

/// `KeWaitForSingleObject` in kernel mode.
///
/// # Safety
///
/// `object` is an initialised dispatcher object in resident memory, and stays so while the call
/// lasts. The IRQL is `<= APC_LEVEL`, or `<= DISPATCH_LEVEL` if the time-out is zero.
#[inline]
pub unsafe fn wait_for(object: nt::PVOID, timeout: Timeout, alertable: Alertable) -> WaitStatus {
    // SAFETY: This function has the same contract.
    unsafe { wait_in_mode(nt::KERNEL_MODE, object, timeout, alertable) }
}

/// `KeWaitForSingleObject`.
///
/// # Safety
///
/// As for [`wait_for`]; in user mode, as for [`wait_in_user_mode`] too.
#[inline]
unsafe fn wait_in_mode(
    mode: nt::KPROCESSOR_MODE,
    object: nt::PVOID,
    timeout: Timeout,
    alertable: Alertable,
) -> WaitStatus {
    let status = timeout.with_raw(|timeout| {
        // SAFETY: The caller vouches for object and IRQL; `timeout` is null or points to a value
        // that lives through the call.
        unsafe {
            nt::KeWaitForSingleObject(
                object,
                nt::_KWAIT_REASON::Executive,
                mode,
                alertable.raw(),
                timeout,
            )
        }
    });
    WaitStatus::from_status(Status::from_raw(status))
}

/// Waits for an object with `WaitMode` `UserMode`: the kernel may page the stack of the thread out
/// meanwhile, and what user mode does to the thread, above all its end, ends the wait.
///
/// For long waits on behalf of a user. Their pages advise [`Alertable::No`], which leaves the end of
/// the thread as the one thing that gives [`WaitStatus::UserApc`].
///
/// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
///
/// # Safety
///
/// No object that the kernel or another thread may use during the wait lies on the stack of this
/// thread: no event, lock, timer or DPC, `object` itself included.
///
/// ```
/// use wdk_sync::{Alertable, Event, NonPaged, Signal, Timeout, WaitStatus, wait_in_user_mode};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let answer = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
/// answer.set(irql);
/// // SAFETY: The event is in pool, and nothing else of this thread is used by others.
/// let status = unsafe { wait_in_user_mode(irql, &answer, Timeout::Never, Alertable::No) };
/// assert_eq!(status, WaitStatus::Acquired);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub unsafe fn wait_in_user_mode<L: AtMost<Apc>>(
    _irql: &mut Irql<'_, L>,
    object: &dyn Waitable,
    timeout: Timeout,
    alertable: Alertable,
) -> WaitStatus {
    // SAFETY: The object is initialised, and resident because the caller vouches that it is not on
    // the stack. The token says that the IRQL is at most APC_LEVEL.
    unsafe { wait_in_mode(nt::USER_MODE, object.object(), timeout, alertable) }
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
    let _ended = delay(duration, Alertable::No);
}

/// Lets the current thread sleep unless it is alerted: [`WaitStatus::TimedOut`] means that it slept
/// for the whole time.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeDelayExecutionThread`.
///
/// ```
/// # wdk_sync::testing::at_passive_level(|irql| {
/// use core::time::Duration;
/// use wdk_sync::{WaitStatus, sleep_alertable};
///
/// let ended = sleep_alertable(irql, Duration::from_millis(1));
/// assert_eq!(ended, WaitStatus::TimedOut, "nobody alerts this thread");
/// # });
/// ```
pub fn sleep_alertable<L: AtMost<Apc>>(
    _irql: &mut Irql<'_, L>,
    duration: core::time::Duration,
) -> WaitStatus {
    match delay(duration, Alertable::Yes) {
        Status::ALERTED => WaitStatus::Alerted,
        Status::USER_APC => WaitStatus::UserApc,
        _ => WaitStatus::TimedOut,
    }
}

/// `KeDelayExecutionThread` in kernel mode, for callers that have the token of an IRQL of at most
/// `APC_LEVEL`.
fn delay(duration: core::time::Duration, alertable: Alertable) -> Status {
    let status = Timeout::After(duration).with_raw(|interval| {
        // SAFETY: The callers' tokens say that the IRQL is at most APC_LEVEL, and the interval is
        // not null, because the time-out is not `Never`.
        unsafe { nt::KeDelayExecutionThread(nt::KERNEL_MODE, alertable.raw(), interval) }
    });
    Status::from_raw(status)
}

/// Gives the processor to other threads for a moment.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeDelayExecutionThread` with an interval of zero.
///
/// ```
/// # wdk_sync::testing::at_passive_level(|irql| {
/// wdk_sync::yield_now(irql);
/// # });
/// ```
pub fn yield_now<L: AtMost<Apc>>(irql: &mut Irql<'_, L>) {
    sleep(irql, core::time::Duration::ZERO);
}
