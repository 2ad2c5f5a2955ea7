//! Lookaside lists: what they keep, by which routines entries come and go, and what is refused.
#![cfg(not(windows))]

mod support;

use core::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use nthost::{
    ntddk::{_POOL_TYPE::*, *},
    testing::expect_bug_check,
};
use support::*;

const SIZE: SIZE_T = 0x40;
const TAG: ULONG = u32::from_le_bytes(*b"look");

fn ex() -> Object<LOOKASIDE_LIST_EX> {
    let list = aligned();
    let status = nt!(ExInitializeLookasideListEx(
        list.get(),
        None,
        None,
        NonPagedPoolNx,
        0,
        SIZE,
        TAG,
        0
    ));
    assert_eq!(status, STATUS_SUCCESS);
    list
}

fn aligned<T: Default>() -> Object<T> {
    assert!(align_of::<T>() >= 16, "lists begin with an SLIST_HEADER");
    Object::default()
}

#[test]
fn a_freed_entry_is_the_next_that_is_allocated() {
    let list = ex();
    let first = nt!(ExAllocateFromLookasideListEx(list.get()));
    let second = nt!(ExAllocateFromLookasideListEx(list.get()));
    assert!(!first.is_null() && first != second);
    nt!(ExFreeToLookasideListEx(list.get(), first));
    nt!(ExFreeToLookasideListEx(list.get(), second));
    assert_eq!(nt!(ExAllocateFromLookasideListEx(list.get())), second);
    assert_eq!(nt!(ExAllocateFromLookasideListEx(list.get())), first);
    let general = list.read().L;
    assert_eq!((general.TotalAllocates, general.AllocateMisses), (4, 2));
    assert_eq!((general.TotalFrees, general.FreeMisses), (2, 0));
    nt!(ExFreeToLookasideListEx(list.get(), first));
    nt!(ExFreeToLookasideListEx(list.get(), second));
    nt!(ExDeleteLookasideListEx(list.get()));
}

#[test]
fn a_full_list_frees_what_it_is_given_and_a_flushed_one_is_empty() {
    let list = ex();
    let depth = usize::from(list.read().L.Depth);
    let entries: Vec<PVOID> = (0..depth + 2)
        .map(|_| nt!(ExAllocateFromLookasideListEx(list.get())))
        .collect();
    for entry in entries {
        nt!(ExFreeToLookasideListEx(list.get(), entry));
    }
    assert_eq!(list.read().L.FreeMisses, 2);
    assert_eq!(
        usize::from(nt!(ExQueryDepthSList(list.get().cast()))),
        depth
    );
    nt!(ExFlushLookasideListEx(list.get()));
    assert_eq!(nt!(ExQueryDepthSList(list.get().cast())), 0);
    nt!(ExDeleteLookasideListEx(list.get()));
}

/// A list with a count of its entries behind it, as the page of `ExInitializeLookasideListEx` shows it.
#[derive(Default)]
#[repr(C)]
struct Counted {
    list: LOOKASIDE_LIST_EX,
    entries: AtomicUsize,
}

unsafe extern "win64" fn allocate(
    pool: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    list: PLOOKASIDE_LIST_EX,
) -> PVOID {
    // SAFETY: The routine is that of `Counted` lists alone.
    unsafe { &(*list.cast::<Counted>()).entries }.fetch_add(1, Relaxed);
    nt!(ExAllocatePoolWithTag(pool, size, tag))
}

unsafe extern "win64" fn free(entry: PVOID, list: PLOOKASIDE_LIST_EX) {
    // SAFETY: As above.
    unsafe { &(*list.cast::<Counted>()).entries }.fetch_sub(1, Relaxed);
    nt!(ExFreePool(entry));
}

