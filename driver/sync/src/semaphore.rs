//! KSEMAPHORE: a count that waits take from and releases add to.

use core::fmt;

use pinned_init::{PinInit, pin_data, try_pin_init};

use crate::{
    Alertable, Irql, Passive, SpinLock, Status, Timeout, WaitStatus, Waitable,
    dispatcher::{DispatcherObject, KernelObject},
    irql::{Apc, At, AtMost, Dispatch},
    nt,
    wait::wait_for,
};

/// A `KSEMAPHORE`: signaled while its count is not zero; each wait that it satisfies takes one.
///
/// | | |
/// |---|---|
/// | wait | `<= APC_LEVEL`; a try at `<= DISPATCH_LEVEL` |
/// | release | `<= DISPATCH_LEVEL` |
/// | owner | none: any thread or DPC may release |
/// | for | a number of equal things (buffers, slots, requests in a queue) that threads wait for |
///
/// `KeReleaseSemaphore` raises an exception if the count would pass the limit, and Rust cannot catch
/// one. So the releases of one semaphore go one after the other, under a spin lock: the count that a
/// release reads can only fall until it adds to it, because waits take and nobody else adds. What
/// would pass the limit is refused before the kernel is called, and nothing else is.
///
/// Pages: `KeInitializeSemaphore`, `KeReleaseSemaphore`, `KeReadStateSemaphore`,
/// `KeWaitForSingleObject`.
///
/// ```
/// use wdk_sync::{LimitExceeded, NonPaged, Semaphore, Timeout, WaitStatus};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let buffers = NonPaged::pin_init(Semaphore::new(irql, 2, 2))?;
/// assert_eq!(buffers.wait(irql, Timeout::Never), WaitStatus::Acquired);
/// assert_eq!(buffers.release(irql, 1), Ok(1));
/// assert_eq!(buffers.release(irql, 1), Err(LimitExceeded));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data]
pub struct Semaphore {
    #[pin]
    raw: KernelObject<nt::KSEMAPHORE>,
    limit: u32,
    /// Held by whoever is adding to the count.
    releasing: SpinLock<()>,
}

/// A release would have passed the limit of the semaphore. The count is as it was.
///
/// ```
/// use wdk_sync::{LimitExceeded, NonPaged, Semaphore};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let places = NonPaged::pin_init(Semaphore::new(irql, 1, 2))?;
/// assert_eq!(places.release(irql, 1), Ok(1));
/// assert_eq!(places.release(irql, 1), Err(LimitExceeded));
/// assert_eq!(places.count(irql), 2);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitExceeded;

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore cannot count so far; nothing was released")
    }
}

impl core::error::Error for LimitExceeded {}

impl Semaphore {
    /// The highest limit: what a LONG holds.
    pub const MAX_LIMIT: u32 = i32::MAX.cast_unsigned();

    /// An initialiser of a semaphore; see [`NonPaged`](crate::NonPaged). It borrows the token,
    /// because the page asks for `PASSIVE_LEVEL`.
    ///
    /// Fails with [`Status::INVALID_PARAMETER`] unless `count <= limit`, and the limit is neither
    /// zero nor above [`MAX_LIMIT`](Self::MAX_LIMIT).
    ///
    /// IRQL: `PASSIVE_LEVEL`. Page: `KeInitializeSemaphore`.
    pub fn new<L: At<Passive>>(
        _irql: &Irql<'_, L>,
        count: u32,
        limit: u32,
    ) -> impl PinInit<Self, Status> {
        let init = move |semaphore| {
            if limit == 0 || limit > Self::MAX_LIMIT || count > limit {
                return Err(Status::INVALID_PARAMETER);
            }
            let (count, limit) = (count.cast_signed(), limit.cast_signed());
            // SAFETY: The place is valid for a KSEMAPHORE and resident; count and limit were checked.
            unsafe { nt::KeInitializeSemaphore(semaphore, count, limit) };
            Ok(())
        };
        try_pin_init!(Self {
            // SAFETY: On success KeInitializeSemaphore has initialised the whole object.
            raw <- unsafe { KernelObject::try_new(init) },
            limit,
            releasing: SpinLock::new(()),
        }? Status)
    }

    /// Adds `count` to the count of the semaphore and gives what it was before.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeReleaseSemaphore`.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`] if that would pass the limit.
    pub fn release<L: AtMost<Dispatch>>(
        &self,
        irql: &mut Irql<'_, L>,
        count: u32,
    ) -> Result<u32, LimitExceeded> {
        self.releasing.with(irql, |(), irql| {
            let before = self.count(irql);
            if count > self.limit - before.min(self.limit) {
                return Err(LimitExceeded);
            }
            if count != 0 {
                // SAFETY: The semaphore is initialised and resident. The adjustment is positive and
                // does not pass the limit, so the kernel has no exception to raise. `Wait` is FALSE,
                // which any IRQL up to DISPATCH_LEVEL allows, and the boost is none.
                unsafe {
                    nt::KeReleaseSemaphore(self.raw.get(), 0, count.cast_signed(), nt::FALSE);
                }
            }
            Ok(before)
        })
    }

    /// The count at some moment during the call.
    ///
    /// IRQL: any. Page: `KeReadStateSemaphore`.
    pub fn count<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> u32 {
        // SAFETY: The semaphore is initialised and resident.
        let count = unsafe { nt::KeReadStateSemaphore(self.raw.get()) };
        count.max(0).cast_unsigned()
    }

    /// Waits until the time-out for a count that is not zero, and takes one from it.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait<L: AtMost<Apc>>(&self, irql: &mut Irql<'_, L>, timeout: Timeout) -> WaitStatus {
        self.wait_alertable(irql, timeout, Alertable::No)
    }

    /// Waits until the time-out or, if asked for, an alert.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait_alertable<L: AtMost<Apc>>(
        &self,
        _irql: &mut Irql<'_, L>,
        timeout: Timeout,
        alertable: Alertable,
    ) -> WaitStatus {
        // SAFETY: The semaphore is initialised and resident, and the token says that the IRQL is at
        // most APC_LEVEL.
        unsafe { wait_for(self.object(), timeout, alertable) }
    }

    /// Takes one from the count if it is not zero, and does not wait.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`: a wait with a time-out of zero is allowed there.
    /// Page: `KeWaitForSingleObject`.
    pub fn try_acquire<L: AtMost<Dispatch>>(&self, _irql: &mut Irql<'_, L>) -> bool {
        // SAFETY: The semaphore is initialised and resident; with a time-out of zero any IRQL up to
        // DISPATCH_LEVEL will do.
        unsafe { wait_for(self.object(), Timeout::ZERO, Alertable::No) }.is_satisfied()
    }
}

// SAFETY: The object is initialised, pinned where the initialisers of this crate ask for resident
// storage, and has no owner.
unsafe impl DispatcherObject for Semaphore {
    fn object(&self) -> nt::PVOID {
        self.raw.get().cast()
    }
}

impl Waitable for Semaphore {}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
