//! What a client says is the matter with its device, and how the PnP manager learns of it.
//!
//! Sources: `WDF_DEVICE_STATE`, "Reporting Device Failures", and the public source for what becomes of
//! structures that do not fit.

use super::Device;
use crate::abi::{
    WDF_DEVICE_STATE, WDF_DEVICE_STATE_SIZE_V1_27, WDF_DRIVER_GLOBALS, WDFDEVICE,
    WdfDeviceFailedAttemptRestart, WdfDeviceFailedNoRestart, WdfFalse, WdfTrue, WdfUseDefault,
};
use crate::kernel::{IoInvalidateDeviceState, Irp, print};
use crate::object::lookup;
use crate::violation;
use nt_abi::{
    NT_SUCCESS, NTSTATUS, PNP_DEVICE_ASSIGNED_TO_GUEST, PNP_DEVICE_DISABLED,
    PNP_DEVICE_DONT_DISPLAY_IN_UI, PNP_DEVICE_FAILED, PNP_DEVICE_NOT_DISABLEABLE,
    PNP_DEVICE_REMOVED, PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED, PNP_DEVICE_STATE,
    STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The flags of the PnP manager in the order of the members of `WDF_DEVICE_STATE`.
const FLAGS: [PNP_DEVICE_STATE; 7] = [
    PNP_DEVICE_DISABLED,
    PNP_DEVICE_DONT_DISPLAY_IN_UI,
    PNP_DEVICE_FAILED,
    PNP_DEVICE_NOT_DISABLEABLE,
    PNP_DEVICE_REMOVED,
    PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED,
    PNP_DEVICE_ASSIGNED_TO_GUEST,
];

/// What the client declared.
#[derive(Clone, Copy)]
pub struct Declared {
    /// Whether each flag is set, cleared, or left to the drivers below.
    switches: [i32; FLAGS.len()],
    /// `WdfDeviceSetFailed` was called.
    failed: bool,
}

impl Declared {
    pub const NOTHING: Self = Self {
        switches: [WdfUseDefault; FLAGS.len()],
        failed: false,
    };

    /// The state that the drivers below gave, as this one has it.
    fn apply(self, below: PNP_DEVICE_STATE) -> PNP_DEVICE_STATE {
        let told = FLAGS.iter().zip(self.switches);
        let state = told.fold(below, |state, (flag, switch)| match switch {
            WdfTrue => state | flag,
            WdfFalse => state & !flag,
            _ => state,
        });
        state | if self.failed { PNP_DEVICE_FAILED } else { 0 }
    }
}

/// How many switches a structure of that size has; none if there is no such version of it.
fn switches_of(size: usize) -> usize {
    let sizes = [WDF_DEVICE_STATE_SIZE_V1_27, size_of::<WDF_DEVICE_STATE>()];
    if sizes.contains(&size) {
        (size - size_of::<u32>()) / size_of::<i32>()
    } else {
        print(c"WDFLDR: WDF_DEVICE_STATE of size %Iu ignored\n", size);
        0
    }
}

/// The switches of a client's structure, as many as its version has.
///
/// # Safety
/// `state` is null or a structure of the client.
unsafe fn switches<'a>(
    state: *mut WDF_DEVICE_STATE,
    function: &'static core::ffi::CStr,
) -> &'a mut [i32] {
    if state.is_null() {
        violation::null_parameter(function);
    }
    // SAFETY: The structure starts with its size.
    let size = unsafe { state.cast::<u32>().read() };
    // SAFETY: They follow the size.
    let first = unsafe { (&raw mut (*state).Disabled).cast::<i32>() };
    // SAFETY: The client's structure is as long as it says, if that is a version of it.
    unsafe { core::slice::from_raw_parts_mut(first, switches_of(size as usize)) }
}

/// `IRP_MN_QUERY_PNP_DEVICE_STATE`: the answer of the drivers below, as the client has it.
/// IRQL `PASSIVE_LEVEL`.
#[expect(clippy::cast_possible_truncation, reason = "the state has 32 bits")]
pub fn query(device: &Device, irp: Irp) -> NTSTATUS {
    // SAFETY: The dispatch routine owns the IRP, and `lower` is attached below.
    let below = unsafe { irp.forward_and_wait(device.lower()) };
    let status = if below == STATUS_NOT_SUPPORTED {
        STATUS_SUCCESS
    } else {
        below
    };
    if !NT_SUCCESS(status) {
        // SAFETY: `forward_and_wait` gave the IRP back.
        return unsafe { irp.complete(status) };
    }
    let declared = device.declared.with(|declared| *declared);
    // SAFETY: As above.
    let state = declared.apply(unsafe { irp.information() } as PNP_DEVICE_STATE);
    // SAFETY: As above.
    unsafe { irp.complete_with(status, state.into()) }
}

/// Gives the device up: the PnP manager removes it. IRQL <= `DISPATCH_LEVEL`.
pub fn fail(device: &Device) {
    device.declared.with(|declared| declared.failed = true);
    invalidate(device);
}

/// Has the PnP manager ask for the state, if it knows the device. IRQL <= `DISPATCH_LEVEL`.
fn invalidate(device: &Device) {
    if !device.is_control() {
        // SAFETY: The physical device stays as long as this one is attached above it.
        unsafe { IoInvalidateDeviceState(device.pdo().0) };
    }
}

/// `WdfDeviceGetDeviceState`: what the client set; everything else is for the drivers below to say.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetDeviceState(
    _: Globals,
    Device: WDFDEVICE,
    DeviceState: *mut WDF_DEVICE_STATE,
) {
    let device = lookup::<self::Device>(Device);
    // SAFETY: The client passes a structure to be filled.
    let places = unsafe { switches(DeviceState, c"WdfDeviceGetDeviceState") };
    let declared = device.declared.with(|declared| *declared);
    for (place, switch) in places.iter_mut().zip(declared.switches) {
        *place = switch;
    }
}

/// `WdfDeviceSetDeviceState`: the PnP manager asks for the state and hears this. A device that has failed
/// or is not there any more is then removed. A structure that does not fit is ignored.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceSetDeviceState(
    _: Globals,
    Device: WDFDEVICE,
    DeviceState: *mut WDF_DEVICE_STATE,
) {
    let device = lookup::<self::Device>(Device);
    // SAFETY: The client passes its structure.
    let given = unsafe { switches(DeviceState, c"WdfDeviceSetDeviceState") };
    let valid = given
        .iter()
        .all(|switch| (WdfFalse..=WdfUseDefault).contains(switch));
    if given.is_empty() || !valid {
        return;
    }
    device.declared.with(|declared| {
        declared.switches = Declared::NOTHING.switches;
        declared.switches[..given.len()].copy_from_slice(given);
    });
    invalidate(&device);
}

/// `WdfDeviceSetFailed`: the PnP manager removes the device. The bus driver is not asked to enumerate it
/// anew for `WdfDeviceFailedAttemptRestart`, as with one that does not support that. Another action is
/// ignored. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceSetFailed(_: Globals, Device: WDFDEVICE, FailedAction: i32) {
    let device = lookup::<self::Device>(Device);
    if (WdfDeviceFailedAttemptRestart..=WdfDeviceFailedNoRestart).contains(&FailedAction) {
        fail(&device);
    }
}
