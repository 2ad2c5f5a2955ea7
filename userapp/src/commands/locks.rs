//! `locks`: the driver's locks as they are now.

use syncstress_protocol::{RunReference, WorkerDetail};

use super::runs::Runs;
use crate::{
    client::Client,
    error::Error,
    fairness::contention,
    locks::{HeldLock, LockStat},
    show::Report,
};

impl Runs<'_> {
    /// Shows the runs of all handles, what is held, and what was counted.
    pub fn locks(&self, client: &Client, report: &mut Report) -> Result<(), Error> {
        if client.sees_all_runs() {
            for info in client.runs()? {
                let reference = RunReference { run: info.run };
                // One that ends meanwhile has nothing to tell any more.
                let workers = client.workers_of_any(reference).unwrap_or_default();
                let sum = |count: fn(&WorkerDetail) -> u64| {
                    workers.iter().map(count).fold(0, u64::saturating_add)
                };
                let (acquired, timeouts) = (sum(|it| it.acquisitions), sum(|it| it.timeouts));
                let mut run = self.watched_run(&info);
                run.contention = Some(contention(sum(|it| it.contended), acquired, timeouts));
                report.watched.push(run);
            }
        }
        report.held_locks = HeldLock::read_if_there(client)?;
        report.lock_stat = LockStat::read_if_there(client)?;
        self.screen.locks(report);
        Ok(())
    }
}
