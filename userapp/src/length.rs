//! How long a run is to take: as it is typed, `3` or `0.25` seconds, and as the parameters that tell it to
//! the driver, which says itself which those are.

use std::{cmp::Reverse, collections::BTreeMap, fmt, str::FromStr, time::Duration};

use crate::{catalog::Item, error::Error, parameters::Setting};

/// How long a run of `item` with these parameters is to take; nothing if they do not say.
pub fn told_by(item: &Item, parameters: &BTreeMap<String, u64>) -> Duration {
    let told = tellers(item).into_iter().rev().find_map(|teller| {
        let value = parameters.get(teller.name).copied()?;
        (value != 0).then(|| teller.tells(value))
    });
    told.unwrap_or_default()
}

/// The names of the parameters that say how long a run of `item` is.
pub fn names(item: &Item) -> impl Iterator<Item = &str> {
    tellers(item).into_iter().map(|it| it.name)
}

/// What makes a run of `item` as long as that, or a little shorter where it cannot be told so exactly.
///
/// # Errors
/// A usage error if the driver does not say how it is told.
pub fn setting_for(item: &Item, length: Duration) -> Result<Setting, Error> {
    let tellers = tellers(item);
    let exact = tellers
        .iter()
        .find(|it| it.tells(it.units_in(length)) == length);
    let teller = exact.or_else(|| tellers.last()).ok_or_else(|| {
        Error::usage(
            format!(
                "the driver does not say how {} is told how long to run",
                item.name
            ),
            "drivers do since protocol 1.3; run it without a length".to_owned(),
        )
    })?;
    Ok(teller.setting(teller.units_in(length).max(1)))
}

/// A parameter that says how long a run is.
struct Teller<'i> {
    name: &'i str,
    unit: Duration,
}

/// Those of an item, in the order of their units, the largest first.
fn tellers(item: &Item) -> Vec<Teller<'_>> {
    let told = item.parameters.iter().filter_map(|it| {
        let (name, unit) = (it.name.as_str(), it.length_unit?);
        Some(Teller { name, unit })
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by_key(|it| Reverse(it.unit));
    told
}

impl Teller<'_> {
    fn tells(&self, value: u64) -> Duration {
        let nanos = self.unit.as_nanos().saturating_mul(value.into());
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }

    fn units_in(&self, length: Duration) -> u64 {
        let units = length.as_nanos().checked_div(self.unit.as_nanos());
        u64::try_from(units.unwrap_or(0)).unwrap_or(u64::MAX)
    }

    fn setting(&self, value: u64) -> Setting {
        Setting {
            name: self.name.to_owned(),
            value,
        }
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

    /// What makes a run of `item` exactly as long.
    ///
    /// # Errors
    /// A usage error if that cannot be told to the driver.
    pub fn setting_for(self, item: &Item) -> Result<Setting, Error> {
        let setting = setting_for(item, self.0)?;
        let told = [(setting.name.clone(), setting.value)].into();
        if told_by(item, &told) == self.0 {
            return Ok(setting);
        }
        Err(Error::usage(
            format!("{} cannot run for {self}", item.name),
            format!("the driver is told of it by `{}` alone", setting.name),
        ))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let seconds = typed.parse::<f64>().ok();
        let length = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
        let millis = length.and_then(|it| u64::try_from(it.as_millis()).ok());
        match millis {
            None => Err("it is no number of seconds, such as 3 or 0.25".to_owned()),
            Some(0) => Err("it is less than a thousandth of a second".to_owned()),
            Some(millis) => Ok(Self(Duration::from_millis(millis))),
        }
    }
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::catalog::samples;

    /// By names that no driver has, since it is not by them that they are known.
    fn item(told_in: &[(&str, Duration)]) -> Item {
        let mut item = samples::item(1, ItemKind::Scenario, "spinlock", false);
        item.parameters = vec![samples::parameter(1, "seconds", 1..=9)];
        for (index, (name, unit)) in (2..).zip(told_in) {
            let mut parameter = samples::parameter(index, name, 0..=600_000);
            parameter.length_unit = Some(*unit);
            item.parameters.push(parameter);
        }
        item
    }

    const SECOND: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn both() -> Item {
        item(&[("fine", MILLISECOND), ("coarse", SECOND)])
    }

    fn pair(setting: Setting) -> (String, u64) {
        (setting.name, setting.value)
    }

    #[test]
    fn a_length_is_told_in_the_largest_unit_that_tells_it() {
        let told = |typed: &str| {
            pair(
                typed
                    .parse::<Length>()
                    .unwrap()
                    .setting_for(&both())
                    .unwrap(),
            )
        };
        assert_eq!(told("3"), ("coarse".to_owned(), 3));
        assert_eq!(told("2.0"), ("coarse".to_owned(), 2));
        assert_eq!(told("0.25"), ("fine".to_owned(), 250));
        assert_eq!(told("1.5"), ("fine".to_owned(), 1_500));
    }

    #[test]
    fn what_cannot_be_told_exactly_is_refused_or_cut() {
        let coarse = item(&[("coarse", SECOND)]);
        let half = "1.5".parse::<Length>().unwrap();
        let error = half.setting_for(&coarse).unwrap_err();
        assert_eq!(error.to_string(), "spinlock cannot run for 1.5 s");
        assert_eq!(
            error.hint(),
            Some("the driver is told of it by `coarse` alone")
        );
        let cut =
            |item: &Item, micros| pair(setting_for(item, Duration::from_micros(micros)).unwrap());
        assert_eq!(cut(&coarse, 7_200_000), ("coarse".to_owned(), 7));
        assert_eq!(cut(&coarse, 800_000), ("coarse".to_owned(), 1));
        assert_eq!(cut(&both(), 800_600), ("fine".to_owned(), 800));
    }

    #[test]
    fn a_driver_that_does_not_say_how_gets_no_length() {
        let old = item(&[]);
        assert!(Length::of_seconds(1).setting_for(&old).is_err());
        assert_eq!(
            told_by(&old, &[("seconds".to_owned(), 5)].into()),
            Duration::ZERO
        );
        assert_eq!(names(&old).count(), 0);
    }

    #[test]
    fn the_smallest_unit_counts_that_is_not_0() {
        let told = |coarse, fine| {
            let parameters = [("coarse".to_owned(), coarse), ("fine".to_owned(), fine)];
            told_by(&both(), &parameters.into())
        };
        assert_eq!(told(5, 0), Duration::from_secs(5));
        assert_eq!(told(5, 250), Duration::from_millis(250));
        assert_eq!(told(u64::MAX, 0), Duration::MAX);
        assert_eq!(told_by(&both(), &BTreeMap::new()), Duration::ZERO);
    }

    #[test]
    fn what_is_no_length_is_refused() {
        for wrong in ["", "a", "-1", "inf", "NaN", "1e300", "1,5", "0", "0.0001"] {
            assert!(wrong.parse::<Length>().is_err(), "{wrong}");
        }
    }
}
