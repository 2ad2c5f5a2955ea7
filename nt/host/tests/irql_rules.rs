//! Functions at an IRQL that they do not allow: what the verifier says of each, and what is left of that without its
//! rules for the IRQL.
#![cfg(not(windows))]

mod support;

use core::ptr;

use nthost::{Config, Rules, bugcheck::BugCheckReport, ntddk::*, testing::expect_bug_checks};
use support::*;

/// A call: its name, the IRQL to make it at, and the rule that it breaks there.
type Case = (&'static str, KIRQL, u64, fn());

/// Where a spin lock, event, mutex, timer or anything else lies that no call comes to.
fn memory<T>() -> *mut T {
    Box::leak(Box::new([0_u64; 32])).as_mut_ptr().cast()
}

const fn soon() -> LARGE_INTEGER {
    LARGE_INTEGER { QuadPart: MS }
}

fn delay() {
    let mut interval = soon();
    nt!(KeDelayExecutionThread(0, FALSE, &raw mut interval));
}

fn event() -> *mut KEVENT {
    let event = memory();
    nt!(KeInitializeEvent(event, 0, FALSE));
    event
}

fn semaphore() -> *mut KSEMAPHORE {
    let semaphore = memory();
    nt!(KeInitializeSemaphore(semaphore, 0, 1));
    semaphore
}

fn start_thread() {
    let mut handle = ptr::null_mut();
    nt!(PsCreateSystemThread(
        &raw mut handle,
        0,
        ptr::null_mut(),
        ptr::null_mut(),
        ptr::null_mut(),
        None,
        ptr::null_mut()
    ));
}

fn reference() {
    let mut object = ptr::null_mut();
    nt!(ObReferenceObjectByHandle(
        ptr::without_provenance_mut(4),
        0,
        ptr::null_mut(),
        0,
        &raw mut object,
        ptr::null_mut()
    ));
}

fn raise_status() {
    nt!(ExRaiseStatus(STATUS_UNSUCCESSFUL));
}

/// Calls of one kind: the functions and, behind the arrow, what they return if anything.
macro_rules! cases {
    ($($irql:ident, $rule:literal: $($function:ident($($argument:expr),*)),+;)+) => {
        &[$($((stringify!($function), $irql, $rule, || {
            let _ = nt!($function($($argument),*));
        })),+),+]
    };
}

#[allow(
    clippy::let_unit_value,
    reason = "some of the functions return something"
)]
const CALLS: &[Case] = cases! {
    CLOCK, 0x42: KeAcquireSpinLockRaiseToDpc(memory()),
        KeAcquireInStackQueuedSpinLock(memory(), memory()), ExAcquireSpinLockExclusive(memory()),
        ExAcquireSpinLockShared(memory());
    PASSIVE, 0x40: KeAcquireSpinLockAtDpcLevel(memory()), KeTryToAcquireSpinLockAtDpcLevel(memory()),
        KeAcquireInStackQueuedSpinLockAtDpcLevel(memory(), memory()),
        ExAcquireSpinLockExclusiveAtDpcLevel(memory()), ExAcquireSpinLockSharedAtDpcLevel(memory());
    APC, 0x41: KeReleaseSpinLockFromDpcLevel(memory()),
        KeReleaseInStackQueuedSpinLockFromDpcLevel(memory()),
        ExReleaseSpinLockExclusiveFromDpcLevel(memory()), ExReleaseSpinLockSharedFromDpcLevel(memory());
    APC, 0x32: KeReleaseSpinLock(memory(), PASSIVE);
    APC, 0x36: KeReleaseInStackQueuedSpinLock(memory());
    DISPATCH, 0x33: ExAcquireFastMutex(memory()), ExTryToAcquireFastMutex(memory()),
        KeAcquireGuardedMutex(memory()), KeTryToAcquireGuardedMutex(memory());
    DISPATCH, 0x34: ExReleaseFastMutex(memory()), KeReleaseGuardedMutex(memory());
    DISPATCH, 0x39: ExAcquireFastMutexUnsafe(memory()), KeAcquireGuardedMutexUnsafe(memory());
    DISPATCH, 0x3A: ExReleaseFastMutexUnsafe(memory()), KeReleaseGuardedMutexUnsafe(memory());
    DISPATCH, 0x20007: ExAcquireResourceExclusiveLite(memory(), TRUE),
        ExTryToAcquireResourceExclusiveLite(memory()), ExAcquireResourceSharedLite(memory(), TRUE),
        ExAcquireSharedStarveExclusive(memory(), TRUE), ExAcquireSharedWaitForExclusive(memory(), TRUE),
        ExConvertExclusiveToSharedLite(memory()), ExDeleteResourceLite(memory()),
        ExReleaseResourceAndLeaveCriticalRegion(memory()),
        ExAcquirePushLockExclusiveEx(memory(), 0), ExAcquirePushLockSharedEx(memory(), 0);
    CLOCK, 0x20007: ExInitializeResourceLite(memory()), ExReinitializeResourceLite(memory());
    CLOCK, 0x20011: ExReleaseResourceLite(memory()), ExReleaseResourceForThreadLite(memory(), 3),
        KeInitializeTimerEx(memory(), 0), KeSetTimer(memory(), soon(), ptr::null_mut()),
        KeSetTimerEx(memory(), soon(), 0, ptr::null_mut()), KeCancelTimer(memory()),
        KeSetCoalescableTimer(memory(), soon(), 0, 0, ptr::null_mut()), KeReadStateTimer(memory()),
        KeReleaseMutex(memory(), FALSE), KeReleaseSemaphore(memory(), 0, 1, FALSE),
        KeClearEvent(memory()), KeResetEvent(memory()), KePulseEvent(memory(), 0, FALSE),
        KeReadStateEvent(memory());
    APC, 0x20011: KeReleaseSemaphore(semaphore(), 0, 1, TRUE);
    CLOCK, 0x6E74_0003: KeAreApcsDisabled(), KeAreAllApcsDisabled(), KeReadStateMutex(memory()),
        KeSetSystemAffinityThread(1), KeSetSystemAffinityThreadEx(1), KeRevertToUserAffinityThread(),
        KeRevertToUserAffinityThreadEx(1), KeRevertToUserGroupAffinityThread(memory()),
        KeSetSystemGroupAffinityThread(memory(), ptr::null_mut()), ExQueueWorkItem(memory(), 1),
        ExGetSharedWaiterCount(memory()), ExGetExclusiveWaiterCount(memory()),
        ExIsResourceAcquiredExclusiveLite(memory()), ExIsResourceAcquiredSharedLite(memory()),
        ExSetResourceOwnerPointer(memory(), ptr::null_mut()),
        ExSetResourceOwnerPointerEx(memory(), ptr::null_mut(), 0),
        ExAcquireRundownProtection(memory()), ExReleaseRundownProtection(memory()),
        ExAcquireRundownProtectionEx(memory(), 1), ExReleaseRundownProtectionEx(memory(), 1),
        ExInitializeLookasideListEx(memory(), None, None, 0, 0, 16, 1, 0),
        ExAllocateFromLookasideListEx(memory()), ExFreeToLookasideListEx(memory(), ptr::null_mut()),
        ExFlushLookasideListEx(memory()), ExDeleteLookasideListEx(memory()),
        ExInitializeNPagedLookasideList(memory(), None, None, 0, 16, 1, 0), ExDeleteNPagedLookasideList(memory()),
        ExAllocateFromNPagedLookasideList(memory()), ExFreeToNPagedLookasideList(memory(), ptr::null_mut()),
        ExQueryDepthSList(memory());
    DISPATCH, 0x20006: ExInitializePagedLookasideList(memory(), None, None, 0, 16, 1, 0),
        ExDeletePagedLookasideList(memory()), ExAllocateFromPagedLookasideList(memory()),
        ExFreeToPagedLookasideList(memory(), ptr::null_mut());
    DISPATCH, 0x6E74_0003: KeInitializeGuardedMutex(memory()), ExInitializeRundownProtection(memory()),
        ExReInitializeRundownProtection(memory()), ExRundownCompleted(memory()),
        ObOpenObjectByPointer(memory(), 0, ptr::null_mut(), 0, ptr::null_mut(), 0, memory());
    DISPATCH, 0x20019: MmLockPagableDataSection(memory()), MmUnlockPagableImageSection(memory());
    APC, 0x2001C: PsGetVersion(memory(), memory(), memory(), ptr::null_mut());
    CLOCK, 0x6E74_0003: KeIsExecutingDpc(), ObfReferenceObject(memory()), ObfDereferenceObject(memory()),
        ObReferenceObjectByPointer(memory(), 0, ptr::null_mut(), 0);
    APC, 0x6E74_0003: KeIsExecutingDpc();
    CLOCK, 0x70: MmProbeAndLockPages(memory(), 0, 0);
    CLOCK, 0x76: MmMapLockedPagesSpecifyCache(memory(), 0, 1, ptr::null_mut(), 0, 16);
    DISPATCH, 0x77: MmMapLockedPagesSpecifyCache(memory(), 1, 1, ptr::null_mut(), 0, 16);
    CLOCK, 0x78: MmUnlockPages(memory());
    CLOCK, 0x79: MmUnmapLockedPages(ptr::null_mut(), memory());
    CLOCK, 0x6E74_0003: MmIsAddressValid(ptr::null_mut());
    APC, 0x6E74_0003: KeSetPriorityThread(KeGetCurrentThread(), 9), KeQueryPriorityThread(KeGetCurrentThread());
    CLOCK, 0x20011: KeInitializeTimer(memory()), ExAllocateTimer(None, ptr::null_mut(), 0),
        ExSetTimer(memory(), 0, 0, ptr::null_mut()), ExCancelTimer(memory(), ptr::null_mut());
    CLOCK, 0x32: ExReleaseSpinLockExclusive(memory(), PASSIVE), ExReleaseSpinLockShared(memory(), PASSIVE);
    APC, 0x40: ExTryAcquireSpinLockExclusiveAtDpcLevel(memory()), ExTryAcquireSpinLockSharedAtDpcLevel(memory()),
        ExTryConvertSharedSpinLockExclusive(memory());
    DISPATCH, 0x20007: ExReleasePushLockExclusiveEx(memory(), 0), ExReleasePushLockSharedEx(memory(), 0);
    DISPATCH, 0x11A: ExEnterCriticalRegionAndAcquireResourceExclusive(memory()),
        ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(memory()),
        ExEnterCriticalRegionAndAcquireFastMutexUnsafe(memory());
    CLOCK, 0x80: KeSetEvent(memory(), 0, FALSE);
    DISPATCH, 0x20016: KeSetEvent(event(), 0, TRUE), KePulseEvent(event(), 0, TRUE);
    CLOCK, 0x120: KeWaitForSingleObject(event().cast(), 0, 0, FALSE, ptr::null_mut());
    DISPATCH, 0x121: KeWaitForSingleObject(event().cast(), 0, 0, FALSE, ptr::null_mut());
    DISPATCH, 0x122: KeWaitForSingleObject(event().cast(), 0, 0, FALSE, &mut soon());
    DISPATCH, 0x11A: KeEnterCriticalRegion(), ExEnterCriticalRegionAndAcquireResourceShared(memory());
    DISPATCH, 0x11B: KeLeaveCriticalRegion();
    DISPATCH, 0x20010: KeEnterGuardedRegion(), KeLeaveGuardedRegion();
    DISPATCH, 0x20006: ExSetTimerResolution(0, TRUE), ExWaitForRundownProtectionRelease(memory());
    APC, 0xE5: KeFlushQueuedDpcs();
    APC, 0x2001F: ZwClose(ptr::null_mut());
    DISPATCH, 0x30: KfRaiseIrql(APC);
    APC, 0x31: KeLowerIrql(DISPATCH);
};

