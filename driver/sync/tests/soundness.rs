//! What the types cannot refuse, refused at run time: a result where the caller can go on, a bug
//! check where going on would free memory that the kernel still uses. On nthost.
//!
//! The holes of other wrappers, by which the tests here are ordered, and what keeps each closed:
//!
//! | | hole | tests |
//! |---|---|---|
//! | 1 | two live guards of a recursive lock, and so two `&mut` | here, `thread_locks.rs`, `attacks.rs`; `ui/recursive_mut`, `ui/shared_mut`, `ui/recursive_mutex_in_dpc` |
//! | 2 | a guard forgotten, then the lock dropped | here, `spin_locks.rs`, `thread_locks.rs`, `attacks.rs` |
//! | 3 | guards dropped out of order | `ui/guards_out_of_order` |
//! | 4 | a guard that is `Send`; `Send` and `Sync` without bounds | `bounds.rs`; `ui/guard_sent`, `ui/token_sent`, `ui/data_not_send`, `ui/rw_data_not_sync`, `ui/resource_data_not_sync` |
//! | 5 | the saved IRQL in the lock, or not restored; the wrong release | here, `spin_locks.rs`, `attacks.rs` |
//! | 6 | a lock moved after its initialisation | `bounds.rs` (`Unpin`); `ui/lock_moved` |
//! | 7 | an ERESOURCE without its critical region, or a failed try that keeps it | here |
//! | 8 | the status of a wait thrown away | here, `waits.rs` |
//! | 9 | a timer freed while its DPC is queued or runs | here, `rundown.rs`; `ui/timer_outlives_data` |
//! | 10 | `release` as a safe function; a double release | `ui/released_twice` |
//! | 11 | no order, time-outs, conversion or rundown | `ranks.rs`, `lockdep.rs`, `waits.rs`, `thread_locks.rs`, `rundown.rs`; `ui/rank_*` |
#![cfg(not(windows))]

mod common;

use core::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use std::sync::Arc;

use common::assert_in_use;
use nthost::testing::expect_bug_check;
use wdk_sync::{
    AlreadyOwned, DueTime, Event, FastMutex, Mutex, NonPaged, RecursiveMutex, RecursiveMutexGuard,
    Resource, Signal, SpinLock, Status, Thread, Timeout, Timer, Wait, WaitStatus, WaitableTimer,
    are_apcs_disabled, current_irql, sleep, testing::at_passive_level,
};

// Hole 1: two live guards of a recursive lock on one thread, and so two `&mut` to one value.

#[test]
fn a_second_guard_of_a_mutex_is_refused_to_its_owner() {
    at_passive_level(|irql| {
        let mutex = NonPaged::pin_init(Mutex::new(1)).unwrap();
        let mut guard = mutex.lock(irql).unwrap();
        *guard = 2;
        assert_eq!(mutex.lock(guard.irql()).err(), Some(AlreadyOwned));
        assert!(matches!(
            mutex.wait(guard.irql(), Timeout::ZERO),
            Wait::AlreadyOwned
        ));
        assert!(mutex.try_lock(guard.irql()).is_none());
        drop(guard);
        assert!(
            mutex.is_free(irql),
            "a refusal releases what the kernel had given"
        );
        assert_eq!(*mutex.lock(irql).unwrap(), 2);
    });
}

#[test]
fn a_recursive_mutex_counts_its_guards_and_is_free_after_the_last() {
    at_passive_level(|irql| {
        let mutex = NonPaged::pin_init(RecursiveMutex::new(Cell::new(0))).unwrap();
        {
            let mut outer = mutex.lock(irql).unwrap();
            let inner = mutex.lock(outer.irql()).unwrap();
            inner.set(7);
            assert_eq!(RecursiveMutexGuard::depth(&inner), 2);
            drop(inner);
            assert_eq!((outer.get(), RecursiveMutexGuard::depth(&outer)), (7, 1));
            assert!(!mutex.is_free(outer.irql()));
        }
        assert!(mutex.is_free(irql));
    });
}

