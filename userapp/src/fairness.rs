//! How evenly a lock was given to those who wanted it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Two measures over the shares of equals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fairness {
    /// The smallest share over the largest: 1 is even, 0 means that somebody got nothing.
    pub min_over_max: f64,
    /// Jain's index, (Σx)² / (n·Σx²): 1 is even, 1/n means that one got everything.
    pub jain: f64,
}

impl Fairness {
    /// Of at least two shares that are not all zero.
    #[must_use]
    pub fn of(shares: &[u64]) -> Option<Self> {
        let most = *shares.iter().max()?;
        let least = *shares.iter().min()?;
        if shares.len() < 2 || most == 0 {
            return None;
        }
        let relative: Vec<f64> = shares.iter().map(|&share| ratio(share, most)).collect();
        let sum: f64 = relative.iter().sum();
        let squares: f64 = relative.iter().map(|share| share * share).sum();
        let jain = sum * sum / (relative.iter().map(|_| 1.0).sum::<f64>() * squares);
        Some(Self {
            min_over_max: ratio(least, most),
            jain,
        })
    }

    /// The less even of two, each measure by itself.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        Self {
            min_over_max: self.min_over_max.min(other.min_over_max),
            jain: self.jain.min(other.jain),
        }
    }
}

/// `part` of `whole`; 0 of nothing.
#[allow(
    clippy::cast_precision_loss,
    reason = "shares and rates are shown with three digits, counts stay far below 2^52"
)]
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Which part of the attempts, those that acquired and those that came to nothing, found the lock taken.
pub fn contention(contended: u64, acquisitions: u64, timeouts: u64) -> f64 {
    ratio(contended, acquisitions.saturating_add(timeouts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn even_shares_are_fair() {
        let fairness = Fairness::of(&[7, 7, 7]).unwrap();
        assert!(close(fairness.jain, 1.0) && close(fairness.min_over_max, 1.0));
    }

    #[test]
    fn one_who_gets_everything_is_one_nth() {
        let fairness = Fairness::of(&[0, 0, 0, 12]).unwrap();
        assert!(close(fairness.jain, 0.25) && close(fairness.min_over_max, 0.0));
    }

    #[test]
    fn shares_one_and_three() {
        let fairness = Fairness::of(&[1, 3]).unwrap();
        assert!(close(fairness.jain, 0.8) && close(fairness.min_over_max, 1.0 / 3.0));
    }

    #[test]
    fn nobody_to_compare() {
        assert_eq!(Fairness::of(&[]), None);
        assert_eq!(Fairness::of(&[5]), None);
        assert_eq!(Fairness::of(&[0, 0]), None);
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        assert!(close(Fairness::of(&[u64::MAX; 64]).unwrap().jain, 1.0));
    }
}
