//! Reading values.

use super::{Globals, Key, REG_DWORD, REG_EXPAND_SZ, REG_MULTI_SZ, REG_SZ, Value};
use crate::abi::{WDF_OBJECT_ATTRIBUTES, WDFCOLLECTION, WDFKEY, WDFMEMORY, WDFSTRING};
use crate::client::Client;
use crate::collection::Collection;
use crate::kernel::{Outcome, status_of, ulong, ushort};
use crate::memory::Memory;
use crate::object::{self, Body, create_simple, create_simple_object, lookup};
use crate::string::StringObject;
use crate::violation;
use alloc::vec::Vec;
use nt_abi::{
    NTSTATUS, PULONG, PUNICODE_STRING, PVOID, STATUS_BUFFER_OVERFLOW,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_BUFFER_SIZE, STATUS_OBJECT_TYPE_MISMATCH,
    STATUS_RESOURCE_DATA_NOT_FOUND, ULONG,
};

impl Value {
    /// Itself, if it is a string.
    fn text(self) -> Outcome<Self> {
        if matches!(self.kind, REG_SZ | REG_EXPAND_SZ) {
            Ok(self)
        } else {
            Err(STATUS_OBJECT_TYPE_MISMATCH)
        }
    }

    /// Itself, if it is not empty.
    fn filled(self) -> Outcome<Self> {
        if self.data().is_empty() {
            Err(STATUS_RESOURCE_DATA_NOT_FOUND)
        } else {
            Ok(self)
        }
    }

    /// The characters of a string or of several.
    fn units(&self) -> impl DoubleEndedIterator<Item = u16> + Clone + ExactSizeIterator {
        let (pairs, _) = self.data().as_chunks::<2>();
        pairs.iter().map(|pair| u16::from_ne_bytes(*pair))
    }

    /// The strings of a `REG_MULTI_SZ`, which ends in two null characters.
    fn strings(&self) -> Outcome<Vec<u16>> {
        if self.kind != REG_MULTI_SZ {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        }
        if self.data().is_empty() {
            return Err(STATUS_RESOURCE_DATA_NOT_FOUND);
        }
        let mut units = Vec::new();
        units
            .try_reserve(self.units().len())
            .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        units.extend(self.units());
        if self.data().len().is_multiple_of(2) && units.ends_with(&[0, 0]) {
            Ok(units)
        } else {
            Err(STATUS_OBJECT_TYPE_MISMATCH)
        }
    }
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

/// `WdfRegistryQueryUnicodeString`: copies a string into the caller's, if there is room for its null
/// character too, and tells its length in bytes with that. IRQL `PASSIVE_LEVEL`.
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
    let value = match key.query(ValueName).and_then(Value::text) {
        Ok(value) => value,
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
    if data.len() > usize::from(target.MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    let text = data.strip_suffix(&[0, 0]).unwrap_or(data);
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

/// `WdfRegistryQueryString`: gives a string object the characters of a value. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryQueryString(
    _: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    String: WDFSTRING,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    let string = lookup::<StringObject>(String);
    if ValueName.is_null() {
        violation::null_parameter(c"WdfRegistryQueryString");
    }
    let value = key.query(ValueName).and_then(Value::filled);
    status_of(value.and_then(Value::text).and_then(|value| {
        if value.data().len() > usize::from(u16::MAX) {
            return Err(STATUS_INVALID_BUFFER_SIZE);
        }
        let units = value.units();
        let terminated = units.clone().next_back() == Some(0);
        let length = units.len() - usize::from(terminated);
        string.assign(units.take(length))
    }))
}

/// `WdfRegistryQueryMemory`: a value in a memory object that is made for it. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryQueryMemory(
    DriverGlobals: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    _PoolType: i32,
    MemoryAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Memory: *mut WDFMEMORY,
    ValueType: PULONG,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    if ValueName.is_null() || Memory.is_null() {
        violation::null_parameter(c"WdfRegistryQueryMemory");
    }
    let tag = Client::from_globals(DriverGlobals).tag();
    let filled = key.query(ValueName).and_then(Value::filled);
    let memory = filled.and_then(|value| {
        let memory = self::Memory::allocate(value.data().len(), tag)?;
        memory.fill(value.data())?;
        // SAFETY: An optional output; the client passes null or a place for it.
        if let Some(place) = unsafe { ValueType.as_mut() } {
            *place = value.kind;
        }
        Ok(memory)
    });
    match memory {
        // SAFETY: The client's pointers, passed on.
        Ok(memory) => unsafe {
            create_simple(
                DriverGlobals,
                Body::Memory(memory),
                MemoryAttributes,
                Memory,
            )
        },
        Err(status) => status,
    }
}

/// `WdfRegistryQueryMultiString`: adds a string object for each string of a value to a collection.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRegistryQueryMultiString(
    DriverGlobals: Globals,
    Key: WDFKEY,
    ValueName: PUNICODE_STRING,
    StringsAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Collection: WDFCOLLECTION,
) -> NTSTATUS {
    let key = lookup::<self::Key>(Key);
    let collection = lookup::<self::Collection>(Collection);
    if ValueName.is_null() {
        violation::null_parameter(c"WdfRegistryQueryMultiString");
    }
    let units = match key.query(ValueName).and_then(|value| value.strings()) {
        Ok(units) => units,
        Err(status) => return status,
    };
    let before = collection.count();
    for text in units
        .split(|unit| *unit == 0)
        .take_while(|text| !text.is_empty())
    {
        let body = StringObject::new(text.iter().copied()).map(Body::String);
        // SAFETY: The client's attributes, passed on.
        let string = body.and_then(|body| unsafe {
            create_simple_object(DriverGlobals, body, StringsAttributes)
        });
        let added = string.and_then(|string| {
            collection
                .add(string.clone())
                .inspect_err(|_| object::delete(&string))
        });
        if let Err(status) = added {
            // What was added is of no use to anybody.
            collection.truncate(before);
            return status;
        }
    }
    nt_abi::STATUS_SUCCESS
}
