//! Waiting: for one dispatcher object, for several, and for time to pass.

use core::{ptr, slice};

use nt_abi::{
    _MODE::UserMode,
    _WAIT_TYPE::WaitAll,
    BOOLEAN, HANDLE, KPROCESSOR_MODE, KWAIT_BLOCK, KWAIT_REASON, LONGLONG, MAXIMUM_WAIT_OBJECTS,
    NTSTATUS, PLARGE_INTEGER, PVOID, STATUS_ABANDONED_WAIT_0, STATUS_ALERTED, STATUS_SUCCESS,
    STATUS_USER_APC, STATUS_WAIT_63, THREAD_WAIT_OBJECTS, ULONG, WAIT_TYPE,
    bugcheck::{ATTEMPTED_SWITCH_FROM_DPC, MAXIMUM_WAIT_OBJECTS_EXCEEDED},
};

use crate::{
    Rules, bugcheck, clock,
    dispatcher::{self, Deadline, Header, WaitBlock, WaitKind},
    export::exports,
    irql::{self, DISPATCH, PASSIVE},
    loader::caller,
    lock_order,
    ob::{ObReferenceObjectByHandle, ObfDereferenceObject},
    ps::PsThreadType,
    thread::{self, LockKind, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeDelayExecutionThread, KeWaitForMultipleObjects, KeWaitForSingleObject, ZwWaitForSingleObject,
);

/// `KeWaitForSingleObject`: waits until an object is signalled. IRQL <= `APC_LEVEL`, or <=
/// `DISPATCH_LEVEL` with a time-out of zero.
///
/// Returns `STATUS_SUCCESS`, `STATUS_TIMEOUT`, or `STATUS_ABANDONED_WAIT_0` for a mutex whose owner
/// ended; `STATUS_ALERTED` if `Alertable` and the thread is alerted ([`ZwAlertThread`](super::alert::ZwAlertThread)) while
/// it waits, or was before, and `STATUS_USER_APC` if it has an APC for user mode. All are success codes. A kernel
/// APC runs while the thread waits, and does not end the wait; but an event that is pulsed meanwhile is missed.
///
/// A wait at the wrong IRQL is bug check 0xC4 (0x120, 0x121, 0x122), one in `UserMode` for an object on the
/// stack 0xC4 (0x123), one in `UserMode` for a mutex 0xC4 (0x6E740004), one in a DPC that would block 0xB8,
/// and one for something that is no dispatcher object 0xC4 (0x1002).
///
/// # Safety
///
/// `Object` must point to an initialised dispatcher object, `Timeout` to a time-out or be null.
pub unsafe extern "win64" fn KeWaitForSingleObject(
    Object: PVOID,
    _WaitReason: KWAIT_REASON,
    WaitMode: KPROCESSOR_MODE,
    Alertable: BOOLEAN,
    Timeout: PLARGE_INTEGER,
) -> NTSTATUS {
    const NAME: &str = "KeWaitForSingleObject";
    let thread = thread::current();
    check_mode(WaitMode, &[Object], NAME);
    // SAFETY: This function has the same contract.
    let timeout = unsafe { read_timeout(Timeout) };
    check_irql(thread, Object, timeout, Timeout, NAME);
    // SAFETY: As above.
    let object = unsafe { header(Object, NAME) };
    check_mutexes(WaitMode, &[object], NAME);
    wait(
        thread,
        &[object],
        &[WaitBlock::new()],
        WaitKind::Any,
        (clock::deadline(timeout), Alertable != 0),
        NAME,
    )
}

/// `KeWaitForMultipleObjects`: waits until one of several objects is signalled, or all are. IRQL and
/// bug checks as for [`KeWaitForSingleObject`].
///
/// Returns `STATUS_WAIT_0` plus the index of the object for `WaitAny`, and `STATUS_SUCCESS` for
/// `WaitAll`; `STATUS_ABANDONED_WAIT_0` in place of `STATUS_WAIT_0` for an abandoned mutex.
///
/// More than `MAXIMUM_WAIT_OBJECTS` objects, or more than `THREAD_WAIT_OBJECTS` without wait blocks, is
/// bug check 0xC.
///
/// # Safety
///
/// `Object` must point to `Count` pointers to initialised dispatcher objects, `WaitBlockArray` to as many
/// wait blocks or be null, `Timeout` to a time-out or be null.
pub unsafe extern "win64" fn KeWaitForMultipleObjects(
    Count: ULONG,
    Object: *mut PVOID,
    WaitType: WAIT_TYPE,
    _WaitReason: KWAIT_REASON,
    WaitMode: KPROCESSOR_MODE,
    Alertable: BOOLEAN,
    Timeout: PLARGE_INTEGER,
    WaitBlockArray: *mut KWAIT_BLOCK,
) -> NTSTATUS {
    const NAME: &str = "KeWaitForMultipleObjects";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let timeout = unsafe { read_timeout(Timeout) };
    let most = if WaitBlockArray.is_null() {
        THREAD_WAIT_OBJECTS
    } else {
        MAXIMUM_WAIT_OBJECTS
    };
    if Count == 0 || Count > most {
        bugcheck::raise(
            MAXIMUM_WAIT_OBJECTS_EXCEEDED,
            [0; 4],
            NAME,
            format!("A wait for {Count} objects: it can be for 1 to {most}."),
        );
    }
    // SAFETY: The caller vouches for `Count` pointers.
    let addresses = unsafe { slice::from_raw_parts(Object, Count as usize) };
    check_mode(WaitMode, addresses, NAME);
    check_irql(thread, addresses[0], timeout, Timeout, NAME);
    let mut objects = Vec::with_capacity(addresses.len());
    for &address in addresses {
        // SAFETY: The caller vouches for the objects.
        objects.push(unsafe { header(address, NAME) });
    }
    check_mutexes(WaitMode, &objects, NAME);
    let own = [const { WaitBlock::new() }; THREAD_WAIT_OBJECTS as usize];
    let blocks = if WaitBlockArray.is_null() {
        &own[..]
    } else {
        // SAFETY: The caller lends the blocks for the time of the wait; their fields are atomic.
        unsafe { slice::from_raw_parts(WaitBlockArray.cast::<WaitBlock>(), Count as usize) }
    };
    let kind = if WaitType == WaitAll {
        WaitKind::All
    } else {
        WaitKind::Any
    };
    let end = (clock::deadline(timeout), Alertable != 0);
    wait(thread, &objects, blocks, kind, end, NAME)
}

/// `KeDelayExecutionThread`: waits for an interval (negative, in units of 100 ns) or until a system time.
///
/// IRQL <= `APC_LEVEL` (rule `IrqlKeApcLte1`, bug check 0xC4 (0x2000F)); in a DPC it is bug check 0xB8.
///
/// # Safety
///
/// `Interval` must point to a time-out.
pub unsafe extern "win64" fn KeDelayExecutionThread(
    _WaitMode: KPROCESSOR_MODE,
    Alertable: BOOLEAN,
    Interval: PLARGE_INTEGER,
) -> NTSTATUS {
    const NAME: &str = "KeDelayExecutionThread";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let interval = unsafe { read_timeout(Interval) };
    if !thread.dpc().is_null() || thread.is_in_threaded_dpc() {
        switch_from_dpc(thread, NAME);
    }
    if thread.irql() >= DISPATCH {
        verifier::rule(
            0x2000F,
            NAME,
            "IrqlKeApcLte1: IRQL must be APC_LEVEL or below.",
        );
    }
    match clock::deadline(interval) {
        Deadline::Now | Deadline::Never => std::thread::yield_now(),
        deadline @ Deadline::At(_) => {
            let alertable = Alertable != 0;
            let status =
                dispatcher::wait_alertable(thread, &[], &[], WaitKind::All, deadline, alertable);
            if matches!(status, STATUS_ALERTED | STATUS_USER_APC) {
                return status;
            }
        }
    }
    STATUS_SUCCESS
}

/// `ZwWaitForSingleObject`: waits for the object of a handle, as [`KeWaitForSingleObject`] in kernel mode. IRQL =
/// `PASSIVE_LEVEL` (rule `IrqlZwPassive`, bug check 0xC4 (0x2001F)).
///
/// Returns what `ObReferenceObjectByHandle` does if the handle is not that of a thread: no other object that can be
/// waited for has handles here.
///
/// # Safety
///
/// `Timeout` must point to a time-out or be null.
pub unsafe extern "win64" fn ZwWaitForSingleObject(
    Handle: HANDLE,
    Alertable: BOOLEAN,
    Timeout: PLARGE_INTEGER,
) -> NTSTATUS {
    const NAME: &str = "ZwWaitForSingleObject";
    let thread = thread::current();
    if thread.irql() != PASSIVE {
        verifier::rule(0x2001F, NAME, "IrqlZwPassive: IRQL must be PASSIVE_LEVEL.");
    }
    // SAFETY: This function has the same contract.
    let timeout = unsafe { read_timeout(Timeout) };
    let mut object = ptr::null_mut();
    let kind = PsThreadType.get();
    // SAFETY: The place is one for a pointer, and the type one of this kernel.
    let status =
        unsafe { ObReferenceObjectByHandle(Handle, 0, kind, 0, &raw mut object, ptr::null_mut()) };
    if status != STATUS_SUCCESS {
        return status;
    }
    // SAFETY: It is a thread, and the reference keeps it alive.
    let target = unsafe { Thread::at(object.cast()) };
    let end = (clock::deadline(timeout), Alertable != 0);
    let blocks = [WaitBlock::new()];
    let objects = [&target.object.header];
    let status = wait(thread, &objects, &blocks, WaitKind::Any, end, NAME);
    // SAFETY: The reference is given up once.
    unsafe { ObfDereferenceObject(object) };
    status
}

/// The time-out that a driver gives, if it gives one.
///
/// # Safety
///
/// `timeout` must point to one or be null.
const unsafe fn read_timeout(timeout: PLARGE_INTEGER) -> Option<LONGLONG> {
    if timeout.is_null() {
        return None;
    }
    // SAFETY: The caller vouches for a pointer that is not null; the union is one such number.
    Some(unsafe { timeout.cast::<LONGLONG>().read() })
}

/// The header of an initialised dispatcher object.
///
/// # Safety
///
/// `object` must point to memory of the size of a header that stays where it is.
unsafe fn header<'a>(object: PVOID, function: &'static str) -> &'a Header {
    // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
    let header: &Header = unsafe { verifier::object(object, function) };
    if !header.is_waitable() {
        verifier::violation(
            0x1002,
            [object as u64, 0, 0],
            function,
            "The object is not a dispatcher object that was initialised.",
        );
    }
    header
}

