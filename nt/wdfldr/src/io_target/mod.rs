//! `WDFIOTARGET`: the drivers below a device, or a device of another stack, as the target of requests.

mod flow;
mod query;
mod remote;

pub use query::{
    WdfIoTargetAllocAndQueryTargetProperty, WdfIoTargetQueryForInterface,
    WdfIoTargetQueryTargetProperty,
};
pub use remote::{
    WdfIoTargetClose, WdfIoTargetCloseForQueryRemove, WdfIoTargetCreate, WdfIoTargetOpen,
    WdfIoTargetWdmGetTargetFileHandle, WdfIoTargetWdmGetTargetFileObject,
};

use crate::abi::{
    WDF_DRIVER_GLOBALS, WDFDEVICE, WDFIOTARGET, WDFOBJECT, WdfIoTargetCancelSentIo,
    WdfIoTargetDeleted, WdfIoTargetLeaveSentIoPending, WdfIoTargetPurgeIo, WdfIoTargetStarted,
};
use crate::device::Device;
use crate::kernel::{ObfDereferenceObject, Outcome, Ptr, SpinLock, ZwClose, status_of, try_box};
use crate::object::{self, Attributes, Body, Typed, lookup};
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use flow::Flow;
use nt_abi::{DEVICE_OBJECT, FILE_OBJECT, NTSTATUS};
use remote::Remembered;

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A target of a device: what it is attached to, or a remote one.
pub struct IoTarget {
    device: WDFDEVICE,
    place: Place,
    flow: SpinLock<Flow>,
    /// Whether somebody opens it now.
    opening: AtomicBool,
    /// How a remote target was opened by name.
    remembered: SpinLock<Option<Remembered>>,
}

/// Where requests go.
struct Place {
    /// Null while a remote target is closed.
    lower: AtomicPtr<DEVICE_OBJECT>,
    /// The file of a remote target, with a reference.
    file: AtomicPtr<FILE_OBJECT>,
    /// The handle of a remote target that was opened by name.
    handle: AtomicPtr<c_void>,
    /// The physical device of the stack; with a reference for a remote target. Null if it has none, or is closed.
    pdo: AtomicPtr<DEVICE_OBJECT>,
    remote: bool,
}

impl Place {
    const fn below(lower: Ptr<DEVICE_OBJECT>, pdo: Ptr<DEVICE_OBJECT>) -> Self {
        Self {
            lower: AtomicPtr::new(lower.0),
            pdo: AtomicPtr::new(pdo.0),
            remote: false,
            ..Self::nowhere()
        }
    }

    /// That of a remote target before it is opened.
    const fn nowhere() -> Self {
        Self {
            lower: AtomicPtr::new(core::ptr::null_mut()),
            file: AtomicPtr::new(core::ptr::null_mut()),
            handle: AtomicPtr::new(core::ptr::null_mut()),
            pdo: AtomicPtr::new(core::ptr::null_mut()),
            remote: true,
        }
    }

    /// Lets go of the file and the physical device.
    fn leave(&self) {
        if !self.remote {
            return;
        }
        self.lower.store(core::ptr::null_mut(), Ordering::Release);
        let pdo = self.pdo.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if !pdo.is_null() {
            // SAFETY: The reference came with the answer when the target was opened, and the swap gives it to one alone.
            unsafe { ObfDereferenceObject(pdo.cast()) };
        }
        let file = self.file.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if !file.is_null() {
            // SAFETY: The reference was taken when the target was opened, and the swap gives it to one alone.
            unsafe { ObfDereferenceObject(file.cast()) };
        }
        let handle = self.handle.swap(core::ptr::null_mut(), Ordering::AcqRel);
        if !handle.is_null() {
            // SAFETY: As above, for the handle.
            unsafe { ZwClose(handle) };
        }
    }
}

impl IoTarget {
    const fn new(device: WDFDEVICE, place: Place, state: i32) -> Self {
        Self {
            device,
            place,
            flow: SpinLock::new(Flow::new(state)),
            opening: AtomicBool::new(false),
            remembered: SpinLock::new(None),
        }
    }

    /// Whether this call may open the target, which ends with [`end_opening`](Self::end_opening).
    fn begin_opening(&self) -> bool {
        !self.opening.swap(true, Ordering::AcqRel) && {
            let closed = self.is_closed();
            if !closed {
                self.end_opening();
            }
            closed
        }
    }

    fn end_opening(&self) {
        self.opening.store(false, Ordering::Release);
    }

    /// Closes a remote target; requests come back before.
    fn close(&self, state: i32) {
        self.end_flow(state);
        self.place.leave();
    }

