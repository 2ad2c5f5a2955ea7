//! What is held now, for whoever asks from outside.

use core::panic::Location;

use super::context::{Hold, Owner, all_holds};
use crate::track::LockClass;

/// A lock that was held when this was made, and by whom.
#[derive(Clone, Copy)]
pub struct Holding {
    owner: Owner,
    class: LockClass,
    hold: Hold,
}

impl Holding {
    /// The address of the lock.
    #[must_use]
    pub fn object(&self) -> usize {
        self.hold.object.addr()
    }

    /// Its class.
    #[must_use]
    pub const fn class(&self) -> LockClass {
        self.class
    }

    /// The address of the thread's object; `None` in a DPC.
    #[must_use]
    pub const fn thread(&self) -> Option<usize> {
        match self.owner.thread() {
            0 => None,
            thread => Some(thread),
        }
    }

    /// Whether others may hold it, too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.hold.shared
    }

    /// Where it was asked for.
    #[must_use]
    pub const fn site(&self) -> &'static Location<'static> {
        self.hold.site
    }
}

/// The locks that are held now, by thread and in the order in which it acquired them.
///
/// Whoever holds them goes on meanwhile: what is told was so at some moment, each lock at its own, and
/// what changes while it is looked at is left out. For a look at who stands in whose way, not for
/// decisions.
///
/// IRQL: any.
///
/// ```
/// use wdk_sync::{SpinLock, lockdep};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let lock = SpinLock::new(1);
/// let held = lock.with(irql, |_, _| lockdep::held().any(|it| it.class().kind().name() == "KSPIN_LOCK"));
/// assert!(held);
/// # });
/// ```
pub fn held() -> impl Iterator<Item = Holding> {
    all_holds().filter_map(|(owner, hold)| {
        let class = hold.class.class()?;
        Some(Holding { owner, class, hold })
    })
}
