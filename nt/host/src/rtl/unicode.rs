//! Counted UTF-16 strings (`RtlXxxUnicodeString`).
//!
//! Case is folded unit by unit, to the upper case that Unicode gives a unit of the basic plane if
//! that is one unit too. Windows has a table of its own, which differs for some rare letters.

use std::cmp::Ordering;

use nt_abi::{
    BOOLEAN, LONG, NTSTATUS, PCUNICODE_STRING, PCWSTR, POOL_FLAG_PAGED, PUNICODE_STRING,
    STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_NO_MEMORY, STATUS_SUCCESS,
    UNICODE_STRING, USHORT, WCHAR,
};

use super::{pageable, room, terminated, units};
use crate::{
    ex::pool::ddk::{ExAllocatePool2, ExFreePool},
    irql::{APC, PASSIVE},
};

/// The tag of the strings that the run-time library allocates.
pub const TAG: u32 = u32::from_le_bytes(*b"Strg");
/// The longest counted string, in bytes.
const LONGEST: usize = 0xFFFE;

/// The upper case of a code unit.
pub fn upcase(unit: WCHAR) -> WCHAR {
    let upper = char::from_u32(u32::from(unit)).map(char::to_uppercase);
    match upper.map(|mut upper| (upper.next(), upper.next())) {
        Some((Some(letter), None)) => WCHAR::try_from(u32::from(letter)).unwrap_or(unit),
        _ => unit,
    }
}

fn downcase(unit: WCHAR) -> WCHAR {
    let lower = char::from_u32(u32::from(unit)).map(char::to_lowercase);
    match lower.map(|mut lower| (lower.next(), lower.next())) {
        Some((Some(letter), None)) => WCHAR::try_from(u32::from(letter)).unwrap_or(unit),
        _ => unit,
    }
}

fn compare(first: &[WCHAR], second: &[WCHAR], fold: bool) -> Ordering {
    if fold {
        first
            .iter()
            .copied()
            .map(upcase)
            .cmp(second.iter().copied().map(upcase))
    } else {
        first.cmp(second)
    }
}

/// `Length` of so many code units, which the caller knows to fit.
const fn bytes(units: usize) -> USHORT {
    (units * size_of::<WCHAR>()) as USHORT
}

/// Makes a counted string of one that ends with a zero. Any IRQL.
///
/// A source that is longer than a counted string can be is cut off.
///
/// # Safety
///
/// `DestinationString` must be valid for a write, `SourceString` null or a string that ends with a
/// zero and outlives the result. DDI: `RtlInitUnicodeString`.
pub unsafe extern "win64" fn RtlInitUnicodeString(
    DestinationString: PUNICODE_STRING,
    SourceString: PCWSTR,
) {
    // SAFETY: The source is null or ends with a zero, by the contract of this function.
    let length = unsafe { terminated(SourceString) }
        .len()
        .min(LONGEST / 2 - 1);
    let present = !SourceString.is_null();
    let string = UNICODE_STRING {
        Length: bytes(length),
        MaximumLength: if present { bytes(length + 1) } else { 0 },
        Buffer: SourceString.cast_mut(),
    };
    // SAFETY: The destination is valid for a write, by the contract of this function.
    unsafe { DestinationString.write(string) };
}

/// Copies a string into the room of another, cut off where that ends. Any IRQL, if both are resident.
///
/// # Safety
///
/// Both must be valid, `SourceString` may be null. DDI: `RtlCopyUnicodeString`.
pub unsafe extern "win64" fn RtlCopyUnicodeString(
    DestinationString: PUNICODE_STRING,
    SourceString: PCUNICODE_STRING,
) {
    // SAFETY: Null or valid, by the contract of this function.
    let source = unsafe { units(SourceString) };
    // SAFETY: Valid by the contract of this function.
    let destination = unsafe { &mut *DestinationString };
    // SAFETY: As above; a caller that copies between overlapping buffers breaks the contract.
    let buffer = unsafe { room(destination) };
    let length = source.len().min(buffer.len());
    buffer[..length].copy_from_slice(&source[..length]);
    if let Some(terminator) = buffer.get_mut(length) {
        *terminator = 0;
    }
    destination.Length = bytes(length);
}

