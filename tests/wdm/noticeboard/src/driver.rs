//! The driver's start and end.

use core::{ptr, time::Duration};

use wdk_sync::{
    BoundTimer, BoundWorkItem, Dispatch, DueTime, Irql, NonPaged, NonPagedArc, Passive, Period,
    Rundown, Signal, Status, WaitableTimer, WorkItemControl,
};
use wdk_sys::{
    DRIVER_OBJECT, FILE_DEVICE_SECURE_OPEN, FILE_DEVICE_UNKNOWN, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
    IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, NTSTATUS, PCUNICODE_STRING, PDEVICE_OBJECT,
    PDRIVER_OBJECT, UNICODE_STRING,
    ntddk::{
        IoCreateDevice, IoCreateSymbolicLink, IoDeleteDevice, IoDeleteSymbolicLink,
        RtlInitUnicodeString,
    },
};

use crate::{
    board::{Board, TICK},
    dispatch::{cleanup, device_control, open_or_close},
};

static DEVICE: [u16; 20] = utf16(*b"\\Device\\Noticeboard\0");
static LINK: [u16; 24] = utf16(*b"\\DosDevices\\Noticeboard\0");

/// The board, shared by whoever may come: until it is run down.
type SharedBoard = NonPagedArc<Rundown<Board>>;

/// What is in the device's extension.
struct Extension {
    board: SharedBoard,
    clock: NonPaged<BoundTimer<Clock>>,
}

/// What the timer's DPC works on.
struct Clock {
    board: SharedBoard,
    sweeper: NonPaged<BoundWorkItem<SharedBoard>>,
}

impl Extension {
    /// # Safety
    ///
    /// `device` is a device object of this driver, and stays until this was stopped.
    unsafe fn start(irql: &mut Irql<'_, Passive>, device: PDEVICE_OBJECT) -> Result<Self, Status> {
        let board = NonPagedArc::pin_init(Rundown::new(irql, Board::new()?))?;
        // SAFETY: The caller vouches for the device.
        let sweeper = unsafe { BoundWorkItem::bound(irql, device, board.clone(), sweep) };
        let clock = Clock {
            board: board.clone(),
            sweeper: NonPaged::pin_init(sweeper)?,
        };
        let clock = NonPaged::pin_init(BoundTimer::bound(Signal::Notification, clock, tick))?;
        let first = DueTime::After(Duration::from_millis(TICK.into()));
        clock.set(irql, first, Period::from_millis(TICK));
        Ok(Self { board, clock })
    }

    /// Ends everything, in the order in which one could still call the other.
    fn stop(self, irql: &mut Irql<'_, Passive>) {
        // Nobody has the board any more, and nobody gets it.
        let _closed = self.board.run_down(irql);
        // Waits for the DPC; then its context goes, and that waits for the work item.
        BoundTimer::run_down(self.clock, irql);
    }
}

/// The DPC of the timer.
fn tick(clock: &Clock, _timer: &WaitableTimer, irql: &mut Irql<'_, Dispatch>) {
    if let Some(board) = clock.board.acquire(irql) {
        board.tick(irql);
        clock.sweeper.queue(irql);
    }
}

/// The work item.
fn sweep(board: &SharedBoard, _work: &WorkItemControl, irql: &mut Irql<'_, Passive>) {
    if let Some(board) = board.acquire(irql) {
        // Refused to a thread alone that has the table, and this one comes from the queue.
        let _ = board.sweep(irql);
    }
}

/// The board of a device.
///
/// # Safety
///
/// `device` is this driver's, and is not deleted within `'a`.
pub unsafe fn board_of<'a>(device: PDEVICE_OBJECT) -> &'a Rundown<Board> {
    // SAFETY: The caller vouches for the device.
    let extension = unsafe { (*device).DeviceExtension }.cast::<Extension>();
    // SAFETY: `DriverEntry` has put it there before anybody could open the device.
    unsafe { &(*extension).board }
}

