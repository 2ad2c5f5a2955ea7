//! `KEVENT` and the waits for it.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nthost::{
    ntddk::{
        _EVENT_TYPE::{NotificationEvent, SynchronizationEvent},
        _WAIT_TYPE::{WaitAll, WaitAny},
        *,
    },
    testing::expect_bug_check,
};
use support::*;

struct Event(Object<KEVENT>);

impl Event {
    fn new(kind: EVENT_TYPE, signalled: bool) -> Self {
        let event = Self(Object::default());
        nt!(KeInitializeEvent(event.get(), kind, signalled.into()));
        event
    }

    fn get(&self) -> PRKEVENT {
        self.0.get()
    }

    fn set(&self) -> LONG {
        nt!(KeSetEvent(self.get(), 0, FALSE))
    }

    fn read(&self) -> LONG {
        nt!(KeReadStateEvent(self.get()))
    }

    fn wait(&self, timeout: Option<i64>) -> NTSTATUS {
        wait(self.0.object(), timeout)
    }
}

fn wait_for_events(events: &[&Event], kind: WAIT_TYPE, timeout: Option<i64>) -> NTSTATUS {
    let objects: Vec<_> = events.iter().map(|event| event.0.object()).collect();
    wait_for(&objects, kind, timeout)
}

#[test]
fn a_notification_event_stays_signalled() {
    let event = Event::new(NotificationEvent, false);
    assert_eq!(event.read(), 0);
    assert_eq!(event.wait(Some(0)), STATUS_TIMEOUT);
    assert_eq!(
        (event.set(), event.set()),
        (0, 1),
        "the state before is returned"
    );
    assert_eq!(
        (event.wait(None), event.wait(None), event.read()),
        (0, 0, 1)
    );
    assert_eq!(nt!(KeResetEvent(event.get())), 1);
    assert_eq!(event.read(), 0);
    event.set();
    nt!(KeClearEvent(event.get()));
    assert_eq!(event.read(), 0, "without a word of the state before");
}

#[test]
fn a_synchronization_event_is_consumed_by_one_wait() {
    let event = Event::new(SynchronizationEvent, true);
    assert_eq!(
        (event.wait(Some(0)), event.wait(Some(0))),
        (STATUS_SUCCESS, STATUS_TIMEOUT)
    );
}

#[test]
fn a_time_out_takes_its_time() {
    let event = Event::new(SynchronizationEvent, false);
    let start = Instant::now();
    assert_eq!(event.wait(Some(20 * MS)), STATUS_TIMEOUT);
    assert!(start.elapsed() >= Duration::from_millis(20));
    // A system time that has gone by.
    assert_eq!(event.wait(Some(1)), STATUS_TIMEOUT);
}

#[test]
fn each_signal_wakes_one_waiter_and_a_notification_all() {
    for (kind, woken) in [(SynchronizationEvent, 1), (NotificationEvent, 8)] {
        let (event, done) = (Event::new(kind, false), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    assert_eq!(event.wait(None), STATUS_SUCCESS);
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            sleep(50);
            assert_eq!(event.set(), 0);
            while done.load(Ordering::Relaxed) < woken {
                thread::yield_now();
            }
            sleep(20);
            assert_eq!(done.load(Ordering::Relaxed), woken);
            while done.load(Ordering::Relaxed) < 8 {
                event.set();
            }
        });
    }
}

#[test]
fn a_pulse_satisfies_those_who_wait_and_leaves_the_event_not_signalled() {
    let event = Event::new(NotificationEvent, false);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| event.wait(None));
        while !waiter.is_finished() {
            nt!(KePulseEvent(event.get(), 0, FALSE));
            assert_eq!(event.read(), 0);
        }
    });
}