/// Compares two strings: negative, zero or positive. `PASSIVE_LEVEL`.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlCompareUnicodeString`.
pub unsafe extern "win64" fn RtlCompareUnicodeString(
    String1: PCUNICODE_STRING,
    String2: PCUNICODE_STRING,
    CaseInSensitive: BOOLEAN,
) -> LONG {
    pageable!(PASSIVE, RtlCompareUnicodeString);
    // SAFETY: Valid by the contract of this function.
    let first = unsafe { units(String1) };
    // SAFETY: As above.
    let second = unsafe { units(String2) };
    compare(first, second, CaseInSensitive != 0) as LONG
}

/// Whether two strings are equal. `PASSIVE_LEVEL`.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlEqualUnicodeString`.
pub unsafe extern "win64" fn RtlEqualUnicodeString(
    String1: PCUNICODE_STRING,
    String2: PCUNICODE_STRING,
    CaseInSensitive: BOOLEAN,
) -> BOOLEAN {
    pageable!(PASSIVE, RtlEqualUnicodeString);
    // SAFETY: Valid by the contract of this function.
    let first = unsafe { units(String1) };
    // SAFETY: As above.
    let second = unsafe { units(String2) };
    compare(first, second, CaseInSensitive != 0).is_eq().into()
}

/// Whether the second string begins with the first. `PASSIVE_LEVEL`.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlPrefixUnicodeString` (ntifs).
pub unsafe extern "win64" fn RtlPrefixUnicodeString(
    String1: PCUNICODE_STRING,
    String2: PCUNICODE_STRING,
    CaseInSensitive: BOOLEAN,
) -> BOOLEAN {
    pageable!(PASSIVE, RtlPrefixUnicodeString);
    // SAFETY: Valid by the contract of this function.
    let prefix = unsafe { units(String1) };
    // SAFETY: As above.
    let whole = unsafe { units(String2) };
    let start = whole.get(..prefix.len());
    start
        .is_some_and(|start| compare(prefix, start, CaseInSensitive != 0).is_eq())
        .into()
}

/// Appends code units to a string, or says that it has no room for them.
///
/// # Safety
///
/// `destination` must be valid, and its buffer not overlap `source`.
unsafe fn append(destination: PUNICODE_STRING, source: &[WCHAR]) -> NTSTATUS {
    // SAFETY: Valid by the contract of this function.
    let destination = unsafe { &mut *destination };
    // SAFETY: As above.
    let buffer = unsafe { room(destination) };
    let start = usize::from(destination.Length) / size_of::<WCHAR>();
    let end = start + source.len();
    let Some(place) = buffer.get_mut(start..end) else {
        return STATUS_BUFFER_TOO_SMALL;
    };
    place.copy_from_slice(source);
    if let Some(terminator) = buffer.get_mut(end) {
        *terminator = 0;
    }
    destination.Length = bytes(end);
    STATUS_SUCCESS
}

/// Appends a string to another. Any IRQL, if both are resident.
///
/// `STATUS_BUFFER_TOO_SMALL`, and nothing is changed, if there is no room.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlAppendUnicodeStringToString`.
pub unsafe extern "win64" fn RtlAppendUnicodeStringToString(
    Destination: PUNICODE_STRING,
    Source: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: Valid by the contract of this function.
    let source = unsafe { units(Source) };
    // SAFETY: As above.
    unsafe { append(Destination, source) }
}

/// Appends a string that ends with a zero. Any IRQL, if both are resident.
///
/// `STATUS_BUFFER_TOO_SMALL`, and nothing is changed, if there is no room.
///
/// # Safety
///
/// `Destination` must be valid, `Source` null or a string that ends with a zero. DDI:
/// `RtlAppendUnicodeToString`.
pub unsafe extern "win64" fn RtlAppendUnicodeToString(
    Destination: PUNICODE_STRING,
    Source: PCWSTR,
) -> NTSTATUS {
    // SAFETY: Null or ending with a zero, by the contract of this function.
    let source = unsafe { terminated(Source) };
    // SAFETY: Valid by the contract of this function.
    unsafe { append(Destination, source) }
}

