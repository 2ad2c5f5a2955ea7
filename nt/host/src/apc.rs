//! The APCs of threads: how they are queued, and when they run.
//!
//! A special kernel APC runs when its thread is below `APC_LEVEL` and in no guarded region; a normal one, in
//! addition, when the thread is in no critical region and runs no other normal one. On Windows an interrupt
//! brings them to a thread that runs. Here it looks at its queue itself: when it calls the kernel, when its IRQL
//! falls or it leaves a region, and when it begins to wait. One that waits is woken for them, and waits again
//! when they have run, as on Windows. No thread has a user mode here: an APC for it stays queued, ends waits
//! that are alertable, and is run down when the thread ends.
//!
//! Sources: the pages "Types of APCs", "Disabling APCs" and "Waits and APCs", and that of
//! `ZwWaitForSingleObject` for the conditions. The dispatcher lock guards the queues.

use core::{
    ffi::c_void,
    mem::{self, offset_of},
    ops::Range,
    ptr,
    sync::atomic::{AtomicBool, AtomicI8, AtomicPtr, AtomicU8, AtomicU32, Ordering::Relaxed},
};

use nt_abi::{
    _MODE::UserMode,
    ApcObject, KAPC, KIRQL, KPROCESSOR_MODE, PKKERNEL_ROUTINE, PKNORMAL_ROUTINE, PKRUNDOWN_ROUTINE,
    PVOID,
    bugcheck::{IRQL_UNEXPECTED_VALUE, KERNEL_APC_PENDING_DURING_EXIT},
};

use crate::{
    bugcheck, dispatcher,
    dispatcher::Dispatcher,
    irql::{self, APC, PASSIVE},
    list::{Corrupt, ListEntry},
    thread::{self, Thread},
    verifier,
};

/// A [`KAPC`] with atomic fields.
#[repr(C)]
pub struct Apc {
    kind: AtomicU8,
    spare0: AtomicU8,
    size: AtomicU8,
    spare1: AtomicU8,
    spare2: AtomicU32,
    thread: AtomicPtr<Thread>,
    entry: ListEntry,
    kernel_routine: AtomicPtr<c_void>,
    rundown_routine: AtomicPtr<c_void>,
    normal_routine: AtomicPtr<c_void>,
    context: AtomicPtr<c_void>,
    arguments: [AtomicPtr<c_void>; 2],
    environment: AtomicI8,
    mode: AtomicI8,
    inserted: AtomicU8,
}

const _: () = {
    assert!(size_of::<Apc>() == size_of::<KAPC>());
    assert!(offset_of!(Apc, entry) == offset_of!(KAPC, ApcListEntry));
    assert!(offset_of!(Apc, normal_routine) == offset_of!(KAPC, NormalRoutine));
    assert!(offset_of!(Apc, arguments) == offset_of!(KAPC, SystemArgument1));
    assert!(offset_of!(Apc, inserted) == offset_of!(KAPC, Inserted));
};

/// The queues of a thread, in the order in which they are emptied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Special,
    Normal,
    User,
}

impl Queue {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The APCs that are queued to a thread.
pub struct ThreadApcs {
    /// Which queues are not empty, by [`Queue::bit`].
    queued: AtomicU8,
    /// Whether a normal kernel APC runs.
    in_progress: AtomicBool,
    /// Whether the thread ends, and takes no more.
    closed: AtomicBool,
    /// By [`Queue`].
    queues: [ListEntry; 3],
}

impl ThreadApcs {
    /// None. [`Self::initialize`] must follow when the thread has its place.
    pub const fn new() -> Self {
        Self {
            queued: AtomicU8::new(0),
            in_progress: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            queues: [const { ListEntry::unlinked() }; 3],
        }
    }

    /// Makes the queues empty ones.
    pub fn initialize(&self) {
        for queue in &self.queues {
            queue.initialize();
        }
    }

