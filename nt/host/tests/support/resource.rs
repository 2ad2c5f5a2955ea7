//! An ERESOURCE and its owners.

use std::thread;

use super::*;

/// An ERESOURCE, which its test deletes.
pub struct Resource(pub Object<ERESOURCE>);

impl Resource {
    pub fn new() -> Self {
        let resource = Self(Object::default());
        assert_eq!(
            nt!(ExInitializeResourceLite(resource.get())),
            STATUS_SUCCESS
        );
        resource
    }

    pub fn get(&self) -> PERESOURCE {
        self.0.get()
    }

    pub fn exclusive(&self, wait: BOOLEAN) -> BOOLEAN {
        nt!(ExAcquireResourceExclusiveLite(self.get(), wait))
    }

    pub fn shared(&self, wait: BOOLEAN) -> BOOLEAN {
        nt!(ExAcquireResourceSharedLite(self.get(), wait))
    }

    pub fn starve(&self, wait: BOOLEAN) -> BOOLEAN {
        nt!(ExAcquireSharedStarveExclusive(self.get(), wait))
    }

    pub fn polite(&self, wait: BOOLEAN) -> BOOLEAN {
        nt!(ExAcquireSharedWaitForExclusive(self.get(), wait))
    }

    pub fn release(&self) {
        nt!(ExReleaseResourceLite(self.get()));
    }

    pub fn waiters(&self) -> (ULONG, ULONG) {
        (
            nt!(ExGetSharedWaiterCount(self.get())),
            nt!(ExGetExclusiveWaiterCount(self.get())),
        )
    }

    pub fn await_waiters(&self, waiters: (ULONG, ULONG)) {
        while self.waiters() != waiters {
            thread::yield_now();
        }
    }

    /// Whether the caller owns it exclusively, and how often it has acquired it at all.
    pub fn mine(&self) -> (BOOLEAN, ULONG) {
        (
            nt!(ExIsResourceAcquiredExclusiveLite(self.get())),
            nt!(ExIsResourceAcquiredSharedLite(self.get())),
        )
    }

    pub fn delete(&self) {
        assert_eq!(nt!(ExDeleteResourceLite(self.get())), STATUS_SUCCESS);
    }
}

/// In a critical region, as every owner must be.
pub fn protected<T>(body: impl FnOnce() -> T) -> T {
    nt!(KeEnterCriticalRegion());
    let value = body();
    nt!(KeLeaveCriticalRegion());
    value
}

/// Runs the closure on another thread to its end, in a critical region.
pub fn elsewhere<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(|| protected(body)).join().expect("no panic"))
}
