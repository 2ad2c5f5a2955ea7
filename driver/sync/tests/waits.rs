//! Waits for one object and for several, and semaphores. On nthost.
#![cfg(not(windows))]

use core::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use std::sync::Arc;

use wdk_sync::{
    Alertable, DueTime, Event, Instant, LimitExceeded, LockAny, Mutex, NonPaged, Semaphore, Signal,
    Status, Thread, Timeout, Wait, WaitAny, WaitStatus, Waitable, WaitableTimer, lock_all,
    lock_any, sleep, sleep_alertable, stall, testing::at_passive_level, wait_all, wait_any,
    wait_any_alertable, wait_in_user_mode,
};

const SOON: Timeout = Timeout::After(Duration::from_millis(5));

fn event(signaled: bool) -> NonPaged<Event> {
    NonPaged::pin_init(Event::new(Signal::Synchronization, signaled)).unwrap()
}

fn mutex(data: u32) -> Arc<NonPaged<Mutex<u32>>> {
    Arc::new(NonPaged::pin_init(Mutex::new(data)).unwrap())
}

#[test]
fn a_semaphore_counts_and_refuses_what_would_pass_its_limit() {
    at_passive_level(|irql| {
        let semaphore = NonPaged::pin_init(Semaphore::new(irql, 1, 3)).unwrap();
        assert_eq!(semaphore.release(irql, 3), Err(LimitExceeded));
        assert_eq!(semaphore.release(irql, u32::MAX), Err(LimitExceeded));
        assert_eq!(semaphore.count(irql), 1, "a refusal changes nothing");
        assert_eq!(semaphore.release(irql, 2), Ok(1));
        assert_eq!(semaphore.release(irql, 0), Ok(3));
        assert_eq!(semaphore.release(irql, 1), Err(LimitExceeded));
        for _ in 0..3 {
            assert_eq!(semaphore.wait(irql, Timeout::Never), WaitStatus::Acquired);
        }
        assert_eq!(semaphore.wait(irql, SOON), WaitStatus::TimedOut);
        assert!(!semaphore.try_acquire(irql));
        let before = irql.at_dispatch_level(|irql| semaphore.release(irql, 1));
        assert_eq!(before, Ok(0));
        assert!(irql.at_dispatch_level(|irql| semaphore.try_acquire(irql)));
    });
}

#[test]
fn a_semaphore_of_impossible_limits_is_a_status() {
    at_passive_level(|irql| {
        let limits = [(0, 0), (2, 1), (0, Semaphore::MAX_LIMIT + 1)];
        for (count, limit) in limits {
            let semaphore = NonPaged::pin_init(Semaphore::new(irql, count, limit));
            assert_eq!(semaphore.err(), Some(Status::INVALID_PARAMETER));
        }
        let semaphore = Semaphore::new(irql, Semaphore::MAX_LIMIT, Semaphore::MAX_LIMIT);
        let semaphore = NonPaged::pin_init(semaphore).unwrap();
        assert_eq!(semaphore.release(irql, 1), Err(LimitExceeded));
    });
}

/// The kernel raises an exception past the limit, which nothing could catch: so many threads that
/// release at the limit must never get there, and none of their releases may be lost.
#[test]
fn releases_that_race_at_the_limit_are_counted_and_never_raise() {
    const THREADS: u32 = 8;
    const ROUNDS: u32 = 300;
    const LIMIT: u32 = 3;
    static RELEASED: AtomicU32 = AtomicU32::new(0);
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        let semaphore = Arc::new(NonPaged::pin_init(Semaphore::new(irql, 0, LIMIT)).unwrap());
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let semaphore = Arc::clone(&semaphore);
                Thread::spawn(irql, move |irql| {
                    for _ in 0..ROUNDS {
                        if number % 2 == 0 {
                            if semaphore.release(irql, 1).is_ok() {
                                RELEASED.fetch_add(1, Ordering::Relaxed);
                            }
                        } else if semaphore.try_acquire(irql) {
                            TAKEN.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
                .unwrap()
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join(irql), Some(()));
        }
        let (released, taken) = (
            RELEASED.load(Ordering::Relaxed),
            TAKEN.load(Ordering::Relaxed),
        );
        assert_eq!(semaphore.count(irql), released - taken);
        assert!(released > LIMIT, "the threads met");
    });
}

