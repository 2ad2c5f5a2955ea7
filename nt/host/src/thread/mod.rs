//! Threads of the kernel: what it knows of each, and how a host thread becomes one.
//!
//! A host thread becomes a thread of the kernel when it first calls in ([`current`]), and stops being
//! one when it ends. What is kept for it starts with the `KTHREAD` that drivers see. Everything is
//! atomic, because a debugger, a signaller or a report may look at any thread at any time; what only
//! the thread itself changes is read and written relaxed, which costs no more than a plain access.

mod attach;
mod gs;
mod held;
mod object;

use core::{
    ptr,
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    },
};

use nt_abi::{DISPATCH_LEVEL, KDPC, KIRQL, PKTHREAD};
use parking_lot::Condvar;

pub use self::{
    attach::{attached, create, current, delist, each, enlist, existing, run_system},
    held::{HeldLocks, LockKind},
    object::ThreadObject,
};
use crate::{
    apc::ThreadApcs, dispatcher::WaitState, explore, lock_order::Remembered,
    recovery::RecoveryPoint, stack,
};

/// Where a thread comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A host thread that called in.
    Host,
    /// A thread that `PsCreateSystemThread` made for a driver.
    System,
    /// A thread of the kernel itself: idle, clock, worker.
    Kernel,
}

/// No processor is held.
pub const NO_PROCESSOR: u32 = u32::MAX;

/// The priority of a thread that nobody has set.
const DEFAULT_PRIORITY: i32 = 8;

/// No place in a schedule.
const NO_PLACE: usize = usize::MAX;

/// No wait was announced.
const NO_WAIT: u8 = u8::MAX;

/// A thread of the kernel.
#[repr(C)]
pub struct Thread {
    /// The `KTHREAD`; what a driver's pointer to the thread points to.
    pub object: ThreadObject,
    /// The IRQL of the processor that runs the thread.
    irql: AtomicU8,
    /// The APCs that are queued to it.
    pub apcs: ThreadApcs,
    /// The virtual processor that the thread holds, from `DISPATCH_LEVEL` up.
    processor: AtomicU32,
    /// The virtual processor that it held last, or is to have next.
    preferred: AtomicU32,
    /// On which processors a driver wants it to run, bit n for processor n; 0 if none does.
    system_affinity: AtomicU64,
    priority: AtomicI32,
    /// The DPC that runs on it at `DISPATCH_LEVEL`.
    dpc: AtomicPtr<KDPC>,
    /// Whether a DPC runs on it at `PASSIVE_LEVEL`.
    in_threaded_dpc: AtomicBool,
    /// Whether it holds the dispatcher lock of the host; a bug check lets go of it.
    pub in_dispatcher: AtomicBool,
    /// The innermost place that it can be brought back to.
    recovery: AtomicPtr<RecoveryPoint>,
    /// The place at which a system thread leaves its start routine.
    exit: AtomicPtr<RecoveryPoint>,
    /// The IRQL to go back to when the wait begins that `KeSetEvent` and the like announced, or
    /// [`NO_WAIT`].
    wait_irql: AtomicU8,
    /// The locks that it holds, innermost last.
    pub held: HeldLocks,
    /// What it knows of the order of locks.
    pub lock_order: Remembered,
    /// The lock that it waits for without a time-out, unless it is a dispatcher object; or 0.
    waits_for: AtomicU64,
    /// What it waits for, under the dispatcher lock.
    pub wait: WaitState,
    /// Where it sleeps, together with the dispatcher lock.
    pub wake: Condvar,
    /// The `KernelApcDisable` that it started with, which is below zero for system threads.
    apc_base: AtomicI32,
    /// Whether it makes no call before threads in calls have come back.
    stands_by: AtomicBool,
    /// Its place in the schedule, if threads run one at a time.
    pub place: AtomicUsize,
    /// Where it was when another thread wanted to know.
    pub answer: stack::Answer,
    /// The address of the routine that a driver has started it with, or 0.
    start_routine: AtomicU64,
    origin: Origin,
    id: u64,
    name: String,
    gs: Box<gs::ProcessorBlock>,
}

