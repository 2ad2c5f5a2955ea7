//! Cancellation.

use core::{cell::UnsafeCell, ptr};

use nt_abi::{
    BOOLEAN, FALSE, KIRQL, KSPIN_LOCK, PIRP, PKIRQL, PKSPIN_LOCK, TRUE,
    bugcheck::IRQL_UNEXPECTED_VALUE,
};

use super::{
    irp::{Irp, Stack},
    rules::dispatch_level,
};
use crate::{
    bugcheck,
    ke::spinlock::ddk::{KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock},
    thread,
};

struct CancelLock(UnsafeCell<KSPIN_LOCK>);

// SAFETY: A spin lock is made to be shared; only the spin lock functions access it.
unsafe impl Sync for CancelLock {}

/// The cancel spin lock of the system.
static CANCEL_LOCK: CancelLock = CancelLock(UnsafeCell::new(0));

const fn lock() -> PKSPIN_LOCK {
    CANCEL_LOCK.0.get()
}

/// Acquires the cancel spin lock. `<= DISPATCH_LEVEL`. DDI: `IoAcquireCancelSpinLock`.
///
/// # Safety
///
/// `Irql` must be valid for a write; the caller releases the lock.
pub unsafe extern "win64" fn IoAcquireCancelSpinLock(Irql: PKIRQL) {
    // SAFETY: The lock is a static.
    let irql = unsafe { KeAcquireSpinLockRaiseToDpc(lock()) };
    // SAFETY: Valid for a write by the contract of this function.
    unsafe { Irql.write(irql) };
}

/// Releases the cancel spin lock. `DISPATCH_LEVEL`. DDI: `IoReleaseCancelSpinLock`.
///
/// # Safety
///
/// The caller holds the lock, and `Irql` is what it was acquired at; in a cancel routine that is
/// `Irp->CancelIrql`.
pub unsafe extern "win64" fn IoReleaseCancelSpinLock(Irql: KIRQL) {
    // SAFETY: The lock is a static; the caller holds it.
    unsafe { KeReleaseSpinLock(lock(), Irql) };
}

/// Cancels an IRP: sets its cancel bit and calls its cancel routine, if it has one; returns whether it
/// had. `<= DISPATCH_LEVEL`. DDI: `IoCancelIrp`.
///
/// # Safety
///
/// The IRP must be alive until this returns.
pub unsafe extern "win64" fn IoCancelIrp(Irp: PIRP) -> BOOLEAN {
    const NAME: &str = "IoCancelIrp";
    dispatch_level(NAME);
    // SAFETY: Alive by the contract of this function.
    let Some(irp) = (unsafe { self::Irp::new(Irp) }) else {
        return FALSE;
    };
    let mut irql = 0;
    // SAFETY: The place is a local variable; the lock is released below or by the cancel routine.
    unsafe { IoAcquireCancelSpinLock(&raw mut irql) };
    irp.mark_cancelled();
    let Some(routine) = irp.take_cancel_routine() else {
        // SAFETY: The lock was acquired above, at this IRQL.
        unsafe { IoReleaseCancelSpinLock(irql) };
        return FALSE;
    };
    irp.set_cancel_irql(irql);
    let device = irp.stack().map_or(ptr::null_mut(), Stack::device);
    // SAFETY: The routine is what the driver that owns the IRP has set for this; it is called with the
    // cancel spin lock held, which it releases.
    unsafe { routine(device, irp.as_ptr()) };
    let after = thread::current().irql();
    if after != irql {
        /// Tells this place from those where Windows raises the same bug check.
        const HERE: u64 = 0x21;
        bugcheck::raise(
            IRQL_UNEXPECTED_VALUE,
            [
                u64::from(after) << 16 | u64::from(irql) << 8 | HERE,
                0,
                0,
                0,
            ],
            NAME,
            "The cancel routine did not release the cancel spin lock at Irp->CancelIrql.",
        );
    }
    TRUE
}

crate::export::exports! {
    "ntoskrnl.exe"; IoAcquireCancelSpinLock, IoReleaseCancelSpinLock, IoCancelIrp
}
