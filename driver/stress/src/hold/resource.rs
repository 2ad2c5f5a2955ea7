//! ERESOURCEs that are held.

use syncstress_protocol::{HeldFlags, HeldKind, HeldObject, HeldRole};
use wdk_sync::{Irql, NonPagedArc, Passive, Resource, Status, Thread};

use super::{
    cast::Cast,
    patterns,
    stage::{Stage, with_threads},
};

patterns! { Resource;
    20001 "resource.exclusive" exclusive: "An ERESOURCE that one thread owns exclusive.";
    20002 "resource.shared" shared: "An ERESOURCE that three threads own shared.";
    20003 "resource.waiters" waiters: "An exclusive owner, for whom two wait for shared access and one for exclusive.";
    20004 "resource.queue" queue: "A shared owner, a waiter for exclusive access, and one for shared access behind it.";
    20005 "resource.recursive" recursive: "An ERESOURCE that one thread has acquired shared three times.";
    20006 "resource.converted" converted: "An exclusive owner that became shared and let in two who waited for shared access.";
    20007 "resource.handed-over" handed_over: "Exclusive access that belongs to an owner pointer, acquired by a thread that has ended.";
    20008 "resource.contended" contended: "An exclusive owner, after five had to wait for the ERESOURCE: a contention count of 5.";
}

/// How often somebody has waited before `resource.contended` is there.
const CONTENTION: u32 = 5;

type Subject = NonPagedArc<Resource<()>>;

fn subject() -> Result<Subject, Status> {
    NonPagedArc::pin_init(Resource::new(()))
}

/// The object of this stage, exclusively owned or not.
fn object(stage: &Stage<'_>, resource: &Subject, flags: u32, contention: u32) -> HeldObject {
    HeldObject {
        flags,
        contention,
        ..stage.object(HeldKind::Resource, resource.address())
    }
}

fn exclusive_owner(
    cast: &mut Cast,
    irql: &mut Irql<'_, Passive>,
    resource: &Subject,
) -> Result<(HeldRole, u64, u32), Status> {
    let theirs = resource.clone();
    let thread = cast.owner(irql, move |irql, cue| {
        let _owned = theirs.with_exclusive(irql, |_data, irql| cue.stay(irql));
    })?;
    Ok((HeldRole::Owner, thread, 1))
}

fn shared_owner(
    cast: &mut Cast,
    irql: &mut Irql<'_, Passive>,
    resource: &Subject,
) -> Result<(HeldRole, u64, u32), Status> {
    let theirs = resource.clone();
    let thread = cast.owner(irql, move |irql, cue| {
        let _owned = theirs.with_shared(irql, |_data, irql| cue.stay(irql));
    })?;
    Ok((HeldRole::Owner, thread, 1))
}

/// One who waits for exclusive access, gets it in the end, and gives it back at once.
fn exclusive_waiter(
    cast: &mut Cast,
    irql: &mut Irql<'_, Passive>,
    resource: &Subject,
) -> Result<(HeldRole, u64, u32), Status> {
    let theirs = resource.clone();
    let wait = move |irql: &mut Irql<'_, Passive>, _cue: &_| {
        let _owned = theirs.with_exclusive(irql, |_data, _irql| ());
    };
    let already = resource.exclusive_waiters(irql);
    let waits = |irql: &Irql<'_, Passive>| resource.exclusive_waiters(irql) > already;
    let thread = cast.waiter(irql, wait, waits)?;
    Ok((HeldRole::WaitsExclusive, thread, 1))
}

fn shared_waiter(
    cast: &mut Cast,
    irql: &mut Irql<'_, Passive>,
    resource: &Subject,
) -> Result<(HeldRole, u64, u32), Status> {
    let theirs = resource.clone();
    let wait = move |irql: &mut Irql<'_, Passive>, _cue: &_| {
        let _owned = theirs.with_shared(irql, |_data, _irql| ());
    };
    let already = resource.shared_waiters(irql);
    let waits = |irql: &Irql<'_, Passive>| resource.shared_waiters(irql) > already;
    let thread = cast.waiter(irql, wait, waits)?;
    Ok((HeldRole::WaitsShared, thread, 1))
}

fn exclusive(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    let mut cast = Cast::default();
    let threads = [exclusive_owner(&mut cast, irql, &resource)?];
    let held = object(stage, &resource, HeldFlags::EXCLUSIVE, 0);
    stage.keep(irql, with_threads(held, &threads), &mut cast)
}

