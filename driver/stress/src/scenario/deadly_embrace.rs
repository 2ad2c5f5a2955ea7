//! The negative control of `lockdep`: two locks that are taken in both orders, and never at the same
//! time, so that nobody ever waits. A run of it that passes means that `lockdep` sees nothing.

use pinned_init::{pin_data, try_pin_init};
use syncstress_protocol::{ItemFlags, Primitive, Role};
use wdk_sync::{
    FastMutex, Irql, Mutex, NonPagedArc, Passive, Semaphore, Status, WaitStatus,
    lockdep::{self, Problem},
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    semaphore::END_IS_SEEN_WITHIN,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 105,
    name: "deadly-embrace",
    primitive: Primitive::Mutex,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a KMUTEX and a FAST_MUTEX in both orders, one after the other.",
    parameters: parameters![Parameter::threads(1, 2)],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let token = &*irql;
    let subject = NonPagedArc::pin_init(try_pin_init!(Embrace {
        turn <- Semaphore::new(token, 1, 1),
        ledger <- Mutex::new(Ledger),
        index <- FastMutex::new(Index),
    }? Status))?;
    torture(stage, irql, &subject)?;
    let seen = lockdep::reports().find(|report| {
        report.problem() == Problem::Cycle && report.link().asked_site().file() == file!()
    });
    if let Some(report) = seen {
        stage.log.fail(format_args!("lockdep: {report}"));
    }
    Ok(0)
}

/// What the one lock protects.
struct Ledger;

/// What the other does.
struct Index;

#[pin_data]
struct Embrace {
    /// Whoever has it is alone, so that the two orders never meet.
    #[pin]
    turn: Semaphore,
    #[pin]
    ledger: Mutex<Ledger>,
    #[pin]
    index: FastMutex<Index>,
}

impl Embrace {
    fn ledger_then_index(&self, irql: &mut Irql<'_, Passive>) -> bool {
        let held = self
            .ledger
            .with(irql, |_, irql| self.index.lock(irql).is_ok());
        held.unwrap_or(false)
    }

    fn index_then_ledger(&self, irql: &mut Irql<'_, Passive>) -> bool {
        let held = self
            .index
            .with(irql, |_, irql| self.ledger.lock(irql).is_ok());
        held.unwrap_or(false)
    }
}

impl Torture for Embrace {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let since = worker.waits_untried();
        if self.turn.wait(irql, END_IS_SEEN_WITHIN) != WaitStatus::Acquired {
            worker.gave_up();
            return;
        }
        worker.waited_untried(since);
        let got_both = if worker.below(2) == 0 {
            self.ledger_then_index(irql)
        } else {
            self.index_then_ledger(irql)
        };
        let expected = worker.before();
        worker.owns(irql, expected, |halfway| {
            halfway();
            if got_both {
                Ok(())
            } else {
                Err(Violation::TwoWriters)
            }
        });
        // The one who has it gives it back, so the limit is not passed.
        let _ = self.turn.release(irql, 1);
    }
}
