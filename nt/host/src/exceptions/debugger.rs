//! A kernel debugger that says where a break instruction is, and lets the driver go on.

use core::sync::atomic::{AtomicBool, Ordering};

use super::{
    registers::Registers,
    unnoticed::{self, thunk},
};
use crate::{address::to_usize, loader::registry::locate, rtl::debug};

static ATTACHED: AtomicBool = AtomicBool::new(false);

/// Attaches the debugger.
pub fn attach() {
    ATTACHED.store(true, Ordering::Relaxed);
}

/// Whether the debugger is there.
pub fn is_attached() -> bool {
    ATTACHED.load(Ordering::Relaxed)
}

/// Lets the interrupted thread say where it is, and go on behind the break instruction.
pub fn pass_over(registers: &mut Registers<'_>) {
    let next = registers.get(libc::REG_RIP);
    unnoticed::call(registers, report_break, next, next);
}

thunk!(report_break, report);

unsafe extern "win64" fn report(next: u64) {
    let place = locate(to_usize(next - 1))
        .map_or_else(|| format!("0x{:X}", next - 1), |place| place.to_string());
    debug::print(&format!("Break instruction at {place}\n"));
}
