//! `general/ioctl/kmdf`: a driver without PnP whose control device takes control requests of all four
//! transfer methods; those at user addresses are locked in the caller's context first.

use crate::abi::{
    PWDFDEVICE_INIT, WDF_DRIVER_CONFIG, WDF_FILEOBJECT_CONFIG, WDF_OBJECT_ATTRIBUTES,
    WDF_REQUEST_PARAMETERS, WDFDEVICE, WDFDRIVER, WDFFILEOBJECT, WDFMEMORY, WDFOBJECT, WDFQUEUE,
    WDFREQUEST, WdfDeviceIoBuffered, WdfDriverInitNonPnpDriver,
};
use crate::kernel::ushort;
use crate::tests::add::{create_device, give_interface};
use crate::tests::callbacks::{driver, event, wdf};
use crate::tests::harness::{
    ATTRIBUTES, ContextType, FILES, context_type, driver_config, enter, globals, interface, note,
    noted, null, queue_config, status_of, turn, wide, with_device,
};
use nt_abi::{
    DRIVER_OBJECT, METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_NEITHER, METHOD_OUT_DIRECT,
    NT_SUCCESS, NTSTATUS, PUNICODE_STRING, PVOID, STATUS_ACCESS_DENIED,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use nthost::Kernel;

const NAME: &str = r"\\.\TestNonPnp";
const ANSWER: &[u8] = b"from the driver";

const fn code(method: u32) -> u32 {
    nt_abi::CTL_CODE(0x22, 0x900 + method, method, 0)
}

/// The context of a request at user addresses.
struct Locked {
    input: WDFMEMORY,
    output: WDFMEMORY,
}
static LOCKED: ContextType = context_type(size_of::<Locked>());

/// Locks both buffers of a request and keeps them in its context.
fn lock_buffers(request: WDFREQUEST) -> Result<(), NTSTATUS> {
    let check = |status| {
        if NT_SUCCESS(status) {
            Ok(())
        } else {
            Err(status)
        }
    };
    let (mut input, mut output): ((PVOID, usize), (PVOID, usize)) = ((null(), 0), (null(), 0));
    check(wdf!(request::WdfRequestRetrieveUnsafeUserInputBuffer(
        request,
        0,
        &raw mut input.0,
        &raw mut input.1
    )))?;
    check(wdf!(request::WdfRequestRetrieveUnsafeUserOutputBuffer(
        request,
        0,
        &raw mut output.0,
        &raw mut output.1
    )))?;
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        ContextTypeInfo: LOCKED.info(),
        ..ATTRIBUTES
    };
    let mut context = null();
    check(wdf!(object::WdfObjectAllocateContext(
        request,
        &raw mut attributes,
        &raw mut context
    )))?;
    // SAFETY: The context is of this type, and nobody else has the request.
    let context = unsafe { &mut *context.cast::<Locked>() };
    check(wdf!(request::WdfRequestProbeAndLockUserBufferForRead(
        request,
        input.0,
        input.1,
        &raw mut context.input
    )))?;
    check(wdf!(request::WdfRequestProbeAndLockUserBufferForWrite(
        request,
        output.0,
        output.1,
        &raw mut context.output
    )))
}

unsafe extern "win64" fn in_caller_context(device: WDFDEVICE, request: WDFREQUEST) {
    let mut parameters = WDF_REQUEST_PARAMETERS {
        Size: ushort(size_of::<WDF_REQUEST_PARAMETERS>()),
        MinorFunction: 0,
        Type: 0,
        Parameters: [0; 4],
    };
    wdf!(request::WdfRequestGetParameters(
        request,
        &raw mut parameters
    ));
    let at_user_addresses =
        parameters.Type == 0xE && parameters.Parameters[2] == code(METHOD_NEITHER) as usize;
    let locked = if at_user_addresses {
        lock_buffers(request)
    } else {
        Ok(())
    };
    let status = match locked {
        Ok(()) => wdf!(device::WdfDeviceEnqueueRequest(device, request)),
        Err(status) => status,
    };
    if !NT_SUCCESS(status) {
        wdf!(request::WdfRequestComplete(request, status));
    }
}

