//! A second thread for a test.

use wdk_sync::{
    Apc, AtMost, Dispatch, Event, Irql, NonPagedArc, Passive, Signal, Status, Thread, Timeout,
    WaitStatus,
};

use super::patience::PATIENCE;

/// Runs `f` on another thread and gives what it gives.
pub fn elsewhere<R: Send + 'static>(
    irql: &mut Irql<'_, Passive>,
    f: impl FnOnce(&mut Irql<'_, Passive>) -> R + Send + 'static,
) -> Result<R, Status> {
    let thread = Thread::spawn(irql, f)?;
    thread.join(irql).ok_or(Status::INVALID_DEVICE_STATE)
}

/// A thread that gets somewhere, says so, waits until it may go on, and ends.
pub struct Peer<R> {
    thread: Thread<R>,
    there: NonPagedArc<Event>,
    go_on: NonPagedArc<Event>,
}

/// What the thread of a [`Peer`] says and waits for.
pub struct Baton {
    there: NonPagedArc<Event>,
    go_on: NonPagedArc<Event>,
}

impl<R: Send + 'static> Peer<R> {
    /// Starts the thread.
    pub fn start(
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Irql<'_, Passive>, &Baton) -> R + Send + 'static,
    ) -> Result<Self, Status> {
        let there = NonPagedArc::pin_init(Event::new(Signal::Notification, false))?;
        let go_on = NonPagedArc::pin_init(Event::new(Signal::Notification, false))?;
        let baton = Baton {
            there: there.clone(),
            go_on: go_on.clone(),
        };
        let thread = Thread::spawn(irql, move |irql| f(irql, &baton))?;
        Ok(Self {
            thread,
            there,
            go_on,
        })
    }

    /// Starts the thread and waits until it says that it is there.
    pub fn start_and_meet(
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Irql<'_, Passive>, &Baton) -> R + Send + 'static,
    ) -> Result<Self, Status> {
        let peer = Self::start(irql, f)?;
        if peer.is_there(irql) {
            Ok(peer)
        } else {
            Err(Status::INVALID_DEVICE_STATE)
        }
    }

    /// Waits until the thread says that it is there.
    pub fn is_there(&self, irql: &mut Irql<'_, Passive>) -> bool {
        self.there.wait(irql, Timeout::After(PATIENCE)) == WaitStatus::Acquired
    }

    /// Whether the thread has ended.
    pub fn has_ended<L: AtMost<Apc>>(&self, irql: &mut Irql<'_, L>) -> bool {
        self.thread.has_ended(irql)
    }

    /// Lets the thread go on.
    pub fn let_go<L: AtMost<Dispatch>>(&self, irql: &Irql<'_, L>) {
        self.go_on.set(irql);
    }

    /// Lets the thread go on, waits for its end, and gives its result.
    pub fn finish(self, irql: &mut Irql<'_, Passive>) -> Result<R, Status> {
        self.let_go(irql);
        self.thread.join(irql).ok_or(Status::INVALID_DEVICE_STATE)
    }
}

impl Baton {
    /// Says that the thread is there.
    pub fn there<L: AtMost<Dispatch>>(&self, irql: &Irql<'_, L>) {
        self.there.set(irql);
    }

    /// Says so, and waits until the thread may go on; not for ever, so that a test that gave up
    /// leaves no thread behind.
    pub fn there_until_told<L>(&self, irql: &mut Irql<'_, L>)
    where
        L: AtMost<Apc> + AtMost<Dispatch>,
    {
        self.there(irql);
        let _told = self.go_on.wait(irql, Timeout::After(PATIENCE));
    }
}
