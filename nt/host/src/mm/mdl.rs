//! Memory descriptor lists.
//!
//! There is one address space, so a mapping is the buffer itself. The page numbers after an MDL are
//! those of the virtual addresses.

use core::{alloc::Layout, ptr};
use std::{alloc, collections::BTreeMap};

use nt_abi::{
    _MODE::KernelMode,
    BOOLEAN, FALSE, KPROCESSOR_MODE, MDL, MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED,
    MDL_SOURCE_IS_NONPAGED_POOL, PAGE_SIZE, PIRP, PMDL, PVOID, STATUS_ACCESS_VIOLATION, ULONG,
    bugcheck::{
        BAD_POOL_CALLER, IRQL_NOT_LESS_OR_EQUAL, KMODE_EXCEPTION_NOT_HANDLED, PFN_LIST_CORRUPT,
    },
};
use parking_lot::Mutex;

use super::address::is_accessible;
use super::pageable;
use crate::{
    Rules, bugcheck,
    ex::pool,
    fault,
    io::dispatch_level,
    irql::{APC, DISPATCH},
    thread, verifier,
};

/// The MDLs that exist, with the layout of their memory.
static MDLS: Mutex<BTreeMap<usize, Layout>> = Mutex::new(BTreeMap::new());

/// The addresses of the MDLs that were allocated and not freed.
pub fn allocated() -> Vec<usize> {
    MDLS.lock().keys().copied().collect()
}

