//! `WDFTIMER`.

use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDF_TIMER_CONFIG, WDFOBJECT, WDFTIMER,
    WdfExecutionLevelPassive,
};
use crate::callback_lock::Serialized;
use crate::dpc::wait_for_dpcs;
use crate::kernel::{
    KeCancelTimer, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeTimerEx, KeSetTimerEx, Outcome,
    status_of, try_box,
};
use crate::object::{
    self, Attributes, Body, Kind, ObjectRef, ParentRule, Rules, device_of, lookup,
};
use crate::violation;
use crate::work_item::SystemWorkItem;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use nt_abi::{
    _TIMER_TYPE, BOOLEAN, KDPC, KTIMER, LARGE_INTEGER, LONG, LONGLONG, NTSTATUS, PVOID,
    STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, TRUE,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A framework timer object. It does not move, for the kernel links its `KTIMER` and `KDPC`.
pub struct Timer {
    kernel: UnsafeCell<KTIMER>,
    expiry: UnsafeCell<KDPC>,
    event: unsafe extern "win64" fn(WDFTIMER),
    /// Milliseconds; 0 for a one-shot timer.
    period: LONG,
    /// Calls the event from a worker thread (`WdfExecutionLevelPassive`).
    passive: bool,
    serialized: Serialized,
    parent: WDFOBJECT,
    /// The handle that the event gets.
    handle: AtomicUsize,
    worker: SystemWorkItem,
}

// SAFETY: The kernel objects are only passed to the kernel's functions.
unsafe impl Sync for Timer {}
// SAFETY: As above.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for Timer {}

impl Timer {
    fn handle(&self) -> WDFTIMER {
        WDFOBJECT(self.handle.load(Ordering::Acquire))
    }

    fn cancel(&self) -> BOOLEAN {
        // SAFETY: The timer was initialised when the object was created.
        unsafe { KeCancelTimer(self.kernel.get()) }
    }

    /// Before the cleanup event: the timer is out of the system's queue, and its event is over. Above
    /// `PASSIVE_LEVEL` a worker keeps the object until that is so.
    pub fn quiesce(&self) {
        self.cancel();
        if self.passive {
            // Deletion in the event itself would wait for itself: the pages of the event forbid it.
            self.worker.flush();
        }
        wait_for_dpcs(&self.worker, self.handle());
    }
}

/// The deferred routine of every framework timer.
unsafe extern "win64" fn expired(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is the object's body, which waits for its DPC before it goes.
    let timer = unsafe { &*context.cast::<Timer>() };
    if timer.passive {
        if let Some(object) = object::lookup_raw(timer.handle()) {
            timer.worker.enqueue(call, object);
        }
    } else {
        // SAFETY: The client registered the event for this object.
        timer
            .serialized
            .call(|| unsafe { (timer.event)(timer.handle()) });
    }
}

/// Calls the client's event on a worker thread.
fn call(object: &ObjectRef) {
    if let Some(timer) = Timer::of(object.body()) {
        // SAFETY: The client registered the event for this object, which is alive.
        timer
            .serialized
            .call(|| unsafe { (timer.event)(object.handle()) });
    }
}

/// `WdfTimerCreate`. The parent is a device or belongs to one. The tolerable delay is taken for zero,
/// which is within it. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfTimerCreate(
    _: Globals,
    Config: *mut WDF_TIMER_CONFIG,
    Attributes: *mut WDF_OBJECT_ATTRIBUTES,
    Timer: *mut WDFTIMER,
) -> NTSTATUS {
    if Config.is_null() || Timer.is_null() {
        violation::null_parameter(c"WdfTimerCreate");
    }
    // SAFETY: The client passes its configuration.
    let config = unsafe { Config.read() };
    let rules = Rules {
        parent: ParentRule::Required,
        levels: true,
    };
    // SAFETY: The client passes its attributes.
    let outcome = unsafe { self::Attributes::read(Attributes, rules) }
        .and_then(|attributes| create(&config, &attributes))
        // SAFETY: The place is not null.
        .map(|object| unsafe { Timer.write(object.handle()) });
    status_of(outcome)
}

fn create(config: &WDF_TIMER_CONFIG, attributes: &Attributes) -> Outcome<ObjectRef> {
    if config.Size as usize != size_of::<WDF_TIMER_CONFIG>() {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let event = config.EvtTimerFunc.ok_or(STATUS_INVALID_PARAMETER)?;
    let period = LONG::try_from(config.Period).map_err(|_| STATUS_INVALID_PARAMETER)?;
    let passive = attributes.raw().ExecutionLevel == WdfExecutionLevelPassive;
    if passive && period != 0 {
        return Err(crate::abi::STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL);
    }
    let parent = object::any(attributes.parent());
    let device = device_of(&parent).ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    let automatic = config.AutomaticSerialization != 0;
    let timer = try_box(Timer {
        serialized: Serialized::under(&parent, automatic, passive)?,
        kernel: UnsafeCell::new(KTIMER::default()),
        expiry: UnsafeCell::new(KDPC::default()),
        event,
        period,
        passive,
        parent: parent.handle(),
        handle: AtomicUsize::new(0),
        worker: SystemWorkItem::new(device.wdm())?,
    })?;
    let context = core::ptr::from_ref::<Timer>(&timer).cast_mut().cast();
    // SAFETY: The DPC is at its final address, and not queued.
    unsafe { KeInitializeDpc(timer.expiry.get(), Some(expired), context) };
    // SAFETY: The timer is at its final address, and not set.
    unsafe { KeInitializeTimerEx(timer.kernel.get(), _TIMER_TYPE::NotificationTimer) };
    let object = object::create(
        parent.client(),
        Body::Timer(timer),
        attributes,
        Some(&parent),
    )?;
    if let Some(timer) = Timer::of(object.body()) {
        timer.handle.store(object.handle().0, Ordering::Release);
    }
    Ok(object)
}

/// `WdfTimerStart`: whether it was in the system's queue already. `DueTime` in 100 ns, negative for
/// relative. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfTimerStart(
    _: Globals,
    Timer: WDFTIMER,
    DueTime: LONGLONG,
) -> BOOLEAN {
    let timer = lookup::<self::Timer>(Timer);
    let due = LARGE_INTEGER { QuadPart: DueTime };
    // SAFETY: Timer and DPC were initialised when the object was created.
    unsafe { KeSetTimerEx(timer.kernel.get(), due, timer.period, timer.expiry.get()) }
}

/// `WdfTimerStop`: whether it was in the system's queue. With `Wait`, a running event is waited for,
/// and the IRQL is `PASSIVE_LEVEL`; else <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfTimerStop(_: Globals, Timer: WDFTIMER, Wait: BOOLEAN) -> BOOLEAN {
    let timer = lookup::<self::Timer>(Timer);
    let was_queued = timer.cancel();
    if Wait == TRUE {
        // SAFETY: Waiting is allowed at `PASSIVE_LEVEL` alone.
        unsafe { KeFlushQueuedDpcs() };
        timer.worker.flush();
    }
    was_queued
}

/// `WdfTimerGetParentObject`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfTimerGetParentObject(_: Globals, Timer: WDFTIMER) -> WDFOBJECT {
    lookup::<self::Timer>(Timer).parent
}