/// Writes `text` to a string: into its room, or into a buffer from paged pool that replaces it. A
/// terminating zero follows, which needs room and is not counted.
///
/// # Safety
///
/// `destination` must be valid, with a buffer unless `allocate` is set.
pub(super) unsafe fn store(
    destination: PUNICODE_STRING,
    text: &[WCHAR],
    allocate: bool,
) -> NTSTATUS {
    if (text.len() + 1) * size_of::<WCHAR>() > LONGEST {
        return nt_abi::STATUS_INVALID_PARAMETER;
    }
    let size = bytes(text.len() + 1);
    // SAFETY: Valid by the contract of this function.
    let string = unsafe { &mut *destination };
    if allocate {
        // SAFETY: The callers of this are at `APC_LEVEL` at most; the tag is not zero.
        let buffer = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, u64::from(size), TAG) };
        if buffer.is_null() {
            return STATUS_NO_MEMORY;
        }
        string.Buffer = buffer.cast();
        string.MaximumLength = size;
    } else if string.MaximumLength < size {
        return STATUS_BUFFER_OVERFLOW;
    }
    string.Length = 0;
    // SAFETY: As above; the buffer has room, and no buffer overlaps the text.
    unsafe { append(destination, text) }
}

/// Makes `text` a string with a buffer of its own, which `RtlFreeUnicodeString` frees.
///
/// # Safety
///
/// `destination` must be valid for a write. `PASSIVE_LEVEL`.
pub unsafe fn allocate(destination: PUNICODE_STRING, text: &str) -> NTSTATUS {
    let text: Vec<WCHAR> = text.encode_utf16().collect();
    // SAFETY: The contract is the same.
    unsafe { store(destination, &text, true) }
}

/// Copies a string in upper case, into its room or into a new buffer. `<= APC_LEVEL`.
///
/// # Safety
///
/// Both must be valid. DDI: `RtlUpcaseUnicodeString` (ntifs).
pub unsafe extern "win64" fn RtlUpcaseUnicodeString(
    DestinationString: PUNICODE_STRING,
    SourceString: PCUNICODE_STRING,
    AllocateDestinationString: BOOLEAN,
) -> NTSTATUS {
    pageable!(APC, RtlUpcaseUnicodeString);
    // SAFETY: Valid by the contract of this function.
    let source = unsafe { units(SourceString) };
    let upper: Vec<WCHAR> = source.iter().copied().map(upcase).collect();
    if AllocateDestinationString != 0 {
        // SAFETY: As above.
        return unsafe { store(DestinationString, &upper, true) };
    }
    // SAFETY: As above.
    let destination = unsafe { &mut *DestinationString };
    if usize::from(destination.MaximumLength) < upper.len() * size_of::<WCHAR>() {
        return STATUS_BUFFER_OVERFLOW;
    }
    destination.Length = 0;
    // SAFETY: As above; the text is a copy and overlaps nothing.
    unsafe { append(DestinationString, &upper) }
}

/// Frees the buffer of a string that a function of this library allocated. `<= APC_LEVEL`.
///
/// # Safety
///
/// The buffer must be null or come from this library. DDI: `RtlFreeUnicodeString`.
pub unsafe extern "win64" fn RtlFreeUnicodeString(UnicodeString: PUNICODE_STRING) {
    pageable!(APC, RtlFreeUnicodeString);
    // SAFETY: Valid by the contract of this function.
    let string = unsafe { &mut *UnicodeString };
    if !string.Buffer.is_null() {
        // SAFETY: The buffer comes from `store`, by the contract of this function.
        unsafe { ExFreePool(string.Buffer.cast()) };
        *string = UNICODE_STRING::default();
    }
}

/// The upper case of a code unit. `<= APC_LEVEL`. DDI: `RtlUpcaseUnicodeChar`.
///
/// # Safety
///
/// None needed.
pub unsafe extern "win64" fn RtlUpcaseUnicodeChar(SourceCharacter: WCHAR) -> WCHAR {
    pageable!(APC, RtlUpcaseUnicodeChar);
    upcase(SourceCharacter)
}

/// The lower case of a code unit. `PASSIVE_LEVEL`. DDI: `RtlDowncaseUnicodeChar`.
///
/// # Safety
///
/// None needed.
pub unsafe extern "win64" fn RtlDowncaseUnicodeChar(SourceCharacter: WCHAR) -> WCHAR {
    pageable!(PASSIVE, RtlDowncaseUnicodeChar);
    downcase(SourceCharacter)
}

crate::export::exports! {
    "ntoskrnl.exe";
    RtlInitUnicodeString, RtlCopyUnicodeString, RtlCompareUnicodeString, RtlEqualUnicodeString,
    RtlPrefixUnicodeString, RtlAppendUnicodeStringToString, RtlAppendUnicodeToString,
    RtlUpcaseUnicodeString, RtlFreeUnicodeString, RtlUpcaseUnicodeChar, RtlDowncaseUnicodeChar,
}