/// A buffer of a request as the queue's handler gets at it.
fn buffer(request: WDFREQUEST, output: bool, method: u32) -> &'static mut [u8] {
    let (mut address, mut length) = (null(), 0);
    let place = &raw mut length;
    if method == METHOD_NEITHER {
        let context = wdf!(object::WdfObjectGetTypedContextWorker(
            request,
            LOCKED.info()
        ));
        // SAFETY: The context was filled in the caller's context.
        let locked = unsafe { &*context.cast::<Locked>() };
        let memory = if output { locked.output } else { locked.input };
        address = wdf!(memory::WdfMemoryGetBuffer(memory, place));
    } else {
        let to = &raw mut address;
        let status = if output {
            wdf!(request::WdfRequestRetrieveOutputBuffer(
                request, 0, to, place
            ))
        } else {
            wdf!(request::WdfRequestRetrieveInputBuffer(
                request, 0, to, place
            ))
        };
        assert_eq!(status, STATUS_SUCCESS);
    }
    // SAFETY: The framework says that the buffer has that many bytes; the handler owns the request.
    unsafe { core::slice::from_raw_parts_mut(address.cast::<u8>(), length) }
}

unsafe extern "win64" fn control(
    _: WDFQUEUE,
    request: WDFREQUEST,
    output: usize,
    input: usize,
    io_control_code: u32,
) {
    let method = io_control_code & 3;
    if output == 0 || input == 0 {
        wdf!(request::WdfRequestComplete(
            request,
            STATUS_INVALID_PARAMETER
        ));
        return;
    }
    if io_control_code != code(method) {
        wdf!(request::WdfRequestComplete(
            request,
            STATUS_INVALID_DEVICE_REQUEST
        ));
        return;
    }
    let sent = buffer(request, false, method);
    assert_eq!(sent.len(), input);
    note(std::str::from_utf8(sent).expect("text"));
    let answer = buffer(request, true, method);
    assert_eq!(answer.len(), output);
    if method == METHOD_IN_DIRECT {
        // The second buffer is input, too.
        note(std::str::from_utf8(answer).expect("text"));
    } else {
        answer[..ANSWER.len()].copy_from_slice(ANSWER);
    }
    wdf!(request::WdfRequestSetInformation(
        request,
        ANSWER.len() as u64
    ));
    wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
}

fn create_control_device() -> NTSTATUS {
    // What SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_RW_RES_R stands for.
    let (_sddl, mut sddl) = wide("D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GRGW;;;WD)(A;;GR;;;RC)");
    // SAFETY: The globals are the driver's.
    let driver = unsafe { (*globals()).Driver };
    let init = wdf!(device::WdfControlDeviceInitAllocate(driver, &raw mut sddl));
    assert!(!init.is_null());
    wdf!(device::WdfDeviceInitSetExclusive(init, 1));
    wdf!(device::WdfDeviceInitSetIoType(init, WdfDeviceIoBuffered));
    let (_name, mut name) = wide(r"\Device\TestNonPnp");
    let assigned = wdf!(device::WdfDeviceInitAssignName(init, &raw mut name));
    assert_eq!(assigned, STATUS_SUCCESS);
    wdf!(device::WdfControlDeviceInitSetShutdownNotification(
        init,
        Some(event!(|_device: WDFDEVICE| note("shutdown"))),
        1
    ));
    let mut files = WDF_FILEOBJECT_CONFIG {
        EvtDeviceFileCreate: Some(event!(
            |_device: WDFDEVICE, request: WDFREQUEST, file: WDFFILEOBJECT| {
                let name = wdf!(file::WdfFileObjectGetFileName(file));
                // SAFETY: The name lives as long as the file.
                note(std::format!("create, {} bytes of name", unsafe {
                    (*name).Length
                }));
                wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
            }
        )),
        EvtFileClose: Some(event!(|_file: WDFFILEOBJECT| note("close"))),
        ..FILES
    };
    wdf!(device::WdfDeviceInitSetFileObjectConfig(
        init,
        &raw mut files,
        null()
    ));
    wdf!(device::WdfDeviceInitSetIoInCallerContextCallback(
        init,
        Some(in_caller_context)
    ));
    let device = create_device(init);
    let (_link, mut link) = wide(r"\DosDevices\TestNonPnp");
    let linked = wdf!(device::WdfDeviceCreateSymbolicLink(device, &raw mut link));
    assert_eq!(linked, STATUS_SUCCESS);
    let mut config = queue_config(1);
    config.EvtIoDeviceControl = Some(control);
    let status = wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        null()
    ));
    wdf!(device::WdfControlFinishInitializing(device));
    status
}

