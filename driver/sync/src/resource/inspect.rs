//! What the kernel tells of a [`Resource`].

use super::Resource;
use crate::{AtMost, Dispatch, Irql, Rank, nt};

impl<T: ?Sized, K: Rank> Resource<T, K> {
    /// How many wait for shared access; an estimate by the time that it is read.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExGetSharedWaiterCount`.
    pub fn shared_waiters<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> u32 {
        // SAFETY: The resource is initialised.
        unsafe { nt::ExGetSharedWaiterCount(self.raw.get()) }
    }

    /// How many wait for exclusive access; an estimate by the time that it is read.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExGetExclusiveWaiterCount`.
    pub fn exclusive_waiters<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> u32 {
        // SAFETY: The resource is initialised.
        unsafe { nt::ExGetExclusiveWaiterCount(self.raw.get()) }
    }

    /// How often this thread has acquired the resource, shared and exclusive together.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExIsResourceAcquiredSharedLite`.
    ///
    /// ```
    /// use wdk_sync::{NonPaged, Resource};
    ///
    /// # wdk_sync::testing::at_passive_level(|irql| {
    /// let table = NonPaged::pin_init(Resource::new(0))?;
    /// let mut outer = table.shared(irql).expect("not owned by this thread");
    /// let mut inner = table.shared(outer.irql()).expect("shared in shared");
    /// assert_eq!(table.acquisitions(inner.irql()), 2);
    /// assert!(!table.is_exclusive(inner.irql()));
    /// # Ok::<(), wdk_sync::Status>(())
    /// # }).unwrap();
    /// ```
    pub fn acquisitions<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> u32 {
        // SAFETY: The resource is initialised.
        unsafe { nt::ExIsResourceAcquiredSharedLite(self.raw.get()) }
    }

    /// Whether this thread has exclusive access.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExIsResourceAcquiredExclusiveLite`.
    pub fn is_exclusive<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: The resource is initialised.
        unsafe { nt::ExIsResourceAcquiredExclusiveLite(self.raw.get()) != 0 }
    }

    /// The address of the `ERESOURCE`, for whoever looks at it in a debugger: what `!locks` and
    /// `dt nt!_ERESOURCE` take.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.get().addr()
    }

    /// How often someone had to wait for the resource, as the kernel counts it: `Contention Count`
    /// of `!locks`.
    #[must_use]
    pub fn contention_count(&self) -> u32 {
        self.raw.contention_count()
    }
}
