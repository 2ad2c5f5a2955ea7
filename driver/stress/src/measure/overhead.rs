//! What measuring costs: passes with and without it in turns, in one run.

use alloc::vec::Vec;

use wdk_sync::Status;

use super::Ticks;

/// Passes in a batch; between two batches measuring is turned on or off.
const BATCH: u32 = 64;

/// Batches that are kept of each sort; later ones take the place of the first.
const KEPT: usize = 4096;

/// The times of batches of one worker.
pub struct Overhead {
    measured: PassTimes,
    bare: PassTimes,
    left: u32,
    since: Ticks,
}

/// Times of batches of passes, in ticks.
pub struct PassTimes {
    batches: Vec<u64>,
    next: usize,
}

impl Overhead {
    /// Before the first pass, which is measured.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new() -> Result<Self, Status> {
        Ok(Self {
            measured: PassTimes::new()?,
            bare: PassTimes::new()?,
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
        let times = if *measures {
            &mut self.measured
        } else {
            &mut self.bare
        };
        times.put(took);
        *measures = !*measures;
        self.left = BATCH;
        self.since = Ticks::now();
    }

    /// The times of passes that were measured, and of those that were not.
    pub fn into_times(self) -> (PassTimes, PassTimes) {
        (self.measured, self.bare)
    }
}

impl PassTimes {
    fn new() -> Result<Self, Status> {
        let mut batches = Vec::new();
        batches
            .try_reserve_exact(KEPT)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self { batches, next: 0 })
    }

    fn put(&mut self, ticks: u64) {
        if self.batches.len() < KEPT {
            self.batches.push(ticks);
        } else if let Some(oldest) = self.batches.get_mut(self.next) {
            *oldest = ticks;
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// The time of a pass in thousandths of a tick, in the batch that `percent` of all do not exceed;
    /// 0 if there is none.
    pub fn percentile_milli(&mut self, percent: usize) -> u64 {
        self.batches.sort_unstable();
        let rank = self.batches.len().saturating_mul(percent) / 100;
        let batch = self.batches.get(rank).copied().unwrap_or(0);
        batch.saturating_mul(1000) / u64::from(BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_take_turns() {
        let mut overhead = Overhead::new().unwrap();
        let mut measures = true;
        let mut turns = 0;
        for _ in 0..10 * BATCH {
            let before = measures;
            overhead.passed(&mut measures);
            turns += u32::from(measures != before);
        }
        assert_eq!(turns, 10);
        let times = overhead.into_times();
        assert_eq!((times.0.batches.len(), times.1.batches.len()), (5, 5));
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut times = PassTimes::new().unwrap();
        for ticks in 0..2 * KEPT as u64 {
            times.put(ticks * u64::from(BATCH));
        }
        assert_eq!(times.batches.len(), KEPT);
        assert_eq!(times.percentile_milli(0), KEPT as u64 * 1000);
        assert_eq!(times.percentile_milli(50), (KEPT as u64 * 3 / 2) * 1000);
    }

    #[test]
    fn no_batch_no_time() {
        assert_eq!(PassTimes::new().unwrap().percentile_milli(50), 0);
    }
}