impl Thread {
    fn new(origin: Origin, name: String, id: u64) -> Self {
        Self {
            object: ThreadObject::new(id),
            irql: AtomicU8::new(0),
            apcs: ThreadApcs::new(),
            processor: AtomicU32::new(NO_PROCESSOR),
            preferred: AtomicU32::new(0),
            system_affinity: AtomicU64::new(0),
            priority: AtomicI32::new(DEFAULT_PRIORITY),
            dpc: AtomicPtr::new(ptr::null_mut()),
            in_threaded_dpc: AtomicBool::new(false),
            in_dispatcher: AtomicBool::new(false),
            recovery: AtomicPtr::new(ptr::null_mut()),
            exit: AtomicPtr::new(ptr::null_mut()),
            wait_irql: AtomicU8::new(NO_WAIT),
            held: HeldLocks::new(),
            lock_order: Remembered::new(),
            waits_for: AtomicU64::new(0),
            wait: WaitState::new(),
            wake: Condvar::new(),
            apc_base: AtomicI32::new(0),
            stands_by: AtomicBool::new(false),
            place: AtomicUsize::new(NO_PLACE),
            answer: stack::Answer::none(),
            start_routine: AtomicU64::new(0),
            origin,
            id,
            name,
            gs: Box::default(),
        }
    }

    /// Its place in the schedule, if threads run one at a time.
    pub fn place(&self) -> Option<usize> {
        let place = self.place.load(Ordering::Relaxed);
        (place != NO_PLACE).then_some(place)
    }

    /// Whether the thread makes no call before threads in calls have come back.
    pub fn stands_by(&self) -> bool {
        self.stands_by.load(Ordering::Relaxed)
    }

    /// Says that the thread makes no call before threads in calls have come back, or that it may again.
    pub fn set_stands_by(&self, stands_by: bool) {
        self.stands_by.store(stands_by, Ordering::Relaxed);
    }

    /// Wakes the thread, which sleeps together with the dispatcher lock.
    pub fn wake_up(&self) {
        self.wake.notify_one();
        explore::wake(self.place());
    }

