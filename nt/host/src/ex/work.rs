//! Executive work items: `WORK_QUEUE_ITEM`.

use core::{
    mem::offset_of,
    ops::Range,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};
use std::collections::BTreeSet;

use nt_abi::{
    _WORK_QUEUE_TYPE::{CriticalWorkQueue, CustomPriorityWorkQueue, MaximumWorkQueue},
    PVOID, PWORK_QUEUE_ITEM, WORK_QUEUE_ITEM, WORK_QUEUE_TYPE,
    bugcheck::WORKER_INVALID,
};
use parking_lot::Mutex;

use super::worker;
use crate::{
    address, bugcheck, export::exports, irql::DISPATCH, list::ListEntry, mm::pageable, verifier,
};

exports!("ntoskrnl.exe"; ExQueueWorkItem);

/// A [`WORK_QUEUE_ITEM`] with atomic fields.
#[repr(C)]
struct Item {
    /// The links are not null while the item is queued, as on Windows.
    list: ListEntry,
    routine: AtomicPtr<core::ffi::c_void>,
    parameter: AtomicPtr<core::ffi::c_void>,
}

const _: () = {
    assert!(size_of::<Item>() == size_of::<WORK_QUEUE_ITEM>());
    assert!(offset_of!(Item, parameter) == offset_of!(WORK_QUEUE_ITEM, Parameter));
};

impl Item {
    /// The item at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `item` must point to memory for a work item that stays where it is.
    unsafe fn at<'a>(item: PWORK_QUEUE_ITEM) -> &'a Self {
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { verifier::object(item.cast(), "ExQueueWorkItem") }
    }
}

/// The items that are queued, by address.
static QUEUED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// The first item in a range of memory that is queued.
pub fn queued_in(range: &Range<u64>) -> Option<u64> {
    QUEUED.lock().range(range.clone()).next().copied()
}

/// Whether a driver may name this queue: one of the documented ones, or one of a priority of its own.
pub const fn is_queue(queue: WORK_QUEUE_TYPE) -> bool {
    matches!(
        queue,
        CriticalWorkQueue..MaximumWorkQueue | CustomPriorityWorkQueue..=LAST_CUSTOM
    )
}

/// The highest priority that a custom queue can have, 31, as a queue.
const LAST_CUSTOM: WORK_QUEUE_TYPE = CustomPriorityWorkQueue + 31;

/// Bug check 0xE4 for a work item.
#[cold]
pub fn invalid(position: u64, item: u64, third: u64, function: &'static str, sentence: &str) -> ! {
    bugcheck::raise(
        WORKER_INVALID,
        [position, item, third, 0],
        function,
        sentence,
    )
}

/// What a queue and a routine must be for an item to be queued: bug check 0xE4 (6, 7).
pub fn check(item: u64, queue: WORK_QUEUE_TYPE, routine: usize, function: &'static str) {
    let number = u64::from(queue.cast_unsigned());
    if !is_queue(queue) {
        invalid(6, item, number, function, "There is no such work queue.");
    }
    if routine == 0 {
        invalid(7, item, number, function, "The work item has no routine.");
    }
}

/// `ExQueueWorkItem`: has a worker thread run the routine of a work item. IRQL <= `DISPATCH_LEVEL`.
///
/// Bug check 0xE4 for an item that is queued already (1), a queue that there is not (6), and an item without a
/// routine (7); 0xC4 (0x131) for one in pageable memory. The routine may free the item, and queue it again; until it
/// runs, freeing the item's memory is bug check 0xE4 (0). Queues of all kinds are served by the same threads.
///
/// # Safety
///
/// `WorkItem` must point to a work item, initialised by its fields, that stays where it is until its routine
/// runs.
pub unsafe extern "win64" fn ExQueueWorkItem(
    WorkItem: PWORK_QUEUE_ITEM,
    QueueType: WORK_QUEUE_TYPE,
) {
    const NAME: &str = "ExQueueWorkItem";
    verifier::thread_at_most(DISPATCH, NAME);
    let address = WorkItem as u64;
    if pageable::is_unlocked(address::to_usize(address)) {
        let sentence =
            "The work item is in pageable memory, and the kernel uses it at DISPATCH_LEVEL.";
        verifier::violation(0x131, [address, 0, 0], NAME, sentence);
    }
    // SAFETY: This function has the same contract.
    let item = unsafe { Item::at(WorkItem) };
    let routine = item.routine.load(Relaxed) as u64;
    check(address, QueueType, address::to_usize(routine), NAME);
    if !item.list.next().is_null() {
        let queue = u64::from(QueueType.cast_unsigned());
        invalid(1, address, queue, NAME, "The work item is queued already.");
    }
    item.list.initialize();
    QUEUED.lock().insert(address);
    let parameter = item.parameter.load(Relaxed) as u64;
    worker::queue(address::to_usize(routine), move || {
        QUEUED.lock().remove(&address);
        // SAFETY: The driver keeps the item until its routine runs.
        let item = unsafe { Item::at(address::pointer(address)) };
        item.list.unlink();
        // SAFETY: It is the item's routine, which is of this type.
        let routine = unsafe {
            core::mem::transmute::<PVOID, unsafe extern "win64" fn(PVOID)>(address::pointer(
                routine,
            ))
        };
        // SAFETY: The driver vouches for routine and parameter.
        unsafe { routine(address::pointer(parameter)) };
    });
}
