//! Several KMUTEXes in one wait: any one of three, or all of them.

use pinned_init::{pin_data, pin_init};
use syncstress_protocol::{Primitive, Role};
use wdk_sync::{
    Irql, LockAny, Mutex, NonPagedArc, Passive, Status, Timeout, Wait, lock_all, lock_any,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, parameters};

pub static SCENARIO: Scenario = Scenario {
    id: 15,
    name: "mutex-multiple",
    primitive: Primitive::Mutex,
    flags: 0,
    summary: "Threads wait for any one of three KMUTEXes, or for all of them at once.",
    parameters: parameters![
        Parameter::threads(1, 8),
        Parameter::percent(ParameterId::All, 50),
    ],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let subject = NonPagedArc::pin_init(pin_init!(Three {
        first <- Mutex::new(Ledger::new()),
        second <- Mutex::new(Ledger::new()),
        third <- Mutex::new(Ledger::new()),
    }))?;
    torture(stage, irql, &subject).map(|()| 0)
}

#[pin_data]
struct Three {
    #[pin]
    first: Mutex<Ledger>,
    #[pin]
    second: Mutex<Ledger>,
    #[pin]
    third: Mutex<Ledger>,
}

impl Torture for Three {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let mutexes = [&self.first, &self.second, &self.third];
        let expected = worker.before().without_normal_apcs();
        let since = worker.waits_untried();
        if worker.happens(ParameterId::All) {
            match lock_all(irql, mutexes, [], Timeout::Never) {
                Wait::Acquired(mut guards) => {
                    worker.waited_untried(since);
                    let (ledgers, irql) = guards.parts();
                    let [first, others @ ..] = ledgers;
                    worker.owns(irql, expected, |halfway| first.change(halfway));
                    for ledger in others {
                        worker.owns_again(irql, expected, |halfway| ledger.change(halfway));
                    }
                }
                _ => worker.found(Violation::WrongOwner),
            }
        } else {
            match lock_any(irql, mutexes, [], Timeout::Never) {
                LockAny::Acquired(_, mut guard) => {
                    worker.waited_untried(since);
                    let (ledger, irql) = guard.parts();
                    worker.owns(irql, expected, |halfway| ledger.change(halfway));
                }
                _ => worker.found(Violation::WrongOwner),
            }
        }
    }
}
