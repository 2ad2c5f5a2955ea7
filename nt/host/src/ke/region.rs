//! Critical and guarded regions: turning the delivery of APCs off.
//!
//! The counts that the regions keep are what the delivery of APCs (the module `apc`) looks at, and so do other
//! rules, those of ERESOURCEs and fast mutexes first.

use nt_abi::{APC_LEVEL, BOOLEAN};

use crate::{
    apc,
    export::exports,
    irql::DISPATCH,
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeAreAllApcsDisabled, KeAreApcsDisabled, KeEnterCriticalRegion, KeEnterGuardedRegion,
    KeLeaveCriticalRegion, KeLeaveGuardedRegion,
);

/// `KeEnterCriticalRegion`: turns user APCs and normal kernel APCs off. IRQL <= `APC_LEVEL`; above it is
/// bug check 0xC4 (0x11A).
///
/// # Safety
///
/// The region must be left on the same thread.
pub unsafe extern "win64" fn KeEnterCriticalRegion() {
    enter_critical_region(thread::current(), "KeEnterCriticalRegion");
}

/// `KeLeaveCriticalRegion`: undoes [`KeEnterCriticalRegion`]; normal kernel APCs that were held back run. IRQL <= `APC_LEVEL`; above it is bug check
/// 0xC4 (0x11B). Outside of a region it is 0xC4 (0x3E).
///
/// # Safety
///
/// The thread must be in a critical region.
pub unsafe extern "win64" fn KeLeaveCriticalRegion() {
    leave_critical_region(thread::current(), "KeLeaveCriticalRegion");
}

/// Enters a critical region on behalf of `function`.
pub fn enter_critical_region(thread: &Thread, function: &'static str) {
    if is_above_apc(thread) {
        let irql = u64::from(thread.irql());
        verifier::violation(
            0x11A,
            [irql, 0, 0],
            function,
            "IRQL must be APC_LEVEL or below.",
        );
    }
    thread.object.add_kernel_apc_disable(-1);
}

/// Leaves a critical region on behalf of `function`; APCs that it held back run.
pub fn leave_critical_region(thread: &'static Thread, function: &'static str) {
    if is_above_apc(thread) {
        let irql = u64::from(thread.irql());
        verifier::violation(
            0x11B,
            [irql, 0, 0],
            function,
            "IRQL must be APC_LEVEL or below.",
        );
    }
    if thread.apc_depth() >= 0 {
        verifier::violation(
            0x3E,
            [0; 3],
            function,
            "The thread is not in a critical region.",
        );
    }
    thread.object.add_kernel_apc_disable(1);
    apc::deliver(thread);
}

/// `KeEnterGuardedRegion`: turns all APCs off. IRQL <= `APC_LEVEL` (rule `IrqlKeApcLte2`, bug check 0xC4
/// (0x20010)).
///
/// # Safety
///
/// The region must be left on the same thread.
pub unsafe extern "win64" fn KeEnterGuardedRegion() {
    let thread = thread::current();
    if is_above_apc(thread) {
        verifier::rule(
            0x20010,
            "KeEnterGuardedRegion",
            "IRQL must be APC_LEVEL or below.",
        );
    }
    thread.object.add_special_apc_disable(-1);
}

/// `KeLeaveGuardedRegion`: undoes [`KeEnterGuardedRegion`]; APCs that were held back run. Outside of a region it breaks the rule
/// `GuardedRegions`, bug check 0xC4 (0x4000E).
///
/// # Safety
///
/// The thread must be in a guarded region.
pub unsafe extern "win64" fn KeLeaveGuardedRegion() {
    const NAME: &str = "KeLeaveGuardedRegion";
    let thread = thread::current();
    if is_above_apc(thread) {
        verifier::rule(0x20010, NAME, "IRQL must be APC_LEVEL or below.");
    }
    if thread.object.special_apc_disable() >= 0 {
        verifier::rule(0x4000E, NAME, "The thread is not in a guarded region.");
    }
    thread.object.add_special_apc_disable(1);
    apc::deliver(thread);
}

/// `KeAreApcsDisabled`: whether the thread is in a critical or guarded region, or owns a mutex. The IRQL
/// does not count. IRQL <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeAreApcsDisabled() -> BOOLEAN {
    BOOLEAN::from(
        verifier::thread_at_most(DISPATCH, "KeAreApcsDisabled")
            .object
            .combined_apc_disable()
            != 0,
    )
}

/// `KeAreAllApcsDisabled`: whether the thread is in a guarded region or at `APC_LEVEL` or above. IRQL <=
/// `DISPATCH_LEVEL`.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeAreAllApcsDisabled() -> BOOLEAN {
    let thread = verifier::thread_at_most(DISPATCH, "KeAreAllApcsDisabled");
    let by_irql = u32::from(thread.irql()) >= APC_LEVEL;
    BOOLEAN::from(by_irql || thread.object.special_apc_disable() != 0)
}

fn is_above_apc(thread: &Thread) -> bool {
    u32::from(thread.irql()) > APC_LEVEL
}
