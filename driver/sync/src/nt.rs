//! The seam to the kernel: the one place that knows where the NT functions come from.
//!
//! On Windows they are the bindings of `wdk-sys`; on any other host they are those of `nthost`, an
//! NT kernel in user mode. Names, types and signatures are the same, but for the calling convention
//! of callbacks, which [`callback!`] hides.
#![allow(
    non_snake_case,
    reason = "NT functions keep the names that NT gives them"
)]

#[cfg(not(windows))]
use nthost::ntddk as kernel;
#[cfg(windows)]
use wdk_sys as kernel;
#[cfg(windows)]
use wdk_sys::ntddk as functions;

#[cfg(not(windows))]
use nthost::ntddk as functions;

#[cfg(feature = "lockdep")]
pub use functions::KeGetCurrentProcessorNumberEx;
pub use functions::{
    ExAcquireFastMutex, ExAcquireFastMutexUnsafe, ExAcquirePushLockExclusiveEx,
    ExAcquirePushLockSharedEx, ExAcquireResourceExclusiveLite, ExAcquireResourceSharedLite,
    ExAcquireRundownProtection, ExAcquireSharedStarveExclusive, ExAcquireSharedWaitForExclusive,
    ExAcquireSpinLockExclusive, ExAcquireSpinLockExclusiveAtDpcLevel, ExAcquireSpinLockShared,
    ExAcquireSpinLockSharedAtDpcLevel, ExAllocatePool2, ExAllocateTimer, ExCancelTimer,
    ExConvertExclusiveToSharedLite, ExDeleteResourceLite, ExDeleteTimer, ExFreePoolWithTag,
    ExGetExclusiveWaiterCount, ExGetSharedWaiterCount, ExInitializePushLock,
    ExInitializeResourceLite, ExInitializeRundownProtection, ExInterlockedInsertHeadList,
    ExInterlockedInsertTailList, ExInterlockedRemoveHeadList, ExIsResourceAcquiredExclusiveLite,
    ExIsResourceAcquiredSharedLite, ExReInitializeRundownProtection, ExReinitializeResourceLite,
    ExReleaseFastMutex, ExReleaseFastMutexUnsafe, ExReleasePushLockExclusiveEx,
    ExReleasePushLockSharedEx, ExReleaseResourceForThreadLite, ExReleaseResourceLite,
    ExReleaseRundownProtection, ExReleaseSpinLockExclusive, ExReleaseSpinLockExclusiveFromDpcLevel,
    ExReleaseSpinLockShared, ExReleaseSpinLockSharedFromDpcLevel, ExSetResourceOwnerPointer,
    ExSetTimer, ExTryConvertSharedSpinLockExclusive, ExTryToAcquireFastMutex,
    ExWaitForRundownProtectionRelease, ExpInterlockedFlushSList, ExpInterlockedPopEntrySList,
    ExpInterlockedPushEntrySList, IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItemEx,
    KeAcquireGuardedMutex, KeAcquireGuardedMutexUnsafe, KeAcquireInStackQueuedSpinLock,
    KeAcquireInStackQueuedSpinLockAtDpcLevel, KeAcquireSpinLockAtDpcLevel,
    KeAcquireSpinLockRaiseToDpc, KeAreAllApcsDisabled, KeAreApcsDisabled, KeBugCheckEx,
    KeCancelTimer, KeClearEvent, KeDelayExecutionThread, KeEnterCriticalRegion,
    KeEnterGuardedRegion, KeFlushQueuedDpcs, KeGetCurrentIrql, KeGetProcessorNumberFromIndex,
    KeInitializeDpc, KeInitializeEvent, KeInitializeGuardedMutex, KeInitializeMutex,
    KeInitializeSemaphore, KeInitializeTimerEx, KeInsertQueueDpc, KeLeaveCriticalRegion,
    KeLeaveGuardedRegion, KeLowerIrql, KeQueryActiveProcessorCountEx, KeQueryPerformanceCounter,
    KeRaiseIrqlToDpcLevel, KeReadStateEvent, KeReadStateMutex, KeReadStateSemaphore,
    KeReadStateTimer, KeReleaseGuardedMutex, KeReleaseGuardedMutexUnsafe,
    KeReleaseInStackQueuedSpinLock, KeReleaseInStackQueuedSpinLockFromDpcLevel, KeReleaseMutex,
    KeReleaseSemaphore, KeReleaseSpinLock, KeReleaseSpinLockFromDpcLevel, KeRemoveQueueDpc,
    KeResetEvent, KeRevertToUserGroupAffinityThread, KeSetCoalescableTimer, KeSetEvent,
    KeSetImportanceDpc, KeSetPriorityThread, KeSetSystemGroupAffinityThread,
    KeSetTargetProcessorDpcEx, KeSetTimerEx, KeStallExecutionProcessor, KeSynchronizeExecution,
    KeTryToAcquireGuardedMutex, KeTryToAcquireSpinLockAtDpcLevel, KeWaitForMultipleObjects,
    KeWaitForSingleObject, KfRaiseIrql, ObReferenceObjectByHandle, ObfDereferenceObject,
    PsCreateSystemThread, PsTerminateSystemThread, ZwClose,
};
pub use kernel::{
    _EVENT_TYPE, _KDPC_IMPORTANCE, _KWAIT_REASON, _TIMER_TYPE, _WAIT_TYPE, _WORK_QUEUE_TYPE,
    BOOLEAN, DISPATCHER_HEADER, ERESOURCE, ERESOURCE_THREAD, EX_PUSH_LOCK, EX_RUNDOWN_REF,
    EX_SPIN_LOCK, EXT_SET_PARAMETERS, FAST_MUTEX, GROUP_AFFINITY, HANDLE, KDPC, KDPC_IMPORTANCE,
    KEVENT, KIRQL, KLOCK_QUEUE_HANDLE, KMUTEX, KPRIORITY, KPROCESSOR_MODE, KSEMAPHORE, KSPIN_LOCK,
    KTIMER, KWAIT_BLOCK, LARGE_INTEGER, LIST_ENTRY, OBJECT_ATTRIBUTES, PDEVICE_OBJECT, PEX_TIMER,
    PIO_WORKITEM, PIO_WORKITEM_ROUTINE_EX, PKINTERRUPT, PROCESSOR_NUMBER, PVOID, SLIST_ENTRY,
    SLIST_HEADER, WAIT_TYPE,
};

