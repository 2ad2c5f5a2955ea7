//! The DPC queues of the processors, and how they are run.
//!
//! A DPC that is queued to the processor that the caller holds runs when the IRQL there falls below
//! `DISPATCH_LEVEL`; one for a processor that nobody holds runs at once if the caller is on it, and
//! otherwise on that processor's idle thread. So every DPC runs on its processor, at `DISPATCH_LEVEL`, and
//! those of one processor run one after the other. Threaded DPCs have queues of their own, which a thread of
//! each processor empties at `PASSIVE_LEVEL`, unless the kernel is configured to take them for ordinary ones.

use core::{
    mem::offset_of,
    ops::Range,
    sync::atomic::{
        AtomicPtr, AtomicU8, AtomicU16, AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use std::sync::OnceLock;

use nt_abi::{
    _KDPC_IMPORTANCE::HighImportance,
    DpcObject, KDPC, KIRQL, PVOID, ThreadedDpcObject,
    bugcheck::{IRQL_UNEXPECTED_VALUE, TIMER_OR_DPC_INVALID},
};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    bugcheck, explore,
    irql::{self, DISPATCH, PASSIVE},
    kernel,
    list::{Corrupt, ListEntry},
    processor, ps,
    thread::{self, Origin, Thread},
    verifier,
};

/// A deferred routine by its address.
type Routine = unsafe extern "win64" fn(*mut KDPC, PVOID, PVOID, PVOID);

/// A [`KDPC`] with atomic fields.
#[repr(C)]
pub struct Dpc {
    kind: AtomicU8,
    importance: AtomicU8,
    /// 0, or the number of the target processor plus one.
    target: AtomicU16,
    /// Not declared by the WDK: whether a timer queued it.
    by_timer: AtomicU32,
    entry: ListEntry,
    routine: AtomicPtr<core::ffi::c_void>,
    context: AtomicPtr<core::ffi::c_void>,
    arguments: [AtomicPtr<core::ffi::c_void>; 2],
    /// The queue that it is on, or null.
    queue: AtomicPtr<Queue>,
}

const _: () = {
    assert!(size_of::<Dpc>() == size_of::<KDPC>());
    assert!(offset_of!(Dpc, entry) == offset_of!(KDPC, DpcListEntry));
    assert!(offset_of!(Dpc, routine) == offset_of!(KDPC, DeferredRoutine));
    assert!(offset_of!(Dpc, arguments) == offset_of!(KDPC, SystemArgument1));
    assert!(offset_of!(Dpc, queue) == offset_of!(KDPC, DpcData));
};

/// The DPCs of one processor, ordinary or threaded ones.
pub struct Queue {
    head: Mutex<Head>,
    /// The DPC that runs.
    running: AtomicPtr<Dpc>,
}

/// The head of a queue, which is initialised when it is first used.
struct Head(ListEntry);

const MAXIMUM: usize = crate::Config::MAXIMUM_PROCESSORS as usize;

static QUEUES: [Queue; MAXIMUM] = [const { Queue::new() }; MAXIMUM];
static THREADED_QUEUES: [Queue; MAXIMUM] = [const { Queue::new() }; MAXIMUM];

impl Queue {
    const fn new() -> Self {
        Self {
            head: Mutex::new(Head(ListEntry::unlinked())),
            running: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    fn of(processor: u32) -> &'static Self {
        &QUEUES[processor as usize]
    }

    fn threaded(processor: u32) -> &'static Self {
        &THREADED_QUEUES[processor as usize]
    }

    const fn address(&self) -> *mut Self {
        core::ptr::from_ref(self).cast_mut()
    }

    fn lock(&self) -> MutexGuard<'_, Head> {
        let head = self.head.lock();
        if !head.0.is_linked() {
            head.0.initialize();
        }
        head
    }
}

