//! KTIMER with a KDPC.

use core::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use wdk_sync::{
    DueTime, Irql, NonPaged, NonPagedArc, Passive, Period, Signal, Status, Timeout, Timer,
    TimerCallback, TimerWas, WaitStatus, current_irql, sleep,
};

use super::{
    patience::{PATIENCE, eventually, let_things_happen},
    tests,
};
use crate::{
    log::{Log, check},
    scenario::stay_busy,
};

tests! { Timer, "timer_dpc";
    5101 runs_at_dispatch_level: "A timer's DPC runs at DISPATCH_LEVEL.";
    5102 one_shot_runs_once: "The DPC of a one-shot timer runs once for each time that the timer expires.";
    5103 periodic_runs_again_and_again: "The DPC of a periodic timer runs once for each period, until it is cancelled.";
    5104 cancelled_timer_runs_no_dpc: "A timer that is cancelled before its due time does not run its DPC.";
    5105 set_displaces_the_earlier_due_time: "A timer that is set again before its due time expires once, at the new one.";
    5106 set_from_its_dpc: "A timer can be set again from its DPC.";
    5107 cancel_from_its_dpc: "A periodic timer can be cancelled from its DPC, which does not run again.";
    5108 signals_too: "A timer with a DPC becomes signaled all the same.";
    5109 rundown_waits_for_a_running_dpc: "After cancelling and KeFlushQueuedDpcs no DPC of the timer runs any more.";
    5110 rundown_ends_a_timer_that_sets_itself: "A timer whose DPC sets it again can be run down.";
    5111 coalescable_runs_its_dpc: "A coalescable timer runs its DPC.";
}

/// At once.
const NOW: DueTime = DueTime::After(Duration::ZERO);

type Counter = NonPagedArc<AtomicU32>;

fn counter() -> Result<Counter, Status> {
    NonPagedArc::new(AtomicU32::new(0))
}

fn count(counter: &Counter) -> u32 {
    counter.load(Ordering::SeqCst)
}

/// A timer whose DPC counts its runs.
fn counting(counter: &Counter) -> Result<NonPaged<Timer<impl TimerCallback + use<>>>, Status> {
    let theirs = counter.clone();
    NonPaged::pin_init(Timer::new(Signal::Notification, move |_timer, _irql| {
        theirs.fetch_add(1, Ordering::SeqCst);
    }))
}

fn runs_at_dispatch_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    const NOT_RUN: u32 = u32::MAX;
    let level = NonPagedArc::new(AtomicU32::new(NOT_RUN))?;
    let theirs = level.clone();
    let timer = NonPaged::pin_init(Timer::new(Signal::Notification, move |_timer, _irql| {
        theirs.store(current_irql().into(), Ordering::SeqCst);
    }))?;
    timer.set(irql, NOW, None);
    eventually(irql, |_irql| count(&level) != NOT_RUN);
    check!(log, count(&level), 2);
    Timer::run_down(timer, irql);
    Ok(())
}

fn one_shot_runs_once(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let runs = counter()?;
    let timer = counting(&runs)?;
    for round in 1..=3 {
        timer.set(irql, NOW, None);
        eventually(irql, |_irql| count(&runs) >= round);
        let_things_happen(irql);
        check!(log, count(&runs), round);
    }
    Timer::run_down(timer, irql);
    check!(log, count(&runs), 3);
    Ok(())
}

fn periodic_runs_again_and_again(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let runs = counter()?;
    let timer = counting(&runs)?;
    timer.set(irql, NOW, Period::from_millis(2));
    check!(log, eventually(irql, |_irql| count(&runs) >= 5), true);
    Timer::run_down(timer, irql);
    let last = count(&runs);
    let_things_happen(irql);
    check!(log, count(&runs), last);
    Ok(())
}

fn cancelled_timer_runs_no_dpc(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let runs = counter()?;
    let timer = counting(&runs)?;
    timer.set(irql, DueTime::After(Duration::from_millis(500)), None);
    // Unless this thread was away for half a second, the timer is in the queue.
    if timer.cancel(irql) == TimerWas::Queued {
        sleep(irql, Duration::from_millis(600));
        check!(log, count(&runs), 0);
    } else {
        log.note(format_args!(
            "not checked: the timer expired before it could be cancelled"
        ));
    }
    Timer::run_down(timer, irql);
    Ok(())
}

