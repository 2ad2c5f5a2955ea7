//! Completion, cancellation, forwarding and closing of requests, by many threads at once: each request
//! ends once, with a status that one of them gave it.

use super::add::{create_device, give_interface};
use super::callbacks::{driver, event, wdf};
use super::harness::{interface, null, queue_config, status_of, with_device};
use crate::abi::{PWDFDEVICE_INIT, WDFOBJECT, WDFQUEUE, WDFREQUEST};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use nt_abi::{NTSTATUS, STATUS_CANCELLED, STATUS_FILE_CLOSED, STATUS_SUCCESS};
use nthost::Kernel;
use std::sync::Mutex;
use std::vec::Vec;

static MANUAL: AtomicUsize = AtomicUsize::new(0);
/// Requests that the driver marked cancelable.
static MARKED: Mutex<Vec<WDFREQUEST>> = Mutex::new(Vec::new());
static CANCELLED: AtomicU32 = AtomicU32::new(0);

fn forget(request: WDFREQUEST) {
    MARKED
        .lock()
        .expect("no panic")
        .retain(|each| *each != request);
}

const CANCEL: crate::abi::PFN_WDF_REQUEST_CANCEL = Some(event!(|request: WDFREQUEST| {
    CANCELLED.fetch_add(1, Ordering::Relaxed);
    forget(request);
    wdf!(request::WdfRequestComplete(request, STATUS_CANCELLED));
}));

/// Odd requests are marked cancelable and kept, even ones forwarded to a manual queue.
unsafe extern "win64" fn control(
    _: WDFQUEUE,
    request: WDFREQUEST,
    _output: usize,
    _input: usize,
    code: u32,
) {
    if (code >> 2).is_multiple_of(2) {
        let to = WDFOBJECT(MANUAL.load(Ordering::Acquire));
        let status = wdf!(request::WdfRequestForwardToIoQueue(request, to));
        if status != STATUS_SUCCESS {
            wdf!(request::WdfRequestComplete(request, status));
        }
        return;
    }
    let mut marked = MARKED.lock().expect("no panic");
    let status = wdf!(request::WdfRequestMarkCancelableEx(request, CANCEL));
    if status == STATUS_SUCCESS {
        marked.push(request);
    } else {
        drop(marked);
        wdf!(request::WdfRequestComplete(request, status));
    }
}

fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
    let device = create_device(init);
    give_interface(device);
    let mut config = queue_config(3);
    config.DefaultQueue = 0;
    let mut queue = WDFOBJECT::NULL;
    let created = wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        &raw mut queue
    ));
    assert_eq!(created, STATUS_SUCCESS);
    MANUAL.store(queue.0, Ordering::Release);
    let mut config = queue_config(2);
    config.EvtIoDeviceControl = Some(control);
    wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        null()
    ))
}

/// Completes one request of each kind, if there is one that is not being cancelled.
fn complete_some() {
    // Under the lock, so that the cancel event, which takes it, finds the request alive.
    let mut marked = MARKED.lock().expect("no panic");
    let unmarked = marked
        .pop()
        .filter(|request| wdf!(request::WdfRequestUnmarkCancelable(*request)) == STATUS_SUCCESS);
    drop(marked);
    if let Some(request) = unmarked {
        wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
    }
    let queue = WDFOBJECT(MANUAL.load(Ordering::Acquire));
    let mut request = WDFOBJECT::NULL;
    let next = wdf!(queue::WdfIoQueueRetrieveNextRequest(
        queue,
        &raw mut request
    ));
    if next == STATUS_SUCCESS {
        wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
    }
}

/// Sends requests through files that another thread cancels, and closes every fourth time.
fn send_and_cancel(kernel: Kernel, thread: u32, ends: &Mutex<Vec<NTSTATUS>>) {
    for round in 0..20 {
        let file = kernel.open(interface()).expect("open");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..3 {
                    std::thread::yield_now();
                    file.cancel().expect("cancel");
                }
                if round % 4 == 0 {
                    file.close().expect("close");
                }
            });
            for number in 0..4 {
                let code = nt_abi::CTL_CODE(0x22, thread + number, 0, 0);
                let end = status_of(&file.ioctl(code, &[], &mut []));
                ends.lock().expect("no panic").push(end);
            }
        });
    }
}

#[test]
fn each_request_ends_once() {
    with_device(driver!(add), |kernel, _| {
        MARKED.lock().expect("no panic").clear();
        CANCELLED.store(0, Ordering::Relaxed);
        let over = AtomicBool::new(false);
        let ends = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Acquire) {
                        kernel.run(complete_some).expect("no bug check");
                        std::thread::yield_now();
                    }
                });
            }
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let ends = &ends;
                    scope.spawn(move || send_and_cancel(kernel, thread, ends));
                }
            });
            over.store(true, Ordering::Release);
        });
        let ends = ends.into_inner().expect("no panic");
        assert_eq!(ends.len(), 640);
        let known = [STATUS_SUCCESS, STATUS_CANCELLED, STATUS_FILE_CLOSED];
        assert!(ends.iter().all(|end| known.contains(end)), "{ends:x?}");
        let cancelled = ends.iter().filter(|end| **end == STATUS_CANCELLED).count();
        let told = CANCELLED.load(Ordering::Relaxed) as usize;
        assert!(told <= cancelled, "{told} of {cancelled}");
        assert!(MARKED.lock().expect("no panic").is_empty());
    });
}
