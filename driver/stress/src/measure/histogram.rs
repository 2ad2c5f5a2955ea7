//! Log-linear histograms in the manner of HDR: every power of two is cut into sixteen, so a value is
//! known to a sixteenth of itself, whatever its size.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use wdk_sync::Status;

/// Each power of two has `1 << PRECISION` buckets.
const PRECISION: u32 = 4;
const PER_OCTAVE: usize = 1 << PRECISION;

/// Up to 2^43 ticks, which is most of an hour at 3 GHz; what is beyond is in the last one.
const BUCKETS: usize = 40 * PER_OCTAVE;

/// Cells that keep those of two workers apart, by two cache lines, since processors fetch pairs of
/// them. By padding and not by alignment, which pool does not give.
const APART: usize = 16;

const TOTAL: usize = APART;
const MAXIMUM: usize = APART + 1;
const FIRST: usize = APART + 2;
const CELLS: usize = FIRST + BUCKETS + APART;

/// How often values were seen. One thread writes, or several under a lock; any may read meanwhile.
///
/// The cells are 64 bits wide: at a value each nanosecond they last for centuries.
pub struct Histogram(Vec<AtomicU64>);

/// One bucket, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The smallest value in it.
    pub lowest: u64,
    /// The largest one.
    pub highest: u64,
    /// How often one was seen.
    pub count: u64,
}

impl Histogram {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new() -> Result<Self, Status> {
        let mut cells = Vec::new();
        cells
            .try_reserve_exact(CELLS)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        cells.resize_with(CELLS, AtomicU64::default);
        Ok(Self(cells))
    }

    /// Counts a value that is zero, which needs neither sum nor maximum.
    #[inline]
    pub fn record_zero(&self) {
        self.add(FIRST, 1);
    }

    /// Counts a value.
    #[inline]
    pub fn record(&self, ticks: u64) {
        self.record_times(ticks, 1);
    }

    /// Counts a value that stands for so many like it.
    #[inline]
    pub fn record_times(&self, ticks: u64, times: u64) {
        self.add(FIRST + bucket_of(ticks), times);
        self.add(TOTAL, ticks.saturating_mul(times));
        if ticks > self.get(MAXIMUM) {
            self.set(MAXIMUM, ticks);
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        let counts = self.ranges(0).map(|(_, range)| range.count);
        counts.fold(0, u64::saturating_add)
    }

    /// The sum of all values.
    pub fn total(&self) -> u64 {
        self.get(TOTAL)
    }

    /// The largest value.
    pub fn maximum(&self) -> u64 {
        self.get(MAXIMUM)
    }

    /// The buckets that are not empty, each with its position, from position `first` on.
    pub fn ranges(&self, first: usize) -> impl Iterator<Item = (usize, Range)> {
        (first..BUCKETS).filter_map(|index| {
            let count = self.get(FIRST + index);
            (count != 0).then(|| {
                let (lowest, highest) = bounds_of(index);
                (
                    index,
                    Range {
                        lowest,
                        highest,
                        count,
                    },
                )
            })
        })
    }

    #[inline]
    fn get(&self, cell: usize) -> u64 {
        self.0
            .get(cell)
            .map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    #[inline]
    fn set(&self, cell: usize, value: u64) {
        if let Some(cell) = self.0.get(cell) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    #[inline]
    fn add(&self, cell: usize, amount: u64) {
        // The writer is alone, so it needs no read-modify-write.
        self.set(cell, self.get(cell).saturating_add(amount));
    }
}

/// Which bucket counts `ticks`.
#[inline]
fn bucket_of(ticks: u64) -> usize {
    let octave = (u64::BITS - ticks.leading_zeros()).saturating_sub(PRECISION + 1);
    // At most 2 * PER_OCTAVE - 1: it fits.
    let within = usize::try_from(ticks >> octave).unwrap_or(0);
    (octave as usize * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The smallest and the largest value of a bucket.
const fn bounds_of(index: usize) -> (u64, u64) {
    let octave = (index / PER_OCTAVE).saturating_sub(1);
    let within = (index - octave * PER_OCTAVE) as u64;
    let lowest = within << octave;
    let next = (within + 1) << octave;
    if index == BUCKETS - 1 {
        (lowest, u64::MAX)
    } else {
        (lowest, next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_and_hold_their_bounds() {
        let mut next = 0;
        for index in 0..BUCKETS {
            let (lowest, highest) = bounds_of(index);
            assert_eq!(lowest, next, "no value between two buckets");
            assert_eq!((bucket_of(lowest), bucket_of(highest)), (index, index));
            next = highest.wrapping_add(1);
        }
        assert_eq!(next, 0, "up to the largest value");
    }

    #[test]
    fn a_value_is_known_to_a_sixteenth() {
        for ticks in (0..60)
            .map(|shift| 3_u64 << shift)
            .filter(|it| *it < 1 << 43)
        {
            let (lowest, highest) = bounds_of(bucket_of(ticks));
            assert!((lowest..=highest).contains(&ticks));
            assert!(
                highest - lowest <= ticks / 16,
                "{ticks}: {lowest}..={highest}"
            );
        }
    }

    #[test]
    fn what_is_recorded_is_counted_summed_and_bounded() {
        let histogram = Histogram::new().unwrap();
        histogram.record_zero();
        for ticks in [5, 5, 1_000_000, u64::MAX] {
            histogram.record(ticks);
        }
        assert_eq!(histogram.total(), u64::MAX, "it stops at its largest value");
        assert_eq!(histogram.maximum(), u64::MAX);
        let counts: Vec<_> = histogram.ranges(0).map(|(_, range)| range.count).collect();
        assert_eq!(counts, [1, 2, 1, 1]);
        let (last, _) = histogram.ranges(0).last().unwrap();
        assert_eq!(last, BUCKETS - 1);
        assert_eq!(histogram.ranges(last).count(), 1, "from there on");
    }

    #[test]
    fn ten_billion_are_counted() {
        let histogram = Histogram::new().unwrap();
        // As if it had been recorded so often, since that takes minutes.
        histogram.record_times(3_000, 10_000_000_000);
        histogram.record(3_000);
        let (_, range) = histogram.ranges(0).next().unwrap();
        assert_eq!(range.count, 10_000_000_001);
        assert_eq!(histogram.total(), 10_000_000_001 * 3_000);
    }
}
