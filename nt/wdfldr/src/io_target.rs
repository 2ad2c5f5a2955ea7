//! `WDFIOTARGET`: the drivers below a device, as the target of requests.

use crate::abi::{WDF_DRIVER_GLOBALS, WDFDEVICE, WDFIOTARGET, WDFOBJECT, WdfIoTargetStarted};
use crate::device::Device;
use crate::kernel::{Outcome, Ptr};
use crate::object::{self, Attributes, Body, Typed, lookup};
use nt_abi::DEVICE_OBJECT;

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The local target of a device: what it is attached to.
pub struct IoTarget {
    device: WDFDEVICE,
    lower: Ptr<DEVICE_OBJECT>,
    pdo: Ptr<DEVICE_OBJECT>,
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

/// `WdfIoTargetGetState`: a local target is started as long as it is there. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetGetState(_: Globals, IoTarget: WDFIOTARGET) -> i32 {
    lookup::<self::IoTarget>(IoTarget);
    WdfIoTargetStarted
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
