//! What a queue holds and what it does next: the rules of "Dispatching Methods for I/O Requests" as
//! plain data, without requests, callbacks or locks.

use crate::kernel::NoMemory;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// How a queue hands out requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One at a time.
    Sequential,
    /// As they come, at most so many at once.
    Parallel(u32),
    /// When the driver asks.
    Manual,
}

/// What the client has yet to hear about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// `EvtRequestCancel`: it made the request cancelable, and somebody cancelled it.
    Marked,
    /// `EvtIoCanceledOnQueue`: it was cancelled while it waited in the queue.
    OnQueue,
}

/// A request that the driver has.
struct Owned<R> {
    request: R,
    /// Cancelled by a thread that could not tell the driver.
    cancelled: Option<Cancellation>,
    /// `WdfRequestStopAcknowledge` was called: it does not keep the queue from going idle.
    acknowledged: bool,
}

/// The state of a queue: `R` stands for requests, `C` for callbacks.
#[allow(clippy::struct_excessive_bools, reason = "they change independently")]
pub struct QueueState<R, C> {
    mode: Mode,
    pub accepting: bool,
    /// Whether what the driver has is being cancelled, too.
    pub cancelling: bool,
    /// Whether the queue is at its end: it accepts nothing any more, whoever starts it.
    shut_down: bool,
    pub dispatching: bool,
    pub powered: bool,
    pending: VecDeque<R>,
    owned: Vec<Owned<R>>,
    /// The threads that are presenting a request right now.
    presenting: Vec<usize>,
    /// Who waits until the driver has no request.
    idle: Vec<C>,
    /// Who waits until there is no request at all.
    empty: Vec<C>,
    ready: Option<C>,
    became_ready: bool,
    /// Whether there was a request when that was asked last.
    busy: bool,
}

/// What the dispatcher does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<R, C> {
    /// Give this request to the driver, and say [`QueueState::presented`] afterwards.
    Present(R),
    /// Tell the driver that this request of its is cancelled.
    Cancel(R, Cancellation),
    /// Call this.
    Notify(C),
    Nothing,
}

