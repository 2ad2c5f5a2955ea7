//! What a target's stack is asked for: interfaces, its physical device, and what the PnP manager knows of that.

use super::{Globals, IoTarget};
use crate::abi::{WDF_OBJECT_ATTRIBUTES, WDFIOTARGET, WDFMEMORY};
use crate::device::{publish_property, query_parameters, query_property, query_stack};
use crate::kernel::{
    EMPTY, ExFreePool, IoGetAttachedDeviceReference, ObfDereferenceObject, Outcome, OwnedIrp, Ptr,
    current_irql,
};
use crate::object::lookup;
use core::ffi::c_void;
use nt_abi::{
    DEVICE_OBJECT, DEVICE_RELATIONS, GUID, INTERFACE, IO_STACK_LOCATION, IRP_MJ_PNP,
    IRP_MN_QUERY_DEVICE_RELATIONS, IoStackParameters, NT_SUCCESS, NTSTATUS, PULONG, PVOID,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST, STATUS_NOT_SUPPORTED,
    TargetDeviceRelation, ULONG, USHORT,
};

/// Asks a stack for its physical device, which comes with a reference; null if it does not tell. IRQL `PASSIVE_LEVEL`.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`.
///
/// # Safety
/// The device is there.
pub(super) unsafe fn physical_device(device: Ptr<DEVICE_OBJECT>) -> Outcome<Ptr<DEVICE_OBJECT>> {
    // SAFETY: By contract.
    let top = Ptr(unsafe { IoGetAttachedDeviceReference(device.0) });
    // SAFETY: As above, and the reference keeps it.
    let answer = unsafe { ask_for_relations(top) };
    // SAFETY: The reference came with the device.
    unsafe { ObfDereferenceObject(top.0.cast()) };
    let relations = answer?;
    // SAFETY: The answer is null, or relations that are the asking driver's now.
    let Some(found) = (unsafe { relations.as_ref() }) else {
        return Ok(Ptr::NULL);
    };
    let pdo = Ptr(found.Objects[0]);
    // SAFETY: As above.
    unsafe { ExFreePool(relations.cast()) };
    Ok(pdo)
}

/// The relations that the stack of a device answers with; null if it does not.
///
/// # Safety
/// The device is the top of its stack, and stays.
unsafe fn ask_for_relations(top: Ptr<DEVICE_OBJECT>) -> Outcome<*mut DEVICE_RELATIONS> {
    let none = core::ptr::null_mut();
    let target = core::ptr::without_provenance_mut(TargetDeviceRelation);
    let location = IO_STACK_LOCATION {
        #[expect(clippy::cast_possible_truncation, reason = "codes are bytes")]
        MajorFunction: IRP_MJ_PNP as u8,
        #[expect(clippy::cast_possible_truncation, reason = "codes are bytes")]
        MinorFunction: IRP_MN_QUERY_DEVICE_RELATIONS as u8,
        Parameters: IoStackParameters {
            Others: [target, none, none, none],
        },
        ..EMPTY
    };
    let irp = OwnedIrp::new(top)?;
    // SAFETY: The IRP is made for the device, which stays by contract.
    match unsafe { irp.ask(top, location, STATUS_NOT_SUPPORTED) } {
        STATUS_INSUFFICIENT_RESOURCES => Err(STATUS_INSUFFICIENT_RESOURCES),
        status if NT_SUCCESS(status) => Ok(irp.information().cast()),
        _ => Ok(none.cast()),
    }
}

/// The physical device whose properties are asked for.
fn known(target: WDFIOTARGET) -> Outcome<Ptr<DEVICE_OBJECT>> {
    let pdo = lookup::<IoTarget>(target).pdo();
    if current_irql() == 0 && !pdo.is_null() {
        Ok(pdo)
    } else {
        Err(STATUS_INVALID_DEVICE_REQUEST)
    }
}

/// `WdfIoTargetQueryTargetProperty`: a property of the target's physical device.
/// IRQL `PASSIVE_LEVEL` (`STATUS_INVALID_DEVICE_REQUEST`).
///
/// `STATUS_INVALID_DEVICE_REQUEST` for a target that has no such device, or is closed.
pub unsafe extern "win64" fn WdfIoTargetQueryTargetProperty(
    _: Globals,
    IoTarget: WDFIOTARGET,
    DeviceProperty: i32,
    BufferLength: ULONG,
    PropertyBuffer: PVOID,
    ResultLength: PULONG,
) -> NTSTATUS {
    let (pdo, buffer) = (known(IoTarget), PropertyBuffer);
    // SAFETY: The client's buffer, passed on.
    unsafe { query_property(pdo, DeviceProperty, BufferLength, buffer, ResultLength) }
}

/// `WdfIoTargetAllocAndQueryTargetProperty`: the same in a memory object that is made for it.
/// IRQL `PASSIVE_LEVEL` (`STATUS_INVALID_DEVICE_REQUEST`).
pub unsafe extern "win64" fn WdfIoTargetAllocAndQueryTargetProperty(
    DriverGlobals: Globals,
    IoTarget: WDFIOTARGET,
    DeviceProperty: i32,
    _PoolType: i32,
    PropertyMemoryAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    PropertyMemory: *mut WDFMEMORY,
) -> NTSTATUS {
    let (pdo, attributes) = (known(IoTarget), PropertyMemoryAttributes);
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

/// `WdfIoTargetQueryForInterface`: asks the stack of a target for an interface.
/// IRQL `PASSIVE_LEVEL` (`STATUS_INVALID_DEVICE_REQUEST`).
///
/// `STATUS_INVALID_DEVICE_REQUEST` for one that is closed; otherwise as `WdfFdoQueryForInterface`.
pub unsafe extern "win64" fn WdfIoTargetQueryForInterface(
    _: Globals,
    IoTarget: WDFIOTARGET,
    InterfaceType: *const GUID,
    Interface: *mut INTERFACE,
    Size: USHORT,
    Version: USHORT,
    InterfaceSpecificData: *mut c_void,
) -> NTSTATUS {
    let target = lookup::<self::IoTarget>(IoTarget);
    let query = query_parameters(
        InterfaceType,
        Interface,
        Size,
        Version,
        InterfaceSpecificData,
    );
    let device = target.lower();
    if current_irql() != 0 || device.is_null() {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    // SAFETY: The device is there while the target is open, and the pointers are the client's.
    unsafe { query_stack(device, query) }
}
