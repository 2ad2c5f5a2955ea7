//! `usb/kmdf_fx2` and its relatives, in what is not USB: a driver that sends requests of its own to the
//! drivers below.

use super::lower::{self, ANSWER, FAIL, KEEP};
use crate::abi::{
    PWDFDEVICE_INIT, STATUS_IO_TIMEOUT, STATUS_REQUEST_NOT_ACCEPTED,
    STATUS_WDF_REQUEST_INVALID_STATE, SendFlags, WDF_MEMORY_DESCRIPTOR,
    WDF_REQUEST_COMPLETION_PARAMS, WDF_REQUEST_REUSE_PARAMS, WDF_REQUEST_REUSE_SET_NEW_IRP,
    WDF_REQUEST_SEND_OPTIONS, WDFCONTEXT, WDFIOTARGET, WDFMEMORY, WDFMEMORY_OFFSET, WDFOBJECT,
    WDFQUEUE, WDFREQUEST, WdfMemoryDescriptorTypeBuffer,
};
use crate::kernel::ulong;
use crate::tests::add::create_device;
use crate::tests::callbacks::{driver, event, wdf};
use crate::tests::harness::{interface, note, noted, null, queue_config, turn};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use nt_abi::{
    DO_BUFFERED_IO, NTSTATUS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
};
use nthost::Kernel;
use std::string::String;
use std::vec::Vec;

/// What the driver does with a target.
static WORK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

