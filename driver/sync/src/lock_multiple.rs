//! Acquiring one of several mutexes, or all of them at once.

use core::fmt;

use crate::{
    Alertable, Before, Irql, Level, Mutex, MutexGuard, Rank, Timeout, Under, Unranked, Wait,
    WaitStatus, Waitable,
    dispatcher::DispatcherObject,
    irql::{Apc, AtMost},
    track::{Acquiring, How},
    wait_multiple::{wait_for_all, wait_for_any},
};

/// How a wait for any one of several mutexes and other objects ended.
#[derive(Debug)]
#[must_use = "the mutex is released at once if the guard is dropped"]
pub enum LockAny<G> {
    /// The mutex of this index is owned now.
    Acquired(usize, G),
    /// The mutex of this index is owned now, and its last owner ended without releasing it: the data
    /// may be in the middle of a change.
    Abandoned(usize, G),
    /// The object of this index was signaled, and what the wait does to it is done. No mutex is
    /// owned.
    Signaled(usize),
    /// The time ran out.
    TimedOut,
    /// This thread owns one of the mutexes already.
    AlreadyOwned,
}

/// Waits until one of `mutexes` can be acquired or one of `objects` is signaled, or the time runs
/// out.
///
/// So a worker waits for its data or for the order to stop, and a caller takes whichever of several
/// equal things is free.
///
/// Between 1 and 64 mutexes and objects together; another number does not compile.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeWaitForMultipleObjects`.
///
/// ```
/// use wdk_sync::{Event, LockAny, Mutex, NonPaged, Signal, Timeout, lock_any};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let table = NonPaged::pin_init(Mutex::new([0u32; 4]))?;
/// let stop = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
/// match lock_any(irql, [&*table], [&stop], Timeout::Never) {
///     LockAny::Acquired(_index, mut table) => table[0] = 1,
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[cfg_attr(feature = "_track", track_caller)]
pub fn lock_any<'a, T: ?Sized, K: Rank, L: AtMost<Apc>, const N: usize, const M: usize>(
    _irql: &'a mut Irql<'_, L>,
    mutexes: [&'a Mutex<T, K>; N],
    objects: [&dyn Waitable; M],
    timeout: Timeout,
) -> LockAny<MutexGuard<'a, T, Under<L, K>, K>>
where
    L::Held: Before<K>,
{
    if owns_one(&mutexes) {
        return LockAny::AlreadyOwned;
    }
    let first = mutexes.map(Mutex::object);
    let second = objects.map(DispatcherObject::object);
    // It takes what is free, so no order follows from it.
    let asked = ask(mutexes, How::TryExclusive);
    // SAFETY: Mutexes and objects are borrowed for the call, and the token says that the IRQL is at
    // most APC_LEVEL.
    let (status, index) = unsafe { wait_for_any(first, second, timeout, Alertable::No) };
    match (status, asked.into_iter().nth(index)) {
        // SAFETY: This thread has acquired the mutex, for the first time.
        (WaitStatus::Acquired, Some(asked)) => LockAny::Acquired(index, unsafe { take(asked) }),
        // SAFETY: As above.
        (WaitStatus::Abandoned, Some(asked)) => LockAny::Abandoned(index, unsafe { take(asked) }),
        (WaitStatus::Acquired | WaitStatus::Abandoned, None) => LockAny::Signaled(index - N),
        // Nothing alerts a wait that is not alertable.
        (WaitStatus::TimedOut | WaitStatus::Alerted | WaitStatus::UserApc, _) => LockAny::TimedOut,
    }
}

