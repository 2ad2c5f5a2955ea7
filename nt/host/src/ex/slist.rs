//! Sequenced singly linked lists: `SLIST_HEADER`.
//!
//! On Windows these functions exchange the 16 bytes of the header at once, and the sequence in it keeps one
//! thread from taking an entry that others have taken out and put back meanwhile. Here a lock of the host does,
//! which is held for a few instructions, so that no function reads an entry that is the driver's again.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed},
};

use nt_abi::{
    PSLIST_ENTRY, PSLIST_HEADER, SLIST_ENTRY, SLIST_HEADER, STATUS_DATATYPE_MISALIGNMENT, USHORT,
};
use parking_lot::{Mutex, MutexGuard};

use super::exception;
use crate::{export::exports, initialized, irql::DISPATCH, thread, verifier};

exports!("ntoskrnl.exe";
    ExQueryDepthSList, ExpInterlockedFlushSList, ExpInterlockedPopEntrySList,
    ExpInterlockedPushEntrySList, FirstEntrySList, InitializeSListHead,
);

/// A [`SLIST_HEADER`] with atomic fields.
#[repr(C, align(16))]
struct List {
    /// The depth in the low 16 bits, a sequence above.
    depth_and_sequence: AtomicU64,
    first: AtomicPtr<Entry>,
}

/// A [`SLIST_ENTRY`] with an atomic link.
#[repr(C, align(16))]
struct Entry {
    next: AtomicPtr<Self>,
}

const _: () = {
    assert!(size_of::<List>() == size_of::<SLIST_HEADER>());
    assert!(offset_of!(List, first) == offset_of!(SLIST_HEADER, Region));
    assert!(size_of::<Entry>() == size_of::<SLIST_ENTRY>());
};

/// One sequence number.
const SEQUENCE: u64 = 1 << 16;
/// The bits of the depth.
const DEPTH: u64 = SEQUENCE - 1;

/// As many as the bits of an address that choose one.
const SHARDS: usize = 16;

static LOCKS: [Mutex<()>; SHARDS] = [const { Mutex::new(()) }; SHARDS];

impl List {
    /// The list at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `list` must point to a list head that stays where it is.
    unsafe fn at<'a>(list: PSLIST_HEADER, function: &'static str) -> &'a Self {
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { verifier::object(list.cast(), function) }
    }

    fn lock(&self) -> MutexGuard<'static, ()> {
        LOCKS[(ptr::from_ref(self) as usize >> 4) % SHARDS].lock()
    }

    fn depth(&self) -> u64 {
        self.depth_and_sequence.load(Relaxed) & DEPTH
    }

    /// Records a depth, and that the list was changed.
    fn set_depth(&self, depth: u64) {
        let sequence = self.depth_and_sequence.load(Relaxed) & !DEPTH;
        self.depth_and_sequence
            .store(sequence.wrapping_add(SEQUENCE) | depth & DEPTH, Relaxed);
    }

    fn push(&self, entry: &Entry) -> *mut Entry {
        let _lock = self.lock();
        let first = self.first.load(Relaxed);
        entry.next.store(first, Relaxed);
        self.first.store(ptr::from_ref(entry).cast_mut(), Relaxed);
        self.set_depth(self.depth() + 1);
        first
    }

    fn pop(&self) -> *mut Entry {
        let _lock = self.lock();
        let first = self.first.load(Relaxed);
        // SAFETY: What is on the list is resident, and nobody takes it off while the lock is held.
        let Some(entry) = (unsafe { first.as_ref() }) else {
            return first;
        };
        self.first.store(entry.next.load(Relaxed), Relaxed);
        self.set_depth(self.depth().wrapping_sub(1));
        first
    }

    fn flush(&self) -> *mut Entry {
        let _lock = self.lock();
        self.set_depth(0);
        self.first.swap(ptr::null_mut(), Relaxed)
    }
}

