//! `EX_TIMER`s under storms of settings and cancellations, as in [`timer_storm`](super::timer_storm).
//!
//! Now and then a worker makes a timer of its own, sets it and deletes it, while its callback is about to
//! run. One that was cancelled before it expired never calls back; one that was not in the queue when it
//! was cancelled has expired, and calls back once; and none does after its deletion.

use core::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use syncstress_protocol::Primitive;
use wdk_sync::{
    DefaultResolution, DueTime, ExPeriod, ExTimer, ExTimerCallback, ExTimerKind, HighResolution,
    Irql, NoWake, NonPaged, NonPagedArc, Passive, Signal, Status, TimerWas, WaitableExTimer,
    WakeTolerance, sleep,
};

use super::{
    Scenario, Stage,
    dpcs::Dpcs,
    timer_storm::{StormTimer, crew, parameters_of_timers, storm},
    violation::Violation,
    worker::Worker,
};
use crate::settings::{Parameter, ParameterId};

pub static SCENARIO: Scenario = Scenario {
    id: 23,
    name: "ex-timer",
    primitive: Primitive::ExTimer,
    flags: 0,
    summary: "Threads set, cancel and delete EX_TIMERs. kind: 0 default, 1 high resolution, 2 no-wake.",
    parameters: parameters_of_timers!(
        [
            Parameter::new(ParameterId::Timers, 1, 1_024, 8),
            Parameter::new(ParameterId::Kind, 0, 2, 0)
        ][Parameter::tolerance()]
    ),
    crew,
    run,
};

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    match stage.settings().get(ParameterId::Kind) {
        0 => storm(stage, irql, timer::<DefaultResolution>),
        1 => storm(stage, irql, timer::<HighResolution>),
        _ => storm(stage, irql, timer::<NoWake>),
    }
}

/// A kind of timer, as the storm sets it.
trait Kind: ExTimerKind + Default + Send + Sync {
    /// Sets a timer to expire after a while, or as else the kind can be set.
    fn set(
        timer: &WaitableExTimer<Self>,
        irql: &Irql<'_, Passive>,
        after: Duration,
        period: Option<ExPeriod>,
        worker: &mut Worker<'_>,
    ) -> TimerWas;
}

/// The first moment of 1601 at times, which has passed.
const fn due(after: Duration, worker: &mut Worker<'_>) -> DueTime {
    if worker.below(8) == 0 {
        DueTime::At(1)
    } else {
        DueTime::After(after)
    }
}

impl Kind for DefaultResolution {
    fn set(
        timer: &WaitableExTimer<Self>,
        irql: &Irql<'_, Passive>,
        after: Duration,
        period: Option<ExPeriod>,
        worker: &mut Worker<'_>,
    ) -> TimerWas {
        timer.set(irql, due(after, worker), period)
    }
}

impl Kind for HighResolution {
    fn set(
        timer: &WaitableExTimer<Self>,
        irql: &Irql<'_, Passive>,
        after: Duration,
        period: Option<ExPeriod>,
        _worker: &mut Worker<'_>,
    ) -> TimerWas {
        timer.set(irql, after, period)
    }
}

impl Kind for NoWake {
    fn set(
        timer: &WaitableExTimer<Self>,
        irql: &Irql<'_, Passive>,
        after: Duration,
        period: Option<ExPeriod>,
        worker: &mut Worker<'_>,
    ) -> TimerWas {
        let due = due(after, worker);
        let late = worker.settings().millis(ParameterId::Tolerance);
        match worker.below(3) {
            0 => timer.set(irql, due, period),
            1 => timer.set_tolerating(irql, due, period, WakeTolerance::Unlimited),
            _ => timer.set_tolerating(irql, due, period, WakeTolerance::UpTo(late)),
        }
    }
}

/// A timer whose callback tells that it runs.
fn timer<K: Kind>(
    dpcs: NonPagedArc<Dpcs>,
    index: usize,
) -> Result<NonPaged<ExTimer<impl ExTimerCallback<K>, K>>, Status> {
    NonPaged::pin_init(ExTimer::new(
        K::default(),
        Signal::Notification,
        move |_timer: &_, irql: &mut _| dpcs.runs(irql, index, |_time| {}),
    ))
}

impl<F: ExTimerCallback<K>, K: Kind> StormTimer for NonPaged<ExTimer<F, K>> {
    fn set(&self, irql: &Irql<'_, Passive>, worker: &mut Worker<'_>) -> TimerWas {
        let micros = worker.below(worker.settings().get(ParameterId::Due));
        let period = match worker.below(2) {
            0 => None,
            _ => ExPeriod::new(worker.settings().millis(ParameterId::Period)),
        };
        K::set(self, irql, Duration::from_micros(micros), period, worker)
    }

    fn cancel(&self, irql: &Irql<'_, Passive>) -> TimerWas {
        (***self).cancel(irql)
    }

    fn live(irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        match Life::of::<K>(irql, worker) {
            Ok(Ok(())) => {}
            Ok(Err(violation)) => worker.found(violation),
            // There is no memory for one more timer: those that there are go on.
            Err(_) => worker.gave_up(),
        }
    }
}

/// What the callback of a timer leaves that lives for a moment.
#[derive(Default)]
struct Life {
    runs: AtomicU64,
    /// Its timer is deleted.
    is_over: AtomicBool,
    /// Runs after that.
    late: AtomicU64,
}

impl Life {
    /// A timer is made, set, perhaps cancelled, and deleted.
    fn of<K: Kind>(
        irql: &mut Irql<'_, Passive>,
        worker: &mut Worker<'_>,
    ) -> Result<Result<(), Violation>, Status> {
        /// Due times around the time that it takes to get to the deletion.
        const DUE_MICROS: u64 = 200;
        let life = NonPagedArc::new(Self::default())?;
        let theirs = life.clone();
        let timer = NonPaged::pin_init(ExTimer::new(
            K::default(),
            Signal::Notification,
            move |_timer: &WaitableExTimer<K>, _irql: &mut _| theirs.expired(),
        ))?;
        let after = Duration::from_micros(worker.below(DUE_MICROS));
        K::set(&timer, irql, after, None, worker);
        if worker.below(4) == 0 {
            sleep(irql, Duration::from_micros(worker.below(2 * DUE_MICROS)));
        }
        let cancelled = (worker.below(2) == 0).then(|| timer.cancel(irql));
        ExTimer::run_down(timer, irql);
        life.is_over.store(true, Ordering::SeqCst);
        let runs = life.runs.load(Ordering::SeqCst);
        let expected = match cancelled {
            Some(TimerWas::Queued) => 0..=0,
            Some(TimerWas::Idle) => 1..=1,
            None => 0..=1,
        };
        let late = life.late.load(Ordering::SeqCst);
        Ok(if late > 0 || !expected.contains(&runs) {
            Err(Violation::TimerAccount {
                expiries: *expected.end(),
                runs: runs.saturating_add(late),
            })
        } else {
            Ok(())
        })
    }

    fn expired(&self) {
        if self.is_over.load(Ordering::SeqCst) {
            self.late.fetch_add(1, Ordering::SeqCst);
        } else {
            self.runs.fetch_add(1, Ordering::SeqCst);
        }
    }
}
