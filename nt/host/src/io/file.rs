//! Files: opening a device, requests on what is open, closing it.

use core::sync::atomic::{AtomicBool, Ordering};

use nt_abi::{
    _MODE::UserMode, ACCESS_MASK, CreateParameters, DO_BUFFERED_IO, DO_DEVICE_INITIALIZING,
    DO_DIRECT_IO, FILE_OBJECT, IO_SECURITY_CONTEXT, IO_TYPE_FILE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
    IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE, IoStackParameters,
    LARGE_INTEGER, METHOD_BUFFERED, METHOD_NEITHER, NT_SUCCESS, NTSTATUS, PVOID,
    ReadWriteParameters, STATUS_ACCESS_DENIED, STATUS_NO_SUCH_DEVICE, ULONG,
};
use parking_lot::Mutex;

use super::{
    cancel::IoCancelIrp,
    device::finish_deletion,
    irp::{Irp, Stack},
    namespace,
    object::{DeviceObject, FileObject, FilePart, Text},
    packet, pnp,
    request::{self, SystemBuffer},
    violation,
};
use crate::{
    Rules,
    mm::mdl,
    ob,
    thread::{self, Thread},
    verifier,
};

/// The access that is asked for: to read and to write data.
const FILE_READ_DATA: ACCESS_MASK = 1;
const FILE_WRITE_DATA: ACCESS_MASK = 2;
/// `FILE_OPEN` as disposition, `FILE_NON_DIRECTORY_FILE` as option.
const OPEN_OPTIONS: ULONG = 1 << 24 | 0x40;
const FO_HANDLE_CREATED: ULONG = 0x40000;

/// Opens what a name leads to: `\Device\X`, `\??\X`, `\\.\X` or a device interface's symbolic link.
///
/// # Errors
///
/// `STATUS_OBJECT_NAME_NOT_FOUND`, `STATUS_NO_SUCH_DEVICE` for a device that is starting or gone,
/// `STATUS_ACCESS_DENIED` for an exclusive one that is open, and what the driver says.
pub fn open(thread: &Thread, name: &str) -> Result<FileObject, NTSTATUS> {
    let opening = Opening {
        mode: UserMode as i8,
        access: FILE_READ_DATA | FILE_WRITE_DATA,
        options: OPEN_OPTIONS,
    };
    open_as(thread, name, &opening).map(|opened| opened.0)
}

/// What is asked for when a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub mode: i8,
    pub access: ACCESS_MASK,
    /// The disposition in the upper 8 bits, options below.
    pub options: ULONG,
}

/// As [`open`]; returns what the driver says of it too (`FILE_OPENED` and so on).
pub fn open_as(
    thread: &Thread,
    name: &str,
    opening: &Opening,
) -> Result<(FileObject, u64), NTSTATUS> {
    let (device, rest) = namespace::open(name)?;
    let result = begin_open(device)
        .and_then(|()| create(thread, device, &rest, opening).inspect_err(|_| end_open(device)));
    device.dereference();
    result
}

/// The last handle of the kernel's table to a file is closed.
///
/// # Safety
///
/// `body` must be a file object that is alive.
pub unsafe fn handles_closed(body: PVOID) {
    // SAFETY: By the contract of this function.
    if let Some(file) = unsafe { FileObject::new(body.cast()) } {
        cleanup(thread::current(), file);
    }
}

/// The last reference to a file was given up: one that has handles is closed then. Whether it was.
///
/// # Safety
///
/// `body` must be a file object, whose last reference was given up by the caller.
pub unsafe fn last_reference(body: PVOID) -> bool {
    // SAFETY: By the contract of this function it is there.
    let Some(file) = (unsafe { FileObject::new(body.cast()) }) else {
        return false;
    };
    let closes = file.kernel().by_handle.swap(false, Ordering::AcqRel);
    if closes {
        // SAFETY: By the contract of this function.
        unsafe { ob::revive(body) };
        close(thread::current(), file);
    }
    closes
}

fn begin_open(device: DeviceObject) -> Result<(), NTSTATUS> {
    let mut state = device.kernel().state.lock();
    if state.deleted || !pnp::may_be_opened(device) || device.flags() & DO_DEVICE_INITIALIZING != 0
    {
        return Err(STATUS_NO_SUCH_DEVICE);
    }
    if device.kernel().exclusive && state.opens != 0 {
        return Err(STATUS_ACCESS_DENIED);
    }
    state.opens += 1;
    device.set_reference_count(state.opens.cast_signed());
    drop(state);
    device.reference();
    Ok(())
}

