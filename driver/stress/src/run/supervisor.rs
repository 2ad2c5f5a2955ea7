//! The thread that carries a run through: it starts the workers, ends and joins them, and says how
//! it came out.

use syncstress_protocol::Verdict;
use wdk_sync::{Irql, NonPagedArc, Passive, Status};

use super::{Count, Metrics, Outcome, Run, in_100ns};
use crate::{catalog::Item, engine::Share, hold, log::Log, scenario::Stage};

/// Carries `run` through. Afterwards none of its threads is left but this one, and `threads` of the
/// limit are free again.
pub fn supervise(
    run: &NonPagedArc<Run>,
    irql: &mut Irql<'_, Passive>,
    mut log: Log,
    threads: Share,
) -> Outcome {
    let mut metrics = Metrics::default();
    let result = match run.item {
        Item::Test(test) => (test.run)(irql, &mut log).map(|()| 0),
        Item::Scenario(scenario) => {
            let mut stage = Stage::new(run, &mut log, &mut metrics);
            (scenario.run)(&mut stage, irql)
        }
        Item::Hold(pattern) => (pattern.run)(&mut hold::Stage::new(run, pattern), irql).map(|()| 0),
    };
    drop(threads);
    run.clock().settle();
    let mut outcome = conclude(run, log, result);
    if matches!(run.item, Item::Scenario(_)) {
        metrics.of_clock(run.clock());
        metrics.of_times(run.tallies());
        outcome.metrics = metrics.into_vec();
    }
    run.finish();
    outcome
}

fn conclude(run: &Run, mut log: Log, result: Result<u64, Status>) -> Outcome {
    let is_scenario = matches!(run.item, Item::Scenario(_));
    let stopped = is_scenario && run.was_stopped();
    if is_scenario && !stopped && result.is_ok() && run.sum(Count::Acquisitions) == 0 {
        log.fail(format_args!("nothing was acquired, so nothing was checked"));
    }
    let failures = run.sum(Count::Failures).saturating_add(log.failures());
    let verdict = match result {
        _ if failures > 0 => Verdict::Failed,
        Err(_) => Verdict::Error,
        Ok(_) if stopped => Verdict::Stopped,
        Ok(_) => Verdict::Passed,
    };
    if let Err(status) = result {
        log.note(format_args!("could not be carried through: {status}"));
    }
    Outcome {
        verdict,
        status: match result {
            Err(status) if verdict == Verdict::Error => status,
            _ => Status::SUCCESS,
        },
        log,
        elapsed_100ns: in_100ns(run.elapsed()),
        failures,
        kernel_contention: result.unwrap_or(0),
        metrics: alloc::vec::Vec::new(),
    }
}
