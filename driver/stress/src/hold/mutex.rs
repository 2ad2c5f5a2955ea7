//! KMUTEXes that are held.

use syncstress_protocol::{HeldFlags, HeldKind, HeldObject, HeldRole};
use wdk_sync::{Irql, Mutex, NonPagedArc, Passive, RecursiveMutex, Status};

use super::{
    cast::Cast,
    patterns,
    stage::{Stage, with_threads},
};

patterns! { Mutex;
    20101 "mutex.owned" owned: "A KMUTEX that a thread owns.";
    20102 "mutex.recursive" recursive: "A KMUTEX that its owner has acquired three times.";
    20103 "mutex.waiters" waiters: "A KMUTEX that a thread owns and another waits for.";
}

fn object(stage: &Stage<'_>, address: usize) -> HeldObject {
    HeldObject {
        flags: HeldFlags::EXCLUSIVE,
        ..stage.object(HeldKind::Mutex, address)
    }
}

/// A mutex, and its owner.
fn owner(
    cast: &mut Cast,
    irql: &mut Irql<'_, Passive>,
) -> Result<(NonPagedArc<Mutex<()>>, u64), Status> {
    let mutex = NonPagedArc::pin_init(Mutex::new(()))?;
    let theirs = mutex.clone();
    let owner = cast.owner(irql, move |irql, cue| {
        let _owned = theirs.with(irql, |_data, irql| cue.stay(irql));
    })?;
    Ok((mutex, owner))
}

fn owned(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let mut cast = Cast::default();
    let (mutex, owner) = owner(&mut cast, irql)?;
    let held = object(stage, mutex.address());
    let held = with_threads(held, &[(HeldRole::Owner, owner, 1)]);
    stage.keep(irql, held, &mut cast)
}

fn recursive(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(RecursiveMutex::new(()))?;
    let mut cast = Cast::default();
    let theirs = mutex.clone();
    let owner = cast.owner(irql, move |irql, cue| {
        let Ok(mut first) = theirs.lock(irql) else {
            return;
        };
        let Ok(mut second) = theirs.lock(first.irql()) else {
            return;
        };
        if let Ok(mut third) = theirs.lock(second.irql()) {
            cue.stay(third.irql());
        }
    })?;
    let held = object(stage, mutex.address());
    let held = with_threads(held, &[(HeldRole::Owner, owner, 3)]);
    stage.keep(irql, held, &mut cast)
}

fn waiters(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let mut cast = Cast::default();
    let (mutex, owner) = owner(&mut cast, irql)?;
    let theirs = mutex.clone();
    let wait = move |irql: &mut Irql<'_, Passive>, _cue: &_| {
        let _owned = theirs.with(irql, |_data, _irql| ());
    };
    let waiter = cast.waiter(irql, wait, |irql| mutex.is_waited_for(irql))?;
    let threads = [
        (HeldRole::Owner, owner, 1),
        (HeldRole::WaitsExclusive, waiter, 1),
    ];
    let held = with_threads(object(stage, mutex.address()), &threads);
    stage.keep(irql, held, &mut cast)
}
