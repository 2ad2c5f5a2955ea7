//! The functions that read, raise and lower the IRQL.

use nt_abi::{HIGH_LEVEL, KIRQL};

use crate::{
    export::exports,
    irql::{self, DISPATCH},
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe"; KeGetCurrentIrql, KeLowerIrql, KeRaiseIrqlToDpcLevel, KfRaiseIrql);

/// `KeGetCurrentIrql`: the current IRQL. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeGetCurrentIrql() -> KIRQL {
    thread::current().irql()
}

/// `KfRaiseIrql`, behind the macro `KeRaiseIrql`: raises the IRQL and returns the one before.
///
/// An IRQL that is lower than the current one, or above `HIGH_LEVEL`, is bug check 0xC4 (0x30).
///
/// # Safety
///
/// The IRQL must be lowered again on the same thread.
pub unsafe extern "win64" fn KfRaiseIrql(NewIrql: KIRQL) -> KIRQL {
    let thread = thread::current();
    let old = thread.irql();
    if NewIrql < old || u32::from(NewIrql) > HIGH_LEVEL {
        verifier::violation(
            0x30,
            [u64::from(old), u64::from(NewIrql), 0],
            "KeRaiseIrql",
            "The new IRQL is lower than the current one, or above HIGH_LEVEL.",
        );
    }
    irql::raise(thread, NewIrql);
    old
}

/// `KeRaiseIrqlToDpcLevel`: raises to `DISPATCH_LEVEL` and returns the IRQL before. IRQL <=
/// `DISPATCH_LEVEL`; above it is bug check 0xC4 (0x30).
///
/// # Safety
///
/// The IRQL must be lowered again on the same thread.
pub unsafe extern "win64" fn KeRaiseIrqlToDpcLevel() -> KIRQL {
    // SAFETY: This function has the same contract.
    unsafe { KfRaiseIrql(DISPATCH) }
}

/// `KeLowerIrql`: lowers the IRQL. DPCs that wait for the processor run before it returns.
///
/// An IRQL that is higher than the current one is bug check 0xC4 (0x31), as is one below
/// `DISPATCH_LEVEL` in a DPC routine.
///
/// # Safety
///
/// `NewIrql` must be what the call that raised the IRQL returned.
pub unsafe extern "win64" fn KeLowerIrql(NewIrql: KIRQL) {
    let thread = thread::current();
    check_lower(thread, NewIrql, "KeLowerIrql");
    irql::lower(thread, NewIrql);
}

/// Checks that the IRQL may be lowered to `new`.
#[inline]
pub fn check_lower(thread: &Thread, new: KIRQL, function: &'static str) {
    let bad = new > thread.irql();
    if bad || (new < DISPATCH && !thread.dpc().is_null()) {
        refuse_lower(thread, new, bad, function);
    }
}

#[cold]
fn refuse_lower(thread: &Thread, new: KIRQL, bad: bool, function: &'static str) -> ! {
    let (kind, sentence) = if bad {
        (0, "The new IRQL is higher than the current one.")
    } else {
        (1, "A DPC routine lowers the IRQL below DISPATCH_LEVEL.")
    };
    verifier::violation(
        0x31,
        [u64::from(thread.irql()), u64::from(new), kind],
        function,
        sentence,
    )
}
