//! Executive work items: `WORK_QUEUE_ITEM`.

use core::{
    mem::offset_of,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

use nt_abi::{PVOID, PWORK_QUEUE_ITEM, WORK_QUEUE_ITEM, WORK_QUEUE_TYPE, bugcheck::WORKER_INVALID};

use super::worker;
use crate::{address, bugcheck, export::exports, irql::DISPATCH, list::ListEntry, verifier};

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

/// `ExQueueWorkItem`: has a worker thread run the routine of a work item. IRQL <= `DISPATCH_LEVEL`.
///
/// An item that is queued, or has no routine, is bug check 0xE4. The routine may free the item.
///
/// # Safety
///
/// `WorkItem` must point to a work item, initialised by its fields, that stays where it is until its routine
/// runs.
pub unsafe extern "win64" fn ExQueueWorkItem(
    WorkItem: PWORK_QUEUE_ITEM,
    _QueueType: WORK_QUEUE_TYPE,
) {
    verifier::thread_at_most(DISPATCH, "ExQueueWorkItem");
    // SAFETY: This function has the same contract.
    let item = unsafe { Item::at(WorkItem) };
    let routine = item.routine.load(Relaxed);
    if !item.list.next().is_null() || routine.is_null() {
        bugcheck::raise(
            WORKER_INVALID,
            [1, WorkItem as u64, 0, 0],
            "ExQueueWorkItem",
            "The work item is queued already, or is none.",
        );
    }
    item.list.initialize();
    let (address, parameter) = (WorkItem as u64, item.parameter.load(Relaxed) as u64);
    let routine = routine as u64;
    worker::queue(address::to_usize(routine), move || {
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
