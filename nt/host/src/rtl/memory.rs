//! Memory by bytes (`RtlXxxMemory`).

use std::slice;

use nt_abi::{PVOID, SIZE_T, UCHAR, ULONG_PTR};

use crate::address::to_usize;

/// How many leading bytes of two blocks are equal. Any IRQL, if both are resident.
///
/// # Safety
///
/// Both must be readable for `Length` bytes. DDI: `RtlCompareMemory`.
pub unsafe extern "win64" fn RtlCompareMemory(
    Source1: *const u8,
    Source2: *const u8,
    Length: SIZE_T,
) -> SIZE_T {
    if Length == 0 {
        return 0;
    }
    // SAFETY: Readable for `Length` bytes by the contract of this function.
    let first = unsafe { slice::from_raw_parts(Source1, to_usize(Length)) };
    // SAFETY: As above.
    let second = unsafe { slice::from_raw_parts(Source2, to_usize(Length)) };
    first.iter().zip(second).take_while(|(a, b)| a == b).count() as SIZE_T
}

/// Copies bytes, also between blocks that overlap. Any IRQL, if both are resident.
///
/// # Safety
///
/// Both must be valid for `Length` bytes. DDI: `RtlMoveMemory`.
pub const unsafe extern "win64" fn RtlMoveMemory(
    Destination: *mut u8,
    Source: *const u8,
    Length: SIZE_T,
) {
    // SAFETY: Valid by the contract of this function.
    unsafe { Source.copy_to(Destination, to_usize(Length)) };
}

/// Copies bytes, as [`RtlMoveMemory`] does. DDI: `RtlCopyMemory`.
///
/// # Safety
///
/// As for [`RtlMoveMemory`].
pub const unsafe extern "win64" fn RtlCopyMemory(
    Destination: *mut u8,
    Source: *const u8,
    Length: SIZE_T,
) {
    // SAFETY: The contract is the same.
    unsafe { RtlMoveMemory(Destination, Source, Length) };
}

/// Zeroes bytes. Any IRQL, if they are resident.
///
/// # Safety
///
/// `Destination` must be valid for `Length` bytes. DDI: `RtlZeroMemory`.
pub const unsafe extern "win64" fn RtlZeroMemory(Destination: *mut u8, Length: SIZE_T) {
    // SAFETY: Valid by the contract of this function.
    unsafe { Destination.write_bytes(0, to_usize(Length)) };
}

/// Fills bytes. Any IRQL, if they are resident.
///
/// # Safety
///
/// `Destination` must be valid for `Length` bytes. DDI: `RtlFillMemory`.
pub const unsafe extern "win64" fn RtlFillMemory(
    Destination: *mut u8,
    Length: SIZE_T,
    Fill: UCHAR,
) {
    // SAFETY: Valid by the contract of this function.
    unsafe { Destination.write_bytes(Fill, to_usize(Length)) };
}

/// The return addresses of the caller's frames: none, frames are not walked here. Any IRQL.
///
/// # Safety
///
/// None needed: nothing is written. DDI: `RtlCaptureStackBackTrace` (ntifs).
pub const unsafe extern "win64" fn RtlCaptureStackBackTrace(
    _FramesToSkip: u32,
    _FramesToCapture: u32,
    _BackTrace: *mut PVOID,
    _BackTraceHash: *mut ULONG_PTR,
) -> u16 {
    0
}

crate::export::exports! {
    "ntoskrnl.exe";
    RtlCompareMemory, RtlMoveMemory, RtlCopyMemory, RtlZeroMemory, RtlFillMemory,
    RtlCaptureStackBackTrace,
}
