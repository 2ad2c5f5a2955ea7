//! Remote targets: devices of other stacks, by name or by their WDM device object.
//!
//! Nobody tells this framework that the device of a target is about to go: the three events for that are not called.

use super::query::physical_device;
use super::{Globals, IoTarget, Place};
use crate::abi::{
    WDF_IO_TARGET_OPEN_PARAMS, WDF_OBJECT_ATTRIBUTES, WDFDEVICE, WDFIOTARGET, WDFOBJECT,
    WdfIoTargetClosed, WdfIoTargetClosedForQueryRemove, WdfIoTargetOpenByName,
    WdfIoTargetOpenReopen, WdfIoTargetOpenUseExistingDevice,
};
use crate::client::characters;
use crate::device::{Device, copy, string_of};
use crate::kernel::{
    IoGetRelatedDeviceObject, ObReferenceObjectByHandle, ObfReferenceObject, Outcome, Ptr, ZwClose,
    ZwCreateFile, check, print, status_of, try_box, ulong,
};
use crate::object::{
    self, Attributes, Body, Kind, ParentRule, Rules, Typed, any, device_of, lookup,
};
use crate::violation;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::Ordering;
use nt_abi::{
    ACCESS_MASK, FILE_OBJECT, HANDLE, IO_STATUS_BLOCK, NTSTATUS, OBJ_KERNEL_HANDLE,
    OBJECT_ATTRIBUTES, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, ULONG,
};

/// `OBJ_CASE_INSENSITIVE`.
const CASE_INSENSITIVE: ULONG = 0x40;

/// How a target was opened by name, for opening it again.
pub struct Remembered {
    name: Vec<u16>,
    access: ACCESS_MASK,
    share: ULONG,
    attributes: ULONG,
    disposition: ULONG,
    options: ULONG,
}

impl Remembered {
    /// # Safety
    /// The parameters are the client's, for an open by name.
    unsafe fn of(parameters: &WDF_IO_TARGET_OPEN_PARAMS) -> Outcome<Self> {
        // SAFETY: By contract.
        let name = unsafe { characters(&raw const parameters.TargetDeviceName) };
        Ok(Self {
            name: copy(name)?,
            access: parameters.DesiredAccess,
            share: parameters.ShareAccess,
            attributes: parameters.FileAttributes,
            disposition: parameters.CreateDisposition,
            options: parameters.CreateOptions,
        })
    }

    /// Opens the name. Returns the handle, and what became of the file.
    fn open(&self) -> Outcome<(HANDLE, u64)> {
        let mut name = copy(&self.name)?;
        let mut name = string_of(&mut name);
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: ulong(size_of::<OBJECT_ATTRIBUTES>()),
            RootDirectory: core::ptr::null_mut(),
            ObjectName: &raw mut name,
            Attributes: OBJ_KERNEL_HANDLE | CASE_INSENSITIVE,
            SecurityDescriptor: core::ptr::null_mut(),
            SecurityQualityOfService: core::ptr::null_mut(),
        };
        let mut handle = core::ptr::null_mut();
        let mut block = IO_STATUS_BLOCK::default();
        // SAFETY: Handle, attributes and status are local variables.
        check(unsafe {
            ZwCreateFile(
                &raw mut handle,
                self.access,
                &raw mut attributes,
                &raw mut block,
                core::ptr::null_mut(),
                self.attributes,
                self.share,
                self.disposition,
                self.options,
                core::ptr::null_mut(),
                0,
            )
        })?;
        Ok((handle, block.Information))
    }
}

/// The file of a handle, with a reference.
fn file_of(handle: HANDLE) -> Outcome<*mut FILE_OBJECT> {
    let mut file: *mut c_void = core::ptr::null_mut();
    // SAFETY: The handle was opened just now, and is one of a file.
    check(unsafe {
        ObReferenceObjectByHandle(
            handle,
            0,
            core::ptr::null_mut(),
            0,
            &raw mut file,
            core::ptr::null_mut(),
        )
    })?;
    Ok(file.cast())
}

impl IoTarget {
    /// Where requests go from here on.
    fn settle(
        &self,
        device: *mut nt_abi::DEVICE_OBJECT,
        file: *mut FILE_OBJECT,
        handle: HANDLE,
    ) -> Outcome {
        self.place.handle.store(handle, Ordering::Release);
        self.place.file.store(file, Ordering::Release);
        // SAFETY: The device is that of an open file, or vouched for by the client.
        let pdo = unsafe { physical_device(Ptr(device)) }.inspect_err(|_| self.place.leave())?;
        self.place.pdo.store(pdo.0, Ordering::Release);
        self.place.lower.store(device, Ordering::Release);
        self.opened().inspect_err(|_| self.place.leave())
    }

    fn open_device(&self, parameters: &WDF_IO_TARGET_OPEN_PARAMS) -> Outcome {
        let (device, file) = (parameters.TargetDeviceObject, parameters.TargetFileObject);
        if device.is_null() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if !file.is_null() {
            // SAFETY: The client passes a file object that is open.
            unsafe { ObfReferenceObject(file.cast()) };
        }
        self.settle(device, file, core::ptr::null_mut())
    }

