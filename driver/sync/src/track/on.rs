//! One of the features on, or both.

use core::{
    any::type_name,
    marker::PhantomData,
    panic::Location,
    sync::atomic::{AtomicU16, Ordering},
};

use super::{
    How, Kind,
    classes::{self, ClassId, Name},
};
#[cfg(feature = "lock_stat")]
use crate::lock_stat;
#[cfg(feature = "lockdep")]
use crate::lockdep;
use crate::{Dispatch, Level, current_irql};

/// What the locks that one line of source made have in common; a field of every lock.
pub struct Class {
    name: Name,
    kind: Kind,
    site: &'static Location<'static>,
    /// 0: not looked up yet. [`NO_ROOM`]: the table is full. Else the index, plus 1.
    id: AtomicU16,
    #[cfg(feature = "lock_stat")]
    pub(crate) users: lock_stat::Users,
}

const NO_ROOM: u16 = u16::MAX;

impl Class {
    /// The class of the locks that the caller's caller makes around a `T`.
    #[track_caller]
    pub(crate) const fn new<T: ?Sized>(kind: Kind) -> Self {
        Self::with_name(kind, Name::OfType(type_name::<T>))
    }

    /// The class of a driver's own locks.
    #[cfg(feature = "lockdep")]
    #[track_caller]
    pub(crate) const fn named(name: &'static str) -> Self {
        Self::with_name(Kind::Own, Name::Given(name))
    }

    #[track_caller]
    const fn with_name(kind: Kind, name: Name) -> Self {
        Self {
            name,
            kind,
            site: Location::caller(),
            id: AtomicU16::new(0),
            #[cfg(feature = "lock_stat")]
            users: lock_stat::Users::new(),
        }
    }

    /// The lock at `object` is about to be asked for.
    #[track_caller]
    pub(crate) fn acquiring(&self, object: *const (), how: How) -> Acquiring<'_> {
        let id = self.id();
        #[cfg(not(feature = "lockdep"))]
        let _ = object;
        Acquiring {
            #[cfg(feature = "lockdep")]
            order: lockdep::Ask::new(id, object, how, Location::caller()),
            #[cfg(feature = "lock_stat")]
            time: lock_stat::Ask::new(id, &self.users, self.kind, how),
            lock: PhantomData,
        }
    }

    /// The number of the class; `None` if there is no room for it, or above `DISPATCH_LEVEL`, where
    /// nothing is recorded.
    fn id(&self) -> Option<ClassId> {
        match self.id.load(Ordering::Relaxed) {
            _ if current_irql() > Dispatch::IRQL => None,
            NO_ROOM => None,
            0 => {
                let id = classes::register(self.name, self.kind, self.site, 0);
                let known = id.and_then(|id| u16::try_from(id.index() + 1).ok());
                self.id.store(known.unwrap_or(NO_ROOM), Ordering::Relaxed);
                id
            }
            known => ClassId::from_index(usize::from(known - 1)),
        }
    }
}

/// A lock that is asked for. Dropped, it was not acquired.
#[must_use = "the lock is recorded as not acquired if this is dropped"]
pub struct Acquiring<'a> {
    #[cfg(feature = "lockdep")]
    order: lockdep::Ask,
    #[cfg(feature = "lock_stat")]
    time: lock_stat::Ask<'a>,
    lock: PhantomData<&'a Class>,
}

impl<'a> Acquiring<'a> {
    /// The lock is held now.
    pub fn acquired(self) -> Acquired<'a> {
        Acquired {
            #[cfg(feature = "lockdep")]
            order: self.order.acquired(),
            #[cfg(feature = "lock_stat")]
            time: self.time.acquired(),
            lock: PhantomData,
        }
    }
}

/// A lock that is held. Its drop, before the lock is released, says that it is released.
#[must_use = "the lock is recorded as released when this is dropped"]
pub struct Acquired<'a> {
    #[cfg(feature = "lockdep")]
    order: lockdep::Held,
    #[cfg(feature = "lock_stat")]
    time: lock_stat::Held<'a>,
    lock: PhantomData<&'a Class>,
}

impl Acquired<'_> {
    /// The exclusive access has become a shared one, or the other way round.
    pub fn converted(&mut self, to: How) {
        #[cfg(feature = "lockdep")]
        self.order.converted(to);
        #[cfg(feature = "lock_stat")]
        self.time.converted(to);
    }
}
