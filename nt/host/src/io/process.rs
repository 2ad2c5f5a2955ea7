//! The process and thread of a request.

use core::cell::UnsafeCell;

use nt_abi::{PVOID, ULONG};

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

/// The identifier of the process that sent a request: 4, that of System. `<= DISPATCH_LEVEL`. DDI:
/// `IoGetRequestorProcessId` (ntifs).
///
/// # Safety
///
/// None needed.
pub unsafe extern "win64" fn IoGetRequestorProcessId(_Irp: nt_abi::PIRP) -> ULONG {
    dispatch_level("IoGetRequestorProcessId");
    4
}

crate::export::exports! {
    "ntoskrnl.exe"; IoGetCurrentProcess, PsGetCurrentProcess, IoGetRequestorProcessId
}
