//! Power-managed queues: what stopping, restarting and losing a device does to requests.

use super::add::give_interface;
use super::callbacks::{driver, event, wdf};
use super::harness::{interface, note, noted, null, queue_config, status_of, with_device};
use crate::abi::{
    PWDFDEVICE_INIT, WDFDEVICE, WDFOBJECT, WDFQUEUE, WDFREQUEST, WdfFalse,
    WdfRequestStopActionPurge, WdfRequestStopRequestCancelable, WdfUseDefault,
};
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use nt_abi::{NTSTATUS, STATUS_CANCELLED, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS};
use nthost::{File, Kernel};
use std::time::Duration;

static QUEUE: AtomicUsize = AtomicUsize::new(0);
static REQUEST: AtomicUsize = AtomicUsize::new(0);
/// What the driver does when its queue stops.
static ON_STOP: AtomicI32 = AtomicI32::new(0);
const KEEP: i32 = 0;
const GIVE_BACK: i32 = 1;
const COMPLETE: i32 = 2;
/// `WdfRequestStopActionSuspend`.
const SUSPEND: u32 = 1;

fn queue() -> WDFQUEUE {
    WDFOBJECT(QUEUE.load(Ordering::Acquire))
}

fn request() -> WDFREQUEST {
    WDFOBJECT(REQUEST.load(Ordering::Acquire))
}

unsafe extern "win64" fn stop(_: WDFQUEUE, request: WDFREQUEST, action: u32) {
    note(std::format!("stop {action:x}"));
    match ON_STOP.load(Ordering::Acquire) {
        KEEP => wdf!(request::WdfRequestStopAcknowledge(request, 0)),
        GIVE_BACK => wdf!(request::WdfRequestStopAcknowledge(request, 1)),
        _ => wdf!(request::WdfRequestComplete(request, STATUS_CANCELLED)),
    }
}

fn device_with_queue(mut init: PWDFDEVICE_INIT, power_managed: i32) -> NTSTATUS {
    let mut device: WDFDEVICE = WDFOBJECT::NULL;
    let status = wdf!(device::WdfDeviceCreate(
        &raw mut init,
        null(),
        &raw mut device
    ));
    assert_eq!(status, STATUS_SUCCESS);
    give_interface(device);
    let mut config = queue_config(1);
    config.PowerManaged = power_managed;
    config.EvtIoDefault = Some(event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
        REQUEST.store(request.0, Ordering::Release);
        note("presented");
    }));
    config.EvtIoStop = Some(stop);
    config.EvtIoResume = Some(event!(|_queue: WDFQUEUE, _request: WDFREQUEST| note(
        "resumed"
    )));
    let mut queue = WDFOBJECT::NULL;
    let status = wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        &raw mut queue
    ));
    QUEUE.store(queue.0, Ordering::Release);
    status
}

fn power_managed(init: PWDFDEVICE_INIT) -> NTSTATUS {
    device_with_queue(init, WdfUseDefault)
}

/// Waits until the queue has that many waiting and driver-owned requests.
fn until(kernel: Kernel, expected: (u32, u32)) {
    for _ in 0..5000 {
        let (mut waiting, mut owned) = (0, 0);
        let counts = || {
            wdf!(queue::WdfIoQueueGetState(
                queue(),
                &raw mut waiting,
                &raw mut owned
            ))
        };
        kernel.run(counts).expect("no bug check");
        if (waiting, owned) == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{expected:?} did not come about");
}

fn complete(kernel: Kernel) {
    let complete = || wdf!(request::WdfRequestComplete(request(), STATUS_SUCCESS));
    kernel.run(complete).expect("no bug check");
}

/// Sends a request while `then` runs, and gives its status.
fn sending(file: &File, then: impl FnOnce()) -> NTSTATUS {
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| status_of(&file.ioctl(0x22_2000, &[], &mut [])));
        then();
        sender.join().expect("sender")
    })
}

#[test]
fn a_stopped_device_gets_its_requests_when_it_is_restarted() {
    let log = with_device(driver!(power_managed), |kernel, device| {
        let file = kernel.open(interface()).expect("open");
        device.stop().expect("stop");
        let status = sending(&file, || {
            until(kernel, (1, 0));
            note("restart");
            device.start().expect("start");
            until(kernel, (0, 1));
            complete(kernel);
        });
        assert_eq!(status, STATUS_SUCCESS);
    });
    assert_eq!(log, ["restart", "presented"]);
}

#[test]
fn a_queue_that_is_not_power_managed_does_not_care() {
    let log = with_device(
        driver!(|init| device_with_queue(init, WdfFalse)),
        |kernel, device| {
            let file = kernel.open(interface()).expect("open");
            device.stop().expect("stop");
            let status = sending(&file, || {
                until(kernel, (0, 1));
                complete(kernel);
            });
            assert_eq!(status, STATUS_SUCCESS);
            device.start().expect("start");
        },
    );
    assert_eq!(log, ["presented"]);
}