/// `KernelMode`. The enumerator of the headers has another type than the arguments.
pub const KERNEL_MODE: KPROCESSOR_MODE = 0;

/// `UserMode`.
pub const USER_MODE: KPROCESSOR_MODE = 1;

/// `FALSE`. The constants of the headers have another type than the arguments.
pub const FALSE: BOOLEAN = 0;

/// `TRUE`.
pub const TRUE: BOOLEAN = 1;

/// `POOL_FLAG_NON_PAGED`: zeroed, resident, not executable.
pub const POOL_FLAG_NON_PAGED: u64 = 0x40;

/// `THREAD_ALL_ACCESS`.
pub const THREAD_ALL_ACCESS: u32 = 0x001F_FFFF;

/// Attributes of a handle that only the kernel may use, for an object without a name
/// (`InitializeObjectAttributes` with `OBJ_KERNEL_HANDLE`).
pub fn kernel_handle_attributes() -> OBJECT_ATTRIBUTES {
    const OBJ_KERNEL_HANDLE: u32 = 0x200;
    #[expect(clippy::cast_possible_truncation, reason = "a structure of 48 bytes")]
    const LENGTH: u32 = size_of::<OBJECT_ATTRIBUTES>() as u32;
    OBJECT_ATTRIBUTES {
        Length: LENGTH,
        Attributes: OBJ_KERNEL_HANDLE,
        ..Default::default()
    }
}

#[cfg(windows)]
unsafe extern "C" {
    // A macro in the WDK's headers, so `wdk-sys` has no binding; the kernel exports it all the same.
    fn PsGetCurrentThread() -> PVOID;
}

/// The current thread's object, for comparing alone.
#[inline]
pub fn current_thread() -> PVOID {
    #[cfg(not(windows))]
    use functions::PsGetCurrentThread;
    // SAFETY: PsGetCurrentThread has no preconditions.
    unsafe { PsGetCurrentThread() }.cast()
}

#[cfg(all(windows, feature = "lockdep"))]
unsafe extern "C" {
    // Newer than the headers of some kits, so `wdk-sys` need not have a binding.
    fn KeIsExecutingDpc() -> u32;
}

/// Whether a DPC is executing on the current processor.
///
/// # Safety
///
/// The IRQL is `DISPATCH_LEVEL`.
#[cfg(feature = "lockdep")]
pub unsafe fn is_executing_dpc() -> bool {
    #[cfg(not(windows))]
    use functions::KeIsExecutingDpc;
    // SAFETY: The caller vouches for the IRQL.
    unsafe { KeIsExecutingDpc() != 0 }
}

/// Defines a function that the kernel calls, in the kernel's calling convention: `extern "C"` as
/// `wdk-sys` types its callbacks on Windows, `extern "win64"` where the kernel is `nthost`.
macro_rules! callback {
    (
        $(#[$meta:meta])*
        unsafe fn $name:ident $([$($generics:tt)*])? ($($arg:ident: $ty:ty),* $(,)?)
        $(-> $result:ty)? $body:block
    ) => {
        #[cfg(windows)]
        $(#[$meta])*
        unsafe extern "C" fn $name $(<$($generics)*>)? ($($arg: $ty),*) $(-> $result)? $body

        #[cfg(not(windows))]
        $(#[$meta])*
        unsafe extern "win64" fn $name $(<$($generics)*>)? ($($arg: $ty),*) $(-> $result)? $body
    };
}
pub(crate) use callback;
