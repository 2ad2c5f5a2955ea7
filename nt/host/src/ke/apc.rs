//! Asynchronous procedure calls: `KAPC`.
//!
//! No page of the DDI describes these functions, which file systems use, and no header of the WDK declares
//! them; the structure and the types of its routines are in `wdm.h`.

use nt_abi::{
    BOOLEAN, KAPC_ENVIRONMENT, KPRIORITY, KPROCESSOR_MODE, PKKERNEL_ROUTINE, PKNORMAL_ROUTINE,
    PKRUNDOWN_ROUTINE, PRKAPC, PRKTHREAD, PVOID,
};

use crate::{apc::Apc, export::exports, thread, verifier};

exports!("ntoskrnl.exe"; KeInitializeApc, KeInsertQueueApc, KeRemoveQueueApc);

/// `KeInitializeApc`: makes an APC for a thread, which is not queued.
///
/// Without a `NormalRoutine` it is a special kernel APC, otherwise a normal one, or with `ApcMode` `UserMode` one
/// for user mode. `KernelRoutine` runs at `APC_LEVEL`; it may change what the normal routine gets, or take it
/// away; the memory of the APC is the driver's again when it is called. `NormalRoutine` runs at `PASSIVE_LEVEL`.
/// `RundownRoutine` is called for an APC for user mode when its thread ends.
///
/// # Safety
///
/// `Apc` must point to resident memory for an APC that is not queued; the routines must be ones that may be called
/// so.
pub unsafe extern "win64" fn KeInitializeApc(
    Apc: PRKAPC,
    Thread: PRKTHREAD,
    Environment: KAPC_ENVIRONMENT,
    KernelRoutine: PKKERNEL_ROUTINE,
    RundownRoutine: PKRUNDOWN_ROUTINE,
    NormalRoutine: PKNORMAL_ROUTINE,
    ApcMode: KPROCESSOR_MODE,
    NormalContext: PVOID,
) {
    thread::current();
    // SAFETY: This function has the same contract.
    let apc = unsafe { Apc::at(Apc, "KeInitializeApc") };
    apc.initialize(
        Thread.cast(),
        (KernelRoutine, RundownRoutine, NormalRoutine),
        (ApcMode, NormalContext),
        Environment.to_le_bytes()[0].cast_signed(),
    );
}

/// `KeInsertQueueApc`: queues an APC to its thread, behind those of its kind. IRQL <= `DISPATCH_LEVEL`.
///
/// Returns false if it is queued already, or if the thread ends and takes none. If the thread waits and nothing
/// holds the APC back, it runs it and waits again. The increment of the priority is ignored.
///
/// An APC that was not initialised is bug check 0xC4 (0x1002).
///
/// # Safety
///
/// `Apc` must point to an initialised APC that stays there until its kernel routine is called or it is run down,
/// and its thread must be alive.
pub unsafe extern "win64" fn KeInsertQueueApc(
    Apc: PRKAPC,
    SystemArgument1: PVOID,
    SystemArgument2: PVOID,
    _Increment: KPRIORITY,
) -> BOOLEAN {
    let caller = thread::current();
    // SAFETY: This function has the same contract.
    let apc = unsafe { initialized(Apc, "KeInsertQueueApc") };
    BOOLEAN::from(apc.insert(caller, [SystemArgument1, SystemArgument2]))
}

/// `KeRemoveQueueApc`: takes an APC off the queue of its thread, before it runs. IRQL <= `DISPATCH_LEVEL`. Returns
/// false if it is not queued.
///
/// An APC that was not initialised is bug check 0xC4 (0x1002).
///
/// # Safety
///
/// `Apc` must point to an initialised APC, and its thread must be alive.
pub unsafe extern "win64" fn KeRemoveQueueApc(Apc: PRKAPC) -> BOOLEAN {
    let caller = thread::current();
    // SAFETY: This function has the same contract.
    let apc = unsafe { initialized(Apc, "KeRemoveQueueApc") };
    BOOLEAN::from(apc.remove(caller))
}

/// The APC at an address that a driver gives, which must have been initialised.
///
/// # Safety
///
/// `apc` must point to memory for an APC that stays where it is.
unsafe fn initialized<'a>(apc: PRKAPC, function: &'static str) -> &'a Apc {
    // SAFETY: This function has the same contract.
    let apc = unsafe { Apc::at(apc, function) };
    if !apc.is_initialized() {
        verifier::violation(
            0x1002,
            [apc.address(), 0, 0],
            function,
            "The object is not an APC that was initialised.",
        );
    }
    apc
}
