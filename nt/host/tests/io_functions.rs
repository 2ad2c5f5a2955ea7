//! Functions of the I/O manager that drivers build on: IRPs of their own, work items, MDLs, names.
#![cfg(not(windows))]

mod support;

use std::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use nthost::{Kernel, Stop, ntddk::*};
use support::{
    driver::{Text, code, complete, control, load, stack, text},
    nt,
};

/// The answer of the lower driver: how many bytes came in, as many times the first of them.
unsafe extern "win64" fn multiply(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let parameters = control(irp);
    // SAFETY: The driver owns the IRP.
    let buffer = unsafe { (*irp).SystemBuffer }.cast::<u8>();
    let length = u8::try_from(parameters.InputBufferLength).expect("a short input");
    // SAFETY: The input is that long, and so is the output.
    let first = unsafe { buffer.read() };
    // SAFETY: As above.
    unsafe { buffer.write(first * length) };
    complete(irp, STATUS_SUCCESS, 1)
}

/// The upper driver's device to ask, by address.
static LOWER: AtomicU64 = AtomicU64::new(0);

fn lower() -> PDEVICE_OBJECT {
    ptr::with_exposed_provenance_mut(
        usize::try_from(LOWER.load(Ordering::Acquire)).expect("an address"),
    )
}

unsafe extern "win64" fn remember_device(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    if control(irp).OutputBufferLength == 0 {
        LOWER.store(device.expose_provenance() as u64, Ordering::Release);
        return complete(irp, STATUS_SUCCESS, 0);
    }
    // SAFETY: The contract is the same.
    unsafe { multiply(device, irp) }
}

/// Sends a request that the I/O manager builds, and waits for it.
fn ask_with_built_request(input: &mut [u8]) -> u8 {
    let (mut event, mut status, mut output) = (KEVENT::default(), IO_STATUS_BLOCK::default(), 0_u8);
    nt!(KeInitializeEvent(&raw mut event, 0, FALSE));
    let irp = nt!(IoBuildDeviceIoControlRequest(
        code(METHOD_BUFFERED),
        lower(),
        input.as_mut_ptr().cast(),
        u32::try_from(input.len()).expect("short"),
        (&raw mut output).cast(),
        1,
        FALSE,
        &raw mut event,
        &raw mut status,
    ));
    assert_eq!(nt!(IofCallDriver(lower(), irp)), STATUS_SUCCESS);
    let forever = ptr::null_mut();
    nt!(KeWaitForSingleObject(
        (&raw mut event).cast(),
        0,
        0,
        FALSE,
        forever
    ));
    assert_eq!((status.Status, status.Information), (STATUS_SUCCESS, 1));
    output
}

unsafe extern "win64" fn take_back(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: The context is the place of a byte; the driver that completes owns the IRP.
    let buffer = unsafe { (*irp).SystemBuffer }.cast::<u8>();
    // SAFETY: As above.
    let value = unsafe { buffer.read() };
    // SAFETY: As above.
    unsafe { context.cast::<u8>().write(value) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Sends an IRP of the driver's own, which its completion routine takes back.
fn ask_with_own_irp(input: &mut [u8]) -> u8 {
    let mut answer = 0_u8;
    let irp = nt!(IoAllocateIrp(1, FALSE));
    // SAFETY: The IRP belongs to this function until it is freed.
    let packet = unsafe { &mut *irp };
    packet.SystemBuffer = input.as_mut_ptr().cast();
    // SAFETY: The next stack location lies below the current one.
    let next = unsafe { &mut *packet.CurrentStackLocation.wrapping_sub(1) };
    next.MajorFunction = u8::try_from(IRP_MJ_DEVICE_CONTROL).expect("a byte");
    let length = u32::try_from(input.len()).expect("short");
    next.Parameters = IoStackParameters {
        DeviceIoControl: DeviceIoControlParameters::new(1, length, code(METHOD_BUFFERED)),
    };
    next.CompletionRoutine = Some(take_back);
    next.Context = (&raw mut answer).cast();
    next.Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
    nt!(IofCallDriver(lower(), irp));
    nt!(IoFreeIrp(irp));
    answer
}

#[test]
fn drivers_send_requests() -> Result<(), Stop> {
    let (driver, file) = load("lower", remember_device)?;
    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])?;
    let mut output = [0];
    assert_eq!(
        file.ioctl(code(METHOD_BUFFERED), &[7, 0, 0], &mut output)?,
        1
    );
    assert_eq!(output, [21]);
    Kernel::get().run(|| {
        assert_eq!(ask_with_built_request(&mut [5, 0, 0, 0]), 20);
        assert_eq!(ask_with_own_irp(&mut [9, 0]), 18);
    })?;
    file.close()?;
    driver.unload()
}

