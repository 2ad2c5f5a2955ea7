//! `KSPIN_LOCK`.

use core::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use wdk_sync::{
    DueTime, Irql, NonPaged, NonPagedArc, Passive, Period, Signal, SpinLock, Status, Thread, Timer,
    active_processors, current_irql,
};

use super::{
    patience::{eventually, spin_until},
    tests,
};
use crate::{
    log::{Log, check},
    thread_state::ThreadState,
};

tests! { SpinLock, "spin_lock";
    1001 acquire_raises_to_dispatch_level: "KeAcquireSpinLock raises to DISPATCH_LEVEL; KeReleaseSpinLock restores the old IRQL.";
    1002 acquire_from_apc_level: "KeReleaseSpinLock restores APC_LEVEL if that is what the lock was acquired at.";
    1003 acquire_at_dispatch_level: "A spin lock acquired at DISPATCH_LEVEL is released to DISPATCH_LEVEL.";
    1004 at_dpc_level_leaves_the_level: "KeAcquireSpinLockAtDpcLevel and its release leave the IRQL alone.";
    1005 try_takes_a_free_lock: "KeTryToAcquireSpinLockAtDpcLevel acquires a free lock and leaves the IRQL alone.";
    1006 try_refuses_a_held_lock: "KeTryToAcquireSpinLockAtDpcLevel gives FALSE while another processor has the lock.";
    1007 nested_locks_restore_in_order: "Locks released in reverse order restore the IRQL step by step.";
    1008 apcs_are_off_by_level_alone: "A spin lock blocks APCs by its IRQL and enters no region.";
    1009 waiter_gets_the_lock_after_release: "A processor that spins for a lock gets it when the holder lets go, and sees what it wrote.";
    1010 excludes_threads: "Of several threads one at a time has the lock.";
    1011 excludes_dpc_and_thread: "A DPC and a thread exclude each other by a spin lock.";
}

fn acquire_raises_to_dispatch_level(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let lock = NonPaged::new(SpinLock::new(1))?;
    check!(log, current_irql(), 0);
    let guard = lock.lock(irql);
    check!(log, current_irql(), 2);
    drop(guard);
    check!(log, current_irql(), 0);
    check!(log, lock.with(irql, |_data, _irql| current_irql()), 2);
    check!(log, current_irql(), 0);
    Ok(())
}

