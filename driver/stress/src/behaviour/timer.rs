//! KTIMER as a dispatcher object.

use core::time::Duration;

use wdk_sync::{
    DueTime, Instant, Irql, NonPaged, Passive, Period, Signal, Status, Timeout, TimerWas,
    WaitStatus, WaitableTimer,
};

use super::{
    patience::{PATIENCE, let_things_happen},
    tests,
};
use crate::log::{Log, check};

tests! { Timer, "timer";
    5001 starts_not_signaled: "KeInitializeTimerEx makes a timer that is not signaled and not queued.";
    5002 first_set_says_idle: "KeSetTimer gives FALSE for a timer that is not in the queue.";
    5003 second_set_says_queued: "KeSetTimer gives TRUE for a timer that is in the queue, and sets it anew.";
    5004 cancel_says_queued_once: "KeCancelTimer gives TRUE for a timer in the queue, and FALSE afterwards.";
    5005 cancel_of_an_expired_one_shot_says_idle: "KeCancelTimer gives FALSE for a one-shot timer that has expired.";
    5006 cancel_of_a_periodic_timer_says_queued: "KeCancelTimer gives TRUE for a periodic timer, whether it has expired or not.";
    5007 set_of_an_expired_one_shot_says_idle: "KeSetTimer gives FALSE for a one-shot timer that has expired.";
    5008 notification_stays_signaled: "A notification timer that has expired satisfies any number of waits.";
    5009 synchronization_satisfies_one_wait: "A synchronization timer that has expired satisfies one wait.";
    5010 cancel_leaves_the_signal: "A timer that has expired stays signaled when it is cancelled.";
    5011 set_clears_the_signal: "A timer that is set is not signaled, whatever it was.";
    5012 cancelled_timer_is_not_signaled: "A timer that is cancelled before its due time does not become signaled.";
    5013 absolute_time_that_has_passed: "A timer that is due at a time that has passed expires at once.";
    5014 absolute_time_to_come: "A timer that is due at a time far off stays in the queue.";
    5015 expires_not_before_its_time: "A timer does not expire earlier than a clock tick before its due time.";
    5016 coalescable_expires_not_before_its_time: "A tolerable delay makes a timer later, never earlier.";
    5017 periodic_signals_again: "A periodic synchronization timer satisfies one wait for each period.";
    5018 set_and_cancel_at_dispatch_level: "A timer can be set, read and cancelled at DISPATCH_LEVEL.";
}

/// So far off that no test takes as long.
const FAR: DueTime = DueTime::After(Duration::from_hours(1));
/// At once.
const NOW: DueTime = DueTime::After(Duration::ZERO);

fn notification() -> Result<NonPaged<WaitableTimer>, Status> {
    NonPaged::pin_init(WaitableTimer::new(Signal::Notification))
}

fn synchronization() -> Result<NonPaged<WaitableTimer>, Status> {
    NonPaged::pin_init(WaitableTimer::new(Signal::Synchronization))
}

/// Waits until the timer has expired.
fn wait(timer: &WaitableTimer, irql: &mut Irql<'_, Passive>) -> WaitStatus {
    timer.wait(irql, Timeout::After(PATIENCE))
}

fn starts_not_signaled(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    for timer in [notification()?, synchronization()?] {
        check!(log, timer.is_signaled(irql), false);
        check!(log, timer.cancel(irql), TimerWas::Idle);
    }
    Ok(())
}

fn first_set_says_idle(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let timer = notification()?;
    check!(log, timer.set(irql, FAR, None), TimerWas::Idle);
    check!(log, timer.is_signaled(irql), false);
    Ok(())
}

fn second_set_says_queued(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, FAR, None);
    check!(log, timer.set(irql, FAR, None), TimerWas::Queued);
    check!(log, timer.set(irql, NOW, None), TimerWas::Queued);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    Ok(())
}

fn cancel_says_queued_once(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, FAR, None);
    check!(log, timer.cancel(irql), TimerWas::Queued);
    check!(log, timer.cancel(irql), TimerWas::Idle);
    check!(log, timer.set(irql, FAR, None), TimerWas::Idle);
    Ok(())
}

fn cancel_of_an_expired_one_shot_says_idle(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, NOW, None);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, timer.cancel(irql), TimerWas::Idle);
    Ok(())
}

