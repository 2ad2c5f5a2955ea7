//! ERESOURCE: shared or exclusive, with every way that the executive has to acquire one.

mod guard;
mod inspect;
mod raw;

use core::{
    cell::{Cell, UnsafeCell},
    fmt,
    marker::PhantomData,
    pin::Pin,
};

use pinned_init::{PinInit, pin_data, pinned_drop, try_pin_init};

use crate::{
    AlreadyOwned, Before, Irql, Level, NonPaged, NonPagedArc, Rank, Status, Under, Unranked,
    dispatcher::KernelObject,
    guard::Guard,
    held::{self, Held},
    irql::{Apc, AtMost, Dispatch},
    nt,
    track::{Acquiring, Class, How, Kind},
};

pub use guard::{ExclusiveGuard, HandedOver, ResourceHolder, SharedGuard};
use raw::{Way, free_resource};

/// Data behind an `ERESOURCE`: many readers or one writer.
///
/// | | |
/// |---|---|
/// | acquire | `<= APC_LEVEL`; the guard enters a critical region first |
/// | release | the guard leaves its critical region afterwards |
/// | IRQL while owned | unchanged |
/// | recursion | shared in shared; everything else is refused, since it would alias or deadlock |
/// | for | tables that threads read much oftener than they change them; WinDbg's `!locks` shows it |
///
/// How shared acquisitions treat a waiter for exclusive access is the caller's choice:
///
/// | method | a new owner while someone waits for exclusive | a thread that is a shared owner already |
/// |---|---|---|
/// | [`shared`](Self::shared) | queues behind the waiter | goes ahead |
/// | [`shared_starve_exclusive`](Self::shared_starve_exclusive) | goes ahead | goes ahead |
/// | [`shared_wait_for_exclusive`](Self::shared_wait_for_exclusive) | queues | would deadlock: refused |
///
/// The resource is deleted when it is dropped, at `IRQL <= APC_LEVEL`; one that is owned then is bug
/// check 0xC4 (0x100B).
///
/// Pages: `ExInitializeResourceLite`, `ExDeleteResourceLite`, `ExAcquireResourceSharedLite`,
/// `ExAcquireResourceExclusiveLite`, `ExAcquireSharedStarveExclusive`,
/// `ExAcquireSharedWaitForExclusive`, `ExConvertExclusiveToSharedLite`, `ExReleaseResourceLite`,
/// `KeEnterCriticalRegion`.
///
/// ```
/// use wdk_sync::{NonPaged, Resource};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let routes = NonPaged::pin_init(Resource::new([0u32; 8]))?;
/// {
///     let mut routes = routes.exclusive(irql).expect("not owned by this thread");
///     routes[1] = 10;
///     let routes = routes.downgrade();
///     assert_eq!(routes[1], 10);
/// }
/// assert_eq!(routes.shared(irql).expect("not owned by this thread")[1], 10);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct Resource<T: ?Sized, K = Unranked> {
    class: Class,
    rank: PhantomData<K>,
    #[pin]
    raw: KernelObject<nt::ERESOURCE>,
    /// Whether a guard for exclusive access is out. Written by the exclusive owner, read by owners.
    exclusive: Cell<bool>,
    data: UnsafeCell<T>,
}

// SAFETY: Shared owners read the data at the same time, for which it must be `Sync`; the exclusive
// owner takes it over from another thread, for which it must be `Send`. `exclusive` changes under
// exclusive ownership alone.
unsafe impl<T: ?Sized + Send + Sync, K> Sync for Resource<T, K> {}

impl<T> Resource<T> {
    /// An initialiser of a free resource around `data`; see [`NonPaged`](crate::NonPaged).
    ///
    /// Fails with the status of `ExInitializeResourceLite`.
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn new(data: T) -> impl PinInit<Self, Status> {
        Self::ranked(data)
    }
}

