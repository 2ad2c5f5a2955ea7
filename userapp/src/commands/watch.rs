//! `watch`: the runs that other handles started.

use std::time::{Duration, Instant};

use syncstress_protocol::{RunInfo, RunReference};

use super::runs::Runs;
use crate::{
    client::Client,
    error::Error,
    live::Plan,
    record::units_of_100ns,
    show::{
        Report, Watched,
        units::{count, seconds},
    },
    wire::Word,
};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

const HINT: &str = "off Windows each process has a kernel of its own; `syncstress serve SOCKET` \
                    keeps one that several tools use with `--at SOCKET`";

impl Runs<'_> {
    /// Watches the newest run until it ends, then the next one, until there is none for as long as
    /// `patience`.
    pub fn watch(
        &self,
        client: &Client,
        patience: Duration,
        report: &mut Report,
    ) -> Result<(), Error> {
        if !client.sees_all_runs() {
            return Err(Error::usage(
                "this driver is older than the question for the runs of others",
                None,
            ));
        }
        self.live.begin(Plan::unknown());
        let mut watched: Option<Watched> = None;
        let mut idle_since = Instant::now();
        while !self.interrupt.is_requested() {
            let runs = client.runs()?;
            let same = |info: &&RunInfo| watched.as_ref().is_some_and(|it| it.run == info.run);
            if let Some(info) = runs.iter().find(same).or_else(|| runs.last()) {
                if !same(&info) {
                    report.watched.extend(self.leave(watched.take()));
                    self.live.starts(&self.name_of(info.item));
                }
                watched = Some(self.look_at(client, info));
                idle_since = Instant::now();
            } else {
                report.watched.extend(self.leave(watched.take()));
                self.live.idle();
                if idle_since.elapsed() >= patience {
                    break;
                }
            }
            self.interrupt.sleep(PAUSE);
        }
        report.watched.extend(self.leave(watched.take()));
        self.live.end();
        if report.watched.is_empty() && !self.interrupt.is_requested() {
            return Err(Error::usage("there is no run to watch", HINT.to_owned()));
        }
        Ok(())
    }

    fn look_at(&self, client: &Client, info: &RunInfo) -> Watched {
        let reference = RunReference { run: info.run };
        // A run that ends meanwhile has nothing to tell any more.
        let workers = || client.workers_of_any(reference).unwrap_or_default();
        self.live.look(&info.progress, workers);
        self.watched_run(info)
    }

    /// A run of whichever handle, as it is now.
    pub(super) fn watched_run(&self, info: &RunInfo) -> Watched {
        let item = self.catalog.iter().find(|item| item.id == info.item);
        Watched {
            run: info.run,
            name: self.name_of(info.item),
            primitive: item.map_or_else(Word::default, |item| item.primitive.clone()),
            workers: info.workers,
            elapsed_seconds: units_of_100ns(info.progress.elapsed_100ns).as_secs_f64(),
            acquisitions: info.progress.acquisitions,
            contention: None,
            failures: info.progress.failures,
        }
    }

    /// Says how far a run was when it was last seen.
    fn leave(&self, watched: Option<Watched>) -> Option<Watched> {
        let watched = watched?;
        self.live.say(format!(
            "  {:18} last seen after {}: {} workers, {} acquisitions, {} failures",
            watched.name,
            seconds(watched.elapsed_seconds),
            watched.workers,
            count(watched.acquisitions),
            count(watched.failures),
        ));
        Some(watched)
    }

    /// The name of an item; its number if the driver does not list it.
    fn name_of(&self, id: u32) -> String {
        let item = self.catalog.iter().find(|item| item.id == id);
        item.map_or_else(|| format!("item {id}"), |item| item.name.clone())
    }
}
