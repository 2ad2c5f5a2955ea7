//! Who gets a lock next: how often it goes to another thread, how long one keeps it to itself, and how
//! many others come before one that waits.
//!
//! Nothing of that is right or wrong. A lock that is handed on in the order of requests makes convoys,
//! and one that is not lets a thread starve; the figures tell which one a lock is.

use core::sync::atomic::{AtomicU64, Ordering};

use pinned_init::{pin_data, try_pin_init};
use syncstress_protocol::{Primitive, Role, Unit};
use wdk_sync::{
    Apc, AtMost, Dispatch, FastMutex, Irql, Level, Mutex, NonPagedArc, Passive, PushLock,
    QueuedSpinLock, Resource, SpinLock, Status,
};

use super::{
    Crew, Scenario, Stage,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::Worker,
};
use crate::{
    measure::Ticks,
    run::Metrics,
    settings::{Parameter, ParameterId, parameters},
    thread_state::ThreadState,
};

pub static SCENARIO: Scenario = Scenario {
    id: 20,
    name: "hand-off",
    primitive: Primitive::Mutex,
    flags: 0,
    summary: "Who gets a lock next. 0 KSPIN_LOCK, 1 queued, 2 KMUTEX, 3 FAST_MUTEX, 4 EX_PUSH_LOCK, \
              5 ERESOURCE.",
    parameters: parameters![
        Parameter::threads(2, 8),
        Parameter::new(ParameterId::Which, 0, 5, 2),
    ],
    crew: |settings| Crew::of(Role::Writer, settings.count(ParameterId::Threads)),
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let which = stage.settings().get(ParameterId::Which);
    let subject = NonPagedArc::pin_init(try_pin_init!(Succession {
        which,
        taken: AtomicU64::new(0),
        spin: SpinLock::new(Owners::new()),
        queued: QueuedSpinLock::new(Owners::new()),
        mutex <- Mutex::new(Owners::new()),
        fast <- FastMutex::new(Owners::new()),
        push <- PushLock::new(Owners::new()),
        resource <- Resource::new(Owners::new()),
    }? Status))?;
    let result = torture(stage, irql, &subject);
    let told = subject.own(irql, Tell(stage.metrics));
    if told.is_none() {
        stage.log.fail(format_args!("{}", Violation::WrongOwner));
    }
    result.map(|()| 0)
}

/// One lock of every sort, of which the run uses one.
#[pin_data]
struct Succession {
    which: u64,
    /// Acquisitions so far, for those who do not have the lock.
    taken: AtomicU64,
    spin: SpinLock<Owners>,
    queued: QueuedSpinLock<Owners>,
    #[pin]
    mutex: Mutex<Owners>,
    #[pin]
    fast: FastMutex<Owners>,
    #[pin]
    push: PushLock<Owners>,
    #[pin]
    resource: Resource<Owners>,
}

/// What is done while the lock is owned, at whichever level that is.
trait Visit {
    /// Does it. `state` gives the state that the lock leaves its owner in, for the state before.
    fn visit<L: AtMost<Dispatch>>(
        self,
        owners: &mut Owners,
        irql: &Irql<'_, L>,
        state: fn(ThreadState) -> ThreadState,
    );
}

impl Succession {
    /// Acquires the lock for `visit`; `None` if it says that this thread has it already.
    fn own(&self, irql: &mut Irql<'_, Passive>, visit: impl Visit) -> Option<()> {
        let in_region = ThreadState::without_normal_apcs;
        let at_dispatch_level = |before: ThreadState| before.raised_to(Dispatch::IRQL);
        let at_apc_level = |before: ThreadState| before.raised_to(Apc::IRQL);
        match self.which {
            0 => self.spin.with(irql, |owners, irql| {
                visit.visit(owners, irql, at_dispatch_level);
            }),
            1 => self.queued.with(irql, |owners, irql| {
                visit.visit(owners, irql, at_dispatch_level);
            }),
            2 => self
                .mutex
                .with(irql, |owners, irql| visit.visit(owners, irql, in_region))
                .ok()?,
            3 => self
                .fast
                .with(irql, |owners, irql| visit.visit(owners, irql, at_apc_level))
                .ok()?,
            4 => self
                .push
                .with_exclusive(irql, |owners, irql| visit.visit(owners, irql, in_region)),
            _ => self
                .resource
                .with_exclusive(irql, |owners, irql| visit.visit(owners, irql, in_region))
                .ok()?,
        }
        Some(())
    }
}

