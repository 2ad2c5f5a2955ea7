//! Lookaside lists: blocks of one size that are kept when they are freed.
//!
//! `ExAllocateFromNPagedLookasideList` and its sister are inline functions of the WDK's headers on x64; they
//! push to and pop from the list that these functions set up, and call the two routines in it. The functions
//! of `LOOKASIDE_LIST_EX` are exported since Windows 11, version 22H2.

use core::{
    ffi::c_void,
    mem::offset_of,
    sync::atomic::{AtomicI32, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use nt_abi::{
    _POOL_TYPE::{NonPagedPool, NonPagedPoolNx, PagedPool},
    EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE, EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL,
    GENERAL_LOOKASIDE_POOL, NTSTATUS, PALLOCATE_FUNCTION, PALLOCATE_FUNCTION_EX, PFREE_FUNCTION,
    PFREE_FUNCTION_EX, PLOOKASIDE_LIST_EX, PNPAGED_LOOKASIDE_LIST,
    POOL_QUOTA_FAIL_INSTEAD_OF_RAISE, POOL_RAISE_IF_ALLOCATION_FAILURE, POOL_TYPE,
    PPAGED_LOOKASIDE_LIST, PSLIST_HEADER, PVOID, SIZE_T, STATUS_INVALID_PARAMETER_4,
    STATUS_INVALID_PARAMETER_5, STATUS_SUCCESS, ULONG, USHORT,
};

use super::{
    pool::{ExAllocatePoolWithTag, ExFreePool},
    slist::{ExQueryDepthSList, ExpInterlockedPopEntrySList, ExpInterlockedPushEntrySList},
};
use crate::{
    export::exports,
    irql::{APC, DISPATCH},
    list::ListEntry,
    thread, verifier,
};

exports!("ntoskrnl.exe";
    ExAllocateFromLookasideListEx, ExDeleteLookasideListEx, ExDeleteNPagedLookasideList,
    ExDeletePagedLookasideList, ExFlushLookasideListEx, ExFreeToLookasideListEx,
    ExInitializeLookasideListEx, ExInitializeNPagedLookasideList, ExInitializePagedLookasideList,
);

/// How many entries a list keeps. Windows adjusts it to the demand, up to `MaximumDepth`; here it stays.
const DEPTH: USHORT = 4;
/// The most that a list may be made to keep.
const MAXIMUM_DEPTH: USHORT = 256;

/// What a list is of, and by which routines its entries come and go.
struct Kind {
    pool: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    allocate: PVOID,
    free: PVOID,
}

/// A [`GENERAL_LOOKASIDE_POOL`] with atomic fields, as far as they change or are read here.
#[repr(C, align(16))]
struct Lookaside {
    head: [AtomicU64; 2],
    depth: AtomicU16,
    maximum_depth: AtomicU16,
    total_allocates: AtomicU32,
    allocate_misses: AtomicU32,
    total_frees: AtomicU32,
    free_misses: AtomicU32,
    pool: AtomicI32,
    tag: AtomicU32,
    size: AtomicU32,
    allocate: AtomicPtr<c_void>,
    free: AtomicPtr<c_void>,
    links: ListEntry,
    last: [AtomicU32; 4],
}

const _: () = {
    assert!(size_of::<Lookaside>() == size_of::<GENERAL_LOOKASIDE_POOL>());
    assert!(offset_of!(Lookaside, free_misses) == offset_of!(GENERAL_LOOKASIDE_POOL, FreeMisses));
    assert!(offset_of!(Lookaside, free) == offset_of!(GENERAL_LOOKASIDE_POOL, Free));
    assert!(offset_of!(Lookaside, links) == offset_of!(GENERAL_LOOKASIDE_POOL, ListEntry));
};

impl Lookaside {
    /// The list at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `list` must point to memory for a list that stays where it is.
    unsafe fn at<'a, T>(list: *mut T, function: &'static str) -> &'a Self {
        thread::current();
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { verifier::object(list.cast(), function) }
    }

    /// Makes this a list without an entry.
    fn initialize(&self, kind: &Kind) {
        for word in &self.head {
            word.store(0, Relaxed);
        }
        self.depth.store(DEPTH, Relaxed);
        self.maximum_depth.store(MAXIMUM_DEPTH, Relaxed);
        let counters = [
            &self.total_allocates,
            &self.allocate_misses,
            &self.total_frees,
            &self.free_misses,
        ];
        for counter in counters.into_iter().chain(&self.last) {
            counter.store(0, Relaxed);
        }
        self.pool.store(kind.pool, Relaxed);
        self.tag.store(kind.tag, Relaxed);
        // There is no block of a size that does not fit.
        let size = u32::try_from(kind.size).unwrap_or(u32::MAX);
        self.size.store(size, Relaxed);
        self.allocate.store(kind.allocate, Relaxed);
        self.free.store(kind.free, Relaxed);
        self.links.initialize();
    }

    const fn head(&self) -> PSLIST_HEADER {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    fn pop(&self) -> Option<PVOID> {
        // SAFETY: The head was initialised with the list.
        let entry = unsafe { ExpInterlockedPopEntrySList(self.head()) };
        (!entry.is_null()).then_some(entry.cast())
    }

    /// Keeps an entry, unless the list is full.
    fn push(&self, entry: PVOID) -> bool {
        // SAFETY: The head was initialised with the list.
        let depth = unsafe { ExQueryDepthSList(self.head()) };
        let room = depth < self.depth.load(Relaxed);
        if room {
            // SAFETY: As above; the entry is the list's now.
            unsafe { ExpInterlockedPushEntrySList(self.head(), entry.cast()) };
        }
        room
    }
}

/// Frees the entries of a list whose routine is a `PFREE_FUNCTION`.
///
/// # Safety
///
/// `list` must point to such a list that is initialised.
unsafe fn delete<T>(list: *mut T, function: &'static str) {
    // SAFETY: The caller vouches for the list.
    let list = unsafe { Lookaside::at(list, function) };
    let routine = list.free.load(Relaxed);
    // SAFETY: The driver's routine, or that of pool, is of this type.
    let Some(free) = (unsafe { core::mem::transmute::<PVOID, PFREE_FUNCTION>(routine) }) else {
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
/// `Flags` may ask for an exception when there is no memory (`POOL_RAISE_IF_ALLOCATION_FAILURE`) and for memory
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
    unsafe { self::Lookaside::at(Lookaside, "ExInitializeNPagedLookasideList") }.initialize(&kind);
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
    verifier::thread_at_most(APC, "ExInitializePagedLookasideList");
    let (allocate, free) = routines(Allocate, Free);
    let kind = Kind {
        pool: PagedPool | Flags.cast_signed(),
        size: Size,
        tag: Tag,
        allocate,
        free,
    };
    // SAFETY: This function has the same contract.
    unsafe { self::Lookaside::at(Lookaside, "ExInitializePagedLookasideList") }.initialize(&kind);
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
    verifier::thread_at_most(APC, "ExDeletePagedLookasideList");
    // SAFETY: This function has the same contract.
    unsafe { delete(Lookaside, "ExDeletePagedLookasideList") };
}

/// The routine of a `LOOKASIDE_LIST_EX` without one of its own.
unsafe extern "win64" fn allocate_from_pool(
    kind: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    _list: PLOOKASIDE_LIST_EX,
) -> PVOID {
    // SAFETY: Asking for pool has no preconditions.
    unsafe { ExAllocatePoolWithTag(kind, size, tag) }
}

/// As [`allocate_from_pool`].
unsafe extern "win64" fn free_to_pool(block: PVOID, _list: PLOOKASIDE_LIST_EX) {
    // SAFETY: The block was allocated by `allocate_from_pool`, and its user has given it back.
    unsafe { ExFreePool(block) };
}

/// `ExInitializeLookasideListEx`: sets up a list whose routines are told of it. IRQL <= `DISPATCH_LEVEL`.
///
/// Returns `STATUS_INVALID_PARAMETER_4` if `PoolType` is no kind of pool, and `STATUS_INVALID_PARAMETER_5` if
/// `Flags` is neither 0 nor one of the two flags.
///
/// # Safety
///
/// As for [`ExInitializeNPagedLookasideList`].
pub unsafe extern "win64" fn ExInitializeLookasideListEx(
    Lookaside: PLOOKASIDE_LIST_EX,
    Allocate: PALLOCATE_FUNCTION_EX,
    Free: PFREE_FUNCTION_EX,
    PoolType: POOL_TYPE,
    Flags: ULONG,
    Size: SIZE_T,
    Tag: ULONG,
    _Depth: USHORT,
) -> NTSTATUS {
    verifier::thread_at_most(DISPATCH, "ExInitializeLookasideListEx");
    if ![NonPagedPool, PagedPool, NonPagedPoolNx].contains(&PoolType) {
        return STATUS_INVALID_PARAMETER_4;
    }
    let more = match Flags {
        0 => 0,
        EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL => POOL_RAISE_IF_ALLOCATION_FAILURE,
        EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE => POOL_QUOTA_FAIL_INSTEAD_OF_RAISE,
        _ => return STATUS_INVALID_PARAMETER_5,
    };
    let kind = Kind {
        pool: PoolType | more,
        size: Size,
        tag: Tag,
        allocate: Allocate.unwrap_or(allocate_from_pool) as PVOID,
        free: Free.unwrap_or(free_to_pool) as PVOID,
    };
    // SAFETY: This function has the same contract.
    unsafe { self::Lookaside::at(Lookaside, "ExInitializeLookasideListEx") }.initialize(&kind);
    STATUS_SUCCESS
}

/// `ExAllocateFromLookasideListEx`: takes the entry that was freed last, or allocates one; null if there is no
/// memory. IRQL as for the kind of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list.
pub unsafe extern "win64" fn ExAllocateFromLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) -> PVOID {
    verifier::thread_at_most(DISPATCH, "ExAllocateFromLookasideListEx");
    // SAFETY: This function has the same contract.
    let list = unsafe { self::Lookaside::at(Lookaside, "ExAllocateFromLookasideListEx") };
    list.total_allocates.fetch_add(1, Relaxed);
    if let Some(entry) = list.pop() {
        return entry;
    }
    list.allocate_misses.fetch_add(1, Relaxed);
    let routine = list.allocate.load(Relaxed);
    // SAFETY: `ExInitializeLookasideListEx` stored a routine of this type.
    let allocate = unsafe { core::mem::transmute::<PVOID, PALLOCATE_FUNCTION_EX>(routine) };
    let Some(allocate) = allocate else {
        return core::ptr::null_mut();
    };
    let (pool, tag) = (list.pool.load(Relaxed), list.tag.load(Relaxed));
    let size = SIZE_T::from(list.size.load(Relaxed));
    // SAFETY: The driver vouches for the routine.
    unsafe { allocate(pool, size, tag, Lookaside) }
}

/// `ExFreeToLookasideListEx`: puts an entry on the list, or frees it if the list is full. IRQL as for the kind
/// of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list, `Entry` to an entry of it that nobody uses any more.
pub unsafe extern "win64" fn ExFreeToLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX, Entry: PVOID) {
    verifier::thread_at_most(DISPATCH, "ExFreeToLookasideListEx");
    // SAFETY: This function has the same contract.
    let list = unsafe { self::Lookaside::at(Lookaside, "ExFreeToLookasideListEx") };
    list.total_frees.fetch_add(1, Relaxed);
    if !list.push(Entry) {
        list.free_misses.fetch_add(1, Relaxed);
        // SAFETY: This function has the same contract.
        unsafe { free_entry(list, Lookaside, Entry) };
    }
}

