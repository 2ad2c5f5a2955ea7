//! The spin lock of an interrupt object. There is no interrupt here to measure it with: it is disassembled
//! alone.

use core::mem::MaybeUninit;

use wdk_sync::{InterruptLock, Irql, Passive};
use wdk_sys::{BOOLEAN, PKINTERRUPT, PVOID, ntddk::KeSynchronizeExecution};

use crate::pair::pair;

/// What the driver has in its extension: the interrupt object, and the data of its service routine.
struct Raw {
    interrupt: PKINTERRUPT,
    data: u64,
}

/// The data, and the place for what it was.
struct Context<'a> {
    data: *mut u64,
    taken: &'a mut MaybeUninit<u64>,
}

unsafe extern "C" fn take(context: PVOID) -> BOOLEAN {
    // SAFETY: The caller below gives its context, which it has to itself.
    let context = unsafe { &mut *context.cast::<Context<'_>>() };
    // SAFETY: The data is reached with the lock held, as here.
    context.taken.write(unsafe { context.data.replace(0) });
    1
}

pair! { "interrupt_lock", differs(26, "it is refused where no interrupt is connected, and where the kernel would not run the closure"),
    raw(lock: &mut Raw) -> u64 {
        let mut taken = MaybeUninit::uninit();
        let mut context = Context {
            data: &raw mut lock.data,
            taken: &mut taken,
        };
        // SAFETY: The interrupt would be connected: this is not run.
        unsafe {
            KeSynchronizeExecution(lock.interrupt, Some(take), (&raw mut context).cast());
        }
        // SAFETY: The routine has written it.
        unsafe { taken.assume_init() }
    }
    safe(lock: &InterruptLock<u64>, irql: &mut Irql<'_, Passive>) -> Option<u64> {
        lock.with(irql, |data, _irql| core::mem::take(data)).ok()
    }
}
