//! Deferred procedure calls: `KDPC`.

use core::{
    ffi::c_void,
    sync::atomic::{AtomicUsize, Ordering},
};

use nt_abi::{
    _KDPC_IMPORTANCE::{MediumHighImportance, MediumImportance},
    BOOLEAN, CCHAR, DpcObject, KDPC, KDPC_IMPORTANCE, KEVENT, NTSTATUS, PKDEFERRED_ROUTINE,
    PPROCESSOR_NUMBER, PRKDPC, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ThreadedDpcObject,
    bugcheck::TIMER_OR_DPC_INVALID,
    object_type,
};

use crate::{
    bugcheck,
    dispatcher::{self, Deadline, Header, WaitBlock, WaitKind},
    dpc::{self, Dpc},
    export::exports,
    irql, processor,
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeThreadedDpc, KeInsertQueueDpc, KeRemoveQueueDpc, KeSetImportanceDpc,
    KeSetTargetProcessorDpc, KeSetTargetProcessorDpcEx,
);

/// `MediumImportance` as a DPC holds it.
const MEDIUM: u8 = 1;

const _: () = assert!(MEDIUM as i32 == MediumImportance);

/// `KeInitializeDpc`: makes a DPC of medium importance without a target processor. Any IRQL.
///
/// A DPC that is queued is bug check 0xC7 (1).
///
/// # Safety
///
/// `Dpc` must point to resident memory for a DPC; `DeferredRoutine` must be a routine that may be called
/// with `DeferredContext`.
pub unsafe extern "win64" fn KeInitializeDpc(
    Dpc: PRKDPC,
    DeferredRoutine: PKDEFERRED_ROUTINE,
    DeferredContext: PVOID,
) {
    // SAFETY: This function has the same contract.
    unsafe {
        initialize(
            Dpc,
            DpcObject,
            DeferredRoutine,
            DeferredContext,
            "KeInitializeDpc",
        );
    };
}

/// `KeInitializeThreadedDpc`: makes a DPC whose routine a thread of high priority calls at `PASSIVE_LEVEL`. Any IRQL.
///
/// Where that is turned off ([`Config::threaded_dpcs`](crate::Config::threaded_dpcs)) it is as
/// [`KeInitializeDpc`].
///
/// The routine must do nothing that it may not do at `DISPATCH_LEVEL`: a wait is bug check 0xB8 at either level.
///
/// # Safety
///
/// As for [`KeInitializeDpc`].
pub unsafe extern "win64" fn KeInitializeThreadedDpc(
    Dpc: PRKDPC,
    DeferredRoutine: PKDEFERRED_ROUTINE,
    DeferredContext: PVOID,
) {
    // SAFETY: This function has the same contract.
    unsafe {
        initialize(
            Dpc,
            ThreadedDpcObject,
            DeferredRoutine,
            DeferredContext,
            "KeInitializeThreadedDpc",
        );
    };
}

/// Makes a DPC of a kind.
///
/// # Safety
///
/// As for [`KeInitializeDpc`].
unsafe fn initialize(
    dpc: PRKDPC,
    kind: u8,
    routine: PKDEFERRED_ROUTINE,
    context: PVOID,
    function: &'static str,
) {
    thread::current();
    let address = dpc as u64;
    let end = address + size_of::<KDPC>() as u64;
    if dpc::queued_in(&(address..end)).is_some() {
        bugcheck::raise(
            TIMER_OR_DPC_INVALID,
            [1, address, address, end],
            function,
            "The DPC is initialised again while it is queued.",
        );
    }
    let routine = routine.map_or(core::ptr::null_mut(), |routine| routine as *mut c_void);
    // SAFETY: This function has the same contract.
    let dpc = unsafe { dpc::Dpc::at(dpc, function) };
    dpc.initialize(kind, routine, context, MEDIUM);
}

/// `KeInsertQueueDpc`: queues a DPC to its target processor, or to the current one; false if it is queued
/// already. Any IRQL.
///
/// # Safety
///
/// `Dpc` must point to an initialised DPC, whose routine may be called with the arguments.
pub unsafe extern "win64" fn KeInsertQueueDpc(
    Dpc: PRKDPC,
    SystemArgument1: PVOID,
    SystemArgument2: PVOID,
) -> BOOLEAN {
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let dpc = unsafe { dpc::Dpc::initialized(Dpc, "KeInsertQueueDpc") };
    let processor = dpc.target().unwrap_or_else(|| thread.current_processor());
    if !dpc.enqueue(processor, [SystemArgument1, SystemArgument2], false) {
        return 0;
    }
    dpc::announce(thread, processor);
    1
}

/// `KeRemoveQueueDpc`: takes a DPC off its queue; false if it is on none, which it is not while it runs
/// either. Any IRQL.
///
/// # Safety
///
/// `Dpc` must point to an initialised DPC.
pub unsafe extern "win64" fn KeRemoveQueueDpc(Dpc: PRKDPC) -> BOOLEAN {
    thread::current();
    // SAFETY: This function has the same contract.
    BOOLEAN::from(unsafe { dpc::Dpc::initialized(Dpc, "KeRemoveQueueDpc") }.dequeue())
}

