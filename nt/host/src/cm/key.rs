//! Keys: opening and creating them.

use std::ptr;

use nt_abi::{
    ACCESS_MASK, HANDLE, NTSTATUS, OBJECT_ATTRIBUTES, PHANDLE, POBJECT_ATTRIBUTES, PULONG,
    PUNICODE_STRING, STATUS_CANNOT_DELETE, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
    STATUS_KEY_DELETED, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_PATH_SYNTAX_BAD,
    STATUS_SUCCESS, ULONG,
};

use crate::{
    fault,
    io::{Rule, passive_level},
    ob::{self, ObReferenceObjectByHandle, ObjectType},
    rtl,
};

/// `CmKeyObjectType`.
static KEY_TYPE: ObjectType = ObjectType::new("Key");

/// An open key.
#[derive(Debug)]
pub struct Key {
    pub path: String,
}

const REG_CREATED_NEW_KEY: ULONG = 1;
const REG_OPENED_EXISTING_KEY: ULONG = 2;

/// Calls `f` with the path of the key that a handle refers to.
///
/// # Errors
///
/// That of `ObReferenceObjectByHandle`, or `STATUS_KEY_DELETED`.
pub fn with_path<T>(handle: HANDLE, f: impl FnOnce(&str) -> T) -> Result<T, NTSTATUS> {
    let mut body = ptr::null_mut();
    let kind = (&raw const KEY_TYPE).cast_mut();
    // SAFETY: The place is a local variable; the type is one of this kernel.
    let status =
        unsafe { ObReferenceObjectByHandle(handle, 0, kind, 0, &raw mut body, ptr::null_mut()) };
    if status != STATUS_SUCCESS {
        return Err(status);
    }
    // SAFETY: The object is a key, as its type was checked; the reference taken above keeps it.
    let key = unsafe { &*body.cast::<Key>() };
    let result = if super::exists(&key.path) {
        Ok(f(&key.path))
    } else {
        Err(STATUS_KEY_DELETED)
    };
    ob::dereference_typed(key);
    result
}

/// The full path that object attributes name.
///
/// # Safety
///
/// The attributes must be valid.
unsafe fn path(attributes: *const OBJECT_ATTRIBUTES) -> Result<String, NTSTATUS> {
    // SAFETY: Valid by the contract of this function.
    let Some(attributes) = (unsafe { attributes.as_ref() }) else {
        return Err(STATUS_INVALID_PARAMETER);
    };
    // SAFETY: As above.
    let name = unsafe { rtl::to_string(attributes.ObjectName) };
    if attributes.RootDirectory.is_null() {
        let absolute = name
            .get(..10)
            .is_some_and(|start| start.eq_ignore_ascii_case(r"\Registry\"));
        return if absolute {
            Ok(name)
        } else {
            Err(STATUS_OBJECT_PATH_SYNTAX_BAD)
        };
    }
    with_path(attributes.RootDirectory, |root| {
        if name.is_empty() {
            root.to_owned()
        } else {
            format!(r"{root}\{name}")
        }
    })
}

/// A handle to a key.
pub fn open(path: String) -> HANDLE {
    let key = ob::create(&KEY_TYPE, Key { path });
    // SAFETY: The key was made just now, and its reference is given up below.
    let handle = unsafe { ob::insert(ptr::from_ref(key).cast_mut().cast()) };
    ob::dereference_typed(key);
    handle
}

/// Opens a key. `PASSIVE_LEVEL`. `STATUS_OBJECT_NAME_NOT_FOUND` if there is none. DDI: `ZwOpenKey`.
///
/// # Safety
///
/// The pointers must be valid.
pub unsafe extern "win64" fn ZwOpenKey(
    KeyHandle: PHANDLE,
    _DesiredAccess: ACCESS_MASK,
    ObjectAttributes: POBJECT_ATTRIBUTES,
) -> NTSTATUS {
    const NAME: &str = "ZwOpenKey";
    passive_level(Rule::ZW_PASSIVE, NAME);
    // SAFETY: Valid by the contract of this function.
    let path = match unsafe { path(ObjectAttributes) } {
        Ok(path) => path,
        Err(status) => return status,
    };
    if !super::exists(&path) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: As above.
    unsafe { KeyHandle.write(open(path)) };
    STATUS_SUCCESS
}

/// Opens a key, which is made if it is not there. `PASSIVE_LEVEL`. DDI: `ZwCreateKey`.
///
/// A new key must be right below the one that `RootDirectory` gives: `STATUS_OBJECT_NAME_NOT_FOUND` otherwise. The keys
/// above one that is named in full are made too, since the registry starts without those that every Windows has.
///
/// # Safety
///
/// The pointers must be valid; `Class` and `Disposition` may be null.
pub unsafe extern "win64" fn ZwCreateKey(
    KeyHandle: PHANDLE,
    _DesiredAccess: ACCESS_MASK,
    ObjectAttributes: POBJECT_ATTRIBUTES,
    _TitleIndex: ULONG,
    _Class: PUNICODE_STRING,
    _CreateOptions: ULONG,
    Disposition: PULONG,
) -> NTSTATUS {
    const NAME: &str = "ZwCreateKey";
    passive_level(Rule::ZW_PASSIVE, NAME);
    // SAFETY: Valid by the contract of this function.
    let path = match unsafe { path(ObjectAttributes) } {
        Ok(path) => path,
        Err(status) => return status,
    };
    if fault::denies_allocation(NAME) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: As above: the attributes were read, so they are not null.
    let is_relative = unsafe { !(*ObjectAttributes).RootDirectory.is_null() };
    let parent = path.trim_end_matches('\\').rsplit_once('\\');
    if is_relative && !parent.is_some_and(|(parent, _)| super::exists(parent)) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    let new = super::create(&path);
    if !Disposition.is_null() {
        let disposition = if new {
            REG_CREATED_NEW_KEY
        } else {
            REG_OPENED_EXISTING_KEY
        };
        // SAFETY: As above.
        unsafe { Disposition.write(disposition) };
    }
    // SAFETY: As above.
    unsafe { KeyHandle.write(open(path)) };
    STATUS_SUCCESS
}

/// Deletes a key. `PASSIVE_LEVEL`. `STATUS_CANNOT_DELETE` for one with keys below it; what is done with
/// another handle to it afterwards ends with `STATUS_KEY_DELETED`. DDI: `ZwDeleteKey`.
///
/// # Safety
///
/// None needed: what is no handle of a key is found out.
pub unsafe extern "win64" fn ZwDeleteKey(KeyHandle: HANDLE) -> NTSTATUS {
    passive_level(Rule::ZW_PASSIVE, "ZwDeleteKey");
    match with_path(KeyHandle, super::delete) {
        Ok(true) => STATUS_SUCCESS,
        Ok(false) => STATUS_CANNOT_DELETE,
        Err(status) => status,
    }
}

crate::export::exports! { "ntoskrnl.exe"; ZwOpenKey, ZwCreateKey, ZwDeleteKey }
