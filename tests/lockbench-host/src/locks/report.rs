//! The measurements as text.

use std::fmt::Write as _;

use super::{LIMIT, Report};
use crate::{spread::Spread, style::table};

const HEADINGS: [&str; 9] = [
    "lock",
    "raw\nns",
    "wdk-sync\nns",
    "wdk-mutex\nns",
    "raw / raw\nmedian",
    "quartiles",
    "wdk-sync / raw\nmedian",
    "quartiles",
    "wdk-mutex / raw\nmedian",
];

/// The report for people.
pub fn text(report: &Report) -> String {
    let mut table = table(&HEADINGS, true);
    for lock in &report.locks {
        table.add_row([
            lock.name.clone(),
            nanoseconds(lock.raw),
            nanoseconds(lock.safe),
            lock.peer.map_or_else(String::new, nanoseconds),
            median(lock.control_ratio),
            quartiles(lock.control_ratio),
            median(lock.safe_ratio) + if lock.is_too_slow() { " !" } else { "" },
            quartiles(lock.safe_ratio),
            lock.peer_ratio.map_or_else(String::new, median),
        ]);
    }
    let mut text = format!(
        "An acquisition, a change of the data, and a release, on {}.\n{}; {} rounds.\n{table}\n",
        report.host, report.machine, report.rounds
    );
    text += "Pool with both sets of locks in place:";
    for known in &report.allocations {
        let _ = write!(text, " {} of tag {},", known.blocks, known.tag);
    }
    text += " of which wdk-sync has one block for the ten locks of a set, as the raw calls have, and \
             wdk-mutex one for each of its two.\n";
    let verdict = if report.passed {
        "PASSED: no lock of wdk-sync costs more than"
    } else {
        "FAILED: some lock of wdk-sync (!) costs more than"
    };
    let _ = writeln!(
        text,
        "{verdict} {LIMIT} times the raw call, beyond the noise."
    );
    text
}

fn nanoseconds(spread: Spread) -> String {
    format!("{:.1}", spread.median)
}

fn median(spread: Spread) -> String {
    format!("{:.3}", spread.median)
}

fn quartiles(spread: Spread) -> String {
    format!("{:.3}–{:.3}", spread.first_quartile, spread.third_quartile)
}
