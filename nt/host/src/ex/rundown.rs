//! Rundown protection: `EX_RUNDOWN_REF`.
//!
//! The count goes up by two with each protection. Bit 0 is set when the rundown begins; the rest is then the
//! address of what the one who waits for it keeps on its stack, or zero when the rundown is complete.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use nt_abi::{BOOLEAN, KEVENT, PEX_RUNDOWN_REF, ULONG, object_type};

use crate::{
    Rules, address,
    dispatcher::{self, Deadline, Header, WaitBlock, WaitKind},
    export::exports,
    irql::{APC, DISPATCH},
    thread, verifier,
};

exports!("ntoskrnl.exe";
    ExAcquireRundownProtection, ExAcquireRundownProtectionEx, ExInitializeRundownProtection,
    ExReInitializeRundownProtection, ExReleaseRundownProtection, ExReleaseRundownProtectionEx,
    ExRundownCompleted, ExWaitForRundownProtectionRelease,
);

/// The rundown has begun.
const ACTIVE: u64 = 1;
/// One protection.
const STEP: u64 = 2;

/// What the one who waits keeps, while protections are left.
struct Waiting {
    left: AtomicU64,
    done: Header,
}

/// The reference as an atomic.
///
/// # Safety
///
/// `reference` must point to an `EX_RUNDOWN_REF` that stays where it is.
unsafe fn view<'a>(reference: PEX_RUNDOWN_REF, function: &'static str) -> &'a AtomicU64 {
    // SAFETY: The caller vouches for the pointer; the one field is only ever accessed atomically.
    unsafe { verifier::object(reference.cast(), function) }
}

/// `ExInitializeRundownProtection`: makes a reference that is not run down. IRQL <= `APC_LEVEL`.
///
/// # Safety
///
/// `RunRef` must point to memory for a reference that nobody uses.
pub unsafe extern "win64" fn ExInitializeRundownProtection(RunRef: PEX_RUNDOWN_REF) {
    verifier::thread_at_most(APC, "ExInitializeRundownProtection");
    // SAFETY: This function has the same contract.
    unsafe { view(RunRef, "ExInitializeRundownProtection") }.store(0, Release);
}

/// `ExReInitializeRundownProtection`: makes a reference that was run down one that is not. IRQL <= `APC_LEVEL`.
///
/// One that is not run down is bug check 0xC4 (0x1005).
///
/// # Safety
///
/// `RunRef` must point to a reference that was run down.
pub unsafe extern "win64" fn ExReInitializeRundownProtection(RunRef: PEX_RUNDOWN_REF) {
    verifier::thread_at_most(APC, "ExReInitializeRundownProtection");
    // SAFETY: This function has the same contract.
    let reference = unsafe { view(RunRef, "ExReInitializeRundownProtection") };
    if reference
        .compare_exchange(ACTIVE, 0, AcqRel, Relaxed)
        .is_err()
    {
        if verifier::checks(Rules::LOCKS) {
            verifier::violation(
                0x1005,
                [RunRef as u64, 0, 0],
                "ExReInitializeRundownProtection",
                "The object is initialised again and is not run down.",
            );
        }
        reference.store(0, Release);
    }
}

/// `ExRundownCompleted`: says that an object is run down, after the wait for it. IRQL <= `APC_LEVEL`.
///
/// # Safety
///
/// `RunRef` must point to a reference that was waited for.
pub unsafe extern "win64" fn ExRundownCompleted(RunRef: PEX_RUNDOWN_REF) {
    verifier::thread_at_most(APC, "ExRundownCompleted");
    // SAFETY: This function has the same contract.
    unsafe { view(RunRef, "ExRundownCompleted") }.store(ACTIVE, Release);
}

/// `ExAcquireRundownProtection`: protects an object, unless its rundown has begun; returns whether it did. IRQL
/// <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `RunRef` must point to an initialised reference.
pub unsafe extern "win64" fn ExAcquireRundownProtection(RunRef: PEX_RUNDOWN_REF) -> BOOLEAN {
    // SAFETY: This function has the same contract.
    unsafe { ExAcquireRundownProtectionEx(RunRef, 1) }
}

/// `ExAcquireRundownProtectionEx`: as [`ExAcquireRundownProtection`], several times at once.
///
/// # Safety
///
/// `RunRef` must point to an initialised reference.
pub unsafe extern "win64" fn ExAcquireRundownProtectionEx(
    RunRef: PEX_RUNDOWN_REF,
    Count: ULONG,
) -> BOOLEAN {
    verifier::thread_at_most(DISPATCH, "ExAcquireRundownProtectionEx");
    // SAFETY: This function has the same contract.
    let reference = unsafe { view(RunRef, "ExAcquireRundownProtection") };
    let protected = reference.fetch_update(Acquire, Relaxed, |seen| {
        (seen & ACTIVE == 0).then(|| seen + u64::from(Count) * STEP)
    });
    BOOLEAN::from(protected.is_ok())
}

