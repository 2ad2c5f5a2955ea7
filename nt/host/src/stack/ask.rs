//! Asking another thread where it is.

use core::{
    mem::zeroed,
    sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};
use std::time::Instant;

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::{Registers, Snapshot};
use crate::address::pointer;
use crate::thread::{self, Thread};

/// Where a thread was when it was asked last.
pub struct Answer {
    /// The host's identifier of the thread, by which it is asked.
    host_thread: AtomicI32,
    /// How often it has answered.
    count: AtomicU64,
    instruction: AtomicU64,
    stack: AtomicU64,
    frame: AtomicU64,
    /// Where its stack is to be copied to: [`COPIED`] bytes.
    copy: AtomicPtr<u8>,
    /// How much was copied.
    copied: AtomicUsize,
}

/// How much of a stack is copied: deeper than the calls of a driver.
const COPIED: usize = 64 * 1024;

impl Answer {
    /// No answer.
    pub const fn none() -> Self {
        Self {
            host_thread: AtomicI32::new(0),
            count: AtomicU64::new(0),
            instruction: AtomicU64::new(0),
            stack: AtomicU64::new(0),
            frame: AtomicU64::new(0),
            copy: AtomicPtr::new(core::ptr::null_mut()),
            copied: AtomicUsize::new(0),
        }
    }
}

/// Which signal asks.
fn signal() -> c_int {
    libc::SIGRTMIN() + 5
}

/// Has threads answer, from now on.
pub fn install() {
    // SAFETY: A `sigaction` of zeros is one with the default action and no flags.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = answer as extern "C" fn(_, _, _) as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: The action is one with a handler for these flags.
    unsafe { libc::sigaction(signal(), &raw const action, core::ptr::null_mut()) };
}

/// Notes by which identifier the calling thread is asked.
pub fn remember_host_thread(thread: &Thread) {
    // SAFETY: It has no precondition.
    let id = unsafe { libc::gettid() };
    thread.answer.host_thread.store(id, Ordering::Release);
}

extern "C" fn answer(_signal: c_int, _info: *mut siginfo_t, context: *mut c_void) {
    let Some(thread) = thread::existing() else {
        return;
    };
    // SAFETY: With `SA_SIGINFO` the host's kernel passes the context of the interrupted code.
    let registers = unsafe { &(*context.cast::<ucontext_t>()).uc_mcontext.gregs };
    let answer = &thread.answer;
    for (place, index) in [
        (&answer.instruction, libc::REG_RIP),
        (&answer.stack, libc::REG_RSP),
        (&answer.frame, libc::REG_RBP),
    ] {
        let value = usize::try_from(index)
            .ok()
            .and_then(|index| registers.get(index));
        place.store(
            value.map_or(0, |value| value.cast_unsigned()),
            Ordering::Relaxed,
        );
    }
    copy_stack(answer);
    answer.count.fetch_add(1, Ordering::Release);
}

/// Copies the stack to where the asker wants it. The end of the stack ends the copy, and is no fault.
fn copy_stack(answer: &Answer) {
    let place = answer.copy.swap(core::ptr::null_mut(), Ordering::Acquire);
    if place.is_null() {
        return;
    }
    let to = libc::iovec {
        iov_base: place.cast(),
        iov_len: COPIED,
    };
    let from = libc::iovec {
        iov_base: pointer(answer.stack.load(Ordering::Relaxed)),
        iov_len: COPIED,
    };
    // SAFETY: It has no precondition.
    let process = unsafe { libc::getpid() };
    // SAFETY: The asker has given a place of that size away.
    let length =
        unsafe { libc::process_vm_readv(process, &raw const to, 1, &raw const from, 1, 0) };
    let length = usize::try_from(length).unwrap_or(0);
    answer.copied.store(length, Ordering::Relaxed);
}

/// Where `thread` is, which is not the calling one. Nothing if it does not answer.
pub fn ask(thread: &Thread) -> Option<Snapshot> {
    const PATIENCE: Duration = Duration::from_millis(100);
    let answer = &thread.answer;
    // A thread that answers too late still writes there: the memory is not used again then.
    let place = Box::leak(vec![0_u8; COPIED].into_boxed_slice());
    answer.copy.store(place.as_mut_ptr(), Ordering::Release);
    let before = answer.count.load(Ordering::Acquire);
    // SAFETY: It has no precondition.
    let process = unsafe { libc::getpid() };
    let host_thread = answer.host_thread.load(Ordering::Acquire);
    // SAFETY: It touches no memory; a thread that is not there any more is an error.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process, host_thread, signal()) };
    if result != 0 {
        return None;
    }
    let start = Instant::now();
    while answer.count.load(Ordering::Acquire) == before {
        if start.elapsed() > PATIENCE {
            return None;
        }
        std::thread::yield_now();
    }
    let registers = Registers {
        instruction: answer.instruction.load(Ordering::Relaxed),
        stack: answer.stack.load(Ordering::Relaxed),
        frame: answer.frame.load(Ordering::Relaxed),
    };
    let copied = answer.copied.load(Ordering::Relaxed);
    let stack = place[..copied].to_vec();
    Some(Snapshot { registers, stack })
}
