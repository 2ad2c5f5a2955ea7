//! Mutexes: `KMUTEX`, which is a `KMUTANT` that turns normal kernel APCs off for its owner.

use nt_abi::{
    BOOLEAN, LONG, PRKMUTEX, STATUS_ABANDONED, STATUS_MUTANT_NOT_OWNED, ULONG, object_type,
};

use crate::{
    apc,
    dispatcher::{self, Mutant},
    ex::exception,
    export::exports,
    irql::{APC, DISPATCH},
    ke::event::announce_wait,
    lock_order, thread, verifier,
};

exports!("ntoskrnl.exe"; KeInitializeMutex, KeReadStateMutex, KeReleaseMutex);

/// The mutex as one with atomic fields.
///
/// # Safety
///
/// `mutex` must point to memory for a mutex that stays where it is.
unsafe fn view<'a>(mutex: PRKMUTEX, function: &'static str) -> &'a Mutant {
    // SAFETY: This function has the same contract.
    unsafe { verifier::object(mutex.cast(), function) }
}

/// An initialised mutex; another object is bug check 0xC4 (0x1002).
///
/// # Safety
///
/// As for [`view`].
unsafe fn initialized<'a>(mutex: PRKMUTEX, function: &'static str) -> &'a Mutant {
    // SAFETY: This function has the same contract.
    let view = unsafe { view(mutex, function) };
    if view.header.kind() != object_type::Mutant || !view.header.is_waitable() {
        verifier::violation(
            0x1002,
            [mutex as u64, 0, 0],
            function,
            "The object is not a mutex that was initialised.",
        );
    }
    view
}

/// `KeInitializeMutex`: makes a free mutex. `Level` is reserved. Any IRQL. One that a thread owns is bug check 0xC4
/// (0x1005).
///
/// # Safety
///
/// `Mutex` must point to resident memory for a mutex that nobody uses.
pub unsafe extern "win64" fn KeInitializeMutex(Mutex: PRKMUTEX, _Level: ULONG) {
    const NAME: &str = "KeInitializeMutex";
    thread::current();
    // SAFETY: This function has the same contract.
    let mutex = unsafe { view(Mutex, NAME) };
    verifier::check_resident(Mutex as u64, NAME);
    if !mutex.owner().is_null() {
        verifier::check_not_held(Mutex as u64, NAME);
    }
    mutex.initialize();
    lock_order::forget_lock(Mutex as u64);
    crate::initialized::note(Mutex as u64, "mutex", NAME);
}

/// `KeReleaseMutex`: undoes one acquisition and returns the state before: 0 if the mutex is free now,
/// negative if the thread still owns it.
///
/// IRQL <= `DISPATCH_LEVEL` (rule `IrqlKeDispatchLte`, bug check
/// 0xC4 (0x20011)).
///
/// A thread that does not own the mutex, or acquired it at `DISPATCH_LEVEL` alone and is below, or the other way round,
/// gets the exception `STATUS_MUTANT_NOT_OWNED` (`STATUS_ABANDONED` if the mutex was abandoned), which nobody handles:
/// bug check 0x1E.
///
/// # Safety
///
/// `Mutex` must point to an initialised mutex.
pub unsafe extern "win64" fn KeReleaseMutex(Mutex: PRKMUTEX, Wait: BOOLEAN) -> LONG {
    const NAME: &str = "KeReleaseMutex";
    let thread = thread::current();
    if thread.irql() > DISPATCH {
        verifier::rule(0x20011, NAME, "IRQL must be DISPATCH_LEVEL or below.");
    }
    // SAFETY: This function has the same contract.
    let mutex = unsafe { initialized(Mutex, NAME) };
    let dispatcher = dispatcher::lock(thread);
    if !mutex.is_owned_by(thread) || !mutex.was_acquired_on_side_of(thread) {
        let abandoned = mutex.is_abandoned();
        drop(dispatcher);
        let status = if abandoned {
            STATUS_ABANDONED
        } else {
            STATUS_MUTANT_NOT_OWNED
        };
        exception::raise(status, NAME);
    }
    let previous = mutex.put(thread);
    if previous == 0 {
        thread.held.remove(Mutex as u64);
    }
    dispatcher.satisfy_waiters(&mutex.header);
    drop(dispatcher);
    announce_wait(thread, Wait, (APC, 0x20011), NAME);
    apc::deliver(thread);
    previous
}

/// `KeReadStateMutex`: the state, 1 if the mutex is free, read without any order. IRQL <=
/// `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Mutex` must point to an initialised mutex.
pub unsafe extern "win64" fn KeReadStateMutex(Mutex: PRKMUTEX) -> LONG {
    verifier::thread_at_most(DISPATCH, "KeReadStateMutex");
    // SAFETY: This function has the same contract.
    unsafe { initialized(Mutex, "KeReadStateMutex") }
        .header
        .state()
}
