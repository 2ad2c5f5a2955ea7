//! Lists of numbers on the command line.

use std::{iter, str::FromStr};

/// Numbers on the command line: `4`, `1..8` (which doubles: 1, 2, 4, 8) or `1,3,5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers(pub Vec<u64>);

impl Numbers {
    /// How many threads there are: at least one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn threads(typed: &str) -> Result<Self, String> {
        typed.parse::<Self>()?.all(|it| it > 0, "is no thread")
    }

    /// Parts of a hundred.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn percentages(typed: &str) -> Result<Self, String> {
        typed
            .parse::<Self>()?
            .all(|it| it <= 100, "is more than all, which is 100")
    }

    fn all(self, fits: fn(u64) -> bool, if_not: &str) -> Result<Self, String> {
        if let Some(other) = self.0.iter().find(|it| !fits(**it)) {
            return Err(format!("{other} {if_not}"));
        }
        Ok(self)
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        if let Some((first, last)) = typed.split_once("..") {
            return doubling(number(first)?, number(last)?).map(Self);
        }
        typed
            .split(',')
            .map(number)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|error| format!("`{text}` is no number: {error}"))
}

fn doubling(first: u64, last: u64) -> Result<Vec<u64>, String> {
    if first == 0 {
        return Err("a range doubles, which 0 does not".to_owned());
    }
    if first > last {
        return Err(format!("from {first} on there is no {last}"));
    }
    let doubled = iter::successors(Some(first), |it| it.checked_mul(2));
    Ok(doubled
        .take_while(|it| *it < last)
        .chain(iter::once(last))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_a_range_or_a_list() {
        let numbers = |typed: &str| typed.parse::<Numbers>().map(|it| it.0);
        assert_eq!(numbers("4"), Ok(vec![4]));
        assert_eq!(numbers("1..8"), Ok(vec![1, 2, 4, 8]));
        assert_eq!(numbers("1..6"), Ok(vec![1, 2, 4, 6]));
        assert_eq!(numbers("0,10,100"), Ok(vec![0, 10, 100]));
        for wrong in ["", "a", "8..1", "0..8", "1,,2", "1..x"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_threads_at_all_and_more_readers_than_all_are_refused() {
        assert_eq!(Numbers::threads("1,2").map(|it| it.0), Ok(vec![1, 2]));
        assert_eq!(Numbers::threads("2,0"), Err("0 is no thread".to_owned()));
        assert_eq!(
            Numbers::percentages("0,100").map(|it| it.0),
            Ok(vec![0, 100])
        );
        assert!(Numbers::percentages("50,101").is_err());
    }
}
