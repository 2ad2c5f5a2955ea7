//! WDM IRPs that the client sees before the framework does.

use super::{Device, DeviceInit, MAJORS, handle_irp};
use crate::abi::{
    PFN_WDFDEVICE_WDM_IRP_PREPROCESS, PWDFDEVICE_INIT, WDF_DRIVER_GLOBALS, WDFDEVICE,
};
use crate::kernel::{Irp, Outcome, Ptr, status_of, try_box};
use crate::object::{Typed, lookup};
use crate::violation;
use alloc::boxed::Box;
use alloc::vec::Vec;
use nt_abi::{
    IO_STACK_LOCATION, IRP, NTSTATUS, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER, ULONG,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Who sees the IRPs of one major function first.
struct Entry {
    event: PFN_WDFDEVICE_WDM_IRP_PREPROCESS,
    /// The minor functions that the client asked for; none stands for all.
    minors: Vec<u8>,
}

/// What a client said about each major function.
pub struct Preprocess(Box<[Entry; MAJORS]>);

impl Preprocess {
    fn new() -> Outcome<Self> {
        let entry = || Entry {
            event: None,
            minors: Vec::new(),
        };
        Ok(Self(try_box(core::array::from_fn(|_| entry()))?))
    }

    fn set(&mut self, major: u8, entry: Entry) -> Outcome {
        let place = self.0.get_mut(usize::from(major));
        let place = place.ok_or(STATUS_INVALID_PARAMETER)?;
        if entry.minors.is_empty() {
            place.event = entry.event;
        } else if place.minors.is_empty() {
            *place = entry;
        } else {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        Ok(())
    }

    /// The event for an IRP.
    fn event(&self, location: &IO_STACK_LOCATION) -> PFN_WDFDEVICE_WDM_IRP_PREPROCESS {
        let entry = self.0.get(usize::from(location.MajorFunction))?;
        let asked = entry.minors.is_empty() || entry.minors.contains(&location.MinorFunction);
        entry.event.filter(|_| asked)
    }
}

/// Gives an IRP to the client, if it asked to see such ones first; returns what the client does then.
pub fn run(device: &Typed<Device>, irp: Irp, location: &IO_STACK_LOCATION) -> Option<NTSTATUS> {
    let event = device.preprocess.as_ref()?.event(location)?;
    // SAFETY: The client registered the event for its device, and the IRP is its from here on.
    Some(unsafe { event(device.handle(), irp.0) })
}

/// `WdfDeviceInitAssignWdmIrpPreprocessCallback`. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitAssignWdmIrpPreprocessCallback(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    EvtDeviceWdmIrpPreprocess: PFN_WDFDEVICE_WDM_IRP_PREPROCESS,
    MajorFunction: u8,
    MinorFunctions: *const u8,
    NumMinorFunctions: ULONG,
) -> NTSTATUS {
    // SAFETY: The client passes its pointer.
    let init = unsafe { self::DeviceInit::from_client(DeviceInit) };
    if EvtDeviceWdmIrpPreprocess.is_none() || (MinorFunctions.is_null() && NumMinorFunctions != 0) {
        violation::null_parameter(c"WdfDeviceInitAssignWdmIrpPreprocessCallback");
    }
    let minors = if NumMinorFunctions == 0 {
        &[]
    } else {
        // SAFETY: The client passes so many minor functions.
        unsafe { core::slice::from_raw_parts(MinorFunctions, NumMinorFunctions as usize) }
    };
    let event = EvtDeviceWdmIrpPreprocess;
    status_of(assign(init, event, MajorFunction, minors))
}

fn assign(
    init: &mut DeviceInit,
    event: PFN_WDFDEVICE_WDM_IRP_PREPROCESS,
    major: u8,
    given: &[u8],
) -> Outcome {
    let mut minors = Vec::new();
    minors
        .try_reserve_exact(given.len())
        .map_err(|_| STATUS_INSUFFICIENT_RESOURCES)?;
    minors.extend_from_slice(given);
    if init.preprocess.is_none() {
        init.preprocess = Some(Preprocess::new()?);
    }
    let entry = Entry { event, minors };
    init.preprocess
        .as_mut()
        .map_or(Ok(()), |preprocess| preprocess.set(major, entry))
}

/// `WdfDeviceWdmDispatchPreprocessedIrp`: gives an IRP back, in the next stack location, as when a lower driver is
/// called. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceWdmDispatchPreprocessedIrp(
    _: Globals,
    Device: WDFDEVICE,
    Irp: *mut IRP,
) -> NTSTATUS {
    let device = lookup::<self::Device>(Device);
    if Irp.is_null() {
        violation::null_parameter(c"WdfDeviceWdmDispatchPreprocessedIrp");
    }
    let irp: self::Irp = Ptr(Irp);
    // SAFETY: The client owns the IRP, and has skipped its location or filled in the next one.
    unsafe { irp.advance() };
    // SAFETY: As above; the framework owns it now.
    let location = unsafe { irp.location() };
    handle_irp(&device, irp, &location)
}
