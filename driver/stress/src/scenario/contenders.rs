//! DPCs that contend for a spin lock beside the threads, which queue them.

use alloc::vec::Vec;
use core::time::Duration;

use syncstress_protocol::Role;
use wdk_sync::{
    Dispatch, Dpc, DpcCallback, DpcControl, Irql, Level, NonPaged, NonPagedArc, Passive, Status,
    current_irql,
};

use super::{
    Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::{
    run::{Count, Run},
    settings::ParameterId,
    thread_state::ThreadState,
};

/// A lock that code at `DISPATCH_LEVEL` can acquire.
pub trait AtDpcLevel: Torture {
    /// What a DPC does first, without the lock.
    ///
    /// # Errors
    ///
    /// What it found wrong.
    fn before(&self, _irql: &mut Irql<'_, Dispatch>) -> Result<(), Violation> {
        Ok(())
    }

    /// Calls `f` with the ledger while this code alone has it.
    fn at_dpc_level(&self, irql: &mut Irql<'_, Dispatch>, f: impl FnOnce(&mut Ledger));
}

/// Lets the run's workers and its DPCs loose on `subject` for the run's time.
///
/// # Errors
///
/// The status with which something could not be started.
pub fn torture_with_dpcs<S: AtDpcLevel>(
    stage: &mut Stage<'_>,
    irql: &mut Irql<'_, Passive>,
    subject: &NonPagedArc<S>,
) -> Result<(), Status> {
    let contest = NonPagedArc::new(Contest {
        dpcs: dpcs(stage.run, subject)?,
        subject: subject.clone(),
    })?;
    let result = torture(stage, irql, &contest);
    // The last owner: the DPCs are run down here.
    drop(contest);
    let mut found = None;
    irql.at_dispatch_level(|irql| subject.at_dpc_level(irql, |ledger| found = ledger.by_dpc));
    if let Some((dpc, violation)) = found {
        stage.log.note(format_args!("DPC {dpc}: {violation}"));
    }
    result
}

/// A lock with the DPCs that contend for it.
struct Contest<S, F> {
    subject: NonPagedArc<S>,
    dpcs: Vec<NonPaged<Dpc<F>>>,
}

impl<S: AtDpcLevel, F: DpcCallback> Torture for Contest<S, F> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        if !self.dpcs.is_empty() && worker.below(4) == 0 {
            let dpc = usize::try_from(worker.below(self.dpcs.len() as u64)).unwrap_or(0);
            if let Some(dpc) = self.dpcs.get(dpc) {
                // One that is queued already runs once for both.
                let _was = dpc.queue();
            }
        }
        self.subject.pass(irql, worker);
    }
}

/// The DPCs of a run.
fn dpcs<S: AtDpcLevel>(
    run: &NonPagedArc<Run>,
    subject: &NonPagedArc<S>,
) -> Result<Vec<NonPaged<Dpc<impl DpcCallback + use<S>>>>, Status> {
    let members = run.tallies().iter().enumerate();
    let mut dpcs = Vec::new();
    for (index, _) in members.filter(|(_, tally)| tally.role() == Role::Dpc) {
        let (run, subject) = (run.clone(), subject.clone());
        let hold = run.settings().micros(ParameterId::Hold);
        let dpc = Dpc::new(
            move |_control: &DpcControl, irql: &mut Irql<'_, Dispatch>| {
                let before = subject.before(irql);
                subject.at_dpc_level(irql, |ledger| change(&run, index, hold, before, ledger));
            },
        );
        dpcs.try_reserve(1)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        dpcs.push(NonPaged::pin_init(dpc)?);
    }
    Ok(dpcs)
}

/// What a DPC does with the ledger, which also orders what two runs of one DPC count.
fn change(
    run: &Run,
    index: usize,
    hold: Duration,
    before: Result<(), Violation>,
    ledger: &mut Ledger,
) {
    let Some(tally) = run.tallies().get(index) else {
        return;
    };
    tally.count(Count::Passes);
    tally.count(Count::Acquisitions);
    let level = check_level();
    let changed = ledger.change(|| stay_busy(hold));
    for violation in [before, level, changed].into_iter().filter_map(Result::err) {
        tally.count(Count::Failures);
        ledger.by_dpc.get_or_insert((index, violation));
    }
}

/// A DPC runs at `DISPATCH_LEVEL`.
pub fn check_level() -> Result<(), Violation> {
    let actual = current_irql();
    if actual == Dispatch::IRQL {
        return Ok(());
    }
    let state = |irql| ThreadState {
        irql,
        apcs_disabled: false,
        all_apcs_disabled: true,
    };
    Err(Violation::StateWhileOwned {
        expected: state(Dispatch::IRQL),
        actual: state(actual),
    })
}
