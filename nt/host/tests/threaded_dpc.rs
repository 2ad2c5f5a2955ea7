//! Threaded DPCs where they are turned on, as they are unless an administrator has turned them off.
#![cfg(not(windows))]

mod support;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

unsafe extern "win64" fn call<F: Fn()>(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: `dpc` was given the address of a closure that outlives the DPC.
    let body = unsafe { &*context.cast::<F>() };
    body();
}

fn dpc<F: Fn() + Sync>(body: &F) -> Object<KDPC> {
    let dpc = Object::default();
    let context = core::ptr::from_ref(body).cast_mut().cast();
    nt!(KeInitializeThreadedDpc(dpc.get(), Some(call::<F>), context));
    dpc
}

fn queue(dpc: &Object<KDPC>) -> BOOLEAN {
    let none = core::ptr::null_mut();
    nt!(KeInsertQueueDpc(dpc.get(), none, none))
}

/// Runs `body` as a threaded DPC, to its end.
fn run<F: Fn() + Sync>(body: F) {
    let dpc = dpc(&body);
    assert_eq!(queue(&dpc), TRUE);
    nt!(KeFlushQueuedDpcs());
}

#[test]
fn it_runs_at_passive_level_on_a_thread_of_its_processor() {
    let seen = AtomicU32::new(u32::MAX);
    let processor = AtomicU32::new(u32::MAX);
    let priority = AtomicU32::new(0);
    let body = || {
        seen.store(irql().into(), Relaxed);
        let number = nt!(KeGetCurrentProcessorNumberEx(core::ptr::null_mut()));
        processor.store(number, Relaxed);
        let thread = nt!(KeGetCurrentThread());
        let now = nt!(KeQueryPriorityThread(thread));
        priority.store(now.unsigned_abs(), Relaxed);
        let old = raise(DISPATCH);
        assert_eq!(nt!(KeIsExecutingDpc()), 0);
        lower(old);
    };
    let dpc = dpc(&body);
    let mut third = PROCESSOR_NUMBER {
        Number: 2,
        ..PROCESSOR_NUMBER::default()
    };
    let status = nt!(KeSetTargetProcessorDpcEx(dpc.get(), &raw mut third));
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(queue(&dpc), TRUE);
    nt!(KeFlushQueuedDpcs());
    assert_eq!(seen.load(Relaxed), PASSIVE_LEVEL);
    assert_eq!(processor.load(Relaxed), 2);
    assert_eq!(priority.load(Relaxed), 31);
}

#[test]
fn it_runs_while_the_caller_is_at_dispatch_level() {
    let ran = AtomicU32::new(0);
    let body = || {
        ran.fetch_add(1, Relaxed);
    };
    let dpc = dpc(&body);
    let old = raise(DISPATCH);
    assert_eq!(queue(&dpc), TRUE);
    while ran.load(Relaxed) == 0 {
        core::hint::spin_loop();
    }
    lower(old);
    nt!(KeFlushQueuedDpcs());
}

#[test]
fn it_can_be_taken_back_and_is_queued_once() {
    let (blocker, ran) = (AtomicU32::new(0), AtomicU32::new(0));
    let first = || {
        blocker.store(1, Relaxed);
        while blocker.load(Relaxed) != 2 {
            std::thread::yield_now();
        }
    };
    let second = || {
        ran.fetch_add(1, Relaxed);
    };
    let (first, second) = (dpc(&first), dpc(&second));
    for dpc in [&first, &second] {
        nt!(KeSetTargetProcessorDpc(dpc.get(), 1));
    }
    queue(&first);
    while blocker.load(Relaxed) != 1 {
        std::thread::yield_now();
    }
    assert_eq!((queue(&second), queue(&second)), (TRUE, FALSE));
    assert_eq!(nt!(KeRemoveQueueDpc(second.get())), TRUE);
    assert_eq!(nt!(KeRemoveQueueDpc(second.get())), FALSE);
    blocker.store(2, Relaxed);
    nt!(KeFlushQueuedDpcs());
    assert_eq!(ran.load(Relaxed), 0);
}

#[test]
fn a_timer_queues_it() {
    let seen = AtomicU32::new(u32::MAX);
    let body = || seen.store(irql().into(), Relaxed);
    let (dpc, timer) = (dpc(&body), Object::<KTIMER>::default());
    nt!(KeInitializeTimerEx(timer.get(), 0));
    nt!(KeSetTimer(
        timer.get(),
        LARGE_INTEGER { QuadPart: MS },
        dpc.get()
    ));
    assert_eq!(wait(timer.object(), None), STATUS_SUCCESS);
    nt!(KeFlushQueuedDpcs());
    assert_eq!(seen.load(Relaxed), PASSIVE_LEVEL);
}

#[test]
fn a_spin_lock_for_either_level() {
    let lock = Object::new(0);
    run(|| {
        let old = nt!(KeAcquireSpinLockForDpc(lock.get()));
        assert_eq!((old, irql()), (PASSIVE, DISPATCH));
        nt!(KeReleaseSpinLockForDpc(lock.get(), old));
        assert_eq!(irql(), PASSIVE);
        let handle = Object::<KLOCK_QUEUE_HANDLE>::default();
        nt!(KeAcquireInStackQueuedSpinLockForDpc(
            lock.get(),
            handle.get()
        ));
        assert_eq!((handle.read().OldIrql, irql()), (PASSIVE, DISPATCH));
        nt!(KeReleaseInStackQueuedSpinLockForDpc(handle.get()));
        assert_eq!((lock.read(), irql()), (0, PASSIVE));
    });
}

#[test]
fn waiting_in_one() {
    let report = expect_bug_check(|| {
        let event = Object::<KEVENT>::default();
        nt!(KeInitializeEvent(event.get(), 0, FALSE));
        run(|| {
            wait(event.object(), None);
        });
    });
    assert_eq!(report.code, bugcheck::ATTEMPTED_SWITCH_FROM_DPC);
}

#[test]
fn returning_from_one_at_another_irql() {
    let report = expect_bug_check(|| {
        run(|| {
            raise(DISPATCH);
        });
    });
    assert_eq!(report.code, bugcheck::IRQL_UNEXPECTED_VALUE);
    assert_eq!(
        report.parameters[0] >> 8,
        0x0200,
        "DISPATCH_LEVEL in place of PASSIVE_LEVEL"
    );
}
