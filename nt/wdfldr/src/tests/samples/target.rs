//! `usb/kmdf_fx2` and `toastmon`, in how they stop, start and purge a target: what becomes of requests then,
//! and of those that take too long.

use super::lower::{ANSWER, KEEP};
use super::requester::{ask, create, delete, options, reuse, sending};
use crate::abi::{
    PFN_WDF_REQUEST_COMPLETION_ROUTINE, STATUS_IO_TIMEOUT, STATUS_WDF_DEVICE_REMOVED_NOT_SENT,
    SendFlags, WDF_REQUEST_COMPLETION_PARAMS, WDFCONTEXT, WDFIOTARGET, WDFOBJECT, WDFREQUEST,
    WdfIoTargetCancelSentIo, WdfIoTargetLeaveSentIoPending, WdfIoTargetPurgeIo, WdfIoTargetPurged,
    WdfIoTargetStarted, WdfIoTargetStopped,
};
use crate::tests::callbacks::{event, wdf};
use crate::tests::harness::{note, null};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use nt_abi::{NTSTATUS, STATUS_CANCELLED, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS};

/// How many requests came back, and the last one's status.
static BACK: AtomicU32 = AtomicU32::new(0);
static STATUS: AtomicI32 = AtomicI32::new(0);

/// 100 ns to a millisecond.
const MILLISECOND: i64 = 10_000;

const COMPLETION: PFN_WDF_REQUEST_COMPLETION_ROUTINE =
    Some(event!(|_request: WDFREQUEST,
                 _target: WDFIOTARGET,
                 parameters: *mut WDF_REQUEST_COMPLETION_PARAMS,
                 _context: WDFCONTEXT| {
        // SAFETY: The framework passes the parameters.
        let status = unsafe { (*parameters).IoStatus.Status };
        note(std::format!("back with {status:x}"));
        STATUS.store(status, Ordering::Release);
        BACK.fetch_add(1, Ordering::AcqRel);
    }));

/// Formats a request and sends it; whether it was sent. What it comes back with is noted.
pub fn send(target: WDFIOTARGET, request: WDFREQUEST, code: u32, flags: u32, timeout: i64) -> bool {
    assert_eq!(reuse(request, 0), STATUS_SUCCESS);
    let none = WDFOBJECT::NULL;
    let formatted = wdf!(request::WdfIoTargetFormatRequestForIoctl(
        target,
        request,
        code,
        none,
        null(),
        none,
        null()
    ));
    assert_eq!(formatted, STATUS_SUCCESS);
    wdf!(request::WdfRequestSetCompletionRoutine(
        request,
        COMPLETION,
        null()
    ));
    let mut options = options(flags, timeout);
    wdf!(request::WdfRequestSend(request, target, &raw mut options)) != 0
}

fn state(target: WDFIOTARGET) -> i32 {
    wdf!(io_target::WdfIoTargetGetState(target))
}

fn start(target: WDFIOTARGET) {
    let started = wdf!(io_target::WdfIoTargetStart(target));
    assert_eq!(
        (started, state(target)),
        (STATUS_SUCCESS, WdfIoTargetStarted)
    );
}

fn stop(target: WDFIOTARGET, action: i32) {
    wdf!(io_target::WdfIoTargetStop(target, action));
    assert_eq!(state(target), WdfIoTargetStopped);
}

/// Counts from here on.
fn begin() {
    BACK.store(0, Ordering::Release);
}

/// The number of requests that are back, and the status of the last.
fn back() -> (u32, NTSTATUS) {
    (BACK.load(Ordering::Acquire), STATUS.load(Ordering::Acquire))
}

