//! An `ERESOURCE` without its data: the kernel's functions on it.

use pinned_init::PinInit;

use crate::{
    Apc, AtMost, Irql, Status,
    dispatcher::KernelObject,
    held::{self, Held},
    nt,
    region::{enter_critical_region, leave_critical_region},
};

/// An initialiser of a free `ERESOURCE`.
pub fn free_resource() -> impl PinInit<KernelObject<nt::ERESOURCE>, Status> {
    let init = |resource| {
        // SAFETY: The place is valid for an ERESOURCE, aligned and resident, and holds no resource
        // that is still in the kernel's list.
        Status::from_raw(unsafe { nt::ExInitializeResourceLite(resource) }).ok()
    };
    // SAFETY: On success ExInitializeResourceLite has initialised the whole object.
    unsafe { KernelObject::try_new(init) }
}

/// One of the kernel's ways to acquire an `ERESOURCE`.
#[derive(Clone, Copy)]
pub enum Way {
    /// Behind those who wait for exclusive access, but for a shared owner.
    Shared,
    /// Ahead of those who wait for exclusive access.
    StarveExclusive,
    /// Behind those who wait for exclusive access, a shared owner too.
    WaitForExclusive,
    /// Alone.
    Exclusive,
}

impl KernelObject<nt::ERESOURCE> {
    /// Enters a critical region and acquires, which always comes to something with `wait`. Where it
    /// does not, the region is left again.
    #[inline]
    pub fn acquire<L: AtMost<Apc>>(
        &self,
        irql: &mut Irql<'_, L>,
        way: Way,
        wait: nt::BOOLEAN,
    ) -> bool {
        let function = match way {
            Way::Shared => nt::ExAcquireResourceSharedLite,
            Way::StarveExclusive => nt::ExAcquireSharedStarveExclusive,
            Way::WaitForExclusive => nt::ExAcquireSharedWaitForExclusive,
            Way::Exclusive => nt::ExAcquireResourceExclusiveLite,
        };
        enter_critical_region(irql);
        // SAFETY: The resource is initialised. This is in a critical region, at an IRQL that the token
        // says is at most APC_LEVEL.
        let acquired = unsafe { function(self.get(), wait) } != nt::FALSE;
        if wait == nt::FALSE && !acquired {
            leave_critical_region();
        }
        acquired
    }

    /// Releases, and leaves the critical region.
    ///
    /// # Safety
    ///
    /// This thread has acquired the resource by the function above and releases that acquisition once;
    /// the IRQL is what it was then.
    #[inline]
    pub unsafe fn release(&self) {
        // SAFETY: The caller vouches for the acquisition, in whose critical region this is.
        unsafe { nt::ExReleaseResourceLite(self.get()) };
        leave_critical_region();
    }

    /// The address of the resource with both low bits set, which tell an owner pointer from a thread.
    pub const fn owner_pointer(&self) -> nt::PVOID {
        self.get().wrapping_byte_add(3).cast()
    }

    /// How often someone had to wait for the resource.
    pub fn contention_count(&self) -> u32 {
        // SAFETY: `ContentionCount` is a member of the resource, declared in `wdm.h`.
        let count = unsafe { &raw const (*self.get()).ContentionCount };
        // SAFETY: It holds an integer, which is read whole while the kernel counts.
        unsafe { count.read_volatile() }
    }

    /// Whether any thread owns the resource. The kernel has no function that asks for all threads;
    /// these members are declared in `wdm.h`, and nobody changes them while the resource is dropped.
    fn is_owned(&self) -> bool {
        // SAFETY: `ActiveEntries` is a member of the resource.
        let entries = unsafe { &raw const (*self.get()).ActiveEntries };
        // SAFETY: `ActiveCount` is a member of the resource.
        let count = unsafe { &raw const (*self.get()).ActiveCount };
        // SAFETY: It holds an integer.
        let entries = unsafe { entries.read_volatile() };
        // SAFETY: It holds an integer.
        let count = unsafe { count.read_volatile() };
        entries != 0 || count != 0
    }

    /// Stops the system if the resource is owned, before it goes away.
    pub fn require_free(&self) {
        if self.is_owned() {
            held::stop(Held::Resource, self.get().cast());
        }
    }
}
