//! Waiting for the rest of the system.

use super::{
    KERNEL_MODE, KeDelayExecutionThread, KeInitializeEvent, KeSetEvent, KeWaitForSingleObject,
};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use nt_abi::{_EVENT_TYPE, _KWAIT_REASON, FALSE, KEVENT, LARGE_INTEGER, PVOID, STATUS_SUCCESS};

/// A notification event on the stack of the thread that waits for it.
pub struct Event(UnsafeCell<MaybeUninit<KEVENT>>);

impl Event {
    /// An event that [`init`](Self::init) makes ready where it lies.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Makes the event ready, not signalled. It must not move from here on.
    pub fn init(&self) {
        // SAFETY: The event is valid writable memory, and nobody else knows it yet.
        unsafe { KeInitializeEvent(self.raw(), _EVENT_TYPE::NotificationEvent, FALSE) };
    }

    const fn raw(&self) -> *mut KEVENT {
        self.0.get().cast()
    }

    /// The event as a context of a callback that ends in [`signal`](Self::signal).
    pub const fn as_context(&self) -> PVOID {
        self.raw().cast()
    }

    /// Signals the event behind a context. IRQL <= `DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// `context` comes from [`as_context`](Self::as_context) of an event whose waiter still waits.
    pub unsafe fn signal(context: PVOID) {
        // SAFETY: By this function's contract the event is alive and initialised.
        unsafe { KeSetEvent(context.cast(), 0, FALSE) };
    }

    /// Waits for the signal. IRQL `PASSIVE_LEVEL` or `APC_LEVEL`.
    pub fn wait(&self) {
        self.wait_for(None);
    }

    /// Waits for the signal, for as long as `timeout` says (100 ns, negative for relative); returns
    /// whether it came. IRQL `PASSIVE_LEVEL` or `APC_LEVEL`.
    pub fn wait_for(&self, timeout: Option<i64>) -> bool {
        let mut timeout = timeout.map(|QuadPart| LARGE_INTEGER { QuadPart });
        let timeout = timeout
            .as_mut()
            .map_or(core::ptr::null_mut(), core::ptr::from_mut);
        // SAFETY: The event was initialised and lives on this thread's stack, which kernel-mode
        // waits keep resident; the time is a local variable.
        let status = unsafe {
            KeWaitForSingleObject(
                self.raw().cast(),
                _KWAIT_REASON::Executive,
                KERNEL_MODE,
                FALSE,
                timeout,
            )
        };
        status == STATUS_SUCCESS
    }
}

/// Gives up the processor for a while. IRQL `PASSIVE_LEVEL` or `APC_LEVEL`.
pub fn sleep_milliseconds(milliseconds: i64) {
    let mut interval = LARGE_INTEGER {
        QuadPart: -10_000 * milliseconds,
    };
    // SAFETY: The interval is a local variable; a kernel-mode, not alertable delay has no other
    // requirement than the IRQL.
    unsafe { KeDelayExecutionThread(KERNEL_MODE, FALSE, &raw mut interval) };
}
