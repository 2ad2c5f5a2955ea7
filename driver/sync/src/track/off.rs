//! Both features off: nothing, of size zero.

use core::marker::PhantomData;

use super::{How, Kind};

/// What the locks that one line of source made have in common; a field of every lock.
pub struct Class(());

impl Class {
    /// The class of the locks that the caller's caller makes around a `T`.
    ///
    /// Constructors of locks, and what calls them inside this crate, are `track_caller` with the
    /// feature `_track`; so is everything on the way to [`acquiring`](Self::acquiring).
    #[inline]
    pub(crate) const fn new<T: ?Sized>(_kind: Kind) -> Self {
        Self(())
    }

    /// The lock at `object` is about to be asked for.
    #[inline]
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