impl Dpc {
    /// The DPC at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `dpc` must point to memory for a DPC that stays where it is.
    pub unsafe fn at<'a>(dpc: *mut KDPC, function: &'static str) -> &'a Self {
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { verifier::object(dpc.cast(), function) }
    }

    /// An initialised DPC; other memory is bug check 0xC7 (1) of `function`.
    ///
    /// # Safety
    ///
    /// As for [`Self::at`].
    pub unsafe fn initialized<'a>(dpc: *mut KDPC, function: &'static str) -> &'a Self {
        // SAFETY: This function has the same contract.
        let view = unsafe { Self::at(dpc, function) };
        let is_dpc = [DpcObject, ThreadedDpcObject].contains(&view.kind.load(Relaxed));
        if !is_dpc || view.routine.load(Relaxed).is_null() {
            let start = dpc as u64;
            bugcheck::raise(
                TIMER_OR_DPC_INVALID,
                [1, start, start, start + size_of::<KDPC>() as u64],
                function,
                "The object is not a DPC that was initialised.",
            );
        }
        view
    }

    const fn address(&self) -> *mut KDPC {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// A DPC that [`Self::initialize`] must make one when it has its place.
    pub const fn uninitialized() -> Self {
        Self {
            kind: AtomicU8::new(0),
            importance: AtomicU8::new(0),
            target: AtomicU16::new(0),
            by_timer: AtomicU32::new(0),
            entry: ListEntry::unlinked(),
            routine: AtomicPtr::new(core::ptr::null_mut()),
            context: AtomicPtr::new(core::ptr::null_mut()),
            arguments: [const { AtomicPtr::new(core::ptr::null_mut()) }; 2],
            queue: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Makes this a DPC of a kind, `DpcObject` or `ThreadedDpcObject`.
    pub fn initialize(&self, kind: u8, routine: PVOID, context: PVOID, importance: u8) {
        self.kind.store(kind, Relaxed);
        self.importance.store(importance, Relaxed);
        self.target.store(0, Relaxed);
        self.by_timer.store(0, Relaxed);
        self.entry.initialize();
        self.routine.store(routine, Relaxed);
        self.context.store(context, Relaxed);
        self.arguments
            .iter()
            .for_each(|argument| argument.store(core::ptr::null_mut(), Relaxed));
        self.queue.store(core::ptr::null_mut(), Release);
    }

    /// The address of the routine that the DPC calls.
    pub fn routine(&self) -> u64 {
        self.routine.load(Relaxed) as u64
    }

    /// Says how urgent the DPC is: [`nt_abi::_KDPC_IMPORTANCE`].
    pub fn set_importance(&self, importance: u8) {
        self.importance.store(importance, Relaxed);
    }

    /// Says on which processor the DPC is to run.
    pub fn set_target(&self, processor: u16) {
        self.target.store(processor + 1, Relaxed);
    }

    /// The processor on which the DPC is to run, if it was said.
    pub fn target(&self) -> Option<u32> {
        self.target.load(Relaxed).checked_sub(1).map(u32::from)
    }

    /// Whether a thread is to run the DPC.
    fn is_threaded(&self) -> bool {
        self.kind.load(Relaxed) == ThreadedDpcObject && kernel::config().threaded_dpcs
    }

    /// The queue of `processor` that the DPC belongs on.
    fn queue_of(&self, processor: u32) -> &'static Queue {
        if self.is_threaded() {
            Queue::threaded(processor)
        } else {
            Queue::of(processor)
        }
    }

    /// Whether the DPC runs on `processor` now.
    pub fn runs_on(&self, processor: u32) -> bool {
        core::ptr::eq(self.queue_of(processor).running.load(Acquire), self)
    }

    /// Puts the DPC on the queue of `processor`; false if it is on one already. The processor is not told yet:
    /// see [`announce`].
    pub fn enqueue(&self, processor: u32, arguments: [PVOID; 2], by_timer: bool) -> bool {
        let threaded = self.is_threaded();
        let queue = self.queue_of(processor);
        let head = queue.lock();
        let free = core::ptr::null_mut();
        if self
            .queue
            .compare_exchange(free, queue.address(), Acquire, Relaxed)
            .is_err()
        {
            return false;
        }
        for (slot, argument) in self.arguments.iter().zip(arguments) {
            slot.store(argument, Relaxed);
        }
        self.by_timer.store(u32::from(by_timer), Relaxed);
        let front = i32::from(self.importance.load(Relaxed)) == HighImportance;
        if front {
            // SAFETY: The DPC is on no queue, and stays where it is while it is on this one, whose
            // lock is held.
            unsafe { head.0.insert_head(&self.entry) };
        } else {
            // SAFETY: As above.
            unsafe { head.0.insert_tail(&self.entry) };
        }
        drop(head);
        if threaded {
            THREADED.wake(processor);
        }
        true
    }

    /// Takes the DPC off its queue; false if it is on none.
    pub fn dequeue(&self) -> bool {
        let address = self.queue.load(Acquire);
        // SAFETY: What is stored there are addresses of the static queues.
        let Some(queue) = (unsafe { address.as_ref() }) else {
            return false;
        };
        let head = queue.lock();
        if self.queue.load(Relaxed) != address {
            return false;
        }
        let unlinked = self.unlink();
        drop(head);
        unlinked.unwrap_or_else(Corrupt::stop);
        true
    }

    /// Takes the DPC off the queue that it is on, whose lock the caller holds.
    fn unlink(&self) -> Result<(), Corrupt> {
        // SAFETY: The DPC is on the queue, and the lock of the queue is held.
        unsafe { self.entry.remove() }?;
        self.queue.store(core::ptr::null_mut(), Release);
        Ok(())
    }

    /// What a run of the DPC needs, since its memory is the driver's again once it has begun.
    fn call(&self) -> Call {
        Call {
            dpc: self.address(),
            routine: self.routine.load(Relaxed),
            context: self.context.load(Relaxed),
            arguments: [
                self.arguments[0].load(Relaxed),
                self.arguments[1].load(Relaxed),
            ],
            by_timer: self.by_timer.load(Relaxed) != 0,
        }
    }
}

/// Sees to it that the DPCs on the queue of `processor` run. `thread` is the one that calls.
pub fn announce(thread: &'static Thread, processor: u32) {
    if processor::mark_pending(processor) {
        return;
    }
    let here = !thread.is_at_dispatch() && thread.current_processor() == processor;
    if here && processor::try_acquire(thread, processor) {
        let old = thread.irql();
        thread.set_irql(DISPATCH);
        irql::lower(thread, old);
        return;
    }
    wake_idle(processor);
}

/// Threads of the kernel, one for each processor, that live from the first time that they are needed.
struct Helpers {
    name: &'static str,
    priority: i32,
    /// Does what there is to do, and returns when there is nothing.
    work: fn(&'static Thread, u32),
    threads: [OnceLock<Helper>; MAXIMUM],
}

/// One of them.
struct Helper {
    host: std::thread::Thread,
    place: Option<usize>,
}

impl Helper {
    fn wake(&self) {
        self.host.unpark();
        explore::wake(self.place);
    }
}

/// Those that run the DPCs of a processor that nobody holds.
static IDLE: Helpers = Helpers {
    name: "idle",
    priority: 0,
    work: idle,
    threads: [const { OnceLock::new() }; MAXIMUM],
};

/// Those that run threaded DPCs, at the highest priority.
static THREADED: Helpers = Helpers {
    name: "threaded DPCs",
    priority: 31,
    work: drain_threaded,
    threads: [const { OnceLock::new() }; MAXIMUM],
};

impl Helpers {
    fn wake(&'static self, processor: u32) {
        self.threads[processor as usize]
            .get_or_init(|| self.start(processor))
            .wake();
    }

    fn start(&'static self, processor: u32) -> Helper {
        let run = move || self.run(thread::current(), processor);
        match ps::thread::start_on_host(Origin::Kernel, self.name, run) {
            Ok((thread, host)) => Helper {
                host,
                place: thread.place(),
            },
            Err(error) => panic!("the host cannot start the thread of a processor: {error}"),
        }
    }

    fn run(&self, thread: &'static Thread, processor: u32) {
        thread.set_system_affinity(1 << processor);
        thread.prefer(processor);
        thread.set_priority(self.priority);
        loop {
            (self.work)(thread, processor);
            if explore::is_on() {
                explore::wait(explore::Wait::Work, None);
            } else {
                std::thread::park();
            }
        }
    }
}

/// Wakes the idle thread of `processor`.
pub fn wake_idle(processor: u32) {
    IDLE.wake(processor);
}

fn idle(thread: &'static Thread, processor: u32) {
    while processor::is_pending(processor) {
        irql::raise(thread, DISPATCH);
        irql::lower(thread, PASSIVE);
    }
}

fn drain_threaded(thread: &'static Thread, processor: u32) {
    Queue::threaded(processor).drain(thread, PASSIVE);
}

/// Runs the DPCs on the queue of `processor`, which `thread` holds at `DISPATCH_LEVEL`.
pub fn drain(thread: &'static Thread, processor: u32) {
    Queue::of(processor).drain(thread, DISPATCH);
}

/// Whether a threaded DPC is queued or runs.
pub fn is_threaded_one_left() -> bool {
    let queues = &THREADED_QUEUES[..processor::count() as usize];
    queues
        .iter()
        .any(|queue| !queue.running.load(Acquire).is_null() || !queue.lock().0.is_empty())
}

/// Whether a threaded DPC was ever queued to `processor`.
pub fn has_threaded(processor: u32) -> bool {
    THREADED.threads[processor as usize].get().is_some()
}

impl Queue {
    /// Runs the DPCs on the queue at `level`, at which the thread is.
    fn drain(&self, thread: &'static Thread, level: KIRQL) {
        loop {
            let head = self.lock();
            if head.0.is_empty() {
                return;
            }
            // SAFETY: What is on the queue are the entries of DPCs, and its lock is held.
            let dpc = unsafe { Dpc::of_entry(head.0.next()) };
            let call = dpc.call();
            self.running
                .store(core::ptr::from_ref(dpc).cast_mut(), Release);
            let unlinked = dpc.unlink();
            drop(head);
            unlinked.unwrap_or_else(Corrupt::stop);
            call.run(thread, level);
            self.running.store(core::ptr::null_mut(), Release);
        }
    }
}

/// One run of a DPC.
struct Call {
    dpc: *mut KDPC,
    routine: PVOID,
    context: PVOID,
    arguments: [PVOID; 2],
    by_timer: bool,
}

impl Call {
    fn run(self, thread: &Thread, level: KIRQL) {
        // SAFETY: It was stored by `Dpc::initialize`, from a routine of this type.
        let routine = unsafe { core::mem::transmute::<PVOID, Routine>(self.routine) };
        let outer = if level == DISPATCH {
            thread.set_dpc(self.dpc)
        } else {
            thread.set_in_threaded_dpc(true);
            thread.dpc()
        };
        let apcs = thread.object.combined_apc_disable();
        let locks = thread.held.iter().count();
        // SAFETY: The driver that queued the DPC vouches for routine, context and arguments.
        unsafe { routine(self.dpc, self.context, self.arguments[0], self.arguments[1]) };
        self.check(thread, level, apcs, locks);
        thread.set_dpc(outer);
        thread.set_in_threaded_dpc(false);
    }

    /// Checks that the routine left everything as it was.
    fn check(&self, thread: &Thread, level: KIRQL, apcs: u64, locks: usize) {
        const FUNCTION: &str = "KiRetireDpcList";
        let irql = thread.irql();
        if irql != level {
            bugcheck::raise(
                IRQL_UNEXPECTED_VALUE,
                [u64::from(irql) << 16 | u64::from(level) << 8 | 2, 0, 0, 0],
                FUNCTION,
                format!(
                    "The DPC routine at {:p} returned at IRQL {irql}.",
                    self.routine
                ),
            );
        }
        let apcs_now = thread.object.combined_apc_disable();
        if apcs_now != apcs {
            bugcheck::raise(
                TIMER_OR_DPC_INVALID,
                [
                    if self.by_timer { 5 } else { 4 },
                    self.routine as u64,
                    apcs,
                    apcs_now,
                ],
                FUNCTION,
                "The DPC routine changed the APC disable count of the thread.",
            );
        }
        if thread.held.iter().count() != locks {
            verifier::rule(
                0x40009,
                FUNCTION,
                format!(
                    "The DPC routine at {:p} returned with a spin lock held.",
                    self.routine
                ),
            );
        }
    }
}

impl Dpc {
    /// The DPC whose list entry is at `entry`.
    ///
    /// # Safety
    ///
    /// `entry` must be on a queue whose lock the caller holds.
    unsafe fn of_entry<'a>(entry: *mut ListEntry) -> &'a Self {
        let dpc = entry
            .wrapping_byte_sub(offset_of!(Self, entry))
            .cast::<Self>();
        // SAFETY: What is on a queue are the entries of DPCs, which stay there while they are queued.
        unsafe { &*dpc }
    }
}

/// The address of a DPC that is queued, in a range of memory.
pub fn queued_in(range: &Range<u64>) -> Option<u64> {
    let count = 0..processor::count();
    let mut queues = count
        .clone()
        .map(Queue::of)
        .chain(count.map(Queue::threaded));
    queues.find_map(|queue| {
        let head = queue.lock();
        let mut entry = head.0.next();
        while !core::ptr::eq(entry, &raw const head.0) {
            // SAFETY: What is on the queue are the entries of DPCs, and its lock is held.
            let dpc = unsafe { Dpc::of_entry(entry) };
            let address = dpc.address() as u64;
            if range.contains(&address) {
                return Some(address);
            }
            entry = dpc.entry.next();
        }
        None
    })
}
