//! Events: `KEVENT`.

use nt_abi::{
    _EVENT_TYPE::SynchronizationEvent, BOOLEAN, EVENT_TYPE, KEVENT, KIRQL, KPRIORITY, LONG,
    PRKEVENT, object_type,
};

use crate::{
    dispatcher::{self, Header},
    export::exports,
    irql::{self, APC, DISPATCH},
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeClearEvent, KeInitializeEvent, KePulseEvent, KeReadStateEvent, KeResetEvent, KeSetEvent,
);

/// The header of an event.
///
/// # Safety
///
/// `event` must point to memory for an event that stays where it is.
unsafe fn view<'a>(event: PRKEVENT, function: &'static str) -> &'a Header {
    // SAFETY: This function has the same contract.
    unsafe { verifier::object(event.cast(), function) }
}

/// The header of an initialised event; another object is bug check 0xC4 (0x1002).
///
/// # Safety
///
/// As for [`view`].
unsafe fn initialized<'a>(event: PRKEVENT, function: &'static str) -> &'a Header {
    // SAFETY: This function has the same contract.
    let header = unsafe { view(event, function) };
    let is_event = matches!(
        header.kind(),
        object_type::NotificationEvent | object_type::SynchronizationEvent
    );
    if !is_event || !header.is_waitable() {
        verifier::violation(
            0x1002,
            [event as u64, 0, 0],
            function,
            "The object is not an event that was initialised.",
        );
    }
    header
}

/// `KeInitializeEvent`: makes an event. Any IRQL.
///
/// # Safety
///
/// `Event` must point to resident memory for an event that nobody uses.
pub unsafe extern "win64" fn KeInitializeEvent(Event: PRKEVENT, Type: EVENT_TYPE, State: BOOLEAN) {
    thread::current();
    let kind = if Type == SynchronizationEvent {
        object_type::SynchronizationEvent
    } else {
        object_type::NotificationEvent
    };
    // SAFETY: This function has the same contract.
    let header = unsafe { view(Event, "KeInitializeEvent") };
    verifier::check_resident(Event as u64, "KeInitializeEvent");
    header.initialize(kind, size_of::<KEVENT>(), LONG::from(State != 0));
}

/// `KeSetEvent`: signals the event and returns its state before: 0 if it was not signalled. IRQL <=
/// `DISPATCH_LEVEL` (bug check 0xC4 (0x80)), <= `APC_LEVEL` if `Wait` (0xC4 (0x20016)).
///
/// With `Wait` the next call must be a wait, and until then the IRQL stays raised.
///
/// # Safety
///
/// `Event` must point to an initialised event.
pub unsafe extern "win64" fn KeSetEvent(
    Event: PRKEVENT,
    _Increment: KPRIORITY,
    Wait: BOOLEAN,
) -> LONG {
    const NAME: &str = "KeSetEvent";
    let thread = thread::current();
    if thread.irql() > DISPATCH {
        let irql = u64::from(thread.irql());
        let sentence = "IRQL must be DISPATCH_LEVEL or below.";
        verifier::violation(0x80, [irql, Event as u64, 0], NAME, sentence);
    }
    // SAFETY: This function has the same contract.
    let header = unsafe { initialized(Event, NAME) };
    announce_wait(thread, Wait, (APC, 0x20016), NAME);
    let dispatcher = dispatcher::lock(thread);
    let previous = header.state();
    dispatcher.signal(header, 1);
    drop(dispatcher);
    previous
}

/// Raises the IRQL for the wait that a caller announces with `Wait`, at most at the IRQL `highest`.
pub fn announce_wait(
    thread: &Thread,
    wait: BOOLEAN,
    (highest, rule): (KIRQL, u64),
    function: &'static str,
) {
    if wait == 0 {
        return;
    }
    let old = thread.irql();
    if old > highest {
        verifier::rule(
            rule,
            function,
            format!("IRQL must be {highest} or below when Wait is TRUE."),
        );
    }
    irql::raise(thread, DISPATCH);
    thread.announce_wait(old);
}

/// `KeResetEvent`: makes the event not signalled and returns its state before. IRQL <=
/// `DISPATCH_LEVEL` (bug check 0xC4 (0x20011)).
///
/// # Safety
///
/// `Event` must point to an initialised event.
pub unsafe extern "win64" fn KeResetEvent(Event: PRKEVENT) -> LONG {
    const NAME: &str = "KeResetEvent";
    let thread = thread::current();
    verifier::check_at_most_dispatch(thread, NAME);
    // SAFETY: This function has the same contract.
    let header = unsafe { initialized(Event, NAME) };
    let dispatcher = dispatcher::lock(thread);
    let previous = header.state();
    header.set_state(0);
    drop(dispatcher);
    previous
}

/// `KeClearEvent`: makes the event not signalled. IRQL <= `DISPATCH_LEVEL` (bug check 0xC4 (0x20011)).
///
/// # Safety
///
/// `Event` must point to an initialised event.
pub unsafe extern "win64" fn KeClearEvent(Event: PRKEVENT) {
    const NAME: &str = "KeClearEvent";
    let thread = thread::current();
    verifier::check_at_most_dispatch(thread, NAME);
    // SAFETY: This function has the same contract.
    let header = unsafe { initialized(Event, NAME) };
    let _dispatcher = dispatcher::lock(thread);
    header.set_state(0);
}

/// `KePulseEvent`: satisfies the waits that there are as if the event were signalled, leaves it not
/// signalled, and returns its state before.
///
/// IRQL <= `DISPATCH_LEVEL` (bug check 0xC4 (0x20011)), <= `APC_LEVEL` if `Wait` (0xC4 (0x20016)).
///
/// # Safety
///
/// `Event` must point to an initialised event.
pub unsafe extern "win64" fn KePulseEvent(
    Event: PRKEVENT,
    _Increment: KPRIORITY,
    Wait: BOOLEAN,
) -> LONG {
    const NAME: &str = "KePulseEvent";
    let thread = thread::current();
    verifier::check_at_most_dispatch(thread, NAME);
    // SAFETY: This function has the same contract.
    let header = unsafe { initialized(Event, NAME) };
    announce_wait(thread, Wait, (APC, 0x20016), NAME);
    let dispatcher = dispatcher::lock(thread);
    let previous = header.state();
    dispatcher.signal(header, 1);
    header.set_state(0);
    drop(dispatcher);
    previous
}

/// `KeReadStateEvent`: the state, not 0 if it is signalled, read without any order. IRQL <= `DISPATCH_LEVEL`
/// (bug check 0xC4 (0x20011)).
///
/// # Safety
///
/// `Event` must point to an initialised event.
pub unsafe extern "win64" fn KeReadStateEvent(Event: PRKEVENT) -> LONG {
    const NAME: &str = "KeReadStateEvent";
    verifier::check_at_most_dispatch(thread::current(), NAME);
    // SAFETY: This function has the same contract.
    unsafe { initialized(Event, NAME) }.state()
}
