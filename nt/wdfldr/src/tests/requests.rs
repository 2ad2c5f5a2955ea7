//! Requests: buffers, statuses, files, cancellation.

use super::add::{create_device, give_interface};
use super::callbacks::{driver, event, wdf};
use super::harness::{
    ATTRIBUTES, ContextType, FILES, context_type, interface, note, noted, null, queue_config,
    status_of, with_device,
};
use crate::abi::{
    PWDFDEVICE_INIT, WDF_FILEOBJECT_CONFIG, WDF_OBJECT_ATTRIBUTES, WDF_REQUEST_PARAMETERS,
    WDFDEVICE, WDFFILEOBJECT, WDFOBJECT, WDFQUEUE, WDFREQUEST,
};
use crate::kernel::ushort;
use core::sync::atomic::{AtomicUsize, Ordering};
use nt_abi::{
    NTSTATUS, PVOID, STATUS_ACCESS_DENIED, STATUS_BUFFER_TOO_SMALL, STATUS_CANCELLED,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
};
use std::time::Duration;

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + n, method, FILE_ANY_ACCESS)`.
const fn code(function: u32, method: u32) -> u32 {
    nt_abi::CTL_CODE(0x22, 0x800 + function, method, 0)
}

const REVERSE: u32 = code(0, 0);
const PEND: u32 = code(1, 0);
const MEMORY: u32 = code(2, 0);
const PARAMETERS: u32 = code(3, 0);
const NEITHER: u32 = code(4, 3);
const FAIL: u32 = code(5, 0);

static TYPE: ContextType = context_type(8);
static PENDED: AtomicUsize = AtomicUsize::new(0);

fn buffer(request: WDFREQUEST, input: bool, minimum: usize) -> Result<(*mut u8, usize), NTSTATUS> {
    let mut address: PVOID = null();
    let mut length = 0;
    let (place, size) = (&raw mut address, &raw mut length);
    let status = if input {
        wdf!(request::WdfRequestRetrieveInputBuffer(
            request, minimum, place, size
        ))
    } else {
        wdf!(request::WdfRequestRetrieveOutputBuffer(
            request, minimum, place, size
        ))
    };
    if status == STATUS_SUCCESS {
        Ok((address.cast(), length))
    } else {
        Err(status)
    }
}

fn reverse(request: WDFREQUEST) -> Result<usize, NTSTATUS> {
    let (input, length) = buffer(request, true, 2)?;
    // SAFETY: The framework gave the buffer.
    let bytes = unsafe { core::slice::from_raw_parts(input, length) }.to_vec();
    let (output, _) = buffer(request, false, length)?;
    for (index, byte) in bytes.iter().rev().enumerate() {
        // SAFETY: As above.
        let place = unsafe { output.add(index) };
        // SAFETY: As above.
        unsafe { place.write(*byte) };
    }
    Ok(length)
}

/// The same through memory objects.
fn copy_memory(request: WDFREQUEST) {
    let mut memory = [WDFOBJECT::NULL; 2];
    let [input, output] = &mut memory;
    let status = wdf!(request::WdfRequestRetrieveInputMemory(request, input));
    assert_eq!(status, STATUS_SUCCESS);
    let status = wdf!(request::WdfRequestRetrieveOutputMemory(request, output));
    assert_eq!(status, STATUS_SUCCESS);
    let mut size = 0;
    let buffer = wdf!(memory::WdfMemoryGetBuffer(*input, &raw mut size));
    let mut copy = [0_u8; 4];
    let target = copy.as_mut_ptr().cast();
    assert_eq!(
        wdf!(memory::WdfMemoryCopyToBuffer(*input, 1, target, 4)),
        STATUS_SUCCESS
    );
    let beyond = wdf!(memory::WdfMemoryCopyToBuffer(*input, size - 3, target, 4));
    assert_eq!(beyond, STATUS_BUFFER_TOO_SMALL);
    assert_eq!(
        wdf!(memory::WdfMemoryCopyFromBuffer(*output, 0, target, 4)),
        STATUS_SUCCESS
    );
    let mut again = WDFOBJECT::NULL;
    wdf!(request::WdfRequestRetrieveInputMemory(
        request,
        &raw mut again
    ));
    assert_eq!(again, *input, "one memory object per buffer");
    assert!(!buffer.is_null());
}

fn parameters(request: WDFREQUEST) {
    let mut parameters = WDF_REQUEST_PARAMETERS {
        Size: ushort(size_of::<WDF_REQUEST_PARAMETERS>()),
        MinorFunction: 0xEE,
        Type: -1,
        Parameters: [0; 4],
    };
    wdf!(request::WdfRequestGetParameters(
        request,
        &raw mut parameters
    ));
    note(std::format!(
        "{} {:?}",
        parameters.Type,
        &parameters.Parameters[..3]
    ));
    let file = wdf!(request::WdfRequestGetFileObject(request));
    let context = wdf!(object::WdfObjectGetTypedContextWorker(file, TYPE.info()));
    // SAFETY: The context of files is 8 bytes long.
    note(std::format!("file context {:#x}", unsafe {
        context.cast::<u64>().read()
    }));
}

unsafe extern "win64" fn control(_: WDFQUEUE, request: WDFREQUEST, _: usize, _: usize, code: u32) {
    let result = match code {
        REVERSE => reverse(request),
        MEMORY => {
            copy_memory(request);
            Ok(4)
        }
        PARAMETERS => {
            parameters(request);
            Ok(0)
        }
        NEITHER => buffer(request, true, 0).map(|_| 0),
        FAIL => Err(crate::abi::STATUS_WDF_BUSY),
        PEND => {
            PENDED.store(request.0, Ordering::Release);
            let cancel = event!(|request: WDFREQUEST| {
                note("cancel");
                wdf!(request::WdfRequestComplete(request, STATUS_CANCELLED));
            });
            let status = wdf!(request::WdfRequestMarkCancelableEx(request, Some(cancel)));
            assert_eq!(status, STATUS_SUCCESS);
            return;
        }
        _ => Err(STATUS_INVALID_DEVICE_REQUEST),
    };
    match result {
        Ok(length) => wdf!(request::WdfRequestCompleteWithInformation(
            request,
            STATUS_SUCCESS,
            length as u64
        )),
        Err(status) => wdf!(request::WdfRequestComplete(request, status)),
    }
}

fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut files = WDF_FILEOBJECT_CONFIG {
        EvtDeviceFileCreate: Some(event!(
            |_device: WDFDEVICE, request: WDFREQUEST, file: WDFFILEOBJECT| {
                let context = wdf!(object::WdfObjectGetTypedContextWorker(file, TYPE.info()));
                // SAFETY: The context of files is 8 bytes long.
                unsafe { context.cast::<u64>().write(0xF11E) };
                let back = wdf!(object::WdfObjectContextGetObject(context));
                assert_eq!(back, file);
                note("create");
                wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
            }
        )),
        EvtFileCleanup: Some(event!(|_file: WDFFILEOBJECT| note("cleanup"))),
        EvtFileClose: Some(event!(|_file: WDFFILEOBJECT| note("close"))),
        ..FILES
    };
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        EvtDestroyCallback: Some(event!(|_object: WDFOBJECT| note("file destroy"))),
        ContextTypeInfo: TYPE.info(),
        ..ATTRIBUTES
    };
    let (config, file_attributes) = (&raw mut files, &raw mut attributes);
    wdf!(device::WdfDeviceInitSetFileObjectConfig(
        init,
        config,
        file_attributes
    ));
    device(init)
}

fn device(init: PWDFDEVICE_INIT) -> NTSTATUS {
    let device = create_device(init);
    give_interface(device);
    let mut config = queue_config(2);
    config.EvtIoDeviceControl = Some(control);
    wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        null()
    ))
}

#[test]
fn a_file_has_its_events_and_its_context() {
    let log = with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        assert_eq!(
            status_of(&file.ioctl(PARAMETERS, &[1, 2, 3], &mut [0; 5])),
            STATUS_SUCCESS
        );
        drop(file);
    });
    let parameters = std::format!("14 [5, 3, {PARAMETERS}]");
    let expected = [
        "create",
        &parameters,
        "file context 0xf11e",
        "cleanup",
        "close",
        "file destroy",
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_refused_create_has_no_cleanup_and_no_close() {
    fn refuse(init: PWDFDEVICE_INIT) -> NTSTATUS {
        let mut files = WDF_FILEOBJECT_CONFIG {
            EvtDeviceFileCreate: Some(event!(
                |_device: WDFDEVICE, request: WDFREQUEST, _file: WDFFILEOBJECT| {
                    wdf!(request::WdfRequestComplete(request, STATUS_ACCESS_DENIED));
                }
            )),
            EvtFileCleanup: Some(event!(|_file: WDFFILEOBJECT| note("cleanup"))),
            EvtFileClose: Some(event!(|_file: WDFFILEOBJECT| note("close"))),
            ..FILES
        };
        wdf!(device::WdfDeviceInitSetFileObjectConfig(
            init,
            &raw mut files,
            null()
        ));
        device(init)
    }
    let log = with_device(driver!(refuse), |kernel, _| {
        assert_eq!(status_of(&kernel.open(interface())), STATUS_ACCESS_DENIED);
    });
    assert!(log.is_empty(), "{log:?}");
}

#[test]
fn buffers_come_with_their_lengths_and_statuses() {
    with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let mut output = [0; 8];
        let length = file.ioctl(REVERSE, b"abc", &mut output).expect("reversed");
        assert_eq!(&output[..length], b"cba");
        for (input, output, status) in [
            (&b""[..], 8, STATUS_BUFFER_TOO_SMALL),
            (b"a", 8, STATUS_BUFFER_TOO_SMALL),
            (b"abc", 2, STATUS_BUFFER_TOO_SMALL),
            (b"abc", 0, STATUS_BUFFER_TOO_SMALL),
        ] {
            let mut output = std::vec![0; output];
            let result = file.ioctl(REVERSE, input, &mut output);
            assert_eq!(status_of(&result), status, "{input:?}, {}", output.len());
        }
        let mut output = [0; 4];
        assert_eq!(
            file.ioctl(MEMORY, b"0123456", &mut output).expect("copied"),
            4
        );
        assert_eq!(&output, b"1234");
        let neither = file.ioctl(NEITHER, b"abc", &mut output);
        assert_eq!(
            status_of(&neither),
            STATUS_INVALID_DEVICE_REQUEST,
            "user addresses"
        );
        let failed = file.ioctl(FAIL, &[], &mut []);
        assert_eq!(
            status_of(&failed),
            nt_abi::STATUS_DEVICE_BUSY,
            "STATUS_WDF_BUSY stays inside"
        );
        let unknown = file.ioctl(code(99, 0), &[], &mut []);
        assert_eq!(status_of(&unknown), STATUS_INVALID_DEVICE_REQUEST);
        let unhandled = file.read(0, &mut output);
        assert_eq!(
            status_of(&unhandled),
            STATUS_INVALID_DEVICE_REQUEST,
            "no EvtIoRead"
        );
    });
}

/// Waits until a request is in the driver's hands.
fn pended() -> WDFREQUEST {
    for _ in 0..5000 {
        match PENDED.swap(0, Ordering::AcqRel) {
            0 => std::thread::sleep(Duration::from_millis(1)),
            handle => return WDFOBJECT(handle),
        }
    }
    panic!("no request came");
}

#[test]
fn a_cancelable_request_is_cancelled_by_its_event() {
    let log = with_device(driver!(device), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| status_of(&file.ioctl(PEND, &[], &mut [])));
            pended();
            file.cancel().expect("cancel");
            assert_eq!(sender.join().expect("sender"), STATUS_CANCELLED);
        });
    });
    assert_eq!(log, ["cancel"]);
}

#[test]
fn unmarking_takes_the_request_back_from_cancellation() {
    let log = with_device(driver!(device), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| status_of(&file.ioctl(PEND, &[], &mut [])));
            let request = pended();
            let kernel_thread = kernel.run(|| {
                assert_eq!(wdf!(request::WdfRequestIsCanceled(request)), 0);
                let unmark = || wdf!(request::WdfRequestUnmarkCancelable(request));
                assert_eq!(unmark(), STATUS_SUCCESS);
                assert_eq!(unmark(), STATUS_INVALID_DEVICE_REQUEST, "it is not marked");
            });
            kernel_thread.expect("no bug check");
            file.cancel().expect("cancel");
            kernel
                .run(|| {
                    assert_eq!(wdf!(request::WdfRequestIsCanceled(request)), 1);
                    let cancel = event!(|_request: WDFREQUEST| note("cancel"));
                    let marked = wdf!(request::WdfRequestMarkCancelableEx(request, Some(cancel)));
                    assert_eq!(
                        marked, STATUS_CANCELLED,
                        "too late, and the event is not called"
                    );
                    wdf!(request::WdfRequestComplete(request, STATUS_UNSUCCESSFUL));
                })
                .expect("no bug check");
            assert_eq!(sender.join().expect("sender"), STATUS_UNSUCCESSFUL);
        });
    });
    assert!(log.is_empty(), "{log:?}");
}

#[test]
fn many_threads_send_at_once() {
    with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    for round in 0..500 {
                        let input = std::format!("{thread}:{round}");
                        let mut output = [0; 16];
                        let length = file
                            .ioctl(REVERSE, input.as_bytes(), &mut output)
                            .expect("reversed");
                        let expected: std::string::String = input.chars().rev().collect();
                        assert_eq!(std::str::from_utf8(&output[..length]), Ok(&*expected));
                    }
                });
            }
        });
        noted();
    });
}
