//! How often and for how long locks are wanted and held (feature `lock_stat`).
//!
//! For each class of locks, which is all that one line of source makes: acquisitions, contentions,
//! tries and timed waits that came to nothing, and the least, longest, total and average time that was
//! waited and that a lock was held, in ticks of the performance counter ([`frequency`]).
//!
//! ```
//! use wdk_sync::{SpinLock, lock_stat};
//!
//! # wdk_sync::testing::at_passive_level(|irql| {
//! let lock = SpinLock::new([0u8; 3]);
//! lock.with(irql, |_, _| ());
//! lock.with(irql, |_, _| ());
//! let class = lock_stat::classes().find(|it| it.class.name() == "[u8; 3]").expect("was asked for");
//! assert_eq!((class.acquisitions, class.contentions), (2, 0));
//! assert!(class.hold.average() <= class.hold.longest);
//! # });
//! ```
//!
//! # What contention is
//!
//! An acquisition is contended if, when it was asked for, somebody else held the lock, or was asking
//! for it, in a way that excludes this one. Each lock counts who asks for it and who holds it; the
//! kernel is not asked twice for that, so the calls are those of a driver without the feature: a
//! try first would change who comes first at a queued spin lock and an ERESOURCE, and there is none
//! for a push lock or the raising form of a spin lock. The count is off by those who come or go
//! between it and the kernel's own decision. Waits are measured for contended acquisitions, as
//! others do not wait; what a hold takes is measured from the return of the kernel to the call of the
//! release. Access that is handed over ([`HandedOver`](crate::HandedOver)) counts as released there.
//!
//! # Cost
//!
//! Two readings of the performance counter (three if contended) and some ten atomic operations per
//! acquisition, on counters that all holders of locks of a class share; so a class that many
//! processors want at once becomes slower than it is without the feature. Every lock has 16 bytes
//! more than its class needs. Without the feature, locks and guards have no field and no instruction
//! of this.

use core::{
    mem::offset_of,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};

pub use crate::track::{Fill, Kind, LockClass};
use crate::{
    nt,
    track::{self, ClassId, Entry, How},
};

/// What is known of a class.
#[derive(Clone, Copy, Debug)]
pub struct ClassStatistics {
    /// The class.
    pub class: LockClass,
    /// How often its locks were acquired, shared and exclusive.
    pub acquisitions: u64,
    /// How many of those were contended.
    pub contentions: u64,
    /// Tries that found a lock taken, and waits that ended by time-out or alert.
    pub not_acquired: u64,
    /// Waits, of contended acquisitions.
    pub wait: Times,
    /// Holds that have ended.
    pub hold: Times,
}

/// Times, in ticks of the performance counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// The shortest; 0 if there is none.
    pub shortest: u64,
    /// The longest.
    pub longest: u64,
    /// All together.
    pub total: u64,
}

impl Times {
    /// The average; 0 if there is none.
    #[must_use]
    pub const fn average(&self) -> u64 {
        match self.total.checked_div(self.count) {
            Some(average) => average,
            None => 0,
        }
    }
}

/// All classes of which a lock was asked for. Each number is read by itself: where locks are in use,
/// they are of different moments.
pub fn classes() -> impl Iterator<Item = ClassStatistics> {
    track::entries().map(|(class, entry)| {
        let counters = &entry.counters;
        ClassStatistics {
            class,
            acquisitions: counters.acquisitions.load(Ordering::Relaxed),
            contentions: counters.contentions.load(Ordering::Relaxed),
            not_acquired: counters.not_acquired.load(Ordering::Relaxed),
            wait: counters.wait.read(),
            hold: counters.hold.read(),
        }
    })
}

/// How full the table of the classes is: nothing is counted for those that it has no room for.
#[must_use]
pub fn fill() -> Fill {
    track::class_fill()
}

/// Ticks of the performance counter per second.
///
/// IRQL: any. Page: `KeQueryPerformanceCounter`.
#[must_use]
pub fn frequency() -> u64 {
    let mut frequency = nt::LARGE_INTEGER { QuadPart: 0 };
    // SAFETY: The argument points to a LARGE_INTEGER that may be written.
    unsafe { nt::KeQueryPerformanceCounter(&raw mut frequency) };
    // SAFETY: A LARGE_INTEGER is 64 bits of integer, whichever member is read.
    unsafe { frequency.QuadPart }.cast_unsigned()
}

fn ticks() -> u64 {
    // SAFETY: The argument is optional.
    let count = unsafe { nt::KeQueryPerformanceCounter(core::ptr::null_mut()) };
    // SAFETY: A LARGE_INTEGER is 64 bits of integer, whichever member is read.
    unsafe { count.QuadPart }.cast_unsigned()
}

