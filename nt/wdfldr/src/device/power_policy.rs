//! Who owns a device's power policy says when it goes down and what wakes it.
//!
//! The one bus that there is gives its devices no way to wake themselves or the system, which is what its
//! drivers are told where they ask for that. Nobody at this machine overrides what they say.

use super::Device;
use super::idle::Settings;
use super::init::DeviceInit;
use crate::abi::{
    DriverManagedIdleTimeout, IDLE_SETTINGS_SIZE_V1_7, IDLE_SETTINGS_SIZE_V1_9,
    IdleAllowUserControl, IdleCannotWakeFromS0, IdleDoNotAllowUserControl, IdleUsbSelectiveSuspend,
    PWDFDEVICE_INIT, PowerActionNone, PowerDeviceD1, PowerDeviceD3, PowerDeviceMaximum,
    SystemManagedIdleTimeoutWithHint, WAKE_SETTINGS_SIZE_V1_5,
    WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS, WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS,
    WDF_DRIVER_GLOBALS, WDF_POWER_POLICY_EVENT_CALLBACKS, WDFDEVICE, WdfFalse, WdfUseDefault,
};
use crate::kernel::{Outcome, print, status_of};
use crate::object::{Typed, lookup};
use crate::violation;
use core::ffi::{CStr, c_char};
use nt_abi::{
    BOOLEAN, LONG, NTSTATUS, PVOID, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_POWER_STATE_INVALID,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The time-out if the client names none.
const DEFAULT_TIMEOUT_MILLISECONDS: u32 = 5000;

/// A client's structure, which starts with its size; what an old one lacks is as `whole` has it.
///
/// # Errors
/// `STATUS_INFO_LENGTH_MISMATCH` if it is of none of these sizes.
///
/// # Safety
/// `settings` is null or a structure of the client; `T` starts with its size and is plain data, and the sizes
/// are none larger than its own.
unsafe fn read<T>(
    settings: *const T,
    sizes: &[usize],
    mut whole: T,
    function: &'static CStr,
) -> Outcome<T> {
    if settings.is_null() {
        violation::null_parameter(function);
    }
    // SAFETY: By contract.
    let size = unsafe { settings.cast::<u32>().read() } as usize;
    if !sizes.contains(&size) {
        return Err(STATUS_INFO_LENGTH_MISMATCH);
    }
    let place = (&raw mut whole).cast::<u8>();
    // SAFETY: The client's structure is as long as it says, and no longer than this one.
    unsafe { place.copy_from_nonoverlapping(settings.cast(), size) };
    Ok(whole)
}

/// Whether a low state, the user's part and a switch are in range.
fn in_range(state: i32, user_control: i32, enabled: i32) -> bool {
    (PowerDeviceD1..=PowerDeviceMaximum).contains(&state)
        && (IdleDoNotAllowUserControl..=IdleAllowUserControl).contains(&user_control)
        && (WdfFalse..=WdfUseDefault).contains(&enabled)
}

/// What a client's idle settings come to.
fn understand(settings: &WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS) -> Outcome<Settings> {
    let (state, wakes) = (settings.DxState, settings.IdleCaps != IdleCannotWakeFromS0);
    let wake = settings.PowerUpIdleDeviceOnSystemWake;
    let valid = in_range(state, settings.UserControlOfIdleSettings, settings.Enabled)
        && (IdleCannotWakeFromS0..=IdleUsbSelectiveSuspend).contains(&settings.IdleCaps)
        && (WdfFalse..=WdfUseDefault).contains(&wake)
        && (!wakes || wake == WdfUseDefault)
        && settings.IdleTimeoutType <= SystemManagedIdleTimeoutWithHint;
    if !valid {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if wakes {
        return Err(STATUS_POWER_STATE_INVALID);
    }
    Ok(Settings {
        enabled: settings.Enabled != WdfFalse,
        target: state.min(PowerDeviceD3),
        timeout_milliseconds: match settings.IdleTimeout {
            0 => DEFAULT_TIMEOUT_MILLISECONDS,
            timeout => timeout,
        },
        system_managed: settings.IdleTimeoutType != DriverManagedIdleTimeout,
    })
}

/// `WdfDeviceAssignS0IdleSettings`. A time-out that the system manages is the one that the driver gives, as with
/// the real framework since 1.33. `STATUS_POWER_STATE_INVALID` for a device that is to wake itself: the
/// device stays in D0. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceAssignS0IdleSettings(
    _: Globals,
    Device: WDFDEVICE,
    Settings: *mut WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS,
) -> NTSTATUS {
    /// What structures of old versions mean.
    const WHOLE: WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS = WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS {
        Size: 0,
        IdleCaps: 0,
        DxState: 0,
        IdleTimeout: 0,
        UserControlOfIdleSettings: 0,
        Enabled: 0,
        PowerUpIdleDeviceOnSystemWake: WdfUseDefault,
        IdleTimeoutType: DriverManagedIdleTimeout,
        ExcludeD3Cold: WdfUseDefault,
    };
    let device = lookup::<self::Device>(Device);
    let sizes = [
        IDLE_SETTINGS_SIZE_V1_7,
        IDLE_SETTINGS_SIZE_V1_9,
        size_of_val(&WHOLE),
    ];
    if !device.power_policy_owner {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    // SAFETY: The client passes its settings.
    let settings = unsafe { read(Settings, &sizes, WHOLE, c"WdfDeviceAssignS0IdleSettings") };
    let outcome = settings
        .and_then(|settings| understand(&settings))
        .and_then(|settings| device.idle.assign(device.object(), settings));
    status_of(outcome)
}

/// `WdfDeviceAssignSxWakeSettings`: `STATUS_POWER_STATE_INVALID`, for no device can wake the system, if nothing
/// is wrong with what the driver passes. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceAssignSxWakeSettings(
    _: Globals,
    Device: WDFDEVICE,
    Settings: *mut WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS,
) -> NTSTATUS {
    /// What structures of old versions mean.
    const WHOLE: WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS = WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS {
        Size: 0,
        DxState: 0,
        UserControlOfWakeSettings: 0,
        Enabled: 0,
        ArmForWakeIfChildrenAreArmedForWake: 0,
        IndicateChildWakeOnParentWake: 0,
    };
    let device = lookup::<self::Device>(Device);
    let sizes = [WAKE_SETTINGS_SIZE_V1_5, size_of_val(&WHOLE)];
    if !device.power_policy_owner {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    // SAFETY: The client passes its settings.
    match unsafe { read(Settings, &sizes, WHOLE, c"WdfDeviceAssignSxWakeSettings") } {
        Ok(WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS {
            DxState,
            UserControlOfWakeSettings,
            Enabled,
            ..
        }) if in_range(DxState, UserControlOfWakeSettings, Enabled) => STATUS_POWER_STATE_INVALID,
        Ok(_) => STATUS_INVALID_PARAMETER,
        Err(status) => status,
    }
}

fn stop_idle(device: &Typed<Device>, wait: bool) -> NTSTATUS {
    if device.power_policy_owner {
        device.idle.hold(device.object(), wait)
    } else {
        STATUS_INVALID_DEVICE_STATE
    }
}

fn resume_idle(device: &Typed<Device>) {
    if device.power_policy_owner && !device.idle.let_go(device.object()) {
        print(
            c"WDFLDR: WdfDeviceResumeIdle for device %p, which is not kept from idling\n",
            device.handle().0,
        );
    }
}

/// `WdfDeviceStopIdle`: whether the device is in D0 or on its way there, in which it stays.
/// IRQL <= `DISPATCH_LEVEL`; with `WaitForD0` `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceStopIdleNoTrack(
    _: Globals,
    Device: WDFDEVICE,
    WaitForD0: BOOLEAN,
) -> NTSTATUS {
    stop_idle(&lookup::<self::Device>(Device), WaitForD0 != 0)
}

/// `WdfDeviceResumeIdle`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceResumeIdleNoTrack(_: Globals, Device: WDFDEVICE) {
    resume_idle(&lookup::<self::Device>(Device));
}

