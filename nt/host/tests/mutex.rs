//! `KMUTEX`: ownership, recursion, APCs, and what each misuse ends in.
#![cfg(not(windows))]

mod support;

use std::thread;

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

type Mutex = Object<KMUTEX>;

fn mutex() -> Mutex {
    let mutex = Mutex::default();
    nt!(KeInitializeMutex(mutex.get(), 0));
    mutex
}

fn state(mutex: &Mutex) -> LONG {
    nt!(KeReadStateMutex(mutex.get()))
}

fn release(mutex: &Mutex) -> LONG {
    nt!(KeReleaseMutex(mutex.get(), FALSE))
}

#[test]
fn the_state_counts_down_with_each_acquisition_and_release_returns_it() {
    let mutex = mutex();
    assert_eq!(state(&mutex), 1);
    for depth in 0..3 {
        assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
        assert_eq!(state(&mutex), -depth);
    }
    assert_eq!(mutex.read().OwnerThread, nt!(KeGetCurrentThread()));
    assert_eq!(
        (release(&mutex), release(&mutex), release(&mutex)),
        (-2, -1, 0)
    );
    assert_eq!(state(&mutex), 1);
    assert!(mutex.read().OwnerThread.is_null());
}

#[test]
fn its_level_is_reserved_and_makes_no_order() {
    let (low, high) = (Mutex::default(), Mutex::default());
    nt!(KeInitializeMutex(low.get(), 1));
    nt!(KeInitializeMutex(high.get(), 123));
    for mutex in [&high, &low] {
        assert_eq!(state(mutex), 1);
        assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
    }
    assert_eq!((release(&high), release(&low)), (0, 0));
}

#[test]
fn owning_it_turns_normal_apcs_off_once_at_any_depth() {
    let mutex = mutex();
    assert_eq!(nt!(KeAreApcsDisabled()), FALSE);
    wait(mutex.object(), None);
    wait(mutex.object(), None);
    let thread = nt!(KeGetCurrentThread());
    // SAFETY: The running thread's object is there.
    let count = unsafe { (*thread).KernelApcDisable };
    assert_eq!(count, -1);
    assert_eq!(
        (nt!(KeAreApcsDisabled()), nt!(KeAreAllApcsDisabled())),
        (TRUE, FALSE)
    );
    release(&mutex);
    assert_eq!(nt!(KeAreApcsDisabled()), TRUE);
    release(&mutex);
    assert_eq!((nt!(KeAreApcsDisabled()), irql()), (FALSE, PASSIVE));
}

#[test]
fn others_time_out_while_it_is_owned() {
    let mutex = mutex();
    wait(mutex.object(), None);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(wait(mutex.object(), Some(0)), STATUS_TIMEOUT);
            assert_eq!(wait(mutex.object(), Some(MS)), STATUS_TIMEOUT);
        });
    });
    release(&mutex);
}

#[test]
fn a_waiter_owns_it_as_soon_as_it_is_released() {
    let mutex = mutex();
    wait(mutex.object(), None);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
            assert_eq!(nt!(KeAreApcsDisabled()), TRUE);
            sleep(50);
            assert_eq!(release(&mutex), 0);
            assert_eq!(nt!(KeAreApcsDisabled()), FALSE);
        });
        sleep(50);
        assert_eq!(release(&mutex), 0);
        assert_eq!(
            wait(mutex.object(), Some(0)),
            STATUS_TIMEOUT,
            "it went to the waiter"
        );
        waiter.join().expect("no panic");
    });
}

#[test]
fn many_threads_exclude_each_other() {
    let (mutex, counter) = (mutex(), Object::new(0));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
                    counter.write(counter.read() + 1);
                    release(&mutex);
                }
            });
        }
    });
    assert_eq!(counter.read(), 16 * 500);
}

#[test]
fn it_can_be_tried_for_and_released_at_dispatch_level() {
    let mutex = mutex();
    let old = raise(DISPATCH);
    assert_eq!(wait(mutex.object(), Some(0)), STATUS_SUCCESS);
    assert_eq!(release(&mutex), 0);
    lower(old);
}

#[test]
fn releasing_with_wait_is_followed_by_a_wait() {
    let (first, second) = (mutex(), mutex());
    wait(first.object(), None);
    assert_eq!(nt!(KeReleaseMutex(first.get(), TRUE)), 0);
    assert_eq!(irql(), DISPATCH, "the IRQL stays raised until the wait");
    assert_eq!(wait(second.object(), None), STATUS_SUCCESS);
    assert_eq!(irql(), PASSIVE);
    release(&second);
}

#[test]
fn releasing_with_wait_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        raise(DISPATCH);
        wait(mutex.object(), Some(0));
        nt!(KeReleaseMutex(mutex.get(), TRUE));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x20011));
}

/// 0x1E with the status that was raised and that nobody handled.
fn unhandled(status: NTSTATUS) -> (u32, u64) {
    (
        bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
        i64::from(status).cast_unsigned(),
    )
}

#[test]
fn releasing_one_that_is_free() {
    let report = expect_bug_check(|| {
        release(&mutex());
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        unhandled(STATUS_MUTANT_NOT_OWNED)
    );
}

#[test]
fn releasing_one_that_another_thread_owns() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        wait(mutex.object(), None);
        on_system_thread(|| {
            release(&mutex);
        });
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        unhandled(STATUS_MUTANT_NOT_OWNED)
    );
}

#[test]
fn acquisitions_on_both_sides_of_dispatch_level_are_released_on_theirs() {
    let mutex = mutex();
    wait(mutex.object(), None);
    let old = raise(DISPATCH);
    assert_eq!(wait(mutex.object(), Some(0)), STATUS_SUCCESS);
    assert_eq!(wait(mutex.object(), Some(0)), STATUS_SUCCESS);
    assert_eq!((release(&mutex), release(&mutex)), (-2, -1));
    lower(old);
    assert_eq!(release(&mutex), 0);
}

/// One acquired at `DISPATCH_LEVEL` is released there, and one acquired below is released below.
#[test]
fn releasing_one_on_the_other_side_of_dispatch_level() {
    let below = expect_bug_check(|| {
        let mutex = mutex();
        let old = raise(DISPATCH);
        wait(mutex.object(), Some(0));
        lower(old);
        release(&mutex);
    });
    let above = expect_bug_check(|| {
        let mutex = mutex();
        wait(mutex.object(), None);
        raise(DISPATCH);
        release(&mutex);
    });
    for report in [below, above] {
        assert_eq!(
            (report.code, report.parameters[0]),
            unhandled(STATUS_MUTANT_NOT_OWNED)
        );
        assert_eq!(report.function, "KeReleaseMutex");
    }
}

#[test]
fn acquiring_it_more_often_than_it_can_count() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        wait(mutex.object(), None);
        let mut deep = mutex.read();
        deep.Header.SignalState = LONG::MIN;
        mutex.write(deep);
        wait(mutex.object(), None);
    });
    assert_eq!(
        (report.code, report.parameters[0]),
        unhandled(STATUS_MUTANT_LIMIT_EXCEEDED)
    );
}

#[test]
fn freeing_its_memory_while_it_is_owned() {
    let report = expect_bug_check(|| {
        let memory = nt!(ExAllocatePool2(
            POOL_FLAG_NON_PAGED,
            0x38,
            u32::from_le_bytes(*b"test")
        ));
        nt!(KeInitializeMutex(memory.cast(), 0));
        wait(memory, None);
        nt!(ExFreePool(memory));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x100B));
    assert_eq!(report.parameters[2], report.thread.address);
}
