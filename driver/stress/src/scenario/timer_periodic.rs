//! Periodic KTIMERs: how regularly their DPCs run, whether they drift, and whether two runs of one DPC
//! overlap, as they may where one takes longer than the period.
//!
//! An expiry whose DPC is still queued runs none of its own. Such a run is counted as missed, by the
//! time that the next one is late.

use alloc::vec::Vec;
use core::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use syncstress_protocol::{Primitive, Role, Unit};
use wdk_sync::{
    Dispatch, DueTime, Instant, Irql, NonPaged, NonPagedArc, Passive, Period, Signal, SpinLock,
    Status, Timer, TimerCallback, WaitStatus,
};

use super::{
    Crew, Scenario, Stage,
    contenders::check_level,
    harness::{Torture, torture},
    semaphore::END_IS_SEEN_WITHIN,
    violation::Violation,
    worker::{Worker, stay_busy},
};
use crate::{
    run::{Count, Run},
    settings::{Parameter, ParameterId},
};

pub static SCENARIO: Scenario = Scenario {
    id: 19,
    name: "timer-periodic",
    primitive: Primitive::Timer,
    flags: 0,
    summary: "Periodic KTIMERs: jitter, drift, and DPCs that overlap on two processors.",
    parameters: &[
        Parameter::new(ParameterId::Threads, 1, 128, 2),
        Parameter::seconds(),
        Parameter::milliseconds(),
        Parameter::new(ParameterId::Period, 1, 1_000, 1),
        Parameter::tolerance(),
        // A DPC of this length is far from what the DPC watchdog allows.
        Parameter::new(ParameterId::Busy, 0, 5_000, 0),
        Parameter::limit(),
    ],
    crew: |settings| {
        let timers = settings.count(ParameterId::Threads);
        Crew::of(Role::Setter, timers).with_dpcs(timers)
    },
    run,
};

/// How long after its time an expiry is lost.
const PATIENCE: Duration = Duration::from_secs(10);

