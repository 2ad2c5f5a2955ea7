//! Queues: dispatching methods, stopping and purging, forwarding, power.

use super::add::{create_device, give_interface};
use super::callbacks::{driver, event, wdf};
use super::harness::{interface, note, noted, null, queue_config, status_of, with_device};
use crate::abi::{
    PWDFDEVICE_INIT, STATUS_WDF_NO_CALLBACK, STATUS_WDF_PAUSED, WDFCONTEXT, WDFDEVICE, WDFOBJECT,
    WDFQUEUE, WDFREQUEST,
};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use nt_abi::{
    NTSTATUS, STATUS_CANCELLED, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_NO_MORE_ENTRIES, STATUS_SUCCESS,
};
use nthost::{File, Kernel};
use std::string::String;
use std::sync::Mutex;
use std::time::Duration;
use std::vec::Vec;

static DEVICE: AtomicUsize = AtomicUsize::new(0);
static QUEUE: AtomicUsize = AtomicUsize::new(0);
static MANUAL: AtomicUsize = AtomicUsize::new(0);
/// Requests that the driver keeps.
static KEPT: Mutex<Vec<WDFREQUEST>> = Mutex::new(Vec::new());

fn handle(place: &AtomicUsize) -> WDFOBJECT {
    WDFOBJECT(place.load(Ordering::Acquire))
}

fn device_to_open(init: PWDFDEVICE_INIT) -> WDFDEVICE {
    let device = create_device(init);
    give_interface(device);
    DEVICE.store(device.0, Ordering::Release);
    KEPT.lock().unwrap().clear();
    device
}

/// A default queue that keeps what it gets.
fn keeping(device: WDFDEVICE, dispatch: i32, limit: Option<u32>) -> NTSTATUS {
    let mut config = queue_config(dispatch);
    if let Some(limit) = limit {
        config.NumberOfPresentedRequests = limit;
    }
    if dispatch != 3 {
        config.EvtIoDeviceControl =
            Some(event!(|_queue: WDFQUEUE,
                         request: WDFREQUEST,
                         _output: usize,
                         _input: usize,
                         code: u32| {
                note(std::format!("request {}", (code >> 2) & 0xFF));
                KEPT.lock().unwrap().push(request);
            }));
    }
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

fn complete_kept(status: NTSTATUS) {
    let request = KEPT.lock().unwrap().remove(0);
    wdf!(request::WdfRequestComplete(request, status));
}

fn counts(queue: WDFQUEUE) -> (u32, u32) {
    let (mut pending, mut owned) = (0, 0);
    wdf!(queue::WdfIoQueueGetState(
        queue,
        &raw mut pending,
        &raw mut owned
    ));
    (pending, owned)
}

/// Waits until the queue holds that many waiting and driver-owned requests.
fn until(kernel: Kernel, queue: WDFQUEUE, expected: (u32, u32)) {
    let mut last = (0, 0);
    for _ in 0..5000 {
        last = kernel.run(|| counts(queue)).expect("no bug check");
        if last == expected {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{expected:?} did not come about, but {last:?}");
}

const fn code(number: u32) -> u32 {
    nt_abi::CTL_CODE(0x22, number, 0, 0)
}

/// Sends requests 1 to `count` one after the other from threads of their own, and gives their
/// statuses.
fn send(file: &File, count: u32, arrived: impl Fn(u32), then: impl FnOnce()) -> Vec<NTSTATUS> {
    std::thread::scope(|scope| {
        let senders: Vec<_> = (1..=count)
            .map(|number| {
                let sender =
                    scope.spawn(move || status_of(&file.ioctl(code(number), &[], &mut [])));
                arrived(number);
                sender
            })
            .collect();
        then();
        senders
            .into_iter()
            .map(|sender| sender.join().expect("sender"))
            .collect()
    })
}

#[test]
fn a_sequential_queue_presents_the_next_request_when_one_is_completed() {
    let log = with_device(
        driver!(|init| keeping(device_to_open(init), 1, None)),
        |kernel, _| {
            let file = kernel.open(interface()).expect("open");
            let queue = handle(&QUEUE);
            let statuses = send(
                &file,
                3,
                |number| until(kernel, queue, (number - 1, 1)),
                || {
                    for left in (0..3).rev() {
                        kernel
                            .run(|| complete_kept(STATUS_SUCCESS))
                            .expect("no bug check");
                        until(kernel, queue, (u32::saturating_sub(left, 1), left.min(1)));
                    }
                },
            );
            assert_eq!(statuses, [STATUS_SUCCESS; 3]);
        },
    );
    assert_eq!(log, ["request 1", "request 2", "request 3"]);
}

#[test]
fn a_parallel_queue_presents_up_to_its_limit() {
    with_device(
        driver!(|init| keeping(device_to_open(init), 2, Some(2))),
        |kernel, _| {
            let file = kernel.open(interface()).expect("open");
            let queue = handle(&QUEUE);
            send(
                &file,
                3,
                |number| until(kernel, queue, (number.saturating_sub(2), number.min(2))),
                || {
                    for _ in 0..3 {
                        kernel
                            .run(|| complete_kept(STATUS_SUCCESS))
                            .expect("no bug check");
                    }
                },
            );
        },
    );
}

#[test]
fn a_manual_queue_gives_requests_when_asked() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let status = keeping(device_to_open(init), 3, None);
        let ready = event!(|_queue: WDFQUEUE, _context: WDFCONTEXT| note("ready"));
        let set = || {
            wdf!(queue::WdfIoQueueReadyNotify(
                handle(&QUEUE),
                Some(ready),
                null()
            ))
        };
        assert_eq!(set(), STATUS_SUCCESS);
        assert_eq!(set(), STATUS_INVALID_DEVICE_REQUEST, "there is one");
        status
    }
    let log = with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let queue = handle(&QUEUE);
        let statuses = send(
            &file,
            2,
            |number| until(kernel, queue, (number, 0)),
            || {
                let take_all = || {
                    let mut request = WDFOBJECT::NULL;
                    let place = &raw mut request;
                    let next = || wdf!(queue::WdfIoQueueRetrieveNextRequest(queue, place));
                    assert_eq!(next(), STATUS_SUCCESS);
                    assert_eq!(counts(queue), (1, 1));
                    let first = request;
                    assert_eq!(wdf!(request::WdfRequestRequeue(first)), STATUS_SUCCESS);
                    assert_eq!(counts(queue), (2, 0));
                    assert_eq!(next(), STATUS_SUCCESS);
                    assert_eq!(request, first, "a request that was put back is the next");
                    wdf!(request::WdfRequestComplete(first, STATUS_SUCCESS));
                    assert_eq!(next(), STATUS_SUCCESS);
                    wdf!(request::WdfRequestComplete(request, STATUS_CANCELLED));
                    assert_eq!(next(), STATUS_NO_MORE_ENTRIES);
                    assert_eq!(request, WDFOBJECT::NULL);
                };
                kernel.run(take_all).expect("no bug check");
            },
        );
        assert_eq!(statuses, [STATUS_SUCCESS, STATUS_CANCELLED]);
    });
    assert_eq!(log, ["ready"]);
}

