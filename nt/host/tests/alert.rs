//! Alerts: which waits they end, and when.
#![cfg(not(windows))]

mod support;

use core::ptr;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use nthost::ntddk::*;
use support::*;

/// `NtCurrentThread()`.
const CURRENT: HANDLE = ptr::without_provenance_mut(usize::MAX - 1);

fn alert(thread: HANDLE) {
    assert_eq!(nt!(ZwAlertThread(thread)), STATUS_SUCCESS);
}

fn event(signalled: BOOLEAN) -> Object<KEVENT> {
    let event = Object::default();
    nt!(KeInitializeEvent(event.get(), 0, signalled));
    event
}

fn wait_alertable(event: &Object<KEVENT>, timeout: i64) -> NTSTATUS {
    let mut timeout = LARGE_INTEGER { QuadPart: timeout };
    nt!(KeWaitForSingleObject(
        event.object(),
        0,
        0,
        TRUE,
        &raw mut timeout
    ))
}

fn delay(alertable: BOOLEAN) -> NTSTATUS {
    let mut interval = LARGE_INTEGER { QuadPart: MS };
    nt!(KeDelayExecutionThread(0, alertable, &raw mut interval))
}

#[test]
fn an_alert_before_the_wait_ends_it_once() {
    on_system_thread(|| {
        let event = event(FALSE);
        alert(CURRENT);
        assert_eq!(wait_alertable(&event, MS), STATUS_ALERTED);
        assert_eq!(wait_alertable(&event, MS), STATUS_TIMEOUT);
    });
}

#[test]
fn a_wait_that_need_not_wait_leaves_the_alert_for_the_next() {
    on_system_thread(|| {
        alert(CURRENT);
        assert_eq!(wait_alertable(&event(TRUE), MS), STATUS_SUCCESS);
        assert_eq!(wait(event(FALSE).object(), Some(MS)), STATUS_TIMEOUT);
        assert_eq!(delay(FALSE), STATUS_SUCCESS);
        assert_eq!(wait_alertable(&event(FALSE), 0), STATUS_ALERTED);
    });
}

#[test]
fn an_alert_ends_a_wait_of_another_thread() {
    let event = event(FALSE);
    let statuses = [AtomicI32::new(0), AtomicI32::new(0)];
    let alertable = start_system_thread(|| {
        statuses[0].store(wait_alertable(&event, 10_000 * MS), SeqCst);
    });
    let other = start_system_thread(|| {
        statuses[1].store(wait(event.object(), None), SeqCst);
    });
    sleep(20);
    alert(other);
    alert(alertable);
    join(alertable);
    nt!(KeSetEvent(event.get(), 0, FALSE));
    join(other);
    assert_eq!(
        statuses.map(AtomicI32::into_inner),
        [STATUS_ALERTED, STATUS_SUCCESS]
    );
}

#[test]
fn a_delay_may_be_alertable_too() {
    on_system_thread(|| {
        alert(CURRENT);
        assert_eq!(delay(TRUE), STATUS_ALERTED);
        assert_eq!(delay(TRUE), STATUS_SUCCESS);
    });
}

#[test]
fn a_wait_for_several_objects() {
    on_system_thread(|| {
        let events = [event(FALSE), event(FALSE)];
        let mut objects = [events[0].object(), events[1].object()];
        alert(CURRENT);
        let status = nt!(KeWaitForMultipleObjects(
            2,
            objects.as_mut_ptr(),
            _WAIT_TYPE::WaitAny,
            0,
            0,
            TRUE,
            ptr::null_mut(),
            ptr::null_mut()
        ));
        assert_eq!(status, STATUS_ALERTED);
    });
}
