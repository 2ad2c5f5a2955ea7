//! Drivers, devices and files.

use super::{WDFCMRESLIST, WDFDEVICE, WDFDRIVER, WDFFILEOBJECT, WDFREQUEST};
use core::ffi::c_void;
use nt_abi::{BOOLEAN, GUID, INTERFACE, NTSTATUS, ULONG};

/// `PWDFDEVICE_INIT`: opaque to the client.
pub type PWDFDEVICE_INIT = *mut c_void;

pub type PFN_WDF_DRIVER_DEVICE_ADD =
    Option<unsafe extern "win64" fn(WDFDRIVER, PWDFDEVICE_INIT) -> NTSTATUS>;
pub type PFN_WDF_DRIVER_UNLOAD = Option<unsafe extern "win64" fn(WDFDRIVER)>;

/// `WDF_DRIVER_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_DRIVER_CONFIG {
    pub Size: ULONG,
    pub EvtDriverDeviceAdd: PFN_WDF_DRIVER_DEVICE_ADD,
    pub EvtDriverUnload: PFN_WDF_DRIVER_UNLOAD,
    pub DriverInitFlags: ULONG,
    pub DriverPoolTag: ULONG,
}
layout!(
    WDF_DRIVER_CONFIG, 0x20, EvtDriverDeviceAdd: 8, EvtDriverUnload: 0x10, DriverInitFlags: 0x18,
    DriverPoolTag: 0x1C,
);

/// `WDF_DRIVER_INIT_FLAGS`.
pub const WdfDriverInitNonPnpDriver: ULONG = 0x1;
pub const WdfDriverInitNoDispatchOverride: ULONG = 0x2;
pub const WdfDriverInitCompanion: ULONG = 0x10;

/// `WDF_DRIVER_VERSION_AVAILABLE_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_DRIVER_VERSION_AVAILABLE_PARAMS {
    pub Size: ULONG,
    pub MajorVersion: ULONG,
    pub MinorVersion: ULONG,
}
layout!(WDF_DRIVER_VERSION_AVAILABLE_PARAMS, 0xC);

pub type DeviceEvent = Option<unsafe extern "win64" fn(WDFDEVICE)>;
pub type DeviceQuery = Option<unsafe extern "win64" fn(WDFDEVICE) -> NTSTATUS>;
pub type DevicePower = Option<unsafe extern "win64" fn(WDFDEVICE, i32) -> NTSTATUS>;
pub type DevicePrepare =
    Option<unsafe extern "win64" fn(WDFDEVICE, WDFCMRESLIST, WDFCMRESLIST) -> NTSTATUS>;
pub type DeviceRelease = Option<unsafe extern "win64" fn(WDFDEVICE, WDFCMRESLIST) -> NTSTATUS>;

/// `WDF_PNPPOWER_EVENT_CALLBACKS`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct WDF_PNPPOWER_EVENT_CALLBACKS {
    pub Size: ULONG,
    pub EvtDeviceD0Entry: DevicePower,
    pub EvtDeviceD0EntryPostInterruptsEnabled: DevicePower,
    pub EvtDeviceD0Exit: DevicePower,
    pub EvtDeviceD0ExitPreInterruptsDisabled: DevicePower,
    pub EvtDevicePrepareHardware: DevicePrepare,
    pub EvtDeviceReleaseHardware: DeviceRelease,
    pub EvtDeviceSelfManagedIoCleanup: DeviceEvent,
    pub EvtDeviceSelfManagedIoFlush: DeviceEvent,
    pub EvtDeviceSelfManagedIoInit: DeviceQuery,
    pub EvtDeviceSelfManagedIoSuspend: DeviceQuery,
    pub EvtDeviceSelfManagedIoRestart: DeviceQuery,
    pub EvtDeviceSurpriseRemoval: DeviceEvent,
    pub EvtDeviceQueryRemove: DeviceQuery,
    pub EvtDeviceQueryStop: DeviceQuery,
    pub EvtDeviceUsageNotification: Option<unsafe extern "win64" fn(WDFDEVICE, i32, BOOLEAN)>,
    pub EvtDeviceRelationsQuery: Option<unsafe extern "win64" fn(WDFDEVICE, i32)>,
    pub EvtDeviceUsageNotificationEx:
        Option<unsafe extern "win64" fn(WDFDEVICE, i32, BOOLEAN) -> NTSTATUS>,
}
layout!(
    WDF_PNPPOWER_EVENT_CALLBACKS, 0x90, EvtDeviceD0Entry: 8, EvtDeviceD0Exit: 0x18,
    EvtDevicePrepareHardware: 0x28, EvtDeviceReleaseHardware: 0x30,
    EvtDeviceSelfManagedIoInit: 0x48, EvtDeviceSurpriseRemoval: 0x60, EvtDeviceQueryRemove: 0x68,
    EvtDeviceUsageNotificationEx: 0x88,
);

/// `WDF_POWER_DEVICE_STATE`.
pub const WdfPowerDeviceD3Final: i32 = 5;

/// `WDF_DEVICE_IO_TYPE`.
pub const WdfDeviceIoNeither: i32 = 1;
pub const WdfDeviceIoBuffered: i32 = 2;
pub const WdfDeviceIoDirect: i32 = 3;
pub const WdfDeviceIoBufferedOrDirect: i32 = 4;

