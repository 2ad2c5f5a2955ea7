//! `WDFKEY`: registry keys. [`query`] reads their values, [`assign`] sets and removes them.

mod assign;
mod query;

pub use assign::*;
pub use query::*;

use crate::abi::{
    PWDFDEVICE_INIT, WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFDEVICE, WDFDRIVER, WDFKEY,
};
use crate::client::characters;
use crate::device::{Device, DeviceInit};
use crate::driver::Driver;
use crate::kernel::{
    Block, IoOpenDeviceRegistryKey, Outcome, Ptr, ZwClose, ZwCreateKey, ZwDeleteKey, ZwOpenKey,
    ZwQueryValueKey, check, ulong,
};
use crate::object::{self, Body, create_simple, lookup};
use crate::violation;
use alloc::vec::Vec;
use core::ffi::c_void;
use nt_abi::{
    ACCESS_MASK, DEVICE_OBJECT, HANDLE, NTSTATUS, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, PULONG,
    PUNICODE_STRING, STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, ULONG,
    UNICODE_STRING,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Types of values.
const REG_SZ: ULONG = 1;
const REG_EXPAND_SZ: ULONG = 2;
const REG_DWORD: ULONG = 4;
const REG_MULTI_SZ: ULONG = 7;
/// `REG_OPTION_VOLATILE`.
const VOLATILE: ULONG = 1;
/// `OBJ_CASE_INSENSITIVE`.
const CASE_INSENSITIVE: ULONG = 0x40;

/// A framework registry key object.
pub struct Key {
    handle: Ptr<c_void>,
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: The handle was opened for this object alone.
        unsafe { ZwClose(self.handle.0) };
    }
}

/// The start of a `KEY_VALUE_PARTIAL_INFORMATION`; the data follows.
#[repr(C)]
#[derive(Clone, Copy)]
struct PartialInformation {
    TitleIndex: ULONG,
    Type: ULONG,
    DataLength: ULONG,
}

/// A value as it is in the registry.
struct Value {
    kind: ULONG,
    block: Block,
    length: usize,
}

impl Value {
    const fn data(&self) -> &[u8] {
        // SAFETY: The block begins with the information, and the registry says how much data follows.
        let start = unsafe { self.block.as_ptr().add(size_of::<PartialInformation>()) };
        // SAFETY: As above.
        unsafe { core::slice::from_raw_parts(start, self.length) }
    }
}

/// The attributes by which a key below another is named, or one by its full path.
const fn attributes(root: HANDLE, name: &mut UNICODE_STRING) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: ulong(size_of::<OBJECT_ATTRIBUTES>()),
        RootDirectory: root,
        ObjectName: name,
        Attributes: OBJ_KERNEL_HANDLE | CASE_INSENSITIVE,
        SecurityDescriptor: core::ptr::null_mut(),
        SecurityQualityOfService: core::ptr::null_mut(),
    }
}

/// The handle of a key that the client names as a parent; null for none.
fn handle_of(parent: WDFKEY) -> HANDLE {
    if parent.0 == 0 {
        return core::ptr::null_mut();
    }
    lookup::<Key>(parent).handle.0
}

impl Key {
    fn open(root: HANDLE, name: &mut UNICODE_STRING, access: ACCESS_MASK) -> Outcome<Self> {
        let mut attributes = attributes(root, name);
        let mut handle = core::ptr::null_mut();
        // SAFETY: Handle and attributes are local variables.
        check(unsafe { ZwOpenKey(&raw mut handle, access, &raw mut attributes) })?;
        Ok(Self {
            handle: Ptr(handle),
        })
    }

    /// # Safety
    /// `disposition` is null or a place for one.
    unsafe fn create(
        root: HANDLE,
        name: &mut UNICODE_STRING,
        access: ACCESS_MASK,
        options: ULONG,
        disposition: PULONG,
    ) -> Outcome<Self> {
        let mut attributes = attributes(root, name);
        let mut handle = core::ptr::null_mut();
        // SAFETY: Handle and attributes are local variables; the disposition by contract.
        check(unsafe {
            ZwCreateKey(
                &raw mut handle,
                access,
                &raw mut attributes,
                0,
                core::ptr::null_mut(),
                options,
                disposition,
            )
        })?;
        Ok(Self {
            handle: Ptr(handle),
        })
    }

