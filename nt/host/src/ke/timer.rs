//! Timers: `KTIMER`.

use nt_abi::{
    _TIMER_TYPE::NotificationTimer, BOOLEAN, KTIMER, LARGE_INTEGER, LONG, LONGLONG, PKDPC, PKTIMER,
    TIMER_TYPE, ULONG, bugcheck::TIMER_OR_DPC_INVALID,
};

use crate::{
    bugcheck, clock, dispatcher,
    dpc::Dpc,
    export::exports,
    thread,
    timer::{Setting, Timer, UNITS_PER_MILLISECOND},
    verifier,
};

exports!("ntoskrnl.exe";
    KeCancelTimer, KeInitializeTimer, KeInitializeTimerEx, KeReadStateTimer, KeSetCoalescableTimer,
    KeSetTimer, KeSetTimerEx,
);

/// The timer as one with atomic fields.
///
/// # Safety
///
/// `timer` must point to memory for a timer that stays where it is.
unsafe fn view<'a>(timer: PKTIMER, function: &'static str) -> &'a Timer {
    // SAFETY: This function has the same contract.
    unsafe { verifier::object(timer.cast(), function) }
}

/// An initialised timer; other memory is bug check 0xC4 (0x1002).
///
/// # Safety
///
/// As for [`view`].
unsafe fn initialized<'a>(timer: PKTIMER, function: &'static str) -> &'a Timer {
    // SAFETY: This function has the same contract.
    let view = unsafe { view(timer, function) };
    if !view.is_initialized() {
        verifier::violation(
            0x1002,
            [timer as u64, 0, 0],
            function,
            "The object is not a timer that was initialised.",
        );
    }
    view
}

/// Bug check 0xC7 (0) for a timer.
fn invalid(timer: PKTIMER, function: &'static str, sentence: &str) -> ! {
    let start = timer as u64;
    let end = start + size_of::<KTIMER>() as u64;
    bugcheck::raise(
        TIMER_OR_DPC_INVALID,
        [0, start, start, end],
        function,
        sentence,
    )
}

/// `KeInitializeTimer`: makes a notification timer that is not set. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// As for [`KeInitializeTimerEx`].
pub unsafe extern "win64" fn KeInitializeTimer(Timer: PKTIMER) {
    // SAFETY: This function has the same contract.
    unsafe { KeInitializeTimerEx(Timer, NotificationTimer) };
}

/// `KeInitializeTimerEx`: makes a timer that is not set. IRQL <= `DISPATCH_LEVEL` (rule
/// `IrqlKeDispatchLte`, bug check 0xC4 (0x20011)). A timer that is set is bug check 0xC7 (0).
///
/// # Safety
///
/// `Timer` must point to resident memory for a timer that nobody uses.
pub unsafe extern "win64" fn KeInitializeTimerEx(Timer: PKTIMER, Type: TIMER_TYPE) {
    const NAME: &str = "KeInitializeTimerEx";
    let thread = thread::current();
    verifier::check_at_most_dispatch(thread, NAME);
    let start = Timer as u64;
    verifier::check_resident(start, NAME);
    let mut dispatcher = dispatcher::lock(thread);
    let is_set = dispatcher
        .state()
        .timers
        .find_in(&(start..start + 1))
        .is_some();
    drop(dispatcher);
    if is_set {
        invalid(
            Timer,
            NAME,
            "The timer is initialised again while it is set.",
        );
    }
    // SAFETY: This function has the same contract.
    unsafe { view(Timer, NAME) }.initialize(Type);
}

/// `KeSetTimer`: as [`KeSetTimerEx`] without a period.
///
/// # Safety
///
/// As for [`KeSetTimerEx`].
pub unsafe extern "win64" fn KeSetTimer(
    Timer: PKTIMER,
    DueTime: LARGE_INTEGER,
    Dpc: PKDPC,
) -> BOOLEAN {
    // SAFETY: This function has the same contract.
    unsafe { set(Timer, due(DueTime), 0, Dpc, "KeSetTimer") }
}

