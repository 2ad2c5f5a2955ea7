//! KTIMERs under storms of settings and cancellations, with DPCs that contend for a spin lock.
//!
//! While only one-shot timers are set, the books must balance: a timer expires as often as it was
//! set, less the settings that were displaced by another one and those that were cancelled. Its DPC
//! runs at most that often, because one that is queued is not queued again, and at least once if the
//! timer expired at all.

use alloc::vec::Vec;
use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use syncstress_protocol::{Primitive, Role};
use wdk_sync::{
    Dispatch, DueTime, Irql, Level, NonPaged, NonPagedArc, Passive, Period, Signal, SpinLock,
    Status, Timer, TimerCallback, TimerWas,
};

use super::{
    Crew, Scenario, Stage,
    contenders::check_level,
    harness::{Torture, torture},
    ledger::Ledger,
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::{
    run::{Count, Run, Tally},
    settings::{Parameter, ParameterId, Settings},
};

pub static SCENARIO: Scenario = Scenario {
    id: 6,
    name: "timer",
    primitive: Primitive::Timer,
    flags: 0,
    summary: "Threads set and cancel KTIMERs whose DPCs contend for a spin lock.",
    parameters: &[
        Parameter::threads(1, 4),
        Parameter::new(ParameterId::Timers, 1, 4_096, 8),
        Parameter::seconds(),
        Parameter::milliseconds(),
        Parameter::hold(),
        Parameter::think(10),
        Parameter::measure(),
        Parameter::sample(),
        Parameter::new(ParameterId::Due, 0, 1_000_000, 500),
        Parameter::new(ParameterId::Period, 0, 1_000, 0),
    ],
    crew,
    run,
};

/// How many DPCs count for themselves; with more timers, several count together.
const COUNTED_DPCS: u32 = 64;

/// How long a DPC has the lock: with more timers a part of what was asked for, so that thousands of
/// them keep the processors no longer from everything else than a few do.
fn hold(settings: &Settings) -> Duration {
    let timers = settings.count(ParameterId::Timers).max(1);
    let hold = settings.micros(ParameterId::Hold);
    hold * COUNTED_DPCS.min(timers) / timers
}

/// Every second thread cancels.
fn crew(settings: &Settings) -> Crew {
    let threads = settings.count(ParameterId::Threads);
    let cancellers = threads / 2;
    Crew::of(Role::Setter, threads.saturating_sub(cancellers))
        .with(Role::Canceller, cancellers)
        .with_dpcs(settings.count(ParameterId::Timers).min(COUNTED_DPCS))
}

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let dpcs = NonPagedArc::new(Dpcs::new(stage.run)?)?;
    let subject = NonPagedArc::new(Storm {
        timers: timers(&dpcs)?,
        dpcs: dpcs.clone(),
    })?;
    let result = torture(stage, irql, &subject);
    for index in 0..subject.timers.len() {
        subject.cancel(irql, index);
    }
    // The last owner: the timers are run down here, and no DPC runs afterwards.
    drop(subject);
    dpcs.settle(stage, irql);
    result.map(|()| 0)
}

/// Timers, each with its DPC.
fn timers(
    dpcs: &NonPagedArc<Dpcs>,
) -> Result<Vec<NonPaged<Timer<impl TimerCallback + use<>>>>, Status> {
    let count = dpcs.accounts.len();
    let mut timers = Vec::new();
    timers
        .try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    for index in 0..count {
        let dpcs = dpcs.clone();
        timers.push(NonPaged::pin_init(Timer::new(
            Signal::Notification,
            move |_timer, irql| dpcs.expired(irql, index),
        ))?);
    }
    Ok(timers)
}

/// The timers, and what their DPCs share.
struct Storm<F> {
    timers: Vec<NonPaged<Timer<F>>>,
    dpcs: NonPagedArc<Dpcs>,
}

impl<F: TimerCallback> Torture for Storm<F> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let index = usize::try_from(worker.below(self.timers.len() as u64)).unwrap_or(0);
        if worker.role() == Role::Setter {
            self.set(irql, index, worker);
        } else {
            self.cancel(irql, index);
        }
        worker.acted();
        if worker.below(8) == 0 {
            self.dpcs.visit(irql, worker);
        }
    }
}

