//! The notices, and who waits for them.

use core::sync::atomic::{AtomicU64, Ordering};

use wdk_sync::{Dispatch, Irql, NonPaged, Passive, QueuedSpinLock, Resource, Status};
use wdk_sys::{DRIVER_CANCEL, STATUS_IO_TIMEOUT};
use wdm_shell::Request;

use crate::{
    interface::{Counts, Notice, Wait},
    queue::Queue,
};

/// The milliseconds from one tick to the next.
pub const TICK: u32 = 10;

/// A notice that is up.
#[derive(Clone, Copy)]
struct Posted {
    notice: Notice,
    /// The tick from which on it has expired.
    until: u64,
}

/// The notices that are up.
struct Table {
    posted: [Option<Posted>; 32],
    expired: u32,
}

impl Table {
    fn put(&mut self, new: Posted) -> Result<(), Status> {
        let same = |place: &Option<Posted>| {
            place.is_some_and(|posted| posted.notice.topic == new.notice.topic)
        };
        let place = self.posted.iter().position(same);
        let place = place.or_else(|| self.posted.iter().position(Option::is_none));
        *place
            .and_then(|index| self.posted.get_mut(index))
            .ok_or(Status::QUOTA_EXCEEDED)? = Some(new);
        Ok(())
    }

    fn up(&self) -> usize {
        self.posted.iter().flatten().count()
    }

    fn take_down(&mut self, now: u64) {
        let before = self.up();
        for place in &mut self.posted {
            place.take_if(|posted| posted.until <= now);
        }
        self.expired = self.expired.wrapping_add(count(before - self.up()));
    }
}

/// The board.
pub struct Board {
    table: NonPaged<Resource<Table>>,
    /// Taken by threads, the DPC and cancel routines.
    pub queue: QueuedSpinLock<Queue>,
    /// Ticks since the driver was started.
    now: AtomicU64,
}

impl Board {
    pub fn new() -> Result<Self, Status> {
        let table = Table {
            posted: [None; 32],
            expired: 0,
        };
        Ok(Self {
            table: NonPaged::pin_init(Resource::new(table))?,
            queue: QueuedSpinLock::new(Queue::new()),
            now: AtomicU64::new(0),
        })
    }

    /// The tick that is so many milliseconds away, at least.
    fn after(&self, milliseconds: u32) -> u64 {
        let now = self.now.load(Ordering::Relaxed);
        now + u64::from(milliseconds.div_ceil(TICK))
    }

    /// Puts a notice up and answers who waits for it.
    pub fn post(&self, irql: &mut Irql<'_, Passive>, notice: Notice) -> Result<(), Status> {
        let until = self.after(notice.lifetime);
        self.table.exclusive(irql)?.put(Posted { notice, until })?;
        let answered = self.queue.with(irql, |queue, _irql| {
            queue.take(|it| it.topic == notice.topic)
        });
        for request in answered.into_iter().flatten() {
            request.answer(&notice);
        }
        Ok(())
    }

    /// The notice of a topic.
    pub fn read(&self, irql: &mut Irql<'_, Passive>, topic: u32) -> Result<Notice, Status> {
        let now = self.now.load(Ordering::Relaxed);
        let table = self.table.shared(irql)?;
        let up = table.posted.iter().flatten();
        up.filter(|posted| posted.until > now)
            .map(|posted| posted.notice)
            .find(|notice| notice.topic == topic)
            .ok_or(Status::NOT_FOUND)
    }

    /// Lets a request wait for a notice; it comes back, with the status to complete it with, if it
    /// cannot.
    ///
    /// # Safety
    ///
    /// `cancel` takes the lock of the queue and [cancels](Queue::cancel) the request.
    pub unsafe fn wait(
        &self,
        irql: &mut Irql<'_, Passive>,
        request: Request,
        wait: Wait,
        cancel: DRIVER_CANCEL,
    ) -> Result<(), (Request, Status)> {
        let until = self.after(wait.patience);
        self.queue.with(irql, |queue, _irql| {
            // SAFETY: The caller vouches for the routine.
            unsafe { queue.insert(request, wait.topic, until, cancel) }
        })
    }

    /// What is on the board.
    pub fn counts(&self, irql: &mut Irql<'_, Passive>) -> Result<Counts, Status> {
        let waiting = self.queue.with(irql, |queue, _irql| queue.len());
        let table = self.table.shared(irql)?;
        Ok(Counts {
            up: count(table.up()),
            waiting: count(waiting),
            expired: table.expired,
        })
    }

    /// Lets a tick pass: who has waited too long is told so.
    pub fn tick(&self, irql: &mut Irql<'_, Dispatch>) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let late = self
            .queue
            .with_at_dpc_level(irql, |queue, _irql| queue.take(|it| it.until <= now));
        for request in late.into_iter().flatten() {
            request.complete(Status::from_raw(STATUS_IO_TIMEOUT), 0);
        }
    }

    /// Takes down what has expired.
    pub fn sweep(&self, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
        let now = self.now.load(Ordering::Relaxed);
        self.table.exclusive(irql)?.take_down(now);
        Ok(())
    }
}

/// A number of places in a table, which are few.
fn count(places: usize) -> u32 {
    u32::try_from(places).unwrap_or(u32::MAX)
}
