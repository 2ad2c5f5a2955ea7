//! `general/toaster/toastDrv/kmdf/filter/generic`: an upper filter that passes control requests to the
//! drivers below, and forgets them or gets them back.

use super::lower::{self, ANSWER, FAIL, KEEP};
use crate::abi::{
    PWDFDEVICE_INIT, STATUS_IO_TIMEOUT, STATUS_REQUEST_NOT_ACCEPTED, SendFlags,
    WDF_REQUEST_COMPLETION_PARAMS, WDF_REQUEST_SEND_OPTIONS, WDFCONTEXT, WDFIOTARGET, WDFOBJECT,
    WDFQUEUE, WDFREQUEST,
};
use crate::kernel::ulong;
use crate::tests::add::create_device;
use crate::tests::callbacks::{driver, event, wdf};
use crate::tests::harness::{interface, note, noted, null, queue_config, status_of, turn};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use nt_abi::{NTSTATUS, STATUS_CANCELLED, STATUS_SUCCESS, STATUS_UNSUCCESSFUL};
use nthost::{File, Kernel};
use std::time::Duration;
use std::vec::Vec;

/// How the filter passes requests on.
static HOW: AtomicU32 = AtomicU32::new(FORGET);
const FORGET: u32 = 0;
const TELL: u32 = 1;
const WAIT: u32 = 2;
const UNFORMATTED: u32 = 3;

/// A request that is below.
static BELOW: AtomicUsize = AtomicUsize::new(0);

const COMPLETION: crate::abi::PFN_WDF_REQUEST_COMPLETION_ROUTINE =
    Some(event!(|request: WDFREQUEST,
                 target: WDFIOTARGET,
                 parameters: *mut WDF_REQUEST_COMPLETION_PARAMS,
                 context: WDFCONTEXT| {
        // SAFETY: The framework passes the parameters.
        let parameters = unsafe { parameters.read() };
        assert_eq!((parameters.Type, context.addr()), (0xE, 0x77));
        let device = wdf!(io_target::WdfIoTargetGetDevice(target));
        assert_eq!(wdf!(io_target::WdfDeviceGetIoTarget(device)), target);
        note(std::format!("back with {:x}", parameters.IoStatus.Status));
        let status = wdf!(request::WdfRequestGetStatus(request));
        assert_eq!(status, parameters.IoStatus.Status);
        wdf!(request::WdfRequestComplete(request, status));
    }));

/// Sends a request by options; completes it when that fails.
fn send(request: WDFREQUEST, target: WDFIOTARGET, flags: u32, timeout: i64) -> bool {
    let mut options = WDF_REQUEST_SEND_OPTIONS {
        Size: ulong(size_of::<WDF_REQUEST_SEND_OPTIONS>()),
        Flags: flags,
        Timeout: timeout,
    };
    let sent = wdf!(request::WdfRequestSend(request, target, &raw mut options)) != 0;
    if !sent {
        let status = wdf!(request::WdfRequestGetStatus(request));
        wdf!(request::WdfRequestComplete(request, status));
    }
    sent
}

unsafe extern "win64" fn control(
    queue: WDFQUEUE,
    request: WDFREQUEST,
    _output: usize,
    _input: usize,
    _code: u32,
) {
    let device = wdf!(queue::WdfIoQueueGetDevice(queue));
    let target = wdf!(io_target::WdfDeviceGetIoTarget(device));
    let how = HOW.load(Ordering::Acquire);
    if how == TELL || how == WAIT {
        wdf!(request::WdfRequestFormatRequestUsingCurrentType(request));
    }
    match how {
        FORGET => {
            send(request, target, SendFlags::SEND_AND_FORGET, 0);
        }
        WAIT => {
            let flags = SendFlags::SYNCHRONOUS | SendFlags::TIMEOUT;
            if send(request, target, flags, -200_000) {
                let status = wdf!(request::WdfRequestGetStatus(request));
                wdf!(request::WdfRequestComplete(request, status));
            }
        }
        _ => {
            let context = core::ptr::without_provenance_mut(0x77);
            wdf!(request::WdfRequestSetCompletionRoutine(
                request, COMPLETION, context
            ));
            // The reference that cancelling a sent request asks for.
            let file = core::ptr::null();
            wdf!(object::WdfObjectReferenceActual(request, null(), 0, file));
            BELOW.store(request.0, Ordering::Release);
            send(request, target, 0, 0);
        }
    }
}

fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
    wdf!(device::WdfFdoInitSetFilter(init));
    let device = create_device(init);
    let mut config = queue_config(2);
    config.EvtIoDeviceControl = Some(control);
    wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        null()
    ))
}

/// Runs `test` with a file on a device that the filter sits on, and gives what was noted.
fn filtering(how: u32, test: impl FnOnce(Kernel, &File)) -> Vec<std::string::String> {
    let _turn = turn();
    HOW.store(how, Ordering::Release);
    let kernel = Kernel::get();
    // SAFETY: Both are drivers.
    let below = unsafe { kernel.load_in_process("lower", lower::entry) }.expect("DriverEntry");
    // SAFETY: As above.
    let filter = unsafe { kernel.load_in_process("filter", driver!(add)) }.expect("DriverEntry");
    let device = below.add_filtered_device(&[&filter]).expect("a stack");
    let file = kernel.open(interface()).expect("create passes the filter");
    test(kernel, &file);
    drop(file);
    device.remove().expect("remove");
    filter.unload().expect("unload");
    below.unload().expect("unload");
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
    noted()
}

/// What every way has in common: the outcome below is the outcome above.
fn outcomes_come_through(file: &File) {
    assert_eq!(file.ioctl(ANSWER, &[], &mut [0; 4]).expect("answered"), 4);
    let failed = file.ioctl(FAIL, &[], &mut [0; 4]);
    assert_eq!(status_of(&failed), STATUS_UNSUCCESSFUL);
}

/// Sends a request that stays below until `cancel` was called there.
fn kept(file: &File, cancel: impl FnOnce()) -> NTSTATUS {
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| status_of(&file.ioctl(KEEP, &[], &mut [])));
        std::thread::sleep(Duration::from_millis(20));
        cancel();
        sender.join().expect("sender")
    })
}

/// Drops the reference that `control` took.
fn let_go(request: WDFREQUEST) {
    let file = core::ptr::null();
    wdf!(object::WdfObjectDereferenceActual(request, null(), 0, file));
}

#[test]
fn a_filter_forgets_what_it_sends() {
    let log = filtering(FORGET, |_, file| {
        outcomes_come_through(file);
        let status = kept(file, || file.cancel().expect("cancel"));
        assert_eq!(status, STATUS_CANCELLED);
    });
    assert!(log.is_empty(), "{log:?}");
}

#[test]
fn a_filter_gets_back_what_it_sends() {
    let log = filtering(TELL, |kernel, file| {
        for (code, status) in [(ANSWER, STATUS_SUCCESS), (FAIL, STATUS_UNSUCCESSFUL)] {
            assert_eq!(status_of(&file.ioctl(code, &[], &mut [0; 4])), status);
            let request = WDFOBJECT(BELOW.load(Ordering::Acquire));
            kernel.run(|| let_go(request)).expect("no bug check");
        }
    });
    assert_eq!(log, ["back with 0", "back with c0000001"]);
}

#[test]
fn a_filter_cancels_what_it_sent() {
    let log = filtering(TELL, |kernel, file| {
        let status = kept(file, || {
            let cancel = || {
                let request = WDFOBJECT(BELOW.load(Ordering::Acquire));
                let cancel = || wdf!(request::WdfRequestCancelSentRequest(request));
                assert_eq!(cancel(), 1);
                assert_eq!(cancel(), 0, "it is back");
                let_go(request);
            };
            kernel.run(cancel).expect("no bug check");
        });
        assert_eq!(status, STATUS_CANCELLED);
    });
    assert_eq!(log, ["back with c0000120"]);
}

#[test]
fn a_filter_waits_for_what_it_sends_as_long_as_it_says() {
    filtering(WAIT, |_, file| {
        outcomes_come_through(file);
        assert_eq!(kept(file, || ()), STATUS_IO_TIMEOUT);
    });
}

#[test]
fn what_is_not_formatted_is_not_sent() {
    filtering(UNFORMATTED, |kernel, file| {
        let refused = file.ioctl(ANSWER, &[], &mut [0; 4]);
        assert_eq!(status_of(&refused), STATUS_REQUEST_NOT_ACCEPTED);
        let request = WDFOBJECT(BELOW.load(Ordering::Acquire));
        kernel.run(|| let_go(request)).expect("no bug check");
    });
}