#[test]
fn a_pulse_returns_the_state_before_and_lets_one_through_a_synchronization_event() {
    let pulse = |event: &Event| nt!(KePulseEvent(event.get(), 0, FALSE));
    for kind in [NotificationEvent, SynchronizationEvent] {
        let event = Event::new(kind, true);
        assert_eq!((pulse(&event), event.read(), pulse(&event)), (1, 0, 0));
    }
    let (event, done) = (Event::new(SynchronizationEvent, false), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(event.wait(None), STATUS_SUCCESS);
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        sleep(50);
        for woken in 1..=4 {
            pulse(&event);
            while done.load(Ordering::SeqCst) < woken {
                thread::yield_now();
            }
            sleep(10);
            assert_eq!(done.load(Ordering::SeqCst), woken);
        }
    });
}

#[test]
fn what_a_wait_returns_is_a_success_that_tells_nothing_of_the_event() {
    let event = Event::new(SynchronizationEvent, false);
    let timed_out = event.wait(Some(0));
    assert_eq!(timed_out, STATUS_TIMEOUT);
    assert!(NT_SUCCESS(timed_out) && NT_SUCCESS(STATUS_ALERTED) && NT_SUCCESS(STATUS_USER_APC));
}

#[test]
fn signalling_with_wait_keeps_the_irql_up_until_the_wait() {
    let signal: [fn(&Event) -> LONG; 2] = [
        |event| nt!(KeSetEvent(event.get(), 0, TRUE)),
        |event| nt!(KePulseEvent(event.get(), 0, TRUE)),
    ];
    for signal in signal {
        for before in [PASSIVE, APC] {
            let outer = raise(before);
            let event = Event::new(NotificationEvent, true);
            let next = Event::new(SynchronizationEvent, true);
            assert_eq!((signal(&event), irql()), (1, DISPATCH));
            assert_eq!((next.wait(None), irql()), (STATUS_SUCCESS, before));
            lower(outer);
        }
    }
}

#[test]
fn any_of_several_gives_the_index_of_the_first_that_is_signalled() {
    let events: [_; 5] = std::array::from_fn(|n| Event::new(SynchronizationEvent, n == 3));
    let all: Vec<_> = events.iter().collect();
    assert_eq!(wait_for_events(&all, WaitAny, None), STATUS_SUCCESS + 3);
    assert_eq!(events[3].read(), 0, "the event is consumed");
    assert_eq!(wait_for_events(&all, WaitAny, Some(MS)), STATUS_TIMEOUT);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_for_events(&all, WaitAny, None));
        sleep(20);
        events[4].set();
        assert_eq!(waiter.join().expect("no panic"), STATUS_SUCCESS + 4);
    });
    assert_eq!(events[4].read(), 0, "the event was consumed for the waiter");
}

#[test]
fn all_of_several_are_taken_together_or_not_at_all() {
    let events: [_; 3] = std::array::from_fn(|_| Event::new(SynchronizationEvent, false));
    let all: Vec<_> = events.iter().collect();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_for_events(&all, WaitAll, None));
        events[0].set();
        events[2].set();
        sleep(20);
        assert_eq!(
            (events[0].read(), events[2].read()),
            (1, 1),
            "nothing is taken early"
        );
        events[1].set();
        assert_eq!(waiter.join().expect("no panic"), STATUS_SUCCESS);
        assert_eq!(events.each_ref().map(Event::read), [0; 3]);
    });
}

#[test]
fn ping_pong_between_threads() {
    let (request, answer) = (
        Event::new(SynchronizationEvent, false),
        Event::new(SynchronizationEvent, false),
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..5000 {
                request.wait(None);
                answer.set();
            }
        });
        for _ in 0..5000 {
            request.set();
            answer.wait(None);
        }
    });
}

#[test]
fn a_try_is_allowed_at_dispatch_level() {
    let event = Event::new(SynchronizationEvent, true);
    let old = raise(DISPATCH);
    assert_eq!(
        (event.wait(Some(0)), event.wait(Some(0))),
        (STATUS_SUCCESS, STATUS_TIMEOUT)
    );
    lower(old);
}

