//! The dispatcher: objects that threads wait for, and the one lock that guards them all.
//!
//! An object keeps its documented layout: a header with its state and the list of wait blocks of the
//! threads that wait for it, first come first. The thread that signals an object satisfies the waits
//! that this allows, on behalf of the waiters, before it lets go of the lock; a waiter that wakes up
//! finds its wait done. So nobody can take an object in between.

mod object;
mod wait;

use core::{
    marker::PhantomData,
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use nt_abi::NTSTATUS;
use parking_lot::{Mutex, MutexGuard};
use std::{collections::BTreeMap, sync::Arc};

pub use self::{
    object::{Header, Mutant, WaitBlock},
    wait::{
        Deadline, WaitKind, apcs_off_by_mutexes, end_thread, first_mutex, keepers, owned_mutex_in,
        wait, wait_alertable,
    },
};
use crate::{
    bugcheck,
    ex::resource::Registered,
    kernel,
    thread::{self, Thread},
    timer::TimerQueue,
};

/// What the dispatcher lock guards besides the objects themselves.
pub struct State {
    /// The timers that are set.
    pub timers: TimerQueue,
    /// The ERESOURCEs that are initialised.
    pub resources: Registered,
    /// What is waited on for push locks, by the address of the lock.
    pub push_locks: BTreeMap<u64, Arc<Header>>,
}

static LOCK: Mutex<State> = Mutex::new(State {
    timers: TimerQueue::new(),
    resources: Registered::new(),
    push_locks: BTreeMap::new(),
});

/// The dispatcher lock, held. What the objects hold may be read and changed with it alone.
pub struct Dispatcher {
    guard: MutexGuard<'static, State>,
    thread: &'static Thread,
    /// Objects are reached by addresses that came from drivers.
    unsend: PhantomData<*const ()>,
}

/// Takes the dispatcher lock. Does not return if a bug check has stopped the kernel.
pub fn lock(thread: &'static Thread) -> Dispatcher {
    let guard = LOCK.lock();
    thread.in_dispatcher.store(true, Ordering::Relaxed);
    let dispatcher = Dispatcher {
        guard,
        thread,
        unsend: PhantomData,
    };
    if kernel::is_dead() {
        drop(dispatcher);
        bugcheck::leave(thread);
    }
    dispatcher
}

impl Dispatcher {
    /// What the lock guards besides the objects.
    pub fn state(&mut self) -> &mut State {
        &mut self.guard
    }

    /// The thread that holds the lock.
    pub const fn thread(&self) -> &'static Thread {
        self.thread
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // The lock itself is let go of when the guard is dropped, right after this.
        self.thread.in_dispatcher.store(false, Ordering::Relaxed);
    }
}

/// Lets go of the dispatcher lock if `thread`, which stops the kernel, holds it.
pub fn abandon(thread: &Thread) {
    if thread.in_dispatcher.swap(false, Ordering::Relaxed) {
        // SAFETY: This thread holds the lock, in a frame that is never returned to, and nobody looks
        // at what the lock guards once the kernel is dead.
        unsafe { LOCK.force_unlock() };
    }
}

/// Looks at what the lock guards besides the objects, whether the kernel is alive or not. `look` must not stop
/// the kernel.
pub fn peek<T>(look: impl FnOnce(&State) -> T) -> T {
    look(&LOCK.lock())
}

/// Wakes every thread that sleeps here, so that it sees that the kernel is dead.
pub fn wake_everybody() {
    // With the lock held nobody is between looking whether the kernel is alive and going to sleep.
    let guard = LOCK.lock();
    thread::each(|thread| {
        thread.wake.notify_all();
    });
    drop(guard);
}

/// The status of a wait that is not over; none that a wait can end with.
const WAITING: NTSTATUS = NTSTATUS::MIN;

/// What a thread waits for. Guarded by the dispatcher lock.
pub struct WaitState {
    /// [`WAITING`], or the status that the wait ended with.
    status: AtomicI32,
    /// The wait blocks, an array of `count`.
    blocks: AtomicPtr<WaitBlock>,
    count: AtomicU32,
    /// Whether the wait has no time-out.
    endless: AtomicBool,
    /// Whether an alert ends the wait.
    alertable: AtomicBool,
    /// Whether the thread was alerted and no wait has ended for that yet.
    alerted: AtomicBool,
}

/// How many waits have begun. Guarded by the dispatcher lock.
static WAITS: AtomicU64 = AtomicU64::new(0);

/// How many waits have begun since the kernel booted.
pub fn waits_begun() -> u64 {
    WAITS.load(Ordering::Relaxed)
}

impl WaitState {
    /// Whether the thread is in a wait without a time-out.
    pub fn is_endless(&self) -> bool {
        self.status.load(Ordering::Relaxed) == WAITING && self.endless.load(Ordering::Relaxed)
    }

    /// Where the wait blocks of the wait that the thread is in are, and how many.
    pub fn blocks(&self) -> (u64, u32) {
        (
            self.blocks.load(Ordering::Relaxed) as u64,
            self.count.load(Ordering::Relaxed),
        )
    }

    /// No wait.
    pub const fn new() -> Self {
        Self {
            status: AtomicI32::new(0),
            blocks: AtomicPtr::new(core::ptr::null_mut()),
            count: AtomicU32::new(0),
            endless: AtomicBool::new(false),
            alertable: AtomicBool::new(false),
            alerted: AtomicBool::new(false),
        }
    }
}