/// The counters of a class.
pub struct Counters {
    acquisitions: AtomicU64,
    contentions: AtomicU64,
    not_acquired: AtomicU64,
    wait: Spread,
    hold: Spread,
}

impl Counters {
    /// Where a debugger finds how many acquisitions were contended.
    pub(crate) const CONTENTIONS: usize = offset_of!(Self, contentions);
    /// Where it finds how many there were.
    pub(crate) const ACQUISITIONS: usize = offset_of!(Self, acquisitions);

    pub(crate) const fn new() -> Self {
        Self {
            acquisitions: AtomicU64::new(0),
            contentions: AtomicU64::new(0),
            not_acquired: AtomicU64::new(0),
            wait: Spread::new(),
            hold: Spread::new(),
        }
    }
}

struct Spread {
    count: AtomicU64,
    shortest: AtomicU64,
    longest: AtomicU64,
    total: AtomicU64,
}

impl Spread {
    const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            shortest: AtomicU64::new(u64::MAX),
            longest: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    fn add(&self, time: u64) {
        self.shortest.fetch_min(time, Ordering::Relaxed);
        self.longest.fetch_max(time, Ordering::Relaxed);
        self.total.fetch_add(time, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Times {
        let count = self.count.load(Ordering::Relaxed);
        Times {
            count,
            shortest: match count {
                0 => 0,
                _ => self.shortest.load(Ordering::Relaxed),
            },
            longest: self.longest.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
        }
    }
}

/// Who asks for one lock, or holds it.
pub struct Users {
    /// Shared ones, and [`EXCLUSIVE`] for each exclusive one.
    count: AtomicU64,
    /// The last thread that acquired it exclusively: to tell an owner that comes in again.
    owner: AtomicPtr<()>,
}

/// One exclusive user.
const EXCLUSIVE: u64 = 1 << 32;

const fn weight(shared: bool) -> u64 {
    if shared { 1 } else { EXCLUSIVE }
}

impl Users {
    pub(crate) const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            owner: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// One more; whether it is excluded by those who are there.
    fn enter(&self, kind: Kind, shared: bool) -> bool {
        let others = self.count.fetch_add(weight(shared), Ordering::Relaxed);
        let excluded = others >= EXCLUSIVE || (!shared && others != 0);
        excluded && !(kind == Kind::RecursiveMutex && self.is_owned_by_this_thread())
    }

    fn is_owned_by_this_thread(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == nt::current_thread().cast()
    }

    fn leave(&self, shared: bool) {
        self.count.fetch_sub(weight(shared), Ordering::Relaxed);
    }
}

/// One user of a lock.
struct User<'a> {
    users: &'a Users,
    shared: bool,
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.users.leave(self.shared);
    }
}

/// A lock that is asked for.
pub struct Ask<'a> {
    /// `None`: nothing is recorded.
    asked: Option<Asked<'a>>,
}

struct Asked<'a> {
    entry: &'static Entry,
    user: User<'a>,
    /// When, if it is contended and waits.
    since: Option<u64>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(class: Option<ClassId>, users: &'a Users, kind: Kind, how: How) -> Self {
        let asked = class.and_then(ClassId::entry).map(|entry| {
            let shared = how.is_shared();
            let excluded = users.enter(kind, shared);
            Asked {
                entry,
                user: User { users, shared },
                since: (excluded && how.waits()).then(ticks),
            }
        });
        Self { asked }
    }

    pub(crate) fn acquired(mut self) -> Held<'a> {
        let held = self.asked.take().map(|Asked { entry, user, since }| {
            let now = ticks();
            let counters = &entry.counters;
            counters.acquisitions.fetch_add(1, Ordering::Relaxed);
            if let Some(since) = since {
                counters.contentions.fetch_add(1, Ordering::Relaxed);
                counters.wait.add(now.saturating_sub(since));
            }
            if !user.shared {
                let thread = nt::current_thread().cast();
                user.users.owner.store(thread, Ordering::Relaxed);
            }
            let since = now;
            Using { entry, user, since }
        });
        Held { held }
    }
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        if let Some(asked) = &self.asked {
            let not_acquired = &asked.entry.counters.not_acquired;
            not_acquired.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A lock that is held; released when dropped.
pub struct Held<'a> {
    /// `None`: nothing is recorded.
    held: Option<Using<'a>>,
}

struct Using<'a> {
    entry: &'static Entry,
    user: User<'a>,
    since: u64,
}

impl Held<'_> {
    pub(crate) fn converted(&mut self, to: How) {
        if let Some(held) = &mut self.held {
            let shared = to.is_shared();
            let users = held.user.users;
            users.count.fetch_add(weight(shared), Ordering::Relaxed);
            users.leave(held.user.shared);
            held.user.shared = shared;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            let time = ticks().saturating_sub(held.since);
            held.entry.counters.hold.add(time);
        }
    }
}
