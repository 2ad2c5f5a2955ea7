//! Latency distributions: what the driver's histograms tell, of one worker or of several.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::Histogram;

/// How often values were seen, and what follows from it. Values are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// How many values there are.
    pub count: u64,
    /// The mean value.
    pub mean_ns: u64,
    /// Half of all values are at most this.
    pub p50_ns: u64,
    /// Nine of ten are.
    pub p90_ns: u64,
    /// 99 of a hundred.
    pub p99_ns: u64,
    /// 999 of a thousand.
    pub p99_9_ns: u64,
    /// 9999 of ten thousand.
    pub p99_99_ns: u64,
    /// The largest value, exactly.
    pub maximum_ns: u64,
    /// The buckets: the smallest value, the largest one, and how often one was seen.
    pub buckets: Vec<[u64; 3]>,
}

impl Latency {
    /// All values of `histograms` together. None if there are no values.
    pub fn of<'h>(histograms: impl IntoIterator<Item = &'h Histogram>) -> Option<Self> {
        let mut buckets: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let (mut total_ns, mut maximum_ns) = (0_u128, 0);
        for histogram in histograms {
            total_ns += u128::from(histogram.total_ns);
            maximum_ns = histogram.maximum_ns.max(maximum_ns);
            for bucket in &histogram.buckets {
                let count = buckets
                    .entry((bucket.lowest_ns, bucket.highest_ns))
                    .or_default();
                *count = count.saturating_add(bucket.count);
            }
        }
        let buckets: Vec<[u64; 3]> = buckets
            .into_iter()
            .map(|((lowest, highest), count)| [lowest, highest.min(maximum_ns.max(lowest)), count])
            .collect();
        let count = buckets
            .iter()
            .fold(0_u64, |sum, [.., count]| sum.saturating_add(*count));
        let mean = total_ns.checked_div(u128::from(count))?;
        let quantile = |per_10_000| quantile(&buckets, count, per_10_000);
        Some(Self {
            count,
            mean_ns: u64::try_from(mean).unwrap_or(u64::MAX),
            p50_ns: quantile(5_000),
            p90_ns: quantile(9_000),
            p99_ns: quantile(9_900),
            p99_9_ns: quantile(9_990),
            p99_99_ns: quantile(9_999),
            maximum_ns,
            buckets,
        })
    }
}

/// What `per_10_000` of 10 000 values do not exceed: the upper end of the bucket, since what is in it
/// is not told apart.
fn quantile(buckets: &[[u64; 3]], count: u64, per_10_000: u64) -> u64 {
    let rank = (u128::from(count) * u128::from(per_10_000)).div_ceil(10_000);
    let mut seen = 0_u128;
    let reached = buckets.iter().find(|[.., count]| {
        seen += u128::from(*count);
        seen >= rank
    });
    reached.map_or(0, |[_, highest, _]| *highest)
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::Bucket;

    use super::*;

    fn histogram(buckets: &[(u64, u64, u64)], maximum_ns: u64, total_ns: u64) -> Histogram {
        let bucket = |&(lowest_ns, highest_ns, count): &(u64, u64, u64)| Bucket {
            lowest_ns,
            highest_ns,
            count,
        };
        Histogram {
            total_ns,
            maximum_ns,
            buckets: buckets.iter().map(bucket).collect(),
        }
    }

    #[test]
    fn quantiles_are_upper_ends_of_buckets() {
        let one = histogram(&[(0, 0, 50), (10, 19, 49)], 19, 49 * 15);
        let other = histogram(&[(10, 19, 0), (1000, 1999, 1)], 1500, 1500);
        let latency = Latency::of([&one, &other]).unwrap();
        assert_eq!(latency.count, 100);
        assert_eq!(
            (latency.p50_ns, latency.p90_ns, latency.p99_ns),
            (0, 19, 19)
        );
        // The largest value is known exactly, so its bucket ends there.
        assert_eq!((latency.p99_99_ns, latency.maximum_ns), (1500, 1500));
        assert_eq!(latency.mean_ns, (49 * 15 + 1500) / 100);
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(Latency::of([]), None);
        assert_eq!(Latency::of([&Histogram::default()]), None);
    }

    #[test]
    fn ten_billion_values_overflow_nothing() {
        let many = histogram(&[(1_000, 1_063, 10_000_000_000)], 1_063, 10_000_000_000_000);
        let latency = Latency::of(std::iter::repeat_n(&many, 256)).unwrap();
        assert_eq!(latency.count, 2_560_000_000_000);
        assert_eq!((latency.mean_ns, latency.p99_99_ns), (1_000, 1_063));
    }
}
