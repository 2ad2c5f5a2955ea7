//! Questions about addresses, and what makes code and data resident.

use nt_abi::{BOOLEAN, PVOID};

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
    is_accessible(VirtualAddress.cast(), 1, false).into()
}

/// Locks a section of pageable code: no code is paged out here. DDI: `MmLockPagableDataSection`.
///
/// # Safety
///
/// None needed.
pub const unsafe extern "win64" fn MmLockPagableDataSection(AddressWithinSection: PVOID) -> PVOID {
    AddressWithinSection
}

/// Unlocks a section of pageable code. DDI: `MmUnlockPagableImageSection`.
///
/// # Safety
///
/// None needed.
pub const unsafe extern "win64" fn MmUnlockPagableImageSection(_ImageSectionHandle: PVOID) {}

crate::export::exports! {
    "ntoskrnl.exe";
    MmIsAddressValid, MmLockPagableDataSection, MmUnlockPagableImageSection,
}
