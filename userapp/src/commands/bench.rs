//! `bench overhead`: what full measurement costs against none.

use super::runs::{Planned, Runs};
use crate::{
    cli::Bench,
    error::Error,
    length::Length,
    parameters::{Setting, values_for},
    record::RunRecord,
    selection::select,
    show::{DIM, GREEN, Overhead, RED, Report},
};

/// The parameter value with which passes are measured and not measured in turns.
const BY_TURNS: u64 = 2;

impl Runs<'_> {
    /// Runs each scenario that can be measured with one thread, and shows what that costs.
    pub fn bench(&self, bench: &Bench, report: &mut Report) -> Result<(), Error> {
        let Bench::Overhead {
            names,
            seconds,
            bound,
        } = bench;
        let items = select(
            &self.catalog,
            syncstress_protocol::ItemKind::Scenario,
            names,
        )?;
        // With one thread there is nobody to wait for: what is seen is the cost alone. Scenarios that
        // need several to get on are left out.
        let alone = |item: &&crate::catalog::Item| {
            let parameters = item.parameters.iter();
            let mut several =
                parameters.filter(|it| ["threads", "readers"].contains(&it.name.as_str()));
            several.all(|it| it.minimum == u64::from(it.name == "threads"))
        };
        let setting = |name: &str, value| Setting {
            name: name.to_owned(),
            value,
        };
        let mut planned = Vec::new();
        for item in items {
            if !item.takes("measure") || !item.takes("spread") || !alone(&item) {
                continue;
            }
            let mut settings = vec![
                setting("threads", 1),
                Length::of_seconds(*seconds).setting_for(item)?,
                setting("measure", BY_TURNS),
            ];
            if item.takes("readers") {
                settings.push(setting("readers", 0));
            }
            let values = values_for(item, &settings)?;
            planned.push(Planned { item, values });
        }
        let first = report.runs.len();
        let ended = self.watched(Ok(()), &planned, report, None);
        self.live.end();
        let runs = &report.runs[first..];
        report.overheads = runs
            .iter()
            .filter_map(|run| overhead(run, *bound))
            .collect();
        self.screen.line(format_args!(
            "{DIM}  {:18} {:>12} {:>14} {:>10}{DIM:#}",
            "one thread", "bare pass", "measured pass", "overhead"
        ));
        for it in &report.overheads {
            let style = if it.is_too_much() { RED } else { GREEN };
            self.screen.line(format_args!(
                "  {:18} {:>9.1} ns {:>11.1} ns {style}{:>7.1} ns{style:#}",
                it.scenario, it.bare_ns, it.measured_ns, it.difference_ns
            ));
        }
        ended
    }
}

fn overhead(run: &RunRecord, bound_ns: f64) -> Option<Overhead> {
    let figure = |name: &str| run.metrics.get(name).map(|it| it.value);
    let bare_ns = figure("bare pass, p50")?;
    let measured_ns = figure("measured pass, p50")?;
    let difference_ns = figure("measuring, p50")?;
    Some(Overhead {
        scenario: run.name.clone(),
        bare_ns,
        measured_ns,
        difference_ns,
        bound_ns,
    })
}
