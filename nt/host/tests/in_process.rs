//! A driver that is part of the test: named device, requests of each kind, cancellation, unload.
#![cfg(not(windows))]

mod support;

use std::{
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nthost::{Kernel, Stop, ntddk::*};
use support::{
    driver::{
        Text, cancel_irql, code, complete, control, load_entry, mark_pending, object,
        set_cancel_routine, stack,
    },
    nt,
};

const ECHO: u32 = CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS);
const PEND: u32 = CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS);
const FAIL: u32 = CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS);
const DIRECT: u32 = CTL_CODE(
    FILE_DEVICE_UNKNOWN,
    0x803,
    METHOD_OUT_DIRECT,
    FILE_ANY_ACCESS,
);

/// One driver at a time: what is left behind is the kernel's.
static TURN: Mutex<()> = Mutex::new(());

static CLEANUPS: AtomicU32 = AtomicU32::new(0);
static CLOSES: AtomicU32 = AtomicU32::new(0);
static PENDING: AtomicU32 = AtomicU32::new(0);

unsafe extern "win64" fn driver_entry(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    let (name, link) = (Text::new(r"\Device\Echo"), Text::new(r"\DosDevices\Echo"));
    let mut device = ptr::null_mut();
    let status = nt!(IoCreateDevice(
        driver,
        0,
        &mut name.counted(),
        FILE_DEVICE_UNKNOWN,
        0,
        FALSE,
        &raw mut device,
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let status = nt!(IoCreateSymbolicLink(
        &mut link.counted(),
        &mut name.counted()
    ));
    assert_eq!(status, STATUS_SUCCESS);
    let object = object(driver);
    object.DriverUnload = Some(unload);
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
        object.MajorFunction[major as usize] = Some(create_close);
    }
    object.MajorFunction[IRP_MJ_DEVICE_CONTROL as usize] = Some(device_control);
    STATUS_SUCCESS
}

unsafe extern "win64" fn unload(driver: PDRIVER_OBJECT) {
    let link = Text::new(r"\DosDevices\Echo");
    nt!(IoDeleteSymbolicLink(&mut link.counted()));
    nt!(IoDeleteDevice(object(driver).DeviceObject));
}

unsafe extern "win64" fn create_close(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let major = stack(irp).MajorFunction;
    match u32::from(major) {
        IRP_MJ_CLEANUP => CLEANUPS.fetch_add(1, Ordering::Relaxed),
        IRP_MJ_CLOSE => CLOSES.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
    complete(irp, STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn device_control(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let parameters = control(irp);
    let room = parameters.OutputBufferLength;
    match parameters.IoControlCode {
        ECHO => complete(
            irp,
            STATUS_SUCCESS,
            parameters.InputBufferLength.min(room).into(),
        ),
        DIRECT => {
            // SAFETY: The kernel has made an MDL for the output.
            let mdl = unsafe { (*irp).MdlAddress };
            let place = nt!(MmMapLockedPagesSpecifyCache(
                mdl,
                0,
                1,
                ptr::null_mut(),
                0,
                0
            ));
            // SAFETY: The mapping has as many bytes as the output.
            unsafe { place.cast::<u8>().write_bytes(0x5A, room as usize) };
            complete(irp, STATUS_SUCCESS, room.into())
        }
        PEND => {
            mark_pending(irp);
            set_cancel_routine(irp, Some(cancel));
            PENDING.fetch_add(1, Ordering::Release);
            STATUS_PENDING
        }
        FAIL => complete(irp, STATUS_DEVICE_BUSY, 0),
        _ => complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

unsafe extern "win64" fn cancel(_device: PDEVICE_OBJECT, irp: PIRP) {
    nt!(IoReleaseCancelSpinLock(cancel_irql(irp)));
    complete(irp, STATUS_CANCELLED, 0);
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited too long");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_driver_lives() -> Result<(), Stop> {
    let _turn = TURN.lock();
    let kernel = Kernel::get();
    let driver = load_entry("echo", driver_entry)?;

    let missing = kernel
        .open(r"\\.\NotThere")
        .err()
        .and_then(|stop| stop.status());
    assert_eq!(missing, Some(STATUS_OBJECT_NAME_NOT_FOUND));
    let file = Arc::new(kernel.open(r"\\.\Echo")?);
    let also = kernel.open(r"\Device\echo\with\rest")?;
    drop(also);
    assert_eq!(
        (
            CLEANUPS.load(Ordering::Relaxed),
            CLOSES.load(Ordering::Relaxed)
        ),
        (1, 1)
    );

    let mut output = [0; 16];
    assert_eq!(file.ioctl(ECHO, b"hello", &mut output)?, 5);
    assert_eq!(&output[..6], b"hello\0");
    assert_eq!(file.ioctl(DIRECT, b"", &mut output)?, 16);
    assert_eq!(output, [0x5A; 16]);
    let status = |code| {
        file.ioctl(code, b"", &mut [])
            .err()
            .and_then(|stop| stop.status())
    };
    assert_eq!(status(FAIL), Some(STATUS_DEVICE_BUSY));
    assert_eq!(status(0), Some(STATUS_INVALID_DEVICE_REQUEST));

    many_threads(&file);
    time(&file)?;
    close_cancels(&file)?;
    drop(file);

    driver.unload()?;
    assert!(kernel.leaks().is_empty(), "{}", kernel.leaks());
    Ok(())
}

fn many_threads(file: &nthost::File) {
    thread::scope(|scope| {
        for number in 0..16_u8 {
            scope.spawn(move || {
                for round in 0..500_u16 {
                    let input = [number, round.to_le_bytes()[0], round.to_le_bytes()[1]];
                    let mut output = [0; 3];
                    let length = file.ioctl(ECHO, &input, &mut output).expect("an echo");
                    assert_eq!((length, output), (3, input));
                }
            });
        }
    });
}

/// The round trip is to take less than 20 us; the bound here is for a machine under load.
fn time(file: &nthost::File) -> Result<(), Stop> {
    const ROUNDS: u32 = 20_000;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        file.ioctl(ECHO, b"hello", &mut [0; 16])?;
    }
    let each = start.elapsed() / ROUNDS;
    println!("an IOCTL takes {each:?}");
    assert!(each < Duration::from_micros(200));
    Ok(())
}

fn close_cancels(file: &Arc<nthost::File>) -> Result<(), Stop> {
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let file = Arc::clone(file);
            thread::spawn(move || file.ioctl(PEND, b"", &mut []))
        })
        .collect();
    wait_until(|| PENDING.load(Ordering::Acquire) == 3);
    file.close()?;
    for sender in senders {
        let result = sender.join().expect("a sender that ends");
        assert_eq!(
            result.err().and_then(|stop| stop.status()),
            Some(STATUS_CANCELLED)
        );
    }
    let status = file
        .ioctl(ECHO, b"", &mut [])
        .err()
        .and_then(|stop| stop.status());
    assert_eq!(status, Some(STATUS_FILE_CLOSED));
    Ok(())
}

/// What drivers of the next tests found in the buffers that they only read.
static FOUND: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How the next device transfers data: `DO_BUFFERED_IO`, `DO_DIRECT_IO` or neither.
static TRANSFERS: AtomicU32 = AtomicU32::new(0);

unsafe extern "win64" fn transfer_entry(
    driver: PDRIVER_OBJECT,
    _path: PUNICODE_STRING,
) -> NTSTATUS {
    let name = Text::new(r"\Device\Transfer");
    let mut device = ptr::null_mut();
    let status = nt!(IoCreateDevice(
        driver,
        0,
        &mut name.counted(),
        FILE_DEVICE_UNKNOWN,
        0,
        FALSE,
        &raw mut device,
    ));
    assert_eq!(status, STATUS_SUCCESS);
    // SAFETY: The device was made above.
    unsafe { (*device).Flags |= TRANSFERS.load(Ordering::Relaxed) };
    let object = object(driver);
    object.DriverUnload = Some(transfer_unload);
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
        object.MajorFunction[major as usize] = Some(succeed);
    }
    object.MajorFunction[IRP_MJ_DEVICE_CONTROL as usize] = Some(transfer_control);
    for major in [IRP_MJ_READ, IRP_MJ_WRITE] {
        object.MajorFunction[major as usize] = Some(read_or_write);
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn succeed(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    complete(irp, STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn transfer_unload(driver: PDRIVER_OBJECT) {
    nt!(IoDeleteDevice(object(driver).DeviceObject));
}

/// The bytes at an address that the kernel gave the driver.
fn bytes<'a>(place: PVOID, length: u32) -> &'a mut [u8] {
    assert!(!place.is_null());
    // SAFETY: The address is one of so many bytes, and the driver's until it completes the IRP.
    unsafe { std::slice::from_raw_parts_mut(place.cast(), length as usize) }
}

/// The bytes that the IRP's list of pages describes.
fn pages<'a>(irp: PIRP, length: u32) -> &'a mut [u8] {
    // SAFETY: The driver owns the IRP.
    let list = unsafe { (*irp).MdlAddress };
    assert!(!list.is_null());
    let nobody = ptr::null_mut();
    let place = nt!(MmMapLockedPagesSpecifyCache(list, 0, 1, nobody, 0, 0));
    bytes(place, length)
}

/// Where the IRP has its system buffer, whether it has a list of pages, and where the caller's buffer is.
fn buffers(irp: PIRP) -> (PVOID, bool, PVOID) {
    // SAFETY: The driver owns the IRP.
    let irp = unsafe { &*irp };
    (irp.SystemBuffer, !irp.MdlAddress.is_null(), irp.UserBuffer)
}

/// Answers with the input in reverse; with `METHOD_IN_DIRECT`, notes the input and the other buffer.
unsafe extern "win64" fn transfer_control(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let parameters = control(irp);
    let (room, given) = (parameters.OutputBufferLength, parameters.InputBufferLength);
    let (system, listed, user) = buffers(irp);
    let (input, output) = match parameters.IoControlCode & 3 {
        METHOD_BUFFERED => {
            assert!(!listed);
            (bytes(system, given).to_vec(), bytes(system, room))
        }
        METHOD_NEITHER => {
            assert!(!listed && system.is_null());
            let input = bytes(parameters.Type3InputBuffer, given);
            (input.to_vec(), bytes(user, room))
        }
        _ => (bytes(system, given).to_vec(), pages(irp, room)),
    };
    if parameters.IoControlCode & 3 == METHOD_IN_DIRECT {
        let mut found = FOUND.lock().expect("a lock");
        found.extend([input, output.to_vec()]);
    } else {
        output.copy_from_slice(&input);
        output.reverse();
    }
    complete(irp, STATUS_SUCCESS, room.into())
}

/// Reads count from the offset on; what is written is noted.
unsafe extern "win64" fn read_or_write(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let location = stack(irp);
    // SAFETY: Both requests have these parameters.
    let parameters = unsafe { location.Parameters.Read };
    // SAFETY: The union has one member.
    let offset = unsafe { parameters.ByteOffset.QuadPart };
    let length = parameters.Length;
    let (system, listed, user) = buffers(irp);
    // SAFETY: The kernel passes a device of this driver.
    let flags = unsafe { (*device).Flags };
    let data = if flags & DO_BUFFERED_IO != 0 {
        assert!(!listed);
        bytes(system, length)
    } else if flags & DO_DIRECT_IO != 0 {
        assert!(system.is_null());
        pages(irp, length)
    } else {
        assert!(system.is_null() && !listed);
        bytes(user, length)
    };
    if u32::from(location.MajorFunction) == IRP_MJ_READ {
        for (byte, number) in data.iter_mut().zip(offset..) {
            *byte = number.to_le_bytes()[0];
        }
    } else {
        FOUND.lock().expect("a lock").push(data.to_vec());
    }
    complete(irp, STATUS_SUCCESS, length.into())
}

#[test]
fn data_goes_in_the_way_of_the_code_or_of_the_device() -> Result<(), Stop> {
    let _turn = TURN.lock();
    for flags in [DO_BUFFERED_IO, DO_DIRECT_IO, 0] {
        TRANSFERS.store(flags, Ordering::Relaxed);
        let driver = load_entry("transfer", transfer_entry)?;
        let file = Kernel::get().open(r"\Device\Transfer")?;
        for method in [METHOD_BUFFERED, METHOD_OUT_DIRECT, METHOD_NEITHER] {
            let mut output = [0; 3];
            assert_eq!(file.ioctl(code(method), b"abc", &mut output)?, 3);
            assert_eq!(&output, b"cba", "method {method}");
        }
        let mut second = *b"second";
        file.ioctl(code(METHOD_IN_DIRECT), b"first", &mut second)?;
        let mut data = [0; 4];
        assert_eq!(file.read(5, &mut data)?, 4);
        assert_eq!(data, [5, 6, 7, 8]);
        assert_eq!(file.write(0, b"written")?, 7);
        let found = std::mem::take(&mut *FOUND.lock().expect("a lock"));
        assert_eq!(found, [b"first".as_slice(), b"second", b"written"]);
        drop(file);
        driver.unload()?;
    }
    Ok(())
}