impl Torture for Succession {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let asked = self.taken.load(Ordering::Relaxed);
        let pass = Pass {
            since: worker.waits_untried(),
            asked,
            taken: &self.taken,
            worker,
        };
        if self.own(irql, pass).is_none() {
            worker.found(Violation::WrongOwner);
        }
    }
}

/// A pass of a worker.
struct Pass<'p, 'run> {
    since: Option<Ticks>,
    /// Acquisitions when it asked.
    asked: u64,
    taken: &'p AtomicU64,
    worker: &'p mut Worker<'run>,
}

impl Visit for Pass<'_, '_> {
    fn visit<L: AtMost<Dispatch>>(
        self,
        owners: &mut Owners,
        irql: &Irql<'_, L>,
        state: fn(ThreadState) -> ThreadState,
    ) {
        let worker = self.worker;
        worker.waited_untried(self.since);
        let taken = self.taken.load(Ordering::Relaxed);
        self.taken.store(taken.wrapping_add(1), Ordering::Relaxed);
        owners.next(worker.index(), taken.saturating_sub(self.asked));
        let expected = state(worker.before());
        worker.owns(irql, expected, |halfway| owners.ledger.change(halfway));
    }
}

/// Who had the lock.
struct Owners {
    ledger: Ledger,
    last: Option<usize>,
    acquisitions: u64,
    /// Acquisitions by another one than the last owner.
    handed_on: u64,
    row: u64,
    longest_row: u64,
    /// Acquisitions by others between a request and its own, of all requests.
    overtaken: u64,
    most_overtaken: u64,
}

impl Owners {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(),
            last: None,
            acquisitions: 0,
            handed_on: 0,
            row: 0,
            longest_row: 0,
            overtaken: 0,
            most_overtaken: 0,
        }
    }

    /// Counts that `owner` got the lock, and so many others since it asked.
    fn next(&mut self, owner: usize, others: u64) {
        self.acquisitions = self.acquisitions.saturating_add(1);
        if self.last.replace(owner) == Some(owner) {
            self.row = self.row.saturating_add(1);
        } else {
            self.row = 1;
            self.handed_on = self.handed_on.saturating_add(1);
        }
        self.longest_row = self.longest_row.max(self.row);
        self.overtaken = self.overtaken.saturating_add(others);
        self.most_overtaken = self.most_overtaken.max(others);
    }
}

/// Tells the figures at the end.
struct Tell<'m>(&'m mut Metrics);

impl Visit for Tell<'_> {
    fn visit<L: AtMost<Dispatch>>(
        self,
        owners: &mut Owners,
        _irql: &Irql<'_, L>,
        _state: fn(ThreadState) -> ThreadState,
    ) {
        let each = |sum: u64, factor: u128| {
            let milli = u128::from(sum) * factor * 1000;
            let milli = milli.checked_div(owners.acquisitions.into()).unwrap_or(0);
            i64::try_from(milli).unwrap_or(i64::MAX)
        };
        let (handed_on, overtaken) = (each(owners.handed_on, 100), each(owners.overtaken, 1));
        self.0.put("handed on", Unit::Percent, handed_on);
        self.0.put("overtaken by, mean", Unit::Count, overtaken);
        self.0
            .count("overtaken by, most", Unit::Count, owners.most_overtaken);
        self.0
            .count("longest row of one owner", Unit::Count, owners.longest_row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_hand_overs_are_counted() {
        let mut owners = Owners::new();
        for (owner, others) in [(1, 0), (1, 0), (2, 3), (1, 1), (1, 0), (1, 0)] {
            owners.next(owner, others);
        }
        assert_eq!(owners.acquisitions, 6);
        assert_eq!(owners.handed_on, 3, "the first one too");
        assert_eq!(owners.longest_row, 3);
        assert_eq!((owners.overtaken, owners.most_overtaken), (4, 3));
    }
}