    fn has(&self, queue: Queue) -> bool {
        self.queued.load(Relaxed) & queue.bit() != 0
    }
}

impl Apc {
    /// The APC at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `apc` must point to memory for an APC that stays where it is.
    pub unsafe fn at<'a>(apc: *mut KAPC, function: &'static str) -> &'a Self {
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { verifier::object(apc.cast(), function) }
    }

    /// Makes this an APC for `thread`, with its kernel, rundown and normal routines: a special kernel one if it has
    /// no normal routine, whatever `mode` says.
    pub fn initialize(
        &self,
        thread: *mut Thread,
        (kernel, rundown, normal): (PKKERNEL_ROUTINE, PKRUNDOWN_ROUTINE, PKNORMAL_ROUTINE),
        (mode, context): (KPROCESSOR_MODE, PVOID),
        environment: i8,
    ) {
        self.kind.store(ApcObject, Relaxed);
        self.size.store(size_of::<KAPC>().to_le_bytes()[0], Relaxed);
        self.thread.store(thread, Relaxed);
        self.entry.initialize();
        let none = ptr::null_mut();
        let kernel = kernel.map_or(none, |routine| routine as *mut c_void);
        let rundown = rundown.map_or(none, |routine| routine as *mut c_void);
        let is_special = normal.is_none();
        let normal = normal.map_or(none, |routine| routine as *mut c_void);
        self.kernel_routine.store(kernel, Relaxed);
        self.rundown_routine.store(rundown, Relaxed);
        self.normal_routine.store(normal, Relaxed);
        self.mode.store(if is_special { 0 } else { mode }, Relaxed);
        self.context
            .store(if is_special { ptr::null_mut() } else { context }, Relaxed);
        self.environment.store(environment, Relaxed);
        self.inserted.store(0, Relaxed);
    }

    /// Where it is.
    pub fn address(&self) -> u64 {
        ptr::from_ref(self) as u64
    }

    /// Whether this is an APC that was initialised.
    pub fn is_initialized(&self) -> bool {
        self.kind.load(Relaxed) == ApcObject
            && !self.kernel_routine.load(Relaxed).is_null()
            && !self.thread.load(Relaxed).is_null()
    }

    fn queue(&self) -> Queue {
        if self.normal_routine.load(Relaxed).is_null() {
            Queue::Special
        } else if i32::from(self.mode.load(Relaxed)) == UserMode {
            Queue::User
        } else {
            Queue::Normal
        }
    }

    /// Queues the APC to its thread on behalf of `caller`. False if it is queued already, or if the thread ends.
    pub fn insert(&self, caller: &'static Thread, arguments: [PVOID; 2]) -> bool {
        let dispatcher = dispatcher::lock(caller);
        // SAFETY: Whoever queues an APC keeps its thread alive.
        let thread = unsafe { &*self.thread.load(Relaxed) };
        if thread.apcs.closed.load(Relaxed) || self.inserted.swap(1, Relaxed) != 0 {
            return false;
        }
        for (place, argument) in self.arguments.iter().zip(arguments) {
            place.store(argument, Relaxed);
        }
        let queue = self.queue();
        // SAFETY: The driver keeps the APC until it has run; the lock of the queue is held.
        unsafe { thread.apcs.queues[queue as usize].insert_tail(&self.entry) };
        thread.apcs.queued.fetch_or(queue.bit(), Relaxed);
        if !ptr::eq(thread, caller) {
            dispatcher.interrupt_wait(thread);
        }
        drop(dispatcher);
        deliver(caller);
        true
    }

    /// Takes the APC off its queue on behalf of `caller`. False if it is on none.
    pub fn remove(&self, caller: &'static Thread) -> bool {
        let lock = dispatcher::lock(caller);
        let is_queued = self.inserted.load(Relaxed) != 0;
        if is_queued {
            // SAFETY: Whoever has queued an APC keeps its thread alive.
            let thread = unsafe { &*self.thread.load(Relaxed) };
            self.take(&thread.apcs, self.queue());
        }
        drop(lock);
        is_queued
    }

    /// Takes the APC off its queue. Its memory is the driver's again when its kernel routine has begun.
    fn take(&self, apcs: &ThreadApcs, queue: Queue) -> Call {
        // SAFETY: It is queued, with its neighbours, and the lock is held.
        unsafe { self.entry.remove() }.unwrap_or_else(Corrupt::stop);
        self.inserted.store(0, Relaxed);
        if apcs.queues[queue as usize].is_empty() {
            apcs.queued.fetch_and(!queue.bit(), Relaxed);
        }
        Call {
            apc: ptr::from_ref(self).cast_mut().cast(),
            kernel: self.kernel_routine.load(Relaxed),
            rundown: self.rundown_routine.load(Relaxed),
            normal: self.normal_routine.load(Relaxed),
            context: self.context.load(Relaxed),
            arguments: [
                self.arguments[0].load(Relaxed),
                self.arguments[1].load(Relaxed),
            ],
        }
    }
}

