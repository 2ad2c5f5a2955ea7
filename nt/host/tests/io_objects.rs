//! What the I/O and object managers keep: driver extensions, stacks of devices, IRPs that are reused and
//! cancelled, references.
#![cfg(not(windows))]

mod support;

use std::{
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use nthost::{Kernel, Stop, ntddk::*};
use support::{
    driver::{cancel_irql, code, complete, control, load, mark_pending, set_cancel_routine},
    nt,
};

/// The device that the handler of the test's driver was called with, by address.
static DEVICE: AtomicU64 = AtomicU64::new(0);

fn device() -> PDEVICE_OBJECT {
    let address = DEVICE.load(Ordering::Acquire);
    ptr::with_exposed_provenance_mut(usize::try_from(address).expect("an address"))
}

/// One test at a time has the device.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often the cancel routine was called.
static CANCELLED: AtomicU32 = AtomicU32::new(0);

unsafe extern "win64" fn cancel(_: PDEVICE_OBJECT, irp: PIRP) {
    nt!(IoReleaseCancelSpinLock(cancel_irql(irp)));
    CANCELLED.fetch_add(1, Ordering::Relaxed);
    complete(irp, STATUS_CANCELLED, 0);
}

/// Remembers the device, keeps what has no room for an answer, and completes the rest.
unsafe extern "win64" fn handle(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    DEVICE.store(device.expose_provenance() as u64, Ordering::Release);
    if control(irp).OutputBufferLength == 2 {
        mark_pending(irp);
        set_cancel_routine(irp, Some(cancel));
        return STATUS_PENDING;
    }
    complete(irp, STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn count(_: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: The completion routine has the IRP, and the location of the driver below it.
    let current = unsafe { (*irp).CurrentStackLocation };
    // SAFETY: As above.
    let below = unsafe { current.wrapping_sub(1).read() };
    // SAFETY: Control requests have these parameters.
    let parameters = unsafe { below.Parameters.DeviceIoControl };
    assert_eq!((below.MajorFunction, below.Control), (0, 0), "it is zeroed");
    assert_eq!(
        (parameters.IoControlCode, below.Context),
        (0, ptr::null_mut())
    );
    // SAFETY: The context is a counter of the test, which waits for this.
    unsafe { (*context.cast::<AtomicU32>()).fetch_add(1, Ordering::AcqRel) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Fills in the next stack location of an IRP of the driver's own.
fn prepare(irp: PIRP, major: u32, output: u32, completions: &AtomicU32) {
    // SAFETY: The IRP is the test's.
    let next = unsafe { (*irp).CurrentStackLocation }.wrapping_sub(1);
    // SAFETY: The next stack location lies below the current one.
    let next = unsafe { &mut *next };
    next.MajorFunction = u8::try_from(major).expect("a byte");
    next.Parameters = IoStackParameters {
        DeviceIoControl: DeviceIoControlParameters::new(output, 0, code(METHOD_BUFFERED)),
    };
    next.CompletionRoutine = Some(count);
    next.Context = ptr::from_ref(completions).cast_mut().cast();
    next.Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
}

/// Sends a control request of the driver's own to the device.
fn send(irp: PIRP, output: u32, completions: &AtomicU32) -> NTSTATUS {
    prepare(irp, IRP_MJ_DEVICE_CONTROL, output, completions);
    nt!(IofCallDriver(device(), irp))
}

fn status(irp: PIRP) -> NTSTATUS {
    // SAFETY: The IRP is the test's.
    unsafe { (*irp).IoStatus.Status }
}

#[test]
fn an_irp_is_cancelled_and_reused() -> Result<(), Stop> {
    let _turn = turn();
    let (driver, file) = load("reused", handle)?;
    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])?;
    Kernel::get().run(|| {
        let completions = AtomicU32::new(0);
        let irp = nt!(IoAllocateIrp(1, FALSE));
        let of_no_thread = nt!(IoGetRequestorProcessId(irp));
        assert_eq!(of_no_thread, 0);
        assert_eq!(send(irp, 2, &completions), STATUS_PENDING);
        assert_eq!(completions.load(Ordering::Acquire), 0, "it is kept");
        assert_eq!(nt!(IoCancelIrp(irp)), TRUE);
        assert_eq!(completions.load(Ordering::Acquire), 1);
        assert_eq!(CANCELLED.load(Ordering::Relaxed), 1);
        assert_eq!(status(irp), STATUS_CANCELLED);

        nt!(IoReuseIrp(irp, STATUS_NOT_SUPPORTED));
        assert_eq!(status(irp), STATUS_NOT_SUPPORTED);
        assert_eq!(send(irp, 0, &completions), STATUS_SUCCESS);
        assert_eq!(completions.load(Ordering::Acquire), 2);
        let message = "there is no cancel routine to be called";
        assert_eq!(nt!(IoCancelIrp(irp)), FALSE, "{message}");
        // SAFETY: The IRP is the test's.
        assert_eq!(unsafe { (*irp).Cancel }, TRUE, "but it is marked");
        nt!(IoFreeIrp(irp));
    })?;
    file.close()?;
    driver.unload()
}

#[test]
fn power_irps_are_passed_on_as_others_are() -> Result<(), Stop> {
    let _turn = turn();
    let (driver, file) = load("power", handle)?;
    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])?;
    Kernel::get().run(|| {
        let completions = AtomicU32::new(0);
        let irp = nt!(IoAllocateIrp(1, FALSE));
        prepare(irp, IRP_MJ_POWER, 0, &completions);
        nt!(PoStartNextPowerIrp(irp));
        assert_eq!(nt!(PoCallDriver(device(), irp)), STATUS_SUCCESS);
        assert_eq!(completions.load(Ordering::Acquire), 1);
        nt!(IoFreeIrp(irp));
    })?;
    file.close()?;
    driver.unload()
}

#[test]
fn a_driver_initialises_memory_of_its_own_as_an_irp() {
    #[repr(C, align(16))]
    struct Room(IRP, [IO_STACK_LOCATION; 2]);
    let size = u16::try_from(size_of::<Room>()).expect("small");
    let mut room = Room(IRP::default(), [IO_STACK_LOCATION::default(); 2]);
    let irp = (&raw mut room).cast::<IRP>();
    nt!(IoInitializeIrp(irp, size, 2));
    assert_eq!((room.0.StackCount, room.0.CurrentLocation), (2, 3));
    assert_eq!(room.0.Size, size);
}

#[test]
fn the_cancel_spin_lock_raises_to_dispatch_level() {
    let mut irql = 0xFF;
    nt!(IoAcquireCancelSpinLock(&raw mut irql));
    assert_eq!((irql, nt!(KeGetCurrentIrql())), (0, 2));
    nt!(IoReleaseCancelSpinLock(irql));
    assert_eq!(nt!(KeGetCurrentIrql()), 0);
}

#[test]
fn a_driver_object_has_an_extension_per_identity() -> Result<(), Stop> {
    let _turn = turn();
    let (driver, file) = load("extended", handle)?;
    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])?;
    Kernel::get().run(|| {
        // SAFETY: The device is the driver's.
        let object = unsafe { (*device()).DriverObject };
        let (first, second) = (&raw const CANCELLED, &raw const DEVICE);
        let (first, second): (PVOID, PVOID) = (first.cast_mut().cast(), second.cast_mut().cast());
        let mut extension = ptr::null_mut();
        let place = &raw mut extension;
        let allocate = |id| nt!(IoAllocateDriverObjectExtension(object, id, 16, place));
        assert_eq!(allocate(first), STATUS_SUCCESS);
        let found = nt!(IoGetDriverObjectExtension(object, first));
        // SAFETY: The extension is 16 bytes long, and zeroed.
        assert_eq!(unsafe { found.cast::<[u8; 16]>().read() }, [0; 16]);
        assert_eq!(
            allocate(first),
            STATUS_OBJECT_NAME_COLLISION,
            "there is one"
        );
        assert!(nt!(IoGetDriverObjectExtension(object, second)).is_null());
    })?;
    file.close()?;
    driver.unload()
}

