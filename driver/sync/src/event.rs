//! KEVENT: something happened.

use pinned_init::{PinInit, pin_data, pin_init};

use crate::{
    Alertable, Irql, Timeout, WaitStatus, Waitable,
    dispatcher::{DispatcherObject, KernelObject},
    irql::{Apc, AtMost, Dispatch},
    nt,
    wait::wait_for,
};

/// What a wait does to a signaled event or timer.
///
/// ```
/// use wdk_sync::{Event, NonPaged, Signal, Timeout};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// for (signal, stays) in [(Signal::Notification, true), (Signal::Synchronization, false)] {
///     let event = NonPaged::pin_init(Event::new(signal, true))?;
///     assert!(event.wait(irql, Timeout::ZERO).is_satisfied());
///     assert_eq!(event.is_signaled(irql), stays);
/// }
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It stays signaled until it is reset: all waiters go on.
    Notification,
    /// It is reset by the one wait that it satisfies.
    Synchronization,
}

/// A `KEVENT`.
///
/// IRQL: setting and resetting `<= DISPATCH_LEVEL`; waiting `<= APC_LEVEL`.
///
/// Pages: `KeInitializeEvent`, `KeSetEvent`, `KeResetEvent`, `KeClearEvent`, `KeReadStateEvent`,
/// `KeWaitForSingleObject`.
///
/// ```
/// use wdk_sync::{Event, NonPaged, Signal, Timeout, WaitStatus};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let event = NonPaged::pin_init(Event::new(Signal::Synchronization, false))?;
/// event.set(irql);
/// assert_eq!(event.wait(irql, Timeout::Never), WaitStatus::Acquired);
/// assert_eq!(event.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data]
pub struct Event {
    #[pin]
    raw: KernelObject<nt::KEVENT>,
}

impl Event {
    /// An initialiser of an event; see [`NonPaged`](crate::NonPaged).
    pub fn new(signal: Signal, signaled: bool) -> impl PinInit<Self> {
        let kind = match signal {
            Signal::Notification => nt::_EVENT_TYPE::NotificationEvent,
            Signal::Synchronization => nt::_EVENT_TYPE::SynchronizationEvent,
        };
        let init = move |event| {
            // SAFETY: The place is valid for a KEVENT and resident.
            unsafe { nt::KeInitializeEvent(event, kind, nt::BOOLEAN::from(signaled)) };
        };
        pin_init!(Self {
            // SAFETY: KeInitializeEvent initialises the whole object.
            raw <- unsafe { KernelObject::new(init) },
        })
    }

    /// Signals the event and tells whether it was signaled before.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeSetEvent`.
    pub fn set<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: The event is initialised and resident; `Wait` is FALSE and the boost is none.
        unsafe { nt::KeSetEvent(self.raw.get(), 0, nt::FALSE) != 0 }
    }

    /// Makes the event not signaled and tells whether it was signaled before.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeResetEvent`.
    pub fn reset<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: The event is initialised and resident.
        unsafe { nt::KeResetEvent(self.raw.get()) != 0 }
    }

    /// Makes the event not signaled; cheaper than [`reset`](Self::reset).
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeClearEvent`.
    pub fn clear<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) {
        // SAFETY: The event is initialised and resident.
        unsafe { nt::KeClearEvent(self.raw.get()) };
    }

    /// Whether the event was signaled at some moment during the call.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeReadStateEvent`.
    pub fn is_signaled<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: The event is initialised and resident.
        unsafe { nt::KeReadStateEvent(self.raw.get()) != 0 }
    }

    /// Waits for the event until the time-out.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait<L: AtMost<Apc>>(&self, irql: &mut Irql<'_, L>, timeout: Timeout) -> WaitStatus {
        self.wait_alertable(irql, timeout, Alertable::No)
    }

    /// Waits for the event until the time-out or, if asked for, an alert.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait_alertable<L: AtMost<Apc>>(
        &self,
        _irql: &mut Irql<'_, L>,
        timeout: Timeout,
        alertable: Alertable,
    ) -> WaitStatus {
        // SAFETY: The event is initialised and resident, and the token says that the IRQL is at most
        // APC_LEVEL.
        unsafe { wait_for(self.raw.get().cast(), timeout, alertable) }
    }
}

// SAFETY: The object is initialised, pinned where the initialisers of this crate ask for resident
// storage, and has no owner.
unsafe impl DispatcherObject for Event {
    fn object(&self) -> nt::PVOID {
        self.raw.get().cast()
    }
}

impl Waitable for Event {}

impl core::fmt::Debug for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}