fn end_open(device: DeviceObject) {
    let mut state = device.kernel().state.lock();
    state.opens -= 1;
    device.set_reference_count(state.opens.cast_signed());
    drop(state);
    finish_deletion(device);
    device.dereference();
}

fn create(
    thread: &Thread,
    device: DeviceObject,
    rest: &str,
    opening: &Opening,
) -> Result<(FileObject, u64), NTSTATUS> {
    let part = FilePart {
        name: Text::new(rest),
        by_handle: AtomicBool::new(false),
        requests: Mutex::default(),
    };
    let nt = FILE_OBJECT {
        Type: IO_TYPE_FILE,
        Size: size_of::<FILE_OBJECT>() as i16,
        DeviceObject: device.as_ptr(),
        ReadAccess: 1,
        WriteAccess: 1,
        ..FILE_OBJECT::default()
    };
    let file = FileObject::create(nt, part);
    file.set_name(file.kernel().name.counted());
    let mut security = IO_SECURITY_CONTEXT {
        DesiredAccess: opening.access,
        FullCreateOptions: opening.options,
        ..IO_SECURITY_CONTEXT::default()
    };
    let context = (&raw mut security).cast();
    let (_, outcome) = request::send(
        thread,
        device,
        Some(file),
        SystemBuffer::new(0, &[]),
        |irp, stack| {
            irp.set_requestor_mode(opening.mode);
            stack.set_major(IRP_MJ_CREATE as u8);
            stack.set_parameters(IoStackParameters {
                Create: CreateParameters::new(context, opening.options),
            });
        },
    );
    if NT_SUCCESS(outcome.status) {
        file.set_flags(FO_HANDLE_CREATED);
        Ok((file, outcome.information))
    } else {
        file.dereference();
        Err(outcome.status)
    }
}

fn device_of(file: FileObject) -> Option<DeviceObject> {
    // SAFETY: An open file keeps its device.
    unsafe { DeviceObject::new(file.device_pointer()) }
}

/// Tells the driver that the last handle is closed (`IRP_MJ_CLEANUP`).
pub fn cleanup(thread: &Thread, file: FileObject) {
    simple(thread, file, IRP_MJ_CLEANUP);
}

/// Tells the driver that the file is gone (`IRP_MJ_CLOSE`), and lets go of it.
pub fn close(thread: &Thread, file: FileObject) {
    simple(thread, file, IRP_MJ_CLOSE);
    let device = device_of(file);
    file.dereference();
    if let Some(device) = device {
        end_open(device);
        pnp::closed(thread, device);
    }
}

fn simple(thread: &Thread, file: FileObject, major: u32) {
    let Some(device) = device_of(file) else {
        return;
    };
    request::send(
        thread,
        device,
        Some(file),
        SystemBuffer::new(0, &[]),
        |_, stack| {
            stack.set_major(major as u8);
        },
    );
}

/// Cancels every request that is on its way for a file.
pub fn cancel_requests(file: FileObject) {
    let requests: Vec<Irp> = {
        let requests = file.kernel().requests.lock();
        requests
            .iter()
            .copied()
            .inspect(|irp| packet::retain(*irp))
            .collect()
    };
    for irp in requests {
        // SAFETY: The reference that was taken above keeps the IRP.
        unsafe { IoCancelIrp(irp.as_ptr()) };
        packet::release(irp);
    }
}

/// Whether a status lets data through: success, information and warnings.
const fn has_data(status: NTSTATUS) -> bool {
    status.cast_unsigned() >> 30 != 3
}

