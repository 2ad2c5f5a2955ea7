//! The rules of Driver Verifier: what each violation's bug check looks like.
//!
//! Source: the page of bug check 0xC4, `DRIVER_VERIFIER_DETECTED_VIOLATION`, for the first parameter
//! and the meaning of the others.

use core::ffi::c_void;

use nt_abi::bugcheck::{
    DRIVER_VERIFIER_DETECTED_VIOLATION, KERNEL_APC_PENDING_DURING_EXIT, TIMER_OR_DPC_INVALID,
};

use crate::{
    Rules, apc, bugcheck, dispatcher, dpc, ex, irql, kernel,
    thread::{self, Thread},
};

/// What only the system may notify: a rule of this kernel's own, which Driver Verifier has no number for.
pub const SYSTEM_CALLBACK: u64 = 0x6E74_0001;

/// Memory freed with an APC that is queued, for which Driver Verifier has no number.
pub const FREED_APC: u64 = 0x6E74_0002;

/// A function above the IRQL that its page allows, where no rule of DDI compliance has the function.
pub const IRQL_TOO_HIGH: u64 = 0x6E74_0003;

/// Whether a group of rules beyond those of a free build is enforced.
#[inline]
pub fn checks(rules: Rules) -> bool {
    let config = kernel::config();
    config.verifier && config.rules.contains(rules)
}

/// Stops the kernel for a rule of Driver Verifier that `function` found broken.
#[cold]
pub fn violation(
    rule: u64,
    parameters: [u64; 3],
    function: &'static str,
    sentence: impl Into<String>,
) -> ! {
    let [second, third, fourth] = parameters;
    bugcheck::raise(
        DRIVER_VERIFIER_DETECTED_VIOLATION,
        [rule, second, third, fourth],
        function,
        sentence,
    )
}

/// Stops the kernel for a DDI compliance rule that `function` found broken. The second parameter would
/// point to the text of the rule; the report has it instead.
#[cold]
pub fn rule(rule: u64, function: &'static str, sentence: impl Into<String>) -> ! {
    violation(rule, [0; 3], function, sentence)
}

/// An object at an address that a driver gives; null, or one that is not aligned, is bug check 0xC4 (0xE1).
///
/// # Safety
///
/// `address` must point to memory for an object whose fields are atomic, which stays where it is.
#[inline]
pub unsafe fn object<'a, T>(address: *mut c_void, function: &'static str) -> &'a T {
    let object = address.cast::<T>();
    if object.is_null() || !object.is_aligned() {
        invalid_address(address as u64, function);
    }
    // SAFETY: The caller vouches for the memory.
    unsafe { &*object }
}

#[cold]
fn invalid_address(address: u64, function: &'static str) -> ! {
    let sentence = "The address is null or not aligned: no object is there.";
    violation(0xE1, [address, 0, 0], function, sentence)
}

/// Stops the kernel if a thread holds the lock at an address, which is about to be initialised: bug check 0xC4
/// (0x1005).
pub fn check_not_held(lock: u64, function: &'static str) {
    let mut kind = None;
    thread::each(|thread| kind = kind.or_else(|| thread.held.kind_of(lock)));
    if let Some(kind) = kind {
        let sentence = format!(
            "A {} is initialised again while a thread holds it.",
            kind.noun()
        );
        violation(0x1005, [lock, 0, 0], function, sentence);
    }
}

/// What must not be in pool memory that is freed, of which the address and the size are given.
pub fn check_memory_end(
    thread: &'static Thread,
    (start, size): (u64, u64),
    pool_type: u64,
    function: &'static str,
) {
    let range = start..start + size;
    if let Some((lock, kind)) = thread.held.iter().find(|held| range.contains(&held.0)) {
        violation(
            0x100B,
            [lock, thread.address(), 0],
            function,
            format!("The memory holds a {} that the thread holds.", kind.noun()),
        );
    }
    if let Some((mutex, owner)) = dispatcher::owned_mutex_in(thread, &range) {
        violation(
            0x100B,
            [mutex, owner, 0],
            function,
            "The memory holds a mutex that a thread owns.",
        );
    }
    if let Some((apc, owner)) = apc::queued_in(thread, &range) {
        let sentence = "The memory holds an APC that is queued to a thread.";
        violation(FREED_APC, [apc, owner, start], function, sentence);
    }
    let mut dispatcher = dispatcher::lock(thread);
    let timer = dispatcher.state().timers.find_in(&range);
    let resource = dispatcher
        .state()
        .resources
        .range(range.clone())
        .next()
        .copied();
    drop(dispatcher);
    if let Some(timer) = timer {
        let sentence = "The memory holds a timer that is set.";
        violation(0x15, [timer, pool_type, start], function, sentence);
    }
    if let Some(resource) = resource {
        let sentence = "The memory holds an ERESOURCE that was not deleted.";
        violation(0xD2, [resource, start, size], function, sentence);
    }
    if let Some(dpc) = dpc::queued_in(&range) {
        bugcheck::raise(
            TIMER_OR_DPC_INVALID,
            [1, dpc, range.start, range.end],
            function,
            "The memory holds a DPC that is queued.",
        );
    }
}

/// What a thread must have put in order when it ends.
pub fn check_thread_end(thread: &'static Thread) {
    const FUNCTION: &str = "PsTerminateSystemThread";
    if let Some((lock, kind)) = thread.held.iter().next_back() {
        violation(
            0x100A,
            [thread.address(), lock, 0],
            FUNCTION,
            format!(
                "The thread ends while it holds the {} at 0x{lock:X}.",
                kind.noun()
            ),
        );
    }
    if checks(Rules::THREADS) && !thread.object.mutants.is_empty() {
        let mutex = dispatcher::first_mutex(thread);
        violation(
            0x100A,
            [thread.address(), mutex, 0],
            FUNCTION,
            format!("The thread ends while it owns the mutex at 0x{mutex:X}."),
        );
    }
    if let Some(resource) = ex::resource::owned_by(thread) {
        violation(
            0x100A,
            [thread.address(), resource, 0],
            FUNCTION,
            format!("The thread ends while it owns the ERESOURCE at 0x{resource:X}."),
        );
    }
    let apcs_off = thread.apc_depth() != 0 || thread.object.special_apc_disable() != 0;
    if apcs_off || thread.irql() != irql::PASSIVE {
        bugcheck::raise(
            KERNEL_APC_PENDING_DURING_EXIT,
            [
                0,
                thread.object.combined_apc_disable(),
                u64::from(thread.irql()),
                0,
            ],
            FUNCTION,
            "The thread ends with APCs off or above PASSIVE_LEVEL.",
        );
    }
}
