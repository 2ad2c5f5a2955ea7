//! Asking about processors, and choosing those on which a thread runs.

use nt_abi::{
    ALL_PROCESSOR_GROUPS, GROUP_AFFINITY, KAFFINITY, KPRIORITY, LONG, NTSTATUS, PGROUP_AFFINITY,
    PKTHREAD, PPROCESSOR_NUMBER, PROCESSOR_NUMBER, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG,
    USHORT,
};

use crate::{
    export::exports,
    irql::{DISPATCH, PASSIVE},
    processor,
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeGetCurrentProcessorNumberEx, KeGetProcessorIndexFromNumber, KeGetProcessorNumberFromIndex,
    KeIsExecutingDpc, KeQueryActiveProcessorCount, KeQueryActiveProcessorCountEx,
    KeQueryActiveProcessors, KeQueryMaximumProcessorCount, KeQueryMaximumProcessorCountEx,
    KeQueryPriorityThread, KeRevertToUserAffinityThread, KeRevertToUserAffinityThreadEx,
    KeRevertToUserGroupAffinityThread, KeSetPriorityThread, KeSetSystemAffinityThread, KeSetSystemAffinityThreadEx,
    KeSetSystemGroupAffinityThread,
);

/// `KeQueryActiveProcessorCount`: how many processors there are, and the set of them. Any IRQL.
///
/// # Safety
///
/// `ActiveProcessors` must be valid for a write or null.
pub unsafe extern "win64" fn KeQueryActiveProcessorCount(
    ActiveProcessors: *mut KAFFINITY,
) -> ULONG {
    thread::current();
    if !ActiveProcessors.is_null() {
        // SAFETY: The caller vouches for a pointer that is not null.
        unsafe { ActiveProcessors.write(processor::all()) };
    }
    processor::count()
}

/// `KeQueryActiveProcessorCountEx`: how many processors a group has; there is one group. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeQueryActiveProcessorCountEx(GroupNumber: USHORT) -> ULONG {
    thread::current();
    if GroupNumber == 0 || GroupNumber == ALL_PROCESSOR_GROUPS {
        processor::count()
    } else {
        0
    }
}

/// `KeQueryMaximumProcessorCount`: as [`KeQueryActiveProcessorCount`], since none is ever added. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeQueryMaximumProcessorCount() -> ULONG {
    thread::current();
    processor::count()
}

/// `KeQueryMaximumProcessorCountEx`: as [`KeQueryActiveProcessorCountEx`]. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeQueryMaximumProcessorCountEx(GroupNumber: USHORT) -> ULONG {
    // SAFETY: This function has the same contract.
    unsafe { KeQueryActiveProcessorCountEx(GroupNumber) }
}

/// `KeQueryActiveProcessors`: the set of all processors. Any IRQL.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeQueryActiveProcessors() -> KAFFINITY {
    thread::current();
    processor::all()
}

const fn number_of(processor: u32) -> PROCESSOR_NUMBER {
    PROCESSOR_NUMBER {
        Group: 0,
        Number: processor.to_le_bytes()[0],
        Reserved: 0,
    }
}

/// `KeGetCurrentProcessorNumberEx`: the processor that the caller is on. Any IRQL; below `DISPATCH_LEVEL` it
/// may be another one a moment later.
///
/// # Safety
///
/// `ProcNumber` must be valid for a write or null.
pub unsafe extern "win64" fn KeGetCurrentProcessorNumberEx(ProcNumber: PPROCESSOR_NUMBER) -> ULONG {
    let processor = thread::current().current_processor();
    if !ProcNumber.is_null() {
        // SAFETY: The caller vouches for a pointer that is not null.
        unsafe { ProcNumber.write(number_of(processor)) };
    }
    processor
}

/// `KeGetProcessorNumberFromIndex`: the group and number of a processor. Any IRQL. Returns
/// `STATUS_INVALID_PARAMETER` if there is no such processor.
///
/// # Safety
///
/// `ProcNumber` must be valid for a write.
pub unsafe extern "win64" fn KeGetProcessorNumberFromIndex(
    ProcIndex: ULONG,
    ProcNumber: PPROCESSOR_NUMBER,
) -> NTSTATUS {
    thread::current();
    if ProcIndex >= processor::count() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: The caller vouches for the pointer.
    unsafe { ProcNumber.write(number_of(ProcIndex)) };
    STATUS_SUCCESS
}

/// `KeGetProcessorIndexFromNumber`: the index of a processor. Any IRQL. Returns `INVALID_PROCESSOR_INDEX` if
/// there is no such processor.
///
/// # Safety
///
/// `ProcNumber` must point to a processor number.
pub unsafe extern "win64" fn KeGetProcessorIndexFromNumber(ProcNumber: PPROCESSOR_NUMBER) -> ULONG {
    const INVALID_PROCESSOR_INDEX: ULONG = ULONG::MAX;
    thread::current();
    // SAFETY: The caller vouches for the pointer.
    let number = unsafe { ProcNumber.read() };
    let index = u32::from(number.Number);
    let exists = number.Group == 0 && number.Reserved == 0 && index < processor::count();
    if exists {
        index
    } else {
        INVALID_PROCESSOR_INDEX
    }
}

/// `KeIsExecutingDpc`: not 0 if a DPC runs on the caller's processor. IRQL = `DISPATCH_LEVEL`: below it the caller
/// may be on another processor by the time it looks at the answer.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeIsExecutingDpc() -> ULONG {
    const NAME: &str = "KeIsExecutingDpc";
    let thread = thread::current();
    if thread.irql() != DISPATCH {
        verifier::rule(verifier::WRONG_IRQL, NAME, "IRQL must be DISPATCH_LEVEL.");
    }
    ULONG::from(!thread.dpc().is_null())
}