/// Sends `IRP_MJ_DEVICE_CONTROL`. Returns the status, and how much of the output is there.
pub fn device_control(
    thread: &Thread,
    file: FileObject,
    code: u32,
    input: &[u8],
    output: &mut [u8],
) -> (NTSTATUS, usize) {
    let Some(device) = device_of(file) else {
        return (STATUS_NO_SUCH_DEVICE, 0);
    };
    let method = code & 3;
    let buffer = match method {
        METHOD_BUFFERED => SystemBuffer::new(input.len().max(output.len()), input),
        METHOD_NEITHER => SystemBuffer::new(0, &[]),
        _ => SystemBuffer::new(input.len(), input),
    };
    let place = output.as_mut_ptr();
    let prepare = |irp: Irp, location: Stack| {
        irp.set_requestor_mode(UserMode as i8);
        irp.set_user_buffer(place.cast());
        location.set_major(IRP_MJ_DEVICE_CONTROL as u8);
        let mut parameters = nt_abi::DeviceIoControlParameters::new(
            output.len() as ULONG,
            input.len() as ULONG,
            code,
        );
        if method == METHOD_NEITHER {
            parameters.Type3InputBuffer = input.as_ptr().cast_mut().cast();
        } else if method != METHOD_BUFFERED && !output.is_empty() {
            irp.set_mdl(mdl::locked(place, output.len()));
        }
        location.set_parameters(IoStackParameters {
            DeviceIoControl: parameters,
        });
    };
    let (request, outcome) = request::send(thread, device, Some(file), buffer, prepare);
    if !has_data(outcome.status) {
        return (outcome.status, 0);
    }
    let length = usize::try_from(outcome.information).unwrap_or(usize::MAX);
    if method == METHOD_BUFFERED {
        check_length(device, length, output.len());
        let length = length.min(output.len());
        request.buffer.copy_to(&mut output[..length]);
        return (outcome.status, length);
    }
    (outcome.status, length)
}

/// A driver that returns more than the output has room for would have it copied past the end.
fn check_length(device: DeviceObject, length: usize, room: usize) {
    if length > room && verifier::checks(Rules::IO) {
        let sentence = format!(
            "The IRP was completed with {length} bytes of output, and there is room for {room}."
        );
        violation::raise(0x200, None, Some(device), "IofCompleteRequest", sentence);
    }
}

/// Sends `IRP_MJ_READ`. Returns the status, and how much was read.
pub fn read(thread: &Thread, file: FileObject, offset: i64, data: &mut [u8]) -> (NTSTATUS, usize) {
    let Some(device) = device_of(file) else {
        return (STATUS_NO_SUCH_DEVICE, 0);
    };
    let flags = device.top().flags();
    let buffered = flags & DO_BUFFERED_IO != 0;
    let buffer = SystemBuffer::new(if buffered { data.len() } else { 0 }, &[]);
    let place = data.as_mut_ptr();
    let (request, outcome) = request::send(thread, device, Some(file), buffer, |irp, stack| {
        transfer(irp, stack, IRP_MJ_READ, place, data.len(), offset, flags);
    });
    if !has_data(outcome.status) {
        return (outcome.status, 0);
    }
    let length = usize::try_from(outcome.information).unwrap_or(usize::MAX);
    if buffered {
        check_length(device, length, data.len());
        let length = length.min(data.len());
        request.buffer.copy_to(&mut data[..length]);
        return (outcome.status, length);
    }
    (outcome.status, length)
}

/// Sends `IRP_MJ_WRITE`. Returns the status, and how much was written.
pub fn write(thread: &Thread, file: FileObject, offset: i64, data: &[u8]) -> (NTSTATUS, usize) {
    let Some(device) = device_of(file) else {
        return (STATUS_NO_SUCH_DEVICE, 0);
    };
    let flags = device.top().flags();
    let content = if flags & DO_BUFFERED_IO != 0 {
        data
    } else {
        &[]
    };
    let place = data.as_ptr().cast_mut();
    let buffer = SystemBuffer::new(content.len(), content);
    let (_, outcome) = request::send(thread, device, Some(file), buffer, |irp, stack| {
        transfer(irp, stack, IRP_MJ_WRITE, place, data.len(), offset, flags);
    });
    let length = usize::try_from(outcome.information).unwrap_or(usize::MAX);
    (
        outcome.status,
        if has_data(outcome.status) { length } else { 0 },
    )
}

fn transfer(
    irp: Irp,
    stack: Stack,
    major: u32,
    place: *mut u8,
    length: usize,
    offset: i64,
    flags: ULONG,
) {
    irp.set_requestor_mode(UserMode as i8);
    irp.set_user_buffer(place.cast());
    if flags & DO_DIRECT_IO != 0 && length != 0 {
        irp.set_mdl(mdl::locked(place, length));
    }
    stack.set_major(major as u8);
    let offset = LARGE_INTEGER { QuadPart: offset };
    let parameters = ReadWriteParameters::new(length as ULONG, offset);
    stack.set_parameters(if major == IRP_MJ_READ {
        IoStackParameters { Read: parameters }
    } else {
        IoStackParameters { Write: parameters }
    });
}
