//! Where a thread goes on after an exception: to its bug check.

use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    classify,
    registers::Registers,
    signal::{self, Exception},
};
use crate::bugcheck;

/// The direction and alignment-check flags, which compiled code expects to be clear.
const FLAGS: u64 = 0x400 | 0x4_0000;
/// Below the stack pointer, leaf functions of the host's own code keep data.
const RED_ZONE: u64 = 128;
/// A page fault this near to the stack pointer is one of the stack's guard page: what belongs to a
/// stack is there, so nothing else faults near it. The stack probe reaches further down than up.
const GUARD: core::ops::Range<i64> = -0x1_0000..0x1000;

/// A stack for the thread that has used up its own.
#[repr(C, align(16))]
struct Emergency {
    stack: UnsafeCell<[u8; Self::SIZE]>,
    taken: AtomicBool,
}

impl Emergency {
    const SIZE: usize = 256 * 1024;
}

// SAFETY: The stack belongs to the thread that has set `taken`, for good.
unsafe impl Sync for Emergency {}

static EMERGENCY: Emergency = Emergency {
    stack: UnsafeCell::new([0; Emergency::SIZE]),
    taken: AtomicBool::new(false),
};

/// Whether an exception is a stack overflow.
pub fn is_stack_overflow(exception: &Exception) -> bool {
    let page_fault = exception.signal == libc::SIGSEGV && exception.code != signal::SI_KERNEL;
    page_fault
        && GUARD.contains(
            &exception
                .address
                .wrapping_sub(exception.stack)
                .cast_signed(),
        )
}

/// Lets the interrupted thread go on in [`stop`].
pub fn redirect(registers: &mut Registers<'_>, exception: &Exception) {
    let stack = if is_stack_overflow(exception) {
        if EMERGENCY.taken.swap(true, Ordering::AcqRel) {
            // Another thread is on that stack, and the kernel is dying.
            let wait = wait as extern "C" fn() -> !;
            registers.set(libc::REG_RIP, wait as *const () as u64);
            return;
        }
        EMERGENCY.stack.get() as u64 + Emergency::SIZE as u64
    } else {
        exception.stack - RED_ZONE
    };
    // As a call would leave it: eight below a multiple of sixteen.
    registers.set(libc::REG_RSP, (stack & !15) - 8);
    let stop = stop as extern "C" fn() -> !;
    registers.set(libc::REG_RIP, stop as *const () as u64);
    let flags = registers.get(libc::REG_EFL);
    registers.set(libc::REG_EFL, flags & !FLAGS);
}

/// Waits for ever without a stack.
extern "C" fn wait() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Stops the kernel for the exception of the calling thread.
extern "C" fn stop() -> ! {
    let verdict = classify::classify(&signal::taken());
    bugcheck::raise(
        verdict.code,
        verdict.parameters,
        verdict.function,
        verdict.sentence,
    )
}