fn acquire_from_apc_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let lock = NonPaged::new(SpinLock::new(()))?;
    irql.at_apc_level(|irql| {
        check!(log, current_irql(), 1);
        let guard = lock.lock(irql);
        check!(log, current_irql(), 2);
        drop(guard);
        check!(log, current_irql(), 1);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn acquire_at_dispatch_level(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let lock = NonPaged::new(SpinLock::new(()))?;
    irql.at_dispatch_level(|irql| {
        let guard = lock.lock(irql);
        check!(log, current_irql(), 2);
        drop(guard);
        check!(log, current_irql(), 2);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn at_dpc_level_leaves_the_level(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let lock = NonPaged::new(SpinLock::new(()))?;
    irql.at_dispatch_level(|irql| {
        let guard = lock.lock_at_dpc_level(irql);
        check!(log, current_irql(), 2);
        drop(guard);
        check!(log, current_irql(), 2);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn try_takes_a_free_lock(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let lock = NonPaged::new(SpinLock::new(5))?;
    irql.at_dispatch_level(|irql| {
        let guard = lock.try_lock_at_dpc_level(irql);
        check!(log, guard.as_deref(), Some(&5));
        check!(log, current_irql(), 2);
        drop(guard);
        check!(log, current_irql(), 2);
        check!(log, lock.try_lock_at_dpc_level(irql).is_some(), true);
    });
    Ok(())
}

fn try_refuses_a_held_lock(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    if !two_processors(log) {
        return Ok(());
    }
    let lock = NonPagedArc::new(SpinLock::new(()))?;
    let answer = NonPagedArc::new(AtomicU32::new(NONE))?;
    let (their_lock, their_answer) = (lock.clone(), answer.clone());
    let held = NonPagedArc::new(AtomicBool::new(false))?;
    let is_held = held.clone();
    let thread = Thread::spawn(irql, move |irql| {
        if spin_until(|| is_held.load(Ordering::Acquire)) {
            irql.at_dispatch_level(|irql| {
                let acquired = their_lock.try_lock_at_dpc_level(irql).is_some();
                their_answer.store(u32::from(acquired), Ordering::Release);
            });
        }
        current_irql()
    })?;
    let guard = lock.lock(irql);
    held.store(true, Ordering::Release);
    let answered = spin_until(|| answer.load(Ordering::Acquire) != NONE);
    drop(guard);
    check!(log, answered, true);
    check!(log, answer.load(Ordering::Acquire), 0);
    check!(log, thread.join(irql), Some(0));
    Ok(())
}

/// No answer yet.
const NONE: u32 = u32::MAX;

fn nested_locks_restore_in_order(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let outer = NonPaged::new(SpinLock::new(()))?;
    let inner = NonPaged::new(SpinLock::new(()))?;
    irql.at_apc_level(|irql| {
        let mut first = outer.lock(irql);
        let second = inner.lock(first.irql());
        check!(log, current_irql(), 2);
        drop(second);
        check!(log, current_irql(), 2);
        drop(first);
        check!(log, current_irql(), 1);
    });
    check!(log, current_irql(), 0);
    Ok(())
}

fn apcs_are_off_by_level_alone(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let lock = NonPaged::new(SpinLock::new(()))?;
    let before = ThreadState::now(irql);
    check!(log, before.all_apcs_disabled, false);
    let mut guard = lock.lock(irql);
    check!(log, ThreadState::now(guard.irql()), before.raised_to(2));
    drop(guard);
    check!(log, ThreadState::now(irql), before);
    Ok(())
}

fn waiter_gets_the_lock_after_release(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    if !two_processors(log) {
        return Ok(());
    }
    let lock = NonPagedArc::new(SpinLock::new(0))?;
    let held = NonPagedArc::new(AtomicBool::new(false))?;
    let (their_lock, is_held) = (lock.clone(), held.clone());
    let thread = Thread::spawn(irql, move |irql| {
        spin_until(|| is_held.load(Ordering::Acquire)).then(|| {
            let seen = *their_lock.lock(irql);
            (seen, current_irql())
        })
    })?;
    let mut guard = lock.lock(irql);
    held.store(true, Ordering::Release);
    // Let the other one spin for a while.
    spin_for(Duration::from_millis(5));
    *guard = 7;
    drop(guard);
    check!(log, thread.join(irql), Some(Some((7, 0))));
    Ok(())
}

fn excludes_threads(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    const ROUNDS: u32 = 2_000;
    let count = NonPagedArc::new(SpinLock::new(0u32))?;
    let add = |irql: &mut Irql<'_, Passive>, count: &SpinLock<u32>| {
        for _ in 0..ROUNDS {
            let mut count = count.lock(irql);
            // Two additions, so that a lost one shows.
            let before = *count;
            core::hint::black_box(&mut count);
            *count = before.wrapping_add(1);
        }
    };
    let theirs = [count.clone(), count.clone()];
    let threads = theirs.map(|count| Thread::spawn(irql, move |irql| add(irql, &count)));
    add(irql, &count);
    for thread in threads {
        check!(log, thread?.join(irql), Some(()));
    }
    check!(log, *count.lock(irql), 3 * ROUNDS);
    Ok(())
}

fn excludes_dpc_and_thread(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    /// A pair that is equal whenever the lock is free, and how often the DPC was there.
    #[derive(Default)]
    struct Pair(u32, u32, u32);

    fn change(pair: &mut Pair) -> bool {
        let whole = pair.0 == pair.1;
        pair.0 = pair.0.wrapping_add(1);
        spin_for(Duration::from_micros(20));
        core::hint::black_box(&mut *pair);
        pair.1 = pair.1.wrapping_add(1);
        whole
    }

    let pair = NonPagedArc::new(SpinLock::new(Pair::default()))?;
    let torn = NonPagedArc::new(AtomicU32::new(0))?;
    let (their_pair, their_torn) = (pair.clone(), torn.clone());
    let timer = NonPaged::pin_init(Timer::new(Signal::Notification, move |_timer, irql| {
        let mut pair = their_pair.lock_at_dpc_level(irql);
        if !change(&mut pair) {
            their_torn.fetch_add(1, Ordering::Relaxed);
        }
        pair.2 = pair.2.wrapping_add(1);
    }))?;
    timer.set(irql, DueTime::After(Duration::ZERO), Period::from_millis(1));
    let met = eventually(irql, |irql| {
        for _ in 0..100 {
            if !change(&mut pair.lock(irql)) {
                torn.fetch_add(1, Ordering::Relaxed);
            }
        }
        pair.lock(irql).2 >= 10
    });
    Timer::run_down(timer, irql);
    check!(log, met, true);
    check!(log, torn.load(Ordering::Relaxed), 0);
    let pair = pair.lock(irql);
    check!(log, pair.0, pair.1);
    Ok(())
}

/// Whether two processors are there, without which nobody can look at a lock that is held.
fn two_processors(log: &mut Log) -> bool {
    let two = active_processors() >= 2;
    if !two {
        log.note(format_args!(
            "not checked: on one processor nothing else runs while a spin lock is held"
        ));
    }
    two
}

fn spin_for(duration: Duration) {
    crate::scenario::stay_busy(duration);
}
