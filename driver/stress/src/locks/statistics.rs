//! How often and for how long the driver's locks are wanted and held.

use syncstress_protocol::{LockFeatures, LockStatistics, LockTimes, LockWatch};
use wdk_sync::{
    Status,
    lock_stat::{self, ClassStatistics, Times},
};

use super::record::{list_all, number, table_use};
use crate::message::Message;

/// Tells how much is known.
pub fn tell(watch: &mut LockWatch) {
    watch.features |= LockFeatures::LOCK_STAT;
    watch.ticks_per_second = lock_stat::frequency();
    watch.classes = table_use(lock_stat::fill());
}

/// Lists what was counted, class by class.
pub fn list_statistics(message: Message<'_>) -> Result<usize, Status> {
    list_all(message, || lock_stat::classes().map(statistics))
}

fn statistics(of: ClassStatistics) -> LockStatistics {
    LockStatistics {
        class: number(of.class.number()),
        reserved: 0,
        acquisitions: of.acquisitions,
        contentions: of.contentions,
        not_acquired: of.not_acquired,
        wait: times(of.wait),
        hold: times(of.hold),
    }
}

const fn times(of: Times) -> LockTimes {
    LockTimes {
        count: of.count,
        shortest: of.shortest,
        longest: of.longest,
        total: of.total,
    }
}
