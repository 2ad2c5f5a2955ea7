//! Timers that the kernel allocates: `EX_TIMER`.
//!
//! Each is a timer and a DPC of this kernel that calls the driver's routine. Until nothing of it is on its way any
//! more it is there, however early it is deleted: what runs last frees it.
//!
//! Sources: the pages of the functions, "Deleting a System-Allocated Timer Object", "High-Resolution Timers" and
//! "No-Wake Timers". The processors here are never in a low-power state, so that a tolerance makes no difference.
//! Where a page says that the routine bug checks and not with which code, it is 0xC7 here.

use core::{
    cell::Cell,
    ops::Range,
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};
use std::collections::BTreeSet;

use nt_abi::{
    _KDPC_IMPORTANCE::MediumImportance,
    _TIMER_TYPE::{NotificationTimer, SynchronizationTimer},
    BOOLEAN, DpcObject, EX_TIMER_HIGH_RESOLUTION, EX_TIMER_NO_WAKE, EX_TIMER_NOTIFICATION,
    EX_TIMER_UNLIMITED_TOLERANCE, FALSE, KDPC, KEVENT, KTIMER, LONG, LONGLONG, PEX_TIMER,
    PEXT_CALLBACK, PEXT_CANCEL_PARAMETERS, PEXT_DELETE_CALLBACK, PEXT_DELETE_PARAMETERS,
    PEXT_SET_PARAMETERS, PVOID, ULONG,
    bugcheck::{ATTEMPTED_SWITCH_FROM_DPC, TIMER_OR_DPC_INVALID},
    object_type,
};
use parking_lot::Mutex;

use crate::{
    address, bugcheck, clock,
    dispatcher::{self, Deadline, Header, WaitBlock, WaitKind},
    dpc::Dpc,
    export::exports,
    fault,
    irql::DISPATCH,
    thread::{self, Thread},
    timer::{Setting, Timer},
    verifier,
};

exports!("ntoskrnl.exe"; ExAllocateTimer, ExCancelTimer, ExDeleteTimer, ExSetTimer);

/// An `EX_TIMER`.
#[repr(C)]
struct ExTimer {
    /// First, since drivers wait for the object by its address.
    timer: Timer,
    dpc: Dpc,
    callback: PEXT_CALLBACK,
    context: PVOID,
    attributes: ULONG,
    /// How often the DPC is queued or runs, under the dispatcher lock.
    on_the_way: AtomicU32,
    /// Whether it is being deleted, under the dispatcher lock.
    disabled: AtomicBool,
    /// Whether a thread waits for `gone` in order to delete it, under the dispatcher lock.
    is_awaited: AtomicBool,
    /// Signalled when nothing is on its way any more.
    gone: Header,
    /// What to call when it is deleted; written once, by the thread that disables it.
    deletion: Cell<(PEXT_DELETE_CALLBACK, PVOID)>,
}

/// The addresses of all timers that are allocated.
static ALLOCATED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// The addresses of the timers that are allocated.
pub fn allocated() -> Vec<u64> {
    ALLOCATED.lock().iter().copied().collect()
}

/// The callback in a range of memory that belongs to a timer which is allocated.
pub fn find_calling(range: &Range<u64>) -> Option<u64> {
    let routine = |&address: &u64| {
        // SAFETY: What is on the list is allocated, and leaves it under its lock before it is freed.
        let timer = unsafe { &*address::pointer::<ExTimer>(address) };
        let routine = timer.callback? as *const () as u64;
        range.contains(&routine).then_some(routine)
    };
    ALLOCATED.lock().iter().find_map(routine)
}