/// `KeSetSystemAffinityThreadEx`: says on which processors the calling thread runs, and returns what was said
/// before, or 0. IRQL <= `DISPATCH_LEVEL`.
///
/// A set that is empty or names processors that there are not changes nothing. At `DISPATCH_LEVEL` the thread
/// moves when the IRQL falls.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeSetSystemAffinityThreadEx(Affinity: KAFFINITY) -> KAFFINITY {
    set_affinity(
        verifier::thread_at_most(DISPATCH, "KeSetSystemAffinityThreadEx"),
        Affinity,
    )
}

/// `KeSetSystemAffinityThread`: as [`KeSetSystemAffinityThreadEx`], and returns nothing.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeSetSystemAffinityThread(Affinity: KAFFINITY) {
    set_affinity(
        verifier::thread_at_most(DISPATCH, "KeSetSystemAffinityThread"),
        Affinity,
    );
}

fn set_affinity(thread: &Thread, affinity: KAFFINITY) -> KAFFINITY {
    let previous = thread.system_affinity();
    if affinity != 0 && affinity & !processor::all() == 0 {
        thread.set_system_affinity(affinity);
    }
    previous
}

/// `KeRevertToUserAffinityThreadEx`: goes back to what [`KeSetSystemAffinityThreadEx`] returned; 0 is all
/// processors. IRQL <= `DISPATCH_LEVEL`. Without a call to that function before it changes nothing.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeRevertToUserAffinityThreadEx(Affinity: KAFFINITY) {
    let thread = verifier::thread_at_most(DISPATCH, "KeRevertToUserAffinityThreadEx");
    if thread.system_affinity() != 0 && Affinity & !processor::all() == 0 {
        thread.set_system_affinity(Affinity);
    }
}

/// `KeRevertToUserAffinityThread`: lets the calling thread run on all processors again. IRQL <=
/// `DISPATCH_LEVEL`.
///
/// # Safety
///
/// None beyond that of every call into the kernel.
pub unsafe extern "win64" fn KeRevertToUserAffinityThread() {
    verifier::thread_at_most(DISPATCH, "KeRevertToUserAffinityThread").set_system_affinity(0);
}

/// `KeSetSystemGroupAffinityThread`: as [`KeSetSystemAffinityThreadEx`] for the processors of a group.
///
/// There is one group. What was said before goes to `PreviousAffinity`, all zero if that was nothing or if nothing changes. IRQL
/// <= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `Affinity` must be valid for a read, and `PreviousAffinity` for a write or null.
pub unsafe extern "win64" fn KeSetSystemGroupAffinityThread(
    Affinity: PGROUP_AFFINITY,
    PreviousAffinity: PGROUP_AFFINITY,
) {
    let thread = verifier::thread_at_most(DISPATCH, "KeSetSystemGroupAffinityThread");
    // SAFETY: The caller vouches for the pointer.
    let affinity = unsafe { Affinity.read() };
    let previous = if is_valid(affinity) {
        set_affinity(thread, affinity.Mask)
    } else {
        0
    };
    if !PreviousAffinity.is_null() {
        let previous = GROUP_AFFINITY {
            Mask: previous,
            ..GROUP_AFFINITY::default()
        };
        // SAFETY: The caller vouches for a pointer that is not null.
        unsafe { PreviousAffinity.write(previous) };
    }
}

/// `KeRevertToUserGroupAffinityThread`: goes back to what [`KeSetSystemGroupAffinityThread`] wrote.
///
/// An empty set is all processors. IRQL <= `DISPATCH_LEVEL`. Without a call to that function before it changes nothing.
///
/// # Safety
///
/// `PreviousAffinity` must be valid for a read.
pub unsafe extern "win64" fn KeRevertToUserGroupAffinityThread(PreviousAffinity: PGROUP_AFFINITY) {
    let thread = verifier::thread_at_most(DISPATCH, "KeRevertToUserGroupAffinityThread");
    // SAFETY: The caller vouches for the pointer.
    let affinity = unsafe { PreviousAffinity.read() };
    let is_set = thread.system_affinity() != 0;
    if is_set && (affinity.Mask == 0 || is_valid(affinity)) {
        thread.set_system_affinity(affinity.Mask);
    }
}

/// Whether the processors are there.
fn is_valid(affinity: GROUP_AFFINITY) -> bool {
    affinity.Group == 0 && affinity.Mask != 0 && affinity.Mask & !processor::all() == 0
}

/// `KeSetPriorityThread`: sets a thread's priority and returns the one before. The priority is kept; how
/// threads share the processors is up to the host. IRQL = `PASSIVE_LEVEL`.
///
/// # Safety
///
/// `Thread` must be a thread object that is alive.
pub unsafe extern "win64" fn KeSetPriorityThread(
    Thread: PKTHREAD,
    Priority: KPRIORITY,
) -> KPRIORITY {
    verifier::thread_at_most(PASSIVE, "KeSetPriorityThread");
    // SAFETY: This function has the same contract.
    unsafe { thread::Thread::at(Thread) }.set_priority(Priority)
}

/// `KeQueryPriorityThread`: a thread's priority. IRQL = `PASSIVE_LEVEL`.
///
/// # Safety
///
/// `Thread` must be a thread object that is alive.
pub unsafe extern "win64" fn KeQueryPriorityThread(Thread: PKTHREAD) -> LONG {
    verifier::thread_at_most(PASSIVE, "KeQueryPriorityThread");
    // SAFETY: This function has the same contract.
    unsafe { thread::Thread::at(Thread) }.priority()
}
