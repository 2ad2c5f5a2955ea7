//! The locks that a thread holds, in the order in which it took them.
//!
//! Who owns a mutex or an ERESOURCE is recorded in the object; they are here for their place among the others.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What a held lock is, and how it was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LockKind {
    /// A `KSPIN_LOCK` taken by the ordinary functions.
    Spin,
    /// A `KSPIN_LOCK` taken with a queue handle.
    QueuedSpin,
    /// An `EX_SPIN_LOCK`, shared.
    SharedSpin,
    /// An `EX_SPIN_LOCK`, exclusive.
    ExclusiveSpin,
    /// A `FAST_MUTEX` that raised the IRQL.
    FastMutex,
    /// A `FAST_MUTEX` taken by the unsafe function.
    FastMutexUnsafe,
    /// A push lock, shared.
    PushShared,
    /// A push lock, exclusive.
    PushExclusive,
    /// A `KMUTEX`.
    Mutex,
    /// An ERESOURCE, shared.
    ResourceShared,
    /// An ERESOURCE, exclusive.
    ResourceExclusive,
}

impl LockKind {
    const ALL: [Self; 11] = [
        Self::Spin,
        Self::QueuedSpin,
        Self::SharedSpin,
        Self::ExclusiveSpin,
        Self::FastMutex,
        Self::FastMutexUnsafe,
        Self::PushShared,
        Self::PushExclusive,
        Self::Mutex,
        Self::ResourceShared,
        Self::ResourceExclusive,
    ];

    /// What a report calls such a lock.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Spin => "spin lock",
            Self::QueuedSpin => "queued spin lock",
            Self::SharedSpin | Self::ExclusiveSpin => "EX_SPIN_LOCK",
            Self::FastMutex | Self::FastMutexUnsafe => "fast mutex",
            Self::PushShared | Self::PushExclusive => "push lock",
            Self::Mutex => "mutex",
            Self::ResourceShared | Self::ResourceExclusive => "ERESOURCE",
        }
    }

    /// Whether nobody else holds the lock meanwhile.
    pub const fn is_exclusive(self) -> bool {
        !matches!(
            self,
            Self::SharedSpin | Self::PushShared | Self::ResourceShared
        )
    }

    /// Whether a function of the kernel initialises every such lock, and the lock itself says who owns it.
    pub const fn is_always_initialized(self) -> bool {
        matches!(
            self,
            Self::Mutex | Self::ResourceShared | Self::ResourceExclusive
        )
    }

    /// Whether the lock may be held at `DISPATCH_LEVEL` alone.
    pub const fn is_spin(self) -> bool {
        matches!(
            self,
            Self::Spin | Self::QueuedSpin | Self::SharedSpin | Self::ExclusiveSpin
        )
    }
}

/// Deeper than any order of locks that is not a mistake.
const CAPACITY: usize = 64;

/// A stack of locks that only its thread changes; a report may read it from elsewhere.
pub struct HeldLocks {
    count: AtomicU32,
    kinds: [AtomicU8; CAPACITY],
    locks: [AtomicU64; CAPACITY],
}

impl HeldLocks {
    pub const fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            kinds: [const { AtomicU8::new(0) }; CAPACITY],
            locks: [const { AtomicU64::new(0) }; CAPACITY],
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    #[inline]
    fn set_len(&self, len: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "at most CAPACITY")]
        self.count.store(len as u32, Ordering::Relaxed);
    }

    fn at(&self, at: usize) -> (u64, LockKind) {
        let kind = usize::from(self.kinds[at].load(Ordering::Relaxed));
        (self.locks[at].load(Ordering::Relaxed), LockKind::ALL[kind])
    }

    /// The held locks, outermost first, but for mutexes and ERESOURCEs.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, LockKind)> {
        self.all().filter(|(_, kind)| !kind.is_always_initialized())
    }

    /// The held locks, outermost first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = (u64, LockKind)> + Clone {
        (0..self.len().min(CAPACITY)).map(|at| self.at(at))
    }

    /// How many locks are held.
    #[inline]
    pub fn depth(&self) -> usize {
        self.len()
    }

    /// Puts a lock on top. One that finds no room is not tracked.
    #[inline]
    pub fn push(&self, lock: u64, kind: LockKind) {
        let len = self.len();
        let Some(slot) = self.locks.get(len) else {
            return;
        };
        slot.store(lock, Ordering::Relaxed);
        self.kinds[len].store(kind as u8, Ordering::Relaxed);
        self.set_len(len + 1);
    }

    /// Takes a lock off, wherever it lies.
    #[inline]
    pub fn remove(&self, lock: u64) {
        let Some(top) = self.len().checked_sub(1) else {
            return;
        };
        if self.locks[top].load(Ordering::Relaxed) == lock {
            self.set_len(top);
        } else {
            self.remove_below(top, lock);
        }
    }

    #[cold]
    fn remove_below(&self, top: usize, lock: u64) {
        let Some(found) = (0..top).rev().find(|&at| self.at(at).0 == lock) else {
            return;
        };
        for at in found..top {
            let (lock, kind) = self.at(at + 1);
            self.locks[at].store(lock, Ordering::Relaxed);
            self.kinds[at].store(kind as u8, Ordering::Relaxed);
        }
        self.set_len(top);
    }

    /// The spin lock that was taken last, besides `except`.
    #[inline]
    pub fn last_spin_besides(&self, except: u64) -> Option<u64> {
        if self.len() <= 1 && self.locks[0].load(Ordering::Relaxed) == except {
            return None;
        }
        self.all()
            .rev()
            .find(|(lock, kind)| *lock != except && kind.is_spin())
            .map(|held| held.0)
    }

    /// A fast mutex that raised the IRQL and was taken after `lock`, such a one, too.
    pub fn fast_mutex_after(&self, lock: u64) -> Option<u64> {
        self.all()
            .rev()
            .take_while(|held| held.0 != lock)
            .find(|held| held.1 == LockKind::FastMutex)
            .map(|held| held.0)
    }

    /// How a lock is held, if it is held.
    pub fn kind_of(&self, lock: u64) -> Option<LockKind> {
        self.all().find(|held| held.0 == lock).map(|held| held.1)
    }
}
