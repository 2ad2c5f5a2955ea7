//! Locks without the rules for them: what a kernel without Driver Verifier takes no notice of, and what it stops for.
#![cfg(not(windows))]

mod support;

use std::thread;

use nthost::{
    Config, Rules,
    ntddk::*,
    testing::{expect_bug_check_with, expect_bug_checks},
};
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

fn spin_lock_twice_in_two_ways() {
    let (lock, handle) = (Object::new(0), Object::<KLOCK_QUEUE_HANDLE>::default());
    nt!(KeAcquireInStackQueuedSpinLock(lock.get(), handle.get()));
    acquire(&lock);
}

fn interlocked_list_under_its_lock() {
    let (lock, entries) = (Object::new(0), Object::<[LIST_ENTRY; 2]>::default());
    acquire(&lock);
    let [head, entry] = [
        entries.get().cast(),
        entries.get().cast::<LIST_ENTRY>().wrapping_add(1),
    ];
    nt!(ExInterlockedInsertTailList(head, entry, lock.get()));
}

fn spin_lock_released_as_another_kind() {
    let (lock, handle) = (Object::new(0), Object::<KLOCK_QUEUE_HANDLE>::default());
    nt!(KeAcquireInStackQueuedSpinLock(lock.get(), handle.get()));
    nt!(KeReleaseSpinLock(lock.get(), PASSIVE));
}

fn shared_spin_lock_released_the_other_way() {
    let lock = Object::new(0);
    nt!(ExAcquireSpinLockShared(lock.get()));
    nt!(ExReleaseSpinLockExclusive(lock.get(), PASSIVE));
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
    let cases: [(fn(), u32); 10] = [
        (spin_lock_twice, bugcheck::SPIN_LOCK_ALREADY_OWNED),
        (shared_spin_lock_twice, bugcheck::SPIN_LOCK_ALREADY_OWNED),
        (spin_lock_that_is_free, bugcheck::SPIN_LOCK_NOT_OWNED),
        (spin_lock_of_another_thread, bugcheck::SPIN_LOCK_NOT_OWNED),
        (fast_mutex_twice, bugcheck::MUTEX_ALREADY_OWNED),
        (fast_mutex_that_is_free, bugcheck::THREAD_NOT_MUTEX_OWNER),
        (
            spin_lock_twice_in_two_ways,
            bugcheck::SPIN_LOCK_ALREADY_OWNED,
        ),
        (
            interlocked_list_under_its_lock,
            bugcheck::SPIN_LOCK_ALREADY_OWNED,
        ),
        (
            spin_lock_released_as_another_kind,
            bugcheck::SPIN_LOCK_NOT_OWNED,
        ),
        (
            shared_spin_lock_released_the_other_way,
            bugcheck::SPIN_LOCK_NOT_OWNED,
        ),
    ];
    let reports = expect_bug_checks(config(), &cases, |(body, _)| body());
    let codes = reports.iter().map(|report| report.code);
    assert!(codes.eq(cases.iter().map(|case| case.1)), "{reports:#?}");
    let me = |at: usize| reports[at].thread.address;
    assert_eq!(reports[0].parameters, [0; 4], "it has none");
    assert_eq!(reports[4].parameters[1], me(4));
    assert_eq!(reports[5].parameters[0], me(5));
}

/// What is written to where no object was initialised: an address, and a list that begins nowhere.
const WRITTEN_AT_DISPATCH: [u64; 2] = [2, 1];

fn event_that_was_never_initialised() {
    nt!(KeSetEvent(Object::<KEVENT>::default().get(), 0, FALSE));
}

fn resource_that_was_never_initialised() {
    nt!(KeEnterCriticalRegion());
    let resource = Object::<ERESOURCE>::default();
    nt!(ExAcquireResourceExclusiveLite(resource.get(), TRUE));
}

fn resource_deleted_that_was_never_initialised() {
    nt!(ExDeleteResourceLite(Object::<ERESOURCE>::default().get()));
}

fn fast_mutex_that_was_never_initialised() {
    nt!(ExAcquireFastMutex(Object::<FAST_MUTEX>::default().get()));
}

fn rundown_released_when_it_is_over() {
    let reference = Object::<EX_RUNDOWN_REF>::default();
    nt!(ExWaitForRundownProtectionRelease(reference.get()));
    nt!(ExReleaseRundownProtection(reference.get()));
}

#[test]
fn what_was_never_initialised_is_followed() {
    let cases: [fn(); 5] = [
        event_that_was_never_initialised,
        resource_that_was_never_initialised,
        resource_deleted_that_was_never_initialised,
        fast_mutex_that_was_never_initialised,
        rundown_released_when_it_is_over,
    ];
    for report in expect_bug_checks(config(), &cases, |body| body()) {
        assert_eq!(report.code, bugcheck::IRQL_NOT_LESS_OR_EQUAL, "{report}");
        assert_eq!(report.parameters[1..3], WRITTEN_AT_DISPATCH, "{report}");
    }
}

#[test]
fn memory_of_a_timer_that_is_set() {
    let report = expect_bug_check_with(config(), || {
        let memory = allocate();
        nt!(KeInitializeTimer(memory.cast()));
        nt!(KeSetTimer(
            memory.cast(),
            LARGE_INTEGER {
                QuadPart: -1_000_000_000
            },
            std::ptr::null_mut()
        ));
        nt!(ExFreePool(memory));
    });
    let [kind, timer, start, end] = report.parameters;
    assert_eq!((report.code, kind), (bugcheck::TIMER_OR_DPC_INVALID, 0));
    assert!((start..end).contains(&timer));
}

