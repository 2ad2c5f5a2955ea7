//! Files: each handle to the device has a session, whose run ends with it.

use syncstress_stress::{Device, Session};
use wdk_sync::{Irql, Passive, Status};
use wdk_sys::{
    _WDF_FILEOBJECT_CLASS, _WDF_TRI_STATE, WDF_FILEOBJECT_CONFIG, WDF_OBJECT_ATTRIBUTES, WDFDEVICE,
    WDFDEVICE_INIT, WDFFILEOBJECT, WDFREQUEST, call_unsafe_wdf_function_binding,
};

use crate::{
    abi::{inherited_attributes, size},
    context::ContextType,
    driver_entry::engine_of,
};

/// The context of a file object.
static SESSION: ContextType<Session> =
    ContextType::new(c"syncstress.Session", &raw const SESSION.info);

/// Asks for file objects with a session, before the device is created.
pub fn configure(device_init: *mut WDFDEVICE_INIT) {
    let mut config = WDF_FILEOBJECT_CONFIG {
        Size: size::<WDF_FILEOBJECT_CONFIG>(),
        EvtDeviceFileCreate: Some(create),
        EvtFileClose: Some(close),
        EvtFileCleanup: Some(cleanup),
        AutoForwardCleanupClose: _WDF_TRI_STATE::WdfUseDefault,
        FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCanUseFsContext,
    };
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        ContextTypeInfo: &raw const SESSION.info,
        ..inherited_attributes()
    };
    // SAFETY: The framework gave the initialisation structure, and no device was created of it yet;
    // the others live across the call.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDeviceInitSetFileObjectConfig,
            device_init,
            &raw mut config,
            &raw mut attributes,
        );
    }
}

/// The session of an open file.
///
/// # Safety
///
/// `file` is the handle of a file of this driver that is not closed within `'a`: that of a request
/// that is not completed within `'a` will do.
pub unsafe fn session_of<'a>(file: WDFFILEOBJECT) -> Option<&'a Session> {
    if file.is_null() {
        return None;
    }
    // SAFETY: The caller vouches for the handle.
    unsafe { SESSION.slot_of(file.cast()) }?.get()
}

/// `EvtDeviceFileCreate`.
///
/// IRQL: `PASSIVE_LEVEL`. Page: `EVT_WDF_DEVICE_FILE_CREATE`.
extern "C" fn create(device: WDFDEVICE, request: WDFREQUEST, file: WDFFILEOBJECT) {
    let status = match open(device, file) {
        Ok(()) => Status::SUCCESS,
        Err(status) => status,
    };
    // SAFETY: The framework gave the request to this callback to complete; that is done once.
    unsafe {
        call_unsafe_wdf_function_binding!(WdfRequestComplete, request, status.into_raw());
    }
}

fn open(device: WDFDEVICE, file: WDFFILEOBJECT) -> Result<(), Status> {
    // SAFETY: The device calls back, so it exists.
    let driver = unsafe { call_unsafe_wdf_function_binding!(WdfDeviceGetDriver, device) };
    // SAFETY: As above.
    let object = unsafe { call_unsafe_wdf_function_binding!(WdfDeviceWdmGetDeviceObject, device) };
    // SAFETY: The I/O manager keeps a device object while there is a file of it, whose session is dropped
    // when that is closed.
    let device = unsafe { Device::new(object.cast()) };
    // SAFETY: The driver of a device is not unloaded before the device is gone.
    let session = unsafe { engine_of(driver) }?.open(device)?;
    // SAFETY: The file is being opened, and lives until its close.
    let slot = unsafe { SESSION.slot_of(file.cast()) }.ok_or(Status::INVALID_DEVICE_STATE)?;
    slot.put(session).map_err(|_| Status::INVALID_DEVICE_STATE)
}

/// `EvtFileCleanup`: the last handle is closed. Requests may still be on their way.
///
/// IRQL: `PASSIVE_LEVEL`. Page: `EVT_WDF_FILE_CLEANUP`.
extern "C" fn cleanup(file: WDFFILEOBJECT) {
    // SAFETY: The framework calls this at PASSIVE_LEVEL, by its declaration, and this callback has no
    // other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    // SAFETY: The close of the file comes after its cleanup.
    if let Some(session) = unsafe { session_of(file) } {
        session.close(&mut irql);
    }
}

/// `EvtFileClose`: no request of the file is left.
///
/// IRQL: `PASSIVE_LEVEL`. Page: `EVT_WDF_FILE_CLOSE`.
extern "C" fn close(file: WDFFILEOBJECT) {
    // SAFETY: The file object lives through its close.
    if let Some(slot) = unsafe { SESSION.slot_of(file.cast()) } {
        // SAFETY: All requests of the file are completed, and its cleanup is over: nobody uses the
        // session.
        drop(unsafe { slot.take() });
    }
}
