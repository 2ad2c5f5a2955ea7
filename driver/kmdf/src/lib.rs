//! syncstress.sys: a KMDF driver with one root-enumerated device.

#![no_std]

use wdk_alloc::WdkAllocator;
use wdk_panic as _;
use wdk_sys::{
    DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, ULONG, WDF_DRIVER_CONFIG, WDF_NO_HANDLE,
    WDF_NO_OBJECT_ATTRIBUTES, WDFDEVICE, WDFDEVICE_INIT, WDFDRIVER,
    call_unsafe_wdf_function_binding,
};

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;

/// Creates the framework's driver object.
///
/// # Safety
///
/// Called once by the entry library, with the arguments that the I/O manager gave it.
// SAFETY: the entry library of KMDF calls the one symbol of this name in the image.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: &mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the structure has 32 bytes"
    )]
    let mut config = WDF_DRIVER_CONFIG {
        Size: size_of::<WDF_DRIVER_CONFIG>() as ULONG,
        EvtDriverDeviceAdd: Some(device_add),
        ..WDF_DRIVER_CONFIG::default()
    };
    // SAFETY: the driver object and the path are the I/O manager's, the configuration lives
    // across the call, and the handle is not asked for.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            WDF_NO_OBJECT_ATTRIBUTES,
            &raw mut config,
            WDF_NO_HANDLE.cast::<WDFDRIVER>(),
        )
    }
}

/// `EvtDriverDeviceAdd`, at `PASSIVE_LEVEL`: creates the device.
extern "C" fn device_add(_driver: WDFDRIVER, mut device_init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    let mut device: WDFDEVICE = WDF_NO_HANDLE.cast();
    // SAFETY: the framework gave the initialisation structure for this call to consume, and both
    // out-parameters live across it.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreate,
            &raw mut device_init,
            WDF_NO_OBJECT_ATTRIBUTES,
            &raw mut device,
        )
    }
}
