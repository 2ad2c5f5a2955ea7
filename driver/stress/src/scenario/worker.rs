//! One worker: what it decides by chance, counts, and finds wrong.

use core::time::Duration;

use wdk_sync::{AtMost, Dispatch, Instant, Irql, Passive, sleep};

use super::violation::Violation;
use crate::{
    run::{Count, Run, Tally},
    settings::{ParameterId, Settings},
    thread_state::ThreadState,
};

/// One worker thread of a scenario.
pub struct Worker<'run> {
    run: &'run Run,
    tally: &'run Tally,
    chance: Chance,
    /// IRQL and APC state before the current pass.
    before: ThreadState,
    hold: Duration,
    first: Option<(u64, Violation)>,
}

impl<'run> Worker<'run> {
    /// Worker `index` of `run`, on its thread.
    pub fn new(run: &'run Run, tally: &'run Tally, index: usize, irql: &Irql<'_, Passive>) -> Self {
        Self {
            run,
            tally,
            chance: Chance::new(run.number(), index as u64),
            before: ThreadState::now(irql),
            hold: run.settings().micros(ParameterId::Hold),
            first: None,
        }
    }

    /// The values of the run's parameters.
    pub const fn settings(&self) -> &Settings {
        self.run.settings()
    }

    /// What the worker does.
    pub const fn role(&self) -> syncstress_protocol::Role {
        self.tally.role()
    }

    /// Makes passes until the run is to end, and gives the first violation with its pass.
    pub fn work(
        mut self,
        irql: &mut Irql<'_, Passive>,
        mut pass: impl FnMut(&mut Irql<'_, Passive>, &mut Self),
    ) -> Option<(u64, Violation)> {
        let think = self.settings().micros(ParameterId::Think);
        while self.run.goes_on() {
            self.before = ThreadState::now(irql);
            pass(irql, &mut self);
            let (expected, actual) = (self.before, ThreadState::now(irql));
            if actual != expected {
                self.found(Violation::StateAfterwards { expected, actual });
            }
            self.tally.count(Count::Passes);
            pause(irql, think);
        }
        self.first
    }

    /// IRQL and APC state before the current pass.
    pub const fn before(&self) -> ThreadState {
        self.before
    }

    /// Whether this pass tries first.
    pub const fn tries_first(&mut self) -> bool {
        self.chance.below(8) != 0
    }

    /// Whether something happens that does so in so many cases of a hundred.
    pub fn happens(&mut self, percent: ParameterId) -> bool {
        let percent = self.settings().get(percent);
        percent != 0 && self.chance.below(100) < percent
    }

    /// A number below `limit`, or 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.chance.below(limit)
    }

    /// Counts a try that did not acquire, and tells whether the worker gives up then.
    pub fn found_taken(&mut self) -> bool {
        self.tally.count(Count::Contended);
        let gives_up = self.happens(ParameterId::Try);
        if gives_up {
            self.gave_up();
        }
        gives_up
    }

    /// Counts a wait that came to nothing.
    pub fn gave_up(&self) {
        self.tally.count(Count::Timeouts);
    }

    /// Counts a wait that began at `since`.
    pub fn waited(&self, since: Instant) {
        self.tally.wait(since.elapsed());
    }

    /// Counts a setting or cancellation of a timer.
    pub fn acted(&self) {
        self.tally.count(Count::Acquisitions);
    }

    /// What a worker does while it has the lock: counts the acquisition, checks IRQL and APC state,
    /// and uses the data, for which it gets what is to be done halfway.
    pub fn owns<L: AtMost<Dispatch>>(
        &mut self,
        irql: &Irql<'_, L>,
        expected: ThreadState,
        use_data: impl FnOnce(&dyn Fn()) -> Result<(), Violation>,
    ) {
        self.tally.count(Count::Acquisitions);
        let actual = ThreadState::now(irql);
        if actual != expected {
            self.found(Violation::StateWhileOwned { expected, actual });
        }
        let hold = self.hold;
        if let Err(violation) = use_data(&|| stay_busy(hold)) {
            self.found(violation);
        }
    }

    /// Counts a violation and keeps the first one.
    pub fn found(&mut self, violation: Violation) {
        self.tally.count(Count::Failures);
        let pass = self.tally.get(Count::Passes);
        self.first.get_or_insert((pass, violation));
    }
}

/// Lets time go by between two passes, busy if it is too short for a sleep.
fn pause(irql: &mut Irql<'_, Passive>, duration: Duration) {
    if duration < Duration::from_millis(1) {
        stay_busy(duration);
    } else {
        sleep(irql, duration);
    }
}

/// Keeps the processor for a while.
pub fn stay_busy(duration: Duration) {
    if duration.is_zero() {
        return;
    }
    let start = Instant::now();
    while start.elapsed() < duration {
        core::hint::spin_loop();
    }
}

/// Decisions that differ from worker to worker: Marsaglia's xorshift64*.
struct Chance(u64);

impl Chance {
    const fn new(run: u64, worker: u64) -> Self {
        let seed = run.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ worker.wrapping_add(1);
        // Zero is the one state that the generator does not leave.
        Self(if seed == 0 { 1 } else { seed })
    }

    /// A number below `limit`, or 0 if that is 0.
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16;
        match value.checked_rem(limit) {
            Some(value) => value,
            None => 0,
        }
    }
}
