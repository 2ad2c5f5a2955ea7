//! More negative controls: locks that are each broken in one way. What is checked of a lock that works
//! is checked of them, and has to be found.
//!
//! None of them leaves the kernel in a bad state: what a broken release forgets is made good once the
//! worker has looked. A region is a guarded one, because a system thread starts in a critical region
//! and one more does not change what `KeAreApcsDisabled` tells.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use syncstress_protocol::{ItemFlags, Primitive, Role};
use wdk_sync::{Apc, GuardedRegion, Irql, Level, Mutex, NonPagedArc, Passive, Status, yield_now};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId, Settings, parameters};

pub static READER: Scenario = Scenario {
    id: 101,
    name: "busted-reader",
    primitive: Primitive::Resource,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a lock that lets a writer in beside readers. It must be reported.",
    parameters: parameters![Parameter::threads_beside(1, 2), Parameter::readers(1, 4)],
    crew: |settings| {
        Crew::of(Role::Writer, settings.count(ParameterId::Threads))
            .with(Role::Reader, settings.count(ParameterId::Readers))
    },
    run: |stage, irql| {
        let subject = NonPagedArc::new(LetsWritersIn::default())?;
        torture(stage, irql, &subject).map(|()| 0)
    },
};

pub static IRQL: Scenario = Scenario {
    id: 103,
    name: "busted-irql",
    primitive: Primitive::FastMutex,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a release that leaves the thread at APC_LEVEL. It must be reported.",
    parameters: parameters![Parameter::threads(1, 2)],
    crew,
    run: |stage, irql| run(stage, irql, Forgets::Irql),
};

pub static REGION: Scenario = Scenario {
    id: 104,
    name: "busted-region",
    primitive: Primitive::Region,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a release that does not leave its region. It must be reported.",
    parameters: parameters![Parameter::threads(1, 2)],
    crew,
    run: |stage, irql| run(stage, irql, Forgets::Region),
};

fn crew(settings: &Settings) -> Crew {
    Crew::of(Role::Writer, settings.count(ParameterId::Threads))
}

/// Writers exclude each other; readers exclude nobody.
#[derive(Default)]
struct LetsWritersIn {
    written: AtomicBool,
    sequence: AtomicU64,
}

impl Torture for LetsWritersIn {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let expected = worker.before();
        if worker.role() == Role::Writer {
            if self.written.swap(true, Ordering::Acquire) {
                worker.gave_up();
                return yield_now(irql);
            }
            self.sequence.fetch_add(1, Ordering::Relaxed);
            worker.owns(irql, expected, |halfway| {
                halfway();
                Ok(())
            });
            self.written.store(false, Ordering::Release);
            return;
        }
        let before = self.sequence.load(Ordering::Relaxed);
        // A writer has time to come in even where there is but one processor.
        yield_now(irql);
        let alone = self.sequence.load(Ordering::Relaxed) == before;
        worker.owns(irql, expected, |halfway| {
            halfway();
            if alone {
                Ok(())
            } else {
                Err(Violation::WriterWithReader)
            }
        });
    }
}

fn run(
    stage: &mut Stage<'_>,
    irql: &mut Irql<'_, Passive>,
    forgets: Forgets,
) -> Result<u64, Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(Ledger::new()))?;
    let subject = NonPagedArc::new(Forgetful { mutex, forgets })?;
    torture(stage, irql, &subject).map(|()| 0)
}

/// What a release does not restore.
#[derive(Clone, Copy)]
enum Forgets {
    Irql,
    Region,
}

/// A mutex that excludes, and is released badly.
struct Forgetful {
    mutex: NonPagedArc<Mutex<Ledger>>,
    forgets: Forgets,
}

impl Torture for Forgetful {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        match self.forgets {
            Forgets::Irql => irql.at_apc_level(|irql| {
                let expected = worker.before().raised_to(Apc::IRQL);
                self.own(irql, worker, expected);
                worker.has_released(irql);
            }),
            Forgets::Region => {
                let mut region = GuardedRegion::enter(irql);
                let irql = region.irql();
                let expected = worker.before().without_apcs();
                self.own(irql, worker, expected);
                worker.has_released(irql);
            }
        }
    }
}

impl Forgetful {
    fn own<L: wdk_sync::AtMost<Apc> + wdk_sync::AtMost<wdk_sync::Dispatch>>(
        &self,
        irql: &mut Irql<'_, L>,
        worker: &mut Worker<'_>,
        expected: crate::thread_state::ThreadState,
    ) {
        let expected = expected.without_normal_apcs();
        let since = worker.waits_untried();
        match self.mutex.lock(irql) {
            Ok(mut guard) => {
                worker.waited_untried(since);
                let (ledger, irql) = guard.parts();
                worker.owns(irql, expected, |halfway| ledger.change(halfway));
            }
            Err(_) => worker.found(Violation::WrongOwner),
        }
    }
}