/// `DriverEntry`.
///
/// # Safety
///
/// The I/O manager calls this, with the driver object.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: PDRIVER_OBJECT,
    _registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: The driver object is this routine's until it returns.
    let driver = unsafe { &mut *driver };
    driver.DriverUnload = Some(unload);
    driver.MajorFunction[IRP_MJ_CREATE as usize] = Some(open_or_close);
    driver.MajorFunction[IRP_MJ_CLOSE as usize] = Some(open_or_close);
    driver.MajorFunction[IRP_MJ_CLEANUP as usize] = Some(cleanup);
    driver.MajorFunction[IRP_MJ_DEVICE_CONTROL as usize] = Some(device_control);
    // SAFETY: DriverEntry runs at PASSIVE_LEVEL, and there is no other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    match create(driver, &mut irql) {
        Ok(()) => Status::SUCCESS.into_raw(),
        Err(status) => status.into_raw(),
    }
}

fn create(driver: &mut DRIVER_OBJECT, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let size = u32::try_from(size_of::<Extension>()).map_err(|_| Status::INVALID_PARAMETER)?;
    let mut device = ptr::null_mut();
    // SAFETY: The driver is being started; the others live across the call.
    Status::from_raw(unsafe {
        IoCreateDevice(
            driver,
            size,
            &mut counted(&DEVICE),
            FILE_DEVICE_UNKNOWN,
            FILE_DEVICE_SECURE_OPEN,
            0,
            &raw mut device,
        )
    })
    .ok()?;
    // SAFETY: The device was just created.
    let result = unsafe { furnish(irql, device) };
    if result.is_err() {
        // SAFETY: Nobody has opened the device.
        unsafe { IoDeleteDevice(device) };
    }
    result
}

/// # Safety
///
/// `device` is a device of this driver with nothing in its extension.
unsafe fn furnish(irql: &mut Irql<'_, Passive>, device: PDEVICE_OBJECT) -> Result<(), Status> {
    // SAFETY: The device stays until `unload`, which stops the extension first, or until the return
    // of an error, before which it is stopped as well.
    let extension = unsafe { Extension::start(irql, device) }?;
    // SAFETY: The strings live across the call.
    let linked = unsafe { IoCreateSymbolicLink(&mut counted(&LINK), &mut counted(&DEVICE)) };
    if let Err(status) = Status::from_raw(linked).ok() {
        extension.stop(irql);
        return Err(status);
    }
    // SAFETY: The caller vouches for the device.
    let place = unsafe { (*device).DeviceExtension }.cast::<Extension>();
    // SAFETY: The extension has the size, and the alignment of pool.
    unsafe { place.write(extension) };
    Ok(())
}

/// `DriverUnload`: all files are closed.
///
/// # Safety
///
/// The I/O manager calls this, with the driver object.
unsafe extern "C" fn unload(driver: PDRIVER_OBJECT) {
    // SAFETY: Unload runs at PASSIVE_LEVEL, and there is no other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    // SAFETY: The string lives across the call.
    let _ = unsafe { IoDeleteSymbolicLink(&mut counted(&LINK)) };
    // SAFETY: The driver has the one device that `DriverEntry` created.
    let device = unsafe { (*driver).DeviceObject };
    // SAFETY: As above.
    let place = unsafe { (*device).DeviceExtension }.cast::<Extension>();
    // SAFETY: `DriverEntry` has put it there, and it is taken once.
    let extension = unsafe { place.read() };
    extension.stop(&mut irql);
    // SAFETY: Nothing of the driver uses the device any more.
    unsafe { IoDeleteDevice(device) };
}

/// A string of ASCII as the kernel takes it.
const fn utf16<const N: usize>(ascii: [u8; N]) -> [u16; N] {
    let mut units = [0; N];
    let mut index = 0;
    while index < N {
        units[index] = ascii[index] as u16;
        index += 1;
    }
    units
}

/// `RtlInitUnicodeString`.
fn counted(text: &'static [u16]) -> UNICODE_STRING {
    let mut string = UNICODE_STRING::default();
    // SAFETY: The text ends with a zero, and stays.
    unsafe { RtlInitUnicodeString(&raw mut string, text.as_ptr()) };
    string
}
