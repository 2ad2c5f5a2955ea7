//! `KTIMER`: when timers expire, what they signal and queue, and what cancelling does.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nthost::{
    ntddk::{
        _TIMER_TYPE::{NotificationTimer, SynchronizationTimer},
        *,
    },
    testing::expect_bug_check,
};
use support::*;

type Timer = Object<KTIMER>;

fn timer(kind: TIMER_TYPE) -> Timer {
    let timer = Timer::default();
    nt!(KeInitializeTimerEx(timer.get(), kind));
    timer
}

fn set(timer: &Timer, due: i64, period: LONG) -> BOOLEAN {
    let due = LARGE_INTEGER { QuadPart: due };
    nt!(KeSetTimerEx(
        timer.get(),
        due,
        period,
        core::ptr::null_mut()
    ))
}

fn set_with(timer: &Timer, due: i64, period: LONG, dpc: &Object<KDPC>) -> BOOLEAN {
    nt!(KeSetTimerEx(
        timer.get(),
        LARGE_INTEGER { QuadPart: due },
        period,
        dpc.get()
    ))
}

fn cancel(timer: &Timer) -> BOOLEAN {
    nt!(KeCancelTimer(timer.get()))
}

fn state(timer: &Timer) -> BOOLEAN {
    nt!(KeReadStateTimer(timer.get()))
}

unsafe extern "win64" fn count_up(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    assert_eq!(irql(), DISPATCH);
    // SAFETY: `counting_dpc` was given a counter that outlives the DPC.
    unsafe { &*context.cast::<AtomicU32>() }.fetch_add(1, Ordering::Relaxed);
}

fn counting_dpc(counter: &AtomicU32) -> Object<KDPC> {
    let dpc = Object::default();
    let context = core::ptr::from_ref(counter).cast_mut().cast();
    nt!(KeInitializeDpc(dpc.get(), Some(count_up), context));
    dpc
}

#[test]
fn it_expires_when_it_is_due_and_not_before() {
    let timer = timer(NotificationTimer);
    let start = Instant::now();
    assert_eq!((set(&timer, 20 * MS, 0), state(&timer)), (FALSE, FALSE));
    assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(20), "{elapsed:?}");
    assert_eq!(
        (state(&timer), wait(timer.object(), Some(0))),
        (TRUE, STATUS_SUCCESS)
    );
}

#[test]
fn a_synchronization_timer_lets_one_wait_through() {
    let timer = timer(SynchronizationTimer);
    set(&timer, MS, 0);
    assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    assert_eq!(
        (state(&timer), wait(timer.object(), Some(0))),
        (FALSE, STATUS_TIMEOUT)
    );
}

#[test]
fn a_due_time_that_has_gone_by_expires_at_once() {
    let timer = timer(NotificationTimer);
    assert_eq!((set(&timer, 0, 0), state(&timer)), (FALSE, TRUE));
    assert_eq!(
        (set(&timer, 1, 0), state(&timer)),
        (FALSE, TRUE),
        "the year 1601"
    );
    assert_eq!(cancel(&timer), FALSE);
}

#[test]
fn an_absolute_time_is_a_system_time() {
    let timer = timer(NotificationTimer);
    let now = Object::<LARGE_INTEGER>::default();
    nt!(KeQuerySystemTimePrecise(now.get()));
    // SAFETY: The union is one number.
    let now = unsafe { now.read().QuadPart };
    let start = Instant::now();
    set(&timer, now - 20 * MS, 0);
    assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    assert!(start.elapsed() >= Duration::from_millis(15));
}

#[test]
fn setting_it_again_forgets_the_setting_before() {
    let timer = timer(NotificationTimer);
    assert_eq!(set(&timer, 5 * MS, 0), FALSE);
    assert_eq!(set(&timer, 10_000 * MS, 0), TRUE);
    assert_eq!(wait(timer.object(), Some(30 * MS)), STATUS_TIMEOUT);
    assert_eq!((cancel(&timer), cancel(&timer)), (TRUE, FALSE));
}

#[test]
fn setting_clears_the_signal_and_cancelling_does_not() {
    let timer = timer(NotificationTimer);
    set(&timer, 0, 0);
    assert_eq!((cancel(&timer), state(&timer)), (FALSE, TRUE));
    set(&timer, 10_000 * MS, 0);
    assert_eq!(
        (state(&timer), cancel(&timer), state(&timer)),
        (FALSE, TRUE, FALSE)
    );
}

#[test]
fn its_dpc_runs_at_dispatch_level() {
    let (counter, timer) = (AtomicU32::new(0), timer(NotificationTimer));
    let dpc = counting_dpc(&counter);
    set_with(&timer, MS, 0, &dpc);
    wait(timer.object(), None);
    nt!(KeFlushQueuedDpcs());
    assert_eq!(counter.load(Ordering::Relaxed), 1);
}

unsafe extern "win64" fn read_state(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is that of the test below.
    let (timer, seen) = unsafe { &*context.cast::<(Timer, AtomicU32)>() };
    seen.store(u32::from(state(timer)), Ordering::Relaxed);
}