    /// Opens what is remembered; returns what became of the file.
    fn open_name(&self, remembered: &Remembered) -> Outcome<u64> {
        let (handle, information) = remembered.open()?;
        let file = file_of(handle).inspect_err(|_| {
            // SAFETY: The handle was opened just now.
            unsafe { ZwClose(handle) };
        })?;
        // SAFETY: The file is open, and referenced.
        let device = unsafe { IoGetRelatedDeviceObject(file) };
        self.settle(device, file, handle)?;
        Ok(information)
    }

    /// # Safety
    /// The parameters are the client's.
    unsafe fn open(&self, parameters: &mut WDF_IO_TARGET_OPEN_PARAMS) -> Outcome {
        match parameters.Type {
            WdfIoTargetOpenUseExistingDevice => {
                drop(self.remembered.with(Option::take));
                self.open_device(parameters)
            }
            WdfIoTargetOpenByName => {
                // SAFETY: By contract.
                let remembered = unsafe { Remembered::of(parameters) }?;
                let information = self.open_name(&remembered)?;
                parameters.FileInformation = ulong(usize::try_from(information).unwrap_or(0));
                drop(self.remembered.with(|place| place.replace(remembered)));
                Ok(())
            }
            WdfIoTargetOpenReopen => {
                let remembered = self.remembered.with(Option::take);
                let remembered = remembered.ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
                let opened = self.open_name(&remembered).map(|_| ());
                drop(self.remembered.with(|place| place.replace(remembered)));
                opened
            }
            _ => Err(STATUS_INVALID_PARAMETER),
        }
    }
}

/// A remote target; anything else stops the system.
fn remote(handle: WDFIOTARGET) -> Typed<IoTarget> {
    let target = lookup::<IoTarget>(handle);
    if !target.place.remote {
        violation::invalid_handle(handle, IoTarget::NAME);
    }
    target
}

/// `WdfIoTargetCreate`: a target that is to be opened. The parent is the device, or belongs to it.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetCreate(
    _: Globals,
    Device: WDFDEVICE,
    IoTargetAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    IoTarget: *mut WDFIOTARGET,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    if IoTarget.is_null() {
        violation::null_parameter(c"WdfIoTargetCreate");
    }
    let rules = Rules {
        parent: ParentRule::Optional,
        levels: false,
    };
    // SAFETY: The client passes its attributes.
    let created = unsafe { Attributes::read(IoTargetAttributes, rules) }
        .and_then(|attributes| create(&device, &attributes))
        // SAFETY: The place is not null.
        .map(|target| unsafe { IoTarget.write(target) });
    status_of(created)
}

fn create(device: &Typed<Device>, attributes: &Attributes) -> Outcome<WDFIOTARGET> {
    let parent = if attributes.parent() == WDFOBJECT::NULL {
        device.object().clone()
    } else {
        any(attributes.parent())
    };
    device_of(&parent)
        .filter(|found| found.object().is(device.object()))
        .ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    let body = Body::IoTarget(try_box(IoTarget::new(
        device.handle(),
        Place::nowhere(),
        WdfIoTargetClosed,
    ))?);
    let client = device.object().client();
    let object = object::create(client, body, attributes, Some(&parent))?;
    Ok(object.handle())
}

/// `WdfIoTargetOpen`: by name, by a device object, or again as the last time. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetOpen(
    _: Globals,
    IoTarget: WDFIOTARGET,
    OpenParams: *mut WDF_IO_TARGET_OPEN_PARAMS,
) -> NTSTATUS {
    let target = remote(IoTarget);
    // SAFETY: The client passes its parameters.
    let Some(parameters) = (unsafe { OpenParams.as_mut() }) else {
        violation::null_parameter(c"WdfIoTargetOpen");
    };
    if parameters.Size as usize != size_of_val(parameters) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if parameters.EvtIoTargetQueryRemove.is_some() || parameters.EvtIoTargetRemoveComplete.is_some()
    {
        print(
            c"WDFLDR: the events of target %p's removal are not called\n",
            IoTarget.0,
        );
    }
    if !target.begin_opening() {
        return STATUS_INVALID_DEVICE_STATE;
    }
    // SAFETY: They are the client's.
    let outcome = unsafe { target.open(parameters) };
    target.end_opening();
    status_of(outcome)
}

/// `WdfIoTargetClose`: all requests come back first. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetClose(_: Globals, IoTarget: WDFIOTARGET) {
    remote(IoTarget).close(WdfIoTargetClosed);
}

/// `WdfIoTargetCloseForQueryRemove`: as [`WdfIoTargetClose`], to be opened again if the device stays.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetCloseForQueryRemove(_: Globals, IoTarget: WDFIOTARGET) {
    remote(IoTarget).close(WdfIoTargetClosedForQueryRemove);
}

/// `WdfIoTargetWdmGetTargetFileObject`: null for a local target, and for one that has no file or is closed.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetWdmGetTargetFileObject(
    _: Globals,
    IoTarget: WDFIOTARGET,
) -> *mut FILE_OBJECT {
    lookup::<self::IoTarget>(IoTarget).file().0
}

/// `WdfIoTargetWdmGetTargetFileHandle`: null unless it was opened by name. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetWdmGetTargetFileHandle(
    _: Globals,
    IoTarget: WDFIOTARGET,
) -> HANDLE {
    let target = lookup::<self::IoTarget>(IoTarget);
    let handle = target.place.handle.load(Ordering::Acquire);
    Ptr(handle).0
}