fn cancel_of_a_periodic_timer_says_queued(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, NOW, Period::from_millis(3_600_000));
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, timer.cancel(irql), TimerWas::Queued);
    check!(log, timer.cancel(irql), TimerWas::Idle);
    Ok(())
}

fn set_of_an_expired_one_shot_says_idle(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, NOW, None);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, timer.set(irql, FAR, None), TimerWas::Idle);
    Ok(())
}

fn notification_stays_signaled(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, NOW, None);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, timer.is_signaled(irql), true);
    check!(log, timer.wait(irql, Timeout::ZERO), WaitStatus::Acquired);
    check!(log, timer.wait(irql, Timeout::ZERO), WaitStatus::Acquired);
    Ok(())
}

fn synchronization_satisfies_one_wait(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let timer = synchronization()?;
    timer.set(irql, NOW, None);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, timer.is_signaled(irql), false);
    check!(log, timer.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
    Ok(())
}

fn cancel_leaves_the_signal(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, NOW, None);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    timer.cancel(irql);
    check!(log, timer.is_signaled(irql), true);
    check!(log, timer.wait(irql, Timeout::ZERO), WaitStatus::Acquired);
    Ok(())
}

fn set_clears_the_signal(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, NOW, None);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    timer.set(irql, FAR, None);
    check!(log, timer.is_signaled(irql), false);
    check!(log, timer.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
    Ok(())
}

fn cancelled_timer_is_not_signaled(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let timer = notification()?;
    timer.set(irql, DueTime::After(Duration::from_millis(500)), None);
    // Unless this thread was away for half a second, the timer is in the queue.
    if timer.cancel(irql) == TimerWas::Queued {
        let past_due = Timeout::After(Duration::from_millis(600));
        check!(log, timer.wait(irql, past_due), WaitStatus::TimedOut);
        check!(log, timer.is_signaled(irql), false);
    } else {
        log.note(format_args!(
            "not checked: the timer expired before it could be cancelled"
        ));
    }
    Ok(())
}

fn absolute_time_that_has_passed(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let timer = notification()?;
    // 100 ns into the year 1601.
    check!(log, timer.set(irql, DueTime::At(1), None), TimerWas::Idle);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, timer.cancel(irql), TimerWas::Idle);
    Ok(())
}

fn absolute_time_to_come(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    /// The year 3185, in units of 100 ns since 1601.
    const FAR_YEAR: u64 = 500_000_000_000_000_000;
    let timer = notification()?;
    check!(
        log,
        timer.set(irql, DueTime::At(FAR_YEAR), None),
        TimerWas::Idle
    );
    let_things_happen(irql);
    check!(log, timer.is_signaled(irql), false);
    check!(log, timer.cancel(irql), TimerWas::Queued);
    Ok(())
}

/// How far the interrupt time, by which timers expire, can be behind the performance counter: one
/// tick of a clock whose resolution nobody has raised.
const TICK: Duration = Duration::from_micros(15_625);

fn expires_not_before_its_time(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let due = Duration::from_millis(60);
    let timer = synchronization()?;
    let start = Instant::now();
    timer.set(irql, DueTime::After(due), None);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, start.elapsed() + TICK >= due, true);
    Ok(())
}

fn coalescable_expires_not_before_its_time(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let due = Duration::from_millis(60);
    let tolerance = Duration::from_millis(50);
    let timer = synchronization()?;
    let start = Instant::now();
    let was = timer.set_coalescable(irql, DueTime::After(due), None, tolerance);
    check!(log, was, TimerWas::Idle);
    check!(log, wait(&timer, irql), WaitStatus::Acquired);
    check!(log, start.elapsed() + TICK >= due, true);
    Ok(())
}

fn periodic_signals_again(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let timer = synchronization()?;
    timer.set(irql, NOW, Period::from_millis(5));
    for _ in 0..4 {
        check!(log, wait(&timer, irql), WaitStatus::Acquired);
    }
    check!(log, timer.set(irql, FAR, None), TimerWas::Queued);
    check!(log, timer.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
    Ok(())
}

fn set_and_cancel_at_dispatch_level(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let timer = notification()?;
    irql.at_dispatch_level(|irql| {
        check!(log, timer.set(irql, FAR, None), TimerWas::Idle);
        check!(log, timer.is_signaled(irql), false);
        check!(log, timer.cancel(irql), TimerWas::Queued);
    });
    Ok(())
}
