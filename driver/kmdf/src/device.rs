//! The device: root-enumerated, for administrators and SYSTEM alone, with an interface and a symbolic
//! link.

use syncstress_protocol::{DEVICE_INTERFACE_GUID, DOS_DEVICE_NAME};
use wdk_sync::Status;
use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, GUID, NTSTATUS, PCUNICODE_STRING,
    WDF_NO_HANDLE, WDF_OBJECT_ATTRIBUTES, WDFDEVICE, WDFDEVICE_INIT, WDFDRIVER,
    call_unsafe_wdf_function_binding,
};

use crate::{abi::inherited_attributes, file, queue, wide::Wide};

/// Everything to SYSTEM and to administrators, nothing to others.
static SDDL: Wide<27> = Wide::join(&["D:P(A;;GA;;;SY)(A;;GA;;;BA)"]);

/// The name of the device object.
static NAME: Wide<{ DEVICES.len() + DOS_DEVICE_NAME.len() }> =
    Wide::join(&[DEVICES, DOS_DEVICE_NAME]);
const DEVICES: &str = r"\Device\";

/// The name by which programs open the device.
static SYMBOLIC_LINK: Wide<{ LINKS.len() + DOS_DEVICE_NAME.len() }> =
    Wide::join(&[LINKS, DOS_DEVICE_NAME]);
const LINKS: &str = r"\DosDevices\";

/// `EvtDriverDeviceAdd`: creates the device of a new devnode.
///
/// IRQL: `PASSIVE_LEVEL`. Page: `EVT_WDF_DRIVER_DEVICE_ADD`.
pub extern "C" fn device_add(_driver: WDFDRIVER, device_init: *mut WDFDEVICE_INIT) -> NTSTATUS {
    match create(device_init) {
        Ok(()) => Status::SUCCESS,
        Err(status) => status,
    }
    .into_raw()
}

fn create(mut device_init: *mut WDFDEVICE_INIT) -> Result<(), Status> {
    secure(device_init)?;
    file::configure(device_init);
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        // Callbacks of the device, its queue and its files may wait.
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeNone,
        ..inherited_attributes()
    };
    let mut device: WDFDEVICE = WDF_NO_HANDLE.cast();
    // SAFETY: The framework gave the initialisation structure for this call to consume; attributes
    // and handle live across it.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreate,
            &raw mut device_init,
            &raw mut attributes,
            &raw mut device,
        )
    };
    Status::from_raw(status).ok()?;
    queue::create(device)?;
    publish(device)
}

/// Gives the device a name, and a security descriptor for who opens it by that name.
///
/// Without a name of its own the symbolic link would lead to the physical device below, and past this
/// descriptor. The interface does lead there; the descriptor for it is in the INF.
fn secure(device_init: *mut WDFDEVICE_INIT) -> Result<(), Status> {
    let name = NAME.unicode_string();
    // SAFETY: The framework gave the initialisation structure, and no device was created of it yet;
    // the string lives across the call.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitAssignName,
            device_init,
            &raw const name as PCUNICODE_STRING,
        )
    };
    Status::from_raw(status).ok()?;
    let sddl = SDDL.unicode_string();
    // SAFETY: As above.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitAssignSDDLString,
            device_init,
            &raw const sddl as PCUNICODE_STRING,
        )
    };
    Status::from_raw(status).ok()
}

/// Lets programs find the device.
fn publish(device: WDFDEVICE) -> Result<(), Status> {
    let (data1, data2, data3, data4) = DEVICE_INTERFACE_GUID;
    let interface = GUID {
        Data1: data1,
        Data2: data2,
        Data3: data3,
        Data4: data4,
    };
    // SAFETY: The device exists, and the GUID lives across the call; no reference string.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreateDeviceInterface,
            device,
            &raw const interface,
            core::ptr::null(),
        )
    };
    Status::from_raw(status).ok()?;
    let link = SYMBOLIC_LINK.unicode_string();
    // SAFETY: The device exists, and the string lives across the call.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceCreateSymbolicLink,
            device,
            &raw const link as PCUNICODE_STRING,
        )
    };
    Status::from_raw(status).ok()
}
