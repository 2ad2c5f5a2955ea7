//! A driver that is part of the test: named device, requests of each kind, cancellation, unload.
#![cfg(not(windows))]

mod support;

use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nthost::{Kernel, Stop, ntddk::*};
use support::{
    driver::{
        Text, cancel_irql, complete, control, load_entry, mark_pending, object, set_cancel_routine,
        stack,
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
