//! KEVENT.

use wdk_sync::{Event, Irql, NonPaged, NonPagedArc, Passive, Signal, Status, Timeout, WaitStatus};

use super::{
    patience::{eventually, let_things_happen},
    peer::Peer,
    tests,
};
use crate::log::{Log, check};

tests! { Event, "event";
    6001 initial_state: "KeInitializeEvent makes an event that is signaled or not, as it is told.";
    6002 notification_stays_signaled: "A notification event stays signaled after a wait, until it is reset.";
    6003 synchronization_satisfies_one_wait: "A synchronization event is reset by the wait that it satisfies.";
    6004 set_gives_the_previous_state: "KeSetEvent gives the previous state.";
    6005 reset_gives_the_previous_state: "KeResetEvent gives the previous state; KeClearEvent clears without telling.";
    6006 synchronization_does_not_count: "A synchronization event that is set twice satisfies one wait.";
    6007 notification_releases_all_waiters: "Setting a notification event satisfies the waits of all who wait.";
    6008 synchronization_releases_one_waiter: "Setting a synchronization event satisfies one of several waits.";
    6009 set_at_dispatch_level: "An event can be set, reset and read at DISPATCH_LEVEL.";
    6010 wait_times_out: "A wait for an event that nobody sets gives STATUS_TIMEOUT.";
}

fn initial_state(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let signaled = NonPaged::pin_init(Event::new(Signal::Notification, true))?;
    check!(log, signaled.is_signaled(irql), true);
    let not_signaled = NonPaged::pin_init(Event::new(Signal::Synchronization, false))?;
    check!(log, not_signaled.is_signaled(irql), false);
    Ok(())
}

fn notification_stays_signaled(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let event = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
    event.set(irql);
    check!(log, event.wait(irql, Timeout::Never), WaitStatus::Acquired);
    check!(log, event.wait(irql, Timeout::ZERO), WaitStatus::Acquired);
    check!(log, event.is_signaled(irql), true);
    event.clear(irql);
    check!(log, event.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
    Ok(())
}

fn synchronization_satisfies_one_wait(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let event = NonPaged::pin_init(Event::new(Signal::Synchronization, true))?;
    check!(log, event.wait(irql, Timeout::Never), WaitStatus::Acquired);
    check!(log, event.is_signaled(irql), false);
    check!(log, event.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
    Ok(())
}

fn set_gives_the_previous_state(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let event = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
    check!(log, event.set(irql), false);
    check!(log, event.set(irql), true);
    Ok(())
}

fn reset_gives_the_previous_state(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let event = NonPaged::pin_init(Event::new(Signal::Notification, true))?;
    check!(log, event.reset(irql), true);
    check!(log, event.reset(irql), false);
    event.set(irql);
    event.clear(irql);
    check!(log, event.is_signaled(irql), false);
    Ok(())
}

fn synchronization_does_not_count(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let event = NonPaged::pin_init(Event::new(Signal::Synchronization, false))?;
    event.set(irql);
    event.set(irql);
    check!(log, event.wait(irql, Timeout::ZERO), WaitStatus::Acquired);
    check!(log, event.wait(irql, Timeout::ZERO), WaitStatus::TimedOut);
    Ok(())
}

fn notification_releases_all_waiters(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let event = NonPagedArc::pin_init(Event::new(Signal::Notification, false))?;
    let waiters = [waiter(&event, irql)?, waiter(&event, irql)?];
    let_things_happen(irql);
    for waiter in &waiters {
        check!(log, waiter.has_ended(irql), false);
    }
    event.set(irql);
    for waiter in waiters {
        check!(log, waiter.finish(irql)?, WaitStatus::Acquired);
    }
    Ok(())
}

fn synchronization_releases_one_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let event = NonPagedArc::pin_init(Event::new(Signal::Synchronization, false))?;
    let waiters = [waiter(&event, irql)?, waiter(&event, irql)?];
    let ended =
        |irql: &mut Irql<'_, Passive>| waiters.iter().filter(|it| it.has_ended(irql)).count();
    event.set(irql);
    check!(log, eventually(irql, |irql| ended(irql) == 1), true);
    let_things_happen(irql);
    check!(log, ended(irql), 1);
    event.set(irql);
    check!(log, eventually(irql, |irql| ended(irql) == 2), true);
    for waiter in waiters {
        check!(log, waiter.finish(irql)?, WaitStatus::Acquired);
    }
    Ok(())
}

fn set_at_dispatch_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let event = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
    irql.at_dispatch_level(|irql| {
        check!(log, event.set(irql), false);
        check!(log, event.is_signaled(irql), true);
        check!(log, event.reset(irql), true);
        check!(log, wdk_sync::current_irql(), 2);
    });
    check!(log, event.is_signaled(irql), false);
    Ok(())
}

fn wait_times_out(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let event = NonPaged::pin_init(Event::new(Signal::Notification, false))?;
    let short = Timeout::After(core::time::Duration::from_millis(5));
    check!(log, event.wait(irql, short), WaitStatus::TimedOut);
    // 100 ns into the year 1601.
    check!(log, event.wait(irql, Timeout::At(1)), WaitStatus::TimedOut);
    Ok(())
}

/// A thread that waits for the event and gives how the wait ended.
fn waiter(
    event: &NonPagedArc<Event>,
    irql: &mut Irql<'_, Passive>,
) -> Result<Peer<WaitStatus>, Status> {
    let event = event.clone();
    Peer::start_and_meet(irql, move |irql, baton| {
        baton.there(irql);
        event.wait(irql, Timeout::After(super::patience::PATIENCE))
    })
}
