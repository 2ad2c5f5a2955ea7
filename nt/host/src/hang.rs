//! Nothing can happen any more: everybody waits, and nobody is left who could end a wait.
//!
//! That is so when no timer is set that queues a DPC or that a thread waits for, no processor and no worker thread has anything to do, and each thread waits
//! without a time-out: those that drivers have started, and those of the host that are in a call of the library, or
//! have said that they stand by. A thread of the host that is in no call may still make one, and so may one that has
//! not used the kernel yet; hence it is for a program to say that it leaves none ([`crate::Config::find_hangs`]).
//!
//! A periodic timer with a DPC is a hope for as long as it is set, whatever its routine has done so far: what that will
//! do next is not for the kernel to guess.
//!
//! Circles of waits need none of this: see [`crate::deadlock`].

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::{
    deadlock,
    dispatcher::{self, Dispatcher},
    dpc,
    ex::worker,
    kernel, processor,
    thread::{self, Origin, Thread},
};

/// How many threads are about to use the kernel for the first time.
static EXPECTED: AtomicUsize = AtomicUsize::new(0);

/// A thread has been started that will use the kernel.
pub fn expect_thread() {
    EXPECTED.fetch_add(1, SeqCst);
}

/// A thread that was expected uses the kernel now, or will not.
pub fn meet_thread() {
    EXPECTED.fetch_sub(1, SeqCst);
}

/// The looks of a thread that waits without a time-out.
pub struct Watch {
    /// How many waits had begun when nothing could happen.
    seen: Option<u64>,
}

impl Watch {
    pub const fn new() -> Self {
        Self { seen: None }
    }

    /// Stops the kernel if nothing can happen, now and the last time, and nothing has happened in between. Returns
    /// whether `thread` is to look again.
    pub fn look(
        &mut self,
        dispatcher: &mut Dispatcher,
        thread: &Thread,
        function: &'static str,
    ) -> bool {
        if !kernel::config().find_hangs || !is_in_call(thread) {
            return false;
        }
        let now = nothing_can_happen(dispatcher).then(dispatcher::waits_begun);
        if now.is_some() && now == self.seen {
            deadlock::nothing_runs(dispatcher, thread, function);
        }
        self.seen = now;
        true
    }
}

/// Whether a thread of the host is in a call of the library, which it waits for.
fn is_in_call(thread: &Thread) -> bool {
    thread.origin() == Origin::Host && !thread.recovery().is_null()
}

fn nothing_can_happen(dispatcher: &mut Dispatcher) -> bool {
    if dispatcher.state().timers.will_do_something()
        || EXPECTED.load(SeqCst) != 0
        || !processor::are_idle()
        || dpc::is_threaded_one_left()
    {
        return false;
    }
    let (queued, mut running) = worker::load();
    let mut everybody_waits = queued == 0;
    thread::each(|thread| {
        let waits = thread.wait.is_endless();
        match thread.origin() {
            Origin::Kernel => running = running.saturating_sub(usize::from(waits)),
            Origin::System => everybody_waits &= waits,
            Origin::Host => {
                everybody_waits &= (waits && is_in_call(thread)) || thread.stands_by();
            }
        }
    });
    everybody_waits && running == 0
}