fn check_irql(
    thread: &Thread,
    object: PVOID,
    timeout: Option<LONGLONG>,
    address: PLARGE_INTEGER,
    function: &'static str,
) {
    if thread.is_in_threaded_dpc() && timeout != Some(0) {
        switch_from_dpc(thread, function);
    }
    // An announced wait is at the IRQL of the call that announced it.
    if !thread.is_at_dispatch() || thread.has_announced_wait() {
        return;
    }
    let (rule, sentence) = match timeout {
        _ if thread.irql() > DISPATCH => (0x120, "A wait above DISPATCH_LEVEL."),
        Some(0) => return,
        _ if !thread.dpc().is_null() => switch_from_dpc(thread, function),
        None => (0x121, "A wait without a time-out at DISPATCH_LEVEL."),
        Some(_) => (
            0x122,
            "A wait with a time-out that is not zero at DISPATCH_LEVEL.",
        ),
    };
    let parameters = [thread.irql_address(), object as u64, address as u64];
    verifier::violation(rule, parameters, function, sentence);
}

/// In a wait in `UserMode` the stack may be paged out, and with it an object that lies there.
fn check_mode(mode: KPROCESSOR_MODE, objects: &[PVOID], function: &'static str) {
    if i32::from(mode) != UserMode || !verifier::checks(Rules::STACK) {
        return;
    }
    let stack = caller::stack_of_thread().unwrap_or_default();
    if let Some(object) = objects.iter().find(|object| stack.contains(&object.addr())) {
        verifier::violation(
            0x123,
            [*object as u64, 0, 0],
            function,
            "A wait in UserMode for an object on the stack of the thread.",
        );
    }
}

