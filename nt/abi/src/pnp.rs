//! What Plug and Play and the opening of devices add to the I/O manager.

use crate::{ACCESS_MASK, BOOLEAN, KEVENT, LONG, PVOID, ULONG, UNICODE_STRING};

/// What `Parameters.Create.SecurityContext` points to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_SECURITY_CONTEXT {
    pub SecurityQos: PVOID,
    pub AccessState: PVOID,
    pub DesiredAccess: ACCESS_MASK,
    pub FullCreateOptions: ULONG,
}
layout!(IO_SECURITY_CONTEXT, 0x18, AccessState: 8, DesiredAccess: 0x10, FullCreateOptions: 0x14);

/// What `ObQueryNameString` returns; the name follows it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OBJECT_NAME_INFORMATION {
    pub Name: UNICODE_STRING,
}
layout!(OBJECT_NAME_INFORMATION, 0x10);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_REMOVE_LOCK_COMMON_BLOCK {
    pub Removed: BOOLEAN,
    pub Reserved: [BOOLEAN; 3],
    pub IoCount: LONG,
    pub RemoveEvent: KEVENT,
}
layout!(IO_REMOVE_LOCK_COMMON_BLOCK, 0x20, IoCount: 4, RemoveEvent: 8);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_REMOVE_LOCK {
    pub Common: IO_REMOVE_LOCK_COMMON_BLOCK,
}
pub type PIO_REMOVE_LOCK = *mut IO_REMOVE_LOCK;
layout!(IO_REMOVE_LOCK, 0x20);

pub mod _DEVICE_REGISTRY_PROPERTY {
    pub type Type = i32;
    pub const DevicePropertyDeviceDescription: Type = 0;
    pub const DevicePropertyHardwareID: Type = 1;
    pub const DevicePropertyCompatibleIDs: Type = 2;
    pub const DevicePropertyFriendlyName: Type = 9;
    pub const DevicePropertyPhysicalDeviceObjectName: Type = 11;
    pub const DevicePropertyEnumeratorName: Type = 15;
    pub const DevicePropertyInstallState: Type = 18;
    pub const DevicePropertyRemovalPolicy: Type = 19;
    /// One more than the last property that this kernel knows of (`DevicePropertyContainerID`).
    pub const MaxDeviceProperty: Type = 23;
}
pub type DEVICE_REGISTRY_PROPERTY = _DEVICE_REGISTRY_PROPERTY::Type;
