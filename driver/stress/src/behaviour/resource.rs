//! ERESOURCE: ownership, recursion, conversion, and what it does to the thread.

use wdk_sync::{
    AlreadyOwned, Irql, NonPaged, NonPagedArc, Passive, Resource, Status, current_irql,
};

use super::{
    peer::{Peer, elsewhere},
    tests,
};
use crate::{
    log::{Log, check},
    thread_state::ThreadState,
};

tests! { Resource, "resource";
    3001 shared_joins_shared: "Threads share a resource while nobody waits for exclusive access.";
    3002 exclusive_excludes_shared: "While a thread has exclusive access, a try for shared access gives FALSE.";
    3003 exclusive_excludes_exclusive: "While a thread has exclusive access, a try for exclusive access by another gives FALSE.";
    3004 try_exclusive_refused_while_shared: "A try for exclusive access gives FALSE while another thread has shared access.";
    3005 shared_owner_is_refused_exclusive: "A shared owner does not get exclusive access: waiting, it would wait for itself.";
    3006 exclusive_recursion_is_refused_by_the_type: "A second exclusive acquisition, which would alias the data, is refused; the first stays.";
    3007 shared_in_exclusive_is_refused_by_the_type: "A shared acquisition by the exclusive owner, which would alias the data, is refused.";
    3008 acquisitions_are_counted: "ExIsResourceAcquiredSharedLite counts the caller's acquisitions, shared and exclusive.";
    3009 exclusive_is_of_the_caller: "ExIsResourceAcquiredExclusiveLite is TRUE for the exclusive owner alone.";
    3010 conversion_lets_shared_in: "After ExConvertExclusiveToSharedLite others share the resource with the caller.";
    3011 conversion_keeps_the_acquisition: "After the conversion the caller owns the resource shared, once.";
    3012 critical_region_while_owned: "An owner is in a critical region: normal kernel APCs are off, special ones on.";
    3013 critical_region_left_after_a_failed_try: "A try that fails leaves the critical region again.";
    3014 critical_region_nests_with_recursion: "The critical region is left with the last of nested acquisitions.";
    3015 acquire_leaves_the_irql: "Owning a resource, at PASSIVE_LEVEL or APC_LEVEL, does not change the IRQL.";
    3016 release_frees: "A resource whose owners have all released it can be acquired exclusively.";
    3017 no_contention_without_a_wait: "The contention count stays 0 while nobody has to wait.";
}

/// What is shared in these tests.
pub type Subject = NonPagedArc<Resource<u32>>;

pub fn subject() -> Result<Subject, Status> {
    NonPagedArc::pin_init(Resource::new(1))
}

/// A thread that has shared access until it is told to go on. It gives whether it had it.
pub fn shared_owner(
    resource: &Subject,
    irql: &mut Irql<'_, Passive>,
) -> Result<Peer<bool>, Status> {
    let resource = resource.clone();
    Peer::start_and_meet(irql, move |irql, baton| {
        let had = resource.with_shared(irql, |_data, irql| baton.there_until_told(irql));
        had.is_ok()
    })
}

/// A thread that has exclusive access until it is told to go on. It gives whether it had it.
pub fn exclusive_owner(
    resource: &Subject,
    irql: &mut Irql<'_, Passive>,
) -> Result<Peer<bool>, Status> {
    let resource = resource.clone();
    Peer::start_and_meet(irql, move |irql, baton| {
        let had = resource.with_exclusive(irql, |_data, irql| baton.there_until_told(irql));
        had.is_ok()
    })
}

fn shared_joins_shared(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let other = shared_owner(&resource, irql)?;
    check!(log, resource.try_shared(irql).as_deref(), Some(&1));
    check!(log, resource.shared(irql).as_deref(), Ok(&1));
    check!(log, other.finish(irql)?, true);
    Ok(())
}