/// Frees an entry by the routine of its list.
///
/// # Safety
///
/// `list` is the view of the list at `address`; for the entry as for [`ExFreeToLookasideListEx`].
unsafe fn free_entry(list: &Lookaside, address: PLOOKASIDE_LIST_EX, entry: PVOID) {
    let routine = list.free.load(Relaxed);
    // SAFETY: `ExInitializeLookasideListEx` stored a routine of this type.
    if let Some(free) = unsafe { core::mem::transmute::<PVOID, PFREE_FUNCTION_EX>(routine) } {
        // SAFETY: The driver vouches for the routine.
        unsafe { free(entry, address) };
    }
}

/// `ExFlushLookasideListEx`: frees the entries that the list keeps. IRQL as for the kind of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list.
pub unsafe extern "win64" fn ExFlushLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    verifier::thread_at_most(DISPATCH, "ExFlushLookasideListEx");
    // SAFETY: This function has the same contract.
    let list = unsafe { self::Lookaside::at(Lookaside, "ExFlushLookasideListEx") };
    while let Some(entry) = list.pop() {
        // SAFETY: The entry was on the list.
        unsafe { free_entry(list, Lookaside, entry) };
    }
}

/// `ExDeleteLookasideListEx`: frees the entries that the list keeps. IRQL as for the kind of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list that nobody uses any more.
pub unsafe extern "win64" fn ExDeleteLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    verifier::thread_at_most(DISPATCH, "ExDeleteLookasideListEx");
    // SAFETY: This function has the same contract.
    unsafe { ExFlushLookasideListEx(Lookaside) };
}