/// An APC in a range of memory that is queued, and its thread.
pub fn queued_in(caller: &'static Thread, range: &Range<u64>) -> Option<(u64, u64)> {
    let _lock = dispatcher::lock(caller);
    let mut found = None;
    thread::each(|thread| {
        if thread.apcs.queued.load(Relaxed) == 0 {
            return;
        }
        for head in &thread.apcs.queues {
            let mut entry = head.next();
            while !ptr::eq(entry, head) {
                if range.contains(&(entry as u64)) {
                    let apc = entry as u64 - offset_of!(Apc, entry) as u64;
                    found = Some((apc, thread.address()));
                }
                // SAFETY: What is on the queue are the entries of APCs, which drivers keep until they have run.
                entry = unsafe { &*entry }.next();
            }
        }
    });
    found
}

/// Whether a kernel APC waits for `thread` that nothing holds back.
pub fn is_deliverable(thread: &Thread) -> bool {
    next_queue(thread).is_some()
}

/// The queue from which `thread` may run an APC now.
fn next_queue(thread: &Thread) -> Option<Queue> {
    let (apcs, object) = (&thread.apcs, &thread.object);
    if thread.irql() >= APC || object.special_apc_disable() != 0 {
        return None;
    }
    if apcs.has(Queue::Special) {
        return Some(Queue::Special);
    }
    let is_held_back = object.kernel_apc_disable() != 0 || apcs.in_progress.load(Relaxed);
    (apcs.has(Queue::Normal) && !is_held_back).then_some(Queue::Normal)
}

/// Whether an APC for user mode waits for `thread` that nothing holds back.
pub fn has_user(thread: &Thread) -> bool {
    thread.apcs.has(Queue::User) && thread.object.combined_apc_disable() == 0
}

/// Runs the kernel APCs that wait for `thread`, the calling one, and that nothing holds back.
#[inline]
pub fn deliver(thread: &'static Thread) {
    if thread.apcs.queued.load(Relaxed) != 0 {
        deliver_queued(thread);
    }
}

#[cold]
fn deliver_queued(thread: &'static Thread) {
    while !thread.in_dispatcher.load(Relaxed)
        && let Some(queue) = next_queue(thread)
    {
        let dispatcher = dispatcher::lock(thread);
        let call = first(&dispatcher, thread, queue);
        drop(dispatcher);
        if let Some(call) = call {
            thread.waiting_for(0, || call.run(thread, queue));
        }
    }
}

/// Takes the first APC off a queue of `thread`.
fn first(_lock: &Dispatcher, thread: &Thread, queue: Queue) -> Option<Call> {
    let head = &thread.apcs.queues[queue as usize];
    if head.is_empty() {
        return None;
    }
    let apc = head.next().wrapping_byte_sub(offset_of!(Apc, entry));
    // SAFETY: What is on the queue are the entries of APCs, which drivers keep until they have run.
    Some(unsafe { &*apc.cast::<Apc>() }.take(&thread.apcs, queue))
}

