//! `soak`: every scenario again and again, with an eye on what the process uses.

use std::time::{Duration, Instant};

use super::{
    runs::{Planned, Runs},
    usage::usage,
};
use crate::{
    cli::Soak,
    error::Error,
    parameters::values_for,
    record::RunRecord,
    selection::select,
    show::{
        DIM, Report, Round,
        units::{count, seconds},
    },
};

impl Runs<'_> {
    /// Runs rounds until the time is over or the user has enough. Of what passed, the last round is
    /// kept, and of what did not, everything, so a soak of days does not fill memory.
    pub fn soak(&self, soak: &Soak, report: &mut Report) -> Result<(), Error> {
        let items = select(&self.catalog, syncstress_protocol::ItemKind::Scenario, &[])?;
        let plan = |item| {
            let values = values_for(item, &[soak.seconds.setting_for(item)?])?;
            Ok(Planned { item, values })
        };
        let planned: Vec<Planned<'_>> =
            items.into_iter().map(plan).collect::<Result<_, Error>>()?;
        let began = Instant::now();
        let mut number = 0;
        let mut ended = Ok(());
        while ended.is_ok() && !report.interrupted && (number == 0 || began.elapsed() < soak.hours)
        {
            number += 1;
            report.runs.retain(RunRecord::speaks_against);
            let first = report.runs.len();
            ended = self.watched(Ok(()), &planned, report, Some(soak.hours));
            let round = round(number, began.elapsed(), &report.runs[first..]);
            self.live.say(line(&round));
            report.rounds.push(round);
        }
        self.live.end();
        self.screen.scenarios(&report.runs);
        ended
    }
}

fn round(number: u64, ended: Duration, runs: &[RunRecord]) -> Round {
    let against = runs.iter().filter(|run| run.speaks_against());
    let acquisitions = runs.iter().map(|run| run.totals.acquisitions);
    Round {
        number,
        ended_seconds: ended.as_secs_f64(),
        acquisitions: acquisitions.fold(0, u64::saturating_add),
        against: against.map(|run| run.name.clone()).collect(),
        usage: usage(),
    }
}

fn line(round: &Round) -> String {
    let usage = round.usage.map_or_else(String::new, |it| {
        format!(
            ", {} KiB, {} threads, {} descriptors",
            it.memory_kib, it.threads, it.descriptors
        )
    });
    let against = if round.against.is_empty() {
        String::new()
    } else {
        format!(", AGAINST: {}", round.against.join(", "))
    };
    format!(
        "{DIM}round {:4} at {:>8}{DIM:#}  {} acquisitions{usage}{against}",
        round.number,
        seconds(round.ended_seconds),
        count(round.acquisitions),
    )
}
