//! Starts the workers of a scenario, ends and joins them.

use alloc::vec::Vec;

use syncstress_protocol::Role;
use wdk_sync::{Irql, NonPagedArc, Passive, Status, Thread};

use super::{Stage, violation::Violation, worker::Worker};
use crate::run::Run;

/// Something that workers can be let loose on.
pub trait Torture: Send + Sync + 'static {
    /// One pass of a worker.
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>);
}

/// What a worker thread leaves: its first violation, with the pass.
type FirstViolation = Option<(u64, Violation)>;

/// Lets the run's workers loose on `subject` for the run's time. All of them have ended afterwards.
///
/// # Errors
///
/// The status with which a thread could not be started.
pub fn torture<T: Torture>(
    stage: &mut Stage<'_>,
    irql: &mut Irql<'_, Passive>,
    subject: &NonPagedArc<T>,
) -> Result<(), Status> {
    let mut threads = Vec::new();
    threads
        .try_reserve_exact(stage.run.tallies().len())
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    let result = start(stage.run, irql, subject, &mut threads);
    if result.is_ok() {
        stage.run.open_gate(irql);
        let duration = stage.duration();
        stage.run.wait_for_end(irql, duration);
    }
    stage.run.end_workers(irql);
    for (index, thread) in threads.into_iter().enumerate() {
        let first = thread.join(irql);
        report(stage, index, first);
    }
    result
}

/// Starts all threads; those that it has started are in `threads` if one cannot be.
fn start<T: Torture>(
    run: &NonPagedArc<Run>,
    irql: &mut Irql<'_, Passive>,
    subject: &NonPagedArc<T>,
    threads: &mut Vec<Thread<FirstViolation>>,
) -> Result<(), Status> {
    let workers = run.tallies().iter().enumerate();
    for (index, _) in workers.filter(|(_, tally)| tally.role() != Role::Dpc) {
        let (run, subject) = (Run::with_worker(run), subject.clone());
        let thread = Thread::spawn(irql, move |irql| {
            run.wait_at_gate(irql);
            let tally = run.tallies().get(index)?;
            let worker = Worker::new(&run, tally, index, irql);
            worker.work(irql, |irql, worker| subject.pass(irql, worker))
        })?;
        threads.push(thread);
    }
    Ok(())
}

fn report(stage: &mut Stage<'_>, index: usize, first: Option<FirstViolation>) {
    match first {
        None => stage
            .log
            .fail(format_args!("worker {index} ended before its time")),
        Some(None) => {}
        // Counted where it was found.
        Some(Some((pass, violation))) => stage
            .log
            .note(format_args!("worker {index}, pass {pass}: {violation}")),
    }
}
