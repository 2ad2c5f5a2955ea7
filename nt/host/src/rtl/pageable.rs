//! Functions that lie in pageable code.

use nt_abi::bugcheck::IRQL_NOT_LESS_OR_EQUAL;

use crate::{Rules, bugcheck, thread, verifier};

/// What bug check 0xA gives as its third parameter for the execution of an address.
const EXECUTE: u64 = 8;

/// Stops the kernel when the calling thread is above `limit` in a function that is pageable.
///
/// Driver Verifier pages out all pageable code when the IRQL rises ("Force IRQL Checking"), so that
/// the call faults: bug check 0xA with the address referenced, the IRQL, and 8 for execution.
#[inline]
pub fn check(limit: u8, function: &'static str, address: usize) {
    let irql = thread::current().irql();
    if irql > limit && verifier::checks(Rules::IRQL) {
        stop(irql, function, address);
    }
}

#[cold]
fn stop(irql: u8, function: &'static str, address: usize) -> ! {
    bugcheck::raise(
        IRQL_NOT_LESS_OR_EQUAL,
        [address as u64, u64::from(irql), EXECUTE, address as u64],
        function,
        "The function is pageable: it must not be called at this IRQL.",
    )
}

/// Declares that the function which it stands in is pageable, and must be called at or below an IRQL.
macro_rules! pageable {
    ($limit:expr, $function:ident) => {
        $crate::rtl::pageable::check(
            $limit,
            stringify!($function),
            $function as *const () as usize,
        )
    };
}
pub(crate) use pageable;
