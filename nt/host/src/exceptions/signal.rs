//! The signal handler.

use core::{
    cell::Cell,
    mem::{MaybeUninit, zeroed},
};
use std::sync::OnceLock;

use libc::{c_int, c_void, sigaction, siginfo_t, ucontext_t};
use region::Protection;

use super::{control, debugger, registers::Registers, shared_data, stop};
use crate::{
    address::{pointer, to_usize},
    loader::registry::{self, Location},
    mm::pageable,
    stack,
    thread::{self, Origin},
};

/// The signals that the processor's exceptions arrive as.
const SIGNALS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];
/// `si_code` of a signal that the host's kernel sends for no more specific reason.
pub const SI_KERNEL: c_int = 0x80;
/// `si_code` of a page fault in memory that is there, and protected.
pub const SEGV_ACCERR: c_int = 2;
/// `si_code` of a division by zero, and of a quotient that is too large.
pub const FPE_INTDIV: c_int = 1;
/// See [`FPE_INTDIV`].
pub const FPE_INTOVF: c_int = 2;

/// What an exception is made of, as the handler finds it.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    pub signal: c_int,
    /// `si_code`.
    pub code: c_int,
    /// `si_addr`: what could not be accessed, for a page fault.
    pub address: u64,
    /// The page fault error code of the processor: bit 1 is a write, bit 4 the fetch of an instruction.
    pub error: u64,
    /// The address of the instruction.
    pub instruction: u64,
    pub stack: u64,
    /// The register `rbp`.
    pub frame: u64,
    /// The register `rcx`.
    pub rcx: u64,
}

impl Exception {
    const NONE: Self = Self {
        signal: 0,
        code: 0,
        address: 0,
        error: 0,
        instruction: 0,
        stack: 0,
        frame: 0,
        rcx: 0,
    };
}

thread_local! {
    /// The exception that the thread is stopped for. It has no destructor, so that the handler may
    /// write it.
    static EXCEPTION: Cell<Exception> = const { Cell::new(Exception::NONE) };
}

/// The exception that the calling thread is stopped for.
pub fn taken() -> Exception {
    EXCEPTION.get()
}

/// A handler with `SA_SIGINFO`.
type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// The driver's code that raised the exception which the calling thread is stopped for.
pub fn location() -> Option<Location> {
    let instruction = EXCEPTION.get().instruction;
    registry::locate(to_usize(instruction)).filter(Location::is_code)
}

/// Where the exception was raised that the calling thread is stopped for.
pub fn registers() -> Option<stack::Registers> {
    let exception = EXCEPTION.get();
    (exception.signal != 0).then_some(stack::Registers {
        instruction: exception.instruction,
        stack: exception.stack,
        frame: exception.frame,
    })
}

/// What the signals did before.
struct Previous([sigaction; SIGNALS.len()]);

// SAFETY: A `sigaction` is a function's address and flags.
unsafe impl Send for Previous {}
// SAFETY: As above; it is never changed.
unsafe impl Sync for Previous {}

static PREVIOUS: OnceLock<Previous> = OnceLock::new();

/// Has exceptions in kernel code become bug checks, from now on.
pub fn install() {
    PREVIOUS.get_or_init(|| Previous(SIGNALS.map(set_handler)));
}

fn set_handler(signal: c_int) -> sigaction {
    // SAFETY: A `sigaction` of zeros is one with the default action and no flags.
    let mut action: sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as extern "C" fn(_, _, _) as *const () as usize;
    // Another exception in the handler ends the process, and does not hang it.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    let mut previous = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: Both point to values of the type; the handler is one for these flags.
    unsafe { libc::sigaction(signal, &raw const action, previous.as_mut_ptr()) };
    // SAFETY: It was zeroed, which is a value, and written if the call succeeded.
    unsafe { previous.assume_init() }
}

extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: With `SA_SIGINFO` the host's kernel passes the context of the interrupted code, which the
    // handler alone uses.
    let mut registers = Registers::new(unsafe { &mut *context.cast::<ucontext_t>() });
    // SAFETY: As above, and what the signal is about.
    let information = unsafe { &*info };
    // SAFETY: These signals have an address, or zero in its place.
    let address = unsafe { information.si_addr() } as u64;
    let error = registers.get(libc::REG_ERR);
    if signal == libc::SIGSEGV && information.si_code == SEGV_ACCERR && page_in(address, error) {
        return;
    }
    if !is_kernel_code() {
        chain(signal, info, context);
        return;
    }
    if shared_data::finish(&mut registers, signal, information.si_code) {
        return;
    }
    let breakpoint = signal == libc::SIGTRAP && information.si_code == SI_KERNEL;
    if breakpoint && debugger::is_attached() {
        debugger::pass_over(&mut registers);
        return;
    }
    let next = registers.get(libc::REG_RIP);
    let exception = Exception {
        signal,
        code: information.si_code,
        address,
        error,
        // The processor has passed a break instruction, which is one byte, when it stops.
        instruction: if breakpoint { next - 1 } else { next },
        stack: registers.get(libc::REG_RSP),
        frame: registers.get(libc::REG_RBP),
        rcx: registers.get(libc::REG_RCX),
    };
    let privileged = signal == libc::SIGSEGV && information.si_code == SI_KERNEL;
    if privileged && control::emulate(&mut registers) {
        return;
    }
    let page_fault = signal == libc::SIGSEGV && !privileged;
    if page_fault && shared_data::emulate(&mut registers, address) {
        return;
    }
    EXCEPTION.set(exception);
    stop::redirect(&mut registers, &exception);
}

/// Pages memory in for a thread that may wait for that, being below `DISPATCH_LEVEL`.
fn page_in(address: u64, error: u64) -> bool {
    let access = if error & 0x10 != 0 {
        Protection::EXECUTE
    } else if error & 2 != 0 {
        Protection::WRITE
    } else {
        Protection::READ
    };
    let may_wait = thread::existing().is_none_or(|thread| !thread.is_at_dispatch());
    may_wait && pageable::page_in(to_usize(address), access)
}

/// Whether the exception is one of code that the kernel runs for a driver: the thread is a system
/// thread, or one that entered through the library.
fn is_kernel_code() -> bool {
    thread::existing()
        .is_some_and(|thread| thread.origin() != Origin::Host || !thread.recovery().is_null())
}

/// Does what the signal did before.
fn chain(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let index = SIGNALS.iter().position(|other| *other == signal);
    let previous = PREVIOUS
        .get()
        .zip(index)
        .and_then(|(all, index)| all.0.get(index));
    let action = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
    if action == libc::SIG_DFL || action == libc::SIG_IGN {
        // The instruction runs again and raises the signal again, which is fatal then.
        // SAFETY: The default action is always a valid one.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    let action = pointer::<()>(action as u64);
    // SAFETY: The address is that of the handler that was installed before this one. One without
    // `SA_SIGINFO` takes fewer arguments, which the calling convention allows.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(action) };
    handler(signal, info, context);
}