/// `InitializeSListHead`, also known as `ExInitializeSListHead`: makes an empty list. Any IRQL.
///
/// A head that is not aligned to 16 bytes gets the exception `STATUS_DATATYPE_MISALIGNMENT`, which nobody
/// handles: bug check 0x1E.
///
/// # Safety
///
/// `SListHead` must point to resident memory for a list head that nobody uses.
pub unsafe extern "win64" fn InitializeSListHead(SListHead: PSLIST_HEADER) {
    const NAME: &str = "InitializeSListHead";
    thread::current();
    if !SListHead.is_aligned() {
        exception::raise(STATUS_DATATYPE_MISALIGNMENT, NAME);
    }
    // SAFETY: This function has the same contract.
    let list = unsafe { List::at(SListHead, NAME) };
    list.depth_and_sequence.store(0, Relaxed);
    list.first.store(ptr::null_mut(), Relaxed);
}

/// `ExpInterlockedPushEntrySList`, behind `ExInterlockedPushEntrySList`: puts an entry first, and returns the
/// entry that was first before, or null. Any IRQL.
///
/// An entry that is not aligned to 16 bytes is bug check 0xC4 (0xE1).
///
/// # Safety
///
/// `ListHead` must point to an initialised list, `ListEntry` to an entry that is on no list and stays where it
/// is while it is on this one.
pub unsafe extern "win64" fn ExpInterlockedPushEntrySList(
    ListHead: PSLIST_HEADER,
    ListEntry: PSLIST_ENTRY,
) -> PSLIST_ENTRY {
    const NAME: &str = "ExpInterlockedPushEntrySList";
    thread::current();
    // SAFETY: This function has the same contract.
    let list = unsafe { List::at(ListHead, NAME) };
    // SAFETY: The caller vouches for the memory, whose one field is accessed atomically.
    let entry: &Entry = unsafe { verifier::object(ListEntry.cast(), NAME) };
    initialized::forget_block(ListEntry as u64);
    list.push(entry).cast()
}

/// `ExpInterlockedPopEntrySList`, behind `ExInterlockedPopEntrySList`: takes the first entry off and returns
/// it, or null. Any IRQL.
///
/// # Safety
///
/// `ListHead` must point to an initialised list.
pub unsafe extern "win64" fn ExpInterlockedPopEntrySList(ListHead: PSLIST_HEADER) -> PSLIST_ENTRY {
    thread::current();
    // SAFETY: This function has the same contract.
    unsafe { List::at(ListHead, "ExpInterlockedPopEntrySList") }
        .pop()
        .cast()
}

/// `ExpInterlockedFlushSList`, behind `ExInterlockedFlushSList`: takes all entries off, and returns the first,
/// from which the others are linked, or null. Any IRQL.
///
/// # Safety
///
/// `ListHead` must point to an initialised list.
pub unsafe extern "win64" fn ExpInterlockedFlushSList(ListHead: PSLIST_HEADER) -> PSLIST_ENTRY {
    thread::current();
    // SAFETY: This function has the same contract.
    unsafe { List::at(ListHead, "ExpInterlockedFlushSList") }
        .flush()
        .cast()
}

/// `ExQueryDepthSList`: how many entries the list has, of which only 16 bits are kept. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `SListHead` must point to an initialised list.
pub unsafe extern "win64" fn ExQueryDepthSList(SListHead: PSLIST_HEADER) -> USHORT {
    verifier::thread_at_most(DISPATCH, "ExQueryDepthSList");
    // SAFETY: This function has the same contract.
    let depth = unsafe { List::at(SListHead, "ExQueryDepthSList") }.depth();
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves 16 bits")]
    let depth = depth as USHORT;
    depth
}

/// `FirstEntrySList`: the first entry, or null, which may be another one a moment later. Any IRQL.
///
/// # Safety
///
/// `SListHead` must point to an initialised list.
pub unsafe extern "win64" fn FirstEntrySList(SListHead: *const SLIST_HEADER) -> PSLIST_ENTRY {
    thread::current();
    // SAFETY: This function has the same contract.
    unsafe { List::at(SListHead.cast_mut(), "FirstEntrySList") }
        .first
        .load(Relaxed)
        .cast()
}
