//! Control devices: devices that the driver makes for itself, without PnP.

use super::Device;
use super::init::{DeviceInit, copy};
use crate::abi::{PWDFDEVICE_INIT, WDF_DRIVER_GLOBALS, WDFDEVICE, WDFDRIVER};
use crate::client::characters;
use crate::driver::Driver;
use crate::kernel::Irp;
use crate::object::{Typed, lookup};
use alloc::boxed::Box;
use nt_abi::{DO_DEVICE_INITIALIZING, NTSTATUS, PUNICODE_STRING, STATUS_SUCCESS, UCHAR};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `EvtDeviceShutdownNotification`.
pub type ShutdownEvent = unsafe extern "win64" fn(WDFDEVICE);

/// `WdfControlDeviceInitAllocate`; null when there is no memory. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfControlDeviceInitAllocate(
    _: Globals,
    Driver: WDFDRIVER,
    SDDLString: PUNICODE_STRING,
) -> PWDFDEVICE_INIT {
    let driver = lookup::<self::Driver>(Driver);
    // SAFETY: The client passes its string.
    let sddl = copy(unsafe { characters(SDDLString) });
    let init = DeviceInit::for_control(driver.object().client());
    match (init, sddl) {
        (Ok(mut init), Ok(sddl)) => {
            init.sddl = (!sddl.is_empty()).then_some(sddl);
            Box::leak(init).as_client()
        }
        _ => core::ptr::null_mut(),
    }
}

/// `WdfControlDeviceInitSetShutdownNotification`. The event is called when the system sends the
/// device a shutdown request. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfControlDeviceInitSetShutdownNotification(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    Notification: Option<ShutdownEvent>,
    _Flags: UCHAR,
) {
    // SAFETY: The client passes its pointer.
    unsafe { self::DeviceInit::from_client(DeviceInit) }.shutdown = Notification;
}

/// `WdfControlFinishInitializing`: from here on the device can be opened. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfControlFinishInitializing(_: Globals, Device: WDFDEVICE) {
    let device = lookup::<self::Device>(Device);
    let wdm = device.wdm();
    if !wdm.is_null() {
        // SAFETY: The device exists until its framework device is deleted.
        unsafe { (*wdm).Flags &= !DO_DEVICE_INITIALIZING };
    }
}

/// `IRP_MJ_SHUTDOWN`.
pub fn shutdown(device: &Typed<Device>, irp: Irp) -> NTSTATUS {
    if let Some(event) = device.shutdown {
        // SAFETY: The client registered the event for its device; shutdown comes at `PASSIVE_LEVEL`.
        unsafe { event(device.handle()) };
    }
    // SAFETY: The dispatch routine owns the IRP.
    unsafe { irp.complete(STATUS_SUCCESS) }
}
