//! Work items: the framework's own, and `WDFWORKITEM`.

use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDF_WORKITEM_CONFIG, WDFOBJECT, WDFWORKITEM,
};
use crate::callback_lock::Serialized;
use crate::kernel::{
    IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem, Outcome, Ptr, SpinLock, current_irql,
    sleep_milliseconds, status_of,
};
use crate::object::{
    self, Attributes, Body, Kind, ObjectRef, ParentRule, Rules, device_of, lookup,
};
use crate::violation;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
use nt_abi::{
    _WORK_QUEUE_TYPE, DEVICE_OBJECT, NTSTATUS, PASSIVE_LEVEL, PDEVICE_OBJECT, PVOID,
    STATUS_INFO_LENGTH_MISMATCH, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// What a worker thread does with an object.
type Routine = fn(&ObjectRef);

/// An `IO_WORKITEM` that runs a routine on the object that it is part of.
pub struct SystemWorkItem {
    item: Ptr<c_void>,
    job: SpinLock<Option<(Routine, ObjectRef)>>,
    /// Runs that are queued or going on.
    active: AtomicU32,
}

impl SystemWorkItem {
    /// An item of a device's driver.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn new(device: *mut DEVICE_OBJECT) -> Outcome<Self> {
        // SAFETY: The device is one of the framework's, alive as long as what is made for it.
        let item = unsafe { IoAllocateWorkItem(device) };
        if item.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        Ok(Self {
            item: Ptr(item),
            job: SpinLock::new(None),
            active: AtomicU32::new(0),
        })
    }

    /// Queues a run, unless one is queued already. `object` is the one that owns this item.
    /// IRQL <= `DISPATCH_LEVEL`.
    pub fn enqueue(&self, routine: Routine, object: ObjectRef) {
        let mut job = Some((routine, object));
        let first = self.job.with(|place| {
            let first = place.is_none();
            if first {
                *place = job.take();
            }
            first
        });
        if first {
            self.active.fetch_add(1, Ordering::AcqRel);
            let context = core::ptr::from_ref(self).cast_mut().cast();
            // SAFETY: The item is not queued, for `job` was empty; the object in `job` keeps this
            // item alive until the routine runs.
            unsafe {
                IoQueueWorkItem(
                    self.item.0,
                    Some(run),
                    _WORK_QUEUE_TYPE::DelayedWorkQueue,
                    context,
                );
            }
        }
        drop(job);
    }

    /// Waits until no run is queued or going on. IRQL `PASSIVE_LEVEL`, not in the routine.
    pub fn flush(&self) {
        while self.active.load(Ordering::Acquire) > 0 {
            sleep_milliseconds(1);
        }
    }
}

impl Drop for SystemWorkItem {
    fn drop(&mut self) {
        // SAFETY: Nothing is queued: a queued run would keep the owner of this item alive.
        unsafe { IoFreeWorkItem(self.item.0) };
    }
}

/// The worker routine of every item.
unsafe extern "win64" fn run(_: PDEVICE_OBJECT, context: PVOID) {
    // SAFETY: The context is the item, which the object in its job keeps alive.
    let item = unsafe { &*context.cast::<SystemWorkItem>() };
    let job = item.job.with(Option::take);
    if let Some((routine, object)) = job {
        routine(&object);
        item.active.fetch_sub(1, Ordering::AcqRel);
        // From here on the item may be gone.
        drop(object);
    }
}

/// A framework work item object.
pub struct WorkItem {
    system: SystemWorkItem,
    event: unsafe extern "win64" fn(WDFWORKITEM),
    serialized: Serialized,
    parent: WDFOBJECT,
}

impl WorkItem {
    /// Before the cleanup event: waits for the client's routine. Above `PASSIVE_LEVEL` it cannot,
    /// and the references of the queued run keep the object.
    pub fn quiesce(&self) {
        if u32::from(current_irql()) == PASSIVE_LEVEL {
            self.system.flush();
        }
    }
}

/// `WdfWorkItemCreate`. The parent is a device or belongs to one. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWorkItemCreate(
    _: Globals,
    Config: *mut WDF_WORKITEM_CONFIG,
    Attributes: *mut WDF_OBJECT_ATTRIBUTES,
    WorkItem: *mut WDFWORKITEM,
) -> NTSTATUS {
    if Config.is_null() || WorkItem.is_null() {
        violation::null_parameter(c"WdfWorkItemCreate");
    }
    // SAFETY: The client passes its configuration.
    let config = unsafe { Config.read() };
    let rules = Rules {
        parent: ParentRule::Required,
        levels: false,
    };
    // SAFETY: The client passes its attributes.
    let outcome = unsafe { self::Attributes::read(Attributes, rules) }
        .and_then(|attributes| create(&config, &attributes))
        // SAFETY: The place is not null.
        .map(|object| unsafe { WorkItem.write(object.handle()) });
    status_of(outcome)
}

fn create(config: &WDF_WORKITEM_CONFIG, attributes: &Attributes) -> Outcome<ObjectRef> {
    if config.Size as usize != size_of::<WDF_WORKITEM_CONFIG>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let event = config.EvtWorkItemFunc.ok_or(STATUS_INVALID_PARAMETER)?;
    let parent = object::any(attributes.parent());
    let device = device_of(&parent).ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    let serialized = Serialized::under(&parent, config.AutomaticSerialization != 0, true)?;
    let system = SystemWorkItem::new(device.wdm())?;
    let body = Body::WorkItem(WorkItem {
        system,
        event,
        serialized,
        parent: parent.handle(),
    });
    object::create(parent.client(), body, attributes, Some(&parent))
}

/// Calls the client's routine on a worker thread.
fn call(object: &ObjectRef) {
    if let Some(item) = WorkItem::of(object.body()) {
        // SAFETY: The client registered the event for this object, which is alive.
        item.serialized
            .call(|| unsafe { (item.event)(object.handle()) });
    }
}

/// `WdfWorkItemEnqueue`: nothing happens when it is queued already. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWorkItemEnqueue(_: Globals, WorkItem: WDFWORKITEM) {
    let item = lookup::<self::WorkItem>(WorkItem);
    item.system.enqueue(call, item.object().clone());
}

/// `WdfWorkItemGetParentObject`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWorkItemGetParentObject(
    _: Globals,
    WorkItem: WDFWORKITEM,
) -> WDFOBJECT {
    lookup::<self::WorkItem>(WorkItem).parent
}

/// `WdfWorkItemFlush`: waits until the routine has run. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfWorkItemFlush(_: Globals, WorkItem: WDFWORKITEM) {
    lookup::<self::WorkItem>(WorkItem).system.flush();
}
