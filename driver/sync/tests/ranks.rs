//! Orders of ranked locks that are allowed: they compile, and the locks work. (What is refused is in
//! `tests/ui/rank_*.rs`.)
#![cfg(not(windows))]

use core::{cell::Cell, pin::pin};

use wdk_sync::{
    Apc, AtMost, Before, Dispatch, FastMutex, GuardedMutex, Holding, Irql, Mutex, NonPaged,
    Passive, PushLock, QueueHandle, QueuedSpinLock, RecursiveMutex, Resource, RwSpinLock, SpinLock,
    Timeout, Wait, current_irql, lock_all, lock_ranks, testing::at_passive_level,
};

lock_ranks! {
    First;
    Second after First;
    Third after Second;
    Fourth after Third;
    Fifth after Fourth;
    Beside after Second;
    Last after Fifth, Beside;
}

#[test]
fn ranks_order_locks_of_all_kinds_and_across_levels() {
    at_passive_level(|irql| {
        let first = NonPaged::pin_init(Resource::<_, First>::ranked(1)).unwrap();
        let second = NonPaged::pin_init(Mutex::<_, Second>::ranked(2)).unwrap();
        let third = NonPaged::pin_init(PushLock::<_, Third>::ranked(3)).unwrap();
        let fourth = NonPaged::pin_init(FastMutex::<_, Fourth>::ranked(4)).unwrap();
        let fifth = RwSpinLock::<_, Fifth>::ranked(5);
        let last = QueuedSpinLock::<_, Last>::ranked(6);
        let handle = pin!(QueueHandle::new());

        let mut first = first.shared(irql).unwrap();
        let (one, irql) = first.parts();
        let mut second = second.lock(irql).unwrap();
        let (two, irql) = second.parts();
        let mut third = third.exclusive(irql);
        let (three, irql) = third.parts();
        let mut fourth = fourth.lock(irql).unwrap();
        let (four, irql) = fourth.parts();
        let irql: &mut Irql<'_, Holding<Apc, Fourth>> = irql;
        let mut fifth = fifth.exclusive(irql);
        let (five, irql) = fifth.parts();
        let irql: &mut Irql<'_, Holding<Dispatch, Fifth>> = irql;
        let six = last.lock_at_dpc_level(irql, handle);
        assert_eq!(
            (*one, *two, *three, *four, *five, *six, current_irql()),
            (1, 2, 3, 4, 5, 6, 2)
        );
    });
}

#[test]
fn the_order_is_transitive_and_has_branches() {
    at_passive_level(|irql| {
        let first = SpinLock::<_, First>::ranked(1);
        let beside = SpinLock::<_, Beside>::ranked(2);
        let last = SpinLock::<_, Last>::ranked(3);
        first.with(irql, |first, irql| {
            beside.with(irql, |beside, irql| {
                last.with(irql, |last, _irql| {
                    assert_eq!((*first, *beside, *last), (1, 2, 3));
                });
            });
            let last = last.try_lock_at_dpc_level(irql).unwrap();
            assert_eq!(*last, 3);
        });
        assert_eq!(*last.lock(irql), 3);
        assert_eq!(*first.lock(irql), 1, "after `last` was released");
    });
}

#[test]
fn a_closure_at_a_raised_level_knows_what_is_held() {
    at_passive_level(|irql| {
        let first = NonPaged::pin_init(RecursiveMutex::<_, First>::ranked(Cell::new(0))).unwrap();
        let second = NonPaged::pin_init(GuardedMutex::<_, Second>::ranked(irql, 0)).unwrap();
        let last = SpinLock::<_, Last>::ranked(0);
        let mut first = first.lock(irql).unwrap();
        let (one, irql) = first.parts();
        one.set(1);
        irql.at_apc_level(|irql| *second.lock_at_apc_level(irql).unwrap() += 1);
        irql.at_dispatch_level(|irql| *last.lock_at_dpc_level(irql) += 1);
        assert_eq!(current_irql(), 0);
    });
}

#[test]
fn locks_without_a_rank_go_between_and_inside() {
    at_passive_level(|irql| {
        let unranked = NonPaged::pin_init(Mutex::new(0)).unwrap();
        let first = NonPaged::pin_init(Mutex::<_, First>::ranked(0)).unwrap();
        let inner = SpinLock::new(0);
        let last = SpinLock::<_, Last>::ranked(0);
        let mut unranked = unranked.lock(irql).unwrap();
        let mut first = first.lock(unranked.irql()).unwrap();
        let mut inner = inner.lock(first.irql());
        *last.lock(inner.irql()) += 1;
    });
}

#[test]
fn several_mutexes_of_one_rank_are_taken_at_one_moment() {
    at_passive_level(|irql| {
        let one = NonPaged::pin_init(Mutex::<_, Second>::ranked(1)).unwrap();
        let other = NonPaged::pin_init(Mutex::<_, Second>::ranked(2)).unwrap();
        let last = SpinLock::<_, Last>::ranked(0);
        let Wait::Acquired(mut both) = lock_all(irql, [&*one, &*other], [], Timeout::Never) else {
            panic!("nobody owns them");
        };
        let (data, irql) = both.parts();
        *last.lock(irql) = *data[0] + *data[1];
        assert_eq!(*last.lock(irql), 3);
    });
}

/// Code for any level and whatever is held, if it comes before `Last`.
fn count<L: AtMost<Dispatch>>(count: &SpinLock<u32, Last>, irql: &mut Irql<'_, L>) -> u32
where
    L::Held: Before<Last>,
{
    let mut count = count.lock(irql);
    *count += 1;
    *count
}

/// Code for any level, that takes locks without a rank.
fn under_an_unranked_lock<L: AtMost<Dispatch>>(
    lock: &SpinLock<u32>,
    irql: &mut Irql<'_, L>,
) -> u32 {
    let mut guard = lock.lock(irql);
    let (data, irql) = guard.parts();
    let other = SpinLock::new(1);
    *data += *other.lock_at_dpc_level(irql);
    *data
}

#[test]
fn code_can_be_generic_over_what_is_held() {
    at_passive_level(|irql: &mut Irql<'_, Passive>| {
        let first = SpinLock::<_, First>::ranked(0);
        let last = SpinLock::ranked(0);
        let unranked = SpinLock::new(0);
        assert_eq!(count(&last, irql), 1);
        assert_eq!(under_an_unranked_lock(&unranked, irql), 1);
        let mut first = first.lock(irql);
        assert_eq!(count(&last, first.irql()), 2);
        assert_eq!(under_an_unranked_lock(&unranked, first.irql()), 2);
    });
}
