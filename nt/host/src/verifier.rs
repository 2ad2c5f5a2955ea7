//! The rules of Driver Verifier: what each violation's bug check looks like.
//!
//! Source: the page of bug check 0xC4, `DRIVER_VERIFIER_DETECTED_VIOLATION`, for the first parameter
//! and the meaning of the others.

use core::{ffi::c_void, ops::Range};

use nt_abi::{
    KIRQL,
    bugcheck::{
        DRIVER_VERIFIER_DETECTED_VIOLATION, IRQL_NOT_LESS_OR_EQUAL, KERNEL_APC_PENDING_DURING_EXIT,
        MUTEX_ALREADY_OWNED, SPIN_LOCK_ALREADY_OWNED, SPIN_LOCK_NOT_OWNED, THREAD_NOT_MUTEX_OWNER,
        TIMER_OR_DPC_INVALID, WORKER_INVALID,
    },
};

use crate::{
    Rules,
    address::to_usize,
    apc, bugcheck, dispatcher, dpc, ex,
    io::remove_tags,
    irql, kernel,
    mm::pageable,
    thread::{self, Thread},
};

/// What only the system may notify: a rule of this kernel's own, which Driver Verifier has no number for.
pub const SYSTEM_CALLBACK: u64 = 0x6E74_0001;

/// Memory freed with an APC that is queued, for which Driver Verifier has no number.
pub const FREED_APC: u64 = 0x6E74_0002;

/// A function at an IRQL that its page does not allow, where no rule of DDI compliance has the function.
pub const WRONG_IRQL: u64 = 0x6E74_0003;

/// A wait in `UserMode` for a mutex, for which Driver Verifier has no number.
pub const MUTEX_IN_USER_MODE: u64 = 0x6E74_0004;

/// An MDL freed while its pages are locked, for which Driver Verifier has no number.
pub const LOCKED_MDL: u64 = 0x6E74_0005;

/// The third parameter of bug check 0x0A, for an address that was written to.
const WRITE: u64 = 1;

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
    let by_verifier = (
        DRIVER_VERIFIER_DETECTED_VIOLATION,
        [rule, second, third, fourth],
    );
    let thread = thread::current();
    let (code, parameters) = without(rule, second, thread, function).unwrap_or(by_verifier);
    bugcheck::raise(code, parameters, function, sentence)
}

/// What a broken rule ends in if its group is not checked, and the kernel could not go on all the same: the bug check
/// that is documented for it besides. To hold a spin lock already, or not at all, has no parameters there.
fn without(
    rule: u64,
    lock: u64,
    thread: &Thread,
    function: &'static str,
) -> Option<(u32, [u64; 4])> {
    let is_spin = function.contains("SpinLock") || function.contains("Interlocked");
    let is_mutex = function.contains("FastMutex") || function.contains("GuardedMutex");
    let me = thread.address();
    match rule {
        0x30..=0x34
        | 0x36
        | 0x39
        | 0x3A
        | 0x40..=0x42
        | 0x70
        | 0x76..=0x79
        | 0x80
        | 0x11A
        | 0x11B
        | 0x120..=0x122
        | 0xE5
        | 0x20003..=0x2001F
        | WRONG_IRQL
            if !checks(Rules::IRQL) =>
        {
            Some((IRQL_NOT_LESS_OR_EQUAL, [0, thread.irql().into(), 0, 0]))
        }
        0x1000 if is_spin && !checks(Rules::LOCKS) => Some((SPIN_LOCK_ALREADY_OWNED, [0; 4])),
        0x1000 if is_mutex && !checks(Rules::LOCKS) => {
            Some((MUTEX_ALREADY_OWNED, [lock, me, 0, 0]))
        }
        0x1004 | 0x1007 | 0x1009 if is_spin && !checks(Rules::LOCKS) => {
            Some((SPIN_LOCK_NOT_OWNED, [0; 4]))
        }
        0x1004 | 0x1007 if is_mutex && !checks(Rules::LOCKS) => {
            Some((THREAD_NOT_MUTEX_OWNER, [me, lock, 0, 0]))
        }
        // Whatever lies there is followed as a list or as an address, at DISPATCH_LEVEL and to write to it.
        0x1002 | 0x1007 | 0xD1 if !checks(Rules::LOCKS) => Some((
            IRQL_NOT_LESS_OR_EQUAL,
            [lock, irql::DISPATCH.into(), WRITE, 0],
        )),
        _ => None,
    }
}

/// Stops the kernel for a DDI compliance rule that `function` found broken. The second parameter would
/// point to the text of the rule; the report has it instead.
#[cold]
pub fn rule(rule: u64, function: &'static str, sentence: impl Into<String>) -> ! {
    violation(rule, [0; 3], function, sentence)
}

