//! Alerts, which end waits that are alertable.

use core::ptr;

use nt_abi::{HANDLE, NTSTATUS, STATUS_SUCCESS};

use crate::{
    dispatcher,
    export::exports,
    ob::{ObReferenceObjectByHandle, ObfDereferenceObject},
    ps::PsThreadType,
    thread::{self, Thread},
};

exports!("ntoskrnl.exe"; ZwAlertThread);

/// `ZwAlertThread`: alerts a thread, in kernel mode. IRQL = `PASSIVE_LEVEL`.
///
/// If the thread is in an alertable wait, that ends with `STATUS_ALERTED`; otherwise the next one does that
/// would have to wait. No page describes it; it is the system service of this name.
///
/// Returns what `ObReferenceObjectByHandle` does if the handle is not that of a thread.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn ZwAlertThread(ThreadHandle: HANDLE) -> NTSTATUS {
    let mut object = ptr::null_mut();
    let kind = PsThreadType.get();
    // SAFETY: The place is one for a pointer, and the type one of this kernel.
    let status = unsafe {
        ObReferenceObjectByHandle(ThreadHandle, 0, kind, 0, &raw mut object, ptr::null_mut())
    };
    if status != STATUS_SUCCESS {
        return status;
    }
    // SAFETY: It is a thread, and the reference keeps it alive.
    let target = unsafe { Thread::at(object.cast()) };
    dispatcher::lock(thread::current()).alert(target);
    // SAFETY: The reference is given up once.
    unsafe { ObfDereferenceObject(object) };
    STATUS_SUCCESS
}
