//! `WDFDEVICE`: functional devices of the PnP manager and control devices, and the way of an IRP to
//! whoever handles it.

mod api;
mod control;
mod create;
mod idle;
mod init;
mod interface;
mod pnp;
mod pnp_state;
mod power;
mod power_policy;
mod preprocess;
mod property;
mod query_interface;
mod security;

pub use api::*;
pub use control::*;
pub use create::*;
pub use init::*;
pub use interface::*;
pub use pnp_state::{WdfDeviceGetDeviceState, WdfDeviceSetDeviceState, WdfDeviceSetFailed};
pub use power_policy::*;
pub use preprocess::{
    Preprocess, WdfDeviceInitAssignWdmIrpPreprocessCallback, WdfDeviceWdmDispatchPreprocessedIrp,
};
pub use property::*;
pub use query_interface::{
    WdfDeviceAddQueryInterface, WdfFdoQueryForInterface, query_parameters, query_stack,
};

use crate::abi::{
    PFN_WDF_DRIVER_DEVICE_ADD, PFN_WDF_IO_IN_CALLER_CONTEXT, WDF_PNPPOWER_EVENT_CALLBACKS,
    WDFDRIVER, WDFOBJECT,
};
use crate::callback_lock::{CallbackLock, Constraints};
use crate::client::Client;
use crate::file::{self, File, FileSetup, OpenFile};
use crate::kernel::{
    IoDeleteDevice, IoDetachDevice, Irp, Outcome, PoCallDriver, PoStartNextPowerIrp, Ptr, SpinLock,
    check,
};
use crate::object::{self, Attributes, ObjectRef, Typed, lookup_raw};
use crate::queue::{self, Queue};
use crate::request;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use idle::Idle;
use interface::Names;
use nt_abi::{
    DEVICE_OBJECT, DO_DEVICE_INITIALIZING, FILE_OBJECT, IO_STACK_LOCATION, IRP, IRP_MJ_CLEANUP,
    IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL,
    IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP, IRP_MJ_POWER, IRP_MJ_READ, IRP_MJ_SHUTDOWN,
    IRP_MJ_SYSTEM_CONTROL, IRP_MJ_WRITE, NTSTATUS, PDEVICE_OBJECT, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_NO_SUCH_DEVICE, STATUS_PENDING, STATUS_SUCCESS,
};
use pnp::PnpState;
use pnp_state::Declared;
use query_interface::Exports;

/// The number of major functions.
const MAJORS: usize = IRP_MJ_MAXIMUM_FUNCTION as usize + 1;

/// A framework device object.
pub struct Device {
    wdm: AtomicPtr<DEVICE_OBJECT>,
    /// The device that this one is attached to; null for a control device.
    lower: Ptr<DEVICE_OBJECT>,
    /// The device of the bus driver; null for a control device.
    pdo: Ptr<DEVICE_OBJECT>,
    filter: bool,
    pnp_events: WDF_PNPPOWER_EVENT_CALLBACKS,
    constraints: Constraints,
    callback_lock: CallbackLock,
    pub files: FileSetup,
    open_files: SpinLock<Vec<OpenFile>>,
    request_attributes: Attributes,
    /// `WDF_DEVICE_IO_TYPE` of read and write requests.
    io_type: i32,
    exclusive: bool,
    open_handles: AtomicU32,
    /// Whether the PnP manager may stop or remove it (`WdfDeviceSetStaticStopRemove`).
    stoppable: AtomicBool,
    in_caller_context: PFN_WDF_IO_IN_CALLER_CONTEXT,
    preprocess: Option<Preprocess>,
    shutdown: Option<control::ShutdownEvent>,
    /// The queue of each kind of request, as a handle; null for none.
    routes: [AtomicUsize; MAJORS],
    default_queue: AtomicUsize,
    /// The local I/O target, as a handle; null until somebody asks for it.
    io_target: AtomicUsize,
    queues: SpinLock<Vec<ObjectRef>>,
    /// In the order of their creation.
    interrupts: SpinLock<Vec<ObjectRef>>,
    /// Whether the client is in `EvtDevicePrepareHardware`.
    preparing_hardware: AtomicBool,
    state: SpinLock<PnpState>,
    /// What the client says is the matter with it.
    declared: SpinLock<Declared>,
    idle: Idle,
    /// Whether the client decides on the device's power.
    power_policy_owner: bool,
    names: SpinLock<Names>,
    /// The driver-defined interfaces that it answers queries for.
    exports: Exports,
}

/// The stages of a device's life in which it may get interrupts, and all others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    New,
    PreparingHardware,
    Other,
}

/// What lies in the extension of the WDM device object.
#[repr(C)]
struct Extension {
    device: AtomicUsize,
}

