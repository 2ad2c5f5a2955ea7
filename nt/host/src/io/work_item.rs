//! I/O work items: a driver's routine, run by a system worker thread.

use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};
use std::collections::BTreeMap;
use std::sync::Arc;

use nt_abi::{
    PDEVICE_OBJECT, PIO_WORKITEM_ROUTINE, PIO_WORKITEM_ROUTINE_EX, PVOID, WORK_QUEUE_TYPE,
    bugcheck::WORKER_INVALID,
};
use parking_lot::Mutex;

use super::{object::DeviceObject, rules::dispatch_level};
use crate::{bugcheck, ex::worker, fault};

/// A work item. Drivers have its address and know nothing of its content.
#[derive(Debug)]
struct WorkItem {
    device: Option<DeviceObject>,
    queued: AtomicBool,
}

static ITEMS: Mutex<BTreeMap<usize, Arc<WorkItem>>> = Mutex::new(BTreeMap::new());

/// The addresses of the work items that were allocated and not freed.
pub fn allocated() -> Vec<usize> {
    ITEMS.lock().keys().copied().collect()
}

fn find(item: PVOID, function: &'static str) -> Arc<WorkItem> {
    let found = ITEMS.lock().get(&item.addr()).cloned();
    let Some(found) = found else {
        invalid(item, function, "The work item is none that is allocated.");
    };
    found
}

#[cold]
fn invalid(item: PVOID, function: &'static str, sentence: &'static str) -> ! {
    bugcheck::raise(WORKER_INVALID, [0, item as u64, 0, 0], function, sentence)
}

/// Allocates a work item for a device; null if there is no memory. `<= DISPATCH_LEVEL`. DDI: `IoAllocateWorkItem`.
///
/// # Safety
///
/// It must be a device of the caller.
pub unsafe extern "win64" fn IoAllocateWorkItem(DeviceObject: PDEVICE_OBJECT) -> PVOID {
    const NAME: &str = "IoAllocateWorkItem";
    dispatch_level(NAME);
    if fault::denies_allocation(NAME) {
        return ptr::null_mut();
    }
    // SAFETY: Valid by the contract of this function.
    let device = unsafe { super::object::DeviceObject::new(DeviceObject) };
    let item = Arc::new(WorkItem {
        device,
        queued: AtomicBool::new(false),
    });
    let address = Arc::as_ptr(&item).expose_provenance();
    ITEMS.lock().insert(address, item);
    ptr::with_exposed_provenance_mut(address)
}

/// Frees a work item. `<= DISPATCH_LEVEL`. DDI: `IoFreeWorkItem`.
///
/// Bug check 0xE4 if it is queued, or none.
///
/// # Safety
///
/// Nobody may use it any more.
pub unsafe extern "win64" fn IoFreeWorkItem(IoWorkItem: PVOID) {
    const NAME: &str = "IoFreeWorkItem";
    dispatch_level(NAME);
    if find(IoWorkItem, NAME).queued.load(Ordering::Acquire) {
        invalid(
            IoWorkItem,
            NAME,
            "The work item is freed while it is queued.",
        );
    }
    ITEMS.lock().remove(&IoWorkItem.addr());
}

/// Marks an item as queued; the device stays until the routine is done.
fn enqueue(item: PVOID, function: &'static str) -> Arc<WorkItem> {
    dispatch_level(function);
    let found = find(item, function);
    if found.queued.swap(true, Ordering::AcqRel) {
        invalid(item, function, "The work item is queued already.");
    }
    if let Some(device) = found.device {
        device.reference();
    }
    found
}

/// Marks an item as taken from its queue: from here on its routine may free it.
fn dequeue(item: &WorkItem) -> PDEVICE_OBJECT {
    item.queued.store(false, Ordering::Release);
    item.device.map_or(ptr::null_mut(), DeviceObject::as_ptr)
}

/// Queues a work item: a system worker thread calls its routine at `PASSIVE_LEVEL`.
/// `<= DISPATCH_LEVEL`. DDI: `IoQueueWorkItem`.
///
/// Bug check 0xE4 if it is queued already, or none.
///
/// # Safety
///
/// The routine must be one that may be called with the context.
pub unsafe extern "win64" fn IoQueueWorkItem(
    IoWorkItem: PVOID,
    WorkerRoutine: PIO_WORKITEM_ROUTINE,
    _QueueType: WORK_QUEUE_TYPE,
    Context: PVOID,
) {
    let item = enqueue(IoWorkItem, "IoQueueWorkItem");
    let context = Context.expose_provenance();
    worker::queue(
        WorkerRoutine.map_or(0, |routine| routine as usize),
        move || {
            let device = dequeue(&item);
            if let Some(routine) = WorkerRoutine {
                // SAFETY: The driver has queued the routine with this context.
                unsafe { routine(device, ptr::with_exposed_provenance_mut(context)) };
            }
            done(&item);
        },
    );
}

/// As [`IoQueueWorkItem`], for a routine that gets the work item too. DDI: `IoQueueWorkItemEx`.
///
/// # Safety
///
/// As for [`IoQueueWorkItem`].
pub unsafe extern "win64" fn IoQueueWorkItemEx(
    IoWorkItem: PVOID,
    WorkerRoutine: PIO_WORKITEM_ROUTINE_EX,
    _QueueType: WORK_QUEUE_TYPE,
    Context: PVOID,
) {
    let item = enqueue(IoWorkItem, "IoQueueWorkItemEx");
    let (address, context) = (IoWorkItem.expose_provenance(), Context.expose_provenance());
    worker::queue(
        WorkerRoutine.map_or(0, |routine| routine as usize),
        move || {
            let device = dequeue(&item);
            if let Some(routine) = WorkerRoutine {
                let context = ptr::with_exposed_provenance_mut(context);
                let item = ptr::with_exposed_provenance_mut(address);
                // SAFETY: The driver has queued the routine with this context.
                unsafe { routine(device.cast(), context, item) };
            }
            done(&item);
        },
    );
}

fn done(item: &WorkItem) {
    if let Some(device) = item.device {
        device.dereference();
    }
}

crate::export::exports! {
    "ntoskrnl.exe"; IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem, IoQueueWorkItemEx
}
