//! One worker: what it decides by chance, counts, and finds wrong.

use core::{mem, time::Duration};

use wdk_sync::{AtMost, Dispatch, Instant, Irql, Passive, Status, sleep};

use super::{stint::Stint, violation::Violation};
use crate::{
    Device,
    measure::{Overhead, Ticks},
    run::{Beat, Count, Run, Tally},
    settings::{Measure, ParameterId, Settings, Spread},
    thread_state::ThreadState,
};

/// What a worker leaves when it ends.
pub struct Leaves {
    /// Its first violation, with the pass.
    pub first: Option<(u64, Violation)>,
    /// What measuring cost, where that was to be seen.
    pub overhead: Option<Overhead>,
}

/// One worker thread of a scenario.
pub struct Worker<'run> {
    run: &'run Run,
    tally: &'run Tally,
    chance: Chance,
    /// IRQL and APC state before the current pass.
    before: ThreadState,
    hold: Duration,
    spread: Spread,
    index: usize,
    /// Acquisitions after which it ends.
    limit: u64,
    /// Whether this pass is measured.
    measures: bool,
    /// Which holds are timed.
    holds: Sampler,
    /// Waits without a try before them.
    untried: Untried,
    /// Whether the current attempt found the lock taken.
    is_contended: bool,
    /// How many waits the current one stands for.
    stands_for: u64,
    /// Whether the worker has the lock by a wait, which was counted if it was to be.
    has_waited: bool,
    /// Since when the worker has the lock, after a wait that was timed.
    since: Option<Ticks>,
    overhead: Option<Overhead>,
    /// The turn in which it had a real-time priority.
    boosted_in: Option<u32>,
    first: Option<(u64, Violation)>,
}