#[test]
fn closing_a_file_cancels_what_waits() {
    with_device(
        driver!(|init| keeping(device_to_open(init), 3, None)),
        |kernel, _| {
            let file = kernel.open(interface()).expect("open");
            let queue = handle(&QUEUE);
            let statuses = send(
                &file,
                3,
                |number| until(kernel, queue, (number, 0)),
                || {
                    file.close().expect("close");
                },
            );
            assert_eq!(statuses, [STATUS_CANCELLED; 3]);
        },
    );
}

#[test]
fn purging_refuses_what_comes_and_cancels_what_is_there() {
    with_device(
        driver!(|init| keeping(device_to_open(init), 1, None)),
        |kernel, _| {
            let file = kernel.open(interface()).expect("open");
            let queue = handle(&QUEUE);
            let statuses = send(
                &file,
                2,
                |number| until(kernel, queue, (number - 1, 1)),
                || {
                    let done = event!(|_queue: WDFQUEUE, _context: WDFCONTEXT| note("purged"));
                    kernel
                        .run(|| wdf!(queue::WdfIoQueuePurge(queue, Some(done), null())))
                        .expect("no bug check");
                    until(kernel, queue, (0, 1));
                    assert!(
                        !noted().contains(&String::from("purged")),
                        "the driver has a request"
                    );
                    let late = status_of(&file.ioctl(code(9), &[], &mut []));
                    assert_eq!(late, STATUS_INVALID_DEVICE_STATE);
                    kernel
                        .run(|| complete_kept(STATUS_SUCCESS))
                        .expect("no bug check");
                },
            );
            assert_eq!(statuses, [STATUS_SUCCESS, STATUS_CANCELLED]);
            assert_eq!(noted(), ["purged"]);
            kernel
                .run(|| wdf!(queue::WdfIoQueueStart(queue)))
                .expect("no bug check");
            send(
                &file,
                1,
                |_| until(kernel, queue, (0, 1)),
                || {
                    kernel
                        .run(|| complete_kept(STATUS_SUCCESS))
                        .expect("no bug check");
                },
            );
        },
    );
}

