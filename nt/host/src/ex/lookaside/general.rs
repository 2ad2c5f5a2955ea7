//! `NPAGED_LOOKASIDE_LIST` and `PAGED_LOOKASIDE_LIST`: lists of pool of one kind each.

use core::{ptr, sync::atomic::Ordering::Relaxed};

use nt_abi::{
    _POOL_TYPE::{NonPagedPool, PagedPool},
    PALLOCATE_FUNCTION, PFREE_FUNCTION, PNPAGED_LOOKASIDE_LIST, PPAGED_LOOKASIDE_LIST, PVOID,
    SIZE_T, ULONG, USHORT,
};

use super::{Kind, active};
use crate::{
    ex::pool::{ExAllocatePoolWithTag, ExFreePool},
    irql::{APC, DISPATCH},
    thread, verifier,
};

/// Stops the kernel if a function of paged lists is called above `APC_LEVEL`.
fn apc_level(function: &'static str) {
    let thread = thread::current();
    if thread.irql() > APC {
        let sentence = "IrqlExApcLte2: IRQL must be <= APC_LEVEL.";
        verifier::rule(0x20006, function, sentence);
    }
}

/// Takes an entry from a list, or has its routine allocate one.
///
/// # Safety
///
/// `list` must point to a list of this module that is initialised.
unsafe fn allocate<T>(list: *mut T, function: &'static str) -> PVOID {
    // SAFETY: The caller vouches for the list.
    let list = unsafe { super::Lookaside::at(list, function) };
    if let Some(entry) = list.take() {
        return entry;
    }
    let routine = list.allocate.load(Relaxed);
    // SAFETY: The driver's routine, or that of pool, is of this type.
    let allocate = unsafe { core::mem::transmute::<PVOID, PALLOCATE_FUNCTION>(routine) };
    let (pool, size, tag) = list.request();
    // SAFETY: The driver vouches for the routine.
    allocate.map_or(ptr::null_mut(), |allocate| unsafe {
        allocate(pool, size, tag)
    })
}

/// The routine by which a list frees an entry.
fn routine_to_free(list: &super::Lookaside) -> PFREE_FUNCTION {
    let routine = list.free.load(Relaxed);
    // SAFETY: The driver's routine, or that of pool, is of this type.
    unsafe { core::mem::transmute::<PVOID, PFREE_FUNCTION>(routine) }
}

/// Puts an entry on a list, or has its routine free it if the list is full.
///
/// # Safety
///
/// `list` must point to a list of this module that is initialised, `entry` to an entry of it that nobody uses.
unsafe fn free<T>(list: *mut T, entry: PVOID, function: &'static str) {
    // SAFETY: The caller vouches for the list.
    let list = unsafe { super::Lookaside::at(list, function) };
    if !list.keep(entry)
        && let Some(free) = routine_to_free(list)
    {
        // SAFETY: The driver vouches for the routine and the entry.
        unsafe { free(entry) };
    }
}

/// Frees the entries of a list, which is none any longer.
///
/// # Safety
///
/// `list` must point to a list of this module that is initialised.
unsafe fn delete<T>(list: *mut T, function: &'static str) {
    // SAFETY: The caller vouches for the list.
    let list = unsafe { super::Lookaside::at(list, function) };
    active::remove(list.address(), function);
    let Some(free) = routine_to_free(list) else {
        return;
    };
    while let Some(entry) = list.pop() {
        // SAFETY: The driver vouches for the routine, and the entry was on the list.
        unsafe { free(entry) };
    }
}

fn routines(allocate: PALLOCATE_FUNCTION, free: PFREE_FUNCTION) -> (PVOID, PVOID) {
    let allocate = allocate.unwrap_or(ExAllocatePoolWithTag);
    let free = free.unwrap_or(ExFreePool);
    (allocate as PVOID, free as PVOID)
}

/// `ExInitializeNPagedLookasideList`: sets up a list of blocks of nonpaged pool. IRQL <= `DISPATCH_LEVEL`.
///
/// A list that is initialised and was not deleted is bug check 0xC4 (0xCA); a `Size` without room for a link, 8 bytes,
/// is 0xC4 (0xCD). `Flags` may ask for an exception when there is no memory (`POOL_RAISE_IF_ALLOCATION_FAILURE`) and for memory
/// that is not executable (`POOL_NX_ALLOCATION`).
///
/// # Safety
///
/// `Lookaside` must point to resident memory for a list that nobody uses, aligned to 16 bytes; the routines must be
/// ones that allocate and free a block.
pub unsafe extern "win64" fn ExInitializeNPagedLookasideList(
    Lookaside: PNPAGED_LOOKASIDE_LIST,
    Allocate: PALLOCATE_FUNCTION,
    Free: PFREE_FUNCTION,
    Flags: ULONG,
    Size: SIZE_T,
    Tag: ULONG,
    _Depth: USHORT,
) {
    verifier::thread_at_most(DISPATCH, "ExInitializeNPagedLookasideList");
    let (allocate, free) = routines(Allocate, Free);
    let kind = Kind {
        pool: NonPagedPool | Flags.cast_signed(),
        size: Size,
        tag: Tag,
        allocate,
        free,
    };
    // SAFETY: This function has the same contract.
    let list = unsafe { super::Lookaside::at(Lookaside, "ExInitializeNPagedLookasideList") };
    list.initialize(&kind, "ExInitializeNPagedLookasideList");
}