/// The longest buffer that an MDL describes.
const LONGEST: usize = (1 << 32) - PAGE_SIZE;

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
/// Returns null if there is no memory, or if the buffer is longer than 4 GiB less a page.
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
    let is_too_long = Length as usize > LONGEST;
    if is_too_long || fault::denies_allocation(NAME) {
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

/// Stops the kernel for a rule about an MDL, of which the flags are the third parameter.
#[cold]
fn misuse(rule: u64, mdl: PMDL, which: i16, function: &'static str, sentence: &'static str) -> ! {
    let bits = |flags: i16| u64::from(flags.cast_unsigned());
    verifier::violation(
        rule,
        [mdl as u64, bits(flags(mdl)), bits(which)],
        function,
        sentence,
    )
}

/// The IRQL of the caller of `function` must be at most `highest`: bug check 0xC4 with a number of the function's own.
fn check_irql(highest: u8, rule: u64, [third, fourth]: [u64; 2], function: &'static str) {
    let irql = thread::current().irql();
    if irql > highest {
        let sentence = "The IRQL is too high for the buffer.";
        verifier::violation(rule, [irql.into(), third, fourth], function, sentence);
    }
}

/// Frees an MDL. `<= DISPATCH_LEVEL`. DDI: `IoFreeMdl`.
///
/// Bug check 0xC4 (0xB8) if its pages are still mapped, (0x6E740005) if they are locked; 0xC2 (0x46) if it is none.
///
/// # Safety
///
/// Nobody may use the MDL any more.
pub unsafe extern "win64" fn IoFreeMdl(Mdl: PMDL) {
    const NAME: &str = "IoFreeMdl";
    dispatch_level(NAME);
    if !MDLS.lock().contains_key(&Mdl.addr()) {
        let parameters = [0x46, Mdl as u64, 0, 0];
        let sentence = "The MDL is none that is allocated.";
        bugcheck::raise(BAD_POOL_CALLER, parameters, NAME, sentence);
    }
    let left = flags(Mdl);
    if verifier::checks(Rules::IO) && left & MDL_PAGES_LOCKED != 0 {
        if left & MDL_MAPPED_TO_SYSTEM_VA != 0 {
            let sentence = "The MDL is freed while its pages are mapped.";
            misuse(0xB8, Mdl, 0, NAME, sentence);
        }
        let sentence = "The MDL is freed while its pages are locked.";
        misuse(verifier::LOCKED_MDL, Mdl, 0, NAME, sentence);
    }
    free(Mdl);
}

/// Completes an MDL for a buffer in nonpaged pool. `<= DISPATCH_LEVEL`. DDI:
/// `MmBuildMdlForNonPagedPool`.
///
/// Bug check 0xC4 (0x7F) for a buffer in paged pool.
///
/// # Safety
///
/// The MDL must be alive and describe such a buffer.
pub unsafe extern "win64" fn MmBuildMdlForNonPagedPool(MemoryDescriptorList: PMDL) {
    const NAME: &str = "MmBuildMdlForNonPagedPool";
    dispatch_level(NAME);
    let (start, _) = buffer(MemoryDescriptorList);
    if pool::is_paged(start as u64) && verifier::checks(Rules::IO) {
        let irql = u64::from(thread::current().irql());
        let flags = u64::from(flags(MemoryDescriptorList).cast_unsigned());
        let sentence = "The buffer of the MDL is in paged pool.";
        let parameters = [irql, MemoryDescriptorList as u64, flags];
        verifier::violation(0x7F, parameters, NAME, sentence);
    }
    map(MemoryDescriptorList);
    set_flags(MemoryDescriptorList, MDL_SOURCE_IS_NONPAGED_POOL, 0);
}

/// Locks the pages of a buffer, which must be accessible. `<= DISPATCH_LEVEL` (bug check 0xC4 (0x70)), `<= APC_LEVEL`
/// if they are pageable (0xA). DDI: `MmProbeAndLockPages`.
///
/// Bug check 0xC4 (0xB0) for pages that are locked or are those of nonpaged pool. On Windows a buffer that is not
/// accessible raises `STATUS_ACCESS_VIOLATION`, which nothing can catch here: bug check 0x1E.
///
/// # Safety
///
/// The MDL must be alive.
pub unsafe extern "win64" fn MmProbeAndLockPages(
    MemoryDescriptorList: PMDL,
    AccessMode: KPROCESSOR_MODE,
    Operation: i32,
) {
    const NAME: &str = "MmProbeAndLockPages";
    /// What an MDL whose pages are to be locked must not be.
    const WRONG: i16 = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL;
    let mode = u64::from(AccessMode.cast_unsigned());
    check_irql(DISPATCH, 0x70, [MemoryDescriptorList as u64, mode], NAME);
    let wrong = flags(MemoryDescriptorList) & WRONG;
    if wrong != 0 && verifier::checks(Rules::IO) {
        let sentence = "The pages of the MDL are locked already, or need not be.";
        misuse(0xB0, MemoryDescriptorList, wrong, NAME, sentence);
    }
    let (start, length) = buffer(MemoryDescriptorList);
    let write = Operation != 0;
    let irql = thread::current().irql();
    if irql > APC && pageable::is_unlocked(start.addr()) {
        let parameters = [start as u64, irql.into(), write.into(), 0];
        let sentence = "Pageable memory is locked above APC_LEVEL.";
        bugcheck::raise(IRQL_NOT_LESS_OR_EQUAL, parameters, NAME, sentence);
    }
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

/// Unlocks the pages of a buffer, and undoes their mapping. `<= DISPATCH_LEVEL` (bug check 0xC4 (0x78)). DDI:
/// `MmUnlockPages`.
///
/// Bug check 0xC4 (0x7D) if they are those of nonpaged pool, (0x7C) if they are not locked; 0x4E without Driver
/// Verifier.
///
/// # Safety
///
/// The MDL must be alive.
pub unsafe extern "win64" fn MmUnlockPages(MemoryDescriptorList: PMDL) {
    const NAME: &str = "MmUnlockPages";
    check_irql(DISPATCH, 0x78, [MemoryDescriptorList as u64, 0], NAME);
    let found = flags(MemoryDescriptorList);
    if found & MDL_PAGES_LOCKED == 0 {
        let sentence = "The pages of the MDL are not locked.";
        if verifier::checks(Rules::IO) {
            let nonpaged = found & MDL_SOURCE_IS_NONPAGED_POOL != 0;
            let rule = if nonpaged { 0x7D } else { 0x7C };
            misuse(rule, MemoryDescriptorList, 0, NAME, sentence);
        }
        let parameters = [7, MemoryDescriptorList as u64, 0, 0];
        bugcheck::raise(PFN_LIST_CORRUPT, parameters, NAME, sentence);
    }
    let (start, length) = buffer(MemoryDescriptorList);
    pageable::unlock(&(start.addr()..start.addr() + length));
    set_flags(
        MemoryDescriptorList,
        0,
        MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA,
    );
}

/// Maps the locked pages of a buffer: returns the buffer itself, or null. `<= DISPATCH_LEVEL` (bug check 0xC4
/// (0x76)), `<= APC_LEVEL` for `UserMode` (0x77). DDI: `MmMapLockedPagesSpecifyCache`.
///
/// Bug check 0xC4 (0x82) with `BugCheckOnFailure`, (0xB3) for pages that are not locked, and, by `KernelMode`, (0xB2)
/// for those that are mapped already or are those of nonpaged pool.
///
/// # Safety
///
/// The MDL must be alive.
pub unsafe extern "win64" fn MmMapLockedPagesSpecifyCache(
    MemoryDescriptorList: PMDL,
    AccessMode: KPROCESSOR_MODE,
    _CacheType: i32,
    _RequestedAddress: PVOID,
    BugCheckOnFailure: ULONG,
    _Priority: ULONG,
) -> PVOID {
    const NAME: &str = "MmMapLockedPagesSpecifyCache";
    let for_kernel = i32::from(AccessMode) == KernelMode;
    let (highest, rule) = if for_kernel {
        (DISPATCH, 0x76)
    } else {
        (APC, 0x77)
    };
    let mode = u64::from(AccessMode.cast_unsigned());
    check_irql(highest, rule, [MemoryDescriptorList as u64, mode], NAME);
    if verifier::checks(Rules::IO) {
        check_mapping(MemoryDescriptorList, for_kernel, BugCheckOnFailure != 0);
    }
    if BugCheckOnFailure == 0 && fault::denies_allocation(NAME) {
        return ptr::null_mut();
    }
    set_flags(MemoryDescriptorList, MDL_MAPPED_TO_SYSTEM_VA, 0);
    map(MemoryDescriptorList)
}

/// What must be of an MDL that is to be mapped.
fn check_mapping(mdl: PMDL, for_kernel: bool, or_bug_check: bool) {
    const NAME: &str = "MmMapLockedPagesSpecifyCache";
    const MAPPED: i16 = MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL;
    if or_bug_check && for_kernel {
        let sentence = "BugCheckOnFailure must be FALSE.";
        misuse(0x82, mdl, 0, NAME, sentence);
    }
    let found = flags(mdl);
    if for_kernel && found & MAPPED != 0 {
        let sentence = "The pages of the MDL are mapped already.";
        misuse(0xB2, mdl, found & MAPPED, NAME, sentence);
    }
    if found & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL) == 0 {
        let sentence = "The pages of the MDL are not locked.";
        misuse(0xB3, mdl, MDL_PAGES_LOCKED, NAME, sentence);
    }
}

/// Undoes a mapping. `<= DISPATCH_LEVEL` (bug check 0xC4 (0x79)). DDI: `MmUnmapLockedPages`.
///
/// # Safety
///
/// The MDL must be alive, and the mapping not used any more.
pub unsafe extern "win64" fn MmUnmapLockedPages(BaseAddress: PVOID, MemoryDescriptorList: PMDL) {
    let parameters = [BaseAddress as u64, MemoryDescriptorList as u64];
    check_irql(DISPATCH, 0x79, parameters, "MmUnmapLockedPages");
    set_flags(MemoryDescriptorList, 0, MDL_MAPPED_TO_SYSTEM_VA);
}

crate::export::exports! {
    "ntoskrnl.exe";
    IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool, MmProbeAndLockPages, MmUnlockPages,
    MmMapLockedPagesSpecifyCache, MmUnmapLockedPages,
}
