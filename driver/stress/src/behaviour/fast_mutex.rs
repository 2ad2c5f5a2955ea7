//! `FAST_MUTEX`.

use wdk_sync::{
    AlreadyOwned, FastMutex, Irql, NonPaged, NonPagedArc, Passive, Status, Thread, current_irql,
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

tests! { FastMutex, "fast_mutex";
    4001 acquire_raises_to_apc_level: "ExAcquireFastMutex raises to APC_LEVEL; ExReleaseFastMutex restores the old IRQL.";
    4002 acquire_at_apc_level: "A fast mutex acquired at APC_LEVEL is released to APC_LEVEL.";
    4003 apcs_are_off_by_level_alone: "A fast mutex blocks APCs by its IRQL: KeAreAllApcsDisabled is TRUE, KeAreApcsDisabled as before.";
    4004 try_takes_a_free_mutex: "ExTryToAcquireFastMutex acquires a free mutex and raises to APC_LEVEL.";
    4005 failed_try_leaves_the_irql: "ExTryToAcquireFastMutex gives FALSE for an owned mutex, with the IRQL as it was.";
    4006 unsafe_form_leaves_the_irql: "ExAcquireFastMutexUnsafe and its release leave the IRQL alone.";
    4007 both_forms_exclude_each_other: "A mutex acquired by the unsafe form is owned for the other form, too.";
    4008 recursion_is_refused_by_the_type: "A second acquisition by the owner, which would deadlock, is refused; the first stays.";
    4009 release_hands_over_to_a_waiter: "A fast mutex that is released goes to a thread that waits for it.";
    4010 excludes_threads: "Of several threads one at a time owns the mutex.";
    4011 nested_mutexes_restore_in_order: "Fast mutexes released in reverse order restore the IRQL step by step.";
}

fn acquire_raises_to_apc_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(FastMutex::new(()))?;
    check!(log, current_irql(), 0);
    let guard = mutex.lock(irql);
    check!(log, guard.is_ok(), true);
    check!(log, current_irql(), 1);
    drop(guard);
    check!(log, current_irql(), 0);
    Ok(())
}

