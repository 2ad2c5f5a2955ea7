//! How long a run is to take, as it is typed: `3` or `0.25` seconds.

use std::{str::FromStr, time::Duration};

use crate::parameters::Setting;

/// A number of seconds, to a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length(Duration);

impl Length {
    /// What makes a run as long.
    pub fn setting(self) -> Setting {
        let (name, value) = if self.0.subsec_millis() == 0 {
            ("seconds", self.0.as_secs().into())
        } else {
            ("milliseconds", self.0.as_millis())
        };
        Setting {
            name: name.to_owned(),
            value: u64::try_from(value).unwrap_or(u64::MAX),
        }
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
    use super::*;

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
    fn what_is_no_length_is_refused() {
        for wrong in ["", "a", "-1", "inf", "NaN", "1e300", "1,5"] {
            assert!(wrong.parse::<Length>().is_err(), "{wrong}");
        }
    }
}