#[test]
fn an_exclusive_owner_gets_no_second_guard_of_its_resource() {
    at_passive_level(|irql| {
        let resource = NonPaged::pin_init(Resource::new(1)).unwrap();
        let mut guard = resource.exclusive(irql).unwrap();
        let irql = guard.irql();
        assert_eq!(resource.exclusive(irql).err(), Some(AlreadyOwned));
        assert!(resource.try_exclusive(irql).is_none());
        assert_eq!(resource.shared(irql).err(), Some(AlreadyOwned));
        assert!(resource.try_shared(irql).is_none());
        assert_eq!(
            resource.shared_starve_exclusive(irql).err(),
            Some(AlreadyOwned)
        );
        assert_eq!(
            resource.shared_wait_for_exclusive(irql).err(),
            Some(AlreadyOwned)
        );
        assert_eq!(
            resource.acquisitions(irql),
            1,
            "the refusals released what they got"
        );
    });
}

#[test]
fn a_shared_owner_that_asks_for_exclusive_is_refused_instead_of_waiting_for_itself() {
    at_passive_level(|irql| {
        let resource = NonPaged::pin_init(Resource::new(1)).unwrap();
        let mut guard = resource.shared(irql).unwrap();
        assert_eq!(resource.exclusive(guard.irql()).err(), Some(AlreadyOwned));
        assert!(resource.try_exclusive(guard.irql()).is_none());
        let again = resource.shared(guard.irql()).unwrap();
        assert_eq!(*again, 1, "shared in shared is no harm");
        drop(again);
        drop(guard);
        assert_eq!(resource.acquisitions(irql), 0);
    });
}

#[test]
fn a_fast_mutex_refuses_its_owner_instead_of_waiting_for_itself() {
    at_passive_level(|irql| {
        let mutex = NonPaged::pin_init(FastMutex::new(1)).unwrap();
        let mut guard = mutex.lock(irql).unwrap();
        assert_eq!(mutex.lock(guard.irql()).err(), Some(AlreadyOwned));
        assert_eq!(
            mutex.lock_at_apc_level(guard.irql()).err(),
            Some(AlreadyOwned)
        );
        assert!(mutex.try_lock(guard.irql()).is_none());
        assert_eq!(current_irql(), 1, "a refusal leaves the level of the owner");
        drop(guard);
        assert_eq!(current_irql(), 0);
    });
}

// Hole 2: a guard that is forgotten, and then the lock dropped.

#[test]
fn a_lock_dropped_while_held_stops_the_system() {
    assert_in_use(
        &expect_bug_check(|| {
            at_passive_level(|irql| {
                let lock = SpinLock::new(0);
                core::mem::forget(lock.lock(irql));
                drop(lock);
            });
        }),
        1,
        2,
    );
    assert_in_use(
        &expect_bug_check(|| {
            at_passive_level(|irql| {
                let mutex = NonPaged::pin_init(Mutex::new(0)).unwrap();
                core::mem::forget(mutex.lock(irql));
            });
        }),
        2,
        0,
    );
    assert_in_use(
        &expect_bug_check(|| {
            at_passive_level(|irql| {
                let mutex = NonPaged::pin_init(RecursiveMutex::new(0)).unwrap();
                core::mem::forget(mutex.lock(irql));
            });
        }),
        2,
        0,
    );
    assert_in_use(
        &expect_bug_check(|| {
            at_passive_level(|irql| {
                let resource = NonPaged::pin_init(Resource::new(0)).unwrap();
                core::mem::forget(resource.shared(irql));
            });
        }),
        3,
        0,
    );
    assert_in_use(
        &expect_bug_check(|| {
            at_passive_level(|irql| {
                let mutex = NonPaged::pin_init(FastMutex::new(0)).unwrap();
                core::mem::forget(mutex.lock(irql));
            });
        }),
        4,
        1,
    );
}

// Hole 5: the saved IRQL kept where the next holder overwrites it, or not restored.