    /// Before the cleanup event: every request comes back, and the file is closed. IRQL `PASSIVE_LEVEL` if there
    /// are any, or a file.
    pub fn quiesce(&self) {
        self.close(WdfIoTargetDeleted);
    }

    /// The file that goes with requests to a remote target.
    pub fn file(&self) -> Ptr<FILE_OBJECT> {
        Ptr(self.place.file.load(Ordering::Acquire))
    }

    /// How many stack locations a request needs; none while the target is closed.
    pub fn stack_size(&self) -> Option<i8> {
        let lower = self.lower();
        // SAFETY: It is a device that is attached to, or whose file is open or vouched for by the client.
        (!lower.is_null()).then(|| unsafe { (*lower.0).StackSize })
    }

    /// The device whose target it is.
    pub fn device(&self) -> Typed<Device> {
        lookup(self.device)
    }

    /// The physical device of the target's stack; null if it has none, or is closed.
    fn pdo(&self) -> Ptr<DEVICE_OBJECT> {
        Ptr(self.place.pdo.load(Ordering::Acquire))
    }

    /// The device that requests are sent to.
    pub fn lower(&self) -> Ptr<DEVICE_OBJECT> {
        Ptr(self.place.lower.load(Ordering::Acquire))
    }
}

/// Makes a device's local target.
fn create(device: &Typed<Device>) -> Outcome<WDFIOTARGET> {
    let place = Place::below(device.lower(), device.pdo());
    let body = Body::IoTarget(try_box(IoTarget::new(
        device.handle(),
        place,
        WdfIoTargetStarted,
    ))?);
    let client = device.object().client();
    let object = object::create(client, body, &Attributes::DEFAULT, Some(device.object()))?;
    object.make_permanent();
    let handle = device.set_io_target(object.handle());
    if handle != object.handle() {
        // Another thread was faster.
        object::delete(&object);
    }
    Ok(handle)
}

/// `WdfDeviceGetIoTarget`: the device's local target; null for a control device, which has none.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetIoTarget(_: Globals, Device: WDFDEVICE) -> WDFIOTARGET {
    let device = lookup::<self::Device>(Device);
    if device.is_control() {
        return WDFOBJECT::NULL;
    }
    match device.io_target() {
        WDFOBJECT::NULL => create(&device).unwrap_or(WDFOBJECT::NULL),
        target => target,
    }
}

/// `WdfIoTargetGetDevice`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetGetDevice(_: Globals, IoTarget: WDFIOTARGET) -> WDFDEVICE {
    lookup::<self::IoTarget>(IoTarget).device
}

/// `WdfIoTargetGetState`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetGetState(_: Globals, IoTarget: WDFIOTARGET) -> i32 {
    lookup::<self::IoTarget>(IoTarget).state()
}

/// `WdfIoTargetStart`: what was sent meanwhile goes out. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetStart(_: Globals, IoTarget: WDFIOTARGET) -> NTSTATUS {
    status_of(lookup::<self::IoTarget>(IoTarget).start())
}

/// `WdfIoTargetStop`: what is sent from here on waits for the start. `Action` says what becomes of what is
/// out: it is cancelled, waited for, or left. IRQL `PASSIVE_LEVEL`; <= `DISPATCH_LEVEL` if it is left.
pub unsafe extern "win64" fn WdfIoTargetStop(_: Globals, IoTarget: WDFIOTARGET, Action: i32) {
    let cancels = Action == WdfIoTargetCancelSentIo;
    let waits = Action != WdfIoTargetLeaveSentIoPending;
    lookup::<self::IoTarget>(IoTarget).stop(cancels, waits);
}

/// `WdfIoTargetPurge`: what is sent from here on is refused, what waits comes back and what is out is
/// cancelled, and waited for if `Action` says so. IRQL `PASSIVE_LEVEL`; <= `DISPATCH_LEVEL` without waiting.
pub unsafe extern "win64" fn WdfIoTargetPurge(_: Globals, IoTarget: WDFIOTARGET, Action: i32) {
    lookup::<self::IoTarget>(IoTarget).purge(Action != WdfIoTargetPurgeIo);
}

/// `WdfIoTargetWdmGetTargetDeviceObject`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetWdmGetTargetDeviceObject(
    _: Globals,
    IoTarget: WDFIOTARGET,
) -> *mut DEVICE_OBJECT {
    lookup::<self::IoTarget>(IoTarget).lower().0
}

/// `WdfIoTargetWdmGetTargetPhysicalDevice`: null for a remote target that is closed, or whose stack has none.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetWdmGetTargetPhysicalDevice(
    _: Globals,
    IoTarget: WDFIOTARGET,
) -> *mut DEVICE_OBJECT {
    lookup::<self::IoTarget>(IoTarget).pdo().0
}
