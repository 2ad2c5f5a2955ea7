//! `toastmon`: read and write requests of a driver's own, and control requests with direct transfer, by every
//! kind of buffer that a driver can pass.

use super::lower::{COUNT, TELL};
use super::requester::{
    contents, create, delete, descriptor, memory, options, reuse, sending, sending_on,
};
use crate::abi::{
    PFN_WDF_REQUEST_COMPLETION_ROUTINE, SendFlags, WDF_MEMORY_DESCRIPTOR,
    WDF_REQUEST_COMPLETION_PARAMS, WDFCONTEXT, WDFIOTARGET, WDFMEMORY_OFFSET, WDFOBJECT,
    WDFREQUEST, WdfMemoryDescriptorTypeHandle, WdfMemoryDescriptorTypeMdl,
};
use crate::tests::callbacks::{event, wdf};
use crate::tests::harness::{note, null};
use nt_abi::{
    DO_BUFFERED_IO, DO_DIRECT_IO, NTSTATUS, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use nthost::ntddk::{IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool};

/// Runs `work` on a device of either kind; what was noted must be the same.
fn on_both(work: fn(WDFIOTARGET), expected: &[&str]) {
    for flags in [DO_BUFFERED_IO, DO_DIRECT_IO] {
        let log = sending_on(flags, work);
        assert_eq!(log, expected, "{flags:x}");
    }
}

/// Reads from an offset on; the status and the number of bytes.
fn read(target: WDFIOTARGET, buffer: &WDF_MEMORY_DESCRIPTOR, offset: i64) -> (NTSTATUS, u64) {
    let mut length = 0;
    let (none, options) = (WDFOBJECT::NULL, core::ptr::null());
    let (buffer, offset) = (&raw const *buffer, &raw const offset);
    let status = wdf!(request::WdfIoTargetSendReadSynchronously(
        target,
        none,
        buffer,
        offset,
        options,
        &raw mut length
    ));
    (status, length)
}

#[test]
fn data_is_read_and_written_in_the_way_of_the_device() {
    on_both(
        |target| {
            let mut bytes = [0; 4];
            let buffer = descriptor(&mut bytes);
            assert_eq!(read(target, &buffer, 5), (STATUS_SUCCESS, 4));
            assert_eq!(bytes, [5, 6, 7, 8]);
            let (offset, mut length) = (9, 0);
            let written = wdf!(request::WdfIoTargetSendWriteSynchronously(
                target,
                WDFOBJECT::NULL,
                &raw const buffer,
                &raw const offset,
                core::ptr::null(),
                &raw mut length
            ));
            assert_eq!((written, length), (STATUS_SUCCESS, 4));
        },
        &["[5, 6, 7, 8] at 9"],
    );
}

#[test]
fn a_buffer_is_a_memory_object_or_a_list_of_pages() {
    on_both(
        |target| {
            let object = memory(&[0; 4]);
            let part = WDFMEMORY_OFFSET {
                BufferOffset: 1,
                BufferLength: 2,
            };
            let by_handle = WDF_MEMORY_DESCRIPTOR {
                Type: WdfMemoryDescriptorTypeHandle,
                First: core::ptr::without_provenance_mut(object.0),
                Second: (&raw const part).expose_provenance(),
            };
            assert_eq!(read(target, &by_handle, 1), (STATUS_SUCCESS, 2));
            assert_eq!(contents::<4>(object), [0, 1, 2, 0]);
            let mut size = 0;
            let buffer = wdf!(memory::WdfMemoryGetBuffer(object, &raw mut size));
            // SAFETY: The buffer is nonpaged pool of four bytes.
            let list = unsafe { IoAllocateMdl(buffer, 4, 0, 0, null()) };
            // SAFETY: As above.
            unsafe { MmBuildMdlForNonPagedPool(list) };
            let mut by_list = WDF_MEMORY_DESCRIPTOR {
                Type: WdfMemoryDescriptorTypeMdl,
                First: list.cast(),
                Second: 4,
            };
            assert_eq!(read(target, &by_list, 3), (STATUS_SUCCESS, 4));
            assert_eq!(contents::<4>(object), [3, 4, 5, 6]);
            by_list.Type = 0;
            assert_eq!(read(target, &by_list, 3).0, STATUS_INVALID_PARAMETER);
            // SAFETY: The list is this test's, and nobody uses it any more.
            unsafe { IoFreeMdl(list) };
            delete(object);
        },
        &[],
    );
}

const COMPLETION: PFN_WDF_REQUEST_COMPLETION_ROUTINE =
    Some(event!(|_request: WDFREQUEST,
                 _target: WDFIOTARGET,
                 parameters: *mut WDF_REQUEST_COMPLETION_PARAMS,
                 _context: WDFCONTEXT| {
        // SAFETY: The framework passes the parameters.
        let parameters = unsafe { parameters.read() };
        let [buffer, length, offset, ..] = parameters.Parameters;
        let bytes = contents::<3>(WDFOBJECT(buffer));
        let kind = parameters.Type;
        note(std::format!("{kind}: {length} at {offset}, {bytes:?}"));
    }));

#[test]
fn a_formatted_transfer_tells_its_completion_routine_of_its_buffer() {
    on_both(
        |target| {
            let (request, object) = (create(target), memory(&[9; 3]));
            let mut part = WDFMEMORY_OFFSET {
                BufferOffset: 1,
                BufferLength: 2,
            };
            let format = |part: *mut WDFMEMORY_OFFSET, reads: bool| {
                let offset = core::ptr::null();
                if reads {
                    wdf!(request::WdfIoTargetFormatRequestForRead(
                        target, request, object, part, offset
                    ))
                } else {
                    wdf!(request::WdfIoTargetFormatRequestForWrite(
                        target, request, object, part, offset
                    ))
                }
            };
            for reads in [true, false] {
                part.BufferLength = 3;
                let refused = format(&raw mut part, reads);
                assert_eq!(refused, STATUS_INVALID_DEVICE_REQUEST);
                part.BufferLength = 2;
                assert_eq!(format(&raw mut part, reads), STATUS_SUCCESS);
                wdf!(request::WdfRequestSetCompletionRoutine(
                    request,
                    COMPLETION,
                    null()
                ));
                let sent = wdf!(request::WdfRequestSend(request, target, null()));
                assert_eq!(sent, 1);
                assert_eq!(reuse(request, 0), STATUS_SUCCESS);
            }
            delete(request);
            delete(object);
        },
        &[
            "3: 2 at 1, [9, 0, 1]",
            "[0, 1] at 0",
            "4: 2 at 1, [9, 0, 1]",
        ],
    );
}

#[test]
fn a_control_request_with_direct_transfer_answers_in_the_pages_of_the_output() {
    sending(|target| {
        let (mut input, mut output) = ([7], [0; 3]);
        let (given, asked) = (descriptor(&mut input), descriptor(&mut output));
        let mut returned = 0;
        let status = wdf!(request::WdfIoTargetSendIoctlSynchronously(
            target,
            WDFOBJECT::NULL,
            COUNT,
            &raw const given,
            &raw const asked,
            core::ptr::null(),
            &raw mut returned
        ));
        assert_eq!((status, returned, output), (STATUS_SUCCESS, 3, [7, 8, 9]));
    });
}

/// `bluetooth/bthecho`, in how it asks the driver below for what takes three arguments.
#[test]
fn a_request_has_three_arguments() {
    let log = sending(|target| {
        let (mut bytes, mut returned) = ([3_u8, 4], 0);
        let [first, fourth] = bytes
            .each_mut()
            .map(|byte| descriptor(core::slice::from_mut(byte)));
        let status = wdf!(request::WdfIoTargetSendInternalIoctlOthersSynchronously(
            target,
            WDFOBJECT::NULL,
            TELL,
            &raw const first,
            core::ptr::null(),
            &raw const fourth,
            core::ptr::null(),
            &raw mut returned
        ));
        assert_eq!((status, returned, bytes), (STATUS_SUCCESS, 7, [4, 4]));
        let (request, kept, none) = (create(target), memory(&[5, 6]), WDFOBJECT::NULL);
        let format = |offset| {
            let mut part = WDFMEMORY_OFFSET {
                BufferOffset: offset,
                BufferLength: 1,
            };
            wdf!(request::WdfIoTargetFormatRequestForInternalIoctlOthers(
                target,
                request,
                TELL,
                kept,
                &raw mut part,
                kept,
                null(),
                none,
                null()
            ))
        };
        assert_eq!(format(2), STATUS_INVALID_DEVICE_REQUEST);
        assert_eq!(format(1), STATUS_SUCCESS);
        let mut and_wait = options(SendFlags::SYNCHRONOUS, 0);
        let sent = wdf!(request::WdfRequestSend(request, target, &raw mut and_wait));
        assert_eq!(sent, 1);
        assert_eq!(wdf!(request::WdfRequestGetStatus(request)), STATUS_SUCCESS);
        assert_eq!(contents::<2>(kept), [5, 7]);
        delete(request);
        delete(kept);
    });
    assert_eq!(
        log,
        ["[Some(3), None, Some(4)]", "[Some(6), Some(5), None]"]
    );
}
