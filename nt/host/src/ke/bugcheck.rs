//! The functions by which a driver stops the system.

use nt_abi::{ULONG, ULONG_PTR};

use crate::{address, bugcheck, export::exports, mm::address::is_accessible, thread};

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
    let sentence = rust_panic(BugCheckCode, parameters).unwrap_or_else(|| ASKED_FOR.to_owned());
    bugcheck::raise(BugCheckCode, parameters, "KeBugCheckEx", sentence)
}

/// What a panic in Rust code says: the crate `wdk-panic` stops the system with a code of its own and, as
/// parameters, the address and length of the file's name, the line and the column.
fn rust_panic(code: ULONG, parameters: [ULONG_PTR; 4]) -> Option<String> {
    const CODE: ULONG = ULONG::from_be_bytes(*b"RPNC");
    const LONGEST_NAME: usize = 4096;
    let [name, length, line, column] = parameters;
    let (name, length) = (address::pointer::<u8>(name), address::to_usize(length));
    let readable = length <= LONGEST_NAME && is_accessible(name, length, false);
    if code != CODE || !readable {
        return None;
    }
    // SAFETY: So many bytes are readable there, and the driver that names its file leaves them alone.
    let name = unsafe { core::slice::from_raw_parts(name, length) };
    let name = String::from_utf8_lossy(name);
    Some(format!("A panic in Rust code, at {name}:{line}:{column}."))
}