/// Whoever waits for a mutex must do so in `KernelMode`.
fn check_mutexes(mode: KPROCESSOR_MODE, objects: &[&Header], function: &'static str) {
    if i32::from(mode) != UserMode || !verifier::checks(Rules::LOCKS) {
        return;
    }
    if let Some(mutex) = objects.iter().find_map(|object| object.as_mutant()) {
        verifier::violation(
            verifier::MUTEX_IN_USER_MODE,
            [ptr::from_ref(mutex) as u64, 0, 0],
            function,
            "A wait in UserMode for a mutex, which must be waited for in KernelMode.",
        );
    }
}

fn switch_from_dpc(thread: &Thread, function: &'static str) -> ! {
    let here = 0_u8;
    bugcheck::raise(
        ATTEMPTED_SWITCH_FROM_DPC,
        [thread.address(), 0, (&raw const here) as u64, 0],
        function,
        "A DPC routine waits.",
    )
}

/// Waits, after going back to the IRQL of the call that announced the wait, if one did.
fn wait(
    thread: &'static Thread,
    objects: &[&Header],
    blocks: &[WaitBlock],
    kind: WaitKind,
    (deadline, alertable): (Deadline, bool),
    function: &'static str,
) -> NTSTATUS {
    if let Some(old) = thread.take_announced_wait() {
        irql::lower(thread, old);
    }
    let status = dispatcher::wait_alertable(thread, objects, blocks, kind, deadline, alertable);
    let satisfied = match (kind, status) {
        (WaitKind::All, STATUS_SUCCESS | STATUS_ABANDONED_WAIT_0) => objects,
        (
            WaitKind::Any,
            STATUS_SUCCESS..=STATUS_WAIT_63 | STATUS_ABANDONED_WAIT_0..=ABANDONED_LAST,
        ) => {
            let index = status.cast_unsigned() as usize % MAXIMUM_WAIT_OBJECTS as usize;
            &objects[index..=index]
        }
        _ => &[],
    };
    let held = thread.held.depth();
    let mutexes = satisfied.iter().filter_map(|object| object.as_mutant());
    for lock in mutexes.map(|mutex| core::ptr::from_ref(mutex) as u64) {
        if thread.held.kind_of(lock).is_none() {
            thread.held.push(lock, LockKind::Mutex);
            // Mutexes that are waited for together have no order among themselves.
            if deadline == Deadline::Never && held != 0 {
                lock_order::check_after(thread, held, lock, function);
            }
        }
    }
    status
}

/// `STATUS_ABANDONED_WAIT_63`.
const ABANDONED_LAST: NTSTATUS = STATUS_ABANDONED_WAIT_0 + STATUS_WAIT_63;