#[test]
fn devices_are_stacked_and_the_top_is_found() -> Result<(), Stop> {
    let _turn = turn();
    let (driver, file) = load("stacked", handle)?;
    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])?;
    let lower = device();
    let lower_address = lower.expose_provenance();
    Kernel::get().run(|| {
        let lower: PDEVICE_OBJECT = ptr::with_exposed_provenance_mut(lower_address);
        assert_eq!(nt!(IoGetAttachedDevice(lower)), lower, "nothing is on it");
        // SAFETY: The device is the driver's.
        let driver = unsafe { (*lower).DriverObject };
        let mut upper = ptr::null_mut();
        let created = nt!(IoCreateDevice(
            driver,
            8,
            ptr::null_mut(),
            FILE_DEVICE_UNKNOWN,
            0,
            FALSE,
            &raw mut upper
        ));
        assert_eq!(created, STATUS_SUCCESS);
        // SAFETY: The device was made just now, with an extension of that size.
        let place = unsafe { (*upper).DeviceExtension }.cast::<PDEVICE_OBJECT>();
        assert_eq!(
            nt!(IoAttachDeviceToDeviceStackSafe(upper, lower, place)),
            STATUS_SUCCESS
        );
        // SAFETY: As above.
        assert_eq!(unsafe { place.read() }, lower);
        // SAFETY: Devices of the test are alive.
        let size = |device: PDEVICE_OBJECT| unsafe { (*device).StackSize };
        assert_eq!(size(upper), size(lower) + 1);
        assert_eq!(nt!(IoGetAttachedDevice(lower)), upper);
        let referenced = nt!(IoGetAttachedDeviceReference(lower));
        assert_eq!(referenced, upper);
        nt!(ObfDereferenceObject(referenced.cast()));
        nt!(IoDetachDevice(lower));
        assert_eq!(nt!(IoGetAttachedDevice(lower)), lower);
        nt!(IoDeleteDevice(upper));
    })?;
    file.close()?;
    driver.unload()
}

