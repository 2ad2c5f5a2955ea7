//! `test` and `stress`.

use std::time::Duration;

use syncstress_protocol::ItemKind;

use super::budget::Budget;
use crate::{
    catalog::{self, Item},
    cli::Stress,
    client::Client,
    error::Error,
    interrupt::Interrupt,
    length,
    live::{Live, Plan},
    parameters::{self, Values},
    record::RunRecord,
    run::{Runner, Sight},
    selection::select,
    show::{Bars, Report, Screen},
};

/// What both commands need.
pub struct Runs<'a> {
    runner: Runner<'a>,
    pub(super) screen: Screen,
    pub(super) interrupt: &'a Interrupt,
    pub(super) catalog: Vec<Item>,
    bars: Bars,
    pub(super) live: Live<'a>,
}

/// A run to come.
pub(super) struct Planned<'a> {
    pub(super) item: &'a Item,
    pub(super) values: Values,
}

impl<'a> Planned<'a> {
    fn with_defaults(item: &'a Item) -> Self {
        Self {
            item,
            values: Values::default(),
        }
    }

    /// How long it is to take.
    fn time(&self) -> Duration {
        length::told_by(self.item, &self.values.all)
    }
}

impl<'a> Runs<'a> {
    /// Reads the driver's catalogue.
    pub fn new(
        client: &'a Client,
        title: String,
        screen: Screen,
        interrupt: &'a Interrupt,
    ) -> Result<Self, Error> {
        let bars = Bars::new(screen.is_silent());
        Ok(Self {
            runner: Runner::new(client, interrupt),
            screen,
            interrupt,
            catalog: catalog::read(client)?,
            bars,
            live: Live::new(title, screen, interrupt),
        })
    }

    /// Runs the behaviour tests that `names` mean, and shows each as it ends.
    pub fn test(&self, names: &[String], report: &mut Report) -> Result<(), Error> {
        let tests = self.planned_tests(names)?;
        self.tests(&tests, report, |run| self.screen.test(run))
    }

    /// Runs the scenarios that are named, or every behaviour test and every scenario.
    pub fn stress(&self, stress: &Stress, report: &mut Report) -> Result<(), Error> {
        let budget = stress.profile.map(|it| Budget::from_now(it.length()));
        let scenarios = self.planned_scenarios(stress)?;
        let mut ended = Ok(());
        if stress.names.is_empty() {
            ended = self.tests(&self.planned_tests(&[])?, report, |_| {});
            self.screen.tests_in_short(&report.runs);
        }
        self.scenarios(ended, &scenarios, budget, report)
    }

    /// Runs scenarios, and shows them all when the last one has ended.
    pub(super) fn scenarios(
        &self,
        ended: Result<(), Error>,
        planned: &[Planned<'_>],
        budget: Option<Budget>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let first = report.runs.len();
        let ended = match budget {
            None => self.watched(ended, planned, report, None),
            Some(budget) => self.within(budget, ended, planned, report),
        };
        self.live.end();
        self.screen.scenarios(&report.runs[first..]);
        ended
    }

    /// Runs scenarios in the live view, which is there afterwards. `until` is when the last one begins
    /// at the latest, if there are more to come until then.
    pub(super) fn watched(
        &self,
        ended: Result<(), Error>,
        planned: &[Planned<'_>],
        report: &mut Report,
        until: Option<Duration>,
    ) -> Result<(), Error> {
        self.live.begin(Plan {
            runs: planned.iter().map(Planned::time).collect(),
            until,
            ..Plan::default()
        });
        self.all(ended, planned, report, |planned| self.scenario(planned))
    }

    /// Runs scenarios in the live view, each for its share of what is left of the time: so that what
    /// they take beside their runs, and more of them, makes none of it longer.
    fn within(
        &self,
        budget: Budget,
        ended: Result<(), Error>,
        planned: &[Planned<'_>],
        report: &mut Report,
    ) -> Result<(), Error> {
        let share = budget.share(planned.len());
        self.live.begin(Plan {
            runs: vec![share; planned.len()],
            ..Plan::default()
        });
        let mut left = planned.len();
        self.all(ended, planned, report, |Planned { item, values }| {
            let setting = budget.setting(item, left)?;
            left -= 1;
            let values = values.clone().with(item, &setting)?;
            self.scenario(&Planned { item, values })
        })
    }

    fn planned_tests(&self, names: &[String]) -> Result<Vec<Planned<'_>>, Error> {
        let tests = select(&self.catalog, ItemKind::BehaviourTest, names)?;
        Ok(tests.into_iter().map(Planned::with_defaults).collect())
    }

    fn planned_scenarios(&self, stress: &Stress) -> Result<Vec<Planned<'_>>, Error> {
        let items = select(&self.catalog, ItemKind::Scenario, &stress.names)?;
        let settings = stress.settings();
        parameters::check_names(&items, &settings)?;
        let sets_length = match stress {
            Stress {
                profile: Some(_), ..
            } => Some("a profile"),
            Stress {
                seconds: Some(_), ..
            } => Some("--seconds"),
            _ => None,
        };
        let mut lengths = items.iter().flat_map(|item| length::names(item));
        if let Some(by) = sets_length
            && let Some(twice) = lengths.find(|name| settings.iter().any(|it| it.name == *name))
        {
            return Err(Error::usage(
                format!("`{twice}` is set, and {by} sets how long it takes"),
                "leave one of them out".to_owned(),
            ));
        }
        let plan = |item| {
            let mut values = parameters::values_for(item, &settings)?;
            if let Some(length) = stress.seconds {
                values = values.with(item, &length.setting_for(item)?)?;
            }
            Ok(Planned { item, values })
        };
        let times = 0..stress.repeat;
        times.flat_map(|_| &items).map(|item| plan(*item)).collect()
    }

    fn tests(
        &self,
        tests: &[Planned<'_>],
        report: &mut Report,
        show: impl Fn(&RunRecord),
    ) -> Result<(), Error> {
        let bar = self.bars.tests(tests.len());
        let ended = self.all(Ok(()), tests, report, |Planned { item, values }| {
            bar.set_message(item.name.clone());
            let record = self.runner.run(item, values, &mut |_| {})?;
            bar.inc(1);
            self.bars.above(|| show(&record));
            Ok(record)
        });
        bar.finish_and_clear();
        ended
    }

    fn scenario(&self, Planned { item, values }: &Planned<'_>) -> Result<RunRecord, Error> {
        self.live.starts(&item.name);
        let mut look = |sight: &Sight<'_>| self.live.look(sight.counts, || sight.workers());
        let record = self.runner.run(item, values, &mut look)?;
        self.live.ended(&record);
        Ok(record)
    }

    /// Does `each` until one ends early or the user does not want more; the rest is put down as not
    /// run, and all of it if what was before has `ended` early.
    pub(super) fn all(
        &self,
        mut ended: Result<(), Error>,
        planned: &[Planned<'_>],
        report: &mut Report,
        mut each: impl FnMut(&Planned<'_>) -> Result<RunRecord, Error>,
    ) -> Result<(), Error> {
        for planned in planned {
            if ended.is_ok() && !self.interrupt.is_requested() {
                match each(planned) {
                    Ok(record) => {
                        report.runs.push(record);
                        continue;
                    }
                    Err(error) => ended = Err(error),
                }
            }
            report.not_run.push(planned.item.name.clone());
        }
        report.interrupted = self.interrupt.is_requested();
        ended
    }
}
