//! What the framework's C headers do with macros.

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, BOOLEAN, ULONG, WDF_OBJECT_ATTRIBUTES,
};

/// `TRUE`, as arguments and members have it.
pub const TRUE: BOOLEAN = 1;

/// The `Size` member of a structure of the framework.
#[expect(
    clippy::cast_possible_truncation,
    reason = "asserted not to, at compile time"
)]
pub const fn size<T>() -> ULONG {
    const { assert!(size_of::<T>() <= ULONG::MAX as usize) };
    size_of::<T>() as ULONG
}

/// `WDF_OBJECT_ATTRIBUTES_INIT`.
pub fn inherited_attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size::<WDF_OBJECT_ATTRIBUTES>(),
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}
