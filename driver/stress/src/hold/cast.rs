//! The threads of a pattern.

use alloc::vec::Vec;
use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use pinned_init::{pin_data, pin_init};
use syncstress_protocol::MAX_HELD_THREADS;
use wdk_sync::{
    Apc, AtMost, Dispatch, Event, Instant, Irql, NonPagedArc, Passive, Signal, Status, Thread,
    Timeout, WaitStatus, sleep,
};

/// Long enough for a thread to get its turn on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a thread that stays can be blind to what no event tells it.
const A_LOOK: Duration = Duration::from_millis(20);

/// The threads of a pattern, owners before those who wait. They are let go and joined in this order,
/// at the latest when this is dropped; nobody can be left waiting for an owner that stays.
#[derive(Default)]
pub struct Cast(Vec<Member>);

/// What a thread of a pattern waits for, and says.
#[pin_data]
pub struct Cue {
    /// Signaled when the thread owns what it was to own.
    #[pin]
    there: Event,
    /// Signaled when it is to let go, after `over` was set.
    #[pin]
    let_go: Event,
    over: AtomicBool,
}

struct Member {
    thread: Thread<()>,
    cue: NonPagedArc<Cue>,
}

impl Cast {
    /// Starts a thread that is to own something and to [`stay`](Cue::stay) then, and waits until it
    /// does. Gives its address.
    pub fn owner(
        &mut self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Irql<'_, Passive>, &Cue) + Send + 'static,
    ) -> Result<u64, Status> {
        let member = self.start(irql, f)?;
        member.arrives(irql)?;
        Ok(member.address())
    }

    /// Starts a thread that is to wait for something, and waits until `waits` says that it does. Gives
    /// its address.
    pub fn waiter(
        &mut self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Irql<'_, Passive>, &Cue) + Send + 'static,
        mut waits: impl FnMut(&Irql<'_, Passive>) -> bool,
    ) -> Result<u64, Status> {
        let address = self.start(irql, f)?.address();
        let start = Instant::now();
        while !waits(irql) {
            if start.elapsed() > PATIENCE {
                return Err(Status::INVALID_DEVICE_STATE);
            }
            sleep(irql, Duration::from_millis(1));
        }
        Ok(address)
    }

    /// Waits until everybody owns what he was to own, those who had to wait for it, too.
    pub fn all_are_there(&self, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
        self.0.iter().try_for_each(|member| member.arrives(irql))
    }

    /// Lets everybody go, in order, and waits for their ends.
    pub fn release(&mut self, irql: &mut Irql<'_, Passive>) {
        for member in &self.0 {
            member.cue.over.store(true, Ordering::Relaxed);
            member.cue.let_go.set(irql);
        }
        for member in self.0.drain(..) {
            let _ended = member.thread.join(irql);
        }
    }

    fn start(
        &mut self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Irql<'_, Passive>, &Cue) + Send + 'static,
    ) -> Result<&Member, Status> {
        if self.0.len() >= MAX_HELD_THREADS as usize {
            return Err(Status::QUOTA_EXCEEDED);
        }
        self.0
            .try_reserve(1)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let cue = NonPagedArc::pin_init(pin_init!(Cue {
            there <- Event::new(Signal::Notification, false),
            let_go <- Event::new(Signal::Notification, false),
            over: AtomicBool::new(false),
        }))?;
        let theirs = cue.clone();
        let thread = Thread::spawn(irql, move |irql| f(irql, &theirs))?;
        self.0.push(Member { thread, cue });
        self.0.last().ok_or(Status::INVALID_DEVICE_STATE)
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        // All of them first: those who wait are joined by the drop of their thread, which lasts until
        // the owners have seen it.
        for member in &self.0 {
            member.cue.over.store(true, Ordering::Relaxed);
        }
    }
}

impl Member {
    fn address(&self) -> u64 {
        self.thread.address() as u64
    }

    fn arrives(&self, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
        match self.cue.there.wait(irql, Timeout::After(PATIENCE)) {
            WaitStatus::Acquired => Ok(()),
            _ => Err(Status::INVALID_DEVICE_STATE),
        }
    }
}

impl Cue {
    /// Says that the thread owns what it was to own.
    pub fn is_there<L: AtMost<Dispatch>>(&self, irql: &Irql<'_, L>) {
        self.there.set(irql);
    }

    /// Waits until the thread is to let go.
    pub fn stay<L>(&self, irql: &mut Irql<'_, L>)
    where
        L: AtMost<Apc> + AtMost<Dispatch>,
    {
        self.is_there(irql);
        self.stay_until(irql, |_irql| false);
    }

    /// Waits until the thread is to let go, or `condition` holds.
    pub fn stay_until<L>(&self, irql: &mut Irql<'_, L>, condition: impl Fn(&Irql<'_, L>) -> bool)
    where
        L: AtMost<Apc> + AtMost<Dispatch>,
    {
        while !condition(irql) && !self.over.load(Ordering::Relaxed) {
            let _told = self.let_go.wait(irql, Timeout::After(A_LOOK));
        }
    }
}