fn acquire_at_apc_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(FastMutex::new(()))?;
    irql.at_apc_level(|irql| {
        let guard = mutex.lock(irql);
        check!(log, guard.is_ok(), true);
        check!(log, current_irql(), 1);
        drop(guard);
        check!(log, current_irql(), 1);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn apcs_are_off_by_level_alone(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(FastMutex::new(()))?;
    let before = ThreadState::now(irql);
    check!(log, before.all_apcs_disabled, false);
    let owned = mutex.with(irql, |(), irql| ThreadState::now(irql));
    check!(log, owned, Ok(before.raised_to(1)));
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn try_takes_a_free_mutex(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(FastMutex::new(4))?;
    let guard = mutex.try_lock(irql);
    check!(log, guard.as_deref(), Some(&4));
    check!(log, current_irql(), 1);
    drop(guard);
    check!(log, current_irql(), 0);
    Ok(())
}

fn failed_try_leaves_the_irql(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(FastMutex::new(()))?;
    let owner = owner_of(&mutex, irql)?;
    let before = ThreadState::now(irql);
    check!(log, before.irql, 0);
    check!(log, mutex.try_lock(irql).is_none(), true);
    check!(log, ThreadState::now(irql), before);
    check!(log, owner.finish(irql)?, true);
    check!(log, mutex.try_lock(irql).is_some(), true);
    Ok(())
}

fn unsafe_form_leaves_the_irql(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(FastMutex::new(()))?;
    irql.at_apc_level(|irql| {
        let guard = mutex.lock_at_apc_level(irql);
        check!(log, guard.is_ok(), true);
        check!(log, current_irql(), 1);
        drop(guard);
        check!(log, current_irql(), 1);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn both_forms_exclude_each_other(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(FastMutex::new(()))?;
    let theirs = mutex.clone();
    let owner = Peer::start_and_meet(irql, move |irql, baton| {
        irql.at_apc_level(|irql| {
            let owned = theirs.lock_at_apc_level(irql);
            owned.is_ok_and(|mut guard| {
                baton.there_until_told(guard.irql());
                true
            })
        })
    })?;
    check!(log, mutex.try_lock(irql).is_none(), true);
    check!(log, owner.finish(irql)?, true);
    check!(log, mutex.try_lock(irql).is_some(), true);
    Ok(())
}

fn recursion_is_refused_by_the_type(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(FastMutex::new(()))?;
    let refusals = mutex.with(irql, |(), irql| {
        let raising = mutex.lock(irql).map(drop);
        let at_level = mutex.lock_at_apc_level(irql).map(drop);
        let tried = mutex.try_lock(irql).map(drop);
        (raising, at_level, tried, current_irql())
    });
    let refused = (Err(AlreadyOwned), Err(AlreadyOwned), None, 1);
    check!(log, refusals, Ok(refused));
    let theirs = mutex.clone();
    let free = elsewhere(irql, move |irql| theirs.try_lock(irql).is_some())?;
    check!(log, free, true);
    Ok(())
}

fn release_hands_over_to_a_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(FastMutex::new(1))?;
    let theirs = mutex.clone();
    // It may wait at the mutex once this thread owns it, which it does at APC_LEVEL and so cannot
    // start a thread then.
    let waiter = Peer::start_and_meet(irql, move |irql, baton| {
        baton.there_until_told(irql);
        theirs.lock(irql).map(|value| (*value, current_irql()))
    })?;
    let changed = mutex.with(irql, |value, irql| {
        waiter.let_go(irql);
        let_things_happen(irql);
        let waits = !waiter.has_ended(irql);
        *value = 2;
        waits
    });
    check!(log, changed, Ok(true));
    check!(log, waiter.finish(irql)?, Ok((2, 1)));
    check!(log, mutex.try_lock(irql).is_some(), true);
    Ok(())
}

fn excludes_threads(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    const ROUNDS: u32 = 2_000;
    let count = NonPagedArc::pin_init(FastMutex::new(0u32))?;
    let add = |irql: &mut Irql<'_, Passive>, count: &FastMutex<u32>| {
        for _ in 0..ROUNDS {
            let added = count.with(irql, |count, _irql| {
                // Two steps, so that a lost one shows.
                let before = *count;
                core::hint::black_box(&mut *count);
                *count = before.wrapping_add(1);
            });
            if added.is_err() {
                return false;
            }
        }
        true
    };
    let theirs = [count.clone(), count.clone()];
    let threads = theirs.map(|count| Thread::spawn(irql, move |irql| add(irql, &count)));
    check!(log, add(irql, &count), true);
    for thread in threads {
        check!(log, thread?.join(irql), Some(true));
    }
    check!(log, count.lock(irql).as_deref(), Ok(&(3 * ROUNDS)));
    Ok(())
}

fn nested_mutexes_restore_in_order(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let outer = NonPaged::pin_init(FastMutex::new(()))?;
    let inner = NonPaged::pin_init(FastMutex::new(()))?;
    let nested = outer.with(irql, |(), irql| {
        let inside = inner.with(irql, |(), _irql| current_irql());
        (inside, current_irql())
    });
    check!(log, nested, Ok((Ok(1), 1)));
    check!(log, current_irql(), 0);
    Ok(())
}

/// A thread that owns the mutex until it is told to go on. It gives whether it did own it.
fn owner_of(
    mutex: &NonPagedArc<FastMutex<()>>,
    irql: &mut Irql<'_, Passive>,
) -> Result<Peer<bool>, Status> {
    let mutex = mutex.clone();
    Peer::start_and_meet(irql, move |irql, baton| {
        let owned = mutex.with(irql, |(), irql| baton.there_until_told(irql));
        owned.is_ok()
    })
}
