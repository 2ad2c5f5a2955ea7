//! APCs: what holds each kind back, and in which order they run.
#![cfg(not(windows))]

mod support;

use core::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::{apc::*, *};

/// Queues a normal and a special APC to the calling thread while `hold` holds them back in its way, and returns what
/// ran at once and what ran when `release` had undone it.
fn held_back(hold: impl FnOnce(), release: impl FnOnce()) -> (Vec<Ran>, Vec<Ran>) {
    let log = Log::default();
    let (ordinary, special) = (
        ordinary(probe(&log, "normal"), me()),
        special(probe(&log, "special"), me()),
    );
    hold();
    assert_eq!((insert(&ordinary), insert(&special)), (TRUE, TRUE));
    let at_once = log.take();
    release();
    (at_once, log.take())
}

#[test]
fn on_the_thread_that_queues_them_they_run_at_once() {
    let log = Log::default();
    assert_eq!(insert(&special(probe(&log, "special"), me())), TRUE);
    assert_eq!(log.take(), [SPECIAL]);
    assert_eq!(insert(&ordinary(probe(&log, "normal"), me())), TRUE);
    assert_eq!(log.take(), NORMAL);
    assert_eq!(irql(), PASSIVE);
}

#[test]
fn a_critical_region_holds_normal_ones_back() {
    let (at_once, later) = held_back(
        || {
            nt!(KeEnterCriticalRegion());
            nt!(KeEnterCriticalRegion());
        },
        || {
            nt!(KeLeaveCriticalRegion());
            assert_eq!(nt!(KeAreApcsDisabled()), TRUE);
            nt!(KeLeaveCriticalRegion());
        },
    );
    assert_eq!(at_once, [SPECIAL]);
    assert_eq!(later, NORMAL);
}

#[test]
fn a_guarded_region_holds_all_back() {
    let (at_once, later) = held_back(
        || nt!(KeEnterGuardedRegion()),
        || nt!(KeLeaveGuardedRegion()),
    );
    assert_eq!(at_once, []);
    assert_eq!(later, BOTH, "special ones come first");
}

#[test]
fn apc_level_and_above_hold_all_back() {
    let (at_once, later) = held_back(
        || {
            raise(APC);
        },
        || lower(PASSIVE),
    );
    assert_eq!((at_once.as_slice(), later.as_slice()), (&[][..], &BOTH[..]));
    let (at_once, later) = held_back(
        || {
            raise(DISPATCH);
        },
        || {
            lower(APC);
            nt!(KeGetCurrentIrql());
            assert_eq!(nt!(KeAreAllApcsDisabled()), TRUE);
            lower(PASSIVE);
        },
    );
    assert_eq!((at_once.as_slice(), later.as_slice()), (&[][..], &BOTH[..]));
}

#[test]
fn a_fast_mutex_holds_all_back_for_its_owner() {
    // SAFETY: What ExInitializeFastMutex writes follows.
    let mutex = Object::<FAST_MUTEX>::new(unsafe { core::mem::zeroed() });
    nt!(KeInitializeGuardedMutex(mutex.get()));
    let (at_once, later) = held_back(
        || nt!(ExAcquireFastMutex(mutex.get())),
        || nt!(ExReleaseFastMutex(mutex.get())),
    );
    assert_eq!((at_once.as_slice(), later.as_slice()), (&[][..], &BOTH[..]));
    let (at_once, later) = held_back(
        || nt!(KeAcquireGuardedMutex(mutex.get())),
        || nt!(KeReleaseGuardedMutex(mutex.get())),
    );
    assert_eq!((at_once.as_slice(), later.as_slice()), (&[][..], &BOTH[..]));
}

#[test]
fn a_mutex_holds_normal_ones_back_for_its_owner() {
    let mutex = Object::<KMUTEX>::default();
    nt!(KeInitializeMutex(mutex.get(), 0));
    let (at_once, later) = held_back(
        || {
            assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
            assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
        },
        || {
            assert_eq!(nt!(KeReleaseMutex(mutex.get(), FALSE)), -1);
            assert_eq!(nt!(KeAreApcsDisabled()), TRUE);
            assert_eq!(nt!(KeReleaseMutex(mutex.get(), FALSE)), 0);
        },
    );
    assert_eq!(at_once, [SPECIAL]);
    assert_eq!(later, NORMAL);
}

#[test]
fn a_normal_one_holds_others_back_and_special_ones_come_in_between() {
    let log = Log::default();
    let (second, within) = (
        ordinary(probe(&log, "second"), me()),
        special(probe(&log, "special"), me()),
    );
    let body = || {
        assert_eq!((insert(&second), insert(&within)), (TRUE, TRUE));
        log.add("end of first", Normal);
    };
    let first = ordinary(
        Probe {
            in_normal: Some(&body),
            ..probe(&log, "first")
        },
        me(),
    );
    insert(&first);
    assert_eq!(
        log.take(),
        [
            Ran("first", Kernel, APC),
            Ran("first", Normal, PASSIVE),
            SPECIAL,
            Ran("end of first", Normal, PASSIVE),
            Ran("second", Kernel, APC),
            Ran("second", Normal, PASSIVE),
        ]
    );
}

