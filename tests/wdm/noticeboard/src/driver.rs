//! The driver's start and end.

use core::time::Duration;

use wdk_sync::{
    BoundTimer, BoundWorkItem, Dispatch, DueTime, Irql, NonPaged, NonPagedArc, Passive, Period,
    Rundown, Signal, Status, WaitableTimer, WorkItemControl,
};
use wdk_sys::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, NTSTATUS, PCUNICODE_STRING,
    PDEVICE_OBJECT, PDRIVER_OBJECT,
};
use wdm_shell::{create_device, delete_device, extension};

use crate::{
    board::{Board, TICK},
    dispatch::{cleanup, device_control, open_or_close},
};

/// Programs open `\\.\Noticeboard`.
const NAME: &str = "Noticeboard";

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
    // SAFETY: The caller vouches for the device, which has an `Extension`.
    &unsafe { extension::<Extension>(device) }.board
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
    // SAFETY: The device stays until `unload`, which stops the extension first.
    let start = |device| unsafe { Extension::start(&mut irql, device) };
    // SAFETY: This is DriverEntry.
    let created = unsafe { create_device(driver, NAME, start) };
    created.err().unwrap_or(Status::SUCCESS).into_raw()
}

/// `DriverUnload`.
///
/// # Safety
///
/// The I/O manager calls this, with the driver object, when all files are closed.
unsafe extern "C" fn unload(driver: PDRIVER_OBJECT) {
    // SAFETY: Unload runs at PASSIVE_LEVEL, and there is no other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    // SAFETY: `DriverEntry` has created the device with an `Extension`.
    unsafe {
        delete_device(driver, NAME, |extension: Extension| {
            extension.stop(&mut irql);
        });
    };
}