/// Waits until all of `mutexes` can be acquired and all of `objects` are signaled at one moment, or
/// the time runs out.
///
/// The kernel takes all at once or none, so the order in which they are named cannot deadlock.
///
/// [`Wait::Abandoned`] means that the last owner of at least one of the mutexes ended without
/// releasing it; the kernel does not say of which. [`Wait::AlreadyOwned`] means that this thread owns
/// one of them, or that one is named twice.
///
/// Between 1 and 64 mutexes and objects together; another number does not compile.
///
/// IRQL: `<= APC_LEVEL`. Page: `KeWaitForMultipleObjects`.
///
/// ```
/// use wdk_sync::{Mutex, NonPaged, Timeout, Wait, lock_all};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let from = NonPaged::pin_init(Mutex::new(10))?;
/// let to = NonPaged::pin_init(Mutex::new(0))?;
/// let Wait::Acquired(mut both) = lock_all(irql, [&*from, &*to], [], Timeout::Never) else {
///     panic!("nobody owns them");
/// };
/// let ([from, to], _irql) = both.parts();
/// (*from, *to) = (0, *from);
/// assert_eq!(both.data(), [&0, &10]);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[cfg_attr(feature = "_track", track_caller)]
pub fn lock_all<'a, T: ?Sized, K: Rank, L: AtMost<Apc>, const N: usize, const M: usize>(
    _irql: &'a mut Irql<'_, L>,
    mutexes: [&'a Mutex<T, K>; N],
    objects: [&dyn Waitable; M],
    timeout: Timeout,
) -> Wait<MutexGuards<'a, T, Under<L, K>, N, K>>
where
    L::Held: Before<K>,
{
    if owns_one(&mutexes) || names_one_twice(&mutexes) {
        return Wait::AlreadyOwned;
    }
    let first = mutexes.map(Mutex::object);
    let second = objects.map(DispatcherObject::object);
    let asked = ask(mutexes, How::Exclusive);
    // SAFETY: Mutexes and objects are borrowed for the call, and the token says that the IRQL is at
    // most APC_LEVEL.
    match unsafe { wait_for_all(first, second, timeout, Alertable::No) } {
        // SAFETY: This thread has acquired each of them, for the first time.
        WaitStatus::Acquired => Wait::Acquired(unsafe { MutexGuards::new(asked) }),
        // SAFETY: As above.
        WaitStatus::Abandoned => Wait::Abandoned(unsafe { MutexGuards::new(asked) }),
        WaitStatus::TimedOut => Wait::TimedOut,
        WaitStatus::Alerted => Wait::Alerted,
        WaitStatus::UserApc => Wait::UserApc,
    }
}

/// A mutex that is asked for.
type Asked<'a, T, K> = (&'a Mutex<T, K>, Option<Acquiring<'a>>);

/// The mutexes are about to be asked for.
#[inline]
#[cfg_attr(feature = "_track", track_caller)]
fn ask<T: ?Sized, K: Rank, const N: usize>(
    mutexes: [&Mutex<T, K>; N],
    how: How,
) -> [Asked<'_, T, K>; N] {
    let mut asked = mutexes.map(|mutex| (mutex, None));
    // Not in the closure, which would be the place that asks.
    for (mutex, asking) in &mut asked {
        *asking = Some(mutex.acquiring(how));
    }
    asked
}

/// The guard of a mutex that was asked for.
///
/// # Safety
///
/// As for [`Mutex::take`].
#[inline]
unsafe fn take<T: ?Sized, L: Level, K: Rank>(
    (mutex, asked): Asked<'_, T, K>,
) -> MutexGuard<'_, T, L, K> {
    let asked = asked.unwrap_or_else(|| mutex.acquiring(How::TryExclusive));
    // SAFETY: The caller vouches for it.
    unsafe { mutex.take(asked) }
}

/// Whether this thread owns one of the mutexes: asked before the wait, because the kernel would let
/// the owner in again.
fn owns_one<T: ?Sized, K: Rank>(mutexes: &[&Mutex<T, K>]) -> bool {
    mutexes.iter().any(|mutex| mutex.is_owned_by_this_thread())
}

fn names_one_twice<T: ?Sized, K: Rank>(mutexes: &[&Mutex<T, K>]) -> bool {
    let mut rest = mutexes.iter();
    while let Some(mutex) = rest.next() {
        if rest.clone().any(|other| other.object() == mutex.object()) {
            return true;
        }
    }
    false
}

/// The data of several [`Mutex`]es that one wait has acquired. Releases them all when dropped.
#[must_use = "the mutexes are released as soon as the guard is dropped"]
pub struct MutexGuards<'a, T: ?Sized, L: Level, const N: usize, K = Unranked> {
    /// Their tokens stay in here: one level on one thread has one token in use.
    guards: [MutexGuard<'a, T, L, K>; N],
    irql: Irql<'a, L>,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, L: Level, const N: usize, K> Sync for MutexGuards<'_, T, L, N, K> {}

impl<'a, T: ?Sized, L: Level, const N: usize, K: Rank> MutexGuards<'a, T, L, N, K> {
    /// The guard of several mutexes.
    ///
    /// # Safety
    ///
    /// As for [`Mutex::take`], of each.
    unsafe fn new(asked: [Asked<'a, T, K>; N]) -> Self {
        Self {
            // SAFETY: The caller vouches for it.
            guards: asked.map(|asked| unsafe { take(asked) }),
            irql: Irql::new(),
        }
    }

    /// The data of each mutex, in the order in which they were named.
    #[must_use]
    pub fn data(&self) -> [&T; N] {
        self.guards.each_ref().map(|guard| &**guard)
    }

    /// The token, for what is to be done under the locks.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }

    /// The data of each mutex and the token at once.
    pub fn parts(&mut self) -> ([&mut T; N], &mut Irql<'a, L>) {
        let data = self.guards.each_mut().map(|guard| &mut **guard);
        (data, &mut self.irql)
    }
}

impl<T: ?Sized + fmt::Debug, L: Level, const N: usize, K: Rank> fmt::Debug
    for MutexGuards<'_, T, L, N, K>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.data()).finish()
    }
}
