//! Memory descriptor lists.
//!
//! There is one address space, so a mapping is the buffer itself. The page numbers after an MDL are
//! those of the virtual addresses.

use core::{alloc::Layout, ptr};
use std::{alloc, collections::BTreeMap};

use nt_abi::{
    BOOLEAN, FALSE, KPROCESSOR_MODE, MDL, MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED,
    MDL_SOURCE_IS_NONPAGED_POOL, PAGE_SIZE, PIRP, PMDL, PVOID, STATUS_ACCESS_VIOLATION, ULONG,
    bugcheck::{DRIVER_VERIFIER_DETECTED_VIOLATION, KMODE_EXCEPTION_NOT_HANDLED, PFN_LIST_CORRUPT},
};
use parking_lot::Mutex;

use super::address::is_accessible;
use super::pageable;
use crate::{bugcheck, fault, io::dispatch_level};

/// The MDLs that exist, with the layout of their memory.
static MDLS: Mutex<BTreeMap<usize, Layout>> = Mutex::new(BTreeMap::new());

/// The addresses of the MDLs that were allocated and not freed.
pub fn allocated() -> Vec<usize> {
    MDLS.lock().keys().copied().collect()
}

const fn pages(start: usize, length: usize) -> usize {
    (start % PAGE_SIZE + length).div_ceil(PAGE_SIZE)
}

/// Allocates an MDL for a buffer.
fn allocate(start: *mut u8, length: usize) -> PMDL {
    let pages = pages(start.addr(), length);
    let size = size_of::<MDL>() + pages * size_of::<u64>();
    let Ok(byte_count) = ULONG::try_from(length) else {
        return ptr::null_mut();
    };
    let Ok(layout) = Layout::from_size_align(size, align_of::<MDL>()) else {
        return ptr::null_mut();
    };
    // SAFETY: The layout has the size of an MDL at least.
    let memory = unsafe { alloc::alloc_zeroed(layout) };
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "the layout has the alignment of an MDL"
    )]
    let mdl = memory.cast::<MDL>();
    if mdl.is_null() {
        return mdl;
    }
    let value = MDL {
        Size: i16::try_from(size).unwrap_or(i16::MAX),
        StartVa: start.wrapping_byte_sub(start.addr() % PAGE_SIZE).cast(),
        ByteCount: byte_count,
        ByteOffset: (start.addr() % PAGE_SIZE) as ULONG,
        ..MDL::default()
    };
    // SAFETY: The memory is fresh and large enough.
    unsafe { mdl.write(value) };
    let numbers = mdl.wrapping_add(1).cast::<u64>();
    for page in 0..pages {
        let place = numbers.wrapping_add(page);
        // SAFETY: There is room for the number of every page.
        unsafe { place.write((start.addr() / PAGE_SIZE + page) as u64) };
    }
    MDLS.lock().insert(mdl.addr(), layout);
    mdl
}

fn free(mdl: PMDL) -> bool {
    let Some(layout) = MDLS.lock().remove(&mdl.addr()) else {
        return false;
    };
    // SAFETY: The MDL was allocated with this layout, and is not any more.
    unsafe { alloc::dealloc(mdl.cast(), layout) };
    true
}

/// An MDL for a buffer of a request, as the I/O manager makes it for direct I/O.
pub fn locked(start: *mut u8, length: usize) -> PMDL {
    let mdl = allocate(start, length);
    if !mdl.is_null() {
        set_flags(mdl, MDL_PAGES_LOCKED, 0);
    }
    mdl
}

/// Frees the MDLs of a request.
pub fn free_chain(mut mdl: PMDL) {
    while !mdl.is_null() {
        // SAFETY: The MDLs of an IRP are alive until the request is done.
        let next = unsafe { (*mdl).Next };
        free(mdl);
        mdl = next;
    }
}