impl Device {
    /// The WDM device object; null when it is deleted.
    pub fn wdm(&self) -> *mut DEVICE_OBJECT {
        self.wdm.load(Ordering::Acquire)
    }

    pub const fn lower(&self) -> Ptr<DEVICE_OBJECT> {
        self.lower
    }

    pub const fn pdo(&self) -> Ptr<DEVICE_OBJECT> {
        self.pdo
    }

    pub const fn is_filter(&self) -> bool {
        self.filter
    }

    pub const fn is_control(&self) -> bool {
        self.pdo.is_null()
    }

    pub const fn io_type(&self) -> i32 {
        self.io_type
    }

    /// What queues inherit.
    pub const fn constraints(&self) -> Constraints {
        self.constraints
    }

    /// The lock of callbacks whose scope is the device.
    pub const fn callback_lock(&self) -> &CallbackLock {
        &self.callback_lock
    }

    pub const fn request_attributes(&self) -> &Attributes {
        &self.request_attributes
    }

    /// The device of a WDM device object that the framework made.
    pub fn of_wdm(device_object: PDEVICE_OBJECT) -> Option<Typed<Self>> {
        // SAFETY: The dispatch routine is set for the framework's devices alone, whose extension was
        // asked for and filled when the device was created.
        let extension = unsafe { (*device_object).DeviceExtension.cast::<Extension>() };
        // SAFETY: As above; it is null until the device is connected to its framework object.
        let extension = unsafe { extension.as_ref() }?;
        lookup_raw(WDFOBJECT(extension.device.load(Ordering::Acquire)))?.typed()
    }

    /// The framework's file object for a WDM one whose contexts are not the framework's.
    pub fn find_file(&self, file: *mut FILE_OBJECT) -> Option<Typed<File>> {
        let handle = self.open_files.with(|files| {
            files
                .iter()
                .find(|(each, _)| *each == Ptr(file))
                .map(|(_, handle)| *handle)
        })?;
        lookup_raw(handle)?.typed()
    }

