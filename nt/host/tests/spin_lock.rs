//! `KSPIN_LOCK`: what its functions do to the IRQL, that they exclude, and what each misuse ends in.
#![cfg(not(windows))]

mod support;

use std::thread;

use nthost::{bugcheck::BugCheckReport, ntddk::*, testing::expect_bug_check};
use support::*;

type Lock = Object<KSPIN_LOCK>;

fn acquire(lock: &Lock) -> KIRQL {
    nt!(KeAcquireSpinLockRaiseToDpc(lock.get()))
}

fn release(lock: &Lock, irql: KIRQL) {
    nt!(KeReleaseSpinLock(lock.get(), irql));
}

/// The addresses of the locks that the thread of a report held.
fn held(report: &BugCheckReport) -> Vec<u64> {
    report
        .thread
        .holds
        .iter()
        .map(|lock| lock.address)
        .collect()
}

#[test]
fn acquiring_raises_to_dispatch_level_and_releasing_restores() {
    let lock = Lock::default();
    for before in [PASSIVE, APC, DISPATCH] {
        let outer = raise(before);
        let old = acquire(&lock);
        assert_eq!((old, irql()), (before, DISPATCH));
        release(&lock, old);
        assert_eq!(irql(), before);
        lower(outer);
    }
    assert_eq!(lock.read(), 0, "a free lock is zero");
}

#[test]
fn at_dispatch_level_the_irql_stays() {
    let lock = Lock::default();
    let old = raise(DISPATCH);
    nt!(KeAcquireSpinLockAtDpcLevel(lock.get()));
    assert_eq!(irql(), DISPATCH);
    assert_eq!(nt!(KeTestSpinLock(lock.get())), FALSE);
    assert_eq!(nt!(KeTryToAcquireSpinLockAtDpcLevel(lock.get())), FALSE);
    nt!(KeReleaseSpinLockFromDpcLevel(lock.get()));
    assert_eq!(nt!(KeTryToAcquireSpinLockAtDpcLevel(lock.get())), TRUE);
    nt!(KeReleaseSpinLockFromDpcLevel(lock.get()));
    assert_eq!(irql(), DISPATCH);
    lower(old);
}

#[test]
fn what_was_tried_for_at_dispatch_level_is_released_by_either_function() {
    let lock = Lock::default();
    let old = raise(DISPATCH);
    assert_eq!(nt!(KeTryToAcquireSpinLockAtDpcLevel(lock.get())), TRUE);
    release(&lock, DISPATCH);
    assert_eq!((irql(), lock.read()), (DISPATCH, 0));
    assert_eq!(nt!(KeTryToAcquireSpinLockAtDpcLevel(lock.get())), TRUE);
    nt!(KeReleaseSpinLockFromDpcLevel(lock.get()));
    assert_eq!((irql(), lock.read()), (DISPATCH, 0));
    lower(old);
}

/// Its page calls that an error, since the IRQL is not restored. No rule names it; what is called next does.
#[test]
fn the_release_for_dispatch_level_leaves_what_an_acquisition_raised() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        acquire(&lock);
        nt!(KeReleaseSpinLockFromDpcLevel(lock.get()));
        assert_eq!((irql(), lock.read()), (DISPATCH, 0));
        wait(nt!(PsGetCurrentThread()).cast(), None);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x121));
}

#[test]
fn locks_may_be_released_in_any_order_at_dispatch_level() {
    let (first, second) = (Lock::default(), Lock::default());
    let old = acquire(&first);
    nt!(KeAcquireSpinLockAtDpcLevel(second.get()));
    nt!(KeReleaseSpinLockFromDpcLevel(first.get()));
    release(&second, old);
    assert_eq!(irql(), PASSIVE);
}

#[test]
fn many_threads_exclude_each_other() {
    const THREADS: u64 = 32;
    const PASSES: u64 = 2000;
    let (lock, counter) = (Lock::default(), Object::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..PASSES {
                    let old = acquire(&lock);
                    counter.write(counter.read() + 1);
                    release(&lock, old);
                }
            });
        }
    });
    assert_eq!(counter.read(), THREADS * PASSES);
}

#[test]
fn acquiring_twice_would_wait_for_itself() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        acquire(&lock);
        acquire(&lock);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1000));
    assert_eq!(report.function, "KeAcquireSpinLock");
    assert_eq!(held(&report), [report.parameters[1]]);
}

#[test]
fn releasing_a_free_lock() {
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        release(&Lock::default(), PASSIVE);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1007));
}

#[test]
fn releasing_twice_is_seen_by_the_irql() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        let old = acquire(&lock);
        release(&lock, old);
        release(&lock, old);
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x32, 0][..])
    );
    assert_eq!(report.function, "KeReleaseSpinLock");
}

#[test]
fn releasing_the_lock_of_another_thread() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                acquire(&lock);
                loop {
                    thread::park();
                }
            });
            raise(DISPATCH);
            while nt!(KeTestSpinLock(lock.get())) == TRUE {}
            release(&lock, PASSIVE);
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1004));
    assert_ne!(
        report.parameters[2], report.parameters[3],
        "the owner is not who released"
    );
    assert_eq!(report.parameters[3], report.thread.address);
}

#[test]
fn lowering_the_irql_under_a_lock_that_should_have_been_released_first() {
    let report = expect_bug_check(|| {
        let (first, second) = (Lock::default(), Lock::default());
        let old = acquire(&first);
        acquire(&second);
        release(&first, old);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1003));
    assert_eq!(held(&report), report.parameters[1..3]);
}

#[test]
fn a_lock_that_was_never_initialised() {
    let report = expect_bug_check(|| {
        acquire(&Lock::new(0x5555_5555_5555_5554));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1002));
}

#[test]
fn at_dpc_level_functions_below_dispatch_level() {
    let report = expect_bug_check(|| nt!(KeAcquireSpinLockAtDpcLevel(Lock::default().get())));
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x40, 0][..])
    );
    let report = expect_bug_check(|| nt!(KeReleaseSpinLockFromDpcLevel(Lock::default().get())));
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x41, 0][..])
    );
}

#[test]
fn acquiring_above_dispatch_level() {
    let report = expect_bug_check(|| {
        raise(CLOCK);
        acquire(&Lock::default());
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x42, 13][..])
    );
}

#[test]
fn the_irql_goes_up_by_raising_and_down_by_lowering() {
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        raise(APC);
    });
    assert_eq!(
        (report.code, &report.parameters[..3]),
        (VERIFIER, &[0x30, 2, 1][..])
    );
    let report = expect_bug_check(|| lower(APC));
    assert_eq!(
        (report.code, &report.parameters[..3]),
        (VERIFIER, &[0x31, 0, 1][..])
    );
}

#[test]
fn an_address_at_which_no_lock_can_be() {
    let report = expect_bug_check(|| {
        nt!(KeAcquireSpinLockRaiseToDpc(core::ptr::null_mut()));
    });
    assert_eq!(
        (report.code, report.parameters),
        (VERIFIER, [0xE1, 0, 0, 0])
    );
    let report = expect_bug_check(|| {
        let room = Object::new([0_u64; 2]);
        nt!(KeInitializeSpinLock(room.get().wrapping_byte_add(4).cast()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xE1));
}
