//! Queued spin locks and reader-writer spin locks: what the types cannot refuse. On nthost.
#![cfg(not(windows))]

mod common;

use core::{
    pin::{Pin, pin},
    sync::atomic::{AtomicU32, Ordering},
};
use std::sync::Arc;

use common::assert_in_use;
use nthost::testing::expect_bug_check;
use wdk_sync::{
    QueueHandle, QueuedSpinLock, RwSpinLock, Thread, current_irql, testing::at_passive_level,
};

#[test]
fn a_queued_spin_lock_raises_and_restores_in_each_of_its_forms() {
    at_passive_level(|irql| {
        let lock = QueuedSpinLock::new(1);
        lock.with(irql, |value, irql| {
            assert_eq!((current_irql(), irql.level()), (2, 2));
            *value += 1;
        });
        assert_eq!(current_irql(), 0);
        {
            let handle = pin!(QueueHandle::new());
            let mut guard = lock.lock(irql, handle);
            *guard += 1;
            assert_eq!(current_irql(), 2);
        }
        assert_eq!(current_irql(), 0);
        irql.at_dispatch_level(|irql| {
            lock.with_at_dpc_level(irql, |value, _irql| *value += 1);
            let handle = pin!(QueueHandle::new());
            *lock.lock_at_dpc_level(irql, handle) += 1;
            assert_eq!(current_irql(), 2);
        });
        assert_eq!((current_irql(), lock.into_inner()), (0, 5));
    });
}

#[test]
fn a_handle_serves_one_acquisition_after_the_other() {
    at_passive_level(|irql| {
        let lock = QueuedSpinLock::new(0);
        let mut handle = pin!(QueueHandle::new());
        for _ in 0..3 {
            *lock.lock(irql, handle.as_mut()) += 1;
        }
        assert_eq!(lock.into_inner(), 3);
    });
}

// Other processors write to the handle of a held lock, so its memory must not be used for anything
// else, whatever happens to the guard.

#[test]
fn a_handle_that_goes_away_under_a_forgotten_guard_stops_the_system() {
    static LOCK: QueuedSpinLock<u32> = QueuedSpinLock::new(0);
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let handle = pin!(QueueHandle::new());
            core::mem::forget(LOCK.lock(irql, handle));
        });
    });
    assert_in_use(&report, 7, 2);
}

#[test]
fn a_handle_used_again_under_a_forgotten_guard_stops_the_system() {
    static FIRST: QueuedSpinLock<u32> = QueuedSpinLock::new(0);
    static SECOND: QueuedSpinLock<u32> = QueuedSpinLock::new(0);
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let mut handle: Pin<Box<QueueHandle>> = Box::pin(QueueHandle::new());
            core::mem::forget(FIRST.lock(irql, handle.as_mut()));
            irql.at_dispatch_level(|irql| {
                drop(SECOND.lock_at_dpc_level(irql, handle.as_mut()));
            });
        });
    });
    assert_in_use(&report, 7, 2);
}

#[test]
fn a_queued_spin_lock_dropped_while_held_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let lock = QueuedSpinLock::new(0);
            let handle = Box::leak(Box::new(QueueHandle::new()));
            // SAFETY: What is leaked never moves.
            let handle = unsafe { Pin::new_unchecked(handle) };
            core::mem::forget(lock.lock(irql, handle));
            drop(lock);
        });
    });
    assert_in_use(&report, 7, 2);
}

#[test]
fn a_reader_writer_spin_lock_dropped_while_held_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let lock = RwSpinLock::new(0);
            core::mem::forget(lock.shared(irql));
            drop(lock);
        });
    });
    assert_in_use(&report, 8, 2);
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let lock = RwSpinLock::new(0);
            core::mem::forget(lock.exclusive(irql));
            lock.into_inner();
        });
    });
    assert_in_use(&report, 8, 2);
}

#[test]
fn a_reader_writer_spin_lock_raises_and_restores_in_each_of_its_forms() {
    at_passive_level(|irql| {
        let lock = RwSpinLock::new(1);
        *lock.exclusive(irql) += 1;
        assert_eq!(*lock.shared(irql), 2);
        assert_eq!(current_irql(), 0);
        irql.at_dispatch_level(|irql| {
            *lock.exclusive_at_dpc_level(irql) += 1;
            assert_eq!(*lock.shared_at_dpc_level(irql), 3);
            assert_eq!(current_irql(), 2);
        });
        assert_eq!(current_irql(), 0);
        lock.with_exclusive(irql, |value, _irql| *value += 1);
        lock.with_shared(irql, |value, irql| {
            assert_eq!((*value, irql.level()), (4, 2));
        });
    });
}

#[test]
fn the_only_reader_may_become_the_writer_and_restores_the_level_of_the_reader() {
    at_passive_level(|irql| {
        let lock = RwSpinLock::new(1);
        let mut writer = lock.shared(irql).try_upgrade().expect("no other reader");
        *writer = 2;
        assert_eq!(current_irql(), 2);
        drop(writer);
        assert_eq!(current_irql(), 0);
        irql.at_dispatch_level(|irql| {
            let reader = lock.shared_at_dpc_level(irql);
            drop(reader.try_upgrade().expect("no other reader"));
            assert_eq!(current_irql(), 2);
        });
        assert_eq!(*lock.shared(irql), 2);
    });
}

#[test]
fn one_of_two_readers_stays_a_reader() {
    static READING: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        let lock = Arc::new(RwSpinLock::new(1));
        let reader = {
            let lock = Arc::clone(&lock);
            Thread::spawn(irql, move |irql| {
                let guard = lock.shared(irql);
                READING.store(1, Ordering::SeqCst);
                while READING.load(Ordering::SeqCst) == 1 {
                    core::hint::spin_loop();
                }
                *guard
            })
            .unwrap()
        };
        while READING.load(Ordering::SeqCst) == 0 {
            wdk_sync::yield_now(irql);
        }
        let Err(guard) = lock.shared(irql).try_upgrade() else {
            panic!("there is another reader");
        };
        assert_eq!((*guard, current_irql()), (1, 2));
        READING.store(2, Ordering::SeqCst);
        drop(guard);
        assert_eq!(reader.join(irql), Some(1));
        assert!(lock.shared(irql).try_upgrade().is_ok());
    });
}

#[test]
fn no_update_is_lost_under_either_of_the_locks() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 500;
    static QUEUED: QueuedSpinLock<u64> = QueuedSpinLock::new(0);
    static SHARED: RwSpinLock<u64> = RwSpinLock::new(0);
    at_passive_level(|irql| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                Thread::spawn(irql, |irql| {
                    for round in 0..ROUNDS {
                        QUEUED.with(irql, |value, _irql| *value += 1);
                        let seen = *SHARED.shared(irql);
                        assert!(seen <= THREADS * ROUNDS);
                        if round % 2 == 0 {
                            *SHARED.exclusive(irql) += 2;
                        }
                    }
                })
                .unwrap()
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join(irql), Some(()));
        }
        QUEUED.with(irql, |value, _irql| assert_eq!(*value, THREADS * ROUNDS));
        assert_eq!(*SHARED.shared(irql), THREADS * ROUNDS);
    });
}