fn exclusive_excludes_shared(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let other = exclusive_owner(&resource, irql)?;
    check!(log, resource.try_shared(irql).is_none(), true);
    check!(
        log,
        resource.try_shared_starve_exclusive(irql).is_none(),
        true
    );
    check!(
        log,
        resource.try_shared_wait_for_exclusive(irql).is_none(),
        true
    );
    check!(log, other.finish(irql)?, true);
    Ok(())
}

fn exclusive_excludes_exclusive(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let other = exclusive_owner(&resource, irql)?;
    check!(log, resource.try_exclusive(irql).is_none(), true);
    check!(log, other.finish(irql)?, true);
    Ok(())
}

fn try_exclusive_refused_while_shared(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let other = shared_owner(&resource, irql)?;
    check!(log, resource.try_exclusive(irql).is_none(), true);
    check!(log, other.finish(irql)?, true);
    check!(log, resource.try_exclusive(irql).is_some(), true);
    Ok(())
}

fn shared_owner_is_refused_exclusive(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let refusals = resource.with_shared(irql, |_data, irql| {
        let waiting = resource.exclusive(irql).map(drop);
        let trying = resource.try_exclusive(irql).map(drop);
        (waiting, trying, resource.acquisitions(irql))
    });
    check!(log, refusals, Ok((Err(AlreadyOwned), None, 1)));
    check!(log, resource.acquisitions(irql), 0);
    Ok(())
}

fn exclusive_recursion_is_refused_by_the_type(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let refusals = resource.with_exclusive(irql, |_data, irql| {
        let waiting = resource.exclusive(irql).map(drop);
        let trying = resource.try_exclusive(irql).map(drop);
        (waiting, trying, resource.acquisitions(irql))
    });
    check!(log, refusals, Ok((Err(AlreadyOwned), None, 1)));
    let theirs = resource.clone();
    let free = elsewhere(irql, move |irql| theirs.try_exclusive(irql).is_some())?;
    check!(log, free, true);
    Ok(())
}

fn shared_in_exclusive_is_refused_by_the_type(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let refusals = resource.with_exclusive(irql, |_data, irql| {
        let waiting = resource.shared(irql).map(drop);
        let trying = resource.try_shared(irql).map(drop);
        (waiting, trying, resource.acquisitions(irql))
    });
    check!(log, refusals, Ok((Err(AlreadyOwned), None, 1)));
    check!(log, resource.acquisitions(irql), 0);
    Ok(())
}

fn acquisitions_are_counted(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    check!(log, resource.acquisitions(irql), 0);
    let shared = resource.with_shared(irql, |_data, irql| {
        let twice = resource.with_shared(irql, |_data, irql| resource.acquisitions(irql));
        (resource.acquisitions(irql), twice)
    });
    check!(log, shared, Ok((1, Ok(2))));
    let exclusive = resource.with_exclusive(irql, |_data, irql| resource.acquisitions(irql));
    check!(log, exclusive, Ok(1));
    check!(log, resource.acquisitions(irql), 0);
    let other = shared_owner(&resource, irql)?;
    check!(log, resource.acquisitions(irql), 0);
    check!(log, other.finish(irql)?, true);
    Ok(())
}

fn exclusive_is_of_the_caller(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    check!(log, resource.is_exclusive(irql), false);
    let exclusive = resource.with_exclusive(irql, |_data, irql| resource.is_exclusive(irql));
    check!(log, exclusive, Ok(true));
    let shared = resource.with_shared(irql, |_data, irql| resource.is_exclusive(irql));
    check!(log, shared, Ok(false));
    let other = exclusive_owner(&resource, irql)?;
    check!(log, resource.is_exclusive(irql), false);
    check!(log, other.finish(irql)?, true);
    Ok(())
}

fn conversion_lets_shared_in(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let theirs = resource.clone();
    let guard = resource.exclusive(irql);
    check!(log, guard.is_ok(), true);
    if let Ok(mut guard) = guard {
        *guard = 2;
        let mut guard = guard.downgrade();
        let seen = elsewhere(guard.irql(), move |irql| {
            let shared = theirs.try_shared(irql).map(|data| *data);
            (shared, theirs.try_exclusive(irql).is_some())
        });
        check!(log, seen, Ok((Some(2), false)));
    }
    Ok(())
}

