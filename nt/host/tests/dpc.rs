//! `KDPC`: where and when DPCs run, and what they must not do.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

/// What the tests' DPCs do: they call the closure that is their context.
unsafe extern "win64" fn call<F: Fn()>(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: `dpc` was given the address of a closure that outlives the DPC.
    let body = unsafe { &*context.cast::<F>() };
    body();
}

fn dpc<F: Fn() + Sync>(body: &F) -> Object<KDPC> {
    let dpc = Object::default();
    let context = core::ptr::from_ref(body).cast_mut().cast();
    nt!(KeInitializeDpc(dpc.get(), Some(call::<F>), context));
    dpc
}

fn queue(dpc: &Object<KDPC>) -> BOOLEAN {
    nt!(KeInsertQueueDpc(
        dpc.get(),
        core::ptr::null_mut(),
        core::ptr::null_mut()
    ))
}

fn flush() {
    nt!(KeFlushQueuedDpcs());
}

fn processor() -> ULONG {
    nt!(KeGetCurrentProcessorNumberEx(core::ptr::null_mut()))
}

#[test]
fn below_dispatch_level_it_runs_before_the_call_returns() {
    let seen = AtomicU32::new(u32::MAX);
    let body = || seen.store(irql().into(), Ordering::Relaxed);
    let dpc = dpc(&body);
    nt!(KeSetSystemAffinityThread(1 << 1));
    assert_eq!(queue(&dpc), TRUE);
    flush();
    assert_eq!(seen.load(Ordering::Relaxed), DISPATCH_LEVEL);
    assert_eq!(irql(), PASSIVE);
}

#[test]
fn at_dispatch_level_it_waits_until_the_irql_falls() {
    let count = AtomicU32::new(0);
    let body = || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let dpc = dpc(&body);
    let old = raise(DISPATCH);
    assert_eq!(
        (queue(&dpc), queue(&dpc)),
        (TRUE, FALSE),
        "it is queued once"
    );
    assert_eq!(count.load(Ordering::Relaxed), 0);
    lower(old);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn it_gets_its_context_and_the_arguments_that_it_was_queued_with() {
    type Seen = ([usize; 3], bool);
    unsafe extern "win64" fn record(dpc: *mut KDPC, context: PVOID, one: PVOID, two: PVOID) {
        let place: *mut (Seen, *mut KDPC) = context.cast();
        let arguments = [context.addr(), one.addr(), two.addr()];
        // SAFETY: The context is that of the test below, which reads it when the DPC has run.
        let seen = unsafe { &mut *place };
        seen.0 = (arguments, dpc == seen.1);
    }
    let dpc = Object::<KDPC>::default();
    let seen = Object::new((([0; 3], false), dpc.get()));
    nt!(KeInitializeDpc(dpc.get(), Some(record), seen.object()));
    let queue = |one, two| {
        let [one, two] = [one, two].map(core::ptr::without_provenance_mut);
        nt!(KeInsertQueueDpc(dpc.get(), one, two))
    };
    let old = raise(DISPATCH);
    assert_eq!((queue(1, 2), queue(3, 4)), (TRUE, FALSE));
    lower(old);
    let expected = ([seen.get().addr(), 1, 2], true);
    assert_eq!(seen.read().0, expected, "those of the call that queued it");
}

#[test]
fn it_can_be_taken_back_until_it_runs() {
    let count = AtomicU32::new(0);
    let body = || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let dpc = dpc(&body);
    let old = raise(DISPATCH);
    queue(&dpc);
    let removed = (
        nt!(KeRemoveQueueDpc(dpc.get())),
        nt!(KeRemoveQueueDpc(dpc.get())),
    );
    lower(old);
    assert_eq!((removed, count.into_inner()), ((TRUE, FALSE), 0));
}

#[test]
fn it_runs_on_its_target_processor() {
    let processors = nt!(KeQueryActiveProcessorCount(core::ptr::null_mut()));
    for target in 0..processors {
        let seen = AtomicU32::new(u32::MAX);
        let body = || seen.store(processor(), Ordering::Relaxed);
        let dpc = dpc(&body);
        nt!(KeSetTargetProcessorDpc(
            dpc.get(),
            target.try_into().expect("a small number")
        ));
        queue(&dpc);
        flush();
        assert_eq!(seen.load(Ordering::Relaxed), target);
    }
}

#[test]
fn one_of_high_importance_goes_first() {
    let order = Object::new(Vec::new());
    let push = |n| {
        // SAFETY: Both DPCs run one after the other on one processor.
        unsafe { &mut *order.get() }.push(n);
    };
    let (medium, high) = (|| push(1), || push(2));
    let (first, second) = (dpc(&medium), dpc(&high));
    nt!(KeSetImportanceDpc(
        second.get(),
        _KDPC_IMPORTANCE::HighImportance
    ));
    let old = raise(DISPATCH);
    queue(&first);
    queue(&second);
    lower(old);
    // SAFETY: Both have run.
    assert_eq!(unsafe { &*order.get() }, &[2, 1]);
}

#[test]
fn it_may_queue_itself_again() {
    let count = AtomicU32::new(0);
    let own = Object::<KDPC>::default();
    let body = || {
        if count.fetch_add(1, Ordering::Relaxed) < 99 {
            assert_eq!(queue(&own), TRUE);
        }
    };
    let context = core::ptr::from_ref(&body).cast_mut().cast();
    own.write(dpc(&body).read());
    nt!(KeInitializeDpc(
        own.get(),
        own.read().DeferredRoutine,
        context
    ));
    queue(&own);
    while count.load(Ordering::Relaxed) < 100 {
        flush();
    }
    assert_eq!(count.load(Ordering::Relaxed), 100);
}

#[test]
fn nothing_else_runs_at_dispatch_level_on_its_processor() {
    let inside: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
    let section = || {
        let here = &inside[processor() as usize];
        assert_eq!(
            here.fetch_add(1, Ordering::Relaxed),
            0,
            "alone at DISPATCH_LEVEL"
        );
        nt!(KeStallExecutionProcessor(2));
        here.fetch_sub(1, Ordering::Relaxed);
    };
    let dpcs: Vec<_> = (0..8).map(|_| dpc(&section)).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for dpc in dpcs.iter().cycle().take(500) {
                    queue(dpc);
                    let old = raise(DISPATCH);
                    section();
                    lower(old);
                }
            });
        }
    });
    flush();
}

