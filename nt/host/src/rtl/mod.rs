//! The run-time library of the kernel, and what compilers expect a kernel to export.
#![allow(
    non_snake_case,
    clippy::must_use_candidate,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "functions, parameters and constants are as NT has them, and sizes are those of x64"
)]

pub mod ansi;
pub mod crt;
pub mod debug;
mod format;
pub mod guid;
pub mod memory;
pub mod number;
pub mod pageable;
pub mod unicode;
pub mod version;

use std::slice;

use nt_abi::{PCUNICODE_STRING, UNICODE_STRING, WCHAR};

pub(crate) use pageable::pageable;

/// The code units of a counted string; none if it is null or has no buffer.
///
/// # Safety
///
/// `string` must be null or point to a valid string, which stays as it is while the result is used.
pub unsafe fn units<'a>(string: PCUNICODE_STRING) -> &'a [WCHAR] {
    // SAFETY: The caller promises that the pointer is null or valid.
    let Some(string) = (unsafe { string.as_ref() }) else {
        return &[];
    };
    let (buffer, length) = (
        string.Buffer,
        usize::from(string.Length) / size_of::<WCHAR>(),
    );
    if buffer.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: A valid counted string has `Length` bytes at its buffer.
    unsafe { slice::from_raw_parts(buffer, length) }
}

/// The code units of a string that ends with a zero, the zero not included; none if it is null.
///
/// # Safety
///
/// `text` must be null or point to such a string, which stays as it is while the result is used.
pub const unsafe fn terminated<'a>(text: *const WCHAR) -> &'a [WCHAR] {
    if text.is_null() {
        return &[];
    }
    let mut length = 0;
    // SAFETY: Every unit up to the terminating zero belongs to the string.
    while unsafe { text.wrapping_add(length).read() } != 0 {
        length += 1;
    }
    // SAFETY: `length` units were just read.
    unsafe { slice::from_raw_parts(text, length) }
}

/// The bytes of a string that ends with a zero, the zero not included; none if it is null.
///
/// # Safety
///
/// As for [`terminated`].
pub const unsafe fn terminated_bytes<'a>(text: *const i8) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: The caller promises a string that ends with a zero.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes()
}

/// The room of a counted string, whole code units of it.
///
/// # Safety
///
/// `string` must be a valid string whose buffer nobody else uses while the result does.
pub const unsafe fn room<'a>(string: &UNICODE_STRING) -> &'a mut [WCHAR] {
    if string.Buffer.is_null() {
        return &mut [];
    }
    let length = string.MaximumLength as usize / size_of::<WCHAR>();
    // SAFETY: A valid counted string has `MaximumLength` bytes at its buffer, and the caller promises
    // that they are used here alone.
    unsafe { slice::from_raw_parts_mut(string.Buffer, length) }
}

/// The string as Rust has them, for names and messages; what is no valid UTF-16 is replaced.
///
/// # Safety
///
/// As for [`units`].
pub unsafe fn to_string(string: PCUNICODE_STRING) -> String {
    // SAFETY: The caller promises what `units` asks for.
    String::from_utf16_lossy(unsafe { units(string) })
}

/// The functions of this component, for [`crate::ntddk`].
pub mod ddk {
    pub use super::{
        ansi::ddk::*, crt::ddk::*, debug::ddk::*, guid::ddk::*, memory::ddk::*, number::ddk::*,
        unicode::ddk::*, version::ddk::*,
    };
}