#[test]
fn those_of_one_kind_run_in_the_order_in_which_they_were_queued() {
    let log = Log::default();
    let apcs = ["1", "2", "3"].map(|name| ordinary(probe(&log, name), me()));
    nt!(KeEnterCriticalRegion());
    for apc in &apcs {
        insert(apc);
    }
    nt!(KeLeaveCriticalRegion());
    let names: Vec<_> = log.take().iter().map(|ran| ran.0).collect();
    assert_eq!(names, ["1", "1", "2", "2", "3", "3"]);
}

#[test]
fn one_that_is_queued_cannot_be_queued_again() {
    let log = Log::default();
    let apc = special(probe(&log, "special"), me());
    raise(APC);
    assert_eq!((insert(&apc), insert(&apc)), (TRUE, FALSE));
    lower(PASSIVE);
    assert_eq!(log.take(), [SPECIAL]);
    assert_eq!(insert(&apc), TRUE, "once it has begun to run it can");
}

#[test]
fn the_kernel_routine_decides_what_the_normal_one_gets() {
    unsafe extern "win64" fn change(
        _: *mut KAPC,
        routine: *mut PKNORMAL_ROUTINE,
        _: *mut PVOID,
        first: *mut PVOID,
        second: *mut PVOID,
    ) {
        // SAFETY: The kernel passes places that may be written.
        let second = unsafe { *second };
        // SAFETY: As above.
        unsafe { *first = second };
        if second.is_null() {
            // SAFETY: As above.
            unsafe { *routine = None };
        }
    }
    unsafe extern "win64" fn store(context: PVOID, first: PVOID, _: PVOID) {
        // SAFETY: The context is the cell below.
        let seen = unsafe { &*context.cast::<AtomicPtr<core::ffi::c_void>>() };
        seen.store(first, SeqCst);
    }
    let seen = AtomicPtr::<core::ffi::c_void>::default();
    let apc = Object::<KAPC>::new(zeroed());
    let number = |value| ptr::without_provenance_mut::<core::ffi::c_void>(value);
    nt!(KeInitializeApc(
        apc.get(),
        me(),
        0,
        Some(change),
        None,
        Some(store),
        0,
        (&raw const seen).cast_mut().cast()
    ));
    nt!(KeInsertQueueApc(apc.get(), number(1), number(2), 0));
    assert_eq!(seen.load(SeqCst), number(2));
    nt!(KeInsertQueueApc(apc.get(), number(1), ptr::null_mut(), 0));
    assert_eq!(seen.load(SeqCst), number(2), "it was taken away");
}

#[test]
fn one_that_was_never_initialised() {
    let report = expect_bug_check(|| {
        let apc = Object::new(zeroed());
        nt!(KeInsertQueueApc(
            apc.get(),
            ptr::null_mut(),
            ptr::null_mut(),
            0
        ));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1002));
}

#[test]
fn a_routine_that_returns_at_another_irql() {
    let report = expect_bug_check(|| {
        let log = Log::default();
        let body = || {
            raise(DISPATCH);
        };
        let apc = special(
            Probe {
                in_kernel: Some(&body),
                ..probe(&log, "special")
            },
            me(),
        );
        insert(&apc);
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::IRQL_UNEXPECTED_VALUE, 0x2_0100)
    );
    assert_ne!(report.parameters[1], 0, "the kernel routine");
}

#[test]
fn one_that_is_queued_can_be_taken_back() {
    let log = Log::default();
    let apcs = [
        special(probe(&log, "special"), me()),
        ordinary(probe(&log, "normal"), me()),
    ];
    let remove = |apc: &Held<'_>| nt!(KeRemoveQueueApc(apc.get().cast()));
    assert_eq!(apcs.each_ref().map(remove), [FALSE; 2], "none is queued");
    nt!(KeEnterGuardedRegion());
    assert_eq!(apcs.each_ref().map(insert), [TRUE; 2]);
    assert_eq!(
        apcs.each_ref().map(insert),
        [FALSE; 2],
        "each is queued already"
    );
    assert_eq!(apcs.each_ref().map(remove), [TRUE; 2]);
    assert_eq!(apcs.each_ref().map(remove), [FALSE; 2]);
    nt!(KeLeaveGuardedRegion());
    assert!(log.is_empty(), "nothing ran");
}

#[test]
fn freeing_one_that_is_queued() {
    let report = expect_bug_check(|| {
        let tag = u32::from_le_bytes(*b"test");
        let size = size_of::<KAPC>() as u64 + 0x10;
        let memory = nt!(ExAllocatePool2(POOL_FLAG_NON_PAGED, size, tag));
        let apc = memory.wrapping_byte_add(0x10).cast::<KAPC>();
        nt!(KeInitializeApc(
            apc,
            me(),
            _KAPC_ENVIRONMENT::OriginalApcEnvironment,
            Some(never),
            None,
            None,
            0,
            ptr::null_mut()
        ));
        nt!(KeEnterGuardedRegion());
        let null = ptr::null_mut();
        assert_eq!(nt!(KeInsertQueueApc(apc, null, null, 0)), TRUE);
        nt!(ExFreePool(memory));
    });
    let [rule, apc, thread, block] = report.parameters;
    assert_eq!((report.code, rule), (VERIFIER, 0x6E74_0002));
    assert_eq!((apc, thread), (block + 0x10, report.thread.address));
}

unsafe extern "win64" fn never(
    _: *mut KAPC,
    _: *mut PKNORMAL_ROUTINE,
    _: *mut PVOID,
    _: *mut PVOID,
    _: *mut PVOID,
) {
    panic!("it is held back");
}
