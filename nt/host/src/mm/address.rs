//! Questions about addresses, and what makes code and data resident.

use nt_abi::{BOOLEAN, PVOID};

use super::pageable;
use crate::{
    irql::{APC, DISPATCH},
    thread, verifier,
};

/// Whether the whole range may be accessed in this way.
pub fn is_accessible(start: *const u8, length: usize, write: bool) -> bool {
    let Ok(regions) = region::query_range(start, length.max(1)) else {
        return false;
    };
    let mut covered = 0;
    for region in regions {
        let Ok(region) = region else { return false };
        if !region.is_readable() || (write && !region.is_writable()) {
            return false;
        }
        covered += region.len();
    }
    covered >= length
}

/// Whether an address can be read without a page fault, at the moment. `<= DISPATCH_LEVEL`. DDI:
/// `MmIsAddressValid` (ntddk).
///
/// # Safety
///
/// None needed.
pub unsafe extern "win64" fn MmIsAddressValid(VirtualAddress: PVOID) -> BOOLEAN {
    verifier::thread_at_most(DISPATCH, "MmIsAddressValid");
    is_accessible(VirtualAddress.cast(), 1, false).into()
}

/// Stops the kernel if `function` is called above `APC_LEVEL`.
fn apc_level(function: &'static str) {
    if thread::current().irql() > APC {
        let sentence = "IrqlMmApcLte: IRQL must be APC_LEVEL or below.";
        verifier::rule(0x20019, function, sentence);
    }
}

/// Locks a pageable section of an image in memory. DDI: `MmLockPagableDataSection`.
///
/// # Safety
///
/// None needed.
pub unsafe extern "win64" fn MmLockPagableDataSection(AddressWithinSection: PVOID) -> PVOID {
    apc_level("MmLockPagableDataSection");
    let address = AddressWithinSection.addr();
    pageable::lock(&(address..address + 1));
    AddressWithinSection
}

/// Undoes [`MmLockPagableDataSection`]. DDI: `MmUnlockPagableImageSection`.
///
/// # Safety
///
/// The handle must be one that was returned by it.
pub unsafe extern "win64" fn MmUnlockPagableImageSection(ImageSectionHandle: PVOID) {
    apc_level("MmUnlockPagableImageSection");
    let address = ImageSectionHandle.addr();
    pageable::unlock(&(address..address + 1));
}

crate::export::exports! {
    "ntoskrnl.exe";
    MmIsAddressValid, MmLockPagableDataSection, MmUnlockPagableImageSection,
}