#[test]
fn a_wait_for_any_gives_the_index_and_touches_nothing_else() {
    at_passive_level(|irql| {
        let (first, second) = (event(false), event(true));
        let third = NonPaged::pin_init(Semaphore::new(irql, 1, 1)).unwrap();
        assert_eq!(
            wait_any(irql, [&first, &second, &third], Timeout::Never),
            WaitAny::Satisfied(1)
        );
        assert_eq!(third.count(irql), 1);
        assert_eq!(
            wait_any(irql, [&first, &second, &third], Timeout::Never),
            WaitAny::Satisfied(2)
        );
        assert_eq!(
            wait_any(irql, [&first, &second, &third], SOON),
            WaitAny::TimedOut
        );
        assert_eq!(
            wait_any_alertable(irql, [&first, &second], Timeout::ZERO, Alertable::Yes),
            WaitAny::TimedOut
        );
    });
}

#[test]
fn a_wait_may_be_for_as_many_objects_as_the_kernel_allows() {
    at_passive_level(|irql| {
        let events: [_; 64] = core::array::from_fn(|index| event(index == 63));
        let objects = || events.each_ref().map(|event| event as &dyn Waitable);
        assert_eq!(
            wait_any(irql, objects(), Timeout::Never),
            WaitAny::Satisfied(63)
        );
        for event in &events {
            event.set(irql);
        }
        assert_eq!(
            wait_all(irql, objects(), Timeout::Never),
            WaitStatus::Acquired
        );
        assert_eq!(wait_any(irql, objects(), Timeout::ZERO), WaitAny::TimedOut);
    });
}

#[test]
fn a_wait_for_all_takes_all_or_none() {
    at_passive_level(|irql| {
        let (first, second) = (event(true), event(false));
        assert_eq!(
            wait_all(irql, [&first, &second], SOON),
            WaitStatus::TimedOut
        );
        assert!(first.is_signaled(irql), "it was not taken alone");
        second.set(irql);
        assert_eq!(
            wait_all(irql, [&first, &second], Timeout::Never),
            WaitStatus::Acquired
        );
        assert!(!first.is_signaled(irql) && !second.is_signaled(irql));
    });
}