/// `KeSetTimerEx`: sets a timer, which is not signalled then, and returns whether it was set already;
/// if so, that setting is forgotten. IRQL <= `DISPATCH_LEVEL` (bug check 0xC4 (0x20011)).
///
/// `DueTime` is an interval if negative, a system time otherwise, in units of 100 ns; `Period` is in
/// milliseconds, and one below zero is bug check 0xC7 (0). When the timer expires it is signalled, and
/// the DPC is queued.
///
/// # Safety
///
/// `Timer` must point to an initialised timer, `Dpc` to an initialised DPC or be null.
pub unsafe extern "win64" fn KeSetTimerEx(
    Timer: PKTIMER,
    DueTime: LARGE_INTEGER,
    Period: LONG,
    Dpc: PKDPC,
) -> BOOLEAN {
    const NAME: &str = "KeSetTimerEx";
    let Ok(period) = u32::try_from(Period) else {
        invalid(Timer, NAME, "The period is negative.");
    };
    // SAFETY: This function has the same contract.
    unsafe { set(Timer, due(DueTime), period, Dpc, NAME) }
}

/// `KeSetCoalescableTimer`: as [`KeSetTimerEx`]; that the timer may expire later by `TolerableDelay`
/// milliseconds is not made use of.
///
/// # Safety
///
/// As for [`KeSetTimerEx`].
pub unsafe extern "win64" fn KeSetCoalescableTimer(
    Timer: PKTIMER,
    DueTime: LARGE_INTEGER,
    Period: ULONG,
    TolerableDelay: ULONG,
    Dpc: PKDPC,
) -> BOOLEAN {
    const NAME: &str = "KeSetCoalescableTimer";
    const MAXLONG: ULONG = LONG::MAX.cast_unsigned();
    if Period > MAXLONG || TolerableDelay > MAXLONG {
        invalid(
            Timer,
            NAME,
            "Period and tolerable delay must not exceed MAXLONG.",
        );
    }
    // SAFETY: This function has the same contract.
    unsafe { set(Timer, due(DueTime), Period, Dpc, NAME) }
}

const fn due(time: LARGE_INTEGER) -> LONGLONG {
    // SAFETY: The union is one number.
    unsafe { time.QuadPart }
}

/// Sets a timer.
///
/// # Safety
///
/// As for [`KeSetTimerEx`].
unsafe fn set(
    timer: PKTIMER,
    due: LONGLONG,
    period: u32,
    dpc: PKDPC,
    function: &'static str,
) -> BOOLEAN {
    let thread = thread::current();
    verifier::check_at_most_dispatch(thread, function);
    // SAFETY: This function has the same contract.
    let timer = unsafe { initialized(timer, function) };
    if !dpc.is_null() {
        // SAFETY: As above.
        unsafe { Dpc::initialized(dpc, function) };
    }
    let setting = Setting {
        due: clock::due_time(due),
        period: u64::from(period) * UNITS_PER_MILLISECOND,
        dpc: dpc.cast(),
        queued: None,
    };
    let mut dispatcher = dispatcher::lock(thread);
    let (was_set, queued) = dispatcher.set_timer(timer, &setting);
    drop(dispatcher);
    queued.announce(thread);
    BOOLEAN::from(was_set)
}

/// `KeCancelTimer`: takes a timer back, and returns whether it was set. IRQL <= `DISPATCH_LEVEL` (bug
/// check 0xC4 (0x20011)).
///
/// A DPC that is queued or runs already is not stopped: see `KeFlushQueuedDpcs`. The signal state stays.
///
/// # Safety
///
/// `Timer` must point to an initialised timer.
pub unsafe extern "win64" fn KeCancelTimer(Timer: PKTIMER) -> BOOLEAN {
    const NAME: &str = "KeCancelTimer";
    let thread = thread::current();
    verifier::check_at_most_dispatch(thread, NAME);
    // SAFETY: This function has the same contract.
    let timer = unsafe { initialized(Timer, NAME) };
    BOOLEAN::from(dispatcher::lock(thread).cancel_timer(timer))
}

/// `KeReadStateTimer`: whether the timer is signalled, read without any order. IRQL <= `DISPATCH_LEVEL`
/// (bug check 0xC4 (0x20011)).
///
/// # Safety
///
/// `Timer` must point to an initialised timer.
pub unsafe extern "win64" fn KeReadStateTimer(Timer: PKTIMER) -> BOOLEAN {
    const NAME: &str = "KeReadStateTimer";
    verifier::check_at_most_dispatch(thread::current(), NAME);
    // SAFETY: This function has the same contract.
    BOOLEAN::from(unsafe { initialized(Timer, NAME) }.header.state() > 0)
}
