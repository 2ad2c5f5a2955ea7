//! Nothing can happen any more: what is taken for that, and what is not.
#![cfg(not(windows))]

mod support;

use core::{ptr, time::Duration};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use nthost::{Config, Kernel, Stop, ntddk::*, testing::expect_bug_check_with};
use support::*;

fn config() -> Config {
    Config {
        find_hangs: true,
        ..Config::default()
    }
}

fn event() -> Object<KEVENT> {
    let event = Object::default();
    nt!(KeInitializeEvent(event.get(), 0, FALSE));
    event
}

fn set(event: &Object<KEVENT>) {
    nt!(KeSetEvent(event.get(), 0, FALSE));
}

/// What the library does for a request that is not completed: a call of the kernel that waits.
fn call(event: &Object<KEVENT>) -> Result<NTSTATUS, Stop> {
    Kernel::get().run(|| wait(event.object(), None))
}

#[test]
fn a_call_that_waits_for_a_thread_that_waits_for_good() {
    let report = expect_bug_check_with(config(), || {
        let (done, wanted) = (event(), event());
        let mutex = Object::<KMUTEX>::default();
        nt!(KeInitializeMutex(mutex.get(), 0));
        let worker = start_system_thread(|| {
            wait(mutex.object(), None);
            wait(wanted.object(), None);
            set(&done);
            nt!(KeReleaseMutex(mutex.get(), FALSE));
        });
        // The bug check comes to the call, and that is what the closure ends with.
        let stopped = call(&done);
        assert!(matches!(stopped, Err(Stop::BugCheck(_))));
        join(worker);
    });
    assert_eq!(report.code, bugcheck::MANUALLY_INITIATED_CRASH);
    let kinds = |locks: &[nthost::bugcheck::LockInfo]| {
        let kinds = locks.iter().map(|lock| lock.kind.clone());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(kinds(&report.thread.waits_for), ["event"]);
    let [worker] = &report.others[..] else {
        panic!("one other thread: {report}");
    };
    assert_eq!(kinds(&worker.waits_for), ["event"]);
    assert!(
        kinds(&worker.holds).iter().all(|kind| kind == "mutex") && !worker.holds.is_empty(),
        "{report}"
    );
}

unsafe extern "win64" fn driver_entry(driver: PDRIVER_OBJECT, _: PUNICODE_STRING) -> NTSTATUS {
    support::driver::object(driver).DriverUnload = Some(unload);
    STATUS_SUCCESS
}

unsafe extern "win64" fn unload(_: PDRIVER_OBJECT) {
    let never = event();
    join(start_system_thread(|| {
        wait(never.object(), None);
    }));
}

#[test]
fn an_unload_routine_that_waits_for_a_thread_that_waits_for_good() {
    let report = expect_bug_check_with(config(), || {
        // SAFETY: Both routines are of the types that the kernel calls them by.
        let driver = unsafe { Kernel::get().load_in_process("waits", driver_entry) };
        let stopped = driver.expect("it loads").unload();
        assert!(matches!(stopped, Err(Stop::BugCheck(_))));
        // The kernel is dead: the test ends with the report.
        nt!(KeGetCurrentIrql());
    });
    assert_eq!(report.code, bugcheck::MANUALLY_INITIATED_CRASH);
    assert_eq!(report.thread.waits_for[0].kind, "thread");
    assert_eq!(report.others[0].waits_for[0].kind, "event");
}

#[test]
fn calls_that_wait_for_each_other_while_the_program_stands_by() {
    let report = expect_bug_check_with(config(), || {
        let event = event();
        let kernel = Kernel::get();
        let turns = [kernel.turn(), kernel.turn()];
        thread::scope(|scope| {
            let callers = turns.map(|turn| {
                let event = &event;
                scope.spawn(move || {
                    turn.begin();
                    assert!(matches!(call(event), Err(Stop::BugCheck(_))));
                })
            });
            for caller in callers {
                let _ = kernel.stand_by(|| caller.join());
            }
        });
        nt!(KeGetCurrentIrql());
    });
    assert_eq!(report.code, bugcheck::MANUALLY_INITIATED_CRASH);
    assert_eq!(report.others.len(), 1, "{report}");
}

/// Sets a periodic timer that nobody waits for and that calls nothing.
fn tick() {
    let timer = Box::leak(Box::new(Object::<KTIMER>::default()));
    nt!(KeInitializeTimer(timer.get()));
    let due = LARGE_INTEGER { QuadPart: MS };
    nt!(KeSetTimerEx(timer.get(), due, 1, ptr::null_mut()));
}

#[test]
fn a_timer_that_does_nothing_is_no_hope() {
    let report = expect_bug_check_with(config(), || {
        tick();
        assert!(matches!(call(&event()), Err(Stop::BugCheck(_))));
        nt!(KeGetCurrentIrql());
    });
    assert_eq!(report.code, bugcheck::MANUALLY_INITIATED_CRASH);
}

/// Whether [`keep`] has its request.
static KEPT: AtomicBool = AtomicBool::new(false);

/// Keeps the request, which cannot be cancelled, for good.
unsafe extern "win64" fn keep(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    support::driver::mark_pending(irp);
    KEPT.store(true, Ordering::Relaxed);
    STATUS_PENDING
}

#[test]
fn closing_a_file_with_a_request_that_nobody_completes() {
    let report = expect_bug_check_with(config(), || {
        let (_driver, file) = support::driver::load("keeps", keep).expect("it loads");
        let turn = Kernel::get().turn();
        thread::scope(|scope| {
            scope.spawn(|| {
                turn.begin();
                let sent = file.ioctl(support::driver::code(METHOD_BUFFERED), &[], &mut []);
                assert!(matches!(sent, Err(Stop::BugCheck(_))));
            });
            while !KEPT.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            assert!(matches!(file.close(), Err(Stop::BugCheck(_))));
        });
        nt!(KeGetCurrentIrql());
    });
    assert_eq!(report.code, bugcheck::MANUALLY_INITIATED_CRASH);
    assert_eq!(report.thread.waits_for.len(), 1, "the request: {report}");
}

/// Long enough for a hang to be found.
const LONG: Duration = Duration::from_millis(700);

/// A work item that takes its time.
unsafe extern "win64" fn work(context: PVOID) {
    thread::sleep(LONG);
    // SAFETY: The context is the event below, which is alive until it is set.
    set(unsafe { &*context.cast::<Object<KEVENT>>() });
}

#[test]
fn who_may_still_be_helped_hangs_not() {
    Kernel::boot(config()).expect("nothing has run yet");
    let timer = Object::<KTIMER>::default();
    nt!(KeInitializeTimerEx(timer.get(), 0));
    let due = LARGE_INTEGER { QuadPart: 700 * MS };
    nt!(KeSetTimer(timer.get(), due, ptr::null_mut()));
    let waited = Kernel::get().run(|| wait(timer.object(), None));
    assert!(matches!(waited, Ok(STATUS_SUCCESS)), "by a timer");

    let done = event();
    // SAFETY: A work item of which ExInitializeWorkItem fills in what counts.
    let mut item: WORK_QUEUE_ITEM = unsafe { core::mem::zeroed() };
    item.WorkerRoutine = Some(work);
    item.Parameter = (&raw const done).cast_mut().cast();
    nt!(ExQueueWorkItem(
        &raw mut item,
        _WORK_QUEUE_TYPE::DelayedWorkQueue
    ));
    assert!(matches!(call(&done), Ok(STATUS_SUCCESS)), "by a work item");

    let begun = Instant::now();
    thread::scope(|scope| {
        let caller = scope.spawn(|| call(&done));
        while begun.elapsed() < LONG {
            thread::sleep(LONG / 10);
        }
        set(&done);
        let status = caller.join().expect("no panic");
        assert!(matches!(status, Ok(STATUS_SUCCESS)), "by another call");
    });
}
