//! Locks without the rules for them: what a kernel without Driver Verifier takes no notice of, and what it stops for.
#![cfg(not(windows))]

mod support;

use std::thread;

use nthost::{Config, Rules, ntddk::*, testing::expect_bug_checks};
use support::*;

fn config() -> Config {
    Config {
        rules: Rules::DEFAULT - Rules::LOCKS - Rules::THREADS,
        ..Config::default()
    }
}

fn boot() {
    nthost::boot(config()).expect("each test here asks for the same");
}

fn acquire(lock: &Object<KSPIN_LOCK>) -> KIRQL {
    nt!(KeAcquireSpinLockRaiseToDpc(lock.get()))
}

fn fast_mutex() -> Object<FAST_MUTEX> {
    let mutex = Object::default();
    nt!(KeInitializeGuardedMutex(mutex.get()));
    mutex
}

fn spin_lock_twice() {
    let lock = Object::new(0);
    acquire(&lock);
    acquire(&lock);
}

fn shared_spin_lock_twice() {
    let lock = Object::new(0);
    nt!(ExAcquireSpinLockExclusive(lock.get()));
    nt!(ExAcquireSpinLockExclusive(lock.get()));
}

fn spin_lock_that_is_free() {
    raise(DISPATCH);
    nt!(KeReleaseSpinLock(Object::new(0).get(), PASSIVE));
}

fn spin_lock_of_another_thread() {
    let lock = Object::new(0);
    on_system_thread(|| {
        acquire(&lock);
        lower(PASSIVE);
    });
    raise(DISPATCH);
    nt!(KeReleaseSpinLock(lock.get(), PASSIVE));
}

fn fast_mutex_twice() {
    let mutex = fast_mutex();
    nt!(ExAcquireFastMutex(mutex.get()));
    nt!(ExAcquireFastMutex(mutex.get()));
}

fn fast_mutex_that_is_free() {
    let mutex = fast_mutex();
    raise(APC);
    nt!(ExReleaseFastMutex(mutex.get()));
}

#[test]
fn what_the_kernel_stops_for_all_the_same() {
    let cases: [(fn(), u32); 6] = [
        (spin_lock_twice, bugcheck::SPIN_LOCK_ALREADY_OWNED),
        (shared_spin_lock_twice, bugcheck::SPIN_LOCK_ALREADY_OWNED),
        (spin_lock_that_is_free, bugcheck::SPIN_LOCK_NOT_OWNED),
        (spin_lock_of_another_thread, bugcheck::SPIN_LOCK_NOT_OWNED),
        (fast_mutex_twice, bugcheck::MUTEX_ALREADY_OWNED),
        (fast_mutex_that_is_free, bugcheck::THREAD_NOT_MUTEX_OWNER),
    ];
    let reports = expect_bug_checks(config(), &cases, |(body, _)| body());
    let codes = reports.iter().map(|report| report.code);
    assert!(codes.eq(cases.iter().map(|case| case.1)), "{reports:#?}");
    let me = |at: usize| reports[at].thread.address;
    assert_eq!(reports[0].parameters, [0; 4], "it has none");
    assert_eq!(reports[4].parameters[1], me(4));
    assert_eq!(reports[5].parameters[0], me(5));
}

#[test]
fn releasing_out_of_order() {
    boot();
    let (outer, inner) = (Object::new(0), Object::new(0));
    let old = acquire(&outer);
    nt!(KeAcquireSpinLockAtDpcLevel(inner.get()));
    nt!(KeReleaseSpinLock(outer.get(), old));
    assert_eq!((irql(), outer.read()), (PASSIVE, 0));
    raise(DISPATCH);
    nt!(KeReleaseSpinLock(inner.get(), PASSIVE));
    assert_eq!(inner.read(), 0);
}

fn allocate() -> PVOID {
    let tag = u32::from_le_bytes(*b"test");
    nt!(ExAllocatePool2(POOL_FLAG_NON_PAGED, 0x40, tag))
}

#[test]
fn initialising_again_and_freeing_what_is_held() {
    boot();
    let memory = allocate();
    nt!(KeInitializeMutex(memory.cast(), 0));
    nt!(KeInitializeMutex(memory.cast(), 0));
    assert_eq!(nt!(KeReadStateMutex(memory.cast())), 1);
    nt!(ExFreePool(memory));
    let memory = allocate();
    let old = nt!(KeAcquireSpinLockRaiseToDpc(memory.cast()));
    nt!(KeInitializeSpinLock(memory.cast()));
    assert_eq!(nt!(KeTestSpinLock(memory.cast())), TRUE, "it is free");
    nt!(ExFreePool(memory));
    lower(old);
}

#[test]
fn deleting_a_resource_that_is_owned() {
    boot();
    let resource = Object::<ERESOURCE>::default();
    nt!(ExInitializeResourceLite(resource.get()));
    nt!(KeEnterCriticalRegion());
    nt!(ExAcquireResourceSharedLite(resource.get(), TRUE));
    assert_eq!(nt!(ExDeleteResourceLite(resource.get())), STATUS_SUCCESS);
    nt!(KeLeaveCriticalRegion());
}

#[test]
fn a_mutex_whose_owner_ends_is_abandoned() {
    boot();
    let mutex = Object::<KMUTEX>::default();
    nt!(KeInitializeMutex(mutex.get(), 0));
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
            assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
        });
    });
    // The scope waits for the closure, not for what the thread does when it ends.
    while nt!(KeReadStateMutex(mutex.get())) != 1 {
        thread::yield_now();
    }
    assert_eq!(wait(mutex.object(), None), STATUS_ABANDONED_WAIT_0);
    assert_eq!(nt!(KeReleaseMutex(mutex.get(), FALSE)), 0);
    assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS, "once is enough");
    assert_eq!(nt!(KeReleaseMutex(mutex.get(), FALSE)), 0);
}