impl<R: Clone, C: Clone> QueueState<R, C> {
    /// An empty queue that accepts and dispatches.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(mode: Mode, powered: bool) -> Result<Self, NoMemory> {
        let mut state = Self {
            mode,
            accepting: true,
            cancelling: false,
            shut_down: false,
            dispatching: true,
            powered,
            pending: VecDeque::new(),
            owned: Vec::new(),
            presenting: Vec::new(),
            idle: Vec::new(),
            empty: Vec::new(),
            ready: None,
            became_ready: false,
            busy: false,
        };
        // Waiters are added where a refusal has no way to be told.
        state.idle.try_reserve(4).map_err(|_| NoMemory)?;
        state.empty.try_reserve(4).map_err(|_| NoMemory)?;
        Ok(state)
    }

    /// Accepts nothing any more, whoever starts the queue.
    pub const fn shut_down(&mut self) {
        self.shut_down = true;
        self.accepting = false;
    }

    /// Accepts requests from here on, or does not.
    pub const fn accept(&mut self, accepting: bool) {
        self.accepting = accepting && !self.shut_down;
        self.cancelling &= !self.accepting;
    }

    /// Room for one more request in every list, so that moving it never needs memory.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn reserve(&mut self) -> Result<(), NoMemory> {
        let total = self.pending.len() + self.owned.len() + 1;
        let more = |length: usize| total - length.min(total);
        self.pending
            .try_reserve(more(self.pending.len()))
            .map_err(|_| NoMemory)?;
        self.owned
            .try_reserve(more(self.owned.len()))
            .map_err(|_| NoMemory)?;
        self.presenting.try_reserve(1).map_err(|_| NoMemory)
    }

    /// Adds a request at the end; there is room.
    pub fn push(&mut self, request: R) {
        self.became_ready |= self.pending.is_empty();
        self.pending.push_back(request);
    }

    /// Puts a request back in front of the others; there is room, for it was here before.
    pub fn push_front(&mut self, request: R) {
        self.became_ready |= self.pending.is_empty();
        self.pending.push_front(request);
    }

    /// The last request that waits.
    pub fn last(&self) -> Option<&R> {
        self.pending.back()
    }

    /// Takes a waiting request out.
    pub fn remove_pending(&mut self, is: impl Fn(&R) -> bool) -> Option<R> {
        let position = self.pending.iter().position(is)?;
        self.pending.remove(position)
    }

    /// The waiting requests that fit, oldest first.
    pub fn find_pending(&self, is: impl Fn(&R) -> bool) -> Option<R> {
        self.pending.iter().find(|request| is(request)).cloned()
    }

    /// Gives a request to the driver without presenting it.
    pub fn own(&mut self, request: R) {
        self.owned.push(Owned {
            request,
            cancelled: None,
            acknowledged: false,
        });
    }

    /// Lets the next thread that may do so tell the driver that a request of its is cancelled.
    pub fn tell_later(&mut self, is: impl Fn(&R) -> bool, cancellation: Cancellation) {
        if let Some(owned) = self.owned.iter_mut().find(|owned| is(&owned.request)) {
            owned.cancelled = Some(cancellation);
        }
    }

    /// The driver is done with a request; returns whether it had it.
    pub fn disown(&mut self, is: impl Fn(&R) -> bool) -> bool {
        let position = self.owned.iter().position(|owned| is(&owned.request));
        position
            .map(|position| self.owned.swap_remove(position))
            .is_some()
    }

    /// The driver acknowledged that it keeps a request while the queue is stopped.
    pub fn acknowledge(&mut self, is: impl Fn(&R) -> bool) {
        if let Some(owned) = self.owned.iter_mut().find(|owned| is(&owned.request)) {
            owned.acknowledged = true;
        }
    }

    /// Forgets the acknowledgement of a request, for the queue runs again; returns whether it had
    /// one.
    pub fn resume(&mut self, is: impl Fn(&R) -> bool) -> bool {
        let owned = self.owned.iter_mut().find(|owned| is(&owned.request));
        owned.is_some_and(|owned| core::mem::take(&mut owned.acknowledged))
    }

    /// The `index`-th request that the driver has.
    pub fn owned(&self, index: usize) -> Option<R> {
        self.owned.get(index).map(|owned| owned.request.clone())
    }

    /// The numbers of waiting and of driver-owned requests.
    pub fn counts(&self) -> (usize, usize) {
        (self.pending.len(), self.owned.len())
    }

    /// Whether there are requests, waiting or with the driver, if that is not as it was when asked last.
    pub fn became_busy(&mut self) -> Option<bool> {
        let busy = !self.pending.is_empty() || !self.owned.is_empty();
        let before = core::mem::replace(&mut self.busy, busy);
        (before != busy).then_some(busy)
    }

    /// Takes the oldest waiting request that `claim` can get away from cancellation. Those that it
    /// cannot are dropped from the queue: whoever cancels them completes them.
    pub fn take(&mut self, claim: impl Fn(&R) -> bool) -> Option<R> {
        while let Some(request) = self.pending.pop_front() {
            if claim(&request) {
                return Some(request);
            }
        }
        None
    }

    /// What is to be done next by `thread`. A thread that is presenting a request of this queue gets
    /// nothing: its own loop goes on when the presentation returns, so that a driver that completes
    /// requests in the callback does not eat up the stack.
    pub fn next(&mut self, thread: usize, claim: impl Fn(&R) -> bool) -> Next<R, C> {
        if self.is_presenting(thread) {
            return Next::Nothing;
        }
        if let Some((request, cancellation)) = self.next_cancelled() {
            return Next::Cancel(request, cancellation);
        }
        if let Some(callback) = self.next_waiter() {
            return Next::Notify(callback);
        }
        if !self.powered || !self.dispatching {
            return Next::Nothing;
        }
        let owned = self.owned.len();
        let may_present = match self.mode {
            Mode::Sequential => owned == 0,
            Mode::Parallel(limit) => owned < limit as usize,
            Mode::Manual => return self.next_ready(),
        };
        if !may_present {
            return Next::Nothing;
        }
        self.take(claim).map_or(Next::Nothing, |request| {
            self.own(request.clone());
            self.presenting.push(thread);
            Next::Present(request)
        })
    }

    /// Whether `thread` is presenting a request: its loop goes on afterwards.
    pub fn is_presenting(&self, thread: usize) -> bool {
        self.presenting.contains(&thread)
    }

    fn next_cancelled(&mut self) -> Option<(R, Cancellation)> {
        self.owned.iter_mut().find_map(|owned| {
            let cancellation = owned.cancelled.take()?;
            Some((owned.request.clone(), cancellation))
        })
    }

    fn next_waiter(&mut self) -> Option<C> {
        if !self.presenting.is_empty() {
            return None;
        }
        if self.owned.iter().all(|owned| owned.acknowledged)
            && let Some(callback) = self.idle.pop()
        {
            return Some(callback);
        }
        if self.owned.is_empty() && self.pending.is_empty() {
            return self.empty.pop();
        }
        None
    }

    fn next_ready(&mut self) -> Next<R, C> {
        let due = core::mem::take(&mut self.became_ready) && !self.pending.is_empty();
        match &self.ready {
            Some(callback) if due => Next::Notify(callback.clone()),
            _ => Next::Nothing,
        }
    }

    /// The presentation that [`next`](Self::next) asked `thread` for is over.
    pub fn presented(&mut self, thread: usize) {
        if let Some(position) = self.presenting.iter().position(|&each| each == thread) {
            self.presenting.swap_remove(position);
        }
    }

    /// Asks to be told once when the driver has no request left.
    pub fn when_idle(&mut self, callback: C) {
        self.idle.push(callback);
    }

    /// Asks to be told once when no request is left.
    pub fn when_empty(&mut self, callback: C) {
        self.empty.push(callback);
    }

    /// Sets or takes away who is told that a manual queue has requests again. Returns whether there
    /// was one already when one is set.
    pub fn set_ready(&mut self, callback: Option<C>) -> bool {
        let busy = callback.is_some() && self.ready.is_some();
        if !busy {
            self.ready = callback;
            self.became_ready = !self.pending.is_empty();
        }
        busy
    }

    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type State = QueueState<u32, &'static str>;

    fn queue(mode: Mode, requests: u32) -> State {
        let mut state = State::new(mode, true).unwrap();
        for request in 1..=requests {
            state.reserve().unwrap();
            state.push(request);
        }
        state
    }

    fn next(state: &mut State) -> Next<u32, &'static str> {
        state.next(0, |_| true)
    }

    #[test]
    fn a_sequential_queue_waits_for_completion() {
        let mut state = queue(Mode::Sequential, 2);
        assert_eq!(next(&mut state), Next::Present(1));
        state.presented(0);
        assert_eq!(next(&mut state), Next::Nothing);
        assert!(state.disown(|&each| each == 1));
        assert_eq!(next(&mut state), Next::Present(2));
    }

    #[test]
    fn a_parallel_queue_keeps_its_limit() {
        let mut state = queue(Mode::Parallel(2), 3);
        assert_eq!(state.next(1, |_| true), Next::Present(1));
        assert_eq!(state.next(2, |_| true), Next::Present(2));
        assert_eq!(state.next(3, |_| true), Next::Nothing);
        assert_eq!(state.counts(), (1, 2));
    }

    #[test]
    fn completing_in_the_callback_does_not_recurse() {
        let mut state = queue(Mode::Sequential, 2);
        assert_eq!(next(&mut state), Next::Present(1));
        state.disown(|&each| each == 1);
        assert_eq!(
            next(&mut state),
            Next::Nothing,
            "this thread is still in the callback"
        );
        assert_eq!(
            state.next(7, |_| true),
            Next::Present(2),
            "another one is not"
        );
    }

    #[test]
    fn cancelled_requests_are_skipped() {
        let mut state = queue(Mode::Sequential, 2);
        assert_eq!(state.next(0, |&request| request != 1), Next::Present(2));
        assert_eq!(state.counts(), (0, 1));
    }

    #[test]
    fn what_a_thread_could_not_tell_is_told_before_the_next_request() {
        let mut state = queue(Mode::Parallel(9), 2);
        assert_eq!(next(&mut state), Next::Present(1));
        state.tell_later(|&each| each == 1, Cancellation::Marked);
        assert_eq!(next(&mut state), Next::Nothing, "it is in the callback");
        state.presented(0);
        assert_eq!(next(&mut state), Next::Cancel(1, Cancellation::Marked));
        assert_eq!(next(&mut state), Next::Present(2), "once");
    }

    #[test]
    fn nothing_moves_while_stopped_or_powered_down() {
        let mut state = queue(Mode::Parallel(9), 1);
        state.dispatching = false;
        assert_eq!(next(&mut state), Next::Nothing);
        state.dispatching = true;
        state.powered = false;
        assert_eq!(next(&mut state), Next::Nothing);
        state.powered = true;
        assert_eq!(next(&mut state), Next::Present(1));
    }

    #[test]
    fn waiters_are_told_once_and_in_time() {
        let mut state = queue(Mode::Parallel(9), 2);
        assert_eq!(next(&mut state), Next::Present(1));
        state.presented(0);
        state.dispatching = false;
        state.when_idle("idle");
        state.when_empty("empty");
        assert_eq!(next(&mut state), Next::Nothing);
        state.acknowledge(|&each| each == 1);
        assert_eq!(
            next(&mut state),
            Next::Notify("idle"),
            "the driver said that it keeps 1"
        );
        assert_eq!(next(&mut state), Next::Nothing);
        state.disown(|&each| each == 1);
        assert_eq!(next(&mut state), Next::Nothing, "2 still waits");
        assert_eq!(state.take(|_| true), Some(2));
        assert_eq!(next(&mut state), Next::Notify("empty"));
        assert_eq!(next(&mut state), Next::Nothing);
    }

    #[test]
    fn a_manual_queue_tells_when_it_is_no_longer_empty() {
        let mut state = queue(Mode::Manual, 0);
        assert!(!state.set_ready(Some("ready")));
        assert!(state.set_ready(Some("again")), "there is one already");
        assert_eq!(next(&mut state), Next::Nothing);
        state.push(1);
        assert_eq!(next(&mut state), Next::Notify("ready"));
        state.push(2);
        assert_eq!(next(&mut state), Next::Nothing, "it was not empty");
        assert_eq!(
            (state.take(|_| true), state.take(|_| true)),
            (Some(1), Some(2))
        );
        state.push(3);
        assert_eq!(next(&mut state), Next::Notify("ready"));
    }
}
