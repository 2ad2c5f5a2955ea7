//! How long a run is to take: as it is typed, `3` or `0.25` seconds, and as the parameters that tell it.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use crate::{catalog::Item, parameters::Setting};

const SECONDS: &str = "seconds";
/// In place of seconds, unless it is 0; drivers of old have it not.
const MILLISECONDS: &str = "milliseconds";

/// Whether a parameter of this name says how long a run is.
pub fn is_told_by(name: &str) -> bool {
    [SECONDS, MILLISECONDS].contains(&name)
}

/// How long a run with these parameters is to take; nothing if they do not say.
pub fn told_by(parameters: &BTreeMap<String, u64>) -> Duration {
    let value = |name| parameters.get(name).copied().unwrap_or(0);
    match value(MILLISECONDS) {
        0 => Duration::from_secs(value(SECONDS)),
        millis => Duration::from_millis(millis),
    }
}

/// A number of seconds, to a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length(Duration);

impl Length {
    /// So many seconds.
    pub const fn of_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// What makes a run as long.
    pub fn setting(self) -> Setting {
        if self.0.subsec_millis() == 0 {
            in_seconds(self.0)
        } else {
            in_millis(self.0)
        }
    }
}

/// What makes a run of `item` as long as that. A driver that is told of seconds alone gets one at least.
pub fn setting_for(item: &Item, length: Duration) -> Setting {
    if item.takes(MILLISECONDS) {
        in_millis(length)
    } else {
        in_seconds(length.max(Duration::from_secs(1)))
    }
}

fn in_seconds(length: Duration) -> Setting {
    Setting {
        name: SECONDS.to_owned(),
        value: length.as_secs(),
    }
}

fn in_millis(length: Duration) -> Setting {
    Setting {
        name: MILLISECONDS.to_owned(),
        value: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let seconds = typed.parse::<f64>().ok();
        let length = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
        let millis = length.and_then(|it| u64::try_from(it.as_millis()).ok());
        let millis = millis.ok_or("it is no number of seconds, such as 3 or 0.25")?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::catalog::samples;

    #[test]
    fn whole_seconds_are_told_as_such_and_others_in_milliseconds() {
        let setting = |typed: &str| {
            let Setting { name, value } = typed.parse::<Length>().unwrap().setting();
            (name, value)
        };
        assert_eq!(setting("3"), ("seconds".to_owned(), 3));
        assert_eq!(setting("0"), ("seconds".to_owned(), 0));
        assert_eq!(setting("2.0"), ("seconds".to_owned(), 2));
        assert_eq!(setting("0.25"), ("milliseconds".to_owned(), 250));
        assert_eq!(setting("1.5"), ("milliseconds".to_owned(), 1_500));
    }

    #[test]
    fn an_item_is_told_in_what_it_takes() {
        let mut item = samples::item(1, ItemKind::Scenario, "spinlock", false);
        item.parameters = vec![samples::parameter(3, SECONDS, 1..=600)];
        let told = |item: &Item, millis| {
            let setting = setting_for(item, Duration::from_millis(millis));
            (setting.name, setting.value)
        };
        assert_eq!(told(&item, 800), (SECONDS.to_owned(), 1));
        assert_eq!(told(&item, 7_200), (SECONDS.to_owned(), 7));
        let millis = samples::parameter(31, MILLISECONDS, 0..=600_000);
        item.parameters.push(millis);
        assert_eq!(told(&item, 800), (MILLISECONDS.to_owned(), 800));
    }

    #[test]
    fn milliseconds_are_in_place_of_seconds_unless_they_are_0() {
        let told = |seconds, millis| {
            let parameters = [(SECONDS, seconds), (MILLISECONDS, millis)];
            told_by(
                &parameters
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
            )
        };
        assert_eq!(told(5, 0), Duration::from_secs(5));
        assert_eq!(told(5, 250), Duration::from_millis(250));
        assert_eq!(told_by(&BTreeMap::new()), Duration::ZERO);
    }

    #[test]
    fn what_is_no_length_is_refused() {
        for wrong in ["", "a", "-1", "inf", "NaN", "1e300", "1,5"] {
            assert!(wrong.parse::<Length>().is_err(), "{wrong}");
        }
    }
}
