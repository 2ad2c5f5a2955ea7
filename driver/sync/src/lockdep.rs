//! The order in which locks are taken, checked while they are taken (feature `lockdep`).
//!
//! A deadlock needs bad luck; the order that makes it possible does not. Whenever a lock is asked for
//! by a thread that holds others, it is written down that its class was wanted under theirs. A class
//! is all locks that one line of source makes. As soon as these orders form a cycle, threads exist
//! that can keep each other waiting for good, and that is reported: once, with the line that made
//! each lock, the lines that took them, and the whole chain, from a run in which nobody had to wait.
//!
//! | [`Problem`] | what was seen |
//! |---|---|
//! | [`Cycle`](Problem::Cycle) | orders of any number of classes, over all kinds of locks, that contradict each other |
//! | [`SameLock`](Problem::SameLock) | a lock that its holder waits for |
//! | [`SameClass`](Problem::SameClass) | two locks of a class, the second under the first, with no order among them |
//! | [`DpcAndThread`](Problem::DpcAndThread) | a class that DPCs take, and that is held below `DISPATCH_LEVEL` |
//! | [`HeldAtEnd`](Problem::HeldAtEnd) | a thread or DPC that ended with a lock |
//!
//! All locks of this crate tell of themselves; for one of a driver's own there is [`Map`].
//!
//! ```
//! use wdk_sync::{SpinLock, lockdep};
//!
//! # wdk_sync::testing::at_passive_level(|irql| {
//! let (a, b) = (SpinLock::new(1), SpinLock::new(2));
//! a.with(irql, |_, irql| b.with(irql, |_, _| ()));
//! b.with(irql, |_, irql| a.with(irql, |_, _| ()));
//! let report = lockdep::reports().next().expect("nobody waited, and yet");
//! assert_eq!((report.problem(), report.chain().count()), (lockdep::Problem::Cycle, 2));
//! # });
//! ```
//!
//! # What counts
//!
//! - **Tries** never wait, so that nothing is under what is tried; what is taken under a lock that was
//!   tried for counts.
//! - **Shared access.** A request that queues behind those who wait for exclusive access can be kept
//!   waiting by a mere reader, with a writer between the two, so it counts as an exclusive one: two
//!   readers of A and B, in both orders, deadlock with a writer of each. Every shared acquisition of
//!   the kernel's locks is of that sort but `ExAcquireSharedStarveExclusive`, which waits for a writer
//!   alone: its meeting with a reader ends a path. Whether a writer exists is not asked; a lock that
//!   nobody writes under needs to be no lock.
//! - **An owner that comes in again**, to a recursive `KMUTEX` or an ERESOURCE, does not wait. Where
//!   the kernel or this crate answers an owner with a status ([`AlreadyOwned`](crate::AlreadyOwned)),
//!   that is the answer, and no report.
//! - **Several at once** ([`lock_all`](crate::lock_all)) are acquired in no order.
//! - **Access that is handed over** ([`HandedOver`](crate::HandedOver)) is of no thread and counts as
//!   released.
//! - **DPCs** hold what they hold apart from the thread that they interrupt, whoever queued them:
//!   `KeIsExecutingDpc` tells.
//!
//! # Cost and bounds
//!
//! No memory is allocated: all tables are statics of the driver, and what did not fit is counted
//! ([`statistics`]). Once an order is known, an acquisition costs some table look-ups and no lock; a
//! new order is written down, and cycles searched for, under one spin lock at `DISPATCH_LEVEL`. Above
//! `DISPATCH_LEVEL` nothing is recorded. Without the feature, locks and guards have no field and no
//! instruction of this.
//!
//! `KeIsExecutingDpc` is in Windows 10, version 1803, and later: a driver with this feature does not
//! load on an older one.

mod ask;
mod context;
mod edges;
mod holding;
mod map;
mod report;
mod search;

pub use ask::{Ask, Held, nested, thread_ends};
pub(crate) use context::{HOLDER_MEMBERS, holders};
pub use edges::{Link, edges};
pub use holding::{Holding, held};
pub use map::Map;
pub use report::{Problem, Report, Statistics, reports, statistics};
pub(crate) use search::Scratch;

pub use crate::track::{Acquired, Acquiring, Fill, How, Kind, LockClass};

/// All classes of which a lock was asked for.
///
/// ```
/// use wdk_sync::{SpinLock, lockdep};
///
/// static TABLE: SpinLock<u32> = SpinLock::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// TABLE.with(irql, |count, _irql| *count += 1);
/// assert!(lockdep::classes().any(|class| class.name().contains("u32")));
/// # });
/// ```
pub fn classes() -> impl Iterator<Item = LockClass> {
    crate::track::entries().map(|(class, _)| class)
}