fn conversion_keeps_the_acquisition(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let before = ThreadState::now(irql);
    if let Ok(guard) = resource.exclusive(irql) {
        let mut guard = guard.downgrade();
        check!(log, resource.acquisitions(guard.irql()), 1);
        check!(log, resource.is_exclusive(guard.irql()), false);
        let owned = ThreadState::now(guard.irql());
        check!(log, owned, before.without_normal_apcs());
    }
    check!(log, resource.acquisitions(irql), 0);
    check!(log, ThreadState::now(irql), before);
    let theirs = resource.clone();
    let free = elsewhere(irql, move |irql| theirs.try_exclusive(irql).is_some())?;
    check!(log, free, true);
    Ok(())
}

fn critical_region_while_owned(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let before = ThreadState::now(irql);
    check!(log, before.all_apcs_disabled, false);
    let shared = resource.with_shared(irql, |_data, irql| ThreadState::now(irql));
    check!(log, shared, Ok(before.without_normal_apcs()));
    check!(log, ThreadState::now(irql), before);
    let exclusive = resource.with_exclusive(irql, |_data, irql| ThreadState::now(irql));
    check!(log, exclusive, Ok(before.without_normal_apcs()));
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn critical_region_left_after_a_failed_try(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let before = ThreadState::now(irql);
    let other = exclusive_owner(&resource, irql)?;
    check!(log, resource.try_exclusive(irql).is_none(), true);
    check!(log, ThreadState::now(irql), before);
    check!(log, resource.try_shared(irql).is_none(), true);
    check!(log, ThreadState::now(irql), before);
    check!(
        log,
        resource.try_shared_starve_exclusive(irql).is_none(),
        true
    );
    check!(log, ThreadState::now(irql), before);
    check!(
        log,
        resource.try_shared_wait_for_exclusive(irql).is_none(),
        true
    );
    check!(log, ThreadState::now(irql), before);
    check!(log, other.finish(irql)?, true);
    Ok(())
}

fn critical_region_nests_with_recursion(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let before = ThreadState::now(irql);
    let owned = before.without_normal_apcs();
    let inside = resource.with_shared(irql, |_data, irql| {
        let inner = resource.with_shared(irql, |_data, irql| ThreadState::now(irql));
        (inner, ThreadState::now(irql))
    });
    check!(log, inside, Ok((Ok(owned), owned)));
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn acquire_leaves_the_irql(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    check!(
        log,
        resource.with_shared(irql, |_, _| current_irql()),
        Ok(0)
    );
    check!(
        log,
        resource.with_exclusive(irql, |_, _| current_irql()),
        Ok(0)
    );
    irql.at_apc_level(|irql| {
        check!(
            log,
            resource.with_shared(irql, |_, _| current_irql()),
            Ok(1)
        );
        check!(
            log,
            resource.with_exclusive(irql, |_, _| current_irql()),
            Ok(1)
        );
        check!(log, current_irql(), 1);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn release_frees(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let readers = [
        shared_owner(&resource, irql)?,
        shared_owner(&resource, irql)?,
    ];
    check!(log, resource.try_exclusive(irql).is_some(), false);
    for reader in readers {
        check!(log, reader.finish(irql)?, true);
    }
    check!(log, resource.try_exclusive(irql).is_some(), true);
    check!(log, resource.try_exclusive(irql).is_some(), true);
    Ok(())
}

fn no_contention_without_a_wait(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = NonPaged::pin_init(Resource::new(()))?;
    for _ in 0..5 {
        check!(log, resource.exclusive(irql).is_ok(), true);
        check!(log, resource.shared(irql).is_ok(), true);
        check!(log, resource.try_exclusive(irql).is_some(), true);
    }
    check!(log, resource.contention_count(), 0);
    Ok(())
}