impl ExTimer {
    fn new(callback: PEXT_CALLBACK, context: PVOID, attributes: ULONG) -> &'static Self {
        let timer = Box::leak(Box::new(Self {
            timer: Timer::uninitialized(),
            dpc: Dpc::uninitialized(),
            callback,
            context,
            attributes,
            on_the_way: AtomicU32::new(0),
            disabled: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            gone: Header::uninitialized(),
            deletion: Cell::new((None, ptr::null_mut())),
        }));
        let kind = if attributes & EX_TIMER_NOTIFICATION == 0 {
            SynchronizationTimer
        } else {
            NotificationTimer
        };
        timer.timer.initialize(kind);
        let importance = MediumImportance.to_le_bytes()[0];
        let context = ptr::from_mut(timer).cast();
        timer
            .dpc
            .initialize(DpcObject, expire as *mut _, context, importance);
        timer
            .gone
            .initialize(object_type::NotificationEvent, size_of::<KEVENT>(), 0);
        ALLOCATED.lock().insert(timer.address());
        timer
    }

    /// The timer at an address that a driver gives; anything else is bug check 0xC4 (0x1002).
    fn at(timer: PEX_TIMER, function: &'static str) -> &'static Self {
        let address = timer as u64;
        if !ALLOCATED.lock().contains(&address) {
            verifier::violation(
                0x1002,
                [address, 0, 0],
                function,
                "The object is not an EX_TIMER that is allocated.",
            );
        }
        // SAFETY: It is allocated, and whoever gives it to a function keeps it so.
        unsafe { &*address::pointer::<Self>(address) }
    }

    fn address(&self) -> u64 {
        ptr::from_ref(self) as u64
    }

    /// The timer of which this is the first field.
    const fn of(timer: &Timer) -> &Self {
        // SAFETY: `set` gives the queue no other timer together with the function that calls this.
        unsafe { &*ptr::from_ref(timer).cast::<Self>() }
    }

    /// Whether nothing of the timer is on its way; the dispatcher lock is held.
    fn is_idle(&self) -> bool {
        self.on_the_way.load(Relaxed) == 0
    }

    /// Stops the kernel for a call that the page of the function does not allow.
    fn refuse(&self, function: &'static str, sentence: &str) -> ! {
        refuse(self.address(), function, sentence)
    }

    /// Calls the driver's routine for the deletion, and frees the timer.
    fn free(&'static self) {
        let (callback, context) = self.deletion.get();
        ALLOCATED.lock().remove(&self.address());
        // SAFETY: It was leaked when it was allocated, is on no list, and nobody may use it any more.
        drop(unsafe { Box::from_raw(ptr::from_ref(self).cast_mut()) });
        if let Some(callback) = callback {
            // SAFETY: The driver vouches for the routine and its context.
            unsafe { callback(context) };
        }
    }
}

/// Bug check 0xC7 (0) for the timer at an address.
fn refuse(address: u64, function: &'static str, sentence: &str) -> ! {
    let end = address + size_of::<KTIMER>() as u64;
    bugcheck::raise(
        TIMER_OR_DPC_INVALID,
        [0, address, address, end],
        function,
        sentence,
    )
}

/// The DPC of every timer.
unsafe extern "win64" fn expire(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The DPC counts among what is on its way, for which the timer is kept.
    let timer = unsafe { &*context.cast::<ExTimer>() };
    if let Some(callback) = timer.callback {
        // SAFETY: The driver vouches for the routine and its context.
        unsafe { callback(context.cast(), timer.context) };
    }
    let mut dispatcher = dispatcher::lock(thread::current());
    timer.on_the_way.fetch_sub(1, Relaxed);
    let is_last = timer.disabled.load(Relaxed)
        && timer.is_idle()
        && !dispatcher.state().timers.is_set(&timer.timer);
    let is_awaited = timer.is_awaited.load(Relaxed);
    if is_last && is_awaited {
        dispatcher.signal(&timer.gone, 1);
    }
    drop(dispatcher);
    if is_last && !is_awaited {
        timer.free();
    }
}

fn check_irql(thread: &Thread, function: &'static str) {
    if thread.irql() > DISPATCH {
        verifier::rule(
            0x20011,
            function,
            "IrqlKeDispatchLte: IRQL must be <= DISPATCH_LEVEL.",
        );
    }
}

