//! What happens when a lock goes away while it is held.
//!
//! A guard that was given to [`core::mem::forget`] leaves its lock held. That is no harm while the
//! lock stays; but the kernel keeps a held KMUTEX in a list of its thread and an ERESOURCE in a list
//! of its own, so freeing one would corrupt memory that is not ours. The system is stopped instead,
//! with the bug check that Driver Verifier has for this and a code that names the kind of lock.

use crate::{current_irql, nt};

/// `DRIVER_VERIFIER_DETECTED_VIOLATION`.
const BUG_CHECK: u32 = 0xC4;

/// First parameter: a lock was deleted or freed while it was owned.
const OWNED_AT_DELETION: u64 = 0x100B;

/// The kind of an object, in the third parameter of the bug check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Held {
    /// `KSPIN_LOCK`.
    SpinLock = 1,
    /// `KMUTEX`.
    Mutex = 2,
    /// `ERESOURCE`.
    Resource = 3,
    /// `FAST_MUTEX`.
    FastMutex = 4,
    /// `KTIMER`, whose DPC may be queued or running.
    Timer = 5,
    /// A system thread, which may be running.
    Thread = 6,
    /// A queued spin lock, or the handle of an acquisition of one.
    QueuedSpinLock = 7,
    /// `EX_SPIN_LOCK`.
    RwSpinLock = 8,
    /// `KDPC`, which may be queued or running.
    Dpc = 9,
    /// `KGUARDED_MUTEX`.
    GuardedMutex = 10,
    /// `EX_PUSH_LOCK`.
    PushLock = 11,
    /// A work item, which may be queued or running.
    WorkItem = 12,
    /// `EX_TIMER`, whose callback may be running.
    ExTimer = 13,
}

/// Stops the system: bug check 0xC4 (0x100B, address of the object, its [`Held`], current IRQL).
#[cold]
pub fn stop(kind: Held, object: *const ()) -> ! {
    // SAFETY: KeBugCheckEx may be called at any time.
    unsafe {
        nt::KeBugCheckEx(
            BUG_CHECK,
            OWNED_AT_DELETION,
            object as u64,
            kind as u64,
            u64::from(current_irql()),
        )
    }
}

/// Stops the system unless the IRQL is low enough for `object` to be deleted. Types cannot say it:
/// a drop takes no token.
pub fn require_irql(ceiling: u8, kind: Held, object: *const ()) {
    if current_irql() > ceiling {
        stop(kind, object);
    }
}
