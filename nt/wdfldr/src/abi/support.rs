//! Timers, DPCs and work items.

use super::{WDFDPC, WDFTIMER, WDFWORKITEM};
use nt_abi::{BOOLEAN, ULONG};

/// `WDF_TIMER_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_TIMER_CONFIG {
    pub Size: ULONG,
    pub EvtTimerFunc: Option<unsafe extern "win64" fn(WDFTIMER)>,
    /// Milliseconds; 0 for a one-shot timer.
    pub Period: ULONG,
    pub AutomaticSerialization: BOOLEAN,
    /// Milliseconds.
    pub TolerableDelay: ULONG,
    pub UseHighResolutionTimer: Aligned,
}
layout!(
    WDF_TIMER_CONFIG, 0x28, EvtTimerFunc: 8, Period: 0x10, AutomaticSerialization: 0x14,
    TolerableDelay: 0x18, UseHighResolutionTimer: 0x20,
);

/// A `DECLSPEC_ALIGN(8) BOOLEAN`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Aligned(pub BOOLEAN);

/// `WDF_DPC_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_DPC_CONFIG {
    pub Size: ULONG,
    pub EvtDpcFunc: Option<unsafe extern "win64" fn(WDFDPC)>,
    pub AutomaticSerialization: BOOLEAN,
}
layout!(WDF_DPC_CONFIG, 0x18, EvtDpcFunc: 8, AutomaticSerialization: 0x10);

/// `WDF_WORKITEM_CONFIG`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_WORKITEM_CONFIG {
    pub Size: ULONG,
    pub EvtWorkItemFunc: Option<unsafe extern "win64" fn(WDFWORKITEM)>,
    pub AutomaticSerialization: BOOLEAN,
}
layout!(WDF_WORKITEM_CONFIG, 0x18, EvtWorkItemFunc: 8, AutomaticSerialization: 0x10);
