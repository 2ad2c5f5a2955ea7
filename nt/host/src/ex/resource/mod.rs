//! ERESOURCEs: locks that one thread owns exclusively or several share.
//!
//! The whole state lies in the driver's memory, laid out as on Windows, and is guarded by the dispatcher
//! lock (the `SpinLock` member stays free). Who releases a resource hands it to those who wait, as the
//! kernel of Windows does: after an exclusive owner come all who wait to share it, after the last of those
//! who share it comes one who waits for exclusive access. So neither kind can starve the other.
//!
//! `state` holds the structure and its owners, `registered` which there are, `acquire`, `release` and `manage` the functions.

mod acquire;
mod manage;
mod registered;
mod release;
mod state;

pub use self::{
    acquire::{
        ExAcquireResourceExclusiveLite, ExAcquireResourceSharedLite,
        ExAcquireSharedStarveExclusive, ExAcquireSharedWaitForExclusive,
        ExEnterCriticalRegionAndAcquireResourceExclusive,
        ExEnterCriticalRegionAndAcquireResourceShared,
        ExEnterCriticalRegionAndAcquireSharedWaitForExclusive, ExTryToAcquireResourceExclusiveLite,
    },
    manage::{
        ExDeleteResourceLite, ExDisableResourceBoostLite, ExGetExclusiveWaiterCount,
        ExGetSharedWaiterCount, ExInitializeResourceLite, ExIsResourceAcquiredExclusiveLite,
        ExIsResourceAcquiredSharedLite, ExReinitializeResourceLite, ExSetResourceOwnerPointer,
        ExSetResourceOwnerPointerEx, ResourceInfo, resources,
    },
    release::{
        ExConvertExclusiveToSharedLite, ExReleaseResourceAndLeaveCriticalRegion,
        ExReleaseResourceForThreadLite, ExReleaseResourceLite,
    },
};
pub(crate) use self::{
    manage::{forget, list_head, owned_by, owners},
    registered::Registered,
};
use crate::export::exports;

exports!("ntoskrnl.exe";
    ExAcquireResourceExclusiveLite, ExAcquireResourceSharedLite, ExAcquireSharedStarveExclusive,
    ExAcquireSharedWaitForExclusive, ExConvertExclusiveToSharedLite, ExDeleteResourceLite,
    ExDisableResourceBoostLite, ExEnterCriticalRegionAndAcquireResourceExclusive,
    ExEnterCriticalRegionAndAcquireResourceShared,
    ExEnterCriticalRegionAndAcquireSharedWaitForExclusive, ExGetExclusiveWaiterCount,
    ExGetSharedWaiterCount, ExInitializeResourceLite, ExIsResourceAcquiredExclusiveLite,
    ExIsResourceAcquiredSharedLite, ExReinitializeResourceLite,
    ExReleaseResourceAndLeaveCriticalRegion, ExReleaseResourceForThreadLite, ExReleaseResourceLite,
    ExSetResourceOwnerPointer, ExSetResourceOwnerPointerEx, ExTryToAcquireResourceExclusiveLite,
);
