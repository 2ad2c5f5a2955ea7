//! The clock of the measurements: the processor's time stamp counter, checked against
//! `KeQueryPerformanceCounter`, which is several times as expensive to read.

use core::sync::atomic::{AtomicU64, Ordering};

use wdk_sync::Instant;

/// What a reading is: on x86-64 a count of the processor, elsewhere one of the kernel.
#[cfg(target_arch = "x86_64")]
type Reading = u64;
#[cfg(not(target_arch = "x86_64"))]
type Reading = Instant;

/// A reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(Reading);

#[cfg(target_arch = "x86_64")]
impl Ticks {
    /// The clock as it stands, on this processor.
    #[inline]
    pub fn now() -> Self {
        // SAFETY: RDTSC is there on every x86-64 processor, and NT leaves it to all levels.
        Self(unsafe { core::arch::x86_64::_rdtsc() })
    }

    /// How many ticks passed since `earlier`; none if that was later, as another processor's counter
    /// may have it.
    #[inline]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Ticks {
    /// The clock as it stands.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// How many nanoseconds passed since `earlier`.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.since(earlier.0).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy)]
struct Moment {
    ticks: Ticks,
    instant: Instant,
}

impl Moment {
    /// Reads both until one reading is as good as any: the one that took the fewest ticks, since
    /// nothing interrupted it.
    fn now() -> Self {
        let read = || {
            let ticks = Ticks::now();
            let instant = Instant::now();
            (Ticks::now().since(ticks), Self { ticks, instant })
        };
        let mut best = read();
        for _ in 0..7 {
            let next = read();
            if next.0 < best.0 {
                best = next;
            }
        }
        best.1
    }

    /// Nanoseconds in a tick between two moments, in units of 2^-32; 0 if they are the same.
    fn scale_since(self, earlier: Self) -> u64 {
        let nanos = self.instant.since(earlier.instant).as_nanos();
        let ticks = u128::from(self.ticks.since(earlier.ticks));
        let scale = (nanos << 32).checked_div(ticks).unwrap_or(0);
        u64::try_from(scale).unwrap_or(u64::MAX)
    }
}

/// The clock of one run.
pub struct Clock {
    started: Moment,
    /// The scale over the whole run; 0 until that is over.
    settled: AtomicU64,
}

impl Clock {
    /// A clock that is calibrated from now on.
    pub fn start() -> Self {
        Self {
            started: Moment::now(),
            settled: AtomicU64::new(0),
        }
    }

    /// Fixes the scale: the run is over.
    pub fn settle(&self) {
        let scale = Moment::now().scale_since(self.started);
        self.settled.store(scale, Ordering::Relaxed);
    }

    /// How ticks become nanoseconds, by the run so far or by all of it.
    pub fn scale(&self) -> Scale {
        Scale(match self.settled.load(Ordering::Relaxed) {
            0 => Moment::now().scale_since(self.started),
            settled => settled,
        })
    }

    /// What one reading costs, in thousandths of a nanosecond: the cheapest of several batches.
    pub fn cost_milli(&self) -> u64 {
        const READINGS: u64 = 256;
        let batch = || {
            let start = Ticks::now();
            for _ in 1..READINGS {
                core::hint::black_box(Ticks::now());
            }
            Ticks::now().since(start)
        };
        let cheapest = (0..16).map(|_| batch()).min().unwrap_or(0);
        self.scale().nanos(cheapest.saturating_mul(1000)) / READINGS
    }
}

/// Nanoseconds in a tick, in units of 2^-32.
#[derive(Clone, Copy)]
pub struct Scale(u64);

impl Scale {
    /// So many ticks in nanoseconds.
    pub fn nanos(self, ticks: u64) -> u64 {
        let nanos = (u128::from(ticks) * u128::from(self.0)) >> 32;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// So many nanoseconds in ticks.
    pub fn ticks(self, nanos: u64) -> u64 {
        let ticks = (u128::from(nanos) << 32).checked_div(u128::from(self.0));
        u64::try_from(ticks.unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Ticks in a second.
    pub fn frequency(self) -> u64 {
        let per_second = (1_000_000_000_u128 << 32).checked_div(u128::from(self.0));
        u64::try_from(per_second.unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn ticks_become_the_time_that_passed() {
        let clock = Clock::start();
        let (ticks, instant) = (Ticks::now(), Instant::now());
        wdk_sync::stall(Duration::from_millis(20));
        let (ticks, passed) = (Ticks::now().since(ticks), instant.elapsed());
        clock.settle();
        let measured = Duration::from_nanos(clock.scale().nanos(ticks));
        let off = measured.abs_diff(passed);
        assert!(off < passed / 10, "{measured:?} for {passed:?}");
    }

    #[test]
    fn a_reading_costs_something() {
        let clock = Clock::start();
        wdk_sync::stall(Duration::from_millis(2));
        let cost = clock.cost_milli();
        assert!(cost > 0 && cost < 100_000, "{cost} ps");
    }

    #[test]
    fn a_day_of_ticks_is_a_day() {
        let four_gigahertz = Scale(1 << 30);
        let day = 86_400 * 1_000_000_000;
        assert_eq!(four_gigahertz.nanos(4 * day), day);
        assert_eq!(four_gigahertz.frequency(), 4_000_000_000);
        assert_eq!(four_gigahertz.ticks(day), 4 * day);
        assert_eq!(Scale(u64::MAX).nanos(u64::MAX), u64::MAX);
        assert_eq!(Scale(0).frequency(), 0);
    }
}
