//! KMUTEX.

use core::time::Duration;

use wdk_sync::{
    AlreadyOwned, Irql, Mutex, NonPaged, NonPagedArc, Passive, Status, Timeout, Wait, current_irql,
};

use super::{
    patience::let_things_happen,
    peer::{Peer, elsewhere},
    tests,
};
use crate::{
    log::{Log, check},
    thread_state::ThreadState,
};

tests! { Mutex, "mutex";
    2001 starts_free: "KeInitializeMutex makes a mutex that is signaled: free.";
    2002 acquire_leaves_the_irql: "Owning a mutex does not change the IRQL.";
    2003 owner_excludes_others: "While a thread owns the mutex, a try by another one does not acquire it.";
    2004 timeout_is_no_acquisition: "A wait that runs out of time gives STATUS_TIMEOUT, a success code, and acquires nothing.";
    2005 time_that_has_passed_is_a_try: "A wait until a time that has passed does not wait.";
    2006 zero_timeout_acquires_a_free_mutex: "A wait with a time-out of zero acquires a free mutex.";
    2007 recursion_is_refused_by_the_type: "A second acquisition by the owner, which would alias the data, is refused; the first stays.";
    2008 normal_apcs_are_off_while_owned: "Owning a mutex disables normal kernel APCs, not special ones, until it is released.";
    2009 failed_wait_leaves_apcs_alone: "A wait that does not acquire the mutex does not disable APCs.";
    2010 try_at_dispatch_level: "With a time-out of zero a mutex can be acquired, and released, at DISPATCH_LEVEL.";
    2011 try_at_dispatch_level_on_an_owned_mutex: "At DISPATCH_LEVEL a time-out of zero does not wait for an owned mutex.";
    2012 release_hands_over_to_a_waiter: "A mutex that is released satisfies the wait of another thread.";
    2013 state_follows_ownership: "KeReadStateMutex tells from any thread whether the mutex is free.";
    2014 release_frees_for_a_try: "After its release the mutex can be acquired at once by another thread.";
}

fn starts_free(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(Mutex::new(3))?;
    check!(log, mutex.is_free(irql), true);
    check!(log, mutex.lock(irql).as_deref(), Ok(&3));
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn acquire_leaves_the_irql(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(Mutex::new(()))?;
    let guard = mutex.lock(irql);
    check!(log, guard.is_ok(), true);
    check!(log, current_irql(), 0);
    drop(guard);
    check!(log, current_irql(), 0);
    irql.at_apc_level(|irql| {
        let guard = mutex.lock(irql);
        check!(log, guard.is_ok(), true);
        check!(log, current_irql(), 1);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn owner_excludes_others(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let owner = owner_of(&mutex, irql)?;
    check!(log, mutex.try_lock(irql).is_none(), true);
    check!(log, owner.finish(irql)?, true);
    Ok(())
}

fn timeout_is_no_acquisition(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let owner = owner_of(&mutex, irql)?;
    let short = Timeout::After(Duration::from_millis(20));
    check!(log, matches!(mutex.wait(irql, short), Wait::TimedOut), true);
    check!(log, mutex.is_free(irql), false);
    check!(log, owner.finish(irql)?, true);
    // Had the wait acquired it, it would not be free now.
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn time_that_has_passed_is_a_try(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    /// 100 ns into the year 1601.
    const PAST: Timeout = Timeout::At(1);
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let owner = owner_of(&mutex, irql)?;
    check!(log, matches!(mutex.wait(irql, PAST), Wait::TimedOut), true);
    check!(log, owner.finish(irql)?, true);
    check!(
        log,
        matches!(mutex.wait(irql, PAST), Wait::Acquired(_)),
        true
    );
    Ok(())
}

fn zero_timeout_acquires_a_free_mutex(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(Mutex::new(()))?;
    let guard = mutex.try_lock(irql);
    check!(log, guard.is_some(), true);
    drop(guard);
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn recursion_is_refused_by_the_type(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let theirs = mutex.clone();
    let refusal = mutex.with(irql, |(), irql| {
        let second = mutex.lock(irql).map(drop);
        let third = mutex.try_lock(irql).map(drop);
        let elsewhere = elsewhere(irql, move |irql| theirs.try_lock(irql).map(drop));
        (second, third, elsewhere)
    });
    check!(log, refusal, Ok((Err(AlreadyOwned), None, Ok(None))));
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn normal_apcs_are_off_while_owned(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(Mutex::new(()))?;
    let before = ThreadState::now(irql);
    check!(log, before.all_apcs_disabled, false);
    let owned = mutex.with(irql, |(), irql| ThreadState::now(irql));
    check!(log, owned, Ok(before.without_normal_apcs()));
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn failed_wait_leaves_apcs_alone(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let owner = owner_of(&mutex, irql)?;
    let before = ThreadState::now(irql);
    check!(log, mutex.try_lock(irql).is_none(), true);
    check!(log, ThreadState::now(irql), before);
    let short = Timeout::After(Duration::from_millis(5));
    check!(log, mutex.wait(irql, short).acquired().is_none(), true);
    check!(log, ThreadState::now(irql), before);
    check!(log, owner.finish(irql)?, true);
    Ok(())
}

fn try_at_dispatch_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(Mutex::new(9))?;
    irql.at_dispatch_level(|irql| {
        let guard = mutex.try_lock(irql);
        check!(log, guard.as_deref(), Some(&9));
        check!(log, current_irql(), 2);
        drop(guard);
        check!(log, mutex.is_free(irql), true);
        check!(log, current_irql(), 2);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn try_at_dispatch_level_on_an_owned_mutex(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let owner = owner_of(&mutex, irql)?;
    irql.at_dispatch_level(|irql| {
        check!(log, mutex.try_lock(irql).is_none(), true);
        check!(log, current_irql(), 2);
    });
    check!(log, owner.finish(irql)?, true);
    Ok(())
}

fn release_hands_over_to_a_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(1))?;
    let theirs = mutex.clone();
    let waiter = mutex.with(irql, |value, irql| {
        let waiter = Peer::start_and_meet(irql, move |irql, baton| {
            baton.there(irql);
            theirs.lock(irql).map(|value| *value)
        })?;
        let_things_happen(irql);
        check!(log, waiter.has_ended(irql), false);
        *value = 2;
        Ok(waiter)
    });
    let waiter = waiter.unwrap_or(Err(Status::INVALID_DEVICE_STATE))?;
    check!(log, waiter.finish(irql)?, Ok(2));
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn state_follows_ownership(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    check!(log, mutex.is_free(irql), true);
    let owner = owner_of(&mutex, irql)?;
    check!(log, mutex.is_free(irql), false);
    check!(log, owner.finish(irql)?, true);
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn release_frees_for_a_try(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let guard = mutex.lock(irql);
    check!(log, guard.is_ok(), true);
    drop(guard);
    let theirs = mutex.clone();
    let acquired = elsewhere(irql, move |irql| theirs.try_lock(irql).is_some())?;
    check!(log, acquired, true);
    Ok(())
}

/// A thread that owns the mutex until it is told to go on. It gives whether it did own it.
fn owner_of(
    mutex: &NonPagedArc<Mutex<()>>,
    irql: &mut Irql<'_, Passive>,
) -> Result<Peer<bool>, Status> {
    let mutex = mutex.clone();
    Peer::start_and_meet(irql, move |irql, baton| {
        let owned = mutex.with(irql, |(), irql| baton.there_until_told(irql));
        owned.is_ok()
    })
}