    /// Remembers a file object that [`find_file`](Self::find_file) finds.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn add_file(&self, file: *mut FILE_OBJECT, object: &ObjectRef) -> Outcome {
        self.open_files.with(|files| {
            files
                .try_reserve(1)
                .map_err(|_| nt_abi::STATUS_INSUFFICIENT_RESOURCES)?;
            files.push((Ptr(file), object.handle()));
            Ok(())
        })
    }

    /// Forgets a file object.
    pub fn remove_file(&self, file: *mut FILE_OBJECT) {
        self.open_files
            .with(|files| files.retain(|(each, _)| *each != Ptr(file)));
    }

    /// Counts an open handle. Fails when the device is exclusive and open already.
    pub fn open_handle(&self) -> bool {
        let others = self.open_handles.fetch_add(1, Ordering::AcqRel);
        let granted = !self.exclusive || others == 0;
        if !granted {
            self.close_handle();
        }
        granted
    }

    pub fn close_handle(&self) {
        self.open_handles.fetch_sub(1, Ordering::AcqRel);
    }

    /// The queue that requests of a major function go to.
    pub fn route(&self, major: u8) -> Option<Typed<Queue>> {
        let own = self.routes.get(usize::from(major))?.load(Ordering::Acquire);
        let handle = if own == 0 && takes_default(major) {
            self.default_queue.load(Ordering::Acquire)
        } else {
            own
        };
        lookup_raw(WDFOBJECT(handle))?.typed()
    }

    /// Sends requests of a major function to a queue. Fails when another queue has them.
    pub fn set_route(&self, major: u8, queue: WDFOBJECT) -> bool {
        self.routes.get(usize::from(major)).is_some_and(|route| {
            route
                .compare_exchange(0, queue.0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    pub fn default_queue(&self) -> WDFOBJECT {
        WDFOBJECT(self.default_queue.load(Ordering::Acquire))
    }

    /// Makes a queue the default. Fails when there is one.
    pub fn set_default_queue(&self, queue: WDFOBJECT) -> bool {
        let place = &self.default_queue;
        place
            .compare_exchange(0, queue.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    pub fn io_target(&self) -> WDFOBJECT {
        WDFOBJECT(self.io_target.load(Ordering::Acquire))
    }

    /// Sets the local I/O target, unless there is one; returns which it is.
    pub fn set_io_target(&self, target: WDFOBJECT) -> WDFOBJECT {
        let place = &self.io_target;
        let set = place.compare_exchange(0, target.0, Ordering::AcqRel, Ordering::Acquire);
        WDFOBJECT(set.map_or_else(|first| first, |_| target.0))
    }

    /// Keeps a queue in the list of those that follow the device's power and end.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn add_queue(&self, queue: &ObjectRef) -> Outcome {
        self.queues.with(|queues| {
            queues
                .try_reserve(1)
                .map_err(|_| nt_abi::STATUS_INSUFFICIENT_RESOURCES)?;
            queues.push(queue.clone());
            Ok(())
        })
    }

    /// Forgets a queue that is being deleted.
    pub fn remove_queue(&self, handle: WDFOBJECT) {
        let removed = self.queues.with(|queues| {
            let position = queues.iter().position(|queue| queue.handle() == handle)?;
            Some(queues.swap_remove(position))
        });
        drop(removed);
    }

    /// Keeps an interrupt in the list of those that follow the device's power.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn add_interrupt(&self, interrupt: &ObjectRef) -> Outcome {
        self.interrupts.with(|interrupts| {
            interrupts
                .try_reserve(1)
                .map_err(|_| nt_abi::STATUS_INSUFFICIENT_RESOURCES)?;
            interrupts.push(interrupt.clone());
            Ok(())
        })
    }

    /// Forgets an interrupt that is being deleted.
    pub fn remove_interrupt(&self, handle: WDFOBJECT) {
        let removed = self.interrupts.with(|interrupts| {
            let position = interrupts
                .iter()
                .position(|interrupt| interrupt.handle() == handle)?;
            Some(interrupts.remove(position))
        });
        drop(removed);
    }

    /// The `index`-th interrupt of the device.
    pub fn interrupt(&self, index: usize) -> Option<ObjectRef> {
        self.interrupts
            .with(|interrupts| interrupts.get(index).cloned())
    }

    /// Where the device is in its life, for who makes an interrupt.
    pub fn stage(&self) -> Stage {
        if self.preparing_hardware.load(Ordering::Relaxed) {
            return Stage::PreparingHardware;
        }
        let new = !self.is_control() && self.state.with(|state| *state == PnpState::Created);
        if new { Stage::New } else { Stage::Other }
    }

    /// Calls `f` for each queue of the device, without a lock.
    pub fn each_queue(&self, mut f: impl FnMut(&Typed<Queue>)) {
        let mut index = 0;
        while let Some(queue) = self.queues.with(|queues| queues.get(index).cloned()) {
            if let Some(queue) = queue.typed() {
                f(&queue);
            }
            index += 1;
        }
    }

    /// Whether power-managed queues dispatch.
    pub fn is_powered(&self) -> bool {
        self.is_control()
            || self.state.with(|state| *state == PnpState::Started) && self.idle.is_in_d0()
    }

    /// Keeps the device in D0 while a power-managed queue of its has requests.
    /// IRQL <= `DISPATCH_LEVEL`.
    pub fn queue_is_busy(this: &Typed<Self>, busy: bool) {
        this.idle.queue_is_busy(this.object(), busy);
    }

    /// Whether it is gone or going, so that new queues get nothing any more.
    pub fn is_withdrawn(&self) -> bool {
        let state = self.state.with(|state| *state);
        matches!(state, PnpState::SurpriseRemoved | PnpState::Removed)
    }

    /// Before the cleanup event: nobody finds or reaches the device any more.
    pub fn quiesce(&self) {
        self.withdraw_names();
        self.idle.stop();
        self.each_queue(Typed::purge_and_wait);
        let queues = self.queues.with(core::mem::take);
        drop(queues);
    }

    /// After the cleanup event: the WDM device goes.
    pub fn delete_wdm(&self) {
        let device_object = self.wdm.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if device_object.is_null() {
            return;
        }
        if !self.lower.is_null() {
            // SAFETY: The device is attached to it since it was created.
            unsafe { IoDetachDevice(self.lower.0) };
        }
        // SAFETY: The swap above makes this the one deletion of a device that the framework created.
        unsafe { IoDeleteDevice(device_object) };
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.delete_wdm();
    }
}

/// Whether the default queue takes requests of a kind that has no queue of its own: creation is the
/// framework's unless a queue is configured for it.
fn takes_default(major: u8) -> bool {
    u32::from(major) != IRP_MJ_CREATE
}

/// Runs a client's `EvtDriverDeviceAdd` for a new physical device. IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// The event's status; `STATUS_INSUFFICIENT_RESOURCES`.
pub fn add(
    client: &'static Client,
    driver: WDFDRIVER,
    event: unsafe extern "win64" fn(WDFDRIVER, crate::abi::PWDFDEVICE_INIT) -> NTSTATUS,
    pdo: Ptr<DEVICE_OBJECT>,
) -> Outcome {
    const { assert!(size_of::<PFN_WDF_DRIVER_DEVICE_ADD>() == size_of::<usize>()) };
    let mut init = DeviceInit::for_pdo(client, pdo)?;
    // SAFETY: The client registered the event; the initialisation structure lives through it.
    let status = unsafe { event(driver, init.as_client()) };
    let device = init.created.take();
    match (check(status), device) {
        (Ok(()), Some(device)) => {
            // SAFETY: The device object was created in the event, and nobody deletes it before its
            // removal, which comes after this.
            unsafe { (*device.wdm()).Flags &= !DO_DEVICE_INITIALIZING };
            Ok(())
        }
        (Ok(()), None) => Ok(()),
        (Err(status), device) => {
            if let Some(device) = device {
                object::delete(device.object());
            }
            Err(status)
        }
    }
}

/// The dispatch routine of every client, for every major function. IRQL <= `DISPATCH_LEVEL`, as the
/// major function allows.
pub unsafe extern "win64" fn dispatch(device_object: PDEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let irp: Irp = Ptr(irp);
    // SAFETY: The I/O manager passes an IRP that this driver owns from here on.
    let location = unsafe { irp.location() };
    let Some(device) = Device::of_wdm(device_object) else {
        // SAFETY: As above.
        return unsafe { irp.complete(orphan_status(location.MajorFunction)) };
    };
    preprocess::run(&device, irp, &location).unwrap_or_else(|| handle_irp(&device, irp, &location))
}

/// What the framework does with an IRP.
fn handle_irp(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> NTSTATUS {
    match u32::from(location.MajorFunction) {
        IRP_MJ_CREATE => file::create(device, irp, location),
        IRP_MJ_CLEANUP => file::cleanup(device, irp, location),
        IRP_MJ_CLOSE => file::close(device, irp, location),
        IRP_MJ_PNP if !device.is_control() => pnp::dispatch(device, irp, location),
        IRP_MJ_POWER if !device.is_control() => power(device, irp),
        // SAFETY: The IRP is owned, and `lower` is what this device is attached to.
        IRP_MJ_SYSTEM_CONTROL if !device.is_control() => unsafe { irp.forward(device.lower) },
        IRP_MJ_SHUTDOWN if device.shutdown.is_some() => control::shutdown(device, irp),
        _ => dispatch_io(device, irp, location),
    }
}

/// How a request for a device that is gone ends: closing succeeds, everything else is late.
fn orphan_status(major: u8) -> NTSTATUS {
    match u32::from(major) {
        IRP_MJ_CLEANUP | IRP_MJ_CLOSE => STATUS_SUCCESS,
        _ => STATUS_NO_SUCH_DEVICE,
    }
}

/// Power IRPs pass through: the device's power follows its PnP state.
fn power(device: &Device, irp: Irp) -> NTSTATUS {
    // SAFETY: The IRP is owned; older systems want this call before the IRP goes on.
    unsafe { PoStartNextPowerIrp(irp.0) };
    // SAFETY: The IRP is owned and passed to the lower driver next.
    unsafe { irp.skip() };
    // SAFETY: `lower` is what this device is attached to.
    unsafe { PoCallDriver(device.lower.0, irp.0) }
}

/// Whether requests of a kind go through `EvtIoInCallerContext`.
fn is_transfer(major: u8) -> bool {
    matches!(
        u32::from(major),
        IRP_MJ_READ | IRP_MJ_WRITE | IRP_MJ_DEVICE_CONTROL | IRP_MJ_INTERNAL_DEVICE_CONTROL
    )
}

/// Turns an IRP into a request and gives it to the client, if it wants requests in their caller's
/// context, or to its queue.
fn dispatch_io(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> NTSTATUS {
    if let Some(event) = device.in_caller_context
        && is_transfer(location.MajorFunction)
    {
        return match request::create(device, irp, location) {
            Ok(request) => {
                request.mark_pending();
                request.set_in_caller_context(true);
                // SAFETY: The client registered the event for its device and owns the request now.
                unsafe { event(device.handle(), request.handle()) };
                STATUS_PENDING
            }
            // SAFETY: The IRP is owned.
            Err(status) => unsafe { irp.complete(status) },
        };
    }
    let Some(queue) = device.route(location.MajorFunction) else {
        if device.filter {
            // SAFETY: The IRP is owned, and `lower` is what this filter is attached to.
            return unsafe { irp.forward(device.lower) };
        }
        // SAFETY: The IRP is owned.
        return unsafe { irp.complete(STATUS_INVALID_DEVICE_REQUEST) };
    };
    match request::create(device, irp, location) {
        Ok(request) => queue::submit(&queue, &request),
        // SAFETY: The IRP is owned.
        Err(status) => unsafe { irp.complete(status) },
    }
}
