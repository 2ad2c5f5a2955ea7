//! What the locks tell the features `lockdep` and `lock_stat`.
//!
//! A lock has a [`Class`], says that it is asked for before it asks the kernel
//! ([`Class::acquiring`]), that it was acquired when the kernel has given it
//! ([`Acquiring::acquired`]), and keeps the [`Acquired`] in its guard, which drops it before it
//! releases: what is recorded as held is held.
//!
//! With both features off all of this is of size zero and does nothing.
#![allow(
    dead_code,
    reason = "the locks are about to call it; this goes when they do"
)]
#![allow(
    clippy::unused_self,
    clippy::extra_unused_type_parameters,
    clippy::needless_pass_by_ref_mut,
    reason = "the shape is that of the features, which use what is ignored here"
)]

use core::marker::PhantomData;

/// The kind of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `KSPIN_LOCK`.
    SpinLock,
    /// `KSPIN_LOCK`, acquired by a `KLOCK_QUEUE_HANDLE`.
    QueuedSpinLock,
    /// `EX_SPIN_LOCK`.
    RwSpinLock,
    /// `KMUTEX`, refused to its owner.
    Mutex,
    /// `KMUTEX`, given to its owner again.
    RecursiveMutex,
    /// `FAST_MUTEX`.
    FastMutex,
    /// `KGUARDED_MUTEX`.
    GuardedMutex,
    /// `EX_PUSH_LOCK`.
    PushLock,
    /// `ERESOURCE`.
    Resource,
}

/// How a lock is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Alone; waits or spins, with a time-out other than zero too.
    Exclusive,
    /// With others, behind those who wait for exclusive access.
    Shared,
    /// With others, ahead of those who wait for exclusive access.
    SharedAhead,
    /// Alone, if that is possible at once.
    TryExclusive,
    /// With others, if that is possible at once.
    TryShared,
}

/// What the locks that one line of source made have in common; a field of every lock.
pub struct Class(());

impl Class {
    /// The class of the locks that the caller's caller makes around a `T`.
    ///
    /// Constructors of locks, and what calls them inside this crate, are `track_caller` with the
    /// feature `_track`; so is everything on the way to [`acquiring`](Self::acquiring).
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub(crate) const fn new<T: ?Sized>(_kind: Kind) -> Self {
        Self(())
    }

    /// The lock at `object` is about to be asked for.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub(crate) const fn acquiring(&self, _object: *const (), _how: How) -> Acquiring<'_> {
        Acquiring(PhantomData)
    }
}

/// A lock that is asked for. Dropped, it was not acquired.
#[must_use]
pub struct Acquiring<'a>(PhantomData<&'a Class>);

impl<'a> Acquiring<'a> {
    /// The kernel has given the lock.
    #[inline]
    pub(crate) const fn acquired(self) -> Acquired<'a> {
        Acquired(PhantomData)
    }
}

/// A lock that is held, in its guard. Its drop, before the kernel is asked to release, says that it
/// is released.
#[must_use]
pub struct Acquired<'a>(PhantomData<&'a Class>);

impl Acquired<'_> {
    /// The exclusive access has become a shared one, or the other way round.
    #[inline]
    pub(crate) const fn converted(&mut self, _to: How) {}
}

/// The current thread is about to end.
#[inline]
pub const fn thread_ends() {}
