//! A profile's time, and what each scenario gets of it.

use std::time::{Duration, Instant};

use crate::{catalog::Item, error::Error, length::setting_for, parameters::Setting};

/// No scenario gets less: there is nothing to be seen in it.
const LEAST: Duration = Duration::from_millis(20);

/// A time to be shared among scenarios.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    ends: Instant,
}

impl Budget {
    /// So much from now on.
    pub(super) fn from_now(length: Duration) -> Self {
        Self {
            ends: Instant::now() + length,
        }
    }

    /// What each of so many scenarios gets of what is left.
    pub(super) fn share(self, scenarios: usize) -> Duration {
        share(
            self.ends.saturating_duration_since(Instant::now()),
            scenarios,
        )
    }

    /// What makes a run of `item`, the first of so many, as long as its share.
    ///
    /// # Errors
    /// A usage error if the driver does not say how it is told.
    pub(super) fn setting(self, item: &Item, scenarios: usize) -> Result<Setting, Error> {
        setting_for(item, self.share(scenarios))
    }
}

fn share(left: Duration, scenarios: usize) -> Duration {
    let count = u32::try_from(scenarios).unwrap_or(u32::MAX).max(1);
    (left / count).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_shared_among_all_that_are_left() {
        assert_eq!(
            share(Duration::from_secs(20), 25),
            Duration::from_millis(800)
        );
        assert_eq!(
            share(Duration::from_secs(20), 100),
            Duration::from_millis(200)
        );
        assert_eq!(share(Duration::from_mins(3), 25).as_millis(), 7_200);
        assert_eq!(share(Duration::ZERO, 25), LEAST);
        assert_eq!(share(Duration::from_secs(20), 0), Duration::from_secs(20));
    }
}