/// `ExAllocateTimer`: allocates a timer that is not set; null if there is no memory. IRQL <= `DISPATCH_LEVEL`.
///
/// With `EX_TIMER_NOTIFICATION` it stays signalled until it is set again, otherwise until it has satisfied one
/// wait. `EX_TIMER_HIGH_RESOLUTION` and `EX_TIMER_NO_WAKE` exclude each other: bug check 0xC7.
///
/// # Safety
///
/// `Callback` must be a routine that may be called with `CallbackContext`, at `DISPATCH_LEVEL`, until the timer is
/// deleted.
pub unsafe extern "win64" fn ExAllocateTimer(
    Callback: PEXT_CALLBACK,
    CallbackContext: PVOID,
    Attributes: ULONG,
) -> PEX_TIMER {
    const NAME: &str = "ExAllocateTimer";
    const EXCLUSIVE: ULONG = EX_TIMER_HIGH_RESOLUTION | EX_TIMER_NO_WAKE;
    let thread = thread::current();
    check_irql(thread, NAME);
    if Attributes & EXCLUSIVE == EXCLUSIVE {
        let sentence = "A high-resolution timer cannot be a no-wake timer.";
        refuse(0, NAME, sentence);
    }
    if fault::denies_allocation(NAME) {
        return ptr::null_mut();
    }
    let timer = ExTimer::new(Callback, CallbackContext, Attributes);
    ptr::from_ref(timer).cast_mut().cast()
}

/// `ExSetTimer`: sets a timer, which is not signalled then, and returns whether that has cancelled an earlier
/// setting. IRQL <= `DISPATCH_LEVEL`.
///
/// `DueTime` is an interval if negative, a system time otherwise, and must be an interval for a high-resolution
/// timer. `Period` is in units of 100 ns and at most `MAXLONG`; a timer expires at most once in half a millisecond,
/// the shortest tick of a clock. A `NoWakeTolerance` below zero other than `EX_TIMER_UNLIMITED_TOLERANCE` is not
/// allowed. Each of these is bug check 0xC7. While the timer is being deleted, nothing happens.
///
/// # Safety
///
/// `Timer` must be a timer that is not deleted, `Parameters` initialised parameters or null.
pub unsafe extern "win64" fn ExSetTimer(
    Timer: PEX_TIMER,
    DueTime: LONGLONG,
    Period: LONGLONG,
    Parameters: PEXT_SET_PARAMETERS,
) -> BOOLEAN {
    /// The shortest time between two ticks of the clock.
    const TICK: u64 = 5_000;
    const NAME: &str = "ExSetTimer";
    let thread = thread::current();
    check_irql(thread, NAME);
    let ex = ExTimer::at(Timer, NAME);
    if ex.attributes & EX_TIMER_HIGH_RESOLUTION != 0 && DueTime >= 0 {
        ex.refuse(
            NAME,
            "The due time of a high-resolution timer must be relative.",
        );
    }
    if !(0..=LONGLONG::from(LONG::MAX)).contains(&Period) {
        ex.refuse(NAME, "The period is negative or above MAXLONG.");
    }
    // SAFETY: The caller vouches for the parameters, if there are any.
    let parameters = unsafe { Parameters.as_ref() };
    let tolerance = parameters.map_or(0, |parameters| parameters.NoWakeTolerance);
    if tolerance < 0 && tolerance != EX_TIMER_UNLIMITED_TOLERANCE {
        ex.refuse(NAME, "The tolerance is negative.");
    }
    let period = match Period.unsigned_abs() {
        0 => 0,
        period => period.max(TICK),
    };
    let setting = Setting {
        due: clock::due_time(DueTime),
        period,
        dpc: ptr::from_ref(&ex.dpc).cast_mut(),
        queued: Some(|timer| {
            ExTimer::of(timer).on_the_way.fetch_add(1, Relaxed);
        }),
    };
    let mut dispatcher = dispatcher::lock(thread);
    if ex.disabled.load(Relaxed) {
        return FALSE;
    }
    let (was_set, queued) = dispatcher.set_timer(&ex.timer, &setting);
    drop(dispatcher);
    queued.announce(thread);
    BOOLEAN::from(was_set)
}

