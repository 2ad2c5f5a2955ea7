//! Rundown protection, and what is awaited like it: DPCs, timers of the executive, work items. On nthost.
#![cfg(not(windows))]

mod common;

use core::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use std::sync::Arc;

use common::assert_in_use;
use nthost::testing::expect_bug_check;
use wdk_sync::{
    DefaultResolution, Dispatch, Dpc, DpcWas, DueTime, ExPeriod, ExTimer, HighResolution,
    Importance, Irql, NoWake, NonPaged, Rundown, Signal, SpinLock, Status, Thread, Timeout,
    TimerWas, WaitAny, WaitStatus, WaitableExTimer, WakeTolerance, WorkItem, WorkItemCallback,
    WorkItemWas, active_processors, sleep, stall, testing::at_passive_level, wait_any,
};

#[test]
fn a_rundown_waits_for_the_users_and_lets_no_more_in() {
    static RAN_DOWN: AtomicBool = AtomicBool::new(false);
    at_passive_level(|irql| {
        let data = Arc::new(NonPaged::pin_init(Rundown::new(irql, 7)).unwrap());
        let user = data.acquire(irql).unwrap();
        let owner = {
            let data = Arc::clone(&data);
            Thread::spawn(irql, move |irql| {
                let mut data = data.run_down(irql).unwrap();
                RAN_DOWN.store(true, Ordering::SeqCst);
                *data = 8;
                data.reinitialize(irql);
            })
            .unwrap()
        };
        while data.acquire(irql).is_some() {
            sleep(irql, Duration::from_millis(1));
        }
        assert!(!RAN_DOWN.load(Ordering::SeqCst), "a user is left");
        assert_eq!(*user, 7);
        assert!(data.run_down(irql).is_none(), "one thread runs it down");
        irql.at_dispatch_level(|_irql| drop(user));
        owner.join(irql);
        assert_eq!(data.acquire(irql).as_deref(), Some(&8), "open again");
    });
}

#[test]
fn a_guard_of_a_rundown_may_be_released_by_another_thread() {
    at_passive_level(|irql| {
        let data = NonPaged::pin_init(Rundown::new(irql, 1)).unwrap();
        let guard = data.acquire(irql).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(guard));
        });
        let mut data = data.run_down(irql).unwrap();
        *data += 1;
        assert_eq!(*data, 2);
    });
}

#[test]
fn data_that_was_run_down_stays_closed_until_it_is_reinitialized() {
    at_passive_level(|irql| {
        let data = NonPaged::pin_init(Rundown::new(irql, 1)).unwrap();
        assert!(data.run_down(irql).is_some());
        assert!(data.acquire(irql).is_none());
        assert!(data.run_down(irql).is_none());
    });
}

#[test]
fn users_and_a_rundown_that_meet_never_see_each_other() {
    const THREADS: u32 = 6;
    const ROUNDS: u32 = 200;
    static USERS: AtomicU32 = AtomicU32::new(0);
    static OWNED: AtomicBool = AtomicBool::new(false);
    at_passive_level(|irql| {
        let data = Arc::new(NonPaged::pin_init(Rundown::new(irql, ())).unwrap());
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let data = Arc::clone(&data);
                Thread::spawn(irql, move |irql| {
                    for _ in 0..ROUNDS {
                        if let Some(_user) = data.acquire(irql) {
                            USERS.fetch_add(1, Ordering::SeqCst);
                            assert!(!OWNED.load(Ordering::SeqCst));
                            USERS.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                })
                .unwrap()
            })
            .collect();
        for _ in 0..ROUNDS {
            let owned = data.run_down(irql).unwrap();
            OWNED.store(true, Ordering::SeqCst);
            assert_eq!(USERS.load(Ordering::SeqCst), 0);
            OWNED.store(false, Ordering::SeqCst);
            owned.reinitialize(irql);
        }
        for thread in threads {
            assert_eq!(thread.join(irql), Some(()));
        }
    });
}

// DPCs.