/// `WdfDeviceStopIdleWithTag`: as [`WdfDeviceStopIdleNoTrack`]; the tag is for debuggers.
pub unsafe extern "win64" fn WdfDeviceStopIdleActual(
    _: Globals,
    Device: WDFDEVICE,
    WaitForD0: BOOLEAN,
    _Tag: PVOID,
    _Line: LONG,
    _File: *const c_char,
) -> NTSTATUS {
    stop_idle(&lookup::<self::Device>(Device), WaitForD0 != 0)
}

/// `WdfDeviceResumeIdleWithTag`: as [`WdfDeviceResumeIdleNoTrack`].
pub unsafe extern "win64" fn WdfDeviceResumeIdleActual(
    _: Globals,
    Device: WDFDEVICE,
    _Tag: PVOID,
    _Line: LONG,
    _File: *const c_char,
) {
    resume_idle(&lookup::<self::Device>(Device));
}

/// `WdfDeviceGetSystemPowerAction`: none, for the system stays in S0. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceGetSystemPowerAction(_: Globals, Device: WDFDEVICE) -> i32 {
    lookup::<self::Device>(Device);
    PowerActionNone
}

/// `WdfDeviceInitSetPowerPolicyEventCallbacks`: the events are about waking, which does not come about here.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfDeviceInitSetPowerPolicyEventCallbacks(
    _: Globals,
    DeviceInit: PWDFDEVICE_INIT,
    PowerPolicyEventCallbacks: *mut WDF_POWER_POLICY_EVENT_CALLBACKS,
) {
    // SAFETY: The client passes its pointer, which is checked.
    unsafe { self::DeviceInit::from_client(DeviceInit) };
    if PowerPolicyEventCallbacks.is_null() {
        violation::null_parameter(c"WdfDeviceInitSetPowerPolicyEventCallbacks");
    }
}
