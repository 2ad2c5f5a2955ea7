//! Figures of a whole run.

use alloc::vec::Vec;

use syncstress_protocol::{Metric, Text, Unit};

use super::{Count, Tally};
use crate::measure::Clock;

/// Figures that a run tells about itself, a few.
#[derive(Default)]
pub struct Metrics(Vec<Metric>);

impl Metrics {
    /// Adds a figure, in thousandths of its unit. One for which there is no memory is left out: it
    /// decides nothing.
    pub fn put(&mut self, name: &str, unit: Unit, milli: i64) {
        if self.0.try_reserve(1).is_ok() {
            self.0.push(Metric {
                name: Text::new(name),
                unit: unit.to_wire(),
                reserved: 0,
                milli,
            });
        }
    }

    /// Adds a whole number.
    pub fn count(&mut self, name: &str, unit: Unit, value: u64) {
        let milli = i64::try_from(value.saturating_mul(1000)).unwrap_or(i64::MAX);
        self.put(name, unit, milli);
    }

    /// Adds what is to be known of the clock that the run was measured with, which is settled.
    pub fn of_clock(&mut self, clock: &Clock) {
        self.count(
            "clock frequency",
            Unit::PerSecond,
            clock.scale().frequency(),
        );
        let cost = i64::try_from(clock.cost_milli()).unwrap_or(i64::MAX);
        self.put("clock cost", Unit::Nanoseconds, cost);
    }

    /// Adds how many waits and holds were timed; the others are told of by these.
    pub fn of_times(&mut self, tallies: &[Tally]) {
        let sum = |times: fn(&Tally) -> u64| tallies.iter().map(times).fold(0, u64::saturating_add);
        let waits = sum(|tally| tally.get(Count::TimedWaits));
        self.count("waits timed", Unit::Count, waits);
        let holds = sum(|tally| tally.holds().count());
        self.count("holds timed", Unit::Count, holds);
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Metric> {
        self.0
    }
}