#[test]
fn threads_and_timers_are_waited_for_like_events() {
    at_passive_level(|irql| {
        let go_on = Arc::new(event(false));
        let thread = {
            let go_on = Arc::clone(&go_on);
            Thread::spawn(irql, move |irql| go_on.wait(irql, Timeout::Never)).unwrap()
        };
        let timer = NonPaged::pin_init(WaitableTimer::new(Signal::Notification)).unwrap();
        timer.set(irql, DueTime::After(Duration::from_millis(2)), None);
        assert_eq!(
            wait_any(irql, [&thread, &timer], Timeout::Never),
            WaitAny::Satisfied(1)
        );
        assert_eq!(thread.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
        go_on.set(irql);
        assert_eq!(
            wait_all(irql, [&thread, &timer], Timeout::Never),
            WaitStatus::Acquired
        );
        assert_eq!(thread.join(irql), Some(WaitStatus::Acquired));
    });
}

#[test]
fn whichever_mutex_is_free_is_locked() {
    at_passive_level(|irql| {
        let (busy, free, stop) = (mutex(1), mutex(2), event(false));
        let (taken, done) = (Arc::new(event(false)), Arc::new(event(false)));
        let owner = {
            let (busy, taken, done) = (Arc::clone(&busy), Arc::clone(&taken), Arc::clone(&done));
            Thread::spawn(irql, move |irql| {
                let mut guard = busy.lock(irql).unwrap();
                taken.set(guard.irql());
                let _signaled = done.wait(guard.irql(), Timeout::Never);
            })
            .unwrap()
        };
        assert_eq!(taken.wait(irql, Timeout::Never), WaitStatus::Acquired);
        {
            let mutexes = [&**busy, &**free];
            let LockAny::Acquired(1, mut guard) = lock_any(irql, mutexes, [], Timeout::Never)
            else {
                panic!("the second one is free");
            };
            *guard += 40;
            assert!(
                matches!(
                    lock_any(guard.irql(), mutexes, [], Timeout::Never),
                    LockAny::AlreadyOwned
                ),
                "the kernel would let the owner in again"
            );
        }
        assert!(matches!(
            lock_any(irql, [&**busy], [&stop], SOON),
            LockAny::TimedOut
        ));
        stop.set(irql);
        assert!(matches!(
            lock_any(irql, [&**busy], [&stop], Timeout::Never),
            LockAny::Signaled(0)
        ));
        done.set(irql);
        owner.join(irql);
        assert_eq!(*free.lock(irql).unwrap(), 42);
    });
}

#[test]
fn all_mutexes_are_locked_at_once_and_released_together() {
    at_passive_level(|irql| {
        let (first, second) = (mutex(1), mutex(2));
        {
            let both = [&**first, &**second];
            let Wait::Acquired(mut guards) = lock_all(irql, both, [], Timeout::Never) else {
                panic!("both are free");
            };
            let ([one, two], inner) = guards.parts();
            core::mem::swap(one, two);
            assert!(!first.is_free(inner) && !second.is_free(inner));
            assert!(matches!(
                lock_all(inner, [&**second], [], Timeout::Never),
                Wait::AlreadyOwned
            ));
            assert_eq!(guards.data(), [&2, &1]);
        }
        assert!(first.is_free(irql) && second.is_free(irql));
        let twice = [&**first, &**second, &**first];
        assert!(
            matches!(
                lock_all(irql, twice, [], Timeout::Never),
                Wait::AlreadyOwned
            ),
            "two guards of one mutex would alias its data"
        );
        let never = event(false);
        assert!(matches!(
            lock_all(irql, [&**first], [&never], SOON),
            Wait::TimedOut
        ));
        assert!(first.is_free(irql));
    });
}

/// Threads that lock the same two mutexes in opposite orders: at once, that cannot deadlock.
#[test]
fn the_order_of_mutexes_locked_at_once_does_not_matter() {
    const ROUNDS: u32 = 300;
    at_passive_level(|irql| {
        let (first, second) = (mutex(0), mutex(0));
        let threads: Vec<_> = [false, true]
            .into_iter()
            .map(|reversed| {
                let (first, second) = (Arc::clone(&first), Arc::clone(&second));
                Thread::spawn(irql, move |irql| {
                    let mut both = [&**first, &**second];
                    if reversed {
                        both.reverse();
                    }
                    for _ in 0..ROUNDS {
                        let mut guards =
                            lock_all(irql, both, [], Timeout::Never).acquired().unwrap();
                        for data in guards.parts().0 {
                            *data += 1;
                        }
                    }
                })
                .unwrap()
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join(irql), Some(()));
        }
        assert_eq!(*first.lock(irql).unwrap(), 2 * ROUNDS);
        assert_eq!(*second.lock(irql).unwrap(), 2 * ROUNDS);
    });
}

#[test]
fn a_wait_in_user_mode_is_satisfied_like_any_other() {
    static WOKEN: AtomicBool = AtomicBool::new(false);
    at_passive_level(|irql| {
        let signal = Arc::new(event(false));
        let thread = {
            let signal = Arc::clone(&signal);
            Thread::spawn(irql, move |irql| {
                // SAFETY: Nothing that anybody else uses is on the stack of this thread.
                let status =
                    unsafe { wait_in_user_mode(irql, &**signal, Timeout::Never, Alertable::No) };
                WOKEN.store(true, Ordering::SeqCst);
                status
            })
            .unwrap()
        };
        sleep(irql, Duration::from_millis(5));
        assert!(!WOKEN.load(Ordering::SeqCst));
        signal.set(irql);
        assert_eq!(thread.join(irql), Some(WaitStatus::Acquired));
    });
}

#[test]
fn sleeping_and_stalling_last_as_long_as_they_say() {
    at_passive_level(|irql| {
        let start = Instant::now();
        let slept = sleep_alertable(irql, Duration::from_millis(5));
        assert_eq!(slept, WaitStatus::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(5));
        let start = Instant::now();
        irql.at_dispatch_level(|_irql| stall(Duration::from_micros(50)));
        assert!(start.elapsed() >= Duration::from_micros(50));
    });
}
