//! Counted 8-bit strings, and their conversion.
//!
//! The code page of this kernel is UTF-8, which Windows can be set to (code page 65001).

use std::slice;

use nt_abi::{
    ANSI_STRING, BOOLEAN, CHAR, NTSTATUS, PANSI_STRING, PCUNICODE_STRING, POOL_FLAG_PAGED,
    PUNICODE_STRING, STATUS_BUFFER_OVERFLOW, STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY,
    STATUS_SUCCESS, ULONG, USHORT,
};

use super::{
    pageable, terminated_bytes,
    unicode::{TAG, store},
    units,
};
use crate::{
    ex::pool::ddk::{ExAllocatePool2, ExFreePool},
    irql::{APC, PASSIVE},
};

/// The bytes of a counted string; none if it is null or has no buffer.
///
/// # Safety
///
/// `string` must be null or point to a valid string, which stays as it is while the result is used.
pub(super) unsafe fn bytes<'a>(string: *const ANSI_STRING) -> &'a [u8] {
    // SAFETY: The caller promises that the pointer is null or valid.
    let Some(string) = (unsafe { string.as_ref() }) else {
        return &[];
    };
    if string.Buffer.is_null() {
        return &[];
    }
    // SAFETY: A valid counted string has `Length` bytes at its buffer.
    unsafe { slice::from_raw_parts(string.Buffer.cast(), string.Length.into()) }
}

/// Makes a counted string of one that ends with a zero. Any IRQL.
///
/// # Safety
///
/// `DestinationString` must be valid for a write, `SourceString` null or a string that ends with a
/// zero and outlives the result. DDI: `RtlInitAnsiString`.
pub unsafe extern "win64" fn RtlInitAnsiString(
    DestinationString: PANSI_STRING,
    SourceString: *const CHAR,
) {
    // SAFETY: The source is null or ends with a zero, by the contract of this function.
    let length = unsafe { terminated_bytes(SourceString) }
        .len()
        .min(usize::from(USHORT::MAX) - 1);
    let length = USHORT::try_from(length).unwrap_or(USHORT::MAX - 1);
    let string = ANSI_STRING {
        Length: length,
        MaximumLength: if SourceString.is_null() {
            0
        } else {
            length + 1
        },
        Buffer: SourceString.cast_mut(),
    };
    // SAFETY: The destination is valid for a write, by the contract of this function.
    unsafe { DestinationString.write(string) };
}

/// As [`RtlInitAnsiString`]. DDI: `RtlInitString`.
///
/// # Safety
///
/// As for [`RtlInitAnsiString`].
pub unsafe extern "win64" fn RtlInitString(
    DestinationString: PANSI_STRING,
    SourceString: *const CHAR,
) {
    // SAFETY: The contract is the same.
    unsafe { RtlInitAnsiString(DestinationString, SourceString) };
}

/// Converts to UTF-16, into the room of the destination or into a new buffer. `PASSIVE_LEVEL`.
///
/// `STATUS_BUFFER_OVERFLOW` if there is no room.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlAnsiStringToUnicodeString`.
pub unsafe extern "win64" fn RtlAnsiStringToUnicodeString(
    DestinationString: PUNICODE_STRING,
    SourceString: *const ANSI_STRING,
    AllocateDestinationString: BOOLEAN,
) -> NTSTATUS {
    pageable!(PASSIVE, RtlAnsiStringToUnicodeString);
    // SAFETY: Valid by the contract of this function.
    let source = String::from_utf8_lossy(unsafe { bytes(SourceString) });
    let text: Vec<u16> = source.encode_utf16().collect();
    // SAFETY: As above.
    unsafe { store(DestinationString, &text, AllocateDestinationString != 0) }
}

/// How many bytes a string takes in UTF-16, its terminating zero included. `PASSIVE_LEVEL`. DDI:
/// `RtlxAnsiStringToUnicodeSize`.
///
/// # Safety
///
/// The string must be valid.
pub unsafe extern "win64" fn RtlxAnsiStringToUnicodeSize(AnsiString: *const ANSI_STRING) -> ULONG {
    pageable!(PASSIVE, RtlxAnsiStringToUnicodeSize);
    // SAFETY: Valid by the contract of this function.
    let source = String::from_utf8_lossy(unsafe { bytes(AnsiString) });
    // A counted string has at most 65535 bytes, and no byte becomes more than one code unit.
    (source.encode_utf16().count() as ULONG + 1) * 2
}

/// Converts to 8-bit characters, into the room of the destination or into a new buffer.
/// `PASSIVE_LEVEL`.
///
/// `STATUS_BUFFER_OVERFLOW` if there is no room.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlUnicodeStringToAnsiString`.
pub unsafe extern "win64" fn RtlUnicodeStringToAnsiString(
    DestinationString: PANSI_STRING,
    SourceString: PCUNICODE_STRING,
    AllocateDestinationString: BOOLEAN,
) -> NTSTATUS {
    pageable!(PASSIVE, RtlUnicodeStringToAnsiString);
    // SAFETY: Valid by the contract of this function.
    let text = String::from_utf16_lossy(unsafe { units(SourceString) });
    let Ok(needed) = USHORT::try_from(text.len() + 1) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: As above.
    let string = unsafe { &mut *DestinationString };
    if AllocateDestinationString != 0 {
        // SAFETY: `PASSIVE_LEVEL` was checked; the tag is not zero.
        let buffer = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, u64::from(needed), TAG) };
        if buffer.is_null() {
            return STATUS_NO_MEMORY;
        }
        string.Buffer = buffer.cast();
        string.MaximumLength = needed;
    }
    if string.MaximumLength < needed {
        return STATUS_BUFFER_OVERFLOW;
    }
    // SAFETY: The buffer has `MaximumLength` bytes, no fewer than are written.
    let room = unsafe { slice::from_raw_parts_mut(string.Buffer.cast::<u8>(), needed.into()) };
    room[..text.len()].copy_from_slice(text.as_bytes());
    room[text.len()] = 0;
    string.Length = needed - 1;
    STATUS_SUCCESS
}

/// Frees the buffer of a string that a function of this library allocated. `<= APC_LEVEL`.
///
/// # Safety
///
/// The buffer must be null or come from this library. DDI: `RtlFreeAnsiString`.
pub unsafe extern "win64" fn RtlFreeAnsiString(AnsiString: PANSI_STRING) {
    pageable!(APC, RtlFreeAnsiString);
    // SAFETY: Valid by the contract of this function.
    let string = unsafe { &mut *AnsiString };
    if !string.Buffer.is_null() {
        // SAFETY: The buffer comes from this library, by the contract of this function.
        unsafe { ExFreePool(string.Buffer.cast()) };
        *string = ANSI_STRING::default();
    }
}

crate::export::exports! {
    "ntoskrnl.exe";
    RtlInitAnsiString, RtlInitString, RtlAnsiStringToUnicodeString, RtlxAnsiStringToUnicodeSize,
    RtlUnicodeStringToAnsiString, RtlFreeAnsiString,
}
