//! Driver objects: how they are made, their defaults, and their extensions.

use core::cell::UnsafeCell;
use std::sync::Arc;

use nt_abi::{
    DO_DEVICE_INITIALIZING, DRIVER_EXTENSION, DRIVER_OBJECT, IO_TYPE_DRIVER, NTSTATUS,
    PDEVICE_OBJECT, PDRIVER_INITIALIZE, PDRIVER_OBJECT, PIRP, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_COLLISION,
    STATUS_SUCCESS, ULONG,
};
use parking_lot::Mutex;

use super::{
    complete::IofCompleteRequest,
    irp::Irp,
    object::{DriverObject, DriverPart, Extension, Text, UnsafeExtension},
    rules,
};
use crate::fault;

/// Where the registry keeps services.
pub const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";

/// Makes the driver object of a service, with the default dispatch routines.
pub fn create(name: &str, init: PDRIVER_INITIALIZE, start: usize, size: usize) -> DriverObject {
    let part = DriverPart {
        name: Arc::from(name),
        object_name: Text::new(&format!(r"\Driver\{name}")),
        service_key: Text::new(name),
        extension: Box::new(UnsafeExtension(
            UnsafeCell::new(DRIVER_EXTENSION::default()),
        )),
        client_extensions: Mutex::default(),
    };
    let driver = DriverObject::create(DRIVER_OBJECT::default(), part);
    let part = driver.kernel();
    let value = DRIVER_EXTENSION {
        DriverObject: driver.as_ptr(),
        ServiceKeyName: part.service_key.counted(),
        ..DRIVER_EXTENSION::default()
    };
    // SAFETY: Nobody else knows of the object yet.
    unsafe { part.extension.0.get().write(value) };
    let nt = DRIVER_OBJECT {
        Type: IO_TYPE_DRIVER,
        Size: size_of::<DRIVER_OBJECT>() as i16,
        DriverStart: std::ptr::with_exposed_provenance_mut(start),
        DriverSize: size as ULONG,
        DriverInit: init,
        DriverName: part.object_name.counted(),
        DriverExtension: part.extension.0.get(),
        MajorFunction: [Some(invalid_device_request); 28],
        ..DRIVER_OBJECT::default()
    };
    // SAFETY: As above.
    unsafe { driver.as_ptr().write(nt) };
    driver
}

/// What is done after `DriverEntry`: the default routine is put where the driver has left none, and
/// its devices are taken as initialised.
pub fn finish_entry(driver: DriverObject) {
    let filled = driver
        .majors()
        .map(|routine| routine.or(Some(invalid_device_request)));
    driver.set_majors(filled);
    for device in driver.devices() {
        device.set_flags(device.flags() & !DO_DEVICE_INITIALIZING);
    }
}

/// The dispatch routine for what a driver does not handle.
unsafe extern "win64" fn invalid_device_request(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: The I/O manager passes an IRP that is alive.
    if let Some(irp) = unsafe { Irp::new(irp) } {
        irp.set_status(STATUS_INVALID_DEVICE_REQUEST);
        irp.set_information(0);
        // SAFETY: This routine owns the IRP, and gives it up here.
        unsafe { IofCompleteRequest(irp.as_ptr(), 0) };
    }
    STATUS_INVALID_DEVICE_REQUEST
}

/// Allocates memory that lives as long as the driver object, under an identifying address.
///
/// `<= DISPATCH_LEVEL`. `STATUS_OBJECT_NAME_COLLISION` if there is one under that address. DDI:
/// `IoAllocateDriverObjectExtension`.
///
/// # Safety
///
/// `DriverObject` must be a driver object, `DriverObjectExtension` valid for a write.
pub unsafe extern "win64" fn IoAllocateDriverObjectExtension(
    DriverObject: PDRIVER_OBJECT,
    ClientIdentificationAddress: PVOID,
    DriverObjectExtensionSize: ULONG,
    DriverObjectExtension: *mut PVOID,
) -> NTSTATUS {
    const NAME: &str = "IoAllocateDriverObjectExtension";
    rules::dispatch_level(NAME);
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: Valid by the contract of this function.
    let Some(driver) = (unsafe { super::object::DriverObject::new(DriverObject) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    let identity = ClientIdentificationAddress.addr();
    // One more byte than asked for, so that even an empty extension has an address.
    let extension = Extension::new(DriverObjectExtensionSize.saturating_add(1));
    let address = extension.address();
    let mut extensions = driver.kernel().client_extensions.lock();
    if extensions.iter().any(|(client, _)| *client == identity) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    extensions.push((identity, extension));
    drop(extensions);
    // SAFETY: Valid for a write by the contract of this function.
    unsafe { DriverObjectExtension.write(address) };
    STATUS_SUCCESS
}

/// Finds what [`IoAllocateDriverObjectExtension`] allocated; null if there is nothing.
/// `<= DISPATCH_LEVEL`. DDI: `IoGetDriverObjectExtension`.
///
/// # Safety
///
/// `DriverObject` must be a driver object.
pub unsafe extern "win64" fn IoGetDriverObjectExtension(
    DriverObject: PDRIVER_OBJECT,
    ClientIdentificationAddress: PVOID,
) -> PVOID {
    rules::dispatch_level("IoGetDriverObjectExtension");
    // SAFETY: Valid by the contract of this function.
    let driver = unsafe { super::object::DriverObject::new(DriverObject) };
    let identity = ClientIdentificationAddress.addr();
    driver
        .and_then(|driver| {
            let extensions = driver.kernel().client_extensions.lock();
            extensions
                .iter()
                .find(|(client, _)| *client == identity)
                .map(|(_, e)| e.address())
        })
        .unwrap_or(std::ptr::null_mut())
}

crate::export::exports! {
    "ntoskrnl.exe"; IoAllocateDriverObjectExtension, IoGetDriverObjectExtension
}
