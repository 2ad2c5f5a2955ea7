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

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use syncstress_protocol::{ItemKind, Progress};
    use wdk_sync::testing::at_passive_level;

    use super::*;
    use crate::{Device, Engine, catalog, settings::Settings};

    fn run_of(engine: &Engine, item: Item) -> NonPagedArc<Run> {
        let settings = Settings::new(item.parameters(), &[]).unwrap();
        // SAFETY: nthost takes null for no device.
        let device = unsafe { Device::new(core::ptr::null_mut()) };
        Run::new(1, item, &settings, device, engine.place().unwrap()).unwrap()
    }

    /// The steps of [`supervise`] from the end of a run's work on, with a look at its progress between each
    /// of them and the next.
    #[test]
    fn a_time_that_was_told_is_never_taken_back() {
        let engine = Engine::new([0, 0, 0]).unwrap();
        let items = [ItemKind::BehaviourTest, ItemKind::Scenario];
        for kind in items {
            let item = catalog::items().find(|it| it.descriptor().kind == kind.to_wire());
            let run = run_of(&engine, item.unwrap());
            let mut last = 0;
            let mut told = |progress: Progress| {
                let elapsed = progress.elapsed_100ns;
                assert!(elapsed >= last, "{elapsed} after {last}");
                last = elapsed;
                elapsed
            };
            told(run.progress());
            let outcome = conclude(&run, Log::new().unwrap(), Ok(0));
            // Somebody asks while the figures are made up, and is told of a moment after the outcome's.
            wdk_sync::stall(Duration::from_micros(50));
            let asked = told(run.progress());
            assert!(asked > outcome.elapsed_100ns, "it was after the outcome");
            run.finish();
            assert_eq!(told(run.final_progress(&outcome)), asked);
            assert_eq!(told(run.final_progress(&outcome)), asked);
        }
        at_passive_level(move |_irql| drop(engine));
    }

    #[test]
    fn nobody_asked_so_the_outcome_says_how_long_it_was() {
        let engine = Engine::new([0, 0, 0]).unwrap();
        let run = run_of(&engine, catalog::items().next().unwrap());
        let outcome = conclude(&run, Log::new().unwrap(), Ok(0));
        wdk_sync::stall(Duration::from_micros(50));
        run.finish();
        let told = run.final_progress(&outcome).elapsed_100ns;
        assert_eq!(told, outcome.elapsed_100ns);
        at_passive_level(move |_irql| drop(engine));
    }
}