/// `ExInitializePagedLookasideList`: as [`ExInitializeNPagedLookasideList`], for paged pool. IRQL <= `APC_LEVEL`.
///
/// # Safety
///
/// As there.
pub unsafe extern "win64" fn ExInitializePagedLookasideList(
    Lookaside: PPAGED_LOOKASIDE_LIST,
    Allocate: PALLOCATE_FUNCTION,
    Free: PFREE_FUNCTION,
    Flags: ULONG,
    Size: SIZE_T,
    Tag: ULONG,
    _Depth: USHORT,
) {
    apc_level("ExInitializePagedLookasideList");
    let (allocate, free) = routines(Allocate, Free);
    let kind = Kind {
        pool: PagedPool | Flags.cast_signed(),
        size: Size,
        tag: Tag,
        allocate,
        free,
    };
    // SAFETY: This function has the same contract.
    let list = unsafe { super::Lookaside::at(Lookaside, "ExInitializePagedLookasideList") };
    list.initialize(&kind, "ExInitializePagedLookasideList");
}

/// `ExDeleteNPagedLookasideList`: frees the entries of a list. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list that nobody uses any more.
pub unsafe extern "win64" fn ExDeleteNPagedLookasideList(Lookaside: PNPAGED_LOOKASIDE_LIST) {
    verifier::thread_at_most(DISPATCH, "ExDeleteNPagedLookasideList");
    // SAFETY: This function has the same contract.
    unsafe { delete(Lookaside, "ExDeleteNPagedLookasideList") };
}

/// `ExDeletePagedLookasideList`: frees the entries of a list. IRQL <= `APC_LEVEL`.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list that nobody uses any more.
pub unsafe extern "win64" fn ExDeletePagedLookasideList(Lookaside: PPAGED_LOOKASIDE_LIST) {
    apc_level("ExDeletePagedLookasideList");
    // SAFETY: This function has the same contract.
    unsafe { delete(Lookaside, "ExDeletePagedLookasideList") };
}

/// `ExAllocateFromNPagedLookasideList`: takes the entry that was freed last, or has the list's routine allocate one.
///
/// Null if that has none. IRQL <= `DISPATCH_LEVEL`. Exported since Windows 11, version 22H2.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list.
pub unsafe extern "win64" fn ExAllocateFromNPagedLookasideList(
    Lookaside: PNPAGED_LOOKASIDE_LIST,
) -> PVOID {
    const NAME: &str = "ExAllocateFromNPagedLookasideList";
    verifier::thread_at_most(DISPATCH, NAME);
    // SAFETY: This function has the same contract.
    unsafe { allocate(Lookaside, NAME) }
}

/// `ExFreeToNPagedLookasideList`: puts an entry on a list, or has the list's routine free it if the list is full.
/// IRQL <= `DISPATCH_LEVEL`. Exported since Windows 11, version 22H2.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list, `Entry` to an entry of it that nobody uses any more.
pub unsafe extern "win64" fn ExFreeToNPagedLookasideList(
    Lookaside: PNPAGED_LOOKASIDE_LIST,
    Entry: PVOID,
) {
    const NAME: &str = "ExFreeToNPagedLookasideList";
    verifier::thread_at_most(DISPATCH, NAME);
    // SAFETY: This function has the same contract.
    unsafe { free(Lookaside, Entry, NAME) };
}

/// `ExAllocateFromPagedLookasideList`: takes the entry that was freed last, or has the list's routine allocate one.
///
/// Null if that has none. IRQL <= `APC_LEVEL`. Exported since Windows 11, version 22H2.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list.
pub unsafe extern "win64" fn ExAllocateFromPagedLookasideList(
    Lookaside: PPAGED_LOOKASIDE_LIST,
) -> PVOID {
    const NAME: &str = "ExAllocateFromPagedLookasideList";
    apc_level(NAME);
    // SAFETY: This function has the same contract.
    unsafe { allocate(Lookaside, NAME) }
}

/// `ExFreeToPagedLookasideList`: puts an entry on a list, or has the list's routine free it if the list is full.
/// IRQL <= `APC_LEVEL`. Exported since Windows 11, version 22H2.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list, `Entry` to an entry of it that nobody uses any more.
pub unsafe extern "win64" fn ExFreeToPagedLookasideList(
    Lookaside: PPAGED_LOOKASIDE_LIST,
    Entry: PVOID,
) {
    const NAME: &str = "ExFreeToPagedLookasideList";
    apc_level(NAME);
    // SAFETY: This function has the same contract.
    unsafe { free(Lookaside, Entry, NAME) };
}
