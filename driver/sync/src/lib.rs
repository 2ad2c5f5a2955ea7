//! Safe Rust for the synchronisation mechanisms of the NT kernel.
//!
//! | type | NT | IRQL to acquire | IRQL while held |
//! |---|---|---|---|
//! | [`SpinLock`] | `KSPIN_LOCK` | `<= DISPATCH_LEVEL` | `DISPATCH_LEVEL` |
//! | [`QueuedSpinLock`] | `KSPIN_LOCK`, `KLOCK_QUEUE_HANDLE` | `<= DISPATCH_LEVEL` | `DISPATCH_LEVEL` |
//! | [`RwSpinLock`] | `EX_SPIN_LOCK` | `<= DISPATCH_LEVEL` | `DISPATCH_LEVEL` |
//! | [`InterruptLock`] | `KeSynchronizeExecution` | `<= DISPATCH_LEVEL` | that of the interrupt |
//! | [`Mutex`], [`RecursiveMutex`] | `KMUTEX` | `<= APC_LEVEL` | unchanged |
//! | [`lock_any`], [`lock_all`] | `KMUTEX`, several | `<= APC_LEVEL` | unchanged |
//! | [`FastMutex`] | `FAST_MUTEX` | `<= APC_LEVEL` | `APC_LEVEL` |
//! | [`GuardedMutex`] | `KGUARDED_MUTEX` | `<= APC_LEVEL` | `APC_LEVEL` |
//! | [`Resource`] | `ERESOURCE` | `<= APC_LEVEL` | unchanged, in a critical region |
//! | [`PushLock`] | `EX_PUSH_LOCK` | `<= APC_LEVEL` | unchanged, in a critical region |
//! | [`Rundown`] | `EX_RUNDOWN_REF` | `<= DISPATCH_LEVEL`; to run down `<= APC_LEVEL` | unchanged |
//! | [`CriticalRegion`], [`GuardedRegion`] | `KeEnterCriticalRegion`, ... | `<= APC_LEVEL` | unchanged |
//!
//! | type | NT | IRQL to signal or queue | IRQL to wait, or of the callback |
//! |---|---|---|---|
//! | [`Event`] | `KEVENT` | `<= DISPATCH_LEVEL` | `<= APC_LEVEL` |
//! | [`Semaphore`] | `KSEMAPHORE` | `<= DISPATCH_LEVEL` | `<= APC_LEVEL` |
//! | [`WaitableTimer`] | `KTIMER` | `<= DISPATCH_LEVEL` | `<= APC_LEVEL` |
//! | [`Timer`] | `KTIMER`, `KDPC` | `<= DISPATCH_LEVEL` | `DISPATCH_LEVEL` |
//! | [`WaitableExTimer`] | `EX_TIMER` | `<= DISPATCH_LEVEL` | `<= APC_LEVEL` |
//! | [`ExTimer`] | `EX_TIMER`, `EXT_CALLBACK` | `<= DISPATCH_LEVEL` | `DISPATCH_LEVEL` |
//! | [`Dpc`] | `KDPC` | any | `DISPATCH_LEVEL` |
//! | [`WorkItem`] | `IO_WORKITEM` | `<= DISPATCH_LEVEL` | `PASSIVE_LEVEL` |
//! | [`Thread`] | `PsCreateSystemThread` | `PASSIVE_LEVEL` | `<= APC_LEVEL`; runs at `PASSIVE_LEVEL` |
//! | [`wait_any`], [`wait_all`] | `KeWaitForMultipleObjects` | | `<= APC_LEVEL` |
//! | [`sleep`], [`stall`] | `KeDelayExecutionThread`, `KeStallExecutionProcessor` | | `<= APC_LEVEL`, any |
//! | [`InterlockedList`] | `ExInterlockedInsertTailList`, ... | any | |
//! | [`SList`] | `SLIST_HEADER`, `ExInterlockedPushEntrySList`, ... | any | |
//!
//! # The level is in the type
//!
//! Every operation takes a token, [`Irql`], that proves at which level the code runs. A guard keeps
//! the token while it lives and gives out the one of its own level. A wait under a spin lock does not
//! compile:
//!
//! ```compile_fail,E0277
//! # use wdk_sync::{Event, SpinLock, Timeout};
//! # fn f(lock: &SpinLock<u32>, event: &Event, irql: &mut wdk_sync::Irql<'_, wdk_sync::Passive>) {
//! let mut guard = lock.lock(irql);
//! let _ = event.wait(guard.irql(), Timeout::Never);
//! # }
//! ```
//!
//! # The order of locks is in the type, too
//!
//! Locks that are held together may be given ranks ([`lock_ranks!`]): then the token says what is
//! held, and taking them in another order than the declared one does not compile.
//!
//! # Storage
//!
//! The three kinds of spin lock are `const`. The other objects are initialised in place, in [`NonPaged`] memory, and
//! stay there; several in one structure by `#[pin_data]` of the crate `pinned-init`.
//!
//! # What stops the system
//!
//! A lock that is dropped while it is held (its guard was given to [`core::mem::forget`]), a queue
//! handle dropped or used again while it is in use, a timer or DPC dropped above `PASSIVE_LEVEL`, and a
//! thread, a work item or an [`ExTimer`] dropped above `APC_LEVEL` are bug check 0xC4 with 0x100B, the address of the
//! object, a number for its kind and the IRQL: going on would free memory that the kernel still uses.
//! Nothing else in this crate stops the system, and nothing panics.
//!
//! # What it costs
//!
//! A lock is the kernel's structure and the data, a guard a reference to it and what its release needs
//! (the IRQL, or nothing); tokens have no size, and all of this is inlined. So an acquisition and a
//! release are the calls that one would write without this crate. What comes on top, to keep what the
//! types cannot, on the way where nobody has to wait:
//!
//! | type | what, besides the calls | why |
//! |---|---|---|
//! | the spin locks | nothing | |
//! | [`QueuedSpinLock::lock`] | a mark in the handle, set and cleared | a handle dropped in use is found; [`with`](QueuedSpinLock::with) has none |
//! | [`FastMutex`], [`GuardedMutex`] | the try form is called, its result looked at | a free mutex is given as by the other form, and an owner is refused where it would wait |
//! | [`FastMutex::lock_at_apc_level`] | a look at the owner | the kernel has no try of that form |
//! | [`Mutex`], [`RecursiveMutex`] | the wait's status is looked at, and the depth | a time-out is no acquisition, and the kernel lets the owner in again |
//! | [`Resource`] | a flag: whether the exclusive owner has its guard | the kernel lets the exclusive owner in again |
//! | [`PushLock`] | nothing | |
//!
//! # Features
//!
//! | feature | what it adds to every lock |
//! |---|---|
//! | `lockdep` | the order in which locks are taken is checked: cycles are reported without a deadlock, with source lines (module `lockdep`) |
//! | `lock_stat` | acquisitions, contentions, waits and holds are counted and measured (module `lock_stat`) |
//!
//! None is on by default. Off, they are of no size and no instruction.
//!
//! # Where it runs
//!
//! On Windows, in a driver, on the bindings of `wdk-sys`. On Linux, in tests, on `nthost`. All calls
//! into the kernel go through one module, the seam.
#![cfg_attr(windows, no_std)]
// Put into the .pdb of each driver that is linked for the msvc targets.
#![debugger_visualizer(natvis_file = "../wdk_sync.natvis")]
#![cfg_attr(
    not(feature = "_track"),
    allow(
        clippy::missing_const_for_fn,
        reason = "what tells the features about a lock is const only while they are off"
    )
)]
#![allow(
    clippy::type_complexity,
    reason = "the type of a guard says how it was acquired, at which level, and under which rank"
)]
#![allow(
    clippy::expl_impl_clone_on_copy,
    reason = "the expansion of pin_data has one, for structures without parameters"
)]