#[test]
fn it_is_signalled_before_its_dpc_runs() {
    let context = (timer(NotificationTimer), AtomicU32::new(2));
    let dpc = Object::<KDPC>::default();
    let address = (&raw const context).cast_mut().cast();
    nt!(KeInitializeDpc(dpc.get(), Some(read_state), address));
    set_with(&context.0, MS, 0, &dpc);
    wait(context.0.object(), None);
    nt!(KeFlushQueuedDpcs());
    assert_eq!(context.1.load(Ordering::Relaxed), 1);
}

#[test]
fn a_periodic_timer_expires_until_it_is_cancelled() {
    let (counter, timer) = (AtomicU32::new(0), timer(SynchronizationTimer));
    let dpc = counting_dpc(&counter);
    let start = Instant::now();
    set_with(&timer, 5 * MS, 5, &dpc);
    for _ in 0..10 {
        assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    }
    assert!(start.elapsed() >= Duration::from_millis(45));
    // A DPC that is queued still at the next expiration is not queued twice.
    for _ in 0..1_000 {
        if counter.load(Ordering::Relaxed) >= 8 {
            break;
        }
        assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    }
    assert_eq!(cancel(&timer), TRUE, "a periodic timer is always set");
    nt!(KeFlushQueuedDpcs());
    let count = counter.load(Ordering::Relaxed);
    assert!(count >= 8, "{count} DPCs");
    sleep(20);
    assert_eq!(
        counter.load(Ordering::Relaxed),
        count,
        "nothing runs after cancel and flush"
    );
}

#[test]
fn a_periodic_timer_that_is_due_at_once_goes_on() {
    let timer = timer(SynchronizationTimer);
    set(&timer, 0, 5);
    for _ in 0..4 {
        assert_eq!(wait(timer.object(), Some(5_000 * MS)), STATUS_SUCCESS);
    }
    assert_eq!(cancel(&timer), TRUE);
}

#[test]
fn a_tolerable_delay_is_that_of_another_call() {
    let timer = timer(NotificationTimer);
    let due = LARGE_INTEGER { QuadPart: MS };
    let null = core::ptr::null_mut();
    assert_eq!(
        nt!(KeSetCoalescableTimer(timer.get(), due, 0, 50, null)),
        FALSE
    );
    assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    assert_eq!(nt!(KeSetTimer(timer.get(), due, null)), FALSE);
    assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    let later = LARGE_INTEGER {
        QuadPart: 10_000 * MS,
    };
    let again = || nt!(KeSetCoalescableTimer(timer.get(), later, 0, 0, null));
    assert_eq!((again(), again()), (FALSE, TRUE), "it was set already");
    assert_eq!(nt!(KeSetTimer(timer.get(), later, null)), TRUE);
    assert_eq!(cancel(&timer), TRUE);
}

#[test]
fn cancelling_one_that_has_expired_leaves_the_dpc_that_it_queued() {
    let (counter, timer) = (AtomicU32::new(0), timer(NotificationTimer));
    let dpc = counting_dpc(&counter);
    nt!(KeSetSystemAffinityThread(1));
    nt!(KeSetTargetProcessorDpc(dpc.get(), 0));
    let old = raise(DISPATCH);
    set_with(&timer, MS, 0, &dpc);
    while state(&timer) == FALSE {}
    assert_eq!(
        (cancel(&timer), counter.load(Ordering::Relaxed)),
        (FALSE, 0)
    );
    lower(old);
    assert_eq!(counter.load(Ordering::Relaxed), 1, "it ran all the same");
    nt!(KeRevertToUserAffinityThread());
}

#[test]
fn cancelling_or_setting_one_again_before_it_expires_cancels_its_dpc() {
    let (counter, timer) = (AtomicU32::new(0), timer(NotificationTimer));
    let dpc = counting_dpc(&counter);
    set_with(&timer, 10_000 * MS, 0, &dpc);
    assert_eq!(set(&timer, MS, 0), TRUE, "now without a DPC");
    wait(timer.object(), None);
    set_with(&timer, 10_000 * MS, 0, &dpc);
    assert_eq!(cancel(&timer), TRUE);
    nt!(KeFlushQueuedDpcs());
    assert_eq!(counter.load(Ordering::Relaxed), 0);
}

/// How many of a timer's DPCs run, and whether two ever did at once.
#[derive(Default)]
struct Running {
    now: AtomicU32,
    together: AtomicU32,
}

unsafe extern "win64" fn meet_another(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: The context is that of the test below.
    let running = unsafe { &*context.cast::<Running>() };
    if running.now.fetch_add(1, Ordering::Relaxed) == 1 {
        running.together.store(1, Ordering::Relaxed);
    }
    // The first stays until the second is there, within the time that a DPC may take.
    let end = Instant::now() + Duration::from_secs(5);
    while running.together.load(Ordering::Relaxed) == 0 && Instant::now() < end {
        irql();
    }
    running.now.fetch_sub(1, Ordering::Relaxed);
}

