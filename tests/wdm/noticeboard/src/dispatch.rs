//! What the I/O manager calls for requests, and what it may be told.

use wdk_sync::{Dispatch, Irql, Passive, Rundown, Status};
use wdk_sys::{NTSTATUS, PDEVICE_OBJECT, PIRP, STATUS_CANCELLED, ntddk::IoReleaseCancelSpinLock};
use wdm_shell::{Pended, Request};

use crate::{
    board::Board,
    driver::board_of,
    interface::{AWAIT, COUNT, POST, READ},
};

/// `IRP_MJ_CREATE` and `IRP_MJ_CLOSE`: everyone who may open the device is welcome.
///
/// # Safety
///
/// The I/O manager calls this with a device of this driver and an IRP for it.
pub unsafe extern "C" fn open_or_close(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: The I/O manager gives the IRP to this routine.
    unsafe { Request::new(irp) }.complete(Status::SUCCESS, 0)
}

/// `IRP_MJ_CLEANUP`: the last handle of a file is closed, and nobody waits for its requests any more.
///
/// # Safety
///
/// As for [`open_or_close`].
pub unsafe extern "C" fn cleanup(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: This runs at PASSIVE_LEVEL (DRIVER_DISPATCH), and there is no other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    // SAFETY: The device is one of this driver.
    let board = unsafe { board_of(device) };
    // SAFETY: The I/O manager gives the IRP to this routine.
    let request = unsafe { Request::new(irp) };
    if let Some(board) = board.acquire(&irql) {
        let file = request.file();
        let forsaken = board
            .queue
            .with(&mut irql, |queue, _irql| queue.take(|it| it.is_on(file)));
        // Dropped, they are cancelled.
        drop(forsaken);
    }
    request.complete(Status::SUCCESS, 0)
}

/// `IRP_MJ_DEVICE_CONTROL`.
///
/// # Safety
///
/// As for [`open_or_close`].
pub unsafe extern "C" fn device_control(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: This runs at PASSIVE_LEVEL (DRIVER_DISPATCH), and there is no other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    // SAFETY: The device is one of this driver.
    let board = unsafe { board_of(device) };
    // SAFETY: The I/O manager gives the IRP to this routine.
    let request = unsafe { Request::new(irp) };
    match board.acquire(&irql) {
        Some(board) => control(&board, &mut irql, request),
        None => request.complete(Status::DELETE_PENDING, 0),
    }
}

fn control(board: &Board, irql: &mut Irql<'_, Passive>, request: Request) -> NTSTATUS {
    let (code, _, _) = request.control();
    match code {
        POST => match request.input().and_then(|notice| board.post(irql, notice)) {
            Ok(()) => request.complete(Status::SUCCESS, 0),
            Err(status) => request.complete(status, 0),
        },
        READ => match request.input().and_then(|topic| board.read(irql, topic)) {
            Ok(notice) => request.answer(&notice),
            Err(status) => request.complete(status, 0),
        },
        AWAIT => {
            let wait = match request.input() {
                Ok(wait) => wait,
                Err(status) => return request.complete(status, 0),
            };
            // SAFETY: The routine takes the lock and cancels its request.
            match unsafe { board.wait(irql, request, wait, Some(cancel)) } {
                Ok(()) => Pended::STATUS,
                Err((request, status)) => request.complete(status, 0),
            }
        }
        COUNT => match board.counts(irql) {
            Ok(counts) => request.answer(&counts),
            Err(status) => request.complete(status, 0),
        },
        _ => request.complete(Status::INVALID_DEVICE_REQUEST, 0),
    }
}

/// The cancel routine of the requests that wait.
///
/// # Safety
///
/// The I/O manager calls this with a device of this driver and an IRP whose cancel routine it is,
/// with the cancel spin lock held.
unsafe extern "C" fn cancel(device: PDEVICE_OBJECT, irp: PIRP) {
    // SAFETY: The device is one of this driver.
    let board: &Rundown<Board> = unsafe { board_of(device) };
    // SAFETY: Whoever holds the cancel spin lock is at DISPATCH_LEVEL, and there is no other token. It
    // is not used after the lock is released.
    let mut irql = unsafe { Irql::<Dispatch>::assume() };
    // A request of a file that is open: the board is not run down.
    let request = board.acquire(&irql).and_then(|board| {
        board.queue.with_at_dpc_level(&mut irql, |queue, _irql| {
            // SAFETY: This is the cancel routine, called with its IRP.
            unsafe { queue.cancel(irp) }
        })
    });
    // SAFETY: The IRP is not completed yet.
    let old = unsafe { (*irp).CancelIrql };
    // SAFETY: The I/O manager has acquired the lock for this routine, at that level.
    unsafe { IoReleaseCancelSpinLock(old) };
    if let Some(request) = request {
        request.complete(Status::from_raw(STATUS_CANCELLED), 0);
    }
}