mod apc_mutex;
mod arc;
mod callback;
mod dispatcher;
mod dpc;
mod event;
mod ex_timer;
mod fast_mutex;
mod guard;
mod guarded_mutex;
pub mod guide;
mod held;
mod interlocked_list;
mod interrupt;
mod irql;
mod lock_multiple;
#[cfg(feature = "lock_stat")]
pub mod lock_stat;
#[cfg(feature = "lockdep")]
pub mod lockdep;
mod mutex;
mod nt;
mod processor;
mod push_lock;
mod queued_spin_lock;
mod rank;
mod recursive_mutex;
mod region;
mod resource;
mod rundown;
mod rw_spin_lock;
mod s_list;
mod scheduling;
mod semaphore;
mod spin_lock;
mod status;
mod storage;
#[cfg(not(windows))]
pub mod testing;
mod thread;
mod time;
mod timer;
mod track;
mod wait;
mod wait_multiple;
mod word_lock;
mod work_item;

/// The page of the crate in the registry, whose examples are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

pub use apc_mutex::{ApcAcquisition, ApcMutex, ApcMutexGuard, AtApcLevel, Functions, Raising};
pub use arc::NonPagedArc;
pub use callback::Bound;
pub use dpc::{BoundDpc, Dpc, DpcCallback, DpcControl, DpcWas, Importance};
pub use event::{Event, Signal};
pub use ex_timer::{
    BoundExTimer, DefaultResolution, ExDueTime, ExPeriod, ExTimer, ExTimerCallback, ExTimerKind,
    HighResolution, NoWake, WaitableExTimer, WakeTolerance,
};
pub use fast_mutex::{Fast, FastMutex, FastMutexGuard};
pub use guard::{Access, Exclusive, Guard, Lock, Release, Shared};
pub use guarded_mutex::{Guarded, GuardedMutex, GuardedMutexGuard};
pub use interlocked_list::{InterlockedList, ListNode};
pub use interrupt::{InterruptLock, NotConnected};
pub use irql::{Apc, At, AtMost, Base, Dirql, Dispatch, Irql, Level, Passive, current_irql};
pub use lock_multiple::{LockAny, MutexGuards, lock_all, lock_any};
pub use mutex::{AlreadyOwned, Mutex, MutexGuard, Wait};
pub use processor::{active_processors, stall};
pub use push_lock::{PushExclusiveGuard, PushLock, PushSharedGuard};
pub use queued_spin_lock::{QueueHandle, QueuedAcquisition, QueuedSpinLock, QueuedSpinLockGuard};
pub use rank::{Before, Holding, RaisedUnder, Rank, Under, Unranked};
pub use recursive_mutex::{RecursiveMutex, RecursiveMutexGuard};
pub use region::{CriticalRegion, GuardedRegion, are_all_apcs_disabled, are_apcs_disabled};
pub use resource::{ExclusiveGuard, HandedOver, Resource, ResourceHolder, SharedGuard};
pub use rundown::{RunDown, Rundown, RundownGuard};
pub use rw_spin_lock::{RwAcquisition, RwExclusiveGuard, RwSharedGuard, RwSpinLock};
pub use s_list::{SList, SListNodes};
pub use scheduling::{AtPriority, OnProcessor, Priority};
pub use semaphore::{LimitExceeded, Semaphore};
pub use spin_lock::{Acquisition, AtDpcLevel, Raised, SpinLock, SpinLockGuard};
pub use status::Status;
pub use storage::NonPaged;
pub use thread::Thread;
pub use time::{DueTime, Instant, Period, Timeout};
pub use timer::{BoundTimer, Timer, TimerCallback, TimerWas, WaitableTimer};
pub use wait::{
    Alertable, WaitStatus, Waitable, sleep, sleep_alertable, wait_in_user_mode, yield_now,
};
pub use wait_multiple::{WaitAny, wait_all, wait_all_alertable, wait_any, wait_any_alertable};
#[doc(hidden)]
pub use wdk_sync_ranks::declare as __declare_ranks;
pub use work_item::{BoundWorkItem, WorkItem, WorkItemCallback, WorkItemControl, WorkItemWas};
