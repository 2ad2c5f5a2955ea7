//! What happens when a lock is asked for, acquired and released, and when a thread ends.

use core::{panic::Location, sync::atomic::Ordering};

use super::{
    Problem,
    context::{Context, Hold, Owner},
    edges::{self, Link},
    report,
};
use crate::{
    Dispatch, Level, current_irql,
    track::{self, ClassId, How, Kind},
};

/// A lock that is asked for.
pub struct Ask {
    /// `None`: nothing is recorded.
    asked: Option<Asked>,
}

struct Asked {
    owner: Owner,
    lock: Hold,
    how: How,
}

impl Ask {
    /// Before the kernel is asked: a deadlock that follows has been reported by then.
    pub(crate) fn new(
        class: Option<ClassId>,
        object: *const (),
        how: How,
        site: &'static Location<'static>,
    ) -> Self {
        let asked = class.zip(Owner::current()).and_then(|(class, owner)| {
            let context = owner.context();
            let lock = Hold {
                object,
                class: context.map_or(Some(class), |context| context.nested_class(class))?,
                shared: how.is_shared(),
                site,
            };
            let asked = Asked { owner, lock, how };
            if let Some(context) = context
                && how.waits()
            {
                asked.check(context);
            }
            Some(asked)
        });
        Self { asked }
    }

    /// The kernel has given the lock.
    pub(crate) fn acquired(self) -> Held {
        let held = self.asked.and_then(|asked| {
            asked.note_level();
            let recorded = asked.owner.push(asked.lock);
            recorded.then_some((asked.owner, asked.lock.object))
        });
        Held { held }
    }
}

impl Asked {
    /// Looks at each lock that is held, and so below this one.
    fn check(&self, context: &Context) {
        if let Some(own) = context.holds().find(|hold| hold.object == self.lock.object) {
            if !self.is_answered() {
                report::add(Problem::SameLock, self.under(&own));
            }
            // Whoever holds it does not wait for it, or waits for himself alone.
            return;
        }
        for held in context.holds() {
            let link = self.under(&held);
            if held.class != self.lock.class {
                edges::add(link);
            } else if !(link.held_shared && link.asked_ahead) {
                report::add(Problem::SameClass, link);
            }
        }
    }

    /// Whether the kernel or this crate gives the owner of such a lock an answer instead of letting
    /// it wait.
    fn is_answered(&self) -> bool {
        let kind = self.lock.class.entry().map(track::Entry::kind);
        matches!(
            kind,
            Some(Kind::Mutex | Kind::RecursiveMutex | Kind::Resource)
        )
    }

    fn under(&self, held: &Hold) -> Link {
        Link {
            held: held.class,
            asked: self.lock.class,
            held_shared: held.shared,
            asked_ahead: self.how == How::SharedAhead,
            held_site: held.site,
            asked_site: self.lock.site,
            irql: current_irql(),
            thread: self.owner.thread(),
        }
    }

    /// The level is that at which the lock is held.
    fn note_level(&self) {
        let in_dpc = self.owner.is_dpc();
        if in_dpc || current_irql() < Dispatch::IRQL {
            report::note_level(self.lock.class, in_dpc, || self.under(&self.lock));
        }
    }
}

/// A lock that is held; released when dropped.
pub struct Held {
    /// `None`: it was not recorded.
    held: Option<(Owner, *const ())>,
}

impl Held {
    pub(crate) fn converted(&self, to: How) {
        if let Some((object, context)) = self.find() {
            context.set_shared(object, to.is_shared());
        }
    }

    fn find(&self) -> Option<(*const (), &'static Context)> {
        let (owner, object) = self.held?;
        Some((object, owner.context()?))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((object, context)) = self.find() {
            context.remove(object);
        }
    }
}

/// Says that the current thread, DPC or dispatch routine ends here, and must hold nothing.
///
/// What is held all the same is reported ([`Problem::HeldAtEnd`]) and forgotten.
///
/// Threads, timers and DPCs of this crate do it by themselves.
///
/// IRQL: any; above `DISPATCH_LEVEL` nothing is known to be held.
#[track_caller]
pub fn thread_ends() {
    let Some(owner) = Owner::current() else {
        return;
    };
    let Some(context) = owner.context() else {
        return;
    };
    for hold in context.holds() {
        let link = Link {
            held: hold.class,
            asked: hold.class,
            held_shared: hold.shared,
            asked_ahead: false,
            held_site: hold.site,
            asked_site: Location::caller(),
            irql: current_irql(),
            thread: owner.thread(),
        };
        report::add(Problem::HeldAtEnd, link);
    }
    context.clear();
}

/// Says that what `f` acquires is so deep inside others of its class.
///
/// A driver that takes two locks of a class has an order among them: by address, from parent to child.
/// With this, those that are taken in `f` count as a class of their own, and there is no
/// [`Problem::SameClass`]. If the order is broken somewhere, there is a cycle again.
///
/// Guards may leave `f`. A `level` of 0 is that outside; where nothing is held, nothing is inside it.
///
/// ```
/// use wdk_sync::{SpinLock, lockdep};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let accounts = [const { SpinLock::new(100) }; 2];
/// accounts[0].with(irql, |from, irql| {
///     // The order is that of the index.
///     lockdep::nested(1, || accounts[1].with(irql, |to, _| (*from, *to) = (*from - 1, *to + 1)));
/// });
/// assert_eq!(lockdep::reports().count(), 0);
/// # });
/// ```
pub fn nested<R>(level: u8, f: impl FnOnce() -> R) -> R {
    /// Sets the level back, when `f` unwinds too.
    struct Restore(&'static Context, u8);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.nest.store(self.1, Ordering::Relaxed);
        }
    }
    let context = Owner::current().and_then(Owner::context);
    let _restore =
        context.map(|context| Restore(context, context.nest.swap(level, Ordering::Relaxed)));
    f()
}

impl Context {
    /// The class that a lock counts as here; `None` if there is no room for it.
    fn nested_class(&self, class: ClassId) -> Option<ClassId> {
        match self.nest.load(Ordering::Relaxed) {
            0 => Some(class),
            level => track::nested(class, level),
        }
    }
}
