//! What measuring costs: passes with and without it in turns, in one run.

use alloc::vec::Vec;

use wdk_sync::Status;

use super::Ticks;

/// Passes in a batch, all of which are measured or none is.
const BATCH: u32 = 64;

/// One pair in so many tells of the cost: the quickest ones, in which nothing else was going on.
const QUIET: usize = 4;

/// The most pairs of batches that are kept. When there are more, every other two are let go, so that those
/// that are left are of the whole run.
const KEPT: usize = 4096;

/// The times of batches of one worker, in pairs: one batch that is measured and one that is not, the one
/// after the other. What a machine does meanwhile slows both, so it is the difference within a pair that
/// tells of the cost. Every other pair begins with the bare one: what only grows is in none.
pub struct Overhead {
    pairs: Vec<Pair>,
    /// How many pairs there were.
    over: u64,
    /// Of so many two that follow one another, which begin with either batch, one is kept.
    every: u64,
    /// The first batch of a pair, when that is over.
    first: Option<u64>,
    left: u32,
    since: Ticks,
}

/// What two batches took, in ticks.
#[derive(Clone, Copy)]
struct Pair {
    measured: u64,
    bare: u64,
}

impl Pair {
    const fn of(measured: u64, bare: u64) -> Self {
        Self { measured, bare }
    }
}

impl Overhead {
    /// Before the first pass, which is measured.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new() -> Result<Self, Status> {
        let mut pairs = Vec::new();
        pairs
            .try_reserve_exact(KEPT)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self {
            pairs,
            over: 0,
            every: 1,
            first: None,
            left: BATCH,
            since: Ticks::now(),
        })
    }

    /// After a pass; `measures` tells of this one, and, afterwards, of the next one.
    pub fn passed(&mut self, measures: &mut bool) {
        self.left -= 1;
        if self.left != 0 {
            return;
        }
        let took = Ticks::now().since(self.since);
        self.batch_took(took, measures);
        self.left = BATCH;
        self.since = Ticks::now();
    }

    fn batch_took(&mut self, ticks: u64, measures: &mut bool) {
        let Some(first) = self.first.take() else {
            self.first = Some(ticks);
            *measures = !*measures;
            return;
        };
        self.put(if *measures {
            Pair::of(ticks, first)
        } else {
            Pair::of(first, ticks)
        });
    }

    fn put(&mut self, pair: Pair) {
        let two = self.over / 2;
        self.over += 1;
        if !two.is_multiple_of(self.every) {
            return;
        }
        if self.pairs.len() == KEPT {
            let mut index = 0_usize;
            self.pairs.retain(|_| {
                index += 1;
                ((index - 1) / 2).is_multiple_of(2)
            });
            self.every = self.every.saturating_mul(2);
        }
        self.pairs.push(pair);
    }

    /// The time of a pass that was measured, in thousandths of a tick, in the batch that `percent` of all
    /// do not exceed.
    pub fn measured_milli(&mut self, percent: usize) -> i64 {
        percentile_milli(&mut self.pairs, percent, |pair| signed(pair.measured))
    }

    /// The same of a pass that was not.
    pub fn bare_milli(&mut self, percent: usize) -> i64 {
        percentile_milli(&mut self.pairs, percent, |pair| signed(pair.bare))
    }

    /// By how much longer the first took than the second, in the pair that `percent` of the quickest pairs do
    /// not exceed. Quick are those whose two batches together are: that favours neither.
    pub fn cost_milli(&mut self, percent: usize) -> i64 {
        self.pairs
            .sort_unstable_by_key(|pair| pair.measured.saturating_add(pair.bare));
        let quick = self.pairs.len().div_ceil(QUIET);
        let quickest = self.pairs.get_mut(..quick).unwrap_or_default();
        percentile_milli(quickest, percent, |pair| {
            signed(pair.measured).saturating_sub(signed(pair.bare))
        })
    }
}

/// What `of` gives for the pair that `percent` of them do not exceed, for a pass, in thousandths; 0 if there
/// is none.
fn percentile_milli(pairs: &mut [Pair], percent: usize, of: fn(&Pair) -> i64) -> i64 {
    pairs.sort_unstable_by_key(of);
    let rank = pairs.len().saturating_mul(percent) / 100;
    let batch = pairs.get(rank).map_or(0, of);
    batch.saturating_mul(1000) / i64::from(BATCH)
}

fn signed(ticks: u64) -> i64 {
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cost that is seen of batches of which each takes so long: by its number, and when measured.
    fn seen(pairs: u64, ticks: impl Fn(u64, bool) -> u64) -> Overhead {
        let mut overhead = Overhead::new().unwrap();
        let mut measures = true;
        for number in 0..2 * pairs {
            let took = ticks(number, measures) * u64::from(BATCH);
            overhead.batch_took(took, &mut measures);
        }
        overhead
    }

    #[test]
    fn batches_take_turns() {
        let mut overhead = Overhead::new().unwrap();
        let (mut measures, mut turns) = (true, [0; 2]);
        for _ in 0..10 * BATCH {
            turns[usize::from(measures)] += 1;
            overhead.passed(&mut measures);
        }
        assert_eq!(turns, [5 * BATCH; 2]);
        assert_eq!(overhead.pairs.len(), 5);
    }

    #[test]
    fn a_machine_that_is_slow_at_times_costs_nothing() {
        // For half of the time all takes three times as long, and measuring, too; a third of the batches is
        // interrupted.
        let busy = |number: u64| {
            if (number / 100).is_multiple_of(2) {
                200
            } else {
                600
            }
        };
        let interrupted = |number: u64| if number.is_multiple_of(3) { 5_000 } else { 0 };
        let mut overhead = seen(2_000, |number, measures| {
            busy(number) / 200 * (200 + 7 * u64::from(measures)) + interrupted(number)
        });
        assert_eq!(overhead.cost_milli(50), 7_000);
    }

    #[test]
    fn what_only_grows_costs_nothing() {
        let mut overhead = seen(2_000, |number, _measures| 200 + number);
        // A tick, one way and the other.
        assert_eq!(
            (overhead.cost_milli(49), overhead.cost_milli(51)),
            (-1_000, 1_000)
        );
    }

    #[test]
    fn only_so_many_are_kept_and_of_the_whole_run() {
        let kept = KEPT as u64;
        let mut overhead = seen(2 * kept, |number, _measures| number / 2);
        assert_eq!(overhead.pairs.len(), KEPT);
        // Pairs 0, 1, 4, 5, 8 and so on.
        assert_eq!(overhead.bare_milli(0), 0);
        assert_eq!(overhead.measured_milli(50), signed(kept) * 1000);
        let last = overhead.pairs.last().copied().unwrap();
        assert_eq!(last.bare / u64::from(BATCH), 2 * kept - 3);
        seen(9 * kept, |number, _measures| number);
    }

    #[test]
    fn no_batch_no_time() {
        assert_eq!(Overhead::new().unwrap().cost_milli(50), 0);
    }
}
