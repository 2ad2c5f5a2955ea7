//! `MmGetSystemRoutineAddress`.

use nt_abi::{PUNICODE_STRING, PVOID};

use crate::{export, irql::PASSIVE, rtl};

/// The address of an export of the kernel or the HAL, or null. `PASSIVE_LEVEL`. DDI:
/// `MmGetSystemRoutineAddress`.
///
/// # Safety
///
/// The string must be valid.
pub unsafe extern "win64" fn MmGetSystemRoutineAddress(
    SystemRoutineName: PUNICODE_STRING,
) -> PVOID {
    rtl::pageable!(PASSIVE, MmGetSystemRoutineAddress);
    // SAFETY: Valid by the contract of this function.
    let name = unsafe { rtl::to_string(SystemRoutineName) };
    export::find(&name).unwrap_or(std::ptr::null()).cast_mut()
}

crate::export::exports! { "ntoskrnl.exe"; MmGetSystemRoutineAddress }