    /// The address that drivers know the thread by.
    pub const fn kthread(&self) -> PKTHREAD {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The thread's address as a bug check parameter or the owner of an ERESOURCE.
    pub fn address(&self) -> u64 {
        ptr::from_ref(self) as u64
    }

    /// The current IRQL.
    #[inline]
    pub fn irql(&self) -> KIRQL {
        self.irql.load(Ordering::Relaxed)
    }

    /// Records the IRQL; [`crate::irql`] sees to the processor.
    #[inline]
    pub fn set_irql(&self, irql: KIRQL) {
        self.irql.store(irql, Ordering::Relaxed);
    }

    /// Whether the thread is at `DISPATCH_LEVEL` or above, and so holds a virtual processor.
    #[inline]
    pub fn is_at_dispatch(&self) -> bool {
        u32::from(self.irql()) >= DISPATCH_LEVEL
    }

    /// The virtual processor that the thread holds, or [`NO_PROCESSOR`].
    #[inline]
    pub fn processor(&self) -> u32 {
        self.processor.load(Ordering::Relaxed)
    }

    /// Records that the thread holds `processor`, which becomes the one it prefers.
    #[inline]
    pub fn set_processor(&self, processor: u32) {
        self.processor.store(processor, Ordering::Relaxed);
        if processor != NO_PROCESSOR && processor != self.preferred() {
            self.prefer(processor);
        }
    }

    /// The processor that the thread held last: where it runs below `DISPATCH_LEVEL`.
    #[inline]
    pub fn preferred(&self) -> u32 {
        self.preferred.load(Ordering::Relaxed)
    }

    /// The virtual processor that the thread is on.
    pub fn current_processor(&self) -> u32 {
        match self.processor() {
            NO_PROCESSOR => {
                let preferred = self.preferred();
                if !self.may_run_on(preferred) {
                    self.prefer(self.affinity().trailing_zeros());
                }
                self.preferred()
            }
            held => held,
        }
    }

    /// Makes the thread run on `processor` next.
    pub fn prefer(&self, processor: u32) {
        self.preferred.store(processor, Ordering::Relaxed);
        self.gs.set_number(processor);
    }

    /// The processors that the thread may run on, of which not all need exist.
    #[inline]
    pub fn affinity(&self) -> u64 {
        match self.system_affinity() {
            0 => u64::MAX,
            affinity => affinity,
        }
    }

    /// The processors that a driver wants the thread to run on, or 0.
    #[inline]
    pub fn system_affinity(&self) -> u64 {
        self.system_affinity.load(Ordering::Relaxed)
    }

    /// Says on which processors the thread may run; 0 is all.
    pub fn set_system_affinity(&self, affinity: u64) {
        self.system_affinity.store(affinity, Ordering::Relaxed);
    }

    /// Whether the thread may run on `processor`.
    #[inline]
    pub fn may_run_on(&self, processor: u32) -> bool {
        self.affinity() >> processor & 1 == 1
    }

    /// The priority that was set last.
    pub fn priority(&self) -> i32 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Sets the priority, and returns the one before.
    pub fn set_priority(&self, priority: i32) -> i32 {
        self.priority.swap(priority, Ordering::Relaxed)
    }

    /// The thread at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `thread` must be a thread object that is alive.
    pub unsafe fn at<'a>(thread: PKTHREAD) -> &'a Self {
        // SAFETY: The `KTHREAD` is the beginning of this structure, of which all that changes is atomic.
        unsafe { &*thread.cast::<Self>() }
    }

    /// The DPC that runs on this thread, or null.
    #[inline]
    pub fn dpc(&self) -> *mut KDPC {
        self.dpc.load(Ordering::Relaxed)
    }

    /// Enters or leaves DPC context; the DPC that ran before is returned.
    pub fn set_dpc(&self, dpc: *mut KDPC) -> *mut KDPC {
        self.dpc.swap(dpc, Ordering::Relaxed)
    }

    /// Whether a threaded DPC runs on this thread, at `PASSIVE_LEVEL`.
    pub fn is_in_threaded_dpc(&self) -> bool {
        self.in_threaded_dpc.load(Ordering::Relaxed)
    }

    /// Enters or leaves a threaded DPC.
    pub fn set_in_threaded_dpc(&self, inside: bool) {
        self.in_threaded_dpc.store(inside, Ordering::Relaxed);
    }

    /// The address of the routine that a driver has started the thread with, or 0.
    pub fn start_routine(&self) -> u64 {
        self.start_routine.load(Ordering::Relaxed)
    }

    /// Records the routine that a driver has started the thread with.
    pub fn set_start_routine(&self, routine: u64) {
        self.start_routine.store(routine, Ordering::Relaxed);
    }

    /// Where the thread comes from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The thread identifier, unique in this process.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The host's name of the thread.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far `KernelApcDisable` is from what it was when the thread started; negative or zero.
    pub fn apc_depth(&self) -> i32 {
        i32::from(self.object.kernel_apc_disable()) - self.apc_base.load(Ordering::Relaxed)
    }

    /// Starts the thread inside of a critical region, as the page of `PsCreateSystemThread` says.
    fn start_in_critical_region(&self) {
        self.object.add_kernel_apc_disable(-1);
        self.apc_base.store(-1, Ordering::Relaxed);
    }

    /// Leaves the critical region that the thread was started in.
    pub fn leave_first_critical_region(&self) {
        let base = self.apc_base.swap(0, Ordering::Relaxed);
        if base != 0 {
            self.object.add_kernel_apc_disable(1);
        }
    }

    /// Makes `point` the innermost recovery point and returns the one before.
    pub fn set_recovery(&self, point: *mut RecoveryPoint) -> *mut RecoveryPoint {
        self.recovery.swap(point, Ordering::Relaxed)
    }

    /// The innermost recovery point, or null.
    pub fn recovery(&self) -> *mut RecoveryPoint {
        self.recovery.load(Ordering::Relaxed)
    }

    /// Makes the innermost recovery point the one at which the thread terminates itself.
    pub fn set_exit(&self) {
        self.exit.store(self.recovery(), Ordering::Relaxed);
    }

    /// The routine that could be left is over.
    pub fn clear_exit(&self) {
        self.exit.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Where the thread terminates itself, or null if it is not a driver's system thread.
    pub fn exit(&self) -> *mut RecoveryPoint {
        self.exit.load(Ordering::Relaxed)
    }

    /// The address of the IRQL, as some bug checks report it.
    pub fn irql_address(&self) -> u64 {
        self.irql.as_ptr() as u64
    }

    /// Whether a wait was announced and has not begun.
    pub fn has_announced_wait(&self) -> bool {
        self.wait_irql.load(Ordering::Relaxed) != NO_WAIT
    }

    /// The lock that the thread waits for, or 0.
    pub fn waits_for(&self) -> u64 {
        self.waits_for.load(Ordering::Relaxed)
    }

    /// Says which lock the thread waits for while `wait` runs; 0 for an APC that interrupts such a wait.
    pub fn waiting_for<T>(&self, lock: u64, wait: impl FnOnce() -> T) -> T {
        let before = self.waits_for.swap(lock, Ordering::Relaxed);
        let result = wait();
        self.waits_for.store(before, Ordering::Relaxed);
        result
    }

    /// Announces a wait, before which the IRQL goes back to `irql`.
    pub fn announce_wait(&self, irql: KIRQL) {
        self.wait_irql.store(irql, Ordering::Relaxed);
    }

    /// The IRQL that the wait which begins goes back to, if it was announced.
    pub fn take_announced_wait(&self) -> Option<KIRQL> {
        let irql = self.wait_irql.swap(NO_WAIT, Ordering::Relaxed);
        (irql != NO_WAIT).then_some(irql)
    }
}