unsafe extern "win64" fn report_level(device: PDEVICE_OBJECT, context: PVOID) {
    // SAFETY: The context is the IRP, which the driver owns.
    let (irp, level) = (context.cast::<IRP>(), nt!(KeGetCurrentIrql()));
    assert!(!device.is_null() && level == 0);
    complete(irp, STATUS_SUCCESS, 0);
}

unsafe extern "win64" fn report_level_ex(device: PVOID, context: PVOID, item: PVOID) {
    nt!(IoFreeWorkItem(item));
    // SAFETY: The contract is the same.
    unsafe { report_level(device.cast(), context) };
}

unsafe extern "win64" fn works_later(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    stack(irp).Control |= SL_PENDING_RETURNED;
    let item = nt!(IoAllocateWorkItem(device));
    let delayed = _WORK_QUEUE_TYPE::DelayedWorkQueue;
    nt!(IoQueueWorkItemEx(
        item,
        Some(report_level_ex),
        delayed,
        irp.cast()
    ));
    STATUS_PENDING
}

#[test]
fn work_items_run_at_passive_level_and_may_free_themselves() -> Result<(), Stop> {
    let (driver, file) = load("worker", works_later)?;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])
                        .expect("a completion");
                }
            });
        }
    });
    file.close()?;
    driver.unload()
}

#[test]
fn mdls_describe_buffers() {
    let mut buffer = [0_u8; 10_000];
    let start = buffer.as_mut_ptr();
    let mdl = nt!(IoAllocateMdl(
        start.cast(),
        10_000,
        FALSE,
        FALSE,
        ptr::null_mut()
    ));
    let describe = || {
        // SAFETY: The MDL is alive.
        let mdl = unsafe { &*mdl };
        (
            mdl.StartVa.addr() + mdl.ByteOffset as usize,
            mdl.ByteCount,
            mdl.MdlFlags,
        )
    };
    assert_eq!(describe(), (start.addr(), 10_000, 0));
    nt!(MmProbeAndLockPages(mdl, 0, 1));
    let mapped = nt!(MmMapLockedPagesSpecifyCache(
        mdl,
        0,
        1,
        ptr::null_mut(),
        0,
        0
    ));
    assert_eq!(mapped, start.cast());
    assert_eq!(describe().2, MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA);
    nt!(MmUnmapLockedPages(mapped, mdl));
    nt!(MmUnlockPages(mdl));
    assert_eq!(describe().2, 0);
    nt!(IoFreeMdl(mdl));
}