impl<T, K: Rank> Resource<T, K> {
    /// An initialiser of a free resource of rank `K` around `data`; otherwise as [`new`](Self::new).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn ranked(data: T) -> impl PinInit<Self, Status> {
        let class = Class::new::<T>(Kind::Resource);
        try_pin_init!(Self {
            class,
            rank: PhantomData,
            raw <- free_resource(),
            exclusive: Cell::new(false),
            data: UnsafeCell::new(data),
        }? Status)
    }
}

impl<T: ?Sized, K: Rank> Resource<T, K> {
    /// Waits for shared access, behind those who wait for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireResourceSharedLite`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread has exclusive access.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn shared<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<SharedGuard<'a, T, Under<L, K>, K>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::Shared);
        self.raw.acquire(irql, Way::Shared, nt::TRUE);
        self.shared_guard(asked)
    }

    /// Shared access if it can be had without waiting.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireResourceSharedLite` with `Wait` FALSE.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_shared<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Option<SharedGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::TryShared);
        self.try_guard(self.raw.acquire(irql, Way::Shared, nt::FALSE), asked)
    }

    /// Waits for shared access, ahead of those who wait for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireSharedStarveExclusive`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread has exclusive access.
    ///
    /// ```
    /// use wdk_sync::{NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPaged::pin_init(Resource::new([0u32; 8]))?;
    /// let first = table.shared_starve_exclusive(irql).expect("not owned by this thread");
    /// assert_eq!(first[0], 0);
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn shared_starve_exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<SharedGuard<'a, T, Under<L, K>, K>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::SharedAhead);
        self.raw.acquire(irql, Way::StarveExclusive, nt::TRUE);
        self.shared_guard(asked)
    }

    /// Shared access, ahead of those who wait for exclusive access, if it can be had at once.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireSharedStarveExclusive` with `Wait` FALSE.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_shared_starve_exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Option<SharedGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::TryShared);
        self.try_guard(
            self.raw.acquire(irql, Way::StarveExclusive, nt::FALSE),
            asked,
        )
    }

    /// Waits for shared access, behind those who wait for exclusive access, even for a thread that
    /// has shared access already.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireSharedWaitForExclusive`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread has exclusive access, or has shared access and would have to
    /// wait: it would wait for itself.
    ///
    /// ```
    /// use wdk_sync::{NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPaged::pin_init(Resource::new([0u32; 8]))?;
    /// let mut outer = table.shared(irql).expect("not owned by this thread");
    /// // Nobody waits for exclusive access, so the second acquisition need not wait either.
    /// let inner = table.shared_wait_for_exclusive(outer.irql()).expect("it would not wait");
    /// assert_eq!(inner[0], 0);
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn shared_wait_for_exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<SharedGuard<'a, T, Under<L, K>, K>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::Shared);
        if !self.raw.acquire(irql, Way::WaitForExclusive, nt::FALSE) {
            self.refuse_owner()?;
            self.raw.acquire(irql, Way::WaitForExclusive, nt::TRUE);
        }
        self.shared_guard(asked)
    }

    /// Shared access if it can be had at once and nobody waits for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireSharedWaitForExclusive` with `Wait` FALSE.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_shared_wait_for_exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Option<SharedGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::TryShared);
        self.try_guard(
            self.raw.acquire(irql, Way::WaitForExclusive, nt::FALSE),
            asked,
        )
    }

    /// Waits for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireResourceExclusiveLite`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread has access of either kind: the kernel would let it alias the
    /// data, or wait for itself.
    ///
    /// ```
    /// use wdk_sync::{AlreadyOwned, NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPaged::pin_init(Resource::new(0))?;
    /// let mut writer = table.exclusive(irql).expect("not owned by this thread");
    /// *writer += 1;
    /// assert_eq!(table.exclusive(writer.irql()).map(drop), Err(AlreadyOwned));
    /// assert_eq!(*writer, 1);
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<ExclusiveGuard<'a, T, Under<L, K>, K>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::Exclusive);
        // The ownership of this thread matters only where it would wait, so that a free resource
        // costs one call.
        if !self.raw.acquire(irql, Way::Exclusive, nt::FALSE) {
            self.refuse_owner()?;
            self.raw.acquire(irql, Way::Exclusive, nt::TRUE);
        }
        self.exclusive_guard(asked)
    }

    /// Exclusive access if it can be had without waiting.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireResourceExclusiveLite` with `Wait` FALSE.
    ///
    /// ```
    /// use wdk_sync::{NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPaged::pin_init(Resource::new(0))?;
    /// let mut reader = table.shared(irql).expect("not owned by this thread");
    /// assert!(table.try_exclusive(reader.irql()).is_none());
    /// drop(reader);
    /// assert!(table.try_exclusive(irql).is_some());
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Option<ExclusiveGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::TryExclusive);
        if !self.raw.acquire(irql, Way::Exclusive, nt::FALSE) {
            return None;
        }
        self.exclusive_guard(asked).ok()
    }

    /// Waits for exclusive access and makes it one of no thread, which may be sent to another thread
    /// and released there. No critical region is entered for longer than the call.
    ///
    /// IRQL: `<= APC_LEVEL`. Pages: `ExAcquireResourceExclusiveLite`, `ExSetResourceOwnerPointer`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread has access of either kind.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn exclusive_handed_over<L: AtMost<Apc>>(
        &self,
        irql: &mut Irql<'_, L>,
    ) -> Result<HandedOver<&Self>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        HandedOver::acquire(self, irql)
    }

    /// Runs `f` with the data, shared. Unlike a guard, this cannot be forgotten.
    ///
    /// IRQL: `<= APC_LEVEL`.
    ///
    /// # Errors
    ///
    /// As for [`shared`](Self::shared).
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with_shared<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&T, &mut Irql<'_, Under<L, K>>) -> R,
    ) -> Result<R, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let mut guard = self.shared(irql)?;
        let (data, irql) = guard.parts();
        Ok(f(data, irql))
    }

    /// Runs `f` with the data, exclusive. Unlike a guard, this cannot be forgotten.
    ///
    /// IRQL: `<= APC_LEVEL`.
    ///
    /// # Errors
    ///
    /// As for [`exclusive`](Self::exclusive).
    ///
    /// ```
    /// use wdk_sync::{NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPaged::pin_init(Resource::new(1))?;
    /// let before = table.with_exclusive(irql, |number, _irql| core::mem::replace(number, 2));
    /// assert_eq!(before, Ok(1));
    /// assert_eq!(table.with_shared(irql, |number, _irql| *number), Ok(2));
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with_exclusive<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Under<L, K>>) -> R,
    ) -> Result<R, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let mut guard = self.exclusive(irql)?;
        let (data, irql) = guard.parts();
        Ok(f(data, irql))
    }

    /// As [`exclusive_handed_over`](Self::exclusive_handed_over), for a thread that outlives the
    /// function: the access keeps the resource alive.
    ///
    /// IRQL: `<= APC_LEVEL`. Pages: `ExAcquireResourceExclusiveLite`, `ExSetResourceOwnerPointer`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread has access of either kind.
    ///
    /// ```
    /// use wdk_sync::{NonPagedArc, Resource, Thread};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPagedArc::pin_init(Resource::new([0u32; 8]))?;
    /// let mut access = Resource::exclusive_handed_over_by_arc(table.clone(), irql)
    ///     .expect("not owned by this thread");
    /// let thread = Thread::spawn(irql, move |_irql| access[0] = 1)?;
    /// // Waits until the other thread has released what this one acquired.
    /// assert_eq!(table.shared(irql).expect("not owned by this thread")[0], 1);
    /// thread.join(irql);
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn exclusive_handed_over_by_arc<L: AtMost<Apc>>(
        resource: NonPagedArc<Self>,
        irql: &mut Irql<'_, L>,
    ) -> Result<HandedOver<NonPagedArc<Self>>, AlreadyOwned>
    where
        T: Sized,
        L::Held: Before<K>,
    {
        HandedOver::acquire(resource, irql)
    }

    /// Makes the resource as it was when it was new, but for the memory that contention gave it: a
    /// deletion, and an initialisation that cannot fail. The contention count is zero again.
    ///
    /// The data stays. A resource that is owned, by a guard that was forgotten, is bug check 0xC4
    /// (0x100B) as in its drop.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExReinitializeResourceLite`.
    ///
    /// ```
    /// use wdk_sync::{NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let mut table = NonPaged::pin_init(Resource::new(7))?;
    /// Resource::reinitialize(&mut table, irql);
    /// assert_eq!(table.contention_count(), 0);
    /// assert_eq!(*table.shared(irql).expect("not owned by this thread"), 7);
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    pub fn reinitialize<L: AtMost<Dispatch>>(resource: &mut NonPaged<Self>, _irql: &Irql<'_, L>)
    where
        T: Sized,
    {
        resource.raw.require_free();
        // SAFETY: The resource is initialised, nobody owns it, and nobody can be waiting, since it is
        // borrowed by nobody else. The function succeeds always.
        let _success = unsafe { nt::ExReinitializeResourceLite(resource.raw.get()) };
    }

    /// Refuses if this thread is an owner.
    fn refuse_owner(&self) -> Result<(), AlreadyOwned> {
        // SAFETY: The resource is initialised.
        if unsafe { nt::ExIsResourceAcquiredSharedLite(self.raw.get()) } == 0 {
            return Ok(());
        }
        Err(AlreadyOwned)
    }

    /// The resource is about to be asked for.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    fn acquiring(&self, how: How) -> Acquiring<'_> {
        self.class.acquiring(self.raw.get().cast(), how)
    }

    /// A guard of the shared access that was just acquired, unless this thread has exclusive access:
    /// the kernel lets that owner in.
    #[inline]
    fn shared_guard<'a, L: Level>(
        &'a self,
        asked: Acquiring<'a>,
    ) -> Result<SharedGuard<'a, T, L, K>, AlreadyOwned> {
        if self.exclusive.get() {
            // SAFETY: This thread has just acquired the resource, and makes no guard of that.
            unsafe { self.raw.release() };
            return Err(AlreadyOwned);
        }
        // SAFETY: Shared access was just acquired, in a critical region, and the IRQL stays.
        Ok(unsafe { Guard::new(self, (), asked.acquired()) })
    }

    #[inline]
    fn try_guard<'a, L: Level>(
        &'a self,
        acquired: bool,
        asked: Acquiring<'a>,
    ) -> Option<SharedGuard<'a, T, L, K>> {
        if !acquired {
            return None;
        }
        self.shared_guard(asked).ok()
    }

    /// A guard of the exclusive access that was just acquired, unless there is one: the kernel lets
    /// the owner in again.
    #[inline]
    fn exclusive_guard<'a, L: Level>(
        &'a self,
        asked: Acquiring<'a>,
    ) -> Result<ExclusiveGuard<'a, T, L, K>, AlreadyOwned> {
        if self.exclusive.replace(true) {
            // SAFETY: This thread has just acquired the resource, and makes no guard of that.
            unsafe { self.raw.release() };
            return Err(AlreadyOwned);
        }
        // SAFETY: Exclusive access was just acquired, in a critical region, and the IRQL stays.
        Ok(unsafe { Guard::new(self, (), asked.acquired()) })
    }
}

#[pinned_drop]
impl<T: ?Sized, K> PinnedDrop for Resource<T, K> {
    fn drop(self: Pin<&mut Self>) {
        held::require_irql(Apc::IRQL, Held::Resource, self.raw.get().cast());
        self.raw.require_free();
        // SAFETY: The resource is initialised, nobody owns it, and nobody can be waiting, since it is
        // borrowed by nobody.
        let _success = unsafe { nt::ExDeleteResourceLite(self.raw.get()) };
    }
}

impl<T: ?Sized, K> fmt::Debug for Resource<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").finish_non_exhaustive()
    }
}
