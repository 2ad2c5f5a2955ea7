//! `WDFKEY`: registry keys.

use crate::abi::{WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFDRIVER, WDFKEY};
use crate::client::characters;
use crate::driver::Driver;
use crate::kernel::{
    Block, Outcome, Ptr, ZwClose, ZwOpenKey, ZwQueryValueKey, ZwSetValueKey, check, status_of,
    ulong, ushort,
};
use crate::object::{self, Body, create_simple, lookup};
use crate::violation;
use alloc::vec::Vec;
use core::ffi::c_void;
use nt_abi::{
    ACCESS_MASK, HANDLE, NTSTATUS, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, PULONG, PUNICODE_STRING,
    PVOID, STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_OBJECT_TYPE_MISMATCH, ULONG, UNICODE_STRING,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `REG_SZ`, `REG_DWORD`.
const REG_SZ: ULONG = 1;
const REG_DWORD: ULONG = 4;
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

impl Key {
    fn open(root: HANDLE, name: &mut UNICODE_STRING, access: ACCESS_MASK) -> Outcome<Self> {
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: ulong(size_of::<OBJECT_ATTRIBUTES>()),
            RootDirectory: root,
            ObjectName: name,
            Attributes: OBJ_KERNEL_HANDLE | CASE_INSENSITIVE,
            SecurityDescriptor: core::ptr::null_mut(),
            SecurityQualityOfService: core::ptr::null_mut(),
        };
        let mut handle = core::ptr::null_mut();
        // SAFETY: Handle and attributes are local variables.
        check(unsafe { ZwOpenKey(&raw mut handle, access, &raw mut attributes) })?;
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
    let parent = (ParentKey.0 != 0).then(|| lookup::<self::Key>(ParentKey));
    let root = parent
        .as_ref()
        .map_or(core::ptr::null_mut(), |parent| parent.handle.0);
    // SAFETY: The client passes its string.
    let Some(name) = (unsafe { KeyName.as_mut() }) else {
        violation::null_parameter(c"WdfRegistryOpenKey")
    };
    let key = self::Key::open(root, name, DesiredAccess);
    // SAFETY: The client's pointers, passed on.
    unsafe { publish(DriverGlobals, key, KeyAttributes, Key) }
}

/// `WdfRegistryClose`: deletes the object. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryClose(_: Globals, Key: WDFKEY) {
    object::delete(lookup::<self::Key>(Key).object());
}

/// `WdfRegistryWdmGetHandle`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryWdmGetHandle(_: Globals, Key: WDFKEY) -> HANDLE {
    lookup::<self::Key>(Key).handle.0
}

/// `WdfRegistryQueryULong`: `STATUS_OBJECT_TYPE_MISMATCH` for a value of another type.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryQueryULong(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    Value: PULONG,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    if ValueName.is_null() || Value.is_null() {
        violation::null_parameter(c"WdfRegistryQueryULong");
    }
    let number = key.query(ValueName).and_then(|value| {
        let bytes = value
            .data()
            .try_into()
            .map_err(|_| STATUS_OBJECT_TYPE_MISMATCH)?;
        let number = u32::from_le_bytes(bytes);
        if value.kind == REG_DWORD {
            Ok(number)
        } else {
            Err(STATUS_OBJECT_TYPE_MISMATCH)
        }
    });
    // SAFETY: The place is not null.
    status_of(number.map(|number| unsafe { Value.write(number) }))
}

/// `WdfRegistryQueryValue`: `STATUS_BUFFER_OVERFLOW` when the value is longer than the buffer, whose
/// needed length is told. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryQueryValue(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    ValueLength: ULONG,
    Value: PVOID,
    ValueLengthQueried: PULONG,
    ValueType: PULONG,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    if ValueName.is_null() {
        violation::null_parameter(c"WdfRegistryQueryValue");
    }
    let value = match key.query(ValueName) {
        Ok(value) => value,
        Err(status) => return status,
    };
    let data = value.data();
    // SAFETY: An optional output; the client passes null or a place for it.
    if let Some(place) = unsafe { ValueLengthQueried.as_mut() } {
        *place = ulong(data.len());
    }
    // SAFETY: As above.
    if let Some(place) = unsafe { ValueType.as_mut() } {
        *place = value.kind;
    }
    if Value.is_null() || data.len() > ValueLength as usize {
        return STATUS_BUFFER_OVERFLOW;
    }
    // SAFETY: The client's buffer is `ValueLength` bytes long, which is enough.
    unsafe {
        Value
            .cast::<u8>()
            .copy_from_nonoverlapping(data.as_ptr(), data.len());
    };
    nt_abi::STATUS_SUCCESS
}

/// `WdfRegistryQueryUnicodeString`: copies a string into the caller's, as far as there is room, and
/// tells its length in bytes. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryQueryUnicodeString(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    ValueByteLength: *mut u16,
    Value: PUNICODE_STRING,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    if ValueName.is_null() {
        violation::null_parameter(c"WdfRegistryQueryUnicodeString");
    }
    let value = match key.query(ValueName) {
        Ok(value) if value.kind == REG_SZ => value,
        Ok(_) => return STATUS_OBJECT_TYPE_MISMATCH,
        Err(status) => return status,
    };
    let data = value.data();
    // SAFETY: An optional output; the client passes null or a place for it.
    if let Some(place) = unsafe { ValueByteLength.as_mut() } {
        *place = u16::try_from(data.len()).unwrap_or(u16::MAX);
    }
    // SAFETY: As above.
    let Some(target) = (unsafe { Value.as_mut() }) else {
        return nt_abi::STATUS_SUCCESS;
    };
    let text = data.strip_suffix(&[0, 0]).unwrap_or(data);
    if text.len() > usize::from(target.MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    // SAFETY: The client's string has room for `MaximumLength` bytes, which is enough.
    unsafe {
        target
            .Buffer
            .cast::<u8>()
            .copy_from_nonoverlapping(text.as_ptr(), text.len());
    };
    target.Length = ushort(text.len());
    nt_abi::STATUS_SUCCESS
}

/// `WdfRegistryAssignULong`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryAssignULong(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    Value: ULONG,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    let mut number = Value;
    let size = ulong(size_of::<ULONG>());
    // SAFETY: The key is open, the name the client's, the data a local variable.
    unsafe {
        ZwSetValueKey(
            key.handle.0,
            ValueName,
            0,
            REG_DWORD,
            (&raw mut number).cast(),
            size,
        )
    }
}

/// `WdfRegistryAssignUnicodeString`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryAssignUnicodeString(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    Value: PUNICODE_STRING,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    // SAFETY: The client passes its string.
    let text = unsafe { characters(Value) };
    let mut copy: Vec<u16> = Vec::new();
    if copy.try_reserve(text.len() + 1).is_err() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    copy.extend(text.iter().copied().chain([0]));
    let size = ulong(size_of_val(copy.as_slice()));
    // SAFETY: The key is open, the name the client's, the data a local variable.
    unsafe {
        ZwSetValueKey(
            key.handle.0,
            ValueName,
            0,
            REG_SZ,
            copy.as_mut_ptr().cast(),
            size,
        )
    }
}