#[test]
fn a_dpc_runs_where_it_is_told() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        let dpc = NonPaged::pin_init(Dpc::new(|_dpc, irql| {
            assert_eq!(irql.level(), 2);
            RUNS.fetch_add(1, Ordering::SeqCst);
        }))
        .unwrap();
        let processors = active_processors();
        assert_eq!(dpc.set_target(processors), Err(Status::INVALID_PARAMETER));
        for processor in 0..processors {
            dpc.set_target(processor).unwrap();
            dpc.set_importance(Importance::High);
            assert_eq!(dpc.queue(), DpcWas::Idle);
            while RUNS.load(Ordering::SeqCst) <= processor {
                sleep(irql, Duration::from_micros(100));
            }
        }
        Dpc::run_down(dpc, irql);
        assert_eq!(RUNS.load(Ordering::SeqCst), processors);
    });
}

#[test]
fn a_dpc_is_queued_once_and_can_be_taken_out() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        let dpc = NonPaged::pin_init(Dpc::new(|_dpc, _irql| {
            RUNS.fetch_add(1, Ordering::SeqCst);
        }))
        .unwrap();
        irql.at_dispatch_level(|_irql| {
            assert_eq!(dpc.queue(), DpcWas::Idle);
            assert_eq!(dpc.queue(), DpcWas::Queued);
            assert_eq!(dpc.remove(), DpcWas::Queued);
            assert_eq!(dpc.remove(), DpcWas::Idle);
        });
        Dpc::run_down(dpc, irql);
        assert_eq!(RUNS.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_dpc_that_queues_itself_again_does_not_outlive_its_rundown() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        for round in 0..50 {
            // Not for ever: on the processor of this thread, it would never come back.
            let left = AtomicU32::new(100);
            let dpc = NonPaged::pin_init(Dpc::new(move |dpc, _irql| {
                RUNS.fetch_add(1, Ordering::SeqCst);
                stall(Duration::from_micros(10));
                if left.fetch_sub(1, Ordering::Relaxed) > 1 {
                    dpc.queue();
                }
            }))
            .unwrap();
            dpc.set_importance(Importance::MediumHigh);
            dpc.set_target(round % active_processors()).unwrap();
            dpc.queue();
            sleep(irql, Duration::from_micros(200));
            Dpc::run_down(dpc, irql);
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
fn a_dpc_dropped_above_passive_level_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let dpc = NonPaged::pin_init(Dpc::new(|_dpc, _irql| {})).unwrap();
            irql.at_dispatch_level(|_irql| drop(dpc));
        });
    });
    assert_in_use(&report, 9, 2);
}

// Timers of the executive.

#[test]
fn the_end_of_an_executive_timer_waits_for_its_callback() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    static ENDED: AtomicBool = AtomicBool::new(false);
    at_passive_level(|irql| {
        let callback = |_timer: &WaitableExTimer<HighResolution>, irql: &mut Irql<'_, Dispatch>| {
            assert_eq!(irql.level(), 2);
            STARTED.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            ENDED.store(true, Ordering::SeqCst);
        };
        let init = ExTimer::new(HighResolution, Signal::Notification, callback);
        let timer = NonPaged::pin_init(init).unwrap();
        // Zero is a time from now on, too, and not the absolute one that is refused.
        timer.set(irql, Duration::ZERO, None);
        while !STARTED.load(Ordering::SeqCst) {
            sleep(irql, Duration::from_millis(1));
        }
        irql.at_apc_level(|irql| ExTimer::run_down(timer, irql));
        assert!(ENDED.load(Ordering::SeqCst));
    });
}

