//! `IO_WORKITEM`: threads and DPCs queue work items, which contend for a spin lock and queue themselves again.
//!
//! A work item runs once for each time that it was queued, at `PASSIVE_LEVEL`, and has done so when it was
//! run down. Now and then a thread makes one of its own, queues it twice, and runs it down at once.

use alloc::vec::Vec;
use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use syncstress_protocol::{ItemFlags, Primitive, Role, Unit};
use wdk_sync::{
    AtMost, Dispatch, Dpc, DpcCallback, DpcControl, Irql, Level, NonPaged, NonPagedArc, Passive,
    SpinLock, Status, WorkItem, WorkItemCallback, WorkItemControl, WorkItemWas,
};

use super::{
    Crew, Scenario, Stage,
    account::{self, Account},
    dpcs::{AGAIN_EVERY, Dpcs},
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::{
    Device,
    settings::{Parameter, ParameterId, Settings, parameters_of_starters},
    thread_state::ThreadState,
};

pub static SCENARIO: Scenario = Scenario {
    id: 26,
    name: "work-item",
    primitive: Primitive::WorkItem,
    flags: 0,
    summary: "Threads and DPCs queue IO_WORKITEMs; each runs as often as it is queued.",
    parameters: parameters_of_starters![
        Parameter::threads(1, 4),
        Parameter::new(ParameterId::Items, 1, 256, 8),
        Parameter::new(ParameterId::Dpcs, 0, 64, 2),
    ],
    crew,
    run: |stage, irql| run(stage, irql, false),
};

pub static BUSTED: Scenario = Scenario {
    id: 107,
    name: "busted-work-item",
    primitive: Primitive::WorkItem,
    flags: ItemFlags::EXPECTED_TO_FAIL,
    summary: "Negative control: a work item that sometimes does not run. It must be reported.",
    parameters: parameters_of_starters![
        Parameter::threads(1, 4),
        Parameter::new(ParameterId::Items, 1, 256, 8),
        Parameter::new(ParameterId::Dpcs, 0, 64, 2),
    ],
    crew,
    run: |stage, irql| run(stage, irql, true),
};

/// One run in so many that a broken work item forgets.
const FORGETS_EVERY: u64 = 16;

fn crew(settings: &Settings) -> Crew {
    Crew::of(Role::Writer, settings.count(ParameterId::Threads))
        .with_dpcs(settings.count(ParameterId::Dpcs))
}

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>, forgets: bool) -> Result<u64, Status> {
    let settings = stage.settings();
    let (count, dpcs) = (
        settings.count(ParameterId::Items),
        settings.count(ParameterId::Dpcs),
    );
    let hold = settings.micros(ParameterId::Hold);
    let shared = NonPagedArc::new(Shared::new(count, hold, forgets)?)?;
    let items = NonPagedArc::new(items(irql, stage.run.device(), &shared)?)?;
    let queuing = NonPagedArc::new(Dpcs::new(stage.run, dpcs, Duration::ZERO)?)?;
    let subject = NonPagedArc::new(Storm {
        dpcs: queuing_dpcs(&queuing, &items)?,
        items: items.clone(),
    })?;
    let result = torture(stage, irql, &subject);
    queuing.close(irql);
    // The last owner: the DPCs are run down here, and none queues a work item afterwards.
    drop(subject);
    queuing.tell(stage, irql);
    shared.close(irql);
    // As above: the work items are run down, which waits for every run.
    drop(items);
    shared.settle(stage, irql);
    result.map(|()| 0)
}

/// What the work items share.
struct Shared {
    hold: Duration,
    /// Whether a work item at times does not do what it is for.
    forgets: bool,
    calls: AtomicU64,
    accounts: Vec<Account>,
    protected: SpinLock<Protected>,
}

struct Protected {
    ledger: Ledger,
    violations: u64,
    first: Option<(usize, Violation)>,
    /// Nothing is to be queued again.
    is_closing: bool,
}

impl Shared {
    fn new(count: u32, hold: Duration, forgets: bool) -> Result<Self, Status> {
        Ok(Self {
            hold,
            forgets,
            calls: AtomicU64::new(0),
            accounts: account::several(count)?,
            protected: SpinLock::new(Protected {
                ledger: Ledger::new(),
                violations: 0,
                first: None,
                is_closing: false,
            }),
        })
    }

    /// What work item `index` does.
    fn runs(&self, irql: &mut Irql<'_, Passive>, work: &WorkItemControl, index: usize) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.forgets && call.is_multiple_of(FORGETS_EVERY) {
            return;
        }
        let Some(account) = self.accounts.get(index) else {
            return;
        };
        let time = account.runs();
        let level = check_level(irql);
        let mut guard = self.protected.lock(irql);
        let (protected, irql) = guard.parts();
        let changed = protected.ledger.change(|| stay_busy(self.hold));
        for violation in [level, changed].into_iter().filter_map(Result::err) {
            protected.violations = protected.violations.saturating_add(1);
            protected.first.get_or_insert((index, violation));
        }
        if !protected.is_closing && time.is_multiple_of(AGAIN_EVERY) {
            self.queue(irql, work, index);
        }
    }

    fn queue<L: AtMost<Dispatch>>(&self, irql: &Irql<'_, L>, work: &WorkItemControl, index: usize) {
        if work.queue(irql) == WorkItemWas::Idle
            && let Some(account) = self.accounts.get(index)
        {
            account.queued();
        }
    }

    /// From now on no work item queues itself again.
    fn close(&self, irql: &mut Irql<'_, Passive>) {
        self.protected.lock(irql).is_closing = true;
    }

    /// A thread takes the spin lock of the work items.
    fn visit(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let expected = worker.before().raised_to(Dispatch::IRQL);
        let since = worker.waits_untried();
        let mut guard = self.protected.lock(irql);
        worker.waited_untried(since);
        let (protected, irql) = guard.parts();
        worker.owns(irql, expected, |halfway| protected.ledger.change(halfway));
    }

    /// Closes the books. No work item runs any more.
    fn settle(&self, stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) {
        let runs = self.accounts.iter().map(|it| it.due_and_ran().1);
        let runs = runs.fold(0, u64::saturating_add);
        stage.metrics.count("work item runs", Unit::Count, runs);
        let (violations, first) = {
            let protected = self.protected.lock(irql);
            (protected.violations, protected.first)
        };
        if let Some((index, violation)) = first {
            stage.log.fail(format_args!(
                "work item {index}: {violation}; {violations} times something"
            ));
        }
        for (index, account) in self.accounts.iter().enumerate() {
            if let Err(violation) = account.balance() {
                stage
                    .log
                    .fail(format_args!("work item {index}: {violation}"));
            }
        }
    }
}

