//! Fast and guarded mutexes: the IRQL, exclusion, and what each misuse ends in.
#![cfg(not(windows))]

mod support;

use std::thread;

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

type Mutex = Object<FAST_MUTEX>;

/// A mutex that is initialised by its fields, as the inline function of the WDK headers does.
fn mutex() -> Mutex {
    let mutex = Mutex::new(FAST_MUTEX {
        Count: 1,
        ..Default::default()
    });
    // SAFETY: The event is part of the mutex, which nobody uses yet.
    let event = unsafe { &raw mut (*mutex.get()).Event };
    nt!(KeInitializeEvent(
        event,
        _EVENT_TYPE::SynchronizationEvent,
        FALSE
    ));
    mutex
}

fn acquire(mutex: &Mutex) {
    nt!(ExAcquireFastMutex(mutex.get()));
}

fn release(mutex: &Mutex) {
    nt!(ExReleaseFastMutex(mutex.get()));
}

#[test]
fn acquiring_raises_to_apc_level_and_releasing_restores() {
    let mutex = mutex();
    for before in [PASSIVE, APC] {
        let outer = raise(before);
        acquire(&mutex);
        assert_eq!(irql(), APC);
        assert_eq!(mutex.read().Owner, nt!(KeGetCurrentThread()).cast());
        assert_eq!(
            (nt!(KeAreApcsDisabled()), nt!(KeAreAllApcsDisabled())),
            (FALSE, TRUE)
        );
        release(&mutex);
        assert_eq!((irql(), mutex.read().Count), (before, 1));
        lower(outer);
    }
}

#[test]
fn trying_raises_only_if_it_succeeds() {
    let mutex = mutex();
    assert_eq!(
        (nt!(ExTryToAcquireFastMutex(mutex.get())), irql()),
        (TRUE, APC)
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(
                (nt!(ExTryToAcquireFastMutex(mutex.get())), irql()),
                (FALSE, PASSIVE)
            );
        });
    });
    release(&mutex);
    assert_eq!(irql(), PASSIVE);
}

#[test]
fn the_unsafe_functions_leave_the_irql_as_it_is() {
    let mutex = mutex();
    nt!(KeEnterCriticalRegion());
    nt!(ExAcquireFastMutexUnsafe(mutex.get()));
    assert_eq!(irql(), PASSIVE);
    nt!(ExReleaseFastMutexUnsafe(mutex.get()));
    nt!(KeLeaveCriticalRegion());
    let old = raise(APC);
    nt!(ExAcquireFastMutexUnsafe(mutex.get()));
    nt!(ExReleaseFastMutexUnsafe(mutex.get()));
    assert_eq!(irql(), APC, "its level does as well as a region");
    lower(old);
    nt!(ExEnterCriticalRegionAndAcquireFastMutexUnsafe(mutex.get()));
    assert_eq!(nt!(KeAreApcsDisabled()), TRUE);
    nt!(ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(mutex.get()));
    assert_eq!(nt!(KeAreApcsDisabled()), FALSE);
}

#[test]
fn many_threads_exclude_each_other() {
    let (mutex, counter) = (mutex(), Object::new(0));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    acquire(&mutex);
                    counter.write(counter.read() + 1);
                    release(&mutex);
                }
            });
        }
    });
    assert_eq!((counter.read(), mutex.read().Count), (16_000, 1));
}

#[test]
fn a_guarded_mutex_is_a_fast_mutex() {
    let mutex = Mutex::default();
    nt!(KeInitializeGuardedMutex(mutex.get()));
    nt!(KeAcquireGuardedMutex(mutex.get()));
    assert_eq!((irql(), nt!(KeAreAllApcsDisabled())), (APC, TRUE));
    nt!(KeReleaseGuardedMutex(mutex.get()));
    assert_eq!(
        (irql(), nt!(KeTryToAcquireGuardedMutex(mutex.get()))),
        (PASSIVE, TRUE)
    );
    nt!(KeReleaseGuardedMutex(mutex.get()));
    nt!(KeEnterGuardedRegion());
    nt!(KeAcquireGuardedMutexUnsafe(mutex.get()));
    nt!(KeReleaseGuardedMutexUnsafe(mutex.get()));
    nt!(KeLeaveGuardedRegion());
}

#[test]
fn acquiring_above_apc_level() {
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        acquire(&mutex());
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x33, 2][..])
    );
}

#[test]
fn releasing_at_another_irql() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        acquire(&mutex);
        lower(PASSIVE);
        release(&mutex);
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x34, 0][..])
    );
}

#[test]
fn acquiring_twice() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        acquire(&mutex);
        acquire(&mutex);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1000));
}

#[test]
fn releasing_what_is_free_or_held_by_another_thread() {
    let report = expect_bug_check(|| {
        raise(APC);
        release(&mutex());
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1007));
    let report = expect_bug_check(|| {
        let mutex = mutex();
        nt!(ExEnterCriticalRegionAndAcquireFastMutexUnsafe(mutex.get()));
        on_system_thread(|| {
            raise(APC);
            release(&mutex);
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1004));
    assert_eq!(report.parameters[3], report.thread.address);
}

#[test]
fn releasing_the_outer_one_lowers_the_irql_under_the_inner_one() {
    let report = expect_bug_check(|| {
        let (outer, inner) = (mutex(), mutex());
        acquire(&outer);
        acquire(&inner);
        release(&outer);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1003));
    let held: Vec<_> = report.thread.holds.iter().map(|it| it.address).collect();
    assert_eq!(held, report.parameters[1..3]);
}

#[test]
fn at_apc_level_those_inside_may_be_released_in_any_order() {
    let (first, second) = (mutex(), mutex());
    let old = raise(APC);
    acquire(&first);
    acquire(&second);
    release(&first);
    release(&second);
    assert_eq!((irql(), second.read().Count), (APC, 1));
    lower(old);
}

#[test]
fn the_unsafe_functions_with_apcs_on() {
    let report = expect_bug_check(|| nt!(ExAcquireFastMutexUnsafe(mutex().get())));
    assert_eq!(
        (report.code, &report.parameters[..3]),
        (VERIFIER, &[0x39, 0, 0][..])
    );
    let report = expect_bug_check(|| {
        let mutex = mutex();
        nt!(ExEnterCriticalRegionAndAcquireFastMutexUnsafe(mutex.get()));
        nt!(KeLeaveCriticalRegion());
        nt!(ExReleaseFastMutexUnsafe(mutex.get()));
    });
    assert_eq!(
        (report.code, &report.parameters[..3]),
        (VERIFIER, &[0x3A, 0, 0][..])
    );
}

#[test]
fn pairing_functions_that_do_not_belong_together() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        acquire(&mutex);
        nt!(ExReleaseFastMutexUnsafe(mutex.get()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1009));
}

#[test]
fn one_that_was_never_initialised() {
    let report = expect_bug_check(|| acquire(&Mutex::default()));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1002));
}

#[test]
fn ending_with_one() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        on_system_thread(|| acquire(&mutex));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x100A));
}