/// `ExCancelTimer`: takes a timer back, and returns whether it was set. IRQL <= `DISPATCH_LEVEL`. `Parameters` is
/// reserved.
///
/// A callback that is on its way is not stopped. While the timer is being deleted, nothing happens.
///
/// # Safety
///
/// `Timer` must be a timer that is not deleted.
pub unsafe extern "win64" fn ExCancelTimer(
    Timer: PEX_TIMER,
    _Parameters: PEXT_CANCEL_PARAMETERS,
) -> BOOLEAN {
    const NAME: &str = "ExCancelTimer";
    let thread = thread::current();
    check_irql(thread, NAME);
    let ex = ExTimer::at(Timer, NAME);
    let mut dispatcher = dispatcher::lock(thread);
    let enabled = !ex.disabled.load(Relaxed);
    BOOLEAN::from(enabled && dispatcher.cancel_timer(&ex.timer))
}

/// `ExDeleteTimer`: deletes a timer, and returns whether that has cancelled it. IRQL <= `DISPATCH_LEVEL`, or <=
/// `APC_LEVEL` with `Wait`: bug check 0xC4 (0x121), in a callback 0xB8.
///
/// From now on the timer cannot be set. Without `Cancel`, it still expires once if it is set. The memory is freed,
/// and the routine for the deletion called, when nothing is on its way any more; with `Wait`, which needs `Cancel`
/// (bug check 0xC7), before this returns. A timer that is being deleted already is left alone.
///
/// # Safety
///
/// `Timer` must be a timer that is not deleted, `Parameters` initialised parameters or null.
pub unsafe extern "win64" fn ExDeleteTimer(
    Timer: PEX_TIMER,
    Cancel: BOOLEAN,
    Wait: BOOLEAN,
    Parameters: PEXT_DELETE_PARAMETERS,
) -> BOOLEAN {
    const NAME: &str = "ExDeleteTimer";
    let (cancel, wait) = (Cancel != FALSE, Wait != FALSE);
    let thread = thread::current();
    check_irql(thread, NAME);
    let ex = ExTimer::at(Timer, NAME);
    if wait && !cancel {
        ex.refuse(NAME, "It is to wait for a timer that it does not cancel.");
    }
    if wait && thread.is_at_dispatch() {
        refuse_wait(thread, ex);
    }
    let mut dispatcher = dispatcher::lock(thread);
    if ex.disabled.swap(true, Relaxed) {
        return FALSE;
    }
    // SAFETY: The caller vouches for the parameters, if there are any.
    if let Some(parameters) = unsafe { Parameters.as_ref() } {
        ex.deletion
            .set((parameters.DeleteCallback, parameters.DeleteContext));
    }
    let (cancelled, is_set) = if cancel {
        (dispatcher.cancel_timer(&ex.timer), false)
    } else {
        (false, dispatcher.expire_once_more(&ex.timer))
    };
    let is_done = ex.is_idle() && !is_set;
    ex.is_awaited.store(wait && !is_done, Relaxed);
    drop(dispatcher);
    if wait && !is_done {
        let blocks = [WaitBlock::new()];
        let objects = [&ex.gone];
        dispatcher::wait(thread, &objects, &blocks, WaitKind::Any, Deadline::Never);
    }
    if wait || is_done {
        ex.free();
    }
    BOOLEAN::from(cancelled)
}

/// A wait at `DISPATCH_LEVEL`, or in a callback.
fn refuse_wait(thread: &Thread, timer: &ExTimer) -> ! {
    const NAME: &str = "ExDeleteTimer";
    if !thread.dpc().is_null() {
        bugcheck::raise(
            ATTEMPTED_SWITCH_FROM_DPC,
            [thread.address(), 0, 0, 0],
            NAME,
            "A timer is deleted in a DPC routine that is to wait for it.",
        );
    }
    verifier::violation(
        0x121,
        [thread.irql_address(), timer.address(), 0],
        NAME,
        "A timer is deleted with a wait at DISPATCH_LEVEL.",
    )
}
