//! The process and thread of a request.

use core::cell::UnsafeCell;

use nt_abi::{PIRP, PVOID, ULONG};

use super::rules::dispatch_level;

/// An `EPROCESS` that no driver may look into.
#[repr(C, align(16))]
struct Process(UnsafeCell<[u8; 0xA40]>);

// SAFETY: Its address is all that is used of it.
unsafe impl Sync for Process {}

/// The only process: System.
static SYSTEM: Process = Process(UnsafeCell::new([0; 0xA40]));

/// The process of the calling thread: there is one. Any IRQL. DDI: `IoGetCurrentProcess`.
///
/// # Safety
///
/// None needed.
pub const unsafe extern "win64" fn IoGetCurrentProcess() -> PVOID {
    SYSTEM.0.get().cast()
}

/// As [`IoGetCurrentProcess`]. DDI: `PsGetCurrentProcess` (a macro of that name).
///
/// # Safety
///
/// None needed.
pub const unsafe extern "win64" fn PsGetCurrentProcess() -> PVOID {
    // SAFETY: Nothing is needed.
    unsafe { IoGetCurrentProcess() }
}

/// The identifier of the process that sent a request: 4, that of System, or 0 if no thread belongs to the IRP.
/// `<= DISPATCH_LEVEL`. DDI: `IoGetRequestorProcessId` (ntifs).
///
/// # Safety
///
/// The IRP must be alive.
pub unsafe extern "win64" fn IoGetRequestorProcessId(Irp: PIRP) -> ULONG {
    const SYSTEM: ULONG = 4;
    dispatch_level("IoGetRequestorProcessId");
    // SAFETY: Alive by the contract of this function.
    let irp = unsafe { super::irp::Irp::new(Irp) };
    let is_of_thread = irp.is_some_and(|irp| !irp.thread().is_null());
    if is_of_thread { SYSTEM } else { 0 }
}

crate::export::exports! {
    "ntoskrnl.exe"; IoGetCurrentProcess, PsGetCurrentProcess, IoGetRequestorProcessId
}