#[test]
fn a_device_that_is_deleted_stays_until_what_is_attached_to_it_is_detached() -> Result<(), Stop> {
    let _turn = turn();
    let (driver, file) = load("kept", handle)?;
    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])?;
    let named = device().expose_provenance();
    Kernel::get().run(|| {
        let named: PDEVICE_OBJECT = ptr::with_exposed_provenance_mut(named);
        // SAFETY: The device is the driver's.
        let driver = unsafe { (*named).DriverObject };
        let create = || {
            let (mut made, none) = (ptr::null_mut(), ptr::null_mut());
            let kind = FILE_DEVICE_UNKNOWN;
            let place = &raw mut made;
            nt!(IoCreateDevice(driver, 0, none, kind, 0, FALSE, place));
            made
        };
        let (lower, upper, late) = (create(), create(), create());
        // SAFETY: Devices of the test are alive; they are initialised.
        unsafe { (*lower).Flags &= !DO_DEVICE_INITIALIZING };
        assert_eq!(nt!(IoAttachDeviceToDeviceStack(upper, lower)), lower);
        nt!(IoDeleteDevice(lower));
        // SAFETY: The devices of the driver are linked, the last that was made first.
        let next = || unsafe { (*upper).NextDevice };
        assert_eq!(next(), lower, "it is deleted later");
        nt!(IoDetachDevice(lower));
        assert_eq!(next(), named);
        nt!(IoDeleteDevice(upper));
        let attached = nt!(IoAttachDeviceToDeviceStack(late, named));
        assert_eq!(attached, named);
        nt!(IoDetachDevice(named));
        nt!(IoDeleteDevice(late));
    })?;
    file.close()?;
    driver.unload()
}

/// Says which device the file of a request leads to, and who asks.
unsafe extern "win64" fn who(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let file = support::driver::stack(irp).FileObject;
    assert_eq!(nt!(IoGetRelatedDeviceObject(file)), device);
    assert_eq!(nt!(IoGetCurrentProcess()), nt!(PsGetCurrentProcess()));
    assert_eq!(nt!(IoGetRequestorProcessId(irp)), 4, "the system process");
    assert!(!nt!(PsGetCurrentThreadId()).is_null());
    // A reference by pointer, given back.
    let referenced = nt!(ObReferenceObjectByPointer(
        file.cast(),
        0,
        ptr::null_mut(),
        0
    ));
    assert_eq!(referenced, STATUS_SUCCESS);
    let one_more = nt!(ObfReferenceObject(file.cast()));
    assert_eq!(nt!(ObfDereferenceObject(file.cast())), one_more - 1);
    nt!(ObfDereferenceObject(file.cast()));
    // SAFETY: The device is the driver's.
    unsafe { (*device).Flags |= DO_BUFFERED_IO };
    let mut length = 0;
    let property = nt!(IoGetDeviceProperty(
        device,
        0,
        0,
        ptr::null_mut(),
        &raw mut length
    ));
    assert_eq!(
        property, STATUS_INVALID_DEVICE_REQUEST,
        "it is no physical device"
    );
    complete(irp, STATUS_SUCCESS, 0)
}

#[test]
fn a_file_leads_to_its_device_and_objects_are_counted() -> Result<(), Stop> {
    let (driver, file) = load("counted", who)?;
    file.ioctl(code(METHOD_BUFFERED), b"", &mut [])?;
    file.close()?;
    driver.unload()
}

/// `MDL_SOURCE_IS_NONPAGED_POOL`.
const NONPAGED: i16 = 4;

