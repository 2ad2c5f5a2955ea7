//! Ways out of kernel code that does not return: a thread that entered through this crate gets back
//! to where it came in when a bug check stops the kernel, and a system thread leaves its start routine
//! when it terminates itself.
//!
//! [`enter`] saves what a function must preserve and calls a body; [`leave`] returns from that
//! `enter` a second way. The frames in between are dropped without running anything: driver code, and
//! functions of this kernel that hold no lock at that point.

use core::{
    any::Any,
    arch::naked_asm,
    cell::Cell,
    ffi::c_void,
    panic::AssertUnwindSafe,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};
use std::{panic, sync::Arc};

use crate::{
    bugcheck::{self, BugCheckReport},
    kernel,
    thread::{self, Thread},
};

/// A place that a thread can be brought back to: where its registers lie on its stack.
pub struct RecoveryPoint {
    stack: Cell<usize>,
}

/// Calls `body(argument)`, after saving the preserved registers at `*stack`.
#[unsafe(naked)]
unsafe extern "sysv64" fn enter(
    stack: *mut usize,
    body: unsafe extern "sysv64" fn(*mut c_void),
    argument: *mut c_void,
) -> u64 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        // Room for the two floating point control words; keeps the stack aligned to 16.
        "sub rsp, 24",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rdi, rdx",
        "call rsi",
        "xor eax, eax",
        "add rsp, 24",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Returns 1 from the [`enter`] that saved its registers at `stack`.
#[unsafe(naked)]
unsafe extern "sysv64" fn leave(stack: usize) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "cld",
        "mov eax, 1",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 24",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// A body and what became of it, on the stack of [`run`].
struct Call<F, T> {
    body: Cell<Option<F>>,
    result: Cell<Option<Result<T, Box<dyn Any + Send>>>>,
}

/// The far side of [`enter`]: nothing unwinds across it.
unsafe extern "sysv64" fn call<F: FnOnce() -> T, T>(argument: *mut c_void) {
    // SAFETY: `run` passes the address of a `Call` of these types, which outlives this frame.
    let call = unsafe { &*argument.cast::<Call<F, T>>() };
    if let Some(body) = call.body.take() {
        call.result
            .set(Some(panic::catch_unwind(AssertUnwindSafe(body))));
    }
}

/// Runs `body` as one that `thread` can leave with [`escape`].
///
/// Panics of the body go on in the caller. `None` if the body was left.
pub fn run<F: FnOnce() -> T, T>(thread: &Thread, body: F) -> Option<T> {
    let point = RecoveryPoint {
        stack: Cell::new(0),
    };
    let call_record = Call {
        body: Cell::new(Some(body)),
        result: Cell::new(None),
    };
    let outer = thread.set_recovery(ptr::from_ref(&point).cast_mut());
    // SAFETY: `call` gets the record that it expects; the point lives until `enter` has returned,
    // and is forgotten by the thread right after.
    let _ = unsafe {
        enter(
            point.stack.as_ptr(),
            call::<F, T>,
            ptr::from_ref(&call_record).cast_mut().cast(),
        )
    };
    thread.set_recovery(outer);
    match call_record.result.take() {
        Some(Ok(value)) => Some(value),
        Some(Err(payload)) => panic::resume_unwind(payload),
        None => None,
    }
}

/// Goes back to `point`.
///
/// # Safety
///
/// `point` must belong to a [`run`] that is on the stack of the calling thread, and no frame above it
/// may hold something that others wait for.
pub unsafe fn escape(point: *mut RecoveryPoint) -> ! {
    // SAFETY: The point is alive because its `run` is still on this thread's stack.
    let stack = unsafe { &*point }.stack.get();
    // SAFETY: `enter` saved its registers there and has not returned.
    unsafe { leave(stack) }
}

/// Set once anything runs under [`with_recovery`]: somebody is there to be told of a bug check.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Whether code outside of the kernel is there to be told of a bug check.
pub fn is_watched() -> bool {
    WATCHED.load(Ordering::Relaxed)
}

/// Calls into the kernel, and gets the thread back if a bug check stops the kernel meanwhile.
///
/// Without this, a bug check ends the process, with its report on standard error.
///
/// # Errors
///
/// The report of the bug check that has stopped the kernel, now or before.
pub fn with_recovery<T>(body: impl FnOnce() -> T) -> Result<T, Arc<BugCheckReport>> {
    WATCHED.store(true, Ordering::Relaxed);
    let thread = thread::attached();
    if kernel::is_dead() {
        return Err(bugcheck::await_report());
    }
    run(thread, body).ok_or_else(bugcheck::await_report)
}