/// Sets and clears flags of an MDL that is alive.
fn set_flags(mdl: PMDL, set: i16, clear: i16) {
    // SAFETY: The MDL is alive, by the contracts of the callers.
    let flags = unsafe { &raw mut (*mdl).MdlFlags };
    // SAFETY: As above.
    let value = unsafe { flags.read() };
    // SAFETY: As above.
    unsafe { flags.write(value & !clear | set) };
}

fn flags(mdl: PMDL) -> i16 {
    // SAFETY: The MDL is alive, by the contracts of the callers.
    unsafe { (*mdl).MdlFlags }
}

/// The buffer that an MDL describes.
fn buffer(mdl: PMDL) -> (*mut u8, usize) {
    // SAFETY: The MDL is alive, by the contracts of the callers.
    let mdl = unsafe { &*mdl };
    (
        mdl.StartVa
            .cast::<u8>()
            .wrapping_byte_add(mdl.ByteOffset as usize),
        mdl.ByteCount as usize,
    )
}

fn map(mdl: PMDL) -> PVOID {
    let (start, _) = buffer(mdl);
    // SAFETY: The MDL is alive, by the contracts of the callers.
    unsafe { (*mdl).MappedSystemVa = start.cast() };
    start.cast()
}

/// The `Next` field of the MDL that `place` points to, if it points to one.
///
/// # Safety
///
/// `place` must hold null or an MDL that is alive.
unsafe fn next_in_chain(place: *mut PMDL) -> Option<*mut PMDL> {
    // SAFETY: The place is readable, by the contract of this function.
    let mdl = unsafe { place.read() };
    // SAFETY: The MDL is alive, by the contract of this function.
    (!mdl.is_null()).then(|| unsafe { &raw mut (*mdl).Next })
}

/// Allocates an MDL for a buffer and adds it to an IRP, if one is given. `<= DISPATCH_LEVEL`. DDI:
/// `IoAllocateMdl`.
///
/// # Safety
///
/// `Irp` must be null or alive.
pub unsafe extern "win64" fn IoAllocateMdl(
    VirtualAddress: PVOID,
    Length: ULONG,
    SecondaryBuffer: BOOLEAN,
    _ChargeQuota: BOOLEAN,
    Irp: PIRP,
) -> PMDL {
    const NAME: &str = "IoAllocateMdl";
    dispatch_level(NAME);
    if fault::denies_allocation(NAME) {
        return ptr::null_mut();
    }
    let mdl = allocate(VirtualAddress.cast(), Length as usize);
    if Irp.is_null() || mdl.is_null() {
        return mdl;
    }
    let secondary = SecondaryBuffer != FALSE;
    // SAFETY: The IRP is alive, by the contract of this function.
    let mut place = unsafe { &raw mut (*Irp).MdlAddress };
    // SAFETY: As above; what is in the chain is null or an MDL that is alive.
    while let Some(next) = secondary.then(|| unsafe { next_in_chain(place) }).flatten() {
        place = next;
    }
    // SAFETY: As above.
    unsafe { place.write(mdl) };
    mdl
}

/// Frees an MDL. `<= DISPATCH_LEVEL`. DDI: `IoFreeMdl`.
///
/// # Safety
///
/// Nobody may use the MDL any more.
pub unsafe extern "win64" fn IoFreeMdl(Mdl: PMDL) {
    dispatch_level("IoFreeMdl");
    if !free(Mdl) {
        bugcheck::raise(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            [0xB9, Mdl as u64, 0, 0],
            "IoFreeMdl",
            "The MDL is none that is allocated.",
        );
    }
}

/// Completes an MDL for a buffer in nonpaged pool. `<= DISPATCH_LEVEL`. DDI:
/// `MmBuildMdlForNonPagedPool`.
///
/// # Safety
///
/// The MDL must be alive and describe such a buffer.
pub unsafe extern "win64" fn MmBuildMdlForNonPagedPool(MemoryDescriptorList: PMDL) {
    dispatch_level("MmBuildMdlForNonPagedPool");
    map(MemoryDescriptorList);
    set_flags(MemoryDescriptorList, MDL_SOURCE_IS_NONPAGED_POOL, 0);
}

