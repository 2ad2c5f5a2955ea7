//! One run from start to collection.

use std::time::{Duration, Instant};

use syncstress_protocol::{ItemKind, Phase, Progress, RunReference, WorkerDetail};

use crate::{
    catalog::Item,
    client::{Client, RunState},
    error::Error,
    interrupt::Interrupt,
    measured::Measured,
    parameters::Values,
    record::{RunRecord, units_of_100ns},
};

#[cfg(test)]
mod tests;

/// The first pause between two looks at a run; most behaviour tests end within it.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
/// The longest pause between two looks at a run.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How long the program waits for a driver that does not get on.
#[derive(Clone, Copy)]
struct Patience {
    /// How long a run may go on past the time that it planned, or, if it planned none, in all.
    to_finish: Duration,
    /// How long a run may take to end after it was told to stop.
    to_stop: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            to_finish: Duration::from_mins(1),
            to_stop: Duration::from_secs(30),
        }
    }
}

/// A look at a run that goes on.
pub struct Sight<'a> {
    /// The driver's counts.
    pub counts: &'a Progress,
    client: &'a Client,
    reference: RunReference,
}

impl Sight<'_> {
    /// What each worker has done so far; nothing where the driver does not tell. If it can no longer
    /// answer, the next look at the run says why.
    pub fn workers(&self) -> Vec<WorkerDetail> {
        if !self.client.measures() {
            return Vec::new();
        }
        self.client.workers(self.reference).unwrap_or_default()
    }
}

/// Carries out runs, one after the other.
pub struct Runner<'a> {
    client: &'a Client,
    interrupt: &'a Interrupt,
    patience: Patience,
}

impl<'a> Runner<'a> {
    /// Runs that `client` starts and `interrupt` stops.
    pub fn new(client: &'a Client, interrupt: &'a Interrupt) -> Self {
        Self {
            client,
            interrupt,
            patience: Patience::default(),
        }
    }

    /// Runs `item` and waits for its end. `look` sees its progress again and again. An interrupt
    /// stops the run; what it has until then is its result. So does a run that goes on past its
    /// time.
    ///
    /// # Errors
    /// Whatever keeps the driver from answering; a run that does not end when it is told to. A
    /// driver that refuses to start the run is not an error but the run's result.
    pub fn run(
        &self,
        item: &Item,
        values: &Values,
        look: &mut dyn FnMut(&Sight<'_>),
    ) -> Result<RunRecord, Error> {
        let reference = match self.client.start(item.id, &values.set) {
            Ok(reference) => reference,
            Err(error) => {
                let status = error.refusal().ok_or(error)?;
                return Ok(RunRecord::refused(item, values, status));
            }
        };
        self.finish(item, values, reference, look)
    }

    /// Waits for the end of a run that was started, as [`run`](Self::run) does.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn finish(
        &self,
        item: &Item,
        values: &Values,
        reference: RunReference,
        look: &mut dyn FnMut(&Sight<'_>),
    ) -> Result<RunRecord, Error> {
        let watch = Watch {
            runner: self,
            item,
            reference,
            started: Instant::now(),
        };
        let (finished, overran) = watch.until_finished(look)?;
        let measured = if item.kind == Some(ItemKind::Scenario) {
            Measured::read(self.client, reference)?
        } else {
            Measured::default()
        };
        let collected = self.client.collect(reference, finished.collect_bytes)?;
        let record = RunRecord::collected(item, values, &collected, overran);
        Ok(record.with_measured(&measured))
    }
}

/// A run under way.
struct Watch<'a> {
    runner: &'a Runner<'a>,
    item: &'a Item,
    reference: RunReference,
    started: Instant,
}

impl Watch<'_> {
    /// Looks until the run is finished; says whether it had to be stopped because it overran.
    fn until_finished(&self, look: &mut dyn FnMut(&Sight<'_>)) -> Result<(Progress, bool), Error> {
        let Runner {
            client,
            interrupt,
            patience,
        } = self.runner;
        let mut pause = FIRST_PAUSE;
        let mut stopped: Option<Instant> = None;
        let mut overran = false;
        loop {
            let RunState { phase, counts } = client.progress(self.reference)?;
            look(&Sight {
                counts: &counts,
                client,
                reference: self.reference,
            });
            if phase == Phase::Finished {
                return Ok((counts, overran));
            }
            let deadline = units_of_100ns(counts.planned_100ns) + patience.to_finish;
            let late = self.started.elapsed() > deadline;
            match stopped {
                None if late || interrupt.is_requested() => {
                    overran = late;
                    client.stop(self.reference)?;
                    stopped = Some(Instant::now());
                    pause = FIRST_PAUSE;
                }
                Some(since) if since.elapsed() > patience.to_stop => {
                    return Err(self.stuck(since, counts));
                }
                _ => {}
            }
            interrupt.sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn stuck(&self, since: Instant, counts: Progress) -> Error {
        Error::Stuck {
            item: self.item.name.clone(),
            seconds: since.elapsed().as_secs(),
            workers: counts.workers,
        }
    }
}
