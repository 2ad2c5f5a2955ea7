//! The driver: from `DriverEntry` to its unload.

use syncstress_stress::Engine;
use wdk_sync::Status;
use wdk_sys::{
    DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, WDF_DRIVER_CONFIG, WDF_NO_HANDLE,
    WDF_OBJECT_ATTRIBUTES, WDFDRIVER, WDFOBJECT, call_unsafe_wdf_function_binding,
};

use crate::{
    abi::{inherited_attributes, size},
    context::ContextType,
    device,
};

/// The context of the driver object.
static ENGINE: ContextType<Engine> = ContextType::new(c"syncstress.Engine", &raw const ENGINE.info);

/// Creates the framework's driver object and the engine.
///
/// IRQL: `PASSIVE_LEVEL`. Pages: `DRIVER_INITIALIZE`, `WdfDriverCreate`.
///
/// # Safety
///
/// Called once by the entry library of the framework, with the arguments of the I/O manager.
// SAFETY: The entry library calls the one symbol of this name in the image.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: &mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        EvtCleanupCallback: Some(driver_cleanup),
        ContextTypeInfo: &raw const ENGINE.info,
        ..inherited_attributes()
    };
    let mut config = WDF_DRIVER_CONFIG {
        Size: size::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: Some(device::device_add),
        ..WDF_DRIVER_CONFIG::default()
    };
    let mut handle: WDFDRIVER = WDF_NO_HANDLE.cast();
    // SAFETY: Driver object and path are the I/O manager's; attributes, configuration and handle
    // live across the call.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            &raw mut attributes,
            &raw mut config,
            &raw mut handle,
        )
    };
    if !Status::from_raw(status).is_success() {
        return status;
    }
    match create_engine(handle) {
        Ok(()) => Status::SUCCESS,
        Err(status) => status,
    }
    .into_raw()
}

fn create_engine(driver: WDFDRIVER) -> Result<(), Status> {
    let engine = Engine::new([
        version_part(env!("CARGO_PKG_VERSION_MAJOR")),
        version_part(env!("CARGO_PKG_VERSION_MINOR")),
        version_part(env!("CARGO_PKG_VERSION_PATCH")),
    ])?;
    // SAFETY: The driver object was just created and lives until the unload.
    let slot = unsafe { ENGINE.slot_of(driver.cast()) }.ok_or(Status::INVALID_DEVICE_STATE)?;
    slot.put(engine).map_err(|_| Status::INVALID_DEVICE_STATE)
}

fn version_part(digits: &str) -> u16 {
    digits.parse().unwrap_or(0)
}

/// The engine of a driver whose object lives for `'a`.
///
/// # Safety
///
/// `driver` is the handle of this driver, and it is not being unloaded within `'a`.
pub unsafe fn engine_of<'a>(driver: WDFDRIVER) -> Result<&'a Engine, Status> {
    // SAFETY: The caller vouches for the handle.
    unsafe { ENGINE.slot_of(driver.cast()) }
        .and_then(|slot| slot.get())
        .ok_or(Status::INVALID_DEVICE_STATE)
}

/// `EvtCleanupCallback` of the driver object: the unload. No device and no file is left.
///
/// IRQL: `PASSIVE_LEVEL`. Page: `EVT_WDF_OBJECT_CONTEXT_CLEANUP`.
extern "C" fn driver_cleanup(driver: WDFOBJECT) {
    // SAFETY: The context outlives the cleanup of its object.
    if let Some(slot) = unsafe { ENGINE.slot_of(driver) } {
        // SAFETY: The callbacks that use the engine are those of devices, which are gone.
        drop(unsafe { slot.take() });
    }
}