/// What a run of an APC needs.
struct Call {
    apc: *mut KAPC,
    kernel: PVOID,
    rundown: PVOID,
    normal: PVOID,
    context: PVOID,
    arguments: [PVOID; 2],
}

impl Call {
    /// Runs the kernel routine at `APC_LEVEL`, and the normal routine that it leaves at `PASSIVE_LEVEL`.
    fn run(mut self, thread: &'static Thread, queue: Queue) {
        irql::raise(thread, APC);
        // SAFETY: It was stored as such, or as null.
        let kernel: PKKERNEL_ROUTINE = unsafe { mem::transmute(self.kernel) };
        // SAFETY: As above.
        let mut normal: PKNORMAL_ROUTINE = unsafe { mem::transmute(self.normal) };
        if let Some(kernel) = kernel {
            let context: *mut PVOID = &raw mut self.context;
            let [first, second] = &mut self.arguments;
            // SAFETY: The driver vouches for the routine, which may change what the normal one gets.
            unsafe { kernel(self.apc, &raw mut normal, context, first, second) };
            self.check_irql(thread, APC, 0);
        }
        if let (Some(normal), Queue::Normal) = (normal, queue) {
            thread.apcs.in_progress.store(true, Relaxed);
            irql::lower(thread, PASSIVE);
            // SAFETY: The driver vouches for the routine and what it gets.
            unsafe { normal(self.context, self.arguments[0], self.arguments[1]) };
            self.check_irql(thread, PASSIVE, 1);
            thread.apcs.in_progress.store(false, Relaxed);
        }
        thread.set_irql(PASSIVE);
    }

    /// A routine of an APC that returns at another IRQL is bug check 0xC8.
    fn check_irql(&self, thread: &Thread, expected: KIRQL, unique: u64) {
        let irql = thread.irql();
        if irql != expected {
            bugcheck::raise(
                IRQL_UNEXPECTED_VALUE,
                [
                    u64::from(irql) << 16 | u64::from(expected) << 8 | unique,
                    self.kernel as u64,
                    self.apc as u64,
                    self.normal as u64,
                ],
                "KiDeliverApc",
                format!("A routine of an APC returned at IRQL {irql}, not {expected}."),
            );
        }
    }
}

/// Ends the queues of `thread`, the calling one, which ends: what nothing holds back any more runs, and what is for
/// user mode is run down. A kernel APC that is held back even then is bug check 0x20.
pub fn run_down(thread: &'static Thread) {
    thread.leave_first_critical_region();
    let dispatcher = loop {
        deliver(thread);
        let dispatcher = dispatcher::lock(thread);
        if !is_deliverable(thread) {
            break dispatcher;
        }
    };
    thread.apcs.closed.store(true, Relaxed);
    let kept = [Queue::Special, Queue::Normal]
        .into_iter()
        .find_map(|queue| first(&dispatcher, thread, queue));
    let mut user = Vec::new();
    while let Some(call) = first(&dispatcher, thread, Queue::User) {
        user.push(call);
    }
    drop(dispatcher);
    if let Some(kept) = kept {
        let disabled = thread.object.combined_apc_disable();
        bugcheck::raise(
            KERNEL_APC_PENDING_DURING_EXIT,
            [kept.apc as u64, disabled, u64::from(thread.irql()), 0],
            "PsTerminateSystemThread",
            "The thread ends while a kernel APC waits for it that it has held back.",
        );
    }
    for call in user {
        // SAFETY: It was stored as such, or as null.
        let rundown: PKRUNDOWN_ROUTINE = unsafe { mem::transmute(call.rundown) };
        if let Some(rundown) = rundown {
            // SAFETY: The driver vouches for the routine; nobody else has the APC any more.
            unsafe { rundown(call.apc) };
        }
    }
}