/// `ExReleaseRundownProtection`: undoes `ExAcquireRundownProtection`. IRQL <= `DISPATCH_LEVEL`.
///
/// More releases than acquisitions are bug check 0xC4 (0x1007).
///
/// # Safety
///
/// `RunRef` must point to an initialised reference, for which the caller has a protection.
pub unsafe extern "win64" fn ExReleaseRundownProtection(RunRef: PEX_RUNDOWN_REF) {
    // SAFETY: This function has the same contract.
    unsafe { release(RunRef, 1, "ExReleaseRundownProtection") };
}

/// `ExReleaseRundownProtectionEx`: as [`ExReleaseRundownProtection`], several times at once.
///
/// # Safety
///
/// As there.
pub unsafe extern "win64" fn ExReleaseRundownProtectionEx(RunRef: PEX_RUNDOWN_REF, Count: ULONG) {
    // SAFETY: This function has the same contract.
    unsafe { release(RunRef, Count, "ExReleaseRundownProtectionEx") };
}

/// Releases protections.
///
/// # Safety
///
/// As for [`ExReleaseRundownProtection`].
unsafe fn release(reference: PEX_RUNDOWN_REF, count: ULONG, function: &'static str) {
    let thread = verifier::thread_at_most(DISPATCH, function);
    // SAFETY: This function has the same contract.
    let reference = unsafe { view(reference, function) };
    let counted = reference.fetch_update(Release, Relaxed, |seen| {
        if seen & ACTIVE != 0 {
            None
        } else {
            seen.checked_sub(u64::from(count) * STEP)
        }
    });
    let Err(seen) = counted else { return };
    let waiting = address::pointer::<Waiting>(seen & !ACTIVE);
    if seen & ACTIVE == 0 || waiting.is_null() {
        verifier::violation(
            0x1007,
            [reference.as_ptr() as u64, 0, 0],
            function,
            "Protection is released more often than it was acquired.",
        );
    }
    // SAFETY: The one who waits keeps this until the last protection is released, of which this thread
    // has one.
    let waiting = unsafe { &*waiting };
    if waiting.left.fetch_sub(u64::from(count), AcqRel) == u64::from(count) {
        dispatcher::lock(thread).signal(&waiting.done, 1);
    }
}

/// `ExWaitForRundownProtectionRelease`: begins the rundown, after which no protection is given, and waits until
/// those that were given are released.
///
/// IRQL <= `APC_LEVEL` (rule `IrqlExApcLte2`, bug check 0xC4 (0x20006)).
///
/// # Safety
///
/// `RunRef` must point to an initialised reference, for which the caller has no protection.
pub unsafe extern "win64" fn ExWaitForRundownProtectionRelease(RunRef: PEX_RUNDOWN_REF) {
    const NAME: &str = "ExWaitForRundownProtectionRelease";
    let thread = thread::current();
    if thread.irql() > APC {
        verifier::rule(0x20006, NAME, "IRQL must be APC_LEVEL or below.");
    }
    // SAFETY: This function has the same contract.
    let reference = unsafe { view(RunRef, NAME) };
    let waiting = Waiting {
        left: AtomicU64::new(0),
        done: Header::uninitialized(),
    };
    waiting
        .done
        .initialize(object_type::NotificationEvent, size_of::<KEVENT>(), 0);
    let mut seen = 0;
    loop {
        waiting.left.store(seen / STEP, Relaxed);
        let next = if seen == 0 {
            ACTIVE
        } else {
            &raw const waiting as u64 | ACTIVE
        };
        match reference.compare_exchange(seen, next, AcqRel, Relaxed) {
            Ok(_) if seen == 0 => return,
            Ok(_) => break,
            Err(ACTIVE) => return,
            Err(now) if now & ACTIVE != 0 => {
                if verifier::checks(Rules::LOCKS) {
                    verifier::violation(
                        0x1008,
                        [RunRef as u64, 0, 0],
                        NAME,
                        "Another thread waits for the rundown of the object already.",
                    );
                }
                // Nobody will know of this wait.
                break;
            }
            Err(now) => seen = now,
        }
    }
    let blocks = [WaitBlock::new()];
    dispatcher::wait(
        thread,
        &[&waiting.done],
        &blocks,
        WaitKind::Any,
        Deadline::Never,
    );
    reference.store(ACTIVE, Release);
}
