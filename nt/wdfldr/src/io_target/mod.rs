//! `WDFIOTARGET`: the drivers below a device, as the target of requests.

mod flow;

use crate::abi::{
    WDF_DRIVER_GLOBALS, WDFDEVICE, WDFIOTARGET, WDFOBJECT, WdfIoTargetCancelSentIo,
    WdfIoTargetLeaveSentIoPending, WdfIoTargetPurgeIo,
};
use crate::device::Device;
use crate::kernel::{Outcome, Ptr, SpinLock, status_of};
use crate::object::{self, Attributes, Body, Typed, lookup};
use flow::Flow;
use nt_abi::{DEVICE_OBJECT, NTSTATUS};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The local target of a device: what it is attached to.
pub struct IoTarget {
    device: WDFDEVICE,
    lower: Ptr<DEVICE_OBJECT>,
    pdo: Ptr<DEVICE_OBJECT>,
    flow: SpinLock<Flow>,
}

impl IoTarget {
    /// The device whose target it is.
    pub fn device(&self) -> Typed<Device> {
        lookup(self.device)
    }

    /// The device that requests are sent to.
    pub const fn lower(&self) -> Ptr<DEVICE_OBJECT> {
        self.lower
    }
}

/// Makes a device's local target.
fn create(device: &Typed<Device>) -> Outcome<WDFIOTARGET> {
    let body = Body::IoTarget(IoTarget {
        device: device.handle(),
        lower: device.lower(),
        pdo: device.pdo(),
        flow: SpinLock::new(Flow::new()),
    });
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
    lookup::<self::IoTarget>(IoTarget).lower.0
}

/// `WdfIoTargetWdmGetTargetPhysicalDevice`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetWdmGetTargetPhysicalDevice(
    _: Globals,
    IoTarget: WDFIOTARGET,
) -> *mut DEVICE_OBJECT {
    lookup::<self::IoTarget>(IoTarget).pdo.0
}
