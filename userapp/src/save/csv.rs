//! Results as a table, a line for each run.

use crate::{latency::Latency, record::RunRecord, show::Report};

const COLUMNS: [&str; 22] = [
    "name",
    "kind",
    "primitive",
    "outcome",
    "parameters",
    "elapsed_seconds",
    "workers",
    "passes",
    "acquisitions",
    "acquisitions_per_second",
    "contention",
    "timeouts",
    "failures",
    "fairness_min_over_max",
    "fairness_jain",
    "wait_p50_ns",
    "wait_p99_ns",
    "wait_max_ns",
    "hold_p50_ns",
    "hold_p99_ns",
    "hold_max_ns",
    "lateness_p99_ns",
];

/// The table, with a line of headings.
pub fn table(report: &Report) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = write(&mut writer, &report.runs);
    let bytes = written
        .map_err(|error| error.to_string())
        .and_then(|()| writer.into_inner().map_err(|error| error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn write(writer: &mut csv::Writer<Vec<u8>>, runs: &[RunRecord]) -> csv::Result<()> {
    writer.write_record(COLUMNS)?;
    for run in runs {
        writer.write_record(line(run))?;
    }
    Ok(())
}

fn line(run: &RunRecord) -> [String; COLUMNS.len()] {
    let parameters: Vec<String> = run
        .parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let of = |latency: &Option<Latency>, figure: fn(&Latency) -> u64| {
        latency
            .as_ref()
            .map_or_else(String::new, |it| figure(it).to_string())
    };
    let fairness = |figure: fn(&crate::fairness::Fairness) -> f64| {
        run.fairness
            .as_ref()
            .map_or_else(String::new, |it| figure(it).to_string())
    };
    [
        run.name.clone(),
        run.kind.to_string(),
        run.primitive.to_string(),
        run.outcome.word().to_lowercase(),
        parameters.join(" "),
        run.elapsed_seconds.to_string(),
        run.totals.worker_count.to_string(),
        run.totals.passes.to_string(),
        run.totals.acquisitions.to_string(),
        run.acquisitions_per_second.to_string(),
        run.totals.contention.to_string(),
        run.totals.timeouts.to_string(),
        run.failures.to_string(),
        fairness(|it| it.min_over_max),
        fairness(|it| it.jain),
        of(&run.wait, |it| it.p50_ns),
        of(&run.wait, |it| it.p99_ns),
        of(&run.wait, |it| it.maximum_ns),
        of(&run.hold, |it| it.p50_ns),
        of(&run.hold, |it| it.p99_ns),
        of(&run.hold, |it| it.maximum_ns),
        of(&run.lateness, |it| it.p99_ns),
    ]
}
