//! A profile's time, and what each scenario gets of it.

use std::time::{Duration, Instant};

use crate::{catalog::Item, parameters::Setting};

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

    /// What makes a run of `item`, the first of so many, as long as its share. A driver that is told
    /// of seconds alone gets one at least.
    pub(super) fn setting(self, item: &Item, scenarios: usize) -> Setting {
        setting(item, self.share(scenarios))
    }
}

fn share(left: Duration, scenarios: usize) -> Duration {
    let count = u32::try_from(scenarios).unwrap_or(u32::MAX).max(1);
    (left / count).max(LEAST)
}

fn setting(item: &Item, share: Duration) -> Setting {
    let (name, value) = if item.takes("milliseconds") {
        ("milliseconds", share.as_millis())
    } else {
        ("seconds", u128::from(share.as_secs().max(1)))
    };
    Setting {
        name: name.to_owned(),
        value: u64::try_from(value).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::catalog::samples;

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

    #[test]
    fn a_driver_that_knows_no_milliseconds_gets_seconds() {
        let mut item = samples::item(1, ItemKind::Scenario, "a", false);
        item.parameters = vec![samples::parameter(3, "seconds", 1..=600)];
        let told = |item: &Item, millis| {
            let Setting { name, value } = setting(item, Duration::from_millis(millis));
            (name, value)
        };
        assert_eq!(told(&item, 800), ("seconds".to_owned(), 1));
        assert_eq!(told(&item, 7_200), ("seconds".to_owned(), 7));
        let millis = samples::parameter(31, "milliseconds", 0..=600_000);
        item.parameters.push(millis);
        assert_eq!(told(&item, 800), ("milliseconds".to_owned(), 800));
    }
}
