//! Setting and removing values.

use super::{Globals, Key, REG_DWORD, REG_MULTI_SZ, REG_SZ};
use crate::abi::{WDFCOLLECTION, WDFKEY, WDFMEMORY, WDFMEMORY_OFFSET, WDFSTRING};
use crate::client::characters;
use crate::collection::Collection;
use crate::kernel::{ZwDeleteValueKey, ZwSetValueKey, ulong};
use crate::memory::Memory;
use crate::object::{ObjectRef, lookup};
use crate::string::StringObject;
use crate::violation;
use alloc::vec::Vec;
use nt_abi::{
    NTSTATUS, PUNICODE_STRING, PVOID, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER,
    ULONG,
};

impl Key {
    /// Sets a value.
    ///
    /// # Safety
    /// The name is null or the client's.
    unsafe fn set(&self, name: PUNICODE_STRING, kind: ULONG, data: &[u8]) -> NTSTATUS {
        if name.is_null() {
            violation::null_parameter(c"a function that sets a registry value (ValueName)");
        }
        let start = data.as_ptr().cast_mut().cast();
        // SAFETY: The key is open, the name the client's, the data only read.
        unsafe { ZwSetValueKey(self.handle.0, name, 0, kind, start, ulong(data.len())) }
    }

    /// Sets a value of characters.
    ///
    /// # Safety
    /// As [`set`](Self::set).
    unsafe fn set_units(
        &self,
        name: PUNICODE_STRING,
        kind: ULONG,
        units: impl Iterator<Item = u16>,
    ) -> NTSTATUS {
        let mut bytes: Vec<u8> = Vec::new();
        for unit in units {
            if bytes.try_reserve(2).is_err() {
                return STATUS_INSUFFICIENT_RESOURCES;
            }
            bytes.extend(unit.to_ne_bytes());
        }
        // SAFETY: By contract.
        unsafe { self.set(name, kind, &bytes) }
    }
}

/// `WdfRegistryAssignULong`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryAssignULong(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    Value: ULONG,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    // SAFETY: The client passes its string.
    unsafe { key.set(ValueName, REG_DWORD, &Value.to_ne_bytes()) }
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
    let text = unsafe { characters(Value) }.iter().copied();
    // SAFETY: As above.
    unsafe { key.set_units(ValueName, REG_SZ, text.chain([0])) }
}

/// `WdfRegistryAssignString`: the characters of a string object. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryAssignString(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    String: WDFSTRING,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    match lookup::<StringObject>(String).terminated() {
        // SAFETY: The client passes its string.
        Ok(text) => unsafe { key.set_units(ValueName, REG_SZ, text.into_iter()) },
        Err(status) => status,
    }
}

/// `WdfRegistryAssignMultiString`: `STATUS_INVALID_PARAMETER` for a collection with anything but strings
/// in it. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryAssignMultiString(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    StringsCollection: WDFCOLLECTION,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    let collection = lookup::<Collection>(StringsCollection);
    let mut units = Vec::new();
    for index in 0..collection.count() {
        let string = collection
            .get(index)
            .and_then(ObjectRef::typed::<StringObject>)
            .ok_or(STATUS_INVALID_PARAMETER);
        let text = match string.and_then(|string| string.terminated()) {
            Ok(text) => text,
            Err(status) => return status,
        };
        if units.try_reserve(text.len()).is_err() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        units.extend(text);
    }
    // SAFETY: The client passes its string.
    unsafe { key.set_units(ValueName, REG_MULTI_SZ, units.into_iter().chain([0])) }
}

/// `WdfRegistryAssignValue`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryAssignValue(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    ValueType: ULONG,
    ValueLength: ULONG,
    Value: PVOID,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    if Value.is_null() && ValueLength != 0 {
        violation::null_parameter(c"WdfRegistryAssignValue");
    }
    let data = if ValueLength == 0 {
        &[]
    } else {
        // SAFETY: The client passes so many bytes.
        unsafe { core::slice::from_raw_parts(Value.cast::<u8>(), ValueLength as usize) }
    };
    // SAFETY: The client passes its string.
    unsafe { key.set(ValueName, ValueType, data) }
}

/// `WdfRegistryAssignMemory`: what a memory object holds, or a part of it. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryAssignMemory(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    ValueType: ULONG,
    Memory: WDFMEMORY,
    MemoryOffsets: *const WDFMEMORY_OFFSET,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    let memory = lookup::<self::Memory>(Memory);
    // SAFETY: The client passes null or an offset.
    let part = match memory.part(unsafe { MemoryOffsets.as_ref() }) {
        Ok(part) => part,
        Err(status) => return status,
    };
    // SAFETY: The part lies inside of the memory object, which nobody frees meanwhile.
    let data = unsafe { core::slice::from_raw_parts(part.0.cast::<u8>(), part.1) };
    // SAFETY: The client passes its string.
    unsafe { key.set(ValueName, ValueType, data) }
}

/// `WdfRegistryRemoveValue`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryRemoveValue(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    if ValueName.is_null() {
        violation::null_parameter(c"WdfRegistryRemoveValue");
    }
    // SAFETY: The key is open, the name the client's.
    unsafe { ZwDeleteValueKey(key.handle.0, ValueName) }
}