/// `KeSetImportanceDpc`: says how urgent a DPC is; one of high importance goes before those that are
/// queued. Any IRQL.
///
/// # Safety
///
/// `Dpc` must point to an initialised DPC.
pub unsafe extern "win64" fn KeSetImportanceDpc(Dpc: PRKDPC, Importance: KDPC_IMPORTANCE) {
    thread::current();
    // SAFETY: This function has the same contract.
    let dpc = unsafe { dpc::Dpc::initialized(Dpc, "KeSetImportanceDpc") };
    let known = u8::try_from(Importance)
        .ok()
        .filter(|_| Importance <= MediumHighImportance);
    dpc.set_importance(known.unwrap_or(MEDIUM));
}

/// `KeSetTargetProcessorDpc`: says on which processor a DPC is to run. Any IRQL.
///
/// A processor that there is not is bug check 0xC7 (3).
///
/// # Safety
///
/// `Dpc` must point to an initialised DPC.
pub unsafe extern "win64" fn KeSetTargetProcessorDpc(Dpc: PRKDPC, Number: CCHAR) {
    const NAME: &str = "KeSetTargetProcessorDpc";
    thread::current();
    // SAFETY: This function has the same contract.
    let dpc = unsafe { dpc::Dpc::initialized(Dpc, NAME) };
    let number = u16::try_from(Number)
        .ok()
        .filter(|&n| u32::from(n) < processor::count());
    let Some(number) = number else {
        bugcheck::raise(
            TIMER_OR_DPC_INVALID,
            [
                3,
                Dpc as u64,
                u64::from(Number.cast_unsigned()),
                u64::from(processor::count()),
            ],
            NAME,
            "There is no processor with this number.",
        );
    };
    dpc.set_target(number);
}

/// `KeSetTargetProcessorDpcEx`: says on which processor a DPC is to run. Any IRQL.
///
/// Returns `STATUS_INVALID_PARAMETER` if there is no such processor.
///
/// # Safety
///
/// `Dpc` must point to an initialised DPC, `ProcNumber` to a processor number.
pub unsafe extern "win64" fn KeSetTargetProcessorDpcEx(
    Dpc: PRKDPC,
    ProcNumber: PPROCESSOR_NUMBER,
) -> NTSTATUS {
    thread::current();
    // SAFETY: The caller vouches for the pointer.
    let number = unsafe { ProcNumber.read() };
    if number.Group != 0 || number.Reserved != 0 || u32::from(number.Number) >= processor::count() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: This function has the same contract.
    let dpc = unsafe { dpc::Dpc::initialized(Dpc, "KeSetTargetProcessorDpcEx") };
    dpc.set_target(u16::from(number.Number));
    STATUS_SUCCESS
}

/// `KeFlushQueuedDpcs`: waits until every DPC that is queued on any processor has run. IRQL =
/// `PASSIVE_LEVEL` (bug check 0xC4 (0xE5)).
///
/// # Safety
///
/// The caller must hold nothing that a DPC waits for.
pub unsafe extern "win64" fn KeFlushQueuedDpcs() {
    let thread = thread::current();
    if thread.irql() != irql::PASSIVE {
        let irql = u64::from(thread.irql());
        let sentence = "IRQL must be PASSIVE_LEVEL.";
        verifier::violation(0xE5, [irql, 0, 0], "KeFlushQueuedDpcs", sentence);
    }
    Flush::run(thread);
}

/// A marker at the end of each queue that was ever used: when all have run, so has what was before them.
struct Flush {
    /// An event that the last marker signals.
    done: Header,
    left: AtomicUsize,
}

impl Flush {
    fn run(thread: &'static Thread) {
        let processors = 0..processor::count();
        let threaded = processors.clone().filter(|&n| dpc::has_threaded(n));
        let targets: Vec<(u32, u8)> = processors
            .map(|n| (n, DpcObject))
            .chain(threaded.map(|n| (n, ThreadedDpcObject)))
            .collect();
        let mut markers = vec![KDPC::default(); targets.len()];
        let flush = Self {
            done: Header::uninitialized(),
            left: AtomicUsize::new(targets.len()),
        };
        flush
            .done
            .initialize(object_type::NotificationEvent, size_of::<KEVENT>(), 0);
        let context: PVOID = core::ptr::from_ref(&flush).cast_mut().cast();
        for ((processor, kind), marker) in targets.into_iter().zip(&mut markers) {
            // SAFETY: The marker stays where it is until it has run, for which this waits.
            let marker = unsafe { Dpc::at(marker, "KeFlushQueuedDpcs") };
            marker.initialize(kind, Self::arrive as *mut c_void, context, MEDIUM);
            marker.enqueue(processor, [core::ptr::null_mut(); 2], false);
            dpc::announce(thread, processor);
        }
        let blocks = [WaitBlock::new()];
        dispatcher::wait(
            thread,
            &[&flush.done],
            &blocks,
            WaitKind::Any,
            Deadline::Never,
        );
    }

    /// The deferred routine of a marker.
    unsafe extern "win64" fn arrive(
        _dpc: *mut KDPC,
        context: PVOID,
        _first: PVOID,
        _second: PVOID,
    ) {
        // SAFETY: `run` passes the address of a `Flush` that lives until the last marker signals it.
        let flush = unsafe { &*context.cast::<Self>() };
        if flush.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let dispatcher = dispatcher::lock(thread::current());
            dispatcher.signal(&flush.done, 1);
        }
    }
}
