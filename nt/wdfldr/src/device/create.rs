//! Making a device from its initialisation structure.

use super::init::DeviceInit;
use super::interface::Names;
use super::pnp::PnpState;
use super::{Device, Extension, MAJORS};
use crate::abi::{
    PWDFDEVICE_INIT, STATUS_INVALID_SECURITY_DESCR, WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES,
    WDFDEVICE, WDFOBJECT, WdfDeviceIoBuffered, WdfDeviceIoBufferedOrDirect, WdfDeviceIoDirect,
};
use crate::kernel::{
    IoAttachDeviceToDeviceStack, IoCreateDevice, IoDeleteDevice, Outcome, Ptr, SpinLock, check,
    status_of, try_box, ulong, ushort,
};
use crate::object::{self, Attributes, Body, ParentRule, Rules, Typed, lookup_raw};
use crate::violation;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use nt_abi::{
    DEVICE_OBJECT, DO_BUFFERED_IO, DO_DIRECT_IO, DO_POWER_PAGABLE, NTSTATUS,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_STATE, STATUS_NO_SUCH_DEVICE,
    UNICODE_STRING,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `WdfDeviceCreate`. On success the pointer to the initialisation structure becomes null.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceCreate(
    _: Globals,
    DeviceInit: *mut PWDFDEVICE_INIT,
    DeviceAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Device: *mut WDFDEVICE,
) -> NTSTATUS {
    if DeviceInit.is_null() || Device.is_null() {
        violation::null_parameter(c"WdfDeviceCreate");
    }
    // SAFETY: The client passes the place of its pointer.
    let pointer = unsafe { DeviceInit.read() };
    // SAFETY: It is the pointer that the client was given.
    let init = unsafe { self::DeviceInit::from_client(pointer) };
    let rules = Rules {
        parent: ParentRule::Forbidden,
        levels: true,
    };
    // SAFETY: The client passes its attributes.
    let outcome = unsafe { Attributes::read(DeviceAttributes, rules) }
        .and_then(|attributes| create(init, &attributes))
        .map(|device| {
            // SAFETY: The place is not null.
            unsafe { Device.write(device.handle()) };
            // SAFETY: As above.
            unsafe { DeviceInit.write(core::ptr::null_mut()) };
            finish(init, device);
        });
    status_of(outcome)
}

/// What becomes of the initialisation structure: the PnP path looks at it once more, a control
/// device's is done with.
fn finish(init: &mut DeviceInit, device: Typed<Device>) {
    if init.pdo.is_null() {
        // SAFETY: Structures of control devices come from a leaked box, and the client's pointer to
        // it was set to null.
        drop(unsafe { Box::from_raw(core::ptr::from_mut(init)) });
    } else {
        init.created = Some(device);
    }
}

fn create(init: &mut DeviceInit, attributes: &Attributes) -> Outcome<Typed<Device>> {
    if init.created.is_some() {
        return Err(STATUS_INVALID_DEVICE_STATE);
    }
    if init.sddl.is_some() && init.name.is_none() {
        return Err(STATUS_INVALID_SECURITY_DESCR);
    }
    let driver = lookup_raw(init.client.driver()).ok_or(STATUS_INVALID_DEVICE_STATE)?;
    let wdm = create_wdm(init)?;
    let undo = |status: NTSTATUS| {
        // SAFETY: The device was created just now and is not attached or known to anybody.
        unsafe { IoDeleteDevice(wdm) };
        status
    };
    let lower = attach(init, wdm).map_err(undo)?;
    let device = match try_box(describe(init, wdm, lower)) {
        Ok(device) => device,
        Err(error) => {
            detach(lower);
            return Err(undo(error.into()));
        }
    };
    // From here on the framework object owns the WDM device: deleting the one deletes the other.
    let object = object::create(init.client, Body::Device(device), attributes, Some(&driver))?;
    if !init.pdo.is_null() {
        object.make_permanent();
    }
    let device = object
        .typed::<Device>()
        .ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
    connect(init, &device);
    Ok(device)
}

/// Creates the WDM device, named if the client gave a name.
fn create_wdm(init: &mut DeviceInit) -> Outcome<*mut DEVICE_OBJECT> {
    let mut name = init.name.as_mut().map(|name| string_of(name));
    let name = name
        .as_mut()
        .map_or(core::ptr::null_mut(), core::ptr::from_mut);
    let mut wdm = core::ptr::null_mut();
    // SAFETY: The driver object is the client's; name and output are local.
    let status = unsafe {
        IoCreateDevice(
            init.client.driver_object().0,
            ulong(size_of::<Extension>()),
            name,
            init.device_type,
            init.characteristics,
            init.exclusive.into(),
            &raw mut wdm,
        )
    };
    check(status).map(|()| wdm)
}

/// A counted string over characters, which are at most 32767.
pub const fn string_of(characters: &mut [u16]) -> UNICODE_STRING {
    let length = ushort(size_of_val(characters));
    UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: characters.as_mut_ptr(),
    }
}

fn attach(init: &DeviceInit, wdm: *mut DEVICE_OBJECT) -> Outcome<Ptr<DEVICE_OBJECT>> {
    if init.pdo.is_null() {
        return Ok(Ptr::NULL);
    }
    // SAFETY: The PnP manager gave the physical device, and the other one was created just now.
    let lower = unsafe { IoAttachDeviceToDeviceStack(wdm, init.pdo.0) };
    if lower.is_null() {
        Err(STATUS_NO_SUCH_DEVICE)
    } else {
        Ok(Ptr(lower))
    }
}

fn detach(lower: Ptr<DEVICE_OBJECT>) {
    if !lower.is_null() {
        // SAFETY: The new device was attached to it just now.
        unsafe { crate::kernel::IoDetachDevice(lower.0) };
    }
}

fn describe(init: &mut DeviceInit, wdm: *mut DEVICE_OBJECT, lower: Ptr<DEVICE_OBJECT>) -> Device {
    Device {
        wdm: AtomicPtr::new(wdm),
        lower,
        pdo: init.pdo,
        filter: init.filter,
        pnp_events: init.pnp_events,
        files: init.files,
        open_files: SpinLock::new(Vec::new()),
        request_attributes: init.request_attributes,
        io_type: init.io_type,
        exclusive: init.exclusive,
        open_handles: AtomicU32::new(0),
        stoppable: AtomicBool::new(true),
        shutdown: init.shutdown,
        routes: [const { AtomicUsize::new(0) }; MAJORS],
        default_queue: AtomicUsize::new(WDFOBJECT::NULL.0),
        queues: SpinLock::new(Vec::new()),
        state: SpinLock::new(PnpState::Created),
        names: SpinLock::new(Names::new(init.name.take())),
    }
}

/// Makes the WDM device point to its framework device, and sets the flags that the I/O manager reads.
fn connect(init: &DeviceInit, device: &Typed<Device>) {
    // SAFETY: The device was created above; until it is open to others nobody else touches it.
    let wdm = unsafe { &mut *device.wdm() };
    let extension = wdm.DeviceExtension.cast::<Extension>();
    // SAFETY: The extension has the size that was asked for, and is zeroed.
    unsafe { &(*extension).device }.store(device.handle().0, Ordering::Release);
    match init.io_type {
        WdfDeviceIoBuffered | WdfDeviceIoBufferedOrDirect => wdm.Flags |= DO_BUFFERED_IO,
        WdfDeviceIoDirect => wdm.Flags |= DO_DIRECT_IO,
        _ => {}
    }
    if !init.pdo.is_null() && init.power_pageable {
        wdm.Flags |= DO_POWER_PAGABLE;
    }
}
