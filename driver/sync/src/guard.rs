//! What an acquisition gives: one guard for every lock of the crate.
//!
//! A [`Guard`] keeps the token of the level that the acquisition left, gives out the data, and is the
//! one place that releases. How, it learns from three types: the lock, the acquisition ([`Release`],
//! which may carry the IRQL or the handle that the release needs) and the [`Access`]. All of it is
//! resolved at compile time; a guard is a reference to its lock and what the release needs.

use core::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
};

use crate::{Irql, Level, track::Acquired};

pub mod sealed {
    /// Keeps the traits of guards to this crate.
    pub trait Sealed {}
}

/// A lock with data behind it.
pub trait Lock: sealed::Sealed {
    /// The data.
    type Data: ?Sized;

    /// The place of the data.
    #[doc(hidden)]
    fn data(&self) -> &UnsafeCell<Self::Data>;
}

/// What a guard lets its holder do with the data: [`Shared`] or [`Exclusive`].
pub trait Access: sealed::Sealed {}

/// Access beside others: `&T`.
#[derive(Clone, Copy, Debug)]
pub enum Shared {}

/// Access of one holder alone: `&mut T`.
#[derive(Clone, Copy, Debug)]
pub enum Exclusive {}

impl sealed::Sealed for () {}
impl sealed::Sealed for Shared {}
impl Access for Shared {}
impl sealed::Sealed for Exclusive {}
impl Access for Exclusive {}

/// A way in which a lock `P` was acquired for access `M`, and so the way in which it is released; `()`
/// where there is but one and it needs nothing.
pub trait Release<P: ?Sized, M: Access>: Copy + sealed::Sealed {
    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The lock was acquired in this way and for this access by the current thread, has not been
    /// released since, and the IRQL is the one that the acquisition left.
    #[doc(hidden)]
    unsafe fn release(self, lock: &P);
}

/// The data of a lock while it is held. Releases the lock when dropped.
///
/// Each lock has names of its own for its guards, such as
/// [`SpinLockGuard`](crate::SpinLockGuard) and [`SharedGuard`](crate::SharedGuard).
///
/// A guard belongs to the thread that acquired, and its token is the one that the code in its scope
/// uses: that it stays on its thread, and that guards go in the reverse order in which they came, are
/// up to the compiler.
///
/// ```
/// use wdk_sync::{NonPaged, Resource, SpinLock};
///
/// static TOTAL: SpinLock<u32> = SpinLock::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let table = NonPaged::pin_init(Resource::new([1, 2, 3]))?;
/// let mut table = table.shared(irql).expect("not owned by this thread");
/// // The data, and the token for what is done under the lock.
/// let (numbers, irql) = table.parts();
/// let mut total = TOTAL.lock(irql);
/// *total = numbers.iter().sum();
/// assert_eq!(*total, 6);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard<'a, P: Lock + ?Sized, A: Release<P, M>, M: Access, L: Level> {
    irql: Irql<'a, L>,
    // Dropped in this order: what is recorded as held is held.
    acquired: Acquired<'a>,
    hold: Hold<'a, P, A, M>,
}

/// An acquisition, released when dropped.
struct Hold<'a, P: ?Sized, A: Release<P, M>, M: Access> {
    lock: &'a P,
    acquisition: A,
    access: PhantomData<M>,
}

impl<P: ?Sized, A: Release<P, M>, M: Access> Drop for Hold<'_, P, A, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The lock was acquired in this way when the guard was made, which stayed on its
        // thread and is dropped once. Whatever changed the level since borrowed the guard's token, and
        // is gone.
        unsafe { self.acquisition.release(self.lock) };
    }
}

// SAFETY: A shared guard gives out `&Data` alone; its token is reached through `&mut`.
unsafe impl<P, A, M, L> Sync for Guard<'_, P, A, M, L>
where
    P: Lock<Data: Sync> + ?Sized,
    A: Release<P, M>,
    M: Access,
    L: Level,
{
}

impl<'a, P: Lock + ?Sized, A: Release<P, M>, M: Access, L: Level> Guard<'a, P, A, M, L> {
    /// The guard of an acquisition.
    ///
    /// # Safety
    ///
    /// The current thread has acquired `lock` in the way that `acquisition` tells and for access `M`,
    /// and no other guard is to release that acquisition. The IRQL is `L`, and this guard's token is
    /// the one in use.
    #[inline]
    pub(crate) const unsafe fn new(lock: &'a P, acquisition: A, acquired: Acquired<'a>) -> Self {
        Self {
            irql: Irql::new(),
            acquired,
            hold: Hold {
                lock,
                acquisition,
                access: PhantomData,
            },
        }
    }

    /// Takes the guard apart and leaves its lock held.
    #[inline]
    pub(crate) fn into_parts(self) -> (&'a P, A, Acquired<'a>) {
        let hold = ManuallyDrop::new(self.hold);
        (hold.lock, hold.acquisition, self.acquired)
    }

    pub(crate) const fn lock(&self) -> &'a P {
        self.hold.lock
    }

    /// The token, for what is to be done under the lock.
    #[inline]
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }
}

impl<'a, P: Lock + ?Sized, A: Release<P, Shared>, L: Level> Guard<'a, P, A, Shared, L> {
    /// Data and token at once.
    #[inline]
    pub fn parts(&mut self) -> (&P::Data, &mut Irql<'a, L>) {
        // SAFETY: The guard has shared access, so nobody changes the data.
        let data = unsafe { &*self.hold.lock.data().get() };
        (data, &mut self.irql)
    }
}

impl<'a, P: Lock + ?Sized, A: Release<P, Exclusive>, L: Level> Guard<'a, P, A, Exclusive, L> {
    /// Data and token at once.
    #[inline]
    pub fn parts(&mut self) -> (&mut P::Data, &mut Irql<'a, L>) {
        // SAFETY: The guard has exclusive access, so nothing else reaches the data, and it is
        // borrowed through `&mut self`.
        let data = unsafe { &mut *self.hold.lock.data().get() };
        (data, &mut self.irql)
    }
}

impl<P, A, M, L> Deref for Guard<'_, P, A, M, L>
where
    P: Lock + ?Sized,
    A: Release<P, M>,
    M: Access,
    L: Level,
{
    type Target = P::Data;

    #[inline]
    fn deref(&self) -> &P::Data {
        // SAFETY: The guard has access, so nobody else changes the data; and not through this guard,
        // which is borrowed.
        unsafe { &*self.hold.lock.data().get() }
    }
}

impl<P, A, L> DerefMut for Guard<'_, P, A, Exclusive, L>
where
    P: Lock + ?Sized,
    A: Release<P, Exclusive>,
    L: Level,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut P::Data {
        self.parts().0
    }
}

impl<P, A, M, L> fmt::Debug for Guard<'_, P, A, M, L>
where
    P: Lock<Data: fmt::Debug> + ?Sized,
    A: Release<P, M>,
    M: Access,
    L: Level,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