#[test]
fn a_drivers_routines_are_given_the_list() {
    let counted: Object<Counted> = aligned();
    let list: PLOOKASIDE_LIST_EX = counted.get().cast();
    // SAFETY: The object is there to the end of the test.
    let entries = unsafe { &(*counted.get()).entries };
    let status = nt!(ExInitializeLookasideListEx(
        list,
        Some(allocate),
        Some(free),
        PagedPool,
        EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL,
        SIZE,
        TAG,
        0
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let entry = nt!(ExAllocateFromLookasideListEx(list));
    assert_eq!(entries.load(Relaxed), 1);
    nt!(ExFreeToLookasideListEx(list, entry));
    assert_eq!(entries.load(Relaxed), 1, "the list keeps it");
    nt!(ExDeleteLookasideListEx(list));
    assert_eq!(entries.load(Relaxed), 0);
}

#[test]
fn arguments_that_are_refused() {
    let list: Object<LOOKASIDE_LIST_EX> = aligned();
    let initialize = |pool, flags| {
        nt!(ExInitializeLookasideListEx(
            list.get(),
            None,
            None,
            pool,
            flags,
            SIZE,
            TAG,
            0
        ))
    };
    assert_eq!(initialize(0x7777, 0), STATUS_INVALID_PARAMETER_4);
    assert_eq!(initialize(NonPagedPool, 3), STATUS_INVALID_PARAMETER_5);
}

/// `ExAllocateFromNPagedLookasideList`, an inline function of the WDK's headers.
fn allocate_inline(list: &Object<NPAGED_LOOKASIDE_LIST>) -> PVOID {
    let entry = nt!(ExpInterlockedPopEntrySList(list.get().cast()));
    if !entry.is_null() {
        return entry.cast();
    }
    let general = list.read().L;
    // SAFETY: The list holds a routine of this type.
    let routine: PALLOCATE_FUNCTION = unsafe { core::mem::transmute(general.Allocate) };
    let routine = routine.expect("a list has a routine");
    // SAFETY: It is that of pool.
    unsafe { routine(general.Type, general.Size.into(), general.Tag) }
}

#[test]
fn the_inline_functions_find_pools_routines() {
    let list: Object<NPAGED_LOOKASIDE_LIST> = aligned();
    nt!(ExInitializeNPagedLookasideList(
        list.get(),
        None,
        None,
        0x200,
        SIZE,
        TAG,
        0
    ));
    assert_eq!(list.read().L.Type, NonPagedPoolNx);
    let entry = allocate_inline(&list);
    assert!(!entry.is_null());
    nt!(ExpInterlockedPushEntrySList(
        list.get().cast(),
        entry.cast()
    ));
    assert_eq!(allocate_inline(&list), entry);
    nt!(ExpInterlockedPushEntrySList(
        list.get().cast(),
        entry.cast()
    ));
    nt!(ExDeleteNPagedLookasideList(list.get()));
    assert_eq!(nt!(ExQueryDepthSList(list.get().cast())), 0);
}

#[test]
fn a_paged_list_is_of_paged_pool() {
    let list: Object<PAGED_LOOKASIDE_LIST> = aligned();
    nt!(ExInitializePagedLookasideList(
        list.get(),
        None,
        None,
        0,
        SIZE,
        TAG,
        0
    ));
    assert_eq!(list.read().L.Type, PagedPool);
    nt!(ExDeletePagedLookasideList(list.get()));
    assert_ne!(list.read().L.Free, ptr::null_mut());
}

#[test]
fn the_functions_that_were_inline_once_do_what_those_did() {
    let list: Object<NPAGED_LOOKASIDE_LIST> = aligned();
    let (pool, flags) = (list.get(), 0x200);
    nt!(ExInitializeNPagedLookasideList(
        pool, None, None, flags, SIZE, TAG, 0
    ));
    let entries: Vec<_> = (0..6)
        .map(|_| nt!(ExAllocateFromNPagedLookasideList(pool)))
        .collect();
    for entry in &entries {
        nt!(ExFreeToNPagedLookasideList(pool, *entry));
    }
    let general = list.read().L;
    assert_eq!((general.TotalAllocates, general.AllocateMisses), (6, 6));
    let kept = u32::from(general.Depth);
    assert_eq!((general.TotalFrees, general.FreeMisses), (6, 6 - kept));
    let last_kept = entries[usize::from(general.Depth) - 1];
    assert_eq!(nt!(ExAllocateFromNPagedLookasideList(pool)), last_kept);
    nt!(ExFreeToNPagedLookasideList(pool, last_kept));
    nt!(ExDeleteNPagedLookasideList(pool));

    let list: Object<PAGED_LOOKASIDE_LIST> = aligned();
    let pool = list.get();
    nt!(ExInitializePagedLookasideList(
        pool, None, None, 0, SIZE, TAG, 0
    ));
    let entry = nt!(ExAllocateFromPagedLookasideList(pool));
    nt!(ExFreeToPagedLookasideList(pool, entry));
    assert_eq!(nt!(ExAllocateFromPagedLookasideList(pool)), entry);
    nt!(ExFreeToPagedLookasideList(pool, entry));
    nt!(ExDeletePagedLookasideList(pool));
}

/// A list in pool, which must outlive it.
fn in_pool(flags: POOL_FLAGS, size: SIZE_T) -> PLOOKASIDE_LIST_EX {
    let list = nt!(ExAllocatePool2(flags, 0x60, TAG)).cast();
    initialize(list, size);
    list
}

fn initialize(list: PLOOKASIDE_LIST_EX, size: SIZE_T) {
    let pool = PagedPool;
    let status = nt!(ExInitializeLookasideListEx(
        list, None, None, pool, 0, size, TAG, 0
    ));
    assert_eq!(status, STATUS_SUCCESS);
}

#[test]
fn a_list_that_is_deleted_may_be_initialised_again_and_its_memory_be_freed() {
    let list = in_pool(POOL_FLAG_NON_PAGED, SIZE);
    nt!(ExDeleteLookasideListEx(list));
    initialize(list, SIZE);
    nt!(ExDeleteLookasideListEx(list));
    nt!(ExFreePool(list.cast()));
}

#[test]
fn initialising_one_twice() {
    let report = expect_bug_check(|| initialize(in_pool(POOL_FLAG_NON_PAGED, SIZE), SIZE));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xCA));
}

#[test]
fn deleting_what_is_no_list() {
    let report = expect_bug_check(|| {
        let list = in_pool(POOL_FLAG_NON_PAGED, SIZE);
        nt!(ExDeleteLookasideListEx(list));
        nt!(ExDeleteLookasideListEx(list));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xCB));
    let report = expect_bug_check(|| {
        let list: Object<NPAGED_LOOKASIDE_LIST> = aligned();
        nt!(ExDeleteNPagedLookasideList(list.get()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xCB));
}

#[test]
fn freeing_the_memory_of_one() {
    let report = expect_bug_check(|| {
        let list = in_pool(POOL_FLAG_NON_PAGED, SIZE);
        nt!(ExFreePool(list.cast()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xCC));
    assert_eq!(
        report.parameters[1..],
        [report.parameters[2], report.parameters[2], 0x60]
    );
}

#[test]
fn entries_without_room_for_a_link() {
    let report = expect_bug_check(|| {
        in_pool(POOL_FLAG_NON_PAGED, 4);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xCD));
    assert_eq!(report.parameters[2..], [4, 8]);
}

#[test]
fn a_list_in_pageable_memory() {
    let report = expect_bug_check(|| {
        in_pool(POOL_FLAG_PAGED, SIZE);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xE1));
}