    fn query(&self, name: PUNICODE_STRING) -> Outcome<Value> {
        /// `KeyValuePartialInformation`.
        const PARTIAL: i32 = 2;
        let mut size = 256;
        loop {
            let block = Block::new(size as usize, u32::from_le_bytes(*b"WdfK"))?;
            let mut needed = 0;
            let buffer = block.as_ptr().cast();
            // SAFETY: The key is open, the name the client's, the block `size` bytes long.
            let status = unsafe {
                ZwQueryValueKey(self.handle.0, name, PARTIAL, buffer, size, &raw mut needed)
            };
            if matches!(status, STATUS_BUFFER_OVERFLOW | STATUS_BUFFER_TOO_SMALL) && needed > size {
                size = needed;
                continue;
            }
            check(status)?;
            // SAFETY: The block is aligned to 16 and was filled with at least the information.
            let information = unsafe { block.start::<PartialInformation>().read() };
            let length = information.DataLength as usize;
            return Ok(Value {
                kind: information.Type,
                block,
                length,
            });
        }
    }
}

/// `WdfDriverOpenParametersRegistryKey`: the `Parameters` key below the driver's service key.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDriverOpenParametersRegistryKey(
    DriverGlobals: Globals,
    Driver: WDFDRIVER,
    DesiredAccess: ACCESS_MASK,
    KeyAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Key: *mut WDFKEY,
) -> NTSTATUS {
    let driver = lookup::<self::Driver>(Driver);
    let path = driver.object().client().registry_path();
    let mut name = Vec::new();
    let suffix = "\\Parameters".encode_utf16();
    if name
        .try_reserve(path.len() + suffix.clone().count())
        .is_err()
    {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    name.extend_from_slice(path.strip_suffix(&[0]).unwrap_or(path));
    name.extend(suffix);
    let mut string = crate::device::string_of(&mut name);
    let key = self::Key::open(core::ptr::null_mut(), &mut string, DesiredAccess);
    // SAFETY: The client's pointers, passed on.
    unsafe { publish(DriverGlobals, key, KeyAttributes, Key) }
}

/// Makes the object for an open key.
///
/// # Safety
/// The pointers are those that a client passed to a function that opens a key.
unsafe fn publish(
    globals: Globals,
    key: Outcome<Key>,
    attributes: *mut WDF_OBJECT_ATTRIBUTES,
    place: *mut WDFKEY,
) -> NTSTATUS {
    if place.is_null() {
        violation::null_parameter(c"a function that opens a registry key (Key)");
    }
    match key {
        // SAFETY: By contract.
        Ok(key) => unsafe { create_simple(globals, Body::Key(key), attributes, place) },
        Err(status) => status,
    }
}

/// `WdfRegistryOpenKey`: by a path below a key, or a full path. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryOpenKey(
    DriverGlobals: Globals,
    ParentKey: WDFKEY,
    KeyName: PUNICODE_STRING,
    DesiredAccess: ACCESS_MASK,
    KeyAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Key: *mut WDFKEY,
) -> NTSTATUS {
    // SAFETY: The client passes its string.
    let Some(name) = (unsafe { KeyName.as_mut() }) else {
        violation::null_parameter(c"WdfRegistryOpenKey")
    };
    let key = self::Key::open(handle_of(ParentKey), name, DesiredAccess);
    // SAFETY: The client's pointers, passed on.
    unsafe { publish(DriverGlobals, key, KeyAttributes, Key) }
}

/// `WdfRegistryCreateKey`: opens a key, which is made if it is not there; `CreateDisposition` says which.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryCreateKey(
    DriverGlobals: Globals,
    ParentKey: WDFKEY,
    KeyName: PUNICODE_STRING,
    DesiredAccess: ACCESS_MASK,
    CreateOptions: ULONG,
    CreateDisposition: PULONG,
    KeyAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Key: *mut WDFKEY,
) -> NTSTATUS {
    // SAFETY: The client passes its string.
    let Some(name) = (unsafe { KeyName.as_mut() }) else {
        violation::null_parameter(c"WdfRegistryCreateKey")
    };
    let root = handle_of(ParentKey);
    // SAFETY: The disposition is null or the client's.
    let key =
        unsafe { self::Key::create(root, name, DesiredAccess, CreateOptions, CreateDisposition) };
    // SAFETY: The client's pointers, passed on.
    unsafe { publish(DriverGlobals, key, KeyAttributes, Key) }
}

