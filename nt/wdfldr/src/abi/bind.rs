//! What the client's entry library and the loader pass to each other.

use super::WDFDRIVER;
use nt_abi::{BOOLEAN, CHAR, PVOID, PWSTR, ULONG};

/// `WDF_VERSION`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WDF_VERSION {
    pub Major: ULONG,
    pub Minor: ULONG,
    pub Build: ULONG,
}

/// `WDF_BIND_INFO`. For a client of 1.15 or later `FuncTable` is the address of its `WdfFunctions`
/// pointer; for an older one, of a table of its own to be filled.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_BIND_INFO {
    pub Size: ULONG,
    pub Component: PWSTR,
    pub Version: WDF_VERSION,
    pub FuncCount: ULONG,
    pub FuncTable: *mut *const Function,
    pub Module: PVOID,
}
layout!(
    WDF_BIND_INFO, 0x30, Component: 8, Version: 0x10, FuncCount: 0x1C, FuncTable: 0x20,
    Module: 0x28,
);

/// `WDF_BIND_INFO2`: lets a client run on a framework older than the one that it was built for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_BIND_INFO2 {
    pub V1: WDF_BIND_INFO,
    pub MinimumVersionRequired: *mut ULONG,
    pub ClientVersionHigherThanFramework: *mut BOOLEAN,
    pub FuncCountPtr: *mut ULONG,
    pub StructCountPtr: *mut ULONG,
    pub StructTable: *mut PVOID,
}
layout!(
    WDF_BIND_INFO2, 0x58, MinimumVersionRequired: 0x30, ClientVersionHigherThanFramework: 0x38,
    FuncCountPtr: 0x40, StructCountPtr: 0x48, StructTable: 0x50,
);

/// One entry of the function table: the address of a function of whatever signature.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Function(pub *const ());

// SAFETY: An entry is the address of code, which any thread may read and call.
unsafe impl Send for Function {}
// SAFETY: As above; entries are never written.
unsafe impl Sync for Function {}

/// `WDF_DRIVER_GLOBALS`: what the framework shows a client of its per-driver state.
#[repr(C)]
pub struct WDF_DRIVER_GLOBALS {
    pub Driver: WDFDRIVER,
    pub DriverFlags: ULONG,
    pub DriverTag: ULONG,
    pub DriverName: [CHAR; 32],
    pub DisplaceDriverUnload: BOOLEAN,
}
layout!(
    WDF_DRIVER_GLOBALS, 0x38, DriverFlags: 8, DriverTag: 0xC, DriverName: 0x10,
    DisplaceDriverUnload: 0x30,
);
