//! System services: how a thread of the host enters the kernel and leaves it.

use nt_abi::bugcheck::{APC_INDEX_MISMATCH, IRQL_GT_ZERO_AT_SYSTEM_SERVICE};

use super::Stop;
use crate::{
    bugcheck, recovery,
    thread::{self, Thread},
};

/// Runs `service` in the kernel as the calling thread.
///
/// A thread that comes back at a raised IRQL is bug check 0x4A, one with another APC state than it came
/// with 0x01.
///
/// # Errors
///
/// [`Stop::BugCheck`] if a bug check stops the kernel meanwhile or has before.
pub fn enter<T>(name: &'static str, service: impl FnOnce(&'static Thread) -> T) -> Result<T, Stop> {
    let result = recovery::with_recovery(|| {
        let thread = thread::current();
        let before = (thread.irql(), thread.object.combined_apc_disable());
        let result = service(thread);
        let after = (thread.irql(), thread.object.combined_apc_disable());
        if after != before {
            changed(name, before, after);
        }
        result
    });
    Ok(result?)
}

#[cold]
fn changed(name: &'static str, before: (u8, u64), after: (u8, u64)) -> ! {
    if after.0 != before.0 {
        bugcheck::raise(
            IRQL_GT_ZERO_AT_SYSTEM_SERVICE,
            [0, after.0.into(), 0, 0],
            name,
            "The thread returns from the kernel at a raised IRQL.",
        );
    }
    bugcheck::raise(
        APC_INDEX_MISMATCH,
        [0, 0, after.1, 0],
        name,
        "The thread returns from the kernel with APCs off: it left a critical or guarded region \
         entered, or holds a mutex.",
    )
}
