//! Interrupt objects and how they are connected.

use crate::{
    BOOLEAN, KAFFINITY, KIRQL, LONG, PDEVICE_OBJECT, PKSPIN_LOCK, PVOID, UCHAR, ULONG, USHORT,
};

/// An interrupt object, opaque to drivers.
#[repr(C)]
pub struct _KINTERRUPT {
    _opaque: [u8; 0],
}
pub type PKINTERRUPT = *mut _KINTERRUPT;

pub type KSERVICE_ROUTINE =
    Option<unsafe extern "win64" fn(Interrupt: *mut _KINTERRUPT, ServiceContext: PVOID) -> BOOLEAN>;
pub type PKSERVICE_ROUTINE = KSERVICE_ROUTINE;

pub type KMESSAGE_SERVICE_ROUTINE = Option<
    unsafe extern "win64" fn(
        Interrupt: *mut _KINTERRUPT,
        ServiceContext: PVOID,
        MessageID: ULONG,
    ) -> BOOLEAN,
>;
pub type PKMESSAGE_SERVICE_ROUTINE = KMESSAGE_SERVICE_ROUTINE;

pub type KSYNCHRONIZE_ROUTINE =
    Option<unsafe extern "win64" fn(SynchronizeContext: PVOID) -> BOOLEAN>;
pub type PKSYNCHRONIZE_ROUTINE = KSYNCHRONIZE_ROUTINE;

pub mod _KINTERRUPT_MODE {
    pub type Type = i32;
    pub const LevelSensitive: Type = 0;
    pub const Latched: Type = 1;
}
pub type KINTERRUPT_MODE = _KINTERRUPT_MODE::Type;

pub const CONNECT_FULLY_SPECIFIED: ULONG = 1;
pub const CONNECT_LINE_BASED: ULONG = 2;
pub const CONNECT_MESSAGE_BASED: ULONG = 3;
pub const CONNECT_FULLY_SPECIFIED_GROUP: ULONG = 4;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
    pub PhysicalDeviceObject: PDEVICE_OBJECT,
    pub InterruptObject: *mut PKINTERRUPT,
    pub ServiceRoutine: PKSERVICE_ROUTINE,
    pub ServiceContext: PVOID,
    pub SpinLock: PKSPIN_LOCK,
    pub SynchronizeIrql: KIRQL,
    pub FloatingSave: BOOLEAN,
    pub ShareVector: BOOLEAN,
    pub Vector: ULONG,
    pub Irql: KIRQL,
    pub InterruptMode: KINTERRUPT_MODE,
    pub ProcessorEnableMask: KAFFINITY,
    pub Group: USHORT,
}
layout!(
    IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS, 0x48, InterruptObject: 8,
    ServiceRoutine: 0x10, ServiceContext: 0x18, SpinLock: 0x20, SynchronizeIrql: 0x28,
    ShareVector: 0x2A, Vector: 0x2C, Irql: 0x30, InterruptMode: 0x34, ProcessorEnableMask: 0x38,
    Group: 0x40,
);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS {
    pub PhysicalDeviceObject: PDEVICE_OBJECT,
    pub InterruptObject: *mut PKINTERRUPT,
    pub ServiceRoutine: PKSERVICE_ROUTINE,
    pub ServiceContext: PVOID,
    pub SpinLock: PKSPIN_LOCK,
    pub SynchronizeIrql: KIRQL,
    pub FloatingSave: BOOLEAN,
}
layout!(
    IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS, 0x30, InterruptObject: 8, ServiceRoutine: 0x10,
    ServiceContext: 0x18, SpinLock: 0x20, SynchronizeIrql: 0x28, FloatingSave: 0x29,
);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS {
    pub PhysicalDeviceObject: PDEVICE_OBJECT,
    /// A union of three pointers; this is `ConnectionContext.Generic`.
    pub ConnectionContext: *mut PVOID,
    pub MessageServiceRoutine: PKMESSAGE_SERVICE_ROUTINE,
    pub ServiceContext: PVOID,
    pub SpinLock: PKSPIN_LOCK,
    pub SynchronizeIrql: KIRQL,
    pub FloatingSave: BOOLEAN,
    pub FallBackServiceRoutine: PKSERVICE_ROUTINE,
}
layout!(
    IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS, 0x38, ConnectionContext: 8,
    MessageServiceRoutine: 0x10, ServiceContext: 0x18, SpinLock: 0x20, SynchronizeIrql: 0x28,
    FallBackServiceRoutine: 0x30,
);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_CONNECT_INTERRUPT_PARAMETERS {
    pub Version: ULONG,
    pub __bindgen_anon_1: _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1,
}
pub type PIO_CONNECT_INTERRUPT_PARAMETERS = *mut IO_CONNECT_INTERRUPT_PARAMETERS;
layout!(IO_CONNECT_INTERRUPT_PARAMETERS, 0x50, __bindgen_anon_1: 8);

#[repr(C)]
#[derive(Clone, Copy)]
pub union _IO_CONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
    pub FullySpecified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS,
    pub LineBased: IO_CONNECT_INTERRUPT_LINE_BASED_PARAMETERS,
    pub MessageBased: IO_CONNECT_INTERRUPT_MESSAGE_BASED_PARAMETERS,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_DISCONNECT_INTERRUPT_PARAMETERS {
    pub Version: ULONG,
    pub ConnectionContext: _IO_DISCONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1,
}
pub type PIO_DISCONNECT_INTERRUPT_PARAMETERS = *mut IO_DISCONNECT_INTERRUPT_PARAMETERS;
layout!(IO_DISCONNECT_INTERRUPT_PARAMETERS, 0x10, ConnectionContext: 8);

#[repr(C)]
#[derive(Clone, Copy)]
pub union _IO_DISCONNECT_INTERRUPT_PARAMETERS__bindgen_ty_1 {
    pub Generic: PVOID,
    pub InterruptObject: PKINTERRUPT,
}

/// A `CM_PARTIAL_RESOURCE_DESCRIPTOR` of an interrupt on a line.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CM_INTERRUPT_DESCRIPTOR {
    pub Type: UCHAR,
    pub ShareDisposition: UCHAR,
    pub Flags: USHORT,
    pub Level: USHORT,
    pub Group: USHORT,
    pub Vector: ULONG,
    pub Affinity: KAFFINITY,
}
layout!(CM_INTERRUPT_DESCRIPTOR, 0x14, Flags: 2, Level: 4, Group: 6, Vector: 8, Affinity: 0xC);

pub const CmResourceTypeInterrupt: UCHAR = 2;
pub const CmResourceShareDeviceExclusive: UCHAR = 1;
pub const CmResourceShareShared: UCHAR = 3;
pub const CM_RESOURCE_INTERRUPT_LATCHED: USHORT = 1;
pub const CM_RESOURCE_INTERRUPT_MESSAGE: USHORT = 2;

/// The start of a `CM_RESOURCE_LIST` with one full descriptor, which the partial ones follow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CM_RESOURCE_LIST_HEADER {
    pub Count: ULONG,
    pub InterfaceType: LONG,
    pub BusNumber: ULONG,
    pub Version: USHORT,
    pub Revision: USHORT,
    pub PartialCount: ULONG,
}
layout!(CM_RESOURCE_LIST_HEADER, 0x14, PartialCount: 0x10);
