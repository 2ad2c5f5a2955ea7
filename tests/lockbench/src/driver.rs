//! The driver's start and end, and its one request.

use wdk_sync::{Instant, Irql, NonPaged, Passive, Status};
use wdk_sys::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, NTSTATUS, PCUNICODE_STRING,
    PDEVICE_OBJECT, PDRIVER_OBJECT, PIRP,
};
use wdm_shell::{Request, create_device, delete_device, extension};

use crate::{
    event, fast_mutex, guarded_mutex,
    interface::{Outcome, PEER, RAW, RUN, Run, SAFE, SETS},
    mutex,
    pair::Cycle,
    push_lock, queued_spin_lock, resource, rundown, rw_spin_lock, spin_lock,
    subjects::{Peer, RawLocks, Safe},
};

/// Programs open `\\.\Lockbench`.
const NAME: &str = "Lockbench";

/// What is measured.
const CYCLES: [Cycle; 16] = [
    spin_lock::RAISING,
    spin_lock::AT_DPC_LEVEL,
    spin_lock::TRY_AT_DPC_LEVEL,
    queued_spin_lock::RAISING,
    queued_spin_lock::AT_DPC_LEVEL,
    rw_spin_lock::SHARED,
    rw_spin_lock::EXCLUSIVE,
    mutex::CYCLE,
    fast_mutex::CYCLE,
    guarded_mutex::CYCLE,
    resource::SHARED,
    resource::EXCLUSIVE,
    push_lock::SHARED,
    push_lock::EXCLUSIVE,
    event::CYCLE,
    rundown::CYCLE,
];

/// What is in the device's extension.
struct Extension {
    sets: [Set; SETS as usize],
    peer: Peer,
}

/// The locks of both kinds.
struct Set {
    raw: RawLocks,
    safe: NonPaged<Safe>,
}

impl Set {
    fn raw_first(irql: &Irql<'_, Passive>) -> Result<Self, Status> {
        let raw = RawLocks::new()?;
        let safe = NonPaged::pin_init(Safe::new(irql))?;
        Ok(Self { raw, safe })
    }

    fn safe_first(irql: &Irql<'_, Passive>) -> Result<Self, Status> {
        let safe = NonPaged::pin_init(Safe::new(irql))?;
        let raw = RawLocks::new()?;
        Ok(Self { raw, safe })
    }
}

impl Extension {
    fn new(irql: &Irql<'_, Passive>) -> Result<Self, Status> {
        Ok(Self {
            sets: [Set::raw_first(irql)?, Set::safe_first(irql)?],
            peer: Peer::new()?,
        })
    }

    fn run(&self, irql: &mut Irql<'_, Passive>, run: Run) -> Result<Outcome, Status> {
        let cycle = CYCLES.get(run.subject as usize).ok_or(Status::NOT_FOUND)?;
        let placement = run.placement as usize;
        let (Some(raw), Some(safe)) = (cycle.raw.get(placement), cycle.safe.get(placement)) else {
            return Err(Status::INVALID_PARAMETER);
        };
        let set = self
            .sets
            .get(run.set as usize)
            .ok_or(Status::INVALID_PARAMETER)?;
        let peer = cycle.peer.as_ref().and_then(|peer| peer.get(placement));
        let start = Instant::now();
        match (run.way, peer) {
            (RAW, _) => raw(&set.raw, irql, run.passes),
            (SAFE, _) => safe(&set.safe, irql, run.passes),
            (PEER, Some(peer)) => peer(&self.peer, run.passes),
            _ => return Err(Status::INVALID_PARAMETER),
        }
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut name = [0; 32];
        for (place, byte) in name.iter_mut().zip(cycle.name.bytes()) {
            *place = byte;
        }
        Ok(Outcome { nanoseconds, name })
    }
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
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE] {
        driver.MajorFunction[major as usize] = Some(succeed);
    }
    driver.MajorFunction[IRP_MJ_DEVICE_CONTROL as usize] = Some(device_control);
    // SAFETY: DriverEntry runs at PASSIVE_LEVEL, and there is no other token.
    let irql = unsafe { Irql::<Passive>::assume() };
    // SAFETY: This is DriverEntry.
    let created = unsafe { create_device(driver, NAME, |_device| Extension::new(&irql)) };
    created.err().unwrap_or(Status::SUCCESS).into_raw()
}

/// `DriverUnload`.
///
/// # Safety
///
/// The I/O manager calls this, with the driver object, when all files are closed.
unsafe extern "C" fn unload(driver: PDRIVER_OBJECT) {
    // SAFETY: `DriverEntry` has created the device with an `Extension`, which is dropped at
    // PASSIVE_LEVEL.
    unsafe { delete_device::<Extension>(driver, NAME, drop) };
}

/// `IRP_MJ_CREATE`, `IRP_MJ_CLEANUP` and `IRP_MJ_CLOSE`.
///
/// # Safety
///
/// The I/O manager calls this with an IRP.
unsafe extern "C" fn succeed(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: The I/O manager gives the IRP to this routine.
    unsafe { Request::new(irp) }.complete(Status::SUCCESS, 0)
}

/// `IRP_MJ_DEVICE_CONTROL`.
///
/// # Safety
///
/// The I/O manager calls this with a device of this driver and an IRP for it.
unsafe extern "C" fn device_control(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: This runs at PASSIVE_LEVEL (DRIVER_DISPATCH), and there is no other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    // SAFETY: The device is one of this driver.
    let locks = unsafe { extension::<Extension>(device) };
    // SAFETY: The I/O manager gives the IRP to this routine.
    let request = unsafe { Request::new(irp) };
    let (code, _, _) = request.control();
    if code != RUN {
        return request.complete(Status::INVALID_DEVICE_REQUEST, 0);
    }
    match request.input().and_then(|run| locks.run(&mut irql, run)) {
        Ok(outcome) => request.answer(&outcome),
        Err(status) => request.complete(status, 0),
    }
}