/// The key of a device, by its physical device.
fn of_device(pdo: Ptr<DEVICE_OBJECT>, kind: ULONG, access: ACCESS_MASK) -> Outcome<Key> {
    let mut handle = core::ptr::null_mut();
    // SAFETY: The physical device is the PnP manager's; the output is a local variable.
    check(unsafe { IoOpenDeviceRegistryKey(pdo.0, kind, access, &raw mut handle) })?;
    Ok(Key {
        handle: Ptr(handle),
    })
}

/// `WdfDeviceOpenRegistryKey`: the hardware or software key of a device. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceOpenRegistryKey(
    DriverGlobals: Globals,
    Device: WDFDEVICE,
    DeviceInstanceKeyType: ULONG,
    DesiredAccess: ACCESS_MASK,
    KeyAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Key: *mut WDFKEY,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    if device.is_control() {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    let key = of_device(device.pdo(), DeviceInstanceKeyType, DesiredAccess);
    // SAFETY: The client's pointers, passed on.
    unsafe { publish(DriverGlobals, key, KeyAttributes, Key) }
}

/// `WdfDeviceOpenDevicemapKey`: a key below `HARDWARE\\DEVICEMAP`, which is made if it is not there and is volatile.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceOpenDevicemapKey(
    DriverGlobals: Globals,
    Device: WDFDEVICE,
    KeyName: PUNICODE_STRING,
    DesiredAccess: ACCESS_MASK,
    KeyAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Key: *mut WDFKEY,
) -> NTSTATUS {
    lookup::<self::Device>(Device);
    if KeyName.is_null() {
        violation::null_parameter(c"WdfDeviceOpenDevicemapKey");
    }
    // SAFETY: The client passes its string.
    let key = devicemap_path(unsafe { characters(KeyName) }).and_then(|mut path| {
        let mut name = crate::device::string_of(&mut path);
        let root = core::ptr::null_mut();
        // SAFETY: Nobody asks for the disposition.
        unsafe {
            self::Key::create(
                root,
                &mut name,
                DesiredAccess,
                VOLATILE,
                core::ptr::null_mut(),
            )
        }
    });
    // SAFETY: The client's pointers, passed on.
    unsafe { publish(DriverGlobals, key, KeyAttributes, Key) }
}

/// The full path of a key below `DEVICEMAP`. The framework has room for 256 characters.
fn devicemap_path(name: &[u16]) -> Outcome<Vec<u16>> {
    let base = r"\Registry\Machine\Hardware\DeviceMap\".encode_utf16();
    let length = base.clone().count() + name.len();
    if length > 256 {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    let mut path = Vec::new();
    path.try_reserve_exact(length)
        .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
    path.extend(base);
    path.extend_from_slice(name);
    Ok(path)
}

/// `WdfFdoInitOpenRegistryKey`: the same before there is a device object. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfFdoInitOpenRegistryKey(
    DriverGlobals: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    DeviceInstanceKeyType: ULONG,
    DesiredAccess: ACCESS_MASK,
    KeyAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Key: *mut WDFKEY,
) -> NTSTATUS {
    // SAFETY: It is the pointer that the client was given.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    if init.pdo.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let key = of_device(init.pdo, DeviceInstanceKeyType, DesiredAccess);
    // SAFETY: The client's pointers, passed on.
    unsafe { publish(DriverGlobals, key, KeyAttributes, Key) }
}

/// `WdfRegistryRemoveKey`: deletes the key and then the object. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryRemoveKey(_: Globals, Key: WDFKEY) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    // SAFETY: The key is open.
    let status = unsafe { ZwDeleteKey(key.handle.0) };
    if nt_abi::NT_SUCCESS(status) {
        object::delete(key.object());
    }
    status
}

/// `WdfRegistryClose`: deletes the object. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryClose(_: Globals, Key: WDFKEY) {
    object::delete(lookup::<self::Key>(Key).object());
}

/// `WdfRegistryWdmGetHandle`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryWdmGetHandle(_: Globals, Key: WDFKEY) -> HANDLE {
    lookup::<self::Key>(Key).handle.0
}