pub type PFN_WDF_IO_IN_CALLER_CONTEXT = Option<unsafe extern "win64" fn(WDFDEVICE, WDFREQUEST)>;

pub type PFN_WDFDEVICE_WDM_IRP_PREPROCESS =
    Option<unsafe extern "win64" fn(WDFDEVICE, *mut nt_abi::IRP) -> NTSTATUS>;

/// `WDF_IO_TYPE_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_IO_TYPE_CONFIG {
    pub Size: ULONG,
    pub ReadWriteIoType: i32,
    pub DeviceControlIoType: i32,
    pub DirectTransferThreshold: ULONG,
}
layout!(WDF_IO_TYPE_CONFIG, 0x10);

pub type PFN_WDF_DEVICE_FILE_CREATE =
    Option<unsafe extern "win64" fn(WDFDEVICE, WDFREQUEST, WDFFILEOBJECT)>;
pub type PFN_WDF_FILE_EVENT = Option<unsafe extern "win64" fn(WDFFILEOBJECT)>;

/// `WDF_FILEOBJECT_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_FILEOBJECT_CONFIG {
    pub Size: ULONG,
    pub EvtDeviceFileCreate: PFN_WDF_DEVICE_FILE_CREATE,
    pub EvtFileClose: PFN_WDF_FILE_EVENT,
    pub EvtFileCleanup: PFN_WDF_FILE_EVENT,
    pub AutoForwardCleanupClose: i32,
    pub FileObjectClass: u32,
}
layout!(
    WDF_FILEOBJECT_CONFIG, 0x28, EvtDeviceFileCreate: 8, EvtFileClose: 0x10, EvtFileCleanup: 0x18,
    AutoForwardCleanupClose: 0x20, FileObjectClass: 0x24,
);

/// `WDF_FILEOBJECT_CLASS`.
pub const WdfFileObjectNotRequired: u32 = 1;
pub const WdfFileObjectWdfCanUseFsContext: u32 = 2;
pub const WdfFileObjectWdfCanUseFsContext2: u32 = 3;
pub const WdfFileObjectWdfCannotUseFsContexts: u32 = 4;
/// A flag on top of the class: a create request may come without a file object.
pub const WdfFileObjectCanBeOptional: u32 = 0x8000_0000;

/// `WDF_DEVICE_STATE`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_DEVICE_STATE {
    pub Size: ULONG,
    pub Disabled: i32,
    pub DontDisplayInUI: i32,
    pub Failed: i32,
    pub NotDisableable: i32,
    pub Removed: i32,
    pub ResourcesChanged: i32,
    pub AssignedToGuest: i32,
}
layout!(WDF_DEVICE_STATE, 0x20);
/// The size of the structure before `AssignedToGuest` was added.
pub const WDF_DEVICE_STATE_SIZE_V1_27: usize =
    core::mem::offset_of!(WDF_DEVICE_STATE, AssignedToGuest);

/// `WDF_DEVICE_FAILED_ACTION`.
pub const WdfDeviceFailedAttemptRestart: i32 = 1;
pub const WdfDeviceFailedNoRestart: i32 = 2;

pub type PFN_WDF_DEVICE_PROCESS_QUERY_INTERFACE_REQUEST = Option<
    unsafe extern "win64" fn(WDFDEVICE, *const GUID, *mut INTERFACE, *mut c_void) -> NTSTATUS,
>;

/// `WDF_QUERY_INTERFACE_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_QUERY_INTERFACE_CONFIG {
    pub Size: ULONG,
    pub Interface: *mut INTERFACE,
    pub InterfaceType: *const GUID,
    pub SendQueryToParentStack: BOOLEAN,
    pub EvtDeviceProcessQueryInterfaceRequest: PFN_WDF_DEVICE_PROCESS_QUERY_INTERFACE_REQUEST,
    pub ImportInterface: BOOLEAN,
}
layout!(
    WDF_QUERY_INTERFACE_CONFIG, 0x30, Interface: 8, InterfaceType: 0x10, SendQueryToParentStack: 0x18,
    EvtDeviceProcessQueryInterfaceRequest: 0x20, ImportInterface: 0x28,
);

/// `WDF_DEVICE_PNP_CAPABILITIES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_DEVICE_PNP_CAPABILITIES {
    pub Size: ULONG,
    /// `LockSupported` to `NoDisplayInUI`: nine `WDF_TRI_STATE`s.
    pub Switches: [i32; 9],
    pub Address: ULONG,
    pub UINumber: ULONG,
}
layout!(WDF_DEVICE_PNP_CAPABILITIES, 0x30, Switches: 4, Address: 0x28);

/// `WDF_DEVICE_PNP_STATE`.
pub const WdfDevStatePnpInit: i32 = 0x105;
pub const WdfDevStatePnpStarted: i32 = 0x119;
pub const WdfDevStatePnpSurpriseRemove: i32 = 0x121;
pub const WdfDevStatePnpRemoved: i32 = 0x113;
pub const WdfDevStatePnpFailed: i32 = 0x12B;
