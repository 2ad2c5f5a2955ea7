//! What a worker does between two changes of its processor or its priority.

use core::time::Duration;

use wdk_sync::{AtPriority, Instant, Irql, OnProcessor, Passive, Priority, active_processors};

use super::worker::Worker;
use crate::{
    run::{Beat, Beats},
    settings::ParameterId,
};

/// Where and how urgently a worker works, and until when.
pub struct Stint {
    shuffle: u32,
    boost: u32,
    /// The processor that it stays on.
    processor: Option<u32>,
    /// When it had its real-time priority, and for how long it may keep it.
    boosted: Option<(Instant, Duration)>,
}

impl Stint {
    /// The next one of `worker`.
    pub fn next(worker: &mut Worker<'_>) -> Self {
        let (shuffle, boost) = (worker.beat(Beat::Shuffle), worker.beat(Beat::Boost));
        let processor = (worker.settings().get(ParameterId::Shuffle) != 0)
            .then(|| worker.below(active_processors().into()))
            .and_then(|number| u32::try_from(number).ok());
        let turn = worker.settings().millis(ParameterId::Boost);
        let mine = boost as usize % worker.workers().max(1) == worker.index();
        let boosted = mine && !turn.is_zero() && worker.begins_boost(boost);
        Self {
            shuffle,
            boost,
            processor,
            boosted: boosted.then(|| (Instant::now(), turn)),
        }
    }

    /// Calls `f` at the priority of the stint and on its processor.
    pub fn at_its_priority(
        &self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Irql<'_, Passive>),
    ) {
        if self.boosted.is_some() {
            let mut urgent = AtPriority::enter(irql, Priority::LOW_REALTIME);
            self.on_its_processor(urgent.irql(), f);
        } else {
            self.on_its_processor(irql, f);
        }
    }

    fn on_its_processor(
        &self,
        irql: &mut Irql<'_, Passive>,
        f: impl FnOnce(&mut Irql<'_, Passive>),
    ) {
        let Some(processor) = self.processor else {
            return f(irql);
        };
        if let Some(mut there) = OnProcessor::enter(irql, processor) {
            return f(there.irql());
        }
        f(irql);
    }

    /// Whether the worker goes on as it is.
    pub fn goes_on(&self, beats: &Beats) -> bool {
        if beats.get(Beat::Shuffle) != self.shuffle || beats.get(Beat::Boost) != self.boost {
            return false;
        }
        // A worker with a real-time priority may keep whoever beats from the processor, so it looks
        // at the clock itself.
        self.boosted
            .is_none_or(|(since, turn)| since.elapsed() < turn)
    }
}
