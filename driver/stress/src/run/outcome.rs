//! What came out of a run.

use alloc::vec::Vec;

use syncstress_protocol::{CollectReply, Metric, Verdict, WorkerReport};
use wdk_sync::Status;

use super::Run;
use crate::{log::Log, message::Reply};

/// What came out of a run.
pub struct Outcome {
    /// How it came out.
    pub verdict: Verdict,
    /// Why it could not be run.
    pub status: Status,
    /// What it said.
    pub log: Log,
    /// How long it took.
    pub elapsed_100ns: u64,
    /// Violations and failed checks.
    pub failures: u64,
    /// Contention as the primitive itself counts it.
    pub kernel_contention: u64,
    /// Figures of the whole run.
    pub metrics: Vec<Metric>,
}

impl Run {
    /// How many bytes [`write_result`](Self::write_result) needs.
    pub fn result_bytes(&self, outcome: &Outcome) -> usize {
        let workers = self
            .tallies()
            .len()
            .saturating_mul(size_of::<WorkerReport>());
        size_of::<CollectReply>()
            .saturating_add(workers)
            .saturating_add(outcome.log.text().len())
    }

    /// Writes the result, if all of it fits.
    ///
    /// # Errors
    ///
    /// [`Status::BUFFER_TOO_SMALL`] if it does not.
    pub fn write_result(&self, outcome: &Outcome, reply: &mut Reply<'_>) -> Result<(), Status> {
        if reply.room() < self.result_bytes(outcome) {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        let log = outcome.log.text();
        reply.put(&CollectReply {
            run: self.number(),
            item: self.item.id(),
            verdict: outcome.verdict.to_wire(),
            status: outcome.status.into_raw(),
            workers: length(self.tallies().len()),
            log_bytes: length(log.len()),
            log_lost: outcome.log.lost(),
            elapsed_100ns: outcome.elapsed_100ns,
            failures: outcome.failures,
            kernel_contention: outcome.kernel_contention,
        })?;
        let scale = self.clock().scale();
        for (index, tally) in self.tallies().iter().enumerate() {
            reply.put(&tally.report(length(index), scale))?;
        }
        reply.put(log)
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