#[test]
fn an_executive_timer_that_sets_itself_again_does_not_outlive_its_rundown() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        for _ in 0..50 {
            let init = ExTimer::new(DefaultResolution, Signal::Notification, |timer, irql| {
                RUNS.fetch_add(1, Ordering::SeqCst);
                timer.set(irql, DueTime::After(Duration::ZERO), None);
            });
            let timer = NonPaged::pin_init(init).unwrap();
            timer.set(irql, DueTime::After(Duration::ZERO), None);
            sleep(irql, Duration::from_micros(200));
            ExTimer::run_down(timer, irql);
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
fn an_executive_timer_is_waited_for_and_cancelled_like_any_other() {
    at_passive_level(|irql| {
        let kind = DefaultResolution;
        let tick = WaitableExTimer::new(irql, kind, Signal::Synchronization).unwrap();
        let far = WaitableExTimer::new(irql, NoWake, Signal::Notification).unwrap();
        let hour = DueTime::After(Duration::from_hours(1));
        let late = WakeTolerance::UpTo(Duration::MAX);
        assert_eq!(far.set_tolerating(irql, hour, None, late), TimerWas::Idle);
        assert_eq!(
            far.set_tolerating(irql, hour, None, WakeTolerance::Unlimited),
            TimerWas::Queued
        );
        // A time that has passed.
        tick.set(
            irql,
            DueTime::At(0),
            ExPeriod::new(Duration::from_millis(1)),
        );
        for _ in 0..3 {
            assert_eq!(
                wait_any(irql, [&far, &tick], Timeout::Never),
                WaitAny::Satisfied(1),
                "it expires again"
            );
        }
        assert_eq!(tick.cancel(irql), TimerWas::Queued);
        assert_eq!(far.cancel(irql), TimerWas::Queued);
        assert_eq!(far.cancel(irql), TimerWas::Idle);
        assert_eq!(far.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
    });
}

#[test]
fn an_executive_timer_without_a_callback_may_be_dropped_at_dispatch_level_while_it_is_set() {
    at_passive_level(|irql| {
        let timer = WaitableExTimer::new(irql, HighResolution, Signal::Notification).unwrap();
        timer.set(irql, Duration::from_hours(1), None);
        irql.at_dispatch_level(|_irql| drop(timer));
    });
}

#[test]
fn an_executive_timer_that_its_own_callback_drops_stops_the_system() {
    type Own = Option<NonPaged<ExTimer<fn(&WaitableExTimer, &mut Irql<'_, Dispatch>)>>>;
    static OWN: SpinLock<Own> = SpinLock::new(None);
    fn drop_own(_timer: &WaitableExTimer, irql: &mut Irql<'_, Dispatch>) {
        let own = OWN.with(irql, |own, _irql| own.take());
        drop(own);
    }
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let callback: fn(&WaitableExTimer, &mut Irql<'_, Dispatch>) = drop_own;
            let init = ExTimer::new(DefaultResolution, Signal::Notification, callback);
            let timer = NonPaged::pin_init(init).unwrap();
            OWN.with(irql, |own, irql| {
                own.insert(timer)
                    .set(irql, DueTime::After(Duration::ZERO), None);
            });
            sleep(irql, Duration::from_secs(10));
        });
    });
    assert_in_use(&report, 13, 2);
}

// Work items.

/// A work item of no device, which nthost takes; Windows wants one.
fn work_item<F: WorkItemCallback>(
    irql: &mut wdk_sync::Irql<'_, wdk_sync::Passive>,
    callback: F,
) -> NonPaged<WorkItem<F>> {
    // SAFETY: nthost keeps no device for a work item that has none.
    let work = unsafe { WorkItem::new(irql, core::ptr::null_mut(), callback) };
    NonPaged::pin_init(work).unwrap()
}

#[test]
fn a_work_item_runs_at_passive_level_before_its_rundown_ends() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        let work = work_item(irql, |_work, irql| {
            assert_eq!(irql.level(), 0);
            sleep(irql, Duration::from_millis(5));
            RUNS.fetch_add(1, Ordering::SeqCst);
        });
        let was = irql.at_dispatch_level(|irql| work.queue(irql));
        assert_eq!(was, WorkItemWas::Idle);
        WorkItem::run_down(work, irql);
        assert_eq!(RUNS.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_work_item_that_queues_itself_again_does_not_outlive_its_rundown() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    at_passive_level(|irql| {
        for _ in 0..20 {
            let work = work_item(irql, |work, irql| {
                RUNS.fetch_add(1, Ordering::SeqCst);
                work.queue(irql);
                let again = work.queue(irql);
                // Queued just before, or taken up by another worker, or the rundown has begun.
                assert!(matches!(again, WorkItemWas::Queued | WorkItemWas::Idle));
            });
            work.queue(irql);
            sleep(irql, Duration::from_micros(300));
            WorkItem::run_down(work, irql);
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
fn a_work_item_dropped_above_apc_level_stops_the_system() {
    let report = expect_bug_check(|| {
        at_passive_level(|irql| {
            let work = work_item(irql, |_work, _irql| {});
            irql.at_dispatch_level(|_irql| drop(work));
        });
    });
    assert_in_use(&report, 12, 2);
}