#[test]
fn an_mdl_of_nonpaged_pool_has_its_address_at_once() {
    let block = nt!(ExAllocatePoolWithTag(
        512,
        100,
        u32::from_le_bytes(*b"mdl ")
    ));
    let mdl = nt!(IoAllocateMdl(block, 100, FALSE, FALSE, ptr::null_mut()));
    nt!(MmBuildMdlForNonPagedPool(mdl));
    // SAFETY: The MDL was allocated above.
    let described = unsafe { &*mdl };
    assert_eq!(
        (described.MappedSystemVa, described.ByteCount),
        (block, 100)
    );
    assert_ne!(described.MdlFlags & NONPAGED, 0);
    nt!(IoFreeMdl(mdl));
    nt!(ExFreePoolWithTag(block, u32::from_le_bytes(*b"mdl ")));
}

#[test]
fn a_section_is_locked_and_unlocked_by_its_handle() {
    static DATA: u64 = 7;
    let address: PVOID = (&raw const DATA).cast_mut().cast();
    let section = nt!(MmLockPagableDataSection(address));
    assert!(!section.is_null());
    assert_eq!(DATA, 7);
    nt!(MmUnlockPagableImageSection(section));
}

/// The major functions of files that a driver was called with.
static MAJORS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

unsafe extern "win64" fn note_major(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: The I/O manager passes an IRP.
    let location = unsafe { (*irp).CurrentStackLocation };
    // SAFETY: It has a stack location for this driver.
    let major = unsafe { (*location).MajorFunction };
    MAJORS.lock().expect("no panic").push(major.into());
    // What the driver says of a create request: that it found a file.
    complete(irp, STATUS_SUCCESS, 1)
}

unsafe extern "win64" fn noting(driver: PDRIVER_OBJECT, path: PUNICODE_STRING) -> NTSTATUS {
    let mut device = ptr::null_mut();
    let name = support::driver::Text::new(r"\Device\Noting");
    let status = nt!(IoCreateDevice(
        driver,
        0,
        &mut name.counted(),
        FILE_DEVICE_UNKNOWN,
        0,
        FALSE,
        &raw mut device
    ));
    assert!(!path.is_null());
    let driver = support::driver::object(driver);
    driver.MajorFunction.fill(Some(note_major));
    driver.DriverUnload = Some(delete_device);
    status
}

unsafe extern "win64" fn delete_device(driver: PDRIVER_OBJECT) {
    nt!(IoDeleteDevice(support::driver::object(driver).DeviceObject));
}

/// `ZwCreateFile` with a name, and what it says of the file.
fn create_file(name: &str) -> (NTSTATUS, HANDLE, u64) {
    let name = support::driver::Text::new(name);
    let mut counted = name.counted();
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: 48,
        ObjectName: &raw mut counted,
        Attributes: OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    };
    let (mut handle, mut block) = (ptr::null_mut(), IO_STATUS_BLOCK::default());
    let status = nt!(ZwCreateFile(
        &raw mut handle,
        1,
        &raw mut attributes,
        &raw mut block,
        ptr::null_mut(),
        0,
        0,
        1,
        0x40,
        ptr::null_mut(),
        0
    ));
    (status, handle, block.Information)
}

#[test]
fn a_file_is_closed_with_its_last_handle_and_its_last_reference() {
    let _turn = turn();
    let driver = support::driver::load_entry("noting", noting).expect("it loads");
    let (missing, ..) = create_file(r"\Device\Nothing");
    assert_eq!(missing, STATUS_OBJECT_NAME_NOT_FOUND);
    let (relative, ..) = create_file("Device");
    assert_eq!(relative, STATUS_OBJECT_PATH_SYNTAX_BAD);
    let (status, handle, information) = create_file(r"\Device\Noting\part");
    assert_eq!((status, information), (STATUS_SUCCESS, 1));
    let mut file = ptr::null_mut();
    let referenced = nt!(ObReferenceObjectByHandle(
        handle,
        0,
        ptr::null_mut(),
        0,
        &raw mut file,
        ptr::null_mut()
    ));
    assert_eq!(referenced, STATUS_SUCCESS);
    let device = nt!(IoGetRelatedDeviceObject(file.cast()));
    // SAFETY: The file is open, and its driver loaded.
    let name = unsafe { (*file.cast::<FILE_OBJECT>()).FileName };
    assert_eq!(support::driver::text(&raw const name), r"\part");
    let majors = || MAJORS.lock().expect("no panic").clone();
    assert_eq!(majors(), [IRP_MJ_CREATE]);
    assert_eq!(nt!(ZwClose(handle)), STATUS_SUCCESS);
    assert_eq!(majors(), [IRP_MJ_CREATE, IRP_MJ_CLEANUP]);
    // SAFETY: As above.
    assert_eq!(unsafe { (*device).ReferenceCount }, 1, "it is open");
    nt!(ObfDereferenceObject(file));
    assert_eq!(majors(), [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE]);
    // SAFETY: As above.
    assert_eq!(unsafe { (*device).ReferenceCount }, 0);
    driver.unload().expect("it unloads");
}
