//! Object attributes, context types, framework statuses and bug check codes.

use super::WDFOBJECT;
use core::ffi::c_char;
use nt_abi::{NTSTATUS, ULONG};

pub type PFN_WDF_OBJECT_CONTEXT_CLEANUP = Option<unsafe extern "win64" fn(Object: WDFOBJECT)>;
pub type PFN_WDF_OBJECT_CONTEXT_DESTROY = Option<unsafe extern "win64" fn(Object: WDFOBJECT)>;

/// `WDF_OBJECT_ATTRIBUTES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_OBJECT_ATTRIBUTES {
    pub Size: ULONG,
    pub EvtCleanupCallback: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
    pub EvtDestroyCallback: PFN_WDF_OBJECT_CONTEXT_DESTROY,
    pub ExecutionLevel: i32,
    pub SynchronizationScope: i32,
    pub ParentObject: WDFOBJECT,
    pub ContextSizeOverride: usize,
    pub ContextTypeInfo: *const WDF_OBJECT_CONTEXT_TYPE_INFO,
}
layout!(
    WDF_OBJECT_ATTRIBUTES, 0x38, EvtCleanupCallback: 8, EvtDestroyCallback: 0x10,
    ExecutionLevel: 0x18, SynchronizationScope: 0x1C, ParentObject: 0x20,
    ContextSizeOverride: 0x28, ContextTypeInfo: 0x30,
);

/// `WDF_OBJECT_CONTEXT_TYPE_INFO`. Its address, or `UniqueType` where set, identifies the type.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WDF_OBJECT_CONTEXT_TYPE_INFO {
    pub Size: ULONG,
    pub ContextName: *const c_char,
    pub ContextSize: usize,
    pub UniqueType: *const Self,
    pub EvtDriverGetUniqueContextType: Option<unsafe extern "win64" fn() -> *const Self>,
}
layout!(
    WDF_OBJECT_CONTEXT_TYPE_INFO, 0x28, ContextName: 8, ContextSize: 0x10, UniqueType: 0x18,
    EvtDriverGetUniqueContextType: 0x20,
);

/// `WDF_EXECUTION_LEVEL`.
pub const WdfExecutionLevelInheritFromParent: i32 = 1;
pub const WdfExecutionLevelPassive: i32 = 2;
pub const WdfExecutionLevelDispatch: i32 = 3;

/// `WDF_SYNCHRONIZATION_SCOPE`.
pub const WdfSynchronizationScopeInheritFromParent: i32 = 1;
pub const WdfSynchronizationScopeDevice: i32 = 2;
pub const WdfSynchronizationScopeQueue: i32 = 3;
pub const WdfSynchronizationScopeNone: i32 = 4;

/// `WDF_TRI_STATE`.
pub const WdfFalse: i32 = 0;
pub const WdfTrue: i32 = 1;
pub const WdfUseDefault: i32 = 2;

/// `WDF_BUGCHECK_CODES`: the first parameter of bug check 0x10D.
pub mod bugcheck {
    pub const WDF_REQUIRED_PARAMETER_IS_NULL: u64 = 0x4;
    pub const WDF_INVALID_HANDLE: u64 = 0x5;
    pub const WDF_REQUEST_FATAL_ERROR: u64 = 0x6;
    pub const WDF_OBJECT_ERROR: u64 = 0x7;
    pub const WDF_INVALID_LOCK_OPERATION: u64 = 0xB;
    pub const WDF_VERIFIER_IRQL_MISMATCH: u64 = 0xE;
    pub const WDF_API_UNAVAILABLE: u64 = 0x10;
    /// `WDF_REQUEST_FATAL_ERROR_CODES`: the second parameter of `WDF_REQUEST_FATAL_ERROR`.
    pub const WDF_REQUEST_FATAL_ERROR_INFORMATION_LENGTH_MISMATCH: u64 = 0x4;
}

macro_rules! statuses {
    ($($name:ident = $value:literal;)*) => {
        $(pub const $name: NTSTATUS = NTSTATUS::from_ne_bytes(u32::to_ne_bytes($value));)*
    };
}

// `wdfstatus.h`, and NT statuses that only the framework uses here.
statuses! {
    STATUS_WDF_PAUSED = 0xC020_0203;
    STATUS_WDF_BUSY = 0xC020_0204;
    STATUS_WDF_INTERNAL_ERROR = 0xC020_0201;
    STATUS_WDF_DEVICE_REMOVED_NOT_SENT = 0xC020_0206;
    STATUS_WDF_REQUEST_INVALID_STATE = 0xC020_0208;
    STATUS_WDF_OBJECT_ATTRIBUTES_INVALID = 0xC020_0209;
    STATUS_WDF_TOO_FRAGMENTED = 0xC020_020A;
    STATUS_WDF_NO_CALLBACK = 0xC020_020B;
    STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL = 0xC020_020C;
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED = 0xC020_020F;
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID = 0xC020_0210;
    STATUS_WDF_EXECUTION_LEVEL_INVALID = 0xC020_0211;
    STATUS_WDF_PARENT_NOT_SPECIFIED = 0xC020_0212;
    STATUS_WDF_TOO_MANY_TRANSFERS = 0xC020_0213;
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS = 0xC020_0214;
    STATUS_OBJECT_NAME_EXISTS = 0x4000_0000;
    STATUS_INVALID_SECURITY_DESCR = 0xC000_0079;
    STATUS_INVALID_USER_BUFFER = 0xC000_00E8;
    STATUS_IO_TIMEOUT = 0xC000_00B5;
    STATUS_REQUEST_NOT_ACCEPTED = 0xC000_00D0;
}