impl<'run> Worker<'run> {
    /// Worker `index` of `run`, on its thread.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(
        run: &'run Run,
        tally: &'run Tally,
        index: usize,
        irql: &Irql<'_, Passive>,
    ) -> Result<Self, Status> {
        let measure = run.settings().measure();
        let overhead = match measure {
            Measure::ByTurns => Some(Overhead::new()?),
            Measure::Never | Measure::Always => None,
        };
        Ok(Self {
            run,
            tally,
            chance: Chance::new(run.number(), index as u64),
            before: ThreadState::now(irql),
            hold: run.settings().micros(ParameterId::Hold),
            spread: run.settings().spread(),
            index,
            limit: match run.settings().get(ParameterId::Limit) {
                0 => u64::MAX,
                limit => limit,
            },
            measures: measure != Measure::Never,
            holds: Sampler::new(run.settings()),
            untried: Untried {
                timed: Sampler::new(run.settings()),
                contended_from: run.clock().scale().ticks(CONTENDED_FROM_NANOS),
                contended: false,
            },
            is_contended: false,
            stands_for: 1,
            has_waited: false,
            since: None,
            overhead,
            boosted_in: None,
            first: None,
        })
    }

    /// The values of the run's parameters.
    pub const fn settings(&self) -> &Settings {
        self.run.settings()
    }

    /// The device object of the run's session.
    pub const fn device(&self) -> Device {
        self.run.device()
    }

    /// What the worker does.
    pub const fn role(&self) -> syncstress_protocol::Role {
        self.tally.role()
    }

    /// Makes passes until the run is to end: where, and how urgently, changes from stint to stint.
    pub fn work(
        mut self,
        irql: &mut Irql<'_, Passive>,
        mut pass: impl FnMut(&mut Irql<'_, Passive>, &mut Self),
    ) -> Leaves {
        while self.has_more_to_do() {
            let stint = Stint::next(&mut self);
            stint.at_its_priority(irql, |irql| {
                self.passes(irql, &stint, &mut pass);
            });
        }
        Leaves {
            first: self.first,
            overhead: self.overhead,
        }
    }

    fn has_more_to_do(&self) -> bool {
        self.run.goes_on() && self.tally.get(Count::Acquisitions) < self.limit
    }

    /// Makes passes until the stint is over.
    fn passes(
        &mut self,
        irql: &mut Irql<'_, Passive>,
        stint: &Stint,
        mut pass: impl FnMut(&mut Irql<'_, Passive>, &mut Self),
    ) {
        let think = self.settings().micros(ParameterId::Think);
        while self.has_more_to_do() && stint.goes_on(self.run.beats()) {
            if self.run.beats().pause() {
                sleep(irql, Duration::from_millis(1));
                continue;
            }
            self.before = ThreadState::now(irql);
            pass(irql, self);
            self.has_released(irql);
            self.tally.count(Count::Passes);
            if let Some(overhead) = &mut self.overhead {
                overhead.passed(&mut self.measures);
            }
            pause(irql, think);
        }
    }

    /// How many turns of this sort are over.
    pub fn beat(&self, beat: Beat) -> u32 {
        self.run.beats().get(beat)
    }

    /// Whether the worker gets its real-time priority in this turn: once.
    pub fn begins_boost(&mut self, turn: u32) -> bool {
        self.boosted_in.replace(turn) != Some(turn)
    }

    /// How many workers the run has; one that is told apart from the others is one of so many.
    pub fn workers(&self) -> usize {
        self.run.tallies().len()
    }

    /// Whether the run goes on.
    pub fn goes_on(&self) -> bool {
        self.run.goes_on()
    }

    /// The worker's number within the run.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// After a lock was released: IRQL and APC state have to be what they were before.
    pub fn has_released<L: AtMost<Dispatch>>(&mut self, irql: &Irql<'_, L>) {
        let (expected, actual) = (self.before, ThreadState::now(irql));
        if actual != expected {
            self.found(Violation::StateAfterwards { expected, actual });
        }
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

    /// Notes a try that did not acquire, and tells whether the worker gives up then.
    pub fn found_taken(&mut self) -> bool {
        self.is_contended = true;
        let gives_up = self.happens(ParameterId::Try);
        if gives_up {
            self.gave_up();
        }
        gives_up
    }

    /// Counts an attempt that came to nothing.
    pub fn gave_up(&mut self) {
        self.ends_attempt(Count::Timeouts);
    }

    /// Counts how an attempt ended, and whether it found the lock taken: not before, so that no more
    /// attempts are contended than there are.
    fn ends_attempt(&mut self, count: Count) {
        self.tally.count(count);
        if mem::take(&mut self.is_contended) {
            self.tally.count(Count::Contended);
        }
    }

    /// Begins to wait, and times that where times are measured: where waits are seldom none.
    pub fn waits(&mut self) -> Option<Ticks> {
        self.stands_for = 1;
        self.measures.then(Ticks::now)
    }

    /// Begins to wait without a try. Most such waits are none, and to read the clock twice takes longer
    /// than they do, so one in [`ParameterId::Sample`] is timed, and stands for those that are not.
    pub fn waits_untried(&mut self) -> Option<Ticks> {
        self.stands_for = self.untried.timed.every;
        (self.measures && self.untried.timed.takes()).then(Ticks::now)
    }

    /// Begins to wait for a lock that was tried, or not, in this pass.
    pub fn waits_tried(&mut self) -> Option<Ticks> {
        if self.is_contended {
            self.waits()
        } else {
            self.waits_untried()
        }
    }

    /// Counts a wait that began at `since`; the worker has the lock from now on.
    pub fn waited(&mut self, since: Option<Ticks>) {
        self.has_waited = true;
        if let Some(since) = since {
            let now = Ticks::now();
            let waits = self.tally.waits();
            waits.record_times(now.since(since), self.stands_for);
            self.tally.count(Count::TimedWaits);
            self.since = Some(now);
        }
    }

    /// As [`waited`](Self::waited), for a lock that cannot be tried: a wait that took longer than a
    /// release and an acquisition do is one that found it taken, and so did those that follow it untimed.
    pub fn waited_untried(&mut self, since: Option<Ticks>) {
        self.waited(since);
        if let (Some(asked), Some(got)) = (since, self.since) {
            self.untried.contended = got.since(asked) > self.untried.contended_from;
        }
        self.is_contended = self.measures && self.untried.contended;
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
        let since = self.begins_hold();
        self.owns_again(irql, expected, use_data);
        if let Some(since) = since {
            self.tally.holds().record(Ticks::now().since(since));
        }
    }

    /// As [`owns`](Self::owns), for one that had the lock before, or got it with another one by the same
    /// wait: there is no wait or hold to measure but those of the first acquisition.
    pub fn owns_again<L: AtMost<Dispatch>>(
        &mut self,
        irql: &Irql<'_, L>,
        expected: ThreadState,
        use_data: impl FnOnce(&dyn Fn()) -> Result<(), Violation>,
    ) {
        self.ends_attempt(Count::Acquisitions);
        let actual = ThreadState::now(irql);
        if actual != expected {
            self.found(Violation::StateWhileOwned { expected, actual });
        }
        let hold = self.next_hold();
        if let Err(violation) = use_data(&|| stay_busy(hold)) {
            self.found(violation);
        }
    }

    /// How long the next hold is.
    fn next_hold(&mut self) -> Duration {
        let long = self.settings().micros(ParameterId::LongHold);
        if !long.is_zero()
            && self
                .chance
                .below(self.settings().get(ParameterId::LongEvery))
                == 0
        {
            return long;
        }
        let hold = u64::try_from(self.hold.as_nanos()).unwrap_or(u64::MAX);
        if hold == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(match self.spread {
            Spread::None => hold,
            Spread::Even => self.chance.below(hold.saturating_mul(2)),
            Spread::Exponential => self.chance.exponential(hold),
        })
    }

    /// Since when the worker has the lock, if this hold is one that is timed. Whether it waited makes
    /// no difference to that, so the holds that are timed are like all the others.
    fn begins_hold(&mut self) -> Option<Ticks> {
        let (has_waited, waited) = (mem::take(&mut self.has_waited), self.since.take());
        if !self.measures {
            return None;
        }
        if !has_waited {
            self.tally.waits().record_zero();
        }
        self.holds
            .takes()
            .then(|| waited.unwrap_or_else(Ticks::now))
    }

    /// Counts a violation and keeps the first one.
    pub fn found(&mut self, violation: Violation) {
        self.tally.count(Count::Failures);
        if let Some(count) = violation.of_state() {
            self.tally.count(count);
        }
        let pass = self.tally.get(Count::Passes);
        self.first.get_or_insert((pass, violation));
    }
}

/// What is known of waits for a lock that was not tried before.
struct Untried {
    /// Which are timed.
    timed: Sampler,
    /// Ticks from which on one of them found the lock taken.
    contended_from: u64,
    /// Whether the last one that was timed did.
    contended: bool,
}

/// Takes the first of something and then one in so many.
struct Sampler {
    every: u64,
    left: u64,
}

impl Sampler {
    fn new(settings: &Settings) -> Self {
        Self {
            every: settings.get(ParameterId::Sample).max(1),
            left: 0,
        }
    }

    /// Whether this one is taken.
    #[inline]
    const fn takes(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        self.left = self.every - 1;
        true
    }
}

/// A wait of this long for a lock that cannot be tried is one that found it taken.
const CONTENDED_FROM_NANOS: u64 = 1_000;

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

    /// An exponentially distributed number with this mean, at most eight times that. By the binary
    /// logarithm, whose fraction is taken to be straight between two powers of two.
    fn exponential(&mut self, mean: u64) -> u64 {
        /// ln 2, in thousandths.
        const LN_2: u64 = 693;
        let random = self.below(1 << 40) | 1;
        let whole = random.ilog2();
        // The forty bits, less what the number has: minus its binary logarithm, in thousandths.
        let fraction = ((random ^ (1 << whole)) * 1000) >> whole;
        let bits = (40 - u64::from(whole)) * 1000 - fraction;
        let value = u128::from(mean) * u128::from(bits * LN_2) / 1_000_000;
        u64::try_from(value)
            .unwrap_or(u64::MAX)
            .min(mean.saturating_mul(8))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_numbers_have_their_mean_and_their_median() {
        const MEAN: u64 = 100_000;
        let mut chance = Chance::new(1, 1);
        let mut values: [u64; 10_000] = core::array::from_fn(|_| chance.exponential(MEAN));
        values.sort_unstable();
        let mean = values.iter().sum::<u64>() / 10_000;
        assert!(mean.abs_diff(MEAN) < MEAN / 10, "{mean}");
        let median = values[5_000];
        assert!(median.abs_diff(69_300) < 7_000, "{median}");
        assert!(values[9_999] <= 8 * MEAN);
    }
}