fn run(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<u64, Status> {
    let threads = stage.settings().count(ParameterId::Threads) as usize;
    let mut clocks = Vec::new();
    for index in 0..threads {
        clocks
            .try_reserve(1)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        clocks.push(clock(stage.run, threads.saturating_add(index))?);
    }
    let subject = NonPagedArc::new(Clocks(clocks))?;
    let result = torture(stage, irql, &subject);
    for clock in &subject.0 {
        clock.timer.cancel(irql);
    }
    tell(stage, irql, subject.0.iter().map(|clock| &*clock.pulse));
    result.map(|()| 0)
}

/// A timer, and what its DPC keeps.
struct Clock<F> {
    timer: NonPaged<Timer<F>>,
    was_set: AtomicBool,
    pulse: NonPagedArc<Pulse>,
}

fn clock(run: &NonPagedArc<Run>, dpc: usize) -> Result<Clock<impl TimerCallback + use<>>, Status> {
    let pulse = NonPagedArc::new(Pulse {
        run: run.clone(),
        dpc,
        inside: AtomicU32::new(0),
        beats: SpinLock::new(Beats::default()),
    })?;
    let theirs = pulse.clone();
    let timer = Timer::new(
        Signal::Synchronization,
        move |_timer: &_, irql: &mut Irql<'_, Dispatch>| theirs.beat(irql),
    );
    Ok(Clock {
        timer: NonPaged::pin_init(timer)?,
        was_set: AtomicBool::new(false),
        pulse,
    })
}

struct Clocks<F>(Vec<Clock<F>>);

impl<F: TimerCallback> Torture for Clocks<F> {
    fn pass(&self, irql: &mut Irql<'_, Passive>, worker: &mut Worker<'_>) {
        let Some(clock) = self.0.get(worker.index()) else {
            return;
        };
        let period = worker.settings().millis(ParameterId::Period);
        let tolerance = worker.settings().millis(ParameterId::Tolerance);
        if !clock.was_set.swap(true, Ordering::Relaxed) {
            let millis = worker.settings().count(ParameterId::Period);
            let due = DueTime::After(period);
            clock
                .timer
                .set_coalescable(irql, due, Period::from_millis(millis), tolerance);
        }
        let since = Instant::now();
        while worker.goes_on() {
            if clock.timer.wait(irql, END_IS_SEEN_WITHIN) == WaitStatus::Acquired {
                return worker.acted();
            }
            if since.elapsed() > PATIENCE + period + tolerance {
                return worker.found(Violation::LostWakeUp);
            }
        }
    }
}

/// What the DPC of one timer keeps.
struct Pulse {
    run: NonPagedArc<Run>,
    /// Its place among the tallies of the run.
    dpc: usize,
    /// Runs at this moment.
    inside: AtomicU32,
    beats: SpinLock<Beats>,
}

/// Runs so far.
#[derive(Clone, Copy, Default)]
struct Beats {
    /// The times of the first and of the last one.
    ends: Option<(Instant, Instant)>,
    /// Runs after the first one.
    runs: u64,
    /// Periods without a run.
    missed: u64,
    /// Runs that began while another one was at work.
    overlapping: u64,
    most_at_once: u32,
    first: Option<Violation>,
}

impl Pulse {
    fn beat(&self, irql: &mut Irql<'_, Dispatch>) {
        let now = Instant::now();
        let inside = self
            .inside
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        self.count(&mut self.beats.lock_at_dpc_level(irql), now, inside);
        stay_busy(self.run.settings().micros(ParameterId::Busy));
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }

    /// Under the lock, which also orders what two runs count.
    fn count(&self, beats: &mut Beats, now: Instant, inside: u32) {
        let Some(tally) = self.run.tallies().get(self.dpc) else {
            return;
        };
        tally.count(Count::Passes);
        tally.count(Count::Acquisitions);
        if let Err(violation) = check_level() {
            tally.count(Count::Failures);
            beats.first.get_or_insert(violation);
        }
        beats.overlapping += u64::from(inside > 1);
        beats.most_at_once = beats.most_at_once.max(inside);
        let Some((first, last)) = beats.ends else {
            beats.ends = Some((now, now));
            return;
        };
        let period = self.run.settings().millis(ParameterId::Period);
        let interval = now.since(last);
        let off = nanos(interval.abs_diff(period));
        tally.waits().record(self.run.clock().scale().ticks(off));
        beats.runs = beats.runs.saturating_add(1);
        beats.missed = beats.missed.saturating_add(missed_in(interval, period));
        beats.ends = Some((first, now.max(last)));
    }
}

/// How many runs there should have been within the time between two.
fn missed_in(interval: Duration, period: Duration) -> u64 {
    let half = nanos(period) / 2;
    let periods = nanos(interval).saturating_add(half) / nanos(period).max(1);
    periods.saturating_sub(1)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How much longer than they should the periods between the first and the last run were, in
/// millionths, thousandfold; negative if they were shorter.
fn drift_milli(elapsed: Duration, periods: u64, period: Duration) -> i64 {
    let planned = i128::from(periods) * i128::from(nanos(period));
    let off = i128::from(nanos(elapsed)) - planned;
    let drift = (off * 1_000_000_000).checked_div(planned).unwrap_or(0);
    i64::try_from(drift).unwrap_or(i64::MAX)
}

/// Tells how all timers did, and the drift of the one that drifted most.
fn tell<'p>(
    stage: &mut Stage<'_>,
    irql: &mut Irql<'_, Passive>,
    pulses: impl Iterator<Item = &'p Pulse>,
) {
    let period = stage.settings().millis(ParameterId::Period);
    let (mut runs, mut missed, mut overlapping, mut most, mut drift) = (0, 0, 0, 0, 0);
    for (index, pulse) in pulses.enumerate() {
        let beats = *pulse.beats.lock(irql);
        if let Some(violation) = beats.first {
            stage
                .log
                .note(format_args!("DPC of timer {index}: {violation}"));
        }
        runs += beats.runs;
        missed += beats.missed;
        overlapping += beats.overlapping;
        most = most.max(beats.most_at_once);
        if let Some((first, last)) = beats.ends {
            let periods = beats.runs.saturating_add(beats.missed);
            let its = drift_milli(last.since(first), periods, period);
            drift = if its.abs() > i64::abs(drift) {
                its
            } else {
                drift
            };
        }
    }
    let metrics = &mut *stage.metrics;
    metrics.count("periodic runs", Unit::Count, runs);
    metrics.count("missed runs", Unit::Count, missed);
    metrics.count("overlapping runs", Unit::Count, overlapping);
    metrics.count("most runs at once", Unit::Count, most.into());
    metrics.put("largest drift", Unit::PartsPerMillion, drift);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_told_by_the_time_between_two_runs() {
        let period = Duration::from_millis(10);
        for (millis, missed) in [(0, 0), (4, 0), (10, 0), (14, 0), (16, 1), (20, 1), (51, 4)] {
            let interval = Duration::from_millis(millis);
            assert_eq!(missed_in(interval, period), missed, "{millis}");
        }
    }

    #[test]
    fn drift_is_what_all_periods_together_were_off() {
        let period = Duration::from_millis(10);
        let drift = |micros| drift_milli(Duration::from_micros(micros), 100, period);
        assert_eq!(drift(1_000_000), 0);
        assert_eq!(drift(1_000_001), 1_000, "a millionth");
        assert_eq!(drift(999_000), -1_000_000, "a thousandth less");
        assert_eq!(drift_milli(period, 0, period), 0, "no period, no drift");
    }
}
