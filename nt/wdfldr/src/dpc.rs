//! `WDFDPC`.

use crate::abi::{WDF_DPC_CONFIG, WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFDPC, WDFOBJECT};
use crate::callback_lock::Serialized;
use crate::kernel::{
    KeFlushQueuedDpcs, KeInitializeDpc, KeInsertQueueDpc, KeRemoveQueueDpc, Outcome, current_irql,
    status_of, try_box,
};
use crate::object::{self, Attributes, Body, ObjectRef, ParentRule, Rules, device_of, lookup};
use crate::violation;
use crate::work_item::SystemWorkItem;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use nt_abi::{
    BOOLEAN, KDPC, NTSTATUS, PASSIVE_LEVEL, PVOID, STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, TRUE,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A framework DPC object. It does not move, for the kernel links its `KDPC`.
pub struct Dpc {
    kernel: UnsafeCell<KDPC>,
    event: unsafe extern "win64" fn(WDFDPC),
    serialized: Serialized,
    parent: WDFOBJECT,
    /// The handle that the event gets.
    handle: AtomicUsize,
    /// Waits for a queued call when the object is deleted where nobody can wait.
    worker: SystemWorkItem,
}

// SAFETY: The KDPC is only passed to the kernel's functions.
unsafe impl Sync for Dpc {}
// SAFETY: As above.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for Dpc {}

impl Dpc {
    /// Before the cleanup event: no call is queued or running any more. Above `PASSIVE_LEVEL` a
    /// worker keeps the object until that is so.
    pub fn quiesce(&self) {
        // SAFETY: The DPC was initialised when the object was created.
        unsafe { KeRemoveQueueDpc(self.kernel.get()) };
        wait_for_dpcs(&self.worker, WDFOBJECT(self.handle.load(Ordering::Acquire)));
    }
}

/// Waits until no DPC is queued or running, here or, above `PASSIVE_LEVEL`, on a worker thread that
/// keeps the object with this handle alive.
pub fn wait_for_dpcs(worker: &SystemWorkItem, handle: WDFOBJECT) {
    if u32::from(current_irql()) == PASSIVE_LEVEL {
        // SAFETY: At `PASSIVE_LEVEL`.
        unsafe { KeFlushQueuedDpcs() };
    } else if let Some(object) = object::lookup_raw(handle) {
        worker.enqueue(flush_and_release, object);
    }
}

/// The caller's reference goes when this returns.
fn flush_and_release(_: &ObjectRef) {
    // SAFETY: Worker threads run at `PASSIVE_LEVEL`.
    unsafe { KeFlushQueuedDpcs() };
}

/// The deferred routine of every framework DPC.
unsafe extern "win64" fn deferred(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is the object's body, which waits for its DPC before it goes.
    let dpc = unsafe { &*context.cast::<Dpc>() };
    let handle = WDFOBJECT(dpc.handle.load(Ordering::Acquire));
    // SAFETY: The client registered the event for this object.
    dpc.serialized.call(|| unsafe { (dpc.event)(handle) });
}

/// `WdfDpcCreate`. The parent is a device or belongs to one. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDpcCreate(
    _: Globals,
    Config: *mut WDF_DPC_CONFIG,
    Attributes: *mut WDF_OBJECT_ATTRIBUTES,
    Dpc: *mut WDFDPC,
) -> NTSTATUS {
    if Config.is_null() || Dpc.is_null() {
        violation::null_parameter(c"WdfDpcCreate");
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
        .map(|object| unsafe { Dpc.write(object.handle()) });
    status_of(outcome)
}

fn create(config: &WDF_DPC_CONFIG, attributes: &Attributes) -> Outcome<ObjectRef> {
    if config.Size as usize != size_of::<WDF_DPC_CONFIG>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let event = config.EvtDpcFunc.ok_or(STATUS_INVALID_PARAMETER)?;
    let parent = object::any(attributes.parent());
    let device = device_of(&parent).ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    let automatic = config.AutomaticSerialization != 0;
    let dpc = try_box(Dpc {
        serialized: Serialized::under(&parent, automatic, false)?,
        kernel: UnsafeCell::new(KDPC::default()),
        event,
        parent: parent.handle(),
        handle: AtomicUsize::new(0),
        worker: SystemWorkItem::new(device.wdm())?,
    })?;
    let context = core::ptr::from_ref::<Dpc>(&dpc).cast_mut().cast();
    // SAFETY: The DPC is at its final address, and not queued.
    unsafe { KeInitializeDpc(dpc.kernel.get(), Some(deferred), context) };
    let object = object::create(parent.client(), Body::Dpc(dpc), attributes, Some(&parent))?;
    if let Body::Dpc(dpc) = object.body() {
        dpc.handle.store(object.handle().0, Ordering::Release);
    }
    Ok(object)
}

/// `WdfDpcEnqueue`: whether it was not queued already. IRQL: any.
pub unsafe extern "win64" fn WdfDpcEnqueue(_: Globals, Dpc: WDFDPC) -> BOOLEAN {
    let dpc = lookup::<self::Dpc>(Dpc);
    let null = core::ptr::null_mut();
    // SAFETY: The DPC was initialised when the object was created.
    unsafe { KeInsertQueueDpc(dpc.kernel.get(), null, null) }
}

/// `WdfDpcCancel`: whether it was queued. With `Wait`, a running call is waited for, and the IRQL is
/// `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDpcCancel(_: Globals, Dpc: WDFDPC, Wait: BOOLEAN) -> BOOLEAN {
    let dpc = lookup::<self::Dpc>(Dpc);
    // SAFETY: The DPC was initialised when the object was created.
    let removed = unsafe { KeRemoveQueueDpc(dpc.kernel.get()) };
    if Wait == TRUE && removed != TRUE {
        // SAFETY: Waiting is allowed at `PASSIVE_LEVEL` alone.
        unsafe { KeFlushQueuedDpcs() };
    }
    removed
}

/// `WdfDpcGetParentObject`. IRQL: any.
pub unsafe extern "win64" fn WdfDpcGetParentObject(_: Globals, Dpc: WDFDPC) -> WDFOBJECT {
    lookup::<self::Dpc>(Dpc).parent
}

/// `WdfDpcWdmGetDpc`. IRQL: any.
pub unsafe extern "win64" fn WdfDpcWdmGetDpc(_: Globals, Dpc: WDFDPC) -> *mut KDPC {
    lookup::<self::Dpc>(Dpc).kernel.get()
}
