//! ERESOURCE: who waits, who goes first, and what is counted.

use wdk_sync::{AlreadyOwned, Irql, Passive, Resource, Status};

use super::{
    patience::{eventually, let_things_happen},
    peer::{Peer, elsewhere},
    resource::{Subject, exclusive_owner, shared_owner, subject},
    tests,
};
use crate::log::{Log, check};

tests! { Resource, "resource";
    3101 shared_queues_behind_an_exclusive_waiter: "A new shared acquisition queues behind a waiter for exclusive access.";
    3102 shared_owner_recurses_past_a_waiter: "A thread that has shared access gets it again although another waits for exclusive access.";
    3103 starve_exclusive_passes_a_waiter: "ExAcquireSharedStarveExclusive joins shared owners although another waits for exclusive access.";
    3104 wait_for_exclusive_queues: "ExAcquireSharedWaitForExclusive queues behind a waiter for exclusive access.";
    3105 wait_for_exclusive_is_refused_to_an_owner: "A shared owner that would wait for the exclusive waiter, which waits for it, is refused.";
    3106 wait_for_exclusive_joins_when_nobody_waits: "Without a waiter ExAcquireSharedWaitForExclusive joins shared owners.";
    3107 waiters_are_counted: "ExGetExclusiveWaiterCount and ExGetSharedWaiterCount count those who wait.";
    3108 contention_counts_waits: "The contention count grows when a thread has to wait, and not when a try fails.";
    3109 release_hands_over_to_an_exclusive_waiter: "When the last shared owner releases, the waiter for exclusive access gets it.";
    3110 release_lets_all_shared_waiters_in: "When the exclusive owner releases, all who wait for shared access get it.";
    3111 conversion_lets_shared_waiters_in: "ExConvertExclusiveToSharedLite lets those in who wait for shared access.";
    3112 conversion_keeps_exclusive_waiters_out: "ExConvertExclusiveToSharedLite does not let those in who wait for exclusive access.";
    3113 try_exclusive_refused_with_waiters: "A try for exclusive access gives FALSE while shared owners are left, waiters or not.";
}

/// A thread that waits for exclusive access, and adds one to the data when it has it. It gives the
/// data as they were then.
fn exclusive_waiter(
    resource: &Subject,
    irql: &mut Irql<'_, Passive>,
) -> Result<Option<Peer<Result<u32, AlreadyOwned>>>, Status> {
    let theirs = resource.clone();
    let waiter = Peer::start(irql, move |irql, _baton| {
        theirs.with_exclusive(irql, |data, _irql| {
            let before = *data;
            *data += 1;
            before
        })
    })?;
    let waits = eventually(irql, |irql| resource.exclusive_waiters(irql) == 1);
    Ok(waits.then_some(waiter))
}

/// A thread that waits for shared access; it stays until it is told to go on and gives the data.
fn shared_waiter(
    resource: &Subject,
    irql: &mut Irql<'_, Passive>,
) -> Result<Peer<Result<u32, AlreadyOwned>>, Status> {
    let theirs = resource.clone();
    Peer::start(irql, move |irql, baton| {
        theirs.with_shared(irql, |data, irql| {
            baton.there_until_told(irql);
            *data
        })
    })
}

/// Runs `f` while another thread has shared access and a third one waits for exclusive access, and
/// checks that the latter gets it afterwards.
fn behind_a_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
    f: impl FnOnce(&Subject, &mut Irql<'_, Passive>, &mut Log),
) -> Result<(), Status> {
    let resource = subject()?;
    let owner = shared_owner(&resource, irql)?;
    let waiter = exclusive_waiter(&resource, irql)?;
    check!(log, waiter.is_some(), true);
    f(&resource, irql, log);
    check!(log, owner.finish(irql)?, true);
    if let Some(waiter) = waiter {
        check!(log, waiter.finish(irql)?, Ok(1));
    }
    Ok(())
}

fn shared_queues_behind_an_exclusive_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    behind_a_waiter(irql, log, |resource, irql, log| {
        check!(log, resource.try_shared(irql).is_none(), true);
        check!(log, resource.exclusive_waiters(irql), 1);
    })
}

fn shared_owner_recurses_past_a_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    with_shared_access_and_a_waiter(irql, log, |resource, irql, log| {
        check!(log, resource.try_shared(irql).is_some(), true);
        let counted = resource.with_shared(irql, |_data, irql| resource.acquisitions(irql));
        check!(log, counted, Ok(2));
    })
}

fn starve_exclusive_passes_a_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    behind_a_waiter(irql, log, |resource, irql, log| {
        check!(
            log,
            resource.try_shared_starve_exclusive(irql).is_some(),
            true
        );
        check!(
            log,
            resource.shared_starve_exclusive(irql).as_deref(),
            Ok(&1)
        );
        check!(log, resource.exclusive_waiters(irql), 1);
    })
}

fn wait_for_exclusive_queues(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    behind_a_waiter(irql, log, |resource, irql, log| {
        check!(
            log,
            resource.try_shared_wait_for_exclusive(irql).is_none(),
            true
        );
    })
}

fn wait_for_exclusive_is_refused_to_an_owner(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    with_shared_access_and_a_waiter(irql, log, |resource, irql, log| {
        let waiting = resource.shared_wait_for_exclusive(irql).map(drop);
        check!(log, waiting, Err(AlreadyOwned));
        check!(
            log,
            resource.try_shared_wait_for_exclusive(irql).is_none(),
            true
        );
        check!(log, resource.acquisitions(irql), 1);
    })
}

