//! Output for the debugger (`DbgPrint`) and its break instruction.
//!
//! What drivers print goes to standard error, or to where [`set_output`] says. Everything is shown:
//! the filter masks of Windows (`Kd_DEFAULT_Mask` and so on) let all components and levels pass.

use core::arch::global_asm;
use std::sync::{PoisonError, RwLock};

use nt_abi::{CHAR, NTSTATUS, STATUS_SUCCESS, ULONG};

use super::{
    format::{Arguments, format},
    pageable, terminated_bytes,
};
use crate::{address::pointer, irql::PASSIVE};

type Output = Box<dyn Fn(&str) + Send + Sync>;

static OUTPUT: RwLock<Option<Output>> = RwLock::new(None);

/// Sends what drivers print to `output`, from now on; it is called at any IRQL, on any thread, with
/// each piece of text as the driver passes it.
pub fn set_output(output: impl Fn(&str) + Send + Sync + 'static) {
    *OUTPUT.write().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(output));
}

/// Prints as a driver does.
pub fn print(text: &str) {
    match &*OUTPUT.read().unwrap_or_else(PoisonError::into_inner) {
        Some(output) => output(text),
        None => eprint!("{text}"),
    }
}

// A function with variable arguments cannot be written in Rust. These spill the four arguments in
// registers to their home space, where the others follow, and pass the address of the first.
global_asm!(
    ".global nthost_DbgPrint",
    "nthost_DbgPrint:",
    "mov [rsp + 8], rcx",
    "mov [rsp + 16], rdx",
    "mov [rsp + 24], r8",
    "mov [rsp + 32], r9",
    "lea rcx, [rsp + 8]",
    "sub rsp, 40",
    "call {print}",
    "add rsp, 40",
    "ret",
    ".global nthost_DbgPrintEx",
    "nthost_DbgPrintEx:",
    "mov [rsp + 8], rcx",
    "mov [rsp + 16], rdx",
    "mov [rsp + 24], r8",
    "mov [rsp + 32], r9",
    "lea rcx, [rsp + 24]",
    "sub rsp, 40",
    "call {print}",
    "add rsp, 40",
    "ret",
    print = sym print_arguments,
);

unsafe extern "win64" {
    /// Prints for the debugger. `<= DIRQL`; `PASSIVE_LEVEL` with conversions of UTF-16.
    ///
    /// # Safety
    ///
    /// The arguments must be what the format says. DDI: `DbgPrint`.
    #[link_name = "nthost_DbgPrint"]
    pub unsafe fn DbgPrint(Format: *const CHAR, ...) -> ULONG;

    /// As [`DbgPrint`], for a component and a level, which make no difference here. DDI:
    /// `DbgPrintEx`.
    ///
    /// # Safety
    ///
    /// The arguments must be what the format says.
    #[link_name = "nthost_DbgPrintEx"]
    pub unsafe fn DbgPrintEx(ComponentId: ULONG, Level: ULONG, Format: *const CHAR, ...) -> ULONG;
}

/// Prints what the format string at `arguments` makes of the arguments after it.
unsafe extern "win64" fn print_arguments(arguments: *const u64) -> NTSTATUS {
    // SAFETY: The thunks pass the address of the format argument.
    let text = pointer(unsafe { arguments.read() });
    // SAFETY: The arguments after the format follow it in memory.
    unsafe { vDbgPrintEx(0, 0, text, arguments.wrapping_add(1).cast_mut().cast()) }.cast_signed()
}

/// As [`DbgPrintEx`], with a `va_list`. DDI: `vDbgPrintEx`.
///
/// # Safety
///
/// `arglist` must have what the format says.
pub unsafe extern "win64" fn vDbgPrintEx(
    _ComponentId: ULONG,
    _Level: ULONG,
    Format: *const CHAR,
    arglist: *mut CHAR,
) -> ULONG {
    // SAFETY: A format string ends with a zero, by the contract of this function.
    let text = String::from_utf8_lossy(unsafe { terminated_bytes(Format) });
    let mut arguments = Arguments::new(arglist.cast());
    // SAFETY: The arguments fit, by the contract of this function.
    let formatted = unsafe { format(&text, &mut arguments) };
    if formatted.passive_only {
        pageable!(PASSIVE, DbgPrint);
    }
    print(&formatted.text);
    STATUS_SUCCESS.cast_unsigned()
}

/// Breaks into the debugger, as the instruction `int 3` does. DDI: `DbgBreakPoint`.
///
/// # Safety
///
/// None needed.
pub unsafe extern "win64" fn DbgBreakPoint() {
    // SAFETY: The instruction raises SIGTRAP, which the kernel handles.
    unsafe { core::arch::asm!("int3") };
}

crate::export::exports! { "ntoskrnl.exe"; DbgPrint, DbgPrintEx, vDbgPrintEx, DbgBreakPoint }
