//! KMUTEX, acquired again by its owner.

use core::cell::Cell;

use wdk_sync::{Irql, NonPaged, NonPagedArc, Passive, RecursiveMutex, RecursiveMutexGuard, Status};

use super::{peer::elsewhere, tests};
use crate::{
    log::{Log, check},
    thread_state::ThreadState,
};

tests! { Mutex, "recursive_mutex";
    2101 owner_acquires_again: "The owner of a mutex acquires it again without waiting.";
    2102 owner_tries_again: "A try by the owner acquires the mutex once more.";
    2103 last_release_frees: "A mutex is signaled again when it was released as often as it was acquired.";
    2104 others_wait_for_the_last_release: "As long as one acquisition is left, no other thread gets the mutex.";
    2105 apcs_are_off_until_the_last_release: "Normal kernel APCs stay off at any depth, and are as before after the last release.";
    2106 owner_tries_again_at_dispatch_level: "The owner acquires the mutex again at DISPATCH_LEVEL, with a time-out of zero.";
}

fn owner_acquires_again(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(RecursiveMutex::new(Cell::new(0)))?;
    let Ok(mut first) = mutex.lock(irql) else {
        log.fail(format_args!("a free mutex was refused"));
        return Ok(());
    };
    let (value, irql) = first.parts();
    value.set(1);
    let mut second = mutex.lock(irql);
    if let Ok(second) = &mut second {
        check!(log, second.get(), 1);
        check!(log, RecursiveMutexGuard::depth(second), 2);
        let third = mutex.lock(second.irql());
        check!(
            log,
            third.map(|third| RecursiveMutexGuard::depth(&third)).ok(),
            Some(3)
        );
        check!(log, RecursiveMutexGuard::depth(second), 2);
    }
    check!(log, second.is_ok(), true);
    drop(second);
    check!(log, RecursiveMutexGuard::depth(&first), 1);
    Ok(())
}

fn owner_tries_again(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(RecursiveMutex::new(()))?;
    let mut first = mutex.try_lock(irql);
    check!(log, first.is_some(), true);
    if let Some(first) = &mut first {
        let second = mutex.try_lock(first.irql());
        check!(
            log,
            second.map(|second| RecursiveMutexGuard::depth(&second)),
            Some(2)
        );
    }
    Ok(())
}

fn last_release_frees(irql: &mut Irql<'_, Passive>, log: &mut Log) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(RecursiveMutex::new(()))?;
    check!(log, mutex.is_free(irql), true);
    if let Ok(mut first) = mutex.lock(irql) {
        if let Ok(mut second) = mutex.lock(first.irql()) {
            check!(log, mutex.is_free(second.irql()), false);
        }
        check!(log, RecursiveMutexGuard::depth(&first), 1);
        check!(log, mutex.is_free(first.irql()), false);
    }
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn others_wait_for_the_last_release(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPagedArc::pin_init(RecursiveMutex::new(()))?;
    let others_get_it = |irql: &mut Irql<'_, Passive>| {
        let theirs = mutex.clone();
        elsewhere(irql, move |irql| theirs.try_lock(irql).is_some())
    };
    if let Ok(mut first) = mutex.lock(irql) {
        if let Ok(mut second) = mutex.lock(first.irql()) {
            check!(log, others_get_it(second.irql()), Ok(false));
        }
        check!(log, others_get_it(first.irql()), Ok(false));
    }
    check!(log, others_get_it(irql), Ok(true));
    Ok(())
}

fn apcs_are_off_until_the_last_release(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(RecursiveMutex::new(()))?;
    let before = ThreadState::now(irql);
    let owned = before.without_normal_apcs();
    if let Ok(mut first) = mutex.lock(irql) {
        check!(log, ThreadState::now(first.irql()), owned);
        if let Ok(mut second) = mutex.lock(first.irql()) {
            check!(log, ThreadState::now(second.irql()), owned);
        }
        check!(log, ThreadState::now(first.irql()), owned);
    }
    check!(log, ThreadState::now(irql), before);
    check!(log, mutex.is_free(irql), true);
    Ok(())
}

fn owner_tries_again_at_dispatch_level(
    irql: &mut Irql<'_, Passive>,
    log: &mut Log,
) -> Result<(), Status> {
    let mutex = NonPaged::pin_init(RecursiveMutex::new(()))?;
    irql.at_dispatch_level(|irql| {
        let mut first = mutex.try_lock_at_dispatch_level(irql);
        check!(log, first.is_some(), true);
        if let Some(first) = &mut first {
            let second = mutex.try_lock_at_dispatch_level(first.irql());
            check!(
                log,
                second.map(|second| RecursiveMutexGuard::depth(&second)),
                Some(2)
            );
        }
    });
    check!(log, mutex.is_free(irql), true);
    Ok(())
}