#[test]
fn holders_that_come_from_different_levels_go_back_to_their_own() {
    at_passive_level(|irql| {
        let lock = Arc::new(SpinLock::new(0));
        let theirs = Arc::clone(&lock);
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = Thread::spawn(irql, move |irql| {
            while !until.load(Ordering::Relaxed) {
                irql.at_apc_level(|irql| {
                    *theirs.lock(irql) += 1;
                    assert_eq!(current_irql(), 1);
                });
                assert_eq!(current_irql(), 0);
            }
        });
        for _ in 0..2000 {
            {
                let mut outer = lock.lock(irql);
                *outer += 1;
                assert_eq!(current_irql(), 2);
                let inner = SpinLock::new(0);
                drop(inner.lock(outer.irql()));
                assert_eq!(
                    current_irql(),
                    2,
                    "the inner one leaves the outer one's level"
                );
            }
            assert_eq!(current_irql(), 0);
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(thread.unwrap().join(irql), Some(()));
    });
}

// Hole 7: an ERESOURCE outside of a critical region; a failed try that leaves one entered.

#[test]
fn every_acquisition_of_a_resource_enters_a_region_and_every_end_of_one_leaves_it() {
    at_passive_level(|irql| {
        let resource = NonPaged::pin_init(Resource::new(1)).unwrap();
        {
            let mut guard = resource.shared(irql).unwrap();
            assert!(are_apcs_disabled(guard.irql()));
            assert!(resource.exclusive(guard.irql()).is_err());
            assert!(resource.try_exclusive(guard.irql()).is_none());
        }
        assert!(!are_apcs_disabled(irql));
        let mut downgraded = resource.exclusive(irql).unwrap().downgrade();
        assert!(are_apcs_disabled(downgraded.irql()));
        drop(downgraded);
        assert!(!are_apcs_disabled(irql));
    });
}

// Hole 8: a time-out is a success code.

#[test]
fn a_wait_that_times_out_gives_no_guard() {
    at_passive_level(|irql| {
        let mutex = Arc::new(NonPaged::pin_init(Mutex::new(0)).unwrap());
        let taken = Arc::new(NonPaged::pin_init(Event::new(Signal::Notification, false)).unwrap());
        let done = Arc::new(NonPaged::pin_init(Event::new(Signal::Notification, false)).unwrap());
        let owner = {
            let (mutex, taken, done) = (Arc::clone(&mutex), Arc::clone(&taken), Arc::clone(&done));
            Thread::spawn(irql, move |irql| {
                let mut guard = mutex.lock(irql).unwrap();
                taken.set(guard.irql());
                let _signaled = done.wait(guard.irql(), Timeout::Never);
            })
            .unwrap()
        };
        assert_eq!(taken.wait(irql, Timeout::Never), WaitStatus::Acquired);
        let soon = Timeout::After(Duration::from_millis(2));
        assert!(matches!(mutex.wait(irql, soon), Wait::TimedOut));
        assert!(mutex.try_lock(irql).is_none());
        done.set(irql);
        owner.join(irql);
        assert!(mutex.try_lock(irql).is_some());
    });
}

// Hole 9: a timer freed while its DPC is queued or running.

#[test]
fn a_rundown_waits_for_a_callback_that_is_running() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    static ENDED: AtomicBool = AtomicBool::new(false);
    at_passive_level(|irql| {
        let timer = NonPaged::pin_init(Timer::new(Signal::Notification, |_timer, _irql| {
            STARTED.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            ENDED.store(true, Ordering::SeqCst);
        }))
        .unwrap();
        timer.set(irql, DueTime::After(Duration::ZERO), None);
        while !STARTED.load(Ordering::SeqCst) {
            sleep(irql, Duration::from_millis(1));
        }
        Timer::run_down(timer, irql);
        assert!(ENDED.load(Ordering::SeqCst));
    });
}