#[test]
fn names_lead_to_devices() -> Result<(), Stop> {
    let kernel = Kernel::get();
    let (driver, file) = load("named", multiply)?;
    let link = |name: &str, target: &str| {
        let (name, target) = (Text::new(name), Text::new(target));
        nt!(IoCreateSymbolicLink(
            &mut name.counted(),
            &mut target.counted()
        ))
    };
    assert_eq!(link(r"\DosDevices\Short", r"\Device\named"), STATUS_SUCCESS);
    assert_eq!(
        link(r"\??\short", r"\Device\named"),
        STATUS_OBJECT_NAME_COLLISION
    );
    assert_eq!(
        link("relative", r"\Device\named"),
        STATUS_OBJECT_NAME_INVALID
    );
    assert_eq!(link(r"\??\Twice", r"\??\Short"), STATUS_SUCCESS);
    for name in [
        r"\\.\Short",
        r"\\.\SHORT\with\rest",
        r"\??\Twice",
        r"\Device\NAMED",
    ] {
        kernel.open(name)?.close()?;
    }
    for name in ["Short", "Twice"] {
        let name = Text::new(&format!(r"\DosDevices\{name}"));
        assert_eq!(
            nt!(IoDeleteSymbolicLink(&mut name.counted())),
            STATUS_SUCCESS
        );
        let again = nt!(IoDeleteSymbolicLink(&mut name.counted()));
        assert_eq!(again, STATUS_OBJECT_NAME_NOT_FOUND);
    }
    let gone = kernel
        .open(r"\\.\Short")
        .err()
        .and_then(|stop| stop.status());
    assert_eq!(gone, Some(STATUS_OBJECT_NAME_NOT_FOUND));
    file.close()?;
    driver.unload()
}

unsafe extern "win64" fn tells_its_name(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: The driver owns the IRP, whose buffer has room for the output.
    let buffer = unsafe { (*irp).SystemBuffer }.cast::<OBJECT_NAME_INFORMATION>();
    let (room, mut needed) = (control(irp).OutputBufferLength, 0);
    let status = nt!(ObQueryNameString(
        device.cast(),
        buffer,
        room,
        &raw mut needed
    ));
    if status == STATUS_SUCCESS {
        // SAFETY: The structure was written just now.
        let name = text(unsafe { &raw const (*buffer).Name });
        assert_eq!(name, r"\Device\telling");
    }
    complete(
        irp,
        status,
        if status == STATUS_SUCCESS {
            needed.into()
        } else {
            0
        },
    )
}

#[test]
fn an_object_tells_its_name() -> Result<(), Stop> {
    let (driver, file) = load("telling", tells_its_name)?;
    let small = file.ioctl(code(METHOD_BUFFERED), b"", &mut [0; 20]);
    assert_eq!(
        small.err().and_then(|stop| stop.status()),
        Some(STATUS_INFO_LENGTH_MISMATCH)
    );
    let length = file.ioctl(code(METHOD_BUFFERED), b"", &mut [0; 200])?;
    assert_eq!(length, 16 + 2 * (r"\Device\telling".len() + 1));
    file.close()?;
    driver.unload()
}

#[test]
fn a_remove_lock_waits_for_its_users() {
    let mut lock = IO_REMOVE_LOCK::default();
    let lock = &raw mut lock;
    nt!(IoInitializeRemoveLockEx(lock, 0, 0, 0, 32));
    let acquire = || {
        nt!(IoAcquireRemoveLockEx(
            lock,
            ptr::null_mut(),
            ptr::null(),
            0,
            32
        ))
    };
    assert_eq!((acquire(), acquire()), (STATUS_SUCCESS, STATUS_SUCCESS));
    let shared = lock.expose_provenance();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let lock = ptr::with_exposed_provenance_mut(shared);
            nt!(IoReleaseRemoveLockEx(lock, ptr::null_mut(), 32));
        });
        nt!(IoReleaseRemoveLockAndWaitEx(lock, ptr::null_mut(), 32));
    });
    assert_eq!(acquire(), STATUS_DELETE_PENDING);
}

#[test]
fn exports_are_found_by_name() {
    let find = |name: &str| {
        let name = Text::new(name);
        nt!(MmGetSystemRoutineAddress(&mut name.counted()))
    };
    assert_eq!(
        find("IofCallDriver").addr(),
        (IofCallDriver as *const ()).addr()
    );
    assert!(find("NtNoSuchFunction").is_null());
}
