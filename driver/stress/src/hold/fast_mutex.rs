//! `FAST_MUTEX`es that are held.

use syncstress_protocol::{HeldFlags, HeldKind, HeldObject, HeldRole};
use wdk_sync::{FastMutex, Irql, NonPagedArc, Passive, Status};

use super::{
    cast::Cast,
    patterns,
    stage::{Stage, with_threads},
};

patterns! { FastMutex;
    20201 "fast-mutex.owned" owned: "A FAST_MUTEX that a thread owns.";
    20202 "fast-mutex.waiters" waiters: "A FAST_MUTEX that a thread owns and another waits for.";
}

fn object(stage: &Stage<'_>, mutex: &FastMutex<()>, contention: u32) -> HeldObject {
    HeldObject {
        flags: HeldFlags::EXCLUSIVE,
        contention,
        ..stage.object(HeldKind::FastMutex, mutex.address())
    }
}

/// A mutex, and its owner, at `APC_LEVEL`.
fn owner(
    cast: &mut Cast,
    irql: &mut Irql<'_, Passive>,
) -> Result<(NonPagedArc<FastMutex<()>>, u64), Status> {
    let mutex = NonPagedArc::pin_init(FastMutex::new(()))?;
    let theirs = mutex.clone();
    let owner = cast.owner(irql, move |irql, cue| {
        let _owned = theirs.with(irql, |_data, irql| cue.stay(irql));
    })?;
    Ok((mutex, owner))
}

fn owned(stage: &mut Stage<'_>, irql: &mut Irql<'_, Passive>) -> Result<(), Status> {
    let mut cast = Cast::default();
    let (mutex, owner) = owner(&mut cast, irql)?;
    let held = with_threads(object(stage, &mutex, 0), &[(HeldRole::Owner, owner, 1)]);
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
    let held = with_threads(object(stage, &mutex, 1), &threads);
    stage.keep(irql, held, &mut cast)
}
