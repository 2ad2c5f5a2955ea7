//! Throughput against what a sweep varies.

use super::plot::{Axis, Series};
use crate::{record::RunRecord, show::units::rate};

/// A plot to draw.
pub struct Chart {
    /// What it shows.
    pub title: &'static str,
    /// Its lines.
    pub series: Vec<Series>,
    /// What varies.
    pub x: Axis,
    /// Throughput.
    pub y: Axis,
}

/// What a sweep varies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Varied {
    Threads,
    Readers,
    Hold,
}

/// A chart for each thing that varies among these runs.
pub fn charts(runs: &[&RunRecord]) -> Vec<Chart> {
    let all = [Varied::Threads, Varied::Readers, Varied::Hold];
    let charts = all.into_iter().map(|varied| chart(runs, varied));
    charts.filter(|chart| !chart.series.is_empty()).collect()
}

fn chart(runs: &[&RunRecord], varied: Varied) -> Chart {
    let mut series: Vec<Series> = Vec::new();
    for run in runs {
        let Some(x) = varied.of(run) else {
            continue;
        };
        let name = varied.line(run);
        let point = (x, run.acquisitions_per_second);
        match series.iter_mut().find(|it| it.name == name) {
            Some(line) => line.points.push(point),
            None => series.push(Series {
                name,
                points: vec![point],
            }),
        }
    }
    for line in &mut series {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    series.retain(|line| {
        let ends = line.points.first().zip(line.points.last());
        ends.is_some_and(|(first, last)| first.0 < last.0)
    });
    let (title, x) = varied.axis();
    let y = Axis {
        title: "throughput (acquisitions per second)",
        label: rate,
        lines: 8,
    };
    Chart {
        title,
        series,
        x,
        y,
    }
}

impl Varied {
    /// Its value in a run, if it has one.
    fn of(self, run: &RunRecord) -> Option<f64> {
        let value = match self {
            Self::Threads => run.totals.worker_count as u64,
            Self::Readers => readers(run)?,
            Self::Hold => *run.parameters.get("hold")?,
        };
        Some(f64::from(u32::try_from(value).unwrap_or(u32::MAX)))
    }

    fn axis(self) -> (&'static str, Axis) {
        let (title, name) = match self {
            Self::Threads => ("Throughput against threads", "threads (number)"),
            Self::Readers => ("Throughput against readers", "readers (% of threads)"),
            Self::Hold => ("Throughput against the time held", "time held (us)"),
        };
        let axis = Axis {
            title: name,
            label: |value| format!("{value:.0}"),
            lines: 10,
        };
        (title, axis)
    }

    /// What the runs of one line have in common: everything else.
    fn line(self, run: &RunRecord) -> String {
        let hold = run.parameters.get("hold").filter(|hold| **hold != 0);
        let parts = [
            Some(run.name.clone()),
            (self != Self::Threads).then(|| format!("{} threads", run.totals.worker_count)),
            hold.filter(|_| self != Self::Hold)
                .map(|hold| format!("hold {hold} us")),
            readers(run)
                .filter(|_| self != Self::Readers)
                .map(|percent| format!("{percent}% readers")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(", ")
    }
}

/// What the runs of one line of a plot against threads have in common.
pub fn line_name(run: &RunRecord) -> String {
    Varied::Threads.line(run)
}

/// Readers of a hundred workers, where a scenario has readers.
fn readers(run: &RunRecord) -> Option<u64> {
    let workers = run.totals.worker_count.max(1) as u64;
    let readers = run.parameters.get("readers")?;
    Some((readers * 100 + workers / 2) / workers)
}
