//! `EX_TIMER`: when such timers expire, and how they are deleted.
#![cfg(not(windows))]

mod support;

use core::ptr;
use std::sync::atomic::{
    AtomicI32, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

/// What the callbacks of a timer do, and what they did.
#[derive(Default)]
struct Probe {
    expired: AtomicU32,
    deleted: AtomicU32,
    /// Whether the callback deletes the timer, and what that returned.
    delete: AtomicU32,
    returned: AtomicI32,
    /// How many the callback waits for to go on, and how many went on.
    begun: AtomicU32,
    go_on: AtomicU32,
}

unsafe extern "win64" fn expire(timer: PEX_TIMER, context: PVOID) {
    assert_eq!(irql(), DISPATCH);
    // SAFETY: The context is a probe that outlives the timer.
    let probe = unsafe { &*context.cast::<Probe>() };
    probe.begun.fetch_add(1, SeqCst);
    if probe.delete.load(SeqCst) == 1 {
        let deleted = delete(timer, TRUE, FALSE, Some(probe));
        assert_eq!(nt!(ExSetTimer(timer, MS, 0, ptr::null_mut())), FALSE);
        probe.returned.store(i32::from(deleted), SeqCst);
    }
    while probe.go_on.load(SeqCst) == 1 {
        std::thread::yield_now();
    }
    probe.expired.fetch_add(1, SeqCst);
}

unsafe extern "win64" fn deleted(context: PVOID) {
    // SAFETY: As above.
    unsafe { &*context.cast::<Probe>() }
        .deleted
        .fetch_add(1, SeqCst);
}

impl Probe {
    const fn context(&self) -> PVOID {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn timer(&self, attributes: ULONG) -> PEX_TIMER {
        let timer = nt!(ExAllocateTimer(Some(expire), self.context(), attributes));
        assert!(!timer.is_null());
        timer
    }
}

fn set(timer: PEX_TIMER, due: i64, period: i64) -> BOOLEAN {
    nt!(ExSetTimer(timer, due, period, ptr::null_mut()))
}

fn cancel(timer: PEX_TIMER) -> BOOLEAN {
    nt!(ExCancelTimer(timer, ptr::null_mut()))
}

fn delete(timer: PEX_TIMER, cancel: BOOLEAN, wait: BOOLEAN, probe: Option<&Probe>) -> BOOLEAN {
    let mut parameters = EXT_DELETE_PARAMETERS {
        Version: 0,
        Reserved: 0,
        DeleteCallback: probe.map(|_| deleted as unsafe extern "win64" fn(PVOID)),
        DeleteContext: probe.map_or(ptr::null_mut(), Probe::context),
    };
    nt!(ExDeleteTimer(timer, cancel, wait, &raw mut parameters))
}

fn until(counter: &AtomicU32, count: u32) {
    while counter.load(SeqCst) < count {
        std::thread::yield_now();
    }
}

/// So far off that it does not expire in a test.
const FAR: i64 = 3_600_000 * MS;

#[test]
fn setting_tells_whether_it_has_cancelled_an_earlier_setting() {
    let probe = Probe::default();
    let timer = probe.timer(0);
    assert_eq!((set(timer, FAR, 0), set(timer, FAR, 0)), (FALSE, TRUE));
    assert_eq!((cancel(timer), cancel(timer)), (TRUE, FALSE));
    assert_eq!(set(timer, MS, 0), FALSE);
    until(&probe.expired, 1);
    assert_eq!((set(timer, FAR, 0), cancel(timer)), (FALSE, TRUE));
    assert_eq!(delete(timer, TRUE, TRUE, None), FALSE);
}

#[test]
fn a_notification_timer_stays_signalled_and_a_synchronization_timer_ends_one_wait() {
    let notification = nt!(ExAllocateTimer(
        None,
        ptr::null_mut(),
        EX_TIMER_NOTIFICATION
    ));
    let synchronization = nt!(ExAllocateTimer(None, ptr::null_mut(), 0));
    for (timer, again) in [
        (notification, STATUS_SUCCESS),
        (synchronization, STATUS_TIMEOUT),
    ] {
        assert_eq!(wait(timer.cast(), Some(0)), STATUS_TIMEOUT);
        set(timer, MS, 0);
        assert_eq!(wait(timer.cast(), None), STATUS_SUCCESS);
        assert_eq!(wait(timer.cast(), Some(0)), again);
        assert_eq!(delete(timer, TRUE, TRUE, None), FALSE);
    }
}

#[test]
fn a_periodic_timer_goes_on_until_it_is_cancelled() {
    let probe = Probe::default();
    let timer = probe.timer(EX_TIMER_HIGH_RESOLUTION);
    assert_eq!(set(timer, MS, -MS), FALSE);
    until(&probe.expired, 3);
    assert_eq!((cancel(timer), cancel(timer)), (TRUE, FALSE));
    assert_eq!(delete(timer, TRUE, TRUE, Some(&probe)), FALSE);
    assert_eq!(probe.deleted.load(SeqCst), 1);
}

#[test]
fn an_absolute_time_and_a_tolerance_of_a_no_wake_timer() {
    let probe = Probe::default();
    let timer = probe.timer(EX_TIMER_NO_WAKE);
    let mut parameters = EXT_SET_PARAMETERS {
        Version: 0,
        Reserved: 0,
        NoWakeTolerance: EX_TIMER_UNLIMITED_TOLERANCE,
    };
    assert_eq!(nt!(ExSetTimer(timer, 1, 0, &raw mut parameters)), FALSE);
    until(&probe.expired, 1);
    assert_eq!(delete(timer, TRUE, TRUE, None), FALSE);
}

#[test]
fn deleting_cancels_what_is_set_and_calls_the_routine_for_the_deletion() {
    let probe = Probe::default();
    let timer = probe.timer(0);
    set(timer, FAR, 0);
    assert_eq!(delete(timer, TRUE, FALSE, Some(&probe)), TRUE);
    assert_eq!(
        (probe.deleted.load(SeqCst), probe.expired.load(SeqCst)),
        (1, 0)
    );
}

#[test]
fn without_cancelling_a_periodic_timer_expires_once_more() {
    let probe = Probe::default();
    let timer = probe.timer(0);
    set(timer, 30 * MS, -MS);
    assert_eq!(delete(timer, FALSE, FALSE, Some(&probe)), FALSE);
    assert_eq!(probe.deleted.load(SeqCst), 0);
    until(&probe.deleted, 1);
    assert_eq!(probe.expired.load(SeqCst), 1);
}

#[test]
fn deleting_waits_for_a_callback_that_runs() {
    let probe = Probe::default();
    probe.go_on.store(1, SeqCst);
    let timer = probe.timer(0) as usize;
    let timer = || ptr::with_exposed_provenance_mut(timer);
    set(timer(), MS, 0);
    until(&probe.begun, 1);
    std::thread::scope(|scope| {
        let deleter = scope.spawn(|| {
            let cancelled = delete(timer(), TRUE, TRUE, Some(&probe));
            (
                cancelled,
                probe.expired.load(SeqCst),
                probe.deleted.load(SeqCst),
            )
        });
        sleep(10);
        assert_eq!(probe.deleted.load(SeqCst), 0);
        assert_eq!(set(timer(), MS, 0), FALSE, "it is being deleted");
        assert_eq!(cancel(timer()), FALSE);
        assert_eq!(delete(timer(), TRUE, FALSE, None), FALSE);
        probe.go_on.store(0, SeqCst);
        assert_eq!(deleter.join().expect("no panic"), (FALSE, 1, 1));
    });
}

#[test]
fn a_callback_may_delete_its_timer() {
    let probe = Probe::default();
    probe.delete.store(1, SeqCst);
    let timer = probe.timer(0);
    set(timer, MS, -1000 * MS);
    until(&probe.deleted, 1);
    assert_eq!(
        probe.expired.load(Relaxed),
        1,
        "the callback has ended first"
    );
    assert_eq!(probe.returned.load(Relaxed), 1, "a periodic one was set");
}

#[test]
fn what_the_pages_do_not_allow() {
    const INVALID: u32 = bugcheck::TIMER_OR_DPC_INVALID;
    let report = expect_bug_check(|| {
        nt!(ExAllocateTimer(
            None,
            ptr::null_mut(),
            EX_TIMER_HIGH_RESOLUTION | EX_TIMER_NO_WAKE
        ));
    });
    assert_eq!((report.code, report.parameters[0]), (INVALID, 0));
    let report = expect_bug_check(|| {
        let timer = nt!(ExAllocateTimer(
            None,
            ptr::null_mut(),
            EX_TIMER_HIGH_RESOLUTION
        ));
        set(timer, 1, 0);
    });
    assert_eq!((report.code, report.parameters[0]), (INVALID, 0));
    let report = expect_bug_check(|| {
        let timer = nt!(ExAllocateTimer(None, ptr::null_mut(), 0));
        set(timer, MS, i64::from(LONG::MAX) + 1);
    });
    assert_eq!((report.code, report.parameters[0]), (INVALID, 0));
    let report = expect_bug_check(|| {
        let timer = nt!(ExAllocateTimer(None, ptr::null_mut(), EX_TIMER_NO_WAKE));
        let mut parameters = EXT_SET_PARAMETERS {
            Version: 0,
            Reserved: 0,
            NoWakeTolerance: -2,
        };
        nt!(ExSetTimer(timer, MS, 0, &raw mut parameters));
    });
    assert_eq!((report.code, report.parameters[0]), (INVALID, 0));
    let report = expect_bug_check(|| {
        let timer = nt!(ExAllocateTimer(None, ptr::null_mut(), 0));
        delete(timer, FALSE, TRUE, None);
    });
    assert_eq!((report.code, report.parameters[0]), (INVALID, 0));
}

#[test]
fn deleting_with_a_wait_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let timer = nt!(ExAllocateTimer(None, ptr::null_mut(), 0));
        raise(DISPATCH);
        delete(timer, TRUE, TRUE, None);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x121));
}

#[test]
fn using_one_that_is_deleted() {
    let report = expect_bug_check(|| {
        let timer = nt!(ExAllocateTimer(None, ptr::null_mut(), 0));
        delete(timer, TRUE, TRUE, None);
        set(timer, MS, 0);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1002));
}
