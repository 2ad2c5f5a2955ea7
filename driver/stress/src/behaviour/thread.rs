//! System threads.

use core::sync::atomic::{AtomicBool, Ordering};

use wdk_sync::{
    Irql, NonPagedArc, Passive, Status, Thread, are_all_apcs_disabled, are_apcs_disabled,
    current_irql,
};

use super::{
    patience::{eventually, let_things_happen},
    peer::Peer,
    tests,
};
use crate::log::{Log, check};

tests! { Thread, "thread";
    7001 starts_at_passive_level: "A system thread starts at PASSIVE_LEVEL.";
    7002 starts_in_a_critical_region: "A system thread starts in a critical region: normal kernel APCs are off, special ones on.";
    7003 join_gives_the_result: "A thread object is signaled when its thread has ended, with its work done.";
    7004 join_waits: "A wait for a thread does not end before the thread does.";
    7005 has_ended: "A wait of no time tells whether a thread has ended.";
    7006 drop_joins: "A thread that nobody joins has ended when its owner lets go of it.";
    7007 many_at_once: "Several threads are alive at the same time, and all can be joined.";
}

fn starts_at_passive_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let thread = Thread::spawn(irql, |_irql| current_irql())?;
    check!(log, thread.join(irql), Some(0));
    Ok(())
}

fn starts_in_a_critical_region(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let thread = Thread::spawn(irql, |irql| {
        (are_apcs_disabled(irql), are_all_apcs_disabled(irql))
    })?;
    check!(log, thread.join(irql), Some((true, false)));
    Ok(())
}

fn join_gives_the_result(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let thread = Thread::spawn(irql, |_irql| [1u64, 2, 3])?;
    check!(log, thread.join(irql), Some([1, 2, 3]));
    Ok(())
}

fn join_waits(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let done = NonPagedArc::new(AtomicBool::new(false))?;
    let theirs = done.clone();
    let thread = Thread::spawn(irql, move |irql| {
        let_things_happen(irql);
        theirs.store(true, Ordering::Release);
    })?;
    check!(log, thread.join(irql), Some(()));
    check!(log, done.load(Ordering::Acquire), true);
    Ok(())
}

fn has_ended(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let peer = Peer::start_and_meet(irql, |irql, baton| baton.there_until_told(irql))?;
    check!(log, peer.has_ended(irql), false);
    peer.let_go(irql);
    check!(log, eventually(irql, |irql| peer.has_ended(irql)), true);
    peer.finish(irql)
}

fn drop_joins(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let done = NonPagedArc::new(AtomicBool::new(false))?;
    let theirs = done.clone();
    let thread = Thread::spawn(irql, move |irql| {
        let_things_happen(irql);
        theirs.store(true, Ordering::Release);
    })?;
    drop(thread);
    check!(log, done.load(Ordering::Acquire), true);
    Ok(())
}

fn many_at_once(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mut peers = [const { None }; 4];
    for (number, peer) in peers.iter_mut().enumerate() {
        let started = Peer::start_and_meet(irql, move |irql, baton| {
            baton.there_until_told(irql);
            number
        })?;
        *peer = Some(started);
    }
    let alive = peers.iter().flatten().filter(|it| !it.has_ended(irql));
    check!(log, alive.count(), 4);
    for (number, peer) in peers.into_iter().flatten().enumerate() {
        check!(log, peer.finish(irql), Ok(number));
    }
    Ok(())
}