/// The running thread, at an IRQL that `function` allows, which no rule of DDI compliance is about: bug check 0xC4
/// (0x6E740003) if it is above `highest`.
#[inline]
pub fn thread_at_most(highest: KIRQL, function: &'static str) -> &'static Thread {
    let thread = thread::current();
    if thread.irql() > highest {
        rule(
            WRONG_IRQL,
            function,
            format!("IRQL must be {highest} or below."),
        );
    }
    thread
}

/// Stops the kernel if `thread` is above `DISPATCH_LEVEL`, for a function that must not be called there.
#[inline]
pub fn check_at_most_dispatch(thread: &Thread, function: &'static str) {
    if thread.irql() > irql::DISPATCH {
        rule(
            0x20011,
            function,
            "IrqlKeDispatchLte: IRQL must be <= DISPATCH_LEVEL.",
        );
    }
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

/// Stops the kernel if memory is pageable in which an object is about to be initialised: bug check 0xC4 (0xE1).
pub fn check_resident(address: u64, function: &'static str) {
    if pageable::is_unlocked(to_usize(address)) {
        let sentence = "The memory is pageable, and the object must be resident.";
        violation(0xE1, [address, 0, 0], function, sentence);
    }
}

/// Stops the kernel if a thread holds the lock at an address, which is about to be initialised: bug check 0xC4
/// (0x1005).
pub fn check_not_held(lock: u64, function: &'static str) {
    if !checks(Rules::LOCKS) {
        return;
    }
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
    if checks(Rules::LOCKS) {
        check_locks_end(thread, &range, function);
    }
    check_objects_end(thread, &range, pool_type, function);
}

/// No lock in memory that is freed may be held.
fn check_locks_end(thread: &'static Thread, range: &Range<u64>, function: &'static str) {
    if let Some((lock, kind)) = thread.held.iter().find(|held| range.contains(&held.0)) {
        violation(
            0x100B,
            [lock, thread.address(), 0],
            function,
            format!("The memory holds a {} that the thread holds.", kind.noun()),
        );
    }
    if let Some((mutex, owner)) = dispatcher::owned_mutex_in(thread, range) {
        violation(
            0x100B,
            [mutex, owner, 0],
            function,
            "The memory holds a mutex that a thread owns.",
        );
    }
}

/// Nothing in memory that is freed may be something that the kernel uses.
fn check_objects_end(
    thread: &'static Thread,
    range: &Range<u64>,
    pool_type: u64,
    function: &'static str,
) {
    let (start, size) = (range.start, range.end - range.start);
    if let Some((apc, owner)) = apc::queued_in(thread, range) {
        let sentence = "The memory holds an APC that is queued to a thread.";
        violation(FREED_APC, [apc, owner, start], function, sentence);
    }
    let mut dispatcher = dispatcher::lock(thread);
    let timer = dispatcher.state().timers.find_in(range);
    if !checks(Rules::LOCKS) {
        ex::resource::forget(&mut dispatcher, range);
    }
    let resource = dispatcher.state().resources.find_in(range);
    drop(dispatcher);
    if let Some(timer) = timer {
        let sentence = "The memory holds a timer that is set.";
        if !checks(Rules::LOCKS) {
            let parameters = [0, timer, range.start, range.end];
            bugcheck::raise(TIMER_OR_DPC_INVALID, parameters, function, sentence);
        }
        violation(0x15, [timer, pool_type, start], function, sentence);
    }
    if let Some(resource) = resource {
        let sentence = "The memory holds an ERESOURCE that was not deleted.";
        violation(0xD2, [resource, start, size], function, sentence);
    }
    if let Some(list) = ex::lookaside::active::find_in(range) {
        if checks(Rules::LOCKS) {
            let sentence = "The memory holds a lookaside list that was not deleted.";
            violation(0xCC, [list, start, size], function, sentence);
        }
        ex::lookaside::active::forget(range);
    }
    remove_tags::forget(range);
    if let Some(item) = ex::work::queued_in(range) {
        let sentence = "The memory holds a work item that is queued.";
        let parameters = [0, item, range.start, range.end];
        bugcheck::raise(WORKER_INVALID, parameters, function, sentence);
    }
    if let Some(dpc) = dpc::queued_in(range) {
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
    if checks(Rules::THREADS) {
        check_locks_of_end(thread, FUNCTION);
    }
    // The mutexes that the thread owns, if that is let pass, are abandoned.
    let depth = thread.apc_depth() + dispatcher::apcs_off_by_mutexes(thread);
    let apcs_off = depth != 0 || thread.object.special_apc_disable() != 0;
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

/// A thread that ends must hold no lock.
fn check_locks_of_end(thread: &'static Thread, function: &'static str) {
    if let Some((lock, kind)) = thread.held.iter().next_back() {
        violation(
            0x100A,
            [thread.address(), lock, 0],
            function,
            format!(
                "The thread ends while it holds the {} at 0x{lock:X}.",
                kind.noun()
            ),
        );
    }
    if !thread.object.mutants.is_empty() {
        let mutex = dispatcher::first_mutex(thread);
        violation(
            0x100A,
            [thread.address(), mutex, 0],
            function,
            format!("The thread ends while it owns the mutex at 0x{mutex:X}."),
        );
    }
    if let Some(resource) = ex::resource::owned_by(thread) {
        violation(
            0x100A,
            [thread.address(), resource, 0],
            function,
            format!("The thread ends while it owns the ERESOURCE at 0x{resource:X}."),
        );
    }
}