/// Waits until a request is back; its status.
fn until_back() -> NTSTATUS {
    for _ in 0..5000 {
        if let (1, status) = back() {
            return status;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("the request does not come back")
}

#[test]
fn a_stopped_target_keeps_requests_until_it_is_started() {
    let log = sending(|target| {
        begin();
        let request = create(target);
        stop(target, WdfIoTargetLeaveSentIoPending);
        assert!(send(target, request, ANSWER, 0, 0));
        assert_eq!(back().0, 0);
        note("start");
        start(target);
        assert_eq!(back(), (1, STATUS_SUCCESS));
        let ignores = SendFlags::IGNORE_TARGET_STATE;
        stop(target, WdfIoTargetCancelSentIo);
        assert!(send(target, request, ANSWER, ignores, 0));
        assert_eq!(back(), (2, STATUS_SUCCESS));
        start(target);
        delete(request);
    });
    assert_eq!(log, ["start", "back with 0", "back with 0"]);
}

#[test]
fn what_waits_in_a_stopped_target_is_cancelled_or_late() {
    sending(|target| {
        begin();
        let request = create(target);
        stop(target, WdfIoTargetLeaveSentIoPending);
        assert!(send(target, request, ANSWER, 0, 0));
        assert_eq!(wdf!(request::WdfRequestCancelSentRequest(request)), 1);
        assert_eq!(back(), (1, STATUS_CANCELLED));
        begin();
        assert!(send(
            target,
            request,
            ANSWER,
            SendFlags::TIMEOUT,
            -MILLISECOND
        ));
        assert_eq!(until_back(), STATUS_IO_TIMEOUT);
        // One that is waited for.
        assert_eq!(ask(target, WDFOBJECT::NULL, ANSWER).0, STATUS_IO_TIMEOUT);
        start(target);
        assert_eq!(ask(target, WDFOBJECT::NULL, ANSWER).0, STATUS_SUCCESS);
        delete(request);
    });
}

#[test]
fn stopping_can_cancel_what_is_out() {
    sending(|target| {
        begin();
        let requests = [create(target), create(target)];
        for request in requests {
            assert!(send(target, request, KEEP, 0, 0));
        }
        stop(target, WdfIoTargetLeaveSentIoPending);
        assert_eq!(back().0, 0);
        stop(target, WdfIoTargetCancelSentIo);
        assert_eq!(back(), (2, STATUS_CANCELLED));
        requests.into_iter().for_each(delete);
    });
}

#[test]
fn a_purged_target_refuses_until_it_is_started() {
    let log = sending(|target| {
        begin();
        let [kept, request] = [create(target), create(target)];
        assert!(send(target, kept, KEEP, 0, 0));
        stop(target, WdfIoTargetLeaveSentIoPending);
        assert!(send(target, request, ANSWER, 0, 0));
        wdf!(io_target::WdfIoTargetPurge(target, WdfIoTargetPurgeIo));
        assert_eq!(state(target), WdfIoTargetPurged);
        assert_eq!(back().0, 2);
        assert!(!send(target, request, ANSWER, 0, 0));
        let status = wdf!(request::WdfRequestGetStatus(request));
        assert_eq!(status, STATUS_INVALID_DEVICE_STATE);
        start(target);
        assert!(send(target, request, ANSWER, 0, 0));
        assert_eq!(back(), (3, STATUS_SUCCESS));
        delete(kept);
        delete(request);
    });
    let refused = std::format!("back with {STATUS_WDF_DEVICE_REMOVED_NOT_SENT:x}");
    assert_eq!(log, [&refused, "back with c0000120", "back with 0"]);
}

#[test]
fn a_request_that_nobody_waits_for_has_its_time() {
    sending(|target| {
        let request = create(target);
        for (code, status) in [(KEEP, STATUS_IO_TIMEOUT), (ANSWER, STATUS_SUCCESS)] {
            begin();
            let time = if code == KEEP { 1 } else { 10_000 };
            let due = -time * MILLISECOND;
            // The first call makes the timer, the second finds it.
            for _ in 0..2 {
                let allocated = wdf!(request::WdfRequestAllocateTimer(request));
                assert_eq!(allocated, STATUS_SUCCESS);
            }
            assert!(send(target, request, code, SendFlags::TIMEOUT, due));
            assert_eq!(until_back(), status);
        }
        delete(request);
    });
}

#[test]
fn a_target_that_goes_takes_its_requests_back() {
    let log = sending(|target| {
        for flags in [0, SendFlags::IGNORE_TARGET_STATE] {
            assert!(send(target, create(target), KEEP, flags, 0));
        }
        note("sent");
    });
    assert_eq!(log, ["sent", "back with c0000120", "back with c0000120"]);
}
