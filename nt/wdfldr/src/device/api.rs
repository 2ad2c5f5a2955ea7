//! `WdfDevice...` and `WdfFdo...` on a device that exists.

use super::Device;
use super::pnp::PnpState;
use crate::abi::{
    WDF_DEVICE_PNP_CAPABILITIES, WDF_DRIVER_GLOBALS, WDFDEVICE, WDFDRIVER, WDFFILEOBJECT,
    WDFOBJECT, WDFQUEUE, WDFREQUEST, WdfDevStatePnpFailed, WdfDevStatePnpInit,
    WdfDevStatePnpRemoved, WdfDevStatePnpStarted, WdfDevStatePnpSurpriseRemove,
};
use crate::kernel::status_of;
use crate::object::lookup;
use crate::queue::{self, Queue};
use crate::request::Request;
use crate::violation;
use core::sync::atomic::Ordering;
use nt_abi::{BOOLEAN, DEVICE_OBJECT, FILE_OBJECT, NTSTATUS, STATUS_INVALID_DEVICE_REQUEST, ULONG};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `WdfDeviceWdmGetDeviceObject`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceWdmGetDeviceObject(
    _: Globals,
    Device: WDFDEVICE,
) -> *mut DEVICE_OBJECT {
    lookup::<self::Device>(Device).wdm()
}

/// `WdfDeviceWdmGetAttachedDevice`: null for a control device. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceWdmGetAttachedDevice(
    _: Globals,
    Device: WDFDEVICE,
) -> *mut DEVICE_OBJECT {
    lookup::<self::Device>(Device).lower().0
}

/// `WdfDeviceWdmGetPhysicalDevice`: null for a control device. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceWdmGetPhysicalDevice(
    _: Globals,
    Device: WDFDEVICE,
) -> *mut DEVICE_OBJECT {
    lookup::<self::Device>(Device).pdo().0
}

/// `WdfWdmDeviceGetWdfDeviceHandle`. The device object is one of the calling driver's.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWdmDeviceGetWdfDeviceHandle(
    _: Globals,
    DeviceObject: *mut DEVICE_OBJECT,
) -> WDFDEVICE {
    if DeviceObject.is_null() {
        violation::null_parameter(c"WdfWdmDeviceGetWdfDeviceHandle");
    }
    Device::of_wdm(DeviceObject).map_or(WDFOBJECT::NULL, |device| device.handle())
}

/// `WdfDeviceGetDriver`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetDriver(_: Globals, Device: WDFDEVICE) -> WDFDRIVER {
    lookup::<self::Device>(Device).object().client().driver()
}

/// `WdfDeviceGetDefaultQueue`: null when there is none. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetDefaultQueue(_: Globals, Device: WDFDEVICE) -> WDFQUEUE {
    lookup::<self::Device>(Device).default_queue()
}

/// `WdfDeviceGetFileObject`: null when the framework has none for it. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetFileObject(
    _: Globals,
    Device: WDFDEVICE,
    FileObject: *mut FILE_OBJECT,
) -> WDFFILEOBJECT {
    let device = lookup::<self::Device>(Device);
    crate::file::find(&device, FileObject).map_or(WDFOBJECT::NULL, |file| file.handle())
}

/// `WdfDeviceConfigureRequestDispatching`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceConfigureRequestDispatching(
    _: Globals,
    Device: WDFDEVICE,
    Queue: WDFQUEUE,
    RequestType: i32,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    let queue = lookup::<self::Queue>(Queue);
    status_of(queue::route(&device, &queue, RequestType))
}

/// `WdfDeviceEnqueueRequest`: from `EvtIoInCallerContext` to the request's queue.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceEnqueueRequest(
    _: Globals,
    Device: WDFDEVICE,
    Request: WDFREQUEST,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    let request = lookup::<self::Request>(Request);
    request.set_in_caller_context(false);
    device
        .route(request.major())
        .map_or(STATUS_INVALID_DEVICE_REQUEST, |queue| {
            queue::forward(&queue, &request)
        })
}

/// `WdfDeviceGetCharacteristics`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetCharacteristics(_: Globals, Device: WDFDEVICE) -> ULONG {
    let device = lookup::<self::Device>(Device);
    // SAFETY: A device that is not deleted has its WDM device, which only the framework deletes.
    unsafe { device.wdm().as_ref() }.map_or(0, |wdm| wdm.Characteristics)
}

/// `WdfDeviceSetCharacteristics`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceSetCharacteristics(
    _: Globals,
    Device: WDFDEVICE,
    DeviceCharacteristics: ULONG,
) {
    let device = lookup::<self::Device>(Device);
    let wdm = device.wdm();
    if !wdm.is_null() {
        // SAFETY: As above; the field is the function driver's to set.
        unsafe { (*wdm).Characteristics = DeviceCharacteristics };
    }
}

/// `WdfDeviceGetAlignmentRequirement`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetAlignmentRequirement(
    _: Globals,
    Device: WDFDEVICE,
) -> ULONG {
    let device = lookup::<self::Device>(Device);
    // SAFETY: As in `WdfDeviceGetCharacteristics`.
    unsafe { device.wdm().as_ref() }.map_or(0, |wdm| wdm.AlignmentRequirement)
}

/// `WdfDeviceSetAlignmentRequirement`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceSetAlignmentRequirement(
    _: Globals,
    Device: WDFDEVICE,
    AlignmentRequirement: ULONG,
) {
    let device = lookup::<self::Device>(Device);
    let wdm = device.wdm();
    if !wdm.is_null() {
        // SAFETY: As in `WdfDeviceSetCharacteristics`.
        unsafe { (*wdm).AlignmentRequirement = AlignmentRequirement };
    }
}

/// `WdfDeviceGetDevicePnpState`: the coarse state; the framework's intermediate ones do not occur
/// here. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetDevicePnpState(_: Globals, Device: WDFDEVICE) -> i32 {
    let device = lookup::<self::Device>(Device);
    match device.state.with(|state| *state) {
        PnpState::Created | PnpState::Stopped => WdfDevStatePnpInit,
        PnpState::Started => WdfDevStatePnpStarted,
        PnpState::SurpriseRemoved => WdfDevStatePnpSurpriseRemove,
        PnpState::Failed => WdfDevStatePnpFailed,
        PnpState::Removed => WdfDevStatePnpRemoved,
    }
}

/// `WdfDeviceSetPnpCapabilities`: what the PnP manager would show to users; no host here asks.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceSetPnpCapabilities(
    _: Globals,
    Device: WDFDEVICE,
    PnpCapabilities: *mut WDF_DEVICE_PNP_CAPABILITIES,
) {
    lookup::<self::Device>(Device);
    if PnpCapabilities.is_null() {
        violation::null_parameter(c"WdfDeviceSetPnpCapabilities");
    }
}

/// `WdfDeviceSetStaticStopRemove`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceSetStaticStopRemove(
    _: Globals,
    Device: WDFDEVICE,
    Stoppable: BOOLEAN,
) {
    let device = lookup::<self::Device>(Device);
    device.stoppable.store(Stoppable != 0, Ordering::Relaxed);
}
