//! Alertable waits that are alerted. On nthost.
#![cfg(not(windows))]

use core::{ptr, time::Duration};

use nthost::ntddk::{HANDLE, STATUS_SUCCESS, ZwAlertThread};
use wdk_sync::{
    Alertable, Event, NonPaged, Signal, Timeout, WaitAny, WaitStatus, sleep_alertable,
    testing::at_passive_level, wait_all_alertable, wait_any_alertable, wait_in_user_mode,
};

const SOON: Timeout = Timeout::After(Duration::from_millis(2));

/// Alerts the calling thread.
fn alert() {
    /// `NtCurrentThread()`.
    const CURRENT: HANDLE = ptr::without_provenance_mut(usize::MAX - 1);
    // SAFETY: The handle is that of the calling thread.
    let status = unsafe { ZwAlertThread(CURRENT) };
    assert_eq!(status, STATUS_SUCCESS);
}

fn event() -> NonPaged<Event> {
    NonPaged::pin_init(Event::new(Signal::Notification, false)).unwrap()
}

#[test]
fn each_alertable_wait_says_that_it_was_alerted_and_the_next_one_waits() {
    at_passive_level(|irql| {
        let (one, other) = (event(), event());
        alert();
        let status = one.wait_alertable(irql, Timeout::Never, Alertable::Yes);
        assert_eq!(status, WaitStatus::Alerted);
        let status = one.wait_alertable(irql, SOON, Alertable::Yes);
        assert_eq!(status, WaitStatus::TimedOut);

        alert();
        let status = sleep_alertable(irql, Duration::from_millis(1));
        assert_eq!(status, WaitStatus::Alerted);

        alert();
        // SAFETY: The event lies in pool, and nothing of this thread's stack is in use meanwhile.
        let status = unsafe { wait_in_user_mode(irql, &*one, Timeout::Never, Alertable::Yes) };
        assert_eq!(status, WaitStatus::Alerted);

        alert();
        let any = wait_any_alertable(irql, [&*one, &*other], Timeout::Never, Alertable::Yes);
        assert_eq!(any, WaitAny::Alerted);

        alert();
        let all = wait_all_alertable(irql, [&*one, &*other], Timeout::Never, Alertable::Yes);
        assert_eq!(all, WaitStatus::Alerted);
    });
}

#[test]
fn a_wait_that_is_not_alertable_is_not_ended_and_leaves_the_alert() {
    at_passive_level(|irql| {
        let event = event();
        alert();
        assert_eq!(event.wait(irql, SOON), WaitStatus::TimedOut);
        let status = event.wait_alertable(irql, SOON, Alertable::Yes);
        assert_eq!(status, WaitStatus::Alerted);
    });
}