/// A work item runs at `PASSIVE_LEVEL`.
fn check_level(irql: &Irql<'_, Passive>) -> Result<(), Violation> {
    let actual = ThreadState::now(irql);
    let expected = ThreadState {
        irql: Passive::IRQL,
        ..actual
    };
    if actual == expected {
        Ok(())
    } else {
        Err(Violation::StateWhileOwned { expected, actual })
    }
}

/// Work items, each with its number.
struct Items<F> {
    all: Vec<NonPaged<WorkItem<F>>>,
    shared: NonPagedArc<Shared>,
}

fn items(
    irql: &Irql<'_, Passive>,
    device: Device,
    shared: &NonPagedArc<Shared>,
) -> Result<Items<impl WorkItemCallback + use<>>, Status> {
    let count = shared.accounts.len();
    let mut all = Vec::new();
    all.try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for index in 0..count {
        let theirs = shared.clone();
        let item = work_item(irql, device, move |work, irql| {
            theirs.runs(irql, work, index);
        })?;
        all.push(item);
    }
    Ok(Items {
        all,
        shared: shared.clone(),
    })
}

fn work_item<F: WorkItemCallback>(
    irql: &Irql<'_, Passive>,
    device: Device,
    callback: F,
) -> Result<NonPaged<WorkItem<F>>, Status> {
    // SAFETY: The device of the run's session stays longer than the run, whose supervisor and workers
    // drop what they make of this before they end.
    let work = unsafe { WorkItem::new(irql, device.object().cast(), callback) };
    NonPaged::pin_init(work)
}

impl<F: WorkItemCallback> Items<F> {
    /// Queues one of them.
    fn queue<L: AtMost<Dispatch>>(&self, irql: &Irql<'_, L>, number: u64) {
        let index = number.checked_rem(self.all.len() as u64);
        let index = usize::try_from(index.unwrap_or(0)).unwrap_or(0);
        if let Some(work) = self.all.get(index) {
            self.shared.queue(irql, work, index);
        }
    }
}

/// The DPCs of a run, each of which queues one work item after the other.
fn queuing_dpcs<F: WorkItemCallback>(
    queuing: &NonPagedArc<Dpcs>,
    items: &NonPagedArc<Items<F>>,
) -> Result<Vec<NonPaged<Dpc<impl DpcCallback + use<F>>>>, Status> {
    let count = queuing.accounts().len();
    let mut dpcs = Vec::new();
    dpcs.try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for index in 0..count {
        let (queuing, items) = (queuing.clone(), items.clone());
        let dpc = Dpc::new(move |_dpc: &DpcControl, irql: &mut Irql<'_, Dispatch>| {
            let mut next = None;
            queuing.runs(irql, index, |time| next = Some(time));
            if let Some(time) = next {
                items.queue(irql, time);
            }
        });
        dpcs.push(NonPaged::pin_init(dpc)?);
    }
    Ok(dpcs)
}

struct Storm<F, D> {
    dpcs: Vec<NonPaged<Dpc<D>>>,
    items: NonPagedArc<Items<F>>,
}

impl<F: WorkItemCallback, D: DpcCallback> Torture for Storm<F, D> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        match worker.below(64) {
            0 => return live(irql, worker),
            1..8 => return self.items.shared.visit(irql, worker),
            8..24 if !self.dpcs.is_empty() => {
                let dpc = usize::try_from(worker.below(self.dpcs.len() as u64)).unwrap_or(0);
                if let Some(dpc) = self.dpcs.get(dpc) {
                    // One that is queued already runs once for both.
                    let _was = dpc.queue();
                }
            }
            _ => self.items.queue(irql, worker.below(u64::MAX)),
        }
        worker.acted();
    }
}

/// A work item is made, queued twice, and run down while it is on its way.
fn live(irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
    match live_once(irql, worker.device()) {
        Ok(account) => {
            if let Err(violation) = account.balance() {
                worker.found(violation);
            }
        }
        // There is no memory for one more work item: those that there are go on.
        Err(_) => worker.gave_up(),
    }
}

fn live_once(irql: &mut Irql<'_, Passive>, device: Device) -> Result<NonPagedArc<Account>, Status> {
    let account = NonPagedArc::new(Account::default())?;
    let theirs = account.clone();
    let work = work_item(irql, device, move |_work, _irql| {
        theirs.runs();
    })?;
    for _ in 0..2 {
        if work.queue(irql) == WorkItemWas::Idle {
            account.queued();
        }
    }
    WorkItem::run_down(work, irql);
    Ok(account)
}