#[test]
fn a_callback_that_sets_its_timer_again_does_not_outlive_the_rundown() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        for _ in 0..50 {
            let timer = NonPaged::pin_init(Timer::new(Signal::Notification, |timer, irql| {
                RUNS.fetch_add(1, Ordering::SeqCst);
                timer.set(irql, DueTime::After(Duration::ZERO), None);
            }))
            .unwrap();
            timer.set(irql, DueTime::After(Duration::ZERO), None);
            sleep(irql, Duration::from_micros(200));
            Timer::run_down(timer, irql);
            let runs = RUNS.load(Ordering::SeqCst);
            sleep(irql, Duration::from_micros(500));
            assert_eq!(
                RUNS.load(Ordering::SeqCst),
                runs,
                "it runs after its rundown"
            );
        }
        assert_ne!(RUNS.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_timer_with_a_callback_dropped_above_passive_level_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let timer =
                NonPaged::pin_init(Timer::new(Signal::Notification, |_timer, _irql| {})).unwrap();
            irql.at_dispatch_level(|_irql| drop(timer));
        });
    });
    assert_in_use(&report, 5, 2);
}

#[test]
fn a_timer_without_a_callback_may_be_dropped_at_dispatch_level_while_it_is_set() {
    at_passive_level(|irql| {
        let timer = NonPaged::pin_init(WaitableTimer::new(Signal::Notification)).unwrap();
        timer.set(irql, DueTime::After(Duration::from_hours(1)), None);
        irql.at_dispatch_level(|_irql| drop(timer));
    });
}

// Threads: what a thread uses stays until it has ended.

#[test]
fn a_thread_is_joined_when_its_handle_is_dropped() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    at_passive_level(|irql| {
        let thread = Thread::spawn(irql, |irql| {
            sleep(irql, Duration::from_millis(10));
            ENDED.store(true, Ordering::SeqCst);
        })
        .unwrap();
        drop(thread);
        assert!(ENDED.load(Ordering::SeqCst));
    });
}

#[test]
fn a_thread_dropped_at_dispatch_level_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let thread = Thread::spawn(irql, |_irql| ()).unwrap();
            irql.at_dispatch_level(|_irql| drop(thread));
        });
    });
    assert_in_use(&report, 6, 2);
}

// Exclusion, on many threads: plain data that tears if two are inside at once.

#[test]
fn no_update_is_lost_under_any_of_the_locks() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 500;

    struct Shared {
        spin: SpinLock<u64>,
        mutex: NonPaged<Mutex<u64>>,
        resource: NonPaged<Resource<u64>>,
        fast: NonPaged<FastMutex<u64>>,
    }

    at_passive_level(|irql| {
        let shared = Arc::new(Shared {
            spin: SpinLock::new(0),
            mutex: NonPaged::pin_init(Mutex::new(0)).unwrap(),
            resource: NonPaged::pin_init(Resource::new(0)).unwrap(),
            fast: NonPaged::pin_init(FastMutex::new(0)).unwrap(),
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let shared = Arc::clone(&shared);
                Thread::spawn(irql, move |irql| {
                    for _ in 0..ROUNDS {
                        *shared.spin.lock(irql) += 1;
                        *shared.mutex.lock(irql).unwrap() += 1;
                        *shared.resource.exclusive(irql).unwrap() += 1;
                        *shared.fast.lock(irql).unwrap() += 1;
                    }
                })
                .unwrap()
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join(irql), Some(()));
        }
        let spin = *shared.spin.lock(irql);
        let mutex = *shared.mutex.lock(irql).unwrap();
        let resource = *shared.resource.shared(irql).unwrap();
        let fast = *shared.fast.lock(irql).unwrap();
        let all = THREADS * ROUNDS;
        assert_eq!((spin, mutex, resource, fast), (all, all, all, all));
    });
}

#[test]
fn storage_that_cannot_be_had_is_a_status() {
    /// More than any pool has: the request must come back as a status.
    type Huge = [u8; 1 << 46];
    struct Zeroed;
    // SAFETY: All bytes zero are the value; and this is never reached: the allocation fails first.
    unsafe impl pinned_init::PinInit<Huge> for Zeroed {
        unsafe fn __pinned_init(self, slot: *mut Huge) -> Result<(), core::convert::Infallible> {
            // SAFETY: The slot is valid for writes.
            unsafe { slot.cast::<u8>().write_bytes(0, size_of::<Huge>()) };
            Ok(())
        }
    }
    let huge = NonPaged::<Huge>::pin_init(Zeroed);
    assert_eq!(huge.err(), Some(Status::INSUFFICIENT_RESOURCES));
}