#[test]
fn the_dpc_of_a_periodic_timer_may_run_on_two_processors_at_once() {
    let running = Running::default();
    let (timer, dpc) = (timer(SynchronizationTimer), Object::<KDPC>::default());
    let context = (&raw const running).cast_mut().cast();
    nt!(KeInitializeDpc(dpc.get(), Some(meet_another), context));
    set_with(&timer, MS, 1, &dpc);
    while running.together.load(Ordering::Relaxed) == 0 {
        assert_eq!(wait(timer.object(), Some(5_000 * MS)), STATUS_SUCCESS);
    }
    assert_eq!(cancel(&timer), TRUE);
    nt!(KeFlushQueuedDpcs());
}

#[test]
fn periods_and_delays_that_are_below_zero() {
    let null = core::ptr::null_mut();
    let period = expect_bug_check(|| {
        set(&timer(NotificationTimer), MS, -1);
    });
    let delay = expect_bug_check(|| {
        let due = LARGE_INTEGER { QuadPart: MS };
        let timer = timer(NotificationTimer);
        nt!(KeSetCoalescableTimer(timer.get(), due, 0, u32::MAX, null));
    });
    for report in [period, delay] {
        assert_eq!(
            (report.code, report.parameters[0]),
            (bugcheck::TIMER_OR_DPC_INVALID, 0)
        );
    }
}

#[test]
fn timers_expire_in_the_order_of_their_due_times() {
    unsafe extern "win64" fn record(dpc: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
        // SAFETY: The context is the list, and the DPCs run one after the other on one processor.
        unsafe { &mut *context.cast::<Vec<*mut KDPC>>() }.push(dpc);
    }
    let order = Object::new(Vec::<*mut KDPC>::new());
    let timers: Vec<_> = (0..8)
        .map(|_| (timer(NotificationTimer), Object::default()))
        .collect();
    for (n, (timer, dpc)) in (1..).zip(timers.iter().rev()) {
        nt!(KeInitializeDpc(dpc.get(), Some(record), order.object()));
        nt!(KeSetTargetProcessorDpc(dpc.get(), 0));
        set_with(timer, n * MS, 0, dpc);
    }
    let objects: Vec<_> = timers.iter().map(|(timer, _)| timer.object()).collect();
    assert_eq!(
        wait_for(&objects, _WAIT_TYPE::WaitAll, None),
        STATUS_SUCCESS
    );
    nt!(KeFlushQueuedDpcs());
    let expected: Vec<_> = timers.iter().rev().map(|(_, dpc)| dpc.get()).collect();
    // SAFETY: All DPCs have run.
    assert_eq!(unsafe { &*order.get() }, &expected);
}

#[test]
fn set_and_cancel_storm() {
    let counter = AtomicU32::new(0);
    let timers: Vec<_> = (0..4)
        .map(|_| (timer(NotificationTimer), counting_dpc(&counter)))
        .collect();
    thread::scope(|scope| {
        for seed in 0..8 {
            let timers = &timers;
            scope.spawn(move || {
                for n in 0_u32..2000 {
                    let (timer, dpc) = &timers[n as usize % timers.len()];
                    set_with(timer, -(i64::from((n + seed) % 50) * 10), 0, dpc);
                    cancel(timer);
                }
            });
        }
    });
    for (timer, _) in &timers {
        cancel(timer);
    }
    nt!(KeFlushQueuedDpcs());
}

#[test]
fn freeing_one_that_is_set() {
    let report = expect_bug_check(|| {
        let memory = nt!(ExAllocatePool2(
            POOL_FLAG_NON_PAGED,
            0x40,
            u32::from_le_bytes(*b"test")
        ));
        nt!(KeInitializeTimer(memory.cast()));
        let due = LARGE_INTEGER {
            QuadPart: 10_000 * MS,
        };
        nt!(KeSetTimer(memory.cast(), due, core::ptr::null_mut()));
        nt!(ExFreePool(memory));
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[2]),
        (VERIFIER, 0x15, 0)
    );
    assert_eq!(
        report.parameters[1], report.parameters[3],
        "the timer is at the start of the block"
    );
}

#[test]
fn initialising_one_that_is_set() {
    let report = expect_bug_check(|| {
        let timer = timer(NotificationTimer);
        set(&timer, 10_000 * MS, 0);
        nt!(KeInitializeTimer(timer.get()));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::TIMER_OR_DPC_INVALID, 0)
    );
}

#[test]
fn one_that_was_never_initialised() {
    let report = expect_bug_check(|| {
        set(&Timer::default(), MS, 0);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1002));
}

#[test]
fn above_dispatch_level() {
    let report = expect_bug_check(|| {
        let timer = timer(NotificationTimer);
        raise(HIGH);
        cancel(&timer);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x20011));
}

#[test]
fn one_that_is_set_is_on_the_list_of_what_is_left() {
    let timer = timer(NotificationTimer);
    let is_left = || {
        let leaks = nthost::Kernel::get().leaks().entries;
        let address = timer.get() as u64;
        leaks
            .iter()
            .any(|leak| leak.kind == nthost::LeakKind::Timer && leak.address == address)
    };
    set(&timer, 10_000 * MS, 0);
    assert!(is_left());
    cancel(&timer);
    assert!(!is_left());
}