fn wait_for_exclusive_joins_when_nobody_waits(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let other = shared_owner(&resource, irql)?;
    check!(
        log,
        resource.try_shared_wait_for_exclusive(irql).is_some(),
        true
    );
    check!(
        log,
        resource.shared_wait_for_exclusive(irql).as_deref(),
        Ok(&1)
    );
    check!(log, other.finish(irql)?, true);
    Ok(())
}

fn waiters_are_counted(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let counts = |irql: &Irql<'_, Passive>, resource: &Resource<u32>| {
        (
            resource.exclusive_waiters(irql),
            resource.shared_waiters(irql),
        )
    };
    check!(log, counts(irql, &resource), (0, 0));
    let owner = exclusive_owner(&resource, irql)?;
    check!(log, counts(irql, &resource), (0, 0));
    let writer = exclusive_waiter(&resource, irql)?;
    let readers = [
        shared_waiter(&resource, irql)?,
        shared_waiter(&resource, irql)?,
    ];
    eventually(irql, |irql| counts(irql, &resource) == (1, 2));
    check!(log, counts(irql, &resource), (1, 2));
    check!(log, owner.finish(irql)?, true);
    for reader in readers {
        check!(log, reader.finish(irql)?.is_ok(), true);
    }
    if let Some(writer) = writer {
        check!(log, writer.finish(irql)?, Ok(1));
    }
    check!(log, counts(irql, &resource), (0, 0));
    Ok(())
}

fn contention_counts_waits(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let resource = subject()?;
    let owner = shared_owner(&resource, irql)?;
    check!(log, resource.try_exclusive(irql).is_none(), true);
    check!(log, resource.contention_count(), 0);
    let waiter = exclusive_waiter(&resource, irql)?;
    check!(log, owner.finish(irql)?, true);
    if let Some(waiter) = waiter {
        check!(log, waiter.finish(irql)?, Ok(1));
    }
    check!(log, resource.contention_count() > 0, true);
    Ok(())
}

fn release_hands_over_to_an_exclusive_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let owners = [
        shared_owner(&resource, irql)?,
        shared_owner(&resource, irql)?,
    ];
    let waiter = exclusive_waiter(&resource, irql)?;
    for owner in owners {
        check!(
            log,
            waiter.as_ref().map(|it| it.has_ended(irql)),
            Some(false)
        );
        check!(log, owner.finish(irql)?, true);
    }
    if let Some(waiter) = waiter {
        check!(log, waiter.finish(irql)?, Ok(1));
    }
    check!(log, resource.shared(irql).as_deref(), Ok(&2));
    Ok(())
}

fn release_lets_all_shared_waiters_in(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let owner = exclusive_owner(&resource, irql)?;
    let readers = [
        shared_waiter(&resource, irql)?,
        shared_waiter(&resource, irql)?,
    ];
    check!(
        log,
        eventually(irql, |irql| resource.shared_waiters(irql) == 2),
        true
    );
    check!(log, owner.finish(irql)?, true);
    for reader in &readers {
        // Both at a time: each stays until it is told.
        check!(log, reader.is_there(irql), true);
    }
    for reader in readers {
        check!(log, reader.finish(irql)?, Ok(1));
    }
    Ok(())
}

fn conversion_lets_shared_waiters_in(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let reader = {
        let Ok(mut guard) = resource.exclusive(irql) else {
            log.fail(format_args!("a free resource was refused"));
            return Ok(());
        };
        let reader = shared_waiter(&resource, guard.irql())?;
        let waits = eventually(guard.irql(), |irql| resource.shared_waiters(irql) == 1);
        check!(log, waits, true);
        *guard = 5;
        let mut guard = guard.downgrade();
        check!(log, reader.is_there(guard.irql()), true);
        check!(log, resource.acquisitions(guard.irql()), 1);
        reader
    };
    check!(log, reader.finish(irql)?, Ok(5));
    Ok(())
}

fn conversion_keeps_exclusive_waiters_out(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let resource = subject()?;
    let waiter = {
        let Ok(mut guard) = resource.exclusive(irql) else {
            log.fail(format_args!("a free resource was refused"));
            return Ok(());
        };
        let waiter = exclusive_waiter(&resource, guard.irql())?;
        let mut guard = guard.downgrade();
        let_things_happen(guard.irql());
        check!(log, resource.exclusive_waiters(guard.irql()), 1);
        check!(log, *guard, 1);
        waiter
    };
    check!(log, waiter.is_some(), true);
    if let Some(waiter) = waiter {
        check!(log, waiter.finish(irql)?, Ok(1));
    }
    Ok(())
}

fn try_exclusive_refused_with_waiters(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    behind_a_waiter(irql, log, |resource, irql, log| {
        let theirs = resource.clone();
        let refused = elsewhere(irql, move |irql| theirs.try_exclusive(irql).is_none());
        check!(log, refused, Ok(true));
        check!(log, resource.try_exclusive(irql).is_none(), true);
    })
}

/// Runs `f` while this thread has shared access and another waits for exclusive access, and checks
/// that the latter gets it afterwards.
fn with_shared_access_and_a_waiter(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
    f: impl FnOnce(&Subject, &mut Irql<'_, Passive>, &mut Log),
) -> Result<(), Status> {
    let resource = subject()?;
    let waiter = resource.with_shared(irql, |_data, irql| {
        let waiter = exclusive_waiter(&resource, irql)?;
        f(&resource, irql, log);
        Ok(waiter)
    });
    let waiter = waiter.unwrap_or(Err(Status::INVALID_DEVICE_STATE))?;
    check!(log, waiter.is_some(), true);
    if let Some(waiter) = waiter {
        check!(log, waiter.finish(irql)?, Ok(1));
    }
    Ok(())
}