#[test]
fn flushing_waits_for_all_that_are_queued() {
    let count = AtomicU32::new(0);
    let body = || {
        nt!(KeStallExecutionProcessor(200));
        count.fetch_add(1, Ordering::Relaxed);
    };
    let dpcs: Vec<_> = (0..32).map(|_| dpc(&body)).collect();
    for (n, dpc) in (0..4).cycle().zip(&dpcs) {
        nt!(KeSetTargetProcessorDpc(dpc.get(), n));
        queue(dpc);
    }
    flush();
    assert_eq!(count.load(Ordering::Relaxed), 32);
}

#[test]
fn waiting_in_one() {
    let report = expect_bug_check(|| {
        let event = Object::<KEVENT>::default();
        nt!(KeInitializeEvent(event.get(), 0, FALSE));
        let body = || {
            wait(event.object(), Some(MS));
        };
        queue(&dpc(&body));
        flush();
    });
    assert_eq!(report.code, bugcheck::ATTEMPTED_SWITCH_FROM_DPC);
    assert_eq!(report.function, "KeWaitForSingleObject");
    assert_ne!(report.thread.dpc, 0);
}

#[test]
fn returning_at_another_irql() {
    let report = expect_bug_check(|| {
        let body = || {
            raise(HIGH);
        };
        queue(&dpc(&body));
        flush();
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::IRQL_UNEXPECTED_VALUE, 0xF_02_02)
    );
}

#[test]
fn lowering_below_dispatch_level() {
    let report = expect_bug_check(|| {
        let body = || lower(PASSIVE);
        queue(&dpc(&body));
        flush();
    });
    assert_eq!(
        (report.code, report.parameters),
        (VERIFIER, [0x31, 2, 0, 1])
    );
}

#[test]
fn returning_with_a_spin_lock() {
    let report = expect_bug_check(|| {
        let lock = Object::new(0);
        let body = || nt!(KeAcquireSpinLockAtDpcLevel(lock.get()));
        queue(&dpc(&body));
        flush();
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x40009));
}

#[test]
fn changing_the_apc_disable_count() {
    let report = expect_bug_check(|| {
        let mutex = Object::<KMUTEX>::default();
        nt!(KeInitializeMutex(mutex.get(), 0));
        let body = || {
            wait(mutex.object(), Some(0));
        };
        queue(&dpc(&body));
        flush();
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::TIMER_OR_DPC_INVALID, 4)
    );
}

#[test]
fn flushing_above_passive_level() {
    let report = expect_bug_check(|| {
        raise(APC);
        flush();
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0xE5, 1][..])
    );
}

#[test]
fn a_processor_that_there_is_not() {
    let report = expect_bug_check(|| {
        nt!(KeSetTargetProcessorDpc(dpc(&|| ()).get(), 64));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::TIMER_OR_DPC_INVALID, 3)
    );
    let number = Object::new(PROCESSOR_NUMBER {
        Group: 1,
        Number: 0,
        Reserved: 0,
    });
    let status = nt!(KeSetTargetProcessorDpcEx(dpc(&|| ()).get(), number.get()));
    assert_eq!(status, STATUS_INVALID_PARAMETER);
}

#[test]
fn freeing_one_that_is_queued() {
    let report = expect_bug_check(|| {
        let memory = nt!(ExAllocatePool2(
            POOL_FLAG_NON_PAGED,
            0x40,
            u32::from_le_bytes(*b"test")
        ));
        let body = || ();
        nt!(KeInitializeDpc(
            memory.cast(),
            dpc(&body).read().DeferredRoutine,
            memory
        ));
        raise(DISPATCH);
        nt!(KeInsertQueueDpc(memory.cast(), memory, memory));
        nt!(ExFreePool(memory));
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::TIMER_OR_DPC_INVALID, 1)
    );
}