fn set_displaces_the_earlier_due_time(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let runs = counter()?;
    let timer = counting(&runs)?;
    timer.set(irql, DueTime::After(Duration::from_hours(1)), None);
    check!(log, timer.set(irql, NOW, None), TimerWas::Queued);
    eventually(irql, |_irql| count(&runs) > 0);
    let_things_happen(irql);
    check!(log, count(&runs), 1);
    check!(log, timer.cancel(irql), TimerWas::Idle);
    Timer::run_down(timer, irql);
    Ok(())
}

fn set_from_its_dpc(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let runs = counter()?;
    let idle = counter()?;
    let (their_runs, their_idle) = (runs.clone(), idle.clone());
    let timer = NonPaged::pin_init(Timer::new(Signal::Notification, move |timer, irql| {
        if their_runs.fetch_add(1, Ordering::SeqCst) < 4
            && timer.set(irql, DueTime::After(Duration::from_millis(1)), None) == TimerWas::Idle
        {
            their_idle.fetch_add(1, Ordering::SeqCst);
        }
    }))?;
    timer.set(irql, NOW, None);
    check!(log, eventually(irql, |_irql| count(&runs) >= 5), true);
    let_things_happen(irql);
    check!(log, count(&runs), 5);
    // It had expired each time.
    check!(log, count(&idle), 4);
    Timer::run_down(timer, irql);
    Ok(())
}

fn cancel_from_its_dpc(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let runs = counter()?;
    let queued = counter()?;
    let (their_runs, their_queued) = (runs.clone(), queued.clone());
    let timer = NonPaged::pin_init(Timer::new(Signal::Notification, move |timer, irql| {
        if timer.cancel(irql) == TimerWas::Queued {
            their_queued.fetch_add(1, Ordering::SeqCst);
        }
        their_runs.fetch_add(1, Ordering::SeqCst);
    }))?;
    timer.set(irql, NOW, Period::from_millis(50));
    check!(log, eventually(irql, |_irql| count(&runs) > 0), true);
    sleep(irql, Duration::from_millis(150));
    check!(log, count(&queued), 1);
    check!(log, timer.cancel(irql), TimerWas::Idle);
    Timer::run_down(timer, irql);
    Ok(())
}

fn signals_too(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let runs = counter()?;
    let timer = counting(&runs)?;
    timer.set(irql, NOW, None);
    check!(
        log,
        timer.wait(irql, Timeout::After(PATIENCE)),
        WaitStatus::Acquired
    );
    check!(log, timer.is_signaled(irql), true);
    Timer::run_down(timer, irql);
    // The signal comes before the DPC, the rundown after it.
    check!(log, count(&runs), 1);
    Ok(())
}

fn rundown_waits_for_a_running_dpc(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let began = NonPagedArc::new(AtomicBool::new(false))?;
    let ended = NonPagedArc::new(AtomicBool::new(false))?;
    let (they_began, they_ended) = (began.clone(), ended.clone());
    let timer = NonPaged::pin_init(Timer::new(Signal::Notification, move |_timer, _irql| {
        they_began.store(true, Ordering::SeqCst);
        stay_busy(Duration::from_millis(50));
        they_ended.store(true, Ordering::SeqCst);
    }))?;
    timer.set(irql, NOW, None);
    check!(
        log,
        eventually(irql, |_irql| began.load(Ordering::SeqCst)),
        true
    );
    Timer::run_down(timer, irql);
    check!(log, ended.load(Ordering::SeqCst), true);
    Ok(())
}

fn rundown_ends_a_timer_that_sets_itself(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let runs = counter()?;
    let theirs = runs.clone();
    let timer = NonPaged::pin_init(Timer::new(Signal::Notification, move |timer, irql| {
        theirs.fetch_add(1, Ordering::SeqCst);
        timer.set(irql, NOW, None);
    }))?;
    timer.set(irql, NOW, None);
    check!(log, eventually(irql, |_irql| count(&runs) >= 10), true);
    Timer::run_down(timer, irql);
    let last = count(&runs);
    let_things_happen(irql);
    check!(log, count(&runs), last);
    Ok(())
}

fn coalescable_runs_its_dpc(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let runs = counter()?;
    let timer = counting(&runs)?;
    let was = timer.set_coalescable(irql, NOW, None, Duration::from_millis(32));
    check!(log, was, TimerWas::Idle);
    check!(log, eventually(irql, |_irql| count(&runs) > 0), true);
    Timer::run_down(timer, irql);
    check!(log, count(&runs), 1);
    Ok(())
}
