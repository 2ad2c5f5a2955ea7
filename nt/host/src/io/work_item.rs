//! I/O work items: a driver's routine, run by a system worker thread.

use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::collections::BTreeMap;
use std::sync::Arc;

use nt_abi::{
    IO_TYPE_DEVICE, IO_TYPE_DRIVER, PDEVICE_OBJECT, PIO_WORKITEM_ROUTINE, PIO_WORKITEM_ROUTINE_EX,
    PVOID, WORK_QUEUE_TYPE,
};
use parking_lot::Mutex;

use super::{object::DeviceObject, rules::dispatch_level};
use crate::{
    ex::{work, worker},
    fault,
};

/// A work item. Drivers have its address and know nothing of its content.
#[derive(Debug)]
struct WorkItem {
    device: Option<DeviceObject>,
    queued: AtomicBool,
    /// The routine that it is, or was last, queued for.
    routine: AtomicUsize,
}

static ITEMS: Mutex<BTreeMap<usize, Arc<WorkItem>>> = Mutex::new(BTreeMap::new());

/// The addresses of the work items that were allocated and not freed.
pub fn allocated() -> Vec<usize> {
    ITEMS.lock().keys().copied().collect()
}

fn find(item: PVOID, function: &'static str) -> Arc<WorkItem> {
    let found = ITEMS.lock().get(&item.addr()).cloned();
    let Some(found) = found else {
        let sentence = "The work item is none that is allocated.";
        work::invalid(0, item as u64, 0, function, sentence);
    };
    found
}

/// Allocates a work item for a device or a driver; null if there is no memory. `<= DISPATCH_LEVEL`.
/// DDI: `IoAllocateWorkItem`.
///
/// Bug check 0xE4 (3) for any other object. Code that is linked to nthost and no driver has none, and gives null.
///
/// # Safety
///
/// It must be the caller's driver object, or one of its devices.
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
        routine: AtomicUsize::new(0),
    });
    let address = Arc::as_ptr(&item).expose_provenance();
    let is_another = |it: DeviceObject| !matches!(it.kind(), IO_TYPE_DEVICE | IO_TYPE_DRIVER);
    if device.is_some_and(is_another) {
        let sentence = "The object is neither a device nor a driver.";
        let object = DeviceObject as u64;
        work::invalid(3, address as u64, object, NAME, sentence);
    }
    ITEMS.lock().insert(address, item);
    ptr::with_exposed_provenance_mut(address)
}

/// Frees a work item. `<= DISPATCH_LEVEL`. DDI: `IoFreeWorkItem`.
///
/// Bug check 0xE4 if it is queued (2), or none.
///
/// # Safety
///
/// Nobody may use it any more.
pub unsafe extern "win64" fn IoFreeWorkItem(IoWorkItem: PVOID) {
    const NAME: &str = "IoFreeWorkItem";
    dispatch_level(NAME);
    let item = find(IoWorkItem, NAME);
    if item.queued.load(Ordering::Acquire) {
        let routine = item.routine.load(Ordering::Relaxed) as u64;
        let sentence = "The work item is freed while it is queued.";
        work::invalid(2, IoWorkItem as u64, routine, NAME, sentence);
    }
    ITEMS.lock().remove(&IoWorkItem.addr());
}

/// Marks an item as queued for a routine; the device stays until the routine is done.
fn enqueue(
    item: PVOID,
    queue: WORK_QUEUE_TYPE,
    routine: usize,
    function: &'static str,
) -> Arc<WorkItem> {
    dispatch_level(function);
    let found = find(item, function);
    work::check(item as u64, queue, routine, function);
    if found.queued.swap(true, Ordering::AcqRel) {
        let queue = u64::from(queue.cast_unsigned());
        let sentence = "The work item is queued already.";
        work::invalid(1, item as u64, queue, function, sentence);
    }
    found.routine.store(routine, Ordering::Relaxed);
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
/// Bug check 0xE4 if it is queued already (1), or none, and if the queue (6) or the routine (7) is none.
///
/// # Safety
///
/// The routine must be one that may be called with the context.
pub unsafe extern "win64" fn IoQueueWorkItem(
    IoWorkItem: PVOID,
    WorkerRoutine: PIO_WORKITEM_ROUTINE,
    QueueType: WORK_QUEUE_TYPE,
    Context: PVOID,
) {
    let routine = WorkerRoutine.map_or(0, |routine| routine as usize);
    let item = enqueue(IoWorkItem, QueueType, routine, "IoQueueWorkItem");
    let context = Context.expose_provenance();
    worker::queue(routine, move || {
        let device = dequeue(&item);
        if let Some(routine) = WorkerRoutine {
            // SAFETY: The driver has queued the routine with this context.
            unsafe { routine(device, ptr::with_exposed_provenance_mut(context)) };
        }
        done(&item);
    });
}

/// As [`IoQueueWorkItem`], for a routine that gets the work item too. DDI: `IoQueueWorkItemEx`.
///
/// # Safety
///
/// As for [`IoQueueWorkItem`].
pub unsafe extern "win64" fn IoQueueWorkItemEx(
    IoWorkItem: PVOID,
    WorkerRoutine: PIO_WORKITEM_ROUTINE_EX,
    QueueType: WORK_QUEUE_TYPE,
    Context: PVOID,
) {
    let routine = WorkerRoutine.map_or(0, |routine| routine as usize);
    let item = enqueue(IoWorkItem, QueueType, routine, "IoQueueWorkItemEx");
    let (address, context) = (IoWorkItem.expose_provenance(), Context.expose_provenance());
    worker::queue(routine, move || {
        let device = dequeue(&item);
        if let Some(routine) = WorkerRoutine {
            let context = ptr::with_exposed_provenance_mut(context);
            let item = ptr::with_exposed_provenance_mut(address);
            // SAFETY: The driver has queued the routine with this context.
            unsafe { routine(device.cast(), context, item) };
        }
        done(&item);
    });
}

fn done(item: &WorkItem) {
    if let Some(device) = item.device {
        device.dereference();
    }
}

crate::export::exports! {
    "ntoskrnl.exe"; IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem, IoQueueWorkItemEx
}
