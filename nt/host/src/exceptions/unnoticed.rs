//! Calls that interrupted code makes without noticing: what a signal handler may not do, the thread
//! does itself, on its own stack and with all registers as they were before and after.

use super::registers::Registers;
use crate::address::pointer;

/// Below the stack pointer, leaf functions of the host's own code keep data. Drivers' code does not.
const RED_ZONE: u64 = 128;

/// Lets the interrupted thread call the function behind `thunk` with `value`, and go on at `next`.
pub fn call(
    registers: &mut Registers<'_>,
    thunk: unsafe extern "win64" fn(),
    value: u64,
    next: u64,
) {
    let stack = registers.get(libc::REG_RSP) - RED_ZONE - 16;
    let frame = pointer::<[u64; 2]>(stack);
    // SAFETY: The stack has room for two words below what is in use, as it has for any call.
    unsafe { frame.write_unaligned([value, next]) };
    registers.set(libc::REG_RSP, stack);
    registers.set(libc::REG_RIP, thunk as *const () as u64);
}

/// Defines a thunk for [`call`]: it calls a function with the value on top of the stack, and returns to
/// the address below that, without changing a register.
macro_rules! thunk {
    ($name:ident, $function:ident) => {
        #[unsafe(naked)]
        unsafe extern "win64" fn $name() {
            core::arch::naked_asm!(
                "pushfq",
                "push rax",
                "push rcx",
                "push rdx",
                "push r8",
                "push r9",
                "push r10",
                "push r11",
                "push rbp",
                "mov rbp, rsp",
                "sub rsp, 0x80",
                "and rsp, -16",
                // Under these, 0x20 bytes are the callee's.
                "movups [rsp + 0x20], xmm0",
                "movups [rsp + 0x30], xmm1",
                "movups [rsp + 0x40], xmm2",
                "movups [rsp + 0x50], xmm3",
                "movups [rsp + 0x60], xmm4",
                "movups [rsp + 0x70], xmm5",
                "cld",
                "mov rcx, [rbp + 72]",
                "call {function}",
                "movups xmm0, [rsp + 0x20]",
                "movups xmm1, [rsp + 0x30]",
                "movups xmm2, [rsp + 0x40]",
                "movups xmm3, [rsp + 0x50]",
                "movups xmm4, [rsp + 0x60]",
                "movups xmm5, [rsp + 0x70]",
                "mov rsp, rbp",
                "pop rbp",
                "pop r11",
                "pop r10",
                "pop r9",
                "pop r8",
                "pop rdx",
                "pop rcx",
                "pop rax",
                "popfq",
                "lea rsp, [rsp + 8]",
                // Takes the address off the stack, and the red zone.
                "ret 128",
                function = sym $function,
            )
        }
    };
}
pub(super) use thunk;
