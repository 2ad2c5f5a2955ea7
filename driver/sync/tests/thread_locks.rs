//! Guarded mutexes, push locks, and what a resource can do beyond its guards. On nthost.
#![cfg(not(windows))]

mod common;

use core::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use std::sync::Arc;

use common::assert_in_use;
use nthost::testing::expect_bug_check;
use wdk_sync::{
    AlreadyOwned, GuardedMutex, Irql, NonPaged, Passive, PushLock, Resource, Thread,
    are_all_apcs_disabled, are_apcs_disabled, current_irql, sleep, testing::at_passive_level,
};

#[test]
fn a_guarded_mutex_refuses_its_owner_instead_of_waiting_for_itself() {
    at_passive_level(|irql| {
        let mutex = NonPaged::pin_init(GuardedMutex::new(irql, 1)).unwrap();
        let mut guard = mutex.lock(irql).unwrap();
        assert!(are_all_apcs_disabled(guard.irql()));
        assert_eq!(mutex.lock(guard.irql()).err(), Some(AlreadyOwned));
        assert_eq!(
            mutex.lock_at_apc_level(guard.irql()).err(),
            Some(AlreadyOwned)
        );
        assert!(mutex.try_lock(guard.irql()).is_none());
        drop(guard);
        assert_eq!(current_irql(), 0);
        assert!(!are_all_apcs_disabled(irql));
        irql.at_apc_level(|irql| {
            *mutex.lock_at_apc_level(irql).unwrap() = 5;
            assert_eq!(current_irql(), 1);
        });
        assert_eq!(mutex.with(irql, |value, _irql| *value), Ok(5));
    });
}

#[test]
fn a_guarded_mutex_dropped_while_owned_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let mutex = NonPaged::pin_init(GuardedMutex::new(irql, 0)).unwrap();
            core::mem::forget(mutex.lock(irql));
        });
    });
    assert_in_use(&report, 10, 1);
}

#[test]
fn a_push_lock_is_shared_by_readers_and_in_a_critical_region() {
    at_passive_level(|irql| {
        let lock = NonPaged::pin_init(PushLock::new(1)).unwrap();
        {
            let mut outer = lock.shared(irql);
            assert!(are_apcs_disabled(outer.irql()));
            let inner = lock.shared(outer.irql());
            assert_eq!(*inner, 1);
        }
        assert!(!are_apcs_disabled(irql));
        *lock.exclusive(irql) = 2;
        lock.with_exclusive(irql, |value, irql| {
            assert!(are_apcs_disabled(irql));
            *value += 1;
        });
        assert!(!are_apcs_disabled(irql));
        lock.with_shared(irql, |value, _irql| assert_eq!(*value, 3));
    });
}

#[test]
fn a_push_lock_dropped_while_owned_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let lock = NonPaged::pin_init(PushLock::new(0)).unwrap();
            core::mem::forget(lock.shared(irql));
        });
    });
    assert_in_use(&report, 11, 0);
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let lock = NonPaged::pin_init(PushLock::new(0)).unwrap();
            core::mem::forget(lock.exclusive(irql));
        });
    });
    assert_in_use(&report, 11, 0);
}

#[test]
fn no_update_is_lost_under_either_of_the_locks() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 300;
    at_passive_level(|irql| {
        let guarded = GuardedMutex::new(irql, 0_u64);
        let guarded = Arc::new(NonPaged::pin_init(guarded).unwrap());
        let pushed = Arc::new(NonPaged::pin_init(PushLock::new(0_u64)).unwrap());
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (guarded, pushed) = (Arc::clone(&guarded), Arc::clone(&pushed));
                Thread::spawn(irql, move |irql| {
                    for _ in 0..ROUNDS {
                        *guarded.lock(irql).unwrap() += 1;
                        *pushed.exclusive(irql) += 1;
                        assert!(*pushed.shared(irql) <= THREADS * ROUNDS);
                    }
                })
                .unwrap()
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join(irql), Some(()));
        }
        assert_eq!(*guarded.lock(irql).unwrap(), THREADS * ROUNDS);
        assert_eq!(*pushed.shared(irql), THREADS * ROUNDS);
    });
}

#[test]
fn access_that_was_handed_over_is_released_by_another_thread() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        let resource = NonPaged::pin_init(Resource::new(1)).unwrap();
        let handed_over = resource.exclusive_handed_over(irql).unwrap();
        assert!(!are_apcs_disabled(irql), "the region was left");
        assert!(!resource.is_exclusive(irql), "this thread is no owner");
        assert!(resource.try_shared(irql).is_none(), "someone is");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut data = handed_over;
                SEEN.store(*data, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                *data = 2;
            });
            let data = resource.shared(irql).unwrap();
            assert_eq!((*data, SEEN.load(Ordering::SeqCst)), (2, 1));
        });
        assert_eq!(*resource.exclusive(irql).unwrap(), 2);
    });
}

#[test]
fn access_that_was_handed_over_may_be_released_at_any_level_up_to_dispatch() {
    at_passive_level(|irql| {
        let resource = NonPaged::pin_init(Resource::new(1)).unwrap();
        let handed_over = resource.exclusive_handed_over(irql).unwrap();
        irql.at_dispatch_level(|_irql| drop(handed_over));
        let handed_over = resource.exclusive_handed_over(irql).unwrap();
        irql.at_apc_level(|_irql| drop(handed_over));
        assert!(resource.try_exclusive(irql).is_some());
    });
}

#[test]
fn a_resource_dropped_with_access_handed_over_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let resource = NonPaged::pin_init(Resource::new(1)).unwrap();
            core::mem::forget(resource.exclusive_handed_over(irql).unwrap());
        });
    });
    assert_in_use(&report, 3, 0);
}

#[test]
fn a_resource_that_is_reinitialized_forgets_its_contention_and_keeps_its_data() {
    at_passive_level(|irql| {
        let resource = Arc::new(NonPaged::pin_init(Resource::new(7)).unwrap());
        let guard = resource.exclusive(irql).unwrap();
        let reader = {
            let resource = Arc::clone(&resource);
            // SAFETY: The token of the outer level is not used while the guard lives.
            let mut irql = unsafe { Irql::<Passive>::assume() };
            Thread::spawn(&mut irql, move |irql| *resource.shared(irql).unwrap()).unwrap()
        };
        while resource.contention_count() == 0 {
            std::thread::yield_now();
        }
        drop(guard);
        assert_eq!(reader.join(irql), Some(7));
        let mut resource = Arc::into_inner(resource).unwrap();
        Resource::reinitialize(&mut resource, irql);
        assert_eq!(resource.contention_count(), 0);
        assert_eq!(*resource.exclusive(irql).unwrap(), 7);
        sleep(irql, Duration::ZERO);
    });
}

#[test]
fn a_resource_that_is_owned_is_not_reinitialized() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let mut resource = NonPaged::pin_init(Resource::new(1)).unwrap();
            core::mem::forget(resource.shared(irql));
            Resource::reinitialize(&mut resource, irql);
        });
    });
    assert_in_use(&report, 3, 0);
}
