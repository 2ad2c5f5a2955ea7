//! `WDFSTRING`: a counted string as an object.

use crate::abi::{WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFSTRING};
use crate::client::characters;
use crate::kernel::{Outcome, SpinLock, ushort};
use crate::object::{Body, create_simple, lookup};
use crate::violation;
use alloc::vec::Vec;
use nt_abi::{NTSTATUS, PUNICODE_STRING, STATUS_INSUFFICIENT_RESOURCES, UNICODE_STRING};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A framework string object. The characters are followed by a null one.
pub struct StringObject(SpinLock<Vec<u16>>);

impl StringObject {
    /// A string of its own.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn new(characters: impl Iterator<Item = u16>) -> Outcome<Self> {
        terminated(characters).map(|text| Self(SpinLock::new(text)))
    }

    /// Its characters and the null one.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn terminated(&self) -> Outcome<Vec<u16>> {
        let mut copy = Vec::new();
        self.0.with(|text| {
            copy.try_reserve(text.len())
                .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
            copy.extend_from_slice(text);
            Ok(copy)
        })
    }

    /// Gives the string other characters.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn assign(&self, characters: impl Iterator<Item = u16>) -> Outcome {
        let text = terminated(characters)?;
        let previous = self.0.with(|string| core::mem::replace(string, text));
        drop(previous);
        Ok(())
    }
}

fn terminated(characters: impl Iterator<Item = u16>) -> Outcome<Vec<u16>> {
    let mut text = Vec::new();
    for unit in characters.chain([0]) {
        text.try_reserve(1)
            .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
        text.push(unit);
    }
    Ok(text)
}

/// `WdfStringCreate`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfStringCreate(
    DriverGlobals: Globals,
    UnicodeString: PUNICODE_STRING,
    StringAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    String: *mut WDFSTRING,
) -> NTSTATUS {
    if String.is_null() {
        violation::null_parameter(c"WdfStringCreate");
    }
    // SAFETY: The client passes null or its string.
    let text = unsafe { characters(UnicodeString) };
    match StringObject::new(text.iter().copied()).map(Body::String) {
        // SAFETY: The client's pointers, passed on.
        Ok(body) => unsafe { create_simple(DriverGlobals, body, StringAttributes, String) },
        Err(status) => status,
    }
}

/// `WdfStringGetUnicodeString`: valid until the string changes or goes. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfStringGetUnicodeString(
    _: Globals,
    String: WDFSTRING,
    UnicodeString: PUNICODE_STRING,
) {
    let string = lookup::<StringObject>(String);
    if UnicodeString.is_null() {
        violation::null_parameter(c"WdfStringGetUnicodeString");
    }
    let view = string.0.with(|text| UNICODE_STRING {
        Length: ushort(size_of_val(text.as_slice()) - size_of::<u16>()),
        MaximumLength: ushort(size_of_val(text.as_slice())),
        Buffer: text.as_mut_ptr(),
    });
    // SAFETY: The client passes a place for it.
    unsafe { UnicodeString.write(view) };
}
