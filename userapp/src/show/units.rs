//! Numbers in few characters.

/// A count, in thousands and more from five digits on: `9876`, `12.3k`, `4.56M`.
pub fn count(value: u64) -> String {
    if value < 10_000 {
        return value.to_string();
    }
    scaled(
        value,
        &[("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)],
    )
}

/// So many of something: `0 failures`, `1 failure`, `12.3k failures`.
pub fn plural(value: impl TryInto<u64>, one: &str) -> String {
    let value = value.try_into().unwrap_or(u64::MAX);
    let more = if value == 1 { "" } else { "s" };
    format!("{} {one}{more}", count(value))
}

/// A time: `850 ns`, `12.3 us`, `4.56 ms`, `1.20 s`.
pub fn nanoseconds(value: u64) -> String {
    if value < 1_000 {
        return format!("{value} ns");
    }
    scaled(
        value,
        &[(" us", 1_000), (" ms", 1_000_000), (" s", 1_000_000_000)],
    )
}

/// A time that is a number of seconds.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and times are neither negative nor centuries"
)]
pub fn seconds(value: f64) -> String {
    nanoseconds((value * 1e9) as u64)
}

/// A rate, rounded to whole numbers.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and rates are not negative"
)]
pub fn rate(value: f64) -> String {
    count(value.round() as u64)
}

/// A part from 0 to 1 as parts of a hundred.
pub fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

/// `value` in the largest of `units` (smallest first) that is not larger, with three digits.
fn scaled(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().rev().find(|(_, size)| value >= *size);
    let (name, size) = fitting.copied().unwrap_or(("", 1));
    let whole = value / size;
    let thousandths = value % size / (size / 1000).max(1);
    match whole {
        0..10 => format!("{whole}.{:02}{name}", thousandths / 10),
        10..100 => format!("{whole}.{:01}{name}", thousandths / 100),
        _ => format!("{whole}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(count(0), "0");
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(12_345), "12.3k");
        assert_eq!(count(4_567_890), "4.56M");
        assert_eq!(count(987_654_321), "987M");
        assert_eq!(count(u64::MAX), "18446744073G");
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!(plural(0_u32, "failure"), "0 failures");
        assert_eq!(plural(1_u64, "failure"), "1 failure");
        assert_eq!(plural(12_345_u64, "failure"), "12.3k failures");
    }

    #[test]
    fn times() {
        assert_eq!(nanoseconds(850), "850 ns");
        assert_eq!(nanoseconds(1_000), "1.00 us");
        assert_eq!(nanoseconds(12_345), "12.3 us");
        assert_eq!(seconds(0.0456), "45.6 ms");
        assert_eq!(seconds(1.25), "1.25 s");
        assert_eq!(seconds(125.0), "125 s");
    }

    #[test]
    fn parts() {
        assert_eq!(percent(0.1234), "12.3%");
        assert_eq!(percent(0.0), "0.0%");
    }
}
