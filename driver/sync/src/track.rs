//! What the locks tell the features `lockdep` and `lock_stat`.
//!
//! A lock has a [`Class`], says that it is asked for before it asks the kernel
//! ([`Class::acquiring`]), that it was acquired when the kernel has given it
//! ([`Acquiring::acquired`]), and keeps the [`Acquired`] in its guard, which drops it before it
//! releases: what is recorded as held is held.
//!
//! With both features off all of this is of size zero and does nothing.
#![cfg_attr(
    not(feature = "_track"),
    allow(
        dead_code,
        clippy::unused_self,
        clippy::extra_unused_type_parameters,
        clippy::needless_pass_by_ref_mut,
        reason = "the shape is that of the features, which use what is ignored here"
    )
)]

#[cfg(feature = "_track")]
mod classes;
#[cfg(not(feature = "_track"))]
mod off;
#[cfg(feature = "_track")]
mod on;
#[cfg(feature = "_track")]
mod registry;
#[cfg(feature = "_track")]
mod serial;
#[cfg(feature = "_track")]
mod table;

#[cfg(feature = "_track")]
pub use classes::{ClassId, Entry, LockClass, entries, fill as class_fill};
#[cfg(feature = "lockdep")]
pub use classes::{MAX_CLASSES, nested};
#[cfg(not(feature = "_track"))]
pub use off::{Acquired, Acquiring, Class};
#[cfg(feature = "_track")]
pub use on::{Acquired, Acquiring, Class};
#[cfg(feature = "_track")]
pub use registry::{TableAt, offset};
#[cfg(feature = "_track")]
pub use serial::{Writer, alone};
#[cfg(feature = "_track")]
pub use table::{Fill, Table};

#[cfg(feature = "lockdep")]
pub use crate::lockdep::thread_ends;

/// The current thread or DPC is about to end.
#[cfg(not(feature = "lockdep"))]
#[inline]
pub const fn thread_ends() {}

/// The kind of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
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
    /// A lock of a driver's own, as [`Map`](crate::lockdep::Map) tells of it.
    #[cfg(feature = "lockdep")]
    Own,
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

#[cfg(feature = "_track")]
impl How {
    /// Whether others may hold the lock at the same time.
    pub(crate) const fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::SharedAhead | Self::TryShared)
    }

    /// Whether the caller may be kept waiting.
    pub(crate) const fn waits(self) -> bool {
        !matches!(self, Self::TryExclusive | Self::TryShared)
    }
}

#[cfg(feature = "_track")]
impl Kind {
    /// Every kind, by its number in memory.
    pub(crate) const ALL: &[Self] = &[
        Self::SpinLock,
        Self::QueuedSpinLock,
        Self::RwSpinLock,
        Self::Mutex,
        Self::RecursiveMutex,
        Self::FastMutex,
        Self::GuardedMutex,
        Self::PushLock,
        Self::Resource,
        #[cfg(feature = "lockdep")]
        Self::Own,
    ];

    /// What NT calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpinLock => "KSPIN_LOCK",
            Self::QueuedSpinLock => "queued KSPIN_LOCK",
            Self::RwSpinLock => "EX_SPIN_LOCK",
            Self::Mutex => "KMUTEX",
            Self::RecursiveMutex => "recursive KMUTEX",
            Self::FastMutex => "FAST_MUTEX",
            Self::GuardedMutex => "KGUARDED_MUTEX",
            Self::PushLock => "EX_PUSH_LOCK",
            Self::Resource => "ERESOURCE",
            #[cfg(feature = "lockdep")]
            Self::Own => "lock",
        }
    }
}

#[cfg(feature = "_track")]
impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