#[test]
fn a_wait_without_time_out_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let event = Event::new(SynchronizationEvent, true);
        raise(DISPATCH);
        event.wait(None);
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[3]),
        (0xC4, 0x121, 0)
    );
}

#[test]
fn a_wait_with_a_time_out_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let event = Event::new(SynchronizationEvent, true);
        raise(DISPATCH);
        event.wait(Some(MS));
    });
    assert_eq!((report.code, report.parameters[0]), (0xC4, 0x122));
}

#[test]
fn an_event_that_was_never_initialised() {
    let report = expect_bug_check(|| {
        let event = Event(Object::default());
        event.set();
    });
    assert_eq!((report.code, report.parameters[0]), (0xC4, 0x1002));
    let report = expect_bug_check(|| {
        let event = Event(Object::default());
        event.wait(Some(0));
    });
    assert_eq!((report.code, report.parameters[0]), (0xC4, 0x1002));
}

#[test]
fn setting_above_dispatch_level() {
    let report = expect_bug_check(|| {
        let event = Event::new(SynchronizationEvent, true);
        raise(HIGH);
        event.set();
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (0xC4, &[0x80, 15][..])
    );
}

#[test]
fn as_many_objects_as_a_wait_can_have() {
    let events: Vec<_> = (0..64)
        .map(|_| Event::new(SynchronizationEvent, true))
        .collect();
    let events: Vec<_> = events.iter().collect();
    assert_eq!(wait_for_events(&events, WaitAll, None), STATUS_SUCCESS);
    assert!(events.iter().all(|event| event.read() == 0));
    events[63].set();
    assert_eq!(wait_for_events(&events, WaitAny, None), 63);
    // Without wait blocks of its own, a wait has those of its thread, which are three.
    let objects: Vec<_> = events.iter().map(|event| event.0.object()).collect();
    let without_blocks = |count: ULONG| {
        let mut objects = objects.clone();
        let mut timeout = LARGE_INTEGER { QuadPart: 0 };
        nt!(KeWaitForMultipleObjects(
            count,
            objects.as_mut_ptr(),
            WaitAny,
            0,
            0,
            FALSE,
            &raw mut timeout,
            core::ptr::null_mut()
        ))
    };
    events[2].set();
    assert_eq!(without_blocks(3), 2);
    let report = expect_bug_check(|| {
        without_blocks(4);
    });
    assert_eq!(report.code, bugcheck::MAXIMUM_WAIT_OBJECTS_EXCEEDED);
}

#[test]
fn an_absolute_time_out_is_a_system_time() {
    let event = Event::new(SynchronizationEvent, false);
    let mut now = LARGE_INTEGER::default();
    nt!(KeQuerySystemTimePrecise(&raw mut now));
    // SAFETY: The union is one number.
    let now = unsafe { now.QuadPart };
    let start = Instant::now();
    assert_eq!(event.wait(Some(now - 20 * MS)), STATUS_TIMEOUT);
    assert!(start.elapsed() >= Duration::from_millis(19));
}

#[test]
fn an_increment_raises_nobodys_priority() {
    let event = Event::new(SynchronizationEvent, false);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let me = nt!(KeGetCurrentThread());
            let before = nt!(KeQueryPriorityThread(me));
            event.wait(None);
            nt!(KeQueryPriorityThread(me)) - before
        });
        sleep(10);
        nt!(KeSetEvent(event.get(), 6, FALSE));
        assert_eq!(waiter.join().expect("no panic"), 0);
    });
}

#[test]
fn more_objects_than_a_wait_can_have() {
    let report = expect_bug_check(|| {
        let events: Vec<_> = (0..65)
            .map(|_| Event::new(NotificationEvent, true))
            .collect();
        wait_for_events(&events.iter().collect::<Vec<_>>(), WaitAny, None);
    });
    assert_eq!(report.code, bugcheck::MAXIMUM_WAIT_OBJECTS_EXCEEDED);
}