fn shared(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    let mut cast = Cast::default();
    let threads = [
        shared_owner(&mut cast, irql, &resource)?,
        shared_owner(&mut cast, irql, &resource)?,
        shared_owner(&mut cast, irql, &resource)?,
    ];
    let held = object(stage, &resource, 0, 0);
    stage.keep(irql, with_threads(held, &threads), &mut cast)
}

fn waiters(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    let mut cast = Cast::default();
    let threads = [
        exclusive_owner(&mut cast, irql, &resource)?,
        shared_waiter(&mut cast, irql, &resource)?,
        shared_waiter(&mut cast, irql, &resource)?,
        exclusive_waiter(&mut cast, irql, &resource)?,
    ];
    let held = object(stage, &resource, HeldFlags::EXCLUSIVE, 3);
    stage.keep(irql, with_threads(held, &threads), &mut cast)
}

fn queue(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    let mut cast = Cast::default();
    let threads = [
        shared_owner(&mut cast, irql, &resource)?,
        exclusive_waiter(&mut cast, irql, &resource)?,
        shared_waiter(&mut cast, irql, &resource)?,
    ];
    let held = object(stage, &resource, 0, 2);
    stage.keep(irql, with_threads(held, &threads), &mut cast)
}

fn recursive(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    let mut cast = Cast::default();
    let theirs = resource.clone();
    let owner = cast.owner(irql, move |irql, cue| {
        let _first = theirs.with_shared(irql, |_data, irql| {
            let _second = theirs.with_shared(irql, |_data, irql| {
                let _third = theirs.with_shared(irql, |_data, irql| cue.stay(irql));
            });
        });
    })?;
    let held = object(stage, &resource, 0, 0);
    let held = with_threads(held, &[(HeldRole::Owner, owner, 3)]);
    stage.keep(irql, held, &mut cast)
}

fn converted(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    let mut cast = Cast::default();
    let theirs = resource.clone();
    let owner = cast.owner(irql, move |irql, cue| {
        let Ok(mut guard) = theirs.exclusive(irql) else {
            return;
        };
        cue.is_there(guard.irql());
        cue.stay_until(guard.irql(), |irql| theirs.shared_waiters(irql) == 2);
        let mut guard = guard.downgrade();
        cue.stay(guard.irql());
    })?;
    let mut threads = [(HeldRole::Owner, owner, 1); 3];
    for (_, thread, _) in threads.iter_mut().skip(1) {
        let (theirs, mut in_wait) = (resource.clone(), 0);
        let read = move |irql: &mut Irql<'_, Passive>, cue: &super::cast::Cue| {
            let _owned = theirs.with_shared(irql, |_data, irql| cue.stay(irql));
        };
        // The second of them is let in as soon as it waits.
        let contention = resource.contention_count();
        *thread = cast.waiter(irql, read, |_irql| {
            in_wait = resource.contention_count();
            in_wait > contention
        })?;
    }
    cast.all_are_there(irql)?;
    let held = with_threads(object(stage, &resource, 0, 2), &threads);
    stage.keep(irql, held, &mut cast)
}

fn handed_over(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    let theirs = resource.clone();
    let acquire = Thread::spawn(irql, move |irql| {
        Resource::exclusive_handed_over_by_arc(theirs, irql).ok()
    })?;
    let access = acquire.join(irql).flatten();
    let access = access.ok_or(Status::INVALID_DEVICE_STATE)?;
    let pointer = resource.address() as u64 | 3;
    let held = object(stage, &resource, HeldFlags::EXCLUSIVE, 0);
    let held = with_threads(held, &[(HeldRole::Owner, pointer, 1)]);
    let kept = stage.keep(irql, held, &mut Cast::default());
    drop(access);
    kept
}

fn contended(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let resource = subject()?;
    for _ in 0..CONTENTION {
        let mut passer_by = Cast::default();
        let waits = resource.with_exclusive(irql, |_data, irql| {
            exclusive_waiter(&mut passer_by, irql, &resource).map(drop)
        });
        waits.unwrap_or(Err(Status::INVALID_DEVICE_STATE))?;
        passer_by.release(irql);
    }
    let mut cast = Cast::default();
    let threads = [exclusive_owner(&mut cast, irql, &resource)?];
    let held = object(stage, &resource, HeldFlags::EXCLUSIVE, CONTENTION);
    stage.keep(irql, with_threads(held, &threads), &mut cast)
}
