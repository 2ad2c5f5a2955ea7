//! Starts the workers of a scenario, ends and joins them.

use alloc::vec::Vec;

use syncstress_protocol::{Role, Unit};
use wdk_sync::{Irql, NonPagedArc, Passive, Status, Thread};

use super::{
    Stage,
    worker::{Leaves, Worker},
};
use crate::{measure::Overhead, run::Run};

/// Something that workers can be let loose on.
pub trait Torture: Send + Sync + 'static {
    /// One pass of a worker.
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>);
}

/// What a worker thread ends with.
type End = Result<Leaves, Status>;

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
    threads: &mut Vec<Thread<End>>,
) -> Result<(), Status> {
    let workers = run.tallies().iter().enumerate();
    for (index, _) in workers.filter(|(_, tally)| tally.role() != Role::Dpc) {
        let (run, subject) = (Run::with_worker(run), subject.clone());
        let thread = Thread::spawn(irql, move |irql| {
            run.wait_at_gate(irql);
            let tally = run.tallies().get(index).ok_or(Status::NOT_FOUND)?;
            let worker = Worker::new(&run, tally, index, irql)?;
            Ok(worker.work(irql, |irql, worker| subject.pass(irql, worker)))
        })?;
        threads.push(thread);
    }
    Ok(())
}

fn report(stage: &mut Stage<'_>, index: usize, end: Option<End>) {
    let leaves = match end {
        None => {
            stage
                .log
                .fail(format_args!("worker {index} ended before its time"));
            return;
        }
        Some(Err(status)) => {
            stage
                .log
                .fail(format_args!("worker {index} could not work: {status}"));
            return;
        }
        Some(Ok(leaves)) => leaves,
    };
    // Counted where it was found.
    if let Some((pass, violation)) = leaves.first {
        stage
            .log
            .note(format_args!("worker {index}, pass {pass}: {violation}"));
    }
    // One worker tells enough of what measuring costs, and alone it tells best.
    if index == 0
        && let Some(overhead) = leaves.overhead
    {
        tell_overhead(stage, overhead);
    }
}

/// Tells how long passes took that were measured, and those that were not, and by how much they differ.
fn tell_overhead(stage: &mut Stage<'_>, mut overhead: Overhead) {
    type Percentile = fn(&mut Overhead, usize) -> i64;
    const FIGURES: [([&str; 3], Percentile); 3] = [
        (
            [
                "measured pass, p10",
                "measured pass, p50",
                "measured pass, p90",
            ],
            Overhead::measured_milli,
        ),
        (
            ["bare pass, p10", "bare pass, p50", "bare pass, p90"],
            Overhead::bare_milli,
        ),
        (
            ["measuring, p10", "measuring, p50", "measuring, p90"],
            Overhead::cost_milli,
        ),
    ];
    let scale = stage.run.clock().scale();
    for (names, percentile) in FIGURES {
        for (name, percent) in names.into_iter().zip([10, 50, 90]) {
            let ticks = percentile(&mut overhead, percent);
            let nanos = i64::try_from(scale.nanos(ticks.unsigned_abs())).unwrap_or(i64::MAX);
            stage
                .metrics
                .put(name, Unit::Nanoseconds, nanos * ticks.signum());
        }
    }
}