#[test]
fn a_push_lock_waited_for_by_its_owner_is_a_deadlock() {
    let report = expect_bug_check_with(config(), || {
        let lock = Object::<EX_PUSH_LOCK>::default();
        nt!(KeEnterCriticalRegion());
        nt!(ExAcquirePushLockExclusiveEx(lock.get(), 0));
        nt!(ExAcquirePushLockExclusiveEx(lock.get(), 0));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1001));
    assert!(
        report.to_string().contains("A thread waits for itself"),
        "{report}"
    );
}

#[test]
fn a_resource_waited_for_by_one_who_shares_it_is_a_deadlock() {
    let report = expect_bug_check_with(config(), || {
        let resource = Object::<ERESOURCE>::default();
        nt!(ExInitializeResourceLite(resource.get()));
        nt!(KeEnterCriticalRegion());
        nt!(ExAcquireResourceSharedLite(resource.get(), TRUE));
        nt!(ExAcquireResourceExclusiveLite(resource.get(), TRUE));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1001));
    assert!(
        report.to_string().contains("A thread waits for itself"),
        "{report}"
    );
}

#[test]
fn locks_of_two_kinds_of_functions() {
    boot();
    let (lock, handle) = (Object::new(0), Object::<KLOCK_QUEUE_HANDLE>::default());
    let old = acquire(&lock);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            nt!(KeAcquireInStackQueuedSpinLock(lock.get(), handle.get()));
            nt!(KeReleaseInStackQueuedSpinLock(handle.get()));
        });
        sleep(20);
        assert!(!waiter.is_finished(), "it waits for the ordinary holder");
        nt!(KeReleaseSpinLock(lock.get(), old));
    });
    assert_eq!(lock.read(), 0);
    let mutex = fast_mutex();
    raise(APC);
    nt!(ExAcquireFastMutexUnsafe(mutex.get()));
    nt!(ExReleaseFastMutex(mutex.get()));
    assert_eq!(irql(), PASSIVE, "it goes to what the mutex holds");
}

#[test]
fn a_push_lock_released_by_mistake() {
    boot();
    let lock = Object::<EX_PUSH_LOCK>::default();
    nt!(KeEnterCriticalRegion());
    nt!(ExReleasePushLockSharedEx(lock.get(), 0));
    nt!(ExReleasePushLockExclusiveEx(lock.get(), 0));
    nt!(ExAcquirePushLockExclusiveEx(lock.get(), 0));
    nt!(ExReleasePushLockExclusiveEx(lock.get(), 0));
    nt!(KeLeaveCriticalRegion());
}

#[test]
fn resources_and_rundown_references_initialised_again() {
    boot();
    let memory = allocate_resource();
    nt!(ExInitializeResourceLite(memory));
    assert_eq!(nt!(ExInitializeResourceLite(memory)), STATUS_SUCCESS);
    nt!(ExFreePool(memory.cast()));
    let reference = Object::<EX_RUNDOWN_REF>::default();
    assert_eq!(nt!(ExAcquireRundownProtection(reference.get())), TRUE);
    nt!(ExReInitializeRundownProtection(reference.get()));
    nt!(ExWaitForRundownProtectionRelease(reference.get()));
    assert_eq!(nt!(ExAcquireRundownProtection(reference.get())), FALSE);
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

fn allocate_resource() -> PERESOURCE {
    let tag = u32::from_le_bytes(*b"test");
    let size = size_of::<ERESOURCE>() as u64;
    nt!(ExAllocatePool2(POOL_FLAG_NON_PAGED, size, tag)).cast()
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

/// Leaves a mutex abandoned by a thread that ends.
fn abandoned() -> Object<KMUTEX> {
    let mutex = Object::default();
    nt!(KeInitializeMutex(mutex.get(), 0));
    on_system_thread(|| {
        assert_eq!(wait(mutex.object(), None), STATUS_SUCCESS);
    });
    mutex
}

#[test]
fn one_of_several_that_is_abandoned() {
    boot();
    let event = Object::<KEVENT>::default();
    nt!(KeInitializeEvent(event.get(), 0, FALSE));
    let mutex = abandoned();
    let objects = [event.object(), mutex.object()];
    let any = wait_for(&objects, _WAIT_TYPE::WaitAny, None);
    assert_eq!(any, STATUS_ABANDONED_WAIT_0 + 1, "the index is in it");
    assert!(NT_SUCCESS(any));
    assert_eq!(nt!(KeReleaseMutex(mutex.get(), FALSE)), 0);
    let mutexes = [abandoned(), abandoned()];
    let objects = mutexes.each_ref().map(Object::object);
    let all = wait_for(&objects, _WAIT_TYPE::WaitAll, None);
    assert_eq!(all, STATUS_ABANDONED_WAIT_0);
    for mutex in &mutexes {
        assert_eq!(nt!(KeReleaseMutex(mutex.get(), FALSE)), 0);
    }
}

#[test]
fn releasing_a_mutex_that_is_abandoned() {
    let report = expect_bug_check_with(config(), || {
        nt!(KeReleaseMutex(abandoned().get(), FALSE));
    });
    assert_eq!(report.code, bugcheck::KMODE_EXCEPTION_NOT_HANDLED);
    let status = i64::from(STATUS_ABANDONED).cast_unsigned();
    assert_eq!(report.parameters[0], status);
}
