//! The threads of a schedule, and its time.

use std::sync::Arc;

use parking_lot::Condvar;

use super::{
    End, Wait,
    policy::{Chooser, Policy},
};

/// What a thread could do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Go on.
    Ready,
    /// Look again, once another thread has made a call after the one with this number.
    Spinning(u64),
    /// Nothing before it is woken, or before its time.
    Waiting(Wait, Option<u64>),
    /// Nothing any more.
    Ended,
}

/// A thread.
pub struct Place {
    pub state: State,
    /// How its last wait ended.
    pub end: End,
    pub wake: Arc<Condvar>,
    priority: u64,
}

impl Place {
    /// Its priority; who spins gives way to those who do not.
    const fn urgency(&self) -> u64 {
        match self.state {
            State::Spinning(_) => self.priority & 0xFF,
            _ => self.priority,
        }
    }
}

pub struct Schedule {
    pub places: Vec<Place>,
    /// The place that has the baton.
    pub running: usize,
    /// The interrupt time.
    pub now: u64,
    /// How many calls there were.
    pub steps: u64,
    /// At how many of them another thread could have gone on.
    choices: u64,
    pub stopped: bool,
    chooser: Chooser,
}

/// How much time a call takes: a microsecond.
const CALL: u64 = 10;

impl Schedule {
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            places: Vec::new(),
            running: 0,
            now: 0,
            steps: 0,
            choices: 0,
            stopped: false,
            chooser: Chooser::new(policy, seed),
        }
    }

    /// Adds a thread that is ready.
    pub fn add(&mut self) -> usize {
        self.places.push(Place {
            state: State::Ready,
            end: End::Woken,
            wake: Arc::default(),
            priority: self.chooser.priority(),
        });
        self.places.len() - 1
    }

    /// Counts a call of the thread that runs.
    pub fn step(&mut self) {
        self.steps += 1;
        self.now += CALL;
        // Where nobody else could run, a change of priority would be wasted.
        if self.candidates().len() > 1 {
            self.choices += 1;
            if let Some(priority) = self.chooser.change(self.choices) {
                self.places[self.running].priority = priority;
            }
        }
    }

    pub fn wake(&mut self, place: usize) {
        self.finish(place, End::Woken);
    }

    pub fn wake_all(&mut self, wait: Wait) {
        for place in &mut self.places {
            if matches!(place.state, State::Waiting(reason, _) if reason == wait) {
                place.state = State::Ready;
                place.end = End::Woken;
            }
        }
    }

    /// Ends what keeps a thread from going on.
    fn finish(&mut self, place: usize, end: End) {
        let place = &mut self.places[place];
        if let State::Waiting(..) | State::Spinning(_) = place.state {
            place.state = State::Ready;
            place.end = end;
        }
    }

    /// Chooses who goes on, and gives it the baton. Nobody gets it if all threads rest or have ended.
    pub fn choose(&mut self) {
        loop {
            self.expire();
            let candidates = self.candidates();
            if let Some(next) = self.chooser.choose(&candidates) {
                self.places[next].state = State::Ready;
                self.running = next;
                self.places[next].wake.notify_one();
                return;
            }
            if let Some(next) = self.next_deadline() {
                self.now = next;
                // What spins may depend on the time.
                self.steps += 1;
            } else if !self.tell_deadlock() {
                return;
            }
        }
    }

    fn candidates(&self) -> Vec<(usize, u64)> {
        let may_run = |place: &Place| match place.state {
            State::Ready => true,
            State::Spinning(since) => since < self.steps,
            State::Waiting(..) | State::Ended => false,
        };
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, place)| may_run(place))
            .map(|(index, place)| (index, place.urgency()))
            .collect()
    }

    fn next_deadline(&self) -> Option<u64> {
        let deadline = |place: &Place| match place.state {
            State::Waiting(_, deadline) => deadline,
            _ => None,
        };
        self.places.iter().filter_map(deadline).min()
    }

    /// Ends the waits whose time is over.
    fn expire(&mut self) {
        for index in 0..self.places.len() {
            if let State::Waiting(_, Some(deadline)) = self.places[index].state
                && deadline <= self.now
            {
                self.finish(index, End::TimedOut);
            }
        }
    }

    /// Tells a thread that waits or spins for a driver that nobody will ever end that. False if there is none.
    fn tell_deadlock(&mut self) -> bool {
        let is_stuck = |place: &Place| {
            matches!(
                place.state,
                State::Waiting(Wait::Driver, _) | State::Spinning(_)
            )
        };
        let stuck = self.places.iter().position(is_stuck);
        if let Some(stuck) = stuck {
            self.finish(stuck, End::Deadlock);
        }
        stuck.is_some()
    }
}
