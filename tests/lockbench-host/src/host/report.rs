//! The measurements as text.

use std::fmt::Write as _;

use super::{
    Report,
    locks::{Alone, Contended, Locks},
    usage::PASSES,
    wine::Wine,
};
use crate::{spread::Spread, style::table};

/// The report for people.
pub fn text(report: &Report) -> String {
    let mut text = format!(
        "nthost, not Windows, on {}; {} rounds, medians.\n",
        report.machine, report.rounds
    );
    let wine = report.wine.as_ref();
    match wine {
        Some(wine) => {
            let _ = writeln!(text, "Wine: {}, the same hostbench.sys.", wine.version);
        }
        None => text += "Wine: not installed (Debian: wine64), so nothing is compared with it.\n",
    }
    for (verifier, locks) in [("off", &report.verifier_off), ("on", &report.verifier_on)] {
        let _ = writeln!(
            text,
            "\nOne thread, verifier {verifier}\n{}",
            alone(locks, wine)
        );
        let _ = writeln!(
            text,
            "\nContended, verifier {verifier}\n{}",
            contended(locks, wine)
        );
    }
    text += &usage(report);
    for bound in &report.bounds {
        let verdict = if bound.passed { "PASSED" } else { "FAILED" };
        let _ = writeln!(
            text,
            "{verdict}: {}: {:.2}, at most {}",
            bound.what, bound.measured, bound.limit
        );
    }
    text
}

fn alone(locks: &Locks, wine: Option<&Wine>) -> String {
    let mut table = table(
        &[
            "lock",
            "nthost\nns",
            "parking_lot\nns",
            "nthost / parking_lot\nmedian",
            "quartiles",
            "Wine\nns",
        ],
        true,
    );
    for (index, lock) in locks.alone.iter().enumerate() {
        let Alone {
            subject,
            nthost,
            peer,
            ratio,
        } = lock;
        let wine = wine.and_then(|wine| wine.alone.get(index));
        table.add_row([
            subject.name().to_owned(),
            tenths(*nthost),
            peer.map_or_else(String::new, tenths),
            ratio.map_or_else(String::new, median),
            ratio.map_or_else(String::new, quartiles),
            wine.map_or_else(String::new, |known| tenths(known.1)),
        ]);
    }
    table.to_string()
}

fn contended(locks: &Locks, wine: Option<&Wine>) -> String {
    let mut table = table(
        &[
            "lock",
            "threads",
            "nthost\nper ms",
            "parking_lot\nper ms",
            "parking_lot / nthost\nmedian",
            "quartiles",
            "Wine\nper ms",
        ],
        true,
    );
    for (index, lock) in locks.contended.iter().enumerate() {
        let Contended {
            subject,
            threads,
            nthost,
            peer,
            ratio,
        } = lock;
        let wine = wine.and_then(|wine| wine.contended.get(index));
        table.add_row([
            subject.name().to_owned(),
            threads.to_string(),
            per_millisecond(*nthost),
            per_millisecond(*peer),
            median(*ratio),
            quartiles(*ratio),
            wine.map_or_else(String::new, |known| per_millisecond(known.2)),
        ]);
    }
    table.to_string()
}

fn usage(report: &Report) -> String {
    let Report {
        start,
        threads,
        memory,
        wine,
        ..
    } = report;
    let mut text = format!(
        "\nFrom the start of `nthost run syncstress.sys` to its end, with one request: {} ms with the verifier, \
         {} ms without.\n",
        milliseconds(start.whole_run),
        milliseconds(start.whole_run_without_verifier),
    );
    let _ = writeln!(
        text,
        "{} threads, verifier on: created in {} ms; {PASSES} acquisitions of one FAST_MUTEX by each, and all \
         ended, in {} ms; {} KiB for each.",
        threads.count,
        milliseconds(threads.creation),
        milliseconds(threads.work),
        threads.bytes / 1024,
    );
    if let Some(wine) = wine {
        let _ = writeln!(
            text,
            "In Wine: created in {} ms, ended in {} ms.",
            milliseconds(wine.creation),
            milliseconds(wine.work),
        );
    }
    let _ = writeln!(
        text,
        "Memory of a KSPIN_LOCK, of {}: {} bytes, itself among them; that it was taken with another: {} bytes more.",
        memory.locks, memory.apart, memory.in_order,
    );
    text
}

fn tenths(spread: Spread) -> String {
    format!("{:.1}", spread.median)
}

fn milliseconds(spread: Spread) -> String {
    format!(
        "{:.1} ({:.1}–{:.1})",
        spread.median, spread.first_quartile, spread.third_quartile
    )
}

fn per_millisecond(spread: Spread) -> String {
    format!("{:.1}", spread.median / 1e3)
}

fn median(spread: Spread) -> String {
    format!("{:.2}", spread.median)
}

fn quartiles(spread: Spread) -> String {
    format!("{:.2}–{:.2}", spread.first_quartile, spread.third_quartile)
}