#[test]
fn a_stopped_queue_keeps_requests_until_it_starts() {
    with_device(
        driver!(|init| keeping(device_to_open(init), 1, None)),
        |kernel, _| {
            let file = kernel.open(interface()).expect("open");
            let queue = handle(&QUEUE);
            kernel
                .run(|| wdf!(queue::WdfIoQueueStopSynchronously(queue)))
                .expect("no bug check");
            send(
                &file,
                1,
                |_| until(kernel, queue, (1, 0)),
                || {
                    kernel
                        .run(|| wdf!(queue::WdfIoQueueStart(queue)))
                        .expect("no bug check");
                    until(kernel, queue, (0, 1));
                    kernel
                        .run(|| complete_kept(STATUS_SUCCESS))
                        .expect("no bug check");
                },
            );
        },
    );
}

#[test]
fn requests_are_forwarded_to_other_queues_of_the_device() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let device = device_to_open(init);
        let mut manual = queue_config(3);
        manual.DefaultQueue = 0;
        let mut queue = WDFOBJECT::NULL;
        let created = wdf!(queue::WdfIoQueueCreate(
            device,
            &raw mut manual,
            null(),
            &raw mut queue
        ));
        assert_eq!(created, STATUS_SUCCESS);
        MANUAL.store(queue.0, Ordering::Release);
        let mut config = queue_config(1);
        config.EvtIoDefault = Some(event!(|queue: WDFQUEUE, request: WDFREQUEST| {
            let forward = |to: WDFQUEUE| wdf!(request::WdfRequestForwardToIoQueue(request, to));
            assert_eq!(forward(queue), STATUS_INVALID_DEVICE_REQUEST, "to itself");
            assert_eq!(forward(handle(&MANUAL)), STATUS_SUCCESS);
        }));
        wdf!(queue::WdfIoQueueCreate(
            device,
            &raw mut config,
            null(),
            null()
        ))
    }
    with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let queue = handle(&MANUAL);
        let statuses = send(
            &file,
            2,
            |number| until(kernel, queue, (number, 0)),
            || file.cancel().expect("cancel"),
        );
        assert_eq!(
            statuses, [STATUS_CANCELLED; 2],
            "in a queue the framework cancels"
        );
    });
}

#[test]
fn bad_configurations_have_their_statuses() {
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let device = device_to_open(init);
        let create = |change: fn(&mut crate::abi::WDF_IO_QUEUE_CONFIG)| {
            let mut config = queue_config(1);
            config.EvtIoDefault = Some(event!(|_queue: WDFQUEUE, _request: WDFREQUEST| ()));
            change(&mut config);
            wdf!(queue::WdfIoQueueCreate(
                device,
                &raw mut config,
                null(),
                null()
            ))
        };
        assert_eq!(
            create(|config| config.Size = 8),
            STATUS_INFO_LENGTH_MISMATCH
        );
        assert_eq!(
            create(|config| config.DispatchType = 4),
            STATUS_INVALID_PARAMETER
        );
        assert_eq!(
            create(|config| config.DispatchType = 3),
            STATUS_INVALID_PARAMETER
        );
        assert_eq!(
            create(|config| config.EvtIoDefault = None),
            STATUS_WDF_NO_CALLBACK
        );
        assert_eq!(create(|_| ()), STATUS_SUCCESS);
        assert_eq!(
            create(|_| ()),
            STATUS_INVALID_DEVICE_STATE,
            "there is a default queue"
        );
        let queue = wdf!(device::WdfDeviceGetDefaultQueue(device));
        assert_eq!(wdf!(queue::WdfIoQueueGetDevice(queue)), device);
        let route = |kind| {
            wdf!(device::WdfDeviceConfigureRequestDispatching(
                device, queue, kind
            ))
        };
        assert_eq!(
            route(0x12),
            STATUS_INVALID_PARAMETER,
            "cleanup cannot be chosen"
        );
        assert_eq!(route(0x3), STATUS_SUCCESS);
        assert_eq!(route(0x3), crate::abi::STATUS_WDF_BUSY);
        let mut request = WDFOBJECT::NULL;
        let next = wdf!(queue::WdfIoQueueRetrieveNextRequest(
            queue,
            &raw mut request
        ));
        assert_eq!(next, STATUS_WDF_PAUSED, "the device has no power yet");
        STATUS_SUCCESS
    }
    with_device(driver!(add), |_, _| ());
}

#[test]
fn request_handlers_run_in_a_critical_region() {
    static DISABLED: AtomicBool = AtomicBool::new(false);
    fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let device = device_to_open(init);
        let mut config = queue_config(2);
        config.EvtIoDefault = Some(event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
            // SAFETY: Has no requirement at `PASSIVE_LEVEL`.
            let disabled = unsafe { nthost::ntddk::KeAreApcsDisabled() };
            DISABLED.store(disabled != 0, Ordering::Release);
            wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
        }));
        wdf!(queue::WdfIoQueueCreate(
            device,
            &raw mut config,
            null(),
            null()
        ))
    }
    with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        assert_eq!(
            status_of(&file.ioctl(code(1), &[], &mut [])),
            STATUS_SUCCESS
        );
        assert!(DISABLED.load(Ordering::Acquire));
    });
}
