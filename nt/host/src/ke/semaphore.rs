//! Semaphores: `KSEMAPHORE`.

use core::{
    mem::offset_of,
    sync::atomic::{AtomicI32, Ordering::Relaxed},
};

use nt_abi::{
    BOOLEAN, KPRIORITY, KSEMAPHORE, LONG, PRKSEMAPHORE, STATUS_SEMAPHORE_LIMIT_EXCEEDED,
    object_type,
};

use crate::{
    dispatcher::{self, Header},
    ex::exception,
    export::exports,
    irql::{DISPATCH, PASSIVE},
    ke::event::announce_wait,
    thread, verifier,
};

exports!("ntoskrnl.exe"; KeInitializeSemaphore, KeReadStateSemaphore, KeReleaseSemaphore);

/// A [`KSEMAPHORE`] with atomic fields.
#[repr(C)]
struct Semaphore {
    header: Header,
    limit: AtomicI32,
}

const _: () = {
    assert!(size_of::<Semaphore>() == size_of::<KSEMAPHORE>());
    assert!(offset_of!(Semaphore, limit) == offset_of!(KSEMAPHORE, Limit));
};

/// The semaphore as one with atomic fields.
///
/// # Safety
///
/// `semaphore` must point to memory for a semaphore that stays where it is.
unsafe fn view<'a>(semaphore: PRKSEMAPHORE, function: &'static str) -> &'a Semaphore {
    // SAFETY: This function has the same contract.
    unsafe { verifier::object(semaphore.cast(), function) }
}

/// An initialised semaphore; another object is bug check 0xC4 (0x1002).
///
/// # Safety
///
/// As for [`view`].
unsafe fn initialized<'a>(semaphore: PRKSEMAPHORE, function: &'static str) -> &'a Semaphore {
    // SAFETY: This function has the same contract.
    let view = unsafe { view(semaphore, function) };
    if view.header.kind() != object_type::Semaphore || !view.header.is_waitable() {
        verifier::violation(
            0x1002,
            [semaphore as u64, 0, 0],
            function,
            "The object is not a semaphore that was initialised.",
        );
    }
    view
}

/// `KeInitializeSemaphore`: makes a semaphore with a count and the highest count that it can have.
///
/// # Safety
///
/// `Semaphore` must point to resident memory for a semaphore that nobody uses.
pub unsafe extern "win64" fn KeInitializeSemaphore(
    Semaphore: PRKSEMAPHORE,
    Count: LONG,
    Limit: LONG,
) {
    const NAME: &str = "KeInitializeSemaphore";
    thread::current();
    verifier::check_resident(Semaphore as u64, NAME);
    // SAFETY: This function has the same contract.
    let semaphore = unsafe { view(Semaphore, NAME) };
    semaphore
        .header
        .initialize(object_type::Semaphore, size_of::<KSEMAPHORE>(), Count);
    semaphore.limit.store(Limit, Relaxed);
}

/// `KeReleaseSemaphore`: adds to the count, satisfies as many waits, and returns the count before. IRQL <=
/// `DISPATCH_LEVEL` (rule `IrqlKeDispatchLte`, bug check 0xC4 (0x20011)).
///
/// A count above the limit, or an adjustment that is not positive, leaves the count as it is and raises
/// `STATUS_SEMAPHORE_LIMIT_EXCEEDED`, which nobody handles: bug check 0x1E.
///
/// # Safety
///
/// `Semaphore` must point to an initialised semaphore.
pub unsafe extern "win64" fn KeReleaseSemaphore(
    Semaphore: PRKSEMAPHORE,
    _Increment: KPRIORITY,
    Adjustment: LONG,
    Wait: BOOLEAN,
) -> LONG {
    const NAME: &str = "KeReleaseSemaphore";
    let thread = thread::current();
    if thread.irql() > DISPATCH {
        verifier::rule(
            0x20011,
            NAME,
            "IrqlKeDispatchLte: IRQL must be <= DISPATCH_LEVEL.",
        );
    }
    // SAFETY: This function has the same contract.
    let semaphore = unsafe { initialized(Semaphore, NAME) };
    let dispatcher = dispatcher::lock(thread);
    let previous = semaphore.header.state();
    let limit = semaphore.limit.load(Relaxed);
    let count = previous
        .checked_add(Adjustment)
        .filter(|&n| n > previous && n <= limit);
    if let Some(count) = count {
        dispatcher.signal(&semaphore.header, count);
    }
    drop(dispatcher);
    if count.is_none() {
        exception::raise(STATUS_SEMAPHORE_LIMIT_EXCEEDED, NAME);
    }
    announce_wait(thread, Wait, (PASSIVE, 0x20011), NAME);
    previous
}

/// `KeReadStateSemaphore`: the count, read without any order. Any IRQL.
///
/// # Safety
///
/// `Semaphore` must point to an initialised semaphore.
pub unsafe extern "win64" fn KeReadStateSemaphore(Semaphore: PRKSEMAPHORE) -> LONG {
    thread::current();
    // SAFETY: This function has the same contract.
    unsafe { initialized(Semaphore, "KeReadStateSemaphore") }
        .header
        .state()
}