unsafe extern "win64" fn entry(driver: *mut DRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
    let config = WDF_DRIVER_CONFIG {
        EvtDriverDeviceAdd: None,
        // The framework deletes the control device with the driver.
        EvtDriverUnload: Some(event!(|_driver: WDFDRIVER| note("unload"))),
        DriverInitFlags: WdfDriverInitNonPnpDriver,
        ..driver_config(event!(|_driver: WDFDRIVER,
                                _init: PWDFDEVICE_INIT|
         -> NTSTATUS { STATUS_SUCCESS }))
    };
    // SAFETY: The arguments are the I/O manager's.
    let status = unsafe { enter(driver, path, config) };
    assert_eq!(status, STATUS_SUCCESS);
    create_control_device()
}

#[test]
fn a_control_device_takes_requests_of_all_four_transfer_methods() {
    let _turn = turn();
    let kernel = Kernel::get();
    // SAFETY: It is a driver.
    let driver = unsafe { kernel.load_in_process("nonpnp", entry) }.expect("DriverEntry");
    let file = kernel.open(NAME).expect("open");
    assert_eq!(
        status_of(&kernel.open(NAME)),
        STATUS_ACCESS_DENIED,
        "exclusive"
    );
    assert_eq!(noted(), ["create, 0 bytes of name"]);
    for method in [METHOD_BUFFERED, METHOD_OUT_DIRECT, METHOD_NEITHER] {
        let mut output = [0; 32];
        let length = file.ioctl(code(method), b"to the driver", &mut output);
        assert_eq!(
            &output[..length.expect("answered")],
            ANSWER,
            "method {method}"
        );
        assert_eq!(noted(), ["to the driver"]);
    }
    let mut second = *b"there, too     ";
    let direct = file.ioctl(code(METHOD_IN_DIRECT), b"to the driver", &mut second);
    assert_eq!(direct.expect("answered"), ANSWER.len());
    assert_eq!(noted(), ["to the driver", "there, too     "]);
    let empty = file.ioctl(code(METHOD_BUFFERED), &[], &mut [0; 8]);
    assert_eq!(status_of(&empty), STATUS_INVALID_PARAMETER);
    let unknown = file.ioctl(0x22_2000, b"?", &mut [0; 8]);
    assert_eq!(status_of(&unknown), STATUS_INVALID_DEVICE_REQUEST);
    drop(file);
    driver.unload().expect("unload");
    assert_eq!(noted(), ["close", "unload"]);
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
}

#[test]
fn user_addresses_are_given_out_in_the_callers_context_alone() {
    const NOT_HERE: NTSTATUS = STATUS_INVALID_DEVICE_REQUEST;
    unsafe extern "win64" fn default(_: WDFQUEUE, request: WDFREQUEST) {
        let (mut address, mut length) = (null(), 0);
        let status = wdf!(request::WdfRequestRetrieveUnsafeUserInputBuffer(
            request,
            0,
            &raw mut address,
            &raw mut length
        ));
        assert!(address.is_null());
        wdf!(request::WdfRequestComplete(request, status));
    }
    fn add(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
        let mut device = WDFOBJECT::NULL;
        wdf!(device::WdfDeviceCreate(
            &raw mut init,
            null(),
            &raw mut device
        ));
        give_interface(device);
        let mut config = queue_config(2);
        config.EvtIoDefault = Some(default);
        wdf!(queue::WdfIoQueueCreate(
            device,
            &raw mut config,
            null(),
            null()
        ))
    }
    with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let status = status_of(&file.ioctl(code(METHOD_NEITHER), b"x", &mut [0; 4]));
        assert_eq!(status, NOT_HERE);
    });
}
