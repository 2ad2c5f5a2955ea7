//! `sweep`: every combination of threads, share of readers and hold time.

use super::runs::{Planned, Runs};
use crate::{
    catalog::Item,
    cli::Sweep,
    error::Error,
    numbers::Numbers,
    parameters::{Setting, check_names, values_for},
    selection::select,
    show::Report,
};

impl Runs<'_> {
    /// Runs the scenarios that are named with every combination, and shows them.
    pub fn sweep(&self, sweep: &Sweep, report: &mut Report) -> Result<(), Error> {
        let items = select(
            &self.catalog,
            syncstress_protocol::ItemKind::Scenario,
            &sweep.names,
        )?;
        check_names(&items, &asked_for(sweep))?;
        let mut planned = Vec::new();
        for item in items {
            let length = sweep.seconds.setting_for(item)?;
            for settings in combinations(item, sweep) {
                let values = values_for(item, &settings)?.with(item, &length)?;
                planned.push(Planned { item, values });
            }
        }
        self.scenarios(Ok(()), &planned, None, report)
    }
}

fn setting(name: &str, value: u64) -> Setting {
    Setting {
        name: name.to_owned(),
        value,
    }
}

/// What was said to vary, each with one of its values: some scenario has to take it.
fn asked_for(sweep: &Sweep) -> Vec<Setting> {
    [
        ("threads", &sweep.threads),
        ("readers", &sweep.read_share),
        ("hold", &sweep.hold),
    ]
    .into_iter()
    .filter_map(|(name, numbers)| Some(setting(name, *numbers.as_ref()?.0.first()?)))
    .collect()
}

/// The settings of each run of a scenario, those first that vary slowest. What it does not take does
/// not vary.
fn combinations(item: &Item, sweep: &Sweep) -> Vec<Vec<Setting>> {
    let of = |name: &str, numbers: Option<&Numbers>, usual: &[u64]| -> Vec<Option<u64>> {
        if item.takes(name) {
            let values = numbers.map_or(usual, |it| &it.0);
            values.iter().copied().map(Some).collect()
        } else {
            vec![None]
        }
    };
    let mut all = Vec::new();
    for hold in of("hold", sweep.hold.as_ref(), &[0]) {
        for share in of("readers", sweep.read_share.as_ref(), &[50]) {
            for threads in of("threads", sweep.threads.as_ref(), &[1, 2, 4, 8]) {
                let workers = workers(item, threads, share);
                let workers = workers.map(|(name, count)| setting(name, count));
                let hold = hold.map(|hold| setting("hold", hold));
                let settings = hold.into_iter().chain(workers).collect();
                if !all.contains(&settings) {
                    all.push(settings);
                }
            }
        }
    }
    all
}

/// How many threads of each sort there are, of so many in all and so many readers in a hundred: at
/// least as many as the scenario needs.
fn workers(
    item: &Item,
    threads: Option<u64>,
    share: Option<u64>,
) -> impl Iterator<Item = (&'static str, u64)> {
    let at_least = |name: &str, value: u64| {
        let parameter = item.parameters.iter().find(|it| it.name == name);
        parameter.map_or(value, |it| value.max(it.minimum))
    };
    let readers = threads.zip(share).map(|(threads, share)| {
        let wanted = threads.saturating_mul(share).saturating_add(50) / 100;
        at_least("readers", wanted)
    });
    let writers =
        threads.map(|threads| at_least("threads", threads.saturating_sub(readers.unwrap_or(0))));
    let writers = writers.map(|count| ("threads", count));
    writers
        .into_iter()
        .chain(readers.map(|count| ("readers", count)))
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::catalog::samples;

    fn sweep() -> Sweep {
        Sweep {
            names: Vec::new(),
            threads: Some(Numbers(vec![1, 4])),
            read_share: Some(Numbers(vec![0, 75])),
            hold: Some(Numbers(vec![0, 10])),
            seconds: "2".parse().unwrap(),
        }
    }

    fn planned(parameters: &[(&str, u64)]) -> Vec<Vec<(String, u64)>> {
        let mut item = samples::item(1, ItemKind::Scenario, "a", false);
        let named = parameters.iter().zip(1..);
        item.parameters = named
            .map(|((name, minimum), id)| samples::parameter(id, name, *minimum..=100))
            .collect();
        let combinations = combinations(&item, &sweep());
        let plain = |settings: Vec<Setting>| {
            let settings = settings.into_iter();
            settings.map(|it| (it.name, it.value)).collect()
        };
        combinations.into_iter().map(plain).collect()
    }

    #[test]
    fn what_a_scenario_does_not_take_does_not_vary() {
        assert_eq!(planned(&[("threads", 1), ("hold", 0)]).len(), 4);
        assert_eq!(planned(&[("threads", 1)]).len(), 2);
        assert_eq!(planned(&[]).len(), 1);
    }

    #[test]
    fn readers_are_a_share_of_all_threads() {
        let all = planned(&[("threads", 1), ("readers", 0), ("hold", 0)]);
        let pair = |threads: u64, readers: u64| {
            let wanted = [
                ("threads".to_owned(), threads),
                ("readers".to_owned(), readers),
            ];
            all.iter()
                .any(|it| wanted.iter().all(|setting| it.contains(setting)))
        };
        assert!(pair(4, 0) && pair(1, 3) && pair(1, 0));
        // At least one writer, though three quarters of one thread read.
        assert!(pair(1, 1));
    }
}
