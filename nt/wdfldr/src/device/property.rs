//! Properties that the PnP manager keeps of a device, before and after there is a device object.

use super::{Device, DeviceInit};
use crate::abi::{
    PWDFDEVICE_INIT, WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFDEVICE, WDFMEMORY,
};
use crate::client::Client;
use crate::kernel::{IoGetDeviceProperty, Outcome, Ptr, check, ulong};
use crate::memory::Memory;
use crate::object::{Body, create_simple, lookup};
use crate::violation;
use nt_abi::{
    DEVICE_OBJECT, NTSTATUS, PULONG, PVOID, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER, ULONG,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The physical device of a functional one.
fn of_device(device: WDFDEVICE) -> Outcome<Ptr<DEVICE_OBJECT>> {
    let device = lookup::<Device>(device);
    if device.is_control() {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    } else {
        Ok(device.pdo())
    }
}

/// The physical device that a functional one is to be made for.
///
/// # Safety
/// It is the pointer that the client was given.
unsafe fn of_init(init: PWDFDEVICE_INIT) -> Outcome<Ptr<DEVICE_OBJECT>> {
    // SAFETY: By contract.
    let init = unsafe { DeviceInit::from_client(init) };
    if init.pdo.is_null() {
        Err(STATUS_INVALID_PARAMETER)
    } else {
        Ok(init.pdo)
    }
}

/// Copies a property into the client's buffer.
///
/// # Safety
/// The buffer is the client's, of the length that it says.
pub unsafe fn query_property(
    pdo: Outcome<Ptr<DEVICE_OBJECT>>,
    property: i32,
    length: ULONG,
    buffer: PVOID,
    needed: PULONG,
) -> NTSTATUS {
    if needed.is_null() {
        violation::null_parameter(c"a function that queries a property (ResultLength)");
    }
    match pdo {
        // SAFETY: The physical device is the PnP manager's; the buffer is as it asks by contract.
        Ok(pdo) => unsafe { IoGetDeviceProperty(pdo.0, property, length, buffer, needed) },
        Err(status) => status,
    }
}

/// A property in memory of its own, as long as it is.
fn allocate(pdo: Ptr<DEVICE_OBJECT>, property: i32, tag: u32) -> Outcome<Memory> {
    let mut needed = 0;
    let none = core::ptr::null_mut();
    // SAFETY: The physical device is the PnP manager's, the output a local variable.
    let status = unsafe { IoGetDeviceProperty(pdo.0, property, 0, none, &raw mut needed) };
    if status != STATUS_BUFFER_TOO_SMALL {
        check(status)?;
    }
    let memory = Memory::allocate(needed as usize, tag)?;
    let (buffer, size) = memory.buffer();
    // SAFETY: As above, and the buffer is of that size.
    let status =
        unsafe { IoGetDeviceProperty(pdo.0, property, ulong(size), buffer, &raw mut needed) };
    check(status).map(|()| memory)
}

/// Makes the memory object for [`allocate`].
///
/// # Safety
/// The pointers are those of a client.
pub unsafe fn publish_property(
    globals: Globals,
    pdo: Outcome<Ptr<DEVICE_OBJECT>>,
    property: i32,
    attributes: *mut WDF_OBJECT_ATTRIBUTES,
    place: *mut WDFMEMORY,
) -> NTSTATUS {
    if place.is_null() {
        violation::null_parameter(c"a function that queries a property (PropertyMemory)");
    }
    let tag = Client::from_globals(globals).tag();
    match pdo.and_then(|pdo| allocate(pdo, property, tag)) {
        // SAFETY: By contract.
        Ok(memory) => unsafe { create_simple(globals, Body::Memory(memory), attributes, place) },
        Err(status) => status,
    }
}

/// `WdfDeviceQueryProperty`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceQueryProperty(
    _: Globals,
    Device: WDFDEVICE,
    DeviceProperty: i32,
    BufferLength: ULONG,
    PropertyBuffer: PVOID,
    ResultLength: PULONG,
) -> NTSTATUS {
    let pdo = of_device(Device);
    // SAFETY: The client's buffer, passed on.
    unsafe {
        query_property(
            pdo,
            DeviceProperty,
            BufferLength,
            PropertyBuffer,
            ResultLength,
        )
    }
}

/// `WdfFdoInitQueryProperty`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfFdoInitQueryProperty(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    DeviceProperty: i32,
    BufferLength: ULONG,
    PropertyBuffer: PVOID,
    ResultLength: PULONG,
) -> NTSTATUS {
    // SAFETY: It is the pointer that the client was given.
    let pdo = unsafe { of_init(DeviceInit) };
    // SAFETY: The client's buffer, passed on.
    unsafe {
        query_property(
            pdo,
            DeviceProperty,
            BufferLength,
            PropertyBuffer,
            ResultLength,
        )
    }
}

/// `WdfDeviceAllocAndQueryProperty`: a property in a memory object that is made for it.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceAllocAndQueryProperty(
    DriverGlobals: Globals,
    Device: WDFDEVICE,
    DeviceProperty: i32,
    _PoolType: i32,
    PropertyMemoryAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    PropertyMemory: *mut WDFMEMORY,
) -> NTSTATUS {
    let (pdo, attributes) = (of_device(Device), PropertyMemoryAttributes);
    // SAFETY: The client's pointers, passed on.
    unsafe {
        publish_property(
            DriverGlobals,
            pdo,
            DeviceProperty,
            attributes,
            PropertyMemory,
        )
    }
}

/// `WdfFdoInitAllocAndQueryProperty`: the same before there is a device object. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfFdoInitAllocAndQueryProperty(
    DriverGlobals: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    DeviceProperty: i32,
    _PoolType: i32,
    PropertyMemoryAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    PropertyMemory: *mut WDFMEMORY,
) -> NTSTATUS {
    // SAFETY: It is the pointer that the client was given.
    let pdo = unsafe { of_init(DeviceInit) };
    let attributes = PropertyMemoryAttributes;
    // SAFETY: The client's pointers, passed on.
    unsafe {
        publish_property(
            DriverGlobals,
            pdo,
            DeviceProperty,
            attributes,
            PropertyMemory,
        )
    }
}
