//! The ways in which a client stops the system: bug check 0x10D, `WDF_VIOLATION`.

use crate::abi::{WDF_DRIVER_GLOBALS, WDFOBJECT, bugcheck};
use crate::kernel::{KeBugCheckEx, print};
use core::ffi::CStr;
use nt_abi::bugcheck::WDF_VIOLATION;
use nt_abi::{ULONG, ULONG_PTR};

/// Stops the system with `WDF_VIOLATION` and its parameters.
pub fn stop(error: u64, second: u64, third: u64) -> ! {
    // SAFETY: Stops the system; the parameters are plain values.
    unsafe { KeBugCheckEx(WDF_VIOLATION, error, second, third, 0) }
}

/// A handle that names nothing, or an object of another kind.
pub fn invalid_handle(handle: WDFOBJECT, kind: &'static CStr) -> ! {
    print(c"WDF_VIOLATION: not a valid %s\n", kind.as_ptr().addr());
    stop(bugcheck::WDF_INVALID_HANDLE, handle.0 as u64, 0)
}

/// A required parameter is null.
pub fn null_parameter(function: &'static CStr) -> ! {
    print(
        c"WDF_VIOLATION: a required parameter of %s is NULL\n",
        function.as_ptr().addr(),
    );
    stop(
        bugcheck::WDF_REQUIRED_PARAMETER_IS_NULL,
        0,
        function.as_ptr().addr() as u64,
    )
}

/// The last reference went without a deletion.
pub fn object_not_deleted(handle: WDFOBJECT) -> ! {
    print(
        c"WDF_VIOLATION: object %p was dereferenced more often than referenced\n",
        handle.0,
    );
    stop(bugcheck::WDF_OBJECT_ERROR, handle.0 as u64, 0)
}

/// `WdfVerifierDbgBreakPoint`: breaks into a debugger where the registry asks for that, which it does not
/// here. IRQL any.
pub unsafe extern "win64" fn WdfVerifierDbgBreakPoint(DriverGlobals: *mut WDF_DRIVER_GLOBALS) {
    print(
        c"WDFLDR: driver %p would break into a debugger\n",
        DriverGlobals.addr(),
    );
}

/// `WdfVerifierKeBugCheck`: stops the system for a client. IRQL any.
pub unsafe extern "win64" fn WdfVerifierKeBugCheck(
    _: *mut WDF_DRIVER_GLOBALS,
    BugCheckCode: ULONG,
    BugCheckParameter1: ULONG_PTR,
    BugCheckParameter2: ULONG_PTR,
    BugCheckParameter3: ULONG_PTR,
    BugCheckParameter4: ULONG_PTR,
) {
    // SAFETY: Stops the system; the parameters are plain values.
    unsafe {
        KeBugCheckEx(
            BugCheckCode,
            BugCheckParameter1,
            BugCheckParameter2,
            BugCheckParameter3,
            BugCheckParameter4,
        )
    }
}

/// A function that is not implemented. `name` ends in a null character.
pub fn unavailable(name: &'static str) -> ! {
    print(
        c"WDF_VIOLATION: %s is not implemented by this framework\n",
        name.as_ptr().addr(),
    );
    stop(
        bugcheck::WDF_API_UNAVAILABLE,
        name.as_ptr().addr() as u64,
        0,
    )
}