/// Stops and starts the device while the driver has a request, and gives the request's status.
fn stopping_with_a_request(on_stop: i32) -> (NTSTATUS, std::vec::Vec<std::string::String>) {
    let mut status = STATUS_SUCCESS;
    let log = with_device(driver!(power_managed), |kernel, device| {
        ON_STOP.store(on_stop, Ordering::Release);
        let file = kernel.open(interface()).expect("open");
        status = sending(&file, || {
            until(kernel, (0, 1));
            device.stop().expect("stop");
            note("stopped");
            device.start().expect("start");
            if on_stop != COMPLETE {
                until(kernel, (0, 1));
                complete(kernel);
            }
        });
    });
    (status, log)
}

#[test]
fn a_request_that_the_driver_keeps_is_resumed() {
    let (status, log) = stopping_with_a_request(KEEP);
    assert_eq!(status, STATUS_SUCCESS);
    let suspended = std::format!("stop {SUSPEND:x}");
    assert_eq!(log, ["presented", &suspended, "stopped", "resumed"]);
}

#[test]
fn a_request_that_the_driver_gives_back_is_presented_again() {
    let (status, log) = stopping_with_a_request(GIVE_BACK);
    assert_eq!(status, STATUS_SUCCESS);
    let suspended = std::format!("stop {SUSPEND:x}");
    assert_eq!(log, ["presented", &suspended, "stopped", "presented"]);
}

#[test]
fn a_request_that_the_driver_completes_lets_the_device_stop() {
    let (status, log) = stopping_with_a_request(COMPLETE);
    assert_eq!(status, STATUS_CANCELLED);
    let suspended = std::format!("stop {SUSPEND:x}");
    assert_eq!(log, ["presented", &suspended, "stopped"]);
}

#[test]
fn a_device_that_is_gone_loses_its_requests() {
    let log = with_device(driver!(power_managed), |kernel, device| {
        ON_STOP.store(KEEP, Ordering::Release);
        let file = kernel.open(interface()).expect("open");
        std::thread::scope(|scope| {
            let first = scope.spawn(|| status_of(&file.ioctl(0x22_2000, &[], &mut [])));
            until(kernel, (0, 1));
            let second = scope.spawn(|| status_of(&file.ioctl(0x22_2000, &[], &mut [])));
            until(kernel, (1, 1));
            let cancelable = || {
                let cancel = event!(|request: WDFREQUEST| {
                    note("cancel");
                    wdf!(request::WdfRequestComplete(request, STATUS_CANCELLED));
                });
                let marked = wdf!(request::WdfRequestMarkCancelableEx(request(), Some(cancel)));
                assert_eq!(marked, STATUS_SUCCESS);
            };
            kernel.run(cancelable).expect("no bug check");
            device.surprise_remove().expect("surprise");
            assert_eq!(first.join().expect("sender"), STATUS_CANCELLED);
            assert_eq!(second.join().expect("sender"), STATUS_CANCELLED);
        });
        let late = file.ioctl(0x22_2000, &[], &mut []);
        assert_eq!(status_of(&late), STATUS_INVALID_DEVICE_STATE);
        let start = || wdf!(queue::WdfIoQueueStart(queue()));
        kernel.run(start).expect("no bug check");
        let late = file.ioctl(0x22_2000, &[], &mut []);
        assert_eq!(
            status_of(&late),
            STATUS_INVALID_DEVICE_STATE,
            "the queue is at its end"
        );
    });
    let suspended = std::format!("stop {:x}", SUSPEND | WdfRequestStopRequestCancelable);
    assert_eq!(log, ["presented", &suspended, "cancel"]);
    assert_ne!(SUSPEND, WdfRequestStopActionPurge);
}

#[test]
fn what_becomes_cancelable_during_a_purge_is_cancelled() {
    let log = with_device(driver!(power_managed), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let status = sending(&file, || {
            until(kernel, (0, 1));
            let purge = || {
                wdf!(queue::WdfIoQueuePurge(queue(), None, null()));
                let cancel = event!(|_request: WDFREQUEST| note("cancel"));
                let marked = wdf!(request::WdfRequestMarkCancelableEx(request(), Some(cancel)));
                assert_eq!(marked, STATUS_CANCELLED);
                wdf!(request::WdfRequestComplete(request(), STATUS_CANCELLED));
            };
            kernel.run(purge).expect("no bug check");
        });
        assert_eq!(status, STATUS_CANCELLED);
        assert_eq!(noted(), ["presented"]);
    });
    assert!(log.is_empty(), "{log:?}");
}
