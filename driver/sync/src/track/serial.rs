//! One writer at a time for the tables of this feature.

use core::cell::UnsafeCell;

use crate::nt;

/// The proof that the tables are written by nobody else; there is one, behind the lock.
pub struct Writer {
    #[cfg(feature = "lockdep")]
    pub(crate) scratch: crate::lockdep::Scratch,
}

struct Serial {
    // Not a lock of this crate: that would have to tell of itself.
    lock: UnsafeCell<nt::KSPIN_LOCK>,
    writer: UnsafeCell<Writer>,
}

// SAFETY: The writer is reached under the lock alone.
unsafe impl Sync for Serial {}

static SERIAL: Serial = Serial {
    lock: UnsafeCell::new(0),
    writer: UnsafeCell::new(Writer {
        #[cfg(feature = "lockdep")]
        scratch: crate::lockdep::Scratch::new(),
    }),
};

/// Runs `f`, which takes no lock, as the only writer, at `DISPATCH_LEVEL`.
///
/// IRQL: `<= DISPATCH_LEVEL`; the callers have looked.
pub fn alone<R>(f: impl FnOnce(&mut Writer) -> R) -> R {
    // SAFETY: A zeroed KSPIN_LOCK is initialised, and the IRQL is low enough.
    let old_irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(SERIAL.lock.get()) };
    // SAFETY: The lock is held until the reference is gone.
    let result = f(unsafe { &mut *SERIAL.writer.get() });
    // SAFETY: It was acquired above, when the level was this.
    unsafe { nt::KeReleaseSpinLock(SERIAL.lock.get(), old_irql) };
    result
}