/// Those that are more than a call.
const OTHERS: &[Case] = &[
    ("KeDelayExecutionThread", DISPATCH, 0x2000F, delay),
    ("PsCreateSystemThread", APC, 0x2001C, start_thread),
    ("ExRaiseStatus", DISPATCH, 0x20008, raise_status),
    ("ObReferenceObjectByHandle", APC, 0x2001B, reference),
];

/// Makes the calls under some of the rules, and lists those that end in another bug check than the one `expected`.
fn others(
    rules: Rules,
    expected: impl Fn(&Case) -> (u32, Vec<u64>),
    run: impl Fn(Config, &[Case]) -> Vec<BugCheckReport>,
) -> Vec<String> {
    let cases = [CALLS, OTHERS].concat();
    let config = Config {
        rules,
        ..Config::default()
    };
    let reports = run(config, &cases);
    let mut others = Vec::new();
    for (case, report) in cases.iter().zip(reports) {
        let (code, parameters) = expected(case);
        if report.code != code || !report.parameters.starts_with(&parameters) {
            others.push(format!("{}: {report}", case.0));
        }
    }
    others
}

#[test]
fn each_function_at_an_irql_that_it_does_not_allow() {
    let others = others(
        Rules::DEFAULT,
        |(_, _, rule, _)| (VERIFIER, vec![*rule]),
        |config, cases| {
            expect_bug_checks(config, cases, |(_, irql, _, call)| {
                raise(*irql);
                call();
            })
        },
    );
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn without_the_rules_for_the_irql() {
    let others = others(
        Rules::DEFAULT - Rules::IRQL,
        |(_, irql, ..)| {
            let code = bugcheck::IRQL_NOT_LESS_OR_EQUAL;
            (code, vec![0, u64::from(*irql), 0, 0])
        },
        |config, cases| {
            expect_bug_checks(config, cases, |(_, irql, _, call)| {
                raise(*irql);
                call();
            })
        },
    );
    assert!(others.is_empty(), "{others:#?}");
}

/// A mutex, timer, ERESOURCE, fast mutex and spin lock, initialised at the highest IRQL at which that is allowed.
#[test]
fn what_is_initialised_at_the_highest_irql_that_is_allowed() {
    let (spin_lock, mutex, timer, resource, fast_mutex) =
        (memory(), memory(), memory(), memory(), memory());
    let old = raise(HIGH);
    nt!(KeInitializeSpinLock(spin_lock));
    nt!(KeInitializeMutex(mutex, 0));
    lower(old);
    let old = raise(APC);
    nt!(KeInitializeGuardedMutex(fast_mutex));
    lower(old);
    let old = raise(DISPATCH);
    nt!(KeInitializeTimerEx(timer, 0));
    assert_eq!(nt!(ExInitializeResourceLite(resource)), STATUS_SUCCESS);
    assert_eq!(nt!(KeReadStateMutex(mutex)), 1);
    assert_eq!(nt!(KeSetTimer(timer, soon(), ptr::null_mut())), FALSE);
    assert_eq!(nt!(KeCancelTimer(timer)), TRUE);
    assert_eq!(nt!(KeReadStateTimer(timer)), FALSE);
    let waiters = [
        nt!(ExGetSharedWaiterCount(resource)),
        nt!(ExGetExclusiveWaiterCount(resource)),
    ];
    assert_eq!(waiters, [0, 0]);
    assert_eq!(nt!(ExIsResourceAcquiredExclusiveLite(resource)), FALSE);
    assert_eq!(nt!(ExIsResourceAcquiredSharedLite(resource)), 0);
    assert_eq!(nt!(ExReinitializeResourceLite(resource)), STATUS_SUCCESS);
    assert_eq!(nt!(KeAreApcsDisabled()), FALSE);
    raise(CLOCK);
    nt!(KeAcquireSpinLockAtDpcLevel(spin_lock));
    assert_eq!(irql(), CLOCK, "at DISPATCH_LEVEL or above");
    nt!(KeReleaseSpinLockFromDpcLevel(spin_lock));
    lower(APC);
    assert_eq!(nt!(ExTryToAcquireFastMutex(fast_mutex)), TRUE);
    nt!(ExReleaseFastMutex(fast_mutex));
    assert_eq!(nt!(ExAcquireResourceExclusiveLite(resource, FALSE)), TRUE);
    nt!(ExConvertExclusiveToSharedLite(resource));
    nt!(ExReleaseResourceLite(resource));
    assert_eq!(nt!(ExDeleteResourceLite(resource)), STATUS_SUCCESS);
    let increment = nt!(ExSetTimerResolution(0, FALSE));
    assert_eq!(increment, nt!(KeQueryTimeIncrement()));
    lower(old);
}

/// Neither has a rule: one is above the IRQL at which the I/O manager's functions work, the other is pageable.
#[test]
fn functions_that_end_in_an_irql_that_is_not_less_or_equal() {
    let cases: &[Case] = cases! {
        CLOCK, 0: IoGetRequestorProcessId(ptr::null_mut());
        APC, 8: RtlDowncaseUnicodeChar(65);
    };
    let reports = expect_bug_checks(Config::default(), cases, |(_, irql, _, call)| {
        raise(*irql);
        call();
    });
    for ((name, irql, access, _), report) in cases.iter().zip(reports) {
        assert_eq!(report.code, bugcheck::IRQL_NOT_LESS_OR_EQUAL, "{name}");
        assert_eq!(report.parameters[1..3], [u64::from(*irql), *access]);
    }
}
