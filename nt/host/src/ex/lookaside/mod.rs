//! Lookaside lists: blocks of one size that are kept when they are freed.
//!
//! Until Windows 11, version 22H2, most functions that allocate from a list and free to it were inline functions of
//! the WDK's headers, which push to and pop from the list set up here and call the two routines in it; since then they
//! are exported. Both ways work on the same memory.
//!
//! `general` holds the functions of `NPAGED_LOOKASIDE_LIST` and `PAGED_LOOKASIDE_LIST`, `extended` those of
//! `LOOKASIDE_LIST_EX`, `active` which lists there are.

pub mod active;
mod extended;
mod general;

use core::{
    ffi::c_void,
    mem::offset_of,
    sync::atomic::{AtomicI32, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use nt_abi::{
    GENERAL_LOOKASIDE_POOL, POOL_TYPE, PSLIST_HEADER, PVOID, SIZE_T, SLIST_ENTRY, ULONG, USHORT,
};

pub use self::{
    extended::{
        ExAllocateFromLookasideListEx, ExDeleteLookasideListEx, ExFlushLookasideListEx,
        ExFreeToLookasideListEx, ExInitializeLookasideListEx,
    },
    general::{
        ExAllocateFromNPagedLookasideList, ExAllocateFromPagedLookasideList,
        ExDeleteNPagedLookasideList, ExDeletePagedLookasideList, ExFreeToNPagedLookasideList,
        ExFreeToPagedLookasideList, ExInitializeNPagedLookasideList,
        ExInitializePagedLookasideList,
    },
};
use super::slist::{ExQueryDepthSList, ExpInterlockedPopEntrySList, ExpInterlockedPushEntrySList};
use crate::{Rules, export::exports, list::ListEntry, thread, verifier};

exports!("ntoskrnl.exe";
    ExAllocateFromLookasideListEx, ExAllocateFromNPagedLookasideList, ExAllocateFromPagedLookasideList,
    ExDeleteLookasideListEx, ExDeleteNPagedLookasideList, ExDeletePagedLookasideList,
    ExFlushLookasideListEx, ExFreeToLookasideListEx, ExFreeToNPagedLookasideList,
    ExFreeToPagedLookasideList, ExInitializeLookasideListEx, ExInitializeNPagedLookasideList,
    ExInitializePagedLookasideList,
);

/// How many entries a list keeps. Windows adjusts it to the demand, up to `MaximumDepth`; here it stays.
const DEPTH: USHORT = 4;
/// The most that a list may be made to keep.
const MAXIMUM_DEPTH: USHORT = 256;
/// An entry must have room for the link to the next one (`LOOKASIDE_MINIMUM_BLOCK_SIZE`).
const MINIMUM_SIZE: SIZE_T = size_of::<*mut SLIST_ENTRY>() as SIZE_T;

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

    fn address(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }

    /// Makes this a list without an entry.
    ///
    /// A block size without room for a link is bug check 0xC4 (0xCD), pageable memory 0xC4 (0xE1), and a list that is
    /// there already 0xC4 (0xCA).
    fn initialize(&self, kind: &Kind, function: &'static str) {
        verifier::check_resident(self.address(), function);
        if kind.size < MINIMUM_SIZE && verifier::checks(Rules::LOCKS) {
            let sentence = "The entries of the lookaside list have no room for a link.";
            let parameters = [self.address(), kind.size, MINIMUM_SIZE];
            verifier::violation(0xCD, parameters, function, sentence);
        }
        active::note(self.address(), [kind.allocate, kind.free], function);
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

    /// Takes the entry that was freed last for an allocation, and counts that.
    fn take(&self) -> Option<PVOID> {
        self.total_allocates.fetch_add(1, Relaxed);
        let entry = self.pop();
        if entry.is_none() {
            self.allocate_misses.fetch_add(1, Relaxed);
        }
        entry
    }

    /// Keeps an entry that is freed, unless the list is full, and counts that.
    fn keep(&self, entry: PVOID) -> bool {
        self.total_frees.fetch_add(1, Relaxed);
        // SAFETY: The head was initialised with the list.
        let depth = unsafe { ExQueryDepthSList(self.head()) };
        let room = depth < self.depth.load(Relaxed);
        if room {
            // SAFETY: As above; the entry is the list's now.
            unsafe { ExpInterlockedPushEntrySList(self.head(), entry.cast()) };
        } else {
            self.free_misses.fetch_add(1, Relaxed);
        }
        room
    }

    /// What the routine that allocates is told: kind of pool, size and tag.
    fn request(&self) -> (POOL_TYPE, SIZE_T, ULONG) {
        let size = SIZE_T::from(self.size.load(Relaxed));
        (self.pool.load(Relaxed), size, self.tag.load(Relaxed))
    }
}
