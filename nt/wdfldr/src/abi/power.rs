//! Power policy.

use nt_abi::{BOOLEAN, ULONG};

/// `WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS {
    pub Size: ULONG,
    pub IdleCaps: i32,
    pub DxState: i32,
    pub IdleTimeout: ULONG,
    pub UserControlOfIdleSettings: i32,
    pub Enabled: i32,
    pub PowerUpIdleDeviceOnSystemWake: i32,
    pub IdleTimeoutType: i32,
    pub ExcludeD3Cold: i32,
}
layout!(
    WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS, 0x24, DxState: 8, Enabled: 0x14,
    PowerUpIdleDeviceOnSystemWake: 0x18, IdleTimeoutType: 0x1C,
);
/// The sizes of the structure in 1.7 and in 1.9.
pub const IDLE_SETTINGS_SIZE_V1_7: usize = core::mem::offset_of!(
    WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS,
    PowerUpIdleDeviceOnSystemWake
);
pub const IDLE_SETTINGS_SIZE_V1_9: usize =
    core::mem::offset_of!(WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS, IdleTimeoutType);

/// `WDF_POWER_POLICY_S0_IDLE_CAPABILITIES`.
pub const IdleCannotWakeFromS0: i32 = 1;
pub const IdleUsbSelectiveSuspend: i32 = 3;

/// `WDF_POWER_POLICY_S0_IDLE_USER_CONTROL`, and in the same order that of waking the system.
pub const IdleDoNotAllowUserControl: i32 = 1;
pub const IdleAllowUserControl: i32 = 2;

/// `WDF_POWER_POLICY_IDLE_TIMEOUT_TYPE`.
pub const DriverManagedIdleTimeout: i32 = 0;
pub const SystemManagedIdleTimeoutWithHint: i32 = 2;

/// `DEVICE_POWER_STATE`, whose states are those of `WDF_POWER_DEVICE_STATE` as well.
pub const PowerDeviceD1: i32 = 2;
pub const PowerDeviceD3: i32 = 4;
pub const PowerDeviceMaximum: i32 = 5;

/// `WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS {
    pub Size: ULONG,
    pub DxState: i32,
    pub UserControlOfWakeSettings: i32,
    pub Enabled: i32,
    pub ArmForWakeIfChildrenAreArmedForWake: BOOLEAN,
    pub IndicateChildWakeOnParentWake: BOOLEAN,
}
layout!(
    WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS, 0x14, DxState: 4, ArmForWakeIfChildrenAreArmedForWake: 0x10,
);
/// The size of the structure in 1.5.
pub const WAKE_SETTINGS_SIZE_V1_5: usize = core::mem::offset_of!(
    WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS,
    ArmForWakeIfChildrenAreArmedForWake
);

/// `WDF_POWER_POLICY_EVENT_CALLBACKS`: events for arming a device to wake the system or itself, of which nothing
/// is read.
pub type WDF_POWER_POLICY_EVENT_CALLBACKS = core::ffi::c_void;

/// `POWER_ACTION`.
pub const PowerActionNone: i32 = 0;