impl<F: TimerCallback> Storm<F> {
    fn set(&self, irql: &Irql<'_, Passive>, index: usize, worker: &mut Worker<'_>) {
        /// From which on Windows is told to coincide expirations.
        const TOLERANCE: Duration = Duration::from_millis(32);
        let (Some(timer), Some(account)) = (self.timers.get(index), self.dpcs.accounts.get(index))
        else {
            return;
        };
        let due = if worker.below(8) == 0 {
            // The first moment of 1601: it has passed.
            DueTime::At(1)
        } else {
            let micros = worker.settings().get(ParameterId::Due);
            DueTime::After(Duration::from_micros(worker.below(micros)))
        };
        let period = match worker.below(2) {
            0 => None,
            _ => Period::from_millis(worker.settings().count(ParameterId::Period)),
        };
        let was = if worker.below(4) == 0 {
            timer.set_coalescable(irql, due, period, TOLERANCE)
        } else {
            timer.set(irql, due, period)
        };
        account.set.fetch_add(1, Ordering::Relaxed);
        if was == TimerWas::Queued {
            account.taken_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cancel(&self, irql: &Irql<'_, Passive>, index: usize) {
        let (Some(timer), Some(account)) = (self.timers.get(index), self.dpcs.accounts.get(index))
        else {
            return;
        };
        if timer.cancel(irql) == TimerWas::Queued {
            account.taken_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What happened to one timer.
#[derive(Default)]
struct Account {
    /// Settings.
    set: AtomicU64,
    /// Settings that were displaced or cancelled before they expired.
    taken_out: AtomicU64,
    /// Runs of the DPC.
    ran: AtomicU64,
}

/// What the DPCs share.
struct Dpcs {
    run: NonPagedArc<Run>,
    /// How many tallies of the run come before those of the DPCs.
    threads: usize,
    hold: Duration,
    accounts: Vec<Account>,
    protected: SpinLock<Protected>,
}

struct Protected {
    ledger: Ledger,
    first: Option<(usize, Violation)>,
}

impl Dpcs {
    fn new(run: &NonPagedArc<Run>) -> Result<Self, Status> {
        let is_thread = |tally: &&Tally| tally.role() != Role::Dpc;
        let count = run.settings().count(ParameterId::Timers) as usize;
        let mut accounts = Vec::new();
        accounts
            .try_reserve_exact(count)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        accounts.resize_with(count, Account::default);
        Ok(Self {
            run: run.clone(),
            threads: run.tallies().iter().filter(is_thread).count(),
            hold: hold(run.settings()),
            accounts,
            protected: SpinLock::new(Protected {
                ledger: Ledger::new(),
                first: None,
            }),
        })
    }

    /// The DPC of timer `index`.
    fn expired(&self, irql: &mut Irql<'_, Dispatch>, index: usize) {
        let dpc = self.threads.saturating_add(index % COUNTED_DPCS as usize);
        let (Some(account), Some(tally)) = (self.accounts.get(index), self.run.tallies().get(dpc))
        else {
            return;
        };
        account.ran.fetch_add(1, Ordering::Relaxed);
        let at_once = self
            .protected
            .try_lock_at_dpc_level(irql)
            .map(|mut protected| self.change(&mut protected, index, tally))
            .is_some();
        if !at_once {
            let mut protected = self.protected.lock_at_dpc_level(irql);
            tally.count(Count::Contended);
            self.change(&mut protected, index, tally);
        }
    }

    /// What a DPC does under the spin lock. The lock also orders what two runs of one DPC count.
    fn change(&self, protected: &mut Protected, index: usize, tally: &Tally) {
        tally.count(Count::Passes);
        tally.count(Count::Acquisitions);
        let level = check_level();
        let changed = protected.ledger.change(|| stay_busy(self.hold));
        for violation in [level, changed].into_iter().filter_map(Result::err) {
            tally.count(Count::Failures);
            protected.first.get_or_insert((index, violation));
        }
    }

    /// A thread takes the spin lock of the DPCs.
    fn visit(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let expected = worker.before().raised_to(Dispatch::IRQL);
        let mut guard = self.protected.lock(irql);
        let (protected, irql) = guard.parts();
        worker.owns(irql, expected, |halfway| protected.ledger.change(halfway));
    }

    /// Closes the books. Nothing sets a timer or runs as a DPC any more.
    fn settle(&self, stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) {
        if let Some((timer, violation)) = self.protected.lock(irql).first {
            stage
                .log
                .note(format_args!("DPC of timer {timer}: {violation}"));
        }
        if stage.settings().get(ParameterId::Period) != 0 {
            // How often a periodic timer has expired cannot be told from outside.
            return;
        }
        for (index, account) in self.accounts.iter().enumerate() {
            let set = account.set.load(Ordering::Relaxed);
            let expiries = set.saturating_sub(account.taken_out.load(Ordering::Relaxed));
            let runs = account.ran.load(Ordering::Relaxed);
            if runs > expiries || (expiries > 0 && runs == 0) {
                let violation = Violation::TimerAccount { expiries, runs };
                stage.log.fail(format_args!("timer {index}: {violation}"));
            }
        }
    }
}