unsafe extern "win64" fn control(
    queue: WDFQUEUE,
    request: WDFREQUEST,
    _output: usize,
    _input: usize,
    _code: u32,
) {
    let device = wdf!(queue::WdfIoQueueGetDevice(queue));
    let target = wdf!(io_target::WdfDeviceGetIoTarget(device));
    // SAFETY: `sending` has put such a function there.
    let work: fn(WDFIOTARGET) = unsafe { core::mem::transmute(WORK.load(Ordering::Acquire)) };
    work(target);
    wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
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

/// Has the driver do `work` in a request of a program, and gives what was noted. Nothing may be left.
pub fn sending(work: fn(WDFIOTARGET)) -> Vec<String> {
    sending_on(DO_BUFFERED_IO, work)
}

/// The same on a device that transfers data by a copy or by pages.
pub fn sending_on(transfers: u32, work: fn(WDFIOTARGET)) -> Vec<String> {
    let _turn = turn();
    lower::TRANSFERS.store(transfers, Ordering::Release);
    WORK.store(work as *mut (), Ordering::Release);
    let kernel = Kernel::get();
    // SAFETY: Both are drivers.
    let below = unsafe { kernel.load_in_process("lower", lower::entry) }.expect("DriverEntry");
    // SAFETY: As above.
    let driver = unsafe { kernel.load_in_process("sender", driver!(add)) }.expect("DriverEntry");
    let device = below.add_filtered_device(&[&driver]).expect("a stack");
    let file = kernel.open(interface()).expect("it opens");
    file.ioctl(ANSWER, &[], &mut []).expect("the work is done");
    drop(file);
    device.remove().expect("remove");
    driver.unload().expect("unload");
    below.unload().expect("unload");
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
    lower::TRANSFERS.store(DO_BUFFERED_IO, Ordering::Release);
    noted()
}

pub const fn descriptor(bytes: &mut [u8]) -> WDF_MEMORY_DESCRIPTOR {
    WDF_MEMORY_DESCRIPTOR {
        Type: WdfMemoryDescriptorTypeBuffer,
        First: bytes.as_mut_ptr().cast(),
        Second: bytes.len(),
    }
}

pub const fn options(flags: u32, timeout: i64) -> WDF_REQUEST_SEND_OPTIONS {
    WDF_REQUEST_SEND_OPTIONS {
        Size: ulong(size_of::<WDF_REQUEST_SEND_OPTIONS>()),
        Flags: flags,
        Timeout: timeout,
    }
}

/// Sends a code with four bytes and waits; the status, how many bytes came back, and those.
pub fn ask(target: WDFIOTARGET, request: WDFREQUEST, code: u32) -> (NTSTATUS, u64, [u8; 4]) {
    let (mut input, mut output) = ([1, 2, 3, 4], [0; 4]);
    let (given, asked) = (descriptor(&mut input), descriptor(&mut output));
    let patience = options(SendFlags::TIMEOUT, -100_000);
    let mut returned = 0;
    let status = wdf!(request::WdfIoTargetSendIoctlSynchronously(
        target,
        request,
        code,
        &raw const given,
        &raw const asked,
        &raw const patience,
        &raw mut returned
    ));
    (status, returned, output)
}

#[test]
fn a_control_request_is_sent_and_waited_for() {
    sending(|target| {
        let none = WDFOBJECT::NULL;
        // The driver below leaves in the buffer what came in it.
        assert_eq!(ask(target, none, ANSWER), (STATUS_SUCCESS, 4, [1, 2, 3, 4]));
        let failed = ask(target, none, FAIL);
        assert_eq!((failed.0, failed.2), (STATUS_UNSUCCESSFUL, [0; 4]));
        assert_eq!(ask(target, none, KEEP).0, STATUS_IO_TIMEOUT);
        let mut wrong = options(0, 0);
        wrong.Size -= 1;
        let status = wdf!(request::WdfIoTargetSendIoctlSynchronously(
            target,
            none,
            ANSWER,
            core::ptr::null(),
            core::ptr::null(),
            &raw const wrong,
            null()
        ));
        assert_eq!(status, STATUS_INFO_LENGTH_MISMATCH);
    });
}

pub fn create(target: WDFIOTARGET) -> WDFREQUEST {
    let mut request = WDFOBJECT::NULL;
    let status = wdf!(request::WdfRequestCreate(null(), target, &raw mut request));
    assert_eq!(status, STATUS_SUCCESS);
    request
}

pub fn reuse(request: WDFREQUEST, flags: u32) -> NTSTATUS {
    let mut parameters = WDF_REQUEST_REUSE_PARAMS {
        Size: ulong(size_of::<WDF_REQUEST_REUSE_PARAMS>()),
        Flags: flags,
        Status: STATUS_SUCCESS,
        NewIrp: null(),
    };
    wdf!(request::WdfRequestReuse(request, &raw mut parameters))
}

pub fn memory(bytes: &[u8]) -> WDFMEMORY {
    let (mut memory, mut buffer) = (WDFOBJECT::NULL, null());
    let status = wdf!(memory::WdfMemoryCreate(
        null(),
        0,
        0,
        bytes.len(),
        &raw mut memory,
        &raw mut buffer
    ));
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: The memory object has so many bytes.
    unsafe { buffer.cast::<u8>().copy_from(bytes.as_ptr(), bytes.len()) };
    memory
}

/// What a memory object holds.
pub fn contents<const N: usize>(memory: WDFMEMORY) -> [u8; N] {
    let mut bytes = [0; N];
    let status = wdf!(memory::WdfMemoryCopyToBuffer(
        memory,
        0,
        bytes.as_mut_ptr().cast(),
        N
    ));
    assert_eq!(status, STATUS_SUCCESS);
    bytes
}

pub fn delete(object: WDFOBJECT) {
    wdf!(object::WdfObjectDelete(object));
}

#[test]
fn a_request_of_the_drivers_own_is_used_again() {
    sending(|target| {
        let request = create(target);
        for _ in 0..2 {
            let answer = ask(target, request, ANSWER);
            assert_eq!(answer, (STATUS_SUCCESS, 4, [1, 2, 3, 4]));
            assert_eq!(wdf!(request::WdfRequestGetInformation(request)), 4);
            assert_eq!(reuse(request, 0), STATUS_SUCCESS);
            assert_eq!(wdf!(request::WdfRequestGetInformation(request)), 0);
        }
        let status = reuse(request, WDF_REQUEST_REUSE_SET_NEW_IRP);
        assert_eq!(status, STATUS_WDF_REQUEST_INVALID_STATE);
        let send = |flags| {
            let mut options = options(flags, 0);
            let sent = wdf!(request::WdfRequestSend(request, target, &raw mut options));
            assert_eq!(sent, 0);
            wdf!(request::WdfRequestGetStatus(request))
        };
        assert_eq!(send(0), STATUS_REQUEST_NOT_ACCEPTED, "it is not formatted");
        let forget = SendFlags::SEND_AND_FORGET;
        assert_eq!(send(forget), STATUS_INVALID_DEVICE_REQUEST);
        delete(request);
    });
}

/// Which of a request's completions is told.
static TURN: AtomicU32 = AtomicU32::new(0);

const COMPLETION: crate::abi::PFN_WDF_REQUEST_COMPLETION_ROUTINE =
    Some(event!(|request: WDFREQUEST,
                 _target: WDFIOTARGET,
                 parameters: *mut WDF_REQUEST_COMPLETION_PARAMS,
                 context: WDFCONTEXT| {
        // SAFETY: The framework passes the parameters.
        let WDF_REQUEST_COMPLETION_PARAMS {
            Type, Parameters, ..
        } = unsafe { parameters.read() };
        let [code, input, input_offset, output, output_offset, length] = Parameters;
        assert_eq!((Type, code), (0xE, ANSWER as usize));
        let part = contents::<3>(WDFOBJECT(output));
        note(std::format!(
            "{part:?}: {length} at {output_offset}, from {input_offset}"
        ));
        delete(WDFOBJECT(input));
        delete(WDFOBJECT(output));
        assert_eq!(context.addr(), 5);
        TURN.fetch_add(1, Ordering::AcqRel);
        delete(request);
    }));

#[test]
fn memory_goes_down_and_comes_back_with_the_request() {
    let log = sending(|target| {
        TURN.store(0, Ordering::Release);
        let request = create(target);
        let (input, output) = (memory(&[7, 8, 9]), memory(&[0; 3]));
        let mut part = WDFMEMORY_OFFSET {
            BufferOffset: 1,
            BufferLength: 2,
        };
        let format = |part: *mut WDFMEMORY_OFFSET| {
            wdf!(request::WdfIoTargetFormatRequestForIoctl(
                target, request, ANSWER, input, part, output, part
            ))
        };
        part.BufferLength = 3;
        assert_eq!(format(&raw mut part), STATUS_INVALID_DEVICE_REQUEST);
        part.BufferLength = 2;
        assert_eq!(format(&raw mut part), STATUS_SUCCESS);
        let context = core::ptr::without_provenance_mut(5);
        wdf!(request::WdfRequestSetCompletionRoutine(
            request, COMPLETION, context
        ));
        let sent = wdf!(request::WdfRequestSend(request, target, null()));
        assert_eq!(sent, 1);
        assert_eq!(TURN.load(Ordering::Acquire), 1);
    });
    assert_eq!(log, ["[0, 8, 9]: 2 at 1, from 1"]);
}
