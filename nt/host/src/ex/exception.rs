//! Exceptions that the kernel raises. Driver code that this kernel runs has no handlers for them, so that
//! each is one that nobody handles.

use nt_abi::{NTSTATUS, bugcheck::KMODE_EXCEPTION_NOT_HANDLED, status_name};

use crate::{bugcheck, export::exports, irql::APC, thread, verifier};

exports!("ntoskrnl.exe"; ExRaiseStatus);

/// Raises `status` on behalf of `function`: bug check 0x1E with the status as its first parameter.
#[cold]
pub fn raise(status: NTSTATUS, function: &'static str) -> ! {
    let name = status_name(status).map_or_else(|| format!("0x{status:08X}"), str::to_owned);
    bugcheck::raise(
        KMODE_EXCEPTION_NOT_HANDLED,
        // The status as the sign-extended value that the real bug check shows.
        [i64::from(status).cast_unsigned(), 0, 0, 0],
        function,
        format!("It raises {name}, and nobody handles the exception."),
    )
}

/// `ExRaiseStatus`: raises an exception. IRQL <= `APC_LEVEL`.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn ExRaiseStatus(Status: NTSTATUS) -> ! {
    const NAME: &str = "ExRaiseStatus";
    if thread::current().irql() > APC {
        let sentence = "IrqlExPassive: ExRaiseStatus must be called at IRQL <= APC_LEVEL.";
        verifier::rule(0x20008, NAME, sentence);
    }
    raise(Status, NAME)
}
