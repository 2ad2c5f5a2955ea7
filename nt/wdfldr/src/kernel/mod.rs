//! The seam to the kernel, and the little that is built on it: locks, memory, IRPs, waits.
//!
//! Every other module meets the kernel through here alone.

#[cfg(windows)]
mod image;
mod irp;
mod lock;
mod memory;
mod ntoskrnl;
mod ptr;
mod wait;

pub use irp::*;
pub use lock::SpinLock;
pub use memory::{Block, NoMemory, try_box};
pub use ntoskrnl::*;
pub use ptr::Ptr;
pub use wait::{Event, sleep_milliseconds};

use core::ffi::CStr;
use nt_abi::{KIRQL, KPROCESSOR_MODE, NTSTATUS};

/// `KernelMode`, as waits and requests take it.
pub const KERNEL_MODE: KPROCESSOR_MODE = 0;
/// `UserMode`.
pub const USER_MODE: KPROCESSOR_MODE = 1;

/// The result of what can fail, with the status that says why.
pub type Outcome<T = ()> = Result<T, NTSTATUS>;

/// A status as an outcome: `NT_SUCCESS` codes are success.
///
/// # Errors
/// The status itself, when it is a warning or an error.
pub const fn check(status: NTSTATUS) -> Outcome {
    if nt_abi::NT_SUCCESS(status) {
        Ok(())
    } else {
        Err(status)
    }
}

/// An outcome as a status.
pub const fn status_of(outcome: Outcome) -> NTSTATUS {
    match outcome {
        Ok(()) => nt_abi::STATUS_SUCCESS,
        Err(status) => status,
    }
}

/// A size or count as the kernel's `ULONG`; there are none that do not fit.
#[allow(clippy::cast_possible_truncation, reason = "checked")]
pub const fn ulong(value: usize) -> u32 {
    if value > u32::MAX as usize {
        u32::MAX
    } else {
        value as u32
    }
}

/// A length as the kernel's `USHORT`; strings are at most that long.
#[allow(clippy::cast_possible_truncation, reason = "checked")]
pub const fn ushort(value: usize) -> u16 {
    if value > u16::MAX as usize {
        u16::MAX
    } else {
        value as u16
    }
}

/// Sends a line to the debugger. `format` takes one argument of pointer size (`%s`, `%p`, `%Ix`).
pub fn print(format: &'static CStr, argument: usize) {
    // SAFETY: The format is a C string that asks for at most the one argument that is passed.
    unsafe { DbgPrint(format.as_ptr(), argument) };
}

/// The identity of the calling thread.
pub fn this_thread() -> usize {
    // SAFETY: Has no requirement.
    unsafe { PsGetCurrentThread() }.addr()
}

/// The current IRQL, which is at most `DISPATCH_LEVEL` wherever the framework is called.
///
/// `KeGetCurrentIrql` is not an export of every host, a spin lock is, and raising for one tells what
/// the IRQL was.
pub fn current_irql() -> KIRQL {
    static PROBE: SpinLock<()> = SpinLock::new(());
    PROBE.with_irql(|(), irql| irql)
}
