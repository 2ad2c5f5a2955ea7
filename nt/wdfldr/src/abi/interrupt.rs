//! Interrupts.

use super::{WDFCONTEXT, WDFDEVICE, WDFINTERRUPT, WDFOBJECT, WDFSPINLOCK, WDFWAITLOCK};
use nt_abi::{BOOLEAN, KAFFINITY, KINTERRUPT_MODE, KIRQL, NTSTATUS, UCHAR, ULONG, USHORT};

pub type PFN_WDF_INTERRUPT_ISR = Option<unsafe extern "win64" fn(WDFINTERRUPT, ULONG) -> BOOLEAN>;
pub type PFN_WDF_INTERRUPT_SYNCHRONIZE =
    Option<unsafe extern "win64" fn(WDFINTERRUPT, WDFCONTEXT) -> BOOLEAN>;
/// `PFN_WDF_INTERRUPT_DPC` and `PFN_WDF_INTERRUPT_WORKITEM`.
pub type PFN_WDF_INTERRUPT_LATER = Option<unsafe extern "win64" fn(WDFINTERRUPT, WDFOBJECT)>;
/// `PFN_WDF_INTERRUPT_ENABLE` and `PFN_WDF_INTERRUPT_DISABLE`.
pub type PFN_WDF_INTERRUPT_SWITCH =
    Option<unsafe extern "win64" fn(WDFINTERRUPT, WDFDEVICE) -> NTSTATUS>;

/// `WDF_INTERRUPT_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct WDF_INTERRUPT_CONFIG {
    pub Size: ULONG,
    pub SpinLock: WDFSPINLOCK,
    pub ShareVector: i32,
    pub FloatingSave: BOOLEAN,
    pub AutomaticSerialization: BOOLEAN,
    pub EvtInterruptIsr: PFN_WDF_INTERRUPT_ISR,
    pub EvtInterruptDpc: PFN_WDF_INTERRUPT_LATER,
    pub EvtInterruptEnable: PFN_WDF_INTERRUPT_SWITCH,
    pub EvtInterruptDisable: PFN_WDF_INTERRUPT_SWITCH,
    pub EvtInterruptWorkItem: PFN_WDF_INTERRUPT_LATER,
    /// Addresses of `CM_PARTIAL_RESOURCE_DESCRIPTOR`s, or 0.
    pub InterruptRaw: usize,
    pub InterruptTranslated: usize,
    pub WaitLock: WDFWAITLOCK,
    pub PassiveHandling: BOOLEAN,
    pub ReportInactiveOnPowerDown: i32,
    pub CanWakeDevice: BOOLEAN,
}
layout!(
    WDF_INTERRUPT_CONFIG, 0x68, SpinLock: 8, ShareVector: 0x10, EvtInterruptIsr: 0x18,
    EvtInterruptWorkItem: 0x38, InterruptRaw: 0x40, WaitLock: 0x50, PassiveHandling: 0x58,
    CanWakeDevice: 0x60,
);
/// The sizes of the structure in 1.9 and in 1.11.
pub const INTERRUPT_CONFIG_SIZE_V1_9: usize =
    core::mem::offset_of!(WDF_INTERRUPT_CONFIG, EvtInterruptWorkItem);
pub const INTERRUPT_CONFIG_SIZE_V1_11: usize =
    core::mem::offset_of!(WDF_INTERRUPT_CONFIG, CanWakeDevice);

/// A processor group on a boundary of eight bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
pub struct AlignedGroup(pub USHORT);

/// `WDF_INTERRUPT_INFO`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct WDF_INTERRUPT_INFO {
    pub Size: ULONG,
    pub Reserved1: u64,
    pub TargetProcessorSet: KAFFINITY,
    pub Reserved2: ULONG,
    pub MessageNumber: ULONG,
    pub Vector: ULONG,
    pub Irql: KIRQL,
    pub Mode: KINTERRUPT_MODE,
    /// `WDF_INTERRUPT_POLARITY`.
    pub Polarity: i32,
    pub MessageSignaled: BOOLEAN,
    pub ShareDisposition: UCHAR,
    pub Group: AlignedGroup,
}
layout!(
    WDF_INTERRUPT_INFO, 0x40, TargetProcessorSet: 0x10, Vector: 0x20, Irql: 0x24, Mode: 0x28,
    MessageSignaled: 0x30, ShareDisposition: 0x31, Group: 0x38,
);
/// The size of the structure before `Group` was added.
pub const INTERRUPT_INFO_SIZE_V1_7: usize = core::mem::offset_of!(WDF_INTERRUPT_INFO, Group);
