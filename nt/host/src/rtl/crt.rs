//! What the compilers' code calls without being asked: the few functions of the C library that the
//! kernel exports, the stack probe, and the language's exception handler.

use core::{arch::naked_asm, cmp::Ordering, ffi::c_void, slice};

use nt_abi::{CHAR, SIZE_T, WCHAR, bugcheck::KMODE_EXCEPTION_NOT_HANDLED};

use super::{terminated, terminated_bytes, unicode::upcase};
use crate::{address::to_usize, bugcheck};

/// Touches each page of a frame that is larger than one, so that a stack overflow is met at the guard
/// page. `rax` holds the size of the frame; no register is changed.
///
/// # Safety
///
/// None beyond the registers.
#[unsafe(naked)]
pub unsafe extern "win64" fn __chkstk() {
    naked_asm!(
        "push rcx",
        "push rax",
        "lea rcx, [rsp + 24]",
        "2:",
        "cmp rax, 0x1000",
        "jb 3f",
        "sub rcx, 0x1000",
        "test byte ptr [rcx], 0",
        "sub rax, 0x1000",
        "jmp 2b",
        "3:",
        "sub rcx, rax",
        "test byte ptr [rcx], 0",
        "pop rax",
        "pop rcx",
        "ret",
    )
}

/// The handler that unwind data of C code with `__try` names. Exceptions are not unwound here: each
/// is a bug check where it happens. An image may import this, and nothing calls it.
///
/// # Safety
///
/// None needed: it does not return.
pub unsafe extern "win64" fn __C_specific_handler(
    ExceptionRecord: *mut c_void,
    _EstablisherFrame: *mut c_void,
    _ContextRecord: *mut c_void,
    _DispatcherContext: *mut c_void,
) -> i32 {
    bugcheck::raise(
        KMODE_EXCEPTION_NOT_HANDLED,
        [0, 0, ExceptionRecord as u64, 0],
        "__C_specific_handler",
        "Structured exceptions are not dispatched by this kernel.",
    )
}

/// # Safety
///
/// As the C function of this name.
pub const unsafe extern "win64" fn memcpy(to: *mut u8, from: *const u8, length: SIZE_T) -> *mut u8 {
    // SAFETY: The caller keeps the contract of the C function; overlap is allowed here, as the kernel
    // exports one function under both names.
    unsafe { from.copy_to(to, to_usize(length)) };
    to
}

/// # Safety
///
/// As the C function of this name.
pub const unsafe extern "win64" fn memmove(
    to: *mut u8,
    from: *const u8,
    length: SIZE_T,
) -> *mut u8 {
    // SAFETY: The caller keeps the contract of the C function.
    unsafe { from.copy_to(to, to_usize(length)) };
    to
}

/// # Safety
///
/// As the C function of this name.
pub const unsafe extern "win64" fn memset(to: *mut u8, value: i32, length: SIZE_T) -> *mut u8 {
    // SAFETY: The caller keeps the contract of the C function, which uses the low byte of the value.
    unsafe { to.write_bytes(value.cast_unsigned() as u8, to_usize(length)) };
    to
}

/// # Safety
///
/// As the C function of this name.
pub unsafe extern "win64" fn memcmp(first: *const u8, second: *const u8, length: SIZE_T) -> i32 {
    if length == 0 {
        return 0;
    }
    // SAFETY: The caller keeps the contract of the C function.
    let first = unsafe { slice::from_raw_parts(first, to_usize(length)) };
    // SAFETY: As above.
    let second = unsafe { slice::from_raw_parts(second, to_usize(length)) };
    first.cmp(second) as i32
}

/// # Safety
///
/// As the C function of this name.
pub const unsafe extern "win64" fn strlen(text: *const CHAR) -> SIZE_T {
    // SAFETY: The caller keeps the contract of the C function.
    unsafe { terminated_bytes(text) }.len() as SIZE_T
}

/// # Safety
///
/// As the C function of this name.
pub unsafe extern "win64" fn strcmp(first: *const CHAR, second: *const CHAR) -> i32 {
    // SAFETY: The caller keeps the contract of the C function.
    let first = unsafe { terminated_bytes(first) };
    // SAFETY: As above.
    first.cmp(unsafe { terminated_bytes(second) }) as i32
}

/// # Safety
///
/// As the C function of this name.
pub const unsafe extern "win64" fn wcslen(text: *const WCHAR) -> SIZE_T {
    // SAFETY: The caller keeps the contract of the C function.
    unsafe { terminated(text) }.len() as SIZE_T
}

/// # Safety
///
/// As the C function of this name.
pub unsafe extern "win64" fn wcscmp(first: *const WCHAR, second: *const WCHAR) -> i32 {
    // SAFETY: The caller keeps the contract of the C function.
    let first = unsafe { terminated(first) };
    // SAFETY: As above.
    first.cmp(unsafe { terminated(second) }) as i32
}

/// # Safety
///
/// As the C function of this name.
pub unsafe extern "win64" fn _wcsicmp(first: *const WCHAR, second: *const WCHAR) -> i32 {
    // SAFETY: The caller keeps the contract of the C function.
    let first = unsafe { terminated(first) }.iter().copied().map(upcase);
    // SAFETY: As above.
    let second = unsafe { terminated(second) }.iter().copied().map(upcase);
    match first.cmp(second) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

crate::export::exports! {
    "ntoskrnl.exe";
    __chkstk, __C_specific_handler, memcpy, memmove, memset, memcmp, strlen, strcmp, wcslen, wcscmp,
    _wcsicmp,
}
