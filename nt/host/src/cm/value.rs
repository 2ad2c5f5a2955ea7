//! Values of keys.

use std::slice;

use nt_abi::{
    _KEY_VALUE_INFORMATION_CLASS as class, HANDLE, NTSTATUS, PULONG, PUNICODE_STRING, PVOID,
    STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS, ULONG,
};

use super::{Value, key::with_path};
use crate::{
    io::{Rule, passive_level},
    irql::PASSIVE,
    rtl,
};

fn words(words: &[usize]) -> Vec<u8> {
    // Registry data is far from 4 GiB.
    words
        .iter()
        .flat_map(|word| (*word as u32).to_ne_bytes())
        .collect()
}

/// A value in the form of an information class: the part that must fit, and all of it.
fn information(value: &Value, class: class::Type) -> Option<(usize, Vec<u8>)> {
    let name: Vec<u8> = value
        .name
        .encode_utf16()
        .flat_map(u16::to_ne_bytes)
        .collect();
    let kind = value.kind as usize;
    let (head, tail) = match class {
        class::KeyValueBasicInformation => (words(&[0, kind, name.len()]), name),
        class::KeyValueFullInformation => {
            let offset = (20 + name.len()).next_multiple_of(4);
            let head = words(&[0, kind, offset, value.data.len(), name.len()]);
            let padding = vec![0; offset - 20 - name.len()];
            (head, [name, padding, value.data.clone()].concat())
        }
        class::KeyValuePartialInformation => {
            (words(&[0, kind, value.data.len()]), value.data.clone())
        }
        _ => return None,
    };
    Some((head.len(), [head, tail].concat()))
}

/// Reads a value. `PASSIVE_LEVEL`. DDI: `ZwQueryValueKey`.
///
/// `STATUS_OBJECT_NAME_NOT_FOUND` if there is none; `STATUS_BUFFER_TOO_SMALL` if not even the fixed part
/// fits, `STATUS_BUFFER_OVERFLOW` if the data does not, both with the length that is needed.
///
/// # Safety
///
/// The pointers must be valid, the buffer for as many bytes as its length says.
pub unsafe extern "win64" fn ZwQueryValueKey(
    KeyHandle: HANDLE,
    ValueName: PUNICODE_STRING,
    KeyValueInformationClass: class::Type,
    KeyValueInformation: PVOID,
    Length: ULONG,
    ResultLength: PULONG,
) -> NTSTATUS {
    passive_level(Rule::ZW_PASSIVE, "ZwQueryValueKey");
    // SAFETY: Valid by the contract of this function.
    let name = unsafe { rtl::to_string(ValueName) };
    let value = match with_path(KeyHandle, |path| super::get(path, &name)) {
        Ok(Some(value)) => value,
        Ok(None) => return STATUS_OBJECT_NAME_NOT_FOUND,
        Err(status) => return status,
    };
    let Some((fixed, bytes)) = information(&value, KeyValueInformationClass) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: As above.
    unsafe { ResultLength.write(bytes.len() as ULONG) };
    let room = Length as usize;
    if room < fixed {
        return STATUS_BUFFER_TOO_SMALL;
    }
    let copied = bytes.len().min(room);
    // SAFETY: The buffer has room for `Length` bytes, no fewer than are copied.
    unsafe {
        KeyValueInformation
            .cast::<u8>()
            .copy_from_nonoverlapping(bytes.as_ptr(), copied);
    };
    if copied < bytes.len() {
        STATUS_BUFFER_OVERFLOW
    } else {
        STATUS_SUCCESS
    }
}

/// Sets a value. `PASSIVE_LEVEL`. DDI: `ZwSetValueKey`.
///
/// # Safety
///
/// The pointers must be valid, the data for as many bytes as its size says.
pub unsafe extern "win64" fn ZwSetValueKey(
    KeyHandle: HANDLE,
    ValueName: PUNICODE_STRING,
    _TitleIndex: ULONG,
    Type: ULONG,
    Data: PVOID,
    DataSize: ULONG,
) -> NTSTATUS {
    passive_level(Rule::ZW_PASSIVE, "ZwSetValueKey");
    // SAFETY: Valid by the contract of this function.
    let name = unsafe { rtl::to_string(ValueName) };
    let data = if DataSize == 0 {
        Vec::new()
    } else {
        // SAFETY: As above.
        unsafe { slice::from_raw_parts(Data.cast::<u8>(), DataSize as usize) }.to_vec()
    };
    match with_path(KeyHandle, |path| {
        super::set(
            path,
            Value {
                name,
                kind: Type,
                data,
            },
        )
    }) {
        Ok(true) => STATUS_SUCCESS,
        Ok(false) => STATUS_OBJECT_NAME_NOT_FOUND,
        Err(status) => status,
    }
}

/// Removes a value. `PASSIVE_LEVEL`. `STATUS_OBJECT_NAME_NOT_FOUND` if there is none. DDI:
/// `ZwDeleteValueKey`.
///
/// # Safety
///
/// The pointers must be valid.
pub unsafe extern "win64" fn ZwDeleteValueKey(
    KeyHandle: HANDLE,
    ValueName: PUNICODE_STRING,
) -> NTSTATUS {
    rtl::pageable!(PASSIVE, ZwDeleteValueKey);
    // SAFETY: Valid by the contract of this function.
    let name = unsafe { rtl::to_string(ValueName) };
    match with_path(KeyHandle, |path| super::remove_value(path, &name)) {
        Ok(true) => STATUS_SUCCESS,
        Ok(false) => STATUS_OBJECT_NAME_NOT_FOUND,
        Err(status) => status,
    }
}

crate::export::exports! { "ntoskrnl.exe"; ZwQueryValueKey, ZwSetValueKey, ZwDeleteValueKey }
