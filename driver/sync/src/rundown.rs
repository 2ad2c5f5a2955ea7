//! `EX_RUNDOWN_REF`: users of an object, and an end of it that waits for them.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering},
};

use pinned_init::{PinInit, pin_data, pin_init};

use crate::{
    Irql,
    dispatcher::KernelObject,
    irql::{Apc, AtMost, Dispatch},
    nt,
};

/// Data behind an `EX_RUNDOWN_REF`: shared by any number of users until it is run down.
///
/// | | |
/// |---|---|
/// | acquire | `<= DISPATCH_LEVEL`, never waits; fails once the rundown has started |
/// | release | `<= DISPATCH_LEVEL`, by any thread |
/// | run down | `<= APC_LEVEL`; waits until every user has released |
/// | recursion | any number of acquisitions; to run down while one has the data oneself waits forever |
/// | for | what goes away while others may still be coming in: a device, a callback, a table |
///
/// A guard that is forgotten lets the rundown wait forever. To free the data with a guard forgotten
/// is no harm: nothing can reach the data by it.
///
/// Pages: `ExInitializeRundownProtection`, `ExAcquireRundownProtection`,
/// `ExReleaseRundownProtection`, `ExWaitForRundownProtectionRelease`,
/// `ExReInitializeRundownProtection`.
///
/// ```
/// use wdk_sync::{NonPaged, Rundown};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let table = NonPaged::pin_init(Rundown::new(irql, [1, 2, 3]))?;
/// let user = table.acquire(irql).expect("not run down");
/// assert_eq!(user[0], 1);
/// drop(user);
///
/// let mut owned = table.run_down(irql).expect("nobody else runs it down");
/// assert!(table.acquire(irql).is_none());
/// owned[0] = 7;
/// owned.reinitialize(irql);
/// assert_eq!(table.acquire(irql).expect("open again")[0], 7);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data]
pub struct Rundown<T: ?Sized> {
    #[pin]
    raw: KernelObject<nt::EX_RUNDOWN_REF>,
    /// Set by the one thread that runs the data down, cleared by its reinitialisation.
    closed: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: Users share the data, for which it must be `Sync`; who runs it down takes it over from
// other threads, for which it must be `Send`.
unsafe impl<T: ?Sized + Send + Sync> Sync for Rundown<T> {}

impl<T> Rundown<T> {
    /// An initialiser of data that can be acquired; see [`NonPaged`](crate::NonPaged). It borrows
    /// the token, because the page asks for `<= APC_LEVEL`.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExInitializeRundownProtection`.
    pub fn new<L: AtMost<Apc>>(_irql: &Irql<'_, L>, data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- unused_rundown(),
            closed: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        })
    }
}

/// An initialiser of an `EX_RUNDOWN_REF` that nobody has acquired, at `IRQL <= APC_LEVEL`.
pub fn unused_rundown() -> impl PinInit<KernelObject<nt::EX_RUNDOWN_REF>> {
    let init = |rundown| {
        // SAFETY: The place is valid for an EX_RUNDOWN_REF and resident.
        unsafe { nt::ExInitializeRundownProtection(rundown) };
    };
    // SAFETY: ExInitializeRundownProtection initialises the whole structure.
    unsafe { KernelObject::new(init) }
}

impl<T: ?Sized> Rundown<T> {
    /// The data, kept until the guard is dropped; `None` once its rundown has started.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExAcquireRundownProtection`.
    pub fn acquire<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> Option<RundownGuard<'_, T>> {
        // SAFETY: The structure is initialised and resident, which allows DISPATCH_LEVEL.
        let acquired = unsafe { nt::ExAcquireRundownProtection(self.raw.get()) };
        (acquired != nt::FALSE).then(|| RundownGuard { rundown: self })
    }

    /// Lets no user in any more, waits until the last one has released the data, and gives it to the
    /// caller alone; `None` if another thread runs it down or has done so.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExWaitForRundownProtectionRelease`.
    pub fn run_down<L: AtMost<Apc>>(&self, _irql: &mut Irql<'_, L>) -> Option<RunDown<'_, T>> {
        // One thread alone waits: the page says nothing about two at a time.
        if self.closed.swap(true, Ordering::AcqRel) {
            return None;
        }
        // SAFETY: The structure is initialised and resident, and the token says that the IRQL is at
        // most APC_LEVEL.
        unsafe { nt::ExWaitForRundownProtectionRelease(self.raw.get()) };
        Some(RunDown { rundown: self })
    }
}

impl<T: ?Sized> fmt::Debug for Rundown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rundown")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// A use of the data of a [`Rundown`], which keeps its rundown waiting. Belongs to no thread.
///
/// ```
/// use wdk_sync::{NonPaged, Rundown, Thread};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let table = wdk_sync::NonPagedArc::pin_init(Rundown::new(irql, 7))?;
/// let user = table.clone();
/// let reader = Thread::spawn(irql, move |irql| user.acquire(irql).map(|guard| *guard))?;
/// assert_eq!(reader.join(irql), Some(Some(7)));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[must_use = "the data is released as soon as the guard is dropped"]
pub struct RundownGuard<'a, T: ?Sized> {
    rundown: &'a Rundown<T>,
}

impl<T: ?Sized> Deref for RundownGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: Users share the data, and its rundown waits for this one before it gives out
        // `&mut T`.
        unsafe { &*self.rundown.data.get() }
    }
}

impl<T: ?Sized> Drop for RundownGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The guard was acquired and is released once; code that runs above DISPATCH_LEVEL
        // drops no guards of this crate, for which who connects an `InterruptLock` vouches.
        unsafe { nt::ExReleaseRundownProtection(self.rundown.raw.get()) };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RundownGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The data of a [`Rundown`] that was run down: nobody uses it and nobody can acquire it, until
/// [`reinitialize`](Self::reinitialize) opens it again. If this is dropped, it stays closed for good.
///
/// ```
/// use wdk_sync::{NonPaged, Rundown};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let name = NonPaged::pin_init(Rundown::new(irql, "old"))?;
/// let mut changed = name.run_down(irql).expect("nobody else runs it down");
/// *changed = "new";
/// assert!(name.acquire(irql).is_none());
/// changed.reinitialize(irql);
/// assert_eq!(*name.acquire(irql).expect("open again"), "new");
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub struct RunDown<'a, T: ?Sized> {
    rundown: &'a Rundown<T>,
}

impl<T: ?Sized> RunDown<'_, T> {
    /// Lets users in again.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExReInitializeRundownProtection`.
    pub fn reinitialize<L: AtMost<Apc>>(self, _irql: &Irql<'_, L>) {
        // SAFETY: The data was run down by the one thread that could, and the token says that the
        // IRQL is at most APC_LEVEL.
        unsafe { nt::ExReInitializeRundownProtection(self.rundown.raw.get()) };
        self.rundown.closed.store(false, Ordering::Release);
    }
}

impl<T: ?Sized> Deref for RunDown<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: Nobody else reaches data that was run down, and this is the one that did it.
        unsafe { &*self.rundown.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RunDown<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above; and it is borrowed through `&mut self`.
        unsafe { &mut *self.rundown.data.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RunDown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