/// Locks the pages of a buffer, which must be accessible. `<= DISPATCH_LEVEL`. DDI:
/// `MmProbeAndLockPages`.
///
/// On Windows a buffer that is not accessible raises `STATUS_ACCESS_VIOLATION`, which nothing can
/// catch here: bug check 0x1E.
///
/// # Safety
///
/// The MDL must be alive.
pub unsafe extern "win64" fn MmProbeAndLockPages(
    MemoryDescriptorList: PMDL,
    _AccessMode: KPROCESSOR_MODE,
    Operation: i32,
) {
    const NAME: &str = "MmProbeAndLockPages";
    dispatch_level(NAME);
    let (start, length) = buffer(MemoryDescriptorList);
    let write = Operation != 0;
    let range = start.addr()..start.addr() + length;
    pageable::lock(&range);
    if !is_accessible(start, length, write) {
        let status = u64::from(STATUS_ACCESS_VIOLATION.cast_unsigned());
        bugcheck::raise(
            KMODE_EXCEPTION_NOT_HANDLED,
            [
                status,
                (MmProbeAndLockPages as *const ()).addr() as u64,
                write.into(),
                start as u64,
            ],
            NAME,
            "The buffer is not accessible (STATUS_ACCESS_VIOLATION is raised).",
        );
    }
    set_flags(MemoryDescriptorList, MDL_PAGES_LOCKED, 0);
}

/// Unlocks the pages of a buffer. `<= DISPATCH_LEVEL`. DDI: `MmUnlockPages`.
///
/// Bug check 0x4E if they are not locked.
///
/// # Safety
///
/// The MDL must be alive.
pub unsafe extern "win64" fn MmUnlockPages(MemoryDescriptorList: PMDL) {
    dispatch_level("MmUnlockPages");
    if flags(MemoryDescriptorList) & MDL_PAGES_LOCKED == 0 {
        bugcheck::raise(
            PFN_LIST_CORRUPT,
            [7, MemoryDescriptorList as u64, 0, 0],
            "MmUnlockPages",
            "The pages of the MDL are not locked.",
        );
    }
    let (start, length) = buffer(MemoryDescriptorList);
    pageable::unlock(&(start.addr()..start.addr() + length));
    set_flags(
        MemoryDescriptorList,
        0,
        MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA,
    );
}

/// Maps the locked pages of a buffer: returns the buffer itself, or null. `<= DISPATCH_LEVEL`. DDI:
/// `MmMapLockedPagesSpecifyCache`.
///
/// # Safety
///
/// The MDL must be alive.
pub unsafe extern "win64" fn MmMapLockedPagesSpecifyCache(
    MemoryDescriptorList: PMDL,
    _AccessMode: KPROCESSOR_MODE,
    _CacheType: i32,
    _RequestedAddress: PVOID,
    BugCheckOnFailure: ULONG,
    _Priority: ULONG,
) -> PVOID {
    const NAME: &str = "MmMapLockedPagesSpecifyCache";
    dispatch_level(NAME);
    if BugCheckOnFailure == 0 && fault::denies_allocation(NAME) {
        return ptr::null_mut();
    }
    set_flags(MemoryDescriptorList, MDL_MAPPED_TO_SYSTEM_VA, 0);
    map(MemoryDescriptorList)
}

/// Undoes a mapping. `<= DISPATCH_LEVEL`. DDI: `MmUnmapLockedPages`.
///
/// # Safety
///
/// The MDL must be alive, and the mapping not used any more.
pub unsafe extern "win64" fn MmUnmapLockedPages(_BaseAddress: PVOID, MemoryDescriptorList: PMDL) {
    dispatch_level("MmUnmapLockedPages");
    set_flags(MemoryDescriptorList, 0, MDL_MAPPED_TO_SYSTEM_VA);
}

crate::export::exports! {
    "ntoskrnl.exe";
    IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool, MmProbeAndLockPages, MmUnlockPages,
    MmMapLockedPagesSpecifyCache, MmUnmapLockedPages,
}
