//! Two results side by side: ratios with their spread, and whether something became worse.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    fairness::ratio,
    record::RunRecord,
    show::{
        Report,
        units::{nanoseconds, rate},
    },
};

/// A figure that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    /// Acquisitions in a second: more is better.
    Throughput,
    /// The 99th percentile of waits: less is better, but it says little of a lock that nobody waits
    /// for, so it decides nothing.
    WaitP99,
}

impl Figure {
    const ALL: [Self; 2] = [Self::Throughput, Self::WaitP99];

    const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "acquired per s",
            Self::WaitP99 => "wait p99",
        }
    }

    fn of(self, run: &RunRecord) -> Option<f64> {
        match self {
            Self::Throughput => Some(run.acquisitions_per_second),
            Self::WaitP99 => run.wait.as_ref().map(|wait| ratio(wait.p99_ns, 1)),
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Throughput => rate(value),
            Self::WaitP99 => nanoseconds(whole(value)),
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and no figure is negative"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}

/// One figure of one scenario in both results.
#[derive(Clone, Debug)]
pub struct Line {
    /// The scenario, with its parameters where they tell it from another one.
    pub name: String,
    /// What is compared.
    pub figure: &'static str,
    /// The median in the first result, as it is shown.
    pub before: String,
    /// In the second one.
    pub after: String,
    /// The second median over the first.
    pub ratio: f64,
    /// The smallest ratio and the largest one that single runs of both sides have.
    pub spread: (f64, f64),
    /// Whether it became worse by more than the bound, and by more than the runs of one side differ.
    pub is_worse: bool,
}

/// Compares the runs that both results have: those of the same scenario with the same parameters.
/// `bound` is how much of the throughput may be lost, as a part of one.
pub fn compare(before: &Report, after: &Report, bound: f64) -> Vec<Line> {
    // One of them may be from before results said so.
    let lengths: BTreeSet<&str> = [before, after]
        .into_iter()
        .flat_map(|report| &report.runs)
        .flat_map(|run| &run.length_parameters)
        .map(String::as_str)
        .collect();
    let (before, after) = (by_key(before, &lengths), by_key(after, &lengths));
    let mut lines = Vec::new();
    for (key, old) in &before {
        let Some(new) = after.get(key) else { continue };
        for figure in Figure::ALL {
            lines.extend(line(key, figure, old, new, bound));
        }
    }
    lines
}

type Key = (String, Vec<(String, u64)>);

fn by_key<'r>(report: &'r Report, lengths: &BTreeSet<&str>) -> BTreeMap<Key, Vec<&'r RunRecord>> {
    let mut runs: BTreeMap<Key, Vec<&RunRecord>> = BTreeMap::new();
    for run in report.runs.iter().filter(|run| run.is_scenario) {
        let parameters = run.parameters.iter();
        // How long a run was, and what else was measured, do not make it another one.
        let parameters =
            parameters.filter(|(name, _)| !lengths.contains(name.as_str()) && *name != "sample");
        let parameters = parameters.map(|(name, value)| (name.clone(), *value));
        let key = (run.name.clone(), parameters.collect());
        runs.entry(key).or_default().push(run);
    }
    runs
}

fn line(
    (name, parameters): &Key,
    figure: Figure,
    old: &[&RunRecord],
    new: &[&RunRecord],
    bound: f64,
) -> Option<Line> {
    let sorted = |runs: &[&RunRecord]| {
        let mut values: Vec<f64> = runs.iter().filter_map(|run| figure.of(run)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (old, new) = (sorted(old), sorted(new));
    let median = |values: &[f64]| values.get(values.len() / 2).copied();
    let (before, after) = (median(&old)?, median(&new)?);
    let (low, high) = (*old.first()?, *old.last()?);
    let (new_low, new_high) = (*new.first()?, *new.last()?);
    if low <= 0.0 {
        return None;
    }
    let ratio = after / before;
    let varied: Vec<String> = ["threads", "readers", "hold"]
        .iter()
        .filter_map(|wanted| {
            let (name, value) = parameters.iter().find(|(name, _)| name == wanted)?;
            Some(format!("{name}={value}"))
        })
        .collect();
    Some(Line {
        name: format!("{name} {}", varied.join(" ")),
        figure: figure.name(),
        before: figure.show(before),
        after: figure.show(after),
        ratio,
        spread: (new_low / high, new_high / low),
        is_worse: figure == Figure::Throughput && ratio < 1.0 - bound && new_high < low,
    })
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::{catalog::samples, parameters::Values, status::NtStatus};

    fn report(rates: &[(&str, f64)]) -> Report {
        let run = |(name, acquisitions_per_second): &(&str, f64)| {
            let item = samples::item(1, ItemKind::Scenario, name, false);
            let mut values = Values::default();
            values.all.insert("threads".to_owned(), 4);
            RunRecord {
                acquisitions_per_second: *acquisitions_per_second,
                ..RunRecord::refused(&item, &values, NtStatus::UNSUCCESSFUL)
            }
        };
        Report {
            runs: rates.iter().map(run).collect(),
            ..Report::default()
        }
    }

    fn one(before: &[f64], after: &[f64]) -> Line {
        let named = |rates: &[f64]| report(&rates.iter().map(|it| ("a", *it)).collect::<Vec<_>>());
        let lines = compare(&named(before), &named(after), 0.2);
        assert_eq!(lines.len(), 1);
        lines[0].clone()
    }

    #[test]
    fn a_loss_within_the_bound_is_no_regression() {
        let line = one(&[100.0], &[85.0]);
        assert!((line.ratio - 0.85).abs() < 1e-9);
        assert!(!line.is_worse);
        assert_eq!(line.name, "a threads=4");
    }

    #[test]
    fn a_loss_past_the_bound_is_one() {
        assert!(one(&[100.0], &[79.0]).is_worse);
        assert!(!one(&[100.0], &[300.0]).is_worse);
    }

    #[test]
    fn runs_that_differ_among_themselves_as_much_prove_nothing() {
        let line = one(&[60.0, 100.0, 110.0], &[50.0, 70.0, 75.0]);
        assert!((line.ratio - 0.7).abs() < 1e-9);
        assert!(!line.is_worse, "75 after 60 before");
        assert!((line.spread.0 - 50.0 / 110.0).abs() < 1e-9);
        assert!((line.spread.1 - 75.0 / 60.0).abs() < 1e-9);
        assert!(one(&[90.0, 100.0, 110.0], &[50.0, 70.0, 75.0]).is_worse);
    }

    #[test]
    fn a_run_of_another_length_is_no_other_run() {
        let lasting = |parameter: &str, seconds, says: bool| {
            let mut report = report(&[("a", 100.0)]);
            for run in &mut report.runs {
                run.parameters.insert(parameter.to_owned(), seconds);
                run.length_parameters = says.then(|| "span".to_owned()).into_iter().collect();
            }
            report
        };
        let lines = |before, after| compare(&before, &after, 0.2).len();
        assert_eq!(lines(lasting("span", 1, true), lasting("span", 2, true)), 1);
        assert_eq!(
            lines(lasting("span", 1, false), lasting("span", 2, true)),
            1
        );
        assert_eq!(lines(lasting("hold", 1, true), lasting("hold", 2, true)), 0);
    }

    #[test]
    fn what_one_side_lacks_is_left_out() {
        let lines = compare(&report(&[("a", 1.0)]), &report(&[("b", 1.0)]), 0.2);
        assert!(lines.is_empty());
    }
}
