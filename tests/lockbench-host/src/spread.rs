//! A median, and how sure it is.

use serde::{Deserialize, Serialize};

/// What many measurements of one thing say.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// A quarter of the measurements is less.
    pub first_quartile: f64,
    /// Half of them is less.
    pub median: f64,
    /// Three quarters are less.
    pub third_quartile: f64,
    /// The true median is not less than this, with a confidence of 99 %.
    pub low: f64,
    /// The true median is not more than this, with a confidence of 99 %.
    pub high: f64,
}

impl Spread {
    /// Of measurements, if there are any.
    pub fn of_some(measurements: impl Iterator<Item = f64>) -> Option<Self> {
        let mut measurements = measurements.peekable();
        measurements
            .peek()
            .is_some()
            .then(|| Self::of(measurements))
    }

    /// Of at least one measurement.
    pub fn of(measurements: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = measurements.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| {
            sorted
                .get(index.min(sorted.len() - 1))
                .copied()
                .unwrap_or(f64::NAN)
        };
        let count = sorted.len();
        // How many measurements are below the true median is binomial: that, and no shape of the
        // measurements, gives the interval. 2.576 standard deviations are 99 %.
        let reach = (2_576 * 2_576 * count / 4_000_000).isqrt() + 1;
        Self {
            first_quartile: at(count / 4),
            median: at(count / 2),
            third_quartile: at(3 * count / 4),
            low: at((count / 2).saturating_sub(reach)),
            high: at(count / 2 + reach),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_interval_is_that_of_the_order_statistics() {
        let spread = Spread::of((0..400).rev().map(f64::from));
        assert!((spread.median - 200.0).abs() < f64::EPSILON);
        assert!((spread.first_quartile - 100.0).abs() < f64::EPSILON);
        assert!((spread.third_quartile - 300.0).abs() < f64::EPSILON);
        // 2.576 * sqrt(400) / 2 = 25.76
        assert!((spread.low - 174.0).abs() < f64::EPSILON, "{spread:?}");
        assert!((spread.high - 226.0).abs() < f64::EPSILON, "{spread:?}");
    }

    #[test]
    fn few_measurements_are_not_sure_of_anything() {
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter());
        assert!((spread.median - 2.0).abs() < f64::EPSILON);
        assert!((spread.low - 1.0).abs() < f64::EPSILON);
        assert!((spread.high - 3.0).abs() < f64::EPSILON);
    }
}
