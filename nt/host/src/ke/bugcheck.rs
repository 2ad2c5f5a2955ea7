//! The functions by which a driver stops the system.

use nt_abi::{ULONG, ULONG_PTR};

use crate::{bugcheck, export::exports, thread};

exports!("ntoskrnl.exe"; KeBugCheck, KeBugCheckEx);

/// What the report says of a bug check that a driver asked for.
const ASKED_FOR: &str = "The driver stops the system.";

/// `KeBugCheck`: stops the system with a code and no parameters. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeBugCheck(BugCheckCode: ULONG) -> ! {
    thread::current();
    bugcheck::raise(BugCheckCode, [0; 4], "KeBugCheck", ASKED_FOR)
}

/// `KeBugCheckEx`: stops the system with a code and four parameters. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeBugCheckEx(
    BugCheckCode: ULONG,
    BugCheckParameter1: ULONG_PTR,
    BugCheckParameter2: ULONG_PTR,
    BugCheckParameter3: ULONG_PTR,
    BugCheckParameter4: ULONG_PTR,
) -> ! {
    thread::current();
    let parameters = [
        BugCheckParameter1,
        BugCheckParameter2,
        BugCheckParameter3,
        BugCheckParameter4,
    ];
    bugcheck::raise(BugCheckCode, parameters, "KeBugCheckEx", ASKED_FOR)
}
