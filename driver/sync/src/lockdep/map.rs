//! Locks that this crate did not make.

use core::fmt;

use crate::track::{Acquiring, Class, How};

/// Tells `lockdep` of a lock of a driver's own: one that calls the kernel itself, a flag that
/// threads wait for, anything that keeps its askers waiting until its holder lets go.
///
/// It stays beside the lock, in the same structure: its address is what the lock is known by.
///
/// IRQL: as for the lock; nothing is recorded above `DISPATCH_LEVEL`.
///
/// ```
/// use wdk_sync::lockdep::{How, Map};
///
/// static HARDWARE: Map = Map::new("the adapter's register window");
///
/// let asked = HARDWARE.acquiring(How::Exclusive);
/// // Now it is waited for. If that fails, `asked` is dropped; or else:
/// let held = asked.acquired();
/// // Now it is used, until just before it is released:
/// drop(held);
/// ```
pub struct Map {
    class: Class,
}

impl Map {
    /// The map of a lock of this name. All locks of a name whose maps are made by one line are a
    /// class.
    #[must_use]
    #[track_caller]
    pub const fn new(name: &'static str) -> Self {
        Self {
            class: Class::named(name),
        }
    }

    /// To be called before the lock is asked for; what comes back is told how that went.
    #[track_caller]
    pub fn acquiring(&self, how: How) -> Acquiring<'_> {
        self.class.acquiring((&raw const *self).cast(), how)
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}
