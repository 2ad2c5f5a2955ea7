//! What an acquisition of a [`Resource`] gives.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
};

use super::Resource;
use crate::{
    AlreadyOwned, Apc, AtMost, Before, Irql, Level, NonPagedArc, Rank, Unranked, current_irql,
    guard::{Exclusive, Guard, Lock, Release, Shared, sealed::Sealed},
    nt,
    region::leave_critical_region,
    track::How,
};

/// Shared access to the data of a [`Resource`]. Released, and the critical region left, when
/// dropped.
pub type SharedGuard<'a, T, L, K = Unranked> = Guard<'a, Resource<T, K>, (), Shared, L>;

/// Exclusive access to the data of a [`Resource`]. Released, and the critical region left, when
/// dropped.
pub type ExclusiveGuard<'a, T, L, K = Unranked> = Guard<'a, Resource<T, K>, (), Exclusive, L>;

impl<'a, T: ?Sized, L: Level, K> ExclusiveGuard<'a, T, L, K> {
    /// Goes from exclusive to shared access without letting go: others who wait for shared access
    /// come in.
    ///
    /// IRQL: `<= APC_LEVEL`, as when it was acquired. Page: `ExConvertExclusiveToSharedLite`.
    ///
    /// ```
    /// use wdk_sync::{NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPaged::pin_init(Resource::new(0))?;
    /// let mut writer = table.exclusive(irql).expect("not owned by this thread");
    /// *writer = 1;
    /// let mut reader = writer.downgrade();
    /// assert_eq!(*reader, 1);
    /// // Others may share it now, and this thread once more.
    /// assert!(table.try_shared(reader.irql()).is_some());
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub fn downgrade(self) -> SharedGuard<'a, T, L, K> {
        let (resource, (), mut acquired) = self.into_parts();
        acquired.converted(How::Shared);
        resource.exclusive.set(false);
        // SAFETY: This thread has exclusive access, acquired once, at an IRQL of at most APC_LEVEL
        // that has not changed.
        unsafe { nt::ExConvertExclusiveToSharedLite(resource.raw.get()) };
        // SAFETY: The exclusive access has become a shared one, and its guard is gone.
        unsafe { Guard::new(resource, (), acquired) }
    }
}

impl<T: ?Sized, K> Sealed for Resource<T, K> {}
impl<T: ?Sized, K> Lock for Resource<T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        &self.data
    }
}

impl<T: ?Sized, K> Release<Resource<T, K>, Shared> for () {
    #[inline]
    unsafe fn release(self, resource: &Resource<T, K>) {
        // SAFETY: The caller has acquired the resource, and this is the end of its guard.
        unsafe { resource.raw.release() };
    }
}

impl<T: ?Sized, K> Release<Resource<T, K>, Exclusive> for () {
    #[inline]
    unsafe fn release(self, resource: &Resource<T, K>) {
        resource.exclusive.set(false);
        // SAFETY: The caller has acquired the resource, and this is the end of its guard.
        unsafe { resource.raw.release() };
    }
}

/// What keeps a [`Resource`] alive for a [`HandedOver`]: a reference, or a [`NonPagedArc`] where it has
/// to be `'static`, as in a system thread.
///
/// # Safety
///
/// It gives the same resource whenever it is asked, and that stays where it is.
pub unsafe trait ResourceHolder:
    Deref<Target = Resource<Self::Data, Self::Rank>> + Sealed
{
    /// The data behind the resource.
    type Data: ?Sized;

    /// The rank of the resource.
    type Rank: Rank;
}

impl<T: ?Sized, K> Sealed for &Resource<T, K> {}
// SAFETY: A reference always gives the same resource, which is pinned.
unsafe impl<T: ?Sized, K: Rank> ResourceHolder for &Resource<T, K> {
    type Data = T;
    type Rank = K;
}

impl<T, K> Sealed for NonPagedArc<Resource<T, K>> {}
// SAFETY: An owner always gives the same resource, which is pinned.
unsafe impl<T, K: Rank> ResourceHolder for NonPagedArc<Resource<T, K>> {
    type Data = T;
    type Rank = K;
}

/// Exclusive access to the data of a [`Resource`] that belongs to no thread. Released when dropped,
/// on whatever thread, at `IRQL <= DISPATCH_LEVEL`.
///
/// Who has it waits for itself if it asks the resource for access: the kernel does not know it as an
/// owner. Of shared access there is no such form, because the kernel hands over all shared
/// acquisitions of a thread at once.
///
/// Pages: `ExSetResourceOwnerPointer`, `ExReleaseResourceForThreadLite`.
///
/// ```
/// use wdk_sync::{NonPaged, Resource};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let table = NonPaged::pin_init(Resource::new(0))?;
/// let mut access = table.exclusive_handed_over(irql).expect("not owned by this thread");
/// *access = 1;
/// // It is no thread's: this one would wait for it as any other.
/// assert!(table.try_shared(irql).is_none());
/// drop(access);
/// assert_eq!(table.try_shared(irql).as_deref(), Some(&1));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[must_use = "the access is released as soon as it is dropped"]
pub struct HandedOver<H: ResourceHolder> {
    resource: H,
}

impl<H: ResourceHolder> HandedOver<H> {
    /// Waits for exclusive access and takes it from this thread, which leaves its critical region.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub(super) fn acquire<L: AtMost<Apc>>(
        resource: H,
        irql: &mut Irql<'_, L>,
    ) -> Result<Self, AlreadyOwned>
    where
        L::Held: Before<H::Rank>,
    {
        let raw = &resource.raw;
        {
            // The access belongs to no thread from here on, so what was acquired is recorded as
            // released.
            let (_resource, (), _acquired) = resource.exclusive(irql)?.into_parts();
        }
        // SAFETY: This thread has exclusive access, acquired once. The owner pointer is made of the
        // address of the resource, which stays until the access is released, and is used for nothing
        // else: there is one exclusive owner.
        unsafe { nt::ExSetResourceOwnerPointer(raw.get(), raw.owner_pointer()) };
        leave_critical_region();
        Ok(Self { resource })
    }
}

impl<H: ResourceHolder> Deref for HandedOver<H> {
    type Target = H::Data;

    fn deref(&self) -> &H::Data {
        // SAFETY: This is the only access, so nothing else changes the data.
        unsafe { &*self.resource.data.get() }
    }
}

impl<H: ResourceHolder> DerefMut for HandedOver<H> {
    fn deref_mut(&mut self) -> &mut H::Data {
        // SAFETY: This is the only access, so nothing else reaches the data, and it is borrowed
        // through `&mut self`.
        unsafe { &mut *self.resource.data.get() }
    }
}

impl<H: ResourceHolder> Drop for HandedOver<H> {
    fn drop(&mut self) {
        let raw = &self.resource.raw;
        let owner = raw.owner_pointer() as nt::ERESOURCE_THREAD;
        self.resource.exclusive.set(false);
        // A release is to be without normal kernel APCs, which the level keeps away from APC_LEVEL on.
        let region = current_irql() < Apc::IRQL;
        if region {
            // SAFETY: The IRQL is below APC_LEVEL.
            unsafe { nt::KeEnterCriticalRegion() };
        }
        // SAFETY: The access was given to this owner pointer and is released once. Code that runs
        // above DISPATCH_LEVEL has no values of this crate.
        unsafe { nt::ExReleaseResourceForThreadLite(raw.get(), owner) };
        if region {
            leave_critical_region();
        }
    }
}

impl<H: ResourceHolder<Data: fmt::Debug>> fmt::Debug for HandedOver<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
